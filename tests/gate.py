#!/usr/bin/env python3
"""What a request costs the sidecar, and what the sidecar itself costs: fails if it is more than it was.

    tests/gate.py [--steadfast PATH] [--profile FOLDER] [--floor PATH]

Nothing here is a time, but for the start, which is compared with another start of the same run: instructions, allocations
and lines of code are counted by valgrind, so that they are the same on a busy machine. Bounds are below, and explained in
docs/performance/gate.md. They are for the program as ./test builds it.
"""

import argparse
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

from tools import free_port

ROOT = pathlib.Path(__file__).resolve().parent.parent

# Of one request, as they were measured last: instructions in user mode, lines of code that were not in the processor's first cache, and
# allocations.
REQUESTS = {
    "HTTP get": (23_300, 1_660, 11.57),
    "HTTP save": (43_500, 2_260, 19),
    "HTTP save with ETag": (43_400, 2_270, 19),
    "HTTP transaction of 5": (119_500, 2_430, 50),
    "HTTP bulk get of 20": (300_600, 2_380, 84),
    "gRPC get": (71_800, 3_990, 28),
    "gRPC save": (76_700, 4_110, 36),
}
# Other compilers, and other versions of dependencies, make a few more of them.
INSTRUCTIONS_TOLERANCE = 1.08
# Where functions come to lie is part of it.
LINES_TOLERANCE = 1.15
# Buffers that grow once in many requests. Below 1, so that one more allocation for each request is seen.
ALLOCATIONS_TOLERANCE = 0.5

# As processors have them that are usual: size, lines of a set, and bytes of a line, of the first caches of code and of data, and of
# the one behind them.
CACHES = ["--cache-sim=yes", "--I1=32768,8,64", "--D1=49152,12,64", "--LL=2097152,16,64"]

BINARY_MB_MAX = 24.5
# When it has answered its first request.
IDLE_RSS_MB_MAX = 17
# From its start to its first answer, to the time that `steadfast --version` takes: the shortest of several of each.
START_RATIO_MAX = 5

# As many keys as make a difference to a store that has to look for them.
KEYS = 1000
# Enough that what happens once is lost among them, and few enough that it takes seconds.
REPEATS = 300
WARM_UP = 50
STARTS = 11
PATIENCE_SECONDS = 60

STORE = "statestore"
# A kibibyte of what applications keep: an object of short fields.
FIELDS = ",".join(f'"field_{it:02}":"{(1 << 128) // (it + 3):032x}"' for it in range(18))
VALUE = ('{%s,"note":"%s"}' % (FIELDS, "n" * (1024 - len(FIELDS) - len('{,"note":""}')))).encode()


