"""R2, and the store's part of R4: the program stops at every step, and every write of the store fails.

PYTHONPATH=tests python -m endurance.failpoints [--short] [--only steps|calls|disk]
Needs root and strace (calls), root (disk).
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import mails
from beds.dovecot import Dovecot
from beds.recorder import Recorder
from beds.wire import wait_until

from .bench import LINE, PLACES, PLAIN, Figures, Program, Told, beds, copied, integrity, say, told
from .planted import EXIT_CODE, OF_A_CHANNEL, STEPS

# Between "the channel accepted" and "the mark is on disk": the one window.
WINDOW = ("after send", "before settle", "before commit of settle")
CALLS = ("pwrite64", "fdatasync", "fsync", "unlink")
FAULTS = {"EIO": "error=EIO", "ENOSPC": "error=ENOSPC", "SIGKILL": "signal=SIGKILL"}
_number = itertools.count(1)


@dataclass(slots=True)
class Result:
    """What became of the mails of one case."""

    what: str
    lost: Counter[str] = field(default_factory=Counter)
    repeats: Counter[str] = field(default_factory=Counter)
    unmarked: int = 0
    seconds: float = 0.0
    trouble: str = ""

    @property
    def line(self) -> str:
        """One line of a report."""
        figures = " ".join(f"{name}: lost {self.lost[name]}, twice {self.repeats[name]}" for name in PLACES)
        return f"  {self.what:<46} {figures}  {self.seconds:5.1f} s {self.trouble}"


class Case:
    """A request and a wish that come in one case, and what is told of them."""

    def __init__(self, what: str, program: Program, server: Dovecot, recorder: Recorder) -> None:
        self._program, self._recorder = program, recorder
        number = next(_number)
        self._orders = {mails.order_id(number), mails.order_id(number, 250)}
        self._since = {name: len(recorder.delivered(place)) for name, place in PLACES.items()}
        self.result = Result(what)
        self._began = time.monotonic()
        request, wished = sorted(self._orders, reverse=True)
        self._mails = [mails.by_notification(request), mails.wish(wished), mails.neighbour(10 * number + 7)]
        self._server = server

    def deliver(self) -> None:
        """Let the mails come."""
        self._server.deliver_all(self._mails)

    def told(self, channel: str) -> Told:
        """What the channel accepted since the case began."""
        return told(self._recorder, channel, self._since[channel])

    @property
    def is_told(self) -> bool:
        """Whether all is told on both channels, and marked."""
        return all(self._orders <= self.told(name).orders for name in PLACES) and self._program.owed == 0

    def end(self, seconds: float = 90.0) -> Result:
        """Wait until all is told; what was lost and what came twice."""
        result = self.result
        try:
            wait_until(lambda: self.is_told or not self._program.is_alive, seconds)
        except TimeoutError:
            result.trouble = self._why()
        else:
            if not self._program.is_alive:
                result.trouble = f"ended with {self._program.process.returncode}"
        for name in PLACES:
            found = self.told(name)
            result.lost[name] = len(self._orders - found.orders)
            result.repeats[name] = sum(found.repeats.values())
            result.unmarked += sum((found.repeats - found.marked).values())
        self._program.kill()
        sound = integrity(self._program.store)
        if sound != "ok":
            result.trouble += f" integrity_check: {sound}"
        result.seconds = time.monotonic() - self._began
        return result

    def _why(self) -> str:
        """Where the mails are, and what the program is at: it is aborted."""
        read = [tuple(row) for row in copied(self._program, "SELECT uid, begun, failed, died FROM reading")]
        known = [row["uid"] for row in copied(self._program, "SELECT uid FROM mail ORDER BY uid DESC LIMIT 3")]
        on_server = self._server.uids()[-3:]
        return f"not all told; on the server {on_server}, recorded {known}, begun {read}\n{self._program.stacks()}"


# ---- every step ----


def step_cases(*, short: bool) -> Iterator[tuple[str, str, str]]:
    """(step, action, channel); the short form takes the actions in turn, but all of the window."""
    for number, step in enumerate(STEPS):
        for channel in PLACES if step in OF_A_CHANNEL else ("",):
            for action in ("die", "raise"):
                in_turn = (action == "die") == bool(number % 2) and channel != LINE
                if in_turn or step in WINDOW or not short:
                    yield step, action, channel


def at_steps(figures: Figures, *, short: bool) -> None:
    """Die or raise at each step, once."""
    results: list[tuple[str, str, Result]] = []
    with beds("mailwatch-steps-") as (folder, server, recorder), Program(folder / "run", server, recorder) as program:
        program.first_start()
        for step, action, channel in step_cases(short=short):
            case = Case(f"{action} {step} {channel}".strip(), program, server, recorder)
            case.deliver()
            program.start(f"{step}:{action}" + (f":{channel}" if channel else ""))
            hit_at = f"failpoint {step}"
            program.wait(lambda: hit_at in program.said(), 30, f"{step} was reached")  # noqa: B023 - called at once
            if action == "die":
                code = program.process.wait(10)
                case.result.trouble = "" if code == EXIT_CODE else f"exit code {code}"
                program.start()
            results.append((step, channel, case.end()))
            say(results[-1][2].line)
    every = [result for _, _, result in results]
    outside = [result for step, _, result in results if step not in WINDOW and result.repeats.total()]
    inside = [result for step, channel, result in results if step in WINDOW and channel == PLAIN]
    once = [result for result in inside if result.repeats[PLAIN] == 1]
    figures.note("steps", len({step for step, _, _ in results}))
    figures.note("failpoints", len(results))
    shared_bars(figures, "failpoints", every)
    figures.bar("failpoints: outside the window, duplicates at", len(outside), "0", holds=not outside)
    figures.bar(
        "failpoints: in the window, plain: exactly one at",
        f"{len(once)} of {len(inside)}",
        "each",
        holds=len(once) == len(inside) > 0,
    )


def shared_bars(figures: Figures, what: str, results: list[Result]) -> None:
    """What holds whatever fails."""
    lost = sum(result.lost.total() for result in results)
    twice = sum(result.repeats[LINE] for result in results)
    unmarked = sum(result.unmarked for result in results)
    trouble = [result for result in results if result.trouble]
    figures.bar(f"{what}: lost", lost, "0", holds=not lost)
    figures.bar(f"{what}: LINE accepted twice", twice, "0", holds=not twice)
    figures.bar(f"{what}: duplicates not marked", unmarked, "0", holds=not unmarked)
    figures.bar(f"{what}: damaged or not recovered", len(trouble), "0", holds=not trouble)
    figures.note(f"{what}: slowest, s", f"{max((result.seconds for result in results), default=0):.1f}")


# ---- every system call of the store ----


@contextlib.contextmanager
def traced(program: Program, call: str, fault: str, when: str) -> Iterator[Path]:
    """strace on the running program: the store's `when`-th such call fails; its trace."""
    trace = program.folder / "trace"
    paths = [program.store, program.state / "mailwatch.sqlite-journal", program.state]
    wanted = [argument for path in paths for argument in ("-P", str(path))]
    command = ["strace", "-f", "-qq", "-o", str(trace), *wanted, "-e", f"trace={call}"]
    if fault:
        command += ["-e", f"inject={call}:{fault}:when={when}"]
    trace.unlink(missing_ok=True)
    process = program.process.pid
    tracer = subprocess.Popen([*command, "-p", str(process)], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _is_traced(process), 20, "strace")
        yield trace
    finally:
        if "KILL" not in fault:
            tracer.terminate()
        try:
            # Of a process that is killed it sees the end by itself; told to end meanwhile, it waits for ever.
            tracer.wait(5)
        except subprocess.TimeoutExpired:
            tracer.kill()
            tracer.wait()


