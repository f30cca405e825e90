"""The watched folders, and the mails that were seen there. Rows of `folder`, `mail` and `reading`."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from mailwatch.database import Database, moment
from mailwatch.health import FolderHealth


@dataclass(frozen=True, slots=True)
class MailIdentity:
    """What names a mail in a folder. UID alone never does: a lost index gives old numbers to other mails."""

    account: str
    folder: str
    uidvalidity: int
    uid: int
    received: datetime
    size: int


class Seen(NamedTuple):
    """What tells a recorded mail from another under the same UID: its arrival in seconds since 1970, and its size."""

    received: int
    size: int


# This process, beside each reading that it has under way: one with another's mark was cut off when that process ended.
_PROCESS = secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class Tries:
    """How often reading a mail was begun, failed or hung by itself, and ended with the process; and since when, UTC."""

    begun: int
    failed: int
    died: int
    since: datetime


@dataclass(frozen=True, slots=True)
class FolderState:
    """What is known of a watched folder. `floor`: UIDs up to here were there before the first start; `singles`: alerts
    told singly since the last good search."""

    uidvalidity: int | None
    floor: int
    last_good_search: datetime | None
    singles: int = 0


class Folders:
    """The folders of one store. Of a failing disk: a row whose numbers are none names no mail; it is read again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- folders ----

    def state(self, account: str, folder: str) -> FolderState | None:
        """What is known of a folder, or None before its first search."""
        row = self._database.one("SELECT * FROM folder WHERE account = ? AND folder = ?", account, folder)
        if row is None:
            return None
        at = moment(row["last_good_search"]) if row["last_good_search"] else None
        return FolderState(row["uidvalidity"], row["floor"], at, row["singles"])

    def start(
        self, account: str, folder: str, uidvalidity: int | None, floor: int, mode: str, watched_as: str | None = None
    ) -> None:
        """Remember a folder's present UIDVALIDITY, floor and mode. `watched_as`: its name in the configuration."""
        with self._database.transaction():
            self._database.change(
                "INSERT INTO folder (account, folder, uidvalidity, floor, mode, watched_as) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (account, folder) DO UPDATE SET uidvalidity = excluded.uidvalidity,"
                " floor = excluded.floor, mode = excluded.mode, watched_as = excluded.watched_as",
                *(account, folder, uidvalidity, floor, mode, watched_as or folder),
            )

    def note_role(self, account: str, role: str, names: Sequence[str]) -> None:
        """The folders that have this role now; one that was never searched is known from here on, and others leave."""
        with self._database.transaction():
            for name in names:
                self._database.change(
                    "INSERT INTO folder (account, folder, uidvalidity, floor, mode, watched_as)"
                    # As no folder's that a server has: the first search finds its floor itself.
                    " VALUES (?, ?, -1, 0, '', ?)"
                    " ON CONFLICT (account, folder) DO UPDATE SET watched_as = excluded.watched_as",
                    *(account, name, role),
                )
            self._database.change(
                "UPDATE folder SET watched_as = folder WHERE account = ? AND watched_as = ?"
                " AND folder NOT IN (SELECT value FROM json_each(?))",
                *(account, role, json.dumps(list(names))),
            )

    def absent(self, account: str, watched_as: str, now: datetime) -> None:
        """The server has no such folder, and that is well: the account has no junk folder."""
        self.start(account, watched_as, None, 0, "absent")
        self.good_search(account, watched_as, now)

    def health(self) -> list[FolderHealth]:
        """Every folder that was ever watched, under its name in the configuration.

        Several of one role are one, as well as the one of them that was not searched for the longest time.
        """
        together: dict[tuple[str, str], list[FolderHealth]] = {}
        for row in self._database.all("SELECT * FROM folder ORDER BY last_good_search IS NOT NULL, last_good_search"):
            each = FolderHealth(
                account=row["account"],
                folder=row["watched_as"] or row["folder"],
                mode=row["mode"] or None,
                last_good_search=moment(row["last_good_search"]) if row["last_good_search"] else None,
                mails_seen=row["mails_seen"],
            )
            together.setdefault((each.account, each.folder), []).append(each)
        return [_together(of_one_name) for of_one_name in together.values()]

    def good_search(self, account: str, folder: str, now: datetime) -> None:
        """A search was complete, and every unseen mail is recorded."""
        query = "UPDATE folder SET last_good_search = ?, singles = 0 WHERE account = ? AND folder = ?"
        with self._database.transaction():
            self._database.change(query, now.timestamp(), account, folder)

    def forget_searches(self) -> None:
        """No folder counts as searched: this store stands in for a later one. Inside the caller's transaction."""
        self._database.change("UPDATE folder SET last_good_search = NULL")

    def count_single(self, mail: MailIdentity) -> None:
        """An alert of this mail is told by itself. Inside the caller's transaction."""
        query = "UPDATE folder SET singles = singles + 1 WHERE account = ? AND folder = ?"
        self._database.change(query, mail.account, mail.folder)

    # ---- mails ----

    def seen(self, account: str, folder: str, uidvalidity: int) -> set[int]:
        """The UIDs under which mails are recorded."""
        query = "SELECT uid FROM mail WHERE account = ? AND folder = ? AND uidvalidity = ? AND typeof(uid) = 'integer'"
        return {row["uid"] for row in self._database.each(query, account, folder, uidvalidity)}

    def seen_as(self, account: str, folder: str, uidvalidity: int, uids: Sequence[int]) -> dict[int, set[Seen]]:
        """What is recorded under each of these UIDs: under one that was given anew, more than once."""
        query = (
            "SELECT uid, received, size FROM mail WHERE account = ? AND folder = ? AND uidvalidity = ?"
            " AND uid IN (SELECT value FROM json_each(?)) AND typeof(received) = 'integer'"
        )
        found: dict[int, set[Seen]] = {uid: set() for uid in uids}
        for row in self._database.each(query, account, folder, uidvalidity, json.dumps(list(uids))):
            found[row["uid"]].add(Seen(row["received"], row["size"]))
        return found

    def mails_seen(self) -> int:
        """How many mails of all folders are recorded."""
        row = self._database.one("SELECT count(*) AS n FROM mail")
        return int(row["n"]) if row else 0

    def latest_arrival(self) -> datetime:
        """When the newest mail arrived by its server's clock; 1970 where there is none."""
        row = self._database.one("SELECT max(received) AS at FROM mail WHERE typeof(received) = 'integer'")
        return moment(row["at"] or 0) if row else datetime.fromtimestamp(0, UTC)

    def insert(self, mail: MailIdentity) -> bool:
        """Whether the mail is new; it is read to its end with this. Inside the caller's transaction."""
        written = self._database.change(
            "INSERT INTO mail VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", *_key_of(mail)
        )
        self._database.change(f"DELETE FROM reading WHERE {_THE_MAIL}", *_key_of(mail))  # noqa: S608 - a constant
        if written.rowcount:
            query = "UPDATE folder SET mails_seen = mails_seen + 1 WHERE account = ? AND folder = ?"
            self._database.change(query, mail.account, mail.folder)
        return bool(written.rowcount)

    def begin_reading(self, mail: MailIdentity, now: datetime) -> Tries:
        """Note that a candidate is about to be fetched and read; return its tries, this one counted as begun.

        On disk before it begins, so that the next start knows a mail that ended the process.
        """
        with self._database.transaction():
            self._database.change(
                "INSERT INTO reading (account, folder, uidvalidity, uid, received, size) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                *_key_of(mail),
            )
            self._database.change(
                "UPDATE reading SET begun = begun + 1, died = died + (process IS NOT NULL AND process <> ?),"  # noqa: S608 - constants
                f" process = ?, since = coalesce(since, ?) WHERE {_THE_MAIL}",
                *(_PROCESS, _PROCESS, now.timestamp(), *_key_of(mail)),
            )
            row = self._database.one(f"SELECT * FROM reading WHERE {_THE_MAIL}", *_key_of(mail))  # noqa: S608
        return Tries(row["begun"], row["failed"], row["died"], moment(row["since"])) if row else Tries(1, 0, 0, now)

    def reading_failed(self, mail: MailIdentity) -> None:
        """Count a reading that ended with something unforeseen, or hung: the mail's fault, and not that of the link."""
        self._end_reading(mail, failures=1)

    def reading_cut_short(self, mail: MailIdentity) -> None:
        """Note that a reading ended without a result while the process lives on: not the mail's fault."""
        self._end_reading(mail, failures=0)

    def _end_reading(self, mail: MailIdentity, failures: int) -> None:
        query = f"UPDATE reading SET failed = failed + ?, process = NULL WHERE {_THE_MAIL}"  # noqa: S608 - constants
        with self._database.transaction():
            self._database.change(query, failures, *_key_of(mail))

    def ended_the_process(self, account: str, folder: str, uidvalidity: int) -> set[int]:
        """Return the UIDs of unread mails while reading which an earlier process ended."""
        query = (
            "SELECT uid FROM reading WHERE account = ? AND folder = ? AND uidvalidity = ?"
            " AND (died > 0 OR process <> ?)"
        )
        return {row["uid"] for row in self._database.all(query, account, folder, uidvalidity, _PROCESS)}


def _together(folders: Sequence[FolderHealth]) -> FolderHealth:
    """The longest unsearched first. What says that a role is absent counts only alone."""
    there = [each for each in folders if each.mode != "absent"] or folders[-1:]
    return replace(there[0], mails_seen=sum(each.mails_seen for each in there))


_THE_MAIL = "account = ? AND folder = ? AND uidvalidity = ? AND uid = ? AND received = ? AND size = ?"


def _key_of(mail: MailIdentity) -> tuple[str, str, int, int, int, int]:
    return mail.account, mail.folder, mail.uidvalidity, mail.uid, int(mail.received.timestamp()), mail.size
