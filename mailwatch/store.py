"""What is promised, on disk before it is acted on.

A mail's identity, its request and one outbox row for each channel are one `BEGIN IMMEDIATE` transaction (design section
2). What this module does not do: decide (`request.decide`), word (`texts`), send (`transport`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mailwatch import request, rows
from mailwatch.alert import FaultNews, Stage, is_urgent
from mailwatch.amazon.details import Item
from mailwatch.amazon.marketplace import Basis
from mailwatch.database import Database, FileId, moment
from mailwatch.episode import Episodes
from mailwatch.errors import Fault
from mailwatch.folders import Folders, MailIdentity
from mailwatch.notice import Kind, Notice
from mailwatch.outbox import Outbox
from mailwatch.refusals import Refusals
from mailwatch.report import Gather, Reports
from mailwatch.request import Action, Decision, Known, Rules, Sighting, State
from mailwatch.trust import Trust

SCAN_FILE_NAME = "mailwatch-scan.sqlite"
_RANK = {Trust.FORGED: 0, Trust.UNVERIFIED: 1, Trust.VERIFIED: 2}
_KEPT_FOR = timedelta(days=30)
_A_DAY = timedelta(days=1)
_ASKS = {Kind.REQUEST, Kind.WISH}
_LONG_AGO = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Reading:
    """One candidate mail as it was read: whose it is, its content key, what it says."""

    mail: MailIdentity
    seller: str
    content_key: bytes
    notices: tuple[Notice, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One notice that is on disk now, and what was decided about it."""

    notice: Notice
    decision: Decision


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """One request as it stands, with all its sightings. Of an item's title only a hash is kept, so it has none.

    `is_reply_undelivered`: a wish that is open, about which a message of the seller's own did not reach the buyer.
    """

    order_id: str | None
    state: State
    kind: Kind
    sightings: tuple[Sighting, ...]
    seller: str = ""
    marketplace: str | None = None
    trust: Trust = Trust.UNVERIFIED
    opened_at: datetime = _LONG_AGO
    items: tuple[Item, ...] = ()
    is_reply_undelivered: bool = False


