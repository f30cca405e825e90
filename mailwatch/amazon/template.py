"""The known forms of Amazon's mails: loading them, checking a seller's own, and matching a mail with them.

A form is recognised by Amazon's own header field, worth a verdict alone, or else by several weak signals, because the
exact texts are known for few languages only. The points are in templates.toml; here is only how they are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from mailwatch import toml
from mailwatch.amazon import words
from mailwatch.amazon.sender import Sender
from mailwatch.message import Field

# What Amazon's own header says a mail is. Seen in 2026 in mails of sellers in four countries: docs/templates.md.
TYPE_HEADER = "X-Space-Notification-Type"
_TYPE = re.compile(r"[A-Z0-9_]{1,60}")
_HEADER = re.compile(r"[!-9;-~]{1,80}: ?\S.{0,200}")
# Of a seller's own form. A shipped one may also be of kind `message`: a buyer's message, whose words are judged.
KINDS = ("request", "cancelled", "ignored")
ROUTES = ("message", "notification")
SENDERS = tuple(Sender)
SPAN_SUBJECT = 40
SPAN_BODY = 45

_LISTS = ("senders", "headers", "subject", "subject_starts", "body", "not_in_subject", "not_in_body")
_TEXTS = ("id", "kind", "route", "seen")
_NUMBERS = ("needs",)


@dataclass(frozen=True, slots=True)
class Template:
    """One known form. Every text is a list of alternatives in the notation of `words.near`.

    `senders`: class names of `sender.Sender`, or address patterns as in a shell (`*@amazon.co.jp`).
    `headers`: `Name: value`, one of which in a mail from an exact Amazon address is enough alone. `needs`: the points
    from which a mail is of this form by its words. `undelivered`: a message of the seller's own came back.
    """

    id: str
    kind: str
    senders: tuple[str, ...]
    route: str | None = None
    headers: tuple[str, ...] = ()
    subject: tuple[str, ...] = ()
    subject_starts: tuple[str, ...] = ()
    body: tuple[str, ...] = ()
    not_in_subject: tuple[str, ...] = ()
    not_in_body: tuple[str, ...] = ()
    needs: int = 3
    undelivered: bool = False
    seen: str = ""

    @property
    def is_by_header_alone(self) -> bool:
        """Whether no words are known of it."""
        return bool(self.headers) and not (self.subject or self.subject_starts or self.body)


@dataclass(frozen=True, slots=True)
class Points:
    """What each signal is worth (templates.toml, `[points]`)."""

    subject: int
    body: int
    order_id: int


@dataclass(frozen=True, slots=True)
class Templates:
    """All forms that are known, the seller's own first, and the texts that frame a buyer's own words."""

    forms: tuple[Template, ...]
    points: Points
    message_begins: tuple[str, ...]
    message_ends: tuple[str, ...]
    message_words: tuple[str, ...]
    relay_labels: tuple[str, ...]
    notice_addresses: frozenset[str]
    own: tuple[Template, ...] = ()

    @property
    def types(self) -> frozenset[str]:
        """The values of the type header that any form knows."""
        named = (header.partition(":") for form in self.forms for header in form.headers)
        return frozenset(value.strip() for name, _, value in named if name.lower() == TYPE_HEADER.lower())


@dataclass(frozen=True, slots=True)
class Signals:
    """What of one mail the forms are matched with: sender class and address, compact subject and frame text.

    `headers`: the fields as `fields_of` gives them; empty where From is no exact Amazon address.
    """

    sender: str
    address: str
    headers: frozenset[str] = frozenset()
    subject: str = ""
    body: str = ""
    has_order_id: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A form that a mail is of, and which signals it gave."""

    template: Template
    points: int
    by_subject: bool
    signals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TemplateFault:
    """One fault of a seller's templates file: a catalogue key and its fields."""

    key: str
    fields: dict[str, str] = field(default_factory=dict)


class TemplateFaults(Exception):
    """A seller's templates file is wrong; all its faults at once."""

    def __init__(self, faults: list[TemplateFault]) -> None:
        super().__init__(f"{len(faults)} faults in the templates file")
        self.faults = faults


