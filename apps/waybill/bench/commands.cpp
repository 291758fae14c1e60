// `waybill bench`: the workloads of tests/peers against a node, beside the floor of the disk in the
// same run.
#include "apps/waybill/bench/measurement.hpp"
#include "apps/waybill/signals.hpp"

namespace waybill::cli {

namespace {

using bench::plan;
using bench::workload;

/// A plan, and the options that have to become one.
struct wanted {
  plan what;
  std::optional<milliseconds> span{}, warm_up{}, linger{};
  std::string floor_dir = ".";
  bool text = false;
};

status run(context& c, wanted w) {
  w.what.span = w.span.value_or(w.what.span);
  w.what.warm_up = w.warm_up.value_or(w.what.warm_up);
  w.what.linger = w.linger.value_or(w.what.linger);
  // Random bytes do not get smaller: what would be measured then is nothing.
  if (w.text || w.what.compress_level > 0)
    w.what.made_of = bench::bodies::text;
  const auto found = bench::measure(c, w.what, w.floor_dir);
  answer(c, bench::row_json(found.figures, WAYBILL_VERSION), bench::row_text(found.figures));
  for (const auto& doubt : bench::doubts(found.figures))
    c.err.note(doubt);
  for (const auto& fault : found.faults)
    report_error(c, stop_signal::requested() ? "stopping" : "unconfirmed", fault, true);
  return found.faults.empty() ? status::done : status::failed;
}

void add_number(CLI::App& command, const char* name, std::uint32_t& target, std::uint64_t most,
                const char* about) {
  command.add_option(name, target, about)
      ->type_name("N")
      ->check(whole_number(1, most))
      ->capture_default_str();
}

/// The options that every workload has.
void add_common(CLI::App& command, const std::shared_ptr<wanted>& w) {
  const bool is_stamped = bench::has_consumer(w->what.what);
  command.add_option("--size", w->what.size, "Bytes of a body")
      ->type_name("N")
      ->check(whole_number(is_stamped ? bench::stamp_bytes : 0, 16u << 20))
      ->capture_default_str();
  auto* span = add_duration(command, "--seconds", w->span,
                            "Publish for so long (" + to_string(w->what.span) + ")");
  command.add_option("--messages", w->what.messages, "So many of each producer instead")
      ->type_name("N")
      ->check(whole_number(1, 1'000'000'000'000))
      ->excludes(span);
  add_number(command, "--partitions", w->what.partitions, 1'000,
             "Of each topic that is made for it");
  command
      .add_option("--idle", w->what.idle,
                  "Sessions of producers that are open beside, and say nothing")
      ->type_name("N")
      ->check(whole_number(0, 1'000'000))
      ->capture_default_str();
  if (!is_stamped)
    add_duration(command, "--warm-up", w->warm_up,
                 "Publish for so long before, uncounted (" + to_string(w->what.warm_up) + ")");
  command
      .add_option("--floor-dir", w->floor_dir, "Where to measure the disk: the node's, if you can")
      ->type_name("DIR")
      ->capture_default_str();
}

/// Of those workloads in which messages are under way together.
void add_window(CLI::App& command, const std::shared_ptr<wanted>& w) {
  add_number(command, "--window", w->what.window, 10'000'000,
             "Messages of a producer without a confirm, at most");
  add_number(command, "--batch", w->what.batch, 10'000, "Messages of one batch, at most");
  add_number(command, "--in-flight", w->what.in_flight, 10'000,
             "Batches without a confirm, at most");
  command.add_flag("--text", w->text, "Bodies are lines of text, instead of random bytes");
  add_compress(command, w->what.compress_level);
  add_duration(command, "--linger", w->linger,
               "How long a batch waits for company (" + to_string(w->what.linger) + ")");
}

struct about {
  const char* name;
  const char* description;
  const char* example;
};

CLI::App& add(CLI::App& app, context& c, const std::shared_ptr<wanted>& w, const about& a) {
  auto& command = *app.add_subcommand(a.name, a.description);
  add_common(command, w);
  command.footer(std::string{"Example: "} + a.example);
  command.callback([w, &c] { c.run = [w, &c] { return run(c, *w); }; });
  return command;
}

std::shared_ptr<wanted> usual(workload what) {
  return std::make_shared<wanted>(wanted{.what = bench::usual_plan(what)});
}

} // namespace

void add_bench_commands(CLI::App& app, context& c) {
  auto& all = *app.add_subcommand("bench", "Measure a node, beside the floor of the disk");
  all.require_subcommand(1);
  all.footer(
      "Each makes topics of its own and deletes them at the end. With --json: a row as those\n"
      "of tests/peers, which measures other brokers in the same way. --compress makes bodies "
      "text,\n"
      "as --text does: what it saves shows beside the same without it.\n"
      "Example: waybill bench publish --floor-dir /var/lib/waybill");

  auto w = usual(workload::publish);
  add_window(add(all, c, w,
                 {"publish", "W1: many messages under way; how many a second, and what each costs",
                  "waybill bench publish --size 1024 --window 4000 --json"}),
             w);
  add(all, c, usual(workload::latency),
      {"latency", "W2: one message at a time; how long a confirm takes",
       "waybill bench latency --floor-dir /var/lib/waybill"});
  w = usual(workload::end_to_end);
  auto* command = &add(all, c, w,
                       {"end-to-end", "W3: W1, and a consumer that acknowledges each message",
                        "waybill bench end-to-end --seconds 20"});
  add_window(*command, w);
  add_number(*command, "--prefetch", w->what.prefetch, 1'000'000,
             "Messages that the consumer holds, at most");
  w = usual(workload::paced);
  command =
      &add(all, c, w,
           {"paced", "W3 at a fixed rate; how long from when a message is due to its delivery",
            "waybill bench paced --rate 5000"});
  add_number(*command, "--rate", w->what.rate, 10'000'000, "Messages a second");
  add_window(*command, w);
  add_number(*command, "--prefetch", w->what.prefetch, 1'000'000,
             "Messages that the consumer holds, at most");
  w = usual(workload::fan_in);
  command = &add(all, c, w,
                 {"fan-in", "W4: several producers, a topic and a connection each",
                  "waybill bench fan-in --producers 8"});
  add_number(*command, "--producers", w->what.producers, 1'000, "Producers, with a topic each");
  add_window(*command, w);
}

} // namespace waybill::cli
