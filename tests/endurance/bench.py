"""What the scripts share: the real program on a real Dovecot, told channels that count, a table of figures."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import mails
from beds.dovecot import Dovecot
from beds.recorder import Recorder, Request
from beds.wire import wait_until

TESTS = Path(__file__).resolve().parent.parent
PLAIN, LINE = "plain", "line"
PLACES = {PLAIN: "/plain", LINE: "api.line.me"}
REPEAT = "再送の可能性"
UNREADABLE = "読めない"
STORE = "mailwatch.sqlite"
_ORDER = re.compile(r"^\d{3}-\d{7}-\d{7}(?= |$)", re.MULTILINE)
_ALONE = re.compile(r"^\d{3}-\d{7}-\d{7}$", re.MULTILINE)

CONFIG = """
[watch]
merge_within = "72h"
state_dir = "{folder}/state"
idle_seconds = 20
language = "ja"
[rollout]
start = {start}
days = 14
[[accounts]]
name = "shop"
host = "127.0.0.1"
port = {port}
tls = "off"
user = "{user}"
password_file = "{folder}/password"
authserv_id = "{authserv_id}"
received_by = [{received_by}]
folders = ["INBOX", "\\\\Junk"]
[[channels]]
name = "plain"
url = "{plain}"
[[channels]]
name = "line"
url = "line://endurance-token/U00000000000000000000000000000000"
monthly_limit = 0
"""


class Program:
    """`mailwatch run` as a process of its own, in a folder with its configuration, state and log."""

    def __init__(
        self, folder: Path, server: Dovecot, recorder: Recorder, *, user: str | None = None, plant: str = ""
    ) -> None:
        """`plant`: run through `endurance.planted` with that fault."""
        self.folder, self.state, self.log = folder, folder / "state", folder / "run.log"
        self.store = self.state / STORE
        self._plant = plant
        self._environment = os.environ | recorder.environment()
        self._environment["PYTHONFAULTHANDLER"] = "1"
        self._environment["PYTHONPATH"] = os.pathsep.join([str(TESTS), str(TESTS.parent)])
        self._process: subprocess.Popen[bytes] | None = None
        self._log_from = 0
        folder.mkdir(exist_ok=True)
        self.log.touch()
        name = user or server.user
        for each in ("password", "config.toml"):
            (folder / each).touch(0o600)
        (folder / "password").write_text(server.users[name] + "\n")
        (folder / "config.toml").write_text(
            CONFIG.format(
                folder=folder,
                start=(datetime.now(UTC) - timedelta(days=3)).date().isoformat(),
                port=server.port,
                user=name,
                authserv_id=mails.AUTHSERV_ID,
                received_by=", ".join(f'"{host}"' for host in mails.RECEIVED_BY),
                plain=recorder.url(PLACES[PLAIN]),
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process that was started last."""
        if self._process is None:
            raise RuntimeError("not started")
        return self._process

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self, failpoint: str = "") -> None:
        """Start it; `failpoint`: see `planted`."""
        plant = ["endurance.planted", failpoint or self._plant] if failpoint or self._plant else ["mailwatch"]
        command = [sys.executable, "-m", *plant, "--config", str(self.folder / "config.toml"), "run"]
        self._log_from = self.log.stat().st_size
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment
            )

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stacks(self) -> str:
        """Abort it, where it lives; the state of its threads, and the end of its log, which says what each was at."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/stat")
        states = "".join(task.read_text().rpartition(") ")[2][0] for task in tasks)
        self.process.send_signal(signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        return f"threads {states}\n{self.said()[-8000:]}"

    def stop(self) -> int:
        """SIGTERM, and wait for the end; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def said(self) -> str:
        """What it logged since it was started."""
        with self.log.open("rb") as log:
            log.seek(self._log_from)
            return log.read().decode("utf-8", "replace")

    def counted(self, query: str, *values: object) -> int:
        """A number out of the running store; -1 while it can't be read."""
        try:
            with closing(sqlite3.connect(f"file:{self.store}?mode=ro", uri=True, timeout=10)) as store:
                return int(store.execute(query, values).fetchone()[0])
        except (sqlite3.DatabaseError, UnicodeDecodeError):
            return -1

    @property
    def is_watching(self) -> bool:
        """Whether both folders had a good search, in whichever run."""
        return self.counted("SELECT count(*) FROM folder WHERE last_good_search IS NOT NULL") == 2

    @property
    def owed(self) -> int:
        """How many alerts are not settled."""
        return self.counted("SELECT count(*) FROM outbox WHERE settled_at IS NULL")

    @property
    def recorded(self) -> int:
        """How many mails the store knows."""
        return self.counted("SELECT count(*) FROM mail")

    def first_start(self) -> None:
        """Start on the empty mailbox, and stop after both folders' first good search: no digest from here on."""
        self.start()
        self.wait(lambda: self.is_watching, 60, "the first good search of both folders")
        self.kill()

    def wait(self, condition: Callable[[], object], seconds: float, what: str) -> None:
        """Wait for a condition; where it does not come, the end of the log says more."""
        try:
            wait_until(condition, seconds, what)
        except TimeoutError as fault:
            fault.add_note(self.said()[-2000:])
            raise


