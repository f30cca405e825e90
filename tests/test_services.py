"""What goes over the wire: the request of each kind of alert on each channel, and nothing hostile in any of them.

The expected requests are tests/requests/<channel>.json. `python tests/test_services.py --write` makes them anew; that
is what sellers get, so read the difference before you keep it.
"""

from __future__ import annotations

import html
import itertools
import json
import os
import re
import sys
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import pytest
from beds.recorder import Recorder, Request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailwatch import config, services, texts, transport
from mailwatch.alert import Alert, Digest, DigestRow, FaultNews, MorningLine, Stage, TestAlert, Told
from mailwatch.amazon.details import Item
from mailwatch.catalogue import LANGUAGES, Language, say
from mailwatch.errors import ConfigurationError, Fault
from mailwatch.notice import Kind, Route
from mailwatch.request import Sighting
from mailwatch.secret import Secret
from mailwatch.services import Answer, Form, Outcome, Result
from mailwatch.trust import Trust

# apprise imports `imghdr` on 3.11 and 3.12, which warns.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

KEPT = Path(__file__).parent / "requests"
TOKYO = ZoneInfo("Asia/Tokyo")
KEY = uuid.UUID("0f5e1a52-3c8d-4b1e-9a77-5d2f6c0b8e41")
SID = "AC" + "0123456789abcdef" * 2
AUTH = "fedcba9876543210" * 2
LINE_ID = "U" + "0123456789abcdef" * 2
# Name, and (host, URL) with made-up tokens; LINE's has what base64 has.
CHANNELS = {
    "slack": ("hooks.slack.com", "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"),
    "slack_bot": ("slack.com", "slack://xoxb-1234-1234-4ddbc191d40ee098cbaae6f3523ada2d/#orders"),
    "line": ("api.line.me", f"line://made/up+token==/{LINE_ID}"),
    "twilio": ("api.twilio.com", f"twilio://{SID}:{AUTH}@+15005550006/090-1234-5678"),
}
OTHERS = {"discord": ("discord.com", "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js")}
HEADERS = ("Authorization", "Content-Type", "X-Line-Retry-Key")

# ---- what is told ----

