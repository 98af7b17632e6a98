"""deploy/quickstart.sh as a newcomer runs it, save that the binary under test is taken."""
import os
import re
import signal
import subprocess

from parts.process import can_connect, expect, expect_equal, free_port, wait_until
from parts.sink import Sink

from . import scenario


def command(world, *arguments):
    return [os.path.join(world.source, "deploy", "quickstart.sh"), "--binary", world.binary, *arguments]


def environment(world):
    return {**os.environ, **world.sanitizers(), "TMPDIR": world.folder("tmp")}


# The beginning of a sample's title: what is answered, and what must be said of it
ANSWERS = [
    ("A clean message", ["250 2.0.0 ", "arrived: "]),
    ("The client is on a block list", ["550 5.7.1 Refused: listed by zen", "rule zen-sbl", "rule listed"]),
    ("The same, two recipients", ["550 5.7.1 ", "250 2.0.0 ", "rule postmaster", "arrived: "]),
    ("An infected machine", ["451 4.7.1 Greylisted", "rule zen-xbl", "rule doubtful"]),
    ("Bad HELO: no reverse name", ["451 4.7.1 ", "rule no-reverse", "rule helo-form"]),
    ("Bad HELO: a listed machine", ["550 5.7.1 ", "rule pretender"]),
    ("A sender whose domain takes no mail", ["550 5.7.27 ", "rule sender-silent"]),
    ("A sender whose domain does not exist", ["451 4.7.1 ", "rule sender-nowhere"]),
    ("Wrong domain", ["550 5.7.1 Relaying denied", "Postern itself"]),
    ("Unknown user", ["550 5.1.1 "]),
]


@scenario(root=True)
def quickstart(world):
    env = environment(world)
    done = subprocess.run(command(world, "--port", str(free_port())), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
                          env=env, check=False)
    expect_equal(done.returncode, 0, f"status of\n{done.stdout}{done.stderr}\n")
    samples = {title: text for title, text in re.findall(r"(?ms)^\d+\. ([^\n]*)\n(.*?)(?=^\d+\. |^Done)", done.stdout)}
    expect_equal(len(samples), len(ANSWERS), "samples")
    for begins, wanted in ANSWERS:
        text = next((text for title, text in samples.items() if title.startswith(begins)), "")
        for part in wanted:
            expect(part in text, f"sample {begins!r} says {part!r}:\n{text}")
    expect_equal(os.listdir(env["TMPDIR"]), [], "what is left behind")


@scenario(root=True)
def quickstart_stays(world):
    """--stay keeps it up, before a server of one's own; Ctrl-C ends it and leaves nothing."""
    sink = world.keep(Sink())
    port = free_port()
    env = environment(world)
    process = world.start("quickstart", command(world, "--stay", "--port", str(port), "--backend", f"127.0.0.1:{sink.port}", "--to", "me@own.example"),
                          log=os.path.join(world.root, "quickstart.log"), env=env)
    wait_until(lambda: "Running until Ctrl-C" in process.output() or not process.running(), process.output, 60)
    expect(process.running() and can_connect(port), f"it stays up:\n{process.output()}")
    expect(sink.messages and sink.messages[0].recipients == ["RCPT TO:<me@own.example>"], "the clean message is at the server")
    process.signal(signal.SIGTERM)
    expect_equal(process.wait(30), 143, "status after TERM")
    expect(not can_connect(port), "nothing listens any more")
    expect_equal(os.listdir(env["TMPDIR"]), [], "what is left behind")
