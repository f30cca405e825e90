"""One question: its answer comes from a flag or from the terminal, and is asked for again until it is right."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping

import click

from mailwatch import catalogue
from mailwatch.catalogue import Language, say, say_fault
from mailwatch.errors import Fault, UsageError

_YES = {"y", "yes", "はい", "1"}
_NO = {"n", "no", "いいえ", "2"}


class Wrong(Exception):
    """An answer that can't be, and why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.key)
        self.fault = fault


# Takes an answer as it was typed and gives it as it counts. Raises `Wrong`.
Rule = Callable[[str], str]


class AnswersLacking(UsageError):
    """Flags that are missing or wrong, all at once."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(faults[0].key)
        self._faults = tuple(faults)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All that is wrong, at least one."""
        return self._faults


class Questions:
    """Asks in one language. `given`: answers by the question's name, as flags gave them; without `may_ask` only those
    and the defaults count."""

    def __init__(self, language: Language, given: Mapping[str, str], *, may_ask: bool) -> None:
        self.language = language
        self.may_ask = may_ask
        self._given = given
        self._faults: list[Fault] = []
        self._wrong: set[str] = set()

    def given(self, name: str) -> str | None:
        """The answer that a flag gave."""
        return self._given.get(name)

    def was_wrong(self, name: str) -> bool:
        """Whether the answer that a flag gave can't be."""
        return name in self._wrong

    def tell(self, key: str, **fields: object) -> None:
        """Something to read, with an empty line before it. Nobody reads where nobody is asked."""
        if self.may_ask:
            click.echo()
            click.echo(say(key, self.language, **fields))

    def ask(self, name: str, rule: Rule, *, default: str | None = None, is_secret: bool = False) -> str:
        """The answer to `init.ask_NAME`, as its rule gives it. `init.about_NAME`, where there is one, is told first.

        Where nobody may be asked, "" for an answer that is missing or wrong: `finish` tells them all.
        """
        if (given := self._given.get(name)) is not None:
            return self._of_flag(name, rule, given)
        if not self.may_ask:
            if default is None:
                self.note(Fault("init.needed", {"flag": flag(name)}))
            return default or ""
        if f"init.about_{name}" in catalogue.keys():  # noqa: SIM118 - a function, not a dict's
            self.tell(f"init.about_{name}")
        question = say(f"init.ask_{name}", self.language)
        while True:
            answer = click.prompt(question, default=default, show_default=bool(default), hide_input=is_secret)
            try:
                found = rule(str(answer))
            except Wrong as wrong:
                self.complain(wrong.fault, question)
                continue
            if is_secret:
                click.echo("  " + say("init.received", self.language, n=len(found)))
            return found

    def is_yes(self, name: str, *, default: bool) -> bool:
        """A yes or no to `init.ask_NAME`; the default where nobody may be asked."""
        if not self.may_ask:
            return default
        return is_yes(say(f"init.ask_{name}", self.language), self.language, default=default)

    def complain(self, fault: Fault, label: str) -> None:
        """Why an answer is wrong; `label` stands for the key that a configuration would name."""
        click.echo("  " + say_fault(Fault(fault.key, {**fault.fields, "key": label}), self.language))

    def note(self, fault: Fault) -> None:
        """Something that is wrong with the flags. Raises at once where it can't be asked for together."""
        self._faults.append(fault)
        if self.may_ask:
            self.finish()

    def finish(self) -> None:
        """Raise `AnswersLacking` where a flag is missing or wrong."""
        if self._faults:
            raise AnswersLacking(self._faults)

    def _of_flag(self, name: str, rule: Rule, given: str) -> str:
        try:
            return rule(given)
        except Wrong as wrong:
            self._wrong.add(name)
            self.note(Fault(wrong.fault.key, {**wrong.fault.fields, "key": flag(name)}))
            return ""


def is_yes(question: str, language: Language, *, default: bool) -> bool:
    """Ask at the terminal until the answer is a yes or a no; just Enter is the default."""
    while True:
        prompt = question + (" [Y/n]" if default else " [y/N]")
        answer = plain(click.prompt(prompt, default="", show_default=False)).lower()
        if answer in _YES | _NO or not answer:
            return answer in _YES if answer else default
        click.echo("  " + say("init.not_yes", language))


def flag(name: str) -> str:
    """The command line's name of a question."""
    return "--" + name.replace("_", "-")


def plain(text: str) -> str:
    """What was meant by an answer of a Japanese keyboard: full-width letters and blanks made plain, quotes around it
    dropped."""
    text = unicodedata.normalize("NFKC", text).strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
