"""Mail bytes in, a message out: every mail that broke a library, and any bytes at all (traps section 2)."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mailwatch import message
from mailwatch.message import LIMIT_HEADER, LIMIT_HEADER_BLOCK, LIMIT_PARTS, LIMIT_TEXT, TextPart

CANCEL_JIS = b"\x1b$B%-%c%s%;%k\x1b(B"
AMAZON = b"From: Amazon <seller-notification@amazon.co.jp>\r\n"


def mail(body: bytes = b"text\r\n", *, head: bytes = b"", top: bytes = AMAZON) -> bytes:
    return top + b"Subject: x\r\nMessage-ID: <1@a.test>\r\n" + head + b"\r\n" + body


def subject(raw: bytes) -> str:
    return message.parse(AMAZON + b"Subject: " + raw + b"\r\n\r\nx\r\n").subject


def text_of(charset: str, body: bytes, encoding: str = "8bit", subtype: str = "plain") -> str:
    head = f"Content-Type: text/{subtype}; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n".encode()
    return message.parse(mail(body, head=head)).text


def encoded(charset: str, data: bytes) -> bytes:
    return b"=?" + charset.encode() + b"?B?" + base64.b64encode(data) + b"?="


# ---- bodies ----


@pytest.mark.parametrize("encoding", ["7bit", "8bit", "binary", "x-unknown"])
@pytest.mark.parametrize("subtype", ["plain", "html"])
def test_a_jis_body_is_decoded_whatever_its_transfer_encoding(encoding: str, subtype: str) -> None:
    assert "キャンセル" in text_of("iso-2022-jp", CANCEL_JIS, encoding, subtype)


def test_a_jis_body_without_any_declaration_is_decoded() -> None:
    assert message.parse(mail(CANCEL_JIS)).text == "キャンセル"


@pytest.mark.parametrize("name", ["iso-2022-jp-ms", "cp50220", "cp50221", "windows-31j", "x-sjis", "x-euc-jp"])
def test_a_body_in_a_charset_python_does_not_know_is_decoded(name: str) -> None:
    data = {"windows-31j": "キャンセル髙①".encode("cp932"), "x-sjis": "キャンセル髙①".encode("cp932")}
    jis = CANCEL_JIS + b"\x1b$B\x7c\x62\x2d\x21\x1b(B"
    euc = "キャンセル".encode("euc_jp") + b"\xfc\xe2\xad\xa1"
    body = euc if name == "x-euc-jp" else data.get(name, jis)
    assert (
        message.parse(mail(body, head=f'Content-Type: text/plain; charset="{name}"\r\n'.encode())).text
        == "キャンセル髙①"
    )


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
def test_a_body_in_a_transfer_encoding_is_decoded(encoding: str) -> None:
    body = base64.encodebytes(CANCEL_JIS) if encoding == "base64" else CANCEL_JIS.replace(b"\x1b", b"=1B")
    assert text_of("iso-2022-jp", body, encoding).strip() == "キャンセル"


def test_a_charset_with_a_nul_in_it_is_no_crash() -> None:
    head = b'Content-Type: text/plain; charset="utf-8\x00"\r\n'
    assert message.parse(mail("キャンセル".encode(), head=head)).text == "キャンセル"


def test_a_charset_in_rfc_2231_form_is_read() -> None:
    head = b"Content-Type: text/plain; charset*=us-ascii'en'iso-2022-jp\r\n"
    assert message.parse(mail(CANCEL_JIS, head=head)).text == "キャンセル"


def test_a_text_part_with_a_name_but_no_disposition_is_body_text() -> None:
    assert message.parse(mail(b"hello", head=b'Content-Type: text/plain; name="x.txt"\r\n')).plain == "hello"


def test_flowed_text_is_unfolded_and_delsp_takes_the_blank_too() -> None:
    head = b"Content-Type: text/plain; charset=utf-8; format=flowed; delsp=yes\r\n"
    body = "キャン \r\nセル 249-1234567- \r\n7654321\r\nend\r\n".encode()
    assert message.parse(mail(body, head=head)).plain.split("\n") == ["キャンセル 249-1234567-7654321", "end", ""]


def test_flowed_text_without_delsp_keeps_the_blank() -> None:
    head = b"Content-Type: text/plain; format=flowed\r\n"
    assert message.parse(mail(b"one \r\ntwo\r\n-- \r\nsig\r\n", head=head)).plain == "one two\n-- \nsig\n"


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_base64_that_was_cut_short_is_read_as_far_as_it_goes_and_named_a_defect(lost: int) -> None:
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n"
    parsed = message.parse(mail(base64.b64encode("キャンセルの依頼".encode())[:-lost], head=head))
    assert parsed.plain.startswith("キャンセルの依")
    assert parsed.defects


def test_a_body_that_no_charset_reads_is_named_a_defect() -> None:
    """Seen red with the `if not clean` lines taken out."""
    head = b"Content-Type: text/plain; charset=utf-8\r\n"
    assert message.parse(mail(b"\x81\x20\xff\x81\x30" * 40, head=head)).defects


def test_a_multipart_without_its_boundary_is_read_as_plain_text() -> None:
    head = b"Content-Type: multipart/mixed; boundary=nowhere\r\n"
    assert "Order 249-1234567-7654321" in message.parse(mail(b"Order 249-1234567-7654321\r\n", head=head)).text


def test_a_multipart_without_any_text_part_is_named_a_defect() -> None:
    body = b"--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\niVBO\r\n--b--\r\n"
    assert message.parse(mail(body, head=b"Content-Type: multipart/mixed; boundary=b\r\n")).defects


def test_plain_and_html_parts_are_both_read_and_attachments_are_not() -> None:
    """Seen red with the question for `attachment` left out."""
    body = (
        b"--b\r\nContent-Type: text/plain\r\n\r\nplain words\r\n"
        b"--b\r\nContent-Type: text/html\r\n\r\n<p>html words\r\n"
        b"--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nsecret\r\n--b--\r\n"
    )
    parsed = message.parse(mail(body, head=b"Content-Type: multipart/mixed; boundary=b\r\n"))
    assert (parsed.plain, parsed.html.text) == ("plain words", "html words")
    assert "secret" not in parsed.text


@pytest.mark.parametrize(
    "disposition", [b"", b"Content-Disposition: inline\r\n", b"Content-Transfer-Encoding: base64\r\n"]
)
def test_the_text_of_an_attached_mail_is_not_the_mails_own(disposition: bytes) -> None:
    """Seen red with `message` read like `multipart`."""
    body = (
        b"--b\r\nContent-Type: text/plain\r\n\r\nouter\r\n--b\r\nContent-Type: message/rfc822\r\n"
        + disposition
        + b"\r\nSubject: inner\r\n\r\n249-1234567-7654321\r\n--b--\r\n"
    )
    parsed = message.parse(mail(body, head=b"Content-Type: multipart/mixed; boundary=b\r\n"))
    assert parsed.text == "outer"


def test_control_characters_do_not_reach_the_text() -> None:
    """Seen red with `_clean` and the field's own cleaning left out."""
    parsed = message.parse(b"Subject: a\x07b\x1b[31mc =?utf-8?q?=0Ad=00?=\r\n" + AMAZON + b"\r\nx\x00y\x1b[2Jz\x08\r\n")
    for text in (parsed.subject, parsed.text.replace("\n", "")):
        assert text.isprintable()


