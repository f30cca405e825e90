"""Channels that fail: who stands in and when, what a month's quota is kept for, and that nothing owed is ever lost."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import mails
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual import (
    ACCEPTED,
    BEGAN,
    LASTS,
    NO_ANSWER,
    NO_CONNECTION,
    NOON,
    OVER,
    Phones,
    Plan,
    Run,
    VirtualClock,
    channel,
    configured,
    reading,
    status,
)

from mailwatch import health
from mailwatch.alert import Alert
from mailwatch.config import audience
from mailwatch.notice import Kind
from mailwatch.outbox import OutboxEntry
from mailwatch.report import Gather
from mailwatch.request import Rules
from mailwatch.services import Outcome, Result
from mailwatch.store import Store
from mailwatch.texts import Text
from mailwatch.trust import Trust
from mailwatch.watch.channel import deliver
from mailwatch.watch.oversight import state_of

pytestmark = pytest.mark.long

ORDERS = [mails.order_id(number) for number in range(260)]
ONE, TWO, THREE = ORDERS[:3]
NO_MORNING = "morning_line = ''"
LINE = f"line://token/U{'0' * 32}"
Start = Callable[..., tuple[Run, Phones]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """A run with these channels at noon in Japan (or another time), and the other end of its channels."""

    def begin(*sections: str, watch: str = NO_MORNING, at: datetime = NOON) -> tuple[Run, Phones]:
        clock = VirtualClock(at)
        phones = Phones(clock)
        return Run(configured(tmp_path, *sections, watch=watch), phones, clock), phones

    return begin


def hanging(run: Run, seconds: float, outcome: Outcome) -> Plan:
    """An answer that takes so long, while the others go on."""

    def answer(_: Text) -> Outcome:
        run.go_on(seconds=seconds)
        return outcome

    return answer


# ---- stand-ins: when ----


def test_a_stand_in_is_sent_nothing_itself_but_what_nobody_else_takes(start: Start) -> None:
    """Planted fault: every channel is owed what its `send` says: red."""
    run, phones = start(
        channel("slack"),
        channel("sms", fallback_for=["slack"], send=["request", "wish", "cancelled", "fault", "digest"]),
        watch="morning_line = '08:00'",
    )
    for order, kind in ((ONE, Kind.REQUEST), (TWO, Kind.WISH), (ONE, Kind.CANCELLED)):
        run.record(order, kind)
    for number in range(30):
        run.record(ORDERS[100 + number], trust=Trust.UNVERIFIED)
    run.is_searching = False
    run.go_on(hours=30, pace=300)
    assert len(phones.attempts("slack")) >= 2 + 20 + 1 + 1 + 1  # alerts, a digest, a fault, a morning line
    assert [each.text.title for each in phones.attempts("sms")] == ["[Cancelled] Amazon says it is cancelled"]


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_test_alert_that_is_refused_ends_no_wait_of_its_channel(start: Start, is_restarted: bool) -> None:
    """Planted faults, each red: the worker waits as long as the latest answer says; so does the store."""
    run, phones = start(channel("slack"))
    phones.plans["slack"] = status(401)
    run.record(ONE)
    run.go_on(minutes=1)
    phones.plans["slack"] = status(400)
    run.store.outbox.owe_tests(["slack"], run.clock.now())
    run.go_on(minutes=1)
    assert len(phones.attempts("slack")) == 2
    if is_restarted:
        run.close()
        run = Run(run.config, phones, run.clock)
    run.go_on(minutes=2.5, pace=30)
    assert len(phones.attempts("slack")) == 2
    run.go_on(minutes=2, pace=30)
    assert len(phones.attempts("slack")) > 2


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_a_channel_that_refuses_for_good_is_stood_in_for_at_once(start: Start, code: int) -> None:
    """Planted fault: 45 seconds whatever the answer: red."""
    run, phones = start(channel("slack"), channel("sms", fallback_for=["slack"]))
    phones.plans["slack"] = status(code)
    run.record(ONE)
    run.go_on(minutes=2)
    later = run.clock.now()
    run.record(TWO)
    run.go_on(minutes=2)
    assert phones.orders("sms") == [ONE, TWO]
    first, second = (each for each in phones.accepted("sms") if each.order)
    assert first.at - NOON <= timedelta(seconds=2)
    assert second.at - later <= timedelta(seconds=10)
    assert not any(each.is_marked for each in phones.accepted("sms"))
    assert [each.order for each in phones.attempts("slack")] == [ONE]


@pytest.mark.parametrize("outcome", [status(500), status(429, 600.0), NO_CONNECTION], ids=["500", "429", "network"])
def test_a_channel_that_does_not_accept_is_stood_in_for_after_45_seconds(start: Start, outcome: Outcome) -> None:
    """Planted fault: the stand-in waits for 15 minutes as a fault does: red."""
    run, phones = start(channel("slack"), channel("sms", fallback_for=["slack"]))
    phones.plans["slack"] = outcome
    run.record(ONE)
    run.go_on(minutes=5)
    assert phones.orders("sms") == [ONE]
    assert timedelta(seconds=45) <= phones.accepted("sms")[0].at - NOON <= timedelta(seconds=60)
    assert not phones.accepted("sms")[0].is_marked


def test_a_first_attempt_that_still_hangs_is_stood_in_for_after_45_seconds(start: Start) -> None:
    """Planted fault: only a failed attempt counts as trying: red."""
    run, phones = start(channel("slack"), channel("sms", fallback_for=["slack"]))
    phones.plans["slack"] = hanging(run, 300, NO_ANSWER)
    run.record(ONE)
    run.go_on(minutes=10)
    assert phones.orders("sms") == [ONE]
    [came] = phones.accepted("sms")
    assert timedelta(seconds=45) <= came.at - NOON <= timedelta(seconds=60)
    assert came.is_marked
    assert len(phones.attempts("slack")) == 1


def test_what_is_queued_behind_goes_to_the_stand_in_as_well_and_in_order(start: Start) -> None:
    """Planted fault: only what was tried is stood in for: red."""
    run, phones = start(channel("slack"), channel("sms", fallback_for=["slack"]))
    phones.plans["slack"] = status(500)
    for order in ORDERS[:5]:
        run.record(order)
        run.go_on(seconds=5)
    run.go_on(minutes=5)
    assert phones.orders("sms") == ORDERS[:5]
    assert all(each.at - NOON <= timedelta(seconds=90) for each in phones.accepted("sms"))
    phones.plans.clear()
    run.record(THREE)
    run.go_on(hours=2, pace=60)
    assert (phones.orders("sms"), phones.orders("slack")) == (ORDERS[:5], [])  # THREE joined
    run.record(ORDERS[9])
    run.go_on(minutes=5)
    assert phones.orders("slack") == [ORDERS[9]]
    assert run.owed() == 0


def test_a_channel_that_works_through_a_queue_is_not_stood_in_for(start: Start) -> None:
    """Slack takes one a second: after an outage of the mail server a hundred wait, and each SMS costs money."""
    run, phones = start(channel("slack"), channel("sms", fallback_for=["slack"]))
    phones.plans["slack"] = hanging(run, 1, ACCEPTED)
    for order in ORDERS[:100]:
        run.record(order)
    run.go_on(minutes=10)
    assert phones.orders("sms") == []
    assert phones.orders("slack") == ORDERS[:100]


# ---- stand-ins: told once ----


@pytest.mark.parametrize("is_stand_in_first", [True, False])
def test_the_first_to_accept_wins_and_nobody_else_is_sent_it(start: Start, is_stand_in_first: bool) -> None:
    """Planted fault: `settle` closes its own row only: told twice, red."""
    run, phones = start(channel("slack"), channel("sms", fallback_for=["slack"]))
    phones.plans |= {"slack": status(500), "sms": status(500)}
    run.record(ONE)
    run.go_on(minutes=3)
    assert {len(phones.attempts(name)) > 1 for name in ("slack", "sms")} == {True}
    del phones.plans["sms" if is_stand_in_first else "slack"]
    run.go_on(minutes=20, pace=20)
    phones.plans.clear()
    run.go_on(hours=2, pace=60)
    assert phones.orders("slack") + phones.orders("sms") == [ONE]
    assert [bool(phones.orders(name)) for name in ("sms", "slack")] == [is_stand_in_first, not is_stand_in_first]
    assert run.owed() == 0


@pytest.mark.parametrize("outcome", [status(503), status(401), NO_CONNECTION, NO_ANSWER])
@pytest.mark.parametrize("minutes", [12, 40, 59])
def test_what_a_dead_channel_owes_comes_within_five_minutes_of_its_return(
    start: Start, outcome: Outcome, minutes: int
) -> None:
    """In its first hour. After 12 minutes of HTTP 503 it took 267 s to twice that. Seen red with SEND_CAP alone."""
    run, phones = start(channel("slack"))
    phones.plans["slack"] = outcome
    for order in ORDERS[:20]:
        run.record(order)
    run.go_on(minutes=minutes, pace=1)
    phones.plans.clear()
    back = run.clock.now()
    run.go_on(minutes=5.1)
    assert phones.orders("slack", back) == ORDERS[:20]


def test_a_channel_is_tried_at_once_when_another_one_recovers(start: Start) -> None:
    """The network was down for both. Planted fault: `recoveries` is not counted: red. A wait that the service named
    stays, and so does the wait where the other channel never failed, or only for a moment."""
    run, phones = start(channel("slack"), channel("other"), channel("busy"))
    phones.plans |= {"slack": NO_CONNECTION, "other": NO_CONNECTION, "busy": status(429, 3000.0)}
    run.record(ONE)
    run.go_on(hours=3, pace=10)
    phones.plans.clear()
    back = run.clock.now()
    run.go_on(until=back + timedelta(minutes=15))
    first = {name: min(each.at for each in phones.accepted(name, back)) for name in ("slack", "other")}
    assert abs(first["slack"] - first["other"]) <= timedelta(seconds=1)
    assert all(each.at != first["slack"] for each in phones.attempts("busy", back))


def test_a_channel_that_fails_now_and_then_wakes_no_dead_one(start: Start) -> None:
    """Half of its answers are 429, as a busy service gives. Planted fault: each acceptance after a failure counts as a
    recovery: a try a second, red. A wait of 2 s is kept, and not doubled."""
    run, phones = start(channel("slack"), channel("dead"))
    answers = itertools.cycle([status(429, 2.0), status(429, 2.0), status(200)])
    phones.plans |= {"slack": lambda _: next(answers), "dead": status(401)}
    for order in ORDERS[:54]:
        run.record(order)
    run.go_on(minutes=10)
    assert phones.orders("slack") == ORDERS[:54]
    assert max(each.at for each in phones.accepted("slack")) - NOON <= timedelta(seconds=54 * 4 + 20)
    assert len(phones.attempts("dead")) <= 4


# ---- a slow channel ----


def slow(run: Run, seconds: float) -> Plan:
    """Accepts each alert, and takes so long."""
    return hanging(run, seconds, status(200))


def test_where_more_than_ten_wait_verified_requests_go_first(start: Start) -> None:
    """In order among themselves. Planted faults: always in order; the newest first: red each."""
    run, phones = start(channel("slack"))
    phones.plans["slack"] = NO_CONNECTION
    for order in ORDERS[:11]:
        run.record(order, Kind.WISH)
    for order in ORDERS[11:15]:
        run.record(order)
    run.record(ORDERS[15], Kind.REQUEST, Trust.UNVERIFIED)
    run.go_on(minutes=1)
    phones.plans.clear()
    run.go_on(minutes=2)
    assert phones.orders("slack") == [*ORDERS[11:15], *ORDERS[:11], ORDERS[15]]


@pytest.mark.parametrize("wishes", [1, 9])
def test_where_ten_or_fewer_wait_they_go_in_order(start: Start, wishes: int) -> None:
    """Seen red with nine as the number."""
    run, phones = start(channel("slack"))
    phones.plans["slack"] = NO_CONNECTION
    for order in ORDERS[:wishes]:
        run.record(order, Kind.WISH)
    run.record(ORDERS[wishes])
    run.go_on(minutes=1)
    phones.plans.clear()
    run.go_on(minutes=2)
    assert phones.orders("slack") == ORDERS[: wishes + 1]


def test_a_digest_of_verified_requests_goes_first_too(start: Start) -> None:
    """It names what a parcel is stopped by."""
    run, phones = start(channel("slack"))
    phones.plans["slack"] = NO_CONNECTION
    for order in ORDERS[:11]:
        run.record(order, Kind.WISH)
    told_to, now = audience(run.config.channels), run.clock.now()
    for order in ORDERS[20:22]:
        found = reading(order, Kind.REQUEST, Trust.VERIFIED, now)
        run.store.record(found, run.config.rules, told_to, now, None, Gather("outage", "shop", "INBOX"))
    run.store.reports.tell_gathered("shop", "INBOX", told_to, now)
    run.go_on(minutes=1)
    phones.plans.clear()
    run.go_on(minutes=2)
    assert ORDERS[20] in phones.accepted("slack")[0].text.body


def test_a_channel_that_accepts_too_slowly_calls_its_stand_in_and_is_told(start: Start) -> None:
    """50 alerts, 25 s each: the last came after over 20 minutes, and nobody was told. Planted faults: `_is_slow` never;
    its stand-in gets what waited for 5 minutes only: red each."""
    run, phones = start(channel("slack"), channel("sms", fallback_for=["slack"]), channel("other"))
    phones.plans["slack"] = slow(run, 25.0)
    for order in ORDERS[:50]:
        run.record(order)
    run.go_on(minutes=15)
    told = Counter(phones.orders("slack")) + Counter(phones.orders("sms"))
    assert set(told) == set(ORDERS[:50])
    # What was under way when the stand-in told it is marked there.
    assert sum(n - 1 for n in told.values()) <= sum(each.is_marked for each in phones.came)
    assert max(each.at for each in phones.accepted("sms") if each.order) - NOON <= timedelta(minutes=5, seconds=45)
    [began] = [each for each in phones.accepted("other") if each.text.title == BEGAN]
    assert "too slowly" in began.text.body
    assert timedelta(minutes=5) <= began.at - NOON <= timedelta(minutes=5, seconds=15)
    assert phones.titles("other").count(OVER) == 1
    assert BEGAN not in phones.titles("slack")
    assert run.owed() == 0


def test_what_a_channel_makes_up_for_after_an_outage_does_not_make_it_slow(start: Start) -> None:
    """What it owes is old, and goes at once. Planted fault: `_not_behind` is not looked at: red."""
    run, phones = start(channel("slack"), channel("other"))
    phones.plans["slack"] = status(503)
    for order in ORDERS[:54]:
        run.record(order)
    run.go_on(minutes=30, pace=1)
    phones.plans["slack"] = slow(run, 1.0)
    run.go_on(minutes=30)
    assert phones.orders("slack") == ORDERS[:54]
    assert phones.titles("other").count(BEGAN) == phones.titles("other").count(OVER) == 1
    assert "too slowly" not in "".join(each.text.body for each in phones.accepted("other"))


def test_an_alert_that_is_held_or_refused_by_itself_makes_no_channel_slow(start: Start) -> None:
    """Quiet hours, and HTTP 400. Planted fault: `oldest_owed` in place of `oldest_waiting`: red."""
    run, phones = start(channel("slack"), channel("other"), watch=NO_MORNING + "\nquiet_hours = '11:00-13:00'")
    phones.plans["slack"] = lambda text: status(400) if ONE in text.whole else status(200)
    run.record(ONE)
    run.record(TWO, Kind.POSSIBLE)
    for order in ORDERS[3:33]:
        run.record(order)
        run.go_on(minutes=1)
    run.go_on(minutes=40)
    assert "too slowly" not in "".join(each.text.body for each in phones.accepted("other"))
    assert TWO in phones.orders("slack")


def test_an_alert_told_by_the_stand_in_is_not_told_again_when_the_channel_is_back(start: Start) -> None:
    """Planted fault: the stand-in's row has no root: red."""
    run, phones = start(channel("slack"), channel("sms", fallback_for=["slack"]), channel("other"))
    phones.plans["slack"] = status(401)
    run.record(ONE)
    run.go_on(hours=5, pace=60)
    # It is still tried, by the news that it is back: every 5 minutes in its first hour, then once an hour.
    assert 12 <= len(phones.attempts("slack")) <= 18
    phones.plans.clear()
    run.go_on(hours=2, pace=60)
    assert phones.orders("slack") == []
    assert phones.titles("slack") == [OVER]
    assert Counter(phones.titles("other")) == Counter([BEGAN, OVER, "[Request] Cancellation request"])
    assert phones.orders("sms") == [ONE]
    assert run.owed() == 0


