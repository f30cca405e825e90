"""When to try again: bounded, growing, and gentle with a server that says no."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwatch import retry
from mailwatch.services import Result

Delay = Callable[[int, float], float]
DELAYS = [
    (partial(retry.send_delay, Result.PASSING), 5.0, 900.0),
    (partial(retry.send_delay, Result.AMBIGUOUS), 15.0, 3600.0),
]
FAILURES, JITTER = st.integers(1, 10**9), st.floats(0, 1)


@pytest.mark.parametrize(("delay", "first", "cap"), DELAYS)
def test_the_delay_doubles_to_its_cap_and_half_of_it_is_jitter(delay: Delay, first: float, cap: float) -> None:
    assert [delay(n, 1.0) for n in range(1, 5)] == [first, 2 * first, 4 * first, 8 * first]
    assert [delay(n, 0.0) for n in range(1, 5)] == [first / 2, first, 2 * first, 4 * first]
    assert (delay(1000, 1.0), delay(1000, 0.0)) == (cap, cap / 2)


def test_a_reconnect_grows_by_half_to_45_seconds_and_after_ten_minutes_to_five_minutes() -> None:
    assert [retry.reconnect_delay(n, 1.0) for n in range(1, 4)] == [1.0, 1.5, 2.25]
    assert [retry.reconnect_delay(n, 1.0) for n in (12, 22, 23, 1000)] == [45.0, 45.0, 300.0, 300.0]
    assert retry.reconnect_delay(1000, 0.0) == 150.0


def test_after_fifteen_seconds_without_a_server_the_next_attempt_comes_within_eight() -> None:
    """Doubling, it came after up to 16 (reliability L4 wants 10). Seen red with a growth of 2."""
    for jitter in (0.0, 0.5, 1.0):
        times = [0.0, *accumulate(retry.reconnect_delay(n, jitter) for n in range(1, 12))]
        assert min(at for at in times if at >= 15.0) <= 23.0


@pytest.mark.parametrize(("delay", "first", "cap"), [*DELAYS, (retry.reconnect_delay, 1.0, 300.0)])
@given(failures=FAILURES, jitter=JITTER)
@settings(max_examples=100)
def test_no_delay_is_ever_zero_or_above_its_cap(
    delay: Delay, first: float, cap: float, failures: int, jitter: float
) -> None:
    """Seen red with the cap taken out."""
    assert first / 2 <= delay(failures, jitter) <= cap
    assert delay(failures, jitter) <= delay(failures + 1, jitter)


def test_a_day_without_network_costs_at_most_six_hundred_attempts() -> None:
    times = accumulate(retry.reconnect_delay(n, 0.0) for n in range(1, 2000))
    assert sum(at <= 24 * 3600 for at in times) <= 600


def test_a_refused_login_is_tried_six_times_in_the_first_hour_and_then_once_an_hour() -> None:
    """Seen red with `refusals < 7`."""
    tries = [0.0, *accumulate(retry.login_delay(n) for n in range(1, 100))]
    assert sum(at < 3600 for at in tries) <= 6
    after = [at for at in tries if at >= 3600]
    assert all(later - earlier >= 3600 for earlier, later in pairwise(after))
    assert all(sum(start <= at < start + 3600 for at in tries) <= 6 for start in tries)


@pytest.mark.parametrize("result", [Result.PERMANENT, Result.REFUSED])
@given(failures=FAILURES, jitter=JITTER)
@settings(max_examples=50)
def test_what_only_a_person_can_mend_is_tried_once_an_hour(result: Result, failures: int, jitter: float) -> None:
    """A dead channel, and an alert that is refused. Seen red with either result left out of the set."""
    assert retry.send_delay(result, failures, jitter) == 3600.0


def test_what_may_have_been_accepted_is_repeated_more_slowly_than_what_surely_was_not() -> None:
    """Each repeat may be one too many. Seen red with AMBIGUOUS delayed as PASSING is."""
    first_hour = {
        result: sum(at < 3600 for at in accumulate(retry.send_delay(result, n, 0.0) for n in range(1, 100)))
        for result in (Result.PASSING, Result.AMBIGUOUS)
    }
    assert first_hour[Result.AMBIGUOUS] <= 8 < first_hour[Result.PASSING]
