"""Faults that last, from their true causes: a refused login, a folder that is gone, a disk that is full."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import mails
import pytest
from beds import misbehave
from beds.scripted import CAPABILITY, ScriptedImap
from virtual import BEGAN, LASTS, NOON, NOT_WELL, OVER, WELL, Phones, Run, VirtualClock, channel, configured

from mailwatch import database
from mailwatch.config import Account, Config
from mailwatch.database import FILE_NAME
from mailwatch.errors import StoreError
from mailwatch.mailbox import Server
from mailwatch.secret import Secret
from mailwatch.watch.folder import FolderWorker
from mailwatch.watch.oversight import Oversight
from mailwatch.watch.signals import Signals

pytestmark = pytest.mark.server

ONE, TWO = (mails.order_id(number) for number in (1, 2))
SLACK_AND_SMS = (channel("slack"), channel("sms", send=["request", "fault"]))
POLLING = CAPABILITY.replace(" IDLE", "")
HOUR = timedelta(hours=1)
MORNING = NOON + timedelta(hours=20)


@pytest.fixture
def server() -> Iterator[ScriptedImap]:
    """A server without IDLE, so that a folder waits by the clock of the test."""
    with ScriptedImap(POLLING) as running:
        yield running
        assert not running.violations


class Watched:
    """One folder's real worker, and the others beside it while it waits; each `until` is another `run`."""

    def __init__(self, made: Config, server: ScriptedImap, phones: Phones, clock: VirtualClock) -> None:
        self._config = replace(made, watch=replace(made.watch, poll_seconds=300.0))
        self._server = server
        self._phones = phones
        self._clock = clock

    def until(self, moment: datetime, *actions: tuple[datetime, Callable[[], object]]) -> None:
        """Run until then; at those moments something happens."""
        run = Run(self._config, self._phones, self._clock, is_searching=False)
        run.pace = 60.0
        for at, action in actions:
            run.at(at, action)
        run.at(moment, run.signals.stop.set)
        account = self._config.accounts[0]
        FolderWorker(self._config, account, account.folders[0], self._server_of, run.signals, self._clock).run()
        run.close()

    def _server_of(self, _: Account) -> Server:
        return Server(self._server.host, self._server.port, None, self._server.user, Secret(self._server.password))


def watched(tmp_path: Path, server: ScriptedImap, folder: str = "INBOX") -> tuple[Watched, Phones]:
    """A folder that is watched, and the other end of the channels."""
    clock = VirtualClock()
    phones = Phones(clock)
    made = configured(tmp_path, *SLACK_AND_SMS, watch="morning_line = '08:00'", folders=(folder,))
    return Watched(made, server, phones, clock), phones


def stages(phones: Phones, name: str) -> list[str]:
    """What a channel was told of the watching."""
    return [title for title in phones.titles(name) if title in {BEGAN, LASTS, OVER, WELL, NOT_WELL}]


# ---- the login ----


def test_a_refused_login_is_told_once_each_morning_and_once_when_it_is_over(
    server: ScriptedImap, tmp_path: Path
) -> None:
    """Six restarts meanwhile repeat nothing. Planted faults: each refusal tells; no news of the end; the fault is
    forgotten with the process: red each."""
    watch, phones = watched(tmp_path, server)
    server.deliver(mails.by_notification(ONE))
    refused = NOON + timedelta(minutes=30)
    server.script("LOGIN", misbehave.refuse_login("[AUTHENTICATIONFAILED] <!channel> Authentication failed."))
    server.unscript()

    def change_the_password() -> None:
        server.script("LOGIN", misbehave.refuse_login(), always=True)
        server.drop()

    watch.until(NOON + HOUR, (refused, change_the_password))
    assert phones.orders("slack") == [ONE]
    assert stages(phones, "slack") == stages(phones, "sms") == [BEGAN]
    [told] = [each for each in phones.accepted("slack") if each.text.title == BEGAN]
    assert told.at - refused <= timedelta(minutes=6)
    assert "shop" in told.text.body
    for hours in (8, 15, 19, 22, 30, 46):
        watch.until(NOON + timedelta(hours=hours))
    assert stages(phones, "slack") == [BEGAN, NOT_WELL, NOT_WELL]
    assert stages(phones, "sms") == [BEGAN, LASTS, LASTS]
    assert {each.at.hour for each in phones.accepted("sms") if each.text.title == LASTS} == {23}
    server.unscript()
    server.deliver(mails.by_notification(TWO))
    watch.until(NOON + timedelta(hours=49))
    watch.until(NOON + timedelta(hours=69))
    assert stages(phones, "slack")[3:] == [OVER, WELL]
    assert stages(phones, "sms")[3:] == [OVER]
    assert phones.orders("slack") == phones.orders("sms") == [ONE, TWO]


