#include "actors/node/storage_writer.hpp"

#include "actors/limit_gauge.hpp"
#include "storage/assert.hpp"

#include <random>

namespace waybill {

namespace {

using std::chrono::seconds;
constexpr auto tidy_interval = seconds{1};
/// Free space must rise so far above its minimum before publishing goes on: no flapping.
constexpr std::uint64_t roomy_percent = 110;

std::uint64_t bytes_of(const entries& many) {
  std::uint64_t sum = 0;
  for (const auto& e : many)
    sum += entry_header_bytes + e.body.size();
  return sum;
}

copy_id draw_copy_id() {
  std::random_device source;
  return copy_id{(std::uint64_t{source()} << 32) | source()};
}

} // namespace

struct storage_writer_state {
  static inline const char* name = "storage-writer";

  struct append_waiting {
    entries what;
    std::uint64_t bytes = 0;
    caf::typed_response_promise<log_index> answer;
  };
  struct promise_waiting {
    partition_id partition;
    caf::typed_response_promise<recovered_ptr> answer;
  };
  struct checkpoint_waiting {
    partition_id partition;
    checkpoint_ptr what;
    caf::typed_response_promise<done> answer;
  };

  storage_writer_actor::stateful_pointer<storage_writer_state> self;
  context_ptr node;
  std::map<partition_id, epoch> promised; ///< also those that wait below
  std::vector<append_waiting> appends;
  std::vector<promise_waiting> promises;
  std::vector<caf::typed_response_promise<done>> records;
  std::vector<checkpoint_waiting> checkpoints;
  write_set gathered; ///< records and promises; entries stay in `appends` until they are written
  bool flush_armed = false;
  std::optional<limit_gauge> space;
  std::optional<failure> broken;

  void start(context_ptr n) {
    node = std::move(n);
    space.emplace(alarms_of(*self), "storage.disk-free-min", "",
                  near_limit{node->bounds.storage.disk_free_min, near_limit::bites::below});
    for (const auto& [id, found] : node->data->recovered())
      promised[id] = found.promised;
    watch_disk();
    self->delayed_send(self, tidy_interval, atom::tidy_v);
  }

  void arm_flush() {
    if (!flush_armed) {
      flush_armed = true;
      self->send(self, atom::flush_v);
    }
  }

  caf::result<log_index> append(entries& what) {
    WAYBILL_ASSERT(!what.empty());
    const auto& first = what.front();
    const auto bytes = bytes_of(what);
    if (const auto fence = promised.find(first.partition);
        fence != promised.end() && first.written < fence->second) {
      node->pending_bytes -= bytes;
      return to_error({ec::not_leader, "a later epoch of this partition has begun"});
    }
    auto answer = self->make_response_promise<log_index>();
    appends.push_back({std::move(what), bytes, answer});
    arm_flush();
    return answer;
  }

  caf::result<recovered_ptr> promise(partition_id partition, epoch next) {
    if (next < promised[partition])
      return to_error({ec::not_leader, "a higher epoch of this partition was promised"});
    promised[partition] = next;
    gathered.promises.emplace_back(partition, next);
    auto answer = self->make_response_promise<recovered_ptr>();
    promises.push_back({partition, answer});
    arm_flush();
    return answer;
  }

  caf::result<done> record(record_list& what) {
    for (auto& each : what)
      gathered.records.push_back(std::move(each));
    auto answer = self->make_response_promise<done>();
    records.push_back(answer);
    arm_flush();
    return answer;
  }

  caf::result<done> checkpoint_later(partition_id partition, checkpoint_ptr what) {
    auto answer = self->make_response_promise<done>();
    checkpoints.push_back({partition, std::move(what), answer});
    arm_flush();
    return answer;
  }

  void letters(const letter_changes& changes) {
    if (const auto written = node->data->write_dead_letters(changes); !written)
      fail(written.error());
  }

  caf::result<copy_id> begin_copy(partition_id partition) {
    flush();
    if (broken)
      return to_error(*broken);
    if (const auto there = node->data->current(partition))
      return there->copy;
    const auto copy = draw_copy_id();
    if (const auto begun = node->data->begin_copy(partition, copy); !begun) {
      fail(begun.error());
      return to_error(begun.error());
    }
    return copy;
  }

  caf::result<done> end_copy(partition_id partition) {
    flush();
    if (broken)
      return to_error(*broken);
    node->cache.forget(partition);
    promised.erase(partition);
    if (const auto ended = node->data->end_copy(partition);
        !ended && ended.error().code != ec::unknown_partition) {
      fail(ended.error());
      return to_error(ended.error());
    }
    return done{};
  }

  /// Writes all that has gathered: each write as large as a group commit may be.
  void flush() {
    flush_armed = false;
    write_gathered();
    std::size_t next = 0;
    while (!broken && next < appends.size())
      next = write_appends(next);
    if (!broken)
      appends.clear();
    answer_promises();
    write_checkpoints();
  }

  /// Records and promises: before any entry that rests on them.
  void write_gathered() {
    if (broken || (gathered.records.empty() && gathered.promises.empty()))
      return answer_records();
    const auto written = node->data->write(gathered);
    gathered = {};
    if (!written)
      fail(written.error());
    else
      answer_records();
  }

  void answer_records() {
    if (broken)
      return;
    for (auto& each : records)
      each.deliver(done{});
    records.clear();
  }

