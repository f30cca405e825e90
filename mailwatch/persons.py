"""Where a mail says who the buyer is and where they live: the name in From, and what stands behind labels as 注文者."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

_WHO = (
    r"ご?(?:注文|購入|依頼)者(?:様|名|氏名)?|お客様(?:名|氏名)?|(?:ご|お)?(?:氏名|名前|宛名)|(?:お?受取人|宛先)(?:名|氏名)?|フリガナ"
    r"|(?:buyer|customer|recipient)(?:'?s)?(?:[ ]name)?|(?:full[ ]|first[ ]|last[ ])?name"
)
_WHERE = (
    r"(?:お?届け?先|ご?配送先|お?送り先|ご?送付先|ご?請求先)(?:の?ご?(?:住所|氏名|お?名前|電話番号))?|ご?住所|〒"
    r"|(?:お?電話|郵便|携帯)番号|お?電話|ご?連絡先"
    r"|(?:ship(?:ping)?|deliver(?:y)?|bill(?:ing)?|mailing|street)[ ](?:to|address)"
    r"|(?:name[ ]and[ ])?address(?:[ ]line)?(?:[ ]\d)?"
    r"|(?:tele)?phone(?:[ ](?:number|no\.?))?|tel\.?|mobile|zip(?:[ ]code)?|post(?:al)?[ ]?code|city"
)
_LABEL = re.compile(
    rf"\s{{0,50}}[・■●◆▼*【\[-]?\s{{0,10}}(?:(?P<who>{_WHO})|{_WHERE})\s{{0,50}}(?:[（(][^()（）]{{0,20}}[)）])?[】\]]?\s{{0,50}}"
    r"(?:[:：]|(?<=〒)|(?P<end>$))",
    re.IGNORECASE,
)
_ANOTHER_LABEL = re.compile(r"\s*[^\s:：]{1,20}(?:[ ][^\s:：]{1,20}){0,2}\s*[:：]|\s*(?:[-‐―─━=_]|#\s)")
_COLON_FOLLOWS = re.compile(r"(?:<[^<>]{1,1000}>|\s)*[:：]")
_CUT = re.compile(r"<[^<>]{1,1000}>|\r?\n|\t")
_INLINE = re.compile(r"</?(?:a|b|big|em|font|i|small|span|strong|u|wbr)\b", re.IGNORECASE)
_ENDS_BLOCK = re.compile(r"</(?:tr|table|div|p|ul|dl|pre)\b", re.IGNORECASE)
_ENDS_CELL = re.compile(r"</(?:td|th|li|dd)\b|\t", re.IGNORECASE)
_LONGEST_LINE = 200
_LONGEST_NAME = 40
_MOST_NAMES = 20
_LONGEST_ADDRESS = 6

_SUFFIX = re.compile(r"\s*(?:[-–—|(（]|\bvia\b|\bon\b)\s*amazon.*$", re.IGNORECASE | re.DOTALL)
_HONORIFIC = re.compile(r"\s*(?:様|さま|さん|殿)\s*$")
_AMAZON = re.compile("amazon|アマゾン", re.IGNORECASE)
_BETWEEN = r"(?:[\s\u3000・,.]|&nbsp;)*"
_SCRIPTS = ("A-Za-z\u00c0-\u024f", "\u3005\u4e00-\u9fff", "\u3041-\u3096", "\u30a1-\u30fa\u30fc")


@dataclass(frozen=True, slots=True)
class Value:
    """What stands behind a label: from where to where, and whether it is a name by itself."""

    start: int
    end: int
    is_name: bool


def values(text: str) -> Iterator[Value]:
    """The values behind labels, in plain text or HTML; an address goes on to the end of its paragraph or cell."""
    is_name = is_wanted = False
    lines = 0
    for start, end, mark in _lines(text):
        line = text[start : min(end, start + _LONGEST_LINE)]
        at = start
        if label := _label(line, text, end, mark):
            is_name, is_wanted, lines = label["who"] is not None, True, 0
            at += label.end()
        elif _ANOTHER_LABEL.match(line) or "。" in line:
            is_wanted = False
        if is_wanted and text[at:end].strip(" \t\u3000:："):
            yield Value(at, end, is_name)
            lines += 1
            is_wanted = lines < _LONGEST_ADDRESS and (not is_name or _INLINE.match(mark) is not None)
        ends_paragraph = not line.strip() and mark == "\n"
        if _ENDS_BLOCK.match(mark) or (lines and (ends_paragraph or _ENDS_CELL.match(mark))):
            is_wanted = False


def _label(line: str, text: str, end: int, mark: str) -> re.Match[str] | None:
    """The label that opens a line. Without a colon it fills it: `The <b>buyer</b> has requested` is a sentence."""
    found = _LABEL.match(line)
    if found and found["end"] is not None and _INLINE.match(mark) and not _COLON_FOLLOWS.match(text, end):
        return None
    return found


def _lines(text: str) -> Iterator[tuple[int, int, str]]:
    """Where each line of the text, or what stands between two tags, begins and ends, and the mark that ends it."""
    start = 0
    for cut in _CUT.finditer(text):
        yield start, cut.start(), cut[0].lstrip("\r")
        start = cut.end()
    yield start, len(text), ""


def names(display: str, texts: Iterable[str]) -> re.Pattern[str] | None:
    """What finds the buyer's name wherever it stands: the one in From, and those behind labels. None: no name is known.

    `display` is the text of the From field, its address too.
    """
    shown = display[:_LONGEST_LINE]
    found = [_SUFFIX.sub("", shown.rpartition("<")[0] or shown).strip(" \t\"'")]
    behind = (text[value.start : value.end].strip() for text in texts for value in values(text) if value.is_name)
    found += islice(behind, _MOST_NAMES)
    patterns = dict.fromkeys(pattern for name in found if _is_name(name) for pattern in _spellings(name))
    return re.compile("|".join(sorted(patterns, key=len, reverse=True)), re.IGNORECASE) if patterns else None


def _is_name(text: str) -> bool:
    is_short = 0 < len(text.strip()) <= _LONGEST_NAME and len(text.split()) <= 4
    return is_short and "@" not in text and not _AMAZON.search(text) and not _LABEL.fullmatch(text)


def _spellings(name: str) -> Iterator[str]:
    """The whole name in either order, with or without blanks, and each part of it."""
    parts = [part for part in re.split(r"[\s\u3000・,.]+", _HONORIFIC.sub("", name)) if re.search(r"[^\W\d_]", part)]
    for order in (parts, parts[::-1]) if len(parts) > 1 else ():
        yield _alone(_BETWEEN.join(re.escape(part) for part in order), order[0][0], order[-1][-1])
    for part in parts:
        if len(part) > 1 or not part.isascii():
            yield re.escape(part) if _is_sure(part) else _alone(re.escape(part), part[0], part[-1])


def _is_sure(part: str) -> bool:
    """Whether it is the name wherever it stands: 山田 is; 林 (in 山林), さき (in おさき), Ed (in requested) are not."""
    has_kanji = re.search(f"[{_SCRIPTS[1]}]", part) is not None
    return not re.search(f"[{_SCRIPTS[0]}]", part) and len(part) >= (2 if has_kanji else 3)


def _alone(pattern: str, first: str, last: str) -> str:
    """The pattern where no letter of the same script adjoins."""
    before, after = (next((each for each in _SCRIPTS if re.match(f"[{each}]", letter)), "") for letter in (first, last))
    return (f"(?<![{before}])" if before else "") + pattern + (f"(?![{after}])" if after else "")
