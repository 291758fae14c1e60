// The numbered sequence of what happened on a `fault_env`, and what was durable when.
// Not thread-safe: `fault_env` locks.
#pragma once

#include "tests/support/fault_disk.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace waybill::test {

enum class event_kind : std::uint8_t {
  create,
  write,        ///< `bytes` at `offset`
  write_failed, ///< of `bytes`, `offset` is where the file ends now
  misdirected,  ///< `bytes` for `offset` of `file` went to `target`
  sync,         ///< durable up to `offset`
  sync_failed,
  sync_lied, ///< answered well, nothing became durable
  remove,
  rename, ///< `file` to `target`
  damage, ///< a test changed a file by hand
  mark,   ///< `file` holds the test's own words
  power_cut,
  reboot,
};

struct event {
  std::uint64_t number = 0; ///< 1 for the first; never reused
  event_kind kind = event_kind::mark;
  std::string file;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::string target;
};

struct trace_options {
  std::size_t events_max = 100'000; ///< beyond it the oldest are forgotten
  /// Whether the contents of log files are kept, also of those removed, for `first_durable`.
  bool keep_log_contents = false;
};

/// The records of one LevelDB log, headers taken out, as far as they were synced.
class synced_log {
public:
  /// The file's bytes up to `synced` are durable since event `number`.
  void on_sync(std::uint64_t number, std::string_view data);
  /// The sync that made the whole record durable in which `pattern` stands first; nothing: none
  /// did.
  [[nodiscard]] std::optional<std::uint64_t> first_durable(std::string_view pattern) const;

private:
  struct record {
    std::uint64_t end = 0;    ///< in `text_`
    std::uint64_t number = 0; ///< of the sync that covered it
  };
  std::string text_;     ///< complete records, one after the other
  std::string fragment_; ///< of the record that is not complete
  std::vector<record> records_;
  std::uint64_t parsed_ = 0; ///< bytes of the file
};

class fault_trace {
public:
  explicit fault_trace(trace_options options) : options_{options} {}

  std::uint64_t add(event_kind kind, const std::string& file, std::uint64_t offset = 0,
                    std::uint64_t bytes = 0, const std::string& target = {});
  /// A sync that did what it says.
  std::uint64_t add_sync(const std::string& path, const file_ptr& file);
  [[nodiscard]] std::vector<event> events() const { return {events_.begin(), events_.end()}; }
  [[nodiscard]] std::optional<std::uint64_t> first_durable(std::string_view pattern) const;

private:
  trace_options options_;
  std::uint64_t last_ = 0;
  std::deque<event> events_;
  std::map<file_ptr, synced_log>
      logs_; // the pointers keep removed logs, so none is mistaken for another
};

} // namespace waybill::test
