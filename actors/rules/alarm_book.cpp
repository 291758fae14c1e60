#include "actors/rules/alarm_book.hpp"

#include <algorithm>

namespace waybill {

void alarm_book::put(alarm_report report, const moment& now, std::vector<alarm_report>& told) {
  const std::pair key{report.name, report.subject};
  const auto found = raised_.find(key);
  const bool was_raised = found != raised_.end();
  if (!report.raised && !was_raised)
    return;
  if (const auto* kind = find_alarm_kind(report.name); kind && report.raised)
    report.advice = kind->advice;
  report.at = now.wall;
  report.since = was_raised ? found->second.since : now.wall;
  if (report.raised && was_raised) {
    report.number = found->second.number;
    found->second = std::move(report); // its words may be newer; it is told already
    return;
  }
  report.number = ++last_;
  if (report.raised)
    raised_[key] = report;
  else
    raised_.erase(found);
  changes_.push_back(report);
  if (changes_.size() > alarm_news_max)
    changes_.pop_front();
  told.push_back(std::move(report));
}

std::vector<alarm_report> alarm_book::take(alarm_report report, const moment& now) {
  std::vector<alarm_report> told;
  const auto* kind = find_alarm_kind(report.name);
  const bool event = kind && kind->how == alarm_kind::lasts::event && report.raised;
  const auto subject = report.subject;
  put(std::move(report), now, told);
  if (!event || told.empty())
    return told;
  if (const auto times = restarts_.restarted(subject, now.steady); times > 0)
    put({"restarts-often", subject, alarm_level::warning,
         subject + " was started again " + std::to_string(times) +
             " times within supervision.restarts-within",
         true},
        now, told);
  return told;
}

std::vector<alarm_report> alarm_book::tick(const moment& now) {
  std::vector<alarm_report> told;
  for (const auto& subject : restarts_.over(now.steady))
    put({"restarts-often", subject, alarm_level::warning,
         subject + " has not been started again for supervision.restarts-within", false},
        now, told);
  return told;
}

std::vector<alarm_report> alarm_book::raised() const {
  std::vector<alarm_report> result;
  result.reserve(raised_.size());
  for (const auto& [key, report] : raised_)
    result.push_back(report);
  return result;
}

alarm_news alarm_book::news_after(std::uint64_t number) const {
  alarm_news news;
  news.last = last_;
  news.raised = raised();
  std::ranges::stable_sort(news.raised, {}, &alarm_report::number);
  if (news.raised.size() > alarms_listed_max) {
    news.unlisted = news.raised.size() - alarms_listed_max;
    news.raised.resize(alarms_listed_max);
  }
  if (number >= last_)
    return news;
  const auto first = std::ranges::find_if(
      changes_, [number](const alarm_report& each) { return each.number > number; });
  news.changes.assign(first, changes_.end());
  news.missed = last_ - number - news.changes.size();
  return news;
}

} // namespace waybill
