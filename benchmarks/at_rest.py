"""`run` at rest: memory, threads, CPU time, and how soon after its start the folders are in IDLE, on a real Dovecot.

python benchmarks/at_rest.py [--accounts 1 20] [--seconds 600]      (needs dovecot-imapd, dovecot-lmtpd)
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import mails
from beds.dovecot import Dovecot
from beds.tap import Tap

ACCOUNT = """
[[accounts]]
name = "shop{number}"
host = "127.0.0.1"
port = {port}
tls = "off"
user = "seller@example.test"
password_file = "password"
authserv_id = "{authserv_id}"
received_by = ["{received_by}"]
folders = ["INBOX", "\\\\Junk"]
"""


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--accounts", type=int, nargs="+", default=[1, 20])
    options.add_argument("--seconds", type=float, default=600.0)
    given = options.parse_args()
    for accounts in given.accounts:
        measure(accounts, given.seconds)


def measure(accounts: int, seconds: float) -> None:
    """Start `run` with so many accounts of two folders each, and leave it alone for so long."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Dovecot(max_connections=100) as server,
        Tap(server.port) as tap,
    ):
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "mailwatch", "--config", configured(Path(folder), tap.port, accounts), "run"],
            stderr=subprocess.DEVNULL,
        )
        try:
            tap.wait_for("IDLE", count=1, seconds=60)
            first = time.monotonic() - began
            tap.wait_for("IDLE", count=2 * accounts, seconds=60)
            every = time.monotonic() - began
            time.sleep(10)  # apprise is loaded after the first IDLE
            spent = cpu_seconds(process.pid)
            time.sleep(seconds)
            an_hour = (cpu_seconds(process.pid) - spent) * 3600 / seconds
            fields = [line.split() for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()]
            status = {name.rstrip(":"): value for name, value, *_ in (each for each in fields if len(each) > 1)}
        finally:
            process.terminate()
            process.wait(10)
    print(f"{accounts} accounts, {seconds:.0f} s at rest")
    print(f"  first IDLE after {first:.2f} s, all {2 * accounts} after {every:.2f} s")
    print(f"  resident {int(status['VmRSS']) / 1024:.1f} MiB, at most {int(status['VmHWM']) / 1024:.1f} MiB")
    print(f"  {status['Threads']} threads, {an_hour:.2f} CPU seconds an hour", flush=True)


def configured(folder: Path, port: int, accounts: int) -> str:
    """A configuration in the folder; its path."""
    (folder / "password").write_text("pass-one\n")
    (folder / "password").chmod(0o600)
    provider = {"authserv_id": mails.AUTHSERV_ID, "received_by": mails.RECEIVED_BY[0]}
    tables = [ACCOUNT.format(number=number, port=port, **provider) for number in range(accounts)]
    channel = "[[channels]]\nname = 'nobody'\nurl = 'json://127.0.0.1:9/'\n"
    (folder / "config.toml").write_text(f"[watch]\nstate_dir = '{folder}/state'\n" + "".join(tables) + channel)
    return str(folder / "config.toml")


def cpu_seconds(pid: int) -> float:
    """User and system time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
