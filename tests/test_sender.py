"""Who a mail says it is from: Amazon's exact domains, and the many that only look like them (domain section 7)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwatch import message
from mailwatch.amazon import sender
from mailwatch.amazon.marketplace import directory, of_domain
from mailwatch.amazon.sender import From, Sender
from mailwatch.message import TRUE_SENDER_FIELDS, Field


def of(raw: str) -> From:
    """The class of a raw From field, read as a mail's."""
    parsed = message.parse(b"From: " + raw.encode() + b"\r\n\r\nx")
    return sender.classify(parsed.display_name, parsed.address)


@pytest.mark.parametrize(
    ("raw", "expected", "code"),
    [
        ("田中 <3oyx9h48e2cgi1e@marketplace.amazon.co.jp>", Sender.BUYER, "JP"),
        ("a <3oyx9h48e2cgi1e+A1B2C3D4E5F6G7H8I9J0K@marketplace.amazon.co.jp>", Sender.BUYER, "JP"),
        ("a <3oyx9h48e2cgi1e+0f8fad5b-d9cb-469f-a165-70867728950e@marketplace.amazon.co.jp>", Sender.BUYER, "JP"),
        ("a <x@m.marketplace.amazon.co.jp>", Sender.BUYER, "JP"),
        ("a <x@MARKETPLACE.Amazon.CO.JP>", Sender.BUYER, "JP"),
        ("a <x@marketplace.amazon.com>", Sender.BUYER, "US"),
        ("Amazon.co.jp <seller-notification@amazon.co.jp>", Sender.AMAZON, "JP"),
        ('"Amazon.co.jp" <donotreply@amazon.com>', Sender.AMAZON, "US"),
        ("x@amazon.com.mx", Sender.AMAZON, "MX"),
        ("x@sellers.amazon.co.uk", Sender.AMAZON, "UK"),
        ("Amazon.co.jp <auto-confirm@amazon.co.jp>", Sender.SHOPPER, "JP"),
        ("<order-update@amazon.co.jp>", Sender.SHOPPER, "JP"),
        ("<Shipment-Tracking@amazon.co.jp>", Sender.SHOPPER, "JP"),
        ("<digital-no-reply@amazon.co.jp>", Sender.SHOPPER, "JP"),
        ("<auto-communicator@amazonpay.amazon.co.jp>", Sender.PAY, "JP"),
    ],
)
def test_amazons_own_senders_are_told_apart(raw: str, expected: Sender, code: str) -> None:
    found = of(raw)
    assert (found.sender, found.marketplace and found.marketplace.code) == (expected, code)


LOOKALIKES = [
    "x@amazon-co.jp",
    "x@amazon.co.jp.evil.example",
    "x@marketplace.amazon.co.jp.evil.example",
    "x@amazon.co.jp-seller.example",
    "x@amazon.evil.example",
    "x@evil-amazon.co.jp",
    "x@myamazon.co.jp",
    "x@amazonco.jp",
    "x@amazon.jp.evil.example",
    "x@amazon.cojp.example",
    "x@arnazon.co.jp",
    "x@annazon.co.jp",
    "x@amaz0n.co.jp",
    "x@amaz0n.example",
    "x@ama-zon.co.jp",
    "x@ama.zon.example",
    "x@amason.co.jp",
    "x@ama2on.co.jp",
    "x@AMAZON-support.example",
    "x@amazon.co.jp.xn--p1ai",
    "x@xn--amazn-mye.example",
    "x@xn--mazon-3ve.co.jp",
    "x@xn--amaon-7uc.example",
    "x@аmazon.co.jp",
    "x@amаzon.co.jp",
    "x@amazоn.co.jp",
    "x@ａｍａｚｏｎ.co.jp.example",
    "x@amàzon.co.jp",
    "x@amazön.co.jp",
    "x@amazοn.co.jp",
    "Amazon.co.jp <x@evil.example>",
    "アマゾン <x@evil.example>",
    "ｱﾏｿﾞﾝ <x@evil.example>",
    "Ａｍａｚｏｎ <x@evil.example>",
    "Аmazon <x@evil.example>",
    "Ama­zon <x@evil.example>",
    "The Amazon Team <x@evil.example>",
    '"seller-notification@amazon.co.jp" <x@evil.example>',
    "order-update@amazon.co.jp <bad@evil.example>",
    '"A (seller-notification@amazon.co.jp)" <x@evil.example>',
    "【重要】 seller-notification@AMAZON.co.jp <x@evil.example>",
    "A\u200bmazon <x@evil.example>",
    "A m a z o n <x@evil.example>",
    "[Amazon] <x@evil.example>",
]


