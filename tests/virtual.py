"""Days and weeks of a `run` in one test: its real workers and its real store, over time that the test moves.

    run = Run(configured(folder, channel("slack")), phones)
    run.record(ONE)
    run.go_on(minutes=1)
    assert phones.orders("slack") == [ONE]

One thread: a worker's step is called when its time has come or somebody woke it, then the clock jumps to the next. A
channel is a function, so `Phones` is the other end of all of them: it remembers what came, and answers as planned. A
worker that waits inside (`FolderWorker.run`, a send that hangs) lets the others go on meanwhile.
"""

from __future__ import annotations

import itertools
import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import mails

from mailwatch import config
from mailwatch.catalogue import Language, say
from mailwatch.clock import Clock
from mailwatch.config import Channel, Config, audience
from mailwatch.folders import MailIdentity
from mailwatch.notice import Kind, Notice, Route
from mailwatch.services import Answer, Cause, Outcome, Result
from mailwatch.services.answer import by_status
from mailwatch.store import Reading, Recorded, Store
from mailwatch.texts import Text
from mailwatch.transport import Sender
from mailwatch.trust import Trust
from mailwatch.watch import loop
from mailwatch.watch.channel import ChannelWorker
from mailwatch.watch.oversight import Oversight
from mailwatch.watch.signals import Signals

NOON = datetime(2022, 8, 8, 3, 0, tzinfo=UTC)  # a Monday in Japan, after the roll-out
ACCEPTED = Outcome(Result.ACCEPTED)
NO_CONNECTION = Outcome(Result.PASSING, "ConnectTimeout", cause=Cause.NETWORK)
NO_ANSWER = Outcome(Result.AMBIGUOUS, "no answer in 40 s", cause=Cause.SILENT)
BEGAN, LASTS, OVER = (say(f"fault.{stage}", "en") for stage in ("began", "lasts", "over"))
WELL, NOT_WELL = (say(f"morning.{how}", "en") for how in ("well", "not_well"))
_DIGEST = say("digest.first_unverified", "en", n="|").partition("|")[2]
ORDER_ID = re.compile(r"\d{3}-\d{7}-\d{7}")
# A worker that is called so often at one moment does not wait at all.
_SPINS = 5_000


def status(code: int, retry_after: float = 0.0) -> Outcome:
    """What a service that mailwatch knows nothing special of means by an HTTP status."""
    return by_status(Answer(code, retry_after=retry_after))


class VirtualClock(Clock):
    """A clock that stands still until it is moved."""

    def __init__(self, start: datetime = NOON) -> None:
        self.passed = 0.0
        self.on_wait: Callable[[float], None] = self.move
        self._start = start
        self._idle = 0

    def now(self) -> datetime:
        """The start, and what has passed."""
        return self._start + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        """What has passed."""
        return self.passed

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Let the time pass, and the others go on meanwhile."""
        if not event.is_set():
            self._idle = 0 if seconds > 0 else self._idle + 1
            assert self._idle < _SPINS, "a worker spins"
            self.on_wait(max(0.0, seconds))
        return event.is_set()

    def move(self, seconds: float) -> None:
        """Let so much pass."""
        self.passed += seconds

    def jump(self, by: timedelta) -> None:
        """The wall clock is set, as by NTP; nothing passes."""
        self._start += by


@dataclass(frozen=True, slots=True)
class Came:
    """What a channel was given to send, when, and what it answered."""

    channel: str
    text: Text
    key: uuid.UUID
    at: datetime
    outcome: Outcome

    @property
    def order(self) -> str | None:
        """The order that an alert is about: the ID on its first line; a digest is about many."""
        first = self.text.body.split("\n", 1)[0]
        return first if ORDER_ID.fullmatch(first) and _DIGEST not in self.text.title else None

    @property
    def is_marked(self) -> bool:
        """Whether it says that it may be a repeat."""
        return say("alert.repeat", "en") in self.text.title


Plan = Callable[[Text], Outcome]


class Phones:
    """The other end of every channel. `plans`: what a channel answers; accepted where nothing is planned."""

    def __init__(self, clock: Clock) -> None:
        self.came: list[Came] = []
        self.plans: dict[str, Outcome | Plan] = {}
        self.clock = clock

    def of(self, channel: Channel) -> Sender:
        """The channel's sender."""

        def send(text: Text, key: uuid.UUID) -> Outcome:
            began = self.clock.now()
            plan = self.plans.get(channel.name, ACCEPTED)
            outcome = plan(text) if callable(plan) else plan
            self.came.append(Came(channel.name, text, key, began, outcome))
            return outcome

        return send

    def attempts(self, channel: str, since: datetime = NOON) -> list[Came]:
        """All that the channel was given since then."""
        return [each for each in list(self.came) if each.channel == channel and each.at >= since]

    def accepted(self, channel: str, since: datetime = NOON) -> list[Came]:
        """What of it was accepted."""
        return [each for each in self.attempts(channel, since) if each.outcome.result is Result.ACCEPTED]

    def orders(self, channel: str, since: datetime = NOON) -> list[str]:
        """The orders that were told there singly, in order."""
        return [each.order for each in self.accepted(channel, since) if each.order]

    def titles(self, channel: str, since: datetime = NOON) -> list[str]:
        """The first lines that were told there, in order."""
        return [each.text.title for each in self.accepted(channel, since)]


