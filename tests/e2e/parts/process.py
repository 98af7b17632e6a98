"""Processes, ports, waiting. Everything that is started is ended by its own pid; nothing waits without a deadline."""
import fcntl
import os
import random
import signal
import socket
import subprocess
import tempfile
import time


class Failure(Exception):
    """Something was not as the scenario says."""


def expect(good, what):
    if not good:
        raise Failure(what() if callable(what) else what)


def expect_equal(seen, wanted, what):
    if seen != wanted:
        raise Failure(f"{what}: wanted {wanted!r}, saw {seen!r}")


def wait_until(condition, what, seconds=20.0):
    """Polls until condition() is true, and gives back what it said."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"waited {seconds:g} s for {what() if callable(what) else what}")
        time.sleep(0.02)


held = [] # open lock files; a port is this process's until it ends


def free_port(address="127.0.0.1", kind=socket.SOCK_STREAM):
    """A free port that no other scenario takes meanwhile, and no client by chance: below those that the system gives out."""
    folder = os.path.join(tempfile.gettempdir(), "postern-ports")
    os.makedirs(folder, exist_ok=True)
    for _ in range(1000):
        port = random.SystemRandom().randrange(20000, 32000)
        lock = open(os.path.join(folder, str(port)), "wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as s:
                s.bind((address, port))
        except OSError:
            lock.close()
            continue
        held.append(lock)
        return port
    raise Failure("no free port")


def free_port_for_dns(address="127.0.0.1"):
    """A port that is free for TCP and UDP."""
    for _ in range(100):
        port = free_port(address)
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.bind((address, port))
                return port
        except OSError:
            continue
    raise Failure("no port that is free for both TCP and UDP")


def can_connect(port, address="127.0.0.1"):
    try:
        socket.create_connection((address, port), timeout=2).close()
        return True
    except OSError:
        return False


class Process:
    """One child with its output in a file."""

    def __init__(self, name, command, log, env=None):
        self.name = name
        self.log = log
        self.status = None
        with open(log, "ab") as out:
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **(env or {})})

    @property
    def pid(self):
        return self.child.pid

    def running(self):
        return self.child.poll() is None

    def signal(self, number):
        if self.running():
            self.child.send_signal(number)

    def wait(self, seconds):
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} did not end within {seconds} s") from None

    def stop(self, seconds=20):
        """TERM, and KILL when that is not heard. The exit status; None when it had to be killed."""
        self.signal(signal.SIGTERM)
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            return None

    def kill(self):
        self.signal(signal.SIGKILL)
        self.child.wait()

    def output(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()
