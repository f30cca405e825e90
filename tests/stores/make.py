"""Make the dump of a store as an earlier mailwatch left it.

python tests/stores/make.py CHECKOUT > tests/stores/NAME.sql     (CHECKOUT: a tree of that mailwatch)

It runs that program on a mailbox with three requests: the first was told, the second was told and marked done, the
third is owed, for the receiver answers 503. NAME is the commit. A schema's dump is made before the schema is changed.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import mails
from beds.recorder import Recorder
from beds.scripted import PASSWORD, USER, ScriptedImap
from beds.wire import wait_until

TOLD, DONE, OWED = (mails.order_id(number) for number in (1, 2, 3))
ARRIVED = datetime(2026, 11, 1, 3, 0, tzinfo=UTC)
CONFIG = """
[watch]
state_dir = "{folder}/state"
idle_seconds = 60

[[accounts]]
name = "shop"
host = "127.0.0.1"
port = {port}
tls = "off"
user = "{user}"
password_file = "{folder}/password"
authserv_id = "{authserv_id}"
folders = ["INBOX"]

[[channels]]
name = "slack"
url = "{url}"
"""


def main() -> None:
    """Print the dump."""
    checkout = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name, ScriptedImap() as server, Recorder() as receiver:
        folder = Path(name)
        (folder / "password").write_text(f"{PASSWORD}\n")
        (folder / "password").chmod(0o600)
        where = {"folder": folder, "port": server.port, "url": receiver.url("/hook")}
        text = CONFIG.format(user=USER, authserv_id=mails.AUTHSERV_ID, **where)
        (folder / "config.toml").write_text(text)
        process = subprocess.Popen(
            [sys.executable, "-m", "mailwatch", "--config", str(folder / "config.toml"), "run"],
            cwd=checkout,
            env=os.environ | {"PYTHONPATH": str(checkout)},
        )
        try:
            live(server, receiver)
        finally:
            process.terminate()
            process.wait(30)
        with closing(sqlite3.connect(folder / "state" / "mailwatch.sqlite")) as store:
            # As the command `done` does, which the first of them did not have.
            store.execute("UPDATE request SET state = 'done' WHERE order_id = ?", [DONE])
            store.commit()
            [version] = store.execute("PRAGMA user_version").fetchone()
            sys.stdout.write("\n".join([*store.iterdump(), f"PRAGMA user_version = {version};", ""]))


def live(server: ScriptedImap, receiver: Recorder) -> None:
    """Let three requests come, the last of which is not accepted."""
    wait_until(lambda: "IDLE" in server.commands(), 60, "IDLE")
    for order in (TOLD, DONE):
        server.deliver(mails.by_notification(order), when=ARRIVED)
    told = [receiver.wait_for(number, seconds=60) for number in (1, 2)]
    assert all(order in str([request.json for request in told[-1]]) for order in (TOLD, DONE))
    receiver.plan("/hook", *[503] * 100)
    server.deliver(mails.by_notification(OWED), when=ARRIVED)
    receiver.wait_for(3, seconds=60)


if __name__ == "__main__":
    main()
