"""What the items of a FETCH answer say: sizes, dates, header lines, bodies, and the text parts of a BODYSTRUCTURE.

Items are a dict, as `imap_lines.fetch` reads them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from imapclient.datetime_util import parse_to_datetime
from imapclient.response_types import BodyData

from mailwatch import encoded_words, message

_SAFE_PARAMETER = re.compile(r"^[0-9A-Za-z._:+-]{1,60}$")


# A From field with something in it, on its own line or on the next.
_FROM = re.compile(rb"^From[ \t]*:(?:[ \t]|\r?\n[ \t])*[^\s]", re.IGNORECASE | re.MULTILINE)
_FROM_FIELD = re.compile(rb"^From[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*", re.IGNORECASE | re.MULTILINE)
_MULTIPART = re.compile(rb"^Content-Type[ \t]*:\s*multipart/", re.IGNORECASE | re.MULTILINE)
_CONTENT = re.compile(rb"^Content-[^:\s]*[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*", re.IGNORECASE | re.MULTILINE)
_BLOCK_END = re.compile(rb"\r?\n\r?\n")
_FIELDS = b"BODY[HEADER.FIELDS ("


@dataclass(frozen=True, slots=True)
class Headline:
    """What the first stage fetches of a mail. `received` is the server's INTERNALDATE, aware UTC; None: unreadable."""

    uid: int
    received: datetime | None
    size: int
    header: bytes


@dataclass(frozen=True, slots=True)
class TextSection:
    section: str
    mime: bytes


def headline(uid: int, values: dict[bytes, Any]) -> Headline:
    """Return what the items say of a mail; a header that they lack is empty."""
    return Headline(uid, _moment(values), number(values.get(b"RFC822.SIZE")) or 0, header_of(values))


def _moment(values: dict[bytes, Any]) -> datetime | None:
    """INTERNALDATE, aware UTC; None for one that can't be read, or so late that no other zone can show it."""
    raw = values.get(b"INTERNALDATE")
    try:
        received: datetime | None = parse_to_datetime(raw, normalise=False) if isinstance(raw, bytes) else None
        if received is None or received.tzinfo is None or received.year >= 9999:
            return None
        return received.astimezone(UTC)
    except (OverflowError, ValueError, TypeError, IndexError):  # such as a zone of more than a day
        return None


def asked_fields(values: dict[bytes, Any]) -> bytes:
    """Return the lines of a `HEADER.FIELDS (…)`; b"" where the answer has none, or one of something else."""
    return next((value for name, value in values.items() if name.startswith(_FIELDS) and value), b"")


def senders(values: dict[bytes, Any]) -> Iterator[str]:
    """The From addresses of an ENVELOPE (RFC 3501 section 7.4.2), ASCII; those without a host are groups."""
    envelope = values.get(b"ENVELOPE")
    for address in getattr(envelope, "from_", None) or ():
        local, host = address.mailbox, address.host
        if isinstance(local, bytes) and isinstance(host, bytes):
            yield f"{local.decode('ascii', 'replace')}@{host.decode('ascii', 'replace').lower()}"


def header_of(values: dict[bytes, Any]) -> bytes:
    """Return the best header lines in an answer: to their end, with a From, the longest; b"" where there are none."""
    beginning = body(values, "")
    end = _BLOCK_END.search(beginning)
    found = [asked_fields(values), body(values, "HEADER"), beginning[: end.end()] if end else beginning]
    return max(found, key=lambda lines: (has_from(lines) and is_ended(lines), has_from(lines), len(lines)))


def has_from(header: bytes) -> bool:
    """Return whether a From field with something in it stands in the header lines."""
    return _FROM.search(header) is not None


def from_line(header: bytes) -> bytes:
    """Return the first From field, to its end; b"" where there is none."""
    found = _FROM_FIELD.search(header)
    return found[0].strip() if found else b""


def is_ended(header: bytes) -> bool:
    """Return whether header lines come to their end, which is an empty line (RFC 3501 section 6.4.5)."""
    return header.endswith((b"\n\r\n", b"\n\n"))


def body(values: dict[bytes, Any], section: str) -> bytes:
    """Return the bytes of one section, such as "1.2" or "HEADER"; b"" where the answer has none."""
    value = values.get(f"BODY[{section}]".encode())
    return value if isinstance(value, bytes) else b""


def structure_of(values: dict[bytes, Any]) -> BodyData:
    """Return the BODYSTRUCTURE of an answer. Raises one of `server_fault.SURPRISES` where it is none."""
    structure = values.get(b"BODYSTRUCTURE")
    if not isinstance(structure, tuple):
        raise TypeError("not a BODYSTRUCTURE")
    return BodyData.create(structure)


