// `waybill dlq`: the dead letters of a group: list, show, redrive, purge.
#include "apps/waybill/letter_choice.hpp"
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
#include <thread>

namespace waybill::cli {

namespace {

// What one call of the contract takes (net/waybill.capnp, redriveDeadLetters).
constexpr std::size_t page_letters = 1'000;
constexpr std::size_t page_bytes = 4u << 20;

struct settings {
  std::string topic, group;
  std::vector<std::string> ids;
  letter_choice choice;
  bool all = false, yes = false, dry_run = false;
  std::optional<std::uint64_t> rate; ///< messages a second
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

wall_time now() {
  return std::chrono::time_point_cast<milliseconds>(std::chrono::system_clock::now());
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
      if (s_.ids.empty())
        move_all(depot);
      else
        move_chosen(depot);
    }
    if (c_.json_wanted)
      print(
          json_line({{"moved", moved_.load()}, {"not_found", missing_}, {"dry_run", s_.dry_run}}));
    else
      c_.err.note(counted(moved_, "dead letter") + (s_.dry_run ? " would be " : " ") + done_word_ +
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

  /// All that are chosen. What dies while this runs is left for the next run: otherwise a message
  /// that kills every consumer would keep it going for ever.
  void move_all(client& depot) {
    for (const auto& p : depot.describe_topic(s_.topic).partitions) {
      message_offset from{0};
      std::vector<message_offset> page;
      do {
        page = next_page(depot, p.number, from, p.next_offset);
        if (page.empty())
          break;
        from = message_offset{page.back().value + 1};
        pace(page.size());
        if (stop_signal::requested())
          return;
        move_page(depot, p.number, page);
      } while (!stop_signal::requested());
    }
  }

  std::vector<message_offset> next_page(client& depot, std::uint32_t partition, message_offset from,
                                        message_offset end) const {
    std::vector<message_offset> page;
    std::size_t bytes = 0;
    // Ten pages a second at the most, so that a rate is kept evenly.
    const auto most =
        s_.rate ? std::clamp<std::size_t>(*s_.rate / 10, 1, page_letters) : page_letters;
    depot.list_dead_letters(
        s_.topic, s_.group, partition, from, s_.choice.wants_bodies(),
        [&](const dead_letter_info& d) {
          const std::size_t size = d.bytes + 256; // the framing of one letter, rounded up
          if (d.offset >= end || page.size() >= most ||
              (!page.empty() && bytes + size > page_bytes) || stop_signal::requested())
            return false;
          if (!s_.choice.matches(d, began_))
            return true;
          bytes += size;
          page.push_back(d.offset);
          return true;
        });
    return page;
  }

  /// Waits until so many more are within the rate that was asked for.
  void pace(std::size_t more) {
    if (!s_.rate)
      return;
    const auto due =
        start_ + std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(
                     static_cast<double>(paced_) / static_cast<double>(*s_.rate)));
    paced_ += more;
    for (auto left = due - clock::now(); left > clock::duration{} && !stop_signal::requested();
         left = due - clock::now())
      std::this_thread::sleep_for(std::min<clock::duration>(left, milliseconds{100}));
  }

  std::size_t tell_page(std::uint32_t partition, std::span<const message_offset> page) {
    std::string lines;
    for (const auto offset : page) {
      const auto from = message_id(s_.topic, partition, offset);
      lines += c_.json_wanted ? json_line({{"from", from}, {"to", nullptr}})
                              : from + " would be " + done_word_ + "\n";
    }
    moved_ += page.size();
    print(lines);
    return page.size();
  }

  std::size_t move_page(client& depot, std::uint32_t partition,
                        std::span<const message_offset> page) {
    if (s_.dry_run)
      return tell_page(partition, page);
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
  using clock = std::chrono::steady_clock;
  const wall_time began_ = now();
  const clock::time_point start_ = clock::now();
  std::uint64_t paced_ = 0;
  std::atomic<std::uint64_t> moved_ = 0; // read by the progress thread
  std::uint64_t missing_ = 0;
};

void check_choice(const settings& s) {
  if (s.all + !s.ids.empty() + s.choice.is_set() != 1)
    throw usage_error{"Name the dead letters, or choose them by --why, --reason, --since or --key, "
                      "or say --all."};
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
  const auto what = s.all           ? "All dead letters"
                    : s.ids.empty() ? "The dead letters that are chosen (--dry-run tells which)"
                                    : counted(s.ids.size(), "dead letter");
  if (!s.yes && !s.dry_run &&
      !confirmed_by_user(what + " of group " + s.group + " of topic " + s.topic +
                         " will be gone for good."))
    throw client_error{{ec::not_allowed, "Nothing was purged."}};
  return move_run{c, s, &client::purge_dead_letters, "purged"}.run(depot);
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
      add(*dlq, "redrive", "Send dead letters back to their group; prints what went where", *s);
  add_moving(*back, *s);
  back->add_option("--rate", s->rate, "So many messages a second at the most")
      ->type_name("N")
      ->check(whole_number(1, 1'000'000));
  back->footer(
      "They get new offsets and keep their first id in the header waybill-original-id. What dies\n"
      "after the command has begun is left for the next one.\n"
      "Examples: waybill dlq redrive orders --group billing --all\n"
      "          waybill dlq redrive orders --group billing --reason 'card declined' --since 2h "
      "--dry-run\n"
      "          waybill dlq redrive orders --group billing --key order-17 --rate 100");
  back->callback([s, &c] { c.run = [s, &c] { return redrive(c, *s); }; });

  auto* gone = add(*dlq, "purge", "Delete dead letters for good; asks", *s);
  add_moving(*gone, *s);
  gone->add_flag("--yes", s->yes, "Do not ask");
  gone->footer("Example: waybill dlq purge orders --group billing orders/0/17 --yes");
  gone->callback([s, &c] { c.run = [s, &c] { return purge(c, *s); }; });
}

} // namespace waybill::cli
