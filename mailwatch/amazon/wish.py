"""Buyers who ask in an ordinary message: the buyer's own words, and whether they ask to cancel.

A question (キャンセルできますか) is a wish. When unsure: a wish, so that a person decides (domain section 4).
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import cache

from mailwatch import toml
from mailwatch.amazon import words
from mailwatch.amazon.template import Templates
from mailwatch.html_text import HtmlText

_EXCERPT = 60
# No reply header is longer; and a text of header lines only must not be read over and over.
_LONGEST_HEADER = 12
# A sentence with a date in it may be of any length; a line that heads a quote is not.
_LONGEST_DATE_LINE = 300
_SENTENCE_END = re.compile("[。.!?]")
_DASHES = "-‐―─━=_"
# Bounded on each side, so that a long row of dashes is looked at once.
_INLINE_RULE = re.compile(r"(?<!-)-{3,60}[ \t\u3000]{0,5}([^-\n]{1,40})-{3,60}(?!-)")
_BEFORE_RULE = re.compile(r"[\s>]*")
# A line between two bars is a table's or a drawing's.
_QUOTE = re.compile(r"^\s*(?:>|＞|\|(?!.*\|\s*$))")
_REPLY_LINE = re.compile(
    r"^\s*(?:-{2,}\s*(?:original message|転送|元のメッセージ|forwarded)|on\b.{5,200}\bwrote\s*[:：])", re.IGNORECASE
)
# Buyers open a paragraph so too: 「6月6日に注文した商品について：」. A header has a name and a time and says nothing.
_DATE_LINE = re.compile(r"^\s*.{0,40}\d{4}\s*[年/.-]\s*\d{1,2}\s*[月/.-]\s*\d{1,2}.{0,120}[:：]\s*$")
_WHO_WROTE = re.compile(r"\S@\S|wrote|のメール", re.IGNORECASE)
_SAYS_MORE = re.compile(r"[ぁ-ん]|注文|購入|商品|件|分|order|item|bought|purchase", re.IGNORECASE)
_FROM_LINE = re.compile(r"^\s*(?:from|差出人|送信者|送信元)\s*[:：]", re.IGNORECASE)
_HEADER_LINE = re.compile(
    r"^\s*(?:from|to|cc|subject|date|sent|差出人|送信者|送信元|宛先|件名|日付|日時|送信日時)\s*[:：]", re.IGNORECASE
)
_DATED_LINE = re.compile(r"^\s*(?:subject|date|sent|件名|日付|日時|送信日時)\s*[:：]", re.IGNORECASE)
_SIGNATURE = re.compile(r"^-- ?$")
_SENTENCE = re.compile(
    r"(?:[。!?！？]|です|ます|ません|ました|[だ下]さい|たい|か)\s*$|^\s*(?:please|can|i)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class OwnWords:
    """The buyer's own words and everything else of the text. `certain` is False where no frame was found."""

    words: str
    frame: str
    certain: bool


@dataclass(frozen=True, slots=True)
class _Rules:
    not_wishes: re.Pattern[str]
    strong: re.Pattern[str]
    weak: re.Pattern[str]
    other_matters: re.Pattern[str]
    side_matters: re.Pattern[str]


@cache
def _rules() -> _Rules:
    data = toml.packaged("mailwatch.amazon", "wishes.toml")
    return _Rules(**{key: re.compile("|".join(f"(?:{each})" for each in data[key])) for key in data})


def own_words(plain: str, html: HtmlText, templates: Templates) -> OwnWords:
    """Take the buyer's own words out of a relayed message, of its plain text and its page.

    From between the delimiter lines of the plain text, else from the `<pre>` blocks, else the whole text (not certain).
    """
    framed = _between_delimiters(plain, templates) or _between_delimiters(html.text, templates)
    if framed:
        return OwnWords(_cut(framed[0]), framed[1], certain=True)
    if html.quoted:
        return OwnWords(_cut("\n".join(html.quoted)), html.frame, certain=True)
    return OwnWords(_cut(plain or html.text), "", certain=False)


def without_message(text: str, templates: Templates) -> str:
    """Return a mail of Amazon's own without the message it carries: a copy of the seller's own reply is not Amazon's.

    A message begins and ends at `--- words ---` with a word for "message" in it, on a line of its own or within one
    (the HTML copies); without an end it goes to the end of the text.
    """
    marks = [mark for mark in _INLINE_RULE.finditer(text) if _names_a_message(mark[1], templates)]
    kept, end = [], 0
    for opening, closing in itertools.zip_longest(marks[::2], marks[1::2]):
        kept.append(text[end : opening.start()])
        end = closing.end() if closing else len(text)
    return "\n".join([*kept, text[end:]])


def _names_a_message(label: str, templates: Templates) -> bool:
    compacted = words.compact(label)
    return any(words.compact(word) in compacted for word in templates.message_words)


