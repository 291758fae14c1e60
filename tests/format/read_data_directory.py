#!/usr/bin/python3
"""A second reader of a node's data directory, written from docs/format.md alone.

Reads the small store and every generation of the journal, checks frames, tables, pages, entries and
every partition's chain, and prints what it found. It shares no code with the node, so where the two
agree, docs/format.md is exact enough.

Opening a LevelDB database may rewrite its log, so give it a copy of a directory that no node uses:

    cp -a waybill-data /var/tmp/copy && tests/format/read_data_directory.py /var/tmp/copy

With --json: one object, with the totals of each partition and the faults. Needs Debian's
python3-plyvel, python3-xxhash and python3-zstandard. Exit status: 0 all is whole, 1 something is not, 2 usage.
"""

import collections
import json
import struct
import sys
from pathlib import Path

import plyvel
import xxhash
import zstandard

Entry = collections.namedtuple(
    "Entry", "partition index epoch kind first_offset messages stamp previous hash body sequence")
KINDS = {1: "epoch start", 2: "messages", 3: "delivery", 4: "group", 5: "producer", 6: "redrive",
         7: "retention", 8: "transfer"}
faults = []


def fault(text):
    faults.append(text)


def xxh3(data):
    """XXH3-128, seed 0, as (high, low)."""
    both = xxhash.xxh3_128_intdigest(data)
    return both >> 64, both & (1 << 64) - 1


class Reader:
    """The primitive types of docs/format.md, section 3."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if self.at + count > len(self.data):
            raise ValueError("ends too early")
        self.at += count
        return self.data[self.at - count:self.at]

    def u8(self):
        return self.take(1)[0]

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def u64(self):
        return struct.unpack(">Q", self.take(8))[0]

    def varint(self):
        value, shift = 0, 0
        while True:
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def difference(self, base):
        z = self.varint()
        return (base + (z >> 1 if z & 1 == 0 else -(z >> 1) - 1)) & (1 << 64) - 1

    def hash(self):
        return self.u64(), self.u64()

    def partition(self):
        return self.u64(), self.u32()

    def rest(self):
        return self.data[self.at:]

    def done(self):
        return self.at == len(self.data)


def varint(value):
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def unframe(key, frame):
    """The content of a framed value (section 3)."""
    version, checksum = struct.unpack_from(">BQ", frame)
    content = frame[9:]
    if version != 1 or checksum != xxh3(varint(len(key)) + key + content)[1]:
        raise ValueError(f"the value under {key!r} is not its frame")
    return content


class Capnp:
    """As much of Cap'n Proto as a flat array of storage/format.capnp needs."""

    def __init__(self, data):
        count = struct.unpack_from("<I", data)[0] + 1
        sizes = struct.unpack_from(f"<{count}I", data, 4)
        at = (4 + 4 * count + 7) // 8 * 8
        self.segments = []
        for size in sizes:
            self.segments.append(data[at:at + 8 * size])
            at += 8 * size
        if at != len(data):
            raise ValueError("not one whole flat array")

    def root(self):
        return self.follow(0, 0)

    def follow(self, segment, word):
        """What the pointer at a word leads to: ("struct", …), ("list", …) or None."""
        pointer = struct.unpack_from("<Q", self.segments[segment], 8 * word)[0]
        if pointer == 0:
            return None
        kind = pointer & 3
        if kind == 2:  # far
            target, pad = pointer >> 32, (pointer >> 3) & (1 << 29) - 1
            if not pointer & 4:
                return self.follow(target, pad)
            landing, tag = struct.unpack_from("<QQ", self.segments[target], 8 * pad)
            return self.object(landing >> 32, (landing >> 3) & (1 << 29) - 1, tag)
        offset = (pointer >> 2) & (1 << 30) - 1
        if offset >> 29:
            offset -= 1 << 30
        return self.object(segment, word + 1 + offset, pointer)

    def object(self, segment, word, tag):
        if tag & 3 == 0:
            return "struct", segment, word, (tag >> 32) & 0xFFFF, tag >> 48
        return "list", segment, word, (tag >> 32) & 7, tag >> 35

    def integer(self, of, byte, form="<Q"):
        _, segment, word, words, _ = of
        if byte + struct.calcsize(form) > 8 * words:
            return 0
        return struct.unpack_from(form, self.segments[segment], 8 * word + byte)[0]

    def pointer(self, of, number):
        _, segment, word, words, pointers = of
        return self.follow(segment, word + words + number) if number < pointers else None

    def structs(self, of):
        """The elements of a list of structs."""
        if of is None:
            return []
        _, segment, word, _, _ = of
        tag = struct.unpack_from("<Q", self.segments[segment], 8 * word)[0]
        words, pointers, count = (tag >> 32) & 0xFFFF, tag >> 48, (tag >> 2) & (1 << 30) - 1
        return [("struct", segment, word + 1 + i * (words + pointers), words, pointers)
                for i in range(count)]

    def integers(self, of):
        """The elements of a list of 64-bit integers."""
        if of is None:
            return []
        _, segment, word, _, count = of
        return list(struct.unpack_from(f"<{count}Q", self.segments[segment], 8 * word))

    def data(self, of):
        if of is None:
            return b""
        _, segment, word, _, count = of
        return bytes(self.segments[segment][8 * word:8 * word + count])


