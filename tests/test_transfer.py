"""Base64 and quoted-printable that is lost, decorated, misspelt or contradicted: read by what the body shows."""

from __future__ import annotations

import base64
import binascii
import quopri

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mailwatch import transfer

TEXT = "購入者がこの注文のキャンセルをリクエストしました。\r\n注文番号: 249-1234567-7654321\r\n数量: 1\r\n"
ENGLISH = (
    "The buyer has requested to cancel this order. If you have not confirmed the shipment, cancel it in Seller Central."
    "\r\nOrder ID: 249-1234567-7654321\r\nhttps://sellercentral.amazon.co.jp/orders-v3/order/249-1234567-7654321?a=b\r\n"
)
DECLARED = [
    *("", "7bit", "8bit", "binary", "none", "utf-8", "x-unknown"),
    *("{};", "'{}'", '"{}"', "<{}>", "{}.", "{} (comment)", "=?utf-8?Q?{}?=", "x-{}", "{}; charset=utf-8"),
    *("base-64", "b64", "BASE 64", "base46", "quoted_printable", "quotedprintable", "quoted printable", "qp"),
]


def encoded(text: str, encoding: str, codec: str = "utf-8") -> bytes:
    data = text.encode(codec)
    body = base64.encodebytes(data) if encoding == "base64" else quopri.encodestring(data)
    return body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def padded(text: str, size: int, between: bytes) -> bytes:
    data = text.encode()
    return between.join(base64.b64encode(data[at : at + size]) for at in range(0, len(data), size))


def read(body: bytes, declared: str, codec: str = "utf-8") -> str:
    return transfer.decode(body, declared, codec).data.decode(codec)


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
@pytest.mark.parametrize("codec", ["utf-8", "iso-2022-jp", "shift_jis", "euc-jp"])
def test_a_body_is_decoded_by_what_it_is(encoding: str, codec: str) -> None:
    """emersion/go-message#122. Seen red with the name alone deciding, as before."""
    body = encoded(TEXT, encoding, codec)
    for declared in DECLARED:
        assert read(body, declared.replace("{}", encoding), codec).split() == TEXT.split(), declared


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable"])
@pytest.mark.parametrize("declared", ["", "8bit", "base64", "quoted-printable"])
def test_an_english_body_is_decoded_by_what_it_is(encoding: str, declared: str) -> None:
    assert read(encoded(ENGLISH, encoding), declared).split() == ENGLISH.split()


@pytest.mark.parametrize("text", [TEXT, ENGLISH, "キャンセル", "cancel", "OK", "a=b\r\nc=d\r\n"])
@pytest.mark.parametrize("declared", ["", "7bit", "8bit"])
def test_a_body_that_is_not_encoded_stays_as_it_is(text: str, declared: str) -> None:
    """Seen red with any line of letters taken for base64."""
    assert transfer.decode(text.encode(), declared, "utf-8") == (text.encode(), False)


@pytest.mark.parametrize("text", [TEXT, ENGLISH])
def test_plain_text_that_is_called_base64_is_still_text(text: str) -> None:
    assert read(text.encode(), "base64").split() == text.split()


@pytest.mark.parametrize(
    "text",
    [
        "https://shop.example/?a=12&b=34&id=503-7000111-8000222&token=AbCdEf==\r\n",
        "Hello\r\nworld\r\nunsubscribe\r\nconfirmation\r\nsupercalifragilisticexpialidocious\r\n",
        "-----BEGIN PGP SIGNATURE-----\r\n"
        + "iQEzBAABCAAdFiEEabcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUV\r\n" * 2,
    ],
)
def test_what_only_looks_like_an_encoding_stays_as_it_is(text: str) -> None:
    assert transfer.decode(text.encode(), "").data == text.encode()


@pytest.mark.parametrize("size", [19, 20, 40, 55, 56])
@pytest.mark.parametrize("between", [b"\r\n", b"", b" ", b"\r\n\r\n"])
@pytest.mark.parametrize("declared", ["base64", "8bit"])
def test_base64_in_padded_pieces_is_read_to_its_end(size: int, between: bytes, declared: str) -> None:
    """python/cpython#137687. Seen red with the pieces joined before decoding: what follows the first is shifted."""
    assert transfer.decode(padded(TEXT, size, between), declared).data == TEXT.encode()


@pytest.mark.parametrize(
    ("above", "below"),
    [
        (b"[EXTERNAL] be careful\r\n\r\n", b""),
        (b"CAUTION\r\n\r\n", b""),
        (b"", b"\r\n-- \r\nThis mail was scanned for viruses.\r\n"),
        (b"", b"_______________________________________________\r\nlist mailing list\r\n"),
    ],
)
@pytest.mark.parametrize("declared", ["base64", ""])
def test_the_plain_lines_that_a_gateway_put_round_base64_do_not_shift_it(
    above: bytes, below: bytes, declared: str
) -> None:
    found = read(above + encoded(TEXT, "base64") + below, declared)
    assert TEXT.strip() in found
    assert all(line.decode() in found for line in (above + below).split(b"\r\n"))


