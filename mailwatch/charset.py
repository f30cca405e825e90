"""Part bytes in, text out: the decoding that Japanese mail needs and that no library of ours does.

Total: any bytes give a text, never an exception. Only the charsets of `_CODECS` are ever used, so a mail can't choose
`zlib` or `utf-7`. Rules and cases: traps section 2 (measured: mail-parser leaves 7bit ISO-2022-JP undecoded; Python has
no codec for CP50220, and its `shift_jis` refuses 髙 and ①).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_JIS = "iso-2022-jp"
_SJIS = "cp932"
_EUC = "euc_jp"
_GB = "gb18030"
_UTF16 = "utf-16"

# The IANA and vendor names seen in Japanese mail, folded by _codec_name; the value is how *we* decode it.
_CODECS = {
    "utf-8": "utf-8", "utf8": "utf-8", "unicode-1-1-utf-8": "utf-8", "cp65001": "utf-8",
    "us-ascii": "ascii", "ascii": "ascii", "ansi-x3.4-1968": "ascii",
    "iso-2022-jp": _JIS, "iso-2022-jp-1": _JIS, "iso-2022-jp-2": _JIS, "iso-2022-jp-3": _JIS, "iso-2022-jp-ms": _JIS,
    "iso-2022-jp-ext": _JIS, "csiso2022jp": _JIS, "cp50220": _JIS, "cp50221": _JIS, "cp50222": _JIS, "jis": _JIS,
    "shift-jis": _SJIS, "shiftjis": _SJIS, "sjis": _SJIS, "x-sjis": _SJIS, "ms-kanji": _SJIS, "csshiftjis": _SJIS,
    "windows-31j": _SJIS, "cswindows31j": _SJIS, "cp932": _SJIS, "ms932": _SJIS, "sjis-win": _SJIS,
    "euc-jp": _EUC, "eucjp": _EUC, "x-euc-jp": _EUC, "x-euc": _EUC, "euc": _EUC, "eucjp-win": _EUC, "eucjp-ms": _EUC,
    "cp51932": _EUC,
    "iso-8859-1": "cp1252", "latin1": "cp1252", "latin-1": "cp1252", "windows-1252": "cp1252", "cp1252": "cp1252",
    "iso-8859-15": "iso8859-15", "latin-9": "iso8859-15",
    "gb2312": _GB, "gbk": _GB, "cp936": _GB, "gb18030": _GB, "x-gbk": _GB, "big5": "cp950", "big5-hkscs": "big5hkscs",
    "cp950": "cp950", "euc-kr": "cp949", "ks-c-5601-1987": "cp949", "cp949": "cp949",
    "utf-16": _UTF16, "utf-16le": "utf-16-le", "utf-16be": "utf-16-be", "unicode": _UTF16,
    "iso-8859-2": "iso8859-2", "windows-1250": "cp1250", "iso-8859-9": "cp1254", "windows-1254": "cp1254",
}  # fmt: skip

# ESC sequences of RFC 1468, RFC 1554 and JIS X 0201 as Windows writes them (CP50220/50221), and SO/SI (CP50222).
_ESCAPE = re.compile(rb"\x1b\$[@B]|\x1b\$\([DOPQ]|\x1b\([BJIH]|\x0e|\x0f|\r?\n")
_HAS_ESCAPE = re.compile(rb"\x1b(?:\$[@B]|\$\(D|\([BJI])")
# Of runs of bytes that ISO-2022-JP has no place for; a mail has them by the line, a hostile one by the byte.
_MOST_GUESSES = 2000
_NOT_SJIS = re.compile("[\x80\xa0\uf8f0-\uf8f3]")
# Those that read nearly any even number of bytes: where the bytes are UTF-8, they are no such text.
_BELIEVED_LAST = {_GB, "cp950", "big5hkscs", "cp949", _UTF16, "utf-16-le", "utf-16-be"}
_LATIN = {"cp1252", "iso8859-15", "iso8859-2", "cp1250", "cp1254"}
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa]")
_HALF_KANA = re.compile("[\uff61-\uff9f]")
_JAPANESE = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")


class Decoded(NamedTuple):
    """The text, and whether it was read without loss (False: some of it is U+FFFD)."""

    text: str
    clean: bool


def decode(data: bytes, declared: str | None = None) -> Decoded:
    """Decode the bytes of one part or header.

    `declared` is the charset the mail names, in any spelling, or None. It is tried first, strictly; a wrong or unknown
    name is not believed. Bytes cut in the middle of a character (a capped fetch) count as clean.
    """
    codec = _CODECS.get(_codec_name(declared))
    if _HAS_ESCAPE.search(data) and (codec in {None, "ascii", "utf-8", _JIS} or data.isascii()):
        return _decode_jis(data)
    if codec in _LATIN and (japanese := _japanese_under_latin(data)) is not None:
        return Decoded(japanese, clean=True)
    if codec in _BELIEVED_LAST and b"\x00" not in data and (utf8 := _strictly(data, "utf-8")) is not None:
        return Decoded(utf8, clean=True)
    if codec and (text := _strictly(data, codec)) is not None:
        return Decoded(text, clean=True)
    if codec and (nearly := _nearly(data, codec)) is not None:
        return Decoded(nearly, clean=False)
    return _guess(data)


def _japanese_under_latin(data: bytes) -> str | None:
    """Any bytes are some Latin text: with that declaration a strict multi-byte reading that gives kana is believed."""
    if data.isascii():
        return None
    readings = (_strictly(data, codec) for codec in ("utf-8", _EUC, _SJIS))
    found = [text for text in readings if text and len(_KANA.findall(text)) >= 3]
    return max(found, key=_how_japanese) if found else None


def _codec_name(declared: str | None) -> str:
    return (declared or "").strip(" \t\"'").lower().replace("_", "-")


def _strictly(data: bytes, codec: str) -> str | None:
    if codec == _EUC:
        return _euc(data)
    if codec == _JIS:
        return None if any(byte > 0x7F for byte in data) else data.decode("ascii")
    text = _whole_characters(data, codec)
    # Python reads 0x80, 0xA0 and 0xFD-0xFF of cp932 as control and private-use characters: not Japanese.
    return None if text and codec == _SJIS and _NOT_SJIS.search(text) else text


def _whole_characters(data: bytes, codec: str) -> str | None:
    """The text, without a last character that was cut; None where something else can't be decoded."""
    try:
        return data.decode(codec)
    except UnicodeDecodeError as fault:
        is_cut = "unexpected end" in fault.reason or fault.reason == "incomplete multibyte sequence"
        at_the_end = 0 < len(data) - 3 <= fault.start or (fault.start > 0 and fault.end == len(data))
        return data[: fault.start].decode(codec) if is_cut and at_the_end else None


