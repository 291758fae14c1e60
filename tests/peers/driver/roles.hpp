// A connection with buffers of its own, and what every broker has to offer: a producer, a consumer.
#pragma once

#include "tests/peers/driver/stats.hpp"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <functional>

struct Sock {
  int fd = -1;
  vector<char> out, in;
  size_t ib = 0, ie = 0;
  Sock() : in(1 << 20) { out.reserve(1 << 18); }
  void connect_to(int port) {
    fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (sockaddr*)&a, sizeof a) < 0)
      die("connect to port %d: %s", port, strerror(errno));
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }
  void put(const void* p, size_t n) { out.insert(out.end(), (const char*)p, (const char*)p + n); }
  void puts(const string& s) { put(s.data(), s.size()); }
  void flush() {
    size_t off = 0;
    while (off < out.size()) {
      ssize_t r = send(fd, out.data() + off, out.size() - off, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (r > 0) {
        off += r;
        continue;
      }
      if (errno == EINTR)
        continue;
      if (errno != EAGAIN)
        die("send: %s", strerror(errno));
      pollfd p{fd, POLLIN | POLLOUT, 0};
      poll(&p, 1, 1000);
      if (p.revents & POLLIN)
        fill(); // keep reading, so neither side can block the other
    }
    out.clear();
  }
  bool fill() { // one non-blocking read
    if (ib == ie)
      ib = ie = 0;
    if (in.size() - ie < 65536) {
      if (ib > 0) {
        memmove(&in[0], &in[ib], ie - ib);
        ie -= ib;
        ib = 0;
      }
      if (in.size() - ie < 65536)
        in.resize(in.size() * 2);
    }
    ssize_t r = recv(fd, &in[ie], in.size() - ie, MSG_DONTWAIT);
    if (r == 0)
      die("server closed the connection");
    if (r < 0) {
      if (errno == EAGAIN || errno == EINTR)
        return false;
      die("recv: %s", strerror(errno));
    }
    ie += r;
    return true;
  }
  bool wait_in(int64_t ns) {
    pollfd p{fd, POLLIN, 0};
    timespec ts{(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    return ppoll(&p, 1, &ts, nullptr) > 0;
  }
};

using OnMsg = std::function<void(const char*, size_t)>;
struct Producer {
  virtual ~Producer() {}
  virtual void send(uint64_t id, const char* p, size_t n) = 0; // buffer only
  virtual size_t pending() = 0;
  virtual void flush(bool force) = 0;
  virtual void poll_confirms(Tracker& t, int64_t wait_ns) = 0;
  virtual void cleanup() {}
};
struct Consumer {
  virtual ~Consumer() {}
  virtual void poll_msgs(const OnMsg& f, int64_t wait_ns) = 0; // acks inside
  virtual void finish() = 0;                                   // all acks are in
};
