#!/usr/bin/env python3
"""docs/extending.md tells the truth: its C++ is examples/own_node.cpp, and that node does what it says.

Example: tests/system/extending_test.py --bin build/release/apps
"""
import pathlib
import re
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import programs  # noqa: E402  (beside this file)

say, must = programs.say, programs.must
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "extending.md"


def blocks(language):
    """The pieces of the page in a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def code():
    """All of the page's C++ as one file."""
    return "\n".join(blocks("cpp"))


class OwnNode(programs.Node):
    """A program with a node in it, which works in `work`, with the page's configuration."""

    def __init__(self, program, work, port):
        super().__init__(work, "own-data", port, work / "node.log")
        (work / "own_node.ini").write_text(blocks("ini")[0])
        self.command = [program, "--config-file=own_node.ini", f"--net.listen=127.0.0.1:{port}",
                        "--storage.disk-free-min=0", "--delivery.dead-letters-alarm=1"]
        self.directory = work


def has_line(path, words):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if path.exists() and words in path.read_text():
            return True
        time.sleep(0.02)
    return False


def try_page(program, binaries, work):
    """The page's node, its commands, and what they must lead to."""
    port = programs.free_port()
    node = OwnNode(program, work, port)
    node.start()
    try:
        cli = programs.CommandLine(binaries, port)
        cli.call("topic", "create", "orders")
        cli.call("publish", "orders", "--key", "customer-17", lines=["a box"])
        status, said = cli.try_call("publish", "orders", lines=["a box"])
        must("what has no key is rejected, with the page's words",
             status != 0 and blocks("text")[0].strip() in said, (status, said))
        cli.call("group", "set", "orders", "billing", "--attempts", "1")
        got = cli.try_call("consume", "orders", "--group", "looks", "--json", "--max", "1")[1]
        must("what was accepted is marked", "checked-by" in got, got)
        cli.try_call("consume", "orders", "--group", "billing", "--exec", "false", "--max", "1")
        must("the listener hears of the dead letter",
             has_line(work / "dead-letters.txt", "orders/0/0 of billing, key customer-17"))
        must("the sink hears of the alarm",
             has_line(work / "alarms.txt", "raised dead-letters-growing (orders#0, group billing)"))
        node.stop()
    finally:
        node.kill_if_alive()


def main():
    binaries = programs.parse_bin(__doc__).resolve()
    must("the page's C++ is examples/own_node.cpp, piece by piece",
         code() == (ROOT / "examples" / "own_node.cpp").read_text())
    say("docs/extending.md: its code is the example's")
    with tempfile.TemporaryDirectory(prefix="waybill-extending-") as directory:
        try_page(binaries.parent / "examples" / "example_own_node", binaries, pathlib.Path(directory))
    say("docs/extending.md: the node does what it says")


if __name__ == "__main__":
    main()
