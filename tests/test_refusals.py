"""Trouble that passes is not a wrong password: what a watch makes of a server that refuses its login or its folder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import mails
import pytest
from beds import misbehave
from beds.scripted import ScriptedImap
from test_mailbox import COMMANDS, raw
from test_recovery import VirtualClock, look, told_faults
from test_watch import POLLING, Told, configured, recorded, server_of, watching

from mailwatch import check, retry
from mailwatch.alert import FaultNews, Stage
from mailwatch.catalogue import say_fault
from mailwatch.config import Account, Config
from mailwatch.mailbox import Server
from mailwatch.store import Store
from mailwatch.watch import prepare
from mailwatch.watch.folder import FolderWorker
from mailwatch.watch.signals import Signals

pytestmark = pytest.mark.server

ONE = mails.order_id(1)
HOUR = 3600.0


@pytest.fixture
def server() -> Iterator[ScriptedImap]:
    """A server without IDLE, so that time goes on by waits; nothing is ever changed on it."""
    with ScriptedImap(POLLING) as running:
        yield running
        assert not running.violations
        assert set(running.commands()) <= COMMANDS


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first reconnect of some milliseconds."""
    monkeypatch.setattr(retry, "RECONNECT_FIRST", 0.02)


class Watched:
    """One folder's worker and the oversight, run turn by turn on a virtual clock; `tries`: when it logged in."""

    def __init__(self, server: ScriptedImap, tmp_path: Path, folder: str = "INBOX") -> None:
        made = configured(tmp_path, folders=(folder,))
        self.made: Config = replace(made, watch=replace(made.watch, poll_seconds=60.0))
        self.clock = VirtualClock()
        self.tries: list[float] = []
        self.signals = Signals()
        self._server, self._folder = server, folder
        prepare(self.made.watch.state_dir, self.made, self.clock)

    def run_until(self, seconds: float) -> None:
        """A new `run` until so many seconds after the beginning."""
        self.clock.until = seconds
        self.signals = Signals()
        FolderWorker(self.made, self.made.accounts[0], self._folder, self._server_at, self.signals, self.clock).run()

    def _server_at(self, account: Account) -> Server:
        self.tries.append(self.clock.passed)
        return server_of(self._server)(account)

    @property
    def faults(self) -> list[FaultNews]:
        """What was told of the watching."""
        return told_faults(self.made, self.clock)


PASSING = [
    "現在メンテナンス中です".encode(),
    "現在メンテナンス中です".encode("cp932"),
    "現在メンテナンス中です".encode("iso-2022-jp"),
    "ただいま大変混み合っております".encode("euc_jp"),
    b"Server Unavailable. 15",
    b"[UNAVAILABLE] Temporary authentication failure.",
    b"[AUTHENTICATIONFAILED] Too many login attempts, try again later.",
    b"LOGIN failed",
]


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("text", PASSING)
def test_a_login_that_is_refused_once_or_twice_in_maintenance_is_told_to_nobody(
    server: ScriptedImap, tmp_path: Path, text: bytes, times: int
) -> None:
    """Planted fault: `may_pass` always false: told as a refused login, red."""
    for _ in range(times):
        server.script("LOGIN", raw(b"{tag} NO " + text))
    server.deliver(mails.by_notification(ONE))
    watched = Watched(server, tmp_path)
    watched.run_until(150.0)
    assert len(watched.tries) == times + 1
    assert all(30 <= later - earlier <= 60 for earlier, later in itertools.pairwise(watched.tries))
    assert recorded(tmp_path) == 1
    assert watched.faults == []
    with closing(Store.open(watched.made.watch.state_dir)) as store:
        assert store.refusals.of("shop") is None


@pytest.mark.parametrize("text", PASSING)
def test_the_third_refusal_is_told_in_the_servers_words_and_the_tries_stay_few(
    server: ScriptedImap, tmp_path: Path, text: bytes
) -> None:
    """Planted fault: hourly only from the eighth refusal on: red."""
    server.script("LOGIN", raw(b"{tag} NO " + text), always=True)
    watched = Watched(server, tmp_path)
    watched.run_until(10 * HOUR)
    [told] = watched.faults
    assert told.stage is Stage.BEGAN
    assert (told.since - watched.clock._start).total_seconds() <= 120
    said = say_fault(told.fault, "ja")
    assert text.decode("ascii", "ignore") in said or "現在メンテナンス中です" in said or "混み合って" in said
    assert len([at for at in watched.tries if at <= HOUR]) == 6
    assert all(later - earlier >= HOUR for earlier, later in itertools.pairwise(watched.tries[5:]))


def test_a_wrong_password_is_told_at_once(server: ScriptedImap, tmp_path: Path) -> None:
    server.script("LOGIN", misbehave.refuse_login(), always=True)
    watched = Watched(server, tmp_path)
    watched.run_until(100.0)
    assert len(watched.tries) == 1
    assert len(watched.faults) == 1


