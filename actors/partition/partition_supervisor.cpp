#include "actors/partition/partition_supervisor.hpp"

#include "actors/coordination/cluster_records.hpp"
#include "actors/limit_gauge.hpp"
#include "actors/node/restart_intensity.hpp"
#include "actors/partition/partition_leader.hpp"
#include "actors/rules/retention.hpp"

#include <algorithm>
#include <random>

namespace waybill {

namespace {

/// A number of its own for a node's name, the same in every process.
std::uint64_t node_number(const std::string& name) { return hash_of(name).low; }

topic_id draw_topic_id() {
  std::random_device source;
  return topic_id{(std::uint64_t{source()} << 32) | source()};
}

} // namespace

struct partition_supervisor_state {
  static inline const char* name = "partition-supervisor";

  struct slot {
    partition_leader_actor leader;
    bool leading = false;
    bool settled = false; ///< it has led, or is out of service
    bool out_of_service = false;
    failure why{ec::partition_offline, "it is being started"};
  };
  struct topic {
    std::string name;
    topic_record record;
    bool is_changing = false; ///< its record is being written
    std::vector<slot> slots;
    topic_ptr view; ///< null: make it anew
    std::vector<caf::typed_response_promise<done>> creators;
    std::vector<caf::typed_response_promise<done>> removers;
  };

  partition_supervisor_actor::stateful_pointer<partition_supervisor_state> self;
  context_ptr node;
  storage_writer_actor writer;
  std::map<std::string, topic> topics;
  std::map<topic_id, std::string> names;
  std::map<caf::actor_addr, partition_id> leaders;
  std::optional<restart_intensity> intensity;
  std::vector<caf::typed_response_promise<done>> openers;
  bool listed = false; ///< the coordinator's topics are known
  bool stopping = false;
  std::optional<limit_gauge> topics_gauge, partitions_gauge;

  /// Leaders end with their supervisor, however it ends.
  ~partition_supervisor_state() {
    for (auto& [name_of, each] : topics)
      for (auto& s : each.slots)
        if (s.leader)
          caf::anon_send_exit(s.leader, caf::exit_reason::user_shutdown);
  }

  void start(context_ptr n) {
    node = std::move(n);
    intensity.emplace(node->bounds.supervision);
    writer = find_role<storage_writer_actor>(self->system(), role::storage_writer);
    topics_gauge.emplace(alarms_of(*self), "partitions.topics-max", "",
                         near_limit{node->bounds.partitions.topics_max});
    partitions_gauge.emplace(alarms_of(*self), "partitions.partitions-total-max", "",
                             near_limit{node->bounds.partitions.partitions_total_max});
    self->request(coordinator(), patience(), atom::list_v, std::string{topic_prefix})
        .then([this](const versioned_list& found) { take_topics(found); },
              [this](const caf::error& why) { self->quit(why); });
  }

  /// Looked up each time: who is started again has a new handle.
  [[nodiscard]] coordinator_actor coordinator() const {
    return find_role<coordinator_actor>(self->system(), role::coordinator);
  }
  [[nodiscard]] milliseconds patience() const { return node->bounds.storage.request_timeout; }

  void take_topics(const versioned_list& found) {
    for (const auto& [key, stored] : found) {
      const auto record = parse_topic_record(stored.value);
      if (!record) {
        raise_alarm(*self, {"coordinator-damaged", key, alarm_level::critical,
                            record.error().detail, true});
        continue;
      }
      begin_topic(key.substr(topic_prefix.size()), *record);
    }
    listed = true;
    look_at_gauges();
    tell_strangers();
    answer_openers();
  }

  caf::result<done> opened() {
    auto answer = self->make_response_promise<done>();
    openers.push_back(answer);
    answer_openers();
    return answer;
  }

  void answer_openers() {
    const auto settled = [](const auto& each) {
      return std::ranges::all_of(each.second.slots, &slot::settled);
    };
    if (!listed || openers.empty() || !std::ranges::all_of(topics, settled))
      return;
    for (auto& each : openers)
      each.deliver(done{});
    openers.clear();
  }

