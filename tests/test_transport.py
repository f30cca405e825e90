"""What became of a send, against a receiver that answers as planned; and nothing of it in any log."""

from __future__ import annotations

import gc
import io
import logging
import socket
import time
import uuid
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Self

import pytest
from beds.recorder import Answer, Recorder
from beds.wire import Listener, free_port

from mailwatch import texts, transport
from mailwatch.alert import MorningLine
from mailwatch.errors import Fault
from mailwatch.secret import Secret
from mailwatch.services import Cause, Form, Outcome, Result
from mailwatch.texts import Text
from mailwatch.transport import send as sending

# apprise imports `imghdr` on 3.11 and 3.12, which warns.
pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

AT = datetime(2022, 6, 8, 0, 12, tzinfo=UTC)
TEXT = Text(
    "依頼: 購入者がキャンセルを求めています",
    "503-1000001-2000007\n商品: 髙島屋 ①番 ㈱ ½ — “é” 😀 <!channel> @everyone *b* `c` [t](u)\n理由: 誤って\\n注文",
)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A receiver."""
    with Recorder() as running:
        yield running


def send(url: str, text: Text = TEXT) -> Outcome:
    """Send once."""
    return transport.sender(Secret(url))(text, uuid.uuid4())


def answered(recorder: Recorder, *answers: Answer) -> Outcome:
    """Send once to a receiver that answers so."""
    recorder.plan("/hook", *answers)
    return send(recorder.url("/hook"))


# ---- what it means ----


@pytest.mark.parametrize("status", [200, 201, 204])
def test_an_accepted_alert_is_accepted_and_posted_once(recorder: Recorder, status: int) -> None:
    assert answered(recorder, status).result is Result.ACCEPTED
    assert len(recorder.posts("/hook")) == 1


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405, 406, 410])
def test_a_refusal_that_only_a_person_can_mend_is_permanent(recorder: Recorder, status: int) -> None:
    """Planted fault: the table of codes empty: red."""
    outcome = answered(recorder, status)
    assert outcome.result is Result.PERMANENT
    assert str(status) in outcome.why
    assert len(recorder.posts()) == 1


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refusal_of_this_alert_is_none_of_the_channel(recorder: Recorder, status: int) -> None:
    """Planted fault: the table of codes empty: red."""
    outcome = answered(recorder, status)
    assert outcome.result is Result.REFUSED
    assert str(status) in outcome.why
    assert len(recorder.posts()) == 1


@pytest.mark.parametrize("status", [502, 504])
def test_a_gateway_that_gave_up_does_not_know_whether_it_was_accepted(recorder: Recorder, status: int) -> None:
    """The repeat must be marked. Planted fault: the two left out of the table, so that they pass for 500: red."""
    outcome = answered(recorder, status)
    assert outcome.result is Result.AMBIGUOUS
    assert str(status) in outcome.why
    assert len(recorder.posts()) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 503])
def test_a_failure_that_may_pass_is_passing_and_surely_not_accepted(recorder: Recorder, status: int) -> None:
    outcome = answered(recorder, status)
    assert outcome.result is Result.PASSING
    assert str(status) in outcome.why
    assert len(recorder.posts()) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("7", 7.0), (" 120 ", 120.0), ("0", 0.0), ("99999999999", 3600.0), ("-5", 0.0), ("soon", 0.0), ("", 0.0)],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_after_in_seconds_is_handed_on(recorder: Recorder, status: int, value: str, seconds: float) -> None:
    """Planted fault: the header is not read: red."""
    outcome = answered(recorder, (status, {"Retry-After": value}, b""))
    assert (outcome.result, outcome.retry_after) == (Result.PASSING, seconds)


@pytest.mark.parametrize("answer", ["reset", "close"])
def test_an_answer_that_never_came_is_ambiguous(recorder: Recorder, answer: str) -> None:
    """The receiver has the whole request by then. Planted fault: a failure without status is passing: red."""
    outcome = answered(recorder, "reset" if answer == "reset" else "close")
    assert outcome.result is Result.AMBIGUOUS
    assert len(recorder.posts()) == 1


def test_a_receiver_that_hangs_is_given_up_and_ambiguous(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "READ_SECONDS", 1)
    began = time.monotonic()
    outcome = answered(recorder, "hang")
    assert outcome.result is Result.AMBIGUOUS
    assert time.monotonic() - began < 5
    assert len(recorder.posts()) == 1


def test_an_answer_slower_than_apprises_own_4_seconds_would_be_waited_for() -> None:
    """It had accepted a message that it reported as failed."""
    assert sending.READ_SECONDS >= 30
    assert f"rto={sending.READ_SECONDS}" in sending._with_time_outs("json://127.0.0.1/x?a=b")
    assert sending.DEADLINE_SECONDS > sending.READ_SECONDS


def test_a_receiver_that_is_not_there_is_passing_and_surely_not_accepted() -> None:
    """Not a byte was sent: the next attempt is no repeat, and must not be marked as one. Seen red with every
    ConnectionError taken for sent."""
    assert send(f"json://127.0.0.1:{free_port()}/hook").result is Result.PASSING


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_not_a_success(recorder: Recorder, status: int) -> None:
    """One 302 made 30 further requests. Planted fault: redirect=no and http_redirects left out: red."""
    outcome = answered(recorder, (status, {"Location": recorder.http_url("/elsewhere")}, b""))
    assert outcome.result in {Result.PASSING, Result.PERMANENT}
    assert [request.path for request in recorder.requests()] == ["/hook"]


def test_one_send_does_not_colour_the_next(recorder: Recorder) -> None:
    recorder.plan("/hook", (429, {"Retry-After": "9"}, b""), "close", 200, 403)
    outcomes = [send(recorder.url("/hook")) for _ in range(4)]
    assert [each.result for each in outcomes] == [Result.PASSING, Result.AMBIGUOUS, Result.ACCEPTED, Result.PERMANENT]
    assert [each.retry_after for each in outcomes] == [9.0, 0.0, 0.0, 0.0]


# ---- mail, and what is not seen on the wire ----


class MailServer:
    """Takes each mail up to its last dot, and then answers as planned; None: the link is lost before the answer."""

    def __init__(self, *, greeting: bytes = b"220 hello", answer: bytes | None = b"250 taken") -> None:
        self.mails: list[bytes] = []
        self._greeting = greeting
        self._answer = answer
        self._listener = Listener(self._serve)
        self.url = f"mailto://127.0.0.1:{self._listener.port}/?from=a@example.test&to=b@example.test&mode=insecure"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            connection.sendall(self._greeting + b"\r\n")
            for line in lines:
                if not line.upper().startswith(b"DATA"):
                    connection.sendall(b"250 well\r\n")
                    continue
                connection.sendall(b"354 go on\r\n")
                self.mails.append(b"".join(iter(lines.readline, b".\r\n")))
                if self._answer is None:
                    return
                connection.sendall(self._answer + b"\r\n")


@pytest.mark.parametrize(
    ("answer", "result"),
    [(b"250 taken", Result.ACCEPTED), (b"550 no", Result.PASSING), (b"451 later", Result.PASSING)],
)
def test_a_mail_is_what_its_server_says(answer: bytes, result: Result) -> None:
    """Seen red with each DATA taken for one that may have been accepted."""
    with MailServer(answer=answer) as server:
        assert send(server.url).result is result
        assert len(server.mails) == 1


def test_a_mail_whose_answer_was_lost_may_have_been_accepted() -> None:
    """Its repeat went out without a mark. Seen red with only `requests` looked at."""
    with MailServer(answer=None) as server:
        assert send(server.url).result is Result.AMBIGUOUS
        assert len(server.mails) == 1


def test_a_mail_to_a_server_that_is_not_there_or_takes_none_was_surely_not_sent() -> None:
    """Seen red with `smtplib` left out of what is seen."""
    with MailServer(greeting=b"554 not now") as server:
        assert send(server.url).result is Result.PASSING
    assert send(f"mailto://127.0.0.1:{free_port()}/?from=a@b.test&to=b@b.test&mode=insecure").result is Result.PASSING


def test_what_is_sent_by_a_protocol_that_is_not_seen_may_have_been_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A False, an exception and no end at all: each repeat must be marked. Seen red with `is_seen` always true."""
    monkeypatch.setattr(sending, "DEADLINE_SECONDS", 0.3)
    url = Secret("rsyslog://127.0.0.1/local5")
    [plugin] = sending._apprise(url)

    def crash() -> bool:
        raise RuntimeError("in the middle")

    def hang() -> bool:
        time.sleep(1)
        return True

    for work in (lambda: False, crash, hang):
        monkeypatch.setattr(type(plugin), "send", lambda *_, work=work, **__: work())
        outcome = transport.sender(url)(TEXT, uuid.uuid4())
        assert outcome.result is Result.AMBIGUOUS
    monkeypatch.setattr(type(plugin), "send", lambda *_, **__: True)
    assert transport.sender(url)(TEXT, uuid.uuid4()).result is Result.ACCEPTED


