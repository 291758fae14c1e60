// A transfer's fields to Cap'n Proto and back, and its entries' bodies.
#include "storage/transfer_codec.hpp"

#include "storage/records_codec.hpp"
#include "storage/records_leaves.hpp"

#include <algorithm>
#include <functional>

namespace waybill {
namespace detail {

void put_offsets(capnp::List<std::uint64_t>::Builder out, const std::vector<message_offset>& from) {
  for (unsigned i = 0; i < out.size(); ++i)
    out.set(i, from[i].value);
}

std::vector<message_offset> take_offsets(capnp::List<std::uint64_t>::Reader in) {
  std::vector<message_offset> offsets;
  offsets.reserve(in.size());
  for (const auto each : in)
    offsets.push_back(message_offset{each});
  return offsets;
}

void put(format::Transfer::Builder out, const transfer_item& item) {
  const auto& [begun, t] = item;
  out.setBegun(begun.value);
  put_offsets(out.initDeadLetters(static_cast<unsigned>(t.dead_letters.size())), t.dead_letters);
  out.setTopicId(t.target.topic.value);
  out.setPartition(t.target.number);
  out.setTopic(text_of(t.topic));
  out.setOpened(t.opened.value);
  out.setNumber(t.number.value);
  out.setPrevious(t.previous.value);
  out.setHashHigh(t.hash.high);
  out.setHashLow(t.hash.low);
  out.setInDoubt(t.doubt.has_value());
  if (t.doubt)
    out.setDoubt(text_of(*t.doubt));
}

transfer_item take(format::Transfer::Reader in) {
  transfer_state t{.dead_letters = take_offsets(in.getDeadLetters()),
                   .target = {topic_id{in.getTopicId()}, in.getPartition()},
                   .topic = name_of(in.getTopic()),
                   .opened = producer_epoch{in.getOpened()},
                   .number = batch_number{in.getNumber()},
                   .previous = batch_number{in.getPrevious()},
                   .hash = {in.getHashHigh(), in.getHashLow()}};
  if (std::ranges::adjacent_find(t.dead_letters, std::ranges::greater_equal{}) !=
      t.dead_letters.end())
    throw bad_content{"offsets in it do not ascend"};
  if (in.getInDoubt())
    t.doubt = string_of(in.getDoubt());
  return {log_index{in.getBegun()}, std::move(t)};
}

namespace {

transfer_action action_of(std::uint8_t number) {
  if (number < 1 || number > 4)
    throw bad_content{"transfer action number " + std::to_string(number) + " is not known here"};
  return static_cast<transfer_action>(number);
}

transfer_record read(format::TransferRecord::Reader in) {
  transfer_record r{.action = action_of(in.getAction()),
                    .group = name_of(in.getGroup()),
                    .begun = log_index{in.getBegun()},
                    .what = {},
                    .first = message_offset{in.getFirst()},
                    .entry = take(in.getEntry()),
                    .reason = string_of(in.getReason())};
  if (r.action == transfer_action::begin)
    r.what = take(in.getWhat()).second;
  return r;
}

} // namespace
} // namespace detail

std::string encode(const transfer_record& r) {
  using namespace detail;
  capnp::MallocMessageBuilder builder;
  auto out = builder.initRoot<format::TransferRecord>();
  out.setAction(static_cast<std::uint8_t>(r.action));
  out.setGroup(text_of(r.group));
  out.setBegun(r.begun.value);
  if (r.action == transfer_action::begin)
    put(out.initWhat(), transfer_item{r.begun, r.what});
  out.setFirst(r.first.value);
  put(out.initEntry(), r.entry);
  out.setReason(text_of(r.reason));
  return flatten(builder);
}

result<transfer_record> decode_transfer_record(std::string_view bytes) {
  return detail::read_flat<transfer_record>(
      bytes, ec::damaged, "the transfer record", [](detail::flat_message& in) {
        return result<transfer_record>{detail::read(in.root<format::TransferRecord>())};
      });
}

} // namespace waybill
