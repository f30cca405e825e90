"""The logins of one account, one at a time, and slowly after refusals: what a server blocks is the account."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mailwatch import mailbox, retry
from mailwatch.clock import Clock
from mailwatch.config import source
from mailwatch.database import FileId
from mailwatch.errors import StoreError
from mailwatch.refusals import Refused
from mailwatch.store import Store
from mailwatch.watch.signals import Progress

# A login that takes longer than its own deadlines let it, its password's command too, has lost its turn: it hangs.
TURN_SECONDS = source.COMMAND_SECONDS + mailbox.LOG_IN_SECONDS + 10.0
# A `check` that logged in clears the refusals; so often is looked.
_LOOK_SECONDS = 15.0


class Ended(NamedTuple):
    """How a login ended: the seconds until the next one, and whether a refusal is taken for trouble that passes."""

    wait: float
    is_passing: bool


class Logins:
    """Shared by the folders of one account. Refusals are remembered in the store, across restarts."""

    def __init__(self, account: str, state_dir: Path, clock: Clock, store_file: FileId | None = None) -> None:
        self._account = account
        self._state_dir = state_dir
        self._store_file = store_file
        self._clock = clock
        self._mutex = threading.Lock()
        self._turn_until = 0.0
        self._turn_of = 0
        self._seen: Refused | None = None
        self._not_before = 0.0
        self._unstored = 0

    def wait_for_turn(
        self,
        stop: threading.Event,
        progress: Progress | None = None,
        on_refused: Callable[[], object] = lambda: None,
    ) -> bool:
        """Wait until a login may be tried, while no other is; False when told to stop. Ends with `done`.

        `on_refused` is called where refusals hold it, which may be for an hour.
        """
        while not stop.is_set():
            with self._mutex:
                left = max(self._turn_until - self._clock.monotonic(), 0.0)
                is_taken = left > 0.0
                left = left or self._left()
                if left <= 0.0:
                    self._turn_until = self._clock.monotonic() + TURN_SECONDS
                    self._turn_of = threading.get_ident()
                    return True
            seconds = 0.2 if is_taken else min(left, _LOOK_SECONDS)
            if not is_taken:
                on_refused()
            if progress:
                progress.rest(seconds)
            self._clock.wait(stop, seconds)
        return False

    def done(self, *, refused: bool | None, may_pass: bool = False) -> Ended:
        """End the turn: the login was refused, or went well, or (None) neither.

        `may_pass`: the refusal need not mean a wrong password. It counts like any other.
        """
        with self._mutex:
            # A replaced worker that wakes may have lost its turn to another.
            if self._turn_of == threading.get_ident():
                self._turn_until = 0.0
            if refused is None:
                return Ended(0.0, is_passing=False)
            count = self._remember(refused, may_pass=may_pass)
            is_passing = refused and retry.is_login_passing(count, may_pass=may_pass)
            return Ended(self._left(), is_passing)

    def _left(self) -> float:
        """The seconds that are still to be waited after refusals."""
        stored = self._stored()
        monotonic, now = self._clock.monotonic(), self._clock.now()
        if stored is None:
            return max(self._not_before - monotonic, 0.0) if self._unstored else 0.0
        if stored != self._seen:
            # Of an earlier run. The wall clock may have been set meanwhile: never wait longer than the rule says.
            delay = retry.login_delay(stored.count, may_pass=not self._is_told())
            passed = (now - stored.at).total_seconds()
            self._seen, self._not_before = stored, monotonic + min(max(delay - passed, 0.0), delay)
        return max(self._not_before - monotonic, 0.0)

    def _is_told(self) -> bool:
        """Return whether a person knows of the refusals; the earlier run took those that nobody knows for passing."""
        try:
            with contextlib.closing(Store.open(self._state_dir, self._store_file)) as store:
                return any(episode.key == f"login/{self._account}" for episode in store.episodes.open())
        except StoreError:
            return True

    def _stored(self) -> Refused | None:
        try:
            store = Store.open(self._state_dir, self._store_file)
        except StoreError:
            return self._seen
        try:
            return store.refusals.of(self._account)
        except StoreError:
            return self._seen
        finally:
            store.close()

    def _remember(self, refused: bool, *, may_pass: bool) -> int:
        """Note it on disk; where that can't be, at least in memory. Return the number of refusals in a row."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        self._unstored = self._unstored + 1 if refused else 0
        count = self._unstored
        try:
            store = Store.open(self._state_dir, self._store_file)
            try:
                if refused:
                    count = store.refusals.add(self._account, now)
                    self._seen = store.refusals.of(self._account)
                else:
                    store.refusals.clear(self._account)
                    self._seen = None
            finally:
                store.close()
        except StoreError:
            pass
        else:
            self._unstored = 0
        self._not_before = monotonic + (retry.login_delay(count, may_pass=may_pass) if refused else 0.0)
        return count
