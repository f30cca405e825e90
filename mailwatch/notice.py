"""A parsed message in, what it says of each order out. Pure: no I/O, no clock, no log.

The verdict, first that fits: a known form of templates.toml · a buyer's wish · Amazon's, speaks of cancelling, unknown
(`possible`) · Amazon's and unreadable · ignored. Sources: domain sections 2 to 5, design section 3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum

from mailwatch.amazon import order_id, sender, template, wish, words
from mailwatch.amazon.order_id import Found
from mailwatch.amazon.sender import From, Sender
from mailwatch.amazon.template import Match, Signals, Template, Templates
from mailwatch.message import Message
from mailwatch.trust import Provider, Trust, judge


class Kind(StrEnum):
    """The kinds of notice (design section 3)."""

    REQUEST = "request"
    WISH = "wish"
    CANCELLED = "cancelled"
    POSSIBLE = "possible"
    UNREADABLE = "unreadable"
    IGNORED = "ignored"


class Route(StrEnum):
    """By which of Amazon's routes a notice came."""

    MESSAGE = "message"
    NOTIFICATION = "notification"


@dataclass(frozen=True, slots=True)
class Item:
    """One item of an order, as far as the mail names it."""

    title: str | None = None
    asin: str | None = None
    sku: str | None = None
    quantity: int | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """What one mail says of one order (or of none: `order_id` None)."""

    kind: Kind
    trust: Trust
    route: Route | None = None
    template: str | None = None
    marketplace: str | None = None
    order_id: str | None = None
    also_mentioned: tuple[str, ...] = ()
    items: tuple[Item, ...] = ()
    reason: str | None = None
    order_date: str | None = None
    ship_by: str | None = None
    excerpt: str | None = None
    sender_domain: str | None = None

    @property
    def is_told(self) -> bool:
        """Whether a notice of this kind and trust may become an alert at all; forged ones never do by themselves."""
        return self.kind is not Kind.IGNORED and self.trust is not Trust.FORGED


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a mail is, with the signals that said so (for `explain`)."""

    kind: Kind
    route: Route | None = None
    template: str | None = None
    signals: tuple[str, ...] = ()
    wish_word: str | None = None


_ASKS_SELLER = "購入者"
_SPEAKS_OF_CANCELLING = re.compile(
    r"キャンセル|キヤンセル|きゃんせる|取り?消|取りけ[しす]|cancel|stornier|storno|annull|annul|anulaci|cancelac"
)
_PRODUCT_WORDS = re.compile(r"ノイズ[・-]?キャンセ\w*|ノイキャン\w*|noise-?cancel\w*|キャンセリング")
_REPLY = re.compile(r"^(?:re|aw|sv|rv|回答|返信|返)(?:\[\d+\])?[::]", re.IGNORECASE)
_LABEL = re.compile(
    r"(?:ご?注文(?:番号|id|no\.?)|オーダー(?:番号|id|no\.?)|order\s*(?:id|number|no\.?|#)?\s*[:#]|order\s*(?:id|number)|bestellnummer"
    r"|numéro de (?:la )?commande|número de pedido|n\.?º de pedido|pedido|numero (?:d'|dell')?ordine|(?:^|\n)\s*#)"
    r"[\s:#は=()【】「」\[\]<>・|]*$",
    re.IGNORECASE,
)
_OTHER_ORDER = re.compile(
    r"(?:関連|以前|過去|前回|元の|別の|他の|previous|related|other|earlier|original)(?:の|する|した)?[\s::]*$",
    re.IGNORECASE,
)
_ORDER_LINK = re.compile(r"^https?://([0-9a-z.-]+)/.*?([0-9]{3}-[0-9]{7}-[0-9]{7})(?![0-9-])", re.IGNORECASE)

_RELAY_ITEM = re.compile(r"^\s*(\d{1,4})\s*/\s*(\S.*?)\s*\[\s*asin\s*[::]\s*([0-9a-z]{10})\s*\]\s*$", re.IGNORECASE)
_VALUE = r"[^\S\n]*[::][^\S\n]*|[^\S\n]*\t[^\S\n]*|[^\S\n]*[::]?[^\S\n]*\n[^\S\n]*"
_ITEM_LABELS = {
    "title": r"商品名|商品|品名|item|product|title|artículo|producto",
    "asin": r"asin",
    "sku": r"sku|出品者sku|merchant\s*sku|seller\s*sku",
    "quantity": r"数量|個数|quantity|qty|cantidad",
}
_REASON = (
    r"キャンセルの?理由|理由|cancel(?:l)?ation\s+reason|reason(?:\s+for\s+cancel(?:l)?ation)?|cancel\s+reason"
    r"|motivo(?:\s+de\s+cancelación)?"
)
_ORDER_DATE = r"注文日時?|ご注文日時?|購入日|order\s+date|purchase\s+date|fecha\s+del\s+pedido"
_SHIP_BY = (
    r"出荷予定日|出荷期限|発送期限|発送予定日|ship[\s-]*by(?:\s+date)?|ship\s+date|dispatch\s+by"
    r"|fecha\s+límite\s+de\s+envío"
)
_ASIN = re.compile(r"^[0-9A-Z]{10}$")
_LIMIT_VALUE = 300


def read(message: Message, provider: Provider, templates: Templates) -> tuple[Notice, ...]:
    """What the message says: one notice for each order it tells of, at least one (which may be `ignored`)."""
    origin = sender.classify(message.display_name, message.address)
    trust = judge(message, origin, provider)
    parts = _split(message, origin, templates)
    verdict = _verdict(message, origin, trust, parts, templates)
    domain = message.address.rpartition("@")[2] if message.address else None
    base = Notice(
        verdict.kind,
        trust,
        route=verdict.route,
        template=verdict.template,
        marketplace=origin.marketplace.code if origin.marketplace else None,
        sender_domain=domain,
    )
    if verdict.kind is Kind.IGNORED:
        return (base,)
    return _with_orders(base, verdict, parts)


@dataclass(frozen=True, slots=True)
class _Parts:
    """One mail's text, by whose words they are: Amazon's frame, the item lines in it, the buyer's own."""

    subject: str
    frame: str
    own: wish.OwnWords
    items: tuple[Item, ...]
    links: tuple[str, ...]
    orders: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def _split(message: Message, origin: From, templates: Templates) -> _Parts:
    text = message.text
    own = wish.OwnWords("", text, certain=True)
    if origin.sender is Sender.BUYER:
        own = wish.own_words(message.plain, message.html.quoted, message.html.text, templates)
        if not own.certain:
            own = replace(own, frame=_head_of_relay(text))
    frame, items = _take_items(order_id.fold(own.frame))
    parts = _Parts(message.subject, frame, own, items, message.html.links)
    orders, others = _orders(parts, order_id.fold(text))
    return replace(parts, orders=orders, others=others)