# ---- headers ----


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (encoded("UTF-8", "注文の".encode()) + b"\r\n " + encoded("UTF-8", "キャンセル".encode()), "注文のキャンセル"),
        (encoded("utf-8", "キャ".encode()[:4]) + b"\r\n\t" + encoded("UTF-8", "キャ".encode()[4:]), "キャ"),
        (encoded("shift_jis", b"\x83\x4c\x83") + b" " + encoded("shift_jis", b"\x83\x83\x93"), "キャン"),
        (encoded("euc-jp", b"\xa5\xad\xa5") + b" " + encoded("euc-jp", b"\xe3"), "キャ"),
        (encoded("iso-2022-jp", CANCEL_JIS) + b" " + encoded("iso-2022-jp", CANCEL_JIS), "キャンセルキャンセル"),
        (encoded("iso-2022-jp", b"\x1b$B%-%c") + b" " + encoded("iso-2022-jp", b"%s\x1b(B"), "キャン"),
        (encoded("iso-2022-jp", b"\x1b$B\x2d\x21\x2d\x6a\x7c\x62\x1b(B"), "①㈱髙"),
        (encoded("shift_jis", b"\x87\x40\x87\x8a\xfb\xfc"), "①㈱髙"),
        (encoded("x-unknown", "キャンセル".encode()), "キャンセル"),
        (b"=?utf-8*ja?q?=E3=82=AD_x?=", "キ x"),
        (encoded("utf-8", "キ".encode()) + b" plain " + encoded("utf-8", "ャ".encode()), "キ plain ャ"),
        (b"Re: " + encoded("utf-8", "キ".encode()) + b" =?utf-8?Q?=E3=83=A3?=", "Re: キャ"),
        (encoded("utf-8", "キ".encode()) + encoded("utf-8", "ャ".encode()), "キャ"),
        (b"=?utf-8?B?44Kt44Oj44Oz44K744Or?= (249)", "キャンセル (249)"),
        ("キャンセル".encode(), "キャンセル"),
        (CANCEL_JIS, "キャンセル"),
        ("キャンセル髙①".encode("cp932"), "キャンセル髙①"),
        ("注文のキャンセル".encode("euc_jp"), "注文のキャンセル"),
        (b"\x1b$B%-%c\x1b(B\r\n \x1b$B%s%;%k\x1b(B", "キャンセル"),
        (encoded("utf-7", b"+MK0-"), "+MK0-"),
        (encoded("zlib", b"plain"), "plain"),
        (b"=?utf-8?B?44Kt44Oj", "キャ"),
        (b"=?utf-8?X?a?=", "=?utf-8?X?a?="),
        (b"a\r\n b\r\n\tc", "a b c"),
        (b"", ""),
    ],
)
def test_a_subject_is_read_as_it_was_meant(raw: bytes, expected: str) -> None:
    assert subject(raw) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"seller-notification@amazon.co.jp", "seller-notification@amazon.co.jp"),
        (b"Amazon.co.jp <Seller-Notification@AMAZON.CO.JP>", "Seller-Notification@amazon.co.jp"),
        (
            encoded("utf-8", "アマゾン".encode()) + b"\r\n <a1+b@marketplace.amazon.co.jp>",
            "a1+b@marketplace.amazon.co.jp",
        ),
        (b'"a@b.example, c" <x@amazon.co.jp>', "x@amazon.co.jp"),
        (b"order-update@amazon.co.jp <bad@evil.example>", "bad@evil.example"),
        (b"<a@amazon.co.jp> <bad@evil.example>", None),
        (b"a@amazon.co.jp, bad@evil.example", None),
        (b"a@amazon.co.jp@evil.example", None),
        (b"<a@amazon.co.jp", None),
        (b'"', None),
        (b"<", None),
        (b"a@[", None),
        (b"a@", None),
        (b"@amazon.co.jp", None),
        (b"x", None),
        (b"", None),
        (b"group: a@amazon.co.jp, b@evil.example;", None),
        (b"(" * 900, None),
        (b"a@amazon.co.jp\x00.evil.example", None),
        (b"a@amazon.co.jp evil.example", None),
        ("アマゾン".encode("cp932") + b" <x@amazon.co.jp>", "x@amazon.co.jp"),  # its bytes hold `]` and `}`
        ("出品者向け通知".encode("iso2022_jp") + b" <x@amazon.co.jp>", "x@amazon.co.jp"),
        ("出品者向け通知".encode("euc_jp") + b" <x@amazon.co.jp>", "x@amazon.co.jp"),
    ],
)
def test_a_from_is_one_certain_address_or_none(raw: bytes, expected: str | None) -> None:
    """Seen red with `email.utils.parseaddr` in `_address`, and with raw JIS and CP932 handed on as they are."""
    assert message.parse(b"From: " + raw + b"\r\n\r\nx").address == expected


