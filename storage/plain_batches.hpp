// Compressed batches that were decompressed to be taken apart, kept for the next part of them: a
// consumer that settles a few messages at a time gets the next few of the same batch.
// Source: docs/design.md, section 5 ("Compressed batches").
#pragma once

#include "storage/entry_cache.hpp"

#include <cstdint>
#include <list>
#include <map>
#include <mutex>

namespace waybill {

/// At most `bytes_max` of plain batches; the one that was not asked for the longest goes first.
/// Any thread.
class plain_batches {
public:
  explicit plain_batches(std::uint64_t bytes_max) : bytes_max_{bytes_max} {}
  /// The entry's batch so that its messages can be read; a plain one is not kept here.
  /// @errors `damaged`
  [[nodiscard]] result<shared_bytes> of(const cached_entry& what);
  [[nodiscard]] std::uint64_t bytes() const;

private:
  struct held {
    hash128 entry; ///< by its chain hash: another log has others
    shared_bytes batch;
  };
  using by_use = std::list<held>; ///< the last one asked for first
  [[nodiscard]] std::optional<shared_bytes> find(const hash128& entry);
  void keep(const hash128& entry, const shared_bytes& batch);
  const std::uint64_t bytes_max_;
  mutable std::mutex guard_;
  by_use held_;
  std::map<hash128, by_use::iterator> places_;
  std::uint64_t bytes_ = 0;
};

} // namespace waybill
