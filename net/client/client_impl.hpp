// A client's inside: the thread that it shares with its producers and consumers, and the `consume`
// calls that `stop` must reach.
#pragma once

#include "net/client/consumer_impl.hpp"
#include "net/client/core.hpp"

#include <memory>
#include <mutex>
#include <set>

namespace waybill {

struct client::impl {
  std::shared_ptr<client_parts::core> core;
  std::shared_ptr<client_parts::lifeline> line;
  std::mutex mutex;
  std::set<std::shared_ptr<consumer::impl>> consuming; ///< under the mutex
  bool is_stopped = false;                             ///< under the mutex; for ever
};

} // namespace waybill
