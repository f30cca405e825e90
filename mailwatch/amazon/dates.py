"""The dates that Amazon writes into its mails, as far as they are without doubt."""

from __future__ import annotations

import re
import unicodedata
from datetime import date

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    "|nov(?:ember)?|dec(?:ember)?"
)
_YEAR_FIRST = re.compile(r"(?<!\d)(20\d\d)\s?[年/.-]\s?(\d{1,2})\s?[月/.-]\s?(\d{1,2})(?!\d)")
_DAY_FIRST = re.compile(rf"(?<!\d)(\d{{1,2}})\s({_MONTH})\.?,?\s(20\d\d)(?!\d)")
_MONTH_FIRST = re.compile(rf"\b({_MONTH})\.?\s(\d{{1,2}}),?\s(20\d\d)(?!\d)")


def parse(text: str) -> date | None:
    """The one date of a text: year first, or the month as a word. `06/07/2022` is June's or July's: None."""
    folded = re.sub(r"\s+", " ", unicodedata.normalize("NFKC", text[:300]).lower())
    if found := _YEAR_FIRST.search(folded):
        return _date(found[1], found[2], found[3])
    if found := _DAY_FIRST.search(folded):
        return _date(found[3], found[2], found[1])
    if found := _MONTH_FIRST.search(folded):
        return _date(found[3], found[1], found[2])
    return None


def _date(year: str, month: str, day: str) -> date | None:
    number = _MONTHS.index(month[:3]) + 1 if month[:3] in _MONTHS else month
    try:
        return date(int(year), int(number), int(day))
    except ValueError:
        return None
