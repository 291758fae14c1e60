// A consumer's local queue: order, bytes, and that what is settled is not handed out.
#include "net/client/consumer_impl.hpp"
#include "net/client/local_queue.hpp"

#include <catch2/catch.hpp>

#include <map>
#include <optional>
#include <random>
#include <vector>

using namespace waybill;
using client_parts::local_queue;
using client_parts::queued_message;

namespace {

queued_message make(std::uint32_t partition, std::uint64_t offset, std::uint32_t attempt = 1,
                    std::size_t bytes = 10) {
  return {
      consumer_impl::make("orders", partition, message_offset{offset}, {}, attempt, {}), bytes, {}};
}

offset_range range(std::uint64_t first, std::uint64_t end) {
  return {message_offset{first}, message_offset{end}};
}

std::vector<std::string> drain(local_queue& queue) {
  std::vector<std::string> ids;
  while (!queue.empty())
    ids.push_back(queue.pop().content.id());
  return ids;
}

} // namespace

TEST_CASE("messages leave the local queue in the order in which they came", "[consumer]") {
  local_queue queue;
  queue.push(make(1, 7));
  queue.push(make(0, 9));
  queue.push(make(1, 3));
  CHECK(queue.size() == 3);
  CHECK(queue.bytes() == 30);
  CHECK(drain(queue) == std::vector<std::string>{"orders/1/7", "orders/0/9", "orders/1/3"});
  CHECK(queue.bytes() == 0);
}

TEST_CASE("a message that comes again replaces the delivery that has run out", "[consumer]") {
  local_queue queue;
  queue.push(make(0, 1, 1, 10));
  queue.push(make(0, 2));
  queue.push(make(0, 1, 2, 25));
  CHECK(queue.size() == 2);
  CHECK(queue.bytes() == 35);
  CHECK(queue.pop().content.offset() == message_offset{2});
  CHECK(queue.pop().content.attempt() == 2);
}

TEST_CASE("a partition leaves the local queue whole, and nothing else does", "[consumer]") {
  local_queue queue;
  for (const auto offset : {0, 4, 9})
    for (const auto partition : {0, 1, 2})
      queue.push(make(static_cast<std::uint32_t>(partition), static_cast<std::uint64_t>(offset)));
  queue.forget(1);
  queue.forget(3);
  CHECK(queue.bytes() == 60);
  CHECK(drain(queue) == std::vector<std::string>{"orders/0/0", "orders/2/0", "orders/0/4",
                                                 "orders/2/4", "orders/0/9", "orders/2/9"});
}

TEST_CASE("what is settled leaves the local queue, and nothing else does", "[consumer]") {
  local_queue queue;
  for (std::uint64_t offset = 0; offset < 10; ++offset)
    for (const std::uint32_t partition : {0u, 1u})
      queue.push(make(partition, offset));
  queue.forget(1, message_offset{4});
  queue.forget(1, message_offset{99});
  queue.filter(0, {range(0, 3), range(5, 20)},
               [](const queued_message& each) { return each.content.offset().value == 1; });
  CHECK(queue.bytes() == 10 * queue.size());
  CHECK(drain(queue) == std::vector<std::string>{"orders/1/0", "orders/0/1", "orders/1/1",
                                                 "orders/1/2", "orders/0/3", "orders/1/3",
                                                 "orders/0/4", "orders/1/5", "orders/1/6",
                                                 "orders/1/7", "orders/1/8", "orders/1/9"});
}

TEST_CASE("the local queue agrees with a plain list whatever is done", "[consumer]") {
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random{seed};
  const auto draw = [&](std::uint32_t below) { return random() % below; };
  local_queue queue;
  std::vector<std::pair<std::uint32_t, std::uint64_t>> model;
  for (int step = 0; step < 20'000; ++step) {
    const std::pair<std::uint32_t, std::uint64_t> place{draw(3), draw(20)};
    switch (draw(5)) {
    case 0:
      queue.forget(place.first, message_offset{place.second});
      std::erase(model, place);
      break;
    case 1: {
      const auto end = place.second + draw(4);
      const auto odd = [](std::uint64_t offset) { return offset % 2 == 1; };
      queue.filter(place.first, {range(place.second, end)},
                   [&](const queued_message& each) { return odd(each.content.offset().value); });
      std::erase_if(model, [&](const auto& each) {
        return each.first == place.first && each.second >= place.second && each.second < end &&
               !odd(each.second);
      });
      break;
    }
    case 2:
      if (!model.empty()) {
        const auto first = queue.pop();
        REQUIRE(first.content.partition() == model.front().first);
        REQUIRE(first.content.offset().value == model.front().second);
        model.erase(model.begin());
      }
      break;
    default:
      queue.push(make(place.first, place.second));
      std::erase(model, place);
      model.push_back(place);
    }
    REQUIRE(queue.size() == model.size());
    REQUIRE(queue.bytes() == 10 * model.size());
  }
}