def _is_traced(process: int) -> bool:
    tasks = list(Path(f"/proc/{process}/task").glob("*/status"))
    return bool(tasks) and all("TracerPid:\t0\n" not in task.read_text() for task in tasks)


def watching(program: Program) -> None:
    """Start it and wait until both folders are watched."""
    program.start()
    program.wait(lambda: program.said().count("connected account") == 2, 60, "both folders watched")


def call_cases(counts: dict[str, int], *, short: bool) -> Iterator[tuple[str, str, str]]:
    """(call, fault, when); the short form takes a sample, spread over the whole way."""
    number = 0
    for call, count in counts.items():
        # Two threads write at once: the number of a call is not the same each time, so some beyond the last.
        every = range(1, count + count // 10 + 2)
        for fault, at in itertools.product(FAULTS, every):
            number += 1
            if not short or number % max(1, sum(counts.values()) * len(FAULTS) // 14) == 0:
                yield call, fault, str(at)
    for fault in ("EIO", "ENOSPC"):
        some = range(1, counts["pwrite64"], 40) if short else range(1, counts["pwrite64"], 8)
        for at in some:
            yield "pwrite64", fault, f"{at}+"


def at_calls(figures: Figures, *, short: bool) -> None:
    """Fail each of the store's writes once; for the lasting ones the fault ends after it was noticed."""
    results: list[Result] = []
    reached = 0
    with beds("mailwatch-calls-") as (folder, server, recorder), Program(folder / "run", server, recorder) as program:
        program.first_start()
        counts = {call: calls_of(call, program, server, recorder) for call in CALLS}
        for call, count in counts.items():
            figures.note(f"{call} in a case without a fault", count)
        for call, fault, when in call_cases({c: n for c, n in counts.items() if n}, short=short):
            case = Case(f"{fault} at {call} {when}", program, server, recorder)
            watching(program)
            # Also after all was told, while the tracer was about to end.
            is_hit = fail(case, program, call, fault, when) or not program.is_alive
            if fault == "SIGKILL" and is_hit:
                program.process.wait(10)
                program.start()
            reached += is_hit
            results.append(case.end())
            if results[-1].trouble or results[-1].repeats.total() or not short:
                say(results[-1].line)
    figures.note("system calls failed", reached)
    shared_bars(figures, "calls", results)
    many = [result for result in results if result.repeats[PLAIN] > 1]
    figures.bar("calls: more than one duplicate at", len(many), "0", holds=not many)


def fail(case: Case, program: Program, call: str, fault: str, when: str) -> bool:
    """Let the mails come while the fault waits; whether it was met. One that lasts is over once it was noticed."""
    with traced(program, call, FAULTS[fault], when) as trace:
        case.deliver()

        def is_met() -> bool:
            return "(INJECTED)" in trace.read_text() or "+++ killed" in trace.read_text() or not program.is_alive

        wait_until(lambda: is_met() or case.is_told, 60, "the fault")
        if when.endswith("+") and is_met():
            program.wait(lambda: "store_failed" in program.said(), 60, "the fault was noticed")
        elif fault != "SIGKILL":
            wait_until(lambda: case.is_told or not program.is_alive, 90, "all told")
        return is_met()


def calls_of(call: str, program: Program, server: Dovecot, recorder: Recorder) -> int:
    """How often the store makes this call in one case."""
    case = Case(f"count {call}", program, server, recorder)
    watching(program)
    with traced(program, call, "", "") as trace:
        case.deliver()
        wait_until(lambda: case.is_told, 60, "all told")
    result = case.end()
    if result.lost.total():
        raise RuntimeError(result.line)
    return trace.read_text().count(f"{call}(")


# ---- a disk that is full, and then has room again ----


@contextlib.contextmanager
def small_disk(at: Path, kilobytes: int) -> Iterator[Path]:
    """A file system of its own, of that size."""
    at.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,mode=700", "tmpfs", str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


def fill(disk: Path, leave: int) -> Path:
    """Fill it up to `leave` kilobytes."""
    filler = disk / "filler"
    free = os.statvfs(disk)
    filler.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - leave * 1024)))
    return filler


