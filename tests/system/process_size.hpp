// What a process costs: its memory, and the disk of its directory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <sys/stat.h>
#include <sys/types.h>

namespace waybill::system_test {

struct process_memory {
  std::uint64_t resident = 0;  ///< bytes: all of it, files that are mapped included
  std::uint64_t anonymous = 0; ///< bytes of that which are no file's
};

/// Zeros when the process is gone.
inline process_memory memory_of(pid_t pid) {
  process_memory found;
  std::ifstream status{"/proc/" + std::to_string(pid) + "/status"};
  for (std::string word; status >> word;) {
    std::uint64_t kib = 0;
    if (word == "VmRSS:" && status >> kib)
      found.resident = kib * 1024;
    else if (word == "RssAnon:" && status >> kib)
      found.anonymous = kib * 1024;
  }
  return found;
}

/// Bytes that the files below a directory take; those that vanish meanwhile count as nothing.
inline std::uint64_t disk_of(const std::filesystem::path& directory) {
  std::uint64_t bytes = 0;
  std::error_code gone;
  for (std::filesystem::recursive_directory_iterator at{directory, gone}, end; !gone && at != end;
       at.increment(gone)) {
    struct stat found {};
    if (::lstat(at->path().c_str(), &found) == 0 && S_ISREG(found.st_mode))
      bytes += static_cast<std::uint64_t>(found.st_blocks) * 512;
  }
  return bytes;
}

} // namespace waybill::system_test
