"""The core under everything at once: a modelled mail server, a virtual clock, the real store on a real file, the real
`Search`, `ChannelWorker` and `Oversight`, receivers that answer as planned; hypothesis chooses what happens.

The law: alerts equal the truth. Every request, wish or possible that was visible to a completed good search is told on
each channel (or by its stand-in); told once per decision of design section 4, which is worked out here a second time;
what comes twice says 再送の可能性 and has a cause; neighbours are never told; no mail is marked seen without a record.

    pytest tests/test_state_machine.py                          # some seconds, in the normal suite
    MAILWATCH_EXAMPLES=20000 pytest tests/test_state_machine.py # before a release: about an hour
    MAILWATCH_EXAMPLES=5000 MAILWATCH_STEPS=80 …                # longer stories

Teeth: `FAULTS` names faults, and `python tests/test_state_machine.py` plants each into a copy of the tree and sees it
go red: an alert settled before it is sent; a mail marked seen before it is recorded; a high-water mark; UIDs taken for
identities; no content key; a kill in the send window forgotten; a retry that waits by the wall clock. What the machine
found itself is told straight at the end, a test for each.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import mails
import pytest
from beds.modelled import KeptMail, ModelledMailbox, ModelledServer, WorldClock
from beds.scripted import ScriptedImap
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mailwatch import config, log, mailbox
from mailwatch.config import Channel, Config
from mailwatch.database import FILE_NAME, Database
from mailwatch.errors import MailwatchError
from mailwatch.mailbox import Server
from mailwatch.secret import Secret
from mailwatch.services import Cause, Outcome, Result
from mailwatch.store import Store
from mailwatch.texts import Text
from mailwatch.transport import Sender
from mailwatch.watch import loop
from mailwatch.watch.channel import ChannelWorker
from mailwatch.watch.oversight import Oversight
from mailwatch.watch.search import Search
from mailwatch.watch.signals import Progress, Signals

pytestmark = pytest.mark.long

FOLDERS = ("INBOX", "Junk")
# One takes digests, one takes none, one stands in for the second.
DIGESTS, SINGLES, STAND_IN = "digests", "singles", "stand-in"
ORDER_ID = re.compile(r"\d{3}-\d{7}-\d{7}")
REPEAT = "再送の可能性"
EPOCH = datetime(2022, 6, 18, 3, 0, 0, tzinfo=UTC)
ROLLOUT = tuple(datetime(2022, 6, day, tzinfo=ZoneInfo("Asia/Tokyo")) for day in (6, 20))
SOON = timedelta(hours=72)
# What is promised of a late or reused UID (traps section 1: a full re-list every 10 minutes at least).
RELIST = 600.0
DAY = 86_400.0
# A real file, on a disk that need not be waited for: a kill loses no page cache; for power loss see endurance/power.py.
IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
EXAMPLES = int(os.environ.get("MAILWATCH_EXAMPLES", "25"))
STEPS = int(os.environ.get("MAILWATCH_STEPS", "30"))


class Killed(BaseException):
    """The process is gone from here on: nothing of it may catch this."""


class Mortal(Database):
    """The real database of a process that a kill may hit just before or just after a commit."""

    kill_in: int | None = None
    is_after = False

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        with super().transaction():
            yield
            due = self._count()
            if due and not self.is_after:
                raise Killed
        if due:
            raise Killed

    def _count(self) -> bool:
        if self.kill_in is None:
            return False
        self.kill_in -= 1
        if self.kill_in > 0:
            return False
        self.kill_in = None
        return True


@dataclass(frozen=True, slots=True)
class Written:
    """A mail as it was written. Its `received` is its own: copies, moves and backups keep it, no other mail has it."""

    kind: str  # request, wish, possible, neighbour
    route: str | None
    order: str
    received: datetime


@dataclass(slots=True)
class Receiver:
    """A channel's far end: answers by `mode`, and remembers what reached it."""

    name: str
    mode: str = "up"
    kill_next: bool = False
    reached: list[tuple[uuid.UUID, Text]] = field(default_factory=list)
    attempted: Counter[uuid.UUID] = field(default_factory=Counter)
    unanswered: set[uuid.UUID] = field(default_factory=set)

    def send(self, text: Text, key: uuid.UUID) -> Outcome:
        """One attempt; see the module."""
        self.attempted[key] += 1
        if self.mode in {"up", "deaf"} or self.kill_next:
            self._reach(text, key)
        if self.kill_next:
            self.kill_next = False
            self.unanswered.add(key)
            raise Killed
        match self.mode:
            case "up":
                return Outcome(Result.ACCEPTED)
            case "deaf" | "lost":  # it came through and no answer came back, or it did not come through
                self.unanswered.add(key)
                return Outcome(Result.AMBIGUOUS, "no answer", cause=Cause.SILENT)
            case "busy":
                return Outcome(Result.PASSING, "HTTP 429", retry_after=600.0, cause=Cause.BUSY)
            case "refusing":
                return Outcome(Result.REFUSED, "HTTP 400", cause=Cause.REFUSED)
            case "dead":
                return Outcome(Result.PERMANENT, "HTTP 404", cause=Cause.ADDRESS)
        return Outcome(Result.PASSING, "HTTP 500", cause=Cause.SERVER)

    def _reach(self, text: Text, key: uuid.UUID) -> None:
        if any(known == key for known, _ in self.reached):
            assert REPEAT in text.title, f"{self.name}: came twice and does not say so: {text}"
        self.reached.append((key, text))

    def lines(self, *, unmarked: bool = False) -> Counter[str]:
        """How often each order was told: each text once, however often it came. Or only what bore no mark."""
        texts = dict(self.reached)
        if unmarked:
            return Counter(o for _, text in self.reached if REPEAT not in text.title for o in _orders(text))
        return Counter(order for text in texts.values() for order in _orders(text))


