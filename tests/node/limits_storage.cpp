// How the journal lies on the disk and what of it is in memory, driven to its ends. Nothing is
// refused there: what shows is files and reads, and that every message still comes.
#include "tests/node/limits_support.hpp"

namespace waybill::test {

namespace {

constexpr std::uint64_t kib = 1u << 10;
constexpr auto small_generation = 16;
/// A partition keeps 4 MiB of what a group has read for the groups behind it: what is to be read
/// from the disk again must be more.
constexpr std::size_t large_message = 64 * kib;
constexpr std::size_t many_messages = 120;

/// Counts the reads of files from now on, without those of compactions, which come when they like.
std::shared_ptr<std::atomic<std::uint64_t>> count_reads(small_house& house, file_match of) {
  auto count = std::make_shared<std::atomic<std::uint64_t>>(0);
  house.env().add({.where = std::move(of),
                   .on = operation::read,
                   .what = effect::call,
                   .hook = [count](const std::string&) { *count += !fault_env::in_background(); }});
  return count;
}

/// A topic that two groups read from its beginning.
void add_topic(small_house& house) {
  house.admin().create_topic("orders", 1);
  house.admin().set_group("orders", "first", {});
  house.admin().set_group("orders", "second", {});
}

/// All is there, also for a node that finds it on the disk.
void expect_all(small_house& house, const std::vector<std::string>& ids) {
  house.expect_messages("orders", "first", ids);
  house.restart();
  house.expect_messages("orders", "second", ids);
  house.finish();
}

void generation_bytes() {
  small_house house{
      {.flags = {flag("storage.generation-bytes", 64 * kib)}, .others_may_wait = true}};
  add_topic(house);
  const auto ids = house.send_at_once("orders", 200, 4 * kib);
  CHECK(house.statistics().generations >= 8);
  expect_all(house, ids);
}

void generation_entries() {
  small_house house{
      {.flags = {flag("storage.generation-entries", small_generation)}, .others_may_wait = true}};
  add_topic(house);
  const auto ids = house.send_at_once("orders", 160);
  CHECK(house.statistics().generations >= 10);
  expect_all(house, ids);
}

void write_buffer() {
  small_house house{
      {.flags = {flag("storage.write-buffer-bytes", 64 * kib)}, .others_may_wait = true}};
  add_topic(house);
  const file_match tables{.kind = file_kind::table, .pattern = "*/journal/*"};
  CHECK(house.env().files(tables).empty());
  const auto ids = house.send_at_once("orders", 200, 4 * kib);
  CHECK(comes_true(patience, [&] { return house.env().files(tables).size() >= 3; }));
  expect_all(house, ids);
}

/// Reads of tables that the second group costs, when the first one has read them all.
std::uint64_t table_reads(const std::string& setting) {
  small_house house{{.flags = {flag("storage.write-buffer-bytes", 64 * kib),
                               flag("storage.tail-bytes-max", 0), setting}}};
  add_topic(house);
  const auto ids = house.send_at_once("orders", many_messages, large_message);
  house.expect_messages("orders", "first", ids);
  const auto reads = count_reads(house, {.kind = file_kind::table, .pattern = "*/journal/*"});
  house.expect_messages("orders", "second", ids);
  const auto count = reads->load();
  house.finish();
  return count;
}

void block_cache() {
  const auto with_little = table_reads(flag("storage.block-cache-bytes", 64 * kib));
  const auto with_much = table_reads(flag("storage.block-cache-bytes", 32 * kib * kib));
  CHECK(with_little >= 10);
  CHECK(with_much < with_little / 2);
}

void tail_bytes() {
  const auto reads_of = [](std::uint64_t tail) {
    small_house house{{.flags = {flag("storage.write-buffer-bytes", 64 * kib),
                                 flag("storage.tail-bytes-max", tail)}}};
    add_topic(house);
    const auto ids = house.send_at_once("orders", 200, 4 * kib);
    const auto reads = count_reads(house, {.kind = file_kind::table, .pattern = "*/journal/*"});
    house.expect_messages("orders", "first", ids);
    const auto count = reads->load();
    house.finish();
    return count;
  };
  CHECK(reads_of(0) > 0);
  CHECK(reads_of(64 * kib) > 0);
  CHECK(reads_of(64 * kib * kib) == 0);
}

void open_generations() {
  const auto opened_again = [](std::uint64_t most) {
    small_house house{
        {.flags = {flag("storage.generation-entries", small_generation),
                   flag("storage.tail-bytes-max", 0), flag("storage.open-generations-max", most)}}};
    add_topic(house);
    const auto ids = house.send("orders", many_messages, large_message);
    house.expect_messages("orders", "first", ids);
    const auto opened = count_reads(house, {.kind = file_kind::current, .pattern = "*/journal/*"});
    house.expect_messages("orders", "second", ids);
    const auto count = opened->load();
    house.finish();
    return count;
  };
  const auto one = opened_again(1);
  const auto all = opened_again(10'000);
  CHECK(one >= 3);
  CHECK(all < one);
}

void tables_bytes() {
  constexpr std::uint64_t entries = 1'000;
  const auto in_memory = [](std::uint64_t most) {
    small_house house{
        {.flags = {flag("storage.generation-entries", entries), flag("storage.tail-bytes-max", 0),
                   flag("storage.tables-bytes-max", most)}}};
    add_topic(house);
    const auto ids = house.send_at_once("orders", 6 * entries);
    house.expect_messages("orders", "first", ids);
    const auto bytes = house.statistics().table_bytes;
    house.expect_messages("orders", "second", ids);
    house.finish();
    return bytes;
  };
  constexpr std::uint64_t active = entries * 100; // the active generation's table is always there
  CHECK(in_memory(64 * kib) < 64 * kib + active);
  CHECK(in_memory(64 * kib * kib) > 64 * kib + active);
}

/// Each generation holds one message that stays; with how little may it still be left alone?
void empty_below() {
  const auto stuck_house = [](std::uint64_t percent, const auto& expect) {
    small_house house{{.flags = {flag("storage.generation-entries", small_generation),
                                 flag("storage.empty-below-percent", percent),
                                 "--partitions.checkpoint-interval=20ms"}}};
    house.admin().create_topic("orders", 1);
    house.admin().set_group("orders", "first", {});
    const auto ids = house.send("orders", 96);
    rpc_peer peer{house.port()};
    peer_consumer from{peer, "orders", "first"};
    from.await(ids.size());
    std::vector<std::string> stuck;
    for (std::size_t i = 0; i < ids.size(); ++i)
      if (i % small_generation == 0)
        stuck.push_back(ids[i]);
      else
        CHECK(from.ack(from.got()[i].offset) == ec::none);
    expect(house);
    from.close();
    house.expect_messages("orders", "first", stuck);
    house.finish();
  };
  stuck_house(0, [](small_house& house) {
    CHECK(comes_true(patience, [&] { return house.statistics().generations_destroyed > 2; }));
    CHECK(house.statistics().entries_rewritten == 0);
    CHECK(house.statistics().generations >= 4); // with a message each
  });
  stuck_house(90, [](small_house& house) {
    CHECK(comes_true(patience, [&] { return house.statistics().entries_rewritten >= 4; }));
  });
}

} // namespace

void add_storage_drivers(limit_drivers& to) {
  to["storage.generation-bytes"] = generation_bytes;
  to["storage.generation-entries"] = generation_entries;
  to["storage.write-buffer-bytes"] = write_buffer;
  to["storage.block-cache-bytes"] = block_cache;
  to["storage.tail-bytes-max"] = tail_bytes;
  to["storage.open-generations-max"] = open_generations;
  to["storage.tables-bytes-max"] = tables_bytes;
  to["storage.empty-below-percent"] = empty_below;
}

} // namespace waybill::test
