"""A client of plain sockets that says exactly what it is told, and a message to say."""
import random
import re
import socket


class Client:
    """greet: wait for the greeting. tls: (context, server name), for a listener with TLS from the first byte."""

    def __init__(self, port, address="127.0.0.1", source=None, timeout=30.0, greet=True, tls=None):
        self.socket = socket.create_connection((address, port), timeout=timeout, source_address=(source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls[0].wrap_socket(self.socket, server_hostname=tls[1])
        self.file = self.socket.makefile("rb")
        self.greeting = self.reply() if greet else ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, octets):
        self.socket.sendall(octets)

    def reply(self):
        """One whole reply, its lines joined by newlines. EOFError when the other side has closed."""
        lines = []
        while True:
            line = self.file.readline()
            if not line.endswith(b"\n"):
                raise EOFError("closed by the server")
            lines.append(line.rstrip(b"\r\n").decode("utf-8", "replace"))
            if len(lines[-1]) < 4 or lines[-1][3] != "-":
                return "\n".join(lines)

    def say(self, line):
        self.send(line.encode() + b"\r\n")
        return self.reply()

    def handshake(self, context, name=None, session=None):
        """TLS from here on; STARTTLS has been said, and 220 heard."""
        old = self.file
        self.socket = context.wrap_socket(self.socket, server_hostname=name, session=session)
        self.file = self.socket.makefile("rb")
        old.detach()

    def starttls(self, context, name=None, session=None):
        answer = self.say("STARTTLS")
        if not answer.startswith("220 "):
            raise EOFError(f"STARTTLS: {answer}")
        self.handshake(context, name, session)

    def bdat(self, octets, last=False):
        self.send(b"BDAT %d%s\r\n" % (len(octets), b" LAST" if last else b"") + octets)
        return self.reply()

    def at_end(self):
        """True when the server closes."""
        try:
            return self.file.read(1) == b""
        except OSError:
            return True

    def envelope(self, sender="a@sender.example", recipients=("u@example.org",), helo="client.example"):
        """EHLO, MAIL and RCPT; the replies to RCPT."""
        if helo:
            self.say(f"EHLO {helo}")
        self.say(f"MAIL FROM:<{sender}>")
        return [self.say(f"RCPT TO:<{r}>") for r in recipients]

    def content(self, message):
        """DATA with a message of CRLF lines (bytes); the reply to the dot, or to DATA when that is refused."""
        go = self.say("DATA")
        if not go.startswith("354"):
            return go
        self.send(stuffed(message) + b".\r\n")
        return self.reply()

    def deliver(self, message, **envelope):
        replies = self.envelope(**envelope)
        return self.content(message) if any(r.startswith("2") for r in replies) else replies[0]


def stuffed(message):
    return re.sub(rb"(?m)^\.", b"..", message)


def plain_message(mark, subject="a message", lines=8):
    body = b"".join(b"Line %d of an ordinary message.\r\n" % i for i in range(lines))
    return b"X-Mark: %s\r\nFrom: A <a@sender.example>\r\nTo: U <u@example.org>\r\nSubject: %s\r\n\r\n%s" % (
        mark.encode(), subject.encode(), body)


def mark_of(message):
    found = re.search(rb"(?m)^X-Mark: ([^\r\n]+)", message)
    return found.group(1).decode() if found else None


def below_mark(message):
    """What was sent: X-Mark is always its first line, so all above was put in front on the way."""
    at = message.find(b"X-Mark: ")
    return message[at:] if at >= 0 else message


def shapes(seed):
    """Messages of every shape that a line or a body may have, by name; all of CRLF lines, none with a NUL or a bare CR or LF."""
    rng = random.Random(seed)
    head = lambda name: b"X-Mark: %s\r\nFrom: a@sender.example\r\nSubject: shape %s\r\n" % (name.encode(), name.encode())
    text = lambda n: bytes(rng.choice(b"abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ.,;:-") for _ in range(n))
    eight = lambda n: bytes(c for c in (rng.randrange(1, 256) for _ in range(n)) if c not in (10, 13)) or b"\xe9"
    million = b"".join(text(70) + b"\r\n" for _ in range(15000))
    return {
        "empty-body": head("empty-body") + b"\r\n",
        "no-body": head("no-body"),
        "dots": head("dots") + b"\r\n.\r\n..\r\n...\r\n.a\r\n..a\r\na.\r\n.\r\n\r\n.\r\n",
        "only-dot": head("only-dot") + b"\r\n.\r\n",
        "blank-lines": head("blank-lines") + b"\r\n" + b"\r\n" * 100,
        "eight-bit": head("eight-bit") + b"Content-Transfer-Encoding: 8bit\r\n\r\n" + b"".join(eight(60) + b"\r\n" for _ in range(500)),
        "utf8": head("utf8") + "\r\nGrüße, 你好, здравствуйте\r\n".encode() * 50,
        "line-998": head("line-998") + b"\r\n" + text(998) + b"\r\n" + b"." + text(997) + b"\r\n",
        "line-over-998": head("line-over-998") + b"\r\n" + text(999) + b"\r\n" + text(1500) + b"\r\n" + b"." * 1200 + b"\r\n",
        "line-huge": head("line-huge") + b"\r\n" + text(200000) + b"\r\nend\r\n",
        "folded": head("folded") + b"X-Long: a\r\n b\r\n\tc\r\n \r\nX-Empty:\r\n\r\nbody\r\n",
        "many-fields": head("many-fields") + b"".join(b"X-F%d: %s\r\n" % (i, text(50)) for i in range(2000)) + b"\r\nbody\r\n",
        "million": head("million") + b"\r\n" + million,
        "million-dots": head("million-dots") + b"\r\n" + b".\r\n" * 350000,
        "million-bit": head("million-bit") + b"\r\n" + b"".join(eight(900) + b"\r\n" for _ in range(1200)),
    }
