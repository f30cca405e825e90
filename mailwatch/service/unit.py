"""The text of the unit, and what is read from the installed one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

from mailwatch.service import places

_EXEC = re.compile(r"^ExecStart=(/\S+)/venv/bin/python ", re.MULTILINE)


def text(prefix: Path, credentials: Iterable[str]) -> str:
    """The unit for a program below `prefix`, with the secrets of these names."""
    template = resources.files("mailwatch.service").joinpath("mailwatch.service").read_text("utf-8")
    lines = "\n".join(f"LoadCredential={name}:{places.CREDENTIALS}/{name}" for name in credentials)
    return template.replace("@PREFIX@", str(prefix)).replace("@CREDENTIALS@", lines or "#LoadCredential=")


def prefix_of(unit: str) -> Path | None:
    """The prefix that a unit of ours was written for; None where it is no such unit."""
    found = _EXEC.search(unit)
    return Path(found[1]) if found else None


def installed_prefix() -> Path | None:
    """Return where the installed program is, by its unit; None where there is no unit of ours."""
    try:
        return prefix_of(places.UNIT.read_text("utf-8"))
    except OSError:
        return None
