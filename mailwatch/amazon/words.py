"""Finding words in text the way a person does: width, case, line breaks and invisible characters make no difference."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from mailwatch.amazon.order_id import fold

# NFKC is quadratic in alternating combining marks (40,000 marks took 2.5 s; traps section 2): small pieces only.
_PIECE = 1000
_IGNORED = re.compile(r"[\s\u00ad_*~\"'`\u2018\u2019]+")
_IGNORED_IN_A_LINE = re.compile(r"(?:[^\S\n]|[\u00ad_*~\"'`\u2018\u2019])+")
# Two Arabic phrases in one character each, which NFKC writes out in 18 and 8 letters.
_PHRASES = re.compile("[\ufdfa\ufdfb]")


def normalise(text: str) -> str:
    """NFKC, case-folded, invisible characters out; blanks and line breaks kept."""
    folded = _PHRASES.sub(" ", fold(text))
    pieces = (folded[at : at + _PIECE] for at in range(0, len(folded), _PIECE))
    return "".join(unicodedata.normalize("NFKC", piece) for piece in pieces).casefold()


def compact(text: str) -> str:
    """`normalise` without any white space: キャンセ ル and a wrapped line are the same word."""
    return _IGNORED.sub("", normalise(text))


def compact_lines(text: str, mark: str) -> str:
    """`compact`, with `mark` where a line ends."""
    return _IGNORED_IN_A_LINE.sub("", normalise(text)).replace("\n", mark)


def near(compacted: str, alternative: str, span: int) -> bool:
    """Whether all words of the alternative stand within `span` characters of a compact text, in any order.

    Blanks separate the alternative's words, `|` the spellings of one word: "注文 キャンセル リクエスト|依頼".
    """
    places = [_places(compacted, spellings) for spellings in _compacted(alternative)]
    if not places or not all(places):
        return False
    return any(all(any(abs(there - start) <= span for there in place) for place in places) for start in places[0])


@cache
def _compacted(alternative: str) -> tuple[tuple[str, ...], ...]:
    """Return the spellings of each word; the alternatives are the templates' own, few and the same for every mail."""
    return tuple(tuple(compact(spelling) for spelling in word.split("|")) for word in alternative.split())


def _places(compacted: str, spellings: tuple[str, ...]) -> list[int]:
    found: list[int] = []
    for wanted in spellings:
        at = compacted.find(wanted) if wanted else -1
        while at >= 0 and len(found) < 200:
            found.append(at)
            at = compacted.find(wanted, at + 1)
    return found
