// What manual pages and completion are written with: no text of a table may mean something to troff
// or to a shell.
#include "apps/manual/completion.hpp"
#include "apps/manual/pages.hpp"
#include "apps/manual/troff.hpp"

#include <catch2/catch.hpp>

using namespace waybill::manual;

namespace {

bool has(const std::string& text, const std::string& what) {
  INFO(text);
  return text.find(what) != std::string::npos;
}

/// A program with one command, whose words are as awkward as words can be.
described_program awkward() {
  described_option format{{"--format", "-f"},
                          "WORD",
                          value_kind::text,
                          {"raw", "json"},
                          "It's [a] \\ word: `raw`, or .",
                          {"default raw"},
                          {},
                          false,
                          false};
  described_option file{{"FILE"}, "TEXT", value_kind::file, {}, "What to send", {}, {},
                        false,    true};
  described_command send{"post send", "Don't lose it: [send]", ".A line\n  'another\n",
                         {file},      {{"", {format}}},        {}};
  described_option help{{"--help", "-h"}, {}, value_kind::none, {}, "This", {}, {}, false, false};
  return {{"post", "letters", "Exit status: 0 sent.\n", {}, {{"", {help}}}, {send}},
          "1.0",
          "1",
          {},
          value_form::next_word};
}

} // namespace

TEST_CASE("letters that mean something to troff are shown as themselves") {
  CHECK(escaped(R"(a-b \n 'c' `d` ^ ~)") == R"(a\-b \en \(aqc\(aq \(gad\(ga \(ha \(ti)");
  CHECK(escaped("cut \u2026 here, \u00e9, \U0001F4E6") ==
        "cut \\[u2026] here, \\[u00E9], \\[u1F4E6]");
  CHECK(escaped("\xe2\x80") == "\\[u0080]"); // half a letter ends where the text does
  man_page page{"post", "1", "1.0"};
  page.line(escaped(".TH is text"));
  page.line(escaped("'so is this"));
  page.paragraph("Say `--raw` and `one more");
  CHECK(has(page.text(), "\n\\&.TH is text\n"));
  CHECK(has(page.text(), "\n\\&\\(aqso is this\n"));
  CHECK(has(page.text(), "\nSay \\fB\\-\\-raw\\fR and \\(gaone more\n"));
}

TEST_CASE("a text of the help is taken apart: paragraphs, lines, examples, exit statuses") {
  const auto found = read_prose("Example:\n"
                                "  post send a.txt\n"
                                "  post send b.txt\n"
                                "\n"
                                "It sends, and\n"
                                "compares:\n"
                                "  in    out\n"
                                "    all of it\n"
                                "Then it ends.\n"
                                "Exit status: 0 sent;\n"
                                "1 not.\n"
                                "Examples: post send c.txt\n"
                                "          post send d.txt\n");
  CHECK(found.examples == std::vector<std::string>{"post send a.txt", "post send b.txt",
                                                   "post send c.txt", "post send d.txt"});
  CHECK(found.exit_status == "0 sent; 1 not.");
  REQUIRE(found.pieces.size() == 3);
  CHECK(found.pieces[0].paragraph == "It sends, and compares:");
  CHECK(found.pieces[1].lines == std::vector<std::string>{"in    out", "  all of it"});
  CHECK(found.pieces[2].paragraph == "Then it ends.");
  CHECK(read_prose("").pieces.empty());
}

TEST_CASE("a program has a page, and so has each of its commands") {
  const auto all = pages(awkward());
  REQUIRE(all.size() == 2);
  CHECK(all[0].name == "post");
  CHECK(has(all[0].text, "\\fBpost\\-send\\fR(1)\n"));
  CHECK(all[1].name == "post-send");
  const auto& text = all[1].text;
  CHECK(has(text, "\\fBpost send\\fR [\\fIOPTIONS\\fR] [\\fIFILE\\fR...]\n"));
  CHECK(has(text, "\\fB\\-\\-format\\fR, \\fB\\-f\\fR \\fIWORD\\fR\n"
                  "It\\(aqs [a] \\e word: \\fBraw\\fR, or . (one of raw, json; default raw)\n"));
  CHECK(has(text, "\n\\&.A line\n"));
  CHECK(has(text, "\n\\&\\(aqanother\n"));
  CHECK(has(text, ".SH EXIT STATUS\n.PP\n0 sent.\n"));
}

TEST_CASE("completion holds a program's words in its shell's own form") {
  const auto bash = bash_completion(awkward());
  CHECK(has(bash, "    'post send')\n      options='--format -f --help -h'\n"
                  "      valued='--format -f'\n      files=yes\n"));
  CHECK(has(bash, "'post send --format' | 'post send -f')\n      _post_words 'raw json'\n"));
  CHECK(has(bash, "\ncomplete -F _post post\n"));
  const auto zsh = zsh_completion(awkward());
  CHECK(zsh.starts_with("#compdef post\n"));
  CHECK(has(zsh,
            "'(--format -f)--format=[It'\\''s \\[a\\] \\\\ word: `raw`, or .]:WORD:(raw json)'"));
  CHECK(has(zsh, "'send:Don'\\''t lose it: [send]'"));
  CHECK(has(zsh, "'*:FILE:_files'"));
}
