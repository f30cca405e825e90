"""The real program with a fault planted in it: `python -m endurance.planted NAME MAILWATCH-ARGUMENTS`.

seen-before-recorded: a mail counts as seen before it is read · settled-before-sent: an alert is marked before its first
byte · no-retry-key: LINE gets no idempotency key.
`STEP:ACTION[:CHANNEL]` (a failpoint): at that step `die` (os._exit) or `raise`, once a process. Steps: `STEPS`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from mailwatch import mailbox, transport
from mailwatch.cli import main
from mailwatch.database import Database
from mailwatch.folders import Folders, MailIdentity, Tries
from mailwatch.outbox import Outbox
from mailwatch.services.line import Line
from mailwatch.store import Store

EXIT_CODE = 86
# In the order of a mail's way (reliability section 2.2); each name says between what it lies.
STEPS = (
    "before list",
    "after list",
    "before headlines",
    "after headlines",
    "before begin_reading",
    "before commit of begin_reading",
    "after begin_reading",
    "after text",
    "before record",
    "before commit of record",
    "after record",
    "before commit of record_others",
    "after record_others",
    "before good_search",
    "before commit of good_search",
    "after good_search",
    "before begin_attempt",
    "before commit of begin_attempt",
    "after begin_attempt",
    "after send",
    "before settle",
    "before commit of settle",
    "after settle",
)
OF_A_CHANNEL = STEPS[STEPS.index("before begin_attempt") :]


def _seen_before_recorded() -> None:
    plain_begin, plain_insert = Folders.begin_reading, Folders.insert
    begun: set[MailIdentity] = set()

    def begin_reading(self: Folders, mail: MailIdentity, now: datetime) -> Tries:
        tries = plain_begin(self, mail, now)
        with self._database.transaction():
            if plain_insert(self, mail):
                begun.add(mail)
        return tries

    def insert(self: Folders, mail: MailIdentity) -> bool:
        return plain_insert(self, mail) or mail in begun

    _put(Folders, "begin_reading", begin_reading)
    _put(Folders, "insert", insert)


def _settled_before_sent() -> None:
    plain = Outbox.begin_attempt

    def begin_attempt(self: Outbox, *args: Any) -> None:
        plain(self, *args)
        self.settle(*args)

    _put(Outbox, "begin_attempt", begin_attempt)


def _no_retry_key() -> None:
    _put(Line, "amend", lambda *_: None)


PLANTS: dict[str, Callable[[], None]] = {
    "seen-before-recorded": _seen_before_recorded,
    "settled-before-sent": _settled_before_sent,
    "no-retry-key": _no_retry_key,
}


class Planted(Exception):
    """What a failpoint raises."""


class Failpoint:
    """Fires once, at its step."""

    def __init__(self, step: str, action: str, channel: str = "") -> None:
        if step not in STEPS or action not in {"die", "raise"}:
            raise ValueError(f"{step}:{action}")
        self._step, self._action, self._channel = step, action, channel
        self._changed = threading.Condition()
        self._fired = self._dying = False
        self._in_window: set[str] = set()
        self._now = threading.local()

    def hit(self, step: str, channel: str = "") -> None:
        """The program is at a step now."""
        with self._changed:
            if not self._is_next(step, channel):
                return
            self._fired = True
            # One write, for the other threads write their log meanwhile.
            os.write(2, f"failpoint {step}\n".encode())
        if self._action == "raise":
            raise Planted(step)
        self._be_alone(channel)
        os._exit(EXIT_CODE)

    def _is_next(self, step: str, channel: str) -> bool:
        return not self._fired and step == self._step and (not self._channel or channel == self._channel)

    def _be_alone(self, channel: str) -> None:
        """A death takes all threads: it must not hit another channel in the window, which is not its step."""
        with self._changed:
            self._dying = True
            self._changed.wait_for(lambda: self._in_window <= {channel}, 30)

    def _enter(self, channel: str) -> None:
        """A channel enters the window; not any more when the process is about to die."""
        with self._changed:
            self._changed.wait_for(lambda: not self._dying, 30)
            self._in_window.add(channel)

    def _leave(self, channel: str) -> None:
        with self._changed:
            self._in_window.discard(channel)
            self._changed.notify_all()

    def wrap(self, owner: type, name: str, step: str) -> None:
        """Hit "before STEP" and "after STEP" round a method, and say which one a commit belongs to."""
        plain = getattr(owner, name)

        def method(given: Any, *args: Any, **kwargs: Any) -> Any:
            channel = str(getattr(args[0], "channel", "")) if args else ""
            before = getattr(self._now, "step", None)
            self.hit(f"before {step}", channel)
            self._now.step = step, channel
            if self._action == "die" and self._is_next(f"before commit of {step}", channel):
                # Not inside the transaction: the other channel needs the store to leave the window.
                self._be_alone(channel)
            try:
                result = plain(given, *args, **kwargs)
            finally:
                self._now.step = before
                if step == "settle":
                    self._leave(channel)
            self.hit(f"after {step}", channel)
            return result

        _put(owner, name, method)

    def install(self) -> None:
        """Wrap every step of the program."""
        folder = mailbox.Mailbox
        for owner, name, step in (
            (folder, "uids", "list"),
            (folder, "headlines", "headlines"),
            (folder, "text", "text"),
            (Folders, "begin_reading", "begin_reading"),
            (Store, "record", "record"),
            (Store, "record_others", "record_others"),
            (Folders, "good_search", "good_search"),
            (Outbox, "begin_attempt", "begin_attempt"),
            (Outbox, "settle", "settle"),
        ):
            self.wrap(owner, name, step)
        self._wrap_commits()
        self._wrap_sends()

    def _wrap_commits(self) -> None:
        plain = Database.transaction

        @contextlib.contextmanager
        def transaction(database: Database) -> Iterator[None]:
            with plain(database):
                yield
                step = getattr(self._now, "step", None)
                if step is not None:
                    self.hit(f"before commit of {step[0]}", step[1])

        _put(Database, "transaction", transaction)

    def _wrap_sends(self) -> None:
        plain = transport.sender

        def sender(url: Any) -> Any:
            send = plain(url)
            channel = "line" if url.reveal().startswith("line:") else "plain"

            def sending(*args: Any) -> Any:
                self._enter(channel)
                outcome = send(*args)
                self.hit("after send", channel)
                return outcome

            return sending

        _put(transport, "sender", sender)


def _put(owner: object, name: str, value: object) -> None:
    setattr(owner, name, value)


def plant(name: str) -> None:
    """Change the program in this process."""
    if name in PLANTS:
        PLANTS[name]()
    else:
        Failpoint(*name.split(":")).install()


if __name__ == "__main__":
    plant(sys.argv[1])
    sys.argv[1:] = sys.argv[2:]
    main()
