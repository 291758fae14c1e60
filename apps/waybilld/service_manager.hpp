// What the daemon tells the service manager that started it, such as systemd: that it serves, that
// it is well, that it stops. The words are those of sd_notify(3), a datagram to the socket that
// NOTIFY_SOCKET names, whose form systemd promises to keep. They are spoken here without
// libsystemd: it would be the daemon's only use of that library, on machines without systemd too.
#pragma once

#include "storage/error.hpp"

#include <chrono>
#include <optional>
#include <string>

namespace waybill {

using std::chrono::milliseconds;

class service_manager {
public:
  /// As the environment says. Where no manager has said that it listens, telling does nothing.
  [[nodiscard]] static service_manager of_environment();
  /// @param socket a path, or `@` and an abstract name; empty: nobody listens
  /// @param patience how long the manager waits for `well` before it ends the process; none: for
  /// ever
  service_manager(std::string socket, std::optional<milliseconds> patience)
      : socket_{std::move(socket)}, patience_{patience} {}

  /// It serves now. `words`: what it does, for people.
  [[nodiscard]] result<void> ready(const std::string& words) const;
  /// It is as well as it was. Any thread.
  [[nodiscard]] result<void> well() const;
  [[nodiscard]] result<void> stopping(const std::string& words) const;
  [[nodiscard]] std::optional<milliseconds> patience() const noexcept { return patience_; }

private:
  [[nodiscard]] result<void> tell(const std::string& lines) const;
  std::string socket_;
  std::optional<milliseconds> patience_;
};

} // namespace waybill
