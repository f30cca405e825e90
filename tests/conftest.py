"""What all tests share. A test names the programs it needs by its marks, and is skipped where one is missing.

Where MAILWATCH_CI is set every program is installed: nothing is skipped by a mark, and a skipped test is a failure.
"""

from __future__ import annotations

import gc
import os
import random
import shutil
import signal

import pytest
from beds import dovecot
from hypothesis import settings

# In the background of a shell SIGINT is ignored, and what is started here would inherit that: Ctrl-C is tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The machines are noisy: time is never what a property is about.
settings.register_profile("mailwatch", deadline=None, print_blob=True)
settings.load_profile("mailwatch")


def missing() -> dict[str, str]:
    """Return the marks of programs that are not installed, each with the reason for the skipped test."""
    found = {"dovecot": dovecot.available(), "systemd": shutil.which("systemd-analyze") is not None}
    return {mark: f"needs {mark}, which is not installed" for mark, is_there in found.items() if not is_there}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a program that is not installed."""
    if os.environ.get("MAILWATCH_CI"):
        return
    for mark, reason in missing().items():
        for item in items:
            if item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_runtest_setup() -> None:
    """Give each test the same random numbers each time; the jitter of our waits is drawn from them."""
    random.seed(7)


def pytest_collection_finish() -> None:
    """What was collected stays: the collection that ends each send need not go through all of it."""
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turn a green run with skips into a red one in CI."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if reporter and os.environ.get("MAILWATCH_CI") and skipped and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(f"{len(skipped)} tests were skipped where every component is installed", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