def _verdict(message: Message, origin: From, trust: Trust, parts: _Parts, templates: Templates) -> Verdict:
    matches = template.match(templates, _signals(message, origin, parts))
    if known := _known_form(matches):
        return _verdict_of(known, trust)
    if trust is Trust.FORGED:
        return Verdict(Kind.IGNORED)
    if origin.sender is Sender.BUYER and (word := wish.asks(parts.own.words)):
        return Verdict(Kind.WISH, Route.MESSAGE, signals=("own words",), wish_word=word)
    if _conflict(matches) or _speaks(origin, parts):
        return Verdict(Kind.POSSIBLE, _route_of(origin))
    if _is_unreadable(message, origin):
        return Verdict(Kind.UNREADABLE, _route_of(origin))
    return Verdict(Kind.IGNORED)


def _signals(message: Message, origin: From, parts: _Parts) -> Signals:
    return Signals(
        sender=origin.sender.value,
        address=message.address or "",
        subject=_without_products(words.compact(message.subject)),
        body=_without_products(words.compact(parts.frame)),
        has_order_id=bool(parts.orders),
    )


def _known_form(matches: list[Match]) -> Match | None:
    """The form that decides: a known neighbour first, then the best; None where two contradict each other."""
    neighbours = [made for made in matches if made.template.kind == "ignored"]
    if neighbours:
        return neighbours[0]
    return None if _conflict(matches) or not matches else matches[0]


