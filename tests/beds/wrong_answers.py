"""Answers that are wrong: dropped, emptied, doubled, truncated, contradicting. Functions as in `beds.legal_answers`.

Each contradicts something else that the server says or shows. An answer that agrees with every other one is not here:
who is told everywhere that a mail is somebody else's can't know better.
"""

from __future__ import annotations

import re

from .answers import (
    Change,
    Item,
    Pick,
    content,
    fetch_line,
    is_fetch,
    is_literal,
    items,
    lines,
    with_fetches,
    with_lines,
    with_one_fetch,
    with_one_item,
    with_one_line,
)

# ---- lines ----


def _line_dropped(answer: bytes, pick: Pick) -> bytes:
    return with_one_line(answer, pick, lambda _: b"")


def _rest_dropped(answer: bytes, pick: Pick) -> bytes:
    return with_lines(answer, lambda all_: all_[: pick.place(all_)])


def _nonsense(answer: bytes, pick: Pick) -> bytes:
    said = (
        b"* 3 FETCH (((\r\n",
        b"not IMAP at all\r\n",
        b"+ go on\r\n",
        b"* SEARCH ALL OF THEM\r\n",
        b"* 99999999999999999999 EXISTS\r\n",
        b"* 1 FETCH (UID 1 BODY[] {99999999}\r\n",
        b"\r\n",
        b"* 2 FETCH (UID x RFC822.SIZE -1)\r\n",
        b"\xff\xfe\x00\r\n",
    )
    place = pick.which % len(lines(answer))
    return with_lines(answer, lambda all_: [*all_[:place], said[pick.amount % len(said)], *all_[place:]])


def _refused(answer: bytes, pick: Pick) -> bytes:
    words = (b"BAD no", b"NO [SERVERBUG] internal error", b"NO not now", b"NO", b"BAD [CLIENTBUG] {5}")
    tagged = re.sub(rb" OK .*", b" " + words[pick.amount % len(words)], lines(answer)[-1])
    return with_lines(answer, lambda all_: all_ if pick.which % 2 else [])[: -len(lines(answer)[-1])] + tagged


