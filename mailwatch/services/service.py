"""Any apprise service, and the few things that one of them may do otherwise."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mailwatch.services.answer import Answer, Outcome, by_status
from mailwatch.services.limits import USUAL, Limit


class Form(StrEnum):
    """The forms of an alert's text."""

    CHAT = "chat"
    LINE = "line"
    SMS = "sms"


@dataclass(slots=True)
class Request:
    """A request as apprise made it, for a service to amend. `payload` is None where the body is not a JSON object."""

    url: str
    payload: dict[str, Any] | None
    headers: dict[str, str] = field(default_factory=dict)


class Service:
    """A service that mailwatch knows nothing special of: "not tested by us"."""

    name = "apprise"
    form = Form.CHAT
    # For how long a repeated send with the same key is not delivered twice; seconds.
    key_seconds = 0.0
    # Messages a month where the seller names no number; 0 is without limit.
    monthly_limit = 0

    def __init__(self, limit: Limit = USUAL) -> None:
        """`limit`: how long one text may be."""
        self.limit = limit

    def problem(self, url: str) -> str | None:  # noqa: ARG002 - the services worked out look at it
        """The catalogue key of what is wrong with the URL, or None."""
        return None

    def address(self, url: str) -> str:
        """The URL as apprise must get it."""
        # `slack://A/B/C/#general`, as apprise writes it: the mark belongs to the path.
        return url.replace("#", "%23")

    def amend(self, request: Request, text: str, key: uuid.UUID) -> None:
        """Change what apprise would send. `text`: the whole alert; `key`: the outbox row's UUID."""

    def read(self, answer: Answer) -> Outcome:
        """What the answer means."""
        return by_status(answer)


class Discord(Service):
    """Discord: nothing in a text may ping anybody."""

    name = "Discord"

    def amend(self, request: Request, text: str, key: uuid.UUID) -> None:  # noqa: ARG002 - the interface's
        """Allow no mention at all: apprise leaves `@everyone` and `<@id>` live (libraries section 1.1)."""
        if request.payload is not None:
            request.payload["allowed_mentions"] = {"parse": []}


def json_of(answer: Answer) -> Mapping[str, Any] | None:
    """The answer's body as a JSON object, or None where it is none."""
    try:
        found = json.loads(answer.body or b"")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
