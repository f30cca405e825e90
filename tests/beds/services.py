"""What the services say that the HTTPS recorder stands in for, as long as a test plans nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping

Reply = tuple[int, Mapping[str, str], bytes]


def _json(status: int, value: object) -> Reply:
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


LINE = "api.line.me"
RETRY_KEY = "X-Line-Retry-Key"
REPEATED = _json(409, {"message": "The retry key is already accepted"})
OTHERS: Reply = (200, {}, b"ok")
USUAL: Mapping[str, Reply] = {
    "hooks.slack.com": (200, {"Content-Type": "text/html"}, b"ok"),
    "slack.com": _json(200, {"ok": True, "channel": "C1", "ts": "1.1"}),
    LINE: _json(200, {"sentMessages": [{"id": "461230966842064897", "quoteToken": "q"}]}),
    "api.twilio.com": _json(201, {"sid": "SM" + "0" * 32, "status": "queued", "error_code": None}),
    "discord.com": (204, {}, b""),
}
HOSTS = tuple(USUAL)


def usual(host: str) -> Reply:
    """What a service answers to a request that it accepts."""
    return USUAL.get(host, OTHERS)
