"""The marketplaces: which mail domains are Amazon's, and where an order's page is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from mailwatch import toml
from mailwatch.amazon.order_id import is_order_id


@dataclass(frozen=True, slots=True)
class Marketplace:
    """One row of marketplaces.toml; `order_host` is None where the host is not known."""

    code: str
    domain: str
    order_host: str | None = None


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
        marketplaces=tuple(Marketplace(**row) for row in data["marketplace"]),
        other_domains=tuple(data["other"]["domains"]),
        buyer_hosts=tuple(senders["buyer_hosts"]),
        pay_hosts=tuple(senders["pay_hosts"]),
        shopper=frozenset(senders["shopper"]),
        machines=frozenset(senders["machines"]),
    )


def of_domain(domain: str) -> Marketplace | None:
    """The marketplace whose domain this is, or is a sub-domain of; whole labels only (domain section 7)."""
    for marketplace in directory().marketplaces:
        if is_within(domain, marketplace.domain):
            return marketplace
    return None


def is_within(domain: str, parent: str) -> bool:
    """Whether `domain` is `parent` or below it."""
    return domain == parent or domain.endswith("." + parent)


def order_page(code: str | None, order_id: str) -> str | None:
    """The order's page in Seller Central, built from a valid ID and a known host only; else None."""
    for marketplace in directory().marketplaces:
        if marketplace.code == code and marketplace.order_host and is_order_id(order_id):
            return f"https://{marketplace.order_host}/orders-v3/order/{order_id}"
    return None
