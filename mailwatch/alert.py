"""What a person is to be told: the facts, before they are worded (`texts`) and sent (`transport`). Times are aware UTC.

Alert: of a mail · FaultNews: of the watching · Digest: several alerts in one · MorningLine · TestAlert.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from mailwatch.amazon.details import Item
from mailwatch.errors import Fault
from mailwatch.notice import Kind
from mailwatch.request import Sighting
from mailwatch.trust import Trust

# Without these a parcel may leave: they never wait for the end of the quiet hours.
_ABOUT_A_PARCEL = {Kind.REQUEST, Kind.WISH}


@dataclass(frozen=True, slots=True)
class Alert:
    """One notice that is told, as stored; the texts are made when it is sent."""

    kind: Kind
    why: str
    trust: Trust
    seller: str
    order_id: str | None
    marketplace: str | None
    received: datetime
    account: str
    folder: str
    sightings: tuple[Sighting, ...]
    items: tuple[Item, ...] = ()
    also_mentioned: tuple[str, ...] = ()
    reason: str | None = None
    excerpt: str | None = None
    order_date: str | None = None
    ship_by: str | None = None
    sender_domain: str | None = None
    asked: int = 1
    may_be_repeat: bool = False
    open_requests: int = 0
    told_at: datetime | None = None


class Stage(StrEnum):
    """The news of a fault's episode."""

    BEGAN = "began"
    LASTS = "lasts"
    OVER = "over"
    ONCE = "once"  # over before it was told


@dataclass(frozen=True, slots=True)
class FaultNews:
    """A fault of the watching: when it began, and whether that is new, still so, or over."""

    fault: Fault
    stage: Stage
    since: datetime
    may_be_repeat: bool = False


@dataclass(frozen=True, slots=True)
class DigestRow:
    """One alert in a digest: its order, or the place of a mail without one."""

    kind: Kind
    order_id: str | None
    at: datetime
    place: str = ""


@dataclass(frozen=True, slots=True)
class Digest:
    """Several alerts in one: `count` of them, of which these are named. `reason`: `unverified`, `first_start`,
    `rebuilt` or `outage`."""

    reason: str
    count: int
    named: tuple[DigestRow, ...]
    since: datetime
    may_be_repeat: bool = False

    def first(self, rows: int) -> Digest:
        """Return the part that names the first `rows`; what is only counted belongs to the last part."""
        if rows == len(self.named):
            return self
        return replace(self, count=rows, named=self.named[:rows])


@dataclass(frozen=True, slots=True)
class MorningLine:
    """What was seen since the last morning line. `troubles`: what is not well now, so that silence proves nothing;
    `undelivered`: orders of open wishes whose buyer did not get the seller's reply; `quiet`: accounts to which Amazon
    has sent nothing for unusually long, a sentence each."""

    since: datetime
    mails: int
    known: int
    open: int
    missed: int
    forged: int
    troubles: tuple[Fault, ...] = ()
    undelivered: tuple[str, ...] = ()
    quiet: tuple[Fault, ...] = ()
    may_be_repeat: bool = False


@dataclass(frozen=True, slots=True)
class TestAlert:
    """What `check --send` sends."""

    __test__ = False  # pytest's: not a test case

    at: datetime
    may_be_repeat: bool = False


Told = Alert | FaultNews | Digest | MorningLine | TestAlert


def is_urgent(kind: Kind) -> bool:
    """Whether an alert of this kind goes out in the quiet hours too."""
    return kind in _ABOUT_A_PARCEL
