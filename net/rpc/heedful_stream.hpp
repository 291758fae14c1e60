// A connection's messages, counted: what a peer costs that sends calls and takes no answers, or
// never says that it is done with them, has bounds. The RPC system itself has none for either: it
// keeps every answer until the peer has taken it, and what it knows of a call until the peer ends
// it (about 4 KiB).
#pragma once

#include <capnp/serialize-async.h>
#include <kj/async-io.h>

namespace waybill::rpc {

class heedful_stream final : public capnp::MessageStream {
public:
  /// @param stream must outlive this
  /// @param calls_max calls that the peer has not ended; beyond it reading fails, which ends the
  /// connection
  heedful_stream(kj::AsyncIoStream& stream, std::size_t calls_max)
      : inner_{stream}, calls_max_{calls_max} {}

  kj::Promise<kj::Maybe<capnp::MessageReaderAndFds>>
  tryReadMessage(kj::ArrayPtr<kj::AutoCloseFd> descriptors, capnp::ReaderOptions options,
                 kj::ArrayPtr<capnp::word> scratch) override;
  kj::Promise<void>
  writeMessage(kj::ArrayPtr<const int> descriptors,
               kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>> segments) override;
  kj::Promise<void> writeMessages(
      kj::ArrayPtr<kj::ArrayPtr<const kj::ArrayPtr<const capnp::word>>> messages) override;
  kj::Maybe<int> getSendBufferSize() override { return inner_.getSendBufferSize(); }
  kj::Promise<void> end() override { return inner_.end(); }

private:
  /// Messages that are still read while answers wait for the peer.
  static constexpr std::size_t ahead_max = 200;

  void count(capnp::MessageReader& message);
  kj::Promise<void> watch(kj::Promise<void> written);
  void resume();

  capnp::AsyncIoMessageStream inner_;
  std::size_t calls_max_;
  std::size_t calls_ = 0;                      ///< not ended by the peer
  bool writing_ = false;                       ///< the RPC system writes one message at a time
  std::size_t ahead_ = 0;                      ///< read since the peer last had all its answers
  kj::Own<kj::PromiseFulfiller<void>> reader_; ///< waits for the peer; null: nobody does
  kj::Promise<void> looking_ = nullptr;
};

} // namespace waybill::rpc
