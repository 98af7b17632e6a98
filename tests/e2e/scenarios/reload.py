"""
HUP while mail flows: the files that settings name are read anew, for connections from then on; what is no good is logged, and what runs stays. What a
reload cannot change is named. (Certificates of listeners: tls.py; the policy: policy.py; the journal: operation.py.)
"""
import itertools
import os
import shutil
import threading

from parts.certificates import Authority
from parts.client import Client, mark_of, plain_message
from parts.postern import Postern
from parts.process import expect, expect_equal, wait_until
from parts.redis import Redis
from parts.sink import Sink

from . import scenario

# Asks the store at every RCPT, and puts nobody off.
ASKING = "stage rcpt\n  rule known: tag \"known\" when greylist.known\n"
numbers = itertools.count()


class Files:
    """Files whose names Postern knows, and what is put in their place."""

    def __init__(self, world):
        self.folder = world.folder("live")

    def __getitem__(self, name):
        return os.path.join(self.folder, name)

    def put(self, **wanted):
        for name, source in wanted.items():
            shutil.copy(source, self[name] + ".new")
            os.rename(self[name] + ".new", self[name])

    def spoil(self, name):
        with open(self[name], "w", encoding="ascii") as f:
            f.write("no certificate\n")


class Mail(threading.Thread):
    """One message after the other, until it is told to stop."""

    def __init__(self, postern):
        super().__init__(daemon=True)
        self.postern = postern
        self.over = threading.Event()
        self.sent, self.wrong = [], []
        self.start()

    def run(self):
        with Client(self.postern.port) as c:
            c.say("EHLO client.example")
            while not self.over.is_set():
                mark = f"mail.{len(self.sent)}"
                reply = c.deliver(plain_message(mark), helo=None)
                (self.sent if reply.startswith("250 ") else self.wrong).append(mark)

    def more(self, count=5):
        """Waits until so many more are through."""
        wanted = len(self.sent) + count
        wait_until(lambda: len(self.sent) >= wanted or not self.is_alive(), lambda: f"{wanted} messages, of which {len(self.sent)} are through", 30)

    def finish(self):
        self.over.set()
        self.join(30)
        expect(not self.is_alive(), "the client ends")
        expect_equal(self.wrong, [], "messages that were not taken")


def reload(postern, says=None):
    """HUP, until the log says that event, and that the reload is over."""
    seen, over = says and postern.logged(says), postern.logged("reloaded")
    postern.reload()
    wait_until(lambda: postern.logged("reloaded") > over, lambda: f"the reload:\n{postern.log()[-2000:]}")
    if says:
        expect(postern.logged(says) == seen + 1, lambda: f"one line `{says}`:\n{postern.log()[-2000:]}")


def asks_in_vain(postern):
    """Does one more message find the store without an answer?"""
    sender = f"ask{next(numbers)}@sender.example"
    with Client(postern.port) as c:
        expect(c.deliver(plain_message("ask"), sender=sender).startswith("250 "), "mail goes on without the store")
    record = postern.record(lambda r: r["recipients"] and sender in str(r["stages"]["mail"]["facts"]["mail.from"]), f"the record of {sender}")
    return isinstance(record["recipients"][-1]["facts"]["greylist.known"][0], dict)


