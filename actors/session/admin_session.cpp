#include "actors/session/admin_session.hpp"

#include "actors/node/process_figures.hpp"
#include "actors/session/topic_leaders.hpp"

#include <algorithm>

namespace waybill {

namespace {

constexpr std::uint32_t letters_max = 1'000;
constexpr std::size_t offsets_max = 1'000;
constexpr std::chrono::minutes audit_patience{10};
constexpr milliseconds follow_patience_max{60'000};

failure no_partition(const topic_view& topic, std::uint32_t partition) {
  return {ec::unknown_partition, "topic \"" + topic.name + "\" has partitions 0 to " +
                                     std::to_string(topic.partitions.size() - 1) + ", not " +
                                     std::to_string(partition)};
}

} // namespace

struct admin_session_state {
  static inline const char* name = "admin-session";

  admin_session_actor::stateful_pointer<admin_session_state> self;
  admin_session_args args;

  [[nodiscard]] milliseconds patience() const { return args.node->bounds.storage.request_timeout; }
  [[nodiscard]] partition_supervisor_actor partitions() const {
    return find_role<partition_supervisor_actor>(self->system(), role::partition_supervisor);
  }

  void answer(call_id call, client_answer what) { args.port->answer(call, std::move(what)); }
  void refuse(call_id call, const caf::error& why) { answer(call, to_failure(why)); }

  /// Goes on with the topic, or answers why not.
  void with_topic(call_id call, const std::string& topic,
                  std::function<void(const topic_view&)> then) {
    look_up_topic(self, args.node, topic,
                  [this, call, then](const topic_ptr& found, const failure* why) {
                    if (why)
                      answer(call, *why);
                    else
                      then(*found);
                  });
  }

  /// Goes on with a partition's leader, or answers why not.
  void with_leader(call_id call, const std::string& topic, std::uint32_t partition,
                   std::function<void(partition_id, const partition_leader_actor&)> then) {
    with_topic(call, topic, [this, call, partition, then](const topic_view& found) {
      if (partition >= found.partitions.size())
        return answer(call, no_partition(found, partition));
      const auto& place = found.partitions[partition];
      if (place.out_of_service) // a person has to act: to repeat the call does not help
        return answer(call, failure{ec::damaged, place.why.detail});
      if (!place.leader)
        return answer(call, place.why);
      then({found.id, partition}, place.leader);
    });
  }

  // ---- Topics
  // -------------------------------------------------------------------------------------

  void operator()(call_id call, const create_topic_call& what) {
    answer_done(call, self->request(partitions(), patience() * 4, atom::create_v, what.name,
                                    what.partitions, what.retention));
  }
  void operator()(call_id call, const set_topic_call& what) {
    answer_done(call, self->request(partitions(), patience() * 4, atom::retain_v, what.name,
                                    what.retention));
  }
  void operator()(call_id call, const delete_topic_call& what) {
    answer_done(call, self->request(partitions(), patience() * 4, atom::remove_v, what.name));
  }

  template <class Response>
  void answer_done(call_id call, Response response) {
    response.then([this, call](done) { answer(call, done{}); },
                  [this, call](const caf::error& why) { refuse(call, why); });
  }

  void operator()(call_id call, const list_topics_call&) {
    self->request(partitions(), patience(), atom::list_v)
        .then([this, call](const topic_list& found) { describe_all(call, found); },
              [this, call](const caf::error& why) { refuse(call, why); });
  }
  void operator()(call_id call, const describe_topic_call& what) {
    look_up_topic(self, args.node, what.name,
                  [this, call](const topic_ptr& found, const failure* why) {
                    if (why)
                      answer(call, *why);
                    else
                      describe_all(call, {found});
                  });
  }

  void describe_all(call_id call, const topic_list& topics) {
    describe(topics,
             [this, call](std::vector<topic_details> all) { answer(call, std::move(all)); });
  }

  /// Asks every leader; whoever does not answer stands there as offline, with why.
  void describe(const topic_list& topics, std::function<void(std::vector<topic_details>)> then) {
    struct gathering {
      std::vector<topic_details> all;
      std::size_t left = 1; ///< one for this function itself
    };
    const auto g = std::make_shared<gathering>();
    const auto one_less = [g, then] {
      if (--g->left == 0)
        then(std::move(g->all));
    };
    g->all.reserve(topics.size());
    for (const auto& topic : topics) {
      const auto at = g->all.size();
      g->all.push_back({topic->name, topic->id, topic->created, topic->retention, {}});
      g->all[at].partitions.resize(topic->partitions.size());
      for (std::uint32_t number = 0; number < topic->partitions.size(); ++number) {
        const auto& place = topic->partitions[number];
        auto& view = g->all[at].partitions[number];
        view.number = number;
        view.state = "offline";
        view.detail = place.why.detail;
        if (!place.leader)
          continue;
        ++g->left;
        self->request(place.leader, patience(), atom::describe_v)
            .then(
                [g, at, number, one_less](const partition_view& found) {
                  g->all[at].partitions[number] = found;
                  one_less();
                },
                [g, at, number, one_less](const caf::error& why) {
                  g->all[at].partitions[number].detail = to_failure(why).detail;
                  one_less();
                });
      }
    }
    one_less();
  }

