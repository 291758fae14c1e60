// Random histories of transfers, over the real rules of both ends: a source whose leaders change
// and forget what they did, requests that arrive late and more than once, answers that are lost,
// and a target that remembers very few producers. Whatever happens, no dead letter's message is in
// the target twice, none has left the source without being there, and a doubt is said only where
// there is one. `--rng-seed N` begins with that seed.
#include "actors/rules/transfers.hpp"
#include "delivery_bench.hpp"
#include "producers_scene.hpp"

#include <deque>
#include <map>
#include <random>
#include <set>

namespace waybill::bench {

namespace {

using test::scene;

struct sightings {
  std::uint64_t done = 0, abandoned = 0, doubted = 0, repeated = 0, leaders = 0, forgotten = 0,
                doubted_there = 0;
};

constexpr std::uint64_t letters_in_all = 24;
const partition_id source_partition{topic_id{1}, 0}, target_partition{topic_id{2}, 0};
const std::string sender = transfer_producer(source_partition);

class transfers_history {
public:
  transfers_history(std::uint64_t seed, sightings& seen)
      : seen_{seen}, random_{seed}, target_{limits()} {
    source_.create("g");
    source_.publish(letters_in_all);
    for (std::uint64_t o = 0; o < letters_in_all; ++o)
      source_.rules.apply({{{"g", {}, {}, {}, {dead_at(o, source_.now.wall)}}}}, {}, source_.now);
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      check();
    }
    for (int i = 0; i < 200 && (!couriers_.empty() || !log_.empty()); ++i) {
      commit_source();
      for (auto& [begun, each] : couriers_)
        send(begun);
      arrive_all();
      commit_target();
      answer_all();
    }
    check_end();
  }

private:
  struct courier {
    arrival known = arrival::possible;
    bool waits = false;
    std::uint64_t question = 0; ///< of its last send
  };
  /// Whose, and which of its sends.
  using origin = std::pair<log_index, std::uint64_t>;
  struct sent_batch {
    origin from;
    transfer_state what;
  };
  struct answer {
    origin to;
    ec code = ec::none;
  };

  static producer_limits limits() {
    producer_limits few;
    few.producers_max = 1;
    return few;
  }
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  bool chance(std::uint64_t one_in) { return below(one_in) == 0; }
  [[nodiscard]] const std::map<log_index, transfer_state>& transfers() const {
    return *source_.rules.transfers_of("g");
  }

  void step() {
    switch (below(12)) {
    case 0:
      return begin();
    case 1:
    case 2:
      return commit_source();
    case 3:
    case 4:
      if (!couriers_.empty())
        send(std::next(couriers_.begin(), static_cast<std::ptrdiff_t>(below(couriers_.size())))
                 ->first);
      return;
    case 5:
    case 6:
      return arrive_one();
    case 7:
    case 8:
      return commit_target();
    case 9:
      return answer_one();
    case 10:
      if (chance(4))
        change_source_leader();
      else if (chance(4))
        change_target_leader();
      return;
    default: // somebody else's: the target has room for one
      if (chance(4)) {
        open_at_target("stranger-" + std::to_string(below(3)));
        ++seen_.forgotten;
      }
    }
  }

  producer_epoch open_at_target(const std::string& producer) {
    const auto opened = target_.open(producer, 1 + below(1'000'000));
    answer_committed();
    return opened;
  }

  /// What the leader does: one at a time to the target.
  void begin() {
    if (is_on_its_way(transfers(), target_partition) || !log_.empty())
      return;
    std::set<message_offset> locked;
    for (const auto& [begun, each] : transfers())
      locked.insert(each.dead_letters.begin(), each.dead_letters.end());
    transfer_record r;
    r.group = "g";
    for (std::uint64_t o = 0; o < letters_in_all; ++o)
      if (!left_.contains(at(o)) && !locked.contains(at(o)) && chance(6))
        r.what.dead_letters.push_back(at(o));
    if (r.what.dead_letters.empty())
      return;
    const auto opened = open_at_target(sender);
    r.what.target = target_partition;
    r.what.topic = "bills";
    r.what.opened = opened;
    r.what.previous = target_.rules.last(sender).number;
    r.what.number = batch_number{r.what.previous.value + 1};
    r.what.hash = {++batches_, 7};
    contents_[batches_] = r.what.dead_letters;
    log_.push_back(r);
  }

