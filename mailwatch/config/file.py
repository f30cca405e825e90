"""From a TOML file to the model: which sections there are, and what each says."""

from __future__ import annotations

import ipaddress
import re
import stat
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mailwatch import toml
from mailwatch.amazon import template
from mailwatch.amazon.template import Templates
from mailwatch.catalogue import LANGUAGES, Language, preferred
from mailwatch.config.model import DEFAULT_SEND, KINDS, Account, Channel, Config, Heartbeat, Watch
from mailwatch.config.source import Source
from mailwatch.config.values import Values
from mailwatch.errors import ConfigurationError, Fault
from mailwatch.request import Rollout, Rules
from mailwatch.secret import Secret
from mailwatch.trust import Provider

PASSWORD_KEYS = ("password_file", "password_env", "password_command")
URL_KEYS = ("url", "url_file", "url_env")
# Schemes that post to a receiver of one's own; without user and query their URL holds no secret.
_OWN_RECEIVERS = {"json", "jsons", "xml", "xmls", "form", "forms"}
_TIME = re.compile(r"^([01]\d|2[0-3]):[0-5]\d$")


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


def password_faults(config: Config) -> list[Fault]:
    """The accounts whose password can't be read now, all of them."""
    faults: list[Fault] = []
    for account in config.accounts:
        try:
            account.password()
        except ConfigurationError as fault:
            faults += fault.faults
    return faults


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


class _Reader(Values):
    """Reads the sections."""

    def config(self) -> Config | None:
        """The configuration, or None with faults noted."""
        self.known(self.data, _SECTIONS, "")
        watch = self._watch(self.table("watch"))
        rules = self._rules()
        templates = self._templates()
        accounts = self.each("accounts", self._account)
        channels = self.each("channels", self._channel)
        heartbeat = self._heartbeat(self.table("heartbeat")) if "heartbeat" in self.data else None
        self.unique("accounts", [account.name for account in accounts])
        self.unique("channels", [channel.name for channel in channels])
        self._fallbacks(channels)
        if watch is None or self.faults:
            return None
        return Config(watch, rules, templates, tuple(accounts), tuple(channels), heartbeat)

    # ---- sections ----

    def _watch(self, table: dict[str, Any]) -> Watch | None:
        self.known(table, _WATCH_KEYS, "watch.")
        zone = self.zone(self.text(table, "watch.time_zone", "Asia/Tokyo"))
        language = self.choice(table, "watch.language", LANGUAGES, "ja")
        morning = self.text(table, "watch.morning_line", "08:00", may_be_empty=True)
        if morning and not _TIME.match(morning):
            self.fault("config.not_time", "watch.morning_line", value=morning)
        days = self.number(table, "watch.lookback_days", 14, 1, 365)
        poll = self.number(table, "watch.poll_seconds", 60, 5, 3600)
        idle = self.number(table, "watch.idle_seconds", 60, 5, 1740)
        if zone is None:
            return None
        return Watch(
            timedelta(days=days), poll, idle, "en" if language == "en" else "ja", zone, self._state_dir(table), morning
        )

    def _rules(self) -> Rules:
        table = self.table("rollout")
        self.known(table, {"start", "days"}, "rollout.")
        start = table.get("start", Rollout().start)
        if isinstance(start, datetime) or not isinstance(start, date):
            self.fault("config.not_date", "rollout.start", value=start)
            start = Rollout().start
        days = self.number(table, "rollout.days", Rollout().days, 0, 3650)
        merge = self.duration(self.table("watch"), "watch.merge_within", "72h")
        return Rules(Rollout(start, int(days)), merge)

    def _templates(self) -> Templates:
        name = self.text(self.table("watch"), "watch.templates", "", may_be_empty=True)
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
        self.known(table, _ACCOUNT_KEYS | {"password"}, where)
        if "password" in table:
            self.fault("config.password_inline", f"{where}password")
        preset = self._preset(table, where)
        name = self.name(table, where)
        host = self.required({**preset, **table}, f"{where}host")
        user = self.required(table, f"{where}user")
        is_plain = self.choice(table, f"{where}tls", ("implicit", "off"), "implicit") == "off"
        if is_plain and host and not _is_loopback(host):
            self.fault("config.plain_host", f"{where}tls", host=host)
        port = self.number(table, f"{where}port", 143 if is_plain else 993, 1, 65535)
        source = self._source(table, PASSWORD_KEYS, where)
        if not (name and host and user and source):
            return None
        return Account(
            name=name,
            host=host,
            port=int(port),
            is_plain=is_plain,
            ca_file=self.existing(table, f"{where}ca_file"),
            provider=self._provider({**preset, **table}, where),
            user=user,
            folders=self.texts(table, f"{where}folders", ("INBOX", "\\Junk")),
            seller=self.text(table, f"{where}seller", "shop"),
            password_source=source,
        )

    def _provider(self, table: dict[str, Any], where: str) -> Provider:
        authserv_id = self.text(table, f"{where}authserv_id", "", may_be_empty=True)
        return Provider(authserv_id or None, self.texts(table, f"{where}received_by", ()))

    def _preset(self, table: dict[str, Any], where: str) -> dict[str, Any]:
        presets = toml.packaged("mailwatch", "providers.toml")
        name = self.text(table, f"{where}provider", "", may_be_empty=True)
        if name and name not in presets:
            self.fault("config.unknown_provider", f"{where}provider", value=name, known=", ".join(sorted(presets)))
        found: dict[str, Any] = presets.get(name, {})
        return found

    def _channel(self, table: dict[str, Any], where: str) -> Channel | None:
        self.known(table, _CHANNEL_KEYS, where)
        name = self.name(table, where)
        send = self.texts(table, f"{where}send", DEFAULT_SEND)
        for kind in send:
            if kind not in KINDS:
                self.fault("config.unknown_kind", f"{where}send", value=kind, known=", ".join(KINDS))
        url = self._url(table, where)
        if url and name and (problem := _channel_problem(url.reveal())):
            self.fault(problem, f"{where}url")
        if not (name and url):
            return None
        return Channel(name, url, frozenset(send), self.texts(table, f"{where}fallback_for", ()))

    def _heartbeat(self, table: dict[str, Any]) -> Heartbeat | None:
        self.known(table, _HEARTBEAT_KEYS, "heartbeat.")
        url = self._url(table, "heartbeat.")
        if url and urlsplit(url.reveal()).scheme not in {"http", "https"}:
            self.fault("config.heartbeat_scheme", "heartbeat.url")
        every = self.duration(table, "heartbeat.every", "5m")
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
            url = self.text(table, f"{where}url", "")
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
        place = self.text(table, f"{where}{given[0]}", "")
        return Source(given[0].rpartition("_")[2], place, self.folder) if place else None

    def _state_dir(self, table: dict[str, Any]) -> Path:
        if given := self.text(table, "watch.state_dir", "", may_be_empty=True):
            return self.folder / Path(given).expanduser()
        if systemd := self.environment.get("STATE_DIRECTORY"):
            return Path(systemd.split(":")[0])
        return Path(self.environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "mailwatch"


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
