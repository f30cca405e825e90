"""What the service manager is told: by a process as systemd would start it, and before a socket that records."""

from __future__ import annotations

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import mails
import pytest
from beds.recorder import Recorder
from beds.scripted import ScriptedImap
from beds.wire import free_port, wait_until

from mailwatch import config, notify, run
from mailwatch.clock import Clock
from mailwatch.database import RunLock
from mailwatch.errors import Fault
from mailwatch.health import FolderHealth, Health
from mailwatch.vital_signs import VitalSigns, look_every
from mailwatch.watch import Watch
from mailwatch.watch.signals import Progress

# A watchdog of 0.9 s: fed each 0.3 s.
WATCHDOG = 0.9
PERIOD = WATCHDOG / 3
HANGING = Path(__file__).parent / "systemd" / "hanging.py"
NOON = datetime(2026, 6, 8, 3, 12, tzinfo=UTC)


class Manager:
    """A service manager's end of the socket: remembers what comes, with its time."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)
        self.address = address
        self.told: list[tuple[float, str]] = []

    def look(self) -> list[str]:
        """All messages up to now."""
        while True:
            try:
                self.told.append((time.monotonic(), self._socket.recv(65536).decode()))
            except BlockingIOError:
                return [text for _, text in self.told]

    def wait_for(self, text: str, seconds: float = 15.0, *, beyond: int = 0) -> str:
        """The first message behind the first `beyond` ones that holds a text."""
        wait_until(lambda: any(text in each for each in self.look()[beyond:]), seconds, text)
        return next(each for each in self.look()[beyond:] if text in each)

    def fed_within(self, seconds: float) -> int:
        """How often the watchdog is fed from now on."""
        self.look()
        before = len(self.told)
        time.sleep(seconds)
        return sum("WATCHDOG=1" in text for text in self.look()[before:])

    def close(self) -> None:
        """Go away."""
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """One on a path."""
    listening = Manager(str(tmp_path / "notify"))
    yield listening
    listening.close()


# ---- the protocol ----


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_each_call_is_one_datagram(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listening = Manager(str(tmp_path / "n") if kind == "path" else f"@mailwatch-test-{os.getpid()}")
    monkeypatch.setenv("NOTIFY_SOCKET", listening.address)
    before = time.monotonic_ns() // 1000
    notify.ready("2つ\nを監視中")
    notify.status("不調なし")
    notify.alive()
    notify.reloading()
    notify.stopping()
    told = listening.look()
    listening.close()
    assert told[:3] == ["READY=1\nSTATUS=2つ を監視中", "STATUS=不調なし", "WATCHDOG=1"]
    reloading, stamp = told[3].split("\nMONOTONIC_USEC=")
    assert reloading == "RELOADING=1"
    assert before <= int(stamp) <= time.monotonic_ns() // 1000
    assert told[4] == "STOPPING=1"


@pytest.mark.parametrize(
    "address", [None, "", "nowhere", "vsock:2:1", "/nowhere/at/all", "@no-such-name", "/" + "x" * 300]
)
def test_nobody_who_listens_is_no_error(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if address is None:
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    else:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify.ready("x")
    notify.alive()


@pytest.mark.parametrize(
    ("usec", "pid", "seconds", "every"),
    [
        ("180000000", None, 180.0, 10.0),
        ("6000000", "own", 6.0, 2.0),
        ("6000000", "1", None, 10.0),
        ("0", None, None, 10.0),
        ("soon", None, None, 10.0),
        (None, None, None, 10.0),
    ],
)
def test_the_watchdogs_time_is_read_and_a_parents_is_not_ours(
    usec: str | None, pid: str | None, seconds: float | None, every: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert notify.watchdog_seconds() == seconds
    assert look_every() == every


# ---- proof of life ----


class StandingClock(Clock):
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def monotonic(self) -> float:
        """The moved time."""
        return self.at


def test_a_step_is_proof_until_the_next_look_and_a_rest_is_as_long_as_it_lasts() -> None:
    clock = StandingClock()
    progress = Progress(clock)
    progress.expect(150)
    steps = progress.steps
    assert progress.is_proven(None)
    assert not progress.is_proven(steps)  # nothing since
    progress.expect(150)
    assert progress.is_proven(steps)
    clock.at += 151
    assert not progress.is_proven(steps)  # late
    progress.rest(300)
    steps = progress.steps
    clock.at += 300
    assert progress.is_proven(steps)
    clock.at += 61
    assert not progress.is_proven(steps)  # a wait that never ended


def vital_signs(tmp_path: Path, seen: Health | Fault | None, *, now: datetime = NOON, hung: int = 0) -> VitalSigns:
    """Those of a watch of one worker, whose oversight saw this."""
    path = tmp_path / "config.toml"
    path.write_text(
        "[[accounts]]\nname = 'shop'\nhost = '127.0.0.1'\nuser = 'u'\npassword_env = 'HOME'\n"
        "[[channels]]\nname = 'slack'\nurl = 'json://127.0.0.1'\n"
    )
    progress = Progress(StandingClock())
    progress.expect(150)
    worker = SimpleNamespace(name="shop/INBOX", progress=progress)
    watch = SimpleNamespace(workers=[worker], hung=hung, oversight=SimpleNamespace(seen=seen))
    times = iter([now - timedelta(hours=1)])
    return VitalSigns(cast(Watch, watch), config.load(path, {}), now=lambda: next(times, now))


def health(*searched: datetime | None, faults: tuple[Fault, ...] = (), open_requests: int = 1) -> Health:
    """Folders with their last good search."""
    folders = tuple(FolderHealth("shop", f"f{n}", "idle", each, 9) for n, each in enumerate(searched))
    return Health(folders, (), faults, open_requests)


def test_the_watchdog_is_fed_only_when_every_worker_has_gone_on(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted fault: `look` feeds whatever the workers do: red."""
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    signs = vital_signs(tmp_path, health(NOON))
    fed = []
    for does_step in (True, False, False, True):
        if does_step:
            signs._watch.workers[0].progress.expect(150)
        before = len(manager.look())
        signs.look()
        fed.append("WATCHDOG=1" in manager.look()[before:])
    assert fed == [True, False, False, True]
    assert signs.stuck() == ("shop/INBOX",)


