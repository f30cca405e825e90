"""The labelled set of buyers' messages (tests/wishes): no wish of the build half is missed; both halves are measured.

All messages are synthetic. The rules were corrected on `build.tsv`, so its figures flatter them; `measure.tsv`, written
by somebody else and not looked at while the rules were written, is the honest half. `pytest -s` prints both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from mailwatch.amazon import wish

HERE = Path(__file__).parent / "wishes"
BUILD = HERE / "build.tsv"
MEASURE = HERE / "measure.tsv"


@dataclass(frozen=True, slots=True)
class Line:
    """One labelled message."""

    is_wish: bool
    text: str


@dataclass(frozen=True, slots=True)
class Result:
    """What the rules made of one half."""

    found: tuple[str, ...]
    missed: tuple[str, ...]
    false: tuple[str, ...]

    @property
    def precision(self) -> float:
        return len(self.found) / ((len(self.found) + len(self.false)) or 1)

    @property
    def recall(self) -> float:
        return len(self.found) / ((len(self.found) + len(self.missed)) or 1)


def read(path: Path) -> list[Line]:
    r"""The labelled lines; `\n` in a text is a line break. A label that is neither is an error of the file."""
    lines: list[Line] = []
    for row in path.read_text(encoding="utf-8").splitlines():
        if row.strip() and not row.startswith("#"):
            label, text = row.split("\t")
            assert label in {"wish", "other"}, row
            lines.append(Line(label == "wish", text.replace("\\n", "\n")))
    return lines


def measure(lines: list[Line]) -> Result:
    asked = [(line, wish.asks(line.text) is not None) for line in lines]
    return Result(
        found=tuple(line.text for line, is_asked in asked if line.is_wish and is_asked),
        missed=tuple(line.text for line, is_asked in asked if line.is_wish and not is_asked),
        false=tuple(line.text for line, is_asked in asked if not line.is_wish and is_asked),
    )


def report(name: str, result: Result, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(  # noqa: T201 - the figures are what this test is for
            f"\n{name}: precision {result.precision:.3f}, recall {result.recall:.3f} "
            f"({len(result.found)} found, {len(result.missed)} missed, {len(result.false)} false)"
        )


def test_the_build_half_is_large_balanced_and_without_doubles() -> None:
    lines = read(BUILD)
    wishes = sum(line.is_wish for line in lines)
    assert min(wishes, len(lines) - wishes) >= 110
    assert len({line.text for line in lines}) == len(lines)


def test_no_wish_of_the_build_half_is_missed(capsys: pytest.CaptureFixture[str]) -> None:
    """Seen red with the rules as they were before the set was written: 35 of its first 163 wishes missed."""
    result = measure(read(BUILD))
    report("build half", result, capsys)
    assert result.missed == ()
    assert result.precision >= 0.95, result.false


def test_the_measuring_half_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is asserted of its figures: a bound would make it one more half to tune the rules on."""
    if not MEASURE.exists():
        pytest.skip("tests/wishes/measure.tsv is not there")
    result = measure(read(MEASURE))
    report("measuring half", result, capsys)
    assert result.found
