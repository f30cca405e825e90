"""Sending what is owed to one channel, in order."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, replace
from datetime import datetime

from mailwatch import log, retry, texts
from mailwatch.alert import Alert, Digest, FaultNews, Stage, TestAlert
from mailwatch.clock import Clock
from mailwatch.config import Channel, Config, audience
from mailwatch.episode import CHANNEL, REFUSED
from mailwatch.errors import Fault, StoreError
from mailwatch.fares import ChannelState
from mailwatch.health import STAND_IN_AFTER
from mailwatch.outbox import OutboxEntry
from mailwatch.rows import ODD
from mailwatch.services import Cause, Outcome, Result
from mailwatch.store import Store
from mailwatch.texts import Text
from mailwatch.transport import Sender
from mailwatch.watch.signals import Progress, SenderOf, Signals, why

# How often the outbox is looked at where nobody says that something is owed: a `check --send` beside us can't.
_LOOK_SECONDS = 10.0
# Over a send's own deadline and the store's busy time-out: who is later hangs.
_STEP_SECONDS = 120.0
# After so many answers it is found out whether the channel fails, or the alert.
_ANSWERED = 5
# Of a monthly quota so many are kept for verified requests (design section 6), and at most half of it.
_KEPT_OF_MONTH = 50


def kept_of_month(limit: int) -> int:
    """How many messages of a monthly limit are kept for verified requests."""
    return min(_KEPT_OF_MONTH, limit // 2)


def is_rationed(channel: Channel, fares: ChannelState) -> bool:
    """Whether what is left of the month is kept for verified requests."""
    limit = channel.monthly_limit
    return bool(limit) and fares.sent_this_month >= limit - kept_of_month(limit)


class ChannelWorker:
    """Sends what is owed to one channel, in order."""

    def __init__(self, config: Config, channel: Channel, sender_of: SenderOf, signals: Signals, clock: Clock) -> None:
        self.name = f"channel/{channel.name}"
        self._config = config
        self.channel = channel
        self._send = sender_of(channel)
        self._signals = signals
        self._owed = signals.owed[channel.name]
        self._clock = clock
        self._wait_until: float | None = None
        # The wait was named by the service, or is an earlier run's: nothing ends it but time.
        self._is_wait_named = True
        self._recoveries = signals.recoveries
        self._failures = 0
        self._is_abandoned = False
        self.progress = Progress(clock)

    def abandon(self) -> None:
        """From another thread: it hangs, and another takes its place; should it wake, it ends."""
        self._is_abandoned = True

    @property
    def _is_over(self) -> bool:
        return self._is_abandoned or self._signals.stop.is_set()

    def run(self) -> None:
        """Send what is due and wait for more, until told to stop."""
        while not self._is_over:
            try:
                self._work()
                return
            except Exception as fault:  # noqa: BLE001 - the one broad except: a worker never dies
                self._failures += 1
                delay = retry.reconnect_delay(self._failures, random.random())  # noqa: S311 - jitter
                if isinstance(fault, StoreError):
                    delay = min(delay, retry.STORE_CAP)
                    self._signals.store_faults[self.name] = fault
                    log.store_failed(self.name, why(fault), delay)
                else:
                    log.worker_failed(self.name, fault, delay)
                self.progress.rest(delay)
                self._clock.wait(self._signals.stop, delay)

    def _work(self) -> None:
        store = Store.open(self._config.watch.state_dir, self._signals.store_file)
        try:
            while not self._is_over:
                self._owed.clear()
                self.progress.expect(_STEP_SECONDS)
                seconds = self.step(store)
                self._signals.store_faults.pop(self.name, None)
                self.progress.rest(seconds)
                self._clock.wait(self._owed, seconds)
        finally:
            store.close()

    def step(self, store: Store) -> float:
        """Send the alert that is due, if one is; the seconds until the next step."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        if self._wait_until is None:
            # After a start: what was left of the wait that an earlier run had to keep.
            is_mended = store.outbox.fares.is_new_url(self.channel.name, self.channel.url)
            left = 0.0 if is_mended else store.outbox.fares.of(self.channel.name, now).left_to_wait(now)
            self._wait_until = monotonic + left
        self._hear_of_recovery(monotonic)
        store.outbox.forget_private(now)
        is_waiting = monotonic < self._wait_until
        entry = store.outbox.due_test(self.channel.name, now) if is_waiting else self._due(store, now)
        if entry is None:
            return min(self._wait_until - monotonic, _LOOK_SECONDS) if is_waiting else self._pause(store)
        delivered = deliver(store, self._config, self.channel, self._send, entry, self._clock)
        if _is_stuck(entry, delivered.outcome) and (behind := self._due(store, now, besides=entry)):
            delivered = self._try_behind(store, entry, behind, delivered)
        self._failures = 0
        until = self._clock.monotonic() + delivered.delay
        if delivered.outcome.result is Result.ACCEPTED:
            # As a test alert may be in the middle of a wait: the channel works again.
            self._wait_until = until
        else:
            self._wait_until = max(self._wait_until, until)
            self._is_wait_named = delivered.outcome.retry_after > 0.0 or (is_waiting and self._is_wait_named)
            self._signals.trouble.set()
        if delivered.is_recovery:
            self._signals.recoveries += 1
            self._recoveries = self._signals.recoveries
        if delivered.is_news or delivered.is_recovery:
            self._signals.wake_channels(besides=self.channel.name)
        return 0.0

    def _hear_of_recovery(self, monotonic: float) -> None:
        """Another channel accepts again: what kept it back may be over here too, so the wait is."""
        if self._recoveries != self._signals.recoveries:
            self._recoveries = self._signals.recoveries
            if not self._is_wait_named:
                self._wait_until = monotonic

    def _try_behind(self, store: Store, entry: OutboxEntry, behind: OutboxEntry, failed: Delivered) -> Delivered:
        """Is it the channel, or this alert? One that it does not accept while it accepts the next waits by itself."""
        other = deliver(store, self._config, self.channel, self._send, behind, self._clock)
        if other.outcome.result is not Result.ACCEPTED:
            return replace(other, delay=max(other.delay, failed.delay), is_news=other.is_news or failed.is_news)
        refused = replace(failed.outcome, result=Result.REFUSED, cause=Cause.REFUSED)
        is_unsure = entry.is_unsure or failed.outcome.result is Result.AMBIGUOUS
        tried = replace(entry, is_unsure=is_unsure)
        apart = _not_accepted(store, self._config, self.channel, tried, refused, self._clock)
        return replace(apart, is_news=apart.is_news or other.is_news, is_recovery=other.is_recovery)

    def _due(self, store: Store, now: datetime, besides: OutboxEntry | None = None) -> OutboxEntry | None:
        return store.outbox.due(
            self.channel.name,
            now,
            only_verified=is_rationed(self.channel, store.outbox.fares.of(self.channel.name, now)),
            key_seconds=self.channel.service.key_seconds,
            besides=besides,
        )

    def _pause(self, store: Store) -> float:
        due = store.outbox.next_due(self.channel.name)
        left = (due - self._clock.now()).total_seconds() if due else 0.0
        return left if 0.0 < left < _LOOK_SECONDS else _LOOK_SECONDS


