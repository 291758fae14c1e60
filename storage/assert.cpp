// The end of a process that has found itself broken: say where, then abort.
#include "storage/assert.hpp"

#include <cstdio>
#include <cstdlib>

namespace waybill::detail {

void assertion_failed(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "waybill: %s:%d: this must be true and is not: %s\n", file, line,
               expression);
  std::fflush(stderr);
  std::abort();
}

} // namespace waybill::detail
