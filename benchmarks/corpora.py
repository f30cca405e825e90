"""Every mail file below some folders, read in-process and by `mailwatch scan --json`: exceptions, kinds, readable text.

python benchmarks/corpora.py [--list] FOLDER…       (--list: also each unreadable Japanese mail, each that is told,
                                                     and each text with a damaged character)

For the public corpora of mails named in benchmarks/README.md, which are not part of this tree. A mail that is enclosed
in another (bounces hold most of the Japanese there) is read as a mail of its own too, for its text only.

Japanese: what is shown of a mail (From, Subject, text parts) holds JIS escapes, bytes beyond ASCII in a Japanese
charset, or kana. Readable: Japanese comes out, without U+FFFD, control characters or signs of a wrong charset, and
every plain part that Python's own codec for the declared charset reads strictly has the same Japanese characters.
"""

from __future__ import annotations

import email
import io
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.errors import HeaderParseError
from email.generator import BytesGenerator
from email.header import decode_header
from email.message import Message as MimePart
from pathlib import Path

from mailwatch import message, notice, scan
from mailwatch.amazon import template
from mailwatch.notice import Kind, Notice
from mailwatch.trust import Provider

MAIL_SUFFIXES = {".eml", ".msg", ".mbox"}
OLE = b"\xd0\xcf\x11\xe0"
_FIELDS = re.compile(
    rb"^(?:return-path|received|delivered-to|from|to|subject|date|message-id|mime-version|content-type|x-[a-z-]+):",
    re.IGNORECASE | re.MULTILINE,
)
_BEGINS = re.compile(rb"[!-9;-~]+:[ \t\r\n]")
_CODECS = {
    "iso-2022-jp": "iso2022_jp_ext",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "cp932": "cp932",
    "euc-jp": "euc_jp",
    "utf-8": "utf-8",
}
_ESCAPE = re.compile(rb"\x1b(?:\$[@B]|\(I)")
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa]")
_JAPANESE = re.compile("[\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fff]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_RAW_JIS = re.compile(r"\$B[!-~]{4,}\(B")
# Half-width kana or rare CJK beside one another: EUC-JP or UTF-8 read as Shift_JIS, or as Latin.
_MOJIBAKE = re.compile("[\uff61-\uff9f]{4,}|(?:[繝縺譁繧][^\n]?){3,}|(?:ã[\u0080-\u00bf‚ƒ€-™]{1,2}){2,}")


@dataclass(slots=True)
class Corpus:
    """The counts of one folder."""

    files: int = 0
    mails: int = 0
    exceptions: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")
    enclosed: int = 0
    japanese: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    readable: int = 0
    characters: int = 0
    replaced: int = 0
    controls: int = 0
    unreadable: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def main() -> int:
    """Print; exit status 1 after an exception, also one of `scan`."""
    arguments = [each for each in sys.argv[1:] if each != "--list"]
    bad = False
    for name in arguments:
        corpus = examine(Path(name))
        lines, code, kinds = scanned(Path(name))
        bad = bad or bool(corpus.exceptions) or code != 0
        show(name, corpus, "--list" in sys.argv)
        print(f"  mailwatch scan --json: exit {code}, {lines} objects {dict(kinds)}")
    return 1 if bad else 0


def examine(folder: Path) -> Corpus:
    """Each mail file of a folder, in-process."""
    corpus = Corpus()
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts):
        if is_mail(file):
            corpus.files += 1
            for source, mail in mails_in(file):
                one(corpus, str(Path(source).relative_to(folder)), mail)
    return corpus


def is_mail(file: Path) -> bool:
    """By its name, or because it begins with a `From ` line or with several header fields."""
    with file.open("rb") as opened:
        head = opened.read(4096)
    if head.startswith(OLE) or not head:
        return False
    if file.suffix.lower() in MAIL_SUFFIXES or head.startswith(b"From "):
        return True
    return bool(_BEGINS.match(head)) and len(_FIELDS.findall(head.partition(b"\n\n")[0])) >= 2


def mails_in(file: Path) -> Iterator[tuple[str, bytes]]:
    """One mail, or those of an mbox, as `scan` splits it."""
    for found in scan.find([file], []):
        yield found.source.name, found.source.read(message.LIMIT_MAIL)


def one(corpus: Corpus, name: str, mail: bytes) -> None:
    """Read one mail and count, and those that are enclosed in it."""
    corpus.mails += 1
    if notices := read(corpus, name, mail):
        for each in notices:
            corpus.kinds[each.kind.value] += 1
            if each.kind is not Kind.IGNORED:
                corpus.told.append(f"{name}: {each.kind}, {each.trust}, from {each.sender_domain}, {each.template}")
    for number, inner in enumerate(enclosed(mail), 1):
        corpus.enclosed += 1
        read(corpus, f"{name}, enclosed {number}", inner)


def read(corpus: Corpus, name: str, mail: bytes) -> tuple[Notice, ...]:
    """As `run` and `scan` do; what a person would see of it is examined."""
    began = time.perf_counter()
    try:
        parsed = message.parse(mail)
        notices = notice.read(parsed, Provider(), template.shipped())
    except Exception as fault:  # noqa: BLE001 - whether there is one is what this finds out
        corpus.exceptions.append(f"{name}: {fault!r}")
        return ()
    corpus.slowest = max(corpus.slowest, (time.perf_counter() - began, name))
    text = "\n".join([parsed.display_name, parsed.subject, parsed.text])
    if "\ufffd" in text:
        corpus.damaged.append(f"{name}: {text.count(chr(0xFFFD))} of {len(text)} characters are U+FFFD")
    tree = email.message_from_bytes(mail)
    if charset := japanese(tree, text):
        corpus.japanese[charset] += 1
        corpus.characters += len(text)
        corpus.replaced += text.count("\ufffd")
        corpus.controls += len(_CONTROL.findall(text))
        if why := unreadable(corpus, tree, text):
            corpus.unreadable.append(f"{name} ({charset}): {why}; defects {list(parsed.defects)}")
        else:
            corpus.readable += 1
    return notices


def enclosed(mail: bytes) -> Iterator[bytes]:
    """The mails attached to a mail, as bytes."""
    for part in email.message_from_bytes(mail).walk():
        if part.get_content_type() == "message/rfc822" and part.is_multipart():
            held = io.BytesIO()
            try:
                BytesGenerator(held, mangle_from_=False, maxheaderlen=0).flatten(part.get_payload(0))
            except (UnicodeError, LookupError, AttributeError):
                continue  # the standard library can't write down what it read
            yield held.getvalue()


def japanese(tree: MimePart, text: str) -> str | None:
    """In what charset a mail shows Japanese (by the standard library's parser, not ours); None where it shows none."""
    for charset, data in shown(tree):
        if _ESCAPE.search(data):
            return "iso-2022-jp" if charset == "iso-2022-jp" else "iso-2022-jp, not declared"
        if charset in _CODECS and charset != "utf-8" and not data.isascii():
            return charset
    for charset, data in words(tree):
        if charset in _CODECS and charset != "utf-8" and (_ESCAPE.search(data) or not data.isascii()):
            return charset
    return "utf-8 or other" if _KANA.search(text) else None


def words(tree: MimePart) -> Iterator[tuple[str, bytes]]:
    """Charset and bytes of the encoded words of From and Subject."""
    for name in ("from", "subject"):
        try:
            found = decode_header(str(tree.get(name, "")))
        except (ValueError, HeaderParseError):
            continue
        yield from ((charset.lower(), data) for data, charset in found if charset and isinstance(data, bytes))


def shown(tree: MimePart, only: str = "") -> Iterator[tuple[str, bytes]]:
    """Charset and bytes of each text part that is shown, not of enclosed mails."""
    stack = [tree]
    while stack:
        part = stack.pop()
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            stack.extend(part.get_payload())
        elif part.get_content_maintype() == "text" and part.get_content_disposition() != "attachment":
            data = part.get_payload(decode=True)
            if isinstance(data, bytes) and only in {"", part.get_content_type()}:
                yield str(part.get_content_charset() or "").lower(), data


def unreadable(corpus: Corpus, tree: MimePart, text: str) -> str | None:
    """Why a Japanese text is not readable, or None."""
    if not _JAPANESE.search(text):
        return f"no Japanese character in {len(text.strip())} characters"
    if bad := text.count("\ufffd") + len(_CONTROL.findall(text)):
        return f"{bad / len(text):.2%} U+FFFD or control characters"
    if _RAW_JIS.search(text) or _MOJIBAKE.search(text):
        return "reads like another charset"
    ours = "".join(_JAPANESE.findall(text))
    for charset, data in shown(tree, only="text/plain"):
        theirs = strictly(charset, data)
        corpus.compared += bool(theirs)
        if theirs not in ours:
            return f"not what Python's codec reads: {theirs[:40]!r}"
    return None


def strictly(charset: str, data: bytes) -> str:
    """The Japanese characters as Python's codec reads them; empty where it refuses."""
    try:
        return "".join(_JAPANESE.findall(data.decode(_CODECS.get(charset, "ascii"))))
    except UnicodeDecodeError:
        return ""


def scanned(folder: Path) -> tuple[int, int, Counter[str]]:
    """`mailwatch scan --json` over the folder: objects, exit status, kinds."""
    command = [sys.executable, "-m", "mailwatch", "scan", "--json", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False)
    rows = [json.loads(line) for line in done.stdout.decode().splitlines()]
    return len(rows), done.returncode, Counter(row["kind"] for row in rows)


def show(name: str, corpus: Corpus, with_lists: bool) -> None:
    """As people read it."""
    print(
        f"{name}: {corpus.mails} mails in {corpus.files} files, {corpus.enclosed} mails enclosed in them, "
        f"{len(corpus.exceptions)} exceptions"
    )
    print(f"  kinds {dict(corpus.kinds)}; slowest {corpus.slowest[0] * 1000:.0f} ms ({corpus.slowest[1]})")
    print(
        f"  Japanese {corpus.japanese.total()} {dict(corpus.japanese)}: {corpus.readable} readable, "
        f"{corpus.compared} plain parts compared with Python's codecs; "
        f"of {corpus.characters} characters {corpus.replaced} U+FFFD, {corpus.controls} control characters"
    )
    lists = [corpus.exceptions, corpus.told, corpus.unreadable, corpus.damaged] if with_lists else [corpus.exceptions]
    for title, rows in zip(("exception", "told", "unreadable", "damaged"), lists, strict=False):
        for row in rows:
            print(f"  {title}: {row}")


if __name__ == "__main__":
    sys.exit(main())
