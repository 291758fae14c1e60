// Which pages stay in memory, and how a look at the index gets those that do not.
#include "storage/page_cache.hpp"

#include <algorithm>

namespace waybill {
namespace {

std::uint64_t size_of(const page& content) {
  return sizeof(page) + content.capacity() * sizeof(table_entry);
}

} // namespace

page_ptr page_cache::find(page_place place) {
  std::lock_guard lock{mutex_};
  const auto found = places_.find(place);
  if (found == places_.end())
    return nullptr;
  by_use_.splice(by_use_.begin(), by_use_, found->second);
  return found->second->content;
}

void page_cache::put(page_place place, page_ptr content) {
  std::lock_guard lock{mutex_};
  if (const auto old = places_.find(place); old != places_.end())
    drop(old);
  bytes_ += size_of(*content);
  by_use_.push_front({place, std::move(content)});
  places_[place] = by_use_.begin();
  while (bytes_ > bytes_max_ && !by_use_.empty())
    drop(places_.find(by_use_.back().place));
}

void page_cache::drop(std::map<page_place, std::list<held>::iterator>::iterator which) {
  bytes_ -= size_of(*which->second->content);
  by_use_.erase(which->second);
  places_.erase(which);
}

void page_cache::forget_generation(std::uint64_t number) {
  std::lock_guard lock{mutex_};
  for (auto each = places_.lower_bound({number, 0, {}});
       each != places_.end() && each->first.generation == number;)
    drop(each++);
}

std::uint64_t page_cache::bytes() const {
  std::lock_guard lock{mutex_};
  return bytes_;
}

const page* page_view::find(const generation_ptr& where, const page_summary& summary) {
  const page_place place{where->number(), summary.number, summary.content};
  const auto known = std::ranges::find(held_, place, &std::pair<page_place, page_ptr>::first);
  if (known != held_.end())
    return known->second.get();
  if (auto cached = cache_.find(place)) {
    held_.emplace_back(place, std::move(cached));
    return held_.back().second.get();
  }
  missing_from_ = where;
  missing_ = summary;
  return nullptr;
}

result<void> page_view::load_missing() {
  auto content = missing_from_->read_page(missing_);
  if (!content)
    return content.error();
  const page_place place{missing_from_->number(), missing_.number, missing_.content};
  auto shared = std::make_shared<const page>(std::move(*content));
  cache_.put(place, shared);
  held_.emplace_back(place, std::move(shared));
  return {};
}

} // namespace waybill
