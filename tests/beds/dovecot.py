"""A real Dovecot (2.3 or 2.4) in the foreground on free loopback ports, its configuration, CA and Maildir thrown away.

    with Dovecot(idle_notify=5) as dovecot:
        dovecot.deliver(mail)
        before = dovecot.snapshot()
        ...
        assert dovecot.snapshot() == before

Debian: apt-get install -y --no-install-recommends dovecot-imapd dovecot-lmtpd. It runs as root (the mails then
belong to nobody, as Dovecot reads no mail as root) and as any other user.
"""

from __future__ import annotations

import contextlib
import grp
import imaplib
import os
import pwd
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Self

from . import certificates
from .imap_text import mailbox_name, quoted
from .wire import HOST, free_ports, wait_until

USER, PASSWORD = "seller@example.test", "pass-one"
SECOND_USER, SECOND_PASSWORD = "second@example.test", "pass-two"
NOBODY = 65534
# Not TMPDIR, which may be long, or closed to the user nobody. In memory where that is: a disk that several suites write
# to can keep a server waiting for longer than a test does.
SHORT_AND_OPEN = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else "/tmp"  # noqa: S108
MAILDIR_FLAGS = {
    "D": "\\Draft",
    "F": "\\Flagged",
    "P": "$Forwarded",
    "R": "\\Answered",
    "S": "\\Seen",
    "T": "\\Deleted",
}

# Dovecot 2.4 has other names for what is in OLD, and wants to be told first which version's names it reads
# (https://doc.dovecot.org/latest/installation/upgrade/2.3-to-2.4.html).
COMMON = """
base_dir = {home}/run
state_dir = {home}/state
log_path = {home}/dovecot.log
instance_name = mailwatch-{port}
protocols = imap lmtp
listen = 127.0.0.1
auth_failure_delay = {fail_delay} secs
mail_max_userip_connections = {max_connections}
imap_idle_notify_interval = {idle_notify} secs
{capability}
ssl = yes
first_valid_uid = 1
first_valid_gid = 1
{process_owner}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Junk {{
    auto = subscribe
    special_use = \\Junk
  }}
  mailbox Trash {{
    auto = subscribe
    special_use = \\Trash
  }}
  mailbox Sent {{
    auto = subscribe
    special_use = \\Sent
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp_port}
  }}
}}
service anvil {{
  chroot =
}}
"""
OLD = """
disable_plaintext_auth = no
ssl_cert = <{home}/server.pem
ssl_key = <{home}/server.key
mail_home = {home}/mail/%u
mail_location = maildir:{home}/mail/%u/Maildir
passdb {{
  driver = passwd-file
  args = username_format=%u {home}/passwd
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={home}/mail/%u
}}
"""
NEW = """
auth_allow_cleartext = yes
ssl_server_cert_file = {home}/server.pem
ssl_server_key_file = {home}/server.key
mail_home = {home}/mail/%{{user}}
mail_driver = maildir
mail_path = {home}/mail/%{{user}}/Maildir
passdb passwd-file {{
  passwd_file_path = {home}/passwd
}}
userdb static {{
  fields {{
    uid = {uid}
    gid = {gid}
    home = {home}/mail/%{{user}}
  }}
}}
"""
VERSION = "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n"


def available() -> bool:
    """Return whether Dovecot is installed."""
    return _program() is not None


