"""A folder on a server that does what servers should not do: traps section 1, row by row, through `Mailbox`."""

from __future__ import annotations

import base64
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta, timezone

import mails
import pytest
from beds import misbehave
from beds.scripted import Script, ScriptedImap, Session
from beds.tap import Tap
from beds.wire import free_port

from mailwatch import connection, mailbox, message
from mailwatch.errors import FolderMissing, LoginRefused, MailboxError, Unreachable
from mailwatch.fetched import Headline
from mailwatch.mailbox import Client, Mailbox, Server
from mailwatch.secret import Secret

pytestmark = pytest.mark.server

COMMANDS = {
    "CAPABILITY", "LOGIN", "AUTHENTICATE", "LIST", "EXAMINE", "UID SEARCH", "UID FETCH", "IDLE", "DONE", "NOOP",
    "LOGOUT",
}  # fmt: skip
LONG = 60.0  # what no test may wait for
AT_ONCE = 5.0  # on a noisy machine
NOON = datetime(2022, 6, 8, 12, 0, tzinfo=UTC)
ORDER = mails.order_id(1)
JAPAN = timezone(timedelta(hours=9))  # imapclient makes it naive local time unless told not to


@pytest.fixture
def server() -> Iterator[ScriptedImap]:
    """A server; whatever a test does to it, nothing was changed on it and no command but the known ones was said."""
    with ScriptedImap() as running:
        yield running
        assert not running.violations
        assert set(running.commands()) <= COMMANDS


def connected(server: Server, folder: str) -> Mailbox:
    """Logged in, and the folder open."""
    return mailbox.log_in(server).open(folder)


def where(server: ScriptedImap, port: int | None = None, password: str | None = None) -> Server:
    """The server as the configuration names it."""
    return Server(server.host, port or server.port, None, server.user, Secret(password or server.password))


@contextmanager
def opened(server: ScriptedImap, folder: str = "INBOX", port: int | None = None) -> Iterator[Mailbox]:
    """The examined folder."""
    box = connected(where(server, port), folder)
    try:
        yield box
    finally:
        box.interrupt()
        box.close()


@contextmanager
def logged_in(server: ScriptedImap) -> Iterator[Client]:
    """A client with no folder open."""
    client = mailbox.log_in(where(server))
    try:
        yield client
    finally:
        client.connection.shutdown()


def texts(box: Mailbox, uids: list[int]) -> dict[int, str]:
    """UID to text of those that are still there."""
    found = {headline.uid: box.text(headline) for headline in box.headlines(uids)}
    return {uid: message.text for uid, message in found.items() if message is not None}


def why(fault: MailboxError) -> str:
    """What the log will say."""
    return " ".join(map(str, fault.fault.fields.values()))


def multipart(*parts: str) -> bytes:
    """A request with these parts."""
    body = "".join(f"--b\r\n{part}\r\n" for part in parts)
    head = (
        "From: Amazon <seller-notification@amazon.co.jp>\r\nSubject: cancel\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
    )
    return f"{head}{body}--b--\r\n".encode()


@pytest.mark.parametrize("command", ["EXAMINE", "NOOP", "CAPABILITY"])
def test_words_that_end_like_a_literal_are_words(server: ScriptedImap, command: str) -> None:
    """Seen red: imaplib took the next five bytes for a literal, here the `* 1 E` of EXISTS."""
    server.deliver(mails.neighbour(0))
    server.script(command, misbehave.changed(lambda answer: b"* OK [ALERT] hello {5}\r\n" + answer), always=True)
    with opened(server) as box:
        box.noop()
        assert (box.exists, box.uidnext, box.uids()) == (1, 2, [1])


# ---- listing ----


def test_all_mails_are_listed_in_ascending_order(server: ScriptedImap) -> None:
    for uid in (7, 3, 12):
        server.deliver(mails.neighbour(uid), uid=uid)
    with opened(server) as box:
        assert box.uids() == [3, 7, 12]


def test_a_list_above_the_last_uid_is_empty_though_servers_answer_the_last_mail(server: ScriptedImap) -> None:
    """`n:*` always means the last mail too. Planted fault: our own filter left out: red."""
    server.deliver(mails.neighbour(0), uid=5)
    with opened(server) as box:
        assert box.uids(above=5) == []
        assert box.uids(above=4) == [5]
        assert box.uids(above=900) == []


def test_the_date_of_the_look_back_counts_by_the_day_the_server_shows(server: ScriptedImap) -> None:
    for days in (0, 1, 2, 30):
        server.deliver(mails.neighbour(days), when=NOON - timedelta(days=days))
    with opened(server) as box:
        assert box.uids(since=date(2022, 6, 7)) == [1, 2]
    assert any(line.endswith("SINCE 7-Jun-2022") for line in server.lines())


def test_two_search_lines_are_one_list(server: ScriptedImap) -> None:
    """Planted fault: only the first line is read: red."""
    for number in range(5):
        server.deliver(mails.neighbour(number))
    server.script("UID SEARCH", misbehave.two_search_lines())
    with opened(server) as box:
        assert box.uids() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("line", ["* SEARCH", "* SEARCH ", None])
def test_an_empty_list_may_come_with_or_without_a_search_line(server: ScriptedImap, line: str | None) -> None:
    server.script("UID SEARCH", misbehave.says(*([line] if line else []), "{tag} OK done"))
    with opened(server) as box:
        assert box.uids() == []


def test_a_trailing_blank_and_lines_of_others_do_not_disturb_the_list(server: ScriptedImap) -> None:
    server.script(
        "UID SEARCH",
        misbehave.says("* 3 EXISTS", "* SEARCH 4 9 ", "* 1 FETCH (FLAGS (\\Seen))", "* 2 EXPUNGE", "{tag} OK done"),
    )
    with opened(server) as box:
        assert box.uids() == [4, 9]
        assert box.news


@pytest.mark.parametrize(
    "answer",
    [
        "* SEARCH 1 zwei 3|{tag} OK done",
        '* ESEARCH (TAG "x") ALL 1|{tag} OK done',  # no UIDs
        '* ESEARCH (TAG "x") UID COUNT 1|{tag} OK done',
        '* ESEARCH (TAG "x") UID ALL 1:4294967295|{tag} OK done',
        "* SEARCH 1,2;3|{tag} OK done",
        "{tag} NO 12",
        "{tag} NO not now",
        "{tag} BAD what",
        "{tag} bad what",
    ],
)
def test_where_a_search_is_refused_or_cannot_be_read_the_mails_are_listed_by_fetch(
    server: ScriptedImap, answer: str
) -> None:
    """It is no empty folder. Planted fault: the answer's OK is not looked at: red."""
    for uid in (3, 7, 12):
        server.deliver(mails.neighbour(uid), uid=uid)
    server.script("UID SEARCH", misbehave.says(*answer.split("|")), always=True)
    with opened(server) as box:
        assert box.uids() == [3, 7, 12]
        assert box.uids(above=5) == [7, 12]
        assert box.search_fault
        assert box.is_listed_whole
    assert server.commands().count("UID SEARCH") == 1


