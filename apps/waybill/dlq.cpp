// `waybill dlq`: the dead letters of a group: list, show, redrive, purge.
#include "apps/waybill/letter_moves.hpp"

#include "apps/waybill/command.hpp"
#include "apps/waybill/message_text.hpp"
#include "apps/waybill/output.hpp"
#include "apps/waybill/signals.hpp"
#include "apps/waybill/table.hpp"
#include "apps/waybill/text.hpp"

#include <algorithm>
#include <limits>

namespace waybill::cli {

namespace {

using dlq::chosen_ids;
using dlq::move_letters;
using dlq::moved_page;
using dlq::must_exist;
using dlq::now;
using dlq::settings;

json letter_json(const settings& s, const dead_letter_info& d) {
  json object{{"id", message_id(s.topic, d.partition, d.offset)},
              {"why", d.why},
              {"attempts", d.attempts},
              {"reason", d.reason},
              {"consumer", d.consumer},
              {"published", iso_time(d.published)},
              {"first_delivered", iso_time(d.first_delivered)},
              {"died", iso_time(d.died)},
              {"bytes", d.bytes}};
  if (!d.transfer.empty())
    object["transfer"] = {{"state", d.transfer}, {"to", d.transfer_to}, {"why", d.transfer_why}};
  return object;
}

/// That it is on its way elsewhere, and where to.
std::string transfer_text(const dead_letter_info& d) {
  if (d.transfer.empty())
    return "";
  return (d.transfer == "in-doubt" ? "in doubt: " : "to ") + printable(d.transfer_to, 160);
}

/// Calls `each` for every dead letter that is chosen and there now, by partition; it returns false
/// to end.
void for_each_letter(client& depot, const settings& s,
                     const std::function<bool(const dead_letter_info&)>& each) {
  const auto began = now();
  bool goes_on = true;
  for (const auto& p : depot.describe_topic(s.topic).partitions) {
    if (!goes_on)
      return;
    depot.list_dead_letters(s.topic, s.group, p.number, message_offset{0}, s.choice.wants_bodies(),
                            [&](const dead_letter_info& d) {
                              return goes_on = !s.choice.matches(d, began) || each(d);
                            });
  }
}

status list(context& c, const settings& s) {
  client depot = c.connect();
  table t{{{"ID"},
           {"WHY"},
           {"ATTEMPTS", align::right},
           {"DIED"},
           {"BYTES", align::right},
           {"CONSUMER"},
           {"TRANSFER"},
           {"REASON"}}};
  std::uint64_t count = 0;
  bool more = false;
  for_each_letter(depot, s, [&](const dead_letter_info& d) {
    if (count == s.limit) {
      more = true;
      return false;
    }
    ++count;
    if (c.json_wanted)
      print(json_line(letter_json(s, d)));
    else
      t.add({message_id(s.topic, d.partition, d.offset), d.why, grouped(d.attempts),
             iso_time(d.died), grouped(d.bytes), printable(d.consumer, 40), transfer_text(d),
             printable(d.reason, 80)});
    return !stop_signal::requested();
  });
  if (count == 0 && s.limit > 0)
    must_exist(depot, s);
  if (!c.json_wanted)
    print(count == 0 ? "No dead letters.\n" : t.text());
  if (more)
    c.err.note("There are more; --limit " + std::to_string(s.limit) + " ends the list here.");
  return stop_signal::requested() ? status::failed : status::done;
}

std::string letter_text(const settings& s, const dead_letter_info& d) {
  std::string text = "Message   " + message_id(s.topic, d.partition, d.offset) + "\n" +
                     "Why       " + d.why + ", after " + counted(d.attempts, "attempt") + "\n" +
                     "Reason    " + printable(d.reason, 10'000) + "\n" + "Consumer  " +
                     printable(d.consumer, 200) + "\n" + "Published " + iso_time(d.published) +
                     "\n" + "First     " + iso_time(d.first_delivered) + "\n" + "Died      " +
                     iso_time(d.died) + "\n" + "Key       " + printable(d.key, 1'000) + "\n";
  if (!d.transfer.empty())
    text += "Transfer  " + transfer_text(d) +
            (d.transfer_why.empty() ? "" : ": " + printable(d.transfer_why, 1'000)) + "\n";
  for (const auto& [name, value] : d.headers)
    text += "Header    " + printable(name, 200) + " = " + printable(value, 1'000) + "\n";
  return text + "Bytes     " + grouped(d.bytes) + "\n\n" + printable(d.body, 100'000) + "\n";
}

status show(context& c, const settings& s) {
  client depot = c.connect();
  std::size_t missing = 0;
  const auto chosen = chosen_ids(s);
  for (const auto& id : chosen) {
    bool found = false;
    depot.list_dead_letters(s.topic, s.group, id.partition, id.offset, true,
                            [&](const dead_letter_info& d) {
                              if (d.offset != id.offset)
                                return false;
                              found = true;
                              json object = letter_json(s, d);
                              put_bytes(object, "key", d.key);
                              object["headers"] = headers_json(d.headers);
                              put_bytes(object, "body", d.body);
                              answer(c, object, letter_text(s, d));
                              return false;
                            });
    if (!found) {
      if (missing++ == 0)
        must_exist(depot, s);
      report_error(c, "not_found",
                   message_id(s.topic, id.partition, id.offset) + " is no dead letter of group " +
                       s.group + " (any more).",
                   false);
    }
  }
  return missing == 0 ? status::done : status::failed;
}

void check_choice(const settings& s) {
  if (s.all + !s.ids.empty() + s.choice.is_set() != 1)
    throw usage_error{"Name the dead letters, or choose them by --why, --reason, --since or --key, "
                      "or say --all."};
}

std::vector<std::pair<message_offset, std::string>> to_group(const settings& s,
                                                             const redriven& done) {
  std::vector<std::pair<message_offset, std::string>> moved;
  for (const auto& [old_offset, new_offset] : done.moved)
    moved.emplace_back(old_offset,
                       new_offset ? message_id(s.topic, done.partition, *new_offset) : "");
  return moved;
}

moved_page redrive_page(client& depot, const settings& s, std::uint32_t partition,
                        std::span<const message_offset> page) {
  if (!s.to) {
    auto done = depot.redrive_dead_letters(s.topic, s.group, partition, page);
    return {to_group(s, done), std::move(done.left)};
  }
  auto done =
      depot.transfer_dead_letters(s.topic, s.group, partition, page, s.to->topic, s.to->partition);
  moved_page result{{}, std::move(done.left)};
  for (const auto& each : done.moved)
    result.moved.emplace_back(each.from, message_id(s.to->topic, each.to_partition, each.to));
  return result;
}

/// Those that are in doubt together are so as one batch, and go on as one.
moved_page redrive_again(client& depot, const settings& s, std::uint32_t partition,
                         std::span<const message_offset> page) {
  auto all = depot.release_dead_letters(s.topic, s.group, partition, page);
  all.insert(all.end(), page.begin(), page.end());
  std::ranges::sort(all);
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return redrive_page(depot, s, partition, all);
}

moved_page give_up(client& depot, const settings& s, std::uint32_t partition,
                   std::span<const message_offset> page) {
  moved_page result;
  for (const auto each : depot.release_dead_letters(s.topic, s.group, partition, page))
    result.moved.emplace_back(each, "");
  return result;
}

status redrive(context& c, const settings& s) {
  check_choice(s);
  if (s.give_up && (s.to || s.again))
    throw usage_error{"--give-up sends nothing: leave out --to and --again."};
  client depot = c.connect();
  must_exist(depot, s);
  const auto how = s.give_up ? give_up : s.again ? redrive_again : redrive_page;
  return move_letters(
      c, depot, s,
      [&s, how](client& to, std::uint32_t partition, std::span<const message_offset> page) {
        return how(to, s, partition, page);
      },
      s.give_up ? "given up"
                : "sent " + (s.to ? "to topic " + s.to->topic : std::string{"back to the group"}));
}

status purge(context& c, const settings& s) {
  check_choice(s);
  client depot = c.connect();
  must_exist(depot, s);
  const auto what = s.all           ? "All dead letters"
                    : s.ids.empty() ? "The dead letters that are chosen (--dry-run tells which)"
                                    : counted(s.ids.size(), "dead letter");
  if (!s.yes && !s.dry_run &&
      !confirmed_by_user(what + " of group " + s.group + " of topic " + s.topic +
                         " will be gone for good."))
    throw client_error{{ec::not_allowed, "Nothing was purged."}};
  return move_letters(
      c, depot, s,
      [&s](client& from, std::uint32_t partition, std::span<const message_offset> page) {
        auto done = from.purge_dead_letters(s.topic, s.group, partition, page);
        return moved_page{to_group(s, done), std::move(done.left)};
      },
      "purged");
}

void add_choice(CLI::App& command, letter_choice& choice) {
  command.add_option("--why", choice.why, "Those that died of this")
      ->type_name("WHY")
      ->check(CLI::IsMember(std::vector<std::string>{letter_whys.begin(), letter_whys.end()}));
  command.add_option("--reason", choice.reason, "Those whose reason has this text in it")
      ->type_name("TEXT");
  add_when(command, "--since", choice.since,
           "Those that died then or later, or so long ago at most");
  command.add_option("--key", choice.key, "Those whose message has this key");
}

void add_moving(CLI::App& command, settings& s) {
  command.add_option("ID", s.ids, "TOPIC/PARTITION/OFFSET or PARTITION/OFFSET");
  command
      .add_option_function<std::vector<std::string>>(
          "--id",
          [&s](const std::vector<std::string>& more) {
            s.ids.insert(s.ids.end(), more.begin(), more.end());
          },
          "The same as ID; repeatable")
      ->type_name("ID")
      ->allow_extra_args(false);
  add_choice(command, s.choice);
  command.add_flag("--all", s.all, "All that are there now");
  command.add_flag("--dry-run", s.dry_run, "Only tell which they are");
}

CLI::App* add(CLI::App& dlq, const std::string& name, const std::string& about, settings& s) {
  auto* command = dlq.add_subcommand(name, about);
  command->add_option("TOPIC", s.topic, "The topic")->required()->check(name_of_something());
  command->add_option("--group", s.group, "The group that gave up on them")
      ->required()
      ->check(name_of_something());
  return command;
}

} // namespace

void add_dlq_commands(CLI::App& app, context& c) {
  auto* dlq = app.add_subcommand("dlq", "Dead letters: messages that a group gave up on");
  dlq->require_subcommand(1);
  dlq->footer("Example: waybill dlq list orders --group billing");
  auto s = std::make_shared<settings>();

  auto* all = add(*dlq, "list", "All dead letters of a group, without their bodies", *s);
  all->add_option("--limit", s->limit, "At most so many")
      ->type_name("N")
      ->check(whole_number(0, std::numeric_limits<std::uint64_t>::max()));
  add_choice(*all, s->choice);
  all->footer("Examples: waybill dlq list orders --group billing --json\n"
              "          waybill dlq list orders --group billing --why expired --since 1h");
  all->callback([s, &c] { c.run = [s, &c] { return list(c, *s); }; });

  auto* one = add(*dlq, "show", "Dead letters with everything that is known of them", *s);
  one->add_option("ID", s->ids, "TOPIC/PARTITION/OFFSET or PARTITION/OFFSET")->required();
  one->footer("Example: waybill dlq show orders --group billing orders/0/17");
  one->callback([s, &c] { c.run = [s, &c] { return show(c, *s); }; });

  auto* back =
      add(*dlq, "redrive",
          "Send dead letters back to their group, or elsewhere; prints what went where", *s);
  add_moving(*back, *s);
  back->add_option_function<std::string>(
          "--to",
          [s](const std::string& text) {
            s->to = parse_redrive_target(text);
            if (!s->to)
              throw CLI::ValidationError{"--to", "`" + text +
                                                     "` is no place: write TOPIC or "
                                                     "TOPIC/PARTITION"};
          },
          "To this topic instead, for all of its groups; without a partition each by its key")
      ->type_name("TOPIC[/PARTITION]");
  back->add_flag("--again", s->again,
                 "Those that are in doubt: send them once more, though they may have arrived");
  back->add_flag("--give-up", s->give_up,
                 "Those that are in doubt: no longer on their way, ordinary dead letters again");
  back->add_option("--rate", s->rate, "So many messages a second at the most")
      ->type_name("N")
      ->check(whole_number(1, 1'000'000));
  back->footer(
      "They get new offsets and keep their first id in the header waybill-original-id. What dies\n"
      "after the command has begun is left for the next one. With --to, one of which nobody knows\n"
      "whether it arrived (the target has forgotten) stays, `in doubt`: look for its id there, in\n"
      "the header waybill-redriven-from; then --again, or --give-up and purge it. Named by its "
      "id,\n"
      "one that is under way can be given up too; a batch goes on, or stays, as a whole.\n"
      "Examples: waybill dlq redrive orders --group billing --all\n"
      "          waybill dlq redrive orders --group billing --reason 'card declined' --since 2h "
      "--dry-run\n"
      "          waybill dlq redrive orders --group billing --key order-17 --rate 100\n"
      "          waybill dlq redrive orders --group billing --why expired --to late-orders");
  back->callback([s, &c] { c.run = [s, &c] { return redrive(c, *s); }; });

  auto* gone = add(*dlq, "purge", "Delete dead letters for good; asks", *s);
  add_moving(*gone, *s);
  gone->add_flag("--yes", s->yes, "Do not ask");
  gone->footer("Example: waybill dlq purge orders --group billing orders/0/17 --yes");
  gone->callback([s, &c] { c.run = [s, &c] { return purge(c, *s); }; });
}

} // namespace waybill::cli