  /// A copy whose topic the coordinator does not know is kept: missing is not deleted.
  void tell_strangers() {
    for (const auto& [id, found] : node->data->recovered())
      if (!names.contains(id.topic))
        raise_alarm(*self, {"unknown-copy", std::to_string(id.topic.value), alarm_level::critical,
                            "the store holds partition " + std::to_string(id.number) +
                                " of a topic that the coordinator does not know; it is kept, and "
                                "nothing of it is served",
                            true});
  }

  [[nodiscard]] std::uint64_t partitions_in_all() const {
    std::uint64_t total = 0;
    for (const auto& [name_of, each] : topics)
      total += each.record.partitions;
    return total;
  }

  void look_at_gauges() {
    topics_gauge->look(topics.size());
    partitions_gauge->look(partitions_in_all());
  }

  void begin_topic(const std::string& topic_name, const topic_record& record) {
    auto& t = topics[topic_name];
    t.name = topic_name;
    t.record = record;
    t.slots.resize(record.partitions);
    names[record.id] = topic_name;
    if (record.deleted)
      return end_copies(t);
    for (std::uint32_t number = 0; number < record.partitions; ++number)
      begin_partition({record.id, number});
  }

  [[nodiscard]] topic* topic_of(partition_id id) {
    const auto found = names.find(id.topic);
    return found == names.end() ? nullptr : &topics.at(found->second);
  }

  // ---- One partition: a copy, a claim, a leader
  // ---------------------------------------------------

  void begin_partition(partition_id id) {
    self->request(writer, caf::infinite, atom::copy_v, id) // it answers, or the node ends with it
        .then([this, id](copy_id copy) { claim(id, copy); },
              [this, id](const caf::error& why) { offline(id, to_failure(why)); });
  }

  void claim(partition_id id, copy_id copy) {
    self->request(coordinator(), patience(), atom::get_v, partition_key(id))
        .then([this, id, copy](const versioned_record& now) { claim_over(id, copy, now); },
              [this, id](const caf::error& why) { again_later(id, to_failure(why)); });
  }

  void claim_over(partition_id id, copy_id copy, const versioned_record& now) {
    partition_record next;
    if (now.version != 0) {
      auto read = parse_partition_record(now.value);
      if (!read)
        return offline(id, read.error());
      next = *std::move(read);
    }
    const auto lacking = next.committed;
    next.current.value += 1;
    next.leader = {node->node, copy, node->process};
    next.in_sync = {next.leader};
    next.replicas = {node->node};
    if (const auto here = node->data->current(id); here && here->checkpointed)
      next.committed = std::max(next.committed, here->checkpointed->at);
    const auto asked = to_text(next);
    self->request(coordinator(), patience(), atom::put_v, partition_key(id), now.version, asked)
        .then(
            [this, id, copy, asked, next, lacking](const versioned_record& after) {
              if (after.value == asked)
                lead(id, copy, next.current, lacking);
              else
                claim_over(id, copy,
                           after); // somebody else wrote: read again, claim the next epoch
            },
            [this, id](const caf::error& why) { again_later(id, to_failure(why)); });
  }

  void lead(partition_id id, copy_id copy, epoch leading, const log_position& committed) {
    auto* t = topic_of(id);
    if (!t || t->record.deleted || stopping)
      return;
    auto leader = spawn_partition_leader(self->system(), {node,
                                                          self,
                                                          id,
                                                          t->name,
                                                          leading,
                                                          {node_number(node->node), copy},
                                                          t->record.retention,
                                                          committed});
    self->monitor(leader);
    leaders[leader.address()] = id;
    auto& s = t->slots[id.number];
    s.leader = leader;
    s.leading = false;
    s.why = {ec::partition_offline, partition_name(t->name, id.number) + " is recovering; repeat"};
    t->view.reset();
  }

  void leads_now(partition_id id) {
    auto* t = topic_of(id);
    if (!t)
      return;
    auto& s = t->slots[id.number];
    s.leading = s.settled = true;
    s.why = {ec::none, {}};
    t->view.reset();
    answer_creators(*t);
  }

