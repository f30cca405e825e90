"""`demo`: a real IMAP server in another process, synthetic mails arriving one after another, and the real watcher.

The code is `run`'s; only the server is pymap on loopback and the channel prints. Nothing is kept.
"""

from __future__ import annotations

import contextlib
import imaplib
import shlex
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from zoneinfo import ZoneInfo

import click

from mailwatch import log, message, notice, sample_mail, scan
from mailwatch.amazon import template
from mailwatch.catalogue import Language, say
from mailwatch.clock import Clock
from mailwatch.config import DEFAULT_SEND, Account, Channel, Config, Source, Watch
from mailwatch.errors import PassingError, UsageError
from mailwatch.mailbox import Server
from mailwatch.notice import Notice
from mailwatch.request import ROLLOUT_ZONE, Rollout, Rules
from mailwatch.secret import Secret
from mailwatch.services import Outcome, Result
from mailwatch.store import Store
from mailwatch.texts import Text
from mailwatch.trust import Provider
from mailwatch.watch import Watch as Watching
from mailwatch.watch import prepare

_ZONE = ZoneInfo("Asia/Tokyo")
_FAMILIES = ("routes", "wishes", "neighbours")
_USER, _PASSWORD = "seller@example.test", "demo"
_AUTHSERV_ID = "mx.google.com"
_BETWEEN_MAILS = 0.1
# Without the collector: proxy-protocol, which starts pymap's connections, keeps no reference to their tasks. In Python
# 3.13 nothing else does while they wait for the client, and the collector ended the connection that appends (4 in 16).
_PYMAP = "import gc; gc.disable(); from pymap.main import main; main()"
# pymap announces no mail that was appended between the last command and IDLE: 8 of 8 came only with the next search.
_SLICE_SECONDS = 2
# A demo ends when all is told; these are for a machine that is stuck.
_START_SECONDS = 60.0
_LIMIT_SECONDS = 180.0


@dataclass(slots=True)
class _Terminal:
    """The channel of the demo: prints each alert, and remembers when."""

    language: Language
    delivered: dict[str, float] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    printed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, text: Text, key: uuid.UUID) -> Outcome:  # noqa: ARG002 - a channel without keys
        with self.lock:
            self.printed += 1
            order_id = text.body.split("\n", 1)[0]
            if order_id in self.delivered:
                self.latencies.append(time.monotonic() - self.delivered.pop(order_id))
            click.echo(f"\n┌ {text.title}")
            for line in text.body.split("\n"):
                click.echo(f"│ {line}")
        return Outcome(Result.ACCEPTED)


@dataclass(frozen=True, slots=True)
class _Played:
    mail: bytes
    notices: tuple[Notice, ...]


def play(language: Language) -> int:
    """Play the demo to its end; the exit code. Raises `UsageError` or `PassingError` where it can't be played."""
    log.mute()
    # A closed terminal and a polite kill must clean up as Ctrl-C does.
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, _end)
    mails = list(_mails())
    click.echo(say("demo.intro", language, mails=len(mails)))
    with tempfile.TemporaryDirectory(prefix="mailwatch-demo-") as folder, _server() as port:
        config = _config(Path(folder), language)
        terminal = _Terminal(language)
        prepare(config.watch.state_dir, config, Clock())
        server = Server("127.0.0.1", port, None, _USER, Secret(_PASSWORD))
        watching = Watching(config, lambda _: server, lambda _: terminal.send)
        watching.start()
        try:
            if not watching.folders[0].is_watching.wait(_START_SECONDS):
                raise PassingError("demo.no_server", why="no answer")
            _deliver(port, mails, terminal)
            seen = _wait_until_told(config, len(mails))
        finally:
            watching.stop()
        _summary(config, terminal, seen, language)
    if seen < len(mails):
        waited = round(_LIMIT_SECONDS)
        click.echo(say("demo.incomplete", language, seconds=waited, seen=seen, mails=len(mails)), err=True)
    return 0 if seen == len(mails) else 1


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - a signal handler's signature
    raise KeyboardInterrupt