@pytest.mark.parametrize("answer", ["{tag} NO ", "{tag} BAD "])
def test_where_fetch_is_refused_too_the_connection_is_lost_with_its_words(server: ScriptedImap, answer: str) -> None:
    server.script("UID SEARCH", misbehave.says(answer + "no search"), always=True)
    server.script("UID FETCH", misbehave.says(answer + "closed until Monday"), always=True)
    with opened(server) as box, pytest.raises(Unreachable, match="closed until Monday"):
        box.uids()


@pytest.mark.parametrize(
    "line",
    [
        "* SEARCH 3 7 (MODSEQ 9)",
        "* SEARCH (MODSEQ 9)|* SEARCH 3 7",
        "* search 3 7",
        "*  SEARCH  3  7 ",
        "* SEARCH 3 7|* 2 FETCH (FLAGS (\\Seen))",
        '* ESEARCH (TAG "x") UID ALL 3,7',
        '* ESEARCH (TAG "x") UID MIN 3 MAX 7 ALL 7,3 COUNT 2',
        "* ESEARCH UID ALL 3,7",
        '* esearch (tag "x") uid all 3,7',
        '* ESEARCH (TAG "x") UID ALL 3|* ESEARCH (TAG "x") UID ALL 7:7',
        "* SEARCH 3| 7",
        "* SEARCH |3 |7",
    ],
)
def test_a_list_is_read_in_all_its_forms(server: ScriptedImap, line: str) -> None:
    for uid in (3, 7):
        server.deliver(mails.neighbour(uid), uid=uid)
    server.script("UID SEARCH", misbehave.says(*line.split("|"), "{tag} OK done"), always=True)
    with opened(server) as box:
        assert box.uids() == [3, 7]
        assert box.uids(above=5) == [7]
        assert not box.search_fault


def test_a_range_is_expanded(server: ScriptedImap) -> None:
    for uid in (7, 8, 9, 11, 12, 43):
        server.deliver(mails.neighbour(uid), uid=uid)
    server.script("UID SEARCH", misbehave.says('* ESEARCH (TAG "x") UID ALL 43,7:9,12:11', "{tag} OK done"))
    with opened(server) as box:
        assert box.uids() == [7, 8, 9, 11, 12, 43]


# ---- fetching ----


def test_a_headline_holds_arrival_size_sender_and_subject_and_no_other_field(server: ScriptedImap) -> None:
    data = mails.by_notification(ORDER)
    uid = server.deliver(data, when=NOON.astimezone(JAPAN))
    with opened(server) as box:
        [headline] = box.headlines([uid])
    assert (headline.uid, headline.received, headline.size) == (uid, NOON, len(data))
    assert headline.received is not None
    assert headline.received.utcoffset() == timedelta()
    assert b"seller-notification@amazon.co.jp" in headline.header
    assert b"Message-ID" not in headline.header


def test_a_mail_announced_inside_a_fetch_answer_is_news_and_spoils_nothing(server: ScriptedImap) -> None:
    """The unsolicited FETCH without UID was merged into another mail. Planted fault: `news` is never true: red."""
    orders = [mails.order_id(number) for number in range(3)]
    for order in orders:
        server.deliver(mails.by_notification(order))
    with opened(server) as box:
        uids = box.uids()
        assert not box.news
        server.script("UID FETCH", misbehave.exists_inside_fetch(mails.neighbour(1)))
        headlines = list(box.headlines(uids))
        assert [headline.uid for headline in headlines] == uids
        assert all(b"amazon" in headline.header for headline in headlines)
        assert box.news
        began = time.monotonic()
        box.wait_idle(LONG)
        assert time.monotonic() - began < AT_ONCE
        assert box.uids() == [*uids, 4]
        assert not box.news


def test_what_others_do_in_the_folder_is_not_mixed_into_the_answers(server: ScriptedImap) -> None:
    """Flags set on a phone, mails expunged and arriving, in the middle of each answer."""
    for number in range(6):
        server.deliver(mails.by_notification(mails.order_id(number)), uid=number + 10)

    def noisy(session: Session, tag: str, arguments: str) -> bool:
        noise = (
            b"* 1 FETCH (FLAGS (\\Seen))\r\n* 3 FETCH (UID 14 FLAGS ())\r\n* 9 EXISTS\r\n* 1 RECENT\r\n* 9 EXPUNGE\r\n"
        )
        lines = session.fetch_lines(arguments)
        session.write(noise + noise.join(lines) + noise + f"{tag} OK done\r\n".encode())
        return True

    server.script("UID FETCH", noisy, always=True)
    with opened(server) as box:
        found = texts(box, [11, 13])
    assert set(found) == {11, 13}
    assert all(mails.order_id(uid - 10) in found[uid] for uid in found)


def test_a_mail_expunged_between_list_and_fetch_is_left_out_and_the_others_come(server: ScriptedImap) -> None:
    for number in range(3):
        server.deliver(mails.by_notification(mails.order_id(number)))
    with opened(server) as box:
        server.script("UID SEARCH", misbehave.expunged_after(server, 2))
        uids = box.uids()
        assert uids == [1, 2, 3]
        assert [headline.uid for headline in box.headlines(uids)] == [1, 3]
        assert [uid for uid, _, _ in box.identities(uids)] == [1, 3]


def test_a_mail_expunged_between_its_headline_and_its_text_is_gone(server: ScriptedImap) -> None:
    uid = server.deliver(mails.by_notification(ORDER))
    with opened(server) as box:
        [headline] = box.headlines([uid])
        server.expunge(uid)
        assert box.text(headline) is None


def test_a_mail_expunged_between_its_header_and_its_parts_is_gone_and_not_an_empty_mail(server: ScriptedImap) -> None:
    """An empty mail of Amazon's is told as unreadable: seen red with an absent answer taken for an empty part."""
    uid = server.deliver(mails.by_notification(ORDER))
    with opened(server) as box:
        [headline] = box.headlines([uid])
        server.script("UID FETCH", misbehave.expunged_after(server, uid))
        assert box.text(headline) is None


def test_a_mail_of_which_no_header_line_can_be_had_is_left_out(server: ScriptedImap) -> None:
    """And so asked for again, and told in the end."""
    uid = server.deliver(mails.by_notification(ORDER))
    server.deliver(mails.by_notification(mails.order_id(2)))
    for item in (f"BODY[HEADER.FIELDS ({mailbox.HEADLINE_FIELDS})]", "BODY[HEADER]", "BODY[]"):
        server.override(uid, item, b"NIL")
    with opened(server) as box:
        assert [headline.uid for headline in box.headlines([1, 2])] == [2]


@pytest.mark.parametrize(
    "structure",
    [
        b'("TEXT" "PLAIN" ("CHARSET" "utf-8" NIL NIL "7BIT" 10',
        b"NIL",
        b"()",
        b'("TEXT")',
        b'("TEXT" "PLAIN" NIL',
        b"((((((",
    ],
)
def test_a_malformed_bodystructure_falls_back_to_the_beginning_of_the_mail(
    server: ScriptedImap, structure: bytes
) -> None:
    """Else one such mail ends every connection. Planted fault: the fall-back left out: red."""
    uid = server.deliver(mails.by_notification(ORDER))
    server.override(uid, "BODYSTRUCTURE", structure)
    with opened(server) as box:
        assert ORDER in texts(box, [uid])[uid]


