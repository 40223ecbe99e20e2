"""Runs the examples end to end, as a user would.

    python3 tests/examples.py --steadfast target/release/steadfast

Prints a line for each thing that was checked. Exits with 1 at the first that is not as it should.
Needs `requests`, as examples/guide does.
"""

import argparse
import contextlib
import io
import itertools
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from tools import free_port

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"

# Far more than any one command takes.
PATIENCE_SECONDS = 60

sys.dont_write_bytecode = True
sys.path.insert(0, str(EXAMPLES / "replicas"))
import replica as counter  # noqa: E402


def main():
    started = time.monotonic()
    check_requests()
    with tempfile.TemporaryDirectory(prefix="steadfast-examples-") as folder:
        tests = Tests(Path(folder), find_steadfast())
        for test in (
            tests.each_command_of_the_guide_works,
            tests.the_guide_moves_to_another_port,
            tests.the_guide_says_what_is_missing,
            tests.each_command_of_the_guide_works_on_redis,
            tests.replicas_count_exactly_on_redis,
            tests.the_guide_and_the_replicas_work_on_postgresql,
            tests.the_guide_and_the_replicas_work_on_mysql,
            tests.the_guide_and_the_replicas_work_on_etcd,
            tests.replicas_count_exactly,
            tests.replicas_count_exactly_though_one_is_killed,
            tests.a_replica_outlives_its_sidecar_and_counts_exactly,
            tests.lost_requests_and_lost_answers_count_once,
            tests.the_proof_fails_without_etags,
            tests.ctrl_c_on_a_terminal_leaves_nothing_behind,
            tests.an_ended_demo_leaves_nothing_behind,
            tests.a_killed_demo_leaves_no_process_behind,
        ):
            name = test.__name__.replace("_", " ")
            print(f"---- {name}", flush=True)
            start = time.monotonic()
            try:
                test()
            except (Failure, SystemExit) as e:
                sys.exit(f"FAIL {name}: {e}")
            except subprocess.TimeoutExpired as e:
                sys.exit(f"FAIL {name}: no end after {e.timeout} s: {e.cmd}\n{e.output}")
            print(f"PASS {name} ({time.monotonic() - start:.1f} s)", flush=True)
    print(f"The examples work ({time.monotonic() - started:.0f} s).")


