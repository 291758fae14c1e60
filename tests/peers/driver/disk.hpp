// The floor: write and fdatasync in a loop, without a broker.
#pragma once

#include "tests/peers/driver/pump.hpp"

inline int run_disk() {
  string path = O.dir + "/disk-floor";
  bool pre = O.mode == "prealloc";
  int fd = open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
  if (fd < 0)
    die("open %s: %s", path.c_str(), strerror(errno));
  vector<char> b = make_payload(O.size);
  if (pre) { // write the blocks first: later writes change no metadata
    vector<char> z(1 << 20);
    for (int i = 0; i < 256; i++)
      if (write(fd, z.data(), z.size()) != (ssize_t)z.size())
        die("write");
    fsync(fd);
    lseek(fd, 0, SEEK_SET);
  }
  vector<float> lat;
  Meter m;
  m.begin();
  uint64_t n = 0, off = 0;
  while (now_ns() - m.t0 < O.seconds * 1e9) {
    int64_t a = now_ns();
    if (pre && off + O.size > (256u << 20)) {
      lseek(fd, 0, SEEK_SET);
      off = 0;
    }
    if (write(fd, b.data(), O.size) != O.size)
      die("write: %s", strerror(errno));
    if (fdatasync(fd) != 0)
      die("fdatasync: %s", strerror(errno));
    lat.push_back((now_ns() - a) / 1000.0f);
    n++;
    off += O.size;
  }
  m.end();
  close(fd);
  unlink(path.c_str());
  m.report(n, O.size, lat, 0);
  return 0;
}
