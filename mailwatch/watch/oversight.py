"""What no worker sees by itself: faults that last, channels to stand in, digests, the morning line, a full disk."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from mailwatch import health, log, retry, schedule, texts
from mailwatch.alert import FaultNews, Stage
from mailwatch.clock import Clock
from mailwatch.config import Channel, Config, audience
from mailwatch.episode import CHANNEL, REFUSED, SLOW
from mailwatch.errors import Fault, StoreError
from mailwatch.fares import CLOCKS_AGREE, ChannelState
from mailwatch.health import FolderHealth, Health
from mailwatch.services import Cause, Result
from mailwatch.store import Store
from mailwatch.watch.channel import channel_fault, is_rationed, kept_of_month
from mailwatch.watch.signals import Progress, SenderOf, Signals, why

_TICK_SECONDS = 10.0
_TICK_IN_TROUBLE = 2.0
# Over all that one look may wait for a busy store; who is later hangs.
_LOOK_SECONDS = 120.0
# After a start, a jump of the clock or a full disk nothing is judged until the folders could have been searched.
_GRACE_SECONDS = 120.0
_JUMP_SECONDS = 30.0
_FORGET_SECONDS = 3600.0
_STORE_FAULT_EVERY = 3600.0
_STORE_FAILED_FOR = 20.0
# A file that does not come back: `run` sets it aside, or goes on with the one that is in its place.
_LOST = {"store.damaged", "store.replaced"}


class Oversight:
    """Looks at the store again and again, and tells what is not well."""

    name = "oversight"

    def __init__(
        self,
        config: Config,
        sender_of: SenderOf,
        signals: Signals,
        clock: Clock,
        replace_late: Callable[[], None] = lambda: None,
        reopen: Callable[[], None] = lambda: None,
    ) -> None:
        """`replace_late` puts new workers in place of those that hang.

        `reopen` is called while the store is damaged, gone or replaced, and when a channel's worker sleeps: all workers
        are to begin again.
        """
        self._reopen = reopen
        self._config = config
        self._replace_late = replace_late
        self._signals = signals
        self._clock = clock
        self._audience: Sequence[tuple[str, frozenset[str]]] = audience(config.channels)
        self._started = clock.now()
        self._grace_from = clock.monotonic()
        self._looked_at = self._started, self._grace_from
        self._failures = 0
        self._forget_at = 0.0
        self._failing: set[str] = set()
        # By channel: when it last kept up, or accepted nothing at all.
        self._not_behind = {channel.name: self._grace_from for channel in config.channels}
        self._rationed: set[str] = set()
        self._store_fault = _StoreFault(config, sender_of, clock)
        self.progress = Progress(clock)
        # What the latest look saw: the health, or why the store could not be looked at.
        self.seen: Health | Fault | None = None

    def run(self) -> None:
        """Look every few seconds, until told to stop."""
        while not self._signals.stop.is_set():
            try:
                self._work()
                return
            except StoreError as fault:
                self.seen = fault.fault
                self._replace_late()
                self._store_fault.there(fault)
                log.store_failed(self.name, why(fault), _TICK_SECONDS)
                if fault.fault.key in _LOST:
                    self._reopen()
                self.progress.rest(_TICK_SECONDS)
                self._clock.wait(self._signals.stop, _TICK_SECONDS)
            except Exception as fault:  # noqa: BLE001 - the one broad except: a worker never dies
                self._failures += 1
                delay = retry.reconnect_delay(self._failures, random.random())  # noqa: S311 - jitter
                log.worker_failed(self.name, fault, delay)
                self.progress.rest(delay)
                self._clock.wait(self._signals.stop, delay)

    def _work(self) -> None:
        self.progress.expect(_LOOK_SECONDS)
        store = Store.open(self._config.watch.state_dir, self._signals.store_file)
        try:
            while not self._signals.stop.is_set():
                self._signals.trouble.clear()
                self.progress.expect(_LOOK_SECONDS)
                self._replace_late()
                seconds = self.look(store)
                self.progress.rest(seconds)
                until = self._clock.monotonic() + seconds
                self._clock.wait(self._signals.trouble, seconds)
                if self._clock.monotonic() - until > _JUMP_SECONDS:
                    # The process was stopped (SIGSTOP, Ctrl-Z): as long as that nobody could have searched.
                    self._grace_from = self._clock.monotonic()
        finally:
            store.close()

    def look(self, store: Store) -> float:
        """Look once; the seconds until the next look."""
        store.check_writable()
        if self._signals.store_faults:
            # A disk is full long before nothing at all can be written: whoever failed knows it.
            raise next(iter(self._signals.store_faults.values()))
        now = self._clock.now()
        self._note_jumps(now)
        if self._store_fault.gone():
            self._grace_from = self._clock.monotonic()
        state = self.seen = state_of(store, self._config, now)
        self._folders(store, state.folders, now)
        for each in state.channels:
            if not _is_behind(each, now):
                self._not_behind[each.name] = self._clock.monotonic()
        self._failing = {fares.name for fares in state.channels if self._stand_in_since(fares, now) is not None}
        self._rationed = {
            channel.name
            for channel, fares in zip(self._config.channels, state.channels, strict=True)
            if is_rationed(channel, fares)
        }
        is_trouble = False
        for channel, fares in zip(self._config.channels, state.channels, strict=True):
            is_trouble |= self._channel(store, channel, fares, now)
        self._reports(store, state, now)
        if self._clock.monotonic() >= self._forget_at:
            store.forget_old(now)
            self._forget_at = self._clock.monotonic() + _FORGET_SECONDS
        self._failures = 0
        return _TICK_IN_TROUBLE if is_trouble else _TICK_SECONDS

    def _note_jumps(self, now: datetime) -> None:
        """A wall clock that jumps makes everything look old: as after a start, nothing is judged for a while."""
        monotonic = self._clock.monotonic()
        passed = (now - self._looked_at[0]).total_seconds() - (monotonic - self._looked_at[1])
        if abs(passed) > _JUMP_SECONDS:
            self._grace_from = monotonic
        self._looked_at = now, monotonic

    @property
    def _is_grace(self) -> bool:
        return self._clock.monotonic() - self._grace_from < _GRACE_SECONDS

    # ---- folders ----

    def _folders(self, store: Store, folders: Sequence[FolderHealth], now: datetime) -> None:
        """A folder without a good search for 15 minutes, whatever the reason."""
        for folder in folders:
            key = f"stale/{folder.account}/{folder.folder}"
            if not health.is_stale(folder, now, health.STALE_AFTER):
                self._over(store, key, now)
                continue
            since = folder.last_good_search or self._started
            if now - since > health.STALE_AFTER and not self._is_grace and not self._is_told(store, folder):
                self._began_fault(store, key, _stale(folder, self._said_of(folder)), now)

    def _said_of(self, folder: FolderHealth) -> Fault | None:
        """Why there is no connection to the folder, or to one of those of a role, where that is known."""
        known = list(self._signals.unreachable.items())
        place = folder.account, folder.folder
        return next((said for (*where, _), said in known if tuple(where) == place), None)

    def _is_told(self, store: Store, folder: FolderHealth) -> bool:
        """Whether a better known reason is told already: a refused login, a missing folder."""
        known = {f"login/{folder.account}", f"folder/{folder.account}/{folder.folder}"}
        return any(episode.key in known for episode in store.episodes.open())

    # ---- channels ----

    def _channel(self, store: Store, channel: Channel, fares: ChannelState, now: datetime) -> bool:
        """Whether the channel fails. Long enough, and it is told on the others; a stand-in steps in before that."""
        self._quota(store, channel, fares, now)
        if fares.owed:
            # What it refused by itself is owed too.
            self._stand_in(store, channel, now, self._stand_in_since(fares, now))
        if _is_dead(fares, now) and not self._is_grace:
            cause = fares.last.cause if fares.last else None
            self._began_fault(store, CHANNEL + channel.name, channel_fault(channel.name, cause or Cause.SILENT), now)
        elif self._is_asleep(fares, now):
            minutes = int(health.DEAD_AFTER.total_seconds() // 60)
            asleep = Fault("fault.asleep", {"channel": channel.name, "minutes": str(minutes)})
            if self._began_fault(store, CHANNEL + channel.name, asleep, now):
                self._reopen()
        if self._is_slow(fares, now):
            minutes = int(health.SLOW_AFTER.total_seconds() // 60)
            slow = Fault("fault.slow", {"channel": channel.name, "minutes": str(minutes)})
            self._began_fault(store, SLOW + channel.name, slow, now)
        elif fares.oldest_waiting is None or now - fares.oldest_waiting <= health.IN_TIME:
            self._over(store, SLOW + channel.name, now)
        if not store.outbox.has_refused(channel.name):
            self._over(store, REFUSED + channel.name, now)
        return fares.trying_since is not None and fares.owed > 0

    def _is_asleep(self, fares: ChannelState, now: datetime) -> bool:
        return not self._is_grace and _is_asleep(fares, now)

    def _is_slow(self, fares: ChannelState, now: datetime) -> bool:
        """Whether the channel accepts too slowly: it accepted something lately, and an alert waits for 5 minutes. What
        waited when the channel came back, or when the watching began, had as long to go."""
        if fares.oldest_waiting is None or fares.last_success is None or self._is_grace:
            return False
        if not _is_behind(fares, now) or now - fares.last_success >= health.SLOW_AFTER:
            return False
        behind = self._clock.monotonic() - self._not_behind[fares.name]
        return behind >= health.SLOW_AFTER.total_seconds() and now - fares.oldest_waiting >= health.SLOW_AFTER

    def _stand_in_since(self, fares: ChannelState, now: datetime) -> datetime | None:
        if self._is_asleep(fares, now) or self._is_slow(fares, now):
            return now - health.STAND_IN_AFTER
        return _stand_in_since(fares, now)

    def _stand_in(self, store: Store, channel: Channel, now: datetime, since: datetime | None) -> None:
        by = [(other.name, other.send) for other in self._config.channels if channel.name in other.fallback_for]
        if not by:
            return
        rows = store.outbox.stand_in(channel.name, by, now, since, failing=self._failing, rationed=self._rationed)
        if rows:
            log.stood_in(channel.name, rows)
            self._signals.wake_channels()

    def _quota(self, store: Store, channel: Channel, fares: ChannelState, now: datetime) -> None:
        """That what is left of the month is kept is told with the last message before, so that all of it is left."""
        limit, key = channel.monthly_limit, f"quota/{channel.name}"
        kept = kept_of_month(limit)
        if limit and fares.sent_this_month >= limit - kept - 1:
            self._began_fault(store, key, Fault("fault.quota", {"channel": channel.name, "left": str(kept)}), now)
        else:
            self._over(store, key, now)

    # ---- digests and mornings ----

    def _reports(self, store: Store, state: Health, now: datetime) -> None:
        watch = self._config.watch
        hold = watch.quiet_until(now)
        # Where nobody takes digests each takes this one: what it names or counts would be told to nobody.
        everybody = [name for name, kinds in self._audience if kinds]
        is_told = store.reports.tell_digest(self._takes("digest") or everybody, now, hold)
        is_told |= store.reports.tell_overdue_gathered(self._audience, now)
        morning = schedule.last_at(watch.morning_line or schedule.DEFAULT_MORNING, now, watch.time_zone)
        if self._morning_line(store, state, morning, now, hold):
            # It names what lasts: a reminder beside it would say the same again.
            others = [(name, kinds) for name, kinds in self._audience if "digest" not in kinds]
            store.episodes.remind(morning, others, now, hold)
            is_told = True
        if not self._is_grace:
            # Beside a morning line that waits, a reminder would say the same twice.
            is_told |= bool(store.episodes.remind(morning, self._audience, now, hold))
        if is_told:
            self._signals.wake_channels()

    def _morning_line(
        self, store: Store, state: Health, morning: datetime, now: datetime, hold_until: datetime | None
    ) -> bool:
        """Tell the morning line, where it is time; whether it was told. Not before the folders could be searched."""
        if self._config.watch.morning_line is None or not store.reports.morning_due(morning, now):
            return False
        troubles = health.troubles(state, now, health.fresh_within(slice_seconds(self._config)))
        if troubles and self._is_grace:
            return False
        lasting = tuple(episode.fault for episode in store.episodes.open())
        # Of an account that can't be searched nobody knows.
        unseen = {each.account for each in state.folders if health.is_stale(each, now, health.STALE_AFTER)}
        quiet = store.reports.quiet([each.name for each in self._config.accounts if each.name not in unseen], now)
        store.reports.tell_morning(self._takes("digest"), lasting or troubles, now, hold_until, quiet)
        return True

    def _takes(self, kind: str) -> list[str]:
        return [name for name, kinds in self._audience if kind in kinds]

    # ---- episodes ----

    def _told(self, key: str) -> Sequence[tuple[str, frozenset[str]]]:
        """To whom a fault's news go: of a channel's own to the others, its stand-in among them."""
        kind, _, name = key.partition("/")
        is_channels = f"{kind}/" in {CHANNEL, REFUSED, SLOW}
        return audience(self._config.channels, besides=name) if is_channels else self._audience

    def _began_fault(self, store: Store, key: str, fault: Fault, now: datetime) -> bool:
        """Tell the fault where it is new; whether it is."""
        is_new = store.episodes.begin(key, fault, self._told(key), now)
        if is_new:
            log.fault_began(key, fault.key)
            self._signals.wake_channels()
        return is_new

    def _over(self, store: Store, key: str, now: datetime) -> None:
        if store.episodes.end(key, self._told(key), now, self._config.watch.quiet_until(now)):
            log.fault_over(key)
            self._signals.wake_channels()


class _StoreFault:
    """A store that can't be written can't hold what is owed: told without it, at once and then once an hour."""

    def __init__(self, config: Config, sender_of: SenderOf, clock: Clock) -> None:
        self._watch = config.watch
        self._channels = config.channels
        self._sender_of = sender_of
        self._clock = clock
        self._since: datetime | None = None
        self._failing_since = 0.0
        self._told_at: float | None = None
        self._fault = Fault("fault.store")

    def there(self, fault: StoreError) -> None:
        """The store could not be written just now; a moment of that is nobody's business."""
        monotonic = self._clock.monotonic()
        if self._since is None:
            self._since, self._failing_since = self._clock.now(), monotonic
        if monotonic - self._failing_since < _STORE_FAILED_FOR:
            return
        if self._told_at is None or monotonic - self._told_at >= _STORE_FAULT_EVERY:
            self._fault = Fault("fault.store", {"why": fault.fault})
            self._tell(Stage.LASTS if self._told_at is not None else Stage.BEGAN)
            self._told_at = monotonic

    def gone(self) -> bool:
        """The store can be written; whether that is new."""
        was_there = self._since is not None
        if self._told_at is not None:
            self._tell(Stage.OVER)
        self._since = self._told_at = None
        return was_there

    def _tell(self, stage: Stage) -> None:
        news = FaultNews(self._fault, stage, self._since or self._clock.now())
        log.store_fault_told(stage)
        for channel in self._channels:
            if "fault" in channel.send:
                service, watch = channel.service, self._watch
                text = texts.word(news, service.form, watch.language, watch.time_zone, service.limit)
                send = self._sender_of(channel)
                threading.Thread(target=send, args=(text, uuid.uuid4()), name="store-fault", daemon=True).start()


