// A group that goes on reading from another place: one call of the contract.
#include "net/client/admin_call.hpp"
#include "net/client/client_impl.hpp"

namespace waybill {

using client_parts::admin_answer;

namespace {

admin_answer<sought> read_sought(wire::SeekOutcome::Reader outcome) {
  if (outcome.which() == wire::SeekOutcome::ERROR)
    return client_parts::refusal<sought>(outcome.getError());
  if (outcome.which() != wire::SeekOutcome::OK)
    return client_parts::strange<sought>();
  const auto ok = outcome.getOk();
  return {sought{message_offset{ok.getOffset()}, ok.getSkipped(), ok.getReopened()}, false};
}

void write_target(wire::SeekTarget::Builder to, const seek_to& from) {
  switch (from.where) {
  case seek_to::kind::earliest:
    to.setEarliest();
    break;
  case seek_to::kind::latest:
    to.setLatest();
    break;
  case seek_to::kind::offset:
    to.setOffset(from.offset.value);
    break;
  case seek_to::kind::time:
    to.setTime(from.at.time_since_epoch().count());
    break;
  }
}

} // namespace

sought client::seek_group(const std::string& topic, const std::string& group,
                          std::uint32_t partition, const seek_to& target) {
  return client_parts::call<sought>(
      impl_->core, "seek_group",
      [topic, group, partition, target](wire::Session::Client session, bool) {
        auto request = session.seekGroupRequest();
        request.setTopic(topic);
        request.setGroup(group);
        request.setPartition(partition);
        write_target(request.initTarget(), target);
        return client_parts::asked<sought>(std::move(request), read_sought);
      });
}

} // namespace waybill
