"""Who the client is: PROXY protocol in from balancers, XCLIENT and PROXY protocol out to real Postfix. And routes: domains with servers of their own."""
import re
import socket
import struct

from parts.client import Client, mark_of, plain_message
from parts.dns import Dns
from parts.postern import Postern
from parts.postfix import Postfix
from parts.process import expect, expect_equal, free_port, wait_until
from parts.sink import Sink

from . import scenario

CLIENT, CLIENT6, BALANCER, STRANGER = "203.0.113.9", "2001:db8::9", "192.0.2.10", "198.51.100.7"


def names(world):
    """A client whose name is confirmed."""
    return world.keep(Dns(world, zones={"113.0.203.in-addr.arpa": "9 PTR client.sender.example.\n", "sender.example": f"client A {CLIENT}\n"}).start())


def v1(source, destination, family="TCP4"):
    return f"PROXY {family} {source} {destination} 40000 25\r\n".encode()


def v2(source=None, destination=None):
    """A binary header; without addresses the balancer speaks for itself (LOCAL)."""
    signature = b"\r\n\r\n\0\r\nQUIT\n"
    if not source:
        return signature + b"\x20\x00\x00\x00"
    six = ":" in source
    family = socket.AF_INET6 if six else socket.AF_INET
    addresses = socket.inet_pton(family, source) + socket.inet_pton(family, destination) + struct.pack("!HH", 40000, 25)
    return signature + bytes([0x21, 0x21 if six else 0x11]) + struct.pack("!H", len(addresses)) + addresses


@scenario(addresses=True)
def xclient_to_postfix(world):
    """Postfix logs and judges the client, not Postern: address, confirmed name, HELO; a changed HELO is told as well."""
    dns = names(world)
    postfix = Postfix(world, inet_protocols="all", smtpd_client_restrictions="check_client_access inline:{198.51.100.7=REJECT}").start()
    postern = Postern(world, backend=f"127.0.0.1:{postfix.port} client-address xclient", resolver=dns.resolver)
    postern.settings["listen"] = [f"127.0.0.1:{postern.port}", f"[2001:db8::25]:{postern.port}"]
    postern.write_config()
    postern.serve()
    with Client(postern.port, source=CLIENT) as c:
        expect(c.deliver(plain_message("first"), helo="client.sender.example").startswith("250 "), "mail passes")
        expect(c.deliver(plain_message("second"), helo="other.sender.example").startswith("250 "), "under another HELO too")
    with Client(postern.port, "2001:db8::25", CLIENT6) as c:
        expect(c.deliver(plain_message("third"), helo="six.example").startswith("250 "), "mail from IPv6")
    with Client(postern.port, source=STRANGER) as c:
        expect(c.deliver(plain_message("no")).startswith("554 5.7.1 "), "Postfix's own rule for a client is heard")
    postfix.drain()
    log = postfix.log()
    expect(f"client=client.sender.example[{CLIENT}]" in log, f"the client's name and address:\n{log}")
    expect(f"client=unknown[{CLIENT6}]" in log, f"an IPv6 client:\n{log}")
    heads = {mark_of(m): m.split(b"X-Mark")[0] for m in postfix.mail("u")}
    for mark, wanted in (("first", rb"from client\.sender\.example \(client\.sender\.example \[203\.0\.113\.9\]\)"),
                         ("second", rb"from other\.sender\.example \(client\.sender\.example \[203\.0\.113\.9\]\)"),
                         ("third", rb"from six\.example \(unknown \[IPv6:2001:db8::9\]\)")):
        expect(re.search(rb"Received: " + wanted + rb"\s+by backend\.example\.org", heads[mark]), f"Postfix's Received of {mark}: {heads[mark]!r}")
    postern.stop()


@scenario(root=True)
def xclient_that_is_not_allowed(world):
    """A backend that does not offer XCLIENT to us is out of service, and the log says why: the client's address is never silently left out."""
    postfix = Postfix(world, smtpd_authorized_xclient_hosts="").start()
    postern = Postern(world, backend=f"127.0.0.1:{postfix.port} client-address xclient").start()
    wait_until(lambda: "XCLIENT" in postern.log(), lambda: f"the reason in the log:\n{postern.log()}")
    with Client(postern.port) as c:
        expect(c.greeting.startswith("421 4.3.2 "), f"greeting: {c.greeting}")
    postern.stop()


