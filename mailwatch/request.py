"""A notice and what is known in, the decision out: is a person told, and is it the same request as before?

Pure: no I/O, no clock. The table of design section 4 is `decide`, one function a row, first match decides.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from mailwatch.amazon.details import Item
from mailwatch.notice import Kind, Notice, Route
from mailwatch.trust import Trust

# The roll-out was Amazon.co.jp's (domain section 2): its days are Japanese days wherever mailwatch runs.
ROLLOUT_ZONE = ZoneInfo("Asia/Tokyo")


class Action(StrEnum):
    """What becomes of a notice."""

    OPEN = "open"
    JOIN = "join"
    REOPEN = "reopen"
    CLOSE = "close"
    QUIET = "quiet"


class State(StrEnum):
    """The states of a request."""

    OPEN = "open"
    DONE = "done"
    RELEASED = "released"
    CANCELLED = "cancelled"
    LAPSED = "lapsed"


@dataclass(frozen=True, slots=True)
class Decision:
    """The action and the row of the table that gave it."""

    action: Action
    why: str

    @property
    def alerts(self) -> bool:
        """Whether a person is told now."""
        return self.action in {Action.OPEN, Action.REOPEN}


@dataclass(frozen=True, slots=True)
class Sighting:
    """One mail that told of a request: when the server received it (aware UTC), by which route, how trusted, where."""

    at: datetime
    kind: Kind
    trust: Trust
    route: Route | None = None
    items: tuple[Item, ...] = ()
    account: str = ""
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of the notice's order, or of its mail.

    `is_copy`: a mail with the same content, at least as trusted, is known. `sightings`: those of the order's request,
    oldest first, empty where there is none.
    """

    is_copy: bool = False
    state: State = State.OPEN
    sightings: tuple[Sighting, ...] = ()


@dataclass(frozen=True, slots=True)
class Rollout:
    """The days in which one request may come by both routes: `start` <= day < `start + days`, in Asia/Tokyo."""

    start: date = date(2022, 6, 6)
    days: int = 14

    def contains(self, at: datetime) -> bool:
        """Whether the moment (aware) is inside the window."""
        first = datetime.combine(self.start, time(), ROLLOUT_ZONE)
        last = datetime.combine(self.start + timedelta(days=self.days), time(), ROLLOUT_ZONE)
        return first <= at.astimezone(UTC) < last


@dataclass(frozen=True, slots=True)
class Rules:
    """The two settings of de-duplication; `merge_within` of zero never merges."""

    rollout: Rollout = field(default_factory=Rollout)
    merge_within: timedelta = timedelta(hours=72)


def decide(notice: Notice, at: datetime, known: Known, rules: Rules) -> Decision:
    """Decide on a notice that the server received at `at` (aware UTC)."""
    if not notice.is_told:
        return Decision(Action.QUIET, "forged" if notice.trust is Trust.FORGED else "ignored")
    for row in _TABLE:
        if decision := row(notice, at, known, rules):
            return decision
    return Decision(Action.REOPEN, "asked again")


def _copy(_notice: Notice, _at: datetime, known: Known, _rules: Rules) -> Decision | None:
    return Decision(Action.JOIN, "a copy of a mail already seen") if known.is_copy else None


def _without_order(notice: Notice, _at: datetime, _known: Known, _rules: Rules) -> Decision | None:
    return Decision(Action.OPEN, "without an order ID") if notice.order_id is None else None


def _doubtful(notice: Notice, _at: datetime, known: Known, _rules: Rules) -> Decision | None:
    if notice.kind not in {Kind.POSSIBLE, Kind.UNREADABLE}:
        return None
    if known.sightings:
        return Decision(Action.JOIN, "doubtful, and its order's request is known")
    return Decision(Action.OPEN, "doubtful")


