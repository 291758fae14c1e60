// Reads a stream line by line, or as one piece, in bounded memory: lines may hold any bytes, may be
// empty, and the last one may lack its newline. Waits no longer than told, and not past a stop.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace waybill::cli {

enum class split_at { newline, end_of_input };

class line_reader {
public:
  struct options {
    int fd = 0;
    int stop_fd = -1; ///< readable: answer `stopped`; -1: none
    split_at split = split_at::newline;
    std::size_t line_bytes_max = 17u << 20; ///< a longer one comes as pieces
  };
  enum class kind {
    line,       ///< a whole line
    piece,      ///< a part of a line that is too long; more of it follows
    last_piece, ///< its rest
    idle,       ///< nothing within the patience; what has come of a line is kept
    end,        ///< of the input; every line was given
    stopped,    ///< a stop was asked for
    failed      ///< the input cannot be read: `bytes` says why
  };
  struct item {
    kind what = kind::end;
    std::string bytes;    ///< without the newline
    bool newline = false; ///< it ended with one
  };

  explicit line_reader(options o);
  /// With `end_of_input` exactly one line comes, also out of nothing.
  [[nodiscard]] item next(std::chrono::milliseconds patience);
  [[nodiscard]] std::uint64_t bytes_read() const noexcept { return bytes_read_; }

private:
  enum class filled { more, idle, end, stopped, failed };
  filled fill(std::chrono::milliseconds patience);
  item take(std::size_t length, kind what);
  item take_rest();

  options options_;
  std::string buffer_;
  std::size_t begin_ = 0;   // of what was not given yet
  std::size_t scanned_ = 0; // no newline before it
  std::uint64_t bytes_read_ = 0;
  bool in_pieces_ = false;
  bool at_end_ = false;
  bool gave_any_ = false;
  std::string reason_;
};

} // namespace waybill::cli
