"""A backend of a few lines that keeps exactly the octets it was sent, and can be told to be late, lenient, or gone."""
import re
import socket
import threading

from .listening import Listening


class Message:
    def __init__(self, sender, recipients, wire):
        self.sender = sender
        self.recipients = recipients
        self.wire = wire                                      # as it came, without the end
        self.octets = re.sub(rb"(^|(?<=\n))\.", b"", wire)    # without dot-stuffing; BDAT knows none


class Connection:
    """Its socket, and what was sent and not read yet."""

    def __init__(self, plain):
        self.socket = plain
        self.lines = plain.makefile("rb")

    def say(self, text):
        self.socket.sendall(text.encode() + b"\r\n")

    def start_tls(self, context):
        self.lines.detach()
        self.lines = None
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.lines = self.socket.makefile("rb")

    def close(self):
        if self.lines:
            self.lines.close()
        self.socket.close()


class Sink(Listening):
    """
    replies: verb -> reply, for answers other than 250; a callable is given the command line.
    lenient: any of the line ends that careless servers take ends a message.
    hold: while it is clear, replies to the final dot wait.
    extensions: instead of EXTENSIONS. tls: the context of a server, for STARTTLS.
    """

    EXTENSIONS = ("PIPELINING", "SIZE 104857600", "8BITMIME", "ENHANCEDSTATUSCODES")

    def __init__(self, port=0, replies=None, lenient=False, extensions=None, tls=None):
        self.replies = replies or {}
        self.extensions = extensions or self.EXTENSIONS
        self.tls = tls
        self.lenient = lenient
        self.hold = threading.Event()
        self.hold.set()
        self.dot_seen = threading.Event()
        self.messages = []
        self.commands = []
        super().__init__(port, backlog=512)

    def close(self):
        super().close()
        self.hold.set()

    def reply_to(self, verb, line, usual):
        found = self.replies.get(verb, usual)
        return found(line) if callable(found) else found

    def serve(self, plain):
        connection = Connection(plain)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.converse(connection)
        finally:
            connection.close()

    def ehlo(self, secure):
        offered = [*self.extensions, *(["STARTTLS"] if self.tls and not secure else [])]
        return "250-sink\r\n" + "\r\n".join(f"250{'-' if i + 1 < len(offered) else ' '}{e}" for i, e in enumerate(offered))

    def converse(self, c):
        sender, recipients, chunks, secure = None, [], [], False
        c.say(self.reply_to("greeting", "", "220 sink ESMTP"))
        while raw := c.lines.readline():
            line = raw.rstrip(b"\r\n").decode("utf-8", "replace")
            verb = line.split(" ")[0].upper()
            with self.lock:
                self.commands.append(line)
            if verb == "EHLO":
                c.say(self.reply_to(verb, line, self.ehlo(secure)))
            elif verb == "STARTTLS" and self.tls:
                c.say(self.reply_to(verb, line, "220 2.0.0 go"))
                c.start_tls(self.tls)
                secure = True
            elif verb == "MAIL":
                sender, recipients, chunks = line, [], []
                c.say(self.reply_to(verb, line, "250 2.1.0 ok"))
            elif verb == "RCPT":
                answer = self.reply_to(verb, line, "250 2.1.5 ok")
                if answer.startswith("2"):
                    recipients.append(line)
                c.say(answer)
            elif verb == "DATA":
                answer = self.reply_to(verb, line, "354 go")
                c.say(answer)
                if answer.startswith("354"):
                    wire = self.read_content(c.lines)
                    if wire is None:
                        return
                    c.say(self.take(Message(sender, recipients, wire), line))
            elif verb == "BDAT":
                chunks.append(c.lines.read(int(line.split(" ")[1])))
                if line.upper().endswith(" LAST"):
                    message = Message(sender, recipients, b"".join(chunks))
                    message.octets = message.wire
                    c.say(self.take(message, line))
                else:
                    c.say(self.reply_to(verb, line, "250 2.0.0 so far"))
            elif verb == "RSET":
                sender, recipients, chunks = None, [], []
                c.say("250 2.0.0 ok")
            elif verb == "QUIT":
                c.say("221 2.0.0 bye")
                return
            else:
                c.say(self.reply_to(verb, line, "250 2.0.0 ok"))

    def take(self, message, line):
        """A whole message: kept before it is acknowledged."""
        self.dot_seen.set()
        self.hold.wait(60)
        answer = self.reply_to(".", line, "250 2.0.0 kept")
        if answer.startswith("250"):
            with self.lock:
                self.messages.append(message)
        return answer

    LENIENT_ENDS = re.compile(rb"(?:^|[\r\n])\.[\r\n]")

    def read_content(self, lines):
        parts = []
        for line in lines:
            if line == b".\r\n" or (self.lenient and self.LENIENT_ENDS.search(b"\n" + line)):
                return b"".join(parts)
            parts.append(line)
        return None
