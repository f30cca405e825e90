"""Answers that are legal and odd, or wrong: what the server holds is told all the same, or the search is not good."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import mails
import pytest
from beds import answers, mail_forms, mime, misbehave
from beds.imap_text import chosen
from beds.scripted import Script, ScriptedImap, Session
from beds.wrong_answers import WRONG
from test_reading import MovedClock, good_search, kinds, searching
from test_watch import configured, recorded, server_of

from mailwatch import check, mailbox
from mailwatch.errors import FolderMissing, Unreachable
from mailwatch.fetched import Headline
from mailwatch.watch.search import Lasting, Search

pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

ASKED = mailbox.HEADLINE_FIELDS
FIELDS = rb"BODY\[HEADER\.FIELDS \(%b\)\]" % ASKED.encode()
LITERAL = re.compile(rb"(BODY\[[^\]]*\](?:<\d+>)?) (?:\{(\d+)\}\r\n|\"[^\"]*\"|NIL)")
OTHER = b"From: Shop <news@example.org>\r\nSubject: new\r\n\r\nhello\r\n"
ORDERS = [mails.order_id(number) for number in range(1, 4)]


@pytest.fixture
def server() -> Iterator[ScriptedImap]:
    """A server; nothing is ever changed on it."""
    with ScriptedImap() as running:
        yield running
        assert not running.violations


def with_bodies(change: Callable[[int, bytes, bytes], tuple[bytes, bytes]], when: str = "") -> Script:
    """FETCH answers whose body items go through `change` (number of the item in the answer, name, bytes)."""

    def script(session: Session, tag: str, arguments: str) -> bool:
        if when not in arguments:
            return False
        lines = [_changed(line, number, change) for number, line in enumerate(session.fetch_lines(arguments))]
        session.write(b"".join(lines) + f"{tag} OK done\r\n".encode())
        return True

    return script


def _changed(line: bytes, number: int, change: Callable[[int, bytes, bytes], tuple[bytes, bytes]]) -> bytes:
    made, at = b"", 0
    while (found := LITERAL.search(line, at)) is not None and found[2] is not None:
        end = found.end() + int(found[2])
        name, value = change(number, found[1], line[found.end() : end])
        made += line[at : found.start()] + name + b" " + value
        at = end
    return made + line[at:]


def literal(data: bytes) -> bytes:
    """`{5}` and the bytes."""
    return b"{%d}\r\n%s" % (len(data), data)


def emptied(_number: int, name: bytes, _data: bytes) -> tuple[bytes, bytes]:
    return name, b"{0}\r\n"


def as_nil(_number: int, name: bytes, _data: bytes) -> tuple[bytes, bytes]:
    return name, b"NIL"


def as_quoted_nothing(_number: int, name: bytes, _data: bytes) -> tuple[bytes, bytes]:
    return name, b'""'


def only_the_first(number: int, name: bytes, data: bytes) -> tuple[bytes, bytes]:
    return name, literal(data if number == 0 else b"")


def only_subject(_number: int, name: bytes, data: bytes) -> tuple[bytes, bytes]:
    return name, literal(re.sub(rb"(?im)^from:.*\r\n(?:[ \t].*\r\n)*", b"", data))


def cut_short(_number: int, name: bytes, data: bytes) -> tuple[bytes, bytes]:
    return name, literal(data[:9])


def whole_header_first(_number: int, name: bytes, data: bytes) -> tuple[bytes, bytes]:
    return b"BODY[HEADER] {0}\r\n " + name, literal(data)


def another_first(_number: int, name: bytes, data: bytes) -> tuple[bytes, bytes]:
    other = b"From: a@example.org\r\nSubject: x\r\n\r\n"
    return b"BODY[HEADER] " + literal(other) + b" " + name, literal(data)


def another_instead(_number: int, name: bytes, data: bytes) -> tuple[bytes, bytes]:
    return b"BODY[TEXT]<0>", literal(data)


def another_mails(_number: int, name: bytes, data: bytes) -> tuple[bytes, bytes]:
    return name + b" " + literal(b"From: a@example.org\r\n\r\n") + b" " + name, literal(data)


def deliver_all(server: ScriptedImap) -> None:
    """Three requests, and two mails of others between them."""
    for order in ORDERS:
        server.deliver(mails.by_notification(order), announce=False)
        server.deliver(OTHER, announce=False)


def told(tmp_path: Path) -> int:
    """How many official requests are recorded."""
    return kinds(tmp_path).count("request")


def search_all(server: ScriptedImap, tmp_path: Path, times: int = 1) -> None:
    """So many searches in a row of one connection, a minute between them."""
    clock = MovedClock()
    with searching(configured(tmp_path), server, clock) as found:
        for _ in range(times):
            found.go()
            clock.passed += 61


# ---- headlines ----

BAD_HEADLINES = [
    emptied,
    as_nil,
    as_quoted_nothing,
    only_the_first,
    only_subject,
    cut_short,
    another_instead,
    another_mails,
]


@pytest.mark.parametrize("change", [*BAD_HEADLINES, whole_header_first, another_first])
@pytest.mark.parametrize("where", [f"HEADER.FIELDS ({ASKED})]<0.", f"HEADER.FIELDS ({ASKED})]", "HEADER"])
def test_a_headline_that_says_nothing_is_asked_for_in_other_ways(
    server: ScriptedImap, tmp_path: Path, change: Callable[[int, bytes, bytes], tuple[bytes, bytes]], where: str
) -> None:
    """Always: of parts of field lists, of field lists, of any header. Seen red: the mail was taken for somebody else's
    and lost. Planted fault: `_is_right` is always true: red."""
    deliver_all(server)
    server.script("UID FETCH", with_bodies(change, where), always=True)
    search_all(server, tmp_path)
    assert told(tmp_path) == 3
    assert good_search(tmp_path)
    assert recorded(tmp_path) == 6


@pytest.mark.parametrize("change", BAD_HEADLINES)
def test_a_headline_that_says_nothing_once_loses_nothing(
    server: ScriptedImap, tmp_path: Path, change: Callable[[int, bytes, bytes], tuple[bytes, bytes]]
) -> None:
    deliver_all(server)
    server.script("UID FETCH", with_bodies(change))
    search_all(server, tmp_path)
    assert told(tmp_path) == 3
    assert good_search(tmp_path)
    assert server.commands().count("UID FETCH") <= 1 + 1 + 2 * 3


def test_a_server_that_shows_the_first_of_several_costs_one_question_more_and_not_one_for_each_mail(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen red with each of them asked for alone."""
    monkeypatch.setattr(mailbox, "PIECE", 50)
    for _ in range(200):
        server.deliver(OTHER, announce=False)
    server.script("UID FETCH", with_bodies(only_the_first, ">)"), always=True)
    with searching(configured(tmp_path), server, MovedClock(), Lasting(piece=50)) as found:
        found.go()
    assert recorded(tmp_path) == 200
    assert server.commands().count("UID FETCH") == 4 + 1


