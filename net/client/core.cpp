// The background thread: an outbox of closures, an eventfd that wakes the loop for many at once.
#include "net/client/core.hpp"

#include "net/client/link.hpp"

#include <kj/debug.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <sys/eventfd.h>
#include <unistd.h>

namespace waybill::client_parts {
namespace {

constexpr std::size_t servers_max = 64;

void print(const std::string& line) { std::fprintf(stderr, "waybill: %s\n", line.c_str()); }

/// Signals are for the program's own threads: the loop's thread takes none.
class signals_blocked {
public:
  signals_blocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~signals_blocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
  sigset_t before_;
};

std::optional<server_address> parse_server(std::string_view text) {
  while (!text.empty() && text.front() == ' ')
    text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ')
    text.remove_suffix(1);
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0)
    return std::nullopt;
  auto host = text.substr(0, colon);
  const auto port = text.substr(colon + 1);
  server_address found;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), found.port);
  if (error != std::errc{} || end != port.data() + port.size() || found.port == 0)
    return std::nullopt;
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  if (host.size() > 255)
    return std::nullopt;
  found.host = host;
  return found;
}

} // namespace

result<std::vector<server_address>> parse_servers(const std::string& text) {
  std::vector<server_address> found;
  std::string_view rest = text;
  for (;;) {
    const auto comma = rest.find(',');
    const auto server = parse_server(rest.substr(0, comma));
    if (!server)
      return failure{ec::bad_argument, "'" + text +
                                           "' is no list of servers: write HOST:PORT, "
                                           "several with commas between"};
    found.push_back(*server);
    if (comma == std::string_view::npos)
      break;
    rest.remove_prefix(comma + 1);
  }
  if (found.size() > servers_max)
    return failure{ec::bad_argument,
                   "more than " + std::to_string(servers_max) + " servers are listed"};
  return found;
}

core::core(std::vector<server_address> addresses, client_options chosen)
    : servers{std::move(addresses)}, options{std::move(chosen)}, event_fd_{::eventfd(
                                                                     0,
                                                                     EFD_NONBLOCK | EFD_CLOEXEC)} {
  if (event_fd_ < 0)
    throw client_error{{ec::internal, "no event descriptor: the limit of open files is reached"}};
}

core::~core() { ::close(event_fd_); }

bool core::on_loop() const noexcept { return loop_id_.load() == std::this_thread::get_id(); }

void core::must_not_be_on_loop(const char* call) const {
  if (on_loop())
    throw client_error{{ec::bad_argument, std::string{call} +
                                              " blocks: it must not be called from a callback of "
                                              "the library's thread"}};
}

void core::log(const std::string& line) const noexcept {
  try {
    if (options.log)
      options.log(line);
    else
      print(line);
  } catch (...) {
    print(line);
  }
}

void core::wake() noexcept {
  const std::uint64_t one = 1;
  // Fails only when the counter is full, and then the loop is awake anyway.
  [[maybe_unused]] const auto written = ::write(event_fd_, &one, sizeof one);
}

void core::post(std::function<void()> task) {
  bool is_first = false;
  {
    const std::lock_guard lock{mutex_};
    if (ended_)
      return;
    is_first = tasks_.empty();
    tasks_.push_back(std::move(task));
  }
  if (is_first) // the loop takes all that is there at once
    wake();
}

void core::run_there(const std::function<void()>& task) {
  // Owned by the closure: if the loop ends before it runs, the promise breaks, and nobody hangs.
  auto done = std::make_shared<std::promise<void>>();
  auto finished = done->get_future();
  post([&task, done = std::move(done)] {
    try {
      task();
      done->set_value();
    } catch (...) {
      done->set_exception(std::current_exception());
    }
  });
  finished.get();
}

void core::request_stop() {
  {
    const std::lock_guard lock{mutex_};
    stop_ = true;
  }
  wake();
}

kj::Promise<void> core::drain(kj::AsyncInputStream& wakes, kj::PromiseFulfiller<void>& ended) {
  return wakes.read(event_buffer_, sizeof event_buffer_)
      .then([this, &wakes, &ended]() -> kj::Promise<void> {
        std::vector<std::function<void()>> taken;
        bool stop = false;
        {
          const std::lock_guard lock{mutex_};
          taken.swap(tasks_);
          stop = stop_;
        }
        for (auto& task : taken) {
          try {
            task();
          } catch (const kj::Exception& e) {
            log(std::string{"a task of the library failed: "} + e.getDescription().cStr());
          } catch (const std::exception& e) {
            log(std::string{"a task of the library failed: "} + e.what());
          }
          task = nullptr; // what it held goes now, not with the last of them
        }
        if (stop) {
          ended.fulfill();
          return kj::READY_NOW;
        }
        return drain(wakes, ended);
      });
}

void core::run() {
  loop_id_ = std::this_thread::get_id();
  try {
    auto io = kj::setupAsyncIo();
    auto wakes = io.lowLevelProvider->wrapInputFd(event_fd_);
    auto net = std::make_unique<link>(*this, io);
    link_ = net.get();
    auto end = kj::newPromiseAndFulfiller<void>();
    auto draining = drain(*wakes, *end.fulfiller).eagerlyEvaluate([&](kj::Exception&& e) {
      end.fulfiller->reject(kj::mv(e));
    });
    end.promise.wait(io.waitScope);
    link_ = nullptr;
  } catch (const kj::Exception& e) {
    link_ = nullptr;
    log(std::string{"the library's thread failed: "} + e.getDescription().cStr());
  }
  std::vector<std::function<void()>> rest;
  {
    const std::lock_guard lock{mutex_};
    ended_ = true;
    rest.swap(tasks_);
  }
}

lifeline::lifeline(std::shared_ptr<core> of) : core_{std::move(of)} {
  const signals_blocked in_the_new_thread;
  thread_ = std::thread{[shared = core_] { shared->run(); }};
}

lifeline::~lifeline() {
  core_->request_stop();
  if (core_->on_loop())
    thread_.detach(); // a callback let the last handle go: the thread ends after it
  else
    thread_.join();
}

kj::Duration to_kj(steady_clock::duration span) {
  const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(span).count();
  return std::max<std::int64_t>(ns, 0) * kj::NANOSECONDS;
}

void waker::at(steady_time when) {
  if (armed_ && armed_at_ <= when)
    return;
  armed_ = true;
  armed_at_ = when;
  sleep_ = timer_.afterDelay(to_kj(when - steady_clock::now()))
               .then([this] {
                 armed_ = false;
                 tasks_.add(kj::evalLater([task = task_] { task(); }));
               })
               .eagerlyEvaluate(nullptr);
}

} // namespace waybill::client_parts
