"""Which folders are watched: all that have a role, under whatever name; and what `check` finds beside them."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mails
import pytest
from beds import misbehave
from beds.imap_text import mailbox_name
from beds.scripted import Script, ScriptedImap, Session
from beds.wire import wait_until
from hypothesis import given
from hypothesis import strategies as some
from test_mailbox import COMMANDS, logged_in, raw
from test_watch import Told, all_watching, configured, rows, server_of, watching

from mailwatch import check, retry, unwatched
from mailwatch.config.values import folder_name
from mailwatch.health import STALE_AFTER, is_stale
from mailwatch.store import Store
from mailwatch.watch import Watch, folder
from mailwatch.watch.roles import RoleFolders

pytestmark = pytest.mark.server

ONE, TWO, THREE = (mails.order_id(number) for number in (1, 2, 3))
BOTH = ("INBOX", "\\Junk")


@pytest.fixture
def server() -> Iterator[ScriptedImap]:
    """A server; nothing is ever changed on it."""
    with ScriptedImap() as running:
        yield running
        assert not running.violations
        assert set(running.commands()) <= COMMANDS


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delays of some milliseconds."""
    monkeypatch.setattr(retry, "RECONNECT_FIRST", 0.02)


def health(tmp_path: Path, name: str = "\\Junk") -> object:
    """What the store says of a folder by its name in the configuration."""
    with closing(Store.open(tmp_path / "state")) as store:
        [found] = [each for each in store.folders.health() if each.folder == name]
    return found


# ---- several folders of one role ----


@pytest.mark.parametrize(
    ("second", "attribute"),
    [("迷惑メール", "\\Junk"), ("INBOX/Spam", "\\HasNoChildren \\Junk"), ("Quarantäne", "\\Spam"), ("&-", "\\junk")],
)
def test_every_folder_with_the_junk_role_is_watched(
    server: ScriptedImap, tmp_path: Path, second: str, attribute: str
) -> None:
    """Planted fault: only the first that LIST names is watched: red."""
    server.add_folder(second, attribute)
    server.deliver(mails.by_notification(ONE), "Junk")
    server.deliver(mails.by_notification(TWO), second)
    told = Told()
    with watching(configured(tmp_path, folders=BOTH), server, told) as running:
        told.wait_for(ONE, TWO)
        all_watching(running)
        server.wait_for_idle(3)
        server.deliver(mails.by_notification(THREE), second)
        told.wait_for(ONE, TWO, THREE)
        assert len({worker.name for worker in running.folders}) == len(running.folders) == 3
    assert {name for (name,) in rows(tmp_path, "SELECT folder FROM folder")} == {"INBOX", "Junk", second}
    assert {name for (name,) in rows(tmp_path, "SELECT watched_as FROM folder")} == set(BOTH)


def test_folders_with_usual_names_are_all_watched_where_no_attribute_says_it(
    server: ScriptedImap, tmp_path: Path
) -> None:
    del server.folders["Junk"]
    for name in ("迷惑メールフォルダー", "Junk E-mail", "[Gmail]/迷惑メール"):
        server.add_folder(name)
        server.deliver(mails.by_notification(mails.order_id(len(server.folders))), name)
    told = Told()
    with watching(configured(tmp_path, folders=BOTH), server, told):
        wait_until(lambda: sum(told.orders().values()) == 3)


