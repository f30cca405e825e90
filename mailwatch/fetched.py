"""Reading what imapclient makes of a FETCH answer: sizes, dates, bodies, and the text parts of a BODYSTRUCTURE."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mailwatch.message import NOT_PROSE

_SAFE_PARAMETER = re.compile(r"^[0-9A-Za-z._:+-]{1,60}$")


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
    return Headline(uid, _moment(values), number(values.get(b"RFC822.SIZE")) or 0, body(values) or b"")


def _moment(values: dict[bytes, Any]) -> datetime | None:
    """INTERNALDATE, aware UTC; None for one that can't be read, or so late that no other zone can show it."""
    received = values.get(b"INTERNALDATE")
    try:
        if not isinstance(received, datetime) or received.tzinfo is None or received.year >= 9999:
            return None
        return received.astimezone(UTC)
    except (OverflowError, ValueError):  # a zone of more than a day
        return None


def body(values: dict[bytes, Any]) -> bytes | None:
    """The one BODY[…] of an answer; servers spell its name in several ways. None: the mail is gone."""
    for key, value in values.items():
        if key.startswith(b"BODY["):
            return value if isinstance(value, bytes) else None
    return None


def senders(values: dict[bytes, Any]) -> Iterator[str]:
    """The From addresses of an ENVELOPE (RFC 3501 section 7.4.2), ASCII; those without a host are groups."""
    envelope = values.get(b"ENVELOPE")
    for address in getattr(envelope, "from_", None) or ():
        local, host = address.mailbox, address.host
        if isinstance(local, bytes) and isinstance(host, bytes):
            yield f"{local.decode('ascii', 'replace')}@{host.decode('ascii', 'replace').lower()}"


def section_of(values: dict[bytes, Any], section: str) -> bytes:
    value = values.get(f"BODY[{section}]<0>".encode(), values.get(f"BODY[{section}]".encode(), b""))
    return value if isinstance(value, bytes) else b""


def text_sections(structure: Any) -> Iterator[TextSection]:
    """The shown text parts of a BODYSTRUCTURE, in order, with MIME lines made from it (RFC 3501 section 7.4.2)."""
    for section, part in _leaves(structure):
        if _lower(part[0]) == "text" and _disposition(part) != "attachment":
            yield TextSection(section or "1", _mime(part, "html" if _lower(part[1]) == "html" else "plain"))


def attached_sections(structure: Any) -> Iterator[TextSection]:
    """The attached texts and mails of a BODYSTRUCTURE, likewise."""
    for section, part in _leaves(structure):
        kind, subtype = _lower(part[0]), _lower(part[1])
        if kind == "text" and _disposition(part) == "attachment" and subtype not in NOT_PROSE:
            mime = _mime(part, "html" if subtype == "html" else "plain")
            yield TextSection(section or "1", mime + b"\r\nContent-Disposition: attachment")
        elif kind == "message" and subtype in {"rfc822", "global"}:
            yield TextSection(section or "TEXT", _mime(part, "rfc822"))


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
    raw = part[2] if isinstance(part[2], tuple) else ()
    parameters = {_lower(raw[i]): _lower(raw[i + 1]) for i in range(0, len(raw) - 1, 2)}
    line = f"Content-Type: {'message' if subtype == 'rfc822' else 'text'}/{subtype}"
    for name in ("charset", "format", "delsp"):
        if _SAFE_PARAMETER.match(parameters.get(name, "")):
            line += f'; {name}="{parameters[name]}"'
    encoding = _lower(part[5])
    if not _SAFE_PARAMETER.match(encoding):
        encoding = "8bit"
    return f"{line}\r\nContent-Transfer-Encoding: {encoding}".encode("ascii")


def _disposition(part: Any) -> str:
    """A text part's disposition stands ninth (RFC 3501: after lines and MD5)."""
    found = part[9] if len(part) > 9 else None
    return _lower(found[0]) if isinstance(found, tuple) and found else ""


def _lower(value: object) -> str:
    return value.decode("ascii", "replace").lower() if isinstance(value, bytes) else str(value).lower()


def number(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 2**63 else None