def test_what_was_encoded_twice_is_decoded_twice() -> None:
    for first in ("base64", "quoted-printable"):
        once = encoded(TEXT, first).decode()
        for second in ("base64", "quoted-printable"):
            assert read(encoded(once, second), second).split() == TEXT.split(), (first, second)


@pytest.mark.parametrize(("end", "damaged"), [("=\r\n", "= \t\r\n"), ("\r\n", "\r")])
def test_quoted_printable_with_damaged_line_ends_is_read(end: str, damaged: str) -> None:
    """Blanks behind a soft break (RFC 2045 section 6.7, rule 3). Seen red with the standard library alone."""
    body = encoded(TEXT * 2, "quoted-printable").decode().replace(end, damaged).encode()
    for declared in ("quoted-printable", "7bit"):
        assert read(body, declared).split() == (TEXT * 2).split()


def test_uuencoded_text_is_decoded() -> None:
    lines = b"".join(binascii.b2a_uu(TEXT.encode()[at : at + 45]) for at in range(0, len(TEXT.encode()), 45))
    assert read(b"begin 644 x\n" + lines + b"`\nend\n", "x-uuencode") == TEXT
    undeclared = read(b"note\nbegin 644 x\n" + lines + b"`\nend\nbye\n", "7bit")
    assert (undeclared[:5], undeclared[-4:]) == ("note\n", "bye\n")
    assert TEXT in undeclared, "seen red with the declaration alone deciding"


def test_one_short_line_that_holds_a_long_number_is_decoded_in_any_charset() -> None:
    """Seen red with UTF-8 and JIS alone believed of a short body."""
    text = "注文番号: 503-1234567-7654321\r\n"
    assert read(encoded(text, "base64", "cp932"), "7bit", "cp932") == text


def test_base64_in_the_letters_of_links_is_decoded() -> None:
    """RFC 4648 section 5. Seen red without `_usual_alphabet`: no order ID, and no doubt either."""
    body = encoded(TEXT * 3, "base64").replace(b"+", b"-").replace(b"/", b"_")
    assert b"-" in body or b"_" in body
    assert read(body, "base64") == read(body, "7bit") == TEXT * 3


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_base64_that_ends_in_the_middle_says_so(lost: int) -> None:
    assert transfer.decode(base64.b64encode(b"x" * 90)[:-lost], "base64").is_cut


@pytest.mark.parametrize(
    "text",
    [
        "x =?utf-8?B?abc",
        "=? utf-8? B? abc?=",
        "utf-8?B?44Kt44Oj",
        "utf-8''%E3%82%AD%E3%83%A3",
        "x\n" + "A" * 60 + "\n" + "B" * 76 + "\n" + "C" * 64 + "=\nx",
        "=E3=82=AD",
        "注文&#12461;&#12515;&#x30F3;&#12475;",
        "購入者".encode().decode("latin-1") + "キャンセル".encode().decode("latin-1"),
        "キャンセル".encode().decode("cp1252", "replace"),
        "注文のキャンセル".encode("utf-7").decode(),
        "注文のキャンセル".encode("iso-2022-jp").decode().replace("\x1b", ""),
    ],
)
def test_what_is_left_encoded_is_seen(text: str) -> None:
    assert transfer.still_encoded(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a=b, c=d",
        "https://shop.example/?a=E3&b=82&c=AD",
        "https://shop.example/" + "A" * 200,
        "A" * 76 + "\n" + "B" * 76 + "\nplain",
        "What? Or? q?",
        "+81-3-1234-5678 +MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA",
        "US$Board (Basic) costs $BIG (B)",
        "&#12461; Solução ção à São João &#169;&#8364;&#8482;",
        "begin 644 times (end)",
    ],
)
def test_ordinary_text_is_not_taken_for_encoded(text: str) -> None:
    assert not transfer.still_encoded(text)


@example(b"begin \r\x00", "x-uuencode")  # a length byte alone made 32 bytes
@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(st.sampled_from([b"=", b"E3", b"\r\n", b"AAAA", b"Zg==", b"=\r\n", b" ", b"\xe3", b"begin "])).map(
            b"".join
        ),
    ),
    st.sampled_from([*DECLARED, "base64", "quoted-printable", "x-uuencode"]),
)
@settings(max_examples=200)
def test_any_bytes_under_any_name_give_bytes(body: bytes, declared: str) -> None:
    found = transfer.decode(body, declared)
    assert len(found.data) <= len(body) + body.count(b"\n") + 2
    transfer.still_encoded(found.data.decode("latin-1"))


@given(st.text(max_size=200), st.sampled_from(["base64", "quoted-printable"]))
@settings(max_examples=150)
def test_what_is_declared_rightly_comes_out_as_it_went_in(text: str, encoding: str) -> None:
    plain = text.replace("\r", "").replace("=", "")
    found = read(encoded(plain, encoding), encoding)
    assert found.replace("\r\n", "\n").rstrip("\n") == plain.rstrip("\n")
