// What LevelDB calls of the fault Env: open files, names, locks, its background thread.
// Errors are those of LevelDB's own Env: NotFound where POSIX says ENOENT, IOError for all else.
#include "tests/support/fault_env.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

namespace waybill::test {

using leveldb::Status;

namespace {

Status no_such_file(const std::string& path) {
  return Status::NotFound(path, "No such file or directory");
}

/// LevelDB's own report of what it does; nothing reads it here.
class silent_logger final : public leveldb::Logger {
public:
  void Logv(const char* /*format*/, std::va_list /*arguments*/) override {}
};

} // namespace

struct fault_env::held_lock final : leveldb::FileLock {
  held_lock(std::string locked, std::uint64_t at) : path{std::move(locked)}, boot{at} {}
  std::string path;
  std::uint64_t boot;
};

class fault_env::sequential final : public leveldb::SequentialFile {
public:
  explicit sequential(handle opened) : opened_{std::move(opened)} {}
  Status Read(std::size_t bytes, leveldb::Slice* result, char* scratch) override {
    const auto status = opened_.env->read(opened_, at_, bytes, result, scratch);
    at_ += result->size();
    return status;
  }
  Status Skip(std::uint64_t bytes) override {
    at_ += bytes;
    return Status::OK();
  }

private:
  handle opened_;
  std::uint64_t at_ = 0;
};

class fault_env::random_access final : public leveldb::RandomAccessFile {
public:
  explicit random_access(handle opened) : opened_{std::move(opened)} {}
  Status Read(std::uint64_t offset, std::size_t bytes, leveldb::Slice* result,
              char* scratch) const override {
    return opened_.env->read(opened_, offset, bytes, result, scratch);
  }

private:
  handle opened_;
};

class fault_env::writable final : public leveldb::WritableFile {
public:
  explicit writable(handle opened) : opened_{std::move(opened)} {}
  Status Append(const leveldb::Slice& data) override { return opened_.env->append(opened_, data); }
  Status Close() override { return Status::OK(); }
  Status Flush() override { return Status::OK(); } // to the page cache, where it is already
  Status Sync() override { return opened_.env->sync(opened_); }

private:
  handle opened_;
};

// ---- files -------------------------------------------------------------------------------------

Status fault_env::read(const handle& from, std::uint64_t offset, std::size_t bytes,
                       leveldb::Slice* result, char* scratch) {
  lock held{mutex_};
  *result = leveldb::Slice{};
  const auto met = meet_fault(held, operation::read, from.path);
  if (const auto alive = check_alive(from); !alive.ok())
    return alive;
  if (met)
    return Status::IOError(from.path, met->message);
  const auto& data = from.file->data;
  if (offset >= data.size())
    return Status::OK();
  const auto most = std::min<std::size_t>(bytes, data.size() - offset);
  std::memcpy(scratch, data.data() + offset, most);
  *result = leveldb::Slice{scratch, most};
  return Status::OK();
}

Status fault_env::NewSequentialFile(const std::string& name, leveldb::SequentialFile** file) {
  const lock held{mutex_};
  *file = nullptr;
  if (const auto on = check_on(); !on.ok())
    return on;
  const auto path = clean_path(name);
  const auto node = disk_.find(path);
  if (!node)
    return no_such_file(name);
  *file = new sequential{{this, path, node, boot_}};
  return Status::OK();
}

Status fault_env::NewRandomAccessFile(const std::string& name, leveldb::RandomAccessFile** file) {
  const lock held{mutex_};
  *file = nullptr;
  if (const auto on = check_on(); !on.ok())
    return on;
  const auto path = clean_path(name);
  const auto node = disk_.find(path);
  if (!node)
    return no_such_file(name);
  *file = new random_access{{this, path, node, boot_}};
  return Status::OK();
}

Status fault_env::open_to_write(const std::string& name, bool keep, leveldb::WritableFile** file) {
  lock held{mutex_};
  *file = nullptr;
  const auto path = clean_path(name);
  file_ptr node;
  const auto opened = change_names(held, operation::create, path, [&]() -> Status {
    if (disk_.is_directory(path))
      return Status::IOError(name, "Is a directory");
    if (!disk_.parent_exists(path))
      return no_such_file(name);
    node = keep ? disk_.find(path) : nullptr;
    if (!node) {
      node = disk_.create(path);
      trace_.add(event_kind::create, path);
    }
    return Status::OK();
  });
  if (opened.ok()) // it may have been made, and then the power failed
    *file = new writable{{this, path, node, boot_}};
  return opened;
}

Status fault_env::NewWritableFile(const std::string& name, leveldb::WritableFile** file) {
  return open_to_write(name, false, file);
}

Status fault_env::NewAppendableFile(const std::string& name, leveldb::WritableFile** file) {
  return open_to_write(name, true, file);
}

// ---- names -------------------------------------------------------------------------------------

Status fault_env::change_names(lock& held, operation on, const std::string& path,
                               const std::function<Status()>& action) {
  const auto met = meet_fault(held, on, path);
  if (const auto powered = check_on(); !powered.ok())
    return powered;
  if (met)
    return Status::IOError(path, met->message);
  return operate(action);
}

bool fault_env::FileExists(const std::string& name) {
  const lock held{mutex_};
  const auto path = clean_path(name);
  return !off_ && (disk_.find(path) || disk_.is_directory(path));
}

Status fault_env::GetChildren(const std::string& directory, std::vector<std::string>* names) {
  const lock held{mutex_};
  names->clear();
  if (const auto on = check_on(); !on.ok())
    return on;
  const auto path = clean_path(directory);
  if (!disk_.is_directory(path))
    return no_such_file(directory);
  *names = disk_.children(path);
  names->insert(names->end(), {".", ".."}); // as readdir tells them, and LevelDB's own Env with it
  return Status::OK();
}

Status fault_env::RemoveFile(const std::string& name) {
  lock held{mutex_};
  const auto path = clean_path(name);
  return change_names(held, operation::remove, path, [&]() -> Status {
    if (!disk_.find(path))
      return no_such_file(name);
    disk_.remove(path);
    trace_.add(event_kind::remove, path);
    return Status::OK();
  });
}

Status fault_env::CreateDir(const std::string& name) {
  lock held{mutex_};
  const auto path = clean_path(name);
  return change_names(held, operation::create, path, [&]() -> Status {
    if (disk_.is_directory(path) || disk_.find(path))
      return Status::IOError(name, "File exists");
    if (!disk_.parent_exists(path))
      return no_such_file(name);
    disk_.make_directory(path);
    trace_.add(event_kind::create, path);
    return Status::OK();
  });
}

Status fault_env::RemoveDir(const std::string& name) {
  lock held{mutex_};
  const auto path = clean_path(name);
  return change_names(held, operation::remove, path, [&]() -> Status {
    if (!disk_.is_directory(path))
      return no_such_file(name);
    if (!disk_.children(path).empty())
      return Status::IOError(name, "Directory not empty");
    disk_.remove_directory(path);
    trace_.add(event_kind::remove, path);
    return Status::OK();
  });
}

Status fault_env::GetFileSize(const std::string& name, std::uint64_t* bytes) {
  const lock held{mutex_};
  *bytes = 0;
  if (const auto on = check_on(); !on.ok())
    return on;
  const auto file = disk_.find(clean_path(name));
  if (!file)
    return no_such_file(name);
  *bytes = file->data.size();
  return Status::OK();
}

Status fault_env::RenameFile(const std::string& from, const std::string& to) {
  lock held{mutex_};
  const auto path = clean_path(from);
  const auto target = clean_path(to);
  return change_names(held, operation::rename, path, [&]() -> Status {
    const bool directory = disk_.is_directory(path);
    if ((!directory && !disk_.find(path)) || !disk_.parent_exists(target))
      return no_such_file(from);
    if (disk_.is_directory(target) && (!directory || !disk_.children(target).empty()))
      return Status::IOError(to, directory ? "Directory not empty" : "Is a directory");
    if (directory && disk_.find(target))
      return Status::IOError(to, "Not a directory");
    if (path != target)
      disk_.rename(path, target);
    trace_.add(event_kind::rename, path, 0, 0, target);
    return Status::OK();
  });
}

// ---- locks, threads, time ----------------------------------------------------------------------

Status fault_env::LockFile(const std::string& name, leveldb::FileLock** lock_made) {
  const lock held{mutex_};
  *lock_made = nullptr;
  if (const auto on = check_on(); !on.ok())
    return on;
  const auto path = clean_path(name);
  if (!disk_.parent_exists(path))
    return no_such_file(name);
  if (!locks_.insert(path).second)
    return Status::IOError("lock " + name, "already held by process");
  if (!disk_.find(path))
    disk_.create(path);
  *lock_made = new held_lock{path, boot_};
  return Status::OK();
}

Status fault_env::UnlockFile(leveldb::FileLock* lock_made) {
  const std::unique_ptr<held_lock> owned{static_cast<held_lock*>(lock_made)};
  const lock held{mutex_};
  if (owned->boot == boot_) // one from before a power cut may not free what somebody holds now
    locks_.erase(owned->path);
  return Status::OK();
}

void fault_env::Schedule(void (*function)(void*), void* argument) {
  const lock held{mutex_};
  work_.emplace_back(function, argument);
  work_arrived_.notify_one();
}

static thread_local bool works_for_leveldb = false;

bool fault_env::in_background() noexcept { return works_for_leveldb; }

void fault_env::work() {
  works_for_leveldb = true;
  lock held{mutex_};
  for (;;) {
    work_arrived_.wait(held, [this] { return stopping_ || !work_.empty(); });
    if (work_.empty())
      return;
    const auto [function, argument] = work_.front();
    work_.pop_front();
    held.unlock();
    function(argument);
    held.lock();
  }
}

void fault_env::StartThread(void (*function)(void*), void* argument) {
  leveldb::Env::Default()->StartThread(function, argument);
}

Status fault_env::GetTestDirectory(std::string* path) {
  *path = "/test";
  make_directories(*path);
  return Status::OK();
}

Status fault_env::NewLogger(const std::string& /*name*/, leveldb::Logger** logger) {
  *logger = new silent_logger;
  return Status::OK();
}

std::uint64_t fault_env::NowMicros() { return leveldb::Env::Default()->NowMicros(); }

void fault_env::SleepForMicroseconds(int micros) {
  leveldb::Env::Default()->SleepForMicroseconds(micros);
}

} // namespace waybill::test
