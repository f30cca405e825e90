"""An IMAP server of our own, in this process, plain and on loopback: right by default, wrong on request.

    with ScriptedImap() as server:
        server.deliver(mail)
        server.script("UID SEARCH", misbehave.two_search_lines())
        ...
        assert not server.violations

A script is a function (session, tag, arguments) -> bool that is called before a command is answered. It may write what
it likes and return True, then the server adds nothing; or return False, then the server answers as usual. The greeting
can be scripted as the command "GREETING".
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import threading
from bisect import insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Self

from . import mime
from .imap_text import chosen, command_name, internal_date, literal, mailbox_name, quoted, redacted, search_date, words
from .wire import HOST, Listener, hang_up, reset, wait_until

Script = Callable[["Session", str, str], bool]

USER, PASSWORD = "seller@example.test", "pass-one"
CAPABILITY = "IMAP4rev1 LITERAL+ ID IDLE NAMESPACE SPECIAL-USE UIDPLUS"
FETCH_ITEM = re.compile(r"BODY(?:\.PEEK)?\[[^\]]*\](?:<\d+\.\d+>)?|[A-Z0-9.]+", re.IGNORECASE)
BODY_ITEM = re.compile(r"BODY(\.PEEK)?\[([^\]]*)\](?:<(\d+)\.(\d+)>)?", re.IGNORECASE)
LITERAL_AT_END = re.compile(rb"\{(\d+)(\+?)\}\Z")
FLAGS = "\\Answered \\Flagged \\Deleted \\Seen \\Draft"
CHANGES_THE_MAILBOX = {
    "SELECT", "STORE", "UID STORE", "COPY", "UID COPY", "MOVE", "UID MOVE", "EXPUNGE", "UID EXPUNGE",
    "APPEND", "CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail in a folder; `data` has CRLF line ends."""

    uid: int
    internal_date: datetime
    data: bytes
    flags: tuple[str, ...] = ()


@dataclass(slots=True)
class Folder:
    """A folder; None for `uidvalidity` or `uidnext` leaves it out of EXAMINE's answer."""

    name: str
    attribute: str = ""
    uidvalidity: int | None = 1_650_000_000
    uidnext: int | None = 1
    mails: list[Mail] = field(default_factory=list)

    def uids(self) -> list[int]:
        """The UIDs in order."""
        return [mail.uid for mail in self.mails]


