"""Runs the guide's five listings in order, and checks what each of them has done.

    steadfast run --app-id guide -- python3 run_all.py

The listings that need key1 to be there come after a save_state.py of their own.
"""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import requests

HERE = Path(__file__).resolve().parent
PORT = os.environ.get("DAPR_HTTP_PORT", "3500")
STORE = f"http://localhost:{PORT}/v1.0/state/redis-store"


def main():
    check_sidecar()
    save()

    printed = run("2", "get_state.py").splitlines()
    etag = requests.get(f"{STORE}/key1").headers["ETag"]
    check(printed[0] == etag, f"it printed the ETag of key1, {etag}")

    run("3", "delete_state.py")
    check(value() is None, "key1 is gone")

    save()
    printed = run("4", "first_write_wins.py").splitlines()
    outcomes = [line.split(": ")[1][:3] for line in printed]
    check(outcomes[0] == "200", "the save with the ETag was accepted")
    check(outcomes[1] == "409", "the delete with the old ETag was refused")
    check(outcomes[2] == "204", "the delete with the new ETag was accepted")
    check(value() is None, "key1 is gone")

    save()
    heading("5", "retry_on_mismatch.py, while somebody else writes")
    reads = run_with_a_rival("retry_on_mismatch.py")
    check(reads == 2, "the first save met a mismatch, so it read again and saved again")
    check(value() == "New Data", 'key1 holds "New Data"')

    print("\nAll five listings do what the guide says.")


def save():
    run("1", "save_state.py")
    check(value() == "Some Data", 'key1 holds "Some Data"')


def run(number, listing):
    """Runs a listing as a user would, and returns what it printed."""
    heading(number, listing)
    command = [sys.executable, str(HERE / listing)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=30)
    print(done.stdout, end="")
    check(done.returncode == 0, "it ran to its end")
    return done.stdout


def run_with_a_rival(listing):
    """Runs a listing in which, right after its first read, somebody else changes what it read.

    Returns how often it read.
    """
    get, reads = requests.get, 0

    def get_and_meddle(*args, **kwargs):
        nonlocal reads
        reads += 1
        response = get(*args, **kwargs)
        if reads == 1:
            requests.post(STORE, json=[{"key": "key1", "value": "Somebody else's data"}])
            print("(somebody else writes key1)")
        return response

    requests.get = get_and_meddle
    try:
        runpy.run_path(str(HERE / listing))
    finally:
        requests.get = get
    return reads


def value():
    """What key1 holds; None if it is not there."""
    response = requests.get(f"{STORE}/key1", headers={"consistency": "strong"})
    check(response.status_code in (200, 204), "key1 can be read", response.text, quiet=True)
    return response.json() if response.status_code == 200 else None


def check_sidecar():
    try:
        response = requests.get(f"{STORE}/key1", timeout=5)
    except requests.exceptions.ConnectionError:
        sys.exit(
            f"There is no sidecar on port {PORT}. Run the listings beside one:\n"
            "  steadfast run --app-id guide -- python3 run_all.py"
        )
    if not response.ok:
        sys.exit(f"The store redis-store cannot be used: {response.status_code} {response.text}")


def heading(number, text):
    print(f"\n{number}. {text}")


def check(holds, fact, detail="", quiet=False):
    if not holds:
        sys.exit(f"FAILED: not true: {fact}\n{detail}")
    if not quiet:
        print(f"   ok: {fact}")


if __name__ == "__main__":
    main()
