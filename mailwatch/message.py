"""Mail bytes in, a parsed `Message` out. Total: any bytes give a value, never an exception.

One reader for the header of a mail and of each part in it, so that `scan`, `explain` and `run` read the same: a line
without a colon or a `>From ` line is no end of a header (mysociety/alaveteli#1547). mail-parser reads the address: its
grammar takes one mailbox or none, where the standard library believes `order-update@amazon.co.jp <bad@evil.example>`.
`transfer`, `encoded_words`, `charset` and `html_text` read what is in the parts. Limits come before parsing.
"""

from __future__ import annotations

import email.utils
import hashlib
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.errors import MessageError
from email.message import Message as MimePart
from itertools import islice

import mailparser
from mailparser.exceptions import MailParserError

from mailwatch import encoded_words, html_text, transfer
from mailwatch.charset import decode

LIMIT_MAIL = 4 * 1024 * 1024
LIMIT_TEXT = 256 * 1024
LIMIT_HEADER_BLOCK = 100 * 1024
LIMIT_HEADER = 16 * 1024
LIMIT_DEPTH = 50
LIMIT_PARTS = 200
# Of the text that a gateway has moved into attachments.
LIMIT_ATTACHED = 10
LIMIT_ENCLOSED = 5
# Quoted-printable is three times as long as what it holds.
_LIMIT_ENCODED = 3 * html_text.LIMIT
LIMIT_PART_FIELD = 2000

STILL_ENCODED = "some text is still encoded"
CUT_SHORT = "less of the text came than there is"
_SEALED_PART = "a part can only be opened by another mail program"

# A mail can make mail-parser log its headers, which hold buyers' data.
logging.getLogger("mailparser").setLevel(logging.CRITICAL)

# A line of blanks only is a folded field going on (RFC 5322 section 4.2), not the end of the header, but before a
# boundary.
_BLOCK_END = re.compile(rb"\n\r{0,2}\n|\r\r(?!\n)|\n[ \t]{1,100}\r{0,2}\n(?=--)")
_FIELD = re.compile(rb"^([!-9;-~]+)[ \t]*:[ \t]*(.*)$", re.DOTALL)
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BLANK_LINES = re.compile(rb"(?:\xef\xbb\xbf)?[\r\n]{0,100}")
_CONTROL_BYTES = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CONTAINER = re.compile(rb"^content-type[ \t]*:\s*(?:multipart|message)/", re.IGNORECASE | re.MULTILINE)
_BOUNDARY_LINE = re.compile(rb"^--[^\r\n]", re.MULTILINE)
# Where the named boundary is not in the body: the first line that a part's header follows.
_LIKELY_BOUNDARY = re.compile(
    rb"^--([^\r\n]{1,200})\r{0,3}\n(?:content-[a-z-]{1,30}[ \t]*:|mime-version:)", re.IGNORECASE | re.MULTILINE
)
_PART_HEADER = re.compile(rb"[\r\n]{0,10}content-[a-z-]{1,30}[ \t]{0,10}:", re.IGNORECASE)
_HTML = re.compile(rb"<(?:!doctype|html|head|body|table|div|p)\b", re.IGNORECASE)
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
# Text that is a table, a program or a card, and no mail's own.
NOT_PROSE = frozenset({"csv", "tab-separated-values", "calendar", "vcard", "x-vcard", "directory", "css", "javascript"})
# In a subject, which holds no link; in a text it may be one.
_PERCENT_RUN = re.compile(r"(?:%[89A-Fa-f][0-9A-Fa-f]){6}")
_KIND_BY_NAME = {"eml": "rfc822", "htm": "html", "html": "html", "txt": "plain"}
_SEALED = frozenset(
    f"application/{name}"
    for name in ("ms-tnef", "vnd.ms-tnef", "pkcs7-mime", "x-pkcs7-mime", "pgp-encrypted", "vnd.ms-outlook")
)
# The fields beside From and Subject in which lists, forwarders and alias services leave the true sender.
TRUE_SENDER_FIELDS = (
    "list-id",
    "reply-to",
    "x-original-sender",
    "x-original-from",
    "x-google-original-from",
    "x-simplelogin-original-from",
    "x-anonaddy-original-sender",
    "x-anonaddy-original-from-header",
)


@dataclass(frozen=True, slots=True)
class Field:
    """One header field: its name in lower case and its unfolded raw value."""

    name: str
    raw: bytes

    @property
    def text(self) -> str:
        """The value as a person reads it: encoded words and raw 8-bit or JIS bytes decoded, control characters out."""
        return _CONTROL.sub("", encoded_words.text_of(self.raw)).replace("\n", " ").strip()