@scenario(addresses=True)
def proxy_protocol_to_postfix(world):
    """The same by PROXY protocol; probes speak for themselves."""
    postfix = Postfix(world, smtpd_upstream_proxy_protocol="haproxy", inet_protocols="all").start()
    postern = Postern(world, backend=f"127.0.0.1:{postfix.port} client-address proxy")
    postern.settings["listen"] = [f"127.0.0.1:{postern.port}", f"[2001:db8::25]:{postern.port}"]
    postern.write_config()
    postern.serve()
    with Client(postern.port, source=CLIENT) as c:
        expect(c.deliver(plain_message("four")).startswith("250 "), "mail passes")
    with Client(postern.port, "2001:db8::25", CLIENT6) as c:
        expect(c.deliver(plain_message("six")).startswith("250 "), "mail from IPv6 passes")
    postfix.drain()
    for address in (CLIENT, CLIENT6):
        expect(f"client=unknown[{address}]" in postfix.log(), f"{address} in Postfix's log:\n{postfix.log()}")
    expect_equal(sorted(mark_of(m) for m in postfix.mail("u")), ["four", "six"], "delivered messages")
    postern.stop()


@scenario(addresses=True)
def proxy_protocol_from_balancers(world):
    """v1 and v2, IPv4 and IPv6, from the balancers that are configured, and from nobody else; LOCAL is exempt from every check."""
    sink = world.keep(Sink())
    policy = 'stage rcpt\n  rule who: reject "not {client.ip}" when client.ip in 198.51.100.0/24\n  rule others: accept\n'
    postern = Postern(world, policy=policy, backend=f"127.0.0.1:{sink.port}")
    balanced = free_port("192.0.2.25")
    postern.settings["listen"] = [f"127.0.0.1:{postern.port}", f"192.0.2.25:{balanced} proxy-from 192.0.2.10 proxy-from 192.0.2.12/30"]
    postern.write_config()
    postern.serve()

    def through(header, source=BALANCER, pieces=1):
        c = Client(balanced, "192.0.2.25", source, greet=False)
        size = -(-len(header) // pieces)
        for at in range(0, len(header), size):
            c.send(header[at:at + size])
        return c

    told = [("v1", v1(CLIENT, "192.0.2.25"), CLIENT), ("v1-six", v1(CLIENT6, "2001:db8::25", "TCP6"), CLIENT6), ("v2", v2("203.0.113.77", "192.0.2.25"), "203.0.113.77"),
            ("v2-six", v2(CLIENT6, "2001:db8::25"), CLIENT6)]
    for mark, header, address in told:
        with through(header, pieces=len(header) if mark == "v2" else 1) as c:
            expect(c.reply().startswith("220 "), f"the greeting of {mark}")
            reply = c.deliver(plain_message(mark), sender=f"{mark}@sender.example")
            expect(reply.startswith("250 "), f"{mark}: {reply}")
        message = next(m.octets for m in sink.messages if mark_of(m.octets) == mark)
        literal = f"[IPv6:{address}]" if ":" in address else f"[{address}]"
        expect(literal.encode() in message.split(b"X-Mark")[0], f"{literal} in Received of {mark}: {message[:300]}")
        postern.record(lambda r, a=address, m=mark: r["client"] == a and f"{m}@sender.example" in str(r["stages"].get("mail")), f"the client of {mark}")
    with through(v1(STRANGER, "192.0.2.25")) as c:
        c.reply()
        expect(c.deliver(plain_message("judged")).startswith("550 5.7.1 not 198.51.100.7"), "the policy judges the client")
    with through(v2(), "192.0.2.13") as c: # the balancer's own, whatever the policy says
        expect(c.reply().startswith("220 ") and c.say("EHLO balancer.example").startswith("250-"), "a health check is greeted")
    for broken in (b"EHLO client.example\r\n", b"PROXY TCP4 999.1.1.1 192.0.2.25 1 25\r\n", b"PROXY " + b"x" * 120):
        with through(broken) as c:
            seen = b""
            try:
                c.socket.settimeout(5)
                seen = c.file.read()
            except OSError:
                pass
            expect(not seen.startswith(b"220"), f"a balancer without a header is not greeted: {broken[:20]!r} {seen!r}")
    for header in (v1(CLIENT, "192.0.2.25"), v2(CLIENT, "192.0.2.25")): # a stranger's header is only bad manners
        with through(header, STRANGER) as c:
            try:
                c.reply()
                reply = c.deliver(plain_message("stranger"))
            except (OSError, EOFError):
                reply = "closed"
        expect(not reply.startswith("250 "), f"a stranger's header is not believed: {reply}")
    with Client(balanced, "192.0.2.25", STRANGER) as c: # who is no balancer may speak for itself
        expect(c.deliver(plain_message("direct")).startswith("550 5.7.1 not 198.51.100.7"), "a client without a balancer is itself")
    expect_equal(sorted(mark_of(m.octets) for m in sink.messages), sorted(t[0] for t in told), "messages")
    postern.stop()


@scenario(root=True)
def routes(world):
    """Domains with servers of their own: each goes to its own, one message goes to one; what is down takes only its own domains along."""
    postfix = Postfix(world).start()
    sink = world.keep(Sink())
    postern = Postern(world, domains="example.org", backend=f"127.0.0.1:{postfix.port}",
                      route=f"example.net, .lists.example.net backend 127.0.0.1:{sink.port}").serve()
    with Client(postern.port) as c:
        replies = c.envelope(recipients=("u@example.org", "a@example.net", "v@example.org"))
        expect_equal([r[:9] for r in replies], ["250 2.1.5", "452 4.5.3", "250 2.1.5"], f"one message, one route: {replies}")
        expect(c.content(plain_message("org")).startswith("250 "), "the message")
        replies = c.envelope(recipients=("a@example.net", "b@x.lists.example.net", "u@example.org", "z@elsewhere.example"), helo=None)
        expect_equal([r[:9] for r in replies], ["250 2.1.5", "250 2.1.5", "452 4.5.3", "550 5.7.1"], f"the other way round: {replies}")
        expect(c.content(plain_message("net")).startswith("250 "), "the message")
    postfix.drain()
    expect_equal([[mark_of(m) for m in postfix.mail(box)] for box in ("u", "v")], [["org"], ["org"]], "in Postfix")
    expect_equal([(mark_of(m.octets), m.recipients) for m in sink.messages], [("net", ["RCPT TO:<a@example.net>", "RCPT TO:<b@x.lists.example.net>"])], "at the route's")
    sink.close()
    with Client(postern.port) as c:
        expect(c.deliver(plain_message("down"), recipients=("a@example.net",)).startswith("451 4.4.1 "), "the route's server is down")
        expect(c.deliver(plain_message("up"), helo=None).startswith("250 "), "the other's mail passes")
    postern.stop()


@scenario
def vrfy_and_etrn(world):
    """Asked of the backend where the settings say so; else answered here."""
    sink = world.keep(Sink(replies={"VRFY": "250 2.1.5 <u@example.org>", "ETRN": "253 OK, pending"}, extensions=(*Sink.EXTENSIONS, "ETRN")))
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}", relay_vrfy="yes", relay_etrn="yes").serve()
    with Client(postern.port) as c:
        expect("ETRN" in c.say("EHLO client.example"), "ETRN is offered")
        expect(c.say("VRFY u").startswith("250 2.1.5 "), "VRFY")
        expect(c.say("ETRN example.org").startswith("253 "), "ETRN")
    postern.stop()
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}").serve()
    asked = len(sink.commands)
    with Client(postern.port) as c:
        expect("ETRN" not in c.say("EHLO client.example"), "ETRN is not offered")
        expect(c.say("VRFY u").startswith("252 "), "VRFY")
        expect(c.say("ETRN example.org").startswith("5"), "ETRN")
    expect(not any(c.startswith(("VRFY", "ETRN")) for c in sink.commands[asked:]), "nobody was asked")
    postern.stop()