ID = "503-1234567-7654321"
PAGE = f"https://sellercentral.amazon.co.jp/orders-v3/order/{ID}"
AT = datetime(2022, 6, 8, 0, 12, tzinfo=UTC)
LATER = datetime(2022, 6, 8, 1, 3, tzinfo=UTC)
REQUEST = Alert(
    kind=Kind.REQUEST,
    why="first of its order",
    trust=Trust.VERIFIED,
    seller="shop",
    order_id=ID,
    marketplace="JP",
    received=AT,
    account="shop",
    folder="INBOX",
    sightings=(Sighting(AT, Kind.REQUEST, Trust.VERIFIED, Route.NOTIFICATION),),
    items=(Item("ケトル <1.0L> & 白", "B000000001", "KETTLE-W", 2), Item(None, None, "CUP-3")),
    reason="間違えて注文した",
    order_date="2022年6月7日",
    ship_by="2022/06/10",
    sender_domain="amazon.co.jp",
    open_requests=2,
)
UNVERIFIED = replace(REQUEST, trust=Trust.UNVERIFIED, items=(), reason=None, order_date=None, ship_by=None)
POSSIBLE = replace(REQUEST, kind=Kind.POSSIBLE, reason=None)
NO_ORDER = replace(UNVERIFIED, kind=Kind.POSSIBLE, order_id=None, sightings=(), folder="Junk")
WISH = replace(
    REQUEST,
    kind=Kind.WISH,
    sightings=(Sighting(AT, Kind.WISH, Trust.VERIFIED, Route.MESSAGE),),
    reason=None,
    order_date=None,
    ship_by=None,
    excerpt="色を間違えたのでキャンセルできますか",
)
LOGIN = Fault(
    "fault.login",
    {
        "account": "shop",
        "why": Fault(
            "mailbox.login_refused",
            {"host": "imap.gmail.com", "why": "[AUTHENTICATIONFAILED] Invalid credentials (Failure)"},
        ),
    },
)
DEAD = Fault("fault.channel", {"channel": "line", "why": Fault("channel.credentials")})
QUOTA = Fault("fault.quota", {"channel": "line", "left": "50"})
TOLD: Mapping[str, Told] = {
    "request": REQUEST,
    "request, unverified": UNVERIFIED,
    "request, old, by both routes, others mentioned": replace(
        REQUEST,
        order_date="2022/05/01",
        ship_by="2022/05/04",
        sightings=(*REQUEST.sightings, Sighting(LATER, Kind.REQUEST, Trust.VERIFIED, Route.MESSAGE)),
        also_mentioned=("249-7654321-1234567",),
    ),
    "request, ship-by date past": replace(REQUEST, ship_by="2022/06/07"),
    "request, asked again": replace(REQUEST, why="asked again", asked=2),
    "request, may be a repeat": replace(REQUEST, may_be_repeat=True),
    "wish": WISH,
    "possible": POSSIBLE,
    "possible, unverified, without an order": NO_ORDER,
    "unreadable": replace(POSSIBLE, kind=Kind.UNREADABLE, items=(), order_date=None, ship_by=None),
    "cancelled": replace(REQUEST, kind=Kind.CANCELLED, reason=None),
    "fault began": FaultNews(LOGIN, Stage.BEGAN, AT),
    "fault lasts": FaultNews(LOGIN, Stage.LASTS, AT),
    "fault over": FaultNews(LOGIN, Stage.OVER, AT),
    "fault began, a dead channel": FaultNews(DEAD, Stage.BEGAN, AT),
    "fault began, a quota": FaultNews(QUOTA, Stage.BEGAN, AT),
    "digest": Digest(
        "unverified", 23, tuple(DigestRow(Kind.REQUEST, f"503-100000{n}-200000{n}", AT) for n in range(1, 4)), AT
    ),
    "morning, well": MorningLine(AT, mails=312, known=2, open=1, missed=0, forged=3),
    "morning, not well": MorningLine(AT, mails=0, known=0, open=1, missed=0, forged=0, troubles=(LOGIN, DEAD)),
    "test": TestAlert(AT),
}
KINDS = [kind for kind in Kind if kind is not Kind.IGNORED]
IN_ENGLISH = ("request", "request, unverified", "wish", "fault began", "morning, well", "test")
CASES: Mapping[str, tuple[Told, Language]] = {
    **{name: (told, "ja") for name, told in TOLD.items()},
    **{f"{name} (en)": (TOLD[name], "en") for name in IN_ENGLISH},
}


# ---- sending ----


