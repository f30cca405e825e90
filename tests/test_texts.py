"""An alert as a person reads it: short first line, the ID to copy, our link and no other, nothing hostile."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwatch import texts
from mailwatch.alert import Alert, Told
from mailwatch.amazon.details import Item
from mailwatch.catalogue import LANGUAGES, Language
from mailwatch.notice import Kind, Route
from mailwatch.request import Sighting
from mailwatch.services import Form
from mailwatch.texts.text import plain
from mailwatch.trust import Trust

ID = "249-1234567-7654321"
PAGE = f"https://sellercentral.amazon.co.jp/orders-v3/order/{ID}"
TOKYO = ZoneInfo("Asia/Tokyo")
AT = datetime(2022, 6, 8, 0, 12, tzinfo=UTC)
TOLD = [kind for kind in Kind if kind is not Kind.IGNORED]
ALERT = Alert(
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
    items=(Item("ケトル", "B000000001", "K-1", 2),),
    also_mentioned=("503-1111111-2222222",),
    reason="不要になった",
    order_date="2022/06/07",
    ship_by="2022/06/10",
    excerpt="キャンセルしたい",
    sender_domain="amazon.co.jp",
    open_requests=3,
)


DOUBT: dict[tuple[bool, Language], str] = {
    (False, "ja"): "送信元は確認できません",
    (False, "en"): "can't be confirmed",
    (True, "ja"): "送信元未確認",
    (True, "en"): "not verified",
}


def shown(about: Told, language: Language = "ja", form: Form = Form.CHAT) -> str:
    return texts.word(about, form, language, TOKYO).whole


def width(text: str) -> float:
    """In full-width characters."""
    return sum(1.0 if unicodedata.east_asian_width(character) in "WFA" else 0.5 for character in text)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", TOLD)
@pytest.mark.parametrize("may_be_repeat", [True, False])
def test_the_first_line_fits_a_phone_and_the_second_is_the_order_id_alone(
    kind: Kind, language: Language, may_be_repeat: bool
) -> None:
    lines = shown(replace(ALERT, kind=kind, may_be_repeat=may_be_repeat), language).split("\n")
    assert 0 < width(lines[0]) <= 34
    assert lines[1] == ID


def test_a_request_says_everything_a_person_needs() -> None:
    assert shown(ALERT).split("\n") == [
        "【依頼】キャンセルのリクエストです",
        ID,
        "出荷通知を送らず、発送を止めてください。注文ページでリクエストを確かめてキャンセル(率に影響しません)。"
        "出荷通知だけ済みなら発送せず返金、発送済みなら受取拒否か返品を購入者に案内。",
        "Amazonの通知 6/8 09:12",
        "商品: ケトル ×2",
        "理由: 不要になった",
        "注文日: 2022/06/07",
        "出荷期限: 2022/06/10",
        "本文より: 「キャンセルしたい」",
        "ほかに書かれた注文番号: 503-1111111-2222222",
        PAGE,
        "未対応 3件",
    ]


@pytest.mark.parametrize(
    ("kind", "label"),
    [(Kind.REQUEST, "依頼"), (Kind.WISH, "相談"), (Kind.POSSIBLE, "要確認"), (Kind.UNREADABLE, "要確認")],
)
def test_people_see_the_four_labels(kind: Kind, label: str) -> None:
    assert shown(replace(ALERT, kind=kind)).startswith(f"【{label}】")


def test_a_wish_says_that_it_is_not_official_and_a_request_does_not() -> None:
    assert "正式なリクエストではありません" in shown(replace(ALERT, kind=Kind.WISH))
    assert "正式なリクエストではありません" not in shown(ALERT)


@pytest.mark.parametrize("why", ["verified now", "now official", "more items", "asked again"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_an_order_told_before_says_why_it_is_told_again(why: str, language: Language) -> None:
    again = shown(replace(ALERT, why=why, asked=2), language).split("\n")
    assert len(again) == len(shown(ALERT, language).split("\n")) + 1
    assert why != "asked again" or "2" in again[2]


def test_a_possible_repeat_is_marked() -> None:
    assert "再送の可能性" in shown(replace(ALERT, may_be_repeat=True)).split("\n")[0]
    assert "再送の可能性" not in shown(ALERT)


@pytest.mark.parametrize(
    ("order_date", "ship_by", "warning"),
    [
        ("2022/06/07", "2022/06/10", None),
        ("2022/05/26", "2022/06/10", None),  # 13 days before 6/8 in Japan
        ("2022/05/25", "2022/06/10", "注文から14日"),
        ("2022年4月1日(金)", None, "注文から68日"),
        ("2022/06/07", "2022/06/08", None),
        ("2022/06/07", "2022/06/07", "出荷期限を過ぎています"),
        ("06/07/2021", "05/06/2022", None),  # nobody knows which is the month
        ("いつか", "", None),
    ],
)
def test_an_order_that_may_have_shipped_is_warned_of_before_it_is_refunded(
    order_date: str, ship_by: str | None, warning: str | None
) -> None:
    """One seller nearly refunded a parcel that had arrived. Planted fault: the days counted from today: red."""
    about = replace(ALERT, order_date=order_date, ship_by=ship_by)
    lines = [line for line in shown(about).split("\n") if line.startswith("⚠")]
    assert len(lines) == (warning is not None)
    assert warning is None or warning in lines[0]
    assert ("発送済みか先に確認" in shown(about, form=Form.SMS)) is (warning is not None)


@pytest.mark.parametrize("kind", TOLD)
def test_of_an_unverified_or_cancelled_order_no_such_warning_is_given(kind: Kind) -> None:
    old = replace(ALERT, kind=kind, order_date="2022/01/01", ship_by="2022/01/02")
    assert "⚠" not in shown(replace(old, trust=Trust.UNVERIFIED))
    assert ("⚠" in shown(old)) is (kind is not Kind.CANCELLED)


def test_a_wish_carries_a_reply_to_copy_with_a_day_to_answer() -> None:
    reply = shown(replace(ALERT, kind=Kind.WISH)).split("\n")[-1]
    assert "6月9日までに" in reply  # received on 6/8
    assert "返信の文例" not in shown(ALERT)


def test_both_routes_are_shown_with_the_first_time_of_each() -> None:
    later = AT.replace(hour=1)
    sightings = (
        Sighting(later, Kind.REQUEST, Trust.VERIFIED, Route.MESSAGE),
        Sighting(later, Kind.REQUEST, Trust.VERIFIED, Route.NOTIFICATION),
        Sighting(AT, Kind.REQUEST, Trust.VERIFIED, Route.NOTIFICATION),
    )
    text = shown(replace(ALERT, sightings=sightings))
    assert "購入者メッセージ 6/8 10:12\nAmazonの通知 6/8 09:12" in text


def test_without_an_order_id_the_seller_is_told_where_the_mail_is() -> None:
    text = shown(replace(ALERT, kind=Kind.POSSIBLE, order_id=None, trust=Trust.UNVERIFIED, sightings=()))
    assert text.split("\n")[1] == "注文番号なし"
    assert "shop / INBOX / 6/8 09:12" in text
    assert "amazon．co．jp" in text
    assert "http" not in text


@pytest.mark.parametrize("marketplace", [None, "XX", "../JP", "JP\n", ""])
def test_without_a_known_host_there_is_no_link(marketplace: str | None) -> None:
    assert "http" not in shown(replace(ALERT, marketplace=marketplace))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", TOLD)
def test_nothing_of_an_unverified_mails_text_is_shown(kind: Kind, language: Language) -> None:
    """Design section 3: unverified alerts carry our link, the small note, and no text of the mail."""
    secret = "ここへ電話を"
    about = replace(
        ALERT,
        kind=kind,
        trust=Trust.UNVERIFIED,
        items=(Item(secret, secret, secret, 1),),
        reason=secret,
        order_date=secret,
        ship_by=secret,
        excerpt=secret,
    )
    for form in Form:
        text = shown(about, language, form)
        assert secret not in text
        assert (PAGE in text) is (form is not Form.SMS)
        assert DOUBT[form is Form.SMS, language] in text


def test_a_verified_mail_carries_no_doubt() -> None:
    for (is_sms, language), words in DOUBT.items():
        assert words not in shown(ALERT, language, Form.SMS if is_sms else Form.CHAT)


# Characters of one and of two UTF-16 units, in any order; no lone surrogates, which `plain` has taken out.
EMOJI = st.text(st.one_of(st.sampled_from("aあ🍣👨\u200d𠮷…"), st.characters(exclude_categories=["Cs"])), max_size=60)

HOSTILE = [
    "a\r\nb\nc",
    "a\x1b[31;1mb\x1b[2J",
    "a\x00b\x07\x08\x7f\x9b31m",
    "\u202egpj.exe",
    "a\u2066b\u2069\u200e\u061c",
    "a\u200bb\u200d\ufeff\u2060",
    "a\u2028b\u2029c\x85d\x0be\x0cf",
    "\ud800\udfff",
    "\U000e0041\U000e007f",
    "\ue000\uffff\U0010fffe",
    "https://evil.example/x",
    "HTTPS://evil.example",
    "詳細はhttps://evil.example/x",
    "_https://evil.example",
    "9https://evil.example",
    "ht\u200btps:/\u200b/evil.example",
    "http\n://evil.example",
    "hthttp://tp://evil.example",
    "www.evil.example",
    "詳細はwww.evil.example",
    "line://msg/text/x",
    "javascript://x",
    "x" * 100_000,
    "あ" * 500,
    "{0} {order} {at} %s",
    "",
    " \t ",
]


def hostile(value: str) -> Alert:
    return replace(
        ALERT,
        items=(Item(value, None, None, 1), Item(None, value, None), Item(None, None, value)),
        reason=value,
        order_date=value,
        ship_by=value,
        excerpt=value,
        folder=value,
        sender_domain=value,
        marketplace="JP",
    )


def check_plain(about: Alert, language: Language) -> None:
    for form in Form:
        text = shown(about, language, form)
        for line in text.split("\n"):
            assert line.isprintable(), ascii(line)
            assert len(line) <= 400
        text.encode("utf-8")
        links = re.findall(r"(?i)[a-z][a-z0-9+.-]*://\S*|www\.\S*", text)
        assert links == ([PAGE] if about.order_id and form is not Form.SMS else [])


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("order_id", [ID, None])
def test_a_hostile_value_in_any_field_is_plain_one_line_text_and_no_link(value: str, order_id: str | None) -> None:
    """Seen red with `plain` giving its text back, without its category filter, and without either link rule."""
    for language in LANGUAGES:
        check_plain(replace(hostile(value), order_id=order_id), language)


@pytest.mark.parametrize(
    "host",
    [
        "cafe\u0301.com",
        "💩.la",
        "evil。com",
        "evil｡com",
        "हिन्दी.com",
        "example.भारत",
        "例え.テスト",
        "a-.jp",
        "www。evil",
    ],
)
def test_a_host_name_in_any_script_is_no_link(host: str) -> None:
    """Seen red with only a letter, a digit or a dash before the dot, and only the one dot."""
    assert "．" in plain(f"詳細は {host}/pay")


@pytest.mark.parametrize("words", ["3.5mm 12.7V", "終わりです。注文", "A。B", "No. 5", "...", "Ver.2", "5.A5"])
def test_a_dot_of_no_host_name_stays(words: str) -> None:
    assert plain(words) == words


def test_a_hostile_value_adds_no_line() -> None:
    """Seen red with `plain` giving its text back."""
    count = len(shown(hostile("x")).split("\n"))
    for value in HOSTILE[:-2]:
        assert len(shown(hostile(value)).split("\n")) <= count


@given(
    st.lists(
        st.one_of(
            st.characters(),
            st.sampled_from(
                [
                    "://",
                    "http",
                    "https:",
                    "//",
                    "www",
                    ".",
                    "\u200b",
                    "\r\n",
                    "\u202e",
                    "\x1b[",
                    "あ",
                    " ",
                    ":",
                    "/",
                    "\ud83d",
                ]
            ),
        ),
        max_size=30,
    ).map("".join)
)
@settings(max_examples=300)
def test_any_value_in_any_field_is_plain_one_line_text_and_no_link(value: str) -> None:
    check_plain(hostile(value), "ja")


# ---- how long a text is ----


@given(EMOJI, st.integers(1, 60))
@settings(max_examples=300)
def test_a_cut_text_is_never_too_long_and_no_character_is_in_halves(text: str, limit: int) -> None:
    """In UTF-16 units, as LINE and SMS count. Seen red with `cut` counting characters, and with it cutting the UTF-16
    bytes (which splits a pair)."""
    cut = texts.cut(text, limit)
    assert texts.units(cut) <= limit
    cut.encode("utf-8")  # half of a pair could not be
    if texts.units(text) <= limit:
        assert cut == text
    else:
        assert cut.endswith("…")
        assert text.startswith(cut[:-1])
        # Not a character more would have fitted.
        assert texts.units(cut) + texts.units(text[len(cut) - 1]) > limit


@pytest.mark.parametrize(
    ("text", "units"), [("", 0), ("a", 1), ("あ", 1), ("𠮷野家", 4), ("🍣", 2), ("👨‍👩‍👧", 8), ("\ud83d", 1)]
)
def test_a_length_is_counted_in_utf_16_units(text: str, units: int) -> None:
    assert texts.units(text) == units


@given(EMOJI)
@settings(max_examples=100)
def test_the_units_of_a_text_are_those_of_its_characters(text: str) -> None:
    assert texts.units(text) == sum(2 if ord(character) > 0xFFFF else 1 for character in text)


@pytest.mark.parametrize(("units", "parts"), [(1, 1), (70, 1), (71, 2), (134, 2), (135, 3), (201, 3), (202, 4)])
def test_a_joined_part_of_an_sms_holds_67_units_and_one_alone_70(units: int, parts: int) -> None:
    """GSM 03.40. Seen red with 70 for the joined ones."""
    assert texts.sms_parts("あ" * units) == parts
    assert texts.sms_parts("🍣" * (units // 2) + "あ" * (units % 2)) == parts


@given(st.text(max_size=300), st.integers(1, 200))
@settings(max_examples=100)
def test_a_value_is_never_longer_than_its_limit(value: str, limit: int) -> None:
    assert len(texts.plain(value, limit)) <= limit


@pytest.mark.parametrize(
    "value", ["<!channel>", "<@U1>", "@everyone", "*b* _i_ `c`", "[t](u)", "a & b", "ケトル（白）", "𠮷野家 🍣"]
)
def test_an_ordinary_value_stays_as_it_is_for_the_channel_to_escape(value: str) -> None:
    assert texts.plain(value) == value
