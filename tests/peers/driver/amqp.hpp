// RabbitMQ, AMQP 0-9-1: frames written and parsed here; librabbitmq for the handshake.
#pragma once

#include "tests/peers/driver/roles.hpp"

#include <amqp.h>
#include <amqp_tcp_socket.h>

inline amqp_connection_state_t amqp_open(int port, bool confirms) {
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
inline void amqp_declare_quorum(amqp_connection_state_t c, const string& q, int replicas) {
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
