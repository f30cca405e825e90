"""Synthetic mails for tests: both routes, wishes and neighbours. Not Amazon's texts; nobody has published those."""

from __future__ import annotations

import base64
import itertools
import socket
from email.header import Header

AUTHSERV_ID = "mx.example.test"
# The provider's own host, and the host that delivers by LMTP into the test's Dovecot.
RECEIVED_BY = ("example.test", socket.gethostname())
_number = itertools.count(1)


def order_id(number: int, prefix: int = 503) -> str:
    """A fictitious order ID."""
    return f"{prefix}-{1000000 + number:07d}-{2000000 + number * 7:07d}"


def mail(sender: str, subject: str, text: str, *, verified: bool = True, charset: str = "utf-8") -> bytes:
    """One plain-text mail, base64, with the provider's own Received and Authentication-Results."""
    domain = sender.rpartition("@")[2].rstrip(">")
    number = next(_number)
    trace = [
        f"Received: from smtp-out.example.com by {AUTHSERV_ID}; Wed, 08 Jun 2022 09:12:{number % 60:02d} +0900",
        *([f"Authentication-Results: {AUTHSERV_ID}; dmarc=pass header.from={domain}"] if verified else []),
    ]
    lines = [
        *trace,
        f"From: {_encoded(sender)}",
        "To: seller@example.test",
        f"Subject: {Header(subject, charset, maxlinelen=70).encode(linesep=chr(13) + chr(10))}",
        f"Date: Wed, 08 Jun 2022 09:12:{number % 60:02d} +0900",
        f"Message-ID: <{number}.{abs(hash(text)) % 10**9}@example.com>",
        "X-Mailwatch-Sample: synthetic",
        "MIME-Version: 1.0",
        f'Content-Type: text/plain; charset="{charset}"',
        "Content-Transfer-Encoding: base64",
        "",
        base64.encodebytes(text.encode(charset)).decode("ascii").replace("\n", "\r\n"),
    ]
    return "\r\n".join(lines).encode("ascii")


def _encoded(sender: str) -> str:
    name, _, address = sender.rpartition(" ")
    return f"{Header(name, 'utf-8').encode()} {address}"


def by_message(order: str, *, verified: bool = True) -> bytes:
    """A request by the old route."""
    text = (
        f"# {order}:\n1 / ステンレス水筒 500ml ホワイト [ASIN: B07ABCDEFG]\n"
        "------------- メッセージはここから -------------\n購入者が注文のキャンセルをリクエストしました。\n"
        "------------- メッセージはここまで -------------\n"
    )
    return mail(
        "Amazon <abcdefghij12345@marketplace.amazon.co.jp>",
        f"注文キャンセルリクエスト(注文: {order})",
        text,
        verified=verified,
    )


def by_notification(order: str, *, verified: bool = True) -> bytes:
    """A request by the new route."""
    text = (
        f"出品者様\n\n購入者がこの注文のキャンセルをリクエストしました。\n\n注文番号: {order}\n"
        "商品名: ステンレス水筒 500ml ホワイト\nSKU: BOTTLE-W-500\n数量: 1\nキャンセルの理由: 誤って注文した\n"
    )
    return mail(
        "Amazon <seller-notification@amazon.co.jp>", "注文のキャンセルリクエストが届きました", text, verified=verified
    )


def as_html(plain: bytes) -> bytes:
    """The same mail with its text as HTML."""
    return plain.replace(b"text/plain", b"text/html")


def with_comment(plain: bytes) -> bytes:
    """The same mail with a comment in From: one that mail-parser reads, as it does all but the plainest."""
    return plain.replace(b" <", b" (x) <", 1)


def wish(order: str, words: str = "すみません、キャンセルできますか。", *, verified: bool = True) -> bytes:
    """A buyer who asks in an ordinary message."""
    text = (
        f"# {order}:\n1 / 木製コースター 4枚組 [ASIN: B07ZYXWVUT]\n"
        f"------------- メッセージはここから -------------\n{words}\n------------- メッセージはここまで -------------\n"
    )
    return mail(
        "田中 <zyxwvutsrq98765@marketplace.amazon.co.jp>",
        f"商品についてのお問い合わせ(注文: {order})",
        text,
        verified=verified,
    )


_NEIGHBOURS = (
    (
        "Amazon <seller-notification@amazon.co.jp>",
        "注文確定: NC-{n} ノイズキャンセリング ヘッドホン",
        "注文番号: {order}\n出荷予定日: 2022/06/10\n",
    ),
    (
        "Amazon <seller-notification@amazon.co.jp>",
        "返品リクエストが承認されました",
        "注文番号: {order}\n返品の理由: サイズが合わない\n",
    ),
    ("Amazon <payments-notification@amazon.co.jp>", "お支払い処理が完了しました", "振込額 {n} 円\n"),
    ("Amazon.co.jp <auto-confirm@amazon.co.jp>", "ご注文の確認", "注文番号 {order}\nキャンセルは注文履歴から。\n"),
    (
        "Amazon Pay <auto-communicator@amazonpay.amazon.co.jp>",
        "注文のキャンセル、返金、返品のリクエスト:P03-1234567-{n:07d}",
        "P03\n",
    ),
    (
        "楽天市場 <order@rakuten.example>",
        "【楽天市場】注文キャンセルのお知らせ",
        "ご注文 {n} のキャンセルを承りました。\n",
    ),
    (
        "佐藤 <qwertyuiop54321@marketplace.amazon.co.jp>",
        "配送について(注文: {order})",
        "------------- メッセージはここから -------------\nいつ届きますか。\n"
        "------------- メッセージはここまで -------------\n",
    ),
    ("友人 <friend@example.org>", "週末の件", "土曜日で大丈夫です。{n}\n"),
    ("Newsletter <news@example.net>", "新製品: ノイズキャンセリングイヤホン", "今だけ {n} 円\n"),
    (
        "Amazon <amazon@amazon-co.jp.example>",
        "【重要】ご注文のキャンセル",
        "こちら http://evil.example/{n}\n注文番号 {order}\n",
    ),
)


def neighbour(number: int) -> bytes:
    """A mail that must not raise anything, of one of ten sorts."""
    sender, subject, text = _NEIGHBOURS[number % len(_NEIGHBOURS)]
    order = order_id(900000 + number, 249)
    return mail(sender, subject.format(n=number, order=order), text.format(n=number, order=order))
