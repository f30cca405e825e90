"""Mail bytes in, a parsed `Message` out. Total: any bytes give a value, never an exception.

mail-parser reads the address (its grammar takes one mailbox or none, where the standard library believes
`order-update@amazon.co.jp <bad@evil.example>`); the standard library's compat32 parser splits the parts; our `charset`
and `html_text` read them. Limits come before parsing: traps section 2, reliability section 4.2.
"""

from __future__ import annotations

import email
import email.policy
import email.utils
import hashlib
import logging
import quopri
import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.errors import MessageError
from email.message import Message as MimePart
from itertools import islice

import mailparser
from mailparser.exceptions import MailParserError

from mailwatch import html_text
from mailwatch.charset import decode

LIMIT_MAIL = 4 * 1024 * 1024
LIMIT_TEXT = 256 * 1024
LIMIT_HEADER_BLOCK = 100 * 1024
LIMIT_HEADER = 16 * 1024
LIMIT_DEPTH = 50
LIMIT_PARTS = 200
# 4 MB of base64 are 55,000 lines. The library matches each line with the boundary of each multipart round it.
LIMIT_LINES = 100_000
LIMIT_PART_FIELD = 2000

# A mail can make mail-parser log its headers, which hold buyers' data.
logging.getLogger("mailparser").setLevel(logging.CRITICAL)

