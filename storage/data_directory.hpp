// The data directory itself: one process at a time, and a format that this program knows.
// `LOCK` is locked while the store is open; `HOLDER` names the process that holds it; `FORMAT`,
// written last when a directory is begun, says that what belongs there is there.
#pragma once

#include "storage/error.hpp"
#include "storage/level.hpp"

#include <memory>
#include <string>

namespace leveldb {
class FileLock;
}

namespace waybill {

class data_directory {
public:
  /// Creates it where it is missing, locks it, and reads its format. One that holds other files,
  /// and no `FORMAT`, is somebody else's: it is not touched.
  /// @errors `bad_argument` (somebody else's), `directory_held`, `version_unsupported`, `damaged`,
  /// `storage_failed`
  [[nodiscard]] static result<std::unique_ptr<data_directory>> open(const level_context& levels,
                                                                    const std::string& path);
  ~data_directory();
  data_directory(const data_directory&) = delete;
  data_directory& operator=(const data_directory&) = delete;

  [[nodiscard]] std::string journal() const { return path_ + "/journal"; }
  [[nodiscard]] std::string state() const { return path_ + "/state"; }
  /// Whether it was begun and finished: its small store has to be there then.
  [[nodiscard]] bool has_format() const { return has_format_; }
  /// @errors `storage_failed`
  [[nodiscard]] result<void> write_format();

private:
  data_directory(const level_context& levels, std::string path);
  [[nodiscard]] result<void> look_for_strangers() const;
  [[nodiscard]] result<void> take_lock();
  [[nodiscard]] result<void> read_format();
  [[nodiscard]] result<void> sync_names() const;

  const level_context& levels_;
  std::string path_;
  leveldb::FileLock* lock_ = nullptr;
  bool has_format_ = false;
};

} // namespace waybill
