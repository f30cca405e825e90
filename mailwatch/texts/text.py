"""A text for a channel, and what makes a value out of a mail harmless and a text short enough."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime, tzinfo

from mailwatch.services import USUAL, Limit

_LIMIT_VALUE = 120
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# A dot before two letters of any script, of which the second may be a mark; the others are the dots of IDNA (RFC 3490).
_DOT_OF_A_HOST = re.compile(
    r"(?<=\S)[.｡](?=[^\W\d_](?:[^\W\d_]|[^\w\s!-~]))|(?<=[a-z0-9])。(?=[a-z]{2})|(?<=www)[.。｡]", re.IGNORECASE
)
_IP_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
# GSM 03.40: 140 bytes; UCS-2 takes two a unit, and a joined part gives six bytes to its header.
_UNITS_ALONE = 70
_UNITS_JOINED = 67


@dataclass(frozen=True, slots=True)
class Text:
    """What is sent: `title` is the first line (empty in an SMS), `body` the rest. Plain text, no markup."""

    title: str
    body: str

    @property
    def whole(self) -> str:
        """All in one, for a channel without titles."""
        return f"{self.title}\n{self.body}" if self.title else self.body


def plain(text: str, limit: int = _LIMIT_VALUE) -> str:
    """A value out of a mail as harmless text on one line: control, bidi, zero-width and surrogate characters out.

    `@` and `<` stay what they are: channels send as text. A URL or host name loses what makes a phone see a link in it.
    """
    # A title of a megabyte costs no more than one of a page.
    first = text[: 20 * limit]
    kept = "".join(" " if c.isspace() else c for c in first if c in "\t\n" or unicodedata.category(c) not in _UNSEEN)
    one_line = re.sub(r"\s+", " ", kept).strip()
    no_link = _DOT_OF_A_HOST.sub("．", one_line.replace("://", ": "))
    no_link = _IP_ADDRESS.sub(lambda found: found[0].replace(".", "．"), no_link)
    return no_link if len(no_link) <= limit else no_link[: limit - 1] + "…"


def at(moment: datetime, zone: tzinfo) -> str:
    """`6/8 09:12`, in the zone."""
    local = moment.astimezone(zone)
    return f"{local.month}/{local.day} {local:%H:%M}"


def units(text: str) -> int:
    """The length in UTF-16 units, as LINE and SMS count."""
    return USUAL.length(text)


def cut(text: str, limit: Limit | int) -> str:
    """Return the text in at most `limit` (a number: of UTF-16 units), no character in halves."""
    limit = Limit(limit) if isinstance(limit, int) else limit
    if limit.length(text) <= limit.size:
        return text
    kept, left = [], limit.size - limit.length("…")
    for character in text:
        left -= limit.length(character)
        if left < 0:
            break
        kept.append(character)
    return "".join(kept) + "…"


def sms_parts(text: str) -> int:
    """How many parts an SMS with Japanese text takes, and costs."""
    return 1 if units(text) <= _UNITS_ALONE else -(-units(text) // _UNITS_JOINED)


SMS_UNITS = 2 * _UNITS_JOINED