def _program() -> str | None:
    # Debian keeps it in sbin, which is not in everybody's PATH.
    return shutil.which("dovecot", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


def _config() -> str:
    """Return the template in the names of the Dovecot that is installed."""
    said = subprocess.run([_program() or "dovecot", "--version"], capture_output=True, text=True, check=True).stdout
    version = tuple(int(number) for number in re.findall(r"\d+", said)[:2])
    return VERSION + COMMON + NEW if version >= (2, 4) else COMMON + OLD


class Dovecot:
    """One server with the users `users`; see the module for how it is used.

    idle_notify: seconds between "* OK Still here" in IDLE; capability: what CAPABILITY shows instead; fail_delay:
    seconds before a refused login is answered; max_connections: per user and address; certificate: see `certificates`.
    """

    host = HOST
    user, password = USER, PASSWORD
    users: Mapping[str, str] = {USER: PASSWORD, SECOND_USER: SECOND_PASSWORD}

    def __init__(
        self,
        folder: Path | None = None,
        *,
        idle_notify: int = 120,
        capability: str = "",
        fail_delay: int = 0,
        max_connections: int = 10,
        certificate: str = "server",
    ) -> None:
        self._folder = _own_folder(folder)
        self.home = Path(self._folder.name)
        self.port, self.tls_port, self.lmtp_port = free_ports(3)
        self.ca_file = certificates.make(self.home, certificate)
        self._process: subprocess.Popen[bytes] | None = None
        self._lay_out()
        self._configure(
            idle_notify=idle_notify,
            capability=f"imap_capability = {capability}" if capability else "",
            fail_delay=fail_delay,
            max_connections=max_connections,
        )

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # The process

    def start(self) -> None:
        """Start, or start again after `kill`: same ports, same mail."""
        program = _program()
        if program is None:
            raise RuntimeError("dovecot is not installed")
        (self.home / "run" / "master.pid").unlink(missing_ok=True)  # a killed server leaves it behind
        command = [program, "-F", "-c", str(self.home / "dovecot.conf")]
        with (self.home / "output.log").open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        wait_until(self._greets, 20, "Dovecot's greeting")

    def kill(self) -> None:
        """SIGKILL the whole process tree: a crash."""
        if self._process is None:
            return
        # Every process of Dovecot stays in the group that start_new_session made.
        group = self._process.pid
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        self._process.wait()
        self._process = None
        # Any of them would hold a port or a socket that the next start needs.
        wait_until(lambda: not _alive(group), 10, "the end of Dovecot")

    def close(self) -> None:
        """Kill the server and remove its folder."""
        self.kill()
        self._folder.cleanup()

    def log_text(self) -> str:
        """What Dovecot logged, and what it printed before it could log."""
        logs = (self.home / "output.log", self.home / "dovecot.log")
        return "".join(log.read_text(errors="replace") for log in logs if log.exists())

    # Mail comes in

    def deliver(self, mail: bytes, *, user: str | None = None) -> None:
        """Deliver by LMTP, as a mail server would: Return-Path and Received are added."""
        self.deliver_all([mail], user=user)

    def deliver_all(self, mails: Iterable[bytes], *, user: str | None = None) -> None:
        """Deliver many over one LMTP connection."""
        with smtplib.LMTP(self.host, self.lmtp_port, local_hostname="localhost", timeout=30) as lmtp:
            for mail in mails:
                lmtp.sendmail("sender@example.test", [user or self.user], mail)

    def append(
        self,
        mail: bytes,
        folder: str = "INBOX",
        when: datetime | None = None,
        flags: Iterable[str] = (),
        *,
        user: str | None = None,
    ) -> int:
        """Store the mail as it is by IMAP APPEND, with INTERNALDATE `when` (aware); return its UID."""
        date = "" if when is None else imaplib.Time2Internaldate(when)
        with self._client(user=user) as client:
            answer = _good(client.append(_name(folder), f"({' '.join(flags)})", date, mail))
        return int(re.findall(rb"APPENDUID \d+ (\d+)", answer)[0])

    # What another mail program does meanwhile

    def create(self, folder: str, *, user: str | None = None) -> None:
        """Create a folder; its name may be Japanese."""
        with self._client(user=user) as client:
            _good(client.create(_name(folder)))

    def uids(self, folder: str = "INBOX", *, user: str | None = None) -> list[int]:
        """The UIDs in a folder."""
        with self._client(folder, readonly=True, user=user) as client:
            return [int(uid) for uid in _good(client.uid("SEARCH", "ALL")).split()]

    def mail(self, uid: int, folder: str = "INBOX", *, user: str | None = None) -> bytes:
        """The mail under a UID, as the server shows it."""
        with self._client(folder, readonly=True, user=user) as client:
            _, answer = client.uid("FETCH", str(uid), "(BODY.PEEK[])")
        return bytes(answer[0][1])

    def flag(self, uid: int, *flags: str, folder: str = "INBOX", user: str | None = None) -> None:
        """Add flags, as \\Seen by somebody who reads on a phone."""
        with self._client(folder, user=user) as client:
            _good(client.uid("STORE", str(uid), "+FLAGS", f"({' '.join(flags)})"))

    def move(self, uid: int, to: str, folder: str = "INBOX", *, user: str | None = None) -> None:
        """Move a mail to another folder."""
        with self._client(folder, user=user) as client:
            _good(client.uid("MOVE", str(uid), _name(to)))

    def expunge(self, uid: int, folder: str = "INBOX", *, user: str | None = None) -> None:
        """Delete a mail for good."""
        with self._client(folder, user=user) as client:
            _good(client.uid("STORE", str(uid), "+FLAGS", "(\\Deleted)"))
            _good(client.expunge())

    @contextlib.contextmanager
    def _client(
        self, folder: str | None = None, *, readonly: bool = False, user: str | None = None
    ) -> Iterator[imaplib.IMAP4]:
        name = user or self.user
        with imaplib.IMAP4(self.host, self.port, timeout=30) as client:
            client.login(name, self.users[name])
            if folder is not None:
                _good(client.select(_name(folder), readonly))
            yield client

    # What the mailbox holds

    def snapshot(self, *, user: str | None = None) -> dict[str, tuple[bytes, frozenset[str]]]:
        """Every mail in every folder: "folder/file name without flags" -> (bytes, flags).

        A mail that no client has taken out of the Maildir's new/ counts as \\Recent, so that a SELECT shows, which
        takes it out; EXAMINE does not.
        """
        root = self.home / "mail" / (user or self.user) / "Maildir"
        files = sorted(file for part in ("cur", "new") for file in root.glob(f"**/{part}/*"))
        return dict(_snapshot_entry(file, root) for file in files)

    # Set-up

    def _lay_out(self) -> None:
        for name in ("run", "state", "mail"):
            (self.home / name).mkdir()
        lines = [f"{user}:{{PLAIN}}{password}\n" for user, password in self.users.items()]
        (self.home / "passwd").write_text("".join(lines))
        if _is_root():
            os.chown(self.home / "mail", NOBODY, NOBODY)

    def _configure(self, **settings: object) -> None:
        uid, gid = (NOBODY, NOBODY) if _is_root() else (os.geteuid(), os.getegid())
        ports = {"port": self.port, "tls_port": self.tls_port, "lmtp_port": self.lmtp_port}
        text = _config().format(home=self.home, uid=uid, gid=gid, process_owner=_process_owner(), **ports, **settings)
        (self.home / "dovecot.conf").write_text(text)

    def _greets(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"Dovecot did not start: {self.log_text()}")
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), 5) as connection:
            return connection.recv(4) == b"* OK"
        return False


