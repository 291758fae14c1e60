// See line_reader.hpp.
#include "apps/waybill/line_reader.hpp"

#include <cerrno>
#include <cstring>
#include <poll.h>
#include <unistd.h>

namespace waybill::cli {

namespace {
constexpr std::size_t read_bytes = 256 * 1024;
} // namespace

line_reader::line_reader(options o) : options_{o} {}

line_reader::item line_reader::next(std::chrono::milliseconds patience) {
  while (true) {
    if (options_.split == split_at::newline) {
      const auto found = buffer_.find('\n', scanned_);
      if (found != std::string::npos)
        return take(found - begin_, in_pieces_ ? kind::last_piece : kind::line);
      scanned_ = buffer_.size();
    }
    if (buffer_.size() - begin_ > options_.line_bytes_max) {
      in_pieces_ = true;
      return take(buffer_.size() - begin_, kind::piece);
    }
    if (at_end_)
      return take_rest();
    switch (fill(patience)) {
    case filled::more:
      break;
    case filled::end:
      at_end_ = true;
      break;
    case filled::idle:
      return {kind::idle, {}, false};
    case filled::stopped:
      return {kind::stopped, {}, false};
    case filled::failed:
      return {kind::failed, reason_, false};
    }
  }
}

line_reader::item line_reader::take_rest() {
  const auto rest = buffer_.size() - begin_;
  if (in_pieces_)
    return take(rest, kind::last_piece);
  const bool one_of_nothing = options_.split == split_at::end_of_input && !gave_any_;
  if (rest > 0 || one_of_nothing)
    return take(rest, kind::line);
  return {kind::end, {}, false};
}

line_reader::item line_reader::take(std::size_t length, kind what) {
  item taken{what, buffer_.substr(begin_, length), false};
  begin_ += length;
  if (what != kind::piece) {
    taken.newline = options_.split == split_at::newline && begin_ < buffer_.size();
    begin_ += taken.newline ? 1 : 0;
    in_pieces_ = false;
  }
  scanned_ = begin_;
  gave_any_ = true;
  return taken;
}

line_reader::filled line_reader::fill(std::chrono::milliseconds patience) {
  pollfd watched[2] = {{options_.fd, POLLIN, 0}, {options_.stop_fd, POLLIN, 0}};
  const int ready = ::poll(watched, 2, static_cast<int>(patience.count()));
  if (ready < 0 && errno != EINTR) {
    reason_ = std::strerror(errno);
    return filled::failed;
  }
  if (ready < 0)
    return filled::idle;
  if ((watched[1].revents & POLLIN) != 0)
    return filled::stopped;
  if (watched[0].revents == 0)
    return filled::idle;
  buffer_.erase(0, begin_);
  scanned_ -= begin_;
  begin_ = 0;
  const auto old = buffer_.size();
  buffer_.resize(old + read_bytes);
  const auto count = ::read(options_.fd, buffer_.data() + old, read_bytes);
  buffer_.resize(old + (count > 0 ? static_cast<std::size_t>(count) : 0));
  if (count < 0) {
    reason_ = std::strerror(errno);
    return errno == EINTR || errno == EAGAIN ? filled::idle : filled::failed;
  }
  bytes_read_ += static_cast<std::uint64_t>(count);
  return count == 0 ? filled::end : filled::more;
}

} // namespace waybill::cli
