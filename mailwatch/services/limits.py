"""How long a text each service takes, by the scheme of its URL. A longer one is refused, or cut by the service.

Sources, where a service says it itself: Discord, "Create Message" (2,000 characters); Telegram, "sendMessage" (4,096
characters); LINE, "Text message" (5,000 UTF-16 units); Slack, "chat.postMessage" (4,000 advised, cut above 40,000);
Pushover, "API Limits" (1,024 characters); ntfy, "Limitations" (4,096 bytes, more becomes an attachment); Webex, "Create
a Message" (7,439 bytes); WeCom, "Group robot" (2,048 bytes); FCM and APNs, which Bark uses (4,096 bytes for the whole
payload); IRC, RFC 2812 section 2.3 (512 bytes with the command). Every other number is apprise's `body_maxlen`, and
none is larger than that: tests/test_limits.py compares them. A character counts as its UTF-16 units: no service counts
more of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Unit(StrEnum):
    """What a service counts."""

    CHARACTERS = "characters"  # as UTF-16 units
    BYTES = "bytes"  # of UTF-8


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that one text may hold, its title included."""

    size: int
    unit: Unit = Unit.CHARACTERS

    def length(self, text: str) -> int:
        """Return the length of a text as the service counts it."""
        if self.unit is Unit.BYTES:
            return len(text.encode("utf-8", "surrogatepass"))
        return len(text.encode("utf-16-le", "surrogatepass")) // 2


# Far above what an alert needs. Of a service that takes more, and of one that says nothing.
USUAL = Limit(4500)

_CHARACTERS = {
    67: "aprs",
    80: "dapnet",
    140: "plivo tweet twitter x",  # X counts a Japanese character as two of its 280
    160: (
        "46elks atalk bulksms bulkvs burstsms clickatell clicksend d7sms elks freemobile httpsms infobip kavenegar"
        " kudosity mobilemessage mobilemsg msg91 msgbird nexmo notifyre pushed ringc serwersms seven sfr sinch"
        " smsc smsmanager smsmgr sns telnyx twilio voipms vonage"
    ),
    200: "kakao kakaotalk",
    240: "kumulos",
    255: "strmlabs",
    280: "bluesky bsky",
    400: "mastodon mastodons splunk toot toots victorops",  # Mastodon's 500 hold the mentions of the URL too
    512: "misskey misskeys notifico notificos",
    600: "eight00com",
    1000: (
        "enigma2 enigma2s groupme join push rocket rockets ryver trigv trigvs twist webex workflow workflows wxteams"
    ),
    1024: "fcm pagerduty pover whatsapp",
    1200: "smseagle smseagles",
    1224: "cm octopush",
    1600: "smstunnel telesign",
    2000: ("discord exotel fluxer fluxers guilded lauther revolt session sessions sogs youlmk zalo"),
    3000: "pinglet pinglets pushward",
    3500: "threema",
    4000: ("gchat gorush gorushs humhub humhubs kaleyra klr mmost mmosts ncloud nclouds slack stackfield vapid zoom"),
    4096: "gupshup notifiarr pushy tgram whapi",
}
_BYTES = {380: "irc ircs", 2048: "wechat wecombot", 3000: "bark barks", 4096: "ntfy ntfys"}
_BY_SCHEME = {
    scheme: Limit(size, unit)
    for unit, sizes in ((Unit.CHARACTERS, _CHARACTERS), (Unit.BYTES, _BYTES))
    for size, schemes in sizes.items()
    for scheme in schemes.split()
}


def schemes() -> frozenset[str]:
    """Return the schemes that have a limit of their own."""
    return frozenset(_BY_SCHEME)


def of(scheme: str) -> Limit:
    """Return the limit of a scheme, in small letters."""
    return _BY_SCHEME.get(scheme, USUAL)
