"""What a hostile peer tries that only the running binary can answer: whom it keeps waiting, what it makes the process hold."""
import threading
import time

from parts.client import Client
from parts.postern import Postern
from parts.process import expect, wait_until
from parts.sink import Sink

from . import scenario

PATIENCE = 10 # seconds that the flood lasts when nobody ends it


class Flood(threading.Thread):
    """Content without end, as fast as it is taken, until it is told to stop or nobody did."""

    def __init__(self, postern, announce):
        super().__init__(daemon=True)
        self.postern, self.announce = postern, announce
        self.stop = threading.Event()
        self.sent = 0
        self.start()

    def run(self):
        piece, deadline = b"x" * (1 << 20), time.monotonic() + PATIENCE
        with Client(self.postern.port) as c:
            c.envelope()
            c.send(self.announce)
            while not self.stop.is_set() and time.monotonic() < deadline:
                c.send(piece)
                self.sent += len(piece)


@scenario
def flood_keeps_nobody_waiting(world):
    """One client sends content that was refused long ago, as fast as loopback carries it: the others are served all the while."""
    sink = world.keep(Sink())
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}", message_size="64K").serve()
    for announce in (b"BDAT 1000000000000 LAST\r\n", b"DATA\r\n"):
        flood = Flood(postern, announce)
        wait_until(lambda f=flood: f.sent > 64 << 20, "the flood to swell")
        for _ in range(40):
            with Client(postern.port, timeout=PATIENCE) as c:
                expect(c.say("EHLO client.example").startswith("250"), "a session beside the flood")
        expect(flood.is_alive(), f"40 sessions were served before the flood behind {announce!r} ended")
        flood.stop.set()
        flood.join(30)
    postern.stop()