def test_an_alert_that_the_stand_in_told_meanwhile_is_not_sent(start: Start) -> None:
    """The channel's worker has read its row when the stand-in settles it. Planted fault: `deliver` sends whatever
    `begin_attempt` says: told twice, red."""
    run, phones = start(channel("slack"), channel("sms", fallback_for=["slack"]))
    run.record(ONE)
    slack, sms = run.config.channels
    outbox, now = run.store.outbox, run.clock.now()
    read_before = outbox.due("slack", now)
    assert outbox.stand_in("slack", [("sms", ALL)], now, now) == 1
    other = outbox.due("sms", now)
    assert read_before is not None
    assert other is not None
    deliver(run.store, run.config, sms, phones.of(sms), other, run.clock)
    late = deliver(run.store, run.config, slack, phones.of(slack), read_before, run.clock)
    assert [each.channel for each in phones.came] == ["sms"]
    assert (late.outcome.result, late.delay, late.is_news) == (Result.ACCEPTED, 0.0, False)
    assert outbox.fares.of("slack", now).trying_since is None


@pytest.mark.parametrize("stands_in_for", [["line"], ["slack", "line"]])
def test_a_chain_of_two_stand_ins_ends_at_the_one_that_accepts(start: Start, stands_in_for: list[str]) -> None:
    """Planted fault: the second copy hangs from the first instead of the root: told again when slack is back, red."""
    run, phones = start(
        channel("slack"), channel("line", fallback_for=["slack"]), channel("sms", fallback_for=stands_in_for)
    )
    phones.plans |= {"slack": status(404), "line": status(500)}
    run.record(ONE)
    run.go_on(minutes=5)
    assert phones.orders("sms") == [ONE]
    phones.plans.clear()
    run.go_on(hours=3, pace=60)
    assert phones.orders("slack") + phones.orders("line") + phones.orders("sms") == [ONE]
    assert run.owed() == 0


