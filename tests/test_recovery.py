"""What survives: refused logins over days and restarts, hanging workers, poison, outages, damaged stores."""

from __future__ import annotations

import itertools
import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mails
import pytest
from beds import misbehave
from beds.scripted import ScriptedImap
from beds.wire import wait_until
from test_watch import Told, all_watching, configured, orders_of, rows, server_of, unsettled, watching

from mailwatch import database, folders, message, migrations, notice, retry
from mailwatch.alert import FaultNews, Stage
from mailwatch.clock import Clock
from mailwatch.config import Account, Channel, Config, audience
from mailwatch.errors import StoreError, Unreachable
from mailwatch.fetched import Headline
from mailwatch.folders import MailIdentity, Tries
from mailwatch.mailbox import Mailbox, Server
from mailwatch.message import Message
from mailwatch.notice import Notice
from mailwatch.report import Gather
from mailwatch.services import Outcome, Result
from mailwatch.store import Reading, Store
from mailwatch.texts import Text
from mailwatch.transport import Sender
from mailwatch.watch import channel as channel_module
from mailwatch.watch import folder as folder_module
from mailwatch.watch import oversight as oversight_module
from mailwatch.watch import prepare, search
from mailwatch.watch.folder import FolderWorker
from mailwatch.watch.oversight import Oversight
from mailwatch.watch.signals import Signals

pytestmark = pytest.mark.server

ONE, TWO, THREE = (mails.order_id(number) for number in (1, 2, 3))
DAY = 86_400.0


class VirtualClock(Clock):
    """Waits are over at once and move the time; past `until` a wait says that it is time to stop."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.until = 0.0
        self._start = datetime(2026, 6, 8, 0, 0, tzinfo=UTC)

    def now(self) -> datetime:
        """The virtual time."""
        return self._start + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        """Likewise."""
        return self.passed

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Move on; set the event where the time is up."""
        self.passed += max(seconds, 0.001)
        if self.passed >= self.until:
            event.set()
        return event.is_set()


@pytest.fixture
def server() -> Iterator[ScriptedImap]:
    """A server; nothing is ever changed on it."""
    with ScriptedImap() as running:
        yield running
        assert not running.violations


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first reconnect of some milliseconds."""
    monkeypatch.setattr(retry, "RECONNECT_FIRST", 0.02)
    monkeypatch.setattr(retry, "SEND_FIRST", 0.02)


# ---- refused logins ----


def test_a_refused_login_over_seven_days_and_fifty_restarts(server: ScriptedImap, tmp_path: Path) -> None:
    """At most 6 tries in the first hour, then one an hour; told once, each morning, and once when it is over.

    Planted fault: `Logins` counts in memory only: 300 tries in the first hour of 50 restarts, red.
    """
    server.script("LOGIN", misbehave.refuse_login(), always=True)
    made, clock = configured(tmp_path), VirtualClock()
    tries: list[float] = []

    def tried(account: Account) -> Server:
        tries.append(clock.passed)
        return server_of(server)(account)

    prepare(made.watch.state_dir, made, clock)
    some = random.Random(7)  # noqa: S311 - any times will do
    restarts = sorted(some.uniform(0, 7 * DAY) for _ in range(40))
    for until in [*(60.0 * minute for minute in range(3, 33, 3)), *restarts, 7 * DAY]:
        clock.until = until
        signals = Signals()
        FolderWorker(made, made.accounts[0], "INBOX", tried, signals, clock).run()
        look(made, clock)
    assert len([at for at in tries if at <= 3600]) <= 6
    assert all(later - earlier >= 3600 - 1 for earlier, later in itertools.pairwise(tries[6:]))
    assert 7 * 24 - 8 <= len(tries) <= 7 * 24 + 6
    stages = Counter(news.stage for news in told_faults(made, clock))
    assert stages[Stage.BEGAN] == 1
    assert 5 <= stages[Stage.LASTS] + morning_lines(tmp_path) <= 8
    server.unscript()
    clock.until += 2 * 3600
    with closing(Store.open(made.watch.state_dir)) as store:
        FolderWorker(made, made.accounts[0], "INBOX", tried, Signals(), clock)._log_in()
        assert store.refusals.of("shop") is None
    assert Counter(news.stage for news in told_faults(made, clock))[Stage.OVER] == 1


def test_a_check_that_logs_in_lets_a_waiting_run_go_on(server: ScriptedImap, tmp_path: Path) -> None:
    """Else a seller who has mended the password waits an hour. Seen red with `_clear_refusals` left out."""
    from mailwatch import check

    made, clock = configured(tmp_path), VirtualClock()
    prepare(made.watch.state_dir, made, clock)
    with closing(Store.open(made.watch.state_dir)) as store:
        for _ in range(7):
            store.refusals.add("shop", clock.now())
        list(check.findings(made, server_of(server)))
        assert store.refusals.of("shop") is None


def look(made: Config, clock: VirtualClock, signals: Signals | None = None) -> None:
    """The oversight looks once, grace over."""
    with closing(Store.open(made.watch.state_dir)) as store:
        oversight = Oversight(made, Told().of, signals or Signals(), clock)
        oversight._grace_from = -DAY
        oversight.look(store)


def told_faults(made: Config, clock: Clock) -> list[FaultNews]:
    """Every fault's news that is owed to the first channel."""
    with closing(Store.open(made.watch.state_dir)) as store:
        owed = store._database.all("SELECT * FROM outbox WHERE channel = ?", made.channels[0].name)
        told = [store.outbox._told(row, clock.now(), False) for row in owed]
    # No channel's worker is at work in these tests, which is a fault too.
    return [news for news in told if isinstance(news, FaultNews) and news.fault.key != "fault.asleep"]


