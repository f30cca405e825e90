"""Part bytes in, text out: the Japanese that libraries leave undecoded, written here byte by byte."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwatch.charset import decode

# Row and cell of JIS X 0208 from the code tables, not from any codec: キャンセル, ① and ㈱ (row 13), 髙 (NEC row 92).
CANCEL_JIS = b"\x1b$B%-%c%s%;%k\x1b(B"
CIRCLED_JIS = b"\x1b$B\x2d\x21\x2d\x6a\x7c\x62\x1b(B"
CIRCLED = "①㈱髙"
HALF_KANA_JIS = b"\x1b(I7,]>Y\x1b(B"
HALF_KANA = "ｷｬﾝｾﾙ"
SENTENCE = "購入者が注文のキャンセルをリクエストしました。注文番号をご確認ください。"


@pytest.mark.parametrize(
    "name", [None, "iso-2022-jp", "ISO-2022-JP", "us-ascii", "utf-8", "cp50220", "CP50221", "cp50222"]
)
def test_reads_iso_2022_jp_under_whatever_name_leaves_its_escapes_in_place(name: str | None) -> None:
    assert decode(b"Re: " + CANCEL_JIS + b" 249", name) == ("Re: キャンセル 249", True)


@pytest.mark.parametrize("name", ["iso-2022-jp", "iso-2022-jp-ms", "ISO_2022_JP_MS", "cp50220", "cp50221", None])
def test_reads_the_circled_digits_and_company_marks_that_windows_writes_into_iso_2022_jp(name: str | None) -> None:
    assert decode(CIRCLED_JIS, name) == (CIRCLED, True)


@pytest.mark.parametrize("name", ["iso-2022-jp", "cp50221", "iso-2022-jp-ms", None])
def test_reads_half_width_kana_in_iso_2022_jp(name: str | None) -> None:
    assert decode(HALF_KANA_JIS, name) == (HALF_KANA, True)


def test_reads_half_width_kana_between_shift_out_and_shift_in() -> None:
    assert decode(CANCEL_JIS + b"\x0e7,]>Y\x0fok", "cp50222").text == "キャンセルｷｬﾝｾﾙok"


def test_reads_the_supplementary_kanji_of_jis_x_0212() -> None:
    assert decode(b"\x1b$(D\x30\x21\x1b(B", "iso-2022-jp-1") == ("丂", True)


def test_reads_the_older_escapes_of_jis_c_6226_and_the_roman_set() -> None:
    assert decode(b"\x1b$@%-%c%s%;%k\x1b(J 249", "iso-2022-jp") == ("キャンセル 249", True)


def test_a_lost_escape_to_ascii_does_not_swallow_the_next_line() -> None:
    assert decode(b"\x1b$B%-%c%s%;%k\r\nOrder 249-1234567-1234567", "iso-2022-jp").text.endswith(
        "\nOrder 249-1234567-1234567"
    )


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\x87\x40\x87\x8a\xfb\xfc", "shift_jis"),
        (b"\x87\x40\x87\x8a\xfb\xfc", "Shift-JIS"),
        (b"\x87\x40\x87\x8a\xfb\xfc", "windows-31j"),
        (b"\x87\x40\x87\x8a\xfb\xfc", "x-sjis"),
        (b"\x87\x40\x87\x8a\xfb\xfc", "Windows_31J"),
        (b"\x87\x40\x87\x8a\xfb\xfc", '"cp932"'),
        (b"\x87\x40\x87\x8a\xee\xe0", "MS_Kanji"),
        (b"\xad\xa1\xad\xea\xfc\xe2", "euc-jp"),
        (b"\xad\xa1\xad\xea\xfc\xe2", "x-euc-jp"),
        (b"\xad\xa1\xad\xea\xfc\xe2", "eucJP-ms"),
        (b"\xad\xa1\xad\xea\xfc\xe2", "cp51932"),
    ],
)
def test_reads_the_vendor_characters_that_pythons_codecs_of_that_name_refuse(data: bytes, name: str) -> None:
    assert decode(data, name) == (CIRCLED, True)


@pytest.mark.parametrize(
    ("real", "declared"),
    [
        ("utf-8", "iso-2022-jp"),
        ("utf-8", "us-ascii"),
        ("utf-8", "x-unknown"),
        ("utf-8", None),
        ("utf-8", "utf-8\x00"),
        ("utf-8", ""),
        ("cp932", None),
        ("cp932", "iso-2022-jp"),
        ("cp932", "us-ascii"),
        ("cp932", "utf-8"),
        ("cp932", "euc-jp"),
        ("euc_jp", None),
        ("euc_jp", "utf-8"),
        ("euc_jp", "iso-2022-jp"),
        ("iso2022_jp", None),
        ("iso2022_jp", "us-ascii"),
        ("iso2022_jp", "x-unknown"),
    ],
)
def test_a_wrong_or_missing_declaration_does_not_garble_the_text(real: str, declared: str | None) -> None:
    assert decode(SENTENCE.encode(real), declared) == (SENTENCE, True)


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        *(("gb18030", name) for name in ("GB18030", "gb2312", "GBK", "cp936")),
        *(("cp950", "big5"), ("big5hkscs", "big5-hkscs"), ("cp949", "ks_c_5601-1987")),
        *(("utf-16", "utf-16"), ("utf-16-le", "UTF-16LE"), ("utf-16-be", "utf-16be")),
    ],
)
def test_the_charsets_of_sellers_abroad_are_read_and_never_believed_of_utf_8(codec: str, name: str) -> None:
    """Seen red without their rows, and with the last line's bytes read as the name says."""
    text = "の注文のキャンセル order 249-1234567-7654321\n"
    assert decode(text.encode(codec), name) == (text, True)
    assert decode(SENTENCE.encode(), name) == (SENTENCE, True)
    assert decode(b"order 249-1234567-7654321\n", name).text == "order 249-1234567-7654321\n"


