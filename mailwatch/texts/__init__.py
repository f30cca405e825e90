"""What a person reads, on a phone, while packing. Pure: catalogue texts and the facts of `alert`.

text: a text and what makes it harmless and short · mail: the alert of a mail · short: SMS · watching: faults, digests,
the morning line, the test alert.
"""

from __future__ import annotations

from datetime import tzinfo

from mailwatch.alert import Alert, Told
from mailwatch.catalogue import Language
from mailwatch.services import Form
from mailwatch.texts import mail, short, watching
from mailwatch.texts.text import Text, at, cut, plain, sms_parts, units

__all__ = ["Text", "at", "cut", "plain", "sms_parts", "units", "word"]

# Far above what an alert needs; LINE refuses more than 5,000 UTF-16 units.
_LIMIT_BODY = 4500


def word(told: Told, form: Form, language: Language, zone: tzinfo) -> Text:
    """The text of what is told, in the form of its channel; times in `zone`."""
    if form is Form.SMS:
        return short.word(told, language, zone)
    text = mail.word(told, language, zone) if isinstance(told, Alert) else watching.word(told, language, zone)
    return Text(text.title, cut(text.body, _LIMIT_BODY))