@pytest.mark.parametrize("raw", LOOKALIKES)
def test_a_look_alike_is_never_amazons_and_never_taken_for_just_anybody(raw: str) -> None:
    """Seen red with `amazon in domain` for `of_domain`, and with `_skeleton` giving its text back."""
    found = of(raw)
    assert not found.is_amazon
    assert found.sender in {Sender.LOOKALIKE, Sender.UNREADABLE}


def test_there_are_at_least_forty_look_alikes() -> None:
    assert len(set(LOOKALIKES)) >= 40


@pytest.mark.parametrize(
    "raw",
    [
        "店長 <x@shop.example>",
        "楽天市場 <order@rakuten.co.jp>",
        "x@amazonses.com",
        "x@mail.amazonaws.com",
        "x@amber-zone.example",
        "x@example.co.jp",
        "amateur zone <x@news.example>",
        "My shop on the Amazon <x@shop.example>",
        "",
        "<",
    ],
)
def test_other_peoples_mail_is_other(raw: str) -> None:
    assert of(raw).sender is Sender.OTHER


@pytest.mark.parametrize(
    "raw",
    [
        "<a@amazon.co.jp> <b@evil.example>",
        "a@amazon.co.jp, b@evil.example",
        "Amazon <a@amazon.co.jp",
        "a@amazon.co.jp@evil.example",
        "Amazon",
        "amazon@[",
    ],
)
def test_a_from_without_one_certain_address_that_says_amazon_is_unreadable(raw: str) -> None:
    assert of(raw).sender is Sender.UNREADABLE


@pytest.mark.parametrize("raw", [*LOOKALIKES, "a@marketplace.amazon.co.jp", "Amazon"])
def test_nothing_that_may_be_amazons_is_left_unfetched(raw: str) -> None:
    parsed = message.parse(b"From: " + raw.encode() + b"\r\n\r\nx")
    assert sender.may_be_amazon(parsed.display_name, parsed.address)


@pytest.mark.parametrize(
    ("display", "address", "subject"),
    [
        ("Shop", None, "x"),
        ("", None, ""),
        ("Gateway", "gw@shop.example", "[held] from seller-notification@amazon.co.jp"),
        ("Mail Delivery System", "MAILER-DAEMON@shop.example", "x"),
        ("Microsoft Exchange", "x@shop.example", "Retrieval using the IMAP4 protocol failed"),
        ("x", "x@shop.example", "隔離通知"),
    ],
)
def test_what_may_stand_in_place_of_a_mail_of_amazons_is_fetched(
    display: str, address: str | None, subject: str
) -> None:
    assert sender.may_be_amazon(display, address, (Field("subject", subject.encode()),))