def test_three_threads_that_hang_for_good_are_worth_a_new_process(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
    vital_signs(tmp_path, health(NOON), hung=2).look()
    assert "WATCHDOG=1" in manager.look()
    manager.told.clear()
    vital_signs(tmp_path, health(NOON), hung=3).look()
    assert "WATCHDOG=1" not in manager.look()


@pytest.mark.parametrize(
    ("seen", "line"),
    [
        (None, "2つのフォルダの監視を始めました。最初の確認中です"),
        (health(NOON, NOON + timedelta(seconds=9)), "2つのフォルダを監視中、最後の確認 12:12、未対応1件、不調なし"),
        (
            health(NOON - timedelta(days=1), open_requests=0),
            "1つのフォルダを監視中、最後の確認 6/7 12:12、未対応0件、"
            "不調1件: アカウント「shop」のフォルダ「f0」の確認が遅れています。",
        ),
        (
            health(NOON, faults=(Fault("fault.not_running"),)),
            "1つのフォルダを監視中、最後の確認 12:12、未対応1件、不調1件: mailwatch run が動いていません。",
        ),
        (Fault("fault.not_running"), "監視が止まっています: mailwatch run が動いていません。"),
    ],
)
def test_the_line_says_what_a_person_wants_to_know(seen: Health | Fault | None, line: str, tmp_path: Path) -> None:
    assert vital_signs(tmp_path, seen, now=NOON + timedelta(seconds=20)).line() == line


def test_a_look_that_fails_ends_no_run_that_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seen red with `look` called without a guard."""
    signs = vital_signs(tmp_path, health(NOON))

    calls: run.Calls = queue.SimpleQueue()

    def blind() -> None:
        calls.put(run.Call.RELOAD)
        raise KeyError("no such text")

    monkeypatch.setattr(signs, "look", blind)
    monkeypatch.setattr(run, "look_every", lambda: 0.01)
    lock = RunLock(tmp_path)
    assert run._next_call(calls, signs, lock) is run.Call.RELOAD
    lock.release()
    assert "worker_failed" in capsys.readouterr().err


# ---- a process ----


@pytest.fixture
def server() -> Iterator[ScriptedImap]:
    """A server."""
    with ScriptedImap() as running:
        yield running


@contextmanager
def running(
    folder: Path, manager: Manager, port: int, channel: str, *program: str, options: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """`mailwatch run` as systemd starts it; `program`: another script and its arguments before those of mailwatch."""
    path = folder / "config.toml"
    password = folder / "password"
    password.touch(0o600)
    password.write_text("pass-one")
    received_by = ", ".join(f'"{host}"' for host in mails.RECEIVED_BY)
    path.write_text(f"""
[watch]
state_dir = "{folder}/state"
idle_seconds = 5
[[accounts]]
name = "shop"
host = "127.0.0.1"
port = {port}
tls = "off"
user = "seller@example.test"
password_file = "password"
authserv_id = "{mails.AUTHSERV_ID}"
received_by = [{received_by}]
folders = ["INBOX"]
[[channels]]
name = "slack"
url = "{channel}"
""")
    environment = {
        **os.environ,
        "NOTIFY_SOCKET": manager.address,
        "WATCHDOG_USEC": str(int(WATCHDOG * 1e6)),
        "PYTHONPATH": str(Path(config.__file__).parent.parent.parent),
    }
    environment.pop("WATCHDOG_PID", None)
    command = [sys.executable, *(program or ("-m", "mailwatch")), "--config", str(path), "run", *options]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stderr=log, env=environment)
        try:
            yield process
        finally:
            process.kill()
            process.wait(10)


def log_of(folder: Path) -> str:
    """What the process said."""
    return (folder / "log").read_text("utf-8")


pytestmark = pytest.mark.server


def test_ready_comes_without_a_network_and_a_back_off_is_progress(tmp_path: Path, manager: Manager) -> None:
    """Planted fault: READY waits for the first connection: never, red. A rest that is no proof: not fed, red."""
    began = time.monotonic()
    with running(tmp_path, manager, free_port(), f"json://127.0.0.1:{free_port()}") as process:
        ready = manager.wait_for("READY=1")
        assert time.monotonic() - began < 10
        assert "STATUS=1つのフォルダの監視を始めました" in ready
        wait_until(lambda: log_of(tmp_path).count("disconnected") >= 3, 20, "a back-off")
        assert manager.fed_within(12 * PERIOD) >= 9
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
        assert manager.look()[-1] == "STOPPING=1"


def test_a_healthy_run_says_so_and_feeds_the_watchdog(tmp_path: Path, manager: Manager, server: ScriptedImap) -> None:
    with Recorder() as recorder, running(tmp_path, manager, server.port, recorder.url("/slack")):
        server.deliver(mails.by_notification(mails.order_id(1)))
        recorder.wait_for(1, 20)
        said = manager.wait_for("不調なし", 30)
        assert "1つのフォルダを監視中、最後の確認 " in said
        assert "未対応1件" in said
        assert manager.fed_within(8 * PERIOD) >= 5


@pytest.mark.parametrize(
    ("where", "how"),
    [
        *[("imapclient", "sleeps"), ("mail-parser", "sleeps"), ("bs4", "sleeps"), ("parse", "sleeps")],
        *[("send", "sleeps"), ("oversight", "sleeps"), ("commit", "sleeps"), ("parse", "holds")],
    ],
)
def test_the_watchdog_is_not_fed_while_something_hangs(
    where: str, how: str, tmp_path: Path, manager: Manager, server: ScriptedImap
) -> None:
    """reliability L10: after the hang at most the proof of what was done before it, and then nothing."""
    with (
        Recorder() as recorder,
        running(tmp_path, manager, server.port, recorder.url("/slack"), str(HANGING), where, how),
    ):
        manager.wait_for("READY=1")
        server.deliver(mails.with_comment(mails.as_html(mails.by_notification(mails.order_id(1)))))
        wait_until(lambda: "planted" in log_of(tmp_path), 20, "the hang")
        time.sleep(2 * PERIOD)
        assert manager.fed_within(8 * PERIOD) == 0


def test_a_reload_is_announced_and_a_wrong_one_keeps_the_old_configuration_and_says_so(
    tmp_path: Path, manager: Manager
) -> None:
    path = tmp_path / "config.toml"
    with running(tmp_path, manager, free_port(), "json://127.0.0.1:1") as process:
        manager.wait_for("READY=1")
        good = path.read_text()
        for text, said in ((good + "nonsense", True), (good.replace("slack", "phone"), False)):
            beyond = len(manager.look())
            path.write_text(text)
            process.send_signal(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in manager.wait_for("RELOADING=1", beyond=beyond)
            ready = manager.wait_for("READY=1", 30, beyond=beyond)
            assert ("設定の読み直しは誤りのため取りやめ" in ready) == said
            assert manager.fed_within(6 * PERIOD) >= 3
        assert log_of(tmp_path).count("reload_refused") == 1
        assert log_of(tmp_path).count("reloaded") == 1
        assert process.poll() is None


# `mailwatch`, where the first reload meets something that nobody foresaw.
UNFORESEEN = """
import itertools
from mailwatch import config
from mailwatch.cli import main

load, calls = config.load, itertools.count(1)

def failing(*given, **options):
    if next(calls) == 2:
        raise ZeroDivisionError("by a reload")
    return load(*given, **options)

config.load = failing
main()
"""


def test_a_reload_that_meets_something_unforeseen_ends_no_run(
    tmp_path: Path, manager: Manager, server: ScriptedImap
) -> None:
    """Whatever it raises, the old configuration stays at work. Planted fault: only a `MailwatchError` is caught: the
    process ends with 1, red."""
    orders = [mails.order_id(number) for number in (1, 2)]
    with (
        Recorder() as recorder,
        running(tmp_path, manager, server.port, recorder.url("/slack"), "-c", UNFORESEEN) as process,
    ):
        server.wait_for_idle()
        beyond = len(manager.look())
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "ZeroDivisionError" in log_of(tmp_path), 20, "what it met is said")
        assert "reload_refused why=ZeroDivisionError" in log_of(tmp_path)
        assert "設定の読み直しは誤りのため取りやめ" in manager.wait_for("READY=1", beyond=beyond)
        server.deliver(mails.by_notification(orders[0]))
        recorder.wait_for(1, 20)
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "reloaded" in log_of(tmp_path), 20, "the next reload, which is good")
        server.deliver(mails.by_notification(orders[1]))
        posts = recorder.wait_for(2, 20)
        assert [str(post.json["message"]).split("\n", 1)[0] for post in posts] == orders
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def parsed(lines: str) -> list[dict[str, Any]]:
    """Each line as JSON."""
    return [json.loads(line) for line in lines.splitlines()]


def test_the_log_in_json_is_one_object_a_line(tmp_path: Path, manager: Manager) -> None:
    options = ("--log-format", "json")
    with running(tmp_path, manager, free_port(), "json://127.0.0.1:1", options=options) as process:
        wait_until(lambda: "disconnected" in log_of(tmp_path), 20, "an event with a number")
        process.terminate()
        assert process.wait(10) == 0
    events = parsed(log_of(tmp_path))
    assert [events[0]["event"], events[-1]["event"]] == ["started", "stopped"]
    assert list(events[0])[:3] == ["time", "priority", "event"]
    assert events[0]["priority"] == 5
    assert events[0]["accounts"] == 1
    assert datetime.fromisoformat(events[0]["time"]).tzinfo == UTC
    failed = next(each for each in events if each["event"] == "disconnected")
    assert isinstance(failed["retry_in"], float)


def test_a_start_that_fails_is_an_event_too_in_json(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("nonsense")
    command = [sys.executable, "-m", "mailwatch", "--config", str(tmp_path / "config.toml"), "run", "--log-format=json"]
    done = subprocess.run(command, capture_output=True, check=False)
    (event,) = parsed(done.stderr.decode())
    assert (event["event"], event["priority"], done.returncode) == ("not_started", 3, 78)
