#!/usr/bin/env python3
"""What a node and a second reader say of a data directory, whole and after damage that was done by hand.

A node with small generations takes messages, some of them are consumed and dropped; it stops. The second reader
(tests/format/read_data_directory.py) must find the same totals as `waybill audit`. Then, each on a copy: one entry is
taken out of a sealed generation, one out of the active one, and one byte of a sealed entry's body is changed. Each
time the node starts, `audit` exits with 1 and names the entry, the other partitions balance and serve, and the second
reader finds the damage too.

Example: tests/system/tampered_store.py --bin build/release/apps --tamper build/release/tests/system/waybill-tamper
"""
import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import programs
from programs import say

KEPT, DRAINED, GROUP = "kept", "drained", "readers"
PARTITIONS = 3
BROKEN = 1  # the partition that is damaged
FLAGS = ["--storage.generation-bytes=128KiB", "--storage.write-buffer-bytes=64KiB", "--storage.tail-bytes-max=0",
         "--partitions.checkpoint-interval=100ms"]


class Failed(Exception):
    pass


def require(true, what):
    if not true:
        raise Failed(what)


def node_on(arguments, directory):
    port = programs.free_port()
    node = programs.Node(arguments.bin, directory, port, directory.parent / "node.log", *FLAGS)
    node.start()
    return node, programs.CommandLine(arguments.bin, port)


def fill(waybill, journal):
    """Two topics: one whose messages all stay, one that is consumed as it fills, so that entries are dropped."""
    for topic in (KEPT, DRAINED):
        waybill.call("topic", "create", topic, "--partitions", str(PARTITIONS))
        waybill.call("group", "set", topic, GROUP)
    for part in range(4):
        drain(waybill, [f"early {part}.{number} " + 80 * "." for number in range(1_500)])
    deadline = time.monotonic() + 20
    while all(each["dropped"] == 0 for each in waybill.audit()[1].values()):
        require(time.monotonic() < deadline, "nothing was dropped")
        time.sleep(0.1)
    for part in range(10):
        keep(waybill, 50)
        drain(waybill, [f"{part}.{number}" for number in range(50)])
    waybill.call("consume", KEPT, "--group", GROUP, "--max", "500")
    # The next generation's directory is made when the active one is half full: from there on a few more fit.
    there = len(list(journal.iterdir()))
    while len(list(journal.iterdir())) <= there:
        keep(waybill, 20)
    for _ in range(3):
        keep(waybill, 1)


def keep(waybill, count):
    for key in range(PARTITIONS * 3):  # so many keys reach every partition
        waybill.call("publish", KEPT, "--key", f"key-{key}", lines=[f"{number} " + 80 * "." for number in range(count)])


def drain(waybill, lines):
    waybill.call("publish", DRAINED, lines=lines)
    waybill.call("consume", DRAINED, "--group", GROUP, "--max", str(len(lines)))


def make_whole(arguments, base):
    """@returns the books as they were before the stop, and the id of the topic that is kept"""
    node, waybill = node_on(arguments, base)
    try:
        fill(waybill, base / "journal")
        topic = waybill.objects("topic", "describe", KEPT)[0]["id"]
        status, books = waybill.audit()
        require(status == 0, f"the audit of a whole directory exits with {status}")
        node.stop()
    finally:
        node.kill_if_alive()
    copy = base.parent / "whole"
    shutil.copytree(base, copy)
    status, totals, faults = programs.read_directory(copy)
    wrong = programs.differences(books, totals) + faults
    require(status == 0 and not wrong, f"the second reader exits with {status}: {wrong}")
    dropped = sum(each["dropped"] for each in totals.values())
    say(f"  whole: {sum(each['confirmed'] for each in books.values())} confirmed, {dropped} of them dropped; audit and "
        f"second reader agree on {len(totals)} partitions")
    return books, topic


