// See line_sender.hpp.
#include "apps/waybill/line_sender.hpp"

#include "storage/assert.hpp"

#include <algorithm>

namespace waybill::cli {

namespace {

/// The fault of one message; its neighbours may well be taken.
bool is_about_size(ec code) { return code == ec::message_too_large || code == ec::batch_too_large; }

outgoing_message message_of(const envelope& e, std::string body) {
  std::string key{e.key_of(body)};
  return {.key = std::move(key), .headers = e.extra, .body = std::move(body)};
}

batch_cutter::options cutter_options(const envelope& e) {
  batch_cutter::options options;
  options.line_overhead += e.key.size();
  for (const auto& [name, value] : e.extra)
    options.line_overhead += name.size() + value.size() + 32;
  return options;
}

} // namespace

std::string_view envelope::key_of(std::string_view line) const {
  if (key_field == 0)
    return key;
  for (std::uint32_t field = 1; field < key_field; ++field) {
    const auto end = line.find(separator);
    if (end == std::string_view::npos)
      return {};
    line.remove_prefix(end + 1);
  }
  return line.substr(0, line.find(separator));
}

// ---- What is shared
// -------------------------------------------------------------------------------

void send_state::stop(send_stop why) {
  const std::lock_guard lock{mutex_};
  if (!stop_)
    stop_ = std::move(why);
}

std::optional<send_stop> send_state::stopped() const {
  const std::lock_guard lock{mutex_};
  return stop_;
}

void send_state::give_up(numbered_line line, const failure& why) {
  {
    const std::lock_guard lock{mutex_};
    ++failures_.try_emplace(why.code, given_up_lines{why, line.number, 0}).first->second.count;
  }
  outcome given_up{fate::given_up, std::string{to_string(why.code)}, {}, line.newline};
  if (log.wants_bodies())
    given_up.body = std::move(line.body);
  log.settle(line.number, std::move(given_up));
}

std::vector<given_up_lines> send_state::failures() const {
  const std::lock_guard lock{mutex_};
  std::vector<given_up_lines> all;
  for (const auto& [code, lines] : failures_)
    all.push_back(lines);
  return all;
}

// ---- As they come
// ---------------------------------------------------------------------------------

plain_sender::plain_sender(producer p, envelope e, std::shared_ptr<send_state> state)
    : producer_{std::move(p)}, envelope_{std::move(e)}, state_{std::move(state)} {}

void plain_sender::send(numbered_line line) {
  const auto number = line.number;
  const bool newline = line.newline;
  auto done = [state = state_, number, newline](result<receipt> r, outgoing_message m) {
    if (r) {
      state->log.settle(number, {fate::confirmed,
                                 state->log.wants_receipts() ? to_string(*r) : std::string{},
                                 {},
                                 newline});
      return;
    }
    if (!is_about_size(r.error().code) && !retry_can_help(r.error().code))
      state->stop({r.error().code, r.error().detail});
    state->give_up({number, std::move(m.body), newline}, r.error());
  };
  producer_.send_async(message_of(envelope_, std::move(line.body)), std::move(done));
}

// ---- Numbered by line
// -----------------------------------------------------------------------------

namespace {

struct sent_batch {
  line_batch batch;
  bool taken = false;         ///< the node had its number when the producer was opened
  std::uint64_t recorded = 0; ///< lines up to here have their receipt in the file
};

void settle_confirmed(send_state& state, const sent_batch& sent,
                      const std::vector<receipt>& receipts) {
  const auto& lines = sent.batch.lines;
  WAYBILL_ASSERT(receipts.size() == lines.size());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const fate how = lines[i].number <= sent.recorded ? fate::recorded
                     : sent.taken                     ? fate::earlier
                                                      : fate::confirmed;
    const bool write = state.log.wants_receipts();
    state.log.settle(lines[i].number,
                     {how, write ? to_string(receipts[i]) : std::string{}, {}, lines[i].newline});
  }
}

void settle_failed(send_state& state, sent_batch& sent, const failure& why) {
  const bool forgotten = why.code == ec::too_old_to_know || why.code == ec::number_reused;
  if (sent.taken && !sent.batch.alone) {
    // Sent again for its receipts alone: it is in the log. `number_reused`: an earlier run cut it
    // elsewhere, since its input paused there.
    if (!forgotten)
      state.stop({why.code, why.detail});
    for (const auto& line : sent.batch.lines)
      state.log.settle(
          line.number,
          {line.number <= sent.recorded ? fate::recorded : fate::earlier, {}, {}, line.newline});
    return;
  }
  const bool goes_on = sent.batch.alone &&
                       (is_about_size(why.code) || (sent.taken && why.code == ec::too_old_to_know));
  // What follows in this partition must not be taken before this is: a later run could not see the
  // gap.
  if (!goes_on)
    state.stop({why.code, why.detail});
  for (auto& line : sent.batch.lines)
    state.give_up(std::move(line), why);
}

} // namespace

