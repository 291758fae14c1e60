// What a node is told by its configuration file and its flags, checked before anything starts.
// CAF's own reader of files takes unknown keys and values of a wrong type in silence, so files and
// flags are read here, against the table of keys (config/options.hpp), and CAF is handed the
// values.
#pragma once

#include "actors/extensions.hpp"
#include "config/command_line.hpp"
#include "config/options.hpp"
#include "storage/error.hpp"

#include <caf/actor_system_config.hpp>

#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace waybill {

/// A node's configuration, and what its actor system is made from. Not shared between threads until
/// it has been read; constant afterwards.
///
/// A program of one's own makes its `node_config` (or a class derived from it), registers with it
/// what it adds, and then calls `read`; `waybilld` needs nothing but `parse`.
class node_config : public caf::actor_system_config {
public:
  /// All keys at their defaults: a development node on loopback.
  node_config();

  /// A new configuration, read from the arguments of `main`.
  /// @errors as `read`
  [[nodiscard]] static result<std::unique_ptr<node_config>> parse(int argc, char** argv);

  /// Takes the defaults, over them the file that `--config-file` names, over it the flags. All or
  /// nothing: with a failure everything stays as it was.
  /// @param arguments without the program's name
  /// @errors `bad_argument`, `not_found` (the file): one sentence that names the key, the place,
  /// the
  ///   value given and what is allowed
  [[nodiscard]] result<void> read(std::span<const std::string> arguments);

  // ---- What a program of one's own adds, before it calls `read` (docs/extending.md). A name is
  // valid (`is_valid_name`) and new among its kind; it serves where the configuration places it.
  void add_alarm_sink(std::string name, extension_factory<alarm_sink_actor> start);
  void add_interceptor(std::string name, extension_factory<interceptor_actor> start);
  void add_letter_listener(std::string name, extension_factory<letter_listener_actor> start);
  void add_redelivery_policy(std::string name, extension_factory<redelivery_actor> start);
  [[nodiscard]] const extension_set& extensions() const noexcept { return extensions_; }

  /// What the flags ask for. Other than `run`: print `text()` and end.
  [[nodiscard]] wanted_action wanted() const noexcept { return wanted_; }
  /// The help, the version or the configuration in the format of a file; empty when `run` is
  /// wanted.
  [[nodiscard]] std::string text() const;

  [[nodiscard]] const node_settings& values() const noexcept { return values_; }
  /// The page of limits, as configured.
  [[nodiscard]] const limits& bounds() const noexcept { return values_.bounds; }
  /// Over what was read, and out of its range if need be: so tests drive limits to their ends whose
  /// least value is a minute.
  void set(const limit_key& key, limit_value value) { key.write(values_.bounds, value); }
  /// Whether this is a node for development: single, and not told that this is meant to be
  /// (`node.allow-single`). Such a node listens on loopback only, and says what it is.
  [[nodiscard]] bool development() const noexcept { return !values_.node.allow_single; }
  /// Threads that run actors: `scheduler.max-threads`, its 0 resolved.
  [[nodiscard]] std::size_t threads() const noexcept;

private:
  using places = std::map<std::string, std::string, std::less<>>; ///< key → where it was set last

  static result<void> apply(const std::vector<assignment>& from, node_settings& to, places& set_at);
  static result<void> check(const node_settings& values, const places& set_at);
  void hand_to_caf();

  extension_set extensions_;
  node_settings values_;
  wanted_action wanted_ = wanted_action::run;
};

struct extension_places;
/// Where the configuration places extensions. @pre its texts can be read
[[nodiscard]] extension_places places_of(const node_settings& values);

/// What the help says before the keys, for whoever writes it in another form.
struct help_parts {
  std::string_view summary;   ///< what the program is
  std::string_view usage;     ///< without the word
  std::string_view beginning; ///< a sentence: what it is without any flag
  std::vector<std::pair<std::string_view, std::string_view>> flags; ///< `--help, -h`; what it does
  std::string_view example;                                         ///< a command
  std::string_view file; ///< what is the same in a configuration file
  std::string_view exit_status;
};
[[nodiscard]] const help_parts& parts_of_help();
/// What the keys of a group are about.
[[nodiscard]] std::string_view group_title(std::string_view group);
/// Usage, an example, and every key with its default, range and meaning.
[[nodiscard]] std::string help_text();
/// `waybilld 0.1.0`.
[[nodiscard]] std::string version_text();
/// Which keys a file sets; it shows all of them, the others as comments.
enum class keys_set : std::uint8_t { all, not_at_default };
/// Every key with its meaning, unit and value; a file that reads back as `values`.
[[nodiscard]] std::string config_text(const node_settings& values, keys_set set = keys_set::all);

} // namespace waybill
