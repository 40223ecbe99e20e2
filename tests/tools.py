"""What the tests of programs in several languages share."""

import contextlib
import random
import shutil
import socket
import subprocess
import sys
import time

# Far more than a build, which downloads, takes.
BUILD_SECONDS = 900

BUILD_TRIES = 3
BUILD_PAUSE_SECONDS = 5

START_SECONDS = 30

# Below those that clients get theirs from.
PORTS = range(10_000, 32_768)
reserved_ports = []


def skipped_for_lack_of(tools):
    """Whether one of these programs is not on this machine, which it says."""
    missing = [it for it in tools if not shutil.which(it)]
    if missing:
        print(f"skipped: no {missing[0]}", flush=True)
    return bool(missing)


def build(command, folder):
    """Runs a command of a build to its end, and shows what it says if it fails. It downloads, so it has several tries."""
    for left in reversed(range(BUILD_TRIES)):
        done = subprocess.run(
            command, cwd=folder, timeout=BUILD_SECONDS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if done.returncode == 0:
            return
        said = f"{command} ended with {done.returncode}\n{done.stdout.decode(errors='replace')}"
        if not left:
            sys.exit(f"FAIL: {said}")
        print(f"{said}\nit is tried again", flush=True)
        time.sleep(BUILD_PAUSE_SECONDS)


def environment_of_python(folder, requirements):
    """An environment in this folder that has what the file asks for; returns its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        build([sys.executable, "-m", "venv", folder], folder.parent)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements]
    build(install, folder.parent)
    return python


def packages_of_node(folder):
    """Installs what the lock file in this folder says, unless it is what was installed there last."""
    lock, installed = folder / "package-lock.json", folder / "node_modules" / "installed-lock.json"
    if installed.is_file() and installed.read_bytes() == lock.read_bytes():
        return
    build(["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"], folder)
    shutil.copy(lock, installed)


def said_by_the_application(output):
    """The lines of an application under `steadfast run`."""
    return [it.split("== ", 2)[-1] for it in output.splitlines() if it.startswith("== APP")]


def free_port():
    """A port on which nobody listens. No two calls give the same one, also of other programs that look in this way: each
    reserves the UDP port of the same number, until it ends."""
    while True:
        port = random.choice(PORTS)
        reserved = socket.socket(type=socket.SOCK_DGRAM)
        try:
            reserved.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            reserved.close()
            continue
        reserved_ports.append(reserved)
        return port


@contextlib.contextmanager
def redis(folder):
    """A server with this folder for its files; gives its port."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if time.monotonic() > deadline or server.poll() is not None:
                sys.exit("FAIL: redis-server does not answer")
            time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait()
