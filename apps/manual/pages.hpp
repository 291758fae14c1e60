// The manual pages of a program.
#pragma once

#include "apps/manual/description.hpp"

namespace waybill::manual {

struct page {
  std::string name; ///< of its file, without the section: `waybill-topic`
  std::string text;
};
/// One for the program, and one for each of its commands.
[[nodiscard]] std::vector<page> pages(const described_program& program);

} // namespace waybill::manual
