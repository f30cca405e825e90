"""Where a secret is, and reading it."""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mailwatch.errors import ConfigurationError, Fault
from mailwatch.secret import Secret

_COMMAND_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Source:
    """Where a secret is: in a file, an environment variable, or the output of a command."""

    kind: str
    place: str
    folder: Path

    def read(self, key: str) -> Secret:
        """The secret, without its line end. Raises `ConfigurationError` naming `key`."""
        readers = {"file": self._from_file, "env": self._from_environment, "command": self._from_command}
        text = readers[self.kind](key)
        if not text:
            raise ConfigurationError([Fault("config.secret_empty", {"key": key, "place": self.place})])
        return Secret(text)

    def _from_file(self, key: str) -> str:
        path = self.folder / Path(self.place).expanduser()
        try:
            if path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
                raise ConfigurationError([Fault("config.secret_open", {"key": key, "path": str(path)})])
            return path.read_text("utf-8").strip("\r\n")
        except (OSError, UnicodeDecodeError) as fault:
            why = fault.strerror if isinstance(fault, OSError) else "not UTF-8"
            raise ConfigurationError(
                [Fault("config.secret_file", {"key": key, "path": str(path), "why": str(why)})]
            ) from None

    def _from_environment(self, key: str) -> str:
        if self.place not in os.environ:
            raise ConfigurationError([Fault("config.secret_env", {"key": key, "name": self.place})])
        return os.environ[self.place]

    def _from_command(self, key: str) -> str:
        try:
            # The seller's own command line out of the seller's own file, as with git's credential helpers.
            done = subprocess.run(  # noqa: S602
                self.place,
                shell=True,
                capture_output=True,
                timeout=_COMMAND_SECONDS,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ConfigurationError(
                [Fault("config.secret_command", {"key": key, "why": f"{_COMMAND_SECONDS} s"})]
            ) from None
        if done.returncode:
            raise ConfigurationError([Fault("config.secret_command", {"key": key, "why": f"exit {done.returncode}"})])
        return done.stdout.decode("utf-8", "replace").strip("\r\n")
