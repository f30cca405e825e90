"""Where everything of the service lies."""

from __future__ import annotations

from pathlib import Path

NAME = "mailwatch"
# The user that the service runs as, and the group whose members may read its store.
USER = GROUP = NAME
PREFIX = Path("/opt/mailwatch")
CONFIG = Path("/etc/mailwatch/config.toml")
CREDENTIALS = CONFIG.parent / "credentials"
STATE = Path("/var/lib/mailwatch")
UNIT = Path("/etc/systemd/system/mailwatch.service")
# What the unit can't reach: ProtectHome= and PrivateTmp= hide them (systemd.exec(5)).
HIDDEN = tuple(Path(each) for each in ("/home", "/root", "/run/user", "/tmp", "/var/tmp"))  # noqa: S108 - not written to


def is_hidden(path: Path) -> bool:
    """Whether the unit can't reach a path, which is absolute."""
    return any(path.is_relative_to(hidden) for hidden in HIDDEN)
