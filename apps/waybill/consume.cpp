// `waybill consume`: bodies to standard output, each acknowledged only after it was written out.
#include "apps/waybill/consume.hpp"
#include "apps/waybill/message_text.hpp"
#include "apps/waybill/output.hpp"
#include "apps/waybill/signals.hpp"
#include "apps/waybill/text.hpp"

#include <algorithm>
#include <atomic>
#include <unistd.h>

namespace waybill::cli {

namespace {

constexpr const char* explanation =
    R"(Example:
  waybill consume orders --group billing >> orders.txt
  waybill consume orders --group billing --max 10 --format json | jq .body
  waybill consume orders --group billing --exec ./charge --jobs 4
  waybill consume orders --group billing --no-ack       (a look at what comes next)

A message is acknowledged when its line was handed to standard output, not before; so one that was
written out may come again after a crash, and none is missed. What was not written out is given back,
uncounted. With `raw`, a body that holds newlines makes several lines.

--no-ack takes what comes within a second (--idle-exit), at most --credit messages or --max, gives all
of it back uncounted, and then writes it out.

--ids FILE gets the id of each message that was written out, before its acknowledgement is sent; a
message that came twice stands there twice.

--exec CMD gives each message to a command, `/bin/sh -c CMD`, on its standard input (the body; with
--format json: id, key, headers and body as an object). Exit status 0 acknowledges it. Anything else is
a failed attempt with that status as the reason: it comes again by the group's policy, and ends in the
dead letters. The command finds WAYBILL_ID, WAYBILL_KEY, WAYBILL_ATTEMPT, WAYBILL_HEADERS (JSON),
WAYBILL_TOPIC, WAYBILL_GROUP, WAYBILL_PARTITION, WAYBILL_OFFSET and WAYBILL_PUBLISHED in its environment.
Its lease is kept for as long as it runs: --exec-timeout bounds that.

Without --max and --idle-exit it goes on until SIGINT or SIGTERM, which end it cleanly: commands that
run are waited for. A second signal ends it at once.
Exit status: 0 done; 3 commands failed; 1 stopped before --max, the reader of the output left, or any
other failure.)";

// A second: a wait of the library that a signal does not end must not be felt.
constexpr milliseconds wait_at_once{100};
constexpr std::size_t written_bytes_at_once = 1 << 20;
constexpr std::size_t written_messages_at_once = 10'000;
// The lease is 30 s unless told otherwise: a look must be over long before.
constexpr milliseconds look_at_most{10'000};

constexpr std::uint32_t credit_messages = 1'000; // unless told otherwise

/// Messages taken together, and the text that they make: written once, then acknowledged.
struct taken_messages {
  std::vector<message> messages;
  std::vector<std::size_t> ends; ///< of each message's text in `text`
  std::string text;
};

class consume_run {
public:
  consume_run(context& c, consume_settings s) : c_{c}, s_{std::move(s)}, as_json_{s_.as_json(c)} {
    if (!s_.ids.empty())
      ids_.emplace(s_.ids, output_file::opening::anew);
  }

  status run() {
    client depot = c_.connect();
    consume_options options;
    options.name = s_.name;
    options.credit_messages = s_.credit.value_or(credit_messages);
    if (s_.max)
      options.credit_messages = static_cast<std::uint32_t>(
          std::min<std::uint64_t>(s_.no_ack ? 100'000 : options.credit_messages, *s_.max));
    if (s_.max == 0u)
      return status::done;
    consumer from = depot.subscribe(s_.topic, s_.group, options);
    start_ = heard_ = clock::now();
    if (s_.no_ack)
      look(from, options.credit_messages);
    else
      work(from);
    return summary();
  }

private:
  using clock = std::chrono::steady_clock;

  void work(consumer& from) {
    {
      const progress shown{c_.err, [this] { return progress_line(); }};
      while (!finished()) {
        auto taken = take(from);
        if (!taken.messages.empty())
          write_and_settle(from, taken);
      }
    }
    late_ = from.flush();
    from.close(); // gives back what came and was not taken
  }

  [[nodiscard]] bool finished() {
    if (!trouble_.empty())
      return true;
    if (s_.max && written_ >= *s_.max)
      return true;
    if (stop_signal::requested()) {
      if (s_.max)
        trouble_ = "Stopped by a signal before " + grouped(*s_.max) + " messages had come.";
      return true;
    }
    return s_.idle_exit && clock::now() - heard_ >= *s_.idle_exit;
  }

  /// What is there, at most as much as is written at once; waits a moment for the first.
  taken_messages take(consumer& from) {
    taken_messages taken;
    const auto room = s_.max ? *s_.max - written_ : written_messages_at_once;
    const auto most = std::min<std::uint64_t>(room, written_messages_at_once);
    auto next = from.next(wait_at_once);
    while (next) {
      taken.text += as_json_ ? json_text(*next) : next->body() + "\n";
      taken.ends.push_back(taken.text.size());
      taken.messages.push_back(std::move(*next));
      if (taken.messages.size() >= most || taken.text.size() >= written_bytes_at_once)
        break;
      next = from.next(milliseconds{0});
    }
    if (!taken.messages.empty())
      heard_ = clock::now();
    return taken;
  }

  void write_and_settle(consumer& from, const taken_messages& taken) {
    const auto outcome = write_out(STDOUT_FILENO, taken.text, stop_signal::descriptor());
    const auto whole = static_cast<std::size_t>(
        std::upper_bound(taken.ends.begin(), taken.ends.end(), outcome.bytes) - taken.ends.begin());
    if (ids_)
      ids_->write(ids_of(taken, whole));
    for (std::size_t i = 0; i < taken.messages.size(); ++i) {
      if (i < whole)
        from.ack(taken.messages[i]);
      else
        from.give_back(taken.messages[i]);
    }
    written_ += whole;
    given_back_ += taken.messages.size() - whole;
    heard_ = clock::now(); // time in which the output was blocked is not silence
    if (outcome.end == write_end::reader_gone)
      trouble_ = "The reader of the output has left; what it did not take is given back.";
    else if (outcome.end == write_end::failed)
      trouble_ = "Standard output cannot be written: " + outcome.reason +
                 "; what was not written is given back.";
    else if (outcome.end == write_end::stopped && s_.max)
      trouble_ = "Stopped by a signal while the output was blocked.";
  }

  static std::string ids_of(const taken_messages& taken, std::size_t count) {
    std::string ids;
    for (std::size_t i = 0; i < count; ++i)
      ids += taken.messages[i].id() + "\n";
    return ids;
  }

  void look(consumer& from, std::uint64_t most) {
    const auto patience = s_.idle_exit.value_or(milliseconds{1'000});
    std::string text;
    while (given_back_ < most && !stop_signal::requested() && clock::now() - heard_ < patience &&
           clock::now() - start_ < look_at_most) {
      const auto next = from.next(wait_at_once);
      if (!next)
        continue;
      text += as_json_ ? json_text(*next) : next->body() + "\n";
      ++given_back_;
      heard_ = clock::now();
    }
    from.close();
    const auto outcome = write_out(STDOUT_FILENO, text, stop_signal::descriptor());
    if (outcome.end == write_end::failed || outcome.end == write_end::reader_gone)
      trouble_ = "Standard output cannot be written: " + outcome.reason + ".";
  }

  std::string progress_line() const {
    const std::uint64_t count = written_;
    const double fraction = s_.max ? static_cast<double>(count) / static_cast<double>(*s_.max) : -1;
    return progress_text({count, "message", seconds(), fraction});
  }

  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(clock::now() - start_).count();
  }

  status summary() {
    const std::uint64_t written = written_;
    if (!trouble_.empty())
      report_error(c_, "stopped", trouble_, true);
    if (c_.json_wanted) {
      std::string line =
          json_line({{"topic", s_.topic},
                     {"group", s_.group},
                     {"written", written},
                     {"acknowledged", s_.no_ack ? 0 : written - std::min(late_, written)},
                     {"too_late", late_},
                     {"given_back", given_back_},
                     {"seconds", seconds()}});
      line.pop_back();
      c_.err.line(line);
    } else {
      std::string text = s_.no_ack ? counted(given_back_, "message") + " looked at and given back"
                                   : counted(written, "message") + " written out and acknowledged";
      if (late_ > 0)
        text += "; " + counted(late_, "acknowledgement") + " came too late: those come again";
      c_.err.note(text + "; " + fixed(seconds(), 1) + " s.");
    }
    return trouble_.empty() ? status::done : status::failed;
  }

  context& c_;
  consume_settings s_;
  bool as_json_;
  std::optional<output_file> ids_;
  clock::time_point start_, heard_;
  std::atomic<std::uint64_t> written_ = 0; // read by the progress thread
  std::uint64_t given_back_ = 0, late_ = 0;
  std::string trouble_;
};

} // namespace

void add_consume_command(CLI::App& app, context& c) {
  auto* command =
      app.add_subcommand("consume", "Write messages out, and acknowledge what was written");
  auto s = std::make_shared<consume_settings>();
  command->add_option("TOPIC", s->topic, "Where from")->required();
  command->add_option("--group", s->group, "The group that shares the work; created if it is new")
      ->required();
  command->add_option("--max", s->max, "End after so many messages")->type_name("N");
  add_duration(*command, "--idle-exit", s->idle_exit, "End after so long without a message");
  command->add_option("--format", s->format, "raw (bodies) or json; with --json: json")
      ->check(CLI::IsMember({"raw", "json"}));
  auto* look =
      command->add_flag("--no-ack", s->no_ack, "Look only: everything is given back, uncounted");
  auto* exec = command->add_option("--exec", s->exec, "Run this by the shell for each message")
                   ->type_name("CMD")
                   ->excludes(look);
  command->add_option("--jobs", s->jobs, "Commands at once (1)")
      ->type_name("N")
      ->check(CLI::Range(1u, 1'000u))
      ->needs(exec);
  add_duration(*command, "--exec-timeout", s->exec_timeout, "A command that takes longer is killed")
      ->needs(exec);
  command
      ->add_option("--credit", s->credit,
                   "Messages held unacknowledged at once (1,000; with --exec: twice the jobs)")
      ->type_name("N")
      ->check(CLI::Range(1u, 100'000u));
  command->add_option("--ids", s->ids, "Gets a message id per line written out")->type_name("FILE");
  command->add_option("--name", s->name, "This consumer's name, for people");
  command->footer(explanation);
  command->callback([s, &c] {
    c.run = [s, &c] {
      return s->exec.empty() ? consume_run{c, *s}.run() : consume_by_command(c, *s);
    };
  });
}

} // namespace waybill::cli