def _orders(text: Text) -> list[str]:
    """The orders that a text tells of: an alert's first line, or each line of a digest."""
    lines = text.body.split("\n")
    if ORDER_ID.fullmatch(lines[0]):
        return [lines[0]]
    return [found[0] for line in lines if (found := ORDER_ID.match(line))]


def possible(order: str) -> bytes:
    """Amazon's, speaks of cancelling, fits no form."""
    sender = "Amazon <seller-notification@amazon.co.jp>"
    return mails.mail(sender, "取消の件でご連絡", f"注文番号: {order}\n取消について。\n")


@cache
def configuration() -> Config:
    """As a file gives it; the folder of the state is each example's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        password = folder / "password"
        password.touch(0o600)
        password.write_text("pass-one")
        path = folder / "config.toml"
        path.touch(0o600)
        received_by = ", ".join(f'"{host}"' for host in mails.RECEIVED_BY)
        path.write_text(
            f"[watch]\nstate_dir = '{folder}/state'\n"
            f"[[accounts]]\nname = 'shop'\nfolders = {list(FOLDERS)}\nhost = '127.0.0.1'\nport = 143\ntls = 'off'\n"
            f"user = 'u'\npassword_file = 'password'\nauthserv_id = '{mails.AUTHSERV_ID}'\n"
            f"received_by = [{received_by}]\n"
            f"[[channels]]\nname = '{DIGESTS}'\nurl = 'json://127.0.0.1'\n"
            f"[[channels]]\nname = '{SINGLES}'\nurl = 'json://127.0.0.1'\nsend = ['request', 'wish', 'possible']\n"
            f"[[channels]]\nname = '{STAND_IN}'\nurl = 'json://127.0.0.1'\nfallback_for = ['{SINGLES}']\n",
            "utf-8",
        )
        return config.load(path, {})


class Life:
    """One process from its start to its kill: every object of it, over the store on disk."""

    def __init__(self, made: Config, clock: WorldClock, server: ModelledServer, far: dict[str, Receiver]) -> None:
        self._config, self._clock, self._server = made, clock, server
        clock.booted = clock.passed
        loop.prepare(made.watch.state_dir, made, clock)
        database = Mortal.open(made.watch.state_dir)
        assert isinstance(database, Mortal)
        self.database = database
        self.store = Store(database)
        self.signals = Signals(owed={channel.name: threading.Event() for channel in made.channels})

        def sender_of(channel: Channel) -> Sender:
            return far[channel.name].send

        self.channels = [ChannelWorker(made, channel, sender_of, self.signals, clock) for channel in made.channels]
        self.oversight = Oversight(made, sender_of, self.signals, clock)
        self.searches: dict[str, tuple[ModelledMailbox, Search]] = {}

    def search(self, folder: str) -> None:
        """One search of a folder, over its connection or a new one."""
        opened = self.searches.get(folder)
        if opened is None or opened[0].is_over:
            self.searches.pop(folder, None)
            box = self._server.open(folder)
            signals, clock, account = self.signals, self._clock, self._config.accounts[0]
            opened = box, Search(self._config, account, box, self.store, signals, clock, Progress(clock))
            self.searches[folder] = opened
        try:
            opened[1].go()
        except MailwatchError:
            self.searches.pop(folder)
            raise

    def send(self, channel: ChannelWorker) -> None:
        """Send until nothing is due."""
        for _ in range(5000):
            if channel.step(self.store) > 0.0:
                return
        raise AssertionError(f"{channel.name} finds no end")


class Shop(RuleBasedStateMachine):
    """A shop's mailbox, its watcher, and its phones."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="mailwatch-machine-", dir=IN_MEMORY)
        self.clock = WorldClock(EPOCH)
        self.server = ModelledServer(self.clock.true)
        for folder in FOLDERS:
            self.server.back_up(folder)
        made = configuration()
        self.config = replace(made, watch=replace(made.watch, state_dir=Path(self.folder.name) / "state"))
        self.far = {channel.name: Receiver(channel.name) for channel in self.config.channels}
        self.life: Life | None = None
        self.written: dict[datetime, Written] = {}
        self.promised: set[datetime] = set()
        self.kills = 0
        self.back = 0.0  # by how much the wall clock was set back, in all
        self.fetched_in_vain: set[datetime] = set()
        self.numbers: dict[tuple[str, int, int], datetime] = {}
        # Per folder: when the whole look-back was last searched over this connection, and the highest UID until now.
        self.full_at: dict[str, tuple[int, float]] = {}
        self.tops: dict[str, tuple[int, int]] = {}
        self.floors: dict[str, int] = {}

    # ---- mail ----

    @rule(
        kind=st.sampled_from(["message", "notification", "wish", "possible", "neighbour"]),
        order=st.integers(0, 3),
        folder=st.sampled_from(FOLDERS),
        late=st.sampled_from([0.0, 0.0, 0.0, 1.0, 600.0, DAY]),
    )
    def deliver(self, kind: str, order: int, folder: str, late: float) -> None:
        """A mail comes; with `late` it has its UID now, and shows itself later (reliability R8)."""
        self._write(kind, mails.order_id(order), folder, late)

    @precondition(lambda self: len(self.written) < 100)
    @rule(folder=st.sampled_from(FOLDERS), count=st.sampled_from([3, 25]))
    def deliver_many(self, folder: str, count: int) -> None:
        """More than are told singly after an outage."""
        number = len(self.written)
        for each in range(count):
            self._write(("message", "notification")[each % 2], mails.order_id(1000 + number + each), folder, 0.0)

    @rule(folder=st.sampled_from(FOLDERS), uids=st.sampled_from([1, 250]))
    def numbers_are_left_out(self, folder: str, uids: int) -> None:
        """Mails that others took away at once: later UIDs are far above."""
        self._leave_out(folder, uids)

    def _leave_out(self, folder: str, uids: int) -> None:
        self.server.folders[folder].uidnext += uids

    @rule(order=st.integers(0, 3), folder=st.sampled_from(FOLDERS), late=st.sampled_from([1.0, 600.0, DAY]))
    def deliver_overtaken(self, order: int, folder: str, late: float) -> None:
        """A mail that shows itself only when others far above it are there."""
        self._write("message", mails.order_id(order), folder, late)
        self._leave_out(folder, 250)
        self._write("neighbour", "", folder, 0.0)

    def _write(self, kind: str, order: str, folder: str, late: float) -> None:
        self.clock.passed += 1.0
        made: dict[str, tuple[Callable[[str], bytes], str, str | None]] = {
            "message": (mails.by_message, "request", "message"),
            "notification": (mails.by_notification, "request", "notification"),
            "wish": (mails.wish, "wish", "message"),
            "possible": (possible, "possible", "notification"),
            "neighbour": (lambda _: mails.neighbour(len(self.written)), "neighbour", None),
        }
        make, what, route = made[kind]
        now = self.clock.true()
        self.written[now] = Written(what, route, order, now)
        self.server.deliver(make(order), folder, visible=now + timedelta(seconds=late))

    def _pick(self, folder: str, at: int) -> KeptMail | None:
        shown = self.server.visible(folder)
        return shown[at % len(shown)] if shown else None

    @rule(folder=st.sampled_from(FOLDERS), to=st.sampled_from(FOLDERS), at=st.integers(0, 30))
    def copy(self, folder: str, to: str, at: int) -> None:
        """A copy, in the same folder or the other."""
        if mail := self._pick(folder, at):
            self.server.copy(folder, mail.uid, to)

    @rule(folder=st.sampled_from(FOLDERS), to=st.sampled_from(FOLDERS), at=st.integers(0, 30))
    def move(self, folder: str, to: str, at: int) -> None:
        """Moved; into the same folder: out and in."""
        if mail := self._pick(folder, at):
            self.server.move(folder, mail.uid, to)

    @rule(folder=st.sampled_from(FOLDERS), at=st.integers(0, 30))
    def expunge(self, folder: str, at: int) -> None:
        """Deleted for good, but for a backup."""
        if mail := self._pick(folder, at):
            self.server.expunge(folder, mail.uid)

    @rule(folder=st.sampled_from(FOLDERS))
    def back_up(self, folder: str) -> None:
        """A provider's backup."""
        self.server.back_up(folder)

    @rule(folder=st.sampled_from(FOLDERS), which=st.integers(0, 5), renumbered=st.booleans(), order=st.integers(0, 3))
    def restore(self, folder: str, which: int, renumbered: bool, order: int) -> None:
        """The backup is put back, with its UIDNEXT or with a UIDVALIDITY of its own, and then a mail comes."""
        self._pass(10.0)
        self.server.restore(folder, which % len(self.server.folders[folder].backups))
        if renumbered:
            self._renumber(folder, "higher")
        self._write("notification", mails.order_id(order), folder, 0.0)

    @rule(folder=st.sampled_from(FOLDERS), how=st.sampled_from(["higher", "lower", "old"]))
    def renumber(self, folder: str, how: str) -> None:
        """Another UIDVALIDITY: a new one, a lower one, or one that was there before (reliability R6)."""
        self._renumber(folder, how)

    def _renumber(self, folder: str, how: str) -> None:
        box = self.server.folders[folder]
        if how == "old" and box.was:
            self.server.renumber(folder, box.was[0])
        else:
            number = len(box.was) + 1
            self.server.renumber(folder, 1_650_000_000 + number if how == "higher" else 5 + number)

    @rule(folder=st.sampled_from(FOLDERS), newest=st.sampled_from([1, 30]))
    def search_lags(self, folder: str, newest: int) -> None:
        """SEARCH does not show the newest (reliability R9)."""
        self.server.withhold(folder, newest)

    @rule(folder=st.sampled_from(FOLDERS))
    def search_has_caught_up(self, folder: str) -> None:
        """It shows all again."""
        self.server.show(folder)

    @rule(to=st.sampled_from([None, *FOLDERS]), folder=st.sampled_from(FOLDERS))
    def gone_between_list_and_fetch(self, to: str | None, folder: str) -> None:
        """The next candidate of a folder is moved or deleted while it is fetched, or can't be fetched this once."""

        def happens(mail: KeptMail) -> bool:
            if mail.received in self.fetched_in_vain or mail not in self.server.visible(folder):
                return False
            self.fetched_in_vain.add(mail.received)
            if to is not None:
                self.server.move(folder, mail.uid, to)
            elif mail.uid % 2:
                self.server.expunge(folder, mail.uid)
            return True

        self.server.meanwhile = happens

    @rule(calls=st.integers(0, 6))
    def the_link_is_lost(self, calls: int) -> None:
        """After so many more answers of the server."""
        self.server.calls_left = calls

    # ---- the watcher ----

    @rule(folder=st.sampled_from(FOLDERS))
    def search(self, folder: str) -> None:
        """One search of one folder."""
        self._live(lambda life: self._search(life, folder))

    @rule(channel=st.integers(0, 2))
    def send(self, channel: int) -> None:
        """One channel sends what is due."""
        self._live(lambda life: life.send(life.channels[channel]))

    @rule()
    def look(self) -> None:
        """The oversight looks."""
        self._live(lambda life: life.oversight.look(life.store) and None)

    @rule(seconds=st.sampled_from([10.0, 50.0, 610.0, 1000.0, 3700.0]))
    def work(self, seconds: float) -> None:
        """Time passes, and everybody works."""
        self._pass(seconds)

    @rule(seconds=st.sampled_from([20.0, 1200.0, DAY, 5 * DAY]))
    def sleep(self, seconds: float) -> None:
        """Time passes, and nobody works: the process is dead or the machine asleep."""
        self.clock.passed += seconds

    @rule()
    def kill(self) -> None:
        """kill -9 between two steps."""
        self._killed()

    @rule(commits=st.integers(1, 8), after=st.booleans())
    def kill_at_a_commit(self, commits: int, after: bool) -> None:
        """kill -9 just before or just after a commit to come."""
        if self.life:
            self.life.database.kill_in, self.life.database.is_after = commits, after

    @rule(channel=st.sampled_from([DIGESTS, SINGLES, STAND_IN]))
    def kill_after_a_send(self, channel: str) -> None:
        """kill -9 when the next text has come through and is not settled."""
        self.far[channel].kill_next = True

    def _killed(self) -> None:
        if self.life:
            self.life.database.close()
            self.life = None
            self.kills += 1
            self.full_at.clear()

    def _live(self, action: Callable[[Life], object]) -> None:
        """Do it, in this process or a new one; a kill or a lost link ends it."""
        try:
            if self.life is None:
                self.life = Life(self.config, self.clock, self.server, self.far)
            action(self.life)
        except Killed:
            self._killed()
        except MailwatchError:
            self.full_at.clear()

    def _search(self, life: Life, folder: str) -> None:
        box = self.server.folders[folder]
        opened = life.searches.get(folder)
        is_full = opened is None or opened[0].is_over or self._is_relist_due(folder)
        if self.floors.get(folder) is None or self.tops.get(folder, (0, 0))[0] != box.uidvalidity:
            self.floors[folder] = box.uidnext - 1
            self.tops[folder] = box.uidvalidity, box.uidnext - 1
        before, in_vain = self._shown(folder), set(self.fetched_in_vain)
        life.search(folder)
        if is_full:
            self.full_at[folder] = box.generation, self.clock.passed
        # What could not be fetched this once may be gone before it is asked for again.
        came = [mail for mail in before if mail.received not in self.fetched_in_vain - in_vain]
        self._promise(folder, [mail for mail in came if mail in self._shown(folder)], is_full=is_full)

    def _is_relist_due(self, folder: str) -> bool:
        known = self.full_at.get(folder)
        box = self.server.folders[folder]
        return known is None or known[0] != box.generation or self.clock.passed - known[1] >= RELIST

    def _shown(self, folder: str) -> list[KeptMail]:
        withheld = self.server.folders[folder].withheld
        return [mail for mail in self.server.visible(folder) if mail.uid not in withheld]

    def _promise(self, folder: str, shown: list[KeptMail], *, is_full: bool) -> None:
        """After a completed search: what it must have found."""
        uidvalidity, top = self.tops[folder]
        # The look-back is the machine's: where its clock is fast, less is in reach of a first start.
        since = max(self.clock.true(), self.clock.now()) - self.config.watch.lookback
        for mail in shown:
            is_fresh = mail.uid > top
            # One under another's UID is found by its date only: asking for each old mail's would be dear.
            is_first = self.numbers.setdefault((folder, uidvalidity, mail.uid), mail.received) == mail.received
            is_in_reach = is_full and ((mail.uid > self.floors[folder] and is_first) or mail.received >= since)
            if (is_fresh or is_in_reach) and mail.received in self.written:
                self.promised.add(mail.received)
        self.tops[folder] = uidvalidity, max([top, *(mail.uid for mail in shown)])

    def _pass(self, seconds: float) -> None:
        self.clock.passed += seconds
        for folder in FOLDERS:
            self._live(lambda life, folder=folder: self._search(life, folder))  # type: ignore[misc]
        self._live(lambda life: life.oversight.look(life.store) and None)
        for number in range(3):
            self._live(lambda life, number=number: life.send(life.channels[number]))  # type: ignore[misc]

    # ---- the receivers and the clock ----

    @rule(
        name=st.sampled_from([DIGESTS, SINGLES, STAND_IN]),
        mode=st.sampled_from(["up", "up", "down", "busy", "refusing", "dead", "deaf", "lost"]),
    )
    def channel(self, name: str, mode: str) -> None:
        """A channel fails in a way of its own, or works again."""
        self.far[name].mode = mode

    @rule(seconds=st.sampled_from([3600.0, -3600.0, 10 * 365 * DAY, -10 * 365 * DAY, 0.0]))
    def the_clock_jumps(self, seconds: float) -> None:
        """By an hour or ten years, either way; or it is set right."""
        before = self.clock.skew
        self.clock.skew = self.clock.skew + seconds if seconds and abs(before) < DAY else 0.0
        self.back += max(before - self.clock.skew, 0.0) if abs(before - self.clock.skew) < DAY else 0.0

    # ---- the law ----

    @invariant()
    def no_neighbour_is_told(self) -> None:
        """And no order that nobody wrote of."""
        orders = {each.order for each in self.written.values() if each.kind != "neighbour"}
        for receiver in self.far.values():
            assert set(receiver.lines()) <= orders

    @rule()
    def all_is_well_for_a_while(self) -> None:
        """Everything works again; after some hours alerts equal the truth."""
        for receiver in self.far.values():
            receiver.mode, receiver.kill_next = "up", False
        for folder in FOLDERS:
            self.server.show(folder)
        self.server.calls_left = self.server.meanwhile = None
        if self.life:
            self.life.database.kill_in = None
        for _ in range(11):
            self._pass(610.0)
        # A refused text waits an hour by the wall clock, which may have been set back meanwhile.
        while self.back >= 0.0 and self._owed():
            self._pass(1800.0)
            self.back -= 1800.0
        assert not self._owed(), f"still owed: {self._owed()}"
        self._alerts_equal_the_truth()

    def _owed(self) -> list[tuple[str, ...]]:
        return self._rows("SELECT channel, outcome FROM outbox WHERE settled_at IS NULL")

    def _rows(self, query: str) -> list[tuple[str, ...]]:
        with closing(sqlite3.connect(self.config.watch.state_dir / FILE_NAME)) as store:
            return store.execute(query).fetchall()

    def _alerts_equal_the_truth(self) -> None:
        sighted = [
            (datetime.fromtimestamp(int(at), UTC), decision)
            for at, decision in self._rows("SELECT at, decision FROM sighting ORDER BY id")
        ]
        seen = {datetime.fromtimestamp(int(row[0]), UTC) for row in self._rows("SELECT received FROM mail")}
        matter = {at for at, each in self.written.items() if each.kind != "neighbour"}
        recorded = {at for at, _ in sighted}
        assert (seen & matter) <= recorded, "marked seen, and not recorded"
        assert self.promised <= seen, "shown to a good search, and not seen"
        told = expected([self.written[at] for at, _ in sighted])
        assert [decision for _, decision in sighted] == [decision for _, decision in told]
        wanted = Counter(each.order for each, decision in told if decision != "join")
        assert {self.written[at].order for at in self.promised & matter} <= set(wanted)
        assert self.far[DIGESTS].lines() == wanted
        self._singles_equal(wanted)
        self._repeats_have_causes()
        assert self._rows("PRAGMA integrity_check") == [("ok",)]

    def _singles_equal(self, wanted: Counter[str]) -> None:
        """Told on the channel or by its stand-in: each at least once, and at most once without a mark."""
        both = self.far[SINGLES], self.far[STAND_IN]
        assert both[0].lines() + both[1].lines() >= wanted
        unmarked = both[0].lines(unmarked=True) + both[1].lines(unmarked=True)
        assert unmarked <= wanted, f"told twice without a mark: {unmarked - wanted}"

    def _repeats_have_causes(self) -> None:
        """A mark only where an attempt may have come through: no answer, or a kill."""
        unanswered = set().union(*(receiver.unanswered for receiver in self.far.values()))
        for receiver in self.far.values():
            for _, text in receiver.reached:
                assert REPEAT not in text.title or unanswered or self.kills

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        try:
            if sys.exc_info()[1] is None:
                self.all_is_well_for_a_while()
                event(f"kills: {min(self.kills, 3)}")
        finally:
            if self.life:
                self.life.database.close()
            self.folder.cleanup()


