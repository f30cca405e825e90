"""What click says by itself, such as `Usage:` and `No such command`, in the user's language.

The catalogue's English is click's own text, by which it is found. What click words otherwise in another version stays
English.
"""

from __future__ import annotations

from types import ModuleType

from click import core, decorators, exceptions, formatting, parser, termui, types

from mailwatch.catalogue import Language, texts_of

_SPEAKING: tuple[ModuleType, ...] = (core, decorators, exceptions, formatting, parser, termui, types)


def speak(language: Language) -> None:
    """Have click speak the language in this process. It asks gettext for its texts; we answer in its place."""
    said = texts_of("click", "en", language)

    def one(text: str) -> str:
        return said.get(text, text)

    def one_or_many(text: str, many: str, number: int) -> str:
        return one(text if number == 1 else many)

    for module in _SPEAKING:
        for name, answer in (("_", one), ("ngettext", one_or_many)):
            if hasattr(module, name):
                setattr(module, name, answer)
