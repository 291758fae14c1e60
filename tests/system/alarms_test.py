#!/usr/bin/env python3
"""What `waybill alarms` says, its exit status, and that who follows it sees alarms come and go.

Example: tests/system/alarms_test.py --bin build/release/apps
"""
import json
import pathlib
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import programs  # noqa: E402  (beside this file)

say, must = programs.say, programs.must


def one_group_with_dead_letters(cli):
    cli.call("topic", "create", "orders", "--partitions", "1")
    cli.call("group", "set", "orders", "billing", "--attempts", "1")
    cli.call("publish", "orders", lines=["one", "two"])
    status, said = cli.try_call("consume", "orders", "--group", "billing", "--exec", "false", "--max", "2")
    must("both messages fail", status == 3, (status, said))


def nothing_stands(cli):
    status, said = cli.try_call("alarms")
    must("a node that is well has no alarms", (status, said) == (0, "No alarms.\n"), (status, said))
    must("nor with --json", cli.try_call("alarms", "--json") == (0, ""))
    say("alarms: none")


def what_stands(cli):
    status, said = cli.try_call("alarms")
    must("an alarm is status 4", status == 4, (status, said))
    must("it says what, of what, and what helps",
         "dead-letters-growing (orders#0, group billing)" in said and "`waybill dlq list`" in said, said)
    status, said = cli.try_call("alarms", "--json")
    found = [json.loads(line) for line in said.splitlines()]
    must("with --json too", status == 4 and len(found) == 1, (status, said))
    must("every field is there",
         list(found[0]) == ["alarm", "subject", "level", "raised", "since", "at", "detail", "advice"], found)
    must("and says so", (found[0]["alarm"], found[0]["level"], found[0]["raised"])
         == ("dead-letters-growing", "warning", True), found)
    say("alarms: one, with what helps")


def who_follows(cli):
    follower = cli.begin("alarms", "--follow", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        first = json.loads(follower.stdout.readline())
        must("what stands comes first", first["alarm"] == "dead-letters-growing" and first["raised"], first)
        cli.call("dlq", "list", "orders", "--group", "billing")
        second = json.loads(follower.stdout.readline())
        must("somebody has looked: it is over", second["alarm"] == "dead-letters-growing"
             and not second["raised"] and second["since"] == first["since"], second)
        follower.send_signal(signal.SIGTERM)
        rest, notes = follower.communicate(timeout=60)
        must("a signal ends it, and well", (follower.returncode, rest) == (0, ""),
             (follower.returncode, rest, notes))
    finally:
        follower.kill()
    say("alarms --follow: over, as it happens")


def who_follows_a_node_that_starts_again(cli, node):
    follower = cli.begin("alarms", "--follow", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        node.stop()
        node.start()
        # Dead letters that are there already are new to a leader that does not know who has looked.
        told = json.loads(follower.stdout.readline())
        must("the alarm comes again with the node", told["alarm"] == "dead-letters-growing" and told["raised"], told)
    finally:
        follower.kill()
        follower.communicate()
    say("alarms --follow: a node that is started again is found again")


def nobody_is_there(cli):
    status, said = cli.try_call("--server", "127.0.0.1:1", "--timeout", "200ms", "alarms", "--json")
    codes = [json.loads(line)["error"]["code"] for line in said.splitlines() if line.startswith('{"error"')]
    must("no node is status 1, and says why", (status, codes) == (1, ["unreachable"]), (status, said))
    say("alarms: no node is another status than an alarm")


def main():
    binaries = programs.parse_bin(__doc__)
    with tempfile.TemporaryDirectory(prefix="waybill-alarms-") as directory:
        work = pathlib.Path(directory)
        port = programs.free_port()
        node = programs.Node(binaries, work / "data", port, work / "node.log", "--storage.disk-free-min=0",
                             "--delivery.dead-letters-alarm=2")
        node.start()
        try:
            cli = programs.CommandLine(binaries, port)
            nothing_stands(cli)
            one_group_with_dead_letters(cli)
            what_stands(cli)
            who_follows(cli)
            who_follows_a_node_that_starts_again(cli, node)
            nobody_is_there(cli)
            node.stop()
        finally:
            node.kill_if_alive()
        log = (work / "node.log").read_text()
        must("the log tells it too", "ALARM dead-letters-growing (orders#0, group billing)" in log, log)


if __name__ == "__main__":
    main()
