#!/usr/bin/env python3
"""Manual pages and completion say what `--help` says: every command, every option, in the same words.

The help is read as a person would read it, and not the tables that all are written from. Pages must be such
that troff has nothing to warn of; completion is asked of bash and of zsh themselves.

Example: tests/install/manual_test.py --build build/release
"""
import argparse
import fcntl
import gzip
import os
import pathlib
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "system"))
import programs  # noqa: E402

say, must, run = programs.say, programs.must, programs.run
PATIENCE = 60  # seconds for what a shell will say


class Command:
    """What the help of a command says: its options with what is said of each, and its commands."""

    def __init__(self, program, words):
        self.words = words
        self.name = " ".join(words)
        text = run(program, *words[1:], "--help")
        self.options, self.commands = {}, []
        parts = re.split(r"^(Positionals|Options|Subcommands):\n", text, flags=re.MULTILINE)
        for title, part in zip(parts[1::2], parts[2::2]):
            part = part.split("\n\n")[0]
            for names, says in re.findall(r"^  (\S+)(?:.*\n {20,}| +.*? {2,}|  +)(\S.*)$", part, re.MULTILINE):
                if title == "Subcommands":
                    self.commands.append(Command(program, words + [names]))
                else:
                    for name in names.split(","):
                        self.options[name] = says

    def all(self):
        yield self
        for each in self.commands:
            yield from each.all()

    def flags(self):
        return [name for name in self.options if name.startswith("--")]


class Daemon(Command):
    """The same of `waybilld`, whose help has another form."""

    def __init__(self, program):
        self.words, self.name, self.commands = ["waybilld"], "waybilld", []
        text = run(program, "--help")
        self.options = {flag: says for flag, says in
                        re.findall(r"^  (--[a-z-]+)(?:=FILE|, -\w)? +(\S.*)$", text, re.MULTILINE)}
        for key, says in re.findall(r"^  (--[a-z]+\.[a-z-]+)=.*\n +(\S.*)$", text, re.MULTILINE):
            self.options[key] = says


def shown(page):
    """The page as it is shown, on one line. troff must have nothing to say of it."""
    text = gzip.decompress(page.read_bytes())
    done = subprocess.run(["groff", "-man", "-ww", "-Tascii", "-P-c", "-P-b", "-P-o", "-P-u", "-rLL=120n"],
                          input=text, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
    must(f"troff has nothing against {page.name}", done.stderr == b"", done.stderr.decode())
    return " ".join(done.stdout.decode().split())


def pages_say_what_the_help_says(waybill, daemon, directory):
    files = {file.name for file in directory.rglob("*.gz")}
    expected = {"waybill.1.gz", "waybilld.8.gz"} | {f"waybill-{c.words[1]}.1.gz" for c in waybill.commands}
    must("there is a page for each command, and no other", files == expected, files ^ expected)
    said = 0
    for top in [waybill, daemon] + waybill.commands:
        page = directory / ("man8" if top is daemon else "man1") / (
            "waybilld.8.gz" if top is daemon else "-".join(top.words) + ".1.gz")
        text = shown(page)
        for command in top.all() if top is not waybill else [waybill]:
            must(f"{page.name} has {command.name}", command.name in text)
            for name, says in command.options.items():
                must(f"{page.name} has {name}", re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text))
                must(f"{page.name} says of {name}: {says}", " ".join(says.split()) in text)
                said += 1
    for command in waybill.commands:
        must(f"waybill(1) names waybill-{command.words[1]}(1)",
             f"waybill-{command.words[1]}(1)" in shown(directory / "man1" / "waybill.1.gz"))
    if shutil.which("lexgrog"):
        for page in sorted(directory.rglob("*.gz")):
            run("lexgrog", page)
    say(f"{len(files)} manual pages say what the help says, in {said} places")


class Bash:
    def __init__(self, directory):
        self.directory = directory

    def complete(self, *words):
        """@returns what may stand for the last of the words"""
        script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
                  'name=$(complete -p "$1" | sed -E "s/.*-F ([^ ]+).*/\\1/"); "$name"; '
                  '[[ ${#COMPREPLY[@]} -eq 0 ]] || printf "%s\\n" "${COMPREPLY[@]}"')
        return run("bash", "--norc", "-c", script, "bash", self.directory / words[0], *words).split("\n")[:-1]


