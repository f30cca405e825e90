"""How often a person is told: digests instead of many single alerts, and the morning line (design section 6).

Two things gather: unverified alerts above 20 in an hour, which a digest names or counts every 6 hours; and what a
folder holds at its first start, after a rebuilt store or after an outage, which a digest names without exception.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from mailwatch import health, rows
from mailwatch.alert import Digest, DigestRow, FaultNews, MorningLine, Stage
from mailwatch.database import Database, moment
from mailwatch.errors import Fault
from mailwatch.notice import Kind, Notice
from mailwatch.outbox import Outbox
from mailwatch.trust import Trust

SINGLE_AN_HOUR = 20
DIGEST_EVERY = timedelta(hours=6)
# The first digest of a flood waits a little, to hold more of it.
_DIGEST_GATHERS = timedelta(minutes=10)
# A first search that finds no end must not hold back what it found.
_GATHERED_FOR = timedelta(minutes=5)
_NAMED_IN_ONE = 40
# Of a first start's unverified alerts so many are gathered to be named; a flood beyond that is counted.
_GATHERED_UNVERIFIED = 100
_HOUR = timedelta(hours=1)
_DAY_SECONDS = 86_400
_AMAZON_DAYS_KEPT = timedelta(days=90)
# Of the type header's values: what a counter's name begins with, how many are counted by name, and the rest's name.
_TYPE, _OTHER_TYPE = "type/", "other"
_TYPES = 20


@dataclass(frozen=True, slots=True)
class Gather:
    """Why the alerts of a folder wait for a digest."""

    reason: Literal["first_start", "rebuilt", "outage"]
    account: str
    folder: str


class Reports:
    """The counts of one store. What only writes belongs inside the caller's transaction. Raises `StoreError`."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    # ---- unverified alerts ----

    def may_be_named(self, notice: Notice, request: int | None, now: datetime, gather: Gather | None = None) -> bool:
        """Whether an alert goes out by name: verified always, unverified the first 20 in an hour. The rest waits.

        Mail that a list or forwarder passes on has a limit of its own: look-alikes must not use it up.
        """
        if notice.trust is Trust.VERIFIED:
            self._database.change("DELETE FROM unverified WHERE request = ? AND state <> 'told'", request)
            return True
        row = self._database.one(
            "SELECT count(*) AS n FROM unverified WHERE state = 'told' AND at > ? AND at <= ? AND rewritten = ?",
            *((now - _HOUR).timestamp(), now.timestamp(), notice.is_rewritten),
        )
        is_named = row is None or row["n"] < (_GATHERED_UNVERIFIED if gather else SINGLE_AN_HOUR)
        self._database.change(
            "INSERT INTO unverified (at, request, kind, order_id, state, rewritten) VALUES (?, ?, ?, ?, ?, ?)",
            *(now.timestamp(), request, notice.kind, notice.order_id, "told" if is_named else "waiting"),
            notice.is_rewritten,
        )
        return is_named

    def tell_digest(self, channels: Iterable[str], now: datetime, hold_until: datetime | None) -> bool:
        """Owe the digest of the unverified that wait, where it is time; whether it was."""
        oldest = self._database.one("SELECT min(at) AS at FROM unverified WHERE state = 'waiting'")
        if oldest is None or oldest["at"] is None or not self._is_time(oldest["at"], now):
            return False
        with self._database.transaction():
            waiting = self._database.all("SELECT * FROM unverified WHERE state = 'waiting' ORDER BY id DESC")
            named = {row["order_id"]: row for row in reversed(waiting) if row["order_id"]}
            shown = tuple(
                DigestRow(Kind(row["kind"]), row["order_id"], moment(row["at"]))
                for row in list(named.values())[:_NAMED_IN_ONE]
                if row["kind"] in set(Kind)  # one that is odd is counted
            )
            digest = Digest("unverified", len(waiting), shown, moment(oldest["at"]))
            rebuilt = self._last("rebuilt")
            is_repeat = rebuilt is not None and moment(oldest["at"]) <= rebuilt
            stored = rows.news_out(digest)
            self._outbox.owe(None, stored, channels, now, hold_until=hold_until, may_be_repeat=is_repeat)
            self._database.change("UPDATE unverified SET state = 'counted' WHERE state = 'waiting'")
            for row in shown:
                self._database.change("DELETE FROM unverified WHERE state = 'counted' AND order_id = ?", row.order_id)
            self._remember("digest", now, {})
        return True

    def _is_time(self, oldest: float, now: datetime) -> bool:
        last = self._last("digest")
        since = (last + DIGEST_EVERY).timestamp() if last and last <= now else 0.0
        return now.timestamp() >= max(oldest + _DIGEST_GATHERS.total_seconds(), since)

    # ---- first start, rebuilt store, outage ----

    def gather(self, why: Gather, request: int | None, alert: dict[str, Any], now: datetime) -> None:
        """Keep an alert for the digest of its folder's search."""
        self._database.change(
            "INSERT INTO held (at, reason, account, folder, request, alert) VALUES (?, ?, ?, ?, ?, ?)",
            *(now.timestamp(), why.reason, why.account, why.folder, request, json.dumps(alert, ensure_ascii=False)),
        )

    def tell_gathered(
        self, account: str, folder: str, audience: Sequence[tuple[str, frozenset[str]]], now: datetime
    ) -> bool:
        """Owe what was gathered of a folder, to each channel that takes digests; whether there was any.

        Where none does any more, to each that takes such alerts. One alone goes out as itself. Each is named: a digest
        counts as the alert of every order in it.
        """
        which = "SELECT * FROM held WHERE account = ? AND folder = ?"
        if not self._database.one(which, account, folder):
            return False
        with self._database.transaction():
            found = self._database.all(which, account, folder)
            held = [each for row in found if (each := _held(row))]
            takers = [each for each in audience if "digest" in each[1]] or audience
            for name, kinds in takers:
                wanted = [each for each in held if each.named.kind in kinds]
                self._owe_gathered(name, wanted, now)
            if len(held) < len(found):
                odd = FaultNews(Fault("fault.unreadable_row"), Stage.ONCE, now)
                names = [name for name, kinds in audience if "fault" in kinds]
                self._outbox.owe(None, rows.news_out(odd), names, now)
            self._database.change("DELETE FROM held WHERE account = ? AND folder = ?", account, folder)
        return True

    def tell_overdue_gathered(self, audience: Sequence[tuple[str, frozenset[str]]], now: datetime) -> bool:
        """The same for folders whose search does not come to its end; whether there was any."""
        # In the future: the clock was set back. A little of that is another thread that was quicker than we.
        since, until = (now - _GATHERED_FOR).timestamp(), (now + _GATHERED_FOR).timestamp()
        late = self._database.all("SELECT DISTINCT account, folder FROM held WHERE at < ? OR at > ?", since, until)
        for row in late:
            self.tell_gathered(row["account"], row["folder"], audience, now)
        return bool(late)

    def _owe_gathered(self, channel: str, held: list[_Held], now: datetime) -> None:
        if not held:
            return
        reason = held[0].reason
        is_repeat = reason == "rebuilt"
        if len(held) == 1:
            self._outbox.owe(held[0].request, held[0].alert, [channel], now, may_be_repeat=is_repeat)
            return
        shown = sorted((each.named for each in held), key=lambda row: row.at, reverse=True)
        for at in range(0, len(shown), _NAMED_IN_ONE):
            part = tuple(shown[at : at + _NAMED_IN_ONE])
            digest = Digest(reason, len(part), part, part[-1].at)
            stored = rows.news_out(digest) | {"names_verified": any(each.is_verified_request for each in held)}
            self._outbox.owe(None, stored, [channel], now, may_be_repeat=is_repeat)

    # ---- the run itself ----

    def note_run(self, now: datetime) -> None:
        """A `run` starts on this store: what it does not hold from now on did not come."""
        with self._database.transaction():
            self._remember("run", now, {})

    def was_run(self) -> bool:
        """Whether a `run` ever started on this store."""
        return self._last("run") is not None

    def note_rebuilt(self, now: datetime) -> None:
        """This store stands in for another: what it tells first may have been told. Inside the caller's transaction."""
        self._database.change("UPDATE held SET reason = 'rebuilt'")
        self._remember("rebuilt", now, {})

    def was_rebuilt(self) -> bool:
        """Whether this store stands in for another."""
        return self._last("rebuilt") is not None

    # ---- the morning line ----

    def count(self, name: str) -> None:
        """One more of it: `forged` or `missed`."""
        self._database.change(
            "INSERT INTO counter VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET total = counter.total + 1", name
        )

    def count_type(self, value: str) -> None:
        """One more mail of Amazon's whose type header no form knows; the first 20 types by name, the rest together."""
        known = {name for name, _ in self.unknown_types()}
        self.count(_TYPE + (value if value in known or len(known) < _TYPES else _OTHER_TYPE))

    def unknown_types(self) -> tuple[tuple[str, int], ...]:
        """Return the types that no form knows, and how many mails were of each, by name."""
        rows = self._database.all("SELECT name, total FROM counter WHERE name LIKE ? ORDER BY name", _TYPE + "%")
        return tuple((row["name"].removeprefix(_TYPE), row["total"]) for row in rows)

    def note_amazons(self, account: str, received: datetime) -> None:
        """A mail of Amazon's arrived at the account then."""
        at = received.timestamp()
        self._database.change(
            "INSERT INTO amazon_day VALUES (?, ?, ?, ?) ON CONFLICT (account, day)"
            " DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last)",
            *(account, int(at // _DAY_SECONDS), at, at),
        )

    def forget_amazons(self, now: datetime) -> None:
        """Forget the days from which nothing can be told any more."""
        self._database.change("DELETE FROM amazon_day WHERE last < ?", (now - _AMAZON_DAYS_KEPT).timestamp())

    def quiet(self, accounts: Iterable[str], now: datetime) -> tuple[Fault, ...]:
        """Return a sentence for each of these accounts to which Amazon has sent nothing for unusually long."""
        sentences = []
        for account in accounts:
            query = "SELECT first, last FROM amazon_day WHERE account = ? ORDER BY day"
            days = [(moment(row["first"]), moment(row["last"])) for row in self._database.all(query, account)]
            since = health.quiet_since(days, now)
            if since is not None:
                sentences.append(Fault("morning.quiet", {"account": account, "days": str((now - since).days)}))
        return tuple(sentences)

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
        self,
        channels: Iterable[str],
        troubles: tuple[Fault, ...],
        now: datetime,
        hold_until: datetime | None,
        quiet: tuple[Fault, ...] = (),
    ) -> None:
        """Owe the morning line: what was seen since the last one, what is not well now, and where Amazon is `quiet`."""
        with self._database.transaction():
            row = self._database.one("SELECT * FROM report WHERE name = 'morning'")
            totals = self._totals()
            before = _totals_in(row["totals"]) if row else {}
            counts = {name: total - before.get(name, 0) for name, total in totals.items()}
            since = moment(row["at"]) if row else now
            line = MorningLine(
                since,
                **counts,
                open=self._outbox.open_requests(now),
                troubles=troubles,
                undelivered=self._outbox.undelivered_replies(now),
                quiet=quiet,
            )
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
        return moment(row["at"]) if row else None

    def _remember(self, name: str, now: datetime, totals: dict[str, int]) -> None:
        self._database.change(
            "INSERT INTO report VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET at = excluded.at,"
            " totals = excluded.totals",
            *(name, now.timestamp(), json.dumps(totals)),
        )


@dataclass(frozen=True, slots=True)
class _Held:
    """An alert that waits for a digest, and its line there."""

    reason: str
    request: int | None
    alert: dict[str, Any]
    named: DigestRow

    @property
    def is_verified_request(self) -> bool:
        """Whether the last of a month's quota is kept for it."""
        return self.named.kind is Kind.REQUEST and self.alert["trust"] == Trust.VERIFIED


def _held(row: sqlite3.Row) -> _Held | None:
    """None where it can't be read."""
    try:
        alert = json.loads(row["alert"])
        return _Held(row["reason"], row["request"], alert, _digest_row(alert))
    except rows.ODD:
        return None


def _digest_row(alert: dict[str, Any]) -> DigestRow:
    """One line of a digest; where there is no order ID, the place of the mail."""
    place = "" if alert["order_id"] else f"{alert['account']} / {alert['folder']} / {alert['sender_domain'] or '?'}"
    return DigestRow(Kind(alert["kind"]), alert["order_id"], moment(alert["received"]), place)


def _totals_in(stored: str) -> dict[str, Any]:
    """The totals of the last morning; none from what is odd."""
    try:
        return {name: int(total) for name, total in json.loads(stored).items()}
    except rows.ODD:
        return {}
