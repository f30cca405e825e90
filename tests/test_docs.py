"""The documents say what the program is: commands, options, keys, events, exit codes, links.

What a test reads here is the document, not the code's own help: a new option that no document names is red.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import typing
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import pictures
import pytest

from mailwatch import cli, log, migrations, providers, requests_command, status, texts
from mailwatch.amazon.details import Item
from mailwatch.config import file as sections
from mailwatch.errors import MailwatchError
from mailwatch.fares import ChannelState
from mailwatch.health import FolderHealth, Health
from mailwatch.notice import Kind, Route
from mailwatch.request import Sighting, State
from mailwatch.services import Form
from mailwatch.store import StoredRequest
from mailwatch.trust import Trust

ROOT = Path(__file__).parents[1]
READMES = ("README.ja.md", "README.md")
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/*.md", "sample_mails/*.md", "benchmarks/*.md")
    for path in ROOT.glob(pattern)
)
AT = datetime(2022, 6, 8, tzinfo=UTC)
CODE = re.compile(r"`([^`]+)`")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def text(document: str) -> str:
    return (ROOT / document).read_text("utf-8")


def section(document: str, heading: str) -> str:
    """What stands below a heading, up to the next of the same or a higher level."""
    level = heading.partition(" ")[0]
    rest = text(document).split(f"\n{heading}\n", 1)[1]
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(part: str) -> list[list[str]]:
    """The cells of every table row but the heads' own; a `|` in code is no border."""
    lines = (line for line in part.splitlines() if line.startswith("| ") and not line.startswith("| ---"))
    return [[cell.strip() for cell in line.strip("|").split(" |")] for line in lines]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_document_holds_a_place_still_to_be_filled_in(document: str) -> None:
    """benchmarks/README.md went out with one: red."""
    assert not re.search(r"@@|\bTODO\b|\bTBD\b", text(document))


