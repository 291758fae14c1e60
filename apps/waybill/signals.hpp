// SIGINT and SIGTERM ask for a clean stop; the second one ends the process at once. SIGPIPE is
// ignored: a reader that went away is an error value of the write.
#pragma once

namespace waybill::cli::stop_signal {

/// Once, at the start of the process, before any thread.
void install();
[[nodiscard]] bool requested() noexcept;
/// Readable from the first signal on: for `poll`. -1 before `install`.
[[nodiscard]] int descriptor() noexcept;

} // namespace waybill::cli::stop_signal
