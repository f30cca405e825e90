"""What is told and what is the same request: a test for each row of design section 4, then what holds of any notice."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwatch.amazon.details import Item
from mailwatch.notice import Kind, Notice, Route
from mailwatch.request import Action, Decision, Known, Rollout, Rules, Sighting, State, decide
from mailwatch.trust import Trust

ID = "249-1234567-7654321"
INSIDE = datetime(2022, 6, 8, 0, 12, tzinfo=UTC)
AFTER = datetime(2022, 7, 8, 0, 12, tzinfo=UTC)
RULES = Rules()
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
TICK = timedelta(microseconds=1)


def notice(
    kind: Kind = Kind.REQUEST,
    trust: Trust = Trust.VERIFIED,
    route: Route | None = Route.NOTIFICATION,
    order_id: str | None = ID,
    items: tuple[Item, ...] = (),
) -> Notice:
    return Notice(kind, trust, route=route, order_id=order_id, items=items)


def seen(
    at: datetime = AFTER,
    kind: Kind = Kind.REQUEST,
    trust: Trust = Trust.VERIFIED,
    route: Route | None = Route.NOTIFICATION,
    items: tuple[Item, ...] = (),
) -> Sighting:
    return Sighting(at, kind, trust, route, items)


def known(*sightings: Sighting, state: State = State.OPEN, is_copy: bool = False) -> Known:
    return Known(is_copy, state, sightings)


def action(about: Notice, at: datetime, what: Known, rules: Rules = RULES) -> Action:
    return decide(about, at, what, rules).action


# ---- the rows ----


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.IGNORED])
def test_a_copy_of_a_mail_already_seen_joins(kind: Kind) -> None:
    """Seen red with `_copy` out of the table."""
    assert action(notice(kind), AFTER, known(seen(), is_copy=True)) is Action.JOIN
    assert action(notice(kind, order_id=None), AFTER, known(is_copy=True)) is Action.JOIN


@pytest.mark.parametrize("kind", [Kind.REQUEST, Kind.WISH, Kind.POSSIBLE, Kind.UNREADABLE])
def test_a_notice_without_an_order_id_opens(kind: Kind) -> None:
    assert action(notice(kind, order_id=None), AFTER, Known()) is Action.OPEN


@pytest.mark.parametrize("kind", [Kind.POSSIBLE, Kind.UNREADABLE])
def test_a_doubtful_notice_opens_and_joins_where_its_orders_request_is_known(kind: Kind) -> None:
    assert action(notice(kind), AFTER, Known()) is Action.OPEN
    assert action(notice(kind), AFTER + 30 * DAY, known(seen())) is Action.JOIN


def test_a_cancellation_of_an_order_that_nobody_asked_about_is_quiet() -> None:
    assert action(notice(Kind.CANCELLED), AFTER, Known()) is Action.QUIET


def test_an_unverified_cancellation_does_not_close_a_verified_request() -> None:
    """A forged "is cancelled" must not make a seller ship. Seen red with the row's question for trust out."""
    assert action(notice(Kind.CANCELLED, Trust.UNVERIFIED), AFTER, known(seen())) is Action.JOIN


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(Trust.VERIFIED, Trust.VERIFIED), (Trust.VERIFIED, Trust.UNVERIFIED), (Trust.UNVERIFIED, Trust.UNVERIFIED)],
)
def test_a_cancellation_closes_an_open_request_without_an_alarm(ours: Trust, theirs: Trust) -> None:
    decision = decide(notice(Kind.CANCELLED, ours), AFTER, known(seen(trust=theirs)), RULES)
    assert decision.action is Action.CLOSE
    assert not decision.alerts


@pytest.mark.parametrize("state", [State.DONE, State.RELEASED, State.CANCELLED, State.LAPSED])
def test_a_cancellation_of_a_request_that_is_closed_already_is_no_alarm(state: State) -> None:
    assert not decide(notice(Kind.CANCELLED), AFTER, known(seen(), state=state), RULES).alerts


@pytest.mark.parametrize("trust", [Trust.VERIFIED, Trust.UNVERIFIED])
@pytest.mark.parametrize("kind", [Kind.REQUEST, Kind.WISH])
@pytest.mark.parametrize("at", [INSIDE, AFTER])
def test_the_first_of_its_order_opens(kind: Kind, trust: Trust, at: datetime) -> None:
    assert action(notice(kind, trust), at, Known()) is Action.OPEN


