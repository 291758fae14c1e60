#include "actors/context.hpp"

namespace waybill {

moment now_of(caf::local_actor& self) {
  return {std::chrono::duration_cast<milliseconds>(self.clock().now().time_since_epoch()),
          std::chrono::time_point_cast<milliseconds>(std::chrono::system_clock::now())};
}

void raise_alarm(caf::local_actor& self, alarm_report report) {
  if (auto desk = find_role<alarm_desk_actor>(self.system(), role::alarm_desk))
    caf::anon_send(desk, atom::alarm_v, std::move(report));
}

caf::error to_error(const failure& why) { return caf::make_error(why.code, why.detail); }

failure to_failure(const caf::error& why) {
  if (why.category() == caf::atom("waybill")) {
    failure result{static_cast<ec>(why.code()), {}};
    if (why.context().match_elements<std::string>())
      result.detail = why.context().get_as<std::string>(0);
    return result;
  }
  if (why == caf::sec::request_timeout)
    return {ec::timed_out, "a part of the node did not answer in time; the request may have taken "
                           "effect: repeat it"};
  if (why == caf::sec::request_receiver_down)
    return {ec::timed_out,
            "a part of the node ended before it answered; the request may have taken "
            "effect: repeat it"};
  if (why == caf::sec::invalid_argument) // asked was an empty handle: nobody has the role
    return {ec::stopping, "a part of the node is being started again, or the node is stopping; "
                          "nothing was done: repeat it"};
  return {ec::internal, "a part of the node failed: " + caf::to_string(why)};
}

} // namespace waybill