def channel(name: str, url: str = "", **options: object) -> str:
    """A section of the configuration: `fallback_for`, `send` and `monthly_limit` as options."""
    lines = [f"name = '{name}'", f"url = '{url or 'json://127.0.0.1/' + name}'"]
    return "\n".join(["[[channels]]", *lines, *(f"{key} = {value!r}" for key, value in options.items()), ""])


def configured(
    folder: Path,
    *sections: str,
    watch: str = "morning_line = ''",
    language: Language = "en",
    folders: tuple[str, ...] = ("INBOX",),
    imap: tuple[str, int] = ("127.0.0.1", 143),
) -> Config:
    """A configuration as a file gives it: one account, and these sections."""
    folder.mkdir(parents=True, exist_ok=True)
    password = folder / "password"
    password.touch(0o600)
    password.write_text("pass-one")
    path = folder / "config.toml"
    path.touch(0o600)
    received_by = ", ".join(f'"{host}"' for host in mails.RECEIVED_BY)
    path.write_text(
        f"[watch]\nstate_dir = '{folder}/state'\nlanguage = '{language}'\n{watch}\n"
        "[[accounts]]\nname = 'shop'\ntls = 'off'\nuser = 'seller@example.test'\npassword_file = 'password'\n"
        f"folders = {list(folders)}\nhost = '{imap[0]}'\nport = {imap[1]}\n"
        f"authserv_id = '{mails.AUTHSERV_ID}'\nreceived_by = [{received_by}]\n" + "".join(sections),
        "utf-8",
    )
    return config.load(path, {})


_uid = itertools.count(1)


def reading(order: str | None, kind: Kind, trust: Trust, at: datetime) -> Reading:
    """A new mail that says this of an order."""
    uid = next(_uid)
    route = Route.MESSAGE if kind is Kind.WISH else Route.NOTIFICATION
    said = Notice(kind, trust, route, marketplace="JP", order_id=order)
    return Reading(MailIdentity("shop", "INBOX", 7, uid, at, 1000), "shop", f"content {uid}".encode(), (said,))


