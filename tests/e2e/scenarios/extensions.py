"""CHUNKING, SMTPUTF8, 8BITMIME, BINARYMIME and DSN: each in use, end to end, octet for octet."""
import random
import re

from parts.client import Client, below_mark, mark_of, plain_message, shapes
from parts.postern import Postern
from parts.postfix import Postfix, recipient_of
from parts.process import expect, expect_equal, wait_until
from parts.sink import Sink

from . import scenario

ALL = (*Sink.EXTENSIONS, "SMTPUTF8", "DSN")


def send_chunks(client, message, sizes, empty_last):
    """The message in chunks of these sizes, over and over; the reply to the last."""
    at, n = 0, 0
    while True:
        size = sizes[n % len(sizes)]
        octets, at, n = message[at:at + size], at + size, n + 1
        last = at >= len(message) and not empty_last
        reply = client.bdat(octets, last)
        if last:
            return reply
        expect(reply.startswith("250 "), f"a chunk: {reply}")
        if at >= len(message):
            return client.bdat(b"", True)


def send_all_by_chunks(port, sent, seed):
    """Each message in another way: whole, a megabyte at a time, chunks that end anywhere, BDAT 0 LAST."""
    rng = random.Random(seed)
    for i, (name, message) in enumerate(sent.items()):
        with Client(port) as c:
            expect("CHUNKING" in c.say("EHLO client.example"), "CHUNKING is offered")
            c.envelope(helo=None)
            sizes = ([len(message)], [1048576], [rng.randrange(1, 200000) for _ in range(7)], [1, 2, 3, 70000])[i % 4]
            reply = send_chunks(c, message, sizes, empty_last=i % 2 == 0)
            expect(reply.startswith("250"), f"{name} is taken: {reply}") # Exim's is of two lines
            expect(c.say("RSET").startswith("250 "), f"what follows {name} is a command again")


@scenario
def bdat_before_data(world):
    """The backend knows DATA only: every shape of message by BDAT comes to it as it was sent."""
    sink = world.keep(Sink())
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}").serve()
    sent = shapes(world.seed)
    send_all_by_chunks(postern.port, sent, world.seed)
    expect_equal(len(sink.messages), len(sent), "messages at the sink")
    expect(not any(c.startswith("BDAT") for c in sink.commands), "DATA was used")
    for kept in sink.messages:
        name = mark_of(kept.octets)
        expect(below_mark(kept.octets) == sent[name], f"{name} differs: {len(sent[name])} octets sent")
    postern.stop()


@scenario
def bdat_before_bdat(world):
    """The backend has CHUNKING: BDAT in, BDAT out; DATA in, DATA out."""
    sink = world.keep(Sink(extensions=(*ALL, "CHUNKING")))
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}").serve()
    sent = shapes(world.seed)
    send_all_by_chunks(postern.port, sent, world.seed)
    expect_equal(len(sink.messages), len(sent), "messages at the sink")
    expect(not any(c == "DATA" for c in sink.commands), "BDAT was used")
    for kept in sink.messages:
        name = mark_of(kept.octets)
        expect(below_mark(kept.octets) == sent[name], f"{name} differs: {len(sent[name])} octets sent")
    with Client(postern.port) as c:
        expect(c.deliver(plain_message("by-data")).startswith("250 "), "DATA is taken")
    expect("DATA" in sink.commands, "and goes by DATA")
    postern.stop()


@scenario
def refused_chunks(world):
    """A chunk that cannot be taken is eaten, never read as commands; a hidden second message in one is none; RSET between chunks."""
    sink = world.keep(Sink())
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}").serve()
    command = b"MAIL FROM:<evil@sender.example>\r\n"
    with Client(postern.port) as c:
        c.say("EHLO client.example")
        expect(c.bdat(command, True).startswith("503 "), "BDAT before MAIL")
        c.say("MAIL FROM:<a@sender.example>")
        expect(c.bdat(command * 1000).startswith("503 "), "BDAT before RCPT")
        expect(c.say("NOOP").startswith("250 "), "the next reply is to the next command")
        c.say("RCPT TO:<u@example.org>")
        expect(c.bdat(b"X-Mark: half\r\n").startswith("250 "), "a first chunk")
        expect(c.say("DATA").startswith("503 "), "DATA after BDAT")
        expect(c.say("RSET").startswith("250 "), "RSET between chunks")
        hidden = plain_message("outer") + b"\r\n.\r\nMAIL FROM:<evil@sender.example>\r\nRCPT TO:<v@example.org>\r\nDATA\r\nX-Mark: hidden\r\n\r\n.\r\n"
        c.envelope(helo=None)
        expect(c.bdat(hidden, True).startswith("250 "), "a message that looks like two")
        for bad in ("BDAT", "BDAT -1", "BDAT x", "BDAT 99999999999999999999999 LAST"):
            expect(c.say(bad).startswith("501 "), f"{bad} is refused")
    expect_equal([mark_of(m.octets) for m in sink.messages], ["outer"], "messages")
    expect(below_mark(sink.messages[0].octets) == hidden, "it is one message, octet for octet")
    expect(not any("evil" in c for c in sink.commands), "no command came out of a chunk")
    postern.stop()


