"""`templates list` and `templates test`: which forms are known, and which takes which mail."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mailwatch import notice, scan
from mailwatch.amazon import template
from mailwatch.amazon.template import Template
from mailwatch.catalogue import Language, say, say_fault
from mailwatch.config import Config
from mailwatch.errors import Fault
from mailwatch.trust import Provider


def show(config: Config | None, is_json: bool, language: Language) -> None:
    """Print every form, the seller's own first."""
    templates = config.templates if config else template.shipped()
    for form in templates.forms:
        is_own = form in templates.own
        if is_json:
            click.echo(json.dumps({**_as_json(form), "own": is_own}, ensure_ascii=False))
        else:
            click.echo(_row(form, is_own, language))


def test(paths: list[Path], config: Config | None, is_json: bool, language: Language) -> None:
    """Print for each mail below the paths the kind and the form that took it. Raises `UsageError`."""
    templates = config.templates if config else template.shipped()
    unreadable: list[Fault] = []
    for found in scan.find(paths, unreadable):
        parsed = scan.parse(found, unreadable)
        if parsed is None:
            continue
        verdict = notice.examine(parsed, Provider(), templates).verdict
        said = {"source": found.source.name, "kind": verdict.kind.value, "template": verdict.template}
        if is_json:
            click.echo(json.dumps(said, ensure_ascii=False))
        else:
            name = verdict.template or say("templates.none", language)
            kind = say(f"explain.kind_{verdict.kind}", language)
            click.echo(say("templates.tested", language, source=found.source.name, kind=kind, template=name))
    for fault in unreadable:
        click.echo(say_fault(fault, language), err=True)


def _as_json(form: Template) -> dict[str, object]:
    return {"id": form.id, "kind": form.kind, "route": form.route, "senders": list(form.senders), "seen": form.seen}


def _row(form: Template, is_own: bool, language: Language) -> str:
    return say(
        "templates.row",
        language,
        id=f"{form.id:26}",
        kind=f"{form.kind:9}",
        route=f"{form.route or '-':12}",
        senders=", ".join(form.senders),
        origin=say("templates.own" if is_own else "templates.shipped", language),
    )
