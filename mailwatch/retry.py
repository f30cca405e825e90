"""When to try again: pure functions of how often it failed. Times in seconds; `jitter` is a number from 0 to 1."""

from __future__ import annotations

from mailwatch.services import LONGEST_WAIT, Result

RECONNECT_FIRST = 1.0
RECONNECT_CAP = 300.0
# An outage of minutes is the usual one: its end is noticed within one. One of hours costs the server fewer attempts.
_RECONNECT_CAP_AT_FIRST = 45.0
_RECONNECTS_AT_FIRST = 22
_RECONNECT_GROWTH = 1.5
# A refusal that may pass is believed to do so this often; most maintenance and overload that fits is over by then.
_PASSING_LOGINS = 2
_PASSING_LOGIN_SECONDS = 45.0
# A disk that has room again must be noticed soon; asking it costs nobody anything.
STORE_CAP = 20.0
FOLDER_MISSING = 300.0
PASSWORD_UNREADABLE = 60.0
SEND_FIRST = 5.0
SEND_CAP = 900.0
# What may have been accepted is repeated more slowly: each repeat may be one too many.
UNSURE_FIRST = 15.0
UNSURE_CAP = 3600.0
SEND_PERMANENT = 3600.0
# Most outages are over within an hour: until then a channel is tried again so soon, that what it owes comes soon too.
PROBE_CAP = 300.0
PROBED_FOR = 3600.0
# A service that always says "in a second" and never accepts is believed this often.
_BELIEVED = 60
_LEAST_NAMED = 1.0


def reconnect_delay(failures: int, jitter: float) -> float:
    """Seconds until the next connection after `failures` (>= 1) in a row, half of it jitter.

    Growing by half each time: after 15 s without a server the next attempt comes within 8 s. To 45 s, and after some
    ten minutes of that to 5 minutes: at most 600 attempts a day (reliability L5).
    """
    cap = _RECONNECT_CAP_AT_FIRST if failures <= _RECONNECTS_AT_FIRST else RECONNECT_CAP
    return _growing(RECONNECT_FIRST, cap, failures, jitter, _RECONNECT_GROWTH)


def is_login_passing(refusals: int, *, may_pass: bool) -> bool:
    """Return whether a refused login, the `refusals`-th (>= 1) in a row, is taken for trouble that passes."""
    return may_pass and refusals <= _PASSING_LOGINS


def login_delay(refusals: int, *, may_pass: bool = False) -> float:
    """Return the seconds until the next login after `refusals` (>= 1) in a row.

    Whatever was refused, there are at most six tries in the first hour, then one an hour: more of them get a seller's
    address blocked for weeks.
    """
    if is_login_passing(refusals, may_pass=may_pass):
        return _PASSING_LOGIN_SECONDS
    return 720.0 if refusals < 6 else 3600.0


def send_delay(
    result: Result, failures: int, jitter: float, *, failing_for: float = PROBED_FOR, named: float = 0.0
) -> float:
    """Return the seconds until the next attempt to send.

    `failures` (>= 1) in a row, over `failing_for` seconds, of which the last ended with `result`. Passing: doubling to
    15 minutes; ambiguous: to an hour; permanent: an hour; but in a channel's first hour without success 5 minutes at
    most. A refused alert alone: an hour. `named`: the wait that the service asked for (0: none). Up to an hour it is
    taken as said, not doubled, unless it is named again and again for nothing.
    """
    if result is Result.REFUSED:
        return SEND_PERMANENT
    ours = _send_delay(result, failures, jitter)
    if failing_for < PROBED_FOR:
        ours = min(ours, PROBE_CAP)
    if not named:
        return ours
    named = min(named, LONGEST_WAIT)
    if result is Result.PERMANENT or failures > _BELIEVED:
        return max(named, ours)
    return max(named, _LEAST_NAMED)


def _send_delay(result: Result, failures: int, jitter: float) -> float:
    if result is Result.PERMANENT:
        return SEND_PERMANENT
    if result is Result.AMBIGUOUS:
        return _growing(UNSURE_FIRST, UNSURE_CAP, failures, jitter)
    return _growing(SEND_FIRST, SEND_CAP, failures, jitter)


def _growing(first: float, cap: float, failures: int, jitter: float, growth: float = 2.0) -> float:
    whole = min(cap, first * growth ** min(failures - 1, 60))
    return whole / 2 + whole / 2 * jitter
