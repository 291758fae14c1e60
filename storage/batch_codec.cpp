// Batches of messages as clients serialise them: checked on arrival, cut, taken apart and joined.
//
// All readers here walk the same fields (messages; key, headers with name and value, body), each
// once and under the same bound, so what `check_batch` has let through, the others can read.
#include "storage/records_codec.hpp"

#include "storage/assert.hpp"
#include "storage/entry.hpp"
#include "storage/flat_message.hpp"
#include "storage/format.capnp.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>

namespace waybill {
namespace {

using detail::bad_content;
using detail::data_of;
using detail::flat_message;
using detail::flatten;
using detail::read_flat;

constexpr const char* batch_name = "the batch";
constexpr const char* message_name = "the message";

/// A message's parts, each read once: Cap'n Proto counts every reading of a pointer.
message_view view_of(const flat_message& in, format::Message::Reader m) {
  message_view view;
  view.key = in.in_place(m.getKey());
  const auto headers = m.getHeaders();
  view.headers.reserve(headers.size());
  for (const auto header : headers)
    view.headers.emplace_back(in.in_place(header.getName().asBytes()),
                              in.in_place(header.getValue()));
  view.body = in.in_place(m.getBody());
  return view;
}

std::size_t bytes_of(format::Message::Reader m) { // without a view: it runs for every message
  std::size_t bytes = m.getKey().size() + m.getBody().size();
  for (const auto header : m.getHeaders())
    bytes += header.getName().size() + header.getValue().size();
  return bytes;
}

/// Words that `m` takes at most, so that its builder gets by with one segment.
std::size_t words_of(const message_view& m) {
  constexpr std::size_t words_of_struct = 3; // its pointers
  constexpr std::size_t words_of_round = 3;  // what rounding up costs, and the tag of the headers
  const auto words = [](std::string_view bytes) { return bytes.size() / sizeof(capnp::word) + 1; };
  auto sum = words_of_struct + words_of_round + words(m.key) + words(m.body);
  for (const auto& [name, value] : m.headers)
    sum += 2 + words(name) + words(value); // two pointers; a name ends with a zero, still within
  return sum;
}

void fill(format::Message::Builder out, const message_view& m) {
  if (!m.key.empty())
    out.setKey(data_of(m.key));
  if (!m.headers.empty()) {
    auto headers = out.initHeaders(static_cast<unsigned>(m.headers.size()));
    for (unsigned i = 0; i < headers.size(); ++i) {
      const auto& [name, value] = m.headers[i];
      // Copied into place: a Text reader would have to end with a zero, which a view need not.
      auto to = headers[i].initName(static_cast<unsigned>(name.size()));
      std::copy(name.begin(), name.end(), to.begin());
      headers[i].setValue(data_of(value));
    }
  }
  if (!m.body.empty())
    out.setBody(data_of(m.body));
}

std::string batch_of(const std::vector<message_view>& messages) {
  std::size_t words = 8; // the root and its pointers, the list's tag
  for (const auto& each : messages)
    words += words_of(each);
  capnp::MallocMessageBuilder builder{static_cast<unsigned>(words)};
  auto root = builder.initRoot<format::Batch>();
  auto list = root.initMessages(static_cast<unsigned>(messages.size()));
  for (unsigned i = 0; i < list.size(); ++i)
    fill(list[i], messages[i]);
  return flatten(builder);
}

std::string no_such_message(std::uint32_t position, std::uint32_t count) {
  return "it has " + std::to_string(count) + " messages, and none at position " +
         std::to_string(position);
}

// ---- Times --------------------------------------------------------------------------------------

/// Ten years: what is later is a mistake, and a sum of such spans stays far from any overflow.
constexpr std::chrono::milliseconds span_max = std::chrono::days{3'653};

template <class T>
std::optional<T> unless_zero(T value) {
  return value == T{} ? std::nullopt : std::optional{value};
}

/// One that is too long to be a span stays too long.
std::chrono::milliseconds span_of(std::uint64_t ms) {
  const auto longer = static_cast<std::uint64_t>(span_max.count()) + 1;
  return std::chrono::milliseconds{std::min(ms, longer)};
}

wall_time moment_of(std::int64_t ms) { return wall_time{std::chrono::milliseconds{ms}}; }

/// What is wrong with the times of one message; none: nothing.
std::optional<std::string> objection_to_entry(format::MessageTimes::Reader t) {
  const asked_times asked{
      unless_zero(moment_of(t.getDeliverAt())), unless_zero(span_of(t.getDelayMs())),
      unless_zero(moment_of(t.getExpires())), unless_zero(span_of(t.getTtlMs()))};
  if (!asked.deliver_at && !asked.delay && !asked.expires && !asked.time_to_live)
    return "an entry among the times that sets none";
  return objection_to(asked);
}

/// How many messages have times. @errors `malformed_batch`, `bad_argument`
result<std::uint32_t> check_times(format::Batch::Reader batch, std::uint32_t messages) {
  std::uint32_t next = 0;
  const auto times = batch.getTimes(); // once: each look counts against what a reader may traverse
  for (const auto each : times) {
    const auto position = each.getPosition();
    if (position < next || position >= messages)
      return failure{ec::malformed_batch,
                     "the batch's times name position " + std::to_string(position) +
                         ", which is not one of its " + std::to_string(messages) +
                         " messages or not in order"};
    if (const auto why = objection_to_entry(each))
      return failure{ec::bad_argument, "message " + std::to_string(position + 1) +
                                           " of the batch's " + std::to_string(messages) + " has " +
                                           *why};
    next = position + 1;
  }
  return times.size();
}

/// One of a pair is set at most.
wall_time time_of(std::int64_t absolute, std::uint64_t span, wall_time stamped) {
  if (span != 0)
    return stamped + std::chrono::milliseconds{span};
  return moment_of(absolute);
}

} // namespace

std::optional<std::string> objection_to(const asked_times& times) {
  constexpr std::chrono::milliseconds least{1};
  constexpr wall_time end = std::chrono::sys_days{std::chrono::year{10'000} / 1 / 1};
  if (times.deliver_at && times.delay)
    return "both a time to deliver it at and a delay: set one";
  if (times.expires && times.time_to_live)
    return "both a time at which it expires and one to live: set one";
  for (const auto& span : {times.delay, times.time_to_live}) {
    if (span && (*span < least || *span > span_max))
      return "a delay or a time to live that is not between 1 ms and ten years";
  }
  for (const auto& at : {times.deliver_at, times.expires}) {
    if (at && (*at <= wall_time{} || *at >= end))
      return "a time that is not after 1970 and before the year 10000";
  }
  return std::nullopt;
}

result<timed_messages> times_of(std::string_view batch, message_offset first, wall_time stamped) {
  const auto read = [&](flat_message& in) -> result<timed_messages> {
    timed_messages found;
    for (const auto each : in.root<format::Batch>().getTimes())
      found.emplace_hint(found.end(), message_offset{first.value + each.getPosition()},
                         message_times{time_of(each.getDeliverAt(), each.getDelayMs(), stamped),
                                       time_of(each.getExpires(), each.getTtlMs(), stamped)});
    return found;
  };
  return read_flat<timed_messages>(batch, ec::damaged, batch_name, read);
}

result<checked_batch> check_batch(std::string_view batch, const batch_limits& limits) {
  const auto read = [&](flat_message& in) -> result<checked_batch> {
    const auto root = in.root<format::Batch>();
    const auto messages = root.getMessages();
    const auto count = std::to_string(messages.size());
    if (messages.size() == 0)
      return failure{ec::malformed_batch, "the batch holds no message: send at least one"};
    if (messages.size() > limits.messages_max)
      return failure{ec::limit_reached,
                     "the batch holds " + count + " messages, and net.batch-messages-max is " +
                         std::to_string(limits.messages_max) + ": send smaller batches"};
    std::uint32_t place = 0;
    for (const auto message : messages) {
      ++place;
      const auto bytes = bytes_of(message);
      if (bytes > limits.message_bytes_max)
        return failure{ec::message_too_large,
                       "message " + std::to_string(place) + " of the batch's " + count + " has " +
                           std::to_string(bytes) +
                           " bytes of key, headers and body, and net.message-bytes-max is " +
                           std::to_string(limits.message_bytes_max)};
    }
    const auto timed = check_times(root, place);
    if (!timed)
      return timed.error();
    return checked_batch{place, *timed};
  };
  return read_flat<checked_batch>(batch, ec::malformed_batch, batch_name, read);
}

result<std::vector<message_view>> read_batch(std::string_view batch) {
  const auto read = [](flat_message& in) -> result<std::vector<message_view>> {
    const auto messages = in.root<format::Batch>().getMessages();
    std::vector<message_view> views;
    views.reserve(messages.size());
    for (const auto message : messages)
      views.push_back(view_of(in, message));
    return views;
  };
  return read_flat<std::vector<message_view>>(batch, ec::damaged, batch_name, read);
}

result<message_view> read_message(std::string_view message) {
  const auto read = [](flat_message& in) -> result<message_view> {
    return view_of(in, in.root<format::Message>());
  };
  return read_flat<message_view>(message, ec::damaged, message_name, read);
}

result<std::string> cut_batch(std::string_view batch, const std::vector<std::uint32_t>& positions) {
  const auto not_ascending = std::ranges::adjacent_find(positions, std::ranges::greater_equal{});
  WAYBILL_ASSERT(not_ascending == positions.end());
  const auto read = [&](flat_message& in) -> result<std::string> {
    const auto messages = in.root<format::Batch>().getMessages();
    std::vector<message_view> wanted;
    wanted.reserve(positions.size());
    for (const auto position : positions) {
      if (position >= messages.size())
        throw bad_content{no_such_message(position, messages.size())};
      wanted.push_back(view_of(in, messages[position]));
    }
    return batch_of(wanted);
  };
  return read_flat<std::string>(batch, ec::damaged, batch_name, read);
}

result<std::string> extract_message(std::string_view batch, std::uint32_t position) {
  const auto read = [&](flat_message& in) -> result<std::string> {
    const auto messages = in.root<format::Batch>().getMessages();
    if (position >= messages.size())
      throw bad_content{no_such_message(position, messages.size())};
    const auto view = view_of(in, messages[position]);
    capnp::MallocMessageBuilder builder{static_cast<unsigned>(8 + words_of(view))};
    fill(builder.initRoot<format::Message>(), view);
    return flatten(builder);
  };
  return read_flat<std::string>(batch, ec::damaged, batch_name, read);
}

result<std::string>
join_messages(const std::vector<std::string>& messages,
              const std::vector<std::vector<std::pair<std::string, std::string>>>& added) {
  WAYBILL_ASSERT(messages.size() == added.size());
  std::vector<message_view> views;
  views.reserve(messages.size());
  for (std::size_t i = 0; i < messages.size(); ++i) {
    auto view = read_message(messages[i]);
    if (!view)
      return view.error();
    const auto is_replaced = [&](const auto& header) {
      return std::ranges::any_of(added[i], [&](const auto& a) { return a.first == header.first; });
    };
    std::erase_if(view->headers, is_replaced);
    view->headers.insert(view->headers.end(), added[i].begin(), added[i].end());
    views.push_back(std::move(*view));
  }
  return batch_of(views);
}

result<std::string>
with_headers(std::string_view batch,
             const std::map<std::uint32_t, std::vector<std::pair<std::string, std::string>>>& to) {
  const auto read = [&](flat_message& in) -> result<std::string> {
    const auto root = in.root<format::Batch>();
    const auto messages = root.getMessages();
    if (!to.empty() && to.rbegin()->first >= messages.size())
      return failure{ec::bad_argument, no_such_message(to.rbegin()->first, messages.size())};
    std::vector<message_view> views;
    views.reserve(messages.size());
    for (const auto message : messages)
      views.push_back(view_of(in, message));
    const auto times = root.getTimes();
    std::size_t words = 16 + 5 * times.size(); // a time's struct, with room
    for (const auto& [place, headers] : to)
      views[place].headers.assign(headers.begin(), headers.end());
    for (const auto& each : views)
      words += words_of(each);
    capnp::MallocMessageBuilder builder{static_cast<unsigned>(words)};
    auto out = builder.initRoot<format::Batch>();
    auto list = out.initMessages(static_cast<unsigned>(views.size()));
    for (unsigned i = 0; i < list.size(); ++i)
      fill(list[i], views[i]);
    if (times.size() > 0)
      out.setTimes(times);
    return flatten(builder);
  };
  return read_flat<std::string>(batch, ec::damaged, batch_name, read);
}

result<std::vector<std::uint64_t>> message_keys(std::string_view batch) {
  const auto read = [](flat_message& in) -> result<std::vector<std::uint64_t>> {
    const auto messages = in.root<format::Batch>().getMessages();
    std::vector<std::uint64_t> keys;
    keys.reserve(messages.size());
    for (const auto message : messages) {
      const auto key = in.in_place(message.getKey());
      keys.push_back(key.empty() ? 0 : std::max<std::uint64_t>(1, hash_of(key).low));
    }
    return keys;
  };
  return read_flat<std::vector<std::uint64_t>>(batch, ec::damaged, batch_name, read);
}

result<std::vector<std::uint32_t>> message_sizes(std::string_view batch) {
  const auto read = [](flat_message& in) -> result<std::vector<std::uint32_t>> {
    const auto messages = in.root<format::Batch>().getMessages();
    std::vector<std::uint32_t> sizes;
    sizes.reserve(messages.size());
    for (const auto message : messages)
      sizes.push_back(static_cast<std::uint32_t>(bytes_of(message)));
    return sizes;
  };
  return read_flat<std::vector<std::uint32_t>>(batch, ec::damaged, batch_name, read);
}

} // namespace waybill