NAME_PIECES = (
    b"A",
    b"0",
    b" ",
    b".",
    b",",
    b"\\",
    b'"',
    b"&",
    b"(",
    b"=?utf-8?B?44GC?=",
    b"=?utf-8?B?44G?=",
    b"=?x?q?=2C?=",
)


@settings(max_examples=400)
@given(
    st.lists(st.sampled_from(NAME_PIECES), max_size=5).map(b"".join),
    st.lists(st.sampled_from([b"a", b"Z", b"1", b".", b"-", b"_", b"+"]), min_size=1, max_size=4).map(b"".join),
    st.lists(st.sampled_from([b"a", b"Z", b"1", b".", b"-", b"_"]), min_size=1, max_size=4).map(b"".join),
)
@example(b"Amazon ", b"seller-notification", b"amazon.co.jp")
@example(b"=?UTF-8?B?PGJAYz4=?= =?utf-8?q?=22=2C?= ", b"a", b"b.jp")
def test_whatever_is_read_without_mail_parser_is_read_the_same(name: bytes, local: bytes, host: bytes) -> None:
    """Planted faults: an encoded word that is cut short, two dots in the host: red each."""
    line = b" %s<%s@%s>" % (name, local, host)
    if message._PLAIN_ADDRESS.fullmatch(line):
        assert message._address(line) == message._parsed_address(line)


