// `waybill publish`: a message per line, each confirmed, given up on by name, or not read.
#include "apps/waybill/command.hpp"
#include "apps/waybill/line_reader.hpp"
#include "apps/waybill/line_sender.hpp"
#include "apps/waybill/receipts_file.hpp"
#include "apps/waybill/signals.hpp"
#include "apps/waybill/text.hpp"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace waybill::cli {

namespace {

constexpr const char* explanation =
    R"(Example:
  waybill publish orders orders.txt --key shop-7 --receipts receipts.txt
  waybill publish orders orders.csv --key-field 2 --separator , --compress
  waybill publish reminders mail.txt --deliver-at 2026-01-31T08:00:00+01:00 --expires 3d
  generate | waybill publish orders --header source=till --unconfirmed lost.txt
  waybill publish orders orders.txt --producer import-2026-01     (run it again after a crash)

A message is a line without its newline; empty lines count, and so does a last line without one. Lines
may hold any bytes. A line that the node does not take for its size is given up on, the others go on.

--key-field N takes the key out of each line: its Nth field, from 1 on, between separators (a tab, or
--separator C; quotes mean nothing). The body is the whole line all the same. A line without that field,
or with nothing in it, is sent without a key, and counted.

--deliver-at and --expires take a time (local, unless it ends in Z or an offset), or a span that runs from
the moment at which the node takes the message, by the node's clock. What has expired before a group
acknowledged it becomes a dead letter of that group, `expired`; nothing is dropped.

--compress makes batches smaller before they are sent, and the node stores and delivers them as they are;
text becomes a third to a tenth of itself. A batch that would not get smaller goes as it is. Not with
--producer: what a later run repeats must be the same bytes, and another version of zstd would make others.

--producer NAME makes the publish resumable. Lines are numbered from 1 and dealt to the partitions in
blocks of 1,000, or by their keys; the node tells how far it has each partition, those lines are passed over, and the
rest is sent. So the same command on the same input (or on one that has grown at its end) doubles
nothing. It holds for as long as the node remembers the producer (7 days without use, by default) and
while only one process uses the name: a second one fences the first. After a failure it stops instead
of going on with later lines: run it again. A line beyond 64 KiB is always sent again; the node
knows the repeat.

--receipts FILE gets a line per input line, in its order: the receipt, or `unconfirmed CODE` for a line
that was given up on. With --producer an existing FILE is continued. A line that an earlier run
confirmed, but whose receipt the node cannot tell any more, gets `confirmed-earlier`: that is no
receipt, `waybill verify` refuses it, and the exit status is 1.

Another input under the same name is noticed by the last lines that the node has, and refused; so is
one that ends before them.

Exit status: 0 every line is confirmed; 3 all were read, and some given up on; 1 any other failure, or
stopped: not every line was read.)";

struct settings {
  std::string topic, file = "-", key, producer, receipts, unconfirmed;
  std::uint32_t key_field = 0;
  std::string separator = "\t";
  std::vector<std::string> headers;
  std::optional<when> deliver_at, expires;
  bool whole = false;
  std::uint32_t attempts = 4;
  int compress_level = 0; ///< 0: not at all
  std::optional<milliseconds> retry_interval, attempt_timeout, delivery_timeout;
};

class input_file {
public:
  explicit input_file(const std::string& path) : fd_{STDIN_FILENO} {
    if (path != "-")
      fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ < 0)
      throw client_error{
          {ec::not_found, "`" + path + "` cannot be opened: " + std::strerror(errno) + "."}};
    struct stat about {};
    if (::fstat(fd_, &about) == 0 && S_ISREG(about.st_mode))
      bytes_ = static_cast<std::uint64_t>(about.st_size);
  }
  ~input_file() {
    if (fd_ != STDIN_FILENO)
      ::close(fd_);
  }
  input_file(const input_file&) = delete;
  input_file& operator=(const input_file&) = delete;
  [[nodiscard]] int fd() const noexcept { return fd_; }
  /// 0: not known.
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }

private:
  int fd_;
  std::uint64_t bytes_ = 0;
};

headers parse_headers(const std::vector<std::string>& texts) {
  headers parsed;
  for (const auto& text : texts) {
    const auto at = text.find('=');
    if (at == std::string::npos || at == 0)
      throw usage_error{"--header wants NAME=VALUE, not `" + text + "`."};
    parsed.emplace_back(text.substr(0, at), text.substr(at + 1));
  }
  return parsed;
}

producer_options options_of(const settings& s) {
  producer_options options;
  options.name = s.producer;
  compress(options, s.compress_level);
  options.retry.retries = s.attempts - 1;
  options.retry.interval = s.retry_interval.value_or(options.retry.interval);
  options.retry.attempt_timeout = s.attempt_timeout.value_or(options.retry.attempt_timeout);
  // Retries that were asked for are not cut short by a bound that was not.
  const auto all_waits =
      options.retry.interval * options.retry.retries + options.retry.attempt_timeout;
  options.retry.delivery_timeout = s.delivery_timeout.value_or(
      std::max<milliseconds>(options.retry.delivery_timeout, all_waits));
  return options;
}

