"""L13: mails, lost connections and failing channels for as long as wished. See README.md here.

PYTHONPATH=tests python -m endurance.soak [--short] [--minutes N]
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mails
from beds.dovecot import Dovecot
from beds.recorder import Answer, Recorder
from beds.tap import Tap

from .bench import LINE, PLACES, Figures, Program, beds, integrity, say, told

FULL, SHORT = 30.0, 2.0
MAIL_EVERY, CUT_EVERY = 1.0, 30.0
# One in so many answers of each channel.
FAILING = 20
FAILURES: tuple[Answer, ...] = (500, 503, (429, {"Retry-After": "3"}, b""), "reset", "close")
# Growth is counted from here on: libraries are loaded, caches filled. The rest is told by the slope.
WARM_UP = {True: 45.0, False: 300.0}
SLOPE, SHORT_GROWTH, STEADY = 1.0, 6.0, 2
# What each mail may add: its UID's place in the seen-set (bytes).
PER_MAIL = 150
DRAIN = 300.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The process at one moment: seconds since the start, MB resident, open files, threads."""

    at: float
    memory: float
    files: int
    threads: int


def sample(pid: int, at: float) -> Sample:
    """Of proc(5)."""
    status = Path(f"/proc/{pid}/status").read_text()
    memory = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    threads = int(status.partition("Threads:")[2].split()[0])
    return Sample(at, memory, len(os.listdir(f"/proc/{pid}/fd")), threads)  # noqa: PTH208 - no Path for each is needed


def season() -> Iterator[tuple[bytes, str | None]]:
    """Mails without end: of twenty four are requests, one more is one of those by the other route 27 mails later, one
    or two are wishes."""
    for number in itertools.count():
        order = mails.order_id(number)
        if number % 5 == 3:
            yield mails.by_message(order), order
        elif number % 20 == 10 and number > 30:
            yield mails.by_notification(mails.order_id(number - 27)), None
        elif number % 15 == 7:
            yield mails.wish(order), order
        else:
            yield mails.neighbour(number), None


def answers(rng: random.Random, count: int) -> list[Answer]:
    """A channel's answers, every so many a failure; after the last, which is good, all are."""
    return [*(rng.choice(FAILURES) if number % FAILING == 5 else 200 for number in range(count)), 200]


class Soak:
    """One run: what is sent in, and what the process looked like."""

    def __init__(self, program: Program, server: Dovecot, tap: Tap, recorder: Recorder, seconds: float) -> None:
        self._program, self._server, self._tap, self._recorder = program, server, tap, recorder
        self._seconds = seconds
        self.samples: list[Sample] = []
        self.orders: set[str] = set()
        self.mails = self.cuts = self.logins = 0

    def run(self) -> None:
        """A mail a second, a cut every 30 seconds, a sample a second."""
        arriving = season()
        began = time.monotonic()
        next_cut = CUT_EVERY
        while (at := time.monotonic() - began) < self._seconds:
            mail, order = next(arriving)
            self._server.deliver(mail)
            self.mails += 1
            self.orders |= {order} if order else set()
            if at >= next_cut:
                next_cut += CUT_EVERY
                (self._tap.cut if self.cuts % 2 else self._tap.close)()
                self.cuts += 1
            self.samples.append(sample(self._program.process.pid, at))
            time.sleep(max(0.0, began + self.mails * MAIL_EVERY - time.monotonic()))

    def after(self, seconds: float) -> list[Sample]:
        """The samples after the warm-up."""
        return [each for each in self.samples if each.at >= seconds]


def slope(samples: list[Sample]) -> float:
    """MB an hour, by least squares."""
    return statistics.linear_regression([each.at for each in samples], [each.memory for each in samples]).slope * 3600