  /// @returns the first append that is not written yet
  std::size_t write_appends(std::size_t first) {
    write_set together;
    std::uint64_t bytes = 0;
    auto end = first;
    while (end < appends.size() && (end == first || bytes + appends[end].bytes <=
                                                        node->bounds.storage.group_commit_bytes)) {
      bytes += appends[end].bytes;
      together.entries.insert(together.entries.end(), appends[end].what.begin(),
                              appends[end].what.end());
      ++end;
    }
    const auto written = node->data->write(together);
    if (!written && written.error().code != ec::disk_full) {
      fail(written.error());
      return end;
    }
    for (auto each = first; each < end; ++each) {
      node->pending_bytes -= appends[each].bytes;
      if (written)
        appends[each].answer.deliver(appends[each].what.back().index);
      else
        appends[each].answer.deliver(to_error(written.error()));
    }
    return end;
  }

  void answer_promises() {
    if (broken)
      return;
    for (auto& each : promises) {
      auto now = node->data->current(each.partition);
      if (now)
        each.answer.deliver(std::make_shared<const recovered_partition>(*std::move(now)));
      else
        each.answer.deliver(to_error(now.error()));
    }
    promises.clear();
  }

  void write_checkpoints() {
    if (broken || checkpoints.empty())
      return;
    std::vector<std::pair<partition_id, checkpoint>> all;
    for (const auto& each : checkpoints)
      all.emplace_back(each.partition, *each.what);
    const auto written = node->data->write_checkpoints(all);
    if (!written && written.error().code != ec::disk_full)
      return fail(written.error());
    for (auto& each : checkpoints)
      if (written)
        each.answer.deliver(done{});
      else
        each.answer.deliver(to_error(written.error()));
    checkpoints.clear();
  }

  /// A full disk stops publishing in good time; acknowledging and reading go on.
  void watch_disk() {
    const auto free = node->data->disk_free();
    if (!free)
      return;
    const auto least = node->bounds.storage.disk_free_min;
    space->look(*free);
    if (!node->disk_full && *free < least) {
      node->disk_full = true;
      tell_disk(true, "free space on the data directory's disk (" + std::to_string(*free) +
                          " bytes) is below storage.disk-free-min (" + std::to_string(least) +
                          " bytes): publishing is refused until there is more");
    } else if (node->disk_full && *free >= least / 100 * roomy_percent) {
      node->disk_full = false;
      tell_disk(false, "there is free space again: publishing goes on");
    }
  }

  /// Whoever raised it sees only what grows.
  void watch_pending() {
    const auto pending = node->pending_bytes.load();
    const near_limit most{node->bounds.storage.pending_bytes_max};
    if (node->pending_near && most.is_roomy(pending) && node->pending_near.exchange(false))
      raise_alarm(*self, {"limit-near", "storage.pending-bytes-max", alarm_level::warning,
                          "no more than " + std::to_string(pending) +
                              " bytes wait for the node's disk again",
                          false});
  }

  void tell_disk(bool raised, std::string detail) {
    raise_alarm(*self, {"disk-full", "storage.disk-free-min", alarm_level::critical,
                        std::move(detail), raised});
  }

  void tidy() {
    flush();
    if (broken)
      return;
    watch_disk();
    watch_pending();
    const auto more = node->data->tidy();
    if (!more && more.error().code != ec::disk_full)
      return fail(more.error());
    if (more && *more)
      self->send(self, atom::tidy_v); // behind what producers wait for
    else
      self->delayed_send(self, tidy_interval, atom::tidy_v);
  }

  /// Everyone who waits is told; none of it may be believed to be on the disk.
  void fail(const failure& why) {
    if (broken)
      return;
    broken = why;
    const auto error = to_error({ec::storage_failed, why.detail});
    for (auto& each : appends)
      if (each.answer.pending())
        each.answer.deliver(error);
    for (auto& each : promises)
      each.answer.deliver(error);
    for (auto& each : records)
      each.deliver(error);
    for (auto& each : checkpoints)
      each.answer.deliver(error);
    raise_alarm(*self, {"storage-failed", node->node, alarm_level::critical,
                        "the store failed and the node stops: " + why.detail, true});
    self->quit(error);
  }
};

static storage_writer_actor::behavior_type
storage_writer(storage_writer_actor::stateful_pointer<storage_writer_state> self,
               context_ptr node) {
  self->state.self = self;
  self->state.start(std::move(node));
  // A clean end writes what waits: its senders may have counted on it.
  self->set_exit_handler([self](const caf::exit_msg& m) {
    self->state.flush();
    self->quit(m.reason);
  });
  return {
      [self](atom::append, entries& what) { return self->state.append(what); },
      [self](atom::promise, partition_id id, epoch next) { return self->state.promise(id, next); },
      [self](atom::record, record_list& what) { return self->state.record(what); },
      [self](atom::checkpoint, partition_id id, const checkpoint_ptr& what) {
        return self->state.checkpoint_later(id, what);
      },
      [self](atom::letters, const letter_changes& changes) { self->state.letters(changes); },
      [self](atom::copy, partition_id id) { return self->state.begin_copy(id); },
      [self](atom::end_copy, partition_id id) { return self->state.end_copy(id); },
      [self](atom::flush) { self->state.flush(); },
      [self](atom::tidy) { self->state.tidy(); },
  };
}

storage_writer_actor spawn_storage_writer(caf::actor_system& system, context_ptr node) {
  return system.spawn<caf::detached>(storage_writer, std::move(node));
}

} // namespace waybill
