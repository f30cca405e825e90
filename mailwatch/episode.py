"""Faults of the watching: told once when one begins, each morning while it lasts, once when it is over.

An episode is a row, so that a restart neither repeats nor forgets it. Keys: `login/ACCOUNT`, `folder/ACCOUNT/FOLDER`,
`stale/ACCOUNT/FOLDER`, `channel/NAME`, `refused/NAME` (it refused an alert by itself), `quota/NAME`,
`slow/NAME` (it accepts too slowly).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mailwatch import rows
from mailwatch.alert import FaultNews, Stage
from mailwatch.database import Database
from mailwatch.errors import Fault
from mailwatch.outbox import Outbox

CHANNEL = "channel/"
REFUSED = "refused/"
QUOTA = "quota/"
SLOW = "slow/"


@dataclass(frozen=True, slots=True)
class Episode:
    """A fault that lasts since `began`, and was last told at `told` (aware UTC)."""

    key: str
    fault: Fault
    began: datetime
    told: datetime


class Episodes:
    """The episodes of one store. `audience`: names of channels and the kinds they take. Raises `StoreError`."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    def open(self) -> tuple[Episode, ...]:
        """What lasts, the oldest first; a row that can't be read is left out, and forgotten by `forget_all_but`."""
        found = self._database.all("SELECT * FROM fault ORDER BY began, key")
        return tuple(episode for row in found if (episode := _episode(row)))

    def begin(
        self,
        key: str,
        fault: Fault,
        audience: Sequence[tuple[str, frozenset[str]]],
        now: datetime,
    ) -> bool:
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
                episode = Episode(key, fault, now, now)
                self._tell(episode, Stage.BEGAN, audience, now)
                # What a dead channel is owed itself tries it, once an hour, and is right when it arrives.
                self._tell_own(episode, audience, now)
        return bool(written.rowcount)

    def end(
        self,
        key: str,
        audience: Sequence[tuple[str, frozenset[str]]],
        now: datetime,
        hold_until: datetime | None = None,
    ) -> bool:
        """The fault is not there: tell that it is over, where it was; whether it was."""
        if not self._database.one("SELECT 1 FROM fault WHERE key = ?", key):
            return False
        with self._database.transaction():
            ended = [each for each in self.open() if each.key == key]
            self._database.change("DELETE FROM fault WHERE key = ?", key)
            for episode in ended:
                self._tell(episode, Stage.OVER, audience, now, hold_until)
        return True

    def forget_all_but(self, keys: Collection[str]) -> list[str]:
        """End without a word what left the configuration or can't be read; the keys of what was forgotten.

        What still is there begins anew.
        """
        kept = {episode.key for episode in self.open() if episode.key in keys}
        gone = [
            row["key"] for row in self._database.all("SELECT key FROM fault ORDER BY key") if row["key"] not in kept
        ]
        with self._database.transaction():
            for key in gone:
                self._database.change("DELETE FROM fault WHERE key = ?", key)
        return gone

    def remind(
        self,
        since: datetime,
        audience: Sequence[tuple[str, frozenset[str]]],
        now: datetime,
        hold_until: datetime | None = None,
    ) -> int:
        """Tell again, of each episode that was last told before `since`, that it lasts; how many."""
        with self._database.transaction():
            # Told in the future: a clock that was set back must not silence it.
            due = [episode for episode in self.open() if not since <= episode.told <= now]
            for episode in due:
                self._tell(episode, Stage.LASTS, audience, now, hold_until)
                self._database.change("UPDATE fault SET told = ? WHERE key = ?", now.timestamp(), episode.key)
        return len(due)

    def _tell(
        self,
        episode: Episode,
        stage: Stage,
        audience: Sequence[tuple[str, frozenset[str]]],
        now: datetime,
        hold_until: datetime | None = None,
    ) -> None:
        own = {CHANNEL, REFUSED, SLOW, *({QUOTA} if stage is Stage.LASTS else ())}
        names = [
            name for name, kinds in audience if "fault" in kinds and episode.key not in {what + name for what in own}
        ]
        if stage is not Stage.OVER:
            self._outbox.supersede(episode.key, names, now)
        news = rows.news_out(FaultNews(episode.fault, stage, episode.began))
        self._outbox.owe(None, news, names, now, about=episode.key, hold_until=hold_until)

    def _tell_own(self, episode: Episode, audience: Sequence[tuple[str, frozenset[str]]], now: datetime) -> None:
        names = [name for name, _ in audience if episode.key == CHANNEL + name]
        news = rows.news_out(FaultNews(episode.fault, Stage.OVER, episode.began))
        self._outbox.owe(None, news, names, now, about=episode.key)


def _episode(row: sqlite3.Row) -> Episode | None:
    try:
        return Episode(
            key=row["key"],
            fault=rows.fault_in(json.loads(row["fault"])),
            began=datetime.fromtimestamp(row["began"], UTC),
            told=datetime.fromtimestamp(row["told"], UTC),
        )
    except rows.ODD:
        return None