def test_one_malformed_answer_in_a_batch_does_not_hide_the_other_mails(server: ScriptedImap) -> None:
    orders = [mails.order_id(number) for number in range(4)]
    for order in orders:
        server.deliver(mails.by_notification(order))
    server.override(2, "RFC822.SIZE", b"(12")
    with opened(server) as box:
        assert {1, 3, 4} <= {headline.uid for headline in box.headlines([1, 2, 3, 4])}


@pytest.mark.parametrize(
    ("before", "after"), [(b"RFC822.SIZE", b"((RFC822.SIZE"), (b"{", b"{1"), (b")\r\n", b"(((\r\n")]
)
def test_no_word_of_a_mail_stands_in_the_error_over_an_answer_that_cannot_be_read(
    server: ScriptedImap, monkeypatch: pytest.MonkeyPatch, before: bytes, after: bytes
) -> None:
    """imaplib and imapclient quote the answer in their errors, and our errors are logged: seen red with their words
    passed on."""
    monkeypatch.setattr(mailbox, "COMMAND_SECONDS", 0.4)
    uid = server.deliver(b"From: CANARY <a@amazon.co.jp>\r\nSubject: CANARY\r\n\r\nCANARY\r\n")
    server.script("UID FETCH", misbehave.changed(lambda answer: answer.replace(before, after, 1)), always=True)
    server.script("UID FETCH", misbehave.changed(lambda answer: answer.replace(b"{", b"{1\r\nCANARY ", 1)))
    for _ in range(2):
        with opened(server) as box:
            try:
                list(box.headlines([uid]))
            except Unreachable as fault:
                said = why(fault)
            else:
                said = ""
        assert "CANARY" not in said


@pytest.mark.parametrize(
    "answer",
    [
        "* 1 FETCH (UID 1 BODY[HEADER] {{4}}\r\nabcd)\r\nCANARY\n",  # a line that ends without CR
        "CANARY",
        "{tag} CANARY",
        "* 1 FETCH (UID 1 CANARY",
        "* CANARY",
    ],
)
@pytest.mark.parametrize("command", ["UID FETCH", "UID SEARCH", "EXAMINE"])
def test_no_word_of_a_mail_stands_in_the_error_over_lines_out_of_step(
    server: ScriptedImap, monkeypatch: pytest.MonkeyPatch, answer: str, command: str
) -> None:
    """imaplib said "unterminated line: b'…'". Seen red with the words of all its errors passed on but those of one."""
    monkeypatch.setattr(mailbox, "COMMAND_SECONDS", 0.3)
    monkeypatch.setattr(mailbox, "SEARCH_SECONDS", 0.3)
    uid = server.deliver(mails.neighbour(1))

    def work() -> None:
        with opened(server) as box:
            box.uids()
            list(box.headlines([uid]))

    server.script(command, misbehave.says(answer), always=True)
    said = ""
    try:
        work()
    except MailboxError as fault:
        said = why(fault)
    assert "CANARY" not in said


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("UID FETCH", "* BYE "),  # its NO is of one mail
        ("IDLE", "* BYE "),  # after its NO the folder is polled
        ("UID SEARCH", "* BYE "),  # after its NO the mails are listed by FETCH
        *itertools.product(["EXAMINE", "NOOP", "LOGIN"], ["{tag} NO ", "{tag} BAD ", "* BYE "]),
    ],
)
def test_what_a_server_says_in_a_no_a_bad_or_a_bye_is_told(server: ScriptedImap, command: str, answer: str) -> None:
    """Seen red with all words of imaplib's errors withheld, and without `_check_bye`."""
    server.script(command, misbehave.says(answer + "closed until Monday"), always=True)

    def work() -> None:
        with opened(server) as box:
            list(box.headlines(box.uids() or [1]))
            box.noop()
            box.wait_idle(0.1)

    with pytest.raises(MailboxError, match="closed until Monday"):
        work()


@pytest.mark.parametrize(
    "internal_date", [b'"31-Dec-9999 23:59:59 -1200"', b'"01-Jan-0001 00:00:00 +1400"', b'"x"', b"NIL"]
)
def test_an_arrival_that_overflows_does_not_hide_the_mail_nor_the_others(
    server: ScriptedImap, internal_date: bytes
) -> None:
    """One such date failed the whole batch. Planted fault: `_one_headline` without its fall-back: red."""
    orders = [mails.order_id(number) for number in range(4)]
    for order in orders:
        server.deliver(mails.by_notification(order))
    server.override(2, "INTERNALDATE", internal_date)
    with opened(server) as box:
        found = texts(box, [1, 2, 3, 4])
    assert [mails.order_id(uid - 1) in found[uid] for uid in sorted(found)] == [True] * 4


def test_an_arrival_that_overflows_does_not_break_the_identities_of_the_others(server: ScriptedImap) -> None:
    """They are asked for at each re-list, so one such mail ended every connection: seen red with the conversion outside
    the guard."""
    for number in range(4):
        server.deliver(mails.neighbour(number))
    misbehave.year_9999(server, 2)
    with opened(server) as box:
        assert {1, 3, 4} <= {uid for uid, _, _ in box.identities([1, 2, 3, 4])}


@pytest.mark.parametrize("answer", ["NO could not be converted", "BAD internal error"])
def test_a_mail_that_the_server_refuses_is_left_out_and_the_others_come(server: ScriptedImap, answer: str) -> None:
    """As headline and as identity. Seen red: it ended the connection, at each try."""
    for number in range(3):
        server.deliver(mails.by_notification(mails.order_id(number)))

    def script(session: Session, tag: str, arguments: str) -> bool:
        if arguments.startswith(("1:3", "1,2,3", "2 ")):
            session.write(f"{tag} {answer}\r\n".encode())
            return True
        return False

    server.script("UID FETCH", script, always=True)
    with opened(server) as box:
        assert [headline.uid for headline in box.headlines([1, 2, 3])] == [1, 3]
        assert [uid for uid, _, _ in box.identities([1, 2, 3])] == [1, 3]


@pytest.mark.parametrize("zone", ["-1200", "+9999", "+99999999999999999"])
def test_an_arrival_that_overflows_hides_no_size(server: ScriptedImap, zone: str) -> None:
    """Seen red: with the last the whole piece had no identity, so 250 mails were fetched again at each re-list; with
    the one before it the worker failed."""
    data = mails.neighbour(1)
    for _ in range(3):
        server.deliver(data)
    server.override(2, "INTERNALDATE", f'"31-Dec-9999 23:59:59 {zone}"'.encode())
    with opened(server) as box:
        found = list(box.identities([1, 2, 3]))
    assert [size for _, _, size in found] == [len(data)] * 3
    assert found[1][1] is None


def test_fields_without_end_are_cut_on_the_server(server: ScriptedImap) -> None:
    """Seen red with all of them fetched."""
    uid = server.deliver(b"From: a@b.example\r\nSubject: " + b"x" * 3_000_000 + b"\r\n\r\nx\r\n")
    with opened(server) as box:
        [headline] = box.headlines([uid])
    assert len(headline.header) == mailbox.MAX_HEADLINE


def test_a_huge_literal_ends_the_connection_without_being_read(server: ScriptedImap) -> None:
    """4 GB. Planted fault: the limit in `Connection.read` left out: waits out the deadline, red."""
    server.deliver(mails.by_notification(ORDER))
    server.script("UID FETCH", misbehave.huge_literal())
    began = time.monotonic()
    with opened(server) as box, pytest.raises(Unreachable, match="literal"):
        list(box.headlines([1]))
    assert time.monotonic() - began < AT_ONCE


