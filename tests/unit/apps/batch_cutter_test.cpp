// The batch cutter: the same lines give the same batches, whatever the time.
#include "apps/waybill/batch_cutter.hpp"

#include <catch2/catch.hpp>

#include <random>

using namespace waybill::cli;

namespace {

/// Block, first and last line, alone: all that decides where and under which number it is sent.
using shape = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, bool>;

constexpr batch_cutter::options small{
    .block_lines = 10, .batch_bytes_max = 1'000, .alone_bytes = 300, .line_overhead = 10};

shape shape_of(const line_batch& b) { return {b.block, b.lines.front().number, b.last(), b.alone}; }

std::vector<shape> cut_all(const std::vector<std::size_t>& sizes, std::uint64_t also_after = 0) {
  batch_cutter cutter{small};
  std::vector<shape> shapes;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    for (const auto& b : cutter.add({i + 1, std::string(sizes[i], 'x'), true}))
      shapes.push_back(shape_of(b));
    if (i + 1 == also_after)
      if (const auto early = cutter.take())
        shapes.push_back(shape_of(*early));
  }
  if (const auto rest = cutter.take())
    shapes.push_back(shape_of(*rest));
  return shapes;
}

} // namespace

TEST_CASE("a batch ends with its block of lines", "[batch_cutter]") {
  const auto shapes = cut_all(std::vector<std::size_t>(25, 1));
  CHECK(shapes == std::vector<shape>{{0, 1, 10, false}, {1, 11, 20, false}, {2, 21, 25, false}});
}

TEST_CASE("a batch ends before it has too many bytes", "[batch_cutter]") {
  const auto shapes = cut_all(std::vector<std::size_t>(8, 240)); // 250 each: four fit
  CHECK(shapes == std::vector<shape>{{0, 1, 4, false}, {0, 5, 8, false}});
}

TEST_CASE("a large line travels alone, and its neighbours without it", "[batch_cutter]") {
  const auto shapes = cut_all({5, 5, 301, 5, 5'000, 5});
  CHECK(
      shapes ==
      std::vector<shape>{
          {0, 1, 2, false}, {0, 3, 3, true}, {0, 4, 4, false}, {0, 5, 5, true}, {0, 6, 6, false}});
}

TEST_CASE("where an earlier run ended, a batch ends again, and the block goes on",
          "[batch_cutter]") {
  const auto shapes = cut_all(std::vector<std::size_t>(20, 1), 13);
  CHECK(shapes == std::vector<shape>{{0, 1, 10, false}, {1, 11, 13, false}, {1, 14, 20, false}});
}

TEST_CASE("lines that were made a batch elsewhere count in their block", "[batch_cutter]") {
  batch_cutter cutter{small};
  cutter.pass_over(7);
  CHECK(cutter.add({8, "x", true}).empty());
  CHECK(cutter.add({19, "x", true}).empty());
  const auto complete = cutter.add({20, "x", true});
  REQUIRE(complete.size() == 1);
  CHECK(shape_of(complete.front()) == shape{0, 8, 20, false});
}

TEST_CASE("no input has no batch", "[batch_cutter]") { CHECK(cut_all({}).empty()); }

TEST_CASE("an input that has grown at its end gives the same batches for its beginning",
          "[batch_cutter]") {
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random{seed};
  for (int round = 0; round < 200; ++round) {
    std::vector<std::size_t> sizes(1 + random() % 60);
    for (auto& each : sizes)
      each = random() % 400;
    const auto before = cut_all(sizes);
    const auto ended_at = sizes.size();
    sizes.resize(sizes.size() + random() % 60, 50);
    const auto after = cut_all(sizes, ended_at);
    REQUIRE(after.size() >= before.size());
    CHECK(std::equal(before.begin(), before.end(), after.begin()));
  }
}
