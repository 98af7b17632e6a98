"""Mail passes: all of it, once, and octet for octet the same below the fields that Postern puts in front."""
import os
import re
import subprocess

from parts.client import Client, below_mark, mark_of, plain_message, shapes
from parts.postern import Postern
from parts.postfix import Postfix, recipient_of
from parts.process import expect, expect_equal
from parts.sink import Sink

from . import scenario


def as_lines(message):
    return message.replace(b"\r\n", b"\n")


@scenario(root=True)
def smtp_source_2000(world):
    """2,000 messages by smtp-source over 20 connections into Postfix: each recipient has its one message, and all are the same."""
    count = 2000
    postfix = Postfix(world).start()
    postern = Postern(world, backend=f"127.0.0.1:{postfix.port}", message_limit=5000).serve()
    message = plain_message("source", lines=60) + b"." + b"\r\n..two dots\r\n" + b"\xe9\xff 8 bit\r\n" + b"x" * 990 + b"\r\n"
    path = os.path.join(world.root, "message")
    with open(path, "wb") as f:
        f.write(as_lines(message))

    def source(port, messages, connections, to):
        # -N makes the recipients 1u@..., 2u@...; without -A any refusal ends smtp-source with a status
        done = subprocess.run(["smtp-source", "-d", "-s", str(connections), "-m", str(messages), "-N", "-M", "client.example", "-f",
                               "a@sender.example", "-t", to, "-F", path, f"inet:127.0.0.1:{port}"],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=240, check=False)
        expect_equal((done.returncode, done.stderr), (0, b""), "smtp-source")

    source(postfix.port, 1, 1, "v@example.org") # what comes without Postern: smtp-source adds an empty line at the end
    source(postern.port, count, 20, "u@example.org")
    postfix.drain()
    mail = postfix.mail("u")
    wanted = below_mark(postfix.mail("v")[0])
    expect_equal(wanted, as_lines(message) + b"\n", "the message without Postern")
    expect_equal(len(mail), count, "delivered messages")
    numbers = sorted(int(re.match(r"\d+", recipient_of(m)).group()) for m in mail)
    expect(len(set(numbers)) == count and numbers[-1] - numbers[0] == count - 1, "each recipient has one message")
    different = [m for m in mail if below_mark(m) != wanted]
    expect_equal(len(different), 0, "messages that are not the same")
    in_front = {len(re.findall(rb"(?m)^[ \t]+by mx\.example\.org \(Postern\)", m[:m.find(b"X-Mark: ")])) for m in mail[:50]}
    expect_equal(in_front, {1}, "Received fields of Postern")
    postern.stop()


@scenario(root=True)
def smtp_source_one_a_connection(world):
    """The same with a connection for each message, and 20 at once."""
    count = 300
    postfix = Postfix(world).start()
    postern = Postern(world, backend=f"127.0.0.1:{postfix.port}").serve()
    done = subprocess.run(["smtp-source", "-s", "20", "-m", str(count), "-l", "5000", "-N", "-M", "client.example", "-f", "a@sender.example",
                           "-t", "u@example.org", f"inet:127.0.0.1:{postern.port}"],
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)
    expect_equal((done.returncode, done.stderr), (0, b""), "smtp-source")
    postfix.drain()
    expect_equal(len({recipient_of(m) for m in postfix.mail("u")}), count, "delivered messages")
    postern.stop()


@scenario(root=True)
def shapes_into_postfix(world):
    """Bodies of a megabyte, 8-bit, long lines, leading dots: as they were when Postfix delivers them."""
    postfix = Postfix(world).start()
    postern = Postern(world, backend=f"127.0.0.1:{postfix.port}").serve()
    sent = shapes(world.seed)
    with Client(postern.port) as c:
        c.say("EHLO client.example")
        for name, message in sent.items():
            expect(c.deliver(message, helo=None).startswith("250 "), f"{name} is taken")
    postfix.drain()
    mail = postfix.mail("u")
    expect_equal(len(mail), len(sent), "delivered messages")
    for delivered in mail:
        name = mark_of(delivered)
        wanted = as_lines(sent[name])
        seen = below_mark(delivered)
        # A message that has no body at all: cleanup(8) ends the header with an empty line. Lines past its line_length_limit stay whole.
        expect(seen in (wanted, wanted + b"\n") if name == "no-body" else seen == wanted, f"{name} differs: {len(wanted)} octets, {len(seen)}")
    postern.stop()