@cache
def shipped() -> Templates:
    """The forms that come with mailwatch."""
    data = toml.packaged("mailwatch.amazon", "templates.toml")
    return Templates(
        forms=tuple(_template(row) for row in data["template"]),
        points=Points(**data["points"]),
        message_begins=tuple(data["buyer_words"]["begins"]),
        message_ends=tuple(data["buyer_words"]["ends"]),
        message_words=tuple(data["buyer_words"]["message"]),
        relay_labels=tuple(data["buyer_words"]["relay_labels"]),
        notice_addresses=frozenset(data["notice_addresses"]["local_parts"]),
    )


def with_own(data: bytes) -> Templates:
    """The shipped forms with a seller's own file in front: a same `id` replaces, a new one adds.

    Raises `TemplateFaults` with every fault of the file.
    """
    try:
        rows = toml.parse(data).get("template", [])
    except toml.TomlFault as fault:
        raise TemplateFaults([TemplateFault("template.toml", {"line": str(fault.line), "why": str(fault)})]) from None
    if not _is_rows(rows):
        raise TemplateFaults([TemplateFault("template.no_rows")])
    faults = [fault for number, row in enumerate(rows, 1) for fault in _faults(row, number)] + _twice(rows)
    if faults:
        raise TemplateFaults(faults)
    own = tuple(_template(row) for row in rows)
    replaced = {each.id for each in own}
    base = shipped()
    kept = [each for each in base.forms if each.id not in replaced]
    return replace(base, forms=(*own, *kept), own=own)


def fields_of(fields: Iterable[Field]) -> frozenset[str]:
    """Return each `x-` field as `name: value`, the name in lower case; none of a name that has two different values."""
    values: dict[str, set[str]] = {}
    for each in fields:
        if each.name.startswith("x-"):
            values.setdefault(each.name, set()).add(each.text)
    return frozenset(f"{name}: {text}" for name, texts in values.items() if len(texts) == 1 for text in texts)


def type_of(headers: frozenset[str]) -> str | None:
    """Return the mail's type by Amazon's header; None where there is none, or none that can be one."""
    opening = f"{TYPE_HEADER.lower()}: "
    value = next((each.removeprefix(opening) for each in headers if each.startswith(opening)), "")
    return value if _TYPE.fullmatch(value) else None


def match_header(templates: Templates, signals: Signals) -> list[Match]:
    """Return every form that one of its headers names."""
    forms = (form for form in templates.forms if form.kind != "message")
    return [made for form in forms if (made := _by_header(form, signals))]


def is_message(templates: Templates, signals: Signals) -> bool:
    """Return whether it is a buyer's message that Amazon relays, by its header or subject, whatever its address."""
    forms = tuple(form for form in templates.forms if form.kind == "message")
    return bool(_match_each(forms, templates.points, signals))


def match(templates: Templates, signals: Signals) -> list[Match]:
    """Every form that the mail is of, best first: by the subject before by the body, then by points."""
    forms = tuple(form for form in templates.forms if form.kind != "message")
    return _match_each(forms, templates.points, signals)


def match_own(templates: Templates, signals: Signals) -> list[Match]:
    """Those of the seller's own file, likewise."""
    return _match_each(templates.own, templates.points, signals)


def _match_each(forms: tuple[Template, ...], points: Points, signals: Signals) -> list[Match]:
    found = [made for each in forms if (made := _by_header(each, signals) or _by_words(each, points, signals))]
    return sorted(found, key=lambda made: (made.by_subject, made.points), reverse=True)


def _by_header(form: Template, signals: Signals) -> Match | None:
    if not any(_as_field(header) in signals.headers for header in form.headers):
        return None
    return Match(form, form.needs, by_subject=False, signals=("header",))


def _by_words(form: Template, points: Points, signals: Signals) -> Match | None:
    if form.is_by_header_alone or not any(_is_sender(wanted, signals) for wanted in form.senders):
        return None
    if _any_near(signals.subject, form.not_in_subject, SPAN_SUBJECT):
        return None
    if _any_near(signals.body, form.not_in_body, SPAN_BODY):
        return None
    starts = any(signals.subject.startswith(words.compact(start)) for start in form.subject_starts)
    by_subject = starts or _any_near(signals.subject, form.subject, SPAN_SUBJECT)
    by_body = _any_near(signals.body, form.body, SPAN_BODY)
    if not (by_subject or by_body or _by_sender_alone(form)):
        return None
    given = {"subject": by_subject, "body": by_body, "order_id": signals.has_order_id}
    total = sum(getattr(points, name) for name, is_given in given.items() if is_given)
    if total < form.needs:
        return None
    return Match(form, total, by_subject, tuple(name for name, is_given in given.items() if is_given))


