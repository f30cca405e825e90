"""When to try again: pure functions of how often it failed. Times in seconds; `jitter` is a number from 0 to 1."""

from __future__ import annotations

RECONNECT_FIRST = 1.0
RECONNECT_CAP = 300.0
SEND_FIRST = 5.0
SEND_CAP = 900.0
SEND_PERMANENT = 3600.0


def reconnect_delay(failures: int, jitter: float) -> float:
    """Seconds until the next connection after `failures` (>= 1) in a row: doubling to 5 minutes, half of it jitter."""
    return _doubling(RECONNECT_FIRST, RECONNECT_CAP, failures, jitter)


def login_delay(refusals: int) -> float:
    """Seconds until the next login after `refusals` (>= 1): six tries in the first hour, then one an hour.

    More tries get a seller's address blocked for weeks (traps section 1).
    """
    return 720.0 if refusals < 6 else 3600.0


def send_delay(attempts: int, jitter: float) -> float:
    """Seconds until the next attempt to send after `attempts` (>= 1) passing failures: doubling to 15 minutes."""
    return _doubling(SEND_FIRST, SEND_CAP, attempts, jitter)


def _doubling(first: float, cap: float, failures: int, jitter: float) -> float:
    whole = min(cap, first * 2.0 ** min(failures - 1, 30))
    return whole / 2 + whole / 2 * jitter