@dataclass(frozen=True, slots=True)
class Delivered:
    """One attempt: its outcome, the seconds until the channel's next, and whether the other channels are told of it.

    `is_recovery`: the channel accepted after it had failed for long enough to be stood in for.
    """

    outcome: Outcome
    delay: float = 0.0
    is_news: bool = False
    is_recovery: bool = False


def deliver(
    store: Store, config: Config, channel: Channel, send: Sender, entry: OutboxEntry, clock: Clock
) -> Delivered:
    """Try once; its outcome is on disk, and what it means for the channel's episode."""
    watch, told_to = config.watch, audience(config.channels, besides=channel.name)
    text, part = _worded(entry, config, channel, clock)
    if not store.outbox.begin_attempt(entry, clock.now()):
        # Another channel that stands in was quicker.
        return Delivered(Outcome(Result.ACCEPTED, "told elsewhere"))
    since = store.outbox.fares.of(channel.name, clock.now()).trying_since
    outcome = send(text, _key(entry, part))
    if outcome.result is Result.ACCEPTED:
        is_recovery = since is not None and clock.now() - since >= STAND_IN_AFTER
        if part is None:
            store.outbox.settle(entry, clock.now())
        else:
            store.outbox.settle_part(entry, part, clock.now())
        order_id = entry.told.order_id if isinstance(entry.told, Alert) else None
        log.alert_sent(channel.name, str(entry.id), order_id or "-", entry.attempts + 1)
        key = CHANNEL + channel.name
        is_over = store.episodes.end(key, told_to, clock.now(), watch.quiet_until(clock.now()))
        if is_over:
            log.fault_over(key)
        return Delivered(outcome, is_news=is_over, is_recovery=is_recovery)
    return _not_accepted(store, config, channel, entry, outcome, clock)


