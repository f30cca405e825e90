"""When Amazon goes quiet: a silence that is unusual for an account is a sentence of the morning line, and no more."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mails
import pytest
from beds.scripted import ScriptedImap
from beds.wire import wait_until
from hypothesis import given
from hypothesis import strategies as st
from test_watch import Told, all_watching, rows, watching
from test_watch import configured as watched
from virtual import BEGAN, NOON, WELL, Phones, Run, VirtualClock, channel, configured

from mailwatch import health, texts
from mailwatch.alert import MorningLine
from mailwatch.catalogue import LANGUAGES, Language
from mailwatch.errors import Fault
from mailwatch.services import Form
from mailwatch.store import Store

DAY = timedelta(days=1)
START = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)  # a Monday
WORDS = "no mail from Amazon"


def days(numbers: Iterable[int]) -> list[tuple[datetime, datetime]]:
    """Mails on these days after the start, from 10:00 to 19:00 in Japan."""
    return [(START + number * DAY, START + number * DAY + timedelta(hours=9)) for number in numbers]


DAILY = days(range(30))
WORKDAYS = days(number for number in range(40) if number % 7 < 5)


@pytest.mark.parametrize(
    ("seen", "silent", "expected"),
    [
        (DAILY, 2.9, False),
        (DAILY, 3.0, True),
        (DAILY, 30.0, True),
        (WORKDAYS, 3.0, False),  # a weekend and a holiday
        (WORKDAYS, 7.8, False),  # the longest gap are 63 hours
        (WORKDAYS, 7.9, True),
        (days(range(0, 60, 2)), 40.0, False),  # every other day are not most days
        (days([*range(20), *range(25, 40)]), 15.0, False),  # a gap of 5 days: 15 and some hours
        (days([*range(20), *range(25, 40)]), 17.0, True),
        (days([0, *range(40, 80)]), 3.0, True),  # a gap that is long past
        (days(range(10)), 30.0, False),  # not known for long enough
        (days(range(14)), 3.0, True),
        (days([5]), 30.0, False),
        ([], 30.0, False),
    ],
)
def test_silence_is_unusual_by_what_the_account_is_used_to(
    seen: list[tuple[datetime, datetime]], silent: float, expected: bool
) -> None:
    """Planted faults: three days for all; the gap of all times; every account: red each."""
    last = seen[-1][1] if seen else START
    found = health.quiet_since(seen, last + timedelta(days=silent))
    assert found == (last if expected else None)


@given(st.sets(st.integers(0, 89)), st.floats(0, 100))
def test_it_is_never_said_within_three_days_and_never_unsaid_while_the_silence_lasts(
    numbers: set[int], silent: float
) -> None:
    seen = days(sorted(numbers))
    last = seen[-1][1] if seen else START
    found = health.quiet_since(seen, last + timedelta(days=silent))
    if found is not None:
        assert silent >= 3
        assert health.quiet_since(seen, last + timedelta(days=silent + 1)) == last


# ---- in a run ----


def lines(phones: Phones) -> list[texts.Text]:
    """The morning lines that were told."""
    return [came.text for came in phones.accepted("slack") if "mails seen" in came.text.body]


def test_the_morning_line_says_so_once_a_day_and_nothing_else_does(tmp_path: Path) -> None:
    """No push and no fault; over a restart too, and it ends with the next mail. Planted faults: `note_amazons` is not
    called with the mail's arrival; the sentence goes into `troubles` ("not well"): red each."""
    clock = VirtualClock(NOON)
    phones = Phones(clock)
    run = Run(configured(tmp_path, channel("slack"), watch="morning_line = '08:00'"), phones, clock)
    for number in range(20, -1, -1):
        with run.store._database.transaction():
            run.store.reports.note_amazons("shop", NOON - number * DAY)
    run.go_on(days=5, pace=600)
    run.close()
    run = Run(run.config, phones, clock)
    with run.store._database.transaction():
        run.store.reports.note_amazons("shop", clock.now())
    run.go_on(days=1, pace=600)
    said = [WORDS in line.body for line in lines(phones)]
    assert said == [False, False, False, True, True, False]
    assert {line.title for line in lines(phones)} == {WELL}
    assert BEGAN not in phones.titles("slack")
    assert len(phones.accepted("slack")) == 6
    assert "for 3 days" in lines(phones)[3].body


def test_an_account_that_cannot_be_searched_is_not_called_quiet(tmp_path: Path) -> None:
    """Nobody knows what came. Seen red without the look at stale folders."""
    clock = VirtualClock(NOON)
    phones = Phones(clock)
    made = configured(tmp_path, channel("slack"), watch="morning_line = '08:00'")
    run = Run(made, phones, clock)
    for number in range(20, -1, -1):
        with run.store._database.transaction():
            run.store.reports.note_amazons("shop", NOON - number * DAY)
    run.is_searching = False
    run.go_on(days=5, pace=600)
    assert len(lines(phones)) == 5
    assert not any(WORDS in line.body for line in lines(phones))


def test_a_day_is_forgotten_when_it_tells_nothing_more(tmp_path: Path) -> None:
    with closing(Store.open(tmp_path)) as store:
        for number in (0, 89, 91):
            with store._database.transaction():
                store.reports.note_amazons("shop", START - number * DAY)
        with store._database.transaction():
            store.reports.forget_amazons(START)
        assert len(store._database.all("SELECT * FROM amazon_day")) == 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_short_line_says_it_too(language: Language) -> None:
    quiet = (Fault("morning.quiet", {"account": "shop", "days": "4"}),)
    line = MorningLine(START, 10, 1, 0, 0, 0, quiet=quiet)
    short = texts.word(line, Form.SMS, language, UTC).whole
    assert "4" in short.split("\n")[1]
    assert "shop" in short
    assert "Amazon" in short


# ---- which mails count ----


@pytest.mark.server
def test_only_mail_of_amazons_counts_by_its_arrival(tmp_path: Path) -> None:
    """Of any kind; what is forged, or somebody else's, does not. Planted fault: each candidate that is not forged
    counts: red."""
    with ScriptedImap() as server:
        now = datetime.now(UTC)
        for days_ago, mail in (
            (5, mails.by_notification(mails.order_id(1))),
            (4, mails.mail("Amazon <no-reply@amazon.co.jp>", "出品の概要", "今週の概要です")),
            (3, mails.mail("Amazon <no-reply@amazon.co.jp.example>", "キャンセル", mails.order_id(2))),
            (2, mails.mail("postmaster <postmaster@example.jp>", "Fwd: seller-notification@amazon.co.jp", "x")),
        ):
            server.deliver(mail, when=now - days_ago * DAY)
        made, told = watched(tmp_path), Told()
        with watching(made, server, told) as running:
            all_watching(running)
            wait_until(lambda: rows(tmp_path, "SELECT count(*) FROM mail") == [(4,)])
        found = rows(tmp_path, "SELECT account, last FROM amazon_day ORDER BY day")
        arrivals = [(now - days_ago * DAY).timestamp() for days_ago in (5, 4)]
        assert [account for account, _ in found] == ["shop", "shop"]
        assert [last for _, last in found] == pytest.approx(arrivals, abs=2)
