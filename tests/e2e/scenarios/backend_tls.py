"""STARTTLS to the backend: off, may, require; verified by name or by fingerprint; a real Postfix, and a sink for what no honest server does."""
import re

from parts.certificates import Authority
from parts.client import Client, mark_of, plain_message
from parts.postern import Postern
from parts.postfix import Postfix
from parts.process import expect, expect_equal, wait_until
from parts.sink import Sink

from . import scenario


def with_tls(world, ca, level="may", names=("backend.example.org",)):
    certificate = ca.certificate(*names)
    postfix = Postfix(world, smtpd_tls_security_level=level, smtpd_tls_cert_file=certificate.file, smtpd_tls_key_file=certificate.key,
                      smtpd_tls_received_header="yes", smtpd_tls_loglevel="1").start()
    return postfix, certificate


@scenario(root=True)
def starttls_to_postfix(world):
    """Each way that should work, into one Postfix that requires TLS; its Received says that TLS it was."""
    ca = Authority(world)
    postfix, certificate = with_tls(world, ca, "encrypt")
    ways = {"may": "tls may", "require": "tls require", "name": f'tls require verify backend.example.org ca "{ca.file}"',
            "fingerprint": f"tls require fingerprint {certificate.fingerprint()}"}
    for way, options in ways.items():
        postern = Postern(world, backend=f"127.0.0.1:{postfix.port} {options}").serve()
        with Client(postern.port) as c:
            for i in range(2): # the second connection resumes the first's session
                expect(c.deliver(plain_message(f"{way}-{i}"), helo="client.example").startswith("250 "), f"mail by `{options}`")
        postern.stop()
    postfix.drain()
    mail = postfix.mail("u")
    expect_equal(sorted(mark_of(m) for m in mail), sorted(f"{way}-{i}" for way in ways for i in range(2)), "delivered messages")
    for message in mail:
        expect(re.search(rb"Received: from [^\n]*\n\s+\(using TLSv1\.3 with cipher ", message), f"Postfix's Received: {message[:600]!r}")


@scenario(root=True)
def backend_that_cannot_be_verified(world):
    """A wrong name, a wrong fingerprint, an unknown authority, no TLS at all: nothing is delivered, the client hears 451 and the log why."""
    ca = Authority(world)
    postfix, certificate = with_tls(world, ca)
    bare = world.keep(Sink())
    other = ca.certificate("other.example.org")
    wrongs = {"a wrong name": f'127.0.0.1:{postfix.port} tls require verify other.example.org ca "{ca.file}"',
              "an unknown authority": f"127.0.0.1:{postfix.port} tls require verify backend.example.org",
              "a wrong fingerprint": f"127.0.0.1:{postfix.port} tls require fingerprint {other.fingerprint()}",
              "no STARTTLS": f"127.0.0.1:{bare.port} tls require"}
    good = world.keep(Sink())
    for what, backend in wrongs.items():
        postern = Postern(world, domains="example.net", backend=f"127.0.0.1:{good.port}", route=f"example.org backend {backend}").serve()
        with Client(postern.port) as c:
            expect(c.deliver(plain_message("no")).startswith("451 4.4.1 "), f"{what}: 451")
            expect(c.deliver(plain_message(what), recipients=("u@example.net",), helo=None).startswith("250 "), "the other route works")
        wait_until(lambda p=postern: re.search(r"(?m)\bbackend-down\b.*\bwhy=", p.log()), lambda w=what, p=postern: f"{w} in the log:\n{p.log()}")
        postern.stop()
        alone = Postern(world, backend=backend).start()
        with Client(alone.port) as c:
            expect(c.greeting.startswith("421 4.3.2 "), f"{what}, and no other backend: {c.greeting}")
        alone.stop()
    expect_equal((postfix.mail("u"), bare.messages), ([], []), "mail at a backend that is not the one that was meant")
    expect(not any(c.startswith("MAIL") for c in bare.commands), "the sink heard no MAIL")
    expect_equal(len(good.messages), len(wrongs), "messages at the other route")


@scenario
def backend_that_injects(world):
    """Replies that come behind 220 and before the handshake are nobody's: the connection is dropped (CVE-2021-38371)."""
    ca = Authority(world)
    honest = world.keep(Sink())
    evil = world.keep(Sink(tls=ca.certificate("backend.example.org").serve(), replies={"STARTTLS": "220 2.0.0 go\r\n250-evil\r\n250 SIZE 1"}))
    postern = Postern(world, backend=[f"127.0.0.1:{evil.port} tls may", f"127.0.0.1:{honest.port} tls may"]).serve()
    with Client(postern.port) as c:
        expect(c.deliver(plain_message("past")).startswith("250 "), "the next backend takes it")
    expect_equal(([mark_of(m.octets) for m in honest.messages], evil.messages), (["past"], []), "messages")
    expect("STARTTLS" in evil.commands and not any(c.startswith("MAIL") for c in evil.commands), f"the evil one heard no mail: {evil.commands}")
    postern.stop()


@scenario
def tls_may_and_what_it_offers_inside(world):
    """What a backend offers behind TLS counts, not what it offered before; `off` leaves STARTTLS alone."""
    ca = Authority(world)
    first = [True]

    def ehlo(_):
        first[0], before = False, first[0]
        return "250-sink\r\n250 STARTTLS" if before else "250-sink\r\n250-8BITMIME\r\n250 SIZE 1000"
    sink = world.keep(Sink(tls=ca.certificate("backend.example.org").serve(), replies={"EHLO": ehlo, "QUIT": "221 bye"}))
    postern = Postern(world, backend=f"127.0.0.1:{sink.port} tls may", backend_probe="1h").serve()
    with Client(postern.port) as c:
        offered = c.say("EHLO client.example")
        expect("8BITMIME" in offered and "SIZE 1000" in offered, f"what was offered behind TLS: {offered}")
    postern.stop()
    off = world.keep(Sink(tls=ca.certificate("backend.example.org").serve()))
    postern = Postern(world, backend=f"127.0.0.1:{off.port} tls off").serve()
    with Client(postern.port) as c:
        expect(c.deliver(plain_message("clear")).startswith("250 "), "mail passes")
    expect("STARTTLS" not in off.commands, "nobody said STARTTLS")
    postern.stop()
