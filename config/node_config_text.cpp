// What a node prints about its configuration: the help, the version, and the configuration itself.
#include "config/node_config.hpp"

namespace waybill {

namespace {

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
  return "threads";
}

} // namespace

std::string version_text() { return "waybilld " WAYBILL_VERSION; }

std::string help_text() {
  std::string text = version_text();
  text += R"(: a node of the message broker Waybill

Usage: waybilld [--config-file=FILE] [--GROUP.KEY=VALUE]...

Without any flag: a development node on 127.0.0.1:7411 with its data in ./waybill-data.

  --config-file=FILE   read this configuration; flags go over what it says
  --dump-config        print the configuration in effect, in the format of a file, and end
  --help, -h           print this and end
  --version, -V        print the version and end

Example:
  waybilld --node.data-dir=/var/lib/waybill --net.listen=127.0.0.1:7411 --delivery.lease=1min

In a file the same is written as
  [node]
  data-dir = "/var/lib/waybill"   ; a comment
  [net]
  listen = "127.0.0.1:7411"
  [delivery]
  lease = 1min

Every key, with its default:
)";
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
