"""Forms of one and the same answer that a server may give by RFC 3501, its extensions, or long custom.

Each is a function (answer, pick) -> answer. `LEGAL` says for which answers it is meant.
"""

from __future__ import annotations

import random
import re

from .answers import (
    Change,
    Item,
    Pick,
    content,
    fetch_line,
    is_literal,
    lines,
    with_fetches,
    with_lines,
    with_one_fetch,
    with_one_line,
)

_SEARCH = re.compile(rb"\* SEARCH((?: \d+)*)\r\n")
_COUNT = re.compile(rb"\* \d+ (?:EXISTS|EXPUNGE)", re.IGNORECASE)
_SHORT = re.compile(rb"[ !#-\[\]-~]{0,200}\Z")


# ---- lines ----


def _shuffled(answer: bytes, pick: Pick) -> bytes:
    def shuffled(all_: list[bytes]) -> list[bytes]:
        # A count and what is gone mean something else in another order (RFC 3501 section 7.4.1).
        free, fixed = [line for line in all_ if not _COUNT.match(line)], [line for line in all_ if _COUNT.match(line)]
        return random.Random(pick.amount).sample(free, len(free)) + fixed  # noqa: S311 - an order

    return with_lines(answer, shuffled)


def _doubled(answer: bytes, pick: Pick) -> bytes:
    times = 2 + pick.amount % 2
    return with_one_line(answer, pick, lambda line: line if _COUNT.match(line) else line * times)


def _lower_case(answer: bytes, pick: Pick) -> bytes:
    change = (bytes.lower, bytes.title)[pick.amount % 2]
    return re.sub(
        rb"(?m)^(\* (?:\d+ )?)(FETCH|SEARCH|OK|EXISTS|RECENT|FLAGS)\b", lambda got: got[1] + change(got[2]), answer
    )


def _noise(answer: bytes, pick: Pick) -> bytes:
    """What a server may say unasked: each true of the folder."""
    said = (
        b"* 1 FETCH (FLAGS (\\Seen))\r\n" if pick.exists else b"* 0 RECENT\r\n",
        b"* OK [ALERT] hello {5}\r\n",
        b"* CAPABILITY IMAP4rev1\r\n",
        b"* %d EXISTS\r\n" % pick.exists,
        b"* 0 RECENT\r\n",
        b"* FLAGS (\\Answered \\Seen)\r\n",
        b"* NO Disk is 91%% full\r\n",
        b'* OK [PERMANENTFLAGS ()] none (of them) "stay\r\n',
    )
    noise = said[pick.amount % len(said)]
    # The count is told behind what is gone.
    place = len(lines(answer)) if _COUNT.match(noise) else pick.which % len(lines(answer))
    return with_lines(answer, lambda all_: [*all_[:place], noise, *all_[place:]])


# ---- SEARCH ----


def _numbers(answer: bytes) -> list[bytes]:
    found = _SEARCH.search(answer)
    if not found:
        raise ValueError("no SEARCH")
    return found[1].split()


def _search_lines(answer: bytes, *said: bytes) -> bytes:
    return with_lines(answer, lambda all_: [*said, *(line for line in all_ if not _SEARCH.match(line))])


def _plain(numbers: list[bytes]) -> bytes:
    return b" ".join([b"* SEARCH", *numbers]) + b"\r\n"


def _numbers_in_lines(answer: bytes, pick: Pick) -> bytes:
    numbers, size = _numbers(answer), 1 + pick.which
    return _search_lines(answer, *(_plain(numbers[at : at + size]) for at in range(0, max(len(numbers), 1), size)))


def _numbers_shuffled(answer: bytes, pick: Pick) -> bytes:
    numbers = _numbers(answer)
    order = random.Random(pick.amount)  # noqa: S311 - an order
    return _search_lines(answer, _plain(order.sample(numbers, len(numbers))))


def _numbers_twice(answer: bytes, pick: Pick) -> bytes:
    numbers = _numbers(answer)
    return _search_lines(answer, _plain([*numbers, *numbers[pick.which :]]))


def _tail(answer: bytes, pick: Pick) -> bytes:
    tail = (b" ", b" (MODSEQ 917162500)", b"  (MODSEQ 9) ")[pick.amount % 3]
    return _search_lines(answer, _plain(_numbers(answer))[:-2] + tail + b"\r\n")


