"""What a mail of Amazon's says beside its kind: whose words are whose, which order, which items, reason and dates.

Sources: domain sections 2 (layout) and 5 (which of several IDs is the order).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import unquote

from mailwatch import transfer
from mailwatch.amazon import order_id, wish, words
from mailwatch.amazon.marketplace import Basis, Marketplace, of_id, of_order_host
from mailwatch.amazon.order_id import Found
from mailwatch.amazon.sender import From, Sender
from mailwatch.amazon.template import Templates
from mailwatch.message import Message

_LABEL = re.compile(
    r"(?:ご?注文(?:番号|id|no\.?)|オーダー(?:番号|id|no\.?)|order\s*(?:id|number|no\.?|#)?\s*[:#]|order\s*(?:id|number)|bestellnummer"
    r"|numéro de (?:la )?commande|número de pedido|n\.?º de pedido|pedido|numero (?:d'|dell')?ordine|(?:^|\n)\s*#)"
    r"[\s:#は=()【】「」\[\]<>・|]*$",
    re.IGNORECASE,
)
_OTHERS = "関連|以前|過去|前回|先月|(?<!手)元の|別の|他の|previous|related|other|earlier|original"
_OTHER_ORDER = re.compile(rf"(?:{_OTHERS})(?:の|する|した)?[\s:：]*$", re.IGNORECASE)
# Round an ID without a label, within its sentence.
_OTHER_BEFORE = re.compile(rf"(?:{_OTHERS})[^。\n]{{0,15}}$")
_OTHER_BEHIND = re.compile(r"^[^。\n]{0,8}?(?:と?は(?:別|異な)|ではな|ではあり|は(?:出荷済|発送済|対象外))")
_HEAD_MARK = re.compile(r"\n[ \t]*#[ \t]*$")
_LIST_MARKS = re.compile(r"[\s,、，・;/と及びand]+")
# Hosts from which Amazon sends notices of all marketplaces.
_OF_ANY_MARKETPLACE = {"amazon.com", "sell.amazon.com", "amazonsellerservices.com"}
_LIMIT_LINK = 2000
_URL = re.compile(rf"https?://[^\s<>\"']{{1,{_LIMIT_LINK}}}")
_ORDER_LINK = re.compile(r"^(?:https?://)?([0-9a-z.-]+)/.*?([0-9]{3}-[0-9]{7}-[0-9]{7})(?![0-9-])", re.IGNORECASE)
_INNER_LINK = re.compile(r"(?=https?://)|(?<=[/=?&])(?<!://)(?=sellercentral\.)", re.IGNORECASE)
# Link scanners wrap links in links: twice is common, thrice was never seen.
_UNWRAPPINGS = 3
# Sophos writes the whole link in base64.
_BASE64_LINK = re.compile(r"(?<==)aHR0c(?:HM6Ly|DovL)[0-9A-Za-z+/]{12,}")
# Proofpoint's v2 form writes `-3A` for `:`, `_` for `/`, `-2D` for `-`.
_DASH_ESCAPE = re.compile(r"-([0-9A-F]{2})")

_RELAY_ITEM = re.compile(r"(\d{1,4})\s*/\s*(\S.*)")
# For a line without blanks in front: two runs of blanks side by side are tried in every division between them.
_ITEM_LABEL = re.compile(
    r"[・■●◆*【\[-]?\s*(?:(?P<title>(?:ご?注文|対象)?商品(?:名|タイトル)?(?:[/／][sｓ][kｋ][uｕ])?|品名|(?:item|product)(?:\s(?:name|title))?|items|title|artículo|producto"
    r"|articolo|prodotto|titolo|artikel(?:name|bezeichnung)?|produkt|titel|article|produit|titre)|(?P<asin>asin)"
    r"|(?P<sku>(?:出品者|商品)?[sｓ][kｋ][uｕ]|(?:merchant|seller|händler|vendeur|venditore)[\s-]?sku|sku\s(?:venditore|vendeur|vendedor))"
    r"|(?P<quantity>ご?注文(?:数量?|個数)|数量|個数|quantity(?:\sordered)?|qty|cantidad|quantità|menge|anzahl|quantité|qté))"
    r"[】\]]?\s*(?:[:：]|(?<=[】\]])|\t|$)(?P<value>.*)",
    re.IGNORECASE,
)
# The labels of `value`, which are looked for in many lines at once: no `\s`, which goes over the end of a line.
REASON = (
    r"キャンセルの?理由|理由|cancel(?:l)?ation[^\S\n]+reason|reason(?:[^\S\n]+for[^\S\n]+cancel(?:l)?ation)?|cancel[^\S\n]+reason"
    r"|motivo(?:[^\S\n]+de[^\S\n]+cancelación)?"
)
ORDER_DATE = r"注文日時?|ご注文日時?|購入日|order[^\S\n]+date|purchase[^\S\n]+date|fecha[^\S\n]+del[^\S\n]+pedido"
SHIP_BY = (
    r"出荷予定日|出荷期限|発送期限|発送予定日|ship(?:-|[^\S\n])*by(?:[^\S\n]+date)?|ship[^\S\n]+date|dispatch[^\S\n]+by"
    r"|fecha[^\S\n]+límite[^\S\n]+de[^\S\n]+envío"
)
_ASIN = re.compile(r"^[0-9A-Z]{10}$")
_ASIN_BESIDE = re.compile(r"\[\s*asin\s*[:：]\s*([0-9a-z]{10})\s*\]\s*$", re.IGNORECASE)
_LIMIT_VALUE = 300
_LIMIT_LINE = 2000
_LIMIT_ITEMS = 50
_LIMIT_MARKS = 12
_LIMIT_INDENT = 100


@dataclass(frozen=True, slots=True)
class Item:
    """One item of an order, as far as the mail names it."""

    title: str | None = None
    asin: str | None = None
    sku: str | None = None
    quantity: int | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """One mail's text, by whose words they are: Amazon's frame, the item lines in it, the buyer's own."""

    subject: str
    frame: str
    own: wish.OwnWords
    items: tuple[Item, ...]
    links: tuple[str, ...]
    orders: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    is_labelled: bool = True