class Case:
    """A copy of the whole directory, damaged in one place."""

    def __init__(self, arguments, base, name, *words):
        self.directory = base.parent / name / "data"
        shutil.copytree(base, self.directory)
        done = subprocess.run([arguments.tamper, self.directory, "--partition", str(BROKEN), *words],
                              stdout=subprocess.PIPE, text=True)
        require(done.returncode == 0, "the tool found no entry to damage")
        self.entry = json.loads(done.stdout)
        self.arguments, self.name = arguments, name

    def named_in(self, text):
        """Whether a sentence names the entry by its index; and its messages, if it speaks of offsets."""
        first, end = self.entry["first_offset"], self.entry["first_offset"] + self.entry["messages"]
        numbers = {int(each) for each in re.findall(r"\d+", text)}
        return self.entry["index"] in numbers and ("offset" not in text or first in numbers and end - 1 in numbers)

    def check(self, books, may_lead):
        """@param may_lead whether the partition serves until the entry is read"""
        e = self.entry
        say(f"  {self.name}: entry {e['index']} of {KEPT}#{BROKEN}, offsets {e['first_offset']} to "
            f"{e['first_offset'] + e['messages'] - 1}, in generation {e['generation']}")
        node, waybill = node_on(self.arguments, self.directory)
        try:
            states = {p["partition"]: p["state"] for p in waybill.objects("topic", "describe", KEPT)[0]["partitions"]}
            require(states[BROKEN] == ("leading" if may_lead else "offline"), f"the partitions are {states}")
            status, found = waybill.audit()
            self.check_audit(status, found, books, may_lead)
            self.check_words(waybill, may_lead)
            self.check_others(waybill)
            if not may_lead:
                self.check_rest_of_topic(waybill)
                self.check_refusals(waybill)
            node.stop()
        finally:
            node.kill_if_alive()
        status, _, faults = programs.read_directory(self.directory)
        require(status == 1 and faults, f"the second reader exits with {status}")
        say(f"    second reader: {faults[0]}")

    def check_audit(self, status, found, books, may_lead):
        require(status == 1, f"the audit exits with {status}")
        require(set(found) == set(books), f"the audit tells of {sorted(found)}")
        broken = found.pop((KEPT, BROKEN))
        said = broken["faults"]
        for each in said[:3]:
            say(f"    audit: {each}")
        require(broken["audited"] == may_lead, f"the damaged partition is said to be audited: {broken['audited']}")
        require(broken["balances"] is (False if may_lead else None),
                f"of the damaged partition it says that it balances: {broken['balances']}")
        require(any(self.named_in(each) for each in said), f"nobody names the entry: {said}")
        require(all(each["balances"] and each["confirmed"] == books[place]["confirmed"]
                    for place, each in found.items()), "another partition does not balance")

    def check_words(self, waybill, may_lead):
        """Books that were compared do not balance; those that could not be are not said to."""
        status, text = waybill.try_call("--timeout", "5s", "audit")
        words = ("THE BOOKS DO NOT BALANCE", "NOT AUDITED")
        require(status == 1, f"the audit in words exits with {status}")
        require([each in text for each in words] == [may_lead, not may_lead], f"the audit says: {text}")

    def check_others(self, waybill):
        """The other topic is all whole: it takes messages and delivers them."""
        lines = [f"after {number}" for number in range(30)]
        waybill.call("publish", DRAINED, lines=lines)
        got = waybill.call("consume", DRAINED, "--group", GROUP, "--max", str(len(lines))).splitlines()
        require(sorted(got) == sorted(lines), f"{len(got)} of {len(lines)} messages came")


    def check_rest_of_topic(self, waybill):
        """The topic's other partitions take messages, and deliver what they hold to everybody."""
        lines = [f"beside {number}" for number in range(3_000)]
        waybill.call("publish", KEPT, lines=lines)
        got = [json.loads(each) for each in
               waybill.call("consume", KEPT, "--group", GROUP, "--idle-exit", "2", "--format", "json").splitlines()]
        partitions = {each["id"].split("/")[1] for each in got}
        require(partitions == {str(n) for n in range(PARTITIONS)} - {str(BROKEN)}, f"messages came from {partitions}")
        missing = set(lines) - {each["body"] for each in got}
        require(not missing, f"{len(missing)} of {len(lines)} messages did not come")
        say(f"    the other partitions of {KEPT} took {len(lines)} messages and delivered {len(got)}")

    def check_refusals(self, waybill):
        """What only the damaged partition could take or tell is refused by name."""
        outcomes = {}
        for key in range(PARTITIONS * 3):
            status, text = waybill.try_call("publish", KEPT, "--key", f"key-{key}", "--delivery-timeout", "1", "--json",
                                            lines=["keyed"])
            outcomes.setdefault(status, []).append(text)
        require(set(outcomes) == {0, 3}, f"publishing with keys exits with {sorted(outcomes)}")
        require(all("partition_offline" in each and self.named_in(each) for each in outcomes[3]),
                f"the refusal says: {outcomes[3][0]}")
        status, text = waybill.try_call("publish", KEPT, "--producer", "numbered", "--delivery-timeout", "1",
                                        lines=[str(number) for number in range(3_000)])
        require(status == 1 and "is offline" in text, f"a numbered publish exits with {status}: {text}")
        status, text = waybill.try_call("verify", f"{KEPT}/{BROKEN}/0@1.2.{32 * '0'}", "--json")
        require(status == 1 and "damaged" in text and self.named_in(text), f"verify exits with {status}: {text}")


def run(arguments, work):
    base = work / "data"
    books, topic = make_whole(arguments, base)
    for name, words, may_lead in (("sealed", ["--from", "sealed"], True),
                                  ("active", ["--from", "active"], False),
                                  ("changed", ["--from", "sealed", "--flip"], True)):
        Case(arguments, base, name, "--topic", str(topic), *words).check(books, may_lead)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="the build's apps folder")
    parser.add_argument("--tamper", type=pathlib.Path, required=True, help="waybill-tamper")
    parser.add_argument("--keep", action="store_true", help="keep the working directory")
    arguments = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="waybill-tampered-"))
    try:
        run(arguments, work)
    except Failed as why:
        sys.exit(f"  FAILED: {why}")
    finally:
        if not arguments.keep:
            shutil.rmtree(work, ignore_errors=True)
    say("  every entry that was taken out or changed was missed, and named")


if __name__ == "__main__":
    main()