@pytest.mark.parametrize("gap", [timedelta(), HOUR, 30 * DAY])
@pytest.mark.parametrize("kind", [Kind.REQUEST, Kind.WISH])
def test_an_unverified_notice_joins_what_is_known_from_verified_mail(kind: Kind, gap: timedelta) -> None:
    """Seen red with `_unverified_after_verified` out of the table."""
    later = notice(kind, Trust.UNVERIFIED, items=(Item(asin="B000000002"),))
    assert action(later, AFTER + gap, known(seen(kind=kind, items=(Item(asin="B000000001"),)))) is Action.JOIN


@pytest.mark.parametrize("gap", [timedelta(), MINUTE, -MINUTE, HOUR, 30 * DAY])
@pytest.mark.parametrize("kind", [Kind.REQUEST, Kind.WISH])
def test_a_verified_notice_tells_again_of_what_is_known_only_from_unverified_mail(kind: Kind, gap: timedelta) -> None:
    """However soon it comes: a spoof must not silence the truth. Guards against a join within 15 minutes."""
    spoof = known(seen(kind=kind, trust=Trust.UNVERIFIED))
    assert decide(notice(kind), AFTER + gap, spoof, RULES) == Decision(Action.REOPEN, "verified now")


@pytest.mark.parametrize("before", [Trust.VERIFIED, Trust.UNVERIFIED])
@pytest.mark.parametrize("trust", [Trust.VERIFIED, Trust.UNVERIFIED])
def test_an_official_request_tells_again_of_what_was_only_a_wish(trust: Trust, before: Trust) -> None:
    """Whatever the trust of either: the seller waits for the button, and it was pressed. Seen red with
    `_unverified_after_verified` before `_official_now`: an unproved request joined a verified wish in silence."""
    wish = known(seen(kind=Kind.WISH, trust=before))
    official = notice(trust=trust)
    assert decide(official, AFTER + MINUTE, wish, RULES) == Decision(Action.REOPEN, "now official")


@pytest.mark.parametrize("gap", [MINUTE, 30 * DAY])
def test_a_wish_joins_an_official_request(gap: timedelta) -> None:
    assert action(notice(Kind.WISH, route=Route.MESSAGE), AFTER + gap, known(seen())) is Action.JOIN


A, B = Item("ケトル 0.8L", "B000000001", "K-1", 1), Item("ヨガマット", "B000000002", "Y-1", 1)


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        ((B,), (A,), Action.REOPEN),
        ((A, B), (A,), Action.REOPEN),
        ((A,), (A, B), Action.JOIN),
        ((A,), (A,), Action.JOIN),
        ((), (A,), Action.JOIN),
        ((B,), (), Action.JOIN),
        ((Item(asin="B000000001"),), (Item(sku="K-1"),), Action.JOIN),
        ((Item(asin="B000000001", title="別の題"),), (A,), Action.JOIN),
        ((Item(title="ケトル　０.８Ｌ"),), (A,), Action.JOIN),
        ((Item(title="ステンレス電気ケトル 0.8L ホワイト"),), (Item(title="ステンレス電気ケトル 0.8L…"),), Action.JOIN),
        ((Item(title="ヨガマット"),), (Item(title="ケトル"),), Action.REOPEN),
        ((Item(quantity=2),), (A,), Action.JOIN),
    ],
)
def test_an_item_that_no_earlier_notice_named_tells_again(
    new: tuple[Item, ...], old: tuple[Item, ...], expected: Action
) -> None:
    """Seen red with `_more_items` out of the table."""
    assert action(notice(items=new), AFTER + HOUR, known(seen(items=old))) is expected


def test_an_item_named_by_any_earlier_notice_is_not_new() -> None:
    assert (
        action(notice(items=(B,)), AFTER + HOUR, known(seen(items=(A,)), seen(AFTER + MINUTE, items=(B,))))
        is Action.JOIN
    )


@pytest.mark.parametrize("gap", [MINUTE, 4 * DAY, 11 * DAY, -2 * DAY])
def test_the_other_route_inside_the_window_joins_whatever_the_distance(gap: timedelta) -> None:
    """Seen red with `_other_route` out of the table."""
    first = known(seen(INSIDE, route=Route.MESSAGE))
    assert action(notice(), INSIDE + gap, first) is Action.JOIN


@pytest.mark.parametrize("state", list(State))
def test_the_other_route_joins_though_the_request_is_done(state: State) -> None:
    assert action(notice(), INSIDE + 5 * DAY, known(seen(INSIDE, route=Route.MESSAGE), state=state)) is Action.JOIN