@dataclass(slots=True)
class Told:
    """What one channel accepted: how often each order was named in its alerts, and in digests."""

    singly: Counter[str] = field(default_factory=Counter)
    marked: Counter[str] = field(default_factory=Counter)
    in_digests: Counter[str] = field(default_factory=Counter)
    digests: int = 0
    unreadable: int = 0  # alerts of mails that can't be read
    faults: list[str] = field(default_factory=list)

    @property
    def orders(self) -> set[str]:
        """Every order that was named."""
        return set(self.singly) | set(self.in_digests)

    @property
    def repeats(self) -> Counter[str]:
        """The orders whose alert came again, and how often."""
        return Counter({order: times - 1 for order, times in self.singly.items() if times > 1})


def text_of(request: Request) -> str:
    """The whole text of an alert, as either channel carries it."""
    if request.retry_key is not None or "messages" in (request.json or {}):
        return "\n".join(str(message.get("text")) for message in request.json["messages"])
    return f"{request.json['title']}\n{request.json['message']}"


def told(recorder: Recorder, channel: str, since: int = 0) -> Told:
    """What the channel accepted, without its first `since` deliveries."""
    found = Told()
    for request in recorder.delivered(PLACES[channel])[since:]:
        text = text_of(request)
        title = text.partition("\n")[0]
        if "【まとめ】" in title:
            found.digests += 1
            found.in_digests.update(_ORDER.findall(text))
        elif "【監視の不調】" in title:
            found.faults.append(text)
        else:
            orders = _ALONE.findall(text)
            found.unreadable += not orders and UNREADABLE in text
            found.singly.update(orders)
            found.marked.update(orders if REPEAT in title else ())
    return found


def copied(program: Program, query: str) -> list[sqlite3.Row]:
    """Rows of the store as its files lie there: a copy is asked. None before it has that table."""
    with tempfile.TemporaryDirectory() as folder:
        for each in program.state.glob(f"{STORE}*"):
            shutil.copy(each, folder)
        with closing(sqlite3.connect(Path(folder) / STORE)) as store:
            store.row_factory = sqlite3.Row
            try:
                return store.execute(query).fetchall()
            except sqlite3.OperationalError:
                return []


def integrity(path: Path) -> str:
    """What SQLite's own check says."""
    with closing(sqlite3.connect(path)) as store:
        return str(store.execute("PRAGMA integrity_check").fetchone()[0])


@contextlib.contextmanager
def beds(prefix: str) -> Iterator[tuple[Path, Dovecot, Recorder]]:
    """A folder, a mail server, and a receiver that is the plain channel and stands in for LINE."""
    # Whoever stops the script stops what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with (
        tempfile.TemporaryDirectory(prefix=prefix) as folder,
        Dovecot() as server,
        Recorder.https(Path(folder)) as recorder,
    ):
        yield Path(folder), server, recorder


# ---- figures ----


class Figures:
    """The table of a script: figures, and bars that one of them may miss."""

    def __init__(self, title: str) -> None:
        self._rows: list[tuple[str, Any, str]] = []
        self._title = title
        self._missed = False

    def note(self, name: str, value: object) -> None:
        """A figure without a bar."""
        self._rows.append((name, value, ""))

    def bar(self, name: str, value: object, bar: str, *, holds: bool) -> None:
        """A figure and the bar that it must hold."""
        self._rows.append((name, value, f"{'ok' if holds else 'MISSED'}  (bar: {bar})"))
        self._missed |= not holds

    def end(self) -> int:
        """Print the table; the exit code."""
        width = max(len(name) for name, _, _ in self._rows)
        say(self._title)
        for name, value, verdict in self._rows:
            say(f"  {name:<{width}}  {value!s:>10}  {verdict}".rstrip())
        say("RED" if self._missed else "GREEN")
        return int(self._missed)


def say(line: str) -> None:
    """One line of the result."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def wait_for_any(conditions: Sequence[Callable[[], object]], seconds: float) -> bool:
    """Whether one of the conditions came true in time."""
    try:
        wait_until(lambda: any(condition() for condition in conditions), seconds)
    except TimeoutError:
        return False
    return True
