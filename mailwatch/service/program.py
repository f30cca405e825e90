"""The running program and what it needs, copied to where the unit may run it. No network: what is here is copied."""

from __future__ import annotations

import re
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import mailwatch
from mailwatch.service import places
from mailwatch.service.system import ServiceError, call

_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?([^;]*)(?:;(.*))?$")
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")
_LAUNCHER = '#!/bin/sh\nexec "{python}" -I -m mailwatch "$@"\n'
_PROBE = (
    "import sys, sysconfig, ssl, sqlite3, venv;"
    "print(sys.base_prefix); print(sysconfig.get_path('stdlib')); print(sysconfig.get_config_var('SOABI'))"
)
_TRY = "import mailwatch.run, mailwatch.cli; from mailwatch import transport; transport.warm_up()"


def distributions(name: str = "mailwatch") -> list[metadata.Distribution]:
    """What is installed of a distribution and of all that it requires. Raises `ServiceError` where a part is missing.

    Markers other than `extra` are not judged: what they ask for is taken where it is installed.
    """
    found: dict[str, metadata.Distribution] = {}
    asked: list[tuple[str, frozenset[str], bool]] = [(name, frozenset(), True)]
    done: set[tuple[str, frozenset[str]]] = set()
    while asked:
        wanted, extras, is_needed = asked.pop()
        if (wanted, extras) in done:
            continue
        done.add((wanted, extras))
        try:
            found[wanted] = metadata.distribution(wanted)
        except metadata.PackageNotFoundError:
            if is_needed:
                raise ServiceError("service.not_installed", name=wanted) from None
            continue
        asked += requirements(found[wanted].requires or [], extras)
    return [found[each] for each in sorted(found)]


def requirements(lines: list[str], extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str], bool]]:
    """(name, its extras, whether it must be there) of each requirement that counts with these extras (PEP 508)."""
    for line in lines:
        parts = _REQUIREMENT.match(line)
        if parts is None:
            continue
        marker = parts[4] or ""
        extra = _EXTRA.search(marker)
        if extra and extra[1] not in extras:
            continue
        name = re.sub(r"[-_.]+", "-", parts[1]).lower()
        yield name, frozenset(filter(None, re.split(r"[\s,]+", parts[2] or ""))), not marker.strip()


def interpreter() -> Path:
    """A Python of our own version and kind that the unit can reach. Raises `ServiceError` where there is none."""
    own = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = Path(getattr(sys, "_base_executable", sys.executable) or sys.executable).resolve()
    for path in (base, Path("/usr/bin") / own, Path("/usr/local/bin") / own):
        if path.is_file() and is_reachable(path) and _is_alike(path):
            return path
    raise ServiceError("service.no_interpreter", path=base, version=own)


def is_reachable(path: Path) -> bool:
    """Whether a user other than its owner reaches a path in the unit's sandbox."""
    whole = path.resolve()
    return not places.is_hidden(whole) and all(each.stat().st_mode & 0o001 for each in (whole, *whole.parents))


def _is_alike(path: Path) -> bool:
    """Whether it has all that we need of the standard library, reachable too, and loads our compiled modules."""
    try:
        prefix, library, abi = call(path, "-I", "-c", _PROBE).splitlines()
    except (ServiceError, ValueError):
        return False
    is_open = not any(places.is_hidden(Path(each).resolve()) for each in (prefix, library))
    return is_open and abi == str(sysconfig.get_config_var("SOABI"))


def copy(python: Path, parts: list[metadata.Distribution], prefix: Path) -> None:
    """Put the program below the prefix, in place of an earlier one once the new one runs. Raises `ServiceError`."""
    new, old, final = prefix / "venv.new", prefix / "venv.old", prefix / "venv"
    try:
        for folder in (new, old):
            shutil.rmtree(folder, ignore_errors=True)
        prefix.mkdir(parents=True, exist_ok=True)
        call(python, "-I", "-m", "venv", "--without-pip", "--symlinks", new)
        site = new / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        for part in parts:
            _copy_part(part, site)
        _copy_folder(Path(mailwatch.__file__).parent, site / "mailwatch")
        _open_to_all(new)
        _open_to_all(prefix, deep=False)
        call(new / "bin/python", "-I", "-m", "compileall", "-q", site)
        call(new / "bin/python", "-I", "-c", _TRY)
        if final.exists():
            final.rename(old)
        new.rename(final)
        shutil.rmtree(old, ignore_errors=True)
        _launcher(prefix / "bin" / "mailwatch", final / "bin" / "python")
    except OSError as fault:
        raise ServiceError("service.unwritable", path=fault.filename or prefix, why=fault.strerror) from None


def _copy_part(part: metadata.Distribution, site: Path) -> None:
    """The files of one distribution; its commands, which lie elsewhere, are not needed."""
    if part.files is None:
        raise ServiceError("service.no_record", name=part.metadata["Name"])
    for file in part.files:
        source = Path(str(part.locate_file(file)))
        if ".." in file.parts or "__pycache__" in file.parts or not source.is_file() or file.suffix == ".pth":
            continue
        target = site.joinpath(*file.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _copy_folder(source: Path, target: Path) -> None:
    """Our own package as it runs, which may be a checkout that is installed in place."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), copy_function=shutil.copyfile)


def _open_to_all(folder: Path, *, deep: bool = True) -> None:
    """Everyone may read and run what is there, whatever root's umask: only root may change it."""
    for path in [folder, *(folder.rglob("*") if deep else ())]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)


def _launcher(path: Path, python: Path) -> None:
    """A command for those who may not run the seller's own copy: `sudo -u mailwatch /opt/mailwatch/bin/mailwatch …`."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(_LAUNCHER.format(python=python), "utf-8")
    _open_to_all(path.parent)
