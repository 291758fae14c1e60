// See disk_floor.hpp.
#include "apps/waybill/bench/disk_floor.hpp"

#include "apps/waybill/bench/histogram.hpp"
#include "apps/waybill/signals.hpp"
#include "apps/waybill/table.hpp"
#include "apps/waybill/text.hpp"
#include "storage/assert.hpp"

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <random>
#include <unistd.h>

namespace waybill::cli::bench {

namespace {

using clock = std::chrono::steady_clock;

/// Bytes that no layer below can make smaller.
std::string random_bytes(std::size_t count) {
  std::mt19937_64 source{std::random_device{}()};
  std::string bytes(count, '\0');
  for (auto& each : bytes)
    each = static_cast<char>(source());
  return bytes;
}

failure io_failure(const std::string& path, const char* what) {
  return {ec::storage_failed, "The disk's floor cannot be measured: " + path + ": " + what + ": " +
                                  std::strerror(errno) + "."};
}

result<disk_floor> measure(int fd, const std::string& path, std::size_t size,
                           std::chrono::milliseconds span) {
  const auto bytes = random_bytes(size);
  histogram spans;
  const auto start = clock::now();
  auto last = start;
  while (last - start < span && !stop_signal::requested()) {
    if (::write(fd, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
      return io_failure(path, "write");
    if (::fdatasync(fd) != 0)
      return io_failure(path, "fdatasync");
    const auto now = clock::now();
    spans.add(now - last);
    last = now;
  }
  const double seconds = std::max(std::chrono::duration<double>(last - start).count(), 1e-9);
  const double rate = static_cast<double>(spans.count()) / seconds;
  return disk_floor{size, rate, rate * static_cast<double>(size) / 1e6, spans.percentile(0.5)};
}

} // namespace

result<std::vector<disk_floor>> measure_floor(const std::string& directory,
                                              const std::vector<std::size_t>& sizes,
                                              std::chrono::milliseconds span) {
  std::string path = directory + "/waybill-floor-XXXXXX";
  const int fd = ::mkstemp(path.data());
  if (fd < 0)
    return io_failure(directory, "create a file");
  ::unlink(path.c_str()); // gone with its descriptor, whatever happens
  std::vector<disk_floor> floors;
  std::optional<failure> failed;
  for (const auto size : sizes) {
    const auto one = measure(fd, path, size, span);
    if (!one) {
      failed = one.error();
      break;
    }
    floors.push_back(*one);
  }
  ::close(fd);
  if (failed)
    return *failed;
  return floors;
}

std::vector<disk_floor> mean_of(const std::vector<disk_floor>& one,
                                const std::vector<disk_floor>& other) {
  WAYBILL_ASSERT(one.size() == other.size());
  std::vector<disk_floor> mean = one;
  for (std::size_t i = 0; i < mean.size(); ++i) {
    mean[i].per_second = (one[i].per_second + other[i].per_second) / 2;
    mean[i].megabytes_per_second =
        (one[i].megabytes_per_second + other[i].megabytes_per_second) / 2;
    mean[i].median = (one[i].median + other[i].median) / 2;
  }
  return mean;
}

std::optional<double> share_of_floor(double speed, double floor) {
  if (!(floor > 0 && speed <= floor))
    return std::nullopt;
  return speed / floor;
}

std::string floor_text(const std::vector<disk_floor>& floors) {
  table t{{{"FLOOR: WRITE + FDATASYNC"},
           {"PER SECOND", align::right},
           {"MB/S", align::right},
           {"MEDIAN MS", align::right}}};
  for (const auto& f : floors)
    t.add({human_bytes(static_cast<double>(f.bytes)),
           grouped(static_cast<std::uint64_t>(f.per_second)), fixed(f.megabytes_per_second, 1),
           fixed(static_cast<double>(f.median.count()) / 1e6, 3)});
  return t.text();
}

json floor_json(const std::vector<disk_floor>& floors) {
  json list = json::array();
  for (const auto& f : floors)
    list.push_back({{"bytes", f.bytes},
                    {"per_s", std::round(f.per_second * 10) / 10},
                    {"mb_per_s", std::round(f.megabytes_per_second * 100) / 100},
                    {"p50_ms", std::round(static_cast<double>(f.median.count()) / 1e3) / 1e3}});
  return list;
}

} // namespace waybill::cli::bench
