"""Who a mail says it is from: which of Amazon's senders, a look-alike, or somebody else."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from mailwatch.amazon import marketplace
from mailwatch.amazon.marketplace import Marketplace, directory
from mailwatch.message import TRUE_SENDER_FIELDS, Field


class Sender(StrEnum):
    """The classes of From that matter."""

    BUYER = "buyer"  # a buyer, through Amazon's relay: alias@marketplace.amazon.co.jp
    AMAZON = "amazon"  # Amazon itself, any other address of a marketplace's domain
    SHOPPER = "shopper"  # Amazon, to the mailbox's owner as a shopper
    PAY = "pay"  # Amazon Pay
    LOOKALIKE = "lookalike"  # looks like Amazon and is not, or hides another address
    UNREADABLE = "unreadable"  # no single certain address, and "amazon" in the field
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class From:
    """The class of a sender and the marketplace of its domain (None outside Amazon)."""

    sender: Sender
    marketplace: Marketplace | None = None

    @property
    def is_amazon(self) -> bool:
        """An exact Amazon address, of whatever class."""
        return self.marketplace is not None


# What a reader takes for a Latin letter of "amazon". Source: Unicode confusables, the letters of this one word.
_CONFUSABLE = str.maketrans(
    "a\u0251\u03b1\u1d00\u04304@\u03bf\u043e\u0585\u1d0f\u0e4f0\u043c\u217f\u1d0d\u0437\u0292\u1d22\u0578\u0274\u043f\u019e",
    "aaaaaaaoooooommmzzznnnn",
)
_ADDRESS = re.compile(r"[^\s<>\"'()@]+@([0-9a-z.-]+\.[a-z]{2,})")
# The word with a mark in it, a letter doubled, or one letter for another.
_NEARLY_AMAZON = re.compile(
    r"a{1,2}[-_.]?(?:rn|nn|m{1,2})[-_.]?a{1,2}[-_.]?[z2s]{1,2}[-_.]?o{1,2}[-_.]?(?:n|m(?=[-_.]|$)|rn(?=[-_.]|$))"
)
_LIMIT_TEXT = 4096
# Of a From field without a certain address, which may be 16 KB long.
_PIECE = 1000
_MAILBOX = re.compile(
    r"(?<![0-9A-Za-z.!#$%&*+/=?^_{|}~-])[0-9A-Za-z.!#$%&*+/=?^_{|}~-]{1,100}@[0-9A-Za-z.-]{4,100}(?![0-9A-Za-z.@-])"
)
_ANGLED = re.compile(r"<([^<>]*)>")
# `seller-notification_at_amazon_co_jp_x1y2@…` (iCloud), `…_at_amazon.co.jp_name@…`, `alias+seller-…=amazon.co.jp@…`
_ALIAS = re.compile(r"(?:[^+]*\+)?([0-9A-Za-z.-]{1,64})(?:_at_|=)([0-9A-Za-z._-]{4,100})")
_DOMAIN = re.compile(r"(?<![0-9A-Za-z.-])[0-9A-Za-z.-]{4,100}(?![0-9A-Za-z.@-])")
_MACHINE = re.compile(
    r"exchange|imap|pop3|quarantin|gateway|mail ?security|spam|virus|mailscanner|mimecast|barracuda|proofpoint"
    r"|隔離|無害化|ウイルス|迷惑メール|ゲートウェイ",
    re.IGNORECASE,
)
# What lists, forwarders and alias services leave of the sender whose place they take; besides `X-…-Original-From`.
_MARKS = ("list-id", "x-original-sender", "x-original-from")
_MARK = re.compile(r"x-[a-z0-9-]{1,60}-original-(?:from|sender)(?:-header)?")
_NOT_WORD = re.compile(r"[^a-z0-9\u30a0-\u30ff]")
_CLAIMS = re.compile(r"^(?:the)?(?:amazon|アマゾン)")


def classify(display: str, address: str | None) -> From:
    """Classify a From field by its display text and its one strictly parsed address (None where there is none)."""
    if address is None:
        pieces = (display[at : at + _PIECE] for at in range(0, max(len(display), 1), _PIECE // 2))
        return From(Sender.UNREADABLE if any("amazon" in _skeleton(piece) for piece in pieces) else Sender.OTHER)
    local, _, domain = address.rpartition("@")
    found = marketplace.of_domain(domain)
    if found:
        return From(_amazons(local, domain, found), found)
    if any(marketplace.is_within(domain, other) for other in directory().other_domains):
        return From(Sender.OTHER)
    return From(Sender.LOOKALIKE if _looks_like_amazon(display, address, domain) else Sender.OTHER)


def may_be_amazon(display: str, address: str | None, fields: tuple[Field, ...] = ()) -> bool:
    """Whether a mail is worth fetching: all but what is surely from somebody else.

    `fields`: Subject and `TRUE_SENDER_FIELDS`. Without a certain address the whole header decides. What servers and
    gateways send in place of a mail may hold one of Amazon's.
    """
    if classify(display, address).sender is not Sender.OTHER:
        return True
    subject = next((field.text for field in fields if field.name == "subject"), "")
    named = (field.text for field in fields if field.name == "subject" or field.name in TRUE_SENDER_FIELDS)
    return any(map(addresses, named)) or bool(_named_by_alias(address or "")) or is_machine(display, address, subject)


def true_sender(fields: tuple[Field, ...], address: str | None, *, is_forwarder: bool = False) -> str | None:
    """Return the one exact Amazon address in whose place a list or forwarder has put its own; else None.

    It stands in the marks that these leave, or in Reply-To beside one. `is_forwarder`: the mail is proved to be from a
    host that leaves no mark. A look-alike domain speaks for nobody else.
    """
    domain = (address or "").rpartition("@")[2]
    if marketplace.of_domain(domain) or "amazon" in _skeleton(domain):
        return None
    marks = [each for each in fields if each.name in _MARKS or _MARK.fullmatch(each.name)]
    if not (marks or is_forwarder):
        return None
    named = {found for each in marks if each.name != "list-id" for found in _mailboxes(each.text)}
    if not named:
        named = {found for each in fields if each.name == "reply-to" for found in _mailboxes(each.text)}
    if not named and is_forwarder:
        named = {found for each in fields if each.name == "from" for found in addresses(each.text)} or {
            found for found in [_named_by_alias(address or "")] if found
        }
    return named.pop() if len(named) == 1 else None


def _named_by_alias(address: str) -> str | None:
    """The exact Amazon address that an alias service wrote into the local part of its own."""
    found = _ALIAS.match(address.rpartition("@")[0][:200])
    labels = found[2].lower().replace("_", ".").split(".") if found else []
    domains = [".".join(labels[:count]) for count in range(len(labels), 1, -1)]
    domain = next((each for each in domains if marketplace.of_domain(each)), None)
    return f"{found[1]}@{domain}" if found and domain else None


def _mailboxes(text: str) -> tuple[str, ...]:
    """The exact Amazon addresses of a field of addresses; a display name that spells one is none."""
    return addresses(" ".join(_ANGLED.findall(text[:_LIMIT_TEXT])) or text)


def addresses(text: str) -> tuple[str, ...]:
    """The exact Amazon addresses that a text names, domain in lower case; look-alikes are none."""
    found = (found[0].rpartition("@") for found in _MAILBOX.finditer(text[:_LIMIT_TEXT]))
    named = ((local, domain.lower().rstrip(".")) for local, _, domain in found)
    return tuple(dict.fromkeys(f"{local}@{domain}" for local, domain in named if marketplace.of_domain(domain)))


def names_amazon(text: str) -> bool:
    """Whether a text names an exact domain of a marketplace, with or without an address; never a look-alike."""
    return any(marketplace.of_domain(found[0].lower().rstrip(".")) for found in _DOMAIN.finditer(text[:_LIMIT_TEXT]))


def is_machine(display: str, address: str | None, subject: str) -> bool:
    """Whether a mail server or a gateway may have written this mail in place of another one."""
    local = (address or "").rpartition("@")[0].lower()
    return (
        address is None or local in directory().machines or _MACHINE.search(f"{display} {subject}"[:1000]) is not None
    )


def _amazons(local: str, domain: str, found: Marketplace) -> Sender:
    host = domain.removesuffix(found.domain).rstrip(".")
    if host in directory().buyer_hosts:
        return Sender.BUYER
    if host in directory().pay_hosts:
        return Sender.PAY
    return Sender.SHOPPER if local.lower() in directory().shopper else Sender.AMAZON


def _looks_like_amazon(display: str, address: str, domain: str) -> bool:
    if "amazon" in _skeleton(domain):
        return True
    name = display[:1000].replace(address, "")
    hidden = [found for found in _ADDRESS.findall(name.lower()) if marketplace.of_domain(found)]
    return bool(hidden) or _CLAIMS.match(_NOT_WORD.sub("", _skeleton(name))) is not None


def _skeleton(text: str) -> str:
    """The text as an eye in a hurry reads it: punycode shown, look-alike letters folded, `rn` as `m`."""
    labels = [_from_punycode(label) for label in text[:1000].casefold().split(".")]
    folded = unicodedata.normalize("NFKC", ".".join(labels)).casefold().translate(_CONFUSABLE)
    bare = "".join(unicodedata.normalize("NFD", letter)[0] if letter < "\u0250" else letter for letter in folded)
    return _NEARLY_AMAZON.sub("amazon", bare)


def _from_punycode(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode("ascii").decode("punycode")
    except (UnicodeError, ValueError, OverflowError):
        return label
