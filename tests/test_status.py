"""What tells that all is well, or that it is not: the heartbeat, `status`, and `check --send`."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import mails
import pytest
from beds.recorder import Recorder
from beds.scripted import ScriptedImap
from beds.wire import wait_until
from click.testing import CliRunner, Result
from virtual import ACCEPTED, NOON, Phones, Run, VirtualClock, channel, configured, status

from mailwatch import check, cli, database, transport
from mailwatch.catalogue import LANGUAGES, Language, say
from mailwatch.config import Account, Config
from mailwatch.database import FILE_NAME, LOCK_NAME, RunLock
from mailwatch.mailbox import Server
from mailwatch.secret import Secret
from mailwatch.services import Outcome
from mailwatch.texts import Text
from mailwatch.watch import Watch
from mailwatch.watch import channel as channel_module
from mailwatch.watch.heartbeat import HeartbeatWorker

# apprise imports `imghdr` on 3.11 and 3.12, which warns.
pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

ONE, TWO = (mails.order_id(number) for number in (1, 2))
SECRET = "0f3c-secret-uuid"
HOUR = timedelta(hours=1)
FIVE = timedelta(minutes=5)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Whatever is called over HTTP."""
    with Recorder() as running:
        yield running


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    """What the store holds."""
    with closing(sqlite3.connect(folder / "state" / FILE_NAME, timeout=10)) as store:
        return store.execute(query).fetchall()


# ---- the heartbeat ----


class Beating:
    """A run whose heartbeat leads, against a real HTTP server; `calls` is what was called, when."""

    def __init__(self, folder: Path, recorder: Recorder, url: str = f"/ping/{SECRET}", every: str = "5m") -> None:
        section = f"[heartbeat]\nurl = '{recorder.http_url(url)}'\nevery = '{every}'\n"
        self.clock = VirtualClock()
        self.phones = Phones(self.clock)
        self.config = configured(folder, channel("slack"), section)
        self.run = Run(self.config, self.phones, self.clock)
        self.run.go_on(seconds=1)
        self.calls: list[tuple[datetime, str, Outcome]] = []

    def until(self, moment: datetime) -> None:
        """Beat until then."""
        assert self.config.heartbeat
        self.run.signals.stop.clear()
        self.run.at(moment, self.run.signals.stop.set)
        HeartbeatWorker(self.config, self.config.heartbeat, self._ping, self.run.signals, self.clock).run()

    def successes(self, since: datetime = NOON) -> list[datetime]:
        """When success was said."""
        return [at for at, path, _ in self.calls if not path.endswith("/fail") and at >= since]

    def failures(self) -> list[datetime]:
        """When failure was said."""
        return [at for at, path, _ in self.calls if path.endswith("/fail")]

    def _ping(self, url: Secret) -> Outcome:
        outcome = transport.ping(url)
        self.calls.append((self.clock.now(), urlsplit(url.reveal()).path, outcome))
        return outcome


def test_while_all_is_well_the_url_is_called_as_often_as_configured(tmp_path: Path, recorder: Recorder) -> None:
    """Planted fault: the query is lost: red."""
    beating = Beating(tmp_path, recorder, f"/ping/{SECRET}?create=1&tag=a%20b")
    beating.until(NOON + HOUR)
    assert len(beating.successes()) in {12, 13}
    assert {(each.method, each.path) for each in recorder.requests()} == {("GET", f"/ping/{SECRET}?create=1&tag=a%20b")}
    assert len(recorder.requests()) == len(beating.calls)


def stale(beating: Beating, _: Path) -> None:
    """The folder is searched no more."""
    beating.run.is_searching = False


def overdue(beating: Beating, _: Path) -> None:
    """An alert is accepted by nobody."""
    beating.phones.plans["slack"] = status(500)
    beating.run.record(ONE)


def refused(beating: Beating, _: Path) -> None:
    """An alert is refused for good."""
    beating.phones.plans["slack"] = status(401)
    beating.run.record(ONE)


def mend(beating: Beating) -> None:
    """All is well again."""
    beating.run.is_searching = True
    beating.phones.plans.clear()


