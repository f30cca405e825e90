"""Doubt that a gateway or a server makes: text moved into attachments, a stub in place of a mail, a lost From."""

from __future__ import annotations

import base64
from urllib.parse import quote

import mails
import pytest

from mailwatch import message, notice
from mailwatch.amazon import template
from mailwatch.notice import Kind, Notice
from mailwatch.trust import Provider, Trust

PROVIDER = Provider(mails.AUTHSERV_ID, mails.RECEIVED_BY)
ID = mails.order_id(1)
AMAZON = "seller-notification@amazon.co.jp"
BUYER = "zyxwvutsrq98765@marketplace.amazon.co.jp"
NEUTRAL = "ご注文に関するお知らせ"
ASKS = "注文のキャンセルリクエストが届きました"
REQUEST = f"購入者がこの注文のキャンセルをリクエストしました。\n\n注文番号: {ID}\n"
NOTE = "このメールは社外から届きました。"
NEIGHBOURS = [
    (AMAZON, "注文確定: NC-1 ノイズキャンセリング ヘッドホン", f"注文番号: {ID}\n出荷予定日: 2022/06/10\n"),
    (AMAZON, "注文がキャンセルされました", f"注文番号: {ID}\nご注文のキャンセルが完了しました。\n"),
    (AMAZON, "ご注文は自動的にキャンセルされました", f"注文番号: {ID}\n出荷期限を過ぎました。\n"),
    (AMAZON, "返品リクエストが承認されました", f"注文番号: {ID}\n返品の理由: サイズが合わない\n"),
    (AMAZON, "お支払い処理が完了しました", "振込額 100 円\n"),
    ("auto-confirm@amazon.co.jp", "ご注文の確認", f"注文番号 {ID}\nキャンセルは注文履歴から。\n"),
    ("auto-communicator@amazonpay.amazon.co.jp", "注文のキャンセル、返金、返品のリクエスト:P03-1234567-1", "P03\n"),
    ("order@rakuten.example", "【楽天市場】注文キャンセルのお知らせ", "キャンセルを承りました。\n"),
    ("x@amazon-co.jp.example", "【重要】ご注文のキャンセル", f"注文番号 {ID}\n"),
]


def word(text: str) -> str:
    return f"=?utf-8?B?{base64.b64encode(text.encode()).decode()}?="


def part(text: str, kind: str = "text/plain; charset=utf-8", disposition: str = "") -> bytes:
    head = f"Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n"
    head += f"Content-Disposition: {disposition}\r\n" if disposition else ""
    return head.encode() + b"\r\n" + base64.encodebytes(text.encode())


def attached(text: str, kind: str = "text/plain; charset=utf-8") -> bytes:
    return part(text, kind, 'attachment; filename="ATT00001.txt"')


def attached_mail(raw: bytes) -> bytes:
    return b"Content-Type: message/rfc822\r\n\r\n" + raw


def multipart(*parts: bytes, sender: str = AMAZON, subject: str = NEUTRAL, verified: bool = True) -> bytes:
    head = mails.mail(f"X <{sender}>", subject, "", verified=verified).partition(b"MIME-Version")[0]
    body = b"".join(b"--b\r\n" + each + b"\r\n" for each in parts)
    return head + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + body + b"--b--\r\n"


def bare(*fields: str, text: str = REQUEST) -> bytes:
    """A mail with these fields and no From."""
    head = [f"Received: from x.example by {mails.AUTHSERV_ID}; Wed, 08 Jun 2022 09:12:00 +0900", *fields]
    return "\r\n".join(head).encode() + b"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text.encode()


def read(raw: bytes, *, is_junk: bool = False) -> Notice:
    (found,) = notice.read(message.parse(raw), PROVIDER, template.shipped(), is_junk=is_junk)
    return found


# ---- text that a gateway moved ----


