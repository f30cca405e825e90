"""Memory, threads and CPU time of `run` at rest: one account, two folders in IDLE on a real Dovecot.

python benchmarks/at_rest.py [SECONDS]      (600 by default; needs dovecot-imapd, dovecot-lmtpd)
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from beds.dovecot import Dovecot
from beds.recorder import Recorder
from beds.tap import Tap
from test_run_dovecot import watcher


def main() -> None:
    """Measure once and print."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
    with (
        tempfile.TemporaryDirectory() as folder,
        Dovecot() as server,
        Tap(server.port) as tap,
        Recorder() as recorder,
        watcher(Path(folder), tap.port, recorder, merge="72h", start="2022-06-06", days=14) as process,
    ):
        tap.wait_for("IDLE", count=2)
        began = cpu_seconds(process.pid)
        time.sleep(seconds)
        status = Path(f"/proc/{process.pid}/status").read_text()
        wanted = [line for line in status.splitlines() if line.startswith(("VmRSS", "VmHWM", "Threads"))]
        print(f"after {seconds:.0f} s at rest:", *(" ".join(line.split()) for line in wanted), sep="\n  ")
        print(f"  CPU seconds per hour: {(cpu_seconds(process.pid) - began) * 3600 / seconds:.2f}")


def cpu_seconds(pid: int) -> float:
    """User and system time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
