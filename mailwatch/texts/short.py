"""The SMS form: at most two parts of UCS-2, the order ID within the first 70 units. No link: it would fill a part."""

from __future__ import annotations

from datetime import tzinfo

from mailwatch.alert import Alert, Told
from mailwatch.catalogue import Language, say
from mailwatch.texts import watching
from mailwatch.texts.mail import old_order
from mailwatch.texts.text import SMS_UNITS, Text, at, cut, plain
from mailwatch.trust import Trust


def word(told: Told, language: Language, zone: tzinfo) -> Text:
    """The text as one body without a title."""
    if isinstance(told, Alert):
        lines = _alert(told, language, zone)
    else:
        long = watching.word(told, language, zone)
        lines = [long.title, long.body]
    return Text("", cut("\n".join(lines), SMS_UNITS))


def _alert(about: Alert, language: Language, zone: tzinfo) -> list[str]:
    label = say(f"alert.label_{about.kind}", language)
    order = about.order_id or say("alert.no_order", language)
    repeat = say("alert.repeat", language) if about.may_be_repeat else ""
    return [
        say("sms.first", language, label=label, order=order) + repeat,
        say(f"sms.do_{about.kind}", language),
        *([say("sms.old_order", language)] if old_order(about, language, zone) else []),
        *([] if about.trust is Trust.VERIFIED else [say("sms.unverified", language)]),
        *([] if about.order_id else [f"{plain(about.account, 20)} / {plain(about.folder, 20)}"]),
        say("sms.last", language, at=at(about.received, zone), n=about.open_requests),
    ]