struct numbered_sender::lanes {
  std::mutex mutex;
  std::condition_variable freed;
  std::vector<bool> busy;

  void take(std::uint32_t partition) {
    std::unique_lock lock{mutex};
    freed.wait(lock, [&] { return !busy[partition]; });
    busy[partition] = true;
  }
  void release(std::uint32_t partition) {
    const std::lock_guard lock{mutex};
    busy[partition] = false;
    freed.notify_all();
  }
  void wait_all() {
    std::unique_lock lock{mutex};
    freed.wait(lock, [&] { return std::find(busy.begin(), busy.end(), true) == busy.end(); });
  }
};

numbered_sender::numbered_sender(producer p, envelope e, std::shared_ptr<send_state> state,
                                 std::uint64_t recorded)
    : producer_{std::move(p)}, envelope_{std::move(e)}, state_{std::move(state)},
      recorded_{recorded}, partitions_{producer_.partitions()}, last_{producer_.last_numbers()},
      cutters_(envelope_.key_field == 0 ? 1 : partitions_, batch_cutter{cutter_options(envelope_)}),
      lanes_{std::make_shared<lanes>()} {
  last_.resize(partitions_);
  lanes_->busy.resize(partitions_);
}

/// A line without a key goes where its block does, or its number when others have keys.
std::uint32_t numbered_sender::partition_of(const numbered_line& line) const {
  if (const auto key = envelope_.key_of(line.body); !key.empty())
    return partition_of_key(key, partitions_);
  const auto at = envelope_.key_field == 0 ? cutters_.front().block() : line.number;
  return static_cast<std::uint32_t>(at % partitions_);
}

batch_cutter& numbered_sender::cutter_of(std::uint32_t partition) {
  return envelope_.key_field == 0 ? cutters_.front() : cutters_[partition];
}

void numbered_sender::send(numbered_line line) {
  // A batch that ended here in an earlier run ends here again, and the rest of its block follows.
  const auto partition = partition_of(line);
  const auto where = line.number == last_[partition].value ? batch_cutter::cut::after_this
                                                           : batch_cutter::cut::by_rule;
  for (auto& batch : cutter_of(partition).add(std::move(line), where))
    submit(partition, std::move(batch));
  open_ = partition;
}

void numbered_sender::idle() {
  for (std::uint32_t at = 0; at < cutters_.size(); ++at)
    if (auto batch = cutters_[at].take())
      submit(envelope_.key_field == 0 ? open_ : at, std::move(*batch));
}

void numbered_sender::finish() {
  idle();
  lanes_->wait_all();
}

void numbered_sender::settle_earlier(const line_batch& batch, fate how) {
  for (const auto& line : batch.lines)
    state_->log.settle(line.number, {how, {}, {}, line.newline});
}

void numbered_sender::submit(std::uint32_t partition, line_batch batch) {
  const bool taken = batch.last() <= last_[partition].value;
  if (batch.last() <= recorded_) {
    if (taken)
      return settle_earlier(batch, fate::recorded);
    state_->stop({ec::bad_argument,
                  "There are receipts for line " + std::to_string(batch.last()) +
                      ", but the node has nothing of this producer beyond line " +
                      std::to_string(last_[partition].value) + " in partition " +
                      std::to_string(partition) +
                      ": this is another topic, or the producer was forgotten. Check the receipts "
                      "with `waybill verify --file`."});
  }
  // A line that travels alone may have been refused for its size, and later ones taken: only the
  // node can say.
  if (taken && !batch.alone && !state_->log.wants_receipts())
    return settle_earlier(batch, fate::earlier);
  lanes_->take(partition);
  if (const auto stop = state_->stopped()) {
    lanes_->release(partition);
    for (auto& line : batch.lines)
      state_->give_up(std::move(line),
                      {ec::stopping, "not sent, because of the failure before it"});
    return;
  }
  std::vector<outgoing_message> messages;
  messages.reserve(batch.lines.size());
  for (const auto& line : batch.lines)
    messages.push_back(message_of(envelope_, line.body));
  const batch_number number{batch.last()};
  auto sent = std::make_shared<sent_batch>(sent_batch{std::move(batch), taken, recorded_});
  auto done = [state = state_, busy = lanes_, partition, sent](result<std::vector<receipt>> r) {
    if (r)
      settle_confirmed(*state, *sent, *r);
    else
      settle_failed(*state, *sent, r.error());
    busy->release(partition);
  };
  producer_.send_numbered(partition, number, std::move(messages), std::move(done));
}

} // namespace waybill::cli
