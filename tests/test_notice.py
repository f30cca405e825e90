"""What a mail says: which kind, of which order, and nothing that a buyer, a title or a stranger puts into it."""

from __future__ import annotations

import base64
import json
import quopri
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwatch import message, notice, texts
from mailwatch.alert import Alert
from mailwatch.amazon import order_id, template
from mailwatch.amazon.details import Item
from mailwatch.amazon.marketplace import Basis
from mailwatch.notice import Kind, Notice, Route
from mailwatch.request import Known, Rules, decide
from mailwatch.services import Form
from mailwatch.trust import Provider, Trust

ID, OTHER = "249-1234567-7654321", "503-1111111-2222222"
GMAIL = Provider("mx.google.com", ("google.com",))
AT = datetime(2022, 6, 8, 0, 12, tzinfo=UTC)
AMAZON, BUYER = "Amazon.co.jp <seller-notification@amazon.co.jp>", "田中 <3oyx9h48e2cgi1e@marketplace.amazon.co.jp>"
SHOPPER, PAY = "Amazon.co.jp <auto-confirm@amazon.co.jp>", "Amazon Pay <auto-communicator@amazonpay.amazon.co.jp>"
BEGIN, END = "------------- メッセージはここから -------------", "------------- メッセージはここまで -------------"
HEAD = f"# {ID}:\n1 / ケトル [ASIN: B000000001]\n"


def mail(sender: str, subject: str, body: str, *, html: bool = False, authentication: str = "") -> bytes:
    kind = "html" if html else "plain"
    head = f"From: {sender}\r\nSubject: {subject}\r\nMessage-ID: <1@a.test>\r\n"
    head += f"Content-Type: text/{kind}; charset=utf-8\r\n\r\n"
    return (authentication + head + body.replace("\n", "\r\n")).encode()


def read(sender: str, subject: str, body: str, *, html: bool = False, authentication: str = "") -> tuple[Notice, ...]:
    raw = mail(sender, subject, body, html=html, authentication=authentication)
    return notice.read(message.parse(raw), GMAIL, template.shipped())


def one(sender: str, subject: str, body: str, *, html: bool = False) -> Notice:
    (only,) = read(sender, subject, body, html=html)
    return only


def own(words: str, subject: str = f"ご注文について（注文番号：{ID}）", head: str = HEAD) -> Notice:
    """A buyer's message with these words of the buyer's own."""
    return one(BUYER, subject, f"{head}{BEGIN}\n{words}\n{END}\n")


# ---- the forms ----

NOTIFIED = f"購入者が、下記のご注文のキャンセルをリクエストされました。\n\n注文番号： {ID}\n商品名： ケトル\n"
FORMS = [
    (
        BUYER,
        f"注文のキャンセルリクエスト（注文番号：{ID}）",
        f"{HEAD}{BEGIN}\n間違えて注文しました\n{END}\n",
        Kind.REQUEST,
        Route.MESSAGE,
    ),
    (BUYER, "注文キャンセルリクエスト", f"{HEAD}{BEGIN}\n{END}\n", Kind.REQUEST, Route.MESSAGE),
    (BUYER, f"キャンセル依頼 {ID}", "", Kind.REQUEST, Route.MESSAGE),
    (BUYER, f"Order cancellation request from Amazon customer (Order: {ID})", HEAD, Kind.REQUEST, Route.MESSAGE),
    (BUYER, f"Order cancelation request from Amazon customer Taro (Order: {ID})", HEAD, Kind.REQUEST, Route.MESSAGE),
    (AMAZON, f"購入者からのキャンセルリクエスト（注文番号：{ID}）", NOTIFIED, Kind.REQUEST, Route.NOTIFICATION),
    (AMAZON, "ご注文に関する重要なお知らせ", NOTIFIED, Kind.REQUEST, Route.NOTIFICATION),
    (AMAZON, f"Buyer requested cancellation: {ID}", "", Kind.REQUEST, Route.NOTIFICATION),
    (
        AMAZON,
        "About your order",
        f"The buyer has requested cancellation of this order.\nOrder ID: {ID}\n",
        Kind.REQUEST,
        Route.NOTIFICATION,
    ),
    (
        AMAZON,
        f"注文がキャンセルされました（注文番号：{ID}）",
        "キャンセル済みです。",
        Kind.CANCELLED,
        Route.NOTIFICATION,
    ),
    (AMAZON, f"Your order {ID} has been canceled", "It was canceled.", Kind.CANCELLED, Route.NOTIFICATION),
    (
        AMAZON,
        "ご注文の状況",
        f"注文番号：{ID}\nご注文は自動的にキャンセルされました。",
        Kind.CANCELLED,
        Route.NOTIFICATION,
    ),
    (
        BUYER,
        f"ご注文について（注文番号：{ID}）",
        f"{HEAD}{BEGIN}\nキャンセルしてください\n{END}\n",
        Kind.WISH,
        Route.MESSAGE,
    ),
    (AMAZON, f"キャンセルの取り扱いについて {ID}", "本文", Kind.POSSIBLE, Route.NOTIFICATION),
]


@pytest.mark.parametrize(("sender", "subject", "body", "kind", "route"), FORMS)
def test_each_form_is_recognised_with_its_route_and_order(
    sender: str, subject: str, body: str, kind: Kind, route: Route
) -> None:
    found = one(sender, subject, body)
    assert (found.kind, found.route, found.order_id) == (kind, route, ID)
    assert found.marketplace == "JP"


def test_a_spanish_buyers_request_is_recognised() -> None:
    found = one(BUYER, f"Solicitud de cancelación de pedido del cliente de Amazon (Pedido: {ID})", HEAD)
    assert (found.kind, found.order_id) == (Kind.REQUEST, ID)


