"""Mails that a server lists and does not show, refuses or chokes on; and what a re-list must not believe."""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mails
import pytest
from beds import misbehave
from beds.imap_text import chosen
from beds.scripted import Folder, Script, ScriptedImap, Session
from beds.wire import wait_until
from test_watch import Told, all_watching, configured, recorded, rows, server_of, watching

from mailwatch import mailbox, retry, status
from mailwatch.clock import Clock
from mailwatch.config import Config
from mailwatch.errors import Unreachable
from mailwatch.fetched import Headline
from mailwatch.store import Store
from mailwatch.watch import Watch, folder, oversight, search
from mailwatch.watch.loop import prepare
from mailwatch.watch.search import Lasting, Search
from mailwatch.watch.signals import Progress, Signals

pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

ONE, TWO, THREE = (mails.order_id(number) for number in (1, 2, 3))
NO_ORDER = "注文番号なし"


class MovedClock(Clock):
    """The real time, moved on (`passed`), and a wall clock that is `off`."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.off = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.passed) + self.off

    def monotonic(self) -> float:
        return time.monotonic() + self.passed


@pytest.fixture
def server() -> Iterator[ScriptedImap]:
    """A server; nothing is ever changed on it."""
    with ScriptedImap() as running:
        yield running
        assert not running.violations


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delays as settings."""
    monkeypatch.setattr(retry, "RECONNECT_FIRST", 0.02)
    monkeypatch.setattr(retry, "_RECONNECT_CAP_AT_FIRST", 0.05)
    monkeypatch.setattr(retry, "SEND_FIRST", 0.02)


def asks_for(arguments: str, uid: int) -> bool:
    """Whether the arguments of UID FETCH name a mail."""
    return uid in chosen(arguments.partition(" ")[0], range(1, 10_000))


def leaves_out(uid: int) -> Script:
    """FETCH never shows this mail."""

    def script(session: Session, tag: str, arguments: str) -> bool:
        line = re.compile(rb"^\* \d+ FETCH \(UID %d .*" % uid, re.MULTILINE | re.DOTALL)
        shown = [line.sub(b"", each) for each in session.fetch_lines(arguments)]
        session.write(b"".join(shown) + f"{tag} OK FETCH completed\r\n".encode())
        return True

    return script


def refuses(uid: int, answer: str) -> Script:
    """Each FETCH that names this mail is refused."""

    def script(session: Session, tag: str, arguments: str) -> bool:
        if asks_for(arguments, uid):
            session.write(f"{tag} {answer}\r\n".encode())
        return asks_for(arguments, uid)

    return script


def hangs_up_over(uid: int) -> Script:
    """Each FETCH that names this mail ends the connection."""

    def script(session: Session, tag: str, arguments: str) -> bool:
        if asks_for(arguments, uid):
            session.close()
        return asks_for(arguments, uid)

    return script


def hurried(made: Config, seconds: float = 0.05) -> Config:
    """One search after the other."""
    return replace(made, watch=replace(made.watch, idle_seconds=seconds))


@contextmanager
def searching(
    made: Config, server: ScriptedImap, clock: Clock, lasting: Lasting | None = None, folder: str = "INBOX"
) -> Iterator[Search]:
    """One connection to a folder, to be searched by hand."""
    opened = mailbox.log_in(server_of(server)(made.accounts[0])).open(folder)
    assert opened is not None
    with closing(Store.open(made.watch.state_dir)) as store:
        found = Search(made, made.accounts[0], opened, store, Signals(), clock, Progress(clock))
        found.lasting = lasting or found.lasting
        yield found
    opened.close()


def good_search(tmp_path: Path) -> float | None:
    """When the last good search was."""
    return rows(tmp_path, "SELECT last_good_search FROM folder")[0][0]  # type: ignore[return-value]


def kinds(tmp_path: Path) -> list[object]:
    """What is recorded of requests, by kind."""
    return [kind for (kind,) in rows(tmp_path, "SELECT kind FROM request ORDER BY id")]


# ---- listed, and never shown ----


