"""Transfer-encoded bytes in, bytes out: base64 and quoted-printable (RFC 2045 section 6), read as the body shows them.

The declared encoding is a hint. Gateways lose it, decorate it, misspell it or contradict it (emersion/go-message#122),
so a body that plainly is base64 or quoted-printable is decoded whatever it is called. Total and linear: any bytes give
a value.
"""

from __future__ import annotations

import binascii
import quopri
import re
from collections.abc import Iterator
from typing import NamedTuple

from mailwatch import charset

_BASE64_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
_NOT_BASE64 = bytes(byte for byte in range(256) if byte not in _BASE64_BYTES)
_PIECE = re.compile(rb"([0-9A-Za-z+/]+)(=*)")
_USUAL = bytes.maketrans(b"-_", b"+/")
_UUENCODED = re.compile(
    rb"^begin [0-7]{3} [^\r\n]{1,200}\r?\n(?:[!-`][ -`]{0,90}\r?\n)+(?:end\b[^\r\n]*)?", re.MULTILINE
)
# Two escapes in a row, or one at the end of a line that goes on: no base64 has that, for its `=` ends a piece.
_QUOTED_LINE = re.compile(rb"=[0-9A-Fa-f]{2}=(?:[0-9A-Fa-f]{2}|\s|$)")
# Three characters beyond ASCII in a row, or the beginning of a JIS run, which ASCII text never shows like this.
_QUOTED_RUN = re.compile(rb"(?:=[89A-Fa-f][0-9A-Fa-f](?:=\r?\n)?){3}|=1[Bb](?:\$|=24)")
_QUOTED_SIGN = re.compile(rb"=3[Dd]|=20\r?\n|=0[9Aa]")
# In quoted-printable every `=` is an escape or ends its line; in quoted headers and links it stands for itself.
_ESCAPE = re.compile(rb"=[0-9A-Fa-f]{2}|=[ \t]{0,20}\r?\n")
_BLANKS_BEHIND = re.compile(rb"=[ \t]{1,20}(?=\r?\n)")
_LONE_CR = re.compile(rb"\r(?!\n)")
_SOFT_BREAK = re.compile(rb"[^\r\n]=\r?\n")
# Control and private-use characters.
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f\ue000-\uf8ff]")
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa]")
_KANA_RUN = re.compile(_KANA.pattern + "{3}")
# Below 16 characters an ordinary word is base64 too; a word never decodes to readable text above that.
_SHORTEST = 16
# Twelve digits in a row come out of no other bytes by chance.
_LONG_NUMBER = re.compile(rb"[0-9-]{12}")
# Below this length only that, UTF-8 and JIS prove that text came out: any bytes are some text in the other charsets.
_LONG = 60
_LINES_IN_A_ROW = 3

_LEFT_WORD = re.compile(
    r"=[ ]?\?[ ]?[0-9A-Za-z._:+-]{1,40}(?:\*[^?\s]{0,20})?[ ]?\?[ ]?[bBqQ][ ]?\?"
    r"|(?:utf-?8|iso-[0-9]{4}-[0-9a-z]{1,3}|shift_jis|euc-jp|windows-[0-9a-z]{3,4})[\"'; ]{0,3}\?[ ]?[bq]?[ ]?\?"
    r"|=\?(?:utf-?8|iso-[0-9]{4}-[0-9a-z]{1,3}|shift_jis|euc-jp|windows-[0-9a-z]{3,4})\?[0-9a-z+/=_-]{8,4000}\?="
    r"|''(?:%[0-9a-f]{2}){3}",
    re.IGNORECASE,
)
_LEFT_RUN = re.compile(r"(?:=[0-9A-Fa-f]{2}){3}")
# UTF-8 that was taken for Latin and encoded again: `ã‚­ãƒ£ãƒ³`.
_LEFT_MOJIBAKE = re.compile("(?:\u00e3[\u0080-\u00bf\ufffd\u0152-\u017e\u0192\u02c6\u02dc\u2013-\u20ac\u2122]{2}){3}")
_LEFT_REFERENCES = re.compile(r"(?:&#(?:1[23][0-9]{3}|x30[4-9A-Fa-f][0-9A-Fa-f]);){3}")
# ISO-2022-JP whose escapes lost their first byte, and UTF-7: only where they hold kana.
_JIS_END = re.compile(r"\([BJ]")
_LONGEST_JIS = 160
_JIS_KANA = re.compile(r"(?:..)*?(?:[$%][!-v]){3}", re.DOTALL)
_LEFT_UTF7 = re.compile(r"\+([0-9A-Za-z+/]{8,4000})")
_LEFT_LINE = re.compile(r"[ \t>]{0,20}[0-9A-Za-z+/]{60,4000}={0,2}[ \t]{0,20}")


