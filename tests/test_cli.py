"""The command line as a person or a script meets it: exit codes, sentences, and where the output goes."""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import mails
import pytest
from beds import misbehave
from beds.scripted import Script, ScriptedImap
from click.testing import CliRunner, Result

from mailwatch import __version__, cli, demo, watch
from mailwatch.catalogue import preferred
from mailwatch.database import Database, RunLock
from mailwatch.mailbox import Mailbox
from mailwatch.migrations import SCHEMA_VERSION

pytestmark = [
    pytest.mark.server,
    # apprise loads modules that warn of their own end.
    pytest.mark.filterwarnings("ignore:.*slated for removal:DeprecationWarning"),
]

PACKAGE = Path(cli.__file__).parents[1]
SAMPLES = PACKAGE / "sample_mails"
ROUTES = SAMPLES / "routes"
FIRST = ROUTES / "01-message-ja-text.eml"
SAME_ORDER = ROUTES / "02-notification-ja-same-order.eml"
KEYS = [
    "source", "message_id", "kind", "route", "template", "marketplace", "order_ids", "also_mentioned", "items",
    "reason", "trust", "seen_at", "decision", "alert",
]  # fmt: skip
# Where the README installs to, which is not on the PATH.
PROGRAM = "/home/shop/mailwatch/bin/mailwatch"
MEGABYTE = 1024 * 1024


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """The environment of a user who has no configuration yet."""
    left_out = ("LC_", "LANG", "MAILWATCH", "XDG", "STATE_DIRECTORY")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    home = tmp_path / "home"
    home.mkdir()
    return {**kept, "HOME": str(home), "LANG": "en_US.UTF-8", "PYTHONPATH": str(PACKAGE), "PYTHONUTF8": "1"}


Environment = dict[str, str]


def mailwatch(environment: Environment, *arguments: object, seconds: float = 30) -> subprocess.CompletedProcess[str]:
    """`python -m mailwatch` in a process of its own: for what only a process has, and once for every command."""
    return subprocess.run(
        [sys.executable, "-m", "mailwatch", *(str(each) for each in arguments)],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=seconds,
        cwd=environment["HOME"],
        env=environment,
    )


def invoke(environment: Environment, *arguments: object) -> Result:
    """The command in this process, for that is quicker; only its help, worded at its start, is in pytest's language."""
    unset = dict.fromkeys(("MAILWATCH_CONFIG", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "STATE_DIRECTORY"))
    given = {name: environment[name] for name in unset if name in environment}
    locale = {"LC_ALL": environment["LANG"], "HOME": environment["HOME"]}
    with mock.patch.object(cli, "_LOCALE", preferred(environment)), mock.patch.object(sys, "argv", [PROGRAM]):
        result = CliRunner().invoke(cli._mailwatch, [str(each) for each in arguments], env={**unset, **given, **locale})
    crash = result.exception if not isinstance(result.exception, SystemExit) else None
    assert crash is None, "".join(traceback.format_exception(crash))
    return result


