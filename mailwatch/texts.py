"""An alert as a person reads it, on a phone, while packing. Pure: catalogue texts and the alert's own facts.

The first line fits an SMS, the order ID stands alone on its line to be copied, the link is built from the ID.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime, tzinfo

from mailwatch.alert import Alert
from mailwatch.amazon.details import Item
from mailwatch.amazon.marketplace import order_page
from mailwatch.catalogue import Language, say
from mailwatch.trust import Trust

_LIMIT_VALUE = 120
_SHOWN_ITEMS = 3
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_DOT_OF_A_HOST = re.compile(r"(?<=[0-9A-Za-z])\.(?=[A-Za-z]{2})|(?<=www)\.", re.IGNORECASE)
_SPECIAL_WHY = ("verified now", "now official", "more items", "asked again")


@dataclass(frozen=True, slots=True)
class Text:
    """What is sent: `title` is the first line, `body` the rest. Plain text; the channel adds no markup."""

    title: str
    body: str


def alert(about: Alert, language: Language, zone: tzinfo) -> Text:
    """The text of an alert, times in `zone`."""
    lines = [
        about.order_id or say("alert.no_order", language),
        *_why(about, language),
        say(f"alert.do_{about.kind}", language),
        *_when(about, language, zone),
        *_facts(about, language),
        *_doubt(about, language, zone),
        *_link(about),
        say("alert.open_line", language, n=about.open_requests),
    ]
    return Text(_title(about, language), "\n".join(lines))


def plain(text: str, limit: int = _LIMIT_VALUE) -> str:
    """A value out of a mail as harmless text on one line: control, bidi, zero-width and surrogate characters out.

    `@` and `<` stay what they are: channels send as text. A URL or host name loses what makes a phone see a link in it.
    """
    kept = "".join(" " if c.isspace() else c for c in text if c in "\t\n" or unicodedata.category(c) not in _UNSEEN)
    one_line = re.sub(r"\s+", " ", kept).strip()
    no_link = _DOT_OF_A_HOST.sub("．", one_line.replace("://", ": "))
    return no_link if len(no_link) <= limit else no_link[: limit - 1] + "…"


def at(moment: datetime, zone: tzinfo) -> str:
    """`6/8 09:12`, in the zone."""
    local = moment.astimezone(zone)
    return f"{local.month}/{local.day} {local:%H:%M}"


def _title(about: Alert, language: Language) -> str:
    label = say(f"alert.label_{about.kind}", language)
    first = say(f"alert.first_{about.kind}", language, label=label)
    return first + say("alert.repeat", language) if about.may_be_repeat else first


def _why(about: Alert, language: Language) -> list[str]:
    if about.why not in _SPECIAL_WHY:
        return []
    return [say(f"alert.why_{about.why.replace(' ', '_')}", language, asked=about.asked)]


def _when(about: Alert, language: Language, zone: tzinfo) -> list[str]:
    """By which routes it came, and when each told first."""
    routes = dict.fromkeys(sighting.route for sighting in about.sightings if sighting.route)
    first = {route: min(s.at for s in about.sightings if s.route is route) for route in routes}
    lines = [
        say("alert.route_line", language, route=say(f"alert.route_{route}", language), at=at(when, zone))
        for route, when in first.items()
    ]
    return lines or [say("alert.received_line", language, at=at(about.received, zone))]


def _facts(about: Alert, language: Language) -> list[str]:
    """What the mail says of the order; of an unverified mail nothing but order IDs (design section 3)."""
    also = (
        [say("alert.also_line", language, orders=", ".join(about.also_mentioned[:5]))] if about.also_mentioned else []
    )
    return [*_details(about, language), *also] if about.trust is Trust.VERIFIED else also


def _details(about: Alert, language: Language) -> list[str]:
    lines = [say("alert.item_line", language, item=_item(item, language)) for item in about.items[:_SHOWN_ITEMS]]
    for key, value in (
        ("reason", about.reason),
        ("order_date", about.order_date),
        ("ship_by", about.ship_by),
        ("excerpt", about.excerpt),
    ):
        if value:
            field = "date" if key in {"order_date", "ship_by"} else key
            lines.append(say(f"alert.{key}_line", language, **{field: plain(value)}))
    return lines


def _item(item: Item, language: Language) -> str:
    named = plain(item.title or item.asin or item.sku or "", 60)
    quantity = item.quantity if item.quantity and item.quantity > 1 else None
    return named + (say("alert.quantity", language, quantity=quantity) if quantity else "")


def _doubt(about: Alert, language: Language, zone: tzinfo) -> list[str]:
    lines = [] if about.trust is Trust.VERIFIED else [say("alert.unverified", language)]
    if about.order_id is None:
        domain = plain(about.sender_domain or "") or say("alert.unknown_domain", language)
        where = {
            "account": about.account,
            "folder": plain(about.folder),
            "at": at(about.received, zone),
            "domain": domain.replace(".", " . "),
        }
        lines.append(say("alert.where_line", language, **where))
    return lines


def _link(about: Alert) -> list[str]:
    page = order_page(about.marketplace, about.order_id) if about.order_id else None
    return [page] if page else []