def split(message: Message, origin: From, templates: Templates, *, is_relay: bool = False) -> Parts:
    """Return the mail's text by whose words they are, and what Amazon's own say of orders and items.

    `is_relay`: a buyer's message from another address than the relay's.
    """
    text = message.text
    if origin.sender is Sender.BUYER:
        own = wish.own_words(message.plain, message.html, templates)
        if not own.certain and is_relay:
            own = wish.behind_label(message.plain or message.html.text, templates)
        if not own.certain:
            own = replace(own, frame=_head_of_relay(text))
    else:
        own = wish.OwnWords("", wish.without_message(text, templates), certain=True)
    frame, items = _take_items(order_id.fold(own.frame))
    parts = Parts(message.subject, frame, own, items, message.html.links)
    orders, is_labelled = _places(parts)
    return replace(parts, orders=orders, others=_others(parts, order_id.fold(text), orders), is_labelled=is_labelled)


# ---- which order ----


def _places(parts: Parts) -> tuple[tuple[str, ...], bool]:
    """(the orders the mail tells of, whether Amazon calls them that).

    First that gives one: the subject, a label, the order link, Amazon's own text. Never the buyer's own words. Several
    of one rank are several orders (domain section 5).
    """
    in_subject = order_id.unique(order_id.find(order_id.fold(parts.subject)))
    if in_subject:
        return _one_of_subject(in_subject, parts), True
    in_frame = order_id.find(parts.frame)
    if labelled := order_id.unique(_labelled_ones(parts.frame, in_frame)):
        return labelled, True
    shown = _URL.findall(parts.frame)
    return _linked(_all_links(parts)) or _unlabelled(parts.frame, in_frame) or _in_links(shown), False


def _others(parts: Parts, whole: str, orders: tuple[str, ...]) -> tuple[str, ...]:
    """The IDs that the mail only mentions."""
    mentioned = [*order_id.find(order_id.fold(parts.subject)), *order_id.find(whole)]
    everything = dict.fromkeys([*(found.order_id for found in mentioned), *_linked(parts.links)])
    told = frozenset(orders)
    return tuple(each for each in everything if each not in told)


def _unlabelled(text: str, found: list[Found]) -> tuple[str, ...]:
    """The bare IDs, without those that the text calls another order; the first where it does so of all."""
    bare = [each for each in found if not _is_other(text, each)]
    return order_id.unique(bare) or order_id.unique(found)[:1]


def _is_other(text: str, found: Found) -> bool:
    before = words.normalise(text[max(0, found.start - 40) : found.start])
    behind = words.normalise(text[found.end : found.end + 20])
    return _OTHER_BEFORE.search(before) is not None or _OTHER_BEHIND.search(behind) is not None


