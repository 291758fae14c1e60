// What the driver is asked to do, and how it gives up.
#pragma once

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <string>
#include <vector>

using std::string;
using std::vector;

[[noreturn]] inline void die(const char* fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  fprintf(stderr, "driver: ");
  vfprintf(stderr, fmt, ap);
  fprintf(stderr, "\n");
  va_end(ap);
  _exit(1);
}

inline int64_t now_ns() {
  timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

struct Opts {
  string peer, workload, dir, wait_cmd, client = "raw", mode;
  vector<int> ports;
  vector<int> pids;
  int size = 1024, window = 1000, conns = 1, replicas = 1, wait_batch = 250;
  int wait_need = 1, prefetch = 1000;
  double seconds = 8, rate = 0, warmup = 1, max_seconds = 30;
  uint64_t count = 0, min_count = 0;
  bool consume = false, ack_multiple = false, keep = false;
};
inline Opts O;