@pytest.mark.parametrize(
    ("sender", "subject", "body"),
    [
        (
            AMAZON,
            "注文確定： NC-1 ノイズキャンセルヘッドホン",
            f"注文番号：{ID}\n商品名：ノイズキャンセリング ヘッドホン\n",
        ),
        (AMAZON, "注文確定： NC-1 キャンセル防止リング", f"注文番号：{ID}\n商品名：キャンセル防止リング\n"),
        (AMAZON, "Sold, ship now: NC-1 Noise Cancelling Headphones", f"Order ID: {ID}\n"),
        (AMAZON, f"返品リクエストを受領しました {ID}", "返品の理由： 不要"),
        (AMAZON, f"Return authorization request for order {ID}", "Reason: no longer needed"),
        (AMAZON, f"マーケットプレイス保証申請 {ID}", "申請を受けました。"),
        ("Amazon <cb-seller-notification@amazon.co.jp>", f"チャージバックのお知らせ {ID}", "キャンセル"),
        (AMAZON, "売上金の振込のお知らせ", "振込を処理しました。"),
        (AMAZON, "レポートの準備が完了しました", "ダウンロードできます。"),
        (AMAZON, "出荷通知の期限のリマインダー", f"注文番号：{ID} 出荷通知がないとキャンセルされる場合があります。"),
        (PAY, "注文のキャンセル、返金、返品のリクエスト:P03-1234567-7654321", "キャンセル"),
        (SHOPPER, "Amazon.co.jpでのご注文", f"注文番号：{ID} キャンセルはこちら"),
        ("楽天 <order@rakuten.co.jp>", "【楽天市場】注文キャンセルのリクエスト", f"注文番号：{ID}"),
        ("shop <x@shop.example>", f"注文のキャンセルリクエスト {ID}", "購入者がキャンセルをリクエストしました"),
    ],
)
def test_a_neighbour_is_ignored(sender: str, subject: str, body: str) -> None:
    """Seen red with the neighbours' entries taken out of templates.toml."""
    assert one(sender, subject, body).kind is Kind.IGNORED


@pytest.mark.parametrize(
    ("sender", "subject", "body"),
    [
        (AMAZON, f"【キャンセルリクエスト】ノイズキャンセルヘッドホン {ID}", "本文です"),
        (AMAZON, f"ノイズキャンセリングヘッドホンのキャンセルリクエスト {ID}", "本文です"),
        (BUYER, f"ノイズキャンセルイヤホンの注文のキャンセルリクエスト {ID}", "本文です"),
        (
            AMAZON,
            "お知らせ",
            f"注文番号：{ID}\nノイズキャンセルイヤホンについて購入者がキャンセルをリクエストしました\n",
        ),
        (AMAZON, f"Noise-cancelling headphones: buyer requested cancellation {ID}", ""),
    ],
)
def test_a_noise_cancelling_title_does_not_hide_a_request(sender: str, subject: str, body: str) -> None:
    found = one(sender, subject, body)
    assert (found.kind, found.order_id) == (Kind.REQUEST, ID)


def test_a_wish_for_a_noise_cancelling_product_is_a_wish() -> None:
    assert own("ノイズキャンセルヘッドホンをキャンセルしたいです").kind is Kind.WISH


@pytest.mark.parametrize(
    "words", ["ありがとうございました", "", "キャンセルしないでください", "> キャンセルをリクエストを選択してください"]
)
def test_a_message_whose_own_words_do_not_ask_is_ignored(words: str) -> None:
    assert own(words).kind is Kind.IGNORED


def test_a_wish_carries_a_short_excerpt_round_its_word() -> None:
    found = own("あ" * 200 + "キャンセルできますか" + "い" * 200)
    assert found.excerpt
    assert "キャンセル" in found.excerpt
    assert len(found.excerpt) <= 60


def test_a_completed_cancellation_is_no_request_though_it_speaks_of_one() -> None:
    found = one(
        AMAZON,
        f"キャンセルリクエストが承認されました {ID}",
        "購入者がキャンセルをリクエストし、注文はキャンセルされました。",
    )
    assert found.kind is Kind.CANCELLED


ASKED = f"購入者が次の注文のキャンセルをリクエストしました。出荷せずに、注文管理でご確認ください。\n注文番号： {ID}\n"
ASKED_EN = f"The buyer has requested cancellation of this order. Do not ship it.\nOrder ID: {ID}\n"
SAYS_NOTHING = f"See Seller Central.\n注文番号： {ID}\n"
TO_BE_DONE = [
    "【要対応】キャンセル手続きを完了してください",
    "キャンセルリクエストの処理を完了してください",
    "未完了のキャンセルリクエストがあります",
    "リマインダー：未完了のキャンセルリクエストがあります",
    "キャンセルリクエスト：対応が完了していません",
    "注文のキャンセル処理が完了していません",
    "キャンセルの完了をお願いします",
    "キャンセル完了まであと一歩です",
    "キャンセル確定のお手続きをお願いします",
]
TO_BE_DONE_EN = [
    f"Cancellation of order {ID}: action required",
    "Action required: order cancellation confirmation needed",
    f"Please complete the cancellation of order {ID}",
    f"Your order {ID} has not been cancelled yet",
    "Order cancellation pending your confirmation",
]


@pytest.mark.parametrize(
    ("subject", "body"), [*((each, ASKED) for each in TO_BE_DONE), *((each, ASKED_EN) for each in TO_BE_DONE_EN)]
)
def test_a_cancellation_still_to_be_done_is_the_request_and_not_done(subject: str, body: str) -> None:
    """Seen red: all were `cancelled`, told to nobody, and closed the open request."""
    found = one(AMAZON, subject, body)
    assert (found.kind, found.order_id) == (Kind.REQUEST, ID)
    assert one(AMAZON, subject, SAYS_NOTHING).kind in {Kind.REQUEST, Kind.POSSIBLE}


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("キャンセル手続きが完了しました", "注文番号： {ID}\n"),
        ("キャンセル手続きは完了しています", "注文番号： {ID}\n"),
        ("ご注文の状況", "注文番号：{ID}\n未払いのため、ご注文はキャンセルされました。"),
        ("Cancellation completed", "Order ID: {ID}"),
        ("購入者のリクエストによりご注文がキャンセルされました", "注文番号：{ID}"),
        (
            "キャンセル完了のお知らせ",
            "購入者がキャンセルをリクエストしました。注文はキャンセルされました。\n注文番号：{ID}",
        ),
        ("Order cancelled at the buyer's request", "Order ID: {ID}"),
        ("Your order has been canceled as requested by the buyer", "Order ID: {ID}"),
        ("キャンセルリクエスト：注文はキャンセルされました", ASKED + "注文はキャンセルされました。"),
        ("Cancellation approved", "The buyer requested cancellation.\nThe order has been cancelled. Order ID: {ID}"),
    ],
)
def test_a_completed_cancellation_stays_one(subject: str, body: str) -> None:
    assert one(AMAZON, subject, body.format(ID=ID)).kind is Kind.CANCELLED


