"""Ready-made ways for `ScriptedImap` to misbehave; each gives a script for `server.script(command, …)`.

GREETING, any command   silence, closes, bye, says, drip, split, endless_lines, changed, then, expunged_after
LOGIN                   refuse_login
EXAMINE                 without
UID SEARCH              two_search_lines, no_search_line
UID FETCH               exists_inside_fetch, huge_literal
IDLE                    exists_with_idling, exists_before_idling, split_exists, bye_in_idle, close_in_idle, mute_idle

Two are no scripts but are called with the server, for one mail: malformed_structure, year_9999.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

from .scripted import Script, ScriptedImap, Session

PATIENCE = 30.0  # seconds that a held-back half waits before the server gives up


# Any command


def silence() -> Script:
    """Read on, and never answer."""
    return lambda session, tag, arguments: True


def closes() -> Script:
    """Close the connection instead of an answer."""

    def script(session: Session, tag: str, arguments: str) -> bool:
        session.close()
        return True

    return script


def bye(text: str = "Too many simultaneous connections.") -> Script:
    """Say BYE and close; as the greeting, it refuses the connection."""

    def script(session: Session, tag: str, arguments: str) -> bool:
        session.write(f"* BYE {text}\r\n".encode())
        session.close()
        return True

    return script


def refuse_login(text: str = "[AUTHENTICATIONFAILED] Authentication failed.") -> Script:
    """Answer NO with this text."""
    return says("{tag} NO " + text.replace("{", "{{").replace("}", "}}"))


def says(*lines: str) -> Script:
    """Answer with these lines; "{tag}" in a line is the command's tag."""

    def script(session: Session, tag: str, arguments: str) -> bool:
        session.write("".join(line.format(tag=tag) + "\r\n" for line in lines).encode())
        return True

    return script


def changed(change: Callable[[bytes], bytes]) -> Script:
    """Give the right answer after a change."""

    def script(session: Session, tag: str, arguments: str) -> bool:
        session.write(change(session.ordinary(tag, arguments)))
        return True

    return script


def then(action: Callable[[], object]) -> Script:
    """Give the right answer, with something happening between its making and its sending."""

    def script(session: Session, tag: str, arguments: str) -> bool:
        answer = session.ordinary(tag, arguments)
        action()
        session.write(answer)
        return True

    return script


def expunged_after(server: ScriptedImap, uid: int, folder: str = "INBOX") -> Script:
    """List the mail once more while it is already gone."""
    return then(lambda: server.expunge(uid, folder))


def split(resume: threading.Event, at: int = 4) -> Script:
    """Give the right answer in two writes; the second one once `resume` is set."""

    def script(session: Session, tag: str, arguments: str) -> bool:
        _in_two(session, session.ordinary(tag, arguments), at, resume)
        return True

    return script


def drip(seconds: float = 0.2, size: int = 1) -> Script:
    """Give the right answer a byte every 0.2 s."""

    def script(session: Session, tag: str, arguments: str) -> bool:
        answer = session.ordinary(tag, arguments)
        for at in range(0, len(answer), size):
            session.write(answer[at : at + size])
            if session.server.closed.wait(seconds):
                break
        return True

    return script


def endless_lines(line: bytes = b"* OK Still here\r\n") -> Script:
    """Send untagged lines for as long as the client listens."""

    def script(session: Session, tag: str, arguments: str) -> bool:
        while not session.server.closed.is_set():
            session.write(line * 100)
        return True

    return script


# IDLE


def exists_with_idling(mail: bytes) -> Script:
    """A mail that comes just now: announce it in the same write as "+ idling"."""

    def script(session: Session, tag: str, arguments: str) -> bool:
        session.begin_idle(tag, after=_arrival(session, mail))
        return True

    return script


def exists_before_idling(mail: bytes) -> Script:
    """A mail that comes just now: announce it before "+ idling"."""

    def script(session: Session, tag: str, arguments: str) -> bool:
        session.begin_idle(tag, before=_arrival(session, mail))
        return True

    return script


