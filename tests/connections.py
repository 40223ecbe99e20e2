#!/usr/bin/env python3
"""What many connections cost a sidecar, and whether bad ones harm good ones.

    tests/connections.py [--steadfast PATH] [--idle N]

Prints figures, and fails if one is worse than its bound: idle connections and their memory, a storm of connections that are
reset, heads and bodies that come byte by byte, clients that take no answer. Sources of the bounds: the project's test plan.
"""

import argparse
import asyncio
import atexit
import os
import re
import pathlib
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
STORE = "/v1.0/state/statestore"

# Bounds. Times are far above what is measured, for machines that are busy with something else.
IDLE_KIB_MAX = 20
STORM = 5000
RECOVERY_SECONDS_MAX = 5
SLOW = 500
CUT_SECONDS = 10
CUT_SECONDS_MAX = 40
ACTIVE_SECONDS = 3
ACTIVE_P99_MS_MAX = 50

GET = f"GET {STORE}/k HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
# For files besides connections.
SPARE_FILES = 200


class Sidecar:
    """Serves from memory until it is stopped."""

    def __init__(self, steadfast, connections_max):
        self.log = tempfile.NamedTemporaryFile("w+")
        command = [steadfast, "serve", "--app-id", "app", "--state-store", "memory", "-H", "0", "-G", "0"]
        command += ["--dapr-listen-addresses", "127.0.0.1", "--max-connections", str(connections_max)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        # Whatever fails, it does not stay behind.
        atexit.register(self.process.kill)
        deadline = time.monotonic() + 30
        while "dapr initialized" not in self.text():
            if time.monotonic() > deadline or self.process.poll() is not None:
                sys.exit(f"FAIL: the sidecar does not start\n{self.text()}")
            time.sleep(0.05)
        self.port = int(re.search(r"HTTP server is running on port (\d+)", self.text()).group(1))

    def text(self):
        return pathlib.Path(self.log.name).read_text()

    def rss_kib(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(it for it in status.splitlines() if it.startswith("VmRSS")).split()[1])

    def files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        check("the sidecar ends by itself", self.process.wait(30) == 0, self.text())


def check(what, holds, shown=""):
    print(f"{'ok' if holds else 'FAIL'}: {what}", flush=True)
    if not holds:
        sys.exit(str(shown))


async def connect(port):
    return await asyncio.open_connection("127.0.0.1", port)


async def get(reader, writer):
    writer.write(GET)
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 204"):
        sys.exit(f"FAIL: {head}")


async def active(port, seconds=ACTIVE_SECONDS):
    """Uses one connection for so long; returns the time in milliseconds that 99 of 100 requests stay below."""
    reader, writer = await connect(port)
    times, deadline = [], time.monotonic() + seconds
    while time.monotonic() < deadline:
        started = time.monotonic()
        await get(reader, writer)
        times.append(time.monotonic() - started)
        # Others of this process are to have their turn, too.
        await asyncio.sleep(0.001)
    writer.close()
    return sorted(times)[len(times) * 99 // 100] * 1000


async def eventually(what, holds):
    """Waits for it; returns how long it took."""
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > RECOVERY_SECONDS_MAX:
            check(what, False)
        await asyncio.sleep(0.01)
    return time.monotonic() - started


async def idle(sidecar, count):
    await active(sidecar.port, 0.5)
    quiet = await active(sidecar.port)
    before = sidecar.rss_kib()
    kept = []
    for start in range(0, count, 200):
        part = await asyncio.gather(*(connect(sidecar.port) for _ in range(start, min(start + 200, count))))
        await asyncio.gather(*(get(*it) for it in part))
        kept += part
    each = (sidecar.rss_kib() - before) / count
    check(f"{count} idle connections cost {each:.1f} KiB each", each <= IDLE_KIB_MAX)
    busy = await active(sidecar.port)
    check(f"99 of 100 requests beside them take {busy:.1f} ms, {quiet:.1f} ms without", busy <= ACTIVE_P99_MS_MAX)
    for _, writer in kept:
        writer.transport.abort()
    took = await eventually("their files are closed", lambda: sidecar.files() < SPARE_FILES)
    print(f"    all of them were closed {took:.2f} s after their clients, {sidecar.rss_kib() >> 10} MiB remain", flush=True)


async def storm(sidecar):
    files = sidecar.files()
    started = time.monotonic()
    for _ in range(STORM):
        it = socket.create_connection(("127.0.0.1", sidecar.port))
        # Closed by a reset, without a word.
        it.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        it.close()
    took = time.monotonic() - started
    recovery = await eventually("the sidecar has recovered", lambda: sidecar.files() <= files + 2)
    p99 = await active(sidecar.port, 1)
    what = f"{STORM} connections reset within {took:.1f} s: recovered after {recovery:.2f} s, then {p99:.1f} ms"
    check(what, p99 <= ACTIVE_P99_MS_MAX)


async def slow(port, start, drop):
    """Sends the start, and then a byte now and then; returns after which time the sidecar has had enough."""
    reader, writer = await connect(port)
    started = time.monotonic()
    writer.write(start)

    async def go_on():
        while True:
            await asyncio.sleep(1)
            writer.write(drop)

    going = asyncio.create_task(go_on())
    try:
        while await asyncio.wait_for(reader.read(4096), CUT_SECONDS_MAX):
            pass
    except ConnectionError:
        pass
    going.cancel()
    writer.transport.abort()
    return time.monotonic() - started


async def slow_ones(sidecar, what, start, drop):
    quiet = await active(sidecar.port, 1)
    attack = [asyncio.create_task(slow(sidecar.port, start, drop)) for _ in range(SLOW)]
    busy = await active(sidecar.port)
    check(f"99 of 100 requests beside {SLOW} {what} take {busy:.1f} ms, {quiet:.1f} ms without", busy <= ACTIVE_P99_MS_MAX)
    times = await asyncio.gather(*attack)
    check(f"they are cut off after {min(times):.1f} s to {max(times):.1f} s", CUT_SECONDS * 0.9 < min(times), times)


async def deaf(sidecar):
    """Clients that ask for much and take none of it: what is held for them is bounded."""
    value = "x" * (1 << 20)
    reader, writer = await connect(sidecar.port)
    body = f'[{{"key":"large","value":"{value}"}}]'
    writer.write(f"POST {STORE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    await reader.readuntil(b"\r\n\r\n")
    before = sidecar.rss_kib()
    writers = []
    for _ in range(200):
        it = socket.create_connection(("127.0.0.1", sidecar.port))
        it.setblocking(False)
        try:
            for _ in range(200):
                it.send(GET.replace(b"/k ", b"/large "))
        except BlockingIOError:
            pass
        writers.append(it)
    busy = await active(sidecar.port)
    held = (sidecar.rss_kib() - before) / 1024
    check(f"200 clients that take nothing of 200 MiB each: {held:.0f} MiB are held, {busy:.1f} ms for others",
          busy <= ACTIVE_P99_MS_MAX and held < 600)
    for it in writers:
        it.close()
    writer.close()


async def run(steadfast, count):
    sidecar = Sidecar(steadfast, count + SPARE_FILES)
    await idle(sidecar, count)
    await storm(sidecar)
    head = f"GET {STORE}/k HTTP/1.1\r\nHost: localhost\r\nX-Slow: ".encode()
    await slow_ones(sidecar, "heads that never end", head, b"x")
    body = f"POST {STORE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n[".encode()
    await slow_ones(sidecar, "bodies that stop", body, b"")
    await deaf(sidecar)
    sidecar.stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steadfast", default=ROOT / "target" / "release" / "steadfast", type=pathlib.Path)
    parser.add_argument("--idle", default=10_000, type=int, help="how many idle connections")
    arguments = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = arguments.idle + SPARE_FILES * 2
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    count = min(arguments.idle, max(soft, allowed) - SPARE_FILES * 2)
    if count < arguments.idle:
        print(f"only {count} connections: there may be no more open files here", flush=True)
    asyncio.run(run(str(arguments.steadfast.resolve()), count))


if __name__ == "__main__":
    main()
