"""What a message costs, counted, not timed: system calls of the whole proxy, both sides (DESIGN section 9)."""
import re
import shutil
import subprocess

from parts.client import Client
from parts.postern import Postern
from parts.process import expect, free_port, wait_until

from . import scenario

ONE_SESSION = 40  # connecting, one pipelined message, QUIT
ONE_MESSAGE = 15  # each further message of a session
SLACK = 1.0       # a message: the kernel may cut a group of replies in two, which costs a wait and a read
CALLS = re.compile(r"^\d+ +(epoll_wait|epoll_ctl|recvfrom|recvmsg|sendto|sendmsg|accept4|socket|connect|close|setsockopt|getsockopt|"
                   r"getsockname|read|write|writev|getrandom)\(.*= (-?\d+)")


def counted(trace):
    """System calls in a trace, waits in which nothing came left out."""
    calls = 0
    with open(trace, encoding="utf-8", errors="replace") as f:
        for line in f:
            m = CALLS.match(line)
            calls += bool(m) and not (m[1] == "epoll_wait" and m[2] == "0")
    return calls


def session(postern, messages):
    with Client(postern.port) as c:
        c.say("EHLO client.example")
        for _ in range(messages):
            c.send(b"MAIL FROM:<a@sender.example>\r\nRCPT TO:<u@example.org>\r\nDATA\r\n")
            expect([c.reply()[:3] for _ in range(3)] == ["250", "250", "354"], "the envelope is taken")
            c.send(b"Subject: counted\r\n\r\n" + b"one line of an ordinary message\r\n" * 120 + b".\r\n")
            expect(c.reply().startswith("250"), "the message is taken")
        c.say("QUIT")


def trace_of(world, postern, messages):
    trace = f"{world.folder('trace')}/{messages}"
    tracer = subprocess.Popen(["strace", "-f", "-o", trace, "-p", str(postern.process.pid)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        expect(b"attached" in tracer.stderr.readline(), "strace is allowed to look")
        session(postern, messages)
    finally:
        tracer.terminate()
        tracer.wait()
    return counted(trace)


@scenario(root=True)
def system_calls_of_a_message(world):
    expect(shutil.which("strace"), "strace is installed (deploy/install-deps.sh test)")
    port = free_port()
    world.start("smtp-sink", ["smtp-sink", "-u", "nobody", f"127.0.0.1:{port}", "100"], log=f"{world.folder('sink')}/log")
    postern = Postern(world, backend=f"127.0.0.1:{port}", journal='""', authentication_results="no", backend_probe="1h",
                      policy="stage connect\n  rule everyone: accept\n")
    postern.start()
    wait_until(postern.greets, "the sink to be there")
    session(postern, 1)
    one, many = trace_of(world, postern, 1), trace_of(world, postern, 21)
    each = (many - one) / 20
    print(f"system calls: {one} a one-message session, {each:.2f} a message in a long one")
    expect(each <= ONE_MESSAGE + SLACK, f"{each} system calls a message, {ONE_MESSAGE} are allowed")
    expect(one <= ONE_SESSION + 4 * SLACK, f"{one} system calls a session of one message, {ONE_SESSION} are allowed")
    postern.stop()
