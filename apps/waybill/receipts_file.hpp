// The file of receipts of a resumable publish: what an earlier run left in it is kept and
// continued.
#pragma once

#include "storage/error.hpp"

#include <cstdint>
#include <string>

namespace waybill::cli {

/// Cuts the file behind its last whole receipt without a gap from the first line on; what is cut
/// are a torn line and the marks for lines without a receipt, which are tried again.
/// @returns how many receipts it holds; a file that does not exist: 0
/// @errors `bad_argument`: it holds something else, or receipts of another topic; nothing is
/// changed then. `not_found`: it cannot be read or cut
[[nodiscard]] result<std::uint64_t> keep_receipts(const std::string& path,
                                                  const std::string& topic);

} // namespace waybill::cli
