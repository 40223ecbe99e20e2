"""Counts with several replicas of one application at once, and proves that nothing was lost.

Starts replicas of replica.py, each by `steadfast run` and so with a sidecar of its own, lets all
threads of all replicas increment one shared counter, and compares what it says with what it should.
Exits with 0 if both are equal, with 1 if not. Needs Python 3.9 and nothing else.
"""

import argparse
import collections
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from replica import REPORT

HERE = Path(__file__).resolve().parent
APP_ID = "counter"

TICK_SECONDS = 0.05
# How often a line of progress is printed where lines stay, and where they are replaced.
LINE_SECONDS, LINE_SECONDS_TERMINAL = 1.0, 0.2
# How long a replica may take to end; `steadfast run` itself gives its application 5 s.
PATIENCE_SECONDS = 15


def main():
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="steadfast-counter-") as folder:
        demo = Demo(arguments, folder)
        try:
            exact = demo.run()
        except KeyboardInterrupt:
            print("\ninterrupted: ending the replicas")
            sys.exit(128 + signal.SIGINT)
        except BrokenPipeError:
            # Nobody reads what we print any more, as after `| head`.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except Failure as e:
            sys.exit(f"\nFAILED: {e}")
        finally:
            demo.end()
    sys.exit(0 if exact else 1)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--replicas", type=positive, default=4, metavar="R", help="default 4")
    add("--threads", type=positive, default=8, metavar="T", help="in each replica; default 8")
    add("--increments", type=positive, default=150, metavar="N", help="by each thread; default 150")
    add("--kill", action="store_true", help="kill a replica half way with kill -9; restart it")
    add("--last-write", action="store_true", help="save without ETags, and see what gets lost")
    add("--steadfast", metavar="PATH", help="default: from PATH, or as built in this repository")
    add("--resources-path", metavar="DIR", help="default: a SQLite database for this run only")
    add("--store", default="statestore", metavar="NAME", help="its name; default statestore")
    return parser.parse_args()


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