class Wire:
    """The channels, with a recorder that stands in for their services."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        recorder.honours_retry_key = False  # one fixed key for all
        transport.warm_up()

    def send(self, told: Told, language: Language = "ja", *, to: Mapping[str, Any] = CHANNELS) -> dict[str, Request]:
        """Send it on every channel, on all at once, as `run` does; the request of each."""
        with ThreadPoolExecutor(len(to)) as pool:
            urls = [url for _, url in to.values()]
            return dict(zip(to, pool.map(lambda url: self.send_to(url, told, language), urls), strict=True))

    def send_to(self, url: str, told: Told = REQUEST, language: Language = "ja") -> Request:
        """Send it to one URL."""
        host = next(host for host, example in {**CHANNELS, **OTHERS}.values() if _is_same_service(url, example))
        before = len(self._recorder.requests(host))
        outcome = transport.sender(Secret(url))(word(told, url, language), KEY)
        assert outcome.result is Result.ACCEPTED, outcome
        [request] = self._recorder.requests(host)[before:]
        return request


def _is_same_service(url: str, example: str) -> bool:
    return services.of(url) is services.of(example) and ("://xoxb" in url) == ("://xoxb" in example)


def word(told: Told, url: str, language: Language = "ja") -> texts.Text:
    """The text for the channel of a URL."""
    return texts.word(told, services.of(url).form, language, TOKYO)


def shape(request: Request) -> dict[str, Any]:
    """What counts of a request."""
    return {
        "method": request.method,
        "host": request.host,
        "path": request.path,
        "headers": {name: request.headers[name] for name in HEADERS if name in request.headers},
        "body": request.json or dict(parse_qsl(request.body.decode("ascii"), strict_parsing=True)),
    }


def said(name: str, body: Mapping[str, Any]) -> str:
    """The text in a body, as the service shows it."""
    match name:
        case "slack" | "slack_bot":
            return html.unescape(str(body["text"]))
        case "line":
            [message] = body["messages"]
            return str(message["text"])
        case "twilio":
            return str(body["Body"])
    return str(body["content"])


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    """The channels; nothing leaves the machine."""
    with pytest.MonkeyPatch.context() as patch, Recorder.https(tmp_path_factory.mktemp("tls")) as recorder:
        for name, value in recorder.environment().items():
            patch.setenv(name, value)
        yield Wire(recorder)


# ---- the true requests ----


def expected(name: str) -> dict[str, Any]:
    """The requests that are kept of a channel, by case."""
    kept: dict[str, Any] = json.loads((KEPT / f"{name}.json").read_text("utf-8"))
    return kept


@pytest.mark.server
@pytest.mark.parametrize("case", CASES)
def test_each_alert_is_the_request_that_is_kept_on_every_channel(wire: Wire, case: str) -> None:
    """Planted faults, each red: `Line.amend` or `Slack.amend` does nothing; `Twilio.address` gives its URL back."""
    sent = {name: shape(request) for name, request in wire.send(*CASES[case]).items()}
    assert sent == {name: expected(name)[case] for name in CHANNELS}


@pytest.mark.parametrize("name", CHANNELS)
def test_no_request_is_kept_that_nobody_sends(name: str) -> None:
    assert list(expected(name)) == list(CASES)


def kept(*names: str) -> list[tuple[str, str]]:
    """(channel, case) of every alert of a mail that is kept for these channels."""
    return [(name, case) for name in names for case, (told, _) in CASES.items() if isinstance(told, Alert)]


@pytest.mark.parametrize(("name", "case"), kept("slack", "slack_bot", "line"))
def test_what_is_kept_holds_what_a_seller_needs(name: str, case: str) -> None:
    """A file that was written anew without reading it is red here."""
    told, language = CASES[case]
    assert isinstance(told, Alert)
    lines = said(name, expected(name)[case]["body"]).split("\n")
    label = say(f"alert.label_{told.kind}", language)
    assert label in lines[0]
    assert ("再送の可能性" in lines[0]) == told.may_be_repeat
    assert (lines[1] == ID) == (PAGE in lines) == (told.order_id is not None)
    assert any(f"{told.open_requests}" in line and ("未対応" in line or "open" in line) for line in lines)
    assert any("6/8 09:12" in line for line in lines)
    joined = "\n".join(lines)
    assert ("送信元は確認できません" in joined or "can't be confirmed" in joined) == (told.trust is Trust.UNVERIFIED)
    assert ("キャンセル率" in joined or "cancellation rate" in joined) == (told.kind is Kind.WISH)
    for value in (told.reason, told.excerpt, told.order_date, told.ship_by, *(item.title for item in told.items)):
        assert not value or value in joined


@pytest.mark.parametrize(("name", "case"), kept("twilio"))
def test_what_is_kept_as_sms_begins_with_the_order(name: str, case: str) -> None:
    told, _ = CASES[case]
    assert isinstance(told, Alert)
    text = said(name, expected(name)[case]["body"])
    assert texts.sms_parts(text) <= 2
    assert told.order_id is None or ID in text[:70]
    assert text.endswith(("未対応2件", "2 open"))


# ---- nothing hostile ----

HOSTILE = {
    "slack calls everybody": "<!channel> <!here|x> <!everyone>",
    "slack calls one": "<@U1> <#C1> <!subteam^S1>",
    "slack link": "<https://evil.example|Amazon>",
    "entities": "&lt;!channel&gt; &amp;lt; a & b",
    "discord": "@everyone @here <@&1>",
    "mrkdwn": "*b* _i_ ~s~ `c` ```d``` > q",
    "markdown": "[t](https://evil.example/u) # h **b** ![x](y)",
    "line breaks": "a\r\nb\rc\nd\x0be\x0cf\x85g\u2028h\u2029i",
    "NUL and controls": "a\x00b\x07c\x08d\x7fe\x9b31m",
    "ANSI": "a\x1b[31;1mb\x1b[2Jc\x1b]0;t\x07",
    "bidi": "\u202egpj.exe \u2066a\u2069 \u200e\u200f\u061c",
    "zero width": "a\u200bb\u200dc\ufeffd\u2060e\u00adf",
    "lone surrogates": "a\ud800b\udfffc",
    "long": "あ" * 10_000,
    "long, beyond the BMP": "🍣" * 10_000,
    "long and ASCII": "x" * 10_000,
    "links": "https://evil.example/x HTTP://EVIL.EXAMPLE www.evil.example evil.example/x evil.co.jp",
    "links behind Japanese": "詳細はhttps://evil.example/x、詳細はwww.evil.example、支払いはevil.exampleへ",
    "links in pieces": "ht\u200btps:/\u200b/evil\u200b.exam\u00adple http\n://evil.\u202eexample hthttp://tp://evil.example",
    "other schemes": "line://msg/text/x javascript://x tel:0120000000 mailto:a@evil.example slack://open",
    "placeholders": "{0} {order} {at} %s ${x} \\u003c",
}
_LINK = re.compile(r"\w*://|[0-9A-Za-z]\.[A-Za-z]{2}|\bwww\.", re.IGNORECASE)
# Phones make links of these too.
MORE_LINKS = {
    "international names": "アマゾン.com https://アマゾン.jp/ evil.中国 例え.みんな",
    "addresses": "http://203.0.113.9/amazon 203.0.113.9",
}
_ANY_LINK = re.compile(r"[\w-]\.[^\W\d_]{2}|\d{1,3}(?:\.\d{1,3}){3}")
# The fields of an alert that come out of a mail; the titles, ASINs and SKUs are its items'.
FIELDS = ("title", "asin", "sku", "reason", "excerpt", "order_date", "ship_by", "folder", "sender_domain")


def hostile_alerts(value: str, **values: str) -> tuple[Alert, Alert]:
    """Two alerts with the value, or one for each field, wherever a mail's words stand: with an order and without."""
    of = {name: values.get(name, value) for name in FIELDS}
    with_order = replace(
        REQUEST,
        kind=Kind.WISH,
        items=(Item(of["title"], None, None, 2), Item(None, of["asin"]), Item(None, None, of["sku"])),
        reason=of["reason"],
        excerpt=of["excerpt"],
        order_date=of["order_date"],
        ship_by=of["ship_by"],
        folder=of["folder"],
        sender_domain=of["sender_domain"],
        also_mentioned=("249-7654321-1234567",) * 9,
    )
    return with_order, replace(with_order, kind=Kind.REQUEST, order_id=None, sightings=(), may_be_repeat=True)


