"""A mail's MIME tree as an IMAP server shows it: the bytes of a section, BODYSTRUCTURE and ENVELOPE.

The standard library's parser reads the header fields; the bytes of the parts are cut by hand, because BODY[1.2] must
be byte for byte what the mail holds, and the parser does not keep that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from email.policy import compat32
from email.utils import getaddresses
from urllib.parse import quote

from .imap_text import string

FIELDS = re.compile(r"HEADER\.FIELDS(\.NOT)? \((.*)\)", re.IGNORECASE)
FIELD = re.compile(rb"[^\r\n]+\r\n(?:[ \t][^\r\n]*\r\n)*")
SECTION = re.compile(r"((?:\d+(?:\.|$))*)(.*)", re.DOTALL)
NIL = b"NIL"


@dataclass(frozen=True, slots=True)
class Part:
    """A mail, or a part of one: `header` ends with its blank line; `parts` are a multipart's, or the mail in a mail."""

    header: bytes
    body: bytes
    fields: Message
    kind: str
    parts: tuple[Part, ...] = ()

    @property
    def is_multipart(self) -> bool:
        """Whether its parts are numbered below its own number."""
        return self.kind.startswith("multipart/")


def crlf(mail: bytes) -> bytes:
    """The mail with network line ends."""
    return re.sub(rb"\r?\n", b"\r\n", mail)


def parse(data: bytes, default: str = "text/plain") -> Part:
    """The tree of a mail or part whose lines end with CRLF."""
    header, body = _split(data)
    # Latin-1 keeps every byte of a raw 8-bit header; the default parser would replace them.
    fields = HeaderParser(policy=compat32).parsestr(header.decode("latin-1"))
    fields.set_default_type(default)
    kind = fields.get_content_type()
    children = tuple(parse(child, child_default) for child, child_default in _children(kind, fields, body))
    return Part(header, body, fields, kind, children)


def _split(data: bytes) -> tuple[bytes, bytes]:
    if data.startswith(b"\r\n"):
        return data[:2], data[2:]
    header, blank, body = data.partition(b"\r\n\r\n")
    return (header + blank, body) if blank else (data, b"")


def _children(kind: str, fields: Message, body: bytes) -> list[tuple[bytes, str]]:
    """A multipart's or mail's inner parts, each with the type it has when it names none."""
    if kind == "message/rfc822":
        return [(body, "text/plain")]
    if not kind.startswith("multipart/"):
        return []
    default = "message/rfc822" if kind == "multipart/digest" else "text/plain"
    # A multipart has at least one part in IMAP's grammar, even where the boundary never comes.
    return [(part, default) for part in _between(body, fields.get_boundary()) or [b""]]


def _between(body: bytes, boundary: str | None) -> list[bytes]:
    if not boundary:
        return []
    mark = rb"(?:\A|\r\n)--" + re.escape(boundary.encode("latin-1", "replace")) + rb"(--)?[ \t]*(?:\r\n|\Z)"
    parts: list[bytes] = []
    start, at = None, 0
    while found := re.compile(mark).search(body, at):
        if start is not None:
            parts.append(body[start : found.start()])
        start, at = found.end(), max(found.end() - 2, found.start() + 2)  # an empty part shares its CRLF
        if found[1]:
            return parts
    return parts if start is None else [*parts, body[start:]]


# Sections


def section(mail: Part, name: str) -> bytes | None:
    """What BODY[name] holds: "", "HEADER", "TEXT", "HEADER.FIELDS (…)", "1.2", "1.2.MIME"; None where there is none."""
    found = SECTION.match(name)
    numbers, text = (found[1], found[2]) if found else ("", name)
    path = [int(number) for number in numbers.split(".") if number]
    part = _at(mail, path)
    if part is None:
        return None
    if not path:
        return _of_mail(part, text)
    return _of_part(part, text)


def _at(mail: Part, path: list[int]) -> Part | None:
    """The part with these numbers; in a mail that is no multipart, its body is number 1."""
    part, owner = mail, True  # owner: the numbers below belong to a mail
    for number in path:
        if not owner and part.kind == "message/rfc822":
            part, owner = part.parts[0], True
        if part.is_multipart:
            if not 0 < number <= len(part.parts):
                return None
            part = part.parts[number - 1]
        elif not owner or number != 1:
            return None
        owner = False
    return part


def _of_part(part: Part, text: str) -> bytes | None:
    if not text:
        return part.body
    if text.upper() == "MIME":
        return part.header
    return _of_mail(part.parts[0], text) if part.kind == "message/rfc822" else None


