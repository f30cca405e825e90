"""One watched folder on an IMAP server: the mails that are new, fetched in stages, and the wait for more.

The user of imapclient, over `connection`; what its surprises mean is in `server_fault`. It changes nothing: EXAMINE
and BODY.PEEK only. Only integers, dates and names of the configuration ever go into a command, never a text out of a
mail (traps section 1: imapclient sends CR/LF in a SEARCH term as they are).
Stages: list UIDs → From and Subject → header and text parts of the candidates.
"""

from __future__ import annotations

import base64
import contextlib
import imaplib
import logging
import re
import ssl
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import imapclient
from imapclient import imap_utf7
from imapclient.exceptions import ProtocolError
from imapclient.response_types import BodyData

from mailwatch import connection, fetched, message, providers, server_fault
from mailwatch.connection import Connection, IdleRefused, LinkLost
from mailwatch.errors import Fault, FolderMissing, LoginRefused, Unreachable
from mailwatch.fetched import Headline, TextSection
from mailwatch.message import Message, TextPart
from mailwatch.secret import Secret

# It quotes the server's answers to stderr, in a form that is not the log's.
logging.getLogger("imapclient").setLevel(logging.CRITICAL)

CONNECT_SECONDS = 30.0
COMMAND_SECONDS = 60.0
SEARCH_SECONDS = 120.0
# Connecting, LOGIN, CAPABILITY.
LOG_IN_SECONDS = CONNECT_SECONDS + 2 * COMMAND_SECONDS
# What only proves that the link lives is answered at once: a half-open one is found within 120 s (reliability L1).
PROOF_SECONDS = 20.0
PIECE = 250
MAX_TEXT_PARTS = 10
MAX_WHOLE = 256 * 1024
# Of From and Subject; a mail with more of them is looked at whole.
MAX_HEADLINE = 16 * 1024

JUNK = "\\Junk"
# What mail services and clients call it, in Japanese and English; compared without case, blanks, `-` and `_`.
_JUNK_NAMES = (
    "Junk",
    "Spam",
    "Junk Email",
    "Junk Mail",
    "Bulk Mail",
    "Bulk",
    "Spam Mail",
    "Junk Folder",
    "Spam Folder",
    "Suspected Spam",
    "Probably Spam",
    "Unsolicited",
    "Spambox",
    "迷惑メール",
    "迷惑メールフォルダ",
    "迷惑メールフォルダー",
    "迷惑メールボックス",
    "迷惑フォルダ",
    "迷惑フォルダー",
    "迷惑",
    "スパム",
    "スパムメール",
    "スパムフォルダ",
    "スパムフォルダー",
    "ジャンク",
    "ジャンクメール",
    "ジャンクEメール",
    "ジャンク電子メール",
    "ジャンクフォルダ",
    "ジャンクフォルダー",
    "バルクメール",
)
_IGNORED_IN_NAMES = re.compile(r"[\s_\-‐‑–—]+")
# Of a role, also under the name that it had before RFC 6154.
_ATTRIBUTES = {b"\\junk": {b"\\junk", b"\\spam"}}
_NOT_OPENED = {b"\\noselect", b"\\nonexistent"}


_IDENTITY = ["INTERNALDATE", "RFC822.SIZE"]
_HEADER = f"BODY.PEEK[HEADER]<0.{MAX_HEADLINE}>"
# What is asked for where the whole headline can't be read or is refused: ever less.
_HEADLINES = (
    [*_IDENTITY, f"BODY.PEEK[HEADER.FIELDS (FROM SUBJECT)]<0.{MAX_HEADLINE}>"],
    ["RFC822.SIZE", _HEADER],
    [_HEADER],
)
_IDENTITIES = (_IDENTITY, ["RFC822.SIZE"])


