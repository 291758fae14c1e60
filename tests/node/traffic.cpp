#include "tests/node/traffic.hpp"

#include "tests/node/hosted_node.hpp"

#include <charconv>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>

namespace waybill::test {

namespace {

constexpr std::size_t told_most = 20;
constexpr std::uint64_t waits_for_ack = 4; ///< every so many messages
constexpr milliseconds call_timeout{20'000};

std::string body_of(std::size_t producer, std::uint64_t number) {
  return std::to_string(producer) + ":" + std::to_string(number);
}

std::pair<std::size_t, std::uint64_t> own_number_of(const std::string& body) {
  const auto colon = body.find(':');
  return {std::stoull(body.substr(0, colon)), std::stoull(body.substr(colon + 1))};
}

/// Lets so many messages be under way at once.
class window {
public:
  window(std::uint32_t most, const std::atomic<bool>& abandoned)
      : most_{most}, abandoned_{abandoned} {}
  void enter() {
    std::unique_lock lock{guard_};
    await(lock, [this] { return out_ < most_; });
    ++out_;
  }
  void leave() {
    const std::lock_guard lock{guard_};
    --out_;
    changed_.notify_all();
  }
  void await_empty() {
    std::unique_lock lock{guard_};
    await(lock, [this] { return out_ == 0; });
  }

private:
  void await(std::unique_lock<std::mutex>& lock, const std::function<bool()>& what) {
    while (!what() && !abandoned_)
      changed_.wait_for(lock, milliseconds{50});
  }

  std::mutex guard_;
  std::condition_variable changed_;
  std::uint32_t most_;
  const std::atomic<bool>& abandoned_;
  std::uint32_t out_ = 0;
};

} // namespace

traffic::traffic(traffic_options options) : options_{std::move(options)} {
  auto admin = make_client("admin");
  admin.create_topic(options_.topic, options_.partitions);
  admin.set_group(options_.topic, options_.group, {});
}

traffic::~traffic() {
  abandoned_ = true; // a test that has failed waits for nobody
  stop_producers();
  stop_consumers();
}

client traffic::make_client(const std::string& name) {
  client_options options;
  options.name = name;
  options.call_timeout = call_timeout;
  options.log = [this, name](const std::string& line) {
    static const bool aloud = std::getenv("WAYBILL_TEST_ALOUD") != nullptr;
    if (aloud)
      std::fprintf(stderr, "%s: %s\n", name.c_str(), line.c_str());
    const std::lock_guard lock{guard_};
    said_.push_back(name + ": " + line);
  };
  return client{options_.server, options};
}

void traffic::start() {
  for (std::size_t who = 0; who < options_.producers; ++who)
    producers_.emplace_back([this, who] { produce(who); });
  for (std::size_t who = 0; who < options_.consumers; ++who)
    consumers_.emplace_back([this, who] { consume(who); });
}

void traffic::trouble(std::string words) {
  const std::lock_guard lock{guard_};
  if (troubles_.size() < told_most)
    troubles_.push_back(std::move(words));
}

void traffic::await_room() const {
  const auto is_full = [this] {
    const std::lock_guard lock{guard_};
    return receipts_.size() > consumed_.size() + options_.backlog_max;
  };
  while (producing_ && is_full())
    std::this_thread::sleep_for(milliseconds{1});
}

void traffic::produce(std::size_t who) try {
  const auto name = "producer-" + std::to_string(who);
  auto depot = make_client(name);
  producer_options options;
  options.name = name;
  options.linger = milliseconds{1};
  options.batch_messages_max = 20;
  options.retry = {.retries = 10'000,
                   .interval = milliseconds{50},
                   .attempt_timeout = milliseconds{10'000},
                   .delivery_timeout = options_.delivery_timeout};
  window out{options_.window, abandoned_}; // outlives the producer, whose callbacks leave it
  auto sender = depot.producer(options_.topic, options);
  for (std::uint64_t number = 1; producing_; ++number) {
    await_room();
    out.enter();
    sender.send_async({.body = body_of(who, number)}, [this, who, number, &out](
                                                          const result<receipt>& got, const auto&) {
      if (got) {
        const std::lock_guard lock{guard_};
        receipts_.emplace(own_number{who, number}, *got);
      } else {
        trouble("message " + body_of(who, number) + " was given up: " + got.error().detail);
      }
      out.leave();
    });
    std::this_thread::sleep_for(options_.pause);
  }
  out.await_empty();
} catch (const std::exception& e) {
  trouble("producer " + std::to_string(who) + " ended: " + e.what());
}

void traffic::taken(const message& m) {
  const auto who = own_number_of(m.body());
  const std::lock_guard lock{guard_};
  auto& entry = deliveries_[m.id()];
  ++entry.deliveries;
  highest_attempt_ = std::max(highest_attempt_, m.attempt());
  if (entry.deliveries == 1)
    entry.who = who;
  else if (entry.who != who && troubles_.size() < told_most)
    troubles_.push_back(m.id() + " came once as " + body_of(entry.who.first, entry.who.second) +
                        " and once as " + m.body());
  if (entry.acked && troubles_.size() < told_most)
    troubles_.push_back(m.id() + " was delivered although its ack had been answered");
}

void traffic::acked(const message& m) {
  const std::lock_guard lock{guard_};
  deliveries_[m.id()].acked = true;
}

void traffic::consume(std::size_t who) try {
  const auto name = "consumer-" + std::to_string(who);
  auto depot = make_client(name);
  consume_options options;
  options.name = name;
  options.credit_messages = options_.credit;
  auto from = depot.subscribe(options_.topic, options_.group, options);
  for (std::uint64_t count = 0; consuming_; ++count) {
    const auto m = from.next(milliseconds{50});
    if (!m)
      continue;
    taken(*m);
    {
      const std::lock_guard lock{guard_};
      consumed_.insert(own_number_of(m->body())); // the work, which comes before the ack
    }
    if (count % waits_for_ack != 0 || abandoned_) {
      from.ack(*m);
      continue;
    }
    try {
      from.ack_and_wait(*m);
      acked(*m);
    } catch (const client_error&) {
      // Without an answer, or too late: it may come again.
    }
  }
  if (!abandoned_)
    from.close();
} catch (const std::exception& e) {
  trouble("consumer " + std::to_string(who) + " ended: " + e.what());
}

void traffic::stop_producers() {
  producing_ = false;
  for (auto& each : producers_)
    each.join();
  producers_.clear();
}

void traffic::stop_consumers() {
  consuming_ = false;
  for (auto& each : consumers_)
    each.join();
  consumers_.clear();
}

bool traffic::await_settled(milliseconds patience) {
  const auto all_consumed = [this] {
    const std::lock_guard lock{guard_};
    return std::ranges::all_of(receipts_,
                               [this](const auto& each) { return consumed_.contains(each.first); });
  };
  auto admin = make_client("admin");
  const auto nothing_left = [this, &admin] {
    std::uint64_t left = 0;
    for (const auto& group : admin.list_groups(options_.topic))
      for (const auto& each : group.partitions)
        left += each.ready + each.leased + each.delayed;
    return left == 0;
  };
  const auto until = std::chrono::steady_clock::now() + patience;
  return comes_true(patience, all_consumed) &&
         comes_true(
             std::chrono::duration_cast<milliseconds>(until - std::chrono::steady_clock::now()),
             nothing_left);
}

std::uint64_t traffic::confirmed() const {
  const std::lock_guard lock{guard_};
  return receipts_.size();
}

std::uint64_t traffic::consumed() const {
  const std::lock_guard lock{guard_};
  return consumed_.size();
}

std::vector<std::string> traffic::said() const {
  const std::lock_guard lock{guard_};
  return said_;
}

std::uint64_t traffic::delivered_again() const {
  const std::lock_guard lock{guard_};
  return static_cast<std::uint64_t>(
      std::ranges::count_if(deliveries_, [](const auto& d) { return d.second.deliveries > 1; }));
}

std::uint64_t traffic::missing() const {
  const std::lock_guard lock{guard_};
  return static_cast<std::uint64_t>(std::ranges::count_if(receipts_, [this](const auto& each) {
    const auto& r = each.second;
    return !deliveries_.contains(message_id(r.topic, r.partition, r.offset));
  }));
}

std::uint64_t traffic::published_twice() const {
  const std::lock_guard lock{guard_};
  std::map<own_number, std::uint64_t> ids;
  for (const auto& [id, d] : deliveries_)
    ++ids[d.who];
  return static_cast<std::uint64_t>(
      std::ranges::count_if(ids, [](const auto& each) { return each.second > 1; }));
}

std::vector<std::string> traffic::violations() const {
  const std::lock_guard lock{guard_};
  auto found = troubles_;
  const auto tell = [&found](std::string words) {
    if (found.size() < told_most)
      found.push_back(std::move(words));
  };
  for (const auto& [who, r] : receipts_) {
    const auto id = message_id(r.topic, r.partition, r.offset);
    const auto delivered = deliveries_.find(id);
    if (delivered == deliveries_.end())
      tell(body_of(who.first, who.second) + " was confirmed as " + id + " and never delivered");
    else if (delivered->second.who != who)
      tell(body_of(who.first, who.second) + " was confirmed as " + id + ", which is " +
           body_of(delivered->second.who.first, delivered->second.who.second));
  }
  std::map<own_number, std::string> ids;
  for (const auto& [id, d] : deliveries_)
    if (const auto [first, is_new] = ids.emplace(d.who, id); !is_new)
      tell(body_of(d.who.first, d.who.second) + " was published twice: " + first->second + " and " +
           id);
  return found;
}

std::vector<std::string> traffic::violations_of_books() const {
  std::vector<std::string> found;
  client_options quiet;
  quiet.log = [](const std::string&) {};
  quiet.call_timeout = call_timeout;
  client admin{options_.server, quiet};
  std::uint64_t confirmed_there = 0;
  for (std::uint32_t number = 0; number < options_.partitions; ++number) {
    const auto books = admin.audit(options_.topic, number);
    const auto where = partition_name(options_.topic, number) + ": ";
    confirmed_there += books.confirmed;
    for (const auto& fault : books.faults)
      found.push_back(where + fault);
    if (!books.balances)
      found.push_back(where + "the books do not balance");
    for (const auto& group : books.groups) {
      if (!group.balances)
        found.push_back(where + "the books of group " + group.group + " do not balance");
      if (group.acked != books.confirmed)
        found.push_back(where + "of " + std::to_string(books.confirmed) + " messages " +
                        std::to_string(group.acked) + " were acknowledged");
    }
  }
  const std::lock_guard lock{guard_};
  // Every message has its answer by now, and none was given up.
  if (confirmed_there != receipts_.size())
    found.push_back("the node confirmed " + std::to_string(confirmed_there) +
                    " messages, producers have receipts for " + std::to_string(receipts_.size()));
  return found;
}

} // namespace waybill::test
