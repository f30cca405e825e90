"""The alert of a mail in its long form, for chat and LINE.

The first line fits a lock screen, the order ID stands alone on its line to be copied, the link is built from the ID.
"""

from __future__ import annotations

from datetime import timedelta, tzinfo

from mailwatch.alert import Alert
from mailwatch.amazon import dates
from mailwatch.amazon.details import Item
from mailwatch.amazon.marketplace import order_page
from mailwatch.catalogue import Language, say
from mailwatch.notice import Kind
from mailwatch.texts.text import Text, at, plain
from mailwatch.trust import Trust

_SHOWN_ITEMS = 3
_LIMIT = 1000
_LIMITS_OF_VALUES = (120, 60, 30)
_SPECIAL_WHY = ("verified now", "now official", "more items", "asked again")
# An order this old was most likely shipped: one seller nearly refunded a parcel that had arrived (domain section 1).
_OLD_DAYS = 14
# The buyer gets a day to press the button.
_ANSWER_WITHIN = timedelta(days=1)


def word(about: Alert, language: Language, zone: tzinfo) -> Text:
    """The text of an alert, times in `zone`: at most 1,000 characters, the values out of the mail cut as that needs."""
    for limit in _LIMITS_OF_VALUES:
        text = _word(about, language, zone, limit)
        if len(text.whole) <= _LIMIT:
            break
    return text


def _word(about: Alert, language: Language, zone: tzinfo, limit: int) -> Text:
    lines = [
        about.order_id or say("alert.no_order", language),
        *_doubt(about, language, zone),
        *_late(about, language),
        *_why(about, language),
        _do(about, language),
        *old_order(about, language, zone),
        *_when(about, language, zone),
        *_facts(about, language, limit),
        *_link(about),
        say("alert.open_line", language, n=about.open_requests),
        *_reply(about, language, zone),
    ]
    return Text(_title(about, language), "\n".join(lines))


def _do(about: Alert, language: Language) -> str:
    """What to do now; without an order there is no page to look at."""
    if about.kind is Kind.POSSIBLE and about.order_id is None:
        return say("alert.do_without_order", language)
    return say(f"alert.do_{about.kind}", language)


def _late(about: Alert, language: Language) -> list[str]:
    """How old it is, where it could not be told at once: nothing old passes for new."""
    hours = int((about.told_at - about.received).total_seconds() // 3600) if about.told_at else 0
    if hours < 1:
        return []
    days = hours // 24
    return [say("alert.late_days", language, n=days) if days else say("alert.late_hours", language, n=hours)]


def old_order(about: Alert, language: Language, zone: tzinfo) -> list[str]:
    """A warning where the order is so old, or its ship-by date so far past, that the parcel may have left."""
    if about.trust is not Trust.VERIFIED or about.kind is Kind.CANCELLED:
        return []
    received = about.received.astimezone(zone).date()
    ordered = dates.parse(about.order_date or "")
    ship_by = dates.parse(about.ship_by or "")
    if ordered and (received - ordered).days >= _OLD_DAYS:
        return [say("alert.old_order", language, days=(received - ordered).days)]
    return [say("alert.past_ship_by", language)] if ship_by and ship_by < received else []


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


def _facts(about: Alert, language: Language, limit: int) -> list[str]:
    """What the mail says of the order; of an unverified mail nothing but order IDs (design section 3)."""
    others = ", ".join(plain(each, 19) for each in about.also_mentioned[:5])
    also = [say("alert.also_line", language, orders=others)] if others else []
    return [*_details(about, language, limit), *also] if about.trust is Trust.VERIFIED else also


def _details(about: Alert, language: Language, limit: int) -> list[str]:
    items = (_item(item, language, limit // 2) for item in about.items[:_SHOWN_ITEMS])
    lines = [say("alert.item_line", language, item=item) for item in items]
    if len(about.items) > _SHOWN_ITEMS:
        lines.append(say("alert.more_items_line", language, n=len(about.items) - _SHOWN_ITEMS))
    for key, value in (
        ("reason", about.reason),
        ("order_date", about.order_date),
        ("ship_by", about.ship_by),
        ("excerpt", about.excerpt),
    ):
        if value:
            field, most = ("date", limit // 3) if key in {"order_date", "ship_by"} else (key, limit)
            lines.append(say(f"alert.{key}_line", language, **{field: plain(value, most)}))
    return lines


def _item(item: Item, language: Language, limit: int) -> str:
    named = plain(item.title or item.asin or item.sku or "", limit)
    quantity = item.quantity if item.quantity and item.quantity > 1 else None
    return named + (say("alert.quantity", language, quantity=quantity) if quantity else "")


def _doubt(about: Alert, language: Language, zone: tzinfo) -> list[str]:
    lines = [] if about.trust is Trust.VERIFIED else [say("alert.unverified", language)]
    if about.order_id is None:
        domain = plain(about.sender_domain or "", 60) or say("alert.unknown_domain", language)
        where = {
            "account": about.account,
            "folder": plain(about.folder, 60),
            "at": at(about.received, zone),
            "domain": domain.replace(".", " . "),
        }
        lines.append(say("alert.where_line", language, **where))
    return lines


def _link(about: Alert) -> list[str]:
    page = order_page(about.marketplace, about.order_id) if about.order_id else None
    return [page] if page else []


def _reply(about: Alert, language: Language, zone: tzinfo) -> list[str]:
    """What to answer the buyer of a wish, ready to copy; mailwatch writes to nobody."""
    if about.kind is not Kind.WISH:
        return []
    until = (max(about.received, about.told_at or about.received) + _ANSWER_WITHIN).astimezone(zone)
    return [say("alert.reply_line", language), say("alert.reply", language, month=until.month, day=until.day)]
