"""What is known of the services behind a channel's URL, as pure functions: no I/O, no apprise.

answer: what a service said, and what it means · limits: how long a text each takes · service: any apprise service ·
slack · line · sms: the ones worked out.
A service says how its URL must look, which form of a text it takes, what to add to a request, and what an answer means.
"""

from mailwatch.services import limits
from mailwatch.services.answer import LONGEST_WAIT, Answer, Cause, Outcome, Result, seconds_to_wait
from mailwatch.services.limits import USUAL, Limit, Unit
from mailwatch.services.line import Line
from mailwatch.services.service import Discord, Form, Request, Service
from mailwatch.services.slack import Slack
from mailwatch.services.sms import SMS_SCHEMES, ClickSend, Sms, Twilio, Vonage

__all__ = [
    "LONGEST_WAIT",
    "USUAL",
    "Answer",
    "Cause",
    "Form",
    "Limit",
    "Outcome",
    "Request",
    "Result",
    "Service",
    "Unit",
    "of",
    "seconds_to_wait",
]

# What takes less gets the short form, in which the order stands first.
_SHORT = 400
_OTHER = Service()
_WORKED_OUT: dict[str, type[Service]] = {
    **dict.fromkeys(SMS_SCHEMES, Sms),
    "slack": Slack,
    "line": Line,
    "twilio": Twilio,
    "clicksend": ClickSend,
    "vonage": Vonage,
    "nexmo": Vonage,
    "discord": Discord,
}


def _made(scheme: str) -> Service:
    limit = limits.of(scheme)
    plain = Sms if limit.size < _SHORT else Service
    return _WORKED_OUT.get(scheme, plain)(limit)


_BY_SCHEME = {scheme: _made(scheme) for scheme in {*_WORKED_OUT, *limits.schemes()}}


def of(url: str) -> Service:
    """The service of an apprise URL; a webhook URL as Slack prints it is Slack's."""
    if url.lower().startswith("https://hooks.slack.com/"):
        return _BY_SCHEME["slack"]
    return _BY_SCHEME.get(url.partition("://")[0].lower(), _OTHER)
