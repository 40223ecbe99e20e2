"""Shows that MariaDB loses rows by itself while its disk is full; nothing of Steadfast takes part.

    pip install pymysql==1.1.2 && sudo python3 tests/mariadb_full_disk.py [--seconds 15] [mariadbd options...]

A few clients, each with rows of its own, change them in transactions at READ COMMITTED, and look at them before each. The disk,
a small one in memory, is filled and freed again and again. When a statement fails with error 1114, "the table is full", and the
client has rolled back, its rows have to be what was committed before. Prints how many are not, and exits with 1 if there are
any. Not a test of ours, and in no test run: it says something of a server.
"""

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pymysql

CLIENTS = 6
ROWS_EACH = 3
DISK_BYTES = 400 << 20
START_SECONDS = 30
LARGE = "x" * 3000

TABLE = """CREATE TABLE test.state (id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, value LONGTEXT NOT NULL,
    version INT NOT NULL, row_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT, UNIQUE INDEX (row_id)) ENGINE = InnoDB"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=15)
    arguments, options = parser.parse_known_args()
    if os.geteuid() != 0:
        sys.exit("to mount a small disk takes root")
    with tempfile.TemporaryDirectory(prefix="mariadb-full-disk-") as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "tmpfs", folder], check=True)
        try:
            lost = Trial(Path(folder), options).run(arguments.seconds)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)
    sys.exit(1 if lost else 0)


class Trial:
    def __init__(self, folder, options):
        self.folder = folder
        self.data = folder / "data"
        self.options = options
        self.stopping = threading.Event()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        install = ["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={self.data}", "--skip-test-db"]
        install += ["--auth-root-authentication-method=normal", "--innodb-log-file-size=8M"]
        subprocess.run(install, check=True, **quiet)
        self.server = self.start()
        with contextlib.closing(self.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute("CREATE DATABASE test")
            cursor.execute(TABLE)
            cursor.execute("SELECT VERSION()")
            (self.version,) = cursor.fetchone()

    def start(self):
        command = ["mariadbd", "--no-defaults", "--user=root", f"--datadir={self.data}", "--skip-networking"]
        command += [f"--socket={self.folder}/socket", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=8M"]
        command += ["--innodb-flush-log-at-trx-commit=1", *self.options]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(pymysql.err.MySQLError):
                self.connect().close()
                return server
            time.sleep(0.05)
        sys.exit("mariadbd does not start")

    def connect(self):
        socket = f"{self.folder}/socket"
        return pymysql.connect(unix_socket=socket, user="root", autocommit=True, connect_timeout=2, read_timeout=20)

    def run(self, seconds):
        clients = [Client(self, number) for number in range(CLIENTS)]
        for it in clients:
            it.start()
        deadline = time.monotonic() + seconds
        fills = 0
        while time.monotonic() < deadline:
            time.sleep(random.uniform(0.3, 1.0))
            ballast = self.folder / "ballast"
            with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
                while file.write(bytes(1 << 16)):
                    pass
            fills += 1
            time.sleep(random.uniform(0.3, 1.2))
            ballast.unlink()
            if self.server.poll() is not None:
                self.server = self.start()
        self.stopping.set()
        for it in clients:
            it.join()
        self.server.terminate()
        self.server.wait()
        refused = sum(it.refused for it in clients)
        lost = [row for it in clients for row in it.lost]
        print(f"MariaDB {self.version}: disk filled {fills} times, {refused} transactions refused with error 1114,")
        print(f"{len(lost)} rows are not what was committed last; the first: {lost[:3]}")
        return lost


class Client(threading.Thread):
    """Changes its own rows, and knows what they have to be."""

    def __init__(self, trial, number):
        super().__init__(daemon=True)
        self.trial = trial
        self.ids = [f"{number}-{row}" for row in range(ROWS_EACH)]
        self.random = random.Random(number)
        self.newest = 0
        self.refused = 0
        self.lost = []

    def run(self):
        while not self.trial.stopping.is_set():
            # After a lost connection nobody knows what was committed, so it begins anew.
            with contextlib.suppress(pymysql.err.MySQLError, OSError), contextlib.closing(self.trial.connect()) as it:
                self.work(it.cursor())
            time.sleep(0.05)

    def work(self, cursor):
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        expected = self.look(cursor)
        while not self.trial.stopping.is_set():
            found = self.look(cursor)
            for row in self.ids:
                if found[row] != expected[row]:
                    self.lost.append(f"row {row} had version {expected[row]} and has {found[row]}")
            expected = found
            changes = {row: self.change() for row in self.random.sample(self.ids, self.random.randint(1, ROWS_EACH))}
            try:
                self.apply(cursor, changes)
            except pymysql.err.MySQLError as e:
                if e.args[0] != 1114:
                    raise
                self.refused += 1
                cursor.execute("ROLLBACK")
                continue
            cursor.execute("COMMIT")
            expected = {**expected, **changes}

    def change(self):
        """A new version, or `None` for a deletion."""
        self.newest += 1
        return None if self.random.random() < 0.35 else self.newest

    def apply(self, cursor, changes):
        cursor.execute("START TRANSACTION")
        for row, version in sorted(changes.items()):
            value = LARGE if self.random.random() < 0.5 else "small"
            cursor.execute(
                "INSERT INTO test.state (id, value, version) VALUES (%s, %s, %s)"
                " ON DUPLICATE KEY UPDATE value = VALUES(value), version = VALUES(version)",
                [row, value, version or 0],
            )
        for row, version in changes.items():
            if version is None:
                cursor.execute("DELETE FROM test.state WHERE id = %s", [row])

    def look(self, cursor):
        cursor.execute("SELECT id, version FROM test.state WHERE id IN (%s, %s, %s)", self.ids)
        return {**dict.fromkeys(self.ids), **dict(cursor.fetchall())}


if __name__ == "__main__":
    main()
