"""A shadow policy on live mail: what it says, what it leaves alone, and its file at check, start and HUP."""
import os

from parts.client import Client, plain_message
from parts.postern import Postern
from parts.process import expect, expect_equal, wait_until
from parts.sink import Sink

from . import scenario

STRICT = 'stage rcpt\n  rule strict: reject "strict" when rcpt.local = u\n'
GREYLIST = "stage rcpt\n  rule young: greylist 5m\n"


def set_shadow(postern, text):
    path = os.path.join(postern.folder, "shadow.policy")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    postern.settings["shadow_policy"] = '"shadow.policy"'
    postern.write_config()


def deliver(postern, mark):
    with Client(postern.port) as c:
        expect(c.deliver(plain_message(mark)).startswith("250 "), f"{mark} is delivered")
        c.say("QUIT")


def newest(postern, count):
    """The last of so many records with a recipient."""
    def records():
        return [r for r in postern.journal() if r["recipients"]]
    wait_until(lambda: len(records()) >= count, lambda: f"{count} records:\n{postern.journal()}")
    expect_equal(len(records()), count, "records")
    return records()[-1]


@scenario
def shadow_on_live_mail(world):
    """It refuses and greylists, nobody notices: all is delivered, journal and log say what it would have done; at HUP another takes its place."""
    sink = world.keep(Sink())
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}")
    set_shadow(postern, STRICT)
    postern.serve()
    expect("shadow.policy" in postern.log(), "the log names it at the start")
    deliver(postern, "one")
    record = newest(postern, 1)
    expect_equal(record["verdict"], "accept by all", "the verdict")
    expect_equal(record["shadow"]["verdict"], "reject by strict", "the shadow's verdict")
    expect(record["shadow"]["differs"], "it differs")
    wait_until(lambda: 'shadow="reject by strict"' in postern.log(), "the log")
    set_shadow(postern, "stage rcpt\n  rule broken: rejct\n")
    postern.reload()
    wait_until(lambda: postern.logged("reload-failed"), "the complaint")
    deliver(postern, "two")
    expect_equal(newest(postern, 2)["shadow"]["verdict"], "reject by strict", "the one that ran stays")
    set_shadow(postern, GREYLIST)
    seen = postern.logged("reloaded")
    postern.reload()
    wait_until(lambda: postern.logged("reloaded") >= seen + 2, "policy and shadow are read again")
    for i in range(2):
        deliver(postern, f"grey-{i}")
        shadow = newest(postern, 3 + i)["shadow"]
        expect_equal(shadow["verdict"], "tempfail by young", "to a shadow each contact is the first")
        expect_equal(shadow["recipients"][0]["facts"]["greylist.age"][0], None, "it was never seen")
    expect(postern.counter("shadow-judged") >= 4, "counted")
    expect_equal(postern.counter("shadow-differs"), 4, "those that differ")
    listed = postern.run("grey", "--config", postern.config, "stats").stdout.decode()
    expect("u@example" not in postern.run("grey", "--config", postern.config, "list").stdout.decode(), f"nothing was touched: {listed}")
    expect_equal(len(sink.messages), 4, "messages at the backend")
    postern.stop()


@scenario
def shadow_without_a_journal(world):
    """The log alone says where it differs, and waits for the evidence that only the shadow needs: nobody else does."""
    sink = world.keep(Sink())
    postern = Postern(world, backend=f"127.0.0.1:{sink.port}")
    del postern.settings["journal"]
    postern.settings["dns_timeout"] = "300ms"
    set_shadow(postern, 'stage data\n  rule nowhere: reject "nowhere" when mail.dns is error\n')
    postern.serve()
    deliver(postern, "one")
    wait_until(lambda: 'shadow="' in postern.log(), lambda: f"the log:\n{postern.log()}", 30)
    expect_equal(postern.log().count('shadow="reject by nowhere"'), 1, "lines that say so")
    postern.stop()


@scenario
def shadow_checked_before_it_runs(world):
    """check says what is wrong with both policies at once, and what of a shadow would mislead; with errors in it nothing starts."""
    postern = Postern(world, policy="stage rcpt\n  rule a: rejct\n", backend="127.0.0.1:1")
    set_shadow(postern, "stage rcpt\n  rule b: reject when rcpt.lokal = x\n")
    done = postern.run("check", "--config", postern.config)
    said = (done.stdout + done.stderr).decode()
    expect(done.returncode != 0 and "test.policy:2:" in said and "shadow.policy:2:" in said, f"status {done.returncode}:\n{said}")
    postern.set_policy("stage rcpt\n  rule a: accept\n")
    for command in ("check", "run"):
        done = postern.run(command, "--config", postern.config)
        said = (done.stdout + done.stderr).decode()
        expect(done.returncode != 0 and "shadow.policy:2:" in said, f"{command}: status {done.returncode}:\n{said}")
    set_shadow(postern, "mark seen\nstage connect\n  rule c: reject when marked.seen or history.refused > 3\n" + GREYLIST)
    done = postern.run("check", "--config", postern.config)
    said = (done.stdout + done.stderr).decode()
    expect_equal(done.returncode, 0, f"check:\n{said}")
    for part in ("marked.seen", "history.*", "every contact is the first"):
        expect(part in said, f"advice on {part}:\n{said}")
    set_shadow(postern, "stage rcpt\n  rule a: accept\n")
    said = postern.run("check", "--config", postern.config)
    expect("nothing will differ" in (said.stdout + said.stderr).decode(), "the same policy twice")