def hostile_news(value: str) -> tuple[FaultNews, FaultNews, MorningLine]:
    """What is told of a server that says this when it refuses us."""
    refused = Fault("mailbox.login_refused", {"host": "imap.example.jp", "why": value})
    missing = Fault("mailbox.folder_missing", {"folder": value, "why": value})
    login = Fault("fault.login", {"account": "shop", "why": refused})
    folder = Fault("fault.folder", {"account": "shop", "folder": value, "why": missing})
    line = MorningLine(AT, mails=1, known=1, open=1, missed=1, forged=1, troubles=(login, folder))
    return FaultNews(login, Stage.BEGAN, AT), FaultNews(folder, Stage.OVER, AT), line


def check_harmless(text: str, told: Told, form: Form) -> None:
    """Plain lines of printable characters, no link but our own, within the limits."""
    for line in text.split("\n"):
        assert line.isprintable(), ascii(line)
    text.encode("utf-8")
    own = [PAGE] if isinstance(told, Alert) and told.order_id and form is not Form.SMS else []
    assert [line for line in text.split("\n") if line == PAGE] == own
    assert not (found := _LINK.findall(text.replace(PAGE, ""))), found
    if form is Form.SMS:
        assert texts.sms_parts(text) <= 2
        assert not isinstance(told, Alert) or not told.order_id or texts.units(text[: text.index(ID)]) + 19 <= 70
    assert texts.units(text) <= 5000