@pytest.mark.parametrize("name", ["utf-7", "UTF-7", "unicode-1-1-utf-7", "punycode", "idna", "unicode_escape"])
def test_no_charset_outside_the_list_turns_plain_bytes_into_other_text(name: str) -> None:
    """Seen red with `_CODECS.get(name, name)`: utf-7 became キャ."""
    data = b"+MK0w4w- \\u30ad xn--249 caf-dma"
    assert decode(data, name) == (data.decode("ascii"), True)


@pytest.mark.parametrize(
    "name", ["zlib", "hex", "base64", "bz2", "rot13", "quopri", "uu", "mbcs", "undefined", "../x", "\ud800"]
)
def test_a_charset_that_is_no_charset_is_ignored(name: str) -> None:
    """Seen red with `_CODECS.get(name, name)`: LookupError."""
    assert decode(b"4142 plain", name) == ("4142 plain", True)


@pytest.mark.parametrize("codec", ["utf-8", "cp932", "euc_jp"])
def test_a_text_cut_inside_its_last_character_is_still_clean(codec: str) -> None:
    assert decode(SENTENCE.encode(codec)[:-1], codec) == (SENTENCE[:-1], True)


@pytest.mark.parametrize("data", [b"\x81\x20\xff\x81\x30" * 40, b"\xff\xfe\x80\xff" * 20])
def test_text_that_no_charset_reads_is_said_to_be_read_with_loss(data: bytes) -> None:
    """Seen red with `clean=True` at the end of `_guess`."""
    assert decode(data, "utf-8").clean is False


def test_one_damaged_character_does_not_turn_the_rest_into_another_charset() -> None:
    data = (SENTENCE * 3).encode() + b"\xff" + SENTENCE.encode()
    text, clean = decode(data, "utf-8")
    assert (text.replace("\ufffd", ""), clean) == (SENTENCE * 4, False)


KANA = st.text(st.characters(min_codepoint=0x3041, max_codepoint=0x3093), max_size=40)
ORDINARY = st.text(
    st.one_of(
        st.characters(min_codepoint=0x20, max_codepoint=0x7D, exclude_characters="\\"),
        st.characters(min_codepoint=0x3041, max_codepoint=0x3093),
        st.characters(min_codepoint=0x30A1, max_codepoint=0x30F4),
        st.sampled_from("注文番号取消依頼購入者理由返金、。「」ー"),
    ),
    max_size=60,
)
NAMES = st.one_of(
    st.none(), st.text(max_size=12), st.sampled_from(["utf-8", "iso-2022-jp", "x-sjis", "euc-jp", "utf-7", "zlib"])
)


@given(
    ORDINARY,
    st.sampled_from([("utf-8", "utf-8"), ("cp932", "shift_jis"), ("euc_jp", "euc-jp"), ("iso2022_jp", "iso-2022-jp")]),
)
@settings(max_examples=100)
def test_any_ordinary_text_comes_back_from_its_declared_charset(text: str, charset: tuple[str, str]) -> None:
    codec, name = charset
    assert decode(text.encode(codec), name) == (text, True)


@given(KANA, NAMES)
@settings(max_examples=60)
def test_iso_2022_jp_is_read_by_its_escapes_whatever_it_is_declared(text: str, name: str | None) -> None:
    data = text.encode("iso2022_jp") + b" end"
    if (name or "").lower() not in {"x-sjis", "euc-jp"}:
        assert decode(data, name).text == text + " end"


@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(st.sampled_from([b"\x1b", b"$B", b"(I", b"$(D", b"\x0e", b"\xa1", b"\x8f", b"!", b"\n"])).map(
            b"".join
        ),
    ),
    NAMES,
)
@settings(max_examples=200)
def test_any_bytes_under_any_name_give_a_text_no_longer_than_they_are(data: bytes, name: str | None) -> None:
    text, clean = decode(data, name)
    assert len(text) <= len(data) + 2
    assert clean or "\ufffd" in text
    text.encode("utf-8")


@pytest.mark.parametrize("name", ["iso-8859-1", "windows-1252", "iso-8859-15"])
@pytest.mark.parametrize("codec", ["utf-8", "cp932", "euc_jp"])
def test_japanese_under_a_latin_name_is_read_as_japanese(codec: str, name: str) -> None:
    """Any bytes are some Latin text, so that declaration proves nothing. Seen red with the declared codec first."""
    text = "購入者がこの注文のキャンセルをリクエストしました。"
    assert decode(text.encode(codec), name) == (text, True)


@pytest.mark.parametrize(
    ("text", "name"), [("Solicitud de cancelación, señor", "iso-8859-1"), ("zamówienie żółć", "iso-8859-2")]
)
def test_latin_text_under_its_own_name_stays_latin(text: str, name: str) -> None:
    assert decode(text.encode(name), name) == (text, True)