@pytest.mark.parametrize(
    "moved",
    [
        attached(REQUEST),
        attached(f"<p>{REQUEST}</p>", "text/html; charset=utf-8"),
        attached_mail(mails.by_notification(ID)),
        attached_mail(mails.by_message(ID)),
        attached_mail(mails.wish(ID)),
        attached(mails.by_notification(ID).decode(), "text/plain"),
    ],
)
def test_text_that_a_gateway_moved_is_possible_and_keeps_the_trust_of_an_amazon_from(moved: bytes) -> None:
    """namecheap/fast_mail_parser#25. Seen red with `_moved` left out."""
    for raw in (multipart(part(NOTE), moved), multipart(moved, part(NOTE)), multipart(moved)):
        found = read(raw)
        assert (found.kind, found.order_id, found.trust) == (Kind.POSSIBLE, ID, Trust.VERIFIED)
    unverified = read(multipart(part(NOTE), moved, verified=False))
    assert (unverified.kind, unverified.trust) == (Kind.POSSIBLE, Trust.UNVERIFIED)


@pytest.mark.parametrize("name", ["original.eml", "ORIGINAL.EML", "message.htm", "message.html", "body.txt"])
@pytest.mark.parametrize("disposition", ["attachment; filename={}", ""])
def test_a_text_that_is_called_octets_is_told_by_its_name(name: str, disposition: str) -> None:
    """Seen red with `text/*` and `message/rfc822` alone taken for text."""
    text = mails.by_notification(ID).decode() if name.lower().endswith(".eml") else f"<p>{REQUEST}</p>"
    moved = part(text, f"application/octet-stream; name={name}", disposition.format(name))
    found = read(multipart(part(NOTE), moved))
    assert (found.kind, found.order_id) == (Kind.POSSIBLE, ID)
    assert read(multipart(part(NOTE), moved, sender="x@shop.example")).kind is Kind.IGNORED


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_mail_is_read_through_the_mails_that_enclose_it(depth: int) -> None:
    """Seen red with the attachments of an attached mail left unread."""
    raw = mails.by_notification(ID)
    for level in range(depth):
        outer = multipart(part(NOTE), attached_mail(b"INNER"), sender="gateway@shop.example")
        mark = b"level-%d" % level
        raw = outer.replace(b"boundary=b", b"boundary=" + mark).replace(b"--b", b"--" + mark).replace(b"INNER", raw)
    assert read(multipart(part(NOTE), attached_mail(raw))).kind is Kind.POSSIBLE


def test_a_request_by_its_subject_gets_the_order_of_the_text_that_was_moved() -> None:
    """Seen red with the attachments looked at only where the subject says nothing. A buyer's are the buyer's words."""
    for moved in (attached(f"注文番号: {ID}\n"), attached_mail(mails.by_notification(ID))):
        found = read(multipart(part(NOTE), moved, subject=ASKS))
        assert (found.kind, found.order_id, found.trust) == (Kind.REQUEST, ID, Trust.VERIFIED)
    buyer = "a0123456bcdefgh@marketplace.amazon.co.jp"
    assert read(multipart(part(NOTE), attached(f"注文番号: {ID}\n"), sender=buyer, subject=ASKS)).order_id is None


SEALED = [
    "application/ms-tnef",
    "application/octet-stream; name=winmail.dat",
    "application/vnd.ms-outlook",
    "application/octet-stream; name=original.msg",
    "application/pkcs7-mime; name=smime.p7m",
]


@pytest.mark.parametrize("kind", SEALED)
def test_a_mail_of_amazons_that_only_another_program_opens_is_told(kind: str) -> None:
    """Seen red without `is_sealed`: a gateway's note was taken for the whole mail."""
    sealed = part("\x00\x01", kind, "attachment")
    assert read(multipart(part(NOTE), sealed)).kind is Kind.UNREADABLE
    assert read(multipart(sealed)).kind is Kind.UNREADABLE
    assert read(multipart(part(REQUEST), sealed, subject=ASKS)).kind is Kind.REQUEST
    assert read(multipart(part(NOTE), sealed, sender="x@shop.example")).kind is Kind.IGNORED


@pytest.mark.parametrize(
    "kind", ["application/pdf", "application/zip; name=report.zip", "application/pkcs7-signature", "image/png"]
)
def test_an_attachment_that_is_no_mail_is_no_doubt(kind: str) -> None:
    assert read(multipart(part(NOTE), part("x", kind, "attachment"))).kind is Kind.IGNORED


