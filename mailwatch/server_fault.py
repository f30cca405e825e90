"""What a mail server's refusals and surprises mean, and which of its words may be told."""

from __future__ import annotations

import ast
import base64
import contextlib
import imaplib
import re
from collections.abc import Iterator, Sequence

from imapclient.exceptions import ProtocolError

from mailwatch import charset
from mailwatch.connection import LinkLost
from mailwatch.errors import Unreachable
from mailwatch.secret import Secret

# What a server may ask us to wait: a longer silence is no watching.
_LONGEST_BACK_OFF = 3600.0
_BACK_OFF = re.compile(r"suggested backoff time:\s*(\d+)\s*milliseconds", re.IGNORECASE)
_CODE = re.compile(r"\[([A-Z][A-Z-]*)")
_PASSING_CODES = {"UNAVAILABLE", "LIMIT", "INUSE", "SERVERBUG", "OVERQUOTA"}
_LASTING_CODES = {"AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "EXPIRED", "PRIVACYREQUIRED", "NONEXISTENT", "NOPERM"}
_LOGIN_CODES = {"AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED"}
_TOO_MANY = re.compile(r"too many|simultaneous|throttl|try again later|temporar|backoff time", re.IGNORECASE)
# How servers say that they are in maintenance, at a limit, under load, or want us later.
_PASSING_WORDS = re.compile(
    r"too many|simultaneous|throttl|\blater\b|temporar|back ?off|maint[ae]n|(?:un|not )available|out of service"
    r"|overload|\bload\b|\bbusy\b|\blimit|exceed|quota|in use\b|internal error|server error|time[d -]*out"
    r"|shutting down|starting up|at (?:this|the) (?:time|moment)|\bwait\b|\bresources?\b"
    r"|メンテナンス|ﾒﾝﾃﾅﾝｽ|保守|工事|点検|停止中|休止|停止して|制限|上限|超え|超過|混雑|混み|混ん|込み合|負荷|高負荷|多すぎ|過多"
    r"|一時|後ほど|のちほど|後程|あとで|後で|時間をお|時間を置|しばらく|ただいま|只今|お待ち|待って"
    r"|利用できません|利用いただけ|障害|内部エラー|タイムアウト",
    re.IGNORECASE,
)
# How servers say that there is no such folder, or none for us; RFC 5530 codes where they have them, else words.
_FOLDER_CODES = {"NONEXISTENT", "NOPERM", "TRYCREATE", "CANNOT"}
_NO_FOLDER = re.compile(
    r"(?:does ?n[o']t|does not|did not|do not|not) exist|(?:doesn|don)(?:'|’)?t exist|non-?existent"
    r"|no such (?:mail ?box|folder)"
    r"|(?:mail ?box|folder)[^.]{0,200}(?:not found|could not be found|can(?:'t|not) be found)"
    r"|(?:unknown|invalid|bad) (?:mail ?box|folder)|(?:unable to|can(?:'t|not)|could not) find"
    r"|(?:permission|access) (?:is )?denied|not permitted|not allowed|(?:not |is ?n't |un)selectable|noselect"
    r"|存在しま|存在しない|存在せず|見つかりません|見つからない|(?:フォルダー?|メールボックス)[はがも][^。]{0,20}(?:ありません|ない)"
    r"|権限が|許可されて",
    re.IGNORECASE,
)
# imapclient's words around a NO, imaplib's around a BAD, and ours.
_NO_OR_BAD = re.compile(r"(?:[\w ]+ (?:failed:|command error: BAD)|IDLE was refused:) ")
_LONGEST_WORDS = 200
_URL_SAFE = str.maketrans("+/", "-_")
# imaplib shows the answer to a BAD as Python shows a list of bytes, and our connection the one to IDLE as bytes.
_AS_SHOWN = re.compile(r"\[?b(['\"])(.*)\1\]?", re.DOTALL)
# Dovecot says how long each command took: `(0.001 + 0.000 secs)`.
_TIMING = re.compile(r":? *\([0-9. +]+ secs\)\.?$")
_UNREADABLE = "an answer that can't be read"


# What imapclient 4.1.0 really raises over odd answers (libraries section 2); the connection is dropped after each that
# no smaller question gets round.
SURPRISES = (
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


def is_of_passing_words(why: str) -> bool:
    """Return whether a refusal speaks of maintenance, limits, load or "later"; by code (RFC 5530) or words."""
    code = _CODE.search(why)
    return (code is not None and code[1] in _PASSING_CODES) or _PASSING_WORDS.search(why) is not None


def may_login_pass(why: str) -> bool:
    """Return whether a refused LOGIN may be over soon: all but what names user or password, and only that.

    Many servers give no RFC 5530 code, and some refuse every login so during maintenance.
    """
    code = _CODE.search(why)
    return not (code and code[1] in _LOGIN_CODES) or is_of_passing_words(why)


def is_folder_missing(why: str) -> bool:
    """Return whether a refused EXAMINE says that the folder is not there or not for us; all else may pass."""
    code = _CODE.search(why)
    if code and code[1] in _FOLDER_CODES:
        return True
    return not is_of_passing_words(why) and _NO_FOLDER.search(why) is not None


@contextlib.contextmanager
def surprises_lose(secrets: Sequence[Secret] = ()) -> Iterator[None]:
    """Every surprise ends the connection as one error: after it the stream may be out of step.

    `secrets`: what we send meanwhile and a server may quote.
    """
    try:
        yield
    except (OSError, imaplib.IMAP4.error) as fault:
        _let_go(fault)
        raise Unreachable("mailbox.lost", wait_seconds=back_off(fault), why=words(fault, secrets)) from None
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


def words(fault: BaseException, secrets: Sequence[Secret] = ()) -> str:
    """Return the server's or system's own words, at most 200 characters.

    Of imaplib's and imapclient's errors only the server's text of a NO, BAD or BYE: all others may quote an answer, and
    so a mail. `secrets` are masked, in whatever form.
    """
    text = fault.args[0] if fault.args else fault
    if isinstance(text, bytes):
        text = decoded(text)  # the greeting, or the NO to a login
    elif isinstance(fault, OSError) and not isinstance(text, str):
        text = f"{fault}"
    elif not _is_ours(fault):
        answer = _NO_OR_BAD.match(str(text))
        if not answer:
            return _UNREADABLE
        text = _unwrapped(str(text)[answer.end() :])
    shown = "".join(each if each.isprintable() else " " for each in str(text))
    return _TIMING.sub("", _without(secrets, shown))[:_LONGEST_WORDS]


def is_unreadable(why: str) -> bool:
    """Return whether these are our words for an answer that can't be read, or a greeting that is none."""
    return why == _UNREADABLE or (why.startswith("* ") and not why.startswith("* BYE"))


def decoded(said: bytes) -> str:
    """Return a server's words as text: by RFC 3501 they are ASCII, but many write UTF-8, Shift_JIS or ISO-2022-JP."""
    return charset.decode(said).text


def _unwrapped(shown: str) -> str:
    """The words that stand there as Python shows bytes, or a list of them; others as they are."""
    if not _AS_SHOWN.fullmatch(shown):
        return shown
    with contextlib.suppress(ValueError, SyntaxError, TypeError):
        said = ast.literal_eval(shown)
        return " ".join(decoded(each) for each in (said if isinstance(said, list) else [said]) if each)
    return shown


def _is_ours(fault: BaseException) -> bool:
    """Whether the words are the system's or our own; imaplib raises a `LinkLost` again, within a command."""
    return isinstance(fault, OSError | LinkLost) or isinstance(fault.__context__, LinkLost)


def _without(secrets: Sequence[Secret], text: str) -> str:
    """The text without the secrets, in upper or lower case."""
    forms = {form for secret in secrets for form in _forms(secret.reveal())}
    for form in sorted(forms - {""}, key=len, reverse=True):
        text = re.sub(re.escape(form), "***", text, flags=re.IGNORECASE)
    return text


def _forms(plain: str) -> set[str]:
    """A secret as it is, as IMAP quotes it, either as Python shows it, and its bytes in base64 and hexadecimal."""
    shown = {plain, plain.replace("\\", "\\\\").replace('"', '\\"')}
    shown |= {repr(form)[1:-1] for form in shown} | {form.replace("\\", "\\\\") for form in shown}
    shown |= {"".join(each if each.isprintable() else " " for each in form) for form in shown}
    data = plain.encode("utf-8", "surrogateescape")
    packed = base64.b64encode(data).decode("ascii")
    packings = {packed, packed.rstrip("="), *(_packed_within(data, before) for before in range(3))}
    packings |= {form.translate(_URL_SAFE) for form in packings}
    return shown | packings | {data.hex(), data.hex(" "), data.hex(":")}


def _packed_within(data: bytes, before: int) -> str:
    """What base64 shows of these bytes alone where `before` bytes modulo 3 stand before them: in a longer text."""
    packed = base64.b64encode(bytes(before) + data).decode("ascii").rstrip("=")
    whole = (before + len(data)) * 8 // 6
    return packed[(before * 8 + 5) // 6 : whole]