class Demo:
    def __init__(self, arguments, folder):
        self.arguments = arguments
        self.steadfast = find_steadfast(arguments.steadfast)
        self.store = ["--state-store", f"sqlite://{folder}/counter.db"]
        if arguments.resources_path is not None:
            if not os.path.isdir(arguments.resources_path):
                sys.exit(f"there is no folder {arguments.resources_path}")
            self.store = ["--resources-path", os.path.abspath(arguments.resources_path)]
        # A new counter each time, for a store that is not.
        self.key = f"counter-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        self.expected = arguments.replicas * arguments.threads * arguments.increments
        self.replicas = []
        # Replicas that were killed: what they have reported still counts.
        self.killed = []
        self.progress = Progress(self.expected)

    def run(self):
        """Returns whether the counter is exact."""
        it = self.arguments
        mode = "first-write with the ETag, retried on mismatch"
        if it.last_write:
            mode = "last-write without an ETag: this will go wrong"
        print(
            f"{it.replicas} replicas of one app, a sidecar beside each; {it.threads} threads in "
            f"each; each thread makes {it.increments} increments\n"
            f"of one shared counter: read, add 1, save ({mode})\n",
            flush=True,
        )
        self.replicas = [self.start(number) for number in range(1, it.replicas + 1)]
        to_kill = it.kill
        while any(replica.is_running() for replica in self.replicas):
            for replica in self.replicas:
                replica.check()
            self.progress.show(*self.so_far())
            if to_kill and self.progress.made >= self.expected // 2:
                self.kill_and_restart(len(self.replicas) // 2)
                to_kill = False
            time.sleep(TICK_SECONDS)
        for replica in self.replicas:
            replica.check()
        self.progress.end(*self.so_far())
        if to_kill:
            raise Failure("all were done before one could be killed: use more --increments")
        return self.compare(self.final_value())

    def start(self, number):
        arguments = ["--replica", str(number), "--threads", str(self.arguments.threads)]
        arguments += ["--increments", str(self.arguments.increments)]
        if self.arguments.last_write:
            arguments.append("--last-write")
        return Replica(f"replica {number}", self.command(arguments))

    def command(self, arguments):
        app = [sys.executable, str(HERE / "replica.py"), "--watch-stdin"]
        app += ["--store", self.arguments.store, "--key", self.key, *arguments]
        return [self.steadfast, "run", "--app-id", APP_ID, *self.store, "--", *app]

    def so_far(self):
        """Returns the numbers of increments, conflicts, and saves with an unknown outcome."""
        made = sum(sum(it.report["made"].values()) for it in self.replicas)
        lives = self.replicas + self.killed
        return made, *(sum(it.report[name] for it in lives) for name in ("conflicts", "unknown"))

    def kill_and_restart(self, index):
        old = self.replicas[index]
        old.kill()
        self.progress.say(
            f"kill -9 of {old.name}'s sidecar (pid {old.pid()}), at {self.progress.made}; its "
            f"application (pid {old.report['pid']}) ended with it"
        )
        self.killed.append(old)
        new = self.start(index + 1)
        self.replicas[index] = new
        # What was acknowledged before the kill must be there after it. It may be more: the last
        # acknowledgements were not reported any more, or not even received.
        acknowledged, found = old.report["made"], new.wait_until_counting(self.arguments.threads)
        for name, made in acknowledged.items():
            if found[name] < made and not self.arguments.last_write:
                raise Failure(
                    f"lost: thread {name} had made {made} increments, the store has {found[name]}"
                )
        self.progress.say(
            f"{new.name} was started again: it had reported {sum(acknowledged.values())} "
            f"increments, finds {sum(found.values())}, and goes on from there"
        )

    def final_value(self):
        """Asks one more sidecar, started when all others have ended."""
        reader = Replica("the last sidecar", self.command(["--finish"]))
        self.replicas.append(reader)
        reader.wait()
        reader.check()
        return reader.report["value"]

    def compare(self, value):
        it = self.arguments
        if value is None:
            raise Failure(
                "a new sidecar does not find the counter: the sidecars do not share this store "
                "(state.in-memory is a store of each sidecar's own)"
            )
        wrong = [name for name, made in value["done"].items() if made != it.increments]
        print(
            f"{it.replicas} replicas x {it.threads} threads x {it.increments} = {self.expected}; "
            f"the counter says {value['total']}"
        )
        lost = self.expected - value["total"]
        if lost != 0:
            what = f"{lost} increments are lost" if lost > 0 else f"{-lost} were made twice"
            print(f"NOT EXACT: {what}")
            return False
        if wrong:
            print(f"NOT EXACT: these threads have not made {it.increments} each: {' '.join(wrong)}")
            return False
        return True

    def end(self):
        for replica in self.replicas:
            replica.terminate()
        for replica in self.replicas:
            replica.wait()


class Replica:
    """A `steadfast run`, the application beside it, and what that has reported."""

    def __init__(self, name, command):
        self.name = name
        self.report = {"found": {}, "made": {}, "conflicts": 0, "unknown": 0}
        # The last lines of the log, shown if something goes wrong.
        self.log = collections.deque(maxlen=20)
        # A session of its own: Ctrl-C reaches the demo alone, which then ends everything in order.
        # The application ends when its stdin is closed, so it cannot outlive the demo.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.reading = threading.Thread(target=self.read, daemon=True)
        self.reading.start()

    def read(self):
        for line in self.process.stdout:
            _, is_report, report = line.partition(REPORT)
            if is_report:
                self.report = json.loads(report)
            else:
                self.log.append(line)

    def pid(self):
        return self.process.pid

    def is_running(self):
        return self.process.poll() is None

    def check(self):
        if self.process.poll() not in (None, 0):
            self.reading.join(timeout=1)
            log = "".join(f"    {line}" for line in self.log)
            raise Failure(f"{self.name} ended with exit code {self.process.returncode}:\n{log}")

    def wait_until_counting(self, threads):
        """Returns how many increments each thread has found when it started."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(self.report["found"]) < threads:
            self.check()
            if time.monotonic() > deadline:
                raise Failure(f"{self.name} does not report within {PATIENCE_SECONDS} s")
            time.sleep(TICK_SECONDS)
        return self.report["found"]

    def kill(self):
        """Kills the sidecar, and waits until the application has gone with it."""
        self.process.kill()
        self.process.wait()
        # A pipe whose readers have all gone reports an error. The application reads this one.
        readers = select.poll()
        readers.register(self.process.stdin, 0)
        if not readers.poll(PATIENCE_SECONDS * 1000):
            raise Failure(f"{self.name}'s application outlives its sidecar")
        self.reading.join(timeout=PATIENCE_SECONDS)

    def terminate(self):
        if self.is_running():
            self.process.terminate()

    def wait(self):
        try:
            self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reading.join(timeout=1)
        self.process.stdin.close()


class Progress:
    """A line that is updated on a terminal; one line a second elsewhere."""

    def __init__(self, expected):
        self.expected = expected
        self.terminal = sys.stdout.isatty()
        self.period = LINE_SECONDS_TERMINAL if self.terminal else LINE_SECONDS
        self.started = self.shown = time.monotonic()
        self.made = self.made_when_shown = 0

    def show(self, made, conflicts, unknown):
        self.made = made
        now = time.monotonic()
        if now - self.shown < self.period:
            return
        rate = (made - self.made_when_shown) / (now - self.shown)
        self.shown, self.made_when_shown = now, made
        line = (
            f"{now - self.started:5.1f} s  {made:{len(str(self.expected))}} of {self.expected} "
            f"({100 * made // self.expected:3} %)  {rate:5.0f}/s  {conflicts:6} conflicts retried"
        )
        if self.terminal:
            print(f"\r\x1b[K{line}", end="", flush=True)
        else:
            print(line, flush=True)

    def say(self, line):
        print(f"\r\x1b[K{line}" if self.terminal else line, flush=True)

    def end(self, made, conflicts, unknown):
        seconds = time.monotonic() - self.started
        self.say(
            f"{made} increments were acknowledged in {seconds:.1f} s ({made / seconds:.0f}/s); "
            f"{conflicts} conflicts were retried, {unknown} answers were lost\n"
        )


class Failure(Exception):
    """Something that should not have happened, in words."""


def find_steadfast(path):
    """The program that was named, or is in PATH, or was built in this repository."""
    if path is not None:
        found = shutil.which(path)
        if found is None:
            sys.exit(f"there is no program {path}")
        return os.path.abspath(found)
    built = [HERE.parent.parent / "target" / it / "steadfast" for it in ("release", "debug")]
    for it in ["steadfast", *map(str, built)]:
        found = shutil.which(it)
        if found is not None:
            return found
    sys.exit(
        "steadfast is not in PATH: name it with --steadfast, or build it with\n"
        "  cargo build --release -p steadfast"
    )


if __name__ == "__main__":
    main()
