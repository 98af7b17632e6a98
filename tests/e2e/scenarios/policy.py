"""The shipped policy and one of our own over real DNS: what lists, zones and names say decides, and explain says the same."""
import json
import os
import pathlib
import re

from parts.client import Client, plain_message
from parts.dns import Dns, reverse
from parts.postern import Postern
from parts.postfix import Postfix
from parts.process import expect, expect_equal, wait_until
from parts.sink import Sink

from . import scenario

CLEAN, LISTED, PBL, NAMELESS, LYING, VOUCHED = (f"198.51.100.{n}" for n in (1, 2, 3, 4, 5, 6))
CLEAN6, LISTED6 = "2001:db8::9", "2001:db8:bad::9"


def nibbles(address):
    import ipaddress
    return ipaddress.ip_address(address).reverse_pointer


def real_dns(world, dead=()):
    """Zones in which the clients above live, with the lists that the shipped policy asks."""
    zone = "\n".join([
        f"@ A {CLEAN}", "@ MX 10 clean", f"clean A {CLEAN}", f"clean AAAA {CLEAN6}", f"listed A {LISTED}", f"pbl A {PBL}",
        "lying A 192.0.2.99", f"vouched A {VOUCHED}", "nullmx MX 0 .", "onlya A 192.0.2.1", "elsewhere A 192.0.2.2", ""])
    pointers = "".join(f"{n} PTR {name}.sender.example.\n" for n, name in ((1, "clean"), (2, "listed"), (3, "pbl"), (5, "lying"), (6, "vouched")))
    zones = {"sender.example": zone, "100.51.198.in-addr.arpa": pointers, "8.b.d.0.1.0.0.2.ip6.arpa": f"{nibbles(CLEAN6)}. PTR clean.sender.example.\n"}
    lists = {"zen.spamhaus.org": f"{LISTED} :127.0.0.2:listed\n{PBL} :127.0.0.10:a line\n{VOUCHED} :127.0.0.4:infected\n",
             "list.dnswl.org": f"{VOUCHED} :127.0.5.1:vouched\n"}
    for name in dead:
        zones.pop(name, None)
        lists.pop(name, None)
    return world.keep(Dns(world, zones, lists, dead).start())


def shipped(world):
    return pathlib.Path(world.source, "policy", "default.policy")


def session(port, source, helo, sender, recipients, message=None, address="127.0.0.1"):
    """The reply to each recipient, and to the dot when one was accepted."""
    with Client(port, address, source) as c:
        replies = c.envelope(sender, recipients, helo)
        dot = None
        if any(r.startswith("2") for r in replies):
            dot = c.content(message or plain_message("policy"))
        c.say("QUIT")
        return replies, dot


# client, HELO name, sender, recipient: the reply's beginning, the deciding rule (None: nobody refused)
VERDICTS = [
    (CLEAN, "clean.sender.example", "a@sender.example", "u@example.org", "250 ", None),
    (CLEAN, "clean.sender.example", "", "u@example.org", "250 ", None),
    (CLEAN, "clean.sender.example", "a@sender.example", "nobody@example.org", "550 5.1.1 ", None),
    (CLEAN, "clean.sender.example", "a@sender.example", "u@elsewhere.example", "550 5.7.1 ", None),
    (LISTED, "listed.sender.example", "a@sender.example", "u@example.org", "550 5.7.1 Refused: listed by zen", "listed"),
    (LISTED, "listed.sender.example", "a@sender.example", "postmaster@example.org", "250 ", None),
    (PBL, "pbl.sender.example", "a@sender.example", "u@example.org", "451 4.7.1 ", "doubtful"),
    (PBL, "mx.example.org", "a@sender.example", "u@example.org", "550 5.7.1 Refused: listed by zen", "listed"),
    (VOUCHED, "vouched.sender.example", "a@sender.example", "u@example.org", "451 4.7.1 ", "doubtful"),
    (NAMELESS, "clean.sender.example", "a@sender.example", "u@example.org", "451 4.7.1 ", "doubtful"),
    (LYING, "clean.sender.example", "a@sender.example", "u@example.org", "250 ", None),
    (LYING, "bare", "a@sender.example", "u@example.org", "451 4.7.1 ", "doubtful"),
    (CLEAN, "nowhere.sender.example", "a@sender.example", "u@example.org", "250 ", None),
    (CLEAN, "clean.sender.example", "a@nullmx.sender.example", "u@example.org", "550 5.7.27 ", "sender-silent"),
    (CLEAN, "clean.sender.example", "a@nowhere.sender.example", "u@example.org", "451 4.7.1 ", "doubtful"),
    (CLEAN, "clean.sender.example", "a@onlya.sender.example", "u@example.org", "250 ", None),
]