def test_the_second_stand_in_is_sent_nothing_while_the_first_may_still_accept(start: Start) -> None:
    """Else each outage of one channel costs an SMS beside LINE."""
    run, phones = start(
        channel("slack"), channel("line", fallback_for=["slack"]), channel("sms", fallback_for=["slack", "line"])
    )
    phones.plans |= {"slack": status(404), "line": hanging(run, 20, ACCEPTED)}
    run.record(ONE)
    run.go_on(minutes=5)
    assert phones.orders("line") == [ONE]
    assert phones.attempts("sms") == []


# ---- 再送の可能性: what a person may see twice is marked ----


@pytest.mark.parametrize("code", [401, 500])
def test_who_stands_in_for_two_channels_tells_an_alert_once(start: Start, code: int) -> None:
    """Both fail, the second for good as well or so that 45 s are waited. Seen red with a copy for each."""
    run, phones = start(channel("slack"), channel("line", LINE), channel("sms", fallback_for=["slack", "line"]))
    phones.plans["slack"] = status(401)
    phones.plans["line"] = status(code)
    run.record(ONE)
    run.go_on(seconds=30)
    run.record(TWO)
    run.go_on(hours=1, pace=30)
    assert phones.orders("sms") == [ONE, TWO]
    owed = "SELECT channel FROM outbox WHERE settled_at IS NULL AND request IS NOT NULL"
    assert not run.store._database.all(owed)


