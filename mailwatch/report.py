"""How often a person is told: the limit on unverified alerts, their digest, and the morning line (design section 6)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from mailwatch import rows
from mailwatch.alert import Digest, MorningLine
from mailwatch.database import Database
from mailwatch.errors import Fault
from mailwatch.notice import Notice
from mailwatch.outbox import Outbox
from mailwatch.trust import Trust

SINGLE_AN_HOUR = 20
DIGEST_EVERY = timedelta(hours=6)
# The first digest of a flood waits a little, to hold more of it.
_DIGEST_GATHERS = timedelta(minutes=10)
_NAMED = 50
_HOUR = timedelta(hours=1)


class Reports:
    """The counts of one store. What only writes belongs inside the caller's transaction. Raises `StoreError`."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    # ---- unverified alerts ----

    def may_be_single(self, notice: Notice, request: int | None, now: datetime) -> bool:
        """Whether an alert goes out singly: verified always, unverified the first 20 in an hour. The rest waits for a
        digest."""
        if notice.trust is Trust.VERIFIED:
            self._database.change("DELETE FROM unverified WHERE request = ? AND state <> 'told'", request)
            return True
        row = self._database.one(
            "SELECT count(*) AS n FROM unverified WHERE state = 'told' AND at > ? AND at <= ?",
            *((now - _HOUR).timestamp(), now.timestamp()),
        )
        is_single = row is None or row["n"] < SINGLE_AN_HOUR
        self._database.change(
            "INSERT INTO unverified (at, request, order_id, state) VALUES (?, ?, ?, ?)",
            *(now.timestamp(), request, notice.order_id, "told" if is_single else "waiting"),
        )
        return is_single

    def was_told(self, request: int) -> bool:
        """Whether the request's alerts reached a person by name; one that a digest only counted did not."""
        return not self._database.one("SELECT 1 FROM unverified WHERE request = ? AND state <> 'told'", request)

    def tell_digest(self, channels: Iterable[str], now: datetime, hold_until: datetime | None) -> bool:
        """Owe the digest of what waits, where it is time; whether it was."""
        oldest = self._database.one("SELECT min(at) AS at FROM unverified WHERE state = 'waiting'")
        if oldest is None or oldest["at"] is None or not self._is_time(oldest["at"], now):
            return False
        with self._database.transaction():
            waiting = self._database.all("SELECT id, order_id FROM unverified WHERE state = 'waiting' ORDER BY id")
            named = list(dict.fromkeys(row["order_id"] for row in waiting if row["order_id"]))[:_NAMED]
            digest = Digest(len(waiting), tuple(named), datetime.fromtimestamp(oldest["at"], UTC))
            self._outbox.owe(None, rows.news_out(digest), channels, now, hold_until=hold_until)
            self._database.change("UPDATE unverified SET state = 'counted' WHERE state = 'waiting'")
            for order_id in named:
                self._database.change("DELETE FROM unverified WHERE state = 'counted' AND order_id = ?", order_id)
            self._database.change("DELETE FROM unverified WHERE state = 'told' AND at < ?", (now - _HOUR).timestamp())
            self._remember("digest", now, {})
        return True

    def _is_time(self, oldest: float, now: datetime) -> bool:
        last = self._last("digest")
        since = (last + DIGEST_EVERY).timestamp() if last and last <= now else 0.0
        return now.timestamp() >= max(oldest + _DIGEST_GATHERS.total_seconds(), since)

    # ---- the run itself ----

    def note_run(self, now: datetime) -> None:
        """A `run` starts on this store: what it does not hold from now on did not come."""
        with self._database.transaction():
            self._remember("run", now, {})

    def was_run(self) -> bool:
        """Whether a `run` ever started on this store."""
        return self._last("run") is not None

    # ---- the morning line ----

    def count(self, name: str) -> None:
        """One more of it: `forged` or `missed`."""
        self._database.change(
            "INSERT INTO counter VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET total = counter.total + 1", name
        )

    def morning_due(self, morning: datetime, now: datetime) -> bool:
        """Whether the line of that morning is still owed. The first morning is the one after the first start."""
        last = self._last("morning")
        if last is None or last > now:
            # The first start, or a clock that was set back.
            with self._database.transaction():
                self._remember("morning", now, self._totals())
            return False
        return last < morning

    def tell_morning(
        self, channels: Iterable[str], troubles: tuple[Fault, ...], now: datetime, hold_until: datetime | None
    ) -> None:
        """Owe the morning line: what was seen since the last one, and what is not well now."""
        with self._database.transaction():
            row = self._database.one("SELECT * FROM report WHERE name = 'morning'")
            before = json.loads(row["totals"]) if row else {}
            totals = self._totals()
            counts = {name: total - before.get(name, 0) for name, total in totals.items()}
            since = datetime.fromtimestamp(row["at"], UTC) if row else now
            line = MorningLine(since, **counts, open=self._outbox.open_requests(now), troubles=troubles)
            self._outbox.owe(None, rows.news_out(line), channels, now, hold_until=hold_until)
            self._remember("morning", now, totals)

    def _totals(self) -> dict[str, int]:
        mails = self._database.one("SELECT coalesce(sum(mails_seen), 0) AS n FROM folder")
        known = self._database.one("SELECT count(*) AS n FROM request WHERE kind IN ('request', 'wish')")
        counters = {row["name"]: row["total"] for row in self._database.all("SELECT * FROM counter")}
        return {
            "mails": int(mails["n"]) if mails else 0,
            "known": int(known["n"]) if known else 0,
            "missed": counters.get("missed", 0),
            "forged": counters.get("forged", 0),
        }

    def _last(self, name: str) -> datetime | None:
        row = self._database.one("SELECT at FROM report WHERE name = ?", name)
        return datetime.fromtimestamp(row["at"], UTC) if row else None

    def _remember(self, name: str, now: datetime, totals: dict[str, int]) -> None:
        self._database.change(
            "INSERT INTO report VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET at = excluded.at,"
            " totals = excluded.totals",
            *(name, now.timestamp(), json.dumps(totals)),
        )
