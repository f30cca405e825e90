"""What a send shows on the wire: apprise reports only True or False, no status, no Retry-After and no body.

`requests.adapters.HTTPAdapter.send` and `smtplib.SMTP.data` are wrapped once; a send notes in a context variable what
it wants to see. What a plugin sends by any other way is not seen: it may always have been accepted.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import smtplib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from mailwatch.services import Answer, Cause, Outcome, Request, Result, seconds_to_wait

_LIMIT_BODY = 65_536


@dataclass(slots=True)
class Exchange:
    """One send on the wire: how to amend its request, and what came of it. `seconds`: for the whole answer;
    `was_sent`: it may have been; `crash`: what the plugin itself raised."""

    seconds: float
    amend: Callable[[Request], None] = lambda _: None
    answer: Answer | None = None
    was_sent: bool = False
    why: str = ""
    crash: str = ""
    cause: Cause = Cause.NETWORK
    began: float = field(default_factory=time.monotonic)

    def unanswered(self) -> Result:
        """What it means that no answer came."""
        return Result.AMBIGUOUS if self.was_sent else Result.PASSING

    def failed(self) -> Outcome:
        """The outcome where no answer came."""
        if self.crash and not self.why and not self.was_sent:
            # The text itself is what the plugin can't send: another one may go.
            return Outcome(Result.REFUSED, self.crash, cause=Cause.REFUSED)
        return Outcome(self.unanswered(), self.why or ("no answer" if self.was_sent else "not sent"), cause=self.cause)


_current: contextvars.ContextVar[Exchange | None] = contextvars.ContextVar("exchange", default=None)


@contextlib.contextmanager
def observed(exchange: Exchange) -> Iterator[None]:
    """Note in `exchange` what `requests` sends and gets inside; of several requests the last counts."""
    _wrap()
    token = _current.set(exchange)
    try:
        yield
    finally:
        _current.reset(token)


def is_seen(plugin: Any) -> bool:
    """Whether what the plugin sends is seen here: apprise's import `requests` or `smtplib` where they use it."""
    modules = [sys.modules[kind.__module__] for kind in type(plugin).__mro__]
    return any(hasattr(module, name) for module in modules for name in ("requests", "smtplib"))


_wrapping = threading.Lock()


def _wrap() -> None:
    with _wrapping:
        _wrap_requests()
        _wrap_smtp()


@cache
def _wrap_smtp() -> None:
    """A mail can only be accepted by the answer to DATA."""
    plain: Callable[..., tuple[int, bytes]] = smtplib.SMTP.data

    def data(session: smtplib.SMTP, mail: Any) -> tuple[int, bytes]:
        exchange = _current.get()
        if exchange is None:
            return plain(session, mail)
        before, exchange.was_sent = exchange.was_sent, True
        code, words = plain(session, mail)
        exchange.was_sent = before or 200 <= code < 300
        return code, words

    smtplib.SMTP.data = data  # type: ignore[method-assign, assignment]


@cache
def _wrap_requests() -> None:
    import requests

    plain: Callable[..., Any] = requests.adapters.HTTPAdapter.send

    def send(adapter: Any, request: Any, *args: Any, **kwargs: Any) -> Any:
        exchange = _current.get()
        if exchange is None:
            return plain(adapter, request, *args, **kwargs)
        _amend(exchange, request)
        exchange.answer, exchange.was_sent = None, True
        try:
            response = plain(adapter, request, *args, **{**kwargs, "stream": True})
        except requests.exceptions.RequestException as fault:
            _note(exchange, fault)
            raise
        except UnicodeError:
            # Of a header or a body that has no such letter, before its first byte.
            exchange.was_sent = False
            raise
        said = seconds_to_wait(response.headers.get("Retry-After", ""), response.headers.get("Date", ""), time.time())
        exchange.answer = Answer(response.status_code, _read(exchange, response), said)
        return response

    requests.adapters.HTTPAdapter.send = send  # type: ignore[method-assign, assignment]


def _amend(exchange: Exchange, request: Any) -> None:
    """Let the service change the JSON body and the headers of a prepared request."""
    payload = None
    if request.method == "POST":
        with contextlib.suppress(ValueError, TypeError):
            payload = json.loads(request.body)
    ours = Request(request.url, payload if isinstance(payload, dict) else None)
    before = json.dumps(ours.payload)
    exchange.amend(ours)
    request.headers.update(ours.headers)
    if json.dumps(ours.payload) != before:
        request.prepare_body(json.dumps(ours.payload).encode("ascii"), None)


def _read(exchange: Exchange, response: Any) -> bytes | None:
    """The body, at most 64 KB and only until the deadline; None where it did not come whole."""
    import urllib3

    body, is_whole = b"", False
    try:
        while len(body) < _LIMIT_BODY and time.monotonic() - exchange.began < exchange.seconds:
            chunk = response.raw.read1(4096, decode_content=True)
            if not chunk:
                is_whole = True
                break
            body += chunk
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as fault:
        exchange.why = type(fault).__name__
    response.close()
    # `requests` would read on without end; what it reads is what we read.
    response._content, response._content_consumed = body, True  # noqa: SLF001 - there is no public way
    return body if is_whole else None


def _note(exchange: Exchange, fault: Exception) -> None:
    """Whether a request surely never left (no address, no connection, no TLS), and why in a word."""
    import requests
    import urllib3

    known = requests.exceptions
    inner = getattr(fault.args[0], "reason", None) if fault.args else None
    if isinstance(inner, urllib3.exceptions.ProxyError):
        # A proxy that could not be reached or refused the tunnel; one that was lost later hides the same way.
        inner = inner.original_error
        is_tunnel = isinstance(inner, OSError) and "Tunnel connection failed" in str(inner)
    else:
        is_tunnel = False
    never = (
        is_tunnel
        or isinstance(fault, known.ConnectTimeout | known.SSLError)
        or isinstance(inner, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError)
    )
    exchange.was_sent = not never
    exchange.why = type(fault).__name__
    exchange.cause = Cause.CERTIFICATE if isinstance(fault, known.SSLError) else Cause.NETWORK
    if isinstance(fault, known.ReadTimeout):
        exchange.cause = Cause.SILENT
