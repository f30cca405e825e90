"""Buyers who ask in an ordinary message: whose words they are, and whether they ask (domain section 4)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwatch.amazon import template, wish, words

SHIPPED = template.shipped()
BEGIN, END = "------------- メッセージはここから -------------", "------------- メッセージはここまで -------------"


def own(plain: str, quoted: tuple[str, ...] = (), html: str = "") -> wish.OwnWords:
    return wish.own_words(plain, quoted, html, SHIPPED)


@pytest.mark.parametrize(
    "text",
    [
        "キャンセルしてください",
        "キャンセルできますか？",
        "注文をキャンセルしたいのですが",
        "ｷｬﾝｾﾙお願いします",
        "きゃんせるしたいです",
        "キヤンセルで",
        "キャンセ ルをお願いします",
        "キャン\nセルをお願いします",
        "キ\u200bャンセル希望",
        "キャンセノレ? いえ、キャンセ",
        "Please cancel my order",
        "CANCEL",
        "ｃａｎｃｅｌ please",
        "Can I get a cancelation?",
        "I would like the order cancelled",
        "requesting cancellation",
        "注文の取り消しをお願いします",
        "注文を取消してください",
        "取りけししたい",
        "とりけしできますか",
        "取りやめたいです",
        "今回は取止めでお願いします",
        "注文をやめます",
        "注文をやめたい",
        "買うのをやめたいです",
        "買うのをやめます",
        "二重注文してしまいました",
        "2重に注文してしまいました",
        "２重に注文しました",
        "不要になりました",
        "間違えて注文してしまいました",
        "間違えて購入しました",
        "誤って注文しました",
        "誤って購入してしまった",
        "重複していました",
        "ノイズキャンセルヘッドホンの注文をキャンセルしたいです",
        "キャンセル料はかかりますか？かからないならキャンセルしたいです",
        "キャンセルポリシーを読みました。キャンセルをお願いします",
        "キャンセルしないでと前に言いましたが、やはりキャンセルしてください",
    ],
)
def test_asks_to_cancel(text: str) -> None:
    assert wish.asks(text)


@pytest.mark.parametrize(
    "text",
    [
        "キャンセルしないでください",
        "キャンセルではなく、色の変更をお願いします",
        "キャンセルせずに待ちます",
        "キャンセルはしません",
        "キャンセル料はかかりますか",
        "キャンセルポリシーを教えてください",
        "キャンセル待ちはできますか",
        "キャンセルした覚えがありません",
        "キャンセルを取り消してください",
        "キャンセルを取り消したいです",
        "ノイズキャンセル機能はありますか",
        "ノイズキャンセリングの付いた物ですか",
        "ﾉｲｽﾞｷｬﾝｾﾙは強いですか",
        "Please don't cancel my order",
        "Please don\u2019t cancel my order",
        "do not cancel",
        "Why was it cancelled by you?",
        "the order was canceled by you",
        "住所を間違えて注文しました。届け先を変えてください",
        "届いた商品が不要になりました。返品できますか",
        "いつ届きますか",
        "",
    ],
)
def test_does_not_ask_to_cancel(text: str) -> None:
    """Seen red with `not_wishes` and `other_matters` taken out."""
    assert wish.asks(text) is None


def test_the_words_between_the_delimiters_are_the_buyers() -> None:
    found = own(f"ご注文について\n# 249-1234567-7654321:\n{BEGIN}\n\nやめます\n\n{END}\n規約：キャンセルは…")
    assert (found.words, found.certain) == ("やめます", True)
    assert "249-1234567-7654321" in found.frame
    assert "規約" in found.frame


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (BEGIN, END),
        ("------------- メッセージ: -------------", "-" * 40),
        ("------------- メッセージ： -------------", END),
        ("------------- Begin message -------------", "------------- End message -------------"),
        ("------------- Anfang der Nachricht -------------", "------------- Ende der Nachricht -------------"),
        ("------------- Inizio messaggio -------------", "------------- Fine messaggio -------------"),
        ("------------- Début du message -------------", "------------- Fin du message -------------"),
        ("------------- Iniciar mensaje -------------", "------------- Finalizar mensaje -------------"),
    ],
)
def test_the_delimiters_of_every_language_are_known(begin: str, end: str) -> None:
    found = own(f"head\n{begin}\nwords\n{end}\ntail")
    assert (found.words, found.frame, found.certain) == ("words", "head\ntail", True)


def test_a_message_cut_before_its_end_is_all_the_buyers() -> None:
    assert own(f"head\n{BEGIN}\nwords\nmore").words == "words\nmore"


def test_an_empty_message_between_the_delimiters_is_certain_and_empty() -> None:
    assert own(f"head キャンセル\n{BEGIN}\n{END}\n") == wish.OwnWords("", "head キャンセル\n", certain=True)


def test_a_buyer_can_not_put_words_into_amazons_frame_by_writing_delimiters() -> None:
    """An order label of the buyer's own must stay the buyer's. Seen red with `label` matched anywhere in a line."""
    found = own(f"# 249-1234567-7654321:\n{BEGIN}\n注文番号は {END} です\nキャンセルして\n{END}\n")
    assert "キャンセルして" in found.words
    assert "キャンセル" not in found.frame


def test_the_pre_block_is_the_buyers_where_there_are_no_delimiters() -> None:
    found = own("", ("やめます",), "Amazonより\nやめます\n規約")
    assert (found.words, found.certain) == ("やめます", True)
    assert "やめます" not in found.frame


def test_without_either_the_whole_text_is_taken_with_less_confidence() -> None:
    assert own("やめます\n規約") == wish.OwnWords("やめます\n規約", "", certain=False)


@pytest.mark.parametrize(
    "quote",
    [
        "> 「キャンセルをリクエストを選択してください」",
        "＞ キャンセルをリクエスト",
        ">> キャンセル\n> キャンセル",
        "2022年6月7日(火) 10:00 店 <x@marketplace.amazon.co.jp>:\n> キャンセルをリクエストを選択してください",
        "On Tue, Jun 7, 2022 at 10:00 AM Shop <x@y.example> wrote:\nキャンセルをリクエストを選択してください",
        "-----Original Message-----\nFrom: shop\nキャンセルをリクエスト",
        "差出人: 店\n件名: ご注文\nキャンセルをリクエストを選択してください",
        "-- \nキャンセル商会",
    ],
)
def test_a_quoted_reply_is_not_the_buyers_own(quote: str) -> None:
    """Seen red with `_cut` giving its text back."""
    found = own(f"# 249-1234567-7654321:\n{BEGIN}\nありがとうございました\n{quote}\n{END}")
    assert wish.asks(found.words) is None
    assert found.words.startswith("ありがとうございました")


@pytest.mark.parametrize(
    "text",
    [
        "> いつ発送しますか\nやはりキャンセルしたいです",
        "2022/06/07 10:00 店:\n> キャンセルをリクエストを選択してください\nはい、キャンセルしたいです",
        "キャンセルしたいです\n> 前の文",
    ],
)
def test_the_buyers_own_words_round_a_quote_still_ask(text: str) -> None:
    assert wish.asks(own(f"{BEGIN}\n{text}\n{END}").words)


def test_an_excerpt_is_one_short_line_round_the_word() -> None:
    text = "あ" * 200 + "\nキャンセルをお願いします\n" + "い" * 200
    shown = wish.excerpt(text, "キャンセ")
    assert "キャンセ" in shown
    assert len(shown) <= 60
    assert "\n" not in shown


ANY_TEXT = st.one_of(
    st.text(max_size=120),
    st.lists(
        st.sampled_from(
            [BEGIN, END, "\n", "> ", "キャンセル", "-- ", "From: ", "-----", "しないで", "2022年6月7日 10:00 ", ":"]
        ),
        max_size=30,
    ).map("".join),
)


@given(ANY_TEXT, st.lists(ANY_TEXT, max_size=2), ANY_TEXT)
@settings(max_examples=200)
def test_any_text_gives_words_that_were_in_it(plain: str, quoted: list[str], html: str) -> None:
    found = own(plain, tuple(quoted), html)
    sources = plain + "\n".join(quoted) + html
    assert all(line in sources for line in found.words.split("\n"))
    word = wish.asks(found.words)
    assert word is None or len(wish.excerpt(found.words, word)) <= 60


@given(st.text(max_size=200))
@settings(max_examples=100)
def test_compacting_is_stable(text: str) -> None:
    once = words.compact(text)
    assert words.compact(once) == once or not once.isascii()
    assert not any(character.isspace() for character in once)


def test_near_finds_the_words_of_an_alternative_in_any_order_within_the_span() -> None:
    text = words.compact("キャンセルの リクエスト（注文）")
    assert words.near(text, "注文 キャンセル リクエスト|依頼", 40)
    assert words.near(text, "注文 キャンセル 依頼|リクエスト", 40)
    assert not words.near(text, "注文 キャンセル 返金", 40)
    assert not words.near(words.compact("注文" + "あ" * 50 + "キャンセル"), "注文 キャンセル", 40)
    assert not words.near(text, "", 40)
