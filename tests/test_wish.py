"""Buyers who ask in an ordinary message: whose words they are, and whether they ask (domain section 4)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwatch.amazon import template, wish, words
from mailwatch.html_text import HtmlText

SHIPPED = template.shipped()
BEGIN, END = "------------- メッセージはここから -------------", "------------- メッセージはここまで -------------"


def own(plain: str, quoted: tuple[str, ...] = (), html: str = "", frame: str = "") -> wish.OwnWords:
    return wish.own_words(plain, HtmlText(html, quoted, frame=frame), SHIPPED)


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


@pytest.mark.parametrize(
    "text",
    [
        "他の店で買ったものが先に届いたので、不要になりました。",
        "間違えて注文しました。連絡は電話番号090-1234-5678までお願いします。",
        "間違えて注文しました。領収書も不要です。",
        "定期便にするつもりはなかったのに間違えて注文しました。",
        "届け先を間違えて注文しました。いらないです。",
        "You still have not cancelled my order.",
        "Why is my order still not cancelled?",
        "Amazon did not cancel it, so please do.",
        "キャンセルしていないのはなぜですか。早くしてください。",
        "キャンセル料がかからなければお願いしたいです。",
        "不用になりました",
        "入らなくなりました",
        "やっぱいらん",
        "やっぱなしで",
        "今回の注文、なしにしてもらえますか",
        "やっぱり結構です",
        "注文を無効にしてください",
        "身に覚えのない注文です",
        "息子が勝手に注文しました",
        "まだ発送していなければ止められますか",
        "I don't want this order anymore",
        "I don't need this item any more",
        "I would like to withdraw my order",
        "Please void this order",
        "My child ordered this without permission",
        "The seller has still not canceled my order",
        "They did not cancel it. Please cancel.",
        "You never cancelled my order!",
        "なぜキャンセルしていないのですか",
        "キャンセルしてないのはどうしてですか",
        "キャンセル手数料がかからないならお願いします",
        "娘が勝手に購入してしまいました。",
        "注文した覚えがありません。",
        "オーダーを無効にして頂けますか",
        "もう不用です",
        "今回の注文、キャンセルで",
        "やっぱり大丈夫です",
        "やっぱいいです",
        "発送前なら止められますか？",
        "Could you revoke my order?",
        "I do not want it anymore.",
        "We don't need the item anymore.",
        "My son bought this without my permission.",
        "間違えて注文しました。追跡番号はまだですか。",
        "キャンセルできない商品だと理解していますが、何とかお願いできませんか",
        "間違えて注文しました、ギフト包装もしてしまいました。返金をお願いします。",
    ],
)
def test_everyday_words_ask_too(text: str) -> None:
    """Seen red, most of them: the word was unknown, another matter stood in another sentence, or `not_wishes` took the
    complaint that it is not cancelled yet for a wish to keep it.
    """
    assert wish.asks(text)


@pytest.mark.parametrize(
    "text",
    [
        "発送を止めずに進めてください",
        "キャンセルできない商品だと理解しています。",
        "色がいらないなら買いません",
        "I have not cancelled my order.",
        "I never cancelled this order",
        "I did not cancel",
        "Please do not cancel my order",
        "Your company has not cancelled, thank you",
        "電源が入らなくなりました。",
        "やっぱりいいですね！気に入りました",
        "キャンセル料はかかりませんか？",
        "キャンセル料はいくらですか",
        "身に覚えのない商品が届きました",
        "発送を止めないでください",
        "住所を間違えて注文しました",
        "領収書はいらないです",
        "キャンセルできないことは承知しています。",
        "いつもまとめられますか",
        "要らないなら引き取ります",
        "I don't need the product manual",
        "勝手に注文内容が変わっています",
    ],
)
def test_what_only_sounds_like_it_asks_nothing(text: str) -> None:
    """Seen red for the first three, and for those of `side_matters` with that list taken out."""
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
    found = own("", ("やめます",), "Amazonより\nやめます\n規約", "Amazonより\n規約")
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


@pytest.mark.parametrize(
    "text",
    [
        "2022年6月6日に注文した商品について：\nキャンセルをお願いします。",
        "お世話になります。\n2022年6月6日 10:30に注文した商品について：\nキャンセルをお願いします。",
        "注文日 2022/06/06 の以下の件ですが:\n間違えて注文したのでキャンセルしてください",
        "2022年6月6日注文分：\nキャンセルをお願いします。",
        "差出人: 山田花子\n件名: キャンセルのお願い\n\n先日の注文をキャンセルしてください。",
        "--- 転送 ---\nAmazonカスタマーサービスから、こちらへと言われました。\nキャンセルしてください",
        "> キャンセルしたいです",
        "お願いします。\n|キャンセルしたいです|",
        "ありがとうございます\n-- \nキャンセルしてください\n山田",
        "Hello\n-- \nPlease cancel my order\nTaro",
    ],
)
def test_what_only_looks_like_a_quote_still_asks(text: str) -> None:
    """Seen red: all of it was cut away as a quote, a header or a signature, and the wish with it."""
    assert wish.asks(inside(text))


@pytest.mark.parametrize(
    "quote",
    [
        "キャンセルをご希望の場合は、注文履歴から「キャンセルをリクエスト」を押してください。確認でき次第、手続きいたします。",
        "注文履歴で「キャンセルをリクエスト」を選択していただけますと幸いです。",
        'To cancel, please open this order in your Amazon order history and press "Request cancellation" by 6/10.',
    ],
)
def test_a_mail_that_only_quotes_the_sellers_own_sentence_asks_nothing(quote: str) -> None:
    """Where nothing but a quote is left it is read. Seen red with the sellers' sentences not in `not_wishes`."""
    for text in (f"> {quote}", f"2022年6月7日 10:00 店:\n{quote}", quote):
        assert wish.asks(inside(text)) is None
    assert wish.asks(inside(f"キャンセルしたいです\n> {quote}"))


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