def _of_mail(mail: Part, text: str) -> bytes | None:
    whole = {"": mail.header + mail.body, "HEADER": mail.header, "TEXT": mail.body}
    if fields := FIELDS.fullmatch(text):
        return _fields(mail.header, fields[2], wanted=not fields[1])
    return whole.get(text.upper())


def _fields(header: bytes, names: str, *, wanted: bool) -> bytes:
    chosen = {name.strip('"').lower().encode("latin-1") for name in names.split()}
    found = [field for field in FIELD.findall(header) if (_field_name(field) in chosen) == wanted]
    return b"".join(found) + b"\r\n"


def _field_name(field: bytes) -> bytes:
    return field.partition(b":")[0].strip().lower()


# Structure


def body_structure(part: Part) -> bytes:
    """BODYSTRUCTURE with its extension data (RFC 3501, 7.4.2)."""
    kind, _, subtype = part.kind.upper().partition("/")
    if part.is_multipart:
        children = b"".join(body_structure(child) for child in part.parts)
        return _list(children, string(subtype), _parameters(part.fields, "Content-Type"), _extension(part))
    size = [string(str(part.fields.get("Content-Transfer-Encoding", "7BIT")).strip().upper()), b"%d" % len(part.body)]
    described = [string(_field(part, "Content-ID")), string(_field(part, "Content-Description"))]
    extra = _extra(part)
    head = [string(kind), string(subtype), _parameters(part.fields, "Content-Type")]
    return _list(*head, *described, *size, *extra, NIL, _extension(part))


def _extra(part: Part) -> list[bytes]:
    """What text and mails in a mail tell beside the size."""
    lines = b"%d" % part.body.count(b"\n")
    if part.kind == "message/rfc822":
        return [envelope(part.parts[0]), body_structure(part.parts[0]), lines]
    return [lines] if part.kind.startswith("text/") else []


def _extension(part: Part) -> bytes:
    """Disposition, language and location."""
    disposition = part.fields.get_content_disposition()
    shown = NIL
    if disposition is not None:
        shown = _list(string(disposition.upper()), _parameters(part.fields, "Content-Disposition"))
    return b" ".join([shown, string(_field(part, "Content-Language")), string(_field(part, "Content-Location"))])


def _parameters(fields: Message, header: str) -> bytes:
    pairs = (fields.get_params(header=header) or [])[1:]
    if header == "Content-Type" and _is_text_without_charset(fields):
        pairs.append(("charset", "us-ascii"))  # Dovecot says it, though the mail does not
    shown = [piece for name, value in pairs for piece in _parameter(name, value)]
    return _list(*shown) if shown else NIL


def _is_text_without_charset(fields: Message) -> bool:
    return fields.get_content_maintype() == "text" and fields.get_param("charset") is None


def _parameter(name: str, value: str | tuple[str | None, str | None, str]) -> tuple[bytes, bytes]:
    if isinstance(value, str):
        return string(name.upper()), string(value)
    charset, language, text = value  # RFC 2231, which the parser took apart: servers show it as it came
    escaped = quote(text, encoding="latin-1", errors="replace")
    return string(f"{name.upper()}*"), string(f"{charset or ''}'{language or ''}'{escaped}")


def envelope(mail: Part) -> bytes:
    """ENVELOPE of a mail."""
    sender = _addresses(mail, "From")
    others = [_addresses(mail, name) for name in ("To", "Cc", "Bcc")]
    replies = [_addresses(mail, name) if _field(mail, name) else sender for name in ("Sender", "Reply-To")]
    first = [string(_field(mail, name)) for name in ("Date", "Subject")]
    last = [string(_field(mail, name)) for name in ("In-Reply-To", "Message-ID")]
    return _list(*first, sender, *replies, *others, *last)


def _addresses(mail: Part, name: str) -> bytes:
    found = [pair for pair in getaddresses([str(value) for value in mail.fields.get_all(name, [])]) if any(pair)]
    return b"(" + b"".join(_address(*pair) for pair in found) + b")" if found else NIL


def _address(name: str, address: str) -> bytes:
    box, _, host = address.rpartition("@")
    return _list(string(name or None), NIL, string(box or None), string(host or None))


def _field(part: Part, name: str) -> str | None:
    value = part.fields.get(name)
    return None if value is None else re.sub(r"\r?\n", "", str(value))


def _list(*parts: bytes) -> bytes:
    return b"(" + b" ".join(parts) + b")"
