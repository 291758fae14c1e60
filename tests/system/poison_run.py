#!/usr/bin/env python3
"""A message that kills every consumer process that gets it, among neighbours that do no harm.

Several competing consumers with many messages in hand, started again when they die, as systemd does. The message
must end in the dead letters after exactly its attempts; all others must be acknowledged, in its own partition and
in the others, also while it still kills. Neighbours that are in the victim's hands when it dies count an attempt:
the run tells how many attempts they needed, and fails if one of them became a dead letter, or if one in the same
partition lost more than two.

--in-step is the hard case: a single consumer, no jitter, so that all that failed together comes back together, in the
hands of the same consumer as the message that kills.

Example: tests/system/poison_run.py --bin build/release/apps \\
             --consumer build/release/tests/system/waybill-fragile-consumer
"""
import argparse
import collections
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import programs
from programs import say

TOPIC, GROUP = "jobs", "workers"
LOST_MAX = 2  # attempts that a neighbour in its partition may lose to one that kills (docs/design.md, section 6)


class Consumers:
    """So many processes; one that was killed by its message is started again after a while."""

    def __init__(self, arguments, port, seen):
        self.arguments, self.port, self.seen = arguments, port, seen
        self.deaths = []  # when
        self.running = {}
        self.due = {f"consumer-{number}": 0.0 for number in range(arguments.consumers)}

    def look(self):
        now = time.monotonic()
        for name, process in list(self.running.items()):
            status = process.poll()
            if status is None:
                continue
            if status != -signal.SIGABRT:
                sys.exit(f"{name} ended with status {status}")
            self.deaths.append(now)
            del self.running[name]
            self.due[name] = now + self.arguments.restart_delay
        for name, when in list(self.due.items()):
            if now >= when:
                del self.due[name]
                self.running[name] = self.start(name)

    def start(self, name):
        a = self.arguments
        return subprocess.Popen(
            [a.consumer, "--server", f"127.0.0.1:{self.port}", "--topic", TOPIC, "--group", GROUP, "--name", name,
             "--seen", self.seen, "--credit", str(a.credit), "--work-ms", str(a.work_ms)], stderr=subprocess.DEVNULL)

    def stop(self):
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for name, process in self.running.items():
            if process.wait(60) != 0:
                sys.exit(f"{name} did not end cleanly: status {process.returncode}")

    def kill(self):
        for process in self.running.values():
            process.kill()
            process.wait()


def counts(waybill):
    """Messages of the group that are settled: acknowledged, dead."""
    partitions = waybill.objects("group", "describe", TOPIC, GROUP)[0]["partitions"]
    return sum(p["acked"] for p in partitions), sum(p["dead"] for p in partitions)


