"""The alerts that are owed: one row for each alert and channel, written with the request, settled after the send."""

from __future__ import annotations

import json
import random
import sqlite3
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mailwatch import retry, rows
from mailwatch.alert import Alert
from mailwatch.database import Database
from mailwatch.notice import Kind
from mailwatch.trust import Trust

# The reason and the excerpt of a buyer's message live no longer than this (design section 6).
PRIVATE_FOR = timedelta(hours=24)
LAPSES_AFTER = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """An alert owed to a channel. `id` is the idempotency key where the channel takes one.

    `attempts` were begun before; `is_unsure` says that one of them may have been accepted (killed, or no answer).
    """

    id: uuid.UUID
    channel: str
    alert: Alert
    attempts: int
    is_unsure: bool


class Outbox:
    """The outbox of one store. Raises `StoreError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def owe(self, request: int | None, alert: dict[str, Any], channels: Iterable[str], now: datetime) -> None:
        """Owe the alert to each channel; inside the transaction that writes the request."""
        for name in channels:
            self._database.change(
                "INSERT INTO outbox (id, channel, request, alert, created_at, next_attempt) VALUES (?, ?, ?, ?, ?, ?)",
                *(str(uuid.uuid4()), name, request, json.dumps(alert, ensure_ascii=False)),
                *(now.timestamp(), now.timestamp()),
            )

    def due(self, channel: str, now: datetime) -> OutboxEntry | None:
        """The alert to send now.

        Order is kept: one that waits out a passing failure holds the rest; one refused for good waits alone.
        """
        row = self._database.one(
            "SELECT * FROM outbox WHERE channel = ? AND settled_at IS NULL"
            " AND NOT (outcome IS 'permanent' AND next_attempt > ?) ORDER BY number LIMIT 1",
            *(channel, now.timestamp()),
        )
        if row is None or row["next_attempt"] > now.timestamp():
            return None
        return OutboxEntry(uuid.UUID(row["id"]), channel, self._alert(row, now), row["attempts"], bool(row["unsure"]))

    def next_due(self, channel: str) -> datetime | None:
        """When an alert owed to the channel is to be tried next, or None where nothing is owed."""
        row = self._database.one(
            "SELECT min(next_attempt) AS at FROM outbox WHERE channel = ? AND settled_at IS NULL"
            " AND (outcome IS 'permanent' OR number = (SELECT min(number) FROM outbox"
            " WHERE channel = ? AND settled_at IS NULL AND outcome IS NOT 'permanent'))",
            *(channel, channel),
        )
        return datetime.fromtimestamp(row["at"], UTC) if row and row["at"] is not None else None

    def begin_attempt(self, entry: OutboxEntry) -> None:
        """Count the attempt before its first byte is sent: after a kill the next one knows that it may be a repeat."""
        query = "UPDATE outbox SET attempts = attempts + 1, unsure = 1 WHERE id = ?"
        with self._database.transaction():
            self._database.change(query, str(entry.id))

    def settle(self, entry: OutboxEntry, now: datetime) -> None:
        """The channel accepted the alert; what it said is forgotten."""
        with self._database.transaction():
            self._database.change(
                "UPDATE outbox SET settled_at = ?, outcome = 'accepted', alert = '{}' WHERE id = ?",
                *(now.timestamp(), str(entry.id)),
            )
            self._database.change(
                "INSERT INTO channel (name, last_success) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET last_success = excluded.last_success",
                *(entry.channel, now.timestamp()),
            )

    def postpone(self, entry: OutboxEntry, outcome: str, now: datetime, retry_after: float = 0.0) -> float:
        """The channel did not accept the alert: it stays owed. Returns the seconds until the next attempt.

        `outcome` is `passing`, `permanent` or `ambiguous`; `retry_after`: the least seconds the channel asked for.
        """
        jitter = random.random()  # noqa: S311 - spreads retries, hides nothing
        own = retry.SEND_PERMANENT if outcome == "permanent" else retry.send_delay(entry.attempts + 1, jitter)
        delay = max(own, retry_after)
        is_unsure = entry.is_unsure or outcome == "ambiguous"
        with self._database.transaction():
            self._database.change(
                "UPDATE outbox SET next_attempt = ?, outcome = ?, unsure = ? WHERE id = ?",
                *(now.timestamp() + delay, outcome, int(is_unsure), str(entry.id)),
            )
        return delay

    def close_removed_channels(self, names: Iterable[str], now: datetime) -> dict[str, int]:
        """Close what is owed to channels that left the configuration; how many rows of each."""
        keep = set(names)
        owed = self._database.all("SELECT channel, count(*) AS n FROM outbox WHERE settled_at IS NULL GROUP BY channel")
        gone = {row["channel"]: row["n"] for row in owed if row["channel"] not in keep}
        with self._database.transaction():
            for name in gone:
                self._database.change(
                    "UPDATE outbox SET settled_at = ?, outcome = 'channel removed', alert = '{}'"
                    " WHERE channel = ? AND settled_at IS NULL",
                    *(now.timestamp(), name),
                )
        return gone

    def _alert(self, row: sqlite3.Row, now: datetime) -> Alert:
        stored = json.loads(row["alert"])
        request = self._database.one("SELECT asked FROM request WHERE id = ?", row["request"])
        if now.timestamp() - row["created_at"] > PRIVATE_FOR.total_seconds():
            stored.update(reason=None, excerpt=None)
        stored.update(
            kind=Kind(stored["kind"]),
            trust=Trust(stored["trust"]),
            received=datetime.fromtimestamp(stored["received"], UTC),
            items=rows.items_in(stored["items"]),
            also_mentioned=tuple(stored["also_mentioned"]),
        )
        return Alert(
            **stored,
            sightings=rows.sightings(self._database, row["request"]) if row["request"] else (),
            asked=request["asked"] if request else 1,
            may_be_repeat=bool(row["unsure"]),
            open_requests=self._open_requests(now),
        )

    def _open_requests(self, now: datetime) -> int:
        """Requests and wishes that are open and have not lapsed, 14 days after the last sighting (design section 4)."""
        row = self._database.one(
            "SELECT count(*) AS n FROM request WHERE state = 'open' AND kind IN ('request', 'wish')"
            " AND EXISTS (SELECT 1 FROM sighting WHERE sighting.request = request.id AND at > ?)",
            (now - LAPSES_AFTER).timestamp(),
        )
        return int(row["n"]) if row else 0

    def forget_private(self, now: datetime) -> None:
        """Take reason and excerpt out of rows that are still owed after 24 hours (design section 6)."""
        since = (now - PRIVATE_FOR).timestamp()
        rest = "settled_at IS NULL AND created_at < ? AND coalesce(alert ->> 'reason', alert ->> 'excerpt') IS NOT NULL"
        if self._database.one(f"SELECT 1 FROM outbox WHERE {rest}", since):  # noqa: S608 - a constant
            with self._database.transaction():
                forgotten = "json_set(alert, '$.reason', NULL, '$.excerpt', NULL)"
                self._database.change(f"UPDATE outbox SET alert = {forgotten} WHERE {rest}", since)  # noqa: S608
