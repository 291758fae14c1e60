// See early_writeback.hpp.
#include "storage/early_writeback.hpp"

#include <leveldb/env.h>
#include <leveldb/status.h>

#include <fcntl.h>
#include <string>
#include <unistd.h>

namespace waybill {
namespace {

/// A table's file. LevelDB keeps its descriptor to itself, hence a second one; what goes wrong on
/// the disk is still told to the first by its sync, as each descriptor is told of it by itself.
class table_file final : public leveldb::WritableFile {
public:
  table_file(const std::string& path, leveldb::WritableFile* below)
      : below_{below}, descriptor_{::open(path.c_str(), O_WRONLY | O_CLOEXEC)} {}
  ~table_file() override { close_own(); }
  table_file(const table_file&) = delete;
  table_file& operator=(const table_file&) = delete;

  leveldb::Status Append(const leveldb::Slice& data) override {
    auto status = below_->Append(data);
    waiting_ += data.size();
    if (waiting_ >= writeback_piece_bytes)
      begin_writeback();
    return status;
  }
  leveldb::Status Close() override {
    close_own();
    return below_->Close();
  }
  leveldb::Status Flush() override { return below_->Flush(); }
  leveldb::Status Sync() override { return below_->Sync(); }

private:
  /// Refused (a file system without it, no descriptor to spare): nothing is lost but time.
  void begin_writeback() {
    waiting_ = 0;
    if (descriptor_ >= 0)
      ::sync_file_range(descriptor_, 0, 0, SYNC_FILE_RANGE_WRITE);
  }

  void close_own() {
    if (descriptor_ >= 0)
      ::close(descriptor_);
    descriptor_ = -1;
  }

  const std::unique_ptr<leveldb::WritableFile> below_;
  int descriptor_;
  std::uint64_t waiting_ = 0; ///< written since the disk was last asked to begin
};

class early_writeback_env final : public leveldb::EnvWrapper {
public:
  using EnvWrapper::EnvWrapper;

  leveldb::Status NewWritableFile(const std::string& path, leveldb::WritableFile** file) override {
    auto opened = target()->NewWritableFile(path, file);
    if (opened.ok() && path.ends_with(".ldb"))
      *file = new table_file{path, *file}; // its user's to delete
    return opened;
  }
};

} // namespace

std::unique_ptr<leveldb::Env> early_writeback(leveldb::Env* below) {
  return std::make_unique<early_writeback_env>(below);
}

} // namespace waybill