  void commit_source() {
    while (!log_.empty()) {
      const auto r = log_.front();
      log_.pop_front();
      const log_index index{++committed_};
      const auto was = transfers();
      const auto removed = source_.rules.apply(r, index);
      left_.insert(removed.begin(), removed.end());
      if (r.action == transfer_action::begin) {
        couriers_[index] = {arrival::impossible, false, 0};
        continue;
      }
      couriers_.erase(r.begun);
      if (!was.contains(r.begun))
        continue;
      ends_[was.at(r.begun).hash.high] = r.action;
      seen_.done += r.action == transfer_action::done;
      seen_.abandoned += r.action == transfer_action::abandon;
      seen_.doubted += r.action == transfer_action::doubt;
    }
  }

  void send(log_index begun) {
    auto& c = couriers_.at(begun);
    if (c.waits)
      return;
    c.waits = true;
    c.question = ++questions_;
    on_the_way_.push_back({{begun, c.question}, transfers().at(begun)});
  }

  void arrive_all() {
    while (!on_the_way_.empty())
      arrive_one();
  }
  /// Any of those on the way; now and then it stays, and arrives once more.
  void arrive_one() {
    if (on_the_way_.empty())
      return;
    const auto which = static_cast<std::ptrdiff_t>(below(on_the_way_.size()));
    const auto batch = on_the_way_[static_cast<std::size_t>(which)];
    if (!chance(5))
      on_the_way_.erase(on_the_way_.begin() + which);
    const auto verdict = target_.publish(sender, batch.what.opened, batch.what.number.value,
                                         batch.what.previous.value, batch.what.hash.high);
    if (std::holds_alternative<already_committed>(verdict)) {
      ++seen_.repeated;
      answers_.push_back({batch.from, ec::none});
    } else if (const auto code = test::code_of(verdict); code != ec::none) {
      answers_.push_back({batch.from, code});
    } else {
      asked_[batch.what.hash.high].insert(batch.from);
    }
  }

  void commit_target() {
    target_.commit_all();
    answer_committed();
  }
  void answer_committed() {
    for (; answered_ < target_.committed.size(); ++answered_) {
      const auto& e = target_.committed[answered_];
      if (e.opening || e.producer != sender)
        continue;
      ++there_[e.claim.hash.high];
      for (const auto& from : asked_[e.claim.hash.high])
        answers_.push_back({from, ec::none});
      asked_.erase(e.claim.hash.high);
    }
  }

  void answer_all() {
    while (!answers_.empty())
      answer_one();
  }
  /// It reaches its courier, or is lost; or its courier is of a leader that is no more.
  void answer_one() {
    if (answers_.empty())
      return;
    const auto [to, code] = answers_.front();
    const auto begun = to.first;
    answers_.pop_front();
    const auto found = couriers_.find(begun);
    if (found == couriers_.end() || !found->second.waits || found->second.question != to.second)
      return;
    found->second.waits = false;
    const auto verdict =
        chance(4) ? judge_lost_answer() : judge_transfer(code, found->second.known);
    found->second.known = verdict.known;
    if (verdict.next == transfer_step::repeat)
      return;
    transfer_record r;
    r.action = verdict.next == transfer_step::done      ? transfer_action::done
               : verdict.next == transfer_step::abandon ? transfer_action::abandon
                                                        : transfer_action::doubt;
    r.group = "g";
    r.begun = begun;
    r.reason = std::string{to_string(code)};
    found->second.waits = true; // until that is committed
    found->second.question = 0;
    log_.push_back(r);
  }

