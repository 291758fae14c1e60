// The codes' names, and which of them may pass by waiting.
#include "storage/error.hpp"

namespace waybill {

std::string_view to_string(ec code) noexcept {
  switch (code) { // without a default, so that the compiler asks for the name of a new code
  case ec::none:
    return "none";
  case ec::not_leader:
    return "not_leader";
  case ec::overloaded:
    return "overloaded";
  case ec::storage_failed:
    return "storage_failed";
  case ec::stopping:
    return "stopping";
  case ec::timed_out:
    return "timed_out";
  case ec::disk_full:
    return "disk_full";
  case ec::partition_offline:
    return "partition_offline";
  case ec::unknown_topic:
    return "unknown_topic";
  case ec::topic_exists:
    return "topic_exists";
  case ec::unknown_group:
    return "unknown_group";
  case ec::unknown_partition:
    return "unknown_partition";
  case ec::bad_name:
    return "bad_name";
  case ec::bad_argument:
    return "bad_argument";
  case ec::message_too_large:
    return "message_too_large";
  case ec::batch_too_large:
    return "batch_too_large";
  case ec::malformed_batch:
    return "malformed_batch";
  case ec::limit_reached:
    return "limit_reached";
  case ec::fenced:
    return "fenced";
  case ec::number_reused:
    return "number_reused";
  case ec::out_of_order:
    return "out_of_order";
  case ec::too_old_to_know:
    return "too_old_to_know";
  case ec::unknown_producer:
    return "unknown_producer";
  case ec::lease_lost:
    return "lease_lost";
  case ec::not_allowed:
    return "not_allowed";
  case ec::damaged:
    return "damaged";
  case ec::directory_held:
    return "directory_held";
  case ec::not_found:
    return "not_found";
  case ec::version_unsupported:
    return "version_unsupported";
  case ec::unreachable:
    return "unreachable";
  case ec::internal:
    return "internal";
  case ec::rejected:
    return "rejected";
  case ec::extension_failed:
    return "extension_failed";
  case ec::under_way:
    return "under_way";
  case ec::in_doubt:
    return "in_doubt";
  }
  return "unknown_code"; // a number from a newer peer
}

bool retry_can_help(ec code) noexcept {
  switch (code) {
  case ec::not_leader:
  case ec::overloaded:
  case ec::storage_failed: // the node lets go, and starts again on what is really on the disk
  case ec::stopping:
  case ec::timed_out:
  case ec::disk_full:
  case ec::partition_offline:
  case ec::unreachable:
  case ec::extension_failed:
    return true;
  // Time alone does not cure these two: something else has to be sent first. After `out_of_order`
  // the producer sends the missing batch and then this one again; after `unknown_producer` it opens
  // itself again. A blind repeat would only fail again, so the client library does both by name.
  case ec::out_of_order:
  case ec::unknown_producer:
  default:
    return false;
  }
}

} // namespace waybill
