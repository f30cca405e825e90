"""A text and a channel in, what became of it out. The only user of apprise.

The rules, each from a measurement (traps section 3, libraries section 1): text format always, or a buyer's `<!channel>`
pings a Slack channel; no redirects (one 302 made 30 further requests); a read time-out of 30 s, for after apprise's
4 s a message that *was* accepted counts as failed; a fresh object for each send (a kept one sleeps 5.5 s between two
LINE messages); one channel a call; its loggers never below WARNING and never to our log, for they print tokens.
"""

from __future__ import annotations

import contextvars
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from mailwatch.secret import Secret
from mailwatch.texts import Text

_CONNECT_SECONDS = 10
_READ_SECONDS = 30
_LIMIT = 3000
_PERMANENT = {400, 401, 403, 404, 405, 406, 410, 413, 422}


class Result(StrEnum):
    """How a send ended."""

    ACCEPTED = "accepted"
    PASSING = "passing"  # not accepted, may be later
    PERMANENT = "permanent"  # refused: a person must act
    AMBIGUOUS = "ambiguous"  # the answer never came: it may have been accepted


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result, why in a few words, and how long the channel asked us to wait (seconds; 0: not said)."""

    result: Result
    why: str = ""
    retry_after: float = 0.0


class Sender(Protocol):
    """Sends one text to one channel; `key` is the outbox row's UUID. Never raises."""

    def __call__(self, text: Text, key: uuid.UUID) -> Outcome: ...


def sender(url: Secret) -> Sender:
    """The sender of an apprise URL."""

    def send(text: Text, key: uuid.UUID) -> Outcome:  # noqa: ARG001 - the key matters to channels that take one
        return _send(url, text)

    return send


def is_usable(url: Secret) -> bool:
    """Whether apprise knows the scheme and has what it needs."""
    return bool(_apprise(url))


def warm_up() -> None:
    """Load apprise and its plugins, 0.2 s and 18 MiB: in the background, once the first folder is watched."""
    _quiet()
    import apprise

    apprise.Apprise().add("json://localhost")


@dataclass(slots=True)
class _Seen:
    """What a send showed on the wire: the last HTTP status and Retry-After, or the kind of failure."""

    status: int | None = None
    retry_after: float = 0.0
    failures: list[str] = field(default_factory=list)
    was_sent: bool = False


_seen: contextvars.ContextVar[_Seen] = contextvars.ContextVar("seen")


def _send(url: Secret, text: Text) -> Outcome:
    import apprise

    service = _apprise(url)
    if not service:
        return Outcome(Result.PERMANENT, "apprise does not take this URL")
    _observe_requests()
    seen = _Seen()
    token = _seen.set(seen)
    try:
        answer = service.notify(body=text.body[:_LIMIT], title=text.title[:200], body_format=apprise.NotifyFormat.TEXT)
    finally:
        _seen.reset(token)
    return _outcome(bool(answer), seen)


def _outcome(accepted: bool, seen: _Seen) -> Outcome:
    if accepted:
        return Outcome(Result.ACCEPTED)
    if seen.status in _PERMANENT:
        return Outcome(Result.PERMANENT, f"HTTP {seen.status}")
    if seen.status is not None:
        return Outcome(Result.PASSING, f"HTTP {seen.status}", seen.retry_after)
    why = seen.failures[-1] if seen.failures else "not sent"
    return Outcome(Result.AMBIGUOUS if seen.was_sent else Result.PASSING, why)


def _apprise(url: Secret) -> Any:
    """A fresh apprise object for one URL, or None where it is refused."""
    _quiet()
    import apprise

    asset = apprise.AppriseAsset(
        app_id="mailwatch",
        app_desc="mailwatch",
        image_url_mask="",
        image_url_logo="",
        http_redirects=False,
        service_timeout=0,
    )
    made = apprise.Apprise(asset=asset)
    try:
        return made if made.add(_with_time_outs(url.reveal())) else None
    except ValueError:
        return None


def _with_time_outs(url: str) -> str:
    # `slack://A/B/C/#general`, as apprise writes it: the mark belongs to the path.
    parts = urlsplit(url.replace("#", "%23"))
    ours = f"cto={_CONNECT_SECONDS}&rto={_READ_SECONDS}&redirect=no"
    return urlunsplit(parts._replace(query=f"{parts.query}&{ours}" if parts.query else ours))


@cache
def _quiet() -> None:
    """apprise's loggers print tokens and whole messages; nothing of theirs reaches ours. Not CRITICAL: its results
    would lose their log lines (libraries 1.3)."""
    for name in ("apprise", "urllib3", "requests"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        logger.addHandler(logging.NullHandler())


@cache
def _observe_requests() -> None:
    """Note status and Retry-After of each request that apprise makes: it reports only True or False."""
    import requests

    plain: Callable[..., Any] = requests.adapters.HTTPAdapter.send

    def observed(adapter: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        seen = _seen.get(None)
        if seen is None:
            return plain(adapter, request, *args, **kwargs)
        seen.was_sent = True
        try:
            response = plain(adapter, request, *args, **kwargs)
        except requests.exceptions.RequestException as fault:
            seen.failures.append(type(fault).__name__)
            seen.was_sent = not _never_connected(fault)
            raise
        seen.status = response.status_code
        seen.retry_after = _seconds(response.headers.get("Retry-After", ""))
        return response

    requests.adapters.HTTPAdapter.send = observed  # type: ignore[method-assign, assignment]


def _never_connected(fault: BaseException) -> bool:
    """Whether a request surely never left: no address, no connection, or no TLS."""
    import requests
    import urllib3

    if isinstance(fault, requests.exceptions.ConnectTimeout | requests.exceptions.SSLError):
        return True
    inner = getattr(fault.args[0], "reason", None) if fault.args else None
    return isinstance(inner, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError)


def _seconds(value: str) -> float:
    """Retry-After in seconds, at most a day; a date or nonsense counts as not said."""
    return min(float(value), 86400.0) if value.strip().isdecimal() else 0.0
