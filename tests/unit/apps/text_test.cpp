// Words and numbers for people and programs: spans, tables, escapes, ids.
#include "apps/waybill/duration.hpp"
#include "apps/waybill/letter_id.hpp"
#include "apps/waybill/table.hpp"
#include "apps/waybill/text.hpp"

#include <catch2/catch.hpp>

using namespace waybill;
using namespace waybill::cli;
using namespace std::chrono_literals;
using namespace std::string_literals;

TEST_CASE("a span is read in every unit", "[duration]") {
  CHECK(parse_duration("500ms") == 500ms);
  CHECK(parse_duration("30s") == 30s);
  CHECK(parse_duration("5m") == 5min);
  CHECK(parse_duration("2h") == 2h);
  CHECK(parse_duration("1d") == 24h);
  CHECK(parse_duration("1.5s") == 1'500ms);
  CHECK(parse_duration("0") == 0ms);
  CHECK(parse_duration("250ms") == 250ms);
}

TEST_CASE("a number without a unit is seconds", "[duration]") {
  CHECK(parse_duration("250") == 250s);
  CHECK(parse_duration("0.5") == 500ms);
}

TEST_CASE("what is no span is refused", "[duration]") {
  for (const auto* text :
       {"", "s", "-1s", "1x", "1 s", "1s2", "nan", "inf", "1e3", "1.2.3s", "99999999d"})
    CHECK_FALSE(parse_duration(text));
}

TEST_CASE("a span that is written is read as the same", "[duration]") {
  for (const auto span : {0ms, 1ms, 999ms, 1'000ms, 1'001ms, 60'000ms, 3'600'000ms, 90'000ms})
    CHECK(parse_duration(to_string(span)) == span);
}

TEST_CASE("a table is aligned by characters, not by bytes", "[table]") {
  table t{{{"NAME"}, {"COUNT", align::right}, {"NOTE"}}};
  t.add({"ä", "1", ""});
  t.add({"long name", "1,000", "x"});
  CHECK(t.text() == "NAME       COUNT  NOTE\n"
                    "ä              1\n"
                    "long name  1,000  x\n");
}

TEST_CASE("numbers are grouped by thousands", "[text]") {
  CHECK(grouped(0) == "0");
  CHECK(grouped(999) == "999");
  CHECK(grouped(1'000) == "1,000");
  CHECK(grouped(18'446'744'073'709'551'615ull) == "18,446,744,073,709,551,615");
  CHECK(counted(1, "line") == "1 line");
  CHECK(counted(0, "line") == "0 lines");
  CHECK(human_bytes(1'536) == "1.5 KiB");
}

TEST_CASE("a detail becomes a sentence", "[text]") {
  CHECK(sentence("there is none") == "There is none.");
  CHECK(sentence("`x` is gone.") == "`x` is gone.");
  CHECK(sentence("").empty());
}

TEST_CASE("times are written in UTC with milliseconds", "[text]") {
  CHECK(iso_time(wall_time{1'700'000'000'123ms}) == "2023-11-14T22:13:20.123Z");
  CHECK(iso_time(wall_time{}) == "-");
}

TEST_CASE("only well-formed UTF-8 counts as text", "[text]") {
  CHECK(is_utf8(""));
  CHECK(is_utf8("a\0b"s));
  CHECK(is_utf8("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x93\xa6"));
  for (const auto& bad : {"\xff"s, "\xc3"s, "\xc0\x80"s, "\xed\xa0\x80"s, "\xf4\x90\x80\x80"s,
                          "\xe0\x80\x80"s, "\xf0\x80\x80\x80"s, "\x80"s, "\xe2\x82"s})
    CHECK_FALSE(is_utf8(bad));
}

TEST_CASE("base64 is that of RFC 4648", "[text]") {
  CHECK(base64("").empty());
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64("foobar") == "Zm9vYmFy");
  CHECK(base64("\xff\xfe"s) == "//4=");
}

TEST_CASE("bytes for a terminal hold no control characters", "[text]") {
  CHECK(printable("a\033[2Jb\n", 100) == "a\\x1b[2Jb\\x0a");
  CHECK(printable("\xc2\x9b"
                  "1m",
                  100)
            .find('\x9b') == std::string::npos);
  CHECK(printable("äöü", 2) == "äö…");
  CHECK(printable("\xff", 9) == "\\xff");
}

TEST_CASE("a dead letter is named by its message, with or without the topic", "[letter_id]") {
  CHECK(parse_letter_id("orders/3/17", "orders") == letter_id{3, message_offset{17}});
  CHECK(parse_letter_id("3/17", "orders") == letter_id{3, message_offset{17}});
  CHECK(parse_letter_id("3/17", "3") == letter_id{3, message_offset{17}});
  CHECK(parse_letter_id("3/4/17", "3") == letter_id{4, message_offset{17}});
  for (const auto* text :
       {"", "17", "bills/3/17", "orders/3", "orders/3/", "3/-1", "3/1x", "4294967296/1"})
    CHECK_FALSE(parse_letter_id(text, "orders"));
}
