"""A copy of a mail in which nobody can be found any more, for a seller to send in an unknown form.

Replaced, the same by the same everywhere: order IDs and other numbers digit by digit, addresses but Amazon's own
functional ones, the buyer's name and any other before 様, what stands in links beyond the host. The buyer's own words
keep only cancelling words and marks, what stands behind labels as お届け先 only marks. Header fields that say who or by
which way are left out or made anew. Amazon's own fields and display name, the tree of parts, layout and every other
word stay, for they are what makes a form. All text is written as UTF-8 that a person can read,
in the header too (RFC 6532).
"""

from __future__ import annotations

import email.policy
import hashlib
import re
import secrets
from email.message import Message as MimePart

from mailwatch import persons
from mailwatch.amazon import sender, wish, words
from mailwatch.amazon.sender import Sender
from mailwatch.amazon.template import TYPE_HEADER, Templates
from mailwatch.charset import decode
from mailwatch.message import LIMIT_MAIL, LIMIT_PART_FIELD, Field, Message, header_block, header_fields, parse

_KEPT = ("from", "subject", "date", "mime-version", "content-type", "content-transfer-encoding")
# What Amazon's own fields may hold; anything else in them is left out.
_AMAZONS_FIELDS = {
    TYPE_HEADER.lower(): re.compile(r"[A-Z0-9_]{1,60}"),
    "x-marketplace-id": re.compile(r"[A-Z0-9]{8,20}"),
}
# Bounded (RFC 5321 section 4.5.3.1: 64 and 255 octets), for each letter of a long word may begin one.
_ADDRESS = re.compile(r"[0-9A-Za-z._%+-]{1,128}@[0-9A-Za-z.-]{1,255}\.[A-Za-z]{2,}")
_LINK = re.compile(r"(https?://[0-9A-Za-z.-]+)(/[^\s\"'<>]*)")
_DIGITS = re.compile("[0-9\uff10-\uff19]+")
_TOKEN = re.compile(r"(?<![0-9A-Za-z_-])[0-9A-Za-z_-]{8,200}(?![0-9A-Za-z_-])")
_NAME_LETTER = "[\u3005\u30a1-\u30fa\u30fc\u4e00-\u9fffA-Za-z]"
# Not お客様, which says whose mail it is.
_NAME = re.compile(
    rf"(?!(?<=お)客[様さ]){_NAME_LETTER}{{1,12}}(?:[ \u3000]{_NAME_LETTER}{{1,12}})?(?=\s?(?:様|さま|さん))"
)
_FOLD = re.compile(r"[ \t]{0,100}\r?\n[ \t]{0,100}")
_FUNCTIONAL = re.compile(r"^[a-z][a-z-]{2,40}$")
_OF_A_PART = {"content-type", "content-transfer-encoding", "content-disposition"}
_LONGEST_SEARCH = 5000
_DELIVERY_STATUS = re.compile(r"^(\s*message/)delivery-status", re.IGNORECASE)
# Each is looked for in the whole text; a mail in which the buyer wrote more is no form, and keeps no letter.
_MOST_LINES = 2000
_LETTER = re.compile(r"[^\W\d_]")
# Of HTML's references those by number are letters too, those by name (&nbsp;) are layout.
_LETTER_OR_DIGIT = re.compile(r"(&[A-Za-z]{2,8};)|&#\w{1,8};|[^\W_]")


def copy(mail: bytes, templates: Templates) -> bytes:
    """The anonymised mail, with a header that says so."""
    mail = mail[:LIMIT_MAIL]
    replaced = _Replaced(parse(mail), templates)
    tree = _tree(mail)
    for part in tree.walk():
        _strip(part)
        if part.is_multipart():
            continue
        if part.get_content_maintype() == "text":
            _rewrite(part, replaced)
        elif part is not tree or part.get_content_maintype() != "multipart":
            part.set_payload("")
    if tree.get_content_maintype() == "multipart" and not tree.is_multipart():
        # No line has its boundary: it is one text. The library can't write it.
        body = _text(tree, replaced).encode("utf-8", "replace")
        del tree["Content-Transfer-Encoding"]
    else:
        body = tree.as_bytes(policy=email.policy.compat32).split(b"\n\n", 1)[-1]
    return _header(mail, tree, replaced) + b"\r\n\r\n" + body