class Store:
    """The store of one thread. Every call raises `StoreError` where the file can't be read or written."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.folders = Folders(database)
        self.outbox = Outbox(database)
        self.episodes = Episodes(database, self.outbox)
        self.reports = Reports(database, self.outbox)
        self.refusals = Refusals(database)

    @classmethod
    def open(cls, folder: Path, file: FileId | None = None) -> Store:
        """Open or make the store in a state folder; with `file` open only that one."""
        return cls(Database.open(folder, file=file))

    @classmethod
    def open_to_read(cls, folder: Path) -> Store:
        """Open the store of a state folder only to read it; a member of its group may."""
        return cls(Database.open_to_read(folder))

    @classmethod
    def open_for_scan(cls, folder: Path) -> Store:
        """What `scan --store` remembers, in a file of its own: a mail that was only scanned must still be told."""
        return cls(Database.open(folder, SCAN_FILE_NAME))

    @classmethod
    def in_memory(cls) -> Store:
        """A throw-away store, for `scan`."""
        return cls(Database.in_memory())

    def close(self) -> None:
        """Close it, in the thread that opened it."""
        self._database.close()

    def rebuilt(self, why: str, audience: Iterable[tuple[str, frozenset[str]]], now: datetime) -> None:
        """This store stands in for one that was damaged, lost or replaced (`why`): tell it, once.

        It may be an older copy. What it still owes may have been told since, and so may the mails that it does not
        know: the next search of each folder gathers them for a digest that says so.
        """
        news = FaultNews(Fault("fault.rebuilt", {"why": why}), Stage.ONCE, now)
        names = [name for name, kinds in audience if "fault" in kinds]
        with self._database.transaction():
            self.outbox.suspect_all()
            self.folders.forget_searches()
            self.reports.note_rebuilt(now)
            self.outbox.owe(None, rows.news_out(news), names, now, about="store")

    def forget_old(self, now: datetime) -> None:
        """After 30 days only keyed hashes are left of a request, never while something is owed (design section 6).

        Days of the mail servers' clocks too: what is forgotten because ours was wrong for an hour never comes back.
        """
        latest = self.folders.latest_arrival() + _A_DAY
        before = (min(now, latest) - _KEPT_FOR).timestamp()
        old = (
            "SELECT id FROM request WHERE order_id IS NOT NULL"
            " AND NOT EXISTS (SELECT 1 FROM sighting WHERE sighting.request = request.id AND at >= ?)"
            " AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.request = request.id AND settled_at IS NULL)"
        )
        with self._database.transaction():
            for row in self._database.all(old, before):
                self._database.change("UPDATE sighting SET items = '[]' WHERE request = ?", row["id"])
                self._database.change("UPDATE request SET order_id = NULL, items = '[]' WHERE id = ?", row["id"])
            self._database.change("DELETE FROM outbox WHERE settled_at < ?", before)
            self._database.change("DELETE FROM unverified WHERE at < ?", before)
            self.reports.forget_amazons(min(now, latest))

    def check_writable(self) -> None:
        """Write, and take it back."""
        self._database.check_writable()

    def vanished(self) -> None:
        """A mail was gone before it could be read: the morning line counts it."""
        with self._database.transaction():
            self.reports.count("missed")

    def requests(self) -> list[StoredRequest]:
        """Every request, oldest first; open ones that have lapsed still count as open."""
        return [self._stored(row) for row in self._database.all("SELECT * FROM request ORDER BY opened_at, id")]

    def _stored(self, row: sqlite3.Row) -> StoredRequest:
        items = (replace(item, title=None) for item in rows.items_in(row["items"]))
        return StoredRequest(
            order_id=row["order_id"],
            state=State(row["state"]),
            kind=Kind(row["kind"]),
            sightings=rows.sightings(self._database, row["id"]),
            seller=row["seller"],
            marketplace=row["marketplace"],
            trust=Trust(row["trust"]),
            opened_at=moment(row["opened_at"]),
            # Of one that its mail named by the title only, nothing is left to say.
            items=tuple(item for item in items if item != Item()),
            is_reply_undelivered=row["undelivered_at"] is not None and _is_open_wish(row),
        )

    def set_state(self, order_id: str, state: State) -> bool:
        """A person says what became of an order's request; whether there is one."""
        with self._database.transaction():
            changed = self._database.change("UPDATE request SET state = ? WHERE order_id = ?", state, order_id)
        return changed.rowcount > 0

    def record_handled(self, reading: Reading, rules: Rules) -> list[str]:
        """A mail lies in the folder for handled ones: its requests are done, told or not; their orders.

        One that was asked again later stays open: the mail is of the time before. In one transaction.
        """
        asking = [each for each in reading.notices if each.is_told and each.kind is not Kind.CANCELLED]
        with self._database.transaction():
            if not self.folders.insert(reading.mail):
                return []
            if asking:
                self._insert_content(reading)
            return [each.order_id or "-" for each in asking if self._handle(each, reading, rules)]

    def _handle(self, notice: Notice, reading: Reading, rules: Rules) -> bool:
        """Whether a request of the notice's is done by this, and was not before."""
        identity = self._identity(notice, reading)
        row = self._database.one("SELECT * FROM request WHERE identity = ?", identity)
        kept = replace(notice, items=self._without_titles(notice.items))
        if row is None:
            number = self._insert_request(identity, kept, reading)
            self._insert_sighting(number, kept, reading, Decision(Action.QUIET, "handled"))
            self._database.change("UPDATE request SET state = 'done' WHERE id = ?", number)
            return True
        latest = max((sighting.at for sighting in rows.sightings(self._database, row["id"])), default=_LONG_AGO)
        if State(row["state"]) is not State.OPEN or latest - reading.mail.received > rules.merge_within:
            return False
        self._database.change("UPDATE request SET state = 'done' WHERE id = ?", row["id"])
        return True

    # ---- recording ----

    def record_others(self, mails: Sequence[MailIdentity]) -> None:
        """Record mails that are not Amazon's as seen, in one transaction."""
        if mails:
            with self._database.transaction():
                for mail in mails:
                    self.folders.insert(mail)

    def record(
        self,
        reading: Reading,
        rules: Rules,
        channels: Iterable[tuple[str, frozenset[str]]],
        now: datetime,
        hold_until: datetime | None = None,
        gather: Gather | None = None,
    ) -> list[Recorded]:
        """Decide on a candidate mail and write everything that follows, in one transaction.

        `channels`: name and the kinds it is owed; `hold_until`: the end of the quiet hours, for what is not urgent;
        `gather`: why alerts wait for a digest, on the channels that take one. A mail recorded before gives an empty
        list.
        """
        wanted = list(channels)
        with self._database.transaction():
            if not self.folders.insert(reading.mail):
                return []
            # What is told to nobody must not make a later mail a copy: a wish in Junk, then moved into INBOX.
            is_copy = any(each.is_told for each in reading.notices) and self._insert_content(reading)
            recorded = []
            if reading.notices[0].is_amazons:
                self.reports.note_amazons(reading.mail.account, min(reading.mail.received, now))
            if unknown_type := reading.notices[0].unknown_type:
                self.reports.count_type(unknown_type)
            for notice in reading.notices:
                if notice.is_undelivered_reply:
                    self._note_undelivered_reply(notice, reading)
                decision, number = self._record_notice(notice, reading, rules, is_copy)
                if notice.trust is Trust.FORGED:
                    self.reports.count("forged")
                is_told = decision.alerts or _is_news_of_cancelling(notice, decision)
                names = [name for name, kinds in wanted if notice.kind in kinds] if is_told else []
                if names and self.reports.may_be_named(notice, number, now, gather):
                    facts = _facts(notice, reading, decision)
                    if gather and any("digest" in kinds for name, kinds in wanted if name in names):
                        self.reports.gather(gather, number, facts, now)
                        names = [name for name, kinds in wanted if name in names and "digest" not in kinds]
                    hold = None if is_urgent(notice.kind) else hold_until
                    is_repeat = gather is not None and gather.reason == "rebuilt"
                    self.outbox.owe(number, facts, names, now, hold_until=hold, may_be_repeat=is_repeat)
                    self.folders.count_single(reading.mail)
                recorded.append(Recorded(notice, decision))
            return recorded

    def _note_undelivered_reply(self, notice: Notice, reading: Reading) -> None:
        """The seller waits for an answer to a message that the buyer never got."""
        self._database.change(
            "UPDATE request SET undelivered_at = ? WHERE identity = ? AND kind = 'wish' AND state = 'open'",
            *(reading.mail.received.timestamp(), self._identity(notice, reading)),
        )

    def _record_notice(
        self, notice: Notice, reading: Reading, rules: Rules, is_copy: bool
    ) -> tuple[Decision, int | None]:
        """Return the decision, and the number of the request it is about (None: no request)."""
        identity = self._identity(notice, reading)
        row = self._database.one("SELECT * FROM request WHERE identity = ?", identity)
        kept = replace(notice, items=self._without_titles(notice.items))
        decision = request.decide(kept, reading.mail.received, self._known(row, is_copy), rules)
        if decision.action is Action.QUIET or (decision.action is Action.JOIN and row is None):
            return decision, None
        number = self._insert_request(identity, kept, reading) if row is None else int(row["id"])
        if row is not None:
            self._update_request(row, kept, decision)
        self._insert_sighting(number, kept, reading, decision)
        return decision, number

    def _identity(self, notice: Notice, reading: Reading) -> bytes:
        """The request's key: seller and order ID; the mail itself without one, or where the notice is only doubtful."""
        by_order = self._database.hash("order", reading.seller, notice.order_id or "")
        if notice.order_id and (notice.kind not in {Kind.POSSIBLE, Kind.UNREADABLE} or self._exists(by_order)):
            return by_order
        return self._database.hash("mail", reading.seller, reading.content_key.hex())

    def _exists(self, identity: bytes) -> bool:
        return self._database.one("SELECT 1 FROM request WHERE identity = ?", identity) is not None

    def _known(self, row: sqlite3.Row | None, is_copy: bool) -> Known:
        """Return what `decide` needs. Only sightings that ask count: a `possible` must not pass for a request."""
        if row is None:
            return Known(is_copy=is_copy)
        asked = [each for each in rows.sightings(self._database, row["id"]) if each.kind in _ASKS]
        return Known(is_copy=is_copy, state=State(row["state"]), sightings=tuple(asked))

    def _without_titles(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        """Titles are not kept (design section 6): a keyed hash of how one begins tells the same item from another."""
        return tuple(replace(item, title=self._title_hash(item)) for item in items)

    def _title_hash(self, item: Item) -> str | None:
        return self._database.hash("title", request.folded_title(item)[:16]).hex() if item.title else None

    def _insert_request(self, identity: bytes, notice: Notice, reading: Reading) -> int:
        opened_at = int(reading.mail.received.timestamp())
        written = self._database.change(
            "INSERT INTO request (identity, seller, order_id, marketplace, marketplace_basis, marketplace_trust, kind,"
            " trust, state, opened_at, items) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'open', ?, ?)",
            *(identity, reading.seller, notice.order_id, notice.marketplace, notice.marketplace_basis, notice.trust),
            *(notice.kind, notice.trust, opened_at, rows.items_out(notice.items)),
        )
        return int(written.lastrowid or 0)

    def _update_request(self, row: sqlite3.Row, notice: Notice, decision: Decision) -> None:
        """What a further notice changes: closed or opened again, official, verified, more items."""
        state = {Action.CLOSE: State.CANCELLED, Action.REOPEN: State.OPEN}.get(decision.action, State(row["state"]))
        kind = Kind.REQUEST if Kind.REQUEST in {notice.kind, Kind(row["kind"])} else Kind(row["kind"])
        trust = max(Trust(row["trust"]), notice.trust if notice.kind in _ASKS else Trust.FORGED, key=_RANK.__getitem__)
        items = tuple(dict.fromkeys([*rows.items_in(row["items"]), *notice.items]))
        asked = row["asked"] + (decision.why == "asked again")
        self._database.change(
            "UPDATE request SET state = ?, kind = ?, trust = ?, items = ?, asked = ?, order_id = ? WHERE id = ?",
            *(state, kind, trust, rows.items_out(items), asked, row["order_id"] or notice.order_id, row["id"]),
        )
        if _knows_the_marketplace_better(notice, row):
            self._database.change(
                "UPDATE request SET marketplace = ?, marketplace_basis = ?, marketplace_trust = ? WHERE id = ?",
                *(notice.marketplace, notice.marketplace_basis, notice.trust, row["id"]),
            )

    def _insert_sighting(self, number: int, notice: Notice, reading: Reading, decision: Decision) -> None:
        mail = reading.mail
        self._database.change(
            "INSERT INTO sighting (request, at, kind, trust, route, items, account, folder, decision)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(number, int(mail.received.timestamp()), notice.kind, notice.trust, notice.route),
            *(rows.items_out(notice.items), mail.account, mail.folder, decision.action),
        )

    def _insert_content(self, reading: Reading) -> bool:
        """Whether a mail with this content, at least as trusted, is known; remember it otherwise.

        A better trusted one is not a copy: a forged twin that came first must not swallow the genuine mail.
        """
        key = self._database.hash("content", reading.seller, reading.content_key.hex())
        trust = reading.notices[0].trust
        row = self._database.one("SELECT trust FROM content WHERE seller = ? AND key = ?", reading.seller, key)
        if row is not None and _RANK[Trust(row["trust"])] >= _RANK[trust]:
            return True
        self._database.change(
            "INSERT INTO content VALUES (?, ?, ?) ON CONFLICT (seller, key) DO UPDATE SET trust = excluded.trust",
            *(reading.seller, key, trust),
        )
        return False


def _is_open_wish(row: sqlite3.Row) -> bool:
    return (row["kind"], row["state"]) == (Kind.WISH, State.OPEN)


def _knows_the_marketplace_better(notice: Notice, row: sqlite3.Row) -> bool:
    """Whether the notice corrects the request's marketplace: by a better trusted mail, or a surer basis of one as well
    trusted. What only the account says corrects nothing."""
    if notice.marketplace is None or notice.marketplace_basis <= Basis.ACCOUNT:
        return False
    known = (_RANK[Trust(row["marketplace_trust"])], row["marketplace_basis"])
    return (_RANK[notice.trust], notice.marketplace_basis) > known


def _is_news_of_cancelling(notice: Notice, decision: Decision) -> bool:
    """Amazon's own cancellation: no alarm, but told on a channel that asks for `cancelled`."""
    return notice.is_told and notice.kind is Kind.CANCELLED and decision.action in {Action.QUIET, Action.CLOSE}


def _facts(notice: Notice, reading: Reading, decision: Decision) -> dict[str, Any]:
    """An alert's facts as they are stored. No text of an unverified mail is told or kept (design section 3)."""
    mail = reading.mail
    is_verified = notice.trust is Trust.VERIFIED
    return {
        "kind": notice.kind,
        "why": decision.why,
        "trust": notice.trust,
        "seller": reading.seller,
        "order_id": notice.order_id,
        "marketplace": notice.marketplace,
        "received": int(mail.received.timestamp()),
        "account": mail.account,
        "folder": mail.folder,
        "items": rows.items_out(notice.items if is_verified else ()),
        "also_mentioned": notice.also_mentioned,
        "reason": notice.reason if is_verified else None,
        "excerpt": notice.excerpt if is_verified else None,
        "order_date": notice.order_date if is_verified else None,
        "ship_by": notice.ship_by if is_verified else None,
        "sender_domain": notice.sender_domain,
    }
