"""Encoded words with the faults that mail programs and gateways make: read, or at least seen to be encoded still."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwatch import encoded_words, transfer

TEXT = "注文のキャンセルリクエストが届きました"
B = base64.b64encode(TEXT.encode()).decode()
Q = "".join(f"={byte:02X}" for byte in TEXT.encode())


@pytest.mark.parametrize(
    "raw",
    [
        f"=? utf-8? B? {B}?=",
        f"=?\tutf-8?\tB?\t{B}?=",
        f"=? utf-8 ? Q ? {Q} ?=",
        f"=?utf-8?B?{B}? =",
        f"=?utf-8?B?{B}?",
        f"=?utf-8?B?{B}",
        f"=?utf-8?Q?{Q}",
        f"=?utf-8?Q?{Q}?",
        f"=?utf-8?B?{B[:20]}\n {B[20:]}?=",
        f"=?utf-8?Q?{Q[:30]}\n {Q[30:]}?=",
        f"=?utf-8?\n B?{B}?=",
        f"=?utf-8?B?{B[:8]} {B[8:]}?=",
        f"=?utf-8?Q?{B}?=",
        f"=?utf-8?B?{Q}?=",
        f"=??B?{B}?=",
        f"=?utf-8??{B}?=",
        f"=?utf-8?B??{B}?=",
        f'=?"utf-8"?B?{B}?=',
        f"=?utf-8;?B?{B}?=",
        f"=3D?utf-8?B?{B}?=",
        f"=?unknown-8bit?B?{B}?=",
        f"=?utf-8?B?{base64.b64encode(f'=?utf-8?B?{B}?='.encode()).decode()}?=",
        f"=?utf-8?B?{B[:16]}\n =?utf-8?B?{B[16:]}?=",
        f"=?utf-8?base64?{B}?=",
        f"=?utf-8?BASE-64?{B}?=",
        f"=?utf-8?Quoted-Printable?{Q}?=",
        f"=?utf-8?qp?{Q}?=",
    ],
)
def test_a_word_with_a_small_fault_is_read(raw: str) -> None:
    """postalsys/postal-mime#68. Seen red with the strict form of RFC 2047 alone, which left all of them as they are."""
    assert encoded_words.text_of(raw.encode()).strip() == TEXT


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (f"=?utf-8?Q?OK?_{Q}?=", f"OK? {TEXT}"),
        (f"=?utf-8?Q?OK?{Q}?=", f"OK?{TEXT}"),
        (f"=?utf-8?Q?OK {Q} x?=", f"OK {TEXT} x"),
        (f"=?utf-8?B?{B[:-8]}", TEXT[:-2]),
        (f"Re: =?utf-8?B?{B}?= (249)", f"Re: {TEXT} (249)"),
        ("a =?utf-8?Q??= b", "a  b"),
        ("What? Or? q?", "What? Or? q?"),
        ("1 =? 2", "1 =? 2"),
    ],
)
def test_what_stands_in_and_round_a_word_is_kept(raw: str, expected: str) -> None:
    assert encoded_words.text_of(raw.encode()) == expected


@pytest.mark.parametrize(
    "raw", [f"?utf-8?B?{B}?=", f"=utf-8?B?{B}?=", f"=?utf-8?{B}?=", f"utf-8''{Q.replace('=', '%')}"]
)
def test_a_word_that_is_not_read_is_seen_to_be_encoded_still(raw: str) -> None:
    assert transfer.still_encoded(encoded_words.text_of(raw.encode()))


@given(
    st.lists(
        st.sampled_from(
            [*(b"=?", b"?=", b"utf-8", b"?", b"B", b"q", b" ", b"\n ", b"="), B.encode(), Q.encode(), b"\xe3"]
        ),
        max_size=20,
    ).map(b"".join)
)
@settings(max_examples=200)
def test_any_value_gives_a_text(raw: bytes) -> None:
    assert len(encoded_words.text_of(raw)) <= 4 * len(raw)
