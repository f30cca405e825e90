"""Root, and the tools of the system that the service is made with."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import subprocess
import sys
from pathlib import Path

from mailwatch import command
from mailwatch.errors import MailwatchError, UsageError

_SECONDS = 120


class ServiceError(MailwatchError):
    """The service can't be put in place, taken away or looked at."""


def check_root() -> None:
    """Raise `UsageError` with the command to type where we are not root."""
    if os.geteuid() != 0:
        raise UsageError("service.not_root", command="sudo " + command.whole(*sys.argv[1:]))


def check_systemd() -> None:
    """Raise `ServiceError` where systemd does not run this machine (sd_booted(3))."""
    if not Path("/run/systemd/system").is_dir():
        raise ServiceError("service.no_systemd")


def call(*tool: str | Path) -> str:
    """Run a tool; its output. Raises `ServiceError` with what it complained of."""
    try:
        done = subprocess.run(  # noqa: S603 - our own commands, no shell
            [str(part) for part in tool],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            cwd="/",
        )
    except (OSError, subprocess.TimeoutExpired) as fault:
        why = f"{_SECONDS} s" if isinstance(fault, subprocess.TimeoutExpired) else fault.strerror
        raise ServiceError("service.tool_failed", command=tool[0], why=why) from None
    if done.returncode:
        why = " ".join((done.stderr or done.stdout).split())[-300:] or f"exit {done.returncode}"
        raise ServiceError("service.tool_failed", command=shlex.join(str(part) for part in tool)[:200], why=why)
    return done.stdout


def seller() -> pwd.struct_passwd | None:
    """The person behind `sudo`; None where root logged in as such."""
    try:
        name = os.environ.get("SUDO_USER", "")
        return pwd.getpwnam(name) if name and name != "root" else None
    except KeyError:
        return None


def user(name: str) -> pwd.struct_passwd | None:
    """A user of this system, if there is one."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def group(name: str) -> grp.struct_group | None:
    """Return a group of this system; None where there is none."""
    try:
        return grp.getgrnam(name)
    except KeyError:
        return None


def write(path: Path, data: bytes, mode: int, group: int = 0) -> None:
    """Write a file of root's, never open to more than `mode`, whole or not at all. Raises `ServiceError`."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchown(file.fileno(), 0, group)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
    except OSError as fault:
        raise ServiceError("service.unwritable", path=path, why=fault.strerror) from None


def folder(path: Path, mode: int, group: int = 0, owner: int = 0) -> None:
    """Make a folder, or set its rights. Raises `ServiceError`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, owner, group)
        path.chmod(mode)
    except OSError as fault:
        raise ServiceError("service.unwritable", path=path, why=fault.strerror) from None