def _as_field(header: str) -> str:
    name, _, value = header.partition(":")
    return f"{name.strip().lower()}: {value.strip()}"


def _is_sender(wanted: str, signals: Signals) -> bool:
    return wanted == signals.sender or ("@" in wanted and fnmatchcase(signals.address.lower(), wanted.lower()))


def _by_sender_alone(form: Template) -> bool:
    return not (form.subject or form.subject_starts or form.body)


def _any_near(compacted: str, alternatives: tuple[str, ...], span: int) -> bool:
    return any(words.near(compacted, alternative, span) for alternative in alternatives)


def _template(row: dict[str, Any]) -> Template:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    if "needs" not in values:
        values["needs"] = _default_needs(row)
    return Template(**values)


def _default_needs(row: dict[str, Any]) -> int:
    """A form known only by its body needs the order ID beside it or says so itself with `needs`."""
    return 3 if any(row.get(name) for name in ("subject", "subject_starts", "body", "headers")) else 0


def _is_rows(rows: object) -> bool:
    return isinstance(rows, list) and all(isinstance(row, dict) for row in rows) and bool(rows)


def _twice(rows: list[dict[str, Any]]) -> list[TemplateFault]:
    """A form that was copied and not renamed: which of the two is meant can't be known."""
    ids = [row["id"] for row in rows if isinstance(row.get("id"), str) and row["id"]]
    repeated = dict.fromkeys(each for each in ids if ids.count(each) > 1)
    return [TemplateFault("template.twice", {"template": each}) for each in repeated]


def _faults(row: dict[str, Any], number: int) -> list[TemplateFault]:
    where = str(row.get("id") or f"#{number}")
    faults = [
        TemplateFault("template.unknown_key", {"template": where, "key": key})
        for key in row
        if key not in {*_LISTS, *_TEXTS, *_NUMBERS}
    ]
    faults += [TemplateFault("template.missing", {"template": where, "key": key}) for key in _missing(row)]
    faults += [
        TemplateFault("template.not_texts", {"template": where, "key": key}) for key in _LISTS if _bad_list(row, key)
    ]
    faults += [
        TemplateFault("template.sender", {"template": where, "value": each, "classes": ", ".join(SENDERS)})
        for each in _unknown_senders(row)
    ]
    if row.get("kind") is not None and row["kind"] not in KINDS:
        faults.append(TemplateFault("template.kind", {"template": where, "kinds": ", ".join(KINDS)}))
    if row.get("route") is not None and row["route"] not in ROUTES:
        faults.append(TemplateFault("template.route", {"template": where, "routes": ", ".join(ROUTES)}))
    faults += [
        TemplateFault("template.not_text", {"template": where, "key": key})
        for key in ("id", "seen")
        if _bad_text(row, key)
    ]
    faults += [
        TemplateFault("template.header", {"template": where, "value": each})
        for each in ([] if _bad_list(row, "headers") else row.get("headers", []))
        if not _HEADER.fullmatch(each)
    ]
    if not isinstance(row.get("needs", 0), int) or isinstance(row.get("needs"), bool):
        faults.append(TemplateFault("template.needs", {"template": where}))
    return faults


def _missing(row: dict[str, Any]) -> list[str]:
    wanted = [key for key in ("id", "kind", "senders") if not row.get(key)]
    if row.get("kind") == "request" and not row.get("route"):
        wanted.append("route")
    if not any(row.get(key) for key in ("subject", "subject_starts", "body", "headers")):
        wanted.append("subject")
    return wanted


def _unknown_senders(row: dict[str, Any]) -> list[str]:
    """Those that no mail is ever from: a class that is spelled wrong, a domain without an @."""
    if _bad_list(row, "senders"):
        return []
    return [each for each in row.get("senders", []) if each not in SENDERS and "@" not in each]


def _bad_text(row: dict[str, Any], key: str) -> bool:
    return key in row and not isinstance(row[key], str)


def _bad_list(row: dict[str, Any], key: str) -> bool:
    value = row.get(key, [])
    return not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value)
