#!/usr/bin/env python3
"""How big the program is, what each store adds to it, and which crates that is.

    tests/size.py                     builds the program without stores, with each store alone and with all; takes up to an hour
    tests/size.py --only all          the whole program alone
    tests/size.py --fast              without optimizing across crates: minutes, and bigger than what is released
    tests/size.py --binary FILE       the crates in a program that is there already, which must not be stripped

Builds as for a release, and fails if a program is bigger than its budget. A crate's code is what is named after it: generic code
counts for the crate of its first type or function that is not of the standard library. Needs nm and strip, of binutils.
"""

import argparse
import collections
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
STORES = ["etcd", "mysql", "postgresql", "redis", "sqlite"]

# In bytes, on Linux and x86-64. Sources: docs/performance/size.md.
BUDGET = 0
BUDGET_NONE = 0
BUDGET_STORE = {"etcd": 0, "mysql": 0, "postgresql": 0, "redis": 0, "sqlite": 0}

# What the standard library consists of.
STD = {"addr2line", "alloc", "compiler_builtins", "core", "gimli", "memchr", "miniz_oxide", "object", "panic_unwind", "rustc_demangle", "std", "std_detect"}
SYMBOL = re.compile(r"([0-9a-f]+) ([0-9a-f]+) [tTwW] (.*)")
CRATE = re.compile(r"(?<![\w:])([a-z_][a-z0-9_]*)(?:\[[0-9a-f]+\])?::")


def features(stores):
    return ["--no-default-features", "--features", ",".join(stores)]


def build(stores, fast):
    """The program with these stores, with its symbols."""
    environment = dict(os.environ, CARGO_INCREMENTAL="0", CARGO_PROFILE_RELEASE_STRIP="none")
    # Names of generic code with its types; the code is the same.
    environment["RUSTFLAGS"] = f"{environment.get('RUSTFLAGS', '')} -C symbol-mangling-version=v0".strip()
    if fast:
        environment.update(CARGO_PROFILE_RELEASE_LTO="off", CARGO_PROFILE_RELEASE_CODEGEN_UNITS="16")
    folder = ROOT / "target" / ("size-fast" if fast else "size")
    command = ["cargo", "build", "--quiet", "--release", "--package", "steadfast", "--target-dir", folder]
    subprocess.run(command + features(stores), cwd=ROOT, env=environment, check=True)
    return folder / "release" / "steadfast"


def stripped_len(binary):
    with tempfile.NamedTemporaryFile() as stripped:
        subprocess.run(["strip", "-o", stripped.name, binary], check=True)
        return pathlib.Path(stripped.name).stat().st_size


def dependencies(stores):
    """How many crates are built for the program, its own and those for its build included."""
    command = ["cargo", "tree", "--package", "steadfast", "--edges", "normal", "--prefix", "none"]
    tree = subprocess.run(command + features(stores), cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return len({line.removesuffix(" (*)") for line in tree.splitlines()})


def crates(binary):
    """Bytes of code by crate, and of functions."""
    command = ["nm", "--print-size", "--defined-only", "--demangle", binary]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    by_crate, places = collections.Counter(), set()
    for line in names.splitlines():
        found = SYMBOL.match(line)
        # Several names may stand for the same code.
        if found and found[1] not in places:
            places.add(found[1])
            by_crate[crate(found[3])] += int(found[2], 16)
    return by_crate


def crate(name):
    named = CRATE.findall(name)
    if not named:
        return "(C: ring)" if "ring_core" in name else "(C: SQLite, start-up code)"
    return next((it for it in named if it not in STD), "std")


def sections(binary):
    """Bytes by what they are for."""
    sizes = subprocess.run(["size", "-A", "-d", binary], check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^(\.\S+)\s+(\d+)", sizes, re.MULTILINE)
    return {name: int(size) for name, size in found if not name.startswith((".debug", ".comment", ".symtab", ".strtab", ".bss"))}


def table(head, rows):
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        print("  ".join(f"{it:<{width}}" if i == 0 else f"{it:>{width}}" for i, (it, width) in enumerate(zip(row, widths))))
    print(flush=True)


def thousands(number):
    return f"{number:,}".replace(",", " ")


def contents(binary, count):
    table(["section", "bytes"], [[name, thousands(size)] for name, size in sorted(sections(binary).items(), key=lambda it: -it[1])[:8]])
    by_crate = crates(binary)
    rows = [[name, thousands(size), f"{100 * size / by_crate.total():.1f} %"] for name, size in by_crate.most_common(count)]
    rest = by_crate.total() - sum(size for _, size in by_crate.most_common(count))
    rows.append([f"{max(0, len(by_crate) - count)} others", thousands(rest), f"{100 * rest / by_crate.total():.1f} %"])
    table(["code of crate", "bytes", "share"], rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=["none", *STORES, "all"], help="build this one; may be given several times")
    parser.add_argument("--fast", action="store_true", help="without optimizing across crates, and without budgets")
    parser.add_argument("--binary", type=pathlib.Path, help="build nothing, and look into this program")
    parser.add_argument("--crates", default=30, type=int, help="how many of the biggest crates are listed")
    arguments = parser.parse_args()
    if arguments.binary:
        print(f"{arguments.binary}: {thousands(stripped_len(arguments.binary))} bytes when stripped\n")
        contents(arguments.binary, arguments.crates)
        return

    variants = {"none": [], **{it: [it] for it in STORES}, "all": STORES}
    rows, too_big, none = [], [], None
    for name, stores in variants.items():
        if arguments.only and name not in arguments.only:
            continue
        binary = build(stores, arguments.fast)
        length = stripped_len(binary)
        none = length if name == "none" else none
        added = length - none if none is not None and name != "none" else None
        bounds = {"none": (length, BUDGET_NONE), "all": (length, BUDGET)}
        measured, budget = bounds.get(name) or (added, BUDGET_STORE[name])
        if not arguments.fast and measured is not None and measured > budget:
            too_big.append(f"{name}: {thousands(measured)} bytes, at most {thousands(budget)}")
        rows.append([name, thousands(length), "" if added is None else thousands(added), thousands(budget), dependencies(stores)])
        print(f"{name}: {thousands(length)} bytes", file=sys.stderr, flush=True)
    table(["stores", "bytes", "added", "budget", "crates"], rows)
    if not arguments.only or "all" in arguments.only:
        contents(binary, arguments.crates)
    if too_big:
        sys.exit("FAIL: too big\n" + "\n".join(too_big))


if __name__ == "__main__":
    main()