class Run:
    """The workers of one `run` on a store; a second object on the same folder is the `run` after a restart.

    `is_searching`: whether INBOX has a good search each minute. `pace`: the others are looked at only every so many
    seconds while one waits inside.
    """

    def __init__(self, made: Config, phones: Phones, clock: VirtualClock, *, is_searching: bool = True) -> None:
        self.config = made
        self.clock = clock
        self.signals = Signals(owed={each.name: threading.Event() for each in made.channels})
        self.is_searching = is_searching
        self.pace = 0.0
        loop.prepare(made.watch.state_dir, made, clock)
        self.store = Store.open(made.watch.state_dir)
        # What a power loss does is test_store's; here weeks pass.
        self.store._database.one("PRAGMA synchronous = OFF")
        self.store._database.one("PRAGMA journal_mode = MEMORY")
        if is_searching and self.store.folders.state("shop", "INBOX") is None:
            self.store.folders.start("shop", "INBOX", 7, 0, "idle")
        self.channels = [ChannelWorker(made, each, phones.of, self.signals, clock) for each in made.channels]
        self.oversight = Oversight(made, phones.of, self.signals, clock)
        self._steps: dict[str, Callable[[], float]] = {
            "search": self._search,
            **{each.name: partial(each.step, self.store) for each in self.channels},
            "oversight": lambda: self.oversight.look(self.store),
        }
        self._events = {"oversight": self.signals.trouble}
        self._events |= {f"channel/{name}": event for name, event in self.signals.owed.items()}
        self._due = dict.fromkeys(self._steps, clock.passed)
        self._busy: set[str] = set()
        self._plans: list[tuple[float, Callable[[], object]]] = []
        clock.on_wait = self._go_on

    def close(self) -> None:
        """The process ends."""
        self.store.close()
        self.clock.on_wait = self.clock.move

    def record(self, order: str | None, kind: Kind = Kind.REQUEST, trust: Trust = Trust.VERIFIED) -> list[Recorded]:
        """A mail came, and its folder's worker recorded it."""
        now = self.clock.now()
        hold_until = self.config.watch.quiet_until(now)
        told = audience(self.config.channels)
        found = self.store.record(reading(order, kind, trust, now), self.config.rules, told, now, hold_until)
        self.signals.wake_channels()
        return found

    def at(self, moment: datetime, action: Callable[[], object]) -> None:
        """Plan something for a moment."""
        self._plans.append((self.clock.passed + (moment - self.clock.now()).total_seconds(), action))
        self._plans.sort(key=lambda plan: plan[0])

    def go_on(self, *, until: datetime | None = None, pace: float = 0.0, **time: float) -> None:
        """Go on for so long (`minutes=5`) or until a moment. `pace`: look only every so many seconds, for weeks."""
        seconds = (until - self.clock.now()) if until else timedelta(**time)
        self._go_on(seconds.total_seconds(), pace)

    def owed(self) -> int:
        """How many rows are owed, to whomever."""
        row = self.store._database.one("SELECT count(*) AS n FROM outbox WHERE settled_at IS NULL")
        return int(row["n"]) if row else 0

    def _go_on(self, seconds: float, pace: float = 0.0) -> None:
        end, pace = self.clock.passed + seconds, pace or self.pace
        while not self.signals.stop.is_set():
            self._turn()
            free = [at for name, at in self._due.items() if name not in self._busy]
            planned = self._plans[0][0] if self._plans else end + 1
            on_pace = (self.clock.passed // pace + 1) * pace if pace else 0.0
            next_at = min(max(min(free), on_pace), max(planned, self.clock.passed))
            if next_at > end:
                break
            self.clock.passed = max(next_at, self.clock.passed)
        self.clock.passed = max(end, self.clock.passed)

    def _turn(self) -> None:
        """Everything that is to be done at this moment."""
        for _ in range(_SPINS):
            while self._plans and self._plans[0][0] <= self.clock.passed:
                self._plans.pop(0)[1]()
            ready = [name for name in self._steps if name not in self._busy and self._is_due(name)]
            if not ready:
                return
            for name in ready:
                self._step(name)
        raise AssertionError(f"{ready} spin")

    def _is_due(self, name: str) -> bool:
        event = self._events.get(name)
        return self._due[name] <= self.clock.passed or bool(event and event.is_set())

    def _step(self, name: str) -> None:
        if event := self._events.get(name):
            event.clear()
        self._busy.add(name)
        try:
            delay = self._steps[name]()
        finally:
            self._busy.discard(name)
        self._due[name] = self.clock.passed + delay

    def _search(self) -> float:
        if self.is_searching:
            self.store.folders.good_search("shop", "INBOX", self.clock.now())
        return 60.0