class ScriptedImap:
    """The server: `folders` by name, open `sessions`, `capability`, and `violations`: what would change a mailbox."""

    host = HOST
    user, password = USER, PASSWORD

    def __init__(self, capability: str = CAPABILITY) -> None:
        self.capability = capability
        uses = {"INBOX": "", "Junk": "\\Junk", "Trash": "\\Trash"}
        self.folders = {name: Folder(name, use) for name, use in uses.items()}
        self.violations: list[str] = []
        self.sessions: list[Session] = []
        self.logins = 0
        self.lock = threading.RLock()
        self.closed = threading.Event()
        self._overrides: dict[tuple[int, str], bytes] = {}
        self._scripts: dict[str, list[tuple[Script, bool]]] = {}
        self._said: list[str] = []
        self._listener = Listener(self._serve)
        self.port = self._listener.port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.closed.set()
        self._listener.close()

    # Mail

    def add_folder(self, name: str, attribute: str = "", uidvalidity: int | None = 1_650_000_000) -> Folder:
        """A new, empty folder; its name may be Japanese."""
        return self.folders.setdefault(name, Folder(name, attribute, uidvalidity))

    def deliver(
        self,
        mail: bytes,
        folder: str = "INBOX",
        uid: int | None = None,
        when: datetime | None = None,
        *,
        flags: Iterable[str] = (),
        announce: bool = True,
    ) -> int:
        """Put a mail into a folder and announce it to the sessions that idle there; return its UID.

        With `announce=False` they hear of it after their next command.
        """
        with self.lock:
            box = self.folders[folder]
            number = uid or max(box.uidnext or 1, box.mails[-1].uid + 1 if box.mails else 1)
            arrived = Mail(number, when or datetime.now(UTC), mime.crlf(mail), tuple(flags))
            insort(box.mails, arrived, key=lambda known: known.uid)
            if box.uidnext is not None:
                box.uidnext = max(box.uidnext, number + 1)
        if announce:
            self._announce()
        return number

    def expunge(self, uid: int, folder: str = "INBOX") -> None:
        """Take a mail away and announce that."""
        with self.lock:
            box = self.folders[folder]
            box.mails = [mail for mail in box.mails if mail.uid != uid]
        self._announce()

    def flag(self, uid: int, *flags: str, folder: str = "INBOX") -> None:
        """Add flags to a mail, unannounced."""
        with self.lock:
            box = self.folders[folder]
            box.mails = [replace(mail, flags=(*mail.flags, *flags)) if mail.uid == uid else mail for mail in box.mails]

    def renumber(self, folder: str = "INBOX", uidvalidity: int | None = None) -> None:
        """A lost index: another UIDVALIDITY (one more if none is given), and the mails get the UIDs 1, 2, 3…"""
        with self.lock:
            box = self.folders[folder]
            box.uidvalidity = uidvalidity or (box.uidvalidity or 0) + 1
            box.mails = [replace(mail, uid=number) for number, mail in enumerate(box.mails, 1)]
            box.uidnext = len(box.mails) + 1

    # What was said

    def commands(self) -> list[str]:
        """The command names so far, such as "LOGIN", "UID FETCH", "DONE"."""
        return [name for line in list(self._said) if (name := command_name(line))]

    def lines(self) -> list[str]:
        """The clients' lines so far, literals as quoted strings, without LOGIN's arguments."""
        return [redacted(line) for line in list(self._said)]

    def wait_for(self, command: str, count: int = 1, seconds: float = 10.0) -> None:
        """Wait until a command has come so often."""
        wait_until(lambda: self.commands().count(command) >= count, seconds, f"{command} x {count}")

    def wait_for_idle(self, count: int = 1, seconds: float = 10.0) -> None:
        """Wait until so many sessions are in IDLE now."""
        wait_until(lambda: self._idling() >= count, seconds, f"IDLE in {count} sessions")

    # Faults

    def script(self, command: str, function: Script, *, always: bool = False) -> None:
        """Call the function at the next such command, or at each; those for once come first, in their order."""
        with self.lock:
            self._scripts.setdefault(command, []).append((function, always))
            self._scripts[command].sort(key=lambda entry: entry[1])

    def unscript(self) -> None:
        """Forget every script and override."""
        with self.lock:
            self._scripts.clear()
            self._overrides.clear()

    def override(self, uid: int, item: str, raw: bytes) -> None:
        """Answer this for an item of a mail, such as "BODYSTRUCTURE", "INTERNALDATE" or "RFC822.SIZE"."""
        self._overrides[uid, item.upper()] = raw

    def drop(self, how: Callable[[socket.socket], None] = hang_up) -> None:
        """End every connection now: `wire.hang_up` (FIN) or `wire.reset`."""
        for session in list(self.sessions):
            how(session.connection)

    def bye(self, text: str) -> None:
        """Say BYE to every session and close."""
        for session in list(self.sessions):
            with contextlib.suppress(OSError):  # it may have ended by itself
                session.write(f"* BYE {text}\r\n".encode())
            session.close()

    # Inside

    def next_script(self, command: str) -> Script | None:
        """The script whose turn it is."""
        with self.lock:
            waiting = self._scripts.get(command, [])
            if not waiting:
                return None
            return waiting[0][0] if waiting[0][1] else waiting.pop(0)[0]

    def overridden(self, uid: int, item: str) -> bytes | None:
        """What `override` said about an item."""
        return self._overrides.get((uid, item))

    def heard(self, line: str) -> None:
        """Remember a client's line."""
        self._said.append(line)

    def _idling(self) -> int:
        return sum(session.idling for session in list(self.sessions))

    def _announce(self) -> None:
        for session in list(self.sessions):
            session.announce()

    def _serve(self, connection: socket.socket) -> None:
        session = Session(self, connection)
        self.sessions.append(session)
        try:
            session.run()
        finally:
            self.sessions.remove(session)