def split_exists(mail: bytes, resume: threading.Event) -> Script:
    """Announce a mail in two writes; the second one once `resume` is set."""

    def script(session: Session, tag: str, arguments: str) -> bool:
        arrival = _arrival(session, mail)
        session.begin_idle(tag)
        _in_two(session, arrival, 5, resume)
        return True

    return script


def bye_in_idle(text: str = "Server shutting down.") -> Script:
    """Say "+ idling", then BYE, and close."""

    def script(session: Session, tag: str, arguments: str) -> bool:
        session.write(f"+ idling\r\n* BYE {text}\r\n".encode())
        session.close()
        return True

    return script


def close_in_idle() -> Script:
    """Say "+ idling" and close."""

    def script(session: Session, tag: str, arguments: str) -> bool:
        session.write(b"+ idling\r\n")
        session.close()
        return True

    return script


def mute_idle() -> Script:
    """Say "+ idling" and announce nothing; DONE is answered."""

    def script(session: Session, tag: str, arguments: str) -> bool:
        session.begin_idle(tag, muted=True)
        return True

    return script


# EXAMINE, UID SEARCH, UID FETCH


def without(*codes: str) -> Script:
    """Leave response codes such as UIDVALIDITY out of the answer."""
    line = re.compile(rb"\* OK \[(?:" + "|".join(codes).encode() + rb")[^\r]*\r\n")
    return changed(lambda answer: line.sub(b"", answer))


def two_search_lines() -> Script:
    """Tell the UIDs in two SEARCH lines."""

    def halves(found: re.Match[bytes]) -> bytes:
        uids = found[1].split()
        middle = len(uids) // 2
        return b"".join(b" ".join([b"* SEARCH", *half]) + b"\r\n" for half in (uids[:middle], uids[middle:]))

    return changed(lambda answer: re.sub(rb"\* SEARCH([^\r]*)\r\n", halves, answer))


def no_search_line() -> Script:
    """Answer OK without a SEARCH line."""
    return changed(lambda answer: re.sub(rb"\* SEARCH[^\r]*\r\n", b"", answer))


def exists_inside_fetch(mail: bytes) -> Script:
    """A mail that comes just now: announce it, and another mail's flags, after the first FETCH line."""

    def script(session: Session, tag: str, arguments: str) -> bool:
        lines = session.fetch_lines(arguments)
        news = _arrival(session, mail) + b"* 1 FETCH (FLAGS (\\Seen))\r\n"
        session.write(b"".join([*lines[:1], news, *lines[1:]]) + f"{tag} OK FETCH completed\r\n".encode())
        return True

    return script


def huge_literal(size: int = 4_294_967_295, item: str = "BODY[]") -> Script:
    """Announce a literal of this size, send a little of it, and fall silent."""

    def script(session: Session, tag: str, arguments: str) -> bool:
        uid = re.split("[,: ]", arguments, maxsplit=1)[0]
        session.write(f"* 1 FETCH (UID {uid} {item} {{{size}}}\r\nFrom: a@example.test\r\n".encode())
        return True

    return script


# One mail


def malformed_structure(server: ScriptedImap, uid: int) -> None:
    """A BODYSTRUCTURE whose parentheses never close."""
    server.override(uid, "BODYSTRUCTURE", b'("TEXT" "PLAIN" ("CHARSET" "utf-8" NIL NIL "7BIT" 10')


def year_9999(server: ScriptedImap, uid: int) -> None:
    """An INTERNALDATE that overflows when it is moved to another time zone."""
    server.override(uid, "INTERNALDATE", b'"31-Dec-9999 23:59:59 -1200"')


# Inside


def _arrival(session: Session, mail: bytes) -> bytes:
    """Put a mail into the session's folder; its EXISTS line."""
    folder = session.folder.name if session.folder else "INBOX"
    session.server.deliver(mail, folder, announce=False)
    return session.changes()


def _in_two(session: Session, data: bytes, at: int, resume: threading.Event) -> None:
    session.write(data[:at])
    resume.wait(PATIENCE)
    session.write(data[at:])
