// Standard error as people see it: notes, and one progress line below them that is drawn again and
// again. Progress is shown on a terminal only; in a pipe there are notes alone.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace waybill::cli {

/// May be used from any thread.
class console {
public:
  enum class style { text, json };
  explicit console(style how);
  void set_style(style how);
  /// A line for people; as JSON: {"note": …}.
  void note(const std::string& text);
  /// A line exactly as it stands.
  void line(const std::string& text);
  [[nodiscard]] bool shows_progress() const;
  void show(const std::string& text);
  void clear();

private:
  mutable std::mutex mutex_;
  style style_;
  bool terminal_;
  bool shown_ = false;
  void clear_locked();
};

/// Shows what `text` answers, five times a second, from a thread of its own, until it is destroyed.
class progress {
public:
  /// `text` is called from the progress thread. Does nothing where progress is not shown.
  progress(console& where, std::function<std::string()> text);
  ~progress();
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;

private:
  console& where_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool end_ = false;
  std::thread thread_;
};

/// `1,234 of 5,678 lines (21 %), 1,000/s, 4 s left`; unknown parts are left out.
struct progress_state {
  std::uint64_t count = 0;
  std::string noun;
  double seconds = 0;
  double fraction = -1; ///< 0..1; negative: not known
};
[[nodiscard]] std::string progress_text(const progress_state& s);

} // namespace waybill::cli
