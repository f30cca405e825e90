"""All workers of one `run`, and what is done before they start."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Protocol

from mailwatch import log
from mailwatch.clock import Clock
from mailwatch.config import Config
from mailwatch.store import Store
from mailwatch.watch.channel import ChannelWorker
from mailwatch.watch.folder import FolderWorker, Logins
from mailwatch.watch.heartbeat import HeartbeatWorker, Ping
from mailwatch.watch.oversight import Oversight
from mailwatch.watch.signals import SenderOf, ServerOf, Signals

STOP_SECONDS = 4.0


class Worker(Protocol):
    """What runs in a thread of its own."""

    name: str

    def run(self) -> None: ...


class Watch:
    """All workers of one `run`. `start` them, `stop` them; nothing else is shared."""

    def __init__(
        self,
        config: Config,
        server_of: ServerOf,
        sender_of: SenderOf,
        clock: Clock | None = None,
        ping: Ping | None = None,
    ) -> None:
        """`ping` calls the heartbeat's URL; without it there is no heartbeat."""
        clock = clock or Clock()
        self.signals = Signals(owed={channel.name: threading.Event() for channel in config.channels})
        logins = {account.name: Logins(clock) for account in config.accounts}
        self.folders = [
            FolderWorker(config, account, folder, server_of, self.signals, clock, logins[account.name])
            for account in config.accounts
            for folder in account.folders
        ]
        self.channels = [ChannelWorker(config, channel, sender_of, self.signals, clock) for channel in config.channels]
        self.oversight = Oversight(config, sender_of, self.signals, clock)
        self.heartbeat = (
            HeartbeatWorker(config, config.heartbeat, ping, self.signals, clock) if ping and config.heartbeat else None
        )
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start every worker in a thread of its own."""
        workers: list[Worker] = [*self.channels, *self.folders, self.oversight]
        if self.heartbeat:
            workers.append(self.heartbeat)
        for worker in workers:
            thread = threading.Thread(target=worker.run, name=worker.name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, seconds: float | None = None) -> bool:
        """End every worker within `seconds` (`STOP_SECONDS`); whether all did. A send cut short is repeated later."""
        self.signals.stop.set()
        self.signals.wake_channels()
        self.signals.trouble.set()
        for folder in self.folders:
            folder.interrupt()
        clock = Clock()
        until = clock.monotonic() + (STOP_SECONDS if seconds is None else seconds)
        for thread in self._threads:
            thread.join(max(0.0, until - clock.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)


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
        for key in store.episodes.forget_all_but(_keys(config)):
            log.fault_over(key)
        store.reports.note_run(clock.now())
    finally:
        store.close()


def _keys(config: Config) -> set[str]:
    """Every key that an episode of this configuration may have."""
    accounts = {f"login/{account.name}" for account in config.accounts}
    folders = {
        f"{what}/{a.name}/{folder}" for a in config.accounts for folder in a.folders for what in ("folder", "stale")
    }
    channels = {f"{what}/{channel.name}" for channel in config.channels for what in ("channel", "quota")}
    return accounts | folders | channels
