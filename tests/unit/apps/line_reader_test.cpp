// The line reader: every byte comes out again, cut at newlines alone.
#include "apps/waybill/line_reader.hpp"
#include "tests/unit/apps/support.hpp"

#include <fcntl.h>
#include <random>
#include <thread>
#include <vector>

using namespace waybill::cli;
using namespace waybill::cli::testing;
using namespace std::chrono_literals;
using namespace std::string_literals;
using kind = line_reader::kind;

namespace {

std::vector<line_reader::item> all_of(line_reader& reader) {
  std::vector<line_reader::item> items;
  while (true) {
    auto item = reader.next(10s);
    if (item.what == kind::end)
      return items;
    REQUIRE((item.what == kind::line || item.what == kind::piece || item.what == kind::last_piece));
    items.push_back(std::move(item));
  }
}

std::vector<line_reader::item> read_whole(const std::string& input, line_reader::options o = {}) {
  pipe_ends ends;
  std::thread writer{[&] {
    std::string_view rest = input;
    while (!rest.empty()) {
      const auto n = ::write(ends.writer(), rest.data(), std::min<std::size_t>(rest.size(), 3'000));
      if (n <= 0)
        return;
      rest.remove_prefix(static_cast<std::size_t>(n));
    }
    ends.close_writer();
  }};
  if (input.empty())
    ends.close_writer();
  o.fd = ends.reader();
  line_reader reader{o};
  auto items = all_of(reader);
  writer.join();
  return items;
}

} // namespace

TEST_CASE("empty lines, NUL bytes and carriage returns are lines like all others",
          "[line_reader]") {
  const auto items = read_whole("a\n\nb\0c\r\n\xff\n"s);
  REQUIRE(items.size() == 4);
  CHECK(items[0].bytes == "a");
  CHECK(items[1].bytes.empty());
  CHECK(items[2].bytes == "b\0c\r"s);
  CHECK(items[3].bytes == "\xff");
  for (const auto& each : items)
    CHECK(each.newline);
}

TEST_CASE("a last line without its newline is a line, and known as such", "[line_reader]") {
  const auto items = read_whole("one\ntwo");
  REQUIRE(items.size() == 2);
  CHECK(items[1].bytes == "two");
  CHECK_FALSE(items[1].newline);
}

TEST_CASE("an empty input has no lines", "[line_reader]") { CHECK(read_whole("").empty()); }

TEST_CASE("taken whole, the input is one message, newlines and all, also when it is empty",
          "[line_reader]") {
  const line_reader::options whole{.split = split_at::end_of_input};
  const auto items = read_whole("one\ntwo\n", whole);
  REQUIRE(items.size() == 1);
  CHECK(items[0].bytes == "one\ntwo\n");
  CHECK(read_whole("", whole).size() == 1);
}

TEST_CASE("a line beyond the limit comes in pieces that hold all of it", "[line_reader]") {
  const std::string longer(1'000'000, 'x');
  const auto items = read_whole("a\n" + longer + "\nb\n", {.line_bytes_max = 1'000});
  std::string joined;
  std::size_t at = 1;
  for (; at < items.size() && items[at].what == kind::piece; ++at)
    joined += items[at].bytes;
  REQUIRE(at < items.size());
  REQUIRE(items[at].what == kind::last_piece);
  CHECK(items[at].newline);
  CHECK(joined + items[at].bytes == longer);
  REQUIRE(at + 2 == items.size());
  CHECK(items[at + 1].bytes == "b");
  CHECK(items[at + 1].what == kind::line);
}

TEST_CASE("silence is told, and what came of a line is kept", "[line_reader]") {
  pipe_ends ends;
  line_reader reader{{.fd = ends.reader()}};
  CHECK(reader.next(0ms).what == kind::idle);
  ends.put("be");
  CHECK(reader.next(0ms).what == kind::idle);
  ends.put("gin\n");
  CHECK(reader.next(0ms).bytes == "begin");
}

TEST_CASE("a stop ends the reading", "[line_reader]") {
  pipe_ends ends, stop;
  line_reader reader{{.fd = ends.reader(), .stop_fd = stop.reader()}};
  stop.put("x");
  ends.put("never read\n");
  CHECK(reader.next(10s).what == kind::stopped);
}

TEST_CASE("an input that cannot be read is a failure with a reason", "[line_reader]") {
  const int directory = ::open("/", O_RDONLY);
  REQUIRE(directory >= 0);
  line_reader reader{{.fd = directory}};
  const auto item = reader.next(0ms);
  ::close(directory);
  CHECK(item.what == kind::failed);
  CHECK_FALSE(item.bytes.empty());
}

TEST_CASE("any bytes, cut and joined again, are the same bytes", "[line_reader]") {
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random{seed};
  for (int round = 0; round < 20; ++round) {
    std::string input(random() % 20'000, '\0');
    for (auto& each : input)
      each = random() % 8 == 0 ? '\n' : static_cast<char>(random());
    std::string joined;
    for (const auto& each : read_whole(input, {.line_bytes_max = 1 + random() % 500}))
      joined += each.bytes + (each.newline ? "\n" : "");
    REQUIRE(joined == input);
  }
}