def test_a_mail_that_reads_as_cancelled_and_as_a_request_is_shown_to_a_person() -> None:
    """Seen red: the subject alone decided, and the request was closed."""
    assert one(AMAZON, "キャンセル処理の完了", ASKED).kind is Kind.POSSIBLE
    other = f"前のご注文はキャンセルされました。\n注文番号： {ID}"
    assert one(AMAZON, "キャンセルリクエスト", other).kind is Kind.REQUEST


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("新しい注文のキャンセルリクエストが届きました", "以下のご注文について、キャンセルのご希望がありました。"),
        ("新しい注文キャンセルのリクエスト", "次の注文のキャンセルがリクエストされました。"),
        ("New order cancellation request", "A cancellation request was received for the following order."),
    ],
)
def test_a_request_whose_subject_begins_like_a_new_orders_is_a_request(subject: str, body: str) -> None:
    """Seen red: `order-confirmed`, ignored."""
    found = one(AMAZON, subject, f"{body}\n注文番号： {ID}")
    assert (found.kind, found.order_id) == (Kind.REQUEST, ID)


def test_a_neighbour_whose_subject_is_a_requests_too_is_shown_to_a_person() -> None:
    """Seen red: only the request's sentence in the text counted."""
    assert one(AMAZON, "新しい注文：キャンセルのリクエスト", "本文です").kind is Kind.POSSIBLE


@pytest.mark.parametrize(
    "subject", ["新しい注文： NC-1 キャンセル防止リング", "新しい注文 ノイズキャンセル", "New order: cancelling lamp"]
)
def test_a_new_order_of_such_a_title_stays_ignored(subject: str) -> None:
    assert one(AMAZON, subject, f"注文番号：{ID}").kind is Kind.IGNORED


@pytest.mark.parametrize(
    ("kind", "subject", "mails"),
    [
        ("request", "新しい注文のキャンセル", "新しい注文のキャンセルがありました"),
        ("request", "手続きを完了してください", "手続きを完了してください"),
        ("request", "注文確定 取止", "注文確定：取止品"),
        ("ignored", "キャンセルリクエスト", "キャンセルリクエストが届きました"),
        ("cancelled", "キャンセルリクエスト", "キャンセルリクエストが届きました"),
    ],
)
def test_a_sellers_own_form_decides_before_every_shipped_one(kind: str, subject: str, mails: str) -> None:
    """As docs/templates.md promises. Seen red: a shipped neighbour came first, and words were cut out before."""
    own_form = f'[[template]]\nid="m"\nkind="{kind}"\nroute="notification"\nsenders=["amazon"]\nsubject=["{subject}"]'
    parsed = message.parse(mail(AMAZON, mails, ASKED))
    (found,) = notice.read(parsed, GMAIL, template.with_own(own_form.encode()))
    assert (found.kind, found.template) == (Kind(kind), "m")


ORDER_UPDATE = "Amazon.co.jp <order-update@amazon.co.jp>"


@pytest.mark.parametrize(
    ("sender", "subject", "body"),
    [
        (ORDER_UPDATE, "キャンセルのリクエスト", "購入者からキャンセルのリクエストがありました。"),
        (ORDER_UPDATE, "ご注文の件", "購入者がこの注文の取りやめを希望しています。"),
        (ORDER_UPDATE, "About an order", "The buyer asked to cancel this order."),
        (AMAZON, "発送通知の前にご確認ください", "お客様から、この注文をとりやめたいとの連絡がありました。"),
        (AMAZON, "ご注文の件", "購入者が注文をとりけしたいとのことです。"),
        (AMAZON, "ご注文の件", "購入者が注文のとり消しを望んでいます。"),
        (AMAZON, f"発送しないでください（注文番号：{ID}）", "購入者がこの注文を希望しなくなりました。"),
        (AMAZON, "出荷をお控えください", "購入者がこの商品を必要としなくなったためです。"),
        (AMAZON, "出荷の確認", "購入者の都合により、この注文の発送を中止してください。"),
        (AMAZON, "ご注文の件", "この注文の出荷を止めてください。"),
        (AMAZON, "About an order", "Please do not ship this order."),
    ],
)
def test_a_mail_of_amazons_that_stops_a_parcel_reaches_a_person(sender: str, subject: str, body: str) -> None:
    """Seen red: all were ignored."""
    assert one(sender, subject, f"{body}\n注文番号：{ID}").kind in {Kind.REQUEST, Kind.POSSIBLE}


@pytest.mark.parametrize(
    ("sender", "subject", "body"),
    [
        (ORDER_UPDATE, "ご注文のキャンセル", "お客様のリクエストにより、ご注文をキャンセルしました。"),
        (AMAZON, "出荷通知の期限のリマインダー", "出荷できない場合は、お客様にご連絡のうえ、キャンセルしてください。"),
        (AMAZON, "出荷遅延率のお知らせ", "出荷が遅れると、アカウントが停止されることがあります。"),
        (AMAZON, "お支払いのお知らせ", "お受け取り消費税を含みます。"),
        (AMAZON, "年末の出荷について", "休業中は出荷を停止する設定をご利用いただけます。"),
    ],
)
def test_an_everyday_mail_that_speaks_of_shipping_stays_ignored(sender: str, subject: str, body: str) -> None:
    assert one(sender, subject, f"{body}\n注文番号：{ID}").kind is Kind.IGNORED


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("出品者ニュースレター 6月号", "キャンセル率を改善するヒント"),
        ("出荷前キャンセル率が目標を超えています", "アカウント健全性をご覧ください。"),
        ("出荷前キャンセル率の改善のご依頼", "アカウント健全性をご覧ください。"),
        ("Your account health", "Your cancellation rate is above the target."),
        ("Seller news", "How to lower your pre-fulfilment cancel rate."),
        ("Notizie", "Come ridurre il tasso di annullamento."),
        ("Novedades", "Cómo reducir la tasa de cancelación."),
        ("Neuigkeiten", "So senken Sie Ihre Stornierungsrate."),
        ("Actualités", "Réduire votre taux d'annulation."),
    ],
)
def test_a_mail_of_the_cancellation_rate_asks_nothing(subject: str, body: str) -> None:
    """Seen red: `possible` each month, one of them a request."""
    assert one(AMAZON, subject, body).kind is Kind.IGNORED


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        (f"Prośba o anulowanie zamówienia {ID}", "Kupujący prosi o to."),
        (f"Begäran om avbokning av order {ID}", "Köparen vill avbryta."),
        (f"{ID} numaralı sipariş için iptal talebi", "Alıcı istiyor."),
        (f"주문 취소 요청 {ID}", "구매자가 요청했습니다."),
        (f"طلب إلغاء الطلب {ID}", "المشتري"),
        (f"Annuleringsverzoek voor bestelling {ID}", "De koper vraagt dit."),
    ],
)
def test_a_notice_in_another_marketplaces_language_reaches_a_person(subject: str, body: str) -> None:
    """No form is known. Seen red with the words of the six languages alone."""
    found = one("donotreply@amazon.com", subject, body)
    assert (found.kind, found.order_id) == (Kind.POSSIBLE, ID)


