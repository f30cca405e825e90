"""Which questions, in which order, and by which rule each answer is taken: those of the configuration."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mailwatch import config, providers
from mailwatch.catalogue import say
from mailwatch.config.values import has_control
from mailwatch.errors import ConfigurationError, Fault
from mailwatch.init.answers import Answers
from mailwatch.init.channels import channels
from mailwatch.init.questions import Questions, Rule, Wrong, flag, plain
from mailwatch.providers import Preset
from mailwatch.secret import Secret

PASSWORD_VARIABLE = "MAILWATCH_PASSWORD"  # noqa: S105 - the name of a variable
_ADDRESS = re.compile(r"^[!-?A-~]+@[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)+$")
_HOST = re.compile(r"^[0-9A-Za-z.:\[\]-]+$")
_OTHER = "other"
_NONE = {"", "-", "なし", "無し", "none", "no"}


def interview(asked: Questions) -> Answers:
    """Ask everything. Raises `AnswersLacking` where a flag is missing or wrong, `click.Abort` at Ctrl-C."""
    address = asked.ask("address", _address_rule(asked))
    preset = _preset(asked, address)
    known = preset.host_of(address) if preset else ""
    host = asked.given("host") or known
    # What is not known of a provider that is spelled wrong is not lacking.
    if asked.given("host") or not (known or asked.was_wrong("provider")):
        host = _host(asked, preset)
    if preset:
        asked.tell(preset.text_key("imap"))
    user = _user(asked, preset, address)
    if preset and not asked.given("password_file"):
        asked.tell(preset.text_key("password"))
    password = _password(asked, preset, host)
    folders = preset.folders if preset else ("INBOX", "\\Junk")
    port = asked.given("port")
    answers = Answers(
        language=asked.language,
        preset=preset.key if preset else "",
        host="" if preset and host == preset.host else host,
        port=int(port) if port else None,
        is_plain=asked.given("tls") == "off",
        user=user,
        password=password,
        folders=folders,
        seller="",
        done_folder="",
        channels=channels(asked),
        morning_line=asked.ask("morning_line", _at("watch.morning_line", _early), default="08:00"),
        quiet_hours=asked.ask("quiet_hours", _at("watch.quiet_hours", _none), default=""),
    )
    done_folder = asked.ask("done_folder", _at("accounts[1].done_folder", _none, folders=list(folders)), default="")
    seller = asked.ask("seller", _at("accounts[1].seller", _as_typed), default="shop")
    asked.finish()
    return replace(answers, done_folder=done_folder, seller=seller)


def login_again(asked: Questions, answers: Answers) -> Answers:
    """Login name and password once more, after a refusal."""
    preset = providers.presets().get(answers.preset)
    asked = Questions(asked.language, {}, may_ask=True)
    user = asked.ask("user", _at("accounts[1].user"), default=answers.user)
    password = asked.ask("password", _password_rule(preset, answers.host), is_secret=True)
    return replace(answers, user=user, password=Secret(password))


def host_again(asked: Questions, answers: Answers) -> Answers:
    """The server's name once more, where none is reached by the one that was given."""
    asked = Questions(asked.language, {"tls": "off"} if answers.is_plain else {}, may_ask=True)
    return replace(answers, host=_host(asked, providers.presets().get(answers.preset), default=answers.host))


# ---- the account ----


def _address_rule(asked: Questions) -> Rule:
    def rule(text: str) -> str:
        address = plain(text)
        if not _ADDRESS.match(address):
            raise Wrong(Fault("init.not_address", {"value": text}))
        guessed = providers.of_address(address)
        if guessed and not asked.given("provider"):
            _refuse_unusable(asked, guessed)
        return address

    return rule


def _refuse_unusable(asked: Questions, preset: Preset) -> None:
    """A service that takes no password is of use behind a host of one's own only."""
    if not preset.password_login and not asked.given("host"):
        raise Wrong(Fault(preset.text_key("refused")))