  // ---- Groups
  // -------------------------------------------------------------------------------------

  void operator()(call_id call, const list_groups_call& what) {
    look_up_topic(self, args.node, what.topic,
                  [this, call](const topic_ptr& found, const failure* why) {
                    if (why)
                      return answer(call, *why);
                    describe({found}, [this, call](const std::vector<topic_details>& all) {
                      answer(call, merge_groups(all.front()));
                    });
                  });
  }

  static std::vector<group_details> merge_groups(const topic_details& topic) {
    std::map<std::string, group_details> by_name;
    for (const auto& partition : topic.partitions)
      for (const auto& view : partition.groups) {
        auto& group = by_name[view.group];
        group.name = view.group;
        group.policy = view.policy;
        group.partitions.push_back({partition.number, view});
      }
    std::vector<group_details> result;
    for (auto& [name_of, group] : by_name)
      result.push_back(std::move(group));
    return result;
  }

  void operator()(call_id call, const set_group_call& what) {
    if (!is_valid_name(what.group))
      return answer(call,
                    failure{ec::bad_name, "\"" + what.group +
                                              "\" is no group's name: 1 to 128 "
                                              "of a-z A-Z 0-9 . _ -, not beginning with a dot"});
    at_every_leader(call, what.topic, [this, what](const partition_leader_actor& leader) {
      return self->request(leader, patience(), atom::group_v, what.group, what.change);
    });
  }
  void operator()(call_id call, const delete_group_call& what) {
    at_every_leader(call, what.topic, [this, what](const partition_leader_actor& leader) {
      return self->request(leader, patience(), atom::remove_v, what.group);
    });
  }

  void operator()(call_id call, const seek_group_call& what) {
    with_leader(call, what.topic, what.partition,
                [this, call, what](partition_id, const partition_leader_actor& leader) {
                  self->request(leader, patience(), atom::seek_v, what.group, what.target)
                      .then([this, call](const seek_result& result) { answer(call, result); },
                            [this, call](const caf::error& why) { refuse(call, why); });
                });
  }

  /// The same request to each partition; answers `done` when all did it, else the first failure.
  template <class Ask>
  void at_every_leader(call_id call, const std::string& topic, Ask ask) {
    with_topic(call, topic, [this, call, ask](const topic_view& found) {
      for (const auto& place : found.partitions)
        if (!place.leader)
          return answer(call, place.why);
      const auto left = std::make_shared<std::size_t>(found.partitions.size());
      const auto failed = std::make_shared<std::optional<failure>>();
      const auto one_less = [this, call, left, failed] {
        if (--*left > 0)
          return;
        if (*failed)
          answer(call, **failed);
        else
          answer(call, done{});
      };
      for (const auto& place : found.partitions)
        ask(place.leader)
            .then([one_less](done) { one_less(); },
                  [one_less, failed](const caf::error& why) {
                    if (!*failed)
                      *failed = to_failure(why);
                    one_less();
                  });
    });
  }

  // ---- Dead letters
  // -------------------------------------------------------------------------------

  void operator()(call_id call, const list_letters_call& what) {
    with_topic(call, what.topic, [this, call, what](const topic_view& found) {
      if (what.partition >= found.partitions.size())
        return answer(call, no_partition(found, what.partition));
      const partition_id id{found.id, what.partition};
      const auto& leader = found.partitions[what.partition].leader;
      if (!leader) // they are in the store all the same
        return read_letters(call, id, leader, what, nullptr);
      self->request(leader, patience(), atom::transfers_v, what.group)
          .then(
              [this, call, id, leader, what](const transfers_ptr& transfers) {
                read_letters(call, id, leader, what, transfers);
              },
              [this, call](const caf::error& why) { refuse(call, why); });
    });
  }

