"""Redis: a private server, in the clear or over TLS, that keeps nothing; and a fake one that answers what it is told, however wrong."""
import os
import signal

from .listening import Listening
from .process import can_connect, expect, free_port, wait_until


class Redis:
    """certificate: over TLS alone (authority: who made it). clients: whose certificates clients must show. user, password: nobody else may enter."""

    def __init__(self, world, certificate=None, authority=None, clients=None, user=None, password=None, port=None):
        self.world = world
        self.folder = world.folder("redis")
        self.port = port or free_port()
        self.certificate = certificate
        self.authority = authority
        self.clients = clients
        self.user, self.password = user, password
        self.process = None

    def settings(self):
        """As Postern's settings name it."""
        named = {"store": "redis", "redis": f"{'rediss://localhost' if self.certificate else '127.0.0.1'}:{self.port}"}
        if self.certificate:
            named["redis_ca"] = f'"{self.authority.file}"'
        if self.user:
            path = os.path.join(self.folder, "password")
            with open(path, "w", encoding="utf-8") as f:
                f.write(self.password + "\n")
            named.update(redis_user=self.user, redis_password_file=f'"{path}"')
        return named

    def command(self):
        tls = ["--port", "0", "--tls-port", str(self.port), "--tls-cert-file", self.certificate.file, "--tls-key-file", self.certificate.key,
               "--tls-ca-cert-file", (self.clients or self.authority).file, "--tls-auth-clients", "yes" if self.clients else "no"] if self.certificate else ["--port", str(self.port)]
        users = ["--user", self.user, "on", f">{self.password}", "~postern:*", "+@all", "--user", "default", "off"] if self.user else []
        return ["redis-server", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", self.folder, *tls, *users]

    def start(self):
        self.process = self.world.start("redis-server", self.command(), log=os.path.join(self.folder, "log"))
        wait_until(lambda: can_connect(self.port) or not self.process.running(), "Redis to listen")
        expect(self.process.running(), lambda: f"Redis ended at its start:\n{self.process.output()}")
        return self

    def pause(self):
        self.process.signal(signal.SIGSTOP)

    def go_on(self):
        self.process.signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()


class FakeRedis(Listening):
    """Each piece that comes is answered by `say` (bytes), or by silence when that is None."""

    def __init__(self, say):
        self.say = say
        self.heard = 0
        super().__init__()

    def serve(self, connection):
        while connection.recv(65536) and self.open:
            self.heard += 1
            if self.say is not None:
                connection.sendall(self.say)
