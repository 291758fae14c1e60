// Temporary stores, and logs to put into them.
#include "tests/unit/storage/store_fixture.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>

namespace waybill::test {

temporary_directory::temporary_directory() {
  std::string name = (std::filesystem::temp_directory_path() / "waybill-store-XXXXXX").string();
  REQUIRE(::mkdtemp(name.data()) != nullptr);
  path_ = name;
}

temporary_directory::~temporary_directory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

entry log_maker::next(std::uint32_t messages, std::size_t bytes) {
  entry e;
  e.partition = partition_;
  e.index = log_index{all_.size() + 1};
  e.written = written_;
  e.kind = messages > 0 ? entry_kind::messages : entry_kind::delivery;
  e.first_offset = next_offset();
  e.message_count = messages;
  e.stamped = wall_time{std::chrono::milliseconds{1'000'000 + all_.size()}};
  e.previous = last().hash;
  std::string body(bytes, '\0');
  for (std::size_t i = 0; i < bytes; ++i)
    body[i] = static_cast<char>(i * 31 + e.index.value + e.written.value);
  e.body = shared_bytes{std::move(body)};
  e.hash = chain_hash(e);
  all_.push_back(e);
  return e;
}

std::vector<entry> log_maker::next_many(std::size_t count, std::uint32_t messages,
                                        std::size_t bytes) {
  std::vector<entry> made;
  for (std::size_t i = 0; i < count; ++i)
    made.push_back(next(messages, bytes));
  return made;
}

void log_maker::go_back_to(log_index index) {
  all_.resize(index.value);
  ++written_.value;
}

log_position log_maker::last() const {
  return all_.empty() ? log_position{} : position_of(all_.back());
}

message_offset log_maker::next_offset() const {
  return all_.empty() ? message_offset{} : offsets_of(all_.back()).end;
}

store_fixture::store_fixture(medium where) {
  options.directory = directory.path() / "data";
  if (where == medium::memory) {
    env.make_directories(directory.path().string());
    options.env = &env;
  }
  options.generation_entries = 1'000;
  options.write_buffer_bytes = 1u << 20;
  options.log = [this](const std::string& line) { said.push_back(line); };
}

result<std::unique_ptr<store>> store_fixture::try_open() { return store::open(options); }

void store_fixture::open() { store_ = must(try_open()); }

log_maker store_fixture::begin(std::uint64_t topic, std::uint32_t number) {
  const partition_id partition{topic_id{topic}, number};
  must(store_->begin_copy(partition, copy_id{topic * 1'000 + number + 1}));
  return log_maker{partition};
}

void store_fixture::write(std::vector<entry> entries) {
  write_set set;
  set.entries = std::move(entries);
  must(store_->write(set));
}

void store_fixture::checkpoint_at_end(const log_maker& log, std::vector<offset_range> needed) {
  checkpoint point;
  point.state.at = log.last();
  point.state.next_offset = log.next_offset();
  point.state.last_stamp = log.all().back().stamped;
  point.needed = std::move(needed);
  const std::vector<std::pair<partition_id, checkpoint>> points{{log.partition(), point}};
  must(store_->write_checkpoints(points));
}

std::size_t store_fixture::tidy_all() {
  std::size_t steps = 1;
  while (must(store_->tidy())) {
    ++steps;
    REQUIRE(steps < 10'000);
  }
  return steps;
}

std::vector<entry> store_fixture::read_all(partition_id partition, std::size_t piece) {
  std::vector<entry> all;
  for (log_index from{1};;) {
    auto some = must(store_->read(partition, from, piece));
    if (some.empty())
      return all;
    from = log_index{some.back().index.value + 1};
    all.insert(all.end(), some.begin(), some.end());
  }
}

std::filesystem::path store_fixture::generation(std::uint64_t number) const {
  std::array<char, 32> name{};
  std::snprintf(name.data(), name.size(), "%06llu", static_cast<unsigned long long>(number));
  return options.directory / "journal" / name.data();
}

std::uint64_t store_fixture::disk_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& file : env.files())
    bytes += env.contents(file).size();
  return bytes;
}

void check_equal(const std::vector<entry>& found, const std::vector<entry>& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    INFO("at " << i);
    REQUIRE(found[i].index == expected[i].index);
    REQUIRE(found[i].hash == expected[i].hash);
    REQUIRE(found[i].body == expected[i].body);
    REQUIRE(found[i].stamped == expected[i].stamped);
  }
}

} // namespace waybill::test
