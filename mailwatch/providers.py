"""The mail services that sellers use: what providers.toml knows of them, found by name, by address or by host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from mailwatch import toml
from mailwatch.catalogue import Language
from mailwatch.errors import Fault


@dataclass(frozen=True, slots=True)
class Preset:
    """One mail service. The fields are explained in providers.toml; what it does not say is empty."""

    key: str
    name_ja: str
    name_en: str
    port: int
    user: str
    folders: tuple[str, ...]
    domains: tuple[str, ...]
    host: str = ""
    host_form: str = ""
    drops_blanks: bool = False
    password_login: bool = True
    authserv_id: str = ""
    received_by: tuple[str, ...] = ()

    def name(self, language: Language) -> str:
        """What people call it."""
        return self.name_en if language == "en" else self.name_ja

    def text_key(self, what: str) -> str:
        """The catalogue key of one of its texts: `imap`, `password` or `refused`."""
        return f"provider.{self.key.replace('-', '_')}_{what}"

    def user_of(self, address: str) -> str:
        """The login name that belongs to an address; "" where it must be asked."""
        return {"address": address, "local": address.rpartition("@")[0]}.get(self.user, "")

    def host_of(self, address: str) -> str:
        """The IMAP server as far as it can be known; "" where it must be asked."""
        domain = address.rpartition("@")[2].lower()
        # A customer's first domain at Sakura is the name of the server.
        is_server = self.key == "sakura" and domain.endswith(".sakura.ne.jp")
        return domain if is_server else self.host

    def has_host(self, host: str) -> bool:
        """Whether an IMAP server is this service's."""
        own = self.host_form.partition(".")[2]
        return bool(host) and (host.lower() == self.host or (own != "" and host.lower().endswith("." + own)))


@cache
def presets() -> Mapping[str, Preset]:
    """All of them by key, in the order of the file."""
    made = {}
    for key, row in toml.packaged("mailwatch", "providers.toml").items():
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in row.items()
        }
        made[key] = Preset(key=key, **fields)
    return made


def of_address(address: str) -> Preset | None:
    """The service of a mail address, by its domain; None where the domain says nothing."""
    domain = "." + address.rpartition("@")[2].lower()
    return next((p for p in presets().values() if any(domain.endswith("." + each) for each in p.domains)), None)


def refusal(key: str, host: str) -> Fault | None:
    """What a refused login means at this service; None where we don't know it. `key` "" means: known by its host."""
    named = presets().get(key)
    preset = named or next((each for each in presets().values() if each.has_host(host)), None)
    return Fault(preset.text_key("refused")) if preset else None
