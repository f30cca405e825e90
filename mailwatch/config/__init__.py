"""The configuration: one TOML file in, a `Config` out, or all its faults at once.

The keys are explained in config.example.toml. model: what it is · file: from sections to the model · values: from keys
to typed values, faults collected · source: where a secret is. Secrets stay `Secret`; a password is read when it is
needed, so that a changed one counts without a restart.
"""

from mailwatch.config.file import channel_problem, faults_at, find, is_there, language_of, load, own_path, unreadable
from mailwatch.config.model import DEFAULT_SEND, Account, Channel, Config, Heartbeat, Watch, audience
from mailwatch.config.source import Source
from mailwatch.config.values import parse_duration

__all__ = [
    "DEFAULT_SEND",
    "Account",
    "Channel",
    "Config",
    "Heartbeat",
    "Source",
    "Watch",
    "audience",
    "channel_problem",
    "faults_at",
    "find",
    "is_there",
    "language_of",
    "load",
    "own_path",
    "parse_duration",
    "unreadable",
]
