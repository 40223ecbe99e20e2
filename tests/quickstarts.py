"""Runs the quick starts as their README says, and checks what they print.

    python3 tests/quickstarts.py --steadfast target/release/steadfast [--language go] [--store redis]

Languages whose tools are not on this machine are skipped, and it says so. Exits with 1 at the first that is not as it should.
"""

import argparse
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tools import build, environment_of_python, packages_of_node, redis, said_by_the_application, skipped_for_lack_of

ROOT = Path(__file__).resolve().parent.parent
QUICKSTARTS = ROOT / "examples" / "quickstarts"
BUILT = ROOT / "target" / "quickstarts"

ORDERS = 3

# Where tools keep what they have built or downloaded, for those that look below HOME.
CACHES = {"GOCACHE": ".cache/go-build", "GOPATH": "go", "npm_config_cache": ".npm"}

# Far more than one takes, with a compiler started by it.
RUN_SECONDS = 180


@dataclass
class Quickstart:
    name: str
    tools: list
    # Builds in a copy of the folder, and gives the command to run there.
    build: callable
    # What is printed for each order.
    prints: list

    @property
    def language(self):
        return self.name.split("/")[0]


def main():
    arguments = parse()
    steadfast = Path(arguments.steadfast).resolve()
    if not steadfast.is_file():
        sys.exit(f"{steadfast} is not there: build it, or name another with --steadfast")
    started = time.monotonic()
    for it in quickstarts():
        if arguments.language and it.language not in arguments.language:
            continue
        if skipped_for_lack_of(it.tools):
            continue
        folder = BUILT / it.name
        shutil.copytree(QUICKSTARTS / it.name / "order-processor", folder, dirs_exist_ok=True)
        command = it.build(folder)
        for store in arguments.store or ["sqlite"]:
            run(it, folder, command, store, steadfast)
        run_template(it, folder, steadfast)
    if not arguments.language:
        run_multi_app(steadfast)
    print(f"The quick starts work ({time.monotonic() - started:.0f} s).")


def quickstarts():
    python = ["Saving Order: {'orderId': '%d'}", "Getting Order: {'orderId': '%d'}", "Deleted Order: {'orderId': '%d'}"]
    javascript = [f"{it} Order:  {{ orderId: '%d' }}" for it in ("Saving", "Getting", "Deleted")]
    go = ['Saved Order: {"orderId":%d}', 'Retrieved Order: {"orderId":%d}', 'Deleted Order: {"orderId":%d}']
    text_in_json = 'Retrieved Order: "{\\"orderId\\":%d}"'
    java = ["Saving order: %d", 'Order saved: {"orderId":%d}', "Deleting order: %d", "Deletion Status code :204"]
    return [
        Quickstart("python/http", ["python3"], build_python, python),
        Quickstart("python/sdk", ["python3"], build_python, python),
        Quickstart("javascript/http", ["node", "npm"], build_javascript, javascript),
        Quickstart("javascript/sdk", ["node", "npm"], build_javascript, javascript),
        Quickstart("go/http", ["go"], build_go, [go[0], text_in_json, go[2]]),
        Quickstart("go/sdk", ["go"], build_go, go),
        Quickstart("java/http", ["javac"], lambda _: ["java", "OrderProcessor.java"], java),
        Quickstart(
            "java/sdk",
            ["javac", "mvn"],
            build_java,
            [f"{it} Order: %d" for it in ("Saving", "Getting", "Deleting")],
        ),
    ]


def build_python(folder):
    return [environment_of_python(folder / ".venv", folder / "requirements.txt"), "app.py"]


def build_javascript(folder):
    if (folder / "package-lock.json").exists():
        packages_of_node(folder)
    return ["npm", "run", "start"]


def build_go(folder):
    # Built before, so that `go run` finds it in its cache.
    build(["go", "build", "-o", os.devnull, "."], folder)
    return ["go", "run", "."]


def build_java(folder):
    build(["mvn", "--quiet", "--batch-mode", "process-classes"], folder)
    return ["java", "-cp", "target/classes:target/libraries/*", "OrderProcessor"]