def test_a_stand_in_after_an_answer_that_never_came_is_marked(start: Start) -> None:
    """Planted fault: the copy does not take `unsure`: red."""
    run, phones = start(channel("slack"), channel("sms", fallback_for=["slack"]))
    phones.plans["slack"] = NO_ANSWER
    run.record(ONE)
    run.go_on(minutes=5)
    assert [(each.order, each.is_marked) for each in phones.accepted("sms")] == [(ONE, True)]


def test_the_second_stand_in_is_marked_where_the_first_gave_no_answer(start: Start) -> None:
    """Contract 1: a repeat after an answer that never came is marked."""
    run, phones = start(
        channel("slack"),
        channel("line", fallback_for=["slack"], send=["request"]),
        channel("sms", fallback_for=["slack", "line"], send=["request"]),
    )
    phones.plans |= {"slack": status(401), "line": NO_ANSWER}
    run.record(ONE)
    run.go_on(minutes=5)
    assert [(each.order, each.is_marked) for each in phones.accepted("sms")] == [(ONE, True)]


def test_the_channel_itself_is_marked_where_its_stand_in_gave_no_answer(start: Start) -> None:
    """Contract 1, the other way round: the stand-in may have told it."""
    run, phones = start(channel("slack"), channel("sms", fallback_for=["slack"]))
    phones.plans |= {"slack": status(500), "sms": NO_ANSWER}
    run.record(ONE)
    run.go_on(seconds=65)
    assert phones.attempts("sms")
    phones.plans |= {"slack": ACCEPTED}
    run.go_on(minutes=5)
    assert [(each.order, each.is_marked) for each in phones.accepted("slack")] == [(ONE, True)]


# ---- one alert is refused, the channel is not ----


def test_an_alert_that_is_refused_goes_to_the_stand_in_and_the_next_one_goes_at_once(start: Start) -> None:
    """Planted fault: a refused alert holds the line: red."""
    run, phones = start(channel("slack"), channel("sms", fallback_for=["slack"]))
    phones.plans["slack"] = lambda text: status(400) if ONE in text.body else ACCEPTED
    run.record(ONE)
    run.record(TWO)
    run.go_on(minutes=2)
    assert (phones.orders("slack"), phones.orders("sms")) == ([TWO], [ONE])
    assert all(each.at - NOON <= timedelta(seconds=2) for each in phones.accepted("sms") if each.order)
    run.go_on(hours=3, pace=60)
    assert run.owed() == 0


def test_an_alert_that_is_refused_for_ever_is_one_fault_and_not_one_an_hour(start: Start) -> None:
    """Told when it begins, each morning while it lasts, once when it is over (contract 3)."""
    run, phones = start(channel("slack"), channel("other"))
    phones.plans["slack"] = lambda text: status(400) if ONE in text.body else ACCEPTED
    run.record(ONE)
    run.go_on(hours=12, pace=120)
    assert len(phones.attempts("slack")) >= 10  # still tried
    assert phones.titles("other").count(BEGAN) == 1
    assert phones.titles("other").count(OVER) <= 1


def test_a_channel_that_dies_after_it_refused_an_alert_is_told_as_dead_as_well(start: Start) -> None:
    """Seen red with one episode for both."""
    run, phones = start(channel("slack"), channel("other", send=["fault"]))
    phones.plans["slack"] = status(400)
    run.record(ONE)
    run.go_on(minutes=1)
    phones.plans["slack"] = status(401)
    run.record(TWO)
    run.go_on(minutes=1)
    refused, dead = (each.text.body for each in phones.accepted("other"))
    assert "refused an alert" in refused
    assert "can't be reached" in dead


