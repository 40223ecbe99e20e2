#!/usr/bin/env python3
"""Web pages in a real browser against a sidecar on the same machine: they must neither see nor change anything.

    tests/browser.py [--steadfast PATH]

A page of another origin tries what pages can do: forms, images, scripts, blind requests, requests with a token, streams, and
DNS rebinding. Afterwards nothing may have changed in the store, and the sidecar must still run. A page whose origin is in
`--allowed-origins` may do everything. Needs Chromium, and nothing else; skipped if there is none.
"""

import argparse
import contextlib
import html
import http.server
import json
import os
import re
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from tools import free_port

ROOT = pathlib.Path(__file__).resolve().parent.parent
BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
TOKEN = "canary-5c1e"
STORE = "/v1.0/state/statestore"

# More than a page takes; a busy machine is slow to start a browser.
PAGE_SECONDS = 180
START_SECONDS = 30

# Everything a page can make a browser do without asking anybody, and what it may try besides. `done` gets what the page saw.
ATTACK = """
<!doctype html><title>attack</title><body><script>
const target = %(target)s, wrong = [], seen = [];
const save = JSON.stringify([{key: "stolen", value: "by a page"}]);
const tries = {
  "blind save": () => fetch(target + "/v1.0/state/statestore", {method: "POST", mode: "no-cors", body: save}),
  "blind save as a form would": () => fetch(target + "/v1.0/state/statestore", {method: "POST", mode: "no-cors",
      headers: {"content-type": "application/x-www-form-urlencoded"}, body: save}),
  "blind save of a blob": () => fetch(target + "/v1.0/state/statestore", {method: "POST", mode: "no-cors", body: new Blob([save])}),
  "save": () => fetch(target + "/v1.0/state/statestore", {method: "POST", body: save}),
  "save that has to be asked for": () => fetch(target + "/v1.0/state/statestore", {method: "POST", body: save,
      headers: {"content-type": "application/json", "dapr-api-token": "%(token)s"}}),
  "put": () => fetch(target + "/v1.0/state/statestore", {method: "PUT", body: save}),
  "delete": () => fetch(target + "/v1.0/state/statestore/kept", {method: "DELETE"}),
  "read": () => fetch(target + "/v1.0/state/statestore/kept"),
  "read with credentials": () => fetch(target + "/v1.0/state/statestore/kept", {credentials: "include"}),
  "blind read": () => fetch(target + "/v1.0/state/statestore/kept", {mode: "no-cors"}),
  "metadata": () => fetch(target + "/v1.0/metadata"),
  "blind shutdown": () => fetch(target + "/v1.0/shutdown", {method: "POST", mode: "no-cors"}),
  "shutdown": () => fetch(target + "/v1.0/shutdown", {method: "POST"}),
  "beacon": async () => { navigator.sendBeacon(target + "/v1.0/state/statestore", save);
                          navigator.sendBeacon(target + "/v1.0/shutdown"); throw "no answer to see"; },
  "image": () => new Promise((yes, no) => { const it = new Image(); it.onload = () => yes({type: "image"}); it.onerror = no;
                                            it.src = target + "/v1.0/state/statestore/kept"; }),
  "script": () => new Promise((yes, no) => { const it = document.createElement("script"); it.onload = () => yes({type: "script"});
                                             it.onerror = no; it.src = target + "/v1.0/metadata"; document.body.append(it); }),
  "form": () => form("POST", "/v1.0/shutdown", ""),
  "form that is JSON": () => form("POST", "/v1.0/state/statestore", '[{"key":"stolen","value":"', 'by a form"}]'),
  "event stream": () => new Promise((yes, no) => { const it = new EventSource(target + "/v1.0/metadata");
                                                   it.onopen = () => yes({type: "stream"}); it.onerror = () => { it.close(); no(); }; }),
  "web socket": () => new Promise((yes, no) => { const it = new WebSocket(target.replace("http", "ws") + "/v1.0/state/statestore/kept");
                                                 it.onopen = () => yes({type: "socket"}); it.onerror = no; }),
};
function form(method, path, name, value) {
  return new Promise((yes, no) => {
    const frame = document.createElement("iframe"); frame.name = "f" + Math.random(); document.body.append(frame);
    const it = document.createElement("form"); it.method = method; it.action = target + path; it.target = frame.name;
    it.enctype = "text/plain";
    if (name) { const field = document.createElement("input"); field.name = name; field.value = value; it.append(field); }
    document.body.append(it);
    frame.onload = () => { try { if (frame.contentDocument && frame.contentDocument.URL !== "about:blank") yes({type: "frame"}); }
                           catch (e) { } no(); };
    it.submit();
  });
}
(async () => {
  for (const [name, attempt] of Object.entries(tries)) {
    try {
      const it = await Promise.race([attempt(), new Promise((_, no) => setTimeout(no, 5000))]);
      // An opaque answer shows nothing; whether it did something is looked at elsewhere.
      if (it.type !== "opaque") seen.push(name + ": " + (it.text ? it.status + " " + await it.text() : it.type));
    } catch (e) { }
  }
  await fetch("/done", {method: "POST", body: JSON.stringify({tries: Object.keys(tries).length, seen})});
})();
</script>
"""

