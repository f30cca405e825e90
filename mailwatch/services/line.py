"""LINE's Messaging API: `line://channel-access-token/recipient`, one push message to one recipient.

Sources: developers.line.biz, "Retrying an API request" (the key is on the first request too, a repeat within 24 hours
is answered 409) and "Character counting" (UTF-16 units); LINE Notify ended on 2025-03-31.
"""

from __future__ import annotations

import re
import uuid
from urllib.parse import quote, unquote

from mailwatch.services.answer import Answer, Cause, Outcome, Result, by_status
from mailwatch.services.service import Form, Request, Service, json_of

# A user, a group, a room ("User ID", "Group ID" and "Room ID" in the API's reference).
_RECIPIENT = re.compile(r"^[UCR][0-9A-Fa-f]{32}$")


class Line(Service):
    """LINE."""

    name = "LINE"
    form = Form.LINE
    key_seconds = 24 * 3600.0
    monthly_limit = 200  # the free plan, without overage

    def problem(self, url: str) -> str | None:
        """A token and exactly one recipient."""
        token, recipient = _split(url)
        others = [part for part in token.split("/") if _RECIPIENT.match(part)]
        return None if token and _RECIPIENT.match(recipient) and not others else "config.line_url"

    def address(self, url: str) -> str:
        """The token percent-encoded: apprise cuts one at its `/` and takes the rest for a recipient."""
        token, recipient = _split(url)
        _, _, options = url.partition("?")
        return f"line://{quote(token, safe='')}/{quote(recipient, safe='')}" + (f"?{options}" if options else "")

    def amend(self, request: Request, text: str, key: uuid.UUID) -> None:  # noqa: ARG002 - the text is the body's
        """The key that lets LINE deliver once however often we send."""
        request.headers["X-Line-Retry-Key"] = str(key)

    def read(self, answer: Answer) -> Outcome:
        """409: accepted before. With something that is not LINE's both that and 2xx are no acceptance: a portal or
        proxy on the way. 429 may be the month's."""
        said = json_of(answer)
        if (answer.is_well or answer.status == 409) and said is None:
            return Outcome(Result.AMBIGUOUS, f"HTTP {answer.status} without LINE's answer", cause=Cause.ODD)
        if answer.status == 409:
            return Outcome(Result.ACCEPTED, "HTTP 409, accepted before")
        if answer.status == 429 and said and "monthly limit" in str(said.get("message")).lower():
            return Outcome(Result.PERMANENT, "HTTP 429, monthly limit", cause=Cause.QUOTA)
        return by_status(answer)


def _split(url: str) -> tuple[str, str]:
    """(token, recipient), decoded. A long-lived token holds `/`: the recipient is what follows the last."""
    rest = unquote(url.partition("://")[2].partition("?")[0]).rstrip("/")
    token, _, recipient = rest.rpartition("/")
    return token, recipient
