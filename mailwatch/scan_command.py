"""`scan`: what would have been told of the mails in files, folders, mbox and Maildir."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta, tzinfo
from pathlib import Path
from typing import Any

import click

from mailwatch import notice, scan
from mailwatch.amazon import template
from mailwatch.amazon.template import Templates
from mailwatch.catalogue import Language, say, say_fault
from mailwatch.config import Config, parse_duration
from mailwatch.errors import Fault, StoreError, UsageError
from mailwatch.message import LIMIT_MAIL, Message
from mailwatch.notice import Kind
from mailwatch.request import ROLLOUT_ZONE, Action, Rollout, Rules
from mailwatch.scan import Found
from mailwatch.store import Reading, Recorded, Store
from mailwatch.trust import Provider, Trust

_PROGRESS_FROM = 200


@dataclass(frozen=True, slots=True)
class Settings:
    """What `scan` reads the mails with."""

    provider: Provider
    seller: str
    rules: Rules
    templates: Templates
    marketplace: str | None = "JP"  # as in a configuration that says nothing
    zone: tzinfo = ROLLOUT_ZONE  # for people; it is Amazon.co.jp's too


def settings(config: Config | None, given: dict[str, Any]) -> Settings:
    """The configuration's settings, those of `--account`, and what the options give instead. Raises `UsageError`."""
    made = Settings(Provider(), "shop", Rules(), template.shipped())
    if config:
        marketplace = "JP" if config.watch.language == "ja" else None
        made = replace(
            made, rules=config.rules, templates=config.templates, marketplace=marketplace, zone=config.watch.time_zone
        )
    if name := given["account"]:
        account = next((each for each in config.accounts if each.name == name), None) if config else None
        if account is None:
            raise UsageError("scan.no_account", name=name)
        made = replace(made, provider=account.provider, seller=account.seller, marketplace=account.marketplace)
    provider = replace(
        made.provider,
        authserv_id=given["authserv_id"] or made.provider.authserv_id,
        received_by=tuple(given["received_by"]) or made.provider.received_by,
    )
    return replace(made, provider=provider, seller=given.get("seller") or made.seller, rules=_rules(made.rules, given))


def _rules(rules: Rules, given: dict[str, Any]) -> Rules:
    rollout = rules.rollout
    if (start := given.get("rollout_start")) is not None:
        rollout = replace(rollout, start=_date(start))
    if (days := given.get("rollout_days")) is not None:
        rollout = replace(rollout, days=days)
    merge = rules.merge_within
    if (text := given.get("merge_within")) is not None:
        merge = _duration(text)
    return Rules(Rollout(rollout.start, rollout.days), merge)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError("scan.bad_date", value=text) from None


def _duration(text: str) -> timedelta:
    found = parse_duration(text)
    if found is None:
        raise UsageError("scan.bad_duration", value=text)
    return found


def read_file(path: Path) -> bytes:
    """One mail's bytes. Raises `UsageError`."""
    try:
        with path.open("rb") as file:
            return file.read(LIMIT_MAIL)
    except OSError as fault:
        raise UsageError("scan.unreadable_file", path=path, why=fault.strerror or type(fault).__name__) from None


def run(paths: list[Path], use: Settings, store_dir: Path | None, is_json: bool, language: Language) -> int:
    """Read everything, print it, and give the exit code: 0 also where some files could not be read (they are named)."""
    try:
        return _run(paths, use, store_dir, is_json, language)
    except StoreError as fault:
        if fault.fault.key != "store.damaged":
            raise
        # `run` puts only its own store right by itself.
        raise StoreError("scan.store_damaged", **fault.fault.fields) from None


def _run(paths: list[Path], use: Settings, store_dir: Path | None, is_json: bool, language: Language) -> int:
    unreadable: list[Fault] = []
    store = Store.open_for_scan(store_dir) if store_dir else Store.in_memory()
    counts: Counter[str] = Counter()
    mails: set[object] = set()
    try:
        for found, parsed, recorded in _recorded(scan.find(paths, unreadable), use, store, unreadable, language):
            counts[_group(recorded)] += 1
            mails.add(found.source)
            if is_json:
                click.echo(json.dumps(scan.as_json(found, parsed, recorded), ensure_ascii=False))
            elif recorded.notice.kind is not Kind.IGNORED:
                click.echo(_row(found, recorded, use.zone, language))
    finally:
        store.close()
    for fault in unreadable:
        click.echo(say_fault(fault, language), err=True)
    click.echo(_summary(len(mails), counts, language), err=is_json)
    return 0


def _recorded(
    mails: list[Found], use: Settings, store: Store, unreadable: list[Fault], language: Language
) -> Iterator[tuple[Found, Message, Recorded]]:
    is_long = len(mails) >= _PROGRESS_FROM and sys.stderr.isatty()
    label = say("scan.progress", language)
    with click.progressbar(mails, label=label, file=sys.stderr, hidden=not is_long) as bar:
        for found in bar:
            parsed = scan.parse(found, unreadable)
            if parsed is None:
                continue
            notices = notice.read(parsed, use.provider, use.templates, marketplace=use.marketplace)
            reading = Reading(scan.identity(found), use.seller, parsed.content_key(), notices)
            for recorded in store.record(reading, use.rules, (), found.seen_at):
                yield found, parsed, recorded


def _group(recorded: Recorded) -> str:
    """Where a notice counts in the summary: in one place only."""
    about, decision = recorded.notice, recorded.decision
    if decision.alerts:
        return {Kind.REQUEST: "requests", Kind.WISH: "wishes"}.get(about.kind, "doubtful")
    if about.trust is Trust.FORGED:
        return "forged"
    if about.kind is Kind.CANCELLED:
        return "cancelled"
    return "joined" if decision.action is Action.JOIN else "ignored"


def _row(found: Found, recorded: Recorded, zone: tzinfo, language: Language) -> str:
    about = recorded.notice
    return say(
        "scan.row",
        language,
        at=found.seen_at.astimezone(zone).strftime("%Y-%m-%d %H:%M"),
        label=say(f"scan.kind_{about.kind}", language),
        order=about.order_id or "-" * 19,
        trust=say(f"scan.trust_{about.trust}", language),
        decision=say(f"scan.decision_{recorded.decision.action}", language),
        source=found.source.name,
    )


def _summary(mails: int, counts: Counter[str], language: Language) -> str:
    if not mails:
        return say("scan.none", language)
    told = {name: counts[name] for name in ("requests", "wishes", "doubtful")}
    others = {name: counts[name] for name in ("joined", "cancelled", "forged", "ignored")}
    return say("scan.summary", language, mails=mails, alerts=sum(told.values()), **told, **others)
