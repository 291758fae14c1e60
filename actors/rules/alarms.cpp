// The table of alarms: whoever raises a new one adds its line here.
#include "actors/rules/alarms.hpp"

#include <algorithm>
#include <array>

namespace waybill {

namespace {

using enum alarm_kind::lasts;

constexpr std::array kinds{
    alarm_kind{"limit-near",
               "Something of the node is beyond four fifths of its limit (a least amount: below "
               "five quarters), until it is below seven tenths again.",
               "Make room, or raise the limit in the configuration, before it is reached."},
    alarm_kind{"disk-full",
               "Less than storage.disk-free-min is free: publishing is refused until there is "
               "more.",
               "Free space on the disk of node.data-dir, or let groups settle what they hold "
               "(`waybill topic list` shows which topics hold most)."},
    alarm_kind{"storage-failed", "The store failed, and the node stops.",
               "Look after the disk, and start the node again: it begins with what is really on "
               "it."},
    alarm_kind{"actor-restarted", "A part of the node ended and was started again.",
               "Nothing, if it was once: the reason stands in the node's log.", event},
    alarm_kind{"leader-restarted", "A partition's leader ended, and another one began.",
               "Nothing, if it was once: the reason stands in the node's log.", event},
    alarm_kind{"extension-restarted", "An extension ended and was started again.",
               "Look for the reason in the node's log, and repair the extension.", event},
    alarm_kind{"restarts-often",
               "One part of the node was started again more often than supervision.restarts-alarm "
               "within supervision.restarts-within, until so many do not lie within it any more.",
               "Look for the reason in the node's log: beyond supervision.restarts-max its parent "
               "ends as well, and in the end the node."},
    alarm_kind{"partition-offline", "A partition cannot be served, until its leader begins.",
               "Do what its words say; `waybill topic describe` shows how it stands."},
    alarm_kind{"coordinator-damaged", "A record of the cluster's facts cannot be read.",
               "Bring the data directory back from a copy; its topic is not served meanwhile."},
    alarm_kind{"unknown-copy", "The store has a copy of a topic that the coordinator lacks.",
               "Keep the data directory as it is, and find out which topic it was: nothing of it "
               "is deleted."},
    alarm_kind{"message-missing", "A message that is not settled is not in the store.",
               "Run `waybill audit` of its topic, and keep the data directory as it is."},
    alarm_kind{
        "unread-dropped",
        "A topic's retention drops what a group has not read, or what no group was there to read, "
        "soon or already, until what goes next is read or nothing goes.",
        "Let the group's consumers catch up, or raise the topic's limits with `waybill topic "
        "set`."},
    alarm_kind{"group-held-back", "A group gets no new messages, until less of it is stuck.",
               "Find out why its messages fail (`waybill group describe`), or go past them with "
               "`waybill group seek`."},
    alarm_kind{"group-stuck",
               "Nothing of a group was settled for delivery.stuck-after although messages are "
               "ready or with consumers, until something is.",
               "Look whether its consumers live and work (`waybill group describe`); a group "
               "that nobody needs any more is deleted with `waybill group delete`."},
    alarm_kind{"dead-letters-growing",
               "A group has delivery.dead-letters-alarm more dead letters in a partition than "
               "when somebody looked last, until somebody looks or most of them are gone.",
               "Look at them with `waybill dlq list`, repair the cause, and send them back with "
               "`waybill dlq redrive`."},
    alarm_kind{"books-unbalanced",
               "An audit found a difference, until an audit of the same partition finds none.",
               "Keep the data directory as it is, and run `waybill audit` of the topic: it names "
               "the difference."},
    alarm_kind{"extension-failing",
               "An extension fails more often than supervision.restarts-max within "
               "supervision.restarts-within, until it has held out for twice that span.",
               "Repair the extension, or take it out of the configuration: what it is asked about "
               "is refused meanwhile."},
    alarm_kind{"interceptor-late",
               "An interceptor did not answer within extensions.interceptor-timeout, and its "
               "batches are refused, until it answers in time again.",
               "Look for what delays it, or raise extensions.interceptor-timeout."},
    alarm_kind{"policy-late",
               "A redelivery policy did not answer within extensions.redelivery-timeout, and its "
               "groups' own policies count, until it answers in time again.",
               "Look for what delays it, or raise extensions.redelivery-timeout."},
    alarm_kind{"sink-behind",
               "A listener was not told of everything, since it is too slow or fails, until it has "
               "caught up.",
               "Look for what delays the listener; what it has missed stands in the node's log or "
               "with `waybill alarms` and `waybill dlq list`."},
};

} // namespace

std::string_view to_string(alarm_level level) noexcept {
  switch (level) {
  case alarm_level::notice:
    return "notice";
  case alarm_level::warning:
    return "warning";
  case alarm_level::critical:
    return "critical";
  }
  return "unknown";
}

std::span<const alarm_kind> alarm_kinds() { return kinds; }

const alarm_kind* find_alarm_kind(std::string_view name) {
  const auto* const found = std::ranges::find(kinds, name, &alarm_kind::name);
  return found == kinds.end() ? nullptr : found;
}

} // namespace waybill
