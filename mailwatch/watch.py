"""The loop that joins the steps: one thread for each watched folder, one for each channel; they meet only in the store.

    mailbox.headlines → message → notice.read → store.record (request.decide inside its transaction)
    store.due         → texts.alert → transport sender → store.settle or store.postpone

A worker ends only when `stop` is set. Its one broad `except` is at its top: whatever happens is logged, and the worker
starts again after a delay.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from mailwatch import log, mailbox, message, notice, retry, texts
from mailwatch.amazon import sender
from mailwatch.catalogue import say_fault
from mailwatch.clock import Clock
from mailwatch.config import Account, Channel, Config
from mailwatch.errors import ConfigurationError, FolderMissing, LoginRefused, MailwatchError, StoreError, Unreachable
from mailwatch.mailbox import Headline, Mailbox, Server
from mailwatch.store import MailIdentity, Reading, Recorded, Store
from mailwatch.transport import Result, Sender

RELIST_SECONDS = 600.0
# Each search looks this far below the highest UID; the re-list looks at the whole look-back.
_LATE_UIDS = 200
# Below this many UIDs under the highest, a mail counts only by its date: else the list would grow for ever.
_OLD_UIDS = 10_000
STOP_SECONDS = 4.0
_LIVED_SECONDS = 60.0
_OWED_SECONDS = 30.0

ServerOf = Callable[[Account], Server]
SenderOf = Callable[[Channel], Sender]


@dataclass(slots=True)
class Signals:
    """What the threads tell each other beside the store: stop, and "something is owed" for each channel."""

    stop: threading.Event = field(default_factory=threading.Event)
    owed: dict[str, threading.Event] = field(default_factory=dict)

    def wake_channels(self) -> None:
        """Something was written into the outbox."""
        for event in self.owed.values():
            event.set()


class Watch:
    """All workers of one `run`. `start` them, `stop` them; nothing else is shared."""

    def __init__(self, config: Config, server_of: ServerOf, sender_of: SenderOf, clock: Clock | None = None) -> None:
        clock = clock or Clock()
        self.signals = Signals(owed={channel.name: threading.Event() for channel in config.channels})
        logins = {account.name: Logins(clock) for account in config.accounts}
        self.folders = [
            FolderWorker(config, account, folder, server_of, self.signals, clock, logins[account.name])
            for account in config.accounts
            for folder in account.folders
        ]
        self.channels = [ChannelWorker(config, channel, sender_of, self.signals, clock) for channel in config.channels]
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start every worker in a thread of its own."""
        workers: list[FolderWorker | ChannelWorker] = [*self.channels, *self.folders]
        for worker in workers:
            thread = threading.Thread(target=worker.run, name=worker.name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> bool:
        """End every worker within `STOP_SECONDS`; whether all did. A send cut short is repeated after a restart."""
        self.signals.stop.set()
        self.signals.wake_channels()
        for folder in self.folders:
            folder.interrupt()
        clock = Clock()
        until = clock.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - clock.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)