@dataclass(frozen=True, slots=True)
class Server:
    """Where and as whom to log in. `tls` None is plain text, which the configuration allows to loopback only.

    `preset`: the mail service's key in providers.toml, or "".
    """

    host: str
    port: int
    tls: ssl.SSLContext | None
    user: str
    password: Secret
    preset: str = ""

    @property
    def plain_response(self) -> Secret:
        """User and password as AUTHENTICATE PLAIN sends them (RFC 4616), before base64."""
        return Secret(f"\0{self.user}\0{self.password.reveal()}")

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What we send and a server may quote."""
        return self.password, self.plain_response


class Mailbox:
    """An examined folder. One thread uses it; `interrupt` may come from another."""

    def __init__(self, client: Client, folder: str, examined: dict[bytes, Any]) -> None:
        self._client = client
        self._connection = client.connection
        self.folder = folder
        self.uidvalidity = fetched.number(examined.get(b"UIDVALIDITY"))
        self.uidnext = fetched.number(examined.get(b"UIDNEXT"))
        self.exists = fetched.number(examined.get(b"EXISTS")) or 0
        self.has_idle = client.has_capability("IDLE")
        self.idle_refusal = ""  # why not, in the server's words
        self.watched_as = folder  # its name in the configuration, where that is a role
        self.is_junk = is_junk_name(folder)
        self._announced = -1
        # Called before each command of a search; every command ends within a deadline of its own.
        self.before_command: Callable[[], object] = lambda: None
        # Whether the text attachments of a mail may hold its own text, which a gateway has moved there.
        self.reads_attached: Callable[[Message], bool] = lambda _: False

    @property
    def mode(self) -> str:
        """`idle` or `poll`, as the server can."""
        return "idle" if self.has_idle else "poll"

    def uids(self, *, since: date | None = None, above: int | None = None) -> list[int]:
        """The UIDs of the folder's mails received on `since` or later, or with a UID over `above`; ascending.

        Mail that is announced from here on makes `news` true.
        """
        self._announced = self._connection.announced
        criteria = (
            ["UID", f"{above + 1}:*"] if above is not None else ["SINCE", _imap_date(since)] if since else ["ALL"]
        )
        with server_fault.surprises_lose():
            self._allow(SEARCH_SECONDS)
            self._connection.untagged_responses.pop("SEARCH", None)
            kind, data = self._connection.uid("SEARCH", *criteria)
            if kind != "OK":
                raise LinkLost(f"SEARCH was answered {kind} {data[0]!r}")
            # Some servers send two SEARCH lines, or none (traps section 1); `n:*` always names the last mail.
            found = {int(uid) for line in data if line for uid in line.split()}
        return sorted(uid for uid in found if above is None or uid > above)

    def examine_again(self) -> None:
        """A folder that was deleted and made anew meanwhile is noticed only by this (traps section 1), and one that was
        restored from a back-up: `uidnext` and `exists` are those of now.

        Raises `Unreachable` where it is another folder now: whoever connects anew reads it from its beginning.
        """
        self.before_command()
        again = self._client.examine(self.folder)
        if again.uidvalidity != self.uidvalidity:
            raise Unreachable("mailbox.lost", why="the folder was made anew: its UIDVALIDITY has changed")
        self.uidnext, self.exists = again.uidnext, again.exists

    def headlines(self, uids: Sequence[int]) -> Iterator[Headline]:
        """Size, arrival and the From and Subject fields of the given mails.

        Those that are gone are left out, and so are those that the server does not show or refuses alone.
        """
        for at in range(0, len(uids), PIECE):
            yield from self._headline_piece(uids[at : at + PIECE])

    def identities(self, uids: Sequence[int]) -> Iterator[tuple[int, datetime | None, int]]:
        """(UID, arrival, size) of the given mails, without a byte of their text; odd answers are left out."""
        for at in range(0, len(uids), PIECE):
            for uid, values in self._identity_piece(uids[at : at + PIECE]).items():
                found = fetched.headline(uid, values)
                yield uid, found.received, found.size

    def text(self, headline: Headline) -> Message | None:
        """The candidate's header and text parts, parsed; its text attachments only where `reads_attached` says so.

        None when the mail is gone, or the server does not show it or refuses it alone.
        """
        with server_fault.surprises_lose():
            try:
                return self._text_by_parts(headline.uid)
            except server_fault.SURPRISES:
                # One malformed BODYSTRUCTURE: the beginning of the mail says enough (traps section 1).
                with contextlib.suppress(server_fault.Refused):
                    return self._beginning(headline.uid)
                return None

    @property
    def news(self) -> bool:
        """Whether mail was announced since the last `uids` began."""
        return self._connection.announced != self._announced

    def wait_idle(self, seconds: float) -> bool:
        """One IDLE slice: ends at the first announcement or after `seconds`, and proves that the link lives.

        Ends at once where the server refuses it, though it said that it has it: `has_idle` is false from then on.
        Returns whether the server cut it short by ending it.
        """
        with server_fault.surprises_lose():
            self._connection.allow(PROOF_SECONDS)
            try:
                self._connection.start_idle()
            except IdleRefused as fault:
                if server_fault.back_off(fault):
                    raise
                self.has_idle, self.idle_refusal = False, server_fault.words(fault)
                return False
            self._connection.wait_idle(seconds, self._announced)
            is_cut_short = not self._connection.is_idling
            self._connection.allow(PROOF_SECONDS)
            self._connection.end_idle()
        return is_cut_short

    def noop(self) -> None:
        """Ask for news where there is no IDLE; some servers update their lists only then (reliability 2.4)."""
        with server_fault.surprises_lose():
            self._connection.allow(PROOF_SECONDS)
            # imaplib keeps every EXISTS of a connection's life.
            self._connection.untagged_responses.clear()
            kind, data = self._connection.noop()
            if kind != "OK":
                raise LinkLost(f"NOOP was answered {kind} {data[0]!r}")

    def interrupt(self) -> None:
        """From another thread: end whatever the mailbox is waiting for."""
        self._connection.interrupt()

    def close(self) -> None:
        """Log out if that is quick; never raises."""
        # Whose it is holds this mailbox: a ring, and in it a seen-set, that only the collector would free.
        self.before_command = lambda: None
        self._client.close()

    # ---- fetching ----

    def _headline_piece(self, uids: Sequence[int]) -> list[Headline]:
        with server_fault.surprises_lose():
            try:
                return self._fetch_headlines(uids, _HEADLINES[0])
            except server_fault.SURPRISES:
                # One mail's odd answer fails the whole batch in imapclient: one by one, then without its date.
                return [headline for uid in uids for headline in self._one_headline(uid)]

    def _one_headline(self, uid: int) -> list[Headline]:
        """Ever less is asked for until something can be read; nothing where the server refuses all of it."""
        *more, least = _HEADLINES
        for items in more:
            with contextlib.suppress(*server_fault.SURPRISES):
                return self._fetch_headlines([uid], items)
        with contextlib.suppress(server_fault.Refused):
            return self._fetch_headlines([uid], least)
        return []

    def _fetch_headlines(self, uids: Sequence[int], items: list[str]) -> list[Headline]:
        answer = self._fetch(uids, items)
        return [
            fetched.headline(uid, values) for uid, values in sorted(answer.items()) if fetched.body(values) is not None
        ]

    def _identity_piece(self, uids: Sequence[int]) -> dict[int, dict[bytes, Any]]:
        with server_fault.surprises_lose():
            try:
                return self._fetch(uids, _IDENTITY)
            except server_fault.SURPRISES:
                return {uid: values for each in uids for uid, values in self._one_identity(each).items()}

    def _one_identity(self, uid: int) -> dict[int, dict[bytes, Any]]:
        for items in _IDENTITIES:
            with contextlib.suppress(*server_fault.SURPRISES):
                return self._fetch([uid], items)
        return {}

    def _text_by_parts(self, uid: int) -> Message | None:
        limit = message.LIMIT_HEADER_BLOCK + 1
        first = self._fetch([uid], ["BODYSTRUCTURE", f"BODY.PEEK[HEADER]<0.{limit}>"]).get(uid)
        header = fetched.body(first) if first else None
        if first is None or header is None:
            return None
        if not isinstance(first[b"BODYSTRUCTURE"], BodyData):
            raise TypeError("not a BODYSTRUCTURE")
        parts = list(fetched.text_sections(first[b"BODYSTRUCTURE"]))[:MAX_TEXT_PARTS]
        found = self._sections(uid, parts)
        if found is None:
            return None
        read = message.assemble(header, found)
        attached = list(fetched.attached_sections(first[b"BODYSTRUCTURE"]))[: message.LIMIT_ATTACHED]
        if attached and self.reads_attached(read):
            moved = self._sections(uid, attached)
            return message.assemble(header, found, moved) if moved is not None else None
        return read if read.text.strip() else self._without_structure(uid) or read

    def _without_structure(self, uid: int) -> Message | None:
        """The mail's text where its structure shows none: a wrong boundary, odd line ends, an encoded container."""
        with contextlib.suppress(*server_fault.SURPRISES):
            whole = self._beginning(uid)
            return whole if whole is not None and whole.text.strip() else None
        return None

    def _sections(self, uid: int, parts: Sequence[TextSection]) -> list[TextPart] | None:
        """The given parts, at most `LIMIT_TEXT` bytes of each; None where the mail is gone."""
        if not parts:
            return []
        wanted = [f"BODY.PEEK[{part.section}]<0.{message.LIMIT_TEXT}>" for part in parts]
        bodies = self._fetch([uid], wanted).get(uid, {})
        if not any(key.startswith(b"BODY[") and isinstance(value, bytes) for key, value in bodies.items()):
            return None
        return [TextPart(part.mime, fetched.section_of(bodies, part.section)) for part in parts]

    def _beginning(self, uid: int) -> Message | None:
        whole = self._fetch([uid], [f"BODY.PEEK[]<0.{MAX_WHOLE}>"]).get(uid)
        data = fetched.body(whole) if whole else None
        return message.parse(data) if data is not None else None

    def _fetch(self, uids: Sequence[int], items: list[str]) -> dict[int, dict[bytes, Any]]:
        self._allow(COMMAND_SECONDS)
        self._connection.untagged_responses.pop("FETCH", None)
        try:
            answer: dict[int, dict[bytes, Any]] = self._client.fetch(list(uids), items)
        except (imaplib.IMAP4.abort, ProtocolError):
            raise
        except imaplib.IMAP4.error as fault:
            if server_fault.is_about_now(server_fault.words(fault)):
                raise
            raise server_fault.Refused(server_fault.words(fault)) from None
        return answer

    def _allow(self, seconds: float) -> None:
        self.before_command()
        self._connection.allow(seconds)


