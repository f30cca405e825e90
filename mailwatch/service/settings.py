"""A seller's configuration as the service needs it: its secrets as credentials, its files beside it, its state folder.

The text is changed line by line, so that comments stay. Each change is proven by parsing the text again; one that a
line can't express (inline tables, dotted keys) is refused, never guessed.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailwatch import toml
from mailwatch.config import values
from mailwatch.service import places
from mailwatch.service.system import ServiceError

_HEADER = re.compile(r"^\s*(\[\[|\[)\s*([A-Za-z0-9_-]+)\s*\]{1,2}\s*(#.*)?$")
_OUTSIDE = ("password_env", "password_command", "url_env")


@dataclass(frozen=True, slots=True)
class Settings:
    """`text`: the configuration. `secrets` and `files`: by name, what goes to the credentials and beside it.
    `outside`: the keys whose secret comes from elsewhere, as `accounts.shop.password_command`."""

    text: str
    secrets: dict[str, bytes]
    files: dict[str, bytes]
    outside: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """A table of the file: its section, which one of an array it is, and what it is called."""

    section: str
    number: int | None
    shown: str

    def of(self, data: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = data[self.section] if self.number is None else data[self.section][self.number]
        return found


def for_service(data: bytes, folder: Path, home: Path) -> Settings:
    """The configuration `data`, which lies in `folder`, for the service. `home`: what `~` is to its owner.

    Raises `ServiceError` for a key that can't be changed in the text, or a file that can't be read; what else is wrong
    is for `config.load` to say.
    """
    text, tables = data.decode("utf-8-sig"), toml.parse(data)
    secrets: dict[str, bytes] = {}
    files: dict[str, bytes] = {}
    outside: list[str] = []
    for place in _places(tables):
        table = place.of(tables)
        outside += [f"{place.shown}.{key}" for key in _OUTSIDE if key in table]
        for key, kept, name in _files_of(place, table):
            path = _source(table[key], folder, home)
            try:
                (secrets if kept == "secret" else files)[name] = path.read_bytes()
            except OSError as fault:
                where = f"{place.shown}.{key}"
                raise ServiceError("service.file_unreadable", key=where, path=path, why=fault.strerror) from None
            text = _changed(text, place, key, name)
    return Settings(
        _changed(text, _Place("watch", None, "watch"), "state_dir", str(places.STATE)), secrets, files, tuple(outside)
    )


def _places(tables: dict[str, Any]) -> Iterator[_Place]:
    for section in ("watch", "heartbeat"):
        if isinstance(tables.get(section), dict):
            yield _Place(section, None, section)
    for section in ("accounts", "channels"):
        rows = tables.get(section)
        if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
            for number, shown in enumerate(values.places(section, rows)):
                yield _Place(section, number, shown)


def _files_of(place: _Place, table: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(key, "secret" or "file", its new name) of each file that a table names."""
    own = {"accounts": "account-", "channels": "channel-"}.get(place.section, place.section)
    label = own + (str(table.get("name", place.number)) if place.number is not None else "")
    named = {
        "password_file": ("secret", label),
        "url_file": ("secret", label),
        "ca_file": ("file", f"{label}-ca.pem"),
        "templates": ("file", "templates.toml"),
    }
    for key, (kept, name) in named.items():
        if isinstance(table.get(key), str) and table[key].strip():
            yield key, kept, name


def _source(place: str, folder: Path, home: Path) -> Path:
    """The file that a key names; of one that is already the service's, its credential."""
    if place == "~" or place.startswith("~/"):
        return home / place[2:]
    credential = folder / places.CREDENTIALS.name / place
    return credential if credential.is_file() else folder / place


def _changed(text: str, place: _Place, key: str, value: str) -> str:
    """The text with one key set, and nothing else changed. Raises `ServiceError` where a line can't say that."""
    before = toml.parse(text.encode())
    wanted = copy.deepcopy(before)
    wanted.setdefault(place.section, {})
    place.of(wanted)[key] = value
    if wanted == before:
        return text
    made = "".join(_lines(text, place, key, f"{key} = {json.dumps(value, ensure_ascii=False)}"))
    try:
        is_right = toml.parse(made.encode()) == wanted
    except toml.TomlFault:
        is_right = False
    if not is_right:
        raise ServiceError("service.not_rewritable", key=f"{place.shown}.{key}", value=value)
    return made


def _lines(text: str, place: _Place, key: str, line: str) -> Iterator[str]:
    """The lines, with the key's own replaced, else one put in behind its table's heading, else a new table."""
    setting = re.compile(rf"""^(\s*){key}\s*=\s*(?:"(?:[^"\\]|\\.)*"|'[^']*')[^\S\n]*(#.*)?$""")
    lines = text.splitlines(keepends=True)
    within = list(_within(lines, place))
    replaced = next((number for number in within if setting.match(lines[number].rstrip("\r\n"))), None)
    for number, old in enumerate(lines):
        if number == replaced and (found := setting.match(old.rstrip("\r\n"))):
            yield found[1] + line + ("  " + found[2] if found[2] else "") + "\n"
        else:
            yield old if old.endswith("\n") else old + "\n"
        if replaced is None and within and number == within[0]:
            yield line + "\n"
    if not within:
        yield f"\n[{place.section}]\n{line}\n"


def _within(lines: list[str], place: _Place) -> Iterator[int]:
    """The numbers of a table's lines, its heading first."""
    seen, is_inside = -1, False
    for number, line in enumerate(lines):
        if line.lstrip().startswith("["):
            found = _HEADER.match(line.rstrip("\r\n"))
            is_named = found is not None and found[2] == place.section
            seen += is_named
            is_inside = is_named and seen == (place.number or 0)
        if is_inside:
            yield number
