#include "actors/node/storage_reader.hpp"

#include "actors/rules/ledger.hpp"

#include <functional>

namespace waybill {

namespace {

constexpr std::size_t piece_bytes = 4u << 20; ///< of a walk
constexpr std::size_t letters_bytes_max = 4u << 20;
constexpr std::size_t letters_piece = 1'000;
constexpr std::size_t unreadable_max = 1'000; ///< entries; a walk that meets more ends there

} // namespace

struct storage_reader_state {
  static inline const char* name = "storage-reader";

  storage_reader_actor::stateful_pointer<storage_reader_state> self;
  context_ptr node;

  /// From the entry with `offset` on. An empty list: it is not there (any more).
  caf::result<entry_list> read(partition_id partition, message_offset offset, std::uint64_t bytes) {
    const auto first = node->data->entry_with(partition, offset);
    if (!first)
      return to_error(first.error());
    if (!*first)
      return std::make_shared<const entries>();
    return replay(partition, (*first)->index, bytes);
  }

  caf::result<entry_list> replay(partition_id partition, log_index from, std::uint64_t bytes) {
    auto found = node->data->read(partition, from, bytes);
    if (!found)
      return to_error(found.error());
    return std::make_shared<const entries>(*std::move(found));
  }

  /// Stamps never fall within a log, so it is searched by halves.
  caf::result<message_offset> find(partition_id partition, wall_time at) {
    const auto end = node->data->current(partition);
    if (!end)
      return to_error(end.error());
    auto answer = end->next_offset;
    std::uint64_t low = 1,
                  high = end->last.index.value; // the entry lies in [low, high], or is none
    while (low <= high) {
      const auto middle = low + (high - low) / 2;
      const auto found = node->data->read(partition, log_index{middle}, 1);
      if (!found)
        return to_error(found.error());
      if (found->empty() || found->front().index.value > high) {
        high = middle - 1;
      } else if (found->front().stamped >= at) {
        answer = found->front().first_offset;
        high = middle - 1;
      } else {
        low = found->front().index.value + 1;
      }
    }
    return answer;
  }

  caf::result<letter_list> letters(partition_id partition, const std::string& group,
                                   message_offset from, std::uint32_t most) {
    auto found = node->data->dead_letters(partition, group, from, most, letters_bytes_max);
    if (!found)
      return to_error(found.error());
    return std::make_shared<const std::vector<dead_letter>>(*std::move(found));
  }

  caf::result<letter_list> letters_at(partition_id partition, const std::string& group,
                                      const std::vector<message_offset>& offsets,
                                      std::uint64_t bytes_max) {
    auto result = std::make_shared<std::vector<dead_letter>>();
    std::uint64_t bytes = 0;
    for (const auto offset : offsets) {
      auto found = node->data->dead_letters(partition, group, offset, 1, 1);
      if (!found)
        return to_error(found.error());
      if (found->empty() || found->front().offset != offset)
        continue;
      bytes += found->front().message.size();
      if (!result->empty() && bytes > bytes_max)
        break;
      result->push_back(std::move(found->front()));
    }
    return letter_list{std::move(result)};
  }

  struct audit_under_way {
    partition_id partition;
    partition_leader_actor leader;
    storage_writer_actor writer;
    std::shared_ptr<store_pin> pin;
    caf::typed_response_promise<books_ptr> answer;
  };

  /// Pin, then ask the leader, then wait until the writer has written what the leader's state rests
  /// on, then walk, then ask the leader what has changed meanwhile: in this order nothing moves
  /// between what is compared without being known.
  caf::result<books_ptr> audit(partition_id partition, const caf::strong_actor_ptr& asked) {
    const auto leader = caf::actor_cast<partition_leader_actor>(asked);
    const auto writer = find_role<storage_writer_actor>(self->system(), role::storage_writer);
    if (!leader || !writer)
      return to_error({ec::not_leader, "the partition has no leader at this moment: try again"});
    const audit_under_way a{partition, leader, writer, node->data->pin(),
                            self->make_response_promise<books_ptr>()};
    self->request(leader, patience(), atom::basis_v)
        .then([this, a](const basis_ptr& basis) { wait_for_writer(a, basis); }, fails(a));
    return a.answer;
  }

  void wait_for_writer(const audit_under_way& a, const basis_ptr& basis) {
    self->request(a.writer, patience(), atom::record_v, record_list{})
        .then([this, a, basis](done) { walk(a, *basis); }, fails(a));
  }

  void walk(audit_under_way a, const audit_basis& basis) {
    auto dropped = node->data->dropped(a.partition);
    if (!dropped) {
      a.answer.deliver(to_error(dropped.error()));
      return;
    }
    const auto books = std::make_shared<auditor>(basis, *std::move(dropped));
    walk_entries(a.partition, basis.state.at.index, *books);
    for (const auto& group : basis.state.groups)
      if (const auto read = walk_letters(a.partition, group.group, *books); !read)
        books->unreadable(read.error().detail);
    self->request(a.leader, patience(), atom::basis_v)
        .then(
            [this, a, books](const basis_ptr& later) mutable {
              books->meanwhile(later->state);
              const auto closed = std::make_shared<const audited_partition>(books->close());
              tell_balance(partition_name(later->topic, a.partition.number), *closed);
              a.answer.deliver(closed);
            },
            fails(a));
  }

