// A group's dead letters: listed, sent back, sent elsewhere, purged; each a call of the contract.
#include "net/client/admin_call.hpp"
#include "net/client/batch.hpp"
#include "net/client/client_impl.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace waybill {

using client_parts::admin_answer;
using client_parts::asked;
using client_parts::call;
using client_parts::refusal;
using client_parts::strange;
using client_parts::to_text;
using client_parts::to_time;

namespace {

constexpr std::uint32_t page_letters = 1'000; ///< the contract's bound
constexpr std::size_t offsets_of_a_call = 1'000;

result<dead_letter_info> to_dead_letter(wire::DeadLetterInfo::Reader from) {
  dead_letter_info d;
  d.partition = from.getPartition();
  d.offset = message_offset{from.getOffset()};
  d.attempts = from.getAttempts();
  d.why = to_text(from.getWhy());
  d.reason = to_text(from.getReason());
  d.consumer = to_text(from.getConsumer());
  d.first_delivered = to_time(from.getFirstDelivered());
  d.published = to_time(from.getPublished());
  d.died = to_time(from.getDied());
  d.bytes = from.getBytes();
  d.transfer = to_text(from.getTransfer());
  d.transfer_to = to_text(from.getTransferTo());
  d.transfer_why = to_text(from.getTransferWhy());
  const auto bytes = from.getMessage();
  if (bytes.size() == 0)
    return d;
  auto content = client_parts::read_single(bytes);
  if (!content)
    return content.error();
  d.key = std::move(content->key);
  d.headers = std::move(content->content_headers);
  d.body = std::move(content->body);
  return d;
}

struct letters_page {
  std::vector<dead_letter_info> letters;
  std::uint64_t next = 0;
  bool more = false;
};

admin_answer<letters_page> read_letters(wire::DeadLettersOutcome::Reader outcome) {
  if (outcome.which() == wire::DeadLettersOutcome::ERROR)
    return refusal<letters_page>(outcome.getError());
  if (outcome.which() != wire::DeadLettersOutcome::OK)
    return strange<letters_page>();
  letters_page page;
  page.next = outcome.getOk().getNext();
  page.more = outcome.getOk().getMore();
  for (const auto each : outcome.getOk().getLetters()) {
    auto letter = to_dead_letter(each);
    if (!letter)
      return {letter.error(), false};
    page.letters.push_back(*std::move(letter));
  }
  return {std::move(page), false};
}

/// What one call of those that move dead letters says.
struct moved_letters {
  std::vector<std::uint64_t> removed, offsets;
  std::vector<std::uint32_t> partitions;
  std::vector<letter_left> left;
};

admin_answer<moved_letters> read_moved(wire::RedriveOutcome::Reader outcome) {
  if (outcome.which() == wire::RedriveOutcome::ERROR)
    return refusal<moved_letters>(outcome.getError());
  if (outcome.which() != wire::RedriveOutcome::OK)
    return strange<moved_letters>();
  const auto ok = outcome.getOk();
  moved_letters m;
  for (const auto each : ok.getRemoved())
    m.removed.push_back(each);
  for (const auto each : ok.getOffsets())
    m.offsets.push_back(each);
  for (const auto each : ok.getPartitions())
    m.partitions.push_back(each);
  for (const auto each : ok.getLeft())
    m.left.push_back(
        {message_offset{each.getOffset()}, client_parts::to_failure(each.getError()).why});
  return {std::move(m), false};
}

/// Where dead letters are.
struct letters_of {
  const std::string& topic;
  const std::string& group;
  std::uint32_t partition;
};

/// `make` makes the request of a session; the letters are entered here. In calls of at most
/// `offsets_of_a_call`.
template <class MakeRequest>
moved_letters move_letters(const std::shared_ptr<client_parts::core>& core, const char* what,
                           const letters_of& from, std::span<const message_offset> offsets,
                           MakeRequest make) {
  moved_letters all;
  while (!offsets.empty()) {
    const auto count = std::min(offsets.size(), offsets_of_a_call);
    const std::vector<message_offset> now(offsets.begin(),
                                          offsets.begin() + static_cast<std::ptrdiff_t>(count));
    offsets = offsets.subspan(count);
    auto moved = call<moved_letters>(core, what, [&](wire::Session::Client session, bool) {
      auto request = make(session);
      request.setTopic(from.topic);
      request.setGroup(from.group);
      request.setPartition(from.partition);
      auto list = request.initOffsets(static_cast<unsigned>(now.size()));
      for (unsigned i = 0; i < list.size(); ++i)
        list.set(i, now[i].value);
      return asked<moved_letters>(std::move(request), read_moved);
    });
    std::ranges::move(moved.removed, std::back_inserter(all.removed));
    std::ranges::move(moved.offsets, std::back_inserter(all.offsets));
    std::ranges::move(moved.partitions, std::back_inserter(all.partitions));
    std::ranges::move(moved.left, std::back_inserter(all.left));
  }
  return all;
}

redriven to_redriven(std::uint32_t partition, moved_letters m) {
  redriven r{partition, {}, std::move(m.left)};
  for (std::size_t i = 0; i < m.removed.size(); ++i)
    r.moved.emplace_back(message_offset{m.removed[i]},
                         i < m.offsets.size() ? std::optional{message_offset{m.offsets[i]}}
                                              : std::nullopt);
  return r;
}

} // namespace

