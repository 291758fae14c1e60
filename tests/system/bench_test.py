#!/usr/bin/env python3
"""Each `waybill bench` for a second against a node: the fields of its row, and whether the figures agree
with each other. How fast it is, is not looked at.

Example: tests/system/bench_test.py --bin build/release/apps
"""
import json
import os
import signal
import sys
import time

sys.dont_write_bytecode = True
import programs  # noqa: E402  (beside this file)

say, must = programs.say, programs.must

# What the rows of tests/peers have, from its driver and from its script.
PEERS_FIELDS = {"peer", "version", "nodes", "durability", "fsync_before_confirm", "workload", "message_bytes",
                "messages", "seconds", "msgs_per_s", "mb_per_s", "p50_ms", "p99_ms", "p999_ms", "cpu_s_server",
                "cpu_s_client", "peak_rss_mb_server", "cpu_s_other", "cpu_s_stolen", "failed", "noise"}
OUR_FIELDS = {"window", "batch", "in_flight", "bodies", "zstd_level", "linger_ms", "partitions", "producers", "idle_sessions",
              "server_us_per_message", "syncs",
              "syncs_per_message", "ratio_to_floor_256k", "ratio_to_floor_1k", "floor", "machine_load"}
RUNS = {
    "publish": ("W1-publish-1KiB", ("--seconds", "1", "--warm-up", "200ms")),
    "latency": ("W2-latency", ("--messages", "300", "--warm-up", "100ms")),
    "end-to-end": ("W3-end-to-end-text-zstd-2", ("--seconds", "1", "--compress=2")),
    "paced": ("W3-paced-500/s", ("--rate", "500", "--messages", "500")),
    "fan-in": ("W4-fan-in-3x3-idle-20", ("--producers", "3", "--idle", "20", "--seconds", "1", "--warm-up", "200ms")),
}


def near(one, other, share=0.02):
    return abs(one - other) <= share * max(abs(one), abs(other)) + 0.01


def look_at_row(name, row):
    workload, _ = RUNS[name]
    has_consumer = name in ("end-to-end", "paced")
    wanted = PEERS_FIELDS | OUR_FIELDS | ({"duplicates", "publish_seconds", "missing", "late_acks"}
                                          if has_consumer else set())
    must(f"{name}: the fields are known ones", set(row) == wanted, set(row) ^ wanted)
    must(f"{name}: it says what it is", (row["peer"], row["nodes"], row["workload"]) ==
         ("waybill", 1, workload), row)
    must(f"{name}: everything was confirmed", row["messages"] > 0 and row["failed"] == 0, row)
    must(f"{name}: everything arrived once", not has_consumer or
         (row["duplicates"], row["missing"], row["late_acks"]) == (0, 0, 0), row)
    must(f"{name}: the rate is that of the messages", near(row["msgs_per_s"], row["messages"] / row["seconds"]), row)
    must(f"{name}: so are the bytes", near(row["mb_per_s"], row["msgs_per_s"] * row["message_bytes"] / 1e6), row)
    must(f"{name}: its bodies are what was asked for", (row["bodies"], row["zstd_level"]) ==
         (("text", 2) if "zstd" in workload else ("random", None)), row)
    must(f"{name}: the percentiles rise", 0 < row["p50_ms"] <= row["p99_ms"] <= row["p999_ms"], row)
    must(f"{name}: the node had work", row["cpu_s_server"] > 0 and row["server_us_per_message"] > 0, row)
    must(f"{name}: and memory", 5 < row["peak_rss_mb_server"] < 2000, row)
    must(f"{name}: and no more time than the cores have",
         row["cpu_s_server"] + row["cpu_s_client"] <= os.cpu_count() * (row["seconds"] + 1), row)
    must(f"{name}: it synced", row["syncs"] > 0 and row["syncs_per_message"] > 0, row)
    must(f"{name}: three floors", [each["bytes"] for each in row["floor"]] == [1024, 65536, 262144], row)
    must(f"{name}: each of them was measured",
         all(each["per_s"] > 0 and each["mb_per_s"] > 0 and each["p50_ms"] > 0 for each in row["floor"]), row)


def all_at_once(cli, work):
    """The runs do not disturb each other, but in their speed."""
    running = {name: cli.begin("bench", name, "--json", "--floor-dir", work, *words, stdout=-1, stderr=-1, text=True)
               for name, (_, words) in RUNS.items()}
    rows = {}
    for name, run in running.items():
        answer, told = run.communicate(timeout=100)
        must(f"bench {name} succeeds", run.returncode == 0, (run.returncode, answer, told))
        rows[name] = json.loads(answer)
    for name, row in rows.items():
        look_at_row(name, row)
    must("one at a time: at least a sync for each", rows["latency"]["syncs"] >= rows["latency"]["messages"])
    must("as many as were asked for", rows["latency"]["messages"] == 300 and rows["paced"]["messages"] == 500)
    must("no faster than the pace", rows["paced"]["msgs_per_s"] <= 505, rows["paced"])
    must("no topic is left behind", cli.objects("topic", "list") == [])
    say(f"rows: {', '.join(row['workload'] for row in rows.values())}")


def for_people(cli, work):
    text = cli.call("bench", "latency", "--messages", "50", "--warm-up", "0", "--floor-dir", work)
    for words in ("FLOOR: WRITE + FDATASYNC", "W2-latency", "p50 ms", "server CPU us a message",
                  "server peak memory MiB", "fdatasyncs a message"):
        must(f"the text says `{words}`", words in text, text)
    say("text: the figures of a run for people")


def broken_off(cli, work):
    """A signal ends it with the figures so far, and its topic goes too."""
    run = cli.begin("bench", "publish", "--seconds", "100", "--json", "--floor-dir", work, stdout=-1, stderr=-1,
                    text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any(p["next_offset"] > 0 for topic in cli.objects("topic", "list") for p in topic["partitions"]):
            break
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    answer, told = run.communicate(timeout=60)
    must("it fails", run.returncode == 1, (run.returncode, told))
    must("and says why", "Stopped by a signal" in told, told)
    must("with a row or nothing", not answer or json.loads(answer)["workload"] == "W1-publish-1KiB", answer)
    must("no topic is left behind", cli.objects("topic", "list") == [])
    say("a signal: figures so far, and no topic is left behind")


def main():
    with programs.a_node(programs.parse_bin(__doc__), "bench") as (cli, work):
        all_at_once(cli, work)
        for_people(cli, work)
        broken_off(cli, work)


if __name__ == "__main__":
    main()
