"""The log: one line an event, whatever a server or a mail puts into a value."""

from __future__ import annotations

import ast
import io
import re
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwatch import log

PART = re.compile(r' ([a-z_]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s"=\\]+))')


@pytest.fixture
def unmuted() -> Iterator[None]:
    """Whatever a test mutes speaks again."""
    yield
    log._is_muted.clear()


def values(line: str) -> dict[str, str]:
    """The line read back as a journal reader would: every character belongs to exactly one value."""
    head = re.match(r"<\d>[a-z_]+", line)
    assert head
    at, found = head.end(), {}
    while at < len(line.rstrip("\n")):
        part = PART.match(line, at)
        assert part, ascii(line[at:])
        found[part[1]] = part[3] if part[3] is not None else ast.literal_eval(f'"{part[2]}"')
        at = part.end()
    return found


def test_an_event_is_a_priority_a_name_and_its_values(capsys: pytest.CaptureFixture[str]) -> None:
    log.alert_sent("slack", "12", "249-1234567-7654321", 1)
    written = capsys.readouterr().err
    assert written == "<5>alert_sent channel=slack entry=12 order_id=249-1234567-7654321 attempts=1\n"


@pytest.mark.parametrize(
    "value",
    [
        "two words",
        "a\nb",
        "a\r\n<0>alert_sent channel=x",
        'a"b',
        "a' b",
        "a=b",
        "a\\nb",
        "\\",
        '\\"',
        "\x1b[31mred",
        "a\x00b",
        "\u202eabc",
        "a\u200bb",
        "a\u2028b",
        "\x85",
        "\ud800",
        "",
        "受信トレイ",
        "受信 トレイ",
        "🍣",
        "é x",
    ],
)
def test_a_value_stays_one_value_on_one_line_and_can_be_read_back(
    capsys: pytest.CaptureFixture[str], value: str
) -> None:
    """Seen red with `_escape` giving its text back, and without each of: quotes, `=`, the backslash."""
    log.disconnected("shop", value, "why", 1.0)
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert line[:-1].isprintable()
    assert values(line) == {"account": "shop", "folder": value, "why": "why", "retry_in": "1.0"}


@given(st.text(max_size=60), st.text(st.sampled_from("a \"=\\\n\x1b\u202e'{}%"), max_size=12))
@settings(max_examples=200)
def test_any_values_stay_apart(one: str, other: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        stream = io.StringIO()
        patch.setattr("sys.stderr", stream)
        log.disconnected(one, other, "x", 0.0)
    found = values(stream.getvalue())
    assert (found["account"], found["folder"]) == (one, other)


def test_a_long_value_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """Seen red with the cut taken out."""
    log.disconnected("shop", "INBOX", "x" * 100_000, 1.0)
    assert len(capsys.readouterr().err) < 500


def test_a_worker_that_failed_names_the_place_and_never_the_value(capsys: pytest.CaptureFixture[str]) -> None:
    """Seen red with `error=error`."""
    try:
        int("hunter2")
    except ValueError as error:
        log.worker_failed("folder", error, 1.0)
    written = capsys.readouterr().err
    assert "hunter2" not in written
    assert "error=ValueError" in written
    assert "test_a_worker_that_failed" in written


@pytest.mark.usefixtures("unmuted")
def test_a_muted_log_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    log.mute()
    log.stopped("signal")
    assert capsys.readouterr().err == ""


def test_a_person_at_a_terminal_sees_no_priority(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    log.stopped("signal")
    assert capsys.readouterr().err == "stopped reason=signal\n"


class Gone(io.StringIO):
    """A stderr that can't be written: its reader has ended, or the disk is full."""

    def __init__(self, fault: Exception) -> None:
        super().__init__()
        self._fault = fault

    def write(self, _: str) -> int:
        """Fail."""
        raise self._fault


def closed() -> io.StringIO:
    """A stderr that was closed."""
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize(
    "stream",
    [Gone(BrokenPipeError()), Gone(OSError(28, "No space left on device")), closed(), None],
    ids=["pipe", "disk", "closed", "none"],
)
@pytest.mark.parametrize("is_json", [False, True])
def test_a_log_that_cannot_be_written_ends_nobody(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO | None, is_json: bool
) -> None:
    """Each worker logs what it met, and died of the log: `run` stayed up and watched nothing. Seen red without the
    suppression, and without the look for no stderr at all."""
    monkeypatch.setattr("sys.stderr", stream)
    if is_json:
        monkeypatch.setattr(log, "_is_json", threading.Event())
        log.as_json()
    log.stopped("signal")
    log.worker_failed("folder", ValueError("x"), 1.0)