def read_entry(sequence, value):
    """Section 4."""
    if len(value) < 88:
        raise ValueError("shorter than its header")
    mark, version, kind, zero, body_bytes = struct.unpack_from("<BBBBI", value)
    topic, index, epoch, first, stamp, number, count = struct.unpack_from("<QQQQqII", value, 8)
    previous, digest = struct.unpack_from("<QQ", value, 56), struct.unpack_from("<QQ", value, 72)
    if (mark, version, zero) != (0x57, 1, 0) or kind not in KINDS or body_bytes != len(value) - 88:
        raise ValueError("not an entry of version 1")
    if xxh3(value[:72] + value[88:]) != digest:
        raise ValueError("its hash does not match")
    return Entry((topic, number), index, epoch, kind, first, count, stamp, previous, digest,
                 value[88:], sequence)


def plain_batch(batch):
    """Section 5: what a compressed batch holds; a plain one as it is."""
    if batch[:4] != b"\x28\xb5\x2f\xfd":
        return batch
    try:
        head = zstandard.get_frame_parameters(batch)
        if head.content_size > 32 << 20 or head.dict_id != 0:
            raise ValueError("a frame without a size, with one beyond 32 MiB, or with a dictionary")
        frame = zstandard.ZstdDecompressor().decompressobj()
        plain = frame.decompress(batch)
    except zstandard.ZstdError as why:
        raise ValueError(f"a frame that is not whole: {why}") from None
    if not frame.eof or frame.unused_data or len(plain) != head.content_size:
        raise ValueError("a frame that is cut short, is not alone, or has another size")
    return plain


def check_body(e):
    """Section 5: as many messages as the header says, and a publish body that is one."""
    batch = b""
    if e.kind == 2:
        name, size = struct.unpack_from("<II", e.body, 24)
        changed, name = name >> 31, name & 0x7fffffff
        at = 32 + (name + 7) // 8 * 8 + 16 * changed
        if len(e.body) - at != size:
            raise ValueError("the batch has another size than its body says")
        batch = plain_batch(e.body[at:])
    elif e.kind == 6:
        record = Capnp(e.body)
        batch = record.data(record.pointer(record.root(), 2))
    elif e.kind == 8:
        record = Capnp(e.body)
        check_transfer(record, record.root(), e)
    elif e.kind != 1:
        Capnp(e.body)
    if batch:
        message = Capnp(batch)
        found = len(message.structs(message.pointer(message.root(), 0)))
        if found != e.messages:
            raise ValueError(f"{found} messages in the batch, {e.messages} in the header")


def check_transfer(record, root, e):
    """Section 5: one that begins names dead letters before it; a later one, an entry before it."""
    action, begun, what = record.integer(root, 0, "<B"), record.integer(root, 8), record.pointer(root, 1)
    if action not in (1, 2, 3, 4) or e.messages != 0:
        raise ValueError("no transfer")
    if action != 1:
        if not 0 < begun < e.index:
            raise ValueError("a transfer that goes on and has not begun")
    elif any(offset >= e.first_offset for offset in record.integers(record.pointer(what, 0))):
        raise ValueError("a transfer of messages that are not there yet")


def transfers_of(record, group):
    """(the entry that began it, target, dead letters, in doubt) of each of a group's transfers."""
    return [(record.integer(t, 0),
             f"{record.data(record.pointer(t, 1))[:-1].decode()}/{record.integer(t, 16, '<I')}",
             record.integers(record.pointer(t, 0)), bool(record.integer(t, 20, "<B") & 1))
            for t in record.structs(record.pointer(group, 6))]


def read_page(data, expected):
    """Section 6: (index, sequence, hash, previous) of each entry."""
    if xxh3(data) != expected["content"]:
        raise ValueError("a page's hash does not match its table")
    r, out = Reader(data), []
    index = sequence = epoch = end = 0
    last_hash = (0, 0)
    for _ in range(r.varint()):
        index, sequence = r.difference(index), r.difference(sequence)
        epoch, first = r.difference(epoch), r.difference(end)
        count, size = r.varint(), r.varint()
        previous = last_hash if r.u8() == 1 else r.hash()
        last_hash, end = r.hash(), first + count
        out.append((index, sequence, epoch, first, count, size, previous, last_hash))
    if not r.done() or len(out) != expected["count"]:
        raise ValueError("a page has another number of entries than its table says")
    return out


