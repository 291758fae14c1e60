// What the tests of the command line's parts share: pipes, files that vanish.
#pragma once

#include <catch2/catch.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <unistd.h>

namespace waybill::cli::testing {

/// A pipe; its ends may be closed early.
class pipe_ends {
public:
  pipe_ends() { REQUIRE(::pipe(ends_) == 0); }
  ~pipe_ends() {
    close_reader();
    close_writer();
  }
  pipe_ends(const pipe_ends&) = delete;
  pipe_ends& operator=(const pipe_ends&) = delete;
  [[nodiscard]] int reader() const { return ends_[0]; }
  [[nodiscard]] int writer() const { return ends_[1]; }
  void put(std::string_view bytes) const {
    REQUIRE(::write(ends_[1], bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  }
  void close_reader() { close_one(ends_[0]); }
  void close_writer() { close_one(ends_[1]); }

private:
  static void close_one(int& fd) {
    if (fd >= 0)
      ::close(fd);
    fd = -1;
  }
  int ends_[2] = {-1, -1};
};

/// A directory that is gone afterwards.
class scratch {
public:
  scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "waybill-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }

private:
  std::filesystem::path path_;
};

inline std::string content_of(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  std::stringstream all;
  all << in.rdbuf();
  return all.str();
}

inline void put_content(const std::string& path, const std::string& bytes) {
  std::ofstream{path, std::ios::binary} << bytes;
}

} // namespace waybill::cli::testing