def _extended(answer: bytes, pick: Pick) -> bytes:
    """ESEARCH (RFC 4731): numbers or ranges, with its other results before or behind."""
    numbers = _numbers(answer)
    tag = (b"", b' (TAG "a {5}")', b' (TAG "x")')[pick.amount % 3]
    if not numbers:
        return _search_lines(answer, b"* ESEARCH%s UID%s\r\n" % (tag, b" COUNT 0" * (pick.which % 2)))
    listed = b"ALL " + (_ranges(numbers) if pick.which % 2 else b",".join(numbers))
    others = (b"MIN %s MAX %s" % (numbers[0], numbers[-1]), b"COUNT %d" % len(numbers), b"MODSEQ 9")[pick.amount % 3]
    both = (listed, b"%s %s" % (listed, others), b"%s %s" % (others, listed))[pick.which % 3]
    return _search_lines(answer, b"* ESEARCH%s UID %s\r\n" % (tag, both))


def _ranges(numbers: list[bytes]) -> bytes:
    found: list[list[int]] = []
    for number in map(int, numbers):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return b",".join(b"%d" % low if low == high else b"%d:%d" % (high, low) for low, high in found)


def _search_refused(answer: bytes, pick: Pick) -> bytes:
    words = (b"NO [BADCHARSET] no", b"BAD Unknown SEARCH criterion", b"NO [CANNOT] can't search")[pick.amount % 3]
    refused = re.sub(rb" OK .*", b" " + words, lines(answer)[-1])
    return b"".join([line for line in lines(answer)[:-1] if not _SEARCH.match(line)]) + refused


# ---- FETCH ----


def _items_shuffled(answer: bytes, pick: Pick) -> bytes:
    order = random.Random(pick.amount)  # noqa: S311 - an order
    return with_fetches(answer, lambda head, pairs: fetch_line(head, order.sample(pairs, len(pairs))))


def _more_items(answer: bytes, pick: Pick) -> bytes:
    more = (
        (b"FLAGS", b"(\\Seen $Forwarded)"),
        (b"FLAGS", b"()"),
        (b"MODSEQ", b"(917162500)"),
        (b"X-GM-MSGID", b"1278455344230334865"),
    )[pick.amount % 4]

    def added(head: bytes, pairs: list[Item]) -> bytes:
        place = pick.which % (len(pairs) + 1)
        return fetch_line(head, [*pairs[:place], more, *pairs[place:]])

    return with_fetches(answer, added)


def _split(answer: bytes, pick: Pick) -> bytes:
    """One mail in two lines, each with its UID (RFC 3501 section 7.4.2)."""

    def split(head: bytes, pairs: list[Item]) -> bytes:
        uid, others = [pair for pair in pairs if pair[0] == b"UID"], [pair for pair in pairs if pair[0] != b"UID"]
        at = pick.amount % (len(others) + 1)
        return fetch_line(head, uid + others[:at]) + fetch_line(head, others[at:] + uid)

    return with_fetches(answer, split)


def _items_behind(answer: bytes, pick: Pick) -> bytes:
    behind = (b" X-A 5", b" FLAGS ()", b" X-SIZE 1 X-B NIL")[pick.amount % 3]
    return with_one_fetch(answer, pick, lambda head, pairs: fetch_line(head, pairs, behind=behind))


def _blank_before_end(answer: bytes, pick: Pick) -> bytes:
    return with_fetches(answer, lambda head, pairs: fetch_line(head, pairs, b" " * (1 + pick.amount % 3)))


def _names_changed(answer: bytes, pick: Pick) -> bytes:
    change = (bytes.lower, bytes.title)[pick.amount % 2]
    return with_fetches(answer, lambda head, pairs: fetch_line(head, [(change(name), value) for name, value in pairs]))


def _fields_quoted(answer: bytes, _pick: Pick) -> bytes:
    quoted = re.compile(rb"(?<=[ (])([A-Z-]+)(?=[ )])")

    def changed(head: bytes, pairs: list[Item]) -> bytes:
        named = [(re.sub(rb"\(.*\)", lambda got: quoted.sub(rb'"\1"', got[0]), name), value) for name, value in pairs]
        return fetch_line(head, named)

    return with_fetches(answer, changed)


