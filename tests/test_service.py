"""The service as far as it needs no root: the unit, the configuration rewritten, what is copied, who may read.

The rest is tried in a real systemd, by hand: tests/systemd/box.py.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from mailwatch import config, database, service, toml
from mailwatch.cli import _mailwatch
from mailwatch.errors import ConfigurationError, Fault, StoreError
from mailwatch.service import places, program, settings, system, unit
from mailwatch.service.install import _make_user, _settings, _source
from mailwatch.service.system import ServiceError
from mailwatch.store import Store

ROOT = Path(__file__).parent.parent
CONTRIB = ROOT / "contrib" / "systemd" / "mailwatch.service"


# ---- the unit ----


def test_the_unit_names_the_program_and_each_secret() -> None:
    text = unit.text(Path("/srv/mailwatch"), ["account-shop", "channel-slack"])
    assert "ExecStart=/srv/mailwatch/venv/bin/python -I -m mailwatch --config /etc/mailwatch/config.toml run" in text
    assert "LoadCredential=account-shop:/etc/mailwatch/credentials/account-shop\n" in text
    assert "@" not in text.replace("SystemCallFilter=@", "").replace("~@privileged @resources", "")
    assert unit.prefix_of(text) == Path("/srv/mailwatch")
    assert unit.prefix_of("[Service]\nExecStart=/usr/bin/other\n") is None


@pytest.mark.parametrize(
    "line",
    [
        "Type=notify",
        "WatchdogSec=180s",
        "Restart=always",
        "RestartSec=10s",
        "StartLimitIntervalSec=0",
        "RestartPreventExitStatus=78",
        "StateDirectoryMode=0750",
        "UMask=0027",
        "User=mailwatch",
    ],
)
def test_what_the_unit_promises(line: str) -> None:
    assert line in unit.text(places.PREFIX, []).splitlines()


def test_the_unit_in_contrib_is_the_same_one() -> None:
    """Renew it with: python -c 'from tests import test_service as t; t.renew()'"""
    assert CONTRIB.read_text("utf-8") == example()


def example() -> str:
    """The unit for those who put it in place by hand."""
    return unit.text(places.PREFIX, ["account-shop", "channel-slack"])


def renew() -> None:
    """Write it."""
    CONTRIB.write_text(example(), "utf-8")


@pytest.mark.systemd
def test_the_unit_is_hardened_to_a_score_of_2_or_better() -> None:
    """reliability H28. Planted fault: without SystemCallFilter: 2.6, red."""
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(CONTRIB)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


# ---- the configuration ----

OWN = """# 私の店
[watch]
language = "ja"   # ことば
templates = "own.toml"

[[accounts]]
name = "shop"
host = "imap.example.jp"
user = "seller"
password_file = "~/secret/imap"  # 0600
ca_file = 'ca.pem'

[[accounts]]
name = "other"
host = "imap.example.jp"
user = "other"
password_command = "pass show mail"

[[channels]]
name = "slack"
url_file = "slack"

[heartbeat]
url_file = "beat"
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A seller's folder with everything that OWN names."""
    (tmp_path / "secret").mkdir()
    for name in ("secret/imap", "own.toml", "ca.pem", "slack", "beat"):
        (tmp_path / name).write_text(f"what is in {name}\n")
    return tmp_path


def test_a_configuration_keeps_its_comments_and_names_its_credentials(own: Path) -> None:
    made = settings.for_service(OWN.encode(), own, own)
    after = made.text.replace(f'state_dir = "{places.STATE}"\n', "").splitlines()
    changed = {old: new for old, new in zip(OWN.splitlines(), after, strict=True) if old != new}
    assert changed == {
        'templates = "own.toml"': 'templates = "templates.toml"',
        'password_file = "~/secret/imap"  # 0600': 'password_file = "account-shop"  # 0600',
        "ca_file = 'ca.pem'": 'ca_file = "account-shop-ca.pem"',
        'url_file = "slack"': 'url_file = "channel-slack"',
        'url_file = "beat"': 'url_file = "heartbeat"',
    }
    assert toml.parse(made.text.encode())["watch"]["state_dir"] == "/var/lib/mailwatch"
    assert {name: data.decode().strip() for name, data in made.secrets.items()} == {
        "account-shop": "what is in secret/imap",
        "channel-slack": "what is in slack",
        "heartbeat": "what is in beat",
    }
    assert set(made.files) == {"templates.toml", "account-shop-ca.pem"}
    assert made.outside == ("accounts.other.password_command",)


