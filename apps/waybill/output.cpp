// See output.hpp.
#include "apps/waybill/output.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace waybill::cli {

namespace {

// Small enough that a pipe which `poll` calls writable takes it without blocking for long.
constexpr std::size_t piece_bytes = 4'096;

bool is_pipe_like(int fd) { return ::lseek(fd, 0, SEEK_CUR) < 0; }

} // namespace

write_outcome write_out(int fd, std::string_view bytes, int stop_fd) {
  const bool may_wait = is_pipe_like(fd);
  write_outcome outcome;
  while (outcome.bytes < bytes.size()) {
    if (may_wait) {
      pollfd watched[2] = {{fd, POLLOUT, 0}, {stop_fd, POLLIN, 0}};
      if (::poll(watched, 2, -1) < 0 && errno != EINTR)
        return {outcome.bytes, write_end::failed, std::strerror(errno)};
      if ((watched[0].revents & (POLLOUT | POLLERR | POLLHUP | POLLNVAL)) == 0) {
        if ((watched[1].revents & POLLIN) != 0)
          return {outcome.bytes, write_end::stopped, "a stop was asked for"};
        continue;
      }
    }
    auto rest = bytes.substr(outcome.bytes);
    if (may_wait)
      rest = rest.substr(0, piece_bytes);
    const auto taken = ::write(fd, rest.data(), rest.size());
    if (taken >= 0)
      outcome.bytes += static_cast<std::size_t>(taken);
    else if (errno == EPIPE)
      return {outcome.bytes, write_end::reader_gone, std::strerror(EPIPE)};
    else if (errno != EINTR && errno != EAGAIN)
      return {outcome.bytes, write_end::failed, std::strerror(errno)};
  }
  return outcome;
}

void print(std::string_view text) {
  const auto outcome = write_out(STDOUT_FILENO, text, -1);
  if (outcome.end != write_end::whole)
    throw output_error{"The answer could not be written to standard output: " + outcome.reason +
                       "."};
}

output_file::output_file(std::string path, opening how) : path_{std::move(path)} {
  const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (how == opening::anew ? O_TRUNC : O_APPEND);
  fd_ = ::open(path_.c_str(), flags, 0666);
  if (fd_ < 0)
    throw output_error{"`" + path_ + "` cannot be opened for writing: " + std::strerror(errno) +
                       "."};
}

output_file::~output_file() { ::close(fd_); }

void output_file::write(std::string_view bytes) {
  const auto outcome = write_out(fd_, bytes, -1);
  if (outcome.end != write_end::whole)
    throw output_error{"`" + path_ + "` could not be written: " + outcome.reason + "."};
}

} // namespace waybill::cli
