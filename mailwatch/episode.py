"""Faults of the watching: told once when one begins, each morning while it lasts, once when it is over.

An episode is a row, so that a restart neither repeats nor forgets it. Keys: `login/ACCOUNT`, `folder/ACCOUNT/FOLDER`,
`stale/ACCOUNT/FOLDER`, `channel/NAME`, `quota/NAME`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mailwatch import rows
from mailwatch.alert import FaultNews, Stage
from mailwatch.database import Database
from mailwatch.errors import Fault
from mailwatch.outbox import Outbox

CHANNEL = "channel/"


@dataclass(frozen=True, slots=True)
class Episode:
    """A fault that lasts since `began` (aware UTC)."""

    key: str
    fault: Fault
    began: datetime


class Episodes:
    """The episodes of one store. `audience`: names of channels and the kinds they take. Raises `StoreError`."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    def open(self) -> tuple[Episode, ...]:
        """What lasts, the oldest first."""
        found = self._database.all("SELECT * FROM fault ORDER BY began, key")
        return tuple(
            Episode(row["key"], rows.fault_in(json.loads(row["fault"])), datetime.fromtimestamp(row["began"], UTC))
            for row in found
        )

    def begin(self, key: str, fault: Fault, audience: Sequence[tuple[str, frozenset[str]]], now: datetime) -> bool:
        """The fault is there: tell it where it is new; whether it is."""
        if self._database.one("SELECT 1 FROM fault WHERE key = ?", key):
            return False
        with self._database.transaction():
            stored = json.dumps(rows.fault_out(fault), ensure_ascii=False)
            written = self._database.change(
                "INSERT INTO fault VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                *(key, stored, now.timestamp(), now.timestamp()),
            )
            if written.rowcount:
                self._tell(Episode(key, fault, now), Stage.BEGAN, audience, now)
                # What a dead channel is owed first tries it, once an hour, and is right when it arrives.
                self._tell_own(Episode(key, fault, now), audience, now)
        return bool(written.rowcount)

    def end(self, key: str, audience: Sequence[tuple[str, frozenset[str]]], now: datetime) -> bool:
        """The fault is not there: tell that it is over, where it was; whether it was."""
        if not self._database.one("SELECT 1 FROM fault WHERE key = ?", key):
            return False
        with self._database.transaction():
            ended = [each for each in self.open() if each.key == key]
            self._database.change("DELETE FROM fault WHERE key = ?", key)
            for episode in ended:
                self._tell(episode, Stage.OVER, audience, now)
        return bool(ended)

    def end_all_but(
        self, is_known: Callable[[str], bool], audience: Sequence[tuple[str, frozenset[str]]], now: datetime
    ) -> None:
        """End the episodes of what left the configuration."""
        for episode in self.open():
            if not is_known(episode.key):
                self.end(episode.key, audience, now)

    def remind(
        self,
        since: datetime,
        audience: Sequence[tuple[str, frozenset[str]]],
        now: datetime,
        hold_until: datetime | None = None,
    ) -> int:
        """Tell again, of each episode that was last told before `since`, that it lasts; how many."""
        with self._database.transaction():
            due = {row["key"] for row in self._database.all("SELECT key FROM fault WHERE told < ?", since.timestamp())}
            for episode in self.open():
                if episode.key in due:
                    self._tell(episode, Stage.LASTS, audience, now, hold_until)
            self._database.change("UPDATE fault SET told = ? WHERE told < ?", now.timestamp(), since.timestamp())
        return len(due)

    def _tell(
        self,
        episode: Episode,
        stage: Stage,
        audience: Sequence[tuple[str, frozenset[str]]],
        now: datetime,
        hold_until: datetime | None = None,
    ) -> None:
        names = [name for name, kinds in audience if "fault" in kinds and episode.key != CHANNEL + name]
        news = rows.news_out(FaultNews(episode.fault, stage, episode.began))
        self._outbox.owe(None, news, names, now, about=episode.key, hold_until=hold_until)

    def _tell_own(self, episode: Episode, audience: Sequence[tuple[str, frozenset[str]]], now: datetime) -> None:
        names = [name for name, _ in audience if episode.key == CHANNEL + name]
        news = rows.news_out(FaultNews(episode.fault, Stage.OVER, episode.began))
        self._outbox.owe(None, news, names, now, about=episode.key)