@pytest.mark.parametrize("name", ["Amazon", '"Amazon.co.jp"', "=?utf-8?B?44GC44GE?= =?UTF-8?Q?=E3=81=82?=", "A & B-C"])
def test_the_usual_froms_need_no_mail_parser(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message, "_parsed_address", None)
    assert message._address(f" {name} <Store-News@Amazon.CO.jp>".encode()) == "Store-News@amazon.co.jp"


def test_an_encoded_name_can_not_bring_in_an_address_of_its_own() -> None:
    raw = b"From: =?utf-8?q?order-update=40amazon=2Eco=2Ejp_=3Ca=40amazon=2Eco=2Ejp=3E=2C?= <bad@evil.example>\r\n\r\nx"
    assert message.parse(raw).address in {"bad@evil.example", None}


@pytest.mark.parametrize("name", ["From", "Subject", "Message-ID", "Date", "Content-Type"])
def test_a_field_that_is_there_twice_is_named(name: str) -> None:
    """Seen red with `> 2`."""
    once = f"{name}: text/plain\r\n".encode()
    assert message.parse(once + b"\r\nx").repeated == frozenset()
    assert message.parse(once + b"X: y\r\n" + once.upper() + b"\r\nx").repeated == {name.lower()}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"Wed, 08 Jun 2022 09:12:00 +0900", datetime(2022, 6, 8, 0, 12, tzinfo=UTC)),
        (b"Wed, 08 Jun 2022 09:12:00 JST", datetime(2022, 6, 8, 0, 12, tzinfo=UTC)),
        (b"Wed, 8 Jun 2022 09:12:00 +0900 (JST)", datetime(2022, 6, 8, 0, 12, tzinfo=UTC)),
        (b"Wed, 08 Jun 2022 00:12:00 GMT", datetime(2022, 6, 8, 0, 12, tzinfo=UTC)),
        (b"Wed, 08 Jun 2022 00:12:00 -0000", datetime(2022, 6, 8, 0, 12, tzinfo=UTC)),
        (b"Fri, 31 Dec 9999 23:59:59 -1200", None),
        (b"Wed, 08 Jun 2022 09:12:00 +99999999", None),
        (b"yesterday", None),
        (b"", None),
        (b"\xff\x00", None),
    ],
)
def test_a_date_is_aware_utc_or_none(raw: bytes, expected: datetime | None) -> None:
    assert message.parse(b"Date: " + raw + b"\r\n\r\nx").date == expected


def test_a_mails_time_is_the_topmost_received_before_its_own_date() -> None:
    head = (
        b"Received: from a by b; Wed, 08 Jun 2022 09:12:00 +0900\r\n"
        b"Received: from c by a; Wed, 08 Jun 2022 08:00:00 +0900\r\n"
        b"Date: Wed, 01 Jun 2022 00:00:00 +0900\r\n"
    )
    fields = message.header_fields(head)
    assert message.time_of(fields) == datetime(2022, 6, 8, 0, 12, tzinfo=UTC)
    assert message.time_of(fields[2:]) == datetime(2022, 5, 31, 15, 0, tzinfo=UTC)
    assert message.time_of(()) is None


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n", b"\r"])
def test_any_kind_of_line_end_ends_the_header(line_end: bytes) -> None:
    raw = line_end.join([b"From: a@amazon.co.jp", b"Subject: one", b" two", b"", b"body"])
    parsed = message.parse(raw)
    assert (parsed.subject, parsed.plain.strip()) == ("one two", "body")