def _own_folder(folder: Path | None) -> tempfile.TemporaryDirectory[str]:
    """A new folder that Dovecot's users can enter, in `folder` or in `SHORT_AND_OPEN`.

    A temporary folder of pytest is closed to other users, and its name may be too long for the sockets in it.
    """
    if folder is not None and _is_root() and not _everybody_can_enter(folder):
        raise ValueError(f"other users can't enter {folder}, and Dovecot drops root: give no folder")
    home = tempfile.TemporaryDirectory(prefix="mailwatch-", dir=folder or SHORT_AND_OPEN, ignore_cleanup_errors=True)
    Path(home.name).chmod(0o755)
    return home


def _everybody_can_enter(folder: Path) -> bool:
    return all(parent.stat().st_mode & 1 for parent in (folder, *folder.resolve().parents))


def _is_root() -> bool:
    return os.geteuid() == 0


def _process_owner() -> str:
    """Without root, Dovecot can't become its own users: all processes are ours."""
    if _is_root():
        return ""
    user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    return f"default_internal_user = {user}\ndefault_login_user = {user}\ndefault_internal_group = {group}"


def _alive(group: int) -> bool:
    """Whether a process group has a process that is more than a zombie, which nobody may ever reap in a container."""
    return any(state not in "ZX" and int(of) == group for state, of in _processes())


def _processes() -> Iterator[tuple[str, str]]:
    """State and process group of each process (proc(5): they follow the command's name in parentheses)."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, group = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
            yield state, group


def _name(folder: str) -> str:
    return quoted(mailbox_name(folder))


def _good(answer: tuple[str, Sequence[object]]) -> bytes:
    """The last line of an OK answer."""
    status, lines = answer
    if status != "OK":
        raise RuntimeError(f"{status} {lines}")
    return lines[-1] if isinstance(lines[-1], bytes) else b""


def _snapshot_entry(file: Path, root: Path) -> tuple[str, tuple[bytes, frozenset[str]]]:
    base, _, letters = file.name.partition(":2,")
    directory = file.parent.parent
    folder = "INBOX" if directory == root else directory.name.lstrip(".")
    keywords = _keywords(directory / "dovecot-keywords")
    flags = {MAILDIR_FLAGS.get(letter) or keywords.get(letter, letter) for letter in letters}
    recent = {"\\Recent"} if file.parent.name == "new" else set()
    return f"{folder}/{base}", (file.read_bytes(), frozenset(flags | recent))


def _keywords(file: Path) -> dict[str, str]:
    """Keyword letter -> name; Dovecot keeps lines such as "0 $Junk" for the letter a."""
    lines = file.read_text().splitlines() if file.exists() else []
    pairs = (line.split(" ", 1) for line in lines)
    return {chr(ord("a") + int(number)): name for number, name in pairs}
