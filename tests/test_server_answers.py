"""Any answer of a server, right in an odd form or wrong: what lies in the folder is told, or the folder is not well.

`MAILWATCH_ANSWERS=5000` runs as many examples; without it a short form. The clock is moved, so that a quarter of an
hour of searches takes no time.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mails
import pytest
from beds.scripted import ScriptedImap, Session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_reading import MovedClock, good_search, kinds, searching
from test_watch import configured

from mailwatch.errors import Unreachable
from mailwatch.watch.search import Lasting

pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

EXAMPLES = int(os.environ.get("MAILWATCH_ANSWERS", "15"))
OTHER = b"From: Shop <news@example.org>\r\nSubject: new\r\n\r\nhello\r\n"
QUARTER = 15 * 60
COMMANDS = ("UID FETCH", "UID SEARCH")
END = rb"\)\r\n(?=\*|[A-P]{4}\d)"
LITERAL = re.compile(rb"\{(\d+)\}\r\n")

Change = Callable[[bytes], bytes]


def _lines(answer: bytes) -> list[bytes]:
    """The lines of an answer, each with its literals; the last one is the tagged one."""
    lines, start, at = [], 0, 0
    while at < len(answer):
        end = answer.index(b"\r\n", at) + 2
        size = re.search(rb"\{(\d+)\}\r\n\Z", answer[at:end])
        at = end + int(size[1]) if size else end
        if not size:
            lines.append(answer[start:at])
            start = at
    return lines


def _each_literal(answer: bytes, change: Change) -> bytes:
    made, at = b"", 0
    while found := LITERAL.search(answer, at):
        end = found.end() + int(found[1])
        value = change(answer[found.end() : end])
        made += answer[at : found.start()] + b"{%d}\r\n%s" % (len(value), value)
        at = end
    return made + answer[at:]


def _shuffled(answer: bytes) -> bytes:
    *lines, tagged = _lines(answer)
    return b"".join([*reversed(lines), tagged])


def _first_dropped(answer: bytes) -> bytes:
    lines = _lines(answer)
    return b"".join(lines[1:] if len(lines) > 1 else lines)


def _all_dropped(answer: bytes) -> bytes:
    return _lines(answer)[-1]


def _doubled(answer: bytes) -> bytes:
    *lines, tagged = _lines(answer)
    return b"".join([*lines, *lines, tagged])


LEGAL: dict[str, Change] = {
    "as it is": lambda answer: answer,
    "lower case": lambda answer: re.sub(rb"(?m)^(\* (?:\d+ )?)(FETCH|SEARCH|OK)", lambda got: got[0].lower(), answer),
    "in another order": _shuffled,
    "doubled": _doubled,
    "two lines of numbers": lambda answer: re.sub(rb"(\* SEARCH)((?: \d+)+) (\d+)\r\n", rb"\1\2\r\n\1 \3\r\n", answer),
    "a tail": lambda answer: re.sub(rb"(\* SEARCH[ \d]*)\r\n", rb"\1 (MODSEQ 9)\r\n", answer),
    "literal8": lambda answer: re.sub(rb" \{(\d+)\}\r\n", rb" ~{\1}\r\n", answer),
    "flags behind": lambda answer: re.sub(END, b" FLAGS ())\r\n", answer),
    "items outside": lambda answer: re.sub(END, b") X-A 5\r\n", answer),
    "noise": lambda answer: b"* 1 FETCH (FLAGS ())\r\n* OK [ALERT] hello {5}\r\n* CAPABILITY IMAP4rev1\r\n" + answer,
    "no origin": lambda answer: answer.replace(b"]<0>", b"]"),
    "range": lambda answer: re.sub(
        rb"\* SEARCH((?: \d+)+)",
        lambda got: b'* ESEARCH (TAG "x") UID ALL ' + b",".join(got[1].split()),
        answer,
    ),
}
WRONG: dict[str, Change] = {
    "first dropped": _first_dropped,
    "all dropped": _all_dropped,
    "emptied": lambda answer: _each_literal(answer, lambda _: b""),
    "cut short": lambda answer: _each_literal(answer, lambda value: value[: len(value) // 3]),
    "NIL": lambda answer: re.sub(rb"\{\d+\}\r\n", b"{0}\r\n", _each_literal(answer, lambda _: b"")).replace(
        b"{0}\r\n", b"NIL"
    ),
    "another name": lambda answer: re.sub(rb"BODY\[[^\]]*\]", b"BODY[9]", answer),
    "another UID": lambda answer: re.sub(rb"UID (\d+)", lambda got: b"UID %d" % (int(got[1]) + 500), answer),
    "no numbers": lambda answer: re.sub(rb"\* SEARCH[ \d]*", b"* SEARCH", answer),
    "other numbers": lambda answer: re.sub(rb"\* SEARCH[ \d]*", b"* SEARCH 900 901 902", answer),
    "half of the numbers": lambda answer: re.sub(rb"(\* SEARCH \d+)[ \d]*", rb"\1", answer),
    "words": lambda answer: answer.replace(b"* SEARCH", b"* SEARCH ALL OF").replace(b" FETCH (", b" FETCH ((("),
    "refused": lambda answer: re.sub(
        rb"\A.*?([A-P]{4}\d+) OK [^\r]*\r\n\Z", rb"\1 BAD no\r\n", answer, flags=re.DOTALL
    ),
    "too small a literal": lambda answer: re.sub(rb"\{(\d)\d*\}", rb"{\1}", answer),
}


@dataclass
class Plan:
    """Which answers are changed: to this command, by this change, the first `times` (0: all) after `after`."""

    command: str
    change: str
    after: int
    times: int


def plans(changes: dict[str, Change], times: st.SearchStrategy[int]) -> st.SearchStrategy[Plan]:
    """Of one kind."""
    return st.builds(Plan, st.sampled_from(COMMANDS), st.sampled_from(sorted(changes)), st.integers(0, 4), times)


def script(plan: Plan, changes: dict[str, Change], server: ScriptedImap) -> None:
    """Answer by the plan."""
    count = [0]

    def changed(session: Session, tag: str, arguments: str) -> bool:
        count[0] += 1
        if count[0] <= plan.after or (plan.times and count[0] > plan.after + plan.times):
            return False
        answer = session.ordinary(tag, arguments)
        session.write(changes[plan.change](answer))
        return True

    server.script(plan.command, changed, always=True)


def deliver(server: ScriptedImap, first: int, count: int) -> None:
    """So many requests, and a mail of somebody else's beside each."""
    for number in range(first, first + count):
        server.deliver(mails.by_notification(mails.order_id(number)), announce=False)
        server.deliver(OTHER, announce=False)