def test_a_password_that_cannot_be_read_is_told_as_a_refused_login_is(server: ScriptedImap, tmp_path: Path) -> None:
    """Planted fault: only the server's refusal begins an episode: red."""
    clock = VirtualClock()
    phones = Phones(clock)
    made = configured(tmp_path, channel("slack"))
    run = Run(made, phones, clock, is_searching=False)
    run.pace = 60.0
    run.at(NOON + HOUR, run.signals.stop.set)
    (tmp_path / "password").unlink()

    def server_of(account: Account) -> Server:
        return Server(server.host, server.port, None, server.user, account.password())

    FolderWorker(made, made.accounts[0], "INBOX", server_of, run.signals, clock).run()
    assert phones.titles("slack") == [BEGAN]
    assert server.commands() == []


# ---- the folder ----


def test_a_folder_that_is_gone_is_told_once_each_morning_and_once_when_it_is_back(
    server: ScriptedImap, tmp_path: Path
) -> None:
    """Planted faults: told at each try; told as stale beside it; never over: red each."""
    watch, phones = watched(tmp_path, server, "Amazon")
    box = server.add_folder("Amazon")
    server.deliver(mails.by_notification(ONE), "Amazon")

    def rename() -> None:
        del server.folders["Amazon"]
        server.drop()

    watch.until(NOON + HOUR, (NOON + HOUR / 2, rename))
    assert phones.orders("slack") == [ONE]
    assert stages(phones, "slack") == stages(phones, "sms") == [BEGAN]
    assert "Amazon" in phones.accepted("slack")[-1].text.body
    for hours in (2, 22, 46):
        watch.until(NOON + timedelta(hours=hours))
    assert stages(phones, "slack") == [BEGAN, NOT_WELL, NOT_WELL]
    assert stages(phones, "sms") == [BEGAN, LASTS, LASTS]
    server.folders["Amazon"] = box
    server.deliver(mails.by_notification(TWO), "Amazon")
    watch.until(NOON + timedelta(hours=47))
    assert stages(phones, "slack")[3:] == stages(phones, "sms")[3:] == [OVER]
    assert phones.orders("slack") == [ONE, TWO]


def test_a_server_that_is_away_is_told_after_15_minutes_without_a_good_search(
    server: ScriptedImap, tmp_path: Path
) -> None:
    """Planted fault: `good_search` is written at each connect: red."""
    watch, phones = watched(tmp_path, server)

    def go_away() -> None:
        server.script("GREETING", misbehave.closes(), always=True)
        server.drop()

    away = NOON + timedelta(minutes=31)
    watch.until(NOON + 3 * HOUR, (away, go_away), (NOON + 2 * HOUR, server.unscript))
    assert stages(phones, "slack") == [BEGAN, OVER]
    began, over = (each.at for each in phones.accepted("slack"))
    assert timedelta(minutes=10) <= began - away <= timedelta(minutes=16)  # the last good search was before
    assert timedelta() <= over - (NOON + 2 * HOUR) <= timedelta(minutes=6)


# ---- the store ----


@contextlib.contextmanager
def held_by_another(folder: Path) -> Iterator[None]:
    """Another program writes, and does not end."""
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextlib.contextmanager
def damaged(folder: Path) -> Iterator[None]:
    """Another file stands where the store was."""
    path = folder / FILE_NAME
    kept = path.read_bytes()
    path.write_bytes(b"not a database at all" * 500)
    yield
    path.write_bytes(kept)


