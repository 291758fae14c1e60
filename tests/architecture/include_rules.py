#!/usr/bin/env python3
"""Reads every source's includes, and names the file and line that breaks the rules of the house.

The folder is the architecture (docs/design.md, section 2): who may include whom, which folders may
know which library, and that the rules read no clock and no random source. Prints a line for each
breach, `file:line: what and why`, and exits with 1 if there is one.

Usage: include_rules.py [ROOT]
"""

import re
import sys
from pathlib import Path

FOLDERS = ["apps", "actors", "config", "examples", "net", "storage", "tests"]

# What everybody shares: plain values, no I/O.
NOUNS = {
    "storage/assert.hpp",
    "storage/compression.hpp",
    "storage/entry.hpp",
    "storage/entry_cache.hpp",
    "storage/error.hpp",
    "storage/plain_batches.hpp",
    "storage/records.hpp",
    "storage/records_codec.hpp",
    "storage/types.hpp",
}
STORE = NOUNS | {"storage/store.hpp"}
SCHEMA = {"net/waybill.capnp.h", "storage/format.capnp.h"}

# Part of the house: what it may include of ours besides itself. A name that ends in `/` is all of
# that folder. The first part that a path lies in counts. None: everything.
PARTS = {
    "apps/": None,
    "actors/rules/": STORE | {"config/limits.hpp"},
    "actors/": STORE | {"actors/", "config/limits.hpp"},
    "config/": NOUNS | {"actors/messages.hpp", "actors/extensions.hpp", "actors/extension_board.hpp",
                        "actors/rules/placement.hpp"},
    "examples/": NOUNS | {"apps/node/node.hpp", "net/client/client.hpp"},
    "net/client/": NOUNS | SCHEMA,
    "net/http/": NOUNS | {"actors/messages.hpp", "config/"},
    "net/rpc/": NOUNS | SCHEMA | {"actors/messages.hpp", "config/"},
    "storage/": {"storage/"},
    "tests/": None,
}

# Library: the headers that it is known by, and who may include them.
LIBRARIES = {
    "CAF": (r"caf/", r"actors/(?!rules/)|apps/|config/|examples/|net/(rpc|http)/|tests/"),
    "Cap'n Proto": (r"(kj|capnp)/|.*\.capnp\.h$",
                    r"net/|storage/.*\.cpp$|storage/flat_message\.hpp$|tests/"),
    "LevelDB": (r"leveldb/", r"storage/.*\.cpp$|tests/"),
    "ZooKeeper": (r"zookeeper/", r"actors/coordination/.*\.cpp$|tests/"),
    "zstd": (r"zstd.*\.h$", r"storage/.*\.cpp$|tests/"),
}

# Who must not reach a library, over however many headers of ours.
NEVER_REACH = {
    "actors/rules/": ["CAF", "Cap'n Proto", "LevelDB", "ZooKeeper"],
    "net/client/": ["CAF", "LevelDB", "ZooKeeper"],
    "storage/": ["CAF", "ZooKeeper"],
}

# In actors/rules: input in, decisions out.
RULES_HEADERS = re.compile(
    r"<(atomic|condition_variable|ctime|fstream|future|iostream|mutex|random|shared_mutex|thread|"
    r"time\.h|unordered_map|unordered_set|unistd\.h|sys/.*)>")
RULES_WORDS = {
    re.compile(r"\bnow\s*\(\s*\)"): "reads a clock",
    re.compile(r"\b(clock_gettime|gettimeofday|system_clock::now|steady_clock)\b"): "reads a clock",
    re.compile(r"\bstd::time\s*\(|(?<![\w:.>])time\s*\(\s*(NULL|nullptr|0)\s*\)"): "reads a clock",
    re.compile(r"\brandom_device\b|\bmt19937|(?<![\w:.>])s?rand\s*\(|\bgetrandom\b"):
        "reads a random source",
    re.compile(r"\bunordered_(map|set|multimap|multiset)\b"): "has an order that is hidden randomness",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>|(\S.*))')


