// What must be true: checked in release builds too, for a broken broker that goes on loses
// messages.
#pragma once

namespace waybill::detail {
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line) noexcept;
}

/// Ends the process with the expression and the place on stderr when it is false.
#define WAYBILL_ASSERT(expression)                                                                 \
  (static_cast<bool>(expression)                                                                   \
       ? void(0)                                                                                   \
       : ::waybill::detail::assertion_failed(#expression, __FILE__, __LINE__))