def test_installing_again_changes_nothing(own: Path, tmp_path: Path) -> None:
    """What lies in /etc/mailwatch is its own source then."""
    made = settings.for_service(OWN.encode(), own, own)
    etc = tmp_path / "etc"
    (etc / "credentials").mkdir(parents=True)
    for name, data in made.secrets.items():
        (etc / "credentials" / name).write_bytes(data)
    for name, data in made.files.items():
        (etc / name).write_bytes(data)
    assert settings.for_service(made.text.encode(), etc, own) == made


SHORT = '[[accounts]]\nname = "a"\n'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", '\n[watch]\nstate_dir = "/var/lib/mailwatch"\n'),
        (SHORT.rstrip(), SHORT + '\n[watch]\nstate_dir = "/var/lib/mailwatch"\n'),
        ("[watch] # here\n", '[watch] # here\nstate_dir = "/var/lib/mailwatch"\n'),
        ("[watch]\nstate_dir = '/x' # y\n", '[watch]\nstate_dir = "/var/lib/mailwatch"  # y\n'),
        ("[watch]\n# state_dir = '/x'\n", "[watch]\nstate_dir = \"/var/lib/mailwatch\"\n# state_dir = '/x'\n"),
        ("[watch]\r\nlanguage = 'en'\r\n", "[watch]\r\nstate_dir = \"/var/lib/mailwatch\"\nlanguage = 'en'\r\n"),
        ("\ufeff[watch]\n", '[watch]\nstate_dir = "/var/lib/mailwatch"\n'),
        # A line of another table, and one inside a text, are not the key.
        (
            "[watch]\n[rollout]\nstate_dir = 1\n",
            '[watch]\nstate_dir = "/var/lib/mailwatch"\n[rollout]\nstate_dir = 1\n',
        ),
    ],
)
def test_the_state_folder_is_put_where_it_belongs(text: str, expected: str, tmp_path: Path) -> None:
    assert settings.for_service(text.encode(), tmp_path, tmp_path).text == expected


@pytest.mark.parametrize(
    "text",
    [
        'watch.language = "ja"\n',
        'watch = { language = "ja" }\n',
        '[watch]\n"state_dir" = "/x"\n',
        '[watch]\nstate_dir = """/x"""\n',
        '[watch]\ntime_zone = """\nstate_dir = "x"\n"""\nstate_dir = "/x"\n',
    ],
)
def test_what_a_line_cannot_say_is_refused_and_not_guessed(text: str, tmp_path: Path) -> None:
    with pytest.raises(ServiceError) as refused:
        settings.for_service(text.encode(), tmp_path, tmp_path)
    assert refused.value.fault.key == "service.not_rewritable"
    assert refused.value.fault.fields["key"] == "watch.state_dir"


def test_a_folder_as_the_configuration_to_install_is_named_as_one(tmp_path: Path) -> None:
    """Seen red: "there is no configuration file"."""
    with pytest.raises(ConfigurationError) as refused:
        _settings(_source(str(tmp_path)))
    assert refused.value.faults == (Fault("config.is_folder", {"path": str(tmp_path)}),)


def test_a_secret_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServiceError) as refused:
        settings.for_service(OWN.encode(), tmp_path, tmp_path)
    assert refused.value.fault.key == "service.file_unreadable"


# ---- credentials ----


def loaded_password(folder: Path, place: str) -> str:
    """What a configuration in `folder` reads as its password."""
    return config.Source("accounts[1].password_file", "file", place, folder).read().reveal()


def test_a_bare_name_is_looked_for_among_the_credentials_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside, credentials = tmp_path / "etc", tmp_path / "run"
    for folder, text in ((beside, "beside"), (credentials, "credential")):
        folder.mkdir()
        (folder / "imap").write_text(text)
        (folder / "imap").chmod(0o400)
    (beside / "only").write_text("beside only")
    (beside / "only").chmod(0o600)
    assert loaded_password(beside, "imap") == "beside"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert loaded_password(beside, "imap") == "credential"
    assert loaded_password(beside, "only") == "beside only"
    assert loaded_password(beside, "./imap") == "beside"  # who names a folder means it
    assert loaded_password(beside, "../etc/imap") == "beside"
    assert loaded_password(beside, str(beside / "imap")) == "beside"


def test_a_credential_that_is_nowhere_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(ConfigurationError):
        loaded_password(tmp_path, "none")


# ---- the program ----


