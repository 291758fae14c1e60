// A node's configuration as a whole: every key by file and by flag, every refusal, the sample.
#include "config/node_config.hpp"

#include <caf/all.hpp>
#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

using namespace waybill;
using namespace std::chrono_literals;

namespace {

using arguments = std::vector<std::string>;

/// A file that is gone with the test.
class config_file {
public:
  explicit config_file(const std::string& text)
      : path_{std::filesystem::temp_directory_path() /
              ("waybill-" + std::to_string(std::random_device{}()) + ".ini")} {
    std::ofstream{path_} << text;
  }
  ~config_file() { std::filesystem::remove(path_); }
  config_file(const config_file&) = delete;
  config_file& operator=(const config_file&) = delete;
  [[nodiscard]] std::string flag() const { return "--config-file=" + path_.string(); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::string line(int number) const {
    return path_.string() + ":" + std::to_string(number);
  }

private:
  std::filesystem::path path_;
};

/// Of a program that has an extension of each kind, all of one name.
struct extended_config : node_config {
  extended_config() {
    add_alarm_sink("own", [](caf::actor_system&) { return alarm_sink_actor{}; });
    add_interceptor("own", [](caf::actor_system&) { return interceptor_actor{}; });
    add_letter_listener("own", [](caf::actor_system&) { return letter_listener_actor{}; });
    add_redelivery_policy("own", [](caf::actor_system&) { return redelivery_actor{}; });
  }
};

void accept(node_config& config, const arguments& given) {
  const auto done = config.read(given);
  INFO((done ? "" : done.error().detail));
  REQUIRE(done);
}

std::string refusal(const arguments& given, ec code = ec::bad_argument) {
  node_config config;
  const auto done = config.read(given);
  REQUIRE_FALSE(done);
  CHECK(done.error().code == code);
  CHECK(config_text(config.values()) == config_text(node_settings{})); // all or nothing
  return done.error().detail;
}

/// A file that sets one key.
std::string lines(const option& key, const std::string& value) {
  return "[" + std::string{key.group()} + "]\n" + std::string{key.name()} + " = " + value + "\n";
}

/// Another value than the default that a key takes while every other key has its default.
std::string another(const option& key) {
  static const std::map<std::string_view, std::string> special{
      {"node.id", "north"},
      {"node.data-dir", "/srv/w"},
      {"node.log-level", "debug"},
      {"net.listen", "[::1]:0"},
      {"scheduler.policy", "stealing"},
      {"extensions.alarm-sinks", "own"},
      {"extensions.interceptors", "a*=own"},
      {"extensions.letter-listeners", "a/*=own"},
      {"extensions.redelivery-policies", "a/*=own"}};
  if (const auto found = special.find(key.key); found != special.end())
    return found->second;
  const auto value = key.read(node_settings{});
  if (const auto* on = std::get_if<bool>(&value))
    return *on ? "false" : "true";
  if (const auto* span = std::get_if<milliseconds>(&value))
    return std::to_string((*span + 1ms).count()) + "ms";
  if (const auto* factor = std::get_if<double>(&value))
    return to_string(setting_value{*factor + 0.5});
  // One step away from the default contradicts no other key, upwards or downwards.
  const bool down = key.key == "net.message-bytes-max" || key.key == "net.batch-bytes-max";
  const auto count = std::get<std::uint64_t>(value);
  return std::to_string(down ? count - 1 : count + 1);
}

/// The settings that an accepted key leads to, with everything else at its default.
std::string expected(const option& key, const std::string& value) {
  node_settings values;
  REQUIRE_FALSE(assign(key, {value, false}, values));
  return config_text(values);
}

} // namespace

TEST_CASE("without configuration a node is one for development, on loopback", "[config]") {
  node_config config;
  accept(config, {});
  CHECK(config.wanted() == wanted_action::run);
  CHECK(config.text().empty());
  CHECK(config.development());
  CHECK(to_string(config.values().net.listen) == "127.0.0.1:7411");
  CHECK(config.values().net.listen.is_loopback());
  CHECK(config.values().node.data_dir == "waybill-data");
  CHECK(config.bounds().net.message_bytes_max == 1u << 20);
}

TEST_CASE("the arguments of main are read without the program's name", "[config]") {
  std::string name = "waybilld";
  std::string flag = "--node.id=north";
  std::array<char*, 3> argv{name.data(), flag.data(), nullptr};
  const auto config = node_config::parse(2, argv.data());
  REQUIRE(config);
  CHECK((*config)->values().node.id == "north");
  CHECK(node_config::parse(0, argv.data() + 2)); // no name either
  flag = "--node.ID=north";
  CHECK_FALSE(node_config::parse(2, argv.data()));
}

TEST_CASE("every key is set by a flag, and by a file", "[config]") {
  for (const auto& key : options()) {
    INFO(key.key);
    const auto value = another(key);
    const auto result = expected(key, value);
    CHECK(result != config_text(node_settings{}));

    extended_config by_flag;
    accept(by_flag, {"--" + std::string{key.key} + "=" + value});
    CHECK(config_text(by_flag.values()) == result);

    const bool is_text = std::holds_alternative<std::string>(key.read(node_settings{}));
    const config_file file{lines(key, is_text ? "\"" + value + "\"" : value)};
    extended_config by_file;
    accept(by_file, {file.flag()});
    CHECK(config_text(by_file.values()) == result);
  }
}

TEST_CASE("a value beyond either end of its range is refused for every limit", "[config]") {
  const auto beyond = [](limit_value value, int by) {
    if (const auto* count = std::get_if<std::uint64_t>(&value))
      return by < 0 && *count == 0 ? std::string{"-1"}
                                   : std::to_string(by < 0 ? *count - 1 : *count + 1);
    if (const auto* span = std::get_if<milliseconds>(&value))
      return std::to_string(span->count() + by) + "ms";
    return to_string(limit_value{std::get<double>(value) + by});
  };
  for (const auto& limit : limit_keys()) {
    const std::string key{limit.key};
    const auto& allowed = find_option(key)->allowed;
    for (const auto& value : {beyond(limit.low, -1), beyond(limit.high, 1)}) {
      const std::string flag = "--" + key + "=" + value;
      CHECK(refusal({flag}) == "the flag " + flag + ": " + key + " = " + value +
                                   " is out of range: allowed is " + allowed + ".");
      const config_file file{lines(*find_option(key), value)};
      CHECK(refusal({file.flag()}) == file.line(2) + ": " + key + " = " + value +
                                          " is out of range: allowed is " + allowed + ".");
    }
  }
}

TEST_CASE("a value of the wrong type is refused for every key but the texts", "[config]") {
  for (const auto& key : options()) {
    if (std::holds_alternative<std::string>(key.read(node_settings{})))
      continue;
    const std::string name{key.key};
    const std::string flag = "--" + name + "=lots";
    CHECK(refusal({flag}) == "the flag " + flag + ": " + name +
                                 " = lots is of the wrong type: allowed is " + key.allowed + ".");
    const config_file file{lines(key, "\"1\"")};
    CHECK(refusal({file.flag()}) == file.line(2) + ": " + name +
                                        " = \"1\" is of the wrong type: allowed is " + key.allowed +
                                        ".");
  }
}

TEST_CASE("a text that is not valid is refused", "[config]") {
  CHECK(refusal({"--net.listen=nowhere"}) ==
        "the flag --net.listen=nowhere: net.listen = nowhere is not valid: allowed is HOST:PORT, "
        "such as 127.0.0.1:7411 or [::1]:7411, where port 0 is any free one.");
  CHECK(refusal({"--node.id="}).starts_with("the flag --node.id=: node.id = \"\" is not valid: "));
}

TEST_CASE("an unknown key is refused, and the nearest known one is named", "[config]") {
  CHECK(refusal({"--net.lisen=127.0.0.1:1"}) ==
        "the flag --net.lisen=127.0.0.1:1: there is no key net.lisen (given the value "
        "127.0.0.1:1); did you mean net.listen? (--help lists all keys)");
  CHECK(refusal({"--verbose"}).starts_with("the flag --verbose: there is no key verbose"));
  const config_file file{"[storage]\n\ndisk-free = 1GiB\n"};
  CHECK(refusal({file.flag()}) ==
        file.line(3) + ": there is no key storage.disk-free (given the value 1GiB); did you mean "
                       "storage.disk-free-min? (--help lists all keys)");
}

TEST_CASE("CAF's keys that a node does not offer are unknown ones", "[config]") {
  for (const auto* flag : {"--caf.scheduler.policy=sharing", "--scheduler.max-throughput=5",
                           "--middleman.workers=1", "--logger.console=colored"})
    CHECK(refusal({flag}).find("there is no key ") != std::string::npos);
}

TEST_CASE("a key is set once in a file and once by flags", "[config]") {
  const config_file file{"[node]\nid = a\n[net]\n[node]\nid = b\n"};
  CHECK(refusal({file.flag()}) == file.line(5) + ": node.id = b is set a second time, after " +
                                      file.line(2) + ": once is allowed.");
  CHECK(refusal({"--node.id=a", "--node.id=a"}) ==
        "the flag --node.id=a: node.id = a is set a second time, after the flag --node.id=a: once "
        "is allowed.");
}

TEST_CASE("a flag goes over the file, and the file over the default", "[config]") {
  const config_file file{"[node]\nid = from-file\nlog-level = debug\n"};
  node_config config;
  accept(config, {"--node.id=from-flag", file.flag()});
  CHECK(config.values().node.id == "from-flag");
  CHECK(config.values().node.log_level == "debug");
}

TEST_CASE("what is no flag is refused with how to write one", "[config]") {
  CHECK(refusal({"start"}) == "the argument 'start' is no flag: a flag is written "
                              "--group.key=value; --help lists them all.");
  CHECK(refusal({"-x"}).starts_with("the argument '-x' is no flag"));
  CHECK(refusal({"--"}).starts_with("the argument '--' is no flag"));
  CHECK(refusal({"--net.listen", "127.0.0.1:1"})
            .starts_with("the flag --net.listen lacks its value: write --net.listen=VALUE in one "
                         "word, where allowed is HOST:PORT"));
  CHECK(refusal({"--config-file", "f.ini"}) ==
        "the flag --config-file lacks its value: write --config-file=FILE in one word.");
  CHECK(refusal({"--config-file=a", "--config-file=b"}) ==
        "the flag --config-file was given twice, with 'a' and 'b': one file is allowed.");
  CHECK(refusal({"--dump-config=yes"}) ==
        "the flag --dump-config takes no value, but 'yes' was given.");
  CHECK(refusal({"--config-file=no/such.ini"}, ec::not_found)
            .starts_with("the configuration file no/such.ini does not exist"));
}

TEST_CASE("a switch alone is a switch that is on", "[config]") {
  node_config config;
  accept(config, {"--node.allow-single"});
  CHECK(config.values().node.allow_single);
  CHECK_FALSE(config.development());
}

TEST_CASE("limits that contradict each other are refused with where each was set", "[config]") {
  const config_file file{"[net]\nmessage-bytes-max = 8MiB\n"};
  const auto said = refusal({file.flag()});
  CHECK(said == "net.batch-bytes-max = 4194304 and net.message-bytes-max = 8388608 contradict each "
                "other: the first must be at least the second + 4096, since the largest message "
                "must fit into a batch. Set: net.batch-bytes-max (its default), "
                "net.message-bytes-max (" +
                    file.line(2) + ").");
  node_config config;
  accept(config, {file.flag(), "--net.batch-bytes-max=9MiB"});
  CHECK(config.bounds().net.message_bytes_max == 8u << 20);
}

TEST_CASE("a node listens beyond loopback only when both keys allow it", "[config]") {
  const std::string single = "node.allow-single = true";
  const std::string insecure = "net.allow-insecure = true";
  for (const std::string host : {"0.0.0.0", "[::]", "*", "192.0.2.1", "broker.example.org"}) {
    const auto listen = "--net.listen=" + host + ":7411";
    const auto neither = refusal({listen});
    CHECK(neither.starts_with("net.listen = " + host + ":7411 (the flag " + listen +
                              ") can be reached from other machines, and is refused."));
    CHECK(neither.find(single) != std::string::npos);
    CHECK(neither.find(insecure) != std::string::npos);

    const auto not_single = refusal({listen, "--net.allow-insecure=true"});
    CHECK(not_single.find(single) != std::string::npos);
    CHECK(not_single.find(insecure) == std::string::npos);

    const auto not_secure = refusal({listen, "--node.allow-single=true"});
    CHECK(not_secure.find(single) == std::string::npos);
    CHECK(not_secure.find(insecure) != std::string::npos);

    node_config config;
    accept(config, {listen, "--net.allow-insecure=true", "--node.allow-single=true"});
    CHECK_FALSE(config.development());
  }
  for (const std::string host : {"127.0.0.1", "127.3.2.1", "[::1]", "localhost"}) {
    node_config config;
    accept(config, {"--net.listen=" + host + ":0"});
    CHECK(config.development());
  }
}

TEST_CASE("help and version win over every mistake", "[config]") {
  for (const arguments& given : {arguments{"--nonsense", "--help"}, arguments{"-h", "x"}}) {
    node_config config;
    accept(config, given);
    CHECK(config.wanted() == wanted_action::help);
    CHECK(config.text() == help_text());
  }
  for (const arguments& given : {arguments{"--nonsense", "--version"}, arguments{"-V"}}) {
    node_config config;
    accept(config, given);
    CHECK(config.wanted() == wanted_action::version);
    CHECK(config.text() == version_text() + "\n");
  }
  CHECK(version_text().starts_with("waybilld 0."));
}

TEST_CASE("the help lists every key with its default and what is allowed", "[config]") {
  const auto help = help_text();
  for (const auto& each : options()) {
    INFO(each.key);
    CHECK(help.find("\n  --" + std::string{each.key} + "=") != std::string::npos);
    CHECK(help.find(each.says) != std::string::npos);
    CHECK(help.find("Allowed: " + each.allowed + ".") != std::string::npos);
    CHECK(help.find(each.at_end) != std::string::npos);
  }
}

TEST_CASE("the configuration that is dumped reads back as itself", "[config]") {
  arguments all{"--dump-config"};
  for (const auto& each : options())
    if (each.key != "net.message-bytes-max" && each.key != "net.in-flight-max")
      all.push_back("--" + std::string{each.key} + "=" + another(each));
  all.push_back("--net.message-bytes-max=1000000");
  all.push_back("--net.in-flight-max=7");
  const auto awkward = std::ranges::find(all, "--node.data-dir=/srv/w");
  REQUIRE(awkward != all.end());
  *awkward = R"(--node.data-dir=/srv/with "quotes"\and ; more)";
  extended_config first;
  accept(first, all);
  CHECK(first.wanted() == wanted_action::dump_config);
  const config_file file{first.text()};
  extended_config second;
  accept(second, {file.flag(), "--dump-config"});
  CHECK(second.text() == first.text());
  CHECK(second.values().node.data_dir == R"(/srv/with "quotes"\and ; more)");
}

TEST_CASE("the sample has every key at its default", "[config]") {
  const std::filesystem::path sample = WAYBILL_SOURCE_DIR "/config/waybilld.ini";
  std::ostringstream text;
  text << std::ifstream{sample}.rdbuf();
  // `waybilld --dump-config > config/waybilld.ini` writes it anew.
  CHECK(text.str() == config_text(node_settings{}));
  node_config config;
  accept(config, {"--config-file=" + sample.string()});
  CHECK(config_text(config.values()) == config_text(node_settings{}));
  const auto assignments = read_config_file(sample);
  REQUIRE(assignments);
  CHECK(assignments->size() == options().size());
  for (const auto& each : options())
    CHECK(std::ranges::count(*assignments, each.key, &assignment::key) == 1);
}

TEST_CASE("a file of what differs from the defaults shows the other keys as comments", "[config]") {
  node_settings settings;
  settings.node.data_dir = "/var/lib/waybill";
  const config_file file{config_text(settings, keys_set::not_at_default)};
  const auto assignments = read_config_file(file.path());
  REQUIRE(assignments);
  REQUIRE(assignments->size() == 1);
  CHECK(assignments->front().key == "node.data-dir");
  node_config config;
  accept(config, {file.flag()});
  CHECK(config_text(config.values()) == config_text(settings));
  const auto text = config_text(settings, keys_set::not_at_default);
  for (const auto& each : options())
    if (each.key != "node.data-dir")
      CHECK(text.find("\n; " + std::string{each.name()} + " = ") != std::string::npos);
}

TEST_CASE("CAF is handed every key with its type", "[config]") {
  node_config config;
  accept(config, {"--scheduler.policy=stealing", "--scheduler.max-threads=3", "--node.id=north",
                  "--net.message-bytes-max=64KiB", "--delivery.lease=7s", "--delivery.factor=3",
                  "--node.allow-single"});
  CHECK(caf::get_or(config, "scheduler.policy", caf::atom("sharing")) == caf::atom("stealing"));
  CHECK(caf::get_or(config, "scheduler.max-threads", std::size_t{0}) == 3);
  CHECK(caf::get_or(config, "node.id", "") == "north");
  CHECK(caf::get_or(config, "net.message-bytes-max", std::uint64_t{0}) == 65'536);
  CHECK(caf::get_or(config, "delivery.lease", caf::timespan{0}) == 7s);
  CHECK(caf::get_or(config, "delivery.factor", 0.0) == 3.0);
  CHECK(caf::get_or(config, "node.allow-single", false));
  caf::actor_system system{config};
  CHECK(system.scheduler().num_workers() == 3);
}

TEST_CASE("by default work is shared, by two threads at the least", "[config]") {
  const node_config config;
  CHECK(caf::get_or(config, "scheduler.policy", caf::atom("stealing")) == caf::atom("handover"));
  CHECK(config.threads() >= 2);
  CHECK(caf::get_or(config, "scheduler.max-threads", std::size_t{0}) == config.threads());
}
