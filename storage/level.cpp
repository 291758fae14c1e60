// Options of the databases, directories, and the translation of LevelDB's errors.
#include "storage/level.hpp"

#include "storage/early_writeback.hpp"

#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/env.h>
#include <leveldb/options.h>
#include <leveldb/status.h>

#include <cerrno>
#include <fcntl.h>
#include <system_error>
#include <unistd.h>

namespace waybill {
namespace {

/// LevelDB's own log says nothing that an error does not say, and would be one more file per
/// database.
class silent_logger final : public leveldb::Logger {
public:
  void Logv(const char*, std::va_list) override {}
};

} // namespace

level_context::level_context(leveldb::Env* env, std::uint64_t write_buffer_bytes,
                             std::uint64_t block_cache_bytes)
    : real_{env == nullptr}, early_{real_ ? early_writeback(leveldb::Env::Default()) : nullptr},
      syncs_{real_ ? early_.get() : env,
             real_ ? sync_counter::manifest_costs::two : sync_counter::manifest_costs::one},
      write_buffer_bytes_{write_buffer_bytes}, cache_{leveldb::NewLRUCache(block_cache_bytes)},
      logger_{std::make_unique<silent_logger>()} {}

level_context::~level_context() = default;

leveldb::Options level_context::journal_options() const {
  leveldb::Options options;
  options.env = env();
  options.info_log = logger_.get();
  options.block_cache = cache_.get();
  options.paranoid_checks = true;
  options.compression = leveldb::kNoCompression; // bodies come compressed, if anybody wants that
  options.block_size = 64u << 10;
  options.write_buffer_size = write_buffer_bytes_;
  options.max_file_size = 64u << 20;
  options.max_open_files = 100;
  return options;
}

leveldb::Options level_context::state_options() const {
  leveldb::Options options;
  options.env = env();
  options.info_log = logger_.get();
  options.block_cache = cache_.get();
  options.paranoid_checks = true;
  options.write_buffer_size = 4u << 20;
  return options;
}

void level_context::make_directories(const std::string& path) const {
  for (auto slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1))
    env()->CreateDir(path.substr(0, slash)); // fails where it exists; who opens it sees the rest
  env()->CreateDir(path);
}

result<void> level_context::sync_directory(const std::string& path) const {
  if (!real_)
    return {};
  // LevelDB syncs its own directories with each manifest; this is for the names of the directories
  // themselves. A file system that cannot do it (EINVAL) has no such notion; a directory that we
  // may not read was made by somebody else.
  const int directory = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0)
    syncs_.add(1);
  const bool synced = directory >= 0 ? ::fsync(directory) == 0 || errno == EINVAL : errno == EACCES;
  const auto why = errno;
  if (directory >= 0)
    ::close(directory);
  if (synced)
    return {};
  return write_failure(leveldb::Status::IOError(std::generic_category().message(why)),
                       "the directory " + path);
}

result<std::vector<std::string>> level_context::children(const std::string& path) const {
  std::vector<std::string> names;
  const auto status = env()->GetChildren(path, &names);
  if (!status.ok() && !status.IsNotFound())
    return read_failure(status, "the directory " + path);
  std::erase_if(names, [](const std::string& name) { return name == "." || name == ".."; });
  return names;
}

bool level_context::has_database(const std::string& path) const {
  return env()->FileExists(path + "/CURRENT");
}

failure write_failure(const leveldb::Status& status, const std::string& where) {
  return {ec::storage_failed,
          "writing to " + where + " failed (" + status.ToString() +
              "): what is on the disk is unknown, so the node has to stop; look "
              "at the disk before it starts again"};
}

failure read_failure(const leveldb::Status& status, const std::string& where) {
  if (status.IsIOError())
    return {ec::storage_failed, "reading " + where + " failed: " + status.ToString()};
  return {ec::damaged, where + " is damaged (" + status.ToString() +
                           "): restore the data directory from a copy"};
}

} // namespace waybill