  static std::string first_fault(const audited_partition& books) {
    if (!books.faults.empty())
      return books.faults.front();
    for (const auto& group : books.groups)
      if (!group.balances)
        return "the books of group " + group.group + " do not balance";
    return std::to_string(books.confirmed) + " messages confirmed, " + std::to_string(books.live) +
           " there and " + std::to_string(books.dropped) + " dropped";
  }

  /// Whoever asked for it: a difference concerns everybody.
  void tell_balance(const std::string& subject, const audited_partition& books) {
    raise_alarm(*self, {"books-unbalanced", subject, alarm_level::critical,
                        books.balances ? "an audit of " + subject + " has found no difference"
                                       : "an audit of " + subject + " found: " + first_fault(books),
                        !books.balances});
  }

  /// An entry that cannot be read is a fault, and the walk goes on behind it: one is not taken for
  /// many.
  void walk_entries(partition_id partition, log_index last, auditor& books) {
    std::size_t unreadable = 0;
    for (log_index next{1}; next <= last && unreadable < unreadable_max;) {
      const auto piece = node->data->read(partition, next, piece_bytes);
      if (!piece) {
        books.unreadable(piece.error().detail);
        ++unreadable;
        ++next.value;
        continue;
      }
      if (piece->empty())
        return;
      for (const auto& e : *piece)
        books.entry(e);
      next = log_index{piece->back().index.value + 1};
    }
  }

  [[nodiscard]] milliseconds patience() const { return node->bounds.storage.request_timeout; }

  static std::function<void(const caf::error&)> fails(const audit_under_way& a) {
    return [answer = a.answer](const caf::error& why) mutable { answer.deliver(why); };
  }

  result<void> walk_letters(partition_id partition, const std::string& group, auditor& books) {
    for (message_offset from{};;) {
      const auto piece =
          node->data->dead_letters(partition, group, from, letters_piece, piece_bytes);
      if (!piece)
        return piece.error();
      if (piece->empty())
        return {};
      for (const auto& letter : *piece)
        books.dead_letter(group, letter.offset);
      from = message_offset{piece->back().offset.value + 1};
    }
  }

  caf::result<verify_result> verify(partition_id partition, message_offset offset,
                                    const log_position& at) {
    const auto found = node->data->entry_at(partition, at.index);
    if (!found)
      return to_error(found.error());
    if (*found)
      return compare(**found, offset, at);
    const auto now = node->data->current(partition);
    if (!now)
      return to_error(now.error());
    if (at.index > now->last.index)
      return verify_result{verify_finding::unknown,
                           "the log ends at index " + std::to_string(now->last.index.value) +
                               ", before the receipt's " + std::to_string(at.index.value)};
    return dropped_or_unknown(partition, offset, at);
  }

  static verify_result compare(const entry& e, message_offset offset, const log_position& at) {
    const auto offsets = offsets_of(e);
    if (position_of(e) == at && offset >= offsets.first && offset < offsets.end)
      return {verify_finding::in_log, {}};
    return {verify_finding::different,
            "index " + std::to_string(e.index.value) + " holds offsets " +
                std::to_string(offsets.first.value) + " to " + std::to_string(offsets.end.value) +
                " of epoch " + std::to_string(e.written.value) + " with hash " + to_string(e.hash)};
  }

  caf::result<verify_result> dropped_or_unknown(partition_id partition, message_offset offset,
                                                const log_position& at) {
    const auto dropped = node->data->dropped(partition);
    if (!dropped)
      return to_error(dropped.error());
    for (const auto& range : dropped->ranges) {
      if (at.index < range.entries.first || at.index > range.entries.last)
        continue;
      if (offset >= range.offsets.first && offset < range.offsets.end)
        return verify_result{
            verify_finding::dropped,
            "settled by every group, or taken by the topic's retention; then dropped"};
      return verify_result{verify_finding::different,
                           "the entries that were dropped there held other offsets"};
    }
    return verify_result{verify_finding::unknown,
                         "the entry is missing: audit this partition at once"};
  }
};

static storage_reader_actor::behavior_type
storage_reader(storage_reader_actor::stateful_pointer<storage_reader_state> self,
               context_ptr node) {
  auto& state = self->state;
  state.self = self;
  state.node = std::move(node);
  return {
      [&state](atom::read, partition_id id, message_offset offset, std::uint64_t bytes) {
        return state.read(id, offset, bytes);
      },
      [&state](atom::find, partition_id id, std::int64_t at) {
        return state.find(id, wall_time{milliseconds{at}});
      },
      [&state](atom::replay, partition_id id, log_index from, std::uint64_t bytes) {
        return state.replay(id, from, bytes);
      },
      [&state](atom::audit, partition_id id, const caf::strong_actor_ptr& leader) {
        return state.audit(id, leader);
      },
      [&state](atom::verify, partition_id id, message_offset offset, const log_position& at) {
        return state.verify(id, offset, at);
      },
      [&state](atom::letters, partition_id id, const std::string& group, message_offset from,
               std::uint32_t most) { return state.letters(id, group, from, most); },
      [&state](atom::redrive, partition_id id, const std::string& group,
               const std::vector<message_offset>& offsets,
               std::uint64_t bytes) { return state.letters_at(id, group, offsets, bytes); },
  };
}

storage_reader_actor spawn_storage_reader(caf::actor_system& system, context_ptr node) {
  return system.spawn<caf::detached>(storage_reader, std::move(node));
}

} // namespace waybill