def read_table(data):
    content, digest = data[:-16], struct.unpack(">QQ", data[-16:])
    if xxh3(content) != digest:
        raise ValueError("the hash of the table does not match")
    r = Reader(content)
    if r.u8() != 1:
        raise ValueError("a table of another version")
    last_sequence, partitions = r.varint(), {}
    for _ in range(r.varint()):
        pages = partitions.setdefault(r.partition(), [])
        for _ in range(r.varint()):
            names = "number first last first_offset end_offset last_sequence count messages bytes"
            page = {name: r.varint() for name in names.split()}
            page.update(before=r.hash(), after=r.hash(), content=r.hash())
            pages.append(page)
    if not r.done():
        raise ValueError("a table that goes on")
    return last_sequence, partitions


def read_state(path):
    """Section 7: the small store, by kind."""
    state = collections.defaultdict(dict)
    for key, frame in plyvel.DB(str(path)):
        kind, name = key[:1].decode(), Reader(key[1:])
        try:
            r = Reader(unframe(key, frame))
            if kind in "cekd":
                state[kind][name.partition()] = r
            elif kind == "x":
                partition = name.partition()
                state[kind][partition] = max(state[kind].get(partition, 0), r.u64())
            elif kind == "g":
                state[kind][name.u64()] = (r.u8(), r.varint(), r.varint())
            elif kind == "s":
                state[kind] = r.u64()
            elif kind == "l":
                partition, copy = name.partition(), name.u64()
                group, offset = name.rest()[:-9].decode(), struct.unpack(">Q", key[-8:])[0]
                Capnp(r.data)
                state[kind].setdefault((partition, copy), []).append((group, offset))
            elif kind == "r":
                version, _, text = r.data.partition(b"\n")
                state[kind][key[1:].decode()] = (int(version), json.loads(text))
            else:
                raise ValueError(f"a key of unknown kind {kind!r}")
        except ValueError as why:
            fault(f"small store: {why}")
    return state


def read_generation(path, number, record, first_of, logs):
    where = f"generation {number:06}"
    names = plyvel.DB(str(path))
    sequences = {}
    for key, value in names.iterator(stop=b"\xff"):
        sequence = struct.unpack(">Q", key)[0]
        try:
            e = read_entry(sequence, value)
            check_body(e)
        except (ValueError, struct.error) as why:
            fault(f"{where}: sequence number {sequence}: {why}")
            continue
        if sequence >= first_of(e.partition):
            sequences[sequence] = e
            logs[e.partition].append(e)
    table = names.get(b"\xffT")
    if table is None:
        return f"{where}: {len(sequences)} entries, active"
    try:
        listed = set()
        for partition, pages in read_table(table)[1].items():
            for page in pages:
                data = names.get(b"\xffP" + struct.pack(">I", page["number"])) or b""
                for index, sequence, _, _, _, _, previous, digest in read_page(data, page):
                    e = sequences.get(sequence)
                    if sequence < first_of(partition):
                        continue
                    listed.add(sequence)
                    if e is None or (e.partition, e.index, e.previous, e.hash) != (
                            partition, index, previous, digest):
                        fault(f"{where}: sequence number {sequence} is not what the table says")
        for sequence in sequences.keys() - listed:
            fault(f"{where}: sequence number {sequence} is missing in the table")
    except ValueError as why:
        fault(f"{where}: {why}")
    return f"{where}: {len(sequences)} entries, sealed"


def read_dropped(reader):
    if reader is None:
        return 0, []
    messages, ranges = reader.varint(), []
    for _ in range(reader.varint()):
        first, last, _, _ = (reader.varint() for _ in range(4))
        ranges.append((first, last, reader.hash(), reader.hash()))
    return messages, ranges


def read_checkpoint(reader):
    """The position, the next offset, messages confirmed, the groups' names, what is under way."""
    for _ in range(reader.varint()):
        reader.varint(), reader.varint()  # what groups need: [first, end) as differences
    record = Capnp(reader.rest())
    root = record.root()
    at = record.pointer(root, 0)
    place = [record.integer(at, 8 * i) for i in range(4)] if at else [0] * 4
    groups, under_way = [], []
    for g in record.structs(record.pointer(root, 2)):
        groups.append(record.data(record.pointer(g, 0))[:-1].decode())
        under_way += [(groups[-1], *each) for each in transfers_of(record, g)]
    return place, record.integer(root, 0), record.integer(root, 16), groups, under_way