def _preset(asked: Questions, address: str) -> Preset | None:
    """By its flag, by the address, or from a list; None for a service that we don't know."""
    guessed = providers.of_address(address)
    if guessed and not asked.given("provider"):
        asked.tell("init.recognised", provider=guessed.name(asked.language))
        return guessed
    if asked.given("host") and not asked.given("provider"):
        return None
    keys = [*providers.presets(), _OTHER]

    def rule(text: str) -> str:
        word = plain(text).lower()
        key = keys[int(word) - 1] if word.isdecimal() and 0 < int(word) <= len(keys) else word
        if key not in keys:
            raise Wrong(Fault("init.not_provider", {"value": text, "known": ", ".join(keys)}))
        if key != _OTHER:
            _refuse_unusable(asked, providers.presets()[key])
        return key

    if not asked.given("provider"):
        names = [preset.name(asked.language) for preset in providers.presets().values()]
        names.append(say("init.other_provider", asked.language))
        asked.tell("init.providers", names="\n".join(f"  {number}  {name}" for number, name in enumerate(names, 1)))
    return providers.presets().get(asked.ask("provider", rule, default=None if asked.may_ask else _OTHER))


def _host(asked: Questions, preset: Preset | None, default: str | None = None) -> str:
    def rule(text: str) -> str:
        host = plain(text).lower()
        if not _HOST.match(host) or not host.strip(".:[]-"):
            raise Wrong(Fault("init.not_host", {"value": text}))
        _by_configuration("accounts[1].tls", {"host": host, "tls": asked.given("tls") or "implicit"})
        return host

    if preset and preset.host_form and not asked.given("host"):
        asked.tell("init.own_host", provider=preset.name(asked.language), form=preset.host_form)
    return asked.ask("host", rule, default=default)


def _user(asked: Questions, preset: Preset | None, address: str) -> str:
    """The login name: known of a service, else asked, for many of the others want the address."""
    known = preset.user_of(address) if preset else ""
    if known and not asked.given("user"):
        return known
    if preset and preset.user == "own":
        return asked.ask("user", _at("accounts[1].user"))
    return asked.ask("user", _at("accounts[1].user"), default=address)


def _password(asked: Questions, preset: Preset | None, host: str) -> Secret:
    """From a file, from standard input (`-`), from $MAILWATCH_PASSWORD, or asked."""
    rule = _password_rule(preset, host)
    file = asked.given("password_file")
    if not file and PASSWORD_VARIABLE not in os.environ:
        if not asked.may_ask:
            asked.note(Fault("init.needed_password", {"variable": PASSWORD_VARIABLE}))
            return Secret("")
        return Secret(asked.ask("password", rule, is_secret=True))
    name = flag("password_file") if file else f"${PASSWORD_VARIABLE}"
    try:
        if file == "-":
            return Secret(rule(sys.stdin.readline().removeprefix("\ufeff")))
        source = config.Source(name, "file" if file else "env", file or PASSWORD_VARIABLE, Path())
        return Secret(rule(source.read().reveal()))
    except ConfigurationError as fault:
        asked.note(fault.faults[0])
    except Wrong as wrong:
        asked.note(Fault(wrong.fault.key, {**wrong.fault.fields, "key": name}))
    return Secret("")


def _password_rule(preset: Preset | None, host: str) -> Rule:
    def rule(text: str) -> str:
        # Full-width letters can't be meant: no server that we log in to would take them.
        password = plain(text) if not text.isascii() else text.strip()
        if preset and preset.drops_blanks:
            password = re.sub(r"\s", "", password)
        if not password:
            raise Wrong(Fault("config.empty"))
        if has_control(password):
            raise Wrong(Fault("config.secret_control"))
        if not password.isascii():
            raise Wrong(Fault("mailbox.login_not_ascii", {"host": host}))
        return password

    return rule


# ---- rules of the configuration ----


def _at(where: str, read: Callable[[str], str] = plain, **others: Any) -> Rule:
    """The rule that the configuration has for a key; `others` are keys beside it."""

    def rule(text: str) -> str:
        value = read(text)
        _by_configuration(where, {**others, where.rpartition(".")[2]: value})
        return value

    return rule


def _by_configuration(where: str, row: dict[str, Any]) -> None:
    section = where.partition(".")[0]
    data = {"accounts": [row]} if section == "accounts[1]" else {section: row}
    if found := config.faults_at(data, where):
        raise Wrong(found[0])


def _none(text: str) -> str:
    """A text, or "" for the words that mean none."""
    return "" if plain(text).lower() in _NONE else _as_typed(text)


def _early(text: str) -> str:
    """A time; 8:00 is 08:00."""
    found = _none(plain(text))
    return f"0{found}" if re.match(r"^\d:\d\d$", found) else found


def _as_typed(text: str) -> str:
    """A name that may be Japanese: its letters stay. Bytes that are no text can't be written."""
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise Wrong(Fault("config.not_text"))
    return text.strip()
