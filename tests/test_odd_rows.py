"""Rows that a failing disk has changed, or that a later mailwatch has written: told as such, and nothing stops."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import mails
import pytest
from virtual import BEGAN, NOON, Phones, Run, VirtualClock, channel, configured, reading

from mailwatch import database, status
from mailwatch.catalogue import say
from mailwatch.config import audience
from mailwatch.database import FILE_NAME, Database, RunLock
from mailwatch.episode import Episode
from mailwatch.errors import Fault
from mailwatch.notice import Kind
from mailwatch.report import Gather
from mailwatch.services import Cause, Outcome, Result
from mailwatch.trust import Trust

ONE, TWO, THREE = (mails.order_id(number) for number in (1, 2, 3))
pytestmark = pytest.mark.long

UNREADABLE = say("fault.unreadable_row", "en")
ODD_JSON = ['{"kex": 1}', "[]", "5", "null", "{", '"x"', "", '{"key": "fault.login", "fields": {}}']


@pytest.fixture
def phones() -> Phones:
    """The other end of the channels."""
    return Phones(VirtualClock())


def begin(tmp_path: Path, phones: Phones, *sections: str, watch: str = "morning_line = ''") -> Run:
    """A `run` with these channels."""
    made = configured(tmp_path, *(sections or (channel("slack"),)), watch=watch)
    return Run(made, phones, phones.clock)  # type: ignore[arg-type]  # a VirtualClock


def again(run: Run, phones: Phones) -> Run:
    """The `run` after a restart."""
    run.close()
    return Run(run.config, phones, run.clock)


def change(run: Run, query: str, *values: object) -> None:
    """Change a row behind the store's back."""
    with run.store._database.transaction():
        assert run.store._database.change(query, *values).rowcount


def bodies(phones: Phones, name: str) -> list[str]:
    """What was told there."""
    return [each.text.body for each in phones.accepted(name)]


# ---- episodes ----


