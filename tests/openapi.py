"""Compares the server with docs/reference/openapi.yaml: generated requests, right ones and wrong ones, and chains of them.

    python3 tests/openapi.py --steadfast target/release/steadfast [--cases 20000] [--seed 7]

Fails on an answer that the file does not describe, on a status of 500 and more that is no failure of a store, and if the
server ends or fills the memory. Needs what tests/requirements.txt names.
"""

import argparse
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests
import yaml

ROOT = Path(__file__).resolve().parent.parent
DESCRIPTION = ROOT / "docs" / "reference" / "openapi.yaml"

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)

# Ends the server, and is tried by itself.
LAST = "shutdown"

# What a sidecar may take, with all that was saved in a store in memory.
RESIDENT_BYTES_MAX = 300 << 20

END_SECONDS = 30


def main():
    arguments = parse()
    steadfast = Path(arguments.steadfast).resolve()
    if not steadfast.is_file():
        sys.exit(f"{steadfast} is not there: build it, or name another with --steadfast")
    description = yaml.safe_load(DESCRIPTION.read_text())
    seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 32)
    started = time.monotonic()
    total = 0
    with tempfile.TemporaryDirectory(prefix="steadfast-openapi-") as folder:
        # Mostly on SQLite, which has more that can go wrong.
        for store, share in (("sqlite://state.db", 0.75), ("memory", 0.25)):
            total += check(steadfast, Path(folder), store, description, int(arguments.cases * share), seed)
    if total < arguments.cases:
        sys.exit(f"FAIL: {total} cases, which are fewer than {arguments.cases}")
    print(f"The server is as the OpenAPI file says: {total} cases, seed {seed} ({time.monotonic() - started:.0f} s).")


def check(steadfast, folder, store, description, cases, seed):
    """Tries `cases` requests and more on a server of its own; returns how many there were."""
    with Server(steadfast, folder, store) as server:
        check_paths(server.url, description)
        sent = 0
        while sent < cases:
            sent += generate(server, folder, cases - sent, seed + sent, description)
            if server.resident_bytes() > RESIDENT_BYTES_MAX:
                sys.exit(f"FAIL: the server takes {server.resident_bytes() >> 20} MiB after {sent} cases")
        print(f"ok   {store}: {sent} cases, {server.resident_bytes() >> 20} MiB resident", flush=True)
        server.end_by_request()
    return sent


def generate(server, folder, cases, seed, description):
    operations = sum(len({"get", "put", "post", "delete"} & it.keys()) for it in description["paths"].values())
    command = [Path(sys.executable).parent / "schemathesis", "--config-file", ROOT / "tests" / "schemathesis.toml"]
    command += ["run", DESCRIPTION, "--url", server.url, "--exclude-operation-id", LAST, "--seed", str(seed)]
    command += ["--max-examples", str(cases // operations + 1), "--checks", ",".join(CHECKS)]
    command += ["--suppress-health-check", "all"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if server.process.poll() is not None:
        sys.exit(f"FAIL: the server has ended\n{done.stdout}")
    if done.returncode != 0:
        sys.exit(f"FAIL: seed {seed}, to repeat it: --seed {seed}\n{done.stdout}")
    generated = re.search(r"(\d+) generated", done.stdout)
    if not generated:
        sys.exit(f"FAIL: schemathesis does not tell how many cases it had\n{done.stdout}")
    return int(generated[1])


def check_paths(url, description):
    """Every path and method of the file is there: none is taken for a call of another application."""
    for path, methods in description["paths"].items():
        for method in {"get", "put", "post", "delete"} & methods.keys():
            if methods[method]["operationId"] == LAST:
                continue
            answer = requests.request(method, url + path.format(store="statestore", key="k", name="n"), timeout=30)
            if "ERR_DIRECT_INVOKE" in answer.text:
                sys.exit(f"FAIL: {method} {path} is not there")


class Server:
    """A sidecar on any free port, with files in a folder of its own."""

    def __init__(self, steadfast, folder, store):
        command = [steadfast, "serve", "--app-id", "openapi", "--dapr-http-port", "0", "--dapr-grpc-port", "0"]
        self.process = subprocess.Popen(
            [*command, "--state-store", store],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.url = None
        for line in self.process.stdout:
            if found := re.search(r"HTTP server is running on port (\d+)", line):
                self.url = f"http://127.0.0.1:{found[1]}"
            if "dapr initialized" in line:
                break
        if not self.url:
            sys.exit("FAIL: the server did not start")
        # It says nothing more, unless it fails.

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def resident_bytes(self):
        pages = Path(f"/proc/{self.process.pid}/statm")
        if not pages.exists():
            return 0
        return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def end_by_request(self):
        answer = requests.post(f"{self.url}/v1.0/shutdown", timeout=30)
        if answer.status_code != 204 or self.process.wait(END_SECONDS) != 0:
            sys.exit(f"FAIL: {LAST}: {answer.status_code}")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steadfast", default=ROOT / "target" / "release" / "steadfast", metavar="PATH")
    parser.add_argument("--cases", type=int, default=2000, help="how many requests at least (default: 2000)")
    parser.add_argument("--seed", type=int, help="repeats the choices of a run")
    return parser.parse_args()


if __name__ == "__main__":
    main()