class Logins:
    """The logins of one account, one at a time: what a server blocks after refusals is the account, not a folder."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._refusals = 0
        self._not_before = 0.0

    def wait_for_turn(self, stop: threading.Event) -> bool:
        """Wait until a login may be tried, and hold all others; False when told to stop. Ends with `done`."""
        while not stop.is_set():
            if self._lock.acquire(timeout=0.2):
                left = self._not_before - self._clock.monotonic()
                if left <= 0:
                    return True
                self._lock.release()
                self._clock.wait(stop, left)
        return False

    def done(self, *, refused: bool) -> float:
        """The login was tried; the seconds until the next may be, after a refusal."""
        self._refusals = self._refusals + 1 if refused else 0
        delay = retry.login_delay(self._refusals) if refused else 0.0
        self._not_before = self._clock.monotonic() + delay
        self._lock.release()
        return delay


class FolderWorker:
    """Watches one folder of one account. `logins`: shared by the folders of the account."""

    def __init__(
        self,
        config: Config,
        account: Account,
        folder: str,
        server_of: ServerOf,
        signals: Signals,
        clock: Clock,
        logins: Logins | None = None,
    ) -> None:
        self.name = f"{account.name}/{folder}"
        self._config = config
        self._account = account
        self._folder = folder
        self._server_of = server_of
        self._logins = logins or Logins(clock)
        self._signals = signals
        self._clock = clock
        self._mailbox: Mailbox | None = None
        self._failures = 0
        self._hurried = 0
        self.is_watching = threading.Event()

    def run(self) -> None:
        """Connect, search, wait, search …, and connect anew after any fault, until told to stop."""
        while not self._signals.stop.is_set():
            delay = self._one_connection()
            self._clock.wait(self._signals.stop, delay)

    def interrupt(self) -> None:
        """From another thread: end whatever this worker waits for."""
        watched = self._mailbox
        if watched is not None:
            watched.interrupt()

    def _one_connection(self) -> float:
        """Watch over one connection until it ends; the seconds to wait before the next."""
        try:
            self._watch_once()
            return 0.0
        except MailwatchError as fault:
            return 0.0 if self._signals.stop.is_set() else self._after(fault)
        except Exception as fault:  # noqa: BLE001 - the one broad except: a worker never dies
            self._failures += 1
            delay = retry.reconnect_delay(self._failures, random.random())  # noqa: S311 - jitter
            log.worker_failed(self.name, fault, delay)
            return delay
        finally:
            self.is_watching.clear()
            if self._mailbox is not None:
                self._mailbox.close()
                self._mailbox = None

    def _after(self, fault: MailwatchError) -> float:
        """Log a fault by its class; the delay that it asks for."""
        if isinstance(fault, LoginRefused | ConfigurationError):
            # The wait is the account's: `Logins` holds every folder of it.
            return 0.0
        self._failures += 1
        delay = retry.reconnect_delay(self._failures, random.random())  # noqa: S311 - jitter
        if isinstance(fault, StoreError):
            log.store_failed(self.name, _why(fault), delay)
        elif isinstance(fault, FolderMissing):
            delay = retry.RECONNECT_CAP
            log.folder_missing(self._account.name, self._folder, _why(fault), delay)
        else:
            delay = max(delay, fault.wait_seconds if isinstance(fault, Unreachable) else 0.0)
            log.disconnected(self._account.name, self._folder, _why(fault), delay)
        return delay

    def _watch_once(self) -> None:
        folder = self._connect()
        if folder is None:
            return
        self._mailbox = folder
        store = Store.open(self._config.watch.state_dir)
        began = self._clock.monotonic()
        try:
            search = _Search(self._config, self._account, folder, store, self._signals, self._clock)
            log.connected(self._account.name, folder.folder, folder.mode)
            while not self._signals.stop.is_set():
                search.go()
                if self._clock.monotonic() - began > _LIVED_SECONDS:
                    # Not at the connect: a link that dies young again and again would be made 17 times a second.
                    self._failures = 0
                self.is_watching.set()
                self._wait(folder)
        finally:
            store.close()

    def _connect(self) -> Mailbox | None:
        r"""The examined folder; None for a `\Junk` that the server does not have: it is looked for hourly."""
        client = self._log_in()
        if client is None:
            return None
        try:
            name = client.resolve(self._folder)
            if name is not None:
                folder = client.examine(name)
                folder.is_junk = folder.is_junk or self._folder.lower() == mailbox.JUNK.lower()
                return folder
        except BaseException:
            client.connection.shutdown()
            raise
        client.connection.shutdown()
        log.junk_missing(self._account.name)
        self._clock.wait(self._signals.stop, 3600.0)
        return None

    def _log_in(self) -> mailbox.Client | None:
        """A logged-in client, in this account's turn; None when told to stop."""
        if not self._logins.wait_for_turn(self._signals.stop):
            return None
        try:
            client = mailbox.log_in(self._server_of(self._account))
        except (LoginRefused, ConfigurationError) as fault:
            delay = self._logins.done(refused=True)
            log.login_refused(self._account.name, self._folder, _why(fault), delay)
            raise
        except BaseException:
            self._logins.done(refused=False)
            raise
        self._logins.done(refused=False)
        return client

    def _wait(self, folder: Mailbox) -> None:
        """One slice: IDLE where the server has it, else a pause. Mail announced since the search ends it at once."""
        if self._signals.stop.is_set():
            return
        if folder.news:
            # At once; but a server that announces in every answer must not be asked without end.
            self._hurried += 1
            self._clock.wait(self._signals.stop, min(0.01 * self._hurried**2, 5.0))
            return
        self._hurried = 0
        if folder.has_idle:
            folder.wait_idle(self._config.watch.idle_seconds)
        else:
            self._clock.wait(self._signals.stop, self._config.watch.poll_seconds)
        folder.noop()