@pytest.mark.parametrize("route", [Route.NOTIFICATION, None])
def test_the_same_or_an_unknown_route_inside_the_window_is_asked_again_after_the_merge_time(
    route: Route | None,
) -> None:
    assert action(notice(route=Route.NOTIFICATION), INSIDE + 5 * DAY, known(seen(INSIDE, route=route))) is Action.REOPEN
    assert action(notice(route=None), INSIDE + 5 * DAY, known(seen(INSIDE, route=Route.MESSAGE))) is Action.REOPEN


WINDOW_START, WINDOW_END = datetime(2022, 6, 5, 15, 0, tzinfo=UTC), datetime(2022, 6, 19, 15, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "inside"),
    [
        (WINDOW_START - TICK, False),
        (WINDOW_START, True),
        (WINDOW_END - TICK, True),
        (WINDOW_END, False),
        (datetime(2022, 6, 6, tzinfo=UTC), True),
        (datetime(2022, 6, 20, tzinfo=UTC), False),
    ],
)
def test_the_window_begins_and_ends_at_midnight_in_tokyo(at: datetime, inside: bool) -> None:
    """Seen red with UTC for Asia/Tokyo, and with `<=` at the end."""
    assert Rollout().contains(at) is inside
    other = at + 5 * DAY if at < INSIDE else at - 5 * DAY
    expected = Action.JOIN if inside and Rollout().contains(other) else Action.REOPEN
    assert action(notice(), at, known(seen(other, route=Route.MESSAGE))) is expected
    assert action(notice(), other, known(seen(at, route=Route.MESSAGE))) is expected


def test_a_window_of_no_days_holds_nothing_and_another_start_moves_it() -> None:
    assert not Rollout(days=0).contains(WINDOW_START)
    assert Rollout(date(2026, 1, 1), 1).contains(datetime(2025, 12, 31, 15, 0, tzinfo=UTC))


@pytest.mark.parametrize("at", [INSIDE, AFTER])
@pytest.mark.parametrize("route", [Route.MESSAGE, Route.NOTIFICATION, None])
@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        (timedelta(), Action.JOIN),
        (72 * HOUR, Action.JOIN),
        (72 * HOUR + TICK, Action.REOPEN),
        (-72 * HOUR, Action.JOIN),
        (-72 * HOUR - TICK, Action.REOPEN),
    ],
)
def test_within_the_merge_time_of_a_sighting_it_is_the_same_request(
    gap: timedelta, expected: Action, route: Route | None, at: datetime
) -> None:
    """Seen red with `<`, and with the distance not absolute."""
    assert action(notice(route=route), at + gap, known(seen(at, route=route))) is expected


def test_the_distance_is_that_to_any_sighting() -> None:
    sightings = known(seen(AFTER), seen(AFTER + 70 * HOUR))
    assert action(notice(), AFTER + 140 * HOUR, sightings) is Action.JOIN


def test_a_merge_time_of_nothing_merges_nothing() -> None:
    rules = Rules(merge_within=timedelta())
    assert action(notice(), AFTER, known(seen(AFTER)), rules) is Action.REOPEN
    assert action(notice(), INSIDE, known(seen(INSIDE, route=Route.MESSAGE)), rules) is Action.JOIN


@pytest.mark.parametrize("state", [State.OPEN, State.DONE, State.CANCELLED])
def test_later_than_that_it_is_asked_again_whatever_became_of_the_first(state: State) -> None:
    decision = decide(notice(), AFTER + 4 * DAY, known(seen(), state=state), RULES)
    assert decision == Decision(Action.REOPEN, "asked again")


@pytest.mark.parametrize("state", [State.DONE, State.CANCELLED])
def test_soon_after_it_was_done_or_cancelled_it_still_joins(state: State) -> None:
    assert action(notice(), AFTER + HOUR, known(seen(), state=state)) is Action.JOIN


@pytest.mark.parametrize("kind", list(Kind))
def test_a_forged_mail_is_never_told(kind: Kind) -> None:
    """Seen red with `is_told` asking for the kind alone."""
    for order_id in (ID, None):
        assert action(notice(kind, Trust.FORGED, order_id=order_id), AFTER, Known()) is Action.QUIET


# ---- what holds of every notice ----

