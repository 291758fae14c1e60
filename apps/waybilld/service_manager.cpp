// See service_manager.hpp.
#include "apps/waybilld/service_manager.hpp"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <system_error>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace waybill {

namespace {

std::string_view variable(const char* name) {
  const auto* value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): nobody sets any
  return value ? value : std::string_view{};
}

/// Nothing when the text is no whole number.
std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  return error == std::errc{} && stop == end && !text.empty() ? std::optional{value} : std::nullopt;
}

/// systemd sets both for the process that it means; a child of that one inherits them.
std::optional<milliseconds> watchdog_patience() {
  const auto whom = variable("WATCHDOG_PID");
  const auto microseconds = number(variable("WATCHDOG_USEC"));
  const bool us = whom.empty() || number(whom) == static_cast<std::uint64_t>(::getpid());
  if (!us || microseconds.value_or(0) < 1'000)
    return std::nullopt;
  return milliseconds{static_cast<std::int64_t>(*microseconds / 1'000)};
}

failure not_told(const std::string& socket, const std::string& why) {
  return {ec::bad_argument,
          "the service manager cannot be told anything on " + socket + " (NOTIFY_SOCKET): " + why};
}

} // namespace

service_manager service_manager::of_environment() {
  return {std::string{variable("NOTIFY_SOCKET")}, watchdog_patience()};
}

result<void> service_manager::ready(const std::string& words) const {
  return tell("READY=1\nSTATUS=" + words + "\n");
}

result<void> service_manager::well() const { return tell("WATCHDOG=1\n"); }

result<void> service_manager::stopping(const std::string& words) const {
  return tell("STOPPING=1\nSTATUS=" + words + "\n");
}

result<void> service_manager::tell(const std::string& lines) const {
  if (socket_.empty())
    return {};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_.size() >= sizeof(address.sun_path))
    return not_told(socket_, "the name is too long");
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (socket_.front() == '@')
    address.sun_path[0] = '\0'; // an abstract name: no file
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return not_told(socket_, std::generic_category().message(errno));
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  const auto sent = ::sendto(fd, lines.data(), lines.size(), MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr*>(&address), size);
  const int why = errno;
  ::close(fd);
  return sent < 0 ? not_told(socket_, std::generic_category().message(why)) : result<void>{};
}

} // namespace waybill