def log_in(server: Server, before_command: Callable[[], object] = lambda: None) -> Client:
    """A logged-in client, at most `LOG_IN_SECONDS` later. Raises `Unreachable` or `LoginRefused`.

    `before_command`: called before each step; each ends within a deadline of its own.
    """
    before_command()
    try:
        made = Connection(server.host, server.port, server.tls, CONNECT_SECONDS)
    except ssl.SSLCertVerificationError as fault:
        raise Unreachable("mailbox.certificate", host=server.host, why=fault.verify_message) from None
    except (OSError, imaplib.IMAP4.error) as fault:
        why, wait = server_fault.words(fault), server_fault.back_off(fault)
        raise Unreachable(
            "mailbox.unreachable", wait_seconds=wait, host=server.host, port=server.port, why=why
        ) from None
    try:
        return _log_in(server, made, before_command)
    except BaseException:
        made.shutdown()
        raise


def _log_in(server: Server, made: Connection, before_command: Callable[[], object]) -> Client:
    with server_fault.surprises_lose(server.secrets):
        client = Client(server, made)
        before_command()
        made.allow(COMMAND_SECONDS)
        try:
            if made.state != "AUTH":  # as after a PREAUTH greeting
                _authenticate(server, made)
        except imaplib.IMAP4.abort:
            # imaplib wraps a lost link anew: it is no refusal.
            raise
        except UnicodeEncodeError:
            raise LoginRefused("mailbox.login_not_ascii", host=server.host) from None
        except imaplib.IMAP4.error as fault:
            raise _refusal(server, server_fault.words(fault, server.secrets)) from None
        before_command()
        made.allow(COMMAND_SECONDS)
        client.load_capabilities()
    return client


