"""`service status`: what systemd says of the service, and what the store says of the watching."""

from __future__ import annotations

from datetime import UTC, datetime

from mailwatch import config, status
from mailwatch.catalogue import Language, say, say_fault
from mailwatch.errors import MailwatchError
from mailwatch.service import places, system

_ASKED = (
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "ExecMainStatus",
    "NRestarts",
    "UnitFileState",
    "StatusText",
)
_STATES = {"active", "reloading", "activating", "deactivating", "failed", "inactive"}
_WRONG_CONFIGURATION = "78"


def look(given: str | None, language: Language) -> tuple[list[str], bool]:
    """Lines for people, and whether all is well. `given`: the configuration, else the service's."""
    system.check_systemd()
    lines, is_active = _service(_properties(), language)
    try:
        path = config.find(given or (str(places.CONFIG) if places.CONFIG.exists() else None), {})
        settings = config.load(path, {}, with_passwords=False)
        state, why = status.look(settings, datetime.now(UTC))
    except MailwatchError as fault:
        return [*lines, *(say_fault(each, language) for each in fault.faults)], False
    return [*lines, status.as_text(state, why, settings)], is_active and not why


def _properties() -> dict[str, str]:
    said = system.call("systemctl", "show", places.NAME, "--no-pager", *(f"--property={name}" for name in _ASKED))
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def _service(said: dict[str, str], language: Language) -> tuple[list[str], bool]:
    """The sentences about the unit, and whether it is active."""
    if said.get("LoadState") != "loaded":
        return [say("service.not_there", language)], False
    state = said.get("ActiveState", "")
    is_active = state in {"active", "reloading"}
    lines = [say(f"service.is_{state}", language) if state in _STATES else state]
    if said.get("ExecMainStatus") == _WRONG_CONFIGURATION and not is_active:
        lines.append(say("service.wrong_configuration", language))
    if said.get("UnitFileState") != "enabled":
        lines.append(say("service.not_enabled", language))
    if said.get("NRestarts", "0") != "0":
        lines.append(say("service.restarts", language, n=said["NRestarts"]))
    return lines, is_active
