"""What becomes of an alert for each answer of each service: a real store, real workers, real HTTPS, over virtual time.

The table is in docs/channels.md. `virtual.Run` moves the time; a send is real, and takes as long in it as it would take
with the limits as they are shipped, which are shortened here.
"""

from __future__ import annotations

import json
import ssl
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import mails
import pytest
import virtual
from beds import certificates, services
from beds.recorder import Answer, Recorder
from beds.services import Reply
from virtual import NOON, Came, Phones, Run, VirtualClock

from mailwatch import transport
from mailwatch.catalogue import say
from mailwatch.config import Channel
from mailwatch.secret import Secret
from mailwatch.services import Cause, Outcome, Result
from mailwatch.texts import Text
from mailwatch.transport import Sender, send

# apprise imports `imghdr` on 3.11 and 3.12, which warns.
pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

ONE, TWO = (mails.order_id(number) for number in (1, 2))
AUTH = "fedcba9876543210" * 2
HOSTS = {"slack": "hooks.slack.com", "bot": "slack.com", "line": services.LINE, "twilio": "api.twilio.com"}
URLS = {
    "slack": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    "bot": "slack://xoxb-1234-1234-4ddbc191d40ee098cbaae6f3523ada2d/#orders",
    "line": f"line://made/up+token==/U{'0' * 32}",
    "twilio": f"twilio://AC{'0' * 32}:{AUTH}@+15005550006/090-1234-5678",
}
# The limits as they are shipped; tests shorten them.
READ, DEADLINE = float(send.READ_SECONDS), send.DEADLINE_SECONDS
_BODY_MARGIN = 2.0  # `transport.send` stops reading a body so long before its deadline


# ---- the bed ----


class Wired(Phones):
    """The other end of every channel as it is: the service's own sender, to the recorder."""

    def __init__(self, recorder: Recorder) -> None:
        self.time = VirtualClock()
        super().__init__(self.time)
        self._recorder = recorder

    def of(self, channel: Channel) -> Sender:
        """The channel's sender; the time that it would take goes by before its outcome is known."""
        plain = transport.sender(channel.url)

        def send_it(text: Text, key: uuid.UUID) -> Outcome:
            began, before = self.clock.now(), len(self._recorder.requests())
            outcome = plain(text, key)
            self.came.append(Came(channel.name, text, key, began, outcome))
            for request in self._recorder.requests()[before:]:
                self.clock.wait(threading.Event(), _takes(request.answer))
            return outcome

        return send_it


def _takes(answer: Answer) -> float:
    """How many seconds an answer holds a send, by the limits as they are shipped."""
    match answer:
        case "hang" | ("drip" | "drip-header", 600):
            return READ
        case ("drip", _):
            return DEADLINE - _BODY_MARGIN
        case ("drip-header", _):
            return DEADLINE
        case ("slow", _):
            return 6.0
    return 0.0


@dataclass(frozen=True)
class Bed:
    """One channel before its service, "phone" beside it, and a `run` that sends."""

    name: str
    recorder: Recorder
    wired: Wired
    run: Run

    def plan(self, *answers: Answer) -> None:
        """What the channel's service answers."""
        self.recorder.plan(HOSTS[self.name], *answers)

    def attempts(self, order: str = ONE) -> list[Came]:
        """The attempts to send an order's alert to the channel."""
        return [came for came in self.wired.attempts(self.name) if order in came.text.whole]

    def on_phone(self, order: str = ONE) -> list[Came]:
        """What the other channel was told of an order."""
        return [came for came in self.wired.accepted("phone") if order in came.text.whole]

    def delivered(self, order: str = ONE) -> int:
        """How often the service accepted the order's alert, whether it could say so or not."""
        requests = self.recorder.delivered(HOSTS[self.name])
        return sum(order in request.body.decode("ascii") for request in requests)


def after(came: Came) -> float:
    """How many seconds after the beginning it was sent."""
    return (came.at - NOON).total_seconds()


