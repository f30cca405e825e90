"""From the keys of a table to typed values; every fault is noted, none stops the reading."""

from __future__ import annotations

import base64
import difflib
import re
import unicodedata
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mailwatch.errors import Fault

_DURATION = re.compile(r"^\s*([0-9]{1,6})\s*([smhd])\s*$")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_NAME = re.compile(r"^[0-9A-Za-z][0-9A-Za-z._-]{0,39}$")
_SHIFT = re.compile(r"&([0-9A-Za-z+,]*)-")
_T = TypeVar("_T")


def parse_duration(text: str) -> timedelta | None:
    """`72h`, `5m`, `0s`, `3d`; None for anything else."""
    found = _DURATION.match(text)
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None


class Values:
    """Reads tables key by key and collects the faults. A key is named as in `accounts.shop.host`."""

    def __init__(self, data: dict[str, Any], folder: Path) -> None:
        self.data = data
        self.folder = folder
        self.faults: list[Fault] = []

    def fault(self, key: str, where: str, **fields: object) -> None:
        """Note a fault of the key `where`, once."""
        made = Fault(key, {"key": shown(where), **{name: shown(value) for name, value in fields.items()}})
        if made not in self.faults:
            self.faults.append(made)

    def each(self, name: str, read: Callable[[dict[str, Any], str], _T | None]) -> list[_T]:
        rows = self.data.get(name, [])
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
            self.fault("config.no_rows", name)
            return []
        made = [read(row, f"{place}.") for row, place in zip(rows, places(name, rows), strict=True)]
        return [each for each in made if each is not None]

    def table(self, name: str) -> dict[str, Any]:
        table = self.data.get(name, {})
        if isinstance(table, dict):
            return table
        if not any(fault.fields.get("key") == name for fault in self.faults):
            self.fault("config.not_table", name)
        return {}

    def known(self, table: dict[str, Any], known: set[str], where: str) -> None:
        for key in table:
            if key not in known:
                close = difflib.get_close_matches(key, known, 1)
                self.fault(
                    "config.unknown_key_close" if close else "config.unknown_key", where + key, close="".join(close)
                )

    def text(self, table: dict[str, Any], where: str, default: str, *, may_be_empty: bool = False) -> str:
        value = table.get(where.rpartition(".")[2], default)
        if not isinstance(value, str) or has_control(value):
            self.fault("config.not_text", where)
            return default
        if not value.strip() and not may_be_empty:
            self.fault("config.empty", where)
            return default
        return value.strip()

    def required(self, table: dict[str, Any], where: str) -> str:
        if where.rpartition(".")[2] not in table:
            self.fault("config.missing", where)
            return ""
        return self.text(table, where, "")

    def name(self, table: dict[str, Any], where: str) -> str:
        name = self.required(table, f"{where}name")
        if name and not _NAME.match(name):
            self.fault("config.bad_name", f"{where}name", value=name)
        return name

    def texts(self, table: dict[str, Any], where: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = table.get(where.rpartition(".")[2], list(default))
        if not isinstance(value, list) or not all(
            isinstance(text, str) and text.strip() and not has_control(text) for text in value
        ):
            self.fault("config.not_texts", where)
            return default
        if not value and default:
            self.fault("config.empty", where)
        self.unique(where, value)
        return tuple(value)

    def whole(self, table: dict[str, Any], where: str, default: int, least: int, most: int) -> int:
        if isinstance(table.get(where.rpartition(".")[2]), float):
            self.fault("config.not_whole", where)
            return default
        return int(self.number(table, where, default, least, most))

    def number(self, table: dict[str, Any], where: str, default: float, least: float, most: float) -> float:
        value = table.get(where.rpartition(".")[2], default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fault("config.not_number", where)
            return default
        if not least <= value <= most:
            self.fault("config.out_of_range", where, value=value, least=f"{least:g}", most=f"{most:g}")
            return default
        return value

    def choice(self, table: dict[str, Any], where: str, choices: tuple[str, ...], default: str) -> str:
        value = table.get(where.rpartition(".")[2], default)
        if value not in choices:
            self.fault("config.not_choice", where, value=value, choices=", ".join(choices))
            return default
        return str(value)

    def duration(self, table: dict[str, Any], where: str, default: str, *, least: str = "0s") -> timedelta:
        value = table.get(where.rpartition(".")[2], default)
        found = parse_duration(value) if isinstance(value, str) else None
        if found is None:
            self.fault("config.not_duration", where, value=value)
        elif found < (parse_duration(least) or timedelta()):
            self.fault("config.too_short", where, value=value, least=least)
        return found or timedelta()

    def zone(self, name: str) -> ZoneInfo:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.fault("config.unknown_zone", "watch.time_zone", value=name)
            return ZoneInfo("UTC")

    def path(self, name: str, where: str) -> Path | None:
        """A path beside the configuration file; `~` is the user's home. None with a fault noted."""
        try:
            return self.folder / Path(name).expanduser()
        except RuntimeError:
            self.fault("config.no_home", where, path=name)
            return None

    def existing(self, table: dict[str, Any], where: str) -> Path | None:
        name = self.text(table, where, "", may_be_empty=True)
        if not name:
            return None
        path = self.path(name, where)
        if path is None:
            return None
        try:
            with path.open("rb"):
                return path
        except OSError as fault:
            self.fault("config.file_unreadable", where, path=path, why=fault.strerror)
            return None

    def unique(self, where: str, names: list[str]) -> None:
        for name in dict.fromkeys(names):
            if name and names.count(name) > 1:
                self.fault("config.twice", where, value=name)


def places(section: str, rows: list[dict[str, Any]]) -> list[str]:
    """What the rows of a list are called: `channels.slack`, or `channels[3]` where a row has no name of its own."""
    names = [row.get("name") for row in rows]
    return [
        f"{section}.{name}"
        if isinstance(name, str) and _NAME.match(name) and names.count(name) == 1
        else f"{section}[{number}]"
        for number, name in enumerate(names, 1)
    ]


def has_control(text: str) -> bool:
    """Whether the text holds a line break or another control character: it could become a command of its own."""
    return any(unicodedata.category(character) in {"Cc", "Zl", "Zp"} for character in text)


def folder_name(given: str) -> str:
    """Return a folder's name as it is read: one in modified UTF-7 (RFC 3501 section 5.1.3) decoded, others as they are.

    Webmail addresses, LIST answers and other programs' settings show names so, such as `&j,dg0TDhMPww6w-`.
    """
    if not given.isascii() or not _SHIFT.search(given) or "&" in _SHIFT.sub("", given):
        return given
    try:
        name = _SHIFT.sub(lambda found: _shifted(found[1]), given)
    except ValueError:
        return given
    return given if has_control(name) else name


def _shifted(packed: str) -> str:
    """The text between `&` and `-`. Raises `ValueError` where it is none."""
    if not packed:
        return "&"
    text = base64.b64decode(packed.replace(",", "/") + "=" * (-len(packed) % 4), validate=True).decode("utf-16-be")
    again = base64.b64encode(text.encode("utf-16-be")).decode("ascii").rstrip("=").replace("/", ",")
    if again != packed or any(" " <= each <= "~" for each in text):
        raise ValueError("as no server writes it")
    return text


def shown(value: object) -> str:
    """A value of a configuration as a sentence can show it: short, on one line, harmless to a terminal."""
    try:
        text = str(value)
    except ValueError:
        return "…"
    text = "".join(character if character.isprintable() else "�" for character in text)
    return text if len(text) <= 300 else text[:300] + "…"
