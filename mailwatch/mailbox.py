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
from datetime import UTC, date, datetime
from typing import Any

import imapclient
from imapclient import imap_utf7
from imapclient.exceptions import ProtocolError

from mailwatch import connection, fetched, imap_lines, message, providers, server_fault
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


_IDENTITY = "INTERNALDATE RFC822.SIZE"
HEADLINE_FIELDS = " ".join(("FROM", "SUBJECT", *map(str.upper, message.TRUE_SENDER_FIELDS)))
_FIELDS = f"BODY.PEEK[HEADER.FIELDS ({HEADLINE_FIELDS})]"
_CUT = f"<0.{MAX_HEADLINE}>"
_HEADLINE = f"{_IDENTITY} {_FIELDS}{_CUT}"
_HEADLINE_UNCUT = f"{_IDENTITY} {_FIELDS}"
# What is asked of one mail until its From can be read: some servers give nothing for a part of a field list.
_HEADLINES = (
    _HEADLINE,
    _HEADLINE_UNCUT,
    f"RFC822.SIZE BODY.PEEK[HEADER]{_CUT}",
    "BODY.PEEK[HEADER]",
    f"BODY.PEEK[]{_CUT}",
)
_IDENTITIES = (_IDENTITY, "RFC822.SIZE")
# A folder of up to so many mails is listed whole, and counted; so many at most are listed by FETCH.
MAX_COUNTED = 10_000
_MAX_LISTED = 50_000
# Text whose size a BODYSTRUCTURE misstates may be this much longer where it is asked for without a limit.
_MAX_MIME = 8192
# No IMAP server is older (RFC 1064 is of 1988): an arrival before says only that the server has lost it.
_FIRST_MAIL = datetime(1988, 1, 1, tzinfo=UTC)
# What a server may say of a mail unasked: an answer with no more shows nothing.
_UNASKED = {b"UID", b"FLAGS", b"MODSEQ"}
_MAX_UNCUT = connection.MAX_LITERAL // 2


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
    """An examined folder. One thread uses it; `interrupt` may come from another.

    `search_fault`: why mails are listed by FETCH, until its owner sets it to "". `is_listed_whole`: false where fewer
    mails were listed, since its owner set it to true, than the server says the folder holds. `is_mixed_up`: a mail's
    own header named another sender than its headline did, so that headlines may have stood under each other's UIDs;
    from then on each is asked for alone.
    """

    search_fault = ""
    is_listed_whole = True
    is_mixed_up = False

    def __init__(self, client: Client, folder: str, examined: dict[bytes, Any]) -> None:
        self._client = client
        self._connection = client.connection
        self.folder = folder
        self.uidvalidity = fetched.number(examined.get(b"UIDVALIDITY"))
        self.uidnext = fetched.number(examined.get(b"UIDNEXT"))
        self.exists = fetched.number(examined.get(b"EXISTS")) or 0
        self._says_exists = b"EXISTS" in examined  # else an empty list can't be told from a wrong one
        self.has_idle = client.has_capability("IDLE")
        self.idle_refusal = ""  # why not, in the server's words
        self.watched_as = folder  # its name in the configuration, where that is a role
        self.is_junk = is_junk_name(folder)
        # The highest UID that `connection.counted` counts; None: not known yet.
        self._top = self.uidnext - 1 if self.uidnext else None if self.exists else 0
        self._is_cut_wrong = False  # whether a part of a field list is empty where several mails are asked for
        self._is_end_left_out = False  # whether the empty line behind a field list is left out
        self._connection.counted = self._connection.exists
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
        """Return the UIDs of the folder's mails received on `since` or later, or with a UID over `above`; ascending.

        A SEARCH that contradicts EXISTS is asked twice. Then, and where it is refused or can't be read, the mails are
        listed by FETCH while `search_fault` says why; `is_listed_whole` becomes false where that list is too short as
        well. Mail that is announced from here on makes `news` true.
        """
        self._announced = self._connection.announced
        with server_fault.surprises_lose():
            found: set[int] | None = None
            for _ in range(0 if self.search_fault else 2):
                found = self._searched(since, above)
                if found is None:
                    break
                if self._connection.has_shrunk:
                    # Not by EXPUNGE: mail that others took away, or a wrong number.
                    self.examine_again()
                    self._connection.asked_at = self.exists
                if self._agrees(found, since, above):
                    # `n:*` always names the last mail (RFC 3501 section 6.4.8).
                    return sorted(uid for uid in found if above is None or uid > above)
            return sorted(self._listed_by_fetch(found, since, above))

    def examine_again(self) -> None:
        """EXAMINE the folder once more: one that was deleted, renamed or made anew meanwhile is noticed only by this
        (traps section 1), and one that was restored from a back-up: `uidnext` and `exists` are those of now.

        Raises `FolderMissing`, or `Unreachable` where it is another folder now: whoever connects anew reads it from its
        beginning.
        """
        self.before_command()
        counted = self._connection.counted
        again = self._client.examine(self.folder)
        if again.uidvalidity != self.uidvalidity:
            raise Unreachable("mailbox.lost", why="the folder was made anew: its UIDVALIDITY has changed")
        self.uidnext, self.exists = again.uidnext, again.exists
        self._connection.counted = min(counted, self.exists)

    def is_listed_wrongly(self, uid: int) -> bool:
        """Return whether a listed mail is none: FETCH shows as many as EXISTS says, and none of this UID.

        `search_fault` says so then. False in a folder of over `MAX_COUNTED` mails.
        """
        if self.search_fault or self._connection.exists > MAX_COUNTED:
            return False
        with server_fault.surprises_lose():
            shown, is_whole = self._range_shown(1)
        if is_whole and uid not in shown:
            self.search_fault = "UID SEARCH names mails that UID FETCH does not show"
        return self.search_fault != ""

    def headlines(self, uids: Sequence[int]) -> Iterator[Headline]:
        """Size, arrival and the From and Subject fields of the given mails.

        A header without a readable From is asked for in other ways; one that has none in its whole length comes as it
        is. Mails that are gone are left out, and so are those that have a size and of which no header line can be had.
        """
        size = 1 if self.is_mixed_up else PIECE
        for at in range(0, len(uids), size):
            yield from self._headline_piece(uids[at : at + size])

    def identities(self, uids: Sequence[int]) -> Iterator[tuple[int, datetime | None, int]]:
        """(UID, arrival, size) of the given mails, without a byte of their text; odd answers are left out."""
        for at in range(0, len(uids), PIECE):
            for uid, values in self._identity_piece(uids[at : at + PIECE]).items():
                found = fetched.headline(uid, values)
                yield uid, found.received, found.size

    def text(self, headline: Headline) -> Message | None:
        """The candidate's header and text parts, parsed; its text attachments only where `reads_attached` says so.

        Where the parts can't be had, or there are none, its beginning (`MAX_WHOLE` bytes) is read instead. None when
        the mail is gone, or the server does not show it.
        """
        with server_fault.surprises_lose():
            found = None
            # One malformed BODYSTRUCTURE: the beginning of the mail says enough.
            with contextlib.suppress(*server_fault.SURPRISES):
                found = self._text_by_parts(headline)
            if found is not None and found.text.strip() and message.CUT_SHORT not in found.defects:
                return found
            # Its structure shows no text: a wrong boundary, odd line ends, an encoded container. Or less text came than
            # the structure says, which may count wrong.
            beginning = self._beginning(headline)
            if beginning is None or found is None:
                return beginning or found
            is_better = message.CUT_SHORT not in beginning.defects or not found.text.strip()
            return beginning if beginning.text.strip() and is_better else found

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

    # ---- listing ----

    def _searched(self, since: date | None, above: int | None) -> set[int] | None:
        """What UID SEARCH names; None and a `search_fault` where the server refuses it or can't be understood."""
        criteria = f"UID {above + 1}:*" if above is not None else f"SINCE {_imap_date(since)}" if since else "ALL"
        self._allow(SEARCH_SECONDS)
        answer = self._connection.ask(f"UID SEARCH {criteria}".encode("ascii"))
        if answer.status != "OK":
            why = f"UID SEARCH was answered {answer.status} {answer.words}"[:200]
            if server_fault.back_off(why) or server_fault.is_about_now(answer.words):
                raise LinkLost(why)
            self.search_fault = why
            return None
        try:
            return imap_lines.numbers(answer.lines, self._connection.exists + MAX_COUNTED)
        except imap_lines.UnreadableLine:
            self.search_fault = "UID SEARCH was answered in a form that can't be read"
            return None

    def _agrees(self, found: set[int], since: date | None, above: int | None) -> bool:
        """Whether a list is as long as EXISTS says: of the whole folder, else of what came since the last one."""
        told = self._connection.asked_at
        if not found and not self._says_exists:
            return False
        if since:
            return bool(found) or told == 0 or not self._is_last_after(since)
        if above is None and len(found) < told:
            return False
        if above is not None and not found and told and (self.uidnext or 0) > above + 1:
            return False
        if self._top is not None:
            new = sum(uid > self._top for uid in found)
            # More than have come: numbers of mails that are not there, in place of those that are.
            if not told <= self._connection.counted + new <= max(told, self._connection.exists):
                return False
            self._count(self._connection.counted + new, found)
        elif above is None:
            self._count(len(found), found)
        return True

    def _count(self, number: int, found: set[int]) -> None:
        """So many of the folder's mails have UIDs up to the highest of these."""
        self._connection.counted = number
        self._top = max(self._top or 0, max(found, default=0))

    def _is_last_after(self, day: date) -> bool:
        """Whether the folder's last mail arrived after a day: then a SEARCH from that day on can't be empty."""
        shown, _ = self._range_shown(self._top or 1)
        arrivals = [fetched.headline(uid, values).received for uid, (_, values) in shown.items()]
        return any(arrival is not None and arrival.date() > day for arrival in arrivals)

    def _listed_by_fetch(self, searched: set[int] | None, since: date | None, above: int | None) -> set[int]:
        """What FETCH shows of the same mails. Notes whether that is fewer than EXISTS, and more than SEARCH named."""
        lowest = above + 1 if above is not None else 1
        if above is None and self._connection.exists > _MAX_LISTED:
            lowest = max(1, (self.uidnext or self._top or 0) - _MAX_LISTED)
        shown, is_whole = self._range_shown(lowest)
        if not is_whole and lowest > 1 and self._connection.exists <= _MAX_LISTED:
            shown, is_whole = self._range_shown(1)
        if is_whole:
            self._count(self._connection.asked_at, set(shown))
        self.is_listed_whole &= is_whole
        listed = {uid for uid in shown if uid >= lowest}
        if since:
            arrivals = {uid: fetched.headline(uid, shown[uid][1]).received for uid in listed}
            listed = {
                uid
                for uid, arrival in arrivals.items()
                if arrival is None or arrival < _FIRST_MAIL or arrival.date() >= since
            }
        if searched is not None and (missed := len(listed - searched)):
            self.search_fault = f"UID SEARCH left out {missed} of {len(listed)} mails that FETCH shows"
        return listed if is_whole or searched is None else listed | {uid for uid in searched if uid >= lowest}

    def _range_shown(self, lowest: int) -> tuple[dict[int, tuple[int, dict[bytes, Any]]], bool]:
        """By UID, the sequence number and identity of the mails with this UID and over it; whether those are all."""
        self._allow(SEARCH_SECONDS)
        answer = self._connection.ask(f"UID FETCH {lowest}:* (UID {_IDENTITY})".encode("ascii"))
        if answer.status != "OK":
            raise LinkLost(f"UID FETCH was answered {answer.status} {answer.words}")
        shown: dict[int, tuple[int, dict[bytes, Any]]] = {}
        for line in answer.lines:
            with contextlib.suppress(imap_lines.UnreadableLine):
                place, values = imap_lines.fetch(line)
                if (uid := fetched.number(values.get(b"UID"))) and b"RFC822.SIZE" in values:
                    shown[uid] = place, values
        told = self._connection.asked_at
        if not shown:
            # Some servers answer nothing to `n:*` over the last UID, against RFC 3501 section 6.4.8.
            is_over = self._top is not None and lowest > self._top
            return shown, told == 0 or (is_over and told <= self._connection.counted)
        first = 1 if lowest == 1 else min(place for place, _ in shown.values())
        return shown, len(shown) >= told - first + 1

    # ---- fetching ----

    def _headline_piece(self, uids: Sequence[int]) -> list[Headline]:
        """All at once; those whose From did not come once more without the cut, then each alone."""
        with server_fault.surprises_lose():
            is_uncut = self._is_cut_wrong and len(uids) > 1
            shown, is_clear = self._fetch(uids, _HEADLINE_UNCUT if is_uncut else _HEADLINE)
            found = {uid: values for uid, values in shown.items() if self._is_right(fetched.asked_fields(values))}
            odd = [uid for uid in uids if uid not in found]
            if odd:
                again, is_again_clear = self._fetch(odd, _HEADLINE_UNCUT if len(odd) > 1 else _HEADLINE)
                right = {uid: each for uid, each in again.items() if self._is_right(fetched.asked_fields(each))}
                # Else each of them would be asked for twice, in each piece.
                self._is_cut_wrong |= len(right.keys() & shown.keys()) > 1
                found |= right
                shown |= again
                is_clear = is_clear and is_again_clear
            headlines = [fetched.headline(uid, values) for uid, values in found.items()]
            for uid in odd:
                # One that a clear answer leaves out is gone.
                if uid not in found and (uid in shown or not is_clear):
                    headlines += self._one_headline(uid, shown.get(uid, {}))
            return sorted(headlines, key=lambda each: each.uid)

    def _is_right(self, header: bytes) -> bool:
        """Whether a From can be read in header lines that are not cut short, but for our own limit."""
        is_whole = fetched.is_ended(header) or len(header) >= MAX_HEADLINE or self._is_end_left_out
        return is_whole and fetched.has_from(header)

    def _one_headline(self, uid: int, values: dict[bytes, Any]) -> list[Headline]:
        """Alone, and in ever other ways until its From can be read. None where no header comes to its end.

        `values`: what is known of it so far.
        """
        for items in _HEADLINES:
            found = fetched.headline(uid, values)
            if self._is_right(found.header):
                return [found]
            shown, is_clear = self._fetch([uid], items)
            if uid not in shown and is_clear:
                return []
            values = values | {name: value for name, value in shown.get(uid, {}).items() if value is not None}
            self._note_end(values)
        found = fetched.headline(uid, values)
        # An empty one is right only of a mail that begins so.
        is_whole = b"RFC822.SIZE" in values and len(fetched.body(values, "")) >= min(found.size, MAX_HEADLINE)
        is_ended = found.header.strip() and fetched.is_ended(found.header)
        return [found] if is_ended or is_whole else []

    def _note_end(self, values: dict[bytes, Any]) -> None:
        """Where the whole header says the same as field lines without an end, the server leaves their end out."""
        fields, header = fetched.asked_fields(values), fetched.body(values, "HEADER")
        if fetched.has_from(fields) and not fetched.is_ended(fields) and fetched.is_ended(header):
            self._is_end_left_out |= fetched.from_line(fields) == fetched.from_line(header)

    def _identity_piece(self, uids: Sequence[int]) -> dict[int, dict[bytes, Any]]:
        with server_fault.surprises_lose():
            shown, is_clear = self._fetch(uids, _IDENTITY)
            if not is_clear:
                for uid in [uid for uid in uids if b"RFC822.SIZE" not in shown.get(uid, {})]:
                    shown |= self._one_identity(uid)
            return shown

    def _one_identity(self, uid: int) -> dict[int, dict[bytes, Any]]:
        for items in _IDENTITIES:
            shown, _ = self._fetch([uid], items)
            if shown:
                return shown
        return {}

    def _text_by_parts(self, headline: Headline) -> Message | None:
        """None where the header, the structure or a part that has a size does not come, or they contradict another."""
        uid, limit = headline.uid, message.LIMIT_HEADER_BLOCK + 1
        values = self._fetch([uid], f"BODYSTRUCTURE BODY.PEEK[HEADER]<0.{limit}>")[0].get(uid, {})
        header = fetched.body(values, "HEADER")
        self._compare_senders(headline, header)
        structure = fetched.structure_of(values)
        parts = list(fetched.text_sections(structure))[:MAX_TEXT_PARTS]
        is_multipart = isinstance(structure[0], list)
        is_whole = len(header) >= limit or (header.strip() and fetched.is_ended(header))
        is_same = len(headline.header) >= MAX_HEADLINE or fetched.has_from(header) == fetched.has_from(headline.header)
        attached = list(fetched.attached_sections(structure))[: message.LIMIT_ATTACHED]
        has_text = bool(parts or attached)
        if not is_whole or not is_same or not has_text or is_multipart != fetched.is_multipart(header):
            return None
        found = self._text_parts(uid, structure, parts, header)
        if found is None:
            return None
        has_sealed = fetched.has_sealed(structure)
        read = message.assemble(header, found, has_sealed=has_sealed)
        sizes = [min(fetched.octets(structure, part.section), message.LIMIT_TEXT) for part in parts]
        if any(len(text.body) < size for text, size in zip(found, sizes, strict=True)):
            return message.cut_short(read)
        if not (attached and self.reads_attached(read)):
            return read
        bodies = self._bodies(uid, dict.fromkeys((part.section for part in attached), 0), with_mime=False)
        if bodies is None:
            return None
        moved = [TextPart(part.mime, fetched.body(bodies, part.section)) for part in attached]
        return message.assemble(header, found, moved, has_sealed=has_sealed)

    def _compare_senders(self, headline: Headline, header: bytes) -> None:
        named, own = (b"".join(fetched.from_line(each).split()) for each in (headline.header, header))
        self.is_mixed_up |= bool(named and own) and named != own

    def _text_parts(
        self, uid: int, structure: Any, parts: Sequence[TextSection], header: bytes
    ) -> list[TextPart] | None:
        """The shown text parts; None where one that has a size does not come."""
        if not parts:
            return []
        is_multipart = isinstance(structure[0], list)
        sizes = {part.section: fetched.octets(structure, part.section) for part in parts}
        bodies = self._bodies(uid, sizes, with_mime=is_multipart)
        if bodies is None:
            return None
        # What the mail says of its own encoding counts: a BODYSTRUCTURE may say something else.
        own = fetched.mime_lines(header)
        mimes = [fetched.body(bodies, f"{part.section}.MIME").strip() if is_multipart else own for part in parts]
        return [
            TextPart(mime or part.mime, fetched.body(bodies, part.section))
            for part, mime in zip(parts, mimes, strict=True)
        ]

    def _bodies(self, uid: int, sizes: dict[str, int], *, with_mime: bool) -> dict[bytes, Any] | None:
        """The text of sections of these sizes; None where one that has a size is empty.

        One that is shorter than its size is asked for once more: a BODYSTRUCTURE may count wrong, too.
        """
        mime = [f"BODY.PEEK[{name}.MIME]<0.{_MAX_MIME}>" for name in sizes if with_mime]
        wanted = [*mime, *(f"BODY.PEEK[{name}]<0.{message.LIMIT_TEXT}>" for name in sizes)]
        bodies = self._fetch([uid], " ".join(wanted))[0].get(uid)
        if bodies is None:
            return None
        wanted_sizes = {name: min(size, message.LIMIT_TEXT) for name, size in sizes.items() if size <= _MAX_UNCUT}
        short = [name for name, size in wanted_sizes.items() if len(fetched.body(bodies, name)) < size]
        if short:
            again = self._fetch([uid], " ".join(f"BODY.PEEK[{name}]" for name in short))[0].get(uid, {})
            longer = {name: value for name in short if (value := fetched.body(again, name))}
            for name, value in longer.items():
                if len(value) > len(fetched.body(bodies, name)):
                    bodies[f"BODY[{name}]".encode()] = value
        is_empty = any(size and not fetched.body(bodies, name) for name, size in sizes.items())
        return None if is_empty else bodies

    def _beginning(self, headline: Headline) -> Message | None:
        """None where less than half of it comes, of a mail whose size is known; "cut short" where much is missing.

        Exchange only estimates RFC822.SIZE unless it is told to count (EnableExactRFC822Size).
        """
        size = min(headline.size, MAX_WHOLE)
        longest = b""
        ways = [f"BODY.PEEK[]<0.{MAX_WHOLE}>"]
        if 0 < headline.size <= MAX_WHOLE:
            ways.append("BODY.PEEK[]")
        for items in ways:
            values = self._fetch([headline.uid], items)[0].get(headline.uid, {})
            data = fetched.body(values, "")
            self._compare_senders(headline, message.header_block(data))
            longest = max(longest, data, key=len)
            if data and len(data) * 10 >= size * 9:
                return message.parse(data)
        return message.cut_short(message.parse(longest)) if longest and len(longest) >= size // 2 else None

    def _fetch(self, uids: Sequence[int], items: str) -> tuple[dict[int, dict[bytes, Any]], bool]:
        """By UID, what the server shows of these mails; and whether all of its answer could be read.

        It could not where the server refuses, for one of the mails may be why. Raises `LinkLost` where it is busy.
        """
        self._allow(COMMAND_SECONDS)
        command = f"UID FETCH {','.join(map(str, uids))} ({items})"
        answer = self._connection.ask(command.encode("ascii"))
        is_clear = answer.status == "OK"
        if not is_clear and (server_fault.back_off(answer.words) or server_fault.is_about_now(answer.words)):
            raise LinkLost(f"UID FETCH was answered {answer.status} {answer.words}")
        wanted = set(uids)
        shown: dict[int, dict[bytes, Any]] = {}
        for line in answer.lines:
            if imap_lines.kind(line) != b"FETCH":
                continue
            try:
                _, values = imap_lines.fetch(line)
            except imap_lines.UnreadableLine:
                is_clear = False
                continue
            uid = values.get(b"UID")
            if uid is None and len(wanted) == 1 and values.keys() - {b"FLAGS", b"MODSEQ"}:
                uid = uids[0]
            if uid in wanted:
                fetched.merge(shown.setdefault(uid, {}), values)
        return {uid: values for uid, values in shown.items() if values.keys() - _UNASKED}, is_clear

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
        if server_fault.is_unreadable(why):
            raise Unreachable("mailbox.unreadable", host=server.host, port=server.port) from None
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

    def examine(self, folder: str, seconds: float | None = None) -> Mailbox:
        """Send EXAMINE, never SELECT, and wait at most `seconds` (None: `COMMAND_SECONDS`) for its answer.

        Raises `FolderMissing`, or `Unreachable` where a refusal may pass.
        """
        with server_fault.surprises_lose(self._secrets):
            self.connection.allow(COMMAND_SECONDS if seconds is None else seconds)
            self.connection.exists, self.connection.has_shrunk = 0, False
            try:
                return Mailbox(self, folder, self.select_folder(folder, readonly=True))
            except imaplib.IMAP4.abort:
                raise
            except imaplib.IMAP4.error as fault:
                why, wait = server_fault.words(fault, self._secrets), server_fault.back_off(fault)
                # Every server has an INBOX (RFC 3501 section 5.1). One that LIST named is there and looked for by its
                # role again, but one that may not be opened (RFC 5530, NOPERM) stays so.
                is_there = folder in self._listed and "[NOPERM]" not in why.upper()
                if not wait and folder.upper() != "INBOX" and not is_there and server_fault.is_folder_missing(why):
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
        listed: list[tuple[frozenset[bytes], bytes]] = []
        with server_fault.surprises_lose(self._secrets):
            self.connection.allow(COMMAND_SECONDS)
            answer = self.connection.ask(b'LIST "" "*"')
            if answer.status != "OK":
                raise LinkLost(f"LIST was answered {answer.status} {answer.words}")
            # One odd line must not cost the whole list, as in imapclient.
            for line in answer.lines:
                with contextlib.suppress(imap_lines.UnreadableLine):
                    listed.append(imap_lines.listed(line))
        return [(flags, _name(name)) for flags, name in listed if name and not flags & _NOT_OPENED]

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


def _name(listed: bytes) -> str:
    """In modified UTF-7 (RFC 3501 section 5.1.3); some servers write UTF-8 unasked."""
    for decoded in (imap_utf7.decode, bytes.decode) if listed.isascii() else (bytes.decode,):
        with contextlib.suppress(ValueError):
            return str(decoded(listed))
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