class Session:
    """One connection: what scripts write with, and the answers to every command."""

    def __init__(self, server: ScriptedImap, connection: socket.socket) -> None:
        self.server, self.connection = server, connection
        self.folder: Folder | None = None
        self.command = "GREETING"  # the one at hand
        self.idling = False
        self.muted = False  # announce nothing while idling
        self.logged_in = False
        self._idle_tag = ""
        self._ended = False
        self._shown: list[int] = []  # the UIDs the client knows, so the sequence numbers it may use
        self._lock = threading.RLock()
        self._reader = connection.makefile("rb")

    # For scripts

    def write(self, data: bytes) -> None:
        """Send bytes in one piece."""
        self.connection.sendall(data)

    def close(self) -> None:
        """FIN."""
        self._ended = True
        hang_up(self.connection)

    def reset(self) -> None:
        """RST."""
        self._ended = True
        reset(self.connection)

    def ordinary(self, tag: str, arguments: str) -> bytes:
        """The right answer to the command at hand, whole, for a script to change; not for IDLE."""
        name = self.command
        handler = HANDLERS.get(name)
        if handler is None:
            return f"{tag} BAD unknown command {name}\r\n".encode()
        if not self.logged_in and name not in BEFORE_LOGIN:
            return f"{tag} BAD log in first\r\n".encode()
        with self._lock, self.server.lock:
            try:
                return handler(self, tag, arguments)
            except (ValueError, IndexError) as error:
                return f"{tag} BAD {name}: {error}\r\n".encode()

    def begin_idle(self, tag: str, before: bytes = b"", after: bytes = b"", *, muted: bool = False) -> None:
        """Go into IDLE, with bytes in the same write around "+ idling"."""
        with self._lock:
            self._idle_tag, self.idling, self.muted = tag, True, muted
            self.write(before + b"+ idling\r\n" + after)
            self.announce()

    def changes(self) -> bytes:
        """The EXPUNGE and EXISTS lines which the client has not been told yet; after this it counts as told."""
        with self._lock, self.server.lock:
            existing = self.folder.uids() if self.folder else []
            present = set(existing)
            gone = [number for number, uid in enumerate(self._shown, 1) if uid not in present]
            lines = [f"* {number} EXPUNGE\r\n" for number in reversed(gone)]
            if present - set(self._shown):
                lines.append(f"* {len(existing)} EXISTS\r\n")
            self._shown = existing
            return "".join(lines).encode()

    def announce(self) -> None:
        """Tell an idling client what changed."""
        with self._lock:
            if self.idling and not self.muted and (lines := self.changes()):
                try:
                    self.write(lines)
                except OSError:
                    self.close()

    # Conversation

    def run(self) -> None:
        """Greet, then answer commands until the end."""
        try:
            self._answer("*", "")
            while not self._ended and (line := self._read_line()) is not None:
                self.server.heard(line)
                if self.idling:
                    self._end_idle(line)
                else:
                    self._command(line)
        finally:
            self._reader.close()  # while it is open, so is the socket

    def _command(self, line: str) -> None:
        tag, _, rest = line.partition(" ")
        self.command = name = command_name(line)
        arguments = rest[len(name) :].strip()
        if name in CHANGES_THE_MAILBOX:
            self.server.violations.append(f"{name} {arguments}")
        self._answer(tag, arguments)

    def _answer(self, tag: str, arguments: str) -> None:
        script = self.server.next_script(self.command)
        if script is not None and script(self, tag, arguments):
            return
        if self.command == "IDLE" and self.folder is not None:
            self.begin_idle(tag)
            return
        self.write(self.ordinary(tag, arguments))
        self._ended = self.command == "LOGOUT"

    def _end_idle(self, line: str) -> None:
        with self._lock:
            self.idling = self.muted = False
        answer = "OK IDLE terminated" if line.upper() == "DONE" else "BAD expected DONE"
        self.write(f"{self._idle_tag} {answer}\r\n".encode())

    def _read_line(self) -> str | None:
        """A client's line, its literals turned into quoted strings; None at the end."""
        line = b""
        while True:
            piece = self._reader.readline()
            if not piece.endswith(b"\n"):
                return None
            line += piece.rstrip(b"\r\n")
            found = LITERAL_AT_END.search(line)
            if found is None:
                return line.decode("latin-1")
            if not found[2]:
                self.write(b"+ go on\r\n")
            value = self._reader.read(int(found[1])).decode("latin-1")
            line = line[: found.start()] + quoted(value).encode("latin-1")

    # Answers

    def _done(self, tag: str, text: str, *lines: str) -> bytes:
        return "".join(f"* {line}\r\n" for line in lines).encode() + self.changes() + f"{tag} OK {text}\r\n".encode()

    def answer_greeting(self, tag: str, arguments: str) -> bytes:
        return b"* OK scripted IMAP server ready\r\n"

    def answer_capability(self, tag: str, arguments: str) -> bytes:
        return self._done(tag, "CAPABILITY completed", f"CAPABILITY {self.server.capability}")

    def answer_login(self, tag: str, arguments: str) -> bytes:
        if words(arguments) != [self.server.user, self.server.password]:
            return f"{tag} NO [AUTHENTICATIONFAILED] Authentication failed.\r\n".encode()
        self.logged_in = True
        self.server.logins += 1
        return self._done(tag, "Logged in")

    def answer_authenticate(self, tag: str, arguments: str) -> bytes:
        """PLAIN only (RFC 4616), without an initial response."""
        if arguments.upper() != "PLAIN":
            return f"{tag} NO [CANNOT] unsupported mechanism\r\n".encode()
        self.write(b"+ \r\n")
        response = base64.b64decode(self._read_line() or "").decode("utf-8", "replace")
        if response.split("\0") != ["", self.server.user, self.server.password]:
            return f"{tag} NO [AUTHENTICATIONFAILED] Authentication failed.\r\n".encode()
        self.logged_in = True
        self.server.logins += 1
        return self._done(tag, "Logged in")

    def answer_id(self, tag: str, arguments: str) -> bytes:
        return self._done(tag, "ID completed", 'ID ("name" "scripted")')

    def answer_namespace(self, tag: str, arguments: str) -> bytes:
        return self._done(tag, "NAMESPACE completed", 'NAMESPACE (("" "/")) NIL NIL')

    def answer_enable(self, tag: str, arguments: str) -> bytes:
        return self._done(tag, "ENABLE completed", "ENABLED")

    def answer_noop(self, tag: str, arguments: str) -> bytes:
        return self._done(tag, "completed")

    def answer_idle(self, tag: str, arguments: str) -> bytes:
        return f"{tag} BAD no folder is open\r\n".encode()

    def answer_logout(self, tag: str, arguments: str) -> bytes:
        return f"* BYE logging out\r\n{tag} OK LOGOUT completed\r\n".encode()

    def answer_list(self, tag: str, arguments: str) -> bytes:
        head, _, _ = arguments.partition(" RETURN ")
        only_special = head.upper().startswith("(SPECIAL-USE)")
        pattern = words(head)[-1]
        if not pattern:
            return self._done(tag, "LIST completed", 'LIST (\\Noselect) "/" ""')
        wanted = re.compile("".join({"*": ".*", "%": "[^/]*"}.get(letter, re.escape(letter)) for letter in pattern))
        folders = [box for box in self.server.folders.values() if box.attribute or not only_special]
        shown = [(mailbox_name(box.name), box.attribute) for box in folders]
        lines = [f'LIST ({attribute}) "/" {quoted(name)}' for name, attribute in shown if wanted.fullmatch(name)]
        return self._done(tag, "LIST completed", *lines)

    def answer_examine(self, tag: str, arguments: str) -> bytes:
        return self._open(tag, arguments, "[READ-ONLY] EXAMINE completed")

    def answer_select(self, tag: str, arguments: str) -> bytes:
        return self._open(tag, arguments, "[READ-WRITE] SELECT completed")

    def answer_close(self, tag: str, arguments: str) -> bytes:
        self.folder, self._shown = None, []
        return self._done(tag, "completed")

    def _open(self, tag: str, arguments: str, text: str) -> bytes:
        name = words(arguments)[0]
        by_name = {mailbox_name(box.name): box for box in self.server.folders.values()}
        self.folder = by_name.get("INBOX" if name.upper() == "INBOX" else name)
        if self.folder is None:
            return f"{tag} NO [NONEXISTENT] no such folder\r\n".encode()
        self._shown = self.folder.uids()
        numbers = (("UIDVALIDITY", self.folder.uidvalidity), ("UIDNEXT", self.folder.uidnext))
        codes = [f"OK [{code} {value}]" for code, value in numbers if value is not None]
        return self._done(tag, text, f"FLAGS ({FLAGS})", f"{len(self._shown)} EXISTS", "0 RECENT", *codes)

    def answer_search(self, tag: str, arguments: str) -> bytes:
        uids = [mail.uid for mail in self._matching(words(arguments))]
        return self._done(tag, "SEARCH completed", " ".join(["SEARCH", *map(str, uids)]))

    def _matching(self, keys: list[str]) -> list[Mail]:
        if self.folder is None:
            raise ValueError("no folder is open")
        mails, rest = self.folder.mails, iter(keys)
        for key in rest:
            match key.upper():
                case "ALL":
                    pass
                case "CHARSET":
                    next(rest, "")
                case "SINCE":
                    # Only the date counts, in the time zone that the server shows (RFC 3501, 6.4.4).
                    since = search_date(next(rest, ""))
                    mails = [mail for mail in mails if mail.internal_date.date() >= since]
                case "FROM":
                    wanted = next(rest, "").lower()
                    mails = [mail for mail in mails if wanted in (mime.parse(mail.data).fields["From"] or "").lower()]
                case "UID":
                    uids = set(chosen(next(rest, ""), self.folder.uids()))
                    mails = [mail for mail in mails if mail.uid in uids]
                case _:
                    raise ValueError(f"this server can't search for {key}")
        return mails

    def answer_fetch(self, tag: str, arguments: str) -> bytes:
        return b"".join(self.fetch_lines(arguments)) + self._done(tag, "FETCH completed")

    def fetch_lines(self, arguments: str) -> list[bytes]:
        """The FETCH line of each mail that the arguments of UID FETCH name."""
        if self.folder is None:
            raise ValueError("no folder is open")
        numbers, _, wanted = arguments.partition(" ")
        items = [item for item in FETCH_ITEM.findall(wanted) if item.upper() != "UID"]
        uids = set(chosen(numbers, self.folder.uids()))
        # A mail that the client was not told of has no sequence number yet: tell it first, as servers do.
        news = b"" if uids <= set(self._shown) else self.changes()
        sequence = {uid: number for number, uid in enumerate(self._shown, 1)}
        mails = [mail for mail in self.folder.mails if mail.uid in uids]
        lines = [self._fetch_line(sequence[mail.uid], mail, items) for mail in mails]
        return [news + lines[0], *lines[1:]] if lines else []

    def _fetch_line(self, number: int, mail: Mail, items: list[str]) -> bytes:
        shown = b" ".join([b"UID %d" % mail.uid, *(self._item(mail, item) for item in items)])
        return b"* %d FETCH (%s)\r\n" % (number, shown)

    def _item(self, mail: Mail, item: str) -> bytes:
        body = BODY_ITEM.fullmatch(item)
        if body is None:
            raw = self.server.overridden(mail.uid, item.upper())
            return item.upper().encode() + b" " + (_plain_item(mail, item.upper()) if raw is None else raw)
        if not body[1]:
            self.server.violations.append(f"UID FETCH {item}")
        return self._body_item(mail, body[2], body[3], body[4])

    def _body_item(self, mail: Mail, name: str, start: str | None, length: str | None) -> bytes:
        raw = self.server.overridden(mail.uid, f"BODY[{name.upper()}]")
        data = mime.section(mime.parse(mail.data), name)
        shown = f"BODY[{name}]" + ("" if start is None else f"<{start}>")
        if data is not None and start is not None and length is not None:
            data = data[int(start) : int(start) + int(length)]
        value = b"NIL" if data is None else literal(data)
        return shown.encode("latin-1") + b" " + (value if raw is None else raw)


