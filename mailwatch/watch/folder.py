"""Connecting to one watched folder, and waiting for mail there."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

from mailwatch import log, mailbox, retry
from mailwatch.clock import Clock
from mailwatch.config import Account, Config, audience
from mailwatch.errors import (
    ConfigurationError,
    Fault,
    FolderMissing,
    LoginRefused,
    MailwatchError,
    StoreError,
    Unreachable,
)
from mailwatch.mailbox import Mailbox
from mailwatch.store import Store
from mailwatch.watch.search import Search
from mailwatch.watch.signals import ServerOf, Signals, why

_LIVED_SECONDS = 60.0


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
        self._login_key = f"login/{account.name}"
        self._folder_key = f"folder/{account.name}/{folder}"
        self._audience = audience(config.channels)
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
        self._failed: dict[int, int] = {}
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
            delay = min(delay, retry.STORE_CAP)
            log.store_failed(self.name, why(fault), delay)
        elif isinstance(fault, FolderMissing):
            delay = retry.RECONNECT_CAP
            log.folder_missing(self._account.name, self._folder, why(fault), delay)
            missing: dict[str, str | Fault] = {
                "account": self._account.name,
                "folder": self._folder,
                "why": fault.fault,
            }
            self._began_fault(self._folder_key, Fault("fault.folder", missing))
        else:
            delay = max(delay, fault.wait_seconds if isinstance(fault, Unreachable) else 0.0)
            log.disconnected(self._account.name, self._folder, why(fault), delay)
        return delay

    def _watch_once(self) -> None:
        folder = self._connect()
        if folder is None:
            return
        self._mailbox = folder
        store = Store.open(self._config.watch.state_dir)
        began = self._clock.monotonic()
        try:
            search = Search(self._config, self._account, folder, store, self._signals, self._clock, self._failed)
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
                folder.watched_as = self._folder
                folder.is_junk = folder.is_junk or self._folder.lower() == mailbox.JUNK.lower()
                self._fault_over(self._folder_key)
                return folder
        except BaseException:
            client.connection.shutdown()
            raise
        client.connection.shutdown()
        log.junk_missing(self._account.name)
        self._with_store(lambda store: store.folder_absent(self._account.name, self._folder, self._clock.now()))
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
            log.login_refused(self._account.name, self._folder, why(fault), delay)
            refused: dict[str, str | Fault] = {"account": self._account.name, "why": fault.faults[0]}
            self._began_fault(self._login_key, Fault("fault.login", refused))
            raise
        except BaseException:
            self._logins.done(refused=False)
            raise
        self._logins.done(refused=False)
        self._fault_over(self._login_key)
        return client

    # ---- what a person is told ----

    def _began_fault(self, key: str, fault: Fault) -> None:
        def begin(store: Store) -> bool:
            return store.episodes.begin(key, fault, self._audience, self._clock.now())

        if self._with_store(begin):
            log.fault_began(key, fault.key)
            self._signals.wake_channels()

    def _fault_over(self, key: str) -> None:
        def end(store: Store) -> bool:
            now = self._clock.now()
            return store.episodes.end(key, self._audience, now, self._config.watch.quiet_until(now))

        if self._with_store(end):
            log.fault_over(key)
            self._signals.wake_channels()

    def _with_store(self, work: Callable[[Store], object]) -> object:
        """Between two connections no store is open. One that can't be written is the oversight's to tell."""
        try:
            store = Store.open(self._config.watch.state_dir)
        except StoreError:
            return None
        try:
            return work(store)
        except StoreError:
            return None
        finally:
            store.close()

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
