"""One function per log event. Events are English and go to stderr, where systemd's journal takes their priority.

Nothing out of a mail is ever logged but order IDs, and every value is escaped; secrets are not passed in at all.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

_ERROR, _WARNING, _NOTICE, _INFO = 3, 4, 5, 6
_lock = threading.Lock()
_is_muted = threading.Event()
_is_json = threading.Event()
_LONGEST = 300


def mute() -> None:
    """Write nothing from here on: `demo` shows alerts, not events."""
    _is_muted.set()


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Write nothing meanwhile: `init` says in its own words what happens."""
    was_muted = _is_muted.is_set()
    _is_muted.set()
    try:
        yield
    finally:
        if not was_muted:
            _is_muted.clear()


def as_json() -> None:
    """From here on each event is one JSON object a line."""
    _is_json.set()


def is_journal() -> bool:
    """Whether stderr is systemd's journal, which takes a `<priority>` off a line and keeps it (systemd.exec(5))."""
    try:
        where = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{where.st_dev}:{where.st_ino}"


def _write(priority: int, event: str, **values: object) -> None:
    """One line an event, with its priority in front (sd-daemon(3)) where it harms no reader.

    Never raises where nobody takes it (no stderr, a full disk, a reader that is gone): a log must not end a worker.
    """
    if _is_muted.is_set() or sys.stderr is None:
        return
    with _lock, contextlib.suppress(OSError, ValueError):
        if _is_json.is_set():
            line, is_marked = _object(priority, event, values), is_journal()
        else:
            line = " ".join([event, *(f"{name}={_escape(value)}" for name, value in values.items())])
            is_marked = not sys.stderr.isatty()
        # This is the one place that writes the log.
        print(f"<{priority}>{line}" if is_marked else line, file=sys.stderr, flush=True)  # noqa: T201


def _object(priority: int, event: str, values: dict[str, object]) -> str:
    """`{"time": …, "priority": n, "event": …, …}`: numbers as numbers, the rest as texts."""
    head = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "priority": priority, "event": event}
    said = {
        name: value if isinstance(value, int | float) and not isinstance(value, bool) else str(value)[:_LONGEST]
        for name, value in values.items()
    }
    return json.dumps({**head, **said})


def _escape(value: object) -> str:
    text = str(value)[:_LONGEST]
    plain = text.isprintable() and not any(character in text for character in ' "=\\') and text != ""
    return text if plain else '"' + text.encode("unicode_escape").decode("ascii").replace('"', '\\"') + '"'


def not_started(why: str) -> None:
    """`run` can't begin: a wrong configuration, a store that can't be written, another `run`. In JSON only."""
    _write(_ERROR, "not_started", why=why)


def started(version: str, accounts: int, channels: int) -> None:
    """`run` starts its workers."""
    _write(_NOTICE, "started", version=version, accounts=accounts, channels=channels)


def reloaded() -> None:
    """SIGHUP: the configuration was read anew, and the workers start again with it."""
    _write(_NOTICE, "reloaded")


def reload_refused(why: str) -> None:
    """SIGHUP: the configuration is wrong now; `run` goes on with the old one."""
    _write(_ERROR, "reload_refused", why=why)


def stopped(reason: str) -> None:
    """`run` ends cleanly."""
    _write(_NOTICE, "stopped", reason=reason)


def connected(account: str, folder: str, mode: str) -> None:
    """A folder is being watched; mode is idle or poll."""
    _write(_INFO, "connected", account=account, folder=folder, mode=mode)


def disconnected(account: str, folder: str, why: str, retry_in: float) -> None:
    """The connection was lost or could not be made, or a refusal may pass; tried again in `retry_in` seconds."""
    _write(_WARNING, "disconnected", account=account, folder=folder, why=why, retry_in=round(retry_in, 1))


def idle_refused(account: str, folder: str, why: str) -> None:
    """The server offers IDLE and refuses it: the folder is polled until `run` starts again."""
    _write(_WARNING, "idle_refused", account=account, folder=folder, why=why)


def search_differs(account: str, folder: str, why: str) -> None:
    """The list of UID SEARCH can't be right or is refused: the mails are listed by UID FETCH."""
    _write(_WARNING, "search_differs", account=account, folder=folder, why=why)


