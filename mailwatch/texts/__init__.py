"""What a person reads, on a phone, while packing. Pure: catalogue texts and the facts of `alert`.

text: a text and what makes it harmless and short · mail: the alert of a mail · short: SMS · watching: faults, digests,
the morning line, the test alert.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import tzinfo

from mailwatch.alert import Alert, Digest, Told
from mailwatch.catalogue import Language
from mailwatch.services import USUAL, Form, Limit, Unit
from mailwatch.texts import mail, short, watching
from mailwatch.texts.text import SMS_UNITS, Text, at, cut, plain, sms_parts, units

__all__ = ["SMS_UNITS", "Text", "at", "cut", "first_part", "plain", "sms_parts", "units", "word"]

# apprise writes a title and a line end before the body, where a service has no titles.
_LINE_END = "\r\n"


def word(told: Told, form: Form, language: Language, zone: tzinfo, limit: Limit = USUAL) -> Text:
    """Return the text of what is told, in the form of its channel and within its limit; times in `zone`."""
    if form is Form.SMS:
        return short.word(told, language, zone, _of_sms(limit))
    text = _long(told, language, zone)
    left = limit.size - limit.length(text.title + _LINE_END)
    return Text(text.title, cut(text.body, replace(limit, size=left)))


def first_part(digest: Digest, form: Form, language: Language, zone: tzinfo, limit: Limit = USUAL) -> Digest:
    """Return as much of a digest as fits into one text of the channel: all of it, or its first rows, at least one.

    An SMS counts the rest of what unverified senders sent: whoever floods a mailbox must not run up a bill.
    """
    if form is Form.SMS and digest.reason == "unverified":
        return digest
    rows = len(digest.named)
    parts = (digest.first(n) for n in range(rows, 1, -1))
    return next((part for part in parts if _fits(part, form, language, zone, limit)), digest.first(min(rows, 1)))


def _fits(digest: Digest, form: Form, language: Language, zone: tzinfo, limit: Limit) -> bool:
    # Marked or not must not change what a part holds: its key at the service is its place in the digest.
    marked = replace(digest, may_be_repeat=True)
    if form is Form.SMS:
        return short.names_all(marked, language, zone, _of_sms(limit))
    text = _long(marked, language, zone)
    return limit.length(text.title + _LINE_END + text.body) <= limit.size


def _long(told: Told, language: Language, zone: tzinfo) -> Text:
    return mail.word(told, language, zone) if isinstance(told, Alert) else watching.word(told, language, zone)


def _of_sms(limit: Limit) -> Limit:
    """Return the limit of the short form: two parts of an SMS, or what the service takes where that is less."""
    return limit if limit.unit is Unit.BYTES else replace(limit, size=min(limit.size, SMS_UNITS))
