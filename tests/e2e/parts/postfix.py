"""
A private Postfix: own configuration, queue and data directories, one smtpd on a free port, virtual(8) delivering to Maildirs. It rewrites no
header and adds no missing field, so that what it delivers is what it was given, below the fields of delivery. Its queue manager looks at
what came in each second, not only when told: a message that it skipped because it was just being put off would wait for the next one.
"""
import glob
import os
import pwd
import re

from .process import can_connect, expect, free_port, wait_until

MAIN = """compatibility_level = 3.6
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/mail.log
maillog_file_prefixes = {folder}
mail_owner = postfix
setgid_group = postdrop
myhostname = backend.example.org
mydestination =
mynetworks = 127.0.0.0/8, [::1]/128
smtpd_authorized_xclient_hosts = 127.0.0.0/8, [::1]/128
smtpd_relay_restrictions = reject_unauth_destination
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
local_header_rewrite_clients =
remote_header_rewrite_domain =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtputf8_enable = no
alias_maps =
alias_database =
message_size_limit = 104857600
virtual_mailbox_limit = 0
virtual_mailbox_domains = example.org, example.net
virtual_mailbox_maps = regexp:{folder}/mailboxes
virtual_mailbox_base = {folder}/mail
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_destination_concurrency_limit = 2
virtual_destination_recipient_limit = 1
default_transport = error:no mail leaves this instance
"""

MASTER = """127.0.0.1:{port} inet n - n - 100 smtpd
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 1 1 qmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
tlsmgr    unix  - - n 1000? 1 tlsmgr
error     unix  - - n - - error
retry     unix  - - n - - error
smtp      unix  - - n - - smtp
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """
    Mailboxes: u, v and w at example.org and example.net; NUMBERu at either is u's too (smtp-source -N); postmaster; ü; nobody else.
    Settings of main.cf are keyword arguments.
    """

    def __init__(self, world, **settings):
        self.world = world
        self.folder = world.folder("postfix")
        self.port = free_port()
        nobody = pwd.getpwnam("nobody")
        for name in ("queue", "data", "mail"):
            os.mkdir(os.path.join(self.folder, name), 0o755)
        os.chown(os.path.join(self.folder, "data"), pwd.getpwnam("postfix").pw_uid, -1)
        os.chown(os.path.join(self.folder, "mail"), nobody.pw_uid, nobody.pw_gid)
        main = MAIN.format(folder=self.folder, uid=nobody.pw_uid, gid=nobody.pw_gid)
        for name, value in settings.items():
            main = re.sub(rf"(?m)^{name} =.*\n", "", main) + f"{name} = {value}\n"
        self.write("main.cf", main)
        self.write("master.cf", MASTER.format(port=self.port))
        self.write("mailboxes", "".join(f"/^[0-9]*{box}@example\\.(org|net)$/ {box}/\n" for box in ("u", "v", "w", "postmaster", "ü")))
        self.write("mail.log", "")
        self.process = None

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as f:
            f.write(text)

    def start(self):
        self.process = self.world.start("postfix", ["/usr/sbin/postfix", "-c", self.folder, "start-fg"],
                                        log=os.path.join(self.folder, "start.log"))
        wait_until(lambda: can_connect(self.port) or not self.process.running(), "Postfix to listen", 30)
        expect(self.process.running(), lambda: f"Postfix ended at its start:\n{self.process.output()}\n{self.log()}")
        return self

    def log(self):
        with open(os.path.join(self.folder, "mail.log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def queued(self):
        return any(glob.iglob(f"{self.folder}/queue/{part}/**/[0-9A-F]*[0-9A-F]", recursive=True) for part in ("incoming", "active", "deferred")
                   if any(os.path.isfile(p) for p in glob.iglob(f"{self.folder}/queue/{part}/**", recursive=True)))

    def drain(self, seconds=120):
        """Until everything that was accepted is delivered."""
        wait_until(lambda: not self.queued(), lambda: f"an empty queue; the log ends:\n{self.log()[-2000:]}", seconds)

    def mail(self, box="u"):
        """The delivered messages, as files of LF lines with the fields of delivery on top."""
        return [open(path, "rb").read() for path in glob.iglob(f"{self.folder}/mail/{box}/new/*")]


def recipient_of(delivered):
    """What virtual(8) says it delivered for."""
    found = re.search(rb"(?m)^Delivered-To: (\S+)", delivered)
    return found.group(1).decode() if found else None