class _Bounded(email.policy.Compat32):
    """The library's own reading of a part's header, but for two things that a mail can make it pay for.

    Its reading of a field's parameters is quadratic: 256 KB of `;` took 31 s. And it makes a message of each empty line
    in a delivery report: 4 MB of them took 1.2 GB.
    """

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        return name, _DELIVERY_STATUS.sub(r"\1x-delivery-status", value[:LIMIT_PART_FIELD])


def _tree(data: bytes) -> MimePart:
    """Split a mail into its parts by the standard library, which can write them down again, at a bounded cost."""
    return email.message_from_bytes(data, policy=_Bounded())


class _Replaced:
    """Consistent within one copy, different in the next: nothing can be looked up."""

    def __init__(self, parsed: Message, templates: Templates) -> None:
        self._key = secrets.token_bytes(16)
        origin = sender.classify(parsed.display_name, parsed.address)
        self.is_buyer = origin.sender is Sender.BUYER
        self.is_amazon = origin.is_amazon and not self.is_buyer
        own = wish.own_words(parsed.plain, parsed.html, templates)
        lines = zip(own.words.split("\n"), _masked(own.words).split("\n"), strict=True) if self.is_buyer else ()
        self.true_sender = sender.true_sender(parsed.fields, parsed.address)
        display = "" if self.is_amazon or self.true_sender else parsed.display_name
        self._names = persons.names(display, (parsed.plain, parsed.html.text))
        self._own = {line.strip(): masked.strip() for line, masked in lines if line.strip()}

    def text(self, text: str) -> str:
        """The text with everything that names somebody replaced."""
        if len(self._own) > _MOST_LINES:
            return _LETTER_OR_DIGIT.sub(_circle, text)
        for line, masked in self._own.items():
            text = text.replace(line, masked)
        text = _without_values(text)
        if self._names:
            text = self._names.sub("購入者", text)
        text = _LINK.sub(lambda found: found[1] + "/…", text)
        text = _ADDRESS.sub(lambda found: self.address(found[0]), text)
        text = _NAME.sub("購入者", text)
        text = _TOKEN.sub(lambda found: self._token(found[0]), text)
        return _DIGITS.sub(lambda found: self._number(found[0]), text)

    def address(self, address: str) -> str:
        """Amazon's functional addresses stay; any other local part becomes another."""
        local, _, domain = address.rpartition("@")
        origin = sender.classify("", address.lower())
        if origin.is_amazon and _FUNCTIONAL.match(local) and origin.sender is not Sender.BUYER:
            return address
        return f"{self._digest(local)[:15]}@{domain if origin.is_amazon else 'example.com'}"

    def _number(self, digits: str) -> str:
        """Short numbers stay (quantities, parts of a date); long ones become others of the same length."""
        if len(digits) < 5:
            return digits if len(digits) != 3 else self._other(digits)
        return self._other(digits)

    def _other(self, digits: str) -> str:
        made = int(self._digest(digits), 16)
        return str(made)[-len(digits) :].rjust(len(digits), "7")

    def _token(self, token: str) -> str:
        """Letters and digits together name something; a word or a number alone is left to the others."""
        if token.isalpha() or not any(letter.isalpha() for letter in token) or not any(c.isdigit() for c in token):
            return token
        return self._digest(token)[: len(token)].upper() if token.isupper() else self._digest(token)[: len(token)]

    def _digest(self, text: str) -> str:
        return hashlib.blake2b(text.encode("utf-8", "replace"), key=self._key).hexdigest()