def test_text_that_another_sender_encloses_is_read_only_where_it_names_an_amazon_address() -> None:
    """Seen red with `reads_attached` always true, and with the trust of the gateway's own From."""
    gateway, note = "gateway@shop.example", part(f"本文を添付に移しました。\n差出人: {AMAZON}\n")
    named = read(multipart(note, attached(REQUEST), sender=gateway))
    assert (named.kind, named.order_id, named.trust) == (Kind.POSSIBLE, ID, Trust.UNVERIFIED)
    by_subject = read(multipart(part(NOTE), attached(REQUEST), sender=gateway, subject=f"[held] {AMAZON}"))
    assert (by_subject.kind, by_subject.order_id) == (Kind.POSSIBLE, ID)
    assert read(multipart(part(NOTE), attached(REQUEST), sender=gateway)).kind is Kind.IGNORED
    late = part("x" * 5000 + f"\n差出人: {AMAZON}\n")
    assert read(multipart(late, attached(REQUEST), sender=gateway)).kind is Kind.IGNORED


def test_an_own_text_that_says_what_it_is_is_not_judged_by_its_attachments() -> None:
    raw = multipart(part(REQUEST), attached("注文がキャンセルされました"), subject=ASKS)
    assert read(raw).kind is Kind.REQUEST


@pytest.mark.parametrize(("sender", "subject", "text"), NEIGHBOURS)
def test_a_neighbour_is_no_request_wherever_its_text_was_moved(sender: str, subject: str, text: str) -> None:
    inner = mails.mail(f"X <{sender}>", subject, text, verified=False)
    named = part(f"本文を添付に移しました。\n差出人: {AMAZON}\n")
    assert read(multipart(part(NOTE), attached_mail(inner))).kind in {Kind.IGNORED, Kind.CANCELLED}
    assert read(multipart(named, attached_mail(inner), sender="gw@shop.example")).kind is Kind.IGNORED
    assert read(multipart(part(NOTE), attached(text), sender=sender, subject=subject)).kind in {
        Kind.IGNORED,
        Kind.CANCELLED,
    }


def test_the_sellers_own_words_in_a_bounce_ask_nothing() -> None:
    own = mails.mail(
        "shop <shop@shop.example>", f"Re: {ASKS}", "キャンセルをリクエストを選択してください", verified=False
    )
    note = part(f"<{BUYER}>: could not be delivered: user unknown\n")
    raw = multipart(note, attached_mail(own), sender="MAILER-DAEMON@shop.example", subject="Undelivered Mail")
    assert read(raw).kind is Kind.IGNORED


def test_in_junk_moved_text_counts_only_from_a_verified_sender() -> None:
    assert read(multipart(part(NOTE), attached(REQUEST)), is_junk=True).kind is Kind.POSSIBLE
    assert read(multipart(part(NOTE), attached(REQUEST), verified=False), is_junk=True).kind is Kind.IGNORED


# ---- a stub in a mail's place ----


def stub(
    text: str, sender: str = "Microsoft Exchange Server 2010", subject: str = "Retrieval using IMAP4 failed"
) -> bytes:
    return bare(f"From: {sender}", f"Subject: {word(subject)}", text=text)


def exchange(sender: str, subject: str) -> str:
    return f'The server couldn\'t retrieve the following message:\n\nSubject: "{subject}"\nFrom: "X" ("{sender}")\n'


@pytest.mark.parametrize(
    "raw",
    [
        stub(exchange(AMAZON, f"{ASKS} {ID}")),
        stub(exchange(AMAZON, word(f"{ASKS} {ID}"))),
        stub(exchange(AMAZON, f"{ASKS} {ID}"), "Microsoft Exchange <postmaster@shop.example>"),
        stub(f"次のメッセージを取得できませんでした。\n件名: {ASKS} {ID}\n差出人: Amazon <{AMAZON}>\n"),
        stub(f"Betreff: {ASKS} {ID}\nVon: {AMAZON}\n"),
        stub(f"From:\n{AMAZON}\nSubject:\n{ASKS} {ID}\n"),
        stub(f"隔離されたメール\n件名: {ASKS} {ID}\n送信者: {AMAZON}\n", "quarantine@shop.example", "隔離通知"),
        stub(f"The server could not retrieve a message from {AMAZON}: {ASKS} {ID}"),
    ],
)
def test_a_stub_that_names_amazons_mail_is_possible_and_unverified(raw: bytes) -> None:
    """OfflineIMAP/offlineimap#62. Seen red with `_stub` left out."""
    found = read(raw)
    assert (found.kind, found.order_id, found.trust) == (Kind.POSSIBLE, ID, Trust.UNVERIFIED)
    assert read(raw, is_junk=True).kind is Kind.IGNORED


