"""How often a login was refused, kept across restarts: a provider counts them, whoever restarts what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailwatch.database import Database, moment


@dataclass(frozen=True, slots=True)
class Refused:
    """An account's refusals in a row, and when the last one was (aware UTC)."""

    count: int
    at: datetime


class Refusals:
    """The refusals of one store. Raises `StoreError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, account: str) -> Refused | None:
        """The refusals since the last login that went well, or None."""
        row = self._database.one("SELECT * FROM refusal WHERE account = ?", account)
        return Refused(row["count"], moment(row["at"])) if row else None

    def add(self, account: str, now: datetime) -> int:
        """One more; how many there are."""
        with self._database.transaction():
            self._database.change(
                "INSERT INTO refusal VALUES (?, 1, ?) ON CONFLICT (account) DO UPDATE"
                " SET count = refusal.count + 1, at = excluded.at",
                *(account, now.timestamp()),
            )
        found = self.of(account)
        return found.count if found else 1

    def clear(self, account: str) -> None:
        """A login went well."""
        if self.of(account):
            with self._database.transaction():
                self._database.change("DELETE FROM refusal WHERE account = ?", account)