def _cut_off(answer: bytes, pick: Pick) -> bytes:
    """The connection ends in the middle of the answer."""
    return answer[: len(answer) * (pick.amount % 100) // 100]


def _goodbye(answer: bytes, pick: Pick) -> bytes:
    words = (b"* BYE shutting down\r\n", b"* bye\r\n", b"* BYE [UNAVAILABLE] try again later\r\n")[pick.amount % 3]
    return with_lines(answer, lambda all_: [*all_[: pick.which % (len(all_) + 1)], words])


# ---- numbers ----


def _number_dropped(answer: bytes, pick: Pick) -> bytes:
    return _of_numbers(answer, lambda numbers: [each for each in numbers if each != pick.of(numbers)])


def _numbers_cut(answer: bytes, pick: Pick) -> bytes:
    return _of_numbers(answer, lambda numbers: numbers[: pick.place(numbers)])


def _numbers_changed(answer: bytes, pick: Pick) -> bytes:
    """Higher or lower than they are: all, or one."""
    by = (500, 1, 2**31, -1)[pick.amount % 4]

    def changed(numbers: list[bytes]) -> list[bytes]:
        one = pick.of(numbers)
        return [b"%d" % max(int(each) + by, 0) if not pick.which or each == one else each for each in numbers]

    return _of_numbers(answer, changed)


def _of_numbers(answer: bytes, change: object) -> bytes:
    assert callable(change)
    found = re.search(rb"\* SEARCH((?: \d+)+)", answer)
    if not found:
        raise ValueError("no numbers")
    return answer.replace(found[0], b" ".join([b"* SEARCH", *change(found[1].split())]))


def _odd_search(answer: bytes, pick: Pick) -> bytes:
    said = (
        b"* SEARCH ALL OF",
        b"* SEARCH 1:4294967295",
        b'* ESEARCH (TAG "x") UID COUNT 2',
        b'* ESEARCH (TAG "x") UID MIN 1 MAX 6',
        b'* ESEARCH (TAG "x") ALL 1',
        b'* ESEARCH (TAG "x") UID',
        b"* SEARCH 0",
        b"* SEARCH NIL",
        b"* SORT 1 2 3",
    )
    return re.sub(rb"\* SEARCH[ \d]*", said[pick.amount % len(said)], answer)


# ---- items ----


def _item_dropped(answer: bytes, pick: Pick) -> bytes:
    def dropped(head: bytes, pairs: list[Item]) -> bytes:
        one = Pick(pick.amount, 0).place(pairs)
        return fetch_line(head, [pair for at, pair in enumerate(pairs) if at != one])

    return _each_or_one(answer, pick, dropped)


def _item_renamed(answer: bytes, pick: Pick) -> bytes:
    """An item under another name: another section, another origin, another kind of item."""
    name = (b"BODY[9]", b"BODY[HEADER.FIELDS (DATE)]", b"BODY[]<500>", b"BODY[1]<1>", b"X-BODY", b"BODY", b"BODY[")

    def renamed(head: bytes, pairs: list[Item]) -> bytes:
        places = [at for at, pair in enumerate(pairs) if pair[0] != b"UID"]
        one = Pick(pick.amount // len(name), 0).of(places)
        return fetch_line(
            head, [(name[pick.amount % len(name)] if at == one else pair[0], pair[1]) for at, pair in enumerate(pairs)]
        )

    return _each_or_one(answer, pick, renamed)


def _item_twice(answer: bytes, pick: Pick) -> bytes:
    """An item twice, with two values."""

    def twice(head: bytes, pairs: list[Item]) -> bytes:
        name, value = Pick(pick.amount, 0).of(pairs)
        other = _shorter(value, 50) if is_literal(value) else b'"01-Jan-1999 00:00:00 +0000"'
        return fetch_line(head, [*pairs, (name, b"%d" % (int(value) + 1) if value.isdigit() else other)])

    return _each_or_one(answer, pick, twice)


def _each_or_one(answer: bytes, pick: Pick, change: object) -> bytes:
    assert callable(change)
    return with_fetches(answer, change) if not pick.which else with_one_fetch(answer, pick, change)


def _emptied(answer: bytes, pick: Pick) -> bytes:
    """Each literal, or one of several, is an empty one in one of three forms."""
    empty = (b"{0}\r\n", b"NIL", b'""')[pick.amount % 3]
    return _with_literals(answer, pick, lambda _: empty)


def _cut(answer: bytes, pick: Pick) -> bytes:
    """Each literal, or one of several, lacks its end; in half of them whole lines: base64 shows no such cut."""
    at_a_line = pick.amount // 100 % 2 == 1
    return _with_literals(answer, pick, lambda value: _shorter(value, pick.amount % 100, at_a_line=at_a_line))


def _shorter(value: bytes, percent: int, *, at_a_line: bool = False) -> bytes:
    inside = content(value)
    inside = inside[: len(inside) * percent // 100]
    inside = inside[: inside.rfind(b"\n") + 1] if at_a_line else inside
    return b"{%d}\r\n%s" % (len(inside), inside)


def _wrong_size(answer: bytes, pick: Pick) -> bytes:
    """The number in front of a literal is not its size."""
    by = (-1, -7, 1, 9, -100, 10_000)[pick.amount % 6]

    def sized(value: bytes) -> bytes:
        inside = content(value)
        return b"{%d}\r\n%s" % (max(len(inside) + by, 0), inside)

    return _with_literals(answer, pick, sized)


def _with_literals(answer: bytes, pick: Pick, change: object) -> bytes:
    """`which` 0: each of them is changed; else one of one line."""
    assert callable(change)

    def changed(head: bytes, pairs: list[Item]) -> bytes:
        places = [at for at, pair in enumerate(pairs) if is_literal(pair[1])]
        chosen = {Pick(pick.amount // 100, 0).of(places)} if pick.which else set(places)
        return fetch_line(
            head, [(pair[0], change(pair[1]) if at in chosen else pair[1]) for at, pair in enumerate(pairs)]
        )

    return _each_or_one(answer, pick, changed)


# ---- what contradicts another answer ----


def _other_uid(answer: bytes, pick: Pick) -> bytes:
    uid = (b"0", b"501", b"4294967295", b"NIL", b'"1"', b"1", b"2")[pick.amount % 7]
    return with_one_item(answer, pick, b"UID", lambda _: uid)


def _uids_swapped(answer: bytes, pick: Pick) -> bytes:
    """Two mails under each other's UID."""
    all_ = lines(answer)
    places = [at for at, line in enumerate(all_) if is_fetch(line)]
    one, other = pick.of(places), Pick(pick.which + 1 + pick.amount, 0).of(places)
    uids = {at: dict(items(all_[at])[1])[b"UID"] for at in (one, other)}
    for at, uid in ((one, uids[other]), (other, uids[one])):
        head, pairs = items(all_[at])
        all_[at] = fetch_line(head, [(name, uid if name == b"UID" else value) for name, value in pairs])
    return b"".join(all_)


def _other_mail_size(answer: bytes, pick: Pick) -> bytes:
    size = (b"0", b"1", b"NIL", b"99999999", b"-5", b"4294967296", b'"7"')[pick.amount % 7]
    return with_one_item(answer, pick, b"RFC822.SIZE", lambda _: size)


def _other_date(answer: bytes, pick: Pick) -> bytes:
    date = (
        b'"01-Jan-1970 00:00:00 +0000"',
        b'"31-Dec-9999 23:59:59 -1200"',
        b"NIL",
        b'"32-Foo-2022 99:00:00 +9999"',
        b'""',
        b"5",
        b'"17-Jul-2031 02:44:25 -0700"',
    )[pick.amount % 7]
    return with_one_item(answer, pick, b"INTERNALDATE", lambda _: date)


def _other_structure(answer: bytes, pick: Pick) -> bytes:
    def changed(value: bytes) -> bytes:
        return (
            b"NIL",
            b"()",
            value.replace(b'"TEXT"', b'"IMAGE"'),
            value.replace(b'"BASE64"', b'"7BIT"').replace(b'"QUOTED-PRINTABLE"', b'"BASE64"'),
            re.sub(rb"\b\d{2,}\b", b"0", value),
            re.sub(rb"\b\d{2,}\b", b"999999", value),
            b"(" + value + b' "MIXED")',
            value[: len(value) // 2] + b")" * value[: len(value) // 2].count(b"("),
            value.replace(b"NIL", b'"ATTACHMENT"'),
            b'"text"',
            b'("TEXT" "PLAIN")',
        )[pick.amount % 11]

    return with_one_item(answer, pick, b"BODYSTRUCTURE", changed)


def _other_count(answer: bytes, pick: Pick) -> bytes:
    """EXISTS contradicts the lists."""
    count = max(pick.exists + (1, 5, -1, -2, 10**6, -(10**6))[pick.amount % 6], 0)
    said = b"* %d EXISTS\r\n" % count
    if pick.which % 2:
        return with_lines(answer, lambda all_: [*all_, said])
    return re.sub(rb"\* \d+ EXISTS\r\n", said, answer)


def _false_expunge(answer: bytes, pick: Pick) -> bytes:
    """Mails are said to be gone that lie there."""
    gone = b"* %d EXPUNGE\r\n" % (1 + pick.which)
    return with_lines(answer, lambda all_: [*all_, *[gone] * (1 + pick.amount % 2)])


def _other_code(answer: bytes, pick: Pick) -> bytes:
    """UIDNEXT or UIDVALIDITY is another, odd or missing."""
    name = (b"UIDNEXT", b"UIDVALIDITY")[pick.which % 2]
    value = (b" 1", b" 0", b" 4294967295", b" x", b"", b" NIL", b" 3")[pick.amount % 7]
    return re.sub(rb"\[%s \d+\]" % name, b"[" + name + value + b"]", answer)


_OF_LINES: dict[str, Change] = {
    "a line dropped": _line_dropped,
    "the rest dropped": _rest_dropped,
    "nonsense": _nonsense,
    "refused": _refused,
    "cut off": _cut_off,
    "goodbye": _goodbye,
    "another EXISTS": _other_count,
    "a false EXPUNGE": _false_expunge,
}
_OF_FETCH: dict[str, Change] = _OF_LINES | {
    "an item dropped": _item_dropped,
    "an item renamed": _item_renamed,
    "an item twice": _item_twice,
    "another UID": _other_uid,
    "UIDs swapped": _uids_swapped,
}
_OF_IDENTITY: dict[str, Change] = _OF_FETCH | {"another size": _other_mail_size, "another date": _other_date}
_OF_BODIES: dict[str, Change] = _OF_FETCH | {"emptied": _emptied, "cut": _cut, "a literal of another size": _wrong_size}
WRONG: dict[str, dict[str, Change]] = {
    "examine": _OF_LINES | {"another code": _other_code},
    "search": _OF_LINES
    | {
        "a number dropped": _number_dropped,
        "numbers cut": _numbers_cut,
        "other numbers": _numbers_changed,
        "odd": _odd_search,
    },
    "list": _OF_IDENTITY,
    "identity": _OF_IDENTITY,
    "headline": _OF_IDENTITY | _OF_BODIES,
    "structure": _OF_BODIES | {"another structure": _other_structure},
    "text": _OF_BODIES,
    "noop": _OF_LINES,
}
# After these the server hangs up: what it announced never comes.
HANGS_UP = {"cut off", "goodbye", "nonsense", "a literal of another size"}
