"""How the time of reading grows with the mail: each pattern and each known trick pumped to 4, 32 and 256 KB.

python benchmarks/growth.py [--all] [WORD ...]     (WORD: only rows whose name holds one of the words)

Each row is read in a process of its own, with 60 s of CPU at most. The growth is that from 32 to 256 KB, where 8 is
linear. Shown are the rows of known tricks, then of the patterns' own pumps the slowest ten and all that grow more than
12-fold; with --all each of them.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from beds import pumped

SIZES = (4, 32, 256)
CPU_SECONDS = 60
SLOWEST = 10


def main() -> None:
    """Measure and print."""
    wanted = [word for word in sys.argv[1:] if word != "--all"]
    tricks, patterns = (
        [row for row in rows if not wanted or any(word in row.name for word in wanted)]
        for rows in (pumped.tricks(), pumped.rows())
    )
    print(f"{'4 KB':>8} {'32 KB':>8} {'256 KB':>8}  growth  peak MB  row")
    for row in tricks:
        print(line(row, measure(row)), flush=True)
    found = [(row, measure(row)) for row in patterns]
    found.sort(key=lambda one: one[1][0], reverse=True)
    shown = [each for at, each in enumerate(found) if "--all" in sys.argv or at < SLOWEST or growth(each[1][0]) > 12]
    for row, measured in shown:
        print(line(row, measured))
    print(f"{len(found)} pumps of {len(pumped.patterns())} patterns")


def measure(row: pumped.Row) -> tuple[list[float], float]:
    """CPU seconds at each size as far as the limit allows, the slowest first; and the peak of memory in MB."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        for size in SIZES:
            data = row.make(size * 1024)
            began = time.process_time()
            row.read(data)
            os.write(write_end, f"{time.process_time() - began}\n".encode())
        os._exit(0)
    os.close(write_end)
    _, _, used = os.wait4(child, 0)
    with os.fdopen(read_end) as answers:
        seconds = [float(answer) for answer in answers]
    seconds += [float("inf")] * (len(SIZES) - len(seconds))
    return seconds[::-1], used.ru_maxrss / 1024


def growth(seconds: list[float]) -> float:
    """From the middle size to the largest; below 2 ms the clock says nothing."""
    return seconds[0] / max(seconds[1], 0.002)


def line(row: pumped.Row, measured: tuple[list[float], float]) -> str:
    """A row of the table."""
    seconds, peak = measured
    return " ".join(f"{each:8.3f}" for each in seconds[::-1]) + f"  {growth(seconds):6.1f}  {peak:7.0f}  {row.name}"


if __name__ == "__main__":
    main()
