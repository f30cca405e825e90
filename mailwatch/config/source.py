"""Where a secret is, and reading it."""

from __future__ import annotations

import os
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mailwatch.config import values
from mailwatch.errors import ConfigurationError, Fault
from mailwatch.secret import Secret

COMMAND_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Source:
    """Where a secret is: in a file, an environment variable, or the output of a command.

    A file named without a folder is first looked for among the service's credentials (systemd.exec(5), LoadCredential),
    then beside the configuration.
    """

    key: str
    kind: str
    place: str
    folder: Path

    def read(self) -> Secret:
        """The secret, without its line end and a Windows editor's byte order mark.

        Raises `ConfigurationError` naming the key.
        """
        readers = {"file": self._from_file, "env": self._from_environment, "command": self._from_command}
        text = readers[self.kind]()
        if not text.strip() and self.kind == "command":
            raise self._fault("config.secret_command", why="no output")
        if not text.strip():
            raise self._fault("config.secret_empty", place=self.place)
        if values.has_control(text):
            raise self._fault("config.secret_control")
        return Secret(text)

    def _from_file(self) -> str:
        try:
            path = self._credential() or self.folder / Path(self.place).expanduser()
            if path.is_file() and path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
                raise self._fault("config.secret_open", path=path)
            return path.read_text("utf-8-sig").strip("\r\n")
        except RuntimeError:
            raise self._fault("config.no_home", path=self.place) from None
        except UnicodeDecodeError:
            raise self._fault("config.secret_file", path=path, why="not UTF-8") from None
        except OSError as fault:
            raise self._fault("config.secret_file", path=path, why=fault.strerror) from None

    def _credential(self) -> Path | None:
        """The file of this name among those that the service manager hands to this service only, if it is there."""
        if Path(self.place).name != self.place:
            return None
        handed = os.environ.get("CREDENTIALS_DIRECTORY")
        # `service install` keeps them in a folder that only root can enter: there `sudo mailwatch check` finds them.
        kept = self.folder / "credentials"
        for folder in ([Path(handed)] if handed else []) + ([kept] if os.access(kept, os.X_OK) else []):
            if (folder / self.place).is_file():
                return folder / self.place
        return None

    def _from_environment(self) -> str:
        if self.place not in os.environ:
            raise self._fault("config.secret_env", name=self.place)
        return os.environ[self.place]

    def _from_command(self) -> str:
        try:
            # The seller's own command line out of the seller's own file, as with git's credential helpers.
            done = subprocess.run(  # noqa: S602
                self.place,
                shell=True,
                capture_output=True,
                timeout=COMMAND_SECONDS,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise self._fault("config.secret_command", why=f"{COMMAND_SECONDS} s") from None
        if done.returncode:
            raise self._fault("config.secret_command", why=f"exit {done.returncode}")
        return done.stdout.decode("utf-8-sig", "replace").strip("\r\n")

    def _fault(self, fault: str, **fields: object) -> ConfigurationError:
        words = {name: values.shown(value) for name, value in fields.items()}
        return ConfigurationError([Fault(fault, {"key": self.key, **words})])
