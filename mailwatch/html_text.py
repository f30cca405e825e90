"""HTML in, the text a person would read out; beautifulsoup4 on lxml, and nowhere else.

lxml, never html.parser: 180 KB of `<a href="` cost html.parser 36.7 s and lxml 0.00 s (traps section 2).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bs4 import BeautifulSoup
from bs4.element import CData, NavigableString, PageElement, Tag

LIMIT = 512 * 1024
# A newsletter of 150 KB has 6,000. lxml looks through all open tags at each end tag that fits none: 60,000 `<b>` and as
# many `</i>` cost 27 s.
_MOST_TAGS = 10_000
_MOST_QUOTED = 50

_SILENT = {"style", "script", "head", "title", "template", "noscript"}
_BLOCK = {
    "address", "article", "blockquote", "center", "dd", "div", "dl", "dt", "fieldset", "footer", "form", "h1", "h2",
    "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "table", "tbody", "thead",
    "tr", "ul",
}  # fmt: skip
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all", re.IGNORECASE)
_TAG = re.compile(r"<!--|-->|</?[a-zA-Z][^<>]{0,1000}>")
_UNCLOSED_QUOTE = re.compile(r"=\s*(?:\"[^\">]{0,2000}<|'[^'>]{0,2000}<)")
_SPACES = re.compile(r"[ \t\r\n\f]+")


@dataclass(frozen=True, slots=True)
class HtmlText:
    """What an HTML part says.

    `text`: one line a block, table cells apart by a tab. `quoted`: the text of each `<pre … -o-pre-wrap …>`, where
    Amazon puts the buyer's own words, one inside another only once. `frame`: the text without them. `links`: the href
    of every link.
    """

    text: str = ""
    quoted: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    frame: str = ""


def read(html: str) -> HtmlText:
    """Read at most `LIMIT` characters of HTML; any text gives a value."""
    html = html[:LIMIT].replace("\x00", "").encode("utf-8", "replace").decode("utf-8")
    if html.count("<") > _MOST_TAGS:
        text = _without_tags(html)
        return HtmlText(text, frame=text)
    # The opening tag keeps bs4 from guessing that a text without tags is a file name, or that `<?xml` asks for XML.
    soup = BeautifulSoup("<html>" + html, "lxml")
    links = tuple(str(a["href"]) for a in soup.find_all("a", href=True, limit=500))
    pieces = list(_pieces(soup))
    text = _lines("".join(piece for piece, _ in pieces))
    quoted = _quoted(pieces)
    frame = _lines("".join(piece for piece, block in pieces if block is None))
    if _swallows_text(html):
        raw = _without_tags(html)
        text, frame = f"{text}\n{raw}", f"{frame}\n{_without(raw, quoted)}"
    return HtmlText(text, quoted, links, frame)


def _quoted(pieces: list[tuple[str, Tag | None]]) -> tuple[str, ...]:
    """The text of each of the first `_MOST_QUOTED` blocks; what the others hold is in the last."""
    blocks: dict[int, list[str]] = {}
    for piece, block in pieces:
        if block is not None:
            blocks.setdefault(id(block), []).append(piece)
    texts = [_lines("".join(block)) for block in blocks.values()]
    rest = texts[_MOST_QUOTED - 1 :]
    return (*texts[: _MOST_QUOTED - 1], *(["\n".join(rest)] if rest else []))


def _without(raw: str, quoted: tuple[str, ...]) -> str:
    """The text of a page that lxml misreads, without those quoted blocks that stand in it as they are."""
    for each in filter(None, quoted):
        raw = raw.replace(each, "\n")
    return raw


def _without_tags(html: str) -> str:
    """The text of a page that the parser can't be trusted with."""
    return _lines(_SPACES.sub(" ", _TAG.sub(" ", html)))


def _swallows_text(html: str) -> bool:
    """Whether lxml takes text for a comment or an attribute, because its end is missing (libraries section 4)."""
    return html.rfind("<!--") > html.rfind("-->") or _UNCLOSED_QUOTE.search(html) is not None


def _pieces(root: Tag) -> Iterator[tuple[str, Tag | None]]:
    """Yield the pieces of text in order, each with the outermost quoted block it stands in.

    Without recursion: hostile HTML nests 20,000 deep. Each piece comes once: blocks inside blocks held a text 50 times.
    """
    stack: list[tuple[PageElement | str, bool, Tag | None]] = [(root, False, None)]
    while stack:
        node, is_preformatted, block = stack.pop()
        if isinstance(node, Tag):
            inside = block or (node if _is_quoted(node) else None)
            if inside is not block:
                yield "\n", None
            stack.extend((each, preformatted, inside) for each, preformatted in _inside(node, is_preformatted))
        elif type(node) in {NavigableString, CData}:
            yield (str(node) if is_preformatted else _SPACES.sub(" ", str(node))), block
        elif type(node) is str:
            yield node, block


def _is_quoted(tag: Tag) -> bool:
    return tag.name == "pre" and "-o-pre-wrap" in str(tag.get("style"))


def _lines(text: str) -> str:
    """The lines that say something, without blanks around them; by hand, for a regular expression is quadratic here."""
    lines = (line.strip(" \t") for line in text.split("\n"))
    return "\n".join(line for line in lines if line).strip()


def _inside(tag: Tag, is_preformatted: bool) -> list[tuple[PageElement | str, bool]]:
    """What is inside the tag, last first, between the marks that the tag stands for."""
    if tag.name in _SILENT or _HIDDEN.search(str(tag.get("style", ""))):
        return []
    if tag.name == "br":
        return [("\n", False)]
    before = "\n" if tag.name in _BLOCK else ""
    after = "\t" if tag.name in {"td", "th"} else before
    contents = [(child, is_preformatted or tag.name == "pre") for child in reversed(tag.contents)]
    return [(after, False), *contents, (before, False)]
