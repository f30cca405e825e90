"""Slack: an incoming webhook (`slack://T…/B…/…`, or its URL as Slack prints it) or a bot (`slack://xoxb-…/#channel`)."""

from __future__ import annotations

import re
import uuid
from urllib.parse import unquote, urlsplit

from mailwatch.services.answer import Answer, Cause, Outcome, Result, by_status
from mailwatch.services.service import Request, Service, json_of

_WORD = re.compile(r"^[a-z_]{1,40}$")
_PASSING = {"fatal_error", "internal_error", "ratelimited", "rate_limited", "request_timeout", "service_unavailable"}
_CREDENTIALS = {"account_inactive", "invalid_auth", "missing_scope", "not_authed", "token_expired", "token_revoked"}


class Slack(Service):
    """Slack."""

    name = "Slack"

    def problem(self, url: str) -> str | None:
        """One URL, one channel: of two, apprise says only that one of them failed."""
        if url.lower().startswith("https://"):
            return None if len(urlsplit(url).path.split("/")) == 5 else "config.slack_url"
        place = unquote(self.address(url)).partition("://")[2].partition("?")[0]
        segments = [segment for segment in place.split("/") if segment]
        is_bot = bool(segments) and segments[0].rpartition("@")[2].lower().startswith("xox")
        good = len(segments) == 2 if is_bot else 3 <= len(segments) <= 4
        return None if good else "config.slack_url"

    def amend(self, request: Request, text: str, key: uuid.UUID) -> None:  # noqa: ARG002 - Slack takes no key
        """The text at the top level, where the lock screen shows it, every control character of Slack's escaped.

        apprise would put it into an attachment, which a push preview leaves out.
        """
        if request.payload is None or "attachments" not in request.payload:
            return
        kept = {name: value for name, value in request.payload.items() if name == "channel"}
        plain = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        request.payload.clear()
        request.payload.update(kept, text=plain, mrkdwn=False, unfurl_links=False, unfurl_media=False)

    def read(self, answer: Answer) -> Outcome:
        """A webhook says `ok`, a bot `{"ok": true}`; 2xx with anything else is no acceptance."""
        if not answer.is_well:
            return by_status(answer)
        said = json_of(answer)
        if answer.body == b"ok" or (said and said.get("ok") is True):
            return Outcome(Result.ACCEPTED, f"HTTP {answer.status}")
        if said and said.get("ok") is False:
            return _refusal(str(said.get("error")), answer)
        return Outcome(Result.AMBIGUOUS, f"HTTP {answer.status} without ok", cause=Cause.ODD)


def _refusal(error: str, answer: Answer) -> Outcome:
    error = error if _WORD.match(error) else "unknown"
    if error in _PASSING:
        return Outcome(Result.PASSING, error, answer.retry_after, Cause.SERVER)
    cause = Cause.CREDENTIALS if error in _CREDENTIALS else Cause.ADDRESS
    return Outcome(Result.PERMANENT, error, cause=cause)
