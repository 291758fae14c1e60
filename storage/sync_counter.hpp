// Counts the syncs that a data directory costs: an Env between LevelDB and the one that works,
// which sees every file that LevelDB or the store writes.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

namespace leveldb {
class Env;
}

namespace waybill {

/// Any thread. Outlives the files that were opened through its Env.
class sync_counter {
public:
  /// How many calls the Env below makes for one sync of LevelDB's MANIFEST: on a real file system
  /// it syncs the directory as well.
  enum class manifest_costs : std::uint8_t { one = 1, two = 2 };
  sync_counter(leveldb::Env* below, manifest_costs manifest);
  ~sync_counter();
  sync_counter(const sync_counter&) = delete;
  sync_counter& operator=(const sync_counter&) = delete;

  [[nodiscard]] leveldb::Env* env() const noexcept;
  /// What was synced past the Env.
  void add(std::uint64_t calls) noexcept { calls_.fetch_add(calls, std::memory_order_relaxed); }
  /// Calls of `fdatasync` and `fsync` so far, those that failed included.
  [[nodiscard]] std::uint64_t calls() const noexcept {
    return calls_.load(std::memory_order_relaxed);
  }

private:
  class counting_env;
  std::atomic<std::uint64_t> calls_{0};
  std::unique_ptr<counting_env> env_;
};

} // namespace waybill
