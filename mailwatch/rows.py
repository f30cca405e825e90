"""How the core's values stand in the store's rows."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict
from datetime import UTC, datetime

from mailwatch.amazon.details import Item
from mailwatch.database import Database
from mailwatch.notice import Kind, Route
from mailwatch.request import Sighting
from mailwatch.trust import Trust


def items_out(items: tuple[Item, ...]) -> str:
    """Items as JSON."""
    return json.dumps([asdict(item) for item in items], ensure_ascii=False)


def items_in(stored: str) -> tuple[Item, ...]:
    """Items from JSON."""
    return tuple(Item(**row) for row in json.loads(stored))


def sightings(database: Database, request: int) -> tuple[Sighting, ...]:
    """All sightings of a request, oldest first."""
    rows = database.all("SELECT * FROM sighting WHERE request = ? ORDER BY at, id", request)
    return tuple(_sighting(row) for row in rows)


def _sighting(row: sqlite3.Row) -> Sighting:
    return Sighting(
        at=datetime.fromtimestamp(row["at"], UTC),
        kind=Kind(row["kind"]),
        trust=Trust(row["trust"]),
        route=Route(row["route"]) if row["route"] else None,
        items=items_in(row["items"]),
    )