  void offline(partition_id id, const failure& why) {
    auto* t = topic_of(id);
    if (!t)
      return;
    auto& s = t->slots[id.number];
    s.leader = nullptr;
    s.leading = false;
    s.settled = s.out_of_service = true;
    s.why = {ec::partition_offline,
             partition_name(t->name, id.number) + " is offline: " + why.detail};
    t->view.reset();
    raise_alarm(*self, {"partition-offline", partition_name(t->name, id.number),
                        alarm_level::critical, s.why.detail, true});
    answer_creators(*t);
  }

  void leader_down(const caf::down_msg& down) {
    const auto found = leaders.find(down.source);
    if (found == leaders.end())
      return;
    const auto id = found->second;
    leaders.erase(found);
    auto* t = topic_of(id);
    if (!t)
      return;
    auto& s = t->slots[id.number];
    if (s.leader.address() != down.source)
      return;
    s.leader = nullptr;
    s.leading = false;
    s.why = {ec::partition_offline,
             "the leader of " + partition_name(t->name, id.number) + " has ended; repeat"};
    t->view.reset();
    if (t->record.deleted)
      return end_copies(*t);
    if (stopping)
      return;
    const auto why = to_failure(down.reason);
    if (why.code == ec::damaged)
      return offline(id, why); // starting it again would find the same
    if (why.code == ec::storage_failed)
      return; // the writer has ended, and the node ends with it
    again_later(id, why);
  }

  void again_later(partition_id id, const failure& why) {
    auto* t = topic_of(id);
    if (!t)
      return;
    const auto subject = partition_name(t->name, id.number);
    t->slots[id.number].why = {ec::partition_offline, subject + " is being started again; repeat"};
    t->view.reset();
    raise_alarm(*self,
                {"leader-restarted", subject, alarm_level::warning,
                 "the leader of " + subject + " ended and is started again: " + why.detail, true});
    raise_alarm(*self, {"leader-restarted", subject, alarm_level::warning, {}, false});
    if (!intensity->may_restart(now_of(*self).steady))
      return self->quit(
          to_error({ec::internal, "leaders fail too often (supervision.restarts-max); "
                                  "the last: " +
                                      why.detail}));
    self->delayed_send(self, intensity->delay(), atom::open_v, id);
  }

  // ---- Topics
  // -------------------------------------------------------------------------------------

  caf::result<topic_ptr> resolve(const std::string& topic_name) {
    const auto found = topics.find(topic_name);
    if (found == topics.end() || found->second.record.deleted)
      return to_error(unknown(topic_name));
    return view_of(found->second);
  }

  [[nodiscard]] failure unknown(const std::string& topic_name) const {
    if (!listed)
      return {ec::partition_offline,
              "the node is starting and does not know its topics yet; repeat"};
    return {ec::unknown_topic,
            "there is no topic \"" + topic_name + "\"; `waybill topic create` makes one"};
  }

  topic_ptr view_of(topic& t) {
    if (!t.view) {
      auto view = std::make_shared<topic_view>();
      view->name = t.name;
      view->id = t.record.id;
      view->created = t.record.created;
      view->retention = t.record.retention;
      for (const auto& s : t.slots)
        view->partitions.push_back(
            {s.leading ? s.leader : partition_leader_actor{}, s.why, s.out_of_service});
      t.view = std::move(view);
    }
    return t.view;
  }

  topic_list list() {
    topic_list result;
    for (auto& [topic_name, t] : topics)
      if (!t.record.deleted)
        result.push_back(view_of(t));
    return result;
  }

  [[nodiscard]] std::optional<failure> check_create(const std::string& topic_name,
                                                    std::uint32_t partitions) const {
    const auto& most = node->bounds.partitions;
    if (!is_valid_name(topic_name))
      return failure{ec::bad_name, "\"" + topic_name +
                                       "\" is no topic's name: 1 to 128 of a-z A-Z 0-9 . _ -, not "
                                       "beginning with a dot"};
    if (stopping || !listed)
      return failure{ec::partition_offline, "the node is starting or stopping; repeat"};
    if (topics.contains(topic_name))
      return failure{ec::topic_exists, "there is a topic \"" + topic_name + "\" already"};
    if (partitions < 1 || partitions > most.partitions_max)
      return failure{partitions < 1 ? ec::bad_argument : ec::limit_reached,
                     "a topic has 1 to " + std::to_string(most.partitions_max) +
                         " partitions (partitions.partitions-max), not " +
                         std::to_string(partitions)};
    if (topics.size() >= most.topics_max)
      return failure{ec::limit_reached, "there are " + std::to_string(topics.size()) +
                                            " topics, as many as partitions.topics-max allows"};
    const auto total = partitions_in_all() + partitions;
    if (total > most.partitions_total_max)
      return failure{ec::limit_reached, "the node would have " + std::to_string(total) +
                                            " partitions, more than " +
                                            "partitions.partitions-total-max (" +
                                            std::to_string(most.partitions_total_max) + ") allows"};
    return std::nullopt;
  }

