// `waybill topic`: create, set, list, describe, delete.
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
  std::optional<milliseconds> keep, retain_age;
  std::optional<std::uint64_t> retain_bytes;
  bool yes = false;
};

std::uint64_t held(const topic_info& topic) {
  std::uint64_t sum = 0;
  for (const auto& p : topic.partitions)
    sum += p.held_messages;
  return sum;
}

retention_change retention_of(const settings& s) { return {s.keep, s.retain_age, s.retain_bytes}; }

/// What the topic's settings say beside the usual; empty: nothing.
std::string retention_text(const retention_change& r) {
  std::string text;
  if (r.keep && *r.keep > milliseconds{0})
    text += "What every group has settled is kept for " + to_string(*r.keep) + ".\n";
  if (r.age && *r.age > milliseconds{0})
    text += "Messages go after " + to_string(*r.age) + ", read or not.\n";
  if (r.bytes && *r.bytes > 0)
    text += "Messages go when " + human_bytes(static_cast<double>(*r.bytes)) +
            " were published behind them in their partition, read or not.\n";
  return text;
}

json retention_json(const retention_change& r) {
  return {{"keep_ms", r.keep->count()}, {"age_ms", r.age->count()}, {"bytes", *r.bytes}};
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
          {"retention", retention_json(topic.retention)},
          {"partitions", std::move(partitions)}};
}

status create(context& c, const settings& s) {
  c.connect().create_topic(s.name, s.partitions, retention_of(s));
  answer(c, {{"topic", s.name}, {"partitions", s.partitions}},
         "Topic " + s.name + " is there, with " + counted(s.partitions, "partition") + ".\n");
  return status::done;
}

status set(context& c, const settings& s) {
  if (!s.keep && !s.retain_age && !s.retain_bytes)
    throw usage_error{"nothing to set: give --keep, --retain-age or --retain-bytes"};
  client depot = c.connect();
  depot.set_topic(s.name, retention_of(s));
  const auto now = depot.describe_topic(s.name).retention;
  const auto text = retention_text(now);
  answer(c, {{"topic", s.name}, {"retention", retention_json(now)}},
         "Topic " + s.name + " is set.\n" +
             (text.empty() ? "Messages stay until every group has settled them.\n" : text));
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
             counted(held(topic), "message") + ".\n" + retention_text(topic.retention) + "\n" +
             t.text());
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

namespace {

constexpr const char* on_retention =
    "A message stays until every group has settled it, and without a group for good, unless\n"
    "  --keep SPAN         it stays so long although every group has settled it: groups can be "
    "sent\n"
    "                      back to it, and new ones get it\n"
    "  --retain-age SPAN   it goes after so long, read or not\n"
    "  --retain-bytes N    it goes when so much was published behind it in its partition, read or "
    "not\n"
    "0 turns each off. Before unread messages go, the alarm `unread-dropped` is raised; `waybill "
    "audit`\n"
    "counts them.\n";

void add_retention(CLI::App& command, settings& s) {
  add_duration(command, "--keep", s.keep, "Keep settled messages for so long");
  add_duration(command, "--retain-age", s.retain_age, "Drop messages after so long, read or not");
  command
      .add_option("--retain-bytes", s.retain_bytes,
                  "Drop messages with so many bytes behind them, read or not: 500000, 10GB, 4GiB")
      ->transform(CLI::AsSizeValue(true));
}

} // namespace

void add_topic_commands(CLI::App& app, context& c) {
  auto* topic = app.add_subcommand(
      "topic", "Create topics, set how long messages stay, look at them, delete them");
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
  add_retention(*make, *s);
  make->footer(std::string{on_retention} +
               "Example: waybill topic create orders --partitions 4 --keep 1d");
  make->callback([s, &c] { c.run = [s, &c] { return create(c, *s); }; });

  auto* change = topic->add_subcommand("set", "Set how long a topic's messages stay");
  change->add_option("NAME", s->name, "The topic")->required()->check(name_of_something());
  add_retention(*change, *s);
  change->footer(std::string{"What is not given stays as it is.\n"} + on_retention +
                 "Example: waybill topic set orders --retain-age 30d --retain-bytes 200GB");
  change->callback([s, &c] { c.run = [s, &c] { return set(c, *s); }; });

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
