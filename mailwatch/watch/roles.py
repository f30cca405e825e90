"""Which worker watches which folder of a role: a server may have two junk folders, or one more later."""

from __future__ import annotations

import threading
from collections.abc import Sequence


class RoleFolders:
    """Shared by the workers of one account's role. `wanted`: how many workers the folders need."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._taken: dict[str, object] = {}
        self.wanted = 1

    def take(self, worker: object, names: Sequence[str]) -> str | None:
        """Return the folder that is this worker's: the one it had, else the first that nobody has, or None.

        `names`: all that have the role now.
        """
        with self._mutex:
            self.wanted = max(self.wanted, len(names))
            self._taken = {name: by for name, by in self._taken.items() if name in names}
            own = next((name for name, by in self._taken.items() if by is worker), None)
            own = own or next((name for name in names if name not in self._taken), None)
            if own is not None:
                self._taken[own] = worker
            return own

    def release(self, worker: object) -> None:
        """The worker is replaced: its successor may have its folder."""
        with self._mutex:
            self._taken = {name: by for name, by in self._taken.items() if by is not worker}