def expected(sighted: list[Written]) -> list[tuple[Written, str]]:
    """Design section 4 once more, for verified mails: what is decided on each sighting, in their order."""
    found: list[tuple[Written, str]] = []
    for mail in sighted:
        before = [each for each, _ in found if each.order == mail.order]
        found.append((mail, _decision(mail, before)))
    return found


def _decision(mail: Written, before: list[Written]) -> str:  # noqa: PLR0911 - one return a row
    asked = [each for each in before if each.kind in {"request", "wish"}]
    if mail in before:
        return "join"
    if mail.kind == "possible":
        return "join" if asked else "open"
    if not asked:
        return "open"
    was_official = any(each.kind == "request" for each in asked)
    if mail.kind == "request" and not was_official:
        return "reopen"
    if mail.kind == "wish" and was_official:
        return "join"
    others = [each for each in asked if each.route != mail.route]
    if _in_rollout(mail) and any(_in_rollout(each) for each in others):
        return "join"
    return "join" if any(abs(mail.received - each.received) <= SOON for each in asked) else "reopen"


def _in_rollout(mail: Written) -> bool:
    return ROLLOUT[0] <= mail.received < ROLLOUT[1]


# Minutes of shrinking help only who has to read the story.
PHASES = [phase for phase in Phase if phase is not Phase.shrink or "MAILWATCH_NO_SHRINK" not in os.environ]
Shop.TestCase.settings = settings(
    phases=PHASES,
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    suppress_health_check=list(HealthCheck),
    deadline=None,
    report_multiple_bugs=False,
)
TestShop = Shop.TestCase


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of log lines help nobody."""
    log._is_muted.set()
    yield
    log._is_muted.clear()


def test_the_model_answers_as_a_mailbox_on_a_wire_does() -> None:
    """Planted fault: the model's SINCE leaves out the day itself: red."""
    bodies = [mails.by_message(mails.order_id(1)), mails.wish(mails.order_id(2)), mails.neighbour(3), possible("x")]
    days = [EPOCH - timedelta(days=number) for number in (9, 5, 3, 0)]
    model = ModelledServer(lambda: EPOCH)
    with ScriptedImap() as server:
        for body, day in zip(bodies, days, strict=True):
            model.deliver(body, "INBOX", received=day)
            server.deliver(body, when=day)
        model.expunge("INBOX", 2)
        server.expunge(2)
        ours = model.open("INBOX")
        real = mailbox.log_in(Server(server.host, server.port, None, server.user, Secret(server.password)))
        theirs = real.open("INBOX")
        assert theirs is not None
        assert (ours.uidvalidity, ours.uidnext, ours.exists) == (theirs.uidvalidity, theirs.uidnext, theirs.exists)
        assert (ours.mode, ours.is_junk, ours.watched_as) == (theirs.mode, theirs.is_junk, theirs.watched_as)
        for since in [date(2022, 6, 15), date(2022, 6, 16), date(2022, 6, 19)]:
            assert ours.uids(since=since) == theirs.uids(since=since)
        for above in [0, 2, 3, 4, 90]:
            assert ours.uids(above=above) == theirs.uids(above=above)
        assert ours.uids() == theirs.uids() == [1, 3, 4]
        heads = list(theirs.headlines([1, 2, 3, 4]))
        assert list(ours.headlines([1, 2, 3, 4])) == heads
        assert list(ours.identities([2, 3])) == list(theirs.identities([2, 3]))
        for head in [*heads, replace(heads[0], uid=2)]:
            here, there = ours.text(head), theirs.text(head)
            assert (here and here.content_key()) == (there and there.content_key())
        assert not ours.news
        assert not theirs.news
        model.deliver(bodies[0], "INBOX")
        server.deliver(bodies[0])
        theirs.noop()
        assert ours.news
        assert theirs.news
        theirs.close()


