// The node as a process of its own, for the programs of this folder that start, kill and measure
// it.
#pragma once

#include <arpa/inet.h>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace waybill::system_test {

/// A port of 127.0.0.1 that nobody uses at this moment.
inline std::uint16_t free_port() {
  const int probe = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool bound = ::bind(probe, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     ::getsockname(probe, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  ::close(probe);
  if (!bound)
    throw std::runtime_error{"there is no free port on 127.0.0.1"};
  return ntohs(address.sin_port);
}

/// Keeps its data in DIRECTORY/data and its log in DIRECTORY/node.log; killed with this object.
class node_process {
public:
  /// @param flags further ones, such as `--storage.generation-bytes=1MiB`
  node_process(std::string program, const std::string& directory, std::uint16_t port,
               std::vector<std::string> flags = {})
      : arguments_{std::move(program), "--node.data-dir=" + directory + "/data",
                   "--net.listen=127.0.0.1:" + std::to_string(port), "--node.log-level=warning"},
        log_{directory + "/node.log"} {
    arguments_.insert(arguments_.end(), flags.begin(), flags.end());
  }
  node_process(const node_process&) = delete;
  node_process& operator=(const node_process&) = delete;
  ~node_process() {
    if (pid_ > 0)
      end(SIGKILL);
  }
  void start() {
    pid_ = ::fork();
    if (pid_ != 0)
      return;
    if (!std::freopen(log_.c_str(), "a", stderr))
      std::_Exit(126);
    std::vector<char*> argv;
    for (auto& each : arguments_)
      argv.push_back(each.data());
    argv.push_back(nullptr);
    ::execv(argv[0], argv.data());
    std::_Exit(127);
  }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  /// @returns the status that `waitpid` tells
  int end(int signal) {
    ::kill(pid_, signal);
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = 0;
    return status;
  }

private:
  std::vector<std::string> arguments_;
  std::string log_;
  pid_t pid_ = 0;
};

} // namespace waybill::system_test
