"""What the workers share beside the store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from mailwatch.catalogue import say_fault
from mailwatch.clock import Clock
from mailwatch.config import Account, Channel
from mailwatch.database import FileId
from mailwatch.errors import Fault, MailwatchError, StoreError
from mailwatch.mailbox import Server
from mailwatch.transport import Sender

ServerOf = Callable[[Account], Server]
SenderOf = Callable[[Channel], Sender]


@dataclass(slots=True)
class Signals:
    """What the threads tell each other beside the store: stop, "something is owed" for each channel, trouble,
    by each worker's name why it can't write the store, and by (account, folder, number) why there is no connection.

    `recoveries`: how often a channel has accepted again, so that the others are tried too. `has_searched`: a folder had
    its first good search, or there will be none, for it is stopped. `store_file`: the file that this `run` works on;
    one that takes its place is opened by nobody before `run` knows.
    """

    stop: threading.Event = field(default_factory=threading.Event)
    owed: dict[str, threading.Event] = field(default_factory=dict)
    trouble: threading.Event = field(default_factory=threading.Event)
    has_searched: threading.Event = field(default_factory=threading.Event)
    store_faults: dict[str, StoreError] = field(default_factory=dict)
    recoveries: int = 0
    unreachable: dict[tuple[str, str, int], Fault] = field(default_factory=dict)
    store_file: FileId | None = None

    def wake_channels(self, besides: str | None = None) -> None:
        """Something was written into the outbox; the channel that wrote it looks by itself."""
        for name, event in self.owed.items():
            if name != besides:
                event.set()


# How much later than planned a wait may end on a busy machine.
_WAIT_SLACK_SECONDS = 60.0


class Progress:
    """What a worker says of itself: by when its present step will be over. A step that is late means that it hangs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: float | None = None
        self._is_resting = False
        self.steps = 0

    def expect(self, seconds: float) -> None:
        """A step begins, and ends within so many seconds."""
        self._begin(seconds, is_resting=False)

    def rest(self, seconds: float) -> None:
        """The worker waits, for mail, for work or for its next try: nothing to be done, for so many seconds at most."""
        self._begin(seconds + _WAIT_SLACK_SECONDS, is_resting=True)

    def _begin(self, seconds: float, *, is_resting: bool) -> None:
        self._due = self._clock.monotonic() + seconds
        self._is_resting = is_resting
        self.steps += 1

    @property
    def is_late(self) -> bool:
        """Whether the present step should be over."""
        due = self._due
        return due is not None and self._clock.monotonic() > due

    def is_proven(self, steps: int | None) -> bool:
        """Whether the worker goes on: not late, and it rests or has begun a step since it stood at `steps`."""
        return not self.is_late and (self._is_resting or self.steps != steps)


def why(fault: MailwatchError) -> str:
    """The fault's sentence, in English: the log is for the one who helps."""
    return say_fault(fault.fault, "en")