@contextlib.contextmanager
def without_a_journal(folder: Path) -> Iterator[None]:
    """What SQLite must create to write can't be created: as without permission, which root always has."""
    journal = folder / f"{FILE_NAME}-journal"
    journal.mkdir()
    yield
    journal.rmdir()


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    """The disk is full: the state folder is a file system of its own (root only)."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", 0) as file:
        while file.write(b"x" * 4096):
            pass
    yield
    filler.unlink()


Break = Callable[[Path], AbstractContextManager[None]]
WAYS: list[Break] = [held_by_another, damaged, without_a_journal, *([full] if os.geteuid() == 0 else [])]


@pytest.fixture
def state_dir(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Where the state folder is; a small file system of its own where the disk shall be full."""
    folder = tmp_path / "state"
    if request.getfixturevalue("breaks") is not full:
        yield folder
        return
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("breaks", WAYS, ids=lambda each: each.__name__)
def test_a_store_that_cannot_be_written_is_told_without_it_in_a_minute_once_an_hour_and_when_it_is_over(
    tmp_path: Path, breaks: Break, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted faults: never told; told after two minutes; told at each look; a moment of it is told: red each."""
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.0)
    clock = VirtualClock()
    phones = Phones(clock)
    made = configured(tmp_path, channel("slack"), channel("digests", send=["digest"]), SLACK_AND_SMS[1])
    assert made.watch.state_dir == state_dir
    run = Run(made, phones, clock)
    run.record(ONE)
    run.go_on(minutes=5)
    run.close()
    signals = Signals()
    broken = contextlib.ExitStack()
    at = {
        NOON + HOUR: lambda: broken.enter_context(breaks(state_dir)),
        NOON + HOUR + timedelta(seconds=15): broken.close,
        NOON + 2 * HOUR: lambda: broken.enter_context(breaks(state_dir)),
        NOON + 3.5 * HOUR: broken.close,
        NOON + 4 * HOUR: signals.stop.set,
    }

    def wait(seconds: float) -> None:
        for thread in [each for each in threading.enumerate() if each.name == "store-fault"]:
            thread.join(10)
        until = clock.now() + timedelta(seconds=seconds)
        for moment in sorted(moment for moment in at if moment <= until):
            at.pop(moment)()
        clock.move(seconds)

    clock.on_wait = wait
    Oversight(made, phones.of, signals, clock).run()
    for name in ("slack", "sms"):
        told = [(each.text.title, each.at - NOON - 2 * HOUR) for each in phones.accepted(name) if not each.order]
        assert [title for title, _ in told] == [BEGAN, LASTS, OVER]
        assert told[0][1] <= timedelta(seconds=60)
        assert timedelta(hours=1) <= told[1][1] <= timedelta(hours=1, minutes=2)
        assert timedelta() <= told[2][1] - timedelta(hours=1, minutes=30) <= timedelta(seconds=60)
    assert phones.attempts("digests") == []
    assert phones.orders("slack") == [ONE]


def with_a_limit(folder: Path) -> None:
    """In a process of its own: the store may not grow any more, as on a disk with room for a journal but no more.

    Prints after how many seconds the fault of the store was told; nothing where it was not.
    """
    clock = VirtualClock()
    phones = Phones(clock)
    with ScriptedImap(POLLING) as server:
        made = configured(folder, channel("slack"), imap=(server.host, server.port))
        run = Run(made, phones, clock, is_searching=False)

        def look() -> float:
            try:
                return run.oversight.look(run.store)
            except StoreError as fault:
                run.oversight._store_fault.there(fault)  # as `Oversight.run` does
                return 10.0

        def no_more() -> None:
            size = (made.watch.state_dir / FILE_NAME).stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
            for number in range(300):
                server.deliver(mails.by_notification(mails.order_id(number)))

        run._steps["oversight"] = look
        run.at(NOON + HOUR, no_more)
        run.at(NOON + HOUR + HOUR / 5, run.signals.stop.set)

        def server_of(account: Account) -> Server:
            return Server(server.host, server.port, None, server.user, account.password())

        FolderWorker(made, made.accounts[0], "INBOX", server_of, run.signals, clock).run()
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert len(run.store.requests()) < 300
        told = [each for each in phones.came if each.text.title == BEGAN and "store" in each.text.body]
        print(*((each.at - NOON - HOUR).total_seconds() for each in told))  # noqa: T201 - for the test


def test_a_store_that_cannot_grow_is_told_as_one_that_cannot_be_written(tmp_path: Path) -> None:
    """A disk is full long before a journal of 8 KB fails: no mail is recorded, and `check_writable` is content."""
    call = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import pathlib, test_faults;"
    call += f" test_faults.with_a_limit(pathlib.Path({str(tmp_path)!r}))"
    ended = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "store_failed" in ended.stderr
    [seconds] = ended.stdout.split()
    assert float(seconds) <= 60 + 20
