"""What a configuration is, once it is known to be good."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from mailwatch import services
from mailwatch.amazon.template import Templates
from mailwatch.catalogue import Language
from mailwatch.config.source import Source
from mailwatch.request import Rules
from mailwatch.schedule import Hours
from mailwatch.secret import Secret
from mailwatch.services import Service
from mailwatch.trust import Provider

KINDS = ("request", "wish", "possible", "unreadable", "cancelled", "fault", "digest")
DEFAULT_SEND = ("request", "wish", "possible", "unreadable", "fault", "digest")


@dataclass(frozen=True, slots=True)
class Watch:
    """`[watch]`. `state_dir` is where the store is; `time_zone` is for display only."""

    lookback: timedelta
    poll_seconds: float
    idle_seconds: float
    language: Language
    time_zone: ZoneInfo
    state_dir: Path
    morning_line: time | None
    quiet_hours: Hours | None = None

    def quiet_until(self, now: datetime) -> datetime | None:
        """When the quiet hours that it is now in are over; None outside of them."""
        return self.quiet_hours.until(now, self.time_zone) if self.quiet_hours else None


@dataclass(frozen=True, slots=True)
class Account:
    """One of `[[accounts]]`. `preset` is the mail service's key in providers.toml, or ""; a request is done when its
    mail is moved to `done_folder`; `marketplace` is the code for an order whose mail tells none."""

    name: str
    host: str
    port: int
    is_plain: bool
    ca_file: Path | None
    provider: Provider
    user: str
    folders: tuple[str, ...]
    seller: str
    password_source: Source
    done_folder: str | None = None
    preset: str = ""
    marketplace: str | None = None

    @property
    def watched(self) -> tuple[str, ...]:
        """Every folder that is looked into: those where requests come, and the one for handled mails."""
        return (*self.folders, self.done_folder) if self.done_folder else self.folders

    def password(self) -> Secret:
        """The password as it is now. Raises `ConfigurationError` where it can't be read."""
        return self.password_source.read()


@dataclass(frozen=True, slots=True)
class Channel:
    """One of `[[channels]]`: where alerts go, and which."""

    name: str
    url: Secret
    send: frozenset[str]
    fallback_for: tuple[str, ...]
    monthly_limit: int = 0

    @property
    def service(self) -> Service:
        """What is known of the service behind its URL."""
        return services.of(self.url.reveal())


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """`[heartbeat]`."""

    url: Secret
    every: timedelta


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, valid."""

    watch: Watch
    rules: Rules
    templates: Templates
    accounts: tuple[Account, ...]
    channels: tuple[Channel, ...]
    heartbeat: Heartbeat | None = None


def audience(channels: Iterable[Channel], besides: str | None = None) -> tuple[tuple[str, frozenset[str]], ...]:
    """Each channel's name and the kinds that are owed to it in the first place.

    A stand-in gets only what no channel before it is sent; the rest comes to it when another fails. `besides`: a
    channel that can't be told, so that its stand-in gets the news of that.
    """
    channels = tuple(channels)
    told = {kind for each in channels if not each.fallback_for and each.name != besides for kind in each.send}
    kinds = {}
    for each in channels:
        kinds[each.name] = each.send - told if each.fallback_for and each.name != besides else each.send
        if each.fallback_for and each.name != besides:
            told |= each.send
    return tuple(kinds.items())