@pytest.mark.parametrize("scheme", ["form", "xml"])
def test_a_text_that_a_plugin_cannot_send_is_refused_alone(recorder: Recorder, scheme: str) -> None:
    """It passed for a failure of the channel, and held all others for ever. Seen red without the crash looked at."""
    url = recorder.url("/hook").replace("json://", f"{scheme}://")
    outcome = send(url, Text("a", "b\ud800c"))
    assert (outcome.result, outcome.cause) == (Result.REFUSED, Cause.REFUSED)
    assert recorder.posts() == []
    assert send(url).result is Result.ACCEPTED


def test_a_header_with_a_letter_that_it_cannot_hold_is_refused_before_a_byte_is_sent(recorder: Recorder) -> None:
    """Seen red with it taken for sent."""
    assert send(recorder.url("/hook") + "?+X-Name=%E3%81%82").result is Result.REFUSED
    assert recorder.posts() == []


def test_a_plugin_that_breaks_over_a_lost_connection_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """What came of the request counts. Seen red with every crash taken for a refusal."""
    url = Secret(f"json://127.0.0.1:{free_port()}/hook")
    [plugin] = sending._apprise(url)
    plain = type(plugin).send

    def crash(*arguments: object, **options: object) -> bool:
        plain(*arguments, **options)
        raise KeyError("afterwards")

    monkeypatch.setattr(type(plugin), "send", crash)
    assert transport.sender(url)(TEXT, uuid.uuid4()).result is Result.PASSING


