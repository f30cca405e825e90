"""Is silence proof? What the store says of folders and channels, judged. Pure.

The heartbeat, the morning line and `status` say "well" by this one function (design section 1, point 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from mailwatch.errors import Fault
from mailwatch.fares import ChannelState

# A fault is told after this long without a good search; a link that was lost for a minute is nobody's business.
STALE_AFTER = timedelta(minutes=15)
# A channel that does not accept for so long is told on the others; a stand-in steps in much sooner.
DEAD_AFTER = timedelta(minutes=15)
STAND_IN_AFTER = timedelta(seconds=45)
# A channel that accepts, and yet lets an alert wait so long, is too slow: told, and a stand-in steps in.
SLOW_AFTER = timedelta(minutes=5)
# It keeps up again once nothing waits for longer than this.
IN_TIME = timedelta(minutes=1)
_OVERDUE_AFTER = timedelta(minutes=3)
# When Amazon is quiet (`quiet_since`): what is looked at, and the least that must be known and missed.
_USUAL = timedelta(days=30)
_KNOWN_DAYS = 14
_QUIET_GAPS = 3
_QUIET_AT_LEAST = timedelta(days=3)
# Three slices of IDLE or polling, but never less than this.
_FRESH_AT_LEAST = timedelta(minutes=3)
_FRESH_SLICES = 3


@dataclass(frozen=True, slots=True)
class FolderHealth:
    """A watched folder, named as in the configuration. `mode`: idle, poll, or absent (no junk folder there)."""

    account: str
    folder: str
    mode: str | None
    last_good_search: datetime | None
    mails_seen: int


@dataclass(frozen=True, slots=True)
class Health:
    """All that is known, at one moment. `unknown_types`: of Amazon's mails, those that no form knows, with a number."""

    folders: tuple[FolderHealth, ...]
    channels: tuple[ChannelState, ...]
    faults: tuple[Fault, ...]
    open_requests: int
    unknown_types: tuple[tuple[str, int], ...] = ()


def fresh_within(slice_seconds: float) -> timedelta:
    """How old a good search may be, where a search follows each slice of so many seconds."""
    return max(_FRESH_AT_LEAST, _FRESH_SLICES * timedelta(seconds=slice_seconds))


def is_stale(folder: FolderHealth, now: datetime, within: timedelta) -> bool:
    """Whether the folder had no good search within that time. A clock that was set back counts as no search."""
    if folder.mode == "absent":
        return False
    return folder.last_good_search is None or not timedelta() <= now - folder.last_good_search <= within


def troubles(health: Health, now: datetime, within: timedelta) -> tuple[Fault, ...]:
    """Why silence is no proof now; empty where it is. `within`: how fresh a good search must be."""
    stale = [
        Fault("fault.fresh", {"account": folder.account, "folder": folder.folder})
        for folder in health.folders
        if is_stale(folder, now, within)
    ]
    overdue = [
        Fault("fault.overdue", {"channel": channel.name, "owed": str(channel.owed)})
        for channel in health.channels
        if channel.oldest_owed is not None and now - channel.oldest_owed > _OVERDUE_AFTER
    ]
    return (*stale, *overdue)


def quiet_since(days: Sequence[tuple[datetime, datetime]], now: datetime) -> datetime | None:
    """Return since when an account has had no mail of Amazon's, where that is unusual for it; else None.

    `days`: the first and the last arrival of each day with such a mail, in order. Unusual: it had some on most of the
    30 days until the last one (of those that are known, at least 14), and has had none for three times the longest gap
    between two of them, at least 3 days.
    """
    if not days:
        return None
    last = days[-1][1]
    begin = max(last - _USUAL, days[0][0])
    usual = [day for day in days if day[1] > last - _USUAL]
    known = (last - begin) / timedelta(days=1)
    if known < _KNOWN_DAYS - 1 or len(usual) <= known / 2:
        return None
    gap = max(later[0] - earlier[1] for earlier, later in pairwise(usual))
    return last if now - last >= max(_QUIET_GAPS * gap, _QUIET_AT_LEAST) else None