def test_a_junk_folder_that_appears_later_is_watched_within_the_hour(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted fault: LIST is asked at the login only: red."""
    monkeypatch.setattr(folder, "_ROLE_LOOK_SECONDS", 0.0)
    made = configured(tmp_path, folders=BOTH)
    server.capability = server.capability.replace(" IDLE", "")
    told = Told()
    with watching(made, server, told) as running:
        all_watching(running)
        server.add_folder("Spam 2", "\\Junk")
        server.deliver(mails.by_notification(ONE), "Spam 2")
        told.wait_for(ONE)


def test_a_junk_folder_that_loses_its_role_makes_room_for_another(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where it is renamed and made anew. Seen red: the connection was kept, and the new one never watched."""
    monkeypatch.setattr(folder, "_ROLE_LOOK_SECONDS", 0.0)
    server.capability = server.capability.replace(" IDLE", "")
    told = Told()
    with watching(configured(tmp_path, folders=BOTH), server, told) as running:
        all_watching(running)
        server.folders["Junk"].attribute = ""
        server.add_folder("Spam", "\\Junk")
        server.deliver(mails.by_notification(ONE), "Spam")
        told.wait_for(ONE)
        assert len(running.folders) == 2
    assert ("Junk", "Junk") in rows(tmp_path, "SELECT folder, watched_as FROM folder")


def test_one_that_is_watched_by_its_name_too_is_watched_once(server: ScriptedImap, tmp_path: Path) -> None:
    server.add_folder("迷惑メール", "\\Junk")
    told = Told()
    made = configured(tmp_path, folders=("INBOX", "\\Junk", "Junk"))
    with watching(made, server, told) as running:
        all_watching(running)
        assert len(running.folders) == 3
        server.wait_for_idle(3)
    assert server.commands().count("EXAMINE") == 3


def test_the_role_is_stale_where_one_of_its_folders_is(server: ScriptedImap, tmp_path: Path) -> None:
    """`status` and the heartbeat know it under its name in the configuration. Planted fault: the latest search of any
    of them counts: red."""
    server.add_folder("迷惑メール", "\\Junk")

    def refuse(session: Session, tag: str, arguments: str) -> bool:
        if mailbox_name("迷惑メール") not in arguments:
            return False
        session.write(f"{tag} NO Server Unavailable. 15\r\n".encode())
        return True

    server.script("EXAMINE", refuse, always=True)
    told = Told()
    with watching(configured(tmp_path, folders=BOTH), server, told) as running:
        wait_until(lambda: server.commands().count("EXAMINE") >= 5)
        wait_until(lambda: len(running.signals.unreachable) == 1)
        [said] = running.signals.unreachable.values()
        assert "Server Unavailable. 15" in str(said.fields["why"])
        assert is_stale(health(tmp_path), datetime.now(UTC), STALE_AFTER)  # type: ignore[arg-type]
        server.unscript()
        wait_until(lambda: not is_stale(health(tmp_path), datetime.now(UTC), STALE_AFTER))  # type: ignore[arg-type]
    assert not told.texts


def test_a_role_that_was_absent_is_no_longer_when_it_is_there(server: ScriptedImap, tmp_path: Path) -> None:
    made = configured(tmp_path, folders=BOTH)
    junk = server.folders.pop("Junk")
    with watching(made, server, Told()) as running:
        wait_until(running.folders[0].is_watching.is_set)
        wait_until(lambda: rows(tmp_path, "SELECT 1 FROM folder WHERE mode = 'absent'") == [(1,)])
    server.folders["Junk"] = junk
    with watching(made, server, Told()) as running:
        all_watching(running)
    assert health(tmp_path).mode == "idle"  # type: ignore[attr-defined]


def test_a_worker_that_hangs_gives_its_folder_to_its_successor(server: ScriptedImap, tmp_path: Path) -> None:
    server.add_folder("Spam", "\\Junk")
    told = Told()
    running = Watch(configured(tmp_path, folders=BOTH), server_of(server), told.of)
    running.start()
    all_watching(running)
    wait_until(lambda: len(running.folders) == 3)
    all_watching(running)
    second = running.folders[2]
    second.progress.expect(-1.0)
    running.replace_late()
    assert running.folders[2] is not second
    wait_until(running.folders[2].is_watching.is_set)
    server.deliver(mails.by_notification(ONE), "Spam")
    told.wait_for(ONE)
    assert running.stop()


@given(some.lists(some.tuples(some.integers(0, 3), some.lists(some.sampled_from("abcd"), unique=True)), max_size=20))
def test_no_folder_of_a_role_has_two_workers_and_none_has_no_worker(turns: list[tuple[int, list[str]]]) -> None:
    """Whatever comes and goes, in whatever order LIST names it, once each worker has looked."""
    roles, workers = RoleFolders(), [object() for _ in range(4)]
    for worker, names in turns:
        assert roles.take(workers[worker], names) in {*names, None}
        taken = [roles.take(each, names) for each in workers]
        assert sorted(name for name in taken if name) == sorted(names)
        assert roles.wanted >= len(names)


# ---- names ----


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("&j,dg0TDhMPww6w-", "迷惑メール"),
        ("INBOX.&j,dg0TDhMPww6zDVMKkw6zDA-", "INBOX.迷惑メールフォルダ"),
        ("[Gmail]/&j,dg0TDhMPww6w-", "[Gmail]/迷惑メール"),
        ("R&-D", "R&D"),
        ("Q&A", "Q&A"),
        ("Q&A-2024", "Q&A-2024"),
        ("Tom&Jerry-x", "Tom&Jerry-x"),
        ("&Amazon-", "&Amazon-"),
        ("&AEE-", "&AEE-"),
        ("迷惑&-", "迷惑&-"),
        ("\\Junk", "\\Junk"),
    ],
)
def test_a_name_in_modified_utf7_is_understood_and_no_other_is_changed(written: str, name: str) -> None:
    assert folder_name(written) == name