def octets(structure: Any, section: str) -> int:
    """Return how many bytes a text section has by the BODYSTRUCTURE; 0 where it does not say."""
    part = structure
    for place in section.split("."):
        if isinstance(part[0], list):
            part = part[0][int(place) - 1]
    return (number(part[6]) or 0) if len(part) > 6 else 0


def merge(known: dict[bytes, Any], more: dict[bytes, Any]) -> None:
    """Add the items of another line about the same mail; two texts that differ say nothing."""
    for name, value in more.items():
        before = known.get(name)
        differ = bool(before) and bool(value) and before != value
        known[name] = None if differ else before or value


def mime_lines(header: bytes) -> bytes:
    """Return the Content-… fields of a mail's own header, as they are."""
    return b"\r\n".join(found[0].rstrip(b"\r\n") for found in _CONTENT.finditer(header))


def is_multipart(header: bytes) -> bool:
    """Return whether the mail's own header says that it has parts."""
    return _MULTIPART.search(header) is not None


def text_sections(structure: Any) -> Iterator[TextSection]:
    """The shown text parts of a BODYSTRUCTURE, in order, with MIME lines made from it (RFC 3501 section 7.4.2)."""
    for section, part in _leaves(structure):
        if _lower(part[0]) == "text" and _disposition(part) != "attachment":
            yield TextSection(section or "1", _mime(part, "html" if _lower(part[1]) == "html" else "plain"))


def attached_sections(structure: Any) -> Iterator[TextSection]:
    """The attached texts and mails of a BODYSTRUCTURE, likewise."""
    for section, part in _leaves(structure):
        main, is_attachment = _lower(part[0]), _disposition(part) == "attachment"
        kind = message.kind_of_attachment(main, _lower(part[1]), _name(part), is_attachment=is_attachment)
        if kind == "rfc822":
            yield TextSection(section or ("TEXT" if main == "message" else "1"), _mime(part, kind))
        elif kind:
            yield TextSection(section or "1", _mime(part, kind) + b"\r\nContent-Disposition: attachment")


def has_sealed(structure: Any) -> bool:
    """Return whether a part of a BODYSTRUCTURE can only be opened by another mail program."""
    return any(message.is_sealed(_lower(part[0]), _lower(part[1]), _name(part)) for _, part in _leaves(structure))


def _leaves(structure: Any) -> Iterator[tuple[str, Any]]:
    """(section, part) of each part that holds no others, in order; an attached mail is one part."""
    stack: list[tuple[str, Any]] = [("", structure)]
    while stack:
        section, part = stack.pop()
        if isinstance(part[0], list):
            prefix = f"{section}." if section else ""
            stack.extend(reversed([(f"{prefix}{number}", child) for number, child in enumerate(part[0], 1)]))
        else:
            yield section, part


def _mime(part: Any, subtype: str) -> bytes:
    parameters = _parameters(part[2])
    line = f"Content-Type: {'message' if subtype == 'rfc822' else 'text'}/{subtype}"
    for name in ("charset", "format", "delsp"):
        if _SAFE_PARAMETER.match(parameters.get(name, "")):
            line += f'; {name}="{parameters[name]}"'
    encoding = _lower(part[5])
    if not _SAFE_PARAMETER.match(encoding):
        encoding = "8bit"
    return f"{line}\r\nContent-Transfer-Encoding: {encoding}".encode("ascii")


def _parameters(raw: Any) -> dict[str, str]:
    pairs = raw if isinstance(raw, tuple) else ()
    return {_lower(pairs[i]): _lower(pairs[i + 1]) for i in range(0, len(pairs) - 1, 2)}


def _disposition_of(part: Any) -> tuple[Any, ...]:
    """It stands behind the MD5, which comes after the lines of a text and the parts of a mail (RFC 3501 7.4.2)."""
    place = 9 if _lower(part[0]) == "text" else 11 if len(part) > 11 else 8
    found = part[place] if len(part) > place else None
    return found if isinstance(found, tuple) else ()


def _disposition(part: Any) -> str:
    return _lower(_disposition_of(part)[0]) if _disposition_of(part) else ""


def _name(part: Any) -> str:
    """The file name of a part, in lower case, or "". In the form of RFC 2231 or 2047 only its end counts."""
    given = {**_parameters(part[2]), **_parameters(next(iter(_disposition_of(part)[1:]), None))}
    raw = next((value for key, value in given.items() if key.partition("*")[0] in {"filename", "name"}), "")
    return encoded_words.text_of(raw.encode())


def _lower(value: object) -> str:
    return value.decode("ascii", "replace").lower() if isinstance(value, bytes) else str(value).lower()


def number(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 2**63 else None
