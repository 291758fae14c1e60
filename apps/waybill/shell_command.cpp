// See shell_command.hpp.
#include "apps/waybill/shell_command.hpp"

#include "apps/waybill/duration.hpp"
#include "apps/waybill/output.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
#include <sys/pidfd.h> // glibc 2.36 forgets to say so itself
}

extern char** environ; // NOLINT: the name is POSIX's

namespace waybill::cli {

namespace {

class descriptor {
public:
  explicit descriptor(int fd) : fd_{fd} {}
  ~descriptor() {
    if (fd_ >= 0)
      ::close(fd_);
  }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

private:
  int fd_;
};

std::string words_of(int error) { return std::strerror(error); }

/// @returns why not
std::optional<std::string> fill(int fd, const std::string& input) {
  if (fd < 0)
    return "no file in memory for its input: " + words_of(errno);
  const auto outcome = write_out(fd, input, -1);
  if (outcome.bytes != input.size())
    return "its input cannot be written: " + outcome.reason;
  ::lseek(fd, 0, SEEK_SET);
  return std::nullopt;
}

std::vector<std::string> joined(const environment& more) {
  std::vector<std::string> all;
  for (const auto& [name, value] : more)
    all.push_back(name + "=" + value);
  for (char** each = environ; *each; ++each) {
    const std::string_view known{*each};
    const auto name = known.substr(0, known.find('='));
    if (std::none_of(more.begin(), more.end(), [&](const auto& m) { return m.first == name; }))
      all.emplace_back(known);
  }
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& to) {
  std::vector<char*> all;
  for (auto& each : to)
    all.push_back(each.data());
  all.push_back(nullptr);
  return all;
}

/// Nothing here may allocate or lock: other threads of ours stood still at any point.
[[noreturn]] void become(int input, char* const* words, char* const* environment) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  ::signal(SIGPIPE, SIG_DFL);
  ::signal(SIGINT, SIG_DFL);
  ::signal(SIGTERM, SIG_DFL);
  ::dup2(input, STDIN_FILENO);
  ::execve("/bin/sh", words, environment);
  ::_exit(127);
}

/// @returns whether it ended by itself in time
bool await(pid_t child, std::optional<std::chrono::milliseconds> at_most) {
  const descriptor handle{::pidfd_open(child, 0)};
  if (!at_most || handle.get() < 0)
    return true; // `waitpid` waits
  const auto until = std::chrono::steady_clock::now() + *at_most;
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    pollfd ended{handle.get(), POLLIN, 0};
    const int found = ::poll(&ended, 1, static_cast<int>(std::max<long long>(left.count(), 0)));
    if (found > 0)
      return true;
    if (found == 0 && left.count() <= 0)
      return false;
  }
}

std::optional<std::string> words_of_status(int status) {
  if (WIFSIGNALED(status))
    return "ended by signal " + std::to_string(WTERMSIG(status)) + " (" +
           ::sigdescr_np(WTERMSIG(status)) + ")";
  if (WEXITSTATUS(status) != 0)
    return "exit status " + std::to_string(WEXITSTATUS(status));
  return std::nullopt;
}

} // namespace

std::optional<std::string> run(const shell_command& what, const std::string& input,
                               const environment& more) {
  const descriptor file{::memfd_create("message", MFD_CLOEXEC)};
  if (auto why = fill(file.get(), input))
    return why;
  std::vector<std::string> words{"sh", "-c", what.text};
  auto settings = joined(more);
  const auto word_pointers = pointers(words);
  const auto setting_pointers = pointers(settings);
  const auto child = ::fork();
  if (child < 0)
    return "cannot be run: " + words_of(errno);
  if (child == 0)
    become(file.get(), word_pointers.data(), setting_pointers.data());
  const bool in_time = await(child, what.at_most);
  if (!in_time) {
    ::kill(-child, SIGKILL);
    ::kill(child, SIGKILL); // it may not have a group of its own yet
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!in_time)
    return "took longer than " + to_string(*what.at_most);
  return words_of_status(status);
}

} // namespace waybill::cli
