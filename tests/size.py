#!/usr/bin/env python3
"""How big the program is, what each store adds to it, and which crates that is.

    tests/size.py                     builds the program as for a release, and looks into it
    tests/size.py --variants          also without stores, and with each store alone; takes up to an hour
    tests/size.py --fast              without optimizing across crates: minutes, and bigger than what is released
    tests/size.py --binary FILE       looks into a program that is there already, with its symbols, and builds nothing

Fails if the program, or what a store adds, is bigger than its budget. A crate's code is what is named after it: generic code
counts for the crate of its first type or function that is not of the standard library. A store's code is that of its module
and of the crates that no other part of the program needs. Needs nm, size and strip, of binutils.
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

# On Linux and x86-64, in bytes: the program, and the code of each store. Sources: docs/performance/size.md.
BUDGET = 15_000_000
BUDGET_CODE = {"etcd": 232_000, "mysql": 910_000, "postgresql": 507_000, "redis": 460_000, "sqlite": 986_000}

# What the standard library consists of.
STD = {"addr2line", "alloc", "compiler_builtins", "core", "gimli", "memchr", "miniz_oxide", "object", "panic_unwind", "rustc_demangle", "std", "std_detect"}
SYMBOL = re.compile(r"([0-9a-f]+) ([0-9a-f]+) [tTwW] (.*)")
C_SQLITE = "(C: SQLite)"
# And functions that only one file of ring sees.
RING = re.compile(r"ring_core|^(bn|cmov|elem|fe|ge|gfp|limbs?|point|sc|table)_|^p\d+_")
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
    """The crates that the program is built of, those included that only generate code."""
    command = ["cargo", "tree", "--package", "steadfast", "--edges", "normal", "--prefix", "none"]
    tree = subprocess.run(command + features(stores), cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return {line.removesuffix(" (*)") for line in tree.splitlines()}


def functions(binary):
    """The name and the length of each function."""
    command = ["nm", "--print-size", "--defined-only", "--demangle", binary]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # Several names may stand for the same code.
    by_place = {found[1]: (found[3], int(found[2], 16)) for found in map(SYMBOL.match, names.splitlines()) if found}
    return by_place.values()


def crate(name):
    named = CRATE.findall(name)
    if not named:
        return "(C: ring)" if RING.search(name) else C_SQLITE
    return next((it for it in named if it not in STD), "std")


def by_crate(code):
    lengths = collections.Counter()
    for name, length in code:
        lengths[crate(name)] += length
    return lengths


def by_store(code):
    """For each store, how many crates only it needs, and the bytes of its code."""
    everything, found = dependencies(STORES), {}
    for store in STORES:
        own = everything - dependencies([it for it in STORES if it != store])
        names = {it.split()[0].replace("-", "_") for it in own}
        # Versions: a crate is another one's, too, if it has a second.
        names -= {it.split()[0].replace("-", "_") for it in everything - own}
        if store == "sqlite":
            names.add(C_SQLITE)
        module = f"state_stores::{store}::"
        found[store] = len(own), sum(length for name, length in code if crate(name) in names or module in name)
    return found


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
    """Prints what the program consists of. Returns the bytes of code of each store."""
    code = functions(binary)
    stores = by_store(code)
    rows = [[name, thousands(length), thousands(BUDGET_CODE[name]), crates] for name, (crates, length) in stores.items()]
    table(["store", "bytes of code", "budget", "crates of its own"], rows)
    table(["section", "bytes"], [[name, thousands(size)] for name, size in sorted(sections(binary).items(), key=lambda it: -it[1])[:8]])
    crates = by_crate(code)
    most, total = crates.most_common(count), crates.total()
    most.append((f"{len(crates) - len(most)} others", total - sum(size for _, size in most)))
    table(["code of crate", "bytes", "share"], [[name, thousands(size), f"{100 * size / total:.1f} %"] for name, size in most])
    return {name: length for name, (_, length) in stores.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", action="store_true", help="also build without stores, and with each store alone")
    parser.add_argument("--fast", action="store_true", help="without optimizing across crates, and without budgets")
    parser.add_argument("--binary", type=pathlib.Path, help="build nothing, and look into this program")
    parser.add_argument("--crates", default=30, type=int, help="how many of the biggest crates are listed")
    arguments = parser.parse_args()

    if arguments.variants and not arguments.binary:
        rows, none = [], None
        for name, stores in {"none": [], **{it: [it] for it in STORES}}.items():
            length = stripped_len(build(stores, arguments.fast))
            none = length if none is None else none
            rows.append([name, thousands(length), thousands(length - none), len(dependencies(stores))])
            print(f"{name}: {thousands(length)} bytes", file=sys.stderr, flush=True)
        table(["only store", "bytes", "added", "crates"], rows)

    binary = arguments.binary or build(STORES, arguments.fast)
    length = stripped_len(binary)
    table(["program", "bytes", "budget", "crates"], [["all stores", thousands(length), thousands(BUDGET), len(dependencies(STORES))]])
    code = contents(binary, arguments.crates)
    if arguments.fast:
        return
    measured = [("the program", length, BUDGET)] + [(f"code of {it}", code[it], BUDGET_CODE[it]) for it in STORES]
    too_big = [f"{what}: {thousands(it)} bytes, at most {thousands(budget)}" for what, it, budget in measured if it > budget]
    if too_big:
        sys.exit("FAIL: too big\n" + "\n".join(too_big))


if __name__ == "__main__":
    main()
