// Writes what is installed beside the programs, out of their own tables of options: manual pages,
// completion for shells, and the configuration of an installed node. Run by the build.
#include "apps/manual/completion.hpp"
#include "apps/manual/pages.hpp"
#include "config/node_config.hpp"

#include <filesystem>
#include <fstream>
#include <iostream>

namespace {

using namespace waybill;

/// Where the service's unit lets a node write.
constexpr const char* installed_data = "/var/lib/waybill";

void write(const std::filesystem::path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream out{file, std::ios::binary};
  out << text;
  out.close();
  if (!out)
    throw std::runtime_error{file.string() + " cannot be written"};
}

std::string installed_config() {
  node_settings values;
  values.node.data_dir = installed_data;
  return config_text(values, keys_set::not_at_default);
}

void write_all(const std::filesystem::path& to) {
  // Pages of commands that are gone go too.
  for (const auto* folder : {"man", "bash", "zsh"})
    std::filesystem::remove_all(to / folder);
  for (const auto& program : {manual::describe_waybill(), manual::describe_waybilld()}) {
    for (const auto& page : manual::pages(program))
      write(to / "man" / ("man" + program.section) / (page.name + "." + program.section),
            page.text);
    write(to / "bash" / program.command.name, manual::bash_completion(program));
    write(to / "zsh" / ("_" + program.command.name), manual::zsh_completion(program));
  }
  write(to / "waybilld.ini", installed_config()); // the last: the build looks at its time
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "Usage: waybill_manual DIRECTORY\n";
    return 2;
  }
  try {
    write_all(argv[1]);
  } catch (const std::exception& e) {
    std::cerr << "waybill_manual: " << e.what() << '\n';
    return 1;
  }
  return 0;
}
