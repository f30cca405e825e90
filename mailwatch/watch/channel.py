"""Sending what is owed to one channel, in order."""

from __future__ import annotations

import random

from mailwatch import log, retry, texts
from mailwatch.clock import Clock
from mailwatch.config import Channel, Config
from mailwatch.errors import StoreError
from mailwatch.store import Store
from mailwatch.transport import Result
from mailwatch.watch.signals import SenderOf, Signals, why

_OWED_SECONDS = 30.0


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
                    log.store_failed(self.name, why(fault), delay)
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