def _one_of_subject(in_subject: tuple[str, ...], parts: Parts) -> tuple[str, ...]:
    """Several IDs in the subject are several orders, but where the text labels only some of them."""
    labelled = {found.order_id for found in _labelled_ones(parts.frame, order_id.find(parts.frame))}
    return tuple(each for each in in_subject if each in labelled) or in_subject


def _labelled_ones(text: str, found: list[Found]) -> list[Found]:
    """The IDs behind a label, and those that follow one in the same list with nothing between but marks.

    A label in a line of its own heads a column: the IDs that open a line below it are labelled too.
    """
    labelled: list[Found] = []
    for each in found:
        last = labelled[-1] if labelled else None
        if _is_labelled(text, each) or (last and _goes_on(text, last, each) and not _is_other(text, each)):
            labelled.append(each)
    return labelled


def _goes_on(text: str, last: Found, found: Found) -> bool:
    """Whether an ID follows a labelled one in the same list or in the same column."""
    is_near = 0 < found.start - last.end <= _LIMIT_MARKS
    in_list = is_near and _LIST_MARKS.fullmatch(text, last.end, found.start) is not None
    return in_list or (_opens_its_line(text, last) and _opens_its_line(text, found))


def _opens_its_line(text: str, found: Found) -> bool:
    """Whether only blanks stand before an ID in its line; not more of them than any table has."""
    _, line_end, before = text[max(0, found.start - _LIMIT_INDENT) : found.start].rpartition("\n")
    return not before.strip() and (bool(line_end) or found.start <= _LIMIT_INDENT)


def _is_labelled(text: str, found: Found) -> bool:
    before = words.normalise(text[max(0, found.start - 40) : found.start])
    label = _LABEL.search(before)
    return label is not None and not _OTHER_ORDER.search(before[: label.start()])


def _linked(links: tuple[str, ...]) -> tuple[str, ...]:
    """The IDs of links to an order page of one of the known hosts, compared whole."""
    return tuple(dict.fromkeys(order for _, order in _order_links(links)))


def _order_links(links: tuple[str, ...]) -> list[tuple[Marketplace, str]]:
    """The marketplace and the order of each link to an order page of a known host, compared whole."""
    pieces = (piece for link in links for piece in _INNER_LINK.split(_unwrapped(link)))
    found = [match for piece in pieces if (match := _ORDER_LINK.match(piece))]
    return [(place, match[2]) for match in found if (place := of_order_host(match[1].lower()))]


def marketplace_of(
    message: Message, origin: From, parts: Parts, order: str | None, default: str | None
) -> tuple[str | None, Basis]:
    """Return the code of the marketplace that the order is of, and what tells it; (None, NOTHING) where nothing does.

    First that tells: Amazon's field X-Marketplace-ID, the host of a link to this order's page, From's domain,
    `default` (the account's). The host amazon.com tells nothing: Amazon sends notices of all marketplaces from it.
    """
    named = {place for each in message.fields if each.name == "x-marketplace-id" and (place := of_id(each.text))}
    linked = {place for place, of_order in _order_links(_all_links(parts)) if of_order == order}
    domain = (message.address or "").rpartition("@")[2]
    sent_by = {origin.marketplace} if origin.marketplace and domain not in _OF_ANY_MARKETPLACE else set()
    for places, basis in ((named, Basis.HEADER), (linked, Basis.LINK), (sent_by, Basis.SENDER)):
        if len(places) == 1:
            return places.pop().code, basis
    return (default, Basis.ACCOUNT) if default else (None, Basis.NOTHING)


def _all_links(parts: Parts) -> tuple[str, ...]:
    return (*parts.links, *_URL.findall(parts.frame))


def _in_links(links: list[str]) -> tuple[str, ...]:
    """The IDs that stand percent-encoded in links that the text shows; the others were found as text."""
    return order_id.unique([each for link in links for each in order_id.find(order_id.fold(_unwrapped(link)))])


def _unwrapped(link: str) -> str:
    """The link with the percent-encoding undone that a link scanner put round the true one."""
    link = link[:_LIMIT_LINK]
    for _ in range(_UNWRAPPINGS):
        plain = unquote(link)
        plain = _BASE64_LINK.sub(lambda found: transfer.from_base64(found[0].encode()).data.decode("latin-1"), plain)
        if "-3A__" in plain:
            plain = _DASH_ESCAPE.sub(lambda found: chr(int(found[1], 16)), plain.replace("_", "/"))
        if plain == link:
            break
        link = plain
    return link


