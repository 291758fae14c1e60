// Pages of sealed generations' tables in memory, bounded in bytes; the one used longest ago goes
// first.
#pragma once

#include "storage/generation.hpp"
#include "storage/table.hpp"

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace waybill {

using page_ptr = std::shared_ptr<const page>;
/// A page by where it is and what it holds: a number can be given out again after a truncation.
struct page_place {
  std::uint64_t generation = 0;
  std::uint32_t number = 0;
  hash128 content;
  friend auto operator<=>(const page_place&, const page_place&) = default;
};

/// Any thread.
class page_cache {
public:
  explicit page_cache(std::uint64_t bytes_max) : bytes_max_{bytes_max} {}
  [[nodiscard]] page_ptr find(page_place place);
  void put(page_place place, page_ptr content);
  /// Forgets all of a generation that is destroyed.
  void forget_generation(std::uint64_t number);
  [[nodiscard]] std::uint64_t bytes() const;

private:
  struct held {
    page_place place;
    page_ptr content;
  };
  void drop(std::map<page_place, std::list<held>::iterator>::iterator which);

  const std::uint64_t bytes_max_;
  mutable std::mutex mutex_;
  std::list<held> by_use_; ///< the newest first
  std::map<page_place, std::list<held>::iterator> places_;
  std::uint64_t bytes_ = 0;
};

/// The pages that one look at the index uses. A page that is not in memory is only noted, for it
/// must not be read under the index's lock; `load_missing` reads it, and the look begins again.
/// What was found stays until the view ends, so a look must be one that needs few pages.
class page_view {
public:
  explicit page_view(page_cache& cache) : cache_{cache} {}
  /// Null: not in memory; the look must give up.
  [[nodiscard]] const page* find(const generation_ptr& where, const page_summary& summary);
  [[nodiscard]] bool misses() const { return static_cast<bool>(missing_from_); }
  void begin() { missing_from_.reset(); }
  /// @errors `damaged`, `storage_failed`, `not_found` (the generation is gone: look again)
  [[nodiscard]] result<void> load_missing();

private:
  page_cache& cache_;
  std::vector<std::pair<page_place, page_ptr>>
      held_; ///< so that a small cache cannot starve a look
  generation_ptr missing_from_;
  page_summary missing_;
};

} // namespace waybill
