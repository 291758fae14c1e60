// Walks the daemon's table of keys.
#include "apps/manual/description.hpp"

#include "config/node_config.hpp"

namespace waybill::manual {

namespace {

/// `--config-file=FILE`, `--help, -h`.
described_option describe_flag(std::string_view written, std::string_view says) {
  described_option result;
  result.says = says;
  if (const auto equals = written.find('='); equals != std::string_view::npos) {
    result.value = written.substr(equals + 1);
    result.kind = value_kind::file;
    written = written.substr(0, equals);
  }
  const auto comma = written.find(", ");
  result.names.emplace_back(written.substr(0, comma));
  if (comma != std::string_view::npos)
    result.names.emplace_back(written.substr(comma + 2));
  return result;
}

described_option describe_key(const option& key) {
  const auto value = key.read(node_settings{});
  const auto* plain = std::get_if<std::string>(&value);
  described_option result;
  result.names = {"--" + std::string{key.key}};
  result.value = "VALUE";
  result.kind = key.key == "node.data-dir" ? value_kind::directory : value_kind::text;
  result.choices.assign(key.words.begin(), key.words.end());
  result.says = key.says;
  result.facts = {"Default: " + (plain ? *plain : to_string(value)) + ".",
                  "Allowed: " + key.allowed + "."};
  if (!key.at_end.empty()) {
    result.facts.push_back("At its end: " + std::string{key.at_end});
    result.facts.push_back("Alarm ahead: " + std::string{key.alarm});
  }
  return result;
}

} // namespace

described_program describe_waybilld() {
  const auto& parts = parts_of_help();
  described_command command{"waybilld", std::string{parts.summary}, {}, {}, {{}}, {}};
  command.more = std::string{parts.beginning} +
                 "\n\nWhat can be set is set by a flag, or the same in a " + "file:\n";
  for (std::size_t begin = 0; begin < parts.file.size();) {
    const auto end = parts.file.find('\n', begin);
    command.more += "  " + std::string{parts.file.substr(begin, end - begin)} + "\n";
    begin = end + 1;
  }
  command.more += "\nExample: " + std::string{parts.example} +
                  "\n\nExit status: " + std::string{parts.exit_status} + "\n";
  for (const auto& [flag, says] : parts.flags)
    command.groups.front().options.push_back(describe_flag(flag, says));
  for (const auto group : option_groups()) {
    command.groups.push_back({std::string{group} + ": " + std::string{group_title(group)}, {}});
    for (const auto& each : options())
      if (each.group() == group)
        command.groups.back().options.push_back(describe_key(each));
  }
  return {std::move(command), version_text().substr(version_text().find(' ') + 1), "8",
          std::string{parts.usage}, value_form::joined};
}

} // namespace waybill::manual
