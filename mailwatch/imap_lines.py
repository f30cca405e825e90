"""Reading the lines of an IMAP server's answer: FETCH items, and the numbers of SEARCH and ESEARCH.

More lenient than RFC 3501 section 9 where servers are: names in any case, `~{5}` and `{5+}` for a literal, items behind
the closing parenthesis (paperless-ngx/paperless-ngx#13412), a blank before it (jakartaee/mail-api#209), words behind
the numbers of a SEARCH (RFC 7162 section 3.1.5). A line that can't be read costs that line and no other. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

# A line of the server: texts at the even places, the literals between them at the odd ones.
Line = list[bytes]

_UNTAGGED = re.compile(rb"\*[ \t]+(?:(\d+)[ \t]+)?([A-Za-z0-9-]+)[ \t]*", re.ASCII)
_LITERAL_AT_END = re.compile(rb"~?\{(\d{1,20})\+?\}\Z", re.ASCII)
# `BODY[HEADER.FIELDS ("FROM")]<0>` is one token.
_TOKEN = re.compile(
    rb'\s*(?:(?P<open>\()|(?P<close>\))|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<literal>~?\{\d{1,20}\+?\}\Z)'
    rb'|(?P<atom>(?:[^\s()"\[]|\[[^\]]*\])+))',
    re.DOTALL,
)
_ITEM = re.compile(rb"\s*(?:UID|FLAGS|INTERNALDATE|RFC822|BODY|ENVELOPE|MODSEQ|X-)", re.IGNORECASE)
_ORIGIN = re.compile(rb"<(\d+)[\d.]*>\Z")
_LISTED = re.compile(
    rb'\*[ \t]+LIST[ \t]*(?:\((?P<flags>[^()]*)\)|NIL)[ \t]*(?:"(?:[^"\\]|\\.)*"|"\\"|[^\s"]+)[ \t]+(?P<name>.*)\Z',
    re.DOTALL | re.IGNORECASE,
)
_QUOTED_NAME = re.compile(rb'"((?:[^"\\]|\\.)*)"(?:[ \t]|\Z)', re.DOTALL)
_BEHIND_A_NAME = re.compile(rb'[ \t]+\("[^()]*\(.*\Z', re.DOTALL)
_NUMBERS = re.compile(rb"[ \t]*\d{1,10}(?:[ \t]+\d{1,10})*[ \t]*", re.ASCII)
_RANGES = re.compile(rb"\d{1,10}(?::\d{1,10})?(?:,\d{1,10}(?::\d{1,10})?)*", re.ASCII)
_OTHER_NAMES = {b"RFC822": b"BODY[]", b"RFC822.HEADER": b"BODY[HEADER]", b"RFC822.TEXT": b"BODY[TEXT]"}


class UnreadableLine(ValueError):
    """The line does not say what it should."""


class _Atom(bytes):
    """A word that stands without quotes: a name, never a text of a mail."""


def kind(line: Line) -> bytes:
    """Return the name in an untagged line, such as b"FETCH", in upper case; b"" where there is none."""
    found = _UNTAGGED.match(line[0])
    return found[2].upper() if found else b""


def literal_size(text: bytes) -> int | None:
    """Return the size of the literal that a text announces at its end; None where it announces none."""
    found = _LITERAL_AT_END.search(text)
    return int(found[1]) if found else None


def goes_on(line: Line, text: bytes) -> bool:
    """Return whether `text`, sent as a line of its own, belongs to the FETCH or SEARCH line before it.

    Some servers break a BODYSTRUCTURE over lines (kisli/vmime#113) or send items behind the closing parenthesis; a long
    list of numbers is broken as well.
    """
    if kind(line) == b"SEARCH":
        return _NUMBERS.fullmatch(text) is not None
    if kind(line) != b"FETCH":
        return False
    if _ITEM.match(text) or text.strip() in (b"", b")"):
        return True
    depth = 0
    for piece in line[::2]:
        for token in _TOKEN.finditer(piece):
            depth += (token["open"] is not None) - (token["close"] is not None)
    return depth > 0


def fetch(line: Line) -> tuple[int, dict[bytes, Any]]:
    """Return a FETCH line's sequence number and its items by name, BODY[…] without quotes and origin.

    Lists are tuples, NIL is None, numbers are int, all else is bytes. An item that is there twice with two values, or
    that begins elsewhere than at the mail's first byte, is None. Raises `UnreadableLine`.
    """
    found = _UNTAGGED.match(line[0])
    if not found or not found[1] or found[2].upper() != b"FETCH":
        raise UnreadableLine("no FETCH")
    values = _values([line[0][found.end() :], *line[1:]])
    items: dict[bytes, list[Any]] = {}
    for name, value in zip(values[::2], values[1::2], strict=False):
        if not isinstance(name, _Atom):
            raise UnreadableLine("a value where a name should stand")
        _add(items, name, value)
    return int(found[1]), {name: value[0] if len(value) == 1 else None for name, value in items.items()}


def _add(items: dict[bytes, list[Any]], name: bytes, value: Any) -> None:
    """Add a value to those of its item: an empty one says nothing, and two that differ say nothing either."""
    name = b" ".join(name.upper().replace(b'"', b"").split()).replace(b"BODY.PEEK[", b"BODY[")
    origin = _ORIGIN.search(name)
    if origin and name.startswith(b"BODY["):
        name = name[: origin.start()]
        value = value if int(origin[1]) == 0 else None
    name = _OTHER_NAMES.get(name, name)
    if name.startswith(b"BODY[") and isinstance(value, _Atom | int):
        value = None
    known = items.setdefault(name, [value])
    if not known[0]:
        known[0] = value
    elif value and value not in known:
        known.append(value)


def _values(line: Line) -> list[Any]:
    """The values between the outer parentheses and behind them, in one list."""
    values: list[Any] = []
    outer: list[list[Any]] = []
    is_inside = False
    for token, literal in _tokens(line):
        if token["open"] is not None:
            if outer or is_inside or values:
                outer.append(values)
                values = []
            is_inside = True
        elif token["close"] is None:
            values.append(_value(token) if literal is None else literal)
        elif outer:
            inner, values = tuple(values), outer.pop()
            values.append(inner)
    if outer:
        raise UnreadableLine("a parenthesis that never closes")
    return values


def _tokens(line: Line) -> Iterator[tuple[re.Match[bytes], bytes | None]]:
    """The tokens of the texts, and beside one that announces a literal its bytes."""
    for at in range(0, len(line), 2):
        place, text = 0, line[at].rstrip()
        while place < len(text):
            token = _TOKEN.match(text, place)
            if token is None or (token["literal"] is not None and at + 1 >= len(line)):
                raise UnreadableLine("a quote, a bracket or a literal that never ends")
            place = token.end()
            yield token, line[at + 1] if token["literal"] is not None else None


def _value(token: re.Match[bytes]) -> Any:
    quoted, atom = token["quoted"], token["atom"]
    if quoted is not None:
        return re.sub(rb"\\(.)", rb"\1", quoted, flags=re.DOTALL) if b"\\" in quoted else quoted
    if atom.upper() == b"NIL":
        return None
    return int(atom) if atom.isdigit() and len(atom) <= 20 else _Atom(atom)


def listed(line: Line) -> tuple[frozenset[bytes], bytes]:
    """Return a LIST line's attributes in lower case and the folder's name as it is sent.

    A name with blanks may stand without quotes, NIL for the attributes; what is behind the name (RFC 5258 section 6)
    is left out. Raises `UnreadableLine`.
    """
    found = _LISTED.match(line[0])
    if found is None:
        raise UnreadableLine("no LIST")
    flags, name = frozenset((found["flags"] or b"").lower().split()), found["name"]
    if len(line) > 1 and _LITERAL_AT_END.fullmatch(name):
        return flags, line[1]
    if quoted := _QUOTED_NAME.match(name):
        return flags, re.sub(rb"\\(.)", rb"\1", quoted[1], flags=re.DOTALL)
    return flags, _BEHIND_A_NAME.sub(b"", name).strip(b'" \t')


def numbers(lines: Iterable[Line], most: int) -> set[int]:
    """Return the UIDs that the SEARCH and ESEARCH lines of an answer to `UID SEARCH` name; no line: none.

    `most`: ranges of more numbers than this are no answer. Raises `UnreadableLine`.
    """
    found: set[int] = set()
    for line in lines:
        match = _UNTAGGED.match(line[0])
        name = match[2].upper() if match and not match[1] else b""
        rest = line[0][match.end() :] if match else b""
        if name == b"SEARCH":
            found |= _plain_numbers(rest, most)
        elif name == b"ESEARCH":
            found |= _extended_numbers(rest, most)
    return found


def _plain_numbers(text: bytes, most: int) -> set[int]:
    """`2 84 882 (MODSEQ 917162500)`."""
    found: set[int] = set()
    for word in text.partition(b"(")[0].split():
        found |= _ranges(word, most)
    return found


def _extended_numbers(text: bytes, most: int) -> set[int]:
    """`(TAG "A285") UID MIN 7 ALL 43,7:9` (RFC 4731 section 3.1): of a UID SEARCH, and all of it or none."""
    words = re.sub(rb"\([^)]*\)", b"", text).upper().split()
    if words[:1] != [b"UID"]:
        raise UnreadableLine("no UIDs")
    values = dict(zip(words[1::2], words[2::2], strict=False))
    if b"ALL" in values:
        return _ranges(values[b"ALL"], most)
    if values.get(b"COUNT", b"0") != b"0" or b"MIN" in values or b"MAX" in values:
        raise UnreadableLine("a count without its numbers")
    return set()


def _ranges(text: bytes, most: int) -> set[int]:
    if not _RANGES.fullmatch(text):
        raise UnreadableLine("no number")
    found: set[int] = set()
    for each in text.split(b","):
        first, _, last = each.partition(b":")
        low, high = sorted((int(first), int(last or first)))
        if high - low + len(found) > most:
            raise UnreadableLine("more numbers than the folder has mails")
        found |= set(range(low, high + 1))
    return found - {0}