def login_refused(account: str, folder: str, why: str, retry_in: float) -> None:
    """The server refused the login; a person must act."""
    _write(_ERROR, "login_refused", account=account, folder=folder, why=why, retry_in=round(retry_in))


def folder_missing(account: str, folder: str, why: str, retry_in: float) -> None:
    """A watched folder is not on the server."""
    _write(_ERROR, "folder_missing", account=account, folder=folder, why=why, retry_in=round(retry_in))


def junk_missing(account: str) -> None:
    """The server names no junk folder, and none of the usual names exists."""
    _write(_WARNING, "junk_missing", account=account)


def noticed(mail: tuple[str, str, int], kind: str, trust: str, order_id: str, decision: tuple[str, str]) -> None:
    """A mail of Amazon's was recorded. `mail`: account, folder, UID; `decision`: the action and why."""
    (account, folder, uid), (action, why) = mail, decision
    priority = _INFO if action in {"quiet", "join"} else _NOTICE
    where = {"account": account, "folder": folder, "uid": uid}
    _write(priority, "noticed", **where, kind=kind, trust=trust, order_id=order_id, decision=action, why=why)


def vanished(account: str, folder: str, uid: int) -> None:
    """A mail was expunged between the list and the fetch."""
    _write(_INFO, "vanished", account=account, folder=folder, uid=uid)


def request_done(account: str, folder: str, order_id: str) -> None:
    """A mail lies in the folder for handled ones: its request is done."""
    _write(_NOTICE, "request_done", account=account, folder=folder, order_id=order_id)


def set_aside(account: str, folder: str, uid: int) -> None:
    """Reading a mail failed, hung or ended the process three times, or was begun twelve times and never ended: told as
    unreadable, and left alone from here on."""
    _write(_ERROR, "set_aside", account=account, folder=folder, uid=uid)


def store_failed(where: str, why: str, retry_in: float) -> None:
    """The store could not be written; nothing was marked as seen or sent."""
    _write(_ERROR, "store_failed", where=where, why=why, retry_in=round(retry_in, 1))


def alert_sent(channel: str, entry: str, order_id: str, attempts: int) -> None:
    """A channel accepted an alert."""
    _write(_NOTICE, "alert_sent", channel=channel, entry=entry, order_id=order_id, attempts=attempts)


def alert_failed(channel: str, entry: str, outcome: str, why: str, retry_in: float) -> None:
    """A channel did not accept an alert; it stays owed."""
    _write(
        _WARNING, "alert_failed", channel=channel, entry=entry, outcome=outcome, why=why, retry_in=round(retry_in, 1)
    )


def channel_removed(channel: str, rows: int) -> None:
    """Alerts owed to a channel that left the configuration were closed."""
    _write(_WARNING, "channel_removed", channel=channel, rows=rows)


def channel_unusable(channel: str) -> None:
    """apprise does not take a channel's URL: what is owed to it waits."""
    _write(_ERROR, "channel_unusable", channel=channel)


def fault_began(key: str, why: str) -> None:
    """A fault of the watching began; it is told on the channels."""
    _write(_ERROR, "fault_began", fault=key, why=why)


def fault_over(key: str) -> None:
    """A fault of the watching is over; it is told on the channels."""
    _write(_NOTICE, "fault_over", fault=key)


def store_fault_told(stage: str) -> None:
    """The store can't be written (or can again): told on the channels without it."""
    _write(_ERROR, "store_fault_told", stage=stage)


def stood_in(channel: str, rows: int) -> None:
    """Another channel stands in for one that fails: so many alerts are owed to it as well."""
    _write(_WARNING, "stood_in", channel=channel, rows=rows)


def heartbeat_failed(why: str) -> None:
    """The heartbeat's URL could not be called."""
    _write(_WARNING, "heartbeat_failed", why=why)


def worker_late(where: str) -> None:
    """A worker hangs past every deadline: another takes its place."""
    _write(_ERROR, "worker_late", where=where)


def store_set_aside(why: str) -> None:
    """The store was damaged, lost or replaced: set aside, or gone on with; the look-back is told in a digest."""
    _write(_ERROR, "store_set_aside", why=why)


def worker_failed(where: str, error: BaseException, retry_in: float) -> None:
    """A worker met something unforeseen and starts again; the place is named, never the value."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}" if trace else "?"
    _write(_ERROR, "worker_failed", where=where, error=type(error).__name__, at=place, retry_in=round(retry_in, 1))