ODD_LINES = [
    b"X-Broken no colon here",
    b">From x Mon Jun  6 00:00:00 2022",
    b"From x Mon Jun  6 00:00:00 2022",
    b": no name",
    b"---",
    "日本語の行".encode(),
    b"\x00",
]


@pytest.mark.parametrize("odd", ODD_LINES)
@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_a_line_that_is_no_field_ends_no_header(odd: bytes, at: int) -> None:
    """Near mysociety/alaveteli#1547. Seen red with `email.message_from_bytes` in `parse`, which ends the header there:
    `run`, for which the server splits the mail, read it, and `scan` did not."""
    head = [AMAZON.strip(), b"Subject: x", b"Content-Transfer-Encoding: base64"]
    head.insert(at, odd)
    header, body = b"\r\n".join(head), base64.encodebytes("キャンセル".encode())
    whole = message.parse(header + b"\r\n\r\n" + body)
    fetched = message.assemble(header, [TextPart(b"Content-Type: text/plain", body)])
    for read in (whole, fetched):
        assert (read.address, read.subject, read.plain.strip()) == (
            "seller-notification@amazon.co.jp",
            "x",
            "キャンセル",
        )


@pytest.mark.parametrize("above", [b"\r\n", b"\n\n", b"\xef\xbb\xbf", b"From x Mon Jun 6\r\n"])
def test_what_stands_above_the_header_is_no_part_of_it(above: bytes) -> None:
    assert message.parse(above + mail("キャンセル".encode())).address == "seller-notification@amazon.co.jp"


@pytest.mark.parametrize("end", [b"\r\r\n", b"\n", b"\r"])
def test_a_multipart_with_odd_line_ends_is_read(end: bytes) -> None:
    body = b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello\r\n--b--\r\n"
    raw = mail(body, head=b"Content-Type: multipart/mixed; boundary=b\r\n")
    parsed = message.parse(raw.replace(b"\r\n", end))
    assert (parsed.plain.strip(), parsed.subject) == ("hello", "x")


@pytest.mark.parametrize(
    "declared",
    [
        b"multipart/mixed; boundary=nowhere",
        b"multipart/mixed",
        b"multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64",
        b'multipart/mixed; boundary="b"\r\nContent-Transfer-Encoding: quoted-printable',
    ],
)
def test_a_container_whose_parts_are_hidden_is_taken_apart(declared: bytes) -> None:
    body = b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>hello</p>\r\n--b--\r\n"
    if b"base64" in declared:
        body = base64.encodebytes(body)
    assert message.parse(mail(body, head=b"Content-Type: " + declared + b"\r\n")).html.text == "hello"


def test_a_part_without_a_header_is_text() -> None:
    for part in (b"--b\r\n\r\nhello world\r\n--b--\r\n", b"--b\r\nhello world\r\n--b--\r\n"):
        parsed = message.parse(mail(part, head=b"Content-Type: multipart/mixed; boundary=b\r\n"))
        assert parsed.plain.strip() == "hello world"


# ---- attachments ----


def with_attachments(*parts: bytes) -> bytes:
    body = (
        b"".join(b"--b\r\n" + part + b"\r\n" for part in (b"Content-Type: text/plain\r\n\r\nnote", *parts))
        + b"--b--\r\n"
    )
    return mail(body, head=b"Content-Type: multipart/mixed; boundary=b\r\n")


def attachment(kind: bytes, body: bytes) -> bytes:
    return b"Content-Type: " + kind + b"\r\nContent-Disposition: attachment; filename=x\r\n\r\n" + body


def test_attached_texts_and_mails_are_kept_apart_until_they_are_asked_for() -> None:
    parsed = message.parse(
        with_attachments(
            attachment(b"text/plain", b"one"),
            attachment(b"image/png", b"\x89PNG"),
            attachment(b"text/csv", b"order-id,reason"),
            attachment(b"application/pdf", b"%PDF"),
            attachment(b"text/html", b"<p>two</p>"),
            attachment(b"message/rfc822", AMAZON + b"Subject: inner\r\n\r\nthree\r\n"),
            attachment(b"text/plain", base64.encodebytes(AMAZON + b"Subject: as text\r\n\r\nfour\r\n")),
        )
    )
    assert parsed.text.strip() == "note"
    texts, inner, as_text = message.read_attached(parsed)
    assert (texts.plain.strip(), texts.html.text) == ("one", "two")
    assert (inner.subject, inner.plain.strip()) == ("inner", "three")
    assert (as_text.subject, as_text.plain.strip()) == ("as text", "four")


