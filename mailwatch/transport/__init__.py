"""A text and a channel in, what became of it out. The only user of apprise, requests and urllib3.

send: one text to one channel under a deadline · wire: what really went over the wire, and what came back.
"""

from mailwatch.transport.send import Sender, is_usable, ping, sender, warm_up

__all__ = ["Sender", "is_usable", "ping", "sender", "warm_up"]