class Http:
    """A connection on which one request after another is sent."""

    def __init__(self, port):
        self.socket = connect(port)

    def send(self, request):
        self.socket.sendall(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self.more()
        head, body = received.split(b"\r\n\r\n", 1)
        length = re.search(rb"\r\ncontent-length: (\d+)", head)
        while length and len(body) < int(length[1]):
            body += self.more()
        if head.split(b" ")[1] not in (b"200", b"204"):
            sys.exit(f"FAIL: the request was answered with {head}")
        return head, body

    def more(self):
        return more(self.socket)


class Grpc:
    """A connection of HTTP/2 with one call after another: as much of the protocol as that takes."""

    DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
    ACK = END_STREAM = 1
    END_HEADERS = 4
    # Names and pairs of the static table. Source: RFC 7541, appendix A.
    POST, HTTP, PATH, AUTHORITY, CONTENT_TYPE = 3, 6, 4, 1, 31

    def __init__(self, port):
        self.socket = connect(port)
        self.received = b""
        self.stream = -1
        # The headers that the server has been told, the newest first.
        self.known = []
        # Room for all answers there will be.
        room = struct.pack(">I", (1 << 31) - (1 << 16))
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.frame(self.SETTINGS, 0, 0, b"")
        self.frame(self.WINDOW_UPDATE, 0, 0, room)

    def frame(self, kind, flags, stream, payload):
        length = struct.pack(">I", len(payload))[1:]
        self.socket.sendall(length + bytes([kind, flags]) + struct.pack(">I", stream) + payload)

    def next_frame(self):
        while len(self.received) < 9 or len(self.received) < 9 + int.from_bytes(self.received[:3], "big"):
            self.received += more(self.socket)
        end = 9 + int.from_bytes(self.received[:3], "big")
        frame, self.received = self.received[:end], self.received[end:]
        return frame[3], frame[4], int.from_bytes(frame[5:9], "big"), frame[9:]

    def headers(self, call):
        """As clients send them: once as text, then as a number."""
        block = bytes([0x80 | self.POST, 0x80 | self.HTTP])
        for index, name, value in (
            (self.PATH, b"", f"/dapr.proto.runtime.v1.Dapr/{call}".encode()),
            (self.AUTHORITY, b"", b"localhost:50001"),
            (self.CONTENT_TYPE, b"", b"application/grpc"),
            (0, b"te", b"trailers"),
        ):
            header = (index, name, value)
            if header in self.known:
                # 61 is the last of the static table.
                block += bytes([0x80 | (62 + self.known.index(header))])
                continue
            self.known.insert(0, header)
            literal_name = bytes([len(name)]) + name if name else b""
            block += bytes([0x40 | index]) + literal_name + bytes([len(value)]) + value
        return block

    def send(self, request):
        call, message = request
        self.stream += 2
        self.frame(self.HEADERS, self.END_HEADERS, self.stream, self.headers(call))
        self.frame(self.DATA, self.END_STREAM, self.stream, b"\0" + struct.pack(">I", len(message)) + message)
        head, body = b"", b""
        while True:
            kind, flags, stream, payload = self.next_frame()
            if kind in (self.SETTINGS, self.PING) and not flags & self.ACK:
                self.frame(kind, self.ACK, 0, payload if kind == self.PING else b"")
            elif kind in (self.RESET, self.GOAWAY):
                sys.exit(f"FAIL: the call was answered with frame {kind}: {payload}")
            elif stream == self.stream:
                body += payload if kind == self.DATA else b""
                head += payload if kind == self.HEADERS else b""
                if flags & self.END_STREAM:
                    return head, body


def connect(port):
    it = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
    it.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return it


def more(stream):
    received = stream.recv(1 << 16)
    if not received:
        sys.exit("FAIL: the sidecar closed a connection")
    return received


def key(number):
    return f"order-{number % KEYS:08}"


def get(number):
    return f"GET /v1.0/state/{STORE}/{key(number)} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()


def post(route, body):
    head = f"POST /v1.0/state/{STORE}{route} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def item(number, etag=b""):
    etag = b',"etag":"%s"' % etag if etag else b""
    return b'{"key":"%s","value":%s%s}' % (key(number).encode(), VALUE, etag)


def field(number, content):
    """A field of a message that has bytes in it. Source: Protocol Buffers, encoding."""
    length, encoded = len(content), b""
    while length > 127:
        encoded += bytes([length & 127 | 128])
        length >>= 7
    return bytes([number << 3 | 2]) + encoded + bytes([length]) + content


def grpc_get(number):
    return "GetState", field(1, STORE.encode()) + field(2, key(number).encode())


def grpc_save(number):
    return "SaveState", field(1, STORE.encode()) + field(2, field(1, key(number).encode()) + field(2, VALUE))


def http_save(number):
    return post("", b"[" + item(number) + b"]")


def transaction(number):
    operations = b",".join(
        b'{"operation":"upsert","request":%s}' % item(5 * number + it) for it in range(5)
    )
    return post("/transaction", b'{"operations":[%s]}' % operations)


def bulk_get(number):
    keys = ",".join(f'"{key(20 * number + it)}"' for it in range(20))
    return post("/bulk", f'{{"keys":[{keys}]}}'.encode())


class SaveWithEtag:
    """Saves a key at the version that its last save has made."""

    def __init__(self):
        self.etags = {}

    def __call__(self, number):
        return post("", b"[" + item(number, self.etags.get(number % KEYS, b"")) + b"]")

    def answered(self, number, head):
        self.etags[number % KEYS] = re.search(rb"\r\netag: ([^\r]+)", head)[1]


class Sidecar:
    """Serves from memory, on one core and so with one worker, which leaves nothing to chance."""

    def __init__(self, steadfast, prefix=()):
        self.log = tempfile.NamedTemporaryFile("w+")
        command = [*prefix, steadfast, "serve", "--app-id", "app", "--state-store", "memory", "-H", "0", "-G", "0"]
        command += ["--metrics-port", "0", "--dapr-listen-addresses", "127.0.0.1"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, preexec_fn=on_one_core)

    def ports(self):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "dapr initialized" not in (text := pathlib.Path(self.log.name).read_text()):
            if time.monotonic() > deadline or self.process.poll() is not None:
                sys.exit(f"FAIL: the sidecar does not start\n{text}")
            time.sleep(0.002)
        port = lambda wire: int(re.search(rf"{wire} server is running on port (\d+)", text)[1])
        return {Http: port("HTTP"), Grpc: port("gRPC")}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def on_one_core():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


class Counter:
    """Counts what a process does under callgrind from one look to the next."""

    def __init__(self, folder, pid):
        self.folder, self.pid = folder, pid

    def look(self):
        """Returns the profile since the last look, as a text."""
        known = set(self.folder.iterdir())
        done = subprocess.run(
            ["callgrind_control", "--dump", str(self.pid)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        new = [it for it in self.folder.iterdir() if it not in known and it.suffix != ".out"]
        if done.returncode or len(new) != 1:
            sys.exit(f"FAIL: callgrind_control cannot reach the sidecar: {done.stdout}")
        return new[0].read_text()


def instructions_and_lines(profile):
    """How many instructions there were, and how often their line was not in the first cache."""
    line = lambda name: re.search(rf"^{name}: (.+)$", profile, re.MULTILINE)[1].split()
    totals = dict(zip(line("events"), line("totals")))
    return int(totals["Ir"]), int(totals["I1mr"])


def allocations(profile):
    """How often memory was asked for. A name is told once, and a number stands for it from then on."""
    names, count, called = {}, 0, None
    for line in profile.splitlines():
        if told := re.match(r"c?fn=\((\d+)\)(?: (.*))?", line):
            if told[2]:
                names[told[1]] = told[2]
            if line.startswith("cfn"):
                called = names[told[1]]
        elif line.startswith("calls=") and called in ("malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"):
            count += int(line.removeprefix("calls=").split()[0])
    return count


def count_requests(steadfast, profiles):
    """Instructions, lines of code and allocations of each request."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        with Sidecar(steadfast, callgrind(folder)) as sidecar:
            ports = sidecar.ports()
            counter = Counter(folder, sidecar.process.pid)
            fill = Http(ports[Http])
            for number in range(KEYS):
                fill.send(post("", b"[" + item(number) + b"]"))
            found = {}
            for name, wire, request in (
                ("HTTP get", Http, get),
                ("HTTP save", Http, http_save),
                ("HTTP save with ETag", Http, SaveWithEtag()),
                ("HTTP transaction of 5", Http, transaction),
                ("HTTP bulk get of 20", Http, bulk_get),
                ("gRPC get", Grpc, grpc_get),
                ("gRPC save", Grpc, grpc_save),
            ):
                profile = count(wire(ports[wire]), request, counter)
                found[name] = figures(profile)
                if profiles:
                    profiles.mkdir(parents=True, exist_ok=True)
                    (profiles / f"callgrind.{name.replace(' ', '-')}").write_text(profile)
            return found


def count_floor(bench):
    """The same of the bare echo of `sidecar-bench`, which does nothing for what it is asked."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        http, grpc = free_port(), free_port()
        command = [*callgrind(folder), bench, "echo", "--port", str(http), "--grpc-port", str(grpc), "--etag", "0" * 36]
        command += ["--value-bytes", str(len(VALUE)), "--bulk-len", "20"]
        echo = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=on_one_core)
        try:
            for port in http, grpc:
                wait_for(port, echo)
            counter = Counter(folder, echo.pid)
            found = {}
            for name, connect_to, request in (
                ("HTTP get", lambda: Http(http), get),
                ("HTTP save", lambda: Http(http), http_save),
                ("gRPC get", lambda: Grpc(grpc), grpc_get),
                ("gRPC save", lambda: Grpc(grpc), grpc_save),
            ):
                found[name] = figures(count(connect_to(), request, counter))
            return found
        finally:
            echo.kill()
            echo.wait()


def callgrind(folder):
    return ["valgrind", "--tool=callgrind", *CACHES, f"--callgrind-out-file={folder}/profile"]


def wait_for(port, process):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        if time.monotonic() > deadline or process.poll() is not None:
            sys.exit("FAIL: the echo does not start")
        time.sleep(0.05)


def figures(profile):
    """For one request each."""
    return tuple(it / REPEATS for it in (*instructions_and_lines(profile), allocations(profile)))


def count(connection, request, counter):
    """The profile of so many requests."""
    for start, end in ((0, WARM_UP), (WARM_UP, WARM_UP + REPEATS)):
        counter.look()
        for number in range(start, end):
            head, _ = connection.send(request(number))
            if isinstance(request, SaveWithEtag):
                request.answered(number, head)
    return counter.look()


def first_answer(steadfast):
    """From the start of a sidecar to its first answer, in seconds, and what it holds then, in MB."""
    started = time.monotonic()
    with Sidecar(steadfast) as sidecar:
        Http(sidecar.ports()[Http]).send(get(0))
        took = time.monotonic() - started
        status = pathlib.Path(f"/proc/{sidecar.process.pid}/status").read_text()
        return took, int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024 / 1e6


def bare_start(steadfast):
    started = time.monotonic()
    subprocess.run([steadfast, "--version"], check=True, stdout=subprocess.DEVNULL, preexec_fn=on_one_core)
    return time.monotonic() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steadfast", default=ROOT / "target" / "release" / "steadfast", type=pathlib.Path)
    parser.add_argument("--floor", type=pathlib.Path, metavar="PATH", help="also count what the echo of this sidecar-bench takes")
    parser.add_argument("--profile", type=pathlib.Path, metavar="FOLDER", help="keep callgrind's profiles there")
    arguments = parser.parse_args()
    steadfast = str(arguments.steadfast.resolve())
    if not shutil.which("valgrind"):
        sys.exit("FAIL: the gate needs the package valgrind")
    rows = []
    for name, (instructions_each, lines_each, allocations_each) in count_requests(steadfast, arguments.profile).items():
        instructions_known, lines_known, allocations_known = REQUESTS[name]
        rows.append((f"{name}, instructions", instructions_each, instructions_known * INSTRUCTIONS_TOLERANCE, 0))
        rows.append((f"{name}, lines of code", lines_each, lines_known * LINES_TOLERANCE, 0))
        rows.append((f"{name}, allocations", allocations_each, allocations_known + ALLOCATIONS_TOLERANCE, 2))
    starts = [(bare_start(steadfast), *first_answer(steadfast)) for _ in range(STARTS)]
    bare, first, _ = (min(it) for it in zip(*starts))
    resident = sorted(it for _, _, it in starts)[STARTS // 2]
    rows.append(("start to the first answer, ratio to --version", first / bare, START_RATIO_MAX, 2))
    rows.append(("idle, resident MB", resident, IDLE_RSS_MB_MAX, 2))
    rows.append(("program, MB", os.path.getsize(steadfast) / 1e6, BINARY_MB_MAX, 2))
    report(rows)
    if arguments.floor:
        for name, (instructions_each, lines_each, allocations_each) in count_floor(str(arguments.floor.resolve())).items():
            print(f"a bare echo, {name}: {instructions_each:.0f} instructions, {lines_each:.0f} lines, {allocations_each:.1f} allocations")


def report(rows):
    width = max(len(name) for name, *_ in rows)
    print(f"{'':{width}} {'now':>10} {'at most':>10}")
    too_much = []
    for name, now, most, digits in rows:
        is_good = now <= most
        print(f"{name:{width}} {now:>10.{digits}f} {most:>10.{digits}f}{'' if is_good else '  FAIL'}", flush=True)
        if not is_good:
            too_much.append(f"{name}: {now:.{digits}f}, and {most:.{digits}f} at most")
    if too_much:
        told = "\n".join(too_much)
        sys.exit(f"FAIL: it takes more than it did\n{told}\nSee docs/performance/gate.md for what to do about it.")


if __name__ == "__main__":
    main()