MakeBed = Callable[..., Bed]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """One good certificate for all the services, and the CA to trust; and apprise loaded, before time counts."""
    assert all(transport.is_usable(Secret(url)) for url in URLS.values())
    folder = tmp_path_factory.mktemp("tls")
    ca = certificates.make(folder, "server", services.HOSTS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return context, ca


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeBed]:
    """Makes the bed of a channel before a recorder. `stands_in`: whether "phone" does, or is told everything too."""
    monkeypatch.setattr(send, "READ_SECONDS", 0.2)
    made: list[Bed] = []

    def bed(name: str, recorder: Recorder, *others: str, stands_in: bool = True) -> Bed:
        for variable, value in recorder.environment().items():
            monkeypatch.setenv(variable, value)
        options = {"fallback_for": [name]} if stands_in else {}
        sections = [virtual.channel(name, URLS[name]), virtual.channel("phone", recorder.url("/phone"), **options)]
        wired = Wired(recorder)
        configured = virtual.configured(tmp_path, *sections, *others, watch="morning_line = ''")
        made.append(Bed(name, recorder, wired, Run(configured, wired, wired.time)))
        return made[-1]

    yield bed
    for each in made:
        each.run.close()


@pytest.fixture
def recorder(tls: tuple[ssl.SSLContext, Path]) -> Iterator[Recorder]:
    """The services, and the other channels' receiver."""
    with Recorder(*tls) as running:
        yield running


# ---- the table ----


def said(status: int, body: object) -> Reply:
    """An answer with a JSON body."""
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


@dataclass(frozen=True)
class Meaning:
    """What an answer means: its result and cause; from when until when (seconds from the first attempt) the alert is
    tried again where it comes once, and is with the stand-in where it comes always; None: never."""

    result: Result
    cause: Cause | None = None
    again: tuple[float, float] | None = None
    over: tuple[float, float] | None = None


AT_ONCE = (0.0, 1.0)
WAITED = (45.0, 47.0)
HOURLY = (3600.0, 3601.0)
FIRST_PROBE = (300.0, 301.0)
TAKEN = Meaning(Result.ACCEPTED)
REFUSED = Meaning(Result.REFUSED, Cause.REFUSED, HOURLY, AT_ONCE)


def dead(cause: Cause) -> Meaning:
    """Only a person can mend it."""
    return Meaning(Result.PERMANENT, cause, FIRST_PROBE, AT_ONCE)


def passing(cause: Cause, wait: float = 0.0) -> Meaning:
    """Surely not accepted, and may be later."""
    return Meaning(Result.PASSING, cause, (max(2.5, wait), max(5.0, wait) + 1), WAITED)


def unsure(cause: Cause, held: float = 0.0) -> Meaning:
    """Nobody knows; the send was held for so long."""
    return Meaning(Result.AMBIGUOUS, cause, (held + 7.5, held + 16), WAITED)


