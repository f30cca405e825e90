"""How well each family of mails in this tree is recognised: a table, and precision and recall of the wish halves.

python benchmarks/recognition.py        (or `make table`; exit status 1: a request is missed or an order ID is wrong)

Families: each folder of sample_mails, read as its README says; all of them where no sender can be verified; the forms
of tests/test_notice.py, re-encoded; and the buyers' messages of tests/wishes, each as a mail. The wish halves are
measured and never decide the exit status.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tests"))

import mails
import test_notice as forms
from test_wish_set import BUILD, MEASURE
from test_wish_set import read as labelled

from mailwatch import message, notice
from mailwatch.amazon import template
from mailwatch.notice import Kind, Notice
from mailwatch.trust import Provider, Trust

SAMPLES = TOP / "sample_mails"
README_SAYS = Provider("mx.google.com", ("google.com", "mail.shop.example"))
OF_TESTS = Provider(mails.AUTHSERV_ID, mails.RECEIVED_BY)
ASKS = {Kind.REQUEST, Kind.WISH}
COLUMNS = ("family", "mails", "right kind", "right order ID", "missed requests", "false requests")


@dataclass(frozen=True, slots=True)
class Expected:
    """What one notice of a mail must be; the order IDs of `ignored` mails are not compared."""

    kind: Kind
    order_id: str | None
    is_forged: bool = False

    @property
    def asks(self) -> bool:
        """Whether a person must hear of it as a request or a wish."""
        return self.kind in ASKS and not self.is_forged


@dataclass(slots=True)
class Family:
    """The counts of one row. An order ID counts where the mail is not to be ignored."""

    name: str
    decides: bool = True
    mails: int = 0
    right_kind: int = 0
    with_order: int = 0
    right_order: int = 0
    asking: int = 0
    missed: int = 0
    false: int = 0

    def add(self, expected: list[Expected], found: tuple[Notice, ...]) -> None:
        """Count one mail.

        Missed: it asks, officially or as a wish, and did not come out as that (a wish may come out as a request).
        False: it came out as a request or wish and is none, or as an official request and is only a wish.
        """
        self.mails += 1
        self.right_kind += sorted(e.kind for e in expected) == sorted(f.kind for f in found)
        if any(e.kind is not Kind.IGNORED for e in expected):
            self.with_order += 1
            self.right_order += {e.order_id for e in expected} == {f.order_id for f in found}
        told = {f.kind for f in found if f.is_told} & ASKS
        wanted = {e.kind for e in expected if e.asks}
        self.asking += bool(wanted)
        self.missed += bool(wanted) and not (told >= wanted or Kind.REQUEST in told)
        self.false += bool(told - wanted)

    @property
    def row(self) -> tuple[str, ...]:
        """As printed."""
        order = f"{self.right_order} of {self.with_order}"
        return (self.name, str(self.mails), str(self.right_kind), order, str(self.missed), str(self.false))

    @property
    def is_bad(self) -> bool:
        """A missed request, or a wrong order ID."""
        return self.decides and bool(self.missed or self.right_order < self.with_order)


def main() -> int:
    """Print the table; the exit status."""
    halves = [wishes("wishes build", BUILD), wishes("wishes measure", MEASURE)]
    families = [*samples(), unverified(), *re_encoded(), *halves]
    show([COLUMNS, *(family.row for family in families)])
    print()
    for half in halves:
        found = half.asking - half.missed
        precision, recall = found / ((found + half.false) or 1), found / (half.asking or 1)
        print(f"{half.name}: precision {precision:.3f}, recall {recall:.3f} ({found} of {half.asking} wishes found)")
    bad = [family.name for family in families if family.is_bad]
    if bad:
        print(f"\nA request was missed or an order ID is wrong: {', '.join(bad)}")
    return 1 if bad else 0


def samples() -> Iterator[Family]:
    """Each folder of sample_mails."""
    for folder in sorted(path for path in SAMPLES.iterdir() if path.is_dir()):
        family = Family(folder.name)
        for path in sorted(folder.glob("*.eml")):
            family.add(expectation(path), read(path.read_bytes(), README_SAYS))
        yield family


def unverified() -> Family:
    """All of them once more, with nothing that could verify a sender."""
    family = Family("all samples, unverified")
    for path in sorted(SAMPLES.glob("*/*.eml")):
        family.add(expectation(path, "without_authserv"), read(path.read_bytes(), Provider()))
    return family


def expectation(path: Path, overlay: str = "") -> list[Expected]:
    """The file beside a sample (sample_mails/README.md)."""
    rows: list[dict[str, Any]] = json.loads(path.with_suffix(".json").read_text("utf-8"))
    made = [row | row.get(overlay, {}) for row in rows]
    return [
        Expected(Kind(row["kind"]), next(iter(row.get("order_ids", [])), None), row["trust"] == Trust.FORGED)
        for row in made
    ]


def re_encoded() -> Iterator[Family]:
    """Every form of the tests in every charset and transfer encoding of the tests, with three order IDs each."""
    for codec, name, encoding in forms.ENCODINGS:
        family = Family(f"forms in {name}, {encoding}")
        for form, order in itertools.product(forms.FORMS, map(mails.order_id, range(3))):
            sender, subject, body, kind, _ = form
            texts = (subject.replace(forms.ID, order), body.replace(forms.ID, order))
            mail = forms.encoded_mail(sender, *texts, (codec, name, encoding))
            family.add([Expected(kind, order)], read(mail, OF_TESTS))
        yield family


def wishes(name: str, path: Path) -> Family:
    """One half of the labelled messages, each framed as Amazon frames a buyer's message."""
    family = Family(name, decides=False)
    for number, line in enumerate(labelled(path)):
        order = mails.order_id(number)
        kind = Kind.WISH if line.is_wish else Kind.IGNORED
        family.add([Expected(kind, order)], read(mails.wish(order, line.text), OF_TESTS))
    return family


def read(mail: bytes, provider: Provider) -> tuple[Notice, ...]:
    """As `run` and `scan` read it."""
    return notice.read(message.parse(mail), provider, template.shipped())


def show(rows: list[tuple[str, ...]]) -> None:
    """Columns: the first to the left, numbers to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    for row in rows:
        print("  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]))


if __name__ == "__main__":
    sys.exit(main())
