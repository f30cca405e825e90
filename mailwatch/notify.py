"""What `run` tells the service manager: the protocol of sd_notify(3), in the standard library.

Every call is silent where nobody listens and never raises: a manager that went away must not end the watching.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time

_MANAGER = "NOTIFY_SOCKET"


def ready(status: str) -> None:
    """The start or the reload is over; `status` is one line for people."""
    _send("READY=1", _status(status))


def reloading() -> None:
    """A reload begins; `ready` ends it. The time lets systemd 253 and later tell this reload from an earlier one."""
    _send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    """A clean end begins."""
    _send("STOPPING=1")


def status(text: str) -> None:
    """One line for people: what `systemctl status` shows."""
    _send(_status(text))


def alive() -> None:
    """Feed the watchdog. Only on proof that every worker goes on (traps section 5)."""
    _send("WATCHDOG=1")


def watchdog_seconds() -> float | None:
    """After how long without `alive` the manager ends this process; None where it never does (sd_watchdog_enabled(3)).

    The variables may be meant for a parent of ours, which is what WATCHDOG_PID says.
    """
    with contextlib.suppress(ValueError):
        usec = int(os.environ.get("WATCHDOG_USEC", "0"))
        meant = int(os.environ.get("WATCHDOG_PID") or os.getpid())
        return usec / 1e6 if usec > 0 and meant == os.getpid() else None
    return None


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())


def _send(*lines: str) -> None:
    """One datagram; "@" begins the name of an abstract socket, whose first byte is 0."""
    address = os.environ.get(_MANAGER, "")
    if address[:1] not in {"/", "@"}:
        return
    with contextlib.suppress(OSError, ValueError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        # A manager that does not read must not hold us.
        sender.settimeout(1.0)
        sender.sendto("\n".join(lines).encode("utf-8", "replace"), "\0" + address[1:] if address[0] == "@" else address)
