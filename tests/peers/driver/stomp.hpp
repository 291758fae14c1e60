// ActiveMQ, STOMP 1.2: frames written and parsed here.
#pragma once

#include "tests/peers/driver/roles.hpp"

struct StompConn : Sock {
  struct Msg {
    string cmd, receipt, ack;
    const char* b;
    size_t n;
  };
  explicit StompConn(int port) {
    connect_to(port);
    puts("CONNECT\naccept-version:1.2\nhost:localhost\nheart-beat:0,0\n\n" + string(1, '\0'));
    flush();
    bool ok = false;
    int64_t t0 = now_ns();
    while (!ok) {
      wait_in(100000000);
      fill();
      parse([&](const Msg& m) {
        if (m.cmd == "CONNECTED")
          ok = true;
        else
          die("stomp: %s", m.cmd.c_str());
      });
      if (now_ns() - t0 > 20000000000LL)
        die("stomp: no CONNECTED");
    }
  }
  template <class F>
  void parse(F f) {
    while (ib < ie) {
      if (in[ib] == '\n' || in[ib] == '\r') {
        ib++;
        continue;
      }
      char* p = &in[ib];
      char* he = (char*)memmem(p, ie - ib, "\n\n", 2);
      if (!he)
        return;
      Msg m;
      long cl = -1;
      char* l = p;
      bool first = true;
      while (l < he) {
        char* e = (char*)memchr(l, '\n', he - l);
        if (!e)
          e = he;
        if (first) {
          m.cmd.assign(l, e - l);
          first = false;
        } else if (!memcmp(l, "content-length:", 15))
          cl = atol(l + 15);
        else if (!memcmp(l, "receipt-id:", 11))
          m.receipt.assign(l + 11, e - l - 11);
        else if (!memcmp(l, "ack:", 4))
          m.ack.assign(l + 4, e - l - 4);
        l = e + 1;
      }
      char* b = he + 2;
      size_t have = &in[0] + ie - b;
      if (cl >= 0) {
        if (have < (size_t)cl + 1)
          return;
      } else {
        char* z = (char*)memchr(b, 0, have);
        if (!z)
          return;
        cl = z - b;
      }
      m.b = b;
      m.n = cl;
      if (m.cmd == "ERROR")
        die("stomp ERROR: %.*s", (int)std::min<size_t>(300, cl), b);
      ib += (b - p) + cl + 1;
      f(m);
    }
  }
};
struct StompProducer : Producer {
  StompConn c;
  string q;
  StompProducer(int port, const string& queue) : c(port), q(queue) {}
  void send(uint64_t id, const char* p, size_t n) override {
    char b[200];
    int l = snprintf(
        b, sizeof b,
        "SEND\ndestination:/queue/%s\npersistent:true\nreceipt:%llu\ncontent-length:%zu\n\n",
        q.c_str(), (unsigned long long)id, n);
    c.put(b, l);
    c.put(p, n);
    c.put("\0", 1);
  }
  size_t pending() override { return c.out.size(); }
  void flush(bool) override { c.flush(); }
  void poll_confirms(Tracker& t, int64_t w) override {
    if (c.ib == c.ie && w > 0)
      c.wait_in(w);
    c.fill();
    c.parse([&](const StompConn::Msg& m) {
      if (m.cmd == "RECEIPT")
        t.confirm(strtoull(m.receipt.c_str(), nullptr, 10));
    });
  }
};
struct StompConsumer : Consumer {
  StompConn c;
  bool done = false;
  StompConsumer(int port, const string& q) : c(port) {
    c.puts("SUBSCRIBE\nid:0\ndestination:/queue/" + q +
           "\nack:client-individual\nactivemq.prefetchSize:" + std::to_string(O.prefetch) + "\n\n" +
           string(1, '\0'));
    c.flush();
  }
  void poll_msgs(const OnMsg& f, int64_t w) override {
    if (c.ib == c.ie && w > 0)
      c.wait_in(w);
    c.fill();
    c.parse([&](const StompConn::Msg& m) {
      if (m.cmd == "RECEIPT")
        done = true;
      if (m.cmd != "MESSAGE")
        return;
      f(m.b, m.n);
      c.puts("ACK\nid:" + m.ack + "\n\n" + string(1, '\0'));
    });
    c.flush();
  }
  void finish() override {
    c.puts(string("UNSUBSCRIBE\nid:0\nreceipt:fin\n\n") + string(1, '\0'));
    c.flush();
    while (!done)
      poll_msgs([](const char*, size_t) {}, 100000000);
  }
};
