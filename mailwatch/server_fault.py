"""What a mail server's refusals and surprises mean, and which of its words may be told."""

from __future__ import annotations

import contextlib
import imaplib
import re
from collections.abc import Iterator

from imapclient.exceptions import ProtocolError

from mailwatch.connection import LinkLost
from mailwatch.errors import Unreachable
from mailwatch.secret import Secret

# What a server may ask us to wait: a longer silence is no watching.
_LONGEST_BACK_OFF = 3600.0
_BACK_OFF = re.compile(r"suggested backoff time:\s*(\d+)\s*milliseconds", re.IGNORECASE)
_CODE = re.compile(r"\[([A-Z][A-Z-]*)")
_PASSING_CODES = {"UNAVAILABLE", "LIMIT", "INUSE", "SERVERBUG", "OVERQUOTA"}
_LASTING_CODES = {"AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED", "PRIVACYREQUIRED", "NONEXISTENT", "NOPERM"}
_TOO_MANY = re.compile(r"too many|simultaneous|throttl|try again later|temporar|backoff time", re.IGNORECASE)
# imapclient's words around a NO, imaplib's around a BAD, and ours.
_NO_OR_BAD = re.compile(r"(?:[\w ]+ (?:failed:|command error: BAD)|IDLE was refused:) ")
# imaplib shows the answer to a BAD as Python shows a list of bytes, and our connection the one to IDLE as bytes.
_AS_SHOWN = re.compile(r"\[?b(['\"])(.*)\1\]?", re.DOTALL)
# Dovecot says how long each command took: `(0.001 + 0.000 secs)`.
_TIMING = re.compile(r":? *\([0-9. +]+ secs\)\.?$")
_UNREADABLE = "an answer that can't be read"


class Refused(imaplib.IMAP4.error):
    """NO or BAD to a FETCH, and not because the server is busy: something about one of the mails."""


# What imapclient 4.1.0 really raises over odd answers (libraries section 2); the connection is dropped after each that
# no smaller question gets round.
SURPRISES = (
    Refused,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    OverflowError,
    RecursionError,
    AttributeError,
    AssertionError,
    ProtocolError,
)


def is_passing(fault: Unreachable) -> bool:
    """Whether the server only wants us to come later: then nothing that we asked for is to blame."""
    return fault.wait_seconds > 0 or is_about_now(str(fault.fault.fields.get("why", "")))


def is_about_now(why: str) -> bool:
    """Whether a NO is about now, and not about this login or folder (RFC 5530 codes; else by the server's words)."""
    code = _CODE.search(why)
    if code and code[1] in _PASSING_CODES:
        return True
    return not (code and code[1] in _LASTING_CODES) and _TOO_MANY.search(why) is not None


@contextlib.contextmanager
def surprises_lose(password: Secret | None = None) -> Iterator[None]:
    """Every surprise ends the connection as one error: after it the stream may be out of step.

    `password`: the one that is sent meanwhile, which a server may quote.
    """
    try:
        yield
    except (OSError, imaplib.IMAP4.error) as fault:
        _let_go(fault)
        raise Unreachable("mailbox.lost", wait_seconds=back_off(fault), why=words(fault, password)) from None
    except SURPRISES as fault:
        _let_go(fault)
        raise Unreachable("mailbox.lost", why=f"{_UNREADABLE} ({type(fault).__name__})") from None


def _let_go(fault: BaseException) -> None:
    """Drop the traceback: only the words are used.

    In Python 3.13 the frame of contextlib's `__exit__`, a caller of ours, still names the error while its traceback
    holds that frame: a cycle, in which the callers' frames keep the search and its seen-set until the collector comes.
    """
    fault.__traceback__ = None


def back_off(said: BaseException | str) -> float:
    """The seconds that a server asks us to wait, at most an hour; 0 where it does not."""
    asked = _BACK_OFF.search(str(said))
    return min(float(asked[1]) / 1000, _LONGEST_BACK_OFF) if asked else 0.0


def words(fault: BaseException, password: Secret | None = None) -> str:
    """Return the server's or system's own words, at most 200 characters.

    Of imaplib's and imapclient's errors only the server's text of a NO, BAD or BYE: all others may quote an answer, and
    so a mail. Of a login never the password, which a server may quote.
    """
    text = fault.args[0] if fault.args else fault
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")  # the greeting, or the NO to a login
    elif isinstance(fault, OSError) and not isinstance(text, str):
        text = f"{fault}"
    elif not _is_ours(fault):
        answer = _NO_OR_BAD.match(str(text))
        if not answer:
            return _UNREADABLE
        text = str(text)[answer.end() :]
        shown = _AS_SHOWN.fullmatch(text)
        text = shown[2] if shown else text
    return _TIMING.sub("", _without(password, str(text)))[:200]


def _is_ours(fault: BaseException) -> bool:
    """Whether the words are the system's or our own; imaplib raises a `LinkLost` again, within a command."""
    return isinstance(fault, OSError | LinkLost | Refused) or isinstance(fault.__context__, LinkLost)


def _without(password: Secret | None, text: str) -> str:
    """The text without the password: as it is, as IMAP quotes it, and either as Python shows it in a BAD."""
    if password is None:
        return text
    plain = password.reveal()
    forms = {plain, plain.replace("\\", "\\\\").replace('"', '\\"')}
    forms |= {repr(form)[1:-1] for form in forms} | {form.replace("\\", "\\\\") for form in forms}
    for form in sorted(forms - {""}, key=len, reverse=True):
        text = text.replace(form, "***")
    return text