def test_at_most_ten_attachments_of_256_kb_are_kept() -> None:
    """Seen red with either limit taken out."""
    parsed = message.parse(with_attachments(*[attachment(b"text/plain", b"x" * (LIMIT_TEXT + 10))] * 12))
    assert [len(each.part.data) for each in parsed.attached] == [LIMIT_TEXT] * message.LIMIT_ATTACHED


def test_the_attachments_change_no_content_key() -> None:
    """Where one server gives them and another does not, a copy stays a copy."""
    raw = with_attachments(attachment(b"text/plain", b"one"))
    header = message.header_block(raw)
    fetched = message.assemble(header, [TextPart(b"Content-Type: text/plain", b"note")])
    assert message.parse(raw).content_key() == fetched.content_key()


# ---- what is still encoded ----


@pytest.mark.parametrize(
    ("head", "body"),
    [
        (b"", b"=41=42=43 x"),
        (b"", (b"\x81\x82\x83".hex() * 12).encode()[:72] + b"\r\n" + b"0123456789abcdef" * 4 + b"\r\n" + b"f" * 64),
        (b"X-Y: z\r\nContent-Type: text/html\r\n", b"A" * 76 + b"\r\n" + b"B" * 76 + b"\r\n" + b"C" * 76 + b"\r\n"),
    ],
)
def test_a_text_that_still_looks_encoded_is_named_a_defect(head: bytes, body: bytes) -> None:
    assert message.STILL_ENCODED in message.parse(mail(body, head=head)).defects


def test_a_subject_that_still_looks_encoded_or_was_lost_is_named_a_defect() -> None:
    raw = AMAZON + b"Subject: %s\r\n\r\nx\r\n"
    assert message.STILL_ENCODED in message.parse(raw % b"?utf-8?B?44Kt44Oj?=").defects
    assert message.parse(raw % b"=?utf-8?B?/////w==?=").defects
    assert not message.parse(raw % b"=?utf-8?B?44Kt44Oj?=").defects


# ---- copies ----


def test_a_copy_in_another_folder_has_the_same_content_key_and_another_mail_has_not() -> None:
    """Seen red with the Message-ID alone as the key."""
    first = message.parse(mail(b"one two\r\n")).content_key()
    again = message.parse(b"Received: by x; 1\r\nDelivered-To: y\r\n" + mail(b"one two\n")).content_key()
    assert first == again
    assert first != message.parse(mail(b"one three\r\n")).content_key()
    assert first != message.parse(mail(b"one two\r\n", head=b"Date: Wed, 08 Jun 2022 00:12:00 GMT\r\n")).content_key()


def test_parts_fetched_on_their_own_give_the_same_message_as_the_whole_mail() -> None:
    head = AMAZON + b"Subject: x\r\nContent-Type: multipart/alternative; boundary=b\r\n"
    plain, html = b"Content-Type: text/plain; charset=iso-2022-jp", b"Content-Type: text/html; charset=utf-8"
    page = "<pre style='white-space:-o-pre-wrap'>キャンセル</pre>".encode()
    whole = (
        head
        + b"\r\n--b\r\n"
        + plain
        + b"\r\n\r\n"
        + CANCEL_JIS
        + b"\r\n--b\r\n"
        + html
        + b"\r\n\r\n"
        + page
        + b"\r\n--b--\r\n"
    )
    parsed, assembled = (
        message.parse(whole),
        message.assemble(head, [TextPart(plain, CANCEL_JIS), TextPart(html, page)]),
    )
    assert assembled == parsed
    assert assembled.content_key() == parsed.content_key()


# ---- bombs: what comes out is bounded and says so; never a time is asserted ----


def nested(depth: int) -> bytes:
    opening = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(depth))
    return AMAZON + opening + b"Content-Type: text/plain\r\n\r\ninner\r\n"