@pytest.mark.parametrize(("sender", "subject"), [(AMAZON, NEUTRAL), (BUYER, f"商品についてのお問い合わせ(注文: {ID})")])
def test_a_stub_for_a_mail_that_may_ask_anything_is_unreadable(sender: str, subject: str) -> None:
    assert read(stub(exchange(sender, subject))).kind is Kind.UNREADABLE


@pytest.mark.parametrize(("sender", "subject", "text"), NEIGHBOURS)
def test_a_stub_for_a_neighbour_is_ignored(sender: str, subject: str, text: str) -> None:
    assert text
    assert read(stub(exchange(sender, subject))).kind is Kind.IGNORED


@pytest.mark.parametrize(
    "raw",
    [
        mails.mail("同僚 <kato@shop.example>", f"Fw: {ASKS}", f"差出人: {AMAZON}\n件名: {ASKS}\n\n{REQUEST}"),
        mails.mail("News <news@shop.example>", "セール", f"注文のキャンセルは {AMAZON} から届きます"),
        stub(
            f"<{BUYER}>: unknown\n\nFrom: shop@shop.example\nTo: {BUYER}\nSubject: Re: {ASKS}\n",
            "MAILER-DAEMON@a.example",
        ),
    ],
)
def test_a_persons_forward_a_newsletter_and_a_bounce_are_no_stubs(raw: bytes) -> None:
    assert read(raw).kind is Kind.IGNORED


# ---- a From that can't be read ----

NAMES = [
    f"Sender: {AMAZON}",
    f"Reply-To: Amazon <{AMAZON}>",
    "Return-Path: <x@bounces.amazon.co.jp>",
    f"X-Original-From: {AMAZON}",
    f"X-Original-Sender: {AMAZON}",
    "Subject: Amazon.co.jp: a notice",
    f"Authentication-Results: {mails.AUTHSERV_ID}; dmarc=pass header.from=amazon.co.jp",
    f"Authentication-Results: {mails.AUTHSERV_ID}; spf=pass smtp.mailfrom=bounces.amazon.co.jp",
]
NAMES_NOBODY = [
    "Sender: 0101@ap-northeast-1.amazonses.com",
    "Return-Path: <0101@email.amazonaws.com>",
    "Reply-To: x@amazon-co.jp",
    "Return-Path: <bounce+amazon.co.jp@shop.example>",
    f"Received: from {AMAZON} by x.example; Wed, 08 Jun 2022 09:12:00 +0900",
    "Message-ID: <1@amazon.co.jp>",
    "DKIM-Signature: v=1; d=amazon.co.jp",
    "Authentication-Results: mx.evil.example; dmarc=pass header.from=amazon.co.jp",
    f"Authentication-Results: {mails.AUTHSERV_ID}; dkim=pass header.d=amazonses.com; dmarc=none header.from=a.example",
    "Subject: amazon",
]
ODD_FROMS = [
    (),
    ("From: ",),
    ("From: =?utf-8?B?",),
    ("From: undisclosed-senders:;",),
    ("From: a@x.example, b@y.example",),
]


@pytest.mark.parametrize("odd", ODD_FROMS)
@pytest.mark.parametrize("field", NAMES)
def test_a_mail_without_a_readable_from_that_names_amazon_is_told(odd: tuple[str, ...], field: str) -> None:
    """mysociety/alaveteli#1547. By a forwarder's mark it is read as Amazon's. Seen red with `_is_named` left out."""
    found = read(bare(*(field, *odd) if field.startswith("Auth") else (*odd, field)))
    kind = Kind.REQUEST if field.startswith("X-Original-") else Kind.UNREADABLE
    assert (found.kind, found.order_id, found.trust) == (kind, ID, Trust.UNVERIFIED)