  caf::result<done> create(const std::string& topic_name, std::uint32_t partitions,
                           const retention_update& change) {
    if (const auto why = check_create(topic_name, partitions))
      return to_error(*why);
    const auto retention = changed({}, change);
    if (auto why = objection_to(retention))
      return to_error({ec::bad_argument, *std::move(why)});
    auto answer = self->make_response_promise<done>();
    const topic_record record{draw_topic_id(), partitions, now_of(*self).wall, false, retention};
    auto& t = topics[topic_name];
    t.name = topic_name;
    t.record = record;
    t.creators.push_back(answer);
    look_at_gauges();
    const auto asked = to_text(record);
    self->request(coordinator(), patience(), atom::put_v, topic_key(topic_name), std::uint64_t{0},
                  asked)
        .then(
            [this, topic_name, record, asked](const versioned_record& after) {
              if (after.value == asked)
                begin_topic(topic_name, record);
              else
                give_up_creating(topic_name, {ec::topic_exists,
                                              "there is a topic \"" + topic_name + "\" already"});
            },
            [this, topic_name](const caf::error& why) {
              give_up_creating(topic_name, to_failure(why));
            });
    return answer;
  }

  void give_up_creating(const std::string& topic_name, const failure& why) {
    for (auto& each : topics.at(topic_name).creators)
      each.deliver(to_error(why));
    topics.erase(topic_name);
    look_at_gauges();
  }

  void answer_creators(topic& t) {
    answer_openers();
    if (t.creators.empty() || !std::ranges::all_of(t.slots, &slot::settled))
      return;
    const auto failed = std::ranges::find(t.slots, false, &slot::leading);
    for (auto& each : t.creators) {
      if (failed == t.slots.end())
        each.deliver(done{});
      else
        each.deliver(to_error(failed->why));
    }
    t.creators.clear();
  }

  static retention_settings changed(retention_settings now, const retention_update& change) {
    now.keep = change.keep.value_or(now.keep);
    now.age = change.age.value_or(now.age);
    now.bytes = change.bytes.value_or(now.bytes);
    return now;
  }

  /// Leaders go by it once the record says so.
  caf::result<done> set_retention(const std::string& topic_name, const retention_update& change) {
    const auto found = topics.find(topic_name);
    if (found == topics.end() || found->second.record.deleted)
      return to_error(unknown(topic_name));
    auto& t = found->second;
    if (t.slots.empty() || t.is_changing)
      return to_error({ec::overloaded, "the topic is being changed; repeat"});
    auto next = t.record;
    next.retention = changed(next.retention, change);
    if (auto why = objection_to(next.retention))
      return to_error({ec::bad_argument, *std::move(why)});
    auto answer = self->make_response_promise<done>();
    t.is_changing = true;
    write_record(topic_key(topic_name), to_text(next), [this, topic_name, next, answer]() mutable {
      auto& now = topics.at(topic_name);
      now.is_changing = false;
      now.record = next;
      now.view.reset();
      for (const auto& s : now.slots)
        if (s.leader)
          self->send(s.leader, atom::retain_v, next.retention);
      answer.deliver(done{});
    });
    return answer;
  }

