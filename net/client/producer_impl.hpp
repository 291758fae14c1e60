// A producer's inside. Two halves: callers fill batches under a lock; the loop numbers, sends,
// repeats and settles them.
//
// What keeps a message from being doubled or lost:
// - A batch gets its number at its first send and keeps number and bytes for ever. The node takes a
//   number once, and only after the one named as `previous`. So whatever is sent again, late, twice
//   or over another connection is taken at most once, and in order.
// - `previous` is not part of a batch's identity: it says what this partition has when the batch is
//   taken. Each opening tells it anew (`last`), and each confirm raises it.
// - A batch that is given up may be in the log or may still be under way to it. The producer is
// then
//   opened again before anything else is sent: `last` says whether it was taken, and the next batch
//   names that number. Were the old one taken after that answer, the next one is refused as
//   `out_of_order`, and the opening is repeated; were it to arrive after the next one, its number
//   is too low to be taken as new. Its number is never given to another batch.
// - The opening asks to go on, not to take over (but the first): a producer that somebody else has
//   opened since must end, not win the name back.
// - A node that has forgotten the producer cannot recognise a repeat: batches that it may have
// taken
//   are then handed back as `too_old_to_know`, and never sent as new.
#pragma once

#include "net/client/batch.hpp"
#include "net/client/client.hpp"
#include "net/client/core.hpp"
#include "net/client/link.hpp"

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

namespace waybill {

struct producer::impl final : client_parts::link_user, std::enable_shared_from_this<impl> {
  using batch_handle = std::shared_ptr<client_parts::outgoing_batch>;
  using steady_time = client_parts::steady_time;
  enum class haste { may_linger, no_lingering };

  impl(std::shared_ptr<client_parts::core> owner, std::shared_ptr<client_parts::lifeline> line,
       std::string topic_name, producer_options chosen);
  /// Blocks until the node has opened it. @throws client_error
  static std::shared_ptr<impl> open(std::shared_ptr<client_parts::core> owner,
                                    std::shared_ptr<client_parts::lifeline> line,
                                    const std::string& topic, producer_options options);

  // ---- callers --------------------------------------------------------------------------------
  void submit(outgoing_message m, client_parts::message_done done, haste how);
  std::future<receipt> submit(outgoing_message m, haste how);
  void must_not_block(const char* call) const { core_->must_not_be_on_loop(call); }
  void submit_numbered(std::uint32_t partition, batch_number number,
                       std::vector<outgoing_message> messages, client_parts::batch_done done);
  void flush();
  enum class left_behind { handed_back, nobody_asks };
  std::vector<leftover> close(milliseconds patience, left_behind what);
  [[nodiscard]] std::vector<last_batch> last_batches() const { return first_last_; }
  [[nodiscard]] std::uint32_t partitions() const {
    return static_cast<std::uint32_t>(first_last_.size());
  }

  // ---- the link's -----------------------------------------------------------------------------
  void session_up() override;
  void session_down(const failure& why) override;
  void refused(const failure& why) override;

private:
  struct lane { ///< one partition's
    // Under the lock.
    batch_handle open;               ///< being filled
    bool in_a_hurry = false;         ///< somebody waits for `open`
    bool is_blocked = false;         ///< so many batches stand in `queue` as may be under way
    std::deque<batch_handle> sealed; ///< to be taken over by the loop, in order
    batch_number given_last;         ///< the highest number that the caller gave
    // The loop's.
    std::deque<batch_handle> queue; ///< unconfirmed, in order
    std::size_t next = 0;           ///< queue[0 .. next) are under way in this opening
    batch_number last;              ///< the highest number ever given to a batch here
    batch_number known;             ///< the highest that the node has taken, as far as we know
    batch_number confirmed;
    steady_time retry_at{}; ///< nothing is sent before
    /// Why it is out of service; then nothing is sent, for what the node has is not known.
    std::optional<failure> out_of_service;
  };
  enum class numbering { undecided, ours, callers };

  // producer.cpp: callers, under the lock
  std::optional<failure> objection(const outgoing_message& m, std::size_t bytes) const;
  std::optional<failure> numbered_objection(std::uint32_t partition, batch_number number,
                                            const std::vector<outgoing_message>& messages,
                                            std::size_t& bytes, std::size_t& words) const;
  std::optional<failure> wait_for_room(std::unique_lock<std::mutex>& lock, std::size_t bytes,
                                       std::size_t messages);
  std::optional<failure> closed_failure() const;
  std::uint32_t choose_partition(const outgoing_message& m);
  void next_keyless();
  batch_handle start_batch(std::uint32_t partition);
  void put(const batch_handle& b, outgoing_message m, client_parts::message_done done,
           std::size_t bytes, std::size_t words);
  void seal(std::uint32_t partition);
  void seal_all();
  void touch(std::uint32_t partition);
  void refuse(outgoing_message m, client_parts::message_done done, failure why);

