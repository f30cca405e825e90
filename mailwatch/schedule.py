"""The times of day that a seller sets: the morning line and the quiet hours. Pure; moments are aware UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

DEFAULT_MORNING = time(8, 0)


@dataclass(frozen=True, slots=True)
class Hours:
    """From `start` to `end` each day, over midnight where the end is the earlier."""

    start: time
    end: time

    def until(self, now: datetime, zone: tzinfo) -> datetime | None:
        """When the hours that it is now in are over, or None outside of them."""
        local = now.astimezone(zone).replace(tzinfo=None)
        since_start = (_seconds(local.time()) - _seconds(self.start)) % 86_400
        length = (_seconds(self.end) - _seconds(self.start)) % 86_400
        if since_start >= length:
            return None
        end = local.replace(hour=self.end.hour, minute=self.end.minute, second=0, microsecond=0)
        end += timedelta(days=end <= local)
        # In autumn an hour is there twice: the end is the one that is still to come.
        both = (end.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        return next((each for each in both if each > now), now)


def last_at(at: time, now: datetime, zone: tzinfo) -> datetime:
    """The last moment, `now` included, at which the clock on the wall showed `at`."""
    local = now.astimezone(zone)
    today = datetime.combine(local.date(), at, zone).astimezone(UTC)
    return today if today <= now else datetime.combine(local.date() - timedelta(days=1), at, zone).astimezone(UTC)


def _seconds(of_day: time) -> int:
    return of_day.hour * 3600 + of_day.minute * 60 + of_day.second
