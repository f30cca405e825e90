"""The schema of the store, each of its versions as the step from the one before.

A step is never changed once it is written: another schema is another number. Each step changes the schema, and
`tests/stores` holds a store of every version, as the mailwatch of its day left it.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3

MIGRATIONS = {
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
        unsure INTEGER NOT NULL DEFAULT 0, outcome TEXT, settled_at REAL
    );
    CREATE INDEX outbox_owed ON outbox (channel, number) WHERE settled_at IS NULL;
    CREATE TABLE channel (name TEXT PRIMARY KEY, last_success REAL) WITHOUT ROWID;
    """,
    2: """
    ALTER TABLE folder ADD COLUMN watched_as TEXT;
    ALTER TABLE channel ADD COLUMN not_before REAL;
    ALTER TABLE channel ADD COLUMN trying_since REAL;
    ALTER TABLE channel ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE channel ADD COLUMN failed_at REAL;
    ALTER TABLE channel ADD COLUMN outcome TEXT;
    ALTER TABLE channel ADD COLUMN why TEXT;
    ALTER TABLE channel ADD COLUMN cause TEXT;
    ALTER TABLE channel ADD COLUMN url BLOB;
    ALTER TABLE channel ADD COLUMN month TEXT;
    ALTER TABLE channel ADD COLUMN sent INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN root TEXT;
    ALTER TABLE outbox ADD COLUMN about TEXT;
    ALTER TABLE outbox ADD COLUMN first_attempt REAL;
    UPDATE outbox SET next_attempt = 0 WHERE outcome IS NOT 'permanent';
    CREATE INDEX outbox_by_root ON outbox (root) WHERE root IS NOT NULL;
    CREATE TABLE fault (
        key TEXT PRIMARY KEY, fault TEXT NOT NULL, began REAL NOT NULL, told REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE unverified (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, request INTEGER REFERENCES request ON DELETE CASCADE,
        kind TEXT NOT NULL, order_id TEXT, state TEXT NOT NULL
    );
    CREATE INDEX unverified_by_state ON unverified (state, at);
    CREATE INDEX unverified_by_request ON unverified (request);
    CREATE TABLE refusal (account TEXT PRIMARY KEY, count INTEGER NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE reading (
        account TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity INTEGER NOT NULL, uid INTEGER NOT NULL,
        received INTEGER NOT NULL, size INTEGER NOT NULL,
        begun INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (account, folder, uidvalidity, uid, received, size)
    ) WITHOUT ROWID;
    CREATE TABLE held (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, reason TEXT NOT NULL, account TEXT NOT NULL, folder TEXT NOT NULL,
        request INTEGER REFERENCES request ON DELETE SET NULL, alert TEXT NOT NULL
    );
    ALTER TABLE folder ADD COLUMN singles INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE counter (name TEXT PRIMARY KEY, total INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE report (name TEXT PRIMARY KEY, at REAL NOT NULL, totals TEXT NOT NULL) WITHOUT ROWID;
    """,
    3: """
    ALTER TABLE reading ADD COLUMN died INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE reading ADD COLUMN since REAL;
    ALTER TABLE reading ADD COLUMN process TEXT;
    ALTER TABLE outbox ADD COLUMN answers INTEGER NOT NULL DEFAULT 0;
    """,
    4: """
    ALTER TABLE request ADD COLUMN marketplace_basis INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE request ADD COLUMN marketplace_trust TEXT NOT NULL DEFAULT 'forged';
    ALTER TABLE request ADD COLUMN undelivered_at REAL;
    ALTER TABLE unverified ADD COLUMN rewritten INTEGER NOT NULL DEFAULT 0;
    """,
    5: """
    CREATE TABLE amazon_day (
        account TEXT NOT NULL, day INTEGER NOT NULL, first REAL NOT NULL, last REAL NOT NULL,
        PRIMARY KEY (account, day)
    ) WITHOUT ROWID;
    """,
}
SCHEMA_VERSION = max(MIGRATIONS)

# Schemas that were written under one of these numbers before its step was as it is now: their fingerprint, and the
# commit of this repository that wrote the first such store.
_UNRELEASED = {
    "487129d5c58ad3ac": "1112598",
    "ea5e3d3fae39a769": "9eabd48",
    "a1452377d99e23f0": "290c8de",
    "e00f1f5bbb3121a7": "60b443a",
}
# What a column that such a schema lacks is filled with, where the column's default will not do.
_FILLED = {
    ("outbox", "unsure"): "attempts > 0",
    ("reading", "begun"): "tries",
    ("unverified", "kind"): "coalesce((SELECT kind FROM request WHERE id = unverified_before.request), 'possible')",
}

Schema = frozenset[tuple[str, str, str, str | None]]


def schema(connection: sqlite3.Connection) -> Schema:
    """Return the schema of an open file: type, name, table and SQL of everything in it."""
    return frozenset(tuple(row) for row in connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))


def schema_of(version: int) -> Schema:
    """Return the schema that the steps up to `version` make."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        for step in range(1, version + 1):
            apply(connection, step)
        return schema(connection)


def apply(connection: sqlite3.Connection, step: int) -> None:
    """Take one step; inside the caller's transaction."""
    for statement in MIGRATIONS[step].split(";\n"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {step}")


def is_unreleased(found: Schema) -> bool:
    """Return whether this is a schema that was changed later under the same number."""
    return _fingerprint(found) in _UNRELEASED


def rebuild_unreleased(connection: sqlite3.Connection) -> None:
    """Make such a schema what its number stands for now, and keep every row; inside the caller's transaction.

    Each table that differs is made anew from its own words, for ALTER TABLE would leave other words than a fresh store
    has, and by these a damaged schema is told.
    """
    found = schema(connection)
    if not is_unreleased(found):
        return
    [version] = connection.execute("PRAGMA user_version").fetchone()
    wanted = {row for row in schema_of(version) if row[3]}
    tables = {name for kind, name, _, _ in found if kind == "table"}
    for _, name, _, sql in (row for row in wanted - found if row[0] == "table"):
        if name in tables:
            connection.execute(f"ALTER TABLE {name} RENAME TO {name}_before")
        connection.execute(sql or "")
        if name in tables:
            _copy(connection, name)
            connection.execute(f"DROP TABLE {name}_before")
    for _, _, _, sql in wanted - schema(connection):
        connection.execute(sql or "")


def _copy(connection: sqlite3.Connection, table: str) -> None:
    before = _columns(connection, f"{table}_before")
    filled = {
        column: column if column in before else _FILLED[table, column]
        for column in _columns(connection, table)
        if column in before or (table, column) in _FILLED
    }
    names, values = ", ".join(filled), ", ".join(filled.values())
    connection.execute(f"INSERT INTO {table} ({names}) SELECT {values} FROM {table}_before")  # noqa: S608 - names of ours


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def _fingerprint(found: Schema) -> str:
    """Return a short hash of what mailwatch itself has put into a schema."""
    ours = sorted(row for row in found if row[3])
    return hashlib.sha256(repr(ours).encode()).hexdigest()[:16]
