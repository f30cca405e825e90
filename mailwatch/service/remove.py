"""`service uninstall`: everything away but what was seen and told."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

from mailwatch.errors import Fault
from mailwatch.service import places, system, unit
from mailwatch.service.step import Step
from mailwatch.service.system import ServiceError


def uninstall(*, is_purge: bool, is_dry: bool, confirm: Callable[[Fault], object]) -> Iterator[Fault]:
    """Stop the service and take it away; yields a sentence before each step. Raises `UsageError`, `ServiceError`.

    What stays is the store, and a copy of the configuration beside it. `is_purge`: that goes too, and the user; before
    anything is done `confirm` is called with the question, and raises where the answer is no. `is_dry`: say the steps
    and do nothing.
    """
    system.check_root()
    if not places.UNIT.exists() and not places.CONFIG.exists():
        raise ServiceError("service.not_there")
    if is_purge and not is_dry:
        fields = {"state": str(places.STATE), "etc": str(places.CONFIG.parent), "user": places.USER}
        confirm(Fault("service.ask_purge", fields))
    for step in _steps(is_purge=is_purge):
        yield step.said
        if not is_dry:
            step.do()


def _steps(*, is_purge: bool) -> Iterator[Step]:
    prefix = unit.installed_prefix()
    yield Step(Fault("service.step_stop", {"unit": places.NAME}), _stop)
    if prefix:
        yield _removal(prefix / "venv", lambda: _remove(prefix / "venv"))
        yield _removal(prefix / "bin", lambda: _remove_last(prefix / "bin"))
    yield _removal(places.CONFIG.parent, lambda: _remove_config(is_kept=not is_purge))
    if not is_purge:
        yield Step(Fault("service.kept", {"path": str(places.STATE), "user": places.USER}))
        return
    yield _removal(places.STATE, lambda: _remove(places.STATE))
    yield Step(Fault("service.step_remove_user", {"user": places.USER}), _remove_user)


def _removal(path: Path, do: Callable[[], object]) -> Step:
    return Step(Fault("service.step_remove", {"path": str(path)}), do)


def _stop() -> None:
    if places.UNIT.exists():
        system.call("systemctl", "disable", "--quiet", "--now", places.NAME)
    _unlinked(places.UNIT.unlink, places.UNIT)
    _remove(places.UNIT.with_name(places.UNIT.name + ".d"))
    system.call("systemctl", "daemon-reload")
    with suppress(ServiceError):
        system.call("systemctl", "reset-failed", places.NAME)


def _remove_last(path: Path) -> None:
    """Remove a folder, and the one that it is in where that is empty then."""
    _remove(path)
    with suppress(OSError):
        path.parent.rmdir()


def _remove_config(*, is_kept: bool) -> None:
    """The configuration holds the seller's work and no secrets: kept beside the store, where nothing reads it."""
    if is_kept and places.CONFIG.exists() and places.STATE.is_dir():
        kept = places.STATE / places.CONFIG.name
        system.write(kept, places.CONFIG.read_bytes(), 0o640, places.STATE.stat().st_gid)
    _remove(places.CONFIG.parent)


def _remove_user() -> None:
    """userdel(8) removes the user's own group only where it has no other member: the seller is one."""
    if system.user(places.USER):
        system.call("userdel", places.USER)
    if system.group(places.GROUP):
        system.call("groupdel", places.GROUP)


def _remove(path: Path) -> None:
    if path.is_dir():
        _unlinked(partial(shutil.rmtree, path), path)


def _unlinked(do: Callable[[], object], path: Path) -> None:
    try:
        do()
    except FileNotFoundError:
        pass
    except OSError as fault:
        raise ServiceError("service.unwritable", path=path, why=fault.strerror) from None
