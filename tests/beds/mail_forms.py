"""Synthetic mails in the forms that IMAP servers show differently: encodings, parts, headers and sizes."""

from __future__ import annotations

import base64
import quopri
import re
from collections.abc import Callable

import mails

_BASE64 = b"Content-Transfer-Encoding: base64"


def _parts(mail: bytes) -> tuple[bytes, bytes]:
    """The header and the decoded text of a mail of `mails`."""
    header, _, body = mail.partition(b"\r\n\r\n")
    return header, base64.b64decode(body)


def _quoted_printable(mail: bytes) -> bytes:
    header, text = _parts(mail)
    body = quopri.encodestring(text).replace(b"\n", b"\r\n")
    return header.replace(_BASE64, b"Content-Transfer-Encoding: quoted-printable") + b"\r\n\r\n" + body


def _eight_bit(mail: bytes) -> bytes:
    header, text = _parts(mail)
    header = header.replace(_BASE64, b"Content-Transfer-Encoding: 8bit")
    return header + b"\r\n\r\n" + text.replace(b"\n", b"\r\n")


def _iso_2022_jp(mail: bytes) -> bytes:
    header, text = _parts(mail)
    header = header.replace(_BASE64, b"Content-Transfer-Encoding: 7bit").replace(b'"utf-8"', b"ISO-2022-JP")
    return header + b"\r\n\r\n" + text.decode().encode("iso-2022-jp", "replace").replace(b"\n", b"\r\n")


def _alternative(mail: bytes, kind: bytes = b"alternative", more: bytes = b"") -> bytes:
    header, _, body = mail.partition(b"\r\n\r\n")
    own = b"\r\n".join(re.findall(rb"(?m)^Content-[^\r]*", header))
    head = re.sub(rb"(?m)^Content-[^\r]*(?:\r\n)?", b"", header).rstrip()
    html = own.replace(b"text/plain", b"text/html")
    return (
        head
        + b'\r\nContent-Type: multipart/%s; boundary="=_1"\r\n\r\nnot shown\r\n' % kind
        + b"--=_1\r\n%s\r\n\r\n%s\r\n" % (own, body)
        + (more or b"--=_1\r\n%s\r\n\r\n%s\r\n" % (html, body))
        + b"--=_1--\r\n"
    )


def _with_attachment(mail: bytes) -> bytes:
    attached = (
        b"--=_1\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n%s\r\n" % base64.encodebytes(bytes(900)).replace(b"\n", b"\r\n")
    )
    return _alternative(mail, b"mixed", attached)


def _big(mail: bytes) -> bytes:
    """Over what is asked for of a text at most: its end is spare."""
    header, text = _parts(mail)
    body = base64.encodebytes(text + b"-" * 210_000).replace(b"\n", b"\r\n")
    return header + b"\r\n\r\n" + body


def _big_header(mail: bytes) -> bytes:
    """Over what is asked for of a headline at most."""
    return b"Reply-To: " + b",\r\n ".join(b"person%d@example.org" % n for n in range(700)) + b"\r\n" + mail


def _raw_subject(mail: bytes) -> bytes:
    """A Japanese subject without encoded words."""
    return re.sub(rb"(?m)^Subject:[^\r]*(?:\r\n [^\r]*)*", "Subject: 注文のキャンセルリクエスト".encode(), mail)


def _by_its_text(order: str) -> bytes:
    """Neither its subject nor the first half of its text says what it is about."""
    text = (
        "出品者様\n\nいつも Amazon をご利用いただきありがとうございます。購入者からご連絡がありました。\n"
        "内容をご確認のうえ、出荷前にご対応ください。詳しくはセラーセントラルの注文管理をご覧ください。\n\n"
        f"購入者がこの注文のキャンセルをリクエストしました。\n注文番号: {order}\n"
    )
    return mails.mail("Amazon <seller-notification@amazon.co.jp>", "注文に関するお知らせ", text)


FORMS: dict[str, Callable[[str], bytes]] = {
    "new route": mails.by_notification,
    "old route": mails.by_message,
    "wish": mails.wish,
    "by its text": _by_its_text,
    "by its text, 8bit": lambda order: _eight_bit(_by_its_text(order)),
    "by its text, alternative": lambda order: _alternative(_by_its_text(order)),
    "HTML": lambda order: mails.as_html(mails.by_notification(order)),
    "alternative": lambda order: _alternative(mails.by_notification(order)),
    "alternative, old route": lambda order: _alternative(mails.by_message(order)),
    "attachment": lambda order: _with_attachment(mails.by_message(order)),
    "quoted-printable": lambda order: _quoted_printable(mails.by_notification(order)),
    "8bit": lambda order: _eight_bit(mails.by_message(order)),
    "ISO-2022-JP": lambda order: _iso_2022_jp(mails.by_notification(order)),
    "raw subject": lambda order: _raw_subject(mails.by_notification(order)),
    "comment in From": lambda order: mails.with_comment(mails.by_notification(order)),
    "header over the limit": lambda order: _big_header(mails.by_message(order)),
    "text over the limit": lambda order: _big(mails.by_notification(order)),
}
OTHERS: tuple[Callable[[], bytes], ...] = (
    lambda: b"From: Shop <news@example.org>\r\nSubject: new\r\n\r\nhello\r\n",
    lambda: b"From: Shop <news@example.org>\r\n\r\n",
    lambda: mails.neighbour(0),
    lambda: _alternative(mails.neighbour(5)),
    lambda: mails.neighbour(6),
    lambda: mails.neighbour(8),
)
