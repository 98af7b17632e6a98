"""Running it: listeners, a dead backend, draining, the journal and the log."""
import json
import os
import re
import signal
import socket
import subprocess
import threading

from parts.client import Client, plain_message
from parts.postern import Postern
from parts.process import can_connect, expect, expect_equal, free_port, wait_until
from parts.sink import Sink

from . import scenario


@scenario
def every_address_of_a_star(world):
    """listen *:PORT takes both families; a client of IPv4 is one, not an address mapped into IPv6."""
    sink = world.keep(Sink())
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}")
    postern.settings["listen"] = f"*:{postern.port}"
    postern.write_config()
    postern.serve()
    for address in ("127.0.0.1", "::1"):
        with Client(postern.port, address) as c:
            expect(c.deliver(plain_message(f"star-{address}")).startswith("250 "), f"mail over {address}")
        postern.record(lambda r, a=address: r["client"] == a and r["recipients"], f"a client {address}")
    received = b"".join(m.octets.split(b"X-Mark", 1)[0] for m in sink.messages)
    expect(b"[127.0.0.1]" in received and b"[IPv6:::1]" in received, f"Received fields: {received!r}")
    postern.stop()


@scenario
def listener_of_ipv6(world):
    sink = world.keep(Sink())
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}", listen="")
    postern.settings["listen"] = f"[::1]:{postern.port}"
    postern.write_config()
    postern.start()
    expect(can_connect(postern.port, "::1"), "it listens on [::1]")
    expect(not can_connect(postern.port, "127.0.0.1"), "and nowhere else")
    postern.stop()


@scenario
def backend_of_ipv6_by_name(world):
    """backend localhost:PORT: a name is looked up, its addresses are tried in order."""
    sink = world.keep(Sink())
    postern = Postern(world, backend=f"localhost:{sink.port}").serve()
    with Client(postern.port) as c:
        expect(c.deliver(plain_message("by-name")).startswith("250 "), "mail passes")
    postern.stop()


@scenario
def no_backend_ever(world):
    """Nobody has answered yet: 421 at the greeting. When one comes, mail flows without anybody's help."""
    port = free_port()
    postern = Postern(world, backend=f"127.0.0.1:{port}").start()

    def refused():
        with Client(postern.port) as c:
            return c.greeting.startswith("421 4.3.2 ") and c.at_end()
    wait_until(refused, "421 at the greeting")
    world.keep(Sink(port=port))
    wait_until(postern.greets, "the backend to be found", 30)
    with Client(postern.port) as c:
        expect(c.deliver(plain_message("late")).startswith("250 "), "mail passes")
    postern.stop()


@scenario
def few_descriptors(world):
    """With few descriptors fewer clients are let in, so that each of them can be given a backend; the others hear 421."""
    sink = world.keep(Sink())
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}")
    postern.wrapper = ["prlimit", "--nofile=60:60"]
    postern.serve()
    expect("few-descriptors" in postern.log() and "for 15 sessions" in postern.log(), postern.log())
    clients = [Client(postern.port) for _ in range(40)]
    welcome = [c for c in clients if c.greeting.startswith("220 ")]
    expect_equal(len(welcome), 15, "clients that are greeted")
    expect(all(c.greeting.startswith("421 4.3.2 ") for c in clients if c not in welcome), "the others are told to come back")
    for c in welcome:
        expect(c.envelope()[0].startswith("250 "), "each client has a backend")
    for c in clients:
        c.close()
    wait_until(postern.greets, "room for others")
    with Client(postern.port) as c:
        expect(c.deliver(plain_message("afterwards")).startswith("250 "), "mail passes")
    postern.stop()


@scenario
def descriptors_run_out(world):
    """Not one descriptor is left: 451 at RCPT, newcomers wait at the door; the backend is not ill for that, so that all goes on as soon as there are some."""
    sink = world.keep(Sink())
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}").serve()
    pid = str(postern.process.pid)

    def allow(count):
        subprocess.run(["prlimit", "--pid", pid, f"--nofile={count}:1024"], check=True)

    with Client(postern.port) as c:
        c.say("EHLO client.example")
        c.say("MAIL FROM:<a@sender.example>")
        allow(3) # those that are open stay so, and whatever is closed cannot be had again
        expect_equal(c.say("RCPT TO:<u@example.org>")[:10], "451 4.3.2 ", "RCPT without a descriptor for the backend")
        late = []
        newcomer = threading.Thread(target=lambda: late.append(Client(postern.port)), daemon=True)
        newcomer.start()
        wait_until(lambda: postern.counter("shortages") >= 3, "the newcomer not to be accepted, and a probe not to be made")
        expect_equal((postern.logged("shortage"), postern.logged("backend-down"), late), (1, 0, []), "what is logged, and who is greeted")
        allow(1024)
        expect(c.say("RCPT TO:<u@example.org>").startswith("250 "), "the same recipient, with descriptors again")
        expect(c.content(plain_message("again")).startswith("250 "), "its message")
        newcomer.join(20)
        expect(late and late[0].greeting.startswith("220 "), "the newcomer is greeted")
        late[0].close()
    expect_equal((postern.counter("backend-failures"), len(sink.messages)), (0, 1), "failures of the backend, and messages")
    postern.stop()