ALL = ("slack", "line", "twilio")
PORTAL = (200, {"Content-Type": "text/html"}, b"<html><title>Welcome to the hotel</title></html>")
MONTH = said(429, {"message": "You have reached your monthly limit."})
# What is answered, and what that means to Slack, LINE and Twilio.
TABLE: Mapping[str, tuple[Answer, tuple[Meaning, Meaning, Meaning]]] = {
    "slow": (("slow", 0.05), (TAKEN,) * 3),
    "302": ((302, {"Location": "https://slack.com/elsewhere"}, b""), (passing(Cause.ODD),) * 3),
    "400": (400, (REFUSED,) * 3),
    "401": (401, (dead(Cause.CREDENTIALS),) * 3),
    "403": (403, (dead(Cause.CREDENTIALS),) * 3),
    "404": (404, (dead(Cause.ADDRESS),) * 3),
    "409": (409, (passing(Cause.ODD), unsure(Cause.ODD), passing(Cause.ODD))),
    "410": (410, (dead(Cause.ADDRESS),) * 3),
    "429, wait 7 s": ((429, {"Retry-After": "7"}, b""), (passing(Cause.BUSY, 7),) * 3),
    "429, wait 600 s": ((429, {"Retry-After": "600"}, b""), (passing(Cause.BUSY, 600),) * 3),
    "429, monthly limit": (MONTH, (passing(Cause.BUSY), dead(Cause.QUOTA), passing(Cause.BUSY))),
    "500": (500, (passing(Cause.SERVER),) * 3),
    "502": (502, (unsure(Cause.SERVER),) * 3),
    "hang": ("hang", (unsure(Cause.SILENT, READ),) * 3),
    "drip": (("drip", 600), (unsure(Cause.ODD, READ), unsure(Cause.ODD, READ), TAKEN)),
    "drip-header": (("drip-header", 600), (unsure(Cause.SILENT, READ),) * 3),
    "reset": ("reset", (unsure(Cause.NETWORK),) * 3),
    "close": ("close", (unsure(Cause.NETWORK),) * 3),
}
# What hides a refusal in a good status, and more that one service alone says.
SINGLE: Mapping[str, tuple[str, Answer, Meaning]] = {
    "portal": ("slack", PORTAL, unsure(Cause.ODD)),
    "portal before a bot": ("bot", PORTAL, unsure(Cause.ODD)),
    "portal before LINE": ("line", PORTAL, unsure(Cause.ODD)),
    "known before": ("line", services.REPEATED, TAKEN),
    "portal before Twilio": ("twilio", PORTAL, unsure(Cause.ODD)),
    "not in channel": ("bot", said(200, {"ok": False, "error": "not_in_channel"}), dead(Cause.ADDRESS)),
    "ok is only a word of it": ("bot", said(200, {"ok": False, "error": "BROKEN OK"}), dead(Cause.ADDRESS)),
    "token revoked": ("bot", said(200, {"ok": False, "error": "token_revoked"}), dead(Cause.CREDENTIALS)),
    "Slack's own failure": ("bot", said(200, {"ok": False, "error": "internal_error"}), passing(Cause.SERVER)),
    "failed at once": ("twilio", said(201, {"sid": "SM1", "status": "failed", "error_code": 30006}), REFUSED),
    "no such number": ("twilio", said(400, {"code": 21211, "message": "x"}), dead(Cause.ADDRESS)),
}
ROWS = {
    **{
        f"{name}-{what}": (name, answer, meaning)
        for what, (answer, meanings) in TABLE.items()
        for name, meaning in zip(ALL, meanings, strict=True)
    },
    **{f"{row[0]}-{what}": row for what, row in SINGLE.items()},
}
# LINE takes these in, only its answer does not come: the second attempt is told so.
TAKEN_IN = (("drip", 600), ("drip-header", 600), services.REPEATED)


@pytest.mark.parametrize(
    ("name", "answer", "meaning"),
    [pytest.param(*row, id=title) for title, row in ROWS.items()],
)
def test_an_answer_that_stays_so_brings_the_alerts_to_the_stand_in(
    make: MakeBed, recorder: Recorder, name: str, answer: Answer, meaning: Meaning
) -> None:
    """Planted faults, each red: `services.of` knows no service but the plain one; `_stand_in_since` always counts 45 s;
    nobody stands in; a redirect is followed; every failure without an answer counts as not sent."""
    bed = make(name, recorder)
    # What LINE never got it does not know again.
    recorder.honours_retry_key = answer is not PORTAL
    bed.plan(answer)
    bed.run.record(ONE)
    bed.run.at(NOON + timedelta(seconds=5), lambda: bed.run.record(TWO))
    # LINE takes these in, but each attempt waits for an answer that does not come: two a minute.
    bed.run.go_on(seconds=120 if name == "line" and answer in TAKEN_IN else 60)
    first = bed.attempts()[0]
    assert (after(first), first.outcome.result, first.outcome.cause) == (0.0, meaning.result, meaning.cause)
    if meaning.over is None:
        assert not bed.on_phone(ONE)
    elif name != "line" or answer not in TAKEN_IN:
        [one], [two] = bed.on_phone(ONE), bed.on_phone(TWO)
        assert meaning.over[0] <= after(one) <= meaning.over[1]
        assert meaning.over[0] <= after(two) - 5 <= meaning.over[1] + 10  # the next look where nothing waits
        assert is_marked(one) == (meaning.result is Result.AMBIGUOUS)
    assert_nothing_is_lost_and_nothing_twice(bed, answer)


