"""A sample mail as if it came just now: its header and every date in its text.

Pure. The sample mails were written for one summer; without this the demo would warn that each order is years old.
"""

from __future__ import annotations

import email
import email.utils
import quopri
import re
import unicodedata
from base64 import encodebytes
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo

from mailwatch import message

_ENCODERS = {"base64": encodebytes, "quoted-printable": quopri.encodestring}
_REWRITTEN = re.compile(rb"^(?:date|received|authentication-results)[ \t]*:", re.IGNORECASE)

# A word is looked up in these tables, and written from the table in which it was found.
_MONTHS = tuple(
    tuple(words.split())
    for words in (
        "January February March April May June July August September October November December",
        "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    )
)
_WEEKDAYS = tuple(
    tuple(words.split())
    for words in (
        "月 火 水 木 金 土 日",
        "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
        "Mon Tue Wed Thu Fri Sat Sun",
        "lunes martes miércoles jueves viernes sábado domingo",
    )
)


def _any_of(tables: tuple[tuple[str, ...], ...]) -> str:
    return "|".join(sorted({word for table in tables for word in table}, key=len, reverse=True))


_YEAR = r"[2２][0０]\d\d"
_MONTH, _WEEKDAY = _any_of(_MONTHS), _any_of(_WEEKDAYS[1:])
# Each form names its parts by their first letter: year, month, day, weekday; a and b are month and day in some order.
_DATE = re.compile(
    rf"""
    (?:\b(?P<w1>{_WEEKDAY})\b[,.]?\s)?
    (?:
        (?<!\d)(?P<y1>{_YEAR})\s?[年/.-]\s?(?P<m1>\d\d?)\s?[月/.-]\s?(?P<d1>\d\d?)(?!\d)
      | (?<!\d)(?P<a1>\d\d?)[/.-](?P<b1>\d\d?)[/.-](?P<y2>{_YEAR})(?!\d)
      | (?<!\d)(?P<d2>\d\d?)(?:st|nd|rd|th)?\s(?:de\s)?(?P<m2>{_MONTH})\b\.?,?\s(?:de\s)?(?P<y3>{_YEAR})(?!\d)
      | \b(?P<m3>{_MONTH})\b\.?\s(?P<d3>\d\d?)(?!\d)(?:st|nd|rd|th)?,?\s(?P<y4>{_YEAR})(?!\d)
      | (?<!\d)(?P<m4>\d\d?)月\s?(?P<d4>\d\d?)日
    )
    (?:日?\s?[(（](?P<w2>[月火水木金土日])(?:曜日?)?[)）])?
    """,
    re.VERBOSE | re.IGNORECASE,
)
_WIDE = {ord(narrow): wide for narrow, wide in zip("0123456789", "０１２３４５６７８９", strict=True)}


def as_of(mail: bytes, now: datetime, zone: tzinfo, received_by: str) -> bytes:
    """Return the mail with Date and Received of `now`, and with the dates in its text moved by as many days.

    The days run from the mail's own Date to `now`, both in `zone`; a mail without a readable Date keeps its text.
    Its topmost Authentication-Results are kept, below a Received field of the host `received_by`. Copies of one mail
    stay copies: what is written depends on the mail's own Date and on `now` only. Any bytes give a value.
    """
    written = message.parse(mail).date
    header = message.header_block(mail)
    text = mail[len(header) :]
    if written:
        text = _text_moved(mail, text, written.astimezone(zone).date(), now.astimezone(zone).date())
    return _header_of(header, now, received_by) + text


def dates_moved(text: str, written: date, today: date) -> str:
    """Return the text with each date in it moved by the days from `written` to `today`, in its own form.

    Where a date leaves a choice (`06/07/2022`, or one without a year), it is the one nearest to `written`.
    """
    return _DATE.sub(lambda found: _moved(found, written, today - written), text)


def _header_of(header: bytes, now: datetime, received_by: str) -> bytes:
    kept, results = [], b""
    for line in re.split(rb"\r?\n(?![ \t])", header):
        if line.lower().startswith(b"authentication-results") and not results:
            results = re.sub(rb"\r?\n[ \t]+", b" ", line)
        if not _REWRITTEN.match(line):
            kept.append(line)
    stamp = email.utils.format_datetime(now.astimezone(UTC)).encode("ascii")
    received = b"Received: from mail.example.test by " + received_by.encode("ascii") + b"; " + stamp
    return b"\r\n".join([line for line in (received, results, b"Date: " + stamp) if line] + kept)


def _text_moved(mail: bytes, text: bytes, written: date, today: date) -> bytes:
    """Only the parts that hold a date are written anew, in their own charset and transfer encoding."""
    for part in email.message_from_bytes(mail).walk():
        data = part.get_payload(decode=True)
        if part.get_content_maintype() != "text" or not isinstance(data, bytes):
            continue
        moved = _data_moved(data, part.get_content_charset("us-ascii"), written, today)
        if moved == data:
            continue
        encoding = str(part.get("Content-Transfer-Encoding", "")).strip().lower()
        if encoding in _ENCODERS:
            # Its encoded text is ASCII; of one that is not nothing is replaced.
            raw = str(part.get_payload()).encode("ascii", "replace")
            text = text.replace(raw, _ENCODERS[encoding](moved), 1)
        else:
            text = text.replace(data, moved, 1)
    return text


def _data_moved(data: bytes, charset: str, written: date, today: date) -> bytes:
    """The text with its dates moved; as it is where Python does not read or write its charset."""
    try:
        return dates_moved(data.decode(charset), written, today).encode(charset)
    except (LookupError, UnicodeError):
        return data


def _moved(found: re.Match[str], written: date, by: timedelta) -> str:
    """One date in its own form, with another day; a match that is no date is left as it is."""
    spans = {name[0]: found.span(name) for name, value in found.groupdict().items() if value is not None}
    said = {part: found.string[start:end] for part, (start, end) in spans.items()}
    readings = list(_readings(said, written))
    if not readings:
        return found[0]
    day, order = min(readings, key=lambda reading: abs(reading[0] - written))
    day += by
    numbers = {"y": day.year, "m": day.month, "d": day.day, order[0]: day.month, order[1]: day.day}
    least = 2 if any(unicodedata.normalize("NFKC", each).startswith("0") for each in said.values()) else 1
    at, pieces = found.start(), []
    for part, (start, end) in sorted(spans.items(), key=lambda each: each[1]):
        new = _weekday(said[part], day) if part == "w" else _number(said[part], numbers[part], least)
        pieces += [found.string[at:start], new]
        at = end
    return "".join([*pieces, found.string[at : found.end()]])


def _readings(said: dict[str, str], written: date) -> Iterator[tuple[date, str]]:
    """Each day that the parts may mean, and which of them are the month and the day."""
    years = [int(said["y"])] if "y" in said else [written.year - 1, written.year, written.year + 1]
    for year in years:
        for order in ("md",) if "m" in said else ("ab", "ba"):
            month, day = said[order[0]], said[order[1]]
            number = int(month) if month.isdecimal() else _place(month, _MONTHS)[1] + 1
            try:
                yield date(year, number, int(day)), order
            except ValueError:
                continue


def _number(said: str, number: int, least: int) -> str:
    """The number in digits as wide as those that were said, `least` of them; a month's name by its table."""
    if not said.isdecimal():
        return _word(said, _MONTHS, number - 1)
    digits = str(number).zfill(least)
    return digits if said.isascii() else digits.translate(_WIDE)


def _weekday(said: str, day: date) -> str:
    return _word(said, _WEEKDAYS, day.weekday())


def _word(said: str, tables: tuple[tuple[str, ...], ...], number: int) -> str:
    """The word of that number in the table of what was said, in its case."""
    word = tables[_place(said, tables)[0]][number]
    return word.upper() if said.isupper() else word


def _place(said: str, tables: tuple[tuple[str, ...], ...]) -> tuple[int, int]:
    """Which table holds the word, and where."""
    folded = said.casefold()
    return next(
        (table, number)
        for table, words in enumerate(tables)
        for number, word in enumerate(words)
        if word.casefold() == folded
    )
