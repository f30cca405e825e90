"""What all tests share. Where MAILWATCH_CI is set a skipped test is a failure: every real component is there."""

from __future__ import annotations

import gc
import os
import signal

import pytest
from hypothesis import settings

# In the background of a shell SIGINT is ignored, and what is started here would inherit that: Ctrl-C is tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The machines are noisy: time is never what a property is about.
settings.register_profile("mailwatch", deadline=None, print_blob=True)
settings.load_profile("mailwatch")


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
