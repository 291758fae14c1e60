#include "tests/node/reader_spy.hpp"

#include <vector>

namespace waybill::test {

namespace {

struct spy_state {
  struct held {
    caf::typed_response_promise<entry_list> answer;
    partition_id partition;
    message_offset offset;
    std::uint64_t bytes = 0;
  };
  std::vector<held> waiting;
};

/// Passes everything on to the reader that it stands for, unless reads are held.
storage_reader_actor::behavior_type spy(storage_reader_actor::stateful_pointer<spy_state> self,
                                        storage_reader_actor real,
                                        std::shared_ptr<held_reads> reads) {
  self->link_to(real);
  const auto pass = [self, real](auto... what) { return self->delegate(real, std::move(what)...); };
  return {
      [self, real, reads](atom::read, partition_id partition, message_offset offset,
                          std::uint64_t bytes) -> caf::result<entry_list> {
        auto& waiting = self->state.waiting;
        if (reads->holding) {
          waiting.push_back({self->make_response_promise<entry_list>(), partition, offset, bytes});
          reads->waiting = waiting.size();
          return waiting.back().answer;
        }
        for (auto& each : std::exchange(waiting, {}))
          each.answer.delegate(real, atom::read_v, each.partition, each.offset, each.bytes);
        reads->waiting = 0;
        return self->delegate(real, atom::read_v, partition, offset, bytes);
      },
      [pass](atom::find, partition_id p, std::int64_t at) { return pass(atom::find_v, p, at); },
      [pass](atom::replay, partition_id p, log_index from, std::uint64_t bytes) {
        return pass(atom::replay_v, p, from, bytes);
      },
      [pass](atom::audit, partition_id p, const caf::strong_actor_ptr& leader) {
        return pass(atom::audit_v, p, leader);
      },
      [pass](atom::verify, partition_id p, message_offset offset, const log_position& entry) {
        return pass(atom::verify_v, p, offset, entry);
      },
      [pass](atom::letters, partition_id p, const std::string& group, message_offset from,
             std::uint32_t most) { return pass(atom::letters_v, p, group, from, most); },
      [pass](atom::redrive, partition_id p, const std::string& group,
             const std::vector<message_offset>& offsets,
             std::uint64_t bytes) { return pass(atom::redrive_v, p, group, offsets, bytes); },
  };
}

} // namespace

reader_spy::reader_spy(caf::actor_system& system) {
  const auto real = find_role<storage_reader_actor>(system, role::storage_reader);
  spy_ = system.spawn(spy, real, reads_);
  system.registry().erase(role::storage_reader); // a name that is taken is not given anew
  system.registry().put(role::storage_reader, caf::actor_cast<caf::strong_actor_ptr>(spy_));
}

void reader_spy::release() {
  reads_->holding = false;
  // Any read lets go those before it; that its own finds nothing is nobody's business.
  caf::anon_send(spy_, atom::read_v, partition_id{}, message_offset{}, std::uint64_t{0});
}

} // namespace waybill::test
