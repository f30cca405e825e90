"""A mail server as `watch.search` sees it, in memory and without a wire: for the state machine, which needs thousands.

    clock = WorldClock(datetime(2022, 6, 18, tzinfo=UTC))
    server = ModelledServer(clock.true)
    server.deliver(mail, "INBOX")
    server.renumber("INBOX", uidvalidity=5)
    Search(config, account, server.open("INBOX"), store, signals, clock, Progress(clock)).go()

It remembers mails and what befell them, and answers as `mailbox.Mailbox` does against a real server
(`test_state_machine` compares the two). What befalls a folder: mails that come, go, move and come late; an index that
is lost; a backup that is put back; a SEARCH that lags; a link that is lost in the middle.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

from mailwatch import message
from mailwatch.clock import Clock
from mailwatch.errors import Unreachable
from mailwatch.fetched import Headline
from mailwatch.mailbox import HEADLINE_FIELDS, Mailbox, is_junk_name
from mailwatch.message import Message

from . import mime

Now = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class KeptMail:
    """A mail in a folder; before `visible` it has its UID, and nobody sees it."""

    uid: int
    received: datetime
    data: bytes
    visible: datetime


@dataclass(slots=True)
class ModelledFolder:
    """A folder. `generation` changes with all that ends a server's sessions; `withheld`: what SEARCH does not show."""

    name: str
    uidvalidity: int = 1_650_000_000
    uidnext: int = 1
    mails: list[KeptMail] = field(default_factory=list)
    withheld: set[int] = field(default_factory=set)
    generation: int = 0
    was: list[int] = field(default_factory=list)
    backups: list[tuple[int, list[KeptMail]]] = field(default_factory=list)


class WorldClock(Clock):
    """`passed` is the right time in seconds; the machine's wall clock is `skew` off; monotonic starts at the boot."""

    def __init__(self, epoch: datetime) -> None:
        self.epoch = epoch
        self.passed = 0.0
        self.skew = 0.0
        self.booted = 0.0

    def true(self) -> datetime:
        """What a mail server's clock shows."""
        return self.epoch + timedelta(seconds=self.passed)

    def now(self) -> datetime:
        return self.true() + timedelta(seconds=self.skew)

    def monotonic(self) -> float:
        return 1000.0 + self.passed - self.booted

    def wait(self, event: threading.Event, seconds: float) -> bool:
        raise AssertionError("nothing waits in virtual time: its owner steps")


class ModelledServer:
    """The server; `now` is the right time. `calls_left`: the link is lost when so many more answers were given."""

    def __init__(self, now: Now, folders: Sequence[str] = ("INBOX", "Junk")) -> None:
        self.now = now
        self.folders = {name: ModelledFolder(name) for name in folders}
        self.calls_left: int | None = None
        # Called once, when the text of a mail is asked for: what befalls it between the list and the fetch.
        self.meanwhile: Callable[[KeptMail], object] | None = None

    def open(self, folder: str) -> ModelledMailbox:
        """A new connection with the folder examined."""
        return ModelledMailbox(self, self.folders[folder])

    def answering(self) -> None:
        """One more answer, or the link is lost."""
        if self.calls_left is not None:
            self.calls_left -= 1
            if self.calls_left < 0:
                self.calls_left = None
                raise Unreachable("mailbox.unreachable", host="model", port=143, why="lost")

    # ---- what befalls a folder ----

    def deliver(
        self, mail: bytes, folder: str, visible: datetime | None = None, received: datetime | None = None
    ) -> int:
        """Put a mail into a folder; the UID that it gets now, though it may be visible only later."""
        box = self.folders[folder]
        uid, box.uidnext = box.uidnext, box.uidnext + 1
        box.mails.append(KeptMail(uid, received or self.now(), mime.crlf(mail), visible or self.now()))
        return uid

    def visible(self, folder: str) -> list[KeptMail]:
        """What a client of now may see."""
        return [mail for mail in self.folders[folder].mails if mail.visible <= self.now()]

    def expunge(self, folder: str, uid: int) -> KeptMail:
        """Take a mail away."""
        box = self.folders[folder]
        gone = next(mail for mail in box.mails if mail.uid == uid)
        box.mails.remove(gone)
        return gone

    def copy(self, folder: str, uid: int, to: str) -> None:
        """COPY: another UID, the same INTERNALDATE (RFC 3501, 6.4.7)."""
        mail = next(mail for mail in self.folders[folder].mails if mail.uid == uid)
        self.deliver(mail.data, to, received=mail.received)

    def move(self, folder: str, uid: int, to: str) -> None:
        """MOVE; into the same folder: out and in again, which gives a new UID."""
        mail = self.expunge(folder, uid)
        self.deliver(mail.data, to, received=mail.received)

    def renumber(self, folder: str, uidvalidity: int) -> None:
        """A lost index: another UIDVALIDITY, and old numbers for other mails."""
        box = self.folders[folder]
        box.was.append(box.uidvalidity)
        box.uidvalidity = uidvalidity
        box.mails = [replace(mail, uid=number) for number, mail in enumerate(box.mails, 1)]
        box.uidnext = len(box.mails) + 1
        box.withheld.clear()
        box.generation += 1

    def back_up(self, folder: str) -> None:
        """Remember the folder as it is."""
        box = self.folders[folder]
        box.backups.append((box.uidnext, list(box.mails)))

    def restore(self, folder: str, which: int) -> None:
        """Put a backup in place of what is there, UIDNEXT with it: the next mail gets a UID that another had."""
        box = self.folders[folder]
        box.uidnext, box.mails = box.backups[which][0], list(box.backups[which][1])
        box.withheld.clear()
        box.generation += 1

    def withhold(self, folder: str, newest: int) -> None:
        """SEARCH leaves out the newest of now until `show`."""
        mails = self.visible(folder)
        self.folders[folder].withheld = {mail.uid for mail in mails[max(len(mails) - newest, 0) :]}

    def show(self, folder: str) -> None:
        """SEARCH has caught up."""
        self.folders[folder].withheld.clear()