def _head_of_relay(text: str) -> str:
    """Where the buyer's words could not be told from Amazon's: only `# <id>:` and item lines are surely Amazon's."""
    folded = "\n" + order_id.fold(text)
    heads = [each for each in order_id.find(folded) if _HEAD_MARK.search(folded[max(0, each.start - 20) : each.start])]
    items = [line for line in folded.split("\n") if _relayed(line)]
    return "\n".join([*(f"# {each.order_id}:" for each in heads), *items])


# ---- items and other values ----


def _take_items(text: str) -> tuple[str, tuple[Item, ...]]:
    """(the text without what sellers write into titles, the items). A title may hold any word and any number."""
    kept: list[str] = []
    items: list[Item] = []
    current: dict[str, str] = {}
    lines = text.split("\n")
    for at, line in enumerate(lines):
        if relayed := _relayed(line):
            items.append(relayed)
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
    return "\n".join(kept), _merged(items[:_LIMIT_ITEMS])


def _relayed(line: str) -> Item | None:
    """The item of a line of a relayed message: `1/Kettle [ASIN: B0CANARY01]`.

    In two steps: one pattern with a free text before the bracket took 52 s for a line of 250 KB.
    """
    if "[" not in line or not (opening := _RELAY_ITEM.match(line[:_LIMIT_LINE].lstrip())):
        return None
    beside = _ASIN_BESIDE.search(opening[2])
    if beside is None or not beside.start():
        return None
    return _item({"quantity": opening[1], "title": opening[2]})


def _merged(items: list[Item]) -> tuple[Item, ...]:
    """The plain and the HTML part name the same items, one of them perhaps with less: each is kept once, whole."""
    kept: list[Item] = []
    for item in items:
        pairs = ((each, _same(each, item)) for each in kept)
        known = next((each for each, is_same in pairs if is_same), None)
        if known is None and item != Item():
            kept.append(item)
        elif known is not None:
            whole = {name: getattr(known, name) or getattr(item, name) for name in ("title", "asin", "sku", "quantity")}
            kept[kept.index(known)] = Item(**whole)
    return tuple(kept)


def _same(one: Item, other: Item) -> bool:
    pairs = ((one.asin, other.asin), (one.sku, other.sku), (one.title, other.title))
    return any(a and a == b for a, b in pairs)


def _labelled(line: str, following: str) -> tuple[str | None, str]:
    """(which item label opens the line, its value, which may stand in the next line)."""
    found = _ITEM_LABEL.match(line[:_LIMIT_LINE].lstrip())
    if found is None:
        return None, ""
    name = next(name for name in ("title", "asin", "sku", "quantity") if found[name] is not None)
    value = found["value"].strip() or (_line(following, 0) if not _opens_label(following) else "")
    return name, value[:_LIMIT_VALUE]


def _opens_label(line: str) -> bool:
    return re.match(r"^\s*[^\s:：]{1,20}\s*[:：]", line) is not None


def _item(values: dict[str, str]) -> Item:
    title = values.get("title", "")
    beside = _ASIN_BESIDE.search(title)
    asin = (values.get("asin") or (beside[1] if beside else "")).strip().upper()
    quantity = re.match(r"\d{1,4}", values.get("quantity", "").strip())
    return Item(
        title=(title[: beside.start()] if beside else title).strip() or None,
        asin=asin if _ASIN.match(asin) else None,
        sku=values.get("sku") or None,
        quantity=int(quantity[0]) if quantity else None,
    )


def value(text: str, label: str) -> str | None:
    """The value behind a label at the beginning of a line, or in the line below it."""
    opening = re.compile(
        rf"^[ \t]{{0,20}}[・■●◆*-]?[ \t]{{0,20}}(?:{label})[ \t]{{0,20}}(?:[:：]|\t|$)(.*)",
        re.IGNORECASE | re.MULTILINE,
    )
    for found in opening.finditer(text):
        if said := found[1][:_LIMIT_LINE].strip() or _line(text, found.end() + 1):
            return said[:_LIMIT_VALUE]
    return None


def _line(text: str, start: int) -> str:
    """The line that begins at a place, without the blanks around it; '' behind the end."""
    end = text.find("\n", start)
    return text[start : end if end >= 0 else None][:_LIMIT_LINE].strip()
