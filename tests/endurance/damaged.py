"""R5: the store is deleted, cut off, overwritten, or some of its bits are flipped. See README.md here.

PYTHONPATH=tests python -m endurance.damaged [--short] [--files N] [--seed N] [--only WAY]
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import mails
from beds.dovecot import Dovecot
from beds.recorder import Recorder

from .bench import PLACES, STORE, Figures, Program, beds, say, told, wait_for_any

FULL, SHORT = 1000, 60
WORKERS = 2
SECONDS = 30.0
BEFORE = {mails.order_id(number) for number in range(5)} | {mails.order_id(5, 250)}
PAGE, HEADER = 4096, 100


# ---- ways to damage a file ----


def _deleted(_: bytes, __: random.Random) -> None:
    return None


def _empty(_: bytes, __: random.Random) -> bytes:
    return b""


def _cut_off(whole: bytes, rng: random.Random) -> bytes:
    return whole[: rng.randrange(1, len(whole))]


def _zeroed(whole: bytes, rng: random.Random) -> bytes:
    """Zero bytes in place of a stretch, or of all."""
    at = rng.choice((0, rng.randrange(len(whole))))
    size = rng.choice((512, PAGE, len(whole)))
    return whole[:at] + bytes(len(whole[at : at + size])) + whole[at + size :]


def _flipped(whole: bytes, rng: random.Random, places: Sequence[int], most: int = 100) -> bytes:
    content = bytearray(whole)
    for _ in range(rng.randint(1, most)):
        content[rng.choice(places)] ^= 1 << rng.randrange(8)
    return bytes(content)


def _flips(whole: bytes, rng: random.Random) -> bytes:
    return _flipped(whole, rng, range(len(whole)))


def _header(whole: bytes, rng: random.Random) -> bytes:
    return _flipped(whole, rng, range(HEADER), 3)


def _unseen(whole: bytes, rng: random.Random) -> bytes:
    """Flips in bytes that are in use, which integrity_check does not see; fewer and fewer until it is so."""
    places = _used(whole)
    for most in (100, 30, 10, 5, 3, *[1] * 200):
        found = _flipped(whole, rng, places, most)
        if found != whole and problem(found) is None:
            return found
    raise RuntimeError("integrity_check saw every flip")


def _used(whole: bytes) -> list[int]:
    """The bytes of cells: from where a page's cell content begins to its end (SQLite file format 1.6)."""
    found: list[int] = []
    for page in range(0, len(whole), PAGE):
        header = page + (HEADER if page == 0 else 0)
        start = int.from_bytes(whole[header + 5 : header + 7], "big") or PAGE
        if whole[header] in {2, 5, 10, 13} and page:
            found += range(page + start, page + PAGE)
    return found


def problem(content: bytes) -> str | None:
    """What SQLite's own check says of a file with this content."""
    with tempfile.NamedTemporaryFile(suffix=".sqlite") as file:
        file.write(content)
        file.flush()
        try:
            with closing(sqlite3.connect(file.name)) as store:
                said = str(store.execute("PRAGMA integrity_check(1)").fetchone()[0])
        except (sqlite3.DatabaseError, UnicodeDecodeError) as fault:
            # Where the message itself quotes damaged text it can't be decoded.
            said = str(fault)
    return None if said == "ok" else said


WAYS: dict[str, tuple[Callable[[bytes, random.Random], bytes | None], int]] = {
    "deleted": (_deleted, 3),
    "empty": (_empty, 3),
    "cut off": (_cut_off, 10),
    "zeroed": (_zeroed, 10),
    "flips": (_flips, 34),
    "flips in the file header": (_header, 10),
    "flips that integrity_check does not see": (_unseen, 30),
}


# ---- one damaged file ----


@dataclass(slots=True)
class Result:
    """What the program made of one file."""

    way: str
    number: int
    is_found: bool
    is_aside: bool = False
    refused: str = ""
    lost: set[str] = field(default_factory=set)
    most_digests: int = 0
    most_faults: int = 0
    repeats: int = 0
    is_late: bool = False
    is_swallowed: bool = False
    failures: int = 0
    log: str = ""

    @property
    def is_bad(self) -> bool:
        """Whether a bar is missed."""
        return bool(
            (self.is_found and not self.is_aside)
            or self.lost
            or self.most_digests > 1
            or self.most_faults > 1
            or (self.is_aside and self.repeats)
            or self.is_swallowed
            or self.refused
            or self.failures > 3
        )


