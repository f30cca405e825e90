"""What is promised, on disk before it is acted on: one SQLite file.

A mail's identity, its request and one outbox row for each channel are one `BEGIN IMMEDIATE` transaction (design section
2). Durability: rollback journal DELETE with synchronous EXTRA lost no acknowledged commit in 1,416 power-loss images,
where DELETE with FULL lost 51 (traps section 4). One `Store` belongs to one thread; threads meet in the file.

What this module does not do: decide (that is `request.decide`), word (`texts`) or send (`transport`).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import random
import secrets
import sqlite3
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mailwatch import request, retry
from mailwatch.alert import Alert
from mailwatch.errors import PassingError, StoreError
from mailwatch.notice import Item, Kind, Notice, Route
from mailwatch.request import Action, Decision, Known, Rules, Sighting, State
from mailwatch.trust import Trust

FILE_NAME = "mailwatch.sqlite"
_BUSY_SECONDS = 10.0
# The reason and the excerpt of a buyer's message live no longer than this (design section 6).
PRIVATE_FOR = timedelta(hours=24)

_MIGRATIONS = {
    1: """
    CREATE TABLE secret (id INTEGER PRIMARY KEY CHECK (id = 1), hash_key BLOB NOT NULL);
    CREATE TABLE folder (
        account TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity INTEGER, floor INTEGER NOT NULL,
        mode TEXT NOT NULL, last_good_search REAL, mails_seen INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (account, folder)
    ) WITHOUT ROWID;
    CREATE TABLE mail (
        account TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity INTEGER NOT NULL, uid INTEGER NOT NULL,
        received INTEGER NOT NULL, size INTEGER NOT NULL,
        PRIMARY KEY (account, folder, uidvalidity, uid, received, size)
    ) WITHOUT ROWID;
    CREATE TABLE content (
        seller TEXT NOT NULL, key BLOB NOT NULL, trust TEXT NOT NULL,
        PRIMARY KEY (seller, key)
    ) WITHOUT ROWID;
    CREATE TABLE request (
        id INTEGER PRIMARY KEY, identity BLOB NOT NULL UNIQUE, seller TEXT NOT NULL, order_id TEXT,
        marketplace TEXT, kind TEXT NOT NULL, trust TEXT NOT NULL, state TEXT NOT NULL,
        opened_at INTEGER NOT NULL, asked INTEGER NOT NULL DEFAULT 1, items TEXT NOT NULL
    );
    CREATE TABLE sighting (
        id INTEGER PRIMARY KEY, request INTEGER NOT NULL REFERENCES request ON DELETE CASCADE,
        at INTEGER NOT NULL, kind TEXT NOT NULL, trust TEXT NOT NULL, route TEXT, items TEXT NOT NULL,
        account TEXT NOT NULL, folder TEXT NOT NULL, decision TEXT NOT NULL
    );
    CREATE INDEX sighting_by_request ON sighting (request);
    CREATE TABLE outbox (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, channel TEXT NOT NULL,
        request INTEGER REFERENCES request ON DELETE SET NULL, alert TEXT NOT NULL,
        created_at REAL NOT NULL, next_attempt REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
        outcome TEXT, settled_at REAL
    );
    CREATE INDEX outbox_owed ON outbox (channel, number) WHERE settled_at IS NULL;
    CREATE TABLE channel (name TEXT PRIMARY KEY, last_success REAL) WITHOUT ROWID;
    """,
}
SCHEMA_VERSION = max(_MIGRATIONS)


@dataclass(frozen=True, slots=True)
class MailIdentity:
    """What names a mail in a folder. UID alone never does: a lost index gives old numbers to other mails."""

    account: str
    folder: str
    uidvalidity: int
    uid: int
    received: datetime
    size: int


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
class OutboxEntry:
    """An alert owed to a channel. `id` is the idempotency key where the channel takes one."""

    id: uuid.UUID
    channel: str
    alert: Alert
    attempts: int


@dataclass(frozen=True, slots=True)
class StoredRequest:
    """One request as it stands, with all its sightings."""

    order_id: str | None
    state: State
    kind: Kind
    sightings: tuple[Sighting, ...]


@dataclass(frozen=True, slots=True)
class FolderState:
    """What is known of a watched folder. `floor`: UIDs up to here were there before the first start."""

    uidvalidity: int | None
    floor: int
    last_good_search: datetime | None


class Store:
    """One connection to the store; close it in the thread that opened it."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._database.row_factory = sqlite3.Row
        with _translated():
            for pragma in ("journal_mode=DELETE", "synchronous=EXTRA", "secure_delete=ON", "foreign_keys=ON"):
                self._database.execute(f"PRAGMA {pragma}")
            self._migrate()
            self._key = self._hash_key()

    @classmethod
    def open(cls, folder: Path) -> Store:
        """Open or make the store in a state folder. Raises `StoreError`."""
        path = folder / FILE_NAME
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as fault:
            raise StoreError("store.unwritable", path=path, why=fault.strerror) from None
        with _translated(path):
            return cls(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None))

    @classmethod
    def in_memory(cls) -> Store:
        """A throw-away store, for `scan`."""
        return cls(sqlite3.connect(":memory:", isolation_level=None))

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    # ---- folders and mails ----

    def folder(self, account: str, folder: str) -> FolderState | None:
        """What is known of a folder, or None before its first search."""
        row = self._one("SELECT * FROM folder WHERE account = ? AND folder = ?", account, folder)
        if row is None:
            return None
        at = datetime.fromtimestamp(row["last_good_search"], UTC) if row["last_good_search"] else None
        return FolderState(row["uidvalidity"], row["floor"], at)

    def start_folder(self, account: str, folder: str, uidvalidity: int | None, floor: int, mode: str) -> None:
        """Remember a folder's present UIDVALIDITY and floor."""
        with self._transaction():
            self._database.execute(
                "INSERT INTO folder (account, folder, uidvalidity, floor, mode) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (account, folder) DO UPDATE SET uidvalidity = excluded.uidvalidity,"
                " floor = excluded.floor, mode = excluded.mode",
                (account, folder, uidvalidity, floor, mode),
            )

    def good_search(self, account: str, folder: str, now: datetime) -> None:
        """A search was complete, and every unseen mail is recorded."""
        with self._transaction():
            self._database.execute(
                "UPDATE folder SET last_good_search = ? WHERE account = ? AND folder = ?",
                (now.timestamp(), account, folder),
            )

    def seen(self, account: str, folder: str, uidvalidity: int) -> dict[int, set[tuple[int, int]]]:
        """Per UID the (arrival, size) pairs recorded under it; arrival in seconds since 1970."""
        found: dict[int, set[tuple[int, int]]] = {}
        query = "SELECT uid, received, size FROM mail WHERE account = ? AND folder = ? AND uidvalidity = ?"
        for row in self._all(query, account, folder, uidvalidity):
            found.setdefault(row["uid"], set()).add((row["received"], row["size"]))
        return found

    def record_others(self, mails: Sequence[MailIdentity]) -> None:
        """Record mails that are not Amazon's as seen, in one transaction."""
        if not mails:
            return
        with self._transaction():
            for mail in mails:
                self._insert_mail(mail)

    def record(
        self, reading: Reading, rules: Rules, channels: Iterable[tuple[str, frozenset[str]]], now: datetime
    ) -> list[Recorded]:
        """Decide on a candidate mail and write everything that follows, in one transaction.

        `channels`: name and the kinds it is sent. A mail recorded before gives an empty list.
        """
        owed_to = list(channels)
        with self._transaction():
            if not self._insert_mail(reading.mail):
                return []
            is_copy = self._insert_content(reading)
            return [self._record_notice(notice, reading, is_copy, rules, owed_to, now) for notice in reading.notices]

    # ---- the outbox ----

    def due(self, channel: str, now: datetime) -> OutboxEntry | None:
        """The alert to send now.

        Order is kept: one that waits out a passing failure holds the rest; one refused for good waits alone.
        """
        row = self._one(
            "SELECT * FROM outbox WHERE channel = ? AND settled_at IS NULL"
            " AND NOT (outcome IS 'permanent' AND next_attempt > ?) ORDER BY number LIMIT 1",
            channel,
            now.timestamp(),
        )
        if row is None or row["next_attempt"] > now.timestamp():
            return None
        return OutboxEntry(uuid.UUID(row["id"]), channel, self._alert(row, now), row["attempts"])

    def next_due(self, channel: str) -> datetime | None:
        """When an alert owed to the channel is to be tried next, or None where nothing is owed."""
        query = "SELECT min(next_attempt) AS at FROM outbox WHERE channel = ? AND settled_at IS NULL"
        row = self._one(query, channel)
        return datetime.fromtimestamp(row["at"], UTC) if row and row["at"] is not None else None

    def begin_attempt(self, entry: OutboxEntry) -> None:
        """Count the attempt before its first byte is sent: after a kill the next one knows that it may be a repeat."""
        with self._transaction():
            self._database.execute("UPDATE outbox SET attempts = attempts + 1 WHERE id = ?", (str(entry.id),))

    def settle(self, entry: OutboxEntry, now: datetime) -> None:
        """The channel accepted the alert."""
        with self._transaction():
            self._database.execute(
                "UPDATE outbox SET settled_at = ?, outcome = 'accepted', alert = '{}' WHERE id = ?",
                (now.timestamp(), str(entry.id)),
            )
            self._database.execute(
                "INSERT INTO channel (name, last_success) VALUES (?, ?)"
                " ON CONFLICT (name) DO UPDATE SET last_success = excluded.last_success",
                (entry.channel, now.timestamp()),
            )

    def postpone(
        self, entry: OutboxEntry, outcome: str, permanent: bool, now: datetime, retry_after: float = 0.0
    ) -> float:
        """The channel did not accept the alert: it stays owed. Returns the seconds until the next attempt."""
        delay = retry.SEND_PERMANENT if permanent else retry.send_delay(entry.attempts + 1, random.random())  # noqa: S311
        delay = max(delay, retry_after)
        with self._transaction():
            self._database.execute(
                "UPDATE outbox SET next_attempt = ?, outcome = ? WHERE id = ?",
                (now.timestamp() + delay, outcome, str(entry.id)),
            )
        return delay

    def close_removed_channels(self, names: Iterable[str], now: datetime) -> dict[str, int]:
        """Close what is owed to channels that left the configuration; how many rows of each."""
        keep = set(names)
        owed = {
            row["channel"]: row["n"]
            for row in self._all("SELECT channel, count(*) AS n FROM outbox WHERE settled_at IS NULL GROUP BY channel")
        }
        gone = {name: count for name, count in owed.items() if name not in keep}
        with self._transaction():
            for name in gone:
                self._database.execute(
                    "UPDATE outbox SET settled_at = ?, outcome = 'channel removed', alert = '{}'"
                    " WHERE channel = ? AND settled_at IS NULL",
                    (now.timestamp(), name),
                )
        return gone

    def check_writable(self) -> None:
        """Write and roll back. Raises `StoreError` where the store can't be written."""
        with _translated():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                self._database.execute("INSERT INTO channel (name) VALUES ('') ON CONFLICT DO NOTHING")
            finally:
                self._database.execute("ROLLBACK")

    # ---- inside one transaction ----

    def _record_notice(
        self,
        notice: Notice,
        reading: Reading,
        is_copy: bool,
        rules: Rules,
        channels: list[tuple[str, frozenset[str]]],
        now: datetime,
    ) -> Recorded:
        identity = self._identity(notice, reading)
        row = self._one("SELECT * FROM request WHERE identity = ?", identity)
        kept = replace(notice, items=self._without_titles(notice.items))
        decision = request.decide(kept, reading.mail.received, self._known(row, is_copy), rules)
        number = None
        if decision.action is not Action.QUIET and not (decision.action is Action.JOIN and row is None):
            number = self._write_request(row, identity, kept, reading, decision)
            self._write_sighting(number, kept, reading, decision)
        if decision.alerts or (notice.kind is Kind.CANCELLED and decision.action in {Action.QUIET, Action.CLOSE}):
            self._owe(number, notice, reading, decision, channels, now)
        return Recorded(notice, decision)

    def _without_titles(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        """Titles are not kept (design section 6): a keyed hash of how one begins tells the same item from another."""
        return tuple(
            replace(item, title=self._hash("title", request.folded_title(item)[:16]).hex() if item.title else None)
            for item in items
        )

    def _identity(self, notice: Notice, reading: Reading) -> bytes:
        """The request's key: seller and order ID; the mail itself without one, or where the notice is only doubtful."""
        if notice.order_id and (notice.kind not in {Kind.POSSIBLE, Kind.UNREADABLE} or self._is_known(notice, reading)):
            return self._hash("order", reading.seller, notice.order_id)
        return self._hash("mail", reading.seller, reading.content_key.hex())

    def _is_known(self, notice: Notice, reading: Reading) -> bool:
        identity = self._hash("order", reading.seller, notice.order_id or "")
        return self._one("SELECT 1 FROM request WHERE identity = ?", identity) is not None

    def _known(self, row: sqlite3.Row | None, is_copy: bool) -> Known:
        if row is None:
            return Known(is_copy=is_copy)
        return Known(is_copy=is_copy, state=State(row["state"]), sightings=self._sightings(row["id"]))

    def _sightings(self, number: int) -> tuple[Sighting, ...]:
        rows = self._all("SELECT * FROM sighting WHERE request = ? ORDER BY at, id", number)
        return tuple(_sighting(row) for row in rows)

    def _write_request(
        self, row: sqlite3.Row | None, identity: bytes, notice: Notice, reading: Reading, decision: Decision
    ) -> int:
        received = int(reading.mail.received.timestamp())
        if row is None:
            written = self._database.execute(
                "INSERT INTO request (identity, seller, order_id, marketplace, kind, trust, state, opened_at, items)"
                " VALUES (?, ?, ?, ?, ?, ?, 'open', ?, ?)",
                (
                    identity,
                    reading.seller,
                    notice.order_id,
                    notice.marketplace,
                    notice.kind,
                    notice.trust,
                    received,
                    _items_out(notice.items),
                ),
            )
            return int(written.lastrowid or 0)
        number = int(row["id"])
        if decision.action is Action.CLOSE:
            self._database.execute("UPDATE request SET state = 'cancelled' WHERE id = ?", (number,))
            return number
        official = notice.kind if notice.kind is Kind.REQUEST else Kind(row["kind"])
        trust = Trust.VERIFIED if Trust.VERIFIED in {notice.trust, Trust(row["trust"])} else Trust(row["trust"])
        items = _items_out(tuple(dict.fromkeys([*_items_in(row["items"]), *notice.items])))
        self._database.execute(
            "UPDATE request SET kind = ?, trust = ?, items = ? WHERE id = ?", (official, trust, items, number)
        )
        if decision.action is Action.REOPEN:
            self._database.execute(
                "UPDATE request SET state = 'open', asked = asked + ? WHERE id = ?",
                (int(decision.why == "asked again"), number),
            )
        return number

    def _write_sighting(self, number: int, notice: Notice, reading: Reading, decision: Decision) -> None:
        mail = reading.mail
        self._database.execute(
            "INSERT INTO sighting (request, at, kind, trust, route, items, account, folder, decision)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                int(mail.received.timestamp()),
                notice.kind,
                notice.trust,
                notice.route,
                _items_out(notice.items),
                mail.account,
                mail.folder,
                decision.action,
            ),
        )

    def _owe(
        self,
        number: int | None,
        notice: Notice,
        reading: Reading,
        decision: Decision,
        channels: list[tuple[str, frozenset[str]]],
        now: datetime,
    ) -> None:
        """One outbox row for each channel that is sent this kind."""
        alert = _alert_out(notice, reading, decision)
        for name, kinds in channels:
            if notice.kind in kinds:
                self._database.execute(
                    "INSERT INTO outbox (id, channel, request, alert, created_at, next_attempt)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (str(uuid.uuid4()), name, number, alert, now.timestamp(), now.timestamp()),
                )

    def _insert_mail(self, mail: MailIdentity) -> bool:
        """Whether the mail is new."""
        written = self._database.execute(
            "INSERT INTO mail VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (mail.account, mail.folder, mail.uidvalidity, mail.uid, int(mail.received.timestamp()), mail.size),
        )
        if written.rowcount:
            self._database.execute(
                "UPDATE folder SET mails_seen = mails_seen + 1 WHERE account = ? AND folder = ?",
                (mail.account, mail.folder),
            )
        return bool(written.rowcount)

    def _insert_content(self, reading: Reading) -> bool:
        """Whether a mail with this content, at least as trusted, is known; remember it otherwise.

        A better trusted one is not a copy: a forged twin that came first must not swallow the genuine mail.
        """
        key = self._hash("content", reading.seller, reading.content_key.hex())
        trust = reading.notices[0].trust
        row = self._one("SELECT trust FROM content WHERE seller = ? AND key = ?", reading.seller, key)
        if row is not None and _RANK[Trust(row["trust"])] >= _RANK[trust]:
            return True
        self._database.execute(
            "INSERT INTO content VALUES (?, ?, ?) ON CONFLICT (seller, key) DO UPDATE SET trust = excluded.trust",
            (reading.seller, key, trust),
        )
        return False

    # ---- reading back ----

    def _alert(self, row: sqlite3.Row, now: datetime) -> Alert:
        stored = json.loads(row["alert"])
        about = self._one("SELECT * FROM request WHERE id = ?", row["request"])
        is_private_over = now.timestamp() - row["created_at"] > PRIVATE_FOR.total_seconds()
        return Alert(
            kind=Kind(stored["kind"]),
            why=stored["why"],
            trust=Trust(stored["trust"]),
            seller=stored["seller"],
            order_id=stored["order_id"],
            marketplace=stored["marketplace"],
            received=datetime.fromtimestamp(stored["received"], UTC),
            account=stored["account"],
            folder=stored["folder"],
            sightings=self._sightings(row["request"]) if row["request"] else (),
            items=_items_in(stored["items"]),
            also_mentioned=tuple(stored["also_mentioned"]),
            reason=None if is_private_over else stored["reason"],
            excerpt=None if is_private_over else stored["excerpt"],
            order_date=stored["order_date"],
            ship_by=stored["ship_by"],
            sender_domain=stored["sender_domain"],
            asked=about["asked"] if about else 1,
            may_be_repeat=row["attempts"] > 0,
            open_requests=self.open_requests(),
        )

    def requests(self) -> list[StoredRequest]:
        """Every request, oldest first."""
        return [
            StoredRequest(row["order_id"], State(row["state"]), Kind(row["kind"]), self._sightings(row["id"]))
            for row in self._all("SELECT * FROM request ORDER BY opened_at, id")
        ]

    def mails_seen(self) -> int:
        """How many mails of all folders are recorded."""
        row = self._one("SELECT count(*) AS n FROM mail")
        return int(row["n"]) if row else 0

    def open_requests(self) -> int:
        """How many requests are open."""
        row = self._one("SELECT count(*) AS n FROM request WHERE state = 'open'")
        return int(row["n"]) if row else 0

    def _hash(self, *parts: str) -> bytes:
        return hashlib.blake2b("\x00".join(parts).encode("utf-8", "replace"), key=self._key, digest_size=24).digest()

    def _hash_key(self) -> bytes:
        row = self._one("SELECT hash_key FROM secret")
        if row is None:
            with self._transaction():
                self._database.execute(
                    "INSERT INTO secret VALUES (1, ?) ON CONFLICT DO NOTHING", (secrets.token_bytes(32),)
                )
            row = self._one("SELECT hash_key FROM secret")
        return bytes(row["hash_key"]) if row else b""

    def _migrate(self) -> None:
        """Bring an older store up, step by step, each step one transaction. A newer one is refused."""
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise StoreError("store.newer", version=version, known=SCHEMA_VERSION)
        for step in range(version + 1, SCHEMA_VERSION + 1):
            with self._transaction():
                if self._database.execute("PRAGMA user_version").fetchone()[0] >= step:
                    continue
                for statement in _MIGRATIONS[step].split(";\n"):
                    self._database.execute(statement)
                self._database.execute(f"PRAGMA user_version = {step}")

    def _one(self, query: str, *values: Any) -> sqlite3.Row | None:
        with _translated():
            row: sqlite3.Row | None = self._database.execute(query, values).fetchone()
            return row

    def _all(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with _translated():
            return self._database.execute(query, values).fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        """Everything or nothing, on disk when it ends. Raises `StoreError`."""
        with _translated():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise


class RunLock:
    """The lock that one `run` holds on its state folder for as long as it lives."""

    def __init__(self, folder: Path) -> None:
        """Take the lock. Raises `PassingError` when another `run` holds it, `StoreError` when it can't be written."""
        path = folder / "run.lock"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = path.open("a")
        except OSError as fault:
            raise StoreError("store.unwritable", path=path, why=fault.strerror) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise PassingError("store.locked", path=folder) from None

    def release(self) -> None:
        """Give the lock back."""
        self._file.close()


_RANK = {Trust.FORGED: 0, Trust.UNVERIFIED: 1, Trust.VERIFIED: 2}


@contextlib.contextmanager
def _translated(path: Path | None = None) -> Iterator[None]:
    """SQLite's errors as ours: what happened to which file, and what to do."""
    try:
        yield
    except sqlite3.DatabaseError as fault:
        raise StoreError(_error_key(fault), path=path or FILE_NAME, why=fault) from None


def _error_key(fault: sqlite3.DatabaseError) -> str:
    name = getattr(fault, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL"):
        return "store.full"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "store.busy"
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return "store.damaged"
    return "store.unwritable"


def _sighting(row: sqlite3.Row) -> Sighting:
    return Sighting(
        at=datetime.fromtimestamp(row["at"], UTC),
        kind=Kind(row["kind"]),
        trust=Trust(row["trust"]),
        route=Route(row["route"]) if row["route"] else None,
        items=_items_in(row["items"]),
    )


def _items_out(items: tuple[Item, ...]) -> str:
    return json.dumps([asdict(item) for item in items], ensure_ascii=False)


def _items_in(stored: str) -> tuple[Item, ...]:
    return tuple(Item(**row) for row in json.loads(stored))


def _alert_out(notice: Notice, reading: Reading, decision: Decision) -> str:
    mail = reading.mail
    return json.dumps(
        {
            "kind": notice.kind,
            "why": decision.why,
            "trust": notice.trust,
            "seller": reading.seller,
            "order_id": notice.order_id,
            "marketplace": notice.marketplace,
            "received": int(mail.received.timestamp()),
            "account": mail.account,
            "folder": mail.folder,
            "items": _items_out(notice.items if notice.trust is Trust.VERIFIED else ()),
            "also_mentioned": notice.also_mentioned,
            # No text of an unverified mail is ever told or kept (design section 3).
            "reason": notice.reason if notice.trust is Trust.VERIFIED else None,
            "excerpt": notice.excerpt if notice.trust is Trust.VERIFIED else None,
            "order_date": notice.order_date if notice.trust is Trust.VERIFIED else None,
            "ship_by": notice.ship_by if notice.trust is Trust.VERIFIED else None,
            "sender_domain": notice.sender_domain,
        },
        ensure_ascii=False,
    )