def morning_lines(folder: Path) -> int:
    """How many morning lines are owed: one that is not well counts as the morning's reminder."""
    return int(str(rows(folder, "SELECT count(*) FROM outbox WHERE alert ->> 'kind' = 'morning'")[0][0]))


# ---- workers that hang ----


def test_a_channel_that_hangs_in_a_library_is_replaced_and_its_alerts_are_sent(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted fault: `replace_late` does nothing: red."""
    monkeypatch.setattr(channel_module, "_STEP_SECONDS", 0.3)
    monkeypatch.setattr(oversight_module, "_TICK_SECONDS", 0.1)
    monkeypatch.setattr(oversight_module, "_TICK_IN_TROUBLE", 0.1)
    told, hang, made = Told(), threading.Event(), configured(tmp_path)
    calls: list[int] = []

    def sender_of(channel: Channel) -> Sender:
        send = told.of(channel)

        def hanging(text: Text, key: object) -> Outcome:
            calls.append(1)
            if len(calls) == 1:
                hang.wait(30)
                return Outcome(Result.AMBIGUOUS)
            return send(text, key)  # type: ignore[arg-type]

        return hanging

    from mailwatch.watch import Watch

    running = Watch(made, server_of(server), sender_of)
    running.start()
    try:
        all_watching(running)
        server.deliver(mails.by_notification(ONE))
        told.wait_for(ONE)
        assert "再送の可能性" in told.texts[0][1].title
    finally:
        hang.set()
        assert running.stop()


def test_a_mail_that_hangs_us_is_set_aside_and_holds_no_other(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three tries, each ended by the oversight; then it is told as unreadable, and what came behind it is told.

    Planted fault: the tries are not written before the mail is read: red.
    """
    monkeypatch.setattr(search, "_PIECE_SECONDS", 0.3)
    monkeypatch.setattr(folder_module, "_COMMANDS_SECONDS", 0.3)
    monkeypatch.setattr(oversight_module, "_TICK_SECONDS", 0.1)
    read, hang, tries = notice.read, threading.Event(), []

    def hanging(found: Message, *arguments: object, **options: object) -> tuple[Notice, ...]:
        if ONE in found.subject + found.text:
            tries.append(1)
            hang.wait(30)
        return read(found, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(notice, "read", hanging)
    told = Told()
    with watching(configured(tmp_path), server, told) as running:
        all_watching(running)
        server.deliver(mails.by_notification(ONE))
        server.deliver(mails.by_notification(TWO))
        told.wait_for(TWO, "注文番号なし")
        assert len(tries) == 3
        hang.set()
        wait_until(lambda: unsettled(tmp_path) == 0)
    assert told.orders() == Counter([TWO, "注文番号なし"])


def test_tries_are_counted_across_restarts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail that kills the process would else kill it for ever. What a living process began and ended is no death."""
    mail = MailIdentity("shop", "INBOX", 1, 7, datetime(2026, 6, 8, tzinfo=UTC), 1000)
    began = datetime.now(UTC)
    for number in range(3):
        monkeypatch.setattr(folders, "_PROCESS", f"process {number}")
        with closing(Store.open(tmp_path)) as store:
            for again in (1, 2):
                tries = store.folders.begin_reading(mail, began + timedelta(minutes=number))
                assert tries == Tries(2 * number + again, 0, number, began)
    with closing(Store.open(tmp_path)) as store:
        store.folders.reading_failed(mail)
        monkeypatch.setattr(folders, "_PROCESS", "another")
        assert store.folders.begin_reading(mail, began) == Tries(7, 1, 2, began)
        store.folders.reading_cut_short(mail)
        monkeypatch.setattr(folders, "_PROCESS", "yet another")
        assert store.folders.begin_reading(mail, began) == Tries(8, 1, 2, began)
        store.record_others([mail])
        assert store.folders.begin_reading(mail, began) == Tries(1, 0, 0, began)


def begun(server: ScriptedImap, made: Config, monkeypatch: pytest.MonkeyPatch, deaths: Sequence[timedelta]) -> None:
    """The newest mail was begun by processes that ended over it, each so long ago."""
    mail = server.folders["INBOX"].mails[-1]
    identity = MailIdentity("shop", "INBOX", 1_650_000_000, mail.uid, mail.internal_date, len(mail.data))
    for number, ago in enumerate(deaths):
        with monkeypatch.context() as patch, closing(Store.open(made.watch.state_dir)) as store:
            patch.setattr(folders, "_PROCESS", f"process {number}")
            store.folders.begin_reading(identity, datetime.now(UTC) - ago)


@pytest.mark.parametrize(
    ("minutes", "is_read"),
    [((0,), True), ((600,), True), ((5, 0), True), ((20, 5), False), ((2, 1, 0), False)],
    ids=["one kill", "one power cut in the evening", "two kills", "two over a quarter of an hour", "three"],
)
def test_a_mail_that_ends_the_process_is_set_aside_after_three_times_or_fifteen_minutes(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minutes: Sequence[float], is_read: bool
) -> None:
    """One or two ends may be kills, and no request is lost to them. Seen red with twelve tries, as for a lost link, and
    with one end counted after 15 minutes."""
    made, told = configured(tmp_path), Told()
    with watching(made, server, told) as running:
        all_watching(running)
    server.deliver(mails.by_notification(ONE))
    begun(server, made, monkeypatch, [timedelta(minutes=each) for each in minutes])
    with watching(made, server, told):
        told.wait_for(ONE if is_read else "注文番号なし")
        wait_until(lambda: unsettled(tmp_path) == 0)
    assert told.orders() == Counter([ONE if is_read else "注文番号なし"])


def test_a_mail_that_ended_the_process_is_read_behind_all_others(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else those behind it wait for three restarts. Seen red with what was begun before not looked at."""
    made, told = configured(tmp_path), Told()
    with watching(made, server, told) as running:
        all_watching(running)
    server.deliver(mails.by_notification(ONE))
    begun(server, made, monkeypatch, [timedelta()])
    server.deliver(mails.by_notification(TWO))
    with watching(made, server, told):
        told.wait_for(ONE, TWO)
    assert [order for _, text, _ in told.texts for order in orders_of(text)] == [TWO, ONE]


def test_a_link_that_is_lost_over_a_mail_is_no_end_of_the_process(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Restarted after each of three lost links, the mail is read. Seen red with the end of the reading not noted."""
    made, told = configured(tmp_path), Told()
    with watching(made, server, told) as running:
        all_watching(running)
    server.deliver(mails.by_notification(ONE))
    links: list[int] = []

    def lost(self: Mailbox, headline: Headline) -> Message | None:
        links.append(headline.uid)
        raise Unreachable("mailbox.lost", why="reset")

    def lost_so_often(times: int) -> None:
        wait_until(lambda: len(links) >= times)

    for number in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(folders, "_PROCESS", f"process {number}")
            patch.setattr(Mailbox, "text", lost)
            with watching(made, server, told):
                lost_so_often(number + 1)
    with watching(made, server, told):
        told.wait_for(ONE)
    assert told.orders() == Counter([ONE])


# ---- first start, outage ----


def deliver_days_ago(server: ScriptedImap, numbers: range, days: float = 2.0) -> list[str]:
    """Requests, the higher numbers the later; their orders."""
    for number in numbers:
        when = datetime.now(UTC) - timedelta(days=days) + timedelta(minutes=number)
        server.deliver(mails.by_notification(mails.order_id(number)), when=when)
    return [mails.order_id(number) for number in numbers]


def test_a_first_start_tells_the_look_back_in_one_digest_that_names_each(server: ScriptedImap, tmp_path: Path) -> None:
    """Planted fault: nothing is gathered: 30 alerts, red."""
    orders = deliver_days_ago(server, range(30))
    told = Told()
    with watching(configured(tmp_path), server, told) as running:
        all_watching(running)
        told.wait_for(*orders)
        assert [name for name, _, _ in told.texts] == ["slack"]
        assert orders_of(told.texts[0][1]) == orders[::-1]
        server.deliver(mails.by_notification(mails.order_id(99)))
        told.wait_for(*orders, mails.order_id(99))
        assert len(told.texts) == 2


def test_one_request_at_a_first_start_is_told_whole_with_its_age(server: ScriptedImap, tmp_path: Path) -> None:
    [order] = deliver_days_ago(server, range(1), days=3.5)
    told = Told()
    with watching(configured(tmp_path), server, told):
        told.wait_for(order)
    assert "3日前に届いたメールです" in told.texts[0][1].body


@pytest.mark.parametrize("send", [{"request", "digest"}, {"request"}])
def test_a_kill_in_the_first_search_loses_nothing_of_the_digest(
    server: ScriptedImap, tmp_path: Path, send: set[str]
) -> None:
    """What was gathered is on disk, whatever the channel takes after the restart. Planted fault: it is kept in memory:
    red. Seen red with what no channel takes a digest for any more thrown away."""
    orders = deliver_days_ago(server, range(5, 9))
    made, told = configured(tmp_path), Told()
    with closing(Store.open(made.watch.state_dir)) as store:
        reading = Reading(
            MailIdentity("shop", "INBOX", 1_650_000_000, 1, datetime.now(UTC) - timedelta(days=1), 1),
            "shop",
            b"key",
            notice.read(
                message.parse(mails.by_notification(THREE)), made.accounts[0].provider, made.templates, is_junk=False
            ),
        )
        store.folders.start("shop", "INBOX", 1_650_000_000, 0, "idle")
        gather = Gather("first_start", "shop", "INBOX")
        store.record(reading, made.rules, audience(made.channels), datetime.now(UTC), None, gather)
        assert unsettled(tmp_path) == 0
    later = replace(made.channels[0], send=frozenset(send))
    with watching(replace(made, channels=(later,)), server, told):
        told.wait_for(*orders, THREE)


def test_a_channel_that_takes_no_digest_gets_them_singly(server: ScriptedImap, tmp_path: Path) -> None:
    orders = deliver_days_ago(server, range(3))
    made, told = configured(tmp_path), Told()
    only = replace(made.channels[0], send=frozenset({"request"}))
    with watching(replace(made, channels=(only,)), server, told):
        told.wait_for(*orders)
    assert len(told.texts) == 3


def test_after_an_outage_the_newest_twenty_are_told_singly_newest_first_and_the_rest_in_a_digest(
    server: ScriptedImap, tmp_path: Path
) -> None:
    """Planted faults: oldest first; no digest: both red."""
    made, told = configured(tmp_path), Told()
    with watching(made, server, told) as running:
        all_watching(running)
    with closing(Store.open(made.watch.state_dir)) as store:
        store.folders.good_search("shop", "INBOX", datetime.now(UTC) - timedelta(days=3))
    orders = deliver_days_ago(server, range(30))
    with watching(made, server, told):
        told.wait_for(*orders)
    singles = [orders_of(text)[0] for _, text, _ in told.texts[:20]]
    assert singles == orders[:-21:-1]
    assert orders_of(told.texts[20][1]) == orders[9::-1]
    assert "見られない間" in told.texts[20][1].title
    assert len(told.texts) == 21


def test_what_amazon_cancelled_while_we_were_away_is_not_left_open(server: ScriptedImap, tmp_path: Path) -> None:
    """A backlog is read newest first. Seen red with the cancellation recorded before there was a request."""
    made = configured(tmp_path)
    with watching(made, server, Told()) as running:
        all_watching(running)
    with closing(sqlite3.connect(made.watch.state_dir / database.FILE_NAME)) as connection:
        connection.execute("UPDATE folder SET last_good_search = last_good_search - 3600")
        connection.commit()
    now = datetime.now(UTC)
    server.deliver(mails.by_notification(ONE), when=now - timedelta(minutes=50))
    cancelled = mails.mail(
        "Amazon <seller-notification@amazon.co.jp>",
        f"注文がキャンセルされました（注文番号：{ONE}）",
        f"注文番号：{ONE}\nご注文はキャンセルされました。\n",
    )
    server.deliver(cancelled, when=now - timedelta(minutes=20))
    with watching(made, server, Told()) as running:
        all_watching(running)
        assert rows(tmp_path, "SELECT state FROM request") == [("cancelled",)]


# ---- a damaged or lost store ----


def spoil_nothing(path: Path) -> None:
    """The store is deleted."""
    path.unlink()


def spoil_empty(path: Path) -> None:
    """Zero bytes."""
    path.write_bytes(b"")


def spoil_zeroed(path: Path) -> None:
    """As many zero bytes as there were."""
    path.write_bytes(bytes(path.stat().st_size))


def spoil_cut(path: Path) -> None:
    """Cut in the middle of a page."""
    path.write_bytes(path.read_bytes()[:5000])


def spoil_garbage(path: Path) -> None:
    """A page of other bytes in the middle."""
    data = bytearray(path.read_bytes())
    data[4096:8192] = random.Random(1).randbytes(4096)  # noqa: S311 - any bytes
    path.write_bytes(bytes(data))


def spoil_table(path: Path) -> None:
    """SQLite finds nothing wrong with a table that is not there."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE outbox")
        connection.commit()


def spoil_words(path: Path) -> None:
    """A flipped bit in the words of the schema: sqlite3 can't decode its own message of it."""
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE folder", b"CREATE TA\xe9LE folder"))


def spoil_version(path: Path) -> None:
    """A flipped bit in the number of the format: one that a later mailwatch could have."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {migrations.SCHEMA_VERSION + 1}")


def spoil_write_version(path: Path) -> None:
    """A flipped bit in the file's head, with which SQLite only reads it."""
    content = bytearray(path.read_bytes())
    content[18] ^= 8
    path.write_bytes(content)


def spoil_version_away(path: Path) -> None:
    """The same: that of a file with nothing in it yet."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 0")


@pytest.mark.parametrize(
    "spoil",
    [
        *(spoil_nothing, spoil_empty, spoil_zeroed, spoil_cut, spoil_garbage, spoil_table, spoil_words),
        *(spoil_version, spoil_version_away, spoil_write_version),
    ],
    ids=lambda s: s.__doc__,
)
def test_a_damaged_or_lost_store_is_begun_anew_and_told_once(
    server: ScriptedImap, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    """One fault, one digest that says it may repeat, nothing lost. Planted fault: `set_aside_damaged` left out: red."""
    orders = deliver_days_ago(server, range(3))
    made, told = configured(tmp_path), Told()
    prepare(made.watch.state_dir, made, Clock())
    with watching(made, server, told):
        told.wait_for(*orders)
    spoil(made.watch.state_dir / database.FILE_NAME)
    server.deliver(mails.by_notification(mails.order_id(50)))
    again = Told()
    prepare(made.watch.state_dir, made, Clock())
    with watching(made, server, again):
        wait_until(lambda: sum(again.orders().values()) == 5)
    fault, digest = (text for _, text, _ in again.texts)
    assert "作り直しました" in fault.body
    assert sorted(orders_of(digest)) == sorted([*orders, mails.order_id(50)])
    assert "再送の可能性" in digest.title
    kept = list(made.watch.state_dir.glob("*.damaged-*"))
    assert len(kept) == (0 if spoil in {spoil_nothing, spoil_empty} else 1)
    prepare(made.watch.state_dir, made, Clock())
    assert unsettled(tmp_path) == 0


@pytest.mark.parametrize(
    "odd",
    ["uid = 'x'", "uid = x'ff'", "uid = 2.5", "received = 'x'", "received = 9e99", "size = 'x'", "size = x''"],
)
def test_a_mail_whose_row_makes_no_sense_is_read_again_and_the_others_are_told(
    server: ScriptedImap, tmp_path: Path, odd: str
) -> None:
    """Of a failing disk, where SQLite finds nothing wrong. Seen red with their types not looked at."""
    made, told = configured(tmp_path), Told()
    prepare(made.watch.state_dir, made, Clock())
    server.deliver(mails.by_notification(ONE))
    with watching(made, server, told):
        told.wait_for(ONE)
    with closing(sqlite3.connect(made.watch.state_dir / database.FILE_NAME)) as connection:
        connection.execute(f"UPDATE mail SET {odd}")  # noqa: S608 - ours
        connection.execute("INSERT INTO mail SELECT account, folder, uidvalidity, 1, 5, 5 FROM mail")
        connection.commit()
    server.deliver(mails.by_notification(TWO))
    with watching(made, server, told):
        told.wait_for(ONE, TWO)
        wait_until(lambda: rows(tmp_path, "SELECT count(*) FROM mail") == [(4,)])
    with closing(Store.open(made.watch.state_dir)) as store:
        store.forget_old(datetime.now(UTC))


def test_a_sound_store_is_left_alone(tmp_path: Path) -> None:
    made = configured(tmp_path)
    for _ in range(2):
        prepare(made.watch.state_dir, made, Clock())
    assert database.set_aside_damaged(made.watch.state_dir, datetime.now(UTC)) is None
    assert rows(tmp_path, "SELECT count(*) FROM outbox") == [(0,)]


def test_what_a_power_cut_left_half_written_is_taken_back_and_no_damage(tmp_path: Path) -> None:
    """The journal beside the file holds what was there. Seen red with the file's head looked at before that."""
    made = configured(tmp_path)
    prepare(made.watch.state_dir, made, Clock())
    path, image = made.watch.state_dir / database.FILE_NAME, tmp_path / "image"
    image.mkdir(mode=0o700)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN")
        connection.execute("PRAGMA user_version = 77")
        connection.executemany("INSERT INTO counter VALUES (?, 1)", [(f"{number:0500}",) for number in range(100)])
        for each in made.watch.state_dir.glob(f"{database.FILE_NAME}*"):
            (image / each.name).write_bytes(each.read_bytes())
    half = bytearray((image / path.name).read_bytes())
    half[:512] = bytes(512)
    (image / path.name).write_bytes(half)
    assert database.set_aside_damaged(image, datetime.now(UTC)) is None
    assert (image / path.name).read_bytes() == path.read_bytes()


def test_a_store_of_a_later_mailwatch_is_no_damage(tmp_path: Path) -> None:
    """It must not be moved away by an old program. Planted fault: any other version counts as damaged: red."""
    made = configured(tmp_path)
    prepare(made.watch.state_dir, made, Clock())
    with closing(sqlite3.connect(made.watch.state_dir / database.FILE_NAME)) as connection:
        connection.execute("CREATE TABLE invention (id INTEGER)")
        connection.execute(f"PRAGMA user_version = {migrations.SCHEMA_VERSION + 1}")
    with pytest.raises(StoreError, match="newer"):
        prepare(made.watch.state_dir, made, Clock())
    assert not list(made.watch.state_dir.glob("*.damaged-*"))


def test_an_owed_row_that_can_not_be_read_is_told_as_that_and_holds_no_other(
    server: ScriptedImap, tmp_path: Path
) -> None:
    """A flipped bit in a text is nothing that SQLite could see. Planted fault: the row raises: no alert ever, red."""
    made, told = configured(tmp_path), Told()
    with watching(made, server, Told(*[Outcome(Result.PASSING)] * 1000)) as running:
        all_watching(running)
        server.deliver(mails.by_notification(ONE))
        wait_until(lambda: unsettled(tmp_path) == 1)
    with closing(sqlite3.connect(made.watch.state_dir / database.FILE_NAME)) as connection:
        connection.execute("UPDATE outbox SET alert = replace(alert, '\"', '!')")
        connection.commit()
    with watching(made, server, told):
        server.deliver(mails.by_notification(TWO))
        wait_until(lambda: TWO in told.orders())
    assert "壊れていて読めません" in told.texts[0][1].body


def test_a_time_that_is_none_holds_no_channel_up(server: ScriptedImap, tmp_path: Path) -> None:
    """Seen red with an OverflowError, again and again."""
    made, told = configured(tmp_path), Told()
    with watching(made, server, Told(Outcome(Result.PASSING))) as running:
        all_watching(running)
        server.deliver(mails.by_notification(ONE))
        wait_until(lambda: rows(tmp_path, "SELECT failures > 0 FROM channel") == [(1,)])
    with closing(sqlite3.connect(made.watch.state_dir / database.FILE_NAME)) as connection:
        connection.execute("UPDATE channel SET failed_at = 1e300, not_before = -1e300")
        connection.commit()
    with watching(made, server, told):
        wait_until(lambda: ONE in told.orders())


# ---- what is kept ----


def test_after_thirty_days_only_hashes_are_left_but_never_while_something_is_owed(tmp_path: Path) -> None:
    made = configured(tmp_path)
    prepare(made.watch.state_dir, made, Clock())
    now = datetime.now(UTC)
    with closing(Store.open(made.watch.state_dir)) as store:
        for number, order in enumerate((ONE, TWO)):
            found = notice.read(
                message.parse(mails.by_notification(order)), made.accounts[0].provider, made.templates, is_junk=False
            )
            mail = MailIdentity("shop", "INBOX", 1, number + 1, now - timedelta(days=31), 1)
            reading = Reading(mail, "shop", str(number).encode(), found)
            store.record(reading, made.rules, audience(made.channels), now - timedelta(days=31))
        entry = store.outbox.due("slack", now)
        assert entry is not None
        store.outbox.begin_attempt(entry, now - timedelta(days=31))
        store.outbox.settle(entry, now - timedelta(days=31))
        # Our clock may be wrong. Seen red with its word alone.
        store.forget_old(now)
        assert rows(tmp_path, "SELECT order_id FROM request ORDER BY id") == [(ONE,), (TWO,)]
        store.record_others([MailIdentity("shop", "INBOX", 1, 3, now, 1)])
        store.forget_old(now)
    assert rows(tmp_path, "SELECT order_id FROM request ORDER BY id") == [(None,), (TWO,)]
    assert rows(tmp_path, "SELECT count(*) FROM outbox") == [(1,)]
    assert ONE.encode() not in (made.watch.state_dir / database.FILE_NAME).read_bytes()