void client::list_dead_letters(const std::string& topic, const std::string& group,
                               std::uint32_t partition, message_offset from, bool with_bodies,
                               const std::function<bool(const dead_letter_info&)>& page) {
  for (auto at = from.value;;) {
    const auto letters = call<letters_page>(
        impl_->core, "list_dead_letters",
        [topic, group, partition, at, with_bodies](wire::Session::Client session, bool) {
          auto request = session.listDeadLettersRequest();
          request.setTopic(topic);
          request.setGroup(group);
          request.setPartition(partition);
          request.setFrom(at);
          request.setMost(page_letters);
          request.setWithBodies(with_bodies);
          return asked<letters_page>(std::move(request), read_letters);
        });
    for (const auto& each : letters.letters)
      if (!page(each))
        return;
    if (!letters.more)
      return;
    if (letters.next <= at)
      throw client_error{{ec::internal, "the node's list of dead letters does not go on: it says "
                                        "there are more, and where it was"}};
    at = letters.next;
  }
}

redriven client::redrive_dead_letters(const std::string& topic, const std::string& group,
                                      std::uint32_t partition,
                                      std::span<const message_offset> offsets) {
  return to_redriven(partition,
                     move_letters(impl_->core, "redrive_dead_letters", {topic, group, partition},
                                  offsets, [](wire::Session::Client session) {
                                    return session.redriveDeadLettersRequest();
                                  }));
}

redriven client::purge_dead_letters(const std::string& topic, const std::string& group,
                                    std::uint32_t partition,
                                    std::span<const message_offset> offsets) {
  return to_redriven(partition,
                     move_letters(impl_->core, "purge_dead_letters", {topic, group, partition},
                                  offsets, [](wire::Session::Client session) {
                                    return session.purgeDeadLettersRequest();
                                  }));
}

transferred client::transfer_dead_letters(const std::string& topic, const std::string& group,
                                          std::uint32_t partition,
                                          std::span<const message_offset> offsets,
                                          const std::string& to_topic,
                                          std::optional<std::uint32_t> to_partition) {
  auto m = move_letters(impl_->core, "transfer_dead_letters", {topic, group, partition}, offsets,
                        [&](wire::Session::Client session) {
                          auto request = session.transferDeadLettersRequest();
                          request.setToTopic(to_topic);
                          if (to_partition)
                            request.setToPartition(*to_partition);
                          return request;
                        });
  transferred t{{}, std::move(m.left)};
  for (std::size_t i = 0; i < m.removed.size(); ++i) {
    if (i >= m.offsets.size() || i >= m.partitions.size())
      throw client_error{{ec::internal, "the node tells of a dead letter that it has moved, and "
                                        "not where to"}};
    t.moved.push_back(
        {message_offset{m.removed[i]}, m.partitions[i], message_offset{m.offsets[i]}});
  }
  return t;
}

std::vector<message_offset> client::release_dead_letters(const std::string& topic,
                                                         const std::string& group,
                                                         std::uint32_t partition,
                                                         std::span<const message_offset> offsets) {
  const auto m = move_letters(
      impl_->core, "release_dead_letters", {topic, group, partition}, offsets,
      [](wire::Session::Client session) { return session.releaseDeadLettersRequest(); });
  std::vector<message_offset> released;
  for (const auto each : m.removed)
    released.push_back(message_offset{each});
  return released;
}

} // namespace waybill
