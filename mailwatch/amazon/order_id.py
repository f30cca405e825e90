"""Amazon's order IDs, 3-7-7 digits, found in text as people and mail programs mangle it.

Never by prefix (249 250 503 in Japan, 1xx US, 302 DE, 402, 903 …). Not order IDs: `D01-…` (digital), `P03-…` (Amazon
Pay), `S01-…` (multi-channel), 14-digit order-item IDs, parcel and phone numbers. Source: domain section 5.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# NFKC folds only U+FF0D and U+FE63 to '-', and the same full-width minus arrives as U+FF0D from cp932 and as U+2212
# from iso2022_jp; ー and 一 are letters elsewhere. So: these count as '-' between digits only (libraries section 6).
_DASHES = (
    "-\u00ad\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u207b\u208b\u2500\u2501\u30fc\uff70\u301c\u3030\u4e00"
    "\u3161\u2796\u058a\u05be\ufe31\ufe32\ufe58\ufe63\uff0d\uff5e\u02d7\u2053"
)
# Full-width and mathematical digits; not '²' or '①', which NFKC would turn into digits of an ID that never was.
_DIGITS = {0xFF10 + d: str(d) for d in range(10)} | {0x1D7CE + n: str(n % 10) for n in range(50)}
_INVISIBLE = dict.fromkeys(
    [
        *(0x034F, 0x061C, 0x115F, 0x180E, 0xFEFF),
        *(*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), *range(0xFE00, 0xFE10)),
    ]
)
_BLANKS = dict.fromkeys([0x00A0, 0x3000, 0x2002, 0x2003, 0x2007, 0x2009, 0x202F], " ")
_FOLD = {**_DIGITS, **_INVISIBLE, **_BLANKS}
# A hard wrap or a soft hyphen may fall anywhere in the ID, and a quote mark may follow the wrap.
_CUT = r"\u00ad?(?:[ \t]?\r?\n(?:[ \t]*>)*[ \t]*)?"
_DASH = rf"{_CUT}[ \t]?[{re.escape(_DASHES)}][ \t]?{_CUT}"


def _digits(count: int) -> str:
    return _CUT.join(["[0-9]"] * count)


# Before: no letter, digit or '-', nor a letter or digit with any dash (P03–…); ー and 一 end ordinary words there.
_NOT_BEFORE = rf"(?<![0-9A-Za-z-])(?<![0-9A-Za-z][{re.escape(_DASHES)}])"
_NOT_AFTER = rf"(?!\u00ad?[0-9]|[{re.escape(_DASHES)}][0-9A-Za-z])"
_ID = re.compile(f"{_NOT_BEFORE}({_digits(3)}){_DASH}({_digits(7)}){_DASH}({_digits(7)}){_NOT_AFTER}")
_NOT_DIGIT = re.compile("[^0-9]")


class Found(NamedTuple):
    """One order ID in canonical form and where it stands in the folded text."""

    order_id: str
    start: int
    end: int


def fold(text: str) -> str:
    """The text with digits, blanks and invisible characters as a search for IDs and words needs them."""
    return text.translate(_FOLD)


def find(folded: str) -> list[Found]:
    """Every order ID in a text that `fold` has made, in order, repeats included."""
    return [Found(_canonical(match), match.start(), match.end()) for match in _ID.finditer(folded)]


def unique(found: list[Found]) -> tuple[str, ...]:
    """The IDs without repeats, first seen first."""
    return tuple(dict.fromkeys(item.order_id for item in found))


def is_order_id(text: str) -> bool:
    """Whether the text is one order ID in canonical form and nothing else."""
    return re.fullmatch(r"[0-9]{3}-[0-9]{7}-[0-9]{7}", text) is not None


def _canonical(match: re.Match[str]) -> str:
    return "-".join(_NOT_DIGIT.sub("", group) for group in match.groups())
