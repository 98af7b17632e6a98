"""
A private Exim that takes everything for example.org and example.net into one Maildir. Debian's package cannot be installed beside Postfix, so it is
unpacked in a folder of its own (deploy/install-deps.sh test) and run from there, in the mount namespace of the tests, where its user exists.
"""
import glob
import os
import re
import shutil
import subprocess

from .process import can_connect, expect, free_port, wait_until

ROOT = "/var/cache/postern-tests/exim"
USER, UID = "Debian-exim", 64999

CONFIG = """primary_hostname = backend.example.org
domainlist ours = example.org : example.net
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/exim.pid
keep_environment =
deliver_drop_privilege
host_lookup =
rfc1413_query_timeout = 0s
message_size_limit = 100M
smtp_accept_max = 100
dsn_advertise_hosts = *
acl_smtp_rcpt = rcpt
log_selector = +proxy +received_recipients
{settings}
begin acl
rcpt:
  accept domains = +ours
  deny message = relay not permitted
begin routers
box:
  driver = accept
  domains = +ours
  transport = box
begin transports
box:
  driver = appendfile
  directory = {folder}/mail
  maildir_format
begin retry
* * F,1h,5m
"""


def program():
    return shutil.which("exim4") or os.path.join(ROOT, "usr/sbin/exim4")


def environment():
    return {"LD_LIBRARY_PATH": ":".join(glob.glob(os.path.join(ROOT, "usr/lib/*-linux-gnu*")))}


def missing():
    if not os.access(program(), os.X_OK):
        return "Exim is not there: deploy/install-deps.sh test unpacks it"
    libraries = subprocess.run(["ldd", program()], env={**os.environ, **environment()}, capture_output=True, text=True, check=False).stdout
    return "Exim lacks libraries: " + " ".join(re.findall(r"(\S+) => not found", libraries)) if "not found" in libraries else None


class Exim:
    """Settings of the main section are keyword arguments."""

    def __init__(self, world, **settings):
        self.world = world
        self.folder = world.folder("exim")
        self.port = free_port()
        self.process = None
        self.give_it_a_user()
        for name in ("spool", "log", "mail"):
            os.mkdir(self.path(name), 0o755)
            os.chown(self.path(name), UID, UID)
        with open(self.path("exim.conf"), "w", encoding="utf-8") as f:
            f.write(CONFIG.format(folder=self.folder, port=self.port, settings="".join(f"{n} = {v}\n" for n, v in settings.items())))

    def path(self, name):
        return os.path.join(self.folder, name)

    def give_it_a_user(self):
        """The name is built into the program; what it means here nobody outside of this namespace sees."""
        for file, line in (("/etc/passwd", f"{USER}:x:{UID}:{UID}::/nonexistent:/usr/sbin/nologin\n"), ("/etc/group", f"{USER}:x:{UID}:\n")):
            with open(file, encoding="utf-8") as f:
                text = f.read()
            if f"\n{USER}:" in text:
                continue
            private = self.path(os.path.basename(file))
            with open(private, "w", encoding="utf-8") as f:
                f.write(text + line)
            subprocess.run(["mount", "--bind", private, file], check=True)

    def start(self):
        self.process = self.world.start("exim", [program(), "-C", self.path("exim.conf"), "-bdf", "-q1m"], log=self.path("start.log"),
                                        env=environment())
        wait_until(lambda: can_connect(self.port) or not self.process.running(), "Exim to listen", 30)
        expect(self.process.running(), lambda: f"Exim ended at its start:\n{self.process.output()}\n{self.log()}")
        return self

    def log(self):
        return "".join(open(path, encoding="utf-8", errors="replace").read() for path in sorted(glob.glob(self.path("log/*log"))))

    def mail(self):
        return [open(path, "rb").read() for path in glob.glob(self.path("mail/new/*"))]
