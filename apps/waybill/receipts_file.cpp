// See receipts_file.hpp.
#include "apps/waybill/receipts_file.hpp"

#include "apps/waybill/outcomes.hpp"
#include "storage/types.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace waybill::cli {

namespace {

/// Whether these bytes may be the begin of a line of ours whose rest was never written.
bool may_be_torn(std::string_view bytes, const std::string& topic) {
  const auto begins = [&](std::string_view whole) {
    return bytes.starts_with(whole) || whole.starts_with(bytes);
  };
  return begins(topic + "/") || begins(earlier_mark) || begins(given_up_mark);
}

failure foreign_line(const std::string& path, std::uint64_t number, const std::string& topic) {
  return {ec::bad_argument, "Line " + std::to_string(number) + " of `" + path +
                                "` is no receipt of topic `" + topic +
                                "`; name another file, or move this one away."};
}

} // namespace

result<std::uint64_t> keep_receipts(const std::string& path, const std::string& topic) {
  std::error_code error;
  if (!std::filesystem::exists(path, error))
    return std::uint64_t{0};
  std::ifstream in{path, std::ios::binary};
  if (!in)
    return failure{ec::not_found, "`" + path + "` cannot be read: " + std::strerror(errno) + "."};
  std::uint64_t kept = 0, bytes = 0;
  std::string line;
  while (std::getline(in, line)) {
    if (in.eof()) { // it lacks its newline
      if (!may_be_torn(line, topic))
        return foreign_line(path, kept + 1, topic);
      break;
    }
    const auto parsed = parse_receipt(line);
    if (!parsed && (line == earlier_mark || line.starts_with(given_up_mark)))
      break;
    if (!parsed || parsed->topic != topic)
      return foreign_line(path, kept + 1, topic);
    ++kept;
    bytes += line.size() + 1;
  }
  in.close();
  std::filesystem::resize_file(path, bytes, error);
  if (error)
    return failure{ec::not_found, "`" + path + "` cannot be cut: " + error.message() + "."};
  return kept;
}

} // namespace waybill::cli
