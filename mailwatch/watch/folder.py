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
from mailwatch.watch.logins import Logins
from mailwatch.watch.roles import RoleFolders
from mailwatch.watch.search import Lasting, Search
from mailwatch.watch.signals import Progress, ServerOf, Signals, why

_LIVED_SECONDS = 60.0
# So often it is asked which folders have a role.
_ROLE_LOOK_SECONDS = 3600.0
# Over the deadlines of the connection: who is later than this hangs where no deadline reaches.
_COMMANDS_SECONDS = 150.0


class FolderWorker:
    """Watches one folder of one account. `logins`: shared by the folders of the account.

    `roles`: shared by the workers of this role, of which this is the `number`-th.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what is shared, beside what is watched
        self,
        config: Config,
        account: Account,
        folder: str,
        server_of: ServerOf,
        signals: Signals,
        clock: Clock,
        logins: Logins | None = None,
        roles: RoleFolders | None = None,
        number: int = 1,
    ) -> None:
        self.name = f"{account.name}/{folder}" + (f" {number}" if number > 1 else "")
        self.number = number
        self._place = account.name, folder, number
        self._roles = roles or RoleFolders()
        self._role_look_at = 0.0
        self._client: mailbox.Client | None = None
        self._login_key = f"login/{account.name}"
        self._folder_key = f"folder/{account.name}/{folder}"
        self._audience = audience(config.channels)
        self._config = config
        self.account = account
        self.folder = folder
        self._server_of = server_of
        self._logins = logins or Logins(account.name, config.watch.state_dir, clock, signals.store_file)
        self._signals = signals
        self._clock = clock
        self._mailbox: Mailbox | None = None
        self._search: Search | None = None
        self._lasting = Lasting()
        self._failures = 0
        self._hurried = 0
        self._is_idle_refused = False
        self._is_abandoned = False
        self.progress = Progress(clock)
        self.is_watching = threading.Event()

    def run(self) -> None:
        """Connect, search, wait, search …, and connect anew after any fault, until told to stop."""
        while not self._is_over:
            delay = self._one_connection()
            self.progress.rest(delay)
            if not self._is_over:
                self._clock.wait(self._signals.stop, delay)

    def interrupt(self) -> None:
        """From another thread: end whatever this worker waits for."""
        watched = self._mailbox
        if watched is not None:
            watched.interrupt()

    def abandon(self) -> None:
        """From another thread: it hangs, and another takes its place; should it wake, it ends."""
        self._is_abandoned = True
        self._roles.release(self)
        search = self._search
        if search is not None and (mail := search.reading) is not None:
            self._with_store(lambda store: store.folders.reading_failed(mail))
        self.interrupt()

    @property
    def _is_over(self) -> bool:
        return self._is_abandoned or self._signals.stop.is_set()

    def _one_connection(self) -> float:
        """Watch over one connection until it ends; the seconds to wait before the next."""
        try:
            self._watch_once()
            return 0.0
        except MailwatchError as fault:
            return 0.0 if self._is_over else self._after(fault)
        except Exception as fault:  # noqa: BLE001 - the one broad except: a worker never dies
            self._failures += 1
            delay = retry.reconnect_delay(self._failures, random.random())  # noqa: S311 - jitter
            log.worker_failed(self.name, fault, delay)
            return delay
        finally:
            self.is_watching.clear()
            # Before the next one: two seen-sets at once are what the process grows by.
            self._search = None
            self._client = None
            if self._mailbox is not None:
                self.progress.expect(_COMMANDS_SECONDS)
                self._mailbox.close()
                self._mailbox = None

    def _forget_store_fault(self) -> None:
        """It could be written, or this worker waits for something else and knows no more of it."""
        self._signals.store_faults.pop(self.name, None)

    def _after(self, fault: MailwatchError) -> float:
        """Log a fault by its class; the delay that it asks for."""
        if not isinstance(fault, StoreError):
            self._forget_store_fault()
        if isinstance(fault, LoginRefused):
            # The wait is the account's: `Logins` holds every folder of it.
            return 0.0
        if isinstance(fault, ConfigurationError):
            return retry.PASSWORD_UNREADABLE
        self._failures += 1
        delay = retry.reconnect_delay(self._failures, random.random())  # noqa: S311 - jitter
        if isinstance(fault, StoreError):
            delay = min(delay, retry.STORE_CAP)
            self._signals.store_faults[self.name] = fault
            log.store_failed(self.name, why(fault), delay)
        elif isinstance(fault, FolderMissing):
            delay = retry.FOLDER_MISSING
            log.folder_missing(self.account.name, self.folder, why(fault), delay)
            self._began_fault(self._folder_key, self._missing(fault.fault))
        else:
            delay = max(delay, fault.wait_seconds if isinstance(fault, Unreachable) else 0.0)
            self._signals.unreachable[self._place] = fault.fault
            log.disconnected(self.account.name, self.folder, why(fault), delay)
        return delay

    def _missing(self, fault: Fault) -> Fault:
        """What to tell of a folder that is not there. Without the one for handled mails requests are still watched."""
        account, folder = self.account.name, self.folder
        if folder == self.account.done_folder:
            return Fault("fault.done_folder", {"account": account, "folder": folder, "why": fault.fields["why"]})
        return Fault("fault.folder", {"account": account, "folder": folder, "why": fault})

    def _watch_once(self) -> None:
        folder = self._connect()
        if folder is None:
            return
        self._mailbox = folder
        folder.has_idle = folder.has_idle and not self._is_idle_refused
        self.progress.expect(_COMMANDS_SECONDS)
        store = Store.open(self._config.watch.state_dir, self._signals.store_file)
        began = self._clock.monotonic()
        try:
            while not self._is_over:
                self._watch_in_mode(folder, store, began)
        finally:
            store.close()

    def _watch_in_mode(self, folder: Mailbox, store: Store, began: float) -> None:
        """Search, wait, search …, while the mode stays: where it changes a new `Search` notes it in the store."""
        mode = folder.mode
        search = Search(self._config, self.account, folder, store, self._signals, self._clock, self.progress)
        search.lasting = self._lasting
        self._search = search
        log.connected(self.account.name, folder.folder, mode)
        while not self._is_over and folder.mode == mode:
            self.progress.expect(_COMMANDS_SECONDS)
            search.go()
            self._forget_store_fault()
            self._signals.unreachable.pop(self._place, None)
            if self._clock.monotonic() - began > _LIVED_SECONDS:
                # Not at the connect: a link that dies young again and again would be made 17 times a second.
                self._failures = 0
            self.is_watching.set()
            self._signals.has_searched.set()
            self._look_for_role(folder)
            self._wait(folder, search.seconds_to_next)

    def _look_for_role(self, folder: Mailbox) -> None:
        """Once an hour: which folders have the role now. Raises `Unreachable` where this is none of them any more."""
        if self._client is None or not mailbox.is_role(self.folder) or self._clock.monotonic() < self._role_look_at:
            return
        self.progress.expect(_COMMANDS_SECONDS)
        if self._take(self._client) != folder.folder:
            raise Unreachable("mailbox.lost", why=f"{folder.folder} has no longer the role {self.folder}")

    def _take(self, client: mailbox.Client) -> str | None:
        """Return the real name of the folder that this worker is to watch, or None where others watch all there are.

        A role whose folder is watched by its name too is one folder, watched once.
        """
        found = client.resolve(self.folder)
        if not mailbox.is_role(self.folder):
            return found[0]
        if not found:
            log.junk_missing(self.account.name)
        names = [name for name in found if name not in self.account.watched]
        self._role_look_at = self._clock.monotonic() + _ROLE_LOOK_SECONDS
        self._with_store(lambda store: store.folders.note_role(self.account.name, self.folder, names))
        if not names:
            self._with_store(lambda store: store.folders.absent(self.account.name, self.folder, self._clock.now()))
        known = self._roles.wanted
        own = self._roles.take(self, names)
        if self._roles.wanted > known:
            # Whoever watches the workers starts one more.
            self._signals.trouble.set()
        return own

    def _connect(self) -> Mailbox | None:
        r"""The examined folder; None where there is none for this worker: it is looked for hourly.

        Such is a `\Junk` that the server does not have.
        """
        client = self._log_in()
        if client is None:
            return None
        self.progress.expect(_COMMANDS_SECONDS)
        try:
            name = self._take(client)
        except BaseException:
            client.connection.shutdown()
            raise
        if name is not None:
            folder = client.open(name, self.folder)
            self._client = client
            self._fault_over(self._folder_key)
            return folder
        client.close()
        self._fault_over(self._folder_key)
        self._forget_store_fault()
        self._signals.unreachable.pop(self._place, None)
        self.progress.rest(_ROLE_LOOK_SECONDS)
        self._clock.wait(self._signals.stop, _ROLE_LOOK_SECONDS)
        return None

    def _log_in(self) -> mailbox.Client | None:
        """A logged-in client, in this account's turn; None when told to stop."""
        self.progress.expect(_COMMANDS_SECONDS)
        if not self._logins.wait_for_turn(self._signals.stop, self.progress, self._forget_store_fault):
            return None
        self.progress.expect(_COMMANDS_SECONDS)
        try:
            # Together its commands may take longer than one step.
            client = mailbox.log_in(self._server_of(self.account), lambda: self.progress.expect(_COMMANDS_SECONDS))
        except (LoginRefused, ConfigurationError) as fault:
            is_refused = isinstance(fault, LoginRefused)
            may_pass = isinstance(fault, LoginRefused) and fault.may_pass
            ended = self._logins.done(refused=is_refused or None, may_pass=may_pass)
            if ended.is_passing:
                log.disconnected(self.account.name, self.folder, why(fault), ended.wait)
                raise
            log.login_refused(self.account.name, self.folder, why(fault), ended.wait or retry.PASSWORD_UNREADABLE)
            refused: dict[str, str | Fault] = {"account": self.account.name, "why": fault.faults[0]}
            self._began_fault(self._login_key, Fault("fault.login", refused))
            raise
        except BaseException:
            self._logins.done(refused=None)
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
            store = Store.open(self._config.watch.state_dir, self._signals.store_file)
        except StoreError:
            return None
        try:
            return work(store)
        except StoreError:
            return None
        finally:
            store.close()

    def _wait(self, folder: Mailbox, at_most: float) -> None:
        """One slice: IDLE where the server has it, else a pause. Mail announced since the search ends it at once."""
        if self._is_over:
            return
        if folder.news:
            # At once; but a server that announces in every answer must not be asked without end.
            self._hurry()
            return
        if folder.has_idle:
            seconds = min(self._config.watch.idle_seconds, max(at_most, 1.0))
            self.progress.rest(seconds + _COMMANDS_SECONDS)
            is_cut_short = folder.wait_idle(seconds)
            if not folder.has_idle:
                # Of every connection of this worker: a reconnect for each refusal would be a login for each search.
                self._is_idle_refused = True
                log.idle_refused(self.account.name, self.folder, folder.idle_refusal)
                return
            if is_cut_short:
                # Nor must one that ends every IDLE at once.
                self._hurry()
            else:
                self._hurried = 0
        else:
            self._hurried = 0
            self.progress.rest(self._config.watch.poll_seconds)
            self._clock.wait(self._signals.stop, self._config.watch.poll_seconds)
        self.progress.expect(_COMMANDS_SECONDS)
        folder.noop()

    def _hurry(self) -> None:
        """Pause, the longer the more often there was nothing to wait for."""
        self._hurried += 1
        self._clock.wait(self._signals.stop, min(0.01 * self._hurried**2, 5.0))