def ends(values: list[int]) -> tuple[float, float]:
    """The medians of the first and the last fifth."""
    piece = max(len(values) // 5, 1)
    return statistics.median(values[:piece]), statistics.median(values[-piece:])


def judge(soak: Soak, program: Program, recorder: Recorder, *, is_short: bool, late: float, exit_code: int) -> Figures:
    """The table."""
    figures = Figures(f"soak: {soak.mails} mails, {len(soak.orders)} requests and wishes, {soak.cuts} cuts")
    warm = soak.after(WARM_UP[is_short])
    growth = ends([round(each.memory * 1024) for each in warm])
    figures.note(
        "RSS at the start, warm, at the end, MB", [round(s.memory, 1) for s in (soak.samples[0], warm[0], warm[-1])]
    )
    grown = (growth[1] - growth[0]) / 1024
    figures.note("RSS growth after warm-up, MB", round(grown, 2))
    rate = slope(warm)
    ours = 3600 / MAIL_EVERY * PER_MAIL / 1e6
    if is_short:
        figures.bar("RSS growth, MB", round(grown, 2), f"<= {SHORT_GROWTH}", holds=grown <= SHORT_GROWTH)
    else:
        bar = f"<= {SLOPE + ours:.1f}: {SLOPE} and the seen-set's {ours:.1f}"
        figures.bar("RSS slope, MB an hour", round(rate, 2), bar, holds=rate <= SLOPE + ours)
    for name, values in (("files", [s.files for s in warm]), ("threads", [s.threads for s in warm])):
        first, last = ends(values)
        figures.bar(
            f"{name}, first and last fifth", f"{first:.0f} {last:.0f}", "+-2", holds=abs(last - first) <= STEADY
        )
        figures.note(f"{name}, most", max(values))
    figures.note("logins", soak.logins)
    for name in PLACES:
        found = told(recorder, name)
        lost = soak.orders - found.orders
        failed = len(recorder.posts(PLACES[name])) - len(recorder.delivered(PLACES[name]))
        figures.note(f"{name}: attempts that failed", failed)
        figures.bar(f"{name}: lost", len(lost), "0", holds=not lost)
        repeats = found.repeats
        unmarked = sum(1 for order in repeats if found.marked[order] < repeats[order])
        bar = "0" if name == LINE else "0 without a mark"
        figures.bar(f"{name}: repeats", repeats.total(), bar, holds=not (repeats if name == LINE else unmarked))
    figures.bar("drained after, s", round(late, 1), f"<= {DRAIN:.0f}", holds=late <= DRAIN)
    figures.bar("mails recorded", program.recorded, str(soak.mails), holds=program.recorded == soak.mails)
    sound = integrity(program.store)
    figures.bar("integrity", sound, "ok", holds=sound == "ok")
    figures.bar("exit code", exit_code, "0", holds=exit_code == 0)
    return figures


def main() -> int:
    """Set up, soak, drain, judge."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--short", action="store_true", help=f"{SHORT:.0f} minutes")
    options.add_argument("--minutes", type=float, default=None, help=f"default {FULL:.0f}")
    options.add_argument("--seed", type=int, default=13)
    chosen = options.parse_args()
    minutes = chosen.minutes or (SHORT if chosen.short else FULL)
    is_short = minutes * 60 < 2 * WARM_UP[False]
    rng = random.Random(chosen.seed)  # noqa: S311 - a fixed order
    with (
        beds("mailwatch-soak-") as (folder, server, recorder),
        Tap(server.port) as tap,
        Program(folder / "run", server, recorder) as program,
    ):
        config = program.folder / "config.toml"
        config.write_text(config.read_text().replace(f"port = {server.port}\n", f"port = {tap.port}\n"))
        program.start()
        program.wait(lambda: program.is_watching, 60, "the first good search of both folders")
        for place in PLACES.values():
            recorder.plan(place, *answers(rng, round(minutes * 60)))
        soak = Soak(program, server, tap, recorder, minutes * 60)
        soak.run()
        say(f"{soak.mails} mails in {minutes:.1f} minutes; draining")
        began = time.monotonic()
        program.wait(
            lambda: program.recorded == soak.mails and program.owed == 0, 2 * DRAIN, "everything recorded and told"
        )
        late = time.monotonic() - began
        soak.logins = tap.commands().count("LOGIN")
        exit_code = program.stop()
        return judge(soak, program, recorder, is_short=is_short, late=late, exit_code=exit_code).end()


if __name__ == "__main__":
    sys.exit(main())
