"""The configuration: one TOML file in, a `Config` out, or all its faults at once.

The keys are fixed in design section 6 and explained in config.example.toml. Secrets stay `Secret`; a password is read
when it is needed (`Account.password`), so that a changed one counts without a restart.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import stat
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mailwatch import toml
from mailwatch.amazon import template
from mailwatch.amazon.template import Templates
from mailwatch.catalogue import LANGUAGES, Language, preferred
from mailwatch.errors import ConfigurationError, Fault
from mailwatch.request import Rollout, Rules
from mailwatch.secret import Secret
from mailwatch.trust import Provider

KINDS = ("request", "wish", "possible", "unreadable", "cancelled", "fault", "digest")
DEFAULT_SEND = ("request", "wish", "possible", "unreadable", "fault", "digest")
PASSWORD_KEYS = ("password_file", "password_env", "password_command")
URL_KEYS = ("url", "url_file", "url_env")
# Schemes that post to a receiver of one's own; without user and query their URL holds no secret.
_OWN_RECEIVERS = {"json", "jsons", "xml", "xmls", "form", "forms"}
_DURATION = re.compile(r"^\s*(\d{1,6})\s*([smhd])\s*$")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_TIME = re.compile(r"^([01]\d|2[0-3]):[0-5]\d$")
_NAME = re.compile(r"^[0-9A-Za-z][0-9A-Za-z._-]{0,39}$")
_COMMAND_SECONDS = 30
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Watch:
    """`[watch]`. `state_dir` is where the store is; `time_zone` is for display only."""

    lookback: timedelta
    poll_seconds: float
    idle_seconds: float
    language: Language
    time_zone: ZoneInfo
    state_dir: Path
    morning_line: str


@dataclass(frozen=True, slots=True)
class Account:
    """One of `[[accounts]]`."""

    name: str
    host: str
    port: int
    is_plain: bool
    ca_file: Path | None
    provider: Provider
    user: str
    folders: tuple[str, ...]
    seller: str
    password_source: Source

    def password(self) -> Secret:
        """The password as it is now. Raises `ConfigurationError` where it can't be read."""
        return self.password_source.read(f"accounts.{self.name}")