def check_body(name: str, body: Mapping[str, Any]) -> None:
    """Nothing of the text is markup to the service."""
    match name:
        case "slack" | "slack_bot":
            rest = body["text"].replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
            assert not set("&<>") & set(rest)
            assert body["mrkdwn"] is body["unfurl_links"] is body["unfurl_media"] is False
            assert set(body) <= {"channel", "text", "mrkdwn", "unfurl_links", "unfurl_media"}
        case "line":
            [message] = body["messages"]
            assert message["type"] == "text"
            assert set(message) == {"type", "text", "sender"}
        case "twilio":
            assert set(body) == {"Body", "From", "To"}
        case "discord":
            assert body["allowed_mentions"] == {"parse": []}


def check_sent(wire: Wire, told: Told, language: Language = "ja") -> None:
    """On every channel it arrives letter by letter as it was worded, and harmless."""
    for name, request in wire.send(told, language, to={**CHANNELS, **OTHERS}).items():
        _, url = {**CHANNELS, **OTHERS}[name]
        body = shape(request)["body"]
        arrived = said(name, body).replace("\r\n", "\n" if name == "discord" else "\r\n")
        assert arrived == word(told, url, language).whole
        check_harmless(arrived, told, services.of(url).form)
        check_body(name, body)


@pytest.mark.server
@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_value_arrives_as_plain_text_on_every_channel(wire: Wire, value: str) -> None:
    """Planted faults, each red: `Slack.amend` without any one of its three escapes, or with mrkdwn; `Discord.amend`
    does nothing; body_format HTML in `transport.send`; `plain` gives its text back."""
    for told in (hostile_alerts(value)[1], hostile_news(value)[1]):
        check_sent(wire, told)


PIECES = st.one_of(
    st.characters(),
    st.sampled_from(
        [*"<>&*_~`[]()|@#:/.\\\r\n\t\x00\x1b\u202e\u200b\ud83d\udca9あ", "://", "www.", ".com", "<!channel>", "&lt;"]
    ),
)
VALUES = st.lists(PIECES, max_size=40).map("".join) | st.lists(PIECES, min_size=1, max_size=9).map(
    lambda each: "".join(each) * 200
)


@pytest.mark.server
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VALUES)
def test_any_value_arrives_as_plain_text_on_every_channel(wire: Wire, value: str) -> None:
    for told in (hostile_alerts(value)[0], hostile_news(value)[1]):
        check_sent(wire, told)


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_value_in_one_field_is_plain_text_in_every_form(value: str) -> None:
    """Planted faults, each red: no `plain` round any one value of `texts.mail`, or round the folder of `texts.short`;
    `plain` keeps surrogates."""
    for field, form, language in itertools.product(FIELDS, Form, LANGUAGES):
        for told in hostile_alerts("x", **{field: value}):
            check_harmless(texts.word(told, form, language, TOKYO).whole, told, form)


@pytest.mark.parametrize("value", MORE_LINKS.values(), ids=MORE_LINKS)
def test_a_host_in_any_script_and_an_address_are_no_link(value: str) -> None:
    for form, language in itertools.product(Form, LANGUAGES):
        for told in (*hostile_alerts(value), *hostile_news(value)):
            assert not _ANY_LINK.search(texts.word(told, form, language, TOKYO).whole.replace(PAGE, ""))


def test_an_alert_is_never_longer_than_1000_characters() -> None:
    for language, kind, told in itertools.product(LANGUAGES, KINDS, hostile_alerts("x" * 10_000)):
        assert len(texts.word(replace(told, kind=kind), Form.CHAT, language, TOKYO).whole) <= 1000


def test_a_further_order_that_is_none_is_plain_text() -> None:
    for value in HOSTILE.values():
        told = replace(REQUEST, also_mentioned=(value,) * 9)
        check_harmless(texts.word(told, Form.CHAT, "ja", TOKYO).whole, told, Form.CHAT)


