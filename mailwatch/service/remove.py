"""`service uninstall`: everything away but what was seen and told."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from mailwatch.errors import Fault
from mailwatch.service import places, system, unit
from mailwatch.service.system import ServiceError


def uninstall(*, is_purge: bool) -> Iterator[Fault]:
    """Stop the service and take it away; yields a sentence before each step. Raises `UsageError`, `ServiceError`.

    What stays is the store, and a copy of the configuration beside it. `is_purge`: that goes too, and the user.
    """
    system.check_root()
    try:
        prefix = unit.prefix_of(places.UNIT.read_text("utf-8"))
    except FileNotFoundError:
        prefix = None
    if not places.UNIT.exists() and not places.CONFIG.exists():
        raise ServiceError("service.not_there")
    yield Fault("service.step_stop", {"unit": places.NAME})
    _stop()
    for path in filter(None, (prefix and prefix / "venv", prefix and prefix / "bin")):
        yield Fault("service.step_remove", {"path": str(path)})
        _remove(path)
    if prefix:
        with suppress(OSError):
            prefix.rmdir()
    if not is_purge:
        _keep_config()
    yield Fault("service.step_remove", {"path": str(places.CONFIG.parent)})
    _remove(places.CONFIG.parent)
    if not is_purge:
        yield Fault("service.kept", {"path": str(places.STATE), "user": places.USER})
        return
    yield Fault("service.step_remove", {"path": str(places.STATE)})
    _remove(places.STATE)
    yield Fault("service.step_remove_user", {"user": places.USER})
    if system.user(places.USER):
        system.call("userdel", places.USER)


def _stop() -> None:
    if places.UNIT.exists():
        system.call("systemctl", "disable", "--quiet", "--now", places.NAME)
    _unlinked(places.UNIT.unlink, places.UNIT)
    _remove(places.UNIT.with_name(places.UNIT.name + ".d"))
    system.call("systemctl", "daemon-reload")
    with suppress(ServiceError):
        system.call("systemctl", "reset-failed", places.NAME)


def _keep_config() -> None:
    """It holds the seller's work and no secrets: beside the store, where nothing reads it."""
    if places.CONFIG.exists() and places.STATE.is_dir():
        kept = places.STATE / places.CONFIG.name
        system.write(kept, places.CONFIG.read_bytes(), 0o640, places.STATE.stat().st_gid)


def _remove(path: Path) -> None:
    if path.is_dir():
        _unlinked(lambda: shutil.rmtree(path), path)


def _unlinked(do: Callable[[], None], path: Path) -> None:
    try:
        do()
    except FileNotFoundError:
        pass
    except OSError as fault:
        raise ServiceError("service.unwritable", path=path, why=fault.strerror) from None
