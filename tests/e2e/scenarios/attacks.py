"""What a hostile peer tries that only the running binary can answer: whom it keeps waiting, what it makes the process hold."""
import os
import socket
import threading
import time

from parts.client import Client, plain_message
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


def cpu_ticks(process):
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as f:
        return sum(int(n) for n in f.read().rsplit(")", 1)[1].split()[11:13])


def abandoned(client, count, recipients):
    """Transactions of so many recipients each, given up before DATA."""
    for _ in range(count):
        client.send(b"MAIL FROM:<a@sender.example>\r\n")
        client.reply()
        for first in range(0, recipients, 100):
            client.send(b"".join(b"RCPT TO:<u%d@example.org>\r\n" % (first + i) for i in range(100)))
            expect(all(client.reply().startswith("250 ") for _ in range(100)), "the recipients are taken")
        expect(client.say("RSET").startswith("250 "), "given up")


@scenario
def abandoned_transactions_are_no_burden(world):
    """
    Transactions wait for evidence that never comes, each with a thousand recipients: the next one costs no more than the first did, and beyond
    20,000 recipients in all none waits.
    """
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    silent.bind(("127.0.0.1", 0))
    sink = world.keep(Sink())
    postern = Postern(world, policy="stage rcpt\n  rule spf monitor: reject when spf = fail\n", backend=f"127.0.0.1:{sink.port}",
                      authentication_results="no", resolver=f"127.0.0.1:{silent.getsockname()[1]}", dns_timeout="30s", spf_deadline="120s").serve()
    cost = []
    with Client(postern.port, source="127.0.0.9", timeout=60) as c:
        c.say("EHLO client.example")
        for _ in range(4):
            before = cpu_ticks(postern.process)
            abandoned(c, 6, 1000)
            cost.append(cpu_ticks(postern.process) - before)
        expect(cost[-1] < 3 * max(cost[0], 10), f"processor time of each six transactions (in {os.sysconf('SC_CLK_TCK')}ths of a second): {cost}")
        wait_until(lambda: sum(bool(r["recipients"]) for r in postern.journal()) >= 4, "the records of those beyond 20,000 recipients")
    postern.process.kill()
    silent.close()


@scenario
def modes_and_privileges(world):
    """What the process keeps: no new privileges, files that others cannot read; and it says so when it was started as root."""
    sink = world.keep(Sink())
    folder = world.folder("kept")
    store, journal = (os.path.join(folder, name) for name in ("store.db", "journal"))
    umask = os.umask(0)
    try:
        postern = Postern(world, backend=f"127.0.0.1:{sink.port}", store="sqlite", store_path=f'"{store}"', journal=f'"{journal}"').serve()
    finally:
        os.umask(umask)
    with open(f"/proc/{postern.process.pid}/status", encoding="ascii") as f:
        expect("NoNewPrivs:\t1\n" in f.read(), "no new privileges")
    with Client(postern.port) as c:
        expect(c.deliver(plain_message("kept")).startswith("250 "), "mail passes")
    wait_until(lambda: os.path.exists(journal) and os.path.getsize(journal), "the journal")
    for path in (store, journal):
        expect(os.stat(path).st_mode & 0o7137 == 0, f"{path} is not for others, whatever the umask: {os.stat(path).st_mode:o}")
    expect(postern.logged("runs-as-root") == (os.geteuid() == 0), "root is warned")
    postern.stop()
