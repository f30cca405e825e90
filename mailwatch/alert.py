"""An alert: the facts that a person is to be told, before they are worded (`texts`) and sent (`transport`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailwatch.amazon.details import Item
from mailwatch.notice import Kind
from mailwatch.request import Sighting
from mailwatch.trust import Trust


@dataclass(frozen=True, slots=True)
class Alert:
    """What a person is to be told, as stored; the texts are made when it is sent. Times are aware UTC."""

    kind: Kind
    why: str
    trust: Trust
    seller: str
    order_id: str | None
    marketplace: str | None
    received: datetime
    account: str
    folder: str
    sightings: tuple[Sighting, ...]
    items: tuple[Item, ...] = ()
    also_mentioned: tuple[str, ...] = ()
    reason: str | None = None
    excerpt: str | None = None
    order_date: str | None = None
    ship_by: str | None = None
    sender_domain: str | None = None
    asked: int = 1
    may_be_repeat: bool = False
    open_requests: int = 0
