// Dead letters in a leader's hands: one that is redriven, purged or sent elsewhere is taken for
// that alone, and read once all that was buried before is in the store.
#include "actors/partition/partition_leader_state.hpp"
#include "actors/rules/transfers.hpp"

#include <algorithm>

namespace waybill {

namespace {

constexpr std::uint64_t letters_bytes_max = 4u << 20; ///< of messages, for one call

failure standing_of(const transfer_state& t, const std::string& letter) {
  const auto to = target_name(t);
  if (t.doubt)
    return {ec::in_doubt, letter + " was sent to " + to +
                              ", and nobody knows whether it arrived (" + *t.doubt +
                              "): look there, then give it up or send it again"};
  return {ec::under_way, letter + " is on its way to " + to + ": wait for it, or give it up"};
}

} // namespace

std::vector<message_offset> partition_leader_state::take_free(const std::string& group,
                                                              std::vector<message_offset> offsets,
                                                              redrive_result& into) {
  std::ranges::sort(offsets);
  offsets.erase(std::unique(offsets.begin(), offsets.end()), offsets.end());
  std::map<message_offset, const transfer_state*> locked;
  for (const auto& [begun, each] : *rules->transfers_of(group))
    for (const auto letter : each.dead_letters)
      locked.emplace(letter, &each);
  std::vector<message_offset> free;
  for (const auto offset : offsets) {
    const auto letter = message_id(args.topic, args.partition.number, offset);
    if (const auto found = locked.find(offset); found != locked.end())
      into.left.emplace_back(offset, standing_of(*found->second, letter));
    else if (!moving.emplace(group, offset).second)
      into.left.emplace_back(
          offset, failure{ec::under_way, letter + " is being redriven or purged: repeat"});
    else
      free.push_back(offset);
  }
  return free;
}

/// Those that are not held or are too many for one call are free again.
void partition_leader_state::read_taken(const std::string& group,
                                        const std::vector<message_offset>& taken,
                                        std::function<void(const letter_list&)> then,
                                        std::function<void(const failure&)> failed) {
  const auto give_up = [this, group, taken, failed = std::move(failed)](const caf::error& why) {
    let_go(group, taken);
    failed(to_failure(why));
  };
  const auto read = [this, group, taken, then = std::move(then), give_up] {
    const auto reader = find_role<storage_reader_actor>(self->system(), role::storage_reader);
    if (!reader)
      return give_up(
          to_error({ec::partition_offline, "the storage reader is being started; repeat"}));
    self->request(reader, args.node->bounds.storage.request_timeout, atom::redrive_v,
                  args.partition, group, taken, letters_bytes_max)
        .then(
            [this, group, taken, then](const letter_list& letters) {
              for (const auto offset : taken)
                if (std::ranges::find(*letters, offset, &dead_letter::offset) == letters->end())
                  moving.erase({group, offset});
              then(letters);
            },
            give_up);
  };
  // Without a time-out: the writer answers, or ends and the node with it.
  self->request(writer, caf::infinite, atom::record_v, record_list{})
      .then([read](done) { read(); }, give_up);
}

void partition_leader_state::let_go(const std::string& group,
                                    const std::vector<message_offset>& taken) {
  for (const auto offset : taken)
    moving.erase({group, offset});
}

} // namespace waybill
