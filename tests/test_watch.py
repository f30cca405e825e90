"""`Watch` as one process runs it: a scripted IMAP server before it, a real store, a sender that remembers behind it."""

from __future__ import annotations

import gc
import re
import sqlite3
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import mails
import pytest
from beds import misbehave
from beds.recorder import Recorder
from beds.scripted import CAPABILITY, ScriptedImap, Session
from beds.wire import free_port, wait_until

from mailwatch import config, database, mailbox, notice, retry, transport
from mailwatch.clock import Clock
from mailwatch.config import Account, Channel, Config, source
from mailwatch.errors import StoreError
from mailwatch.mailbox import Server
from mailwatch.message import Message
from mailwatch.notice import Notice
from mailwatch.secret import Secret
from mailwatch.services import Outcome, Result
from mailwatch.store import Store
from mailwatch.texts import Text
from mailwatch.transport import Sender
from mailwatch.watch import Watch, logins, loop, search
from mailwatch.watch.channel import ChannelWorker
from mailwatch.watch.folder import FolderWorker
from mailwatch.watch.search import Search
from mailwatch.watch.signals import Progress, Signals

# apprise imports `imghdr` on 3.11 and 3.12, which warns.
pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


COMMANDS = {
    "CAPABILITY", "LOGIN", "AUTHENTICATE", "LIST", "EXAMINE", "UID SEARCH", "UID FETCH", "IDLE", "DONE", "NOOP",
    "LOGOUT",
}  # fmt: skip
ONE, TWO, THREE = (mails.order_id(number) for number in (1, 2, 3))
POLLING = CAPABILITY.replace(" IDLE", "")
HOUR = 3600.0


class Told:
    """Remembers what it was given to send, and answers as planned (accepted where nothing is planned)."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.texts: list[tuple[str, Text, uuid.UUID]] = []
        self._outcomes = list(outcomes)
        self._lock = threading.Lock()

    def of(self, channel: Channel) -> Sender:
        """The channel's sender."""

        def send(text: Text, key: uuid.UUID) -> Outcome:
            with self._lock:
                self.texts.append((channel.name, text, key))
                return self._outcomes.pop(0) if self._outcomes else Outcome(Result.ACCEPTED)

        return send

    def orders(self, channel: str | None = None) -> Counter[str]:
        """How often each order was told, singly or as a line of a digest."""
        return Counter(
            order for name, text, _ in list(self.texts) if channel in {None, name} for order in orders_of(text)
        )

    def has_been_given(self, count: int) -> Callable[[], bool]:
        """Whether there were so many attempts."""
        return lambda: len(self.texts) >= count

    def wait_for(self, *orders: str, seconds: float = 10.0) -> None:
        """Wait until exactly these were told, and no other."""
        wait_until(lambda: sum(self.orders().values()) >= len(orders), seconds, f"{len(orders)} alerts")
        assert self.orders() == Counter(orders)


def orders_of(text: Text) -> list[str]:
    """The orders that a text tells of: each on a line that it begins; of a mail without one its first line."""
    lines = text.body.split("\n")
    named = [line.split(" ", 1)[0] for line in lines if re.match(r"\d{3}-\d{7}-\d{7}(?: |$)", line)]
    return named or lines[:1]


class FastClock(Clock):
    """A clock whose waits are over at once, remembered in `waits`; after so many it says stop."""

    def __init__(self, until: int) -> None:
        self.waits: list[float] = []
        self.passed = 0.0
        self._until = until

    def now(self) -> datetime:
        """The time, moved on by what was waited for."""
        return datetime.now(UTC) + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        """Likewise."""
        return time.monotonic() + self.passed

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Remember, and go on."""
        self.waits.append(seconds)
        self.passed += seconds
        if len(self.waits) >= self._until:
            event.set()
        return event.is_set()


class StandingClock(Clock):
    """A clock that the test moves, and nothing else."""

    def __init__(self) -> None:
        self.passed = 0.0
        self._start = datetime.now(UTC)

    def now(self) -> datetime:
        """The start, moved on."""
        return self._start + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        """What has passed."""
        return self.passed


@pytest.fixture
def server() -> Iterator[ScriptedImap]:
    """A server; nothing is ever changed on it."""
    with ScriptedImap() as running:
        yield running
        assert not running.violations
        assert set(running.commands()) <= COMMANDS


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delays as settings: a first reconnect and a first retry of some milliseconds."""
    monkeypatch.setattr(retry, "RECONNECT_FIRST", 0.02)
    monkeypatch.setattr(retry, "SEND_FIRST", 0.02)
    monkeypatch.setattr(retry, "UNSURE_FIRST", 0.02)


def configured(
    folder: Path,
    *,
    folders: tuple[str, ...] = ("INBOX",),
    accounts: tuple[str, ...] = ("shop",),
    channels: str = "slack",
) -> Config:
    """A configuration as a file gives it, with waits that only a test would choose."""
    received_by = ", ".join(f'"{host}"' for host in mails.RECEIVED_BY)
    names = ", ".join(f"'{name}'" for name in folders)
    password = folder / "password"
    password.touch(0o600)
    password.write_text("pass-one")
    path = folder / "config.toml"
    path.write_text(
        f"[watch]\nstate_dir = '{folder}/state'\n"
        + "".join(
            f"[[accounts]]\nname = '{name}'\nseller = '{name}'\nfolders = [{names}]\n"
            "host = '127.0.0.1'\nport = 143\ntls = 'off'\nuser = 'u'\npassword_file = 'password'\n"
            f"authserv_id = '{mails.AUTHSERV_ID}'\nreceived_by = [{received_by}]\n"
            for name in accounts
        )
        + "".join(f"[[channels]]\nname = '{name}'\nurl = 'json://127.0.0.1'\n" for name in channels.split()),
        "utf-8",
    )
    path.chmod(0o600)
    made = config.load(path, {})
    return replace(made, watch=replace(made.watch, idle_seconds=30.0, poll_seconds=0.02))


def server_of(server: ScriptedImap) -> Callable[[Account], Server]:
    """All accounts are on one server."""
    return lambda _account: Server(server.host, server.port, None, server.user, Secret(server.password))


@contextmanager
def watching(made: Config, server: ScriptedImap, told: Told) -> Iterator[Watch]:
    """A watch that is up; it must end within its time."""
    running = Watch(made, server_of(server), told.of)
    running.start()
    try:
        yield running
    finally:
        assert running.stop()


