// Looking at the node, this process and this machine. See cost.hpp.
#include "apps/waybill/bench/cost.hpp"

#include <fstream>
#include <sstream>
#include <sys/resource.h>
#include <unistd.h>

namespace waybill::cli::bench {

namespace {

std::string content_of(const char* path) {
  std::ostringstream all;
  all << std::ifstream{path}.rdbuf();
  return all.str();
}

double own_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

void look_here(reading& into) {
  std::string machine;
  std::ifstream{"/proc/sys/kernel/random/boot_id"} >> machine;
  const auto times =
      parse_machine_times(content_of("/proc/stat"), static_cast<double>(::sysconf(_SC_CLK_TCK)));
  into.client = own_seconds();
  into.machine = times.value_or(machine_times{});
  into.shares_machine = times && !machine.empty() && machine == into.node.machine;
}

} // namespace

reading read_before(client& depot) {
  reading r;
  static_cast<void>(depot.stats(memory_peak::reset));
  r.node = depot.stats();
  look_here(r);
  r.at = std::chrono::steady_clock::now();
  return r;
}

reading read_after(client& depot) {
  reading r;
  r.at = std::chrono::steady_clock::now();
  r.node = depot.stats();
  look_here(r);
  return r;
}

} // namespace waybill::cli::bench
