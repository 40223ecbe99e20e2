"""Chooses, of the inputs in a table of libFuzzer's, those that together reach the most.

usage: smallest.py TABLE FOLDER COUNT

The table is the file of -merge_control_file: how many inputs there are, their names, and for each
the features that it reaches. Copies at most COUNT of them to FOLDER, which is emptied first.
"""

import hashlib
import pathlib
import sys


def read(table):
    """Returns the name of each input with its size and its features."""
    lines = table.read_text().splitlines()
    count = int(lines[0])
    names = lines[2 : 2 + count]
    sizes, features = {}, {}
    for line in lines[2 + count :]:
        word, number, *rest = line.split()
        if word == "STARTED":
            sizes[int(number)] = int(rest[0])
        elif word in ("FT", "COV"):
            features.setdefault(int(number), set()).update(f"{word}{it}" for it in rest)
    return {names[it]: (sizes[it], reached) for it, reached in features.items()}


def choose(inputs, count):
    """Takes the input that adds the most, the smaller of two, until nothing adds anything."""
    left = dict(inputs)
    while left and count > 0:
        name = min(left, key=lambda it: (-len(left[it][1]), left[it][0], it))
        reached = left.pop(name)[1]
        if not reached:
            return
        yield name
        count -= 1
        left = {it: (size, more - reached) for it, (size, more) in left.items()}


def main():
    table, folder, count = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3])
    chosen = [pathlib.Path(it).read_bytes() for it in choose(read(table), count)]
    for it in folder.iterdir():
        it.unlink()
    for it in chosen:
        (folder / hashlib.sha1(it).hexdigest()).write_bytes(it)


main()
