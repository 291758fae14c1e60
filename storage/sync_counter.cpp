// See sync_counter.hpp.
#include "storage/sync_counter.hpp"

#include <leveldb/env.h>
#include <leveldb/status.h>

#include <string>

namespace waybill {
namespace {

class counted_file final : public leveldb::WritableFile {
public:
  counted_file(sync_counter& counter, std::uint64_t calls, leveldb::WritableFile* below)
      : counter_{counter}, calls_{calls}, below_{below} {}
  leveldb::Status Append(const leveldb::Slice& data) override { return below_->Append(data); }
  leveldb::Status Close() override { return below_->Close(); }
  leveldb::Status Flush() override { return below_->Flush(); }
  leveldb::Status Sync() override {
    counter_.add(calls_);
    return below_->Sync();
  }

private:
  sync_counter& counter_;
  const std::uint64_t calls_; ///< that one sync costs
  const std::unique_ptr<leveldb::WritableFile> below_;
};

} // namespace

class sync_counter::counting_env final : public leveldb::EnvWrapper {
public:
  counting_env(sync_counter& counter, manifest_costs manifest, leveldb::Env* below)
      : EnvWrapper{below}, counter_{counter}, manifest_{static_cast<std::uint64_t>(manifest)} {}

  leveldb::Status NewWritableFile(const std::string& path, leveldb::WritableFile** file) override {
    return counted(path, target()->NewWritableFile(path, file), file);
  }
  leveldb::Status NewAppendableFile(const std::string& path,
                                    leveldb::WritableFile** file) override {
    return counted(path, target()->NewAppendableFile(path, file), file);
  }

private:
  leveldb::Status counted(const std::string& path, leveldb::Status opened,
                          leveldb::WritableFile** file) const {
    const bool is_manifest = path.find("MANIFEST-", path.rfind('/') + 1) != std::string::npos;
    if (opened.ok())
      *file =
          new counted_file{counter_, is_manifest ? manifest_ : 1, *file}; // its user's to delete
    return opened;
  }

  sync_counter& counter_;
  const std::uint64_t manifest_;
};

sync_counter::sync_counter(leveldb::Env* below, manifest_costs manifest)
    : env_{std::make_unique<counting_env>(*this, manifest, below)} {}
sync_counter::~sync_counter() = default;

leveldb::Env* sync_counter::env() const noexcept { return env_.get(); }

} // namespace waybill
