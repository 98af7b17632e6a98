"""What outlives a connection, and where: two proxies on one Redis, SQLite in a file, `postern grey` beside the running proxy, real retries."""
import json
import re

from parts.certificates import Authority
from parts.client import Client, mark_of, plain_message
from parts.dns import Dns, SlowDns
from parts.postern import Postern
from parts.postfix import Postfix, recipient_of
from parts.process import expect, expect_equal, wait_until
from parts.redis import Redis

from . import scenario

GREYLIST_ALL = "stage rcpt\n  rule all: greylist 1s\n"
MESSAGE = plain_message("grey")


def attempt(postern, sender="a@sender.example", recipient="u@example.org"):
    """One try of a client, as far as the reply to the dot or to RCPT."""
    with Client(postern.port) as c:
        return c.deliver(MESSAGE, sender=sender, recipients=(recipient,))


def retry(postern, sender="a@sender.example", recipient="u@example.org"):
    """Until it is old enough."""
    wait_until(lambda: attempt(postern, sender, recipient).startswith("250 "), "the greylist to let a retry pass")


def greylisted(reply):
    return reply.startswith("451 4.7.1 Greylisted")


def fact(record, name):
    return record["recipients"][-1]["facts"][name][0]


# --- a fleet -----------------------------------------------------------------------------------------------------------------------


def one_greylist_for_two(world, redis):
    postfix = Postfix(world).start()
    first, second = (Postern(world, GREYLIST_ALL, backend=f"127.0.0.1:{postfix.port}", **redis.settings()).serve() for _ in range(2))
    expect(greylisted(attempt(first)), "the first contact waits")
    retry(second)
    second.record(lambda r: r["end"] == "delivered", "the retry that passed") # a pass is counted behind the reply
    expect(attempt(first).startswith("250 "), "what passed at the second is known at the first")
    first.record(lambda r: r["recipients"] and fact(r, "greylist.known") == "yes", "the sender as known")
    tried = [r for r in second.journal() if r["recipients"]]
    expect(fact(tried[0], "greylist.age") is not None, "the second proxy knows of the first contact at its first try")
    expect(greylisted(attempt(first, "b@other.example")), "another sender is another story")
    expect(greylisted(attempt(second, "c@third.example", "v@example.org")), "at the second, too")
    Grey(first)("allow", "127.0.0.1")
    expect(attempt(second, "d@fourth.example", "v@example.org").startswith("250 "), "who is allowed at one is allowed at both")
    for postern in (first, second):
        expect_equal(postern.logged("store-failed"), 0, "store errors")
        postern.stop()
    postfix.drain()
    expect_equal((len(postfix.mail("u")), len(postfix.mail("v"))), (2, 1), "delivered messages")


@scenario(root=True)
def two_proxies_on_one_redis(world):
    """First contact at one, passed at the other."""
    one_greylist_for_two(world, Redis(world).start())


@scenario(root=True)
def two_proxies_on_one_redis_by_tls(world):
    """The same over TLS, by the server's name, as a user with a password."""
    authority = Authority(world)
    redis = Redis(world, certificate=authority.certificate("localhost"), authority=authority, user="proxy", password="open sesame")
    one_greylist_for_two(world, redis.start())


RATE = """rate hourly recipients by client.net over 1h
stage rcpt
  rule limit: tempfail "{rate.hourly} within an hour" when rate.hourly >= 4
"""


