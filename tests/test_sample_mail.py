"""The sample mails as if they came just now."""

from __future__ import annotations

import email
import re
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailwatch import message, sample_mail

SAMPLES = Path(sample_mail.__file__).parents[1] / "sample_mails"
TOKYO = ZoneInfo("Asia/Tokyo")
WRITTEN = date(2022, 6, 8)
NOW = datetime(2031, 12, 2, 3, 0, tzinfo=UTC)
TODAY = date(2031, 12, 2)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("注文日: 2022/06/07", "注文日: 2031/12/01"),
        ("注文日: 2022-06-07T10:00:00Z", "注文日: 2031-12-01T10:00:00Z"),
        ("2022年6月7日", "2031年12月1日"),
        ("2022年06月07日", "2031年12月01日"),
        ("2022年6月7日(火) 18:02", "2031年12月1日(月) 18:02"),
        ("2022年6月7日（火曜日）", "2031年12月1日（月曜日）"),
        ("２０２２年６月７日", "２０３１年１２月１日"),
        ("6月10日(金)まで", "12月4日(木)まで"),
        ("06/07/2022", "12/01/2031"),
        ("13/06/2022", "07/12/2031"),
        ("07.06.2022", "01.12.2031"),
        ("7 June 2022", "1 December 2031"),
        ("June 7, 2022", "December 1, 2031"),
        ("On Tue, Jun 7, 2022 at 6:02 PM", "On Mon, Dec 1, 2031 at 6:02 PM"),
        ("TUESDAY, 7 JUNE 2022", "MONDAY, 1 DECEMBER 2031"),
        ("martes, 7 de junio de 2022", "lunes, 1 de diciembre de 2031"),
        ("2022/06/01 - 2022/06/14", "2031/11/25 - 2031/12/08"),
    ],
)
def test_a_date_moves_in_its_own_form(before: str, after: str) -> None:
    assert sample_mail.dates_moved(before, WRITTEN, TODAY) == after


@pytest.mark.parametrize(
    "text",
    ["298841-20220613-0042718", "503-1234567-1234567", "1/2", "2022/13/45", "32月1日", "© 1996-2022", "I may 5 times"],
)
def test_what_is_no_date_stays(text: str) -> None:
    assert sample_mail.dates_moved(text, WRITTEN, TODAY) == text


@given(st.dates(date(2021, 1, 1), date(2023, 12, 31)), st.dates(date(2000, 1, 1), date(2090, 12, 31)))
def test_a_date_keeps_its_distance(said: date, today: date) -> None:
    moved = sample_mail.dates_moved(f"{said:%Y/%m/%d}", WRITTEN, today)
    year, month, day = moved.split("/")
    assert date(int(year), int(month), int(day)) - today == said - WRITTEN


@given(st.binary(max_size=300) | st.text(max_size=80).map(lambda text: b"Date: 8 Jun 2022\r\n\r\n" + text.encode()))
def test_any_bytes_give_a_mail(mail: bytes) -> None:
    sample_mail.as_of(mail, NOW, TOKYO, "mx.example.test")


@pytest.mark.parametrize("family", ["routes", "wishes", "neighbours"])
def test_no_sample_mail_of_the_demo_names_its_old_days(family: str) -> None:
    """Seen red: with base64 parts left as they are."""
    mails = [path.read_bytes() for path in sorted((SAMPLES / family).glob("*.eml"))]
    assert mails
    for mail in mails:
        parsed = message.parse(sample_mail.as_of(mail, NOW, TOKYO, "mx.example.test"))
        assert parsed.date == NOW
        assert message.time_of(parsed.fields) == NOW
        days = re.findall(r"(?<!\d)20\d\d\s?[年/.-]\s?\d", parsed.subject + parsed.text + parsed.html.text)
        assert {day[:4] for day in days} <= {"2031", "2032"}
        assert parsed.defects == message.parse(mail).defects


def test_copies_stay_copies() -> None:
    first, second = (
        message.parse(sample_mail.as_of((SAMPLES / "routes" / name).read_bytes(), NOW, TOKYO, "mx.example.test"))
        for name in ("01-message-ja-text.eml", "03-copy-in-second-folder.eml")
    )
    assert first.content_key() == second.content_key()


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [
        *[
            (charset, encoding)
            for charset in ("utf-8", "shift_jis")
            for encoding in ("base64", "quoted-printable", "8bit")
        ],
        *[("iso-2022-jp", encoding) for encoding in ("base64", "quoted-printable", "7bit")],
    ],
)
def test_each_encoding_of_a_part_is_read_and_kept(charset: str, encoding: str) -> None:
    """Seen red: with base64 parts left as they are; with parts taken for UTF-8."""
    mail = EmailMessage()
    mail["Date"] = "Wed, 08 Jun 2022 09:00:00 +0900"
    for subtype in ("plain", "html"):
        text = f"<p>{subtype}</p>注文日：2022年6月7日(火)\n" + "あ" * 60 + "\n"
        (mail.set_content if subtype == "plain" else mail.add_alternative)(
            text, subtype=subtype, charset=charset, cte=encoding
        )
    moved = sample_mail.as_of(mail.as_bytes(), NOW, TOKYO, "mx.example.test")
    parts = [part for part in email.message_from_bytes(moved).walk() if not part.is_multipart()]
    assert [part["Content-Transfer-Encoding"] for part in parts] == [encoding] * 2
    texts = [part.get_payload(decode=True) for part in parts]
    assert all(isinstance(text, bytes) and "注文日：2031年12月1日(月)" in text.decode(charset) for text in texts)


def test_a_mail_without_a_date_keeps_its_text() -> None:
    moved = sample_mail.as_of(b"Subject: a\n\n2022/06/07\n", NOW, TOKYO, "mx.example.test")
    assert moved.endswith(b"\n\n2022/06/07\n")


def test_the_days_are_those_of_the_time_zone() -> None:
    """Late in the evening of the one day in UTC is the next day in Tokyo."""
    mail = b"Date: Tue, 07 Jun 2022 23:00:00 +0000\n\n2022/06/08\n"
    moved = sample_mail.as_of(mail, NOW + timedelta(hours=13), TOKYO, "mx.example.test")
    assert moved.endswith(b"\n\n2031/12/03\n")