# ---- what the machine found, told straight ----


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[tuple[WorldClock, ModelledServer, dict[str, Receiver], Life]]:
    """A clock, a server, the receivers, and a process that has done nothing yet."""
    made = configuration()
    made = replace(made, watch=replace(made.watch, state_dir=tmp_path / "state"))
    clock = WorldClock(EPOCH)
    server = ModelledServer(clock.true)
    far = {channel.name: Receiver(channel.name) for channel in made.channels}
    life = Life(made, clock, server, far)
    yield clock, server, far, life
    life.database.close()


def test_a_digest_that_is_owed_for_over_a_day_is_told_and_what_waits_behind_it(
    stage: tuple[WorldClock, ModelledServer, dict[str, Receiver], Life],
) -> None:
    """A channel that is dead for a day, at a first start. The digest could not be worded any more, and nothing of what
    waited behind it was ever told."""
    clock, server, far, life = stage
    orders = [mails.order_id(number) for number in range(3)]
    for order in orders[:2]:
        server.deliver(mails.by_message(order), "INBOX")
    far[DIGESTS].mode = "down"
    life.search("INBOX")
    server.deliver(mails.by_message(orders[2]), "INBOX")
    life.search("INBOX")
    for _ in range(26):
        life.send(life.channels[0])
        clock.passed += 3600.0
    far[DIGESTS].mode = "up"
    life.send(life.channels[0])
    assert far[DIGESTS].lines() == Counter(orders)


