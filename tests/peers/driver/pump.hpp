// Publishing as a workload says: as fast as the window lets it, or at a rate.
#pragma once

#include "tests/peers/driver/roles.hpp"

inline vector<char> make_payload(int size) {
  vector<char> v(std::max(size, 16));
  uint64_t x = 88172645463325252ull;
  for (auto& c : v) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    c = (char)x;
  }
  return v;
}

// Publishes until the deadline (or count messages), keeping at most `window`
// unconfirmed, then waits for every confirm.
inline void pump(Producer& p, Tracker& t, int window, int64_t deadline, uint64_t min_count,
                 uint64_t max_count, double rate) {
  vector<char> pay = make_payload(O.size);
  int64_t start = now_ns();
  uint64_t first = t.sent;
  t.last_progress = start;
  for (;;) {
    int64_t n = now_ns();
    uint64_t mine = t.sent - first;
    bool go = (n < deadline || (mine < min_count && n < start + (int64_t)(O.max_seconds * 1e9))) &&
              (!max_count || mine < max_count);
    int64_t next = 0;
    while (go && t.open() < (uint64_t)window && p.pending() < 65536) {
      int64_t ts = now_ns();
      if (rate > 0) {
        next = start + (int64_t)((t.sent - first) * 1e9 / rate);
        if (next > ts)
          break;
        ts = next; // the moment it was due, so that a stall is charged to every message it delays
      }
      memcpy(&pay[0], &t.sent, 8);
      memcpy(&pay[8], &ts, 8);
      t.mark(t.sent, ts);
      p.send(t.sent, pay.data(), O.size);
      t.sent++;
      if (max_count && t.sent - first >= max_count)
        break;
      if (ts > deadline && t.sent - first >= min_count)
        break;
    }
    bool full = t.open() >= (uint64_t)window || !go;
    p.flush(full || rate > 0);
    if (!go && t.open() == 0)
      break;
    int64_t w = 0;
    if (full)
      w = 100000000;
    else if (rate > 0 && next > 0)
      w = std::max<int64_t>(0, next - now_ns());
    p.poll_confirms(t, w);
    if (now_ns() - t.last_progress > 60000000000LL)
      die("no confirm for 60 s (%llu open)", (unsigned long long)t.open());
  }
}
