"""`list`, `show`, `done`, `release`, `reopen`, and the folder for handled mails."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mails
import pytest
from beds.scripted import ScriptedImap, Session
from beds.wire import wait_until
from click.testing import CliRunner, Result
from test_watch import Told, all_watching, configured, rows, watching

from mailwatch import cli, message, notice, requests_command, status, texts
from mailwatch.alert import FaultNews, Stage
from mailwatch.catalogue import Language, say_fault
from mailwatch.clock import Clock
from mailwatch.config import Config, audience
from mailwatch.errors import Fault
from mailwatch.folders import MailIdentity
from mailwatch.request import State
from mailwatch.service import places, unit
from mailwatch.services import Form
from mailwatch.store import Reading, Store
from mailwatch.watch import prepare

pytestmark = pytest.mark.server

ONE, TWO, THREE = (mails.order_id(number) for number in (1, 2, 3))
ROOT = Path(__file__).parents[1]
NOW = datetime.now(UTC)
FULL_WIDTH = {ord("-"): 0xFF0D, **{ord(str(digit)): 0xFF10 + digit for digit in range(10)}}


def recorded(made: Config, mail: bytes, days_ago: float = 0.0, uid: int = 1) -> None:
    """A mail as a search records it."""
    parsed = message.parse(mail)
    identity = MailIdentity("shop", "INBOX", 1, uid, NOW - timedelta(days=days_ago), 1)
    notices = notice.read(parsed, made.accounts[0].provider, made.templates, is_junk=False)
    with closing(Store.open(made.watch.state_dir)) as store:
        store.record(Reading(identity, "shop", parsed.content_key(), notices), made.rules, audience(made.channels), NOW)


@pytest.fixture
def made(tmp_path: Path) -> Config:
    """A configuration with a store that `run` has written."""
    found = configured(tmp_path)
    prepare(found.watch.state_dir, found, Clock())
    return found


def called(folder: Path, *arguments: str) -> Result:
    """The command line on that configuration."""
    return CliRunner().invoke(cli._mailwatch, ["--config", str(folder / "config.toml"), *arguments])


def orders(result: Result) -> list[str]:
    """Of each line its first word."""
    return [line.split()[0] for line in result.stdout.splitlines()]


def test_list_shows_the_open_ones_and_all_shows_all(made: Config, tmp_path: Path) -> None:
    for number, (order, days) in enumerate(((ONE, 20.0), (TWO, 3.0), (THREE, 0.0)), 1):
        recorded(made, mails.by_notification(order), days, number)
    called(tmp_path, "done", TWO)
    assert orders(called(tmp_path, "list")) == [THREE]
    assert orders(called(tmp_path, "list", "--all")) == [ONE, TWO, THREE]
    states = [json.loads(line)["state"] for line in called(tmp_path, "list", "--all", "--json").stdout.splitlines()]
    assert states == ["lapsed", "done", "open"]


@pytest.mark.parametrize(("language", "word"), [("ja", "未対応"), ("en", "open")])
def test_as_many_lines_of_list_say_open_as_status_counts(language: Language, word: str, made: Config) -> None:
    """Seen red: a mail in doubt was 未対応 in `list`, and not among the 未対応 of `status`."""
    doubt = (ROOT / "sample_mails/doubt/02-possible-no-order-id.eml").read_bytes()
    for number, mail in enumerate((mails.by_notification(ONE), mails.wish(TWO), doubt), 1):
        recorded(made, mail, uid=number)
    lines = [
        requests_command.as_line(each, language, UTC) for each in requests_command.listed(made, NOW, everything=True)
    ]
    with closing(Store.open(made.watch.state_dir)) as store:
        assert sum(f"  {word}  " in line for line in lines) == store.outbox.open_requests(NOW) == 2
    assert ("  メール確認待ち  " if language == "ja" else "  to be read  ") in lines[2]


def test_a_request_without_an_order_id_is_listed_with_the_place_of_its_mail_and_ends_when_that_is_moved(
    made: Config, tmp_path: Path
) -> None:
    """Seen red: nothing in the line told which mail it was."""
    mail = (ROOT / "sample_mails/doubt/02-possible-no-order-id.eml").read_bytes()
    recorded(made, mail)
    [line] = called(tmp_path, "list").stdout.splitlines()
    assert line.startswith("注文番号なし  要確認  ")
    assert line.endswith("  shop / INBOX にあるメール")
    parsed = message.parse(mail)
    notices = notice.read(parsed, made.accounts[0].provider, made.templates, is_junk=False)
    with closing(Store.open(made.watch.state_dir)) as store:
        moved = MailIdentity("shop", "Done", 1, 1, NOW, 1)
        assert store.record_handled(Reading(moved, "shop", parsed.content_key(), notices), made.rules) == ["-"]
    assert called(tmp_path, "list").stdout.startswith("未対応の依頼はありません")


def test_the_json_of_list_is_the_contract(made: Config, tmp_path: Path) -> None:
    """Design section 6."""
    recorded(made, mails.by_notification(ONE), 0.2, 1)
    recorded(made, mails.by_message(ONE), 0.1, 2)
    [line] = called(tmp_path, "list", "--json").stdout.splitlines()
    found = json.loads(line)
    assert set(found) == {
        *("order_id", "marketplace", "seller", "kind", "trust", "state", "routes", "opened_at", "items")
    }
    assert (found["order_id"], found["kind"], found["trust"], found["state"]) == (ONE, "request", "verified", "open")
    assert [(route["route"], route["mails"]) for route in found["routes"]] == [("notification", 1), ("message", 1)]
    assert all(datetime.fromisoformat(route["first_seen"]).tzinfo for route in found["routes"])


def test_an_item_of_which_only_the_hash_of_its_title_is_kept_is_left_out(made: Config, tmp_path: Path) -> None:
    """Seen red: an item of four nulls in `list --json`, and 商品: - in `show`."""
    text = f"購入者がこの注文のキャンセルをリクエストしました。\n\n注文番号: {ONE}\n商品名: 水筒 500ml\n"
    recorded(made, mails.mail("Amazon <seller-notification@amazon.co.jp>", "注文のキャンセルリクエスト", text))
    assert json.loads(called(tmp_path, "list", "--json").stdout)["items"] == []
    assert "商品" not in called(tmp_path, "show", ONE).stdout


def test_show_says_routes_items_and_the_page_of_the_order(made: Config, tmp_path: Path) -> None:
    recorded(made, mails.by_notification(ONE))
    said = called(tmp_path, "show", ONE).stdout
    assert "Amazonの通知" in said
    assert f"https://sellercentral.amazon.co.jp/orders-v3/order/{ONE}" in said


@pytest.mark.parametrize("typed", [str.strip, lambda order: f"  {order.translate(FULL_WIDTH)} "])
def test_an_order_may_be_pasted_in_any_width(made: Config, tmp_path: Path, typed: Callable[[str], str]) -> None:
    recorded(made, mails.by_notification(ONE))
    assert called(tmp_path, "show", typed(ONE)).exit_code == 0


def test_done_release_and_reopen_say_what_became_of_it(made: Config, tmp_path: Path) -> None:
    """Seen red: 発送する にしました, which is no Japanese."""
    recorded(made, mails.by_notification(ONE))
    states = {
        "done": (State.DONE, "対応済み"),
        "release": (State.RELEASED, "発送する"),
        "reopen": (State.OPEN, "未対応"),
    }
    for command, (state, word) in states.items():
        result = called(tmp_path, command, ONE)
        assert result.exit_code == 0
        assert result.stdout == f"{ONE}: 「{word}」にしました。\n"
        assert rows(tmp_path, "SELECT state FROM request") == [(state.value,)]


def test_an_unknown_order_is_said_and_the_known_ones_are_set(made: Config, tmp_path: Path) -> None:
    recorded(made, mails.by_notification(ONE))
    result = called(tmp_path, "done", TWO, ONE)
    assert result.exit_code == 1
    assert TWO in result.stderr
    assert rows(tmp_path, "SELECT state FROM request") == [("done",)]
    assert called(tmp_path, "show", TWO).exit_code == 1


@pytest.mark.parametrize("nonsense", ["", "503", "503-1234567", "1' OR '1'='1", f"{ONE} {TWO}"])
def test_what_is_no_order_id_is_refused_before_anything_is_set(made: Config, tmp_path: Path, nonsense: str) -> None:
    recorded(made, mails.by_notification(ONE))
    result = called(tmp_path, "done", ONE, nonsense)
    assert result.exit_code == 2
    assert rows(tmp_path, "SELECT state FROM request") == [("open",)]


@pytest.mark.parametrize("command", [["list"], ["list", "--json"], ["show", ONE], ["done", ONE], ["status"]])
def test_a_store_that_no_run_has_written_is_never_none(tmp_path: Path, command: list[str]) -> None:
    """Exit 75 and a sentence. Planted fault: the store is made where it is not there: "no open requests", red."""
    made = configured(tmp_path)
    for _ in range(2):
        result = called(tmp_path, *command)
        assert result.exit_code == 75
        assert result.stdout == ""
        assert "mailwatch run" in result.stderr
        made.watch.state_dir.mkdir(exist_ok=True)


def test_list_without_an_open_request_says_so_with_the_time(made: Config, tmp_path: Path) -> None:
    result = called(tmp_path, "list")
    assert result.exit_code == 0
    assert "未対応の依頼はありません" in result.stdout


def test_reading_changes_nothing_and_needs_no_secret(made: Config, tmp_path: Path) -> None:
    """A member of the store's group may look, without the right to read a password."""
    recorded(made, mails.by_notification(ONE))
    (tmp_path / "password").unlink()
    before = (made.watch.state_dir / "mailwatch.sqlite").read_bytes()
    for command in (["list"], ["show", ONE], ["list", "--all", "--json"]):
        assert called(tmp_path, *command).exit_code == 0
    assert (made.watch.state_dir / "mailwatch.sqlite").read_bytes() == before


