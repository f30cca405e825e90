"""Every text that users read: both languages, the same fields, and nothing that the code does not know."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import cast

import pytest

import mailwatch
from mailwatch import click_texts, toml
from mailwatch.catalogue import LANGUAGES, Language, keys, preferred, say, say_fault, texts_of
from mailwatch.errors import Fault

CATALOGUE = {
    f"{section}.{name}": cast("dict[str, str]", texts)
    for section, entries in toml.packaged("mailwatch", "catalogue.toml").items()
    for name, texts in entries.items()
}
SECTIONS = {key.partition(".")[0] for key in CATALOGUE}
PACKAGE = Path(mailwatch.__file__).parent
TREES = {str(path.relative_to(PACKAGE)): ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}
NODES = [node for tree in TREES.values() for node in ast.walk(tree)]
# Words an error knows of itself, beside what its call gives: config's reader and the loader of templates add these.
# `init` puts its question in the place of the key.
ADDED = {"config": {"key"}, "template": {"path"}, "init": {"key"}}


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def constants() -> set[str]:
    """Every text in the code that is not a piece of an f-string."""
    pieces = {id(piece) for node in NODES if isinstance(node, ast.JoinedStr) for piece in node.values}
    return {
        node.value
        for node in NODES
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in pieces
    }


def patterns() -> set[str]:
    """The keys that an f-string builds, as patterns: f"alert.do_{kind}" is alert\\.do_.+"""
    found = set()
    for node in NODES:
        if isinstance(node, ast.JoinedStr):
            pieces = [re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+" for part in node.values]
            if re.match(rf"(?:{'|'.join(SECTIONS)})\\\.", pieces[0]):
                found.add("".join(pieces))
    return found


def endings() -> set[str]:
    """What an f-string adds to a key that it is given: f"{fault.key}_over" is _over."""
    joined = [node for node in NODES if isinstance(node, ast.JoinedStr)]
    return {
        str(tail.value)
        for head, tail in (node.values for node in joined if len(node.values) == 2)
        if isinstance(head, ast.FormattedValue)
        and ast.unparse(head.value).endswith(".key")
        and isinstance(tail, ast.Constant)
    }


def test_the_catalogue_is_what_say_knows() -> None:
    assert keys() == set(CATALOGUE)


def test_every_key_has_both_languages_with_the_same_fields() -> None:
    for key, texts in CATALOGUE.items():
        assert set(texts) == set(LANGUAGES), key
        assert all(text.strip() or key.startswith("scan.kind_") for text in texts.values()), key
        assert placeholders(texts["ja"]) == placeholders(texts["en"]), key
        assert "" not in placeholders(texts["ja"]), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_key_can_be_said_and_told_as_a_fault_with_its_fields(language: Language) -> None:
    for key, texts in CATALOGUE.items():
        fields = {name: f"<{name}>" for name in placeholders(texts[language])}
        assert say_fault(Fault(key, fields), language).count("<") >= len(fields), key
        assert say(key, language, **fields) == say_fault(Fault(key, fields), language), key


def test_every_key_that_the_code_names_is_in_the_catalogue() -> None:
    looks_like_a_key = re.compile(rf"(?:{'|'.join(SECTIONS)})\.[a-z][a-z_]*")
    named = {
        text
        for text in constants()
        if looks_like_a_key.fullmatch(text) and not text.endswith((".toml", ".json", ".py"))
    }
    assert named - set(CATALOGUE) == set()
    assert [pattern for pattern in patterns() if not any(re.fullmatch(pattern, key) for key in CATALOGUE)] == []


def test_every_key_of_the_catalogue_is_used() -> None:
    """`_help("x")` names help.x; a key may also be a name behind an f-string's section, or a key with an ending."""
    names = constants() | {node.name for node in NODES if isinstance(node, ast.FunctionDef)}
    found, tails = patterns(), endings()
    built = [re.compile(pattern) for pattern in found if not pattern.endswith("\\..+")]
    of_a_section = {pattern.partition("\\.")[0] for pattern in found if pattern.endswith("\\..+")}
    unused = {
        key
        for key in CATALOGUE
        if not key.startswith("click.")  # looked up by their English: the test after this one
        and not any(key.removesuffix(ending) in names for ending in ("", *tails))
        and not any(pattern.fullmatch(key) for pattern in built)
        and not (key.partition(".")[0] in of_a_section and key.partition(".")[2] in names)
    }
    assert unused == set()