@scenario
def redis_certificates_renewed(world):
    """Authority, certificate and key are replaced by others', under load: the connection that runs loses nothing, the next one has the new files."""
    old, new = Authority(world), Authority(world)
    servers = {ca: ca.certificate("localhost") for ca in (old, new)}
    clients = {ca: ca.certificate("mx.example.org", use="clientAuth") for ca in (old, new)}
    files = Files(world)
    sink = world.keep(Sink())
    redis = Redis(world, certificate=servers[old], authority=old, clients=old).start()

    def install(ca):
        files.put(ca=ca.file, certificate=clients[ca].file, key=clients[ca].key)

    def restart(ca):
        redis.kill()
        redis.certificate, redis.clients = servers[ca], ca
        redis.start()

    install(old)
    postern = Postern(world, ASKING, backend=f"127.0.0.1:{sink.port}", message_limit=100000,
                      **{**redis.settings(), "redis_ca": f'"{files["ca"]}"', "redis_certificate": f'"{files["certificate"]}"', "redis_key": f'"{files["key"]}"'})
    postern.serve()
    mail = Mail(postern)
    mail.more()
    for spoilt in ("ca", "certificate", "key"):
        install(new)
        files.spoil(spoilt)
        reload(postern, "store-error")
        expect(os.path.join(files.folder, spoilt) in postern.log().split("store-error")[-1], f"the log says that it is {spoilt}:\n{postern.log()}")
        mail.more()
    install(new)
    reload(postern)
    mail.more()
    expect_equal(postern.logged("store-failed"), 0, "store errors while files were renewed")
    restart(new)
    wait_until(lambda: not asks_in_vain(postern), "the store with the new files", 40)
    files.spoil("ca")
    reload(postern, "store-error")
    restart(new)
    wait_until(lambda: not asks_in_vain(postern), "the store with the files of before", 40)
    mail.finish()
    restart(old)
    expect(asks_in_vain(postern), "a server of the old authority is not believed any more")
    install(old)
    reload(postern)
    wait_until(lambda: not asks_in_vain(postern), "the store with the old files again", 40)
    postern.stop()
    expect_equal(sorted(m for m in map(mark_of, (m.octets for m in sink.messages)) if m.startswith("mail.")), sorted(mail.sent), "messages, each once")


@scenario
def backend_authority_renewed(world):
    """The CA file of a backend is read anew: a backend with a certificate of another authority is believed from then on."""
    old, new = Authority(world), Authority(world)
    files = Files(world)
    context = {ca: ca.certificate("backend.example.org").serve() for ca in (old, new)}
    sink = world.keep(Sink(tls=context[old]))
    files.put(ca=old.file)
    postern = Postern(world, backend=f'127.0.0.1:{sink.port} tls require verify backend.example.org ca "{files["ca"]}"', backend_probe="1h").serve()

    def deliver(mark):
        with Client(postern.port) as c:
            return c.deliver(plain_message(mark))[:4]

    expect_equal(deliver("first"), "250 ", "under the old authority")
    files.spoil("ca")
    reload(postern, "backend-tls")
    expect_equal(deliver("second"), "250 ", "under what was read before")
    files.put(ca=new.file)
    reload(postern)
    expect_equal(deliver("no"), "451 ", "the old backend is not believed any more")
    sink.tls = context[new]
    wait_until(lambda: deliver("third") == "250 ", "the new one to be used", 30)
    postern.stop()
    expect_equal([mark_of(m.octets) for m in sink.messages], ["first", "second", "third"], "messages")


@scenario
def settings_changed(world):
    """The configuration is not read anew: what was changed in it is named, all else is reloaded."""
    sink = world.keep(Sink())
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}", store="memory").serve()
    reload(postern)
    expect_equal(postern.logged("restart-needed"), 0, "complaints when nothing was changed")
    kept = dict(postern.settings)
    postern.settings.update(store="redis", redis="127.0.0.1:1", redis_prefix="other", domains=["example.net", "example.org"], max_sessions=7)
    postern.write_config()
    reload(postern, "restart-needed")
    line = next(x for x in postern.log().splitlines() if " restart-needed " in x)
    expect(line.endswith(': domains, max-sessions, store, redis, redis-prefix"'), f"what was changed is named: {line}")
    postern.settings.update(stroe="redis")
    postern.write_config()
    reload(postern, "configuration-error")
    expect("unknown setting 'stroe'" in postern.log(), f"the mistake is told:\n{postern.log()}")
    os.unlink(postern.config)
    reload(postern, "configuration-error")
    with Client(postern.port) as c:
        expect(c.deliver(plain_message("still")).startswith("250 "), "what runs stays")
    postern.settings = kept
    postern.write_config()
    reload(postern)
    expect_equal(postern.logged("restart-needed"), 1, "complaints")
    postern.stop()
