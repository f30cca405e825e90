"""What the workers share beside the store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from mailwatch.catalogue import say_fault
from mailwatch.config import Account, Channel
from mailwatch.errors import MailwatchError
from mailwatch.mailbox import Server
from mailwatch.transport import Sender

ServerOf = Callable[[Account], Server]
SenderOf = Callable[[Channel], Sender]


@dataclass(slots=True)
class Signals:
    """What the threads tell each other beside the store: stop, "something is owed" for each channel, and trouble."""

    stop: threading.Event = field(default_factory=threading.Event)
    owed: dict[str, threading.Event] = field(default_factory=dict)
    trouble: threading.Event = field(default_factory=threading.Event)

    def wake_channels(self, besides: str | None = None) -> None:
        """Something was written into the outbox; the channel that wrote it looks by itself."""
        for name, event in self.owed.items():
            if name != besides:
                event.set()


def why(fault: MailwatchError) -> str:
    """The fault's sentence, in English: the log is for the one who helps."""
    return say_fault(fault.fault, "en")
