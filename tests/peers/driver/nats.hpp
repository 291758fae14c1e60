// NATS JetStream: the text protocol written and parsed here; cnats as a cross-check.
#pragma once

#include "tests/peers/driver/roles.hpp"

#include <nats/nats.h>

#include <atomic>
#include <memory>

inline string rnd() {
  static std::atomic<uint64_t> k{0};
  char b[40];
  snprintf(b, sizeof b, "%llx%llx%llx", (unsigned long long)getpid(), (unsigned long long)now_ns(),
           (unsigned long long)++k);
  return b;
}
struct NatsConn : Sock {
  struct Msg {
    const char* subj;
    size_t sl;
    const char* reply;
    size_t rl;
    const char* b;
    size_t n;
    int sid;
    bool hdr;
  };
  string inbox;
  int reqs = 0;
  explicit NatsConn(int port) {
    connect_to(port);
    while (!memchr(&in[0], '\n', ie)) {
      wait_in(1000000000);
      fill();
    }
    ib = ie = 0; // INFO
    puts("CONNECT "
         "{\"verbose\":false,\"pedantic\":false,\"lang\":\"c\",\"version\":\"0\",\"protocol\":1,"
         "\"headers\":true,\"no_responders\":true}\r\nPING\r\n");
    flush();
    bool pong = false;
    int64_t t0 = now_ns();
    while (!pong) {
      wait_in(100000000);
      fill();
      parse([](const Msg&) {}, &pong);
      if (now_ns() - t0 > 10000000000LL)
        die("nats: no PONG");
    }
    inbox = "_I" + rnd();
    puts("SUB " + inbox + ".* 1\r\nSUB " + inbox + ".r.* 2\r\n");
  }
  template <class F>
  void parse(F f, bool* pong = nullptr) {
    while (ib < ie) {
      char* p = &in[ib];
      char* nl = (char*)memchr(p, '\n', ie - ib);
      if (!nl)
        return;
      size_t ll = nl - p + 1;
      bool h = p[0] == 'H';
      if (p[0] == 'M' || h) {
        const char* tok[8];
        size_t tl[8];
        int nt = 0;
        char* q = p;
        char* e = nl - 1;
        while (q < e && nt < 8) {
          char* s = q;
          while (q < e && *q != ' ')
            q++;
          tok[nt] = s;
          tl[nt++] = q - s;
          while (q < e && *q == ' ')
            q++;
        }
        size_t n = strtoull(tok[nt - 1], nullptr, 10);
        if (ie - ib < ll + n + 2)
          return;
        int fixed = h ? 5 : 4; // HMSG subj sid [reply] hlen len | MSG subj sid [reply] len
        Msg m{tok[1], tl[1], nullptr, 0, nl + 1, n, atoi(tok[2]), h};
        if (nt > fixed) {
          m.reply = tok[3];
          m.rl = tl[3];
        }
        ib += ll + n + 2;
        f(m);
      } else {
        if (!memcmp(p, "PING", 4))
          puts("PONG\r\n");
        else if (!memcmp(p, "PONG", 4)) {
          if (pong)
            *pong = true;
        } else if (p[0] == '-')
          die("nats: %.*s", (int)ll, p);
        ib += ll;
      }
    }
  }
  // request/reply for the control plane; empty string on timeout or no responder
  string request(const string& subj, const string& body, double timeout = 5) {
    string id = std::to_string(++reqs);
    puts("PUB " + subj + " " + inbox + ".r." + id + " " + std::to_string(body.size()) + "\r\n" +
         body + "\r\n");
    flush();
    string res;
    bool got = false;
    int64_t t0 = now_ns();
    while (!got && now_ns() - t0 < timeout * 1e9) {
      wait_in(50000000);
      fill();
      parse([&](const Msg& m) {
        if (m.sid == 2 && string(m.subj, m.sl) == inbox + ".r." + id) {
          got = true;
          if (!m.hdr)
            res.assign(m.b, m.n);
        }
      });
      flush();
    }
    return res;
  }
};
inline string jfield(const string& s, const string& key) {
  size_t i = s.find("\"" + key + "\":");
  if (i == string::npos)
    return "";
  i += key.size() + 3;
  if (s[i] == '"')
    return s.substr(i + 1, s.find('"', i + 1) - i - 1);
  size_t e = s.find_first_of(",}", i);
  return s.substr(i, e - i);
}
inline int nats_create_stream(const string& name, int replicas) { // returns the leader's port
  NatsConn c(O.ports[0]);
  string cfg =
      "{\"name\":\"" + name + "\",\"subjects\":[\"" + name +
      ".m\"],\"retention\":\"limits\",\"storage\":\"file\","
      "\"num_replicas\":" +
      std::to_string(replicas) +
      ",\"max_consumers\":-1,\"max_msgs\":-1,\"max_bytes\":-1,\"max_age\":0,\"discard\":\"old\"}";
  string r;
  int64_t t0 = now_ns();
  while (now_ns() - t0 < 60000000000LL) {
    r = c.request("$JS.API.STREAM.CREATE." + name, cfg);
    if (!r.empty() && r.find("\"error\"") == string::npos)
      break;
    if (r.find("already in use") != string::npos)
      break;
    usleep(300000);
    if (now_ns() - t0 > 50000000000LL)
      die("nats stream create: %s", r.c_str());
  }
  if (replicas == 1)
    return O.ports[0];
  for (int i = 0; i < 100; i++) {
    r = c.request("$JS.API.STREAM.INFO." + name, "");
    string l = jfield(r, "leader");
    if (l.size() == 2 && l[0] == 'n')
      return O.ports.at(l[1] - '1');
    usleep(100000);
  }
  die("nats: no leader for %s: %s", name.c_str(), r.c_str());
}
struct NatsProducer : Producer {
  std::unique_ptr<NatsConn> c;
  string name, pre;
  int port;
  size_t plen;
  NatsProducer(const string& stream, int replicas) : name(stream) {
    port = nats_create_stream(stream, replicas);
    c.reset(new NatsConn(port));
    pre = "PUB " + name + ".m " + c->inbox + ".";
    plen = c->inbox.size() + 1;
  }
  void send(uint64_t id, const char* p, size_t n) override {
    char b[64];
    int l = snprintf(b, sizeof b, "%llu %zu\r\n", (unsigned long long)id, n);
    c->puts(pre);
    c->put(b, l);
    c->put(p, n);
    c->put("\r\n", 2);
  }
  size_t pending() override { return c->out.size(); }
  void flush(bool) override { c->flush(); }
  void poll_confirms(Tracker& t, int64_t w) override {
    if (c->ib == c->ie && w > 0)
      c->wait_in(w);
    c->fill();
    c->parse([&](const NatsConn::Msg& m) {
      if (m.sid != 1)
        return;
      uint64_t id = strtoull(m.subj + plen, nullptr, 10);
      bool ok = !m.hdr && !memmem(m.b, m.n, "\"error\"", 7) && memmem(m.b, m.n, "\"seq\"", 5);
      if (!ok && t.failed < 3)
        fprintf(stderr, "nats nack: %.*s\n", (int)m.n, m.b);
      t.confirm(id, ok);
    });
  }
  void cleanup() override {
    NatsConn d(O.ports[0]);
    d.request("$JS.API.STREAM.DELETE." + name, "", 20);
  }
};
// the same through the cnats library's asynchronous publish, as a cross-check
struct NatsLibProducer : Producer {
  natsConnection* nc = nullptr;
  jsCtx* js = nullptr;
  std::atomic<uint64_t> acked{0}, bad{0};
  string name, subj;
  size_t pend = 0;
  static void on_ack(jsCtx*, natsMsg* m, jsPubAck* pa, jsPubAckErr*, void* cl) {
    auto* s = (NatsLibProducer*)cl;
    if (pa)
      s->acked++;
    else
      s->bad++;
    natsMsg_Destroy(m);
  }
  NatsLibProducer(const string& stream, int replicas) : name(stream), subj(stream + ".m") {
    int port = nats_create_stream(stream, replicas);
    string url = "nats://127.0.0.1:" + std::to_string(port);
    jsOptions jo;
    jsOptions_Init(&jo);
    jo.PublishAsync.MaxPending = O.window;
    jo.PublishAsync.AckHandler = on_ack;
    jo.PublishAsync.AckHandlerClosure = this;
    jo.PublishAsync.StallWait = 30000;
    if (natsConnection_ConnectTo(&nc, url.c_str()) != NATS_OK ||
        natsConnection_JetStream(&js, nc, &jo) != NATS_OK)
      die("cnats connect");
  }
  void send(uint64_t, const char* p, size_t n) override {
    natsStatus s = js_PublishAsync(js, subj.c_str(), p, n, nullptr);
    if (s != NATS_OK)
      die("js_PublishAsync: %s", natsStatus_GetText(s));
    pend += n;
  }
  size_t pending() override { return pend; }
  void flush(bool) override { pend = 0; }
  void poll_confirms(Tracker& t, int64_t w) override {
    int64_t t0 = now_ns();
    while (acked == t.base && now_ns() - t0 < w)
      usleep(50);
    uint64_t a = acked;
    if (a)
      t.confirm_upto(a - 1);
    if (bad)
      die("nats: %llu publishes refused", (unsigned long long)bad.load());
  }
};
struct NatsConsumer : Consumer {
  std::unique_ptr<NatsConn> c;
  string name;
  NatsConsumer(const string& stream, int port, int) : name(stream) {
    c.reset(new NatsConn(port));
    string d = "_D" + rnd();
    c->puts("SUB " + d + " 9\r\n");
    c->flush();
    string r = c->request("$JS.API.CONSUMER.DURABLE.CREATE." + name + ".c",
                          "{\"stream_name\":\"" + name +
                              "\",\"config\":{\"durable_name\":\"c\",\"deliver_subject\":\"" + d +
                              "\",\"ack_policy\":\"explicit\",\"deliver_policy\":\"all\",\"replay_"
                              "policy\":\"instant\","
                              "\"ack_wait\":60000000000,\"max_ack_pending\":" +
                              std::to_string(O.prefetch) + "}}",
                          20);
    if (r.empty() || r.find("\"error\"") != string::npos)
      die("nats consumer create: %s", r.c_str());
  }
  void poll_msgs(const OnMsg& f, int64_t w) override {
    if (c->ib == c->ie && w > 0)
      c->wait_in(w);
    c->fill();
    c->parse([&](const NatsConn::Msg& m) {
      if (m.sid != 9)
        return;
      f(m.b, m.n);
      c->put("PUB ", 4);
      c->put(m.reply, m.rl);
      c->put(" 4\r\n+ACK\r\n", 10);
    });
    c->flush();
  }
  void finish() override {
    int64_t t0 = now_ns();
    for (;;) {
      string r = c->request("$JS.API.CONSUMER.INFO." + name + ".c", "");
      if (jfield(r, "num_ack_pending") == "0" && jfield(r, "num_pending") == "0")
        return;
      if (now_ns() - t0 > 20000000000LL)
        die("nats: acks did not settle: %s", r.c_str());
      usleep(2000);
    }
  }
};
