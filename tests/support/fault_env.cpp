// The Env over the disk in memory: power, faults, damage by hand, the trace. What LevelDB calls of
// it is in fault_env_files.cpp.
#include "tests/support/fault_env.hpp"

#include "storage/assert.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <utility>

namespace waybill::test {

using leveldb::Status;

bool file_match::fits(const std::string& path) const {
  return (kind == file_kind::any || kind == kind_of(path)) &&
         fnmatch(pattern.c_str(), path.c_str(), 0) == 0;
}

void gate::pass() {
  std::unique_lock held{mutex_};
  arrived_ = true;
  changed_.notify_all();
  changed_.wait(held, [this] { return open_; });
}

void gate::await_arrival() {
  std::unique_lock held{mutex_};
  changed_.wait(held, [this] { return arrived_; });
}

void gate::open() {
  const std::lock_guard held{mutex_};
  open_ = true;
  changed_.notify_all();
}

fault_env::fault_env(trace_options options) : trace_{options}, worker_{[this] { work(); }} {}

fault_env::~fault_env() {
  {
    const lock held{mutex_};
    stopping_ = true;
    work_arrived_.notify_all();
  }
  worker_.join();
}

// ---- power -------------------------------------------------------------------------------------

cut_report fault_env::cut_now(power_cut_options options) {
  WAYBILL_ASSERT(!off_);
  std::mt19937_64 random{options.seed};
  off_ = true;
  ++boot_; // what is open belongs to the boot before, and is dead
  locks_.clear();
  planned_.reset();
  ++counters_.power_cuts;
  last_cut_ = disk_.power_cut(random, options.mode);
  trace_.add(event_kind::power_cut, {});
  return last_cut_;
}

cut_report fault_env::power_cut(power_cut_options options) {
  const lock held{mutex_};
  return cut_now(options);
}

void fault_env::cut_power_after(std::uint64_t operations, power_cut_options options) {
  const lock held{mutex_};
  planned_ = planned_cut{operations, options};
}

void fault_env::cancel_cut() {
  const lock held{mutex_};
  planned_.reset();
}

bool fault_env::is_off() const {
  const lock held{mutex_};
  return off_;
}

void fault_env::reboot() {
  const lock held{mutex_};
  off_ = false;
  trace_.add(event_kind::reboot, {});
}

cut_report fault_env::last_cut() const {
  const lock held{mutex_};
  return last_cut_;
}

Status fault_env::operate(const std::function<Status()>& action) {
  ++counters_.operations;
  if (!planned_ || planned_->operations_left-- > 0)
    return action();
  const auto options = planned_->options;
  if (std::mt19937_64{options.seed ^ 0x9e3779b97f4a7c15U}() % 2 == 0)
    (void)action(); // done, and then the power fails: nobody hears how it went
  cut_now(options);
  return check_on();
}

Status fault_env::check_on() const {
  return off_ ? Status::IOError("the power is off") : Status::OK();
}

Status fault_env::check_alive(const handle& which) const {
  if (off_ || which.boot != boot_)
    return Status::IOError(which.path, "opened before the power was cut");
  return Status::OK();
}

// ---- faults ------------------------------------------------------------------------------------

void fault_env::add(fault what) {
  const lock held{mutex_};
  faults_.push_back(std::move(what));
}

void fault_env::clear_faults() {
  const lock held{mutex_};
  faults_.clear();
}

void fault_env::limit_space(std::optional<std::uint64_t> bytes_left) {
  const lock held{mutex_};
  space_left_ = bytes_left;
}

std::optional<fault> fault_env::meet_fault(lock& held, operation on, const std::string& path) {
  for (auto& each : faults_) {
    if (each.on != on || !each.where.fits(path) || each.times == 0)
      continue;
    if (each.after > 0) {
      --each.after;
      continue;
    }
    if (each.times != for_ever)
      --each.times;
    const auto met = each;
    if (met.what != effect::call)
      return met;
    held.unlock();
    met.hook(path);
    held.lock();
    return std::nullopt;
  }
  return std::nullopt;
}

Status fault_env::append(const handle& to, const leveldb::Slice& data) {
  lock held{mutex_};
  const auto met = meet_fault(held, operation::write, to.path);
  if (const auto alive = check_alive(to); !alive.ok())
    return alive;
  return operate([&] { return write_bytes(to, data, met); });
}

Status fault_env::write_bytes(const handle& to, const leveldb::Slice& data,
                              const std::optional<fault>& met) {
  if (met && met->what == effect::misdirect)
    return misdirect(to, data, *met);
  auto fitting = static_cast<std::uint64_t>(data.size());
  std::string why;
  if (met) {
    fitting /= 2;
    why = met->message;
  }
  if (space_left_ && fitting > *space_left_) {
    fitting = *space_left_;
    why = "No space left on device";
  }
  if (space_left_)
    *space_left_ -= fitting;
  const auto offset = to.file->data.size();
  to.file->data.append(data.data(), fitting);
  ++counters_.writes;
  counters_.bytes_written += fitting;
  if (fitting > 0)
    trace_.add(event_kind::write, to.path, offset, fitting);
  if (why.empty())
    return Status::OK();
  trace_.add(event_kind::write_failed, to.path, to.file->data.size(), data.size());
  return Status::IOError(to.path, why);
}

Status fault_env::misdirect(const handle& from, const leveldb::Slice& data, const fault& met) {
  const auto offset = from.file->data.size();
  from.file->data.append(data.size(), '\0');
  trace_.add(event_kind::misdirected, from.path, offset, data.size(), met.victim);
  if (const auto victim = disk_.find(clean_path(met.victim)))
    for (std::size_t i = 0; i < data.size() && met.victim_offset + i < victim->data.size(); ++i)
      victim->data[met.victim_offset + i] = data[i];
  return Status::OK();
}

Status fault_env::sync(const handle& what) {
  lock held{mutex_};
  const auto met = meet_fault(held, operation::sync, what.path);
  if (const auto alive = check_alive(what); !alive.ok())
    return alive;
  return operate([&]() -> Status {
    if (!met) {
      disk_.sync(what.path, what.file);
      ++counters_.syncs;
      trace_.add_sync(what.path, what.file);
      return Status::OK();
    }
    if (met->what == effect::lie) {
      ++counters_.syncs_lied;
      trace_.add(event_kind::sync_lied, what.path, what.file->data.size());
      return Status::OK();
    }
    ++counters_.syncs_failed;
    disk_.sync_failed(what.file);
    trace_.add(event_kind::sync_failed, what.path, what.file->data.size());
    return Status::IOError(what.path, met->message);
  });
}

// ---- damage by hand ----------------------------------------------------------------------------

void fault_env::flip_bit(const std::string& path, std::uint64_t bit) {
  const lock held{mutex_};
  const auto file = disk_.find(clean_path(path));
  WAYBILL_ASSERT(file && bit / 8 < file->data.size());
  file->data[bit / 8] = static_cast<char>(file->data[bit / 8] ^ (1 << (bit % 8)));
  trace_.add(event_kind::damage, path, bit / 8, 1);
}

void fault_env::overwrite(const std::string& path, std::uint64_t offset, const std::string& bytes) {
  const lock held{mutex_};
  const auto file = disk_.find(clean_path(path));
  WAYBILL_ASSERT(file && offset + bytes.size() <= file->data.size());
  file->data.replace(offset, bytes.size(), bytes);
  trace_.add(event_kind::damage, path, offset, bytes.size());
}

void fault_env::cut_file(const std::string& path, std::uint64_t size) {
  const lock held{mutex_};
  const auto file = disk_.find(clean_path(path));
  WAYBILL_ASSERT(file && size <= file->data.size());
  trace_.add(event_kind::damage, path, size, file->data.size() - size);
  file->data.resize(size);
  file->synced = std::min(file->synced, size);
}

void fault_env::lose_file(const std::string& path) {
  const lock held{mutex_};
  WAYBILL_ASSERT(disk_.find(clean_path(path)));
  trace_.add(event_kind::damage, path);
  disk_.lose(clean_path(path));
}

// ---- looking -----------------------------------------------------------------------------------

std::vector<std::string> fault_env::files(const file_match& which) const {
  const lock held{mutex_};
  std::vector<std::string> found;
  for (const auto& [path, file] : disk_.files())
    if (which.fits(path))
      found.push_back(path);
  return found;
}

std::string fault_env::contents(const std::string& path) const {
  const lock held{mutex_};
  const auto file = disk_.find(clean_path(path));
  return file ? file->data : std::string{};
}

std::uint64_t fault_env::synced_bytes(const std::string& path) const {
  const lock held{mutex_};
  const auto file = disk_.find(clean_path(path));
  return file ? file->synced : 0;
}

fault_counters fault_env::counters() const {
  const lock held{mutex_};
  return counters_;
}

std::uint64_t fault_env::mark(const std::string& words) {
  const lock held{mutex_};
  return trace_.add(event_kind::mark, words);
}

std::vector<event> fault_env::trace() const {
  const lock held{mutex_};
  return trace_.events();
}

std::optional<std::uint64_t> fault_env::first_durable(const std::string& pattern) const {
  const lock held{mutex_};
  return trace_.first_durable(pattern);
}

bool fault_env::synced_before(std::uint64_t number, const std::string& pattern) const {
  const auto first = first_durable(pattern);
  return first && *first < number;
}

void fault_env::make_directories(const std::string& path) {
  const lock held{mutex_};
  const auto cleaned = clean_path(path);
  for (auto slash = cleaned.find('/', 1);; slash = cleaned.find('/', slash + 1)) {
    disk_.make_directory(cleaned.substr(0, slash));
    if (slash == std::string::npos)
      break;
  }
  disk_.sync_all();
}

} // namespace waybill::test