@pytest.mark.parametrize("every", ["5m", "1m"])
@pytest.mark.parametrize("breaks", [stale, overdue, refused], ids=lambda each: each.__name__)
def test_the_heartbeat_is_silent_within_five_minutes_and_says_once_that_it_fails(
    tmp_path: Path, recorder: Recorder, breaks: Callable[[Beating, Path], None], every: str
) -> None:
    """Planted faults: `troubles` looks at folders only, at channels only; /fail at each beat: red each."""
    beating = Beating(tmp_path, recorder, f"/ping/{SECRET}?create=1", every)
    broken, mended = NOON + HOUR, NOON + 2 * HOUR
    beating.run.at(broken, lambda: breaks(beating, tmp_path))
    beating.run.at(mended, lambda: mend(beating))
    beating.until(NOON + 4 * HOUR)
    silent = [at for at in beating.successes() if broken + FIVE < at < mended]
    assert silent == []
    assert len(beating.failures()) == 1
    assert broken < beating.failures()[0] <= broken + timedelta(minutes=9)
    [failure] = [each.path for each in recorder.requests() if "fail" in each.path]
    assert failure == f"/ping/{SECRET}/fail?create=1"
    # A refused channel is tried again within the hour, the others at once.
    assert beating.successes(mended)[0] - mended <= (HOUR if breaks is refused else timedelta(minutes=17))


