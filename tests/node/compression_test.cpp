// Compressed batches in a whole node: taken or refused as they come, delivered as they are or in
// parts, ordered, timed, buried, sent back, read again after a restart, and balanced in the books.
#include "tests/node/limits_support.hpp"

#include "actors/context.hpp"
#include "storage/compression.hpp"
#include "storage/format.capnp.h"

#include <capnp/message.h>
#include <capnp/serialize.h>

#include <iostream>
#include <random>

using namespace waybill;
using namespace waybill::test;

namespace {

std::string body_of(std::size_t number) {
  return "order " + std::to_string(number) + ": two boxes of what was ordered, to be sent at once";
}

/// A plain batch of so many messages with bodies of their own.
std::string text_batch(std::size_t messages, std::size_t body_bytes = 0) {
  capnp::MallocMessageBuilder builder;
  auto list = builder.initRoot<format::Batch>().initMessages(static_cast<unsigned>(messages));
  for (unsigned i = 0; i < list.size(); ++i) {
    auto body = body_of(i);
    body.resize(std::max(body.size(), body_bytes), '.');
    list[i].setBody(kj::arrayPtr(reinterpret_cast<const kj::byte*>(body.data()), body.size()));
  }
  const auto words = capnp::messageToFlatArray(builder);
  const auto bytes = words.asChars();
  return {bytes.begin(), bytes.size()};
}

std::string compressed(const std::string& plain, int level = 3) {
  auto frame = batch_compressor{level}.compress(plain);
  REQUIRE(frame);
  return *frame;
}

/// What came of one subscription: the batches as they came, and the places in them.
struct receiving {
  struct piece {
    std::string batch;
    std::vector<std::uint64_t> offsets;
    std::vector<std::uint32_t> positions;
  };
  std::vector<piece> pieces;
  [[nodiscard]] std::size_t messages() const {
    std::size_t count = 0;
    for (const auto& each : pieces)
      count += each.offsets.size();
    return count;
  }
};

struct recorder final : wire::Receiver::Server {
  explicit recorder(std::shared_ptr<receiving> t) : to{std::move(t)} {}
  kj::Promise<void> deliver(DeliverContext context) override {
    for (const auto chunk : context.getParams().getChunks()) {
      const auto bytes = chunk.getBatch().asChars();
      receiving::piece piece{{bytes.begin(), bytes.size()}, {}, {}};
      for (const auto each : chunk.getDeliveries()) {
        piece.offsets.push_back(each.getOffset());
        piece.positions.push_back(each.getPosition());
      }
      to->pieces.push_back(std::move(piece));
    }
    return kj::READY_NOW;
  }
  kj::Promise<void> ended(EndedContext) override { return kj::READY_NOW; }
  std::shared_ptr<receiving> to;
};

enum class accepts { plain_alone, compressed_too };

/// All that a group gets at first with so much credit. Nothing is acknowledged.
receiving receive(std::uint16_t port, const std::string& group, accepts what, std::uint32_t credit,
                  std::size_t awaited) {
  rpc_peer peer{port};
  auto got = std::make_shared<receiving>();
  auto request = peer.session().subscribeRequest();
  request.setTopic("orders");
  request.setGroup(group);
  request.setCreditMessages(credit);
  request.setCreditBytes(16u << 20);
  request.setReceiver(kj::heap<recorder>(got));
  request.setAcceptsCompressed(what == accepts::compressed_too);
  const auto answer = request.send().wait(peer.scope());
  REQUIRE(answer.getOutcome().isOk());
  REQUIRE(peer.until(patience, [&] { return got->messages() >= awaited; }));
  return *got;
}

/// The bodies that a plain batch has at these places.
std::vector<std::string> bodies_at(const std::string& batch,
                                   const std::vector<std::uint32_t>& positions) {
  auto words = kj::heapArray<capnp::word>(batch.size() / sizeof(capnp::word));
  std::memcpy(words.begin(), batch.data(), batch.size());
  capnp::FlatArrayMessageReader reader{words};
  const auto messages = reader.getRoot<format::Batch>().getMessages();
  std::vector<std::string> bodies;
  for (const auto position : positions) {
    const auto body = messages[position].getBody().asChars();
    bodies.emplace_back(body.begin(), body.size());
  }
  return bodies;
}

producer_options compressing() {
  producer_options options;
  options.compression = compression::zstd;
  options.linger = 20ms;
  options.batch_messages_max = 100;
  return options;
}

partition_leader_actor leader_of(hosted_node& node) {
  caf::scoped_actor asker{node.system()};
  const auto supervisor =
      find_role<partition_supervisor_actor>(node.system(), role::partition_supervisor);
  partition_leader_actor found;
  asker->request(supervisor, patience, atom::resolve_v, std::string{"orders"})
      .receive([&](const topic_ptr& topic) { found = topic->partitions.at(0).leader; },
               [](const caf::error&) {});
  return found;
}

void replace_leader(hosted_node& node) {
  const auto before = leader_of(node);
  caf::anon_send_exit(before, caf::exit_reason::kill);
  REQUIRE(comes_true(patience, [&] {
    const auto now = leader_of(node);
    return now && now != before;
  }));
}

message take(consumer& from) {
  auto m = from.next(patience);
  REQUIRE(m);
  return *std::move(m);
}

} // namespace