def test_an_attachment_of_5_mb_does_not_cross_the_wire(server: ScriptedImap) -> None:
    """Planted fault: `text` fetches the whole mail: red."""
    attachment = (
        "Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n" + "QUJDREVG" * (5 * 1024 * 1024 // 8)
    )
    attached_text = "Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\n" + "log line\r\n" * 100_000
    uid = server.deliver(multipart("Content-Type: text/plain\r\n\r\nwords of " + ORDER, attachment, attached_text))
    with Tap(server.port) as tap, opened(server, port=tap.port) as box:
        assert ORDER in texts(box, [uid])[uid]
        assert tap.server_bytes() < 20_000


def test_a_text_of_5_mb_is_cut_on_the_server(server: ScriptedImap) -> None:
    uid = server.deliver(multipart("Content-Type: text/plain\r\n\r\n" + ORDER + "\r\nlong line\r\n" * 500_000))
    with Tap(server.port) as tap, opened(server, port=tap.port) as box:
        assert ORDER in texts(box, [uid])[uid]
        assert tap.server_bytes() < 300_000


def test_no_command_is_longer_than_8000_bytes_for_5000_mails(server: ScriptedImap) -> None:
    """Planted fault: pieces of 2,500: red."""
    small = b"From: a@example.org\r\nSubject: x\r\n\r\nx\r\n"
    first = 4_000_000_000  # the longest UIDs
    for number in range(5000):
        server.deliver(small, uid=first + 2 * number, announce=False)
    with opened(server) as box:
        uids = box.uids()
        assert len(uids) == 5000
        assert [uid for uid, _, _ in box.identities(uids)] == uids
        assert [headline.uid for headline in box.headlines(uids)] == uids
    assert max(map(len, server.lines())) <= 8000


def test_nothing_out_of_a_mail_reaches_a_command(server: ScriptedImap) -> None:
    """A crafted Message-ID became a command of its own (imapclient sends CR/LF raw)."""
    canary = "CANARY"
    crafted = (
        f'From: Amazon <{canary}@amazon.co.jp>\r\nSubject: {canary}\r\nMessage-ID: <a"\r\n x1 DELETE {canary}@a>\r\n'
        f"References: <{canary}>\nx2 DELETE INBOX\r\nMIME-Version: 1.0\r\n"
        f'Content-Type: text/plain; charset="{canary}"; name="{canary}"\r\n\r\n{canary}\r\n'
    )
    uid = server.deliver(crafted.encode())
    with opened(server) as box:
        assert canary in texts(box, box.uids())[uid]
        list(box.identities([uid]))
    assert not [line for line in server.lines() if canary in line or "DELETE" in line]


def test_a_charset_out_of_a_bodystructure_cannot_break_out_of_its_field(server: ScriptedImap) -> None:
    uid = server.deliver(mails.by_notification(ORDER))
    structure = (
        b'("TEXT" "PLAIN" ("CHARSET" {24}\r\nutf-8"\r\nX: y\r\n\r\nINJECTED) NIL NIL "BASE64" 10 1 NIL NIL NIL NIL)'
    )
    server.override(uid, "BODYSTRUCTURE", structure.replace(b"{24}", b"{%d}" % len(b'utf-8"\r\nX: y\r\n\r\nINJECTED')))
    with opened(server) as box:
        assert "INJECTED" not in texts(box, [uid])[uid]


# ---- waiting ----


def test_a_slice_ends_at_the_first_announcement(server: ScriptedImap) -> None:
    with opened(server) as box:
        box.uids()
        server.script("IDLE", misbehave.exists_with_idling(mails.neighbour(1)))
        began = time.monotonic()
        box.wait_idle(LONG)
        assert time.monotonic() - began < AT_ONCE
        assert box.news
        assert box.uids() == [1]


def test_mail_that_came_between_list_and_idle_is_not_waited_for(server: ScriptedImap) -> None:
    """20 of 20 were missed with imapclient's own IDLE. Planted fault: `wait_idle` counts from its own start: red."""
    with opened(server) as box:
        box.uids()
        server.deliver(mails.neighbour(1), announce=False)
        list(box.headlines([1]))  # its answer announces the mail
        began = time.monotonic()
        box.wait_idle(LONG)
        assert time.monotonic() - began < AT_ONCE


@pytest.mark.parametrize("fault", [misbehave.close_in_idle(), misbehave.bye_in_idle("Server shutting down.")])
def test_a_connection_that_ends_in_idle_is_lost_at_once(server: ScriptedImap, fault: Script) -> None:
    server.script("IDLE", fault)
    with opened(server) as box:
        box.uids()
        began = time.monotonic()
        with pytest.raises(Unreachable):
            box.wait_idle(LONG)
        assert time.monotonic() - began < AT_ONCE


def test_the_words_of_a_bye_reach_the_log(server: ScriptedImap) -> None:
    server.script("IDLE", misbehave.bye_in_idle("Server shutting down."))
    with opened(server) as box:
        box.uids()
        with pytest.raises(Unreachable) as fault:
            box.wait_idle(LONG)
    assert "Server shutting down." in why(fault.value)


@pytest.mark.parametrize("answer", ["NO not for you", "BAD unknown command"])
def test_a_refused_idle_leaves_a_mailbox_that_is_polled(server: ScriptedImap, answer: str) -> None:
    """Seen red with every refusal of IDLE taken for a lost connection."""
    server.script("IDLE", misbehave.says("{tag} " + answer))
    with opened(server) as box:
        assert box.mode == "idle"
        box.wait_idle(LONG)
        assert box.mode == "poll"
        assert answer in box.idle_refusal
        box.noop()


def test_noop_asks_for_news_where_there_is_no_idle(server: ScriptedImap) -> None:
    server.capability = "IMAP4rev1"
    with opened(server) as box:
        assert box.mode == "poll"
        box.uids()
        server.deliver(mails.neighbour(1), announce=False)
        box.noop()
        assert box.news


def test_interrupt_from_another_thread_ends_a_wait_at_once(server: ScriptedImap) -> None:
    """Planted fault: `interrupt` does nothing: red."""
    ended = threading.Event()

    def wait(box: Mailbox) -> None:
        with pytest.raises(Unreachable):
            box.wait_idle(LONG)
        ended.set()

    with opened(server) as box:
        box.uids()
        threading.Thread(target=wait, args=(box,), daemon=True).start()
        server.wait_for_idle()
        box.interrupt()
        assert ended.wait(AT_ONCE)


@pytest.mark.parametrize(
    "fault", [misbehave.silence(), misbehave.drip(0.1), misbehave.closes(), misbehave.endless_lines(), misbehave.bye()]
)
@pytest.mark.parametrize("command", ["UID SEARCH", "UID FETCH", "NOOP"])
def test_whatever_the_server_does_a_command_ends_as_unreachable_within_its_deadline(
    server: ScriptedImap, monkeypatch: pytest.MonkeyPatch, fault: Script, command: str
) -> None:
    """Planted fault: `surprises_lose` lets imaplib's errors through: red."""
    monkeypatch.setattr(mailbox, "COMMAND_SECONDS", 0.4)
    monkeypatch.setattr(mailbox, "SEARCH_SECONDS", 0.4)
    monkeypatch.setattr(mailbox, "PROOF_SECONDS", 0.4)
    server.deliver(mails.by_notification(ORDER))
    calls: dict[str, Callable[[Mailbox], object]] = {
        "UID SEARCH": lambda box: box.uids(),
        "UID FETCH": lambda box: list(box.headlines([1])),
        "NOOP": Mailbox.noop,
    }
    with opened(server) as box:
        server.script(command, fault)
        began = time.monotonic()
        with pytest.raises(Unreachable):
            calls[command](box)
        assert time.monotonic() - began < AT_ONCE


def test_a_flood_is_cut_off_at_the_byte_budget_of_one_operation(server: ScriptedImap) -> None:
    """16 MiB; with a time-out alone it took 250 MB."""
    server.script("NOOP", misbehave.endless_lines(b"* OK " + b"x" * 8000 + b"\r\n"))
    with Tap(server.port) as tap, opened(server, port=tap.port) as box:
        with pytest.raises(Unreachable):
            box.noop()
        assert tap.server_bytes() < 40 * 1024 * 1024


def test_closing_a_mute_connection_takes_two_seconds_at_most(server: ScriptedImap) -> None:
    server.script("LOGOUT", misbehave.silence())
    box = connected(where(server), "INBOX")
    began = time.monotonic()
    box.close()
    assert time.monotonic() - began < AT_ONCE


# ---- opening ----


def test_a_folder_that_is_missing_is_an_error_of_its_own(server: ScriptedImap) -> None:
    with pytest.raises(FolderMissing) as fault:
        connected(where(server), "Nicht da")
    assert fault.value.fault.fields["folder"] == "Nicht da"


@pytest.mark.parametrize("codes", [("UIDVALIDITY",), ("UIDNEXT",), ("UIDVALIDITY", "UIDNEXT")])
def test_a_folder_without_uidvalidity_or_uidnext_can_be_watched(server: ScriptedImap, codes: tuple[str, ...]) -> None:
    server.deliver(mails.by_notification(ORDER))
    server.script("EXAMINE", misbehave.without(*codes))
    with opened(server) as box:
        assert (box.uidvalidity is None) == ("UIDVALIDITY" in codes)
        assert (box.uidnext is None) == ("UIDNEXT" in codes)
        assert ORDER in texts(box, box.uids())[1]


@pytest.mark.parametrize("name", ["受信/キャンセル", "a&b", 'quo"te', "back\\slash", "with blank", "123"])
def test_folder_names_reach_the_server_as_they_are(server: ScriptedImap, name: str) -> None:
    server.add_folder(name)
    server.deliver(mails.neighbour(0), name)
    with opened(server, name) as box:
        assert box.uids() == [1]


def test_junk_is_found_by_special_use_before_any_name(server: ScriptedImap) -> None:
    """Planted fault: names before attributes: red."""
    del server.folders["Junk"]
    server.add_folder("Spam")
    server.add_folder("INBOX.Ramsch", "\\Junk")
    with logged_in(server) as client:
        assert client.resolve("\\Junk") == ("INBOX.Ramsch",)
        assert client.resolve("\\junk") == ("INBOX.Ramsch",)


@pytest.mark.parametrize(
    "name",
    [
        "Junk", "SPAM", "Junk E-mail", "Junk Email", "Junk E-Mail", "JunkMail", "INBOX.Bulk Mail", "[Gmail]/Spam",
        "迷惑メール", "迷惑メールフォルダ", "迷惑メールフォルダー", "[Gmail]/迷惑メール", "INBOX/迷惑メール",
        "INBOX.迷惑メールフォルダ",
        "迷惑ﾒｰﾙ", "ｓｐａｍ", "ジャンク E メール", "ジャンクメール", "スパム", "迷惑フォルダー", "Spam Mail",
    ],
)  # fmt: skip
def test_junk_is_found_by_its_usual_names_where_no_attribute_says_it(server: ScriptedImap, name: str) -> None:
    del server.folders["Junk"]
    server.add_folder("Junky business")
    server.add_folder(name)
    with logged_in(server) as client:
        assert client.resolve("\\Junk") == (name,)
        assert mailbox.is_junk_name(name)


ODD_FOLDERS = {
    "no attributes": rb'* LIST NIL "/" foo',
    "a name with blanks": rb'* LIST () "/" My Mail',
    "words behind the name": rb'* LIST () "/" foo ("CHILDINFO" ("SUBSCRIBED"))',
    "a former name": rb'* LIST () "/" foo ("OLDNAME" ("bar"))',
    "brackets": rb'* LIST () "/" a[b',
    "a parenthesis": rb'* LIST () "/" a(b',
    "no name": rb'* LIST () "/"',
    "an empty name": rb'* LIST () "/" ""',
    "a quote that stays open": rb'* LIST () "/" "foo',
    "a backslash at the end": rb'* LIST () "/" "dir\"',
    "a backslash as delimiter": rb'* LIST () "\" "a b"',
    "no delimiter": rb"* LIST () NIL foo",
    "a number": rb'* LIST () "/" 2024',
    "no modified UTF-7": rb'* LIST () "/" "&AA"',
    "Shift_JIS": b'* LIST () "/" "\x92\x8d\x95\xb6"',
    "a literal": b'* LIST () "/" {5}\r\na"b\\c',
    "another answer": rb"* STATUS foo (MESSAGES 3)",
}


@pytest.mark.parametrize("odd", ODD_FOLDERS)
def test_one_odd_folder_does_not_hide_the_others(server: ScriptedImap, odd: str) -> None:
    """Seen red with imapclient's reader: one such line, and the junk folder was not found; without attributes the
    worker itself failed."""
    server.script("LIST", raw(ODD_FOLDERS[odd] + b'\r\n* LIST (\\Junk) "/" Junk\r\n{tag} OK done'), always=True)
    with logged_in(server) as client:
        assert client.resolve("\\Junk") == ("Junk",)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b'* LIST (\\Junk) "/" {4}\r\nRest', "Rest"),
        (b'* LIST (\\Junk) "/" "a \\"b\\" \\\\c"', 'a "b" \\c'),
        (b'* LIST (\\HasNoChildren \\Junk) "/" My Mail', "My Mail"),
        (b'* LIST (\\Junk) "\\" "a b"', "a b"),
        (b'* list (\\junk) nil rest ("CHILDINFO" ("SUBSCRIBED"))', "rest"),
        ('* LIST () "/" "迷惑メール"'.encode(), "迷惑メール"),
    ],
)
def test_a_folder_is_named_as_the_server_names_it(server: ScriptedImap, line: bytes, name: str) -> None:
    """Seen red of a name in UTF-8: the junk folder counted as absent, which is well."""
    server.script("LIST", raw(line + b"\r\n{tag} OK done"), always=True)
    with logged_in(server) as client:
        assert client.resolve("\\Junk") == (name,)


