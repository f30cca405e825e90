"""`init`: from the answers to a configuration that was tried. Nothing is kept before the last question is answered."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import click

from mailwatch import check, command, config, log
from mailwatch.catalogue import LANGUAGES, Language, say, say_fault
from mailwatch.check import Finding
from mailwatch.config import Account
from mailwatch.errors import Fault, MailwatchError, UsageError
from mailwatch.init import Answers, Questions, Staged, host_again, interview, login_again, texts_of
from mailwatch.init.questions import plain
from mailwatch.mailbox import Server

_NOT_WELL = 1
_REFUSED = {"mailbox.login_refused", "mailbox.login_refused_there", "mailbox.login_not_ascii"}
_NOT_REACHED = {"mailbox.unreachable", "mailbox.unreadable", "mailbox.certificate"}

ServerOf = Callable[[Account], Server]


def run(target: Path, given: Mapping[str, str], flags: frozenset[str], server_of: ServerOf, locale: Language) -> int:
    """Ask, try, write; the exit code. `target`: the configuration's file. `given`: answers by their question's name;
    `flags`: those of `no_input`, `force` and `send` that were set."""
    may_ask = "no_input" not in flags
    language = locale
    try:
        language = _language(given, locale, may_ask=may_ask)
        return _run(target, Questions(language, given, may_ask=may_ask), flags, server_of)
    except MailwatchError as fault:
        for each in fault.faults:
            click.echo(say_fault(each, language), err=True)
        return fault.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("\n" + say("init.stopped", language), err=True)
        return _NOT_WELL


def _run(target: Path, asked: Questions, flags: frozenset[str], server_of: ServerOf) -> int:
    if _is_there(target) and "force" not in flags:
        if not asked.may_ask:
            raise UsageError("init.exists", path=target)
        asked.tell("init.there_is_one", path=target)
        if not asked.is_yes("overwrite", default=False):
            asked.tell("init.kept")
            return _NOT_WELL
    asked.tell("init.hello")
    answers = interview(asked)
    with Staged(target) as staged:
        path, is_well = _tried(staged, target, asked, answers, server_of)
        is_sent = "send" in flags or (asked.may_ask and asked.is_yes("send", default=True))
        settings = config.load(path, os.environ)
        kept = staged.keep()
    language = asked.language
    click.echo()
    click.echo(say("init.saved", language, paths="\n".join(f"  {each}" for each in kept)))
    if is_sent:
        # All is saved: Ctrl-C ends only the waiting.
        with log.silence(), contextlib.suppress(KeyboardInterrupt):
            is_well &= not _show(check.test_alerts(settings), language)
    # Not $XDG_CONFIG_HOME's: `sudo` does not keep that.
    named = [] if target == config.own_path({}) else ["--config", str(target.absolute())]
    commands = {"command": command.short(*named), "whole": command.whole(*named)}
    click.echo()
    click.echo(say("init.next" if is_well else "init.next_not_well", language, **commands))
    return 0 if is_well else _NOT_WELL


def _tried(staged: Staged, target: Path, asked: Questions, answers: Answers, server_of: ServerOf) -> tuple[Path, bool]:
    """The staged configuration after `check`, with other answers as often as server or login are wrong; whether all is
    well."""
    while True:
        path = staged.put(texts_of(answers, target.name))
        asked.tell("init.checking")
        bad = _show(check.findings(config.load(path, os.environ), server_of), asked.language)
        other = _mended(asked, answers, bad) if asked.may_ask else None
        if other is None:
            return path, not bad
        answers = other


def _mended(asked: Questions, answers: Answers, bad: list[Finding]) -> Answers | None:
    """The answers with another login or server, where that is what is wrong and the person wants it."""
    keys = {why.key for why in (each.said.fields.get("why") for each in bad) if isinstance(why, Fault)}
    if keys & _REFUSED:
        return login_again(asked, answers) if asked.is_yes("again", default=True) else None
    # A host that was not asked for is the mail service's own, and right.
    if keys & _NOT_REACHED and answers.host:
        return host_again(asked, answers) if asked.is_yes("again_host", default=True) else None
    return None


def _is_there(target: Path) -> bool:
    """Whether there is a configuration. Raises `UsageError` where that may not be known."""
    try:
        return target.exists()
    except OSError as fault:
        raise UsageError("init.unwritable", path=target, why=fault.strerror) from None


def _show(found: Iterable[Finding], language: Language) -> list[Finding]:
    """Print findings as they are known; those that are bad."""
    bad = []
    for finding in found:
        click.echo(("  " if finding.is_good else "! ") + say_fault(finding.said, language))
        if not finding.is_good:
            bad.append(finding)
    return bad


def _language(given: Mapping[str, str], locale: Language, *, may_ask: bool) -> Language:
    """By its flag, else asked in both languages, the locale's by default."""
    if (named := given.get("language")) or not may_ask:
        return "en" if (named or locale) == "en" else "ja"
    number = str(LANGUAGES.index(locale) + 1)
    while True:
        answer = plain(click.prompt(say("init.ask_language", locale), default=number)).lower()
        if answer in {"1", "ja", "日本語"}:
            return "ja"
        if answer in {"2", "en", "english"}:
            return "en"