/// One run: reads, sends, settles, and tells how it went.
class publish_run {
public:
  publish_run(context& c, settings s)
      : c_{c}, s_{std::move(s)}, input_{s_.file}, reader_{{.fd = input_.fd(),
                                                           .stop_fd = stop_signal::descriptor(),
                                                           .split = s_.whole
                                                                        ? split_at::end_of_input
                                                                        : split_at::newline}} {}

  status run() {
    const auto extra = parse_headers(s_.headers);
    client depot = c_.connect();
    producer opened = depot.producer(s_.topic, options_of(s_));
    const auto recorded = keep_earlier_receipts();
    const auto opening =
        s_.producer.empty() ? output_file::opening::anew : output_file::opening::go_on;
    state_ = std::make_shared<send_state>(outcome_log::files{s_.receipts, opening, s_.unconfirmed});
    envelope_ = {s_.key, s_.key_field, s_.separator.front(), extra, s_.deliver_at, s_.expires};
    if (s_.producer.empty())
      sender_ = std::make_unique<plain_sender>(std::move(opened), envelope_, state_);
    else
      sender_ = std::make_unique<numbered_sender>(std::move(opened), envelope_, state_, recorded);
    start_ = std::chrono::steady_clock::now();
    {
      const progress shown{c_.err, [this] { return progress_line(); }};
      const bool has_ended = read_all();
      sender_->finish();
      if (has_ended)
        sender_->ended();
      state_->log.wait_all();
    }
    return summary();
  }

private:
  std::uint64_t keep_earlier_receipts() const {
    if (s_.producer.empty() || s_.receipts.empty())
      return 0;
    const auto kept = keep_receipts(s_.receipts, s_.topic);
    if (!kept)
      throw client_error{kept.error()};
    return *kept;
  }

  /// @returns whether the input has come to its end
  bool read_all() {
    while (!state_->stopped() && !state_->log.failure()) {
      auto item = reader_.next(milliseconds{200});
      bytes_read_ = reader_.bytes_read();
      switch (item.what) {
      case line_reader::kind::line:
        state_->log.begin(++lines_);
        without_key_ += s_.key_field > 0 && envelope_.key_of(item.bytes).empty();
        sender_->send({lines_, std::move(item.bytes), item.newline});
        break;
      case line_reader::kind::piece:
      case line_reader::kind::last_piece:
        pass_over(std::move(item));
        break;
      case line_reader::kind::idle:
        sender_->idle();
        break;
      case line_reader::kind::end:
        return true;
      case line_reader::kind::stopped:
        trouble_ = "Stopped by a signal: what follows line " + grouped(lines_) + " was not read.";
        return false;
      case line_reader::kind::failed:
        trouble_ =
            "The input cannot be read on behind line " + grouped(lines_) + ": " + item.bytes + ".";
        return false;
      }
    }
    return false;
  }

  /// A line that no node takes, and that is not held in memory either.
  void pass_over(line_reader::item item) {
    if (!passing_over_) {
      sender_->finish();
      state_->log.wait_all();
      passing_over_ = true;
    }
    state_->log.write_unconfirmed(item.bytes);
    if (item.what == line_reader::kind::piece)
      return;
    passing_over_ = false;
    state_->log.begin(++lines_);
    state_->give_up(
        {lines_, {}, item.newline},
        {ec::message_too_large, "it is longer than 16 MiB, the most that any node takes"});
  }

  std::string progress_line() {
    const auto t = state_->log.so_far();
    const auto settled = t.confirmed + t.earlier + t.given_up;
    progress_state shown{settled, "line", seconds(), -1};
    if (input_.bytes() > 0)
      shown.fraction =
          std::min(1.0, static_cast<double>(bytes_read_) / static_cast<double>(input_.bytes()));
    std::string text = progress_text(shown);
    return t.given_up == 0 ? text : text + ", " + grouped(t.given_up) + " given up on";
  }

  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

  /// What the node has under these numbers is then something else.
  [[nodiscard]] bool is_other_input() const {
    const auto stopped = state_->stopped();
    return stopped && (stopped->code == ec::number_reused || stopped->code == ec::bad_argument);
  }

  status summary() {
    const auto t = state_->log.so_far();
    const auto stopped = state_->stopped();
    if (const auto failed = state_->log.failure())
      trouble_ = *failed;
    if (stopped)
      trouble_ = sentence(stopped->detail) + " Lines behind " + grouped(lines_) + " were not read" +
                 (!s_.producer.empty() && retry_can_help(stopped->code)
                      ? "; run the same command again to go on."
                      : ".");
    if (t.receipts_missing > 0 && trouble_.empty())
      trouble_ = counted(t.receipts_missing, "line") +
                 " of an earlier run have no receipt: the node does not remember them any more.";
    tell(t);
    if (!trouble_.empty())
      return status::failed; // also with lines given up on: not every line was read
    return t.given_up > 0 ? status::given_up : status::done;
  }

