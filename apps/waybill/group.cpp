// `waybill group`: list, describe, set, delete.
#include "apps/waybill/command.hpp"
#include "apps/waybill/output.hpp"
#include "apps/waybill/table.hpp"
#include "apps/waybill/text.hpp"

#include <algorithm>

namespace waybill::cli {

namespace {

struct settings {
  std::string topic, group;
  std::optional<milliseconds> lease, delay, delay_max;
  std::optional<std::uint32_t> attempts;
  std::optional<double> factor, jitter;
  bool ordered = false, unordered = false;
  std::string target;
  std::optional<std::uint32_t> partition;
  bool yes = false;
};

struct sums {
  std::uint64_t ready = 0, leased = 0, delayed = 0, acked = 0, dead = 0, consumers = 0;
};

sums sum_of(const group_info& group) {
  sums all;
  for (const auto& p : group.partitions) {
    all.ready += p.ready;
    all.leased += p.leased;
    all.delayed += p.delayed;
    all.acked += p.acked;
    all.dead += p.dead;
    all.consumers = std::max<std::uint64_t>(all.consumers, p.consumers);
  }
  return all;
}

json policy_json(const policy_change& p) {
  return {{"lease_ms", p.lease.value_or(milliseconds{0}).count()},
          {"attempts", p.attempts_max.value_or(0)},
          {"delay_ms", p.delay.value_or(milliseconds{0}).count()},
          {"factor", p.factor.value_or(0)},
          {"max_delay_ms", p.delay_max.value_or(milliseconds{0}).count()},
          {"jitter", p.jitter.value_or(0)},
          {"ordered", p.ordered.value_or(false)}};
}

std::string policy_text(const policy_change& p) {
  return "lease " + to_string(p.lease.value_or(milliseconds{0})) + ", " +
         counted(p.attempts_max.value_or(0), "attempt") + ", delay " +
         to_string(p.delay.value_or(milliseconds{0})) + ", factor " +
         fixed(p.factor.value_or(0), 2) + ", max-delay " +
         to_string(p.delay_max.value_or(milliseconds{0})) + ", jitter " +
         fixed(p.jitter.value_or(0), 2) + (p.ordered.value_or(false) ? ", ordered by key" : "");
}

json group_json(const std::string& topic, const group_info& group) {
  json partitions = json::array();
  for (const auto& p : group.partitions)
    partitions.push_back({{"partition", p.partition},
                          {"start", p.start.value},
                          {"floor", p.floor.value},
                          {"ready", p.ready},
                          {"leased", p.leased},
                          {"delayed", p.delayed},
                          {"acked", p.acked},
                          {"dead", p.dead},
                          {"consumers", p.consumers},
                          {"settled_ranges", p.settled_ranges},
                          {"behind", p.behind}});
  return {{"topic", topic},
          {"group", group.name},
          {"policy", policy_json(group.policy)},
          {"partitions", std::move(partitions)}};
}

status list(context& c, const settings& s) {
  const auto groups = c.connect().list_groups(s.topic);
  table t{{{"GROUP"},
           {"READY", align::right},
           {"LEASED", align::right},
           {"DELAYED", align::right},
           {"ACKED", align::right},
           {"DEAD", align::right},
           {"CONSUMERS", align::right}}};
  std::string lines;
  for (const auto& group : groups) {
    lines += json_line(group_json(s.topic, group));
    const auto all = sum_of(group);
    t.add({group.name, grouped(all.ready), grouped(all.leased), grouped(all.delayed),
           grouped(all.acked), grouped(all.dead), grouped(all.consumers)});
  }
  print(c.json_wanted ? lines : t.empty() ? "No groups.\n" : t.text());
  return status::done;
}

status describe(context& c, const settings& s) {
  client depot = c.connect();
  const auto group = find_group(depot, s.topic, s.group);
  table t{{{"PARTITION", align::right},
           {"START", align::right},
           {"FLOOR", align::right},
           {"READY", align::right},
           {"LEASED", align::right},
           {"DELAYED", align::right},
           {"ACKED", align::right},
           {"DEAD", align::right},
           {"CONSUMERS", align::right},
           {"RANGES", align::right},
           {"BEHIND", align::right}}};
  for (const auto& p : group.partitions)
    t.add({std::to_string(p.partition), grouped(p.start.value), grouped(p.floor.value),
           grouped(p.ready), grouped(p.leased), grouped(p.delayed), grouped(p.acked),
           grouped(p.dead), grouped(p.consumers), grouped(p.settled_ranges), grouped(p.behind)});
  answer(c, group_json(s.topic, group),
         "Group " + group.name + " of topic " + s.topic + ": " + policy_text(group.policy) +
             ".\n\n" + t.text());
  return status::done;
}

status set(context& c, const settings& s) {
  client depot = c.connect();
  policy_change change;
  change.lease = s.lease;
  change.delay = s.delay;
  change.delay_max = s.delay_max;
  change.attempts_max = s.attempts;
  change.factor = s.factor;
  change.jitter = s.jitter;
  if (s.ordered || s.unordered)
    change.ordered = s.ordered;
  depot.set_group(s.topic, s.group, change);
  const auto group = find_group(depot, s.topic, s.group);
  answer(c, group_json(s.topic, group),
         "Group " + group.name + " of topic " + s.topic + ": " + policy_text(group.policy) + ".\n");
  return status::done;
}

/// `earliest`, `latest`, an offset, or a time; a span is so long ago.
seek_to target_of(const std::string& text) {
  using kind = seek_to::kind;
  if (text == "earliest" || text == "latest")
    return {text == "earliest" ? kind::earliest : kind::latest, {}, {}};
  if (!text.empty() && text.find_first_not_of("0123456789") == std::string::npos &&
      text.size() < 20)
    return {kind::offset, message_offset{std::stoull(text)}, {}};
  if (const auto at = parse_time(text))
    return {kind::time, {}, *at};
  if (const auto span = parse_duration(text))
    return {kind::time,
            {},
            std::chrono::time_point_cast<milliseconds>(std::chrono::system_clock::now()) - *span};
  throw usage_error{"Where to is `earliest`, `latest`, an offset such as 1700, a time such as "
                    "2026-01-31T12:00:00Z or a span ago such as 2h, not `" +
                    text + "`."};
}

status seek(context& c, const settings& s) {
  const auto target = target_of(s.target);
  client depot = c.connect();
  const auto group = find_group(depot, s.topic, s.group);
  if (target.where == seek_to::kind::offset && group.partitions.size() > 1 && !s.partition)
    throw usage_error{"Topic " + s.topic + " has " + counted(group.partitions.size(), "partition") +
                      ": an offset is one partition's, say which with --partition."};
  table t{{{"PARTITION", align::right},
           {"OFFSET", align::right},
           {"LEFT OUT", align::right},
           {"AGAIN", align::right}}};
  json partitions = json::array();
  sought all;
  for (const auto& p : group.partitions) {
    if (s.partition && *s.partition != p.partition)
      continue;
    const auto done = depot.seek_group(s.topic, s.group, p.partition, target);
    all.skipped += done.skipped;
    all.reopened += done.reopened;
    t.add({std::to_string(p.partition), grouped(done.offset.value), grouped(done.skipped),
           grouped(done.reopened)});
    partitions.push_back({{"partition", p.partition},
                          {"offset", done.offset.value},
                          {"skipped", done.skipped},
                          {"reopened", done.reopened}});
  }
  if (t.empty())
    throw client_error{{ec::unknown_partition, "Topic " + s.topic + " has no partition " +
                                                   std::to_string(*s.partition) + "."}};
  answer(c, {{"topic", s.topic}, {"group", s.group}, {"partitions", std::move(partitions)}},
         t.text() + "\nGroup " + s.group + " of topic " + s.topic + ": " +
             counted(all.skipped, "message") + " skipped, " + counted(all.reopened, "message") +
             " to be delivered again.\n");
  return status::done;
}

status remove(context& c, const settings& s) {
  client depot = c.connect();
  const auto all = sum_of(find_group(depot, s.topic, s.group));
  if (!s.yes && !confirmed_by_user("Group " + s.group + " of topic " + s.topic + ", with " +
                                   counted(all.consumers, "consumer") + " at work, and its " +
                                   counted(all.dead, "dead letter") + " will be gone for good."))
    throw client_error{{ec::not_allowed, "Group " + s.group + " was not deleted."}};
  depot.delete_group(s.topic, s.group);
  answer(c, {{"topic", s.topic}, {"group", s.group}, {"deleted", true}},
         "Group " + s.group + " of topic " + s.topic + " is deleted.\n");
  return status::done;
}

void add_names(CLI::App& command, settings& s) {
  command.add_option("TOPIC", s.topic, "The topic")->required()->check(name_of_something());
  command.add_option("GROUP", s.group, "The group")->required()->check(name_of_something());
}

} // namespace

group_info find_group(client& depot, const std::string& topic, const std::string& group) {
  auto groups = depot.list_groups(topic);
  const auto found = std::ranges::find(groups, group, &group_info::name);
  if (found != groups.end())
    return std::move(*found);
  for (const auto& p : depot.describe_topic(topic).partitions)
    if (p.state != "leading")
      throw client_error{{ec::partition_offline,
                          "Whether topic " + topic + " has a group `" + group +
                              "` cannot be told: " + partition_name(topic, p.number) + " is " +
                              p.state + (p.detail.empty() ? "." : ": " + p.detail)}};
  throw client_error{{ec::unknown_group, "Topic " + topic + " has no group `" + group +
                                             "`; `waybill group list " + topic + "` shows all."}};
}

void add_group_commands(CLI::App& app, context& c) {
  auto* group = app.add_subcommand(
      "group", "Look at the groups of a topic, set how they deliver, where they read, delete them");
  group->require_subcommand(1);
  group->footer("Example: waybill group list orders");
  auto s = std::make_shared<settings>();

  auto* all = group->add_subcommand("list", "All groups of a topic");
  all->add_option("TOPIC", s->topic, "The topic")->required()->check(name_of_something());
  all->footer("Example: waybill group list orders");
  all->callback([s, &c] { c.run = [s, &c] { return list(c, *s); }; });

  auto* one = group->add_subcommand("describe",
                                    "A group by partition: what is ready, leased, delayed, dead");
  add_names(*one, *s);
  one->footer("Example: waybill group describe orders billing");
  one->callback([s, &c] { c.run = [s, &c] { return describe(c, *s); }; });

  auto* change = group->add_subcommand("set", "Set how a group delivers; creates it if it is new");
  add_names(*change, *s);
  add_duration(*change, "--lease", s->lease, "Time in which a consumer must acknowledge");
  change->add_option("--attempts", s->attempts, "Deliveries before a message is a dead letter")
      ->check(whole_number(1, 1'000'000));
  add_duration(*change, "--delay", s->delay, "Before the second delivery");
  change->add_option("--factor", s->factor, "By which the delay grows each time")
      ->check(number(1, 100));
  add_duration(*change, "--max-delay", s->delay_max, "Beyond which it does not grow");
  change->add_option("--jitter", s->jitter, "Random part of the delay, 0 to 1")
      ->check(number(0, 1));
  auto* ordered = change->add_flag(
      "--ordered", s->ordered,
      "One message of each key at a time, in order, and a key's messages to one consumer");
  change->add_flag("--unordered", s->unordered, "Not so")->excludes(ordered);
  change->footer(
      "What is not given stays as it is. A group becomes ordered when nothing of it is out with a\n"
      "consumer any more; until then it gets nothing new.\n"
      "BEHIND in `group describe` counts what waits behind another message of its key.\n"
      "Example: waybill group set orders billing --lease 2m --attempts 5 --delay 500ms");
  change->callback([s, &c] { c.run = [s, &c] { return set(c, *s); }; });

  auto* back = group->add_subcommand("seek", "Go on reading from another place");
  add_names(*back, *s);
  back->add_option("WHERE", s->target, "earliest, latest, an OFFSET, a TIME, or a span ago")
      ->required();
  back->add_option("--partition", s->partition, "Of this partition alone");
  back->footer("What lies before that place and is not acknowledged is skipped: the group does not "
               "get it. What\n"
               "lies behind it comes again, also if it was acknowledged, but for dead letters, and "
               "for what\n"
               "every group has acknowledged: that may be gone. A time is that of the first "
               "message which the\n"
               "node took then or later.\n"
               "Examples: waybill group seek orders billing latest\n"
               "          waybill group seek orders billing 2026-01-31T12:00:00Z\n"
               "          waybill group seek orders billing 1700 --partition 2");
  back->callback([s, &c] { c.run = [s, &c] { return seek(c, *s); }; });

  auto* gone = group->add_subcommand(
      "delete", "Delete a group, what it has settled and its dead letters; asks");
  add_names(*gone, *s);
  gone->add_flag("--yes", s->yes, "Do not ask");
  gone->footer("The messages stay for the other groups. A consumer of that name begins a new one.\n"
               "Example: waybill group delete orders biling --yes");
  gone->callback([s, &c] { c.run = [s, &c] { return remove(c, *s); }; });
}

} // namespace waybill::cli
