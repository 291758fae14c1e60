// `waybill verify`: is exactly this message in the log?
#include "apps/waybill/command.hpp"
#include "apps/waybill/line_reader.hpp"
#include "apps/waybill/output.hpp"
#include "apps/waybill/signals.hpp"
#include "apps/waybill/text.hpp"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace waybill::cli {

namespace {

constexpr const char* explanation =
    R"(Example:
  waybill verify orders/0/17@1.9.00112233445566778899aabbccddeeff
  waybill verify --file receipts.txt --quiet

A line per receipt: the verdict, and the receipt. Empty lines of a --file are passed over.
  in-log       exactly this message is in the log
  dropped      it was; every group had settled it, or the topic's retention took it unread (the books
               count those), and its place was given back
  different    another entry is in its place: the receipt is not of this log
  unknown      never seen here, or not known any more
  no-receipt   the text is no whole receipt
Exit status: 0 every receipt is in the log or was dropped; 1 otherwise.)";

struct settings {
  std::vector<std::string> receipts;
  std::string file;
  bool quiet = false;
};

struct answered {
  std::string verdict;
  std::string detail;
  bool good = false;
};

answered ask(client& depot, const std::string& text) {
  const auto parsed = parse_receipt(text);
  if (!parsed)
    return {"no-receipt", "It is not TOPIC/PARTITION/OFFSET@EPOCH.INDEX.HASH.", false};
  verification v;
  try {
    v = depot.verify(*parsed);
  } catch (const client_error& e) {
    const bool names_nothing = e.code() == ec::unknown_topic || e.code() == ec::unknown_partition;
    if (!names_nothing)
      throw;
    return {"unknown", e.what(), false};
  }
  switch (v.found) {
  case verdict::in_log:
    return {"in-log", v.detail, true};
  case verdict::dropped:
    return {"dropped", v.detail, true};
  case verdict::different:
    return {"different", v.detail, false};
  case verdict::unknown:
    break;
  }
  return {"unknown", v.detail, false};
}

class verify_run {
public:
  verify_run(context& c, const settings& s) : c_{c}, s_{s} {}

  status run() {
    client depot = c_.connect();
    {
      const progress shown{c_.err, [this] { return progress_text({asked_, "receipt", 0, -1}); }};
      for (const auto& text : s_.receipts)
        one(depot, text);
      if (!s_.file.empty())
        all_of_file(depot);
      print(pending_);
    }
    const std::string sum =
        counted(good_, "receipt") + " proved, " + grouped(asked_ - good_) + " not.";
    if (c_.json_wanted)
      print(json_line(
          {{"receipts", asked_.load()}, {"proved", good_}, {"not_proved", asked_ - good_}}));
    else
      c_.err.note(sum);
    return good_ == asked_ ? status::done : status::failed;
  }

private:
  void one(client& depot, const std::string& text) {
    if (stop_signal::requested())
      throw client_error{{ec::stopping, "Stopped by a signal: not every receipt was verified."}};
    const auto found = ask(depot, text);
    ++asked_;
    good_ += found.good ? 1 : 0;
    if (s_.quiet && found.good)
      return;
    if (c_.json_wanted)
      pending_ +=
          json_line({{"receipt", text}, {"verdict", found.verdict}, {"detail", found.detail}});
    else
      pending_ +=
          found.verdict + std::string(12 - found.verdict.size(), ' ') + printable(text, 400) +
          (found.good || found.detail.empty() ? "" : "  " + printable(found.detail, 400)) + "\n";
    if (pending_.size() > 64 * 1024 || ::isatty(STDOUT_FILENO) == 1)
      print(std::exchange(pending_, {}));
  }

  void all_of_file(client& depot) {
    const int fd = s_.file == "-" ? STDIN_FILENO : ::open(s_.file.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
      throw client_error{
          {ec::not_found, "`" + s_.file + "` cannot be opened: " + std::strerror(errno) + "."}};
    line_reader reader{
        {.fd = fd, .stop_fd = stop_signal::descriptor(), .line_bytes_max = 64 * 1024}};
    while (true) {
      auto item = reader.next(milliseconds{1'000});
      if (item.what == line_reader::kind::end)
        break;
      if (item.what == line_reader::kind::failed)
        throw client_error{{ec::internal, "`" + s_.file + "` cannot be read: " + item.bytes + "."}};
      if (item.what == line_reader::kind::stopped)
        throw client_error{{ec::stopping, "Stopped by a signal: not every receipt was verified."}};
      if (item.what == line_reader::kind::line && item.bytes.empty())
        continue;
      if (item.what != line_reader::kind::idle && item.what != line_reader::kind::piece)
        one(depot, item.bytes); // the end of a line that is too long is no receipt either
    }
    if (fd != STDIN_FILENO)
      ::close(fd);
  }

  context& c_;
  const settings& s_;
  std::string pending_;
  std::atomic<std::uint64_t> asked_ = 0; // read by the progress thread
  std::uint64_t good_ = 0;
};

} // namespace

void add_verify_command(CLI::App& app, context& c) {
  auto* command =
      app.add_subcommand("verify", "Prove that the messages of receipts are in the log");
  auto s = std::make_shared<settings>();
  command->add_option("RECEIPT", s->receipts, "TOPIC/PARTITION/OFFSET@EPOCH.INDEX.HASH");
  command->add_option("--file", s->file, "A receipt per line; - for standard input")
      ->type_name("FILE");
  command->add_flag("--quiet", s->quiet, "Only those that are not proved");
  command->footer(explanation);
  command->callback([s, &c] {
    c.run = [s, &c] {
      if (s->receipts.empty() && s->file.empty())
        throw usage_error{"Name receipts, or a --file of them."};
      return verify_run{c, *s}.run();
    };
  });
}

} // namespace waybill::cli