  // producer_lanes.cpp: the loop
  void pump();
  void pump_soon();
  steady_time collect(steady_time now);
  void collect_lane(lane& l, std::uint32_t partition, steady_time now, steady_time& wake);
  void expire(std::uint32_t partition, steady_time now);
  void send_all(steady_time now);
  void send(lane& l, std::size_t at, steady_time now);
  void number(lane& l, std::size_t at);
  void answered(const batch_handle& b, std::uint64_t send_id, wire::PublishOutcome::Reader outcome);
  void turned_down(const batch_handle& b, const failure& why, bool retry);
  void rewind(lane& l, std::size_t from, steady_time when);
  void confirm(const batch_handle& b, wire::PublishOutcome::Ok::Reader ok);
  void retry_or_give_up(lane& l, const batch_handle& b, steady_time when);
  void give_up(lane& l, const batch_handle& b, failure why);
  [[nodiscard]] kj::Array<const kj::byte> encode(const client_parts::outgoing_batch& b);
  static std::optional<std::size_t> place_of(const lane& l, const batch_handle& b);
  [[nodiscard]] failure expired_failure(const client_parts::outgoing_batch& b) const;
  [[nodiscard]] steady_time next_wake(steady_time linger_due) const;

  // producer_opening.cpp: the loop
  void join(client_parts::link& net);
  void open_now();
  void open_later(milliseconds pause);
  void opened(wire::OpenProducerOutcome::Reader outcome);
  void take_over_lanes(wire::OpenProducerOutcome::Ok::Reader ok);
  void take_out_of_service(capnp::List<wire::OutOfService>::Reader out);
  void resume_lane(std::uint32_t partition, batch_number told);
  void open_refused(const failure& why, bool retry);
  void reopen();
  void fail_all(const failure& why);
  std::vector<batch_handle> take_everything();
  void finish(std::vector<leftover>& into, left_behind what);
  void guarded(const std::function<void()>& callback) const;
  void release(const client_parts::outgoing_batch& b);
  void count_out(const client_parts::outgoing_batch& b);
  void settle_failed(const batch_handle& b, const failure& why, bool is_alarm);

  const std::shared_ptr<client_parts::core> core_;
  std::shared_ptr<client_parts::lifeline> line_;
  const std::string topic_;
  producer_options options_;
  const std::uint64_t instance_;

  std::mutex numbered_; ///< of `submit_numbered`; taken before `mutex_`
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<lane> lanes_; ///< made at the first opening, never more or fewer
  std::vector<last_batch> first_last_;
  std::vector<std::uint32_t> touched_; ///< lanes with something new for the loop
  bool pump_posted_ = false;
  numbering numbering_ = numbering::undecided;
  std::uint32_t keyless_ = 0; ///< the partition whose turn it is
  std::size_t waiting_bytes_ = 0;
  std::size_t waiting_messages_ = 0;
  std::uint64_t round_ = 0;
  std::map<std::uint64_t, std::size_t> unsettled_; ///< batches, by round
  bool is_closing_ = false;
  std::optional<failure> final_; ///< nothing can be sent any more
  client_parts::node_limits limits_;
  bool is_ready_ = false;               ///< the first opening is done
  std::optional<failure> last_refusal_; ///< of an opening

  // The loop's.
  std::set<std::uint32_t> active_;
  std::uint32_t send_from_ = 0;
  bool pump_scheduled_ = false;
  bool is_finished_ = false;
  bool is_open_ = false;
  bool take_over_ = true;
  bool was_forgotten_ = false;
  std::uint64_t opening_ = 0;
  std::uint64_t session_ = 0; ///< grows with each session, ours to count
  std::uint64_t sends_ = 0;
  std::size_t calls_ = 0; ///< without an answer, in this session
  milliseconds open_pause_{50};
  std::optional<steady_time> open_at_;
  std::optional<wire::Producer::Client> holder_;
  std::unique_ptr<client_parts::waker> waker_;
  std::optional<batch_compressor> compressor_; ///< from the first batch on that it is wanted for
};

} // namespace waybill