def one_rate_for_two(world, **settings):
    """Four recipients within an hour, whichever of the two takes them. What one has counted reaches the store beside the mail: one more may slip in."""
    postfix = Postfix(world).start()
    first, second = pair = [Postern(world, RATE, backend=f"127.0.0.1:{postfix.port}", **settings).serve() for _ in range(2)]
    taken = 0
    while taken < 6 and (reply := attempt(pair[taken % 2])).startswith("250 "):
        taken += 1
    expect(4 <= taken <= 5, f"{taken} recipients were taken, where 4 are allowed")
    for postern in pair:
        expect(attempt(postern).startswith(f"451 4.7.1 {taken} within an hour"), "both refuse, and refusals are not counted")

    def refused():
        return [r for r in second.journal() if r["verdict"] == "tempfail by limit"]

    wait_until(refused, "the record of the refusal at the second proxy")
    record = refused()[-1]
    expect_equal(fact(record, "rate.hourly"), taken, "the count that was recorded")
    expect_equal(record["declared"]["rate.hourly"], "rate recipients by client.net over 1h", "the definition that was recorded")
    told = first.run("explain", "--config", first.config, "--client", "127.0.0.1", "--assume", "fcrdns=none", "--assume", "client.name=absent", "--json")
    expect_equal(json.loads(told.stdout)["facts"]["rate.hourly"], taken, "what explain reads in the same store")
    for postern in pair:
        expect_equal(postern.logged("store-failed"), 0, "store errors")
        postern.stop()
    postfix.drain()
    expect_equal(len(postfix.mail("u")), taken, "delivered messages")


@scenario(root=True)
def one_rate_for_two_proxies_on_redis(world):
    """What one proxy lets through counts at the other."""
    one_rate_for_two(world, **Redis(world).start().settings())


@scenario(root=True)
def one_rate_for_two_proxies_on_sqlite(world):
    """The same for two processes on one file."""
    one_rate_for_two(world, store_path=f'"{world.folder("store")}/postern.db"')


@scenario(root=True)
def a_rate_by_a_name_that_comes_late(world):
    """Who has left before DNS says its name is counted all the same, also where nobody keeps a journal."""
    name = b"\x04host\x06sender\x07example\x00"
    dns = SlowDns(world, {("1.0.0.127.in-addr.arpa", 12): name, ("host.sender.example", 1): bytes([127, 0, 0, 1])}, 0.5)
    policy = 'rate named connections by client.name over 1h\nstage mail\n  rule often: tempfail "{rate.named} of {client.name}" when rate.named >= 3\n'
    postern = Postern(world, policy, backend=f"127.0.0.1:{Postfix(world).start().port}", resolver=dns.resolver,
                      store_path=f'"{world.folder("store")}/postern.db"')
    del postern.settings["journal"]
    postern.write_config()
    postern.serve()
    as_known = ["--client", "127.0.0.1", "--assume", "fcrdns=pass", "--assume", "client.name=host.sender.example", "--json"]

    def counted():
        return json.loads(postern.run("explain", "--config", postern.config, *as_known).stdout)["facts"]["rate.named"]

    wait_until(lambda: counted() >= 1, lambda: f"the connection to be counted: {counted()}")
    while " of host.sender.example" not in (reply := attempt(postern)):
        expect(reply.startswith("250 "), f"less than three are welcome: {reply}")
    expect_equal(postern.logged("store-failed"), 0, "store errors")
    postern.stop()


# --- postern grey ------------------------------------------------------------------------------------------------------------------


class Grey:
    """The command, at the configuration of a proxy that runs."""

    def __init__(self, postern):
        self.postern = postern

    def run(self, *arguments):
        done = self.postern.run("grey", "--config", self.postern.config, *arguments)
        return done.returncode, (done.stdout + done.stderr).decode()

    def __call__(self, *arguments):
        status, said = self.run(*arguments)
        expect_equal(status, 0, f"postern grey {' '.join(arguments)}: {said}; status")
        return said

    def refused(self, *arguments):
        status, said = self.run(*arguments)
        expect(status != 0 and said.strip(), f"postern grey {' '.join(arguments)} is refused: {status}, {said}")
        return said


