"""All texts that users read, Japanese and English, from catalogue.toml: one entry a text, one function to say it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Literal, cast

from mailwatch import toml
from mailwatch.errors import Fault

Language = Literal["ja", "en"]
LANGUAGES: tuple[Language, ...] = ("ja", "en")


@cache
def _entries() -> dict[str, dict[str, str]]:
    flat: dict[str, dict[str, str]] = {}
    for section, entries in toml.packaged("mailwatch", "catalogue.toml").items():
        for name, texts in entries.items():
            flat[f"{section}.{name}"] = cast("dict[str, str]", texts)
    return flat


def keys() -> frozenset[str]:
    """Every key of the catalogue."""
    return frozenset(_entries())


def texts_of(section: str, known: Language, wanted: Language) -> dict[str, str]:
    """The texts of a section as they are, those in one language by those in another."""
    return {texts[known]: texts[wanted] for key, texts in _entries().items() if key.startswith(f"{section}.")}


def say(key: str, language: Language, /, **fields: object) -> str:
    """The text of a key with its fields filled in. A field's own braces are text, never a placeholder."""
    return _entries()[key][language].format_map({name: str(value) for name, value in fields.items()})


def say_fault(fault: Fault, language: Language) -> str:
    """The sentence of a fault."""
    worded = {
        name: say_fault(value, language) if isinstance(value, Fault) else value for name, value in fault.fields.items()
    }
    return say(fault.key, language, **worded)


def preferred(environment: Mapping[str, str]) -> Language:
    """The user's language by the locale: English where it says so, else Japanese."""
    locale = environment.get("LC_ALL") or environment.get("LC_MESSAGES") or environment.get("LANG") or ""
    return "en" if locale.lower().startswith("en") else "ja"