# ---- what arrives ----


def test_title_and_text_arrive_letter_by_letter(recorder: Recorder) -> None:
    answered(recorder, 200)
    [post] = recorder.posts()
    assert (post.json["title"], post.json["message"]) == (TEXT.title, TEXT.body)
    assert post.headers["User-Agent"] == "mailwatch"


def test_a_text_beyond_every_limit_is_cut_and_sent(recorder: Recorder) -> None:
    """LINE refuses more than 5,000 UTF-16 units. Seen red with `texts.word` giving its body whole."""
    troubles = tuple(
        Fault("mailbox.unreachable", {"host": "𠮷" * 1000, "port": "1", "why": "あ" * 1000}) for _ in range(100)
    )
    for form in Form:
        text = texts.word(MorningLine(AT, 1, 1, 1, 1, 1, troubles), form, "ja", UTC)
        assert texts.units(text.whole) < (135 if form is Form.SMS else 5000)
        assert send(recorder.url("/hook"), text).result is Result.ACCEPTED
    for post in recorder.posts():
        assert len(post.body) < 30_000  # a unit takes 6 bytes there


def test_a_text_of_any_length_is_handed_to_the_service_whole(recorder: Recorder) -> None:
    """What a service refuses is its own word; nothing is lost on the way there."""
    assert send(recorder.url("/hook"), Text("t" * 10_000, "x" * 600_000)).result is Result.ACCEPTED
    [post] = recorder.posts()
    assert (len(post.json["title"]), len(post.json["message"])) == (10_000, 600_000)


def test_a_lone_surrogate_does_not_stop_an_alert(recorder: Recorder) -> None:
    assert send(recorder.url("/hook"), Text("a", "b\ud800c")).result is Result.ACCEPTED


def test_the_classes_that_sends_leave_behind_are_collected_by_themselves(recorder: Recorder) -> None:
    """apprise makes seven a send, in rings. The collector looks sooner here than by default, so that a hundred sends
    are enough. Planted fault: nothing frozen after the warm-up: red, 600 classes."""

    def classes() -> int:
        return sum(isinstance(each, type) for each in gc.get_objects())

    usual = gc.get_threshold()
    answered(recorder)
    transport.warm_up()
    before = classes()
    gc.set_threshold(100, 5, 5)
    try:
        for _ in range(100):
            answered(recorder)
        assert classes() - before < 300
    finally:
        gc.set_threshold(*usual)


