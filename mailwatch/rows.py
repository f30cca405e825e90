"""How the core's values stand in the store's rows."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from mailwatch.alert import Alert, Digest, DigestRow, FaultNews, MorningLine, Stage, TestAlert
from mailwatch.amazon.details import Item
from mailwatch.catalogue import say_fault
from mailwatch.database import Database
from mailwatch.errors import Fault
from mailwatch.notice import Kind, Route
from mailwatch.request import Sighting
from mailwatch.trust import Trust

# What reading an odd value raises: of a row that a failing disk has changed, or that a later mailwatch has written.
ODD = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


def items_out(items: tuple[Item, ...]) -> str:
    """Items as JSON."""
    return json.dumps([asdict(item) for item in items], ensure_ascii=False)


def items_in(stored: str) -> tuple[Item, ...]:
    """Items from JSON; none from what is odd: they only adorn an alert, and tell one item from another."""
    try:
        return tuple(Item(**row) for row in json.loads(stored))
    except ODD:
        return ()


def sightings(database: Database, request: int) -> tuple[Sighting, ...]:
    """All sightings of a request, oldest first; one that is odd is left out: at worst a request is told again."""
    rows = database.all("SELECT * FROM sighting WHERE request = ? ORDER BY at, id", request)
    return tuple(found for row in rows if (found := _sighting(row)))


def _sighting(row: sqlite3.Row) -> Sighting | None:
    try:
        return Sighting(
            at=datetime.fromtimestamp(row["at"], UTC),
            kind=Kind(row["kind"]),
            trust=Trust(row["trust"]),
            route=Route(row["route"]) if row["route"] else None,
            items=items_in(row["items"]),
            account=row["account"],
            folder=row["folder"],
        )
    except ODD:
        return None


def fault_out(fault: Fault) -> dict[str, Any]:
    """A fault, and those in its fields, as JSON values."""
    fields = {name: fault_out(value) if isinstance(value, Fault) else value for name, value in fault.fields.items()}
    return {"key": fault.key, "fields": fields}


def fault_in(stored: dict[str, Any]) -> Fault:
    """A fault from JSON values. Raises one of `ODD` where it is none that we can word."""
    fields = {name: fault_in(value) if isinstance(value, dict) else value for name, value in stored["fields"].items()}
    fault = Fault(stored["key"], fields)
    # A later mailwatch knows more keys, and other fields.
    say_fault(fault, "en")
    return fault


def news_out(news: FaultNews | Digest | MorningLine | TestAlert) -> dict[str, Any]:
    """What is told beside the mails, as JSON values; `kind` names it, as a channel's `send` does."""
    match news:
        case FaultNews():
            return {"kind": "fault", "fault": fault_out(news.fault), "stage": news.stage, "at": news.since.timestamp()}
        case Digest():
            named = [[row.kind, row.order_id, row.at.timestamp(), row.place] for row in news.named]
            numbers = {"count": news.count, "at": news.since.timestamp()}
            return {"kind": "digest", "reason": news.reason, "named": named, **numbers}
        case MorningLine():
            numbers = {name: getattr(news, name) for name in ("mails", "known", "open", "missed", "forged")}
            lists = {name: [fault_out(each) for each in getattr(news, name)] for name in ("troubles", "quiet")}
            undelivered = {"undelivered": news.undelivered}
            return {"kind": "morning", "at": news.since.timestamp(), **lists, **undelivered, **numbers}
        case TestAlert():
            return {"kind": "test", "at": news.at.timestamp()}


def news_in(stored: dict[str, Any], *, may_be_repeat: bool) -> FaultNews | Digest | MorningLine | TestAlert | None:
    """The same from JSON values; None where it is the alert of a mail."""
    kind = stored["kind"]
    if kind not in {"fault", "digest", "morning", "test"}:
        return None
    at = datetime.fromtimestamp(stored["at"], UTC)
    if kind == "fault":
        return FaultNews(fault_in(stored["fault"]), Stage(stored["stage"]), at, may_be_repeat)
    if kind == "digest":
        named = tuple(
            DigestRow(Kind(kind), order_id, datetime.fromtimestamp(moment, UTC), place)
            for kind, order_id, moment, place in stored["named"]
        )
        return Digest(stored["reason"], stored["count"], named, at, may_be_repeat)
    if kind == "morning":
        numbers = {name: stored[name] for name in ("mails", "known", "open", "missed", "forged")}
        troubles, quiet = (tuple(fault_in(each) for each in stored.get(name, ())) for name in ("troubles", "quiet"))
        undelivered = tuple(stored.get("undelivered", ()))  # a row of before 0.2.0 has none
        told = MorningLine(at, **numbers, troubles=troubles, undelivered=undelivered, quiet=quiet)
        return replace(told, may_be_repeat=may_be_repeat)
    return TestAlert(at, may_be_repeat)


def alert_in(database: Database, stored: dict[str, Any], request: sqlite3.Row | None, is_repeat: bool) -> Alert:
    """The alert of a mail, with what its request has come to since; the number of open requests is not in it."""
    facts = {
        **stored,
        "kind": Kind(stored["kind"]),
        "trust": Trust(stored["trust"]),
        "received": datetime.fromtimestamp(stored["received"], UTC),
        "items": items_in(stored["items"]),
        "also_mentioned": tuple(stored["also_mentioned"]),
        # A later mail may have corrected it before this is sent.
        "marketplace": (request["marketplace"] if request else None) or stored["marketplace"],
    }
    return Alert(
        **facts,
        sightings=sightings(database, request["id"]) if request else (),
        asked=request["asked"] if request else 1,
        may_be_repeat=is_repeat,
    )
