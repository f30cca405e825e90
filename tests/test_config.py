"""The configuration: every fault has its sentence, all faults come at once, and no secret ever shows.

Each file of bad_configs/ differs from bad_configs/good.toml in one place (those named `several_…` in many). Beside it
stands what `mailwatch check` says of it: Japanese, an empty line, English. `{folder}` is the configuration's folder.
"""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Callable
from datetime import date, time, timedelta
from difflib import SequenceMatcher
from pathlib import Path

import pytest
from beds.scripted import ScriptedImap
from click.testing import CliRunner, Result

from mailwatch import catalogue, cli, config, toml
from mailwatch.config import Config
from mailwatch.config import file as sections
from mailwatch.errors import ConfigurationError
from mailwatch.request import Rollout
from mailwatch.schedule import Hours

# apprise loads modules that warn of their own end.
pytestmark = pytest.mark.filterwarnings("ignore:.*slated for removal:DeprecationWarning")

ROOT = Path(__file__).parents[1]
BAD = Path(__file__).parent / "bad_configs"
GOOD = (BAD / "good.toml").read_text("utf-8")
ALL = sorted(path.stem for path in BAD.glob("*.toml") if path.stem != "good")
SINGLE = [name for name in ALL if not name.startswith("several_")]
LOCALES = {"ja": "ja_JP.UTF-8", "en": "en_US.UTF-8"}
# A file that is not private, where that is the fault.
MODES = {"secret_url_open_to_others": 0o644}
CANARY = "hunter2-canary"


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANGUAGE", "MAILWATCH_CONFIG", "STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration's folder with the files that the configurations name."""
    made = tmp_path / "configuration"
    made.mkdir()
    secrets = {
        "password.txt": ("pass-one\n", 0o600),
        "open.txt": ("pass-one\n", 0o644),
        "empty.txt": ("\n", 0o600),
        "two-lines.txt": ("pass-one\nx LOGOUT\n", 0o600),
    }
    for name, (text, mode) in secrets.items():
        write(made / name, text, mode)
    for each in (BAD / "beside").iterdir():
        write(made / each.name, each.read_bytes())
    return made


