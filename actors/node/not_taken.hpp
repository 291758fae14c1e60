// Why a listener was not told of something.
#pragma once

#include "actors/messages.hpp"

namespace waybill {

[[nodiscard]] inline failure not_taken(const caf::error& why) {
  if (why == caf::sec::request_timeout)
    return {ec::timed_out, "it did not answer within extensions.listener-timeout"};
  if (why == caf::sec::request_receiver_down)
    return {ec::timed_out, "it ended before it answered"};
  return to_failure(why);
}

} // namespace waybill
