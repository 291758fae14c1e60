#include "actors/node/storage_reader.hpp"

#include "actors/rules/ledger.hpp"

namespace waybill {

namespace {

constexpr std::size_t piece_bytes = 4u << 20; ///< of a walk
constexpr std::size_t letters_bytes_max = 4u << 20;
constexpr std::size_t letters_piece = 1'000;

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

  /// Pin, then ask the leader, then wait until the writer has written what the leader's state rests
  /// on, then walk: in this order nothing moves between what is compared.
  caf::result<books_ptr> audit(partition_id partition, const caf::strong_actor_ptr& asked) {
    const auto leader = caf::actor_cast<partition_leader_actor>(asked);
    const auto writer = find_role<storage_writer_actor>(self->system(), role::storage_writer);
    if (!leader || !writer)
      return to_error({ec::not_leader, "the partition has no leader at this moment: try again"});
    auto answer = self->make_response_promise<books_ptr>();
    const std::shared_ptr<store_pin> pin = node->data->pin();
    const auto patience = node->bounds.storage.request_timeout;
    self->request(leader, patience, atom::basis_v)
        .then(
            [this, answer, pin, partition, writer, patience](const basis_ptr& basis) mutable {
              self->request(writer, patience, atom::record_v, record_list{})
                  .then([this, answer, pin, partition,
                         basis](caf::unit_t) mutable { deliver(answer, walk(partition, *basis)); },
                        [answer](const caf::error& why) mutable { answer.deliver(why); });
            },
            [answer](const caf::error& why) mutable { answer.deliver(why); });
    return answer;
  }

  static void deliver(caf::typed_response_promise<books_ptr>& answer, result<books_ptr> books) {
    if (books)
      answer.deliver(*std::move(books));
    else
      answer.deliver(to_error(books.error()));
  }

  result<books_ptr> walk(partition_id partition, const audit_basis& basis) {
    auto dropped = node->data->dropped(partition);
    if (!dropped)
      return dropped.error();
    auditor books{basis, *std::move(dropped)};
    for (log_index next{1}; next <= basis.state.at.index;) {
      const auto piece = node->data->read(partition, next, piece_bytes);
      if (!piece) {
        books.unreadable(piece.error().detail);
        break;
      }
      if (piece->empty())
        break;
      for (const auto& e : *piece)
        books.entry(e);
      next = log_index{piece->back().index.value + 1};
    }
    for (const auto& group : basis.state.groups)
      if (const auto read = walk_letters(partition, group.group, books); !read)
        books.unreadable(read.error().detail);
    return std::make_shared<const partition_books>(books.close());
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
        return verify_result{verify_finding::dropped, "settled by every group, then dropped"};
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