@pytest.mark.parametrize(
    "bomb",
    [
        nested(1000),
        AMAZON + b"Content-Type: message/rfc822\r\n\r\n" * 3000,
        AMAZON + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 100_000,
        AMAZON + b"Subject: " + b"=?utf-8?q?a?= " * 40_000 + b"\r\n\r\nx",
        AMAZON + b"X: y\r\n" * 30_000 + b"\r\nx",
    ],
    ids=["depth", "attached", "parts", "encoded-words", "header-block"],
)
def test_a_bomb_is_refused_before_it_is_parsed_and_named_a_defect(bomb: bytes) -> None:
    """Seen red with each limit taken out: RecursionError, or no defect."""
    parsed = message.parse(bomb)
    assert parsed.defects
    assert parsed.address == "seller-notification@amazon.co.jp"


def test_as_many_levels_as_the_limit_allows_are_read() -> None:
    assert message.parse(nested(message.LIMIT_DEPTH)).text.strip() == "inner"


def test_nested_parts_that_share_one_boundary_are_no_crash() -> None:
    opening = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" * 40
    message.parse(AMAZON + opening + b"\r\ninner\r\n")


def test_an_attached_mail_around_a_multipart_without_boundary_is_no_crash() -> None:
    message.parse(
        AMAZON + b"Content-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\nnone\r\n"
    )


def test_one_long_header_is_cut_and_the_others_are_read() -> None:
    """Seen red with LIMIT_HEADER not applied."""
    parsed = message.parse(b"Subject: " + b"=?utf-8?q?a?= " * 3000 + b"\r\n" + AMAZON + b"\r\nx")
    assert len(parsed.subject) <= LIMIT_HEADER
    assert all(len(field.raw) <= LIMIT_HEADER for field in parsed.fields)
    assert parsed.address == "seller-notification@amazon.co.jp"


def test_more_text_parts_than_the_limit_are_not_read() -> None:
    """Seen red with `islice` taken out."""
    body = b"".join(b"--b\r\n\r\npart%d\r\n" % n for n in range(LIMIT_PARTS + 50)) + b"--b--\r\n"
    parsed = message.parse(mail(body, head=b"Content-Type: multipart/mixed; boundary=b\r\n"))
    assert parsed.plain.count("part") == LIMIT_PARTS


def test_more_text_than_the_limit_is_not_read() -> None:
    """Seen red with the cut of `_message` taken out."""
    parsed = message.parse(mail(b"x" * (LIMIT_TEXT + 10)))
    assert len(parsed.plain) == LIMIT_TEXT


def test_a_cut_text_is_not_a_defect() -> None:
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
    assert message.parse(mail("あ".encode() * 100_000, head=head)).defects == ()


@pytest.mark.parametrize(
    "field",
    [
        b"Content-Type: text/plain" + b"; a=b" * 3000,
        b"Content-Type: text/plain; charset" + b"*0=x" * 3000,
        b"Content-Type: ;;;=;;",
        b"Content-Type: text/plain; charset*1*=x; charset*0=''",
        b"Content-Disposition: " + b'"' * 3000,
        b"Message-ID: <>",
        b"Content-Transfer-Encoding: \xff\x00",
        b"To: " + b"(" * 2000,
        b"From: " + b"(" * 2000,
        b"Date: " + b"(" * 2000,
    ],
)
def test_a_crafted_field_is_no_crash(field: bytes) -> None:
    assert message.parse(field + b"\r\nSubject: still read\r\n\r\nbody\r\n").subject == "still read"


PIECES = st.sampled_from(
    [
        *(
            b"From: ",
            b"Subject: ",
            b"Date: ",
            b"Content-Type: ",
            b"Content-Transfer-Encoding: ",
            b"\r\n",
            b"\n",
            b"\r",
            b"\r\n\r\n",
        ),
        *(
            b"multipart/mixed; boundary=b",
            b"message/rfc822",
            b"text/html; charset=",
            b"text/plain",
            b"iso-2022-jp",
            b"utf-8\x00",
        ),
        *(
            b"base64",
            b"quoted-printable",
            b"--b",
            b"--b--",
            b"=?utf-8?B?",
            b"=?iso-2022-jp?q?",
            b"?=",
            b"=1B",
            b"\x1b$B",
            b"%-%c",
        ),
        *(
            b"\x00",
            b"\xff",
            b"<",
            b">",
            b"@amazon.co.jp",
            b"(",
            b'"',
            b";",
            b"charset*0*=",
            b"format=flowed",
            b" ",
            b"\t",
            b"249-1234567-",
        ),
    ]
)
ANY_MAIL = st.one_of(st.binary(max_size=400), st.lists(PIECES, max_size=40).map(b"".join))