def test_what_it_had_refused_is_over_though_it_accepted_another_meanwhile(start: Start) -> None:
    """Seen red with the end looked for only where its latest answer was the refusal."""
    run, phones = start(channel("slack"), channel("sms", fallback_for=["slack"]), channel("other", send=["fault"]))
    phones.plans["slack"] = lambda text: status(400) if ONE in text.body else ACCEPTED
    phones.plans["sms"] = status(500)
    run.record(ONE)
    run.go_on(seconds=20)
    run.record(TWO)
    run.go_on(seconds=20)
    assert phones.orders("slack") == [TWO]
    del phones.plans["sms"]
    run.go_on(minutes=10)
    assert phones.orders("sms") == [ONE]
    assert phones.titles("other") == [BEGAN, OVER]


def test_an_alert_that_is_answered_500_for_ever_holds_the_next_for_minutes_only(start: Start) -> None:
    """Seen red with the next never tried in three days."""
    run, phones = start(channel("slack"), channel("other", send=["fault"]))
    phones.plans["slack"] = lambda text: status(500) if ONE in text.body else ACCEPTED
    for order in (ONE, TWO, THREE):
        run.record(order)
    run.go_on(minutes=6)
    assert phones.orders("slack") == [TWO, THREE]
    assert phones.titles("other") == [BEGAN]
    assert "refused an alert" in phones.accepted("other")[0].text.body
    del phones.plans["slack"]
    run.go_on(hours=1)
    assert phones.orders("slack") == [TWO, THREE, ONE]
    assert phones.titles("other") == [BEGAN, OVER]


def test_a_service_that_answers_500_to_all_for_hours_gets_them_in_order(start: Start) -> None:
    """The first is tried first. Planted fault: the one behind it is tried in its place: red."""
    run, phones = start(channel("slack"))
    phones.plans["slack"] = status(500)
    for order in (ONE, TWO, THREE):
        run.record(order)
    run.go_on(hours=5, pace=30)
    del phones.plans["slack"]
    run.go_on(minutes=20)
    assert phones.orders("slack") == [ONE, TWO, THREE]


def test_a_test_alert_that_is_refused_is_no_fault(start: Start) -> None:
    """Who sent it is told. Seen red with an episode that its giving up ended as "has arrived"."""
    run, phones = start(channel("slack"), channel("other", send=["fault"]))
    phones.plans["slack"] = status(400)
    [key] = run.store.outbox.owe_tests(["slack"], run.clock.now()).values()
    run.go_on(minutes=1)
    run.store.outbox.give_up(key, run.clock.now())
    run.go_on(minutes=1)
    assert phones.attempts("slack")
    assert not phones.attempts("other")


def test_an_alert_that_is_refused_is_owed_and_overdue(start: Start) -> None:
    """`status` says what is owed, and the heartbeat is silent (contract 4): nobody was told of it."""
    run, phones = start(channel("slack"))
    phones.plans["slack"] = lambda text: status(400) if ONE in text.body else ACCEPTED
    run.record(ONE)
    run.go_on(minutes=30)
    fares = run.store.outbox.fares.of("slack", run.clock.now())
    assert (fares.owed, fares.oldest_owed) == (1, NOON)


def gathered(run: Run, orders: list[str], why: Literal["first_start", "outage"] = "outage") -> None:
    """A search found so many verified requests at once: they are told in one digest."""
    told_to, now = audience(run.config.channels), run.clock.now()
    for order in orders:
        found = reading(order, Kind.REQUEST, Trust.VERIFIED, now)
        run.store.record(found, run.config.rules, told_to, now, None, Gather(why, "shop", "INBOX"))
    run.store.reports.tell_gathered("shop", "INBOX", told_to, now)
    run.signals.wake_channels()


def digests(phones: Phones, name: str) -> list[str]:
    """The bodies of the digests that were told there."""
    return [each.text.body for each in phones.accepted(name) if each.text.title.startswith("[Digest]")]


@pytest.mark.parametrize("answer", [500, 400, 401, NO_CONNECTION], ids=["500", "400", "401", "no connection"])
def test_what_is_refused_stays_refused_whatever_the_next_answer(start: Start, answer: int | Outcome) -> None:
    """It had not arrived, and that was told 62 times in a week, out of LINE's quota. Seen red with each answer taken
    for the last word."""
    run, phones = start(channel("slack"), channel("other", send=["fault"]))
    phones.plans["slack"] = lambda text: status(400) if ONE in text.body else ACCEPTED
    run.record(ONE)
    run.go_on(minutes=1)
    later = status(answer) if isinstance(answer, int) else answer
    phones.plans["slack"] = lambda text: later if ONE in text.body else ACCEPTED
    run.go_on(hours=30, pace=60)
    assert OVER not in phones.titles("other")
    assert len(phones.attempts("slack")) < 60
    del phones.plans["slack"]
    run.go_on(hours=2, pace=60)
    assert phones.orders("slack") == [ONE]
    assert phones.titles("other").count(OVER) == phones.titles("other").count(BEGAN)


@pytest.mark.parametrize("code", [502, 504])
def test_an_alert_that_a_gateway_never_lets_through_holds_the_next_for_a_while_only(start: Start, code: int) -> None:
    """It may have been accepted each time, and is marked. Seen red with the next never tried in three days."""
    run, phones = start(channel("slack"), channel("other", send=["fault"]))
    phones.plans["slack"] = lambda text: status(code) if ONE in text.body else ACCEPTED
    for order in (ONE, TWO):
        run.record(order)
    run.go_on(minutes=40)
    assert phones.orders("slack") == [TWO]
    del phones.plans["slack"]
    run.go_on(hours=2)
    assert phones.orders("slack") == [TWO, ONE]
    assert phones.accepted("slack")[-1].is_marked


def test_a_channel_that_failed_for_a_minute_two_days_ago_is_not_dead_for_the_next(start: Start) -> None:
    """Its alert was told elsewhere, so it had no success since. Seen red with the two taken for one failure."""
    run, phones = start(
        channel("slack"), channel("sms", fallback_for=["slack"]), channel("other", send=["fault"]), watch=NO_MORNING
    )
    phones.plans["slack"] = NO_CONNECTION
    run.record(ONE)
    run.go_on(minutes=2)
    assert phones.orders("sms") == [ONE]
    run.go_on(hours=50, pace=60)
    answers = iter([NO_CONNECTION])
    phones.plans["slack"] = lambda _: next(answers, ACCEPTED)
    run.record(TWO)
    run.go_on(minutes=10)
    assert phones.orders("slack") == [TWO]
    assert phones.titles("other") == []


