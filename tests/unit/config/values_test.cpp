// How every type of value is written, and where a node may listen.
#include "config/options.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace waybill;
using namespace std::chrono_literals;

namespace {

/// What is wrong with this value for this key; empty when nothing is.
std::string problem(std::string_view key, std::string text, bool quoted = false) {
  node_settings values;
  const auto* found = find_option(key);
  REQUIRE(found != nullptr);
  const auto before = found->read(values);
  auto what = assign(*found, {std::move(text), quoted}, values);
  if (what)
    CHECK(found->read(values) == before); // what is refused changes nothing
  return what.value_or("");
}

bool wrong_type(const std::string& text) {
  return text.starts_with("is of the wrong type: allowed is ");
}
bool out_of_range(const std::string& text) {
  return text.starts_with("is out of range: allowed is ");
}

template <class T>
T read_as(std::string_view key, std::string text) {
  node_settings values;
  INFO(key << " = " << text);
  const auto what = assign(*find_option(key), {std::move(text), false}, values);
  CHECK(what.value_or("") == "");
  return std::get<T>(find_option(key)->read(values));
}

} // namespace

TEST_CASE("a count is written in decimal or hexadecimal, bytes with their unit too", "[config]") {
  const auto bytes = [](std::string text) {
    return read_as<std::uint64_t>("net.message-bytes-max", std::move(text));
  };
  CHECK(bytes("65536") == 65'536);
  CHECK(bytes("+65536") == 65'536);
  CHECK(bytes("0x10000") == 65'536);
  CHECK(bytes("64KiB") == 65'536);
  CHECK(bytes("2MiB") == 2u << 20);
  CHECK(read_as<std::uint64_t>("storage.generation-bytes", "2GiB") == 2ull << 30);
  CHECK(read_as<std::uint64_t>("storage.disk-free-min", "1TiB") == 1ull << 40);
  CHECK(read_as<std::uint64_t>("storage.disk-free-min", "0") == 0);
  CHECK(read_as<std::uint64_t>("storage.disk-free-min", "-0") == 0);

  for (const auto* text : {"", "many", "1.5", "1e6", "64 KiB", "64kb", "64K", "0x", "010", "--5",
                           "5-", "true", "30s", "+", "-", "KiB"}) {
    INFO(text);
    CHECK(wrong_type(problem("net.message-bytes-max", text)));
  }
  CHECK(wrong_type(problem("net.message-bytes-max", "65536", true))); // a text, being in quotes
  CHECK(wrong_type(problem("net.connections-max", "64KiB")));         // no bytes
  for (const auto* text : {"0", "-65536", "18446744073709551615", "18446744073709551616",
                           "99999999999999999999999", "18014398509481984KiB", "16777216TiB"}) {
    INFO(text);
    CHECK(out_of_range(problem("net.message-bytes-max", text)));
  }
}

TEST_CASE("a span of time has a unit", "[config]") {
  const auto span = [](std::string text) {
    return read_as<milliseconds>("delivery.lease", std::move(text));
  };
  CHECK(span("30s") == 30s);
  CHECK(span("500ms") == 500ms);
  CHECK(span("2min") == 2min);
  CHECK(span("1h") == 1h);
  CHECK(span("500000us") == 500ms);
  CHECK(span("1000000000ns") == 1s);
  for (const auto* text : {"", "30", "s", "1.5s", "30 s", "30sec", "30S", "1m", "1d", "soon"}) {
    INFO(text);
    CHECK(wrong_type(problem("delivery.lease", text)));
  }
  CHECK(wrong_type(problem("delivery.lease", "30s", true)));
  for (const auto* text : {"0s", "-30s", "99ms", "721h", "100000001ns", "9999999999999h",
                           "99999999999999999999999s"}) {
    INFO(text);
    CHECK(out_of_range(problem("delivery.lease", text)));
  }
}

TEST_CASE("a factor is a finite number", "[config]") {
  const auto number = [](std::string text) {
    return read_as<double>("delivery.factor", std::move(text));
  };
  CHECK(number("1.5") == 1.5);
  CHECK(number("3") == 3.0);
  CHECK(number("+2.5") == 2.5);
  CHECK(number("1e1") == 10.0);
  CHECK(read_as<double>("delivery.jitter", ".5") == 0.5);
  for (const auto* text : {"", "x", "1,5", "1.5.", "1.5x", "true", "++1"}) {
    INFO(text);
    CHECK(wrong_type(problem("delivery.factor", text)));
  }
  for (const auto* text : {"0.99", "100.1", "-1", "nan", "inf", "-inf", "1e999"}) {
    INFO(text);
    CHECK(out_of_range(problem("delivery.factor", text)));
  }
}

TEST_CASE("a switch is true or false, and nothing else", "[config]") {
  CHECK(read_as<bool>("node.allow-single", "true"));
  CHECK_FALSE(read_as<bool>("node.allow-single", "false"));
  for (const auto* text : {"", "yes", "1", "0", "True", "on"})
    CHECK(problem("node.allow-single", text) == "is of the wrong type: allowed is true or false");
  CHECK(wrong_type(problem("node.allow-single", "true", true)));
}

TEST_CASE("a text is checked by what it stands for", "[config]") {
  CHECK(read_as<std::string>("node.log-level", "warning") == "warning");
  CHECK(problem("node.log-level", "loud") ==
        "is not valid: allowed is one of trace, debug, info, warning, error, off");
  CHECK(problem("scheduler.policy", "profile") ==
        "is not valid: allowed is one of handover, sharing, stealing");
  CHECK(read_as<std::string>("node.id", "north-1") == "north-1");
  CHECK(problem("node.id", "two words").starts_with("is not valid: allowed is a name of 1 to 128"));
  CHECK(problem("node.id", "", true).starts_with("is not valid"));
  CHECK(read_as<std::string>("node.data-dir", "/var/lib/waybill") == "/var/lib/waybill");
  CHECK(problem("node.data-dir", "", true).starts_with("is not valid: allowed is a path"));
  CHECK(problem("node.data-dir", std::string("a\0b", 3), true).starts_with("is not valid"));
  CHECK(problem("node.data-dir", std::string(4'096, 'a')).starts_with("is not valid"));
  CHECK(out_of_range(problem("scheduler.max-threads", "1025")));
}

TEST_CASE("an address is HOST:PORT, IPv6 in brackets", "[config]") {
  for (const auto* text : {"127.0.0.1:7411", "[::1]:0", "localhost:65535", "*:7411", "0.0.0.0:1",
                           "broker-1.example.org:7411", "[fe80::1]:7411"}) {
    INFO(text);
    const auto address = parse_listen_address(text);
    REQUIRE(address);
    CHECK(to_string(*address) == text);
  }
  for (const auto* text : {"",
                           "7411",
                           ":7411",
                           "127.0.0.1",
                           "127.0.0.1:",
                           "127.0.0.1:65536",
                           "127.0.0.1:-1",
                           "127.0.0.1:x",
                           "127.0.0.1:7411 ",
                           "::1:7411",
                           "[::1]",
                           "[]:7411",
                           "[127.0.0.1]:7411",
                           "[::1:7411",
                           "127.0.0.256:7411",
                           "127.1:7411",
                           "two words:7411",
                           "a..b:7411",
                           "-a:7411",
                           "http://a:7411",
                           "[fe80::1%eth0]:7411"}) {
    INFO(text);
    CHECK_FALSE(parse_listen_address(text));
    CHECK(problem("net.listen", text, true).starts_with("is not valid: allowed is HOST:PORT"));
  }
}

TEST_CASE("loopback is what only this machine can reach", "[config]") {
  for (const auto* host :
       {"127.0.0.1", "127.255.255.254", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "localhost"})
    CHECK(listen_address{host, 1}.is_loopback());
  for (const auto* host : {"0.0.0.0", "::", "*", "128.0.0.1", "10.127.0.1", "::ffff:10.0.0.1",
                           "::2", "localhost.example.org", "node", ""})
    CHECK_FALSE(listen_address{host, 1}.is_loopback());
}

TEST_CASE("the known key that is written most like an unknown one is found", "[config]") {
  CHECK(nearest_key("net.listn") == "net.listen");
  CHECK(nearest_key("node.listen") == "net.listen");
  CHECK(nearest_key("net.message_bytes_max") == "net.message-bytes-max");
  CHECK(nearest_key("storage.disk-free") == "storage.disk-free-min");
  CHECK(nearest_group("Net") == "net");
  CHECK(nearest_group("partition") == "partitions");
}

TEST_CASE("nothing is proposed for a key that is like no other", "[config]") {
  for (const auto& word : {std::string{}, std::string{"colour"},
                           std::string{"storage.free-disk-min"}, std::string(1'000'000, 'x')})
    CHECK(nearest_key(word).empty());
  CHECK(nearest_group("colours").empty());
}
