"""Why a mail is taken for what it is: every signal, what it gave, and the verdict. For a person, or as JSON."""

from __future__ import annotations

from typing import Any

from mailwatch.amazon.template import Match, Templates
from mailwatch.catalogue import Language, say
from mailwatch.message import Message
from mailwatch.notice import Examined, Notice, Route, examine, read
from mailwatch.texts import plain
from mailwatch.trust import Provider


def as_json(
    message: Message, provider: Provider, templates: Templates, marketplace: str | None = None
) -> dict[str, Any]:
    """Everything as one object, stable."""
    found = examine(message, provider, templates)
    notices = read(message, provider, templates, marketplace=marketplace)
    return {
        "from": message.address,
        "sender": found.origin.sender.value,
        "marketplace": notices[0].marketplace,
        "trust": found.trust.value,
        "type": found.type,
        "repeated_fields": sorted(message.repeated),
        "subject": message.subject,
        "templates": [
            {
                "id": match.template.id,
                "kind": match.template.kind,
                "points": match.points,
                "needs": match.template.needs,
                "signals": list(match.signals),
            }
            for match in found.matches
        ],
        "own_words": {"found": bool(found.parts.own.words), "certain": found.parts.own.certain},
        "wish_word": found.verdict.wish_word,
        "order_ids": [notice.order_id for notice in notices if notice.order_id],
        "also_mentioned": list(notices[0].also_mentioned),
        "defects": list(message.defects),
        "kind": found.verdict.kind.value,
        "route": found.verdict.route.value if found.verdict.route else None,
        "template": found.verdict.template,
        "why": found.verdict.why,
    }


def as_text(message: Message, provider: Provider, templates: Templates, language: Language) -> str:
    """The same for a person, a line a signal."""
    found = examine(message, provider, templates)
    notices = read(message, provider, templates)
    lines = [
        _line(
            "sender",
            language,
            value=message.address or "-",
            said=say(f"explain.sender_{found.origin.sender}", language),
        ),
        _line("trust", language, value=say(f"explain.trust_{found.trust}", language)),
        *([_line("repeated", language, value=", ".join(sorted(message.repeated)))] if message.repeated else []),
        *([_line("type", language, value=found.type)] if found.type else []),
        _line("subject", language, value=plain(message.subject) or "-"),
        *_templates(found, language),
        *_own_words(found, language),
        _line("orders", language, value=", ".join(n.order_id for n in notices if n.order_id) or "-"),
        *_also(notices, language),
        *[_line("defect", language, value=defect) for defect in message.defects],
        _line(
            "verdict",
            language,
            value=say(f"explain.kind_{found.verdict.kind}", language),
            route=_route(found, language),
        ),
        _line("why", language, value=say(f"explain.why_{found.verdict.why}", language)),
    ]
    return "\n".join(lines)


def _line(key: str, language: Language, **fields: str) -> str:
    return say(f"explain.{key}", language, **fields)


def _templates(found: Examined, language: Language) -> list[str]:
    if not found.matches:
        return [say("explain.no_template", language)]
    return [_template(match, language) for match in found.matches]


def _template(match: Match, language: Language) -> str:
    given = ", ".join(say(f"explain.signal_{name}", language) for name in match.signals) or say(
        "explain.signal_sender", language
    )
    form = match.template
    return say(
        "explain.template", language, id=form.id, kind=form.kind, given=given, points=match.points, needs=form.needs
    )


def _own_words(found: Examined, language: Language) -> list[str]:
    own = found.parts.own
    if not own.words:
        return []
    where = say("explain.own_certain" if own.certain else "explain.own_uncertain", language)
    word = found.verdict.wish_word
    asks = say("explain.asks", language, word=word) if word else say("explain.asks_not", language)
    return [_line("own_words", language, where=where, asks=asks)]


def _also(notices: tuple[Notice, ...], language: Language) -> list[str]:
    also = notices[0].also_mentioned
    return [_line("also", language, value=", ".join(also))] if also else []


def _route(found: Examined, language: Language) -> str:
    route: Route | None = found.verdict.route
    return say(f"alert.route_{route}", language) if route else "-"