@scenario(addresses=True)
def shipped_policy_over_real_dns(world):
    """Every verdict of the table above, live; then explain with the same input against the same resolver: same facts, same verdict."""
    dns = real_dns(world)
    postfix = Postfix(world).start()
    postern = Postern(world, policy=shipped(world), backend=f"127.0.0.1:{postfix.port}", resolver=dns.resolver).serve()
    wrong = []
    for number, (source, helo, sender, recipient, begins, rule) in enumerate(VERDICTS):
        message = plain_message(f"policy-{number}")
        replies, dot = session(postern.port, source, helo, sender, [recipient], message)
        what = f"{source} {helo} <{sender}> <{recipient}>"
        if not replies[0].startswith(begins) or (dot and not dot.startswith("250 ")):
            wrong.append(f"{what}: wanted {begins!r}, heard {replies[0]!r}, after the dot {dot!r}")
            continue
        record = postern.record(lambda r, w=(source, helo, sender, recipient): identity(r) == w, what)
        path = os.path.join(world.root, "message")
        with open(path, "wb") as f:
            f.write(message)
        wrong += compare_with_explain(postern, record, source, helo, sender, recipient, path if dot else None, rule, what)
        wrong += explained_by_its_id(postern, replies[0], record, rule, what)
    expect(not wrong, "\n" + "\n".join(wrong))
    postfix.drain()
    delivered = sum(1 for v in VERDICTS if v[4] == "250 ")
    expect_equal(len(postfix.mail("u")) + len(postfix.mail("postmaster")), delivered, "delivered messages")
    postern.stop()


def explained_by_its_id(postern, reply, record, rule, what):
    """A refusal of ours has an id behind it, by which explain finds the record; the policy of now is the one of then."""
    bracket = re.search(r"\[([A-Z0-9]+\.\d+)\]$", reply)
    if bool(bracket) != (record["recipients"][0]["by"] != "backend"):
        return [f"{what}: id and who refused do not go together: {reply!r}, {record['recipients'][0]}"]
    if bracket and bracket[1] != record["id"]:
        return [f"{what}: {reply!r} is recorded as {record['id']}"]
    done = postern.run("explain", "--config", postern.config, "--id", bracket[0] if bracket else record["id"])
    said = done.stdout.decode()
    parts = [f"Transaction {record['id']} at {record['time']}\n", f"{record['verdict']}; ended: {record['end']}, after ", ", for the same reasons\n"]
    if rule:
        parts.append(f"{record['recipients'][0]['reply']}  (said by the policy)\n")
    return [f"{what}: explain --id lacks {part!r}:\n{said}{done.stderr.decode()}" for part in parts if part not in said]


def identity(record):
    facts = {**record["stages"].get("helo", {}).get("facts", {}), **record["stages"].get("mail", {}).get("facts", {})}
    value = lambda name: facts.get(name, [None])[0]
    to = record["recipients"][0]["address"] if record["recipients"] else None
    return record["client"], value("helo.name"), value("mail.from"), to


# What is of the moment or of the session, not of the input
OF_THE_MOMENT = re.compile(r"manners\.|listener|tls|score|greylist\.|rate\.|rcpt\.count|msg\.|class")


def facts_of(record):
    found = {}
    for stage in record["stages"].values():
        found.update({name: value[0] for name, value in stage["facts"].items()})
    return {name: value for name, value in found.items() if not OF_THE_MOMENT.match(name)}


def compare_with_explain(postern, record, source, helo, sender, recipient, message, rule, what):
    wrong = []
    arguments = ["--message", message] if message else []
    done = postern.run("explain", "--config", postern.config, "--client", source, "--helo", helo, "--from", sender or "<>", "--to", recipient,
                       *arguments, "--json")
    if done.returncode != 0:
        return [f"{what}: explain ended with {done.returncode}: {done.stderr.decode()}"]
    told = json.loads(done.stdout)
    for name, value in facts_of(record).items():
        if name not in told["facts"]:
            wrong.append(f"{what}: explain has no {name}, the session saw {value!r}")
        elif told["facts"][name] != value:
            wrong.append(f"{what}: {name}: explain says {told['facts'][name]!r}, the session saw {value!r}")
    verdict = told["verdict"]
    refused = not record["recipients"][0]["accepted"] and record["recipients"][0]["by"] == "policy"
    if refused != (verdict["rule"] is not None and verdict["action"] in ("reject", "tempfail", "greylist")) and "elsewhere" not in recipient:
        wrong.append(f"{what}: explain's verdict is {verdict}, the session's {record['recipients'][0]}")
    if refused:
        reply = record["recipients"][0]["reply"]
        if not reply.startswith(f"{verdict['code']} {verdict['enhanced']} "):
            wrong.append(f"{what}: explain says {verdict['code']} {verdict['enhanced']}, the session said {reply}")
        if verdict["rule"] != rule or not record["verdict"].endswith(f" by {rule}"):
            wrong.append(f"{what}: wanted rule {rule}; explain says {verdict['rule']}, the record {record['verdict']}")
    return wrong


