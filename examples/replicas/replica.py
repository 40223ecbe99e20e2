"""One replica of the application `counter`: its threads increment a counter that all share.

It is started by demo.py as `steadfast run --app-id counter -- python3 replica.py ...`, and finds
the sidecar that is its own through DAPR_HTTP_PORT. Needs Python 3.9 and nothing else.

How an increment is made, and why it is neither lost nor made twice:

The counter is one value, {"total": 41, "done": {"1.1": 20, "1.2": 21}}. A thread reads it with its
ETag, adds one to the total and one to its own entry in `done`, and saves that first-write with the
ETag. Each answer has one meaning:

* accepted: the increment was made.
* conflict (409): it was not made, another thread was faster. Read again, try again.
* no answer, or an error whose outcome is unknown: the sidecar or the store died in the middle, and
  the increment may have been made. The next read tells: the thread's own entry in `done` was
  written together with the total, so it has grown if and only if the increment was made. If it
  arrives late, it cannot do harm: it carries an ETag, and fails once anything else was written.

A replica that was killed and started again goes on from its entries in `done`, likewise. All
replicas create the counter when they start: first-write without an ETag means "only if the key is
not there", so exactly one of them does.

The threads do not trust the store. An entry that differs from what was acknowledged to its thread
means that a write was lost or made twice, and ends the demo. demo.py compares likewise when it starts
a replica again: otherwise that would quietly repeat what the store has lost.
"""

import argparse
import http.client
import json
import os
import random
import sys
import threading
import time

# What a save came to.
OK, CONFLICT, NOT_MADE, UNKNOWN = "ok", "conflict", "not made", "unknown"

# The pause before the n-th attempt is random, between nothing and this much, doubled n times. With
# pauses of equal length the threads would meet again, and again.
PAUSE_SECONDS = 0.002
PAUSE_SECONDS_MAX = 0.25

# How long a thread goes without success before it gives up.
PATIENCE_SECONDS = 30

REPORT_SECONDS = 0.1

# What stands before the lines that demo.py reads.
REPORT = "report: "


def main():
    arguments = parse_arguments()
    if arguments.watch_stdin:
        threading.Thread(target=exit_when_stdin_closes, daemon=True).start()
    sidecar = Sidecar(arguments.store, arguments.key)
    try:
        if arguments.finish:
            value, _ = sidecar.read()
            say({"value": value})
            sidecar.delete()
        else:
            sidecar.create({"total": 0, "done": {}})
            Replica(arguments).run()
    except Problem as e:
        sys.exit(f"replica {arguments.replica}: {e}")


def parse_arguments():
    parser = argparse.ArgumentParser(description="One replica of the counter; see demo.py.")
    parser.add_argument("--store", default="statestore")
    parser.add_argument("--key", default="counter")
    parser.add_argument("--replica", type=int, default=1, help="which replica this is, from 1")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--increments", type=int, default=50, help="how many each thread makes")
    parser.add_argument("--last-write", action="store_true", help="save without ETags")
    parser.add_argument("--finish", action="store_true", help="show the counter and remove it")
    parser.add_argument("--watch-stdin", action="store_true", help="end when stdin is closed")
    return parser.parse_args()


class Replica:
    def __init__(self, arguments):
        threads = range(1, arguments.threads + 1)
        self.counters = [Counter(arguments, f"{arguments.replica}.{it}") for it in threads]
        self.problem = None

    def run(self):
        """Runs all threads to their end, or until one of them has a problem."""
        threads = []
        for counter in self.counters:
            threads.append(threading.Thread(target=self.count, args=[counter], daemon=True))
            threads[-1].start()
        while self.problem is None and any(it.is_alive() for it in threads):
            self.report()
            time.sleep(REPORT_SECONDS)
        self.report()
        if self.problem is not None:
            raise self.problem

    def count(self, counter):
        try:
            counter.count()
        except Exception as e:
            self.problem = self.problem or e

    def report(self):
        say(
            {
                "pid": os.getpid(),
                "port": sidecar_port(),
                "found": {it.name: it.found for it in self.counters if it.found is not None},
                "made": {it.name: it.made for it in self.counters},
                "conflicts": sum(it.conflicts for it in self.counters),
                "unknown": sum(it.unknown for it in self.counters),
            }
        )


