// Stands in the storage reader's place and can hold back what leaders ask it for: a slow disk.
#pragma once

#include "actors/context.hpp"

#include <atomic>
#include <memory>

namespace waybill::test {

struct held_reads {
  std::atomic<bool> holding{false}; ///< reads that come now wait
  std::atomic<std::size_t> waiting{0};
};

/// Takes the role over. After `holding` was set to false, `release` lets go what waits.
class reader_spy {
public:
  explicit reader_spy(caf::actor_system& system);
  [[nodiscard]] held_reads& reads() { return *reads_; }
  void release();

private:
  std::shared_ptr<held_reads> reads_ = std::make_shared<held_reads>();
  storage_reader_actor spy_;
};

} // namespace waybill::test