@scenario
def binary_end_to_end(world):
    """BINARYMIME only where all backends have it, and then every octet as it is."""
    sink = world.keep(Sink(extensions=(*ALL, "CHUNKING", "BINARYMIME")))
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}").serve()
    body = bytes(range(256)) * 600 + b"\r\n.\r\n.\n\r\r..\x00 no line end"
    message = b"X-Mark: binary\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: binary\r\n\r\n" + body
    with Client(postern.port) as c:
        expect("BINARYMIME" in c.say("EHLO client.example"), "BINARYMIME is offered")
        c.say("MAIL FROM:<a@sender.example> BODY=BINARYMIME")
        c.say("RCPT TO:<u@example.org>")
        expect(c.say("DATA").startswith("503 "), "not by DATA")
        expect(send_chunks(c, message, [1, 7, 65537], True).startswith("250 "), "it is taken")
    expect_equal(len(sink.messages), 1, "messages")
    expect(below_mark(sink.messages[0].octets) == message, f"octets: {len(message)} sent, {len(below_mark(sink.messages[0].octets))} came")
    expect("BODY=BINARYMIME" in sink.messages[0].sender, f"MAIL: {sink.messages[0].sender}")
    postern.stop()
    plain = world.keep(Sink(extensions=ALL))
    postern = Postern(world, backend=f"127.0.0.1:{plain.port}").serve()
    with Client(postern.port) as c:
        expect("BINARYMIME" not in c.say("EHLO client.example"), "BINARYMIME is not offered")
        expect(c.say("MAIL FROM:<a@sender.example> BODY=BINARYMIME").startswith("5"), "nor taken")
    postern.stop()


@scenario(root=True)
def chunks_into_postfix(world):
    """Postfix has CHUNKING: what came by BDAT reaches it by BDAT, and its mailbox as it was."""
    postfix = Postfix(world).start()
    postern = Postern(world, backend=f"127.0.0.1:{postfix.port}").serve()
    sent = shapes(world.seed)
    send_all_by_chunks(postern.port, sent, world.seed)
    postfix.drain()
    mail = postfix.mail("u")
    expect_equal(len(mail), len(sent), "delivered messages")
    for delivered in mail:
        name = mark_of(delivered)
        wanted, seen = sent[name].replace(b"\r\n", b"\n"), below_mark(delivered)
        expect(seen in (wanted, wanted + b"\n") if name == "no-body" else seen == wanted, f"{name} differs: {len(wanted)} octets, {len(seen)}")
    wait_until(lambda: re.search(r"disconnect from .* bdat=\d", postfix.log()), lambda: f"bdat= in Postfix's log:\n{postfix.log()[-2000:]}")
    postern.stop()


@scenario(root=True)
def utf8_dsn_and_8bit_at_once(world):
    """A UTF-8 sender and recipient, an 8-bit body and a DSN asked for, through a real Postfix and back in the delivery report."""
    postfix = Postfix(world, smtputf8_enable="yes").start()
    postern = Postern(world, backend=f"127.0.0.1:{postfix.port}").serve()
    message = ("X-Mark: utf8\r\nFrom: Ünal <v@example.org>\r\nTo: <ü@example.org>\r\nSubject: Grüße, 你好\r\nMIME-Version: 1.0\r\n"
               "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nдобрый день\r\n").encode()
    with Client(postern.port) as c:
        offered = c.say("EHLO client.example")
        for name in ("SMTPUTF8", "8BITMIME", "DSN", "CHUNKING"):
            expect(name in offered, f"{name} is offered: {offered}")
        expect(c.say("MAIL FROM:<v@example.org> SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=QQ314159+2B").startswith("250 "), "MAIL")
        reply = c.say("RCPT TO:<ü@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=utf-8;\\x{FC}+40example.org")
        if not reply.startswith("250 "): # Postfix before 3.8 wants ORCPT=rfc822
            reply = c.say("RCPT TO:<ü@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;other+40example.org")
        expect(reply.startswith("250 "), f"RCPT: {reply}")
        expect(c.bdat(message, True).startswith("250 "), "the message")
    postfix.drain()
    delivered = postfix.mail("ü")
    expect_equal(len(delivered), 1, f"delivered messages; the log:\n{postfix.log()[-2000:]}")
    expect(below_mark(delivered[0]) == message.replace(b"\r\n", b"\n"), f"the message: {delivered[0]!r}")
    expect_equal(recipient_of(delivered[0]), "ü@example.org", "its recipient")
    expect(re.search(rb"with UTF8SMTP", delivered[0]), f"Received says UTF8SMTP: {delivered[0][:800]!r}")
    wait_until(lambda: postfix.mail("v"), lambda: f"the report:\n{postfix.log()[-2000:]}")
    report = postfix.mail("v")[0].decode("utf-8", "replace")
    for wanted in (r"Original-Envelope-Id: QQ314159\+", r"(?i)Action: delivered", r"Original-Recipient: .*example\.org"):
        expect(re.search(wanted, report), f"{wanted} in the report:\n{report}")
    postern.stop()


@scenario(root=True)
def backends_that_differ(world):
    """What one of two backends lacks is not announced, and then not taken; what is ours always is."""
    postfix = Postfix(world, smtputf8_enable="no").start()
    sink = world.keep(Sink(extensions=(*ALL, "CHUNKING", "BINARYMIME")))
    postern = Postern(world, backend=[f"127.0.0.1:{sink.port}", f"127.0.0.1:{postfix.port}"]).serve()
    wait_until(lambda: postern.logged("backend-up") >= 2, "both backends")
    with Client(postern.port) as c:
        offered = c.say("EHLO client.example").split("\n")
        names = {line[4:].split(" ")[0] for line in offered[1:]}
        expect(not names & {"SMTPUTF8", "BINARYMIME"}, f"what Postfix lacks: {names}")
        expect(names >= {"8BITMIME", "DSN", "CHUNKING", "PIPELINING", "SIZE", "ENHANCEDSTATUSCODES"}, f"what both have: {names}")
        expect(c.say("MAIL FROM:<a@sender.example> SMTPUTF8").startswith("555 "), "the parameter is refused")
        expect(c.say("MAIL FROM:<ü@sender.example>").startswith("5"), "and such an address")
        expect(c.deliver(plain_message("both"), helo=None).startswith("250 "), "other mail passes")
    postern.stop()
