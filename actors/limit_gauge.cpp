#include "actors/limit_gauge.hpp"

#include "storage/assert.hpp"

namespace waybill {

alarm_way alarms_of(caf::local_actor& self) {
  return [&self](alarm_report report) { raise_alarm(self, std::move(report)); };
}

standing_alarm::~standing_alarm() {
  if (report_.raised)
    take_back({});
}

void standing_alarm::raise(std::string why) {
  report_.raised = true;
  report_.detail = std::move(why);
  to_(report_);
}

void standing_alarm::take_back(std::string why) {
  report_.raised = false;
  report_.detail = std::move(why);
  to_(report_);
}

namespace {

std::string subject_of(std::string_view key, const std::string& whose) {
  return std::string{key} + (whose.empty() ? "" : " of " + whose);
}

} // namespace

alarm_report near_alarm(std::string_view key, const std::string& whose, std::uint64_t limit,
                        std::uint64_t value) {
  const auto* line = find_limit(key);
  WAYBILL_ASSERT(line);
  return {"limit-near", subject_of(key, whose), alarm_level::warning,
          subject_of(key, whose) + " is " + std::to_string(limit) + " " + std::string{line->unit} +
              ", and it stands at " + std::to_string(value) +
              "; what happens at its end: " + std::string{line->at_end},
          true};
}

limit_gauge::limit_gauge(alarm_way to, std::string_view key, const std::string& whose,
                         near_limit limit)
    : key_{key}, whose_{whose}, limit_{limit}, alarm_{std::move(to), "limit-near",
                                                      subject_of(key, whose),
                                                      alarm_level::warning} {}

void limit_gauge::tell(std::uint64_t value) {
  if (limit_.is_near())
    alarm_.raise(near_alarm(key_, whose_, limit_.limit(), value).detail);
  else
    alarm_.take_back(alarm_.subject() + " stands at " + std::to_string(value) + " again");
}

} // namespace waybill
