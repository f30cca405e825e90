"""The SQLite file under the store: opening, schema, transactions, errors as sentences, and the lock of `run`.

Durability: rollback journal DELETE with synchronous EXTRA lost no acknowledged commit in 1,416 power-loss images, where
DELETE with FULL lost 51 (traps section 4). One `Database` belongs to one thread; threads meet in the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import sqlite3
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mailwatch import migrations
from mailwatch.errors import PassingError, StoreError
from mailwatch.migrations import SCHEMA_VERSION

FILE_NAME = "mailwatch.sqlite"
LOCK_NAME = "run.lock"
_BUSY_SECONDS = 10.0
# `status` holds the lock for a moment to see whether it is free.
_LOCK_TRIES = 4
_LOCK_PAUSE_SECONDS = 0.1
# A restore writes the file piece by piece; its size and time stand still when it is done.
_WRITTEN_PAUSE_SECONDS = 0.5
_WRITTEN_LOOKS = 20
# Device and inode: what tells a file from another that took its place.
FileId = tuple[int, int]
# A file of a later mailwatch says a version somewhat higher; a damaged one says anything.
_FARTHEST_VERSION = 100


class Database:
    """One connection; close it in the thread that opened it. What SQLite refuses is a `StoreError`."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, *, is_read: bool = False, file: FileId | None = None
    ) -> None:
        self._connection = connection
        self._path = path
        self._file = file
        self._connection.row_factory = sqlite3.Row
        # Of a failing disk: odd text in one row is told as such, and does not hold the rows behind it.
        self._connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        if is_read:
            self._check_version()
            self._key = b""
            return
        with _translated(path):
            for pragma in ("journal_mode=DELETE", "synchronous=EXTRA", "secure_delete=ON", "foreign_keys=ON"):
                self._connection.execute(f"PRAGMA {pragma}")
            # Each worker has a connection: at SQLite's 2 MB each, 20 accounts would grow to 80 MB of cache.
            self._connection.execute("PRAGMA cache_size=-64")
        self._migrate()
        self._key = self._hash_key()

    @classmethod
    def open(cls, folder: Path, name: str = FILE_NAME, *, file: FileId | None = None) -> Database:
        """Open or make the file in a state folder; nobody else can read either, but a group that the folder is for.

        With `file` only that one is opened and none is made: raises `StoreError` (`store.replaced`) where it is gone
        or another has taken its place.
        """
        path = folder / name
        if file is None:
            file = _made(folder, path)
        else:
            _check_in_place(path, file)
        with _translated(path):
            connection = sqlite3.connect(
                f"file:{quote(os.fsencode(path))}?mode=rw", uri=True, timeout=_BUSY_SECONDS, isolation_level=None
            )
        try:
            _check_in_place(path, file)
            return cls(connection, path, file=file)
        except BaseException:
            connection.close()
            raise

    @classmethod
    def open_to_read(cls, folder: Path) -> Database:
        """Open the file of a state folder without the right to change it, or to make it."""
        path = folder / FILE_NAME
        if is_there(folder) and not os.access(path, os.R_OK):
            raise StoreError("service.store_closed", path=path)
        with _translated(path):
            connection = sqlite3.connect(
                f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_BUSY_SECONDS, isolation_level=None
            )
        try:
            return cls(connection, path, is_read=True)
        except BaseException:
            connection.close()
            raise

    @classmethod
    def in_memory(cls) -> Database:
        """A throw-away one."""
        return cls(sqlite3.connect(":memory:", isolation_level=None), Path(":memory:"))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @contextlib.contextmanager
    def _in_place(self) -> Iterator[None]:
        """SQLite's errors as ours; and raise `StoreError` (`store.replaced`) where the file is gone or another one.

        Before each query: who only reads would never notice, and who reads a file that was moved away takes the journal
        of the one in its place for its own (sqlite.org/howtocorrupt.html section 1.4).
        """
        if self._file:
            _check_in_place(self._path, self._file)
        with _translated(self._path):
            yield

    def one(self, query: str, *values: Any) -> sqlite3.Row | None:
        """The first row, or None."""
        with self._in_place():
            row: sqlite3.Row | None = self._connection.execute(query, values).fetchone()
            return row

    def all(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """All rows."""
        with self._in_place():
            return self._connection.execute(query, values).fetchall()

    def each(self, query: str, *values: Any) -> Iterator[sqlite3.Row]:
        """The rows one by one, for where they may be many."""
        with self._in_place():
            yield from self._connection.execute(query, values)

    def change(self, query: str, *values: Any) -> sqlite3.Cursor:
        """One INSERT, UPDATE or DELETE, inside a `transaction`."""
        with self._in_place():
            return self._connection.execute(query, values)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything or nothing, on disk when it ends."""
        with self._in_place():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def check_writable(self) -> None:
        """Write, and take it back."""
        with self._in_place():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.execute("INSERT INTO channel (name) VALUES ('') ON CONFLICT DO NOTHING")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def hash(self, *parts: str) -> bytes:
        """A hash keyed with this store's own secret: the same parts give the same hash here, and nowhere else."""
        return hashlib.blake2b("\x00".join(parts).encode("utf-8", "replace"), key=self._key, digest_size=24).digest()

    def _hash_key(self) -> bytes:
        row = self.one("SELECT hash_key FROM secret")
        if row is None:
            with self.transaction():
                self.change("INSERT INTO secret VALUES (1, ?) ON CONFLICT DO NOTHING", secrets.token_bytes(32))
            row = self.one("SELECT hash_key FROM secret")
        return bytes(row["hash_key"]) if row else b""

    def _version(self) -> int:
        row = self.one("PRAGMA user_version")
        return int(row[0]) if row else 0

    def _check_version(self) -> None:
        """Only `run` brings an older store up; what it has not written yet can't be read."""
        version = self._version()
        if version > SCHEMA_VERSION:
            raise StoreError("store.newer", version=version, known=SCHEMA_VERSION)
        if version < SCHEMA_VERSION:
            raise PassingError("status.no_run", path=self._path.parent)

    def _migrate(self) -> None:
        """Bring an older store up, step by step, each step one transaction. A newer one is refused."""
        version = self._version()
        if version > SCHEMA_VERSION:
            raise StoreError("store.newer", version=version, known=SCHEMA_VERSION)
        if version == SCHEMA_VERSION:
            return
        with self.transaction():
            migrations.rebuild_unreleased(self._connection)
        for step in range(version + 1, SCHEMA_VERSION + 1):
            with self.transaction():
                if self._version() < step:
                    migrations.apply(self._connection, step)


def set_aside_damaged(folder: Path, now: datetime) -> str | None:
    """Move a damaged store out of the way; why, in English, or None where it is sound. One that was lost counts too.

    `now`, aware, names the copy, which is kept for whoever wants to look. Raises `StoreError` where it can't be moved.
    """
    path = folder / FILE_NAME
    aside = f".damaged-{now:%Y%m%d-%H%M%S}"
    try:
        was_written = (folder / LOCK_NAME).exists() and (folder / LOCK_NAME).stat().st_size > 0
        if not path.exists() or path.stat().st_size == 0:
            return "the file is gone" if was_written else None
        problem = _problem(path)
        if problem is None:
            return None
        for each in (path, path.with_name(f"{FILE_NAME}-journal")):
            if each.exists():
                each.rename(each.with_name(each.name + aside))
    except OSError as fault:
        raise StoreError("store.unwritable", path=path, why=fault.strerror) from None
    return problem


def note_written(folder: Path) -> None:
    """A store is there: from now on its absence means that it was lost. Raises `StoreError`."""
    path = folder / LOCK_NAME
    try:
        if not path.exists() or not path.stat().st_size:
            path.write_text("mailwatch\n", "ascii")
    except OSError as fault:
        raise StoreError("store.unwritable", path=path, why=fault.strerror) from None


def _problem(path: Path) -> str | None:
    """What SQLite's own check, and a look at what it does not check, say of the file; None where all is well."""
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    except sqlite3.DatabaseError:
        # Another user's file, or a folder in its place: it can't be looked at, and to open the store says why.
        return None
    try:
        found = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
        if found != "ok":
            return found[:100]
        return "file format version" if _is_read_only(connection, path) else _oddity(connection)
    except sqlite3.DatabaseError as fault:
        # A full disk, missing permission or another process is no damage; what was cut off or makes no sense is.
        if _is_undecodable(fault):
            return "not UTF-8"
        name = getattr(fault, "sqlite_errorname", "")
        is_damage = _error_key(fault) == "store.damaged" or name in {"SQLITE_ERROR", "SQLITE_IOERR_SHORT_READ"}
        return str(fault)[:100] if is_damage else None
    except UnicodeDecodeError:
        return "not UTF-8"
    finally:
        connection.close()


def _is_read_only(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether SQLite only reads the file though we may write it: its head names another format (file format 1.3.3).

    Asked of SQLite, and after it took back what a power cut left half written. Opening and closing the file beside it
    would drop the locks of all its connections in this process (POSIX; sqlite.org/howtocorrupt.html section 2.2).
    """
    try:
        connection.execute("BEGIN IMMEDIATE")  # which SQLite makes a BEGIN where it only reads
        connection.execute("PRAGMA user_version = 0")
    except sqlite3.DatabaseError as fault:
        return getattr(fault, "sqlite_errorname", "") == "SQLITE_READONLY" and os.access(path, os.W_OK)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return False


def _oddity(connection: sqlite3.Connection) -> str | None:
    """What can't be of a file that mailwatch wrote, whatever SQLite says of it."""
    version, schema = int(connection.execute("PRAGMA user_version").fetchone()[0]), migrations.schema(connection)
    if not 1 <= version <= SCHEMA_VERSION:
        # Each migration changes the schema: under a later number the present one can't be of a later mailwatch.
        is_later = SCHEMA_VERSION < version <= SCHEMA_VERSION + _FARTHEST_VERSION and schema != migrations.schema_of(
            SCHEMA_VERSION
        )
        return None if is_later or (version == 0 and not schema) else f"format {version}"
    if not migrations.schema_of(version) <= schema and not migrations.is_unreleased(schema):
        return "another schema"
    for table in [name for kind, name, _, _ in schema if kind == "table"]:
        for _ in connection.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - a name out of a schema that is ours
            pass  # what is no text is seen when it is read, and only then
    return None


class RunLock:
    """The lock that one `run` holds on its state folder for as long as it lives.

    It is on the folder itself and on `run.lock` in it: who deletes the file does not free the folder.
    """

    def __init__(self, folder: Path) -> None:
        """Take the lock. Raises `PassingError` when another `run` holds it, `StoreError` when it can't be written."""
        self._folder = folder
        self._held: dict[Path, int] = {}
        try:
            self.keep()
        except BaseException:
            self.release()
            raise

    def keep(self) -> None:
        """Take the lock again where the folder or the file was deleted or replaced.

        Raises `PassingError` when another `run` was quicker, `StoreError` when it can't be written.
        """
        path = self._folder / LOCK_NAME
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._take(self._folder, os.O_RDONLY)
            _make_for_group(path)
            self._take(path, os.O_RDWR)
        except OSError as fault:
            raise StoreError("store.unwritable", path=path, why=fault.strerror) from None

    def _take(self, path: Path, flags: int) -> None:
        held = self._held.get(path)
        if held is not None and _id_of(os.fstat(held)) == _id_of(path.stat()):
            return
        taken = os.open(path, flags)
        try:
            _lock(taken, self._folder)
        except BaseException:
            os.close(taken)
            raise
        self._held[path] = taken
        if held is not None:
            os.close(held)

    def release(self) -> None:
        """Give the lock back."""
        while self._held:
            os.close(self._held.popitem()[1])


def _lock(file: int, folder: Path) -> None:
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_SECONDS)
        except OSError:
            if stat.S_ISDIR(os.fstat(file).st_mode):
                return  # NFS locks no folder: there `run.lock` is the lock alone
            raise
        else:
            return
    raise PassingError("store.locked", path=folder)


def is_locked(folder: Path) -> bool:
    """Whether a `run` holds the lock of a state folder now, or that may not be known."""
    for path in (folder, folder / LOCK_NAME):
        try:
            file = os.open(path, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(file)
    return False


def file_id(folder: Path) -> FileId | None:
    """Device and inode of a state folder's store; None where there is none. Raises `StoreError`."""
    return _file_id(folder / FILE_NAME)


def _file_id(path: Path) -> FileId | None:
    try:
        return _id_of(path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as fault:
        raise StoreError("store.unwritable", path=path, why=fault.strerror) from None


def _id_of(found: os.stat_result) -> FileId:
    return found.st_dev, found.st_ino


def _check_in_place(path: Path, file: FileId) -> None:
    if _file_id(path) != file:
        raise StoreError("store.replaced", path=path)


def wait_until_written(folder: Path) -> None:
    """Wait until nobody writes the store's file, at most 10 s: what is half restored would pass for damaged."""
    path, before = folder / FILE_NAME, None
    for _ in range(_WRITTEN_LOOKS):
        try:
            found = path.stat()
        except OSError:
            return
        if (after := (found.st_ino, found.st_size, found.st_mtime_ns)) == before:
            return
        before = after
        time.sleep(_WRITTEN_PAUSE_SECONDS)


def is_there(folder: Path) -> bool:
    """Whether a state folder holds a store. Raises `StoreError` where that may not be known."""
    path = folder / FILE_NAME
    try:
        return path.exists()
    except PermissionError:
        raise StoreError("service.store_closed", path=path) from None


def _made(folder: Path, path: Path) -> FileId:
    """Make folder and file where they are not there; which file it is. Raises `StoreError`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_for_group(path)
        return _id_of(path.stat())
    except OSError as fault:
        raise StoreError("store.unwritable", path=path, why=fault.strerror) from None


def _make_for_group(path: Path) -> None:
    """Make the file where it is not there. Its group may read it in a folder that is open to its group alone (0750).

    What root makes, as with `sudo mailwatch check --send`, belongs to the folder's owner: `run` must be able to write
    it. SQLite gives its journal the mode and the owner of the file. A file that is there is not opened: to close it
    would drop the locks of its connections in this process (POSIX).
    """
    folder = path.parent.stat()
    is_for_group = folder.st_mode & stat.S_IRGRP and not folder.st_mode & stat.S_IRWXO
    wanted = 0o640 if is_for_group else 0o600
    try:
        made = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, wanted)
    except FileExistsError:
        found = path.lstat()  # it may be a link to a file of root's
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) != wanted:
            path.chmod(wanted)
        return
    try:
        os.fchmod(made, wanted)
        if os.geteuid() == 0 != folder.st_uid:
            os.fchown(made, folder.st_uid, folder.st_gid)
    finally:
        os.close(made)


def moment(stored: float) -> datetime:
    """A stored time, aware UTC; of a number that is no time the epoch: a row with a flipped bit must hold nobody up."""
    try:
        return datetime.fromtimestamp(stored, UTC)
    except (OverflowError, ValueError, OSError, TypeError):
        return datetime.fromtimestamp(0, UTC)


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """SQLite's errors as ours: what happened to which file, and what to do."""
    try:
        yield
    except OverflowError as fault:
        # A number of over 64 bits; sqlite3 does not count that as an error of the database.
        raise StoreError("store.unwritable", path=path, why=fault) from None
    except UnicodeDecodeError:
        # sqlite3 fails so over its own message, where that quotes a damaged name.
        raise StoreError("store.damaged", path=path, why="not UTF-8") from None
    except sqlite3.DatabaseError as fault:
        if _is_undecodable(fault):
            raise StoreError("store.damaged", path=path, why="not UTF-8") from None
        raise StoreError(_error_key(fault), path=path, why=fault) from None


def _is_undecodable(fault: sqlite3.DatabaseError) -> bool:
    """A text that is none: sqlite3's own finding, without a code of SQLite's. Its message quotes the text."""
    return str(fault).startswith("Could not decode to UTF-8")


def _error_key(fault: sqlite3.DatabaseError) -> str:
    name = getattr(fault, "sqlite_errorname", "") or ""
    if name == "SQLITE_READONLY_ROLLBACK":
        return "service.store_unfinished"
    if name.startswith("SQLITE_FULL"):
        return "store.full"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "store.busy"
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return "store.damaged"
    return "store.unwritable"
