"""Nothing that a stranger sends costs more than it is long: each pattern and each known trick, pumped.

Seen red, measured on the code before: empty `<pre>` blocks (over 20 s of CPU for 4 KB), 50 of them inside one another
(5 s for 32 KB), `<b>` and as many `</i>` (28-fold from 32 to 256 KB), and live a line `1/x`, 250,000 blanks, `y`.
"""

from __future__ import annotations

import re
import time

import pytest
from beds import pumped

from mailwatch import message
from mailwatch.amazon.details import Item

BUYER = b"From: a <a@marketplace.amazon.co.jp>\nX-Mailwatch-Sample: synthetic\n"
PAGE = BUYER + b"Content-Type: text/html; charset=utf-8\n\n"
ID = "249-1234567-7654321"


def grows(row: pumped.Row, small: int, large: int, *, at_most: float, or_below: float) -> bool:
    """Whether reading `large` bytes takes more than `at_most` times as long as `small`, and `or_below` seconds.

    CPU of this thread, and red only where three measurements say so.
    """
    return all(
        (much := seconds(row, large)) > or_below and much > at_most * max(seconds(row, small), 0.01) for _ in range(3)
    )


def seconds(row: pumped.Row, size: int) -> float:
    """CPU of this thread."""
    data = row.make(size)
    began = time.thread_time()
    row.read(data)
    return time.thread_time() - began


@pytest.mark.growth
@pytest.mark.parametrize("row", pumped.tricks(), ids=lambda row: row.name)
def test_a_mail_8_times_as_long_costs_20_times_as_much_at_most(row: pumped.Row) -> None:
    """What grows with the square costs 64 times as much. Up to 256 KB: `benchmarks/growth.py`, by hand."""
    assert not grows(row, 8 * 1024, 64 * 1024, at_most=20, or_below=0.1)


@pytest.mark.growth
@pytest.mark.parametrize("name", pumped.patterns())
def test_no_pattern_costs_the_square_of_the_text(name: str) -> None:
    """From 2 to 16 KB it is 8-fold where it is linear and 64-fold where it is not."""
    rows = [row for row in pumped.rows() if row.name.startswith(f"{name} ")]
    assert not [row.name for row in rows if grows(row, 2 * 1024, 16 * 1024, at_most=16, or_below=0.1)]


def test_a_pump_fits_its_pattern_and_grows() -> None:
    """The pumps of a pattern known to be quadratic find it out: else the tests above prove nothing."""
    found = [pump.text(2000) for pump in pumped.pumps("x", re.compile(r"^(\d{1,4})/\s*(\S.*?)\s*\[x\]"))]
    assert any(re.match(r"\d/\S? {1500,}", text) for text in found)


@pytest.mark.parametrize("place", ["before", "behind", "inside"])
def test_an_empty_block_beside_the_buyers_own_costs_no_fact(place: str) -> None:
    """Seen red: an empty quoted text was replaced in the frame, so that a line end stood between all its letters."""
    empty = "<pre style=-o-pre-wrap></pre>"
    words = f'<pre style="-o-pre-wrap">{empty if place == "inside" else ""}キャンセルしてください</pre>'
    block = {"before": empty * 40 + words, "behind": words + empty * 40, "inside": words}[place]
    page = f"<p># {ID}:</p><p>1/Kettle [ASIN: B0CANARY01]</p>{block}<p>規約</p>"
    (found,) = pumped.read(PAGE + page.encode())
    assert (found.kind, found.order_id) == ("wish", ID)
    assert found.items == (Item("Kettle", "B0CANARY01", None, 1),)


def test_a_short_text_of_the_buyers_takes_nothing_out_of_the_frame() -> None:
    """Seen red: each letter of the frame that was also the buyer's whole text became a line end."""
    page = f'<p># {ID}:</p><p>1/Kettle 2 [ASIN: B0CANARY01]</p><pre style="-o-pre-wrap">2</pre>'
    read = message.parse(PAGE + page.encode()).html
    assert (read.quoted, read.frame) == (("2",), f"# {ID}:\n1/Kettle 2 [ASIN: B0CANARY01]")


def test_a_text_inside_several_blocks_is_kept_once() -> None:
    """Seen red: each of 50 blocks held all that stood in it, 638 MB of 470 KB."""
    read = message.parse(PAGE + ('<pre style="-o-pre-wrap">' * 50 + "x" * 1000).encode()).html
    assert sum(map(len, read.quoted)) == 1000


def test_order_ids_far_out_in_a_long_line_are_found() -> None:
    """Seen red: of each line only 2,000 characters were kept for the search."""
    mail = b"From: Amazon <seller-notification@amazon.co.jp>\nSubject: =?utf-8?b?" + b"44Kt44Oj44Oz44K744Or?=\n\n"
    (found,) = pumped.read(mail + b"x " * 1500 + b"order id: " + ID.encode())
    assert found.order_id == ID


def test_a_parameter_that_comes_late_in_a_part_is_not_read_and_the_text_is() -> None:
    """A field of a part is cut before its parameters are taken apart. Seen red: 256 KB of `;` took 31 s."""
    mail = b'Content-Type: text/plain; charset=utf-8; x="' + b";" * 60_000 + b"\n" + BUYER + b"\n" + "やめます".encode()
    assert message.parse(mail).plain == "やめます"


def test_a_mail_of_a_million_lines_is_read() -> None:
    assert ID in message.parse(BUYER + b"\n" + ID.encode() + b"\n" * 1_000_000).plain