@pytest.mark.parametrize("name", ["done", "release", "reopen"])
@pytest.mark.parametrize("is_of_service", [True, False])
def test_who_may_not_write_the_store_is_told_the_command_that_works(
    name: str, is_of_service: bool, made: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen red: "attempt to write a readonly database … Check the folder's permissions and free space"."""
    recorded(made, mails.by_notification(ONE))
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    monkeypatch.setattr(os, "geteuid", lambda: made.watch.state_dir.stat().st_uid + 1)
    monkeypatch.setattr(sys, "argv", ["/home/shop/mailwatch/bin/mailwatch"])
    monkeypatch.setattr(places, "UNIT", tmp_path / "mailwatch.service")
    if is_of_service:
        places.UNIT.write_text(unit.text(Path("/srv/mailwatch"), []), "utf-8")
        monkeypatch.setattr(places, "STATE", made.watch.state_dir)
    refused = called(tmp_path, name, ONE, TWO)
    owner = made.watch.state_dir.owner()
    whole = f"/home/shop/mailwatch/bin/mailwatch --config {tmp_path / 'config.toml'}"
    wanted = f"sudo -u {owner} {'/srv/mailwatch/bin/mailwatch' if is_of_service else whole} {name} {ONE} {TWO}"
    assert (refused.exit_code, wanted in refused.stderr) == (2, True), refused.stderr
    assert state_of(tmp_path, ONE) == "open"


# ---- the folder for handled mails ----


@pytest.fixture
def server() -> Iterator[ScriptedImap]:
    """A server with a folder of the seller's; nothing is ever changed on it by us."""
    with ScriptedImap() as running:
        running.add_folder("Done")
        yield running
        assert not running.violations


def with_done_folder(made: Config) -> Config:
    """The configuration, with the folder named."""
    return replace(made, accounts=(replace(made.accounts[0], done_folder="Done"),))


def state_of(folder: Path, order: str) -> str | None:
    """The state of an order's request."""
    found = {str(known): str(state) for known, state in rows(folder, "SELECT order_id, state FROM request")}
    return found.get(order)


def test_a_request_is_done_when_its_mail_is_moved(server: ScriptedImap, made: Config, tmp_path: Path) -> None:
    """Planted fault: the folder is read as any other: told again or joined, never done, red."""
    told = Told()
    with watching(with_done_folder(made), server, told) as running:
        all_watching(running)
        server.deliver(mails.by_notification(ONE))
        told.wait_for(ONE)
        server.deliver(mails.by_notification(ONE), folder="Done")
        wait_until(lambda: state_of(tmp_path, ONE) == "done")
        assert len(told.texts) == 1


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("NO Mailbox doesn't exist: (0.001 + 0.000 secs).", "Mailbox doesn't exist"),
        ("NO Mailbox doesn't exist: Done (0.001 + 0.000 + 0.002 secs).", "Mailbox doesn't exist: Done"),
        ("NO [NONEXISTENT] Unknown Mailbox: Done (Failure)", "[NONEXISTENT] Unknown Mailbox: Done (Failure)"),
        ("BAD Unknown folder", "Unknown folder"),
    ],
)
def test_a_missing_folder_of_handled_mails_is_told_as_that(
    answer: str, why: str, server: ScriptedImap, made: Config, tmp_path: Path
) -> None:
    """Seen red: "so it is not watched … Check the names in folders", with "(select failed: …(0.001 + 0.000 secs).)"."""

    def refuse(session: Session, tag: str, arguments: str) -> bool:
        if "Done" in arguments:
            session.write(f"{tag} {answer}\r\n".encode())
        return "Done" in arguments

    server.script("EXAMINE", refuse, always=True)
    made, told = with_done_folder(made), Told()
    missing = Fault("fault.done_folder", {"account": "shop", "folder": "Done", "why": why})
    with watching(made, server, told) as running:
        wait_until(lambda: bool(told.texts), what="the fault is told")
        assert told.texts[0][1].body.split("\n")[0] == say_fault(missing, made.watch.language)
        [inbox] = [each for each in running.folders if each.folder == "INBOX"]
        wait_until(inbox.is_watching.is_set)
        server.deliver(mails.by_notification(ONE))
        wait_until(lambda: state_of(tmp_path, ONE) == "open")
        faults = status.look(made, datetime.now(UTC))[0].faults
        assert faults == (missing,)
    short = texts.word(FaultNews(missing, Stage.BEGAN, NOW), Form.SMS, "ja", made.watch.time_zone)
    assert "done_folder を確認。依頼は見張れています" in short.body