  void tell(const outcome_log::totals& t) {
    for (const auto& lines : state_->failures()) {
      const auto more = lines.count > 1 ? " (and " + counted(lines.count - 1, "other") + ")" : "";
      report_error(c_, to_string(lines.why.code),
                   "Line " + grouped(lines.line) + more + " given up on: " + lines.why.detail,
                   retry_can_help(lines.why.code));
    }
    if (!trouble_.empty())
      c_.err.note(trouble_);
    if (without_key_ > 0)
      c_.err.note(counted(without_key_, "line") + " had no field " + grouped(s_.key_field) +
                  ", or nothing in it: sent without a key.");
    const double took = seconds();
    const double rate = static_cast<double>(t.confirmed) / std::max(took, 1e-6);
    if (c_.json_wanted) {
      print(json_line({{"topic", s_.topic},
                       {"lines", lines_},
                       {"confirmed", t.confirmed},
                       {"confirmed_earlier", is_other_input() ? json() : json(t.earlier)},
                       {"given_up", t.given_up},
                       {"receipts_missing", t.receipts_missing},
                       {"without_key", s_.key_field > 0 ? json(without_key_) : json(nullptr)},
                       {"bytes_read", bytes_read_.load()},
                       {"seconds", took},
                       {"messages_per_second", rate},
                       {"trouble", trouble_.empty() ? json() : json(trouble_)}}));
      return;
    }
    std::string text = counted(t.confirmed, "line") + " confirmed";
    if (t.earlier > 0 && !is_other_input())
      text += ", " + grouped(t.earlier) + " confirmed by an earlier run";
    text += ", " + grouped(t.given_up) + " given up on; " + fixed(took, 1) + " s, " +
            grouped(static_cast<std::uint64_t>(rate)) + " lines/s.";
    c_.err.note(text);
  }

  context& c_;
  settings s_;
  input_file input_;
  line_reader reader_;
  envelope envelope_;
  std::shared_ptr<send_state> state_;
  std::unique_ptr<line_sender> sender_;
  std::chrono::steady_clock::time_point start_;
  std::uint64_t lines_ = 0, without_key_ = 0;
  std::atomic<std::uint64_t> bytes_read_ = 0; // read by the progress thread
  bool passing_over_ = false;
  std::string trouble_;
};

} // namespace

void add_publish_command(CLI::App& app, context& c) {
  auto* command = app.add_subcommand("publish", "Send lines as messages, each with a confirm");
  auto s = std::make_shared<settings>();
  command->add_option("TOPIC", s->topic, "Where to")->required();
  command->add_option("FILE", s->file, "What to send; - or nothing: standard input");
  auto* whole = command->add_flag("--whole", s->whole, "The whole input is one message");
  auto* key = command->add_option("--key", s->key, "Key of every message: chooses the partition");
  auto* field =
      command->add_option("--key-field", s->key_field, "The key is this field of the line")
          ->check(CLI::Range(1u, 1'000'000u))
          ->type_name("N")
          ->excludes(key)
          ->excludes(whole);
  command->add_option("--separator", s->separator, "Between fields: one character (a tab)")
      ->type_name("C")
      ->needs(field)
      ->check([](const std::string& text) {
        return text.size() == 1 ? std::string{} : "--separator wants one character (of one byte)";
      });
  command->add_option("--header", s->headers, "A header of every message; repeatable")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  add_when(*command, "--deliver-at", s->deliver_at, "Not delivered before");
  add_when(*command, "--expires", s->expires, "A dead letter from then on, unless acknowledged");
  command->add_option("--producer", s->producer, "Resumable, under this name: see below")
      ->excludes(add_compress(*command, s->compress_level));
  command->add_option("--attempts", s->attempts, "Sends of one batch before it is given up on")
      ->check(CLI::Range(1u, 1'000'000u))
      ->capture_default_str();
  add_duration(*command, "--retry-interval", s->retry_interval, "Between two attempts (1s)");
  add_duration(*command, "--attempt-timeout", s->attempt_timeout,
               "An attempt without an answer (10s)");
  add_duration(
      *command, "--delivery-timeout", s->delivery_timeout,
      "For all attempts, looking for a node included (30s, or as long as the attempts take)");
  command->add_option("--receipts", s->receipts, "Gets a receipt per line")->type_name("FILE");
  command->add_option("--unconfirmed", s->unconfirmed, "Gets the lines given up on, as they were")
      ->type_name("FILE");
  command->footer(explanation);
  command->callback([s, &c] { c.run = [s, &c] { return publish_run{c, *s}.run(); }; });
}

} // namespace waybill::cli
