"""Alerts a second, CPU time and memory of `run` when many requests come at once, on a real Dovecot and HTTP receiver.

python benchmarks/throughput.py [--mails 500] [--rounds 2] [TREE ...]      (needs dovecot-imapd, dovecot-lmtpd)

TREE: checkouts of mailwatch to compare, by turns in one run (default: this one); all run with this Python and its
libraries. Each mail is a verified request of its own and is told singly, in order. Time is on the wall, from the moment
when all mails lie in the Maildir to the last alert's arrival.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import mails
from beds.dovecot import NOBODY, USER, Dovecot
from beds.recorder import Recorder
from beds.wire import wait_until

HERE = Path(__file__).resolve().parent.parent
CONFIG = """
[watch]
state_dir = "{folder}/state"

[[accounts]]
name = "shop"
host = "127.0.0.1"
port = {port}
tls = "off"
user = "{user}"
password_file = "{folder}/password"
authserv_id = "{authserv_id}"
received_by = ["{received_by}"]
folders = ["INBOX"]

[[channels]]
name = "receiver"
url = "{url}"
"""


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("trees", type=Path, nargs="*", default=[HERE], metavar="TREE")
    options.add_argument("--mails", type=int, default=500)
    options.add_argument("--rounds", type=int, default=2)
    given = options.parse_args()
    print(f"{given.mails} requests at once; alerts a second, CPU seconds, resident MiB before and after")
    for number in range(given.rounds):
        for tree in given.trees:
            print(f"round {number + 1}, {tree.resolve().name}: {measure(tree.resolve(), given.mails)}", flush=True)


def measure(tree: Path, count: int) -> str:
    """Start `run` out of the tree, let so many requests come, and wait for their alerts."""
    with tempfile.TemporaryDirectory() as folder, Dovecot() as server, Recorder() as receiver:
        process = subprocess.Popen(
            [sys.executable, "-m", "mailwatch", "--config", configured(Path(folder), server, receiver), "run"],
            cwd=tree,
            stderr=subprocess.DEVNULL,
        )
        try:
            server.deliver(mails.by_notification(mails.order_id(0)))
            receiver.wait_for(1, seconds=60)
            time.sleep(2)  # apprise is loaded after the first good search
            memory, spent = resident(process.pid), cpu_seconds(process.pid)
            put(server, [mails.by_notification(mails.order_id(number + 1)) for number in range(count)])
            began = time.monotonic()
            wait_until(lambda: len(receiver.posts()) > count, 600, "every alert")
            seconds = receiver.posts()[-1].at - began
            orders = {str(request.json) for request in receiver.posts()}
            time.sleep(1)
            after, cpu = resident(process.pid), cpu_seconds(process.pid) - spent
        finally:
            process.terminate()
            process.wait(20)
    if len(orders) <= count:
        raise SystemExit("an alert came twice")
    return f"{count / seconds:.1f} a second, {cpu:.1f} s, {memory:.1f} and {after:.1f} MiB"


def configured(folder: Path, server: Dovecot, receiver: Recorder) -> str:
    """A configuration in the folder; its path."""
    (folder / "password").write_text(f"{server.password}\n")
    (folder / "password").chmod(0o600)
    provider = {"authserv_id": mails.AUTHSERV_ID, "received_by": mails.RECEIVED_BY[0]}
    text = CONFIG.format(folder=folder, port=server.port, user=USER, url=receiver.url("/hook"), **provider)
    (folder / "config.toml").write_text(text)
    return str(folder / "config.toml")


def put(server: Dovecot, letters: list[bytes]) -> None:
    """Move all mails into the Maildir in one go: LMTP would be slower than what is measured."""
    maildir = server.home / "mail" / USER / "Maildir"
    for number, letter in enumerate(letters):
        path = maildir / "tmp" / f"{1_700_000_000 + number}.M{number}.bench"
        path.write_bytes(letter)
        if os.geteuid() == 0:
            shutil.chown(path, NOBODY, NOBODY)
    for path in sorted((maildir / "tmp").iterdir()):
        path.rename(maildir / "new" / path.name)


def resident(pid: int) -> float:
    """Resident memory, in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def cpu_seconds(pid: int) -> float:
    """User and system time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
