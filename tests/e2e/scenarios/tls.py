"""TLS in front: STARTTLS and TLS from the first byte, versions, kinds of certificates, names, reload."""
import os
import re
import shutil
import signal
import ssl
import subprocess
import threading

from parts.certificates import Authority, openssl
from parts.client import Client, mark_of, plain_message
from parts.postern import Postern
from parts.process import expect, expect_equal, free_port, wait_until
from parts.sink import Sink

from . import scenario


def before(world, certificates, **settings):
    """Postern with these certificates before a sink."""
    sink = world.keep(Sink())
    return sink, Postern(world, backend=f"127.0.0.1:{sink.port}", certificate=[c.line for c in certificates], **settings)


def s_client(port, *options, say=b"QUIT\r\n"):
    """What openssl's own client prints; it verifies, and ends with a status otherwise."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-verify_return_error", "-ign_eof", "-nocommands", *options],
                          input=say, capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


def swaks(port, *options, mark="swaks"):
    done = subprocess.run(["swaks", "--server", f"127.0.0.1:{port}", "--helo", "client.example", "--from", "a@sender.example", "--to", "u@example.org",
                           "--h-X-Mark", mark, *options], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


@scenario
def starttls_by_openssl(world):
    """TLS 1.2 and 1.3, RSA and ECDSA side by side, a certificate by name; nothing older than 1.2."""
    ca = Authority(world)
    names = [ca.certificate("mx.example.org", kind="rsa"), ca.certificate("mx.example.org"), ca.certificate("mail.example.net", "*.example.com")]
    _, postern = before(world, names)
    postern.serve()
    trusted = ["-starttls", "smtp", "-CAfile", ca.file]
    for version, said in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
        status, out = s_client(postern.port, *trusted, version, "-servername", "mx.example.org", "-verify_hostname", "mx.example.org")
        expect(status == 0 and f"New, {said}, Cipher is" in out and "\n221 2.0.0" in out, f"{version}: {status}\n{out}")
    for kind, options in (("RSA", ["-tls1_2", "-cipher", "aRSA"]), ("ECDSA", ["-tls1_2", "-cipher", "aECDSA"]),
                          ("RSA-PSS", ["-tls1_3", "-sigalgs", "rsa_pss_rsae_sha256"]), ("ECDSA", ["-tls1_3", "-sigalgs", "ecdsa_secp256r1_sha256"])):
        status, out = s_client(postern.port, *trusted, *options, "-servername", "mx.example.org", "-verify_hostname", "mx.example.org")
        expect(status == 0 and re.search(rf"Peer signature type: {kind}\b", out), f"{kind} by {options}: {status}\n{out}")
    for asked, shown in (("mail.example.net", "mail.example.net"), ("a.example.com", "a.example.com"), ("MAIL.example.net", "mail.example.net"),
                         ("unknown.example", "mx.example.org"), (None, "mx.example.org")):
        status, out = s_client(postern.port, *trusted, *(["-servername", asked] if asked else ["-noservername"]), "-verify_hostname", shown)
        expect(status == 0 and "Verify return code: 0 (ok)" in out, f"asked for {asked}: {status}\n{out}")
    for old in ("-tls1", "-tls1_1"):
        status, out = s_client(postern.port, *trusted, old, "-cipher", "DEFAULT@SECLEVEL=0")
        expect(status != 0 and "Cipher is (NONE)" in out, f"{old} is refused: {status}\n{out}")
    postern.stop()


@scenario
def mail_over_tls_by_swaks(world):
    """STARTTLS, and a listener with TLS from the first byte; both versions; Received says ESMTPS and the journal what was agreed."""
    ca = Authority(world)
    sink, postern = before(world, [ca.certificate("mx.example.org", kind="rsa"), ca.certificate("mx.example.org")])
    wrapped = free_port()
    postern.settings["listen"] = [f"127.0.0.1:{postern.port}", f"127.0.0.1:{wrapped} tls"]
    postern.write_config()
    postern.serve()
    for version in ("tlsv1_2", "tlsv1_3"):
        for option, port in (("--tls", postern.port), ("--tls-on-connect", wrapped)):
            mark = f"{version}{option}"
            status, out = swaks(port, option, "--tls-protocol", version, "--tls-verify", "--tls-ca-path", ca.file, mark=mark)
            expect_equal(status, 0, f"swaks {mark}: {out}")
            message = next((m.octets for m in sink.messages if mark_of(m.octets) == mark), b"")
            expect(re.search(rb"(?m)^Received: .*\r\n\tby mx\.example\.org \(Postern\) with ESMTPS id .*\r\n(\tfor .*\r\n)?\ttls TLS_\w+; ", message),
                   f"Received of {mark}: {message[:900]}")
    def ciphers():
        return [r["stages"]["mail"]["facts"]["tls.cipher"][0] for r in postern.journal() if r["tls"] and r["recipients"]]
    wait_until(lambda: len(ciphers()) == 4, lambda: f"a record with tls for each message: {ciphers()}")
    expect(all(re.match(r"ECDHE-|TLS_", c) for c in ciphers()), f"ciphers: {ciphers()}")
    status, out = s_client(wrapped, "-CAfile", ca.file, say=b"STARTTLS\r\nQUIT\r\n")
    expect(status == 0 and "\n220 mx.example.org" in out and "\n503 5.5.1" in out, f"STARTTLS inside TLS: {out}")
    postern.stop()


@scenario
def require_tls(world):
    """A listener may require it: only EHLO, NOOP, RSET, HELP and QUIT before."""
    ca = Authority(world)
    sink, postern = before(world, [ca.certificate("mx.example.org")])
    strict = free_port()
    postern.settings["listen"] = [f"127.0.0.1:{postern.port}", f"127.0.0.1:{strict} require-tls"]
    postern.write_config()
    postern.serve()
    with Client(strict) as c:
        expect("STARTTLS" in c.say("EHLO client.example"), "it offers STARTTLS")
        for line in ("MAIL FROM:<a@sender.example>", "RCPT TO:<u@example.org>", "DATA"):
            expect(c.say(line).startswith("530 5.7.0 "), f"{line} in clear is refused")
        expect(c.say("NOOP").startswith("250 "), "NOOP is not")
        c.starttls(ca.trust(), "mx.example.org")
        expect("STARTTLS" not in c.say("EHLO client.example"), "it is not offered twice")
        expect(c.deliver(plain_message("strict"), helo=None).startswith("250 "), "mail passes")
    with Client(postern.port) as c:
        expect(c.deliver(plain_message("clear")).startswith("250 "), "the other listener takes mail in clear")
    expect_equal(sorted(mark_of(m.octets) for m in sink.messages), ["clear", "strict"], "messages")
    postern.stop()


@scenario
def injected_behind_starttls(world):
    """Octets in clear behind STARTTLS are never answered (CVE-2011-0411), nor is what was said before remembered; a session can be resumed."""
    ca = Authority(world)
    sink, postern = before(world, [ca.certificate("mx.example.org")])
    postern.serve()
    trust = ca.trust()
    with Client(postern.port) as c:
        c.envelope()
        c.send(b"STARTTLS\r\nRSET\r\nMAIL FROM:<evil@sender.example>\r\n")
        expect(c.reply().startswith("220 "), "STARTTLS")
        c.handshake(trust, "mx.example.org")
        expect(c.say("RCPT TO:<u@example.org>").startswith("503 "), "nothing of the time before counts")
        expect(c.say("EHLO client.example").startswith("250-"), "and the next reply is to the next command")
        expect(c.deliver(plain_message("after"), helo=None).startswith("250 "), "mail passes")
        ticket = c.socket.session
    with Client(postern.port) as c:
        c.say("EHLO client.example")
        c.starttls(trust, "mx.example.org", session=ticket)
        expect(c.socket.session_reused, "the session is resumed")
        expect(c.deliver(plain_message("resumed")).startswith("250 "), "mail passes")
    with Client(postern.port) as c: # what is no hello ends it, and only it
        c.say("EHLO client.example")
        c.say("STARTTLS")
        c.send(b"EHLO client.example\r\n" * 10)
        seen = b""
        try:
            seen = c.file.read()
        except OSError:
            pass
        expect(b"250" not in seen, f"nothing is answered in clear: {seen}")
    with Client(postern.port) as c:
        c.say("EHLO client.example")
        expect(c.say("STARTTLS now").startswith("501 "), "STARTTLS has no argument")
    expect_equal(sorted(mark_of(m.octets) for m in sink.messages), ["after", "resumed"], "messages")
    expect(not any("evil" in command for command in sink.commands), "the backend never heard of it")
    postern.stop()


class Sender(threading.Thread):
    """Delivers over TLS until it is told to stop; every third time it keeps its session."""

    def __init__(self, number, port, trust):
        super().__init__(daemon=True)
        self.number, self.port, self.trust = number, port, trust
        self.delivered, self.serials, self.wrong = [], set(), []
        self.over = threading.Event()

    def run(self):
        try:
            while not self.over.is_set():
                self.session(1 + len(self.delivered) % 3)
        except Exception as error:  # pylint: disable=broad-except
            self.wrong.append(repr(error))

    def session(self, messages):
        with Client(self.port) as c:
            c.say("EHLO client.example")
            c.starttls(self.trust, "mx.example.org")
            self.serials.add(int(c.socket.getpeercert()["serialNumber"], 16))
            c.say("EHLO client.example")
            for _ in range(messages):
                mark = f"{self.number}-{len(self.delivered)}"
                reply = c.deliver(plain_message(mark), helo=None)
                if not reply.startswith("250 "):
                    self.wrong.append(reply)
                self.delivered.append(mark)
            c.say("QUIT")


@scenario
def certificate_reload_under_load(world):
    """The certificate is replaced and HUP sent while mail comes over TLS: no session is lost, new ones see the new one; a bad one changes nothing."""
    ca = Authority(world)
    sink = world.keep(Sink())
    live = [os.path.join(world.root, name) for name in ("live.pem", "live.key")]

    def install(certificate):
        for source, target in zip((certificate.file, certificate.key), live):
            shutil.copy(source, target + ".new")
            os.rename(target + ".new", target)

    first = ca.certificate("mx.example.org")
    install(first)
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}", certificate=f'"{live[0]}" "{live[1]}"', message_limit=100000).serve()
    senders = [Sender(i, postern.port, ca.trust()) for i in range(6)]
    with Client(postern.port) as held:
        held.say("EHLO client.example")
        held.starttls(ca.trust(), "mx.example.org")
        for sender in senders:
            sender.start()
        made = []
        for _ in range(5):
            made.append(ca.certificate("mx.example.org"))
            install(made[-1])
            serial = int(openssl("x509", "-noout", "-serial", "-in", made[-1].file).split("=")[1], 16)
            postern.process.signal(signal.SIGHUP)
            wait_until(lambda s=serial: any(s in sender.serials for sender in senders), f"certificate {serial} to be shown", 30)
        with open(live[0], "w", encoding="ascii") as f:
            f.write("no certificate\n")
        reloads = len(postern.log())
        postern.process.signal(signal.SIGHUP)
        wait_until(lambda: "live.pem" in postern.log()[reloads:], lambda: f"the complaint about it:\n{postern.log()[reloads:]}")
        counts = [len(sender.delivered) for sender in senders]
        wait_until(lambda: all(len(s.delivered) > n + 2 for s, n in zip(senders, counts)), lambda: f"more mail: {[s.wrong for s in senders]}", 30)
        expect(held.deliver(plain_message("held")).startswith("250 "), "the session that was there before all that goes on")
    for sender in senders:
        sender.over.set()
    for sender in senders:
        sender.join(30)
    expect_equal([w for sender in senders for w in sender.wrong], [], "what went wrong")
    sent = sorted([m for sender in senders for m in sender.delivered] + ["held"])
    expect_equal(sorted(mark_of(m.octets) for m in sink.messages), sent, "messages, each once")
    expect(len(sent) > 50, f"load: {len(sent)} messages")
    postern.stop()


@scenario(root=True)
def renewal_hook(world):
    """deploy/renew-postern as certbot runs it: the new certificate is shown, a key of another certificate is refused."""
    ca = Authority(world)
    installed, lineage = os.path.join(world.root, "tls"), os.path.join(world.root, "live", "mx.example.org")
    os.mkdir(installed)
    os.makedirs(lineage)
    hook = os.path.join(world.source, "deploy", "renew-postern")

    def renew(certificate, key, pid=""):
        shutil.copy(certificate, os.path.join(lineage, "fullchain.pem"))
        shutil.copy(key, os.path.join(lineage, "privkey.pem"))
        environment = {**os.environ, "RENEWED_LINEAGE": lineage, "POSTERN_TLS": installed, "POSTERN_PID": pid}
        return subprocess.run([hook], env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False).returncode

    def shown():
        with Client(postern.port) as c:
            c.say("EHLO client.example")
            c.starttls(ca.trust(), "mx.example.org")
            return c.socket.getpeercert(binary_form=True)
    first, second = ca.certificate("mx.example.org"), ca.certificate("mx.example.org", kind="rsa")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    expect_equal(renew(first.file, first.key, str(os.getpid())), 0, "the first run, before Postern: whom it tells does not care")
    sink = world.keep(Sink())
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}", certificate=f'"{installed}/fullchain.pem" "{installed}/privkey.pem"').serve()
    expect_equal(shown(), first.der(), "the first certificate")
    expect_equal(renew(second.file, second.key, str(postern.process.pid)), 0, "the renewal")
    wait_until(lambda: shown() == second.der(), "the new certificate to be shown")
    expect(renew(first.file, second.key, str(postern.process.pid)) != 0, "a pair that is none is refused")
    expect_equal(shown(), second.der(), "and nothing changes")
    expect_equal(os.stat(os.path.join(installed, "privkey.pem")).st_mode & 0o777, 0o640, "the key's mode")
    postern.stop()