@given(some.text(some.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_any_name_as_the_server_writes_it_is_read(name: str) -> None:
    assert folder_name(mailbox_name(name)) == name


def test_a_folder_in_modified_utf7_is_watched_under_its_name(server: ScriptedImap, tmp_path: Path) -> None:
    server.add_folder("キャンセル")
    server.deliver(mails.by_notification(ONE), "キャンセル")
    made = configured(tmp_path, folders=("INBOX", mailbox_name("キャンセル")))
    assert made.accounts[0].folders == ("INBOX", "キャンセル")
    told = Told()
    with watching(made, server, told):
        told.wait_for(ONE)


@pytest.mark.parametrize("line", [b'* LIST () "/" "&bad"', b'* LIST () "/" "&2D8-"', '* LIST () "/" "生"'.encode()])
def test_a_name_that_can_not_be_read_hides_no_other(server: ScriptedImap, line: bytes) -> None:
    """Seen red: the junk folder was not watched for another's name."""
    server.script("LIST", misbehave.changed(lambda answer: line + b"\r\n" + answer), always=True)
    with logged_in(server) as client:
        assert client.resolve("\\Junk") == ("Junk",)


def test_a_folder_that_can_not_be_opened_has_no_role(server: ScriptedImap) -> None:
    server.folders["Junk"].attribute = "\\Noselect \\Junk"
    server.add_folder("Spam")
    with logged_in(server) as client:
        assert client.resolve("\\Junk") == ("Spam",)


# ---- what check finds beside ----


def found_beside(server: ScriptedImap, tmp_path: Path, *folders: str) -> dict[str, dict[str, str]]:
    """The findings about folders that are not watched, by their keys."""
    found = check.findings(configured(tmp_path, folders=folders or ("INBOX",)), server_of(server))
    wanted = {"check.unwatched", "check.left_out"}
    return {each.said.key: json.loads(json.dumps(dict(each.said.fields))) for each in found if each.said.key in wanted}


def test_check_names_who_rewrites_the_sender_of_amazons_mail(server: ScriptedImap, tmp_path: Path) -> None:
    """Planted fault: the marks are not asked for in the first stage: red."""
    genuine = mails.by_notification(ONE)
    server.deliver(genuine)
    marked = b"X-Original-Sender: seller-notification@amazon.co.jp\r\nFrom: x <orders@shop.example>"
    server.deliver(re.sub(rb"From: [^\r]+", marked, genuine, count=1))
    found = check.findings(configured(tmp_path, folders=("INBOX",)), server_of(server))
    assert [each.said.fields["host"] for each in found if each.said.key == "check.rewritten"] == ["shop.example"]


def test_check_names_folders_with_amazons_mail_that_nobody_watches(server: ScriptedImap, tmp_path: Path) -> None:
    """Of the last 90 days, from an exact address of Amazon's; no text is asked for. Planted faults: the date left out
    of the search; a look-alike counted: red."""
    for name in ("注文", "Old", "Others", "Phish", "Watched", "All"):
        server.add_folder(name)
    server.folders["All"].attribute = "\\All"
    server.deliver(mails.by_notification(ONE), "注文")
    server.deliver(mails.by_notification(ONE), "All")
    server.deliver(mails.by_notification(ONE), "Watched")
    server.deliver(mails.by_notification(ONE), "Old", when=datetime.now(UTC) - timedelta(days=100))
    server.deliver(b"From: Amazonas Reisen <a@example.jp>\r\nSubject: amazon.co.jp\r\n\r\nx", "Others")
    server.deliver(b"From: Amazon <a@amazon.co.jp.example>\r\nSubject: x\r\n\r\nx", "Phish")
    assert found_beside(server, tmp_path, "INBOX", "Watched", "\\Junk") == {
        "check.unwatched": {"account": "shop", "days": "90", "folders": "注文"}
    }
    # Header fields, of the watched folders only.
    assert [line for line in server.lines() if "BODY" in line and "HEADER.FIELDS" not in line] == []
    assert "SELECT" not in server.commands()


def test_check_says_nothing_of_other_folders_where_there_is_nothing_to_say(
    server: ScriptedImap, tmp_path: Path
) -> None:
    assert found_beside(server, tmp_path) == {}


def test_check_says_how_many_folders_it_left_out_for_their_number(server: ScriptedImap, tmp_path: Path) -> None:
    for number in range(203):
        server.add_folder(f"F{number:03}")
    left = found_beside(server, tmp_path)["check.left_out"]
    assert (left["n"], left["number"], left["time"], left["refused"]) == ("5", "5", "0", "0")


def test_check_says_how_many_folders_it_left_out_for_time(server: ScriptedImap) -> None:
    seconds = itertools.count(step=25)
    for number in range(6):
        server.add_folder(f"F{number}")
    with logged_in(server) as client:
        found = unwatched.look(client, ("INBOX",), datetime.now(UTC).date(), lambda: float(next(seconds)))
    assert (found.looked, found.left_for_time) == (2, 6)


@pytest.mark.parametrize("command", ["EXAMINE", "UID SEARCH", "UID FETCH"])
def test_check_says_how_many_folders_the_server_refused(server: ScriptedImap, tmp_path: Path, command: str) -> None:
    server.deliver(mails.by_notification(ONE), "Junk")
    server.deliver(mails.by_notification(ONE), "Trash")
    for one in ("EXAMINE", "UID SEARCH"):
        server.script(one, misbehave.then(lambda: None))  # of the INBOX
    server.script(command, raw(b"{tag} NO not this one"))
    found = found_beside(server, tmp_path)
    assert found["check.left_out"]["refused"] == "1"
    assert found["check.unwatched"]["folders"] == "Trash"


@pytest.mark.parametrize("fault", [misbehave.closes(), misbehave.silence()])
def test_check_ends_in_time_where_a_folder_ends_the_connection(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Script
) -> None:
    monkeypatch.setattr(unwatched, "SECONDS", 1.0)
    server.script("UID SEARCH", misbehave.then(lambda: None))  # of the INBOX
    server.script("UID SEARCH", fault)
    assert found_beside(server, tmp_path)["check.left_out"]["time"] == "2"