def test_a_clock_that_is_set_back_stops_no_stand_in(start: Start) -> None:
    """As where the hardware clock is in Japanese time. Seen red: for nine hours nobody was told, and all was well."""
    run, phones = start(channel("slack"), channel("sms", fallback_for=["slack"]))
    phones.plans["slack"] = NO_CONNECTION
    run.record(ONE)
    run.go_on(seconds=20)
    run.clock.jump(-timedelta(hours=9))
    run.record(TWO)
    run.go_on(minutes=5)
    assert phones.orders("sms", NOON - timedelta(days=1)) == [ONE, TWO]


def test_what_the_clock_left_in_the_future_is_overdue(start: Start) -> None:
    """Seen red with the heartbeat going on for nine hours."""
    run, phones = start(channel("slack"))
    phones.plans["slack"] = NO_CONNECTION
    run.record(ONE)
    run.go_on(seconds=20)
    run.clock.jump(-timedelta(hours=9))
    run.go_on(minutes=5)
    now = run.clock.now()
    troubles = health.troubles(state_of(run.store, run.config, now), now, health.fresh_within(60))
    assert "fault.overdue" in {each.key for each in troubles}


# ---- channels that come and go ----


def test_an_alert_is_told_whichever_channels_are_taken_out_and_put_back(start: Start, tmp_path: Path) -> None:
    """A name and back; one of two, then the other. Seen red with a closed row taken for one that is owed."""
    run, phones = start(channel("slack"), channel("sms"))
    phones.plans |= dict.fromkeys(("slack", "sms", "slack2"), status(404))
    run.record(ONE)
    run.go_on(minutes=5)
    for sections in ([channel("slack")], [channel("slack2")]):
        run.close()
        run = Run(configured(tmp_path, *sections), phones, run.clock)
        run.go_on(minutes=5)
    run.close()
    phones.plans.clear()
    run = Run(configured(tmp_path, channel("sms"), channel("slack")), phones, run.clock)
    run.go_on(hours=2, pace=60)
    assert (phones.orders("slack"), phones.orders("sms")) == ([ONE], [ONE])
    assert run.owed() == 0


def test_a_new_stand_in_takes_what_one_that_was_taken_out_did_not_tell(start: Start, tmp_path: Path) -> None:
    """Under another name or the same. Seen red with what was closed for ever in the hands of the old one."""
    run, phones = start(channel("slack"), channel("sms", fallback_for=["slack"]))
    phones.plans |= {"slack": status(403), "sms": status(401)}
    run.record(ONE)
    run.go_on(minutes=5)
    run.close()
    run = Run(configured(tmp_path, channel("slack")), phones, run.clock)
    run.close()
    del phones.plans["sms"]
    again = channel("sms", url="json://127.0.0.1/new", fallback_for=["slack"])
    run = Run(configured(tmp_path, channel("slack"), again), phones, run.clock)
    run.go_on(minutes=5)
    assert phones.orders("sms") == [ONE]


def test_a_digest_is_told_on_the_channel_that_takes_the_dead_one_s_place(start: Start, tmp_path: Path) -> None:
    """It is the alert of each order in it. Seen red with what has no request closed for good."""
    run, phones = start(channel("slack"))
    phones.plans["slack"] = status(404)
    gathered(run, [ONE, TWO], "first_start")
    run.go_on(minutes=5)
    run.close()
    run = Run(configured(tmp_path, channel("slack2", send=["request"])), phones, run.clock)
    run.go_on(minutes=5)
    [body] = digests(phones, "slack2")
    assert ONE in body
    assert TWO in body


def test_what_the_night_holds_is_held_on_another_channel_too(start: Start, tmp_path: Path) -> None:
    """Seen red: it rang at the restart."""
    night = datetime(2022, 8, 8, 14, 0, tzinfo=UTC)  # 23:00 in Japan
    watch = f"{NO_MORNING}\nquiet_hours = '22:00-07:00'"
    run, phones = start(channel("slack"), watch=watch, at=night)
    run.record(ONE, Kind.POSSIBLE)
    run.close()
    run = Run(configured(tmp_path, channel("slack2"), watch=watch), phones, run.clock)
    run.go_on(hours=7, pace=60)
    assert phones.attempts("slack2", night) == []
    run.go_on(hours=2, pace=60)
    assert phones.orders("slack2", night) == [ONE]


# ---- the month's quota ----


def spend(run: Run, number: int) -> None:
    """Use up so many messages of the month with verified requests."""
    for order in ORDERS[:number]:
        run.record(order)
    run.go_on(minutes=1)


def test_from_150_on_only_verified_requests_go_to_line_and_the_rest_to_its_stand_in(start: Start) -> None:
    """Planted faults: nothing is kept; told one message too late: red each."""
    run, phones = start(channel("line", LINE), channel("sms", fallback_for=["line"]), channel("other"))
    spend(run, 148)
    assert not [title for title in phones.titles("other") if title == BEGAN]
    run.record(ORDERS[148])
    run.go_on(minutes=1)
    assert len(phones.accepted("line")) == 150  # with the fault, which is told before
    assert phones.titles("line").count(BEGAN) == phones.titles("other").count(BEGAN) == 1
    later = run.clock.now()
    run.record(ORDERS[200], Kind.WISH)
    run.record(ORDERS[201], trust=Trust.UNVERIFIED)
    run.record(ORDERS[202], Kind.POSSIBLE)
    run.record(ORDERS[203])
    run.go_on(minutes=1)
    assert phones.orders("line", later) == [ORDERS[203]]
    assert phones.orders("sms") == [*ORDERS[200:203]]
    assert all(each.at - later <= timedelta(seconds=15) for each in phones.accepted("sms"))
    assert phones.orders("other", later) == ORDERS[200:204]
    assert run.owed() == 0
    run.store.outbox.owe_tests(["line"], run.clock.now())
    run.go_on(minutes=1)
    assert phones.titles("line", later)[-1] == "[Test] from mailwatch"
    assert phones.titles("other").count(BEGAN) == 1
    assert len(phones.accepted("line")) == 152


