"""`run`: the process around `watch`: one lock, the signals, a reload, a clean end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable

from mailwatch import __version__, log, transport
from mailwatch.catalogue import say_fault
from mailwatch.clock import Clock
from mailwatch.config import Config
from mailwatch.database import RunLock
from mailwatch.errors import MailwatchError
from mailwatch.watch import ServerOf, Watch, prepare


class _Asked:
    """What signals asked for: `stop` (SIGTERM, SIGINT) or a reload (SIGHUP); `event` is set by either."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._ask_stop())
        signal.signal(signal.SIGHUP, lambda *_: self.event.set())

    def _ask_stop(self) -> None:
        self.stop.set()
        self.event.set()


def run(load: Callable[[], Config], server_of: ServerOf) -> None:
    """Watch until a signal ends it; SIGHUP reads the configuration anew.

    `load` gives the configuration and raises `ConfigurationError`. Raises `PassingError` where another `run` is at work
    or the store can't be written.
    """
    config = load()
    asked = _Asked()
    lock = RunLock(config.watch.state_dir)
    while not asked.stop.is_set():
        watch = _start(config, server_of, asked.stop)
        config = _until_asked(config, load, asked)
        if not watch.stop():
            # A thread hangs in a library; all that is promised is on disk.
            log.stopped("a call was cut short")
            os._exit(0)
    lock.release()
    log.stopped("signal")


def _start(config: Config, server_of: ServerOf, stop: threading.Event) -> Watch:
    prepare(config.watch.state_dir, config, Clock())
    watch = Watch(config, server_of, lambda channel: transport.sender(channel.url))
    watch.start()
    log.started(__version__, len(config.accounts), len(config.channels))
    threading.Thread(target=_warm_up, args=(config, watch, stop), name="warm-up", daemon=True).start()
    return watch


def _until_asked(config: Config, load: Callable[[], Config], asked: _Asked) -> Config:
    """Wait for a stop, or for a reload that is good; the configuration to go on with. A wrong one changes nothing."""
    while True:
        asked.event.wait()
        asked.event.clear()
        if asked.stop.is_set():
            return config
        try:
            new = load()
        except MailwatchError as wrong:
            log.reload_refused("; ".join(say_fault(fault, "en") for fault in wrong.faults))
            continue
        if new.watch.state_dir == config.watch.state_dir:
            log.reloaded()
            return new
        log.reload_refused("watch.state_dir has changed, which takes a restart")


def _warm_up(config: Config, watch: Watch, stop: threading.Event) -> None:
    """Load apprise while the first folder waits, so that the first alert does not; and name channels it can't use."""
    watch.folders[0].is_watching.wait(30)
    if stop.is_set():
        return
    transport.warm_up()
    for channel in config.channels:
        if not transport.is_usable(channel.url):
            log.channel_unusable(channel.name)
