// See console.hpp.
#include "apps/waybill/console.hpp"

#include "apps/waybill/json.hpp"
#include "apps/waybill/output.hpp"
#include "apps/waybill/text.hpp"

#include <chrono>
#include <unistd.h>

namespace waybill::cli {

namespace {

// Nothing can be told to anybody when standard error is gone.
void to_stderr(const std::string& text) {
  [[maybe_unused]] const auto outcome = write_out(STDERR_FILENO, text, -1);
}

} // namespace

console::console(style how) : style_{how}, terminal_{::isatty(STDERR_FILENO) == 1} {}

void console::set_style(style how) {
  const std::lock_guard lock{mutex_};
  style_ = how;
}

void console::note(const std::string& text) {
  const std::lock_guard lock{mutex_};
  clear_locked();
  to_stderr(style_ == style::json ? json_line({{"note", text}}) : "waybill: " + text + "\n");
}

void console::line(const std::string& text) {
  const std::lock_guard lock{mutex_};
  clear_locked();
  to_stderr(text + "\n");
}

bool console::shows_progress() const {
  const std::lock_guard lock{mutex_};
  return terminal_ && style_ == style::text;
}

void console::show(const std::string& text) {
  const std::lock_guard lock{mutex_};
  to_stderr("\r" + text + "\033[K");
  shown_ = true;
}

void console::clear() {
  const std::lock_guard lock{mutex_};
  clear_locked();
}

void console::clear_locked() {
  if (shown_)
    to_stderr("\r\033[K");
  shown_ = false;
}

progress::progress(console& where, std::function<std::string()> text) : where_{where} {
  if (!where.shows_progress())
    return;
  thread_ = std::thread{[this, text = std::move(text)] {
    std::unique_lock lock{mutex_};
    while (!ended_.wait_for(lock, std::chrono::milliseconds{200}, [this] { return end_; }))
      where_.show(text());
  }};
}

progress::~progress() {
  if (!thread_.joinable())
    return;
  {
    const std::lock_guard lock{mutex_};
    end_ = true;
  }
  ended_.notify_one();
  thread_.join();
  where_.clear();
}

std::string progress_text(const progress_state& s) {
  std::string text = counted(s.count, s.noun);
  if (s.fraction >= 0)
    text += " (" + fixed(100 * s.fraction, 1) + " %)";
  if (s.seconds > 0.5)
    text +=
        ", " + grouped(static_cast<std::uint64_t>(static_cast<double>(s.count) / s.seconds)) + "/s";
  if (s.fraction > 0.01 && s.fraction < 1 && s.seconds > 0.5)
    text += ", " + fixed(s.seconds * (1 - s.fraction) / s.fraction, 0) + " s left";
  return text;
}

} // namespace waybill::cli