def test_a_restart_forgets_neither_the_count_nor_that_it_was_told(start: Start) -> None:
    """Planted fault: the stored count is not read: red."""
    run, phones = start(channel("line", LINE, monthly_limit=40), channel("other"))
    spend(run, 19)
    run.close()
    again = Run(run.config, phones, run.clock)
    again.record(ORDERS[200], Kind.WISH)
    again.go_on(hours=1, pace=10)
    assert len(phones.accepted("line")) == 20
    assert phones.titles("other").count(BEGAN) == 1
    assert again.owed() == 1


def test_without_a_stand_in_the_rest_waits_for_the_next_month_in_japan_and_nothing_is_lost(start: Start) -> None:
    """Planted fault: months in UTC: goes nine hours later, red."""
    new_month = datetime(2022, 8, 31, 15, 0, tzinfo=UTC)
    run, phones = start(channel("line", LINE, monthly_limit=40), at=new_month - timedelta(days=2))
    spend(run, 19)
    waiting = ORDERS[200:210]
    for order in waiting:
        run.record(order, Kind.WISH)
        run.go_on(hours=4, pace=3600)
    run.record(ORDERS[211])
    run.go_on(until=new_month - timedelta(seconds=1), pace=3600)
    assert phones.orders("line", NOON) == [*ORDERS[:19], ORDERS[211]]
    run.go_on(minutes=1)
    assert phones.orders("line", new_month) == waiting
    assert phones.titles("line", new_month)[-1] == OVER
    assert run.owed() == 0
    assert run.store.outbox.fares.of("line", run.clock.now()).sent_this_month == len(phones.accepted("line", new_month))


def test_what_the_month_held_back_is_not_thirty_reminders_on_the_first(start: Start) -> None:
    """A reminder that it still lasts is wrong once it is over, and each takes one message of the new month."""
    new_month = datetime(2022, 8, 31, 15, 0, tzinfo=UTC)
    run, phones = start(channel("line", LINE, monthly_limit=40), channel("other"), at=new_month - timedelta(days=10))
    spend(run, 19)
    run.go_on(until=new_month + timedelta(minutes=5), pace=3600)
    assert phones.titles("other").count(LASTS) == 10
    assert phones.titles("line", new_month).count(LASTS) <= 1


def test_what_waits_for_the_next_month_is_not_overdue(start: Start) -> None:
    """Else the heartbeat is silent for weeks, and says nothing any more. What is held in the quiet hours is not."""
    run, phones = start(channel("line", LINE, monthly_limit=40), channel("other"))
    spend(run, 19)
    run.record(ORDERS[200], Kind.WISH)
    run.go_on(minutes=30, pace=60)
    assert phones.orders("other")[-1] == ORDERS[200]
    now = run.clock.now()
    assert health.troubles(state_of(run.store, run.config, now), now, health.fresh_within(60)) == ()


def test_a_digest_that_names_verified_requests_is_what_the_rest_of_the_month_is_kept_for(start: Start) -> None:
    """Seen red with the five requests of an outage told three weeks later."""
    run, phones = start(channel("line", LINE, monthly_limit=40))
    spend(run, 30)
    gathered(run, ORDERS[200:203])
    run.go_on(minutes=5)
    [body] = digests(phones, "line")
    assert all(order in body for order in ORDERS[200:203])


def test_a_stand_in_that_saves_its_quota_leaves_the_rest_to_the_next(start: Start) -> None:
    """Seen red: what it does not send counted as being taken care of, until the next month."""
    line = channel("line", LINE, monthly_limit=20, fallback_for=["slack"])
    run, phones = start(channel("slack"), line, channel("sms", fallback_for=["slack"]), watch=NO_MORNING)
    phones.plans["slack"] = status(403)
    for order in ORDERS[100:112]:
        run.record(order)
        run.go_on(minutes=1)
    run.record(ONE, Kind.WISH)
    run.record(TWO, trust=Trust.UNVERIFIED)
    run.record(THREE)
    run.go_on(minutes=5)
    assert [order for order in phones.orders("sms") if order in {ONE, TWO, THREE}] == [ONE, TWO]
    assert phones.orders("line")[-1] == THREE


def test_a_refused_request_is_overdue_also_where_the_rest_of_the_month_is_kept(start: Start) -> None:
    """Seen red: the hour that it waits for hid it from the heartbeat."""
    run, phones = start(channel("line", LINE, monthly_limit=40))
    spend(run, 30)
    phones.plans["line"] = lambda text: status(400) if ORDERS[200] in text.body else ACCEPTED
    run.record(ORDERS[200])
    run.go_on(minutes=30)
    now = run.clock.now()
    troubles = health.troubles(state_of(run.store, run.config, now), now, health.fresh_within(60))
    assert [each.key for each in troubles] == ["fault.overdue"]


def test_the_quota_may_be_another_and_half_of_a_small_one_is_kept(start: Start) -> None:
    """200 shared by five people are 40 messages."""
    run, phones = start(channel("line", LINE, monthly_limit=40), channel("other"))
    spend(run, 19)
    run.record(ORDERS[200], Kind.WISH)
    run.record(ORDERS[201])
    run.go_on(minutes=1)
    assert phones.orders("line") == [*ORDERS[:19], ORDERS[201]]
    assert phones.titles("other").count(BEGAN) == 1