def test_requirements_are_read_with_their_extras_and_markers() -> None:
    lines = [
        "click>=8.1.8",
        "Mail_Parser >=4",
        "pymap>=0.36; extra == 'demo'",
        'tzdata>=2025.2 ; sys_platform == "win32"',
        "requests[socks, use_chardet]>=2",
    ]
    assert list(program.requirements(lines, frozenset())) == [
        ("click", frozenset(), True),
        ("mail-parser", frozenset(), True),
        ("tzdata", frozenset(), False),
        ("requests", frozenset({"socks", "use_chardet"}), True),
    ]
    assert ("pymap", frozenset(), False) in list(program.requirements(lines, frozenset({"demo"})))


def test_all_that_apprise_needs_is_found() -> None:
    found = {part.metadata["Name"].lower() for part in program.distributions("apprise")}
    assert {"apprise", "requests", "urllib3", "certifi", "markdown", "pyyaml", "click"} <= found
    assert not {"pytest", "mypy"} & found


def test_what_is_not_installed_is_named() -> None:
    with pytest.raises(ServiceError) as refused:
        program.distributions("no-such-distribution-of-ours")
    assert refused.value.fault.fields == {"name": "no-such-distribution-of-ours"}


def test_a_distribution_is_copied_without_its_commands_and_caches(tmp_path: Path) -> None:
    part = metadata.distribution("click")
    program._copy_part(part, tmp_path)
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert Path("click/core.py") in files
    assert not [path for path in files if "__pycache__" in path.parts or path.suffix == ".pth"]


def test_an_interpreter_in_a_home_folder_is_out_of_the_units_reach(tmp_path: Path) -> None:
    assert places.is_hidden(Path("/home/seller/.pyenv/bin/python3"))
    assert places.is_hidden(Path("/root/x"))
    assert not places.is_hidden(Path("/opt/mailwatch"))
    assert not places.is_hidden(Path("/homes"))
    assert not program.is_reachable(tmp_path)


def test_who_is_not_root_is_told_what_to_type(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(sys, "argv", ["/home/seller/my venv/bin/mailwatch", "service", "install"])
    with pytest.raises(SystemExit) as ended:
        _mailwatch.main(["service", "install"])
    assert ended.value.code == 2
    assert "sudo '/home/seller/my venv/bin/mailwatch' service install" in capsys.readouterr().err


# ---- who may read the store ----


def modes(folder: Path) -> dict[str, int]:
    """The rights of each file."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@pytest.mark.parametrize(("folder", "file"), [(0o750, 0o640), (0o700, 0o600), (0o755, 0o600), (0o770, 0o640)])
def test_a_store_is_open_to_a_group_that_its_folder_is_open_to(folder: int, file: int, tmp_path: Path) -> None:
    """Planted fault: 0600 always: the seller's shell can't read the service's store, red."""
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(folder)
    old_umask = os.umask(0o027)
    try:
        lock = database.RunLock(state)
        store = Store.open(state)
        with store._database.transaction():
            store._database.change("INSERT INTO counter VALUES ('x', 1)")
            assert modes(state) == dict.fromkeys(["mailwatch.sqlite", "mailwatch.sqlite-journal", "run.lock"], file)
        store.close()
        lock.release()
    finally:
        os.umask(old_umask)


def test_a_store_that_may_not_be_read_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store.open(tmp_path).close()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StoreError) as refused:
        Store.open_to_read(tmp_path)
    assert refused.value.fault.key == "service.store_closed"


