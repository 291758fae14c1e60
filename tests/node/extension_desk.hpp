// What extensions heard, for the tests of extensions in a node.
#pragma once

#include "tests/node/limits_support.hpp"

#include <algorithm>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace waybill::test {

/// What extensions heard and were told to do, from any thread.
struct desk {
  std::mutex guard;
  std::vector<std::string> heard;

  void add(std::string words) {
    const std::lock_guard lock{guard};
    heard.push_back(std::move(words));
  }
  [[nodiscard]] std::vector<std::string> all() {
    const std::lock_guard lock{guard};
    return heard;
  }
  [[nodiscard]] bool has(const std::string& words) {
    return comes_true(patience, [&] { return std::ranges::count(all(), words) > 0; });
  }
};
using desk_ptr = std::shared_ptr<desk>;

inline client quiet_client(const hosted_node& node) {
  client_options options;
  options.log = [](const std::string&) {};
  return client{node.server(), options};
}

} // namespace waybill::test
