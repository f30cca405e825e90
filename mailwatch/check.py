"""`check`: what a person wants to know before leaving the watcher alone. It opens everything and changes nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mailwatch import mailbox
from mailwatch.config import Account, Config
from mailwatch.database import FILE_NAME
from mailwatch.errors import Fault, MailwatchError
from mailwatch.mailbox import Server
from mailwatch.store import Store


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and whether it is good; `said` is its sentence."""

    is_good: bool
    said: Fault


def findings(config: Config, server_of: Callable[[Account], Server]) -> Iterator[Finding]:
    """Every account, folder, channel and the store, one finding each as it is known."""
    for account in config.accounts:
        yield from _account(account, server_of)
    for channel in config.channels:
        yield Finding(True, Fault("check.channel_good", {"channel": channel.name}))
    yield _store(config)


def _account(account: Account, server_of: Callable[[Account], Server]) -> Iterator[Finding]:
    try:
        client = mailbox.log_in(server_of(account))
    except MailwatchError as fault:
        yield Finding(False, _about("check.account_bad", fault, account=account.name))
        return
    mode = "IDLE" if client.has_capability("IDLE") else "polling"
    yield Finding(True, Fault("check.account_good", {"account": account.name, "host": account.host, "mode": mode}))
    if account.provider.authserv_id is None:
        yield Finding(True, Fault("check.no_authserv", {"account": account.name}))
    try:
        for folder in account.folders:
            yield _folder(account, client, folder)
    finally:
        client.close()


def _folder(account: Account, client: mailbox.Client, folder: str) -> Finding:
    try:
        name = client.resolve(folder)
        if name is None:
            return Finding(True, Fault("check.junk_missing", {"account": account.name}))
        count = client.examine(name).exists
    except MailwatchError as fault:
        return Finding(False, _about("check.folder_bad", fault, account=account.name, folder=folder))
    return Finding(True, Fault("check.folder_good", {"account": account.name, "folder": name, "mails": str(count)}))


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
