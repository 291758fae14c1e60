// One administrative call: waits for a session, asks, repeats in the next session if its answer was
// lost, and is bounded by the call time-out in all.
#pragma once

#include "net/client/core.hpp"
#include "net/client/link.hpp"
#include "net/client/wire_values.hpp"

#include <functional>
#include <future>
#include <memory>
#include <optional>

namespace waybill::client_parts {

/// What an answer says: a value, or why not, and whether to ask again.
template <class T>
struct admin_answer {
  result<T> value;
  bool retry = false;
};

template <class T>
class admin_call final : public link_user, public std::enable_shared_from_this<admin_call<T>> {
public:
  /// Sends the request, and reads its answer. Runs on the loop, perhaps several times;
  /// `was_asked`: an earlier answer was lost, so the call may have taken effect before.
  using ask = std::function<kj::Promise<admin_answer<T>>(wire::Session::Client, bool was_asked)>;

  admin_call(std::shared_ptr<core> owner, const char* what, ask how)
      : core_{std::move(owner)}, what_{what}, ask_{std::move(how)} {}

  /// Blocks. @throws client_error
  T run() {
    core_->must_not_be_on_loop(what_);
    auto answer = promised_.get_future();
    core_->post([self = this->shared_from_this()] { self->begin(); });
    auto outcome = answer.get();
    if (!outcome)
      throw client_error{outcome.error()};
    if constexpr (!std::is_void_v<T>)
      return *std::move(outcome);
  }

  void session_up() override { send(); }
  void session_down(const failure& why) override {
    ++asking_;
    is_refused_ = false;
    last_ = why;
  }
  void refused(const failure& why) override { settle(why); }

private:
  void begin() {
    auto* net = core_->net();
    if (!net) {
      settle(failure{ec::stopping, "the client has ended"});
      return;
    }
    const auto span = core_->options.call_timeout;
    net->tasks().add(
        net->timer().afterDelay(to_kj(span)).then([weak = this->weak_from_this(), span] {
          if (const auto self = weak.lock())
            self->expire(span);
        }));
    net->add(this->shared_from_this());
  }

  void expire(milliseconds span) {
    auto* net = core_->net();
    if (is_refused_)
      return settle(failure{last_.code, std::string{what_} + " was refused for " +
                                            std::to_string(span.count()) + " ms: " + last_.detail});
    auto why = last_.detail;
    if (why.empty() && net)
      why = net->trouble();
    if (net && net->is_up() && was_asked_)
      net->suspect(); // it is there, and did not answer
    settle(failure{was_asked_ ? ec::timed_out : ec::unreachable,
                   std::string{what_} + " got no answer within " + std::to_string(span.count()) +
                       " ms" + (why.empty() ? std::string{} : ": " + why)});
  }

  void send() {
    auto* net = core_->net();
    if (is_settled_ || !net || !net->is_up())
      return;
    is_refused_ = false;
    const auto id = ++asking_;
    const bool before = std::exchange(was_asked_, true);
    net->tasks().add(ask_(net->session(), before)
                         .then([self = this->shared_from_this(),
                                id](admin_answer<T>&& a) { self->answered(id, kj::mv(a)); },
                               [self = this->shared_from_this(), id](kj::Exception&& e) {
                                 if (is_disconnect(e))
                                   return; // the next session asks again
                                 self->answered(id, {to_failure(e), false});
                               }));
  }

  void answered(std::uint64_t id, admin_answer<T>&& a) {
    auto* net = core_->net();
    if (net)
      net->heard();
    if (id != asking_ || is_settled_)
      return;
    if (a.value || !a.retry || !net) {
      settle(std::move(a.value));
      return;
    }
    last_ = a.value.error();
    is_refused_ = true;
    net->tasks().add(
        net->timer().afterDelay(to_kj(again_after)).then([weak = this->weak_from_this(), id] {
          if (const auto self = weak.lock(); self && id == self->asking_)
            self->send();
        }));
  }

  void settle(result<T> outcome) {
    if (std::exchange(is_settled_, true))
      return;
    const auto self = this->shared_from_this(); // the link lets go
    if (auto* net = core_->net())
      net->remove(*this);
    promised_.set_value(std::move(outcome));
  }

  static constexpr milliseconds again_after{200};

  const std::shared_ptr<core> core_;
  const char* what_;
  ask ask_;
  std::promise<result<T>> promised_;
  std::uint64_t asking_ = 0;
  bool was_asked_ = false;
  bool is_refused_ = false; ///< `last_` is why: the node answered, and may be asked again
  bool is_settled_ = false;
  failure last_{ec::none, {}};
};

/// `error` as an answer.
template <class T>
admin_answer<T> refusal(wire::Error::Reader error) {
  auto why = to_failure(error);
  return {std::move(why.why), why.retry};
}

/// An answer that a newer node may give.
template <class T>
admin_answer<T> strange() {
  return {failure{ec::internal, "the node's answer is of a kind that this library does not know"},
          false};
}

/// Sends `request` and hands the outcome to `read`.
template <class T, class Request, class Read>
kj::Promise<admin_answer<T>> asked(Request&& request, Read read) {
  return request.send().then([read = std::move(read)](auto&& response) mutable -> admin_answer<T> {
    return read(response.getOutcome());
  });
}

/// Makes the call that `how` asks. Blocks. @throws client_error
template <class T, class Ask>
T call(const std::shared_ptr<core>& owner, const char* what, Ask how) {
  return std::make_shared<admin_call<T>>(owner, what, std::move(how))->run();
}

} // namespace waybill::client_parts
