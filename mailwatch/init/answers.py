"""What was answered, and the files that it makes: a commented configuration and each secret by itself. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mailwatch.catalogue import Language, say
from mailwatch.secret import Secret

# An SMS costs money: beside another channel it gets what can't wait (docs/channels.md). Alone it must get everything.
_SMS_BESIDE_OTHERS = ("request", "fault")


@dataclass(frozen=True, slots=True)
class Answers:
    """All that `init` asks. `preset` is a key of providers.toml or ""; `host`, `port` only where the preset's own does
    not stand; `channels` are names and apprise URLs; an empty text is "none"."""

    language: Language
    preset: str
    host: str
    port: int | None
    is_plain: bool
    user: str
    password: Secret
    folders: tuple[str, ...]
    seller: str
    done_folder: str
    channels: tuple[tuple[str, Secret], ...]
    morning_line: str
    quiet_hours: str

    @property
    def account(self) -> str:
        """What the account is called in alerts and in the log."""
        return self.preset or "mail"


def texts_of(answers: Answers, file_name: str) -> dict[str, str]:
    """The files by name, secrets first and the configuration, `file_name`, last."""
    secrets = {_password_file(answers): answers.password, **{f"{name}.url": url for name, url in answers.channels}}
    made = {name: secret.reveal() + "\n" for name, secret in secrets.items()}
    return {**made, file_name: "\n".join(_lines(answers)) + "\n"}


def _password_file(answers: Answers) -> str:
    return f"{answers.account}.password"


def _lines(answers: Answers) -> Iterator[str]:
    yield from _comment("head", answers)
    yield "[watch]"
    yield from _key("language", answers.language, answers)
    yield from _key("morning_line", answers.morning_line, answers)
    yield from _key("quiet_hours", answers.quiet_hours, answers)
    yield from _key("lookback_days", 14, answers)
    yield from _comment("accounts", answers)
    yield "[[accounts]]"
    yield from _account(answers)
    yield from _comment("channels", answers)
    for number, (name, _) in enumerate(answers.channels):
        if number:
            yield ""
        yield "[[channels]]"
        yield f"name = {_toml(name)}"
        yield from _key("url_file", f"{name}.url", answers)
        if name == "sms" and len(answers.channels) > 1:
            yield from _key("send", _SMS_BESIDE_OTHERS, answers)
    yield from _comment("heartbeat", answers)
    yield "# [heartbeat]"
    yield '# url = "https://hc-ping.com/…"'


def _account(answers: Answers) -> Iterator[str]:
    yield from _key("name", answers.account, answers)
    if answers.preset:
        yield from _key("provider", answers.preset, answers)
    if answers.host:
        yield from _key("host", answers.host, answers)
    if answers.port:
        yield f"port = {_toml(answers.port)}"
    if answers.is_plain:
        yield from _key("tls", "off", answers)
    yield from _key("user", answers.user, answers)
    yield from _key("password_file", _password_file(answers), answers)
    yield from _key("folders", answers.folders, answers)
    yield from _key("done_folder", answers.done_folder, answers)
    yield from _key("seller", answers.seller, answers)


def _key(name: str, value: str | int | Sequence[str], answers: Answers) -> Iterator[str]:
    yield from _comment(name, answers)
    yield f"{name} = {_toml(value)}"


def _comment(name: str, answers: Answers) -> Iterator[str]:
    """The comment of a key, or of what follows; an empty line of it stays empty."""
    for line in say(f"init.comment_{name}", answers.language).split("\n"):
        yield f"# {line}" if line else ""


def _toml(value: str | int | Sequence[str]) -> str:
    """A value as TOML writes it: JSON's strings are TOML's, but for control characters, which no answer holds."""
    return json.dumps(value, ensure_ascii=False)