def test_a_mail_that_was_moved_while_nobody_watched_is_done_and_told_to_nobody(
    server: ScriptedImap, made: Config, tmp_path: Path
) -> None:
    told = Told()
    with watching(with_done_folder(made), server, told) as running:
        all_watching(running)
        server.deliver(mails.by_notification(ONE))
        told.wait_for(ONE)
    server.deliver(mails.by_notification(ONE), folder="Done")
    server.deliver(mails.by_notification(TWO), folder="Done")
    with watching(with_done_folder(made), server, told) as running:
        all_watching(running)
        wait_until(lambda: state_of(tmp_path, ONE) == state_of(tmp_path, TWO) == "done")
        server.deliver(mails.by_message(TWO))  # the other route, still in the INBOX
        server.deliver(mails.by_notification(THREE))
        told.wait_for(ONE, THREE)


def test_an_old_mail_that_is_moved_does_not_close_what_was_asked_again(
    server: ScriptedImap, made: Config, tmp_path: Path
) -> None:
    """The mail of the first time says nothing of the second. Planted fault: any mail of the order closes: red."""
    told = Told()
    with watching(with_done_folder(made), server, told) as running:
        all_watching(running)
        server.deliver(mails.by_notification(ONE), when=NOW - timedelta(days=10))
        told.wait_for(ONE)
        server.deliver(mails.by_message(ONE), when=NOW)
        told.wait_for(ONE, ONE)
        server.deliver(mails.by_notification(ONE), folder="Done", when=NOW - timedelta(days=10))
        server.deliver(mails.by_notification(TWO), folder="Done", when=NOW)
        wait_until(lambda: state_of(tmp_path, TWO) == "done")
        assert state_of(tmp_path, ONE) == "open"


def test_neighbours_in_the_folder_are_nobodys_business(server: ScriptedImap, made: Config, tmp_path: Path) -> None:
    told = Told()
    for number in range(5):
        server.deliver(mails.neighbour(number), folder="Done")
    with watching(with_done_folder(made), server, told) as running:
        all_watching(running)
        wait_until(lambda: rows(tmp_path, "SELECT count(*) FROM mail WHERE folder = 'Done'") == [(5,)])
    assert rows(tmp_path, "SELECT count(*) FROM request") == [(0,)]
    assert not told.texts
