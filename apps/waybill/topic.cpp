// `waybill topic`: create, list, describe, delete.
#include "apps/waybill/command.hpp"
#include "apps/waybill/output.hpp"
#include "apps/waybill/table.hpp"
#include "apps/waybill/text.hpp"

#include <algorithm>

namespace waybill::cli {

namespace {

struct settings {
  std::string name;
  std::uint32_t partitions = 1;
  bool yes = false;
};

std::uint64_t held(const topic_info& topic) {
  std::uint64_t sum = 0;
  for (const auto& p : topic.partitions)
    sum += p.held_messages;
  return sum;
}

json topic_json(const topic_info& topic) {
  json partitions = json::array();
  for (const auto& p : topic.partitions)
    partitions.push_back({{"partition", p.number},
                          {"state", p.state},
                          {"detail", p.detail},
                          {"leader", p.leader},
                          {"epoch", p.epoch},
                          {"first_offset", p.first_offset.value},
                          {"next_offset", p.next_offset.value},
                          {"held_messages", p.held_messages},
                          {"groups", p.groups},
                          {"commit", position_json(p.commit)}});
  return {{"topic", topic.name},
          {"id", topic.id},
          {"created", iso_time(topic.created)},
          {"held_messages", held(topic)},
          {"partitions", std::move(partitions)}};
}

status create(context& c, const settings& s) {
  c.connect().create_topic(s.name, s.partitions);
  answer(c, {{"topic", s.name}, {"partitions", s.partitions}},
         "Topic " + s.name + " is there, with " + counted(s.partitions, "partition") + ".\n");
  return status::done;
}

status list(context& c) {
  const auto topics = c.connect().list_topics();
  table t{{{"TOPIC"},
           {"PARTITIONS", align::right},
           {"HELD", align::right},
           {"GROUPS", align::right},
           {"CREATED"},
           {"STATE"}}};
  std::string lines;
  for (const auto& topic : topics) {
    lines += json_line(topic_json(topic));
    std::uint32_t groups = 0;
    std::size_t serving = 0;
    for (const auto& p : topic.partitions) {
      groups = std::max(groups, p.groups);
      serving += p.state == "leading" ? 1 : 0;
    }
    t.add({topic.name, grouped(topic.partitions.size()), grouped(held(topic)), grouped(groups),
           iso_time(topic.created),
           serving == topic.partitions.size()
               ? "serving"
               : grouped(topic.partitions.size() - serving) + " not serving"});
  }
  print(c.json_wanted ? lines : t.empty() ? "No topics.\n" : t.text());
  return status::done;
}

status describe(context& c, const settings& s) {
  const auto topic = c.connect().describe_topic(s.name);
  table t{{{"PARTITION", align::right},
           {"STATE"},
           {"LEADER"},
           {"EPOCH", align::right},
           {"FIRST", align::right},
           {"NEXT", align::right},
           {"HELD", align::right},
           {"GROUPS", align::right},
           {"COMMITTED", align::right},
           {"DETAIL"}}};
  for (const auto& p : topic.partitions)
    t.add({std::to_string(p.number), p.state, p.leader, std::to_string(p.epoch),
           grouped(p.first_offset.value), grouped(p.next_offset.value), grouped(p.held_messages),
           grouped(p.groups), grouped(p.commit.index.value), printable(p.detail, 200)});
  answer(c, topic_json(topic),
         "Topic " + topic.name + ", created " + iso_time(topic.created) + ", holds " +
             counted(held(topic), "message") + ".\n\n" + t.text());
  return status::done;
}

status remove(context& c, const settings& s) {
  client depot = c.connect();
  if (!s.yes) {
    const auto topic = depot.describe_topic(s.name);
    if (!confirmed_by_user("Topic " + s.name + " and its " + counted(held(topic), "message") +
                           " will be gone for good."))
      throw client_error{{ec::not_allowed, "Topic " + s.name + " was not deleted."}};
  }
  depot.delete_topic(s.name);
  answer(c, {{"topic", s.name}, {"deleted", true}}, "Topic " + s.name + " is deleted.\n");
  return status::done;
}

} // namespace

void add_topic_commands(CLI::App& app, context& c) {
  auto* topic = app.add_subcommand("topic", "Create topics, look at them, delete them");
  topic->require_subcommand(1);
  topic->footer("Example: waybill topic create orders --partitions 4");
  auto s = std::make_shared<settings>();

  auto* make = topic->add_subcommand("create", "Create a topic");
  make->add_option("NAME", s->name, "1 to 128 of a-z A-Z 0-9 . _ -")
      ->required()
      ->check(name_of_something());
  make->add_option("--partitions", s->partitions, "Units of order and of work; they stay as many")
      ->check(whole_number(1, 100'000))
      ->capture_default_str();
  make->footer("Example: waybill topic create orders --partitions 4");
  make->callback([s, &c] { c.run = [s, &c] { return create(c, *s); }; });

  auto* all = topic->add_subcommand("list", "All topics");
  all->footer("Example: waybill topic list --json");
  all->callback([&c] { c.run = [&c] { return list(c); }; });

  auto* one =
      topic->add_subcommand("describe", "A topic's partitions: who leads them, what they hold");
  one->add_option("NAME", s->name, "The topic")->required()->check(name_of_something());
  one->footer("Example: waybill topic describe orders");
  one->callback([s, &c] { c.run = [s, &c] { return describe(c, *s); }; });

  auto* gone = topic->add_subcommand("delete", "Delete a topic and all that it holds; asks");
  gone->add_option("NAME", s->name, "The topic")->required()->check(name_of_something());
  gone->add_flag("--yes", s->yes, "Do not ask");
  gone->footer("Example: waybill topic delete orders --yes");
  gone->callback([s, &c] { c.run = [s, &c] { return remove(c, *s); }; });
}

} // namespace waybill::cli