def is_marked(came: Came) -> bool:
    """Whether it says that it may be a repeat."""
    return say("alert.repeat", "en") in came.text.whole


def assert_nothing_is_lost_and_nothing_twice(bed: Bed, answer: Answer = 200) -> None:
    """Every alert was accepted somewhere and is owed to nobody; LINE shows none twice; nobody was sent elsewhere."""
    query = "SELECT count(*) AS n FROM outbox WHERE settled_at IS NULL AND about IS NULL"
    assert bed.run.store._database.all(query)[0]["n"] == 0
    known_before = bed.name == "line" and answer == services.REPEATED
    for order in (ONE, TWO):
        assert bed.delivered(order) or bed.on_phone(order) or known_before
        assert bed.name != "line" or bed.delivered(order) <= 1 or answer is PORTAL
    assert {request.host for request in bed.recorder.requests()} <= {HOSTS[bed.name], "127.0.0.1"}


@pytest.mark.parametrize(("name", "answer", "meaning"), ROWS.values(), ids=ROWS)
def test_an_answer_that_comes_once_is_made_up_for_later(
    make: MakeBed, recorder: Recorder, name: str, answer: Answer, meaning: Meaning
) -> None:
    """Planted faults, each red: no retry key, or a new one for each attempt; LINE's 409 or its month's limit not known;
    Retry-After not heeded; `postpone` forgets an ambiguous outcome; LINE's key counts for no time."""
    bed = make(name, recorder, stands_in=False)
    recorder.honours_retry_key = answer is not PORTAL
    bed.plan(answer, services.usual(HOSTS[name]))
    bed.run.record(ONE)
    bed.run.record(TWO)
    bed.run.go_on(seconds=60)
    if meaning.again and meaning.again[0] > 60:
        bed.run.go_on(until=NOON + timedelta(seconds=meaning.again[0] - 10), pace=60)
        bed.run.go_on(seconds=20)
    first, *rest = bed.attempts()
    assert (first.outcome.result, first.outcome.cause) == (meaning.result, meaning.cause)
    if meaning.again is None:
        assert not rest
    else:
        [second] = rest
        assert meaning.again[0] <= after(second) <= meaning.again[1]
        assert second.outcome.result is Result.ACCEPTED
        assert second.key == first.key
        assert is_marked(second) == (meaning.result is Result.AMBIGUOUS and name != "line")
    assert [came.outcome.result for came in bed.attempts(TWO)] == [Result.ACCEPTED]
    assert_nothing_is_lost_and_nothing_twice(bed, answer)


@pytest.mark.parametrize(
    ("answer", "deadline", "held", "cause"),
    [
        (("drip", 0.1), _BODY_MARGIN + 0.3, DEADLINE - _BODY_MARGIN, Cause.ODD),
        (("drip-header", 0.1), 0.6, DEADLINE, Cause.SILENT),
    ],
    ids=["drip", "drip-header"],
)
def test_bytes_that_come_soon_enough_one_by_one_are_waited_for_until_the_deadline_only(
    make: MakeBed,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    answer: Answer,
    deadline: float,
    held: float,
    cause: Cause,
) -> None:
    """No time-out of a read ends these. Planted fault: `_Deadline.call` joins its thread without limit: red."""
    monkeypatch.setattr(send, "DEADLINE_SECONDS", deadline)
    bed = make("line", recorder, stands_in=False)
    bed.plan(answer, services.usual(services.LINE))
    bed.run.record(ONE)
    bed.run.go_on(seconds=60)
    first, second = bed.attempts()
    assert (first.outcome.result, first.outcome.cause) == (Result.AMBIGUOUS, cause)
    assert held + 7.5 <= after(second) <= held + 16
    assert not bed.on_phone(TWO)
    assert bed.delivered() == len(recorder.repeats) == 1