def _conflict(matches: list[Match]) -> bool:
    """A request by the body and a completed cancellation by the body, and no subject decides: a person must look."""
    best = [made for made in matches if made.by_subject == matches[0].by_subject]
    return len({made.template.kind for made in best}) > 1


def _verdict_of(known: Match, trust: Trust) -> Verdict:
    form: Template = known.template
    if form.kind == "ignored" or (form.kind != "request" and trust is Trust.FORGED):
        return Verdict(Kind.IGNORED, template=form.id, signals=known.signals)
    route = Route(form.route) if form.route else None
    return Verdict(Kind(form.kind), route, form.id, known.signals)


def _speaks(origin: From, parts: _Parts) -> bool:
    """Whether Amazon's own words speak of cancelling; in a relayed message only its subject, and not a reply's."""
    subject = _without_products(words.compact(parts.subject))
    if origin.sender is Sender.BUYER:
        return not _REPLY.match(subject) and _SPEAKS_OF_CANCELLING.search(subject) is not None
    if origin.sender is not Sender.AMAZON and not (origin.sender is Sender.SHOPPER and _ASKS_SELLER in parts.frame):
        return False
    return _SPEAKS_OF_CANCELLING.search(subject + "\n" + _without_products(words.compact(parts.frame))) is not None


def _is_unreadable(message: Message, origin: From) -> bool:
    if origin.sender is Sender.UNREADABLE:
        return True
    is_amazon = origin.sender in {Sender.AMAZON, Sender.BUYER}
    return is_amazon and (bool(message.defects) or not message.text.strip())


def _route_of(origin: From) -> Route | None:
    if origin.sender is Sender.BUYER:
        return Route.MESSAGE
    return Route.NOTIFICATION if origin.is_amazon else None


def _with_orders(base: Notice, verdict: Verdict, parts: _Parts) -> tuple[Notice, ...]:
    excerpt = wish.excerpt(parts.own.words, verdict.wish_word) if verdict.wish_word else None
    full = replace(
        base,
        items=parts.items,
        reason=_value(parts.frame, _REASON),
        order_date=_value(parts.frame, _ORDER_DATE),
        ship_by=_value(parts.frame, _SHIP_BY),
        excerpt=excerpt,
        also_mentioned=parts.others,
    )
    if not parts.orders:
        return (full,)
    return tuple(replace(full, order_id=each) for each in parts.orders)


# ---- which order ----


