"""`check`: what a person wants to know before leaving the watcher alone. It opens everything and changes nothing.

With `--send` a test alert is owed to each channel in the real store, and goes out as every alert does: by the `run`
that is at work, or by us where none is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mailwatch import mailbox, message, texts, transport, unwatched
from mailwatch.amazon import sender
from mailwatch.clock import Clock
from mailwatch.config import Account, Channel, Config
from mailwatch.database import FILE_NAME, RunLock, is_there
from mailwatch.errors import Fault, FolderMissing, MailwatchError, PassingError, StoreError
from mailwatch.mailbox import Server
from mailwatch.services import Cause, Outcome, Result
from mailwatch.store import Store

# A send may take its whole deadline, and the run at work looks every few seconds.
_WAIT_SECONDS = 60.0
_LOOK_SECONDS = 0.2
_SEPARATOR = " · "
# So many of a folder's newest mails tell whether Amazon's comes rewritten.
_NEWEST = 250


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and whether it is good; `said` is its sentence."""

    is_good: bool
    said: Fault


def findings(config: Config, server_of: Callable[[Account], Server], *, send: bool = False) -> Iterator[Finding]:
    """Every account, folder, channel and the store, one finding each as it is known. `send`: a test alert to each
    channel."""
    for account in config.accounts:
        yield from _account(config, account, server_of)
    store = _store(config)
    yield store
    if send and store.is_good:
        yield from test_alerts(config)
    elif not send:
        yield from (Finding(True, Fault("check.channel_good", {"channel": each.name})) for each in config.channels)


def test_alerts(config: Config) -> Iterator[Finding]:
    """A test alert to each channel, one finding each. Raises `StoreError` where the store can't be written."""
    try:
        lock: RunLock | None = RunLock(config.watch.state_dir)
    except StoreError as fault:
        yield Finding(False, _about("check.store_bad", fault))
        return
    except PassingError:
        lock = None
    store = Store.open(config.watch.state_dir)
    try:
        keys = store.outbox.owe_tests([channel.name for channel in config.channels], Clock().now())
        for channel in config.channels:
            key = keys[channel.name]
            outcome = _wait(store, channel, key) if lock is None else _send(store, config, channel, key)
            store.outbox.give_up(key, Clock().now())
            yield _tested(channel, outcome)
    finally:
        store.close()
        if lock:
            lock.release()


def _send(store: Store, config: Config, channel: Channel, key: uuid.UUID) -> Outcome | None:
    """Nobody else is at work: send it ourselves. One that fails is no news for the `run` to come."""
    entry = store.outbox.entry(key, Clock().now())
    if entry is None:
        return None
    text = texts.word(
        entry.told, channel.service.form, config.watch.language, config.watch.time_zone, channel.service.limit
    )
    outcome = transport.sender(channel.url)(text, entry.id)
    if outcome.result is Result.ACCEPTED:
        store.outbox.begin_attempt(entry, Clock().now())
        store.outbox.settle(entry, Clock().now())
    return outcome


def _wait(store: Store, channel: Channel, key: uuid.UUID) -> Outcome | None:
    """Wait until the `run` at work has tried it; None where it did not within the time."""
    until = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < until:
        is_accepted = store.outbox.is_accepted(key)
        if is_accepted:
            return Outcome(Result.ACCEPTED)
        if is_accepted is False:
            return store.outbox.fares.of(channel.name, Clock().now()).last
        time.sleep(_LOOK_SECONDS)
    return None


def _tested(channel: Channel, outcome: Outcome | None) -> Finding:
    if outcome is None:
        return Finding(False, Fault("check.not_answered", {"channel": channel.name, "seconds": f"{_WAIT_SECONDS:g}"}))
    if outcome.result is Result.ACCEPTED:
        return Finding(True, Fault("check.sent", {"channel": channel.name}))
    cause = Fault(f"channel.{outcome.cause or Cause.REFUSED}")
    return Finding(False, Fault("check.not_sent", {"channel": channel.name, "why": cause, "detail": outcome.why}))


def _account(config: Config, account: Account, server_of: Callable[[Account], Server]) -> Iterator[Finding]:
    try:
        client = mailbox.log_in(server_of(account))
    except MailwatchError as fault:
        yield Finding(False, _about("check.account_bad", fault, account=account.name))
        return
    _clear_refusals(config, account)
    mode = "IDLE" if client.has_capability("IDLE") else "polling"
    yield Finding(True, Fault("check.account_good", {"account": account.name, "host": account.host, "mode": mode}))
    if account.provider.authserv_id is None:
        yield Finding(True, Fault("check.no_authserv", {"account": account.name}))
    try:
        for folder in account.watched:
            yield from _folders(account, client, folder)
        yield from _unwatched(account, client)
    finally:
        client.close()