@pytest.mark.parametrize("odd", ODD_FROMS)
@pytest.mark.parametrize("field", NAMES_NOBODY)
def test_a_mail_without_a_readable_from_that_names_nobody_is_ignored(odd: tuple[str, ...], field: str) -> None:
    """Every newsletter that goes out through Amazon SES has such fields. Seen red with all fields looked at."""
    assert read(bare(*odd, field)).kind is Kind.IGNORED


def test_in_junk_a_mail_without_a_readable_from_is_told_only_if_the_provider_vouches_for_it() -> None:
    for field in NAMES:
        is_vouched = "dmarc=pass" in field
        assert (read(bare(field), is_junk=True).kind is Kind.UNREADABLE) == is_vouched, field


# ---- what is still encoded ----


@pytest.mark.parametrize("text", ["=41=42=43 x", "\n".join(["Q" * 76] * 3)])
@pytest.mark.parametrize("subject", [NEUTRAL, "注文確定: SKU-1"])
def test_amazons_mail_that_is_still_encoded_is_never_ignored(text: str, subject: str) -> None:
    """Seen red with the neighbours' forms first, and with no look at what is left."""
    raw = mails.mail(f"Amazon <{AMAZON}>", subject, text)
    assert read(raw).kind is Kind.UNREADABLE
    assert read(mails.mail("News <news@shop.example>", subject, text)).kind is Kind.IGNORED


def test_a_percent_encoded_subject_of_amazons_is_never_ignored() -> None:
    """Seen red with the subject looked at as a text is, where such a run may be a link."""
    assert read(mails.mail(f"Amazon <{AMAZON}>", quote(ASKS), "x")).kind is Kind.UNREADABLE
    assert read(mails.mail(f"Amazon <{AMAZON}>", "x", f"https://shop.example/{quote(ASKS)}")).kind is Kind.IGNORED


# ---- an order ID in a link scanner's link ----

TRUE_PAGE = f"https://sellercentral.amazon.co.jp/orders-v3/order/{ID}/cancel-order"
PAGE = f"https%3A%2F%2Fsellercentral.amazon.co.jp%2Forders-v3%2Forder%2F{ID}"


@pytest.mark.parametrize(
    "link",
    [
        f"https://c.example/?u={PAGE}",
        f"https://c.example/?u={PAGE.replace('%', '%25')}&x=1",
        f"https://nam02.safelinks.protection.outlook.com/?url={PAGE.lower()}&data=05%7C01",
        f"https://c.example/?u={PAGE.replace('-', '%2D')}",
        "https://urldefense.proofpoint.com/v2/url?u=https-3A__sellercentral.amazon.co.jp_orders-2Dv3_order_"
        + ID.replace("-", "-2D"),
        f"https://urldefense.com/v3/__https://sellercentral.amazon.co.jp/orders-v3/order/{ID}__;!!a$",
        f"https://jp-west-1.protection.sophos.example/?d=amazon.co.jp&u={base64.b64encode(TRUE_PAGE.encode()).decode()}&i=x",
    ],
)
def test_an_order_id_in_a_wrapped_link_is_found(link: str) -> None:
    """MailTrackerBlocker#112. Seen red with the link read as it stands."""
    page = f"<p>購入者がキャンセルをリクエストしました。</p><a href='{link}'>開く</a>"
    shown = mails.mail(f"Amazon <{AMAZON}>", ASKS, f"購入者がキャンセルをリクエストしました。\n{link}\n")
    for raw in (shown, mails.as_html(mails.mail(f"Amazon <{AMAZON}>", ASKS, page))):
        assert read(raw).order_id == ID


@pytest.mark.parametrize(
    "host", ["evil.example", "xsellercentral.amazon.co.jp", "sellercentral.amazon.co.jp.evil.example"]
)
def test_a_wrapped_link_to_another_host_gives_no_order(host: str) -> None:
    link = f"https://c.example/?u={PAGE.replace('sellercentral.amazon.co.jp', host)}"
    page = f"<p>購入者がキャンセルをリクエストしました。</p><a href='{link}'>開く</a>"
    assert read(mails.as_html(mails.mail(f"Amazon <{AMAZON}>", ASKS, page))).order_id is None
