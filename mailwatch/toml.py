"""Reading TOML, the one place: tomli on every Python, for 3.11's tomllib reads TOML 1.0 and tomli 1.1 (libraries 5)."""

from __future__ import annotations

from importlib import resources
from typing import Any

import tomli


class TomlFault(Exception):
    """The text is not TOML. `line` and `column` count from 1 (0: unknown)."""

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        super().__init__(reason)
        self.line = line
        self.column = column


def parse(data: bytes) -> dict[str, Any]:
    """Parse a TOML file's bytes; a byte order mark, which Windows editors write, is dropped. Raises `TomlFault`."""
    try:
        return tomli.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as fault:
        raise TomlFault("not UTF-8", data[: fault.start].count(b"\n") + 1) from None
    except tomli.TOMLDecodeError as fault:
        raise TomlFault(str(fault.msg), fault.lineno, fault.colno) from None
    except ValueError:
        # int() refuses a number of thousands of digits.
        raise TomlFault("a number with too many digits") from None
    except RecursionError:
        raise TomlFault("nested too deep") from None


def packaged(package: str, name: str) -> dict[str, Any]:
    """A TOML file that ships inside the package."""
    return parse(resources.files(package).joinpath(name).read_bytes())