class ModelledMailbox(Mailbox):
    """An examined folder of the server, with the answers of `Mailbox`."""

    def __init__(self, server: ModelledServer, box: ModelledFolder) -> None:  # nothing of a real link is needed
        self._server = server
        self._box = box
        self.generation = box.generation
        self.folder = self.watched_as = box.name
        self.uidvalidity, self.uidnext = box.uidvalidity, box.uidnext
        self.exists = len(server.visible(box.name))
        self.has_idle = True
        self.is_junk = is_junk_name(box.name)
        self._listed = self.exists

    @property
    def is_over(self) -> bool:
        """Whether the server has ended this session."""
        return self.generation != self._box.generation

    def uids(self, *, since: date | None = None, above: int | None = None) -> list[int]:
        self._server.answering()
        mails = self._server.visible(self._box.name)
        self._listed = len(mails)
        return sorted(
            mail.uid
            for mail in mails
            if mail.uid not in self._box.withheld
            and (above is None or mail.uid > above)
            and (since is None or above is not None or mail.received.date() >= since)
        )

    def examine_again(self) -> None:
        self._server.answering()
        if self.uidvalidity != self._box.uidvalidity:
            raise Unreachable("mailbox.lost", why="made anew")

    def is_listed_wrongly(self, uid: int) -> bool:  # its lists name no mail that is not there
        self._server.answering()
        return False

    def headlines(self, uids: Sequence[int]) -> Iterator[Headline]:
        self._server.answering()
        for mail in self._chosen(uids):
            header = mime.section(mime.parse(mail.data), f"HEADER.FIELDS ({HEADLINE_FIELDS})") or b""
            yield Headline(mail.uid, mail.received, len(mail.data), header)

    def identities(self, uids: Sequence[int]) -> Iterator[tuple[int, datetime | None, int]]:
        self._server.answering()
        for mail in self._chosen(uids):
            yield mail.uid, mail.received, len(mail.data)

    def text(self, headline: Headline) -> Message | None:
        self._server.answering()
        for mail in self._chosen([headline.uid]):
            happens, self._server.meanwhile = self._server.meanwhile, None
            if happens is not None and happens(mail):
                return None
            return message.parse(mail.data)
        return None

    @property
    def news(self) -> bool:
        return len(self._server.visible(self._box.name)) > self._listed

    def wait_idle(self, seconds: float) -> bool:
        self._server.answering()
        return False

    def noop(self) -> None:
        self._server.answering()

    def interrupt(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""

    def _chosen(self, uids: Sequence[int]) -> list[KeptMail]:
        wanted = set(uids)
        return [mail for mail in self._server.visible(self._box.name) if mail.uid in wanted]