@pytest.mark.parametrize("every", [10.0, 50.0, 180.0])
@pytest.mark.parametrize("text", [b"LOGIN failed", b"[AUTHENTICATIONFAILED] no"])
def test_restarts_make_the_tries_no_more_and_the_first_word_no_later(
    server: ScriptedImap, tmp_path: Path, text: bytes, every: float
) -> None:
    """Planted fault: after a restart each counts as the first: red."""
    server.script("LOGIN", raw(b"{tag} NO " + text), always=True)
    watched = Watched(server, tmp_path)
    for number in range(1, 21):
        watched.run_until(every * number)
    watched.run_until(5 * HOUR)
    assert len([at for at in watched.tries if at <= HOUR]) <= 6
    assert all(later - earlier >= HOUR for earlier, later in itertools.pairwise(watched.tries[5:]))
    assert (watched.faults[0].since - watched.clock._start).total_seconds() <= 15 * 60


def test_a_login_that_recovers_after_it_was_told_is_told_as_over(server: ScriptedImap, tmp_path: Path) -> None:
    for _ in range(4):
        server.script("LOGIN", raw("{tag} NO メンテナンス中です".encode()))
    watched = Watched(server, tmp_path)
    watched.run_until(HOUR)
    assert [news.stage for news in watched.faults] == [Stage.BEGAN, Stage.OVER]


# ---- folders ----

FOLDER_PASSING = [
    b"Server Unavailable. 15",
    "現在メンテナンス中です".encode(),
    "メールボックスに一時的に接続できません".encode("cp932"),
    b"[INUSE] Mailbox is locked",
    b"EXAMINE failed",
]


@pytest.mark.parametrize("text", FOLDER_PASSING)
@pytest.mark.parametrize("folder", ["INBOX", "Amazon"])
def test_a_folder_that_is_refused_for_a_moment_is_told_to_nobody(
    server: ScriptedImap, tmp_path: Path, text: bytes, folder: str
) -> None:
    """Seen red: told at once as a folder that is not on the server."""
    server.add_folder(folder)
    server.script("EXAMINE", raw(b"{tag} NO " + text))
    server.script("EXAMINE", raw(b"{tag} NO " + text))
    server.deliver(mails.by_notification(ONE), folder)
    watched = Watched(server, tmp_path, folder)
    watched.run_until(30.0)
    assert recorded(tmp_path) == 1
    assert watched.faults == []


@pytest.mark.parametrize("text", [*FOLDER_PASSING, b"[NONEXISTENT] Mailbox doesn't exist"])
def test_an_inbox_that_stays_refused_is_told_within_15_minutes_in_the_servers_words(
    server: ScriptedImap, tmp_path: Path, text: bytes
) -> None:
    watched = Watched(server, tmp_path)
    watched.run_until(30.0)
    server.script("EXAMINE", raw(b"{tag} NO " + text), always=True)
    watched.run_until(17 * 60.0)
    assert watched.faults == []
    look(watched.made, watched.clock, watched.signals)
    [told] = watched.faults
    assert told.fault.key == "fault.stale_said"
    said = say_fault(told.fault, "en")
    assert (text.decode() in said) if text.isascii() else ("メ" in said)


def test_a_folder_that_is_not_there_is_told_at_once(server: ScriptedImap, tmp_path: Path) -> None:
    watched = Watched(server, tmp_path, "Amazon")
    watched.run_until(30.0)
    [told] = watched.faults
    assert told.fault.key == "fault.folder"


# ---- LOGINDISABLED ----


@pytest.mark.parametrize("others", ["AUTH=PLAIN", "AUTH=XOAUTH2 AUTH=PLAIN AUTH=LOGIN SASL-IR", "auth=plain"])
def test_a_server_that_disables_login_is_watched_by_authenticate_plain(
    server: ScriptedImap, tmp_path: Path, others: str
) -> None:
    server.capability += f" LOGINDISABLED {others}"
    server.deliver(mails.by_notification(ONE))
    told = Told()
    with watching(configured(tmp_path), server, told):
        told.wait_for(ONE)
    assert "LOGIN" not in server.commands()


# ---- at once ----


@pytest.mark.parametrize("text", PASSING)
def test_check_shows_a_refusal_at_once(server: ScriptedImap, tmp_path: Path, text: bytes) -> None:
    server.script("LOGIN", raw(b"{tag} NO " + text))
    found = list(check.findings(configured(tmp_path), server_of(server)))
    assert found[0].said.key == "check.account_bad"
    assert server.commands().count("LOGIN") == 1


def test_check_shows_a_refused_folder_in_the_servers_words(server: ScriptedImap, tmp_path: Path) -> None:
    server.script("EXAMINE", raw(b"{tag} NO Server Unavailable. 15"))
    [bad] = [each for each in check.findings(configured(tmp_path), server_of(server)) if not each.is_good]
    assert "Server Unavailable. 15" in say_fault(bad.said, "ja")
