"""A raw header value in, its text out: RFC 2047 with the faults that mail programs and gateways make.

Read anyway: blanks in the head of a word (postalsys/postal-mime#68), the encoding written out (`?base64?`), a raw `?`
inside Q, a cut end, a word folded in its middle, B content under Q and the other way round, a word that was encoded
twice.
"""

from __future__ import annotations

import quopri
import re
from collections.abc import Iterator

from mailwatch import transfer
from mailwatch.charset import decode

_HEAD = re.compile(
    rb"=(?:3D)?[ ]?\?[ \t\"']{0,3}([0-9A-Za-z._:+-]{0,40})(?:\*[^?]{0,20})?[ \t\n\"';]{0,3}"
    rb"\?[ \t\n]{0,3}((?:b(?:ase[-_ ]?64)?|q(?:uoted[-_ ]?printable)?|qp)?)[ \t]{0,3}\?(?:\?(?!=))?",
    re.IGNORECASE,
)
# The end of a Q word is not followed by an escape's digits: `?=E6=B3` is a raw `?` and an escape.
_END_OF_Q = re.compile(rb"\?=(?![0-9A-Fa-f]{2}=)")
_END_OF_B = re.compile(rb"\?(?:[ ]?=)?")
_CUT_B = re.compile(rb"(?:[0-9A-Za-z+/=_-]|\n[ \t])*")
_CUT_Q = re.compile(rb"(?:[^ \t\n]|\n[ \t])*")
_FOLD = re.compile(rb"\n[ \t]+")
_ESCAPES = re.compile(rb"(?:=[0-9A-Fa-f]{2}){2}")


def text_of(raw: bytes) -> str:
    """Return the value as text.

    Neighbouring words of one charset are joined as *bytes* before decoding, because mail programs split inside a
    character; raw UTF-8, JIS or CP932 between words is guessed.
    """
    text = _decoded(raw)
    return _decoded(text.encode("utf-8", "replace")) if "=?" in text and "=?" not in _outside(raw) else text


def _decoded(raw: bytes) -> str:
    pieces: list[tuple[str | None, bytes]] = []
    at = 0
    for start, end, name, data in _words(raw):
        between = raw[at:start]
        if between.strip(b" \t\n") or not pieces or pieces[-1][0] is None:
            pieces.append((None, between))
        pieces.append((name, data))
        at = end
    pieces.append((None, raw[at:]))
    return "".join(_decode_run(run) for run in _runs(pieces))


def _outside(raw: bytes) -> str:
    """The value without its words."""
    kept, at = [], 0
    for start, end, _, _ in _words(raw):
        kept.append(raw[at:start])
        at = end
    return b"".join([*kept, raw[at:]]).decode("latin-1")


def _words(raw: bytes) -> Iterator[tuple[int, int, str, bytes]]:
    """(start, end, charset, bytes) of each word."""
    heads = list(_HEAD.finditer(raw))
    limits = [*(head.start() for head in heads), len(raw)][1:]
    for head, limit in zip(heads, limits, strict=True):
        content, end = _content(raw, head, limit)
        yield head.start(), end, head[1].decode("ascii").lower(), _word_bytes(head[2], content)


def _content(raw: bytes, head: re.Match[bytes], limit: int) -> tuple[bytes, int]:
    """The content of the word and where the word ends: before the next one, if nothing ends it earlier."""
    is_q = head[2][:1] in {b"q", b"Q"}
    end = (_END_OF_Q if is_q else _END_OF_B).search(raw, head.end(), limit)
    if end is not None:
        return raw[head.end() : end.start()], end.end()
    cut = (_CUT_Q if is_q else _CUT_B).match(raw, head.end(), limit)
    ends = cut.end() if cut else head.end()
    return raw[head.end() : ends].removesuffix(b"?"), ends


def _word_bytes(encoding: bytes, content: bytes) -> bytes:
    """Decode by what the content is where the encoding is plainly wrong."""
    content = _FOLD.sub(b"", content)
    is_q = encoding[:1] in {b"q", b"Q"}
    if _ESCAPES.search(content) or (is_q and not transfer.is_base64(content)):
        return quopri.decodestring(content.strip(b" ").replace(b"_", b"=20"), header=True)
    return transfer.from_base64(content).data


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
        data = _FOLD.sub(b" " if b"\x1b" not in data else b"", data)
    return decode(data, charset).text
