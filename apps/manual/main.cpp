// Writes what is installed beside the programs, out of their own tables of options: the
// configuration of an installed node. Run by the build.
#include "config/node_config.hpp"

#include <filesystem>
#include <fstream>
#include <iostream>

namespace {

/// Where the service's unit lets a node write.
constexpr const char* installed_data = "/var/lib/waybill";

void write(const std::filesystem::path& file, const std::string& text) {
  std::ofstream out{file, std::ios::binary};
  out << text;
  out.close();
  if (!out)
    throw std::runtime_error{file.string() + " cannot be written"};
}

std::string installed_config() {
  waybill::node_settings values;
  values.node.data_dir = installed_data;
  return config_text(values, waybill::keys_set::not_at_default);
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "Usage: waybill_manual DIRECTORY\n";
    return 2;
  }
  const std::filesystem::path to = argv[1];
  try {
    std::filesystem::create_directories(to);
    write(to / "waybilld.ini", installed_config());
  } catch (const std::exception& e) {
    std::cerr << "waybill_manual: " << e.what() << '\n';
    return 1;
  }
  return 0;
}