def rule_and_see(postern, grey, whom, sender, what):
    """Allowed, shown, denied, forgotten: each time the next session knows."""
    number = 0

    def stranger():
        nonlocal number
        number += 1
        return attempt(postern, sender=sender.replace("@", f"{chr(96 + number)}{what}@"), recipient="v@example.org")

    expect(greylisted(stranger()), f"{whom}: a stranger waits")
    grey.refused("show", whom)
    grey("allow", whom)
    expect(stranger().startswith("250 "), f"{whom} is allowed")
    shown = grey("show", whom)
    expect("for ever" in shown and "denied" not in shown, f"show {whom}: {shown}")
    expect(f" {whom}" in grey("list"), f"list has {whom}")
    grey("deny", whom)
    expect(greylisted(stranger()), f"{whom} is denied")
    expect("denied for ever" in grey("show", whom), f"show {whom} says that it is denied")
    grey("allow", whom)
    expect(stranger().startswith("250 "), f"the later of the two holds for {whom}")
    grey("forget", whom)
    grey.refused("show", whom)
    grey.refused("forget", whom)
    expect(greylisted(stranger()), f"{whom} is forgotten")


def grey_beside_the_proxy(world, **settings):
    dns = Dns(world, {"sender.example": '@ TXT "v=spf1 ip4:127.0.0.1 -all"\nmail TXT "v=spf1 ip4:127.0.0.1 -all"\n',
                      "other.example": '@ TXT "v=spf1 ip4:192.0.2.1 ?all"\n'}).start()
    postfix = Postfix(world).start()
    postern = Postern(world, GREYLIST_ALL, backend=f"127.0.0.1:{postfix.port}", resolver=dns.resolver, greylist_passes=0, **settings).serve()
    grey = Grey(postern)
    empty = grey("stats")
    expect(re.search(r"(?m)^greylist: 0 rows", empty), f"nothing is known yet:\n{empty}")

    # rows
    expect(greylisted(attempt(postern)), "the first contact waits")
    key = fact(postern.record(lambda r: r["recipients"], "the first contact"), "greylist.key")
    expect_equal(key, "sender.example a@sender.example u@example.org", "the key")
    expect(key in grey("list"), "the row is listed")
    expect(key in grey("list", "sender.example"), "it is listed by its beginning")
    expect(key not in grey("list", "zzz"), "it is not listed by another beginning")
    expect("passed 0" in grey("show", key), "it has not passed")
    expect(re.search(r"(?m)^greylist: 1 rows, 0 expired, 0 passed", grey("stats")), "one row")
    retry(postern)
    wait_until(lambda: "passed 1" in grey("show", key), "the pass to be written down")
    expect(re.search(r"(?m)^greylist: 1 rows, 0 expired, 1 passed", grey("stats")), "one row that passed")
    grey("forget", key)
    grey.refused("show", key)
    expect(greylisted(attempt(postern)), "forgotten, it is a stranger again")

    # rulings: by address and network as they are; by domain only for whom SPF passes
    rule_and_see(postern, grey, "127.0.0.1/32", "x@other.example", "p")
    rule_and_see(postern, grey, "127.0.0.0/24", "x@other.example", "q")
    rule_and_see(postern, grey, "sender.example", "x@sender.example", "r")
    rule_and_see(postern, grey, "sender.example", "x@mail.sender.example", "s")
    grey("allow", "other.example")
    expect(greylisted(attempt(postern, "y@other.example")), "a domain for which SPF does not pass is not allowed by it")
    grey("allow", "127.0.0.0/8")
    grey("deny", "127.0.0.1")
    expect(greylisted(attempt(postern, "z@other.example")), "the narrower network holds")
    expect("127.0.0.1/32" in grey("show", "127.0.0.1"), "an address is a network of its own")
    grey("forget", "127.0.0.1")
    expect(attempt(postern, "z@other.example").startswith("250 "), "the wider one holds again")
    grey("allow", "2001:db8::/32")
    expect("2001:db8::/32" in grey("list"), "IPv6 networks are listed")
    for wrong in (["allow", "not a name"], ["allow", "127.0.0.1/4"], ["deny"], ["bless", "127.0.0.1"], ["forget", "127.9.9.9"], []):
        grey.refused(*wrong)
    expect_equal(postern.logged("store-failed"), 0, "store errors")
    postern.stop()


@scenario(root=True)
def grey_on_sqlite(world):
    """`postern grey`, every subcommand, while the proxy runs on the same file."""
    grey_beside_the_proxy(world, store_path=f'"{world.folder("store")}/postern.db"')


