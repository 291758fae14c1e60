// Values drawn at random for the nouns' tests. A seed gives the same values again.
#pragma once

#include "storage/records.hpp"

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>

namespace waybill::test {

inline std::uint64_t new_seed() { return std::random_device{}(); }

class random_values {
public:
  explicit random_values(std::uint64_t seed) : engine_{seed} {}

  /// From all 64 bits, with a liking for the edges.
  std::uint64_t number() {
    switch (below(8)) {
    case 0:
      return 0;
    case 1:
      return ~std::uint64_t{0};
    case 2:
      return below(1000);
    default:
      return engine_();
    }
  }
  std::uint64_t below(std::uint64_t end) { return engine_() % end; }
  std::uint32_t number32() { return static_cast<std::uint32_t>(number()); }
  wall_time time() { return wall_time{milliseconds{static_cast<std::int64_t>(number())}}; }
  milliseconds span() { return milliseconds{static_cast<std::int64_t>(number() >> 1)}; }
  double factor() { return std::uniform_real_distribution<double>{0.0, 100.0}(engine_); }

  std::string bytes(std::size_t most) {
    std::string s(below(most + 1), '\0');
    for (auto& c : s)
      c = static_cast<char>(engine_());
    return s;
  }
  std::string name() {
    static constexpr std::string_view letters =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
    std::string s(1 + below(128), 'x');
    for (auto& c : s)
      c = letters[below(letters.size())];
    if (s.front() == '.')
      s.front() = '-';
    return s;
  }
  /// Up to `most` values of `draw`.
  template <class Draw>
  auto list(std::size_t most, Draw draw) {
    std::vector<decltype(draw())> items(below(most + 1));
    for (auto& item : items)
      item = draw();
    return items;
  }

  offset_range range() {
    const auto first = number();
    const auto end = number();
    return {message_offset{std::min(first, end)}, message_offset{std::max(first, end)}};
  }
  log_position position() {
    return {log_index{number()}, epoch{number()}, hash128{number(), number()}};
  }
  failed_because why() { return static_cast<failed_because>(1 + below(5)); }
  group_policy policy() {
    return {.lease = span(),
            .attempts_max = number32(),
            .delay = span(),
            .factor = factor(),
            .delay_max = span(),
            .jitter = factor()};
  }
  attempt_started started() { return {message_offset{number()}, number32()}; }
  attempt_failed failed() {
    return {message_offset{number()}, number32(), why(), bytes(60), name(), time(), time()};
  }
  dead_letter dead() {
    return {message_offset{number()},
            number32(),
            why(),
            bytes(60),
            name(),
            time(),
            time(),
            time(),
            bytes(300)};
  }
  group_changes changes() {
    return {name(), list(5, [&] { return range(); }), list(5, [&] { return started(); }),
            list(5, [&] { return failed(); }), list(5, [&] { return dead(); })};
  }
  delivery_record delivery() {
    return {list(4, [&] { return changes(); })};
  }
  group_record group() {
    return {static_cast<group_action>(1 + below(3)), name(), policy(), message_offset{number()}};
  }
  producer_record producer() { return {name(), producer_epoch{number()}, number()}; }
  redrive_record redrive() {
    return {name(), list(9, [&] { return message_offset{number()}; }), bytes(300)};
  }
  retention_record retention() {
    return {message_offset{number()},
            below(2) ? std::optional{message_offset{number()}} : std::nullopt};
  }
  retention_mark mark() { return {message_offset{number()}, number(), time()}; }
  transfer_state transfer_of() {
    transfer_state t;
    for (auto i = below(6), offset = below(1'000); i > 0; --i, offset += 1 + below(1'000))
      t.dead_letters.push_back(message_offset{offset});
    t.target = {topic_id{number()}, number32()};
    t.topic = name();
    t.opened = producer_epoch{number()};
    t.number = batch_number{number()};
    t.previous = batch_number{number()};
    t.hash = {number(), number()};
    if (below(2) == 0)
      t.doubt = bytes(60);
    return t;
  }
  transfer_record transfer() {
    transfer_record r{static_cast<transfer_action>(1 + below(4)),
                      name(),
                      log_index{number()},
                      {},
                      message_offset{number()},
                      position(),
                      bytes(60)};
    if (r.action == transfer_action::begin)
      r.what = transfer_of();
    return r;
  }
  remembered_batch remembered() {
    return {batch_number{number()},
            {number(), number()},
            position(),
            message_offset{number()},
            number32()};
  }
  producer_snapshot producer_state() {
    return {name(), producer_epoch{number()}, number(),
            time(), batch_number{number()},   list(6, [&] { return remembered(); })};
  }
  group_snapshot group_state() {
    group_snapshot g;
    g.group = name();
    g.policy = policy();
    g.start = message_offset{number()};
    g.floor = message_offset{number()};
    g.settled = list(6, [&] { return range(); });
    for (auto i = below(6); i > 0; --i)
      g.attempts[message_offset{number()}] = {number32(), number32(), why(), bytes(40),
                                              name(),     time(),     time()};
    for (auto i = below(6); i > 0; --i)
      g.dead_letters[message_offset{number()}] = time();
    g.counts = {number(), number(), number(), number(), number(),
                number(), number(), number(), number()};
    for (auto i = below(4); i > 0; --i)
      g.transfers[log_index{number()}] = transfer_of();
    return g;
  }
  timed_messages times() {
    timed_messages some;
    for (auto i = below(6); i > 0; --i)
      some[message_offset{number()}] = {time(), time()};
    return some;
  }
  partition_snapshot partition_state() {
    return {position(),
            message_offset{number()},
            time(),
            number(),
            list(4, [&] { return producer_state(); }),
            list(4, [&] { return group_state(); }),
            list(4,
                 [&] {
                   return addressed_range{range(), name()};
                 }),
            list(4, [&] { return range(); }),
            times(),
            below(2) ? std::optional{message_offset{number()}} : std::nullopt,
            mark(),
            list(9, [&] { return mark(); })};
  }

private:
  std::mt19937_64 engine_;
};

} // namespace waybill::test
