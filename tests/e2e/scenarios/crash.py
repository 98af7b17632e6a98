"""250 after the dot is said only after the real mail server said it: Postern may be killed at any moment and nothing acknowledged is missing."""
import random
import threading
import time

from parts.client import Client, below_mark, mark_of, plain_message
from parts.postern import Postern
from parts.postfix import Postfix
from parts.process import expect, wait_until
from parts.sink import Sink

from . import scenario

SENDERS = 10


class Load:
    """Clients that send one message after the other, each of its own mark and size, and remember which were acknowledged."""

    def __init__(self, port, seed):
        self.port = port
        self.seed = seed
        self.acknowledged = {}
        self.unanswered = 0
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.send, args=(n,), daemon=True) for n in range(SENDERS)]

    def message(self, mark):
        return plain_message(mark, lines=random.Random(f"{self.seed} {mark}").choice([3, 50, 200, 4000]))

    def send(self, sender):
        number = 0
        while not self.over.is_set():
            try:
                with Client(self.port, timeout=20) as c:
                    c.say("EHLO client.example")
                    for _ in range(5):
                        number += 1
                        mark = f"{sender}.{number}"
                        message = self.message(mark)
                        if c.deliver(message, helo=None).startswith("250 "):
                            with self.lock:
                                self.acknowledged[mark] = message
                        if self.over.is_set():
                            return
            except (OSError, EOFError):
                with self.lock:
                    self.unanswered += 1
                time.sleep(0.01) # not to spin while nothing listens

    def run(self, postern, kills, rng):
        for thread in self.threads:
            thread.start()
        for _ in range(kills):
            before = len(self.acknowledged)
            wait_until(lambda b=before: len(self.acknowledged) > b + 5, "mail to flow", 30)
            time.sleep(rng.uniform(0, 0.25)) # a random moment, not a wait for something
            postern.process.kill()
            postern.start()
        before = len(self.acknowledged)
        wait_until(lambda: len(self.acknowledged) > before + 20, "mail to flow after the last kill", 30)
        self.over.set()
        for thread in self.threads:
            thread.join(30)
            expect(not thread.is_alive(), "a sender hangs")


def judge(load, arrived, as_sent):
    """arrived: mark -> what came with that mark, each time it came."""
    missing = [mark for mark in load.acknowledged if mark not in arrived]
    expect(not missing, f"acknowledged and missing: {missing[:10]} ({len(missing)} of {len(load.acknowledged)})")
    for mark, copies in arrived.items():
        wanted = as_sent(load.message(mark))
        expect(all(copy == wanted for copy in copies), f"message {mark} came otherwise than it was sent")
    expect(len(load.acknowledged) > 50 and load.unanswered > 0, f"there was load: {len(load.acknowledged)} acknowledged, {load.unanswered} cut")


def arrived_at(messages):
    arrived = {}
    for message in messages:
        arrived.setdefault(mark_of(message), []).append(below_mark(message))
    return arrived


@scenario
def kill_under_load(world):
    sink = world.keep(Sink())
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}").serve()
    load = Load(postern.port, world.seed)
    load.run(postern, 15, random.Random(world.seed))
    judge(load, arrived_at(m.octets for m in list(sink.messages)), lambda message: message)
    postern.stop()


@scenario(root=True)
def kill_under_load_with_postfix(world):
    postfix = Postfix(world).start()
    postern = Postern(world, backend=f"127.0.0.1:{postfix.port}").serve()
    load = Load(postern.port, world.seed)
    load.run(postern, 8, random.Random(world.seed))
    postern.stop()
    postfix.drain()
    judge(load, arrived_at(postfix.mail("u")), lambda message: message.replace(b"\r\n", b"\n"))


@scenario
def backend_killed_under_load(world):
    """The other side dies: what it kept unacknowledged may come twice, what was acknowledged is there, and the session lives."""
    sink = world.keep(Sink())
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}").serve()
    load = Load(postern.port, world.seed)
    rng = random.Random(world.seed)
    sinks = [sink]
    for thread in load.threads:
        thread.start()
    for _ in range(6):
        before = len(load.acknowledged)
        wait_until(lambda b=before: len(load.acknowledged) > b + 10, "mail to flow", 30)
        time.sleep(rng.uniform(0, 0.1)) # a random moment
        sinks[-1].close()
        sinks.append(world.keep(Sink(port=sink.port)))
    before = len(load.acknowledged)
    wait_until(lambda: len(load.acknowledged) > before + 20, "mail to flow after the last", 30)
    load.over.set()
    for thread in load.threads:
        thread.join(30)
    arrived = arrived_at(m.octets for s in sinks for m in list(s.messages))
    missing = [mark for mark in load.acknowledged if mark not in arrived]
    expect(not missing, f"acknowledged and missing: {missing[:10]}")
    postern.stop()