# A line of blanks only is a folded field going on (RFC 5322 section 4.2), not the end of the header.
_BLOCK_END = re.compile(rb"\r?\n\r?\n|\r\r")
_FIELD = re.compile(rb"^([!-9;-~]+)[ \t]*:[ \t]*(.*)$", re.DOTALL)
_LINE_END = re.compile(rb"\r\n|\n|\r")
_WORD = re.compile(rb"=\?([0-9A-Za-z._:+-]{1,40})(?:\*[^?]{0,20})?\?([bBqQ])\?([^?]*)\?=")
_CONTROL_BYTES = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CONTAINER = re.compile(rb"^content-type[ \t]*:\s*(?:multipart|message)/", re.IGNORECASE | re.MULTILINE)
_DELIVERY_STATUS = re.compile(r"^(\s*message/)delivery-status", re.IGNORECASE)
_BOUNDARY_LINE = re.compile(rb"^--[^\r\n]", re.MULTILINE)
_NOT_BASE64 = bytes(
    byte for byte in range(256) if not (chr(byte).isascii() and (chr(byte).isalnum() or chr(byte) in "+/"))
)
# `Name <local@host>` in letters, digits, blanks and few marks, or whole encoded words of a usual charset: nine of ten
# From fields. Nothing in it has a meaning of its own to mail-parser, which reads it the same, 20 times slower.
_ENCODED_NAME = (
    rb"=\?(?:utf-8|iso-2022-jp|shift_jis|us-ascii|iso-8859-1)\?"
    rb"(?:b\?(?:[0-9a-z+/]{4})*(?:[0-9a-z+/]{4}|[0-9a-z+/]{3}=|[0-9a-z+/]{2}==)|q\?(?:[0-9a-z_.-]|=[0-9a-f]{2})+)\?="
)
_NAME = rb"(?:[0-9a-z._/+&!-]+|" + _ENCODED_NAME + rb")"
_PLAIN_ADDRESS = re.compile(
    rb" ?(?:\"[0-9a-z ._/+&!-]+\" ?|" + _NAME + rb"(?: " + _NAME + rb")* ?)?"
    rb"<([0-9a-z_+-]+(?:\.[0-9a-z_+-]+)*)@([0-9a-z-]+(?:\.[0-9a-z-]+)*)> ?",
    re.IGNORECASE,
)
_PARSER_FAULTS = (MessageError, MailParserError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
_SINGLE = ("from", "subject", "message-id", "date", "content-type")


@dataclass(frozen=True, slots=True)
class Field:
    """One header field: its name in lower case and its unfolded raw value."""

    name: str
    raw: bytes

    @property
    def text(self) -> str:
        """The value as a person reads it: encoded words and raw 8-bit or JIS bytes decoded, control characters out."""
        return _CONTROL.sub("", _decode_words(self.raw)).replace("\n", " ").strip()


@dataclass(frozen=True, slots=True)
class Message:
    """One mail, parsed.

    `address` is the one mailbox of the one From field, domain in lower case, or None where it can't be read with
    certainty. `plain` and `html` hold the readable text, already decoded. `defects` names what could not be read.
    """

    fields: tuple[Field, ...] = ()
    address: str | None = None
    display_name: str = ""
    subject: str = ""
    message_id: str | None = None
    date: datetime | None = None
    plain: str = ""
    html: html_text.HtmlText = field(default_factory=html_text.HtmlText)
    defects: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """All readable text: the plain part, then what the HTML part says."""
        return "\n\n".join(text for text in (self.plain, self.html.text) if text)

    @property
    def repeated(self) -> frozenset[str]:
        """Which of the fields that must be single are not; such a mail is never verified (traps section 2)."""
        names = [each.name for each in self.fields]
        return frozenset(name for name in _SINGLE if names.count(name) > 1)

    def content_key(self) -> bytes:
        """What stays when a mail is copied, moved or delivered again: Message-ID, Date, From, Subject, text."""
        raw = {each.name: each.raw for each in reversed(self.fields)}
        headers = [raw.get(name, b"") for name in ("message-id", "date", "from", "subject")]
        text = re.sub(r"\s+", "", self.text).encode("utf-8", "replace")
        return hashlib.sha256(b"\x00".join([*headers, text])).digest()


@dataclass(frozen=True, slots=True)
class TextPart:
    """One text part as an IMAP server hands it out: its MIME header lines and its encoded bytes."""

    mime: bytes
    body: bytes


class _Bounded(email.policy.Compat32):
    """The library's own reading of a part's header, but for two things that a mail can make it pay for.

    Its reading of a field's parameters is quadratic: 256 KB of `;` took 31 s. And it makes a message of each empty line
    in a delivery report: 4 MB of them took 1.2 GB.
    """

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        return name, _DELIVERY_STATUS.sub(r"\1x-delivery-status", value[:LIMIT_PART_FIELD])


def part_tree(data: bytes) -> MimePart:
    """Split a mail or a part into its parts by the standard library, at a bounded cost."""
    return email.message_from_bytes(data, policy=_Bounded())


def parse(mail: bytes) -> Message:
    """Parse a whole mail, of which at most `LIMIT_MAIL` bytes and `LIMIT_LINES` lines are looked at."""
    mail = mail[:LIMIT_MAIL]
    header = header_block(mail)
    if len(header) > LIMIT_HEADER_BLOCK:
        return _message(header, [], ["the header block is over 100 KB"])
    if len(_CONTAINER.findall(mail)) > LIMIT_DEPTH or len(_BOUNDARY_LINE.findall(mail)) > 20 * LIMIT_PARTS:
        return _message(header, [], ["the mail has too many parts"])
    if max(mail.count(b"\n"), mail.count(b"\r")) > LIMIT_LINES:
        return _message(header, [_Text("plain", mail[len(header) :], None)], ["the mail has too many lines"])
    tree = part_tree(mail)
    parts = list(islice(_text_parts(tree), LIMIT_PARTS))
    defects = [] if parts or not tree.is_multipart() else ["the mail has no text part"]
    if not parts and _boundary_is_missing(tree):
        parts = [_Text("plain", mail[len(header) :], None)]
    return _message(header, parts, defects)


def assemble(header: bytes, parts: list[TextPart]) -> Message:
    """Parse a header block and the text parts fetched on their own; attachments were never fetched."""
    texts: list[_Text] = []
    for part in parts:
        read = _text_parts(part_tree(part.mime + b"\r\n\r\n" + part.body))
        # Cut by our own limit is no fault of the mail's.
        is_capped = len(part.body) >= LIMIT_TEXT
        texts += [replace(text, is_cut=False) if is_capped else text for text in read]
    return _message(header[:LIMIT_MAIL], texts, [] if texts else ["the mail has no text part"])


def header_block(mail: bytes) -> bytes:
    """The bytes before the first empty line."""
    found = _BLOCK_END.search(mail[: LIMIT_HEADER_BLOCK * 2])
    return mail[: found.start()] if found else mail[: LIMIT_HEADER_BLOCK * 2]


def header_fields(header: bytes) -> tuple[Field, ...]:
    """The fields of a header block, topmost first, unfolded, each cut at 16 KB."""
    return tuple(_fields(header[:LIMIT_HEADER_BLOCK]))


def time_of(fields: tuple[Field, ...]) -> datetime | None:
    """When the mail arrived: the topmost Received field's date, else Date, aware UTC; None if neither is readable."""
    received = next((_date(each.raw.rpartition(b";")[2]) for each in fields if each.name == "received"), None)
    return received or next((_date(each.raw) for each in fields if each.name == "date"), None)


def sender(fields: tuple[Field, ...]) -> tuple[str, str | None]:
    """The display text of the first From field, and its one address (None: none, several, or not certain).

    A second From field is not looked at; it shows in `Message.repeated`, and such a mail is never verified.
    """
    first = next((each for each in fields if each.name == "from"), None)
    return (first.text, _address(first.raw)) if first else ("", None)


@dataclass(frozen=True, slots=True)
class _Text:
    subtype: str
    data: bytes
    charset: str | None
    is_flowed: bool = False
    deletes_space: bool = False
    is_cut: bool = False


def _message(header: bytes, parts: list[_Text], defects: list[str]) -> Message:
    fields = header_fields(header)
    first = {each.name: each for each in reversed(fields)}
    display, address = sender(fields)
    plain, pages = [], []
    for part in parts:
        text, clean = decode(part.data[: LIMIT_TEXT if part.subtype != "html" else html_text.LIMIT], part.charset)
        if not clean or part.is_cut:
            defects = [*defects, "some text could not be read"]
        if part.subtype == "html":
            pages.append(html_text.read(text))
        else:
            plain.append(_unflow(text, part.deletes_space) if part.is_flowed else text)
    message_id = first["message-id"].text if "message-id" in first else None
    return Message(
        fields=fields,
        address=address,
        display_name=display,
        subject=first["subject"].text if "subject" in first else "",
        message_id=message_id or None,
        date=_date(first["date"].raw) if "date" in first else None,
        plain=_clean("\n".join(plain)),
        html=_join(pages),
        defects=tuple(dict.fromkeys(defects)),
    )


def _clean(text: str) -> str:
    return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def _join(pages: list[html_text.HtmlText]) -> html_text.HtmlText:
    return html_text.HtmlText(
        _clean("\n".join(page.text for page in pages)),
        tuple(_clean(quoted) for page in pages for quoted in page.quoted),
        tuple(link for page in pages for link in page.links),
        _clean("\n".join(page.frame for page in pages)),
    )


def _fields(header: bytes) -> Iterator[Field]:
    """Split and unfold by hand: the standard library refuses or recurses on crafted fields (libraries 3.3)."""
    logical: list[bytes] = []
    for line in _LINE_END.split(header):
        if line[:1] in {b" ", b"\t"} and logical:
            # No further than is read: to add 30,000 lines to one field copies it 30,000 times.
            if len(logical[-1]) <= LIMIT_HEADER:
                logical[-1] += b"\n" + line[: LIMIT_HEADER + 1]
        else:
            logical.append(line)
    for line in logical:
        if found := _FIELD.match(line[:LIMIT_HEADER]):
            yield Field(found[1].decode("ascii").lower(), found[2].strip())


def _decode_words(raw: bytes) -> str:
    """RFC 2047, forgiving: neighbouring words of one charset are joined as *bytes* before decoding, for mail programs
    split inside a character; raw UTF-8, JIS or CP932 between them is guessed (traps section 2)."""
    pieces: list[tuple[str | None, bytes]] = []
    at = 0
    for word in _WORD.finditer(raw):
        between = raw[at : word.start()]
        if between.strip(b" \t\n") or not pieces or pieces[-1][0] is None:
            pieces.append((None, between))
        charset = word[1].decode("ascii").lower()
        pieces.append((charset, _word_bytes(word[2], word[3])))
        at = word.end()
    pieces.append((None, raw[at:]))
    return "".join(_decode_run(run) for run in _runs(pieces))


def _runs(pieces: list[tuple[str | None, bytes]]) -> Iterator[tuple[str | None, bytes]]:
    charset, data = pieces[0]
    for next_charset, more in pieces[1:]:
        if next_charset == charset:
            data += more
        else:
            yield charset, data
            charset, data = next_charset, more
    yield charset, data


def _decode_run(run: tuple[str | None, bytes]) -> str:
    charset, data = run
    if charset is None:
        # An unfolded line keeps its blank; a folded raw JIS field restarts in ASCII, which decode() knows.
        data = re.sub(rb"\n[ \t]+", b" " if b"\x1b" not in data else b"", data)
    return decode(data, charset).text


def _word_bytes(encoding: bytes, content: bytes) -> bytes:
    if encoding in b"qQ":
        return quopri.decodestring(content.replace(b"_", b"=20"), header=True)
    return _from_base64(content)


def _from_base64(content: bytes) -> bytes:
    """Base64 that may be cut or lack its padding: what can be read is read."""
    content = content.translate(None, _NOT_BASE64)
    whole = len(content) - len(content) % 4
    tail = content[whole:]
    try:
        return b64decode(content[:whole]) + (b64decode(tail + b"=" * (4 - len(tail))) if len(tail) > 1 else b"")
    except Base64Error:
        return b64decode(content[:whole])


def _address(raw: bytes) -> str | None:
    """One mailbox or None (RFC 5322 section 3.4, read by mail-parser)."""
    line = raw[:4096].replace(b"\n", b"")
    if plain := _PLAIN_ADDRESS.fullmatch(line):
        return f"{plain[1].decode()}@{plain[2].decode().lower()}"
    if _CONTROL_BYTES.search(line):
        return None
    return _parsed_address(line)


def _parsed_address(line: bytes) -> str | None:
    # Decoding words first would let an encoded name inject a second address, so mail-parser gets them as they are.
    try:
        found = mailparser.parse_from_bytes(b"From: " + line + b"\r\n\r\n").from_
    except _PARSER_FAULTS:
        # One spam mail with a cut base64 word in its From (HeaderParseError) must not stop a folder.
        return None
    if len(found) != 1 or found[0][1].count("@") != 1:
        return None
    local, _, domain = found[0][1].strip().rpartition("@")
    if not local or not re.fullmatch(r"[0-9A-Za-z\u0080-\uffff.-]+", domain):
        return None
    return f"{local}@{domain.lower().rstrip('.')}"


def _date(raw: bytes) -> datetime | None:
    """RFC 5322 dates, aware UTC. `JST` by name, which the standard library reads as no zone at all, is +0900."""
    text = raw[:200].decode("ascii", "replace").replace("JST", "+0900").replace("\n", " ")
    try:
        when = email.utils.parsedate_to_datetime(re.sub(r"\+0900\s*\(\+0900\)", "+0900", text).strip())
        return when.replace(tzinfo=when.tzinfo or UTC).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _text_parts(tree: MimePart) -> Iterator[_Text]:
    """The text parts that are shown, in order; never into an attached mail, which anyone may attach (libraries 3.3)."""
    stack = [tree]
    while stack:
        part = stack.pop()
        kind = part.get_content_maintype()
        if part.is_multipart():
            if kind == "multipart":
                stack.extend(reversed([child for child in part.get_payload() if isinstance(child, MimePart)]))
        elif kind == "text" and part.get_content_disposition() != "attachment":
            yield _read_part(part)


def _read_part(part: MimePart) -> _Text:
    subtype = "html" if part.get_content_subtype() == "html" else "plain"
    parameters = dict(part.get_params(failobj=[]) or [])
    data, is_cut = _part_bytes(part)
    return _Text(
        subtype,
        data,
        charset=str(parameters["charset"]) if "charset" in parameters else None,
        is_flowed=str(parameters.get("format", "")).lower() == "flowed",
        deletes_space=str(parameters.get("delsp", "")).lower() == "yes",
        is_cut=is_cut,
    )


def _part_bytes(part: MimePart) -> tuple[bytes, bool]:
    """The part's bytes without their transfer encoding, and whether base64 ends in the middle.

    Never the library's idea of their charset; and its base64 gives cut text back undecoded.
    """
    is_base64 = str(part.get("Content-Transfer-Encoding", "")).strip().lower() == "base64"
    if is_base64:
        del part["Content-Transfer-Encoding"]
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return b"", False
    if not is_base64:
        return data, False
    return _from_base64(data), len(data.translate(None, _NOT_BASE64.replace(b"=", b""))) % 4 != 0


def _boundary_is_missing(tree: MimePart) -> bool:
    return tree.get_content_maintype() == "multipart" and not tree.is_multipart()


def _unflow(text: str, deletes_space: bool) -> str:
    """format=flowed (RFC 3676): a line that ends in a blank goes on in the next; a signature mark does not."""
    flowing = r"(?m)^(?!-- \r?$)(.*[^\s]) \r?\n(?!-- \r?$)"
    return re.sub(flowing, r"\1" if deletes_space else r"\1 ", text)
