// Counting: confirms and their latencies, processor time, memory; and the row that comes of it.
#pragma once

#include "tests/peers/driver/options.hpp"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>

#include <algorithm>

struct Tracker {
  static constexpr uint64_t RING = 1 << 21;
  vector<int64_t> at; // send time, 0 = not outstanding
  vector<float> lat_us;
  uint64_t sent = 0, conf = 0, failed = 0, base = 0;
  int64_t last_progress = now_ns();
  Tracker() : at(RING, 0) {}
  void mark(uint64_t id, int64_t t) {
    int64_t& s = at[id & (RING - 1)];
    if (s)
      die("confirm ring overrun at %llu", (unsigned long long)id);
    s = t;
  }
  void confirm(uint64_t id, bool ok = true) {
    if (id >= sent)
      die("confirm for a message never sent: %llu", (unsigned long long)id);
    int64_t& s = at[id & (RING - 1)];
    if (!s)
      return; // already settled
    int64_t n = now_ns();
    lat_us.push_back((n - s) / 1000.0f);
    s = 0;
    if (ok)
      conf++;
    else
      failed++;
    last_progress = n;
  }
  void confirm_upto(uint64_t id, bool ok = true) {
    for (; base <= id; base++)
      confirm(base, ok);
  }
  uint64_t open() const { return sent - conf - failed; }
};

inline double pct(vector<float>& v, double p) {
  if (v.empty())
    return 0;
  size_t i = std::min(v.size() - 1, (size_t)(p * v.size()));
  return v[i] / 1000.0;
}

inline double cpu_of(const vector<int>& pids) {
  double t = 0;
  for (int p : pids) {
    char path[64], buf[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", p);
    FILE* f = fopen(path, "r");
    if (!f)
      die("server process %d is gone", p);
    size_t n = fread(buf, 1, sizeof buf - 1, f);
    fclose(f);
    buf[n] = 0;
    char* q = strrchr(buf, ')');
    unsigned long ut = 0, st = 0;
    if (q)
      sscanf(q + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &ut, &st);
    t += (double)(ut + st) / sysconf(_SC_CLK_TCK);
  }
  return t;
}
inline double cpu_self() {
  rusage r;
  getrusage(RUSAGE_SELF, &r);
  return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}
// busy CPU time of the whole machine, and the part of it the hypervisor took
inline double cpu_machine(double* steal) {
  unsigned long long v[8] = {0};
  FILE* f = fopen("/proc/stat", "r");
  if (f) {
    if (fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", v, v + 1, v + 2, v + 3, v + 4,
               v + 5, v + 6, v + 7) != 8) {
    }
    fclose(f);
  }
  double hz = sysconf(_SC_CLK_TCK);
  *steal = v[7] / hz;
  return (v[0] + v[1] + v[2] + v[5] + v[6]) / hz;
}
inline void reset_rss(const vector<int>& pids) {
  for (int p : pids) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/clear_refs", p);
    int fd = open(path, O_WRONLY);
    if (fd >= 0) {
      if (write(fd, "5", 1) != 1) {
      }
      close(fd);
    }
  }
}
inline double peak_rss(const vector<int>& pids) {
  double mb = 0;
  for (int p : pids) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/%d/status", p);
    FILE* f = fopen(path, "r");
    if (!f)
      continue;
    while (fgets(line, sizeof line, f)) {
      long kb;
      if (sscanf(line, "VmHWM: %ld", &kb) == 1)
        mb += kb / 1024.0;
    }
    fclose(f);
  }
  return mb;
}

struct Meter {
  double c0, k0, m0, s0;
  int64_t t0, t1 = 0;
  double c1 = 0, k1 = 0, m1 = 0, s1 = 0;
  void begin() {
    reset_rss(O.pids);
    c0 = cpu_of(O.pids);
    k0 = cpu_self();
    m0 = cpu_machine(&s0);
    t0 = now_ns();
  }
  void end() {
    t1 = now_ns();
    c1 = cpu_of(O.pids);
    k1 = cpu_self();
    m1 = cpu_machine(&s1);
  }
  void report(uint64_t n, int size, vector<float>& lat, uint64_t failed, const char* extra = "") {
    std::sort(lat.begin(), lat.end());
    double s = (t1 - t0) / 1e9;
    printf("{\"message_bytes\": %d, \"messages\": %llu, \"seconds\": %.3f, \"msgs_per_s\": %.1f, "
           "\"mb_per_s\": %.2f, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f, "
           "\"cpu_s_server\": %.2f, \"cpu_s_client\": %.2f, \"peak_rss_mb_server\": %.1f, "
           "\"cpu_s_other\": %.2f, \"cpu_s_stolen\": %.2f, \"failed\": %llu%s}\n",
           size, (unsigned long long)n, s, n / s, n * (double)size / s / 1e6, pct(lat, .5),
           pct(lat, .99), pct(lat, .999), c1 - c0, k1 - k0, peak_rss(O.pids),
           std::max(0.0, m1 - m0 - (c1 - c0) - (k1 - k0)), s1 - s0, (unsigned long long)failed,
           extra);
    fflush(stdout);
  }
};