def _origin(answer: bytes, pick: Pick) -> bytes:
    origin = (b"]", b"]<0.262144>")[pick.amount % 2]
    return with_fetches(
        answer, lambda head, pairs: fetch_line(head, [(name.replace(b"]<0>", origin), value) for name, value in pairs])
    )


def _other_strings(answer: bytes, pick: Pick) -> bytes:
    """A literal in another form: what is short may be quoted."""

    def said(value: bytes) -> bytes:
        if not is_literal(value):
            return value
        inside = content(value)
        if pick.amount % 3 == 0 and _SHORT.match(inside):
            return b'"' + inside + b'"'
        return (
            (b"~" if pick.amount % 3 < 2 else b"")
            + b"{%d%s}\r\n" % (len(inside), b"+" * (pick.amount % 3 == 2))
            + inside
        )

    return with_fetches(answer, lambda head, pairs: fetch_line(head, [(name, said(value)) for name, value in pairs]))


def _structure_strings(answer: bytes, pick: Pick) -> bytes:
    """The strings of a BODYSTRUCTURE as literals, or in lower case: nearly all of them or a few."""
    order = random.Random(pick.amount)  # noqa: S311 - a choice

    def said(got: re.Match[bytes]) -> bytes:
        if b"\\" in got[1] or order.randrange(4) < pick.which % 4:
            return got[0]
        return b"{%d}\r\n%s" % (len(got[1]), got[1]) if pick.amount % 2 else got[0].lower()

    def changed(head: bytes, pairs: list[Item]) -> bytes:
        is_plain = re.compile(rb"\{\d+\}\r\n")
        return fetch_line(
            head,
            [
                (
                    name,
                    re.sub(rb'"([^"]*)"', said, value)
                    if name == b"BODYSTRUCTURE" and not is_plain.search(value)
                    else value,
                )
                for name, value in pairs
            ],
        )

    return with_fetches(answer, changed)


# ---- EXAMINE ----


def _no_uidnext(answer: bytes, _pick: Pick) -> bytes:
    return with_lines(answer, lambda all_: [line for line in all_ if b"UIDNEXT" not in line])


def _more_codes(answer: bytes, pick: Pick) -> bytes:
    codes = (
        b"* OK [HIGHESTMODSEQ 715194045007]\r\n",
        b"* OK [NOMODSEQ] none\r\n",
        b"* OK [UNSEEN 1] first\r\n" if pick.exists else b"* OK ready\r\n",
        b"* OK [PERMANENTFLAGS ()] Read-only mailbox.\r\n",
        b"* OK [MAILBOXID (M6352ae03)] yes\r\n",
    )
    place = pick.which % len(lines(answer))
    return with_lines(answer, lambda all_: [*all_[:place], codes[pick.amount % len(codes)], *all_[place:]])


_OF_ALL: dict[str, Change] = {"noise": _noise, "names of lines in another case": _lower_case}
_OF_LINES: dict[str, Change] = _OF_ALL | {"lines in another order": _shuffled, "a line doubled": _doubled}
_OF_FETCH: dict[str, Change] = _OF_LINES | {
    "items in another order": _items_shuffled,
    "more items": _more_items,
    "a mail in two lines": _split,
    "items behind": _items_behind,
    "blanks before the end": _blank_before_end,
    "names in another case": _names_changed,
}
_OF_BODIES: dict[str, Change] = _OF_FETCH | {
    "field names in quotes": _fields_quoted,
    "another origin": _origin,
    "other strings": _other_strings,
}
LEGAL: dict[str, dict[str, Change]] = {
    "examine": _OF_LINES | {"no UIDNEXT": _no_uidnext, "more codes": _more_codes},
    "search": _OF_LINES
    | {
        "numbers in lines": _numbers_in_lines,
        "numbers in another order": _numbers_shuffled,
        "numbers twice": _numbers_twice,
        "a tail": _tail,
        "ESEARCH": _extended,
        "criterion refused": _search_refused,
    },
    "list": _OF_FETCH,
    "identity": _OF_FETCH,
    "headline": _OF_BODIES,
    "structure": _OF_BODIES | {"strings of the structure": _structure_strings},
    "text": _OF_BODIES,
    "noop": _OF_ALL,
}
