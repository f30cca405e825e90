"""From a TOML file to the model: which sections there are, and what each says."""

from __future__ import annotations

import ipaddress
import re
import ssl
import stat
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from mailwatch import providers, services, toml
from mailwatch.amazon import marketplace, template
from mailwatch.amazon.template import Templates
from mailwatch.catalogue import LANGUAGES, Language, preferred
from mailwatch.config import values
from mailwatch.config.model import DEFAULT_SEND, KINDS, Account, Channel, Config, Heartbeat, Watch
from mailwatch.config.source import Source
from mailwatch.config.values import Values, places, shown
from mailwatch.errors import ConfigurationError, Fault
from mailwatch.providers import Preset
from mailwatch.request import Rollout, Rules
from mailwatch.schedule import Hours
from mailwatch.secret import Secret
from mailwatch.trust import Provider

PASSWORD_KEYS = ("password_file", "password_env", "password_command")
URL_KEYS = ("url", "url_file", "url_env")
# Schemes that post to a receiver of one's own; without user and query their URL holds no secret.
_OWN_RECEIVERS = {"json", "jsons", "xml", "xmls", "form", "forms"}
# An option with any other value is refused: apprise reads `disable`, `always` and more as yes or no.
_YES = {"yes", "true", "1"}
_NO = {"no", "false", "0"}
_FOLDERS = ("INBOX", "\\Junk")
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://\S", re.IGNORECASE)
# apprise splits one text at commas and blanks into several services.
_SCHEMES = re.compile(r"(?:^|[\s,])[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# How tomli's words begin where a line is spelled wrong.
_SPELLING = ("Expected", "Invalid", "Unclosed", "Unterminated", "Unescaped", "Illegal", "Found invalid")
_TIME = re.compile(r"^([01][0-9]|2[0-3]):[0-5][0-9]$")


def find(given: str | None, environment: Mapping[str, str]) -> Path:
    """The file to read: `--config`, $MAILWATCH_CONFIG, the user's configuration folder, /etc. The first that is named
    or exists; the user's own where none does."""
    if named := given or environment.get("MAILWATCH_CONFIG"):
        return Path(named)
    own = own_path(environment)
    system = Path("/etc/mailwatch/config.toml")
    return system if not is_there(own) and is_there(system) else own


def is_there(path: Path) -> bool:
    """Whether there is such a file. One that may not be looked for counts as there: reading it says why."""
    try:
        return path.exists()
    except OSError:
        return True


def own_path(environment: Mapping[str, str]) -> Path:
    """The file in the user's configuration folder, whether it is there or not."""
    return Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "mailwatch" / "config.toml"


def load(
    path: Path,
    environment: Mapping[str, str],
    *,
    with_passwords: bool = True,
    is_usable: Callable[[Secret], bool] = lambda _: True,
) -> Config:
    """Read and check a configuration. Raises `ConfigurationError` with every fault.

    `with_passwords` False: they and the channels' URLs need not be readable (`scan`, `status`, `list`).
    `is_usable`: whether a channel can be made of a URL, where that is asked too (it loads apprise).
    """
    reader = _Reader(_read(path), path, environment, with_passwords, is_usable)
    config = reader.config()
    if reader.faults:
        raise ConfigurationError(reader.faults)
    return config


def faults_at(data: dict[str, Any], where: str) -> list[Fault]:
    """What `load` would say of one key of these sections, such as `accounts[1].host`; the other keys may be missing."""
    reader = _Reader(data, Path("config.toml"), {}, with_passwords=False, is_usable=lambda _: True)
    reader.config()
    return [fault for fault in reader.faults if fault.fields.get("key") == where]


def language_of(path: Path, environment: Mapping[str, str]) -> Language:
    """The language to complain in: the file's, where that much of it can be read, else the locale's."""
    try:
        chosen = toml.parse(path.read_bytes()).get("watch", {}).get("language")
    except (OSError, toml.TomlFault, AttributeError):
        chosen = None
    return chosen if chosen in LANGUAGES else preferred(environment)


def unreadable(path: Path, fault: OSError) -> Fault:
    """Why a configuration can't be read."""
    if isinstance(fault, FileNotFoundError):
        return Fault("config.no_file", {"path": str(path)})
    if isinstance(fault, IsADirectoryError):
        return Fault("config.is_folder", {"path": str(path)})
    return Fault("config.unreadable", {"path": str(path), "why": str(fault.strerror)})


def _read(path: Path) -> dict[str, Any]:
    try:
        return toml.parse(path.read_bytes())
    except OSError as fault:
        raise ConfigurationError([unreadable(path, fault)]) from None
    except toml.TomlFault as fault:
        fields = {"path": str(path), "line": str(fault.line or "?"), "why": str(fault)}
        raise ConfigurationError([Fault(_not_toml(str(fault)), fields)]) from None


def _not_toml(why: str) -> str:
    """The sentence with the advice that fits tomli's words."""
    if why.startswith(("Cannot ", "Duplicate ")):
        return "config.toml_twice"
    if why == "not UTF-8":
        return "config.toml_not_utf8"
    return "config.not_toml" if why.startswith(_SPELLING) else "config.toml_unreadable"


_SECTIONS = {"watch", "rollout", "accounts", "channels", "heartbeat"}
_WATCH_KEYS = {
    "lookback_days", "poll_seconds", "idle_seconds", "language", "time_zone", "merge_within", "state_dir", "templates",
    "morning_line", "quiet_hours",
}  # fmt: skip
_ACCOUNT_KEYS = {
    "name", "provider", "host", "port", "tls", "ca_file", "authserv_id", "received_by", "user", "folders", "seller",
    "done_folder", "marketplace", "forwarders", *PASSWORD_KEYS,
}  # fmt: skip
_CHANNEL_KEYS = {"name", "send", "fallback_for", "monthly_limit", *URL_KEYS}
_HEARTBEAT_KEYS = {"every", *URL_KEYS}


class _Reader(Values):
    """Reads the sections."""

    def __init__(
        self,
        data: dict[str, Any],
        file: Path,
        environment: Mapping[str, str],
        with_passwords: bool,
        is_usable: Callable[[Secret], bool],
    ) -> None:
        super().__init__(data, file.absolute().parent)
        self.file = file
        self.environment = environment
        self.with_passwords = with_passwords
        self.is_usable = is_usable

    def config(self) -> Config:
        """The configuration; it counts only where no fault was noted."""
        self.known(self.data, _SECTIONS, "")
        watch = self._watch(self.table("watch"))
        rules = self._rules()
        templates = self._templates()
        accounts = self.each("accounts", self._account)
        channels = self.each("channels", self._channel)
        table = self.table("heartbeat")
        heartbeat = self._heartbeat(table) if self.data.get("heartbeat") is table else None
        self.unique("accounts", [account.name for account in accounts])
        self.unique("channels", [channel.name for channel in channels])
        self._fallbacks(channels)
        return Config(watch, rules, templates, tuple(accounts), tuple(channels), heartbeat)

    # ---- sections ----

    def _watch(self, table: dict[str, Any]) -> Watch:
        self.known(table, _WATCH_KEYS, "watch.")
        return Watch(
            lookback=timedelta(days=self.number(table, "watch.lookback_days", 14, 1, 365)),
            poll_seconds=self.number(table, "watch.poll_seconds", 60, 5, 3600),
            idle_seconds=self.number(table, "watch.idle_seconds", 60, 5, 1740),
            language="en" if self.choice(table, "watch.language", LANGUAGES, "ja") == "en" else "ja",
            time_zone=self.zone(self.text(table, "watch.time_zone", "Asia/Tokyo")),
            state_dir=self._state_dir(table),
            morning_line=self._time(table, "watch.morning_line", "08:00"),
            quiet_hours=self._hours(table, "watch.quiet_hours"),
        )

    def _time(self, table: dict[str, Any], where: str, default: str) -> time | None:
        given = self.text(table, where, default, may_be_empty=True)
        if given and not _TIME.match(given):
            self.fault("config.not_time", where, value=given)
            return None
        return time.fromisoformat(given) if given else None

    def _hours(self, table: dict[str, Any], where: str) -> Hours | None:
        given = self.text(table, where, "", may_be_empty=True)
        start, _, end = (part.strip() for part in given.partition("-"))
        if not given:
            return None
        if not (_TIME.match(start) and _TIME.match(end)) or start == end:
            self.fault("config.not_hours", where, value=given)
            return None
        return Hours(time.fromisoformat(start), time.fromisoformat(end))

    def _rules(self) -> Rules:
        table = self.table("rollout")
        self.known(table, {"start", "days"}, "rollout.")
        start = table.get("start", Rollout().start)
        if isinstance(start, datetime) or not isinstance(start, date):
            self.fault("config.not_date", "rollout.start", value=start)
            start = Rollout().start
        days = self.whole(table, "rollout.days", Rollout().days, 0, 3650)
        merge = self.duration(self.table("watch"), "watch.merge_within", "72h")
        return Rules(Rollout(start, days), merge)

    def _templates(self) -> Templates:
        path = self.existing(self.table("watch"), "watch.templates")
        if path is None:
            return template.shipped()
        try:
            return template.with_own(path.read_bytes())
        except OSError as fault:
            self.fault("config.file_unreadable", "watch.templates", path=path, why=fault.strerror)
        except template.TemplateFaults as faults:
            for each in faults.faults:
                fields = {"path": path, **each.fields}
                self.faults.append(Fault(each.key, {name: shown(value) for name, value in fields.items()}))
        return template.shipped()

    def _account(self, table: dict[str, Any], where: str) -> Account:
        self.known(table, _ACCOUNT_KEYS | {"password"}, where)
        if "password" in table:
            self.fault("config.password_inline", f"{where}password")
        preset = self._preset(table, where)
        both = {**_defaults(preset), **table}
        host = self.required(both, f"{where}host")
        is_plain = self.choice(table, f"{where}tls", ("implicit", "off"), "implicit") == "off"
        if is_plain and host and not _is_loopback(host):
            self.fault("config.plain_host", f"{where}tls", host=host)
        return Account(
            name=self.name(table, where),
            host=host,
            port=self.whole(table, f"{where}port", 143 if is_plain else preset.port if preset else 993, 1, 65535),
            is_plain=is_plain,
            ca_file=self._ca_file(table, where),
            provider=self._provider(both, where),
            user=self.required(table, f"{where}user"),
            folders=(folders := self._folders(table, where, preset.folders if preset else _FOLDERS)),
            seller=self.text(table, f"{where}seller", "shop"),
            password_source=self._password(table, where),
            preset=preset.key if preset else "",
            done_folder=self._done_folder(table, where, folders),
            marketplace=self._marketplace(table, where),
        )

    def _folders(self, table: dict[str, Any], where: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """Each folder once, whichever way its name is written."""
        return tuple(dict.fromkeys(map(values.folder_name, self.texts(table, f"{where}folders", default))))

    def _marketplace(self, table: dict[str, Any], where: str) -> str | None:
        """The marketplace of an order whose mail tells none; by default Japan's for those who read Japanese."""
        default = "JP" if self.table("watch").get("language", "ja") == "ja" else ""
        if table.get("marketplace", default) == "":
            return None
        return self.choice(table, f"{where}marketplace", marketplace.codes(), default)

    def _done_folder(self, table: dict[str, Any], where: str, watched: tuple[str, ...]) -> str | None:
        """A folder that is not watched: a request is done when its mail is moved there."""
        name = values.folder_name(self.text(table, f"{where}done_folder", "", may_be_empty=True))
        if name and name.lower() in {folder.lower() for folder in watched}:
            self.fault("config.done_is_watched", f"{where}done_folder", value=name)
        return name or None

    def _ca_file(self, table: dict[str, Any], where: str) -> Path | None:
        path = self.existing(table, f"{where}ca_file")
        try:
            if path:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except (OSError, ssl.SSLError):
            self.fault("config.not_certificates", f"{where}ca_file", path=path)
        return path

    def _password(self, table: dict[str, Any], where: str) -> Source:
        source = self._source(table, PASSWORD_KEYS, where)
        if source.place and self.with_passwords:
            try:
                source.read()
            except ConfigurationError as fault:
                self.faults += fault.faults
        return source

    def _provider(self, table: dict[str, Any], where: str) -> Provider:
        authserv_id = self.text(table, f"{where}authserv_id", "", may_be_empty=True)
        forwarders = self.texts(table, f"{where}forwarders", ())
        return Provider(authserv_id or None, self.texts(table, f"{where}received_by", ()), forwarders)

    def _preset(self, table: dict[str, Any], where: str) -> Preset | None:
        name = self.text(table, f"{where}provider", "", may_be_empty=True)
        preset = providers.presets().get(name)
        if name and not preset:
            known = sorted(key for key, each in providers.presets().items() if each.password_login)
            self.fault("config.unknown_provider", f"{where}provider", value=name, known=", ".join(known))
        if preset and not preset.password_login and "host" not in table:
            self.fault("config.no_password_login", f"{where}provider", value=name)
        return preset

    def _channel(self, table: dict[str, Any], where: str) -> Channel:
        self.known(table, _CHANNEL_KEYS, where)
        name = self.name(table, where)
        url = self._url(table, where)
        if url.reveal() and (problem := channel_problem(url.reveal())):
            self.fault(problem, f"{where}url")
        elif url.reveal() and not self.is_usable(url):
            self.fault("config.not_apprise", f"{where}url")
        send = self.texts(table, f"{where}send", DEFAULT_SEND)
        for kind in send:
            if kind not in KINDS:
                self.fault("config.unknown_kind", f"{where}send", value=kind, known=", ".join(KINDS))
        fallback_for = self.texts(table, f"{where}fallback_for", ())
        limit = self.whole(table, f"{where}monthly_limit", services.of(url.reveal()).monthly_limit, 0, 1_000_000)
        return Channel(name, url, frozenset(send), fallback_for, limit)

    def _heartbeat(self, table: dict[str, Any]) -> Heartbeat:
        self.known(table, _HEARTBEAT_KEYS, "heartbeat.")
        url = self._url(table, "heartbeat.")
        parts = _split(url.reveal())
        if url.reveal() and (parts is None or parts.scheme not in {"http", "https"} or not parts.hostname):
            self.fault("config.heartbeat_scheme", "heartbeat.url")
        return Heartbeat(url, self.duration(table, "heartbeat.every", "5m", least="10s"))

    def _fallbacks(self, channels: list[Channel]) -> None:
        names = {channel.name for channel in channels}
        called = places("channels", self.data["channels"]) if channels else []
        for channel, place in zip(channels, called, strict=True):
            for other in channel.fallback_for:
                if other not in names or other == channel.name:
                    self.fault("config.unknown_channel", f"{place}.fallback_for", value=other)
        if channels and all(channel.fallback_for for channel in channels):
            self.fault("config.only_stand_ins", "channels")

    # ---- secrets ----

    def _url(self, table: dict[str, Any], where: str) -> Secret:
        if "url" in table and sum(key in table for key in URL_KEYS) == 1:
            url = self.text(table, f"{where}url", "")
            if url and _holds_secret(url) and _others_can_read(self.file):
                self.fault("config.open_to_others", f"{where}url", path=self.file)
            return Secret(url)
        source = self._source(table, URL_KEYS, where)
        try:
            return source.read() if source.place and self.with_passwords else Secret("")
        except ConfigurationError as fault:
            self.faults += fault.faults
            return Secret("")

    def _source(self, table: dict[str, Any], keys: tuple[str, ...], where: str) -> Source:
        """Where a secret is; its place is empty where a fault was noted."""
        given = [key for key in keys if key in table]
        if len(given) != 1:
            self.fault("config.one_of", f"{where}{keys[0]}", keys=", ".join(keys), given=len(given))
            return Source("", "env", "", self.folder)
        key = f"{where}{given[0]}"
        return Source(key, given[0].rpartition("_")[2], self.text(table, key, ""), self.folder)

    def _state_dir(self, table: dict[str, Any]) -> Path:
        if given := self.text(table, "watch.state_dir", "", may_be_empty=True):
            return self.path(given, "watch.state_dir") or self.folder
        if systemd := self.environment.get("STATE_DIRECTORY"):
            return Path(systemd.split(":")[0])
        return Path(self.environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "mailwatch"


def _defaults(preset: Preset | None) -> dict[str, Any]:
    """What a preset says in the place of the account's own keys."""
    if preset is None:
        return {}
    said = {"host": preset.host, "authserv_id": preset.authserv_id, "received_by": list(preset.received_by)}
    return {key: value for key, value in said.items() if value}


def _split(url: str) -> SplitResult | None:
    """The parts of a URL, or None where it has none."""
    try:
        return urlsplit(url)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() in {"localhost", "localhost.localdomain"}


def _others_can_read(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH))


def _holds_secret(url: str) -> bool:
    parts = _split(url)
    return parts is None or parts.scheme not in _OWN_RECEIVERS or bool(parts.query) or "@" in parts.netloc


def channel_problem(url: str) -> str | None:
    """What of an apprise URL would break a promise (traps section 3); apprise itself reads it later, in `transport`."""
    parts = _split(url)
    if parts is None or not _SCHEME.match(url) or len(_SCHEMES.findall(url)) > 1:
        return "config.not_url"
    options = {
        name.lower().strip(): value.lower().strip() for name, value in parse_qsl(parts.query, keep_blank_values=True)
    }
    if options.get("optional", "no") not in _NO:
        return "config.url_optional"
    if options.get("verify", "yes") not in _YES:
        return "config.url_verify"
    if options.get("format", "text") != "text":
        return "config.url_format"
    return services.of(url).problem(url)
