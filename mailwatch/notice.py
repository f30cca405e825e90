"""A parsed message in, what it says of each order out. Pure: no I/O, no clock, no log.

The verdict, first that fits: a form of the seller's own · Amazon's type header · a form of templates.toml by its words
· a buyer's wish · Amazon's, speaks of cancelling, unknown (`possible`) · Amazon's and unreadable · ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from mailwatch import encoded_words
from mailwatch.amazon import details, sender, template, wish, words
from mailwatch.amazon.details import Item, Parts
from mailwatch.amazon.marketplace import Basis
from mailwatch.amazon.sender import From, Sender
from mailwatch.amazon.template import Match, Signals, Template, Templates
from mailwatch.message import STILL_ENCODED, Message, read_attached
from mailwatch.trust import Provider, Trust, is_forwarder, judge, names_amazon, vouches_for_amazon


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
class Notice:
    """What one mail says of one order (or of none: `order_id` None).

    `unknown_type`: the mail's type by Amazon's header, where no form knows it. `is_undelivered_reply`: a message of the
    seller's own about this order did not reach the buyer. `is_rewritten`: a list or forwarder stands in From.
    `is_amazons`: the mail is Amazon's, by its sender and as far as that can be told; in a junk folder only if verified.
    """

    kind: Kind
    trust: Trust
    route: Route | None = None
    template: str | None = None
    marketplace: str | None = None
    marketplace_basis: Basis = Basis.NOTHING
    order_id: str | None = None
    also_mentioned: tuple[str, ...] = ()
    items: tuple[Item, ...] = ()
    reason: str | None = None
    order_date: str | None = None
    ship_by: str | None = None
    excerpt: str | None = None
    sender_domain: str | None = None
    unknown_type: str | None = None
    is_undelivered_reply: bool = False
    is_rewritten: bool = False
    is_amazons: bool = False

    @property
    def is_told(self) -> bool:
        """Whether a notice of this kind and trust may become an alert at all; forged ones never do by themselves."""
        return self.kind is not Kind.IGNORED and self.trust is not Trust.FORGED


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a mail is, and by which of the ways (`why`, a catalogue word for `explain`)."""

    kind: Kind
    why: str
    route: Route | None = None
    template: str | None = None
    wish_word: str | None = None


