"""An answer of an IMAP server taken apart, to be changed: its lines, and the items of a FETCH line.

Only answers as `beds.scripted` writes them are read; anything else raises `ValueError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

LITERAL = re.compile(rb"~?\{(\d+)\+?\}\r\n")
_FETCH = re.compile(rb"(\* \d+ FETCH )\(", re.IGNORECASE)
_NAME = re.compile(rb"[A-Za-z0-9.-]+(?:\[[^\]]*\])?(?:<[\d.]+>)?")
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.)*"')
_ATOM = re.compile(rb"[^\s()]+")

Item = tuple[bytes, bytes]
Each = TypeVar("Each")


@dataclass(frozen=True, slots=True)
class Pick:
    """Which line, item or literal is meant (modulo their number), how much of it, and how many mails there are."""

    which: int
    amount: int
    exists: int = 0

    def of(self, values: Sequence[Each]) -> Each:
        """The value that is meant. Raises `ValueError` where there is none."""
        return values[self.place(values)]

    def place(self, values: Sequence[object]) -> int:
        """Its place, likewise."""
        if not values:
            raise ValueError("nothing to choose from")
        return self.which % len(values)


Change = Callable[[bytes, Pick], bytes]


def lines(answer: bytes) -> list[bytes]:
    """The lines of an answer, each with its literals; the last one is the tagged one."""
    found, start, at = [], 0, 0
    while at < len(answer):
        end = answer.index(b"\r\n", at) + 2
        size = None if answer[at:end].startswith(b"* OK") else re.search(rb"\{(\d+)\+?\}\r\n\Z", answer[at:end])
        at = end + int(size[1]) if size else end
        if not size:
            found.append(answer[start:at])
            start = at
    if start != len(answer) or not found:
        raise ValueError("an answer that is cut off")
    return found


def with_lines(answer: bytes, change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    """The answer with its untagged lines changed."""
    *untagged, tagged = lines(answer)
    return b"".join([*change(untagged), tagged])


def with_one_line(answer: bytes, pick: Pick, change: Callable[[bytes], bytes]) -> bytes:
    """The answer with one of its untagged lines changed."""

    def one(untagged: list[bytes]) -> list[bytes]:
        place = pick.place(untagged)
        return [change(line) if at == place else line for at, line in enumerate(untagged)]

    return with_lines(answer, one)


def items(line: bytes) -> tuple[bytes, list[Item]]:
    """What stands before the parenthesis of a FETCH line, and the (name, value) pairs in it."""
    head = _FETCH.match(line)
    if not head:
        raise ValueError("no FETCH")
    at, found = head.end(), []
    while line[at : at + 1] != b")":
        name = _match(_NAME, line, at)
        end = value_end(line, at + len(name) + 1)
        found.append((name, line[at + len(name) + 1 : end]))
        at = end + (line[end : end + 1] == b" ")
    return head[1], found


def fetch_line(head: bytes, pairs: Sequence[Item], before_end: bytes = b"", behind: bytes = b"") -> bytes:
    """A FETCH line of these items."""
    return head + b"(" + b" ".join(name + b" " + value for name, value in pairs) + before_end + b")" + behind + b"\r\n"


def is_fetch(line: bytes) -> bool:
    """Whether it is a FETCH line that can be taken apart."""
    try:
        return bool(items(line))
    except ValueError:
        return False


def with_fetches(answer: bytes, change: Callable[[bytes, list[Item]], bytes]) -> bytes:
    """The answer with each FETCH line changed."""
    return with_lines(answer, lambda all_: [change(*items(line)) if is_fetch(line) else line for line in all_])


def with_one_fetch(answer: bytes, pick: Pick, change: Callable[[bytes, list[Item]], bytes]) -> bytes:
    """The answer with one FETCH line changed."""
    place = pick.of([at for at, line in enumerate(lines(answer)) if is_fetch(line)])
    return with_one_line(answer, Pick(place, 0), lambda line: change(*items(line)))


def with_one_item(answer: bytes, pick: Pick, kind: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The answer with the values of the items changed whose names begin so; `which` 0: in every line, else in one."""

    def changed(head: bytes, pairs: list[Item]) -> bytes:
        return fetch_line(
            head, [(name, change(value) if name.upper().startswith(kind) else value) for name, value in pairs]
        )

    return with_fetches(answer, changed) if not pick.which else with_one_fetch(answer, pick, changed)


def value_end(data: bytes, at: int) -> int:
    """Where the value ends that begins there: a list, a literal, a quoted string or an atom."""
    depth = 0
    while True:
        if data[at : at + 1] == b"(":
            depth, at = depth + 1, at + 1
        elif data[at : at + 1] == b")" and depth:
            depth, at = depth - 1, at + 1
        elif literal := LITERAL.match(data, at):
            at = literal.end() + int(literal[1])
        else:
            at += len(_match(_QUOTED, data, at) if data[at : at + 1] == b'"' else _match(_ATOM, data, at))
        if not depth:
            return at
        at += data[at : at + 1] == b" "


def content(value: bytes) -> bytes:
    """The bytes of a literal. Raises `ValueError` where it is none."""
    literal = LITERAL.match(value)
    if not literal:
        raise ValueError("no literal")
    return value[literal.end() :]


def is_literal(value: bytes) -> bool:
    """Whether it is one."""
    return LITERAL.match(value) is not None


def _match(pattern: re.Pattern[bytes], data: bytes, at: int) -> bytes:
    found = pattern.match(data, at)
    if not found:
        raise ValueError("an answer that is not ours")
    return found[0]