@pytest.mark.parametrize("kind", ["unknown_ca", "wronghost", "expired"])
@pytest.mark.parametrize("name", ALL)
def test_a_bad_certificate_gets_no_word_and_the_stand_in_all(
    make: MakeBed, tmp_path_factory: pytest.TempPathFactory, kind: str, name: str
) -> None:
    """Planted fault: verify=no in the URL that apprise gets: red."""
    with Recorder.https(tmp_path_factory.mktemp(kind), kind) as recorder:
        bed = make(name, recorder)
        bed.run.record(ONE)
        bed.run.record(TWO)
        bed.run.go_on(seconds=50)
        first, second, *_ = bed.attempts()
        assert (first.outcome.result, first.outcome.cause) == (Result.PASSING, Cause.CERTIFICATE)
        assert 2.5 <= after(second) <= 6
        [one], [two] = bed.on_phone(ONE), bed.on_phone(TWO)
        assert WAITED[0] <= after(one) <= after(two) <= WAITED[1]
        assert not is_marked(one)
        assert not recorder.requests(HOSTS[name])
        assert recorder.refused_tls == len(bed.wired.attempts(name))
        assert_nothing_is_lost_and_nothing_twice(bed)


def test_line_delivers_once_though_no_answer_came_and_the_process_ended(make: MakeBed, recorder: Recorder) -> None:
    """The key is the row's, so it outlives the process. Planted faults, each red: no key, or a new one
    for each attempt."""
    bed = make("line", recorder, stands_in=False)
    bed.plan(("drip-header", 600), services.usual(services.LINE))
    bed.run.record(ONE)
    bed.run.go_on(seconds=31)
    bed.run.close()
    again = Run(bed.run.config, bed.wired, bed.wired.time)
    again.go_on(seconds=60)
    again.close()
    assert [came.outcome.result for came in bed.attempts()] == [Result.AMBIGUOUS, Result.ACCEPTED]
    assert bed.delivered() == 1
    assert len(recorder.repeats) == 1


@pytest.mark.parametrize(
    ("name", "answer", "cause"),
    [("slack", 404, "no such recipient"), ("line", MONTH, "quota"), ("twilio", 401, "token"), ("line", 400, "refused")],
)
def test_a_dead_channel_is_told_on_the_others_at_once(
    make: MakeBed, recorder: Recorder, name: str, answer: Answer, cause: str
) -> None:
    """Planted fault: `deliver` begins no episode: red (told after 15 minutes)."""
    bed = make(name, recorder, virtual.channel("other", recorder.url("/other"), send=["fault"]))
    bed.plan(answer)
    bed.run.record(ONE)
    bed.run.go_on(seconds=10)
    told, *rest = bed.wired.accepted("other")
    assert told.text.title == virtual.BEGAN
    # One that is refused by itself is told by the stand-in, and that is its end.
    assert [each.text.title for each in rest] == [virtual.OVER] * (cause == "refused")
    assert f"channel {name} " in told.text.body
    assert cause in told.text.body


def test_a_dead_channel_is_told_on_its_stand_in_where_there_is_no_other(make: MakeBed, recorder: Recorder) -> None:
    """Two channels, of which one stands in: it is the only one left that can say so."""
    bed = make("slack", recorder)
    bed.plan(404)
    bed.run.record(ONE)
    bed.run.go_on(seconds=10)
    assert virtual.BEGAN in bed.wired.titles("phone")