@pytest.mark.parametrize(
    "subject", ["", "キャンセルのお知らせ", "amazon.co.jp で買える本", "x@amazonses.com", "a@amazon.co.jp.evil.example"]
)
def test_other_peoples_mail_is_not_fetched(subject: str) -> None:
    assert not sender.may_be_amazon("店長", "x@shop.example", (Field("subject", subject.encode()),))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('From: "Amazon" ("seller-notification@amazon.co.jp")', ("seller-notification@amazon.co.jp",)),
        ("差出人：seller-notification@AMAZON.co.jp様", ("seller-notification@amazon.co.jp",)),
        ("a@amazon.co.jp, b+c@marketplace.amazon.com.", ("a@amazon.co.jp", "b+c@marketplace.amazon.com")),
        ("a@amazon.co.jp.evil.example b@xamazon.co.jp c@amazon.co.jp-x d@amazonses.com e@mail.amazonaws.com", ()),
        ("a@amazon.co.jp@evil.example", ()),
        ("a@amazon.co.jp." + "b" * 100 + ".example", ()),
        ("amazon.co.jp", ()),
    ],
)
def test_only_exact_addresses_are_named(text: str, expected: tuple[str, ...]) -> None:
    assert sender.addresses(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<x@bounces.amazon.co.jp>", True),
        ("Amazon.co.jp: お知らせ", True),
        ("amazon.co.jpからのお知らせ", True),
        ("amazon.co.jp.", True),
        ("amazon", False),
        ("amazon.co.jp.evil.example", False),
        ("bounce+amazon.co.jp@shop.example", False),
        ("0101@ap-northeast-1.amazonses.com", False),
        ("x@email.amazonaws.com", False),
        ("my-amazon.co.jp", False),
    ],
)
def test_only_exact_domains_name_amazon(text: str, expected: bool) -> None:
    """Seen red with `in` for the compare of whole labels."""
    assert sender.names_amazon(text) is expected


@pytest.mark.parametrize(
    "domain",
    [
        "",
        ".",
        "co.jp",
        "amazon",
        "xamazon.co.jp",
        "amazon.co.jp.",
        ".amazon.co.jpx",
        "amazon.co.jp.example",
        "amazoncoXjp",
        "amazon.com.evil",
    ],
)
def test_only_whole_labels_make_a_marketplace(domain: str) -> None:
    """Seen red with `endswith(parent)` without the dot."""
    assert of_domain(domain) is None


def test_no_domain_of_one_marketplace_is_within_that_of_another() -> None:
    domains = [each.domain for each in directory().marketplaces]
    assert [of_domain(domain) for domain in domains] == list(directory().marketplaces)


@given(
    st.text(max_size=60),
    st.one_of(st.none(), st.text(max_size=30), st.from_regex(r"[a-z]{1,5}@(xn--)?[a-z0-9.-]{1,20}", fullmatch=True)),
)
@settings(max_examples=200)
def test_any_display_and_address_give_a_class(display: str, address: str | None) -> None:
    found = sender.classify(display, address)
    assert found.is_amazon == (address is not None and of_domain(address.rpartition("@")[2]) is not None)


# ---- lists and forwarders that put their own address in From ----

GENUINE = "seller-notification@amazon.co.jp"


def fields(**values: str) -> tuple[Field, ...]:
    """Header fields; `_` for the hyphen."""
    return tuple(Field(name.replace("_", "-"), value.encode()) for name, value in values.items())


@pytest.mark.parametrize(
    "given",
    [
        {"x_original_sender": GENUINE},
        {"x_original_from": f"出品者向け通知 <{GENUINE}>"},
        {"x_simplelogin_original_from": f"Amazon <{GENUINE}>"},
        {"x_anything_else_original_from": GENUINE},
        {"list_id": "<orders.shop.example>", "reply_to": f"Amazon <{GENUINE}>"},
        {"list_id": "<orders.shop.example>", "x_original_sender": GENUINE, "reply_to": "orders@shop.example"},
    ],
)
@pytest.mark.parametrize("address", ["orders@shop.example", None])
def test_the_true_sender_stands_in_the_marks_of_a_list_or_forwarder(given: dict[str, str], address: str | None) -> None:
    assert sender.true_sender(fields(**given), address) == GENUINE


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({"reply_to": GENUINE}, "orders@shop.example"),  # no mark
        ({"from": f'"{GENUINE}" <orders@shop.example>'}, "orders@shop.example"),
        ({"x_original_sender": f"{GENUINE}, donotreply@amazon.com"}, "orders@shop.example"),  # two
        ({"x_original_sender": "x@amazon-co.jp"}, "orders@shop.example"),
        ({"x_original_sender": "x@amazonses.com"}, "orders@shop.example"),
        ({"x_original_sender": GENUINE}, "orders@amazon-co.jp"),  # a look-alike speaks for nobody else
        ({"x_original_sender": GENUINE}, "x@amazon.co.jp.evil.example"),
        ({"x_original_sender": "x@amazon.it"}, GENUINE),  # From is Amazon's
        ({"list_id": f"<{GENUINE}>"}, "orders@shop.example"),
        ({"x_original_to": GENUINE}, "orders@shop.example"),
        ({"x_original_from": f'"{GENUINE}" <x@evil.example>'}, "orders@shop.example"),  # only its display
        ({"list_id": "<a.b>", "reply_to": f"{GENUINE} <x@evil.example>"}, "orders@shop.example"),
    ],
)
def test_who_has_no_mark_or_names_not_one_address_of_amazons_speaks_for_itself(
    given: dict[str, str], address: str
) -> None:
    assert sender.true_sender(fields(**given), address) is None


