"""Postern: its configuration file, the process, its log and its journal."""
import json
import os
import re
import signal
import subprocess

from .process import Failure, expect, expect_equal, free_port, wait_until

ACCEPT_ALL = "stage rcpt\n  rule all: accept\n"


class Postern:
    """Settings are keyword arguments with _ for -; a list makes a line for each member."""

    def __init__(self, world, policy=ACCEPT_ALL, **settings):
        self.world = world
        self.folder = world.folder("postern")
        self.port = free_port()
        self.policy = os.path.join(self.folder, "test.policy")
        self.config = os.path.join(self.folder, "postern.conf")
        self.journal_path = os.path.join(self.folder, "journal")
        self.log_path = os.path.join(self.folder, "log")
        self.process = None
        self.wrapper = []  # a program that starts it, with its arguments
        self.set_policy(policy)
        self.settings = {"hostname": "mx.example.org", "domains": "example.org, example.net", "listen": f"127.0.0.1:{self.port}",
                         "resolver": "127.0.0.1:1", "policy": '"test.policy"', "journal": '"journal"', "help": "postmaster@example.org",
                         "spool_directory": f'"{self.folder}"', "max_per_client": 1000, "max_per_network": 1000, "backend_probe": "1s"}
        if "resolver" not in settings: # nothing listens there, and not every question is refused at once
            self.settings["dns_timeout"] = "50ms"
        if not any(name in settings for name in ("store", "store_path")): # not the machine's own
            self.settings["store_path"] = f'"{self.folder}/postern.db"'
        self.settings.update(settings)
        if isinstance(policy, os.PathLike):
            self.settings["policy"] = f'"{os.fspath(policy)}"'
        self.write_config()

    def write_config(self):
        with open(self.config, "w", encoding="utf-8") as f:
            for name, value in self.settings.items():
                for each in value if isinstance(value, (list, tuple)) else [value]:
                    f.write(f"{name.replace('_', '-')} {each}\n")

    def set_policy(self, text):
        if isinstance(text, str):
            with open(self.policy, "w", encoding="utf-8") as f:
                f.write(text)

    def run(self, *arguments, **options):
        """One of the other commands, to its end."""
        return subprocess.run([self.world.binary, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                              env={**os.environ, **self.world.sanitizers()}, check=False, **options)

    def start(self):
        """Starts it and waits until it has said that it is ready, and its first probe of the backend is over."""
        seen = self.logged("ready")
        if not self.process:
            self.world.clean_up.append(self)
        self.process = self.world.start("postern", [*self.wrapper, self.world.binary, "run", "--config", self.config], log=self.log_path,
                                        env=self.world.sanitizers())
        wait_until(lambda: self.logged("ready") > seen or not self.process.running(), "Postern to be ready")
        expect(self.process.running(), f"Postern ended at its start:\n{self.log()}")
        return self

    def serve(self):
        """Starts it and waits until it greets with 220: a backend has answered the first probe."""
        self.start()
        wait_until(self.greets, lambda: f"a greeting; its log:\n{self.log()}")
        return self

    def greets(self):
        from .client import Client
        try:
            with Client(self.port) as c:
                return c.greeting.startswith("220")
        except (OSError, EOFError):
            return False

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="surrogateescape") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def logged(self, event):
        """How many lines say that event: TIME LEVEL EVENT name=value ..."""
        return len(re.findall(rf"(?m)^\S+ [a-z]+ {event}\b", self.log()))

    def counter(self, name):
        """Its value now: USR1 writes all of them to the log."""
        seen = self.logged("counters")
        self.process.signal(signal.SIGUSR1)
        wait_until(lambda: self.logged("counters") > seen, "the counters")
        return int(re.findall(rf"\b{name}=(\d+)", self.log())[-1])

    def journal(self):
        """Every record; a line that is not JSON is a failure. A reader may see the half of what is being written: it looks again."""
        def whole():
            try:
                with open(self.journal_path, "rb") as f:
                    lines = f.read().split(b"\n")
            except FileNotFoundError:
                return [b""]
            return lines if lines[-1] == b"" else None
        lines = wait_until(whole, "the end of the journal's last line", 5)
        try:
            return [json.loads(line) for line in lines[:-1]]
        except ValueError as error:
            raise Failure(f"a journal line that is not JSON: {error}") from None

    def record(self, wanted, what="the record"):
        """Waits for the one record of which wanted(record) is true: they are written in whole lines, some 100 ms late."""
        def look():
            try:
                return [r for r in self.journal() if wanted(r)]
            except Failure:
                return []
        wait_until(look, lambda: f"{what} in the journal:\n{self.journal()}", 30)
        found = look()
        expect_equal(len(found), 1, f"records like {what}")
        return found[0]

    def reload(self):
        self.process.signal(signal.SIGHUP)

    def stop(self):
        """A clean end: status 0."""
        if self.process and self.process.running():
            status = self.process.stop()
            expect_equal(status, 0, f"exit status of Postern; its log ends:\n{self.log()[-3000:]}\n")

