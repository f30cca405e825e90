"""Clocks: the edges of the roll-out window, the process's own time zone, wall clocks that jump (reliability R14)."""

from __future__ import annotations

import imaplib
import os
import re
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import mails
import pytest
from beds.dovecot import Dovecot
from beds.modelled import WorldClock
from beds.recorder import Recorder
from beds.scripted import ScriptedImap
from beds.tap import Tap
from beds.wire import wait_until

from mailwatch import config, retry
from mailwatch.clock import Clock
from mailwatch.config import Channel, Config
from mailwatch.mailbox import Server
from mailwatch.secret import Secret
from mailwatch.services import Cause, Outcome, Result
from mailwatch.store import Store
from mailwatch.texts import Text
from mailwatch.transport import Sender
from mailwatch.watch import Watch
from mailwatch.watch.channel import ChannelWorker
from mailwatch.watch.signals import Signals

pytestmark = pytest.mark.server

TOKYO, NEW_YORK = ZoneInfo("Asia/Tokyo"), ZoneInfo("America/New_York")
HOUR = timedelta(hours=1)
TEN_YEARS = timedelta(days=3650)
ORDER_ID = re.compile(r"\d{3}-\d{7}-\d{7}")


def tokyo(month: int, day: int, hour: int, minute: int = 0, second: int = 0) -> datetime:
    """A moment of 2022 in Japan."""
    return datetime(2022, month, day, hour, minute, second, tzinfo=TOKYO)


