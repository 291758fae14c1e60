// Locking the data directory, and the version of what lies in it.
#include "storage/data_directory.hpp"

#include <leveldb/env.h>
#include <leveldb/status.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>

namespace waybill {
namespace {

constexpr const char* format_text = "waybill data directory, version 1\n";
constexpr const char* format_begins = "waybill data directory, version ";

std::string describe_process() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0)
    host[0] = '\0';
  const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  std::array<char, 32> when{};
  std::strftime(when.data(), when.size(), "%FT%TZ", &utc);
  return "process " + std::to_string(::getpid()) + " on " + host.data() + " since " + when.data();
}

} // namespace

data_directory::data_directory(const level_context& levels, std::string path)
    : levels_{levels}, path_{std::move(path)} {}

data_directory::~data_directory() {
  if (lock_)
    levels_.env()->UnlockFile(lock_);
}

result<std::unique_ptr<data_directory>> data_directory::open(const level_context& levels,
                                                             const std::string& path) {
  std::unique_ptr<data_directory> opened{new data_directory{levels, path}};
  if (auto ours = opened->look_for_strangers(); !ours)
    return ours.error();
  levels.make_directories(path);
  levels.make_directories(path + "/journal");
  if (auto locked = opened->take_lock(); !locked)
    return locked.error();
  if (auto read = opened->read_format(); !read)
    return read.error();
  return opened;
}

/// A directory whose begin was cut off by a power failure has parts of ours and no FORMAT.
result<void> data_directory::look_for_strangers() const {
  constexpr std::array<std::string_view, 6> ours{"journal", "state",      "LOCK",
                                                 "HOLDER",  "FORMAT.new", "lost+found"};
  if (levels_.env()->FileExists(path_ + "/FORMAT"))
    return {};
  std::vector<std::string> names;
  if (!levels_.env()->GetChildren(path_, &names).ok())
    return {}; // it is not there, or cannot be used: creating and locking it will tell
  std::ranges::sort(names);
  for (const auto& name : names)
    if (name != "." && name != ".." && std::ranges::find(ours, name) == ours.end())
      return failure{ec::bad_argument, "the directory " + path_ +
                                           " is not empty and is no data directory of a node: "
                                           "it holds `" +
                                           name +
                                           "` and no FORMAT; give the node a directory of its "
                                           "own (node.data-dir)"};
  return {};
}

result<void> data_directory::take_lock() {
  auto& env = *levels_.env();
  const auto holder = path_ + "/HOLDER";
  const auto status = env.LockFile(path_ + "/LOCK", &lock_);
  if (!status.ok()) {
    lock_ = nullptr;
    if (!env.FileExists(path_ + "/LOCK"))
      return failure{ec::storage_failed, "the data directory " + path_ +
                                             " cannot be used: " + status.ToString() +
                                             "; look at its owner and permissions"};
    std::string who;
    if (!leveldb::ReadFileToString(&env, holder, &who).ok() || who.empty())
      who = "another process";
    return failure{ec::directory_held, "the data directory " + path_ + " is in use by " + who +
                                           " (" + status.ToString() +
                                           "): stop it, or give this node a directory of its own"};
  }
  // For people alone: whether the directory is held is known from the lock.
  leveldb::WriteStringToFile(&env, describe_process(), holder);
  return {};
}

result<void> data_directory::read_format() {
  auto& env = *levels_.env();
  if (!env.FileExists(path_ + "/FORMAT"))
    return {};
  std::string text;
  if (const auto status = leveldb::ReadFileToString(&env, path_ + "/FORMAT", &text); !status.ok())
    return read_failure(status, path_ + "/FORMAT");
  if (text == format_text) {
    has_format_ = true;
    return {};
  }
  if (text.starts_with(format_begins))
    return failure{ec::version_unsupported, "the data directory " + path_ + " says '" +
                                                text.substr(0, text.find('\n')) +
                                                "', which this program does not know: start the "
                                                "version that wrote it"};
  return failure{ec::damaged, path_ + "/FORMAT does not say what this directory is: restore it "
                                      "from a copy"};
}

/// The directory's own name, and those of the directories above it: some of them may be new.
result<void> data_directory::sync_names() const {
  for (auto end = path_.size(); end != std::string::npos; end = path_.rfind('/', end - 1)) {
    if (end == 0)
      return levels_.sync_directory("/");
    if (auto synced = levels_.sync_directory(path_.substr(0, end)); !synced)
      return synced;
  }
  return levels_.sync_directory(".");
}

result<void> data_directory::write_format() {
  auto& env = *levels_.env();
  const auto temporary = path_ + "/FORMAT.new";
  leveldb::WritableFile* opened = nullptr;
  auto status = env.NewWritableFile(temporary, &opened);
  if (status.ok()) {
    const std::unique_ptr<leveldb::WritableFile> file{opened};
    status = file->Append(format_text);
    if (status.ok())
      status = file->Sync();
    if (status.ok())
      status = file->Close();
  }
  if (status.ok())
    status = env.RenameFile(temporary, path_ + "/FORMAT");
  if (!status.ok())
    return write_failure(status, path_ + "/FORMAT");
  if (auto synced = sync_names(); !synced)
    return synced;
  has_format_ = true;
  return {};
}

} // namespace waybill