@pytest.mark.parametrize("change", [emptied, as_nil, cut_short])
def test_a_mail_of_which_no_header_comes_in_any_way_is_told_and_till_then_no_search_is_good(
    server: ScriptedImap, tmp_path: Path, change: Callable[[int, bytes, bytes], tuple[bytes, bytes]]
) -> None:
    """Nothing enters the seen-set on such an answer. Planted fault: `_one_headline` gives what it has: red."""
    server.deliver(mails.by_notification(ORDERS[0]), announce=False)
    server.script("UID FETCH", with_bodies(change), always=True)
    clock = MovedClock()
    with searching(configured(tmp_path), server, clock) as found:
        found.go()
        assert (recorded(tmp_path), good_search(tmp_path)) == (0, None)
        for _ in range(6):
            clock.passed += 61
            found.go()
        assert kinds(tmp_path) == ["unreadable"]
        assert good_search(tmp_path)


def test_an_empty_mail_is_empty_and_told_to_nobody(server: ScriptedImap, tmp_path: Path) -> None:
    for data in (b"", b"\r\n", b"\r\n\r\n"):
        server.deliver(data, announce=False)
    search_all(server, tmp_path)
    assert (recorded(tmp_path), kinds(tmp_path)) == (3, [])
    assert good_search(tmp_path)


@pytest.mark.parametrize(
    "head", [b"Subject: x\r\n", b"From:\r\nSubject: x\r\n", b"From: \r\n \r\nSubject: x\r\n", b"X-A: b\r\n", b""]
)
def test_a_mail_without_a_from_reaches_the_reader_and_is_no_fault(
    server: ScriptedImap, tmp_path: Path, head: bytes
) -> None:
    """It may name Amazon elsewhere, which is the reader's to judge."""
    server.deliver(head + b"\r\nhello\r\n", announce=False)
    read: list[int] = []
    with searching(configured(tmp_path), server, MovedClock()) as found:
        _noting(found, read)
        found.go()
    assert read == [1]
    assert (recorded(tmp_path), kinds(tmp_path)) == (1, [])
    assert good_search(tmp_path)


def _noting(found: Search, read: list[int]) -> None:
    take = found._take

    def noted(headline: Headline) -> None:
        read.append(headline.uid)
        take(headline)

    found._take = noted  # type: ignore[method-assign]  # the candidates, as they come


def test_a_server_that_leaves_out_the_empty_line_behind_a_field_list_is_understood(
    server: ScriptedImap, tmp_path: Path
) -> None:
    """And costs a few questions once, not for each mail."""
    for _ in range(60):
        server.deliver(OTHER, announce=False)
    deliver_all(server)
    change = with_bodies(lambda _, name, data: (name, literal(data.rstrip(b"\r\n"))), "HEADER.FIELDS")
    server.script("UID FETCH", change, always=True)
    search_all(server, tmp_path)
    assert (told(tmp_path), recorded(tmp_path)) == (3, 66)
    assert server.commands().count("UID FETCH") < 20