def scan(environment: Environment, *arguments: object) -> list[dict[str, Any]]:
    """The objects that `scan --json` prints, after a good end."""
    result = invoke(environment, "scan", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return objects(result.stdout)


@pytest.fixture(scope="module")
def of_samples(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What `scan --json` says of all the samples."""
    return scan({"HOME": str(tmp_path_factory.mktemp("home")), "LANG": "en_US.UTF-8"}, SAMPLES)


def objects(stdout: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stdout.splitlines()]


def of(found: list[dict[str, Any]], key: str) -> list[Any]:
    return [each[key] for each in found]


def put(path: Path, content: bytes, mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


# ---- help, version, usage ----


def test_the_version_is_told(home: Environment) -> None:
    done = invoke(home, "--version")
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"mailwatch, version {__version__}\n", "")


@pytest.mark.parametrize(
    ("variable", "locale", "sentence"),
    [
        ("LANG", "en_US.UTF-8", "Watch a mailbox for Amazon's cancellation requests"),
        ("LC_ALL", "ja_JP.UTF-8", "Amazon のキャンセル依頼メールを見張り"),
    ],
)
def test_help_is_in_the_language_of_the_locale(variable: str, locale: str, sentence: str, home: Environment) -> None:
    done = mailwatch({**home, variable: locale}, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert sentence in done.stdout
    assert all(f"\n  {name} " in done.stdout for name in ("demo", "check", "run", "scan"))


@pytest.mark.parametrize(
    ("arguments", "sentences"),
    [
        (["--help"], ["使い方: mailwatch ", "オプション:", "命令:", "この説明を表示して終わります。"]),
        (["scna"], ["使い方: mailwatch ", "エラー: 「scna」という命令はありません。", "説明は「mailwatch --help」"]),
        (["list", "--al"], ["「--al」というオプションはありません。"]),
        (["show"], ["引数が足りません: 'ORDER_ID'"]),
        (["scan", "--rollout-days", "x", "."], ["'--rollout-days' の値が使えません: x は数ではありません"]),
    ],
    ids=lambda value: " ".join(value) if value[0].isascii() else "",
)
def test_what_click_says_is_japanese_too(arguments: list[str], sentences: list[str], home: Environment) -> None:
    """Seen red: `Usage:`, `Error: No such command …` in the midst of Japanese."""
    done = mailwatch({**home, "LANG": "ja_JP.UTF-8"}, *arguments)
    said = done.stdout + done.stderr
    assert [each for each in sentences if each not in said] == []
    assert [each for each in ("Usage", "Error", "Options", "Commands", "Show this", "Try ") if each in said] == []
    english = mailwatch(home, *arguments)
    assert "Usage: mailwatch " in english.stdout + english.stderr


def test_the_help_of_a_command_explains_every_option_and_gives_an_example(home: Environment) -> None:
    japanese, english = (
        mailwatch({**home, "LANG": locale}, "scan", "--help").stdout for locale in ("ja_JP.UTF-8", "en_US.UTF-8")
    )
    for option in ("--json", "--store", "--account", "--authserv-id", "--received-by", "--seller", "--rollout-start"):
        assert option in japanese
        assert option in english
    assert "例: mailwatch scan --json sample_mails" in japanese
    assert "Example: mailwatch scan --json sample_mails" in english


@pytest.mark.parametrize(
    "arguments",
    [
        ["nope"],
        ["--nope"],
        ["scan"],
        ["scan", "--nope", "."],
        ["scan", "--rollout-days", "many", "."],
        ["scan", "--rollout-days", "-1", "."],
        ["check", "too-much"],
        [],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_prints_nothing_on_stdout(arguments: list[str], home: Environment) -> None:
    result = invoke(home, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["no-such-path"], "There is no no-such-path.\n"),
        (["--rollout-start", "June", "."], '"June" is not a date. Write it as 2022-06-06.\n'),
        (["--merge-within", "three days", "."], '"three days" is not a length of time. Write it as 72h.\n'),
        (["--account", "shop", "."], 'The configuration has no account "shop".\n'),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_path_or_option_that_cannot_be_used_is_a_sentence(
    arguments: list[str], sentence: str, home: Environment
) -> None:
    result = invoke(home, "scan", *arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", sentence)


def test_a_missing_path_is_told_before_anything_is_read(home: Environment) -> None:
    result = invoke(home, "scan", "--json", FIRST, "no-such-path")
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", "There is no no-such-path.\n")


def test_without_a_configuration_check_says_where_to_put_one(home: Environment) -> None:
    path = Path(home["HOME"]) / ".config/mailwatch/config.toml"
    result = invoke(home, "check")
    sentence = f"There is no configuration file {path}. Make one with mailwatch init, or name another with --config.\n"
    assert (result.exit_code, result.stdout, result.stderr) == (78, "", sentence)


# ---- scan: the contract of its output ----


def test_every_line_of_scan_json_has_the_keys_and_types_of_the_contract(of_samples: list[dict[str, Any]]) -> None:
    assert len(of_samples) >= 60
    for each in of_samples:
        assert list(each) == KEYS
        assert all(isinstance(each[key], str) for key in ("source", "kind", "trust", "seen_at"))
        assert all(each[key] is None or isinstance(each[key], str) for key in ("message_id", "template", "reason"))
        assert all(isinstance(order, str) for key in ("order_ids", "also_mentioned") for order in each[key])
        assert each["kind"] in {"request", "wish", "cancelled", "possible", "unreadable", "ignored"}
        assert each["route"] in {"message", "notification", None}
        assert each["marketplace"] is None or len(each["marketplace"]) == 2
        assert each["trust"] in {"verified", "unverified", "forged"}
        assert each["decision"] in {"open", "join", "reopen", None}
        assert isinstance(each["alert"], bool)
        assert all(list(item) == ["title", "asin", "sku", "quantity"] for item in each["items"])
        assert datetime.fromisoformat(each["seen_at"]).utcoffset() == UTC.utcoffset(None)


def test_results_go_to_stdout_and_the_summary_of_scan_json_to_stderr(home: Environment) -> None:
    done = mailwatch(home, "scan", "--json", FIRST, SAME_ORDER)
    assert len(objects(done.stdout)) == 2
    sentence = (
        "2 mails. 1 alerts (1 requests, 0 wishes, 0 to check). No alert: 1 joined, 0 cancelled, 0 forged, 0 ignored\n"
    )
    assert (done.returncode, done.stderr) == (0, sentence)


def test_scan_for_people_tells_one_line_a_request_and_a_summary(home: Environment) -> None:
    done = invoke({**home, "LANG": "ja_JP.UTF-8"}, "scan", FIRST, SAME_ORDER)
    assert done.stdout.splitlines() == [
        f"2022-06-07 09:12  依頼　  249-9912785-8411793  送信元？  知らせる  {FIRST}",
        f"2022-06-07 09:14  依頼　  249-9912785-8411793  送信元？  同じ依頼にまとめる  {SAME_ORDER}",
        "メール2通。知らせる1件(依頼1、相談0、要確認0)。知らせない: 同じ依頼にまとめる1、取消済0、偽物0、関係なし0",
    ]
    assert (done.exit_code, done.stderr) == (0, "")


def test_the_summary_of_scan_counts_each_notice_once(home: Environment, of_samples: list[dict[str, Any]]) -> None:
    """Seen red: every request counted as an alert, also where it was joined, and a mail of two orders as two mails."""
    line = invoke(home, "scan", SAMPLES).stdout.splitlines()[-1]
    mails, alerts, *told = (int(number) for number in re.findall(r"\d+", line)[:5])
    assert (alerts, sum(told)) == (sum(of(of_samples, "alert")), alerts)
    assert mails == len(set(of(of_samples, "source")))
    assert alerts + sum(int(number) for number in re.findall(r"\d+", line)[5:]) == len(of_samples)


def test_scan_tells_the_time_of_the_configured_zone(home: Environment, tmp_path: Path) -> None:
    """Seen red: UTC, without saying so. `--json` stays in UTC, as the contract says."""
    path = configuration(tmp_path, 9, watch='time_zone = "America/New_York"')
    assert invoke(home, "--config", path, "scan", FIRST).stdout.startswith("2022-06-06 20:12  ")
    assert invoke(home, "--config", path, "scan", "--json", FIRST).stdout.count('"seen_at": "2022-06-07T00:12:') == 1


def test_mails_are_told_in_the_order_of_their_time_whatever_the_order_of_the_paths(
    home: Environment, of_samples: list[dict[str, Any]]
) -> None:
    late, middle, early = ROUTES / "13-notification-asked-again.eml", FIRST, ROUTES / "06-message-ja-photo-only.eml"
    forward, backward = scan(home, early, middle, late), scan(home, late, middle, early)
    assert of(forward, "source") == [str(early), str(middle), str(late)]
    assert backward == forward
    times = of(of_samples, "seen_at")
    assert times == sorted(times)


def test_a_file_without_received_and_date_has_the_time_of_the_file(home: Environment, tmp_path: Path) -> None:
    plain = put(tmp_path / "a.eml", b"From: a@example.test\nSubject: hello\n\nhello\n")
    os.utime(plain, (1_654_000_000, 1_654_000_000))
    assert of(scan(home, plain), "seen_at") == ["2022-05-31T12:26:40+00:00"]


# ---- scan: odd files ----


def test_an_empty_file_is_an_ignored_mail(home: Environment, tmp_path: Path) -> None:
    assert of(scan(home, put(tmp_path / "empty.eml", b"")), "kind") == ["ignored"]


def test_a_folder_without_mails_says_so(home: Environment, tmp_path: Path) -> None:
    put(tmp_path / "folder" / "readme.txt", b"no mail")
    done = invoke(home, "scan", "--json", tmp_path / "folder")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "No mails were found.\n")


@pytest.mark.parametrize("junk", [bytes(range(256)) * 400, b"\0" * 50_000, b"\xff\xfe" * 50_000, b"\r" * 50_000])
def test_binary_junk_is_an_ignored_mail_and_what_follows_is_read_on(
    junk: bytes, home: Environment, tmp_path: Path
) -> None:
    found = scan(home, put(tmp_path / "junk.eml", junk), FIRST)
    assert sorted(of(found, "kind")) == ["ignored", "request"]


@contextlib.contextmanager
def without_override() -> Iterator[None]:
    """Without root's right to read and write every file; nothing changes where we are not root."""
    if os.geteuid() != 0:
        yield
        return
    # _LINUX_CAPABILITY_VERSION_3 and this thread; effective, permitted and inheritable, twice 32 bits each.
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc().capget(header, sets) == 0
    effective = sets[0]
    sets[0] = effective & ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    assert libc().capset(header, sets) == 0
    # PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP: else access() takes the permitted set for the effective one.
    before = libc().prctl(27, 0, 0, 0, 0)
    assert libc().prctl(28, before | 4, 0, 0, 0) == 0
    try:
        yield
    finally:
        libc().prctl(28, before, 0, 0, 0)
        sets[0] = effective
        assert libc().capset(header, sets) == 0


def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_read_on(home: Environment, tmp_path: Path) -> None:
    closed = put(tmp_path / "mails" / "closed.eml", FIRST.read_bytes(), 0o000)
    put(tmp_path / "mails" / "open.eml", FIRST.read_bytes())
    with without_override():
        done = invoke(home, "scan", "--json", tmp_path / "mails")
    assert of(objects(done.stdout), "source") == [str(tmp_path / "mails" / "open.eml")]
    assert done.stderr.splitlines()[0] == f"{closed} can't be read (Permission denied). The other files are read on."
    assert (done.exit_code, len(done.stderr.splitlines())) == (0, 2)


def test_a_folder_that_cannot_be_entered_is_named_and_the_others_are_read_on(home: Environment, tmp_path: Path) -> None:
    put(tmp_path / "mails" / "open.eml", FIRST.read_bytes())
    closed = tmp_path / "mails" / "closed"
    put(closed / "a.eml", FIRST.read_bytes())
    closed.chmod(0o000)
    with without_override():
        done = invoke(home, "scan", "--json", tmp_path / "mails")
    closed.chmod(0o700)
    assert of(objects(done.stdout), "source") == [str(tmp_path / "mails" / "open.eml")]
    assert done.stderr.splitlines()[0] == f"{closed} can't be read (Permission denied). The other files are read on."


def test_a_path_inside_a_folder_that_cannot_be_entered_is_a_sentence(home: Environment, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    put(closed / "a.eml", FIRST.read_bytes())
    closed.chmod(0o000)
    with without_override():
        done = invoke(home, "scan", closed / "a.eml")
    closed.chmod(0o700)
    assert str(closed / "a.eml") in done.stderr


def test_an_error_of_the_disk_is_a_sentence(home: Environment) -> None:
    # The kernel refuses to read the first page of this file to everyone, root too.
    done = invoke(home, "scan", "--json", "/proc/self/mem")
    sentence = "/proc/self/mem can't be read (Input/output error). The other files are read on.\nNo mails were found.\n"
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", sentence)


def main(monkeypatch: pytest.MonkeyPatch, encoding: str, *arguments: object) -> bytes:
    """What the command writes to streams of this encoding, after a good end."""
    buffers = [io.BytesIO(), io.BytesIO()]
    with monkeypatch.context() as patch:
        streams = [io.TextIOWrapper(buffer, encoding, "strict") for buffer in buffers]
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        patch.setattr(sys, "argv", ["mailwatch", *(str(each) for each in arguments)])
        # How `main` ends where it can't write.
        patch.setattr(os, "_exit", sys.exit)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        for stream in streams:
            stream.flush()
    written, complaint = buffers[0].getvalue(), buffers[1].getvalue()
    assert ended.value.code == 0, complaint
    return written


@pytest.mark.parametrize("arguments", [["scan", "--json"], ["scan"]], ids=" ".join)
def test_a_file_name_that_is_not_utf_8_is_told_in_valid_json(
    arguments: list[str], home: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mails").mkdir()
    with open(os.fsencode(tmp_path / "mails") + b"/\xff.eml", "wb") as file:  # noqa: PTH123 - a name of bytes
        file.write(FIRST.read_bytes())
    monkeypatch.setenv("HOME", home["HOME"])
    written = main(monkeypatch, "utf-8", *arguments, tmp_path / "mails").decode("utf-8")
    assert "249-9912785-8411793" in written


def test_a_terminal_that_cannot_show_japanese_still_gets_every_line(
    home: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    ascii_only = {**home, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    for arguments in (["scan", FIRST], ["--help"]):
        done = mailwatch(ascii_only, *arguments)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr[-300:]
    monkeypatch.setenv("HOME", home["HOME"])
    assert len(main(monkeypatch, "ascii", "scan", "--json", FIRST).splitlines()) == 1


# ---- scan: large mails ----

# Runs `scan --json` for one path after another, each with the most memory that it took: 5 lets VmHWM start anew.
MEASURED = """
import contextlib, io, json, re, sys
from pathlib import Path
from mailwatch.cli import _mailwatch
for path in sys.argv[1:]:
    Path("/proc/self/clear_refs").write_text("5")
    with contextlib.redirect_stdout(io.StringIO()) as out:
        _mailwatch.main(["scan", "--json", path], standalone_mode=False)
    peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
    print(json.dumps([[json.loads(line) for line in out.getvalue().splitlines()], peak / 1024]))
"""


def enlarged(path: Path, start: bytes, end: bytes = b"") -> Path:
    """A sparse file of 50 MB: a beginning, then nothing but zero bytes, and an end."""
    put(path, start)
    os.truncate(path, 50 * MEGABYTE)
    with path.open("ab") as file:
        file.write(end)
    return path


def before_an_attachment() -> bytes:
    """The first sample with an attachment that has begun, and more than is looked at of it."""
    header, _, body = FIRST.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
    lines = header.split(b"\n")
    at = next(number for number, line in enumerate(lines) if line.lower().startswith(b"content-type:"))
    until = next((n for n in range(at + 1, len(lines)) if not lines[n][:1].isspace()), len(lines))
    encoding = [line for line in lines if line.lower().startswith(b"content-transfer-encoding:")]
    kept = [line for line in lines[:at] + lines[until:] if line not in encoding]
    multipart = [b'Content-Type: multipart/mixed; boundary="b"', b"", b"--b"]
    return (
        b"\n".join([*kept, *multipart, *lines[at:until], *encoding])
        + b"\n\n"
        + body
        + b"\n--b\nContent-Type: image/jpeg\nContent-Transfer-Encoding: base64\n\n"
        + (b"A" * 76 + b"\n") * (MEGABYTE // 77)
    )


Large = dict[str, tuple[list[dict[str, Any]], float]]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Large:
    """What `scan --json` prints of mails of 50 MB, and its peak of memory in MB, in one process for all of them."""
    folder = tmp_path_factory.mktemp("large")
    box = b"From a@example.test Wed Jun  8 09:12:00 2022\n" + FIRST.read_bytes() + b"\n\nFrom b Wed Jun  8\n"
    files = [
        enlarged(folder / "header.eml", b"Subject: "),
        enlarged(folder / "body.eml", FIRST.read_bytes() + b"\n\n"),
        enlarged(folder / "attachment.eml", before_an_attachment(), b"\n--b--\n"),
        enlarged(folder / "box.mbox", box),
    ]
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *files],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
        timeout=60,
        env={**os.environ, "HOME": str(folder), "PYTHONPATH": str(PACKAGE), "PYTHONUTF8": "1"},
    )
    return {file.stem: json.loads(line) for file, line in zip(files, done.stdout.splitlines(), strict=True)}


@pytest.mark.parametrize("name", ["body", "attachment"])
def test_a_mail_of_50_mb_is_told_like_a_small_one_and_takes_little_memory(name: str, large: Large) -> None:
    found, peak = large[name]
    assert [(each["kind"], each["order_ids"]) for each in found] == [("request", ["249-9912785-8411793"])]
    assert peak < 250


def test_a_header_of_50_mb_takes_little_memory(large: Large) -> None:
    found, peak = large["header"]
    assert of(found, "kind") == ["ignored"]
    assert peak < 250


def test_an_mbox_of_50_mb_takes_little_memory(large: Large) -> None:
    found, peak = large["box"]
    assert of(found, "kind").count("request") == 1
    assert peak < 250


# ---- scan: folders of mails ----


def mbox(*contents: bytes) -> bytes:
    return b"".join(
        b"From x@example.test Wed Jun  8 09:12:00 2022\n" + each.replace(b"\r\n", b"\n") + b"\n\n" for each in contents
    )


def test_the_mails_of_an_mbox_are_numbered_from_1(home: Environment, tmp_path: Path) -> None:
    orders = [mails.order_id(number) for number in range(3)]
    box = put(tmp_path / "box.mbox", mbox(*(mails.by_message(order) for order in orders)))
    found = scan(home, box)
    assert of(found, "source") == [f"{box}#1", f"{box}#2", f"{box}#3"]
    assert of(found, "order_ids") == [[order] for order in orders]
    assert of(found, "decision") == ["open", "open", "open"]


def test_an_mbox_inside_a_folder_is_found_whatever_its_name(home: Environment, tmp_path: Path) -> None:
    box = put(tmp_path / "mail" / "Inbox", mbox(mails.by_message("503-1234567-1234567")))
    assert of(scan(home, tmp_path / "mail"), "source") == [f"{box}#1"]


def test_a_maildir_is_read_from_cur_and_new_but_not_from_tmp(home: Environment, tmp_path: Path) -> None:
    box = tmp_path / "Maildir"
    orders = {place: mails.order_id(number) for number, place in enumerate(("cur", "new", "tmp"))}
    for place, order in orders.items():
        put(box / place / f"165401.{place}.host:2,S", mails.by_message(order))
    found = scan(home, box)
    assert {each["order_ids"][0]: Path(each["source"]).parent.name for each in found} == {
        orders["cur"]: "cur",
        orders["new"]: "new",
    }


def test_a_link_that_leads_nowhere_and_a_pipe_in_a_folder_are_passed_by(home: Environment, tmp_path: Path) -> None:
    put(tmp_path / "mails" / "a.eml", FIRST.read_bytes())
    (tmp_path / "mails" / "gone.eml").symlink_to("nowhere")
    os.mkfifo(tmp_path / "mails" / "pipe.eml")
    assert of(scan(home, tmp_path / "mails"), "kind") == ["request"]


# ---- scan: options ----


def test_a_store_remembers_between_two_scans_and_a_throw_away_one_does_not(home: Environment, tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert of(scan(home, "--store", state, FIRST), "decision") == ["open"]
    assert [(each["decision"], each["alert"]) for each in scan(home, "--store", state, SAME_ORDER)] == [("join", False)]
    assert [(each["decision"], each["alert"]) for each in scan(home, "--store", state, FIRST)] == [("join", False)]
    assert of(scan(home, SAME_ORDER), "decision") == ["open"]
    assert {each.name: each.stat().st_mode & 0o777 for each in state.iterdir()} == {"mailwatch-scan.sqlite": 0o600}


def test_a_store_of_scan_owes_nothing_to_any_channel(home: Environment, tmp_path: Path) -> None:
    scan(home, "--store", tmp_path / "state", FIRST)
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "mailwatch-scan.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM request").fetchone() == (1,)
        assert database.execute("SELECT count(*) FROM outbox").fetchone() == (0,)


IN_WINDOW = (ROUTES / "06-message-ja-photo-only.eml", ROUTES / "07-notification-nine-days-later.eml")


@pytest.mark.parametrize(
    ("options", "second"),
    [
        ([], "join"),
        (["--rollout-start", "2023-01-01"], "reopen"),
        (["--rollout-start", "2022-06-07"], "reopen"),
        (["--rollout-days", "0"], "reopen"),
        (["--rollout-days", "10"], "join"),
        (["--rollout-days", "9"], "reopen"),
        (["--rollout-days", "0", "--merge-within", "10d"], "join"),
        (["--rollout-days", "0", "--merge-within", "215h"], "reopen"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_the_roll_out_and_the_time_to_merge_can_be_given(options: list[str], second: str, home: Environment) -> None:
    assert of(scan(home, *options, *IN_WINDOW), "decision") == ["open", second]


def test_with_an_authserv_id_the_sender_is_verified_and_without_it_never(home: Environment) -> None:
    assert of(scan(home, FIRST), "trust") == ["unverified"]
    gmail = ["--authserv-id", "mx.google.com", "--received-by", "google.com"]
    assert of(scan(home, *gmail, FIRST), "trust") == ["verified"]
    assert of(scan(home, *gmail, SAMPLES / "trust/04-dmarc-fail-request.eml"), "trust") == ["forged"]
    assert of(scan(home, "--authserv-id", "mx.example.test", FIRST), "trust") == ["unverified"]


def test_two_sellers_of_one_store_do_not_join(home: Environment, tmp_path: Path) -> None:
    options = ["--store", tmp_path / "state"]
    assert of(scan(home, *options, "--seller", "one", FIRST), "decision") == ["open"]
    assert of(scan(home, *options, "--seller", "two", FIRST), "decision") == ["open"]
    assert of(scan(home, *options, "--seller", "one", FIRST), "decision") == ["join"]


def test_account_takes_the_settings_of_the_configuration(home: Environment, tmp_path: Path) -> None:
    path = configuration(tmp_path, 9, account='provider = "gmail"\nseller = "one"', watch='merge_within = "10d"')
    path.write_text(path.read_text("utf-8") + "[rollout]\ndays = 0\n", "utf-8")

    def told(*options: str) -> list[tuple[str, str]]:
        result = invoke(home, "--config", path, "scan", "--json", *options, *IN_WINDOW)
        return [(each["trust"], each["decision"]) for each in objects(result.stdout)]

    assert told("--account", "shop") == [("verified", "open"), ("verified", "join")]
    assert told() == [("unverified", "open"), ("unverified", "join")]
    assert told("--account", "shop", "--merge-within", "0s") == [("verified", "open"), ("verified", "reopen")]
    unknown = invoke(home, "--config", path, "scan", "--account", "shops", *IN_WINDOW)
    assert (unknown.exit_code, unknown.stderr) == (2, 'The configuration has no account "shops".\n')


def test_the_configuration_can_be_named_by_the_environment(home: Environment, tmp_path: Path) -> None:
    path = configuration(tmp_path, 9, watch="lookback_days = 0")
    done = mailwatch({**home, "MAILWATCH_CONFIG": str(path)}, "scan", FIRST)
    sentence = "watch.lookback_days: 0 is out of range; it must be from 1 to 365.\n"
    assert (done.returncode, done.stdout, done.stderr) == (78, "", sentence)


# ---- pipes ----


def test_a_reader_that_goes_away_leaves_no_traceback(home: Environment) -> None:
    command = [sys.executable, "-m", "mailwatch", "scan", "--json", str(SAMPLES)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=home) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["source"]
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(10) in {0, 1, 141}


def test_a_full_disk_behind_stdout_is_a_sentence_and_no_traceback(home: Environment) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mailwatch", "scan", "--json", str(SAMPLES)],
            stdout=full,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            check=False,
            timeout=30,
            env=home,
        )
    assert "Traceback" not in done.stderr
    assert "No space left on device" in done.stderr
    assert done.returncode == 75


# ---- check ----


def configuration(folder: Path, port: int, *, account: str = "", watch: str = "", state: object = "state") -> Path:
    put(folder / "password.txt", b"pass-one\n", 0o600)
    text = (
        f'[watch]\nlanguage = "en"\nstate_dir = "{state}"\n{watch}\n'
        f'[[accounts]]\nname = "shop"\nhost = "127.0.0.1"\nport = {port}\ntls = "off"\n'
        f'user = "seller@example.test"\npassword_file = "password.txt"\n{account}\n'
        '[[channels]]\nname = "hook"\nurl = "json://127.0.0.1:9/"\n'
    )
    return put(folder / "config.toml", text.encode(), 0o600)


@pytest.fixture
def server() -> Iterator[ScriptedImap]:
    with ScriptedImap() as made:
        yield made


def check(path: Path) -> Result:
    result = invoke({"HOME": str(path.parent), "LANG": "en_US.UTF-8"}, "--config", path, "check")
    assert result.stderr == ""
    return result


CHANNEL_GOOD = "  Channel hook: the URL has the right form (nothing was sent; to try it: check --send)"
NO_AUTHSERV = "  Account shop: without authserv_id no sender is ever verified."
LOGIN_GOOD = "  Account shop: login good (127.0.0.1, new mail by IDLE)"


def good(path: Path) -> list[str]:
    return [
        f"  Store {path.parent / 'state'}: can be written",
        CHANNEL_GOOD,
    ]


def first_line(path: Path) -> str:
    return f"Configuration {path}: good (1 accounts, 1 channels)"


def test_check_says_that_all_is_good_and_changes_nothing(server: ScriptedImap, tmp_path: Path) -> None:
    server.deliver(FIRST.read_bytes())
    path = configuration(tmp_path, server.port)
    result = check(path)
    assert result.stdout.splitlines() == [
        first_line(path),
        LOGIN_GOOD,
        NO_AUTHSERV,
        "  Folder shop / INBOX: good (1 mails)",
        "  Folder shop / Junk: good (0 mails)",
        *good(path),
        f"All good. Start watching with: {PROGRAM} --config {path} run",
    ]
    assert result.exit_code == 0
    assert server.violations == []


def test_check_speaks_japanese_where_the_configuration_does(server: ScriptedImap, tmp_path: Path) -> None:
    path = configuration(tmp_path, server.port, account='authserv_id = "mx.example.test"\nfolders = ["INBOX"]')
    path.write_text(path.read_text("utf-8").replace('language = "en"', 'language = "ja"'), "utf-8")
    assert check(path).stdout.splitlines() == [
        f"設定 {path}: 問題ありません(アカウント1、通知先1)",
        "  アカウント shop: ログインできました(127.0.0.1、新着の知らせ: IDLE)",
        "  フォルダ shop / INBOX: 開けました(メール0通)",
        f"  記録 {tmp_path / 'state'}: 書けます",
        "  通知先 hook: URL は正しい形です(送信はしていません。試すには check --send)",
        f"すべて良好です。監視を始めるには: {PROGRAM} --config {path} run",
    ]


def test_check_does_not_say_to_start_a_run_where_one_is_at_work(server: ScriptedImap, tmp_path: Path) -> None:
    """Seen red: it always said so."""
    lock = RunLock(tmp_path / "state")
    try:
        assert check(configuration(tmp_path, server.port)).stdout.splitlines()[-1] == "All good."
    finally:
        lock.release()


def test_check_names_the_program_alone_where_the_path_leads_to_it(
    server: ScriptedImap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.which", lambda _: PROGRAM)
    path = configuration(tmp_path, server.port)
    assert check(path).stdout.splitlines()[-1] == f"All good. Start watching with: mailwatch --config {path} run"


def test_check_names_a_server_without_idle(tmp_path: Path) -> None:
    with ScriptedImap(capability="IMAP4rev1") as server:
        result = check(configuration(tmp_path, server.port, account='folders = ["INBOX"]'))
    assert "  Account shop: login good (127.0.0.1, new mail by polling)" in result.stdout.splitlines()
    assert result.exit_code == 0


def test_check_of_a_refused_login_says_what_to_check(server: ScriptedImap, tmp_path: Path) -> None:
    path = configuration(tmp_path, server.port)
    put(tmp_path / "password.txt", b"wrong-password\n", 0o600)
    result = check(path)
    assert result.stdout.splitlines() == [
        first_line(path),
        "! Account shop: 127.0.0.1 refused the login ([AUTHENTICATIONFAILED] Authentication failed.). "
        "Check user and password; many services want an app password. "
        "Then run mailwatch check: the watching goes on at once.",
        *good(path),
        "1 things are not well.",
    ]
    assert result.exit_code == 1
    assert server.commands().count("LOGIN") == 1


def test_check_tells_a_busy_server_from_a_refused_login(server: ScriptedImap, tmp_path: Path) -> None:
    server.script("LOGIN", misbehave.refuse_login("[UNAVAILABLE] Temporary authentication failure."))
    result = check(configuration(tmp_path, server.port))
    sentence = "! Account shop: 127.0.0.1 takes no login just now ([UNAVAILABLE] Temporary authentication failure.)."
    assert result.stdout.splitlines()[1].startswith(sentence)
    assert result.exit_code == 1


def test_check_of_a_missing_folder_names_it_and_looks_at_the_others(server: ScriptedImap, tmp_path: Path) -> None:
    path = configuration(tmp_path, server.port, account='folders = ["Amazon 注文", "INBOX"]')
    lines = check(path).stdout.splitlines()
    assert lines[:3] == [first_line(path), LOGIN_GOOD, NO_AUTHSERV]
    assert lines[3].startswith('! Folder shop / Amazon 注文: The folder "Amazon 注文" is not on the server (')
    assert lines[3].endswith("). Check the names in folders.")
    assert lines[4:] == ["  Folder shop / INBOX: good (0 mails)", *good(path), "1 things are not well."]
    assert check(path).exit_code == 1


def test_a_server_that_names_a_missing_folder_in_japanese_writes_no_line_of_imapclients(
    server: ScriptedImap, home: Environment, tmp_path: Path
) -> None:
    """Seen red: imapclient logged "An error occurred while decoding b'…" to stderr."""
    path = configuration(tmp_path, server.port, account='folders = ["対応済み"]')
    server.script("EXAMINE", misbehave.says("{tag} NO Mailbox doesn't exist: 対応済み"))
    done = mailwatch(home, "--config", path, "check")
    assert (done.returncode, done.stderr) == (1, "")
    assert '! Folder shop / 対応済み: The folder "対応済み" is not on the server (' in done.stdout


def test_check_takes_a_missing_junk_folder_as_a_hint_and_not_as_a_fault(server: ScriptedImap, tmp_path: Path) -> None:
    del server.folders["Junk"]
    result = check(configuration(tmp_path, server.port))
    assert (
        "  Account shop: no junk folder was found. If there is one, name it in folders." in result.stdout.splitlines()
    )
    assert result.exit_code == 0


def test_check_of_a_port_where_nothing_listens_is_a_sentence(tmp_path: Path) -> None:
    with ScriptedImap() as server:
        port = server.port
    path = configuration(tmp_path, port)
    sentence = (
        f"! Account shop: Can't connect to 127.0.0.1:{port} ([Errno 111] Connection refused). "
        "Check host, port and the network."
    )
    result = check(path)
    assert result.stdout.splitlines() == [first_line(path), sentence, *good(path), "1 things are not well."]
    assert result.exit_code == 1


def test_check_of_an_unknown_host_is_a_sentence(tmp_path: Path) -> None:
    path = configuration(tmp_path, 993)
    text = path.read_text("utf-8").replace('host = "127.0.0.1"', 'host = "no-such-host.invalid"')
    path.write_text(text.replace('tls = "off"\n', ""), "utf-8")
    result = check(path)
    line = result.stdout.splitlines()[1]
    assert line.startswith("! Account shop: Can't connect to no-such-host.invalid:993 (")
    assert line.endswith("). Check host, port and the network.")
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("command", "script"),
    [
        ("GREETING", misbehave.closes()),
        ("GREETING", misbehave.bye()),
        ("GREETING", misbehave.says("HTTP/1.1 400 Bad Request")),
        ("LOGIN", misbehave.closes()),
        ("LOGIN", misbehave.bye()),
        ("CAPABILITY", misbehave.closes()),
        ("EXAMINE", misbehave.closes()),
        ("LIST", misbehave.says("* LIST (", "{tag} OK done")),
    ],
)
def test_check_of_a_server_that_breaks_off_is_a_sentence_and_the_rest_is_still_checked(
    command: str, script: Script, server: ScriptedImap, tmp_path: Path
) -> None:
    server.script(command, script, always=True)
    path = configuration(tmp_path, server.port)
    result = check(path)
    lines = result.stdout.splitlines()
    assert lines[0] == first_line(path)
    assert any(line.startswith(("! Account shop: ", "! Folder shop / ")) for line in lines)
    assert lines[-3:-1] == good(path)
    assert result.exit_code == 1


def test_check_tells_the_faults_of_every_account(server: ScriptedImap, tmp_path: Path) -> None:
    path = configuration(tmp_path, server.port, account='folders = ["INBOX", "One", "Two"]')
    put(tmp_path / "wrong.txt", b"wrong\n", 0o600)
    second = path.read_text("utf-8").partition("[[accounts]]\n")[2].partition("[[channels]]")[0]
    second = "[[accounts]]\n" + second.replace('"shop"', '"second"').replace("password.txt", "wrong.txt")
    path.write_text(path.read_text("utf-8") + second, "utf-8")
    result = check(path)
    bad = [line for line in result.stdout.splitlines() if line.startswith("! ")]
    assert [line.partition(": ")[0] for line in bad] == [
        "! Folder shop / One",
        "! Folder shop / Two",
        "! Account second",
    ]
    assert (result.stdout.splitlines()[-1], result.exit_code) == ("3 things are not well.", 1)


# ---- a state folder that can't be written; a full disk ----


@dataclass(frozen=True)
class Place:
    """A state folder, what mailwatch is limited by, and the sentence that is to come."""

    state: Path
    limit: AbstractContextManager[None]
    sentence: str


FULL = "The disk is full, so nothing can be recorded ({}). Make room"
SMALL_DISK = 256  # kilobytes
UNWRITABLE = "The store {} can't be written ({}). Check the folder's permissions and free space."


@pytest.fixture(params=["a file stands there", "a folder without permission", "a full disk"])
def unwritable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    state = tmp_path / "state"
    if request.param == "a file stands there":
        put(state, b"")
        yield Place(
            state,
            contextlib.nullcontext(),
            "can't be written (File exists). Check the folder's permissions and free space.",
        )
    elif request.param == "a folder without permission":
        state.mkdir(mode=0o500)
        yield Place(state, without_override(), "can't be written (Permission denied). Check the folder's permissions")
    else:
        with small_disk(state, 0) as place:
            yield place


@contextlib.contextmanager
def small_disk(state: Path, kilobytes: int) -> Iterator[Place]:
    """A state folder on a disk with so much room: a real one where we may mount it, else a limit to a file's size."""
    database = state / "mailwatch.sqlite"
    if mount(state, SMALL_DISK):
        try:
            # Never more than SMALL_DISK, for the disk itself is no larger; and never on a real disk.
            assert os.statvfs(state).f_blocks * os.statvfs(state).f_frsize == SMALL_DISK * 1024
            (state / "others").write_bytes(b"x" * (SMALL_DISK - kilobytes) * 1024)
            yield Place(state, contextlib.nullcontext(), FULL.format(database))
        finally:
            libc().umount2(os.fsencode(state), 2)
    else:
        limit = small_files(max(kilobytes, 4) * 1024)
        yield Place(state, limit, UNWRITABLE.format(database, "disk I/O error"))


@contextlib.contextmanager
def small_files(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def mount(folder: Path, kilobytes: int) -> bool:
    """A small disk of its own, where we are root and allowed to."""
    folder.mkdir(mode=0o700)
    options = f"size={kilobytes}k,mode=700".encode()
    return os.geteuid() == 0 and libc().mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options) == 0


def test_scan_with_a_store_that_cannot_be_written_is_a_sentence_and_75(unwritable: Place, home: Environment) -> None:
    with unwritable.limit:
        done = invoke(home, "scan", "--json", "--store", unwritable.state, SAMPLES)
    assert unwritable.sentence.replace("mailwatch.sqlite", "mailwatch-scan.sqlite") in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.exit_code == 75


def test_a_disk_that_fills_up_while_scan_is_at_work_is_a_sentence_and_75(home: Environment, tmp_path: Path) -> None:
    # An empty store takes 84 KB and one with the samples 124 KB; a transaction's journal has to fit too.
    for number in range(200):
        put(tmp_path / "more" / f"{number}.eml", mails.by_notification(mails.order_id(number)))
    with small_disk(tmp_path / "state", 240) as place, place.limit:
        done = invoke(home, "scan", "--json", "--store", place.state, SAMPLES, tmp_path / "more")
    assert place.sentence.replace("mailwatch.sqlite", "mailwatch-scan.sqlite") in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.exit_code == 75
    read = objects(done.stdout)
    assert read  # it was at work
    assert all(list(each) == KEYS for each in read)


def test_check_with_a_store_that_cannot_be_written_is_a_sentence(
    unwritable: Place, home: Environment, server: ScriptedImap, tmp_path: Path
) -> None:
    path = configuration(tmp_path, server.port, state=unwritable.state)
    if "disk I/O error" in unwritable.sentence:
        pytest.skip("check writes nothing, so only a small disk that is really mounted shows")
    with unwritable.limit:
        done = invoke(home, "--config", path, "check")
    bad = [line for line in done.stdout.splitlines() if line.startswith("!")]
    assert len(bad) == 1
    assert bad[0].startswith("! Store: ")
    assert unwritable.sentence in bad[0]
    assert "  Folder shop / INBOX: good (0 mails)" in done.stdout.splitlines()
    # Design section 5: 1 is "something is not well (check)".
    assert (done.exit_code, done.stderr) == (1, "")


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder that only another user may enter."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
    else:
        folder.chmod(0)
    with without_override():
        yield folder
    folder.chmod(0o700)


def test_check_where_the_state_folder_cannot_be_entered_tells_that_and_the_rest(
    closed: Path, home: Environment, server: ScriptedImap, tmp_path: Path
) -> None:
    """Seen red: a look for the store outside of what was caught ended `check` with "output failed", 75."""
    path = configuration(tmp_path, server.port, state=closed)
    done = invoke(home, "--config", path, "check")
    bad = [line for line in done.stdout.splitlines() if line.startswith("!")]
    assert bad == [f"! Store: {UNWRITABLE.format(closed / 'mailwatch.sqlite', 'Permission denied')}"]
    assert "  Folder shop / INBOX: good (0 mails)" in done.stdout.splitlines()
    assert CHANNEL_GOOD in done.stdout.splitlines()
    assert (done.exit_code, done.stderr) == (1, "")


@pytest.mark.parametrize("command", [["status"], ["list"], ["check"], ["run"], ["scan", FIRST]], ids=lambda c: c[0])
def test_a_configuration_folder_that_cannot_be_entered_is_a_sentence_and_78(
    command: list[object], closed: Path, home: Environment
) -> None:
    """Seen red: a PermissionError came out of looking for the file."""
    environment = {**home, "XDG_CONFIG_HOME": str(closed)}
    done = invoke(environment, *command)
    sentence = (
        f"The configuration file {closed}/mailwatch/config.toml can't be read (Permission denied). "
        "Check its permissions.\n"
    )
    assert (done.exit_code, done.stdout, done.stderr) == (78, "", sentence)


def test_init_into_a_folder_that_cannot_be_entered_is_a_sentence(closed: Path, home: Environment) -> None:
    """Seen red: as above."""
    done = invoke({**home, "XDG_CONFIG_HOME": str(closed)}, "init", "--no-input")
    sentence = f"Can't save in {closed}/mailwatch/config.toml (Permission denied)."
    assert done.stderr.startswith(sentence)
    assert (done.exit_code, done.stdout) == (2, "")


def test_only_an_output_that_failed_is_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen red: each stray OSError was "The result can't be written"."""
    ends: list[object] = []
    for fault in (PermissionError(13, "Permission denied", "/etc/x"), OSError(28, "No space left on device")):
        with mock.patch.object(cli._mailwatch, "main", side_effect=fault), monkeypatch.context() as patch:
            patch.setattr(os, "_exit", ends.append)
            patch.setattr(cli, "_LOCALE", "en")
            patch.setattr(sys, "stderr", said := io.StringIO())
            cli.main()
        ends.append(said.getvalue())
    assert ends == [
        75,
        "/etc/x can't be used (Permission denied). Check its place and permissions.\n",
        75,
        "The result can't be written (No space left on device). Check the free space where it goes.\n",
    ]
    with (
        mock.patch.object(cli._mailwatch, "main", side_effect=OSError(113, "No route to host")),
        pytest.raises(OSError, match="No route"),
    ):
        cli.main()


def test_run_with_a_store_that_cannot_be_written_ends_at_once_with_a_sentence_and_75(
    unwritable: Place,
    home: Environment,
    server: ScriptedImap,
    tmp_path: Path,
    no_watching: None,
) -> None:
    path = configuration(tmp_path, server.port, state=unwritable.state)
    with unwritable.limit:
        done = invoke(home, "--config", path, "run")
    assert unwritable.sentence in done.stderr
    assert (done.exit_code, done.stdout) == (75, "")
    assert server.commands() == []


@pytest.mark.parametrize("there", ["a folder", "nobody may read it", "a pipe", "a folder for the lock"])
def test_run_with_a_store_that_cannot_be_opened_ends_with_a_sentence_and_75(
    there: str, home: Environment, server: ScriptedImap, tmp_path: Path, no_watching: None
) -> None:
    """As root's file, after a `sudo mailwatch run`. Seen red, a traceback and 1, with `sqlite3.connect` of the look for
    damage before its `try`."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    path = state / ("run.lock" if there == "a folder for the lock" else "mailwatch.sqlite")
    if there == "nobody may read it":
        path.write_bytes(b"x" * 4096)
        path.chmod(0)
        # What is our own file is given its mode back; behind a link it may be another's.
        path.symlink_to(path.rename(tmp_path / "elsewhere"))
    elif there == "a pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with without_override():
        done = invoke(home, "--config", configuration(tmp_path, server.port, state=state), "run")
    assert (done.exit_code, done.stdout) == (75, "")
    assert f"The store {path} can't be written (" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert path.exists()
    assert not list(state.glob("*.damaged-*"))


def test_run_with_a_store_of_a_newer_mailwatch_ends_with_a_sentence_and_75(
    home: Environment, server: ScriptedImap, tmp_path: Path, no_watching: None
) -> None:
    """The file is untouched. Planted fault: each number that is not ours is damage: red."""
    state = tmp_path / "state"
    Database.open(state).close()
    with contextlib.closing(sqlite3.connect(state / "mailwatch.sqlite")) as connection:
        connection.execute("CREATE TABLE invention (id INTEGER)")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = (state / "mailwatch.sqlite").read_bytes()
    done = invoke(home, "--config", configuration(tmp_path, server.port, state=state), "run")
    assert (done.exit_code, done.stdout) == (75, "")
    assert "newer" in done.stderr
    assert (state / "mailwatch.sqlite").read_bytes() == before


@pytest.fixture
def no_watching(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where `run` would begin to watch in this process, without an end, it fails instead."""

    def fail(*_: object) -> None:
        raise AssertionError("it watches")

    monkeypatch.setattr(watch.Watch, "start", fail)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_check_and_run_end_the_same_way_as_processes_of_their_own(
    home: Environment, server: ScriptedImap, tmp_path: Path
) -> None:
    state = put(tmp_path / "state", b"")
    path = configuration(tmp_path, server.port)
    done = mailwatch(home, "--config", path, "check")
    assert done.stdout.splitlines()[-3].startswith(f"! Store: The store {state}/mailwatch.sqlite can't be written (")
    assert (done.returncode, done.stderr) == (1, "")
    done = mailwatch(home, "--config", path, "run")
    assert done.stderr.startswith(f"The store {state}")
    assert "can't be written (" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (done.returncode, done.stdout) == (75, "")


def test_a_store_that_is_no_database_is_a_sentence_and_75(home: Environment, tmp_path: Path) -> None:
    damaged = put(
        tmp_path / "state" / "mailwatch-scan.sqlite", b"not a database, but long enough to be taken for one" * 100
    )
    done = invoke(home, "scan", "--store", tmp_path / "state", FIRST)
    sentence = f"scan's store {damaged} is damaged (file is not a database). Delete it and try again.\n"
    assert (done.exit_code, done.stdout, done.stderr) == (75, "", sentence)


def test_a_damaged_store_of_run_is_nothing_to_do_by_hand(home: Environment, tmp_path: Path) -> None:
    """Seen red: the sentence asked to move the file away, which `run` does by itself."""
    put(tmp_path / "state" / "mailwatch.sqlite", b"not a database, but long enough to be taken for one" * 100)
    done = invoke(home, "--config", configuration(tmp_path, 9), "list")
    assert "mailwatch run sets it aside by itself" in done.stderr
    assert done.exit_code == 75


# ---- the demo ----


def test_the_demo_without_its_server_names_the_pip_of_the_program_itself(home: Environment) -> None:
    """Seen red: a mere `pip`, which on most machines installs elsewhere or nowhere."""
    # What the demo sets for the whole process, this one goes on without.
    with mock.patch.dict(sys.modules, pymap=None), mock.patch("mailwatch.log.mute"), mock.patch("signal.signal"):
        done = invoke(home, "demo")
    assert done.stderr == f"The demo needs pymap. Run: {sys.executable} -m pip install pymap\n"
    assert done.exit_code == 2


def test_the_demo_ends_soon_where_the_server_announces_no_mail(capsys: pytest.CaptureFixture[str]) -> None:
    """pymap announces nothing that came between the last command and IDLE: here every mail does.

    Seen red: with slices of 60 s it took 61 s, and with the limit of 60 s it failed.
    """
    pytest.importorskip("pymap")
    all_sent, deliver, wait_idle = threading.Event(), demo._deliver, Mailbox.wait_idle

    def deliver_all(*given: Any) -> None:
        deliver(*given)
        all_sent.set()

    def idle_late(mailbox: Mailbox, seconds: float) -> bool:
        all_sent.wait(20)
        return wait_idle(mailbox, seconds)

    began = time.monotonic()
    with (
        mock.patch.object(demo, "_deliver", deliver_all),
        mock.patch.object(Mailbox, "wait_idle", idle_late),
        mock.patch.object(demo, "_FAMILIES", ("routes",)),
        mock.patch("mailwatch.log.mute"),
        mock.patch("signal.signal"),
    ):
        assert demo.play("en") == 0
    assert time.monotonic() - began < 40
    shown = capsys.readouterr().out
    assert "mails seen: 21" in shown
    assert "Ordered: " in shown
    assert "days ago" not in shown
    assert "ship-by date has passed" not in shown


def test_a_demo_that_does_not_end_says_how_far_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    """Seen red: where the limit is not looked at it never ends."""
    pytest.importorskip("pymap")
    with (
        mock.patch.object(demo, "_LIMIT_SECONDS", 1.0),
        mock.patch.object(demo, "_FAMILIES", ("wishes",)),
        mock.patch.object(demo, "_deliver"),
        mock.patch("mailwatch.log.mute"),
        mock.patch("signal.signal"),
    ):
        assert demo.play("en") == 1
    assert "After 1 s only 0 of 17 mails had arrived." in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_demo_whose_terminal_is_closed_leaves_nothing_behind(
    number: signal.Signals, home: Environment, tmp_path: Path
) -> None:
    """Seen red: its folder stayed, and with SIGTERM its mail server too."""
    pytest.importorskip("pymap")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-m", "mailwatch", "demo"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**home, "TMPDIR": str(temporary)}
    ) as process:
        assert process.stdout is not None
        while process.stdout.readline()[:3] != "┌".encode():
            pass
        assert list(temporary.iterdir())
        process.send_signal(number)
        process.stdout.read()
        assert process.wait(20) == 1
    assert list(temporary.iterdir()) == []