def _authenticate(server: Server, made: Connection) -> None:
    """LOGIN, or AUTHENTICATE PLAIN where the server forbids it (RFC 3501 section 6.2.3, LOGINDISABLED).

    Raises `LoginRefused` where it takes neither, `imaplib.IMAP4.error` where it refuses.
    """
    if "LOGINDISABLED" not in made.capabilities:
        made.login(server.user, server.password.reveal())
        return
    if "AUTH=PLAIN" not in made.capabilities:
        raise LoginRefused("mailbox.login_disabled", host=server.host)
    # imaplib's own way, but for its decoding of the challenge: servers write there what is no base64.
    made.literal = _PlainAnswer(server.plain_response).next  # type: ignore[assignment]  # typeshed knows no methods
    kind, data = made._simple_command("AUTHENTICATE", "PLAIN")  # noqa: SLF001 - as its `authenticate` does
    if kind != "OK":
        raise made.error(data[-1])
    made.state = "AUTH"


class _PlainAnswer:
    """What we answer to the server's challenges: the response once, then that we give up (RFC 3501 section 6.2.2)."""

    def __init__(self, response: Secret) -> None:
        self._left = [base64.b64encode(response.reveal().encode("utf-8"))]

    def next(self, _challenge: bytes) -> bytes:
        return self._left.pop() if self._left else b"*"