def on_full_disks(figures: Figures, *, short: bool) -> None:
    """The disk is full but for some kilobytes when mails come, until that was noticed five times over."""
    results: list[Result] = []
    with (
        beds("mailwatch-disk-") as (folder, server, recorder),
        Program(folder / "run", server, recorder) as program,
        small_disk(program.state, 4096),
    ):
        program.first_start()
        for leave in (0, 8, 16, 24, 32, 40) if short else range(0, 68, 4):
            results.append(full_disk(Case(f"{leave} KB free", program, server, recorder), program, leave))
            say(results[-1].line)
        program.kill()
    shared_bars(figures, "disk", results)


def full_disk(case: Case, program: Program, leave: int) -> Result:
    """One of them."""
    watching(program)
    filler = fill(program.state, leave)
    case.deliver()
    try:
        program.wait(lambda: case.is_told or program.said().count("where=shop/INBOX") >= 5, 90, "noticed five times")
    finally:
        filler.unlink()
    return case.end()


PARTS = {"steps": at_steps, "calls": at_calls, "disk": on_full_disks}


def main() -> int:
    """Run it; the exit code."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--short", action="store_true", help="a sample")
    options.add_argument("--only", choices=PARTS, default="")
    given = options.parse_args()
    began = time.monotonic()
    figures = Figures("failpoints")
    chosen: Iterable[str] = [given.only] if given.only else PARTS
    for name in chosen:
        PARTS[name](figures, short=given.short)
    figures.note("seconds", f"{time.monotonic() - began:.0f}")
    return figures.end()


if __name__ == "__main__":
    sys.exit(main())
