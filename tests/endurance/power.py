"""R3: the power fails at any moment of a real run over the real store. See README.md here.

PYTHONPATH=tests python -m endurance.power [--short] [--seed N] [--plant synchronous-off|synchronous-full]
Needs strace. The store's system calls are recorded, and replayed into what a disk may hold after a power cut: what was
not synced, of files and of directories, is dropped, kept, or half there.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mails

from mailwatch import database, message, migrations, notice
from mailwatch.amazon import template
from mailwatch.database import Database, RunLock
from mailwatch.errors import Fault, MailwatchError
from mailwatch.folders import MailIdentity
from mailwatch.request import Rules
from mailwatch.services import Outcome, Result
from mailwatch.store import Reading, Store
from mailwatch.trust import Provider

from .bench import TESTS, Figures

PLANTS = {"synchronous-off": "OFF", "synchronous-full": "FULL"}
START = datetime(2022, 6, 8, 1, tzinfo=UTC)
AUDIENCE = [(name, frozenset({"request", "wish", "fault", "digest"})) for name in ("plain", "line")]
CALLS = "openat,pwrite64,write,fsync,fdatasync,unlink,rename,ftruncate"
SECTOR = 512
ACK = "acks"


# ---- what is recorded: a process of its own drives the real store ----


def drive(folder: Path, *, plant: str) -> None:
    """Everything that the store writes; after each call that came back, one byte into the file of acknowledgements."""
    acks = os.open(folder / ACK, os.O_CREAT | os.O_WRONLY)
    if plant:
        _synchronous(PLANTS[plant])

    def ack() -> None:
        os.write(acks, b".")

    state = folder / "state"
    lock = RunLock(state)
    for _ in _version_1(state):
        ack()
    store = Store.open(state)
    database.note_written(state)
    ack()
    for _ in _days_work(store):
        ack()
    store.close()
    lock.release()


def _synchronous(mode: str) -> None:
    plain = Database._migrate

    def migrate(self: Database) -> None:
        self._connection.execute(f"PRAGMA synchronous={mode}")
        plain(self)

    setattr(Database, "_migrate", migrate)  # noqa: B010 - mypy takes no assignment to a method


def _version_1(state: Path) -> Iterator[None]:
    """A store as the first version wrote it; each step is acknowledged."""
    latest = migrations.SCHEMA_VERSION
    setattr(database, "SCHEMA_VERSION", 1)  # noqa: B010
    old = Database.open(state)
    yield
    for number in range(3):
        with old.transaction():
            old.change("INSERT INTO mail VALUES ('shop', 'INBOX', 1, ?, 1654650000, 100)", number + 1)
            written = old.change(
                "INSERT INTO request (identity, seller, order_id, kind, trust, state, opened_at, items)"
                " VALUES (?, 'shop', ?, 'request', 'verified', 'open', 1654650000, '[]')",
                *(old.hash(str(number)), mails.order_id(number, 249)),
            )
            old.change(
                "INSERT INTO outbox (id, channel, request, alert, created_at, next_attempt)"
                " VALUES (?, 'plain', ?, ?, 1, 0)",
                *(f"00000000-0000-0000-0000-{number:012d}", written.lastrowid, '{"kind": "request"}'),
            )
        yield
    old.close()
    setattr(database, "SCHEMA_VERSION", latest)  # noqa: B010


def _days_work(store: Store) -> Iterator[None]:
    """Mails are read, recorded and told; faults begin and end; what is old is forgotten. Each step is acknowledged."""
    now = START
    fault = Fault("fault.channel", {"channel": "line", "why": Fault("channel.silent")})
    store.folders.start("shop", "INBOX", 1, 3, "idle", "INBOX")
    yield
    store.reports.note_run(now)
    yield
    for number in range(8):
        now += timedelta(minutes=1)
        for uid, mail in enumerate((mails.by_notification, mails.by_message, mails.wish), start=10 + 4 * number):
            identity = MailIdentity("shop", "INBOX", 1, uid, now, 2000)
            store.folders.begin_reading(identity, now)
            yield
            _record(store, identity, mail(mails.order_id(number, 503 if mail is not mails.wish else 250)), now)
            yield
        store.record_others([MailIdentity("shop", "INBOX", 1, 13 + 4 * number, now, 3000)])
        yield
        store.folders.good_search("shop", "INBOX", now)
        yield
        yield from _sends(store, number, now)
    store.episodes.begin("channel/line", fault, AUDIENCE, now)
    yield
    store.episodes.end("channel/line", AUDIENCE, now)
    yield
    store.refusals.add("shop", now)
    yield
    store.refusals.clear("shop")
    yield
    store.reports.tell_morning(["plain"], (), now, None)
    yield
    store.forget_old(now + timedelta(days=40))
    yield


def _record(store: Store, identity: MailIdentity, mail: bytes, now: datetime) -> None:
    provider = Provider(mails.AUTHSERV_ID, mails.RECEIVED_BY)
    parsed = message.parse(mail)
    notices = notice.read(parsed, provider, template.shipped(), is_junk=False)
    store.record(Reading(identity, "shop", parsed.content_key(), notices), Rules(), AUDIENCE, now)


def _sends(store: Store, number: int, now: datetime) -> Iterator[None]:
    for channel, _ in AUDIENCE:
        entry = store.outbox.due(channel, now)
        if entry is None:
            continue
        store.outbox.begin_attempt(entry, now)
        yield
        if number % 3 == 2:
            store.outbox.postpone(entry, Outcome(Result.PASSING, "HTTP 500"), now)
            yield
        else:
            store.outbox.settle(entry, now)
            yield


# ---- the recorded calls ----


@dataclass(frozen=True, slots=True)
class Call:
    """One system call on the state folder: what it does to which name."""

    name: str
    path: str
    data: bytes = b""
    offset: int = 0


_LINE = re.compile(r"^\d+\s+(\w+)\((.*)\)\s+= (-?\d+)")
_HEX = re.compile(r"\\x([0-9a-f]{2})")


def record(folder: Path, *, plant: str) -> list[Call]:
    """Run `drive` under strace."""
    trace = folder / "trace"
    command = [sys.executable, "-m", "endurance.power", "--drive", str(folder), *(["--plant", plant] if plant else [])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    options = ["-f", "-qq", "-y", "-xx", "-s", "1000000", "-e", f"trace={CALLS}", "-o", str(trace)]
    subprocess.run(["strace", *options, *command], check=True, env=environment)
    with trace.open() as lines:
        return [call for line in lines if (call := _call(line, folder)) is not None]


def _call(line: str, folder: Path) -> Call | None:
    found = _LINE.match(line)
    if found is None or int(found[3]) < 0:
        return None
    name, arguments = found[1], found[2]
    strings = [_unhexed(text) for text in re.findall(r'"((?:\\x[0-9a-f]{2})*)"', arguments)]
    of_file = re.match(r"\d+<((?:\\x[0-9a-f]{2})*|[^>]*)>", arguments)
    path = (_unhexed(of_file[1]) if of_file else strings[0]).decode().removesuffix(" (deleted)")
    inside = os.path.relpath(path, folder)
    if inside.startswith("..") or inside == ".":
        return None
    if name == "openat":
        return _opened(arguments, strings, folder)
    data = strings[0] if name in {"pwrite64", "write"} else b""
    offset = int(arguments.rpartition(", ")[2]) if name in {"pwrite64", "ftruncate"} else 0
    return Call(name, inside, data, offset)


def _opened(arguments: str, strings: Sequence[bytes], folder: Path) -> Call | None:
    inside = os.path.relpath(strings[0].decode(), folder)
    if "O_CREAT" not in arguments or inside.startswith(".."):
        return None
    return Call("truncate" if "O_TRUNC" in arguments else "create", inside)


def _unhexed(text: str) -> bytes:
    return bytes.fromhex("".join(_HEX.findall(text))) if "\\x" in text else text.encode()


# ---- the disk ----


@dataclass(slots=True)
class File:
    """What is surely on the disk, and the writes since the last sync: (offset, data), or (size, None) to cut it."""

    synced: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def content(self, pending: Iterable[tuple[int, bytes | None]]) -> bytes:
        """The content with these of the writes."""
        content = bytearray(self.synced)
        for offset, data in pending:
            if data is None:
                content[offset:] = bytes(max(0, offset - len(content)))
            else:
                content.extend(bytes(max(0, offset - len(content))))
                content[offset : offset + len(data)] = data
        return bytes(content)


class Disk:
    """One directory: its files, and the entries made and removed since its last sync."""

    def __init__(self) -> None:
        self.entries: dict[str, File] = {}
        self.now: dict[str, File] = {}
        self.pending: list[tuple[str, File | None]] = []

    def apply(self, call: Call, directory: str) -> None:
        """One system call."""
        if call.path == directory:
            self.entries, self.pending = dict(self.now), []
            return
        name = os.path.relpath(call.path, directory)
        match call.name:
            case "create" | "truncate":
                self._create(name, is_cut=call.name == "truncate")
            case "pwrite64":
                self.now[name].pending.append((call.offset, call.data))
            case "write":
                file = self.now[name]
                file.pending.append((len(file.content(file.pending)), call.data))
            case "ftruncate":
                self.now[name].pending.append((call.offset, None))
            case "fsync" | "fdatasync":
                file = self.now[name]
                file.synced, file.pending = file.content(file.pending), []
            case "unlink":
                del self.now[name]
                self.pending.append((name, None))
            case _:
                raise ValueError(f"not replayed: {call.name} {call.path}")

    def _create(self, name: str, *, is_cut: bool) -> None:
        if name not in self.now:
            self.now[name] = File()
            self.pending.append((name, self.now[name]))
        elif is_cut:
            self.now[name].pending.append((0, None))

    def whole(self) -> dict[str, bytes]:
        """What a reader sees now: everything is there."""
        return {name: file.content(file.pending) for name, file in self.now.items()}

    def crashed(self, rng: random.Random, kind: str) -> dict[str, bytes]:
        """What may be there after a power cut."""
        entries = dict(self.entries)
        for name, made in self.pending:
            if kind in {"all", "entries"} or (kind == "random" and rng.random() < 0.5):
                if made is None:
                    entries.pop(name, None)
                else:
                    entries[name] = made
        return {name: file.content(_survivors(file, rng, kind)) for name, file in entries.items()}


def _survivors(file: File, rng: random.Random, kind: str) -> list[tuple[int, bytes | None]]:
    """Which of a file's unsynced writes are there: all, none, the first ones, any, and one of them in part."""
    pending = file.pending
    if kind in {"all", "data"}:
        return pending
    if kind in {"none", "entries"} or not pending:
        return []
    chosen = rng.choice(("first", "any", "all but one"))
    if chosen == "first":
        kept = pending[: rng.randint(0, len(pending))]
    elif chosen == "any":
        kept = [each for each in pending if rng.random() < 0.5]
    else:
        kept = [each for at, each in enumerate(pending) if at != rng.randrange(len(pending))]
    return [_torn(each, rng) if at == len(kept) - 1 and rng.random() < 0.5 else each for at, each in enumerate(kept)]


