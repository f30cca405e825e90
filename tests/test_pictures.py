"""The pictures of docs/alerts.md are what people get."""

from __future__ import annotations

from typing import get_args

import pictures
import pytest

from mailwatch import texts
from mailwatch.alert import Told
from mailwatch.catalogue import LANGUAGES, Language
from mailwatch.services import Form


def test_the_page_of_pictures_is_true() -> None:
    """`python tests/pictures.py --write` makes it anew."""
    assert pictures.PAGE.read_text("utf-8") == pictures.page()


def test_everything_that_is_told_has_a_picture() -> None:
    assert {type(told) for _, told in pictures.CASES} == set(get_args(Told))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("title", "told"), pictures.CASES)
def test_an_sms_takes_two_parts_at_most_and_a_usual_request_one(title: str, told: Told, language: Language) -> None:
    """Planted fault: `texts.short` does not cut: red (a refused login takes 160 units)."""
    text = texts.word(told, Form.SMS, language, pictures.TOKYO)
    assert text.title == ""
    assert texts.sms_parts(text.body) <= 2
    assert title != pictures.CASES[0][0] or language != "ja" or texts.sms_parts(text.body) == 1
