"""What may befall a `run` at work, from outside: it is stopped and continued, its store goes away, its lock is deleted.

Each is a process of its own, with real signals and a real store.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import mails
import pytest
from beds.recorder import Recorder
from beds.scripted import ScriptedImap
from beds.wire import wait_until
from virtual import channel, configured

from mailwatch import database
from mailwatch.catalogue import say
from mailwatch.database import FILE_NAME, LOCK_NAME, RunLock
from mailwatch.store import Store

pytestmark = pytest.mark.server

ONE, TWO, THREE, FOUR = (mails.order_id(number) for number in range(1, 5))
ORDER_ID = re.compile(r"\d{3}-\d{7}-\d{7}")
REPEAT = say("alert.repeat", "en")
# With such a watchdog the main thread looks up each 0.3 s; it has no other use here.
WATCHDOG = 0.9
# `mailwatch`, whose oversight looks more often than every ten seconds.
OFTEN = """
from mailwatch.cli import main
from mailwatch.watch import oversight

oversight._TICK_SECONDS = 0.5
main()
"""


@pytest.fixture
def server() -> Iterator[ScriptedImap]:
    """A server; nothing is ever changed on it."""
    with ScriptedImap() as running:
        yield running
        assert not running.violations


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """The other end of two channels: `all` takes everything, `plain` only requests."""
    with Recorder() as listening:
        yield listening


def command(folder: Path, *program: str) -> list[str]:
    """`mailwatch run` with the configuration of a folder."""
    return [sys.executable, *(program or ("-c", OFTEN)), "--config", str(folder / "config.toml"), "run"]


def environment() -> dict[str, str]:
    """That of a service with a watchdog, and with nobody who listens."""
    given = {**os.environ, "WATCHDOG_USEC": str(int(WATCHDOG * 1e6))}
    for name in ("WATCHDOG_PID", "NOTIFY_SOCKET"):
        given.pop(name, None)
    return given


def configure(folder: Path, server: ScriptedImap, recorder: Recorder) -> None:
    """One account on the server, and both channels."""
    plain = channel("plain", recorder.url("/plain"), send=["request"])
    configured(folder, channel("all", recorder.url("/all")), plain, imap=(server.host, server.port))


@contextlib.contextmanager
def running(folder: Path, server: ScriptedImap, recorder: Recorder) -> Iterator[subprocess.Popen[bytes]]:
    """A `run` that watches its folder; killed at the end."""
    configure(folder, server, recorder)
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command(folder), stderr=log, env=environment())
        try:
            server.wait_for_idle(seconds=30)
            yield process
        finally:
            process.kill()
            process.wait(10)


def log_of(folder: Path) -> str:
    """What the process said."""
    return (folder / "log").read_text("utf-8")


def told(recorder: Recorder, path: str, *, is_marked: bool = False) -> Counter[str]:
    """How often each order was told on a path, singly or in a digest; of the alerts that are marked or are not."""
    found: Counter[str] = Counter()
    for post in recorder.posts(path):
        if (REPEAT in str(post.json["title"])) == is_marked:
            found.update(set(ORDER_ID.findall(str(post.json["message"]))))
    return found


def is_told(recorder: Recorder, *orders: str) -> bool:
    """Whether both channels were told of all of them."""
    return all(
        (told(recorder, path) + told(recorder, path, is_marked=True))[order]
        for path in ("/all", "/plain")
        for order in orders
    )


def tell(server: ScriptedImap, recorder: Recorder, folder: Path, *orders: str) -> None:
    """A request arrives for each order; wait until all are told and settled."""
    for order in orders:
        server.deliver(mails.by_notification(order))
    wait_until(lambda: is_told(recorder, *orders) and not owed(folder), 30, f"{orders} told and settled")


def owed(folder: Path) -> bool:
    """Whether an alert is not settled."""
    with closing(Store.open_to_read(folder / "state")) as store:
        return store._database.one("SELECT 1 FROM outbox WHERE settled_at IS NULL") is not None


# ---- stopped and continued ----


def stop_for_a_while(process: subprocess.Popen[bytes]) -> None:
    """SIGSTOP, beyond the end of what the main thread waits for, and SIGCONT."""
    process.send_signal(signal.SIGSTOP)
    time.sleep(WATCHDOG)
    process.send_signal(signal.SIGCONT)


def test_a_run_that_was_stopped_and_continued_goes_on_and_tells_what_came_meanwhile(
    tmp_path: Path, server: ScriptedImap, recorder: Recorder
) -> None:
    """Ten times, for what an interrupted `sigtimedwait` returned was any number: SIGHUP and SIGTERM among them.

    Planted fault: `sigtimedwait` again, and whatever it returns counts: "stopped reason=signal", red. Counting only our
    own numbers is not seen here: whether one of them comes out is chance.
    """
    with running(tmp_path, server, recorder) as process:
        for _ in range(9):
            stop_for_a_while(process)
        process.send_signal(signal.SIGSTOP)
        server.deliver(mails.by_notification(ONE))
        time.sleep(WATCHDOG)
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: is_told(recorder, ONE), 30, "told")
        assert process.poll() is None
        assert "reloaded" not in log_of(tmp_path)
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGTERM)
        time.sleep(WATCHDOG)
        process.send_signal(signal.SIGCONT)
        assert process.wait(10) == 0  # a signal that came meanwhile counts
        assert log_of(tmp_path).count("stopped reason=signal") == 1


# A shell whose terminal is its standard input: else it has no jobs.
SHELL = """
import fcntl, os, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
"""


class Terminal:
    """A shell at a terminal of its own."""

    def __init__(self) -> None:
        self._screen, slave = os.openpty()
        given = {**environment(), "PS1": "$ ", "TERM": "dumb"}
        shell = [sys.executable, "-c", SHELL]
        self._shell = subprocess.Popen(
            shell, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=given
        )
        os.close(slave)
        os.set_blocking(self._screen, False)
        self.shown = ""

    def type(self, text: str) -> None:
        """At the keyboard."""
        os.write(self._screen, text.encode())

    def wait_for(self, text: str, seconds: float = 30.0) -> None:
        """Until it is on the screen."""

        def is_shown() -> bool:
            with contextlib.suppress(BlockingIOError):
                while read := os.read(self._screen, 65536):
                    self.shown += read.decode("utf-8", "replace")
            return text in self.shown

        wait_until(is_shown, seconds, text)

    def close(self) -> None:
        """The window is closed."""
        self._shell.kill()
        self._shell.wait(10)
        os.close(self._screen)


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_ctrl_z_and_fg_at_a_terminal(tmp_path: Path, server: ScriptedImap, recorder: Recorder) -> None:
    """Planted fault: as in the test above: "stopped reason=signal", and no alert."""
    configure(tmp_path, server, recorder)
    terminal = Terminal()
    try:
        (tmp_path / "often.py").write_text(OFTEN)
        terminal.type(" ".join(command(tmp_path, str(tmp_path / "often.py"))) + "; echo ended with $?\n")
        server.wait_for_idle(seconds=30)
        terminal.type("\x1a")
        terminal.wait_for("Stopped")
        server.deliver(mails.by_notification(ONE))
        time.sleep(WATCHDOG)
        terminal.type("fg\n")
        wait_until(lambda: is_told(recorder, ONE), 30, "told")
        assert "stopped" not in terminal.shown
        terminal.type("\x03")
        terminal.wait_for("stopped reason=signal")
    finally:
        terminal.close()


# ---- the store goes away ----


def remove(state: Path, _: Path) -> None:
    """Removed."""
    (state / FILE_NAME).unlink()


def replace_by_a_copy(state: Path, _: Path) -> None:
    """Replaced by an identical copy, as `sed -i` and editors do."""
    shutil.copy2(state / FILE_NAME, state / "copy")
    (state / "copy").rename(state / FILE_NAME)


def replace_by_an_old_copy(state: Path, backup: Path) -> None:
    """Replaced by an older copy."""
    shutil.copy2(backup / FILE_NAME, state / "copy")
    (state / "copy").rename(state / FILE_NAME)


def restore(state: Path, backup: Path) -> None:
    """Restored from the archive, as docs/operate.md does it, without a stop before."""
    subprocess.run(["tar", "xzf", str(backup.parent / "state.tar.gz"), "-C", str(state.parent)], check=True)


def replace_by_garbage(state: Path, _: Path) -> None:
    """Replaced by something else."""
    (state / "copy").write_bytes(b"no store" * 1000)
    (state / "copy").rename(state / FILE_NAME)


def delete_the_folder(state: Path, _: Path) -> None:
    """Deleted with its folder."""
    shutil.rmtree(state)


@pytest.mark.parametrize(
    ("displace", "is_config_broken"),
    [
        *((displace, False) for displace in (remove, replace_by_a_copy, replace_by_an_old_copy, restore)),
        *((displace, False) for displace in (replace_by_garbage, delete_the_folder)),
        (remove, True),
    ],
    ids=lambda given: given.__name__ if callable(given) else "with a wrong configuration" if given else "",
)
def test_a_store_that_goes_away_is_noticed_told_and_nothing_is_told_twice_unmarked(
    tmp_path: Path,
    server: ScriptedImap,
    recorder: Recorder,
    displace: Callable[[Path, Path], None],
    *,
    is_config_broken: bool,
) -> None:
    """Nothing is written meanwhile: a channel that owes nothing only reads, and would never notice.

    Planted faults, each red: no look at device and inode; a worker opens what it finds (an old request told as new);
    an alert that a channel without digests is owed is not marked; `run` reads the configuration anew for it.
    """
    state, backup = tmp_path / "state", tmp_path / "backup" / "state"
    backup.mkdir(parents=True)
    with running(tmp_path, server, recorder) as process:
        tell(server, recorder, tmp_path, ONE)
        shutil.copy2(state / FILE_NAME, backup / FILE_NAME)
        # Of the copy: tar ends with 1 when a folder changes under it, and here somebody writes.
        archive = backup.parent / "state.tar.gz"
        subprocess.run(["tar", "czf", str(archive), "-C", str(backup.parent), "state"], check=True)
        tell(server, recorder, tmp_path, TWO)
        if is_config_broken:
            (tmp_path / "config.toml").write_text("nonsense")
        displace(state, backup)
        wait_until(lambda: "store_set_aside" in log_of(tmp_path), 30, "noticed")
        server.wait_for_idle(seconds=30)
        tell(server, recorder, tmp_path, THREE, FOUR)
        assert process.poll() is None
        # Nobody holds a file that is gone.
        assert not [file for file in opened(process) if file.endswith(f"{FILE_NAME} (deleted)")]
        process.terminate()
        assert process.wait(10) == 0
    # The first, and the one with the other store.
    assert log_of(tmp_path).count("started version") == 2
    news = [str(post.json["message"]) for post in recorder.posts("/all")]
    assert sum("is rebuilt" in text for text in news) == 1
    for path in ("/all", "/plain"):
        assert set(told(recorder, path).values()) == {1}
        is_known = displace is replace_by_a_copy
        assert told(recorder, path, is_marked=True)[TWO] == (not is_known)


def opened(process: subprocess.Popen[bytes]) -> list[str]:
    """The files that a process has open, where the system tells."""
    folder = Path(f"/proc/{process.pid}/fd")
    return [str(each.readlink()) for each in folder.iterdir()] if folder.exists() else []


def test_a_folder_that_is_away_for_a_while_is_told_without_a_store(
    tmp_path: Path, server: ScriptedImap, recorder: Recorder
) -> None:
    """A file where the folder was: no store can be made, as where a disk was taken out.

    Told after 20 s, and all is told when it can be made. Planted fault: a lock that can't be written ends `run`: red.
    """
    state = tmp_path / "state"
    with running(tmp_path, server, recorder) as process:
        tell(server, recorder, tmp_path, ONE)
        state.rename(tmp_path / "away")
        state.write_text("in the way")
        server.deliver(mails.by_notification(TWO))
        wait_until(lambda: "store_fault_told stage=began" in log_of(tmp_path), 60, "told")
        assert process.poll() is None
        state.unlink()
        (tmp_path / "away").rename(state)
        wait_until(lambda: is_told(recorder, ONE, TWO), 60, "told after all")
        assert process.poll() is None
    assert all(set(told(recorder, path).values()) == {1} for path in ("/all", "/plain"))


# ---- the lock ----


def second_run(folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Another `run` with the same configuration."""
    return subprocess.run(command(folder), capture_output=True, env=environment(), timeout=30, check=False)