# The same name as the sidecar's, as the browser sees it: nothing here is another origin's. Its own port is the sidecar's,
# so the page has to come from there; a frame of the name does as well, for it is what a rebound page becomes.
REBOUND = """
<!doctype html><title>rebound</title><body><script>
const target = "http://evil.test:%(port)s";
(async () => {
  const seen = [];
  for (const [path, options] of [["%(store)s", {method: "POST", mode: "no-cors", body: '[{"key":"stolen","value":1}]'}],
                                 ["/v1.0/shutdown", {method: "POST", mode: "no-cors"}], ["%(store)s/kept", {}]]) {
    try {
      const it = await fetch(target + path, options);
      if (it.type !== "opaque") seen.push(path + ": " + it.status);
    } catch (e) { }
  }
  await fetch("/done", {method: "POST", body: JSON.stringify({tries: 3, seen})});
})();
</script>
"""

ALLOWED = """
<!doctype html><title>allowed</title><body><script>
const target = %(target)s, told = {};
const headers = {"dapr-api-token": "%(token)s", "content-type": "application/json"};
(async () => {
  try {
    const url = target + "/v1.0/state/statestore";
    const save = await fetch(url, {method: "POST", headers, body: '[{"key":"page","value":"mine"}]'});
    told.save = save.status; told.etag = save.headers.get("etag");
    const read = await fetch(url + "/page", {headers});
    told.read = await read.text(); told.same = read.headers.get("etag") === told.etag;
    const stale = await fetch(url + "/page", {method: "DELETE", headers: {...headers, "if-match": "0"}});
    told.conflict = stale.status; told.outcome = stale.headers.get("state-outcome");
    const refused = await fetch(url + "/page");
    told.refused = refused.status; told.why = (await refused.json()).errorCode;
    told.deleted = (await fetch(url + "/page", {method: "DELETE", headers})).status;
  } catch (e) { told.error = String(e); }
  await fetch("/done", {method: "POST", body: JSON.stringify(told)});
})();
</script>
"""


class Pages(http.server.ThreadingHTTPServer):
    """Serves one page, and takes what it has to tell."""

    def __init__(self, page, port):
        super().__init__(("127.0.0.1", port), Handler)
        self.page = page
        self.told = None
        self.done = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(self.server.page.encode())

    def do_POST(self):
        self.server.told = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(204)
        self.end_headers()
        self.server.done.set()

    def log_message(self, *_):
        pass


