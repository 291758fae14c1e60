// Which message of each key has its turn, and who gets the key's messages: what an ordered group
// keeps in one partition beside its leases. Gone with the leader. Pure.
// Source: docs/design.md, section 6.
#pragma once

#include "actors/rules/offset_set.hpp"
#include "storage/types.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace waybill {

/// Of a key's bytes; two keys with the same number share their order. 0: no key.
using key_number = tagged<struct key_tag>;

/// Every message in here is unsettled, and of each key one is *current*: it may be delivered, is
/// out, or waits for its next attempt. The others wait behind it, in order of offset.
class key_order {
public:
  /// `idle_keys_max`: keys without any message whose consumer is remembered; beyond it the one that
  /// is idle for the longest is forgotten.
  explicit key_order(std::uint64_t idle_keys_max) : idle_keys_max_{idle_keys_max} {}

  enum class turn : std::uint8_t { current, behind };
  /// @pre it is not in here, and has a key
  turn enter(message_offset offset, key_number key);
  [[nodiscard]] std::optional<turn> turn_of(message_offset offset) const;
  /// These are settled. @returns those whose turn it is now
  std::vector<message_offset> settle(offset_range range);
  [[nodiscard]] std::size_t behind_count() const noexcept { return behind_.size(); }
  /// Forgets everything. @returns what was behind, ascending
  std::vector<message_offset> clear();

  /// Who gets the messages of this one's key; none: nobody yet. @pre it is in here
  [[nodiscard]] std::optional<consumer_id> holder(message_offset offset) const;
  /// From now on, for as long as it stays.
  void hold(message_offset offset, consumer_id who);
  /// It left: others may have its keys.
  void release(consumer_id who);
  /// How many keys it holds.
  [[nodiscard]] std::uint64_t held_by(consumer_id who) const;

private:
  struct key_state {
    std::optional<message_offset> current;
    offset_set behind;
    std::optional<consumer_id> holder;
    std::uint64_t idle_since = 0; ///< its place in `idle_`; 0: it has a message
  };
  using keys = std::map<key_number, key_state>;
  [[nodiscard]] key_number key_of(message_offset offset) const;
  void let_go(key_state& of);
  void rest(keys::iterator key);
  void wake(key_state& key);

  std::uint64_t idle_keys_max_;
  keys keys_;
  std::map<message_offset, key_number> current_, behind_;
  std::map<consumer_id, std::uint64_t> held_; ///< how many keys
  std::map<std::uint64_t, key_number> idle_;  ///< the longest idle first
  std::uint64_t rests_ = 0;
};

} // namespace waybill
