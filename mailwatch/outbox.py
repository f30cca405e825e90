"""What is owed: one row for each alert and channel, written before it is sent, settled after.

A row that another channel stands in for gives a second row with the same `root`; the first that is accepted settles
both.
"""

from __future__ import annotations

import json
import random
import sqlite3
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from mailwatch import retry, rows
from mailwatch.alert import FaultNews, Stage, TestAlert, Told
from mailwatch.database import Database, moment
from mailwatch.errors import Fault
from mailwatch.fares import CLOCKS_AGREE, Fares, Oldest
from mailwatch.services import Outcome, Result

# The reason and the excerpt of a buyer's message live no longer than this (design section 6).
PRIVATE_FOR = timedelta(hours=24)
LAPSES_AFTER = timedelta(days=14)
# A wall clock that jumps back must not make an alert wait for years: a row is never held for longer than this.
_LONGEST_HOLD = timedelta(days=2)
_UNDELIVERED_IN_ONE = 10
# SQLite fails over JSON that is none, and with it the whole query.
_ALERT = "iif(json_valid(alert), alert, NULL)"
# What the last of a month's quota is kept for: verified requests, alone or in a digest, and that nothing is watched
# any more.
_VERIFIED = (
    f"{_ALERT} ->> 'kind' = 'request' AND {_ALERT} ->> 'trust' = 'verified' OR {_ALERT} ->> 'names_verified' IS 1"
)
_KEPT_FOR = (
    f"({_VERIFIED} OR {_ALERT} ->> 'kind' = 'test'"
    f" OR {_ALERT} ->> 'kind' = 'fault' AND {_ALERT} ->> 'stage' = 'began' OR {_ALERT} ->> 'kind' IS NULL)"
)
# Where more than this wait on one channel, verified requests go first.
_IN_ORDER = 10


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """An alert owed to a channel. `id` is the idempotency key where the channel takes one.

    `attempts` were begun before, and `answers` of them were answered by a failure of the service (5xx, or odd);
    `is_unsure` says that one of them may have been accepted (killed, or no answer).
    `about`: the key of the fault that it is about, if it is about one. `told_before`: how many rows of a digest were
    accepted in parts, and are no longer in it.
    """

    id: uuid.UUID
    channel: str
    told: Told
    attempts: int
    answers: int
    is_unsure: bool
    root: str
    about: str | None = None
    told_before: int = 0


