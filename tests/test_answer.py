"""What an HTTP status means for the alert and for the channel, where a service says nothing more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailwatch.services import Answer, Cause, Result
from mailwatch.services.answer import by_status

ACCEPTED, PASSING, AMBIGUOUS = Result.ACCEPTED, Result.PASSING, Result.AMBIGUOUS
REFUSED, PERMANENT = Result.REFUSED, Result.PERMANENT


@pytest.mark.parametrize(
    ("statuses", "result", "cause"),
    [
        ((200, 201, 202, 204, 299), ACCEPTED, None),
        ((400, 413, 422), REFUSED, Cause.REFUSED),
        ((401, 403), PERMANENT, Cause.CREDENTIALS),
        ((402,), PERMANENT, Cause.QUOTA),
        ((404, 405, 406, 410), PERMANENT, Cause.ADDRESS),
        ((429,), PASSING, Cause.BUSY),
        ((502, 504), AMBIGUOUS, Cause.SERVER),
        ((500, 501, 503, 505, 507, 599), PASSING, Cause.SERVER),
        ((100, 301, 302, 303, 304, 307, 308), PASSING, Cause.ODD),
        ((407, 408, 409, 418, 425, 451), PASSING, Cause.ODD),
    ],
)
def test_a_status_says_what_becomes_of_the_alert_and_of_the_channel(
    statuses: tuple[int, ...], result: Result, cause: Cause | None
) -> None:
    """RFC 9110. Planted faults: any row of the table out of it; 3xx taken for 2xx: red each."""
    for status in statuses:
        outcome = by_status(Answer(status, b"whatever", 7.0))
        assert (outcome.result, outcome.cause) == (result, cause)
        assert outcome.why == f"HTTP {status}"
        assert outcome.retry_after == (0.0 if result is ACCEPTED else 7.0)


@given(st.integers(100, 999))
def test_only_2xx_is_accepted_and_every_failure_has_a_cause_to_tell(status: int) -> None:
    """Planted fault: an unknown status is accepted: red."""
    outcome = by_status(Answer(status, None))
    assert (outcome.result is ACCEPTED) is (200 <= status < 300)
    assert (outcome.cause is None) is (outcome.result is ACCEPTED)
