"""The SMS form: at most two parts of UCS-2, the order ID within the first 70 units. No link: it would fill a part."""

from __future__ import annotations

from dataclasses import replace
from datetime import tzinfo

from mailwatch.alert import Alert, Digest, FaultNews, MorningLine, Stage, TestAlert, Told
from mailwatch.catalogue import Language, say
from mailwatch.errors import Fault
from mailwatch.services import Limit
from mailwatch.texts import watching
from mailwatch.texts.mail import old_order
from mailwatch.texts.text import Text, at, cut, plain
from mailwatch.trust import Trust

_SHORT = {
    "fault.login": "sms.login",
    "fault.folder": "sms.folder",
    "fault.done_folder": "sms.done_folder",
    "fault.stale": "sms.stale",
    "fault.stale_said": "sms.stale",
    "fault.channel": "sms.channel",
    "fault.refused": "sms.refused",
    "fault.slow": "sms.slow",
    "fault.store": "sms.store",
    "morning.quiet": "sms.quiet",
}


def word(told: Told, language: Language, zone: tzinfo, limit: Limit) -> Text:
    """Return the text as one body without a title, within `limit`."""
    if isinstance(told, Alert):
        lines = _alert(told, language, zone)
    elif isinstance(told, Digest):
        lines = _digest(told, language, zone, limit)
    else:
        short = told if isinstance(told, TestAlert) else _with_short_faults(told)
        long = watching.word(short, language, zone)
        lines = [long.title, long.body]
    return Text("", cut("\n".join(lines), limit))


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


def names_all(digest: Digest, language: Language, zone: tzinfo, limit: Limit) -> bool:
    """Return whether every row of a digest is named within `limit`."""
    rows = watching.rows_of(digest, language, zone)
    return _digest(digest, language, zone, limit)[2 : 2 + len(rows)] == rows


def _digest(digest: Digest, language: Language, zone: tzinfo, limit: Limit) -> list[str]:
    """As many rows as fit, whole, and how many more; no order ID in halves."""
    rows = watching.rows_of(digest, language, zone)
    repeat = say("alert.repeat", language) if digest.may_be_repeat else ""
    title = say(f"digest.first_{digest.reason}", language, n=digest.count) + repeat
    for shown in range(len(rows), -1, -1):
        rest = digest.count - shown
        more = [say("sms.more", language, n=rest)] if rest else []
        lines = [title, say("sms.digest", language), *rows[:shown], *more]
        if limit.length("\n".join(lines)) <= limit.size:
            return lines
    return [title]


def _with_short_faults(told: FaultNews | MorningLine) -> FaultNews | MorningLine:
    """The same, each fault in its short sentence where it has one: a server's own words would push out the rest."""
    if isinstance(told, MorningLine):
        troubles, quiet = (tuple(_short(each) for each in faults) for faults in (told.troubles, told.quiet))
        return replace(told, troubles=troubles, quiet=quiet)
    return told if told.stage is Stage.OVER else replace(told, fault=_short(told.fault))


def _short(fault: Fault) -> Fault:
    why = fault.fields.get("why")
    if isinstance(why, Fault) and why.key == "mailbox.login_not_now":
        return Fault("sms.login_not_now", fault.fields)
    return Fault(_SHORT.get(fault.key, fault.key), fault.fields)
