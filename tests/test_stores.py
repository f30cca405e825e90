"""Stores that earlier mailwatches wrote, one of each schema since the first (tests/stores/make.py): opened by this one,
nothing is told again and nothing is lost."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import mails
import pytest
from beds.scripted import ScriptedImap
from beds.wire import wait_until
from test_watch import Told, all_watching, configured, rows, unsettled, watching

from mailwatch import database, migrations
from mailwatch.clock import Clock
from mailwatch.watch import prepare

STORES = sorted((Path(__file__).parent / "stores").glob("*.sql"))
TOLD, DONE, OWED, NEW = (mails.order_id(number) for number in (1, 2, 3, 4))
ARRIVED = datetime(2026, 11, 1, 3, 0, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[ScriptedImap]:
    """The mailbox of tests/stores/make.py."""
    with ScriptedImap() as running:
        for order in (TOLD, DONE, OWED):
            running.deliver(mails.by_notification(order), when=ARRIVED)
        yield running


def laid_down(dump: Path, folder: Path) -> None:
    """Make the store of a dump in a state folder."""
    folder.mkdir(mode=0o700)
    with closing(sqlite3.connect(folder / database.FILE_NAME)) as connection:
        connection.executescript(dump.read_text("utf-8"))


def schema(path: Path) -> migrations.Schema:
    with closing(sqlite3.connect(path)) as connection:
        return migrations.schema(connection)


@pytest.mark.server
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("dump", STORES, ids=lambda dump: dump.stem)
def test_a_store_of_an_earlier_schema_tells_what_it_owes_and_nothing_again(
    dump: Path, server: ScriptedImap, tmp_path: Path
) -> None:
    """The mails that it knows, and copies of them, are not told; a mark `done` stays. Planted faults: `_UNRELEASED`
    empty: four of them are set aside as damaged, red; rows not copied: red."""
    made, told = configured(tmp_path), Told()
    laid_down(dump, made.watch.state_dir)
    prepare(made.watch.state_dir, made, Clock())
    with watching(made, server, told) as running:
        all_watching(running)
        for order in (TOLD, DONE, NEW):
            server.deliver(mails.by_notification(order), when=ARRIVED)
        told.wait_for(OWED, NEW)
        wait_until(lambda: rows(tmp_path, "SELECT count(*) FROM mail") == [(6,)])
        wait_until(lambda: unsettled(tmp_path) == 0)
    assert told.orders() == Counter([OWED, NEW])
    assert rows(tmp_path, "SELECT order_id, state FROM request ORDER BY id") == [
        (TOLD, "open"),
        (DONE, "done"),
        (OWED, "open"),
        (NEW, "open"),
    ]
    assert not list(made.watch.state_dir.glob("*.damaged-*"))
    assert schema(made.watch.state_dir / database.FILE_NAME) == migrations.schema_of(migrations.SCHEMA_VERSION)


def test_there_is_a_store_of_every_schema_before_this_one() -> None:
    """Else a migration comes without the store that it is for. Seen red without the latest dump."""
    found = set()
    for dump in STORES:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript(dump.read_text("utf-8"))
            found.add(migrations.schema(connection))
    unreleased = {migrations._fingerprint(each) for each in found if migrations.is_unreleased(each)}
    assert unreleased == set(migrations._UNRELEASED)
    assert {migrations.schema_of(version) for version in range(1, migrations.SCHEMA_VERSION)} <= found


def test_each_step_changes_the_schema() -> None:
    """A later store is told from a damaged number by its other schema."""
    schemas = {migrations.schema_of(version) for version in range(1, migrations.SCHEMA_VERSION + 1)}
    assert len(schemas) == migrations.SCHEMA_VERSION


def test_what_an_unreleased_schema_lacks_is_filled_from_what_it_has(tmp_path: Path) -> None:
    """An attempt that may have arrived, the kind of an unverified request, the tries of a reading."""
    [first, unverified, tries] = (
        next(dump for dump in STORES if dump.stem == name) for name in ("1112598", "9eabd48", "290c8de")
    )
    for dump, write, read, expected in (
        (first, "UPDATE outbox SET attempts = 1", "SELECT DISTINCT unsure FROM outbox", [(1,)]),
        (
            unverified,
            "INSERT INTO unverified (at, request, state) VALUES (1, 2, 'told'), (1, NULL, 'told')",
            "SELECT kind FROM unverified ORDER BY id",
            [("request",), ("possible",)],
        ),
        (tries, "INSERT INTO reading VALUES ('shop', 'INBOX', 1, 2, 3, 4, 5)", "SELECT begun FROM reading", [(5,)]),
    ):
        folder = tmp_path / dump.stem
        laid_down(dump, folder)
        with closing(sqlite3.connect(folder / database.FILE_NAME)) as connection:
            connection.execute(write)
            connection.commit()
        database.Database.open(folder).close()
        with closing(sqlite3.connect(folder / database.FILE_NAME)) as connection:
            assert connection.execute(read).fetchall() == expected


def test_a_store_of_a_number_that_is_ours_with_a_schema_that_never_was_is_damaged(tmp_path: Path) -> None:
    laid_down(STORES[0], tmp_path / "state")
    with closing(sqlite3.connect(tmp_path / "state" / database.FILE_NAME)) as connection:
        connection.execute("ALTER TABLE mail RENAME COLUMN size TO sixe")
    assert database.set_aside_damaged(tmp_path / "state", ARRIVED) == "another schema"
