// What the daemon tells its service manager, and when: on a socket of the test's own.
#include "apps/waybilld/service_manager.hpp"
#include "apps/waybilld/watchdog.hpp"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <deque>
#include <stdexcept>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

using namespace waybill;
using namespace std::chrono_literals;

namespace {

/// An abstract socket, as a manager has it.
class manager_socket {
public:
  manager_socket() : fd_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)} {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    // The family alone: the kernel chooses an abstract name.
    if (::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(sa_family_t)) != 0)
      throw std::runtime_error{"no abstract socket"};
    socklen_t size = sizeof(address);
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    name_ = "@" + std::string{address.sun_path + 1, size - sizeof(sa_family_t) - 1};
  }
  ~manager_socket() { ::close(fd_); }
  manager_socket(const manager_socket&) = delete;
  manager_socket& operator=(const manager_socket&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  /// The next message; empty when none has come.
  [[nodiscard]] std::string heard() const {
    std::string text(1'000, '\0');
    const auto size = ::recv(fd_, text.data(), text.size(), MSG_DONTWAIT);
    text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return text;
  }

private:
  int fd_;
  std::string name_;
};

/// A variable of the environment, for as long as this lives.
class variable {
public:
  variable(const char* name, const std::string& value) : name_{name} {
    ::setenv(name, value.c_str(), 1); // NOLINT(concurrency-mt-unsafe): one thread
  }
  ~variable() { ::unsetenv(name_); } // NOLINT(concurrency-mt-unsafe): one thread
  variable(const variable&) = delete;
  variable& operator=(const variable&) = delete;

private:
  const char* name_;
};

/// Answers as the test has said beforehand, and then well; what the watchdog did, in order.
class asked_node {
public:
  explicit asked_node(std::deque<result<void>> answers) : answers_{std::move(answers)} {}

  [[nodiscard]] watchdog_options options() {
    return {.interval = 1ms,
            .ask = [this](milliseconds) { return next(); },
            .well = [this] { note("well"); },
            .log = [this](const std::string& line) { note(line); }};
  }
  /// Waits until all was asked that the test had to say.
  std::vector<std::string> until_all_is_said() {
    std::unique_lock lock{guard_};
    changed_.wait(lock, [this] { return answers_.empty() && done_.back() == "well"; });
    return done_;
  }

private:
  result<void> next() {
    const std::lock_guard lock{guard_};
    if (answers_.empty())
      return {};
    auto answer = answers_.front();
    answers_.pop_front();
    return answer;
  }
  void note(const std::string& what) {
    const std::lock_guard lock{guard_};
    if (done_.empty() || done_.back() != what)
      done_.push_back(what);
    changed_.notify_all();
  }

  std::mutex guard_;
  std::condition_variable changed_;
  std::deque<result<void>> answers_;
  std::vector<std::string> done_; ///< the same several times in a row stands there once
};

} // namespace

TEST_CASE("the service manager is told what it waits for, word by word") {
  const manager_socket manager;
  const variable named{"NOTIFY_SOCKET", manager.name()};
  const auto told = service_manager::of_environment();
  REQUIRE(told.ready("Serves 127.0.0.1:7411"));
  CHECK(manager.heard() == "READY=1\nSTATUS=Serves 127.0.0.1:7411\n");
  REQUIRE(told.well());
  CHECK(manager.heard() == "WATCHDOG=1\n");
  REQUIRE(told.stopping("Answering what is in flight"));
  CHECK(manager.heard() == "STOPPING=1\nSTATUS=Answering what is in flight\n");
  CHECK(manager.heard().empty());
}

TEST_CASE("without a service manager nothing is told, and nothing is wrong") {
  const auto told = service_manager::of_environment();
  CHECK(told.ready("Serves"));
  CHECK(told.well());
  CHECK_FALSE(told.patience());
}

TEST_CASE("a service manager that is not there is named") {
  const service_manager told{"/nowhere/notify", std::nullopt};
  const auto outcome = told.well();
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().detail.find("/nowhere/notify (NOTIFY_SOCKET)") != std::string::npos);
  const service_manager long_name{std::string(200, 'x'), std::nullopt};
  CHECK_FALSE(long_name.well());
}

TEST_CASE("the watchdog's patience is taken only by the process that it is meant for") {
  const variable patience{"WATCHDOG_USEC", "120000000"};
  CHECK(service_manager::of_environment().patience() == 120s);
  {
    const variable mine{"WATCHDOG_PID", std::to_string(::getpid())};
    CHECK(service_manager::of_environment().patience() == 120s);
  }
  {
    const variable another{"WATCHDOG_PID", std::to_string(::getppid())};
    CHECK_FALSE(service_manager::of_environment().patience());
  }
  for (const auto* wrong : {"", "0", "soon", "12s", "-1"}) {
    const variable odd{"WATCHDOG_USEC", wrong};
    CHECK_FALSE(service_manager::of_environment().patience());
  }
}

TEST_CASE("a node that does not answer is not said to be well, and the log says so once") {
  const failure silent{ec::timed_out, "the storage writer has not answered for 30s"};
  asked_node asked{{result<void>{}, silent, silent, silent, result<void>{}}};
  const watchdog watching{asked.options()};
  CHECK(asked.until_all_is_said() ==
        std::vector<std::string>{"well",
                                 "the node does not answer: the storage writer has not answered "
                                 "for 30s",
                                 "the node answers again", "well"});
}