class Source:
    """One file of ours: its includes, and its lines without comments and texts."""

    def __init__(self, root, path):
        self.path = path
        self.ours = []  # (line, path from the root)
        self.theirs = []  # (line, header)
        self.wrong = []  # (line, words)
        text = (root / path).read_text(encoding="utf-8")
        self.code = list(enumerate(strip(text), 1))
        for number, line in enumerate(text.splitlines(), 1):
            found = INCLUDE.match(line)
            if not found:
                continue
            own, library, other = found.groups()
            if other:
                self.wrong.append((number, "an include whose file is a macro cannot be read here"))
            elif own and path.startswith("tests/") and (root / path).parent.joinpath(own).exists():
                self.ours.append((number, Path(path).parent.joinpath(own).as_posix()))
            elif own and own.split("/")[0] not in FOLDERS:
                self.wrong.append((number, f'"{own}" is not given from the root of the tree'))
            elif library and library.split("/")[0] in FOLDERS:
                self.wrong.append((number, f"<{library}> is ours: it takes quotes"))
            elif own:
                self.ours.append((number, own))
            else:
                self.theirs.append((number, library))


def strip(text):
    """The lines of a C++ text, its comments and the insides of its texts taken out."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.DOTALL)

    def blank(found):
        inside = re.sub(r"[^\n]", "", found.group())
        return inside if found.group().startswith("/") else '""' + inside

    return pattern.sub(blank, text).splitlines()


def part_of(path):
    return next((part for part in PARTS if path.startswith(part)), None)


def allowed(part, path):
    if PARTS[part] is None:
        return not path.startswith("tests/") or part == "tests/"
    if path.startswith(part):
        return True
    return any(path.startswith(each) if each.endswith("/") else path == each for each in PARTS[part])


def library_of(header):
    return next((name for name, (known, _) in LIBRARIES.items() if re.match(known, header)), None)


def read_tree(root):
    found = {}
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.[ch]pp")):
            name = path.relative_to(root).as_posix()
            found[name] = Source(root, name)
    return found


def direct_breaches(source):
    part = part_of(source.path)
    if part is None:
        yield 1, "this folder has no line in the table of who may include whom"
        return
    yield from source.wrong
    for line, path in source.ours:
        if not allowed(part, path):
            yield line, f"{part} may not include {path}"
    for line, header in source.theirs + source.ours:
        library = library_of(header)
        if library and not re.match(LIBRARIES[library][1], source.path):
            yield line, f"{header} is {library}'s, which this file may not know"


def rules_breaches(source):
    for line, header in source.theirs:
        if RULES_HEADERS.match(f"<{header}>"):
            yield line, f"<{header}> has no place in actors/rules: input in, decisions out"
    for line, text in source.code:
        for words, what in RULES_WORDS.items():
            if words.search(text):
                yield line, f"a rule {what}: `{text.strip()}`"


def reach_breaches(sources, start):
    """Follows the headers of ours from `start`, and tells the way to a library it must not reach."""
    part = part_of(start.path)
    never = NEVER_REACH.get(part, [])
    if part == "storage/" and start.path in STORE:
        never = LIBRARIES  # what all of the house includes brings no library along
    seen = {start.path}
    ways = [(line, [path]) for line, path in start.ours]
    while ways and never:
        line, way = ways.pop()
        if way[-1] in seen or way[-1] not in sources:
            continue
        seen.add(way[-1])
        for _, header in sources[way[-1]].theirs + sources[way[-1]].ours:
            if library_of(header) in never:
                yield line, f"reaches {library_of(header)} by {' -> '.join(way + [header])}"
        ways += [(line, way + [path]) for _, path in sources[way[-1]].ours]


def breaches(root):
    """All breaches under `root`, as lines of text, and how many sources were read."""
    sources = read_tree(root)
    found = set()
    for source in sources.values():
        each = list(direct_breaches(source)) + list(reach_breaches(sources, source))
        if source.path.startswith("actors/rules/"):
            each += list(rules_breaches(source))
        found |= {(source.path, line, words) for line, words in each}
    return [f"{path}:{line}: {words}" for path, line, words in sorted(found)], len(sources)


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    found, count = breaches(root)
    for line in found:
        print(line)
    print(f"{count} sources read, {len(found)} breaches of docs/design.md, section 2")
    # A tree without sources is no clean tree but the wrong directory.
    sys.exit(1 if found or count == 0 else 0)


if __name__ == "__main__":
    main()
