// See line_sender.hpp.
#include "apps/waybill/line_sender.hpp"

#include "storage/assert.hpp"

#include <algorithm>
#include <condition_variable>
#include <iterator>

namespace waybill::cli {

namespace {

/// How long a line waits for company in its batch.
constexpr std::chrono::milliseconds linger{200};

/// The fault of one message; its neighbours may well be taken.
bool is_about_size(ec code) { return code == ec::message_too_large || code == ec::batch_too_large; }

template <class T>
std::optional<T> either(const std::optional<when>& from) {
  const auto* found = from ? std::get_if<T>(&*from) : nullptr;
  return found ? std::optional{*found} : std::nullopt;
}

outgoing_message message_of(const envelope& e, std::string body) {
  outgoing_message m;
  m.key = e.key_of(body);
  m.headers = e.extra;
  m.body = std::move(body);
  m.deliver_at = either<wall_time>(e.deliver_at);
  m.delay = either<milliseconds>(e.deliver_at);
  m.expires = either<wall_time>(e.expires);
  m.time_to_live = either<milliseconds>(e.expires);
  return m;
}

batch_cutter::options cutter_options(const envelope& e) {
  batch_cutter::options options;
  options.line_overhead += e.key.size();
  for (const auto& [name, value] : e.extra)
    options.line_overhead += name.size() + value.size() + 32;
  if (e.deliver_at || e.expires)
    options.line_overhead += 48;
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
  bool compared = false;      ///< and it is sent for that: whether this is the same input
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

/// @returns whether it was that
bool told_other_input(send_state& state, sent_batch& sent, const failure& why) {
  if (!sent.compared || why.code != ec::number_reused)
    return false;
  state.stop(
      {why.code,
       "Line " + std::to_string(sent.batch.last()) +
           ", or one shortly before it, is not what this producer has sent under that number: "
           "this is another input. Give another input another name."});
  for (auto& line : sent.batch.lines)
    state.give_up(std::move(line), why);
  return true;
}

void settle_failed(send_state& state, sent_batch& sent, const failure& why) {
  if (told_other_input(state, sent, why))
    return;
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

/// A partition has one batch under way. And while one is compared, nothing new is sent.
struct numbered_sender::under_way {
  std::mutex mutex;
  std::condition_variable freed;
  std::vector<bool> busy;
  std::size_t compared = 0;

  void take(std::uint32_t partition, reason why) {
    std::unique_lock lock{mutex};
    freed.wait(lock,
               [&] { return !busy[partition] && (why == reason::is_compared || compared == 0); });
    busy[partition] = true;
    compared += why == reason::is_compared;
  }
  void release(std::uint32_t partition, reason why) {
    const std::lock_guard lock{mutex};
    busy[partition] = false;
    compared -= why == reason::is_compared;
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
      recorded_{recorded}, under_way_{std::make_shared<under_way>()} {
  const auto last = producer_.last_batches();
  lanes_.assign(last.size(), lane{cutter_options(envelope_)});
  for (std::size_t at = 0; at < last.size(); ++at) {
    lanes_[at].last = last[at].number.value;
    lanes_[at].last_messages = last[at].messages;
    lanes_[at].is_known = last[at].is_known;
  }
  under_way_->busy.resize(lanes_.size());
}

/// Lines without a key go in blocks, so that a batch has company; by their number, when the others
/// have keys.
std::uint32_t numbered_sender::partition_of(const numbered_line& line) {
  const auto partitions = static_cast<std::uint32_t>(lanes_.size());
  if (const auto key = envelope_.key_of(line.body); !key.empty())
    return partition_of_key(key, partitions);
  constexpr batch_cutter::options rule;
  const auto at = envelope_.key_field == 0 ? lines_without_key_++ / rule.block_lines : line.number;
  return static_cast<std::uint32_t>(at % partitions);
}

void numbered_sender::send(numbered_line line) {
  last_line_ = line.number;
  const auto partition = partition_of(line);
  if (line.number <= lanes_[partition].last)
    return send_known(partition, std::move(line));
  cut(partition, std::move(line));
  const auto now = clock::now();
  for (std::uint32_t at = 0; at < lanes_.size(); ++at)
    if (lanes_[at].waits_since && now - *lanes_[at].waits_since >= linger)
      send_what_waits(at);
}

/// The node has it already, if this is the same input: the lines of its last batch say whether it
/// is.
void numbered_sender::send_known(std::uint32_t partition, numbered_line line) {
  auto& l = lanes_[partition];
  const bool is_last = line.number == l.last;
  l.tail.push_back(std::move(line));
  release_tail(partition, l.last_messages);
  if (!is_last)
    return;
  send_what_waits(partition);
  if (l.tail.empty())
    return; // how many lines that batch had is not known
  line_batch batch{
      0, {std::make_move_iterator(l.tail.begin()), std::make_move_iterator(l.tail.end())}, false};
  l.tail.clear();
  batch.alone = l.cutter.goes_alone(batch.lines.back());
  l.cutter.pass_over(batch.lines.size());
  submit(partition, std::move(batch), reason::is_compared);
}

/// All but so many lines are earlier than the batch that is compared.
void numbered_sender::release_tail(std::uint32_t partition, std::size_t but) {
  auto& tail = lanes_[partition].tail;
  while (tail.size() > but) {
    auto first = std::move(tail.front());
    tail.pop_front();
    cut(partition, std::move(first));
  }
}

void numbered_sender::cut(std::uint32_t partition, numbered_line line) {
  auto& l = lanes_[partition];
  const bool is_known = line.number <= l.last;
  for (auto& batch : l.cutter.add(std::move(line)))
    submit(partition, std::move(batch), reason::is_next);
  if (!l.cutter.holds_lines())
    l.waits_since.reset();
  else if (!l.waits_since && !is_known)
    l.waits_since = clock::now();
}

void numbered_sender::send_what_waits(std::uint32_t partition) {
  auto& l = lanes_[partition];
  l.waits_since.reset();
  if (auto batch = l.cutter.take())
    submit(partition, std::move(*batch), reason::is_next);
}

void numbered_sender::idle() {
  for (std::uint32_t at = 0; at < lanes_.size(); ++at)
    send_what_waits(at);
}

void numbered_sender::finish() {
  for (std::uint32_t at = 0; at < lanes_.size(); ++at)
    release_tail(at, 0);
  idle();
  under_way_->wait_all();
}

void numbered_sender::ended() {
  for (const auto& each : lanes_)
    if (last_line_ < each.last && !state_->stopped())
      state_->stop(
          {ec::bad_argument,
           "The input ends at line " + std::to_string(last_line_) +
               ", but the node has lines of this producer up to " + std::to_string(each.last) +
               ": this is another input, or it was cut. Give another input another name."});
}

void numbered_sender::settle_earlier(const line_batch& batch, fate how) {
  for (const auto& line : batch.lines)
    state_->log.settle(line.number, {how, {}, {}, line.newline});
}

/// What need not be sent is settled.
bool numbered_sender::must_be_sent(std::uint32_t partition, const line_batch& batch) {
  const auto last = lanes_[partition].last;
  const bool taken = batch.last() <= last;
  if (batch.last() <= recorded_ && lanes_[partition].is_known) {
    if (taken) {
      settle_earlier(batch, fate::recorded);
      return false;
    }
    state_->stop({ec::bad_argument,
                  "There are receipts for line " + std::to_string(batch.last()) +
                      ", but the node has nothing of this producer beyond line " +
                      std::to_string(last) + " in partition " + std::to_string(partition) +
                      ": this is another topic, or the producer was forgotten. Check the receipts "
                      "with `waybill verify --file`."});
  }
  // A line that travels alone may have been refused for its size, and later ones taken: only the
  // node can say.
  if (taken && !batch.alone && !state_->log.wants_receipts()) {
    settle_earlier(batch, fate::earlier);
    return false;
  }
  return true;
}

void numbered_sender::submit(std::uint32_t partition, line_batch batch, reason why) {
  if (why == reason::is_next && !must_be_sent(partition, batch))
    return;
  under_way_->take(partition, why);
  if (const auto stop = state_->stopped()) {
    under_way_->release(partition, why);
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
  const bool taken = batch.last() <= lanes_[partition].last;
  auto sent = std::make_shared<sent_batch>(
      sent_batch{std::move(batch), taken, why == reason::is_compared, recorded_});
  auto done = [state = state_, all = under_way_, partition, why,
               sent](result<std::vector<receipt>> r) {
    if (r)
      settle_confirmed(*state, *sent, *r);
    else
      settle_failed(*state, *sent, r.error());
    all->release(partition, why);
  };
  producer_.send_numbered(partition, number, std::move(messages), std::move(done));
}

} // namespace waybill::cli
