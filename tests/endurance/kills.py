"""R1: kill -9 of the real `mailwatch run` at random moments while mails arrive. See README.md here.

PYTHONPATH=tests python -m endurance.kills [--short] [--seed N] [--plant NAME]
"""

from __future__ import annotations

import argparse
import contextlib
import email
import email.policy
import random
import re
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import mails
from beds.dovecot import Dovecot
from beds.recorder import Recorder
from beds.wire import wait_until

from .bench import LINE, PLACES, PLAIN, Figures, Program, beds, copied, integrity, say, told
from .planted import PLANTS

FULL, SHORT = (1000, 3000), (60, 300)
_BEGUN = "SELECT *, alert ->> 'order_id' AS order_id FROM outbox WHERE settled_at IS NULL AND attempts > 0"
_ORDER = re.compile(r"\d{3}-\d{7}-\d{7}")
_READING = "SELECT folder, uid, begun FROM reading WHERE process IS NOT NULL"
_ASIDE = re.compile(r"set_aside account=\S+ folder=(\S+) uid=(\d+)")
# So many ends of the process over one mail, and it is told as unreadable: it may be its fault.
_HOPELESS = 3
# A life in seconds, beyond what the program needs to watch both folders (which the machine's other work stretches).
BEYOND = 0.8


def season(count: int, rng: random.Random) -> tuple[list[bytes], set[str]]:
    """`count` mails in a random order, and the orders that must be told.

    Of ten: four are two requests that come by both routes, one a request by one route, one a wish, four neighbours.
    """
    both = [mails.order_id(number) for number in range(count // 5)]
    one = [mails.order_id(number, 249) for number in range(count // 10)]
    wished = [mails.order_id(number, 250) for number in range(count // 10)]
    arriving = [make(order) for order in both for make in (mails.by_message, mails.by_notification)]
    arriving += [rng.choice((mails.by_message, mails.by_notification))(order) for order in one]
    arriving += [mails.wish(order) for order in wished]
    arriving += [mails.neighbour(number) for number in range(count - len(arriving))]
    rng.shuffle(arriving)
    return arriving, {*both, *one, *wished}


class Killing:
    """Starts and kills the program, and counts what a kill hit."""

    def __init__(self, program: Program, server: Dovecot, recorder: Recorder, rng: random.Random) -> None:
        self._program, self._server, self._recorder, self._rng = program, server, recorder, rng
        self.modes: Counter[str] = Counter()
        self.in_window: dict[str, Counter[str]] = {name: Counter() for name in PLACES}
        self.kills_in_window: Counter[str] = Counter()
        self._attempts: Counter[str] = Counter()
        self.kills_over: Counter[tuple[str, int]] = Counter()
        self._readings: Counter[tuple[str, int]] = Counter()
        self.lived = 0.0
        self._until_watching = 0.8
        self._longest = BEYOND

    def once(self, chunk: list[bytes]) -> None:
        """One life: mails come before it starts or while it watches, and it is killed at some moment."""
        self._longest = self._until_watching + BEYOND
        if self._rng.random() < 0.3:
            self._deliver(chunk)
            chunk = []
        began = time.monotonic()
        self._program.start()
        over = threading.Event()
        with ThreadPoolExecutor(1) as thread:
            arriving = thread.submit(self._deliver_when_watching, chunk, over)
            self._wait_for_the_moment()
            self._program.kill()
            over.set()
            arriving.result()
        self.lived += time.monotonic() - began
        self._look()

    def _deliver(self, chunk: list[bytes]) -> None:
        if chunk:
            self._server.deliver_all(chunk)

    def _deliver_when_watching(self, chunk: list[bytes], over: threading.Event) -> None:
        began = time.monotonic()
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: over.is_set() or self._program.said().count("connected account") >= 2)
        passed = time.monotonic() - began
        if not over.is_set() or passed > self._until_watching:
            self._until_watching += 0.1 * (passed - self._until_watching)
        self._deliver(chunk)

    def _wait_for_the_moment(self) -> None:
        """At random since the start; soon after some mails were recorded; soon after some alerts arrived."""
        mode = self._rng.choices(("time", "recorded", "accepted"), (4, 3, 3))[0]
        self.modes[mode] += 1
        if mode == "time":
            self._live(self._rng.uniform(0.0, self._longest))
            return
        program, some = self._program, self._rng.randint(1, 4)
        place = self._rng.choice(list(PLACES.values()))
        before = len(self._recorder.requests(place))
        with contextlib.suppress(TimeoutError):
            if mode == "recorded":
                wait_until(lambda: program.said().count("noticed account") >= some, self._longest)
            else:
                self._recorder.wait_for(before + some, self._longest, place)
        self._live(self._rng.uniform(0.0, 0.025 if mode == "recorded" else 0.008))

    def _live(self, seconds: float) -> None:
        """The life itself is what passes here; ends early only with the process."""
        with contextlib.suppress(Exception):
            self._program.process.wait(seconds)

    def _look(self) -> None:
        """Which alerts were begun in this life and not settled: each may come once more. And which mails were read."""
        begun = copied(self._program, _BEGUN)
        for name in PLACES:
            hit = [row for row in begun if row["channel"] == name and row["attempts"] > self._attempts[row["id"]]]
            self._attempts.update({row["id"]: row["attempts"] - self._attempts[row["id"]] for row in hit})
            self.kills_in_window[name] += bool(hit)
            self.in_window[name].update(str(row["order_id"]) for row in hit)
        for row in copied(self._program, _READING):
            mail = row["folder"], row["uid"]
            self.kills_over[mail] += row["begun"] > self._readings[mail]
            self._readings[mail] = row["begun"]

    def aside(self) -> dict[tuple[str, int], str]:
        """Return the mails that were set aside, by folder and UID, each with the order that it names, or ""."""
        found = {}
        for folder, uid in _ASIDE.findall(self._program.log.read_text()):
            mail = self._server.mail(int(uid), folder)
            text = email.message_from_bytes(mail, policy=email.policy.default).get_content()
            order = _ORDER.search(text)
            found[folder, int(uid)] = order[0] if order else ""
        return found


def main() -> int:
    """Run it; the exit code."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--short", action="store_true", help=f"{SHORT[0]} kills over {SHORT[1]} mails")
    options.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options.add_argument("--plant", choices=sorted(PLANTS), default="")
    given = options.parse_args()
    kills, count = SHORT if given.short else FULL
    rng = random.Random(given.seed)  # noqa: S311 - a seed makes a run come again
    began = time.monotonic()
    with (
        beds("mailwatch-kills-") as (folder, server, recorder),
        Program(folder, server, recorder, plant=given.plant) as program,
    ):
        program.first_start()
        arriving, wanted = season(count, rng)
        killing = Killing(program, server, recorder, rng)
        for number in range(kills):
            killing.once(arriving[number * count // kills : (number + 1) * count // kills])
            if number % 100 == 99:
                say(f"{number + 1} kills, {len(recorder.delivered())} accepted, {time.monotonic() - began:.0f} s")
        say(f"killed for {time.monotonic() - began:.0f} s, {len(recorder.delivered())} accepted")
        program.start()
        is_done = True
        try:
            wait_until(lambda: program.recorded == count and program.owed == 0, 120, "everything recorded and told")
        except TimeoutError:
            is_done = False
        program.kill()
        return report(given, killing, program, recorder, wanted, is_done, time.monotonic() - began)


def report(
    given: argparse.Namespace,
    killing: Killing,
    program: Program,
    recorder: Recorder,
    wanted: set[str],
    is_done: bool,
    seconds: float,
) -> int:
    """The figures, and which bars they hold."""
    figures = Figures(f"kills, seed {given.seed}{', planted: ' + given.plant if given.plant else ''}, {seconds:.0f} s")
    figures.note("kills", sum(killing.modes.values()))
    for mode, times in sorted(killing.modes.items()):
        figures.note(f"  by {mode}", times)
    figures.note("mean life, s", f"{killing.lived / sum(killing.modes.values()):.2f}")
    figures.note("orders to be told", len(wanted))
    figures.bar("everything recorded and settled at the end", is_done, "yes", holds=is_done)
    aside = killing.aside()
    early = [mail for mail in aside if killing.kills_over[mail] < _HOPELESS]
    figures.note("mails set aside", len(aside))
    figures.bar(f"set aside and hit by fewer than {_HOPELESS} kills", len(early), "0", holds=not early)
    for name in PLACES:
        found = told(recorder, name)
        lost = wanted - found.orders - set(aside.values())
        figures.bar(f"{name}: lost", len(lost), "0", holds=not lost)
        hidden = max(0, len(aside) - found.unreadable)
        figures.bar(f"{name}: set aside and not told", hidden, "0", holds=hidden == 0)
        strange = found.orders - wanted
        figures.bar(f"{name}: told without reason", len(strange), "0", holds=not strange)
        figures.note(f"{name}: kills between begin and settle", killing.kills_in_window[name])
        figures.note(f"{name}: digests, faults told", f"{found.digests}, {len(found.faults)}")
        repeats = found.repeats
        if name == LINE:
            figures.note(f"{name}: sends refused as repeats (409)", len(recorder.repeats))
            figures.bar(f"{name}: accepted twice", sum(repeats.values()), "0", holds=not repeats)
            continue
        over = repeats - killing.in_window[PLAIN]
        figures.bar(f"{name}: duplicates", sum(repeats.values()), "each in a window that a kill hit", holds=not over)
        unmarked = repeats - found.marked
        figures.bar(f"{name}: duplicates not marked", sum(unmarked.values()), "0", holds=not unmarked)
    sound = integrity(program.store)
    figures.bar("integrity_check", sound, "ok", holds=sound == "ok")
    return figures.end()


if __name__ == "__main__":
    sys.exit(main())