class _Search:
    """The searches of one folder over one connection: what is unseen is fetched, read and recorded."""

    def __init__(
        self, config: Config, account: Account, folder: Mailbox, store: Store, signals: Signals, clock: Clock
    ) -> None:
        self._config = config
        self._account = account
        self._mailbox = folder
        self._store = store
        self._signals = signals
        self._clock = clock
        self._channels = [(channel.name, channel.send) for channel in config.channels]
        self._uidvalidity = folder.uidvalidity or 0
        self._floor = self._start()
        self._seen = store.seen(account.name, folder.folder, self._uidvalidity)
        self._relist_at = 0.0

    def go(self) -> None:
        """One good search: list, fetch and record everything unseen, or raise."""
        if self._clock.monotonic() >= self._relist_at:
            unseen = self._relisted()
            self._relist_at = self._clock.monotonic() + RELIST_SECONDS
        else:
            near_the_top = max(self._floor, max(self._seen, default=0) - _LATE_UIDS)
            unseen = [uid for uid in self._mailbox.uids(above=near_the_top) if uid not in self._seen]
        self._fetch(unseen)
        self._store.good_search(self._account.name, self._mailbox.folder, self._clock.now())

    def _start(self) -> int:
        """The UID up to which mails were there before the first start; those count only within the look-back."""
        known = self._store.folder(self._account.name, self._mailbox.folder)
        same = known is not None and known.uidvalidity == self._mailbox.uidvalidity
        floor = known.floor if known and same else self._highest_uid()
        self._store.start_folder(
            self._account.name, self._mailbox.folder, self._mailbox.uidvalidity, floor, self._mailbox.mode
        )
        return floor

    def _highest_uid(self) -> int:
        if self._mailbox.uidnext:
            return self._mailbox.uidnext - 1
        return max(self._mailbox.uids(), default=0)

    def _relisted(self) -> list[int]:
        """The whole look-back: finds late and reused UIDs, and what a lagging SEARCH left out (traps section 1)."""
        since = (self._clock.now() - self._lookback()).date()
        listed = self._mailbox.uids(since=since)
        above = self._mailbox.uids(above=max(self._floor, max(self._seen, default=0) - _OLD_UIDS))
        return sorted({*listed, *above} - self._confirmed(listed))

    def _lookback(self) -> timedelta:
        """`lookback_days` and a day for time zones, or the time since the last good search if that is longer."""
        known = self._store.folder(self._account.name, self._mailbox.folder)
        away = self._clock.now() - known.last_good_search if known and known.last_good_search else timedelta()
        return max(self._config.watch.lookback, away) + timedelta(days=1)

    def _confirmed(self, listed: Sequence[int]) -> set[int]:
        """Of the listed UIDs those with arrival and size as recorded; any other is another mail under an old UID."""
        known = [uid for uid in listed if uid in self._seen]
        confirmed = set(self._seen) - set(listed)
        for uid, arrival, size in self._mailbox.identities(known):
            if (int(arrival.timestamp()), size) in self._seen[uid]:
                confirmed.add(uid)
        return confirmed

    def _fetch(self, uids: Sequence[int]) -> None:
        """Candidates are recorded one by one as they come; the others together, after the piece."""
        for at in range(0, len(uids), mailbox.PIECE):
            others: list[Headline] = []
            for headline in self._mailbox.headlines(uids[at : at + mailbox.PIECE]):
                if _is_candidate(headline):
                    self._take(headline)
                else:
                    others.append(headline)
            self._store.record_others([self._identity(headline) for headline in others])
            for headline in others:
                self._remember(headline)

    def _take(self, headline: Headline) -> None:
        """Fetch, read and record one candidate."""
        found = self._mailbox.text(headline)
        if found is None:
            log.vanished(self._account.name, self._mailbox.folder, headline.uid)
            return
        notices = notice.read(found, self._account.provider, self._config.templates, is_junk=self._mailbox.is_junk)
        reading = Reading(self._identity(headline), self._account.seller, found.content_key(), notices)
        recorded = self._store.record(reading, self._config.rules, self._channels, self._clock.now())
        self._remember(headline)
        for each in recorded:
            self._log(headline, each)
        if any(each.decision.alerts for each in recorded):
            self._signals.wake_channels()

    def _identity(self, headline: Headline) -> MailIdentity:
        return MailIdentity(
            self._account.name, self._mailbox.folder, self._uidvalidity, headline.uid, headline.received, headline.size
        )

    def _remember(self, headline: Headline) -> None:
        self._seen.setdefault(headline.uid, set()).add((int(headline.received.timestamp()), headline.size))

    def _log(self, headline: Headline, recorded: Recorded) -> None:
        about, decision = recorded.notice, recorded.decision
        if about.kind is notice.Kind.IGNORED:
            return
        mail = (self._account.name, self._mailbox.folder, headline.uid)
        log.noticed(mail, about.kind, about.trust, about.order_id or "-", (decision.action, decision.why))