def inside(text: str) -> str:
    """The buyer's own words of a relayed message with this text."""
    return own(f"head\n{BEGIN}\n{text}\n{END}\ntail").words


@pytest.mark.parametrize("rule", "-‐―─━=_")
@pytest.mark.parametrize(
    "form", ["{0} {1} {0}", "{0}{1}{0}", "> {0} {1} {0}", " >{0} {1} {0} \t", "\t{0}\t{1}\u3000{0}\r"]
)
def test_a_delimiter_line_may_be_drawn_quoted_or_indented(rule: str, form: str) -> None:
    begin, end = (form.format(rule * 3, label) for label in ("メッセージはここから", "メッセージはここまで"))
    assert own(f"head\n{begin}\nwords\n{end}\ntail") == wish.OwnWords("words", "head\ntail", certain=True)


@pytest.mark.parametrize(
    "line",
    [
        "メッセージはここから",
        "--メッセージはここから---",
        "---メッセージはここから--",
        "x---メッセージはここから---",
        "---メッセージはここから---x",
        "--- ご注文 ---",
    ],
)
def test_any_other_line_opens_no_message(line: str) -> None:
    text = f"head\n{line}\nwords"
    assert own(text) == wish.OwnWords(text, "", certain=False)


def test_a_bare_rule_ends_the_words_only_where_the_mail_has_no_closing_line() -> None:
    assert own(f"{BEGIN}\nwords\n------\ntail") == wish.OwnWords("words", "tail", certain=True)
    assert own(f"{BEGIN}\nwords\n-----\ntail").words == "words\n-----\ntail"
    assert own(f"{BEGIN}\nwords\n--- x ---\ntail").words == "words\n--- x ---\ntail"
    assert inside("words\n------\nmore") == "words\n------\nmore"


def test_rules_before_and_delimiters_after_the_message_are_frame() -> None:
    found = own(f"a\n------\n{BEGIN}\nwords\n{END}\nb\n{END}\n------")
    assert found == wish.OwnWords("words", f"a\n------\nb\n{END}\n------", certain=True)


def test_a_second_opening_line_inside_a_message_is_the_buyers() -> None:
    assert inside(f"a\n{BEGIN}\nb") == f"a\n{BEGIN}\nb"