def test_a_junk_folder_that_is_absent_is_none_and_no_other_folder(server: ScriptedImap) -> None:
    del server.folders["Junk"]
    with logged_in(server) as client:
        assert client.resolve("\\Junk") == ()


def test_any_other_role_that_is_absent_is_a_missing_folder(server: ScriptedImap) -> None:
    """None is for a junk folder only. Seen red: it was never watched, and never said."""
    with logged_in(server) as client, pytest.raises(FolderMissing, match="Flagged"):
        client.resolve("\\Flagged")


@pytest.mark.parametrize("role", ["\\Junk", "\\Flagged"])
def test_a_list_without_any_folder_proves_nothing(server: ScriptedImap, role: str) -> None:
    """Seen red, taken for the absence of a junk folder."""
    server.script("LIST", misbehave.says("{tag} OK LIST completed"))
    with logged_in(server) as client, pytest.raises(Unreachable):
        client.resolve(role)


def test_a_plain_name_is_taken_as_it_is_without_a_question(server: ScriptedImap) -> None:
    with logged_in(server) as client:
        assert client.resolve("Archiv") == ("Archiv",)
    assert "LIST" not in server.commands()


# ---- logging in ----


@pytest.mark.parametrize(
    "text",
    [
        "[AUTHENTICATIONFAILED] Authentication failed.",
        "[AUTHENTICATIONFAILED] Invalid credentials (Failure)",
        "[AUTHENTICATIONFAILED] Login incorrect, please try again.",
        "[AUTHENTICATIONFAILED] ユーザー名またはパスワードが違います。",
        "[AUTHORIZATIONFAILED] No.",
    ],
)
def test_a_refusal_of_user_or_password_is_for_a_person(server: ScriptedImap, text: str) -> None:
    """Planted fault: every refusal passes for a busy server: red."""
    server.script("LOGIN", misbehave.refuse_login(text))
    with pytest.raises(LoginRefused) as fault:
        mailbox.log_in(where(server))
    assert text in why(fault.value)
    assert not fault.value.may_pass