def _is_candidate(headline: Headline) -> bool:
    display, address = message.sender(message.header_fields(headline.header))
    return sender.may_be_amazon(display, address)


class ChannelWorker:
    """Sends what is owed to one channel, in order."""

    def __init__(self, config: Config, channel: Channel, sender_of: SenderOf, signals: Signals, clock: Clock) -> None:
        self.name = f"channel/{channel.name}"
        self._config = config
        self._channel = channel.name
        self._send = sender_of(channel)
        self._signals = signals
        self._owed = signals.owed[channel.name]
        self._clock = clock

    def run(self) -> None:
        """Send what is due and wait for more, until told to stop."""
        failures = 0
        while not self._signals.stop.is_set():
            try:
                self._work()
                return
            except Exception as fault:  # noqa: BLE001 - the one broad except: a worker never dies
                failures += 1
                delay = retry.reconnect_delay(failures, random.random())  # noqa: S311 - jitter
                if isinstance(fault, StoreError):
                    log.store_failed(self.name, _why(fault), delay)
                else:
                    log.worker_failed(self.name, fault, delay)
                self._clock.wait(self._signals.stop, delay)

    def _work(self) -> None:
        store = Store.open(self._config.watch.state_dir)
        try:
            while not self._signals.stop.is_set():
                self._owed.clear()
                store.outbox.forget_private(self._clock.now())
                if not self._send_one(store):
                    self._clock.wait(self._owed, self._pause(store))
        finally:
            store.close()

    def _pause(self, store: Store) -> float:
        due = store.outbox.next_due(self._channel)
        seconds = (due - self._clock.now()).total_seconds() if due else _OWED_SECONDS
        return min(max(seconds, 0.1), _OWED_SECONDS)

    def _send_one(self, store: Store) -> bool:
        """Send the alert that is due; whether there was one."""
        entry = store.outbox.due(self._channel, self._clock.now())
        if entry is None:
            return False
        watch = self._config.watch
        text = texts.alert(entry.alert, watch.language, watch.time_zone)
        store.outbox.begin_attempt(entry)
        outcome = self._send(text, entry.id)
        order_id = entry.alert.order_id or "-"
        if outcome.result is Result.ACCEPTED:
            store.outbox.settle(entry, self._clock.now())
            log.alert_sent(self._channel, str(entry.id), order_id, entry.attempts + 1)
        else:
            delay = store.outbox.postpone(entry, outcome.result, self._clock.now(), outcome.retry_after)
            log.alert_failed(self._channel, str(entry.id), outcome.result, outcome.why, delay)
        return True


def prepare(state_dir: Path, config: Config, clock: Clock) -> None:
    """Before the workers start: the store can be opened and written, and nothing is owed to a channel that is gone.

    Raises `StoreError`.
    """
    store = Store.open(state_dir)
    try:
        store.check_writable()
        gone = store.outbox.close_removed_channels([channel.name for channel in config.channels], clock.now())
        for name, rows in gone.items():
            log.channel_removed(name, rows)
    finally:
        store.close()


def _why(fault: MailwatchError) -> str:
    """The fault's sentence, in English: the log is for the one who helps."""
    return say_fault(fault.fault, "en")
