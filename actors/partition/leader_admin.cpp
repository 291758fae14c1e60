// What a leader answers to people: how it stands, dead letters sent back or purged, its side of the
// books.
#include "actors/partition/partition_leader_state.hpp"
#include "actors/partition/redriven_batch.hpp"
#include "storage/records_codec.hpp"

#include <algorithm>

namespace waybill {

partition_view partition_leader_state::describe() {
  partition_view view;
  view.number = args.partition.number;
  view.leading = args.leading;
  view.commit = applied;
  view.next = applied_offset;
  view.state = now_is == phase::recovering ? "recovering" : "leading";
  if (!rules)
    return view;
  view.groups = rules->views();
  if (const auto first = args.node->data->first_message(args.partition, message_offset{});
      first && *first)
    view.first = **first;
  else
    view.first = view.next;
  if (const auto dropped = args.node->data->dropped(args.partition))
    view.held = confirmed - std::min(confirmed, dropped->messages);
  return view;
}

basis_ptr partition_leader_state::basis() const {
  auto result = std::make_shared<audit_basis>();
  result->topic = args.topic;
  result->partition = args.partition;
  result->state = snapshot();
  for (auto& out : rules->out())
    result->out.push_back({out.group, out.leased, out.delayed});
  return result;
}

caf::result<seek_result> partition_leader_state::seek(const std::string& group,
                                                      const seek_target& target) {
  if (auto why = refusal_of_change(group))
    return to_error(*why);
  if (target.where == seek_target::kind::offset && target.offset > applied_offset)
    return to_error({ec::bad_argument, partition_name(args.topic, args.partition.number) +
                                           " has messages up to offset " +
                                           std::to_string(applied_offset.value) + ", not to " +
                                           std::to_string(target.offset.value)});
  auto promise = self->make_response_promise<seek_result>();
  if (target.where != seek_target::kind::time) {
    const auto place = target.where == seek_target::kind::earliest ? message_offset{}
                       : target.where == seek_target::kind::latest ? applied_offset
                                                                   : target.offset;
    append_seek(group, place, promise);
    return promise;
  }
  const auto reader = find_role<storage_reader_actor>(self->system(), role::storage_reader);
  if (!reader)
    return to_error({ec::partition_offline, "the storage reader is being started; repeat"});
  self->request(reader, args.node->bounds.storage.request_timeout, atom::find_v, args.partition,
                std::int64_t{target.at.time_since_epoch().count()})
      .then(
          [this, group, promise](message_offset found) mutable {
            if (auto why = refusal())
              promise.deliver(to_error(*why));
            else
              append_seek(group, found, promise);
          },
          [promise](const caf::error& why) mutable { promise.deliver(why); });
  return promise;
}

void partition_leader_state::append_seek(const std::string& group, message_offset target,
                                         caf::typed_response_promise<seek_result> answer) {
  waiting who;
  who.then = [this, group, answer](const failure* why) mutable {
    if (why)
      answer.deliver(to_error(*why));
    else if (last_seek)
      answer.deliver(*last_seek);
    else
      answer.deliver(
          to_error({ec::unknown_group, "group \"" + group + "\" was deleted meanwhile"}));
  };
  const group_record record{group_action::seek, group, {}, target};
  append(entry_kind::group, 0, shared_bytes{encode(record)}, std::move(who));
  rules->appended(record);
}

caf::result<redrive_result>
partition_leader_state::redrive(const std::string& group,
                                const std::vector<message_offset>& offsets) {
  if (auto why = refusal_of_change(group))
    return to_error(*why);
  redrive_result result;
  const auto taken = take_free(group, offsets, result);
  auto promise = self->make_response_promise<redrive_result>();
  read_taken(
      group, taken,
      [this, group, promise, result](const letter_list& letters) {
        append_redrive(group, *letters, result, promise);
      },
      [promise](const failure& why) mutable { promise.deliver(to_error(why)); });
  return promise;
}

void partition_leader_state::append_redrive(const std::string& group,
                                            const std::vector<dead_letter>& letters,
                                            redrive_result result,
                                            caf::typed_response_promise<redrive_result> answer) {
  const auto give_up = [&](const failure& why) {
    for (const auto& each : letters)
      moving.erase({group, each.offset});
    answer.deliver(to_error(why));
  };
  if (auto why = refusal())
    return give_up(*why);
  if (letters.empty()) {
    answer.deliver(std::move(result));
    return;
  }
  auto batch = redriven_batch(args.topic, args.partition.number, letters);
  if (!batch)
    return give_up(batch.error());
  redrive_record record{group, {}, *std::move(batch)};
  for (const auto& letter : letters)
    record.dead_letters.push_back(letter.offset);
  result.removed = record.dead_letters;
  for (std::uint64_t i = 0; i < letters.size(); ++i)
    result.offsets.push_back(message_offset{log->next_offset().value + i});
  waiting who;
  who.then = [answer, result](const failure* why) mutable {
    if (why)
      answer.deliver(to_error(*why));
    else
      answer.deliver(result);
  };
  append(entry_kind::redrive, static_cast<std::uint32_t>(letters.size()),
         shared_bytes{encode(record)}, std::move(who));
}

caf::result<redrive_result>
partition_leader_state::purge(const std::string& group,
                              const std::vector<message_offset>& offsets) {
  if (auto why = refusal())
    return to_error(*why);
  if (auto why = no_group(group))
    return to_error(*why);
  redrive_result result;
  const redrive_record record{group, take_free(group, offsets, result), {}};
  if (record.dead_letters.empty())
    return result;
  auto promise = self->make_response_promise<redrive_result>();
  waiting who;
  who.then = [this, group, asked = record.dead_letters, promise,
              result](const failure* why) mutable {
    let_go(group, asked);
    if (why)
      promise.deliver(to_error(*why));
    else
      promise.deliver(redrive_result{last_removed, {}, {}, result.left});
  };
  append(entry_kind::redrive, 0, shared_bytes{encode(record)}, std::move(who));
  return promise;
}

} // namespace waybill