# ---- commands and options ----


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command of the tree by its whole name; a group too, where it has options of its own."""
    for name, command in group.commands.items():
        whole = f"{before}{name}"
        if isinstance(command, click.Group):
            yield from commands(command, f"{whole} ")
        else:
            yield whole, command


COMMANDS = dict(commands(cli._mailwatch))


def options(command: click.Command) -> list[str]:
    return [name for each in command.params if isinstance(each, click.Option) for name in each.opts]


def row_of(command: str) -> str:
    """The row of docs/design.md that explains a command."""
    for cells in rows(section("docs/design.md", "## Commands")):
        if any(re.match(rf"{command}(\s|$)", code) for code in CODE.findall(cells[0])):
            return " ".join(cells)
    return ""


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_documented(command: str) -> None:
    row = row_of(command)
    assert row
    assert [name for name in options(COMMANDS[command]) if not re.search(rf"{name}(?![\w-])", row)] == []


def test_the_options_before_the_command_are_documented() -> None:
    [before] = [cells for cells in rows(section("docs/design.md", "## Commands")) if cells[0] == "(all)"]
    wanted = [*options(cli._mailwatch), *cli._mailwatch.context_settings["help_option_names"]]
    assert [name for name in wanted if f"`{name}" not in before[1]] == []


def test_no_option_is_documented_that_is_not_there() -> None:
    there = {name for each in [cli._mailwatch, *COMMANDS.values()] for name in options(each)} | {"-h", "--help"}
    for document in DOCUMENTS:
        for line in text(document).splitlines():
            if "mailwatch " in line and not re.search(r"\b(pip|uv|git|tar|useradd|systemctl|python)\b", line):
                assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", line)) <= there, line


@pytest.mark.parametrize("readme", READMES)
def test_the_table_of_a_readme_names_every_command_and_no_other(readme: str) -> None:
    assert named_in_table(readme) == set(COMMANDS)


def test_both_readmes_name_the_same() -> None:
    """Commands, what is sent to the mail server, and the contracts of `--json`."""
    ours, theirs = (text(readme) for readme in READMES)
    assert named_in_table(READMES[0]) == named_in_table(READMES[1])
    assert re.findall(r"^`CAPABILITY`.*$", ours, re.MULTILINE) == re.findall(r"^`CAPABILITY`.*$", theirs, re.MULTILINE)
    assert re.findall(r"^### .*$", ours, re.MULTILINE) == re.findall(r"^### .*$", theirs, re.MULTILINE)
    assert contracts(READMES[0]) == contracts(READMES[1])
    assert set(re.findall(r"mailwatch/bin/mailwatch [a-z ]+", ours)) == set(
        re.findall(r"mailwatch/bin/mailwatch [a-z ]+", theirs)
    )


def named_in_table(readme: str) -> set[str]:
    found = set()
    for cells in rows(text(readme)):
        if cells[0].startswith("`mailwatch "):
            for code in CODE.findall(cells[0]):
                words = [word for word in code.removeprefix("mailwatch ").split() if re.match(r"^[a-z]+$", word)]
                found.add(" ".join(words))
    return found


def contracts(readme: str) -> list[str]:
    return [block for block in FENCE.findall(text(readme)) if block.startswith("```\n{")]


# ---- the contracts of --json ----


def keys_in(block: str) -> set[str]:
    return set(re.findall(r'"(\w+)":', block))


def all_keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for each in value.values() for key in all_keys(each)}
    return {key for each in value for key in all_keys(each)} if isinstance(value, list) else set()


@pytest.mark.parametrize("readme", READMES)
def test_a_readme_gives_the_keys_of_list_and_status(readme: str) -> None:
    _, listed, shown = contracts(readme)
    sighting = Sighting(AT, Kind.REQUEST, Trust.VERIFIED, Route.NOTIFICATION)
    request = StoredRequest(
        "503-1234567-7654321", State.OPEN, Kind.REQUEST, (sighting,), items=(Item("a", "b", "c", 1),)
    )
    item = {"title", "asin", "sku", "quantity"}
    assert keys_in(listed) == all_keys(requests_command.as_json(request)) - item
    state = Health((FolderHealth("shop", "INBOX", "idle", AT, 1),), (ChannelState("slack"),), (), 1)
    assert keys_in(shown) == all_keys(status.as_json(state, ()))
    assert set(State) == set(re.findall(r'"(\w+)"', listed.split('"state":')[1].split(",")[0]))


# ---- configuration ----


def keys_of_design() -> set[str]:
    """`watch.language` and so on; a name without a section belongs to that of the name before it."""
    found = set()
    for cells in rows(section("docs/design.md", "## Configuration keys")):
        before = ""
        for code in CODE.findall(cells[0]):
            head, _, name = code.rpartition(".")
            before = head or before
            found.add(f"{before}.{name}")
    return found


def test_the_table_of_keys_is_complete() -> None:
    tables = {
        "watch": sections._WATCH_KEYS,
        "rollout": {"start", "days"},
        "accounts": sections._ACCOUNT_KEYS,
        "channels": sections._CHANNEL_KEYS,
        "heartbeat": sections._HEARTBEAT_KEYS,
    }
    assert set(tables) == sections._SECTIONS
    assert keys_of_design() == {f"{name}.{key}" for name, keys in tables.items() for key in keys}


@pytest.mark.parametrize("preset", providers.presets().values(), ids=lambda preset: str(preset.key))
def test_every_mail_service_is_documented_in_both_languages(preset: providers.Preset) -> None:
    found = [cells for cells in rows(text("docs/providers.md")) if cells[1] == f"`{preset.key}`"]
    assert len(found) == 2
    for cells in found:
        assert preset.host in cells[2] or not preset.password_login
        assert preset.host_form in cells[2]
        assert (cells[5] in {"○", "yes"}) == bool(preset.authserv_id)


def test_the_layout_names_every_module_and_no_other() -> None:
    named = {
        code.rstrip("/") for cells in rows(section("docs/design.md", "## Layout")) for code in CODE.findall(cells[0])
    }
    there = {
        path.stem for path in (ROOT / "mailwatch").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert named - {"module"} == {name for name in there if not name.startswith("__")}


def test_the_store_s_tables_are_documented() -> None:
    named = {
        code for cells in rows(section("docs/design.md", "## What is stored"))[1:] for code in CODE.findall(cells[0])
    }
    made = {name for kind, name, _, _ in migrations.schema_of(migrations.SCHEMA_VERSION) if kind == "table"}
    assert named == made - {"sqlite_sequence"}
    assert f"Schema version {migrations.SCHEMA_VERSION} " in text("docs/design.md")


# ---- the log ----


def events() -> list[Callable[..., None]]:
    """The functions of `log` that write an event."""
    tree = ast.parse(inspect.getsource(log))
    writing = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(each, ast.Name) and each.id == "_write" for each in ast.walk(node))
    ]
    return [getattr(log, name) for name in writing]


def some(wanted: object) -> object:
    """A value of a type."""
    plain = {str: "x", int: 1, float: 1.0, BaseException: ValueError()}
    if typing.get_origin(wanted) is tuple:
        return tuple(some(each) for each in typing.get_args(wanted))
    return next(value for known, value in plain.items() if known is wanted)


def written(event: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    wanted = typing.get_type_hints(event)
    event(*(some(wanted[name]) for name in inspect.signature(event).parameters))
    line = json.loads(capsys.readouterr().err)
    assert isinstance(line, dict)
    return line


def test_every_event_of_the_log_is_documented_with_its_keys(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_is_json", type(log._is_json)())
    log.as_json()
    said = {CODE.findall(cells[0])[0]: cells for cells in rows(text("docs/events.md"))[1:]}
    made = {str(line["event"]): line for line in (written(event, capsys) for event in events())}
    assert set(said) == set(made)
    for name, line in made.items():
        priority, _, keys = said[name][1:]
        assert str(line["priority"]) in re.findall(r"\d", priority), name
        assert [key.strip() for key in re.sub(r"\([^)]*\)", "", keys).split(",") if key.strip()] == [
            key for key in line if key not in {"time", "priority", "event"}
        ], name


# ---- exit codes ----


def exit_codes() -> set[str]:
    def below(kind: type[MailwatchError]) -> Iterator[type[MailwatchError]]:
        yield kind
        for each in kind.__subclasses__():
            yield from below(each)

    return {"0", str(cli._EXIT_NOT_WELL), *(str(kind.exit_code) for kind in below(MailwatchError))}


@pytest.mark.parametrize("readme", READMES)
def test_a_readme_names_every_exit_code(readme: str) -> None:
    [line] = re.findall(r"^(?:終了コード：|Exit codes: )(.*)$", text(readme), re.MULTILINE)
    assert {part.split()[0] for part in line.split(" · ")} == exit_codes()


def test_design_and_operation_explain_every_exit_code() -> None:
    of_design = {cells[0] for cells in rows(section("docs/design.md", "## Commands")) if cells[0].isdecimal()}
    assert of_design == exit_codes() | {"3"}, "3 is planned"
    for heading in ("### 終了コード", "### Exit codes"):
        found = {cells[0] for cells in rows(section("docs/operate.md", heading)) if cells[0].isdecimal()}
        assert found == exit_codes()


# ---- links and pictures ----


def anchors(document: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    found: list[str] = []
    for heading in re.findall(r"^#{1,6} (.*)$", FENCE.sub("", text(document)), re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        number = sum(re.fullmatch(rf"{re.escape(slug)}(-\d+)?", each) is not None for each in found)
        found.append(f"{slug}-{number}" if number else slug)
    return set(found)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_relative_link_leads_somewhere(document: str) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", text(document))):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (ROOT / document).parent / place if place else ROOT / document
        is_there = target.exists() and target.resolve().is_relative_to(ROOT)
        if not is_there or (anchor and anchor not in anchors(target.resolve().relative_to(ROOT).as_posix())):
            broken.append(link)
    assert broken == []


def test_every_document_can_be_reached_from_both_readmes() -> None:
    for readme in READMES:
        for document in DOCUMENTS:
            if document.startswith("docs/"):
                assert f"]({document}" in text(readme), (readme, document)


@pytest.mark.parametrize(
    "document", ["docs/channels.md", "docs/operate.md", "docs/providers.md", "docs/where-to-run.md"]
)
def test_what_sellers_read_begins_in_japanese_and_is_whole_in_english(document: str) -> None:
    found = re.findall(r"^## (日本語|English)$", text(document), re.MULTILINE)
    assert found == ["日本語", "English"]


def test_the_pictures_of_the_readmes_are_true() -> None:
    japanese, english = (FENCE.findall(text(readme))[0] for readme in READMES)
    assert japanese in pictures.page()
    shown = texts.word(pictures.CASES[0][1], Form.CHAT, "en", pictures.TOKYO).whole
    assert english == f"```text\n{shown}\n```"