def all_watching(running: Watch) -> None:
    """Wait for the first good search of every folder."""
    wait_until(lambda: all(folder.is_watching.is_set() for folder in running.folders), what="every folder watched")


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    """What the store holds."""
    with closing(sqlite3.connect(folder / "state" / "mailwatch.sqlite", timeout=10)) as store:
        return store.execute(query).fetchall()


def recorded(folder: Path) -> int:
    """How many mails the store knows."""
    return int(str(rows(folder, "SELECT count(*) FROM mail")[0][0]))


def unsettled(folder: Path) -> int:
    """How many alerts are owed."""
    return int(str(rows(folder, "SELECT count(*) FROM outbox WHERE settled_at IS NULL")[0][0]))


# ---- told once, and never not ----


def test_a_mail_that_was_there_and_one_that_comes_in_idle_are_told_once_each(
    server: ScriptedImap, tmp_path: Path
) -> None:
    told = Told()
    server.deliver(mails.by_notification(ONE))
    with watching(configured(tmp_path), server, told):
        told.wait_for(ONE)
        server.wait_for_idle()
        server.deliver(mails.by_message(TWO))
        told.wait_for(ONE, TWO)
        server.deliver(mails.by_message(ONE))  # the other route
        wait_until(lambda: recorded(tmp_path) == 3)
        server.deliver(mails.by_message(THREE))
        told.wait_for(ONE, TWO, THREE)


def test_mail_that_came_while_the_connection_was_lost_is_told_after_the_next(
    server: ScriptedImap, tmp_path: Path
) -> None:
    """Planted fault: each connection starts its floor at UIDNEXT and lists only above it: red."""
    told = Told()
    with watching(configured(tmp_path), server, told):
        server.wait_for_idle()
        server.script("GREETING", misbehave.then(lambda: server.deliver(mails.by_notification(ONE), announce=False)))
        server.drop()
        told.wait_for(ONE)
        server.wait_for_idle()
        server.bye("Server shutting down.")
        server.wait_for("EXAMINE", 3)
        server.deliver(mails.by_notification(TWO))
        told.wait_for(ONE, TWO)


def test_mail_that_came_while_no_run_was_up_is_told_whatever_its_date(server: ScriptedImap, tmp_path: Path) -> None:
    """Dates bound only the first start. Planted fault: every start lists the look-back only: red."""
    told = Told()
    old = datetime.now(UTC) - timedelta(days=100)
    server.deliver(mails.by_notification(ONE), when=old)
    made = configured(tmp_path)
    with watching(made, server, told) as running:
        all_watching(running)
    server.deliver(mails.by_notification(TWO), when=old)
    with watching(made, server, told):
        told.wait_for(TWO)


@pytest.mark.parametrize("codes", [(), ("UIDNEXT",), ("UIDVALIDITY", "UIDNEXT")])
def test_the_first_start_tells_nothing_older_than_the_look_back(
    server: ScriptedImap, tmp_path: Path, codes: tuple[str, ...]
) -> None:
    told = Told()
    for days, order in ((100, ONE), (13, TWO)):
        server.deliver(mails.by_notification(order), when=datetime.now(UTC) - timedelta(days=days))
    if codes:
        server.script("EXAMINE", misbehave.without(*codes), always=True)
    with watching(configured(tmp_path), server, told) as running:
        all_watching(running)
        told.wait_for(TWO)
        server.wait_for_idle()
        server.deliver(mails.by_notification(THREE))
        told.wait_for(TWO, THREE)


def test_a_changed_uidvalidity_repeats_nothing_and_loses_nothing(server: ScriptedImap, tmp_path: Path) -> None:
    """Planted fault: no content key (nothing is ever a copy) and no merging: tells both again, red."""
    told = Told()
    made = configured(tmp_path)
    made = replace(made, rules=replace(made.rules, merge_within=timedelta()))
    server.deliver(mails.by_notification(ONE), uid=70)
    server.deliver(mails.by_notification(TWO), uid=90)
    with watching(made, server, told):
        told.wait_for(ONE, TWO)
        server.wait_for_idle()
        server.deliver(mails.by_notification(THREE), announce=False)
        server.renumber()
        server.drop()
        told.wait_for(ONE, TWO, THREE)
        wait_until(lambda: recorded(tmp_path) == 5)
        wait_until(lambda: unsettled(tmp_path) == 0)
        assert told.orders() == Counter([ONE, TWO, THREE])


def test_a_uidvalidity_that_goes_back_repeats_nothing_and_loses_nothing(server: ScriptedImap, tmp_path: Path) -> None:
    told = Told()
    made = configured(tmp_path)
    server.deliver(mails.by_notification(ONE))
    with watching(made, server, told):
        told.wait_for(ONE)
        for uidvalidity in (5, 1_650_000_000):
            before = server.commands().count("EXAMINE")
            server.renumber(uidvalidity=uidvalidity)
            server.drop()
            server.wait_for("EXAMINE", before + 1)
            server.wait_for_idle()
        server.deliver(mails.by_notification(TWO))
        told.wait_for(ONE, TWO)


