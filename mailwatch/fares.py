"""How the channels fare: last success, failing since when and why, how much was sent this month. Rows of `channel`."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from mailwatch.database import Database, moment
from mailwatch.secret import Secret
from mailwatch.services import Cause, Outcome, Result

# What is later than this was written before the clock was set back: it counts as long ago.
CLOCKS_AGREE = timedelta(minutes=1)
# While something is owed it is tried at least once an hour: who tries later than this begins anew.
_SERIES_ENDS = timedelta(hours=2)
# Since when something is owed to a channel: (now and `CLOCKS_AGREE`); and what: (channel, its own fault's key, now).
_OLDEST = (
    "min(CASE WHEN created_at > ? THEN 0 WHEN outcome = 'refused' THEN created_at"
    " ELSE max(created_at, next_attempt) END)"
)
_UNTRIED = "min(iif(attempts = 0, max(created_at, next_attempt), NULL))"
# What the channel refused by itself waits for its hour, and not for its turn.
_WAITING = "min(iif(outcome IS 'refused', NULL, max(created_at, next_attempt)))"
_OWED = "channel = ? AND settled_at IS NULL AND about IS NOT ? AND (next_attempt <= ? OR outcome = 'refused')"
# The quotas of LINE and others are of the month in Japan.
_MONTH_ZONE = ZoneInfo("Asia/Tokyo")


@dataclass(frozen=True, slots=True)
class ChannelState:
    """How a channel fares; times are aware UTC.

    `trying_since`: the first attempt since the last success; `failed_at` and `last`: the last attempt that failed, None
    after a success; `not_before`: when the next attempt may be; `oldest_untried`: since when an alert is due that was
    never tried; `oldest_waiting`: since when one is that the channel has not refused by itself.
    """

    name: str
    last_success: datetime | None = None
    trying_since: datetime | None = None
    not_before: datetime | None = None
    failures: int = 0
    failed_at: datetime | None = None
    last: Outcome | None = None
    sent_this_month: int = 0
    owed: int = 0
    oldest_owed: datetime | None = None
    oldest_untried: datetime | None = None
    oldest_waiting: datetime | None = None

    def left_to_wait(self, now: datetime) -> float:
        """The seconds until the next attempt may be; never more than was planned, however the clock was set since."""
        if self.not_before is None or self.failed_at is None:
            return 0.0
        left, planned = self.not_before - now, self.not_before - self.failed_at
        return max(min(left, planned).total_seconds(), 0.0)


class Oldest(NamedTuple):
    """How many alerts are owed; since when the oldest of all is, of the untried, and of those that wait their turn."""

    owed: int
    since: datetime | None
    untried: datetime | None
    waiting: datetime | None


class Fares:
    """The channels of one store. What writes belongs inside the caller's transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, name: str, now: datetime) -> ChannelState:
        """How a channel fares, and what is owed to it. A fault of its own is not counted as owed."""
        row = self._database.one("SELECT * FROM channel WHERE name = ?", name)
        oldest = self.oldest(name, now)
        state = ChannelState(
            name,
            owed=oldest.owed,
            oldest_owed=oldest.since,
            oldest_untried=oldest.untried,
            oldest_waiting=oldest.waiting,
        )
        if row is None:
            return state
        return replace(
            state,
            last_success=_moment(row["last_success"]),
            trying_since=_moment(row["trying_since"]),
            not_before=_moment(row["not_before"]),
            failures=row["failures"],
            failed_at=_moment(row["failed_at"]),
            last=_last(row),
            sent_this_month=row["sent"] if row["month"] == _month(now) else 0,
        )

    def oldest(self, name: str, now: datetime, only: str = "") -> Oldest:
        """Return since when something is owed to the channel. `only`: a further condition, in SQL."""
        row = self._database.one(
            f"SELECT count(*) AS n, {_OLDEST} AS oldest, {_UNTRIED} AS untried, {_WAITING} AS waiting"  # noqa: S608 - constants
            f" FROM outbox WHERE {_OWED}{only}",
            *((now + CLOCKS_AGREE).timestamp(), name, f"channel/{name}", now.timestamp()),
        )
        if row is None:
            return Oldest(0, None, None, None)
        return Oldest(int(row["n"]), _moment(row["oldest"]), _moment(row["untried"]), _moment(row["waiting"]))

    def is_new_url(self, name: str, url: Secret) -> bool:
        """Whether the channel had another URL when it was last asked: who changed it has mended it. Only a keyed hash
        of the URL is kept. In a transaction of its own."""
        hashed = self._database.hash("url", name, url.reveal())
        row = self._database.one("SELECT url FROM channel WHERE name = ?", name)
        if row is not None and row["url"] == hashed:
            return False
        with self._database.transaction():
            self._database.change(
                "INSERT INTO channel (name, url) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET url = excluded.url",
                *(name, hashed),
            )
        return True

    def began(self, name: str, now: datetime) -> None:
        """An attempt begins; a new series after a success, long after the last failure, or by another clock."""
        self._database.change(
            "INSERT INTO channel (name, trying_since) VALUES (?, ?) ON CONFLICT (name) DO UPDATE"
            " SET trying_since = excluded.trying_since, failures = 0 WHERE channel.trying_since IS NULL"
            " OR channel.trying_since > excluded.trying_since OR channel.failed_at < ?",
            *(name, now.timestamp(), (now - _SERIES_ENDS).timestamp()),
        )

    def accepted(self, name: str, now: datetime) -> None:
        """It was accepted."""
        self._database.change(
            "UPDATE channel SET last_success = ?, trying_since = NULL, not_before = NULL, failures = 0,"
            " failed_at = NULL, outcome = 'accepted', why = NULL, cause = NULL,"
            " sent = CASE WHEN month IS ? THEN sent ELSE 0 END + 1, month = ? WHERE name = ?",
            *(now.timestamp(), _month(now), _month(now), name),
        )

    def failed(self, name: str, outcome: Outcome, now: datetime, delay: float) -> None:
        """It was not; the channel waits for `delay` seconds (0: no longer than it had to)."""
        self._database.change(
            "UPDATE channel SET not_before = coalesce(?, not_before), failures = failures + ?, failed_at = ?,"
            " outcome = ?, why = ?, cause = ? WHERE name = ?",
            *(now.timestamp() + delay if delay else None, int(outcome.result is not Result.REFUSED)),
            *(now.timestamp(), outcome.result, outcome.why),
            *(outcome.cause, name),
        )


def _last(channel: sqlite3.Row) -> Outcome | None:
    if channel["failed_at"] is None:
        return None
    try:
        cause = Cause(channel["cause"]) if channel["cause"] else None
        return Outcome(Result(channel["outcome"]), channel["why"], cause=cause)
    except ValueError:
        return None  # of a later mailwatch


def _month(now: datetime) -> str:
    return now.astimezone(_MONTH_ZONE).strftime("%Y-%m")


def _moment(stored: float | None) -> datetime | None:
    return moment(stored) if stored is not None else None
