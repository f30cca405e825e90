"""The dates in Amazon's mails: read where they are without doubt, and never an exception."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwatch.amazon import dates

JUNE_7 = date(2022, 6, 7)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2022/06/07", JUNE_7),
        ("2022-6-7", JUNE_7),
        ("2022.06.07", JUNE_7),
        ("2022-06-07T09:12:00+09:00", JUNE_7),
        ("2022年6月7日(火) 12:00 JST", JUNE_7),
        ("2022年 6月 7日", JUNE_7),
        ("２０２２／０６／０７", JUNE_7),
        ("２０２２年６月７日", JUNE_7),
        ("June 7, 2022", JUNE_7),
        ("7 June 2022", JUNE_7),
        ("Jun 7 2022", JUNE_7),
        ("Jun. 7, 2022", JUNE_7),
        ("Tuesday, 7 June, 2022", JUNE_7),
        ("TUESDAY, JUNE 07, 2022 11:59 PM PDT", JUNE_7),
        ("7 Sept. 2022", date(2022, 9, 7)),
        ("Sept 7, 2022", date(2022, 9, 7)),
        ("2022年\u00a06月\u30007日", JUNE_7),
        ("ご注文日: 2022/06/07", JUNE_7),
        ("2022/06/07 - 2022/06/10", JUNE_7),
        ("2024/02/29", date(2024, 2, 29)),
        ("06/07/2022", None),  # June's or July's
        ("7/6/2022", None),
        ("06-07-22", None),
        ("2022/13/40", None),
        ("2022/00/10", None),
        ("2022/02/30", None),
        ("30 Feb 2022", None),
        ("7 Foo 2022", None),
        ("12 decorations 2022 edition", None),
        ("3 junior 2022", None),
        ("mayonnaise 2, 2022", None),
        ("Marching 7, 2022", None),
        ("2022/06/071", None),
        ("12022/06/07", None),
        ("1822/06/07", None),
        ("6月7日", None),
        ("June 2022", None),
        ("注文番号 249-2022067-0720220", None),
        ("いつか", None),
        ("", None),
        ("x" * 10_000 + "2022/06/07", None),  # nobody writes a date so far behind
    ],
)
def test_a_date_is_read_year_first_or_by_the_name_of_its_month(text: str, meant: date | None) -> None:
    """A wrong one would warn of the wrong orders. Planted faults: month first is read as well; any word that begins
    like a month is one: red each."""
    assert dates.parse(text) == meant


@given(
    st.dates(date(2000, 1, 1), date(2099, 12, 31)),
    st.sampled_from(["%Y/%m/%d", "%Y年%m月%d日", "%d %b %Y", "%B %d, %Y"]),
)
@settings(max_examples=200)
def test_every_day_is_read_back_however_it_is_written(day: date, form: str) -> None:
    assert dates.parse(f"出荷予定日: {day.strftime(form)} まで") == day


PIECES = [
    "20",
    "22",
    "2022",
    "年",
    "月",
    "日",
    "/",
    "-",
    ".",
    " ",
    "6",
    "07",
    "13",
    "３",
    "٣",
    "jun",
    "June ",
    "feb",
    ",",
    "²",
]


@given(st.one_of(st.text(max_size=400), st.lists(st.sampled_from(PIECES), max_size=12).map("".join)))
@settings(max_examples=500)
def test_any_text_gives_a_date_or_none(text: str) -> None:
    """A mail may say anything. Seen red without the ValueError caught."""
    found = dates.parse(text)
    assert found is None or 2000 <= found.year <= 2099
