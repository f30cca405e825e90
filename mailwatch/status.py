"""`status`: is the watching well? Read from the store that `run` writes; changes nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mailwatch import health
from mailwatch.catalogue import Language, say, say_fault
from mailwatch.config import Config
from mailwatch.database import is_locked, is_there
from mailwatch.errors import Fault, PassingError
from mailwatch.health import Health
from mailwatch.store import Store
from mailwatch.texts import at
from mailwatch.watch.oversight import slice_seconds, state_of


def look(config: Config, now: datetime) -> tuple[Health, tuple[Fault, ...]]:
    """What the store says, and why that is not well (empty where it is). Raises `PassingError` where no `run` has
    written a store, `StoreError` where it can't be read."""
    folder = config.watch.state_dir
    if not is_there(folder):
        raise PassingError("status.no_run", path=folder)
    store = Store.open_to_read(folder)
    try:
        if not store.reports.was_run():
            raise PassingError("status.no_run", path=folder)
        state = state_of(store, config, now)
    finally:
        store.close()
    stopped = () if is_running(config) else (Fault("fault.not_running"),)
    within = health.fresh_within(slice_seconds(config))
    return state, (*stopped, *state.faults, *health.troubles(state, now, within))


def as_json(state: Health, why: tuple[Fault, ...]) -> dict[str, Any]:
    """The contract of design section 6."""
    return {
        "well": not why,
        "why": [say_fault(each, "en") for each in why],
        "folders": [
            {
                "account": folder.account,
                "folder": folder.folder,
                "mode": folder.mode,
                "last_good_search": folder.last_good_search.isoformat() if folder.last_good_search else None,
                "mails_seen": folder.mails_seen,
            }
            for folder in state.folders
        ],
        "channels": [
            {
                "name": channel.name,
                "last_success": channel.last_success.isoformat() if channel.last_success else None,
                "owed": channel.owed,
                "oldest_owed": channel.oldest_owed.isoformat() if channel.oldest_owed else None,
            }
            for channel in state.channels
        ],
        "open_requests": state.open_requests,
    }


def as_text(state: Health, why: tuple[Fault, ...], config: Config) -> str:
    """The same for people, times in the seller's zone."""
    language, zone = config.watch.language, config.watch.time_zone

    def when(moment: datetime | None) -> str:
        return at(moment, zone) if moment else say("status.never", language)

    lines = [say("status.not_well" if why else "status.well", language)]
    lines += ["! " + say_fault(each, language) for each in why]
    lines += ["  " + _folder(folder, when(folder.last_good_search), language) for folder in state.folders]
    for channel in state.channels:
        fields = {"channel": channel.name, "at": when(channel.last_success), "owed": channel.owed}
        lines.append("  " + say("status.channel", language, **fields))
    lines.append("  " + say("status.open", language, n=state.open_requests))
    if state.unknown_types:
        types = ", ".join(f"{name} ({number})" for name, number in state.unknown_types)
        lines.append("  " + say("status.unknown_types", language, types=types))
    return "\n".join(lines)


def _folder(folder: health.FolderHealth, searched: str, language: Language) -> str:
    fields = {
        "account": folder.account,
        "folder": folder.folder,
        "mails": folder.mails_seen,
        "mode": folder.mode or "-",
    }
    return say("status.folder", language, at=searched, **fields)


def is_running(config: Config) -> bool:
    """Whether a `run` holds its lock now."""
    return is_locked(config.watch.state_dir)