@pytest.mark.parametrize(
    "text",
    [
        "[EXPIRED] Your password is too old.",
        "[ALERT] Please log in via your web browser: https://support.example/78754 (Failure)",
        "Login failed.",
        "LOGIN failed",
        "ログインできません。",
        "",
    ],
)
def test_a_refusal_that_names_neither_user_nor_password_may_pass(server: ScriptedImap, text: str) -> None:
    """Some servers refuse every login so during maintenance. Seen red: told at once as a wrong password."""
    server.script("LOGIN", misbehave.refuse_login(text))
    with pytest.raises(LoginRefused) as fault:
        mailbox.log_in(where(server))
    assert text in why(fault.value)
    assert fault.value.may_pass
    assert fault.value.fault.key == "mailbox.login_refused"


@pytest.mark.parametrize(
    "text",
    [
        "[UNAVAILABLE] Temporary authentication failure.",
        "[LIMIT] Maximum number of connections from user+IP exceeded",
        "[INUSE] Mailbox in use.",
        "[SERVERBUG] Internal error occurred.",
        "Too many simultaneous connections.",
        "[ALERT] Too many simultaneous connections. (Failure)",
        "Temporary failure, try again later",
        "[AUTHENTICATIONFAILED] Too many failed attempts.",
        "[AUTHENTICATIONFAILED] Service is under maintenance.",
        "Server Unavailable. 15",
        "Server busy",
        "Connection limit exceeded",
        "現在メンテナンス中です",
        "ただいま混雑しています。しばらくしてからお試しください。",
        "[AUTHENTICATIONFAILED] ログイン回数の上限を超えました",
        "システム保守のため停止しています",
        "時間をおいてください",
    ],
)
@pytest.mark.parametrize("charset", ["utf-8", "cp932", "euc_jp", "iso-2022-jp"])
def test_a_server_that_is_busy_may_pass_in_whatever_charset_it_says_so(
    server: ScriptedImap, text: str, charset: str
) -> None:
    """The fifth and the sixth are one provider's, with and without its code. Seen red with the raw bytes decoded as
    UTF-8, and with only the English words known."""
    server.script("LOGIN", raw(b"{tag} NO " + text.encode(charset)))
    with pytest.raises(LoginRefused) as fault:
        mailbox.log_in(where(server))
    assert text in why(fault.value)
    assert fault.value.may_pass
    assert fault.value.fault.key == "mailbox.login_not_now"


def raw(line: bytes) -> Script:
    """Answer with these bytes; "{tag}" is the command's tag."""

    def script(session: Session, tag: str, _arguments: str) -> bool:
        session.write(line.replace(b"{tag}", tag.encode()) + b"\r\n")
        return True

    return script


@pytest.mark.parametrize("command", ["EXAMINE", "LOGIN"])
@pytest.mark.parametrize("kind", [b"NO", b"BAD"])
@pytest.mark.parametrize("charset", ["utf-8", "cp932"])
def test_the_words_of_a_refusal_are_quoted_as_a_person_reads_them(
    server: ScriptedImap, command: str, kind: bytes, charset: str
) -> None:
    """imapclient drops what is not ASCII from a NO, imaplib shows a BAD as Python shows a list of bytes: both seen red.
    A terminal must not be told anything by them."""
    said = "障害が発生しました\x1b[2J\u202e".encode(charset, "ignore") + b"x" * 300
    server.script(command, raw(b"{tag} " + kind + b" " + said))
    with pytest.raises(MailboxError) as fault:
        connected(where(server), "INBOX")
    words = str(fault.value.fault.fields["why"])
    assert "障害が発生しました" in words
    assert words.isprintable()
    assert len(words) <= 200


@pytest.mark.parametrize("response_first", [True, False])
def test_where_login_is_disabled_it_goes_by_authenticate_plain(server: ScriptedImap, *, response_first: bool) -> None:
    """RFC 3501 section 6.2.3: LOGIN must not be sent then. Seen red: sent, refused and told as a wrong password. Some
    servers write words behind the `+`, which imaplib can't read: seen red."""
    server.capability += " LOGINDISABLED AUTH=PLAIN"
    server.password = 'quo"te パスワード\\'
    if response_first:
        server.script("AUTHENTICATE", says_go_ahead)
    with opened(server) as box:
        assert box.uids() == []
    assert "LOGIN" not in server.commands()
    assert server.commands().count("AUTHENTICATE") == 1


def says_go_ahead(session: Session, tag: str, _arguments: str) -> bool:
    session.write(b"+ go ahead\r\n")
    session._read_line()
    session.logged_in = True
    session.write(f"{tag} OK [CAPABILITY IMAP4rev1] done\r\n".encode())
    return True


def test_a_password_that_authenticate_plain_refuses_is_for_a_person(server: ScriptedImap) -> None:
    server.capability += " LOGINDISABLED AUTH=PLAIN"
    with pytest.raises(LoginRefused) as fault:
        mailbox.log_in(where(server, password="canary-one"))
    assert "[AUTHENTICATIONFAILED]" in why(fault.value)
    assert not fault.value.may_pass


def test_a_server_that_challenges_for_ever_gets_the_password_once(server: ScriptedImap) -> None:
    heard: list[str | None] = []

    def asks_again(session: Session, tag: str, _arguments: str) -> bool:
        for _ in range(3):
            session.write(b"+ \r\n")
            heard.append(session._read_line())
            if heard[-1] == "*":
                break
        session.write(f"{tag} BAD given up\r\n".encode())
        return True

    server.capability += " LOGINDISABLED AUTH=PLAIN"
    server.script("AUTHENTICATE", asks_again)
    with pytest.raises(LoginRefused):
        mailbox.log_in(where(server))
    assert heard[1:] == ["*"]


