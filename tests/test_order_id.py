"""Order IDs in text as people, mail programs and charsets mangle it (domain section 5, libraries section 6)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwatch.amazon import order_id
from mailwatch.amazon.marketplace import order_page

ID = "249-1234567-7654321"
DASHES = (
    "-\u00ad\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u207b\u208b\u2212\u2500\u2501\u30fc\uff70\u301c\u3030\u4e00\u3161"
    "\u2796\u058a\u05be\ufe31\ufe32\ufe58\ufe63\uff0d\uff5e\u02d7\u2053"
)
SHOWS_NOTHING = (
    "\u034f\u061c\u115f\u180e\ufeff\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2061\u2062"
    "\u2063\u2064\u2065\u2066\u2067\u2068\u2069\u206a\u206b\u206c\u206d\u206e\u206f\ufe00\ufe01\ufe0e\ufe0f"
)
BLANKS = "\u00a0\u3000\u2002\u2003\u2007\u2009\u202f"
INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2060\u2064\ufeff\u034f\u00ad"
FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")
BOLD = str.maketrans("0123456789", "".join(chr(0x1D7CE + n) for n in range(10)))


def ids(text: str) -> tuple[str, ...]:
    return order_id.unique(order_id.find(order_id.fold(text)))


@pytest.mark.parametrize("prefix", ["249", "250", "503", "112", "302", "402", "903", "000", "701"])
def test_no_prefix_is_special(prefix: str) -> None:
    assert ids(f"Order {prefix}-1234567-7654321.") == (f"{prefix}-1234567-7654321",)


@pytest.mark.parametrize(
    "text",
    [
        f"ご注文{ID}について",
        f"注文番号：{ID}です",
        f"注文一{ID}",
        f"注文ー{ID}",
        f"（{ID}）",
        f"「{ID}」",
        f"#{ID}:",
        f"/orders-v3/order/{ID}?x=1",
        f"注文番号\t{ID}\t商品",
        f"注文番号\n{ID}\n商品",
        f"{ID}",
    ],
)
def test_finds_the_id_next_to_japanese_letters_and_marks(text: str) -> None:
    assert ids(text) == (ID,)


@pytest.mark.parametrize("dash", DASHES)
def test_finds_the_id_with_any_dash_that_a_charset_or_a_person_puts_there(dash: str) -> None:
    assert ids(f"注文番号: 249{dash}1234567{dash}7654321 です") == (ID,)


@pytest.mark.parametrize("codec", ["cp932", "iso2022_jp", "shift_jis", "euc_jp"])
def test_the_full_width_minus_is_a_dash_from_every_charset(codec: str) -> None:
    bytes_of = {"iso2022_jp": b"\x1b$B\x21\x5d\x1b(B", "euc_jp": b"\xa1\xdd"}
    minus = bytes_of.get(codec, b"\x81\x7c").decode(codec)
    assert ids(f"249{minus}1234567{minus}7654321") == (ID,)


@pytest.mark.parametrize(
    "text",
    [
        ID.translate(FULL_WIDTH),
        ID.translate(BOLD),
        ID.translate(FULL_WIDTH).replace("-", "－"),
        ID.translate(FULL_WIDTH).replace("-", "ー"),
        "249 - 1234567 - 7654321",
        "249-1234567-\n7654321",
        "249-1234567\n-7654321",
        "249-12345\n67-7654321",
        "249-1234567-765\r\n4321",
        "249-1234567-\r\n > 7654321",
        "249-1234567-\n  7654321",
        "249-123\u00ad4567-7654321",
        "249-123\u200b4567-7654321",
        "249-\ufeff1234567-7654321",
        "249\u2011\u20601234567\u20117654321",
        "249-12345 \n67-7654321",
        "249-12345\t\n67-7654321",
        "249-12345\n\t67-7654321",
        "249-12345\n\t>67-7654321",
        "249\t-\t1234567\t-\t7654321",
    ],
)
def test_finds_the_id_in_any_width_wrapped_or_with_invisible_characters_inside(text: str) -> None:
    assert ids(f"注文番号：{text}\n商品名：ケトル") == (ID,)


@pytest.mark.parametrize(
    "text",
    [
        "D01-1234567-7654321",
        "P03-1234567-7654321",
        "S01-1234567-7654321",
        "S02-1234567-7654321",
        "D01–1234567–7654321",
        "Ｄ01-1234567-7654321",
        "P03\u22121234567\u22127654321",
        "12345678901234",
        "24912345677654321",
        "1249-1234567-7654321",
        "249-1234567-76543210",
        "249-1234567-7654321-1",
        "1-249-1234567-7654321",
        "A249-1234567-7654321",
        "249-1234567-765432",
        "249-123456-7654321",
        "249-12345678-7654321",
        "03-1234-5678",
        "090-1234-5678",
        "1234-5678-9012",
        "249/1234567/7654321",
        "249_1234567_7654321",
        "２²9-1234567-7654321",
        "24①-1234567-7654321",
        "٢٤٩-١٢٣٤٥٦٧-٧٦٥٤٣٢١",
        "249--1234567-7654321",
        "249-1234567\n\n-7654321",
        "249 1234567 7654321",
        "a249-1234567-7654321",
        "-249-1234567-7654321",
        "1–249-1234567-7654321",
        "A–249-1234567-7654321",
        "a–249-1234567-7654321",
        "249-1234567-7654321\u00ad0",
        "249-1234567-7654321–1",
        "249-1234567-7654321–A",
        "249-1234567-7654321–a",
    ],
)
def test_numbers_that_are_no_order_ids_are_not_found(text: str) -> None:
    """Seen red without `_NOT_BEFORE`, without `_NOT_AFTER`, and with `\\d` for `[0-9]`."""
    assert ids(text) == ()


@pytest.mark.parametrize("character", SHOWS_NOTHING)
def test_a_character_that_shows_nothing_is_no_part_of_the_text(character: str) -> None:
    assert order_id.fold(f"注文{character}番号") == "注文番号"
    assert ids(f"249-1234{character}567-7654321") == (ID,)


@pytest.mark.parametrize("blank", BLANKS)
def test_a_blank_of_any_width_is_a_blank(blank: str) -> None:
    assert order_id.fold(f"注文{blank}番号") == "注文 番号"
    assert ids(f"249{blank}-{blank}1234567-7654321") == (ID,)


def test_digits_of_every_mathematical_style_are_digits() -> None:
    styles = "".join(chr(0x1D7CE + n) for n in range(50))
    assert order_id.fold(styles) == "0123456789" * 5


@pytest.mark.parametrize("character", "／：\u1d7c\U0001d7cd\U0001d800\u200a\u2029\u205f\u2070\ufdff\ufe10²①٢")
def test_a_character_that_shows_something_else_stays_as_it_is(character: str) -> None:
    assert order_id.fold(character) == character


def test_finds_every_id_once_in_the_order_in_which_they_stand() -> None:
    other = "503-1111111-2222222"
    assert ids(f"{ID}、{other}、{ID}") == (ID, other)


def test_ids_in_neighbouring_lines_are_not_run_together() -> None:
    assert ids("503-1111111-2222222\n249-1234567-7654321") == ("503-1111111-2222222", ID)


def test_says_where_in_the_folded_text_the_id_stands() -> None:
    folded = order_id.fold(f"注文番号：{ID.translate(FULL_WIDTH)}です")
    (found,) = order_id.find(folded)
    assert folded[found.start : found.end] == ID


@pytest.mark.parametrize("text", [ID + "\n", " " + ID, ID.translate(FULL_WIDTH), "249-1234567-765432", "", "x" * 19])
def test_only_the_canonical_form_is_an_order_id(text: str) -> None:
    """Seen red with `$` for `fullmatch`: the link had a line break in it."""
    assert order_id.is_order_id(ID)
    assert not order_id.is_order_id(text)
    assert order_page("JP", text) is None


def test_the_order_page_is_built_from_a_known_host_and_a_valid_id_only() -> None:
    assert order_page("JP", ID) == f"https://sellercentral.amazon.co.jp/orders-v3/order/{ID}"
    assert order_page("FR", ID) == f"https://sellercentral.amazon.fr/orders-v3/order/{ID}"
    assert order_page("XX", ID) is None
    assert order_page(None, ID) is None


DIGIT = st.sampled_from("0123456789")
WIDTHS = st.sampled_from(["plain", "full", "bold"])
INSIDE = st.sampled_from(
    ["", "", "", "\n", "\r\n", "\n  ", "\n> ", " \n", "\u00ad", "\u00ad\n", "\u200b", "\u2060\n", "\ufeff"]
)
AROUND = st.sampled_from(["", " ", "\n", "注文番号：", "ご注文", "です。", "「", "#", "、", "\t"])


@st.composite
def _written(draw: st.DrawFn) -> tuple[str, str]:
    """An order ID and a way in which a mail may show it: one cut at most, any widths, any dashes."""
    digits = draw(st.lists(DIGIT, min_size=17, max_size=17))
    canonical = "".join(digits[:3]) + "-" + "".join(digits[3:10]) + "-" + "".join(digits[10:])
    shown = [_shown(character, draw(WIDTHS), draw(st.sampled_from(DASHES))) for character in canonical]
    at = draw(st.integers(1, len(shown) - 1))
    return canonical, "".join([*shown[:at], draw(INSIDE), *shown[at:]])


def _shown(character: str, width: str, dash: str) -> str:
    if character == "-":
        return dash
    return character.translate({"plain": {}, "full": FULL_WIDTH, "bold": BOLD}[width])


@pytest.mark.long
@given(_written(), AROUND, AROUND)
@settings(max_examples=400)
def test_an_id_in_any_width_with_any_dashes_cut_anywhere_is_the_same_id(
    written: tuple[str, str], before: str, after: str
) -> None:
    canonical, shown = written
    assert ids(before + shown + after) == (canonical,)


@given(st.text(st.one_of(DIGIT, st.sampled_from(DASHES + INVISIBLE + " \r\n>x"), st.characters()), max_size=200))
@settings(max_examples=200)
def test_any_text_gives_only_canonical_ids_inside_it(text: str) -> None:
    folded = order_id.fold(text)
    for found in order_id.find(folded):
        assert order_id.is_order_id(found.order_id)
        assert 0 <= found.start < found.end <= len(folded)
