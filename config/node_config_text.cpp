// What a node prints about its configuration: the help, the version, and the configuration itself.
#include "config/node_config.hpp"

namespace waybill {

std::string_view group_title(std::string_view group) {
  if (group == "node")
    return "the node itself";
  if (group == "net")
    return "connections, and what clients may send";
  if (group == "storage")
    return "the journal on disk";
  if (group == "delivery")
    return "groups: the policy of a new one, and the bounds of all";
  if (group == "producers")
    return "what is remembered of producers, so that a repeat is known";
  if (group == "partitions")
    return "topics and their partitions";
  if (group == "supervision")
    return "what happens when an actor fails";
  if (group == "extensions")
    return "behaviours that a program of one's own adds, and the sinks of alarms";
  return "threads";
}

std::string version_text() { return "waybilld " WAYBILL_VERSION; }

const help_parts& parts_of_help() {
  static const help_parts parts{
      .summary = "a node of the message broker Waybill",
      .usage = "waybilld [--config-file=FILE] [--GROUP.KEY=VALUE]...",
      .beginning = "Without any flag: a development node on 127.0.0.1:7411 with its data in "
                   "./waybill-data.",
      .flags = {{"--config-file=FILE", "read this configuration; flags go over what it says"},
                {"--dump-config",
                 "print the configuration in effect, in the format of a file, and end"},
                {"--help, -h", "print this and end"},
                {"--version, -V", "print the version and end"}},
      .example = "waybilld --node.data-dir=/var/lib/waybill --net.listen=127.0.0.1:7411 "
                 "--delivery.lease=1min",
      .file = R"([node]
data-dir = "/var/lib/waybill"   ; a comment
[net]
listen = "127.0.0.1:7411"
[delivery]
lease = 1min
)",
      .exit_status =
          "0 it was told to stop, and did; 1 it could not begin, or has failed, and says "
          "why; 2 wrong usage.",
  };
  return parts;
}

namespace {

/// `text` with two spaces before each line.
std::string indented(std::string_view text) {
  std::string result;
  bool begins = true;
  for (const char each : text) {
    if (begins)
      result += "  ";
    result += each;
    begins = each == '\n';
  }
  return result;
}

std::string help_before_keys() {
  const auto& parts = parts_of_help();
  std::string help;
  const auto add = [&help](std::initializer_list<std::string_view> pieces) {
    for (const auto each : pieces)
      help += each;
  };
  add({version_text(), ": ", parts.summary, "\n\nUsage: ", parts.usage, "\n\n", parts.beginning,
       "\n\n"});
  for (const auto& [flag, says] : parts.flags)
    add({"  ", flag, std::string(21 - flag.size(), ' '), says, "\n"});
  add({"\nExample:\n", indented(parts.example), "\n\nIn a file the same is written as\n",
       indented(parts.file), "\nExit status: ", parts.exit_status,
       "\n\nEvery key, with its default:\n"});
  return help;
}

} // namespace

std::string help_text() {
  auto text = help_before_keys();
  const node_settings defaults;
  std::string_view group;
  for (const auto& each : options()) {
    if (each.group() != group) {
      group = each.group();
      text += "\n" + std::string{group} + ": " + std::string{group_title(group)} + "\n";
    }
    const auto value = each.read(defaults);
    const auto* plain = std::get_if<std::string>(&value);
    text += "\n  --" + std::string{each.key} + "=" + (plain ? *plain : to_string(value)) + "\n";
    text += "      " + std::string{each.says} + "\n";
    text += "      Allowed: " + each.allowed + ".\n";
    if (!each.at_end.empty())
      text += "      At its end: " + std::string{each.at_end} +
              "\n      Alarm ahead: " + std::string{each.alarm} + "\n";
  }
  return text;
}

std::string config_text(const node_settings& values, keys_set set) {
  const node_settings defaults;
  std::string text = "; Configuration of a Waybill node: waybilld --config-file=FILE\n"
                     "; Every key of every group. What is left out has its default.\n";
  std::string_view group;
  for (const auto& each : options()) {
    if (each.group() != group) {
      group = each.group();
      text += "\n; " + std::string{group_title(group)} + "\n[" + std::string{group} + "]\n";
    }
    text += "\n; " + std::string{each.says} + "\n";
    text += "; Allowed: " + each.allowed + ".\n";
    if (!each.at_end.empty())
      text += "; At its end: " + std::string{each.at_end} +
              "\n; Alarm ahead: " + std::string{each.alarm} + "\n";
    const auto value = each.read(values);
    const bool left_out = set == keys_set::not_at_default && value == each.read(defaults);
    text += (left_out ? "; " : "") + std::string{each.name()} + " = " + to_string(value) + "\n";
  }
  return text;
}

} // namespace waybill