def _torn(write: tuple[int, bytes | None], rng: random.Random) -> tuple[int, bytes | None]:
    """Only some whole sectors of a write."""
    offset, data = write
    if data is None or len(data) <= SECTOR:
        return write
    return offset, data[: SECTOR * rng.randrange(1, -(-len(data) // SECTOR))]


# ---- what an image holds ----


def digest(path: Path) -> str:
    """A hash of all rows of all tables, and of the schema."""
    if not path.exists() or not path.stat().st_size:
        return "empty"
    found = hashlib.sha256()
    with closing(sqlite3.connect(path)) as connection:
        schema = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY type, name").fetchall()
        version = connection.execute("PRAGMA user_version").fetchone()
        found.update(repr((schema, version)).encode())
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        ).fetchall():
            every = sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr)  # noqa: S608 - our tables
            found.update(repr(every).encode())
        return "empty" if not schema else found.hexdigest()


class Replay:
    """Goes through the recorded calls, and knows which states of the store were ever committed, and when."""

    def __init__(self, calls: Sequence[Call], scratch: Path) -> None:
        self._calls = calls
        self._image = scratch / "image"
        # After how many calls which state was committed, and how many of the states were acknowledged then.
        self.states: list[str] = ["empty"]
        self.disks: list[tuple[Disk, int, int]] = []
        self._go()

    def _go(self) -> None:
        disk, acknowledged = Disk(), 0
        for call in self._calls:
            if call.path == ACK:
                acknowledged = len(self.states) - 1
                continue
            if call.name in {"create", "write"} and call.path == "state":
                continue
            disk.apply(call, "state")
            if call.name == "unlink":
                self._note(disk)
            self.disks.append((deepcopy(disk), acknowledged, len(self.states) - 1))

    def _note(self, disk: Disk) -> None:
        self.lay_out(disk.whole())
        state = digest(self._image / database.FILE_NAME)
        if state != self.states[-1]:
            self.states.append(state)

    def lay_out(self, files: dict[str, bytes]) -> Path:
        """Write an image."""
        shutil.rmtree(self._image, ignore_errors=True)
        self._image.mkdir(mode=0o700)
        for name, content in files.items():
            (self._image / name).write_bytes(content)
        return self._image

    def verdict(self, image: Path, acknowledged: int, committed: int) -> str:
        """What the real code makes of an image: fine, corrupt, lost or strange."""
        try:
            if database.set_aside_damaged(image, START) is not None:
                return "corrupt"
            state = digest(image / database.FILE_NAME)
            # One more than was committed: the power may fail before the program sees that it was.
            allowed = self.states[acknowledged : committed + 2]
            if state not in allowed:
                return "lost" if state in self.states else "strange"
            Store.open(image).close()
            with closing(sqlite3.connect(image / database.FILE_NAME)) as opened:
                return "fine" if opened.execute("PRAGMA integrity_check").fetchone()[0] == "ok" else "corrupt"
        except (MailwatchError, sqlite3.DatabaseError):
            return "corrupt"


KINDS = ("none", "all", "entries", "data", *["random"] * 6)


def images(replay: Replay, rng: random.Random, count: int) -> Iterator[tuple[dict[str, bytes], int, int]]:
    """`count` different images, from every moment alike; fewer where there are no more."""
    known: set[bytes] = set()
    for _ in range(40 * count):
        disk, acknowledged, committed = rng.choice(replay.disks)
        files = disk.crashed(rng, rng.choice(KINDS))
        key = hashlib.sha256(repr((sorted(files.items()), acknowledged)).encode()).digest()
        if key not in known:
            known.add(key)
            yield files, acknowledged, committed
        if len(known) >= count:
            return


def main() -> int:
    """Run it; the exit code."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--short", action="store_true", help="a sample of 250 images")
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options.add_argument("--plant", choices=PLANTS, default="")
    options.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.drive:
        drive(given.drive, plant=given.plant)
        return 0
    rng = random.Random(given.seed)  # noqa: S311 - a seed makes a run come again
    began = time.monotonic()
    figures = Figures(f"power, seed {given.seed}{', planted: ' + given.plant if given.plant else ''}")
    with tempfile.TemporaryDirectory(prefix="mailwatch-power-") as folder:
        replay = Replay(record(Path(folder), plant=given.plant), Path(folder))
        found: Counter[str] = Counter()
        for files, acknowledged, committed in images(replay, rng, 250 if given.short else 3000):
            found[replay.verdict(replay.lay_out(files), acknowledged, committed)] += 1
    least = 250 if given.short else 1000
    figures.note("moments", len(replay.disks))
    figures.note("committed states", len(replay.states) - 1)
    figures.bar("images", found.total(), f"at least {least}", holds=found.total() >= least)
    figures.bar("acknowledged but lost", found["lost"], "0", holds=not found["lost"])
    figures.bar("corrupt", found["corrupt"], "0", holds=not found["corrupt"])
    figures.bar("a state that never was", found["strange"], "0", holds=not found["strange"])
    figures.note("seconds", f"{time.monotonic() - began:.0f}")
    return figures.end()


if __name__ == "__main__":
    sys.exit(main())
