"""`service install`: what can be refused is looked at first; then step by step, each said before it is done."""

from __future__ import annotations

import grp
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from mailwatch import config, database, toml
from mailwatch.errors import ConfigurationError, Fault
from mailwatch.service import places, program, settings, system, unit
from mailwatch.service.settings import Settings
from mailwatch.service.step import Step
from mailwatch.service.system import ServiceError

_LAST_LINES = "10"
_MOVED = ".before-service"


def install(given: str | None, prefix: Path, *, is_dry: bool) -> Iterator[Fault]:
    """Put the service in place and start it; or make an earlier one new. Yields a sentence before each step.

    `given`: the configuration; else the one that is installed, else the seller's own. `is_dry`: say the steps and do
    nothing. Raises `UsageError` for what root or the prefix lacks, `ConfigurationError`, and `ServiceError`.
    """
    system.check_root()
    system.check_systemd()
    if not prefix.is_absolute() or places.is_hidden(prefix) or any(each in str(prefix) for each in ' \t%"\\$'):
        raise ServiceError("service.bad_prefix", path=prefix)
    source = _source(given)
    wanted = _settings(source)
    python, parts = program.interpreter(), program.distributions()
    old_state = _old_state(source)
    _check_no_other(old_state)
    for step in _steps(source, wanted, old_state, prefix, lambda: program.copy(python, parts, prefix)):
        yield step.said
        if not is_dry:
            step.do()


def _steps(
    source: Path, wanted: Settings, old_state: Path, prefix: Path, copy_program: Callable[[], None]
) -> Iterator[Step]:
    yield Step(Fault("service.step_user", {"user": places.USER}), _make_user)
    yield Step(Fault("service.step_program", {"path": str(prefix)}), copy_program)
    yield Step(Fault("service.step_config", {"path": str(places.CONFIG)}), lambda: _write_settings(wanted))
    if wanted.secrets:
        yield Step(Fault("service.step_secrets", {"path": str(places.CREDENTIALS)}), lambda: _write_secrets(wanted))
    for key in wanted.outside:
        yield Step(Fault("service.secret_outside", {"key": key}))
    if (old_state / database.FILE_NAME).is_file() and not (places.STATE / database.FILE_NAME).exists():
        fields = {"old": str(old_state), "path": str(places.STATE)}
        yield Step(Fault("service.step_store", fields), lambda: _take_store(old_state))
    text = unit.text(prefix, sorted(wanted.secrets))
    yield Step(Fault("service.step_unit", {"path": str(places.UNIT)}), lambda: _start(text))
    if source == _own():
        fields = {"old": str(source), "new": source.name + _MOVED, "path": str(places.CONFIG)}
        yield Step(Fault("service.step_own_config", fields), lambda: source.rename(source.with_name(fields["new"])))
    if person := system.seller():
        name = person.pw_name
        yield Step(
            Fault("service.step_group", {"user": name, "group": places.GROUP}),
            lambda: system.call("usermod", "-aG", places.GROUP, name),
        )
    yield Step(Fault("service.done_state", {"path": str(places.STATE), "prefix": str(prefix)}))


# ---- looking first ----


def _source(given: str | None) -> Path:
    """The configuration to install. Raises `ConfigurationError` where there is none."""
    named = given or os.environ.get("MAILWATCH_CONFIG")
    path = Path(named) if named else places.CONFIG if places.CONFIG.exists() else _own()
    if not path.exists():
        raise ConfigurationError([Fault("config.no_file", {"path": str(path)})])
    return path.absolute()


def _own() -> Path:
    """The configuration in the home of whoever asks."""
    return _home() / ".config" / places.NAME / "config.toml"


def _home() -> Path:
    person = system.seller()
    return Path(person.pw_dir) if person else Path.home()


def _settings(source: Path) -> Settings:
    """What will be installed; read and checked as the service will read it. Raises as `install`."""
    try:
        data = source.read_bytes()
        wanted = settings.for_service(data, source.parent, _home())
    except OSError as fault:
        raise ConfigurationError([config.unreadable(source, fault)]) from None
    except (toml.TomlFault, UnicodeDecodeError):
        config.load(source, os.environ)
        raise
    with tempfile.TemporaryDirectory(prefix="mailwatch-") as staged:
        _check(wanted, Path(staged))
    return wanted


def _check(wanted: Settings, folder: Path) -> None:
    """Read it as the service will. A secret that comes from elsewhere can only be had there."""
    (folder / places.CONFIG.name).write_text(wanted.text, "utf-8")
    for name, data in {**wanted.files, **wanted.secrets}.items():
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o600)
    config.load(folder / places.CONFIG.name, {}, with_passwords=not wanted.outside)


def _old_state(source: Path) -> Path:
    """Where the seller's own `run` keeps its store with this configuration."""
    if source == places.CONFIG:
        return places.STATE
    given = str(toml.parse(source.read_bytes()).get("watch", {}).get("state_dir", ""))
    if not given:
        return _home() / ".local" / "state" / places.NAME
    return _home() / given[2:] if given.startswith("~/") else source.parent / given


def _check_no_other(state: Path) -> None:
    """Refuse while the seller's own `run` is at work: two would tell everything twice. Raises `ServiceError`."""
    if state != places.STATE and database.is_locked(state):
        raise ServiceError("service.other_run", path=state)


# ---- doing ----


def _make_user() -> None:
    """Make what is missing: a group with members, such as the seller, outlives its user (userdel(8))."""
    if system.group(places.GROUP) is None:
        system.call("groupadd", "--system", places.GROUP)
    if system.user(places.USER) is None:
        options = ("--system", "--gid", places.GROUP, "--no-create-home", "--home-dir", places.STATE)
        system.call("useradd", *options, "--shell", "/usr/sbin/nologin", places.USER)


def _group() -> int:
    return grp.getgrnam(places.GROUP).gr_gid


def _write_settings(wanted: Settings) -> None:
    """Root alone may change it; the service and the members of its group may read it."""
    system.folder(places.CONFIG.parent, 0o755)
    for name, data in wanted.files.items():
        system.write(places.CONFIG.parent / name, data, 0o640, _group())
    system.write(places.CONFIG, wanted.text.encode(), 0o640, _group())


def _write_secrets(wanted: Settings) -> None:
    system.folder(places.CREDENTIALS, 0o700)
    for name, data in wanted.secrets.items():
        system.write(places.CREDENTIALS / name, data, 0o600)


def _take_store(old: Path) -> None:
    """The seller's own store goes on: else all of the look-back would be told again."""
    owner = system.user(places.USER)
    uid = owner.pw_uid if owner else 0
    system.folder(places.STATE, 0o750, _group(), uid)
    path = places.STATE / database.FILE_NAME
    try:
        with closing(sqlite3.connect(old / database.FILE_NAME)) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)
        os.chown(path, uid, _group())
        path.chmod(0o640)
    except (OSError, sqlite3.Error) as fault:
        path.unlink(missing_ok=True)
        raise ServiceError("service.store_not_taken", path=old, why=fault) from None


def _start(text: str) -> None:
    """Start it, or start it anew; systemd comes back when it has said that it is ready. Raises `ServiceError`."""
    system.write(places.UNIT, text.encode(), 0o644)
    system.call("systemctl", "daemon-reload")
    system.call("systemctl", "enable", "--quiet", places.NAME)
    try:
        system.call("systemctl", "restart", places.NAME)
    except ServiceError:
        lines = system.call("journalctl", "-u", places.NAME, "-n", _LAST_LINES, "-o", "cat", "--no-pager")
        raise ServiceError("service.not_started", lines=lines.strip() or "-") from None