def test_a_mail_that_is_shown_and_cannot_be_fetched_for_some_searches_is_told_or_told_of(
    stage: tuple[WorldClock, ModelledServer, dict[str, Receiver], Life],
) -> None:
    """A provider whose store is in trouble answers NIL for a while. R11: what was not read is not marked as handled."""
    clock, server, far, life = stage
    life.search("INBOX")
    server.deliver(mails.by_message(mails.order_id(1)), "INBOX")
    for _ in range(2):
        clock.passed += 60.0
        server.meanwhile = lambda mail: True
        life.search("INBOX")
    for _ in range(12):
        clock.passed += 60.0
        life.search("INBOX")
        life.send(life.channels[0])
    assert far[DIGESTS].reached


def test_after_a_restored_backup_a_new_mail_is_told_by_the_next_search(
    stage: tuple[WorldClock, ModelledServer, dict[str, Receiver], Life],
) -> None:
    """UIDNEXT went back with it, and the new mail gets a UID that another had: each mail to come would wait."""
    clock, server, far, life = stage
    life.search("INBOX")
    server.back_up("INBOX")
    for number in range(3):
        server.deliver(mails.neighbour(number), "INBOX", received=EPOCH - timedelta(hours=number))
    life.search("INBOX")
    server.restore("INBOX", 0)
    life.search("INBOX")
    server.deliver(mails.by_message(mails.order_id(1)), "INBOX")
    clock.passed += 60.0
    life.search("INBOX")
    life.send(life.channels[0])
    assert far[DIGESTS].lines() == Counter([mails.order_id(1)])