def _plain_item(mail: Mail, item: str) -> bytes:
    match item:
        case "INTERNALDATE":
            return internal_date(mail.internal_date)
        case "RFC822.SIZE":
            return b"%d" % len(mail.data)
        case "FLAGS":
            return f"({' '.join(mail.flags)})".encode()
        case "BODYSTRUCTURE":
            return mime.body_structure(mime.parse(mail.data))
        case "ENVELOPE":
            return mime.envelope(mime.parse(mail.data))
    raise ValueError(f"this server can't fetch {item}")


BEFORE_LOGIN = {"GREETING", "CAPABILITY", "LOGIN", "AUTHENTICATE", "ID", "NOOP", "LOGOUT"}
HANDLERS: dict[str, Callable[[Session, str, str], bytes]] = {
    "GREETING": Session.answer_greeting,
    "CAPABILITY": Session.answer_capability,
    "LOGIN": Session.answer_login,
    "AUTHENTICATE": Session.answer_authenticate,
    "ID": Session.answer_id,
    "NAMESPACE": Session.answer_namespace,
    "ENABLE": Session.answer_enable,
    "LIST": Session.answer_list,
    "EXAMINE": Session.answer_examine,
    "SELECT": Session.answer_select,
    "CLOSE": Session.answer_close,
    "UNSELECT": Session.answer_close,
    "UID SEARCH": Session.answer_search,
    "UID FETCH": Session.answer_fetch,
    "IDLE": Session.answer_idle,
    "NOOP": Session.answer_noop,
    "CHECK": Session.answer_noop,
    "LOGOUT": Session.answer_logout,
}
