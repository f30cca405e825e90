"""The known forms: the shipped file is sound, and a seller's own file adds to it or is told every fault."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwatch.amazon import template, words
from mailwatch.amazon.sender import Sender
from mailwatch.amazon.template import Signals, TemplateFaults
from mailwatch.catalogue import LANGUAGES, say
from mailwatch.message import Field

OWN = """
[[template]]
id = "mine"
kind = "request"
route = "notification"
senders = ["*@amazon.co.jp"]
subject = ["ご注文 中止"]
"""


def faults(text: str) -> list[tuple[str, dict[str, str]]]:
    with pytest.raises(TemplateFaults) as raised:
        template.with_own(text.encode())
    return [(fault.key, fault.fields) for fault in raised.value.faults]


def signals(**given_values: Any) -> Signals:
    values: dict[str, Any] = {
        "sender": "amazon",
        "address": "x@amazon.co.jp",
        "subject": "",
        "body": "",
        "has_order_id": False,
    }
    values |= {
        name: words.compact(value) if name in {"subject", "body"} else value for name, value in given_values.items()
    }
    return Signals(**values)


def test_the_shipped_forms_are_sound() -> None:
    forms = template.shipped().forms
    assert len({form.id for form in forms}) == len(forms)
    for form in forms:
        assert form.kind in {*template.KINDS, "message"}
        assert form.senders
        assert form.seen
        assert form.kind != "request" or form.route in template.ROUTES


def test_every_shipped_form_with_words_can_be_matched() -> None:
    for form in template.shipped().forms:
        for subject in form.subject:
            spelt = " ".join(word.split("|")[0] for word in subject.split())
            given = signals(sender=form.senders[0], subject=spelt)
            if form.kind == "message":
                assert template.is_message(template.shipped(), given), (form.id, subject)
                continue
            found = template.match(template.shipped(), given)
            assert form.id in [each.template.id for each in found], (form.id, subject)


def test_a_sellers_own_form_comes_first_and_the_shipped_ones_stay() -> None:
    known = template.with_own(OWN.encode())
    assert known.forms[0].id == "mine"
    assert known.forms[1:] == template.shipped().forms
    assert known.points == template.shipped().points


def test_an_own_form_with_a_shipped_id_replaces_it() -> None:
    known = template.with_own(OWN.replace("mine", "jp-cancelled").encode())
    assert [form.kind for form in known.forms if form.id == "jp-cancelled"] == ["request"]
    assert len(known.forms) == len(template.shipped().forms)


def test_an_own_form_with_a_byte_order_mark_and_windows_line_ends_is_read() -> None:
    assert template.with_own(b"\xef\xbb\xbf" + OWN.replace("\n", "\r\n").encode()).forms[0].id == "mine"


def test_an_own_form_decides_about_a_mail_that_no_shipped_form_knows() -> None:
    mail = signals(subject="ご注文の中止について")
    assert not template.match(template.shipped(), mail)
    assert template.match(template.with_own(OWN.encode()), mail)[0].template.id == "mine"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[template]\n", ("template.toml", {"line": "1"})),
        ("\n\nid = ", ("template.toml", {"line": "3"})),
        ("", ("template.no_rows", {})),
        ("template = []", ("template.no_rows", {})),
        ("template = 3", ("template.no_rows", {})),
        ("template = [1, 2]", ("template.no_rows", {})),
        ("template = [{id = 'x'}, 1]", ("template.no_rows", {})),
        ("[template]\nid = 'x'", ("template.no_rows", {})),
        (OWN + "colour = 'red'", ("template.unknown_key", {"template": "mine", "key": "colour"})),
        (OWN.replace('id = "mine"', ""), ("template.missing", {"template": "#1", "key": "id"})),
        (OWN.replace('kind = "request"', ""), ("template.missing", {"template": "mine", "key": "kind"})),
        (OWN.replace('senders = ["*@amazon.co.jp"]', ""), ("template.missing", {"template": "mine", "key": "senders"})),
        (OWN.replace('route = "notification"', ""), ("template.missing", {"template": "mine", "key": "route"})),
        (OWN.replace('subject = ["ご注文 中止"]', ""), ("template.missing", {"template": "mine", "key": "subject"})),
        (OWN.replace('["ご注文 中止"]', '"ご注文"'), ("template.not_texts", {"template": "mine", "key": "subject"})),
        (OWN.replace('["ご注文 中止"]', "[1]"), ("template.not_texts", {"template": "mine", "key": "subject"})),
        (OWN.replace('["ご注文 中止"]', '[" "]'), ("template.not_texts", {"template": "mine", "key": "subject"})),
        (OWN.replace("*@amazon.co.jp", "amason"), ("template.sender", {"template": "mine", "value": "amason"})),
        (OWN.replace("*@amazon.co.jp", "amazon.co.jp"), ("template.sender", {"value": "amazon.co.jp"})),
        (OWN.replace("*@amazon.co.jp", "*"), ("template.sender", {"value": "*"})),
        (OWN + OWN, ("template.twice", {"template": "mine"})),
        (OWN.replace('"request"', '"wish"'), ("template.kind", {"template": "mine"})),
        (OWN.replace('"request"', "3"), ("template.kind", {"template": "mine"})),
        (OWN.replace('"request"', "[]"), ("template.kind", {"template": "mine"})),
        (OWN.replace('"notification"', '"api"'), ("template.route", {"template": "mine"})),
        (OWN.replace('"notification"', "{}"), ("template.route", {"template": "mine"})),
        (OWN + "needs = 'x'", ("template.needs", {"template": "mine"})),
        (OWN + "needs = true", ("template.needs", {"template": "mine"})),
    ],
)
def test_each_fault_of_an_own_file_is_named(text: str, expected: tuple[str, dict[str, str]]) -> None:
    """Seen red with each line of `_faults` taken out, and where a sender or an id of its own was never looked at."""
    key, fields = expected
    assert any(found == key and fields.items() <= given_fields.items() for found, given_fields in faults(text))


@pytest.mark.parametrize(
    ("key", "where", "text"), [("id", "7", OWN.replace('"mine"', "7")), ("seen", "mine", OWN + "seen = 7")]
)
def test_a_number_where_a_text_belongs_is_a_fault(key: str, where: str, text: str) -> None:
    assert faults(text) == [("template.not_text", {"template": where, "key": key})]


def test_all_faults_of_all_rows_are_told_at_once() -> None:
    text = OWN + "colour = 1\n" + OWN.replace("mine", "other").replace('"request"', '"no"')
    assert [(key, fields["template"]) for key, fields in faults(text)] == [
        ("template.unknown_key", "mine"),
        ("template.kind", "other"),
    ]


def test_every_class_of_sender_is_taken() -> None:
    for each in Sender:
        assert template.with_own(OWN.replace("*@amazon.co.jp", each).encode()).forms[0].senders == (each,)


def test_every_fault_can_be_worded() -> None:
    broken = [
        "[[template]",
        "",
        "[[template]]\nx = 1\nkind = 'z'\nroute = 'z'\nneeds = 'z'\nsubject = 1",
        OWN + OWN,
        OWN.replace("*@", ""),
    ]
    for text in broken:
        for key, fields in faults(text):
            for language in LANGUAGES:
                assert say(key, language, path="my.toml", **fields)


PIECES = st.sampled_from(
    [
        *OWN.strip().split("\n"),
        "[[template]]",
        "template = ",
        "id = 3",
        "kind = []",
        "kind = {}",
        "route = []",
        "needs = 1.5",
        "subject = [[]]",
        "senders = [{}]",
        "[points]",
        "[buyer_words]",
        '"',
        "\x00",
        "= 1",
        "id = ''",
        "not_in_body = 1",
        "a.b = 1",
        "seen = 2022-06-06",
    ]
)


@given(st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=9).map(lambda lines: "\n".join(lines).encode())))
@settings(max_examples=300)
def test_any_bytes_as_an_own_file_give_forms_that_match_without_fail_or_named_faults(data: bytes) -> None:
    try:
        known = template.with_own(data)
    except TemplateFaults:
        return
    template.match(known, signals(subject="注文のキャンセルリクエスト", body="キャンセル", has_order_id=True))
    assert all(isinstance(form.id, str) and isinstance(form.kind, str) for form in known.forms)


def test_points_below_what_a_form_needs_are_not_enough() -> None:
    """A body may only explain what a request would do. Seen red with `total < form.needs` taken out."""
    body = "購入者がキャンセルをリクエストしました"
    assert not template.match(template.shipped(), signals(body=body))
    assert template.match(template.shipped(), signals(body=body, has_order_id=True))[0].template.kind == "request"


def test_what_the_subject_says_comes_before_what_the_body_says() -> None:
    mail = signals(
        subject="注文がキャンセルされました", body="購入者がキャンセルをリクエストしました", has_order_id=True
    )
    assert template.match(template.shipped(), mail)[0].template.kind == "cancelled"


def test_a_form_is_of_its_senders_only() -> None:
    subject = "注文のキャンセルリクエスト"
    assert template.match(template.shipped(), signals(sender="other", address="x@evil.example", subject=subject)) == []
    kinds = {each.template.kind for each in template.match(template.shipped(), signals(sender="pay", subject=subject))}
    assert kinds == {"ignored"}


EVERYTHING = """
[[template]]
id = "mine"
kind = "ignored"
route = "message"
senders = ["Shop*@Example.com"]
subject = ["赤 青"]
subject_starts = ["Ｒｅ： お 知らせ"]
body = ["白 黒"]
not_in_subject = ["金 銀"]
not_in_body = ["銅 鉄"]
needs = 2
seen = "here"
"""
LISTS = ("senders", "subject", "subject_starts", "body", "not_in_subject", "not_in_body")


def mine(text: str, **given_values: Any) -> template.Match | None:
    """What the form `mine` of an own file makes of a mail from `shop-1@example.com`."""
    values = {"sender": "other", "address": "shop-1@example.com"} | given_values
    found = template.match(template.with_own(text.encode()), signals(**values))
    return next((each for each in found if each.template.id == "mine"), None)


def without(*keys: str) -> str:
    return "".join(line for line in EVERYTHING.splitlines(True) if line.split(" ")[0] not in keys)


def test_every_key_of_a_form_is_taken_over() -> None:
    form = template.with_own(EVERYTHING.encode()).forms[0]
    assert form == template.Template(
        id="mine",
        kind="ignored",
        senders=("Shop*@Example.com",),
        route="message",
        subject=("赤 青",),
        subject_starts=("Ｒｅ： お 知らせ",),
        body=("白 黒",),
        not_in_subject=("金 銀",),
        not_in_body=("銅 鉄",),
        needs=2,
        seen="here",
    )


@pytest.mark.parametrize("key", LISTS)
def test_every_list_must_be_one_of_texts(key: str) -> None:
    assert ("template.not_texts", {"template": "mine", "key": key}) in faults(without(key) + f"{key} = 'x'")


def test_the_words_of_an_own_form_may_stand_forty_characters_apart_in_a_subject_and_forty_five_in_a_body() -> None:
    assert mine(EVERYTHING, subject="赤" + "。" * 39 + "青")
    assert not mine(EVERYTHING, subject="赤" + "。" * 40 + "青")
    assert mine(EVERYTHING, body="白" + "。" * 44 + "黒")
    assert not mine(EVERYTHING, body="白" + "。" * 45 + "黒")
    assert mine(EVERYTHING, subject="赤青金" + "。" * 40 + "銀")
    assert not mine(EVERYTHING, subject="赤青金" + "。" * 39 + "銀")
    assert mine(EVERYTHING, subject="赤青", body="銅" + "。" * 45 + "鉄")
    assert not mine(EVERYTHING, subject="赤青", body="銅" + "。" * 44 + "鉄")


def test_a_match_says_which_signals_it_has_and_what_they_are_worth() -> None:
    def told(**given_values: Any) -> tuple[int, bool, tuple[str, ...]] | None:
        found = mine(EVERYTHING, **given_values)
        return (found.points, found.by_subject, found.signals) if found else None

    assert told(subject="赤青") == (3, True, ("subject",))
    assert told(subject="RE:お知らせ。") == (3, True, ("subject",))
    assert told(subject="お知らせRE:お知らせ") is None
    assert told(body="白黒") == (2, False, ("body",))
    assert told(body="白黒", has_order_id=True) == (3, False, ("body", "order_id"))
    assert told(subject="赤青", body="白黒", has_order_id=True) == (6, True, ("subject", "body", "order_id"))
    assert told(has_order_id=True) is None


def test_the_form_with_more_points_comes_first_where_both_go_by_the_subject() -> None:
    text = without("body") + EVERYTHING.replace('"mine"', '"more"')
    mail = signals(sender="other", address="shop@example.com", subject="赤青", body="白黒")
    assert [each.template.id for each in template.match(template.with_own(text.encode()), mail)] == ["more", "mine"]


def test_without_needs_a_form_known_by_its_body_needs_the_order_id_too() -> None:
    text = without("needs", "subject", "subject_starts")
    assert not mine(text, body="白黒")
    assert mine(text, body="白黒", has_order_id=True)
    assert mine(without("needs", "body"), subject="赤青")
    assert mine(without("needs", "body", "subject"), subject="Re: お知らせ")


def test_without_needs_a_form_with_no_words_takes_every_mail_of_its_sender() -> None:
    text = "[[template]]\nid = 'mine'\nkind = 'ignored'\nsenders = ['pay']\nseen = 'x'\n"
    assert faults(text) == [("template.missing", {"template": "mine", "key": "subject"})]
    worded = ("subject", "subject_starts", "body", "headers")
    pay = [form for form in template.shipped().forms if not any(getattr(form, name) for name in worded)]
    assert all(form.needs == 0 for form in pay)
    for form in pay:
        found = template.match(template.shipped(), signals(sender=form.senders[0]))
        assert form.id in [each.template.id for each in found]


def test_a_form_with_words_in_one_place_only_is_sound() -> None:
    for left in ("subject", "subject_starts", "body"):
        others = {"subject", "subject_starts", "body"} - {left}
        assert template.with_own(without(*others).encode()).forms[0].id == "mine"


def test_an_address_pattern_is_a_whole_address_in_any_case() -> None:
    assert mine(EVERYTHING, address="SHOP-1@example.COM", subject="赤青")
    assert not mine(EVERYTHING, address="shop@example.com.evil.example", subject="赤青")
    assert not mine(EVERYTHING, address="x@evil.example", subject="赤青")
    assert mine(EVERYTHING.replace("Shop*@Example.com", "buyer"), sender="buyer", subject="赤青")


def test_a_fault_says_in_which_row_it_is_and_what_would_be_right() -> None:
    row = EVERYTHING.replace('"ignored"', '"wish"').replace('"message"', '"api"').replace('id = "mine"', "")
    assert faults(EVERYTHING + EVERYTHING + EVERYTHING) == [("template.twice", {"template": "mine"})]
    assert faults(EVERYTHING + row) == [
        ("template.missing", {"template": "#2", "key": "id"}),
        ("template.kind", {"template": "#2", "kinds": "request, cancelled, ignored"}),
        ("template.route", {"template": "#2", "routes": "message, notification"}),
    ]


def test_a_fault_of_the_notation_says_why() -> None:
    ((key, fields),) = faults("x = [1,")
    assert key == "template.toml"
    assert fields["line"] == "1"
    assert len(fields["why"]) > 5


def test_only_a_request_needs_a_route() -> None:
    assert template.with_own(without("route").encode()).forms[0].route is None


def test_the_number_of_faults_is_in_the_error_itself() -> None:
    with pytest.raises(TemplateFaults, match="2 faults"):
        template.with_own((EVERYTHING + "a = 1\nb = 1").encode())


def test_an_own_file_changes_nothing_of_how_a_buyers_words_are_framed() -> None:
    known, shipped = template.with_own(EVERYTHING.encode()), template.shipped()
    assert (known.message_begins, known.message_ends) == (shipped.message_begins, shipped.message_ends)


@pytest.mark.parametrize("key", ["subject", "subject_starts", "body"])
def test_an_order_id_alone_is_no_match_of_a_form_with_words(key: str) -> None:
    text = without(*{"subject", "subject_starts", "body"} - {key}).replace("needs = 2", "needs = 1")
    assert not mine(text, subject="緑", body="緑", has_order_id=True)


def test_a_form_that_does_not_say_where_it_was_seen_says_nothing() -> None:
    assert template.with_own(OWN.encode()).forms[0].seen == ""


# ---- Amazon's own header ----


def test_a_header_alone_gives_the_form_whatever_class_of_address() -> None:
    for sender in ("amazon", "shopper", "pay"):
        given = signals(sender=sender, headers=frozenset({"x-space-notification-type: BRC_SELLER_NOTIFICATION"}))
        [made] = template.match_header(template.shipped(), given)
        assert (made.template.id, made.signals) == ("type-request", ("header",))


def test_a_field_with_two_values_gives_no_header() -> None:
    """Guards against the first value taken."""
    fields = [Field("x-space-notification-type", value) for value in (b"BRC_SELLER_NOTIFICATION", b"REFUND_ISSUED")]
    assert template.fields_of(fields) == frozenset()
    assert template.type_of(template.fields_of(fields[:1] * 2)) == "BRC_SELLER_NOTIFICATION"


@pytest.mark.parametrize("value", ["", "brc", "BRC NOTIFICATION", "A" * 61, "A;B", "A\x1b"])
def test_what_can_be_no_type_is_none(value: str) -> None:
    assert template.type_of(frozenset({f"x-space-notification-type: {value}"})) is None


def test_a_sellers_own_form_may_be_known_by_a_header_alone() -> None:
    text = "[[template]]\nid = 'mine'\nkind = 'ignored'\nsenders = ['amazon']\n"
    text += "headers = ['X-Space-Notification-Type: NEWS']\n"
    known = template.with_own(text.encode())
    given = signals(headers=frozenset({"x-space-notification-type: NEWS"}))
    assert [made.template.id for made in template.match_own(known, given)] == ["mine"]
    assert template.match_own(known, signals()) == []
    assert "NEWS" in known.types


@pytest.mark.parametrize("header", ["NEWS", "X-Type:", ": NEWS", "X Type: NEWS", "X-Type: A\\nB"])
def test_a_header_that_no_mail_can_have_is_a_fault_of_the_file(header: str) -> None:
    text = f'[[template]]\nid = "mine"\nkind = "ignored"\nsenders = ["amazon"]\nheaders = ["{header}"]\n'
    value = header.replace("\\n", "\n")
    assert faults(text) == [("template.header", {"template": "mine", "value": value})]