@pytest.mark.parametrize("odd", [*ODD_JSON, '{"key": "fault.of_a_later_version", "fields": {}}'])
def test_an_episode_that_cannot_be_read_is_forgotten_and_begins_anew(
    tmp_path: Path, phones: Phones, odd: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`prepare` raised, so that `run` never started. Seen red with `fault_in` as it was, and with only what can be read
    forgotten."""
    run = begin(tmp_path, phones)
    login = Fault("fault.login", {"account": "shop", "why": "no"})
    told_to = audience(run.config.channels)
    assert run.store.episodes.begin("login/shop", login, told_to, NOON)
    run.go_on(minutes=1)
    change(run, "UPDATE fault SET fault = ?", odd)
    run.go_on(minutes=1)
    assert run.store.episodes.open() == ()
    run = again(run, phones)
    assert "fault_over fault=login/shop" in capsys.readouterr().err
    assert run.store.episodes.begin("login/shop", login, told_to, run.clock.now())
    run.go_on(minutes=1)
    assert phones.titles("slack") == [BEGAN, BEGAN]


def test_an_episode_that_cannot_be_read_hides_no_other(tmp_path: Path, phones: Phones) -> None:
    """Seen red with `fault_in` as it was."""
    run = begin(tmp_path, phones, watch="morning_line = '08:00'")
    login = Fault("fault.login", {"account": "shop", "why": "no"})
    run.store.episodes.begin("login/shop", login, audience(run.config.channels), NOON)
    with run.store._database.transaction():
        run.store._database.change("INSERT INTO fault VALUES ('stale/shop/INBOX', '{}', 'x', 1.0)")
    assert run.store.episodes.open() == (Episode("login/shop", login, NOON, NOON),)
    RunLock(run.config.watch.state_dir).release()
    assert login in status.look(run.config, NOON)[1]
    run.go_on(days=1, pace=60)
    assert "logged in" in "".join(bodies(phones, "slack")[1:])
    assert run.store.episodes.end("stale/shop/INBOX", audience(run.config.channels), run.clock.now()) is False


# ---- what is owed ----


ODD_NEWS = [
    '{"kind": "fault", "fault": {"key": "fault.of_a_later_version", "fields": {}}, "stage": "began", "at": 1.0}',
    '{"kind": "fault", "fault": {"key": "fault.fresh", "fields": {"account": "a", "folder": "f"}}, "stage": "over",'
    ' "at": 1.0}',
    '{"kind": "digest", "reason": "of a later version", "named": [], "count": 1, "at": 1.0}',
]


@pytest.mark.parametrize(
    ("odd", "limit"), [*((odd, limit) for odd in ODD_JSON for limit in (0, 4)), *((odd, 0) for odd in ODD_NEWS)]
)
def test_an_alert_that_cannot_be_read_is_told_as_that_and_holds_no_other(
    tmp_path: Path, phones: Phones, odd: str, limit: int
) -> None:
    """It raised at each try. In a wait, and where the rest of a month is kept (`limit`), SQLite itself failed over JSON
    that is none. Seen red with `texts.word` called as it is, with `fault_in` as it was, and without `json_valid`."""
    run = begin(tmp_path, phones, channel("slack", monthly_limit=limit))
    run.record(ONE)
    run.go_on(minutes=1)
    run.record(TWO)
    run.record(THREE)
    change(run, "UPDATE outbox SET alert = ? WHERE settled_at IS NULL AND alert ->> 'order_id' = ?", odd, TWO)
    phones.plans["slack"] = Outcome(Result.PASSING, cause=Cause.BUSY)
    run.go_on(minutes=2)
    phones.plans.clear()
    run.clock.jump(timedelta(days=2))  # `forget_private` looks at it too
    run.go_on(minutes=20)
    assert phones.orders("slack") == [ONE, THREE]
    assert [body for body in bodies(phones, "slack") if UNREADABLE in body]


def test_an_alert_that_cannot_be_read_goes_to_a_stand_in_too(tmp_path: Path, phones: Phones) -> None:
    """The oversight raised at each look: no stand-in, no morning line. Seen red with the kind read as it was."""
    phones.plans["slack"] = Outcome(Result.PERMANENT, cause=Cause.CREDENTIALS)
    run = begin(tmp_path, phones, channel("slack"), channel("line", fallback_for=["slack"]))
    run.record(ONE)
    run.record(TWO)
    change(run, "UPDATE outbox SET alert = '{' WHERE alert ->> 'order_id' = ?", ONE)
    run.go_on(minutes=5)
    assert phones.orders("line") == [TWO]
    assert any(UNREADABLE in body for body in bodies(phones, "line"))


def test_text_that_is_none_is_told_as_well_as_it_can_be_and_is_in_no_log(
    tmp_path: Path, phones: Phones, capfd: pytest.CaptureFixture[str]
) -> None:
    """sqlite3 quotes such a row in its error. Seen red with the texts decoded as sqlite3 does."""
    run = begin(tmp_path, phones)
    run.record(ONE)
    run.record(TWO)
    query = "UPDATE outbox SET alert = CAST(replace(CAST(alert AS BLOB), CAST('\"JP\"' AS BLOB), x'22FF22') AS TEXT)"
    change(run, query + " WHERE number = 1")
    change(run, "UPDATE outbox SET alert = CAST(x'FF4341' AS TEXT) WHERE number = 2")
    run.go_on(minutes=1)
    assert phones.orders("slack") == [ONE]
    assert UNREADABLE in bodies(phones, "slack")[1]
    assert capfd.readouterr().err.count("failed") == 0


def test_no_word_of_a_row_is_in_what_is_said_of_a_damaged_store(tmp_path: Path) -> None:
    """`prepare` still finds text that is none, and begins the store anew. Seen red with sqlite3's words passed on."""
    with closing(Database.open(tmp_path)) as made, made.transaction():
        made.change("INSERT INTO channel (name, why) VALUES ('slack', CAST(x'43414E415259FF' AS TEXT))")
    assert database.set_aside_damaged(tmp_path, NOON) == "not UTF-8"
    assert not (tmp_path / FILE_NAME).exists()


# ---- what is known of requests ----


@pytest.mark.parametrize("odd", [*ODD_JSON, '[{"of": "a later version"}]', "[1]"])
def test_odd_items_and_sightings_stop_no_alert_and_no_list(tmp_path: Path, phones: Phones, odd: str) -> None:
    """Seen red with `items_in` and `_sighting` as they were."""
    run = begin(tmp_path, phones)
    run.record(ONE)
    change(run, "UPDATE request SET items = ?", odd)
    change(run, "UPDATE sighting SET items = ?", odd)
    assert [each.items for each in run.store.requests()] == [()]
    run.record(ONE, Kind.WISH)
    change(run, "UPDATE sighting SET kind = 'of a later version'")
    run.record(ONE)
    run.go_on(minutes=1)
    assert set(phones.orders("slack")) == {ONE}


def test_a_request_whose_sightings_are_odd_can_be_handled(tmp_path: Path, phones: Phones) -> None:
    """Seen red without a time for it."""
    run = begin(tmp_path, phones)
    run.record(ONE)
    change(run, "UPDATE sighting SET kind = 'of a later version'")
    handled = reading(ONE, Kind.REQUEST, Trust.VERIFIED, NOON)
    run.store.record_handled(handled, run.config.rules)
    assert run.store.requests()[0].sightings == ()


# ---- what is gathered and counted ----


@pytest.mark.parametrize("odd", ODD_JSON)
def test_a_held_alert_that_cannot_be_read_is_told_as_that_beside_the_digest(
    tmp_path: Path, phones: Phones, odd: str
) -> None:
    """The oversight raised at each look, and the digest never came. Seen red with the alerts read as they were."""
    run = begin(tmp_path, phones)
    gather = Gather("first_start", "shop", "INBOX")
    for order in (ONE, TWO, THREE):
        found = {"kind": "request", "order_id": order, "received": 1, "trust": "verified"}
        with run.store._database.transaction():
            run.store.reports.gather(gather, None, found, run.clock.now())
    change(run, "UPDATE held SET alert = ? WHERE alert ->> 'order_id' = ?", odd, TWO)
    assert run.store.reports.tell_gathered("shop", "INBOX", audience(run.config.channels), run.clock.now())
    run.go_on(minutes=1)
    digest, other = bodies(phones, "slack")
    assert ONE in digest
    assert THREE in digest
    assert TWO not in digest
    assert UNREADABLE in other


@pytest.mark.parametrize("odd", [*ODD_JSON, '{"mails": null}'])
def test_odd_totals_stop_no_morning_line(tmp_path: Path, phones: Phones, odd: str) -> None:
    """Seen red with the totals read as they were."""
    run = begin(tmp_path, phones, watch="morning_line = '08:00'")
    run.go_on(minutes=1)
    change(run, "UPDATE report SET totals = ? WHERE name = 'morning'", odd)
    run.go_on(days=1, pace=60)
    assert len(phones.titles("slack")) == 1


def test_an_unverified_alert_of_an_odd_kind_is_counted(tmp_path: Path, phones: Phones) -> None:
    """Seen red with its kind read as it was."""
    run = begin(tmp_path, phones)
    for number in range(25):
        run.record(mails.order_id(number), Kind.WISH, Trust.UNVERIFIED)
    change(run, "UPDATE unverified SET kind = 'of a later version' WHERE order_id = ?", mails.order_id(22))
    run.go_on(minutes=15)
    [digest] = [each.text.whole for each in phones.accepted("slack") if not each.order]
    assert "5" in digest
    assert mails.order_id(21) in digest
    assert mails.order_id(22) not in digest


def test_a_cause_of_a_later_version_stops_no_channel(tmp_path: Path, phones: Phones) -> None:
    """Seen red with the cause read as it was."""
    phones.plans["slack"] = Outcome(Result.PASSING, cause=Cause.BUSY)
    run = begin(tmp_path, phones)
    run.record(ONE)
    run.go_on(seconds=1)
    change(run, "UPDATE channel SET cause = 'of a later version'")
    phones.plans.clear()
    run = again(run, phones)
    run.go_on(minutes=5)
    assert phones.orders("slack") == [ONE]
