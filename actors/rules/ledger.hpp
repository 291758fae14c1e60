// The books of one partition: counted when things happen, and counted again from what the store
// holds; they balance or name what is missing. Pure. Source: docs/design.md, section 7.
#pragma once

#include "storage/records.hpp"
#include "storage/store.hpp"
#include "storage/types.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace waybill {

/// Named unlike the client library's books: a program may link both, and one name means one type.
struct audited_group {
  std::string group;
  std::uint64_t arrived = 0, acked = 0, ready = 0, leased = 0, delayed = 0, dead = 0, redriven = 0,
                purged = 0, for_others = 0;
  std::uint64_t expired = 0;               ///< of all that became dead letters
  std::uint64_t skipped = 0, reopened = 0; ///< by seeks
  std::uint64_t dropped_unread = 0;        ///< by the topic's retention
  bool balances = false;
};
struct audited_partition {
  partition_id partition;
  std::uint64_t confirmed = 0; ///< counted when committed
  std::uint64_t live = 0;      ///< counted by reading the store
  std::uint64_t dropped = 0;   ///< counted when dropped
  std::uint64_t entries = 0;   ///< read and checked
  std::vector<std::string>
      faults; ///< missing or damaged entries, each by partition, index, offsets
  std::vector<audited_group> groups;
  log_position at;
  bool balances = false;
};

/// What the leader says at the moment of the audit: its replicated state at the commit index, and
/// what is out.
struct audit_basis {
  std::string topic;
  partition_id partition;
  partition_snapshot state;
  struct held {
    std::string group;
    std::vector<offset_range> leased;  ///< out with a consumer or being settled
    std::vector<offset_range> delayed; ///< waiting for their time
  };
  std::vector<held> out;
};

/// Walks a partition's log, entry by entry in index order, and then draws up the books. Checks of
/// the log: index, chain, bytes' hash, offsets without a gap, epochs and stamps that do not fall,
/// and that it ends where the state says. Of a group: each message that it has not settled is in
/// the log, once; is ready, leased or delayed, one of them; and the dead letters in the store are
/// the state's. A fault begins with `topic#number: `. The first 1,000 are named, further ones
/// counted. Memory: the basis, and a range for each gap of the log.
/// @pre the store was pinned before `basis` was taken: what was dropped lies at or below its
/// position; and the dead letters that are told are those of that position, or `meanwhile` says
/// what became of them
class auditor {
public:
  /// `dropped` as the store tells it while pinned.
  auditor(audit_basis basis, dropped_books dropped);
  ~auditor();
  auditor(auditor&&) noexcept;
  /// The next entry in the store; those above the basis' position are passed over. A gap must be a
  /// dropped range whose edge hashes fit; anything else becomes a fault.
  void entry(const struct entry& e);
  /// The store could not read on at some place: a fault.
  void unreadable(const std::string& what);
  /// A dead letter that the store holds for a group.
  void dead_letter(const std::string& group, message_offset offset);
  /// For a partition at work: its state when all dead letters had been told. Excused are then
  /// those that came and whose message was unsettled at the basis and is settled in `later`, and
  /// those that are gone and no more in `later`, redriven, purged, or with their group. Without
  /// this call none is.
  void meanwhile(const partition_snapshot& later);
  /// After all, once: the books. They balance when there is no fault, `confirmed` is live +
  /// dropped, and for each group `arrived` is the sum of the other terms; each term is counted by
  /// itself.
  [[nodiscard]] audited_partition close();

private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

} // namespace waybill
