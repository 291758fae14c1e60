// What the fake depot remembers and decides; the rules of design section 6 and 7 in their plainest
// form.
#include "tests/support/fake_depot_state.hpp"

#include "storage/format.capnp.h"

#include <capnp/message.h>
#include <capnp/serialize.h>

#include <cstring>

namespace waybill::testing {

std::vector<std::string> bodies_of(const std::string& batch) {
  auto words = kj::heapArray<capnp::word>(batch.size() / sizeof(capnp::word));
  std::memcpy(words.begin(), batch.data(), words.size() * sizeof(capnp::word));
  capnp::FlatArrayMessageReader reader{words};
  KJ_REQUIRE(reader.getEnd() == words.end(), "bytes behind the batch");
  std::vector<std::string> bodies;
  for (const auto each : reader.getRoot<format::Batch>().getMessages())
    bodies.emplace_back(reinterpret_cast<const char*>(each.getBody().begin()),
                        each.getBody().size());
  return bodies;
}

std::string batch_of(const std::string& body) {
  capnp::MallocMessageBuilder builder;
  builder.initRoot<format::Batch>().initMessages(1)[0].setBody(
      kj::arrayPtr(reinterpret_cast<const kj::byte*>(body.data()), body.size()));
  const auto flat = capnp::messageToFlatArray(builder);
  return {reinterpret_cast<const char*>(flat.begin()), flat.asBytes().size()};
}

fake_depot::state::state(fake_options chosen) : options{std::move(chosen)} {
  for (const auto& [name, partitions] : options.topics)
    topics[name].partitions.resize(partitions);
}

reaction fake_depot::state::next(std::deque<reaction>& list) {
  const std::lock_guard lock{mutex};
  if (list.empty())
    return {};
  const auto first = list.front();
  list.pop_front();
  return first;
}

failure fake_depot::state::open(const std::string& topic, const std::string& name,
                                std::uint64_t instance, bool take_over, std::uint64_t& opened,
                                std::vector<std::uint64_t>& last) {
  const std::lock_guard lock{mutex};
  const auto found = topics.find(topic);
  if (found == topics.end())
    return {ec::unknown_topic, "no such topic"};
  for (auto& p : found->second.partitions) {
    const auto known = p.producers.find(name);
    if (take_over)
      continue;
    if (known == p.producers.end())
      return {ec::unknown_producer, "forgotten"};
    if (known->second.instance != instance)
      return {ec::fenced, "somebody else has opened it"};
  }
  opened = ++openings;
  for (auto& p : found->second.partitions) {
    auto& each = p.producers[name];
    if (take_over) {
      each.opened = opened;
      each.instance = instance;
    } else {
      opened = each.opened; // still the holder: the same opening
    }
    last.push_back(each.last);
  }
  return {ec::none, {}};
}

publish_verdict fake_depot::state::publish(const std::string& topic, const std::string& name,
                                           std::uint64_t opened, const publish_call& call,
                                           std::string bytes) {
  const std::lock_guard lock{mutex};
  const auto found = topics.find(topic);
  if (found == topics.end() || call.partition >= found->second.partitions.size())
    return {.why = {ec::unknown_topic, "no such partition"}};
  auto& p = found->second.partitions[call.partition];
  const auto known = p.producers.find(name);
  if (call.number == 0 || call.previous >= call.number)
    return {.why = {ec::bad_argument, "numbers grow"}};
  if (known == p.producers.end())
    return {.why = {ec::unknown_producer, "not open"}};
  auto& producer = known->second;
  if (producer.opened != opened)
    return {.why = {ec::fenced, "opened by somebody else"}};
  if (call.number <= producer.last) {
    const auto old = producer.batches.find(call.number);
    if (old == producer.batches.end())
      return {.why = {ec::too_old_to_know, "older than what is remembered"}};
    const auto& batch = p.batches[old->second];
    if (batch.bytes != bytes)
      return {.why = {ec::number_reused, "other bytes under the same number"}};
    return {.first_offset = batch.first_offset, .index = old->second + 1, .repeated = true};
  }
  if (call.previous != producer.last)
    return {.why = {ec::out_of_order, "the batch before it is missing"}};
  const auto first = p.bodies.size();
  put(p, std::move(bytes));
  producer.last = call.number;
  producer.batches[call.number] = p.batches.size() - 1;
  while (producer.batches.size() > options.remembered)
    producer.batches.erase(producer.batches.begin());
  changed();
  return {.first_offset = first, .index = p.batches.size()};
}

void fake_depot::state::put(kept_partition& p, std::string bytes) {
  const auto bodies = bodies_of(bytes);
  p.batches.push_back(
      {std::move(bytes), p.bodies.size(), static_cast<std::uint32_t>(bodies.size())});
  p.bodies.insert(p.bodies.end(), bodies.begin(), bodies.end());
  for (auto& [name, deliveries] : p.groups)
    deliveries.resize(p.bodies.size());
}

std::vector<due_delivery> fake_depot::state::lease(const std::string& topic,
                                                   const std::string& group,
                                                   std::uint64_t subscription,
                                                   std::uint32_t credit) {
  const std::lock_guard lock{mutex};
  std::vector<due_delivery> due;
  const auto found = topics.find(topic);
  if (found == topics.end())
    return due;
  std::size_t held = 0;
  for (auto& p : found->second.partitions)
    for (auto& d : p.groups[group])
      held += d.now == kept_delivery::state::leased && d.subscription == subscription;
  const std::size_t most = credit + options.excess_deliveries;
  for (std::uint32_t n = 0; n < found->second.partitions.size(); ++n) {
    auto& p = found->second.partitions[n];
    auto& deliveries = p.groups[group];
    deliveries.resize(p.bodies.size());
    for (std::size_t b = 0; b < p.batches.size(); ++b)
      for (std::uint32_t i = 0; i < p.batches[b].count && held < most; ++i) {
        auto& d = deliveries[p.batches[b].first_offset + i];
        if (d.now != kept_delivery::state::ready)
          continue;
        d.now = kept_delivery::state::leased;
        d.subscription = subscription;
        d.until = std::chrono::steady_clock::now() + options.lease;
        due.push_back({n, b, i, p.batches[b].first_offset + i, d.attempts + 1});
        ++held;
      }
  }
  held_most = std::max(held_most, held);
  return due;
}

kept_delivery* fake_depot::state::find(const std::string& topic, const std::string& group,
                                       std::uint32_t partition, std::uint64_t offset) {
  const auto found = topics.find(topic);
  if (found == topics.end() || partition >= found->second.partitions.size())
    return nullptr;
  auto& deliveries = found->second.partitions[partition].groups[group];
  return offset < deliveries.size() ? &deliveries[offset] : nullptr;
}

void fake_depot::state::fail(kept_delivery& d, const std::string& reason) {
  d.subscription = 0;
  d.reason = reason;
  d.now = ++d.attempts >= options.attempts_max ? kept_delivery::state::dead
                                               : kept_delivery::state::ready;
}

bool fake_depot::state::settle(const std::string& topic, const std::string& group,
                               std::uint32_t partition, std::uint64_t offset,
                               std::uint64_t subscription, settle_as how,
                               const std::string& reason) {
  const std::lock_guard lock{mutex};
  auto* d = find(topic, group, partition, offset);
  if (!d || d->now != kept_delivery::state::leased || d->subscription != subscription)
    return false;
  switch (how) {
  case settle_as::ack:
    d->now = kept_delivery::state::acked;
    break;
  case settle_as::nack:
    fail(*d, reason);
    break;
  case settle_as::extend:
    d->until = std::chrono::steady_clock::now() + options.lease;
    ++extended;
    break;
  case settle_as::give_back:
    d->now = kept_delivery::state::ready;
    ++given_back;
    break;
  }
  changed();
  return true;
}

void fake_depot::state::end_leases(const std::string& topic, const std::string& group,
                                   std::uint64_t subscription, bool is_counted) {
  const std::lock_guard lock{mutex};
  const auto found = topics.find(topic);
  if (found == topics.end())
    return;
  for (auto& p : found->second.partitions)
    for (auto& d : p.groups[group])
      if (d.now == kept_delivery::state::leased && d.subscription == subscription) {
        if (is_counted)
          fail(d, "disconnected");
        else
          d.now = kept_delivery::state::ready;
      }
  changed();
}

void fake_depot::state::orphan_leases(const std::string& topic, std::uint32_t partition) {
  const std::lock_guard lock{mutex};
  for (auto& [group, deliveries] : topics.at(topic).partitions.at(partition).groups)
    for (auto& d : deliveries)
      if (d.now == kept_delivery::state::leased)
        d.subscription = 0;
  changed();
}

bool fake_depot::state::expire_leases() {
  const std::lock_guard lock{mutex};
  const auto now = std::chrono::steady_clock::now();
  bool any = false;
  for (auto& [name, topic] : topics)
    for (auto& p : topic.partitions)
      for (auto& [group, deliveries] : p.groups)
        for (auto& d : deliveries)
          if (d.now == kept_delivery::state::leased && d.until <= now) {
            fail(d, "lease expired");
            any = true;
          }
  if (any)
    changed();
  return any;
}

} // namespace waybill::testing
