// See body.hpp.
#include "apps/waybill/bench/body.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

namespace waybill::cli::bench {

namespace {

constexpr std::size_t places = 8u << 20; ///< of a text at which a body may begin

/// Lines as a shop's log has them: words that come again, and numbers that do not.
std::string text_of(std::size_t bytes, std::mt19937_64& random) {
  static constexpr std::array levels{"INFO", "INFO", "INFO", "WARN", "ERROR"};
  static constexpr std::array parts{"orders", "billing", "shipping", "stock", "mail", "search"};
  static constexpr std::array events{"taken by customer",         "paid by customer",
                                     "sent to customer",          "returned by customer",
                                     "waits for stock, customer", "was changed by customer"};
  static constexpr std::array things{"lamp",   "table",  "chair", "kettle",
                                     "carpet", "mirror", "clock"};
  const auto number = [&](std::uint64_t end) { return std::to_string(random() % end); };
  const auto one_of = [&](const auto& words) { return words[random() % words.size()]; };
  std::string text;
  text.reserve(bytes + 256);
  for (std::uint64_t ms = 0; text.size() < bytes; ms += random() % 50) {
    text += "2026-01-31T08:" + std::to_string(10 + ms / 60'000 % 50) + ":" +
            std::to_string(10 + ms / 1'000 % 50) + "." + std::to_string(100 + ms % 900) + "Z ";
    text += std::string{one_of(levels)} + " " + one_of(parts) + "[" + number(40) + "]: order " +
            number(10'000'000) + " " + one_of(events) + " " + number(50'000) + ": " + number(9) +
            " x " + one_of(things) + " at " + number(900) + "." + number(100) + " EUR\n";
  }
  text.resize(bytes);
  return text;
}

} // namespace

body_maker::body_maker(std::size_t size, bodies made_of) : size_{size} {
  std::mt19937_64 random{std::random_device{}()};
  if (made_of == bodies::text) {
    source_ = text_of(size + places, random);
    return;
  }
  source_.resize(size);
  for (auto& each : source_)
    each = static_cast<char>(random());
}

std::string_view body_maker::content_of(std::uint64_t number) const {
  const auto more = source_.size() - size_;
  // Far from the one before, so that what is close in time is not alike by that.
  const auto at = more == 0 ? 0 : number * 0x9e3779b97f4a7c15 % more;
  return std::string_view{source_}.substr(at, size_);
}

std::string body_maker::make(const stamp& s) const {
  const std::array<std::uint64_t, 2> words{
      s.number, static_cast<std::uint64_t>(s.sent.time_since_epoch().count())};
  static_assert(sizeof words == stamp_bytes);
  std::string body{content_of(s.number)};
  std::memcpy(body.data(), words.data(), std::min(body.size(), stamp_bytes));
  return body;
}

std::optional<stamp> body_maker::read(std::string_view body) const {
  if (body.size() != size_ || body.size() < stamp_bytes)
    return std::nullopt;
  std::array<std::uint64_t, 2> words{};
  std::memcpy(words.data(), body.data(), stamp_bytes);
  if (body.substr(stamp_bytes) != content_of(words[0]).substr(stamp_bytes))
    return std::nullopt;
  return stamp{words[0], clock::time_point{clock::duration{static_cast<clock::rep>(words[1])}}};
}

} // namespace waybill::cli::bench
