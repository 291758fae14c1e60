#!/usr/bin/env python3
"""`table`: medians over rounds, what is left out of them, and the place between two marks."""
import importlib.machinery
import json
import pathlib
import subprocess
import sys
import tempfile
import types
import unittest

sys.dont_write_bytecode = True
SCRIPT = pathlib.Path(__file__).resolve().parent / "table"
table = types.ModuleType("table")
importlib.machinery.SourceFileLoader("table", str(SCRIPT)).exec_module(table)


def row(**fields):
    usual = {"peer": "redis", "version": "7", "nodes": 1, "workload": "W1-publish-1KiB", "fsync_before_confirm": True,
             "messages": 100, "seconds": 1.0, "msgs_per_s": 100.0, "mb_per_s": 0.1, "p50_ms": 1.0, "p99_ms": 2.0,
             "p999_ms": 3.0, "cpu_s_server": 0.5, "cpu_s_client": 0.25, "peak_rss_mb_server": 10.0, "noise": 0.01,
             "failed": 0}
    return {**usual, **fields}


def ours(**fields):
    floor = [{"bytes": 1024, "per_s": 5000, "mb_per_s": 5, "p50_ms": 0.2}, {"bytes": 65536, "per_s": 3000, "mb_per_s": 200,
             "p50_ms": 0.3}, {"bytes": 262144, "per_s": 800, "mb_per_s": 200.0, "p50_ms": 1.2}]
    return row(peer="waybill", floor=floor, server_us_per_message=5.0, syncs_per_message=0.01, **fields)


def tables_of(*rows):
    return table.Figures(json.dumps(each) for each in rows).text()


class Table(unittest.TestCase):
    def test_each_field_is_the_median_of_the_rounds(self):
        found = table.median_row([row(msgs_per_s=300.0, p50_ms=1), row(msgs_per_s=100.0, p50_ms=9), row(msgs_per_s=200.0, p50_ms=5)])
        self.assertEqual((found["msgs_per_s"], found["p50_ms"], found["rounds"]), (200, 5, 3))
        self.assertIs(found["fsync_before_confirm"], True)

    def test_a_round_that_failed_does_not_count_beside_others(self):
        failed = {"peer": "redis", "nodes": 1, "workload": "W1-publish-1KiB", "error": "the server went away"}
        self.assertEqual(table.median_row([row(msgs_per_s=300.0), failed])["msgs_per_s"], 300)
        self.assertIn("the server went away", tables_of(failed))

    def test_a_fault_in_one_round_is_a_fault(self):
        self.assertEqual(table.median_row([row(duplicates=0), row(duplicates=0), row(duplicates=7)])["duplicates"], 7)
        self.assertIn("7 duplicates", tables_of(row(duplicates=0), row(duplicates=7)))

    def test_shares_of_the_floor_are_those_of_each_round(self):
        found = table.median_row([ours(mb_per_s=100.0), ours(mb_per_s=120.0), ours(mb_per_s=20.0)])
        self.assertEqual(found["of_large_floor"], 0.5)
        self.assertAlmostEqual(found["times_small_floor"], 5)

    def test_a_noisy_row_is_marked(self):
        self.assertIn("100*", tables_of(row(noise=0.5)))
        self.assertNotIn("*", tables_of(row()))
        self.assertNotIn("*", tables_of(row(noise=None)))

    def test_every_peer_stands_in_one_table(self):
        text = tables_of({"machine": {"processor": "some", "cores": 2, "hypervisor": None, "memory_gib": 8, "kernel": "6",
                                      "file_system": "ext4"}}, row(), ours(workload="W2-latency"), row(nodes=3))
        for words in ("redis 7, 1 node |", "redis 7, 3 nodes", "waybill 7, 1 node", "Machine: some, 2 cores, 8 GiB", "floor"):
            self.assertIn(words, text)

    def test_the_tables_go_between_two_marks_and_nothing_else_changes(self):
        with tempfile.TemporaryDirectory() as directory:
            rows, page = pathlib.Path(directory, "rows"), pathlib.Path(directory, "page.md")
            rows.write_text(json.dumps(row()) + "\n")
            page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
            for _ in range(2):
                subprocess.run([SCRIPT, rows, "--into", page], check=True)
                text = page.read_text()
                self.assertTrue(text.startswith("before\n") and text.endswith(table.END + "\nafter\n"), text)
                self.assertNotIn("old", text)
                self.assertEqual(text.count("### Throughput"), 1)
            page.write_text("no marks")
            refused = subprocess.run([SCRIPT, rows, "--into", page], capture_output=True, text=True)
            self.assertEqual((refused.returncode, page.read_text()), (1, "no marks"))
            self.assertIn("page.md", refused.stderr)


if __name__ == "__main__":
    unittest.main()
