// Small pieces of text for people and for programs: numbers, times, UTF-8, base64.
#pragma once

#include "storage/types.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace waybill::cli {

/// `1,234,567`.
[[nodiscard]] std::string grouped(std::uint64_t number);
/// With so many digits after the point: `12.5`.
[[nodiscard]] std::string fixed(double number, int digits);
/// `17 B`, `4.0 KiB`, `1.5 GiB`.
[[nodiscard]] std::string human_bytes(double bytes);
/// `1 line`, `2 lines`.
[[nodiscard]] std::string counted(std::uint64_t number, std::string_view noun);
/// With a capital letter at its begin and a full stop at its end.
[[nodiscard]] std::string sentence(std::string text);
/// `2026-01-31T12:00:00.000Z`; a dash for the origin of time.
[[nodiscard]] std::string iso_time(wall_time at);
[[nodiscard]] bool is_utf8(std::string_view bytes) noexcept;
[[nodiscard]] std::string base64(std::string_view bytes);
/// One line of printable text, at most so many characters: control bytes and what is not UTF-8
/// become escapes, so that a message cannot write to a terminal what its reader did not ask for.
[[nodiscard]] std::string printable(std::string_view bytes, std::size_t characters_max);

} // namespace waybill::cli