def run(quickstart, folder, command, store, steadfast):
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="steadfast-quickstart-") as temporary:
        temporary = Path(temporary)
        with resources(store, temporary) as components:
            sidecar = [steadfast, "run", "--app-id", "order-processor", "--dapr-http-port", "0"]
            sidecar += ["--dapr-grpc-port", "0", "--resources-path", components]
            done = subprocess.run(
                [*sidecar, "--", *command],
                cwd=folder,
                env={**os.environ, "ORDERS": str(ORDERS), "PAUSE_SECONDS": "0.01"},
                timeout=RUN_SECONDS,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        said = said_by_the_application(done.stdout)
        expected = [it % number if "%d" in it else it for number in range(1, ORDERS + 1) for it in quickstart.prints]
        found = iter(said)
        # Each line after the one before, and others may be between.
        missing = [it for it in expected if not any(line.rstrip() == it for line in found)]
        if done.returncode != 0 or missing or "Exited App successfully" not in done.stdout:
            sys.exit(f"FAIL {quickstart.name} on {store}: exit code {done.returncode}, not printed: {missing}\n{done.stdout}")
        if store == "sqlite":
            with contextlib.closing(sqlite3.connect(temporary / "orders.db")) as database:
                (left,) = database.execute("SELECT COUNT(*) FROM state").fetchone()
            if left:
                sys.exit(f"FAIL {quickstart.name}: {left} orders are left")
    print(f"PASS {quickstart.name} on {store} ({time.monotonic() - start:.1f} s)", flush=True)


def run_template(quickstart, folder, steadfast):
    """The same by its dapr.yaml, which is ended with `stop` when the application has done its work."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="steadfast-quickstart-") as temporary:
        place = Path(temporary) / quickstart.name
        place.mkdir(parents=True)
        shutil.copy(QUICKSTARTS / quickstart.name / "dapr.yaml", place)
        (place / "order-processor").symlink_to(folder)
        with resources("sqlite", Path(temporary)):
            # A Python with the packages of the quick start, if it has been made for it.
            path = f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}"
            said = run_until(steadfast, place, ["Exited App successfully: order-processor"], {"PATH": path})
        expected = [it % ORDERS if "%d" in it else it for it in quickstart.prints]
        missing = [it for it in expected if not any(line.endswith(f"== {it}") for line in said)]
        if missing:
            sys.exit(f"FAIL {quickstart.name} by its dapr.yaml, not printed: {missing}\n" + "\n".join(said))
    print(f"PASS {quickstart.name} by its dapr.yaml ({time.monotonic() - start:.1f} s)", flush=True)


def run_multi_app(steadfast):
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="steadfast-multi-app-") as temporary:
        place = Path(temporary) / "multi-app"
        shutil.copytree(ROOT / "examples" / "multi-app", place, ignore=shutil.ignore_patterns(".dapr", "shop.db*"))
        until = ["Exited App successfully: orders", "Exited App successfully: packing"]
        said = run_until(steadfast, place, until, {})
        for expected in ["== APP - orders == Saved order 5", "== APP - packing == Packed order 5"]:
            if expected not in said:
                sys.exit(f"FAIL multi-app: not printed: {expected}\n" + "\n".join(said))
        with contextlib.closing(sqlite3.connect(place / "shop.db")) as database:
            keys = [key for (key,) in database.execute("SELECT key FROM state ORDER BY key")]
        if keys != [f"statestore||order-{number}" for number in range(1, 6)]:
            sys.exit(f"FAIL multi-app: the store has {keys}")
    print(f"PASS multi-app ({time.monotonic() - start:.1f} s)", flush=True)


def run_until(steadfast, folder, lines, variables):
    """Runs the dapr.yaml of a folder until all of these lines were printed; gives everything that was."""
    environment = {**os.environ, "PAUSE_SECONDS": "0.01", "ORDERS": str(ORDERS), **variables, "HOME": str(folder)}
    environment |= {it: os.environ.get(it, str(Path.home() / path)) for it, path in CACHES.items()}
    process = subprocess.Popen(
        [steadfast, "run", "-f", "."],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    # Ends the process, and so the loop below, if nothing else does.
    watch = threading.Timer(RUN_SECONDS, process.kill)
    watch.start()
    said, left = [], list(lines)
    try:
        for line in process.stdout:
            said.append(line.rstrip())
            if not left:
                continue
            left = [it for it in left if it not in line]
            if not left:
                subprocess.run([steadfast, "stop", "-f", "."], cwd=folder, env=environment, check=True, capture_output=True)
        code = process.wait(RUN_SECONDS)
    finally:
        watch.cancel()
        process.kill()
    if left or code != 0:
        sys.exit(f"FAIL: `run -f .` ended with {code}, not printed: {left}\n" + "\n".join(said))
    return said


@contextlib.contextmanager
def resources(store, folder):
    """The component files of the quick starts, for a store of this run's own."""
    components = folder / "resources"
    original = QUICKSTARTS / ("resources" if store == "sqlite" else "resources-redis") / "statestore.yaml"
    components.mkdir()
    text = original.read_text()
    if store == "sqlite":
        (components / "statestore.yaml").write_text(replaced("orders.db", str(folder / "orders.db"), text))
        yield components
        return
    with redis(folder) as port:
        (components / "statestore.yaml").write_text(replaced("localhost:6379", f"127.0.0.1:{port}", text))
        yield components


def replaced(old, new, text):
    if old not in text:
        sys.exit(f"FAIL: a component file of the quick starts does not have {old}")
    return text.replace(old, new)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steadfast", default=ROOT / "target" / "release" / "steadfast", metavar="PATH")
    languages = ["python", "javascript", "go", "java"]
    parser.add_argument("--language", action="append", choices=languages, help="only this one; may be repeated")
    parser.add_argument("--store", action="append", choices=["sqlite", "redis"], help="instead of sqlite; may be repeated")
    return parser.parse_args()


if __name__ == "__main__":
    main()