def test_a_proved_forwarder_needs_no_mark() -> None:
    named = fields(**{"from": f'"{GENUINE} [via Relay]" <abc@relay.example>'})
    assert sender.true_sender(named, "abc@relay.example", is_forwarder=True) == GENUINE
    answered = fields(**{"from": "x <abc@relay.example>", "reply_to": GENUINE})
    assert sender.true_sender(answered, "abc@relay.example", is_forwarder=True) == GENUINE


@pytest.mark.parametrize(
    "local",
    [
        "seller-notification_at_amazon_co_jp_x1y2z3",
        "seller-notification_at_amazon.co.jp_name",
        "shop+seller-notification=amazon.co.jp",
    ],
)
def test_an_alias_service_writes_the_true_sender_into_its_own_address(local: str) -> None:
    """iCloud's Hide My Email and the like leave no mark. Seen red without `_named_by_alias`."""
    address = f"{local}@relay.example"
    named = fields(**{"from": f"出品者向け通知 <{address}>"})
    assert sender.true_sender(named, address, is_forwarder=True) == GENUINE
    assert sender.true_sender(named, address) is None, "only of a host that the account names"
    assert sender.may_be_amazon("出品者向け通知", address)


@pytest.mark.parametrize("local", ["seller_at_amazonses_com_x", "x_at_amazon-co_jp_y", "a_at_b", "shop+x=y.example"])
def test_an_alias_for_somebody_else_names_nobody(local: str) -> None:
    address = f"{local}@relay.example"
    assert sender.true_sender(fields(**{"from": address}), address, is_forwarder=True) is None


@pytest.mark.parametrize("name", [name for name in TRUE_SENDER_FIELDS if name != "list-id"])
def test_a_rewritten_mail_is_fetched(name: str) -> None:
    """By what is asked for first. Guards against From and Subject alone."""
    assert sender.may_be_amazon("x", "orders@shop.example", (Field(name, GENUINE.encode()),))


@pytest.mark.parametrize(
    "domain",
    [
        "arnazon.co.jp",
        "amaz0n.co.jp",
        "amazom.co.jp",
        "amaazon.com",
        "amazonn.com",
        "ama-zon.co.jp",
        "amazon-japan.example",
        "4mazon.com",
        "\u0430mazon.co.jp",
    ],
)
def test_a_domain_that_an_eye_in_a_hurry_takes_for_amazons_is_a_look_alike(domain: str) -> None:
    """Seen red for amazom, amaazon and 4mazon."""
    assert sender.classify(f"x <a@{domain}>", f"a@{domain}").sender is Sender.LOOKALIKE


def test_amazons_domain_for_sellers_is_amazons() -> None:
    """Amazon's seller help for Japan names it as genuine. Seen red: a look-alike."""
    assert sender.classify("", "a@amazonsellerservices.com").sender is Sender.AMAZON


def test_a_from_with_thousands_of_brackets_before_amazon_is_unreadable() -> None:
    """Seen red: only the first 1,000 characters were looked at."""
    assert sender.classify("(" * 3000 + " Amazon <a@amazon.co.jp>", None).sender is Sender.UNREADABLE