def bash_completes(waybill, daemon, directory, work):
    bash = Bash(directory)
    for command in waybill.all():
        if command.commands:
            found = bash.complete(*command.words, "")
            must(f"bash completes the commands of {command.name}",
                 found == [each.words[-1] for each in command.commands], found)
        found = set(bash.complete(*command.words, "--"))
        must(f"bash completes the options of {command.name}",
             found == set(command.flags()) | set(waybill.flags()), found)
    found = bash.complete("waybilld", "--")
    must("bash completes the flags and keys of waybilld", {each.rstrip("=") for each in found} == set(daemon.options),
         set(daemon.options) ^ {each.rstrip("=") for each in found})
    (work / "receipts").touch()
    for words, wanted in (
            (["waybill", "pub"], ["publish"]),
            (["waybill", "topic", "cr"], ["create"]),
            (["waybill", "--server", "publish", "topic", "de"], ["describe", "delete"]),
            (["waybill", "--server", "=", "a:1", "topic", "de"], ["describe", "delete"]),
            (["waybill", "--json", "consume", "orders", "--id"], ["--idle-exit", "--ids"]),
            (["waybill", "consume", "orders", "--format", ""], ["raw", "json"]),
            (["waybill", "consume", "orders", "--format", "=", "j"], ["json"]),
            (["waybill", "consume", "orders", "--group", ""], []),
            (["waybill", "publish", "orders", "--receipts", f"{work}/re"], [f"{work}/receipts"]),
            (["waybill", "publish", "orders", f"{work}/re"], [f"{work}/receipts"]),
            (["waybilld", "--node.log-level", "="], ["trace", "debug", "info", "warning", "error", "off"]),
            (["waybilld", "--net.allow-insecure", "=", "t"], ["true"]),
            (["waybilld", "--config-file", "=", f"{work}/re"], [f"{work}/receipts"]),
            (["waybilld", "--node.da"], ["--node.data-dir="])):
        found = bash.complete(*words)
        must(f"bash completes {' '.join(words)}", found == wanted, found)
    say(f"bash completes {len(list(waybill.all()))} commands, their options, and values")


class Zsh:
    """A zsh on a terminal of its own."""

    def __init__(self, directory):
        must("zsh is installed (scripts/install-packages check)", shutil.which("zsh"))
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.execvpe("zsh", ["zsh", "-f", "-i"], dict(os.environ, TERM="dumb", PS1="> "))
        # High enough that nothing is shown in parts.
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 500, 250, 0, 0))
        self.send(f"fpath=({directory} $fpath); autoload -U compinit; compinit -u -D; setopt no_beep; LISTMAX=9999\n")
        self.ready(0)

    def send(self, text):
        os.write(self.terminal, text.encode())

    def hear(self, done):
        """@returns all that was said until `done` is true of it"""
        heard, deadline = "", time.monotonic() + PATIENCE
        while not done(heard):
            must("zsh answers", time.monotonic() < deadline, heard)
            if select.select([self.terminal], [], [], 1)[0]:
                heard += os.read(self.terminal, 65536).decode(errors="replace")
        return heard

    def ready(self, number):
        # Written so that the echo of what is typed is not taken for the answer.
        self.send(f"print rea''dy-{number}-\n")
        return self.hear(lambda heard: f"ready-{number}-" in heard)

    def complete(self, line, *wanted):
        """Types the line and a tab; what is wanted must come."""
        missing = set(wanted)

        def came(heard):
            # What comes before the echo of this line is the last one's.
            echo = heard.find(line)
            if echo >= 0:
                missing.difference_update([word for word in missing if word in heard[echo + len(line):]])
            return not missing

        self.send(line + "\t")
        try:
            self.hear(came)
        except SystemExit:
            sys.exit(f"not true: zsh completes `{line}`; missing: {sorted(missing)}")
        self.send("\x15")  # the line is given up

    def end(self):
        self.send("exit\n")
        os.waitpid(self.process, 0)


def zsh_completes(waybill, daemon, directory, work):
    zsh = Zsh(directory)
    for command in waybill.all():
        if command.commands:
            zsh.complete(f"{command.name} ", *[f"{each.words[-1]} " for each in command.commands])
        zsh.complete(f"{command.name} --", *[name[2:] for name in command.flags() + waybill.flags()])
    zsh.complete("waybilld --", *[name[2:] for name in daemon.options])
    zsh.complete("waybill --server a:1 topic cr", "eate ")
    zsh.complete("waybill consume orders --format ", "raw", "json")
    zsh.complete(f"waybill publish orders --receipts {work}/re", "ceipts ")
    zsh.complete("waybilld --node.log-level=", "trace", "debug", "off")
    zsh.end()
    say("zsh completes the same")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True, help="the build's directory")
    options = parser.parse_args()
    written = options.build / "written"
    waybill = Command(options.build / "apps" / "waybill" / "waybill", ["waybill"])
    daemon = Daemon(options.build / "apps" / "waybilld" / "waybilld")
    must("the help was read", len(list(waybill.all())) > 20 and len(daemon.options) > 40,
         (len(list(waybill.all())), len(daemon.options)))
    pages_say_what_the_help_says(waybill, daemon, written / "man")
    with tempfile.TemporaryDirectory(prefix="waybill-manual-") as work:
        bash_completes(waybill, daemon, written / "bash", pathlib.Path(work))
        zsh_completes(waybill, daemon, written / "zsh", pathlib.Path(work))


if __name__ == "__main__":
    main()
