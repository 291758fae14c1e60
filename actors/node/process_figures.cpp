// See process_figures.hpp.
#include "actors/node/process_figures.hpp"

#include <fstream>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

namespace waybill {

namespace {

std::chrono::microseconds span_of(const timeval& t) {
  return std::chrono::seconds{t.tv_sec} + std::chrono::microseconds{t.tv_usec};
}

void read_memory(process_figures& into) {
  std::ifstream status{"/proc/self/status"};
  for (std::string word; status >> word;) {
    std::uint64_t kib = 0;
    if (word == "VmRSS:" && status >> kib)
      into.memory_bytes = kib * 1'024;
    else if (word == "VmHWM:" && status >> kib)
      into.memory_peak_bytes = kib * 1'024;
  }
}

} // namespace

process_figures read_process_figures() {
  process_figures found;
  found.process = static_cast<std::uint64_t>(::getpid());
  std::ifstream{"/proc/sys/kernel/random/boot_id"} >> found.machine;
  rusage used{};
  if (::getrusage(RUSAGE_SELF, &used) == 0) {
    found.cpu_user = span_of(used.ru_utime);
    found.cpu_system = span_of(used.ru_stime);
  }
  read_memory(found);
  return found;
}

void reset_memory_peak() { std::ofstream{"/proc/self/clear_refs"} << "5"; }

} // namespace waybill
