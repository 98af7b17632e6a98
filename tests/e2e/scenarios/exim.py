"""A real Exim behind: every shape of message by DATA and BDAT, TLS, internationalised mail, and the client's address by PROXY protocol."""
import re

from parts.certificates import Authority
from parts.client import Client, below_mark, mark_of, plain_message, shapes
from parts.exim import Exim, missing
from parts.postern import Postern
from parts.process import expect, expect_equal, wait_until

from . import scenario
from .extensions import send_all_by_chunks


@scenario(addresses=True, needs=missing)
def exim_behind(world):
    """CHUNKING, SMTPUTF8, 8BITMIME and DSN in use through TLS that is verified; messages are the same octet for octet."""
    ca = Authority(world)
    certificate = ca.certificate("backend.example.org")
    exim = Exim(world, tls_advertise_hosts="*", tls_certificate=certificate.file, tls_privatekey=certificate.key, smtputf8_advertise_hosts="*").start()
    postern = Postern(world, backend=f'127.0.0.1:{exim.port} tls require verify backend.example.org ca "{ca.file}"').serve()
    sent = {n: m for n, m in shapes(world.seed).items() if n != "no-body"}
    send_all_by_chunks(postern.port, sent, world.seed)
    wait_until(lambda: len(exim.mail()) == len(sent), lambda: f"{len(sent)} messages, not {len(exim.mail())}:\n{exim.log()[-3000:]}", 60)
    different = []
    for delivered in exim.mail():
        name = mark_of(delivered)
        wanted = sent[name].replace(b"\r\n", b"\n").replace(b"\tc\n \n", b"\tc\n") # Exim takes white space from the end of a field, a line of it too
        if below_mark(delivered) != wanted:
            different.append(name)
    expect_equal(different, [], f"messages that differ (the log: {exim.log()[-1000:]})")
    with Client(postern.port) as c:
        offered = c.say("EHLO client.example")
        for name in ("SMTPUTF8", "8BITMIME", "DSN", "CHUNKING"):
            expect(name in offered, f"{name} is offered: {offered}")
        expect(c.say("MAIL FROM:<jörg@sender.example> SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=QQ314159").startswith("250 "), "MAIL")
        expect(c.say("RCPT TO:<ü@example.org> NOTIFY=FAILURE ORCPT=utf-8;x@example.org").startswith("250 "), "RCPT")
        expect(c.content("X-Mark: utf8\r\nSubject: Grüße\r\n\r\nдобрый день\r\n".encode()).startswith("250 "), "the message")
    wait_until(lambda: any(mark_of(m) == "utf8" for m in exim.mail()), lambda: f"the message in UTF-8:\n{exim.log()[-3000:]}")
    log = exim.log()
    expect(re.search(r"<= jörg@sender\.example .* X=TLS1\.[23]:", log), f"TLS in Exim's log:\n{log[-3000:]}")
    expect(re.search(r"<= a@sender\.example .* K S=\d", log), f"CHUNKING in Exim's log:\n{log[-3000:]}")
    postern.stop()


@scenario(addresses=True, needs=missing)
def proxy_protocol_to_exim(world):
    """Exim logs the client, and the proxy beside it."""
    exim = Exim(world, hosts_proxy="127.0.0.1").start()
    postern = Postern(world, backend=f"127.0.0.1:{exim.port} client-address proxy").serve()
    with Client(postern.port, source="203.0.113.9") as c:
        expect(c.deliver(plain_message("told"), helo="client.example").startswith("250 "), "mail passes")
    wait_until(exim.mail, lambda: f"the message:\n{exim.log()}")
    expect_equal(mark_of(exim.mail()[0]), "told", "the message")
    expect(re.search(r"<= a@sender\.example H=\S* ?(\(client\.example\) )?\[203\.0\.113\.9\].* PRX=127\.0\.0\.1", exim.log()), f"Exim's log:\n{exim.log()}")
    postern.stop()