def write(path: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def put(folder: Path, content: str | bytes, mode: int = 0o600) -> Path:
    return write(folder / "config.toml", content, mode)


def load(path: Path) -> Config:
    return config.load(path, os.environ)


def mailwatch(monkeypatch: pytest.MonkeyPatch, language: str, *arguments: object) -> Result:
    monkeypatch.setenv("LANG", LOCALES[language])
    return CliRunner().invoke(cli._mailwatch, [str(each) for each in arguments])


def expected(name: str, folder: Path) -> dict[str, str]:
    japanese, english = (BAD / f"{name}.expected").read_text("utf-8").split("\n\n")
    return {
        language: text.strip("\n").replace("{folder}", str(folder)) + "\n"
        for language, text in (("ja", japanese), ("en", english))
    }


def crash(result: Result) -> str:
    """The traceback of a command that ended by an exception that is no exit."""
    if result.exception is None or isinstance(result.exception, SystemExit):
        return ""
    return "".join(traceback.format_exception(result.exception))


def faulty_keys(folder: Path, content: str) -> list[str]:
    """The keys that the configuration's faults name."""
    with pytest.raises(ConfigurationError) as caught:
        load(put(folder, content))
    return [str(fault.fields.get("key", "")) for fault in caught.value.faults]


def with_line(section: str, line: str) -> str:
    """The good configuration with one more line under a heading."""
    assert section in GOOD
    return GOOD.replace(section + "\n", f"{section}\n{line}\n", 1)


def instead(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


# ---- the files ----


def test_the_good_configuration_loads_so_that_a_bad_one_fails_by_its_own_fault_only(folder: Path) -> None:
    loaded = load(put(folder, GOOD))
    assert [account.name for account in loaded.accounts] == ["shop"]
    assert loaded.accounts[0].password().reveal() == "pass-one"
    assert [channel.name for channel in loaded.channels] == ["hook"]


def test_there_are_more_than_enough_bad_configurations_each_with_its_sentences() -> None:
    assert len(SINGLE) >= 25
    assert len(ALL) - len(SINGLE) >= 5
    assert {path.stem for path in BAD.glob("*.expected")} == set(ALL)


def test_a_bad_configuration_differs_from_the_good_one_in_one_place() -> None:
    for name in SINGLE:
        lines = (BAD / f"{name}.toml").read_bytes().decode("utf-8", "replace").splitlines()
        codes = SequenceMatcher(None, GOOD.splitlines(), lines, False).get_opcodes()
        changes = [code for code in codes if code[0] != "equal"]
        assert len(changes) <= (2 if name in {"watch_not_a_section", "empty_accounts"} else 1), (name, changes)


@pytest.mark.parametrize("name", ALL)
def test_a_bad_configuration_is_refused_with_exactly_its_sentences(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(folder, (BAD / f"{name}.toml").read_bytes(), MODES.get(name, 0o600))
    for language, sentences in expected(name, folder).items():
        result = mailwatch(monkeypatch, language, "--config", path, "check")
        assert crash(result) == ""
        assert result.stderr == sentences
        assert (result.exit_code, result.stdout) == (78, "")


# That a process ends the same way: test_cli.
@pytest.mark.parametrize("name", ["several_in_watch", "several_passwords"])
def test_run_names_every_fault_and_every_password_that_cannot_be_read_before_it_starts(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(folder, (BAD / f"{name}.toml").read_bytes())
    result = mailwatch(monkeypatch, "en", "--config", path, "run")
    assert crash(result) == ""
    assert (result.exit_code, result.stdout, result.stderr) == (78, "", expected(name, folder)["en"])
    assert not (folder / "state").exists()


@pytest.mark.parametrize(
    "arguments", [["scan", "."], ["explain", "config.toml"], ["templates", "list"], ["templates", "test", "."]]
)
def test_a_command_that_needs_no_configuration_refuses_a_bad_one_that_is_named(
    arguments: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    path = put(folder, (BAD / "several_in_watch.toml").read_bytes())
    result = mailwatch(monkeypatch, "en", "--config", path, *arguments)
    assert crash(result) == ""
    assert (result.exit_code, result.stdout, result.stderr) == (78, "", expected("several_in_watch", folder)["en"])


def test_scan_does_without_the_passwords(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(folder, (BAD / "several_passwords.toml").read_bytes())
    result = mailwatch(monkeypatch, "en", "--config", path, "scan", folder)
    assert (crash(result), result.exit_code) == ("", 0)


@pytest.mark.parametrize("language", LOCALES)
def test_a_fault_is_told_in_the_language_that_the_configuration_asks_for(
    language: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(folder, with_line("[watch]", f'language = "{language}"\nlookback_days = 0'))
    other = "en" if language == "ja" else "ja"
    result = mailwatch(monkeypatch, other, "--config", path, "check")
    assert crash(result) == ""
    assert result.stderr == expected("out_of_range_days", folder)[language]


# ---- the file itself ----


def test_a_byte_order_mark_and_windows_line_ends_are_fine(folder: Path) -> None:
    plain = load(put(folder, GOOD))
    windows = load(put(folder, b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()))
    assert windows == plain


def test_a_configuration_that_is_missing_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "nowhere" / "config.toml"
    sentences = {
        "ja": f"設定ファイル {path} がありません。mailwatch init で作るか、--config で場所を指定してください。\n",
        "en": f"There is no configuration file {path}. Make one with mailwatch init, or name another with --config.\n",
    }
    for language, sentence in sentences.items():
        result = mailwatch(monkeypatch, language, "--config", path, "check")
        assert (crash(result), result.stderr, result.stdout, result.exit_code) == ("", sentence, "", 78)


def test_a_directory_as_configuration_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen red with a hint at its permissions."""
    sentences = {
        "ja": f"設定の {tmp_path} はフォルダです。中のファイルまで指定してください(例: {tmp_path}/config.toml)。\n",
        "en": f"The configuration {tmp_path} is a folder. Name the file in it, such as {tmp_path}/config.toml.\n",
    }
    for language, sentence in sentences.items():
        result = mailwatch(monkeypatch, language, "--config", tmp_path, "check")
        assert (crash(result), result.stderr, result.stdout, result.exit_code) == ("", sentence, "", 78)


def test_a_configuration_whose_reading_fails_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    # The kernel refuses to read the first page of this file to everyone, root too.
    result = mailwatch(monkeypatch, "en", "--config", "/proc/self/mem", "check")
    sentence = "The configuration file /proc/self/mem can't be read (Input/output error). Check its permissions.\n"
    assert (crash(result), result.stderr, result.stdout, result.exit_code) == ("", sentence, "", 78)


def test_an_empty_configuration_asks_for_accounts_and_channels(folder: Path) -> None:
    assert faulty_keys(folder, "") == ["accounts", "channels"]


# ---- values that only a hostile or an unlucky hand writes: refused by name, whatever the wording ----

ACCOUNT, CHANNEL, WATCH = "[[accounts]]", "[[channels]]", "[watch]"


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (with_line(WATCH, "poll_seconds = 0x" + "f" * 9000), "watch.poll_seconds"),
        (with_line(WATCH, "poll_seconds = inf"), "watch.poll_seconds"),
        (with_line(WATCH, 'morning_line = "０８:００"'), "watch.morning_line"),
        (with_line(WATCH, 'morning_line = "0８:00"'), "watch.morning_line"),
        (with_line(WATCH, 'morning_line = "08:0０"'), "watch.morning_line"),
        (with_line(WATCH, 'quiet_hours = "２２:00-07:00"'), "watch.quiet_hours"),
        (with_line(WATCH, 'quiet_hours = "22:00-0７:00"'), "watch.quiet_hours"),
        (with_line(WATCH, 'merge_within = "7２h"'), "watch.merge_within"),
        (with_line(WATCH, 'quiet_hours = "22:00"'), "watch.quiet_hours"),
        (with_line(WATCH, 'quiet_hours = "22:00-22:00"'), "watch.quiet_hours"),
        (with_line(WATCH, 'quiet_hours = "22:00-24:00"'), "watch.quiet_hours"),
        (with_line(WATCH, 'quiet_hours = "22:00-07:00-08:00"'), "watch.quiet_hours"),
        (with_line(WATCH, "quiet_hours = 22"), "watch.quiet_hours"),
        (with_line(WATCH, 'templates = "~no-such-user/t.toml"'), "watch.templates"),
        (with_line(WATCH, f'templates = "{"t" * 300}"'), "watch.templates"),
        (with_line(WATCH, 'time_zone = "Asia"'), "watch.time_zone"),
        (instead('"state"', '"~no-such-user/state"'), "watch.state_dir"),
        (with_line(ACCOUNT, 'ca_file = "~no-such-user/ca.pem"'), "accounts.shop.ca_file"),
        (with_line(ACCOUNT, f'ca_file = "{"c" * 300}"'), "accounts.shop.ca_file"),
        (with_line(ACCOUNT, 'folders = ["a\\u0000b"]'), "accounts.shop.folders"),
        (with_line(ACCOUNT, 'folders = ["INBOX\\r\\nx LOGOUT"]'), "accounts.shop.folders"),
        (with_line(ACCOUNT, 'folders = ["INBOX", "INBOX"]'), "accounts.shop.folders"),
        (with_line(ACCOUNT, 'seller = "a\\u001b[31m"'), "accounts.shop.seller"),
        (instead("seller@example.test", "seller\\rx"), "accounts.shop.user"),
        (instead("port = 9", "port = 9.5"), "accounts.shop.port"),
        (instead("json://127.0.0.1:9/", "slack://[T1JJ3T3L2"), "channels.hook.url"),
        (instead("json://127.0.0.1:9/", "json://127.0.0.1:9/, slack://T1JJ3T3L2"), "channels.hook.url"),
        (instead("json://127.0.0.1:9/", "slack://xoxb-1-2-abcdefghijklmnopqrstuvwx"), "channels.hook.url"),
        (instead("json://127.0.0.1:9/", "https://hooks.slack.com/services/T1JJ3T3L2"), "channels.hook.url"),
        (instead("json://127.0.0.1:9/", "line://token"), "channels.hook.url"),
        (instead("json://127.0.0.1:9/", "line://token/my-line-id"), "channels.hook.url"),
        (instead("json://127.0.0.1:9/", "twilio://AC1:token@+15005550006"), "channels.hook.url"),
        (instead("json://127.0.0.1:9/", "twilio://AC1:token@+15005550006/110"), "channels.hook.url"),
        (
            instead("json://127.0.0.1:9/", "twilio://AC1:token@+15005550006/+819012345678/+819012345679"),
            "channels.hook.url",
        ),
        (with_line(CHANNEL, "monthly_limit = -1"), "channels.hook.monthly_limit"),
        (with_line(CHANNEL, "monthly_limit = 0.5"), "channels.hook.monthly_limit"),
        (with_line(CHANNEL, 'monthly_limit = "200"'), "channels.hook.monthly_limit"),
        (instead("9/", "9/?verify=disable"), "channels.hook.url"),
        (instead("9/", "9/?verify=%6eo"), "channels.hook.url"),
        (instead("9/", "9/?optional=enable"), "channels.hook.url"),
        (instead("9/", "9/?optional=always"), "channels.hook.url"),
        (instead("9/", "9/?optional=%79es"), "channels.hook.url"),
        (instead("9/", "9/?format=%6darkdown"), "channels.hook.url"),
        (GOOD + '[heartbeat]\nurl = "http://127.0.0.1:9/"\nevery = "0s"\n', "heartbeat.every"),
        (GOOD + '[heartbeat]\nurl = "https://"\n', "heartbeat.url"),
        (GOOD + '[heartbeat]\nurl = "https://[x"\n', "heartbeat.url"),
    ],
    ids=lambda value: value if value.partition(".")[0].partition("[")[0] in sections._SECTIONS else "",
)
def test_a_value_that_cannot_work_is_refused_by_the_name_of_its_key(content: str, key: str, folder: Path) -> None:
    """Planted faults: `\\d`, which a full-width digit is too, in the form of a time (a crash) or of a length of time
    (taken): red each."""
    assert faulty_keys(folder, content) == [key]


def test_a_channel_that_has_a_fault_of_its_own_is_still_known_by_its_name(folder: Path) -> None:
    second = '[[channels]]\nname = "sms"\nurl = "json://127.0.0.1:9/"\nfallback_for = ["hook"]\n'
    assert faulty_keys(folder, instead("9/", "9/?verify=no") + second) == ["channels.hook.url"]


def test_faults_of_the_channels_do_not_hide_those_of_the_passwords(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(folder, instead("password.txt", "empty.txt").replace("9/", "9/?verify=no"))
    result = mailwatch(monkeypatch, "en", "--config", path, "check")
    assert crash(result) == ""
    assert "channels.hook.url: " in result.stderr
    assert "empty.txt is empty" in result.stderr


def test_a_url_that_apprise_does_not_take_is_named_with_every_other_fault(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen red: those URLs were named only after the other faults were mended, and in another form of the key."""
    urls = ("discord://1", "slak://foo", "https://example.com/x")
    others = "".join(f'[[channels]]\nname = "c{n}"\nurl = "{url}"\n' for n, url in enumerate(urls))
    nameless = '[[channels]]\nurl = "line://x"\nfallback_for = ["hook"]\n'
    path = put(folder, instead("password.txt", "empty.txt") + others + nameless)
    result = mailwatch(monkeypatch, "en", "--config", path, "check")
    assert crash(result) == ""
    assert result.exit_code == 78
    assert [line.partition(": ")[0] for line in result.stderr.splitlines()] == [
        "accounts.shop.password_file",
        *("channels.c0.url", "channels.c1.url", "channels.c2.url"),
        *("channels[5].name", "channels[5].url"),
    ]


def test_a_channel_is_called_the_same_whatever_is_wrong_with_it(folder: Path) -> None:
    """Seen red: `channels[1].url` beside `channels.hook.fallback_for`."""
    wrong = 'fallback_for = ["nobody"]\nmonthly_limit = -1'
    wanted = ["channels.hook.monthly_limit", "channels.hook.fallback_for", "channels"]
    assert faulty_keys(folder, with_line(CHANNEL, wrong)) == wanted


def test_a_number_of_five_thousand_digits_is_a_fault_and_not_a_crash(folder: Path) -> None:
    assert len(faulty_keys(folder, with_line(WATCH, "poll_seconds = " + "9" * 5000))) == 1


def test_control_characters_of_a_value_never_reach_the_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(folder, with_line(WATCH, 'language = "\\u001b[31m\\u0000"\nmerge_within = "1\\n2"\n"a\\u001b\\nb" = 1'))
    result = mailwatch(monkeypatch, "en", "--config", path, "check")
    assert crash(result) == ""
    assert len(result.stderr.splitlines()) == 3
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", result.stderr)


def test_nor_do_those_of_a_templates_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen red with the file's own words as they are."""
    write(folder / "odd.toml", '[[template]]\nid = "a\\u001b[31m"\nkind = "x"\n"b\\u0007" = 1\nsenders = ["\\u001b"]')
    path = put(folder, with_line(WATCH, 'templates = "odd.toml"'))
    result = mailwatch(monkeypatch, "en", "--config", path, "check")
    assert crash(result) == ""
    assert len(result.stderr.splitlines()) == 4
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", result.stderr)


# ---- what the values mean ----


def test_what_is_not_given_has_the_value_of_the_design(folder: Path) -> None:
    loaded = load(put(folder, GOOD))
    watch, account, channel = loaded.watch, loaded.accounts[0], loaded.channels[0]
    assert (watch.lookback, watch.poll_seconds, watch.idle_seconds) == (timedelta(days=14), 60, 60)
    assert (watch.language, watch.time_zone.key) == ("ja", "Asia/Tokyo")
    assert (watch.morning_line, watch.quiet_hours) == (time(8, 0), None)
    assert (loaded.rules.merge_within, loaded.rules.rollout) == (timedelta(hours=72), Rollout(date(2022, 6, 6), 14))
    assert (account.folders, account.seller, account.provider.authserv_id) == (("INBOX", "\\Junk"), "shop", None)
    assert channel.send == {"request", "wish", "possible", "unreadable", "fault", "digest"}
    assert (channel.fallback_for, channel.monthly_limit, loaded.heartbeat) == ((), 0, None)


@pytest.mark.parametrize(
    ("lines", "morning_line", "quiet_hours"),
    [
        ('morning_line = ""\nquiet_hours = ""', None, None),
        ('morning_line = "23:59"', time(23, 59), None),
        ('quiet_hours = "22:00-07:00"', time(8, 0), Hours(time(22, 0), time(7, 0))),
        ('quiet_hours = " 00:00 - 06:30 "', time(8, 0), Hours(time(0, 0), time(6, 30))),
    ],
)
def test_times_of_day_are_read_and_an_empty_one_is_none(
    lines: str, morning_line: time | None, quiet_hours: Hours | None, folder: Path
) -> None:
    watch = load(put(folder, with_line(WATCH, lines))).watch
    assert (watch.morning_line, watch.quiet_hours) == (morning_line, quiet_hours)


@pytest.mark.parametrize(
    ("url", "line", "limit"),
    [
        ("json://127.0.0.1:9/", "", 0),
        ("line://token/U0123456789abcdef0123456789abcdef", "", 200),
        ("line://token/U0123456789abcdef0123456789abcdef", "monthly_limit = 0", 0),
        ("json://127.0.0.1:9/", "monthly_limit = 40", 40),
    ],
)
def test_only_line_has_a_monthly_limit_where_none_is_given(url: str, line: str, limit: int, folder: Path) -> None:
    content = instead("json://127.0.0.1:9/", url).replace(CHANNEL, f"{CHANNEL}\n{line}")
    assert load(put(folder, content)).channels[0].monthly_limit == limit


def test_a_stand_in_is_owed_in_the_first_place_only_what_no_other_channel_is_sent(folder: Path) -> None:
    """`audience`: the rest comes to it when another fails. Planted fault: the stand-in's own kinds whole: red."""
    more = 'send = ["request"]\n[[channels]]\nname = "sms"\nurl = "json://127.0.0.1:9/"\n'
    loaded = load(put(folder, GOOD + more + 'send = ["request", "wish"]\nfallback_for = ["hook"]\n'))
    assert config.audience(loaded.channels) == (("hook", frozenset({"request"})), ("sms", frozenset({"wish"})))


@pytest.mark.parametrize(("tls", "port"), [("", 993), ('tls = "off"\n', 143)])
def test_the_port_follows_from_tls_where_none_is_given(tls: str, port: int, folder: Path) -> None:
    assert load(put(folder, instead('port = 9\ntls = "off"\n', tls))).accounts[0].port == port


def test_a_key_of_an_account_overrides_its_provider(folder: Path) -> None:
    preset = load(put(folder, instead('host = "127.0.0.1"\nport = 9\ntls = "off"\n', 'provider = "gmail"\n')))
    assert preset.accounts[0].host == "imap.gmail.com"
    assert preset.accounts[0].provider.authserv_id == "mx.google.com"
    own = load(put(folder, with_line(ACCOUNT, 'provider = "gmail"\nauthserv_id = "mx.example.test"\nreceived_by = []')))
    assert own.accounts[0].host == "127.0.0.1"
    assert own.accounts[0].provider.authserv_id == "mx.example.test"
    assert own.accounts[0].provider.received_by == ()


@pytest.mark.parametrize(
    ("text", "meant"),
    [("0s", timedelta()), (" 90 m ", timedelta(minutes=90)), ("72h", timedelta(hours=72)), ("3d", timedelta(days=3))],
)
def test_a_length_of_time_is_a_number_with_its_unit(text: str, meant: timedelta, folder: Path) -> None:
    assert load(put(folder, with_line(WATCH, f'merge_within = "{text}"'))).rules.merge_within == meant


@pytest.mark.parametrize(
    ("environment", "place"),
    [
        ({"STATE_DIRECTORY": "/var/lib/mailwatch:/other"}, "/var/lib/mailwatch"),
        ({"XDG_STATE_HOME": "/home/a/state"}, "/home/a/state/mailwatch"),
    ],
)
def test_the_state_folder_follows_the_environment_where_none_is_given(
    environment: dict[str, str], place: str, folder: Path
) -> None:
    path = put(folder, instead('state_dir = "state"\n', ""))
    assert config.load(path, environment).watch.state_dir == Path(place)


def test_files_are_looked_for_beside_the_configuration(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    loaded = load(put(folder, GOOD))
    assert loaded.watch.state_dir == folder / "state"
    assert loaded.accounts[0].password().reveal() == "pass-one"


@pytest.mark.parametrize("content", ["pass-one", "pass-one\n", "pass-one\r\n"])
def test_the_line_end_of_a_password_file_is_no_part_of_the_password(content: str, folder: Path) -> None:
    write(folder / "password.txt", content)
    assert load(put(folder, GOOD)).accounts[0].password().reveal() == "pass-one"


@pytest.mark.parametrize("line", ['password_file = "marked.txt"', 'password_command = "cat marked.txt"'])
def test_the_byte_order_mark_of_a_password_file_is_no_part_of_the_password(
    line: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen red: the password of a file saved with Windows' Notepad "contains full-width characters"."""
    monkeypatch.chdir(folder)
    write(folder / "marked.txt", b"\xef\xbb\xbfpass-one\r\n")
    made = put(folder, instead('password_file = "password.txt"', line))
    assert load(made).accounts[0].password().reveal() == "pass-one"


def test_a_byte_order_mark_is_no_channel_url_either(folder: Path) -> None:
    """Seen red: the URL did not begin with a scheme."""
    write(folder / "hook.url", b"\xef\xbb\xbfjson://127.0.0.1:9/\r\n")
    made = put(folder, instead('url = "json://127.0.0.1:9/"', 'url_file = "hook.url"'))
    assert load(made).channels[0].url.reveal() == "json://127.0.0.1:9/"


def test_a_url_without_a_secret_may_stand_in_a_file_that_others_can_read(folder: Path) -> None:
    assert load(put(folder, GOOD, 0o644)).channels[0].name == "hook"


# ---- config.example.toml ----

EXAMPLE = ROOT / "config.example.toml"
SECRET_FILES = {"gmail.password": "app-password", "slack.url": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
                "line.url": "line://token-of-line/U0123456789abcdef0123456789abcdef"}  # fmt: skip


def example(folder: Path) -> Path:
    for name, text in SECRET_FILES.items():
        write(folder / name, text + "\n")
    return put(folder, EXAMPLE.read_bytes())


def given_keys(text: str) -> set[str]:
    """Every `key =` of the file, also of the lines that are commented out."""
    return set(re.findall(r"^#? ?([a-z_]+) = ", text, re.MULTILINE))


def test_the_example_loads_once_its_secret_files_are_there(folder: Path) -> None:
    loaded = load(example(folder))
    assert [account.host for account in loaded.accounts] == ["imap.gmail.com"]
    assert loaded.accounts[0].password().reveal() == "app-password"
    assert [channel.name for channel in loaded.channels] == ["slack", "line"]


def test_the_example_without_its_commented_lines_says_the_same_as_the_defaults(folder: Path) -> None:
    loaded, plain = load(example(folder)), load(put(folder, GOOD))
    for name in ("lookback", "poll_seconds", "idle_seconds", "language", "time_zone", "morning_line"):
        assert getattr(loaded.watch, name) == getattr(plain.watch, name)
    assert loaded.rules == plain.rules
    assert (loaded.accounts[0].folders, loaded.accounts[0].seller) == (plain.accounts[0].folders, "shop")
    assert loaded.channels[0].send == plain.channels[0].send


@pytest.mark.parametrize(
    ("watch", "account", "expected"),
    [
        ("", "", "JP"),
        ('language = "ja"', "", "JP"),
        ('language = "en"', "", None),
        ('language = "en"', 'marketplace = "DE"', "DE"),
        ("", 'marketplace = ""', None),
    ],
)
def test_the_marketplace_of_an_account_is_japan_by_default_for_those_who_read_japanese(
    folder: Path, watch: str, account: str, expected: str | None
) -> None:
    text = GOOD.replace("[watch]", f"[watch]\n{watch}", 1).replace("[[accounts]]", f"[[accounts]]\n{account}", 1)
    assert load(put(folder, text)).accounts[0].marketplace == expected


def test_the_example_names_every_key_of_the_configuration_and_no_other() -> None:
    known = {*sections._WATCH_KEYS, "start", "days", *sections._ACCOUNT_KEYS}
    known |= {*sections._CHANNEL_KEYS, *sections._HEARTBEAT_KEYS}
    assert given_keys(EXAMPLE.read_text("utf-8")) == known


def test_the_commented_lines_of_the_example_load_too(folder: Path) -> None:
    text = example(folder).read_text("utf-8")
    text = re.sub(r"^# (?=\[\[|\[|[a-z_]+ = )", "", text, flags=re.MULTILINE)
    # Of several sources of a secret only one may stand; and files of the seller's own are not here.
    text = re.sub(
        r"^(?:password_env|password_command|url_env|url = \"slack|ca_file|templates)\b.*\n",
        "",
        text,
        flags=re.MULTILINE,
    )
    write(folder / "own.password", "pass\n")
    write(folder / "sms.url", "twilio://AC123:token@+815000000000/+819000000000\n")
    loaded = load(put(folder, text))
    assert [account.name for account in loaded.accounts] == ["shop", "own"]
    assert [channel.name for channel in loaded.channels] == ["slack", "line", "sms", "hook"]
    assert loaded.channels[2].send == {"request", "fault"}
    assert loaded.heartbeat is not None


def test_every_key_of_the_example_is_explained_in_japanese_and_english() -> None:
    lines, explained, section = EXAMPLE.read_text("utf-8").splitlines(), set(), ""
    for number, line in enumerate(lines):
        if heading := re.match(r"#? ?\[+([a-z]+)\]", line):
            section = heading[1]
        key = re.match(r"#? ?([a-z_]+) = ", line)
        if key and (section, key[1]) not in explained and key[1] != "url_file":
            japanese, english = [each for each in lines[number - 3 : number] if each.startswith("# ")][-2:]
            assert re.search(r"[ぁ-んァ-ヶ一-龠]", japanese), line
            assert re.fullmatch(r"# [ -~]+", english), line
            explained.add((section, key[1]))
    assert len(explained) >= len(given_keys("\n".join(lines)))


# ---- secrets ----


def beside(content: str, _written: Path) -> str:
    """A configuration, and a file that was written for it."""
    return content


SECRETS: dict[str, Callable[[Path], str]] = {
    "password_file": lambda folder: beside(GOOD, write(folder / "password.txt", CANARY + "\n")),
    "open password_file": lambda folder: beside(GOOD, write(folder / "password.txt", CANARY, 0o644)),
    "password_file in Shift_JIS": lambda folder: beside(
        GOOD, write(folder / "password.txt", f"{CANARY}店".encode("cp932"))
    ),
    "password_file with two lines": lambda folder: beside(GOOD, write(folder / "password.txt", f"{CANARY}\nx")),
    "password not ASCII": lambda folder: beside(GOOD, write(folder / "password.txt", CANARY + "店")),
    "password_env": lambda folder: instead('password_file = "password.txt"', 'password_env = "CANARY"'),
    "password_command": lambda folder: instead('password_file = "password.txt"', 'password_command = "cat canary.txt"'),
    "password_command with a complaint": lambda folder: instead(
        'password_file = "password.txt"', 'password_command = "cat canary.txt >&2; exit 3"'
    ),
    "inline password": lambda folder: with_line(ACCOUNT, f'password = "{CANARY}"'),
    "url": lambda folder: instead("json://127.0.0.1:9/", f"slack://T1JJ3T3L2/A1BRTD4JD/{CANARY}"),
    "url that is none": lambda folder: instead("json://127.0.0.1:9/", CANARY),
    "url of an unknown kind": lambda folder: instead("json://127.0.0.1:9/", f"slak://{CANARY}"),
    "url that lacks something": lambda folder: instead("json://127.0.0.1:9/", f"slack://{CANARY}"),
    "url that cannot be split": lambda folder: instead("json://127.0.0.1:9/", f"slack://[{CANARY}"),
    "url of Slack with two channels": lambda folder: instead("json://127.0.0.1:9/", f"slack://xoxb-{CANARY}/#a/#b"),
    "url as Slack prints it": lambda folder: instead(
        "json://127.0.0.1:9/", f"https://hooks.slack.com/services/{CANARY}"
    ),
    "url of LINE without a recipient": lambda folder: instead("json://127.0.0.1:9/", f"line://{CANARY}"),
    "url of LINE with a wrong recipient": lambda folder: instead("json://127.0.0.1:9/", f"line://{CANARY}/{CANARY}"),
    "url of Twilio without a number": lambda folder: instead(
        "json://127.0.0.1:9/", f"twilio://AC1:{CANARY}@+15005550006"
    ),
    "url of Twilio with a wrong number": lambda folder: instead(
        "json://127.0.0.1:9/", f"twilio://AC1:{CANARY}@+15005550006/{CANARY}"
    ),
    "url with a forbidden option": lambda folder: instead("9/", f"9/{CANARY}?verify=no"),
    "url with user and password": lambda folder: instead("127.0.0.1:9/", f"me:{CANARY}@127.0.0.1:9/"),
    "url that is a number": lambda folder: instead('"json://127.0.0.1:9/"', f'["{CANARY}"]'),
    "url_file": lambda folder: beside(
        instead('url = "json://127.0.0.1:9/"', 'url_file = "url.txt"'),
        write(folder / "url.txt", f"slak://{CANARY}\n"),
    ),
    "url_env": lambda folder: instead('url = "json://127.0.0.1:9/"', 'url_env = "CANARY"'),
    "heartbeat": lambda folder: GOOD + f'[heartbeat]\nurl = "https://127.0.0.1:9/{CANARY}"\n',
    "heartbeat with a wrong scheme": lambda folder: GOOD + f'[heartbeat]\nurl = "ftp://127.0.0.1:9/{CANARY}"\n',
    "heartbeat that cannot be split": lambda folder: GOOD + f'[heartbeat]\nurl = "https://[{CANARY}"\n',
    "TOML that is broken in the secret": lambda folder: instead('"json://127.0.0.1:9/"', f'"slack://{CANARY}'),
    "secret without quotes": lambda folder: instead('"json://127.0.0.1:9/"', CANARY),
}


@pytest.mark.parametrize("place", SECRETS)
def test_a_secret_shows_nowhere(place: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", CANARY)
    write(folder / "canary.txt", CANARY)
    monkeypatch.chdir(folder)
    path = put(folder, SECRETS[place](folder))
    shown = []
    with ScriptedImap() as server:
        path.write_text(path.read_text("utf-8").replace("port = 9\n", f"port = {server.port}\n"), "utf-8")
        for language in LOCALES:
            result = mailwatch(monkeypatch, language, "--config", path, "check")
            shown += [result.stdout, result.stderr, crash(result)]
    try:
        loaded = load(path)
        shown += [repr(loaded), str(loaded)]
    except ConfigurationError as fault:
        shown += [str(fault), repr(fault), repr(fault.faults), "".join(traceback.format_exception(fault))]
    assert not [text for text in shown if CANARY in text]
    assert not [each for each in folder.glob("state/*") if CANARY.encode() in each.read_bytes()]


def test_the_second_line_of_a_password_file_is_never_sent_as_a_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "password.txt", "pass-one\r\nx LOGOUT\r\n")
    with ScriptedImap() as server:
        path = put(folder, instead("port = 9", f"port = {server.port}"))
        result = mailwatch(monkeypatch, "en", "--config", path, "check")
        assert not [line for line in server.lines() if line.startswith("x LOGOUT")]
    assert crash(result) == ""
    assert result.exit_code != 0


def test_every_sentence_of_the_configuration_exists_in_both_languages() -> None:
    entries = toml.packaged("mailwatch", "catalogue.toml")["config"]
    for name, texts in entries.items():
        assert set(texts) == set(catalogue.LANGUAGES), name
        fields = [set(re.findall(r"\{(\w+)\}", text)) for text in texts.values()]
        assert fields[0] == fields[1], name