TEST_CASE(
    "a compressed batch is stored and delivered as it came, and plain for who asks for that") {
  fault_env env;
  hosted_node node{{.env = &env, .flags = {"--storage.tail-bytes-max=0"}}};
  node.start();
  client admin{node.server(), quiet()};
  admin.create_topic("orders", 1);
  const auto plain = text_batch(200);
  const auto frame = compressed(plain);
  {
    rpc_peer peer{node.port()};
    peer_producer to{peer, "orders", "p"};
    REQUIRE(to.publish(frame).code == ec::none);
    const auto again = to.publish_numbered(1, 0, frame);
    CHECK((again.code == ec::none && again.repeated && again.first == 0));
    // Compared is what was sent: the same messages in other bytes are another batch.
    CHECK(to.publish_numbered(1, 0, plain).code == ec::number_reused);
    CHECK(to.publish_numbered(1, 0, compressed(plain, 19)).code == ec::number_reused);
  }
  for (int life = 0; life < 2; ++life) {
    const auto name = [&](const char* what) { return what + std::to_string(life); };
    auto got = receive(node.port(), name("able"), accepts::compressed_too, 1'000, 200);
    REQUIRE(got.pieces.size() == 1);
    CHECK(got.pieces[0].batch == frame);
    got = receive(node.port(), name("thin"), accepts::plain_alone, 1'000, 200);
    REQUIRE(got.pieces.size() == 1);
    CHECK(got.pieces[0].batch == plain);
    CHECK(got.pieces[0].positions.back() == 199);
    for (const auto how : {accepts::compressed_too, accepts::plain_alone}) {
      // A part of it, which is plain for everybody.
      got = receive(node.port(), name(how == accepts::plain_alone ? "part" : "portion"), how, 7, 7);
      REQUIRE(got.pieces.size() == 1);
      const auto bodies = bodies_at(got.pieces[0].batch, got.pieces[0].positions);
      for (std::size_t i = 0; i < bodies.size(); ++i)
        CHECK(bodies[i] == body_of(i));
    }
    CHECK(admin.audit("orders", 0).live == 200);
    node.end();
    node.start();
  }
}

TEST_CASE("a compressed batch that is not right is refused by name, and others notice nothing") {
  small_house house{
      {.flags = {flag("net.message-bytes-max", 64u << 10), flag("net.batch-bytes-max", 256u << 10),
                 flag("net.batch-messages-max", 500)}}};
  house.admin().create_topic("orders", 1);
  rpc_peer peer{house.port()};
  peer_producer to{peer, "orders", "p"};
  const auto good = compressed(text_batch(300));
  auto wrong = good;
  wrong[wrong.size() / 2] = static_cast<char>(wrong[wrong.size() / 2] ^ 0x10);
  auto malformed = text_batch(100);
  malformed[8] = '\x7f'; // the root
  struct bad {
    std::string frame;
    ec code;
    std::string words;
  };
  const std::string magic{"\x28\xb5\x2f\xfd", 4};
  const std::vector<bad> all{
      {good.substr(0, good.size() / 2), ec::malformed_batch, "cut short or damaged"},
      {magic, ec::malformed_batch, "ends within its header"},
      {wrong, ec::malformed_batch, "damaged"},
      {good + "x", ec::malformed_batch, "1 bytes behind its frame"},
      {good + good, ec::malformed_batch, "behind its frame"},
      // No content size; a dictionary; more bytes than any memory has.
      {magic + std::string{"\0\0\x29\0\0hello", 10}, ec::malformed_batch,
       "how many bytes it holds"},
      {magic + std::string{"\x21\x07\x05\x29\0\0hello", 11}, ec::malformed_batch, "dictionary"},
      {magic + "\xe0\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f", ec::batch_too_large, "net.batch-bytes-max"},
      {compressed(std::string(1u << 20, '\0')), ec::batch_too_large, "net.batch-bytes-max"},
      {compressed(std::string(1u << 10, '\0')), ec::malformed_batch, "behind its end"},
      {compressed(malformed), ec::malformed_batch, "the batch"},
      {compressed(text_batch(501)), ec::limit_reached, "net.batch-messages-max"},
      {compressed(text_batch(2, 65u << 10)), ec::message_too_large, "net.message-bytes-max"}};
  for (const auto& each : all) {
    const auto answer = to.publish_numbered(1, 0, each.frame);
    CAPTURE(each.words, answer.detail);
    CHECK(answer.code == each.code);
    CHECK(answer.detail.find(each.words) != std::string::npos);
  }
  // Many at once, which cost work and no memory: each is decompressed on its own, within the bound.
  const auto bomb = compressed(std::string(255u << 10, '\0'));
  std::vector<kj::Promise<publish_answer>> asked;
  for (int i = 0; i < 500; ++i)
    asked.push_back(to.begin_numbered(1, 0, bomb));
  for (auto& each : asked)
    CHECK(each.wait(peer.scope()).code == ec::malformed_batch);
  CHECK(to.publish(good).code == ec::none); // under the same number: nothing was taken
  CHECK(house.admin().describe_topic("orders").partitions[0].held_messages == 300);
  house.finish();
}

TEST_CASE("consumers of one group share compressed batches, key by key in order") {
  const auto seed = drawn_seed();
  std::mt19937_64 random{seed};
  const std::uint64_t tail = random() % 2 ? 0 : 1u << 20;
  fault_env env;
  hosted_node node{{.env = &env, .flags = {"--storage.tail-bytes-max=" + std::to_string(tail)}}};
  node.start();
  client depot{node.server(), quiet()};
  depot.create_topic("orders", 1);
  policy_change in_order;
  in_order.ordered = true;
  depot.set_group("orders", "billing", in_order);
  constexpr std::size_t count = 1'500;
  std::map<std::string, std::vector<std::string>> sent;
  {
    auto to = depot.producer("orders", compressing());
    for (std::size_t i = 0; i < count; ++i) {
      const auto key = "customer-" + std::to_string(random() % 40);
      sent[key].push_back(body_of(i));
      to.send_async({.key = key, .body = body_of(i)});
    }
    to.flush();
  }
  std::mutex guard;
  std::map<std::string, std::vector<std::string>> got;
  std::atomic<std::size_t> left{count};
  std::vector<std::thread> consumers;
  for (const std::uint32_t credit : {1u, 7u, 300u})
    consumers.emplace_back([&, credit] {
      auto from = depot.subscribe("orders", "billing", {.credit_messages = credit});
      while (left > 0) {
        const auto m = from.next(10ms);
        if (!m)
          continue;
        {
          const std::lock_guard lock{guard};
          got[m->key()].push_back(m->body());
        }
        --left;
        from.ack(*m);
      }
      from.flush();
    });
  for (auto& each : consumers)
    each.join();
  CHECK(got == sent);
  const auto books = depot.audit("orders", 0);
  CHECK(books.balances);
  CHECK(books.groups.at(0).acked == count);
}

TEST_CASE("messages of compressed batches wait, expire, die, go back and outlive a restart") {
  fault_env env;
  hosted_node node{
      {.env = &env,
       .flags = {"--delivery.attempts-max=1", "--partitions.checkpoint-interval=600s"}}};
  node.start();
  client depot{node.server(), quiet()};
  depot.create_topic("orders", 1);
  for (const auto* group : {"billing", "keeps-everything"})
    depot.set_group("orders", group, {});
  constexpr std::size_t count = 100;
  std::vector<receipt> receipts;
  {
    auto options = compressing();
    options.linger = 2'000ms;
    auto to = depot.producer("orders", options);
    std::vector<std::future<receipt>> asked;
    for (std::size_t i = 0; i < count; ++i) {
      outgoing_message m{.key = "k" + std::to_string(i), .body = body_of(i)};
      if (i == 10)
        m.delay = 1h;
      if (i == 20)
        m.time_to_live = 1ms;
      asked.push_back(to.send_async(std::move(m)));
    }
    for (auto& each : asked)
      receipts.push_back(each.get());
  }
  CHECK(receipts.front().entry == receipts.back().entry); // one batch
  const auto await_dead = [&](std::uint64_t letters) {
    REQUIRE(comes_true(patience, [&] {
      return depot.list_groups("orders").at(0).partitions.at(0).dead == letters;
    }));
  };
  await_dead(1);                         // the one that expires, in each group
  for (int life = 0; life < 2; ++life) { // what lies in the log is read anew in the second
    auto from = depot.subscribe("orders", "billing");
    for (std::size_t taken = 0; taken < 40; ++taken) {
      auto m = take(from);
      const auto number = m.offset().value;
      REQUIRE(number < count);
      CHECK((number != 10 && number != 20));
      CHECK(m.body() == body_of(number));
      CHECK(m.key() == "k" + std::to_string(number));
      if (taken == 5)
        from.nack(m, "unreadable");
      else
        from.ack_and_wait(m);
    }
    CHECK(from.flush() == 0);
    from.close();
    await_dead(2 + static_cast<std::uint64_t>(life));
    CHECK(depot.list_groups("orders").at(0).partitions.at(0).delayed == 1);
    if (life == 0) {
      replace_leader(node); // there is no checkpoint: the next one reads the log from its beginning
    } else {
      node.end();
      node.start();
    }
  }
  std::map<std::string, std::string> letters;
  std::vector<message_offset> unreadable;
  depot.list_dead_letters("orders", "billing", 0, {}, true, [&](const dead_letter_info& letter) {
    CHECK(letter.body == body_of(letter.offset.value));
    letters[letter.body] = letter.why;
    if (letter.reason == "unreadable")
      unreadable.push_back(letter.offset);
    return true;
  });
  CHECK(letters.at(body_of(20)) == "expired");
  REQUIRE(unreadable.size() == 2);
  const auto moved = depot.redrive_dead_letters("orders", "billing", 0, unreadable);
  REQUIRE(moved.moved.size() == 2);
  std::set<std::string> back;
  auto from = depot.subscribe("orders", "billing");
  for (std::size_t left = count - 80 - 2 + moved.moved.size(); left > 0; --left) {
    const auto m = take(from); // but the one that waits and the one that expired
    if (m.offset().value >= count)
      back.insert(m.body());
    from.ack_and_wait(m);
  }
  CHECK(back == std::set{body_of(unreadable[0].value), body_of(unreadable[1].value)});
  CHECK(depot.verify(receipts[50]).found == verdict::in_log);
  const auto books = depot.audit("orders", 0);
  CHECK(books.balances);
  CHECK(books.faults.empty());
  CHECK(books.confirmed == count + 2);
}

TEST_CASE("batches go compressed only where that is asked for and makes them smaller") {
  fault_env env;
  hosted_node node{{.env = &env}};
  node.start();
  client depot{node.server(), quiet()};
  depot.create_topic("orders", 1);
  std::mt19937_64 random{1};
  std::string noise(2'000, '\0');
  for (auto& each : noise)
    each = static_cast<char>(random());
  const std::string text(2'000, 'x');
  const auto send = [&](producer_options options, const std::string& body) {
    depot.producer("orders", std::move(options)).send({.body = body});
  };
  send({}, text);
  send(compressing(), noise);
  auto small = compressing();
  small.compress_from_bytes = 4'000;
  send(small, text);
  {
    auto numbered = depot.producer("orders", compressing());
    numbered.send_numbered(0, batch_number{1}, {{.body = text}}, nullptr);
    numbered.flush();
  }
  send(compressing(), text);
  const auto got = receive(node.port(), "able", accepts::compressed_too, 100, 5);
  REQUIRE(got.pieces.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) {
    CAPTURE(i);
    CHECK(is_compressed(got.pieces[i].batch) == (i == 4));
  }
}