@pytest.mark.parametrize("others", ["", " AUTH=XOAUTH2 AUTH=OAUTHBEARER"])
def test_a_server_that_takes_no_password_says_so_and_is_sent_none(server: ScriptedImap, others: str) -> None:
    server.capability += " LOGINDISABLED" + others
    with pytest.raises(LoginRefused) as fault:
        mailbox.log_in(where(server))
    assert fault.value.fault.key == "mailbox.login_disabled"
    assert not {"LOGIN", "AUTHENTICATE"} & set(server.commands())


THROTTLED = "Request is throttled. Suggested Backoff Time: 299961 milliseconds"


def test_a_throttled_greeting_says_how_long_to_wait(server: ScriptedImap) -> None:
    """Seen red: only what came after the login was obeyed."""
    server.script("GREETING", misbehave.bye(THROTTLED))
    with pytest.raises(Unreachable) as fault:
        mailbox.log_in(where(server))
    assert fault.value.wait_seconds == pytest.approx(299.961)


@pytest.mark.parametrize("answer", ["{tag} NO ", "{tag} BAD ", "* BYE "])
def test_a_throttled_login_says_how_long_to_wait(server: ScriptedImap, answer: str) -> None:
    """Planted fault: milliseconds taken for seconds: red."""
    server.script("LOGIN", misbehave.says(answer + THROTTLED))
    with pytest.raises(Unreachable) as fault:
        mailbox.log_in(where(server))
    assert fault.value.wait_seconds == pytest.approx(299.961)


@pytest.mark.parametrize("answer", ["{tag} NO ", "{tag} BAD ", "* BYE "])
@pytest.mark.parametrize("command", ["EXAMINE", "UID SEARCH", "UID FETCH", "NOOP", "IDLE"])
def test_a_throttled_command_says_how_long_to_wait(server: ScriptedImap, command: str, answer: str) -> None:
    server.deliver(mails.neighbour(0))
    server.script(command, misbehave.says(answer + THROTTLED))

    def work() -> None:
        with opened(server) as box:
            list(box.headlines(box.uids()))
            box.noop()
            box.wait_idle(0.1)

    with pytest.raises(Unreachable) as fault:
        work()
    assert fault.value.wait_seconds == pytest.approx(299.961)


@pytest.mark.parametrize(
    "fault",
    [misbehave.closes(), misbehave.silence(), misbehave.bye("Server shutting down."), misbehave.endless_lines()],
)
@pytest.mark.parametrize("command", ["GREETING", "CAPABILITY", "LOGIN", "EXAMINE"])
def test_a_connection_lost_while_opening_is_no_refusal_and_no_missing_folder(
    server: ScriptedImap, monkeypatch: pytest.MonkeyPatch, command: str, fault: Script
) -> None:
    """Else a network that fails for a moment at LOGIN is told as a wrong password: seen red with only `LinkLost` let
    through, which imaplib turns into its own `abort`."""
    monkeypatch.setattr(mailbox, "CONNECT_SECONDS", 0.4)
    monkeypatch.setattr(mailbox, "COMMAND_SECONDS", 0.4)
    server.script(command, fault)
    with pytest.raises(Unreachable):
        connected(where(server), "INBOX")


def test_a_greeting_that_says_logged_in_already_is_believed(server: ScriptedImap) -> None:
    """Through a tunnel. Seen red with LOGIN sent all the same, which imaplib refuses: told as a refused login."""

    def preauth(session: Session, _tag: str, _arguments: str) -> bool:
        session.logged_in = True
        session.write(b"* PREAUTH welcome back\r\n")
        return True

    server.script("GREETING", preauth)
    with opened(server) as box:
        assert box.uids() == []
    assert "LOGIN" not in server.commands()


def test_a_server_that_is_not_there_is_unreachable() -> None:
    with pytest.raises(Unreachable) as fault:
        mailbox.log_in(Server("127.0.0.1", free_port(), None, "u", Secret("p")))
    assert fault.value.wait_seconds == 0


def test_a_password_that_is_not_ascii_is_a_refusal_that_says_so(server: ScriptedImap) -> None:
    with pytest.raises(LoginRefused) as fault:
        mailbox.log_in(where(server, password="パスワード"))
    assert fault.value.fault.key == "mailbox.login_not_ascii"


@pytest.mark.parametrize("password", ['with "quotes"', "back\\slash", "with blank", "{5}", "%*"])
def test_any_ascii_password_reaches_the_server_as_it_is(server: ScriptedImap, password: str) -> None:
    server.password = password
    with opened(server) as box:
        assert box.uids() == []


def test_the_password_is_in_no_error_that_a_failed_login_raises(server: ScriptedImap) -> None:
    with pytest.raises(LoginRefused) as fault:
        mailbox.log_in(where(server, password="canary-one"))
    chain = [
        fault.value,
        fault.value.__cause__,
        fault.value.__context__ if not fault.value.__suppress_context__ else None,
    ]
    assert "canary-one" not in " ".join(map(repr, chain)) + why(fault.value)
    assert "canary-one" not in repr(where(server, password="canary-one"))


@pytest.mark.parametrize("password", ["canary-one", 'ca"nary', "ca\\nary", "ca'na\"ry\\", "canary " * 40])
@pytest.mark.parametrize("answer", ["{tag} NO ", "{tag} BAD ", "* BYE "])
def test_a_password_that_the_server_quotes_is_in_no_error(server: ScriptedImap, password: str, answer: str) -> None:
    """The words go into the log, the alert and the store. Seen red with them passed on as they are, with the password
    looked for only as it is, and with the words cut before it is looked for."""
    server.password = password
    quoted = password.replace("\\", "\\\\").replace('"', '\\"')

    def echo(session: Session, tag: str, arguments: str) -> bool:
        session.write(f"{answer.format(tag=tag)}{'x' * 100} LOGIN {arguments} or {password}\r\n".encode())
        return True

    server.script("LOGIN", echo)
    with pytest.raises(MailboxError) as fault:
        mailbox.log_in(where(server, password=password))
    said = why(fault.value)
    assert "***" in said
    for form in (password, quoted, repr(quoted)[1:-1], password[:30]):
        assert form not in said


@pytest.mark.parametrize("command", ["LOGIN", "AUTHENTICATE", "EXAMINE"])
@pytest.mark.parametrize("password", ["canary-one", "Kanarienvogel+/2", "zwölf Kanarien"])
@pytest.mark.parametrize("form", ["plain", "upper", "base64", "base64url", "hex", "HEX", "response", "longer"])
def test_a_password_that_the_server_quotes_in_another_form_is_in_no_error(
    server: ScriptedImap, command: str, password: str, form: str
) -> None:
    """Seen red with each of the forms left out."""
    data = password.encode()
    quoted = {
        "plain": password,
        "upper": password.upper(),
        "base64": base64.b64encode(data).decode(),
        "base64url": base64.urlsafe_b64encode(data).decode(),
        "hex": data.hex(),
        "HEX": data.hex(" ").upper(),
        "response": base64.b64encode(f"\0{server.user}\0{password}".encode()).decode(),
        "longer": base64.b64encode(f"boss\0{server.user}\0{password}\0tail".encode()).decode(),
    }[form]
    server.password = password
    if command == "AUTHENTICATE" or not password.isascii():
        server.capability += " LOGINDISABLED AUTH=PLAIN"
    script = raw(f"{{tag}} NO [AUTHENTICATIONFAILED] got <{quoted}>".encode())
    server.script("AUTHENTICATE" if command == "LOGIN" and not password.isascii() else command, script)
    with pytest.raises(MailboxError) as fault:
        connected(where(server, password=password), "INBOX")
    said = why(fault.value)
    assert "***" in said
    assert quoted not in said
    assert password.upper() not in said.upper()
    if form == "longer":
        # A sixth of a letter at each end is all that is left of it.
        assert base64.b64encode(data).decode()[4:12] not in said


