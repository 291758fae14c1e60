// What the client's tests share: a fake depot, a client that retries quickly, and its words.
#pragma once

#include "net/client/client.hpp"
#include "tests/support/fake_depot.hpp"

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace waybill::testing {

using namespace std::chrono_literals;
using kind = reaction::kind;

/// Lines of the library's log.
class notes {
public:
  void add(const std::string& line) {
    const std::lock_guard lock{mutex_};
    lines_.push_back(line);
  }
  [[nodiscard]] std::size_t count(const std::string& part) const {
    const std::lock_guard lock{mutex_};
    return static_cast<std::size_t>(std::ranges::count_if(
        lines_, [&part](const auto& line) { return line.find(part) != std::string::npos; }));
  }

private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

inline std::shared_ptr<notes> new_notes() { return std::make_shared<notes>(); }

inline client_options quick(std::shared_ptr<notes> to = new_notes()) {
  client_options o;
  o.connect_timeout = 2'000ms;
  o.call_timeout = 10'000ms;
  o.log = [to](const std::string& line) { to->add(line); };
  return o;
}

/// Retries soon, and has patience: for tests in which all is confirmed in the end.
inline producer_options patient() {
  producer_options o;
  o.retry = {
      .retries = 50, .interval = 5ms, .attempt_timeout = 2'000ms, .delivery_timeout = 60'000ms};
  o.linger = 1ms;
  return o;
}

inline std::vector<std::string> numbered(const std::string& word, int count) {
  std::vector<std::string> all;
  for (int i = 0; i < count; ++i)
    all.push_back(word + std::to_string(i));
  return all;
}

inline std::vector<std::string> sorted(std::vector<std::string> v) {
  std::ranges::sort(v);
  return v;
}

/// Outcomes of callbacks, in the order in which they came.
class outcomes {
public:
  std::function<void(result<receipt>, outgoing_message)> note() {
    return [this](result<receipt> r, outgoing_message m) {
      const std::lock_guard lock{mutex_};
      bodies_.push_back(m.body);
      codes_.push_back(r ? ec::none : r.error().code);
      if (r)
        receipts_.push_back(*r);
    };
  }
  [[nodiscard]] std::vector<ec> codes() const {
    const std::lock_guard lock{mutex_};
    return codes_;
  }
  [[nodiscard]] std::vector<std::string> bodies() const {
    const std::lock_guard lock{mutex_};
    return bodies_;
  }
  [[nodiscard]] std::vector<receipt> receipts() const {
    const std::lock_guard lock{mutex_};
    return receipts_;
  }
  [[nodiscard]] std::size_t confirmed() const {
    const auto all = codes();
    return static_cast<std::size_t>(std::ranges::count(all, ec::none));
  }

private:
  mutable std::mutex mutex_;
  std::vector<std::string> bodies_;
  std::vector<ec> codes_;
  std::vector<receipt> receipts_;
};

} // namespace waybill::testing
