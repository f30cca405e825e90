"""Whether Amazon's mail lies in folders that nobody watches: a filter may have moved it there on arrival.

Read-only and without a text: EXAMINE, UID SEARCH, and of what may be Amazon's UID FETCH ENVELOPE.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from mailwatch.amazon import sender
from mailwatch.errors import FolderMissing, MailwatchError, Unreachable
from mailwatch.mailbox import Client

DAYS = 90
MOST_FOLDERS = 200
SECONDS = 60.0
_REFUSED = {"mailbox.folder_missing", "mailbox.folder_refused"}
# In the domain of every address that is Amazon's.
_WORD = "amazon"
# Views of other folders, and what is not received (RFC 6154).
_NO_ARRIVALS = {b"\\all", b"\\flagged", b"\\important", b"\\sent", b"\\drafts"}


@dataclass(slots=True)
class Unwatched:
    """`with_mail`: the folders that hold mail of Amazon's, of `looked` ones; the others were left out, and why."""

    with_mail: list[str]
    looked: int = 0
    left_for_time: int = 0
    left_for_number: int = 0
    refused: int = 0

    @property
    def left(self) -> int:
        """How many folders were not looked into."""
        return self.left_for_time + self.left_for_number + self.refused


def look(client: Client, watched: Sequence[str], today: date, monotonic: Callable[[], float]) -> Unwatched:
    """Look into up to `MOST_FOLDERS` folders beside the `watched` ones (names or roles) within `SECONDS`.

    Raises `Unreachable` where the folders can't be listed. `monotonic`: a clock in seconds.
    """
    until = monotonic() + SECONDS
    known = {name.upper() for folder in watched for name in _resolved(client, folder)}
    others = [name for flags, name in client.folder_names() if name.upper() not in known and not flags & _NO_ARRIVALS]
    found = Unwatched([], left_for_number=max(len(others) - MOST_FOLDERS, 0))
    others = others[:MOST_FOLDERS]
    for at, name in enumerate(others):
        left = until - monotonic()
        if left <= 0:
            found.left_for_time = len(others) - at
            break
        try:
            senders = client.senders(name, _WORD, today - timedelta(days=DAYS), left)
        except (FolderMissing, Unreachable) as fault:
            if fault.fault.key not in _REFUSED:
                # The connection is lost; one that was mute until the time was over among them.
                found.left_for_time = len(others) - at
                break
            found.refused += 1
        else:
            found.looked += 1
            if any(sender.classify("", address).is_amazon for address in senders):
                found.with_mail.append(name)
    return found


def _resolved(client: Client, folder: str) -> tuple[str, ...]:
    try:
        return client.resolve(folder)
    except MailwatchError:
        return ()