def test_a_quota_that_is_taken_out_of_the_configuration_ends_its_fault(start: Start) -> None:
    """Seen red with the fault open for ever."""
    run, phones = start(channel("line", LINE, monthly_limit=40), channel("other"))
    spend(run, 20)
    run.go_on(minutes=1)
    assert [episode.key for episode in run.store.episodes.open()] == ["quota/line"]
    run.close()
    line, other = run.config.channels
    run = Run(replace(run.config, channels=(replace(line, monthly_limit=0), other)), phones, run.clock)
    run.go_on(minutes=1)
    assert not run.store.episodes.open()


def test_a_channel_without_a_quota_is_not_counted(start: Start) -> None:
    run, phones = start(channel("slack"), channel("line", LINE, monthly_limit=0))
    spend(run, 160)
    run.record(ORDERS[240], Kind.WISH)
    run.go_on(minutes=1)
    assert phones.orders("line") == phones.orders("slack") == [*ORDERS[:160], ORDERS[240]]
    assert BEGAN not in phones.titles("slack")


# ---- whatever happens ----

BY = {"line": ("slack",), "sms": ("slack", "line")}
ALL = frozenset({"request"})
CHANNELS = ("slack", "line", "sms", "other")


@dataclass
class Family:
    """One alert and one channel that it was owed to in the first place, with all that stood in for it."""

    accepted: list[str] = field(default_factory=list)
    in_flight: int = 0
    is_unsure: bool = False


class Life:
    """An outbox through which alerts go, with attempts of the four channels that may overlap."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = NOON
        self.families: dict[tuple[str, bool], Family] = {}
        self.in_flight: dict[str, OutboxEntry] = {}

    def family(self, entry: OutboxEntry) -> Family:
        """The one that an entry belongs to: `other` has no stand-in."""
        assert isinstance(entry.told, Alert)
        return self.families[str(entry.told.order_id), entry.channel == "other"]

    def owe(self) -> None:
        """Another request."""
        order = ORDERS[len(self.families) // 2]
        self.families |= {(order, False): Family(), (order, True): Family()}
        told = [(name, ALL) for name in ("slack", "other")]
        self.store.record(reading(order, Kind.REQUEST, Trust.VERIFIED, self.now), Rules(), told, self.now)

    def begin(self, name: str) -> None:
        """A channel begins an attempt, unless it is at one."""
        entry = None if name in self.in_flight else self.store.outbox.due(name, self.now)
        if entry is None:
            return
        assert not self.family(entry).accepted, "told, and still owed"
        self.store.outbox.begin_attempt(entry, self.now)
        self.in_flight[name] = entry
        self.family(entry).in_flight += 1
        self.family(entry).is_unsure |= self.family(entry).in_flight > 1

    def end(self, name: str, result: Result | None) -> None:
        """It ends; None: the process was killed, and nothing is written."""
        entry = self.in_flight.pop(name, None)
        if entry is None:
            return
        family = self.family(entry)
        family.in_flight -= 1
        family.is_unsure |= result in {None, Result.AMBIGUOUS}
        if result is Result.ACCEPTED:
            family.accepted.append(name)
            self.store.outbox.settle(entry, self.now)
        elif result is not None:
            self.store.outbox.postpone(entry, Outcome(result), self.now)

    def stand_in(self, name: str, seconds: float) -> None:
        """The oversight finds that a channel fails: what waited so long goes to its stand-ins."""
        by = [(other, ALL) for other, names in BY.items() if name in names]
        self.store.outbox.stand_in(name, by, self.now, self.now - timedelta(seconds=seconds))

    def is_open(self, order: str, *, is_other: bool) -> bool:
        """Whether a row of the family is still owed."""
        rows = self.store._database.all(
            "SELECT channel, alert ->> 'order_id' AS order_id FROM outbox WHERE settled_at IS NULL"
        )
        return any(row["order_id"] == order and (row["channel"] == "other") is is_other for row in rows)

    def check(self) -> None:
        """Nothing is lost, and what was told twice may have been."""
        for (order, is_other), family in self.families.items():
            assert family.accepted or self.is_open(order, is_other=is_other), "lost"
            assert len(family.accepted) <= 1 or family.is_unsure, "told twice without need"
            assert not (family.accepted and self.is_open(order, is_other=is_other)), "told, and still owed"


_names = st.sampled_from(CHANNELS)
_results = st.sampled_from([None, *Result])
STEPS = st.one_of(
    st.just(("owe",)),
    st.tuples(st.just("begin"), _names),
    st.tuples(st.just("end"), _names, _results),
    st.tuples(st.just("attempt"), _names, _results),
    st.tuples(st.just("stand_in"), st.sampled_from(["slack", "line"]), st.sampled_from([0.0, 45.0])),
    st.tuples(st.just("wait"), st.sampled_from([1.0, 50.0, 4000.0])),
)


@settings(max_examples=80)
@given(st.lists(STEPS, max_size=40))
def test_an_alert_that_is_owed_is_told_once_or_still_owed_whatever_happens(steps: list[tuple[object, ...]]) -> None:
    """Twice only where an attempt gave no answer, was killed or overlapped with another. Planted faults: `settle`
    closes its own row only; `_copy` closes the row it copies; a failed attempt settles: red each."""
    with closing(Store.in_memory()) as store:
        life = Life(store)
        for step in [("owe",), *steps]:
            match step:
                case ("owe",):
                    life.owe()
                case ("begin", str(name)):
                    life.begin(name)
                case ("end", str(name), Result() | None as result):
                    life.end(name, result)
                case ("attempt", str(name), Result() | None as result):
                    life.begin(name)
                    life.end(name, result)
                case ("stand_in", str(name), float(seconds)):
                    life.stand_in(name, seconds)
                case ("wait", float(seconds)):
                    life.now += timedelta(seconds=seconds)
            life.check()
        _all_is_well_again(life)


def _all_is_well_again(life: Life) -> None:
    """Every channel accepts from now on: everything is told."""
    life.now += timedelta(hours=2)
    for name in CHANNELS:
        life.end(name, Result.ACCEPTED)
        while life.store.outbox.due(name, life.now):
            life.begin(name)
            life.end(name, Result.ACCEPTED)
    life.check()
    assert all(family.accepted for family in life.families.values())