@pytest.mark.long
@given(st.fixed_dictionaries(dict.fromkeys(FIELDS, VALUES)), st.sampled_from(Form), st.sampled_from(LANGUAGES))
@settings(max_examples=150)
def test_any_values_in_all_fields_are_plain_text_within_the_limits(
    values: dict[str, str], form: Form, language: Language
) -> None:
    for told in hostile_alerts("", **values):
        check_harmless(texts.word(told, form, language, TOKYO).whole, told, form)


@pytest.mark.long
@given(VALUES, st.sampled_from(Form), st.sampled_from(LANGUAGES))
@settings(max_examples=100)
def test_whatever_a_server_says_when_it_refuses_us_is_plain_text(value: str, form: Form, language: Language) -> None:
    """Planted faults, each red: no `_harmless` in `texts.watching`; `texts.short` does not cut."""
    for told in hostile_news(value):
        check_harmless(texts.word(told, form, language, TOKYO).whole, told, form)


# ---- tokens and recipients ----


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """A good configuration but for its channels."""
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text("pass-one")
    path = tmp_path / "config.toml"
    path.touch(0o600)
    path.write_text("[[accounts]]\nname = 'shop'\nprovider = 'gmail'\nuser = 'u'\npassword_file = 'password'\n")
    return path


def with_channel(path: Path, url: str) -> config.Channel:
    """The channel of a URL, as the configuration reads it."""
    (path.parent / "channel.url").touch(0o600)
    (path.parent / "channel.url").write_text(url + "\n", "utf-8")
    path.write_text(path.read_text("utf-8") + "[[channels]]\nname = 'c'\nurl_file = 'channel.url'\n")
    [channel] = config.load(path, {}).channels
    return channel


@pytest.mark.server
@pytest.mark.parametrize(
    "token",
    [
        "plain",
        "a/b",
        "a+b",
        "a==",
        "/a",
        "a//b",
        "a/U1",
        "dQw4+w9W/gXcQ==",
        "eyJhbGciOi/JIUzI1NiJ9+" * 7 + "1O/w1cDnyilFU=",
    ],
)
@pytest.mark.parametrize("is_encoded", [False, True])
def test_a_line_token_arrives_whole(wire: Wire, configured: Path, token: str, is_encoded: bool) -> None:
    """Planted fault: `Line.address` gives its URL back: red (apprise takes the rest of the token for a recipient)."""
    written = token.replace("/", "%2F").replace("+", "%2B").replace("=", "%3D") if is_encoded else token
    request = wire.send_to(with_channel(configured, f"line://{written}/{LINE_ID}").url.reveal())
    assert (request.headers["Authorization"], request.json["to"]) == (f"Bearer {token}", LINE_ID)


@pytest.mark.server
@pytest.mark.parametrize("kind", "UCR")
def test_a_line_message_goes_to_the_person_group_or_room(wire: Wire, configured: Path, kind: str) -> None:
    request = wire.send_to(with_channel(configured, f"line://a/b+c==/{kind}{LINE_ID[1:]}").url.reveal())
    assert request.json["to"] == kind + LINE_ID[1:]


@pytest.mark.server
@pytest.mark.parametrize(
    "number",
    [
        "090-1234-5678",
        "09012345678",
        "090 1234 5678",
        "090\u30001234\u30005678",
        "(090)1234-5678",
        "090ー1234ー5678",
        "090－1234－5678",
        "+819012345678",
        "+81 90 1234 5678",
        "+81-90-1234-5678",
        "+8109012345678",
        "+81 (0)90-1234-5678",
    ],
)
def test_a_phone_number_arrives_in_e164_however_it_is_written(wire: Wire, configured: Path, number: str) -> None:
    """Planted faults, each red: `_number` leaves a leading 0 (apprise sends +0…), or the one of +810…."""
    channel = with_channel(configured, f"twilio://{SID}:{AUTH}@+1 (500) 555-0006/{number}")
    body = shape(wire.send_to(channel.url.reveal()))["body"]
    assert (body["From"], body["To"]) == ("+15005550006", "+819012345678")


@pytest.mark.server
@pytest.mark.parametrize(
    "url",
    [
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/",
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
    ],
)
def test_a_slack_webhook_is_the_same_however_it_is_written(wire: Wire, configured: Path, url: str) -> None:
    request = wire.send_to(with_channel(configured, url).url.reveal())
    assert (request.host, request.path) == ("hooks.slack.com", "/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ")
    assert "channel" not in request.json