class Body(NamedTuple):
    """The decoded bytes, and whether base64 ends in the middle."""

    data: bytes
    is_cut: bool = False


def decode(body: bytes, declared: str, charset_name: str | None = None) -> Body:
    """Return the body without its transfer encoding.

    `declared` is the value of Content-Transfer-Encoding in any spelling, or "". `charset_name` is the declared charset;
    it only helps to tell whether what comes out is text.
    """
    name = re.sub(r"[^a-z0-9]", "", declared.casefold())
    if "uue" in name:
        return Body(_from_uuencode(body))
    body = _UUENCODED.sub(_uuencoded_text, body)
    body = _usual_alphabet(body, charset_name)
    if "base64" in name or name == "b64":
        found = _from_base64_lines(body, charset_name, is_declared=True)
    elif is_base64(body, charset_name):
        found = _from_base64_lines(body, charset_name, is_declared=False)
    elif "quoted" in name or name == "qp":
        found = Body(_from_quoted_printable(body))
    else:
        found = _from_base64_lines(body, charset_name, is_declared=False)
    # A relay that encoded once more is told by the same signs.
    data = _from_quoted_printable(found.data) if is_quoted_printable(found.data) else found.data
    return Body(_from_base64_lines(data, charset_name, is_declared=False).data, found.is_cut)


def is_base64(body: bytes, charset_name: str | None = None) -> bool:
    """Whether the whole body is base64 of text."""
    lines = [line for line in body.splitlines() if line.strip()]
    return bool(lines) and all(map(_is_base64_line, lines)) and _gives_text(b"".join(lines), charset_name)


def is_quoted_printable(body: bytes) -> bool:
    """Whether the body plainly is quoted-printable: a run of escapes, or soft line breaks beside escaped `=`."""
    escapes = len(_ESCAPE.findall(body))
    if (body.count(b"=") - escapes) * 10 > escapes:
        return False
    return _QUOTED_RUN.search(body) is not None or (
        _SOFT_BREAK.search(body) is not None and _QUOTED_SIGN.search(body) is not None
    )


def from_base64(content: bytes) -> Body:
    """Return what can be read of base64 that may be cut, lack its padding, or come in padded pieces.

    Each piece that ends in `=` is decoded by itself: some encoders pad every line (python/cpython#137687).
    """
    pieces: list[bytes] = []
    is_cut = False
    for found in _PIECE.finditer(content.translate(None, _NOT_BASE64)):
        spare = len(found[1]) % 4
        is_cut = spare != 0 and len(found[2]) < 4 - spare
        kept = found[1][: len(found[1]) - 1] if spare == 1 else found[1]
        pieces.append(binascii.a2b_base64(kept + b"=" * (-len(kept) % 4)))
    return Body(b"".join(pieces), is_cut)


def still_encoded(text: str) -> bool:
    """Whether text that was decoded still shows an encoding.

    Encoded words, lines of base64, runs of escapes or of character references; UTF-7, JIS without its escapes, and
    UTF-8 that was encoded twice.
    """
    if any(left.search(text) for left in (_LEFT_WORD, _LEFT_RUN, _LEFT_MOJIBAKE, _LEFT_REFERENCES)):
        return True
    if any(_JIS_KANA.match(_before(text, found.start())) for found in _JIS_END.finditer(text)):
        return True
    if any(_KANA_RUN.search(_utf7(found[1])) for found in _LEFT_UTF7.finditer(text)):
        return True
    in_a_row = 0
    for line in text.splitlines():
        in_a_row = in_a_row + 1 if _LEFT_LINE.fullmatch(line) else 0
        if in_a_row == _LINES_IN_A_ROW:
            return True
    return False


def _before(text: str, end: int) -> str:
    """What stands between the last beginning of a JIS run and its end at `end`, without their escapes; or ""."""
    earliest = max(0, end - _LONGEST_JIS)
    start = max(text.rfind(mark, earliest, end) for mark in ("$B", "$@"))
    return text[start + 2 : end] if start >= 0 else ""


def _from_quoted_printable(body: bytes) -> bytes:
    """Decode it with blanks that a relay left behind a soft break, and with line ends of CR alone."""
    return quopri.decodestring(_BLANKS_BEHIND.sub(b"=", _LONE_CR.sub(b"\n", body)))


def _utf7(content: str) -> str:
    """The characters of a run of UTF-7 between `+` and `-` (RFC 2152)."""
    return from_base64(content.encode("ascii")).data.decode("utf-16-be", "replace")