@scenario(addresses=True)
def two_recipients_two_answers(world):
    """postmaster is heard from a listed machine, the other recipient is refused, in one transaction."""
    dns = real_dns(world)
    sink = world.keep(Sink(replies={"RCPT": lambda line: "550 5.1.1 no such user" if "nobody" in line else "250 2.1.5 ok"}))
    postern = Postern(world, policy=shipped(world), backend=f"127.0.0.1:{sink.port}", resolver=dns.resolver).serve()
    replies, dot = session(postern.port, LISTED, "listed.sender.example", "a@sender.example", ["u@example.org", "postmaster@example.org"])
    expect_equal([r[:3] for r in replies], ["550", "250"], f"replies {replies}")
    expect(dot and dot.startswith("250 "), f"after the dot: {dot}")
    expect_equal([m.recipients for m in sink.messages], [["RCPT TO:<postmaster@example.org>"]], "recipients at the backend")
    expect(not any("u@example.org" in c for c in sink.commands), "the backend never heard of the refused recipient")
    replies, dot = session(postern.port, CLEAN, "clean.sender.example", "a@sender.example", ["u@example.org", "nobody@example.org", "x@y.example"])
    expect_equal([r[:9] for r in replies], ["250 2.1.5", "550 5.1.1", "550 5.7.1"], f"replies {replies}")
    postern.stop()


@scenario(addresses=True)
def listed_over_ipv6(world):
    """A client with an IPv6 address: its list is asked by nibbles, its name comes from ip6.arpa."""
    policy = 'dnsbl six "six.example"\nstage rcpt\n  rule six: reject "listed by {dnsbl.listed}" when dnsbl.six in 127.0.0.2\n' \
             '  rule name: tempfail "no name" when fcrdns != pass\n'
    zones = {"sender.example": f"clean AAAA {CLEAN6}\n", "8.b.d.0.1.0.0.2.ip6.arpa": f"{nibbles(CLEAN6)}. PTR clean.sender.example.\n",
             "six.example": "2.0.0.127 A 127.0.0.2\n" + ".".join(nibbles("2001:db8:bad::")[:-len(".ip6.arpa")].split(".")) + " A 127.0.0.2\n"}
    dns = world.keep(Dns(world, zones).start())
    sink = world.keep(Sink())
    port_line = Postern(world, policy=policy, backend=f"127.0.0.1:{sink.port}", resolver=dns.resolver)
    port_line.settings["listen"] = [f"127.0.0.1:{port_line.port}", f"[2001:db8::25]:{port_line.port}"]
    port_line.write_config()
    postern = port_line.serve()
    reply, _ = session(postern.port, LISTED6, "client.example", "a@sender.example", ["u@example.org"], address="2001:db8::25")
    expect(reply[0].startswith("550 5.7.1 listed by six "), f"a listed client: {reply}")
    reply, dot = session(postern.port, CLEAN6, "client.example", "a@sender.example", ["u@example.org"], address="2001:db8::25")
    expect((reply[0] + str(dot)).count("250 ") == 2, f"a clean client: {reply} {dot}")
    postern.stop()


@scenario(addresses=True)
def dns_trouble_refuses_nobody(world):
    """The list's server, the reverse zone and the sender's zone are silent: mail passes, and the record says error."""
    dns = real_dns(world, dead=("zen.spamhaus.org", "100.51.198.in-addr.arpa"))
    sink = world.keep(Sink())
    postern = Postern(world, policy=shipped(world), backend=f"127.0.0.1:{sink.port}", resolver=dns.resolver, dnsbl_deadline="1s",
                      fcrdns_deadline="1s", helo_deadline="1s", sender_deadline="1s", dns_timeout="500ms").serve()
    replies, dot = session(postern.port, LISTED, "clean.sender.example", "a@sender.example", ["u@example.org"])
    expect((replies[0] + str(dot)).count("250 ") == 2, f"mail passes: {replies} {dot}")
    record = postern.record(lambda r: r["client"] == LISTED and r["recipients"])
    facts = record["stages"]["connect"]["facts"]
    for name in ("dnsbl.zen", "fcrdns"):
        expect("error" in json.dumps(facts[name][0]), f"{name} is an error: {facts[name]}")
    postern.stop()