@scenario
def backend_that_died(world):
    """It was there once: clients are greeted, and told 451 4.4.1 at RCPT while it is away."""
    sink = world.keep(Sink())
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}").serve()
    sink.close()
    with Client(postern.port) as c:
        expect_equal(c.envelope()[0][:10], "451 4.4.1 ", "RCPT while the backend is away")
        expect(c.say("NOOP").startswith("250 "), "the session is still there")
    sink = world.keep(Sink(port=sink.port))

    def delivered():
        with Client(postern.port) as c:
            return c.deliver(plain_message("again")).startswith("250 ")
    wait_until(delivered, "mail to flow when it is back", 30)
    postern.stop()


@scenario
def second_backend(world):
    """Several are tried in order; a refusal of the greeting is no answer to the client."""
    closed = free_port()
    full = world.keep(Sink(replies={"greeting": "554 5.3.2 full"}))
    good = world.keep(Sink())
    postern = Postern(world, backend=[f"127.0.0.1:{closed}", f"127.0.0.1:{full.port}", f"127.0.0.1:{good.port}"]).serve()
    for n in range(3):
        with Client(postern.port) as c:
            expect(c.deliver(plain_message(f"second-{n}")).startswith("250 "), "mail passes")
    expect_equal((len(full.messages), len(good.messages)), (0, 3), "messages at the two")
    postern.stop()


@scenario
def outcome_not_known(world):
    """The backend is lost after the final dot: 451, never a second try anywhere."""
    other = world.keep(Sink())

    def die(_):
        first.close()
        return "250 2.0.0 too late"
    first = world.keep(Sink(replies={".": die}))
    postern = Postern(world, backend=[f"127.0.0.1:{first.port}", f"127.0.0.1:{other.port}"]).serve()
    with Client(postern.port) as c:
        expect_equal(c.deliver(plain_message("unclear"))[:10], "451 4.4.2 ", "after the dot")
    expect_equal(len(other.messages), 0, "messages at the other backend")
    postern.stop()


@scenario
def drain_at_term(world):
    """TERM: idle clients hear 421, the transaction under way finishes with the backend's 250, nobody new is let in, the status is 0."""
    sink = world.keep(Sink())
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}").serve()
    with Client(postern.port) as idle, Client(postern.port) as busy, Client(postern.port) as late:
        idle.say("EHLO client.example")
        late.say("EHLO client.example")
        late.say("MAIL FROM:<a@sender.example>")
        busy.envelope()
        expect(busy.say("DATA").startswith("354"), "DATA")
        sink.hold.clear()
        busy.send(plain_message("drain") + b".\r\n")
        expect(sink.dot_seen.wait(20), "the backend has the message")
        postern.process.signal(signal.SIGTERM)
        expect(idle.reply().startswith("421 4.3.2 ") and idle.at_end(), "421 for the idle one")
        wait_until(lambda: not can_connect(postern.port), "the listener to close")
        expect(postern.process.running(), "it waits for the transaction")
        sink.hold.set()
        expect_equal(busy.reply()[:4], "250 ", "the transaction's end")
    expect_equal(postern.process.wait(20), 0, "exit status")
    expect_equal(len(sink.messages), 1, "messages at the backend")
    record = postern.record(lambda r: r["recipients"] and r["recipients"][0]["accepted"], "the drained transaction")
    expect(record["end"].startswith("delivered"), f"the record's end: {record['end']}")