def test_what_was_frozen_before_a_reload_is_collected(recorder: Recorder) -> None:
    """Each reload warms up again, with the workers of before already gone. Seen red without `gc.unfreeze`."""

    class Ring:
        def __init__(self) -> None:
            self.itself = self

    ring = weakref.ref(Ring())
    gc.freeze()
    transport.warm_up()
    assert ring() is None


def test_every_send_has_an_apprise_object_of_its_own() -> None:
    """A kept one sleeps 5.5 s between two LINE messages. Planted fault: one kept for each URL: red."""
    url = Secret("json://127.0.0.1")
    assert sending._apprise(url) is not sending._apprise(url)


@pytest.mark.parametrize("target", ["#general", "%23general"])
def test_a_channel_behind_a_hash_in_the_url_is_not_lost(target: str) -> None:
    """`slack://…/#general` is how apprise's own documents write it; the alert went to the webhook's default."""
    [service] = sending._apprise(Secret(f"slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/{target}"))
    assert service.channels == ["#general"]
    assert service.socket_read_timeout == sending.READ_SECONDS


# ---- URLs ----


@pytest.mark.parametrize("url", ["nosuchscheme://x", "json://", "slack://x", "json://[x/", ""])
def test_a_url_that_apprise_does_not_take_is_a_permanent_outcome_and_no_exception(url: str) -> None:
    """`Sender` never raises."""
    assert not transport.is_usable(Secret(url))
    assert send(url).result is Result.PERMANENT


@pytest.mark.parametrize("url", ["json://127.0.0.1", "json://127.0.0.1/a?b=c", "jsons://u:p@host.example:8443/x"])
def test_a_url_that_apprise_takes_is_usable(url: str) -> None:
    assert transport.is_usable(Secret(url))


# ---- secrets ----

LOGGERS = ("apprise", "urllib3", "urllib3.connectionpool", "requests", "")


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[io.StringIO]:
    """What an application's own root handler gets with every logger at DEBUG.

    Not caplog's text: pytest hangs its handler on loggers that do not propagate too.
    """
    transport.warm_up()
    for name in LOGGERS:
        caplog.set_level(logging.DEBUG, name)
    heard = io.StringIO()
    handler = logging.StreamHandler(heard)
    logging.getLogger().addHandler(handler)
    yield heard
    logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize(
    "answer", [200, 403, 500, (302, {"Location": "http://127.0.0.1:9/CANARY"}, b"CANARY"), "close"], ids=str
)
def test_no_token_and_no_text_of_a_url_or_alert_is_in_any_log_or_outcome(
    recorder: Recorder, log: io.StringIO, capfd: pytest.CaptureFixture[str], answer: Answer
) -> None:
    """apprise prints both at DEBUG. Planted fault: its loggers propagate: red."""
    recorder.plan("/", answer)
    host = recorder.http_url().split("//")[1].rstrip("/")
    url = f"json://CANARY-USER:CANARY-PASS@{host}/CANARY-PATH?+X-Token=CANARY-TOKEN"
    outcome = send(url, Text("CANARY-TITLE", "CANARY-BODY"))
    assert recorder.posts("/CANARY-PATH")
    said = capfd.readouterr()
    assert "CANARY" not in log.getvalue() + said.out + said.err + repr(outcome) + repr(transport.sender(Secret(url)))


@pytest.mark.parametrize("url", ["slack://CANARY", "https://hooks.slack.com/services/CANARY", "json://[CANARY"])
def test_a_malformed_url_with_a_token_is_in_no_log_and_no_exception(
    log: io.StringIO, capfd: pytest.CaptureFixture[str], url: str
) -> None:
    """apprise prints these at WARNING and ERROR."""
    said_by_us = ""
    try:
        said_by_us = f"{transport.is_usable(Secret(url))} {send(url)}"
    except ValueError as fault:
        said_by_us = repr(fault)
    said = capfd.readouterr()
    assert "CANARY" not in log.getvalue() + said.out + said.err + said_by_us


def test_what_apprise_logs_is_still_counted_by_apprise(recorder: Recorder) -> None:
    """Its results lose their reason where its logger is at CRITICAL or disabled (libraries 1.3)."""
    transport.warm_up()
    logger = logging.getLogger("apprise")
    assert not logger.disabled
    assert logger.getEffectiveLevel() <= logging.WARNING
