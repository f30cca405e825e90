"""What `run` shows of itself while it watches: proof of life for the watchdog, and a line worth reading.

Both come from what the workers did, in the main thread: there is no timer that would go on while they hang.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from mailwatch import health, notify
from mailwatch.catalogue import Language, say, say_fault
from mailwatch.config import Config
from mailwatch.errors import Fault
from mailwatch.health import Health
from mailwatch.texts import at
from mailwatch.watch import Watch
from mailwatch.watch.oversight import slice_seconds

# A step may take 150 s, and what hangs is replaced 10 s later. Looked at so often, neither starves a watchdog of 180 s.
_LOOK_SECONDS = 10.0
_LOOKS_IN_A_WATCHDOG = 3
# So many threads that hang for good are worth a fresh process.
_TOO_MANY_HUNG = 3
# After a start the folders are not late before they could have been searched.
_FIRST_SEARCHES = timedelta(seconds=120)


def look_every() -> float:
    """The seconds between two looks."""
    watchdog = notify.watchdog_seconds()
    return min(_LOOK_SECONDS, watchdog / _LOOKS_IN_A_WATCHDOG) if watchdog else _LOOK_SECONDS


class VitalSigns:
    """Those of one `Watch`. `is_refused`: the latest reload was refused, which the line keeps saying."""

    def __init__(
        self, watch: Watch, config: Config, *, is_refused: bool = False, now: Callable[[], datetime] | None = None
    ) -> None:
        self._watch = watch
        self._config = config
        self._now = now or (lambda: datetime.now(UTC))
        self._started = self._now()
        self._steps: dict[str, int] = {}
        self._said = ""
        self.is_refused = is_refused

    def ready(self) -> None:
        """The workers run, or a reload is over."""
        self._said = self.line()
        notify.ready(self._said)

    def look(self) -> None:
        """Feed the watchdog if every worker has gone on since the last time; say what has changed."""
        stuck = self.stuck()
        if not stuck and self._watch.hung < _TOO_MANY_HUNG:
            self._steps = {worker.name: worker.progress.steps for worker in self._watch.workers}
            notify.alive()
        if (line := self.line()) != self._said:
            self._said = line
            notify.status(line)

    def stuck(self) -> tuple[str, ...]:
        """The workers that have neither gone on nor rested since the watchdog was last fed."""
        return tuple(
            worker.name for worker in self._watch.workers if not worker.progress.is_proven(self._steps.get(worker.name))
        )

    def line(self) -> str:
        """How the watching fares, in the seller's language."""
        watch, seen = self._config.watch, self._watch.oversight.seen
        if isinstance(seen, Fault):
            line = say("service.line_store", watch.language, why=say_fault(seen, watch.language))
        else:
            line = _line(seen, self._config, self._started, self._now())
        return line + (say("service.line_refused", watch.language) if self.is_refused else "")


def _line(seen: Health | None, config: Config, started: datetime, now: datetime) -> str:
    language = config.watch.language
    watched = [folder for folder in seen.folders if folder.mode != "absent"] if seen else []
    searched = [folder.last_good_search for folder in watched]
    is_first = now - started < _FIRST_SEARCHES and not all(each and each >= started for each in searched)
    if seen is None or (is_first and not seen.faults):
        return say("service.line_start", language, folders=sum(len(account.folders) for account in config.accounts))
    # The one that waits longest: all of them were searched at that time or later.
    oldest = min((each for each in searched if each), default=None) if all(searched) else None
    why = (*seen.faults, *health.troubles(seen, now, health.fresh_within(slice_seconds(config))))
    fields = {
        "folders": len(watched),
        "at": _time(oldest, now, config.watch.time_zone) if oldest else say("status.never", language),
        "open": seen.open_requests,
        "trouble": _trouble(why, language),
    }
    return say("service.line", language, **fields)


def _time(moment: datetime, now: datetime, zone: ZoneInfo) -> str:
    """The time of day; of another day the date too."""
    there = moment.astimezone(zone)
    return f"{there:%H:%M}" if there.date() == now.astimezone(zone).date() else at(moment, zone)


def _trouble(why: tuple[Fault, ...], language: Language) -> str:
    if not why:
        return say("service.line_well", language)
    return say("service.line_trouble", language, n=len(why), first=say_fault(why[0], language))