_ASKS_SELLER = re.compile(r"購入者|\b(?:the|a|your) buyer\b", re.IGNORECASE)
# A parcel to be held, in the six languages: no ordinary mail of Amazon's says so, and one that does is never ignored.
_STOPS_PARCEL = re.compile(
    r"(?:出荷|発送)(?:しない(?:で|よう|こと)|[はをの]?(?:お控え|差し?控え|控えて|(?:止め|(?:停止|中止)し|見合わせ)てくだ|(?:停止|中止)のお願い))"
    r"|(?:donot|dont)(?:ship|dispatch|send(?:it|out|theorder|theitem|theparcel|thepackage))|stop(?:the)?(?:shipment|shipping|dispatch)"
    r"|non(?:spedi(?:r|te|sca)|inviar|inviate)|(?:blocca|sospendi|sospende|interrompi|interrompe)(?:re)?laspedizione"
    r"|noenv[ií](?:e|ar)|(?:det[eé]n|detenga|detener|suspenda|suspender)elenvío"
    r"|nicht(?:mehr)?(?:zu)?(?:versende|verschicke|absende|abschicke)n|(?:versenden|verschicken|senden)sie[^.\x1e]{0,40}nicht(?!an)"
    r"|(?:exp[eé]diez|envoyez)(?:surtout)?(?:pas|plus)|ne(?:pas|plus)(?:les|la|le|l)?(?:exp[eé]dier|envoyer)"
)
_SPEAKS_OF_CANCELLING = re.compile(
    r"キャンセル|キヤンセル|きゃんせる|(?<!受)(?<!受け)(?:取り?|とり)(?:消|け[しす]|[や止辞]め)|注文の中止"
    r"|cancel|storn|annul|anulaci|anular|anulowa|avbok|avbeställ|iptal(?:taleb|iste|etme|edil)|취소|إلغاء|"
    + _STOPS_PARCEL.pattern
)
# What would happen is not what happened: 「リクエストした場合」. Never over the end of a line or sentence.
_CONDITIONAL = re.compile(
    r"(?:購入者|お客様)?[がはの]?(?:注文の)?(?:キャンセル|取り?消し?)[^。、\x1e]{0,16}?"
    r"(?:場合|際[はにの]|したら|れば|方法|機能|できます|できる|手順)"
    r"|(?:if|when|whenever|once)(?:a|an|the|your)?(?:buyer|customer)[^.\x1e]{0,40}?cancel\w{0,8}"
    r"|(?:se|quando|qualora)(?:un|il|l|lo)?(?:acquirente|cliente)[^.\x1e]{0,40}?annull\w{0,8}"
    r"|(?:si|cuando)(?:un|el|su|tu)?(?:comprador|cliente)[^.\x1e]{0,40}?(?:cancel|anul)\w{0,8}"
    r"|(?:wenn|falls|sobald)(?:ein|der|ihr)?(?:käufer|kunde)[^.\x1e]{0,40}?storn\w{0,10}"
    r"|(?:si|quand|lorsqu|lorsque)(?:un|l|le|votre)?(?:acheteur|client)[^.\x1e]{0,40}?annul\w{0,8}"
)
# What is still to be done is not what happened either: 「未完了」「完了していません」「完了してください」.
_NOT_YET = re.compile(
    r"未(?:完了|処理|対応|承認|確定)"
    r"|(?:完了|処理|承認|確定)(?=[をがはの]?(?:(?:し|され|させ|でき)(?:て(?:い|お[りら])?)?(?:ません|な[いくけ])"
    r"|(?:し|させ)て(?:くだ|下さ|いただ[くけ]|頂[くけ])|する|ください|下さい|お?願い|お?手続|必要|期限|待ち|まで))"
    r"|(?:not|never|(?:is|was|has|have|did)nt)(?:yet)?(?:been)?(?:completed?|confirmed|approved|cancell?ed)|incomplete"
    r"|tobe(?:completed|confirmed|approved|cancell?ed)|(?:complete|confirm|approve)(?=the|this|your)"
    r"|(?:confirmation|approval)(?:is)?(?:needed|required|pending)"
)
# Why it was cancelled: 「購入者がキャンセルをリクエストしたため、注文をキャンセルしました」.
_CAUSE = re.compile(
    r"(?:購入者|お客様|注文者)[^。\x1e]{0,40}?(?:ため|ので|に応じ|により|によって|に基づ|を受け)|理由:?(?:購入者|お客様)[^。\x1e]{0,30}"
    r"|(?:because|as|since)the(?:buyer|customer)[^.\x1e]{0,40}?cancel\w{0,8}|(?:at|per)the(?:buyer|customer)'?s?request|(?:as)?requestedbythe(?:buyer|customer)"
    r"|surichiestade(?:ll|l)(?:acquirente|cliente)|apetici[oó]ndel(?:comprador|cliente)|asolicituddel(?:comprador|cliente)"
    r"|auf(?:wunsch|anfrage|antrag)de[sr](?:käufers|kunden|kundin)|àlademande(?:delacheteur|duclient)"
    r"|(?:perché|poiché|porque|weil|parceque)(?:l|il|el|der|le)?(?:acquirente|cliente|comprador|käufer|kunde|acheteur|client)[^.\x1e]{0,40}?"
    r"(?:annull|cancel|anul|storn|annul)\w{0,10}"
)
_PRODUCT_WORDS = re.compile(
    r"ノイズ[・-]?キャンセ(?:ル|リング|ラー)?|ノイキャン|noise-?cancel(?:l?ing|l?ation|l?er)?|キャンセリング"
    r"|(?:cancellazione|annullamento|cancelaci[oó]n|anulaci[oó]n|annulation|suppression)(?:attiva|attivo|activa|active)?"
    r"(?:del|di|de|du|des|d)?(?:lo|la|el|l)?(?:rumor[ei]|ruidos?|bruits?|suon[oi]|sonido)|cancelaci[oó]nactiva"
    r"|cancelleria|cancellett[oi]|annulaire"
)
# A seller's performance figure. Newsletters and account mails speak of it; beside an order ID a request may, too:
# 「キャンセル率には影響しません」.
_RATE = re.compile(
    r"キャンセルの?(?:率|割合|比率)|cancel(?:l?ation)?(?:defect)?(?:rate|ratio)|tassod[ie]annullamento|tas[ao]de(?:cancelaci|anulaci)[oó]n"
    r"|storn(?:o|ierungs?)(?:rate|quote)|tauxd(?:e|es)?annulations?"
)
_SENDER_FIELDS = frozenset({"from", "sender", "reply-to", "return-path", "subject"})
_HEAD = 4096
_NEAR_LINES = 6
_MOST_QUOTED = 10
_QUOTED_FROM = re.compile(
    r"[\s>*|・]{0,20}(?:from|sender|差出人|送信者|送信元|発信者|von|absender|de|da|mittente|expéditeur|remitente)"
    r"[ \t]{0,5}[:：]",
    re.IGNORECASE,
)
_QUOTED_SUBJECT = re.compile(
    r"[\s>*|・]{0,20}(?:subject|件名|題名|表題|betreff|objet|asunto|oggetto)[ \t]{0,5}[:：][ \t]{0,5}", re.IGNORECASE
)
_FAILED = re.compile(
    r"retriev|fail|could ?n.t|could not|unable|quarantin|blocked|fehler|konnte|échec|errore"
    r"|取得でき|表示でき|失敗|エラー|隔離",
    re.IGNORECASE,
)
_REPLY = re.compile(r"^(?:re|aw|sv|rv|回答|返信|返)(?:\[\d+\])?:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Examined:
    """All that was found on the way to a verdict: what `read` builds its notices from, and `explain` shows.

    `address`: the effective sender's, which is From's, or Amazon's where a list or forwarder took its place
    (`is_rewritten`).
    """

    origin: From
    trust: Trust
    type: str | None
    parts: Parts
    matches: tuple[Match, ...]
    verdict: Verdict
    address: str | None
    is_rewritten: bool = False

    @property
    def is_by_type(self) -> bool:
        """Whether a header of Amazon's own says what the mail is."""
        return any("header" in made.signals for made in self.matches)

    @property
    def is_undelivered_reply(self) -> bool:
        """Whether the mail tells the seller that a message of theirs did not reach the buyer."""
        return self.trust is not Trust.FORGED and any(made.template.undelivered for made in self.matches)


def examine(message: Message, provider: Provider, templates: Templates) -> Examined:
    """Look at a message from every side and come to a verdict.

    Where its own text says nothing, so is what a gateway moved into attachments, and what a server sent in its place.
    """
    true_sender = sender.true_sender(message.fields, message.address, is_forwarder=is_forwarder(message, provider))
    if true_sender:
        message = replace(message, address=true_sender, display_name="")
    origin = sender.classify(message.display_name, message.address)
    trust = Trust.UNVERIFIED if true_sender else judge(message, origin, provider)
    found = replace(_examine(message, origin, trust, templates), is_rewritten=true_sender is not None)
    if found.verdict.kind is Kind.REQUEST and not found.parts.orders and found.origin.sender is Sender.AMAZON:
        found = _with_moved_order(message, found, templates)
    is_settled = found.trust is Trust.FORGED or found.is_by_type
    if is_settled or found.verdict.kind not in {Kind.IGNORED, Kind.UNREADABLE}:
        return found
    if elsewhere := _moved(message, found, templates) or _stub(message, found, templates):
        return elsewhere
    if found.verdict.kind is Kind.IGNORED and message.address is None and _is_named(message, provider):
        return replace(found, verdict=Verdict(Kind.UNREADABLE, "no_from"))
    return found


def read(
    message: Message,
    provider: Provider,
    templates: Templates,
    *,
    is_junk: bool = False,
    marketplace: str | None = None,
) -> tuple[Notice, ...]:
    """What the message says: one notice for each order it tells of, at least one (which may be `ignored`).

    `marketplace`: the code for an order whose mail tells none.

    In a junk folder (`is_junk`) a `wish` or `possible`, and a mail whose From is not Amazon's, counts only from a
    verified sender.
    """
    found = examine(message, provider, templates)
    if is_junk and _is_junk(message, found, provider):
        found = replace(found, verdict=Verdict(Kind.IGNORED, "junk"))
    base = Notice(
        found.verdict.kind,
        found.trust,
        route=found.verdict.route,
        template=found.verdict.template,
        sender_domain=message.address.rpartition("@")[2] if message.address else None,
        unknown_type=found.type if found.type not in templates.types else None,
        is_rewritten=found.is_rewritten,
        is_amazons=found.origin.is_amazon
        and (found.trust is Trust.VERIFIED or (found.trust is Trust.UNVERIFIED and not is_junk)),
    )
    if found.is_undelivered_reply:
        notices = tuple(replace(base, order_id=each, is_undelivered_reply=True) for each in found.parts.orders) or (
            base,
        )
    elif found.verdict.kind is Kind.IGNORED:
        notices = (base,)
    else:
        notices = _with_orders(base, found.verdict, found.parts)
    return tuple(_with_marketplace(each, message, found, marketplace) for each in notices)


def _with_marketplace(notice: Notice, message: Message, found: Examined, default: str | None) -> Notice:
    """Of a mail that is not Amazon's no marketplace is told."""
    if not found.origin.is_amazon:
        return notice
    sent_by = replace(message, address=found.address)
    code, basis = details.marketplace_of(sent_by, found.origin, found.parts, notice.order_id, default)
    return replace(notice, marketplace=code, marketplace_basis=basis)


def reads_attached(message: Message) -> bool:
    """Whether the text attachments may be read: those of Amazon's mail, or of one that names an Amazon address."""
    origin = sender.classify(message.display_name, message.address)
    return origin.is_amazon or (origin.sender is not Sender.LOOKALIKE and bool(_named(message)))


def _is_junk(message: Message, found: Examined, provider: Provider) -> bool:
    if found.trust is Trust.VERIFIED:
        return False
    if found.verdict.kind in {Kind.WISH, Kind.POSSIBLE}:
        return True
    is_amazons = sender.classify(message.display_name, message.address).is_amazon
    return found.verdict.kind is Kind.UNREADABLE and not is_amazons and not vouches_for_amazon(message, provider)


def _examine(message: Message, origin: From, trust: Trust, templates: Templates) -> Examined:
    evidence = Signals(
        sender=origin.sender.value,
        address=message.address or "",
        headers=template.fields_of(message.fields) if origin.is_amazon else frozenset(),
        subject=_without_products(words.compact(message.subject)),
    )
    is_relay = origin.sender is not Sender.BUYER and template.is_message(templates, evidence)
    spoken_by = replace(origin, sender=Sender.BUYER) if is_relay else origin
    parts = details.split(message, spoken_by, templates, is_relay=is_relay)
    matches = _matches(evidence, spoken_by.sender, parts, templates)
    verdict = _verdict(message, spoken_by, trust, parts, matches, templates)
    type_ = template.type_of(evidence.headers)
    found = Examined(origin, trust, type_, parts, tuple(matches), verdict, message.address)
    is_ignored = verdict.kind is Kind.IGNORED and origin.is_amazon and trust is not Trust.FORGED
    if is_ignored and not found.is_by_type and STILL_ENCODED in message.defects:
        # What is still encoded may ask for anything, whatever the rest says.
        return replace(found, verdict=Verdict(Kind.UNREADABLE, "encoded", _route_of(origin)))
    return found


# ---- a mail's text in another place ----


def _moved(message: Message, found: Examined, templates: Templates) -> Examined | None:
    """What the text attachments ask, as a gateway leaves them that puts its own note in the mail's place.

    `possible` at most, with the trust of the mail only where its own From is Amazon's.
    """
    if not message.attached or not reads_attached(message):
        return None
    trust = found.trust if found.origin.is_amazon else Trust.UNVERIFIED
    for attached in read_attached(message):
        inner = _as_of_amazon(message, attached)
        made = _examine(inner, sender.classify(inner.display_name, inner.address), trust, templates)
        if made.verdict.kind in {Kind.REQUEST, Kind.WISH, Kind.POSSIBLE}:
            return _possible(made, "moved")
        if made.verdict.kind is Kind.UNREADABLE and attached.fields:
            return made
    return None


def _with_moved_order(message: Message, found: Examined, templates: Templates) -> Examined:
    """A request by its subject or type, whose text with the order a gateway moved into an attachment."""
    for attached in read_attached(message) if reads_attached(message) else ():
        inner = _as_of_amazon(message, attached)
        origin = sender.classify(inner.display_name, inner.address)
        parts = details.split(inner, origin, templates)
        if origin.is_amazon and parts.orders:
            return replace(found, parts=replace(parts, subject=found.parts.subject, own=found.parts.own))
    return found


def _as_of_amazon(message: Message, attached: Message) -> Message:
    """An attached mail speaks for itself; an attached text for the mail's Amazon address, under its subject."""
    if attached.fields:
        return attached
    is_amazons = sender.classify(message.display_name, message.address).is_amazon
    address = message.address if is_amazons else _named(message)[0]
    return replace(attached, address=address, subject=message.subject)


def _stub(message: Message, found: Examined, templates: Templates) -> Examined | None:
    """A server's or gateway's own words in place of a mail of Amazon's, whose From and Subject they quote."""
    is_machine = sender.is_machine(message.display_name, message.address, message.subject)
    if found.origin.is_amazon or not is_machine or message.attached:
        return None
    if headers := list(dict.fromkeys(_quoted_headers(message.text)))[:_MOST_QUOTED]:
        return next(filter(None, (_quoted(message, *each, templates) for each in headers)), None)
    if message.address is None and _FAILED.search(message.text[:_HEAD]):
        return next(filter(None, (_unlabelled(message, each, templates) for each in _named(message)[:1])), None)
    return None


def _quoted(message: Message, address: str, subject: str, templates: Templates) -> Examined | None:
    """What a mail of this From and Subject would be, whose text is not there."""
    inner = Message(address=address, subject=subject)
    made = _examine(inner, sender.classify("", address), Trust.UNVERIFIED, templates)
    if made.verdict.kind in {Kind.IGNORED, Kind.CANCELLED}:
        return None
    whole = replace(inner, plain=message.plain, html=message.html)
    made = replace(made, parts=details.split(whole, made.origin, templates))
    return made if made.verdict.kind is Kind.UNREADABLE else _possible(made, "stub")


def _unlabelled(message: Message, address: str, templates: Templates) -> Examined | None:
    made = _examine(replace(message, address=address), sender.classify("", address), Trust.UNVERIFIED, templates)
    return _possible(made, "stub") if made.verdict.kind in {Kind.REQUEST, Kind.WISH, Kind.POSSIBLE} else None


def _possible(made: Examined, why: str) -> Examined:
    verdict = made.verdict
    return replace(made, verdict=Verdict(Kind.POSSIBLE, why, verdict.route or _route_of(made.origin)))


def _quoted_headers(text: str) -> Iterator[tuple[str, str]]:
    """(exact Amazon address, subject) of each mail whose header lines the first 4 KB of a text quote."""
    lines = text[:_HEAD].split("\n")
    subjects = [(number, value) for number, value in _labelled(lines, _QUOTED_SUBJECT)]
    for number, value in _labelled(lines, _QUOTED_FROM):
        near = sorted((abs(at - number), at, subject) for at, subject in subjects if abs(at - number) <= _NEAR_LINES)
        for address in sender.addresses(value):
            yield address, near[0][2] if near else ""


def _labelled(lines: list[str], label: re.Pattern[str]) -> Iterator[tuple[int, str]]:
    """(line number, value) of each line with the label; the value may stand in the line below it."""
    for number, line in enumerate(lines):
        if found := label.match(line[:1000]):
            value = line[found.end() : 1000].strip() or "".join(lines[number + 1 : number + 2]).strip()
            yield number, encoded_words.text_of(value.encode("utf-8", "replace"))


def _named(message: Message) -> tuple[str, ...]:
    """The exact Amazon addresses in the subject and the first 4 KB of the text."""
    return (*sender.addresses(message.subject), *sender.addresses(message.text[:_HEAD]))


def _is_named(message: Message, provider: Provider) -> bool:
    """Whether a mail without a readable From names Amazon where only a sender, a reply or the provider does.

    Never Received, Message-ID or DKIM: every newsletter that goes out through Amazon SES has those.
    """
    fields = (
        field.text
        for field in message.fields
        if field.name in _SENDER_FIELDS or field.name.startswith("x-original-") or field.name.endswith("-original-from")
    )
    return any(map(sender.names_amazon, fields)) or names_amazon(message, provider)


# ---- the verdict on one text ----


def _verdict(  # noqa: PLR0911 - one return a way to a verdict, in their order
    message: Message, origin: From, trust: Trust, parts: Parts, matches: list[Match], templates: Templates
) -> Verdict:
    if known := _known_form(matches):
        if _is_by_body_alone(known, templates) and not _is_notice_address(message, templates):
            return Verdict(Kind.POSSIBLE, "unknown_address", _route_of(origin))
        return _verdict_of(known, trust)
    if trust is Trust.FORGED:
        return Verdict(Kind.IGNORED, "forged")
    if origin.sender is Sender.BUYER and (word := wish.asks(parts.own.words)):
        return Verdict(Kind.WISH, "wish", Route.MESSAGE, wish_word=word)
    if matches:
        return Verdict(Kind.POSSIBLE, "conflict", _route_of(origin))
    if _speaks(origin, parts):
        return Verdict(Kind.POSSIBLE, "speaks", _route_of(origin))
    if _is_unreadable(message, origin):
        return Verdict(Kind.UNREADABLE, "unreadable", _route_of(origin))
    return Verdict(Kind.IGNORED, "nothing")


def _matches(evidence: Signals, speaker: Sender, parts: Parts, templates: Templates) -> list[Match]:
    """The forms of the mail. The seller's own decide, on the text as it stands; else those of Amazon's header; else the
    shipped ones by their words.

    For these what is no word of this order is cut out: a rate, what would happen, what is still to be done; and where
    the mail then reads as a request and as cancelled, what is only the cause of it. A mail that stops a parcel is no
    neighbour, whatever its subject.
    """
    subject = words.compact(parts.subject)
    lines = words.compact_lines(parts.frame, "\x1e")
    evidence = replace(evidence, has_order_id=bool(parts.orders))
    if own := template.match_own(templates, _with_words(evidence, subject, lines)):
        return own
    if by_header := template.match_header(templates, evidence):
        return by_header
    evidence = replace(evidence, sender=speaker.value)
    stops_parcel = _STOPS_PARCEL.search(f"{subject}\x1e{lines}") is not None
    subject, lines = _without_rate(subject, parts), _without_rate(lines, parts)
    subject, body = _NOT_YET.sub("◇", subject), _NOT_YET.sub("◇", _CONDITIONAL.sub("◇", lines))
    matches = template.match(templates, _with_words(evidence, subject, body))
    if {made.template.kind for made in matches} >= {"request", "cancelled"}:
        subject, body = _CAUSE.sub("◇", subject), _CAUSE.sub("◇", body)
        matches = template.match(templates, _with_words(evidence, subject, body))
    return [made for made in matches if not (stops_parcel and made.template.kind == "ignored")]


def _with_words(evidence: Signals, subject: str, body: str) -> Signals:
    return replace(evidence, subject=_without_products(subject), body=_without_products(body.replace("\x1e", "")))


def _known_form(matches: list[Match]) -> Match | None:
    """The form that decides; None where a request stands beside another form and a person must look.

    A cancellation that subject and text both call done outweighs what they tell of the request; a request by its
    subject what the text tells of a cancelled order. Else neither: what is taken for cancelled closes in silence.
    """
    requests, cancelled, neighbours = (
        [made for made in matches if made.template.kind == kind] for kind in ("request", "cancelled", "ignored")
    )
    if not requests:
        return next(iter([*neighbours, *cancelled]), None)
    if neighbours or not cancelled:
        return None if neighbours else requests[0]
    if {"subject", "body"} <= set(cancelled[0].signals):
        return cancelled[0]
    return requests[0] if requests[0].by_subject and not cancelled[0].by_subject else None


def _verdict_of(known: Match, trust: Trust) -> Verdict:
    form: Template = known.template
    if form.kind == "ignored":
        return Verdict(Kind.IGNORED, "neighbour", template=form.id)
    if form.kind != "request" and trust is Trust.FORGED:
        return Verdict(Kind.IGNORED, "forged", template=form.id)
    route = Route(form.route) if form.route else None
    return Verdict(Kind(form.kind), "template", route, form.id)


def _is_by_body_alone(known: Match, templates: Templates) -> bool:
    """Whether only the text makes it a request, by a form that is not the seller's own."""
    is_shipped = known.template not in templates.own
    return known.template.kind == "request" and is_shipped and not (known.by_subject or "header" in known.signals)


def _is_notice_address(message: Message, templates: Templates) -> bool:
    return (message.address or "").rpartition("@")[0].lower() in templates.notice_addresses


def _speaks(origin: From, parts: Parts) -> bool:
    """Whether Amazon's own words speak of cancelling; in a relayed message only its subject, and not a reply's."""
    subject = _without_products(words.compact(parts.subject))
    if origin.sender is Sender.BUYER:
        return not _REPLY.match(subject) and _SPEAKS_OF_CANCELLING.search(subject) is not None
    to_seller = origin.sender is Sender.SHOPPER and _ASKS_SELLER.search(parts.frame) is not None
    if origin.sender is not Sender.AMAZON and not to_seller:
        return origin.is_amazon and _STOPS_PARCEL.search(subject + words.compact(parts.frame)) is not None
    text = subject + "\n" + _without_products(words.compact(parts.frame))
    return _SPEAKS_OF_CANCELLING.search(_without_rate(text, parts)) is not None


def _is_unreadable(message: Message, origin: From) -> bool:
    if origin.sender is Sender.UNREADABLE:
        return True
    is_amazon = origin.sender in {Sender.AMAZON, Sender.BUYER}
    return is_amazon and (bool(message.defects) or not message.text.strip())


def _route_of(origin: From) -> Route | None:
    if origin.sender is Sender.BUYER:
        return Route.MESSAGE
    return Route.NOTIFICATION if origin.is_amazon else None


def _with_orders(base: Notice, verdict: Verdict, parts: Parts) -> tuple[Notice, ...]:
    excerpt = wish.excerpt(parts.own.words, verdict.wish_word) if verdict.wish_word else None
    full = replace(
        base,
        items=parts.items,
        reason=details.value(parts.frame, details.REASON) or _reason_in_words(verdict, parts),
        order_date=details.value(parts.frame, details.ORDER_DATE),
        ship_by=details.value(parts.frame, details.SHIP_BY),
        excerpt=excerpt,
        also_mentioned=parts.others,
    )
    if not parts.orders:
        return (full,)
    if verdict.kind is Kind.CANCELLED and not parts.is_labelled:
        # It closes what is open: of IDs that nothing calls the order the first alone, and the rest is mentioned.
        return (replace(full, order_id=parts.orders[0], also_mentioned=(*parts.orders[1:], *parts.others)),)
    return tuple(replace(full, order_id=each) for each in parts.orders)


def _reason_in_words(verdict: Verdict, parts: Parts) -> str | None:
    """An official request may carry the buyer's reason where the own words of a message stand."""
    return details.value(parts.own.words, details.REASON) if verdict.kind is Kind.REQUEST else None


def _without_products(compacted: str) -> str:
    return _PRODUCT_WORDS.sub("", compacted)


def _without_rate(compacted: str, parts: Parts) -> str:
    return compacted if parts.orders else _RATE.sub("◇", compacted)