@dataclass(frozen=True, slots=True)
class Message:
    """One mail, parsed.

    `address` is the one mailbox of the one From field, domain in lower case, or None where it can't be read with
    certainty. `plain` and `html` hold the readable text, already decoded. `defects` names what could not be read.
    `attached` are the text attachments, not read yet: they are no text of the mail's unless a gateway moved it there.
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
    attached: tuple[Attached, ...] = ()

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


@dataclass(frozen=True, slots=True)
class Attached:
    """One text attachment as it stands in the mail: at most `LIMIT_TEXT` decoded bytes. `is_mail`: a whole mail."""

    part: Text
    is_mail: bool


def parse(mail: bytes) -> Message:
    """Parse a whole mail, of which at most `LIMIT_MAIL` bytes are looked at."""
    mail = _BLANK_LINES.sub(b"", mail[:LIMIT_MAIL], count=1).replace(b"\r\r\n", b"\r\n")
    if b"\n" not in mail:
        mail = mail.replace(b"\r", b"\n")
    header = header_block(mail)
    if len(header) > LIMIT_HEADER_BLOCK:
        return _message(header, [], ["the header block is over 100 KB"])
    if len(_CONTAINER.findall(mail)) > LIMIT_DEPTH or len(_BOUNDARY_LINE.findall(mail)) > 20 * LIMIT_PARTS:
        return _message(header, [], ["the mail has too many parts"])
    leaves = list(_leaves(mail))
    parts = [_read_part(leaf) for leaf in islice(filter(_is_shown, leaves), LIMIT_PARTS)]
    defects = [] if parts else ["the mail has no text part"]
    if any(is_sealed(leaf.main, leaf.subtype, leaf.name) for leaf in leaves):
        defects.append(_SEALED_PART)
    return _message(header, parts, defects, _attached(leaves))


def assemble(
    header: bytes, parts: list[TextPart], attached: list[TextPart] | None = None, *, has_sealed: bool = False
) -> Message:
    """Parse a header block and the text parts fetched on their own, and the text attachments where they were.

    `has_sealed`: another part `is_sealed`.
    """
    texts: list[Text] = []
    for part in parts:
        read = [_read_part(leaf) for leaf in _leaves(part.mime + b"\r\n\r\n" + part.body) if _is_shown(leaf)]
        # Cut by our own limit is no fault of the mail's.
        is_capped = len(part.body) >= LIMIT_TEXT
        texts += [replace(text, is_cut=False) if is_capped else text for text in read]
    moved = [leaf for part in attached or [] for leaf in _leaves(part.mime + b"\r\n\r\n" + part.body)]
    defects = [*([] if texts else ["the mail has no text part"]), *([_SEALED_PART] if has_sealed else [])]
    return _message(header[:LIMIT_MAIL], texts, defects, _attached(moved))


def cut_short(message: Message) -> Message:
    """Return the message with the note that its text lacks an end which the server did not show."""
    return replace(message, defects=(*message.defects, CUT_SHORT))


def read_attached(message: Message) -> tuple[Message, ...]:
    """Return what the text attachments say: one message of all texts, without a header, and each attached mail.

    What these enclose themselves comes behind them, down to `LIMIT_ENCLOSED` mails one in another.
    """
    found: list[Message] = []
    enclosing = [message]
    for _ in range(LIMIT_ENCLOSED):
        attached = [each for outer in enclosing for each in outer.attached][:LIMIT_ATTACHED]
        texts = [each.part for each in attached if not each.is_mail]
        enclosing = [parse(each.part.data) for each in attached if each.is_mail]
        found += [*([_message(b"", texts, [])] if texts else []), *enclosing]
    return tuple(found)


def kind_of_attachment(main: str, subtype: str, name: str, *, is_attachment: bool) -> str | None:
    """Return what an attachment is read as: "rfc822", "html" or "plain"; None for what is no text.

    Gateways and mail programs call mails and texts `application/octet-stream` too: there the file's name tells.
    """
    if main == "message":
        return "rfc822" if subtype in {"rfc822", "global"} else None
    if main == "text":
        kind = "html" if subtype == "html" else "plain"
        return kind if is_attachment and subtype not in NOT_PROSE else None
    return _KIND_BY_NAME.get(name.strip().rpartition(".")[2].lower()) if main == "application" else None


def is_sealed(main: str, subtype: str, name: str) -> bool:
    """Whether a part holds a whole mail in a form that only another mail program opens: TNEF, Outlook's, encrypted."""
    name = name.strip().lower()
    return f"{main}/{subtype}" in _SEALED or name == "winmail.dat" or name.endswith((".msg", ".p7m"))


