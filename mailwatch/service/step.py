"""One step of putting the service in place or taking it away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mailwatch.errors import Fault


@dataclass(frozen=True, slots=True)
class Step:
    """What is done, as a sentence, and the doing."""

    said: Fault
    do: Callable[[], object] = lambda: None
