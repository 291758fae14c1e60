// How threads share the actors that have work, by default: as CAF's work sharing does, with one
// queue for all, except that the first actor which a running one gives work is run next by the same
// thread.
//
// A confirm is a relay of actors on threads that mostly sleep. With one queue alone each hand-over
// wakes another thread, which finds the queue locked, sleeps again, and often comes too late: the
// waker has taken the job itself. What that costs: docs/performance.md. An actor must not block its
// thread (docs/extending.md): the one that it has just given work would wait with it.
#pragma once

#include <caf/policy/unprofiled.hpp>
#include <caf/scheduler/coordinator.hpp>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <utility>

namespace waybill {

/// A policy as CAF's scheduler wants it (caf/policy/work_sharing.hpp shows one).
class hand_over : public caf::policy::unprofiled {
public:
  using job = caf::resumable*;
  /// So many hand-overs in a row, then what waits in the queue has its turn.
  static constexpr unsigned in_a_row_max = 8;

  struct coordinator_data {
    explicit coordinator_data(caf::scheduler::abstract_coordinator*) {}
    std::mutex lock;
    std::condition_variable awaited;
    std::deque<job> queue;
    std::size_t asleep = 0;
  };
  /// The worker's own; only its thread touches it.
  struct worker_data {
    explicit worker_data(caf::scheduler::abstract_coordinator*) {}
    job next = nullptr;
    unsigned in_a_row = 0;
  };

  /// From threads that are no workers.
  template <class Coordinator>
  void central_enqueue(Coordinator* self, job what) {
    auto& all = d(self);
    bool wake = false;
    {
      const std::lock_guard lock{all.lock};
      all.queue.push_back(what);
      wake = all.asleep > 0;
    }
    if (wake)
      all.awaited.notify_one(); // not under the lock, which the woken one needs at once
  }

  template <class Worker>
  void external_enqueue(Worker* self, job what) {
    central_enqueue(self->parent(), what);
  }

  /// From the actor that this worker runs.
  template <class Worker>
  void internal_enqueue(Worker* self, job what) {
    auto& own = d(self);
    if (own.next)
      central_enqueue(self->parent(), what);
    else
      own.next = what;
  }

  /// An actor that has had its share and has more to do.
  template <class Worker>
  void resume_job_later(Worker* self, job what) {
    central_enqueue(self->parent(), what);
  }

  template <class Worker>
  job dequeue(Worker* self) {
    auto& own = d(self);
    auto& all = d(self->parent());
    if (own.next && own.in_a_row++ < in_a_row_max)
      return std::exchange(own.next, nullptr);
    own.in_a_row = 0;
    std::unique_lock lock{all.lock};
    if (own.next)
      all.queue.push_back(std::exchange(own.next, nullptr));
    while (all.queue.empty()) {
      ++all.asleep;
      all.awaited.wait(lock);
      --all.asleep;
    }
    return take_first(all);
  }

  template <class Worker, class Visit>
  void foreach_resumable(Worker* self, Visit visit) {
    if (const auto left = std::exchange(d(self).next, nullptr))
      visit(left);
  }

  template <class Coordinator, class Visit>
  void foreach_central_resumable(Coordinator* self, Visit visit) {
    auto& all = d(self);
    for (std::deque<job> left;; left.clear()) { // without the lock, for what ends may give work
      {
        const std::lock_guard lock{all.lock};
        left.swap(all.queue);
      }
      if (left.empty())
        return;
      for (const auto each : left)
        visit(each);
    }
  }

private:
  /// @pre the lock is held
  static job take_first(coordinator_data& all) {
    const auto first = all.queue.front();
    all.queue.pop_front();
    return first;
  }
};

} // namespace waybill
