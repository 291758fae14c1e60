// See redriven_batch.hpp.
#include "actors/partition/redriven_batch.hpp"

#include "storage/records_codec.hpp"

#include <charconv>

namespace waybill {
namespace {

constexpr const char* original_id_header = "waybill-original-id";
constexpr const char* redrives_header = "waybill-redrives";
constexpr const char* from_header = "waybill-redriven-from";

std::string header_of(const message_view& message, std::string_view name) {
  for (const auto& [header, value] : message.headers)
    if (header == name)
      return std::string{value};
  return {};
}

std::uint64_t number_of(const std::string& text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

} // namespace

result<std::string> redriven_batch(const std::string& topic, std::uint32_t partition,
                                   const std::vector<dead_letter>& letters) {
  std::vector<std::string> messages;
  std::vector<std::vector<std::pair<std::string, std::string>>> headers;
  for (const auto& letter : letters) {
    const auto message = read_message(letter.message);
    if (!message)
      return message.error();
    const auto id = message_id(topic, partition, letter.offset);
    auto original = header_of(*message, original_id_header);
    if (original.empty())
      original = id;
    const auto redrives = number_of(header_of(*message, redrives_header)) + 1;
    headers.push_back({{original_id_header, original},
                       {redrives_header, std::to_string(redrives)},
                       {from_header, id}});
    messages.push_back(letter.message);
  }
  return join_messages(messages, headers);
}

} // namespace waybill
