"""Mails out of files, folders, mbox and Maildir, in order of their time, as `scan` reads them."""

from __future__ import annotations

import mailbox as mailbox_files
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mailwatch import message
from mailwatch.errors import Fault, UsageError
from mailwatch.folders import MailIdentity
from mailwatch.message import Message
from mailwatch.notice import Kind
from mailwatch.request import Action
from mailwatch.store import Recorded

_HEAD = 128 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """Where one mail is: a file, and for an mbox the bytes from `start` to `end` and its number from 1."""

    path: Path
    start: int = 0
    end: int | None = None
    number: int | None = None

    @property
    def name(self) -> str:
        """`a.eml`, or `box.mbox#3`."""
        return str(self.path) if self.number is None else f"{self.path}#{self.number}"

    def read(self, limit: int) -> bytes:
        """At most `limit` bytes of the mail. Raises `OSError`."""
        with self.path.open("rb") as file:
            file.seek(self.start)
            return file.read(limit if self.end is None else min(limit, self.end - self.start))


@dataclass(frozen=True, slots=True)
class Found:
    """One mail with its time (aware UTC)."""

    source: Source
    seen_at: datetime


def find(paths: list[Path], unreadable: list[Fault]) -> list[Found]:
    """All mails below the paths, oldest first. Raises `UsageError` for a path that is not there.

    What can't be read is noted in `unreadable` and left out; it never stops the rest.
    """
    found: list[Found] = []
    for path in paths:
        if not _exists(path):
            raise UsageError("scan.no_path", path=path)
        for file in _files(path, unreadable):
            found += _mails_in(file, unreadable)
    return sorted(found, key=lambda each: (each.seen_at, each.source.name))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as fault:
        raise UsageError("scan.unreadable_file", path=path, why=fault.strerror) from None


def parse(found: Found, unreadable: list[Fault]) -> Message | None:
    """The mail, parsed; None where it can't be read any more."""
    try:
        return message.parse(found.source.read(message.LIMIT_MAIL))
    except OSError as fault:
        unreadable.append(_fault(found.source.path, fault))
        return None


def identity(found: Found) -> MailIdentity:
    """The identity that a file's mail has in a store: always a new one, so that a second reading shows as a copy."""
    return MailIdentity("scan", str(found.source.path.parent), 0, secrets.randbits(62), found.seen_at, 0)


def as_json(found: Found, parsed: Message, recorded: Recorded) -> dict[str, object]:
    """The object of design section 5."""
    about, decision = recorded.notice, recorded.decision
    word = {Action.OPEN: "open", Action.REOPEN: "reopen", Action.JOIN: "join", Action.CLOSE: "join"}.get(
        decision.action
    )
    return {
        "source": found.source.name,
        "message_id": parsed.message_id,
        "kind": about.kind.value,
        "route": about.route.value if about.route else None,
        "template": about.template if about.kind is not Kind.IGNORED else None,
        "marketplace": about.marketplace,
        "order_ids": [about.order_id] if about.order_id else [],
        "also_mentioned": list(about.also_mentioned),
        "items": [
            {"title": item.title, "asin": item.asin, "sku": item.sku, "quantity": item.quantity} for item in about.items
        ],
        "reason": about.reason,
        "trust": about.trust.value,
        "seen_at": found.seen_at.isoformat(),
        "decision": word,
        "alert": decision.alerts,
    }


def _files(path: Path, unreadable: list[Fault]) -> Iterator[Path]:
    """A file as given; of a folder what looks like mail: *.eml, *.mbox, and the cur and new of a Maildir."""
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path, onerror=lambda fault: unreadable.append(_fault(path, fault))):
        folders.sort()
        is_maildir = Path(folder).name in {"cur", "new"} and (Path(folder).parent / "tmp").is_dir()
        for name in sorted(names):
            file = Path(folder, name)
            if file.is_file() and (is_maildir or file.suffix.lower() in {".eml", ".mbox"} or _is_mbox(file)):
                yield file


def _mails_in(file: Path, unreadable: list[Fault]) -> list[Found]:
    try:
        sources = _mbox(file) if _is_mbox(file) else [Source(file)]
        return [Found(source, _time_of(source)) for source in sources]
    except OSError as fault:
        unreadable.append(_fault(file, fault))
        return []


def _is_mbox(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(5) == b"From "
    except OSError:
        return False


def _mbox(file: Path) -> list[Source]:
    """The mails of an mbox, by the standard library's table of where each begins and ends."""
    box = mailbox_files.mbox(file, create=False)
    try:
        sources = []
        for number, key in enumerate(box.keys(), 1):
            start, end = box._lookup(key)  # type: ignore[attr-defined]  # noqa: SLF001 - no public way without reading it whole
            sources.append(Source(file, _after_line(file, start), end, number))
        return sources
    finally:
        box.close()


def _after_line(file: Path, start: int) -> int:
    """Behind the `From ` line that opens a mail in an mbox."""
    with file.open("rb") as opened:
        opened.seek(start)
        opened.readline(4096)
        return opened.tell()


def _time_of(source: Source) -> datetime:
    """The topmost Received field, else Date, else the file's time."""
    fields = message.header_fields(message.header_block(source.read(_HEAD)))
    return message.time_of(fields) or datetime.fromtimestamp(int(source.path.stat().st_mtime), UTC)


def _fault(path: Path, fault: OSError) -> Fault:
    path = Path(os.fsdecode(fault.filename)) if fault.filename else path
    return Fault("scan.unreadable", {"path": str(path), "why": fault.strerror or type(fault).__name__})