TIMES = st.integers(-40 * 24 * 60, 40 * 24 * 60).map(
    lambda minutes: datetime(2022, 6, 13, tzinfo=UTC) + minutes * MINUTE
)
ITEMS = st.lists(st.sampled_from([A, B, Item(asin="B000000001"), Item(title="ケトル"), Item()]), max_size=2).map(tuple)
ROUTES = st.sampled_from([*Route, None])
NOTICES = st.builds(
    Notice,
    kind=st.sampled_from(Kind),
    trust=st.sampled_from(Trust),
    route=ROUTES,
    order_id=st.sampled_from([ID, None]),
    items=ITEMS,
)
SIGHTINGS = st.builds(
    Sighting,
    at=TIMES,
    kind=st.sampled_from([Kind.REQUEST, Kind.WISH, Kind.POSSIBLE, Kind.UNREADABLE]),
    trust=st.sampled_from([Trust.VERIFIED, Trust.UNVERIFIED]),
    route=ROUTES,
    items=ITEMS,
)
KNOWN = st.builds(
    Known, is_copy=st.booleans(), state=st.sampled_from(State), sightings=st.lists(SIGHTINGS, max_size=4).map(tuple)
)
RULE_SETS = st.builds(
    Rules,
    rollout=st.builds(Rollout, start=st.dates(date(2022, 5, 1), date(2022, 8, 1)), days=st.integers(0, 30)),
    merge_within=st.integers(0, 200).map(lambda hours: hours * HOUR),
)


@pytest.mark.long
@given(NOTICES, TIMES, KNOWN, RULE_SETS)
@settings(max_examples=300)
def test_every_notice_gets_a_decision_and_only_open_and_reopen_tell_a_person(
    about: Notice, at: datetime, what: Known, rules: Rules
) -> None:
    decision = decide(about, at, what, rules)
    assert decision.why
    assert decision.alerts == (decision.action in {Action.OPEN, Action.REOPEN})
    assert about.is_told or decision.action is Action.QUIET
    assert what.sightings or decision.action not in {Action.REOPEN, Action.CLOSE}
    assert about.kind is Kind.CANCELLED or decision.action is not Action.CLOSE


@given(NOTICES, TIMES, KNOWN, RULE_SETS)
@settings(max_examples=150)
def test_no_copy_ever_tells_a_person(about: Notice, at: datetime, what: Known, rules: Rules) -> None:
    """Seen red with `_copy` below `_without_order`."""
    copied = Known(is_copy=True, state=what.state, sightings=what.sightings)
    assert not decide(about, at, copied, rules).alerts


@given(NOTICES, TIMES, st.lists(SIGHTINGS, max_size=3), SIGHTINGS, RULE_SETS)
@settings(max_examples=200)
def test_nothing_unverified_ever_tells_again_of_what_verified_mail_told(
    about: Notice, at: datetime, others: list[Sighting], one: Sighting, rules: Rules
) -> None:
    """But that it is official now. Seen red with `_unverified_after_verified` below `_more_items`."""
    spoof = notice(about.kind, Trust.UNVERIFIED, about.route, items=about.items)
    verified = seen(one.at, one.kind, Trust.VERIFIED, one.route, one.items)
    is_official_now = spoof.kind is Kind.REQUEST and not any(each.kind is Kind.REQUEST for each in (*others, verified))
    assert decide(spoof, at, known(*others, verified), rules).alerts is is_official_now


@given(NOTICES, TIMES, RULE_SETS)
@settings(max_examples=150)
def test_the_first_notice_of_an_order_that_may_be_told_always_is(about: Notice, at: datetime, rules: Rules) -> None:
    """Seen red with JOIN for OPEN in `_first`."""
    if about.is_told and about.kind is not Kind.CANCELLED:
        assert decide(about, at, Known(), rules).alerts


@pytest.mark.long
@given(NOTICES, TIMES, st.lists(SIGHTINGS, min_size=1, max_size=4), st.sampled_from(State), RULE_SETS)
@settings(max_examples=150)
def test_no_unverified_sighting_keeps_a_verified_request_from_being_told(
    about: Notice, at: datetime, others: list[Sighting], state: State, rules: Rules
) -> None:
    """Whatever spoofs are known, and however soon it comes."""
    spoofs = [seen(each.at, each.kind, Trust.UNVERIFIED, each.route, each.items) for each in others]
    genuine = notice(Kind.REQUEST, Trust.VERIFIED, about.route, items=about.items)
    assert decide(genuine, at, known(*spoofs, state=state), rules).alerts