@scenario(root=True)
def grey_on_redis(world):
    """The same on the Redis server that the proxy uses."""
    redis = Redis(world).start()
    grey_beside_the_proxy(world, **redis.settings())


def forgotten_by_the_proxy(world, **settings):
    """Who is known by his passes is a stranger again when he is forgotten: by the domain he is known by, or sends from; not by one row alone."""
    dns = Dns(world, {"sender.example": '@ TXT "v=spf1 ip4:127.0.0.1 -all"\n'}).start()
    postern = Postern(world, GREYLIST_ALL, backend=f"127.0.0.1:{Postfix(world).start().port}", resolver=dns.resolver, greylist_passes=1,
                      **settings).serve()
    grey = Grey(postern)
    for sender, whom, client in (("a@sender.example", "sender.example", "sender.example sender.example"),
                                 ("b@other.example", "other.example", "localhost other.example")):
        who = client.split()[0]
        expect(greylisted(attempt(postern, sender)), f"{sender}: the first contact waits")
        retry(postern, sender)
        wait_until(lambda k=client, w=whom: k in grey("list", w), "the client to be known")
        expect(attempt(postern, sender, "v@example.org").startswith("250 "), f"{client} is known, whoever the recipient is")
        wait_until(lambda w=whom: "greylist: 2 rows, 0 expired, 2 passed" in grey("stats", w), "both rows to have passed")
        said = grey("forget", f"{who} {sender} u@example.org")
        expect(f"still there: the client '{client}'" in said, f"forget says that one row is not all: {said}")
        expect(attempt(postern, sender).startswith("250 "), f"{client} is known still")
        said = grey("forget", whom)
        expect(f"forgotten: {client}\n" in said, f"forget {whom} says what it forgot: {said}")
        expect_equal(grey("list", whom), "", "what is left")
        for recipient in ("u@example.org", "v@example.org"):
            expect(greylisted(attempt(postern, sender, recipient)), f"{sender} is a stranger again")
    expect_equal(postern.logged("store-failed"), 0, "store errors")
    postern.stop()


@scenario(root=True)
def grey_forgets_on_sqlite(world):
    """`postern grey forget` with domains, networks and keys, while the proxy runs on the same file."""
    forgotten_by_the_proxy(world, store_path=f'"{world.folder("store")}/postern.db"')


@scenario(root=True)
def grey_forgets_on_redis(world):
    """The same on the Redis server that the proxy uses."""
    forgotten_by_the_proxy(world, **Redis(world).start().settings())


BANK_KEY = 'good._domainkey TXT "v=DKIM1; k=ed25519; p=a7K+lQ6zRhydwdpmoVWkaTzsI6QLC4LqT0pEON9puck="\n'
BANK_SIGNATURE = (b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed; d=bank.example;\r\n"
                  b" s=good; h=from:to:subject; bh=Ba3gj8+xBPQLJTahTfzW6RbWQ/XPgESxkCi2B66PSQg=;\r\n"
                  b" b=YOTJWWLI0v1JJbTmQGhSqkVkPwlTnxHOMS/+ci3PvbYeQNFsx+Y/JSOcq1/sD0US0l396NTmCsJHY+L+hi7fAQ==\r\n")
BANK_MESSAGE = b"From: author@bank.example\r\nTo: u@example.org\r\nSubject: x\r\n\r\nHello\r\n"


