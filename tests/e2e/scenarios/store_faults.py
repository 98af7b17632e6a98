"""
The store stops, dies, talks nonsense, is full, is locked: mail goes on as if there were none, one log line a minute says so, and it comes back by itself.

Nothing is timed against the clock. What is counted: every message is delivered, and of the sessions that met a store that hangs only those that were
in flight waited for its deadline (each fact of the journal says when it was known).
"""
import os
import sqlite3
import subprocess
import threading

from parts.client import Client, plain_message
from parts.postern import Postern
from parts.process import expect, expect_equal, wait_until
from parts.redis import FakeRedis, Redis
from parts.sink import Sink

from . import scenario

CLIENTS, EACH = 8, 40
DEADLINE_MS = 200                       # store-deadline
# Asks the greylist at every RCPT, and puts nobody off: with a store and without one every message is delivered.
ASKING = "stage rcpt\n  rule known: tag \"known\" when greylist.known\n"
# What is still allowed to wait: those in flight when it begins, once more when a new connection dies under them.
IN_FLIGHT = 2 * CLIENTS


def load(postern, phase, each=EACH):
    """Several clients at once, one message after the other. How many were taken."""
    taken = []

    def client(number):
        with Client(postern.port) as c:
            c.say("EHLO client.example")
            for i in range(each):
                mark = f"{phase}.{number}.{i}"
                reply = c.deliver(plain_message(mark), helo=None, sender=f"{phase}@{phase}{number}.example") # who is known only reads
                if reply.startswith("250 "):
                    taken.append(mark)

    threads = [threading.Thread(target=client, args=(n,), daemon=True) for n in range(CLIENTS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
        expect(not t.is_alive(), "a client hangs")
    return len(taken)


def records(postern, phase, count):
    """The phase's records, all of them."""
    def of_phase():
        return [r for r in postern.journal() if r["recipients"] and f"{phase}@" in str(r["stages"]["mail"]["facts"]["mail.from"])]
    wait_until(lambda: len(of_phase()) >= count, f"{count} records of {phase}", 30)
    return of_phase()


def known(record):
    return record["recipients"][-1]["facts"]["greylist.known"]


def failed(record):
    """The store had no answer."""
    return isinstance(known(record)[0], dict) or known(record)[0] == "error"


def waited(record):
    """Until the store's deadline, or nearly."""
    begun = record["recipients"][-1]["facts"]["rcpt.count"][1]
    return known(record)[1] - begun >= DEADLINE_MS - 20


def works(postern):
    """Does a session have an answer of the store?"""
    works.tries += 1
    phase = f"try{works.tries}"
    with Client(postern.port) as c:
        expect(c.deliver(plain_message(phase), sender=f"{phase}@sender.example").startswith("250 "), "mail goes on")
    return not failed(records(postern, phase, 1)[0])


works.tries = 0


def comes_back(postern, what):
    wait_until(lambda: works(postern), lambda: f"the store to come back after {what}:\n{postern.log()[-2000:]}", 40)


def world_with(world, policy=ASKING, **settings):
    sink = world.keep(Sink())
    return sink, Postern(world, policy, backend=f"127.0.0.1:{sink.port}", **settings).serve()


def all_is_well(postern, phase):
    expect_equal(load(postern, phase), CLIENTS * EACH, f"messages taken while the store {phase}")
    expect(not any(failed(r) for r in records(postern, phase, CLIENTS * EACH)), f"the store answers while it {phase}")


@scenario
def redis_stopped_under_load(world):
    """SIGSTOP: throughput does not fall, for nobody waits but those in flight; SIGCONT: it comes back."""
    redis = Redis(world).start()
    sink, postern = world_with(world, **redis.settings())
    all_is_well(postern, "works")
    redis.pause()
    expect_equal(load(postern, "stopped"), CLIENTS * EACH, "messages taken while Redis is stopped")
    while_stopped = records(postern, "stopped", CLIENTS * EACH)
    expect(all(failed(r) for r in while_stopped), "a stopped server gives no answers")
    slow = sum(waited(r) for r in while_stopped)
    expect(0 < slow <= IN_FLIGHT, f"{slow} of {len(while_stopped)} sessions waited for a server that hangs; {IN_FLIGHT} were in flight at most")
    expect_equal(postern.logged("store-failed"), 1, "log lines in a minute")
    expect(postern.counter("store-errors") >= CLIENTS * EACH, "each failure is counted")
    redis.go_on()
    comes_back(postern, "SIGCONT")
    all_is_well(postern, "continued")
    expect_equal(len(sink.messages), 3 * CLIENTS * EACH + works.tries, "delivered messages")
    postern.stop()


@scenario
def redis_killed_and_restarted_under_load(world):
    """Its scripts are gone with it: it is greeted anew, and works."""
    redis = Redis(world).start()
    sink, postern = world_with(world, **redis.settings())
    taken = []
    threads = [threading.Thread(target=lambda n=n: taken.append(load(postern, f"round{n}", 25)), daemon=True) for n in range(3)]
    for n, t in enumerate(threads):
        before = len(sink.messages)
        t.start()
        wait_until(lambda b=before: len(sink.messages) > b + 20, "mail to flow", 30)
        redis.kill()
        redis.start()
        t.join(120)
        expect(not t.is_alive() and len(taken) == n + 1, "the load ends")
    expect_equal(taken, [CLIENTS * 25] * 3, "messages taken while Redis is killed")
    comes_back(postern, "a restart")
    subprocess.run(["redis-cli", "-p", str(redis.port), "script", "flush"], check=True, capture_output=True)
    all_is_well(postern, "forgot")
    postern.stop()


BROKEN = {"nonsense": b"220 mx.example ESMTP\r\n", "error": b"-ERR go away\r\n", "endless": b"*4294967297\r\n", "huge": b"$1073741824\r\n",
          "half": b"*10\r\n:1\r\n:1", "nested": b"*1\r\n" * 20, "nothing": b"", "unasked": b"+OK\r\n" * 50, "nil": b"$-1\r\n", "binary": bytes(range(256)),
          "greeted": b"$40\r\n0123456789abcdef0123456789abcdef01234567\r\n", "lies": b"$40\r\n0123456789abcdef0123456789abcdef01234567\r\n*10\r\n" + b":9\r\n" * 10,
          "silence": None}


@scenario
def redis_that_is_none(world):
    """A server that is broken or hostile: no message waits or is lost for it, and a good one in its place is found."""
    for name, say in BROKEN.items():
        fake = world.keep(FakeRedis(say))
        sink, postern = world_with(world, store="redis", redis=f"127.0.0.1:{fake.port}")
        expect_equal(load(postern, name, 5), CLIENTS * 5, f"messages taken beside a server that says {name}")
        seen = records(postern, name, CLIENTS * 5)
        expect(all(failed(r) for r in seen), f"{name} is taken for an answer")
        slow = sum(waited(r) for r in seen)
        expect(slow <= IN_FLIGHT, f"{name}: {slow} of {len(seen)} sessions waited")
        expect_equal(postern.logged("store-failed"), 1, f"{name}: log lines in a minute")
        expect(fake.heard > 0, f"{name}: it was asked")
        fake.stop()
        redis = Redis(world, port=fake.port).start()
        comes_back(postern, name)
        expect(len(sink.messages) >= CLIENTS * 5, "delivered messages")
        postern.stop()
        redis.process.stop()


# --- a file ------------------------------------------------------------------------------------------------------------------------


def file_store(world, folder=None):
    return os.path.join(folder or world.folder("store"), "postern.db")


@scenario
def sqlite_locked_by_another_process(world):
    """Somebody holds the database: sessions wait their deadline at most and go on; let go, it works."""
    path = file_store(world)
    sink, postern = world_with(world, store_path=f'"{path}"')
    all_is_well(postern, "works")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    expect_equal(load(postern, "locked"), CLIENTS * EACH, "messages taken while the file is locked")
    seen = records(postern, "locked", CLIENTS * EACH)
    expect(all(failed(r) for r in seen), "a locked file gives no answers")
    slow = sum(waited(r) for r in seen)
    expect(slow <= 4 * IN_FLIGHT, f"{slow} of {len(seen)} sessions waited for the lock")
    expect_equal(postern.logged("store-failed"), 1, "log lines in a minute")
    other.execute("ROLLBACK")
    other.close()
    comes_back(postern, "a lock")
    all_is_well(postern, "unlocked")
    expect(len(sink.messages) >= 2 * CLIENTS * EACH, "delivered messages")
    postern.stop()


def fill(folder):
    """Not an octet more. What is to be removed to have room again."""
    path = os.path.join(folder, "filler")
    with open(path, "wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 4096)
        except OSError:
            return path


@scenario(addresses=True)
def sqlite_on_a_full_disk(world):
    """No room from the start, or later: the check is an error, mail goes on; room again, it works."""
    folder = world.folder("small")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", folder], check=True)
    try:
        filler = fill(folder)
        sink, postern = world_with(world, store_path=f'"{file_store(world, folder)}"')
        expect_equal(load(postern, "full"), CLIENTS * EACH, "messages taken while the disk is full")
        expect(all(failed(r) for r in records(postern, "full", CLIENTS * EACH)), "a full disk is an error")
        expect_equal(postern.logged("store-failed"), 1, "log lines in a minute")
        os.remove(filler)
        comes_back(postern, "a full disk")
        all_is_well(postern, "has-room")
        filler = fill(folder)
        expect_equal(load(postern, "full-again"), CLIENTS * EACH, "messages taken while the disk is full again")
        os.remove(filler)
        comes_back(postern, "a disk that was full again")
        expect(len(sink.messages) >= 3 * CLIENTS * EACH, "delivered messages")
        postern.stop()
    finally:
        subprocess.run(["umount", "-l", folder], check=False)


@scenario
def sqlite_taken_away(world):
    """The file is removed under the running proxy, and put there anew by nobody: it makes one itself."""
    path = file_store(world)
    sink, postern = world_with(world, store_path=f'"{path}"')
    all_is_well(postern, "works")
    for name in os.listdir(os.path.dirname(path)):
        os.remove(os.path.join(os.path.dirname(path), name))
    expect_equal(load(postern, "gone", 5), CLIENTS * 5, "messages taken while the file is gone")
    comes_back(postern, "the file's removal")
    wait_until(lambda: os.path.exists(path), "a new file")
    all_is_well(postern, "made-anew")
    expect(len(sink.messages) >= 2 * CLIENTS * EACH, "delivered messages")
    postern.stop()


@scenario(addresses=True)
def sqlite_on_a_disk_gone_read_only(world):
    """The file is lost and its place can only be read: the check is an error at once, mail goes on; writable again, it works."""
    path = file_store(world)
    folder = os.path.dirname(path)
    sink, postern = world_with(world, store_path=f'"{path}"')
    all_is_well(postern, "works")
    for name in os.listdir(folder):
        os.remove(os.path.join(folder, name))
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        expect_equal(load(postern, "read-only"), CLIENTS * EACH, "messages taken while the disk is read-only")
        seen = records(postern, "read-only", CLIENTS * EACH)
        expect(all(failed(r) for r in seen), "what cannot be written is an error")
        slow = sum(waited(r) for r in seen)
        expect(slow <= IN_FLIGHT, f"{slow} of {len(seen)} sessions waited")
        expect_equal(postern.logged("store-failed"), 1, "log lines in a minute")
    finally:
        subprocess.run(["umount", "-l", folder], check=False)
    comes_back(postern, "a disk that was read-only")
    all_is_well(postern, "is-writable")
    expect(len(sink.messages) >= 3 * CLIENTS * EACH, "delivered messages")
    postern.stop()


@scenario(root=True)
def sqlite_that_may_only_be_read(world):
    """A file that another user owns: said before anything is started, not when the first mail comes."""
    path = file_store(world)
    _, postern = world_with(world, store_path=f'"{path}"')
    all_is_well(postern, "works")
    postern.stop()
    done = subprocess.run(["setpriv", "--reuid=nobody", "--clear-groups", world.binary, "check", "--config", postern.config],
                          capture_output=True, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}, check=False, timeout=60)
    said = (done.stdout + done.stderr).decode()
    expect(done.returncode != 0 and "store-path: cannot write" in said, said)