class Tests:
    def __init__(self, folder, steadfast):
        # Commands find `steadfast`, whatever the binary is called, and the Python that has
        # `requests`. They run copies of the examples, and what they write goes to this folder, so
        # that all processes and files of theirs can be told from others.
        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.steadfast = folder / "bin" / "steadfast"
        self.steadfast.parent.mkdir()
        self.steadfast.symlink_to(steadfast)
        path = [str(self.steadfast.parent), str(Path(sys.executable).parent), os.environ["PATH"]]
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join(path),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(self.temporary),
        }
        self.environment.pop("DAPR_HTTP_PORT", None)
        ignored = shutil.ignore_patterns("*.db*", ".venv", "__pycache__")
        self.guide = shutil.copytree(EXAMPLES / "guide", folder / "guide", ignore=ignored)
        self.replicas = shutil.copytree(EXAMPLES / "replicas", folder / "replicas", ignore=ignored)

    # The guide

    def each_command_of_the_guide_works(self):
        commands = re.findall(r"^steadfast .*$", (self.guide / "README.md").read_text(), re.M)
        expected = {
            "save_state.py": r"save: 200 \[\{\"key\":\"key1\",\"etag\":\"[^\"]+\"\}\]",
            "get_state.py": r"get: 200 \"Some Data\"",
            "delete_state.py": r"delete: 204",
            "first_write_wins.py": r"old ETag: 409 (.|\n)*new ETag: 204",
            "retry_on_mismatch.py": r"save: 200 ",
            "run_all.py": r"All five listings do what the guide says\.",
        }
        for command in commands:
            if "components-redis" in command:
                continue  # Needs a server: see below.
            printed = self.run(command, cwd=self.guide)
            listing = command.split()[-1]
            check(re.search(expected[listing], printed), f"{command}: {expected[listing]}", printed)
            print(f"ok   {command}", flush=True)
        missing = expected.keys() - {it.split()[-1] for it in commands}
        check(not missing, f"README.md has commands for all listings, not {missing}")

    def the_guide_moves_to_another_port(self):
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind(("127.0.0.1", 3500))
                taken.listen()
            except OSError:
                pass  # Somebody else has it: just as well.
            printed = self.run("steadfast run -- python3 run_all.py", cwd=self.guide)
        check("HTTP Port: 3500." not in printed, "another port was taken", printed)

    def the_guide_says_what_is_missing(self):
        environment = {"DAPR_HTTP_PORT": str(free_port())}
        printed = self.run("python3 run_all.py", code=1, cwd=self.guide, **environment)
        check("steadfast run --app-id guide" in printed, "it names the command", printed)
        command = "steadfast run --app-id new -- python3 get_state.py"
        printed = self.run(command, code=1, cwd=self.guide)
        check("run save_state.py first" in printed, "it names the listing", printed)

    def each_command_of_the_guide_works_on_redis(self):
        commands = re.findall(r"^steadfast .*$", (self.guide / "README.md").read_text(), re.M)
        check(any("components-redis" in it for it in commands), "README.md names the folder")
        with self.redis():
            for command in commands:
                if "--resources-path" not in command:
                    command = command.replace("run ", "run --resources-path components-redis ")
                printed = self.run(command, cwd=self.guide)
                if command.endswith("run_all.py"):
                    check("All five listings do what the guide says." in printed, command, printed)
                print(f"ok   {command}", flush=True)

    def replicas_count_exactly_on_redis(self):
        store = f"--resources-path {self.guide}/components-redis --store redis-store"
        with self.redis():
            printed = self.demo(f"{store} --increments 60 --kill", show=True)
        check("was started again" in printed, "a replica was killed and started again", printed)
        check_proof(printed, "4 replicas x 8 threads x 60 = 1920; the counter says 1920")

    def the_guide_and_the_replicas_work_on_postgresql(self):
        with postgresql() as url:
            for version in ("v1", "v2"):
                settings = {"connectionString": url, "metadataTableName": f"{version}_metadata"}
                settings |= {"tableName": "v1_state", "tablePrefix": "v2_"}
                self.the_guide_and_the_replicas_work_on("state.postgresql", version, settings)

    def the_guide_and_the_replicas_work_on_mysql(self):
        with mariadb() as address:
            settings = {"connectionString": f"root@tcp({address})/"}
            self.the_guide_and_the_replicas_work_on("state.mysql", "v1", settings)

    def the_guide_and_the_replicas_work_on_etcd(self):
        with etcd(members=3) as endpoints:
            for version in ("v1", "v2"):
                settings = {"endpoints": endpoints, "keyPrefixPath": version}
                self.the_guide_and_the_replicas_work_on("state.etcd", version, settings)

    def the_guide_and_the_replicas_work_on(self, kind, version, settings):
        """On a store that only the component file knows: nothing else is changed."""
        folder = self.guide / f"components-{kind}-{version}"
        folder.mkdir()
        metadata = [{"name": name, "value": value} for name, value in settings.items()]
        component = {
            "apiVersion": "dapr.io/v1alpha1",
            "kind": "Component",
            "metadata": {"name": "redis-store"},
            "spec": {"type": kind, "version": version, "metadata": metadata},
        }
        # JSON is YAML.
        (folder / "redis-store.yaml").write_text(json.dumps(component))
        listings = f"steadfast run --app-id guide --resources-path {folder.name} -- python3 run_all.py"
        printed = self.run(listings, cwd=self.guide)
        check("All five listings do what the guide says." in printed, listings, printed)
        print(f"ok   the guide on {kind} {version}", flush=True)
        store = f"--resources-path {folder} --store redis-store"
        printed = self.demo(f"{store} --increments 40 --kill", show=True)
        check_proof(printed, "4 replicas x 8 threads x 40 = 1280; the counter says 1280")

    @contextlib.contextmanager
    def redis(self):
        """A server of our own, of which the component files of the copy are told."""
        file = self.guide / "components-redis" / "redis-store.yaml"
        original, port = file.read_text(), free_port()
        check("localhost:6379" in original, "the file names the usual port", original)
        folder = tempfile.mkdtemp(dir=self.folder)
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1"]
        command += ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        try:
            file.write_text(original.replace("localhost:6379", f"127.0.0.1:{port}"))
            wait_for(port)
            yield
        finally:
            file.write_text(original)
            server.kill()
            server.wait()

    # The replicas

    def replicas_count_exactly(self):
        printed = self.demo("--increments 60", show=True)
        check_proof(printed, "4 replicas x 8 threads x 60 = 1920; the counter says 1920")

    def replicas_count_exactly_though_one_is_killed(self):
        printed = self.demo("--increments 60 --kill", show=True)
        check("kill -9 of replica" in printed, "a replica was killed", printed)
        check("was started again" in printed, "it was started again", printed)
        check_proof(printed, "4 replicas x 8 threads x 60 = 1920; the counter says 1920")

    def a_replica_outlives_its_sidecar_and_counts_exactly(self):
        """Kills nothing but the sidecar, five times, and starts it again at the same port."""
        port, kills, killed, line = free_port(), 5, 0, ""
        sidecar = self.start_sidecar(port)
        replica = subprocess.Popen(
            [sys.executable, str(self.replicas / "replica.py"), "--increments", "60"],
            env={**self.environment, "DAPR_HTTP_PORT": str(port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            for line in replica.stdout:
                _, _, report = line.partition(counter.REPORT)
                made = sum(json.loads(report)["made"].values()) if report else 0
                if killed < kills and made > (killed + 1) * 480 // (kills + 2):
                    sidecar.kill()
                    sidecar.wait()
                    sidecar = self.start_sidecar(port)
                    killed += 1
                    print(f"ok   sidecar killed at {made} of 480, and started again", flush=True)
            check(replica.wait() == 0, "the replica got to its end", line)
            check(killed == kills, f"the sidecar was killed {kills} times, not {killed}")
            check_total(port, 480)
        finally:
            for process in (replica, sidecar):
                process.kill()
                process.wait()

    def lost_requests_and_lost_answers_count_once(self):
        """Loses every fifth save on its way to the store, and the answer of every seventh."""
        request, numbers = counter.Sidecar.request, itertools.count(1)

        def request_on_a_bad_line(sidecar, method, *rest):
            number = next(numbers) if method == "POST" else 1
            if number % 5 == 0:
                raise ConnectionResetError("the request was lost")
            answer = request(sidecar, method, *rest)
            if number % 7 == 0:
                raise ConnectionResetError("the answer was lost")
            return answer

        port = free_port()
        sidecar = self.start_sidecar(port)
        counter.Sidecar.request = request_on_a_bad_line
        try:
            arguments = ["--threads", "4", "--increments", "50", "--key", "unreliable"]
            # `main` ends by itself only where all threads have found what they expected.
            with told_of(port, arguments), contextlib.redirect_stdout(io.StringIO()) as printed:
                counter.main()
            counter.Sidecar.request = request
            unknown = json.loads(printed.getvalue().split(counter.REPORT)[-1])["unknown"]
            print(f"ok   {unknown} saves had an unknown outcome", flush=True)
            check(unknown > 50, "many saves had an unknown outcome")
            check_total(port, 200, "unreliable")
        finally:
            counter.Sidecar.request = request
            sidecar.kill()
            sidecar.wait()

    def the_proof_fails_without_etags(self):
        printed = self.demo("--increments 20 --last-write", code=1)
        check(re.search(r"NOT EXACT: \d+ increments are lost", printed), "it says so", printed)

    def ctrl_c_on_a_terminal_leaves_nothing_behind(self):
        demo, terminal = pty.fork()
        if demo == 0:
            # Whoever runs the tests in the background has them ignore it.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.execve(sys.executable, self.endless_demo(), self.environment)
        printed = b""
        deadline = time.monotonic() + PATIENCE_SECONDS
        pressed = False
        while time.monotonic() < deadline:
            try:
                printed += os.read(terminal, 4096)
            except OSError:
                break  # The other end was closed.
            if not pressed and b"conflicts retried" in printed:
                self.check_processes(at_least=9)
                os.write(terminal, b"\x03")
                pressed = True
        os.close(terminal)
        _, status = os.waitpid(demo, 0)
        printed = printed.decode(errors="replace")
        code = os.waitstatus_to_exitcode(status)
        check("\r\x1b[K" in printed, "the line was updated in place", printed)
        check("interrupted: ending the replicas" in printed, "it says what it does", printed)
        check(code == 130, f"the exit code is that of Ctrl-C, not {code}", printed)
        check("Traceback" not in printed, "there is no traceback", printed)
        self.check_nothing_left()

    def an_ended_demo_leaves_nothing_behind(self):
        demo = self.start_endless_demo()
        demo.terminate()
        check(demo.wait(PATIENCE_SECONDS) == 143, f"the exit code is 143, not {demo.returncode}")
        self.check_nothing_left()

    def a_killed_demo_leaves_no_process_behind(self):
        demo = self.start_endless_demo()
        demo.kill()
        demo.wait()
        self.check_processes(at_most=0)

    def endless_demo(self):
        return [sys.executable, str(self.replicas / "demo.py"), "--increments", "1000000"]

    def start_endless_demo(self):
        demo = subprocess.Popen(
            self.endless_demo(), env=self.environment, stdout=subprocess.PIPE, text=True
        )
        for line in demo.stdout:
            if "conflicts retried" in line:
                break
        self.check_processes(at_least=9)
        return demo

    def check_nothing_left(self):
        self.check_processes(at_most=0)
        left = [it.name for it in self.temporary.iterdir()]
        check(not left, f"temporary folders are left behind: {left}")

    def check_processes(self, at_least=0, at_most=1000):
        """Counts the processes whose command lines name our folder, as all do that we start."""
        deadline = time.monotonic() + 10
        while True:
            lines = subprocess.check_output(["ps", "-axww", "-o", "stat=,command="], text=True)
            lines = [it for it in lines.splitlines() if not it.startswith("Z")]
            ours = [it for it in lines if str(self.folder) in it]
            if at_least <= len(ours) <= at_most:
                return
            if time.monotonic() > deadline:
                fact = f"there are {at_least} to {at_most} processes, not {len(ours)}"
                raise Failure("\n".join([fact, *ours]))
            time.sleep(0.1)

    # How commands are run

    def demo(self, arguments, code=0, show=False):
        command = f"python3 {self.replicas}/demo.py {arguments}"
        printed = self.run(command, code, cwd=self.folder, show=show)
        self.check_nothing_left()
        return printed

    def run(self, command, code=0, cwd=None, show=False, **environment):
        """Runs a line of a README, and returns what it has printed."""
        done = subprocess.run(
            command,
            shell=True,
            cwd=cwd,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        if show:
            print(done.stdout, end="", flush=True)
        fact = f"{command}: the exit code is {code}, not {done.returncode}"
        check(done.returncode == code, fact, done.stdout)
        check("Traceback" not in done.stdout, f"{command}: no traceback", done.stdout)
        return done.stdout

    def start_sidecar(self, port):
        command = [str(self.steadfast), "run", "--app-id", "counter", "-H", str(port)]
        command += ["--state-store", f"sqlite://{self.folder}/counter.db"]
        sidecar = subprocess.Popen(
            command, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        return sidecar


@contextlib.contextmanager
def postgresql():
    """A server of our own, of which the URL is returned. It is not run by root, which it refuses."""
    folder = Path(tempfile.mkdtemp(prefix="steadfast-postgresql-"))
    someone = []
    if os.getuid() == 0:
        someone = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
        os.chown(folder, 65534, 65534)
    port = free_port()
    data, where = str(folder / "data"), newest_postgresql()
    initdb = [where + "initdb", "-D", data, "-U", "postgres", "--no-sync", "--encoding=UTF8"]
    subprocess.run(someone + initdb, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    options = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
    command = someone + [where + "postgres", "-D", data, "-p", str(port)] + options
    log = open(folder / "log", "w")
    server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        # It listens before it lets anybody in.
        ready = [where + "pg_isready", "--quiet", "-h", "127.0.0.1", "-p", str(port)]
        wait_until(lambda: subprocess.run(ready).returncode == 0, f"no PostgreSQL on port {port}")
        yield f"postgres://postgres@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait()
        log.close()
        shutil.rmtree(folder)


@contextlib.contextmanager
def mariadb():
    """A server of our own, of which the address is returned."""
    folder = Path(tempfile.mkdtemp(prefix="steadfast-mariadb-"))
    port, data = free_port(), f"--datadir={folder}/data"
    common = ["--no-defaults", data] + (["--user=root"] if os.getuid() == 0 else [])
    install = ["mariadb-install-db", *common, "--auth-root-authentication-method=normal"]
    subprocess.run(install, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    command = ["mariadbd", *common, f"--port={port}", "--bind-address=127.0.0.1"]
    command += [f"--socket={folder}/socket", "--skip-name-resolve", f"--pid-file={folder}/pid"]
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        wait_for(port)
        yield f"127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder)


@contextlib.contextmanager
def etcd(members):
    """A cluster of our own, of which the endpoints are returned."""
    folder = Path(tempfile.mkdtemp(prefix="steadfast-etcd-"))
    clients = [f"http://127.0.0.1:{free_port()}" for _ in range(members)]
    peers = [f"http://127.0.0.1:{free_port()}" for _ in range(members)]
    everybody = ",".join(f"n{i}={peer}" for i, peer in enumerate(peers))
    servers = []
    try:
        for i, (client, peer) in enumerate(zip(clients, peers)):
            command = ["etcd", "--name", f"n{i}", "--data-dir", str(folder / f"n{i}")]
            command += ["--listen-client-urls", client, "--advertise-client-urls", client]
            command += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
            command += ["--initial-cluster", everybody, "--logger", "zap"]
            with open(folder / f"log-{i}", "w") as log:
                servers.append(subprocess.Popen(command, cwd=folder, stdout=log, stderr=log))
        for client in clients:
            # It listens before it knows a leader.
            wait_until(lambda: is_healthy(client), f"no healthy etcd at {client}")
        yield ",".join(it.removeprefix("http://") for it in clients)
    finally:
        for server in servers:
            server.kill()
            server.wait()
        shutil.rmtree(folder)


def is_healthy(endpoint):
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{endpoint}/health") as answer:
        return json.load(answer)["health"] == "true"
    return False


def newest_postgresql():
    """The folder of the programs, with a slash at the end; nothing if they are in the PATH."""
    folders = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    folders = sorted(folders, key=lambda it: int(it.parent.parent.name))
    return f"{folders[-1].parent}/" if folders else ""


class Failure(Exception):
    """What should have been, and what was printed instead."""


def check(holds, fact, printed=""):
    if not holds:
        raise Failure(f"{fact}\n{printed}")


def check_proof(printed, line):
    check(line in printed.splitlines(), f"the proof must be: {line}", printed)


@contextlib.contextmanager
def told_of(port, arguments=()):
    """Makes this process look as if a sidecar on this port had started it with these arguments."""
    os.environ["DAPR_HTTP_PORT"] = str(port)
    sys.argv, argv = ["replica.py", *arguments], sys.argv
    try:
        yield
    finally:
        del os.environ["DAPR_HTTP_PORT"]
        sys.argv = argv


def check_total(port, expected, key="counter"):
    with told_of(port):
        value, _ = counter.Sidecar("statestore", key).read()
    check(value["total"] == expected, f"the counter says {expected}, not {value['total']}")
    print(f"ok   the counter says {expected}", flush=True)


def wait_for(port):
    def listens():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return True
        return False

    wait_until(listens, f"nothing listens on port {port}")


def wait_until(holds, failure):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            raise Failure(failure)
        time.sleep(0.02)


def check_requests():
    try:
        import requests  # noqa: F401
    except ImportError:
        sys.exit("FAIL requests is not installed: pip install -r examples/guide/requirements.txt")


def find_steadfast():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steadfast", metavar="PATH", help="default: from PATH, or as built here")
    path = parser.parse_args().steadfast
    built = [str(ROOT / "target" / it / "steadfast") for it in ("release", "debug")]
    for it in [path] if path else ["steadfast", *built]:
        found = shutil.which(it)
        if found:
            return os.path.abspath(found)
    sys.exit(f"FAIL there is no program {path or 'steadfast'}: name it with --steadfast")


if __name__ == "__main__":
    main()
