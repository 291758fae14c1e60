// peerbench: load driver for several message brokers, plus a disk floor.
//
// One binary, one workload per invocation, one JSON object on stdout.
// The hot paths write and parse the wire protocol directly (AMQP 0-9-1 frames,
// the NATS text protocol) or use hiredis pipelining, so that the driver costs
// little next to the server it measures. librabbitmq does the AMQP handshake
// and the queue declarations.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <hiredis/hiredis.h>
#include <nats/nats.h>

using std::string;
using std::vector;

[[noreturn]] static void die(const char* fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  fprintf(stderr, "peerbench: ");
  vfprintf(stderr, fmt, ap);
  fprintf(stderr, "\n");
  va_end(ap);
  _exit(1);
}

static inline int64_t now_ns() {
  timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

// ---------------------------------------------------------------- options
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
static Opts O;

// ---------------------------------------------------------------- stats
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

static double pct(vector<float>& v, double p) {
  if (v.empty())
    return 0;
  size_t i = std::min(v.size() - 1, (size_t)(p * v.size()));
  return v[i] / 1000.0;
}

static double cpu_of(const vector<int>& pids) {
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
static double cpu_self() {
  rusage r;
  getrusage(RUSAGE_SELF, &r);
  return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}
// busy CPU time of the whole machine, and the part of it the hypervisor took
static double cpu_machine(double* steal) {
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
static void reset_rss(const vector<int>& pids) {
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
static double peak_rss(const vector<int>& pids) {
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

// ---------------------------------------------------------------- socket
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

// ---------------------------------------------------------------- interfaces
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

// ---------------------------------------------------------------- AMQP 0-9-1
static amqp_connection_state_t amqp_open(int port, bool confirms) {
  amqp_connection_state_t c = amqp_new_connection();
  amqp_socket_t* s = amqp_tcp_socket_new(c);
  if (!s || amqp_socket_open(s, "127.0.0.1", port) != 0)
    die("amqp connect to %d failed", port);
  amqp_rpc_reply_t r = amqp_login(c, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
  if (r.reply_type != AMQP_RESPONSE_NORMAL)
    die("amqp login failed");
  amqp_channel_open(c, 1);
  if (amqp_get_rpc_reply(c).reply_type != AMQP_RESPONSE_NORMAL)
    die("amqp channel.open failed");
  if (confirms) {
    amqp_confirm_select(c, 1);
    if (amqp_get_rpc_reply(c).reply_type != AMQP_RESPONSE_NORMAL)
      die("amqp confirm.select failed");
  }
  return c;
}
static void amqp_declare_quorum(amqp_connection_state_t c, const string& q, int replicas) {
  amqp_table_entry_t e[2];
  e[0].key = amqp_cstring_bytes("x-queue-type");
  e[0].value.kind = AMQP_FIELD_KIND_UTF8;
  e[0].value.value.bytes = amqp_cstring_bytes("quorum");
  e[1].key = amqp_cstring_bytes("x-quorum-initial-group-size");
  e[1].value.kind = AMQP_FIELD_KIND_I32;
  e[1].value.value.i32 = replicas;
  amqp_table_t t{2, e};
  amqp_queue_declare(c, 1, amqp_cstring_bytes(q.c_str()), 0, 1, 0, 0, t);
  amqp_rpc_reply_t r = amqp_get_rpc_reply(c);
  if (r.reply_type != AMQP_RESPONSE_NORMAL)
    die("amqp queue.declare %s failed", q.c_str());
}

struct AmqpWire : Sock {
  amqp_connection_state_t c;
  string q;
  // parse state of the current delivery
  uint64_t dtag = 0, blen = 0;
  string body;
  bool qos_ok = false;
  static void be16(string& s, uint16_t v) {
    s += (char)(v >> 8);
    s += (char)v;
  }
  static void be32(string& s, uint32_t v) {
    be16(s, v >> 16);
    be16(s, v);
  }
  static void be64(string& s, uint64_t v) {
    be32(s, v >> 32);
    be32(s, (uint32_t)v);
  }
  static uint32_t r32(const char* p) { return ntohl(*(const uint32_t*)p); }
  static uint64_t r64(const char* p) { return ((uint64_t)r32(p) << 32) | r32(p + 4); }
  static string frame(int type, const string& payload) {
    string f;
    f += (char)type;
    be16(f, 1);
    be32(f, payload.size());
    f += payload;
    f += (char)0xCE;
    return f;
  }
  // ack: tag, multiple, nack; deliver: body
  template <class A, class D>
  void parse(A ack, D deliver) {
    while (ie - ib >= 8) {
      const char* p = &in[ib];
      uint32_t n = r32(p + 3);
      if (ie - ib < n + 8u)
        break;
      int type = p[0];
      const char* b = p + 7;
      if (type == 1) {
        uint32_t cm = r32(b);
        if (cm == ((60u << 16) | 80))
          ack(r64(b + 4), b[12] & 1, false);
        else if (cm == ((60u << 16) | 120))
          ack(r64(b + 4), b[12] & 1, true);
        else if (cm == ((60u << 16) | 60))
          dtag = r64(b + 5 + (uint8_t)b[4]);
        else if (cm == ((60u << 16) | 11))
          qos_ok = true;
        else if (cm == ((20u << 16) | 40) || cm == ((10u << 16) | 50))
          die("amqp close: %.*s", (int)(uint8_t)b[6], b + 7);
      } else if (type == 2) {
        blen = r64(b + 4);
        body.clear();
      } else if (type == 3) {
        if (body.empty() && n == blen)
          deliver(dtag, b, n);
        else {
          body.append(b, n);
          if (body.size() == blen) {
            deliver(dtag, body.data(), body.size());
            body.clear();
          }
        }
      }
      ib += n + 8;
    }
  }
};

struct AmqpProducer : Producer, AmqpWire {
  string head; // method frame
  AmqpProducer(int port, const string& queue, int replicas) {
    q = queue;
    c = amqp_open(port, true);
    amqp_declare_quorum(c, q, replicas);
    fd = amqp_get_sockfd(c);
    string m;
    be16(m, 60);
    be16(m, 40);
    be16(m, 0);
    m += (char)0; // default exchange
    m += (char)q.size();
    m += q;
    m += (char)0;
    head = frame(1, m);
  }
  void send(uint64_t, const char* p, size_t n) override {
    puts(head);
    string h;
    be16(h, 60);
    be16(h, 0);
    be64(h, n);
    be16(h, 0x1000);
    h += (char)2; // delivery-mode 2
    puts(frame(2, h));
    char b[7] = {3, 0, 1, (char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n};
    put(b, 7);
    put(p, n);
    char e = (char)0xCE;
    put(&e, 1);
  }
  size_t pending() override { return out.size(); }
  void flush(bool) override { Sock::flush(); }
  void poll_confirms(Tracker& t, int64_t w) override {
    if (ib == ie && w > 0)
      wait_in(w);
    fill();
    parse(
        [&](uint64_t tag, bool multi, bool nack) {
          if (multi)
            t.confirm_upto(tag - 1, !nack);
          else
            t.confirm(tag - 1, !nack);
        },
        [](uint64_t, const char*, size_t) {});
  }
  void cleanup() override {
    amqp_connection_state_t d = amqp_open(O.ports[0], false);
    amqp_queue_delete(d, 1, amqp_cstring_bytes(q.c_str()), 0, 0);
  }
};

// the same through librabbitmq's own publish call, as a cross-check of the raw path
struct AmqpLibProducer : AmqpProducer {
  using AmqpProducer::AmqpProducer;
  size_t pend = 0;
  void send(uint64_t, const char* p, size_t n) override {
    amqp_basic_properties_t pr;
    pr._flags = AMQP_BASIC_DELIVERY_MODE_FLAG;
    pr.delivery_mode = 2;
    if (amqp_basic_publish(c, 1, amqp_empty_bytes, amqp_cstring_bytes(q.c_str()), 0, 0, &pr,
                           amqp_bytes_t{n, (void*)p}) != 0)
      die("amqp_basic_publish");
    pend += n;
  }
  size_t pending() override { return pend; }
  void flush(bool) override { pend = 0; }
};

struct AmqpConsumer : Consumer, AmqpWire {
  int unacked = 0;
  AmqpConsumer(int port, const string& queue) {
    q = queue;
    c = amqp_open(port, false);
    amqp_basic_qos(c, 1, 0, O.prefetch, 0);
    fd = amqp_get_sockfd(c);
    string m;
    be16(m, 60);
    be16(m, 20);
    be16(m, 0);
    m += (char)q.size();
    m += q;
    m += (char)1;
    m += 'c';
    m += (char)8; // no-wait, manual ack
    be32(m, 0);
    puts(frame(1, m));
    Sock::flush();
  }
  void put_ack(uint64_t tag, bool multi) {
    char a[21] = {1, 0, 1, 0, 0, 0, 13, 0, 60, 0, 80};
    for (int i = 0; i < 8; i++)
      a[11 + i] = (char)(tag >> (56 - 8 * i));
    a[19] = multi;
    a[20] = (char)0xCE;
    put(a, 21);
  }
  void poll_msgs(const OnMsg& f, int64_t w) override {
    if (ib == ie && w > 0)
      wait_in(w);
    fill();
    uint64_t last = 0;
    parse([](uint64_t, bool, bool) {},
          [&](uint64_t tag, const char* b, size_t n) {
            f(b, n);
            last = tag;
            if (!O.ack_multiple)
              put_ack(tag, false);
          });
    if (last && O.ack_multiple)
      put_ack(last, true);
    Sock::flush();
  }
  void finish() override {
    string m;
    be16(m, 60);
    be16(m, 10);
    be32(m, 0);
    be16(m, O.prefetch);
    m += (char)0;
    puts(frame(1, m));
    Sock::flush();
    while (!qos_ok)
      poll_msgs([](const char*, size_t) {}, 100000000);
  }
};

// ---------------------------------------------------------------- NATS
static string rnd() {
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
static string jfield(const string& s, const string& key) {
  size_t i = s.find("\"" + key + "\":");
  if (i == string::npos)
    return "";
  i += key.size() + 3;
  if (s[i] == '"')
    return s.substr(i + 1, s.find('"', i + 1) - i - 1);
  size_t e = s.find_first_of(",}", i);
  return s.substr(i, e - i);
}
static int nats_create_stream(const string& name, int replicas) { // returns the leader's port
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

// ---------------------------------------------------------------- Redis / Valkey
static redisContext* redis_open(int port) {
  redisContext* c = redisConnect("127.0.0.1", port);
  if (!c || c->err)
    die("redis connect: %s", c ? c->errstr : "?");
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return c;
}
static void redis_flush(redisContext* c) {
  int done = 0;
  while (!done)
    if (redisBufferWrite(c, &done) != REDIS_OK)
      die("redis write: %s", c->errstr);
}
static bool redis_in(redisContext* c, int64_t ns) {
  pollfd p{c->fd, POLLIN, 0};
  timespec ts{(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
  if (ppoll(&p, 1, &ts, nullptr) <= 0)
    return false;
  if (redisBufferRead(c) != REDIS_OK)
    die("redis read: %s", c->errstr);
  return true;
}
struct RedisProducer : Producer {
  redisContext* c;
  string key;
  bool wait;
  size_t pend = 0;
  uint64_t sent = 0, replied = 0, waited = 0; // waited: messages covered by WAITs sent
  struct W {
    uint64_t upto;
  };
  vector<uint64_t> wq; // positions of WAIT in the reply stream
  size_t wqh = 0;
  RedisProducer(int port, const string& k) : key(k), wait(!O.wait_cmd.empty()) {
    c = redis_open(port);
    c->reader->maxbuf = 0;
  }
  void put_wait() {
    if (!wait || waited == sent)
      return;
    if (O.wait_cmd == "WAITAOF")
      redisAppendCommand(c, "WAITAOF 1 %d 30000", O.wait_need);
    else
      redisAppendCommand(c, "WAIT %d 30000", O.wait_need);
    waited = sent;
    wq.push_back(sent);
  }
  void send(uint64_t, const char* p, size_t n) override {
    const char* av[5] = {"XADD", key.c_str(), "*", "p", p};
    size_t al[5] = {4, key.size(), 1, 1, n};
    redisAppendCommandArgv(c, 5, av, al);
    sent++;
    pend += n;
    if (wait && sent - waited >= (uint64_t)O.wait_batch)
      put_wait();
  }
  size_t pending() override { return pend; }
  void flush(bool force) override {
    if (force && wqh == wq.size())
      put_wait(); // at most one early WAIT at a time
    redis_flush(c);
    pend = 0;
  }
  void poll_confirms(Tracker& t, int64_t w) override {
    redis_in(c, w);
    for (;;) {
      void* rp = nullptr;
      if (redisGetReplyFromReader(c, &rp) != REDIS_OK)
        die("redis: %s", c->errstr);
      if (!rp)
        break;
      redisReply* r = (redisReply*)rp;
      if (r->type == REDIS_REPLY_ERROR)
        die("redis: %s", r->str);
      if (!wait)
        t.confirm(replied++);
      else if (wqh < wq.size() && replied == wq[wqh]) {
        long long n = r->type == REDIS_REPLY_ARRAY ? r->element[1]->integer : r->integer;
        bool ok = n >= O.wait_need && (r->type != REDIS_REPLY_ARRAY || r->element[0]->integer >= 1);
        t.confirm_upto(wq[wqh] - 1, ok);
        wqh++;
      } else
        replied++;
      freeReplyObject(r);
    }
  }
  void cleanup() override {
    redisContext* d = redis_open(O.ports[0]);
    freeReplyObject(redisCommand(d, "UNLINK %s", key.c_str()));
    redisFree(d);
  }
};
struct RedisConsumer : Consumer {
  redisContext* c;
  string key;
  bool reading = false;
  int acks = 0;
  RedisConsumer(int port, const string& k) : key(k) {
    c = redis_open(port);
    c->reader->maxbuf = 0;
    freeReplyObject(redisCommand(c, "XGROUP CREATE %s g 0 MKSTREAM", key.c_str()));
  }
  void poll_msgs(const OnMsg& f, int64_t w) override {
    if (!reading) {
      redisAppendCommand(c, "XREADGROUP GROUP g c COUNT %d BLOCK 200 STREAMS %s >", O.prefetch,
                         key.c_str());
      redis_flush(c);
      reading = true;
    }
    redis_in(c, w);
    for (;;) {
      void* rp = nullptr;
      if (redisGetReplyFromReader(c, &rp) != REDIS_OK)
        die("redis: %s", c->errstr);
      if (!rp)
        break;
      redisReply* r = (redisReply*)rp;
      if (r->type == REDIS_REPLY_ERROR)
        die("redis: %s", r->str);
      if (acks > 0) {
        acks--;
        freeReplyObject(r);
        continue;
      }
      reading = false;
      if (r->type == REDIS_REPLY_ARRAY && r->elements) {
        redisReply* es = r->element[0]->element[1];
        vector<const char*> av{"XACK", key.c_str(), "g"};
        vector<size_t> al{4, key.size(), 1};
        for (size_t i = 0; i < es->elements; i++) {
          redisReply* e = es->element[i];
          redisReply* v = e->element[1]->element[1];
          f(v->str, v->len);
          av.push_back(e->element[0]->str);
          al.push_back(e->element[0]->len);
        }
        redisAppendCommandArgv(c, av.size(), av.data(), al.data());
        acks++;
      }
      freeReplyObject(r);
      redisAppendCommand(c, "XREADGROUP GROUP g c COUNT %d BLOCK 200 STREAMS %s >", O.prefetch,
                         key.c_str());
      redis_flush(c);
      reading = true;
    }
  }
  void finish() override {
    while (acks)
      poll_msgs([](const char*, size_t) {}, 100000000);
    redisContext* d = redis_open(O.ports[0]);
    redisReply* r = (redisReply*)redisCommand(d, "XPENDING %s g", key.c_str());
    if (r->type != REDIS_REPLY_ARRAY || r->element[0]->integer != 0)
      die("redis: entries still pending");
    freeReplyObject(r);
    redisFree(d);
  }
};

// ---------------------------------------------------------------- ActiveMQ (STOMP 1.2)
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

// ---------------------------------------------------------------- driver
static std::unique_ptr<Producer> make_producer(const string& name, int i) {
  int port = O.ports[i % O.ports.size()];
  if (O.peer == "rabbitmq") {
    if (O.client == "lib")
      return std::make_unique<AmqpLibProducer>(port, name, O.replicas);
    return std::make_unique<AmqpProducer>(port, name, O.replicas);
  }
  if (O.peer == "nats") {
    if (O.client == "lib")
      return std::make_unique<NatsLibProducer>(name, O.replicas);
    return std::make_unique<NatsProducer>(name, O.replicas);
  }
  if (O.peer == "redis")
    return std::make_unique<RedisProducer>(O.ports[0], name);
  if (O.peer == "activemq")
    return std::make_unique<StompProducer>(O.ports[0], name);
  die("unknown peer %s", O.peer.c_str());
}
static std::unique_ptr<Consumer> make_consumer(const string& name, Producer* p) {
  if (O.peer == "rabbitmq")
    return std::make_unique<AmqpConsumer>(O.ports[0], name);
  if (O.peer == "nats")
    return std::make_unique<NatsConsumer>(name, ((NatsProducer*)p)->port, 0);
  if (O.peer == "redis")
    return std::make_unique<RedisConsumer>(O.ports[0], name);
  if (O.peer == "activemq")
    return std::make_unique<StompConsumer>(O.ports[0], name);
  die("unknown peer");
}

static vector<char> make_payload(int size) {
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
static void pump(Producer& p, Tracker& t, int window, int64_t deadline, uint64_t min_count,
                 uint64_t max_count, double rate, std::atomic<uint64_t>* sent_out = nullptr) {
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
    if (sent_out)
      sent_out->store(t.sent, std::memory_order_relaxed);
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

static int run_disk() {
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

int main(int argc, char** argv) {
  for (int i = 1; i < argc; i++) {
    string a = argv[i];
    auto val = [&]() -> string {
      if (i + 1 >= argc)
        die("%s needs a value", a.c_str());
      return argv[++i];
    };
    auto ints = [&]() {
      vector<int> v;
      string s = val();
      size_t p = 0;
      while (p < s.size()) {
        v.push_back(atoi(s.c_str() + p));
        p = s.find(',', p);
        if (p == string::npos)
          break;
        p++;
      }
      return v;
    };
    if (a == "--peer")
      O.peer = val();
    else if (a == "--ports")
      O.ports = ints();
    else if (a == "--pids")
      O.pids = ints();
    else if (a == "--size")
      O.size = atoi(val().c_str());
    else if (a == "--window")
      O.window = atoi(val().c_str());
    else if (a == "--conns")
      O.conns = atoi(val().c_str());
    else if (a == "--replicas")
      O.replicas = atoi(val().c_str());
    else if (a == "--seconds")
      O.seconds = atof(val().c_str());
    else if (a == "--warmup")
      O.warmup = atof(val().c_str());
    else if (a == "--count")
      O.count = strtoull(val().c_str(), 0, 10);
    else if (a == "--min-count")
      O.min_count = strtoull(val().c_str(), 0, 10);
    else if (a == "--max-seconds")
      O.max_seconds = atof(val().c_str());
    else if (a == "--rate")
      O.rate = atof(val().c_str());
    else if (a == "--prefetch")
      O.prefetch = atoi(val().c_str());
    else if (a == "--consume")
      O.consume = true;
    else if (a == "--ack-multiple")
      O.ack_multiple = true;
    else if (a == "--keep")
      O.keep = true;
    else if (a == "--wait")
      O.wait_cmd = val();
    else if (a == "--wait-need")
      O.wait_need = atoi(val().c_str());
    else if (a == "--wait-batch")
      O.wait_batch = atoi(val().c_str());
    else if (a == "--client")
      O.client = val();
    else if (a == "--dir")
      O.dir = val();
    else if (a == "--mode")
      O.mode = val();
    else
      die("unknown option %s", a.c_str());
  }
  if (O.peer == "disk")
    return run_disk();
  if (O.size < 16)
    die("--size must be at least 16");
  if (O.ports.empty())
    die("--ports is missing");

  string tag = "q" + std::to_string(getpid());
  vector<std::unique_ptr<Producer>> ps;
  vector<std::unique_ptr<Tracker>> ts;
  for (int i = 0; i < O.conns; i++) {
    ps.push_back(make_producer(tag + "_" + std::to_string(i), i));
    ts.push_back(std::make_unique<Tracker>());
  }
  Meter m;
  if (!O.consume) {
    auto go = [&](double secs, uint64_t minc, uint64_t maxc, double rate) {
      vector<std::thread> th;
      int64_t dl = now_ns() + (int64_t)(secs * 1e9);
      for (int i = 0; i < O.conns; i++)
        th.emplace_back([&, i] { pump(*ps[i], *ts[i], O.window, dl, minc, maxc, rate); });
      for (auto& t : th)
        t.join();
    };
    if (O.warmup > 0)
      go(O.warmup, 0, 0, O.rate);
    uint64_t w = 0;
    for (auto& t : ts) {
      w += t->conf;
      t->lat_us.clear();
      if (t->failed)
        die("refused publishes in the warm-up");
    }
    m.begin();
    go(O.seconds, O.min_count, O.count, O.rate);
    m.end();
    vector<float> lat;
    uint64_t n = 0, failed = 0;
    for (auto& t : ts) {
      n += t->conf;
      failed += t->failed;
      lat.insert(lat.end(), t->lat_us.begin(), t->lat_us.end());
    }
    m.report(n - w, O.size, lat, failed);
  } else {
    auto cons = make_consumer(tag + "_0", ps[0].get());
    std::atomic<bool> done{false};
    std::atomic<uint64_t> sent{0};
    Tracker& t = *ts[0];
    vector<float> lat;
    lat.reserve(1 << 22);
    uint64_t got = 0, dups = 0;
    m.begin();
    double pub_s = 0;
    std::thread prod([&] {
      pump(*ps[0], t, O.window, now_ns() + (int64_t)(O.seconds * 1e9), 0, O.count, O.rate, &sent);
      pub_s = (now_ns() - m.t0) / 1e9;
      done = true;
    });
    vector<bool> seen;
    int64_t last = now_ns();
    for (;;) {
      cons->poll_msgs(
          [&](const char* b, size_t n) {
            if ((int)n != O.size)
              die("delivered %zu bytes, sent %d", n, O.size);
            uint64_t id;
            int64_t at;
            memcpy(&id, b, 8);
            memcpy(&at, b + 8, 8);
            int64_t now = now_ns();
            last = now;
            if (id >= seen.size())
              seen.resize(std::max<size_t>(id + 1, seen.size() * 2));
            if (seen[id]) {
              dups++;
              return;
            }
            seen[id] = true;
            got++;
            lat.push_back((now - at) / 1000.0f);
          },
          20000000);
      if (done && got >= t.sent)
        break;
      if (now_ns() - last > 60000000000LL)
        die("no delivery for 60 s: %llu of %llu", (unsigned long long)got,
            (unsigned long long)t.sent);
    }
    cons->finish();
    m.end();
    prod.join();
    char extra[128];
    snprintf(extra, sizeof extra, ", \"duplicates\": %llu, \"publish_seconds\": %.3f",
             (unsigned long long)dups, pub_s);
    m.report(got, O.size, lat, t.failed, extra);
  }
  if (!O.keep)
    for (auto& p : ps)
      p->cleanup();
  fflush(stdout);
  _exit(0);
}