def test_the_cancellation_rate_beside_an_order_is_shown_to_a_person() -> None:
    body = f"購入者からの連絡です。キャンセル率には影響しません。\n注文番号：{ID}"
    assert one(AMAZON, "ご注文の件", body).kind is Kind.POSSIBLE
    assert one(AMAZON, "ニュース", "キャンセル率のヒントと、キャンセルのご依頼について").kind is not Kind.IGNORED


def test_a_reply_under_the_requests_subject_is_judged_by_its_own_words() -> None:
    assert own("ありがとうございます", f"Re: 注文のキャンセルリクエスト {ID}").kind is Kind.IGNORED
    assert own("キャンセルして", f"Re: 注文のキャンセルリクエスト {ID}").kind is Kind.WISH


@pytest.mark.parametrize("body", ["", " \n ", "\ufffd"])
def test_an_amazon_mail_without_readable_text_is_unreadable_and_told(body: str) -> None:
    if body == "\ufffd":
        raw = mail(AMAZON, f"お知らせ {ID}", "").replace(b"\r\n\r\n", b"\r\n\r\n" + b"\x81\x20\x81\x30" * 40)
        (found,) = notice.read(message.parse(raw), GMAIL, template.shipped())
    else:
        found = one(AMAZON, f"お知らせ {ID}", body)
    assert (found.kind, found.is_told) == (Kind.UNREADABLE, True)


def test_a_from_that_can_not_be_read_and_says_amazon_is_unreadable() -> None:
    assert one("Amazon <a@amazon.co.jp", "注文", "本文").kind is Kind.UNREADABLE


def test_a_possible_mail_without_an_order_id_is_told_with_its_senders_domain() -> None:
    found = one(AMAZON, "キャンセルについて", "本文です")
    assert (found.kind, found.order_id, found.sender_domain) == (Kind.POSSIBLE, None, "amazon.co.jp")


# ---- trust ----

FAIL = "Authentication-Results: mx.google.com; dmarc=fail header.from=amazon.co.jp\r\n"


@pytest.mark.parametrize(("sender", "subject", "body", "kind", "route"), FORMS)
def test_a_forged_mail_of_any_form_is_never_told(
    sender: str, subject: str, body: str, kind: Kind, route: Route
) -> None:
    """Seen red with `is_told` true for forged."""
    for found in read(sender, subject, body, authentication=FAIL):
        assert found.trust is Trust.FORGED
        assert not found.is_told
        assert not decide(found, AT, Known(), Rules()).alerts
        assert found.kind in {Kind.REQUEST, Kind.IGNORED}


@pytest.mark.parametrize(
    "sender",
    ["Amazon.co.jp <x@amazon-co.jp>", "アマゾン <x@evil.example>", "seller-notification@amazon.co.jp <x@evil.example>"],
)
@pytest.mark.parametrize("subject", ["注文のキャンセルリクエスト", "ご注文のキャンセル", "お知らせ"])
def test_a_look_alikes_mail_is_never_told(sender: str, subject: str) -> None:
    for found in read(sender, subject, NOTIFIED):
        assert found.trust is Trust.FORGED
        assert not found.is_told


# ---- which order ----


@pytest.mark.parametrize(
    ("subject", "body", "orders", "others"),
    [
        (f"キャンセルリクエスト {ID}", f"注文番号：{OTHER}", [ID], (OTHER,)),
        ("キャンセルリクエスト", f"{OTHER} とは別です。\n注文番号：{ID}", [ID], (OTHER,)),
        ("キャンセルリクエスト", f"関連する注文番号：{OTHER}\n注文番号：{ID}", [ID], (OTHER,)),
        ("キャンセルリクエスト", f"以前の注文：{OTHER}\n注文ID： {ID}", [ID], (OTHER,)),
        ("キャンセルリクエスト", f"Order ID: {ID}\nsee {OTHER}", [ID], (OTHER,)),
        ("キャンセルリクエスト", f"# {ID}:\n{OTHER}", [ID], (OTHER,)),
        ("キャンセルリクエスト", f"注文番号：{ID}\n注文番号：{OTHER}", [ID, OTHER], ()),
        ("キャンセルリクエスト", f"ご確認ください {ID}", [ID], ()),
        ("キャンセルリクエスト", "番号なし D01-1234567-7654321 P03-1234567-7654321", [None], ()),
        ("キャンセルリクエスト", f"注文番号\n{ID}", [ID], ()),
        ("キャンセルリクエスト", "注文番号：２４９－１２３４５６７－\n７６５４３２１", [ID], ()),
    ],
)
def test_the_order_is_that_of_the_subject_then_the_label_then_the_text(
    subject: str, body: str, orders: list[str | None], others: tuple[str, ...]
) -> None:
    found = read(AMAZON, subject, body)
    assert [each.order_id for each in found] == orders
    assert {each.also_mentioned for each in found} == {others}


PAGE = "https://sellercentral.amazon.co.jp/orders-v3/order/"


@pytest.mark.parametrize(
    "body",
    [
        f"{ID}\n{OTHER}",
        f"注文 {ID}\n注文 {OTHER}",
        f"対象：{ID}\n対象：{OTHER}",
        f"注文番号　商品\n{ID}　ケトル\n{OTHER}　なべ",
        f"注文番号\n{ID}　ケトル\n{OTHER}　なべ",
        f"{PAGE}{ID}\n{PAGE}{OTHER}",
    ],
)
def test_several_ids_of_one_rank_are_several_orders(body: str) -> None:
    """Seen red: only the first became a request, the parcel of the other went out."""
    found = read(AMAZON, "キャンセルリクエスト", f"購入者がキャンセルをリクエストしました。\n{body}")
    assert [(each.order_id, each.also_mentioned) for each in found] == [(ID, ()), (OTHER, ())]


def test_several_rows_and_several_links_of_a_page_are_several_orders() -> None:
    """Seen red as the plain text above."""
    row = "<tr><td>{}</td><td>ケトル</td></tr>"
    table = f"<table><tr><th>注文番号</th><th>商品</th></tr>{row.format(ID)}{row.format(OTHER)}</table>"
    links = "".join(f"<a href='{PAGE}{each}'>注文を見る</a>" for each in (ID, OTHER))
    for page in (table, links):
        found = read(AMAZON, "キャンセルリクエスト", f"<p>購入者がリクエストしました</p>{page}", html=True)
        assert [each.order_id for each in found] == [ID, OTHER]