def test_a_store_whose_writing_was_cut_short_is_a_sentence_to_a_reader(tmp_path: Path) -> None:
    """Only who may write can take the half transaction back."""
    Store.open(tmp_path).close()
    script = (
        "import os, sqlite3, sys\n"
        "store = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "store.execute('PRAGMA cache_size = 1')\n"
        "store.execute('BEGIN IMMEDIATE')\n"
        "store.executemany('INSERT INTO counter VALUES (?, 1)', ((str(n) * 50,) for n in range(3000)))\n"
        "os._exit(1)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / database.FILE_NAME)], check=False)
    assert (tmp_path / f"{database.FILE_NAME}-journal").exists()
    with pytest.raises(StoreError) as refused:
        Store.open_to_read(tmp_path)
    assert refused.value.fault.key == "service.store_unfinished"
    Store.open(tmp_path).close()
    Store.open_to_read(tmp_path).close()


def test_a_store_of_a_reader_is_not_changed(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    store = Store.open_to_read(tmp_path)
    with pytest.raises(StoreError), store._database.transaction():
        store._database.change("INSERT INTO counter VALUES ('x', 1)")
    store.close()
    assert sqlite3.connect(tmp_path / database.FILE_NAME).execute("SELECT count(*) FROM counter").fetchone() == (0,)


# ---- uninstall ----


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """An installed service below `tmp_path`; the calls of the system's tools, none of which is made."""
    found = {name: tmp_path / name.lower() for name in ("PREFIX", "CONFIG", "STATE", "UNIT")}
    found["CONFIG"] = tmp_path / "etc" / "config.toml"
    for name, path in found.items():
        monkeypatch.setattr(places, name, path)
    for folder in (found["PREFIX"] / "venv", found["PREFIX"] / "bin", found["CONFIG"].parent, found["STATE"]):
        folder.mkdir(parents=True)
    found["CONFIG"].write_text("# mine\n")
    found["UNIT"].write_text(unit.text(found["PREFIX"], []))
    called: list[tuple[str, ...]] = []
    monkeypatch.setattr(system, "call", lambda *tool: called.append(tool))
    monkeypatch.setattr(system, "check_root", lambda: None)
    # As userdel(8) leaves them where the seller is a member of the group.
    monkeypatch.setattr(system, "user", lambda name: name if ("userdel", name) not in called else None)
    monkeypatch.setattr(system, "group", lambda name: name if ("groupdel", name) not in called else None)
    monkeypatch.setattr(system, "write", lambda path, data, *_: path.write_bytes(data))
    return called


@pytest.mark.parametrize("is_purge", [False, True])
def test_a_dry_uninstall_says_what_the_real_one_does_and_does_nothing(
    is_purge: bool, installed: list[tuple[str, ...]], tmp_path: Path
) -> None:
    """Seen red: the README promised it for each command, and `uninstall` had no such option."""
    before = sorted(tmp_path.rglob("*"))
    said = list(service.uninstall(is_purge=is_purge, is_dry=True, confirm=unasked))
    assert (sorted(tmp_path.rglob("*")), installed) == (before, [])
    asked: list[str] = []
    assert list(service.uninstall(is_purge=is_purge, is_dry=False, confirm=lambda each: asked.append(each.key))) == said
    assert asked == (["service.ask_purge"] if is_purge else [])
    left = [] if is_purge else [tmp_path / "state", tmp_path / "state" / "config.toml"]
    assert sorted(tmp_path.rglob("*")) == left
    assert ("systemctl", "disable", "--quiet", "--now", "mailwatch") in installed
    assert (("userdel", "mailwatch") in installed) is is_purge
    assert (("groupdel", "mailwatch") in installed) is is_purge


def unasked(question: Fault) -> None:
    """Where nothing is done nothing is asked."""
    raise AssertionError(question)


def test_a_purge_without_a_terminal_is_refused_unless_it_is_told_yes(
    installed: list[tuple[str, ...]], tmp_path: Path
) -> None:
    """Seen red: credentials and store were gone without a question."""
    before = sorted(tmp_path.rglob("*"))
    refused = CliRunner().invoke(_mailwatch, ["service", "uninstall", "--purge"], input="y\n")
    assert (refused.exit_code, sorted(tmp_path.rglob("*")), installed) == (2, before, [])
    assert "--yes" in refused.stderr
    done = CliRunner().invoke(_mailwatch, ["service", "uninstall", "--purge", "--yes"])
    assert (done.exit_code, sorted(tmp_path.rglob("*"))) == (0, [])


@pytest.mark.parametrize("answer", ["", "n", "いいえ"])
def test_a_purge_that_is_not_confirmed_changes_nothing(
    answer: str, installed: list[tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailwatch.cli._is_terminal", lambda: True)
    before = sorted(tmp_path.rglob("*"))
    stopped = CliRunner().invoke(_mailwatch, ["service", "uninstall", "--purge"], input=answer + "\n")
    assert (stopped.exit_code, sorted(tmp_path.rglob("*")), installed) == (1, before, [])
    gone = CliRunner().invoke(_mailwatch, ["service", "uninstall", "--purge"], input="maybe\ny\n")
    assert (gone.exit_code, sorted(tmp_path.rglob("*"))) == (0, [])


@pytest.mark.parametrize("has_group", [False, True])
def test_a_group_that_a_purge_left_behind_is_used(has_group: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen red: `useradd: group mailwatch exists`, and the service could not be installed again."""
    called: list[tuple[object, ...]] = []
    monkeypatch.setattr(system, "call", lambda *tool: called.append(tool))
    monkeypatch.setattr(system, "user", lambda _: None)
    monkeypatch.setattr(system, "group", lambda name: name if has_group else None)
    _make_user()
    assert [tool[0] for tool in called] == (["useradd"] if has_group else ["groupadd", "useradd"])
    assert called[-1][1:4] == ("--system", "--gid", "mailwatch")