def watch(server: ScriptedImap, folder: Path, clock: MovedClock, lasting: Lasting, seconds: float) -> None:
    """Search once a minute, and connect again after a lost connection."""
    until = clock.passed + seconds
    while clock.passed < until:
        with contextlib.suppress(Unreachable), searching(configured(folder), server, clock, lasting) as found:
            while clock.passed < until:
                found.go()
                clock.passed += 61
        clock.passed += 20


def is_well(folder: Path, clock: MovedClock) -> bool:
    """Whether there was a good search in the last three minutes."""
    last = good_search(folder)
    return last is not None and clock.now().timestamp() - last < 185


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(plans(LEGAL, st.just(0)))
def test_an_answer_that_is_legal_in_whatever_form_is_read_by_the_first_search(plan: Plan) -> None:
    with tempfile.TemporaryDirectory() as place, ScriptedImap() as server:
        folder, clock = Path(place), MovedClock()
        deliver(server, 0, 3)
        script(plan, LEGAL, server)
        with searching(configured(folder), server, clock) as found:
            found.go()
            assert kinds(folder).count("request") == 3
            deliver(server, 3, 1)
            clock.passed += 61
            found.go()
            assert kinds(folder).count("request") == 4
        assert is_well(folder, clock)
        assert "unreadable" not in kinds(folder)
        assert not server.violations


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(plans(WRONG, st.sampled_from([0, 1, 2, 5])))
def test_after_a_wrong_answer_all_is_told_or_the_folder_is_not_well(plan: Plan) -> None:
    """And once the server answers rightly all is told and well. Planted faults: an empty headline counts as somebody
    else's: red; a list is believed whatever EXISTS says: red; half a text is taken for the text: red."""
    with tempfile.TemporaryDirectory() as place, ScriptedImap() as server:
        folder, clock, lasting = Path(place), MovedClock(), Lasting()
        deliver(server, 0, 2)
        script(plan, WRONG, server)
        watch(server, folder, clock, lasting, QUARTER / 2)
        deliver(server, 2, 1)
        watch(server, folder, clock, lasting, QUARTER)
        known = kinds(folder)
        told = known.count("request") + known.count("unreadable") + known.count("possible")
        assert told >= 3 or not is_well(folder, clock)
        server.unscript()
        deliver(server, 3, 1)
        watch(server, folder, clock, lasting, QUARTER)
        known = kinds(folder)
        assert known.count("request") + known.count("unreadable") + known.count("possible") >= 4
        assert is_well(folder, clock)
        assert not server.violations