@pytest.mark.parametrize(
    "poison",
    [
        leaves_out,
        lambda uid: refuses(uid, "NO The requested message could not be converted to an RFC-822 compatible format."),
        lambda uid: refuses(uid, "BAD Internal error: bodystructure"),
        hangs_up_over,
        lambda uid: refuses(uid, "NO [SERVERBUG] Internal error occurred."),
        lambda uid: refuses(uid, "NO [INUSE] Try again later"),
    ],
    ids=["left out", "NO", "BAD", "link lost", "a busy server", "in use"],
)
def test_a_mail_that_is_listed_and_never_shown_is_told_once_and_holds_no_other(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, poison: Callable[[int], Script]
) -> None:
    """Seen red before each: left out, it was lost and the search counted as good; with NO, BAD or a link that is lost
    over it, the folder was held for ever."""
    monkeypatch.setattr(search, "_DOUBT_SECONDS", 0.5)
    monkeypatch.setattr(search, "_AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(search, "RELIST_SECONDS", 0.2)
    told, bad = Told(), 2
    server.deliver(mails.neighbour(7))
    with watching(hurried(configured(tmp_path)), server, told) as running:
        all_watching(running)
        server.script("UID FETCH", poison(bad), always=True)
        for order in (ONE, TWO):
            server.deliver(mails.by_notification(order), announce=False)
        wait_until(lambda: told.orders() == Counter([TWO]), 5, "the other is told first")
        wait_until(lambda: told.orders() == Counter([TWO, NO_ORDER]), 15, "it is told")
        all_watching(running)
        server.deliver(mails.by_notification(THREE), announce=False)
        wait_until(lambda: THREE in told.orders(), 10, "mail behind it")
        logins, good = server.logins, good_search(tmp_path)
        server.wait_for("EXAMINE", server.commands().count("EXAMINE") + 3)  # re-lists: it is asked for no more
        wait_until(lambda: good_search(tmp_path) != good, what="a good search")
        assert server.logins == logins
    assert told.orders() == Counter([TWO, NO_ORDER, THREE])


def test_at_a_first_start_the_digest_of_the_others_does_not_wait_for_it(server: ScriptedImap, tmp_path: Path) -> None:
    """Seen red with the digest told by a good search only: three minutes later."""
    server.deliver(mails.by_notification(ONE))
    server.deliver(mails.by_notification(TWO))
    server.script("UID FETCH", hangs_up_over(1), always=True)
    told = Told()
    with watching(configured(tmp_path), server, told):
        told.wait_for(TWO)


def test_two_mails_that_end_every_connection_hold_neither_each_other_nor_the_rest(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen red with only the pieces halved: the second was fetched with the others again and again."""
    monkeypatch.setattr(search, "_DOUBT_SECONDS", 0.5)
    monkeypatch.setattr(search, "_AGAIN_SECONDS", 0.1)
    for number in range(40):
        server.deliver(mails.neighbour(7) if number not in {11, 30} else mails.by_notification(ONE))

    def script(session: Session, tag: str, arguments: str) -> bool:
        if asks_for(arguments, 12) or asks_for(arguments, 31):
            session.close()
            return True
        return False

    server.script("UID FETCH", script, always=True)
    told = Told()
    with watching(hurried(configured(tmp_path)), server, told):
        server.wait_for("UID FETCH", 2)
        wait_until(lambda: recorded(tmp_path) == 38, 10, "the others")
        assert server.logins < 20
        wait_until(lambda: recorded(tmp_path) == 40, 20, "these two are set aside")
    assert kinds(tmp_path) == ["unreadable", "unreadable"]


def test_a_mail_that_is_not_shown_for_a_while_is_told_as_itself_and_until_then_no_search_is_good(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted faults: no time beside the number of tries: told as unreadable, red; a search that leaves one open
    counts as good: red."""
    monkeypatch.setattr(search, "_AGAIN_SECONDS", 5.0)
    made, clock = configured(tmp_path), MovedClock()
    with searching(made, server, clock) as found:
        found.go()
        good = good_search(tmp_path)
        server.deliver(mails.by_notification(ONE))
        server.script("UID FETCH", leaves_out(1), always=True)
        for _ in range(10):
            clock.passed += 10
            found.go()
        assert (kinds(tmp_path), good_search(tmp_path)) == ([], good)
        server.unscript()
        clock.passed += 60
        found.go()
    assert kinds(tmp_path) == ["request"]
    assert good_search(tmp_path) != good


def test_the_tries_of_a_mail_that_ends_the_connection_go_on_with_the_next(server: ScriptedImap, tmp_path: Path) -> None:
    """Planted fault: each connection begins anew with whole pieces: held for ever, red."""
    made, clock, lasting = configured(tmp_path), MovedClock(), Lasting()
    for order in (ONE, TWO, THREE):
        server.deliver(mails.by_notification(order))
    server.script("UID FETCH", hangs_up_over(2), always=True)
    for _ in range(20):
        clock.passed += 30
        with searching(made, server, clock, lasting) as found, contextlib.suppress(Unreachable):
            found.go()
    assert sorted(map(str, kinds(tmp_path))) == ["request", "request", "unreadable"]


def test_between_two_tries_the_connection_is_left_to_the_other_mails(server: ScriptedImap, tmp_path: Path) -> None:
    """Planted fault: a mail that ends the connection is tried by each search: red."""
    made, clock, lasting = configured(tmp_path), MovedClock(), Lasting()
    server.deliver(mails.by_notification(ONE))
    server.script("UID FETCH", hangs_up_over(1), always=True)
    with searching(made, server, clock, lasting) as found, pytest.raises(Unreachable):
        found.go()
    with searching(made, server, clock, lasting) as found:
        found.go()
        server.deliver(mails.by_notification(TWO))
        clock.passed += 50
        found.go()
        assert kinds(tmp_path) == ["request"]
        clock.passed += 20
        with pytest.raises(Unreachable):
            found.go()


def test_a_mail_that_is_gone_between_list_and_fetch_is_forgotten(server: ScriptedImap, tmp_path: Path) -> None:
    """Planted fault: what is listed no more stays in doubt: no search is ever good, red."""
    made, clock = configured(tmp_path), MovedClock()
    with searching(made, server, clock) as found:
        found.go()
        uid = server.deliver(mails.by_notification(ONE))
        server.script("UID SEARCH", misbehave.expunged_after(server, uid))
        found.go()
        assert found.lasting.doubtful
        clock.passed += 600
        found.go()
        assert not found.lasting.doubtful
    assert kinds(tmp_path) == []
    assert recorded(tmp_path) == 0


def test_a_mail_that_is_known_is_not_doubted_where_a_re_list_does_not_show_it(
    server: ScriptedImap, tmp_path: Path
) -> None:
    """Planted fault: known mails are doubted too: it is told again, red."""
    made, clock = configured(tmp_path), MovedClock()
    server.deliver(mails.by_notification(ONE))
    with searching(made, server, clock) as found:
        found.go()
        server.script("UID FETCH", leaves_out(1), always=True)
        for _ in range(8):
            clock.passed += 600
            found.go()
    assert kinds(tmp_path) == ["request"]


def test_a_mail_over_which_the_server_says_busy_holds_no_other(server: ScriptedImap, tmp_path: Path) -> None:
    """Dovecot says SERVERBUG of a damaged mail, and nothing else is known here yet. Seen red: it held the folder.
    Planted fault: one that is refused alone is tried before the others: red."""
    made, clock, lasting = configured(tmp_path), MovedClock(), Lasting()
    for order in (ONE, TWO, THREE):
        server.deliver(mails.by_notification(order))
    server.script("UID FETCH", refuses(1, "NO [SERVERBUG] Internal error occurred."), always=True)
    for _ in range(20):
        clock.passed += 45
        with searching(made, server, clock, lasting) as found, contextlib.suppress(Unreachable):
            found.go()
    assert sorted(map(str, kinds(tmp_path))) == ["request", "request", "unreadable"]


def test_a_server_that_is_busy_blames_no_mail(server: ScriptedImap, tmp_path: Path) -> None:
    """Planted fault: a passing refusal counts as a try: set aside, red."""
    made, clock, lasting = configured(tmp_path), MovedClock(), Lasting()
    server.deliver(mails.by_notification(ONE))
    server.script("UID FETCH", misbehave.says("{tag} NO [UNAVAILABLE] Backend is away"), always=True)
    for _ in range(20):
        clock.passed += 60
        with searching(made, server, clock, lasting) as found, contextlib.suppress(Unreachable):
            found.go()
    assert kinds(tmp_path) == []
    server.unscript()
    with searching(made, server, clock, lasting) as found:
        found.go()
    assert kinds(tmp_path) == ["request"]


def test_refused_identities_do_not_end_the_connection_at_each_re_list(server: ScriptedImap, tmp_path: Path) -> None:
    """A mail that went bad after it was read. Seen red: no re-list ever came to its end."""
    made, clock = configured(tmp_path), MovedClock()
    for order in (ONE, TWO):
        server.deliver(mails.by_notification(order))
    with searching(made, server, clock) as found:
        found.go()
        server.script("UID FETCH", refuses(1, "NO Message is corrupt"), always=True)
        for _ in range(3):
            clock.passed += 600
            found.go()
    assert kinds(tmp_path) == ["request", "request"]
    assert recorded(tmp_path) == 2


@pytest.mark.parametrize(("count", "size"), [(180, 100_000), (1, 2_200_000)])
def test_subjects_without_end_do_not_cross_the_wire(
    server: ScriptedImap, tmp_path: Path, count: int, size: int
) -> None:
    """They were over the budget of one answer, at each try: seen red, held for ever."""
    for _ in range(count):
        server.deliver(b"From: a@b.example\r\nSubject: " + b"x" * size + b"\r\n\r\nhello\r\n")
    server.deliver(mails.by_notification(ONE))
    told = Told()
    with watching(configured(tmp_path), server, told):
        told.wait_for(ONE, seconds=60)
    assert server.logins == 1


def test_a_headline_that_was_cut_is_looked_at_whole() -> None:
    """Its From may stand behind the cut. Planted fault: it is taken for somebody else's: red."""
    cut = b"From: a@b.example\r\nSubject: " + b"x" * mailbox.MAX_HEADLINE
    assert search._is_candidate(Headline(1, None, 1, cut[: mailbox.MAX_HEADLINE]))
    assert not search._is_candidate(Headline(1, None, 1, b"From: a@b.example\r\n" + cut[:100]))


def test_a_headline_without_a_readable_from_is_looked_at_whole() -> None:
    """Sender or Reply-To may name Amazon. Planted fault: taken for somebody else's, as before: red."""
    for header in (b"", b"Subject: x\r\n", b"From: \r\nSubject: x\r\n", b"From: Shop <news@\r\n"):
        assert search._is_candidate(Headline(1, None, 1, header))


# ---- slow is not hung ----


def test_a_re_list_that_takes_long_is_not_taken_for_a_hang(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command in its time, all of them over it: the worker was replaced without end, seen red."""
    for _ in range(200):
        server.deliver(mails.neighbour(7))
    monkeypatch.setattr(mailbox, "PIECE", 5)
    made, told = configured(tmp_path), Told()
    with watching(made, server, told) as running:
        all_watching(running)
    monkeypatch.setattr(folder, "_COMMANDS_SECONDS", 1.0)
    monkeypatch.setattr(search, "_PIECE_SECONDS", 1.0)
    monkeypatch.setattr(oversight, "_TICK_SECONDS", 0.1)
    server.deliver(mails.by_notification(ONE))
    before = server.logins

    def slow(session: Session, tag: str, arguments: str) -> bool:
        time.sleep(0.05)
        return False

    server.script("UID FETCH", slow, always=True)
    with watching(made, server, told):
        told.wait_for(ONE)
        assert server.logins == before + 1


def test_headlines_one_by_one_are_not_taken_for_a_hang(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted fault: progress is said before each piece only: red."""
    monkeypatch.setattr(search, "_PIECE_SECONDS", 1.0)
    monkeypatch.setattr(oversight, "_TICK_SECONDS", 0.1)
    for _ in range(40):
        server.deliver(mails.neighbour(7))
    server.override(3, "RFC822.SIZE", b"(12")
    server.deliver(mails.by_notification(ONE))

    def slow(session: Session, tag: str, arguments: str) -> bool:
        time.sleep(0.05)
        return False

    server.script("UID FETCH", slow, always=True)
    told = Told()
    with watching(configured(tmp_path), server, told):
        told.wait_for(ONE)
        assert server.logins == 1


# ---- folders ----


def troubles(made: Config) -> list[str]:
    """What `status` says is not well."""
    prepare(made.watch.state_dir, made, Clock())
    return [fault.key for fault in status.look(made, datetime.now(UTC))[1]]


def test_a_role_that_no_folder_has_is_a_missing_folder(server: ScriptedImap, tmp_path: Path) -> None:
    """Only a junk folder may be absent. Seen red: nothing was watched, and all was said to be well."""
    made = configured(tmp_path, folders=("\\All",))
    told = Told()
    with watching(made, server, told):
        wait_until(lambda: bool(told.texts), what="the fault is told")
        assert "fault.folder" in troubles(made)
    assert "\\All" in told.texts[0][1].body
    assert rows(tmp_path, "SELECT key FROM fault") == [("folder/shop/\\All",)]


def test_a_list_without_a_folder_does_not_make_the_junk_folder_absent(server: ScriptedImap, tmp_path: Path) -> None:
    """Seen red: it was not looked for again for an hour."""
    server.deliver(mails.by_notification(ONE), "Junk")
    server.script("LIST", misbehave.says("{tag} OK LIST completed"))
    told = Told()
    with watching(configured(tmp_path, folders=("\\Junk",)), server, told):
        told.wait_for(ONE)


def test_the_fault_of_a_junk_folder_is_over_when_there_is_none(server: ScriptedImap, tmp_path: Path) -> None:
    """It could be listed and not opened, and then it was deleted: seen red, the fault stayed open for ever."""
    made, told = configured(tmp_path, folders=("\\Junk",)), Told()
    server.script("EXAMINE", misbehave.says("{tag} NO [NOPERM] not yours"))
    prepare(made.watch.state_dir, made, Clock())
    with watching(made, server, told):
        wait_until(lambda: rows(tmp_path, "SELECT key FROM fault") == [("folder/shop/\\Junk",)], what="the fault")
    del server.folders["Junk"]
    with watching(made, server, told):
        wait_until(lambda: rows(tmp_path, "SELECT key FROM fault") == [] and len(told.texts) == 2, what="its end")


@pytest.mark.parametrize("names", [("Junk", "\\Junk"), ("\\Junk", "Junk")])
def test_a_folder_that_is_named_twice_is_watched_once(
    server: ScriptedImap, tmp_path: Path, names: tuple[str, ...]
) -> None:
    """By its name and by its role: both wrote one row, and one of them was never fresh. Seen red."""
    made, told = configured(tmp_path, folders=names), Told()
    with watching(made, server, told) as running:
        wait_until(lambda: any(each.is_watching.is_set() for each in running.folders), what="watched")
        server.deliver(mails.by_notification(ONE), "Junk")
        told.wait_for(ONE)
        wait_until(lambda: "fault.fresh" not in troubles(made), what="both are well")
        assert sum(session.folder is not None for session in server.sessions) == 1


def test_a_folder_that_is_made_anew_under_an_open_connection_is_noticed_by_the_re_list(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleted and made again, or restored: seen red, only a lost connection brought its mails."""
    monkeypatch.setattr(search, "RELIST_SECONDS", 0.2)
    made, told = hurried(configured(tmp_path)), Told()
    with watching(made, server, told) as running:
        all_watching(running)
        server.folders["INBOX"] = Folder("INBOX", uidvalidity=7)
        server.deliver(mails.by_notification(ONE))
        told.wait_for(ONE)


def test_a_re_list_of_the_same_folder_keeps_the_connection(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted fault: it is always taken for another: red."""
    monkeypatch.setattr(search, "RELIST_SECONDS", 0.1)
    with watching(hurried(configured(tmp_path)), server, Told()):
        server.wait_for("EXAMINE", 4)
    assert server.logins == 1


# ---- waiting as a server wishes ----


@pytest.mark.parametrize("milliseconds", ["9" * 20, "31536000000"])
@pytest.mark.parametrize("command", ["GREETING", "LOGIN", "UID SEARCH"])
def test_a_server_is_not_waited_for_longer_than_an_hour(
    server: ScriptedImap, tmp_path: Path, command: str, milliseconds: str
) -> None:
    """20 digits ended the worker for good (OverflowError), a year is silence: seen red. The words of a BYE as the
    greeting were not obeyed: seen red."""
    words = f"Request is throttled. Suggested Backoff Time: {milliseconds} milliseconds"
    server.script(command, misbehave.bye(words) if command == "GREETING" else misbehave.says("{tag} NO " + words))
    server.deliver(mails.by_notification(ONE))
    told, waits = Told(), list[float]()

    class Impatient(Clock):
        def wait(self, event: object, seconds: float) -> bool:
            waits.append(seconds)
            return super().wait(event, min(seconds, 0.05))  # type: ignore[arg-type]

    running = Watch(configured(tmp_path), server_of(server), told.of, Impatient())
    running.start()
    try:
        told.wait_for(ONE)
    finally:
        assert running.stop()
    assert max(waits) == 3600.0


# ---- time ----


def test_a_wall_clock_that_is_set_back_makes_no_old_mail_new(server: ScriptedImap, tmp_path: Path) -> None:
    """Mails from before the first start, and the clock 45 days back. Seen red; planted fault: the last good
    search instead of the newest mail, which is right at the first re-list only: red."""
    now, made, clock = datetime.now(UTC), configured(tmp_path), MovedClock()
    for number in range(5):
        server.deliver(mails.by_notification(mails.order_id(50 + number)), when=now - timedelta(days=20 + number))
    server.deliver(mails.neighbour(3), when=now)
    with searching(made, server, clock) as found:
        found.go()
    assert kinds(tmp_path) == []
    clock.off = -timedelta(days=45)
    with searching(made, server, clock) as found:
        for _ in range(3):
            found.go()
            clock.passed += 600
    assert kinds(tmp_path) == []


def test_after_long_without_a_good_search_the_look_back_reaches_to_the_last(
    server: ScriptedImap, tmp_path: Path
) -> None:
    """Planted fault: only `lookback_days`: the mail with an old UID is never seen, red."""
    made, clock, lasting = configured(tmp_path), MovedClock(), Lasting()
    server.deliver(mails.neighbour(3), uid=20_000)
    with searching(made, server, clock, lasting) as found:
        found.go()
    server.deliver(mails.by_notification(ONE), uid=3)
    clock.passed += 30 * 86_400
    with searching(made, server, clock, lasting) as found:
        found.go()
    assert kinds(tmp_path) == ["request"]


@pytest.mark.parametrize(
    "date",
    [
        b'"32-Foo-2022 00:00:00 +0900"',
        b"NIL",
        b'"31-Dec-9999 23:59:59 -1200"',
        b'"01-Jan-2022 00:00:00 +9999"',
        b'"01-Jan-2022 00:00:00 +99999999999999999"',
    ],
)
def test_a_mail_whose_arrival_cannot_be_read_arrived_when_it_was_seen(
    server: ScriptedImap, tmp_path: Path, date: bytes
) -> None:
    """It was told as one of 1970, 20,000 days old, and had lapsed at once: seen red."""
    uid = server.deliver(mails.by_notification(ONE))
    server.override(uid, "INTERNALDATE", date)
    made, clock = configured(tmp_path), MovedClock()
    with searching(made, server, clock) as found:
        for _ in range(3):
            found.go()
            clock.passed += 600
    [(at,)] = rows(tmp_path, "SELECT at FROM sighting")
    assert abs(float(str(at)) - time.time()) < 60
    assert Counter(kinds(tmp_path)) == {"request": 1}
    assert recorded(tmp_path) == 1


# ---- texts that don't come, and mailboxes that were restored ----


def over_text(of: Callable[[str], bool], answer: Callable[[Session, str], None]) -> Script:
    """What becomes of a FETCH of text; headlines and sizes are shown."""

    def script(session: Session, tag: str, arguments: str) -> bool:
        is_text = "BODY.PEEK" in arguments and "HEADER.FIELDS" not in arguments
        if is_text and of(arguments):
            answer(session, tag)
            return True
        return False

    return script


def refused(session: Session, tag: str) -> None:
    """A tagged NO."""
    session.write(
        f"{tag} NO The requested message could not be converted to an RFC-822 compatible format.\r\n".encode()
    )


def nothing(session: Session, tag: str) -> None:
    """A tagged OK alone."""
    session.write(f"{tag} OK FETCH completed\r\n".encode())


@pytest.mark.parametrize("answer", [refused, nothing])
def test_a_candidate_whose_text_does_not_come_holds_no_other_and_is_told_within_minutes(
    server: ScriptedImap, tmp_path: Path, answer: Callable[[Session, str], None]
) -> None:
    """Seen red: refused, three of them held the next for an hour; not shown, each search counted as good for twelve
    minutes."""
    made, clock = configured(tmp_path), MovedClock()
    with searching(made, server, clock) as found:
        found.go()
        server.deliver(mails.by_notification(ONE))
        shown = server.deliver(mails.by_notification(TWO))
        server.script("UID FETCH", over_text(lambda of: not asks_for(of, shown), answer), always=True)
        good = good_search(tmp_path)
        found.go()
        assert kinds(tmp_path) == ["request"]
        assert good_search(tmp_path) == good
        for _ in range(5):
            clock.passed += 61
            found.go()
        assert Counter(kinds(tmp_path)) == {"request": 1, "unreadable": 1}
        assert good_search(tmp_path) != good
    assert server.logins == 1


def test_a_text_that_ends_the_connection_is_tried_behind_all_others(server: ScriptedImap, tmp_path: Path) -> None:
    """Seen red with the next told after the twelfth connection."""
    made, clock, lasting = configured(tmp_path), MovedClock(), Lasting()
    with searching(made, server, clock, lasting) as found:
        found.go()
    first = server.deliver(mails.by_notification(ONE))
    server.deliver(mails.by_notification(TWO))
    server.script("UID FETCH", over_text(lambda of: asks_for(of, first), lambda s, _: s.close()), always=True)
    for _ in range(2):
        with searching(made, server, clock, lasting) as found, pytest.raises(Unreachable):
            found.go()
    assert kinds(tmp_path) == ["request"]
    server.unscript()
    with searching(made, server, clock, lasting) as found:
        found.go()
    assert kinds(tmp_path) == ["request", "request"]


def test_a_mail_under_the_number_of_one_that_was_set_aside_unseen_is_read_within_an_hour(
    server: ScriptedImap, tmp_path: Path
) -> None:
    """The mailbox was restored from a back-up. Seen red: it was never asked for again, and all was well."""
    made, clock, lasting = configured(tmp_path), MovedClock(), Lasting()
    server.deliver(mails.neighbour(1))
    server.deliver(mails.neighbour(2))
    server.script("UID FETCH", leaves_out(2), always=True)
    with searching(made, server, clock, lasting) as found:
        for _ in range(8):
            clock.passed += 61
            found.go()
    assert kinds(tmp_path) == ["unreadable"]
    server.unscript()
    box = server.folders["INBOX"]
    box.mails, box.uidnext = box.mails[:1], 2
    server.deliver(mails.by_notification(ONE))
    with searching(made, server, clock) as found:
        for _ in range(8):
            found.go()
            clock.passed += 600
    assert kinds(tmp_path) == ["unreadable", "request"]
    with searching(made, server, clock) as found:
        found.go()
        fetched = server.commands().count("UID FETCH")
        clock.passed += 4000
        found.go()
        assert server.commands().count("UID FETCH") <= fetched + 1


def test_a_mail_that_was_set_aside_unseen_costs_a_connection_an_hour_at_most(
    server: ScriptedImap, tmp_path: Path
) -> None:
    """Planted fault: asked for by each re-list: red."""
    made, clock, lasting = configured(tmp_path), MovedClock(), Lasting()
    server.deliver(mails.by_notification(ONE))
    poison = server.deliver(mails.neighbour(2))
    server.script("UID FETCH", hangs_up_over(poison), always=True)
    for _ in range(12):
        with searching(made, server, clock, lasting) as found, contextlib.suppress(Unreachable):
            found.go()
        clock.passed += 61
    assert Counter(kinds(tmp_path)) == {"request": 1, "unreadable": 1}
    lost = 0
    for _ in range(18):
        clock.passed += 600
        try:
            with searching(made, server, clock, lasting) as found:
                found.go()
        except Unreachable:
            lost += 1
        assert good_search(tmp_path) == pytest.approx(clock.now().timestamp(), abs=30)
    assert lost == 3


def test_a_re_list_without_an_answer_forgets_nothing(server: ScriptedImap, tmp_path: Path) -> None:
    """Seen red: everything was read again before the next new mail."""
    made, clock = configured(tmp_path), MovedClock()
    with searching(made, server, clock) as found:
        found.go()
        for number in range(10):
            server.deliver(mails.by_notification(mails.order_id(number)), announce=False)
        found.go()
        for _ in range(2):
            server.script("UID SEARCH", misbehave.no_search_line())
        clock.passed += 600
        found.go()
        server.deliver(mails.by_notification(mails.order_id(50)), announce=False)
        fetched = server.commands().count("UID FETCH")
        found.go()
        # A list by FETCH is one of them, for SEARCH has left mails out.
        assert server.commands().count("UID FETCH") - fetched <= 4
    assert len(kinds(tmp_path)) == 11


def test_after_a_restore_to_before_the_first_start_new_mail_is_found_at_once(
    server: ScriptedImap, tmp_path: Path
) -> None:
    """Seen red: found by the re-list only, nine minutes late, until the old number was passed."""
    made, clock = configured(tmp_path), MovedClock()
    long_ago = datetime.now(UTC) - timedelta(days=300)
    for uid in (100, 5000):
        server.deliver(mails.by_notification(ONE), uid=uid, when=long_ago)
    with searching(made, server, clock) as found:
        found.go()
    box = server.folders["INBOX"]
    box.mails, box.uidnext = box.mails[:1], 101
    for number in (2, 3):
        with searching(made, server, clock) as found:
            found.go()
            server.deliver(mails.by_notification(mails.order_id(number)))
            found.go()
        assert len(kinds(tmp_path)) == number - 1


@pytest.mark.parametrize("said", [0, 1, 50])
def test_a_uidnext_that_is_wrong_makes_no_old_mail_new(server: ScriptedImap, tmp_path: Path, said: int) -> None:
    """Planted fault: what it says is believed although the server shows later mail: red for 1 and 50."""
    made, clock = configured(tmp_path), MovedClock()
    long_ago = datetime.now(UTC) - timedelta(days=300)
    for uid in (100, 5000):
        server.deliver(mails.by_notification(ONE), uid=uid, when=long_ago)
    with searching(made, server, clock) as found:
        found.go()
    lie = misbehave.changed(lambda answer: re.sub(rb"UIDNEXT \d+", b"UIDNEXT %d" % said, answer))
    server.script("EXAMINE", lie, always=True)
    with searching(made, server, clock) as found:
        for _ in range(2):
            found.go()
            clock.passed += 600
    assert kinds(tmp_path) == []
