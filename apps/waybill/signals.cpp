// See signals.hpp.
#include "apps/waybill/signals.hpp"

#include "storage/assert.hpp"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <unistd.h>

namespace waybill::cli::stop_signal {

namespace {

// A signal handler can reach nothing but globals.
volatile std::sig_atomic_t asked = 0;
int ends[2] = {-1, -1};

void on_signal(int) {
  const int kept = errno;
  asked = 1;
  [[maybe_unused]] const auto n = ::write(ends[1], "", 1);
  errno = kept;
}

} // namespace

void install() {
  WAYBILL_ASSERT(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESETHAND; // the second one has its usual effect
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

bool requested() noexcept { return asked != 0; }

int descriptor() noexcept { return ends[0]; }

} // namespace waybill::cli::stop_signal