def header_block(mail: bytes) -> bytes:
    """The bytes before the first empty line."""
    found = _BLOCK_END.search(mail[: LIMIT_HEADER_BLOCK * 2])
    return mail[: found.start()].rstrip(b"\r") if found else mail[: LIMIT_HEADER_BLOCK * 2]


def header_fields(header: bytes) -> tuple[Field, ...]:
    """The fields of a header block, topmost first, unfolded, each cut at 16 KB; other lines are left out."""
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
class Text:
    """One text part without its transfer encoding. `is_cut`: its base64 ends in the middle."""

    subtype: str
    data: bytes
    charset: str | None
    is_flowed: bool = False
    deletes_space: bool = False
    is_cut: bool = False


def _message(header: bytes, parts: list[Text], defects: list[str], attached: tuple[Attached, ...] = ()) -> Message:
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
        # In HTML only what is shown: a picture may stand in an attribute.
        if transfer.still_encoded(pages[-1].text if part.subtype == "html" and "<" in text else text):
            defects = [*defects, STILL_ENCODED]
    subject = first["subject"].text if "subject" in first else ""
    if transfer.still_encoded(subject) or _PERCENT_RUN.search(subject):
        defects = [*defects, STILL_ENCODED]
    elif "\ufffd" in subject:
        defects = [*defects, "the subject could not be read"]
    message_id = first["message-id"].text if "message-id" in first else None
    return Message(
        fields=fields,
        address=address,
        display_name=display,
        subject=subject,
        message_id=message_id or None,
        date=_date(first["date"].raw) if "date" in first else None,
        plain=_clean("\n".join(plain)),
        html=_join(pages),
        defects=tuple(dict.fromkeys(defects)),
        attached=attached,
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
    logical: list[list[bytes]] = []
    for line in _LINE_END.split(header.removeprefix(b"\xef\xbb\xbf").replace(b"\r\r\n", b"\r\n")):
        if line[:1] in {b" ", b"\t"} and logical:
            logical[-1].append(line[: LIMIT_HEADER + 1])
        else:
            logical.append([line])
    for lines in logical:
        if found := _FIELD.match(b"\n".join(lines)[:LIMIT_HEADER]):
            yield Field(found[1].decode("ascii").lower(), found[2].strip())


def _address(raw: bytes) -> str | None:
    """One mailbox or None (RFC 5322 section 3.4, read by mail-parser)."""
    line = raw[:4096].replace(b"\n", b"")
    if plain := _PLAIN_ADDRESS.fullmatch(line):
        return f"{plain[1].decode()}@{plain[2].decode().lower()}"
    if not line.isascii() or b"\x1b" in line:
        # Raw JIS and CP932 hold bytes that are marks to a parser.
        line = decode(line).text.encode("utf-8")
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


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One part that holds no others, or a container whose parts can't be told apart."""

    fields: tuple[Field, ...]
    body: bytes
    main: str
    subtype: str

    def value(self, name: str) -> str:
        """The first field of this name, or ""."""
        return next((each.text for each in self.fields if each.name == name), "")

    @property
    def name(self) -> str:
        """The file name that the part bears, or ""."""
        disposition = MimePart()
        disposition["Content-Type"] = self.value("content-disposition")[:LIMIT_PART_FIELD]
        return _parameters(disposition).get("filename") or _parameters(_declared(self.fields)).get("name", "")

    @property
    def is_attachment(self) -> bool:
        """Whether the part says that it is not to be shown."""
        return self.value("content-disposition").strip("\"' ").casefold().startswith("attachment")


def _leaves(mail: bytes) -> Iterator[_Leaf]:
    """The parts of a mail, in order; never into an attached mail, which anyone may attach."""
    stack = [(mail, 0)]
    while stack:
        entity, depth = stack.pop()
        fields, body = _entity(entity)
        declared = _declared(fields)
        # A type that can't be read is text (RFC 2045 section 5.2).
        main, subtype = declared.get_content_maintype() or "text", declared.get_content_subtype() or "plain"
        if main != "multipart":
            yield _Leaf(fields, body, main, subtype)
            continue
        inside = _split(body, _boundary(declared))
        if not inside:
            # A container is never encoded itself, and some gateways do so all the same.
            body = transfer.decode(body, _Leaf(fields, b"", "", "").value("content-transfer-encoding")).data
            inside = _split(body, _boundary(declared)) or _split(body, _likely_boundary(body))
        if inside and depth < LIMIT_DEPTH:
            stack.extend((part, depth + 1) for part in reversed(inside))
        else:
            yield _undivided(body)


def _undivided(body: bytes) -> _Leaf:
    """Return a container in which its boundary never occurs as one part, by its own header or by what it looks like."""
    fields, text = _entity(body.lstrip(b"\r\n")) if _PART_HEADER.match(body) else ((), body)
    is_html = _declared(fields).get_content_subtype() == "html" or _HTML.search(text[:LIMIT_PART_FIELD])
    return _Leaf(fields, text, "text", "html" if is_html else "plain")


def _entity(entity: bytes) -> tuple[tuple[Field, ...], bytes]:
    """The fields of a part and its body; one that begins with an empty line, or with text, has no field."""
    if empty := _LINE_END.match(entity):
        return (), entity[empty.end() :]
    found = _BLOCK_END.search(entity[: LIMIT_HEADER_BLOCK * 2])
    fields = header_fields(header_block(entity))
    return (fields, entity[found.end() :] if found else b"") if fields else ((), entity)


def _declared(fields: tuple[Field, ...]) -> MimePart:
    """The Content-Type, for the standard library to take apart."""
    declared = MimePart()
    value = next((each.text for each in fields if each.name == "content-type"), "text/plain")
    declared["Content-Type"] = value[:LIMIT_PART_FIELD]
    return declared


def _boundary(declared: MimePart) -> bytes:
    return _parameters(declared).get("boundary", "").rstrip().encode("utf-8", "replace")


def _likely_boundary(body: bytes) -> bytes:
    found = _LIKELY_BOUNDARY.search(body)
    return found[1].rstrip() if found else b""


def _split(body: bytes, boundary: bytes) -> list[bytes]:
    """The parts between the lines of the boundary; what stands before the first is no part (RFC 2046 section 5.1)."""
    if not boundary:
        return []
    line = re.compile(rb"^--" + re.escape(boundary) + rb"(--)?[ \t]{0,100}\r{0,3}(?:\n|\Z)", re.MULTILINE)
    found = list(line.finditer(body))
    ends = [*(each.start() for each in found), len(body)][1:]
    return [
        body[mark.end() : end].removesuffix(b"\n").removesuffix(b"\r")
        for mark, end in zip(found, ends, strict=True)
        if not (mark[1] and (end == len(body) or not body[mark.end() : end].strip()))
    ]


def _is_shown(leaf: _Leaf) -> bool:
    return leaf.main == "text" and not leaf.is_attachment


def _attached(leaves: list[_Leaf]) -> tuple[Attached, ...]:
    """The attached texts and mails, at most `LIMIT_ATTACHED`."""
    found: list[Attached] = []
    for leaf in leaves:
        kind = kind_of_attachment(leaf.main, leaf.subtype, leaf.name, is_attachment=leaf.is_attachment)
        if kind:
            part = replace(_read_part(leaf), subtype="html" if kind == "html" else "plain")
            found.append(Attached(part, is_mail=kind == "rfc822" or _is_mail(part.data)))
    cut = found[:LIMIT_ATTACHED]
    return tuple(replace(each, part=replace(each.part, data=each.part.data[:LIMIT_TEXT])) for each in cut)


def _is_mail(data: bytes) -> bool:
    """Whether a text begins with the header of a mail, as an `.eml` under the name of a text does."""
    header = _BLANK_LINES.sub(b"", data[:LIMIT_HEADER], count=1)
    return {"from", "subject"} <= {each.name for each in header_fields(header_block(header))}


def _read_part(leaf: _Leaf) -> Text:
    parameters = _parameters(_declared(leaf.fields))
    name = parameters.get("charset")
    # Never the library's idea of the bytes' charset; and its base64 gives cut text back undecoded.
    data, is_cut = transfer.decode(leaf.body[:_LIMIT_ENCODED], leaf.value("content-transfer-encoding"), name)
    return Text(
        "html" if leaf.subtype == "html" else "plain",
        data,
        charset=name,
        is_flowed=parameters.get("format", "").lower() == "flowed",
        deletes_space=parameters.get("delsp", "").lower() == "yes",
        is_cut=is_cut and len(leaf.body) <= _LIMIT_ENCODED,
    )


def _parameters(declared: MimePart) -> dict[str, str]:
    """The parameters of a Content-Type; one in the form of RFC 2231 is (charset, language, value)."""
    try:
        found = declared.get_params(failobj=[]) or []
    except _PARSER_FAULTS:
        return {}
    return {name.lower(): str(value[2] if isinstance(value, tuple) else value) for name, value in found}


def _unflow(text: str, deletes_space: bool) -> str:
    """format=flowed (RFC 3676): a line that ends in a blank goes on in the next; a signature mark does not."""
    flowing = r"(?m)^(?!-- \r?$)(.*[^\s]) \r?\n(?!-- \r?$)"
    return re.sub(flowing, r"\1" if deletes_space else r"\1 ", text)