# ---- teeth ----

FAULTS = {
    "settled before it is sent": (
        "watch/channel.py",
        "    outcome = send(text, entry.id)\n",
        "    store.outbox.settle(entry, clock.now())\n    outcome = send(text, entry.id)\n",
    ),
    "seen before it is recorded": (
        "store.py",
        "        with self._database.transaction():\n            if not self.folders.insert(reading.mail):\n",
        "        with self._database.transaction():\n            is_new = self.folders.insert(reading.mail)\n"
        "        with self._database.transaction():\n            if not is_new:\n",
    ),
    "a high-water mark": ("watch/search.py", "RELIST_SECONDS = 540.0", "RELIST_SECONDS = 1e9"),
    "a UID is an identity": (
        "watch/search.py",
        "            if _is_among(recorded[uid], arrival, size):\n                confirmed.add(uid)\n",
        "            confirmed.add(uid)\n",
    ),
    "no content key": (
        "store.py",
        '        if row is not None and _RANK[Trust(row["trust"])] >= _RANK[trust]:\n            return True\n',
        "",
    ),
    "a kill in the send window is forgotten": ("outbox.py", "attempts + 1, unsure = 1,", "attempts + 1,"),
    "a retry waits by the wall clock": (
        "watch/channel.py",
        "self._clock.monotonic()",
        "self._clock.now().timestamp()",
    ),
}


