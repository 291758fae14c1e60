// Every key of a node's configuration in one table: the limits, and what else a node needs to know.
// Files, flags, `--help`, `--dump-config` and the sample are all made from it, so they cannot
// differ.
#pragma once

#include "config/limits.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace waybill {

/// Where a node listens. The host is a name, an IPv4 address, an IPv6 address without its brackets,
/// or `*` for every address of the machine.
struct listen_address {
  std::string host = "127.0.0.1";
  std::uint16_t port = 7411; ///< 0: any free one
  friend bool operator==(const listen_address&, const listen_address&) = default;
  /// Whether only this machine can reach it: 127.0.0.0/8, ::1 or `localhost`. Other names are not
  /// looked up and count as reachable from elsewhere.
  [[nodiscard]] bool is_loopback() const;
};
/// `127.0.0.1:7411`, `[::1]:7411`: what KJ's network understands.
[[nodiscard]] std::string to_string(const listen_address& address);
/// Nothing when the text is not HOST:PORT.
[[nodiscard]] std::optional<listen_address> parse_listen_address(std::string_view text);

/// All that a node is told, with the defaults.
struct node_settings {
  struct {
    std::string id = "waybill-1"; ///< a valid name (`is_valid_name`), unique in its cluster
    std::filesystem::path data_dir = "waybill-data";
    bool allow_single = false;
    std::string log_level = "info"; ///< a name that spdlog knows: trace … error, off
  } node;
  struct {
    listen_address listen;
    bool allow_insecure = false;
  } net;
  struct {
    std::string policy = "handover"; ///< or CAF's own: sharing, stealing
    std::uint64_t max_threads = 0;   ///< 0: one per processor core, two at the least
  } scheduler;
  struct {
    std::string alarm_sinks;         ///< names, with commas between
    std::string interceptors;        ///< TOPIC=NAME, likewise
    std::string letter_listeners;    ///< TOPIC/GROUP=NAME, likewise
    std::string redelivery_policies; ///< likewise
  } extensions;
  limits bounds;
};

/// A key's value, typed: a text, a switch, a count, a span of time, a factor.
using setting_value = std::variant<std::string, bool, std::uint64_t, milliseconds, double>;

/// A value as somebody wrote it.
struct written_value {
  std::string text;    ///< without its quotes, escapes resolved
  bool quoted = false; ///< then it can only be a text
};

/// One key.
struct option {
  std::string_view key;    ///< `net.listen`: group, dot, name
  std::string_view unit;   ///< of a limit; empty for all others
  std::string allowed;     ///< for people: `a whole number of bytes from 1024 to 16777216`
  std::string_view says;   ///< one sentence: what it is
  std::string_view at_end; ///< of a limit: one sentence of what happens there; empty for all others
  std::string_view alarm;  ///< of a limit: the alarm ahead of that; empty for all others
  std::function<setting_value(const node_settings&)> read;
  /// False when the value, though of the right type, is not allowed; nothing is changed then.
  std::function<bool(node_settings&, const setting_value&)> write;
  std::vector<std::string_view> words{}; ///< all values, where these are a few words

  [[nodiscard]] std::string_view group() const { return key.substr(0, key.find('.')); }
  [[nodiscard]] std::string_view name() const { return key.substr(key.find('.') + 1); }
};

/// Every key, group by group.
[[nodiscard]] const std::vector<option>& options();
/// The groups in the order of `options()`.
[[nodiscard]] const std::vector<std::string_view>& option_groups();
/// Null when there is no such key.
[[nodiscard]] const option* find_option(std::string_view key);
/// The known key that is written most like `key`; empty when none is nearly like it: what one has
/// not meant helps nobody.
[[nodiscard]] std::string_view nearest_key(std::string_view key);
/// The same for a group.
[[nodiscard]] std::string_view nearest_group(std::string_view group);

/// As in a configuration file: texts in quotes, spans of time with their unit.
[[nodiscard]] std::string to_string(const setting_value& value);

/// Sets `key` to what was written.
/// @returns nothing when it is done, else the end of a sentence that says what is wrong:
///   `is out of range: allowed is a whole number of bytes from 1024 to 16777216`
[[nodiscard]] std::optional<std::string> assign(const option& key, const written_value& written,
                                                node_settings& to);

} // namespace waybill
