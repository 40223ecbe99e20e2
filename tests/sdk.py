"""Runs the suites of Dapr's SDKs against Steadfast: programs that use the published SDKs as their users do.

    python3 tests/sdk.py --steadfast target/release/steadfast [--language go] [--store redis]

Languages whose tools are not on this machine are skipped, and it says so. Exits with 1 if a case fails, and shows the
output of its program.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from tools import (
    build,
    environment_of_python,
    packages_of_node,
    redis,
    said_by_the_application,
    skipped_for_lack_of,
)

ROOT = Path(__file__).resolve().parent.parent
SUITES = ROOT / "tests" / "sdk"
BUILT = ROOT / "target" / "sdk"

CASES = (
    "start-up wait",
    "save and get",
    "get with etag",
    "absent key",
    "binary values",
    "bulk save and get",
    "delete",
    "delete with etag",
    "transaction",
    "ttl",
    "first-write",
    "strong options",
    "metadata",
    "token",
)

# Far more than one takes.
SUITE_SECONDS = 180

# How many suites run at the same time.
AT_ONCE = 6

# As an operator would set one: whoever does not know it is refused.
TOKEN = "a-token-of-the-test"


@dataclass
class Suite:
    name: str
    tools: list
    build: callable
    command: list
    # Cases that the SDK has no calls for: its program says so with `skip <case>: <reason>`.
    may_skip: set = field(default_factory=set)

    @property
    def language(self):
        return self.name.split()[0]


def main():
    arguments = parse()
    steadfast = Path(arguments.steadfast).resolve()
    if not steadfast.is_file():
        sys.exit(f"{steadfast} is not there: build it, or name another with --steadfast")
    started = time.monotonic()
    chosen = [it for it in suites() if not arguments.language or it.language in arguments.language]
    built = {}
    for suite in chosen:
        if suite.language not in built:
            built[suite.language] = prepare(suite)
    stores = arguments.store or ["sqlite", "redis"]
    if "redis" in stores and skipped_for_lack_of(["redis-server"]):
        stores.remove("redis")
    # Side by side: most of their time is waiting.
    with ThreadPoolExecutor(AT_ONCE) as pool:
        runs = [pool.submit(run, it, store, steadfast) for it in chosen if built[it.language] for store in stores]
        for it in as_completed(runs):
            print(it.result(), flush=True)
    print(f"{len(runs)} runs of the SDKs' suites pass ({time.monotonic() - started:.0f} s).")


def prepare(suite):
    """Builds a suite; `False` if this machine has no tools for it."""
    if skipped_for_lack_of(suite.tools):
        return False
    start = time.monotonic()
    suite.build()
    print(f"---- {suite.language}: built in {time.monotonic() - start:.0f} s", flush=True)
    return True


def suites():
    """Each SDK, and JavaScript's twice: it speaks HTTP as well as gRPC."""
    python = BUILT / "python"
    javascript = BUILT / "javascript"
    java = BUILT / "java"
    text_only = {"binary values"}
    return [
        Suite("python", ["python3"], build_python, [python / "bin" / "python", SUITES / "python" / "suite.py"]),
        Suite(
            "javascript over HTTP",
            ["node", "npm"],
            build_javascript,
            ["node", javascript / "suite.js", "http"],
            text_only,
        ),
        Suite(
            "javascript over gRPC",
            ["node", "npm"],
            build_javascript,
            ["node", javascript / "suite.js", "grpc"],
            text_only,
        ),
        Suite("go", ["go"], build_go, [BUILT / "go" / "suite"]),
        Suite("java", ["javac", "mvn"], build_java, ["java", "-cp", f"{java}/classes:{java}/libraries/*", "Suite"]),
        Suite(
            "rust",
            ["cargo"],
            build_rust,
            [BUILT / "rust" / "debug" / "sdk-suite"],
            {"start-up wait", "delete with etag", "transaction"},
        ),
    ]


def build_python():
    BUILT.mkdir(parents=True, exist_ok=True)
    environment_of_python(BUILT / "python", SUITES / "python" / "requirements.txt")


def build_javascript():
    folder = BUILT / "javascript"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", "suite.js"):
        shutil.copy(SUITES / "javascript" / name, folder)
    packages_of_node(folder)


def build_go():
    build(["go", "build", "-o", BUILT / "go" / "suite", "."], SUITES / "go")


def build_java():
    build(["mvn", "--quiet", "--batch-mode", f"-DoutputFolder={BUILT / 'java'}", "process-classes"], SUITES / "java")


def build_rust():
    manifest = SUITES / "rust" / "Cargo.toml"
    build(["cargo", "build", "--quiet", "--locked", "--manifest-path", manifest, "--target-dir", BUILT / "rust"], ROOT)


def run(suite, store, steadfast):
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="steadfast-sdk-") as folder, server(store, Path(folder)) as url:
        command = [steadfast, "run", "--app-id", "sdk", "--dapr-http-port", "0", "--dapr-grpc-port", "0"]
        command += ["--state-store", url, "--", *suite.command]
        code, output = finished(command, folder, environment(store, folder))
    said = said_by_the_application(output)
    done = {it.removeprefix("ok ") for it in said if it.startswith("ok ")}
    skipped = {it.removeprefix("skip ").partition(":")[0] for it in said if it.startswith("skip ")}
    missing = [it for it in CASES if it not in done | (skipped & suite.may_skip)]
    if code != 0 or missing:
        sys.exit(f"FAIL {suite.name} on {store}: exit code {code}, not done: {', '.join(missing) or '-'}\n{output}")
    skips = f", skipped {', '.join(sorted(skipped))}" if skipped else ""
    return f"PASS {suite.name} on {store}: {len(done)} cases{skips} ({time.monotonic() - start:.1f} s)"


def environment(store, folder):
    """On SQLite an operator has set a token, on Redis `run` makes one: either way, a wrong one is refused."""
    # What the caller has set for a sidecar of its own is not for ours.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DAPR_")}
    token = {"DAPR_API_TOKEN": TOKEN} if store == "sqlite" else {}
    # A home of its own: `run` writes a component file there.
    return {**kept, **token, "HOME": folder}


def finished(command, folder, variables):
    """Runs a command to its end; gives its exit code and what it has printed."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        done = subprocess.run(command, cwd=folder, env=variables, timeout=SUITE_SECONDS, **streams)
    except subprocess.TimeoutExpired as e:
        return f"none within {e.timeout} s", (e.output or b"").decode(errors="replace")
    return done.returncode, done.stdout.decode(errors="replace")


@contextlib.contextmanager
def server(store, folder):
    """The URL of a store, with its server if it has one."""
    if store == "sqlite":
        yield f"sqlite://{folder}/state.db"
        return
    with redis(folder) as port:
        yield f"redis://127.0.0.1:{port}/0"


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steadfast", default=ROOT / "target" / "release" / "steadfast", metavar="PATH")
    languages = ["python", "javascript", "go", "java", "rust"]
    parser.add_argument("--language", action="append", choices=languages, help="only this one; may be repeated")
    parser.add_argument("--store", action="append", choices=["sqlite", "redis"], help="only this one; may be repeated")
    return parser.parse_args()


if __name__ == "__main__":
    main()