def test_a_late_mail_with_a_lower_uid_is_found_by_the_re_list(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A high-water mark would never see it. Planted fault: no re-list after the first: red."""
    monkeypatch.setattr(search, "RELIST_SECONDS", 0.05)
    monkeypatch.setattr(search, "_LATE_UIDS", 0)
    told = Told()
    server.capability = POLLING
    server.deliver(mails.by_notification(ONE), uid=5000)
    with watching(configured(tmp_path), server, told):
        told.wait_for(ONE)
        server.deliver(mails.by_notification(TWO), uid=4000)
        told.wait_for(ONE, TWO)


def test_a_late_mail_a_little_below_the_highest_uid_is_found_by_the_next_search(
    server: ScriptedImap, tmp_path: Path
) -> None:
    told = Told()
    with watching(configured(tmp_path), server, told):
        server.wait_for_idle()
        server.deliver(mails.by_notification(ONE), uid=5000)
        told.wait_for(ONE)
        server.wait_for_idle()
        server.deliver(mails.by_notification(TWO), uid=4990)
        told.wait_for(ONE, TWO)


def test_an_old_uid_that_another_mail_got_is_told(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lost index under the same UIDVALIDITY. Planted fault: the seen-set is looked up by UID alone: red."""
    monkeypatch.setattr(search, "RELIST_SECONDS", 0.05)
    told = Told()
    server.capability = POLLING
    now = datetime.now(UTC)
    server.deliver(mails.by_notification(ONE), uid=7, when=now - timedelta(hours=2))
    with watching(configured(tmp_path), server, told):
        told.wait_for(ONE)
        server.expunge(7)
        server.deliver(mails.by_notification(TWO), uid=7, when=now - timedelta(hours=1))
        told.wait_for(ONE, TWO)


def test_the_same_mail_in_two_folders_is_told_once(server: ScriptedImap, tmp_path: Path) -> None:
    """Planted fault: nothing is ever a copy, and no merging: red."""
    told = Told()
    made = configured(tmp_path, folders=("INBOX", "\\Junk"))
    made = replace(made, rules=replace(made.rules, merge_within=timedelta()))
    mail = mails.by_notification(ONE)
    server.deliver(mail)
    with watching(made, server, told):
        told.wait_for(ONE)
        server.deliver(mail, "Junk")
        wait_until(lambda: recorded(tmp_path) == 2)
        server.deliver(mails.by_notification(TWO), "Junk")
        told.wait_for(ONE, TWO)


def test_two_accounts_and_two_folders_each_tell_their_own(server: ScriptedImap, tmp_path: Path) -> None:
    """Two sellers on one server: the same order of two sellers is two requests."""
    told = Told()
    with watching(configured(tmp_path, accounts=("one", "two"), folders=("INBOX", "\\Junk")), server, told):
        server.wait_for_idle(4)
        server.deliver(mails.by_notification(ONE))
        server.deliver(mails.by_notification(TWO), "Junk")
        told.wait_for(ONE, ONE, TWO, TWO)


def test_every_channel_is_told_and_one_that_fails_holds_no_other(server: ScriptedImap, tmp_path: Path) -> None:
    good = Told()
    made = configured(tmp_path, channels="good bad")

    def sender_of(channel: Channel) -> Sender:
        failing: Sender = lambda text, key: Outcome(Result.PASSING, "HTTP 500", 60.0)  # noqa: E731
        return good.of(channel) if channel.name == "good" else failing

    running = Watch(made, server_of(server), sender_of)
    running.start()
    all_watching(running)
    server.deliver(mails.by_notification(ONE))
    server.deliver(mails.by_notification(TWO))
    good.wait_for(ONE, TWO)
    assert running.stop()
    assert rows(tmp_path, "SELECT channel FROM outbox WHERE settled_at IS NULL") == [("bad",), ("bad",)]


def test_mail_in_poll_mode_is_told(server: ScriptedImap, tmp_path: Path) -> None:
    told = Told()
    server.capability = POLLING
    with watching(configured(tmp_path), server, told) as running:
        all_watching(running)
        server.deliver(mails.by_notification(ONE), announce=False)
        told.wait_for(ONE)
    assert "IDLE" not in server.commands()
    assert rows(tmp_path, "SELECT mode FROM folder") == [("poll",)]


@pytest.mark.parametrize("answer", ["NO IDLE is not available", "BAD unknown command"])
def test_a_server_that_offers_idle_and_refuses_it_is_polled_over_one_connection(
    server: ScriptedImap, tmp_path: Path, answer: str
) -> None:
    """It is asked once, by each worker, and not at each connection. Seen red with a refusal taken for a lost
    connection: a login for each search, and up to 300 s between two."""
    told = Told()
    server.script("IDLE", misbehave.says("{tag} " + answer), always=True)
    with watching(configured(tmp_path), server, told) as running:
        server.wait_for("NOOP", 3)
        assert server.logins == 1
        assert rows(tmp_path, "SELECT mode FROM folder") == [("poll",)]
        server.deliver(mails.by_notification(ONE), announce=False)
        told.wait_for(ONE)
        server.drop()
        server.wait_for("LOGIN", 2)
        all_watching(running)
        server.deliver(mails.by_notification(TWO), announce=False)
        told.wait_for(ONE, TWO)
    assert server.commands().count("IDLE") == 1


def test_a_server_that_ends_every_idle_at_once_is_asked_ever_more_slowly_over_one_connection(
    server: ScriptedImap, tmp_path: Path
) -> None:
    """Seen red with 20 s and a connection lost for each. Planted fault: no pause: asked without end, red."""

    def ended(session: Session, tag: str, _arguments: str) -> bool:
        session.write(f"+ idling\r\n{tag} OK that was long enough\r\n".encode())
        if server.commands().count("IDLE") > 100:
            session.close()
        return True

    server.script("IDLE", ended, always=True)
    clock = FastClock(until=30)
    run_folder(configured(tmp_path), server_of(server), clock)
    assert server.logins == 1
    assert server.commands().count("IDLE") == 30
    assert clock.waits == sorted(clock.waits)
    assert clock.waits[-1] == 5.0


def test_an_idle_that_says_nothing_delays_mail_by_one_slice_only(server: ScriptedImap, tmp_path: Path) -> None:
    """Planted fault: after a slice without news no search: red."""
    told = Told()
    made = configured(tmp_path)
    made = replace(made, watch=replace(made.watch, idle_seconds=0.05))
    server.script("IDLE", misbehave.mute_idle(), always=True)
    with watching(made, server, told) as running:
        all_watching(running)
        server.deliver(mails.by_notification(ONE), announce=False)
        told.wait_for(ONE)


def test_mail_during_the_first_search_is_told(server: ScriptedImap, tmp_path: Path) -> None:
    """The gap between list and IDLE. Planted fault: `wait_idle` counts from its own start: waits 30 s, red."""
    told = Told()
    server.deliver(mails.neighbour(3))
    server.script("UID FETCH", misbehave.then(lambda: server.deliver(mails.by_notification(ONE), announce=False)))
    with watching(configured(tmp_path), server, told):
        told.wait_for(ONE)


def test_neighbours_are_recorded_and_told_to_nobody(server: ScriptedImap, tmp_path: Path) -> None:
    told = Told()
    for number in range(20):
        server.deliver(mails.neighbour(number))
    with watching(configured(tmp_path), server, told) as running:
        all_watching(running)
        assert recorded(tmp_path) == 20
        wait_until(lambda: unsettled(tmp_path) == 0)
    assert told.texts == []


# ---- a mail that can't be fetched or read stops no other ----


def _year_9999(server: ScriptedImap, uid: int) -> None:
    misbehave.year_9999(server, uid)


def _malformed(server: ScriptedImap, uid: int) -> None:
    misbehave.malformed_structure(server, uid)


def _size(raw: bytes) -> Callable[[ScriptedImap, int], None]:
    return lambda server, uid: server.override(uid, "RFC822.SIZE", raw)


@pytest.mark.parametrize(
    "spoil",
    [_year_9999, _malformed, _size(b"99999999999999999999"), _size(b"NIL")],
    ids=["year 9999", "structure", "size over 64 bits", "size NIL"],
)
def test_a_poisoned_mail_stops_neither_the_next_nor_those_after_a_reconnect(
    server: ScriptedImap, tmp_path: Path, spoil: Callable[[ScriptedImap, int], None]
) -> None:
    told = Told()
    poison = server.deliver(mails.by_notification(ONE))
    spoil(server, poison)
    server.deliver(mails.by_notification(TWO))
    with watching(configured(tmp_path), server, told):
        wait_until(lambda: TWO in told.orders(), 3, "the mail after the poisoned one is told")
        server.wait_for_idle(seconds=3)
        server.drop()
        server.deliver(mails.by_notification(THREE))
        wait_until(lambda: THREE in told.orders(), 3, "a mail after the reconnect is told")
        server.wait_for_idle(seconds=3)
    assert max(told.orders().values()) == 1


def test_a_wish_in_junk_is_told_when_it_is_moved_into_the_inbox(server: ScriptedImap, tmp_path: Path) -> None:
    """Seen red with the content of an ignored mail remembered: the rescued mail was taken for a copy."""
    told = Told()
    mail = mails.wish(ONE, verified=False)
    with watching(configured(tmp_path, folders=("INBOX", "\\Junk")), server, told):
        server.wait_for_idle(2)
        uid = server.deliver(mail, "Junk")
        wait_until(lambda: recorded(tmp_path) == 1, what="the mail in Junk is recorded")
        server.expunge(uid, "Junk")
        server.deliver(mail, "INBOX")
        told.wait_for(ONE)


def test_a_mail_that_meets_something_unforeseen_is_told_as_unreadable_after_three_tries(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted fault: no count of the tries: the mail behind it is never told, red."""

    def breaks(found: Message, *rest: Any, **options: Any) -> tuple[Notice, ...]:
        if found.subject == "bomb":
            raise ZeroDivisionError
        return read(found, *rest, **options)

    read = notice.read
    monkeypatch.setattr(notice, "read", breaks)
    told = Told()
    with watching(configured(tmp_path), server, told) as running:
        all_watching(running)
        server.deliver(mails.mail("Amazon <seller-notification@amazon.co.jp>", "bomb", "x"))
        server.deliver(mails.by_notification(ONE))
        wait_until(lambda: len(told.texts) == 2, 20, "both are told")
    assert sum("読めない" in text.title for _, text, _ in told.texts) == 1


def test_bytes_that_no_parser_likes_stop_no_other_mail(server: ScriptedImap, tmp_path: Path) -> None:
    head = b"From: Amazon <seller-notification@amazon.co.jp>\r\n"
    bombs = [
        b"From: " + b"(" * 900 + b"amazon\r\n\r\nx",
        head + b'Content-Type: multipart/mixed; boundary="' + b"\0" * 60 + b'"\r\n\r\n--x\r\n\r\n--x--\r\n',
        head + b"Content-Type: text/html\r\n\r\n" + b'<a href="' * 3000,
        head + b"Content-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed\r\n\r\n",
        "From: Amazon <x@é.amazon.co.jp>\r\nSubject: キャンセル\r\n\r\nキャンセル".encode(),
        head + b"Subject: " + b"=?utf-8?b?44Kt?= " * 5000 + b"\r\n\r\n\xff\xfe\0",
        head + b"\r\n",
        b"",
    ]
    told = Told()
    for bomb in bombs:
        server.deliver(bomb)
    server.deliver(mails.by_notification(ONE))
    with watching(configured(tmp_path), server, told) as running:
        all_watching(running)
        assert recorded(tmp_path) == len(bombs) + 1
        wait_until(lambda: ONE in told.orders(), what="the good mail is told")


# ---- the channel ----


def test_an_alert_that_was_answered_500_is_repeated_without_a_mark_and_settled(
    server: ScriptedImap, tmp_path: Path
) -> None:
    """A 500 is not accepted, so the second is no repeat. Planted fault: 500 counts as accepted: red."""
    server.deliver(mails.by_notification(ONE))
    with Recorder() as recorder:
        recorder.plan("/slack", 500, 200)
        running = Watch(
            configured(tmp_path), server_of(server), lambda _: transport.sender(Secret(recorder.url("/slack")))
        )
        running.start()
        posts = recorder.wait_for(2, path="/slack")
        wait_until(lambda: unsettled(tmp_path) == 0)
        assert running.stop()
        assert len(recorder.posts()) == 2
    assert all(ONE in post.json["message"] for post in posts)
    assert not any("再送の可能性" in post.json["title"] for post in posts)
    assert rows(tmp_path, "SELECT attempts, outcome FROM outbox") == [(2, "accepted")]


@pytest.mark.parametrize("answer", ["reset", "close"])
def test_an_alert_whose_answer_never_came_is_repeated_with_the_mark(
    server: ScriptedImap, tmp_path: Path, answer: str
) -> None:
    """Planted fault: `postpone` forgets an ambiguous outcome: red."""
    server.deliver(mails.by_notification(ONE))
    with Recorder() as recorder:
        recorder.plan("/slack", "reset" if answer == "reset" else "close", 200)
        running = Watch(
            configured(tmp_path), server_of(server), lambda _: transport.sender(Secret(recorder.url("/slack")))
        )
        running.start()
        first, second = recorder.wait_for(2, path="/slack")
        wait_until(lambda: unsettled(tmp_path) == 0)
        assert running.stop()
    assert "再送の可能性" not in first.json["title"]
    assert "再送の可能性" in second.json["title"]


def test_an_alert_that_is_refused_by_itself_waits_alone_while_the_others_are_sent(
    server: ScriptedImap, tmp_path: Path
) -> None:
    """Planted fault: a refusal holds the line as a passing failure does: red."""
    told = Told(Outcome(Result.REFUSED, "HTTP 400"))
    with watching(configured(tmp_path), server, told) as running:
        all_watching(running)
        for order in (ONE, TWO, THREE):
            server.deliver(mails.by_notification(order))
        wait_until(lambda: set(told.orders()) >= {ONE, TWO, THREE}, what="three alerts")
        wait_until(lambda: owed_requests(tmp_path) == ["refused"])
    assert {order: told.orders()[order] for order in (ONE, TWO, THREE)} == {ONE: 1, TWO: 1, THREE: 1}


def owed_requests(folder: Path) -> list[object]:
    """How the last attempt of each alert of a request that is still owed ended."""
    owed = "SELECT outcome FROM outbox WHERE settled_at IS NULL AND alert ->> 'kind' = 'request'"
    return [outcome for (outcome,) in rows(folder, owed)]


def test_a_channel_that_refuses_for_good_is_tried_once_in_five_minutes_in_order(
    server: ScriptedImap, tmp_path: Path
) -> None:
    """A wrong token refuses every alert: one attempt in five minutes, later in an hour, not one for each alert. Planted
    fault: a permanent refusal holds its own row only: red."""
    made = configured(tmp_path)
    _owe(made, server, tmp_path, ONE, TWO, THREE)
    told = Told(*[Outcome(Result.PERMANENT, "HTTP 403")] * 3)
    clock = StandingClock()
    worker = ChannelWorker(made, made.channels[0], told.of, Signals(owed={"slack": threading.Event()}), clock)
    at: list[float] = []
    with closing(Store.open(made.watch.state_dir)) as store:
        for number in range(1, 7):
            _step_until(worker, store, clock, told.has_been_given(number))
            at.append(clock.passed)
    assert [text.body.split("\n")[0] for _, text, _ in told.texts] == [ONE, ONE, ONE, ONE, TWO, THREE]
    assert [later - earlier >= 300 for earlier, later in pairwise(at)] == [True, True, True, False, False]
    assert at[3] < 3 * 300 + 60


def test_a_passing_failure_keeps_the_order_of_the_alerts(server: ScriptedImap, tmp_path: Path) -> None:
    told = Told(Outcome(Result.PASSING, "HTTP 500"), Outcome(Result.PASSING, "HTTP 500"))
    with watching(configured(tmp_path), server, told) as running:
        all_watching(running)
        for order in (ONE, TWO):
            server.deliver(mails.by_notification(order))
        wait_until(lambda: len(told.texts) == 4)
    assert [text.body.split("\n")[0] for _, text, _ in told.texts] == [ONE, ONE, ONE, TWO]
    assert len({key for _, _, key in told.texts}) == 2  # the key of an alert never changes


def test_a_retry_after_is_obeyed(server: ScriptedImap, tmp_path: Path) -> None:
    """The channel waits, with all that it is owed, after a restart too. Planted faults: the worker does not wait; it
    does not look at what an earlier one had to wait: red each."""
    made = configured(tmp_path)
    _owe(made, server, tmp_path, ONE, TWO)
    told = Told(Outcome(Result.PASSING, "HTTP 429", 600.0))
    clock = StandingClock()

    def worker() -> ChannelWorker:
        return ChannelWorker(made, made.channels[0], told.of, Signals(owed={"slack": threading.Event()}), clock)

    with closing(Store.open(made.watch.state_dir)) as store:
        first = worker()
        assert first.step(store) == 0.0
        _step_until(first, store, clock, lambda: clock.passed > 300)
        _step_until(worker(), store, clock, told.has_been_given(2))  # after a restart
    assert 600 <= clock.passed <= 610
    assert [text.body.split("\n")[0] for _, text, _ in told.texts] == [ONE, ONE]


def _step_until(worker: ChannelWorker, store: Store, clock: StandingClock, is_done: Callable[[], bool]) -> None:
    """Let the worker go on, over time that it asks for."""
    for _ in range(2000):
        if is_done():
            return
        clock.passed += worker.step(store)
    raise AssertionError("it spins")


def test_a_worker_behind_a_failing_alert_does_not_spin(server: ScriptedImap, tmp_path: Path) -> None:
    """With one alert waiting out a failure and one queued behind it, it waits after the one attempt. Seen red with
    `step` giving 0 while it waits."""
    made = configured(tmp_path)
    _owe(made, server, tmp_path, ONE, TWO)
    told = Told(Outcome(Result.PASSING, "HTTP 429", 600.0))
    clock = FastClock(until=5)
    signals = Signals(owed={"slack": threading.Event()})
    worker = ChannelWorker(made, made.channels[0], told.of, signals, _StoppingClock(clock, signals))
    worker.run()
    assert told.orders() == Counter([ONE])
    assert clock.waits[0] == 0.0  # after an attempt the next look is at once
    assert min(clock.waits[1:]) > 1


class _StoppingClock(Clock):
    """A fast clock that ends the worker by its stop signal."""

    def __init__(self, inner: FastClock, signals: Signals) -> None:
        self._inner = inner
        self._signals = signals

    def now(self) -> datetime:
        return datetime.now(UTC)

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if self._inner.wait(threading.Event(), seconds):
            self._signals.stop.set()
        return True


def _owe(made: Config, server: ScriptedImap, tmp_path: Path, *orders: str) -> None:
    """Let these be recorded while no channel works; after the first search, whose finds would be one digest."""
    signals = Signals()
    worker = FolderWorker(made, made.accounts[0], "INBOX", server_of(server), signals, Clock())
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert worker.is_watching.wait(10)
    for order in orders:
        server.deliver(mails.by_notification(order))
    wait_until(lambda: unsettled(tmp_path) == len(orders) * len(made.channels))
    signals.stop.set()
    worker.interrupt()
    thread.join(5)


def test_a_sender_that_raises_ends_no_worker(server: ScriptedImap, tmp_path: Path) -> None:
    told = Told()
    failures = iter([RuntimeError("one"), MemoryError()])

    def sender_of(channel: Channel) -> Sender:
        plain = told.of(channel)

        def send(text: Text, key: uuid.UUID) -> Outcome:
            for failure in failures:
                raise failure
            return plain(text, key)

        return send

    server.deliver(mails.by_notification(ONE))
    running = Watch(configured(tmp_path), server_of(server), sender_of)
    running.start()
    told.wait_for(ONE)
    assert running.stop()
    assert "再送の可能性" in told.texts[0][1].title


# ---- the login ----


def run_folder(made: Config, server_at: Callable[[Account], Server], clock: FastClock) -> Signals:
    """Run one folder's worker until the clock says stop."""
    signals = Signals()
    FolderWorker(made, made.accounts[0], "INBOX", server_at, signals, clock).run()
    return signals


def test_a_refused_login_is_tried_six_times_in_the_first_hour_and_then_once_an_hour(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More gets the address blocked for weeks. Planted fault: a refusal waits as a lost connection does: red."""
    monkeypatch.setattr(logins, "_LOOK_SECONDS", HOUR)
    server.script("LOGIN", misbehave.refuse_login(), always=True)
    clock = FastClock(until=24)
    at: list[float] = []
    run_folder(configured(tmp_path), noting(server, at, lambda: clock.passed), clock)
    assert server.commands().count("LOGIN") == len(at) >= 10
    assert 3 <= sum(moment < HOUR for moment in at) <= 6
    for hour in range(1, 10):
        assert sum(HOUR * hour < moment <= HOUR * (hour + 1) for moment in at) <= 1


def noting(server: ScriptedImap, at: list[float], now: Callable[[], float]) -> Callable[[Account], Server]:
    """The server of every account; each time it is asked for, which is before each login, the time is noted."""

    def server_at(account: Account) -> Server:
        at.append(now())
        return server_of(server)(account)

    return server_at


def test_the_folders_of_an_account_share_the_tries_of_its_login(server: ScriptedImap, tmp_path: Path) -> None:
    """The default is two folders; what the server blocks is the account. Seen red with a count for each folder."""

    class Clocks(threading.local):
        def __init__(self) -> None:
            self.clock = FastClock(until=24)

    clocks = Clocks()
    began: list[float] = []

    class PerThread(Clock):
        def now(self) -> datetime:
            return clocks.clock.now()

        def monotonic(self) -> float:
            return clocks.clock.monotonic()

        def wait(self, event: threading.Event, seconds: float) -> bool:
            if threading.current_thread().name.startswith("channel/"):
                return event.wait(seconds)
            own = threading.Event()
            if clocks.clock.wait(own, seconds):
                ended.release()
                event.wait()
            return event.is_set()

    ended = threading.Semaphore(0)
    server.script("LOGIN", misbehave.refuse_login(), always=True)
    server_at = noting(server, began, lambda: clocks.clock.passed)
    running = Watch(configured(tmp_path, folders=("INBOX", "\\Junk")), server_at, Told().of, PerThread())
    running.start()
    assert all(ended.acquire(timeout=10) for _ in running.folders)
    assert running.stop()
    assert sum(moment < HOUR for moment in began) <= 6


def test_a_throttled_login_waits_as_long_as_the_server_asked(server: ScriptedImap, tmp_path: Path) -> None:
    text = "Request is throttled. Suggested Backoff Time: 299961 milliseconds"
    server.script("LOGIN", misbehave.refuse_login(text), always=True)
    clock = FastClock(until=3)
    run_folder(configured(tmp_path), server_of(server), clock)
    assert all(seconds >= 299.961 for seconds in clock.waits)


def test_a_login_that_works_again_is_watched_again(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "_LOOK_SECONDS", HOUR)
    server.script("LOGIN", misbehave.refuse_login())
    server.deliver(mails.by_notification(ONE))
    server.capability = POLLING
    clock = FastClock(until=4)
    at: list[float] = []
    run_folder(configured(tmp_path), noting(server, at, lambda: clock.passed), clock)
    assert len(at) == 2
    assert at[1] > 600
    assert recorded(tmp_path) == 1


def test_a_login_whose_every_step_ends_within_its_deadline_is_no_worker_that_hangs(
    server: ScriptedImap, tmp_path: Path
) -> None:
    """Seen red with 90 s for the whole: a server that takes longer was given a new worker for ever, never watched."""
    made, clock = configured(tmp_path), StandingClock()
    late: list[bool] = []

    def takes(seconds: float) -> None:
        clock.passed += seconds
        late.append(worker.progress.is_late)

    def server_at(account: Account) -> Server:
        takes(source.COMMAND_SECONDS)
        return server_of(server)(account)

    worker = FolderWorker(made, made.accounts[0], "INBOX", server_at, Signals(), clock)
    server.script("GREETING", misbehave.then(lambda: takes(mailbox.CONNECT_SECONDS)))
    server.script("LOGIN", misbehave.then(lambda: takes(mailbox.COMMAND_SECONDS)))
    server.script("CAPABILITY", misbehave.then(lambda: None))  # with the greeting
    server.script("CAPABILITY", misbehave.then(lambda: takes(mailbox.COMMAND_SECONDS)))
    client = worker._log_in()
    assert client is not None
    client.close()
    assert late == [False] * 4
    assert clock.passed < logins.TURN_SECONDS


def test_a_server_that_is_away_is_tried_ever_more_rarely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted fault: the count of failures starts anew at each try: red."""
    monkeypatch.setattr(retry, "RECONNECT_FIRST", 1.0)
    port = free_port()
    clock = FastClock(until=30)
    run_folder(configured(tmp_path), lambda _: Server("127.0.0.1", port, None, "u", Secret("p")), clock)
    waits = [seconds for seconds in clock.waits if seconds]
    assert waits[0] <= 1
    assert all(22.5 <= seconds <= 45 for seconds in waits[12:20])
    assert all(150 <= seconds <= 300 for seconds in waits[24:])


def test_a_try_that_took_long_and_saw_no_good_search_does_not_make_the_next_sooner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The delay falls back only after a good search on a link that has lived a minute: a mute server's has not. Seen
    red with the minute counted from the first attempt to connect."""
    monkeypatch.setattr(retry, "RECONNECT_FIRST", 1.0)
    port = free_port()
    clock = FastClock(until=12)

    def server_at(_: Account) -> Server:
        clock.passed += 90.0  # as long as a mute server can hold the connecting
        return Server("127.0.0.1", port, None, "u", Secret("p"))

    run_folder(configured(tmp_path), server_at, clock)
    assert clock.waits[-1] >= 22.5


def test_a_link_that_dies_young_again_and_again_is_not_reconnected_ever_faster(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """17 logins a second were measured elsewhere. Planted fault: the delay falls back at each connect: red."""
    monkeypatch.setattr(retry, "RECONNECT_FIRST", 1.0)
    server.script("IDLE", misbehave.close_in_idle(), always=True)
    clock = FastClock(until=12)
    run_folder(configured(tmp_path), server_of(server), clock)
    assert clock.waits[-1] >= 22.5


def test_a_folder_that_is_missing_is_asked_for_every_few_minutes_only(server: ScriptedImap, tmp_path: Path) -> None:
    clock = FastClock(until=4)
    made = configured(tmp_path, folders=("Nicht da",))
    FolderWorker(made, made.accounts[0], "Nicht da", server_of(server), Signals(), clock).run()
    assert all(seconds >= 60 for seconds in clock.waits)


def test_a_junk_folder_that_is_absent_stops_no_other_folder_and_is_looked_for_hourly(
    server: ScriptedImap, tmp_path: Path
) -> None:
    del server.folders["Junk"]
    told = Told()
    server.deliver(mails.by_notification(ONE))
    with watching(configured(tmp_path, folders=("INBOX", "\\Junk")), server, told):
        told.wait_for(ONE)
    clock = FastClock(until=3)
    made = configured(tmp_path)
    FolderWorker(made, made.accounts[0], "\\Junk", server_of(server), Signals(), clock).run()
    assert max(clock.waits) == HOUR


def test_a_login_that_wakes_after_its_turn_does_not_end_the_turn_of_another(tmp_path: Path) -> None:
    """A replaced worker's. Seen red: a third logged in beside the second."""
    clock = StandingClock()
    turns = logins.Logins("shop", configured(tmp_path).watch.state_dir, clock)
    began, woken = threading.Event(), threading.Event()

    def wakes() -> None:
        assert turns.wait_for_turn(threading.Event())
        began.set()
        woken.wait(10)
        turns.done(refused=None)

    late = threading.Thread(target=wakes)
    late.start()
    assert began.wait(10)
    clock.passed += logins.TURN_SECONDS + 1
    assert turns.wait_for_turn(threading.Event())
    woken.set()
    late.join()
    assert turns._turn_until > clock.passed
    turns.done(refused=None)
    assert turns._turn_until == 0.0


# ---- the store ----


@pytest.mark.parametrize("waits_for", ["its junk folder", "the login of another folder"])
def test_a_folder_that_waits_for_long_says_no_more_that_the_store_failed(
    server: ScriptedImap, tmp_path: Path, waits_for: str
) -> None:
    """Seen red: for an hour neither a digest nor a morning line nor a stale folder was told."""
    made, signals = configured(tmp_path), Signals()
    signals.store_faults["shop/\\Junk"] = StoreError("store.unwritable")
    kept: list[bool] = []

    class Looks(FastClock):
        def wait(self, event: threading.Event, seconds: float) -> bool:
            kept.append("shop/\\Junk" in signals.store_faults)
            return super().wait(event, seconds)

    if waits_for == "its junk folder":
        del server.folders["Junk"]
    else:
        with closing(Store.open(made.watch.state_dir)) as store:
            store.refusals.add("shop", datetime.now(UTC))
    FolderWorker(made, made.accounts[0], "\\Junk", server_of(server), signals, Looks(1)).run()
    assert kept[:1] == [False]


def test_a_store_that_cannot_be_written_marks_nothing_and_the_mail_is_told_later(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program holds the file. Planted fault: a mail is remembered before it is recorded, and the fault is
    swallowed: never told, red."""
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.05)
    told = Told()
    with watching(configured(tmp_path), server, told) as running:
        server.wait_for_idle()
        with closing(sqlite3.connect(tmp_path / "state" / "mailwatch.sqlite", isolation_level=None)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            before = server.commands().count("LOGIN")
            server.deliver(mails.by_notification(ONE))
            server.wait_for("LOGIN", before + 3)  # it failed twice and came back
            assert holder.execute("SELECT count(*) FROM mail").fetchone() == (0,)
            assert not running.folders[0].is_watching.is_set()
            assert told.texts == []
            holder.execute("COMMIT")
        told.wait_for(ONE)


def test_a_store_that_refuses_the_alert_refuses_the_mail_with_it(server: ScriptedImap, tmp_path: Path) -> None:
    """As on a disk that is full in the middle. Planted fault: identity and alert in two transactions: red."""
    told = Told()
    with watching(configured(tmp_path), server, told):
        server.wait_for_idle()
        with closing(sqlite3.connect(tmp_path / "state" / "mailwatch.sqlite", timeout=10)) as other:
            other.execute("CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT RAISE(FAIL, 'disk full'); END")
            before = server.commands().count("LOGIN")
            server.deliver(mails.by_notification(ONE))
            server.wait_for("LOGIN", before + 3)
            assert other.execute("SELECT count(*) FROM mail").fetchone() == (0,)
            other.execute("DROP TRIGGER full")
        told.wait_for(ONE)


def test_a_state_folder_that_is_a_file_is_said_before_any_worker_starts(tmp_path: Path) -> None:
    made = configured(tmp_path)
    made.watch.state_dir.write_text("not a folder")
    with pytest.raises(StoreError):
        loop.prepare(made.watch.state_dir, made, Clock())


def test_alerts_owed_to_a_channel_that_left_are_closed_at_the_start(server: ScriptedImap, tmp_path: Path) -> None:
    made = configured(tmp_path, channels="slack line")
    _owe(made, server, tmp_path, ONE)
    left = configured(tmp_path, channels="slack")
    loop.prepare(left.watch.state_dir, left, Clock())
    assert rows(tmp_path, "SELECT channel FROM outbox WHERE settled_at IS NULL") == [("slack",)]


def test_a_search_ends_with_its_connection_and_its_seen_set_with_it(server: ScriptedImap, tmp_path: Path) -> None:
    """Without the collector: else each reconnect adds one. Seen red with the ring, and with the worker holding it."""
    made = configured(tmp_path)
    server.deliver(mails.by_notification(ONE))
    gc.collect()
    gc.disable()
    try:
        with watching(made, server, told := Told()):
            told.wait_for(ONE)
            for number in range(2, 6):
                before = server.commands().count("EXAMINE")
                server.drop()
                server.wait_for("EXAMINE", before + 1)
                server.wait_for_idle()
                server.deliver(mails.by_notification(mails.order_id(number)))
                told.wait_for(*(mails.order_id(each) for each in range(1, number + 1)))
            wait_until(lambda: sum(isinstance(each, Search) for each in gc.get_objects()) == 1)
    finally:
        gc.enable()


class Counting(set[int]):
    """A seen-set that counts how often it is asked or walked through."""

    asked = 0

    def __contains__(self, key: object) -> bool:
        self.asked += 1
        return super().__contains__(key)

    def __iter__(self) -> Iterator[int]:
        self.asked += len(self)
        return super().__iter__()


def test_the_list_of_a_big_folder_is_compared_once_over(server: ScriptedImap, tmp_path: Path) -> None:
    """20,000 mails in the look-back: the work must not grow with their square. Planted fault: the seen-set is walked
    through for each listed mail: red."""
    made = configured(tmp_path)
    now = datetime.now(UTC)
    server.folders["INBOX"].uidnext = 20_001
    with closing(Store.open(made.watch.state_dir)) as store:
        store.folders.start("shop", "INBOX", 1_650_000_000, 0, "idle")
        with store._database.transaction():
            for uid in range(1, 20_001):
                store._database.change(
                    "INSERT INTO mail VALUES ('shop', 'INBOX', 1650000000, ?, ?, 1)", uid, int(now.timestamp())
                )
        folder = mailbox.log_in(server_of(server)(made.accounts[0])).open("INBOX")
        assert folder is not None
        found = Search(made, made.accounts[0], folder, store, Signals(), Clock(), Progress(Clock()))
        server.script("UID FETCH", misbehave.says("{tag} OK done"), always=True)
        found._seen = counting = Counting(found._seen)
        confirmed = found._confirmed(range(10_001, 20_001))
        assert counting.asked <= 3 * 20_000
        assert confirmed == set(range(1, 10_001))
        folder.close()


# ---- stopping ----


def test_stop_ends_idling_workers_at_once(server: ScriptedImap, tmp_path: Path) -> None:
    """Planted fault: `stop` interrupts nobody: waits for the slice, red."""
    running = Watch(configured(tmp_path, folders=("INBOX", "\\Junk")), server_of(server), Told().of)
    running.start()
    server.wait_for_idle(2)
    began = time.monotonic()
    assert running.stop()
    assert time.monotonic() - began < 5


def test_stop_ends_polling_workers_at_once(server: ScriptedImap, tmp_path: Path) -> None:
    server.capability = POLLING
    made = configured(tmp_path)
    running = Watch(replace(made, watch=replace(made.watch, poll_seconds=300)), server_of(server), Told().of)
    running.start()
    all_watching(running)
    began = time.monotonic()
    assert running.stop()
    assert time.monotonic() - began < 5


def test_stop_ends_a_worker_that_waits_to_reconnect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "RECONNECT_FIRST", 300.0)
    asked = threading.Event()

    def server_at(_: Account) -> Server:
        asked.set()
        return Server("127.0.0.1", free_port(), None, "u", Secret("p"))

    running = Watch(configured(tmp_path), server_at, Told().of)
    running.start()
    assert asked.wait(5)
    assert running.stop()


def test_stop_returns_in_time_though_a_send_hangs_and_says_so(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alert stays owed, and what was begun is unsure. Planted fault: threads joined without limit: red."""
    monkeypatch.setattr(loop, "STOP_SECONDS", 0.3)
    sending, release = threading.Event(), threading.Event()

    def hanging(text: Text, key: uuid.UUID) -> Outcome:
        sending.set()
        release.wait(30)
        return Outcome(Result.AMBIGUOUS)

    server.deliver(mails.by_notification(ONE))
    running = Watch(configured(tmp_path), server_of(server), lambda _: hanging)
    running.start()
    assert sending.wait(10)
    began = time.monotonic()
    assert not running.stop()
    assert time.monotonic() - began < 5
    assert rows(tmp_path, "SELECT unsure, settled_at FROM outbox") == [(1, None)]
    release.set()
    for thread in running._threads:
        thread.join(5)


def test_stop_ends_workers_whose_server_is_mute_in_time_and_says_so(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "STOP_SECONDS", 0.5)
    monkeypatch.setattr(mailbox, "COMMAND_SECONDS", 1.5)
    server.script("LOGIN", misbehave.silence(), always=True)
    running = Watch(configured(tmp_path), server_of(server), Told().of)
    running.start()
    server.wait_for("LOGIN")
    began = time.monotonic()
    running.stop()
    assert time.monotonic() - began < 5
    for thread in running._threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in running._threads)


# ---- workers that meet a second fault ----


class BreaksOnce(Clock):
    """The first wait of each worker breaks, where no worker meets it: in its own `except` or behind it."""

    def __init__(self) -> None:
        self.broken: set[str] = set()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Break once in each thread."""
        name = threading.current_thread().name
        if name not in self.broken:
            self.broken.add(name)
            raise OverflowError("timestamp too large to convert to C _PyTime_t")
        return super().wait(event, seconds)


def test_no_fault_beside_the_one_that_it_deals_with_ends_a_worker(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process stayed up with dead threads. Seen red with `worker.run` as the thread's target."""
    monkeypatch.setattr(loop, "_AGAIN_SECONDS", 0.05)
    told, clock = Told(), BreaksOnce()
    made = configured(tmp_path)
    beats: list[Secret] = []

    def ping(url: Secret) -> Outcome:
        beats.append(url)
        return Outcome(Result.ACCEPTED)

    made = replace(made, heartbeat=config.Heartbeat(Secret("http://127.0.0.1/"), timedelta(seconds=0.05)))
    server.script("LOGIN", misbehave.closes())  # so that the folder has something to wait for
    running = Watch(made, server_of(server), told.of, clock, ping=ping)
    running.start()
    try:
        wait_until(lambda: len(clock.broken) == len(running.workers), what="a wait of each worker")
        server.deliver(mails.by_notification(ONE))
        told.wait_for(ONE)
        wait_until(lambda: all(thread.is_alive() for thread in running._threads) and len(beats) > 2, what="life")
    finally:
        assert running.stop()


@pytest.mark.parametrize("milliseconds", ["99999999999999999999", "31536000000"])
def test_a_server_that_asks_for_years_is_asked_again_in_an_hour(
    server: ScriptedImap, tmp_path: Path, milliseconds: str
) -> None:
    """The longer one ended the folder's thread (OverflowError). Seen red with the number obeyed as it is."""
    server.script("LOGIN", misbehave.refuse_login(f"Suggested Backoff Time: {milliseconds} milliseconds"), always=True)
    made, clock, signals = configured(tmp_path), FastClock(3), Signals()
    FolderWorker(made, made.accounts[0], "INBOX", server_of(server), signals, clock).run()
    assert clock.waits == [3600.0] * 3
