// The format of configuration files: what is read, and the sentence for everything that is not.
#include "config/config_file.hpp"

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <random>
#include <string>

using namespace waybill;

namespace {

/// What is said about a text that must be refused.
std::string refusal(std::string_view text) {
  const auto read = parse_config_text(text, "f.ini");
  REQUIRE_FALSE(read);
  CHECK(read.error().code == ec::bad_argument);
  return read.error().detail;
}

/// The one value that a text sets.
written_value only_value(const std::string& value) {
  const auto read = parse_config_text("[net]\nlisten = " + value + "\n", "f.ini");
  INFO(value);
  REQUIRE(read);
  REQUIRE(read->size() == 1);
  return read->front().value;
}

} // namespace

TEST_CASE("a file is groups of keys, with comments and empty lines between", "[config]") {
  const auto read = parse_config_text("\xef\xbb\xbf; a comment\r\n"
                                      "\r\n"
                                      "[net] ; where clients are\r\n"
                                      "  listen=\"[::1]:0\";none\r\n"
                                      "\tallow-insecure\t=\ttrue ; yes\r\n"
                                      "[ node ]\n"
                                      "id = one\n"
                                      "[net]\n"
                                      "login-timeout = 5s",
                                      "f.ini");
  REQUIRE(read);
  REQUIRE(read->size() == 4);
  CHECK((*read)[0].key == "net.listen");
  CHECK((*read)[0].value.text == "[::1]:0");
  CHECK((*read)[0].value.quoted);
  CHECK((*read)[0].place == "f.ini:4");
  CHECK((*read)[1].key == "net.allow-insecure");
  CHECK((*read)[1].value.text == "true");
  CHECK_FALSE((*read)[1].value.quoted);
  CHECK((*read)[2].key == "node.id");
  CHECK((*read)[2].place == "f.ini:7");
  CHECK((*read)[3].key == "net.login-timeout");
  CHECK((*read)[3].value.text == "5s");
}

TEST_CASE("an empty file sets nothing", "[config]") {
  for (const auto* text : {"", "\n", "; nothing\n", "[net]", "  \r\n\t"}) {
    const auto read = parse_config_text(text, "f.ini");
    REQUIRE(read);
    CHECK(read->empty());
  }
}

TEST_CASE("a text in quotes keeps what stands in it", "[config]") {
  CHECK(only_value(R"("a ; b")").text == "a ; b");
  CHECK(only_value(R"("")").text.empty());
  CHECK(only_value(R"("a\\b\"c\n\r\t")").text == "a\\b\"c\n\r\t");
  CHECK(only_value(R"('sharing')").text == "sharing");
  CHECK(only_value(R"('a\b')").text == "a\\b");
  CHECK(only_value(R"(/var/lib/way bill ; here)").text == "/var/lib/way bill");
}

