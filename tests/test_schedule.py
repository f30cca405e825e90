"""The times of day of the morning line and the quiet hours: over midnight, and where the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from mailwatch import schedule
from mailwatch.schedule import Hours

TOKYO = ZoneInfo("Asia/Tokyo")
NEW_YORK = ZoneInfo("America/New_York")
NIGHT = Hours(time(22, 0), time(7, 0))
LUNCH = Hours(time(12, 0), time(13, 30))
SPRING, AUTUMN = datetime(2022, 3, 13, 7, 0, tzinfo=UTC), datetime(2022, 11, 6, 6, 0, tzinfo=UTC)

TIMES = st.times().map(lambda at: at.replace(second=0, microsecond=0, fold=0))
# Any moment of some years, and every second one within a day of a change of the clocks.
MOMENTS = st.one_of(
    st.datetimes(datetime(2020, 1, 1), datetime(2032, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - UTC is given
    st.builds(
        lambda change, minutes: change + timedelta(minutes=minutes),
        st.sampled_from([SPRING, AUTUMN]),
        st.integers(-1500, 1500),
    ),
)


def in_tokyo(text: str) -> datetime:
    """A moment by the clock in Tokyo."""
    return datetime.fromisoformat(f"2022-{text}").replace(tzinfo=TOKYO).astimezone(UTC)


def shows(wall: datetime, zone: ZoneInfo) -> bool:
    """Whether the clock on the wall shows this time of this day at all: in spring an hour is left out."""
    return wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) == wall.replace(tzinfo=None)


@pytest.mark.parametrize(
    ("hours", "now", "end"),
    [
        (NIGHT, "08-08T21:59:59", None),
        (NIGHT, "08-08T22:00", "08-09T07:00"),
        (NIGHT, "08-08T23:59:59", "08-09T07:00"),
        (NIGHT, "08-09T00:00", "08-09T07:00"),
        (NIGHT, "08-09T06:59:59", "08-09T07:00"),
        (NIGHT, "08-09T07:00", None),
        (NIGHT, "08-09T07:00:00.5", None),
        (NIGHT, "12-31T23:00", "12-31T07:00+1"),
        (LUNCH, "08-08T11:59", None),
        (LUNCH, "08-08T12:00", "08-08T13:30"),
        (LUNCH, "08-08T13:30", None),
        (Hours(time(0, 0), time(6, 0)), "08-08T00:00", "08-08T06:00"),
        (Hours(time(22, 0), time(0, 0)), "08-08T23:00", "08-09T00:00"),
        (Hours(time(22, 0), time(0, 0)), "08-09T00:00", None),
        (Hours(time(7, 0), time(6, 59)), "08-08T07:00", "08-09T06:59"),
    ],
)
def test_the_quiet_hours_last_until_their_end_over_midnight_too(hours: Hours, now: str, end: str | None) -> None:
    """Planted fault: the start compared with the end by the clock alone, as if both were of one day: red."""
    day, _, later = (end or "").partition("+")
    expected = in_tokyo(day) + timedelta(days=int(later or 0)) if end else None
    assert hours.until(in_tokyo(now), TOKYO) == expected


@pytest.mark.long
@given(MOMENTS, TIMES, TIMES)
@example(SPRING, time(22, 0), time(2, 30))
@example(AUTUMN - timedelta(hours=3), time(22, 0), time(1, 30))
@example(AUTUMN + timedelta(minutes=10), time(22, 0), time(1, 30))
@settings(max_examples=400)
def test_the_end_of_the_quiet_hours_is_ahead_at_its_time_of_day_whatever_the_clocks_do(
    now: datetime, start: time, end: time
) -> None:
    """A day has 23 to 25 hours there. Planted faults: the end counted as so many seconds from now; always the first of
    the two ends where the clocks show an hour twice: red each."""
    assume(start != end)
    local = now.astimezone(NEW_YORK)
    until = Hours(start, end).until(now, NEW_YORK)
    if until is None:
        # Outside: from the end to the start.
        since_end = (datetime.combine(local, local.time()) - datetime.combine(local, end)) % timedelta(days=1)
        assert since_end < (datetime.combine(local, start) - datetime.combine(local, end)) % timedelta(days=1)
    else:
        assert now < until <= now + timedelta(hours=25)
        wall = until.astimezone(NEW_YORK)
        assert wall.time() == end or not shows(datetime.combine(wall, end), NEW_YORK)


@pytest.mark.parametrize(
    ("minutes", "end"), [(-50, -30), (-31, -30), (-30, None), (-1, None), (0, 30), (10, 30), (29, 30), (30, None)]
)
def test_in_the_hour_that_comes_twice_the_end_is_the_one_that_is_still_to_come(minutes: int, end: int | None) -> None:
    """By the clock on the wall 01:30 comes twice, and the quiet hours end each time. Planted fault: always the first
    end: one that has passed, red from 01:00 to 01:30 the second time."""
    until = Hours(time(22, 0), time(1, 30)).until(AUTUMN + timedelta(minutes=minutes), NEW_YORK)
    assert until == (None if end is None else AUTUMN + timedelta(minutes=end))


@pytest.mark.long
@given(MOMENTS, TIMES, TIMES)
@settings(max_examples=200)
def test_where_the_clocks_never_change_the_quiet_hours_are_exactly_as_long_as_they_say(
    now: datetime, start: time, end: time
) -> None:
    assume(start != end)
    until = Hours(start, end).until(now, TOKYO)
    if until is not None:
        length = (datetime.combine(now, end) - datetime.combine(now, start)) % timedelta(days=1)
        assert now < until <= now + length
        assert until.astimezone(TOKYO).time() == end


@pytest.mark.parametrize(
    ("at", "now", "last"),
    [
        ("08:00", "08-08T08:00", "08-08T08:00"),
        ("08:00", "08-08T07:59:59", "08-07T08:00"),
        ("08:00", "08-08T23:59", "08-08T08:00"),
        ("00:00", "08-08T00:00", "08-08T00:00"),
        ("23:59", "08-08T00:00", "08-07T23:59"),
    ],
)
def test_the_last_morning_is_todays_once_it_has_come(at: str, now: str, last: str) -> None:
    """Planted fault: `today < now`: red for the moment itself."""
    assert schedule.last_at(time.fromisoformat(at), in_tokyo(now), TOKYO) == in_tokyo(last)


@given(MOMENTS, TIMES)
@example(SPRING, time(2, 30))
@example(AUTUMN + timedelta(minutes=40), time(1, 30))
@settings(max_examples=400)
def test_the_last_morning_is_within_a_day_whatever_the_clocks_do(now: datetime, at: time) -> None:
    """Planted fault: yesterday's counted as 24 hours before today's: red where the clocks change."""
    last = schedule.last_at(at, now, NEW_YORK)
    assert now - timedelta(hours=25) <= last <= now
    wall = last.astimezone(NEW_YORK)
    assert wall.time() == at or not shows(datetime.combine(wall, at), NEW_YORK)


@given(MOMENTS, TIMES, st.integers(1, 3000))
@settings(max_examples=200)
def test_the_last_morning_never_goes_back(now: datetime, at: time, minutes: int) -> None:
    """Else a morning line would be told twice."""
    later = now + timedelta(minutes=minutes)
    assert schedule.last_at(at, now, NEW_YORK) <= schedule.last_at(at, later, NEW_YORK)