# ---- forms of FETCH ----

END = rb"\)\r\n(?=\*|[A-P]{4}\d)"
FORMS: dict[str, Callable[[bytes], bytes]] = {
    "lower case": lambda answer: re.sub(
        rb"^\* (\d+) FETCH \(UID (\d+) INTERNALDATE", rb"* \1 fetch (uid \2 internaldate", answer, flags=re.MULTILINE
    ).replace(b"RFC822.SIZE", b"rfc822.size"),
    "lower case, all names": lambda answer: re.sub(
        rb"FETCH \(|UID|RFC822\.SIZE|BODY\[[^\]]*\]|BODYSTRUCTURE", lambda found: found[0].lower(), answer
    ),
    "the origin as it was asked": lambda answer: re.sub(rb"\]<0>", b"]<0.262144>", answer),
    "no origin": lambda answer: answer.replace(b"]<0>", b"]"),
    "quoted fields": lambda answer: answer.replace(ASKED.encode(), b'"' + ASKED.replace(" ", '" "').encode() + b'"'),
    "fields in another order and case": lambda answer: answer.replace(b"FROM SUBJECT ", b"Subject  From  "),
    "literal8": lambda answer: re.sub(rb" \{(\d+)\}\r\n", rb" ~{\1}\r\n", answer),
    "literal+": lambda answer: re.sub(rb" \{(\d+)\}\r\n", rb" {\1+}\r\n", answer),
    "items behind the parenthesis": lambda answer: re.sub(END, b") FLAGS (\\\\Seen) X-A 5\r\n", answer),
    "items on a line of their own": lambda answer: re.sub(END, b")\r\nFLAGS () X 9\r\n", answer),
    "a blank before the end": lambda answer: re.sub(END, b" )\r\n", answer),
    "a second closing parenthesis": lambda answer: re.sub(END, b"))\r\n", answer),
    "two blanks": lambda answer: answer.replace(b" FETCH (", b"  FETCH  ("),
    "twice": lambda answer: re.sub(rb"\A(.*)(?=[A-P]{4}\d+ OK)", rb"\1\1", answer, flags=re.DOTALL),
    "the tag's line in lower case": lambda answer: re.sub(rb" OK (\w+ completed\r\n)\Z", rb" ok \1", answer),
    "unasked flags": lambda answer: b"* 1 FETCH (FLAGS (\\Seen))\r\n* 2 FETCH (UID 2 FLAGS () MODSEQ (9))\r\n" + answer,
    "a structure over several lines": lambda answer: answer.replace(b" BODYSTRUCTURE (", b" BODYSTRUCTURE \r\n(\r\n"),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_fetch_answer_is_read_at_its_first_time(
    server: ScriptedImap, tmp_path: Path, form: str
) -> None:
    """No question more than for an answer in the usual form."""
    deliver_all(server)
    server.script("UID FETCH", misbehave.changed(FORMS[form]), always=True)
    search_all(server, tmp_path)
    assert (told(tmp_path), recorded(tmp_path)) == (3, 6)
    assert good_search(tmp_path)
    assert server.commands().count("UID FETCH") == 1 + 2 * 3


def test_an_answer_without_uid_is_that_of_the_one_mail_that_was_asked_for(server: ScriptedImap, tmp_path: Path) -> None:
    server.deliver(mails.by_notification(ORDERS[0]), announce=False)
    change = misbehave.changed(lambda answer: re.sub(rb"\(UID \d+ ", b"(", answer))
    server.script("UID FETCH", change, always=True)
    search_all(server, tmp_path)
    assert told(tmp_path) == 1


@pytest.mark.parametrize("word", ["ok", "Ok"])
@pytest.mark.parametrize("command", ["GREETING", "CAPABILITY", "LOGIN", "EXAMINE", "UID SEARCH", "NOOP"])
def test_keywords_may_be_in_any_case(server: ScriptedImap, tmp_path: Path, command: str, word: str) -> None:
    """Seen red: imaplib gives up on the line, and the host and the port were told to be checked."""

    def lower(answer: bytes) -> bytes:
        keywords = rb"(?m)^(\* \d+ |\* |[A-P]{4}\d+ )(OK|CAPABILITY|FLAGS|EXISTS|RECENT|SEARCH)( \[[A-Z-]+)?"
        return re.sub(
            keywords,
            lambda found: found[0].lower() if found[1][:1] == b"*" else found[1] + word.encode() + (found[3] or b""),
            answer,
        )

    deliver_all(server)
    server.script(command, misbehave.changed(lower), always=True)
    search_all(server, tmp_path, 2)
    assert told(tmp_path) == 3
    assert good_search(tmp_path)


@pytest.mark.parametrize(
    "greeting", ["+OK POP3 ready", "220 smtp.example.org ESMTP", "SSH-2.0-OpenSSH_9.2", "* HELLO", ""]
)
def test_a_greeting_that_is_no_imap_is_told_as_that(server: ScriptedImap, tmp_path: Path, greeting: str) -> None:
    """Seen red: "Can't connect", though something answered."""
    server.script("GREETING", misbehave.says(greeting))
    with pytest.raises(Unreachable) as fault, searching(configured(tmp_path), server, MovedClock()):
        pass
    assert fault.value.fault.key == "mailbox.unreadable"


# ---- lists ----


def nothing_listed(session: Session, tag: str, arguments: str) -> bool:
    session.write(f"* SEARCH\r\n{tag} OK done\r\n".encode())
    return True


def half_listed(session: Session, tag: str, arguments: str) -> bool:
    uids = session.ordinary(tag, arguments).split(b"\r\n")[0].split()[2:]
    session.write(b" ".join([b"* SEARCH", *uids[: len(uids) // 2]]) + f"\r\n{tag} OK done\r\n".encode())
    return True


def no_criterion(*names: str) -> Script:
    def script(session: Session, tag: str, arguments: str) -> bool:
        if not arguments.startswith(names):
            return False
        session.write(f"{tag} BAD Could not parse command\r\n".encode())
        return True

    return script


LIES = {
    "nothing": nothing_listed,
    "half": half_listed,
    "no line": misbehave.no_search_line(),
    "no SINCE": no_criterion("SINCE"),
    "no UID": no_criterion("UID"),
    "no ALL": no_criterion("ALL"),
    "no SEARCH": no_criterion(""),
    "no word": misbehave.says("* SEARCH one two", "{tag} OK done"),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_a_search_leaves_out_is_found_by_fetch_within_two_searches(
    server: ScriptedImap, tmp_path: Path, capsys: pytest.CaptureFixture[str], lie: str
) -> None:
    """Always so: before, between and after. Seen red: mails were lost while each search counted as good. Planted
    faults: `_agrees` is always true: red; FETCH is not asked: red."""
    deliver_all(server)
    server.script("UID SEARCH", LIES[lie], always=True)
    clock = MovedClock()
    with searching(configured(tmp_path), server, clock) as found:
        found.go()
        assert told(tmp_path) == 3
        assert good_search(tmp_path) == pytest.approx(clock.now().timestamp(), abs=30)
        server.deliver(mails.by_notification(mails.order_id(8)), announce=False)
        server.deliver(mails.by_notification(mails.order_id(9)), announce=False)
        clock.passed += 61
        found.go()
        assert told(tmp_path) == 5
        assert good_search(tmp_path) == pytest.approx(clock.now().timestamp(), abs=30)
        clock.passed += 600
        found.go()
        assert good_search(tmp_path) == pytest.approx(clock.now().timestamp(), abs=30)
    assert "search_differs" in capsys.readouterr().err


@pytest.mark.parametrize("lie", ["nothing", "no line"])
@pytest.mark.parametrize("how", ["exists", "exists and expunge"])
def test_a_list_that_does_not_grow_with_exists_is_not_believed(
    server: ScriptedImap, tmp_path: Path, how: str, lie: str
) -> None:
    """Then the server heals, and SEARCH is used again by the next re-list."""
    deliver_all(server)
    clock = MovedClock()
    with searching(configured(tmp_path), server, clock) as found:
        found.go()
        server.script("UID SEARCH", LIES[lie], always=True)
        for number in range(3):
            if how == "exists and expunge":
                server.expunge(2 * number + 2)
            server.deliver(mails.by_notification(mails.order_id(20 + number)), announce=False)
            found._mailbox.noop()
            found.go()
            assert told(tmp_path) == 4 + number
        server.unscript()
        clock.passed += 600
        found.go()
        fetched = len(server.lines())
        clock.passed += 61
        found.go()
        assert not [line for line in server.lines()[fetched:] if "UID FETCH" in line]


@pytest.mark.parametrize("by", [500, 1, 2])
def test_a_list_of_numbers_that_are_not_there_is_not_believed(server: ScriptedImap, tmp_path: Path, by: int) -> None:
    """They are as many as EXISTS says. Planted fault: only a list that is too short is doubted: the mails are told as
    unreadable ones that nobody can find, red."""
    deliver_all(server)
    server.script(
        "UID SEARCH",
        misbehave.changed(
            lambda answer: re.sub(
                rb"\* SEARCH[ \d]*",
                lambda got: b" ".join([b"* SEARCH", *(b"%d" % (int(uid) + by) for uid in got[0].split()[2:])]),
                answer,
            )
        ),
        always=True,
    )
    clock = MovedClock()
    with searching(configured(tmp_path), server, clock) as found:
        for _ in range(6):
            found.go()
            clock.passed += 61
        assert told(tmp_path) == 3
        assert "unreadable" not in kinds(tmp_path)
        assert not found.lasting.doubtful


@pytest.mark.parametrize("date", [b'"01-Jan-1970 00:00:00 +0000"', b'"31-Dec-1969 23:59:59 -0100"', b"NIL"])
def test_a_list_by_fetch_without_dates_leaves_out_no_mail(server: ScriptedImap, tmp_path: Path, date: bytes) -> None:
    """Seen red: at a first start the mails of 1970 were older than the look-back."""
    deliver_all(server)
    server.script("UID SEARCH", misbehave.says("{tag} NO [CANNOT] no"), always=True)

    def undated(answer: bytes) -> bytes:
        is_list = b"BODY" not in answer
        return answers.with_one_item(answer, answers.Pick(0, 0), b"INTERNALDATE", lambda _: date) if is_list else answer

    server.script("UID FETCH", misbehave.changed(undated), always=True)
    with searching(configured(tmp_path), server, MovedClock()) as found:
        found.go()
    assert kinds(tmp_path) == ["request"] * 3


@pytest.mark.parametrize("place", [0, 1, 2])
def test_headlines_under_each_others_uids_hide_no_mail(server: ScriptedImap, tmp_path: Path, place: int) -> None:
    """Seen red: the request was recorded as somebody else's, and the other's own header was believed."""

    def swapped(answer: bytes) -> bytes:
        is_headline = answer.count(b"BODY[HEADER.FIELDS") > place + 1
        return WRONG["headline"]["UIDs swapped"](answer, answers.Pick(place, 0)) if is_headline else answer

    deliver_all(server)
    server.script("UID FETCH", misbehave.changed(swapped), always=True)
    with searching(configured(tmp_path), server, MovedClock()) as found:
        found.go()
        assert kinds(tmp_path) == ["request"] * 3
        assert not found.lasting.doubtful


@pytest.mark.parametrize("percent", [10, 50, 70, 85])
@pytest.mark.parametrize("form", ["by its text", "by its text, alternative"])
def test_a_text_that_never_comes_whole_is_no_text_of_somebody_elses(
    server: ScriptedImap, tmp_path: Path, form: str, percent: int
) -> None:
    """Seen red: what came of it twice was taken for the text, and the mail was ignored."""

    def cut(answer: bytes) -> bytes:
        def shorter(value: bytes) -> bytes:
            whole = answers.content(value)
            # Base64 that ends in the middle is found anyway.
            return literal(whole[: whole.rfind(b"\n", 0, max(len(whole) * percent // 100, 80)) + 1])

        is_text = b"BODYSTRUCTURE" not in answer and b"HEADER" not in answer and b"BODY[" in answer
        return answers.with_one_item(answer, answers.Pick(0, 0), b"BODY[", shorter) if is_text else answer

    server.deliver(mail_forms.FORMS[form](mails.order_id(1)))
    server.script("UID FETCH", misbehave.changed(cut), always=True)
    with searching(configured(tmp_path), server, MovedClock()) as found:
        found.go()
    assert kinds(tmp_path) in (["unreadable"], ["possible"], ["request"])


@pytest.mark.parametrize("lie", ["structure", "size"])
def test_a_size_that_is_too_large_in_one_place_makes_no_text_doubtful(
    server: ScriptedImap, tmp_path: Path, lie: str
) -> None:
    """Planted fault: the beginning of the mail is not asked for then: told, red (structure)."""
    uid = server.deliver(mails.neighbour(6))
    if lie == "structure":
        server.script(
            "UID FETCH",
            misbehave.changed(lambda answer: re.sub(rb'("BASE64") \d+', rb"\1 99999", answer)),
            always=True,
        )
    else:
        server.override(uid, "RFC822.SIZE", b"99999")
    with searching(configured(tmp_path), server, MovedClock()) as found:
        found.go()
        assert not found.lasting.doubtful
    assert (recorded(tmp_path), kinds(tmp_path)) == (1, [])


def test_a_mail_that_comes_and_goes_between_two_searches_is_no_contradiction(
    server: ScriptedImap, tmp_path: Path
) -> None:
    """As with a filter that moves mail: it costs no question. Planted fault: EXPUNGE is not counted: red."""
    deliver_all(server)
    with searching(configured(tmp_path), server, MovedClock()) as found:
        found.go()
        said = len(server.lines())
        for number in range(3):
            uid = server.deliver(OTHER, announce=False)
            found._mailbox.noop()
            server.expunge(uid)
            server.expunge(2 * number + 1)
            found._mailbox.noop()
            found.go()
        assert [line.split(" ", 1)[1][:10] for line in server.lines()[said:]] == ["NOOP", "NOOP", "UID SEARCH"] * 3


def test_where_fetch_shows_fewer_than_exists_too_no_search_is_good_until_it_heals(
    server: ScriptedImap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Planted fault: `is_listed_whole` is not looked at: red."""
    deliver_all(server)
    server.script(
        "EXAMINE", misbehave.changed(lambda answer: answer.replace(b"* 6 EXISTS", b"* 9 EXISTS")), always=True
    )
    clock = MovedClock()
    with searching(configured(tmp_path), server, clock) as found:
        for _ in range(3):
            found.go()
            clock.passed += 61
        assert (told(tmp_path), good_search(tmp_path)) == (3, None)
        assert "fewer mails than EXISTS" in capsys.readouterr().err
        server.unscript()
        clock.passed += 600
        found.go()
        assert good_search(tmp_path)


def test_an_answer_that_answers_rightly_costs_what_it_cost(server: ScriptedImap, tmp_path: Path) -> None:
    """A minute costs one EXAMINE, a quiet search one SEARCH, a re-list two and the identities of what is known."""
    deliver_all(server)
    clock = MovedClock()
    with searching(configured(tmp_path), server, clock) as found:
        for passed in (0, 5, 61, 600):
            clock.passed += passed
            said = len(server.commands())
            found.go()
            expected = {
                0: ["UID SEARCH", "UID SEARCH", *["UID FETCH"] * 7],
                5: ["UID SEARCH"],
                61: ["EXAMINE", "UID SEARCH"],
                600: ["EXAMINE", "UID SEARCH", "UID SEARCH", "UID FETCH"],
            }[passed]
            assert server.commands()[said:] == expected


def said_by_check(server: ScriptedImap, tmp_path: Path) -> list[tuple[bool, str]]:
    """What `check` finds of INBOX: whether it is good, and the key of its sentence."""
    found = check.findings(configured(tmp_path), server_of(server))
    return [(each.is_good, each.said.key) for each in found if each.said.fields.get("folder") == "INBOX"]


@pytest.mark.parametrize("lie", ["nothing", "half", "no SEARCH", "no word"])
def test_check_names_a_search_that_differs(server: ScriptedImap, tmp_path: Path, lie: str) -> None:
    deliver_all(server)
    assert said_by_check(server, tmp_path) == [(True, "check.folder_good")]
    server.script("UID SEARCH", LIES[lie], always=True)
    assert said_by_check(server, tmp_path) == [(True, "check.folder_good"), (True, "check.search_differs")]


def test_check_is_not_good_where_fetch_shows_fewer_too(server: ScriptedImap, tmp_path: Path) -> None:
    deliver_all(server)
    more = misbehave.changed(lambda answer: answer.replace(b"* 6 EXISTS", b"* 9 EXISTS"))
    server.script("EXAMINE", more, always=True)
    assert said_by_check(server, tmp_path) == [(False, "check.list_short")]


# ---- a folder that goes away ----


def test_a_folder_that_was_made_anew_is_noticed_within_two_minutes(server: ScriptedImap, tmp_path: Path) -> None:
    """On a server that says nothing of it. Seen red: after nine minutes, with good searches all along."""
    clock = MovedClock()
    with searching(configured(tmp_path), server, clock) as found:
        found.go()
        server.renumber()
        clock.passed += 61
        with pytest.raises(Unreachable, match="UIDVALIDITY"):
            found.go()


def test_a_folder_that_was_deleted_or_renamed_is_noticed_within_two_minutes(
    server: ScriptedImap, tmp_path: Path
) -> None:
    server.add_folder("Amazon")
    clock = MovedClock()
    with searching(configured(tmp_path), server, clock, folder="Amazon") as found:
        found.go()
        del server.folders["Amazon"]
        server.add_folder("Elsewhere")
        clock.passed += 61
        with pytest.raises(FolderMissing):
            found.go()


# ---- numbers that are not so ----


def test_an_exists_that_falls_without_expunge_hides_no_mail(server: ScriptedImap, tmp_path: Path) -> None:
    """SEARCH shows as few as it says, and EXAMINE shows all. Seen red: all but one were lost, and each search good."""
    server.script("UID SEARCH", misbehave.says("* 1 EXISTS", "* SEARCH 1", "{tag} OK done"), always=True)
    deliver_all(server)
    search_all(server, tmp_path, times=2)
    assert told(tmp_path) == 3


def test_an_empty_list_of_a_folder_whose_count_is_not_said_is_not_believed(
    server: ScriptedImap, tmp_path: Path
) -> None:
    """EXAMINE without EXISTS, and a SEARCH that lists nothing. Seen red: all were lost, and each search good."""
    counted = re.compile(rb"\* \d+ EXISTS\r\n")
    server.script("EXAMINE", misbehave.changed(lambda answer: counted.sub(b"", answer)), always=True)
    server.script("UID SEARCH", nothing_listed, always=True)
    deliver_all(server)
    search_all(server, tmp_path, times=2)
    assert told(tmp_path) == 3


def test_an_exists_that_falls_because_mail_is_gone_is_believed(
    server: ScriptedImap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some servers announce so what another client took away (Twisted's does)."""
    deliver_all(server)
    clock = MovedClock()
    with searching(configured(tmp_path), server, clock) as found:
        found.go()
        server.expunge(2)
        server.script("NOOP", misbehave.says("* 5 EXISTS", "{tag} OK done"))
        found._mailbox.noop()
        found.go()
        assert found._mailbox.is_listed_whole
        server.deliver(mails.by_notification(mails.order_id(8)), announce=False)
        clock.passed += 61
        found.go()
    assert told(tmp_path) == 4
    assert "search_differs" not in capsys.readouterr().err


def sequence_numbers(session: Session, tag: str, arguments: str) -> bool:
    named = {mail.uid for mail in session._matching(arguments.split())}
    shown = [str(place) for place, uid in enumerate(session._shown, 1) if uid in named]
    session.write(f"* SEARCH {' '.join(shown)}\r\n{session.changes().decode()}{tag} OK done\r\n".encode())
    return True


def numbers_of_another_folder(session: Session, tag: str, arguments: str) -> bool:
    named = [str(9000 + place) for place, _ in enumerate(session._matching(arguments.split()))]
    session.write(f"* SEARCH {' '.join(named)}\r\n{session.changes().decode()}{tag} OK done\r\n".encode())
    return True


@pytest.mark.parametrize("lie", [sequence_numbers, numbers_of_another_folder])
def test_uids_that_no_mail_has_are_given_up_for_those_that_fetch_shows(
    server: ScriptedImap, tmp_path: Path, lie: Script
) -> None:
    """As many as EXISTS says. Seen red: each of them was told as unreadable and set aside, and no request was read.
    Planted fault: no re-list when FETCH contradicts: those that were there before are lost, red."""
    server.folders["INBOX"].uidnext = 500
    deliver_all(server)
    server.script("UID SEARCH", lie, always=True)
    clock = MovedClock()
    with searching(configured(tmp_path), server, clock) as found:
        for _ in range(4):
            found.go()
            clock.passed += 60
        assert told(tmp_path) == 3
        server.deliver(mails.by_notification(mails.order_id(8)), announce=False)
        found.go()
        clock.passed += 600
        found.go()
        assert good_search(tmp_path) == pytest.approx(clock.now().timestamp(), abs=30)
    assert kinds(tmp_path) == ["request"] * 4


@pytest.mark.parametrize("uidnext", [1, 4, 4_294_967_295])
def test_a_wrong_uidnext_makes_no_old_mail_new_and_hides_no_new_one(
    server: ScriptedImap, tmp_path: Path, uidnext: int
) -> None:
    """Seen red: too low, requests from before the look-back were told; too high, new ones waited for the re-list."""
    changed = re.compile(rb"UIDNEXT \d+")
    right = misbehave.changed(lambda answer: changed.sub(b"UIDNEXT %d" % uidnext, answer))
    server.script("EXAMINE", right, always=True)
    for order in ORDERS:
        server.deliver(mails.by_notification(order), when=datetime.now(UTC) - timedelta(days=60), announce=False)
    clock = MovedClock()
    with searching(configured(tmp_path), server, clock) as found:
        found.go()
        assert told(tmp_path) == 0
        server.deliver(mails.by_notification(mails.order_id(8)), announce=False)
        clock.passed += 61
        found.go()
    assert told(tmp_path) == 1


def test_a_mailbox_that_was_restored_is_listed_whole_at_once(server: ScriptedImap, tmp_path: Path) -> None:
    """Its UIDNEXT went back, and its next mails get numbers that are known."""
    deliver_all(server)
    clock = MovedClock()
    with searching(configured(tmp_path), server, clock) as found:
        found.go()
        box = server.folders["INBOX"]
        box.mails, box.uidnext = box.mails[:3], 4
        server.deliver(mails.by_notification(mails.order_id(30)), announce=False)
        clock.passed += 61
        found.go()
    assert told(tmp_path) == 4


# ---- text ----

ANY = re.compile(rb'"(BASE64|7BIT|8BIT|QUOTED-PRINTABLE)"( \d+)', re.IGNORECASE)
ONE = b'("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "7BIT" 10 1 NIL NIL NIL NIL)'
MANY = b'(("TEXT" "PLAIN" NIL NIL NIL "7BIT" 10 1)("TEXT" "HTML" NIL NIL NIL "7BIT" 10 1) "MIXED")'
STRUCTURES: dict[str, Callable[[bytes], bytes]] = {
    "no encoding known": lambda raw: ANY.sub(rb'"X-NONE"\2', raw),
    "NIL": lambda raw: ANY.sub(rb"NIL\2", raw),
    "base64": lambda raw: ANY.sub(rb'"BASE64"\2', raw),
    "7bit": lambda raw: ANY.sub(rb'"7BIT"\2', raw),
    "quoted-printable": lambda raw: ANY.sub(rb'"QUOTED-PRINTABLE"\2', raw),
    "wrong charset": lambda raw: re.sub(rb'"(?:utf-8|iso-2022-jp)"', b'"us-ascii"', raw, flags=re.IGNORECASE),
    "no text part": lambda raw: re.sub(rb'"TEXT" "(?:PLAIN|HTML)"', b'"IMAGE" "PNG"', raw),
    "one part of many": lambda _: ONE,
    "many parts of one": lambda _: MANY,
    "no size": lambda raw: ANY.sub(rb'"\1" 0', raw),
    "another size": lambda raw: ANY.sub(rb'"\1" 99999', raw),
}


@pytest.mark.parametrize("mail", [mails.by_notification, mails.by_message])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_structure_that_says_something_else_than_the_mail_hides_no_text(
    server: ScriptedImap, tmp_path: Path, structure: str, mail: Callable[[str], bytes]
) -> None:
    """Seen red: where no text part was named, nothing was read."""
    data = mime.crlf(mail(ORDERS[0]))
    uid = server.deliver(data, announce=False)
    server.override(uid, "BODYSTRUCTURE", STRUCTURES[structure](mime.body_structure(mime.parse(data))))
    search_all(server, tmp_path)
    assert kinds(tmp_path) == ["request"]


@pytest.mark.parametrize("times", [1, 2, 100])
@pytest.mark.parametrize("change", [emptied, as_nil, cut_short, as_quoted_nothing])
@pytest.mark.parametrize("item", ["BODY.PEEK[1]", "BODY.PEEK[1", "BODYSTRUCTURE"])
def test_text_that_is_empty_is_asked_for_in_other_ways(
    server: ScriptedImap,
    tmp_path: Path,
    item: str,
    change: Callable[[int, bytes, bytes], tuple[bytes, bytes]],
    times: int,
) -> None:
    """Once, twice and always. Seen red: an empty answer was read as an empty mail."""
    server.deliver(mails.by_notification(ORDERS[0]), announce=False)
    left = [times]

    def script(session: Session, tag: str, arguments: str) -> bool:
        if item not in arguments or left[0] == 0:
            return False
        left[0] -= 1
        return with_bodies(change)(session, tag, arguments)

    server.script("UID FETCH", script, always=True)
    search_all(server, tmp_path)
    assert kinds(tmp_path) == ["request"]


def parts(first: str, second: str, charset: str = "utf-8") -> bytes:
    """A mail of Amazon's in two text parts, the second in a charset."""
    head = "From: Amazon <seller-notification@amazon.co.jp>\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
    kind = f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: 8bit\r\n"
    mail = f"{head}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{first}\r\n--b\r\n{kind}\r\n"
    return mail.encode() + second.encode(charset) + b"\r\n--b--\r\n"


def text_of(server: ScriptedImap, tmp_path: Path, uid: int) -> str:
    """What is read of a mail, without white space."""
    opened = mailbox.log_in(server_of(server)(configured(tmp_path).accounts[0])).open("INBOX")
    [headline] = opened.headlines([uid])
    found = opened.text(headline)
    opened.close()
    assert found is not None
    return "".join(found.text.split())


def test_a_text_is_in_the_charset_that_the_mail_names_and_not_in_that_of_the_structure(
    server: ScriptedImap, tmp_path: Path
) -> None:
    """Its bytes are right in either. Planted fault: the lines of BODYSTRUCTURE are taken: red."""
    data = parts("note", "キャンセル", "euc-jp")
    uid = server.deliver(data, announce=False)
    structure = mime.body_structure(mime.parse(data))
    server.override(uid, "BODYSTRUCTURE", re.sub(rb'"euc-jp"', b'"shift_jis"', structure, flags=re.IGNORECASE))
    assert text_of(server, tmp_path, uid) == "noteキャンセル"


def test_one_part_that_stays_empty_is_read_from_the_beginning_of_the_mail(server: ScriptedImap, tmp_path: Path) -> None:
    """Planted fault: what has come is taken for the whole text: red."""
    uid = server.deliver(parts("note", ORDERS[0]), announce=False)
    server.override(uid, "BODY[2]", b"{0}\r\n")
    assert text_of(server, tmp_path, uid) == f"note{ORDERS[0]}"


def test_a_candidate_whose_text_never_comes_is_told(server: ScriptedImap, tmp_path: Path) -> None:
    """Its headline does."""
    uid = server.deliver(mails.by_notification(ORDERS[0]), announce=False)

    def script(session: Session, tag: str, arguments: str) -> bool:
        if "HEADER.FIELDS" in arguments or uid not in chosen(arguments.split(maxsplit=1)[0], [uid]):
            return False
        return with_bodies(emptied)(session, tag, arguments)

    server.script("UID FETCH", script, always=True)
    search_all(server, tmp_path, 7)
    assert kinds(tmp_path) == ["unreadable"]
    assert good_search(tmp_path)
