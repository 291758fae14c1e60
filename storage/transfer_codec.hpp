// The bytes of transfers: in their entries, and in a group's part of a checkpoint. For the codecs
// of records alone.
#pragma once

#include "storage/flat_message.hpp"
#include "storage/records.hpp"

#include <utility>
#include <vector>

namespace waybill::detail {

using transfer_item = std::pair<const log_index, transfer_state>; ///< by the entry that began it

void put(format::Transfer::Builder out, const transfer_item& item);
transfer_item take(format::Transfer::Reader in);
void put_offsets(capnp::List<std::uint64_t>::Builder out, const std::vector<message_offset>& from);
std::vector<message_offset> take_offsets(capnp::List<std::uint64_t>::Reader in);

} // namespace waybill::detail