@scenario(addresses=True)
def no_resolver_at_all(world):
    """Nothing listens where the resolver should be: the same."""
    sink = world.keep(Sink())
    postern = Postern(world, policy=shipped(world), backend=f"127.0.0.1:{sink.port}", dns_timeout="500ms").serve()
    replies, dot = session(postern.port, CLEAN, "clean.sender.example", "a@sender.example", ["u@example.org"])
    expect((replies[0] + str(dot)).count("250 ") == 2, f"mail passes: {replies} {dot}")
    postern.stop()


@scenario(addresses=True)
def list_that_lists_everything_rests(world):
    """A list that went mad (127.0.0.1 is listed too, RFC 5782 section 5) is taken out of use until it is sane again."""
    policy = 'dnsbl mad "mad.example"\nstage rcpt\n  rule mad: reject "listed" when dnsbl.mad in 127.0.0.2\n'
    dns = world.keep(Dns(world, lists={"mad.example": "127.0.0.1\n198.51.100.0/24\n"}).start())
    sink = world.keep(Sink())
    postern = Postern(world, policy=policy, backend=f"127.0.0.1:{sink.port}", resolver=dns.resolver).serve()
    wait_until(lambda: "lists everything" in postern.log(), lambda: f"the list to be found out:\n{postern.log()}")
    replies, _ = session(postern.port, CLEAN, "clean.example", "a@sender.example", ["u@example.org"])
    expect(replies[0].startswith("250 "), f"mail passes: {replies}")
    postern.stop()


@scenario(addresses=True)
def policy_reload(world):
    """HUP reads the policy again, for connections that come after; one with errors leaves the running one in place, and the log says where."""
    sink = world.keep(Sink())
    first = 'stage rcpt\n  rule net: reject "first" when client.ip in 198.51.100.0/24\n'
    second = 'stage rcpt\n  rule net: reject 554 5.7.0 "second" when client.ip in 203.0.113.0/24\n'
    postern = Postern(world, policy=first, backend=f"127.0.0.1:{sink.port}").serve()
    ask = lambda source: session(postern.port, source, "client.example", "a@sender.example", ["u@example.org"])[0][0]
    expect_equal((ask("198.51.100.1")[:15], ask("203.0.113.1")[:4]), ("550 5.7.1 first", "250 "), "before")
    postern.set_policy(second)
    with Client(postern.port, source="203.0.113.1") as old:
        old.say("EHLO client.example")
        postern.reload()
        wait_until(lambda: postern.logged("reloaded"), "the reload")
        expect_equal((ask("198.51.100.1")[:4], ask("203.0.113.1")[:16]), ("250 ", "554 5.7.0 second"), "after")
        old.say("MAIL FROM:<a@sender.example>")
        expect(old.say("RCPT TO:<u@example.org>").startswith("250 "), "a session keeps the policy that it began with")
    postern.set_policy("stage rcpt\n  rule net: rejct\n")
    postern.reload()
    wait_until(lambda: postern.logged("reload-failed"), "the failed reload")
    expect("test.policy:2:" in postern.log(), f"the log says where:\n{postern.log()}")
    expect_equal((ask("198.51.100.1")[:4], ask("203.0.113.1")[:16]), ("250 ", "554 5.7.0 second"), "after a broken policy")
    postern.stop()


@scenario(addresses=True)
def relay_from(world):
    """The office's printers may send anywhere, nobody else may."""
    sink = world.keep(Sink())
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}", relay_from="192.0.2.0/24, 2001:db8::/64").serve()
    ask = lambda source, to: session(postern.port, source, "client.example", "a@sender.example", [to])[0][0]
    expect(ask("192.0.2.7", "x@elsewhere.example").startswith("250 "), "from the office")
    for to in ("x@elsewhere.example", "x%elsewhere.example@example.org", "elsewhere.example!x@example.org", "@example.org,@a.example:x@b.example"):
        expect(ask("198.51.100.7", to).startswith("550 5.7.1 "), f"from elsewhere to {to}")
    expect(not any("elsewhere" in m.recipients[0] for m in sink.messages[1:]), "nothing was relayed")
    postern.stop()
