"""Everything that can go wrong and that a person can act on.

MailwatchError                      a catalogue key and its fields; `exit_code` as in design section 5
├── UsageError                  2   a path or option of the command line
├── ConfigurationError         78   all faults of the configuration at once
├── PassingError               75   may be over by itself: a held lock, a full disk, a store no run has written
│   └── StoreError                  the store can't be read or written now
├── MailboxError                1   an account or folder
│   ├── Unreachable                 no connection, or it was lost: connect again
│   ├── LoginRefused                the server says no to user or password: a person must act
│   └── FolderMissing               a watched folder is not there

The sentences are in catalogue.toml; an error carries only the key: one place words it in the user's language.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, as a catalogue key and its sentence's fields; a field may be a fault itself."""

    key: str
    fields: Mapping[str, str | Fault] = field(default_factory=dict)


class MailwatchError(Exception):
    """Base of all; `fault` is what to tell the person."""

    exit_code = 1

    def __init__(self, key: str, /, **fields: object) -> None:
        self.fault = Fault(
            key, {name: value if isinstance(value, Fault) else str(value) for name, value in fields.items()}
        )
        super().__init__(f"{key} {self.fault.fields}")

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All that is wrong, at least one."""
        return (self.fault,)


class UsageError(MailwatchError):
    """A path or option that can't be used."""

    exit_code = 2


class ConfigurationError(MailwatchError):
    """The configuration is wrong; `faults` holds everything found, not only the first."""

    exit_code = 78

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(faults[0].key)
        self._faults = tuple(faults)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All that is wrong, at least one."""
        return self._faults


class PassingError(MailwatchError):
    """Not now; the same call may go well later."""

    exit_code = 75


class StoreError(PassingError):
    """The store can't be opened, read or written."""


class MailboxError(MailwatchError):
    """Something between us and one account's mail."""


class Unreachable(MailboxError):
    """No connection, or one that was lost. `wait_seconds`: what the server asked us to wait, or 0."""

    def __init__(self, key: str, /, wait_seconds: float = 0.0, **fields: object) -> None:
        super().__init__(key, **fields)
        self.wait_seconds = wait_seconds


class LoginRefused(MailboxError):
    """The server refused the login. `may_pass`: not surely because of user or password; it may be over by itself."""

    def __init__(self, key: str, /, may_pass: bool = False, **fields: object) -> None:
        super().__init__(key, **fields)
        self.may_pass = may_pass


class FolderMissing(MailboxError):
    """A watched folder does not exist on the server."""
