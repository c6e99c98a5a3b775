#!/usr/bin/env python3
"""An agent of a Downbeat fleet in another language: Python's standard library alone.

    downbeat run &                                   # holds the store and serves the API
    python3 worker.py --name snake --workspace work  # joins it at .downbeat/control.sock

It registers, claims the best task it may take, keeps its lease while the task's command runs, and settles with
the lease's token. When somebody else holds the task by now it stops the command and writes nothing: the token
says who may write. Every request that changes something has an id; a request whose answer was lost is sent again
under the same id and has one effect. It outlives a restart of the process that serves.

Over TCP: --url http://127.0.0.1:8003, with the token in $DOWNBEAT_API_TOKEN or --token-file.
"""

import argparse
import ctypes
import hashlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import uuid


def die_with_parent():
    """In a command before it begins: it ends with this process, also when that is killed (Linux)."""
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    except (OSError, AttributeError):
        pass


class Problem(Exception):
    """What the API answers when it does not do what it was asked (RFC 9457)."""

    def __init__(self, status, problem):
        super().__init__(problem.get("detail", "no reason was given"))
        self.status, self.code, self.problem = status, problem.get("code"), problem


class Unix(http.client.HTTPConnection):
    """HTTP over a Unix socket, whose path may be longer than an address (about 100 bytes) has room for."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        directory = os.open(os.path.dirname(self.path) or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.sock.settimeout(self.timeout)
            self.sock.connect(f"/proc/self/fd/{directory}/{os.path.basename(self.path)}")
        finally:
            os.close(directory)


class Api:
    """Requests over one connection, made again while nobody answers. One for each thread."""

    def __init__(self, options):
        self.options, self.connection = options, None

    def connect(self):
        if not self.options.url:
            return Unix(self.options.socket, timeout=90)
        url = urllib.parse.urlsplit(self.options.url)
        return http.client.HTTPConnection(url.hostname, url.port or 8003, timeout=90)

    def __call__(self, method, path, body=None, patience=None):
        headers = {"Authorization": f"Bearer {self.options.token}"} if self.options.token else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(body)
        until = time.monotonic() + (self.options.patience if patience is None else patience)
        wait = 0.05
        while True:
            try:
                self.connection = self.connection or self.connect()
                self.connection.request(method, path, body, headers)
                answer = self.connection.getresponse()
                status, said = answer.status, json.loads(answer.read() or b"{}")
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.connection = None
                if time.monotonic() + wait > until:
                    raise ConnectionError(f"nobody answers: {error}") from error
            else:
                if status < 400:
                    return said
                if status != 503 or time.monotonic() + wait > until:
                    raise Problem(status, said)
            time.sleep(wait * random.uniform(0.5, 1.0))
            wait = min(wait * 2, 2.0)


class Attempt:
    """One task, from its claim to its settle."""

    def __init__(self, worker, claimed):
        self.worker, self.node, self.lease = worker, claimed["node"], claimed["lease"]
        self.lost, self.over, self.command = None, threading.Event(), None

    def work(self):
        """Does the task and settles it. Returns why it was lost, if it was."""
        renewing = threading.Thread(target=self.renew, daemon=True)
        renewing.start()
        outcome = self.do()
        self.over.set()
        renewing.join()
        if self.lost:
            return self.lost
        settle = {
            "task": self.lease["task"],
            "token": self.lease["token"],
            "request": str(uuid.uuid4()),
            "outcome": outcome,
        }
        try:
            settled = self.worker.api("POST", "/v1/settlements", settle)
        except Problem as problem:
            if problem.code != "lease_lost":
                raise
            return str(problem)
        say(f"{self.lease['task']} is {settled['status']}")
        return None

    def renew(self):
        """Keeps the lease until the attempt is over, or until somebody else holds the task."""
        api = Api(self.worker.options)
        ttl = self.worker.options.lease_ttl
        renewal = {"task": self.lease["task"], "token": self.lease["token"], "ttl_ms": int(ttl * 1000)}
        while not self.over.wait(ttl / 3):
            try:
                api("POST", "/v1/renewals", renewal, patience=ttl)
            except ConnectionError:
                pass  # Nobody else can claim it either; the settle will tell.
            except Problem as problem:
                self.lost = str(problem)
                self.stop()
                return

    def stop(self):
        command = self.command
        if command and command.poll() is None:
            os.killpg(command.pid, signal.SIGKILL)

    def run(self, script):
        """Runs a command in the workspace; what it said if it failed."""
        names = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        names.update(
            DOWNBEAT_GOAL=self.lease["goal"],
            DOWNBEAT_TASK=self.lease["task"],
            DOWNBEAT_AGENT=self.worker.options.name,
            DOWNBEAT_ATTEMPT=str(self.lease["attempt"]),
            DOWNBEAT_MAX_ATTEMPTS=str(self.lease["max_attempts"]),
            DOWNBEAT_TOKEN=str(self.lease["token"]),
            DOWNBEAT_WORKSPACE=os.path.abspath(self.worker.options.workspace),
        )
        self.command = subprocess.Popen(
            ["sh", "-c", script],
            cwd=self.worker.options.workspace,
            env=names,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
        said, _ = self.command.communicate()
        if self.command.returncode == 0:
            return None
        return f"`{script[:80]}` exited with code {self.command.returncode}", said[-16_000:].decode("utf-8", "replace")

    def do(self):
        """Runs the task's command and its checks; the outcome to settle with."""
        if not self.node.get("run"):
            return {"release": {"reason": "it needs a model, and this worker has none"}}
        for script in [self.node["run"], *self.node.get("checks", [])]:
            failed = self.run(script)
            if failed:
                message, detail = failed
                return {"retry": {"failure": {"message": message, "detail": detail}, "after_ms": 1000}}
        artifacts = []
        for path in self.node.get("expected_artifacts", []):
            try:
                with open(os.path.join(self.worker.options.workspace, path), "rb") as file:
                    data = file.read()
            except OSError as error:
                return {"retry": {"failure": {"message": f"no artifact {path}: {error}"}, "after_ms": 1000}}
            artifacts.append({"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
        return {"done": {"summary": f"done by {self.worker.options.name}", "artifacts": artifacts}}


class Worker:
    """The agent: registered, alive, and at work on one task at a time."""

    def __init__(self, options):
        self.options, self.api = options, Api(options)
        self.incarnation, self.leaving = str(uuid.uuid4()), threading.Event()

    def register(self):
        self.api(
            "POST",
            "/v1/agents",
            {
                "name": self.options.name,
                "incarnation": self.incarnation,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "role": "worker.py",
                "goal": self.options.goal,
                "capabilities": self.options.capabilities,
                "max_parallel": 1,
                "ttl_ms": int(self.options.ttl * 1000),
                "interruption_limit": 3,
            },
        )
        threading.Thread(target=self.beat, daemon=True).start()

    def beat(self):
        api = Api(self.options)
        while not self.leaving.wait(self.options.ttl / 3):
            beat = {"name": self.options.name, "incarnation": self.incarnation, "phase": "executing", "task": None}
            try:
                api("POST", "/v1/beats", beat, patience=self.options.ttl)
            except ConnectionError:
                pass
            except Problem as problem:
                say(f"ended: {problem}")
                os._exit(3)

    def claim(self):
        """The next task, or when to look again in milliseconds."""
        claim = {
            "agent": self.options.name,
            "incarnation": self.incarnation,
            "request": str(uuid.uuid4()),
            "goal": self.options.goal,
            "capabilities": self.options.capabilities,
            "ttl_ms": int(self.options.lease_ttl * 1000),
        }
        return self.api("POST", "/v1/claims", claim).get("granted")

    def at_rest(self):
        goals = self.api("GET", "/v1/goals")["goals"]
        mine = [goal for goal in goals if self.options.goal in (None, goal["id"])]
        return bool(mine) and all(goal["status"] not in ("draft", "active") for goal in mine)

    def work(self):
        self.register()
        say(f"{self.options.name} has joined")
        seen = self.api("GET", "/v1/ready/changes")["number"]
        try:
            while not self.at_rest():
                claimed = self.claim()
                if not claimed:
                    # Whatever gets ready from now on ends this wait; leases that expire are looked for by the second.
                    seen = self.api("GET", f"/v1/ready/changes?seen={seen}&wait_ms=1000")["number"]
                    continue
                say(f"claimed {claimed['lease']['task']}")
                lost = Attempt(self, claimed).work()
                if lost:
                    say(f"not mine any more: {lost}")
        finally:
            self.leaving.set()
            reason = "its goals rest" if sys.exc_info()[0] is None else "it was stopped"
            departure = {"name": self.options.name, "incarnation": self.incarnation, "how": "stopped", "reason": reason}
            self.api("POST", "/v1/departures", departure, patience=2)


def say(text):
    print(text, flush=True)


def main():
    parser = argparse.ArgumentParser(description="An agent of a Downbeat fleet, in Python.")
    parser.add_argument("--name", default=f"python-{os.getpid()}")
    parser.add_argument("--socket", default=".downbeat/control.sock")
    parser.add_argument("--url", help="over TCP, such as http://127.0.0.1:8003")
    parser.add_argument("--token-file", help="in place of $DOWNBEAT_API_TOKEN")
    parser.add_argument("--goal", help="take tasks of this goal only")
    parser.add_argument("--capabilities", default="shell", type=lambda text: [name for name in text.split(",") if name])
    parser.add_argument("--workspace", default=".", help="where commands run")
    parser.add_argument("--lease-ttl", default=30.0, type=float, help="seconds")
    parser.add_argument("--ttl", default=30.0, type=float, help="seconds without a beat after which it counts as silent")
    parser.add_argument("--patience", default=60.0, type=float, help="seconds that a server which is away is waited for")
    options = parser.parse_args()
    options.token = os.environ.get("DOWNBEAT_API_TOKEN")
    if options.token_file:
        with open(options.token_file, encoding="utf-8") as file:
            options.token = file.read().strip()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(4))
    try:
        Worker(options).work()
    except (Problem, ConnectionError) as error:
        sys.exit(f"worker: {error}")


if __name__ == "__main__":
    main()
