// Random histories of producers against a plain model, and replicas against each other.
#include "tests/unit/rules/producers_scene.hpp"

#include <map>
#include <random>

namespace waybill::test {
namespace {

/// A client process that believes in its opening and its numbers, right or wrong.
struct client {
  std::string producer;
  std::uint64_t instance = 0;
  producer_epoch opened;
  std::uint64_t last = 0;
};

/// What was ever taken under one series of a producer, by number; the bytes and the entry.
struct taken {
  std::uint64_t bytes = 0;
  log_index entry;
};

/// How often each verdict came, over all histories.
using tally = std::map<std::string, std::uint64_t>;

std::string name_of(const batch_verdict& v) {
  if (const auto* why = std::get_if<failure>(&v))
    return std::string{to_string(why->code)};
  return std::holds_alternative<take_it>(v)             ? "taken"
         : std::holds_alternative<already_committed>(v) ? "already committed"
                                                        : "already appended";
}

class history {
public:
  history(std::uint64_t seed, tally& verdicts)
      : random_{seed}, verdicts_{verdicts}, limits_{.producers_max = 1 + seed % 4,
                                                    .remembered_batches = 1 + seed % 5,
                                                    .age_max = milliseconds{200 + seed % 2'000}},
        scene_{limits_}, follower_{limits_, {}}, restored_{limits_, {}} {}

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      scene_.now += milliseconds{draw(60)};
      switch (draw(8)) {
      case 0:
        open();
        break;
      case 1:
      case 2:
        commit();
        break;
      case 3:
        if (draw(10) == 0)
          restart();
        break;
      default:
        publish();
      }
    }
  }

private:
  std::uint64_t draw(std::uint64_t below) { return random_() % below; }

  void open() {
    client c{"p" + std::to_string(draw(5)), 1 + draw(3), {}, 0};
    const auto verdict = scene_.try_open(c.producer, c.instance, draw(3) > 0);
    if (const auto* holder = std::get_if<still_holder>(&verdict))
      c.opened = holder->opened;
    else if (const auto* opening = std::get_if<append_opening>(&verdict)) {
      REQUIRE(opening->record.opened > newest_opening_); // in the whole partition, for ever
      newest_opening_ = opening->record.opened;
      REQUIRE(newest_opening_.value <= scene_.log.back().at.index.value);
      c.opened = newest_opening_;
      scene_.commit_all_into([this](const logged& e) { committed(e); });
    } else {
      return;
    }
    c.last = scene_.rules.last_number(c.producer).value;
    if (c.last == 0)
      series_[c.producer].clear();
    holders_[c.producer] = c.opened;
    clients_.push_back(c);
  }

  void publish() {
    if (clients_.empty())
      return;
    auto& c = clients_[draw(clients_.size())];
    auto& series = series_[c.producer];
    std::uint64_t number = c.last + 1 + draw(2), previous = c.last, bytes = draw(1'000'000);
    if (draw(3) == 0 && !series.empty()) { // a repeat, at times with other bytes
      const auto old = std::next(series.begin(), static_cast<long>(draw(series.size())));
      number = old->first;
      previous = number - 1;
      bytes = old->second.bytes + (draw(4) == 0);
    } else if (draw(6) == 0) {
      previous = draw(number);
    }
    const auto last = scene_.rules.last_number(c.producer).value;
    const auto verdict = scene_.publish(c.producer, c.opened, number, previous, bytes);
    ++verdicts_[name_of(verdict)];
    const auto before = series.find(number);
    if (c.opened < holders_[c.producer]) { // never as new, never as a repeat
      REQUIRE((code_of(verdict) == ec::fenced || code_of(verdict) == ec::unknown_producer));
    } else if (std::holds_alternative<take_it>(verdict)) {
      REQUIRE(before == series.end());
      REQUIRE(previous == last);
      REQUIRE((series.empty() || series.rbegin()->first == last));
      series[number] = {bytes, scene_.log.back().at.index};
      c.last = number;
    } else if (const auto* done = std::get_if<already_committed>(&verdict)) {
      REQUIRE(before != series.end());
      REQUIRE(before->second.bytes == bytes);
      REQUIRE(done->as.entry.index == before->second.entry);
      REQUIRE(before->second.entry <= scene_.committed_index());
    } else if (const auto* there = std::get_if<already_appended>(&verdict)) {
      REQUIRE(before != series.end());
      REQUIRE(before->second.bytes == bytes);
      REQUIRE(there->entry == before->second.entry);
      REQUIRE(there->entry > scene_.committed_index());
    } else if (code_of(verdict) == ec::number_reused) {
      REQUIRE((before != series.end() && before->second.bytes != bytes));
    } else if (code_of(verdict) == ec::out_of_order) {
      REQUIRE((number > last && previous != last));
    } else if (code_of(verdict) == ec::too_old_to_know) {
      REQUIRE(number <= last);
    } else {
      REQUIRE(code_of(verdict) == ec::unknown_producer);
    }
  }

  void commit() {
    if (!scene_.log.empty())
      committed(scene_.commit_one());
  }
  /// Followers apply the same entries; one of them is now and then restored from a snapshot.
  void committed(const logged& e) {
    apply_to(follower_, e);
    apply_to(restored_, e);
    const auto leader = snapshot_of(scene_.rules, e.at.index);
    REQUIRE(snapshot_of(follower_, e.at.index) == leader);
    REQUIRE(snapshot_of(restored_, e.at.index) == leader);
    REQUIRE(leader.producers.size() <= limits_.producers_max);
    for (const auto& each : leader.producers)
      REQUIRE(each.batches.size() <= limits_.remembered_batches);
    if (draw(5) == 0)
      restored_ = producers{limits_, leader};
  }
  /// All of the log is committed first, as a new leader does before it judges anything.
  void restart() {
    while (!scene_.log.empty())
      commit();
    const auto index = scene_.committed_index();
    const auto now = scene_.now;
    scene fresh{limits_, snapshot_of(scene_.rules, index), index.value + 1};
    scene_ = std::move(fresh);
    scene_.now = now;
  }

  std::mt19937_64 random_;
  tally& verdicts_;
  producer_limits limits_;
  scene scene_;
  producers follower_, restored_;
  std::vector<client> clients_;
  std::map<std::string, std::map<std::uint64_t, taken>> series_;
  std::map<std::string, producer_epoch> holders_;
  producer_epoch newest_opening_;
};

TEST_CASE("in any history a batch is taken once, and all replicas remember the same",
          "[producers]") {
  const auto base = std::random_device{}();
  tally verdicts;
  for (std::uint64_t i = 0; i < 400; ++i) {
    const std::uint64_t seed = base + i;
    INFO("seed " << seed);
    history{seed, verdicts}.run(300);
  }
  for (const auto* each :
       {"taken", "already committed", "already appended", "fenced", "unknown_producer",
        "number_reused", "out_of_order", "too_old_to_know"}) {
    INFO(each << " came " << verdicts[each] << " times");
    CHECK(verdicts[each] > 100); // else the histories above showed little
  }
}

} // namespace
} // namespace waybill::test