@pytest.mark.server
@pytest.mark.parametrize(("written", "channel"), [("#orders", "#orders"), ("%23orders", "#orders"), ("+C012", "C012")])
def test_a_slack_bot_posts_to_the_channel_of_its_url(wire: Wire, configured: Path, written: str, channel: str) -> None:
    """Planted fault: `Service.address` leaves the `#`: red (the channel is lost)."""
    bot = CHANNELS["slack_bot"][1].partition("/#")[0]
    assert wire.send_to(with_channel(configured, f"{bot}/{written}").url.reveal()).json["channel"] == channel


@pytest.mark.server
@pytest.mark.parametrize("token", ["xoxbjkdnlazkcIdevi7FQabc", "TIiajkdnlazkXoXIdevi7FQa"])
@pytest.mark.parametrize("start", ["slack://", "https://hooks.slack.com/services/"])
def test_a_slack_webhook_whose_token_holds_xox_is_no_bot(wire: Wire, configured: Path, start: str, token: str) -> None:
    """Planted fault: `xox` anywhere in the URL means a bot, which has no three parts: refused, red."""
    request = wire.send_to(with_channel(configured, f"{start}T1JJ3T3L2/A1BRTD4JD/{token}").url.reveal())
    assert (request.host, request.path) == ("hooks.slack.com", f"/services/T1JJ3T3L2/A1BRTD4JD/{token}")


REFUSED = [
    ("config.line_url", "line://token-only"),
    ("config.line_url", f"line:///{LINE_ID}"),
    ("config.line_url", f"line://token/{LINE_ID}/{LINE_ID}"),
    ("config.line_url", f"line://token/{LINE_ID},{LINE_ID}"),
    ("config.line_url", f"line://token/{LINE_ID.lower()}"),
    ("config.line_url", "line://token/@friend"),
    ("config.line_url", "line://token/Utanaka"),
    ("config.line_url", f"line://token/{LINE_ID[:-1]}"),
    ("config.line_url", "line://token/"),
    ("config.twilio_url", f"twilio://{SID}:{AUTH}@+15005550006"),
    ("config.twilio_url", f"twilio://{SID}:{AUTH}@+15005550006/"),
    ("config.twilio_url", f"twilio://{SID}:{AUTH}@+15005550006/090-1234-5678/090-1234-5679"),
    ("config.twilio_url", f"twilio://{SID}@+15005550006/090-1234-5678"),
    ("config.twilio_number", f"twilio://{SID}:{AUTH}@+15005550006/119"),
    ("config.twilio_number", f"twilio://{SID}:{AUTH}@+15005550006/9012345678"),
    ("config.twilio_number", f"twilio://{SID}:{AUTH}@+15005550006/+0819012345678"),
    ("config.twilio_number", f"twilio://{SID}:{AUTH}@+15005550006/0081-90-1234-5678"),
    ("config.twilio_number", f"twilio://{SID}:{AUTH}@+15005550006/090-1234-56789012345"),
    ("config.twilio_number", f"twilio://{SID}:{AUTH}@+15005550006/０９０－１２３４－５６７８"),
    ("config.twilio_number", f"twilio://{SID}:{AUTH}@+15005550006/090-1234-567O"),
    ("config.twilio_number", f"twilio://{SID}:{AUTH}@SHOP/090-1234-5678"),
    ("config.slack_url", "slack://T1JJ3T3L2/A1BRTD4JD"),
    ("config.slack_url", "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#a/#b"),
    ("config.slack_url", "slack://xoxb-1234-1234-4ddbc191d40ee098cbaae6f3523ada2d"),
    ("config.slack_url", "slack://xoxb-1234-1234-4ddbc191d40ee098cbaae6f3523ada2d/#a/#b"),
    ("config.slack_url", "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD"),
]


@pytest.mark.parametrize(("key", "url"), REFUSED)
def test_a_url_that_would_go_nowhere_is_refused_by_the_configuration(configured: Path, key: str, url: str) -> None:
    """Planted fault, of each service: `problem` says None: red. Seen red: LINE's recipient `Utanaka` was taken."""
    with pytest.raises(ConfigurationError) as caught:
        with_channel(configured, url)
    assert [fault.key for fault in caught.value.faults] == [key]


