"""IMAP as text (RFC 3501): command names, redaction, quoted strings, mailbox names, dates and number sets."""

from __future__ import annotations

import base64
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from datetime import date, datetime

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
LITERAL_AT_END = re.compile(rb"\{(\d+)(\+?)\}\r\n\Z")
NOT_PRINTABLE_ASCII = re.compile(r"[^ -~]+")
NEEDS_LITERAL = re.compile(r"[^ !#-\[\]-~]")
WORD = re.compile(r'"((?:[^"\\]|\\.)*)"|([^\s"()]+)')


def client_commands(data: bytes) -> Iterator[str]:
    """The complete lines in a client's bytes; a literal belongs to the line that announces it."""
    start = line = at = 0
    while (end := data.find(b"\r\n", at)) >= 0:
        at = end + 2
        if literal := LITERAL_AT_END.search(data, line, at):
            at = line = at + int(literal[1])
            continue
        yield data[start:end].decode("latin-1")
        start = line = at


def command_name(line: str) -> str:
    """The command of a line with its tag: "UID FETCH", "IDLE"; "DONE" has no tag; "" for a SASL answer."""
    tag, _, rest = line.partition(" ")
    if not rest:
        return "DONE" if tag.upper() == "DONE" else ""
    words = rest.upper().split(" ", 2)
    return " ".join(words[:2]) if words[0] == "UID" else words[0]


def redacted(line: str) -> str:
    """The line without what LOGIN or AUTHENTICATE would tell."""
    name = command_name(line)
    if name in ("LOGIN", "AUTHENTICATE"):
        return f"{line.partition(' ')[0]} {name} <redacted>"
    return line if name else "<redacted>"


def words(arguments: str) -> list[str]:
    """The atoms and quoted strings of a command's arguments; parentheses are left out."""
    return [re.sub(r"\\(.)", r"\1", found[1]) if found[2] is None else found[2] for found in WORD.finditer(arguments)]


def quoted(text: str) -> str:
    """A quoted string of plain text."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def string(text: str | None) -> bytes:
    """NIL, a quoted string, or a literal where a quoted string would need escapes, as Dovecot does."""
    if text is None:
        return b"NIL"
    data = text.encode("latin-1", "replace")
    return literal(data) if NEEDS_LITERAL.search(text) else b'"' + data + b'"'


def literal(data: bytes) -> bytes:
    """A literal with its announcement."""
    return b"{%d}\r\n%s" % (len(data), data)


def mailbox_name(name: str) -> str:
    """A folder's name in modified UTF-7 (RFC 3501, 5.1.3)."""
    return NOT_PRINTABLE_ASCII.sub(lambda found: _modified_base64(found[0]), name.replace("&", "&-"))


def _modified_base64(text: str) -> str:
    packed = base64.b64encode(text.encode("utf-16-be")).decode("ascii")
    return "&" + packed.rstrip("=").replace("/", ",") + "-"


def internal_date(when: datetime) -> bytes:
    """INTERNALDATE's quoted form; the month's name never depends on the locale."""
    return f'"{when.day:2d}-{MONTHS[when.month - 1]}-{when.year:04d} {when:%H:%M:%S %z}"'.encode("ascii")


def search_date(text: str) -> date:
    """The date of a SEARCH key such as 5-Jun-2022."""
    day, month, year = text.split("-")
    return date(int(year), MONTHS.index(month.title()) + 1, int(day))


def chosen(numbers: str, existing: Iterable[int]) -> list[int]:
    """Which of the existing numbers a set such as 1,4:6,9:* means.

    A range is unordered and * is the highest number, so 9:* always holds the last mail (RFC 3501, 6.4.8).
    """
    known = sorted(existing)
    found: set[int] = set()
    for part in numbers.split(","):
        low, high = _ends(part, known[-1] if known else 0)
        found.update(known[bisect_left(known, low) : bisect_right(known, high)])
    return sorted(found)


def _ends(part: str, highest: int) -> tuple[int, int]:
    ends = [highest if end == "*" else int(end) for end in part.split(":")]
    return min(ends), max(ends)
