#!/usr/bin/env python3
"""Tests the test of the includes: each rule is broken once, and the breach is named."""

import tempfile
import unittest
from pathlib import Path

from include_rules import breaches

CLEAN = {
    "actors/messages.hpp": '#include "actors/rules/a.hpp"\n#include <caf/all.hpp>\n',
    "actors/rules/a.hpp": '#include "storage/store.hpp"\n#include <chrono>\n',
    "config/limits.hpp": '#include "storage/types.hpp"\n',
    "net/rpc/server.cpp": '#include "actors/messages.hpp"\n#include <kj/async.h>\n',
    "storage/store.hpp": '#include "storage/types.hpp"\n',
    "storage/store.cpp": '#include "storage/store.hpp"\n#include <leveldb/db.h>\n',
    "storage/types.hpp": "#include <string>\n",
    "storage/flat_message.hpp": "#include <capnp/message.h>\n",
}


def breaches_with(**planted):
    """The breaches of a clean tree with these files added, or put in place of its own."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        files = CLEAN | {name.replace("__", "/").replace("_dot_", "."): text
                         for name, text in planted.items()}
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return breaches(root)[0]


class IncludeRules(unittest.TestCase):
    def assert_one(self, found, *parts):
        self.assertEqual(len(found), 1, found)
        for part in parts:
            self.assertIn(part, found[0])

    def test_a_tree_that_keeps_the_rules_has_no_breach(self):
        self.assertEqual(breaches_with(), [])

    def test_the_file_and_line_are_named(self):
        found = breaches_with(storage__b_dot_cpp='\n\n#include "config/limits.hpp"\n')
        self.assert_one(found, "storage/b.cpp:3:", "config/limits.hpp")

    def test_storage_includes_nothing_else_of_ours(self):
        self.assert_one(breaches_with(storage__b_dot_cpp='#include "net/client/link.hpp"\n'),
                        "storage/ may not include net/client/link.hpp")

    def test_actors_keep_to_the_store_and_the_limits(self):
        self.assert_one(breaches_with(actors__a_dot_cpp='#include "config/options.hpp"\n'),
                        "config/options.hpp")
        self.assert_one(breaches_with(actors__a_dot_cpp='#include "storage/generation.hpp"\n'),
                        "storage/generation.hpp")

    def test_the_server_knows_only_the_messages_of_the_actors(self):
        self.assert_one(breaches_with(net__rpc__a_dot_cpp='#include "actors/rules/a.hpp"\n'),
                        "actors/rules/a.hpp")

    def test_a_client_is_not_linked_with_caf(self):
        self.assert_one(breaches_with(net__client__a_dot_cpp="#include <caf/all.hpp>\n"), "CAF")
        found = breaches_with(net__client__a_dot_cpp='#include "actors/messages.hpp"\n')
        self.assertTrue(any("reaches CAF" in line for line in found), found)

    def test_headers_of_storage_bring_no_leveldb_along(self):
        self.assert_one(breaches_with(storage__b_dot_hpp="#include <leveldb/db.h>\n"), "LevelDB")

    def test_rules_include_no_library(self):
        for header in ("caf/all.hpp", "kj/async.h", "capnp/message.h", "leveldb/db.h"):
            self.assert_one(breaches_with(actors__rules__b_dot_cpp=f"#include <{header}>\n"), header)

    def test_rules_reach_no_library_through_headers_of_ours(self):
        found = breaches_with(
            storage__store_dot_hpp='#include "storage/flat_message.hpp"\n')
        self.assertTrue(any(line.startswith("actors/rules/a.hpp:1:") and "reaches Cap'n Proto" in line
                            for line in found), found)

    def test_rules_read_no_clock(self):
        for text in ("auto t = std::chrono::system_clock::now();", "auto t = clock.now();",
                     "auto t = std::time(nullptr);", "std::chrono::steady_clock c;"):
            found = breaches_with(actors__rules__b_dot_cpp=f"\n{text}\n")
            self.assertEqual({line.split(": ")[0] for line in found}, {"actors/rules/b.cpp:2"}, text)

    def test_rules_read_no_random_source(self):
        for text in ("std::random_device d;", "int n = rand();", "std::mt19937_64 g;"):
            self.assert_one(breaches_with(actors__rules__b_dot_cpp=f"{text}\n"), "random source")
        self.assert_one(breaches_with(actors__rules__b_dot_cpp="#include <random>\n"), "<random>")

    def test_words_in_comments_and_texts_are_no_breach(self):
        self.assertEqual(breaches_with(
            actors__rules__b_dot_cpp='// never now()\n/* rand() */ const char* s = "rand()";\n'), [])

    def test_an_include_that_hides_its_file_is_a_breach(self):
        self.assert_one(breaches_with(storage__b_dot_cpp="#include HEADER\n"), "macro")
        self.assert_one(breaches_with(storage__b_dot_cpp='#include "types.hpp"\n'), "root")

    def test_product_code_does_not_include_tests(self):
        self.assert_one(breaches_with(apps__a_dot_cpp='#include "tests/support/x.hpp"\n'), "tests/")


if __name__ == "__main__":
    unittest.main()
