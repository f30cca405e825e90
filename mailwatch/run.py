"""`run`: the process around `watch`: one lock, the signals, a reload, a clean end, and what the manager is told."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from enum import Enum, auto

from mailwatch import __version__, log, notify, transport
from mailwatch.catalogue import say_fault
from mailwatch.clock import Clock
from mailwatch.config import Config
from mailwatch.database import RunLock
from mailwatch.errors import ConfigurationError, Fault, MailwatchError, PassingError, StoreError
from mailwatch.vital_signs import VitalSigns, look_every
from mailwatch.watch import ServerOf, Watch, prepare
from mailwatch.watch.signals import why

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
# For the send that is on its way at a reload: the longest that a channel may take to answer.
_RELOAD_SECONDS = 60.0


class Call(Enum):
    """What `run` is asked to do. REOPEN: the workers begin again, on another store where theirs is lost."""

    STOP = auto()
    RELOAD = auto()
    REOPEN = auto()


Calls = queue.SimpleQueue[Call]


def run(load: Callable[[], Config], server_of: ServerOf) -> None:
    """Watch until SIGTERM or SIGINT; SIGHUP reads the configuration anew.

    `load` gives the configuration and raises `ConfigurationError`. Raises `PassingError` where another `run` is at work
    or the store can't be written.
    """
    with _calls() as calls:
        config = load()
        lock = RunLock(config.watch.state_dir)
        prepare(config.watch.state_dir, config, Clock())
        call = Call.RELOAD
        while call is not Call.STOP:
            watch = _start(config, server_of, calls)
            try:
                call, config = _until_call(config, load, watch, calls, lock)
            except PassingError:
                _stop(watch, Call.REOPEN)
                log.stopped("another run holds the lock")
                raise
            _stop(watch, call)
            _forget_reopen(calls)
        lock.release()
    log.stopped("signal")


@contextlib.contextmanager
def _calls() -> Iterator[Calls]:
    """Our signals as calls, in order. Every thread that starts from here on blocks them, and one waits for them.

    A handler would run inside whatever the main thread is doing, and `Event.set` there deadlocks with `Event.wait`.
    `sigtimedwait` may not be used: where SIGSTOP and SIGCONT interrupt it past its time-out, CPython returns a siginfo
    that nobody has filled in (Modules/signalmodule.c; seen with 3.11.2: any number, 1 = SIGHUP among them).
    """
    calls: Calls = queue.SimpleQueue()
    is_over = threading.Event()

    def collect() -> None:
        while True:
            number = signal.sigwait(_SIGNALS)
            if is_over.is_set():
                return
            calls.put(Call.RELOAD if number == signal.SIGHUP else Call.STOP)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    thread = threading.Thread(target=collect, name="signals", daemon=True)
    thread.start()
    try:
        yield calls
    finally:
        is_over.set()
        signal.pthread_kill(thread.ident or 0, signal.SIGHUP)
        thread.join()
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(config: Config, server_of: ServerOf, calls: Calls) -> Watch:
    watch = Watch(
        config,
        server_of,
        lambda channel: transport.sender(channel.url),
        ping=transport.ping,
        reopen=lambda: calls.put(Call.REOPEN),
    )
    # Before a worker's first line.
    log.started(__version__, len(config.accounts), len(config.channels))
    watch.start()
    threading.Thread(target=_warm_up, args=(config, watch), name="warm-up", daemon=True).start()
    return watch


def _until_call(
    config: Config, load: Callable[[], Config], watch: Watch, calls: Calls, lock: RunLock
) -> tuple[Call, Config]:
    """Wait for a stop, a reload that is good or a store to begin again on, and with which configuration.

    A wrong configuration changes nothing, nor does a store that can't be used. Raises `PassingError` when another `run`
    has taken the lock.
    """
    signs = VitalSigns(watch, config)
    signs.ready()
    while (call := _next_call(calls, signs, lock)) is not Call.STOP:
        _keep(lock)
        if call is Call.REOPEN:
            if _is_reopened(config, watch):
                return call, config
            continue
        notify.reloading()
        try:
            new = _reloaded(config, load, watch)
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
            return call, new
    notify.stopping()
    return call, config


def _next_call(calls: Calls, signs: VitalSigns, lock: RunLock) -> Call:
    """Wait for a call; meanwhile the manager is told how the workers fare, and the lock is kept."""
    while True:
        with contextlib.suppress(queue.Empty):
            return calls.get(timeout=look_every())
        _keep(lock)
        try:
            signs.look()
        except Exception as fault:  # noqa: BLE001 - what can't be shown must not end a run that works
            log.worker_failed("vital signs", fault, look_every())


def _forget_reopen(calls: Calls) -> None:
    """What the workers that have ended had asked for while it was done."""
    left = []
    with contextlib.suppress(queue.Empty):
        while True:
            left.append(calls.get_nowait())
    for call in left:
        if call is not Call.REOPEN:
            calls.put(call)


def _keep(lock: RunLock) -> None:
    """Take the lock again where it was deleted. A folder that can't be written is the oversight's to tell."""
    try:
        lock.keep()
    except StoreError as fault:
        log.store_failed("lock", why(fault), look_every())


def _is_reopened(config: Config, watch: Watch) -> bool:
    """Whether the store can be used again: set aside and begun anew, or another that is in its place."""
    try:
        prepare(config.watch.state_dir, config, Clock(), watch.signals.store_file)
    except StoreError as fault:
        log.store_failed("run", why(fault), look_every())
        return False
    except Exception as fault:  # noqa: BLE001 - as at a reload; the oversight asks again
        log.worker_failed("run", fault, look_every())
        return False
    return True


def _reloaded(config: Config, load: Callable[[], Config], watch: Watch) -> Config:
    """The configuration as it is now. Raises `MailwatchError` where it can't be used without a restart."""
    new = load()
    if new.watch.state_dir != config.watch.state_dir:
        raise ConfigurationError([Fault("service.state_dir_moved")])
    prepare(new.watch.state_dir, new, Clock(), watch.signals.store_file)
    return new


def _stop(watch: Watch, call: Call) -> None:
    """End the workers. A thread that hangs in a library ends with the process: all that is promised is on disk.

    But for a store that is lost: nobody may be there to start the process again, and a worker of the old one can
    neither write it nor open the new.
    """
    if watch.stop(_RELOAD_SECONDS) if call is Call.RELOAD else watch.stop():
        return
    if call is not Call.REOPEN:
        log.stopped("a call was cut short")
        os._exit(PassingError.exit_code if call is Call.RELOAD else 0)


def _warm_up(config: Config, watch: Watch) -> None:
    """Load apprise after the first good search, so that the first alert needn't; and name channels it can't use."""
    watch.signals.has_searched.wait()
    if watch.signals.stop.is_set():
        return
    transport.warm_up()
    for channel in config.channels:
        if not transport.is_usable(channel.url):
            log.channel_unusable(channel.name)
