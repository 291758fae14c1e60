// `waybill alarms`: what stands, and what comes and goes.
#include "apps/waybill/command.hpp"
#include "apps/waybill/output.hpp"
#include "apps/waybill/signals.hpp"
#include "apps/waybill/text.hpp"

namespace waybill::cli {

namespace {

constexpr const char* explanation =
    R"(Example:
  waybill alarms
  waybill alarms --follow --json

Shows the alarms that stand: name, what it is about, level, since when, what is so and what helps. With
--follow, after that each alarm when it is raised and when it is over, until a signal ends it; a node that
is started again is found again, and then tells what stands.
With --json an alarm is one object a line: "alarm", "subject", "level", "raised", "since", "at", "detail",
"advice".
Exit status: 0 no alarm stands; 4 at least one does; 1 the node could not be asked, or not any more. With
--follow: 0 when a signal ended it.)";

/// A signal is noticed after so long at the latest.
constexpr milliseconds look_again{500};
constexpr std::size_t detail_max = 1'000;

struct settings {
  bool follow = false;
};

json alarm_json(const alarm_info& a) {
  return {{"alarm", a.name},    {"subject", a.subject},       {"level", a.level},
          {"raised", a.raised}, {"since", iso_time(a.since)}, {"at", iso_time(a.at)},
          {"detail", a.detail}, {"advice", a.advice}};
}

std::string alarm_text(const alarm_info& a) {
  const auto words = [](const std::string& text) { return printable(text, detail_max); };
  if (!a.raised)
    return iso_time(a.at) + "  over  " + words(a.name) + " (" + words(a.subject) + ")" +
           (a.detail.empty() ? "" : ": " + words(a.detail)) + "\n";
  return iso_time(a.since) + "  " + words(a.level) + "  " + words(a.name) + " (" +
         words(a.subject) + "): " + words(sentence(a.detail)) + " " + words(a.advice) + "\n";
}

std::string shown(const context& c, const std::vector<alarm_info>& alarms) {
  std::string text;
  for (const auto& each : alarms)
    text += c.json_wanted ? json_line(alarm_json(each)) : alarm_text(each);
  return text;
}

void tell_gaps(context& c, const alarm_list& list) {
  if (list.unlisted > 0)
    c.err.note(counted(list.unlisted, "further alarm") + " stand and are not listed.");
  if (list.missed > 0)
    c.err.note("Of " + grouped(list.missed) + " changes the node remembers nothing any more.");
}

status follow(context& c, client& depot, alarm_list known) {
  while (!stop_signal::requested()) {
    auto news = depot.alarms_after(known, look_again);
    if (news.started != known.started) {
      c.err.note("The node was started again; what stands now:");
      news.changes = news.raised;
      news.missed = 0;
    }
    print(shown(c, news.changes));
    tell_gaps(c, news);
    known = std::move(news);
  }
  return status::done;
}

status alarms(context& c, const settings& s) {
  client depot = c.connect();
  auto list = depot.alarms();
  print(list.raised.empty() && !c.json_wanted ? "No alarms.\n" : shown(c, list.raised));
  list.missed = 0; // nobody asked for what was before
  tell_gaps(c, list);
  if (s.follow)
    return follow(c, depot, std::move(list));
  return list.raised.empty() ? status::done : status::alarmed;
}

} // namespace

void add_alarms_command(CLI::App& app, context& c) {
  auto* command = app.add_subcommand("alarms", "What the node wants a person to look at");
  auto s = std::make_shared<settings>();
  command->add_flag("--follow", s->follow, "Go on: each alarm that is raised, or over");
  command->footer(explanation);
  command->callback([s, &c] { c.run = [s, &c] { return alarms(c, *s); }; });
}

} // namespace waybill::cli
