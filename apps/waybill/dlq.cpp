// `waybill dlq`: the dead letters of a group: list, show, redrive, purge.
#include "apps/waybill/letter_id.hpp"

#include "apps/waybill/command.hpp"
#include "apps/waybill/message_text.hpp"
#include "apps/waybill/output.hpp"
#include "apps/waybill/signals.hpp"
#include "apps/waybill/table.hpp"
#include "apps/waybill/text.hpp"

#include <atomic>
#include <limits>
#include <map>

namespace waybill::cli {

namespace {

// What one call of the contract takes (net/waybill.capnp, redriveDeadLetters).
constexpr std::size_t page_letters = 1'000;
constexpr std::size_t page_bytes = 4u << 20;

struct settings {
  std::string topic, group;
  std::vector<std::string> ids;
  bool all = false, yes = false;
  std::uint64_t limit = std::numeric_limits<std::uint64_t>::max();
};

using moved_page = redriven (client::*)(const std::string&, const std::string&, std::uint32_t,
                                        std::span<const message_offset>);

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
  return object;
}

std::vector<letter_id> chosen_ids(const settings& s) {
  std::vector<letter_id> chosen;
  for (const auto& text : s.ids) {
    const auto id = parse_letter_id(text, s.topic);
    if (!id)
      throw usage_error{"`" + text + "` is no message of topic " + s.topic +
                        ": write TOPIC/PARTITION/OFFSET or PARTITION/OFFSET."};
    chosen.push_back(*id);
  }
  return chosen;
}

/// Calls `each` for every dead letter that there is now, by partition; it returns false to end.
void for_each_letter(client& depot, const settings& s,
                     const std::function<bool(const dead_letter_info&)>& each) {
  bool goes_on = true;
  for (const auto& p : depot.describe_topic(s.topic).partitions) {
    if (!goes_on)
      return;
    depot.list_dead_letters(s.topic, s.group, p.number, message_offset{0}, false,
                            [&](const dead_letter_info& d) { return goes_on = each(d); });
  }
}

/// Nothing is found of a group that does not exist either: a name that is mistyped is an error.
void must_exist(client& depot, const settings& s) {
  [[maybe_unused]] const auto group = find_group(depot, s.topic, s.group);
}

status list(context& c, const settings& s) {
  client depot = c.connect();
  table t{{{"ID"},
           {"WHY"},
           {"ATTEMPTS", align::right},
           {"DIED"},
           {"BYTES", align::right},
           {"CONSUMER"},
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
             iso_time(d.died), grouped(d.bytes), printable(d.consumer, 40),
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

/// Moves dead letters away in pages, and tells what went where.
class move_run {
public:
  move_run(context& c, const settings& s, moved_page how, std::string done_word)
      : c_{c}, s_{s}, how_{how}, done_word_{std::move(done_word)} {}

  status run(client& depot) {
    {
      const progress shown{c_.err, [this] {
                             return progress_text({moved_, "dead letter", 0, -1});
                           }};
      if (s_.all)
        move_all(depot);
      else
        move_chosen(depot);
    }
    if (c_.json_wanted)
      print(json_line({{"moved", moved_.load()}, {"not_found", missing_}}));
    else
      c_.err.note(counted(moved_, "dead letter") + " " + done_word_ +
                  (missing_ > 0 ? ", " + grouped(missing_) + " not found (any more)." : "."));
    return missing_ == 0 && !stop_signal::requested() ? status::done : status::failed;
  }

private:
  void move_chosen(client& depot) {
    std::map<std::uint32_t, std::vector<message_offset>> by_partition;
    for (const auto& id : chosen_ids(s_))
      by_partition[id.partition].push_back(id.offset);
    for (auto& [partition, offsets] : by_partition) {
      std::ranges::sort(offsets);
      offsets.erase(std::unique(offsets.begin(), offsets.end()), offsets.end());
      // One at a time when they are named: nobody has said how large they are.
      for (const auto& offset : offsets)
        missing_ += 1 - move_page(depot, partition, {&offset, 1});
    }
  }

  /// What dies while this runs is left for the next run: otherwise a message that kills every
  /// consumer would keep it going for ever.
  void move_all(client& depot) {
    for (const auto& p : depot.describe_topic(s_.topic).partitions) {
      message_offset from{0};
      std::vector<message_offset> page;
      do {
        page = next_page(depot, p.number, from, p.next_offset);
        if (page.empty())
          break;
        from = message_offset{page.back().value + 1};
        move_page(depot, p.number, page);
      } while (!stop_signal::requested());
    }
  }

  std::vector<message_offset> next_page(client& depot, std::uint32_t partition, message_offset from,
                                        message_offset end) const {
    std::vector<message_offset> page;
    std::size_t bytes = 0;
    depot.list_dead_letters(
        s_.topic, s_.group, partition, from, false, [&](const dead_letter_info& d) {
          const std::size_t size = d.bytes + 256; // the framing of one letter, rounded up
          if (d.offset >= end || page.size() >= page_letters ||
              (!page.empty() && bytes + size > page_bytes))
            return false;
          bytes += size;
          page.push_back(d.offset);
          return true;
        });
    return page;
  }

  std::size_t move_page(client& depot, std::uint32_t partition,
                        std::span<const message_offset> page) {
    const auto done = (depot.*how_)(s_.topic, s_.group, partition, page);
    std::string lines;
    for (const auto& [old_offset, new_offset] : done.moved) {
      const auto from = message_id(s_.topic, partition, old_offset);
      const auto to = new_offset ? message_id(s_.topic, partition, *new_offset) : std::string{};
      if (c_.json_wanted)
        lines += json_line({{"from", from}, {"to", new_offset ? json(to) : json()}});
      else
        lines += from + (new_offset ? " -> " + to : " " + done_word_) + "\n";
    }
    moved_ += done.moved.size();
    print(lines);
    return done.moved.size();
  }

  context& c_;
  const settings& s_;
  moved_page how_;
  std::string done_word_;
  std::atomic<std::uint64_t> moved_ = 0; // read by the progress thread
  std::uint64_t missing_ = 0;
};

void check_choice(const settings& s) {
  if (s.all == !s.ids.empty())
    throw usage_error{"Name the dead letters, or say --all."};
}

status redrive(context& c, const settings& s) {
  check_choice(s);
  client depot = c.connect();
  must_exist(depot, s);
  return move_run{c, s, &client::redrive_dead_letters, "sent back to the group"}.run(depot);
}

status purge(context& c, const settings& s) {
  check_choice(s);
  client depot = c.connect();
  must_exist(depot, s);
  const auto what = s.all ? "All dead letters" : counted(s.ids.size(), "dead letter");
  if (!s.yes && !confirmed_by_user(what + " of group " + s.group + " of topic " + s.topic +
                                   " will be gone for good."))
    throw client_error{{ec::not_allowed, "Nothing was purged."}};
  return move_run{c, s, &client::purge_dead_letters, "purged"}.run(depot);
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
  all->footer("Example: waybill dlq list orders --group billing --json");
  all->callback([s, &c] { c.run = [s, &c] { return list(c, *s); }; });

  auto* one = add(*dlq, "show", "Dead letters with everything that is known of them", *s);
  one->add_option("ID", s->ids, "TOPIC/PARTITION/OFFSET or PARTITION/OFFSET")->required();
  one->footer("Example: waybill dlq show orders --group billing orders/0/17");
  one->callback([s, &c] { c.run = [s, &c] { return show(c, *s); }; });

  auto* back =
      add(*dlq, "redrive", "Send dead letters back to their group; prints what went where", *s);
  back->add_option("ID", s->ids, "TOPIC/PARTITION/OFFSET or PARTITION/OFFSET");
  back->add_flag("--all", s->all, "All that are there now");
  back->footer("They get new offsets and keep their first id in the header waybill-original-id.\n"
               "Example: waybill dlq redrive orders --group billing --all");
  back->callback([s, &c] { c.run = [s, &c] { return redrive(c, *s); }; });

  auto* gone = add(*dlq, "purge", "Delete dead letters for good; asks", *s);
  gone->add_option("ID", s->ids, "TOPIC/PARTITION/OFFSET or PARTITION/OFFSET");
  gone->add_flag("--all", s->all, "All that are there now");
  gone->add_flag("--yes", s->yes, "Do not ask");
  gone->footer("Example: waybill dlq purge orders --group billing orders/0/17 --yes");
  gone->callback([s, &c] { c.run = [s, &c] { return purge(c, *s); }; });
}

} // namespace waybill::cli
