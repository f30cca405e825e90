"""One text to one channel, in a thread of its own with a deadline: no answer is waited for without end.

The rules, each from a measurement (traps section 3, libraries section 1): text format always, or a buyer's `<!channel>`
pings a Slack channel; no redirects (one 302 made 30 further requests); a read time-out of 30 s, for after apprise's
4 s a message that *was* accepted counts as failed; a fresh object for each send (a kept one sleeps 5.5 s between two
LINE messages); one channel a call; its loggers never below WARNING and never to our log, for they print tokens. A read
time-out is no deadline: an answer that drips held a call for as long as it dripped.
"""

from __future__ import annotations

import gc
import logging
import threading
import uuid
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from mailwatch import services
from mailwatch.secret import Secret
from mailwatch.services import Cause, Form, Outcome, Result
from mailwatch.texts import Text
from mailwatch.transport import wire

CONNECT_SECONDS = 10
READ_SECONDS = 30
DEADLINE_SECONDS = 40.0
# So many sends of one channel may hang behind their deadline, each in its thread; then the channel waits for them.
_HANGING = 3


class Sender(Protocol):
    """Sends one text to one channel; `key` is the outbox row's UUID. Ends within `DEADLINE_SECONDS`, never raises."""

    def __call__(self, text: Text, key: uuid.UUID) -> Outcome: ...


def sender(url: Secret) -> Sender:
    """The sender of an apprise URL."""
    deadline = _Deadline()

    def send(text: Text, key: uuid.UUID) -> Outcome:
        return deadline.call(lambda exchange: _notify(url, text, key, exchange))

    return send


def ping(url: Secret) -> Outcome:
    """Call a plain HTTP URL, as for the heartbeat."""
    return _Deadline().call(lambda exchange: _get(url, exchange))


def is_usable(url: Secret) -> bool:
    """Whether apprise knows the scheme and has what it needs."""
    return bool(_apprise(url))


def warm_up() -> None:
    """Load apprise and its plugins, 0.2 s and 18 MiB: in the background, once the first folder is watched.

    What is loaded by now stays, so it is frozen. apprise makes classes in each call (utils/cwe312.py), rings that only
    the collector frees: it goes through all that is not frozen once that has grown by a quarter, so ever more rarely
    where the libraries count. After this it comes soon and takes a moment; called after each send it took 14 ms of 21,
    and every thread waits for it. What was frozen before a reload is looked at again.
    """
    _quiet()
    import apprise

    apprise.Apprise().add("json://localhost")
    gc.unfreeze()
    gc.collect()
    gc.freeze()


class _Deadline:
    """Runs calls in threads that are left behind where they don't end."""

    def __init__(self) -> None:
        self._hanging: list[threading.Thread] = []

    def call(self, work: Callable[[wire.Exchange], Outcome]) -> Outcome:
        """What `work` gives, or that no answer came in time."""
        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        if len(self._hanging) >= _HANGING:
            return Outcome(Result.PASSING, "earlier sends still hang", cause=Cause.SILENT)
        exchange = wire.Exchange(DEADLINE_SECONDS - 2.0)
        done: list[Outcome] = []

        def run() -> None:
            try:
                done.append(work(exchange))
            except Exception as fault:  # noqa: BLE001 - of libraries that we don't know whole; a sender never raises
                done.append(Outcome(exchange.unanswered(), type(fault).__name__, cause=Cause.ODD))

        thread = threading.Thread(target=run, name="send", daemon=True)
        thread.start()
        thread.join(DEADLINE_SECONDS)
        if done:
            return done[0]
        self._hanging.append(thread)
        return Outcome(exchange.unanswered(), f"no answer in {DEADLINE_SECONDS:.0f} s", cause=Cause.SILENT)


def _notify(url: Secret, text: Text, key: uuid.UUID, exchange: wire.Exchange) -> Outcome:
    import apprise

    service = services.of(url.reveal())
    notifier = _apprise(url)
    if not notifier:
        return Outcome(Result.PERMANENT, "apprise does not take this URL", cause=Cause.UNUSABLE)
    exchange.amend = lambda request: service.amend(request, text.whole, key)
    exchange.was_sent = not all(wire.is_seen(plugin) for plugin in notifier)
    for plugin in notifier:
        plugin.notify = _noted(plugin.notify, exchange)
    body, title = (text.body, text.title) if service.form is Form.CHAT else (text.whole, "")
    with wire.observed(exchange):
        accepted = notifier.notify(body=body, title=title, body_format=apprise.NotifyFormat.TEXT)
    if exchange.answer is not None:
        return service.read(exchange.answer)
    # Mail and other protocols, where apprise's word is all there is.
    return Outcome(Result.ACCEPTED) if accepted else exchange.failed()


def _noted(plain: Callable[..., bool], exchange: wire.Exchange) -> Callable[..., bool]:
    """apprise catches what a plugin raises, and says no more than that it failed."""

    def notify(**kwargs: Any) -> bool:
        try:
            return plain(**kwargs)
        except Exception as fault:
            exchange.crash = type(fault).__name__
            raise

    return notify


def _get(url: Secret, exchange: wire.Exchange) -> Outcome:
    import requests

    with wire.observed(exchange):
        try:
            requests.get(
                url.reveal(),
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                allow_redirects=False,
                headers={"User-Agent": "mailwatch"},
            )
        except requests.exceptions.RequestException:
            return exchange.failed()
    return services.of("").read(exchange.answer) if exchange.answer else exchange.failed()


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
    service = services.of(url.reveal())
    try:
        return made if made.add(_with_time_outs(service.address(url.reveal()))) else None
    except ValueError:
        return None


def _with_time_outs(url: str) -> str:
    parts = urlsplit(url)
    ours = f"cto={CONNECT_SECONDS}&rto={READ_SECONDS}&redirect=no"
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