LASTING = [
    "[NONEXISTENT] Mailbox doesn't exist: Archiv",
    "[NONEXISTENT] Unknown Mailbox: Archiv (Failure)",
    "[NOPERM] Permission denied",
    "Mailbox doesn't exist: Archiv",
    "Mailbox does not exist",
    "EXAMINE failed: Can't open mailbox Archiv: no such mailbox",
    "The folder could not be found",
    "[TRYCREATE] No such folder",
    "Folder not found",
    "Unknown mailbox",
    "フォルダが存在しません",
    "指定されたメールボックスは見つかりません",
]
PASSING = [
    "Server Unavailable. 15",
    "[UNAVAILABLE] Mailbox is locked",
    "[INUSE] Mailbox in use",
    "現在メンテナンス中です",
    "EXAMINE failed",
    "Internal error occurred. Refer to server log for more information.",
    "[SERVERBUG] database does not exist",
    "Mailbox not found, try again later",
    "申し訳ありません。しばらくお待ちください",
    "",
]


@pytest.mark.parametrize("text", LASTING)
def test_a_folder_that_the_server_says_is_not_there_is_missing(server: ScriptedImap, text: str) -> None:
    server.add_folder("Archiv")
    server.script("EXAMINE", raw(b"{tag} NO " + text.encode()))
    with pytest.raises(FolderMissing) as fault:
        connected(where(server), "Archiv")
    assert text in why(fault.value)


@pytest.mark.parametrize("text", PASSING)
def test_any_other_refusal_of_a_folder_may_pass(server: ScriptedImap, text: str) -> None:
    """Seen red: `NO Server Unavailable. 15` was told at once as a folder that is not there."""
    server.add_folder("Archiv")
    server.script("EXAMINE", raw(b"{tag} NO " + text.encode()))
    with pytest.raises(Unreachable) as fault:
        connected(where(server), "Archiv")
    assert text in why(fault.value)
    assert "Archiv" in str(fault.value)


@pytest.mark.parametrize("text", [*LASTING, *PASSING])
@pytest.mark.parametrize("inbox", ["INBOX", "Inbox"])
def test_an_inbox_is_never_missing(server: ScriptedImap, text: str, inbox: str) -> None:
    server.script("EXAMINE", raw(b"{tag} NO " + text.encode()))
    with pytest.raises(Unreachable):
        connected(where(server), inbox)


def test_a_limit_on_literals_does_not_refuse_what_we_ask_for_ourselves() -> None:
    assert mailbox.MAX_WHOLE < connection.MAX_LITERAL


def test_a_headline_of_a_vanished_mail_is_no_surprise(server: ScriptedImap) -> None:
    with opened(server) as box:
        assert list(box.headlines([])) == []
        assert list(box.headlines([99])) == []
        assert box.text(Headline(99, NOON, 1, b"")) is None


# ---- text that is encoded otherwise, moved, or hidden in the structure ----


@pytest.mark.parametrize("encoding", [b"7BIT", b"QUOTED-PRINTABLE", b"X-UNKNOWN", b"BASE64;"])
def test_a_part_is_decoded_by_its_bytes_where_the_structure_contradicts_them(
    server: ScriptedImap, encoding: bytes
) -> None:
    """Seen red with the encoding of BODYSTRUCTURE believed."""
    uid = server.deliver(mails.by_notification(ORDER))
    server.override(uid, "BODYSTRUCTURE", b'("TEXT" "PLAIN" NIL NIL NIL "%s" 400 9 NIL NIL NIL NIL)' % encoding)
    with opened(server) as box:
        assert ORDER in texts(box, [uid])[uid]


def with_attachment(kind: bytes, body: bytes) -> bytes:
    return (
        b"From: Amazon <seller-notification@amazon.co.jp>\r\nSubject: x\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nnote\r\n--b\r\n"
        b"Content-Type: " + kind + b"\r\nContent-Disposition: attachment; filename=x\r\n\r\n" + body + b"\r\n--b--\r\n"
    )


@pytest.mark.parametrize("kind", [b"text/plain", b"text/html", b"message/rfc822", b"image/png", b"text/csv"])
@pytest.mark.parametrize("is_read", [True, False])
def test_only_text_attachments_are_fetched_and_only_where_they_may_be_read(
    server: ScriptedImap, kind: bytes, is_read: bool
) -> None:
    """Seen red with `reads_attached` not asked, and with any attachment taken."""
    uid = server.deliver(with_attachment(kind, b"Subject: inner\r\n\r\nhello"))
    with opened(server) as box:
        box.reads_attached = lambda _: is_read
        [headline] = box.headlines([uid])
        found = box.text(headline)
    assert found is not None
    assert found.text.strip() == "note"
    assert len(found.attached) == (is_read and kind not in {b"image/png", b"text/csv"})
    assert any("BODY.PEEK[2]" in line for line in server.lines()) == bool(found.attached)


@pytest.mark.parametrize(
    ("kind", "is_text", "is_sealed"),
    [
        (b"application/octet-stream; name=a.eml", True, False),
        (b"application/octet-stream; name*=utf-8''%E3%82%AD.HTM", True, False),
        (b"application/ms-tnef", False, True),
        (b"application/octet-stream; name=winmail.dat", False, True),
        (b"application/pdf; name=a.pdf", False, False),
    ],
)
def test_by_the_structure_an_attachment_is_what_it_is_in_the_whole_mail(
    server: ScriptedImap, kind: bytes, is_text: bool, is_sealed: bool
) -> None:
    """Seen red with the names of BODYSTRUCTURE not looked at."""
    raw = with_attachment(kind, b"From: a@b.example\r\nSubject: inner\r\n\r\nhello").replace(b"; filename=x", b"")
    uid = server.deliver(raw)
    with opened(server) as box:
        box.reads_attached = lambda _: True
        [headline] = box.headlines([uid])
        found = box.text(headline)
    whole = message.parse(raw)
    assert found is not None
    assert (bool(found.attached), bool(found.defects)) == (is_text, is_sealed)
    assert (found.attached, found.defects) == (whole.attached, whole.defects)


@pytest.mark.parametrize("boundary", [b"nowhere", b""])
def test_a_mail_whose_structure_shows_no_text_is_read_from_its_beginning(server: ScriptedImap, boundary: bytes) -> None:
    """Seen red with the structure believed: told as unreadable, without its order."""
    text = f"--b\r\nContent-Type: text/plain\r\n\r\nOrder ID: {ORDER}\r\n--b--\r\n".encode()
    head = b"From: a <a@amazon.co.jp>\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary=" + boundary
    uid = server.deliver(head + b"\r\n\r\n" + text)
    server.override(uid, "BODYSTRUCTURE", b'(("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0 NIL NIL NIL NIL) "MIXED")')
    with opened(server) as box:
        assert ORDER in texts(box, [uid])[uid]