def test_the_english_of_clicks_texts_is_clicks_own() -> None:
    """Else a text would stay English in Japanese."""
    modules = [ast.parse(Path(str(module.__file__)).read_text("utf-8")) for module in click_texts._SPEAKING]
    theirs = {node.value for tree in modules for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert set(texts_of("click", "en", "ja")) <= theirs


def test_every_fault_that_begins_can_be_told_when_it_lasts_and_when_it_is_over() -> None:
    """A key that is missing would raise in the channel's worker, and hold every alert behind it. Seen red with
    `fault.quota_over` out of the catalogue."""
    assert endings() == {"_over"}
    # Those of `health.troubles` and `status` have no episode of their own.
    states = {"fault.overdue", "fault.fresh", "fault.not_running", "fault.rebuilt", "fault.unreadable_row"}
    begins = {each for each in constants() if each.startswith("fault.")} - states
    assert len(begins) == 11
    for key in begins:
        assert placeholders(CATALOGUE[f"{key}_over"]["ja"]) <= placeholders(CATALOGUE[key]["ja"])


def calls() -> Iterator[tuple[str, int, str, set[str]]]:
    """(file, line, key, the fields given) of each call that names a key and gives its fields in the open."""
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
                continue
            key, given = node.args[0].value, {keyword.arg for keyword in node.keywords}
            if key not in CATALOGUE or None in given:
                continue
            called = ast.unparse(node.func).rpartition(".")[2]
            if called in {"Fault", "TemplateFault"} and len(node.args) == 2 and isinstance(node.args[1], ast.Dict):
                given |= {str(part.value) for part in node.args[1].keys if isinstance(part, ast.Constant)}
            elif called not in {"say", "Unreachable", "LoginRefused", "FolderMissing"} and not called.endswith("Error"):
                continue
            yield name, node.lineno, key, {each for each in given if each}


def test_every_call_gives_the_fields_that_its_text_needs() -> None:
    found = list(calls())
    assert len(found) > 30
    missing = {
        (name, line, key): sorted(lacking)
        for name, line, key, given in found
        if (lacking := placeholders(CATALOGUE[key]["ja"]) - given - ADDED.get(key.partition(".")[0], set()))
    }
    assert missing == {}


@pytest.mark.parametrize("value", ["{order}", "{", "}", "{0}", "%s", "{__class__}", "{a.b}"])
def test_a_fields_own_braces_are_text(value: str) -> None:
    """Seen red with `format` applied twice."""
    assert say("scan.no_path", "en", path=value) == f"There is no {value}."


def test_a_fault_inside_a_fault_is_worded_in_the_same_language() -> None:
    inner = Fault("store.busy", {"path": "x"})
    assert say_fault(Fault("check.store_bad", {"why": inner}), "en") == "Store: " + say_fault(inner, "en")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "ja"),
        ({"LANG": "C"}, "ja"),
        ({"LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LC_ALL": "ja_JP.UTF-8", "LANG": "en_US.UTF-8"}, "ja"),
        ({"LC_ALL": "", "LC_MESSAGES": "en_GB.UTF-8", "LANG": "ja_JP.UTF-8"}, "en"),
    ],
)
def test_the_language_is_japanese_unless_the_locale_says_english(environment: dict[str, str], expected: str) -> None:
    assert preferred(environment) == expected
