#include "net/rpc/heedful_stream.hpp"

#include <capnp/rpc.capnp.h>
#include <kj/debug.h>

namespace waybill::rpc {

kj::Promise<kj::Maybe<capnp::MessageReaderAndFds>>
heedful_stream::tryReadMessage(kj::ArrayPtr<kj::AutoCloseFd> descriptors,
                               capnp::ReaderOptions options, kj::ArrayPtr<capnp::word> scratch) {
  if (writing_ && ahead_ >= ahead_max) {
    auto waiting = kj::newPromiseAndFulfiller<void>();
    reader_ = kj::mv(waiting.fulfiller);
    return waiting.promise.then([this, descriptors, options, scratch] {
      return tryReadMessage(descriptors, options, scratch);
    });
  }
  return inner_.tryReadMessage(descriptors, options, scratch)
      .then([this](kj::Maybe<capnp::MessageReaderAndFds>&& read) {
        KJ_IF_MAYBE (message, read)
          count(*message->reader);
        return kj::mv(read);
      });
}

void heedful_stream::count(capnp::MessageReader& message) {
  if (writing_)
    ++ahead_;
  switch (message.getRoot<capnp::rpc::Message>().which()) {
  case capnp::rpc::Message::BOOTSTRAP:
  case capnp::rpc::Message::CALL:
    KJ_REQUIRE(++calls_ <= calls_max_,
               "more calls have not been finished than net.connection-bytes-max has room for");
    break;
  case capnp::rpc::Message::FINISH:
    calls_ -= calls_ > 0 ? 1 : 0; // the RPC system ends who finishes what was no call
    break;
  default:
    break;
  }
}

kj::Promise<void>
heedful_stream::writeMessage(kj::ArrayPtr<const int> descriptors,
                             kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>> segments) {
  return watch(inner_.writeMessage(descriptors, segments));
}

kj::Promise<void> heedful_stream::writeMessages(
    kj::ArrayPtr<kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>>> messages) {
  return watch(inner_.writeMessages(messages));
}

kj::Promise<void> heedful_stream::watch(kj::Promise<void> written) {
  writing_ = true;
  return written.then(
      [this] {
        writing_ = false;
        // After all that is due now: if another answer was waiting, it is being written by then.
        looking_ = kj::evalLast([this] {
                     if (!writing_)
                       resume();
                   }).eagerlyEvaluate(nullptr);
      },
      [this](kj::Exception&& e) {
        writing_ = false;
        resume(); // reading tells the connection's end
        kj::throwFatalException(kj::mv(e));
      });
}

void heedful_stream::resume() {
  ahead_ = 0;
  if (reader_.get() == nullptr)
    return;
  auto waiting = kj::mv(reader_);
  waiting->fulfill();
}

} // namespace waybill::rpc