class Outbox:
    """The outbox of one store. Raises `StoreError`. What only writes belongs inside the caller's transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.fares = Fares(database)

    def owe(
        self,
        request: int | None,
        alert: dict[str, Any],
        channels: Iterable[str],
        now: datetime,
        *,
        hold_until: datetime | None = None,
        about: str | None = None,
        may_be_repeat: bool = False,
    ) -> None:
        """Owe the alert to each channel, not before `hold_until`; inside the transaction that writes its cause."""
        for name in channels:
            self._database.change(
                "INSERT INTO outbox (id, channel, request, alert, created_at, next_attempt, about, unsure)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                *(str(uuid.uuid4()), name, request, json.dumps(alert, ensure_ascii=False)),
                *(now.timestamp(), hold_until.timestamp() if hold_until else 0.0, about, int(may_be_repeat)),
            )

    def owe_tests(self, channels: Iterable[str], now: datetime) -> dict[str, uuid.UUID]:
        """Owe a test alert to each channel; the keys of their rows."""
        names = list(channels)
        with self._database.transaction():
            self.owe(None, rows.news_out(TestAlert(now)), names, now)
            query = "SELECT channel, max(number), id FROM outbox WHERE settled_at IS NULL GROUP BY channel"
            return {
                row["channel"]: uuid.UUID(row["id"]) for row in self._database.all(query) if row["channel"] in names
            }

    def is_accepted(self, key: uuid.UUID) -> bool | None:
        """Whether the row was accepted; None: it was not tried yet."""
        row = self._database.one("SELECT outcome FROM outbox WHERE id = ?", str(key))
        return row["outcome"] == "accepted" if row and row["outcome"] else None

    # ---- one after another, to one channel ----

    def due(
        self,
        channel: str,
        now: datetime,
        *,
        only_verified: bool = False,
        key_seconds: float = 0,
        besides: OutboxEntry | None = None,
    ) -> OutboxEntry | None:
        """The alert to send now, in order; one that is held (quiet hours, refused by itself) holds no other.

        Where more than ten wait, verified requests go first, in order too. `only_verified`: what is left of the month
        is kept for verified requests. `key_seconds`: for so long after the first attempt a repeat is not delivered
        twice, and not marked as one. `besides`: the next but this.
        """
        waiting = f"FROM outbox WHERE channel = ? AND id <> ? AND settled_at IS NULL AND {_DUE}" + (
            f" AND {_KEPT_FOR}" if only_verified else ""
        )
        which = (channel, str(besides.id) if besides else "", now.timestamp(), (now + _LONGEST_HOLD).timestamp())
        first = f"SELECT * {waiting} ORDER BY number LIMIT 1"
        row = None
        if self._database.one(f"SELECT 1 {waiting} LIMIT 1 OFFSET {_IN_ORDER}", *which):
            row = self._database.one(f"SELECT * {waiting} AND ({_VERIFIED}) ORDER BY number LIMIT 1", *which)
        row = row or self._database.one(first, *which)
        return self._entry(row, now, key_seconds) if row else None

    def due_test(self, channel: str, now: datetime) -> OutboxEntry | None:
        """A test alert that is owed: somebody looks on, so it does not wait for the channel's next attempt."""
        query = f"SELECT * FROM outbox WHERE channel = ? AND settled_at IS NULL AND {_ALERT} ->> 'kind' = 'test'"  # noqa: S608 - a constant
        row = self._database.one(query + " AND attempts = 0 LIMIT 1", channel)
        return self._entry(row, now, 0.0) if row else None

    def entry(self, key: uuid.UUID, now: datetime) -> OutboxEntry | None:
        """The row of a key, where it is still owed."""
        row = self._database.one("SELECT * FROM outbox WHERE id = ? AND settled_at IS NULL", str(key))
        return self._entry(row, now, 0.0) if row else None

    def next_due(self, channel: str) -> datetime | None:
        """When an alert owed to the channel may go, or None where nothing is owed; in the past: it waits its turn."""
        query = "SELECT min(next_attempt) AS at FROM outbox WHERE channel = ? AND settled_at IS NULL"
        row = self._database.one(query, channel)
        return moment(row["at"]) if row and row["at"] is not None else None

    def begin_attempt(self, entry: OutboxEntry, now: datetime) -> bool:
        """Count the attempt before its first byte is sent: after a kill the next one knows that it may be a repeat.

        False: it is not owed any more, or not all of it, for another channel has told it meanwhile.
        """
        query = (
            "UPDATE outbox SET attempts = attempts + 1, unsure = 1, first_attempt = coalesce(first_attempt, ?)"  # noqa: S608 - a constant
            f" WHERE id = ? AND settled_at IS NULL AND coalesce({_ALERT} ->> 'told', 0) = ?"
        )
        with self._database.transaction():
            changed = self._database.change(query, now.timestamp(), str(entry.id), entry.told_before)
            is_owed = changed.rowcount > 0
            if is_owed:
                self.fares.began(entry.channel, now)
        return is_owed

    def settle(self, entry: OutboxEntry, now: datetime) -> None:
        """The channel accepted the alert: what it said is forgotten, and nobody needs to stand in any more."""
        with self._database.transaction():
            self._close("id = ?", "accepted", now, str(entry.id))
            self._close("(root = ? OR id = ?)", "told elsewhere", now, entry.root, entry.root)
            self.fares.accepted(entry.channel, now)

    def settle_part(self, entry: OutboxEntry, count: int, now: datetime) -> None:
        """The channel accepted the first `count` rows of a digest: what is left stays owed, and was never tried.

        Other channels owe no more of it either.
        """
        root = entry.root
        with self._database.transaction():
            owed = "SELECT id, alert FROM outbox WHERE settled_at IS NULL AND (id = ? OR root = ? OR id = ?)"
            for row in self._database.all(owed, str(entry.id), root, root):
                stored = json.loads(row["alert"])
                # Another channel may have told some of these meanwhile.
                more = entry.told_before + count - stored.get("told", 0)
                if more > 0:
                    left = {"named": stored["named"][more:], "count": stored["count"] - more}
                    rest = json.dumps(stored | left | {"told": entry.told_before + count}, ensure_ascii=False)
                    self._database.change("UPDATE outbox SET alert = ? WHERE id = ?", rest, row["id"])
            self._database.change(
                "UPDATE outbox SET attempts = 0, answers = 0, first_attempt = NULL, outcome = NULL, next_attempt = 0,"
                " unsure = ? WHERE id = ?",
                *(int(entry.told.may_be_repeat), str(entry.id)),
            )
            self.fares.accepted(entry.channel, now)

    def postpone(self, entry: OutboxEntry, outcome: Outcome, now: datetime) -> float:
        """The channel did not accept the alert: it stays owed. Returns the seconds until the channel's next attempt.

        0: only this alert was refused, and the next may go at once. It stays refused until it is accepted: who answers
        it otherwise an hour later has not changed its mind.
        """
        is_unsure = entry.is_unsure or outcome.result is Result.AMBIGUOUS
        answered = int(outcome.is_service_failing)
        row = self._database.one("SELECT 1 FROM outbox WHERE id = ? AND outcome = 'refused'", str(entry.id))
        is_refused = row is not None or outcome.result is Result.REFUSED
        if is_refused and outcome.result is not Result.PERMANENT:
            outcome = replace(outcome, result=Result.REFUSED)
        state = self.fares.of(entry.channel, now)
        jitter = random.random()  # noqa: S311 - spreads retries, hides nothing
        delay = retry.send_delay(
            outcome.result,
            state.failures + 1,
            jitter,
            failing_for=(now - (state.trying_since or now)).total_seconds(),
            named=outcome.retry_after,
        )
        is_alone = outcome.result is Result.REFUSED
        stored = Result.REFUSED if is_refused else outcome.result
        with self._database.transaction():
            self._database.change(
                "UPDATE outbox SET outcome = ?, unsure = ?, answers = answers + ? WHERE id = ?",
                *(stored, int(is_unsure), answered, str(entry.id)),
            )
            if is_refused:
                query = "UPDATE outbox SET next_attempt = ? WHERE id = ?"
                self._database.change(query, now.timestamp() + delay, str(entry.id))
            self.fares.failed(entry.channel, outcome, now, 0.0 if is_alone else delay)
        return 0.0 if is_alone else delay

    def give_up(self, key: uuid.UUID, now: datetime) -> None:
        """Close a row that nobody needs any more."""
        with self._database.transaction():
            self._close("id = ?", "given up", now, str(key))

    def suspect_all(self) -> None:
        """Whatever is owed may have been told: this store stands in for a later one. Inside a transaction."""
        self._database.change("UPDATE outbox SET unsure = 1 WHERE settled_at IS NULL")

    # ---- other channels ----

    def stand_in(
        self,
        channel: str,
        by: Sequence[tuple[str, frozenset[str]]],
        now: datetime,
        since: datetime | None,
        *,
        failing: Collection[str] = (),
        rationed: Collection[str] = (),
    ) -> int:
        """Owe what `channel` owes to the first of `by` (name and kinds) that was not tried yet; how many rows.

        What it refused by itself, what it owes since `since` or longer (None: it does not fail), and where it is
        `rationed`, the rest of its month kept for verified requests, all but those. One after another: a second
        stand-in only where all before it are `failing`, or `rationed` and this is not what their rest is kept for.
        """
        # In the future: the clock was set back since.
        waited = "(max(created_at, next_attempt) <= ? OR ? AND created_at > ?)"
        is_failing = since is not None
        failed = self._database.all(
            f"SELECT *, {_KEPT_FOR} AS is_kept FROM outbox"  # noqa: S608 - constants
            " WHERE channel = ? AND settled_at IS NULL AND about IS NOT ? AND (outcome IS 'refused'"
            f" OR next_attempt <= ? AND ({waited} OR ? AND NOT {_KEPT_FOR})) ORDER BY number",
            *(channel, f"channel/{channel}", now.timestamp(), since.timestamp() if since else -1.0),
            *(is_failing, (now + CLOCKS_AGREE).timestamp(), channel in rationed),
        )
        if not failed:
            return 0
        with self._database.transaction():
            for_others = {*failing, *rationed}
            return sum(self._copy(row, by, failing if row["is_kept"] else for_others, now) for row in failed)

    def _copy(
        self, row: sqlite3.Row, by: Sequence[tuple[str, frozenset[str]]], failing: Collection[str], now: datetime
    ) -> int:
        root = row["root"] or row["id"]
        everywhere = self._database.all("SELECT * FROM outbox WHERE root = ? OR id = ?", root, root)
        group = [each for each in everywhere if each["outcome"] != "channel removed"]
        copies = [each for each in group if each["id"] not in {root, row["id"]}]
        if any(each["channel"] not in failing and each["outcome"] != "refused" for each in copies):
            return 0
        tried = {each["channel"] for each in group}
        kind = _kind(row["alert"])
        name = next((name for name, kinds in by if name not in tried and _KIND_OF.get(kind, kind) in kinds), None)
        if name is None or all(each["settled_at"] for each in group):
            return 0
        if twin := self._twin(row, root, name):
            # It stands in for another channel as well: what it has accepted for that one it has told for both.
            if twin["outcome"] == "accepted":
                self._close("(root = ? OR id = ?)", "told elsewhere", now, root, root)
            if twin["outcome"] == "accepted" or twin["settled_at"] is None:
                return 0
        self._database.change(
            "INSERT INTO outbox (id, channel, request, alert, created_at, next_attempt, unsure, root, about)"
            " VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?)",
            *(str(uuid.uuid4()), name, row["request"], row["alert"], row["created_at"]),
            *(max(each["unsure"] for each in everywhere), root, row["about"]),
        )
        return 1

    def _twin(self, row: sqlite3.Row, root: str, name: str) -> sqlite3.Row | None:
        """The same alert of a request, that `name` was owed for another channel."""
        return self._database.one(
            "SELECT * FROM outbox WHERE channel = ? AND request = ? AND created_at = ? AND root <> ?"
            " ORDER BY settled_at IS NULL DESC, outcome = 'accepted' DESC LIMIT 1",
            *(name, row["request"], row["created_at"], root),
        )

    def oldest_kept(self, channel: str, now: datetime) -> Oldest:
        """Return the same as `Fares.oldest`, of what a month's rest is kept for alone."""
        return self.fares.oldest(channel, now, f" AND {_KEPT_FOR}")

    def has_refused(self, channel: str) -> bool:
        """Whether an alert is owed that the channel has refused by itself."""
        query = "SELECT 1 FROM outbox WHERE channel = ? AND settled_at IS NULL AND outcome = 'refused'"
        return self._database.one(query, channel) is not None

    def supersede(self, about: str, channels: Iterable[str], now: datetime) -> None:
        """Close what the next news of a fault makes old: unsent reminders, and that it was over; in a transaction."""
        for name in channels:
            which = f"channel = ? AND about = ? AND {_ALERT} ->> 'stage' IN ('lasts', 'over')"
            self._close(which, "superseded", now, name, about)

    def close_removed_channels(self, audience: Sequence[tuple[str, frozenset[str]]], now: datetime) -> dict[str, int]:
        """Close what is owed to channels that left the configuration; how many rows of each.

        What names orders, and no channel of the `audience` (name and kinds) was owed, is owed to it instead: a channel
        may just have another name now.
        """
        names = {name for name, _ in audience}
        owed = self._database.all("SELECT * FROM outbox WHERE settled_at IS NULL ORDER BY number")
        gone = [row for row in owed if row["channel"] not in names]
        with self._database.transaction():
            for row in gone:
                is_digest = row["request"] is None and _kind(row["alert"]) == "digest"
                if (row["request"] is not None or is_digest) and not self._is_owed_to_any(names, row):
                    self._owe_to_others(row, audience)
                self._close("id = ?", "channel removed", now, row["id"])
        return dict(Counter(row["channel"] for row in gone))

    def _owe_to_others(self, row: sqlite3.Row, audience: Sequence[tuple[str, frozenset[str]]]) -> None:
        try:
            alert = json.loads(row["alert"])
            takers = [name for name, kinds in audience if alert["kind"] in kinds]
            if alert["kind"] == "digest" and not takers:
                takers = [name for name, kinds in audience if kinds]
        except (ValueError, KeyError, TypeError):
            return  # a row that a failing disk has changed
        hold_until = moment(row["next_attempt"]) if row["outcome"] is None and row["next_attempt"] else None
        self.owe(
            row["request"],
            alert,
            takers,
            moment(row["created_at"]),
            hold_until=hold_until,
            may_be_repeat=bool(row["unsure"]),
        )

    def _is_owed_to_any(self, names: Collection[str], row: sqlite3.Row) -> bool:
        query = (
            "SELECT channel FROM outbox WHERE request IS ? AND created_at = ? AND about IS NULL"
            " AND outcome IS NOT 'channel removed'"
        )
        return any(each["channel"] in names for each in self._database.all(query, row["request"], row["created_at"]))

    # ---- what is said ----

    def _entry(self, row: sqlite3.Row, now: datetime, key_seconds: float) -> OutboxEntry:
        # A row of version 1 has no first attempt, and was sent without a key.
        first = row["first_attempt"] if row["first_attempt"] is not None else float("-inf")
        # A stand-in's key is its own: it does not protect against what the first channel may have accepted.
        is_protected = row["attempts"] and row["root"] is None and 0 <= now.timestamp() - first < key_seconds
        is_repeat = (bool(row["unsure"]) and not is_protected) or self._is_unsure_elsewhere(row)
        return OutboxEntry(
            id=uuid.UUID(row["id"]),
            channel=row["channel"],
            told=self._readable(row, now, is_repeat),
            attempts=row["attempts"],
            answers=row["answers"],
            is_unsure=bool(row["unsure"]),
            root=row["root"] or row["id"],
            about=row["about"],
            told_before=_told_before(row["alert"]),
        )

    def _is_unsure_elsewhere(self, row: sqlite3.Row) -> bool:
        """Whether another channel that was tried for the same alert may have told it."""
        root = row["root"] or row["id"]
        query = "SELECT 1 FROM outbox WHERE (root = ? OR id = ?) AND id <> ? AND unsure = 1 AND attempts > 0"
        return self._database.one(query, root, root, row["id"]) is not None

    def _readable(self, row: sqlite3.Row, now: datetime, is_repeat: bool) -> Told:
        """What is told; of a row that a failing disk has changed, that it can't be read: it must not hold the rest."""
        try:
            return self._told(row, now, is_repeat)
        except rows.ODD:
            return FaultNews(Fault("fault.unreadable_row"), Stage.ONCE, now)

    def _told(self, row: sqlite3.Row, now: datetime, is_repeat: bool) -> Told:
        stored = json.loads(row["alert"])
        news = rows.news_in(stored, may_be_repeat=is_repeat)
        if news is not None:
            return news
        if now.timestamp() - row["created_at"] > PRIVATE_FOR.total_seconds():
            stored.update(reason=None, excerpt=None)
        request = self._database.one("SELECT id, asked, marketplace FROM request WHERE id = ?", row["request"])
        alert = rows.alert_in(self._database, stored, request, is_repeat)
        return replace(alert, open_requests=self.open_requests(now), told_at=now)

    def open_requests(self, now: datetime) -> int:
        """Requests and wishes that a person was told, are open and have not lapsed, 14 days after the last sighting."""
        row = self._database.one(
            "SELECT count(*) AS n FROM request WHERE state = 'open' AND kind IN ('request', 'wish')"  # noqa: S608
            " AND EXISTS (SELECT 1 FROM sighting WHERE sighting.request = request.id AND at > ?)"
            f" AND {WAS_TOLD}",
            (now - LAPSES_AFTER).timestamp(),
        )
        return int(row["n"]) if row else 0

    def undelivered_replies(self, now: datetime) -> tuple[str, ...]:
        """Return the orders of the open wishes about which a message of the seller's own was not delivered."""
        rows = self._database.all(
            "SELECT order_id FROM request WHERE state = 'open' AND kind = 'wish' AND order_id IS NOT NULL"
            " AND undelivered_at > ? ORDER BY undelivered_at, id LIMIT ?",
            *((now - LAPSES_AFTER).timestamp(), _UNDELIVERED_IN_ONE),
        )
        return tuple(row["order_id"] for row in rows)

    def forget_private(self, now: datetime) -> None:
        """Take reason and excerpt out of rows that are still owed after 24 hours (design section 6)."""
        since = (now - PRIVATE_FOR).timestamp()
        # Only the alert of a mail has a trust; a digest has a reason too, which is ours.
        rest = (
            f"settled_at IS NULL AND created_at < ? AND {_ALERT} ->> 'trust' IS NOT NULL"
            f" AND coalesce({_ALERT} ->> 'reason', {_ALERT} ->> 'excerpt') IS NOT NULL"
        )
        if self._database.one(f"SELECT 1 FROM outbox WHERE {rest}", since):  # noqa: S608 - a constant
            with self._database.transaction():
                forgotten = "json_set(alert, '$.reason', NULL, '$.excerpt', NULL)"
                self._database.change(f"UPDATE outbox SET alert = {forgotten} WHERE {rest}", since)  # noqa: S608

    def _close(self, which: str, outcome: str, now: datetime, *values: str) -> None:
        self._database.change(
            f"UPDATE outbox SET settled_at = ?, outcome = ?, alert = '{{}}' WHERE settled_at IS NULL AND {which}",  # noqa: S608
            *(now.timestamp(), outcome, *values),
        )


def _kind(stored: str) -> str:
    """The kind of a stored alert; one that can't be read is told as a fault."""
    try:
        return str(json.loads(stored)["kind"])
    except rows.ODD:
        return "fault"


def _told_before(stored: str) -> int:
    """How many rows of a stored digest were told in parts before."""
    try:
        return int(json.loads(stored).get("told", 0))
    except rows.ODD:
        return 0


# A request that a person was told by name, not only by a number in a digest.
WAS_TOLD = (
    "(NOT EXISTS (SELECT 1 FROM unverified WHERE unverified.request = request.id AND state <> 'told')"
    " OR EXISTS (SELECT 1 FROM unverified WHERE unverified.request = request.id AND state = 'told'))"
)
# A row that is held waits for its time, but never for longer than anything is held.
_DUE = "NOT (next_attempt > ? AND next_attempt < ?)"
# The morning line goes where digests go.
_KIND_OF = {"morning": "digest"}
