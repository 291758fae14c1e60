// See outcomes.hpp.
#include "apps/waybill/outcomes.hpp"

namespace waybill::cli {

namespace {
// One line that is tried again for half a minute must not let the memory grow with all the lines
// that overtake it.
constexpr std::uint64_t open_lines_max = 200'000;
constexpr std::size_t written_at_once = 10'000;
} // namespace

std::string receipts_line(const outcome& o) {
  switch (o.what) {
  case fate::recorded:
    return {};
  case fate::given_up:
    return std::string{given_up_mark} + o.text + "\n";
  default:
    return (o.text.empty() ? std::string{earlier_mark} : o.text) + "\n";
  }
}

outcome_log::outcome_log(files f) {
  if (!f.receipts.empty())
    receipts_.emplace(f.receipts, f.receipts_opening);
  if (!f.unconfirmed.empty())
    unconfirmed_.emplace(f.unconfirmed, output_file::opening::anew);
  writer_ = std::thread{[this] { run(); }};
}

outcome_log::~outcome_log() {
  {
    const std::lock_guard lock{mutex_};
    end_ = true;
  }
  to_write_.notify_one();
  writer_.join();
}

void outcome_log::begin(std::uint64_t number) {
  std::unique_lock lock{mutex_};
  WAYBILL_ASSERT(number == begun_ + 1);
  written_.wait(lock, [&] { return number - done_ <= open_lines_max; });
  begun_ = number;
}

void outcome_log::settle(std::uint64_t number, outcome o) {
  bool wake = false;
  {
    const std::lock_guard lock{mutex_};
    count(o);
    waiting_.put(number, std::move(o));
    wake = waiting_.ready();
  }
  if (wake)
    to_write_.notify_one();
}

void outcome_log::count(const outcome& o) {
  switch (o.what) {
  case fate::confirmed:
    ++totals_.confirmed;
    break;
  case fate::earlier:
    totals_.receipts_missing += o.text.empty() && receipts_ ? 1 : 0;
    ++totals_.earlier;
    break;
  case fate::recorded:
    ++totals_.earlier;
    break;
  case fate::given_up:
    ++totals_.given_up;
    break;
  }
}

void outcome_log::wait_all() {
  std::unique_lock lock{mutex_};
  written_.wait(lock, [&] { return done_ == begun_; });
}

void outcome_log::write_unconfirmed(std::string_view bytes) {
  if (unconfirmed_ && !failure())
    unconfirmed_->write(bytes);
}

outcome_log::totals outcome_log::so_far() const {
  const std::lock_guard lock{mutex_};
  return totals_;
}

std::optional<std::string> outcome_log::failure() const {
  const std::lock_guard lock{mutex_};
  return failure_;
}

void outcome_log::run() {
  std::unique_lock lock{mutex_};
  while (true) {
    to_write_.wait(lock, [this] { return end_ || waiting_.ready(); });
    if (!waiting_.ready())
      return;
    const auto some = waiting_.take_ready(written_at_once);
    const bool writes = !failure_;
    lock.unlock();
    std::optional<std::string> failed;
    try {
      if (writes)
        write(some);
    } catch (const output_error& e) {
      failed = e.what();
    }
    lock.lock();
    if (failed)
      failure_ = failed;
    done_ += some.size();
    written_.notify_all();
  }
}

void outcome_log::write(const std::vector<outcome>& some) {
  std::string receipts, unconfirmed;
  for (const auto& each : some) {
    if (receipts_)
      receipts += receipts_line(each);
    if (unconfirmed_ && each.what == fate::given_up) {
      unconfirmed += each.body;
      unconfirmed += each.newline ? "\n" : "";
    }
  }
  if (receipts_)
    receipts_->write(receipts);
  if (unconfirmed_)
    unconfirmed_->write(unconfirmed);
}

} // namespace waybill::cli
