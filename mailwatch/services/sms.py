"""SMS: Twilio worked out (`twilio://account-SID:auth-token@from/to`), the others known as short-text services only."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from mailwatch.services.answer import Answer, Cause, Outcome, Result, by_status
from mailwatch.services.service import Form, Service, json_of

SMS_SCHEMES = (
    "bulksms", "bulkvs", "burstsms", "d7sms", "httpsms", "kavenegar", "msg91", "msgbird", "plivo", "seven", "sinch",
    "smseagle", "smseagles", "smsmanager", "sns", "voipms",
)  # fmt: skip
_E164 = re.compile(r"^\+[1-9][0-9]{7,14}$")
_SHORT_CODE = re.compile(r"^[0-9]{5,6}$")
_TWILIO = re.compile(r"^twilio://([^:/?]+):([^?]+)@([^/?@]+)/([^/?]+)/?(\?.*)?$", re.IGNORECASE)
# Twilio's error codes for a number that can't be reached or is not one: of this address, not of this message.
_BAD_NUMBER = {21211, 21214, 21265, 21401, 21408, 21421, 21604, 21606, 21608, 21610, 21612, 21614, 21659, 21660}


class Sms(Service):
    """A service that sends SMS: the text must be short."""

    name = "SMS"
    form = Form.SMS


class Vonage(Sms):
    """Vonage: each message has a status of its own, and 200 says nothing (libraries section 1, finding 9)."""

    name = "Vonage"

    def read(self, answer: Answer) -> Outcome:
        """Accepted only with status 0."""
        if not answer.is_well:
            return by_status(answer)
        messages = (json_of(answer) or {}).get("messages")
        if not isinstance(messages, list) or not messages:
            return _without_its_answer(self.name)
        states = {str(each.get("status")) for each in messages if isinstance(each, dict)}
        if states == {"0"}:
            return by_status(answer)
        if states == {"0", "1"}:
            return Outcome(Result.AMBIGUOUS, "accepted in part", cause=Cause.SERVER)
        return Outcome(Result.PASSING if states == {"1"} else Result.PERMANENT, "not accepted", cause=Cause.REFUSED)


class ClickSend(Sms):
    """ClickSend: a number that it can't reach is answered 200 as well."""

    name = "ClickSend"

    def read(self, answer: Answer) -> Outcome:
        """Accepted only where every message says SUCCESS."""
        if not answer.is_well:
            return by_status(answer)
        data = (json_of(answer) or {}).get("data")
        messages = data.get("messages") if isinstance(data, dict) else None
        if not isinstance(messages, list) or not messages:
            return _without_its_answer(self.name)
        if all(isinstance(each, dict) and each.get("status") == "SUCCESS" for each in messages):
            return by_status(answer)
        return Outcome(Result.PERMANENT, "not accepted", cause=Cause.ADDRESS)


class Twilio(Sms):
    """Twilio. A number that begins with 0 is Japanese; apprise would send it as +0…, a wrong number."""

    name = "Twilio"

    def problem(self, url: str) -> str | None:
        """Account, token, and two numbers in E.164."""
        found = _TWILIO.match(url)
        if not found:
            return "config.twilio_url"
        source, target = _number(found[3]), _number(found[4])
        good = (_E164.match(source) or _SHORT_CODE.match(source)) and _E164.match(target)
        return None if good else "config.twilio_number"

    def address(self, url: str) -> str:
        """The numbers in E.164, account and token percent-encoded."""
        found = _TWILIO.match(url)
        if not found:
            return super().address(url)
        account, token = (quote(unquote(part), safe="") for part in (found[1], found[2]))
        return f"twilio://{account}:{token}@{_number(found[3])}/{_number(found[4])}{found[5] or ''}"

    def read(self, answer: Answer) -> Outcome:
        """A message that was made and failed at once is answered 201 as well; the state is in the body."""
        said = json_of(answer) or {}
        if answer.is_well:
            if said.get("status") in {"failed", "undelivered", "canceled"}:
                return Outcome(Result.REFUSED, _with_code("not sent", said.get("error_code")), cause=Cause.REFUSED)
            if answer.body is not None and not said.get("sid"):
                return _without_its_answer(self.name)
        if answer.status == 400 and said.get("code") in _BAD_NUMBER:
            return Outcome(Result.PERMANENT, _with_code("HTTP 400", said.get("code")), cause=Cause.ADDRESS)
        return by_status(answer)


def _without_its_answer(service: str) -> Outcome:
    """Who said that it was well may be a portal on the way."""
    return Outcome(Result.AMBIGUOUS, f"well, but without {service}'s answer", cause=Cause.ODD)


def _number(text: str) -> str:
    """A phone number in E.164 as far as it can be made one: marks out, `0…` is Japan's, `+810…` loses the 0."""
    digits = re.sub(r"[\s().\-ー－‐]", "", unquote(text))
    if digits.startswith("0") and not digits.startswith("00"):
        return "+81" + digits[1:]
    return "+81" + digits[4:] if digits.startswith("+810") else digits


def _with_code(why: str, code: object) -> str:
    return f"{why}, error {code}" if isinstance(code, int) else why
