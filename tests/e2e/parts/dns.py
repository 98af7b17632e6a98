"""
Real DNS on loopback: rbldnsd serves block and allow lists, NSD the zones, Unbound is the one resolver that is asked. It knows nothing else, and
asks nobody else: every other name does not exist.
"""
import os
import signal
import socket
import struct
import threading

from .process import expect, free_port_for_dns, wait_until

SOA = "$TTL 300\n@ SOA ns.dns.example. hostmaster.dns.example. 1 3600 600 86400 60\n@ NS ns.dns.example.\n"


class Dns:
    """
    zones: name -> records, as lines of a zone file. lists: name -> entries, as lines of an rbldnsd ip4set ("203.0.113.9 :127.0.0.4:why"); the
    entry of RFC 5782, 127.0.0.2, is always there. dead: names of zones whose server does not answer.
    """

    def __init__(self, world, zones=None, lists=None, dead=()):
        self.world = world
        self.folder = world.folder("dns")
        self.zones = {"dns.example": "ns A 127.0.0.1\n", **(zones or {})}
        self.lists = lists or {}
        self.dead = dead
        self.list_port, self.zone_port, self.port = (free_port_for_dns() for _ in range(3))
        self.dead_socket = None
        self.processes = []

    @property
    def resolver(self):
        return f"127.0.0.1:{self.port}"

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)

    def write_list(self, name):
        self.write(f"list.{name}", ":127.0.0.2:listed, see https://example.org/why\n127.0.0.2\n" + self.lists[name])

    def launch(self, name, command):
        self.processes.append(self.world.start(name, command, log=self.path(f"{name}.log")))

    def start(self):
        for name in self.lists:
            self.write_list(name)
        for name, records in self.zones.items():
            self.write(f"zone.{name}", SOA + records)
        if self.lists:
            self.launch("rbldnsd", ["/usr/sbin/rbldnsd", "-n", "-t", "60", "-c", "1", "-u", "nobody", "-b", f"127.0.0.1/{self.list_port}",
                                    *(f"{name}:ip4set:{self.path('list.' + name)}" for name in self.lists)])
        self.start_nsd()
        dead_port = 1
        if self.dead:
            self.dead_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM) # hears, says nothing
            self.dead_socket.bind(("127.0.0.1", 0))
            dead_port = self.dead_socket.getsockname()[1]
        self.start_unbound(dead_port)
        for name in self.zones:
            wait_until(lambda n=name: self.answers(n, 6), lambda n=name: f"DNS to answer for {n}: {self.logs()}", 20)
        for name in self.lists:
            wait_until(lambda n=name: self.answers("2.0.0.127." + n, 1), lambda n=name: f"DNS to answer for {n}: {self.logs()}", 20)
        return self

    def start_nsd(self):
        self.write("nsd.conf", f"""server:
  ip-address: 127.0.0.1@{self.zone_port}
  username: ""
  chroot: ""
  server-count: 1
  zonesdir: "{self.folder}"
  database: ""
  pidfile: ""
  xfrdfile: "{self.path('xfrd')}"
  zonelistfile: "{self.path('zonelist')}"
  xfrdir: "{self.folder}"
remote-control:
  control-enable: no
""" + "".join(f'zone:\n  name: "{name}"\n  zonefile: "{self.path("zone." + name)}"\n' for name in self.zones))
        self.launch("nsd", ["/usr/sbin/nsd", "-d", "-c", self.path("nsd.conf")])

    def start_unbound(self, dead_port):
        names = [*((n, self.zone_port) for n in self.zones), *((n, self.list_port) for n in self.lists), *((n, dead_port) for n in self.dead)]
        self.write("unbound.conf", f"""server:
  interface: 127.0.0.1@{self.port}
  username: ""
  chroot: ""
  pidfile: ""
  directory: "{self.folder}"
  do-daemonize: no
  use-syslog: no
  num-threads: 1
  do-ip6: no
  module-config: "iterator"
  do-not-query-localhost: no
  access-control: 127.0.0.0/8 allow
  cache-max-ttl: 0
  cache-max-negative-ttl: 0
  infra-host-ttl: 0
  local-zone: "." static
""" + "".join(f'  local-zone: "{name}." transparent\n' for name, _ in names) + "remote-control:\n  control-enable: no\n" +
                   "".join(f'stub-zone:\n  name: "{name}"\n  stub-addr: 127.0.0.1@{port}\n' for name, port in names))
        self.launch("unbound", ["/usr/sbin/unbound", "-d", "-c", self.path("unbound.conf")])

    def answers(self, name, kind):
        """True when the resolver says NOERROR or NXDOMAIN."""
        question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0" + struct.pack("!HH", kind, 1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(1)
            try:
                s.sendto(struct.pack("!HHHHHH", 4711, 0x0100, 1, 0, 0, 0) + question, ("127.0.0.1", self.port))
                answer = s.recv(2048)
                return answer[3] & 15 == 0
            except OSError:
                return False

    def logs(self):
        return "\n".join(p.output()[-1500:] for p in self.processes)

    def relist(self, name, entries):
        """Other entries for a list; rbldnsd reads them at HUP."""
        self.lists[name] = entries
        self.write_list(name)
        next(p for p in self.processes if p.name == "rbldnsd").signal(signal.SIGHUP)

    def stop(self):
        for process in self.processes:
            process.stop()


def reverse(address):
    """The name under in-addr.arpa of an IPv4 address."""
    return ".".join(reversed(address.split("."))) + ".in-addr.arpa"


class SlowDns:
    """A resolver in a thread of ours that knows little and takes its time: answers are (name, type) -> the rest of the record, as bytes."""

    def __init__(self, world, answers, seconds):
        self.answers, self.seconds = answers, seconds
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.resolver = "127.0.0.1:%d" % self.socket.getsockname()[1]
        world.clean_up.append(self)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                query, client = self.socket.recvfrom(4096)
            except OSError:
                return
            threading.Timer(self.seconds, self.answer, (query, client)).start()

    def answer(self, query, client):
        end = 12
        labels = []
        while query[end]:
            labels.append(query[end + 1:end + 1 + query[end]].decode())
            end += 1 + query[end]
        kind, = struct.unpack("!H", query[end + 1:end + 3])
        data = self.answers.get((".".join(labels).lower(), kind))
        record = b"" if data is None else b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 300, len(data)) + data
        flags = 0x8183 if data is None else 0x8180
        try:
            self.socket.sendto(query[:2] + struct.pack("!HHHHH", flags, 1, data is not None, 0, 0) + query[12:end + 5] + record, client)
        except OSError:
            pass

    def stop(self):
        self.socket.close()
