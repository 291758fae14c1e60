#!/usr/bin/env python3
"""What the command line does beyond the main job: keys out of lines, and commands for messages.

Example: tests/system/command_line_test.py --bin build/release/apps
"""
import collections
import datetime
import json
import pathlib
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import programs  # noqa: E402  (beside this file)

say, must = programs.say, programs.must


def read_all(cli, topic, group):
    return [json.loads(line) for line in
            cli.call("consume", topic, "--group", group, "--idle-exit", "1s", "--format", "json").splitlines()]


def keys_out_of_lines(cli, work):
    """Each line's key is its second field; the run is broken off and goes on, and doubles nothing."""
    cli.call("topic", "create", "visits", "--partitions", "4")
    lines = [f"{n},user-{n * 7 % 50},page {n % 13}" if n % 100 else f"{n} without fields"
             for n in range(1, 20_001)]
    source = work / "visits.csv"
    words = ("publish", "visits", source, "--key-field", "2", "--separator", ",", "--producer", "import",
             "--receipts", work / "receipts")
    first_lines = 7_777
    source.write_text("".join(f"{line}\n" for line in lines[:first_lines]))
    first = json.loads(cli.call(*words, "--json"))
    must("the first part is confirmed", first["confirmed"] == first_lines, first)
    source.write_text("".join(f"{line}\n" for line in lines))
    second = json.loads(cli.call(*words, "--json"))
    must("only the rest is sent", second["confirmed"] == len(lines) - first_lines, second)
    must("lines without a key are counted", second["without_key"] == len(lines) // 100, second)
    must("a receipt for each line", len((work / "receipts").read_text().splitlines()) == len(lines))

    found = read_all(cli, "visits", "readers")
    must("each line is there once", sorted(m["body"] for m in found) == sorted(lines), len(found))
    partitions = collections.defaultdict(set)
    order = collections.defaultdict(list)
    for m in found:
        fields = m["body"].split(",")
        must("the key is the field", m["key"] == (fields[1] if len(fields) > 1 else ""), m)
        if m["key"]:
            partitions[m["key"]].add(m["id"].split("/")[1])
            order[m["key"]].append(int(fields[0]))
    must("a key has one partition", all(len(p) == 1 for p in partitions.values()), dict(partitions))
    must("keys are spread", len(set.union(*partitions.values())) == 4)
    must("a key's messages are in order", all(numbers == sorted(numbers) for numbers in order.values()))
    say(f"keys: {len(found):,} lines under {len(partitions)} keys, each once, in order of its key")


def another_input(cli, work):
    """A name stands for one input: another one is refused, and nothing of it is taken for confirmed."""
    cli.call("topic", "create", "imports", "--partitions", "4")
    monday = [f"monday {n}" for n in range(5_000)]
    source = work / "import"

    def publish(lines, *more):
        source.write_text("".join(f"{line}\n" for line in lines))
        run = cli.begin("publish", "imports", source, "--producer", "daily", "--json", *more,
                        stdout=-1, stderr=-1, text=True)
        answer, told = run.communicate(timeout=60)
        return run.returncode, json.loads(answer) if answer else None, told

    status, summary, told = publish(monday)
    must("the first input is confirmed", (status, summary["confirmed"]) == (0, 5_000), told)
    status, summary, told = publish(monday)
    must("the same input again is known", (status, summary["confirmed_earlier"]) == (0, 5_000), summary)
    for lines, word in ((["tuesday"] + monday[1:500] + ["tuesday"] * 4_600, "another input"),
                        (["tuesday"] * 7, "another input"), (monday[:4_200], "The input ends at line 4200")):
        for more in ((), ("--receipts", work / f"receipts-{len(lines)}")):
            status, summary, told = publish(lines, *more)
            must("another input is refused", status == 1 and word in summary["trouble"],
                 (status, summary, told))
    status, summary, told = publish(monday + ["monday, late"])
    must("a longer input goes on", (status, summary["confirmed"]) == (0, 1), summary)
    found = sorted(m["body"] for m in read_all(cli, "imports", "readers"))
    must("what is in the log is the one input", found == sorted(monday + ["monday, late"]), len(found))
    say("another input under the name of a producer is refused")


def a_trickle(cli):
    """Lines that come slowly are sent while more of them come."""
    cli.call("topic", "create", "slow")
    run = cli.begin("publish", "slow", "--producer", "trickle", stdin=-1, stdout=-1, stderr=-1, text=True)
    came = 0
    for number in range(100):
        run.stdin.write(f"{number}\n")
        run.stdin.flush()
        time.sleep(0.05)
        if number % 10 == 9:
            topic = cli.objects("topic", "describe", "slow")[0]
            came = sum(p["next_offset"] for p in topic["partitions"])
            if came > 0:
                break
    must("lines are confirmed before the input has ended", came > 0, came)
    run.communicate(timeout=60)
    must("the publish succeeds", run.returncode == 0)
    say("a trickle is sent as it comes")


def commands_for_messages(cli, work):
    """A command per message, four at once: success acknowledges, failure ends in the dead letters."""
    cli.call("topic", "create", "jobs", "--partitions", "2")
    cli.call("group", "set", "jobs", "workers", "--attempts", "2", "--delay", "10ms")
    bodies = [f"job {n}" for n in range(40)]
    cli.call("publish", "jobs", "--header", "source=test", lines=bodies)
    script = ('body=$(cat); echo "$WAYBILL_ID $WAYBILL_ATTEMPT $body"; '
              'case "$body" in "job 7") exit 3;; "job 8") kill -9 $$;; esac')
    run = cli.begin("consume", "jobs", "--group", "workers", "--exec", script, "--jobs", "4",
                    "--idle-exit", "2s", "--json", stdout=-1, stderr=-1, text=True)
    output, told = run.communicate(timeout=60)
    must("status 3, since commands failed", run.returncode == 3, (run.returncode, told))
    summary = json.loads(told.splitlines()[-1])
    must("38 done, and four attempts failed", (summary["acknowledged"], summary["failed"]) == (38, 4), summary)
    seen = collections.Counter(line.split(" ", 2)[2] for line in output.splitlines())
    must("each job was done once, the two that fail twice",
         seen == collections.Counter(bodies + ["job 7", "job 8"]), seen)
    letters = cli.objects("dlq", "list", "jobs", "--group", "workers")
    dead = {cli.objects("dlq", "show", "jobs", letter["id"], "--group", "workers")[0]["body"]: letter
            for letter in letters}
    must("both are dead letters", set(dead) == {"job 7", "job 8"}, dead)
    must("with the status as the reason", dead["job 7"]["reason"] == "exit status 3", dead["job 7"])
    must("and the signal", "signal 9" in dead["job 8"]["reason"], dead["job 8"])
    must("after two attempts", all(letter["attempts"] == 2 for letter in dead.values()))
    say("commands: 38 jobs done, two that failed are dead letters with their reasons")


def ordered_group(cli):
    """Four consumers, messages of a key one at a time and in order, and with one consumer each; one key is stuck."""
    cli.call("topic", "create", "accounts", "--partitions", "2")
    cli.call("group", "set", "accounts", "ledger", "--ordered", "--attempts", "100", "--delay", "50ms")
    keys, rounds = 20, 15
    lines = [f"account-{k} {n}" for n in range(rounds) for k in range(keys)]
    cli.call("publish", "accounts", "--key-field", "1", "--separator", " ", lines=lines)
    # Each takes the account's lock for its work: two of one account at once would be seen.
    script = ('read account n; mkdir "{locks}/$account" || exit 9; sleep 0.01; '
              '[ "$account" = account-7 ] && [ ! -e "{locks}/go" ] && {{ rmdir "{locks}/$account"; exit 1; }}; '
              'echo "$account $n {who}"; rmdir "{locks}/$account"')
    with tempfile.TemporaryDirectory() as locks:
        runs = []
        for who in range(4):
            runs.append(cli.begin("consume", "accounts", "--group", "ledger", "--jobs", "3",
                                  "--exec", script.format(locks=locks, who=who),
                                  "--idle-exit", "3s", stdout=-1, stderr=-1, text=True))
        others = (keys - 1) * rounds
        while sum(p["acked"] for p in cli.objects("group", "describe", "accounts", "ledger")[0]["partitions"]) < others:
            time.sleep(0.1)
        group = cli.objects("group", "describe", "accounts", "ledger")[0]
        must("what follows the stuck message waits behind it",
             sum(p["behind"] for p in group["partitions"]) == rounds - 1, group)
        (pathlib.Path(locks) / "go").touch()
        done = [line.split() for run in runs for line in run.communicate(timeout=60)[0].splitlines()]
    must("each was done once", sorted(f"{a} {n}" for a, n, _ in done) == sorted(lines), len(done))
    told = [run.returncode for run in runs]
    must("nothing failed but what was stuck", set(told) <= {0, 3}, told)
    for account in {a for a, _, _ in done}:
        by = {who for a, _, who in done if a == account}
        must("a key's messages went to one consumer", len(by) == 1, (account, by))
        order = [int(n) for a, n, _ in done if a == account]
        must("in order", order == sorted(order), (account, order))
    say(f"ordered: {len(done)} messages of {keys} keys, each key in order with one of 4 consumers; one stuck key stopped "
        "no other")


def chosen_letters(cli):
    """Dead letters by why, reason, time and key: told first, then sent back at a rate, and all others stay."""
    cli.call("topic", "create", "payments", "--partitions", "2")
    cli.call("group", "set", "payments", "cards", "--attempts", "1")
    for key, count in (("ann", 30), ("bob", 20)):
        cli.call("publish", "payments", "--key", key, lines=[f"{key} {n}" for n in range(count)])
    script = 'read who n; [ $((n % 2)) = 0 ] && exit 4; exit 5'
    run = cli.begin("consume", "payments", "--group", "cards", "--exec", script, "--jobs", "4", "--idle-exit", "1s",
                    stdout=-1, stderr=-1, text=True)
    run.communicate(timeout=60)
    must("all failed", run.returncode == 3)

    def chosen(*words):
        return {letter["id"] for letter in cli.objects("dlq", "list", "payments", "--group", "cards", *words)}

    def redriven(*words):
        lines = cli.objects("dlq", "redrive", "payments", "--group", "cards", *words)
        return {line["from"]: line["to"] for line in lines[:-1]}, lines[-1]

    everything = chosen()
    must("each is a dead letter", len(everything) == 50, len(everything))
    must("by reason", len(chosen("--reason", "status 4")) == 25)
    must("by why", chosen("--why", "nack") == everything and not chosen("--why", "expired"))
    must("by time", chosen("--since", "1h") == everything and not chosen("--since", "2999-01-01"))
    of_bob = chosen("--key", "bob", "--reason", "status 5")
    must("by key and reason", len(of_bob) == 10, of_bob)
    told, summary = redriven("--key", "bob", "--reason", "status 5", "--dry-run")
    must("told which, and nothing moved", set(told) == of_bob and summary["dry_run"] and chosen() == everything, told)
    moved, summary = redriven("--key", "bob", "--reason", "status 5", "--rate", "50")
    must("those were sent back", set(moved) == of_bob and summary["moved"] == 10, moved)
    must("the others stay", chosen() == everything - of_bob)
    found = [json.loads(line) for line in cli.call(
        "consume", "payments", "--group", "cards", "--max", "10", "--format", "json").splitlines()]
    must("they come again where the list says, and know where they were",
         {h["value"]: m["id"] for m in found for h in m["headers"] if h["name"] == "waybill-original-id"} == moved, found)
    one = sorted(everything - of_bob)[0]
    must("by id", set(redriven("--id", one)[0]) == {one})
    say("dead letters chosen by why, reason, time, key and id; the others stayed")


def dead_letters_elsewhere(cli):
    """Dead letters go to another topic, each once: by id to a partition, the others by their keys."""
    for topic, partitions in (("fares", "1"), ("late-fares", "3")):
        cli.call("topic", "create", topic, "--partitions", partitions)
    cli.call("group", "set", "fares", "meters", "--attempts", "1")
    cli.call("publish", "fares", "--key-field", "1", "--separator", " ", lines=[f"rider-{n} {n}" for n in range(20)])
    run = cli.begin("consume", "fares", "--group", "meters", "--exec", "exit 4", "--jobs", "4", "--idle-exit", "1s",
                    stdout=-1, stderr=-1, text=True)
    run.communicate(timeout=60)

    def redriven(*words):
        lines = cli.objects("dlq", "redrive", "fares", "--group", "meters", *words)
        return {line["from"]: line["to"] for line in lines[:-1]}, lines[-1]

    told, summary = redriven("--all", "--to", "late-fares", "--dry-run")
    must("a dry run tells of all, and moves none", len(told) == 20 and summary["dry_run"], summary)
    first, summary = redriven("fares/0/7", "--to", "late-fares/2")
    must("one goes to the partition that was named", first == {"fares/0/7": "late-fares/2/0"}, first)
    others, summary = redriven("--all", "--to", "late-fares", "--rate", "200")
    must("the others go by their keys", (summary["moved"], summary["left"]) == (19, 0), summary)
    must("none is left", cli.call("dlq", "list", "fares", "--group", "meters") == "No dead letters.\n")
    found = [json.loads(line) for line in cli.call(
        "consume", "late-fares", "--group", "meters", "--max", "20", "--format", "json").splitlines()]
    came = {h["value"]: m["id"] for m in found for h in m["headers"] if h["name"] == "waybill-redriven-from"}
    must("each is where the list says, once", came == {**first, **others} and len(found) == 20, came)
    books = {each["group"]: each for each in cli.objects("audit", "fares")[0]["groups"]}
    must("the books say so", (books["meters"]["redriven"], books["meters"]["dead"]) == (20, 0), books)
    status, told = cli.try_call("--json", "dlq", "redrive", "fares", "--group", "meters", "--all", "--to", "a/b")
    must("a place that is none is wrong usage", status == 2 and "TOPIC/PARTITION" in told, told)
    say("dead letters elsewhere: 20 moved to another topic, each once, and the list tells where")


def another_place(cli):
    """A group goes on from another offset, time, end or beginning; the books know what it left out."""
    cli.call("topic", "create", "prices")
    for name in ("keeps", "moves"):
        cli.call("group", "set", "prices", name)
    for first in range(0, 900, 300):
        cli.call("publish", "prices", lines=[f"price {n}" for n in range(first, first + 300)])
        if first == 300:
            between = datetime.datetime.now(datetime.timezone.utc).isoformat()
            time.sleep(0.01)  # the last stamp of what came before lies before this

    def move(where, *more):
        done = json.loads(cli.call("group", "seek", "prices", "moves", where, *more, "--json"))["partitions"][0]
        return done["offset"], done["skipped"], done["reopened"]

    must("by time: the first message that came then or later", move(between) == (600, 600, 0))
    must("what follows is read", len(read_all(cli, "prices", "moves")) == 300)
    must("back to an offset", move("500", "--partition", "0") == (500, 0, 400))
    must("that is read again", [m["body"] for m in read_all(cli, "prices", "moves")] ==
         [f"price {n}" for n in range(500, 900)])
    must("to the beginning", move("earliest") == (0, 0, 900))
    must("to the end", move("latest") == (900, 900, 0))
    must("a time before all of them is the beginning", move("1h") == (0, 0, 900))
    must("the other group has noticed nothing", len(read_all(cli, "prices", "keeps")) == 900)
    must("nothing new is skipped or opened", move("earliest") == (0, 0, 0))
    wrong = cli.begin("group", "seek", "prices", "moves", "901", stdout=-1, stderr=-1, text=True)
    told = wrong.communicate(timeout=60)[1]
    must("an offset that is not there is refused", wrong.returncode == 1 and "901" in told, told)
    say("another place: by time, offset, beginning and end, and the books know it")


def how_long(cli):
    """A topic that keeps what is settled gives it again; what cannot be set is refused."""
    cli.call("topic", "create", "rates", "--keep", "1d")
    cli.call("publish", "rates", lines=[f"rate {n}" for n in range(300)])
    must("all of it is read", len(read_all(cli, "rates", "only-one")) == 300)
    back = json.loads(cli.call("group", "seek", "rates", "only-one", "earliest", "--json"))["partitions"][0]
    must("the only group gets again what the topic keeps", back["reopened"] == 300)
    must("and reads it", len(read_all(cli, "rates", "only-one")) == 300)
    told = cli.call("topic", "set", "rates", "--retain-age", "30d", "--retain-bytes", "10GB")
    must("what is set is told", "720h" in told and "GiB" in told, told)
    now = cli.objects("topic", "describe", "rates")[0]["retention"]
    must("and what was not given stays", now == {
        "keep_ms": 86_400_000, "age_ms": 30 * 86_400_000, "bytes": 10_000_000_000}, now)
    for wrong, word in (("--keep", "31d"), ("--retain-bytes", "many")):
        refused = cli.begin("topic", "set", "rates", wrong, word, stdout=-1, stderr=-1, text=True)
        why = refused.communicate(timeout=60)[1]
        must(f"{wrong} {word} is refused with a sentence", refused.returncode in (1, 2) and len(why) > 20, why)
    say("how long: kept messages come again, settings change by what is given")


def times(cli):
    """A message comes when its time has come, and what nobody acknowledged in time is a dead letter."""
    cli.call("topic", "create", "reminders")
    cli.call("group", "set", "reminders", "mail")
    span = 1.5
    cli.call("publish", "reminders", "--deliver-at", f"{span}s", lines=["later"])
    cli.call("publish", "reminders", "--expires", "300ms", lines=["too late"])
    cli.call("publish", "reminders", "--deliver-at", "2026-01-31T08:00:00+01:00", lines=["at once"])
    letters = []
    while not letters:
        letters = cli.objects("dlq", "list", "reminders", "--group", "mail")
    must("the expired message is a dead letter", letters[0]["why"] == "expired" and letters[0]["attempts"] == 0,
         letters)
    found = [json.loads(line) for line in cli.call(
        "consume", "reminders", "--group", "mail", "--max", "2", "--format", "json").splitlines()]
    must("the others come", [m["body"] for m in found] == ["at once", "later"], found)
    now, published = (datetime.datetime.now(datetime.timezone.utc),
                      datetime.datetime.fromisoformat(found[1]["published"].replace("Z", "+00:00")))
    must("the one with a delay not before its time", (now - published).total_seconds() >= span,
         (now, published))
    cli.call("dlq", "redrive", "reminders", "--group", "mail", "--all")
    again = json.loads(cli.call("consume", "reminders", "--group", "mail", "--max", "1", "--format", "json"))
    must("an expired one that is sent back does not expire again", again["body"] == "too late", again)
    say("times: delivered when due, expired into the dead letters, and back")


def main():
    with programs.a_node(programs.parse_bin(__doc__), "command-line") as (cli, work):
        keys_out_of_lines(cli, work)
        another_input(cli, work)
        a_trickle(cli)
        commands_for_messages(cli, work)
        ordered_group(cli)
        chosen_letters(cli)
        dead_letters_elsewhere(cli)
        another_place(cli)
        how_long(cli)
        times(cli)
        status, _ = cli.audit()
        must("the books balance", status == 0)


if __name__ == "__main__":
    main()