def follow_chain(name, log, dropped):
    """Section 8. @returns the last index, its epoch and hash, and the messages that are there"""
    steps = [(first, last, before, after, None) for first, last, before, after in dropped]
    steps += [(e.index, e.index, e.previous, e.hash, e) for e in log]
    steps.sort(key=lambda s: (s[0], -s[1]))
    covered, digest, epoch, offset, live = 0, (0, 0), 0, None, 0
    for first, last, before, after, e in steps:
        if last <= covered:
            continue  # an equal copy, or one that is dropped already
        if first != covered + 1:
            fault(f"{name}: entry {covered + 1} is missing")
        elif before != digest:
            fault(f"{name}: the chain breaks at entry {first}")
        covered, digest = last, after
        if e is None:
            offset = None
            continue
        if e.epoch < epoch or offset not in (None, e.first_offset):
            fault(f"{name}: entry {first} does not follow the one before")
        epoch, offset = e.epoch, e.first_offset + e.messages
        live += e.messages
    return covered, epoch, digest, live


def read_partition(id, copy, logs, state, say):
    """@returns the totals of one partition"""
    name = f"{id[0]:016x}#{id[1]}"
    gone, ranges = read_dropped(state["d"].get(id))
    last, epoch, digest, live = follow_chain(name, logs[id], ranges)
    place, next_offset, confirmed, groups, under_way = (
        read_checkpoint(state["k"][id]) if id in state["k"] else ([0] * 4, 0, 0, [], []))
    if place[0] == last:  # its entry may be dropped, and the epoch with it
        epoch = place[1]
    say(f"partition {name}: copy {copy:016x}, promised epoch "
        f"{state['e'][id].u64() if id in state['e'] else 0}, ends at {epoch}.{last}."
        f"{digest[0]:016x}{digest[1]:016x}, {live} messages live, {gone} dropped in "
        f"{len(ranges)} ranges")
    letters = state["l"].get((id, copy), [])
    for group, offset in letters:
        say(f"  dead letter of {group}: offset {offset}")
    for group, begun, target, offsets, in_doubt in under_way:
        say(f"  transfer of {group}, begun by entry {begun}, to {target}: offsets {offsets}"
            f"{', in doubt' if in_doubt else ''}")
    if id in state["k"]:
        say(f"  checkpoint at {place[0]}, next offset {next_offset}, confirmed {confirmed}, "
            f"groups {', '.join(groups) or 'none'}")
        there = [e for e in logs[id] if e.index == place[0]]
        if any((e.epoch, *e.hash) != tuple(place[1:]) for e in there) or place[0] > last:
            fault(f"{name}: the checkpoint is of another log")
        if place[0] == last and confirmed != live + gone:
            fault(f"{name}: {confirmed} confirmed, {live} live and {gone} dropped")
    topics = {record["id"]: key.rpartition("/")[2] for key, (_, record) in state["r"].items()
              if key.startswith("coordinator/topics/")}
    return {"topic": topics.get(id[0], f"{id[0]:016x}"), "partition": id[1], "live": live,
            "dropped": gone, "confirmed": confirmed, "last_index": last,
            "dead_letters": collections.Counter(group for group, _ in letters)}


def main():
    arguments = [each for each in sys.argv[1:] if each != "--json"]
    as_json = len(arguments) < len(sys.argv) - 1
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    say = (lambda text: None) if as_json else print
    root = Path(arguments[0])
    if (root / "FORMAT").read_text() != "waybill data directory, version 1\n":
        fault("FORMAT is of another version")
    state = read_state(root / "state")
    copies = {id: (r.u64(), r.u64()) for id, r in state["c"].items()}

    def first_of(partition):
        return copies[partition][1] if partition in copies else state["x"].get(partition, 0)

    logs = collections.defaultdict(list)
    for number, record in sorted(state["g"].items()):
        path = root / "journal" / f"{number:06}"
        if record[0] == 3:
            continue  # gone: whatever is left of it
        if not (path / "CURRENT").exists():
            fault(f"generation {number:06} is missing")
            continue
        say(read_generation(path, number, record, first_of, logs))
    for key, (version, record) in sorted(state["r"].items()):
        say(f"record {key}, version {version}: {json.dumps(record)}")
    totals = [read_partition(id, copy, logs, state, say)
              for id, (copy, _) in sorted(copies.items())]
    for each in faults:
        say(f"FAULT {each}")
    if as_json:
        print(json.dumps({"partitions": totals, "faults": faults}))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