def _nearly(data: bytes, codec: str) -> str | None:
    """The declared charset with a few damaged characters (at most 2 % of those beyond ASCII): still the right one."""
    if codec in {_JIS, _EUC, "ascii"} | _BELIEVED_LAST:
        return None
    text = _NOT_SJIS.sub("\ufffd", data.decode(codec, "replace"))
    beyond = sum(character > "\x7f" for character in text)
    return text if text.count("\ufffd") * 50 <= beyond else None


def _guess(data: bytes) -> Decoded:
    """No believable declaration: UTF-8, then whichever of CP932 and EUC-JP reads as Japanese, else UTF-8 with loss."""
    if (utf8 := _strictly(data, "utf-8")) is not None:
        return Decoded(utf8, clean=True)
    readings = [text for codec in (_SJIS, _EUC) if (text := _strictly(data, codec)) is not None]
    if readings:
        return Decoded(max(readings, key=_how_japanese), clean=True)
    if (nearly := _nearly(data, "utf-8")) is not None:
        return Decoded(nearly, clean=False)
    lossy = (_NOT_SJIS.sub("\ufffd", data.decode(codec, "replace")) for codec in ("utf-8", _SJIS, _EUC))
    return Decoded(max(lossy, key=_how_japanese), clean=False)


def _how_japanese(text: str) -> int:
    """EUC-JP read as CP932 is all half-width kana; the reading with more real Japanese and less of that is right."""
    return len(_JAPANESE.findall(text)) - len(_HALF_KANA.findall(text)) - text.count("\ufffd")


def _decode_jis(data: bytes) -> Decoded:
    text = "".join(_jis_pieces(data))
    return Decoded(text, clean="\ufffd" not in text)


def _jis_pieces(data: bytes) -> Iterator[str]:
    """The text between the escape sequences, each run by its own character set (RFC 1468)."""
    mode, at = b"\x1b(B", 0
    guesses = 0
    for found in _ESCAPE.finditer(data):
        run = data[at : found.start()]
        guesses += not run.isascii()
        yield _jis_run(mode, run, may_guess=guesses <= _MOST_GUESSES)
        at = found.end()
        if found.group().endswith(b"\n"):
            # RFC 1468: every line ends in ASCII; a lost ESC ( B must not swallow the next line.
            mode = b"\x1b(B"
            yield "\n"
        else:
            mode = found.group()
    yield _jis_run(mode, data[at:], may_guess=guesses <= _MOST_GUESSES)


def _jis_run(mode: bytes, run: bytes, *, may_guess: bool) -> str:
    if not run:
        return ""
    if mode in {b"\x1b$@", b"\x1b$B"}:
        return "".join(_jis_pair(run[i], run[i + 1]) for i in range(0, len(run) - 1, 2))
    if mode == b"\x1b$(D":
        return (b"\x1b$(D" + run).decode("iso2022_jp_1", "replace")
    if mode in {b"\x1b(I", b"\x0e"}:
        return bytes(byte | 0x80 for byte in run).decode(_SJIS, "replace")
    return _guess(run).text if may_guess and not run.isascii() else run.decode("utf-8", "replace")


def _jis_pair(row: int, cell: int) -> str:
    """One JIS X 0208 pair through CP932, which knows rows 13 (①㈱) and the NEC and IBM extensions (髙)."""
    row, cell = row & 0x7F, cell & 0x7F
    if not (0x21 <= row <= 0x7E and 0x21 <= cell <= 0x7E):
        return "\ufffd"
    lead = ((row - 0x21) >> 1) + (0x81 if row < 0x5F else 0xC1)
    if row & 1:
        trail = cell + (0x1F if cell < 0x60 else 0x20)
    else:
        trail = cell + 0x7E
    return bytes((lead, trail)).decode(_SJIS, "replace")


_EUC_RUN = re.compile(rb"[\x00-\x7f]+|\x8e[\xa1-\xdf]|\x8f[\xa1-\xfe]{2}|[\xa1-\xfe]{2}")


def _euc(data: bytes) -> str | None:
    """EUC-JP with the vendor rows that Python's codec refuses; None when it is not EUC-JP."""
    pieces: list[str] = []
    at = 0
    while at < len(data):
        found = _EUC_RUN.match(data, at)
        if found is None:
            return "".join(pieces) if at >= len(data) - 2 and at > 0 else None
        pieces.append(_euc_run(found.group()))
        at = found.end()
    text = "".join(pieces)
    return None if "\ufffd" in text else text


def _euc_run(run: bytes) -> str:
    if run[0] < 0x80:
        return run.decode("ascii")
    if run[0] == 0x8E:
        return run[1:].decode(_SJIS, "replace")
    if run[0] == 0x8F:
        return run.decode(_EUC, "replace")
    return _jis_pair(run[0], run[1])
