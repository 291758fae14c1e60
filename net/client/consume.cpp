// `consume`: handlers, several at once, over one subscription.
#include "net/client/client_impl.hpp"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>

namespace waybill {

using client_parts::steady_clock;

namespace {

/// One `consume`: what its threads share.
class work {
public:
  work(consumer::impl& from, const std::function<void(const message&)>& handler,
       const consume_options& options)
      : from_{from}, handler_{handler}, options_{options} {}

  /// Of each thread. Ends when all have reason to.
  void run() noexcept {
    try {
      while (!is_done_)
        if (auto m = from_.next(patience()))
          handle(*m);
        else if (must_end())
          end();
    } catch (...) {
      {
        const std::lock_guard lock{mutex_};
        if (!trouble_)
          trouble_ = std::current_exception();
      }
      end();
    }
  }

  void rethrow() const {
    if (trouble_)
      std::rethrow_exception(trouble_);
  }

private:
  static constexpr milliseconds look_up{1'000}; ///< how long a thread sleeps without a message

  [[nodiscard]] milliseconds patience() const {
    if (!options_.idle_exit)
      return look_up;
    const auto left = from_.idle_since() + *options_.idle_exit - steady_clock::now();
    return std::clamp(std::chrono::ceil<milliseconds>(left), milliseconds{1}, look_up);
  }

  [[nodiscard]] bool must_end() const {
    return from_.is_interrupted() ||
           (options_.idle_exit && steady_clock::now() - from_.idle_since() >= *options_.idle_exit);
  }

  void end() {
    is_done_ = true;
    from_.interrupt();
  }

  void handle(const message& m) {
    const auto place = started_.fetch_add(1);
    if (options_.messages_max && place >= *options_.messages_max) {
      from_.give_back(m);
      end();
      return;
    }
    from_.begin_work(m);
    try {
      handler_(m);
      from_.ack(m);
    } catch (const std::exception& e) {
      from_.nack(m, e.what(), std::nullopt);
    } catch (...) {
      from_.nack(m, "the handler threw something that is no std::exception", std::nullopt);
    }
    from_.end_work(m);
    if (options_.messages_max && place + 1 >= *options_.messages_max)
      end();
  }

  consumer::impl& from_;
  const std::function<void(const message&)>& handler_;
  const consume_options& options_;
  std::atomic<std::uint64_t> started_{0};
  std::atomic<bool> is_done_{false};
  std::mutex mutex_;
  std::exception_ptr trouble_;
};

} // namespace

std::uint64_t client::consume(const std::string& topic, const std::string& group,
                              std::function<void(const message&)> handler,
                              consume_options options) {
  if (options.messages_max) {
    if (*options.messages_max == 0)
      return 0;
    options.credit_messages = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(options.credit_messages, *options.messages_max));
  }
  auto from = consumer::impl::open(impl_->core, impl_->line, topic, group, options);
  // Through the handle, which closes it whatever happens here.
  waybill::consumer handle{from};
  {
    const std::lock_guard lock{impl_->mutex};
    impl_->consuming.insert(from);
    if (impl_->is_stopped)
      from->interrupt();
  }
  work shared{*from, handler, options};
  {
    std::vector<std::jthread> others;
    for (std::uint32_t i = 1; i < std::max(options.threads, 1u); ++i)
      others.emplace_back([&shared] { shared.run(); });
    shared.run();
  }
  {
    const std::lock_guard lock{impl_->mutex};
    impl_->consuming.erase(from);
  }
  handle.close();
  shared.rethrow();
  return from->committed();
}

} // namespace waybill
