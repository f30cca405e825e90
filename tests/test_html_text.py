"""HTML in, what a person would read out; hostile HTML included."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwatch import html_text
from mailwatch.amazon import order_id

ID = "249-1234567-7654321"


def ids(page: str) -> tuple[str, ...]:
    return order_id.unique(order_id.find(order_id.fold(html_text.read(page).text)))


def test_table_cells_stay_apart() -> None:
    """Seen red with the tab behind `td` left out: the quantity ran into the ID."""
    page = f"<table><tr><td>1</td><td>{ID}</td><td>2</td></tr><tr><td>注文日</td><td>2022/06/07</td></tr></table>"
    assert ids(page) == (ID,)
    assert html_text.read(page).text.split("\n")[-1].split("\t")[:2] == ["注文日", "2022/06/07"]


@pytest.mark.parametrize(
    "shown",
    [
        "249<br>-1234567-7654321",
        "249-12345<br/>67-7654321",
        "249-<wbr>1234567-<wbr>7654321",
        "<span>249</span><span>-</span><span>1234567</span>-<b>7654321</b>",
        "<a href='#'>249-1234567</a>-7654321",
        "249&#8209;1234567&#8209;7654321",
        "249-&shy;1234567-&#8203;7654321",
        "249&nbsp;-&nbsp;1234567-7654321",
        "249-\n      1234567-7654321",
    ],
)
def test_an_id_split_by_tags_breaks_or_entities_is_whole(shown: str) -> None:
    assert ids(f"<p>注文番号：{shown}</p><p>商品名：ケトル</p>") == (ID,)


def test_blocks_and_line_breaks_are_lines() -> None:
    page = "<div>注文番号： 1</div><p>SKU： A<br>数量： 2</p><ul><li>x<li>y</ul>end"
    assert html_text.read(page).text.split("\n") == ["注文番号： 1", "SKU： A", "数量： 2", "x", "y", "end"]


@pytest.mark.parametrize(
    "hidden",
    [
        "<style>キャンセル</style>",
        "<script>キャンセル</script>",
        "<head><title>キャンセル</title></head>",
        "<!-- キャンセル -->",
        "<div style='display:none'>キャンセル</div>",
        "<div style='color:red; DISPLAY : NONE !important'><p>キャンセル</p></div>",
        "<span style='visibility:hidden'>キャンセル</span>",
        "<div style='mso-hide:all'>キャンセル</div>",
        "<img alt='キャンセル' src='x'>",
        "<template>キャンセル</template>",
    ],
)
def test_what_a_reader_does_not_see_is_not_text(hidden: str) -> None:
    """Seen red with `_HIDDEN` and `_SILENT` ignored."""
    assert html_text.read(f"<html>{hidden}<body>{hidden}<p>新しい注文</p></body></html>").text == "新しい注文"


def test_links_are_handed_out_beside_the_text() -> None:
    page = f"<a href='https://sellercentral.amazon.co.jp/orders-v3/order/{ID}'>注文を見る</a><a name=x>y</a>"
    assert html_text.read(page).links == (f"https://sellercentral.amazon.co.jp/orders-v3/order/{ID}",)


def test_the_buyers_own_words_are_the_pre_that_wraps() -> None:
    page = (
        "<p>Amazonより</p><pre style='white-space:-o-pre-wrap; word-wrap:break-word'>キャンセル\nしたいです</pre>"
        "<pre>ほかの枠</pre>"
    )
    read = html_text.read(page)
    assert read.quoted == ("キャンセル\nしたいです",)
    assert "ほかの枠" in read.text


def test_a_pre_that_holds_only_a_photo_gives_empty_words() -> None:
    assert html_text.read("<p>x</p><pre style='white-space:-o-pre-wrap'></pre>").quoted == ("",)


@pytest.mark.parametrize(
    "page",
    [
        f"<p>注文番号</p><!-- unclosed <p>{ID}</p>",
        f'<p>注文番号</p><a href="unclosed <p>{ID}</p>',
    ],
)
def test_text_behind_an_unclosed_comment_or_quote_is_not_lost(page: str) -> None:
    assert ids(page) == (ID,)


@pytest.mark.long
@pytest.mark.parametrize(
    "bomb",
    [
        '<a href="' * 30_000,
        "<!--" * 60_000,
        "<![" * 60_000,
        "<a " * 60_000,
        "<div>" * 20_000 + "deep",
        "<b><p>" * 20_000,
        "<table><tr><td>" * 5_000,
        "&" * 200_000,
        "<pre style='-o-pre-wrap'>" * 2_000 + "x",
        "<a href=x>" * 20_000,
    ],
    ids=["quote", "comment", "declaration", "tag", "div", "inline", "table", "ampersand", "pre", "links"],
)
def test_a_bomb_gives_a_value_within_the_limits(bomb: str) -> None:
    """Seen red with `limit=` of `find_all` left out."""
    read = html_text.read(bomb)
    assert len(read.text) <= 2 * html_text.LIMIT
    assert len(read.links) <= 500
    assert len(read.quoted) <= 50


def test_text_beyond_the_limit_is_not_read() -> None:
    """Seen red with the cut at LIMIT left out."""
    page = "<p>" + "あ" * html_text.LIMIT + "</p>キャンセル"
    assert "キャンセル" not in html_text.read(page).text


@pytest.mark.parametrize("page", ["", "\x00", "\ud800 x", "a\x00b", "<", "<p", "</", "&#xD800;", "&#0;", "&#x110000;"])
def test_odd_text_gives_text_that_can_be_stored(page: str) -> None:
    html_text.read(page).text.encode("utf-8")


@pytest.mark.parametrize(
    "page", ["https://evil.example/x", "/etc/passwd", "letter.html", "<?xml version='1.0'?><p>x</p>"]
)
def test_a_page_that_looks_like_a_place_is_only_text_and_brings_no_warning_to_stderr(page: str) -> None:
    assert html_text.read(page).text in {page, "x"}


MARKUP = st.lists(
    st.sampled_from(
        [
            "<p>",
            "</p>",
            "<pre style='-o-pre-wrap'>",
            "</pre>",
            "<td>",
            "<br>",
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
            "<a href=",
            "'",
            '"',
            ">",
            "<style>",
            "</style>",
            "<svg>",
            "<math>",
            "<select>",
            "&#",
            "x",
            "キャンセル",
            "\x00",
            "\ud800",
            "<?php",
            "<!DOCTYPE",
        ]
    ),
    max_size=40,
).map("".join)


@given(st.one_of(MARKUP, st.text(max_size=200)))
@settings(max_examples=200)
def test_any_text_gives_a_value_that_can_be_stored(page: str) -> None:
    read = html_text.read(page)
    for text in (read.text, *read.quoted, *read.links):
        text.encode("utf-8")