@pytest.mark.parametrize(
    "other",
    [
        f"関連する注文 {OTHER}",
        f"以前のご注文：{OTHER}",
        f"{OTHER} とは別の注文です。",
        f"なお {OTHER} は出荷済みです。",
        f"See your other order {OTHER}.",
    ],
)
def test_a_bare_id_that_the_text_calls_another_order_is_only_mentioned(other: str) -> None:
    for body in (f"{ID}\n{other}", f"{other}\n{ID}", f"注文番号\n{ID}\n{other}"):
        found = one(AMAZON, "キャンセルリクエスト", body)
        assert (found.order_id, found.also_mentioned) == (ID, (OTHER,))


def test_a_cancelled_mail_closes_no_order_that_it_may_only_mention() -> None:
    """Seen red with all bare IDs taken: the second may be the order that goes on."""
    found = one(AMAZON, "注文がキャンセルされました", f"{ID}\n{OTHER}")
    assert (found.kind, found.order_id, found.also_mentioned) == (Kind.CANCELLED, ID, (OTHER,))
    both = read(AMAZON, "注文がキャンセルされました", f"注文番号：{ID}\n注文番号：{OTHER}")
    assert [each.order_id for each in both] == [ID, OTHER]


def test_an_id_only_in_the_order_link_is_the_order_and_a_strangers_link_is_not() -> None:
    page = "<p>購入者がキャンセルをリクエストしました</p><a href='https://{}/orders-v3/order/{}'>注文を見る</a>"
    found = one(AMAZON, "キャンセルリクエスト", page.format("sellercentral.amazon.co.jp", ID), html=True)
    assert found.order_id == ID
    for host in ("evil.example", "sellercentral.amazon.co.jp.evil.example", "xsellercentral.amazon.co.jp"):
        assert one(AMAZON, "キャンセルリクエスト", page.format(host, ID), html=True).order_id is None


@pytest.mark.parametrize(
    "words", [f"{OTHER}をキャンセルしたい", f"注文番号：{OTHER}", f"# {OTHER}:", f"Order ID: {OTHER}"]
)
def test_an_id_in_the_buyers_own_words_is_never_the_order(words: str) -> None:
    """Seen red with the buyer's words left in the frame."""
    found = own(f"キャンセルして\n{words}", subject="ご注文について")
    assert (found.kind, found.order_id, found.also_mentioned) == (Kind.WISH, ID, (OTHER,))
    lone = own(f"キャンセルして\n{words}", subject="お問い合わせ", head="")
    assert (lone.order_id, lone.also_mentioned) == (None, (OTHER,))


DIGITS = st.text(st.sampled_from("0123456789"), min_size=17, max_size=17)
IDS = DIGITS.map(lambda d: f"{d[:3]}-{d[3:10]}-{d[10:]}")


@given(
    IDS,
    st.lists(IDS, min_size=1, max_size=5),
    st.lists(st.sampled_from(["注文番号：", "", "# ", "Order ID: ", "> "]), min_size=5, max_size=5),
)
@settings(max_examples=120)
def test_however_many_ids_a_buyer_a_quote_and_a_title_hold_only_amazons_counts(
    real: str, written: list[str], labels: list[str]
) -> None:
    """Reliability H7. Seen red with the buyer's words left in the frame."""
    words = "\n".join(f"{label}{each}" for label, each in zip(labels, written, strict=False))
    body = f"# {real}:\n1 / 題 {written[0]} [ASIN: B000000001]\n{BEGIN}\nキャンセルして\n{words}\n{END}\n"
    found = one(BUYER, "ご注文について", body)
    assert found.order_id == real
    assert set(found.also_mentioned) == set(written) - {real}


# ---- items and values ----


def test_the_details_of_a_notification_are_read() -> None:
    found = one(
        AMAZON,
        f"キャンセルリクエスト {ID}",
        f"注文番号： {ID}\n注文日： 2022/06/07\n商品名： ケトル 0.8L\nASIN： B000000001\nSKU： K-1\n数量： 2\n"
        "出荷予定日： 2022/06/10\nキャンセル理由： 間違えて購入した\n",
    )
    assert found.items == (Item("ケトル 0.8L", "B000000001", "K-1", 2),)
    assert (found.reason, found.order_date, found.ship_by) == ("間違えて購入した", "2022/06/07", "2022/06/10")


def test_the_items_of_a_relayed_message_are_read() -> None:
    found = one(
        BUYER,
        "注文のキャンセルリクエスト",
        f"# {ID}:\n1 / ケトル [白] [ASIN: B000000001]\n12 / マット [ASIN: b000000002]\n",
    )
    assert found.items == (Item("ケトル [白]", "B000000001", None, 1), Item("マット", "B000000002", None, 12))


def test_two_items_in_a_table_are_two_items() -> None:
    row = "<tr><td>商品名：</td><td>{}</td></tr><tr><td>SKU：</td><td>{}</td></tr>"
    page = f"<p>注文番号：{ID}</p><table>{row.format('ケトル', 'K-1')}{row.format('マット', 'Y-1')}</table>"
    found = one(AMAZON, "キャンセルリクエスト", page, html=True)
    assert [(item.title, item.sku) for item in found.items] == [("ケトル", "K-1"), ("マット", "Y-1")]


# ---- the same form in every encoding; any bytes at all ----