def utc(month: int, day: int, hour: int, minute: int) -> datetime:
    """A moment of 2022."""
    return datetime(2022, month, day, hour, minute, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Pair:
    """The mails of one order, first by the old route and then by the new one, and how often that is told."""

    about: str
    message: datetime
    notification: datetime
    told: int


# The window is 2022-06-06 to 2022-06-19 in Japan; `merge_within` is one hour here, so that only the window joins days.
PAIRS = (
    Pair("the first second of the window and its last", tokyo(6, 6, 0), tokyo(6, 19, 23, 59, 59), 1),
    Pair("the last second before the window and its middle", tokyo(6, 5, 23, 59, 59), tokyo(6, 12, 12), 2),
    Pair("the middle of the window and the first second after", tokyo(6, 12, 12), tokyo(6, 20, 0), 2),
    Pair("the last second before and the first second of it", tokyo(6, 5, 23, 59, 59), tokyo(6, 6, 0), 1),
    Pair("inside in Japan, a day before it in UTC", tokyo(6, 6, 1), tokyo(6, 6, 8, 30), 1),
    Pair("after it in Japan, its last day in New York", tokyo(6, 19, 9), tokyo(6, 20, 9), 2),
    # America/New_York: 2022-11-06 01:30 comes twice, 05:30 and 06:30 UTC; 2022-03-13 02:30 never comes.
    Pair("01:30 twice, an hour apart", utc(11, 6, 5, 30), utc(11, 6, 6, 30), 1),
    Pair("01:20 and 01:35 on the wall, 75 minutes apart", utc(11, 6, 5, 20), utc(11, 6, 6, 35), 2),
    Pair("01:30 and 03:15 on the wall, 45 minutes apart", utc(3, 13, 6, 30), utc(3, 13, 7, 15), 1),
)

CONFIG = """
[watch]
merge_within = "1h"
state_dir = "{folder}/state"
idle_seconds = 20
morning_line = ""
[[accounts]]
name = "shop"
host = "127.0.0.1"
port = {port}
tls = "off"
user = "seller@example.test"
password_file = "password"
authserv_id = "{authserv_id}"
received_by = [{received_by}]
folders = ["INBOX"]
[[channels]]
name = "slack"
url = "{url}"
"""


def write_config(folder: Path, port: int, url: str) -> Path:
    """A configuration as a seller writes it."""
    path, password = folder / "config.toml", folder / "password"
    received_by = ", ".join(f'"{host}"' for host in mails.RECEIVED_BY)
    for secret in (path, password):
        secret.touch(0o600)
    password.write_text("pass-one\n")
    filled = CONFIG.format(folder=folder, port=port, url=url, authserv_id=mails.AUTHSERV_ID, received_by=received_by)
    path.write_text(filled, "utf-8")
    return path


@contextmanager
def running(path: Path, zone: str) -> Iterator[None]:
    """`mailwatch run` as a process of its own, with a time zone of its own."""
    with (path.parent / "run.log").open("ab") as log:
        command = [sys.executable, "-m", "mailwatch", "--config", str(path), "run"]
        process = subprocess.Popen(command, stderr=log, env=os.environ | {"TZ": zone})
        try:
            yield
        finally:
            process.terminate()
            process.wait(10)


def offset_of(server: Dovecot, uid: int) -> str:
    """The zone in which the server shows a mail's INTERNALDATE."""
    with imaplib.IMAP4(server.host, server.port) as client:
        client.login(server.user, server.password)
        client.select("INBOX", readonly=True)
        _, data = client.uid("FETCH", str(uid), "(INTERNALDATE)")
    found = re.search(rb'INTERNALDATE ".* ([+-]\d{4})"', data[0] if isinstance(data[0], bytes) else b"")
    assert found
    return found[1].decode()


@pytest.mark.dovecot
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_a_run_tells_the_same_in_every_time_zone_at_the_edges_of_the_window_and_of_summer_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    """A real run, a real Dovecot in the same zone. Planted faults, each red: the window in the process's zone (New
    York), the window's end counted in, INTERNALDATE read as naive local time (both DST pairs)."""
    monkeypatch.setenv("TZ", zone)
    orders = {mails.order_id(number): pair for number, pair in enumerate(PAIRS, 1)}
    with Dovecot() as server, Tap(server.port) as tap, Recorder() as recorder:
        path = write_config(tmp_path, tap.port, recorder.url())
        with running(path, zone):
            tap.wait_for("IDLE", seconds=20)
            for order, pair in orders.items():
                server.append(mails.by_message(order), when=pair.message)
                last = server.append(mails.by_notification(order), when=pair.notification)
            wait_until(lambda: sightings(tmp_path) == 2 * len(orders), 30, "every mail recorded")
            recorder.wait_for(sum(pair.told for pair in PAIRS), 20)
            wait_until(lambda: not owed(tmp_path), 10, "every alert settled")
        shown = {"UTC": "+0000", "Asia/Tokyo": "+0900", "America/New_York": "-0400"}
        assert offset_of(server, last) == shown[zone]  # the last pair is in summer time
    told = [(str(post.json["message"]).split("\n", 1)[0], str(post.json["message"])) for post in recorder.posts()]
    counted = Counter(order for order, _ in told)
    assert {orders[order].about: counted[order] for order in orders} == {pair.about: pair.told for pair in PAIRS}
    for order, body in told:
        # What a person reads is in the configured zone, whatever the process's.
        local = orders[order].message.astimezone(TOKYO)
        assert f"{local.month}/{local.day} {local:%H:%M}" in body


def sightings(folder: Path) -> int:
    """How many notices the store holds."""
    return count(folder, "SELECT count(*) FROM sighting")


def owed(folder: Path) -> int:
    """How many alerts are owed."""
    return count(folder, "SELECT count(*) FROM outbox WHERE settled_at IS NULL")


def count(folder: Path, query: str) -> int:
    """A number out of the store."""
    with closing(Store.open(folder / "state")) as store:
        row = store._database.one(query)
    return int(row[0]) if row else -1


# ---- a wall clock that jumps while mailwatch runs ----


class JumpingClock(Clock):
    """A real clock whose wall time is `off`; monotonic time never jumps."""

    off = timedelta()

    def now(self) -> datetime:
        return super().now() + self.off


class Told:
    """What was told, in order; answers as planned, else accepts."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.texts: list[Text] = []
        self._outcomes = list(outcomes)

    def of(self, _channel: Channel) -> Sender:
        """The sender of the one channel."""
        return self.send

    def send(self, text: Text, key: uuid.UUID) -> Outcome:
        """One attempt."""
        self.texts.append(text)
        return self._outcomes.pop(0) if self._outcomes else Outcome(Result.ACCEPTED)

    @property
    def orders(self) -> Counter[str]:
        """How often each order was told; a digest names its own."""
        named = (ORDER_ID.match(line) for text in list(self.texts) for line in text.body.split("\n"))
        return Counter(found[0] for found in named if found)

    def wait_for(self, *orders: str) -> None:
        """Wait until these were told, and nothing else."""
        wait_until(lambda: self.orders.total() >= len(orders), 10, f"{orders} told")
        assert self.orders == Counter(orders)


@contextmanager
def watching(folder: Path, server: ScriptedImap, told: Told, clock: Clock) -> Iterator[None]:
    """A watch that is up; it must end within its time."""
    made = config.load(write_config(folder, server.port, "json://127.0.0.1"), {})
    watch = Watch(made, lambda _: Server(server.host, server.port, None, "u", Secret("p")), told.of, clock)
    watch.start()
    try:
        yield
    finally:
        assert watch.stop()


@pytest.fixture
def server() -> Iterator[ScriptedImap]:
    """A server whose clock is right."""
    with ScriptedImap() as made:
        made.user, made.password = "u", "p"
        yield made
        assert not made.violations


@pytest.mark.parametrize("jump", [HOUR, -HOUR, TEN_YEARS, -TEN_YEARS], ids=["+1h", "-1h", "+10y", "-10y"])
def test_a_jump_of_the_wall_clock_in_mid_run_changes_no_alert(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: timedelta
) -> None:
    """Over a lost connection and a lost index besides, and back again. Planted fault: `Oversight` and `ChannelWorker`
    wait by the wall clock: the retry after a jump back never comes, red."""
    monkeypatch.setattr(retry, "RECONNECT_FIRST", 0.02)
    monkeypatch.setattr(retry, "SEND_FIRST", 0.2)
    orders = [mails.order_id(number) for number in range(7)]
    clock, told = JumpingClock(), Told()
    server.deliver(mails.by_message(orders[0]))
    with watching(tmp_path, server, told, clock):
        told.wait_for(*orders[:1])
        server.wait_for_idle()
        told._outcomes.append(Outcome(Result.PASSING, "HTTP 500", cause=Cause.SERVER))
        server.deliver(mails.by_message(orders[1]))
        wait_until(lambda: len(told.texts) == 2, 10, "the attempt that fails")
        clock.off = jump
        wait_until(lambda: len(told.texts) == 3, 10, "its retry")
        told.texts.pop()
        server.wait_for_idle()
        server.deliver(mails.by_notification(orders[0]))  # the other route
        server.deliver(mails.by_notification(orders[2]))
        told.wait_for(*orders[:3])
        server.drop()
        server.deliver(mails.by_notification(orders[3]))
        told.wait_for(*orders[:4])
        server.wait_for_idle()
        clock.off = timedelta()
        server.deliver(mails.by_notification(orders[4]))
        told.wait_for(*orders[:5])
        server.wait_for_idle()
        clock.off = -jump
        server.deliver(mails.by_notification(orders[5]))
        told.wait_for(*orders[:6])
        clock.off = timedelta()
        server.renumber()
        server.drop()
        server.deliver(mails.by_notification(orders[6]))
        told.wait_for(*orders)
    assert sightings(tmp_path) >= 8
    assert not owed(tmp_path)


def test_the_machines_clock_is_ten_years_behind_at_the_first_start_and_right_later(
    server: ScriptedImap, tmp_path: Path
) -> None:
    """A small computer without a battery. Each is told once, whenever the clock is set right."""
    orders = [mails.order_id(number) for number in range(3)]
    clock, told = JumpingClock(), Told()
    clock.off = -TEN_YEARS
    for order in orders[:2]:
        server.deliver(mails.by_message(order))
    with watching(tmp_path, server, told, clock):
        told.wait_for(*orders[:2])
        clock.off = timedelta()
        server.deliver(mails.by_message(orders[2]))
        told.wait_for(*orders)


# ---- no retry later than planned ----

FAILURES = {
    "passing": Outcome(Result.PASSING, "HTTP 500", cause=Cause.SERVER),
    "throttled": Outcome(Result.PASSING, "HTTP 429", retry_after=600.0, cause=Cause.BUSY),
    "ambiguous": Outcome(Result.AMBIGUOUS, "no answer", cause=Cause.SILENT),
    "refused": Outcome(Result.REFUSED, "HTTP 400", cause=Cause.REFUSED),
    "permanent": Outcome(Result.PERMANENT, "HTTP 404", cause=Cause.ADDRESS),
}
# A channel looks at the outbox at least so often.
LOOK = 10.0


def seconds_until_the_retry(
    folder: Path, outcome: Outcome, jump: timedelta, *, meanwhile: Callable[[WorldClock], object] = lambda _: None
) -> float:
    """The monotonic seconds from an attempt that failed, behind which the wall clock jumps, to the next."""
    made: Config = config.load(write_config(folder, 143, "json://127.0.0.1"), {})
    clock, told = WorldClock(datetime(2022, 6, 8, tzinfo=UTC)), Told(outcome)
    signals = Signals(owed={"slack": threading.Event()})
    with closing(Store.open(made.watch.state_dir)) as store:
        store.outbox.owe_tests(["slack"], clock.now())
        worker = ChannelWorker(made, made.channels[0], told.of, signals, clock)
        worker.step(store)
        assert len(told.texts) == 1
        began = clock.passed
        clock.skew += jump.total_seconds()
        if meanwhile(clock):
            worker = ChannelWorker(made, made.channels[0], told.of, signals, clock)
        while len(told.texts) == 1 and clock.passed - began < 100 * 3600:
            clock.passed += max(worker.step(store), 0.01)
        return clock.passed - began


def planned(outcome: Outcome) -> float:
    """The longest time until the first retry."""
    return max(retry.send_delay(outcome.result, 1, 1.0), outcome.retry_after)


JUMPS = {"+1h": HOUR, "-1h": -HOUR, "+10y": TEN_YEARS, "-10y": -TEN_YEARS}


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("failure", FAILURES)
def test_after_a_jump_no_retry_is_later_than_twice_its_plan(tmp_path: Path, failure: str, jump: str) -> None:
    """Planted fault: the channel's wait is kept as a wall time: red for each jump back."""
    outcome = FAILURES[failure]
    assert seconds_until_the_retry(tmp_path, outcome, JUMPS[jump]) <= 2 * planned(outcome) + LOOK


@pytest.mark.parametrize(
    ("failure", "jump"),
    [(failure, jump) for failure in FAILURES for jump in JUMPS],
)
def test_after_a_jump_and_a_restart_no_retry_is_later_than_twice_its_plan(
    tmp_path: Path, failure: str, jump: str
) -> None:
    """A small computer without a battery starts with the time of its last shutdown."""
    outcome = FAILURES[failure]

    def reboot(clock: WorldClock) -> bool:
        clock.booted = clock.passed
        return True

    waited = seconds_until_the_retry(tmp_path, outcome, JUMPS[jump], meanwhile=reboot)
    assert waited <= 2 * planned(outcome) + LOOK