def test_a_second_run_is_refused_also_when_run_lock_is_deleted(
    tmp_path: Path, server: ScriptedImap, recorder: Recorder
) -> None:
    """Planted fault: the lock is on the file alone: two run side by side, red."""
    with running(tmp_path, server, recorder) as process:
        for _ in range(3):
            (tmp_path / "state" / LOCK_NAME).unlink()
            second = second_run(tmp_path)
            assert (second.returncode, b"already at work" in second.stderr) == (75, True)
            assert database.is_locked(tmp_path / "state")
        wait_until((tmp_path / "state" / LOCK_NAME).exists, 10, "the file is there again")
        assert process.poll() is None


def test_after_its_folder_was_deleted_a_run_takes_the_lock_again(
    tmp_path: Path, server: ScriptedImap, recorder: Recorder
) -> None:
    """Planted fault: `keep` is never called: a second `run` starts beside it, red."""
    with running(tmp_path, server, recorder) as process:
        shutil.rmtree(tmp_path / "state")
        wait_until(lambda: database.is_locked(tmp_path / "state"), 10, "locked again")
        assert second_run(tmp_path).returncode == 75
        assert process.poll() is None


def test_a_run_whose_folder_was_deleted_and_taken_by_another_ends_with_a_sentence(
    tmp_path: Path, server: ScriptedImap, recorder: Recorder
) -> None:
    """Two that both watch would tell everything twice. Planted fault: a lock that can't be had is let be: red."""
    with running(tmp_path, server, recorder) as process:
        shutil.rmtree(tmp_path / "state")
        lock = RunLock(tmp_path / "state")
        try:
            assert process.wait(20) == 75
        finally:
            lock.release()
    assert "another run holds the lock" in log_of(tmp_path)
    assert "already at work" in log_of(tmp_path)