@scenario
def foreign_bytes(world):
    """What clients say stands escaped in journal and log: every journal line is JSON, every log line one line of printable ASCII."""
    sink = world.keep(Sink())
    postern = Postern(world, policy='stage rcpt\n  rule refused: reject "no {helo.name} {mail.from}" when rcpt.local = nobody\n',
                      backend=f"127.0.0.1:{sink.port}").serve()
    nasty = [b'EHLO a"b\\c\x1b[31m\xff', b"EHLO {\"x\":1}", b"EHLO client.example"]
    with Client(postern.port) as c:
        for line in nasty:
            c.send(line + b"\r\n")
            c.reply()
        c.send(b'MAIL FROM:<"q\\" \\\\ id=1 event=delivered"@sender.example>\r\n')
        c.reply()
        heard = c.say("RCPT TO:<nobody@example.org>")
        expect(heard.startswith("550 "), f"refused: {heard}")
        c.send(b"\xfe\xfdBLURB\x00\x07\r\n")
        c.reply()
        expect(c.say("RCPT TO:<u@example.org>").startswith("250 "), "accepted")
        expect(c.content(plain_message("foreign")).startswith("250 "), "taken")
        c.say("QUIT")
    record = postern.record(lambda r: len(r["recipients"]) == 2)
    wait_until(lambda: postern.counter("journal-records") == len(postern.journal()), "the counter of records to be their number")
    expect_equal(record["stages"]["mail"]["facts"]["mail.from"][0].split("@")[1], "sender.example", "the sender in the record")
    for refusal in (heard, record["recipients"][0]["reply"]):
        expect(all(31 < ord(ch) < 127 for ch in refusal), f"a printable refusal: {refusal!r}")
    postern.stop()
    with open(postern.log_path, "rb") as f:
        log = f.read()
    for line in log.splitlines():
        expect(all(31 < byte < 127 for byte in line), f"a printable log line: {line!r}")
        expect(re.match(rb"\d{4}-\d\d-\d\dT\S+ [a-z]+ [a-z-]+( [a-z-]+=(\"([^\"\\]|\\.)*\"|[^\" ]*))*$", line), f"a line of name=value: {line!r}")
    expect(record["id"].encode() in log, "the id stands in the log")
    received = sink.messages[0].octets.split(b"X-Mark", 1)[0].decode()
    expect(record["id"] in received, f"the id stands in the Received field: {received}")
    expect(record["id"].split(".")[0] in heard, f"the id stands in the refusal: {heard}")


@scenario
def journal_is_reopened(world):
    """The journal was moved away: HUP makes a new one, and no record is torn."""
    sink = world.keep(Sink())
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}").serve()
    with Client(postern.port) as c:
        c.deliver(plain_message("one"))
    postern.record(lambda r: r["recipients"])
    os.rename(postern.journal_path, postern.journal_path + ".1")
    postern.reload()
    wait_until(lambda: os.path.exists(postern.journal_path), "a new journal")
    with Client(postern.port) as c:
        c.deliver(plain_message("two"))
    postern.record(lambda r: r["recipients"])
    with open(postern.journal_path + ".1", encoding="utf-8") as f:
        expect(all(json.loads(line)["id"] for line in f), "the old journal is whole")
    postern.stop()


@scenario
def big_messages_leave_memory(world):
    """A message larger than spool-memory goes through an unlinked file: nothing is left in the spool's folder, also not after kill -9."""
    sink = world.keep(Sink())
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}")
    spool = world.folder("spool")
    postern.settings.update(spool_directory=f'"{spool}"', spool_memory="4K")
    postern.write_config()
    postern.serve()
    with Client(postern.port) as c:
        expect(c.deliver(plain_message("big", lines=50000)).startswith("250 "), "taken")
    with Client(postern.port) as c:
        c.envelope()
        c.say("DATA")
        c.send(plain_message("half", lines=50000))
        deleted = lambda: [os.readlink(f"/proc/{postern.process.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{postern.process.pid}/fd")]
        wait_until(lambda: any(spool in path and "deleted" in path for path in deleted()), "the unlinked file")
        expect_equal(os.listdir(spool), [], "names in the spool's folder")
        postern.process.kill()
    expect_equal(os.listdir(spool), [], "names after kill -9")
    expect_equal(len(sink.messages), 1, "messages at the backend")


@scenario
def address_in_use(world):
    """A port that another program has: an error that names it, and a status."""
    sink = world.keep(Sink())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        postern = Postern(world, backend=f"127.0.0.1:{sink.port}", listen=f"127.0.0.1:{port}")
        done = subprocess.run([world.binary, "run", "--config", postern.config], stdin=subprocess.DEVNULL, capture_output=True, timeout=30,
                              env={**os.environ, **world.sanitizers()}, check=False)
    expect(done.returncode != 0 and str(port) in done.stderr.decode(), f"status {done.returncode}: {done.stderr.decode()}")


@scenario
def checked_before_it_runs(world):
    """check says every mistake of configuration and policy at once; run with the same files does not start."""
    postern = Postern(world, policy="stage rcpt\n  rule a: rejct\n  rule b: reject when rcpt.lokal = x\n", backend="127.0.0.1:1")
    for command in ("check", "run"):
        done = postern.run(command, "--config", postern.config)
        said = (done.stdout + done.stderr).decode()
        expect(done.returncode != 0, f"{command}: status {done.returncode}")
        expect("test.policy:2:" in said and "test.policy:3:" in said and "^" in said and "reject" in said, f"{command} says:\n{said}")
    postern.set_policy("stage rcpt\n  rule a: accept\n")
    done = postern.run("check", "--config", postern.config)
    expect_equal(done.returncode, 0, f"check of good files:\n{(done.stdout + done.stderr).decode()}")
