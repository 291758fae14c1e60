"""The programs of Waybill as processes, for the tests: a node, the command line; and what tests say."""
import argparse
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

READER = pathlib.Path(__file__).resolve().parent.parent / "format" / "read_data_directory.py"


def say(text):
    print(text, flush=True)


def must(what, condition, found=None):
    """Ends the test unless it is so. `found`: what was there instead."""
    if not condition:
        sys.exit(f"not true: {what}" + ("" if found is None else
                                        f"; found: {found if isinstance(found, str) else repr(found)}"))


def try_run(*words, **options):
    """@returns the exit status, and all that it said"""
    done = subprocess.run(list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=300, **options)
    return done.returncode, done.stdout


def run(*words, **options):
    """@returns all that it said. It must succeed."""
    status, said = try_run(*words, **options)
    must(f"{' '.join(map(str, words))} succeeds", status == 0, said)
    return said


def parse_bin(about):
    """The one option of a test of built programs: @returns the folder of `--bin`"""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, required=True, help="the build's apps folder")
    return parser.parse_args().bin


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Node:
    """`waybilld` with its data in `directory`; its log is appended to the file `log`."""

    def __init__(self, binaries, directory, port, log, *flags):
        self.command = [binaries / "waybilld" / "waybilld", f"--node.data-dir={directory}",
                        f"--net.listen=127.0.0.1:{port}", *flags]
        self.port = port
        self.log = open(log, "ab")
        self.process = None
        self.directory = None  # where it works; None: here

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log, cwd=self.directory)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                sys.exit(f"the node ended with status {self.process.returncode}; see {self.log.name}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                return
            except OSError:
                time.sleep(0.02)
        sys.exit("the node does not listen after 60 s")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def kill_if_alive(self):
        if self.process and self.process.poll() is None:
            self.kill()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(60) != 0:
            sys.exit(f"the node did not stop cleanly: status {self.process.returncode}")


class CommandLine:
    """`waybill`, as a user calls it."""

    def __init__(self, binaries, port):
        self.program = binaries / "waybill" / "waybill"
        self.environment = dict(os.environ, WAYBILL_SERVERS=f"127.0.0.1:{port}")

    def begin(self, *words, **options):
        return subprocess.Popen([self.program, *words], env=self.environment, **options)

    def call(self, *words, lines=None):
        """@returns what it printed. It must succeed. `lines`: its standard input."""
        done = subprocess.run([self.program, *words], env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True,
                              input=None if lines is None else "".join(f"{line}\n" for line in lines))
        if done.returncode != 0:
            sys.exit(f"waybill {' '.join(map(str, words))} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def try_call(self, *words, lines=()):
        """@returns the exit status, and what it said, errors behind the rest. It has no terminal. `lines`: its
        standard input"""
        done = subprocess.run([self.program, *words], env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=120,
                              input="".join(f"{line}\n" for line in lines))
        return done.returncode, done.stdout + done.stderr

    def objects(self, *words):
        return [json.loads(line) for line in self.call(*words, "--json").splitlines()]

    def audit(self):
        """@returns the exit status, and the books by (topic, partition)"""
        done = subprocess.run([self.program, "--timeout", "5s", "audit", "--json"], env=self.environment,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        found = [json.loads(line) for line in done.stdout.splitlines()]
        return done.returncode, {(each["topic"], each["partition"]): each
                                 for each in found if "topic" in each}


@contextlib.contextmanager
def a_node(binaries, name):
    """A node with an empty directory of its own, stopped cleanly afterwards. Gives the command line for it, and
    the folder, in which a test may keep files."""
    with tempfile.TemporaryDirectory(prefix=f"waybill-{name}-") as directory:
        work = pathlib.Path(directory)
        port = free_port()
        node = Node(binaries, work / "data", port, work / "node.log")
        node.start()
        try:
            yield CommandLine(binaries, port), work
            node.stop()
        finally:
            node.kill_if_alive()


def read_directory(directory):
    """What the second reader says of a directory that no node uses. It may rewrite logs of LevelDB:
    give it a copy. @returns its exit status, its totals by (topic, partition), and its faults"""
    done = subprocess.run([READER, "--json", directory], stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, 1) or not done.stdout:
        sys.exit(f"{READER.name} ended with {done.returncode}")
    found = json.loads(done.stdout)
    return (done.returncode, {(each["topic"], each["partition"]): each for each in found["partitions"]},
            found["faults"])


def differences(books, totals):
    """Where the broker's books and the second reader's totals say different things. What the node
    dropped after the audit is live in the one and dropped in the other."""
    found = [] if books.keys() == totals.keys() else [f"{sorted(books)} and {sorted(totals)}"]
    for place in books.keys() & totals.keys():
        said, read = books[place], totals[place]
        if (said["confirmed"] != read["live"] + read["dropped"] or read["live"] > said["live"]
                or read["confirmed"] != said["confirmed"]):
            found.append(f"{place}: audit {said['confirmed']} confirmed, {said['live']} live, {said['dropped']} "
                         f"dropped; reader {read['confirmed']}, {read['live']}, {read['dropped']}")
        dead = {each["group"]: each["dead"] for each in said["groups"] if each["dead"]}
        if dead != read["dead_letters"]:
            found.append(f"{place}: audit {dead} dead letters, reader {read['dead_letters']}")
    return found
