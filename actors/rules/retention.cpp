// Marks along a log, and how far what lies before them has fallen behind: see the header.
#include "actors/rules/retention.hpp"

#include <algorithm>

namespace waybill {

std::optional<std::string> objection_to(const retention_settings& s) {
  const auto day = std::chrono::hours{24};
  const auto longest = 100 * 365 * day; // stamps and spans of this size still add up
  if (s.keep < milliseconds{0} || s.age < milliseconds{0} || s.keep > longest || s.age > longest)
    return "a topic's keep and retain-age are spans of 0 (off) to 100 years";
  if (s.age > milliseconds{0} && s.keep > s.age)
    return "a topic cannot keep messages for longer than its retain-age, after which they go";
  return std::nullopt;
}

retention::retention(const partition_snapshot& from)
    : published_{from.published}, marks_{from.marks} {}

/// Where the log stood before an entry becomes a mark, if without it what lies between two marks
/// became too much.
void retention::arrived(const entry& e) {
  // How old a log is that was begun before marks were made is not known: as young as can be.
  const mark here{e.first_offset, published_.bytes_before,
                  published_.bytes_before == 0 ? e.stamped : published_.stamped_before};
  published_ = {offsets_of(e).end, here.bytes_before + entry_header_bytes + e.body.size(),
                e.stamped};
  if (!marks_.empty() && !is_apart(marks_.back(), published_))
    return;
  marks_.push_back(here);
  if (marks_.size() > marks_max)
    thin_out();
}

bool retention::is_apart(const mark& from, const mark& to) const {
  return to.bytes_before - from.bytes_before >= spacing_bytes_min << doublings_ ||
         to.stamped_before - from.stamped_before >=
             spacing_time_min * (std::int64_t{1} << doublings_);
}

/// Down to half of them, evenly: the distance doubles until so many fall out.
void retention::thin_out() {
  while (marks_.size() > marks_max / 2) {
    ++doublings_;
    std::vector<mark> kept;
    for (std::size_t i = 0; i < marks_.size(); ++i) {
      const auto& following = i + 1 < marks_.size() ? marks_[i + 1] : published_;
      if (kept.empty() || is_apart(kept.back(), following))
        kept.push_back(marks_[i]);
    }
    marks_ = std::move(kept);
  }
}

/// With fewer marks those to come may lie closer together.
void retention::trim(message_offset first_needed) {
  const auto last = std::ranges::upper_bound(marks_, first_needed, {}, &mark::offset);
  if (last - marks_.begin() > 1)
    marks_.erase(marks_.begin(), last - 1); // the one before: it tells how old the first one is
  if (marks_.size() < marks_max / 8)
    doublings_ = 0;
}

void retention::snapshot(partition_snapshot& into) const {
  into.published = published_;
  into.marks = marks_;
}

/// The end of what was stamped so long ago, or has so many bytes behind it; 0: without a limit.
message_offset retention::beyond(milliseconds age, std::uint64_t bytes, wall_time now) const {
  const auto is_beyond = [&](const mark& m) {
    return (age > milliseconds{0} && m.stamped_before <= now - age) ||
           (bytes > 0 && published_.bytes_before - m.bytes_before >= bytes);
  };
  if (is_beyond(published_))
    return published_.offset;
  const auto last = std::ranges::find_if(marks_.rbegin(), marks_.rend(), is_beyond);
  return last == marks_.rend() ? message_offset{} : last->offset;
}

retention::outlook retention::look(const retention_settings& settings,
                                   std::optional<message_offset> kept_from, wall_time now) {
  const auto due = std::min(beyond(settings.age, settings.bytes, now), warned_below_);
  outlook seen{beyond(settings.age - settings.age / 5, settings.bytes - settings.bytes / 5, now),
               std::nullopt};
  warned_below_ = seen.endangered_below;
  const bool keeps = settings.keep > milliseconds{0};
  retention_record next{std::max(due, dropped_below_), std::nullopt};
  if (keeps)
    next.kept_from = std::max(kept_from.value_or(message_offset{}), beyond(settings.keep, 0, now));
  if (next.dropped_below > dropped_below_ || next.kept_from != kept_from) {
    dropped_below_ = next.dropped_below;
    seen.change = next;
  }
  return seen;
}

} // namespace waybill