  /// Behind what the writer still has to write: a letter that was just made is in the list.
  void read_letters(call_id call, partition_id partition, const partition_leader_actor& leader,
                    const list_letters_call& what, const transfers_ptr& transfers) {
    const auto writer = find_role<storage_writer_actor>(self->system(), role::storage_writer);
    const auto reader = find_role<storage_reader_actor>(self->system(), role::storage_reader);
    const auto most = std::clamp(what.most, std::uint32_t{1}, letters_max);
    const auto failed = [this, call](const caf::error& why) { refuse(call, why); };
    self->request(writer, patience(), atom::record_v, record_list{})
        .then(
            [this, call, reader, leader, partition, what, most, failed, transfers](done) {
              self->request(reader, patience(), atom::letters_v, partition, what.group, what.from,
                            most)
                  .then(
                      [this, call, leader, what, transfers](const letter_list& letters) {
                        letters_page page{letters, what.from, !letters->empty(), transfers};
                        if (page.more)
                          page.next = message_offset{letters->back().offset.value + 1};
                        answer(call, page);
                        if (leader)
                          self->send(leader, atom::looked_v, what.group);
                      },
                      failed);
            },
            failed);
  }

  void operator()(call_id call, const redrive_call& what) {
    if (what.offsets.size() > offsets_max)
      return answer(call, failure{ec::bad_argument, "more than 1,000 dead letters in one call"});
    with_leader(call, what.topic, what.partition,
                [this, call, what](partition_id, const partition_leader_actor& leader) {
                  const auto ask = [&](auto what_to_do, auto... more) {
                    self->request(leader, patience(), what_to_do, what.group, what.offsets, more...)
                        .then([this, call](const redrive_result& result) { answer(call, result); },
                              [this, call](const caf::error& why) { refuse(call, why); });
                  };
                  switch (what.what) {
                  case letters_action::redrive:
                    return ask(atom::redrive_v);
                  case letters_action::purge:
                    return ask(atom::purge_v);
                  case letters_action::transfer:
                    return ask(atom::transfer_v, what.to);
                  case letters_action::release:
                    return ask(atom::release_v);
                  }
                });
  }

  // ---- The books
  // ----------------------------------------------------------------------------------

  void operator()(call_id call, const audit_call& what) {
    with_leader(call, what.topic, what.partition,
                [this, call](partition_id partition, const partition_leader_actor& leader) {
                  const auto auditor =
                      find_role<storage_reader_actor>(self->system(), role::auditor);
                  self->request(auditor, audit_patience, atom::audit_v, partition,
                                caf::actor_cast<caf::strong_actor_ptr>(leader))
                      .then([this, call](const books_ptr& books) { answer(call, books); },
                            [this, call](const caf::error& why) { refuse(call, why); });
                });
  }

  void operator()(call_id call, const verify_call& what) {
    with_topic(call, what.topic, [this, call, what](const topic_view& found) {
      if (what.partition >= found.partitions.size())
        return answer(call, verify_result{verify_finding::unknown,
                                          no_partition(found, what.partition).detail});
      if (const auto& place = found.partitions[what.partition]; place.out_of_service)
        return answer(call, failure{ec::damaged, place.why.detail});
      const auto reader = find_role<storage_reader_actor>(self->system(), role::storage_reader);
      self->request(reader, patience(), atom::verify_v, partition_id{found.id, what.partition},
                    what.offset, what.entry)
          .then([this, call](const verify_result& result) { answer(call, result); },
                [this, call](const caf::error& why) { refuse(call, why); });
    });
  }

  // ---- Alarms
  // ---------------------------------------------------------------------------------------

  /// Who names another process knows nothing of this one's news.
  void operator()(call_id call, const list_alarms_call& what) {
    const bool known = what.started == args.node->started;
    const auto wait = std::clamp(what.patience, milliseconds{0}, follow_patience_max);
    self->request(find_role<alarm_desk_actor>(self->system(), role::alarm_desk), patience() + wait,
                  atom::follow_v, known ? what.after : std::uint64_t{0},
                  known ? wait : milliseconds{0})
        .then(
            [this, call](const alarm_news_ptr& news) {
              answer(call, alarms_answer{args.node->started, news});
            },
            [this, call](const caf::error& why) { refuse(call, why); });
  }

  // ---- The process
  // --------------------------------------------------------------------------------

  void operator()(call_id call, const node_stats_call& what) {
    answer(call, std::make_shared<const node_figures>(read_process_figures(), args.node->started,
                                                      args.node->data->statistics().sync_calls));
    if (what.reset_memory_peak)
      reset_memory_peak();
  }
};

static admin_session_actor::behavior_type
admin_session(admin_session_actor::stateful_pointer<admin_session_state> self,
              admin_session_args args) {
  auto& state = self->state;
  state.self = self;
  state.args = std::move(args);
  return {
      [&state](atom::admin, call_id call, const admin_call& what) {
        std::visit([&](const auto& each) { state(call, each); }, what);
      },
      [self](atom::vanished) { self->quit(); },
  };
}

admin_session_actor spawn_admin_session(caf::actor_system& system, admin_session_args args) {
  return system.spawn(admin_session, std::move(args));
}

} // namespace waybill
