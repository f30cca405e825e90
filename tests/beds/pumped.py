"""Texts that make a pattern work: each repetition without a bound, fed with what it takes and then with what it can't.

A pattern is read by the standard library's own parser, so a new one is pumped as soon as it stands in a module.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from functools import partial
from re import _constants as codes  # type: ignore[attr-defined]  # the parser has no public name
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

from mailwatch import anonymise, charset, message, notice
from mailwatch.amazon import dates, details, template, wish
from mailwatch.trust import Provider

MODULES = (
    "mailwatch.notice",
    "mailwatch.message",
    "mailwatch.transfer",
    "mailwatch.encoded_words",
    "mailwatch.html_text",
    "mailwatch.charset",
    "mailwatch.trust",
    "mailwatch.persons",
    "mailwatch.anonymise",
    "mailwatch.amazon.dates",
    "mailwatch.amazon.details",
    "mailwatch.amazon.order_id",
    "mailwatch.amazon.sender",
    "mailwatch.amazon.template",
    "mailwatch.amazon.wish",
    "mailwatch.amazon.words",
)
_PROVIDER = Provider("mx.google.com", ("google.com",))
_AMAZON = b"From: Amazon <seller-notification@amazon.co.jp>\nX-Mailwatch-Sample: synthetic\n"
_BUYER = b"From: a <a@marketplace.amazon.co.jp>\nX-Mailwatch-Sample: synthetic\n"
_TRACE = b"Authentication-Results: mx.google.com; "
_PLAIN = b"Content-Type: text/plain; charset=utf-8\n\n"
_PAGE = b"Content-Type: text/html; charset=utf-8\n\n"
_BEGIN, _END_LINE = (f"------------- メッセージはここ{word} -------------\n".encode() for word in ("から", "まで"))
# What fits no pattern's end.
_END = "〓"
_CANDIDATES = " x1\n\t-.:<>'\"あA0/@[]()\x00"
_REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT)
# A bound this high is none for a short line.
_MANY = 100


class Pump(NamedTuple):
    """A text of any size: `head`, then `unit` over and over."""

    name: str
    head: str
    unit: str

    def text(self, size: int) -> str:
        """The text, of about `size` characters."""
        return self.head + self.unit * max(1, (size - len(self.head)) // len(self.unit)) + _END


def patterns() -> dict[str, re.Pattern[str] | re.Pattern[bytes]]:
    """The compiled patterns of the modules that read mail, by their names."""
    found: dict[str, re.Pattern[str] | re.Pattern[bytes]] = {}
    for name in MODULES:
        of_module = vars(importlib.import_module(name)).items()
        found |= {f"{name.removeprefix('mailwatch.')}.{key}": p for key, p in of_module if isinstance(p, re.Pattern)}
    rules = wish._rules()
    found |= {f"wishes.toml {key}": getattr(rules, key) for key in rules.__slots__}
    found |= {f"details.{key}": re.compile(getattr(details, key)) for key in ("REASON", "ORDER_DATE", "SHIP_BY")}
    return found


def pumps(name: str, pattern: re.Pattern[str] | re.Pattern[bytes]) -> list[Pump]:
    """What to pump a pattern with: each of its unbounded repetitions once behind its beginning, and over and over."""
    source = pattern.pattern
    tree = parser.parse(source.decode("latin-1") if isinstance(source, bytes) else source, pattern.flags & ~re.UNICODE)
    made: dict[tuple[str, str], None] = {}
    for head, body in _repetitions(tree, ""):
        for unit in _units(head, body):
            made[head, unit] = None
            made["", head + unit] = None
    return [Pump(f"{name} {head!r} + {unit!r} …", head, unit) for head, unit in made if unit]


def _repetitions(tree: Any, head: str) -> Iterator[tuple[str, Any]]:
    """(what leads there, what is repeated) of each repetition without a bound."""
    for code, given in tree:
        if code in _REPEATS:
            low, high, body = given
            if high >= _MANY:
                yield head + _example(body) * low, body
            yield from _repetitions(body, head)
        else:
            for inner in _inner(code, given):
                yield from _repetitions(inner, head)
        head += _example([(code, given)])


def _inner(code: Any, given: Any) -> list[Any]:
    if code is codes.SUBPATTERN:
        return [given[-1]]
    if code is codes.BRANCH:
        return list(given[1])
    if code in (codes.ASSERT, codes.ASSERT_NOT):
        return [given[1]]
    return [given] if code is codes.ATOMIC_GROUP else []


def _units(head: str, body: Any) -> list[str]:
    """What the repetition takes: an example, blanks and line ends if it takes them, and its own beginning."""
    units = [_example(body)]
    if len(body) == 1 and body[0][0] in (codes.IN, codes.ANY, codes.NOT_LITERAL):
        units += [each for each in (" ", "\n", head) if each and all(_takes(body[0], letter) for letter in each)]
    return list(dict.fromkeys(units))


def _example(tree: Any) -> str:
    """A short text that the pattern takes, or nearly takes."""
    return "".join(_one(code, given) for code, given in tree)


def _one(code: Any, given: Any) -> str:  # noqa: PLR0911 - one return a kind of node
    if code in _REPEATS:
        return _example(given[2]) * int(given[0])
    if code is codes.LITERAL:
        return chr(given)
    if code is codes.BRANCH:
        return _example(given[1][0])
    if code is codes.ASSERT and given[0] > 0:
        return ""
    if inner := _inner(code, given) if code is not codes.ASSERT_NOT else []:
        return _example(inner[0])
    if code is codes.IN and given[0][0] is codes.LITERAL:
        return chr(given[0][1])
    return next((each for each in _CANDIDATES if _takes((code, given), each)), "")


def _takes(node: Any, letter: str) -> bool:
    """Whether a set of characters, or one character, takes the letter."""
    code, given = node
    if code is codes.ANY:
        return letter != "\n"
    if code is codes.NOT_LITERAL:
        return bool(ord(letter) != given)
    if code is not codes.IN:
        return False
    is_negated = given[0][0] is codes.NEGATE
    return any(_is_of(part, letter) for part in given[is_negated:]) != is_negated


_CATEGORIES = {
    codes.CATEGORY_SPACE: r"\s",
    codes.CATEGORY_NOT_SPACE: r"\S",
    codes.CATEGORY_DIGIT: r"\d",
    codes.CATEGORY_NOT_DIGIT: r"\D",
    codes.CATEGORY_WORD: r"\w",
    codes.CATEGORY_NOT_WORD: r"\W",
}


def _is_of(part: Any, letter: str) -> bool:
    code, given = part
    if code is codes.RANGE:
        return bool(given[0] <= ord(letter) <= given[1])
    if code is codes.CATEGORY:
        return re.match(_CATEGORIES[given], letter) is not None
    return bool(code is codes.LITERAL and ord(letter) == given)


class Row(NamedTuple):
    """Something to read, made at any size in bytes."""

    name: str
    make: Callable[[int], Any]
    read: Callable[[Any], object]


def rows() -> list[Row]:
    """Each pump of each pattern, read in every place of a mail that a stranger fills."""
    return [
        Row(pump.name, pump.text, read_everywhere)
        for name, pattern in patterns().items()
        for pump in pumps(name, pattern)
    ]


def read_everywhere(text: str) -> None:
    """Read a text as Amazon's, as a buyer's with and without the delimiters, as a page, and as header fields."""
    data = text.encode("utf-8", "replace")
    for mail in (
        _AMAZON + _PLAIN + data,
        _BUYER + _PLAIN + data,
        _BUYER + _PLAIN + _BEGIN + data + _END_LINE,
        _AMAZON + _PAGE + b"<p>" + data,
        b"Subject: " + data.replace(b"\n", b"\n ") + b"\n" + _AMAZON + _PLAIN + b"x",
        b"From: " + data.replace(b"\n", b"\n ") + b"\n\nx",
        _TRACE + data.replace(b"\n", b"\n ") + b"\n" + _AMAZON + _PLAIN + b"x",
    ):
        read(mail)
    charset.decode(data)
    charset.decode(data, "iso-2022-jp")
    dates.parse(text)
    anonymise.copy(_BUYER + _PLAIN + data, template.shipped())
    anonymise.copy(_AMAZON + _PAGE + data, template.shipped())


def read(mail: bytes) -> tuple[notice.Notice, ...]:
    """Parse and recognise."""
    return notice.read(message.parse(mail), _PROVIDER, template.shipped())


def tricks() -> list[Row]:
    """What was found by hand, or hits a loop and no pattern."""
    return [
        *(Row(f"page: {name}", partial(_mail_of, _BUYER + _PAGE, make), read) for name, make in _PAGES.items()),
        *(Row(f"buyer: {name}", partial(_mail_of, _BUYER + _PLAIN, make), read) for name, make in _TEXTS.items()),
        *(Row(f"Amazon: {name}", partial(_mail_of, _AMAZON + _PLAIN, make), read) for name, make in _TEXTS.items()),
        *(
            Row(f"anonymise: {name}", partial(_mail_of, _BUYER + _PLAIN, make), _anonymised)
            for name, make in _TEXTS.items()
        ),
        *(Row(f"mail: {name}", make, read) for name, make in _MAILS.items()),
        *(Row(f"charset: {name}", make, charset.decode) for name, make in _BYTES.items()),
    ]


def _mail_of(head: bytes, make: Callable[[int], str], size: int) -> bytes:
    return head + make(size).encode("utf-8")


def _anonymised(mail: bytes) -> bytes:
    return anonymise.copy(mail, template.shipped())


def _times(unit: str, head: str = "", tail: str = "") -> Callable[[int], str]:
    return lambda size: head + unit * (size // len(unit.encode("utf-8"))) + tail


def _numbered(unit: str, head: str = "") -> Callable[[int], str]:
    """The unit over and over, each time with another number of seven digits."""
    length = len(unit.format(0).encode("utf-8"))
    return lambda size: head + "".join(unit.format(number) for number in range(size // length))


_PRE = '<pre style="white-space:-o-pre-wrap">'
_PAGES = {
    "empty <pre>": _times("<pre style=-o-pre-wrap></pre>", tail="x"),
    "nested <pre>": _times(_PRE, tail="x"),
    "50 nested <pre>": lambda size: _PRE * 50 + "x" * size,
    "<pre> of one letter": _times(_PRE + "a</pre>"),
    "<b> and as many </i>": lambda size: "<b>" * (size // 7) + "</i>" * (size // 7),
    "<b> and as many </p>": lambda size: "<b>" * (size // 7) + "</p>" * (size // 7),
    "nested <div>": _times("<div>"),
    "tables": _times("<table><tr><td>"),
    "end tags of tables": lambda size: "<table>" * (size // 12) + "</tr>" * (size // 12),
    "attributes": _numbered(" a{:07}", "<a "),
    "unclosed quotes": _times('<a href="'),
    "comments": _times("<!--"),
    "references": _times("&#12354;"),
    "phrases in one character": _times("\ufdfa"),
}
_TEXTS = {
    "1/x, blanks, y": _times(" ", "1/x", "y"),
    "1/x, [ over and over": _times("[", "1/x"),
    "1/x, [asin: over and over": _times("[asin:0123456789]x", "1/x"),
    "lines of 1,990 blanks and x": _times(" " * 1990 + "x\n"),
    "lines of 1/x, blanks, y": _times("1/x" + " " * 1990 + "y\n"),
    "blanks": _times(" ", tail="x"),
    "line ends": _times("\n"),
    "lines of one letter": _times("a\n"),
    "lines of different letters": _numbered("{:07}a\n"),
    "order IDs in one line": _numbered("249-{:07}-7654321 "),
    "a label and order IDs in one line": _numbered("249-{:07}-7654321 x ", "注文番号: "),
    "a column of order IDs": _numbered("249-{:07}-7654321\n", "注文番号\n"),
    "# and order IDs": _numbered("\n# 249-{:07}-7654321:"),
    "links to orders": _numbered("https://sellercentral.amazon.co.jp/orders-v3/order/249-{:07}-7654321 "),
    "items": _numbered("1/x [asin: B00{:07}]\n"),
    "labels of items": _times("商品名:\n"),
    "labels of reasons": _times("キャンセルの理由:\n"),
    "delimiters": _times(" ---a---\n"),
    "dashes": _times("-", tail="x"),
    "words for cancelling": _times("キャンセル"),
    "sentences that ask": _times("購入者が注文のキャンセルをリクエストしました。"),
    "words of all forms": _times("注文キャンセルリクエスト承認完了依頼"),
    "digits": _times("1"),
    "letters": _times("a"),
    "addresses": _times("a@"),
    "names": _times("山田様"),
    "a name's label and blanks": _times(" ", "氏名", "x"),
    "labels of names": _numbered("氏名: 山{:07}\n"),
    "phrases in one character": _times("\ufdfa"),
    "combining marks": _times("\u0315\u0300"),
    "dates": _times("2022年6月7日 "),
    "1111 in blanks": lambda size: " " * (size // 2) + "1111" + " " * (size // 2) + "x",
    "reply headers": _times("From: a\nDate: b\n"),
    "quotes": _times("> x\n"),
    "bars": _times("|", tail="x"),
    "on and wrote": _times("wrote ", "on "),
}
_FLOWED = b"Content-Type: text/plain; format=flowed\n"
_ENCODED = b"Content-Transfer-Encoding: "
_RESULT = b"; dkim=pass header.i=@a"
_MAILS: dict[str, Callable[[int], bytes]] = {
    "parameters": lambda size: b'Content-Type: text/plain; x="' + b";" * min(size, 15_000) + b"\n" + _BUYER + b"\nx",
    "parameters of a part": lambda size: _part(b'text/plain; x="' + b";" * size, b"x"),
    "parameters of a disposition": lambda size: _part(b"text/plain\nContent-Disposition: a; x=" + b";" * size, b""),
    "a delivery report of line ends": lambda size: _part(b"message/delivery-status", b"\n" * size),
    "49 multiparts and line ends": lambda size: (
        _AMAZON
        + b"".join(b"Content-Type: multipart/mixed; boundary=%d\n\n--%d\n" % (n, n) for n in range(49))
        + b"\n" * size
    ),
    "boundary lines": lambda size: _part(b"text/plain", b"\n--" * (size // 3)),
    "fields of a part": lambda size: _part(b"text/plain\n" + b"a:b\n" * (size // 4), b"x"),
    "folded field": lambda size: b"X: a\n" + b" \n" * min(size // 2, 50_000) + _AMAZON + b"\nx",
    "fields": lambda size: b"a:\n" * min(size // 3, 33_000) + _AMAZON + b"\nx",
    "encoded words": lambda size: b"Subject: " + b"=?utf-8?q?a?= " * (size // 14) + b"\n" + _AMAZON + b"\nx",
    "brackets in From": lambda size: b"From: Amazon " + b"(" * size + b" <a@amazon.co.jp>\n\nx",
    "Received fields": lambda size: b"Received: from a by b (c)\n" * min(size // 26, 3800) + _AMAZON + b"\nx",
    "results": lambda size: _TRACE + _RESULT * (size // 23) + b"\n" + _AMAZON + b"\nx",
    "flowed lines": lambda size: _FLOWED + _AMAZON + b"\n" + b"a \n" * (size // 3),
    "a flowed line of blanks": lambda size: _FLOWED + _AMAZON + b"\na" + b" " * size + b"\n",
    "quoted-printable": lambda size: _ENCODED + b"quoted-printable\n" + _AMAZON + b"\n" + b"=" * size,
    "uuencode": lambda size: _ENCODED + b"x-uuencode\n" + _AMAZON + b"\nbegin 644 a\n" + b"!\n" * (size // 2),
    "base64": lambda size: _ENCODED + b"base64\n" + _AMAZON + b"\n" + b"=" * size,
}
_BYTES: dict[str, Callable[[int], bytes]] = {
    "ISO-2022-JP with odd bytes": lambda size: b"\x1b(B\xff\x0f" * (size // 5),
    "ISO-2022-JP with odd lines": lambda size: b"\x1b(B" + b"\xff\n" * (size // 2),
    "escape sequences": lambda size: b"\x1b$B" * (size // 3),
    "JIS pairs": lambda size: b"\x1b$B" + b"0l" * (size // 2),
    "EUC-JP": lambda size: b"\xa4\xa2" * (size // 2) + b"\xff",
    "CP932": lambda size: b"\x82\xa0" * (size // 2) + b"\xff",
    "odd bytes": lambda size: b"\xff" * size,
}


def _part(kind: bytes, body: bytes) -> bytes:
    """A multipart with one part of the kind; what stands in `kind` behind a line end are further fields."""
    head = _AMAZON + b"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: "
    return head + kind + b"\n\n" + body + b"\n--b--\n"
