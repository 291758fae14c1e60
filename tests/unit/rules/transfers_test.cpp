// Transfers of dead letters: what an answer of the target means, and what they lock.
#include "actors/rules/transfers.hpp"
#include "delivery_bench.hpp"

#include <set>

namespace waybill::bench {

namespace {

const partition_id there{topic_id{9}, 1};

transfer_record begin_of(std::vector<std::uint64_t> letters, const std::string& group = "g") {
  transfer_record r;
  r.group = group;
  for (const auto each : letters)
    r.what.dead_letters.push_back(at(each));
  r.what.target = there;
  r.what.topic = "bills";
  return r;
}
transfer_record end_of(std::uint64_t begun, transfer_action how, const std::string& reason = {}) {
  transfer_record r;
  r.action = how;
  r.group = "g";
  r.begun = log_index{begun};
  r.reason = reason;
  return r;
}

/// A group `g` in which so many messages have become dead letters.
struct bury_all : depot {
  explicit bury_all(std::uint64_t many) {
    create("g");
    publish(many);
    for (std::uint64_t o = 0; o < many; ++o)
      rules.apply({{{"g", {}, {}, {}, {dead_at(o, now.wall)}}}}, {}, now);
  }
  std::vector<message_offset> redrive(std::vector<message_offset> letters) {
    return rules.apply(redrive_record{"g", std::move(letters), ""});
  }
};

} // namespace

TEST_CASE("a transfer locks its dead letters until it has ended", "[transfers]") {
  bury_all d{4};
  CHECK(d.rules.apply(begin_of({1, 2}), log_index{20}).empty());
  CHECK(d.rules.transfers_of("g")->contains(log_index{20}));
  CHECK(d.redrive({at(0), at(1), at(2)}) == std::vector{at(0)});
  CHECK(d.view().dead_held == 3); // they count as dead all the while
  CHECK(balances(d.view()));
  SECTION("done: they leave, redriven") {
    CHECK(d.rules.apply(end_of(20, transfer_action::done), log_index{21}) ==
          std::vector{at(1), at(2)});
    CHECK(d.view().counts.redriven == 2);
    CHECK(d.view().dead_held == 1);
    CHECK(d.rules.apply(end_of(20, transfer_action::done), log_index{22}).empty()); // once
    CHECK(d.view().counts.redriven == 2);
  }
  SECTION("abandoned: they are ordinary dead letters again") {
    CHECK(d.rules.apply(end_of(20, transfer_action::abandon), log_index{21}).empty());
    CHECK(d.redrive({at(1), at(2)}) == std::vector{at(1), at(2)});
  }
  SECTION("in doubt: they stay locked, with why, until a person gives them up") {
    CHECK(d.rules.apply(end_of(20, transfer_action::doubt, "forgotten"), log_index{21}).empty());
    CHECK(d.rules.transfers_of("g")->at(log_index{20}).doubt == "forgotten");
    CHECK(d.rules.fill_of("g")->in_doubt == 1);
    CHECK(d.redrive({at(1), at(2)}).empty());
    d.change_leader();
    CHECK(d.redrive({at(1), at(2)}).empty());
    CHECK(d.rules.fill_of("g")->in_doubt == 1);
    CHECK(d.rules.apply(end_of(20, transfer_action::abandon), log_index{22}).empty());
    CHECK(d.redrive({at(1), at(2)}) == std::vector{at(1), at(2)});
  }
  CHECK(balances(d.view()));
}

TEST_CASE("a transfer begins with all of its dead letters, or does not begin", "[transfers]") {
  bury_all d{4};
  d.rules.apply(begin_of({1}), log_index{20});
  d.rules.apply(begin_of({1, 2}), log_index{21}); // one is locked
  d.rules.apply(begin_of({3, 4}), log_index{22}); // one is none
  d.rules.apply(begin_of({}), log_index{23});
  d.rules.apply(begin_of({2}, "nobody"), log_index{24});
  CHECK(d.rules.transfers_of("g")->size() == 1);
  CHECK(d.redrive({at(2), at(3)}) == std::vector{at(2), at(3)});
  CHECK(d.rules.transfers_of("nobody") == nullptr);
}

TEST_CASE("a group that goes takes its transfers along, and a seek does not touch them",
          "[transfers]") {
  bury_all d{3};
  d.create("keeps-all");
  d.rules.apply(begin_of({1}), log_index{20});
  d.rules.apply(group_record{group_action::seek, "g", {}, at(0)}, d.now);
  CHECK(d.view().ready == 0); // held dead letters do not come again
  CHECK(d.rules.transfers_of("g")->size() == 1);
  d.remove("g");
  d.create("g");
  CHECK(d.rules.transfers_of("g")->empty());
  CHECK(d.rules.apply(end_of(20, transfer_action::done), log_index{21}).empty());
  CHECK(balances(d.view()));
}

TEST_CASE("each code of an answer has one meaning for a transfer", "[transfers]") {
  using step = transfer_step;
  const auto possible = arrival::possible, impossible = arrival::impossible;
  const auto is = [](const transfer_verdict& v, step next, arrival known) {
    return v.next == next && (next != step::repeat || v.known == known);
  };
  const std::set<ec> passing{ec::overloaded, ec::disk_full, ec::partition_offline, ec::damaged};
  const std::set<ec> unclear{ec::not_leader, ec::stopping, ec::storage_failed, ec::timed_out,
                             ec::unreachable};
  for (int number = 0; number <= static_cast<int>(ec::in_doubt); ++number) {
    const auto code = static_cast<ec>(number);
    CAPTURE(to_string(code));
    const auto first = judge_transfer(code, impossible), later = judge_transfer(code, possible);
    if (code == ec::none) {
      CHECK((is(first, step::done, impossible) && is(later, step::done, possible)));
    } else if (passing.contains(code)) { // nothing was appended
      CHECK((is(first, step::repeat, impossible) && is(later, step::repeat, possible)));
    } else if (unclear.contains(code)) {
      CHECK((is(first, step::repeat, possible) && is(later, step::repeat, possible)));
    } else if (code == ec::unknown_topic) { // whatever arrived is gone with it
      CHECK((is(first, step::abandon, impossible) && is(later, step::abandon, possible)));
    } else {
      CHECK((is(first, step::abandon, impossible) && is(later, step::doubt, possible)));
    }
  }
  CHECK(judge_lost_answer().known == possible);
}

TEST_CASE("a partition's transfers have a name of their own, that no client may have",
          "[transfers]") {
  const partition_id source{topic_id{0x1234}, 4'294'967'295};
  const auto name = transfer_producer(source);
  CHECK(name == "waybill.redrive.0000000000001234.4294967295");
  CHECK(is_valid_name(name));
  CHECK(is_transfer_producer(name));
  CHECK(transfer_producer({topic_id{0x1234}, 1}) != transfer_producer({topic_id{0x1234}, 2}));
  CHECK_FALSE(is_transfer_producer("waybill"));
  CHECK(transfer_partition("order-17", 5, 4) == partition_of_key("order-17", 4));
  CHECK(transfer_partition("", 5, 4) == 1);
}

TEST_CASE("one that is in doubt does not keep others from its target", "[transfers]") {
  std::map<log_index, transfer_state> some;
  CHECK_FALSE(is_on_its_way(some, there));
  some[log_index{1}].target = there;
  CHECK(is_on_its_way(some, there));
  CHECK_FALSE(is_on_its_way(some, {there.topic, 0}));
  some[log_index{1}].doubt = "forgotten";
  CHECK_FALSE(is_on_its_way(some, there));
}

} // namespace waybill::bench
