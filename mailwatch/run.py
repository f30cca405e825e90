"""`run`: the process around `watch`: one lock, the signals, a reload, a clean end, and what the manager is told."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

from mailwatch import __version__, log, notify, transport
from mailwatch.catalogue import say_fault
from mailwatch.clock import Clock
from mailwatch.config import Config
from mailwatch.database import RunLock
from mailwatch.errors import ConfigurationError, Fault, MailwatchError, PassingError
from mailwatch.vital_signs import VitalSigns, look_every
from mailwatch.watch import ServerOf, Watch, prepare

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
# For the send that is on its way at a reload: the longest that a channel may take to answer.
_RELOAD_SECONDS = 60.0


def run(load: Callable[[], Config], server_of: ServerOf) -> None:
    """Watch until SIGTERM or SIGINT; SIGHUP reads the configuration anew.

    `load` gives the configuration and raises `ConfigurationError`. Raises `PassingError` where another `run` is at work
    or the store can't be written.
    """
    with _signals_wait():
        config = load()
        lock = RunLock(config.watch.state_dir)
        prepare(config.watch.state_dir, config, Clock())
        while True:
            watch = _start(config, server_of)
            new = _until_signal(config, load, VitalSigns(watch, config))
            _stop(watch, is_reload=new is not None)
            if new is None:
                break
            config = new
        lock.release()
    log.stopped("signal")


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Hold our signals back for `sigwait`, in every thread that starts from here on.

    A handler would run inside whatever the main thread is doing, and `Event.set` there deadlocks with `Event.wait`.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(config: Config, server_of: ServerOf) -> Watch:
    watch = Watch(
        config, server_of, lambda channel: transport.sender(channel.url), ping=transport.ping, on_damaged=_begin_anew
    )
    watch.start()
    log.started(__version__, len(config.accounts), len(config.channels))
    threading.Thread(target=_warm_up, args=(config, watch), name="warm-up", daemon=True).start()
    return watch


def _begin_anew() -> None:
    """The store is damaged: as at a reload, it is set aside and the workers start on a new one."""
    os.kill(os.getpid(), signal.SIGHUP)


def _until_signal(config: Config, load: Callable[[], Config], signs: VitalSigns) -> Config | None:
    """Wait for a stop (None) or for a reload that is good (its configuration). A wrong one changes nothing."""
    signs.ready()
    while _next_signal(signs) == signal.SIGHUP:
        notify.reloading()
        try:
            new = _reloaded(config, load)
        except MailwatchError as wrong:
            log.reload_refused("; ".join(say_fault(fault, "en") for fault in wrong.faults))
            signs.is_refused = True
            signs.ready()
        except Exception as unforeseen:  # noqa: BLE001 - a reload must never end a run that works
            log.reload_refused(type(unforeseen).__name__)
            signs.is_refused = True
            signs.ready()
        else:
            log.reloaded()
            return new
    notify.stopping()
    return None


def _next_signal(signs: VitalSigns) -> int:
    """Wait for a signal; meanwhile the manager is told how the workers fare."""
    while (got := signal.sigtimedwait(_SIGNALS, look_every())) is None:
        try:
            signs.look()
        except Exception as fault:  # noqa: BLE001 - what can't be shown must not end a run that works
            log.worker_failed("vital signs", fault, look_every())
    return got.si_signo


def _reloaded(config: Config, load: Callable[[], Config]) -> Config:
    """The configuration as it is now. Raises `MailwatchError` where it can't be used without a restart."""
    new = load()
    if new.watch.state_dir != config.watch.state_dir:
        raise ConfigurationError([Fault("service.state_dir_moved")])
    prepare(new.watch.state_dir, new, Clock())
    return new


def _stop(watch: Watch, *, is_reload: bool) -> None:
    """End the workers. A thread that hangs in a library ends with the process: all that is promised is on disk."""
    if watch.stop(_RELOAD_SECONDS) if is_reload else watch.stop():
        return
    log.stopped("a call was cut short")
    os._exit(PassingError.exit_code if is_reload else 0)


def _warm_up(config: Config, watch: Watch) -> None:
    """Load apprise while the first folder waits, so that the first alert does not; and name channels it can't use."""
    watch.folders[0].is_watching.wait(30)
    if watch.signals.stop.is_set():
        return
    transport.warm_up()
    for channel in config.channels:
        if not transport.is_usable(channel.url):
            log.channel_unusable(channel.name)