def test_two_messages_in_one_mail_are_both_the_buyers() -> None:
    found = own(f"1\n{BEGIN}\na\n{END}\n2\n{BEGIN}\nb\n{END}\n3")
    assert found == wish.OwnWords("a\nb", "1\n2\n3", certain=True)


def test_delimiters_in_the_plain_text_come_before_those_of_the_html_and_before_the_pre_block() -> None:
    html = f"frame\n{BEGIN}\nfrom html\n{END}"
    assert own(f"{BEGIN}\nfrom plain\n{END}", ("pre",), html).words == "from plain"
    assert own("plain", ("pre",), html) == wish.OwnWords("from html", "frame", certain=True)
    assert own("plain", ("one", "two"), "a\none\ntwo", "a") == wish.OwnWords("one\ntwo", "a", certain=True)
    assert own("plain", (), "html") == wish.OwnWords("plain", "", certain=False)
    assert own("", (), "html") == wish.OwnWords("html", "", certain=False)


@pytest.mark.parametrize(
    "line",
    [
        "-- 転送",
        " ---転送",
        "-----Original Message-----",
        "--original message",
        "------ 元のメッセージ ------",
        "---------- Forwarded message ---------",
        "On Tue, 7 Jun 2022 Shop <x@y.example> wrote:",
        " on Tuesday you WROTE ：",
        "On Mon x wrote: all this",
        "On Tue wrote: all this",
        "2022年6月7日(火) 10:00 店:",
        "店 2022/06/07 10:00：",
        "2022-06-07 店 wrote: ",
        " 2022.6.7:",
        "2022 年 6 月 7 日、店 <x@y.example> :",
        "2022 / 06 / 07 10:00:",
    ],
)
def test_a_line_that_heads_a_quote_ends_the_buyers_words(line: str) -> None:
    assert inside(f"前\n{line}\n後") == "前"


@pytest.mark.parametrize(
    "line",
    [
        "- 転送",
        "転送",
        "x -- 転送",
        "-- 転居",
        "Only yesterday my friend wrote: please",
        "Carry on what we wrote: please",
        "On Tuesday I wrote to you",
        "on it wrote: x",
        "On Tuesday we cowrote: x",
        "2022年6月7日に注文しました",
        "2022年6月7日: キャンセル",
        "22年6月7日:",
        "222年6月7日:",
        "2022年月7日:",
        "2022年100月7日:",
        "2022年6月日:",
        "2022:6:7:",
        "6月7日:",
        "From: 山田",
        "差出人：山田",
        "件名: 注文",
        "Date: 2022",
        "To: 店",
        "-- 山田",
        "x--",
        "a > b",
        "a | b",
    ],
)
def test_a_line_that_heads_no_quote_is_the_buyers(line: str) -> None:
    assert inside(f"前\n{line}\n後") == f"前\n{line}\n後"


FROM = ["From", "差出人", "送信者", "送信元"]
DATED = ["Subject", "Date", "Sent", "件名", "日付", "日時", "送信日時"]


@pytest.mark.parametrize("sender", FROM)
@pytest.mark.parametrize("dated", DATED)
@pytest.mark.parametrize("form", ["{}: x", " {} ：x"])
def test_a_block_with_sender_and_date_or_subject_ends_the_buyers_words(sender: str, dated: str, form: str) -> None:
    block = [form.format(sender), form.format(dated)]
    for lines in (block, block[::-1]):
        assert inside("\n".join(["前", *lines, "後"])) == "前"


@pytest.mark.parametrize("label", ["To", "CC", "宛先", *FROM, *DATED])
def test_a_header_block_may_hold_further_lines(label: str) -> None:
    assert inside(f"前\nFrom: x\n{label}: y\nDate: z\n後") == "前"


@pytest.mark.parametrize(
    "block",
    [
        "From: x\n本文\nDate: z",
        "x From: x\nDate: z",
        "From: x\nx Date: z",
        "From: x\nTo: y",
        "To: x\nDate: z",
        "From x\nDate",
    ],
)
def test_lines_that_make_no_header_block_are_the_buyers(block: str) -> None:
    assert inside(f"前\n{block}\n後") == f"前\n{block}\n後"