  /// What it had not committed is lost, or not; the next one knows what the log says.
  void change_source_leader() {
    ++seen_.leaders;
    if (chance(2))
      log_.clear();
    commit_source();
    source_.change_leader();
    couriers_.clear();
    for (const auto& [begun, each] : transfers())
      if (!each.doubt)
        couriers_[begun] = {arrival::possible, false, 0};
    if (chance(8)) // an opening that the old one had asked for comes late
      open_at_target(sender);
  }

  void change_target_leader() {
    ++seen_.leaders;
    if (chance(2))
      target_.commit_all();
    answer_committed();
    const auto at_end = target_.committed_index();
    target_.log.clear();
    auto committed = std::move(target_.committed);
    const auto next_offset = target_.next_offset;
    scene next{limits(), test::snapshot_of(target_.rules, at_end), at_end.value + 1};
    next.committed = std::move(committed);
    next.next_offset = next_offset;
    target_ = std::move(next);
    asked_.clear();
    answers_.clear();
    for (auto& [begun, each] : couriers_)
      if (each.waits && !is_ending(begun)) {
        each.known = judge_lost_answer().known;
        each.waits = false;
      }
  }
  [[nodiscard]] bool is_ending(log_index begun) const {
    return std::ranges::any_of(log_, [begun](const auto& r) { return r.begun == begun; });
  }

  void check() {
    std::map<message_offset, int> times;
    for (const auto& [batch, count] : there_) {
      REQUIRE(count == 1);
      for (const auto letter : contents_.at(batch))
        ++times[letter];
    }
    for (const auto& [letter, count] : times)
      REQUIRE(count == 1);
    for (const auto letter : left_) // has left the source, and arrived
      REQUIRE(times.contains(letter));
    for (const auto& [batch, how] : ends_)
      if (how != transfer_action::doubt)
        REQUIRE(there_.contains(batch) == (how == transfer_action::done));
  }

  void check_end() {
    check();
    REQUIRE(couriers_.empty());
    for (const auto& [begun, each] : transfers()) {
      REQUIRE(each.doubt);
      seen_.doubted_there += there_.contains(each.hash.high);
    }
    const auto view = source_.view();
    REQUIRE(view.counts.redriven == left_.size());
    REQUIRE(view.dead_held == letters_in_all - left_.size());
    REQUIRE(balances(view));
  }

  sightings& seen_;
  std::mt19937_64 random_;
  depot source_;
  std::deque<transfer_record> log_; ///< appended and not committed
  std::uint64_t committed_ = 0;
  std::map<log_index, courier> couriers_;
  std::deque<sent_batch> on_the_way_;
  std::deque<answer> answers_;
  scene target_;
  std::size_t answered_ = 0; ///< of the target's committed entries
  std::map<std::uint64_t, std::set<origin>> asked_;
  std::uint64_t questions_ = 0;
  std::uint64_t batches_ = 0;
  std::map<std::uint64_t, std::vector<message_offset>> contents_; ///< by batch
  std::map<std::uint64_t, int> there_;
  std::map<std::uint64_t, transfer_action> ends_;
  std::set<message_offset> left_;
};

} // namespace

TEST_CASE(
    "in any history of transfers no dead letter is lost or doubled, and no doubt is guessed away",
    "[transfers][model]") {
  const std::uint64_t seed = Catch::rngSeed() != 0 ? Catch::rngSeed() : std::random_device{}();
  sightings seen;
  for (std::uint64_t i = 0; i < 3'000; ++i) {
    INFO("seed " << seed + i);
    transfers_history{seed + i, seen}.run(250);
  }
  CAPTURE(seed);
  CHECK(seen.done > 3'000);
  CHECK(seen.abandoned > 100);
  CHECK(seen.doubted > 100);
  CHECK(seen.doubted_there > 50);
  CHECK(seen.repeated > 1'000);
  CHECK(seen.leaders > 3'000);
  CHECK(seen.forgotten > 3'000);
}

} // namespace waybill::bench
