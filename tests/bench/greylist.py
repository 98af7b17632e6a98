#!/usr/bin/env python3
"""
What greylisting costs: the same load through one proxy without it and one with it, in alternation, for each store.

    tests/bench/greylist.py BINARY [--messages N] [--rounds N] [--connections N] [--keep] [--new] [--stop-redis]

Between smtp-source and smtp-sink (Postfix); the sender has passed before, so that each recipient is one check of the store. With --new no recipient
is written to twice, so that each message also is one more pass. Said are messages a second and the proxy's processor time a message, each the median of the rounds, and as a share of "none". With
--stop-redis also the round in which the Redis server is stopped (SIGSTOP). The aim: at least 90 % of the messages without.
"""
import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
sys.dont_write_bytecode = True
os.environ["PATH"] += ":/usr/sbin:/sbin"

from parts.dns import Dns  # noqa: E402
from parts.postern import Postern  # noqa: E402
from parts.process import can_connect, free_port, wait_until  # noqa: E402
from parts.redis import Redis  # noqa: E402
from parts.world import World  # noqa: E402

# The greylist wants SPF and the host name: the proxy without it has them too (from its cache), so that the difference is the store.
EVIDENCE = "stage mail\n  rule never: tag \"x\" when spf = fail and client.name = \"nobody.example\"\n"
POLICY = {False: EVIDENCE, True: EVIDENCE + "stage rcpt\n  rule all: greylist 1s\n"}
ZONES = {"sender.example": '@ TXT "v=spf1 ip4:192.0.2.1 ?all"\n', "0.0.127.in-addr.arpa": "1 PTR client.example.\n", "client.example": "@ A 127.0.0.1\n"}


def processor_ns(pid):
    """Time on a processor so far: of the loop's thread, and of all threads (SQLite has one of its own)."""
    spent = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as f:
            spent[int(thread)] = int(f.read().split()[0])
    return spent[pid], sum(spent.values())


class Candidate:
    resolver = ""

    def __init__(self, world, name, sink, greylist, **settings):
        self.name = name
        self.postern = Postern(world, POLICY[greylist], backend=f"127.0.0.1:{sink}", message_limit=1000000, journal='""',
                               resolver=self.resolver, max_sessions=20000, max_per_client=20000, max_per_network=20000, authentication_results="no", **settings).serve()
        self.forget()

    def forget(self):
        self.rates, self.loops, self.costs = [], [], []

    def medians(self, name):
        return name, *(statistics.median(x) for x in (self.rates, self.loops, self.costs))

    def send(self, args, messages, check=True):
        return subprocess.run(["smtp-source", *(["-d"] if args.keep else []), "-s", str(args.connections), "-m", str(messages), "-l", "2000", *(["-N"] if args.new else []), "-M", "client.example", "-f",
                               "a@sender.example", "-t", "u@example.org", f"inet:127.0.0.1:{self.postern.port}"],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=600, check=check)

    def warm_up(self, args):
        """Until two messages have passed: from then on the sender is known for every recipient."""
        wait_until(lambda: all(self.send(args, 1, check=False).returncode == 0 for _ in range(2)) or self.one_recipient(), "the sender to be known", 60)

    def one_recipient(self):
        from parts.client import Client, plain_message
        with Client(self.postern.port) as c:
            c.deliver(plain_message("warm"), sender="a@sender.example", recipients=("u@example.org",))
        return False

    def round(self, args):
        before, begun = processor_ns(self.postern.process.pid), time.monotonic()
        self.send(args, args.messages)
        took = time.monotonic() - begun
        self.rates.append(args.messages / took)
        for spent, since, to in zip(processor_ns(self.postern.process.pid), before, (self.loops, self.costs)):
            to.append((spent - since) / 1e3 / args.messages)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--messages", type=int, default=20000, help="a round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--keep", action="store_true", help="many messages a connection, instead of one")
    parser.add_argument("--new", action="store_true", help="each message to a recipient that nobody has written to")
    parser.add_argument("--stop-redis", action="store_true")
    args = parser.parse_args()
    world = World(os.path.abspath(args.binary), os.path.dirname(os.path.dirname(HERE)), False)
    try:
        sink = free_port()
        world.start("smtp-sink", ["smtp-sink", "-u", "nobody", f"inet:127.0.0.1:{sink}", "1000"], log=os.path.join(world.root, "sink.log"))
        wait_until(lambda: can_connect(sink), "smtp-sink to listen")
        redis = Redis(world).start()
        dns = Dns(world, ZONES).start()
        Candidate.resolver = f"127.0.0.1:{dns.zone_port}" # NSD itself: its answers may be kept
        candidates = [Candidate(world, "none", sink, False, store="memory"), Candidate(world, "memory", sink, True, store="memory"),
                      Candidate(world, "sqlite", sink, True, store_path=f'"{world.folder("store")}/postern.db"'),
                      Candidate(world, "redis", sink, True, **redis.settings())]
        for candidate in candidates:
            candidate.warm_up(args)
        for _ in range(args.rounds):
            for candidate in candidates:
                candidate.round(args)
        results = [c.medians(c.name) for c in candidates]
        if args.stop_redis:
            stopped = candidates[-1]
            stopped.forget()
            redis.process.signal(signal.SIGSTOP)
            stopped.round(args)
            redis.process.signal(signal.SIGCONT)
            results.append(stopped.medians("redis, stopped"))
        base = results[0]
        for name, rate, own, cost in results:
            print(f"{name:15} {rate:8.0f} messages/s ({100 * rate / base[1]:5.1f} %); processor time a message: loop {own:6.1f} us "
                  f"({100 * own / base[2]:5.1f} %), all threads {cost:6.1f} us ({100 * cost / base[3]:5.1f} %)", flush=True)
        for candidate in candidates:
            failures = re.findall(r"store-failed .*", candidate.postern.log())
            if failures and not (args.stop_redis and candidate is candidates[-1]):
                print(f"{candidate.name}: {failures[0]}")
            candidate.postern.stop()
    finally:
        for wrong in world.close(False):
            print(wrong)


if __name__ == "__main__":
    main()