def _goes_red(name: str, plant: tuple[str, str, str], folder: Path) -> bool:
    """Plant a fault into a copy of the tree and run the machine there."""
    tests = Path(__file__).parent
    shutil.copytree(tests.parent / "mailwatch", folder / "mailwatch")
    shutil.copytree(tests, folder / "tests")
    shutil.copy(tests.parent / "pyproject.toml", folder)
    path, old, new = folder / "mailwatch" / plant[0], plant[1], plant[2]
    text = path.read_text("utf-8")
    if old not in text:
        raise ValueError(f"{name}: the place in {plant[0]} is no more")
    path.write_text(text.replace(old, new), "utf-8")
    environment = {"MAILWATCH_EXAMPLES": "500", "MAILWATCH_NO_SHRINK": "1", "PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "tests/test_state_machine.py", "-k", "TestShop"]
    ran = subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False)
    why = [line for line in ran.stdout.splitlines() if line.startswith("E ") and "Error" in line]
    sys.stdout.write(f"{'red' if ran.returncode == 1 else 'GREEN'}  {name}: {why[0][:150] if why else ''}\n")
    sys.stdout.flush()
    return ran.returncode == 1


def main() -> int:
    """Plant every fault, or those named; 1 where one stays green."""
    chosen = sys.argv[1:] or list(FAULTS)
    red = []
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix="mailwatch-plant-") as folder:
            red.append(_goes_red(name, FAULTS[name], Path(folder)))
    return 0 if all(red) else 1


if __name__ == "__main__":
    sys.exit(main())
