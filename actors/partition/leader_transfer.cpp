// Redrives to another topic or partition, as a leader of the dead letters sees them: the producer
// at the target is opened, an entry begins the transfer, a courier carries the batch, and an entry
// ends it. The argument that nothing is lost or doubled stands in actors/rules/transfers.hpp.
#include "actors/partition/courier.hpp"
#include "actors/partition/partition_leader_state.hpp"
#include "actors/partition/redriven_batch.hpp"
#include "actors/session/topic_leaders.hpp"
#include "storage/assert.hpp"
#include "storage/records_codec.hpp"

#include <algorithm>

namespace waybill {

namespace {

constexpr std::size_t questions_max = 16;
constexpr std::size_t transfers_max = 1'000; ///< of a partition, those in doubt counted

} // namespace

// ---- Until it begins
// ---------------------------------------------------------------------------------

std::optional<failure> partition_leader_state::no_room_for_transfer() const {
  const auto subject = partition_name(args.topic, args.partition.number);
  if (questions.size() >= questions_max)
    return failure{ec::overloaded, "as many redrives of " + subject +
                                       " to other partitions as go at once are under way (" +
                                       std::to_string(questions_max) + "); repeat later"};
  std::size_t count = 0;
  for (const auto& group : rules->group_names())
    count += rules->transfers_of(group)->size();
  if (count >= transfers_max)
    return failure{ec::limit_reached,
                   subject + " has " + std::to_string(count) +
                       " redrives that are under way or in doubt, which is all that there may be: "
                       "decide about those in doubt (`waybill dlq list` shows them)"};
  return std::nullopt;
}

caf::result<redrive_result>
partition_leader_state::transfer(const std::string& group,
                                 const std::vector<message_offset>& offsets,
                                 const transfer_wish& wish) {
  if (auto why = refusal_of_change(group))
    return to_error(*why);
  if (auto why = no_room_for_transfer())
    return to_error(*why);
  const auto asked_by = std::make_shared<transfer_question>();
  asked_by->answer = self->make_response_promise<redrive_result>();
  asked_by->parcels = 1; // the call itself, until its parcels are made
  questions.insert(asked_by);
  read_taken(
      group, take_free(group, offsets, asked_by->result),
      [this, group, wish, asked_by](const letter_list& letters) {
        find_target(group, letters, wish, asked_by);
      },
      [this, asked_by](const failure& why) {
        if (questions.erase(asked_by) > 0)
          asked_by->answer.deliver(to_error(why));
      });
  return asked_by->answer;
}

void partition_leader_state::find_target(const std::string& group, const letter_list& letters,
                                         const transfer_wish& wish, const question_ptr& asked_by) {
  const auto nowhere = [this, group, letters, asked_by](const failure& why) {
    for (const auto& letter : *letters)
      moving.erase({group, letter.offset});
    if (questions.erase(asked_by) > 0)
      asked_by->answer.deliver(to_error(why));
  };
  look_up_topic(
      self, args.node, wish.topic,
      [this, group, letters, wish, asked_by, nowhere](const topic_ptr& found, const failure* why) {
        if (why)
          return nowhere(*why);
        if (const auto gone = refusal())
          return nowhere(*gone);
        if (wish.partition.value_or(0) >= found->partitions.size())
          return nowhere({ec::unknown_partition, "topic \"" + wish.topic +
                                                     "\" has partitions 0 to " +
                                                     std::to_string(found->partitions.size() - 1) +
                                                     ", not " + std::to_string(*wish.partition)});
        make_parcels(group, *letters, *found, wish, asked_by);
      });
}

/// By partition, each of a size that the target takes.
void partition_leader_state::make_parcels(const std::string& group,
                                          const std::vector<dead_letter>& letters,
                                          const topic_view& to, const transfer_wish& wish,
                                          const question_ptr& asked_by) {
  const auto& bounds = args.node->bounds.net;
  struct open_parcel {
    std::vector<dead_letter> letters;
    std::size_t bytes = 0;
  };
  std::map<std::uint32_t, open_parcel> open;
  const auto partitions = static_cast<std::uint32_t>(to.partitions.size());
  for (const auto& letter : letters) {
    const auto message = read_message(letter.message);
    const auto number = wish.partition.value_or(transfer_partition(
        message ? message->key : std::string_view{}, args.partition.number, partitions));
    auto& into = open[number];
    const auto bytes = letter.message.size() + redrive_headers_bytes_max;
    if (!into.letters.empty() && (into.bytes + bytes > bounds.batch_bytes_max ||
                                  into.letters.size() >= bounds.batch_messages_max)) {
      enter_parcel(group, into.letters, to, number, asked_by);
      into = {};
    }
    into.letters.push_back(letter);
    into.bytes += bytes;
  }
  for (const auto& [number, each] : open)
    enter_parcel(group, each.letters, to, number, asked_by);
  --asked_by->parcels;
  answer_if_whole(asked_by);
}

void partition_leader_state::enter_parcel(const std::string& group,
                                          const std::vector<dead_letter>& letters,
                                          const topic_view& to, std::uint32_t number,
                                          const question_ptr& asked_by) {
  const auto& bounds = args.node->bounds.net;
  parcel p{group, {to.id, number}, to.name, {}, {}, asked_by};
  for (const auto& letter : letters)
    p.letters.push_back(letter.offset);
  ++asked_by->parcels;
  auto batch = redriven_batch(args.topic, args.partition.number, letters);
  if (!batch)
    return leave(p, batch.error());
  const auto checked = check_batch(
      *batch, {bounds.batch_messages_max, bounds.message_bytes_max + redrive_headers_bytes_max});
  if (!checked)
    return leave(p, checked.error());
  p.batch = *std::move(batch);
  const auto target = p.target;
  parcels[target].push_back(std::move(p));
  next_parcel(target);
}

/// One at a time to each target: the opening of the next would fence the one before.
void partition_leader_state::next_parcel(partition_id target) {
  const auto found = parcels.find(target);
  if (found == parcels.end() || opening.contains(target))
    return;
  for (const auto& group : rules->group_names())
    if (is_on_its_way(*rules->transfers_of(group), target))
      return;
  const auto p = std::move(found->second.front());
  found->second.pop_front();
  if (found->second.empty())
    parcels.erase(found);
  opening.insert(target);
  look_up_topic(self, args.node, p.topic, [this, p](const topic_ptr& now, const failure* why) {
    if (why)
      fail(p, *why);
    else if (const auto gone = refusal())
      fail(p, *gone);
    else
      open_target(p, *now);
  });
}

void partition_leader_state::open_target(const parcel& p, const topic_view& found) {
  if (found.id != p.target.topic)
    return fail(p, {ec::unknown_topic, "the topic \"" + p.topic + "\" was deleted meanwhile"});
  const auto& place = found.partitions.at(p.target.number);
  if (!place.leader)
    return fail(p, place.why);
  self->request(place.leader, args.node->bounds.storage.request_timeout, atom::open_v,
                transfer_producer(args.partition), random() | 1, true)
      .then([this, p](const opened_here& opened) { begin_transfer(p, opened); },
            [this, p](const caf::error& why) { fail(p, to_failure(why)); });
}

void partition_leader_state::begin_transfer(const parcel& p, const opened_here& opened) {
  if (const auto why = refusal())
    return fail(p, *why);
  const transfer_state what{.dead_letters = p.letters,
                            .target = p.target,
                            .topic = p.topic,
                            .opened = opened.opened,
                            .number = batch_number{opened.last.number.value + 1},
                            .previous = opened.last.number,
                            .hash = hash_of(p.batch)};
  waiting who;
  who.then = [this, p, what](const failure* why) {
    if (why)
      fail(p, *why);
    else
      transfer_begun(p, what);
  };
  const transfer_record record{transfer_action::begin, p.group, {}, what, {}, {}, {}};
  append(entry_kind::transfer, 0, shared_bytes{encode(record)}, std::move(who));
}

/// Its entry is committed and applied.
void partition_leader_state::transfer_begun(const parcel& p, const transfer_state& what) {
  const auto* transfers = rules->transfers_of(p.group);
  if (!transfers || !transfers->contains(applied.index))
    return fail(p, {ec::unknown_group, "group \"" + p.group + "\" was deleted meanwhile"});
  let_go(p.group, p.letters); // they are locked from here on
  opening.erase(p.target);
  carry(p.group, applied.index, what, p.batch, p.asked_by);
}

/// They stay where they are.
void partition_leader_state::leave(const parcel& p, const failure& why) {
  let_go(p.group, p.letters);
  for (const auto offset : p.letters)
    p.asked_by->result.left.emplace_back(offset, why);
  --p.asked_by->parcels;
  answer_if_whole(p.asked_by);
}

void partition_leader_state::fail(const parcel& p, const failure& why) {
  opening.erase(p.target);
  leave(p, why);
  if (now_is == phase::leading)
    next_parcel(p.target);
}

void partition_leader_state::answer_if_whole(const question_ptr& asked_by) {
  if (asked_by->parcels == 0 && questions.erase(asked_by) > 0)
    asked_by->answer.deliver(std::move(asked_by->result));
}

// ---- While it lasts
// ----------------------------------------------------------------------------------

void partition_leader_state::carry(const std::string& group, log_index begun,
                                   const transfer_state& what, std::string batch,
                                   question_ptr asked_by) {
  // Without its batch it was begun before this leader, and may have been sent.
  const auto known = batch.empty() ? arrival::possible : arrival::impossible;
  auto courier =
      spawn_courier(self->system(), {args.node, partition_leader_actor{self}, args.partition,
                                     args.topic, group, begun, what, std::move(batch), known});
  self->monitor(courier);
  couriers.emplace(begun, under_way{courier, std::move(asked_by)});
}

/// Whatever was under way when this leader began.
void partition_leader_state::carry_on() {
  for (const auto& group : rules->group_names()) {
    group_rose(group);
    for (const auto& [begun, each] : *rules->transfers_of(group))
      if (!each.doubt)
        carry(group, begun, each, {}, nullptr);
  }
}

void partition_leader_state::carried_out(log_index begun, const carried& what) {
  const auto found = couriers.find(begun);
  if (now_is != phase::leading || found == couriers.end())
    return; // the next leader asks the target again
  found->second.why = what.why;
  for (const auto& group : rules->group_names()) {
    if (!rules->transfers_of(group)->contains(begun))
      continue;
    transfer_record record{transfer_action::done, group, begun, {}, what.first, what.entry,
                           what.why.detail};
    if (what.next != transfer_step::done)
      record.action =
          what.next == transfer_step::abandon ? transfer_action::abandon : transfer_action::doubt;
    append(entry_kind::transfer, 0, shared_bytes{encode(record)}, {});
  }
}

/// One that dies of a defect takes its leader along: the next one begins with what the log says.
void partition_leader_state::courier_down(const caf::down_msg& down) {
  if (!down.reason || down.reason == caf::exit_reason::user_shutdown)
    return;
  const auto is_it = [&down](const auto& each) {
    return each.second.courier.address() == down.source;
  };
  if (std::ranges::any_of(couriers, is_it))
    step_down({ec::internal, "a courier of " + partition_name(args.topic, args.partition.number) +
                                 " failed: " + caf::to_string(down.reason)});
}

// ---- Its end
// -----------------------------------------------------------------------------------------

void partition_leader_state::apply_transfer(const entry& e) {
  const auto record = decode_transfer_record(e.body.view());
  WAYBILL_ASSERT(record); // checked by its hash
  std::optional<transfer_state> was;
  if (const auto* transfers = rules->transfers_of(record->group))
    if (const auto found = transfers->find(record->begun); found != transfers->end())
      was = found->second;
  last_removed = rules->apply(*record, e.index);
  letter_changes letters;
  for (const auto offset : last_removed)
    letters.emplace_back(dead_letter_removed{args.partition, record->group, offset});
  if (!letters.empty())
    self->send(writer, atom::letters_v, std::move(letters));
  if (!was)
    return;
  if (record->action == transfer_action::abandon)
    last_removed = was->dead_letters; // what a person gave up
  group_rose(record->group);
  if (now_is == phase::leading)
    transfer_ended(*record, *was);
}

void partition_leader_state::transfer_ended(const transfer_record& how, const transfer_state& was) {
  const auto found = couriers.extract(how.begun);
  if (found) {
    self->send_exit(found.mapped().courier, caf::exit_reason::user_shutdown);
    if (const auto& asked_by = found.mapped().asked_by) {
      auto why = found.mapped().why;
      if (how.action == transfer_action::doubt)
        why = {ec::in_doubt,
               "nobody knows whether it arrived in " + target_name(was) + ": " + how.reason};
      else if (why.code == ec::none)
        why = {ec::in_doubt, "given up; it may have arrived in " + target_name(was)};
      auto& result = asked_by->result;
      for (std::uint64_t i = 0; i < was.dead_letters.size(); ++i) {
        if (how.action != transfer_action::done) {
          result.left.emplace_back(was.dead_letters[i], why);
          continue;
        }
        result.removed.push_back(was.dead_letters[i]);
        result.offsets.push_back(message_offset{how.first.value + i});
        result.partitions.push_back(was.target.number);
      }
      --asked_by->parcels;
      answer_if_whole(asked_by);
    }
  }
  next_parcel(was.target);
}

/// Its group was deleted, and the dead letters with it: what was sent arrives, what was not does
/// not.
void partition_leader_state::transfer_gone(const std::string& group, log_index begun,
                                           const transfer_state& was) {
  const auto found = couriers.find(begun);
  if (now_is != phase::leading || found == couriers.end())
    return;
  found->second.why = {ec::unknown_group, "group \"" + group + "\" was deleted meanwhile"};
  transfer_ended({transfer_action::abandon, group, begun, {}, {}, {}, {}}, was);
}

caf::result<redrive_result>
partition_leader_state::release(const std::string& group,
                                const std::vector<message_offset>& offsets) {
  if (auto why = refusal())
    return to_error(*why);
  if (auto why = no_group(group))
    return to_error(*why);
  std::vector<log_index> given_up;
  for (const auto& [begun, each] : *rules->transfers_of(group))
    if (std::ranges::find_first_of(each.dead_letters, offsets) != each.dead_letters.end())
      given_up.push_back(begun);
  if (given_up.empty())
    return redrive_result{};
  auto promise = self->make_response_promise<redrive_result>();
  const auto result = std::make_shared<redrive_result>();
  const auto left = std::make_shared<std::size_t>(given_up.size());
  for (const auto begun : given_up) {
    waiting who;
    who.then = [this, promise, result, left](const failure* why) mutable {
      if (why && promise.pending())
        promise.deliver(to_error(*why));
      if (why)
        return;
      result->removed.insert(result->removed.end(), last_removed.begin(), last_removed.end());
      if (--*left == 0)
        promise.deliver(*result);
    };
    const transfer_record record{transfer_action::abandon, group, begun, {}, {}, {},
                                 "given up by hand"};
    append(entry_kind::transfer, 0, shared_bytes{encode(record)}, std::move(who));
  }
  return promise;
}

/// What is begun goes on with the next leader; who waits for it is told to ask again.
void partition_leader_state::end_transfers(const failure& why) {
  for (const auto& each : std::exchange(questions, {}))
    each->answer.deliver(to_error(why));
  for (auto& [begun, each] : std::exchange(couriers, {}))
    self->send_exit(each.courier, caf::exit_reason::user_shutdown);
  parcels.clear();
}

transfers_ptr partition_leader_state::transfers(const std::string& group) const {
  auto all = std::make_shared<letter_transfers>();
  if (const auto* found = rules ? rules->transfers_of(group) : nullptr)
    for (const auto& [begun, each] : *found)
      for (const auto letter : each.dead_letters)
        all->emplace(letter, letter_transfer{target_name(each), each.doubt});
  return all;
}

} // namespace waybill