def _cancelled(notice: Notice, _at: datetime, known: Known, _rules: Rules) -> Decision | None:
    if notice.kind is not Kind.CANCELLED:
        return None
    if not known.sightings:
        return Decision(Action.QUIET, "cancelled, and nothing was asked")
    if notice.trust is not Trust.VERIFIED and _is_verified(known):
        return Decision(Action.JOIN, "cancelled, but unverified against a verified request")
    if known.state is State.OPEN:
        return Decision(Action.CLOSE, "Amazon says it is cancelled")
    return Decision(Action.JOIN, "cancelled, and closed before")


def _first(_notice: Notice, _at: datetime, known: Known, _rules: Rules) -> Decision | None:
    return None if known.sightings else Decision(Action.OPEN, "first of its order")


def _official_now(notice: Notice, _at: datetime, known: Known, _rules: Rules) -> Decision | None:
    """Tell again, whatever the trust: an official request changes what the seller may do without harm to the rate."""
    if notice.kind is Kind.REQUEST and not _is_official(known):
        return Decision(Action.REOPEN, "now official")
    return None


def _unverified_after_verified(notice: Notice, _at: datetime, known: Known, _rules: Rules) -> Decision | None:
    if notice.trust is Trust.UNVERIFIED and _is_verified(known):
        return Decision(Action.JOIN, "unverified, and known from verified mail")
    return None


def _verified_now(notice: Notice, _at: datetime, known: Known, _rules: Rules) -> Decision | None:
    """Tell again, always: an alert from unverified mail may have been a spoof that the seller threw away."""
    if notice.trust is Trust.VERIFIED and not _is_verified(known):
        return Decision(Action.REOPEN, "verified now")
    return None


def _wish_after_official(notice: Notice, _at: datetime, known: Known, _rules: Rules) -> Decision | None:
    if notice.kind is Kind.WISH and _is_official(known):
        return Decision(Action.JOIN, "a wish, and an official request is known")
    return None


def _more_items(notice: Notice, _at: datetime, known: Known, _rules: Rules) -> Decision | None:
    named = [item for sighting in known.sightings for item in sighting.items]
    if named and any(all(_is_another(new, old) for old in named) for new in notice.items):
        return Decision(Action.REOPEN, "more items")
    return None


def _other_route(notice: Notice, at: datetime, known: Known, rules: Rules) -> Decision | None:
    if not rules.rollout.contains(at) or notice.route is None:
        return None
    by_the_other = (s for s in known.sightings if s.route not in {None, notice.route})
    if any(rules.rollout.contains(sighting.at) for sighting in by_the_other):
        return Decision(Action.JOIN, "the other route, inside the roll-out window")
    return None


def _soon(_notice: Notice, at: datetime, known: Known, rules: Rules) -> Decision | None:
    if rules.merge_within and any(abs(at - sighting.at) <= rules.merge_within for sighting in known.sightings):
        return Decision(Action.JOIN, "soon after another")
    return None


_TABLE: tuple[Callable[[Notice, datetime, Known, Rules], Decision | None], ...] = (
    _copy,
    _without_order,
    _doubtful,
    _cancelled,
    _first,
    _official_now,
    _unverified_after_verified,
    _verified_now,
    _wish_after_official,
    _more_items,
    _other_route,
    _soon,
)


def _is_verified(known: Known) -> bool:
    return any(sighting.trust is Trust.VERIFIED for sighting in known.sightings)


def _is_official(known: Known) -> bool:
    return any(sighting.kind is Kind.REQUEST for sighting in known.sightings)


def _is_another(new: Item, old: Item) -> bool:
    """Whether two items are surely not the same: something both name differs, and nothing both name agrees.

    One route may name the ASIN and the other the SKU, and titles come cut: what can't be compared is not another item.
    """
    pairs = [(new.asin, old.asin), (new.sku, old.sku), (folded_title(new), folded_title(old))]
    both = [(a, b) for a, b in pairs if a and b]
    return bool(both) and not any(a == b or (len(a) > 10 and (a.startswith(b) or b.startswith(a))) for a, b in both)


def folded_title(item: Item) -> str:
    """The item's title as it is compared: width, case, blanks and the dots of a cut end make no difference."""
    folded = unicodedata.normalize("NFKC", (item.title or "")[:300]).casefold()
    return "".join(folded.split()).rstrip(".…")
