// `waybill consume --exec`: a command per message, acknowledged when it has succeeded.
#include "apps/waybill/consume.hpp"
#include "apps/waybill/message_text.hpp"
#include "apps/waybill/output.hpp"
#include "apps/waybill/shell_command.hpp"
#include "apps/waybill/signals.hpp"
#include "apps/waybill/text.hpp"

#include <atomic>
#include <map>
#include <mutex>
#include <poll.h>
#include <thread>

namespace waybill::cli {

namespace {

/// Why a command failed, as the library passes it on to the node.
struct command_failed : std::runtime_error {
  using runtime_error::runtime_error;
};

/// Ends a client's `consume` at the first signal; what runs is waited for.
class stop_watch {
public:
  explicit stop_watch(client& depot)
      : thread_{[&depot](const std::stop_token& done) {
          while (!done.stop_requested()) {
            pollfd asked{stop_signal::descriptor(), POLLIN, 0};
            if (::poll(&asked, 1, 100) > 0)
              return depot.stop();
          }
        }} {}

private:
  std::jthread thread_;
};

class exec_run {
public:
  exec_run(context& c, const consume_settings& s) : c_{c}, s_{s}, command_{s.exec, s.exec_timeout} {
    if (!s_.ids.empty())
      ids_.emplace(s_.ids, output_file::opening::anew);
  }

  status run() {
    client depot = c_.connect();
    consume_options options;
    options.name = s_.name;
    options.threads = s_.jobs;
    // Little in hand: what waits here for a free job could be another consumer's.
    options.credit_messages = s_.credit.value_or(2 * s_.jobs);
    options.idle_exit = s_.idle_exit;
    options.messages_max = s_.max;
    start_ = clock::now();
    {
      const progress shown{c_.err, [this] { return progress_line(); }};
      const stop_watch watch{depot};
      acknowledged_ = depot.consume(
          s_.topic, s_.group, [this](const message& m) { work_on(m); }, options);
    }
    return summary();
  }

private:
  using clock = std::chrono::steady_clock;

  void work_on(const message& m) {
    const auto input = s_.as_json(c_) ? json_text(m) : m.body();
    const auto trouble = waybill::cli::run(command_, input, environment_of(m));
    if (trouble) {
      ++failed_;
      tell(m, *trouble);
      throw command_failed{*trouble};
    }
    ++succeeded_;
    write_id(m);
  }

  /// The work is done whatever becomes of the file: the message is acknowledged all the same.
  void write_id(const message& m) {
    const std::lock_guard lock{mutex_};
    if (!ids_)
      return;
    try {
      ids_->write(m.id() + "\n");
    } catch (const output_error& e) {
      ids_.reset();
      trouble_ = e.what();
    }
  }

  [[nodiscard]] environment environment_of(const message& m) const {
    return {{"WAYBILL_SERVERS", c_.servers},
            {"WAYBILL_TOPIC", m.topic()},
            {"WAYBILL_GROUP", s_.group},
            {"WAYBILL_ID", m.id()},
            {"WAYBILL_PARTITION", std::to_string(m.partition())},
            {"WAYBILL_OFFSET", std::to_string(m.offset().value)},
            {"WAYBILL_KEY", m.key()},
            {"WAYBILL_ATTEMPT", std::to_string(m.attempt())},
            {"WAYBILL_PUBLISHED", iso_time(m.published())},
            {"WAYBILL_HEADERS", headers_json(m.headers()).dump()}};
  }

  /// The first failure of each kind; the summary counts them.
  void tell(const message& m, const std::string& trouble) {
    const std::lock_guard lock{mutex_};
    if (++troubles_[trouble] == 1)
      c_.err.note(m.id() + ", attempt " + std::to_string(m.attempt()) + ": the command " +
                  (trouble.starts_with("exit status") ? "ended with " : "") + trouble + ".");
  }

  [[nodiscard]] std::string progress_line() const {
    const auto handled = succeeded_ + failed_;
    const double fraction =
        s_.max && *s_.max > 0 ? static_cast<double>(handled) / static_cast<double>(*s_.max) : -1;
    auto text = progress_text({handled, "message", seconds(), fraction});
    return failed_ == 0 ? text : text + ", " + grouped(failed_) + " failed";
  }

  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(clock::now() - start_).count();
  }

  status summary() {
    const auto late = succeeded_ - std::min(acknowledged_, succeeded_.load());
    if (c_.json_wanted) {
      std::string line = json_line({{"topic", s_.topic},
                                    {"group", s_.group},
                                    {"succeeded", succeeded_.load()},
                                    {"failed", failed_.load()},
                                    {"acknowledged", acknowledged_},
                                    {"too_late", late},
                                    {"reasons", troubles_},
                                    {"seconds", seconds()}});
      line.pop_back();
      c_.err.line(line);
    } else {
      std::string text = counted(acknowledged_, "message") + " done and acknowledged, " +
                         grouped(failed_) + " failed";
      if (late > 0)
        text += "; " + counted(late, "acknowledgement") + " came too late: those come again";
      c_.err.note(text + "; " + fixed(seconds(), 1) + " s.");
    }
    if (trouble_.empty() && s_.max && succeeded_ + failed_ < *s_.max && !s_.idle_exit)
      trouble_ = "Stopped by a signal before " + grouped(*s_.max) + " messages had come.";
    if (!trouble_.empty()) {
      report_error(c_, "stopped", trouble_, true);
      return status::failed;
    }
    return failed_ == 0 ? status::done : status::given_up;
  }

  context& c_;
  const consume_settings& s_;
  const shell_command command_;
  std::mutex mutex_; // of the next three
  std::optional<output_file> ids_;
  std::string trouble_;
  std::map<std::string, std::uint64_t> troubles_;
  clock::time_point start_;
  std::atomic<std::uint64_t> succeeded_ = 0, failed_ = 0; // read by the progress thread
  std::uint64_t acknowledged_ = 0;
};

} // namespace

status consume_by_command(context& c, const consume_settings& s) { return exec_run{c, s}.run(); }

} // namespace waybill::cli
