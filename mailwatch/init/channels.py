"""The questions of the channels: each gives an apprise URL, its parts checked as they come."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from mailwatch import config, services, transport
from mailwatch.errors import ConfigurationError, Fault
from mailwatch.init.questions import Questions, Rule, Wrong, flag, plain
from mailwatch.secret import Secret

NAMES = ("slack", "line", "sms")
# What stands for the parts of a URL that are not asked for yet.
_TOKEN, _LINE_ID, _SID, _NUMBER = "token", "U" + "0" * 32, "AC" + "0" * 32, "+819012345678"
# LINE's have 100 characters and more: what is shorter was not pasted whole.
_LEAST_TOKEN = 20


def channels(asked: Questions) -> tuple[tuple[str, Secret], ...]:
    """(name, URL) of each channel that was chosen, at least one. A flag may name a file that holds the URL."""
    given = asked.given("channel")
    chosen = given.split("\n") if given else asked.ask("channel", _names, default=None).split()
    found = [_channel(asked, *each.partition("=")[::2]) for each in chosen]
    names = [name for name, _ in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        asked.note(Fault("config.twice", {"key": flag("channel"), "value": twice}))
    return tuple((name, Secret(url)) for name, url in found)


def _names(text: str) -> str:
    """`1,3` or `slack sms` as names with a blank between."""
    words = [word for word in re.split(r"[\s,、・]+", plain(text).lower()) if word]
    names = [NAMES[int(word) - 1] if word in {"1", "2", "3"} else word for word in words]
    if not names or not set(names) <= set(NAMES):
        raise Wrong(Fault("init.not_channels", {"value": text}))
    return " ".join(dict.fromkeys(names))


def _channel(asked: Questions, name: str, file: str) -> tuple[str, str]:
    """One channel. Where no file is named its URL may be in $MAILWATCH_SLACK_URL, …_LINE_URL or …_SMS_URL."""
    if name not in NAMES:
        asked.note(Fault("config.not_choice", {"key": flag("channel"), "value": name, "choices": ", ".join(NAMES)}))
        return name, ""
    variable = f"MAILWATCH_{name.upper()}_URL"
    source = config.Source(flag("channel"), "file" if file else "env", file or variable, Path())
    if file or variable in os.environ:
        try:
            return name, _rule(str)(source.read().reveal())
        except ConfigurationError as fault:
            asked.note(fault.faults[0])
        except Wrong as wrong:
            asked.note(Fault(wrong.fault.key, {**wrong.fault.fields, "key": f"{flag('channel')} {name}"}))
        return name, ""
    if not asked.may_ask:
        asked.note(Fault("init.needed_channel", {"channel": name, "variable": variable}))
        return name, ""
    return name, {"slack": _slack, "line": _line, "sms": _sms}[name](asked)


def _slack(asked: Questions) -> str:
    def rule(text: str) -> str:
        url = plain(text)
        if services.of(url).name != "Slack" or _problem(url):
            raise Wrong(Fault("init.not_slack_url"))
        return url

    return asked.ask("slack_url", rule, is_secret=True)


def _line(asked: Questions) -> str:
    token_rule = _rule(lambda text: f"line://{text}/{_LINE_ID}", "init.not_line_token", least=_LEAST_TOKEN)
    token = asked.ask("line_token", token_rule, is_secret=True)
    to = asked.ask("line_to", _rule(lambda text: f"line://{_TOKEN}/{text}", "init.not_line_to"))
    return f"line://{token}/{to}"


def _sms(asked: Questions) -> str:
    def number(text: str) -> str:
        return f"twilio://{_SID}:{_TOKEN}@{text}/{_NUMBER}"

    sid = asked.ask("twilio_sid", _rule(lambda text: f"twilio://{text}:{_TOKEN}@{_NUMBER}/{_NUMBER}", "init.not_sid"))
    token = asked.ask(
        "twilio_token",
        _rule(lambda text: f"twilio://{_SID}:{text}@{_NUMBER}/{_NUMBER}", "init.not_twilio_token"),
        is_secret=True,
    )
    source = asked.ask("twilio_from", _rule(number))
    target = asked.ask("twilio_to", _rule(lambda text: f"twilio://{_SID}:{_TOKEN}@{_NUMBER}/{text}"))
    return f"twilio://{sid}:{token}@{source}/{target}"


def _rule(make: Callable[[str], str], sentence: str = "", least: int = 1) -> Rule:
    """A part of a URL without its blanks, `least` characters long; right where the URL that `make` builds of it is.
    `sentence`: what is said of a part; the configuration's speak of whole URLs, which nobody was asked for."""

    def rule(text: str) -> str:
        part = re.sub(r"\s", "", plain(text))
        problem = _problem(make(part)) if len(part) >= least else "config.empty"
        if problem:
            raise Wrong(Fault(sentence or problem))
        return part

    return rule


def _problem(url: str) -> str | None:
    """The sentence's key of what is wrong with a channel's URL, as `check` would find it."""
    return config.channel_problem(url) or (None if transport.is_usable(Secret(url)) else "config.not_apprise")
