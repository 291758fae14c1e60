#!/usr/bin/env python3
"""The main job on real input, with a kill in the middle.

A file that was not made for this (Debian's package index) is published with confirms, two competing consumers
acknowledge after their work, the node is killed with SIGKILL halfway and started again. Afterwards every
confirmed message must have been consumed, and nothing may stand in the log twice; compared by message id and
count, not by text.

Example: tests/system/main_job.py --bin build/release/apps --lines 1000000 --kills 1
"""
import argparse
import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

from programs import Node, free_port, say


def real_input(path, lines):
    """Debian's package index as apt keeps it; updated when apt has none yet."""
    for attempt in range(2):
        with open(path, "wb") as out:
            dump = subprocess.Popen(["apt-cache", "dumpavail"], stdout=subprocess.PIPE)
            count = 0
            for line in dump.stdout:
                if count == lines:
                    break
                out.write(line)
                count += 1
            dump.stdout.close()
            dump.wait()
        if count == lines:
            return
        if attempt == 0:
            subprocess.run(["apt-get", "update", "-qq"], check=True)
    sys.exit(f"apt's package index has only {count} lines, {lines} were asked for")


def count_lines(path):
    try:
        with open(path, "rb") as lines:
            return sum(block.count(b"\n") for block in iter(lambda: lines.read(1 << 20), b""))
    except FileNotFoundError:
        return 0


def run(arguments, work):
    source = work / "input.txt"
    real_input(source, arguments.lines)
    port = free_port()
    node = Node(arguments.bin, work / "data", port, work / "node.log")
    node.start()
    environment = dict(os.environ, WAYBILL_SERVERS=f"127.0.0.1:{port}")
    waybill = arguments.bin / "waybill" / "waybill"

    def call(*words, **options):
        return subprocess.run([waybill, *words], env=environment, check=True, **options)

    call("topic", "create", "main-job", "--partitions", "4", stdout=subprocess.DEVNULL)
    begun = time.monotonic()
    consumers = []
    for name in ("one", "two"):
        consumers.append(subprocess.Popen(
            [waybill, "consume", "main-job", "--group", "readers", "--idle-exit", "10s", "--name", name,
             "--ids", work / f"ids-{name}.txt"],
            env=environment, stdout=open(work / f"out-{name}.txt", "wb"), stderr=open(work / f"err-{name}.txt", "wb")))
    receipts = work / "receipts.txt"
    publish = subprocess.Popen(
        [waybill, "publish", "main-job", source, "--producer", "main-job", "--receipts", receipts,
         "--delivery-timeout", "60s", "--attempts", "50"],
        env=environment, stderr=open(work / "err-publish.txt", "wb"))
    for kill in range(arguments.kills):
        threshold = arguments.lines * (kill + 1) // (arguments.kills + 1)
        while publish.poll() is None and count_lines(receipts) < threshold:
            time.sleep(0.005)
        at = count_lines(receipts)
        running = publish.poll() is None
        node.kill()
        say(f"  killed the node with SIGKILL at {at:,} receipts{'' if running else ' (all sent already)'}; started again")
        node.start()
    if publish.wait(300) != 0:
        sys.exit(f"publish ended with {publish.returncode}: {(work / 'err-publish.txt').read_text()}")
    published_in = time.monotonic() - begun
    for consumer in consumers:
        if consumer.wait(300) != 0:
            sys.exit(f"a consumer ended with {consumer.returncode}: {(work / 'err-one.txt').read_text()}{(work / 'err-two.txt').read_text()}")

    confirmed = [line.split("@")[0] for line in receipts.read_text().splitlines()]
    consumed = collections.Counter()
    for name in ("one", "two"):
        consumed.update((work / f"ids-{name}.txt").read_text().split())
    missing = [each for each in confirmed if each not in consumed]
    twice = len(confirmed) - len(set(confirmed))
    strangers = len(set(consumed) - set(confirmed))
    again = sum(count - 1 for count in consumed.values())
    audit = subprocess.run([waybill, "audit", "main-job", "--json"], env=environment, stdout=subprocess.PIPE)
    books = audit.stdout.decode()
    node.stop()
    say(f"  {arguments.lines:,} lines published in {published_in:.1f} s: {len(confirmed):,} confirmed under {len(set(confirmed)):,} ids")
    say(f"  consumed: {len(consumed):,} ids, {again:,} deliveries repeated after the kills")
    say(f"  confirmed and not consumed: {len(missing):,}; published twice: {twice:,}; consumed and never confirmed: {strangers:,}")
    say(f"  audit exits {audit.returncode}")
    total = sum(each.get("confirmed", 0) for each in partitions_of(books))
    say(f"  messages in the broker's books: {total:,}")
    good = (not missing and twice == 0 and strangers == 0 and len(confirmed) == arguments.lines
            and audit.returncode == 0 and total == arguments.lines)
    say("  every confirmed message was consumed, nothing was published twice, the books balance" if good else "  FAILED")
    return good


def partitions_of(text):
    """Every object of the audit's JSON that is a partition's books."""
    found = []

    def walk(value):
        if isinstance(value, dict):
            if "confirmed" in value and "live" in value:
                found.append(value)
            for each in value.values():
                walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)

    for line in text.splitlines():
        if line.strip():
            walk(json.loads(line))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="the build's apps folder")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="keep the working directory")
    arguments = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="waybill-main-job-"))
    try:
        good = run(arguments, work)
    finally:
        if not arguments.keep:
            shutil.rmtree(work, ignore_errors=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
