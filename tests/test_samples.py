"""The sample mails, read as a user would read them: each must come out as the file beside it says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mailwatch import cli

FOLDER = Path(__file__).parent.parent / "sample_mails"
SAMPLES = sorted(FOLDER.glob("*/*.eml"))
NAMES = [f"{path.parent.name}/{path.name}" for path in SAMPLES]
COMPARED = (
    "kind",
    "route",
    "order_ids",
    "also_mentioned",
    "trust",
    "decision",
    "alert",
    "items",
    "reason",
    "marketplace",
)
OF_IGNORED = ("kind", "trust", "decision", "alert")
OPTIONS = ("--authserv-id", "mx.google.com", "--received-by", "google.com", "--received-by", "mail.shop.example")


@cache
def scanned(*options: str) -> dict[str, list[dict[str, Any]]]:
    """The objects of one `scan --json` over the whole folder, by file."""
    env = {"MAILWATCH_CONFIG": None, "XDG_CONFIG_HOME": str(FOLDER)}
    result = CliRunner().invoke(cli._mailwatch, ["scan", "--json", *options, str(FOLDER)], env=env)
    assert result.exit_code == 0, result.stderr
    found: dict[str, list[dict[str, Any]]] = {}
    for line in result.stdout.splitlines():
        each = json.loads(line)
        found.setdefault(str(Path(each["source"]).relative_to(FOLDER)), []).append(each)
    return found


def expected(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((FOLDER / name).with_suffix(".json").read_text("utf-8"))
    return rows


def comparable(row: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: set(row[key]) if key == "also_mentioned" else row[key] for key in keys}


def compare(got: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    assert len(got) == len(rows)
    for one, row in zip(got, rows, strict=True):
        keys = tuple(key for key in (OF_IGNORED if row["kind"] == "ignored" else COMPARED) if key in row)
        assert comparable(one, keys) == comparable(row, keys), row["why"]


def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: row.get("order_ids") or [])


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_read_as_the_file_beside_it_says(name: str) -> None:
    compare(in_order(scanned(*OPTIONS)[name]), in_order(expected(name)))


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_read_right_where_no_sender_can_be_verified(name: str) -> None:
    rows = [row | row.get("without_authserv", {}) for row in expected(name)]
    compare(in_order(scanned()[name]), in_order(rows))


def test_every_sample_has_its_expectation_and_was_read() -> None:
    assert len(SAMPLES) > 100
    assert {path.with_suffix(".json") for path in SAMPLES} == set(FOLDER.glob("*/*.json"))
    assert set(scanned(*OPTIONS)) == set(NAMES)


def test_the_command_in_the_readme_is_the_one_that_is_tested() -> None:
    command = re.search(
        r"^mailwatch scan --json (.+) sample_mails$", (FOLDER / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert command
    assert tuple(command[1].split()) == OPTIONS


@pytest.mark.parametrize("path", SAMPLES, ids=NAMES)
def test_a_sample_says_that_it_is_synthetic_and_names_no_real_host(path: Path) -> None:
    head = path.read_bytes().partition(b"\n\n")[0].replace(b"\r", b"")
    assert b"\nX-Mailwatch-Sample: synthetic" in head


def test_nothing_is_verified_without_an_authserv_id() -> None:
    assert {row["trust"] for rows in scanned().values() for row in rows} <= {"unverified", "forged"}