class Counter:
    """What one thread does."""

    def __init__(self, arguments, name):
        self.name = name
        self.increments = arguments.increments
        self.last_write = arguments.last_write
        self.sidecar = Sidecar(arguments.store, arguments.key)
        # How many increments an earlier life has made; None before the first read.
        self.found = None
        # How many are known to have been made, by all lives.
        self.made = 0
        # Whether one more may have been made: by a save whose answer was lost, or by one that was
        # under way when the replica was killed, before this life of it.
        self.in_doubt = True
        self.conflicts = 0
        self.unknown = 0

    def count(self):
        value, _ = self.read()
        self.found = self.made = value["done"].get(self.name, 0)
        while self.made < self.increments:
            self.increment()

    def increment(self):
        """Makes one increment, however many attempts that takes."""
        attempt, goal = 0, self.made + 1
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.made < goal:
            value, etag = self.read()
            self.compare(value["done"].get(self.name, 0))
            if self.made == goal:
                return
            value["total"] += 1
            value["done"][self.name] = goal
            if self.last_write:
                outcome = self.sidecar.save(value, concurrency="last-write")
            else:
                outcome = self.sidecar.save(value, etag)
            if outcome == OK:
                self.made = goal
                self.in_doubt = False
                return
            self.conflicts += outcome == CONFLICT
            if outcome == UNKNOWN:
                self.unknown += 1
                self.in_doubt = True
            if time.monotonic() > deadline:
                raise Problem(f"no success for {PATIENCE_SECONDS} s; {self.sidecar.failure}")
            pause(attempt)
            attempt += 1

    def read(self):
        value, etag = self.sidecar.read()
        if value is None:
            raise Problem(f"lost: the key {self.sidecar.key} was there, and is gone")
        return value, etag

    def compare(self, stored):
        """Compares what the store says that this thread has made with what the thread knows."""
        if self.in_doubt and stored == self.made + 1:
            # The answer was lost, the increment was not.
            self.made = stored
            self.in_doubt = False
        elif stored != self.made and not self.last_write:
            raise Problem(
                f"lost: thread {self.name} was told that its increment {self.made} is saved, but "
                f"the store has {stored} of them"
            )


class Sidecar:
    """A connection to the sidecar, and the one key that is read and written through it."""

    def __init__(self, store, key):
        self.path = f"/v1.0/state/{store}"
        self.key = key
        self.connection = http.client.HTTPConnection("127.0.0.1", sidecar_port(), timeout=30)
        # What went wrong last, for people.
        self.failure = None

    def create(self, value):
        """Makes sure that the key is there, with this value if it was not."""
        attempt = 0
        while self.read()[0] is None:
            # Whatever comes of it, the next read tells.
            self.save(value)
            pause(attempt)
            attempt += 1

    def read(self):
        """Returns the value and its ETag, or nothing twice. Goes on until it has an answer."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        attempt = 0
        while True:
            try:
                response, body = self.request("GET", f"{self.path}/{self.key}?consistency=strong")
            except (OSError, http.client.HTTPException) as e:
                self.failure = f"the sidecar on port {sidecar_port()} does not answer: {e!r}"
            else:
                if response.status == 200:
                    return json.loads(body), response.headers["ETag"]
                if response.status == 204:
                    return None, None
                self.refuse_if_final(response, body)
            if time.monotonic() > deadline:
                raise Problem(f"no success for {PATIENCE_SECONDS} s; {self.failure}")
            pause(attempt)
            attempt += 1

    def save(self, value, etag="", concurrency="first-write"):
        """Tries once, and returns what came of it.

        First-write replaces the version with this ETag; without an ETag it only creates.
        """
        options = {"consistency": "strong", "concurrency": concurrency}
        item = {"key": self.key, "value": value, "etag": etag, "options": options}
        try:
            response, body = self.request("POST", self.path, json.dumps([item]))
        except ConnectionRefusedError as e:
            self.failure = repr(e)
            return NOT_MADE
        except (OSError, http.client.HTTPException) as e:
            self.failure = repr(e)
            return UNKNOWN
        if response.status in (200, 204):
            return OK
        if response.status == 409:
            self.failure = body.decode()
            return CONFLICT
        self.refuse_if_final(response, body)
        return NOT_MADE if response.headers["state-outcome"] == "not_applied" else UNKNOWN

    def refuse_if_final(self, response, body):
        """Keeps a failure that may pass for later; raises one that will not."""
        self.failure = f"the sidecar answers {response.status} {body.decode()}"
        if response.status < 500 and response.status != 429:
            raise Problem(self.failure)

    def delete(self):
        self.request("DELETE", f"{self.path}/{self.key}")

    def request(self, method, path, body=None):
        headers = {"Content-Type": "application/json"} if body else {}
        try:
            self.connection.request(method, path, body, headers)
            response = self.connection.getresponse()
            return response, response.read()
        except (OSError, http.client.HTTPException):
            # The next request opens a new connection.
            self.connection.close()
            raise


class Problem(Exception):
    """Something that trying again does not mend."""


def say(facts):
    """Prints a line for demo.py."""
    print(REPORT + json.dumps(facts), flush=True)


def sidecar_port():
    return int(os.environ.get("DAPR_HTTP_PORT", "3500"))


def pause(attempt):
    longest = min(PAUSE_SECONDS * 2**attempt, PAUSE_SECONDS_MAX)
    time.sleep(random.uniform(0, longest))


def exit_when_stdin_closes():
    """Ends this replica when demo.py has ended, even if that had no time to say so."""
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
