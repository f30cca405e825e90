"""What goes on for days: dead channels, floods, faults that last, quiet hours, mornings. Real workers and a real store,
over time that the test moves."""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from pathlib import Path
from zoneinfo import ZoneInfo

import mails
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_store import bytes_of
from virtual import (
    ACCEPTED,
    BEGAN,
    LASTS,
    NO_CONNECTION,
    NOON,
    NOT_WELL,
    OVER,
    WELL,
    Phones,
    Run,
    VirtualClock,
    channel,
    configured,
    reading,
    status,
)

from mailwatch import schedule
from mailwatch import status as status_command
from mailwatch.config import audience
from mailwatch.database import RunLock
from mailwatch.fares import ChannelState
from mailwatch.notice import Kind
from mailwatch.services import Outcome
from mailwatch.texts import Text
from mailwatch.trust import Trust
from mailwatch.watch import oversight

pytestmark = pytest.mark.long

ORDERS = [mails.order_id(number) for number in range(12_000)]
ONE, TWO, THREE, FOUR = ORDERS[:4]
NO_MORNING = "morning_line = ''"
DAY = timedelta(days=1)
# In Japan it is noon at the start: these are the next morning, 08:00, and the evening before it, 23:00.
MORNING = NOON + timedelta(hours=20)
NIGHT = NOON + timedelta(hours=11)
REQUEST = "[Request] Cancellation request"
SMS = channel("sms", send=["request", "fault"])
Start = Callable[..., tuple[Run, Phones]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """A run with these channels at noon in Japan (or another time), and the other end of its channels."""

    def begin(*sections: str, watch: str = NO_MORNING, at: datetime = NOON) -> tuple[Run, Phones]:
        clock = VirtualClock(at)
        phones = Phones(clock)
        return Run(configured(tmp_path, *sections, watch=watch), phones, clock), phones

    return begin


def restarted(run: Run, phones: Phones) -> Run:
    """The process ends, and another starts on the same store."""
    run.close()
    return Run(run.config, phones, run.clock)


def why_not_well(run: Run) -> Counter[str]:
    """What `status` says while the run is at work, as the contract's JSON says it too."""
    lock = RunLock(run.config.watch.state_dir)
    try:
        state, why = status_command.look(run.config, run.clock.now())
    finally:
        lock.release()
    shown = status_command.as_json(state, why)
    assert shown["well"] is (not why)
    assert len(shown["why"]) == len(why)
    return Counter(fault.key for fault in why)


# ---- all channels dead for two weeks ----


@pytest.mark.parametrize("outcome", [status(401), status(500), NO_CONNECTION], ids=["401", "500", "no connection"])
def test_after_two_weeks_without_any_channel_everything_is_told_once_and_in_order(
    start: Start, outcome: Outcome
) -> None:
    """Planted faults: rows older than a week are dropped; the newest goes first; a refusal waits for a minute only: red
    each."""
    run, phones = start(channel("slack"), channel("other"), watch="morning_line = '08:00'")
    phones.plans |= {"slack": outcome, "other": outcome}
    run.record(ONE)
    run.go_on(hours=6, pace=120)
    tried_in_six_hours = len(phones.attempts("slack"))
    run.go_on(hours=18, pace=7200)
    for number in range(1, 14):
        run.record(ORDERS[number], Kind.WISH if number % 3 else Kind.REQUEST)
        run.go_on(days=1, pace=7200)
        if number % 4 == 0:
            assert why_not_well(run) == Counter({"fault.channel": 2, "fault.overdue": 2})
            run = restarted(run, phones)
    back = run.clock.now()
    assert phones.accepted("slack") == phones.accepted("other") == []
    # 500: 94 where the jitter cuts each wait to its half, fewer otherwise.
    # A refusal: each 5 minutes in the first hour, then hourly; more where its look came late.
    assert 12 <= tried_in_six_hours <= (18 if outcome == status(401) else 100)
    assert 14 * 10 <= len(phones.attempts("slack")) <= 14 * (25 if outcome == status(401) else 60)
    phones.plans.clear()
    run.go_on(hours=2, pace=120)
    # Where more than ten wait verified requests go first.
    requests = ORDERS[:13:3]
    for name in ("slack", "other"):
        told = phones.orders(name, back)
        assert Counter(told) == Counter(ORDERS[:14])
        assert told[:3] == requests[:3]
        for each in (requests, [order for order in ORDERS[:14] if order not in requests]):
            assert [order for order in told if order in each] == each
        assert max(Counter(each.key for each in phones.accepted(name)).values()) == 1
    assert run.owed() == 0
    assert outcomes(run) == {"accepted"}
    assert not why_not_well(run)


def outcomes(run: Run) -> set[str]:
    """What became of every row there ever was."""
    return {row["outcome"] for row in run.store._database.all("SELECT DISTINCT outcome FROM outbox")}


def test_a_refused_channel_is_tried_once_an_hour_after_its_first_hour_across_restarts(start: Start) -> None:
    """In the first hour each 5 minutes. Planted faults: a new worker tries at once; the wait is not on disk: red
    each."""
    run, phones = start(channel("slack"))
    phones.plans["slack"] = status(401)
    run.record(ONE)
    for _ in range(36):
        run.go_on(minutes=10, pace=60)
        run = restarted(run, phones)
    tries = [each.at - NOON for each in phones.attempts("slack")]
    assert 10 <= sum(at < timedelta(hours=1) for at in tries) <= 13
    assert 5 <= sum(at >= timedelta(hours=1) for at in tries) <= 6


def test_a_retry_after_of_a_day_is_obeyed_for_an_hour_across_restarts(start: Start) -> None:
    """The fault says that the channel is tried once an hour. Seen red with a day as the cap; with the cap of 5 minutes
    for what the service named; with each new worker trying at once."""
    run, phones = start(channel("slack"))
    phones.plans["slack"] = status(429, DAY.total_seconds())
    run.record(ONE)
    for _ in range(5):
        run.go_on(minutes=11.9, pace=60)
        run = restarted(run, phones)
    assert len(phones.attempts("slack")) == 1
    phones.plans.clear()
    run.go_on(until=NOON + timedelta(minutes=61), pace=10)
    assert phones.orders("slack") == [ONE]
    assert phones.accepted("slack")[0].at - NOON >= timedelta(hours=1)


@pytest.mark.parametrize("is_mended", [True, False])
def test_a_refused_channel_whose_url_has_changed_is_tried_at_once_after_a_restart(
    start: Start, tmp_path: Path, is_mended: bool
) -> None:
    """Who made the URL anew must not wait out the old one's hour; with the old one it lasts. Planted faults: the wait
    is kept whatever the URL; the URL is forgotten, and any restart ends the wait: red each."""
    run, phones = start(channel("slack", "json://127.0.0.1/old-token"))
    phones.plans["slack"] = status(403)
    run.record(ONE)
    run.go_on(minutes=1)
    run.close()
    phones.plans.clear()
    url = f"json://127.0.0.1/{'new' if is_mended else 'old'}-token"
    again = Run(configured(tmp_path, channel("slack", url)), phones, run.clock)
    again.go_on(minutes=1)
    assert phones.orders("slack") == ([ONE] if is_mended else [])
    assert b"-token" not in bytes_of(again.config.watch.state_dir)
    again.go_on(hours=1, pace=60)
    assert phones.orders("slack") == [ONE]


@pytest.mark.parametrize("outcome", [status(401), status(429, 23 * 3600.0)], ids=["401", "429"])
def test_private_words_leave_the_file_after_a_day_while_their_channel_waits(start: Start, outcome: Outcome) -> None:
    """Design section 6: 24 hours, whenever the next attempt is. Planted fault: `step` forgets only when it does not
    wait: up to a day later, red."""
    run, phones = start(channel("slack"))
    phones.plans["slack"] = outcome
    run.record(ONE)
    run.go_on(minutes=30)
    wish = reading(TWO, Kind.WISH, Trust.VERIFIED, run.clock.now())
    said = replace(wish.notices[0], excerpt="CANARY")
    run.store.record(replace(wish, notices=(said,)), run.config.rules, audience(run.config.channels), run.clock.now())
    run.go_on(hours=23.8, pace=60)
    run.go_on(hours=0.1, pace=10)
    assert b"CANARY" in bytes_of(run.config.watch.state_dir)
    run.go_on(hours=0.1, pace=10)
    run.go_on(seconds=30)
    assert b"CANARY" not in bytes_of(run.config.watch.state_dir)


def test_what_is_owed_to_a_channel_that_left_is_closed_and_logged(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Planted faults: nothing is logged; nothing is closed: red each."""
    run, phones = start(channel("slack"), channel("line", fallback_for=["slack"]), channel("gone"))
    phones.plans |= {"slack": status(401), "line": status(401), "gone": status(401)}
    for order in (ONE, TWO):
        run.record(order)
    run.go_on(minutes=1)
    run.close()
    phones.plans.clear()
    capsys.readouterr()
    again = Run(configured(tmp_path, channel("slack")), phones, run.clock)
    lines = [line for line in capsys.readouterr().err.splitlines() if "channel_removed" in line]
    assert [re.sub(r"rows=\d+", "rows=N", line) for line in lines] == [
        "<4>channel_removed channel=gone rows=N",
        "<4>channel_removed channel=line rows=N",
    ]
    again.go_on(hours=2, pace=60)
    assert phones.orders("slack") == [ONE, TWO]
    assert again.owed() == 0
    assert not why_not_well(again)


# ---- a flood of look-alikes ----


def test_ten_thousand_look_alikes_are_twenty_alerts_and_a_digest_and_hide_no_request(start: Start) -> None:
    """Planted faults: no limit; every look gives a digest; a counted one passes for told; a verified request counts as
    one of the hour's twenty: red each."""
    run, phones = start(channel("slack"), channel("other"))
    began = time.process_time()
    genuine: dict[str, datetime] = {}

    def is_asked(order: str) -> None:
        genuine[order] = run.clock.now()
        run.record(order)

    for minute in range(10):
        for number in range(1000):
            run.record(ORDERS[minute * 1000 + number], trust=Trust.UNVERIFIED)
        if minute == 5:
            is_asked(ORDERS[11_000])
            is_asked(ORDERS[5010])  # a look-alike that waits for the digest
        run.go_on(minutes=1, pace=30)
    run.go_on(minutes=2)
    counted = digests(phones, "slack")[0]
    assert ORDERS[7000] not in phones.came[-1].text.body
    is_asked(ORDERS[7000])  # one that the digest only counted, six minutes after its look-alike
    run.go_on(hours=20, pace=3600)
    assert time.process_time() - began < 15
    for name in ("slack", "other"):
        assert phones.orders(name) == [*ORDERS[:20], *genuine]
        assert digests(phones, name) == [counted]
        at = {each.order: each.at for each in phones.accepted(name)}
        assert all(at[order] - moment <= timedelta(seconds=1) for order, moment in genuine.items())
    moment, number, named = counted
    assert timedelta(minutes=10) <= moment - NOON <= timedelta(minutes=11)
    assert (number, len(named)) == (10_000 - 20 - 1, 40)  # one was told singly before
    assert run.owed() == 0


def digests(phones: Phones, name: str) -> list[tuple[datetime, int, list[str]]]:
    """The digests that were told: when, of how many, which are named; the rest is counted in its text."""
    found = []
    for each in phones.accepted(name):
        if title := re.fullmatch(r"\[Please check\] (\d+) alerts of .*", each.text.title):
            named = re.findall(r"^(\d{3}-\d{7}-\d{7}) ", each.text.body, re.MULTILINE)
            rest = re.search(r"^and (\d+) more$", each.text.body, re.MULTILINE)
            assert int(title[1]) == len(named) + (int(rest[1]) if rest else 0)
            found.append((each.at, int(title[1]), named))
    return found


def test_a_flood_that_goes_on_is_a_digest_each_six_hours_and_every_look_alike_counts_once(start: Start) -> None:
    """Planted fault: the digest takes the newest ten only: red."""
    run, phones = start(channel("slack"))
    recorded = 0
    for _ in range(15 * 6):
        for _ in range(6):
            run.record(ORDERS[recorded], trust=Trust.UNVERIFIED)
            recorded += 1
        run.go_on(minutes=10, pace=300)
        if recorded % 120 == 0:
            run = restarted(run, phones)
    run.go_on(hours=7, pace=600)
    told = digests(phones, "slack")
    assert 3 <= len(told) <= 5
    assert all(late[0] - soon[0] >= timedelta(hours=6) for soon, late in itertools.pairwise(told))
    singly = phones.orders("slack")
    assert len(singly) == len(set(singly)) <= 20 * 16
    assert len(singly) + sum(number for _, number, _ in told) == recorded
    in_any_hour = [
        sum(at <= each.at < at + timedelta(hours=1) for each in phones.accepted("slack") if each.order)
        for at in (NOON + timedelta(minutes=10 * step) for step in range(15 * 6))
    ]
    assert max(in_any_hour) <= 20


def test_a_verified_mail_is_told_after_its_look_alike_was_named_in_a_digest(start: Start) -> None:
    """Planted fault: what the digest named is taken for told: red."""
    run, phones = start(channel("slack"))
    for number in range(25):
        run.record(ORDERS[number], trust=Trust.UNVERIFIED)
    run.go_on(minutes=11)
    assert digests(phones, "slack")[0][2] == ORDERS[20:25]
    run.record(ORDERS[21])
    run.go_on(minutes=1)
    assert phones.orders("slack") == [*ORDERS[:20], ORDERS[21]]
    assert "the sender is now confirmed" in phones.accepted("slack")[-1].text.body


def test_where_no_channel_takes_digests_each_is_told_the_one_of_the_look_alikes(start: Start) -> None:
    """Else a request beyond the 20 of its hour is told to nobody. Not to a stand-in, which is owed nothing itself.
    Planted fault: the digest goes to those that take `digest` alone: red."""
    run, phones = start(
        channel("slack", send=["request", "wish"]),
        channel("other", send=["request"]),
        channel("sms", send=["request"], fallback_for=["slack"]),
    )
    for order in ORDERS[:30]:
        run.record(order, trust=Trust.UNVERIFIED)
    run.go_on(minutes=11)
    for name in ("slack", "other"):
        assert phones.orders(name) == ORDERS[:20]
        assert [(number, sorted(named)) for _, number, named in digests(phones, name)] == [(10, ORDERS[20:30])]
    assert phones.came
    assert phones.attempts("sms") == []
    assert run.owed() == 0


def test_where_a_channel_takes_digests_no_other_is_told_one(start: Start) -> None:
    """Planted fault: the digest goes to every channel: red."""
    run, phones = start(channel("slack"), channel("other", send=["request"]))
    for order in ORDERS[:30]:
        run.record(order, trust=Trust.UNVERIFIED)
    run.go_on(minutes=11)
    assert (len(digests(phones, "slack")), len(digests(phones, "other"))) == (1, 0)
    assert phones.orders("slack") == phones.orders("other") == ORDERS[:20]


def test_what_waits_for_a_digest_is_told_where_no_channel_takes_digests(start: Start) -> None:
    """Where the provider names no authserv-id every genuine request is unverified; this is the SMS of the example."""
    run, phones = start(SMS)
    for order in ORDERS[:30]:
        run.record(order, trust=Trust.UNVERIFIED)
    run.go_on(hours=8, pace=600)
    assert len(phones.orders("sms")) + sum(number for _, number, _ in digests(phones, "sms")) == 30


# ---- faults that last ----


def stages(phones: Phones, name: str) -> list[str]:
    """What a channel was told of the watching."""
    return [title for title in phones.titles(name) if title in {BEGAN, LASTS, OVER, WELL, NOT_WELL}]


def test_a_dead_channel_is_told_on_the_others_each_morning_and_once_when_it_is_back(start: Start) -> None:
    """Planted faults: no look at what was begun before; the dead channel itself is told that it is dead; no reminder:
    red each."""
    run, phones = start(channel("slack"), channel("other"), SMS, watch="morning_line = '08:00'")
    run.go_on(minutes=1)
    phones.plans["other"] = status(403)
    run.record(ONE)
    for _ in range(10):
        run.go_on(hours=7.2, pace=1200)
        run = restarted(run, phones)
        run.record(TWO, Kind.WISH)
    assert stages(phones, "slack") == [BEGAN, NOT_WELL, NOT_WELL, NOT_WELL]
    assert stages(phones, "sms") == [BEGAN, LASTS, LASTS, LASTS]
    told = [each for each in phones.accepted("slack") if each.text.title in {BEGAN, NOT_WELL}]
    assert told[0].at - NOON <= timedelta(minutes=1, seconds=1)
    assert all("channel other" in each.text.body for each in told)
    phones.plans.clear()
    run.go_on(hours=2, pace=120)
    assert stages(phones, "slack")[4:] == stages(phones, "sms")[4:] == [OVER]
    assert BEGAN not in phones.titles("other")
    assert OVER in phones.titles("other")
    run.go_on(until=NOON + 4 * DAY, pace=600)
    assert stages(phones, "slack")[5:] == [WELL]
    assert LASTS not in stages(phones, "sms")[5:]


@pytest.mark.parametrize(("outcome", "minutes"), [(status(401), 1), (status(500), 20), (NO_CONNECTION, 20)])
def test_a_channel_that_does_not_accept_for_15_minutes_is_told_as_dead(
    start: Start, outcome: Outcome, minutes: int
) -> None:
    """Planted fault: only a refusal is told: red."""
    run, phones = start(channel("slack"), channel("other"))
    phones.plans["other"] = outcome
    run.record(ONE)
    run.go_on(minutes=minutes - 0.5 if minutes == 1 else 14, pace=15)
    assert phones.titles("slack").count(BEGAN) == (minutes == 1)
    run.go_on(minutes=minutes, pace=15)
    assert phones.titles("slack").count(BEGAN) == 1


def asleep(run: Run, name: str) -> Callable[[], float]:
    """The channel's worker does nothing from now on; what it did."""
    step = run._steps[f"channel/{name}"]
    run._steps[f"channel/{name}"] = lambda: 10.0
    return step


def test_an_alert_that_is_never_tried_is_told_after_15_minutes_and_the_workers_begin_again(start: Start) -> None:
    """A worker that reads a deleted file, or waits for what never comes. Planted faults: `_is_dead` alone, which counts
    from the first attempt; no `_reopen`: red each."""
    run, phones = start(channel("slack"), channel("other"))
    run.record(ONE)
    run.go_on(minutes=30, pace=5)
    step = asleep(run, "slack")
    run.record(TWO)
    run.go_on(minutes=14.5, pace=5)
    assert stages(phones, "other") == []
    begun_again: list[str] = []
    run.oversight._reopen = lambda: begun_again.append("slack")
    run.go_on(minutes=1, pace=5)
    assert stages(phones, "other") == [BEGAN]
    assert "never tried" in phones.accepted("other")[-1].text.body
    assert begun_again == ["slack"]
    run.go_on(minutes=30, pace=5)
    assert stages(phones, "other") == [BEGAN]
    assert begun_again == ["slack"]
    run._steps["channel/slack"] = step
    run.go_on(minutes=1, pace=5)
    assert phones.orders("slack") == phones.orders("other") == [ONE, TWO]
    assert stages(phones, "other") == [BEGAN, OVER]


def test_an_alert_that_is_never_tried_goes_to_the_stand_in(start: Start) -> None:
    """Planted fault: only a channel that was tried is stood in for: red."""
    run, phones = start(channel("slack"), channel("sms", fallback_for=["slack"]))
    run.go_on(minutes=30, pace=5)
    asleep(run, "slack")
    run.record(ONE)
    run.go_on(minutes=16, pace=5)
    assert phones.orders("sms") == [ONE]


@pytest.mark.parametrize(("wait_minutes", "is_asleep"), [(40, False), (-5, False), (-20, True)])
def test_who_waits_because_it_was_told_to_does_not_sleep(wait_minutes: int, is_asleep: bool) -> None:
    """What is queued behind is not tried for an hour. Planted fault: `left_to_wait` is not looked at: red."""
    before = {minutes: NOON - timedelta(minutes=minutes) for minutes in (30, 60)}
    state = ChannelState(
        "slack",
        trying_since=before[60],
        failed_at=before[30],
        not_before=NOON + timedelta(minutes=wait_minutes),
        owed=2,
        oldest_owed=before[60],
        oldest_untried=before[60],
    )
    assert oversight._is_asleep(state, NOON) == is_asleep


def test_who_is_slow_with_a_long_queue_does_not_sleep(start: Start) -> None:
    """Forty alerts at half a minute each. Planted fault: only the oldest that waits is looked at: red."""
    run, phones = start(channel("slack"), channel("other"))

    def slowly(text: Text) -> Outcome:
        run.clock.wait(threading.Event(), 30.0)
        return ACCEPTED

    phones.plans["slack"] = slowly
    for order in ORDERS[:40]:
        run.record(order)
    run.go_on(minutes=30, pace=5)
    assert phones.orders("slack") == ORDERS[:40]
    assert stages(phones, "other") == [BEGAN, OVER]
    [began] = [came.text.body for came in phones.accepted("other") if came.text.title == BEGAN]
    assert "too slowly" in began


def test_after_a_start_what_waited_meanwhile_is_no_fault(start: Start) -> None:
    """Seen red without the two minutes after a start."""
    run, phones = start(channel("slack"), channel("sms", fallback_for=["slack"], send=["fault"]))
    run.go_on(minutes=30, pace=5)
    run.record(ONE)
    run.close()
    run.clock.move(7200.0)
    run = Run(run.config, phones, run.clock)
    run._step("oversight")
    run.go_on(minutes=5, pace=5)
    assert phones.orders("slack") == [ONE]
    assert phones.titles("sms") == []


def test_a_process_that_was_stopped_for_an_hour_tells_no_fault_of_its_own_making(start: Start) -> None:
    """Both clocks went on, and nobody searched. Planted fault: only a jump of one against the other counts: red."""
    run, _ = start(channel("slack"))
    run.go_on(minutes=30, pace=5)
    stops, end = iter([3600.0]), run.clock.passed + 3900.0

    def wait(seconds: float) -> None:
        """SIGSTOP for an hour, and from then on a good search before each look but the first."""
        stopped = next(stops, None)
        run.clock.move(stopped or seconds)
        if stopped is None:
            run.store.folders.good_search("shop", "INBOX", run.clock.now())
        if run.clock.passed > end:
            run.signals.stop.set()

    run.clock.on_wait = wait
    run.oversight.run()
    assert run.owed() == 0


def test_a_folder_without_a_good_search_for_15_minutes_is_told_and_once_when_it_is_over(start: Start) -> None:
    """Planted faults: told again after a restart; 15 minutes counted anew after a restart; no news of the end: red
    each."""
    run, phones = start(channel("slack"), SMS, watch="morning_line = '08:00'")
    run.go_on(minutes=5)
    run.is_searching = False
    run.go_on(minutes=14)
    assert stages(phones, "slack") == []
    run = restarted(run, phones)
    run.is_searching = False
    run.go_on(minutes=4)
    assert stages(phones, "slack") == stages(phones, "sms") == [BEGAN]
    assert "shop" in phones.accepted("slack")[0].text.body
    assert "INBOX" in phones.accepted("slack")[0].text.body
    for hour in (1, 18, 23, 25, 47):
        run.go_on(until=NOON + timedelta(hours=hour), pace=600)
        run = restarted(run, phones)
        run.is_searching = False
    assert stages(phones, "slack") == [BEGAN, NOT_WELL, NOT_WELL]
    assert stages(phones, "sms") == [BEGAN, LASTS, LASTS]
    assert why_not_well(run)["fault.stale"] == 1
    run.is_searching = True
    run.go_on(minutes=2)
    assert stages(phones, "slack")[3:] == stages(phones, "sms")[3:] == [OVER]
    assert not why_not_well(run)
    run.go_on(until=NOON + 3 * DAY, pace=600)
    assert stages(phones, "slack")[4:] == [WELL]
    assert stages(phones, "sms")[4:] == []


def test_a_short_gap_in_the_searches_is_nobody_s_business(start: Start) -> None:
    """Nor a computer that slept: it gets two minutes to search."""
    run, phones = start(channel("slack"))
    run.go_on(minutes=5)
    run.is_searching = False
    run.go_on(minutes=14)
    run.is_searching = True
    run.go_on(minutes=5)
    run.clock.jump(timedelta(hours=9))
    run.go_on(minutes=5)
    run.close()
    run.clock.move(timedelta(hours=3).total_seconds())
    run = Run(run.config, phones, run.clock)
    run.go_on(minutes=5)
    assert phones.came == []


def test_a_folder_that_was_never_searched_is_told_after_15_minutes_too(start: Start) -> None:
    run, phones = start(channel("slack"))
    run.is_searching = False
    run.go_on(minutes=14)
    assert stages(phones, "slack") == []
    run.go_on(minutes=2)
    assert stages(phones, "slack") == [BEGAN]


# ---- quiet hours ----

QUIET = "morning_line = '06:30'\nquiet_hours = '22:00-07:00'"
SEND = ["request", "wish", "possible", "unreadable", "cancelled", "fault", "digest"]
END = NOON + timedelta(hours=19)  # 07:00


def test_in_the_quiet_hours_only_requests_wishes_and_the_begin_of_a_fault_go_out(start: Start) -> None:
    """Planted faults: everything is held; nothing is; the news that a fault is over is not held: red each."""
    run, phones = start(channel("slack", send=SEND), watch=QUIET)
    run.go_on(until=NIGHT, pace=600)
    run.record(ONE, Kind.POSSIBLE)
    run.record(None, Kind.UNREADABLE)
    run.record(TWO, Kind.CANCELLED)
    run.record(THREE, Kind.REQUEST)
    run.record(FOUR, Kind.WISH)
    for number in range(100, 125):
        run.record(ORDERS[number], Kind.POSSIBLE, Trust.UNVERIFIED)
    run.is_searching = False
    run.go_on(minutes=20, pace=10)
    run.is_searching = True
    run.go_on(until=END - timedelta(seconds=1), pace=600)
    night = [each.text.title for each in phones.accepted("slack", NIGHT)]
    assert night == [REQUEST, "[Buyer asks] A buyer wants to cancel", BEGAN]
    run.go_on(minutes=1)
    day = phones.accepted("slack", END)
    assert [each.order for each in day if each.order] == [ONE, TWO, *ORDERS[100:120]]
    rest = [each.text.title for each in day if not each.order]
    assert rest == [
        "[Please check] An Amazon mail that can't be read",
        "[Please check] 5 alerts of unconfirmed senders in one",
        OVER,
        WELL,
    ]
    assert run.owed() == 0


def test_that_it_is_over_is_not_told_once_it_has_begun_again(start: Start) -> None:
    """Seen red: what the night had held came in the morning, while the folder was not searched."""
    at = datetime(2022, 8, 8, 13, 30, tzinfo=UTC)  # 22:30 in Japan
    run, phones = start(channel("slack"), watch="morning_line = ''\nquiet_hours = '22:00-07:00'", at=at)
    for is_searching, minutes in ((False, 40), (True, 30), (False, 480)):
        run.is_searching = is_searching
        run.go_on(minutes=minutes, pace=20)
    assert phones.titles("slack", at) == [BEGAN, BEGAN]


def test_what_is_held_is_taken_by_no_stand_in_and_is_not_overdue(start: Start) -> None:
    """Planted fault: a stand-in looks at no `next_attempt`: red."""
    run, phones = start(channel("slack"), channel("other", fallback_for=["slack"]), watch=QUIET)
    run.go_on(until=NIGHT, pace=600)
    phones.plans["slack"] = status(500)
    run.record(ONE, Kind.POSSIBLE)
    run.record(TWO)
    run.go_on(minutes=10)
    assert phones.orders("other") == [TWO]
    phones.plans.clear()
    run.record(THREE)
    run.go_on(minutes=10)
    assert phones.orders("slack") == [THREE]
    assert not why_not_well(run)
    run.go_on(until=END + timedelta(minutes=1), pace=600)
    assert phones.orders("slack") == [THREE, ONE]
    assert phones.orders("other") == [TWO]


def test_what_was_held_waits_45_seconds_from_the_end_of_the_hours_for_a_stand_in(start: Start) -> None:
    run, phones = start(channel("slack"), channel("other", fallback_for=["slack"]), watch=QUIET)
    run.go_on(until=NIGHT, pace=600)
    run.record(ONE, Kind.POSSIBLE)
    phones.plans["slack"] = status(500)
    run.go_on(until=END, pace=600)
    run.go_on(minutes=2)
    assert phones.orders("other") == [ONE]
    assert phones.accepted("other")[0].at - END >= timedelta(seconds=45)


# ---- the morning line ----


def mornings(phones: Phones) -> list[datetime]:
    """When the morning line was told."""
    return [each.at for each in phones.accepted("slack") if each.text.title in {WELL, NOT_WELL}]


@pytest.mark.parametrize(
    ("zone", "local", "first"),
    [("Asia/Tokyo", "08:00", MORNING), ("Europe/London", "07:30", NOON + timedelta(hours=3.5))],
)
def test_the_morning_line_comes_once_each_morning_and_not_on_the_day_of_the_first_start(
    start: Start, zone: str, local: str, first: datetime
) -> None:
    """Planted faults: the first start gives one at once; the time is taken as UTC; it is not remembered: red each."""
    run, phones = start(channel("slack"), watch=f"morning_line = '{local}'\ntime_zone = '{zone}'")
    for _ in range(10):
        run.go_on(hours=11, pace=600)
        run = restarted(run, phones)
    assert [at.replace(second=0) for at in mornings(phones)] == [
        first + DAY * number for number in range(len(mornings(phones)))
    ]
    assert len(mornings(phones)) in {4, 5}
    assert set(phones.titles("slack")) == {WELL}


def test_in_summer_time_too_it_comes_at_the_time_on_the_wall(start: Start) -> None:
    """London's clocks go back on 30 October 2022."""
    run, phones = start(channel("slack"), watch="time_zone = 'Europe/London'", at=NOON.replace(month=10, day=27))
    run.go_on(days=5, pace=600)
    assert [at.hour for at in mornings(phones)] == [7, 7, 7, 8, 8]


def test_the_morning_line_counts_what_came_since_the_last(start: Start) -> None:
    """Planted faults: counts since the first start; a `possible` counts as known: red each."""
    run, phones = start(channel("slack"), watch="morning_line = '08:00'")
    run.go_on(minutes=1)
    run.record(ONE)
    run.record(TWO, Kind.WISH)
    run.record(ONE)
    run.record(THREE, Kind.POSSIBLE)
    run.record(FOUR, trust=Trust.FORGED)
    run.store.vanished()
    run.go_on(until=MORNING + timedelta(minutes=1), pace=600)
    assert said(phones) == (
        "Since 8/8 12:00: 5 mails seen, 2 requests and wishes, 2 open, 1 gone before they could be read, 1 forged"
    )
    run.record(ORDERS[5])
    run.record(ONE, Kind.CANCELLED)
    run.go_on(days=1, pace=600)
    assert said(phones) == (
        "Since 8/9 08:00: 2 mails seen, 1 requests and wishes, 2 open, 0 gone before they could be read, 0 forged"
    )


def said(phones: Phones) -> str:
    """What the latest morning line counts."""
    [line] = [each for each in phones.accepted("slack") if each.at == mornings(phones)[-1]]
    assert line.text.title == WELL
    return line.text.body


def test_the_morning_line_says_what_is_not_well(start: Start) -> None:
    """Planted fault: it looks at the episodes only: red for the link that was lost ten minutes before."""
    run, phones = start(channel("slack"), watch="morning_line = '08:00'")
    run.go_on(until=MORNING - timedelta(minutes=10), pace=600)
    run.is_searching = False
    run.go_on(minutes=11)
    assert phones.titles("slack") == [NOT_WELL]
    assert "INBOX" in phones.accepted("slack")[0].text.body


def test_no_morning_line_where_none_is_wanted(start: Start) -> None:
    """Reminders of what lasts come all the same."""
    run, phones = start(channel("slack"), watch="morning_line = ''")
    run.go_on(days=2, pace=600)
    assert phones.came == []
    run.is_searching = False
    run.go_on(days=2, pace=600)
    assert phones.titles("slack") == [BEGAN, LASTS, LASTS]
    assert [each.at.hour for each in phones.accepted("slack")[1:]] == [23, 23]


@pytest.mark.parametrize("is_searched", [True, False])
def test_a_morning_without_a_run_is_made_up_for_once_after_the_start(start: Start, is_searched: bool) -> None:
    """Nor is it said before the folders could be searched. Planted fault: only within the minute of 08:00: red."""
    run, phones = start(channel("slack"), watch="morning_line = '08:00'")
    run.go_on(hours=1, pace=60)
    run.close()
    run.clock.move(timedelta(days=3).total_seconds())
    again = run.clock.now()
    run = Run(run.config, phones, run.clock)
    run.is_searching = is_searched
    run.go_on(minutes=10)
    run = restarted(run, phones)
    run.is_searching = is_searched
    run.go_on(hours=5, pace=600)
    [at] = mornings(phones)
    assert at - again <= timedelta(minutes=3)
    assert phones.titles("slack").count(WELL if is_searched else NOT_WELL) == 1


def test_a_clock_that_was_wrong_silences_no_morning(start: Start) -> None:
    """A machine without a battery starts in any year. Planted fault: the last line's time is believed: red."""
    run, phones = start(channel("slack"), watch="morning_line = '08:00'", at=NOON + 4000 * DAY)
    run.go_on(minutes=5)
    run.clock.jump(-4000 * DAY)
    run.go_on(days=3, pace=600)
    assert [at.replace(second=0) for at in mornings(phones)] == [MORNING, MORNING + DAY, MORNING + 2 * DAY]


# ---- the times of day ----

MOMENTS = st.datetimes(datetime(2022, 1, 1), datetime(2023, 1, 1)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001
TIMES = st.times().map(lambda at: at.replace(second=0, microsecond=0))
ZONES = st.sampled_from(["Asia/Tokyo", "Europe/London", "America/New_York"]).map(ZoneInfo)


@given(TIMES, MOMENTS, ZONES)
def test_the_last_morning_is_behind_and_not_more_than_a_day(at: time_of_day, now: datetime, zone: ZoneInfo) -> None:
    """Planted fault: the day is taken from UTC: red."""
    found = schedule.last_at(at, now, zone)
    assert timedelta() <= now - found <= timedelta(hours=25)
    assert zone.key != "Asia/Tokyo" or found.astimezone(zone).time() == at


@given(TIMES, TIMES, MOMENTS, ZONES)
def test_quiet_hours_are_over_at_their_end_also_across_midnight(
    start: time_of_day, end: time_of_day, now: datetime, zone: ZoneInfo
) -> None:
    """Planted fault: an end before the start is never reached: red."""
    until = schedule.Hours(start, end).until(now, zone)
    local = now.astimezone(zone).time()
    is_inside = start <= local < end if start <= end else local >= start or local < end
    assert (until is not None) is (is_inside and start != end)
    # In the hour that comes twice in autumn it may be the first of the two.
    assert until is None or timedelta(hours=-1) < until - now <= timedelta(hours=25)
    assert until is None or zone.key != "Asia/Tokyo" or until.astimezone(zone).time() == end