def behind_label(text: str, templates: Templates) -> OwnWords:
    """Return a mail of customer service's that passes on a buyer's words: they stand behind the first known label."""
    lines = text.split("\n")
    labels = tuple(words.compact(label) + ":" for label in templates.relay_labels)
    opening = next((i for i, line in enumerate(lines) if words.compact(line[:40]).startswith(labels)), None)
    if opening is None:
        return OwnWords(_cut(text), "", certain=False)
    return OwnWords(_cut("\n".join(lines[opening:])), "\n".join(lines[:opening]), certain=True)


def asks(text: str) -> str | None:
    """The word by which the text asks to cancel, or None. `text` is the buyer's own words."""
    rules = _rules()
    left = rules.not_wishes.sub("◇", words.compact(text))
    found = rules.strong.search(left)
    if found is None and not rules.other_matters.search(left):
        sentences = (each for each in _SENTENCE_END.split(left) if not rules.side_matters.search(each))
        found = next(filter(None, map(rules.weak.search, sentences)), None)
    return found.group() if found else None


def excerpt(text: str, word: str) -> str:
    """At most 60 characters of the text round the word, on one line."""
    line = re.sub(r"\s+", " ", words.normalise(text)).strip()
    found = re.search(r"\s?".join(re.escape(letter) for letter in word), line)
    at = found.start() if found else 0
    start = max(0, min(at - (_EXCERPT - len(word)) // 2, len(line) - _EXCERPT))
    if start and line.isascii():
        start = line.find(" ", start) + 1
    return line[start : start + _EXCERPT].strip()


def _between_delimiters(text: str, templates: Templates) -> tuple[str, str] | None:
    """(own words, the rest) of a text with delimiter lines; None where there is no opening one.

    A bare rule ends the words only where the mail has no closing delimiter: buyers draw rules too.
    """
    inside: list[str] = []
    outside: list[str] = []
    opened = is_inside = False
    lines = [(line, _delimiter(line)) for line in text.split("\n")]
    begins = frozenset(map(words.compact, templates.message_begins))
    ends = frozenset(map(words.compact, templates.message_ends))
    has_end = any(label in ends for _, label in lines)
    for line, label in lines:
        if not is_inside and label in begins:
            opened = is_inside = True
        elif label is not None and is_inside and (label in ends or not (label or has_end)):
            is_inside = False
        else:
            (inside if is_inside else outside).append(line)
    return ("\n".join(inside), "\n".join(outside)) if opened else None


def _delimiter(line: str) -> str | None:
    """The text of a delimiter line, compact, '' for a bare rule; None for any other line.

    By hand: a regular expression took 21 s for 1,600 dashes with a letter behind them, which any buyer can send.
    """
    before = _BEFORE_RULE.match(line)
    bare = line[before.end() if before else 0 :].rstrip()
    inner = bare.lstrip(_DASHES)
    label = inner.rstrip(_DASHES)
    left, right = len(bare) - len(inner), len(inner) - len(label)
    if not inner:
        return "" if left >= 6 else None
    return words.compact(label) if left >= 3 and right >= 3 else None


def _cut(text: str) -> str:
    """Without quoted lines, signatures, and a reply header with the unmarked quote that follows it.

    Where nothing else is left, these are the buyer's words. Below a signature's mark stands no sentence, or it is none.
    """
    lines = text.split("\n")
    last_said = max((at for at, line in enumerate(lines) if _SENTENCE.search(line)), default=-1)
    kept: list[str] = []
    at = 0
    while at < len(lines):
        header = _reply_header(lines[at : at + _LONGEST_HEADER])
        after = lines[at + header : at + header + _LONGEST_HEADER]
        is_signature = _SIGNATURE.match(lines[at]) and at > last_said
        if is_signature or (header and not _marks_its_quote(after)):
            break
        if not header and not _QUOTE.match(lines[at]):
            kept.append(lines[at])
        at += header or 1
    return "\n".join(kept).strip() or text.strip()


def _reply_header(lines: list[str]) -> int:
    """How many lines of a reply header stand here; 0 where none does.

    A lone `差出人:` is a letter's, and no header: one has a subject or a date beside it.
    """
    count = 1 if _REPLY_LINE.match(lines[0]) or _is_date_header(lines) else 0
    header = list(itertools.takewhile(_HEADER_LINE.match, lines[count:]))
    is_header = any(_FROM_LINE.match(line) for line in header) and any(_DATED_LINE.match(line) for line in header)
    return count + len(header) if is_header else count


def _is_date_header(lines: list[str]) -> bool:
    line = lines[0].strip()
    if len(line) > _LONGEST_DATE_LINE or not _DATE_LINE.match(line):
        return False
    return not _SAYS_MORE.search(line) or _WHO_WROTE.search(line) is not None or _marks_its_quote(lines[1:])


def _marks_its_quote(following: list[str]) -> bool:
    """Whether the quote below a reply header has `>` marks, so that words of the buyer's own may follow it."""
    first = next((line for line in following if line.strip()), "")
    return _QUOTE.match(first) is not None