def _orders(parts: _Parts, whole: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(the orders the mail tells of, others that it mentions).

    First that gives one: the subject, a label, the order link, Amazon's own text. Never the buyer's own words. Several
    equally labelled IDs and none in the subject are several orders (domain section 5).
    """
    orders = _places(parts)
    mentioned = [*order_id.find(order_id.fold(parts.subject)), *order_id.find(whole)]
    everything = dict.fromkeys([*(found.order_id for found in mentioned), *_linked(parts.links)])
    return orders, tuple(each for each in everything if each not in orders)


def _places(parts: _Parts) -> tuple[str, ...]:
    in_subject = order_id.unique(order_id.find(order_id.fold(parts.subject)))
    if in_subject:
        return _one_of_subject(in_subject, parts)
    in_frame = order_id.find(parts.frame)
    labelled = order_id.unique([found for found in in_frame if _is_labelled(parts.frame, found)])
    if labelled:
        return labelled
    linked = _linked(parts.links)
    return linked[:1] or order_id.unique(in_frame)[:1]


def _one_of_subject(in_subject: tuple[str, ...], parts: _Parts) -> tuple[str, ...]:
    """Several IDs in the subject: those that the text labels too, else the first."""
    if len(in_subject) == 1:
        return in_subject
    labelled = {found.order_id for found in order_id.find(parts.frame) if _is_labelled(parts.frame, found)}
    return tuple(each for each in in_subject if each in labelled)[:1] or in_subject[:1]


def _is_labelled(text: str, found: Found) -> bool:
    before = words.normalise(text[max(0, found.start - 40) : found.start])
    label = _LABEL.search(before)
    return label is not None and not _OTHER_ORDER.search(before[: label.start()])


def _linked(links: tuple[str, ...]) -> tuple[str, ...]:
    """The IDs of links to an order page of a Seller Central host."""
    found = [match for link in links if (match := _ORDER_LINK.match(link))]
    return tuple(dict.fromkeys(match[2] for match in found if match[1].lower().startswith("sellercentral.amazon.")))


def _head_of_relay(text: str) -> str:
    """Where the buyer's words could not be told from Amazon's: only `# <id>:` and item lines are surely Amazon's."""
    lines = [line for line in text.split("\n") if re.match(r"^\s*#\s*[0-90-9]{3}", line) or _RELAY_ITEM.match(line)]
    return "\n".join(lines)


# ---- items and other values ----


def _take_items(text: str) -> tuple[str, tuple[Item, ...]]:
    """(the text without what sellers write into titles, the items). A title may hold any word and any number."""
    kept: list[str] = []
    items: list[Item] = []
    current: dict[str, str] = {}
    lines = text.split("\n")
    for at, line in enumerate(lines):
        if relayed := _RELAY_ITEM.match(line):
            items.append(_item({"quantity": relayed[1], "title": relayed[2], "asin": relayed[3]}))
            continue
        label, value = _labelled(line, lines[at + 1] if at + 1 < len(lines) else "")
        if label is None:
            kept.append("" if line.strip() == current.get("title") else line)
            continue
        if label in current:
            items.append(_item(current))
            current = {}
        current[label] = value
    if current:
        items.append(_item(current))
    return "\n".join(kept), tuple(dict.fromkeys(item for item in items if item != Item()))


def _labelled(line: str, following: str) -> tuple[str | None, str]:
    """(which item label opens the line, its value, which may stand in the next line)."""
    for name, pattern in _ITEM_LABELS.items():
        if found := re.match(rf"^\s*[・■●◆*-]?\s*(?:{pattern})\s*(?:[::]\s*|\t\s*|$)(.*)$", line, re.IGNORECASE):
            value = found[1].strip() or (following.strip() if not _opens_label(following) else "")
            return name, value[:_LIMIT_VALUE]
    return None, ""


def _opens_label(line: str) -> bool:
    return re.match(r"^\s*[^\s::]{1,20}\s*[::]", line) is not None


def _item(values: dict[str, str]) -> Item:
    asin = values.get("asin", "").strip().upper()
    quantity = re.match(r"\d{1,4}", values.get("quantity", "").strip())
    return Item(
        title=values.get("title") or None,
        asin=asin if _ASIN.match(asin) else None,
        sku=values.get("sku") or None,
        quantity=int(quantity[0]) if quantity else None,
    )


def _value(text: str, label: str) -> str | None:
    """The value behind a label at the beginning of a line."""
    found = re.search(
        rf"^[^\S\n]*[・■●◆*-]?[^\S\n]*(?:{label})(?:{_VALUE})(\S[^\n]*)$", text, re.IGNORECASE | re.MULTILINE
    )
    return found[1].strip()[:_LIMIT_VALUE] or None if found else None


def _without_products(compacted: str) -> str:
    return _PRODUCT_WORDS.sub("", compacted)