def work(arguments, waybill, consumers, directory):
    """Some neighbours are there before, others come for as long as the poison kills, until all are settled.
    @returns the poison's id, and how many neighbours there were"""
    half = arguments.neighbours // 2
    waybill.call("publish", TOPIC, lines=[f"neighbour {n}" for n in range(half)])
    receipt = directory / "receipt.txt"
    waybill.call("publish", TOPIC, "--receipts", receipt, lines=["poison"])
    waybill.call("publish", TOPIC, lines=[f"neighbour {n}" for n in range(half, arguments.neighbours)])
    stream = waybill.begin("publish", TOPIC, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    sent, due = arguments.neighbours, time.monotonic()
    deadline = time.monotonic() + arguments.timeout
    while True:
        consumers.look()
        now = time.monotonic()
        if len(consumers.deaths) < arguments.attempts:
            while due <= now:
                stream.stdin.write(f"neighbour {sent}\n".encode())
                sent, due = sent + 1, due + 1 / arguments.rate
            stream.stdin.flush()
        elif not stream.stdin.closed:
            stream.stdin.close()
        elif stream.poll() is not None and sum(counts(waybill)) == sent + 1:
            break
        if now >= deadline:
            sys.exit(f"after {arguments.timeout} s {counts(waybill)} of {sent + 1} messages are acknowledged and dead, "
                     f"and {len(consumers.deaths)} consumers died")
        time.sleep(0.01)
    if stream.wait() != 0:
        sys.exit(f"publish ended with {stream.returncode}")
    return receipt.read_text().split("@")[0], sent


def same_partition(one, other):
    return one.rpartition("/")[0] == other.rpartition("/")[0]


def judge(arguments, waybill, consumers, poison, neighbours, seen):
    """Prints what happened. @returns whether it is what was promised"""
    delivered = [line.split() for line in seen.read_text().splitlines()]
    attempts_of_poison = [int(attempt) for id, attempt, _ in delivered if id == poison]
    highest = collections.defaultdict(int)
    for id, attempt, _ in delivered:
        if id != poison:
            highest[id] = max(highest[id], int(attempt))
    places = [i for i, (id, _, _) in enumerate(delivered) if id == poison]
    between = [id.split("/")[1] for id, _, _ in delivered[places[0]:places[-1]] if id != poison]
    acked, dead = counts(waybill)
    letters = waybill.objects("dlq", "list", TOPIC, "--group", GROUP)
    status, books = waybill.audit()
    say(f"  {len(consumers.deaths)} consumer processes died, {acked} of {neighbours} neighbours were "
        f"acknowledged, {len(between)} deliveries between the first death and the last")
    by_attempts = collections.Counter(highest.values())
    say("  neighbours by the attempts they needed: "
        + ", ".join(f"{count} needed {attempts}" for attempts, count in sorted(by_attempts.items())))
    innocent = [letter for letter in letters if letter["id"] != poison]
    say(f"  dead letters: {len(letters)}, of them neighbours: {len(innocent)}; audit exits {status}")
    letter = next((each for each in letters if each["id"] == poison), {})
    shown = waybill.objects("dlq", "show", TOPIC, poison, "--group", GROUP) if letter else [{}]
    say(f"  {json.dumps({key: shown[0].get(key) for key in ('id', 'why', 'attempts', 'consumer', 'reason', 'body')})}")
    promised = {
        "each attempt of the poison came once, in turn": attempts_of_poison == list(range(1, arguments.attempts + 1)),
        "each attempt cost a consumer": len(consumers.deaths) == arguments.attempts,
        "the dead letter tells attempts and why": letter.get("attempts") == arguments.attempts
        and letter.get("why") == "disconnected" and letter.get("consumer", "").startswith("consumer-")
        and shown[0].get("body") == "poison",
        "every neighbour was acknowledged, none died": acked == neighbours and dead == 1 and not innocent,
        f"no neighbour in its partition lost more than {LOST_MAX} attempts": max(
            attempts for id, attempts in highest.items() if same_partition(id, poison)) <= LOST_MAX + 1,
        "neighbours of every partition flowed meanwhile": len(set(between)) == arguments.partitions,
        "the books balance": status == 0 and all(each["balances"] for each in books.values()),
    }
    for what, true in promised.items():
        if not true:
            say(f"  NOT TRUE: {what}")
    return all(promised.values())


def run(arguments, directory):
    port = programs.free_port()
    node = programs.Node(arguments.bin, directory / "data", port, directory / "node.log")
    node.start()
    waybill = programs.CommandLine(arguments.bin, port)
    seen = directory / "seen.txt"
    consumers = Consumers(arguments, port, seen)
    try:
        waybill.call("topic", "create", TOPIC, "--partitions", str(arguments.partitions))
        waybill.call("group", "set", TOPIC, GROUP, "--attempts", str(arguments.attempts), "--delay",
                     f"{arguments.delay_ms}ms", "--jitter", str(arguments.jitter), "--max-delay", "10s")
        poison, neighbours = work(arguments, waybill, consumers, directory)
        consumers.stop()
        good = judge(arguments, waybill, consumers, poison, neighbours, seen)
        _, books = waybill.audit()
        node.stop()
        status, totals, faults = programs.read_directory(directory / "data")
        wrong = programs.differences(books, totals) + faults
        say(f"  the second reader of the stopped directory exits {status}"
            + (": the same totals" if not wrong else "".join(f"\n    {each}" for each in wrong)))
        return good and status == 0 and not wrong
    finally:
        consumers.kill()
        node.kill_if_alive()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="the build's apps folder")
    parser.add_argument("--consumer", type=pathlib.Path, required=True, help="waybill-fragile-consumer")
    parser.add_argument("--neighbours", type=int, default=2_000, help="that are there before")
    parser.add_argument("--rate", type=int, default=500, help="neighbours a second that come while it kills")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--consumers", type=int, default=4)
    parser.add_argument("--credit", type=int, default=50, help="messages in hand at once, each consumer")
    parser.add_argument("--work-ms", type=int, default=2, help="that a message takes")
    parser.add_argument("--attempts", type=int, default=16)
    parser.add_argument("--delay-ms", type=int, default=200)
    parser.add_argument("--jitter", type=float, default=1.0)
    parser.add_argument("--restart-delay", type=float, default=0.1, help="seconds, as systemd's RestartSec")
    parser.add_argument("--in-step", action="store_true", help="one consumer, no jitter")
    parser.add_argument("--timeout", type=int, default=600, help="seconds")
    parser.add_argument("--keep", action="store_true", help="keep the working directory")
    arguments = parser.parse_args()
    if arguments.in_step:
        arguments.consumers, arguments.jitter = 1, 0.0
    directory = pathlib.Path(tempfile.mkdtemp(prefix="waybill-poison-run-"))
    try:
        good = run(arguments, directory)
    finally:
        if not arguments.keep:
            shutil.rmtree(directory, ignore_errors=True)
    say("  the message that kills is a dead letter after its attempts, and the books balance" if good else "  FAILED")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
