"""The texts about the watching itself: faults, digests, the morning line, the test alert."""

from __future__ import annotations

from datetime import tzinfo

from mailwatch.alert import Alert, Digest, DigestRow, FaultNews, MorningLine, Stage, TestAlert, Told
from mailwatch.catalogue import Language, say, say_fault
from mailwatch.errors import Fault
from mailwatch.texts.text import Text, at, cut, plain

_LIMIT_SENTENCE = 400


def word(told: Told, language: Language, zone: tzinfo) -> Text:
    """The text in its long form. `told` is no alert of a mail."""
    match told:
        case FaultNews():
            text = _fault(told, language, zone)
        case Digest():
            text = _digest(told, language, zone)
        case MorningLine():
            text = _morning(told, language, zone)
        case TestAlert():
            text = Text(say("test.first", language), say("test.body", language, at=at(told.at, zone)))
        case Alert():
            raise TypeError("the alert of a mail is worded in texts.mail")
    repeat = say("alert.repeat", language) if told.may_be_repeat else ""
    return Text(text.title + repeat, text.body)


def _fault(news: FaultNews, language: Language, zone: tzinfo) -> Text:
    key = f"{news.fault.key}_over" if news.stage is Stage.OVER else news.fault.key
    sentence = _sentence(Fault(key, news.fault.fields), language)
    # A quota is used up until the month ends: no morning will tell more.
    stage = Stage.LASTS if news.stage is Stage.BEGAN and news.fault.key == "fault.quota" else news.stage
    since = say(f"fault.{stage}_since", language, at=at(news.since, zone))
    return Text(say(f"fault.{news.stage}", language), f"{sentence}\n{since}")


def _sentence(fault: Fault, language: Language) -> str:
    return cut(say_fault(_harmless(fault), language), _LIMIT_SENTENCE)


def _harmless(fault: Fault) -> Fault:
    """A server may say anything when it refuses us: its words go out as harmless as those of a mail."""
    fields = {
        name: _harmless(value) if isinstance(value, Fault) else plain(value) for name, value in fault.fields.items()
    }
    return Fault(fault.key, fields)


def _digest(digest: Digest, language: Language, zone: tzinfo) -> Text:
    rest = digest.count - len(digest.named)
    lines = [
        *rows_of(digest, language, zone),
        *([say("digest.rest", language, n=rest)] if rest else []),
        say(f"digest.do_{digest.reason}", language),
    ]
    return Text(say(f"digest.first_{digest.reason}", language, n=digest.count), "\n".join(lines))


def rows_of(digest: Digest, language: Language, zone: tzinfo) -> list[str]:
    """What a digest names, a line each."""
    return [_row(row, language, zone) for row in digest.named]


def _row(row: DigestRow, language: Language, zone: tzinfo) -> str:
    label = say(f"alert.label_{row.kind}", language)
    return say("digest.row", language, label=label, order=row.order_id or plain(row.place), at=at(row.at, zone))


def _morning(line: MorningLine, language: Language, zone: tzinfo) -> Text:
    counts = {name: getattr(line, name) for name in ("mails", "known", "open", "missed", "forged")}
    said = say("morning.line", language, since=at(line.since, zone), **counts)
    troubles = [_sentence(each, language) for each in line.troubles]
    undelivered = [say("morning.undelivered", language, order=order) for order in line.undelivered]
    title = say("morning.not_well" if troubles else "morning.well", language)
    quiet = [_sentence(each, language) for each in line.quiet]
    return Text(title, "\n".join([*troubles, *quiet, said, *undelivered]))