def visit(browser, page, name="localhost", port=0):
    """Opens a page, served from this port, in a new browser; returns what it told."""
    with Pages(page, port) as pages, tempfile.TemporaryDirectory() as profile:
        command = [
            browser,
            "--headless=new",
            f"--user-data-dir={profile}",
            "--host-resolver-rules=MAP evil.test 127.0.0.1",
            # What is protected here must not depend on the browser's own protection, which is newer than many browsers.
            "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests,PrivateNetworkAccessSendPreflights",
            "--no-first-run",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            # A page must not be told anything by an earlier one.
            "--incognito",
        ]
        if os.geteuid() == 0:
            command.append("--no-sandbox")
        port = pages.server_address[1]
        running = subprocess.Popen(
            [*command, f"http://{name}:{port}/"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            if not pages.done.wait(PAGE_SECONDS):
                sys.exit("FAIL: the page never came to its end")
            return pages.told
        finally:
            # With all its processes, which are a group.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, 9)
            running.wait()
            pages.shutdown()


@contextlib.contextmanager
def sidecar(steadfast, arguments, token=None):
    """Serves from memory; gives the process and the port."""
    with tempfile.TemporaryDirectory() as folder:
        log = pathlib.Path(folder) / "log"
        environment = {"PATH": os.environ["PATH"], **({"DAPR_API_TOKEN": token} if token else {})}
        command = [steadfast, "serve", "--app-id", "app", "--state-store", "memory", "-H", "0", "-G", "0"]
        with log.open("w") as out:
            process = subprocess.Popen([*command, *arguments], stdout=out, stderr=out, env=environment)
        try:
            deadline = time.monotonic() + START_SECONDS
            while "dapr initialized" not in log.read_text():
                if time.monotonic() > deadline or process.poll() is not None:
                    sys.exit(f"FAIL: the sidecar does not start\n{log.read_text()}")
                time.sleep(0.05)
            yield process, int(re.search(r"HTTP server is running on port (\d+)", log.read_text()).group(1))
        finally:
            process.kill()
            process.wait()


def ask(port, path, method="GET", body=None, token=None):
    """As an application does it."""
    headers = {"dapr-api-token": token} if token else {}
    request = urllib.request.Request(f"http://localhost:{port}{path}", body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=START_SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


def check(what, holds, shown=""):
    print(f"{'ok' if holds else 'FAIL'}: {what}", flush=True)
    if not holds:
        sys.exit(f"{shown}")


def is_unharmed(process, port, token=None):
    """Whether it runs and has what it had."""
    kept = ask(port, f"{STORE}/kept", token=token) == (200, '"mine"')
    return process.poll() is None and kept and ask(port, f"{STORE}/stolen", token=token)[0] == 204


def keep(port, token=None):
    saved = ask(port, STORE, "POST", b'[{"key": "kept", "value": "mine"}]', token)
    check("the application can save", saved[0] == 204, saved)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steadfast", default=ROOT / "target" / "release" / "steadfast", type=pathlib.Path)
    steadfast = str(parser.parse_args().steadfast.resolve())
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        print("skipped: no chromium")
        return

    for what, arguments in [("no origin", []), ("another origin", ["--allowed-origins", "http://localhost:1"])]:
        # Without a token: the browser is all that stands between the page and the state.
        with sidecar(steadfast, arguments) as (process, port):
            keep(port)
            for host in ["localhost", "127.0.0.1"]:
                page = ATTACK % {"target": json.dumps(f"http://{host}:{port}"), "token": TOKEN}
                told = visit(browser, page)
                check(f"{what} allowed: a page made {told['tries']} tries on {host} and saw nothing", not told["seen"], told)
                check("nothing has changed", is_unharmed(process, port))
            told = visit(browser, REBOUND % {"port": port, "store": STORE}, "evil.test")
            check(f"{what} allowed: a page by a name that points here saw nothing", not told["seen"], told)
            check("nothing has changed", is_unharmed(process, port))
            # What a page becomes that was loaded before its name was pointed here: of the very same origin.
            dump = [browser, "--headless=new", "--disable-gpu", "--no-sandbox" if os.geteuid() == 0 else "--incognito"]
            dump += ["--host-resolver-rules=MAP evil.test 127.0.0.1", "--dump-dom", f"http://evil.test:{port}{STORE}/kept"]
            with tempfile.TemporaryDirectory() as profile:
                shown = subprocess.run(
                    [*dump[:2], f"--user-data-dir={profile}", *dump[2:]], capture_output=True, timeout=PAGE_SECONDS
                )
            text = html.unescape(shown.stdout.decode(errors="replace"))
            refused = "ERR_HOST_NOT_ALLOWED" in text and "mine" not in text
            check("a page of that very origin is refused by its name", refused, text)

    # That the tries would do something, if they were let.
    with sidecar(steadfast, ["--allowed-origins", "*"]) as (process, port):
        keep(port)
        told = visit(browser, ATTACK % {"target": json.dumps(f"http://localhost:{port}"), "token": TOKEN})
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(START_SECONDS)
        check("where any page is allowed the same one sees much and ends the sidecar", told["seen"] and process.poll() == 0, told)

    # The sidecar has to know the page's port when it starts.
    free = free_port()
    allowed = f"http://localhost:{free}"
    with sidecar(steadfast, ["--allowed-origins", f"https://app.example,{allowed}"], TOKEN) as (process, port):
        keep(port, TOKEN)
        page = ALLOWED % {"target": json.dumps(f"http://localhost:{port}"), "token": TOKEN}
        told = visit(browser, page, port=free)
        expected = {"save": 204, "read": '"mine"', "same": True, "conflict": 409, "outcome": "conflict"}
        expected |= {"refused": 401, "why": "ERR_API_TOKEN", "deleted": 204}
        held = "error" not in told and all(told.get(name) == it for name, it in expected.items())
        check("a page whose origin is allowed may do what its token may", held, told)
        page = ATTACK % {"target": json.dumps(f"http://localhost:{port}"), "token": TOKEN}
        told = visit(browser, page)
        check("another page sees nothing, though it knows the token", not told["seen"], told)
        check("nothing has changed", is_unharmed(process, port, TOKEN))


if __name__ == "__main__":
    main()