@dataclass(frozen=True, slots=True)
class Channel:
    """One of `[[channels]]`: where alerts go, and which."""

    name: str
    url: Secret
    send: frozenset[str]
    fallback_for: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """`[heartbeat]`."""

    url: Secret
    every: timedelta


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, valid."""

    watch: Watch
    rules: Rules
    templates: Templates
    accounts: tuple[Account, ...]
    channels: tuple[Channel, ...]
    heartbeat: Heartbeat | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a secret is: in a file, an environment variable, or the output of a command."""

    kind: str
    place: str
    folder: Path

    def read(self, key: str) -> Secret:
        """The secret, without its line end. Raises `ConfigurationError` naming `key`."""
        readers = {"file": self._from_file, "env": self._from_environment, "command": self._from_command}
        text = readers[self.kind](key)
        if not text:
            raise ConfigurationError([Fault("config.secret_empty", {"key": key, "place": self.place})])
        return Secret(text)

    def _from_file(self, key: str) -> str:
        path = self.folder / Path(self.place).expanduser()
        try:
            if path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
                raise ConfigurationError([Fault("config.secret_open", {"key": key, "path": str(path)})])
            return path.read_text("utf-8").strip("\r\n")
        except (OSError, UnicodeDecodeError) as fault:
            why = fault.strerror if isinstance(fault, OSError) else "not UTF-8"
            raise ConfigurationError(
                [Fault("config.secret_file", {"key": key, "path": str(path), "why": str(why)})]
            ) from None

    def _from_environment(self, key: str) -> str:
        if self.place not in os.environ:
            raise ConfigurationError([Fault("config.secret_env", {"key": key, "name": self.place})])
        return os.environ[self.place]

    def _from_command(self, key: str) -> str:
        try:
            # The seller's own command line out of the seller's own file, as with git's credential helpers.
            done = subprocess.run(  # noqa: S602
                self.place,
                shell=True,
                capture_output=True,
                timeout=_COMMAND_SECONDS,
                stdin=subprocess.DEVNULL,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ConfigurationError(
                [Fault("config.secret_command", {"key": key, "why": f"{_COMMAND_SECONDS} s"})]
            ) from None
        if done.returncode:
            raise ConfigurationError([Fault("config.secret_command", {"key": key, "why": f"exit {done.returncode}"})])
        return done.stdout.decode("utf-8", "replace").strip("\r\n")


def find(given: str | None, environment: Mapping[str, str]) -> Path:
    """The file to read: `--config`, $MAILWATCH_CONFIG, the user's configuration folder, /etc. The first that is named
    or exists; the user's own where none does."""
    if named := given or environment.get("MAILWATCH_CONFIG"):
        return Path(named)
    own = Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "mailwatch" / "config.toml"
    system = Path("/etc/mailwatch/config.toml")
    return system if not own.exists() and system.exists() else own


def load(path: Path, environment: Mapping[str, str]) -> Config:
    """Read and check a configuration. Raises `ConfigurationError`."""
    data = _read(path)
    reader = _Reader(data, path, environment)
    config = reader.config()
    if reader.faults or config is None:
        raise ConfigurationError(reader.faults)
    return config


def parse_duration(text: str) -> timedelta | None:
    """`72h`, `5m`, `0s`, `3d`; None for anything else."""
    found = _DURATION.match(text)
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None


def language_of(path: Path, environment: Mapping[str, str]) -> Language:
    """The language to complain in: the file's, where that much of it can be read, else the locale's."""
    try:
        chosen = toml.parse(path.read_bytes()).get("watch", {}).get("language")
    except (OSError, toml.TomlFault, AttributeError):
        chosen = None
    return chosen if chosen in LANGUAGES else preferred(environment)


def _read(path: Path) -> dict[str, Any]:
    try:
        return toml.parse(path.read_bytes())
    except FileNotFoundError:
        raise ConfigurationError([Fault("config.no_file", {"path": str(path)})]) from None
    except OSError as fault:
        raise ConfigurationError(
            [Fault("config.unreadable", {"path": str(path), "why": str(fault.strerror)})]
        ) from None
    except toml.TomlFault as fault:
        fields = {"path": str(path), "line": str(fault.line or "?"), "why": str(fault)}
        raise ConfigurationError([Fault("config.not_toml", fields)]) from None


_SECTIONS = {"watch", "rollout", "accounts", "channels", "heartbeat"}
_WATCH_KEYS = {
    "lookback_days", "poll_seconds", "idle_seconds", "language", "time_zone", "merge_within", "state_dir", "templates",
    "morning_line",
}  # fmt: skip
_ACCOUNT_KEYS = {
    "name", "provider", "host", "port", "tls", "ca_file", "authserv_id", "received_by", "user", "folders", "seller",
    *PASSWORD_KEYS,
}  # fmt: skip
_CHANNEL_KEYS = {"name", "send", "fallback_for", *URL_KEYS}
_HEARTBEAT_KEYS = {"every", *URL_KEYS}


class _Reader:
    """Reads a table key by key and collects the faults instead of stopping at the first."""

    def __init__(self, data: dict[str, Any], path: Path, environment: Mapping[str, str]) -> None:
        self.data = data
        self.path = path
        self.folder = path.absolute().parent
        self.environment = environment
        self.faults: list[Fault] = []

    def fault(self, key: str, where: str, **fields: object) -> None:
        """Note a fault of the key `where`."""
        self.faults.append(Fault(key, {"key": where, **{name: str(value) for name, value in fields.items()}}))

    def config(self) -> Config | None:
        """The configuration, or None with faults noted."""
        self._known(self.data, _SECTIONS, "")
        watch = self._watch(self._table("watch"))
        rules = self._rules()
        templates = self._templates()
        accounts = self._each("accounts", self._account)
        channels = self._each("channels", self._channel)
        heartbeat = self._heartbeat(self._table("heartbeat")) if "heartbeat" in self.data else None
        self._unique("accounts", [account.name for account in accounts])
        self._unique("channels", [channel.name for channel in channels])
        self._fallbacks(channels)
        if watch is None or self.faults:
            return None
        return Config(watch, rules, templates, tuple(accounts), tuple(channels), heartbeat)

    # ---- sections ----

    def _watch(self, table: dict[str, Any]) -> Watch | None:
        self._known(table, _WATCH_KEYS, "watch.")
        zone = self._zone(self._text(table, "watch.time_zone", "Asia/Tokyo"))
        language = self._choice(table, "watch.language", LANGUAGES, "ja")
        morning = self._text(table, "watch.morning_line", "08:00", may_be_empty=True)
        if morning and not _TIME.match(morning):
            self.fault("config.not_time", "watch.morning_line", value=morning)
        days = self._number(table, "watch.lookback_days", 14, 1, 365)
        poll = self._number(table, "watch.poll_seconds", 60, 5, 3600)
        idle = self._number(table, "watch.idle_seconds", 60, 5, 1740)
        if zone is None:
            return None
        return Watch(
            timedelta(days=days), poll, idle, "en" if language == "en" else "ja", zone, self._state_dir(table), morning
        )

    def _rules(self) -> Rules:
        table = self._table("rollout")
        self._known(table, {"start", "days"}, "rollout.")
        start = table.get("start", Rollout().start)
        if isinstance(start, datetime) or not isinstance(start, date):
            self.fault("config.not_date", "rollout.start", value=start)
            start = Rollout().start
        days = self._number(table, "rollout.days", Rollout().days, 0, 3650)
        merge = self._duration(self._table("watch"), "watch.merge_within", "72h")
        return Rules(Rollout(start, int(days)), merge)

    def _templates(self) -> Templates:
        name = self._text(self._table("watch"), "watch.templates", "", may_be_empty=True)
        if not name:
            return template.shipped()
        path = self.folder / Path(name).expanduser()
        try:
            return template.with_own(path.read_bytes())
        except OSError as fault:
            self.fault("config.file_unreadable", "watch.templates", path=path, why=fault.strerror)
        except template.TemplateFaults as faults:
            self.faults += [Fault(fault.key, {"path": str(path), **fault.fields}) for fault in faults.faults]
        return template.shipped()

    def _account(self, table: dict[str, Any], where: str) -> Account | None:
        self._known(table, _ACCOUNT_KEYS | {"password"}, where)
        if "password" in table:
            self.fault("config.password_inline", f"{where}password")
        preset = self._preset(table, where)
        name = self._name(table, where)
        host = self._required({**preset, **table}, f"{where}host")
        user = self._required(table, f"{where}user")
        is_plain = self._choice(table, f"{where}tls", ("implicit", "off"), "implicit") == "off"
        if is_plain and host and not _is_loopback(host):
            self.fault("config.plain_host", f"{where}tls", host=host)
        port = self._number(table, f"{where}port", 143 if is_plain else 993, 1, 65535)
        source = self._source(table, PASSWORD_KEYS, where)
        if not (name and host and user and source):
            return None
        return Account(
            name=name,
            host=host,
            port=int(port),
            is_plain=is_plain,
            ca_file=self._existing(table, f"{where}ca_file"),
            provider=self._provider({**preset, **table}, where),
            user=user,
            folders=self._texts(table, f"{where}folders", ("INBOX", "\\Junk")),
            seller=self._text(table, f"{where}seller", "shop"),
            password_source=source,
        )

    def _provider(self, table: dict[str, Any], where: str) -> Provider:
        authserv_id = self._text(table, f"{where}authserv_id", "", may_be_empty=True)
        return Provider(authserv_id or None, self._texts(table, f"{where}received_by", ()))

    def _preset(self, table: dict[str, Any], where: str) -> dict[str, Any]:
        presets = toml.packaged("mailwatch", "providers.toml")
        name = self._text(table, f"{where}provider", "", may_be_empty=True)
        if name and name not in presets:
            self.fault("config.unknown_provider", f"{where}provider", value=name, known=", ".join(sorted(presets)))
        found: dict[str, Any] = presets.get(name, {})
        return found

    def _channel(self, table: dict[str, Any], where: str) -> Channel | None:
        self._known(table, _CHANNEL_KEYS, where)
        name = self._name(table, where)
        send = self._texts(table, f"{where}send", DEFAULT_SEND)
        for kind in send:
            if kind not in KINDS:
                self.fault("config.unknown_kind", f"{where}send", value=kind, known=", ".join(KINDS))
        url = self._url(table, where)
        if url and name and (problem := _channel_problem(url.reveal())):
            self.fault(problem, f"{where}url")
        if not (name and url):
            return None
        return Channel(name, url, frozenset(send), self._texts(table, f"{where}fallback_for", ()))

    def _heartbeat(self, table: dict[str, Any]) -> Heartbeat | None:
        self._known(table, _HEARTBEAT_KEYS, "heartbeat.")
        url = self._url(table, "heartbeat.")
        if url and urlsplit(url.reveal()).scheme not in {"http", "https"}:
            self.fault("config.heartbeat_scheme", "heartbeat.url")
        every = self._duration(table, "heartbeat.every", "5m")
        return Heartbeat(url, every) if url else None

    def _fallbacks(self, channels: list[Channel]) -> None:
        names = {channel.name for channel in channels}
        for channel in channels:
            for other in channel.fallback_for:
                if other not in names or other == channel.name:
                    self.fault("config.unknown_channel", f"channels.{channel.name}.fallback_for", value=other)

    # ---- secrets ----

    def _url(self, table: dict[str, Any], where: str) -> Secret | None:
        if "url" in table and sum(key in table for key in URL_KEYS) == 1:
            url = self._text(table, f"{where}url", "")
            if url and _holds_secret(url) and _others_can_read(self.path):
                self.fault("config.open_to_others", f"{where}url", path=self.path)
            return Secret(url) if url else None
        source = self._source(table, URL_KEYS, where)
        if source is None:
            return None
        try:
            return source.read(f"{where}url")
        except ConfigurationError as fault:
            self.faults += fault.faults
            return None

    def _source(self, table: dict[str, Any], keys: tuple[str, ...], where: str) -> Source | None:
        given = [key for key in keys if key in table]
        if len(given) != 1:
            self.fault("config.one_of", f"{where}{keys[0]}", keys=", ".join(keys), given=len(given))
            return None
        place = self._text(table, f"{where}{given[0]}", "")
        return Source(given[0].rpartition("_")[2], place, self.folder) if place else None

    # ---- values ----

    def _each(self, name: str, read: Callable[[dict[str, Any], str], _T | None]) -> list[_T]:
        rows = self.data.get(name, [])
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
            self.fault("config.no_rows", name)
            return []
        made = [read(row, f"{name}[{number}].") for number, row in enumerate(rows, 1)]
        return [each for each in made if each is not None]

    def _table(self, name: str) -> dict[str, Any]:
        table = self.data.get(name, {})
        if isinstance(table, dict):
            return table
        if not any(fault.fields.get("key") == name for fault in self.faults):
            self.fault("config.not_table", name)
        return {}

    def _known(self, table: dict[str, Any], known: set[str], where: str) -> None:
        for key in table:
            if key not in known:
                close = difflib.get_close_matches(key, known, 1)
                self.fault(
                    "config.unknown_key_close" if close else "config.unknown_key", where + key, close="".join(close)
                )

    def _text(self, table: dict[str, Any], where: str, default: str, *, may_be_empty: bool = False) -> str:
        value = table.get(where.rpartition(".")[2], default)
        if not isinstance(value, str) or "\n" in value or "\x00" in value:
            self.fault("config.not_text", where)
            return default
        if not value.strip() and not may_be_empty:
            self.fault("config.empty", where)
        return value.strip()

    def _required(self, table: dict[str, Any], where: str) -> str:
        if where.rpartition(".")[2] not in table:
            self.fault("config.missing", where)
            return ""
        return self._text(table, where, "")

    def _name(self, table: dict[str, Any], where: str) -> str:
        name = self._required(table, f"{where}name")
        if name and not _NAME.match(name):
            self.fault("config.bad_name", f"{where}name", value=name)
        return name

    def _texts(self, table: dict[str, Any], where: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = table.get(where.rpartition(".")[2], list(default))
        if not isinstance(value, list) or not all(isinstance(text, str) and text.strip() for text in value):
            self.fault("config.not_texts", where)
            return default
        if not value and default:
            self.fault("config.empty", where)
        return tuple(value)

    def _number(self, table: dict[str, Any], where: str, default: float, least: float, most: float) -> float:
        value = table.get(where.rpartition(".")[2], default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fault("config.not_number", where)
            return default
        if not least <= value <= most:
            self.fault("config.out_of_range", where, value=value, least=f"{least:g}", most=f"{most:g}")
            return default
        return value

    def _choice(self, table: dict[str, Any], where: str, choices: tuple[str, ...], default: str) -> str:
        value = table.get(where.rpartition(".")[2], default)
        if value not in choices:
            self.fault("config.not_choice", where, value=value, choices=", ".join(choices))
            return default
        return str(value)

    def _duration(self, table: dict[str, Any], where: str, default: str) -> timedelta:
        value = table.get(where.rpartition(".")[2], default)
        found = parse_duration(value) if isinstance(value, str) else None
        if found is None:
            self.fault("config.not_duration", where, value=value)
        return found or timedelta()

    def _zone(self, name: str) -> ZoneInfo | None:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.fault("config.unknown_zone", "watch.time_zone", value=name)
            return None

    def _existing(self, table: dict[str, Any], where: str) -> Path | None:
        name = self._text(table, where, "", may_be_empty=True)
        if not name:
            return None
        path = self.folder / Path(name).expanduser()
        if not path.is_file():
            self.fault("config.file_unreadable", where, path=path, why="no such file")
        return path

    def _state_dir(self, table: dict[str, Any]) -> Path:
        if given := self._text(table, "watch.state_dir", "", may_be_empty=True):
            return self.folder / Path(given).expanduser()
        if systemd := self.environment.get("STATE_DIRECTORY"):
            return Path(systemd.split(":")[0])
        return Path(self.environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "mailwatch"

    def _unique(self, where: str, names: list[str]) -> None:
        for name in {name for name in names if names.count(name) > 1}:
            self.fault("config.twice", where, value=name)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() in {"localhost", "localhost.localdomain"}


def _others_can_read(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH))


def _holds_secret(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme not in _OWN_RECEIVERS or bool(parts.query) or "@" in parts.netloc


def _channel_problem(url: str) -> str | None:
    """What of an apprise URL would break a promise (traps section 3); apprise itself reads it later, in `transport`."""
    if not re.match(r"^[a-z][a-z0-9+.-]*://\S", url, re.IGNORECASE):
        return "config.not_url"
    query = urlsplit(url).query.lower()
    if re.search(r"(?:^|&)optional=(?:yes|true|1|on|t|y)", query):
        return "config.url_optional"
    if re.search(r"(?:^|&)verify=(?:no|false|0|off|f|n)", query):
        return "config.url_verify"
    if re.search(r"(?:^|&)format=(?!text)", query):
        return "config.url_format"
    return None
