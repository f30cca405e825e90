"""The store: all or nothing, once and not twice, nothing kept that need not be."""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mails
import pytest

from mailwatch import database, migrations, retry
from mailwatch.alert import Alert
from mailwatch.amazon.details import Item
from mailwatch.amazon.marketplace import Basis
from mailwatch.database import FILE_NAME, LOCK_NAME, Database, RunLock
from mailwatch.errors import PassingError, StoreError
from mailwatch.folders import MailIdentity, Seen
from mailwatch.migrations import SCHEMA_VERSION
from mailwatch.notice import Kind, Notice, Route
from mailwatch.outbox import OutboxEntry
from mailwatch.report import Gather
from mailwatch.request import Action, Rules, State
from mailwatch.services import Cause, Outcome, Result
from mailwatch.store import Reading, Recorded, Store
from mailwatch.trust import Trust
from mailwatch.watch import channel

NOON = datetime(2022, 8, 8, 12, 0, tzinfo=UTC)  # outside the roll-out window
RULES = Rules()
HOUR = 3600.0
ALL = [("slack", frozenset({"request", "wish", "possible", "unreadable"}))]
ONE, TWO, THREE = (mails.order_id(number) for number in (1, 2, 3))
_uid = itertools.count(1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store in a file."""
    with closing(Store.open(tmp_path)) as made:
        yield made


def notice(order: str | None = ONE, kind: Kind = Kind.REQUEST, trust: Trust = Trust.VERIFIED) -> Notice:
    """What a mail says of an order."""
    route = Route.MESSAGE if kind is Kind.WISH else Route.NOTIFICATION
    return Notice(kind, trust, route, marketplace="JP", order_id=order)


def reading(*notices: Notice, folder: str = "INBOX", at: datetime = NOON, content: bytes | None = None) -> Reading:
    """A mail that says this; every one is another mail unless `content` is given."""
    uid = next(_uid)
    mail = MailIdentity("shop", folder, 7, uid, at, 1000)
    return Reading(mail, "shop", content or f"content {uid}".encode(), notices)


def record(store: Store, *notices: Notice, at: datetime = NOON, content: bytes | None = None) -> list[Action]:
    """Record a new mail; what was decided."""
    return decided(store.record(reading(*notices, at=at, content=content), RULES, ALL, at))


def decided(recorded: Iterable[Recorded]) -> list[Action]:
    """The decisions alone."""
    return [each.decision.action for each in recorded]


def due(store: Store, at: datetime = NOON, channel: str = "slack") -> OutboxEntry:
    """The alert to send now; there must be one."""
    entry = store.outbox.due(channel, at)
    assert entry is not None
    return entry


def told(entry: OutboxEntry) -> Alert:
    """What is told, which here is always the alert of a mail."""
    assert isinstance(entry.told, Alert)
    return entry.told


def count(folder: Path, table: str) -> int:
    """How many rows are on disk."""
    with closing(sqlite3.connect(folder / FILE_NAME)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 - our own names


def bytes_of(folder: Path) -> bytes:
    """Every byte of every file of the state folder."""
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


# ---- all or nothing ----


def test_what_fails_in_the_middle_leaves_no_trace_and_the_mail_is_still_new(store: Store, tmp_path: Path) -> None:
    """Planted fault: the identity is committed before the outbox row: red."""

    class Failing(frozenset[str]):
        def __contains__(self, kind: object) -> bool:
            raise RuntimeError("killed")

    mail = reading(notice())
    with pytest.raises(RuntimeError, match="killed"):
        store.record(mail, RULES, [*ALL, ("line", Failing())], NOON)
    for table in ("mail", "content", "request", "sighting", "outbox"):
        assert count(tmp_path, table) == 0
    assert decided(store.record(mail, RULES, ALL, NOON)) == [Action.OPEN]
    assert count(tmp_path, "outbox") == 1


def test_a_mail_recorded_before_gives_nothing(store: Store, tmp_path: Path) -> None:
    """Planted fault: whether the mail is new is not looked at: red."""
    mail = reading(notice())
    assert decided(store.record(mail, RULES, ALL, NOON)) == [Action.OPEN]
    assert store.record(mail, RULES, ALL, NOON) == []
    assert (count(tmp_path, "outbox"), count(tmp_path, "sighting"), store.folders.mails_seen()) == (1, 1, 1)


def _another_process_writes(path: Path) -> str:
    """What another process, as `mailwatch done`, gets that would write now and does not wait."""
    code = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)\n"
        "try:\n    connection.execute('BEGIN IMMEDIATE')\n    print('wrote')\n"
        "except sqlite3.OperationalError as fault:\n    print(fault)"
    )
    return subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("beside", ["open", "look"])
def test_no_worker_drops_the_lock_of_another_s_transaction(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: str
) -> None:
    """Whoever closes a descriptor of a file drops every lock of its process on it (POSIX): another process rolled back
    the transaction under way. Seen red with the file opened at each `Database.open`, and with its head read by us."""
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.05)
    with store._database.transaction():
        store._database.change("INSERT INTO counter VALUES ('beside', 1)")
        if beside == "open":
            Store.open(tmp_path).close()
        else:
            assert database.set_aside_damaged(tmp_path, NOON) is None
        assert _another_process_writes(tmp_path / FILE_NAME) == "database is locked"
    assert _another_process_writes(tmp_path / FILE_NAME) == "wrote"


def test_what_is_recorded_is_there_for_another_process(store: Store, tmp_path: Path) -> None:
    record(store, notice())
    with closing(Store.open(tmp_path)) as other:
        assert [each.order_id for each in other.requests()] == [ONE]
        assert told(due(other)).order_id == ONE
        assert len(other.folders.seen("shop", "INBOX", 7) & store.folders.seen("shop", "INBOX", 7)) == 1


def test_two_threads_that_record_the_two_routes_of_a_request_open_it_once(tmp_path: Path) -> None:
    """INBOX and Junk are two threads. Planted fault: no transaction round the three steps: red."""
    routes = [replace(notice(), route=route) for route in (Route.MESSAGE, Route.NOTIFICATION)]
    for number in range(20):
        order = mails.order_id(100 + number)
        decisions = _at_once(tmp_path, [replace(each, order_id=order) for each in routes])
        assert sorted(decisions) == [Action.JOIN, Action.OPEN]
    assert (count(tmp_path, "request"), count(tmp_path, "outbox"), count(tmp_path, "sighting")) == (20, 20, 40)


def _at_once(folder: Path, notices: list[Notice]) -> list[Action]:
    """Record each in a thread and a store of its own, at the same moment."""
    found: list[Action] = []
    together = threading.Barrier(len(notices))

    def work(said: Notice) -> None:
        with closing(Store.open(folder)) as own:
            together.wait(10)
            found.extend(record(own, said))

    threads = [threading.Thread(target=work, args=(said,)) for said in notices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return found


# ---- the same mail, the same request ----


@pytest.mark.parametrize("kind", [Kind.REQUEST, Kind.WISH, Kind.POSSIBLE, Kind.UNREADABLE])
@pytest.mark.parametrize("order", [ONE, None])
def test_a_copy_in_another_folder_joins_however_late(store: Store, kind: Kind, order: str | None) -> None:
    """Planted fault: nothing is ever a copy: red."""
    said = notice(order, kind)
    later = NOON + timedelta(days=40)
    assert decided(store.record(reading(said, content=b"same"), RULES, ALL, NOON)) == [Action.OPEN]
    copy = reading(said, folder="Junk", at=later, content=b"same")
    assert decided(store.record(copy, RULES, ALL, later)) == [Action.JOIN]


def test_the_same_mail_of_another_seller_is_no_copy(store: Store) -> None:
    first = reading(notice(), content=b"same")
    store.record(first, RULES, ALL, NOON)
    other = replace(reading(notice(), content=b"same"), seller="other")
    assert decided(store.record(other, RULES, ALL, NOON)) == [Action.OPEN]


def test_a_forged_twin_that_came_first_does_not_swallow_the_genuine_mail(store: Store) -> None:
    """Planted fault: any mail with the same content is a copy: red."""
    assert record(store, notice(trust=Trust.FORGED), content=b"same") == [Action.QUIET]
    assert record(store, notice(trust=Trust.UNVERIFIED), content=b"same") == [Action.OPEN]
    assert record(store, notice(), content=b"same", at=NOON + timedelta(hours=1)) == [Action.REOPEN]
    assert record(store, notice(), content=b"same", at=NOON + timedelta(hours=2)) == [Action.JOIN]
    assert record(store, notice(trust=Trust.FORGED), content=b"same") == [Action.QUIET]


def test_a_verified_possible_does_not_pass_for_a_verified_request(store: Store) -> None:
    """Planted fault: every sighting counts in `_known`: the genuine request joins, red."""
    assert record(store, notice(trust=Trust.UNVERIFIED)) == [Action.OPEN]
    assert record(store, notice(kind=Kind.POSSIBLE)) == [Action.JOIN]
    assert record(store, notice(), at=NOON + timedelta(hours=1)) == [Action.REOPEN]


def test_a_possible_that_came_first_does_not_swallow_the_request(store: Store) -> None:
    assert record(store, notice(kind=Kind.POSSIBLE)) == [Action.OPEN]
    assert record(store, notice(kind=Kind.POSSIBLE)) == [Action.OPEN]
    assert record(store, notice()) == [Action.OPEN]
    assert record(store, notice(kind=Kind.POSSIBLE)) == [Action.JOIN]


def test_a_cancellation_closes_its_request_and_a_new_request_opens_it_again(store: Store) -> None:
    record(store, notice())
    assert record(store, notice(kind=Kind.CANCELLED)) == [Action.CLOSE]
    assert [each.state for each in store.requests()] == [State.CANCELLED]
    assert record(store, notice(), at=NOON + timedelta(days=10)) == [Action.REOPEN]
    assert [each.state for each in store.requests()] == [State.OPEN]


def test_a_mail_of_several_orders_owes_an_alert_for_each(store: Store, tmp_path: Path) -> None:
    assert record(store, notice(ONE), notice(TWO), notice(THREE)) == [Action.OPEN] * 3
    assert count(tmp_path, "outbox") == 3


def test_the_channels_of_a_mail_of_several_orders_may_be_any_iterable(store: Store, tmp_path: Path) -> None:
    """`record` says Iterable: one that can be walked once must not lose the second order's alert."""
    store.record(reading(notice(ONE), notice(TWO)), RULES, iter(ALL), NOON)
    assert count(tmp_path, "outbox") == 2


# ---- the outbox ----


def test_an_alert_is_owed_to_each_channel_that_wants_its_kind(store: Store, tmp_path: Path) -> None:
    """Planted fault: owed to every channel: red."""
    channels = [
        ("slack", frozenset({"request", "wish"})),
        ("sms", frozenset({"request"})),
        ("log", frozenset({"cancelled"})),
    ]
    store.record(reading(notice(ONE)), RULES, channels, NOON)
    store.record(reading(notice(TWO, Kind.WISH)), RULES, channels, NOON)
    store.record(reading(notice(THREE, Kind.CANCELLED)), RULES, channels, NOON)
    store.record(reading(notice(ONE)), RULES, channels, NOON)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        rows = connection.execute("SELECT channel, id FROM outbox ORDER BY number").fetchall()
    assert [row[0] for row in rows] == ["slack", "sms", "slack", "log"]
    assert len({row[1] for row in rows}) == 4


def test_an_attempt_that_was_begun_and_never_settled_makes_the_next_one_unsure(store: Store) -> None:
    """The process was killed in the middle of the send. Planted fault: begin_attempt writes no mark: red."""
    record(store, notice())
    first = due(store)
    assert (first.is_unsure, told(first).may_be_repeat, first.attempts) == (False, False, 0)
    store.outbox.begin_attempt(first, NOON)
    second = due(store)
    assert (second.is_unsure, told(second).may_be_repeat, second.attempts) == (True, True, 1)
    assert second.id == first.id


@pytest.mark.parametrize(
    ("result", "is_unsure"),
    [(Result.PASSING, False), (Result.REFUSED, False), (Result.PERMANENT, False), (Result.AMBIGUOUS, True)],
)
def test_only_an_answer_that_never_came_makes_the_next_attempt_unsure(
    store: Store, result: Result, is_unsure: bool
) -> None:
    """Planted fault: postpone leaves begin_attempt's mark: red for 500, 400 and 403."""
    record(store, notice())
    entry = due(store)
    store.outbox.begin_attempt(entry, NOON)
    store.outbox.postpone(entry, Outcome(result), NOON)
    assert told(due(store, NOON + timedelta(hours=2))).may_be_repeat is is_unsure


def test_an_alert_once_unsure_stays_unsure_whatever_is_answered_later(store: Store) -> None:
    record(store, notice())
    at = NOON
    for result in (Result.AMBIGUOUS, Result.PASSING, Result.REFUSED, Result.PERMANENT):
        entry = due(store, at)
        store.outbox.begin_attempt(entry, at)
        store.outbox.postpone(entry, Outcome(result), at)
        at += timedelta(hours=2)
    assert told(due(store, at)).may_be_repeat


@pytest.mark.parametrize(
    ("hours", "key_seconds", "may_be_repeat"), [(1, 0, True), (1, 24 * HOUR, False), (25, 24 * HOUR, True)]
)
def test_a_repeat_that_its_key_keeps_from_being_delivered_twice_is_not_marked(
    store: Store, hours: float, key_seconds: float, may_be_repeat: bool
) -> None:
    """LINE's retry key holds for 24 hours from the first attempt. Planted fault: counted from the last attempt: red
    for the one after 25 hours."""
    record(store, notice())
    for at in (NOON, NOON + timedelta(hours=hours - 0.5)):
        entry = due(store, at)
        store.outbox.begin_attempt(entry, at)
        store.outbox.postpone(entry, Outcome(Result.AMBIGUOUS), at)
    again = store.outbox.due("slack", NOON + timedelta(hours=hours), key_seconds=key_seconds)
    assert again is not None
    assert again.is_unsure
    assert told(again).may_be_repeat is may_be_repeat


def test_a_kill_in_the_middle_of_an_attempt_is_no_answer_and_neither_is_silence(store: Store) -> None:
    """After five kills one HTTP 500 made the alert a refused one, for an hour. Seen red with attempts counted."""
    record(store, notice())
    for _ in range(5):
        store.outbox.begin_attempt(due(store), NOON)
    silence = Outcome(Result.AMBIGUOUS, "no answer", cause=Cause.SILENT)
    answer = Outcome(Result.PASSING, "HTTP 500", cause=Cause.SERVER)
    for outcome, expected in ((silence, 0), (answer, 1), (silence, 1), (answer, 2)):
        entry = due(store)
        assert not channel._is_stuck(entry, answer)
        store.outbox.begin_attempt(entry, NOON)
        store.outbox.postpone(entry, outcome, NOON)
        assert due(store).answers == expected
    for _ in range(3):
        store.outbox.postpone(due(store), answer, NOON)
    assert channel._is_stuck(due(store), answer)
    assert not channel._is_stuck(due(store), silence)


def test_a_row_that_is_settled_meanwhile_is_not_begun(store: Store) -> None:
    """A stand-in told it between `due` and the attempt. Planted fault: `settled_at` is not looked at: red."""
    record(store, notice())
    entry = due(store)
    store.outbox.settle(entry, NOON)
    assert not store.outbox.begin_attempt(entry, NOON)
    assert store.outbox.fares.of("slack", NOON).trying_since is None


@pytest.mark.parametrize("result", [Result.PASSING, Result.AMBIGUOUS, Result.PERMANENT])
def test_a_failure_of_the_channel_keeps_the_order_and_says_until_when_the_channel_waits(
    store: Store, result: Result
) -> None:
    """The row is the next all the time; that the worker waits is test_watch's. Planted fault: any row whose time has
    come goes first, and the failed one gets a time of its own: red."""
    for order in (ONE, TWO):
        record(store, notice(order))
    entry = due(store)
    store.outbox.begin_attempt(entry, NOON)
    delay = store.outbox.postpone(entry, Outcome(result), NOON)
    assert delay > 0
    not_before = store.outbox.fares.of("slack", NOON).not_before
    assert not_before is not None
    assert abs((not_before - NOON).total_seconds() - delay) < 0.001
    for seconds in (0.0, delay / 2, delay + 1, 48 * HOUR):
        assert told(due(store, NOON + timedelta(seconds=seconds))).order_id == ONE


def test_a_channel_that_is_dead_for_good_waits_with_all_that_it_is_owed(store: Store) -> None:
    """A wrong token: the next alert would be refused as well. Five minutes in its first hour, then an hour. Seen red
    with PERMANENT delayed as PASSING is."""
    for order in (ONE, TWO):
        record(store, notice(order))
    store.outbox.begin_attempt(due(store), NOON)
    assert store.outbox.postpone(due(store), Outcome(Result.PERMANENT), NOON) == 300.0
    assert store.outbox.fares.of("slack", NOON).not_before == NOON + timedelta(minutes=5)
    later = NOON + timedelta(hours=1)
    assert store.outbox.postpone(due(store, later), Outcome(Result.PERMANENT), later) == HOUR
    assert store.outbox.fares.of("slack", later).not_before == later + timedelta(hours=1)


def test_what_is_refused_by_itself_waits_alone_and_comes_again_after_an_hour(store: Store) -> None:
    """A 400 is of the alert, not of the channel. Planted fault: a refusal holds the line as a passing failure does:
    red."""
    for order in (ONE, TWO):
        record(store, notice(order))
    store.outbox.begin_attempt(due(store), NOON)
    assert store.outbox.postpone(due(store), Outcome(Result.REFUSED), NOON) == 0.0
    assert store.outbox.fares.of("slack", NOON).not_before is None
    assert told(due(store)).order_id == TWO
    store.outbox.settle(due(store), NOON)
    assert store.outbox.due("slack", NOON) is None
    assert store.outbox.due("slack", NOON + timedelta(minutes=59)) is None
    assert store.outbox.next_due("slack") == NOON + timedelta(hours=1)
    assert told(due(store, NOON + timedelta(minutes=61))).order_id == ONE


def test_alerts_that_are_refused_by_themselves_do_not_slow_the_channel(store: Store) -> None:
    """Each is of its alert. Planted fault: a refusal counts among the channel's `failures`: a wait of minutes after
    the first 500, red."""
    for number in range(9):
        record(store, notice(mails.order_id(number)))
    for _ in range(8):
        entry = due(store)
        store.outbox.begin_attempt(entry, NOON)
        store.outbox.postpone(entry, Outcome(Result.REFUSED), NOON)
    assert store.outbox.fares.of("slack", NOON).failures == 0
    last = due(store)
    store.outbox.begin_attempt(last, NOON)
    assert store.outbox.postpone(last, Outcome(Result.PASSING), NOON) <= retry.SEND_FIRST


def test_a_retry_after_is_the_least_delay(store: Store) -> None:
    record(store, notice())
    store.outbox.begin_attempt(due(store), NOON)
    assert store.outbox.postpone(due(store), Outcome(Result.PASSING, "HTTP 429", 777.0), NOON) == 777.0
    assert store.outbox.fares.of("slack", NOON).not_before == NOON + timedelta(seconds=777)


def test_a_retry_after_of_a_refused_alert_makes_it_wait_no_longer_than_an_hour(store: Store) -> None:
    record(store, notice())
    store.outbox.begin_attempt(due(store), NOON)
    store.outbox.postpone(due(store), Outcome(Result.REFUSED, "HTTP 400", 7200.0), NOON)
    assert store.outbox.due("slack", NOON + timedelta(minutes=59)) is None
    assert due(store, NOON + timedelta(minutes=61))


def test_news_of_cancelling_that_no_channel_takes_uses_up_no_single_alert(store: Store) -> None:
    """Of unverified alerts 20 an hour go out singly. Planted fault: `may_be_named` is asked, and counts, before it is
    known whether any channel takes the kind: the request waits for a digest, red."""
    for number in range(25):
        record(store, notice(mails.order_id(500 + number), Kind.CANCELLED, Trust.UNVERIFIED))
    assert store.outbox.due("slack", NOON) is None
    record(store, notice(ONE, trust=Trust.UNVERIFIED))
    assert told(due(store)).order_id == ONE
    assert not store.reports.tell_digest(["slack"], NOON + timedelta(hours=7), None)


def test_a_channel_that_takes_no_wishes_is_told_of_the_request_that_follows_one_at_once(store: Store) -> None:
    """Unverified wish, verified request five minutes later. Seen red with what was told elsewhere counted as told."""
    both, official = ("slack", frozenset({"wish", "request"})), ("sms", frozenset({"request"}))
    wish = notice(kind=Kind.WISH, trust=Trust.UNVERIFIED)
    later = NOON + timedelta(minutes=5)
    store.record(reading(wish), RULES, [both, official], NOON)
    [asked] = store.record(reading(notice(), at=later), RULES, [both, official], later)
    assert asked.decision.action is Action.REOPEN
    entry = store.outbox.due("sms", later)
    assert entry is not None
    assert told(entry).order_id == ONE


@pytest.mark.parametrize(
    ("code", "basis", "trust", "expected"),
    [
        ("DE", Basis.HEADER, Trust.VERIFIED, "DE"),
        ("DE", Basis.LINK, Trust.VERIFIED, "DE"),
        ("DE", Basis.SENDER, Trust.VERIFIED, "JP"),  # as sure as what is known
        ("DE", Basis.ACCOUNT, Trust.VERIFIED, "JP"),
        (None, Basis.HEADER, Trust.VERIFIED, "JP"),
        ("DE", Basis.HEADER, Trust.UNVERIFIED, "JP"),  # a spoof changes no link
    ],
)
def test_a_later_mail_that_knows_better_corrects_the_marketplace_and_nothing_is_told_again(
    store: Store, code: str | None, basis: Basis, trust: Trust, expected: str
) -> None:
    """Guards against trust not asked, and with `>=` for `>` between the bases."""
    record(store, replace(notice(), marketplace_basis=Basis.SENDER))
    later = replace(notice(trust=trust), marketplace=code, marketplace_basis=basis)
    assert record(store, later, at=NOON + timedelta(minutes=5)) == [Action.JOIN]
    assert [each.marketplace for each in store.requests()] == [expected]
    assert told(due(store)).marketplace == expected


def test_a_better_trusted_mail_corrects_a_marketplace_whatever_its_basis_but_the_account(store: Store) -> None:
    """Else a spoof with a header of its own would decide the link of the genuine request."""
    spoof = replace(notice(trust=Trust.UNVERIFIED), marketplace="DE", marketplace_basis=Basis.HEADER)
    record(store, spoof)
    record(store, replace(notice(), marketplace="US", marketplace_basis=Basis.ACCOUNT))
    assert [each.marketplace for each in store.requests()] == ["DE"]
    record(store, replace(notice(), marketplace_basis=Basis.SENDER), at=NOON + timedelta(minutes=5))
    assert [each.marketplace for each in store.requests()] == ["JP"]


def test_rewritten_mail_has_an_hourly_limit_of_its_own(store: Store) -> None:
    """Guards against one limit for both: look-alikes used it up."""
    for number in range(25):
        record(store, notice(mails.order_id(number), trust=Trust.UNVERIFIED))
    for number in range(30, 55):
        record(store, replace(notice(mails.order_id(number), trust=Trust.UNVERIFIED), is_rewritten=True))
    assert len(store._database.all("SELECT 1 FROM outbox WHERE channel = 'slack'")) == 40


def undelivered(order: str = ONE) -> Notice:
    """What the mail says that a message of the seller's own was not delivered."""
    return Notice(Kind.IGNORED, Trust.VERIFIED, order_id=order, is_undelivered_reply=True)


def test_an_open_wish_shows_that_the_sellers_reply_was_not_delivered(store: Store) -> None:
    """Guards against the note kept for a request that is done too."""
    record(store, notice(kind=Kind.WISH))
    assert record(store, undelivered()) == [Action.QUIET]
    assert [each.is_reply_undelivered for each in store.requests()] == [True]
    assert store.outbox.undelivered_replies(NOON) == (ONE,)
    store.set_state(ONE, State.DONE)
    assert [each.is_reply_undelivered for each in store.requests()] == [False]
    assert store.outbox.undelivered_replies(NOON) == ()


def test_an_undelivered_reply_of_no_open_wish_is_nobodys_matter(store: Store) -> None:
    record(store, notice())
    record(store, undelivered())
    record(store, undelivered(mails.order_id(7)))
    assert [each.is_reply_undelivered for each in store.requests()] == [False]
    assert store.outbox.undelivered_replies(NOON) == ()


def test_unknown_types_are_counted_the_first_twenty_by_name(store: Store) -> None:
    """Guards against no limit: anybody can send mail, and each value would be kept."""
    for number in [*range(25), 0, 0]:
        record(store, Notice(Kind.IGNORED, Trust.UNVERIFIED, unknown_type=f"TYPE_{number:02}"))
    counted = dict(store.reports.unknown_types())
    assert len(counted) == 21
    assert (counted["TYPE_00"], counted["TYPE_19"], counted["other"]) == (3, 1, 5)


def test_a_request_that_was_told_stays_told_though_its_next_mail_waits_for_a_digest(store: Store) -> None:
    """Planted fault: one row that is not told hides the one that is: the request is not counted as open, red."""
    first, second = (Item(title=title) for title in ("ステンレス水筒 500ml", "木製コースター 4枚組"))
    record(store, replace(notice(trust=Trust.UNVERIFIED), items=(first,)))
    for number in range(100, 120):
        record(store, notice(mails.order_id(number), trust=Trust.UNVERIFIED))
    assert record(store, replace(notice(trust=Trust.UNVERIFIED), items=(second,))) == [Action.REOPEN]
    assert store.outbox.open_requests(NOON) == 20  # all but the last of the 21, which waits


def test_a_request_that_was_told_stays_told_though_a_digest_only_counts_its_next_mail(store: Store) -> None:
    """Seen red with what was told forgotten an hour later, when the digest goes out."""
    first, second = (Item(title=title) for title in ("ステンレス水筒 500ml", "木製コースター 4枚組"))
    record(store, replace(notice(trust=Trust.UNVERIFIED), items=(first,)))
    for number in range(100, 165):
        record(store, notice(mails.order_id(number), trust=Trust.UNVERIFIED))
    record(store, replace(notice(trust=Trust.UNVERIFIED), items=(second,)))
    assert store.reports.tell_digest(["slack"], NOON + timedelta(hours=2), None)
    for number in range(100, 165):
        store.set_state(mails.order_id(number), State.DONE)
    assert store.outbox.open_requests(NOON + timedelta(hours=2)) == 1


@pytest.mark.parametrize("days", [3, 400])
def test_a_clock_that_jumps_back_makes_no_alert_wait_for_years(store: Store, days: int) -> None:
    """A row that is held until then is not held at all. Planted fault: `_DUE` without its second half: red."""
    record(store, notice())
    store.outbox.begin_attempt(due(store), NOON)
    store.outbox.postpone(due(store), Outcome(Result.REFUSED), NOON)
    assert due(store, NOON - timedelta(days=days))


def test_what_the_quiet_hours_hold_waits_for_their_end_and_a_request_does_not(store: Store) -> None:
    """Planted fault: `hold_until` for every kind: red."""
    end = NOON + timedelta(hours=8)
    store.record(reading(notice(ONE, Kind.POSSIBLE)), RULES, ALL, NOON, end)
    for order, kind in ((TWO, Kind.REQUEST), (THREE, Kind.WISH)):
        store.record(reading(notice(order, kind)), RULES, ALL, NOON, end)
        assert told(due(store)).order_id == order
        store.outbox.settle(due(store), NOON)
    assert store.outbox.due("slack", end - timedelta(seconds=1)) is None
    assert store.outbox.next_due("slack") == end
    assert told(due(store, end)).order_id == ONE


def test_what_is_owed_to_no_other_is_owed_to_the_channels_that_are_left(store: Store) -> None:
    """The only channel has another name now. Seen red with it closed: told to nobody."""
    record(store, notice())
    left = [("work", frozenset({"request"})), ("wishes", frozenset({"wish"}))]
    later = NOON + timedelta(hours=1)
    assert store.outbox.close_removed_channels(left, later) == {"slack": 1}
    entry = store.outbox.due("work", later)
    assert entry is not None
    assert told(entry).order_id == ONE
    assert store.outbox.due("wishes", later) is None
    assert not store.outbox.close_removed_channels(left, later)


def test_what_is_owed_to_a_channel_that_left_is_closed_and_forgotten(store: Store, tmp_path: Path) -> None:
    channels = [(name, frozenset({"wish"})) for name in ("slack", "line")]
    store.record(reading(replace(notice(kind=Kind.WISH), excerpt="CANARY")), RULES, channels, NOON)
    assert store.outbox.close_removed_channels(channels[:1], NOON) == {"line": 1}
    assert store.outbox.due("line", NOON) is None
    assert due(store).channel == "slack"
    store.outbox.settle(due(store), NOON)
    assert b"CANARY" not in bytes_of(tmp_path)


# ---- what is not kept ----


def canaries(order: str) -> Notice:
    """A wish full of words that must not stay."""
    item = Item(title="CANARY-TITLE ステンレス水筒", asin="B07ABCDEFG", sku="BOTTLE", quantity=1)
    return replace(
        notice(order, Kind.WISH),
        reason="CANARY-REASON 誤って",
        excerpt="CANARY-EXCERPT",
        ship_by="CANARY-SHIP",
        items=(item,),
    )


def test_a_settled_alert_leaves_not_a_byte_of_what_it_said_in_the_file(store: Store, tmp_path: Path) -> None:
    """Planted fault: settle keeps the alert's text, or secure_delete is off: red each."""
    orders = [mails.order_id(number) for number in range(60)]
    for order in orders:
        record(store, canaries(order))
    assert b"CANARY-REASON" in bytes_of(tmp_path)
    for number, _ in enumerate(orders):
        entry = due(store, NOON + timedelta(hours=number))
        assert told(entry).excerpt == "CANARY-EXCERPT" if number < 24 else True
        store.outbox.begin_attempt(entry, NOON + timedelta(hours=number))
        if number % 7 == 0:
            store.outbox.postpone(entry, Outcome(Result.REFUSED), NOON + timedelta(hours=number))
            entry = due(store, NOON + timedelta(hours=number))
        store.outbox.settle(entry, NOON + timedelta(hours=number))
    while left := store.outbox.due("slack", NOON + timedelta(days=9)):
        store.outbox.settle(left, NOON + timedelta(days=9))
    assert b"CANARY" not in bytes_of(tmp_path)
    assert orders[0].encode() in bytes_of(tmp_path)


@pytest.mark.parametrize(("hours", "is_told"), [(0, True), (23.9, True), (24.1, False), (400, False)])
def test_an_attempt_after_24_hours_goes_without_reason_and_excerpt(store: Store, hours: float, is_told: bool) -> None:
    """Planted fault: the age is not looked at: red."""
    record(store, canaries(ONE))
    alert = told(due(store, NOON + timedelta(hours=hours)))
    assert ((alert.reason is not None), (alert.excerpt is not None)) == (is_told, is_told)
    assert alert.order_id == ONE


def test_reason_and_excerpt_of_an_alert_that_is_still_owed_leave_the_file_after_24_hours(
    store: Store, tmp_path: Path
) -> None:
    """Design section 6: they *live in the row* until it is settled or 24 hours old.
    Seen red with the age looked at when
    reading only."""
    record(store, canaries(ONE))
    store.outbox.forget_private(NOON + timedelta(hours=23))
    assert b"CANARY-REASON" in bytes_of(tmp_path)
    store.outbox.forget_private(NOON + timedelta(hours=25))
    assert b"CANARY-REASON" not in bytes_of(tmp_path)
    assert b"CANARY-EXCERPT" not in bytes_of(tmp_path)


def test_no_text_of_an_unverified_mail_is_stored_even_while_it_is_owed(store: Store, tmp_path: Path) -> None:
    """Planted fault: `_facts` looks at no trust: red."""
    record(store, replace(canaries(ONE), trust=Trust.UNVERIFIED))
    assert b"CANARY" not in bytes_of(tmp_path)
    alert = told(due(store))
    assert (alert.reason, alert.excerpt, alert.ship_by, alert.items) == (None, None, None, ())


def test_a_title_is_kept_as_a_hash_that_still_tells_items_apart(store: Store, tmp_path: Path) -> None:
    record(store, replace(notice(), items=(Item(title="CANARY ステンレス水筒 500ml ホワイト"),)))
    store.outbox.settle(due(store), NOON)
    same = replace(notice(), items=(Item(title="CANARY ステンレス水筒 500ml…"),))
    other = replace(notice(), items=(Item(title="木製コースター 4枚組 CANARY"),))
    assert record(store, same) == [Action.JOIN]
    assert record(store, other) == [Action.REOPEN]
    store.outbox.settle(due(store), NOON)
    assert b"CANARY" not in bytes_of(tmp_path)


# ---- the file ----


def test_the_file_and_its_folder_are_for_the_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    """Planted fault: left to the umask: red."""
    before = os.umask(0)
    try:
        with closing(Store.open(tmp_path / "state")) as store:
            record(store, notice())
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state" / FILE_NAME).stat().st_mode) == 0o600


def test_the_journal_is_the_one_that_survived_the_power_loss(store: Store) -> None:
    """Traps section 4. Planted fault: WAL, FULL, or secure_delete off: red."""
    values = {name: store._database.one(f"PRAGMA {name}") for name in ("journal_mode", "synchronous", "secure_delete")}
    assert {name: row[0] for name, row in values.items() if row} == {
        "journal_mode": "delete",
        "synchronous": 3,
        "secure_delete": 1,
    }


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch()
    with closing(Store.open(tmp_path)) as store:
        record(store, notice())
        version = store._database.one("PRAGMA user_version")
        assert version is not None
        assert version[0] == SCHEMA_VERSION


def test_threads_that_open_an_empty_folder_at_once_share_one_store(tmp_path: Path) -> None:
    """`run` does: else each would hash with a key of its own. Planted fault: INSERT OR REPLACE of the key: red."""
    for number in range(15):
        hashes = _hashes_at_once(tmp_path / str(number))
        assert len(hashes) == 8
        assert len(set(hashes)) == 1


def _hashes_at_once(folder: Path) -> list[bytes]:
    """What eight threads that open the store at the same moment hash an order to."""
    hashes: list[bytes] = []
    together = threading.Barrier(8)

    def work() -> None:
        together.wait(10)
        with closing(Database.open(folder)) as own:
            hashes.append(own.hash("order", ONE))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return hashes


def test_two_stores_hash_the_same_order_differently(tmp_path: Path) -> None:
    with closing(Database.open(tmp_path / "a")) as one, closing(Database.open(tmp_path / "b")) as two:
        assert one.hash("order", ONE) != two.hash("order", ONE)
        assert one.hash("a", "bc") != one.hash("ab", "c")


def refused(folder: Path) -> StoreError:
    """The error of opening and using a store there."""
    with pytest.raises(StoreError) as fault:
        use(folder)
    return fault.value


def use(folder: Path) -> None:
    """Open, read and write."""
    with closing(Store.open(folder)) as store:
        store.requests()
        store.check_writable()


def test_a_store_of_a_newer_mailwatch_is_refused_untouched(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    assert refused(tmp_path).fault.key == "store.newer"
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


def of_version_1(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store as the first version left it: its schema, and rows as it wrote them."""
    with monkeypatch.context() as patch:
        patch.setattr(database, "SCHEMA_VERSION", 1)
        with closing(Database.open(folder)):
            pass
    facts = {
        "kind": "wish", "why": "first of its order", "trust": "verified", "seller": "shop", "order_id": ONE,
        "marketplace": "JP", "received": int(NOON.timestamp()), "account": "shop", "folder": "INBOX", "items": "[]",
        "also_mentioned": [], "reason": None, "excerpt": "キャンセルできますか", "order_date": None, "ship_by": None,
        "sender_domain": "amazon.co.jp",
    }  # fmt: skip
    at = NOON.timestamp()
    with closing(sqlite3.connect(folder / FILE_NAME)) as old:
        assert old.execute("PRAGMA user_version").fetchone() == (1,)
        old.execute("INSERT INTO folder VALUES ('shop', 'INBOX', 7, 3, 'idle', ?, 41)", [at])
        old.execute("INSERT INTO mail VALUES ('shop', 'INBOX', 7, 4, ?, 1000)", [int(at)])
        old.execute(
            "INSERT INTO request VALUES (5, x'AB', 'shop', ?, 'JP', 'wish', 'verified', 'open', ?, 2, '[]')",
            [ONE, int(at)],
        )
        old.execute(
            "INSERT INTO sighting VALUES (9, 5, ?, 'wish', 'verified', 'message', '[]', 'shop', 'INBOX', 'open')",
            [int(at)],
        )
        # never tried; killed in the middle of an attempt; refused for good; accepted
        for order, attempts, unsure, wait, outcome, settled in (
            (ONE, 0, 0, 0, None, None),
            (TWO, 1, 1, 0, None, None),
            (THREE, 1, 0, 3600, "permanent", None),
            (ONE, 1, 1, 0, "accepted", at),
        ):
            alert = "{}" if settled else json.dumps({**facts, "order_id": order}, ensure_ascii=False)
            old.execute(
                "INSERT INTO outbox (id, channel, request, alert, created_at, next_attempt, attempts, unsure, outcome,"
                " settled_at) VALUES (?, 'slack', 5, ?, ?, ?, ?, ?, ?, ?)",
                [str(uuid.uuid4()), alert, at, at + wait, attempts, unsure, outcome, settled],
            )
        old.execute("INSERT INTO channel VALUES ('slack', ?)", [at])
        old.commit()


def test_a_store_of_the_first_version_is_brought_up_and_what_it_owes_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted faults: the second migration makes the outbox anew, or drops `unsure`: red each."""
    of_version_1(tmp_path, monkeypatch)
    with closing(Store.open(tmp_path)) as store:
        version = store._database.one("PRAGMA user_version")
        assert version is not None
        assert version[0] == SCHEMA_VERSION
        first = due(store)
        assert (told(first).order_id, told(first).asked, first.attempts) == (ONE, 2, 0)
        assert (told(first).excerpt, told(first).may_be_repeat) == ("キャンセルできますか", False)
        assert len(told(first).sightings) == told(first).open_requests == 1
        store.outbox.begin_attempt(first, NOON)
        store.outbox.settle(first, NOON)
        killed = due(store)
        assert (told(killed).order_id, told(killed).may_be_repeat, killed.attempts) == (TWO, True, 1)
        store.outbox.settle(killed, NOON)
        assert store.outbox.due("slack", NOON) is None
        assert told(due(store, NOON + timedelta(minutes=61))).order_id == THREE


@pytest.mark.parametrize("hours", [0, 1, 72])
def test_an_attempt_of_the_first_version_that_was_killed_is_marked_whatever_key_there_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: float
) -> None:
    """It was sent without a retry key, so LINE knows nothing of it. Planted fault: a row without a first attempt counts
    as first tried now: red."""
    of_version_1(tmp_path, monkeypatch)
    with closing(Store.open(tmp_path)) as store:
        store.outbox.settle(due(store), NOON)
        killed = store.outbox.due("slack", NOON + timedelta(hours=hours), key_seconds=24 * HOUR)
        assert killed is not None
        assert (told(killed).order_id, killed.is_unsure, told(killed).may_be_repeat) == (TWO, True, True)


def test_what_the_first_version_held_after_a_passing_failure_keeps_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There each row waited by itself; now the channel does. Planted fault: the migration leaves `next_attempt`: the
    second alert goes first, red."""
    of_version_1(tmp_path, monkeypatch)
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as old:
        query = "UPDATE outbox SET outcome = 'passing', attempts = 3, next_attempt = ? WHERE number = 1"
        old.execute(query, [NOON.timestamp() + 600])
        old.commit()
    with closing(Store.open(tmp_path)) as store:
        order = []
        for _ in range(2):
            order.append(told(due(store)).order_id)
            store.outbox.settle(due(store), NOON)
        assert order == [ONE, TWO]
        assert store.outbox.next_due("slack") == NOON + timedelta(hours=1)  # refused for good: as before


def test_a_store_of_the_first_version_keeps_what_it_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail that was seen is not told again. Planted fault: the migration fills `mail` anew: red."""
    of_version_1(tmp_path, monkeypatch)
    with closing(Store.open(tmp_path)) as store:
        assert store.folders.seen("shop", "INBOX", 7) == {4}
        assert store.folders.seen_as("shop", "INBOX", 7, [4, 5]) == {4: {Seen(int(NOON.timestamp()), 1000)}, 5: set()}
        [folder] = store.folders.health()
        assert (folder.folder, folder.mode, folder.last_good_search, folder.mails_seen) == ("INBOX", "idle", NOON, 41)
        fares = store.outbox.fares.of("slack", NOON)
        assert (fares.last_success, fares.owed, fares.not_before, fares.failures) == (NOON, 2, None, 0)
        assert store.episodes.open() == ()
        assert record(store, notice(mails.order_id(77))) == [Action.OPEN]


def test_a_migration_that_fails_in_the_middle_leaves_the_old_version_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted fault: the statements of a step each in a transaction of their own: red."""
    of_version_1(tmp_path, monkeypatch)
    with monkeypatch.context() as patch:
        broken = {**migrations.MIGRATIONS, 2: migrations.MIGRATIONS[2] + "CREATE TABLE counter (x TEXT);\n"}
        patch.setattr(migrations, "MIGRATIONS", broken)
        assert refused(tmp_path).fault.key == "store.unwritable"
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as old:
        assert old.execute("PRAGMA user_version").fetchone() == (1,)
        assert "watched_as" not in {row[1] for row in old.execute("PRAGMA table_info(folder)")}
    with closing(Store.open(tmp_path)) as store:
        assert told(due(store)).order_id == ONE


@pytest.mark.parametrize("damage", ["not a database at all" * 500, ""], ids=["another file", "holes"])
def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path, damage: str) -> None:
    path = tmp_path / FILE_NAME
    with closing(Store.open(tmp_path)) as store:
        for number in range(50):
            record(store, notice(mails.order_id(number)))
    if damage:
        path.write_text(damage)
    else:
        data = bytearray(path.read_bytes())
        data[4096:] = b"\xff" * (len(data) - 4096)
        path.write_bytes(data)
    assert refused(tmp_path).fault.key == "store.damaged"


def test_a_state_folder_that_is_a_file_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("x")
    assert refused(tmp_path / "state").fault.key == "store.unwritable"
    with pytest.raises(StoreError):
        RunLock(tmp_path / "state")


def test_a_store_that_another_writes_for_too_long_is_busy_and_nothing_is_lost(store: Store, tmp_path: Path) -> None:
    store._database.one("PRAGMA busy_timeout = 50")
    mail = reading(notice())
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError) as fault:
            store.record(mail, RULES, ALL, NOON)
        assert fault.value.fault.key == "store.busy"
        other.execute("ROLLBACK")
    assert decided(store.record(mail, RULES, ALL, NOON)) == [Action.OPEN]


def test_a_full_disk_is_said_and_nothing_is_half_written(store: Store, tmp_path: Path) -> None:
    store._database.one("PRAGMA max_page_count = 1")

    def fill() -> None:
        for number in range(1000):
            record(store, notice(mails.order_id(number)))

    with pytest.raises(StoreError) as fault:
        fill()
    assert fault.value.fault.key == "store.full"
    recorded = count(tmp_path, "mail")
    assert count(tmp_path, "outbox") == count(tmp_path, "request") == recorded < 1000
    store._database.one("PRAGMA max_page_count = 100000")
    assert record(store, notice(mails.order_id(recorded))) == [Action.OPEN]


def test_numbers_that_a_file_cannot_hold_are_a_store_error_and_not_a_surprise(store: Store) -> None:
    """`Database` raises StoreError and nothing else; a server may say any size."""
    mail = reading(notice())
    with pytest.raises(StoreError):
        store.record(replace(mail, mail=replace(mail.mail, size=2**70)), RULES, ALL, NOON)
    assert record(store, notice()) == [Action.OPEN]


def test_checking_that_it_can_be_written_writes_nothing(store: Store, tmp_path: Path) -> None:
    store.check_writable()
    assert count(tmp_path, "channel") == 0


def test_one_run_at_a_time_holds_the_lock(tmp_path: Path) -> None:
    """Planted fault: a shared lock: red."""
    first = RunLock(tmp_path)
    with pytest.raises(PassingError) as fault:
        RunLock(tmp_path)
    assert fault.value.fault.key == "store.locked"
    first.release()
    RunLock(tmp_path).release()


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_lock_that_was_deleted_is_kept_and_taken_again(tmp_path: Path, what: str) -> None:
    """Planted faults: the lock is on the file alone; `keep` does nothing: red each."""
    folder = tmp_path / "state"
    lock = RunLock(folder)
    if what == "file":
        (folder / LOCK_NAME).unlink()
        with pytest.raises(PassingError):
            RunLock(folder)
        assert database.is_locked(folder)
    else:
        (folder / LOCK_NAME).unlink()
        folder.rmdir()
        assert not database.is_locked(folder)
    lock.keep()
    assert (folder / LOCK_NAME).exists()
    with pytest.raises(PassingError):
        RunLock(folder)
    lock.release()
    assert not database.is_locked(folder)
    RunLock(folder).release()


def test_a_lock_that_another_took_meanwhile_is_not_ours(tmp_path: Path) -> None:
    """Planted fault: `keep` goes on with the folder that is gone: red."""
    first = RunLock(tmp_path / "state")
    (tmp_path / "state").rename(tmp_path / "away")
    second = RunLock(tmp_path / "state")
    with pytest.raises(PassingError) as fault:
        first.keep()
    assert fault.value.fault.key == "store.locked"
    first.release()
    second.release()


def test_who_has_a_file_open_that_is_not_in_its_place_reads_and_writes_nothing(tmp_path: Path) -> None:
    """Nor is another opened, or made, where a certain one is wanted. Planted faults: only writes are looked at; `open`
    makes what is not there: red each."""
    with closing(Store.open(tmp_path)) as store:
        file = database.file_id(tmp_path)
        record(store, notice())
        (tmp_path / FILE_NAME).rename(tmp_path / "away")
        for is_another in (False, True):
            if is_another:
                (tmp_path / FILE_NAME).write_bytes((tmp_path / "away").read_bytes())
            for call in (store.requests, store.check_writable, lambda: Store.open(tmp_path, file)):
                with pytest.raises(StoreError) as fault:
                    call()
                assert fault.value.fault.key == "store.replaced"
            assert (tmp_path / FILE_NAME).exists() == is_another
        (tmp_path / "away").rename(tmp_path / FILE_NAME)
        assert len(store.requests()) == 1


def test_a_store_that_stands_in_for_a_later_one_marks_all_that_may_have_been_told(store: Store) -> None:
    """Of what it owes, what it holds for a digest and what it does not know. Planted faults: what is owed stays as it
    is; what is held; the next search tells singly: red each."""
    digests = [("slack", frozenset({"request", "fault", "digest"})), ("plain", frozenset({"request"}))]
    store.folders.start("shop", "INBOX", 7, 0, "idle")
    store.folders.good_search("shop", "INBOX", NOON)
    store.record(reading(notice()), RULES, [("plain", frozenset({"request"}))], NOON)
    held = Gather("outage", "shop", "INBOX")
    store.record(reading(notice(mails.order_id(5))), RULES, digests[:1], NOON, gather=held)
    store.rebuilt("the file was replaced", digests, NOON)
    state = store.folders.state("shop", "INBOX")
    assert state is not None
    assert state.last_good_search is None
    gather = Gather("rebuilt", "shop", "INBOX")
    store.record(reading(notice(mails.order_id(6))), RULES, digests, NOON, gather=gather)
    store.reports.tell_gathered("shop", "INBOX", digests, NOON)
    marked = {}
    for name in ("slack", "plain"):
        while entry := store.outbox.due(name, NOON):
            marked[name, type(entry.told).__name__, getattr(entry.told, "order_id", None)] = entry.told.may_be_repeat
            store.outbox.begin_attempt(entry, NOON)
            store.outbox.settle(entry, NOON)
    assert marked.pop(("slack", "FaultNews", None)) is False
    assert len(marked) == 3
    assert set(marked.values()) == {True}


NOBODY = 65534


def somebodys(folder: Path) -> int:
    """A state folder of another user's where we are root, else our own; its owner."""
    owner = NOBODY if os.geteuid() == 0 else os.geteuid()
    folder.mkdir(mode=0o700)
    if owner == NOBODY:
        os.chown(folder, NOBODY, NOBODY)
    return owner


def test_what_root_makes_in_a_folder_of_another_user_belongs_to_that_user(tmp_path: Path) -> None:
    """`sudo mailwatch check --send` before the first `run` made a store and a lock that it could not write. As root
    seen red without `fchown`; as another user it is so by itself."""
    owner = somebodys(tmp_path / "state")
    lock = RunLock(tmp_path / "state")
    with closing(Store.open(tmp_path / "state")) as store, store._database.transaction():
        store._database.change("INSERT INTO counter VALUES ('missed', 1)")
        files = {each.name: each.stat().st_uid for each in (tmp_path / "state").iterdir()}
    lock.release()
    assert files == dict.fromkeys((FILE_NAME, f"{FILE_NAME}-journal", LOCK_NAME), owner)


def test_root_gives_no_file_away_that_it_did_not_make(tmp_path: Path) -> None:
    """The folder's owner could have any file of root's by a link. As root seen red with every file given away."""
    somebodys(tmp_path / "state")
    (tmp_path / "root's").touch(0o600)
    (tmp_path / "state" / LOCK_NAME).symlink_to(tmp_path / "root's")
    RunLock(tmp_path / "state").release()
    assert (tmp_path / "root's").stat().st_uid == os.geteuid()


def test_a_folder_remembers_its_last_good_search(store: Store) -> None:
    assert store.folders.state("shop", "INBOX") is None
    store.folders.start("shop", "INBOX", None, 0, "poll")
    started = store.folders.state("shop", "INBOX")
    assert started is not None
    assert (started.uidvalidity, started.last_good_search) == (None, None)
    store.folders.good_search("shop", "INBOX", NOON)
    store.folders.start("shop", "INBOX", 7, 3, "idle")
    again = store.folders.state("shop", "INBOX")
    assert again is not None
    assert (again.uidvalidity, again.floor, again.last_good_search) == (7, 3, NOON)