def _clear_refusals(config: Config, account: Account) -> None:
    """A login that went well: a `run` that waits after refused ones may go on at once."""
    with contextlib.suppress(StoreError):
        if is_there(config.watch.state_dir):
            with contextlib.closing(Store.open(config.watch.state_dir)) as store:
                store.refusals.clear(account.name)


def _folders(account: Account, client: mailbox.Client, folder: str) -> Iterator[Finding]:
    """A configured folder, or each of those that have its role."""
    try:
        names = client.resolve(folder)
    except MailwatchError as fault:
        yield _folder_bad(account, folder, fault)
        return
    if not names:
        yield Finding(True, Fault("check.junk_missing", {"account": account.name}))
    for name in names:
        try:
            opened = client.examine(name)
            mails = str(opened.exists)
            newest = opened.uids()[-_NEWEST:]
            rewriters = _rewriters(opened, newest)
        except MailwatchError as fault:
            yield _folder_bad(account, folder, fault)
        else:
            yield from _list(account, opened, mails)
            for host in rewriters:
                fields: dict[str, str | Fault] = {"account": account.name, "folder": opened.folder, "host": host}
                yield Finding(True, Fault("check.rewritten", fields))


def _rewriters(opened: mailbox.Mailbox, uids: Sequence[int]) -> list[str]:
    """The hosts, in order, under whose addresses Amazon's mail comes into the folder."""
    hosts = set()
    for headline in opened.headlines(uids):
        fields = message.header_fields(headline.header)
        _, address = message.sender(fields)
        if address and sender.true_sender(fields, address):
            hosts.add(address.rpartition("@")[2])
    return sorted(hosts)


def _list(account: Account, opened: mailbox.Mailbox, mails: str) -> Iterator[Finding]:
    """Whether the server lists as many mails as it says the folder holds."""
    where: dict[str, str | Fault] = {"account": account.name, "folder": opened.folder, "mails": mails}
    if not opened.is_listed_whole:
        yield Finding(False, Fault("check.list_short", where))
        return
    yield Finding(True, Fault("check.folder_good", where))
    if why := opened.search_fault:
        fields = {"account": account.name, "folder": opened.folder, "why": why}
        yield Finding(True, Fault("check.search_differs", fields))


def _folder_bad(account: Account, folder: str, fault: MailwatchError) -> Finding:
    if isinstance(fault, FolderMissing) and folder == account.done_folder:
        why = fault.fault.fields["why"]
        return Finding(False, Fault("fault.done_folder", {"account": account.name, "folder": folder, "why": why}))
    return Finding(False, _about("check.folder_bad", fault, account=account.name, folder=folder))


def _unwatched(account: Account, client: mailbox.Client) -> Iterator[Finding]:
    """Whether Amazon's mail lies where nobody looks, and how much of the mailbox was left out of that question."""
    try:
        found = unwatched.look(client, account.watched, datetime.now(UTC).date(), time.monotonic)
    except MailwatchError as fault:
        yield Finding(False, _about("check.account_bad", fault, account=account.name))
        return
    if found.with_mail:
        names = _SEPARATOR.join(found.with_mail)
        fields = {"account": account.name, "days": str(unwatched.DAYS), "folders": names}
        yield Finding(True, Fault("check.unwatched", fields))
    if found.left:
        numbers = {
            "n": str(found.left),
            "time": str(found.left_for_time),
            "number": str(found.left_for_number),
            "refused": str(found.refused),
            "account": account.name,
        }
        yield Finding(True, Fault("check.left_out", numbers))


def _store(config: Config) -> Finding:
    """A store that is there is tried; where `run` has not made it yet, only whether it could be made."""
    folder = config.watch.state_dir
    good = Finding(True, Fault("check.store_good", {"path": str(folder)}))
    try:
        is_there = (folder / FILE_NAME).exists()
        number = 0 if is_there else _cannot_make(folder)
    except OSError as fault:
        is_there, number = False, fault.errno or errno.EACCES
    if not is_there:
        key = "store.full" if number == errno.ENOSPC else "store.unwritable"
        inner = Fault(key, {"path": str(folder / FILE_NAME), "why": os.strerror(number)})
        return Finding(False, Fault("check.store_bad", {"why": inner})) if number else good
    try:
        store = Store.open(folder)
        try:
            store.check_writable()
        finally:
            store.close()
    except MailwatchError as fault:
        return Finding(False, _about("check.store_bad", fault))
    return good


def _cannot_make(folder: Path) -> int:
    """Why a store can't be made there, as an errno; 0 where it can. Nothing is written. Raises `OSError`."""
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not nearest.is_dir():
        return errno.EEXIST
    if not os.access(nearest, os.W_OK | os.X_OK):
        return errno.EACCES
    return 0 if os.statvfs(nearest).f_bavail else errno.ENOSPC


def _about(key: str, fault: MailwatchError, **fields: str) -> Fault:
    """A sentence that holds another: the inner fault is worded where the outer one is."""
    return Fault(key, {**fields, "why": fault.fault})
