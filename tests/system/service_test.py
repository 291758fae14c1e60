#!/usr/bin/env python3
"""What `waybilld` tells its service manager: that it serves, that it is well, that it stops.

The test is the manager: it listens where NOTIFY_SOCKET says. Parts of the node are made to hang by stopping
their threads alone (ptrace), so that all others, the one that speaks to the manager too, go on: as long as a
part hangs, the node must not say that it is well.

Example: tests/system/service_test.py --bin build/release/apps
"""
import contextlib
import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import programs  # noqa: E402  (beside this file)

say, must = programs.say, programs.must
PATIENCE = 60  # seconds for what will come
WATCHDOG_SECONDS = 1
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17
WALL = 0x40000000  # waitpid: any thread that is traced
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


class Manager:
    """The end of the socket where systemd would listen."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))

    def hear(self):
        """@returns the lines of the next message, which is waited for"""
        self.socket.settimeout(PATIENCE)
        return self.socket.recv(4096).decode().splitlines()

    def hear_for_its_patience(self):
        """@returns the next message, or nothing: then systemd would end the process now"""
        self.socket.settimeout(WATCHDOG_SECONDS)
        with contextlib.suppress(TimeoutError):
            return self.socket.recv(4096).decode().splitlines()
        return []

    def drain(self):
        """@returns all that has come"""
        heard = []
        self.socket.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                heard += self.socket.recv(4096).decode().splitlines()
        return heard


def ptrace(request, thread):
    if libc.ptrace(request, thread, None, None) != 0:
        error = ctypes.get_errno()
        sys.exit(f"a thread of the node cannot be stopped: ptrace: {os.strerror(error)}")


def threads(process, name):
    found = [int(task.name) for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir()
             if (task / "comm").read_text().strip() == name]
    must(f"the node has threads named {name}", found)
    return found


@contextlib.contextmanager
def hanging(process, name):
    """The threads of this name do not go on until this is left."""
    stopped = threads(process, name)
    for thread in stopped:
        ptrace(PTRACE_SEIZE, thread)
        ptrace(PTRACE_INTERRUPT, thread)
        os.waitpid(thread, WALL)
    try:
        yield
    finally:
        for thread in stopped:
            ptrace(PTRACE_DETACH, thread)


def await_line(log, words, begin):
    """@returns where the log's line with these words ends; those before `begin` do not count"""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        at = log.read_text().find(words, begin)
        if at >= 0:
            return at + len(words)
        time.sleep(0.02)
    sys.exit(f"the node has not said `{words}`: {log.read_text()[begin:]}")


def serves_and_is_well(manager, cli):
    must("the first word is that it serves", manager.hear()[0] == "READY=1")
    must("it does", cli.call("topic", "list") == "No topics.\n")
    for _ in range(3):
        must("then it is well", manager.hear() == ["WATCHDOG=1"])
    say("a node that serves says so, and that it is well")


def hangs(manager, process, log, name, who=None):
    """@param who whom the log names; none where the one who asks may be kept waiting himself: a thread that is
    stopped between being woken and waking keeps those who wake it"""
    begin = len(log.read_text())
    with hanging(process, name):
        manager.drain()
        # One answer may have come before the threads were stopped, and been told after.
        heard = manager.hear_for_its_patience() + manager.hear_for_its_patience()
        must(f"nobody is told that a node is well whose {name} hangs", len(heard) <= 1, heard)
        if who:
            begin = await_line(log, f"the node does not answer: {who} has not answered for 250ms", begin)
    if who:
        await_line(log, "the node answers again", begin)
    must("it is well again", manager.hear() == ["WATCHDOG=1"])
    say(f"a node whose threads `{name}` hang is not well" + (f": {who} does not answer" if who else ""))


def stops(manager, process):
    manager.drain()
    process.send_signal(signal.SIGTERM)
    heard = manager.hear()
    while heard == ["WATCHDOG=1"]:
        heard = manager.hear()
    must("it says that it stops", heard == ["STOPPING=1", "STATUS=Answering what is in flight"], heard)
    must("and ends well", process.wait(PATIENCE) == 0, process.returncode)
    must("the last word is that it stops", manager.drain() == [])
    say("a node that is told to stop says so, and ends with 0")


def main():
    binaries = programs.parse_bin(__doc__)
    with tempfile.TemporaryDirectory(prefix="waybill-service-") as directory:
        work = pathlib.Path(directory)
        manager = Manager(work / "notify")
        port = programs.free_port()
        log = work / "node.log"
        with open(log, "ab") as to:
            here = os.fstat(to.fileno())
            environment = dict(os.environ, NOTIFY_SOCKET=str(work / "notify"), WATCHDOG_USEC=str(WATCHDOG_SECONDS * 1_000_000),
                               JOURNAL_STREAM=f"{here.st_dev}:{here.st_ino}")
            process = subprocess.Popen(
                [binaries / "waybilld" / "waybilld", f"--node.data-dir={work / 'data'}",
                 f"--net.listen=127.0.0.1:{port}"], stdout=to, stderr=to, env=environment)
        try:
            serves_and_is_well(manager, programs.CommandLine(binaries, port))
            hangs(manager, process, log, "rpc", "the server's loop")
            hangs(manager, process, log, "caf.actor", "the storage writer")
            hangs(manager, process, log, "caf.multiplexer")
            stops(manager, process)
            lines = log.read_text().splitlines()
            must("the journal is told how severe a line is",
                 all(line[:3] in ("<6>", "<4>") for line in lines) and any("<4>the node does not" in line
                                                                          for line in lines), lines)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


if __name__ == "__main__":
    main()
