"""The marketplaces: which mail domains are Amazon's, which marketplace an order is of, and where its page is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache

from mailwatch import toml
from mailwatch.amazon.order_id import is_order_id


class Basis(IntEnum):
    """What tells the marketplace of an order, the surer the higher."""

    NOTHING = 0
    ACCOUNT = 1  # the account's key `marketplace`
    SENDER = 2  # From's domain
    LINK = 3  # the host of a link to the page of the same order
    HEADER = 4  # Amazon's own field X-Marketplace-ID


@dataclass(frozen=True, slots=True)
class Marketplace:
    """One row of marketplaces.toml."""

    code: str
    id: str
    domain: str
    order_host: str
    other_hosts: tuple[str, ...] = ()
    other_domains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Directory:
    """All of marketplaces.toml."""

    marketplaces: tuple[Marketplace, ...]
    other_domains: tuple[str, ...]
    buyer_hosts: tuple[str, ...]
    pay_hosts: tuple[str, ...]
    shopper: frozenset[str]
    machines: frozenset[str]


@cache
def directory() -> Directory:
    """The shipped table, read once."""
    data = toml.packaged("mailwatch.amazon", "marketplaces.toml")
    senders = data["senders"]
    return Directory(
        marketplaces=tuple(
            Marketplace(**{**row, **{key: tuple(row.get(key, ())) for key in ("other_hosts", "other_domains")}})
            for row in data["marketplace"]
        ),
        other_domains=tuple(data["other"]["domains"]),
        buyer_hosts=tuple(senders["buyer_hosts"]),
        pay_hosts=tuple(senders["pay_hosts"]),
        shopper=frozenset(senders["shopper"]),
        machines=frozenset(senders["machines"]),
    )


def codes() -> tuple[str, ...]:
    """Return the codes of all marketplaces, as the key `marketplace` of an account takes them."""
    return tuple(marketplace.code for marketplace in directory().marketplaces)


def of_id(marketplace_id: str) -> Marketplace | None:
    """Return the marketplace with this id (`A1VC38T7YXB528`), as X-Marketplace-ID names it."""
    return next((each for each in directory().marketplaces if each.id == marketplace_id), None)


def of_order_host(host: str) -> Marketplace | None:
    """Return the marketplace whose order pages are on this host (lower case), compared whole."""
    return next((each for each in directory().marketplaces if host in {each.order_host, *each.other_hosts}), None)


def of_domain(domain: str) -> Marketplace | None:
    """The marketplace whose domain this is, or is a sub-domain of; whole labels only."""
    for marketplace in directory().marketplaces:
        if any(is_within(domain, each) for each in (marketplace.domain, *marketplace.other_domains)):
            return marketplace
    return None


def is_within(domain: str, parent: str) -> bool:
    """Whether `domain` is `parent` or below it."""
    return domain == parent or domain.endswith("." + parent)


def order_page(code: str | None, order_id: str) -> str | None:
    """The order's page in Seller Central, built from a valid ID and a known host only; else None."""
    for marketplace in directory().marketplaces:
        if marketplace.code == code and is_order_id(order_id):
            return f"https://{marketplace.order_host}/orders-v3/order/{order_id}"
    return None
