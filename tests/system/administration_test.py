#!/usr/bin/env python3
"""What the command line says of names that do not exist, of spans, and of wrong usage.

Example: tests/system/administration_test.py --bin build/release/apps
"""
import json
import sys
import time

sys.dont_write_bytecode = True
import programs  # noqa: E402  (beside this file)

say, must = programs.say, programs.must


def refused(cli, code, *words):
    """The command must fail with that code. @returns what it said"""
    status, told = cli.try_call("--json", *words)
    wanted = 2 if code == "usage" else 1
    lines = [json.loads(line) for line in told.splitlines()]
    errors = [each["error"] for each in lines if "error" in each]
    must(f"`{' '.join(map(str, words))}` is refused as {code}, and says nothing else",
         status == wanted and len(lines) == 1 and [e["code"] for e in errors] == [code], (status, told))
    return errors[0]["detail"]


def groups_that_do_not_exist(cli):
    """A group that nobody has is not one without dead letters."""
    cli.call("topic", "create", "orders", "--partitions", "2")
    for words in (("list",), ("show", "orders/0/1"), ("redrive", "--all"), ("redrive", "orders/0/1"),
                  ("purge", "--all", "--yes"), ("purge", "orders/0/1", "--yes")):
        refused(cli, "unknown_group", "dlq", words[0], "orders", "--group", "nosuch", *words[1:])
    refused(cli, "unknown_group", "group", "describe", "orders", "nosuch")
    refused(cli, "unknown_group", "group", "delete", "orders", "nosuch", "--yes")
    refused(cli, "unknown_topic", "dlq", "list", "nosuch", "--group", "nosuch")
    cli.call("group", "set", "orders", "billing", "--lease", "5", "--delay", "250ms")
    must("a group without dead letters has none", cli.call("dlq", "list", "orders", "--group", "billing")
         == "No dead letters.\n")
    say("groups: a name that does not exist is an error of every command")


def spans(cli):
    """A number without a unit is seconds."""
    policy = cli.objects("group", "describe", "orders", "billing")[0]["policy"]
    must("--lease 5 is five seconds", policy["lease_ms"] == 5_000, policy)
    must("--delay 250ms is as it says", policy["delay_ms"] == 250, policy)
    begun = time.monotonic()
    cli.call("consume", "orders", "--group", "billing", "--idle-exit", "1")
    must("--idle-exit 1 is a second", 0.9 < time.monotonic() - begun < 10)
    detail = refused(cli, "usage", "group", "set", "orders", "billing", "--lease", "5x")
    must("what is no span is named", "5x" in detail and "seconds" in detail, detail)
    say("spans: a bare number is seconds")


def groups_that_go(cli):
    """A look under a mistyped name leaves a group for good; it can be deleted, when somebody says so."""
    cli.call("publish", "orders", lines=["one", "two"])
    cli.call("consume", "orders", "--group", "biling", "--no-ack", "--max", "2")
    must("looking makes the group", [g["group"] for g in cli.objects("group", "list", "orders")] == ["biling", "billing"])
    detail = refused(cli, "usage", "group", "delete", "orders", "biling")
    must("it does not go without a word", "--yes" in detail, detail)
    cli.call("group", "delete", "orders", "biling", "--yes")
    must("it is gone", [g["group"] for g in cli.objects("group", "list", "orders")] == ["billing"])
    lines = cli.call("consume", "orders", "--group", "billing", "--max", "2").split()
    must("the messages stay", sorted(lines) == ["one", "two"], lines)
    say("groups: one that was made by mistake is deleted")


def wrong_usage(cli):
    """Each is status 2, names what is wrong, and points to the help of its own command."""
    for words, wanted in (
            (("nonsense",), ("`nonsense` is no command of `waybill`", "topic", "`waybill --help`")),
            (("topic", "nonsense"), ("`nonsense` is no command of `waybill topic`", "create", "`waybill topic --help`")),
            (("topic",), ("`waybill topic` wants a command", "delete", "`waybill topic --help`")),
            (("group", "set", "orders", "billing", "--attempts", "0"),
             ("--attempts", "from 1 to 1,000,000", "`0`", "`waybill group set --help`")),
            (("topic", "create", "a", "--partitions", "abc"), ("--partitions", "whole number", "`abc`")),
            (("topic", "create", "a", "b"), ("b", "`waybill topic create --help`")),
            (("topic", "create", ".a"), ("`.a` is no name",)),
            (("topic", "delete", "orders"), ("--yes", "`waybill topic delete --help`")),
            (("verify",), ("--file", "`waybill verify --help`")),
            (("--server", "nonsense", "topic", "list"), ("--server", "nonsense", "HOST:PORT"))):
        detail = refused(cli, "usage", *words)
        must(f"`{' '.join(words)}` is told by {wanted}", all(each in detail for each in wanted) and len(detail) < 250,
             detail)
    must("the topic is there still", [t["topic"] for t in cli.objects("topic", "list")] == ["orders"])
    status, told = cli.try_call("consume", "orders", "--group", ".a", "--idle-exit", "1")
    must("a name that the node refuses is wrong usage too", status == 2, (status, told))
    say("usage: what is wrong is named, with the help of the command it is about")


def receipts_with_empty_lines(cli, work):
    receipts = work / "receipts"
    cli.call("publish", "orders", "--receipts", receipts, lines=["three", "four"])
    receipts.write_text("\n" + receipts.read_text().replace("\n", "\n\n"))
    summary = cli.objects("verify", "--file", receipts)[-1]
    must("empty lines are no receipts", (summary["proved"], summary["not_proved"]) == (2, 0), summary)
    say("verify: empty lines are passed over")


def main():
    with programs.a_node(programs.parse_bin(__doc__), "administration") as (cli, work):
        groups_that_do_not_exist(cli)
        spans(cli)
        groups_that_go(cli)
        wrong_usage(cli)
        receipts_with_empty_lines(cli, work)


if __name__ == "__main__":
    main()
