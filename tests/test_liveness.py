"""A dead line is noticed and the mail that came meanwhile is told: `run` before a real Dovecot, a proxy between.

The bounds are those of reliability L1 and L4 at `idle_seconds` = 5 in place of 60.
"""

from __future__ import annotations

import time
from pathlib import Path

import mails
import pytest
from beds.dovecot import Dovecot
from beds.recorder import Recorder
from beds.tap import Tap
from beds.wire import wait_until
from test_run_dovecot import around_now, told, watcher

from mailwatch.mailbox import PROOF_SECONDS

pytestmark = [
    pytest.mark.server,
    pytest.mark.dovecot,
]

ONE, TWO = (mails.order_id(number) for number in (1, 2))
IDLE = 5.0
# What a proxy that forwards nothing costs at most: the slice, the answer to DONE, and a noisy machine.
NOTICED = IDLE + PROOF_SECONDS + 10.0


def lost(folder: Path) -> int:
    """How often the log says that a connection was lost."""
    return (folder / "run.log").read_text().count("disconnected")


def test_a_half_open_line_is_noticed_and_its_mail_is_told_when_it_is_back(tmp_path: Path) -> None:
    """Nothing closes, nothing answers. Planted fault: DONE is not waited for: never noticed, red."""
    with Dovecot() as server, Tap(server.port) as tap, Recorder() as recorder:
        start = around_now()
        with watcher(tmp_path, tap.port, recorder, merge="72h", start=start, idle_seconds=IDLE):
            tap.wait_for("IDLE", count=2)
            tap.stall()
            began = time.monotonic()
            server.deliver(mails.by_notification(ONE))
            wait_until(lambda: lost(tmp_path) >= 2, NOTICED, "both folders have lost the line")
            assert time.monotonic() - began < NOTICED
            tap.go()
            recorder.wait_for(1, 60, "/requests")
            assert told(recorder, "/requests") == {ONE: 1}


def test_a_server_that_is_killed_in_idle_is_reconnected_within_ten_seconds(tmp_path: Path) -> None:
    """Planted fault: the first reconnect waits 15 s: red."""
    with Dovecot() as server, Recorder() as recorder:
        start = around_now()
        with watcher(tmp_path, server.port, recorder, merge="72h", start=start, idle_seconds=IDLE):
            wait_until(lambda: (tmp_path / "run.log").read_text().count("connected ") >= 2, 20, "both watched")
            server.deliver(mails.by_notification(ONE))
            recorder.wait_for(1, 20, "/requests")
            server.kill()
            server.start()
            began = time.monotonic()
            server.deliver(mails.by_notification(TWO))
            recorder.wait_for(2, 10, "/requests")
            assert time.monotonic() - began < 10
            assert told(recorder, "/requests") == {ONE: 1, TWO: 1}