def _stale(folder: FolderHealth, said: Fault | None) -> Fault:
    """The fault of a folder without a good search. `said`: why there is no connection, where that is known."""
    minutes = str(int(health.STALE_AFTER.total_seconds() // 60))
    account, name = folder.account, folder.folder
    if said is None:
        return Fault("fault.stale", {"account": account, "folder": name, "minutes": minutes})
    return Fault("fault.stale_said", {"account": account, "folder": name, "minutes": minutes, "why": said})


def _is_dead(fares: ChannelState, now: datetime) -> bool:
    """Whether nothing was accepted for so long, though it was tried, or something waits for so long."""
    if fares.trying_since is None or fares.failed_at is None:
        return False
    if fares.last and fares.last.result is Result.REFUSED:
        return False  # it answers: told as an alert that is refused
    is_owed_long = fares.oldest_owed and now - max(fares.trying_since, fares.oldest_owed) >= health.DEAD_AFTER
    return bool(is_owed_long) or fares.failed_at - fares.trying_since >= health.DEAD_AFTER


def _is_behind(fares: ChannelState, now: datetime) -> bool:
    """Whether something waits on a channel that accepts: whose attempts have not failed for as long as a slow one's."""
    return fares.oldest_waiting is not None and (
        fares.trying_since is None or now - fares.trying_since < health.SLOW_AFTER
    )


def _is_asleep(fares: ChannelState, now: datetime) -> bool:
    """Whether an alert is due for so long and was never tried, and the channel was not tried with any other meanwhile.

    Whatever the reason is: its worker waits for something that does not come, or looks where nothing is.
    """
    if fares.oldest_untried is None or fares.left_to_wait(now) > 0.0:
        return False
    times = (fares.oldest_untried, fares.last_success, fares.trying_since, fares.failed_at, fares.not_before)
    # What is to come was written before the clock was set back: long ago.
    past = [each for each in times if each and each <= now + CLOCKS_AGREE]
    return not past or now - max(past) >= health.DEAD_AFTER


def _stand_in_since(fares: ChannelState, now: datetime) -> datetime | None:
    """What is owed since when goes to a stand-in: all of it while a refused channel is not tried, else what waited."""
    if fares.trying_since is None:
        return None
    is_held = fares.not_before is not None and now < fares.not_before
    if is_held and fares.last and fares.last.result is Result.PERMANENT:
        return now
    # What merely waits behind others of a channel that works is not late.
    return now - health.STAND_IN_AFTER if now - fares.trying_since >= health.STAND_IN_AFTER else None


def slice_seconds(config: Config) -> float:
    """The longest time between two searches of a folder."""
    return max(config.watch.idle_seconds, config.watch.poll_seconds)


def state_of(store: Store, config: Config, now: datetime) -> Health:
    """What the store says of the folders and channels of the configuration."""
    latest = {(folder.account, folder.folder): folder for folder in store.folders.health()}
    folders = [
        latest.get((account.name, folder)) or FolderHealth(account.name, folder, None, None, 0)
        for account in config.accounts
        for folder in account.watched
    ]
    return Health(
        folders=tuple(folders),
        channels=tuple(_fares(store, channel, now) for channel in config.channels),
        faults=tuple(episode.fault for episode in store.episodes.open()),
        open_requests=store.outbox.open_requests(now),
        unknown_types=store.reports.unknown_types(),
    )


def _fares(store: Store, channel: Channel, now: datetime) -> ChannelState:
    """How a channel fares. What waits for the next month was told to wait: it is owed, and not overdue."""
    fares = store.outbox.fares.of(channel.name, now)
    if not is_rationed(channel, fares):
        return fares
    oldest = store.outbox.oldest_kept(channel.name, now)
    return replace(fares, oldest_owed=oldest.since, oldest_untried=oldest.untried, oldest_waiting=oldest.waiting)
