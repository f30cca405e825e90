"""Whether a mail's sender is proven, from the Authentication-Results that the own provider wrote (RFC 8601).

Anyone can write such a field into a mail. Trusted is the topmost one with the configured authserv-id that stands before
the first Received whose `by` host is not the provider's; a Received without `from` is a hand-over inside the provider
and does not count (design section 3; Gmail writes `by 2002:…` on top). A provider may write one field for each method
(trusteddomainproject/OpenDMARC#17): those below it in the same unbroken block are read with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from mailwatch.amazon import marketplace, sender
from mailwatch.amazon.sender import From, Sender
from mailwatch.message import Field, Message

_LIMIT_FIELD = 8 * 1024
_TWO_PART_SUFFIXES = {"ac", "co", "com", "ed", "go", "gr", "lg", "ne", "net", "or", "org"}
_RECEIVED_BY = re.compile(r"\bby\s+([0-9A-Za-z._:\[\]-]+)", re.IGNORECASE)
_RECEIVED_FROM = re.compile(r"^\s*from\s", re.IGNORECASE)
_RESULT = re.compile(r"^\s*([a-z][a-z0-9-]*)(?:/[0-9]+)?\s*=\s*([a-z]+)", re.IGNORECASE)
_PROPERTY = re.compile(r"\b(header\.(?:from|d|i))\s*=\s*\"?([^\s;\"]+)", re.IGNORECASE)

Result = tuple[str, str, dict[str, str]]


class Trust(StrEnum):
    """How far a mail's sender is proven; the order is from worst to best."""

    FORGED = "forged"
    UNVERIFIED = "unverified"
    VERIFIED = "verified"


@dataclass(frozen=True, slots=True)
class Provider:
    """Whose Authentication-Results count: the authserv-id, and the domains of the hosts that may stand above it.

    `authserv_id` None: nothing is ever verified. `received_by` empty: the authserv-id's registered domain.
    `forwarders`: hosts that pass on Amazon's mail under an address of their own and leave no mark of it.
    """

    authserv_id: str | None = None
    received_by: tuple[str, ...] = ()
    forwarders: tuple[str, ...] = ()

    @property
    def hosts(self) -> tuple[str, ...]:
        """The domains whose Received fields are the provider's own."""
        if self.received_by:
            return tuple(host.lower() for host in self.received_by)
        return (registered_domain(self.authserv_id),) if self.authserv_id else ()


def judge(message: Message, origin: From, provider: Provider) -> Trust:
    """The trust of one mail; pure."""
    if origin.sender is Sender.LOOKALIKE:
        return Trust.FORGED
    results = trusted_results(message, provider)
    if origin.is_amazon and any(method == "dmarc" and result == "fail" for method, result, _ in results):
        return Trust.FORGED
    if message.repeated or message.address is None:
        return Trust.UNVERIFIED
    domain = message.address.rpartition("@")[2]
    return Trust.VERIFIED if _passes(results, domain) else Trust.UNVERIFIED


def is_forwarder(message: Message, provider: Provider) -> bool:
    """Return whether the mail is from one of the configured forwarders, by the own provider's DMARC pass for it."""
    domain = (message.address or "").rpartition("@")[2]
    if message.repeated or not any(marketplace.is_within(domain, host.lower()) for host in provider.forwarders):
        return False
    dmarc = [(result, named) for method, result, named in trusted_results(message, provider) if method == "dmarc"]
    return bool(dmarc) and all(each == ("pass", {"header.from": domain}) for each in dmarc)


def registered_domain(host: str) -> str:
    """`google.com` of `mx.google.com`, `example.co.jp` of `mx1.example.co.jp`.

    Two labels, or three under a two-letter country with a second level of its own (`co.jp`).
    """
    labels = host.lower().rstrip(".").split(".")
    deep = len(labels) >= 3 and len(labels[-1]) == 2 and labels[-2] in _TWO_PART_SUFFIXES
    return ".".join(labels[-3:] if deep else labels[-2:])


def vouches_for_amazon(message: Message, provider: Provider) -> bool:
    """Whether a trusted field passes an Amazon domain, for a mail whose own From can't be read."""
    results = trusted_results(message, provider)
    if any(method == "dmarc" and result != "pass" for method, result, _ in results):
        return False
    return any(
        result == "pass" and marketplace.of_domain(_named(method, properties)) for method, result, properties in results
    )


def names_amazon(message: Message, provider: Provider) -> bool:
    """Whether a trusted field names an exact Amazon domain, whatever it says of it."""
    return any(map(sender.names_amazon, _trusted_values(message.fields, provider)))