def _mails() -> Iterator[_Played]:
    """The sample mails of both routes, wishes and neighbours, in the order of their times, as if they came just now."""
    folder, provider, now = _samples(), Provider(_AUTHSERV_ID), datetime.now(UTC)
    for each in scan.find([folder / family for family in _FAMILIES], []):
        mail = sample_mail.as_of(each.source.read(message.LIMIT_MAIL), now, _ZONE, _AUTHSERV_ID)
        yield _Played(mail, notice.read(message.parse(mail), provider, template.shipped()))


def _samples() -> Path:
    """Beside the package's modules in a wheel, beside the package in a checkout."""
    here = Path(__file__).parent
    for folder in (here / "sample_mails", here.parent / "sample_mails"):
        if folder.is_dir():
            return folder
    raise UsageError("demo.no_samples", path=here / "sample_mails")


def _config(state_dir: Path, language: Language) -> Config:
    today = datetime.now(ROLLOUT_ZONE).date()
    account = Account(
        name="demo",
        host="127.0.0.1",
        port=0,
        is_plain=True,
        ca_file=None,
        provider=Provider(_AUTHSERV_ID),
        user=_USER,
        folders=("INBOX",),
        seller="shop",
        password_source=Source("", "env", "", state_dir),
    )
    channel = Channel("terminal", Secret(""), frozenset(DEFAULT_SEND), ())
    return Config(
        watch=Watch(timedelta(days=14), _SLICE_SECONDS, _SLICE_SECONDS, language, _ZONE, state_dir, None),
        rules=replace(Rules(), rollout=Rollout(today, 14)),
        templates=template.shipped(),
        accounts=(account,),
        channels=(channel,),
    )


@contextlib.contextmanager
def _server() -> Iterator[int]:
    """pymap in a process of its own, on a free loopback port, empty and forgotten at the end."""
    try:
        import pymap  # noqa: F401 - an extra: its absence gets a sentence
    except ImportError:
        wanted = shlex.join([sys.executable, "-m", "pip", "install", "pymap"])
        raise UsageError("demo.no_pymap", command=wanted) from None
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    command = [sys.executable, "-c", _PYMAP, "--host", "127.0.0.1", "--port", str(port)]
    command += ["--no-tls", "dict", "--demo-user", _USER, "--demo-password", _PASSWORD]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise PassingError("demo.no_server", why=f"exit {process.poll()}" if process.poll() is not None else "no answer")


def _deliver(port: int, mails: list[_Played], terminal: _Terminal) -> None:
    """Append one after another, with a connection of its own. Raises `PassingError` where the server is gone."""
    try:
        with imaplib.IMAP4("127.0.0.1", port, timeout=_START_SECONDS) as sender:
            sender.login(_USER, _PASSWORD)
            for each in mails:
                with terminal.lock:
                    now = time.monotonic()
                    terminal.delivered.update({n.order_id: now for n in each.notices if n.order_id and n.is_told})
                sender.append("INBOX", "", "", each.mail)
                time.sleep(_BETWEEN_MAILS)
    except (OSError, imaplib.IMAP4.error) as fault:
        raise PassingError("mailbox.lost", why=fault) from None


def _wait_until_told(config: Config, mails: int) -> int:
    """Until every mail is recorded and nothing is owed; how many were recorded."""
    until = time.monotonic() + _LIMIT_SECONDS
    store = Store.open(config.watch.state_dir)
    try:
        while time.monotonic() < until:
            seen = store.folders.mails_seen()
            if seen >= mails and store.outbox.next_due("terminal") is None:
                break
            time.sleep(0.05)
        return seen
    finally:
        store.close()


def _summary(config: Config, terminal: _Terminal, seen: int, language: Language) -> None:
    store = Store.open(config.watch.state_dir)
    try:
        told = store.requests()
    finally:
        store.close()
    joined = [each for each in told if len({s.route for s in each.sightings if s.route}) > 1]
    quiet = seen - sum(len(each.sightings) for each in told)
    median = f"{statistics.median(terminal.latencies):.2f}" if terminal.latencies else "-"
    click.echo("\n" + say("demo.summary", language))
    lines = {
        "mails_seen": seen,
        "requests": len(told),
        "joined": len(joined),
        "ignored": quiet,
        "alerts": terminal.printed,
    }
    for key, count in lines.items():
        click.echo("  " + say(f"demo.{key}", language, n=count))
    click.echo("  " + say("demo.latency", language, seconds=median))