def test_a_store_that_cannot_be_written_is_silent_at_once(
    tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program holds it; that it can be read is not enough. Planted fault: `check_writable` left out: red."""
    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.0)
    beating = Beating(tmp_path, recorder, every="30s")
    other = sqlite3.connect(beating.config.watch.state_dir / FILE_NAME, isolation_level=None)
    steps = dict(beating.run._steps)

    def hold() -> None:
        other.execute("BEGIN IMMEDIATE")
        # The others would wait as well, each in its thread.
        beating.run._steps["oversight"] = beating.run._steps["search"] = lambda: 10.0

    def release() -> None:
        other.execute("ROLLBACK")
        beating.run._steps |= steps

    with closing(other):
        beating.run.at(NOON + timedelta(seconds=595), hold)
        beating.run.at(NOON + timedelta(seconds=695), release)
        beating.until(NOON + timedelta(minutes=20))
    held = (NOON + timedelta(seconds=595), NOON + timedelta(seconds=695))
    assert not [at for at in beating.successes() if held[0] < at < held[1]]
    assert len(beating.failures()) == 1
    assert beating.successes(held[1])[0] - held[1] <= timedelta(minutes=1)


@pytest.mark.parametrize("is_first", [True, False], ids=["first start", "after an hour"])
def test_a_start_is_no_failure(tmp_path: Path, recorder: Recorder, is_first: bool) -> None:
    """Each restart would wake the one whom the outside service tells. The folders get two minutes, as elsewhere."""
    beating = Beating(tmp_path, recorder)
    if is_first:
        beating.run.store._database.one("UPDATE folder SET last_good_search = NULL")
    beating.clock.move(0.0 if is_first else HOUR.total_seconds())
    beating.run.is_searching = False
    start = beating.clock.now()
    beating.run.at(start + timedelta(seconds=5), lambda: mend(beating))
    beating.until(start + timedelta(minutes=30))
    assert beating.failures() == []
    assert beating.successes()[0] - start <= FIVE


def test_a_failure_before_the_first_success_is_said_once_as_well(tmp_path: Path, recorder: Recorder) -> None:
    beating = Beating(tmp_path, recorder)
    beating.run.is_searching = False
    beating.run.go_on(minutes=30, pace=60)
    beating.until(NOON + 3 * HOUR)
    assert beating.successes() == []
    assert len(beating.failures()) == 1


def test_a_heartbeat_that_cannot_be_said_is_tried_each_minute_and_no_log_line_has_its_url(
    tmp_path: Path, recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Planted faults: the URL is logged; a heartbeat that failed waits as one that went well: red each."""
    beating = Beating(tmp_path, recorder, f"/ping/{SECRET}?key={SECRET}")
    recorder.plan("/ping", 503, "reset", 404, 200)
    beating.run.at(NOON + timedelta(minutes=30), recorder.stop)
    beating.run.at(NOON + timedelta(minutes=40), recorder.start)
    beating.until(NOON + HOUR)
    assert beating.failures() == []
    first, *_ = [at for at, _, outcome in beating.calls if outcome.result == ACCEPTED.result]
    assert first - NOON <= timedelta(minutes=4)
    assert sum(NOON + timedelta(minutes=30) <= at < NOON + timedelta(minutes=40) for at, _, _ in beating.calls) >= 5
    assert beating.calls[-1][2].result == ACCEPTED.result
    logged = "".join(capsys.readouterr())
    assert logged.count("heartbeat_failed") >= 8
    assert SECRET not in logged
    assert "127.0.0.1" not in logged


# ---- status ----


def invoke(folder: Path, *arguments: str) -> Result:
    """The command on the configuration there."""
    return CliRunner().invoke(cli._mailwatch, ["--config", str(folder / "config.toml"), *arguments])


def of_now(folder: Path, *sections: str, language: Language = "en") -> tuple[Run, Phones]:
    """A run that began ten minutes before the real time, so that it ends now."""
    clock = VirtualClock(datetime.now(UTC) - timedelta(minutes=10))
    phones = Phones(clock)
    return Run(configured(folder, *sections, language=language), phones, clock), phones


def test_status_of_a_run_that_is_well_is_zero_and_changes_nothing(tmp_path: Path) -> None:
    """Planted fault: `status` writes: red."""
    run, _ = of_now(tmp_path, channel("slack"), channel("other"))
    run.record(ONE)
    run.go_on(minutes=10)
    run.close()
    before = (tmp_path / "state" / FILE_NAME).read_bytes()
    lock = RunLock(run.config.watch.state_dir)
    shown, as_json = invoke(tmp_path, "status"), invoke(tmp_path, "status", "--json")
    lock.release()
    assert (shown.exit_code, as_json.exit_code) == (0, 0)
    assert shown.stdout.splitlines()[0] == "All is well."
    found = json.loads(as_json.stdout)
    assert list(found) == ["well", "why", "folders", "channels", "open_requests"]
    assert (found["well"], found["why"], found["open_requests"]) == (True, [], 1)
    [folder] = found["folders"]
    assert {**folder, "last_good_search": "…"} == {
        "account": "shop", "folder": "INBOX", "mode": "idle", "last_good_search": "…", "mails_seen": 1,
    }  # fmt: skip
    assert [{**each, "last_success": "…"} for each in found["channels"]] == [
        {"name": name, "last_success": "…", "owed": 0, "oldest_owed": None} for name in ("slack", "other")
    ]
    assert (tmp_path / "state" / FILE_NAME).read_bytes() == before


@pytest.mark.parametrize("language", LANGUAGES)
def test_status_is_one_where_no_run_is_at_work_or_a_channel_is_dead_or_a_folder_stale(
    tmp_path: Path, language: Language
) -> None:
    """Planted fault: only the episodes count: red."""
    run, phones = of_now(tmp_path, channel("slack"), channel("other"), language=language)
    phones.plans["other"] = status(401)
    run.record(ONE)
    run.go_on(minutes=2)
    run.is_searching = False
    run.go_on(minutes=8)
    run.close()
    RunLock(run.config.watch.state_dir).release()
    shown = invoke(tmp_path, "status")
    assert shown.exit_code == 1
    lines = shown.stdout.splitlines()
    assert lines[0] == say("status.not_well", language)
    assert "! " + say("fault.not_running", language) in lines
    assert "! " + say("fault.fresh", language, account="shop", folder="INBOX") in lines
    why = say("channel.credentials", language)
    assert "! " + say("fault.channel", language, channel="other", why=why) in lines
    assert any(line.startswith("! ") and "other" in line and "1" in line for line in lines)
    found = json.loads(invoke(tmp_path, "status", "--json").stdout)
    assert found["well"] is False
    assert found["channels"][1]["owed"] == 1
    assert found["channels"][1]["oldest_owed"]


def test_status_of_a_store_that_was_put_back_without_its_lock_says_that_no_run_is_at_work(tmp_path: Path) -> None:
    """A backup holds the store alone; `run` has not started yet."""
    run, _ = of_now(tmp_path, channel("slack"))
    run.go_on(minutes=10)
    run.close()
    (tmp_path / "state" / LOCK_NAME).unlink(missing_ok=True)
    assert invoke(tmp_path, "status").exit_code == 1


# ---- check --send ----


@pytest.fixture
def server() -> Iterator[ScriptedImap]:
    """The account's mail server."""
    with ScriptedImap() as running:
        yield running
        assert not running.violations


def with_channels(
    folder: Path, server: ScriptedImap, recorder: Recorder, *names: str, language: Language = "en"
) -> Config:
    """A configuration whose channels post to the recorder, each to a path of its name."""
    sections = [channel(name, recorder.url(f"/{name}")) for name in names]
    return configured(folder, *sections, language=language, imap=(server.host, server.port))


def of_channels(result: Result, *names: str) -> list[str]:
    """The lines about these channels."""
    return [line for line in result.stdout.splitlines() if any(f" {name}:" in line for name in names)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_test_alert_that_is_accepted_is_good_and_nothing_stays_owed(
    tmp_path: Path, server: ScriptedImap, recorder: Recorder, language: Language
) -> None:
    """Planted fault: the row is not settled: red."""
    with_channels(tmp_path, server, recorder, "one", "two", language=language)
    result = invoke(tmp_path, "check", "--send")
    assert result.exit_code == 0, result.output
    assert of_channels(result, "one", "two") == [
        "  " + say("check.sent", language, channel=name) for name in ("one", "two")
    ]
    assert result.stdout.splitlines()[-1].startswith(say("check.all_good_start", language, command=""))
    assert [(each.path, each.json["title"]) for each in recorder.posts()] == [
        (f"/{name}", say("test.first", language)) for name in ("one", "two")
    ]
    assert rows(tmp_path, "SELECT outcome, settled_at IS NULL FROM outbox") == [("accepted", 0), ("accepted", 0)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_test_alert_that_is_refused_is_named_with_its_cause(
    tmp_path: Path, server: ScriptedImap, recorder: Recorder, language: Language
) -> None:
    """Planted fault: the row stays owed, and `run` sends it days later: red."""
    with_channels(tmp_path, server, recorder, "one", "two", language=language)
    recorder.plan("/one", 404)
    result = invoke(tmp_path, "check", "--send")
    assert result.exit_code == 1
    why = say("channel.address", language)
    assert of_channels(result, "one", "two") == [
        "! " + say("check.not_sent", language, channel="one", why=why, detail="HTTP 404"),
        "  " + say("check.sent", language, channel="two"),
    ]
    assert result.stdout.splitlines()[-1] == say("check.some_bad", language, n=1)
    assert len(recorder.posts("/one")) == 1
    assert rows(tmp_path, "SELECT 1 FROM outbox WHERE settled_at IS NULL AND alert ->> 'kind' = 'test'") == []


def test_a_check_without_a_run_leaves_nothing_to_tell_behind(
    tmp_path: Path, server: ScriptedImap, recorder: Recorder
) -> None:
    """Who mends the URL and starts `run` would first read that a channel is dead, and well again."""
    with_channels(tmp_path, server, recorder, "one", "two")
    recorder.plan("/one", 404, 200)
    assert invoke(tmp_path, "check", "--send").exit_code == 1
    assert invoke(tmp_path, "check", "--send").exit_code == 0
    assert rows(tmp_path, "SELECT channel, about FROM outbox WHERE settled_at IS NULL") == []


@pytest.mark.parametrize("answer", ["reset", 500, (200, {}, b"")], ids=["reset", "500", "200"])
def test_a_stand_in_is_tested_as_every_channel_is_and_once(
    tmp_path: Path, server: ScriptedImap, recorder: Recorder, answer: object
) -> None:
    sections = [channel("one", recorder.url("/one")), channel("two", recorder.url("/two"), fallback_for=["one"])]
    configured(tmp_path, *sections, imap=(server.host, server.port))
    recorder.plan("/one", answer)  # type: ignore[arg-type]
    result = invoke(tmp_path, "check", "--send")
    assert result.exit_code == (0 if isinstance(answer, tuple) else 1)
    assert [each.path for each in recorder.posts()] == ["/one", "/two"]
    assert rows(tmp_path, "SELECT 1 FROM outbox WHERE settled_at IS NULL AND alert ->> 'kind' = 'test'") == []


@contextlib.contextmanager
def at_work(made: Config, server: ScriptedImap, phones: Phones) -> Iterator[None]:
    """A `run` at work: it holds the lock, and its channels are `phones`."""

    def server_of(account: Account) -> Server:
        return Server(server.host, server.port, None, server.user, account.password())

    lock = RunLock(made.watch.state_dir)
    watch = Watch(made, server_of, phones.of)
    watch.start()
    try:
        wait_until(lambda: all(folder.is_watching.is_set() for folder in watch.folders), what="the folder is watched")
        yield
    finally:
        assert watch.stop()
        lock.release()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A `run` that looks for rows of others more often, and a check with less patience."""
    monkeypatch.setattr(channel_module, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(check, "_WAIT_SECONDS", 20.0)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("outcome", [ACCEPTED, status(404), status(500)], ids=["accepted", "404", "500"])
def test_with_a_run_at_work_the_run_sends_the_test_alert(
    tmp_path: Path, server: ScriptedImap, recorder: Recorder, outcome: Outcome
) -> None:
    """Two that send at once would tell twice. Planted fault: `check` sends though the lock is held: red."""
    made = with_channels(tmp_path, server, recorder, "one", "two")
    phones = Phones(VirtualClock(datetime.now(UTC)))
    phones.plans["two"] = outcome
    with at_work(made, server, phones):
        result = invoke(tmp_path, "check", "--send")
        assert rows(tmp_path, "SELECT 1 FROM outbox WHERE settled_at IS NULL AND alert ->> 'kind' = 'test'") == []
    assert recorder.posts() == []
    assert result.exit_code == (0 if outcome is ACCEPTED else 1)
    first, second = of_channels(result, "one", "two")
    assert first == "  " + say("check.sent", "en", channel="one")
    assert second.startswith("  " if outcome is ACCEPTED else "! ")
    assert outcome.why in second
    tests = [each.channel for each in phones.came if each.text.title == say("test.first", "en")]
    assert sorted(tests) == ["one", "two"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("is_mended", [True, False])
def test_a_test_alert_does_not_wait_for_a_refused_channel_s_hour(
    tmp_path: Path, server: ScriptedImap, recorder: Recorder, is_mended: bool
) -> None:
    """Somebody looks on, and wants to know whether it works now. Planted fault: it waits as every alert does: red."""
    made = with_channels(tmp_path, server, recorder, "one", "two")
    phones = Phones(VirtualClock(datetime.now(UTC)))
    phones.plans["two"] = status(401)
    server.deliver(mails.by_notification(ONE))
    with at_work(made, server, phones):
        wait_until(lambda: {each.channel for each in list(phones.came)} == {"one", "two"}, what="both are tried")
        if is_mended:
            phones.plans.clear()
        result = invoke(tmp_path, "check", "--send")
    assert result.exit_code == (0 if is_mended else 1)
    why = say("channel.credentials", "en")
    assert of_channels(result, "two") == [
        "  " + say("check.sent", "en", channel="two")
        if is_mended
        else "! " + say("check.not_sent", "en", channel="two", why=why, detail="HTTP 401")
    ]
    # One attempt, and none of what waits for the hour to end.
    assert [each.order for each in phones.attempts("two")][:2] == [ONE, None]
    assert is_mended or len(phones.attempts("two")) == 2


@pytest.mark.usefixtures("quick")
def test_a_run_that_does_not_send_it_in_time_is_named_and_does_not_send_it_later(
    tmp_path: Path, server: ScriptedImap, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The channel is at an alert that hangs. Planted fault: the row is not given up: red."""
    monkeypatch.setattr(check, "_WAIT_SECONDS", 0.3)
    made = with_channels(tmp_path, server, recorder, "one", "two")
    phones = Phones(VirtualClock(datetime.now(UTC)))
    is_hanging, release = threading.Event(), threading.Event()

    def hanging(_: Text) -> Outcome:
        is_hanging.set()
        assert release.wait(20)
        return ACCEPTED

    phones.plans["two"] = hanging
    server.deliver(mails.by_notification(ONE))
    with at_work(made, server, phones):
        assert is_hanging.wait(10)
        result = invoke(tmp_path, "check", "--send")
        release.set()
        server.deliver(mails.by_notification(TWO))
        wait_until(lambda: phones.orders("two") == [ONE, TWO], what="what is owed after it is sent")
    assert result.exit_code == 1
    assert of_channels(result, "two") == ["! " + say("check.not_answered", "en", channel="two", seconds="0.3")]
    assert rows(tmp_path, "SELECT 1 FROM outbox WHERE settled_at IS NULL AND alert ->> 'kind' = 'test'") == []
    assert not [each for each in phones.came if each.channel == "two" and not each.order]


def test_without_send_nothing_is_sent_and_no_store_is_made(
    tmp_path: Path, server: ScriptedImap, recorder: Recorder
) -> None:
    with_channels(tmp_path, server, recorder, "one")
    result = invoke(tmp_path, "check")
    assert result.exit_code == 0
    assert of_channels(result, "one") == ["  " + say("check.channel_good", "en", channel="one")]
    assert recorder.requests() == []
    assert not (tmp_path / "state").exists()
