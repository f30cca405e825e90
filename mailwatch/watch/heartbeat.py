"""The heartbeat: an outside service is called while all is well, so that silence is noticed there.

healthchecks.io's way: the URL itself says success, `URL/fail` says failure. Failure is said once, when it begins.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

from mailwatch import health, log, retry
from mailwatch.clock import Clock
from mailwatch.config import Config, Heartbeat
from mailwatch.errors import StoreError
from mailwatch.secret import Secret
from mailwatch.services import Outcome, Result
from mailwatch.store import Store
from mailwatch.watch.oversight import slice_seconds, state_of
from mailwatch.watch.signals import Progress, Signals, why

# After a start the folders get this long for their first good search.
_GRACE_SECONDS = 120.0
_SOON_SECONDS = 15.0
Ping = Callable[[Secret], Outcome]
# Over the call's own deadline and the store's busy time-out: who is later hangs.
_STEP_SECONDS = 120.0


class HeartbeatWorker:
    """Calls the URL as often as configured, as long as silence is proof."""

    name = "heartbeat"

    def __init__(self, config: Config, heartbeat: Heartbeat, ping: Ping, signals: Signals, clock: Clock) -> None:
        self._config = config
        self._heartbeat = heartbeat
        self._ping = ping
        self._signals = signals
        self._clock = clock
        self._was_well = True
        self._began = clock.monotonic()
        self._failures = 0
        self.progress = Progress(clock)

    def run(self) -> None:
        """Call until told to stop."""
        every = self._heartbeat.every.total_seconds()
        while not self._signals.stop.is_set():
            try:
                self.progress.expect(_STEP_SECONDS)
                delay = every if self.beat() else min(every, _SOON_SECONDS)
            except Exception as fault:  # noqa: BLE001 - the one broad except: a worker never dies
                self._failures += 1
                delay = retry.reconnect_delay(self._failures, random.random())  # noqa: S311 - jitter
                log.worker_failed(self.name, fault, delay)
            self.progress.rest(delay)
            self._clock.wait(self._signals.stop, delay)

    def beat(self) -> bool:
        """Call once, if there is something to say; False where it should be tried again soon."""
        try:
            is_well = self._is_well()
        except StoreError as fault:
            log.store_failed(self.name, why(fault), 60.0)
            is_well = False
        is_early = self._clock.monotonic() - self._began < _GRACE_SECONDS
        if not is_well and (is_early or not self._was_well):
            return False
        outcome = self._ping(self._heartbeat.url if is_well else _failure(self._heartbeat.url))
        self._failures = 0
        if outcome.result is not Result.ACCEPTED:
            log.heartbeat_failed(outcome.why)
            return False
        self._was_well = is_well
        return is_well

    def _is_well(self) -> bool:
        """Every folder has had a good search, the store can be written, nothing is overdue (design section 1)."""
        store = Store.open(self._config.watch.state_dir, self._signals.store_file)
        try:
            store.check_writable()
            state = state_of(store, self._config, self._clock.now())
        finally:
            store.close()
        within = health.fresh_within(slice_seconds(self._config))
        return not health.troubles(state, self._clock.now(), within)


def _failure(url: Secret) -> Secret:
    parts = urlsplit(url.reveal())
    return Secret(urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/fail")))