@scenario(root=True)
def grey_allows_a_domain_that_signs(world):
    """A domain that was allowed counts in stage data for whom it has signed, and for nobody else who names it; denied it does not."""
    dns = Dns(world, {"bank.example": BANK_KEY}).start()
    postern = Postern(world, "stage data\n  rule all: greylist 1h\n", backend=f"127.0.0.1:{Postfix(world).start().port}", resolver=dns.resolver,
                      store_path=f'"{world.folder("store")}/postern.db"').serve()
    grey = Grey(postern)

    def reply(message):
        with Client(postern.port) as c:
            return c.deliver(message, sender="bounce@bank.example")

    signed, altered = BANK_SIGNATURE + BANK_MESSAGE, BANK_SIGNATURE + BANK_MESSAGE.replace(b"Hello", b"Hallo")
    expect(greylisted(reply(signed)), "a stranger who signs is a stranger")
    said = grey("allow", "bank.example")
    expect("DKIM passes for it" in said, f"allow says when a domain counts: {said}")
    for message, what in ((BANK_MESSAGE, "unsigned"), (altered, "altered")):
        expect(greylisted(reply(message)), f"{what} mail in the name of who is allowed waits")
    expect(reply(signed).startswith("250 "), "who is allowed, and has signed, is welcome")
    grey("deny", "bank.example")
    expect(greylisted(reply(signed)), "denied, not even what is signed and has passed before")
    grey("forget", "bank.example")
    expect_equal(grey("list"), "", "what is left")
    expect_equal(postern.logged("store-failed"), 0, "store errors")
    postern.stop()


# --- a real queue ------------------------------------------------------------------------------------------------------------------


@scenario(root=True)
def postfix_retries_through_the_greylist(world):
    """A real Postfix sends, is put off, comes back by its own queue: nothing is lost, and each message arrives once for each recipient."""
    messages, boxes = 30, ("u", "v")
    behind = Postfix(world).start()
    policy = ('stage rcpt\n  rule doubtful: greylist 2s when not mail.null and mail.local != "dot"\n'
              'stage data\n  rule at-the-dot: greylist 2s when mail.local = "dot"\n')
    postern = Postern(world, policy, backend=f"127.0.0.1:{behind.port}", store_path=f'"{world.folder("store")}/postern.db"').serve()
    sender = Postfix(world, virtual_mailbox_domains="", default_transport=f"smtp:[127.0.0.1]:{postern.port}", minimal_backoff_time="1s",
                     maximal_backoff_time="2s", queue_run_delay="1s", smtp_destination_concurrency_failed_cohort_limit="0",
                     myhostname="sender.example.com", smtpd_relay_restrictions="permit_mynetworks, reject").start()
    with Client(sender.port) as c:
        c.say("EHLO client.example")
        for i in range(messages):
            local = "dot" if i % 3 == 0 else f"a{chr(97 + i % 26)}"
            reply = c.deliver(plain_message(f"m{i}"), helo=None, sender=f"{local}@d{chr(97 + i % 26)}{chr(97 + i // 26)}.example",
                              recipients=[f"{box}@example.org" for box in boxes])
            expect(reply.startswith("250 "), f"the sending server takes message {i}: {reply}")
    sender.drain(120)
    behind.drain()
    for box in boxes:
        arrived = sorted(mark_of(m) for m in behind.mail(box))
        expect_equal(arrived, sorted(f"m{i}" for i in range(messages)), f"messages for {box}, each once")
        expect(all(recipient_of(m) == f"{box}@example.org" for m in behind.mail(box)), "each in its own mailbox")
    log = sender.log()
    expect_equal(log.count("status=bounced"), 0, "bounces at the sending server")
    deferred, sent = (re.findall(rf"(?m)to=<\w@example\.org>.*status={word} ", log) for word in ("deferred", "sent"))
    expect_equal(len(sent), messages * len(boxes), "recipients sent, as the sending server says")
    expect(len(deferred) >= messages * len(boxes) and re.search(r"status=deferred .*451 4\.7\.1 Greylisted", log), "each was greylisted first")
    wait_until(lambda: sum(r["end"].startswith("delivered") for r in postern.journal()) >= messages, "the journal to have all")
    first_tries = [r for r in postern.journal() if any(x["facts"].get("greylist.age", [0])[0] is None for x in r["recipients"])]
    expect(len(first_tries) >= messages, "every message was a first contact once")
    wait_until(lambda: postern.logged("delivered") >= messages and "Greylisted" in postern.log(), "the log to show both")
    expect_equal(postern.logged("store-failed"), 0, "store errors")
    postern.stop()
