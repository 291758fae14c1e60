// Transfers: redrives to another topic or partition. What an answer of the target says about a
// batch that may have been sent before, and what follows. Pure. Source: docs/design.md, section 6.
//
// Why nothing is doubled and nothing is lost. The source's log names, before anything is sent, the
// dead letters, the target, the hash of the batch, and ONE opening of a producer at the target
// under which alone the batch is ever sent, again and again if need be. The number of an opening
// never comes twice in a partition (actors/rules/producers.hpp). So the target either still knows
// that opening, and then it knows as well whether it has the batch: it takes it, or answers the
// first time's receipt. Or it has forgotten the producer, or another opening has fenced this one:
// then it refuses, whatever was sent before, and takes nothing. A refusal of the very first send
// means that the batch is not there: the transfer is over, the dead letters stay. After a send
// whose answer was lost a refusal leaves a doubt, and nobody guesses: the dead letters stay,
// locked, until a person decides.
#pragma once

#include "storage/error.hpp"
#include "storage/records.hpp"
#include "storage/types.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace waybill {

/// Under which name a partition's transfers are published. Only nodes may open such a name.
[[nodiscard]] std::string transfer_producer(const partition_id& source);
[[nodiscard]] bool is_transfer_producer(std::string_view name);
/// Where it goes, for people: `later/0`.
[[nodiscard]] std::string target_name(const transfer_state& t);

/// Where a message without a target of its own goes: by its key, as a publish does; without a key
/// all of a source partition's to one.
[[nodiscard]] std::uint32_t transfer_partition(std::string_view key, std::uint32_t source,
                                               std::uint32_t partitions);

/// What is known of the sends before this answer. A courier of an earlier leader, or of an earlier
/// life of the node, may have sent: `possible`.
enum class arrival : std::uint8_t { impossible, possible };

enum class transfer_step : std::uint8_t { done, repeat, abandon, doubt };
struct transfer_verdict {
  transfer_step next = transfer_step::repeat;
  arrival known = arrival::possible; ///< before the next send
};
/// The target has answered a send; `none`: it has the batch. Every code is one of three kinds: it
/// passes (repeat); the target is gone for good, with all that it ever held (abandon); or this
/// opening can do nothing any more.
[[nodiscard]] transfer_verdict judge_transfer(ec answer, arrival known);
/// It ended, or was lost, before it answered.
[[nodiscard]] constexpr transfer_verdict judge_lost_answer() {
  return {transfer_step::repeat, arrival::possible};
}

/// Whether a transfer to `target` is on its way: its opening must not be fenced by a further one.
[[nodiscard]] bool is_on_its_way(const std::map<log_index, transfer_state>& transfers,
                                 const partition_id& target);

} // namespace waybill
