"""What a service answered, and what that means for the alert and for the channel."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum

# What is owed is tried once an hour, whatever a service asks for: one answer must not silence a channel for a day.
LONGEST_WAIT = 3600.0
# Some write a fraction, a unit, or the header twice, which is joined by a comma. A date begins with a letter.
_SECONDS = re.compile(
    r"\+?([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*(?:s|secs?|seconds?)?\s*(?:[,;].*)?$", re.IGNORECASE | re.ASCII
)


class Result(StrEnum):
    """How a send ended."""

    ACCEPTED = "accepted"
    PASSING = "passing"  # not accepted, may be later
    AMBIGUOUS = "ambiguous"  # no answer that says so: it may have been accepted
    REFUSED = "refused"  # this alert is refused; another may be taken
    PERMANENT = "permanent"  # the channel is dead until a person acts


class Cause(StrEnum):
    """Why a send failed, as a person is told: `channel.<cause>` in the catalogue."""

    CREDENTIALS = "credentials"
    ADDRESS = "address"
    QUOTA = "quota"
    REFUSED = "refused"
    BUSY = "busy"
    SERVER = "server"
    NETWORK = "network"
    CERTIFICATE = "certificate"
    SILENT = "silent"
    ODD = "odd"
    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result, why in a few English words for the log, how long the channel asked us to wait (seconds; 0: not said),
    and the cause as a person is told (None where it was accepted)."""

    result: Result
    why: str = ""
    retry_after: float = 0.0
    cause: Cause | None = None

    @property
    def is_service_failing(self) -> bool:
        """Return whether an answer, and no silence, keeps the alert back: the service fails (5xx), or it is odd."""
        return self.result in {Result.PASSING, Result.AMBIGUOUS} and self.cause in {Cause.SERVER, Cause.ODD}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came over the wire. `body` is None where it did not come whole."""

    status: int
    body: bytes | None = b""
    retry_after: float = 0.0

    @property
    def is_well(self) -> bool:
        """Whether it is 2xx, which a portal or proxy may say as well as the service."""
        return 200 <= self.status < 300


# By RFC 9110 and the services' own pages (domain section 10): 400 is of this message, 401 to 410 of the address.
_BY_STATUS: dict[int, tuple[Result, Cause]] = {
    400: (Result.REFUSED, Cause.REFUSED),
    401: (Result.PERMANENT, Cause.CREDENTIALS),
    402: (Result.PERMANENT, Cause.QUOTA),
    403: (Result.PERMANENT, Cause.CREDENTIALS),
    404: (Result.PERMANENT, Cause.ADDRESS),
    405: (Result.PERMANENT, Cause.ADDRESS),
    406: (Result.PERMANENT, Cause.ADDRESS),
    410: (Result.PERMANENT, Cause.ADDRESS),
    413: (Result.REFUSED, Cause.REFUSED),
    422: (Result.REFUSED, Cause.REFUSED),
    429: (Result.PASSING, Cause.BUSY),
    # A gateway that gave up waiting does not know what the service behind it did.
    502: (Result.AMBIGUOUS, Cause.SERVER),
    504: (Result.AMBIGUOUS, Cause.SERVER),
}


def by_status(answer: Answer) -> Outcome:
    """What an HTTP status alone says; 2xx is accepted, a redirect is not and is not followed."""
    why = f"HTTP {answer.status}"
    if answer.is_well:
        return Outcome(Result.ACCEPTED, why)
    cause = Cause.ODD if answer.status < 500 else Cause.SERVER
    result, cause = _BY_STATUS.get(answer.status, (Result.PASSING, cause))
    return Outcome(result, why, answer.retry_after, cause)


def seconds_to_wait(retry_after: str, date: str, now: float) -> float:
    """Return the seconds that the header Retry-After names (RFC 9110 section 10.2.3), at most `LONGEST_WAIT`.

    0: it names none, a time that is past, or nonsense. `date`: the answer's own Date, by whose clock a date in
    Retry-After is read, so that it does not matter how wrong ours is (`now`, seconds since 1970).
    """
    value = retry_after.strip()[:100]
    if found := _SECONDS.match(value):
        return min(float(found[1]), LONGEST_WAIT)
    until = _moment(value)
    since = _moment(date.strip()[:100])
    return 0.0 if until is None else max(0.0, min(until - (now if since is None else since), LONGEST_WAIT))


def _moment(date: str) -> float | None:
    """Return an HTTP date in seconds since 1970; all of its three forms are in GMT."""
    try:
        found = parsedate_to_datetime(date)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
