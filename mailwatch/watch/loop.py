"""All workers of one `run`, and what is done before they start."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from mailwatch import database, log
from mailwatch.clock import Clock
from mailwatch.config import Account, Channel, Config, audience
from mailwatch.database import FileId
from mailwatch.store import Store
from mailwatch.watch.channel import ChannelWorker
from mailwatch.watch.folder import FolderWorker
from mailwatch.watch.heartbeat import HeartbeatWorker, Ping
from mailwatch.watch.logins import Logins
from mailwatch.watch.oversight import Oversight
from mailwatch.watch.roles import RoleFolders
from mailwatch.watch.signals import Progress, SenderOf, ServerOf, Signals

STOP_SECONDS = 4.0
_START_SECONDS = 60.0
_AGAIN_SECONDS = 10.0


class Worker(Protocol):
    """What runs in a thread of its own."""

    name: str
    progress: Progress

    def run(self) -> None: ...


class Replaceable(Worker, Protocol):
    """`abandon`: it hangs and is replaced; should it wake, it ends."""

    def abandon(self) -> None: ...


class Watch:
    """All workers of one `run`. `start` them, `stop` them; one that hangs is replaced."""

    def __init__(
        self,
        config: Config,
        server_of: ServerOf,
        sender_of: SenderOf,
        clock: Clock | None = None,
        ping: Ping | None = None,
        reopen: Callable[[], None] = lambda: None,
    ) -> None:
        """`ping` calls the heartbeat's URL; without it there is no heartbeat.

        `reopen` is called while the store is damaged, gone or replaced, and when a channel's worker sleeps: all workers
        are to begin again.
        """
        self._clock = clock or Clock()
        self._config = config
        self._server_of = server_of
        self._sender_of = sender_of
        state_dir = config.watch.state_dir
        file = database.file_id(state_dir)
        owed = {channel.name: threading.Event() for channel in config.channels}
        self.signals = Signals(owed=owed, store_file=file)
        self._logins = {account.name: Logins(account.name, state_dir, self._clock, file) for account in config.accounts}
        self._roles = {(account.name, name): RoleFolders() for account in config.accounts for name in account.watched}
        self.folders = [self._folder(account, name) for account in config.accounts for name in account.watched]
        self.channels = [self._channel(channel) for channel in config.channels]
        self.oversight = Oversight(
            config, sender_of, self.signals, self._clock, replace_late=self.replace_late, reopen=reopen
        )
        self.heartbeat = (
            HeartbeatWorker(config, config.heartbeat, ping, self.signals, self._clock)
            if ping and config.heartbeat
            else None
        )
        self._threads: list[threading.Thread] = []
        self._thread_of: dict[str, threading.Thread] = {}
        self._hung: list[threading.Thread] = []

    def _folder(self, account: Account, folder: str, number: int = 1) -> FolderWorker:
        logins, roles = self._logins[account.name], self._roles[account.name, folder]
        return FolderWorker(
            self._config, account, folder, self._server_of, self.signals, self._clock, logins, roles, number
        )

    def _channel(self, channel: Channel) -> ChannelWorker:
        return ChannelWorker(self._config, channel, self._sender_of, self.signals, self._clock)

    def start(self) -> None:
        """Start every worker in a thread of its own."""
        for worker in self.workers:
            self._run(worker)

    @property
    def workers(self) -> list[Worker]:
        """Every worker that is at work now: of one that was replaced, its successor."""
        return [*self.channels, *self.folders, self.oversight, *([self.heartbeat] if self.heartbeat else [])]

    @property
    def hung(self) -> int:
        """How many replaced workers still hang: each keeps its memory, and maybe a lock that its successor needs."""
        return sum(thread.is_alive() for thread in self._hung)

    def replace_late(self) -> None:
        """Start a new worker in place of each that is past its deadline, and one for each folder more that a role has;
        called by the oversight."""
        for at, folder in enumerate(self.folders):
            if folder.progress.is_late:
                self.folders[at] = self._folder(folder.account, folder.folder, folder.number)
                self._replace(folder, self.folders[at])
        for at, channel in enumerate(self.channels):
            if channel.progress.is_late:
                self.channels[at] = self._channel(channel.channel)
                self._replace(channel, self.channels[at])
        self._start_wanted()

    def _start_wanted(self) -> None:
        """How many folders a role has shows only after a login."""
        if self.signals.stop.is_set():
            return
        for first in [folder for folder in self.folders if folder.number == 1]:
            there = [each for each in self.folders if (each.account, each.folder) == (first.account, first.folder)]
            wanted = self._roles[first.account.name, first.folder].wanted
            for number in range(len(there) + 1, wanted + 1):
                self.folders.append(self._folder(first.account, first.folder, number))
                self._run(self.folders[-1])

    def _replace(self, late: Replaceable, successor: Worker) -> None:
        log.worker_late(late.name)
        late.abandon()
        self._hung.append(self._thread_of[late.name])
        if not self.signals.stop.is_set():
            self._run(successor)

    def _run(self, worker: Worker) -> None:
        worker.progress.expect(_START_SECONDS)
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(target=self._keep_at_work, args=(worker,), name=worker.name, daemon=True)
        self._thread_of[worker.name] = thread
        self._threads.append(thread)
        thread.start()

    def _keep_at_work(self, worker: Worker) -> None:
        """Each worker meets its own faults; one that it meets while it deals with another must not end its thread."""
        while True:
            try:
                worker.run()
                return
            except Exception as fault:  # noqa: BLE001 - as the worker's own: a worker never dies
                worker.progress.rest(_AGAIN_SECONDS)
                log.worker_failed(worker.name, fault, _AGAIN_SECONDS)
                self.signals.stop.wait(_AGAIN_SECONDS)

    def stop(self, seconds: float | None = None) -> bool:
        """End every worker within `seconds` (`STOP_SECONDS`); whether all did. A send cut short is repeated later."""
        self.signals.stop.set()
        self.signals.wake_channels()
        self.signals.trouble.set()
        self.signals.has_searched.set()
        for folder in self.folders:
            folder.interrupt()
        clock = Clock()
        until = clock.monotonic() + (STOP_SECONDS if seconds is None else seconds)
        for thread in self._threads:
            thread.join(max(0.0, until - clock.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)


def prepare(state_dir: Path, config: Config, clock: Clock, known: FileId | None = None) -> None:
    """Before the workers start: the store can be opened and written, and nothing is owed to a channel that is gone.

    One that is damaged or lost is set aside and begun anew, and that is told. So is it where the file is not the
    `known` one that this process worked on, and nobody can say what that had told since. Raises `StoreError`.
    """
    file = database.file_id(state_dir)
    if known not in {None, file}:
        database.wait_until_written(state_dir)
    problem = database.set_aside_damaged(state_dir, clock.now())
    if not problem and known not in {None, file}:
        problem = "the file was replaced" if file else "the file is gone"
    store = Store.open(state_dir)
    try:
        store.check_writable()
        if problem:
            log.store_set_aside(problem)
            store.rebuilt(problem, audience(config.channels), clock.now())
        gone = store.outbox.close_removed_channels(audience(config.channels), clock.now())
        for name, rows in gone.items():
            log.channel_removed(name, rows)
        for key in store.episodes.forget_all_but(_keys(config)):
            log.fault_over(key)
        store.reports.note_run(clock.now())
    finally:
        store.close()
    database.note_written(state_dir)


def _keys(config: Config) -> set[str]:
    """Every key that an episode of this configuration may have."""
    accounts = {f"login/{account.name}" for account in config.accounts}
    folders = {
        f"{what}/{a.name}/{folder}" for a in config.accounts for folder in a.watched for what in ("folder", "stale")
    }
    about = ("channel", "refused", "slow", "quota")
    channels = {f"{what}/{channel.name}" for channel in config.channels for what in about}
    return accounts | folders | channels
