"""How the running program was started: what a person types to start it once more."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def whole(*arguments: str) -> str:
    """The command with its program's whole path: root has another PATH."""
    return shlex.join([*_program(), *arguments])


def short(*arguments: str) -> str:
    """The command with the program's mere name where the PATH leads to it."""
    found, program = shutil.which("mailwatch"), _program()
    return shlex.join([*(["mailwatch"] if program == [found] else program), *arguments])


def _program() -> list[str]:
    started = Path(sys.argv[0])
    return [sys.executable, "-m", "mailwatch"] if started.name == "__main__.py" else [str(started.absolute())]