TEST_CASE("a line that is none is refused with its place and its text", "[config]") {
  CHECK(refusal("[net]\n\nlisten\n") ==
        "f.ini:3: 'listen' is neither [group], nor key = value, nor a comment after ;.");
  CHECK(refusal("# old habits\n") ==
        "f.ini:1: '# old habits' is neither [group], nor key = value, nor a comment after ;.");
  CHECK(refusal("[net]\n= 5\n").starts_with("f.ini:2: '= 5' is neither"));
  CHECK(refusal("[net]\nlis ten = 5\n").starts_with("f.ini:2: 'lis ten = 5' is neither"));
  CHECK(refusal("node { id = 5 }\n").starts_with("f.ini:1: 'node { id = 5 }' is neither"));
  CHECK(refusal(std::string(1'000, 'x')).size() < 200);
  CHECK(refusal("\x1b[31m") == "f.ini:1: '?[31m' is neither [group], nor key = value, nor a "
                               "comment after ;.");
}

TEST_CASE("a key outside of a group is refused, and a group is proposed", "[config]") {
  CHECK(refusal("listen = 5\n").starts_with("f.ini:1: the key listen stands outside of a group: "));
  CHECK(refusal("net.listen = 5\n") ==
        "f.ini:1: the key net.listen stands outside of a group: put a line [net] or another "
        "group's before it.");
}

TEST_CASE("a key with a dot within a group is refused", "[config]") {
  CHECK(refusal("[net]\nnet.listen = 5\n") ==
        "f.ini:2: the key net.listen has a dot: within [net] a key is written without its group.");
}

TEST_CASE("a group that does not exist is refused, also when it is empty", "[config]") {
  CHECK(refusal("[nett]\n") == "f.ini:1: there is no group [nett]; did you mean [net]?");
  CHECK(refusal("[]\n").starts_with("f.ini:1: there is no group []"));
  CHECK(refusal("[net\n") == "f.ini:1: '[net' is no whole line [group].");
  CHECK(refusal("[net] listen = 5\n") == "f.ini:1: '[net] listen = 5' is no whole line [group].");
}

TEST_CASE("a value that is missing or does not end is refused", "[config]") {
  CHECK(refusal("[net]\nlisten =\n") ==
        "f.ini:2: net.listen has no value; for an empty text write \"\".");
  CHECK(refusal("[net]\nlisten = ; none\n").starts_with("f.ini:2: net.listen has no value"));
  CHECK(refusal("[net]\nlisten = \"a\n") == "f.ini:2: net.listen = '\"a' lacks its closing quote.");
  CHECK(refusal("[net]\nlisten = \"a\\") == "f.ini:2: net.listen = '\"a\\' has an unknown escape: "
                                            "allowed are \\\\, \\\", \\n, \\r and \\t.");
  CHECK(refusal("[net]\nlisten = \"a\" b\n") ==
        "f.ini:2: net.listen = '\"a\" b' goes on after its closing quote.");
  CHECK(refusal("[net]\nlisten = \"\\x\"\n").find("unknown escape") != std::string::npos);
}

TEST_CASE("a file that is missing, a directory or too long is refused by name", "[config]") {
  const auto missing = read_config_file("no/such.ini");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().code == ec::not_found);
  CHECK(missing.error().detail ==
        "the configuration file no/such.ini does not exist; --config-file=F names another one.");

  const auto scratch = std::filesystem::temp_directory_path() /
                       ("waybill-config-" + std::to_string(std::random_device{}()));
  std::filesystem::create_directory(scratch);
  const auto directory = read_config_file(scratch);
  REQUIRE_FALSE(directory);
  CHECK(directory.error().code == ec::bad_argument);
  CHECK(directory.error().detail ==
        "the configuration file " + scratch.string() + " cannot be read: it is a directory.");

  const auto file = scratch / "long.ini";
  std::ofstream{file} << std::string(config_file_bytes_max, '\n');
  CHECK(read_config_file(file));
  std::ofstream{file} << std::string(config_file_bytes_max + 1, '\n');
  const auto too_long = read_config_file(file);
  REQUIRE_FALSE(too_long);
  CHECK(too_long.error().detail.find("is longer than 1048576 bytes") != std::string::npos);

  std::filesystem::remove(file);
  std::filesystem::create_symlink(file, file); // a loop: neither missing nor readable
  const auto unreadable = read_config_file(file);
  REQUIRE_FALSE(unreadable);
  CHECK(unreadable.error().code == ec::bad_argument);
  CHECK(unreadable.error().detail.find(file.string() + " cannot be read: ") != std::string::npos);
  std::filesystem::remove_all(scratch);
}

TEST_CASE("bytes at random are read or refused with their place, never more", "[config]") {
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random{seed};
  constexpr std::string_view letters = "[]net.listen = \"'\\;\n\r\t\0\x7f\xff#0123s";
  for (int round = 0; round < 2'000; ++round) {
    std::string text = round % 2 == 0 ? "[net]\n" : "";
    for (std::size_t length = random() % 64; length > 0; --length)
      text += letters[random() % letters.size()];
    const auto read = parse_config_text(text, "f.ini");
    if (!read)
      CHECK(read.error().detail.starts_with("f.ini:"));
  }
}