# ---- a refusal inside a good answer, of the services that no recorder stands in for ----


def answer(status: int, body: object) -> Answer:
    """What a service answered."""
    return Answer(status, json.dumps(body).encode())


def read(url: str, status: int, body: object) -> Outcome:
    """What the service of a URL makes of it."""
    return services.of(url).read(answer(status, body))


@pytest.mark.parametrize("scheme", ["vonage", "nexmo"])
@pytest.mark.parametrize(
    ("states", "result"),
    [
        (["0"], Result.ACCEPTED),
        (["0", "0"], Result.ACCEPTED),
        (["1"], Result.PASSING),
        (["2"], Result.PERMANENT),
        (["0", "2"], Result.PERMANENT),
        (["0", "1"], Result.AMBIGUOUS),
        (["4"], Result.PERMANENT),
    ],
)
def test_vonage_hides_a_refusal_in_each_message(scheme: str, states: list[str], result: Result) -> None:
    """Planted fault: `Vonage.read` goes by the status alone: red."""
    body = {"message-count": str(len(states)), "messages": [{"status": each, "error-text": "x"} for each in states]}
    assert read(f"{scheme}://key:secret@0/1", 200, body).result is result


@pytest.mark.parametrize(
    ("states", "result"),
    [
        (["SUCCESS"], Result.ACCEPTED),
        (["INVALID_RECIPIENT"], Result.PERMANENT),
        (["SUCCESS", "INVALID_RECIPIENT"], Result.PERMANENT),
    ],
)
def test_clicksend_hides_a_refusal_in_each_message(states: list[str], result: Result) -> None:
    """Planted fault: `ClickSend.read` goes by the status alone: red."""
    body = {"http_code": 200, "response_code": "SUCCESS", "data": {"messages": [{"status": each} for each in states]}}
    assert read("clicksend://user:key@0", 200, body).result is result


@pytest.mark.parametrize("url", ["vonage://key:secret@0/1", "clicksend://user:key@0"])
@pytest.mark.parametrize("body", [None, b"<html>log in", b"{}", b'{"messages": []}'])
def test_what_says_well_without_the_service_s_answer_may_be_anybody(url: str, body: bytes | None) -> None:
    """Seen red with it taken for accepted."""
    assert services.of(url).read(Answer(200, body)).result is Result.AMBIGUOUS


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206])
@pytest.mark.parametrize(
    "url",
    [
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        f"line://token/U{'0' * 32}",
        f"twilio://AC{'a' * 32}:{'b' * 32}@+15550001111/+15550002222",
        "vonage://key:secret@0/1",
        "clicksend://user:key@0",
    ],
)
def test_no_good_status_is_the_service_s_answer(url: str, status: int) -> None:
    """Seen red of 201 to 206: taken for accepted, though a proxy said so."""
    for body in (b"", b"<html>log in", b"null"):
        assert services.of(url).read(Answer(status, body)).result is Result.AMBIGUOUS


def test_that_line_knows_an_alert_is_said_by_line_alone() -> None:
    """Seen red: any 409 was taken for accepted."""
    line = services.of(f"line://token/U{'0' * 32}")
    assert line.read(answer(409, {"message": "The retry key is already accepted"})).result is Result.ACCEPTED
    for body in (b"", b"<html>Conflict", None):
        assert line.read(Answer(409, body)).result is Result.AMBIGUOUS


# ---- writing the files ----


def write() -> None:
    """Write the requests that are kept, as they are now."""
    with TemporaryDirectory() as folder, Recorder.https(Path(folder)) as recorder:
        os.environ.update(recorder.environment())
        running = Wire(recorder)
        sent = {case: running.send(*told) for case, told in CASES.items()}
    for name in CHANNELS:
        shapes = {case: shape(requests[name]) for case, requests in sent.items()}
        (KEPT / f"{name}.json").write_text(json.dumps(shapes, ensure_ascii=False, indent=2) + "\n", "utf-8")


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    write()