def _without_values(text: str) -> str:
    """The text with every letter and digit as 〇 that stands behind the label of a name, an address or a telephone."""
    pieces, at = [], 0
    for value in persons.values(text):
        pieces += [text[at : value.start], _LETTER_OR_DIGIT.sub(_circle, text[value.start : value.end])]
        at = value.end
    return "".join([*pieces, text[at:]])


def _circle(found: re.Match[str]) -> str:
    return found[1] or "〇"


def _masked(own_words: str) -> str:
    """The buyer's words with every letter as 〇, but those of the word that asks to cancel, as it was written."""
    word = wish.asks(own_words)
    start, end = _place(own_words, word) if word else (0, 0)
    before, kept, after = own_words[:start], own_words[start:end], own_words[end:]
    return _LETTER.sub("〇", before) + kept + _LETTER.sub("〇", after)


def _place(text: str, word: str) -> tuple[int, int]:
    """From where to where a normalised word stands in a text as written: half-width, wrapped, with blanks in it."""
    for start in range(min(len(text), _LONGEST_SEARCH)):
        for end in range(start + 1, min(start + 3 * len(word) + 3, len(text)) + 1):
            if words.compact(text[start:end]) == word:
                return start, end
    return 0, 0


def _strip(part: MimePart) -> None:
    """Take out what is no form: the fields of an attached mail, names of files, words before and after the parts."""
    part.preamble = part.epilogue = None
    for name in {name.lower() for name in part} - _OF_A_PART:
        del part[name]
    part.del_param("name")
    part.del_param("filename", header="Content-Disposition")


def _rewrite(part: MimePart, replaced: _Replaced) -> None:
    """Replace a part's text in place, as UTF-8 without a transfer encoding."""
    text = _text(part, replaced)
    part.set_param("charset", "utf-8")
    del part["Content-Transfer-Encoding"]
    part["Content-Transfer-Encoding"] = "8bit"
    part.set_payload(text.encode("utf-8", "replace").decode("ascii", "surrogateescape"))


def _text(part: MimePart, replaced: _Replaced) -> str:
    data = part.get_payload(decode=True)
    charset = str(part.get_param("charset", "utf-8"))
    return replaced.text(decode(data if isinstance(data, bytes) else b"", charset).text)


def _header(mail: bytes, tree: MimePart, replaced: _Replaced) -> bytes:
    """The few fields that a form is known by."""
    lines = ["X-Mailwatch-Sample: anonymised"]
    written = {name.lower() for name in tree}
    for field in header_fields(header_block(mail)):
        if field.name in _KEPT and field.name not in written:
            lines.append(f"{field.name.title()}: {_value(field, replaced)}")
        elif (allowed := _AMAZONS_FIELDS.get(field.name)) and allowed.fullmatch(field.text):
            lines.append(f"{field.name.title()}: {field.text}")
    if replaced.true_sender:
        lines.append(f"X-Original-Sender: {replaced.address(replaced.true_sender)}")
    lines += [f"{name}: {value}" for name, value in tree.items()]
    return "\r\n".join(_FOLD.sub(" ", line) for line in lines).encode("utf-8", "replace")


def _value(field: Field, replaced: _Replaced) -> str:
    if field.name == "subject":
        return replaced.text(field.text)
    if field.name != "from":
        return field.raw.decode("ascii", "replace")
    found = _ADDRESS.search(field.text)
    address = replaced.address(found[0]) if found else "unreadable"
    return f'"{_display(field.text, replaced)}" <{address}>'


def _display(text: str, replaced: _Replaced) -> str:
    """Return Amazon's own name as it is; of any other sender only whether it calls itself Amazon."""
    name = text.rpartition("<")[0].strip(' \t"')
    if replaced.is_amazon and name:
        return re.sub(r'[\\"]', "", replaced.text(name))
    return "Amazon" if "amazon" in text.lower() and not replaced.is_buyer else "購入者"