def _not_accepted(
    store: Store, config: Config, channel: Channel, entry: OutboxEntry, outcome: Outcome, clock: Clock
) -> Delivered:
    """It stays owed; what only a person can mend is told on the other channels at once."""
    delay = store.outbox.postpone(entry, outcome, clock.now())
    log.alert_failed(channel.name, str(entry.id), outcome.result, outcome.why, delay)
    begins = _begins(outcome, entry)
    if begins is None:
        return Delivered(outcome, delay)
    told_to = audience(config.channels, besides=channel.name)
    key, fault = begins + channel.name, channel_fault(channel.name, outcome.cause or Cause.REFUSED, begins)
    is_new = store.episodes.begin(key, fault, told_to, clock.now())
    if is_new:
        log.fault_began(key, outcome.why)
    return Delivered(outcome, delay, is_news=is_new)


def _worded(entry: OutboxEntry, config: Config, channel: Channel, clock: Clock) -> tuple[Text, int | None]:
    """Return the text of an entry, and of a digest that does not fit into one how many rows it names.

    Of one that has no text here, as after a downgrade: that it can't be read. It must not hold the rest.
    """
    watch, service = config.watch, channel.service
    how = service.form, watch.language, watch.time_zone, service.limit
    try:
        told = texts.first_part(entry.told, *how) if isinstance(entry.told, Digest) else entry.told
        part = len(told.named) if isinstance(told, Digest) and told is not entry.told else None
        return texts.word(told, *how), part
    except ODD as fault:
        log.worker_failed(f"channel/{channel.name}", fault, 0.0)
        odd = FaultNews(Fault("fault.unreadable_row"), Stage.ONCE, clock.now(), entry.is_unsure)
        return texts.word(odd, *how), None


def _key(entry: OutboxEntry, part: int | None) -> uuid.UUID:
    """Return the idempotency key: each part of a digest has its own, the same at each attempt."""
    if part is None and not entry.told_before:
        return entry.id
    return uuid.uuid5(entry.id, f"{entry.told_before}+{part or 'rest'}")


def _is_stuck(entry: OutboxEntry, outcome: Outcome) -> bool:
    """Return whether answers have kept the alert back so often that they may be about the alert alone.

    Neither silence nor a kill in the middle of an attempt is an answer.
    """
    return entry.answers >= _ANSWERED and outcome.is_service_failing


def _begins(outcome: Outcome, entry: OutboxEntry) -> str | None:
    """The kind of episode that an outcome begins. Who has sent a test alert is told of its refusal there and then."""
    if outcome.result is Result.PERMANENT:
        return CHANNEL
    return REFUSED if outcome.result is Result.REFUSED and not isinstance(entry.told, TestAlert) else None


def channel_fault(name: str, cause: Cause, episode: str = CHANNEL) -> Fault:
    """The fault of a channel that accepts nothing (`CHANNEL`), or has refused one alert by itself (`REFUSED`)."""
    key = "fault.channel" if episode == CHANNEL else "fault.refused"
    return Fault(key, {"channel": name, "why": Fault(f"channel.{cause}")})