@scenario
def shapes_exactly(world):
    """The same beside Postfix, which has ideas of its own: what stands on the wire behind Postern is what stood before it."""
    sink = world.keep(Sink())
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}").serve()
    sent = shapes(world.seed)
    for name, message in sent.items():
        with Client(postern.port) as c:
            expect(c.deliver(message).startswith("250 "), f"{name} is taken")
    expect_equal(len(sink.messages), len(sent), "messages at the sink")
    for kept in sink.messages:
        name = mark_of(kept.octets)
        front, seen = kept.octets.split(b"X-Mark: ", 1)
        expect(b"X-Mark: " + seen == sent[name], f"{name} differs: {len(sent[name])} octets sent, {len(seen) + 8} came")
        fields = re.findall(rb"(?m)^([^ \t\r\n:]+):", front)
        expect_equal(fields, [b"Authentication-Results", b"Received"], f"fields in front of {name}")
    postern.stop()


@scenario
def smuggling(world):
    """A second message hidden behind a line end that only careless servers take: a careless backend never sees two."""
    ends = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\r\r\n.\r\r\n", b"\r\n\x00.\r\n"]
    sink = world.keep(Sink(lenient=True))
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}").serve()
    hidden = b"MAIL FROM:<evil@sender.example>\r\nRCPT TO:<v@example.org>\r\nDATA\r\nX-Mark: hidden\r\n\r\nhidden\r\n"
    taken = 0
    for i, end in enumerate(ends):
        with Client(postern.port) as c:
            c.envelope()
            c.say("DATA")
            c.send(b"X-Mark: outer-%d\r\n\r\nbefore" % i + end + hidden + b".\r\n")
            reply = c.reply()
            expect(reply.startswith(("250 ", "5")), f"end {end!r}: {reply}")
            taken += reply.startswith("250 ")
            expect(c.say("NOOP").startswith("250 "), "the session goes on in step")
    expect_equal(len(sink.messages), taken, "messages at the careless backend")
    expect(all(mark_of(m.octets).startswith("outer-") for m in sink.messages), "only the messages that were really sent")
    expect(not any("evil" in command for command in sink.commands), "no command of a hidden message reached the backend")
    postern.stop()


@scenario(root=True)
def swaks_and_recipients(world):
    """A widespread client, pipelining and not; recipients with different answers, the backend's own."""
    postfix = Postfix(world).start()
    postern = Postern(world, backend=f"127.0.0.1:{postfix.port}").serve()
    base = ["swaks", "--server", f"127.0.0.1:{postern.port}", "--helo", "client.example", "--from", "a@sender.example", "--body", "X-Mark: swaks"]

    def swaks(*arguments):
        return subprocess.run([*base, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)

    good = swaks("--to", "u@example.org,v@example.net", "--pipeline")
    expect_equal(good.returncode, 0, f"swaks with pipelining:\n{good.stdout}{good.stderr}")
    mixed = swaks("--to", "u@example.org,nobody@example.org,v@example.net,x@elsewhere.example")
    expect_equal(mixed.returncode, 0, f"swaks with mixed recipients:\n{mixed.stdout}")
    expect(re.search(r"(?m)^<\*\* 550 5\.1\.1 .*nobody@example\.org", mixed.stdout), f"Postfix's own refusal comes through:\n{mixed.stdout}")
    expect(re.search(r"(?m)^<\*\* 550 5\.7\.1 .*[Rr]elay", mixed.stdout), f"a foreign recipient is refused by us:\n{mixed.stdout}")
    unknown = swaks("--to", "nobody@example.org")
    expect(unknown.returncode != 0, "an unknown user alone is refused")
    postfix.drain()
    expect_equal((len(postfix.mail("u")), len(postfix.mail("v"))), (2, 2), "delivered to u and v")
    expect("elsewhere" not in postfix.log(), "the backend never heard of the foreign recipient")
    postern.stop()
