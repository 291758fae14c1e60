// Redis and Valkey streams, by hiredis pipelining.
#pragma once

#include "tests/peers/driver/roles.hpp"

#include <hiredis/hiredis.h>

inline redisContext* redis_open(int port) {
  redisContext* c = redisConnect("127.0.0.1", port);
  if (!c || c->err)
    die("redis connect: %s", c ? c->errstr : "?");
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return c;
}
inline void redis_flush(redisContext* c) {
  int done = 0;
  while (!done)
    if (redisBufferWrite(c, &done) != REDIS_OK)
      die("redis write: %s", c->errstr);
}
inline bool redis_in(redisContext* c, int64_t ns) {
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