def encoded_mail(sender: str, subject: str, body: str, charset: tuple[str, str, str]) -> bytes:
    codec, name, encoding = charset
    word = base64.b64encode(subject.encode(codec)).decode()
    raw = body.replace("\n", "\r\n").encode(codec)
    data = {"base64": base64.encodebytes(raw), "quoted-printable": quopri.encodestring(raw)}.get(encoding, raw)
    address = sender.rpartition("<")[2].rstrip(">")
    head = (
        f"From: Amazon <{address}>\r\nSubject: =?{name}?B?{word}?=\r\nContent-Type: text/plain; charset={name}\r\n"
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    return head.encode() + data


ENCODINGS = [
    ("utf-8", "utf-8", "base64"),
    ("utf-8", "utf-8", "quoted-printable"),
    ("iso2022_jp", "iso-2022-jp", "7bit"),
    ("cp932", "shift_jis", "8bit"),
    ("euc_jp", "euc-jp", "8bit"),
    ("cp932", "windows-31j", "base64"),
    ("iso2022_jp", "cp50220", "quoted-printable"),
]


@given(st.sampled_from(FORMS), IDS, st.sampled_from(ENCODINGS))
@settings(max_examples=150)
def test_any_form_in_any_encoding_says_the_same_of_the_same_order(
    form: tuple[str, str, str, Kind, Route], wanted: str, charset: tuple[str, str, str]
) -> None:
    sender, subject, body, kind, route = form
    raw = encoded_mail(sender, subject.replace(ID, wanted), body.replace(ID, wanted), charset)
    (found,) = notice.read(message.parse(raw), GMAIL, template.shipped())
    assert (found.kind, found.route, found.order_id) == (kind, route, wanted)


REQUESTS = [form for form in FORMS if form[3] is Kind.REQUEST]
FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
DASHES = "-‐‑‒–—―−－ー"


def wrapped(text: str, column: int) -> str:
    """Hard-wrapped at a column wherever that falls, inside words and order IDs too."""
    return "\n".join(line[at : at + column] for line in text.split("\n") for at in range(0, max(len(line), 1), column))


@given(
    st.sampled_from(REQUESTS),
    IDS,
    st.integers(20, 90),
    st.sampled_from(DASHES),
    st.booleans(),
    st.sampled_from(ENCODINGS[:2]),
)
@settings(max_examples=200)
def test_any_request_form_wrapped_at_any_column_with_any_dash_and_width_is_the_same_request(
    form: tuple[str, str, str, Kind, Route],
    wanted: str,
    column: int,
    dash: str,
    is_wide: bool,
    charset: tuple[str, str, str],
) -> None:
    """Planted fault: words looked for in the text with its line ends (no `compact`): red."""
    sender, subject, body, kind, route = form
    written = wanted.replace("-", dash)
    written = written.translate(FULL_WIDTH) if is_wide else written
    raw = encoded_mail(sender, subject.replace(ID, written), wrapped(body.replace(ID, written), column), charset)
    (found,) = notice.read(message.parse(raw), GMAIL, template.shipped())
    assert (found.kind, found.route, found.order_id) == (kind, route, wanted)


PIECES = st.sampled_from(
    [
        *(
            f"From: {AMAZON}\r\n",
            f"From: {BUYER}\r\n",
            f"From: {SHOPPER}\r\n",
            "From: Amazon <x@evil.example>\r\n",
            "From: <\r\n",
        ),
        *(
            "Subject: キャンセルリクエスト",
            "Subject: ",
            "\r\n",
            "\r\n\r\n",
            "\n",
            " ",
            BEGIN,
            END,
            HEAD,
            NOTIFIED,
            ID,
            OTHER,
            FAIL,
        ),
        *(
            "Content-Type: text/html\r\n",
            "Content-Type: multipart/mixed; boundary=b\r\n",
            "--b\r\n",
            "Content-Transfer-Encoding: base64\r\n",
        ),
        *(
            "キャンセルして",
            "商品名：",
            "数量： 9",
            "<pre style='-o-pre-wrap'>",
            "<table><td>",
            "理由：",
            "\x1b$B%-%c%s%;%k\x1b(B",
            "\x00",
        ),
    ]
).map(str.encode)
ANY_MAIL = st.one_of(
    st.binary(max_size=200), st.lists(st.one_of(PIECES, st.binary(max_size=6)), max_size=25).map(b"".join)
)


@pytest.mark.long
@given(ANY_MAIL, st.sampled_from([GMAIL, Provider()]))
@settings(max_examples=300)
def test_any_bytes_give_notices_a_decision_and_a_text(raw: bytes, provider: Provider) -> None:
    """The whole core, as `scan` runs it: no bytes raise, every ID is canonical, every line is plain."""
    parsed = message.parse(raw)
    found = notice.read(parsed, provider, template.shipped())
    assert found
    for each in found:
        assert each.order_id is None or order_id.is_order_id(each.order_id)
        assert each.order_id not in each.also_mentioned
        assert each.excerpt is None or len(each.excerpt) <= 60
        decision = decide(each, AT, Known(), Rules())
        assert each.is_told or not decision.alerts
        json.dumps([each.reason, [item.title for item in each.items]], ensure_ascii=False).encode()
        if decision.alerts:
            told = [texts.word(_alert(each, decision.why), form, "ja", ZoneInfo("Asia/Tokyo")) for form in Form]
            assert all(line.isprintable() for text in told for line in text.whole.split("\n"))


def _alert(about: Notice, why: str) -> Alert:
    return Alert(
        kind=about.kind,
        why=why,
        trust=about.trust,
        seller="shop",
        order_id=about.order_id,
        marketplace=about.marketplace,
        received=AT,
        account="shop",
        folder="INBOX",
        sightings=(),
        items=about.items,
        also_mentioned=about.also_mentioned,
        reason=about.reason,
        excerpt=about.excerpt,
        order_date=about.order_date,
        ship_by=about.ship_by,
        sender_domain=about.sender_domain,
    )


# ---- the marketplace ----

JP_ID, IT_ID = "X-Marketplace-ID: A1VC38T7YXB528\r\n", "X-Marketplace-ID: APJ6JRA9NG5V4\r\n"
LINKED_TO_DE = f"{NOTIFIED}\nhttps://sellercentral.amazon.de/orders-v3/order/{ID}/cancel-order\n"
LINKED_TO_TWO = f"{LINKED_TO_DE}https://sellercentral.amazon.fr/orders-v3/order/{ID}\n"
OTHER_LINK = f"{NOTIFIED}\nhttps://sellercentral.amazon.de/orders-v3/order/249-9999999-9999999\n"
NOTICES = "出品者向け通知 <donotreply@amazon.com>"


@pytest.mark.parametrize(
    ("sender", "header", "body", "default", "expected"),
    [
        (NOTICES, JP_ID, NOTIFIED, "US", ("JP", Basis.HEADER)),
        (NOTICES, IT_ID, LINKED_TO_DE, "JP", ("IT", Basis.HEADER)),
        (NOTICES, IT_ID + JP_ID, LINKED_TO_DE, "JP", ("DE", Basis.LINK)),  # two ids: neither
        (NOTICES, "X-Marketplace-ID: A000000000\r\n", LINKED_TO_DE, "JP", ("DE", Basis.LINK)),
        (NOTICES, "", LINKED_TO_DE, "JP", ("DE", Basis.LINK)),
        (AMAZON, "", LINKED_TO_DE, "US", ("DE", Basis.LINK)),
        (NOTICES, "", OTHER_LINK, "JP", ("JP", Basis.ACCOUNT)),  # another order's page
        (NOTICES, "", LINKED_TO_TWO, "JP", ("JP", Basis.ACCOUNT)),  # two hosts: neither
        (NOTICES, "", NOTIFIED, "JP", ("JP", Basis.ACCOUNT)),
        (NOTICES, "", NOTIFIED, None, (None, Basis.NOTHING)),
        (AMAZON, "", NOTIFIED, "US", ("JP", Basis.SENDER)),
        ("x <abcdefghij12345@marketplace.amazon.com>", "", NOTIFIED, "JP", ("US", Basis.SENDER)),
    ],
)
def test_the_marketplace_is_told_by_header_link_sender_or_account(
    sender: str, header: str, body: str, default: str | None, expected: tuple[str | None, Basis]
) -> None:
    """In this order. Guards against From's domain first: a Japanese notice from donotreply@amazon.com became US."""
    raw = mail(sender, f"注文番号のキャンセルリクエスト: {ID}", body, authentication=header)
    (found,) = notice.read(message.parse(raw), GMAIL, template.shipped(), marketplace=default)
    assert (found.marketplace, found.marketplace_basis) == expected


def test_a_mail_that_is_not_amazons_has_no_marketplace() -> None:
    raw = mail("shop <info@shop.example>", "hello", NOTIFIED, authentication=JP_ID)
    (found,) = notice.read(message.parse(raw), GMAIL, template.shipped(), marketplace="JP")
    assert (found.kind, found.marketplace) == (Kind.IGNORED, None)


# ---- Amazon's type header, the seller's own words, customer service's relay ----


def typed(
    value: str, sender: str = NOTICES, subject: str = f"お知らせ: {ID}", body: str = "こんにちは", **more: str
) -> Notice:
    """A mail with this type by Amazon's header."""
    header = f"X-Space-Notification-Type: {value}\r\n" + more.get("header", "")
    raw = mail(sender, subject, body, authentication=header)
    return notice.read(message.parse(raw), GMAIL, template.shipped())[0]


COPY = f"Here is a copy of the e-mail you sent to 山田.\n\nOrder ID: {ID}\n\n"
OWN_GRANTED = "お客様のご依頼によりご注文をキャンセルいたしました。"
OWN_ASKED = "購入者様のご注文キャンセルのリクエストを承りました。"


@pytest.mark.parametrize("sender", [NOTICES, AMAZON, SHOPPER, "x <news@amazon.it>"])
@pytest.mark.parametrize("subject", [f"Richiesta: {ID}", f"注文確定 {ID}", f"注文がキャンセルされました {ID}"])
def test_amazons_type_header_says_that_it_is_a_request_whatever_the_words(sender: str, subject: str) -> None:
    """Guards against the words asked first: 注文確定 ignored it."""
    found = typed("BRC_SELLER_NOTIFICATION", sender, subject)
    assert (found.kind, found.route, found.order_id) == (Kind.REQUEST, Route.NOTIFICATION, ID)


@pytest.mark.parametrize(
    "value",
    [
        "BBC_MESSAGE_CONFIRMATION_TO_MERCHANT",
        "BUYER_OPTED_OUT_BSM_MESSAGES",
        "RETURN_REQUEST",
        "REFUND_ISSUED",
        "A_Z_CLAIM_RESPONDENT_NOTIFY",
        "A_Z_CLAIM_RESPONDENT_CLOSE",
    ],
)
def test_other_known_types_are_no_matter_whatever_the_words(value: str) -> None:
    assert typed(value, body=NOTIFIED).kind is Kind.IGNORED


@pytest.mark.parametrize("value", ["SOMETHING_NEW", "ORDER_CANCELLED_2", "brc_seller_notification", ""])
def test_an_unknown_type_changes_nothing(value: str) -> None:
    assert typed(value, body=NOTIFIED).kind is Kind.REQUEST
    assert typed(value, subject="お知らせ").kind is Kind.IGNORED
    known = value if value.isupper() else None
    assert typed(value).unknown_type == known


def test_two_different_type_fields_count_as_none() -> None:
    twice = {"header": "X-Space-Notification-Type: REFUND_ISSUED\r\n"}
    assert typed("BRC_SELLER_NOTIFICATION", **twice).kind is Kind.IGNORED
    assert typed("RETURN_REQUEST", body=NOTIFIED, **twice).kind is Kind.REQUEST


@pytest.mark.parametrize("sender", ["x <info@shop.example>", "Amazon <donotreply@amazon-co.jp>", "x <y@amazonses.com>"])
def test_the_type_header_counts_from_an_exact_amazon_address_only(sender: str) -> None:
    assert typed("BRC_SELLER_NOTIFICATION", sender).kind is not Kind.REQUEST


def test_the_type_header_leaves_trust_as_it_is() -> None:
    failed = "Authentication-Results: mx.google.com; dmarc=fail header.from=amazon.com\r\n"
    assert typed("BRC_SELLER_NOTIFICATION").trust is Trust.UNVERIFIED
    assert typed("BRC_SELLER_NOTIFICATION", header=failed).trust is Trust.FORGED


def test_a_sellers_own_form_comes_before_the_type_header() -> None:
    own_form = "[[template]]\nid = 'mine'\nkind = 'cancelled'\nsenders = ['amazon']\nsubject = ['お知らせ']\n"
    header = "X-Space-Notification-Type: BRC_SELLER_NOTIFICATION\r\n"
    raw = mail(NOTICES, f"お知らせ {ID}", "x", authentication=header)
    (found,) = notice.read(message.parse(raw), GMAIL, template.with_own(own_form.encode()))
    assert (found.kind, found.template) == (Kind.CANCELLED, "mine")


@pytest.mark.parametrize("sender", [BUYER, NOTICES])
def test_a_buyers_message_by_its_type_is_judged_by_the_buyers_words(sender: str) -> None:
    body = f"{HEAD}{BEGIN}\nキャンセルできますか\n{END}\n"
    found = typed("BBC_MESSAGE_SENT_TO_MERCHANT", sender, "お問い合わせ", body)
    assert (found.kind, found.route, found.order_id) == (Kind.WISH, Route.MESSAGE, ID)
    old = typed("BBC_MESSAGE_SENT_TO_MERCHANT", sender, f"注文キャンセルリクエスト(注文: {ID})", body)
    assert (old.kind, old.route) == (Kind.REQUEST, Route.MESSAGE)
    assert (
        typed("BBC_MESSAGE_SENT_TO_MERCHANT", sender, "お問い合わせ", f"{HEAD}{BEGIN}\n色は？\n{END}").kind
        is Kind.IGNORED
    )


RULES_OF_COPIES = [
    ("--- Begin message ---", "--- End message ---"),
    ("------------- メッセージはここから -------------", "------------- メッセージはここまで -------------"),
    ("------------- メッセージ:  -------------", "------------- メッセージはここまで -------------"),
    ("------------- Mensagem:  -------------", "Encerrar mensagem"),
    ("------------- Nachricht: -------------", "------------- Ende der Nachricht -------------"),
    ("------------- Messaggio: -------------", "------------- Fine messaggio -------------"),
    ("------------- Début du message -------------", "------------- Fin du message -------------"),
    ("------------- Iniciar mensaje -------------", "------------- Finalizar mensaje -------------"),
    ("------------- Begin bericht -------------", "------------- Einde bericht -------------"),
    ("------------- 消息开始 -------------", "------------- 消息结束 -------------"),
]


@pytest.mark.parametrize(
    "words", [OWN_GRANTED, OWN_ASKED, "Your order has been cancelled.", "We received your cancellation request."]
)
@pytest.mark.parametrize(("begin", "end"), RULES_OF_COPIES)
@pytest.mark.parametrize("shape", ["lines", "one line", "html"])
def test_the_sellers_own_words_in_a_copy_are_never_amazons(shape: str, begin: str, end: str, words: str) -> None:
    """Without the type header. Guards against the whole text taken for Amazon's: cancelled, or an official request."""
    joint = " " if shape == "one line" else "\n"
    text = f"{COPY}{begin}{joint}{words}{joint}{end}\n\nAmazon.co.jp"
    body = f"<p>{text}</p>" if shape == "html" else text
    found = one(NOTICES, "Your e-mail to 山田", body, html=shape == "html")
    assert found.kind is Kind.IGNORED


def test_a_request_of_amazons_beside_a_copied_message_is_still_read() -> None:
    found = one(NOTICES, "お知らせ", f"{BEGIN}\nご連絡ありがとうございます\n{END}\n{NOTIFIED}")
    assert (found.kind, found.order_id) == (Kind.REQUEST, ID)


def test_an_own_message_that_was_not_delivered_names_its_order() -> None:
    found = typed("BUYER_OPTED_OUT_BSM_MESSAGES")
    assert (found.kind, found.order_id, found.is_undelivered_reply, found.is_told) == (Kind.IGNORED, ID, True, False)
    failed = "Authentication-Results: mx.google.com; dmarc=fail header.from=amazon.com\r\n"
    assert not typed("BUYER_OPTED_OUT_BSM_MESSAGES", header=failed).is_undelivered_reply


RELAY = "Dear Seller,\n\nOrder#: {order}\nItem: Kettle\nReason: {reason}\nDetails: {details}\n"


@pytest.mark.parametrize("sender", [NOTICES, AMAZON, "x <cust.service03@amazon.com>", "x <cs-reply@amazon.co.jp>"])
def test_customer_services_relay_is_a_wish_with_its_order(sender: str) -> None:
    body = RELAY.format(
        order=ID, reason="Cancel order", details="The buyer wants to cancel the order 249-1111111-1111111."
    )
    found = one(sender, "An inquiry from one of our customers", body)
    assert (found.kind, found.route, found.order_id) == (Kind.WISH, Route.MESSAGE, ID)
    other = RELAY.format(order=ID, reason="Other", details="Where is my parcel?")
    assert one(sender, "An inquiry from one of our customers", other).kind is Kind.IGNORED


@pytest.mark.parametrize(
    ("sender", "subject", "kind"),
    [
        ("x <donotreply@amazon.com>", "出品者向け通知", Kind.REQUEST),
        ("x <seller-notification@amazon.co.jp>", "出品者向け通知", Kind.REQUEST),
        ("x <seller-news@amazon.co.jp>", "出品者向け通知", Kind.POSSIBLE),
        ("x <someone@amazon.co.jp>", "出品者向け通知", Kind.POSSIBLE),
        ("x <someone@amazon.co.jp>", f"注文キャンセルのリクエスト: {ID}", Kind.REQUEST),
    ],
)
def test_from_an_unknown_address_the_body_alone_makes_no_official_request(
    sender: str, subject: str, kind: Kind
) -> None:
    assert (one(sender, subject, NOTIFIED).kind, one(sender, subject, NOTIFIED).order_id) == (kind, ID)


# ---- rewritten senders ----

LISTED = "'出品者向け通知' via 受注 <orders@shop.example>"
MARKED = f"X-Original-Sender: seller-notification@amazon.co.jp\r\nList-ID: <orders.shop.example>\r\n{JP_ID}"
PASSED = "Authentication-Results: mx.google.com; dmarc=pass header.from=shop.example\r\n"


@pytest.mark.parametrize("authentication", ["", PASSED, PASSED.replace("pass", "fail")])
def test_amazons_mail_by_a_list_is_read_as_amazons_and_never_verified(authentication: str) -> None:
    """Guards against From alone: a look-alike that hides another address, never told."""
    (found,) = read(LISTED, f"注文番号のキャンセルリクエスト: {ID}", NOTIFIED, authentication=authentication + MARKED)
    assert (found.kind, found.trust, found.is_rewritten) == (Kind.REQUEST, Trust.UNVERIFIED, True)
    assert (found.marketplace, found.sender_domain) == ("JP", "shop.example")


def test_phishing_with_a_forged_mark_is_never_verified_and_a_look_alike_domain_stays_forged() -> None:
    (marked,) = read("Amazon <x@evil.example>", f"キャンセルリクエスト {ID}", NOTIFIED, authentication=MARKED)
    assert (marked.trust, marked.is_rewritten) == (Trust.UNVERIFIED, True)
    (lookalike,) = read("Amazon <x@amazon-co.jp>", f"キャンセルリクエスト {ID}", NOTIFIED, authentication=MARKED)
    assert not lookalike.is_told
    (answered,) = read(
        "'Amazon' via x <x@evil.example>", "x", NOTIFIED, authentication="Reply-To: donotreply@amazon.com\r\n"
    )
    assert not answered.is_told


@pytest.mark.parametrize(
    ("results", "is_told"),
    [
        ("dmarc=pass header.from=relay.example", True),
        ("dmarc=fail header.from=relay.example", False),
        ("dmarc=pass header.from=other.example", False),
        ("dkim=pass header.d=relay.example", False),
    ],
)
def test_a_forwarder_without_a_mark_counts_with_the_providers_dmarc_pass(results: str, is_told: bool) -> None:
    raw = mail(
        "donotreply@amazon.com via Relay <abc@relay.example>",
        f"キャンセルリクエスト {ID}",
        NOTIFIED,
        authentication=f"Authentication-Results: mx.google.com; {results}\r\nReply-To: donotreply@amazon.com\r\n",
    )
    provider = replace(GMAIL, forwarders=("relay.example",))
    (found,) = notice.read(message.parse(raw), provider, template.shipped())
    assert found.is_told is is_told
    assert found.trust is not Trust.VERIFIED
