#!/usr/bin/env python3
"""Compressed batches from one end to the other: published by the command line, on the disk a fraction of what they
are, there after a kill, consumed line by line, dead letters readable, and the books those of a second reader.

Example: tests/system/compressed_test.py --bin build/release/apps
"""
import json
import pathlib
import shutil
import sys
import tempfile

sys.dont_write_bytecode = True
import programs  # noqa: E402  (beside this file)

say, must = programs.say, programs.must

LINES = [f"2026-01-31T08:{n // 60 % 60:02}:{n % 60:02}Z order {n * 7919} taken: {n % 9} lamps for customer {n % 1_000}"
         for n in range(30_000)]


def journal_bytes(data):
    return sum(file.stat().st_size for file in (data / "journal").rglob("*.log"))


def publish(cli, data, topic, *words):
    """@returns how many bytes the journal took for it"""
    cli.call("topic", "create", topic, "--partitions", "2")
    before = journal_bytes(data)
    found = json.loads(cli.call("publish", topic, *words, "--json", lines=LINES).splitlines()[-1])
    must(f"every line of {topic} is confirmed", found["confirmed"] == len(LINES), found)
    return journal_bytes(data) - before


def wrong_words(cli):
    for words, told in ((("--compress=20",), "from 1 to 19"), (("--compress=fast",), "from 1 to 19"),
                        (("--compress", "--producer", "import"), "excludes")):
        status, said = cli.try_call("publish", "plain", *words)
        must(f"{words} is wrong usage", status == 2 and told in said, (status, said))


def consume(cli, topic):
    cli.call("group", "set", topic, "readers", "--attempts", "1")
    script = 'read -r line; case "$line" in *" order 7919 "*) exit 9;; esac; printf "%s\\n" "$line"'
    first = cli.try_call("consume", topic, "--group", "readers", "--exec", script, "--max", "50", "--credit", "20",
                         "--idle-exit", "5s")
    rest = cli.call("consume", topic, "--group", "readers", "--idle-exit", "1s").splitlines()
    seen = [line for line in first[1].splitlines() if line in WANTED] + rest
    letters = cli.objects("dlq", "list", topic, "--group", "readers")
    bodies = [cli.objects("dlq", "show", topic, each["id"], "--group", "readers")[0]["body"] for each in letters]
    return sorted(seen + bodies), bodies


WANTED = set(LINES)


def main():
    binaries = programs.parse_bin(__doc__)
    with tempfile.TemporaryDirectory(prefix="waybill-compressed-") as directory:
        work = pathlib.Path(directory)
        port = programs.free_port()
        node = programs.Node(binaries, work / "data", port, work / "node.log", "--storage.tail-bytes-max=1MiB")
        node.start()
        try:
            cli = programs.CommandLine(binaries, port)
            plain = publish(cli, work / "data", "plain")
            small = publish(cli, work / "data", "small", "--compress")
            smaller = publish(cli, work / "data", "smaller", "--compress=19")
            must("compressed takes less than a third", 0 < small < plain / 3, (plain, small))
            must("and a high level no more", smaller < small * 1.1, (small, smaller))
            wrong_words(cli)
            node.kill()
            node.start()
            for topic in ("small", "smaller", "plain"):
                seen, dead = consume(cli, topic)
                must(f"each line of {topic} was seen once", seen == sorted(LINES), len(seen))
                must("the command that failed left its line", all(" order 7919 " in body for body in dead), dead)
            status, books = cli.audit()
            must("the books balance", status == 0, books)
            node.stop()
            shutil.copytree(work / "data", work / "copy")
            status, totals, faults = programs.read_directory(work / "copy")
            must("the second reader finds no fault", (status, faults) == (0, []), faults)
            must("and the same totals", programs.differences(books, totals) == [],
                 programs.differences(books, totals))
            say(f"{len(LINES):,} lines: {plain:,} bytes in the journal, {small:,} with --compress, {smaller:,} with "
                "--compress=19; each seen once, also after a kill")
        finally:
            node.kill_if_alive()


if __name__ == "__main__":
    main()
