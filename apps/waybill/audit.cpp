// `waybill audit`: the books of every partition and group, checked, and the verdict.
#include "apps/waybill/command.hpp"
#include "apps/waybill/output.hpp"
#include "apps/waybill/signals.hpp"
#include "apps/waybill/table.hpp"
#include "apps/waybill/text.hpp"

#include <atomic>
#include <cstdlib>
#include <future>

namespace waybill::cli {

namespace {

constexpr const char* explanation =
    R"(Example:
  waybill audit orders
  waybill audit --json

Reads all that the log of each partition holds, checks the chain of hashes, counts, and compares:
  a partition   confirmed = live + dropped
  a group       arrived = acked + ready + leased + delayed + dead + redriven + purged + for others,
                with what seeks skipped and what retention dropped unread on the right, and what
                seeks opened again on the left
A partition that is offline, cannot be read or does not answer in time was NOT AUDITED: nothing was
compared, so nothing is said of its books; the others are told. --timeout is for each partition, whose
log is read as a whole: 11 minutes if nothing is said (30 s for one that is offline).
With --json a partition has "audited", and "balances" is null where nothing was compared.
Exit status: 0 the books balance; 1 they do not, or not all of them could be audited.)";

/// The node ends an audit of its own after 10 minutes (docs/guarantees.md, section 6), and says so:
/// whoever gives up before that hears nothing.
constexpr milliseconds walk_patience{11 * 60'000};
constexpr milliseconds look_again{100};

/// The sums once more on this side: the node's word alone is no proof.
bool adds_up(const group_books& g) {
  return g.arrived + g.reopened == g.acked + g.ready + g.leased + g.delayed + g.dead + g.redriven +
                                       g.purged + g.for_others + g.skipped + g.dropped_unread;
}
bool adds_up(const partition_books& p) { return p.confirmed == p.live + p.dropped; }

json group_json(const group_books& g) {
  return {{"group", g.group},
          {"arrived", g.arrived},
          {"acked", g.acked},
          {"ready", g.ready},
          {"leased", g.leased},
          {"delayed", g.delayed},
          {"dead", g.dead},
          {"redriven", g.redriven},
          {"purged", g.purged},
          {"for_others", g.for_others},
          {"expired", g.expired},
          {"skipped", g.skipped},
          {"reopened", g.reopened},
          {"dropped_unread", g.dropped_unread},
          {"balances", g.balances && adds_up(g)}};
}

struct verdicts {
  std::uint64_t partitions = 0, groups = 0, confirmed = 0, entries = 0, wrong = 0, unread = 0;
};

class audit_run {
public:
  explicit audit_run(context& c) : c_{c} {}

  status run(const std::string& topic) {
    client desk = c_.connect();
    client walker = c_.connect(walk_patience);
    std::vector<topic_info> topics;
    if (topic.empty())
      topics = desk.list_topics();
    else
      topics.push_back(desk.describe_topic(topic));
    {
      const progress shown{c_.err, [this] {
                             return progress_text({audited_, "partition", 0, -1});
                           }};
      for (const auto& each : topics)
        for (const auto& p : each.partitions) {
          // One that is offline may be damaged for good: it is not worth the long wait.
          take_one(p.state == "offline" ? desk : walker, each.name, p.number);
          ++audited_;
        }
    }
    return tell();
  }

private:
  void take_one(client& depot, const std::string& topic, std::uint32_t partition) {
    if (node_gone_)
      return take_unread(topic, partition, "No node answers any more.");
    try {
      take(topic, ask(depot, topic, partition));
    } catch (const client_error& e) {
      node_gone_ = e.code() == ec::unreachable;
      take_unread(topic, partition, e.what());
    }
  }

  /// A call of the library cannot be broken off, and this one may take minutes: who is told to stop
  /// does not wait for its answer. Nothing is lost by it, for all output is written at once.
  partition_books ask(client& depot, const std::string& topic, std::uint32_t partition) {
    auto answer = std::async(std::launch::async, [&] { return depot.audit(topic, partition); });
    while (answer.wait_for(look_again) != std::future_status::ready)
      if (stop_signal::requested()) {
        c_.err.clear();
        report_error(c_, to_string(ec::stopping), "Stopped by a signal: the audit is not complete.",
                     true);
        std::_Exit(static_cast<int>(status::failed));
      }
    return answer.get();
  }

  void take_unread(const std::string& topic, std::uint32_t partition, const std::string& why) {
    const auto name = partition_name(topic, partition);
    ++all_.partitions;
    ++all_.unread;
    partitions_.add({name, "?", "?", "?", "?", "?", "?", "NOT AUDITED"});
    faults_ += "Not audited: " + name + ": " + printable(why, 2'000) + "\n";
    if (c_.json_wanted)
      print(json_line({{"topic", topic},
                       {"partition", partition},
                       {"audited", false},
                       {"faults", json::array({why})},
                       {"groups", json::array()},
                       {"balances", nullptr}}));
  }

  void take(const std::string& topic, const partition_books& p) {
    const auto name = partition_name(topic, p.partition);
    bool balances = p.balances && adds_up(p) && p.faults.empty();
    ++all_.partitions;
    all_.confirmed += p.confirmed;
    all_.entries += p.entries;
    json groups = json::array();
    for (const auto& g : p.groups) {
      const bool fits = g.balances && adds_up(g);
      balances = balances && fits;
      ++all_.groups;
      groups.push_back(group_json(g));
      groups_.add({name, g.group, grouped(g.arrived), grouped(g.acked), grouped(g.ready),
                   grouped(g.leased), grouped(g.delayed), grouped(g.dead), grouped(g.redriven),
                   grouped(g.purged), grouped(g.for_others), grouped(g.skipped),
                   grouped(g.dropped_unread), grouped(g.reopened), fits ? "yes" : "NO"});
    }
    all_.wrong += balances ? 0 : 1;
    partitions_.add({name, grouped(p.confirmed), grouped(p.live), grouped(p.dropped),
                     grouped(p.entries), grouped(p.at.index.value), grouped(p.faults.size()),
                     balances ? "yes" : "NO"});
    for (const auto& fault : p.faults)
      faults_ += "Fault in " + name + ": " + printable(fault, 2'000) + "\n";
    if (c_.json_wanted)
      print(json_line({{"topic", topic},
                       {"partition", p.partition},
                       {"audited", true},
                       {"confirmed", p.confirmed},
                       {"live", p.live},
                       {"dropped", p.dropped},
                       {"entries", p.entries},
                       {"at", position_json(p.at)},
                       {"faults", p.faults},
                       {"groups", std::move(groups)},
                       {"balances", balances}}));
  }

  status tell() {
    const bool proved = all_.wrong == 0 && all_.unread == 0;
    if (c_.json_wanted) {
      json balances = all_.wrong == 0;
      if (all_.wrong == 0 && all_.unread > 0)
        balances = nullptr;
      print(json_line({{"partitions", all_.partitions},
                       {"groups", all_.groups},
                       {"confirmed", all_.confirmed},
                       {"entries", all_.entries},
                       {"not_balanced", all_.wrong},
                       {"not_audited", all_.unread},
                       {"balances", std::move(balances)}}));
      return proved ? status::done : status::failed;
    }
    std::string text = partitions_.empty() ? "No topics.\n\n" : partitions_.text() + "\n";
    if (!groups_.empty())
      text += groups_.text() + "\n";
    text += faults_;
    if (all_.unread > 0)
      text += counted(all_.unread, "partition") + " NOT AUDITED, for the reasons above.\n";
    if (all_.wrong > 0)
      text += "THE BOOKS DO NOT BALANCE in " + counted(all_.wrong, "partition") + ": ";
    else if (all_.unread == 0)
      text += "The books balance: ";
    else if (all_.unread < all_.partitions)
      text += "The books of the others balance: ";
    else
      text += "No books were compared: ";
    text += counted(all_.partitions - all_.unread, "partition") + " and " +
            counted(all_.groups, "set") + " of group books, " + counted(all_.confirmed, "message") +
            " confirmed, " + grouped(all_.entries) + " entries read.\n";
    print(text);
    return proved ? status::done : status::failed;
  }

  context& c_;
  table partitions_{{{"PARTITION"},
                     {"CONFIRMED", align::right},
                     {"LIVE", align::right},
                     {"DROPPED", align::right},
                     {"ENTRIES", align::right},
                     {"AT", align::right},
                     {"FAULTS", align::right},
                     {"BALANCES"}}};
  table groups_{{{"PARTITION"},
                 {"GROUP"},
                 {"ARRIVED", align::right},
                 {"ACKED", align::right},
                 {"READY", align::right},
                 {"LEASED", align::right},
                 {"DELAYED", align::right},
                 {"DEAD", align::right},
                 {"REDRIVEN", align::right},
                 {"PURGED", align::right},
                 {"OTHERS", align::right},
                 {"LEFT OUT", align::right},
                 {"UNREAD", align::right},
                 {"AGAIN", align::right},
                 {"BALANCES"}}};
  std::string faults_;
  verdicts all_;
  bool node_gone_ = false;                 ///< and so nobody is asked any more
  std::atomic<std::uint64_t> audited_ = 0; // read by the progress thread
};

} // namespace

void add_audit_command(CLI::App& app, context& c) {
  auto* command = app.add_subcommand("audit", "Show the books, and prove that they balance");
  auto topic = std::make_shared<std::string>();
  command->add_option("TOPIC", *topic, "This one only; otherwise all")->check(name_of_something());
  command->footer(explanation);
  command->callback([topic, &c] { c.run = [topic, &c] { return audit_run{c}.run(*topic); }; });
}

} // namespace waybill::cli
