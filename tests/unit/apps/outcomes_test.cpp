// The outcomes of lines: written in the order of the input, each once, whatever the order of
// answers.
#include "apps/waybill/outcomes.hpp"
#include "apps/waybill/receipts_file.hpp"
#include "storage/types.hpp"
#include "tests/unit/apps/support.hpp"

#include <algorithm>
#include <numeric>
#include <random>

using namespace waybill;
using namespace waybill::cli;
using namespace waybill::cli::testing;

namespace {

std::string receipt_text(std::uint64_t offset) {
  return to_string(
      receipt{"orders", 0, message_offset{offset}, {log_index{offset + 1}, epoch{1}, {offset, 7}}});
}

} // namespace

TEST_CASE("what is known out of order is given in order", "[outcomes]") {
  in_order<std::uint64_t> line{1};
  line.put(3, 3);
  line.put(2, 2);
  CHECK_FALSE(line.ready());
  CHECK(line.take_ready(10).empty());
  line.put(1, 1);
  CHECK(line.take_ready(2) == std::vector<std::uint64_t>{1, 2});
  CHECK(line.next() == 3);
  CHECK(line.take_ready(2) == std::vector<std::uint64_t>{3});
}

TEST_CASE("receipts stand in the order of the lines, whatever the order of the answers",
          "[outcomes]") {
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  const scratch here;
  const auto path = here.file("receipts");
  std::string expected;
  {
    outcome_log log{{.receipts = path, .unconfirmed = {}}};
    std::vector<std::uint64_t> numbers(5'000);
    std::iota(numbers.begin(), numbers.end(), 1);
    for (const auto number : numbers) {
      log.begin(number);
      expected += receipt_text(number) + "\n";
    }
    std::shuffle(numbers.begin(), numbers.end(), std::mt19937{seed});
    for (const auto number : numbers)
      log.settle(number, {fate::confirmed, receipt_text(number), {}, true});
    log.wait_all();
    CHECK(content_of(path) == expected);
    CHECK(log.so_far().confirmed == 5'000);
  }
  CHECK(content_of(path) == expected);
}

TEST_CASE("a line given up on is kept as it was, and stands among the receipts as none",
          "[outcomes]") {
  const scratch here;
  outcome_log log{{.receipts = here.file("receipts"), .unconfirmed = here.file("lost")}};
  for (std::uint64_t number = 1; number <= 4; ++number)
    log.begin(number);
  log.settle(4, {fate::given_up, "timed_out", std::string{"last\0one", 8}, false});
  log.settle(1, {fate::given_up, "message_too_large", "first\r", true});
  log.settle(3, {fate::earlier, {}, {}, true});
  log.settle(2, {fate::confirmed, receipt_text(0), {}, true});
  log.wait_all();
  CHECK(content_of(here.file("lost")) == std::string{"first\r\nlast\0one", 15});
  CHECK(content_of(here.file("receipts")) == "unconfirmed message_too_large\n" + receipt_text(0) +
                                                 "\nconfirmed-earlier\nunconfirmed timed_out\n");
  const auto totals = log.so_far();
  CHECK(totals.given_up == 2);
  CHECK(totals.receipts_missing == 1);
}

TEST_CASE("a file that cannot be written is told, and nobody waits for ever", "[outcomes]") {
  outcome_log log{{.receipts = "/dev/full", .unconfirmed = {}}};
  log.begin(1);
  log.settle(1, {fate::confirmed, receipt_text(1), {}, true});
  log.wait_all();
  CHECK(log.failure());
}

TEST_CASE("the receipts of an earlier run are kept, what is torn or marked is cut",
          "[receipts_file]") {
  const scratch here;
  const auto path = here.file("receipts");
  const auto whole = receipt_text(0) + "\n" + receipt_text(1) + "\n";
  SECTION("there is none") { CHECK(*keep_receipts(path, "orders") == 0); }
  SECTION("whole ones stay") {
    put_content(path, whole);
    CHECK(*keep_receipts(path, "orders") == 2);
    CHECK(content_of(path) == whole);
  }
  SECTION("a torn one goes") {
    const auto length = GENERATE(std::size_t{1}, std::size_t{5}, std::size_t{20});
    put_content(path, whole + receipt_text(2).substr(0, length));
    CHECK(*keep_receipts(path, "orders") == 2);
    CHECK(content_of(path) == whole);
  }
  SECTION("from the first mark on it is written anew") {
    put_content(path, whole + "unconfirmed timed_out\n" + receipt_text(3) + "\n");
    CHECK(*keep_receipts(path, "orders") == 2);
    CHECK(content_of(path) == whole);
  }
}

TEST_CASE("a file of something else is never cut", "[receipts_file]") {
  const scratch here;
  const auto path = here.file("letters");
  const std::string content = GENERATE(std::string{"Dear Sir,\nyours\n"}, std::string{"no newline"},
                                       receipt_text(1) + "\nhello\n", receipt_text(1) + "\nhello");
  put_content(path, content);
  CHECK(keep_receipts(path, "orders").error().code == ec::bad_argument);
  CHECK(content_of(path) == content);
  put_content(path, receipt_text(1) + "\n");
  CHECK(keep_receipts(path, "bills").error().code == ec::bad_argument);
  CHECK(content_of(path) == receipt_text(1) + "\n");
}