@given(ANY_MAIL)
@settings(max_examples=250)
def test_any_bytes_give_a_message_within_the_limits(raw: bytes) -> None:
    parsed = message.parse(raw)
    assert len(message.header_block(raw)) <= 2 * LIMIT_HEADER_BLOCK
    for text in (parsed.subject, parsed.display_name, parsed.text, parsed.message_id or "", parsed.address or ""):
        text.encode("utf-8")
        assert len(text) <= 4 * len(raw)
    assert parsed.date is None or parsed.date.tzinfo is UTC
    assert len(parsed.content_key()) == 32


@given(ANY_MAIL, st.lists(st.tuples(ANY_MAIL, ANY_MAIL), max_size=3))
@settings(max_examples=80)
def test_any_fetched_pieces_give_a_message(header: bytes, parts: list[tuple[bytes, bytes]]) -> None:
    message.assemble(header, [TextPart(mime, body) for mime, body in parts]).text.encode("utf-8")


@given(st.text(st.characters(min_codepoint=0x3041, max_codepoint=0x30FE), min_size=1, max_size=30), st.data())
@settings(max_examples=80)
def test_a_subject_cut_anywhere_into_encoded_words_is_read_whole(text: str, data: st.DataObject) -> None:
    """Seen red with each word decoded on its own."""
    charset, codec = data.draw(st.sampled_from([("UTF-8", "utf-8"), ("Shift_JIS", "cp932"), ("EUC-JP", "euc_jp")]))
    raw = text.encode(codec, "ignore")
    cut = data.draw(st.integers(0, len(raw)))
    assert subject(encoded(charset, raw[:cut]) + b"\r\n " + encoded(charset, raw[cut:])) == raw.decode(codec)


def test_a_folded_line_of_blanks_does_not_end_the_header() -> None:
    """RFC 5322 section 4.2 (obs-FWS). Seen red with a header that ended at the first line without a letter."""
    head = b"Subject: \r\n \r\n =?utf-8?B?44Kt44Oj44Oz44K744Or?=\r\nFrom: Amazon <seller-notification@amazon.co.jp>"
    whole = message.parse(head + b"\r\n\r\ntext")
    assert (whole.subject, whole.address) == ("キャンセル", "seller-notification@amazon.co.jp")
    assert message.assemble(head, [message.TextPart(b"Content-Type: text/plain", b"text")]).subject == whole.subject


@pytest.mark.parametrize("word", [b"=?utf-8?B?abcde?=", b"=?utf-8?B?44GT44KT44Gr44Gh44Gvz?="])
def test_a_from_that_breaks_the_address_parser_is_no_address_and_no_crash(word: bytes) -> None:
    """Every mail's From is read, so one spam mail with a cut base64 word would stop its folder. Seen red so."""
    fields = message.header_fields(b"From: " + word + b" <news@spam.example>")
    assert message.sender(fields)[1] in {None, "news@spam.example"}


@pytest.mark.parametrize(
    "body",
    [
        b"<html><p>cancel</p></html>",
        b"Content-Type: text/html\n\n<p>cancel</p>",
        b"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\nY2FuY2Vs",
        b"PGh0bWw+PHA+Y2FuY2VsPC9wPjwvaHRtbD4=",
    ],
)
def test_a_multipart_whose_boundary_never_occurs_is_read_as_one_part(body: bytes) -> None:
    """Seen red for each: tags in the plain text, or a text still encoded."""
    head = b'From: a@amazon.co.jp\nContent-Type: multipart/alternative; boundary="b"\n'
    encoded = b"Content-Transfer-Encoding: base64\n" if body.startswith(b"PGh") else b""
    read = message.parse(head + encoded + b"\n" + body)
    assert (read.text.strip(), read.defects) == ("cancel", ())