@pytest.mark.parametrize("mark", [">", "> ", "  >", "＞", "|", " | "])
def test_quoted_lines_are_left_out_and_the_words_below_are_kept(mark: str) -> None:
    assert inside(f"前\n{mark}引用\n後") == "前\n後"
    assert inside(f"前\n2022/6/7 店:\n\n{mark}引用\n後") == "前\n\n後"
    assert inside(f"前\n2022/6/7 店:\n \t\n{mark}引用\n後") == "前\n \t\n後"
    assert inside(f"前\n-----Original Message-----\nFrom: x\nDate: y\n{mark}引用\n後") == "前\n後"


@pytest.mark.parametrize("line", ["--", "-- "])
def test_a_signature_is_not_the_buyers_words(line: str) -> None:
    assert inside(f"前\n{line}\n後") == "前"


def test_a_reply_header_at_the_very_end_leaves_the_words_before_it() -> None:
    assert inside("前\n2022/6/7 店:") == "前"
    assert inside("前\nFrom: x\nDate: y") == "前"


def test_says_the_word_by_which_it_was_asked() -> None:
    assert wish.asks("注文をキャンセルしたい") == "キャンセ"
    assert wish.asks("もう不要になりました") == "不要にな"
    assert wish.asks("届いた物は不要になりました") is None
    assert wish.asks("届いた物をキャンセルしたい") == "キャンセ"


def test_a_long_excerpt_has_the_word_in_its_middle() -> None:
    shown = wish.excerpt("あ" * 200 + "キャンセ" + "い" * 200, "キャンセ")
    assert shown == "あ" * 28 + "キャンセ" + "い" * 28


def test_an_excerpt_at_the_edge_of_a_text_uses_all_its_room() -> None:
    assert wish.excerpt("あ" * 200 + "キャンセ", "キャンセ") == "あ" * 56 + "キャンセ"
    assert wish.excerpt("キャンセ" + "い" * 200, "キャンセ") == "キャンセ" + "い" * 56
    assert wish.excerpt("あ" * 28 + "キャンセ" + "い" * 28, "キャンセ") == "あ" * 28 + "キャンセ" + "い" * 28
    assert wish.excerpt("短い文", "キャンセ") == "短い文"


def test_an_excerpt_neither_begins_nor_ends_with_a_blank() -> None:
    assert wish.excerpt("\n" + "あ" * 100, "キャンセ") == "あ" * 60
    assert wish.excerpt("あ" * 59 + "\n" + "い" * 100, "キャンセ") == "あ" * 59


def test_an_excerpt_shows_a_word_that_blanks_and_line_ends_cut() -> None:
    assert wish.excerpt("あ" * 100 + "キャ\n ンセ" + "い" * 100, "キャンセ")[27:33].replace(" ", "") == "あキャンセ"
    assert wish.excerpt("  ｷｬﾝｾﾙ \n\t して  ", "キャンセ") == "キャンセル して"
    assert "1.5" in wish.excerpt("145 " * 50 + "1.5 " + "145 " * 50, "1.5")


def test_an_excerpt_of_latin_text_begins_with_a_whole_word() -> None:
    shown = wish.excerpt("abcdefghi " * 20 + "cancel it " + "abcdefghi " * 20, "cancel")
    assert shown.startswith("abcdefghi abcdefghi cancel it abcdefghi ")
    assert len(shown) > 50
    assert wish.excerpt("cancel " + "abcdefghi " * 20, "cancel").startswith("cancel abcdefghi")
    assert wish.excerpt("abc def cancel", "cancel") == "abc def cancel"
    assert wish.excerpt("あ bcdefghi" * 20 + "cancel", "cancel").endswith("cancel")


@pytest.mark.parametrize("line", ["-" * 100_000 + "x", "---" + " " * 100_000 + "x", "=" * 100_000 + " ありがとう"])
def test_a_very_long_rule_is_read_at_once(line: str) -> None:
    """Seen red (minutes) with a regular expression."""
    assert inside(f"前\n{line}\n後") == f"前\n{line}\n後"
