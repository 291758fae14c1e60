// The alarms of a node, and the news of them: one call, and a copy of its answer.
#include "net/client/admin_call.hpp"
#include "net/client/client_impl.hpp"

#include <algorithm>

namespace waybill {

using client_parts::admin_answer;
using client_parts::to_text;
using client_parts::to_time;

namespace {

std::vector<alarm_info> read_alarms(capnp::List<wire::Alarm>::Reader from) {
  std::vector<alarm_info> result;
  result.reserve(from.size());
  for (const auto each : from)
    result.push_back({to_text(each.getName()), to_text(each.getSubject()), to_text(each.getLevel()),
                      to_text(each.getDetail()), to_text(each.getAdvice()),
                      to_time(each.getSince()), to_time(each.getAt()), each.getRaised()});
  return result;
}

admin_answer<alarm_list> read_list(wire::AlarmsOutcome::Reader outcome) {
  if (outcome.which() == wire::AlarmsOutcome::ERROR)
    return client_parts::refusal<alarm_list>(outcome.getError());
  if (outcome.which() != wire::AlarmsOutcome::OK)
    return client_parts::strange<alarm_list>();
  const auto ok = outcome.getOk();
  return {alarm_list{to_time(ok.getStarted()), ok.getLast(), read_alarms(ok.getRaised()),
                     ok.getUnlisted(), read_alarms(ok.getChanges()), ok.getMissed()},
          false};
}

} // namespace

alarm_list client::alarms() { return alarms_after({}, milliseconds{0}); }

alarm_list client::alarms_after(const alarm_list& known, milliseconds patience) {
  const auto wait = std::clamp(patience, milliseconds{0}, impl_->core->options.call_timeout / 2);
  return client_parts::call<alarm_list>(
      impl_->core, "alarms",
      [wait, started = known.started, after = known.last](wire::Session::Client session, bool) {
        auto request = session.alarmsRequest();
        request.setStarted(started.time_since_epoch().count());
        request.setAfter(after);
        request.setWaitMs(static_cast<std::uint64_t>(wait.count()));
        return client_parts::asked<alarm_list>(std::move(request), read_list);
      });
}

} // namespace waybill