def trusted_results(message: Message, provider: Provider) -> list[Result]:
    """(method, result, properties) of each result that the own provider wrote; properties in lower case.

    A field of the block that repeats a method is somebody else's: it ends the reading.
    """
    results: list[Result] = []
    for value in _trusted_values(message.fields, provider):
        more = _results(value)
        if {method for method, _, _ in results} & {method for method, _, _ in more}:
            break
        results += more
    return results


def _trusted_values(fields: tuple[Field, ...], provider: Provider) -> Iterator[str]:
    """The values of the fields that count, without their authserv-id."""
    if provider.authserv_id is None:
        return
    is_in_block = False
    for field in fields:
        if field.name == "authentication-results":
            authserv_id, rest = _split_id(field)
            if authserv_id == provider.authserv_id.lower():
                is_in_block = True
                yield rest
        elif is_in_block or (field.name == "received" and not _is_provider_s(field, provider.hosts)):
            return


def _is_provider_s(field: Field, hosts: tuple[str, ...]) -> bool:
    value = _without_comments(field.raw[:_LIMIT_FIELD].decode("latin-1"))
    if not _RECEIVED_FROM.match(value):
        return True
    found = _RECEIVED_BY.search(value)
    by = found[1].lower().rstrip(".") if found else ""
    return any(marketplace.is_within(by, host) for host in hosts)


def _split_id(field: Field) -> tuple[str, str]:
    """The authserv-id and the rest. Yahoo! JAPAN leaves out the `;` behind the id; a version number may follow it."""
    if len(field.raw) > _LIMIT_FIELD:
        return "", ""
    value = _without_comments(field.raw.decode("latin-1")).strip()
    head = re.match(r"\"?([^\s;\"]+)\"?(?:\s+[0-9]+\s*(?=;|$))?\s*;?", value)
    return (head[1].lower(), value[head.end() :]) if head else ("", "")


def _results(value: str) -> list[Result]:
    found = []
    for piece in re.split(r";|\s(?=(?:dkim|dmarc|spf|domainkeys)\s*=)", value):
        if result := _RESULT.match(piece):
            properties = {key.lower(): text.lower() for key, text in _PROPERTY.findall(piece)}
            found.append((result[1].lower(), result[2].lower(), properties))
    return found


def _passes(results: list[Result], domain: str) -> bool:
    """DMARC pass of the From domain, or DKIM pass of an Amazon domain aligned with an Amazon From."""
    dmarc = [properties for method, _, properties in results if method == "dmarc"]
    all_pass = all(result == "pass" for method, result, _ in results if method == "dmarc")
    if all_pass and any(
        registered_domain(properties.get("header.from", domain)) == registered_domain(domain) for properties in dmarc
    ):
        return True
    own = marketplace.of_domain(domain)
    return own is not None and any(
        method == "dkim" and result == "pass" and marketplace.of_domain(_signer(properties)) == own
        for method, result, properties in results
    )


def _signer(properties: dict[str, str]) -> str:
    """The signing domain; with both given, they must agree."""
    by_d, by_i = properties.get("header.d"), properties.get("header.i", "").rpartition("@")[2]
    if by_d and by_i and not marketplace.is_within(by_i, by_d):
        return ""
    return by_d or by_i


def _named(method: str, properties: dict[str, str]) -> str:
    """The domain that a result is about: DMARC's From, DKIM's signer; SPF's proves no sender."""
    return {"dmarc": properties.get("header.from", ""), "dkim": _signer(properties)}.get(method, "")


def _without_comments(value: str) -> str:
    """RFC 5322 comments out, nested ones too, and quoted strings made harmless.

    A counter, for 2,000 `(` broke a recursive reader (reliability 4.1). The envelope sender's local part is the
    attacker's to choose: `smtp.mailfrom="x; dmarc=pass"@evil.example` must not end a result.
    """
    kept: list[str] = []
    depth, quoted, escaped = 0, False, False
    for character in value:
        was_escaped, escaped = escaped, character == "\\" and not escaped
        if escaped:
            continue
        if character == '"' and not depth and not was_escaped:
            quoted = not quoted
        elif character in "()" and not quoted and not was_escaped:
            depth = max(0, depth + (1 if character == "(" else -1))
            kept.append(" ")
        elif not depth:
            kept.append(character if not quoted or character.isalnum() or character in ".@+-" else "_")
    return "".join(kept)