class Sufferer:
    """A mailbox, a sound store of it, and what happens when that is damaged."""

    def __init__(self, folder: Path, server: Dovecot, recorder: Recorder) -> None:
        self._folder, self._server, self._recorder = folder, server, recorder
        self._sound = folder / "sound"
        with Program(folder / "first", server, recorder) as program:
            program.first_start()
            arriving = [mails.by_notification(order) for order in sorted(BEFORE) if not order.startswith("250")]
            arriving += [mails.wish(order) for order in BEFORE if order.startswith("250")]
            server.deliver_all([*arriving, *(mails.neighbour(number) for number in range(10))])
            program.start()
            program.wait(lambda: program.recorded == len(BEFORE) + 10 and program.owed == 0, 60, "all told")
            program.stop()
            shutil.copytree(program.state, self._sound)

    def suffer(self, number: int, seed: int, only: str) -> Result:
        """One file, damaged the way its number says, or `only` that way."""
        rng = random.Random(f"{seed}/{number}")  # noqa: S311 - a seed makes a run come again
        way = only or list(WAYS)[rng.choices(range(len(WAYS)), [share for _, share in WAYS.values()])[0]]
        content = WAYS[way][0]((self._sound / STORE).read_bytes(), rng)
        result = Result(way, number, is_found=content is None or not content or problem(content) is not None)
        order = mails.order_id(number, 249)
        mail, comes_first = mails.by_notification(order), rng.random() < 0.5
        since = {name: len(self._recorder.delivered(place)) for name, place in PLACES.items()}
        with Program(self._folder / str(number), self._server, self._recorder) as program:
            shutil.copytree(self._sound, program.state)
            if content is None:
                program.store.unlink()
            else:
                program.store.write_bytes(content)
            uid = self._server.append(mail) if comes_first else 0
            program.start()
            if not comes_first:
                wait_for_any([lambda: _connected(program) >= 2, lambda: not program.is_alive], SECONDS)
                uid = self._server.append(mail)
            self._judge(program, result, order, since)
            self._server.expunge(uid)
        shutil.rmtree(program.folder)
        return result

    def _judge(self, program: Program, result: Result, order: str, since: dict[str, int]) -> None:
        def everything(wanted: set[str]) -> bool:
            return all(wanted <= told(self._recorder, name, since[name]).orders for name in PLACES)

        def is_aside() -> bool:
            return "store_set_aside" in program.said()

        def is_over() -> bool:
            # Both folders of the new store were searched, so that a second digest would be owed now.
            searched = program.is_watching and program.owed == 0
            return everything({order} | BEFORE) and searched if is_aside() else everything({order})

        if not wait_for_any([is_over, lambda: not program.is_alive], SECONDS):
            # The store's UIDs may be nonsense: the whole look-back is listed at a start, and every 9 minutes.
            result.failures += _failures(program)
            result.is_late = everything({order}) is False
            program.kill()
            program.start()
            wait_for_any([is_over, lambda: not program.is_alive], SECONDS)
        result.is_aside = is_aside() or any("damaged" in path.name for path in program.state.iterdir())
        if not program.is_alive:
            result.refused = f"exit code {program.process.returncode}"
        found = [told(self._recorder, name, since[name]) for name in PLACES]
        result.lost = {old for each in found for old in BEFORE - each.orders} if result.is_aside else set()
        result.most_digests = max(each.digests for each in found)
        result.most_faults = max(len(each.faults) for each in found)
        result.repeats = sum(sum(each.singly[old] for old in BEFORE) + each.repeats.total() for each in found)
        result.is_swallowed = not everything({order})
        result.failures += _failures(program)
        result.log = program.said()[-1500:]
        program.kill()


def _connected(program: Program) -> int:
    return program.said().count("connected account")


def _failures(program: Program) -> int:
    return sum(program.said().count(event) for event in ("worker_failed", "store_failed", "store_fault_told"))


# ---- all of them ----


def suffer_all(count: int, seed: int, only: str) -> list[Result]:
    """Each worker has a mailbox of its own."""
    results: list[Result] = []
    lock, over = threading.Lock(), threading.Event()
    numbers = iter(range(1, count + 1))

    def work(sufferer: Sufferer) -> None:
        while True:
            with lock:
                number = None if over.is_set() else next(numbers, None)
            if number is None:
                return
            result = sufferer.suffer(number, seed, only)
            with lock:
                results.append(result)
                if result.is_bad:
                    say(f"--- {result}".replace("\\n", "\n"))
                if len(results) % 100 == 0:
                    say(f"{len(results)} files, {sum(each.is_bad for each in results)} bad")

    with contextlib.ExitStack() as stack:
        ready = [Sufferer(*stack.enter_context(beds("mailwatch-damaged-"))) for _ in range(WORKERS)]
        with ThreadPoolExecutor(WORKERS) as threads, contextlib.ExitStack() as last:
            last.callback(over.set)
            for each in [threads.submit(work, sufferer) for sufferer in ready]:
                each.result()
    return results


def main() -> int:
    """Run it; the exit code."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--short", action="store_true", help=f"{SHORT} files")
    options.add_argument("--files", type=int, default=0)
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options.add_argument("--only", choices=WAYS, default="", help="one way to damage it")
    given = options.parse_args()
    began = time.monotonic()
    results = suffer_all(given.files or (SHORT if given.short else FULL), given.seed, given.only)
    figures = Figures(f"damaged, seed {given.seed}, {time.monotonic() - began:.0f} s")
    figures.note("files", len(results))
    for way, times in Counter(result.way for result in results).most_common():
        found = sum(result.is_found for result in results if result.way == way)
        figures.note(f"  {way}", f"{times}, {found} found")
    aside = [result for result in results if result.is_aside]
    figures.note("set aside and rebuilt", len(aside))

    def none(name: str, which: list[Result]) -> None:
        figures.bar(name, len(which), "0", holds=not which)

    none("found by integrity_check, not set aside", [each for each in results if each.is_found and not each.is_aside])
    none("rebuilt: an order lost at", [each for each in aside if each.lost])
    none("rebuilt: an old order told singly at", [each for each in aside if each.repeats])
    none("more than one digest on a channel at", [each for each in results if each.most_digests > 1])
    none("more than one fault message on a channel at", [each for each in results if each.most_faults > 1])
    none("would not start", [each for each in results if each.refused])
    none("workers that fail again and again at", [each for each in results if each.failures > 3])
    none("a new request swallowed at", [each for each in results if each.is_swallowed])
    figures.note("a new request told only after the next full list", sum(each.is_late for each in results))
    kept = [each for each in results if not each.is_aside and each.repeats]
    figures.note("not found: an old order told again at", len(kept))
    return figures.end()


if __name__ == "__main__":
    sys.exit(main())
