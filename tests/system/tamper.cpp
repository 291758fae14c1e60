// Damages a node's data directory by hand, as tests want it: takes one entry with messages out of a
// generation of the journal, or changes one byte of its body. Knows the keys and the header of
// docs/format.md, and none of the node's code. See `waybill-tamper --help`.
#include <CLI/CLI.hpp>
#include <leveldb/db.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace {

struct options {
  std::filesystem::path directory;
  std::string from;
  std::uint64_t topic = 0;
  std::uint32_t partition = 0;
  bool flip = false;
};

/// An entry with messages, as its key and its header say (docs/format.md, sections 2 and 4).
struct found_entry {
  std::string key, value;
  std::uint64_t index = 0, first_offset = 0;
  std::uint32_t messages = 0;
};

constexpr std::size_t header_bytes = 88;
constexpr char kind_messages = 2;

std::uint64_t little(const std::string& bytes, std::size_t at, std::size_t size) {
  std::uint64_t value = 0;
  for (std::size_t i = size; i-- > 0;)
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

std::uint64_t big(const std::string& bytes) {
  std::uint64_t value = 0;
  for (const char each : bytes)
    value = value << 8 | static_cast<unsigned char>(each);
  return value;
}

void require(const leveldb::Status& status) {
  if (!status.ok())
    throw std::runtime_error{status.ToString()};
}

std::unique_ptr<leveldb::DB> open(const std::filesystem::path& generation) {
  leveldb::Options how;
  how.paranoid_checks = true;
  how.compression = leveldb::kNoCompression;
  leveldb::DB* database = nullptr;
  require(leveldb::DB::Open(how, generation.string(), &database));
  return std::unique_ptr<leveldb::DB>{database};
}

std::vector<found_entry> entries_of(leveldb::DB& database, const options& o) {
  std::vector<found_entry> found;
  const std::unique_ptr<leveldb::Iterator> at{database.NewIterator({})};
  for (at->SeekToFirst(); at->Valid() && at->key().size() == 8; at->Next()) {
    const auto value = at->value().ToString();
    if (value.size() < header_bytes || value[2] != kind_messages ||
        little(value, 8, 8) != o.topic || little(value, 48, 4) != o.partition)
      continue;
    found.push_back({.key = at->key().ToString(),
                     .value = value,
                     .index = little(value, 16, 8),
                     .first_offset = little(value, 32, 8),
                     .messages = static_cast<std::uint32_t>(little(value, 52, 4))});
  }
  require(at->status());
  return found;
}

void damage(leveldb::DB& database, found_entry what, bool flip) {
  leveldb::WriteOptions synced;
  synced.sync = true;
  if (!flip)
    return require(database.Delete(synced, what.key));
  what.value[what.value.size() / 2 + header_bytes / 2] ^= 0x10; // in the middle of the body
  require(database.Put(synced, what.key, what.value));
}

/// Whether it holds a table of contents, which only sealed generations do.
bool sealed(leveldb::DB& database) {
  std::string table;
  return database.Get({}, "\xffT", &table).ok();
}

/// The first generation of the wanted kind that holds three entries of the partition: the one in
/// the middle is neither the first nor the last of its log.
bool run(const options& o) {
  std::set<std::filesystem::path> generations;
  for (const auto& each : std::filesystem::directory_iterator{o.directory / "journal"})
    generations.insert(each.path());
  for (const auto& path : generations) {
    if (!std::filesystem::exists(path / "CURRENT"))
      continue;
    const auto database = open(path);
    if (sealed(*database) != (o.from == "sealed"))
      continue;
    const auto entries = entries_of(*database, o);
    if (entries.size() < 3)
      continue;
    const auto& chosen = entries[entries.size() / 2];
    damage(*database, chosen, o.flip);
    std::cout << nlohmann::json{{"generation", path.filename().string()},
                                {"sequence", big(chosen.key)},
                                {"index", chosen.index},
                                {"first_offset", chosen.first_offset},
                                {"messages", chosen.messages}}
              << '\n';
    return true;
  }
  std::cerr << "waybill-tamper: no " << o.from << " generation holds three entries of partition "
            << o.partition << " with messages.\n";
  return false;
}

} // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app{"Takes one entry out of a data directory, or changes a byte of it"};
  app.add_option("DIRECTORY", o.directory, "A node's data directory that no node uses")->required();
  app.add_option("--from", o.from, "Which generation: sealed or active")
      ->required()
      ->check(CLI::IsMember({"sealed", "active"}));
  app.add_option("--topic", o.topic, "The id of the entry's topic, in decimal")->required();
  app.add_option("--partition", o.partition, "The number of the entry's partition")
      ->capture_default_str();
  app.add_flag("--flip", o.flip, "Change one byte of the entry's body, and leave it there");
  app.footer("Prints as JSON which entry it was.\n"
             "Example: waybill-tamper /var/tmp/copy --from sealed --topic 5064597470536898532");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(o) ? 0 : 1;
  } catch (const std::exception& e) {
    std::cerr << "waybill-tamper: " << e.what() << '\n';
    return 1;
  }
}