  /// First the record says so; then leaders end, copies end, and at last the record goes.
  caf::result<done> remove(const std::string& topic_name) {
    const auto found = topics.find(topic_name);
    if (found == topics.end() || (found->second.record.deleted && found->second.removers.empty()))
      return to_error(unknown(topic_name));
    auto& t = found->second;
    if (t.slots.empty() || t.is_changing)
      return to_error({ec::overloaded, "the topic is being changed; repeat"});
    auto answer = self->make_response_promise<done>();
    t.removers.push_back(answer);
    if (t.record.deleted)
      return answer;
    t.record.deleted = true;
    write_record(topic_key(topic_name), to_text(t.record), [this, topic_name] {
      auto& gone = topics.at(topic_name);
      for (auto& s : gone.slots)
        if (s.leader)
          self->send_exit(s.leader, to_error({ec::unknown_topic,
                                              "the topic \"" + topic_name + "\" was deleted"}));
      end_copies(gone);
    });
    return answer;
  }

  /// Over whatever version is there: only this actor writes topics' records.
  void write_record(const std::string& key, const std::string& value, std::function<void()> then) {
    self->request(coordinator(), patience(), atom::get_v, key)
        .then(
            [this, key, value, then = std::move(then)](const versioned_record& now) {
              self->request(coordinator(), patience(), atom::put_v, key, now.version, value)
                  .then([then](const versioned_record&) { then(); },
                        [this](const caf::error& why) { self->quit(why); });
            },
            [this](const caf::error& why) { self->quit(why); });
  }

  void end_copies(topic& t) {
    const bool leaderless =
        std::ranges::none_of(t.slots, [](const slot& s) { return bool(s.leader); });
    if (!leaderless)
      return;
    const auto left = std::make_shared<std::size_t>(t.slots.size());
    for (std::uint32_t number = 0; number < t.slots.size(); ++number) {
      const partition_id id{t.record.id, number};
      self->request(writer, caf::infinite, atom::end_copy_v, id) // it answers, or the node ends
          .then([this, id, left, topic_name = t.name](done) {
            write_record(partition_key(id), {},
                         [] {}); // nobody waits: one that stays claims nothing
            if (--*left == 0)
              forget(topic_name);
          });
    }
  }

  void forget(const std::string& topic_name) {
    write_record(topic_key(topic_name), {}, [this, topic_name] {
      auto& t = topics.at(topic_name);
      names.erase(t.record.id);
      for (auto& each : t.removers)
        each.deliver(done{});
      topics.erase(topic_name);
      look_at_gauges();
    });
  }

  // ---- The end
  // ------------------------------------------------------------------------------------

  caf::result<done> stop() {
    stopping = true;
    auto answer = self->make_response_promise<done>();
    const auto left = std::make_shared<std::size_t>(leaders.size());
    if (leaders.empty())
      answer.deliver(done{});
    for (const auto& [address, id] : leaders) {
      auto one_less = [left, answer]() mutable {
        if (--*left == 0)
          answer.deliver(done{});
      };
      const auto leader = topic_of(id)->slots[id.number].leader;
      self->request(leader, patience(), atom::stop_v)
          .then([one_less](done) mutable { one_less(); },
                [one_less](const caf::error&) mutable { one_less(); });
    }
    return answer;
  }
};

static partition_supervisor_actor::behavior_type
partition_supervisor(partition_supervisor_actor::stateful_pointer<partition_supervisor_state> self,
                     context_ptr node) {
  auto& state = self->state;
  state.self = self;
  state.start(std::move(node));
  self->set_down_handler([&state](const caf::down_msg& down) { state.leader_down(down); });
  return {
      [&state](atom::resolve, const std::string& name) { return state.resolve(name); },
      [&state](atom::list) { return state.list(); },
      [&state](atom::create, const std::string& name, std::uint32_t partitions,
               const retention_update& retention) {
        return state.create(name, partitions, retention);
      },
      [&state](atom::retain, const std::string& name, const retention_update& change) {
        return state.set_retention(name, change);
      },
      [&state](atom::remove, const std::string& name) { return state.remove(name); },
      [&state](atom::stored, partition_id id, epoch) { state.leads_now(id); },
      [&state](atom::open, partition_id id) { state.begin_partition(id); },
      [&state](atom::open) { return state.opened(); },
      [&state](atom::stop) { return state.stop(); },
  };
}

partition_supervisor_actor spawn_partition_supervisor(caf::actor_system& system, context_ptr node) {
  return system.spawn(partition_supervisor, std::move(node));
}

} // namespace waybill