def _refusal(server: Server, why: str) -> LoginRefused | Unreachable:
    """A refusal is for a person, at once where it names user or password; a server that asks for a pause gets it."""
    if asked := server_fault.back_off(why):
        return Unreachable("mailbox.throttled", wait_seconds=asked, host=server.host, why=why)
    may_pass = server_fault.may_login_pass(why)
    if server_fault.is_of_passing_words(why):
        return LoginRefused("mailbox.login_not_now", may_pass=may_pass, host=server.host, why=why)
    if terms := providers.refusal(server.preset, server.host):
        return LoginRefused("mailbox.login_refused_there", may_pass=may_pass, host=server.host, why=why, terms=terms)
    return LoginRefused("mailbox.login_refused", may_pass=may_pass, host=server.host, why=why)


class Client(imapclient.IMAPClient):  # type: ignore[misc]  # imapclient ships no types
    """imapclient's commands over our own connection."""

    def __init__(self, server: Server, made: Connection) -> None:
        self.connection = made
        self._secrets = server.secrets
        self._listed: set[str] = set()  # the folders of a role
        super().__init__(server.host, ssl=False)
        self.normalise_times = False
        # imapclient forces 5, which formats every literal with %r even where nothing is logged (libraries section 2).
        made.debug = 0

    def _create_IMAP4(self) -> Connection:  # noqa: N802 - imapclient's name
        return self.connection

    def _check_resp(self, expected: str, command: str, typ: str, data: list[bytes]) -> None:
        """imapclient's check, which drops whatever is not ASCII from the server's words."""
        if typ != expected:
            raise imaplib.IMAP4.error(f"{command} failed: {server_fault.decoded(data[0] or b'')}")

    def close(self) -> None:
        """Log out if that is quick; never raises."""
        with contextlib.suppress(imaplib.IMAP4.error, OSError, *server_fault.SURPRISES):
            self.connection.allow(2)
            self.logout()
        self.connection.shutdown()

    def load_capabilities(self) -> None:
        """Ask once after login: a server may offer IDLE only then."""
        self._cached_capabilities = None
        self.connection.untagged_responses.pop("CAPABILITY", None)
        self.capabilities()

    def examine(self, folder: str, seconds: float = COMMAND_SECONDS) -> Mailbox:
        """EXAMINE, never SELECT. Raises `FolderMissing`, or `Unreachable` where a refusal may pass."""
        with server_fault.surprises_lose(self._secrets):
            self.connection.allow(seconds)
            try:
                return Mailbox(self, folder, self.select_folder(folder, readonly=True))
            except imaplib.IMAP4.abort:
                raise
            except imaplib.IMAP4.error as fault:
                why, wait = server_fault.words(fault, self._secrets), server_fault.back_off(fault)
                # Every server has an INBOX (RFC 3501 section 5.1); one that LIST named is looked for by its role again.
                is_certain = folder.upper() == "INBOX" or folder in self._listed
                if not wait and not is_certain and server_fault.is_folder_missing(why):
                    raise FolderMissing("mailbox.folder_missing", folder=folder, why=why) from None
                raise Unreachable("mailbox.folder_refused", wait_seconds=wait, folder=folder, why=why) from None

    def open(self, name: str, watched_as: str = "") -> Mailbox:
        """Return the folder, examined. `watched_as`: its name in the configuration, where that is a role.

        Where it is not opened the connection is closed. Raises `FolderMissing` or `Unreachable`.
        """
        try:
            opened = self.examine(name)
        except BaseException:
            self.connection.shutdown()
            raise
        opened.watched_as = watched_as or name
        opened.is_junk = opened.is_junk or is_role(watched_as, JUNK)
        return opened

    def folder_names(self) -> list[tuple[frozenset[bytes], str]]:
        """Return (attributes in lower case, name) of every folder that can be opened, in the server's order."""
        with server_fault.surprises_lose(self._secrets):
            self.connection.allow(COMMAND_SECONDS)
            # One name that is no modified UTF-7 must not cost the whole list, as in imapclient.
            self.folder_encode = False
            try:
                listed = self.list_folders()
            finally:
                self.folder_encode = True
        names = [(frozenset(flag.lower() for flag in flags), _name(name)) for flags, _, name in listed]
        return [(flags, name) for flags, name in names if not flags & _NOT_OPENED]

    def senders(self, folder: str, containing: str, since: date, seconds: float) -> list[str]:
        """Return the From addresses of the folder's mails of `since` and later that hold this ASCII text; of at most
        the newest `PIECE`, within `seconds`. Read-only, and no text is asked for.

        An address that can't be read is left out. Raises `FolderMissing` or `Unreachable`, "mailbox.folder_refused"
        where the server refuses and the connection is as good as before.
        """
        until = time.monotonic() + seconds
        self.examine(folder, min(seconds, COMMAND_SECONDS))
        with server_fault.surprises_lose(self._secrets):
            try:
                self.connection.allow(min(max(until - time.monotonic(), 0.0), COMMAND_SECONDS))
                uids = self.search(["SINCE", since, "FROM", containing])
                self.connection.allow(min(max(until - time.monotonic(), 0.0), COMMAND_SECONDS))
                answer = self.fetch(sorted(uids)[-PIECE:], ["ENVELOPE"]) if uids else {}
            except (imaplib.IMAP4.abort, ProtocolError):
                raise
            except imaplib.IMAP4.error as fault:
                why = server_fault.words(fault, self._secrets)
                raise Unreachable("mailbox.folder_refused", folder=folder, why=why) from None
        return [address for values in answer.values() for address in fetched.senders(values)]

    def resolve(self, folder: str) -> tuple[str, ...]:
        r"""Return the real names of a configured folder: of a role all that have it, of `\Junk` else by usual names.

        Empty for a `\Junk` that is absent, which is well. Raises `FolderMissing` for any other absent role, and
        `Unreachable`.
        """
        if not folder.startswith("\\"):
            return (folder,)
        names = self.folder_names()
        if not names:
            # Every server has an INBOX: this proves nothing of any folder.
            raise Unreachable("mailbox.lost", why="LIST named no folder at all")
        role = folder.encode("ascii", "replace").lower()
        found = [name for flags, name in names if flags & _ATTRIBUTES.get(role, {role})]
        if not found and is_role(folder, JUNK):
            found = [name for _, name in names if is_junk_name(name)]
        elif not found:
            raise FolderMissing("mailbox.folder_missing", folder=folder, why=Fault("mailbox.no_such_role"))
        self._listed.update(found)
        return tuple(dict.fromkeys(found))


def _name(listed: bytes | str) -> str:
    if isinstance(listed, str):
        return listed
    try:
        return str(imap_utf7.decode(listed))
    except ValueError:
        return listed.decode("latin-1")


def is_role(folder: str, role: str = "") -> bool:
    """Return whether a configured folder is a role (RFC 6154), and this one where it is given."""
    return folder.lower() == role.lower() if role else folder.startswith("\\")


def is_junk_name(name: str) -> bool:
    """Return whether a folder is a junk folder by one of the usual names, in whatever hierarchy."""
    return _folded(re.split(r"[./]", name)[-1]) in {_folded(usual) for usual in _JUNK_NAMES}


def _folded(name: str) -> str:
    return _IGNORED_IN_NAMES.sub("", unicodedata.normalize("NFKC", name)).casefold()


def _imap_date(day: date) -> str:
    """`6-Jun-2022`, in English whatever the locale (RFC 3501 section 9, date)."""
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return f"{day.day}-{months[day.month - 1]}-{day.year}"


assert max(MAX_WHOLE, message.LIMIT_TEXT) < connection.MAX_LITERAL  # noqa: S101 - a limit that would refuse our own fetch
