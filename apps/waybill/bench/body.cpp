// See body.hpp.
#include "apps/waybill/bench/body.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

namespace waybill::cli::bench {

body_maker::body_maker(std::size_t size) : bytes_(size, '\0') {
  std::mt19937_64 random{std::random_device{}()};
  for (auto& each : bytes_)
    each = static_cast<char>(random());
}

std::string body_maker::make(const stamp& s) const {
  const std::array<std::uint64_t, 2> words{
      s.number, static_cast<std::uint64_t>(s.sent.time_since_epoch().count())};
  static_assert(sizeof words == stamp_bytes);
  auto body = bytes_;
  std::memcpy(body.data(), words.data(), std::min(body.size(), stamp_bytes));
  return body;
}

std::optional<stamp> body_maker::read(std::string_view body) const {
  if (body.size() != bytes_.size() || body.size() < stamp_bytes ||
      body.substr(stamp_bytes) != std::string_view{bytes_}.substr(stamp_bytes))
    return std::nullopt;
  std::array<std::uint64_t, 2> words{};
  std::memcpy(words.data(), body.data(), stamp_bytes);
  return stamp{words[0], clock::time_point{clock::duration{static_cast<clock::rep>(words[1])}}};
}

} // namespace waybill::cli::bench