def _from_base64_lines(body: bytes, charset_name: str | None, *, is_declared: bool) -> Body:
    """Decode the groups of base64 lines and leave the others: gateways put plain lines above and below base64."""
    groups = list(_groups(body))
    is_all = is_declared and all(sort for sort, _ in groups)
    pieces: list[bytes] = []
    is_cut = False
    for is_base64_group, lines in groups:
        joined = b"".join(lines)
        start, end = _readable(lines, charset_name) if is_base64_group else (0, 0)
        if not end and is_base64_group and (is_all or (is_declared and len(joined) >= _LONG * _LINES_IN_A_ROW)):
            end = len(lines)
        if end:
            data, is_cut = from_base64(b"".join(lines[start:end]))
            plain = b"".join(lines[:start]), b"".join(lines[end:])
            joined = b"".join([plain[0], data, b"\n" if plain[1] or len(groups) > 1 else b"", plain[1]])
        pieces.append(joined)
    return Body(b"".join(pieces), is_cut)


def _readable(lines: list[bytes], charset_name: str | None) -> tuple[int, int]:
    """(first, behind the last) of the lines that are base64 of text; (0, 0) where none are.

    A single word above or below is base64 by its letters only, and would shift all that follows it.
    """
    whole = b"".join(lines)
    if _gives_text(whole, charset_name):
        return 0, len(lines)
    if len(whole.translate(None, _NOT_BASE64)) % 4 == 0:
        return 0, 0
    said = [number for number, line in enumerate(lines) if line.strip()]
    for start, end in ((said[0] + 1, len(lines)), (0, said[-1])):
        if _gives_text(b"".join(lines[start:end]), charset_name):
            return start, end
    return 0, 0


def _groups(body: bytes) -> Iterator[tuple[bool, list[bytes]]]:
    """(whether they are base64, lines): runs of lines of one sort; blank lines belong to the run they stand in."""
    sort, lines = True, list[bytes]()
    for line in body.splitlines(keepends=True):
        if line.strip() and _is_base64_line(line) != sort:
            if lines:
                yield sort, lines
            sort, lines = not sort, []
        lines.append(line)
    yield sort and any(line.strip() for line in lines), lines


def _is_base64_line(line: bytes) -> bool:
    """Whether the line is base64 and nothing else; one stray byte in forty is damage."""
    line = line.strip().replace(b"= ", b"=")
    if b"====" in line:  # a rule across the page
        return False
    odd = len(line.translate(None, bytes(_BASE64_BYTES)))
    return odd * 40 <= len(line) and not _QUOTED_LINE.search(line)


def _gives_text(content: bytes, charset_name: str | None) -> bool:
    content = content.translate(None, b" \t\r\n")
    data = from_base64(content).data
    if len(data) * 4 < _SHORTEST * 3:
        return False
    if len(content) < _LONG and not (_is_utf8_or_jis(data) or _LONG_NUMBER.search(data)):
        return False
    text, is_clean = charset.decode(data, charset_name)
    if not is_clean or _NO_TEXT.search(text):
        return False
    return _is_utf8_or_jis(data) or len(_KANA.findall(text)) >= 3 or sum(map(str.isascii, text)) * 2 > len(text)


def _is_utf8_or_jis(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _usual_alphabet(body: bytes, charset_name: str | None) -> bytes:
    """The body, or what it is in the usual letters where the whole of it is base64 in those of RFC 4648 section 5."""
    if b"-" not in body and b"_" not in body:
        return body
    usual = body.translate(_USUAL)
    return usual if is_base64(usual, charset_name) else body


def _uuencoded_text(found: re.Match[bytes]) -> bytes:
    """Uuencoded text that nothing declares; what is no text stays as it is."""
    data = _from_uuencode(found[0])
    return data + b"\n" if _is_utf8_or_jis(data) else found[0]


def _from_uuencode(body: bytes) -> bytes:
    lines = body.splitlines()
    begins = next((number for number, line in enumerate(lines) if line.startswith(b"begin ")), None)
    if begins is None:
        return body
    pieces: list[bytes] = []
    for line in lines[begins + 1 :]:
        if line.strip() == b"end":
            break
        # As uudecode does: the length byte says how much of the line counts.
        wanted = (((line[0] - 32) & 63) * 4 + 5) // 3 if line else 0
        pieces.append(_uu_line(line) or _uu_line(line[:wanted]))
    return b"".join(pieces)


def _uu_line(line: bytes) -> bytes:
    """The bytes of one line, never more than its characters hold: a length byte alone would make 63 zeros."""
    try:
        return binascii.a2b_uu(line)[: (len(line) * 3) // 4]
    except binascii.Error:
        return b""
