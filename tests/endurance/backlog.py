"""R15: 10,000 mails after three days away. See README.md here.

PYTHONPATH=tests python -m endurance.backlog [--short] [--amazon SHARE]
"""

from __future__ import annotations

import argparse
import random
import resource
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from imaplib import Time2Internaldate
from pathlib import Path

import mails
from beds.dovecot import Dovecot

from .bench import PLACES, Figures, Program, Told, beds, integrity, say, told

FULL, SHORT = 10_000, 1_000
REQUESTS, SINGLY = 40, 20
AWAY = timedelta(days=3)
# The bars: Show 7 and 8.
TOLD_WITHIN, MOST_MEMORY = 300.0, 200.0


def backlog(count: int, share: float, rng: random.Random) -> Iterator[tuple[datetime, bytes, str | None]]:
    """`count` mails with their arrival, oldest first; the order of those that are requests.

    `share` of the others is Amazon's: order confirmations, returns, payments, buyers' questions.
    """
    now = datetime.now(UTC)
    moments = sorted(now - AWAY * rng.random() for _ in range(count))
    asked = set(rng.sample(range(count), REQUESTS))
    orders = (mails.order_id(number) for number in range(REQUESTS))
    for at, moment in enumerate(moments):
        if at in asked:
            order = next(orders)
            yield moment, rng.choice((mails.by_message, mails.by_notification))(order), order
        else:
            # The last four digits of the number choose the sort (tests/mails.py): 0 to 6 are of Amazon, 7 and 8 not.
            sort = rng.randrange(7) if rng.random() < share else rng.choice((7, 8))
            yield moment, mails.neighbour(10 * at + sort), None


def fill(server: Dovecot, arriving: list[tuple[datetime, bytes, str | None]]) -> None:
    """APPEND all of them over one connection, each with its arrival."""
    with server._client() as client:
        for moment, mail, _ in arriving:
            status, answer = client.append("INBOX", "", Time2Internaldate(moment), mail)
            if status != "OK":
                raise RuntimeError(answer)


def make_away(program: Program) -> None:
    """The last good search of each folder was three days ago."""
    then = (datetime.now(UTC) - AWAY).timestamp()
    with closing(sqlite3.connect(program.store)) as store, store:
        store.execute("UPDATE folder SET last_good_search = ?", (then,))


def peak_memory(program: Program) -> float:
    """The most that was resident, in MB."""
    status = Path(f"/proc/{program.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> int:
    """Fill, start, measure."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--short", action="store_true", help=f"{SHORT:,} mails")
    options.add_argument("--amazon", type=float, default=0.7, help="which share of the neighbours is Amazon's")
    chosen = options.parse_args()
    count = SHORT if chosen.short else FULL
    arriving = list(backlog(count, chosen.amazon, random.Random(15)))  # noqa: S311 - a fixed order
    orders = [order for _, _, order in arriving if order]
    with beds("mailwatch-backlog-") as (folder, server, recorder), Program(folder / "run", server, recorder) as program:
        program.first_start()
        make_away(program)
        began = time.monotonic()
        fill(server, arriving)
        filled = time.monotonic() - began
        say(f"{count:,} mails appended in {filled:.0f} s; starting")
        before = {name: len(recorder.delivered(place)) for name, place in PLACES.items()}
        began = time.monotonic()
        program.start()

        def so_far() -> dict[str, Told]:
            return {name: told(recorder, name, before[name]) for name in PLACES}

        program.wait(lambda: any(found.orders for found in so_far().values()), 600, "the first alert")
        first = time.monotonic() - began
        program.wait(lambda: all(found.orders >= set(orders) for found in so_far().values()), 900, "all told")
        last = time.monotonic() - began
        program.wait(lambda: program.recorded == count and program.owed == 0, 900, "everything recorded")
        searched = time.monotonic() - began
        memory = peak_memory(program)
        exit_code = program.stop()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        figures = Figures(f"backlog: {count:,} mails, {REQUESTS} requests, {chosen.amazon:.0%} of the rest Amazon's")
        figures.note("first alert after, s", round(first, 1))
        figures.bar("all told after, s", round(last, 1), f"{TOLD_WITHIN:.0f}", holds=last <= TOLD_WITHIN)
        figures.note("good search after, s", round(searched, 1))
        figures.bar("peak RSS, MB", round(memory, 1), f"< {MOST_MEMORY:.0f}", holds=memory < MOST_MEMORY)
        figures.note("CPU of all children, s", round(used.ru_utime + used.ru_stime, 1))
        newest = set(orders[-SINGLY:])
        for name, found in so_far().items():
            lost = set(orders) - found.orders
            figures.bar(f"{name}: lost", len(lost), "0", holds=not lost)
            is_newest = set(found.singly) == newest
            figures.bar(f"{name}: told singly", found.singly.total(), f"the newest {SINGLY}", holds=is_newest)
            rest = set(found.in_digests) == set(orders) - newest
            figures.bar(f"{name}: named in digests", found.in_digests.total(), "the rest, once", holds=rest)
            figures.note(f"{name}: digests", found.digests)
            again = found.singly.total() + found.in_digests.total() - len(orders)
            figures.bar(f"{name}: repeats", again, "0", holds=again == 0)
        sound = integrity(program.store)
        figures.bar("integrity", sound, "ok", holds=sound == "ok")
        figures.bar("exit code", exit_code, "0", holds=exit_code == 0)
        return figures.end()


if __name__ == "__main__":
    sys.exit(main())
