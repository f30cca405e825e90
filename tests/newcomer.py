"""A newcomer with a mail address and a phone, before a mail server that answers as the provider's does.

    with Newcomer("gmail", tmp_path) as newcomer:
        result = newcomer.init("", "seller@gmail.com", …)     # one answer a question

python tests/newcomer.py --write    plays the walk of docs/walkthrough.md anew; test_init.py fails where it is not true.
"""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from unittest import mock

from beds import misbehave
from beds.imap_text import words
from beds.recorder import Recorder
from beds.scripted import ScriptedImap, Session
from click.testing import CliRunner, Result

from mailwatch import cli, mailbox
from mailwatch.connection import Connection

PAGE = Path(__file__).parent.parent / "docs" / "walkthrough.md"
SLACK_URL = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
LOCALES = {"ja": "ja_JP.UTF-8", "en": "en_US.UTF-8"}


@dataclass(frozen=True, slots=True)
class Service:
    """A provider as its server shows itself. `pasted` is the password as a person pastes it; `questions` are the
    answers between the address and the password."""

    address: str
    host: str
    user: str
    pasted: str
    password: str
    greeting: str
    capability: str
    refusal: str
    questions: tuple[str, ...] = ()


_DOVECOT = (
    "* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN AUTH=LOGIN] Dovecot ready.",
    "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE SORT NAMESPACE UIDPLUS LIST-EXTENDED SPECIAL-USE LITERAL+",
    "[AUTHENTICATIONFAILED] Authentication failed.",
)
# Gmail's, iCloud's and Microsoft's words as they are quoted in the issues of mail programs (imapfilter 125 and others);
# Yahoo! JAPAN's, docomo's and SoftBank's were never seen, so theirs are assumed, and without IDLE.
SERVICES = {
    "gmail": Service(
        "seller@gmail.com",
        "imap.gmail.com",
        "seller@gmail.com",
        "abcd efgh ijkl mnop",
        "abcdefghijklmnop",
        "* OK Gimap ready for requests from 203.0.113.5 d9443c01a7336mb12345",
        "IMAP4rev1 UNSELECT IDLE NAMESPACE QUOTA ID XLIST CHILDREN X-GM-EXT-1 UIDPLUS COMPRESS=DEFLATE ENABLE MOVE "
        "CONDSTORE ESEARCH UTF8=ACCEPT LIST-EXTENDED LIST-STATUS LITERAL- SPECIAL-USE APPENDLIMIT=35651584",
        "[ALERT] Application-specific password required: https://support.google.com/accounts/answer/185833 (Failure)",
    ),
    "yahoo-japan": Service(
        "seller@yahoo.co.jp",
        "imap.mail.yahoo.co.jp",
        "seller",
        "yahoo pass",
        "yahoo pass",
        "* OK IMAP4rev1 server ready",
        "IMAP4rev1 ID NAMESPACE UIDPLUS LITERAL+",
        "[AUTHENTICATIONFAILED] LOGIN Invalid credentials",
    ),
    "icloud": Service(
        "seller@icloud.com",
        "imap.mail.me.com",
        "seller",
        "qrst-uvwx-yzab-cdef",
        "qrst-uvwx-yzab-cdef",
        "* OK [CAPABILITY st11p00mm-iscream022 15E205 XAPPLEPUSHSERVICE IMAP4 IMAP4rev1 SASL-IR AUTH=ATOKEN AUTH=PLAIN]"
        " iSCREAM ready to rumble (15E205:18514) st11p00mm-iscream022 [04:19:14:31:21:53]",
        "XAPPLEPUSHSERVICE IMAP4 IMAP4rev1 SASL-IR AUTH=ATOKEN AUTH=PLAIN IDLE UIDPLUS",
        "[AUTHENTICATIONFAILED] Authentication failed",
    ),
    "docomo": Service(
        "seller@docomo.ne.jp",
        "imap.spmode.ne.jp",
        "seller-d",
        "Ab1-cD2_eF",
        "Ab1-cD2_eF",
        "* OK IMAP4rev1 server ready",
        "IMAP4rev1 LITERAL+",
        "LOGIN failed",
        ("seller-d",),
    ),
    "softbank": Service(
        "seller@i.softbank.jp",
        "imap.softbank.jp",
        "seller",
        "softpass",
        "softpass",
        "* OK IMAP4rev1 server ready",
        "IMAP4rev1 LITERAL+",
        "[AUTHENTICATIONFAILED] Authentication failed.",
    ),
    "xserver": Service(
        "info@shop.example",
        "sv123.xserver.jp",
        "info@shop.example",
        "xpass",
        "xpass",
        *_DOVECOT,
        ("6", "sv123.xserver.jp"),
    ),
    "sakura": Service(
        "info@shop.sakura.ne.jp", "shop.sakura.ne.jp", "info@shop.sakura.ne.jp", "spass", "spass", *_DOVECOT
    ),
    "lolipop": Service(
        "info@shop.example", "imap.lolipop.jp", "info@shop.example", "lpass", "lpass", *_DOVECOT, ("8",)
    ),
}  # fmt: skip


class Newcomer:
    """The stand-ins and the home of one newcomer; `connected` holds (host, port, encrypted) of each connection."""

    def __init__(self, service: str, folder: Path, language: str = "ja") -> None:
        self.service = SERVICES[service]
        self.language = language
        self.home = folder / "home"
        self.config = self.home / ".config" / "mailwatch" / "config.toml"
        self.connected: list[tuple[str, int, bool]] = []
        self._folder = folder
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self.home.mkdir()
        self.imap = self._stack.enter_context(answering_as(self.service))
        self.recorder = self._stack.enter_context(Recorder.https(self._folder))
        self._stack.enter_context(mock.patch.object(mailbox, "Connection", self._connect))
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _connect(self, host: str, port: int, tls: ssl.SSLContext | None, seconds: float) -> Connection:
        """The provider's host leads to the stand-in, without encryption; all else is real."""
        self.connected.append((host, port, tls is not None))
        return Connection("127.0.0.1", self.imap.port, None, seconds)

    @property
    def environment(self) -> dict[str, str | None]:
        """Of a user who has no configuration yet, whose https goes to the recorder."""
        unset = ("MAILWATCH_CONFIG", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "STATE_DIRECTORY", "MAILWATCH_PASSWORD")
        places = {"HOME": str(self.home), "LC_ALL": LOCALES[self.language]}
        return {**dict.fromkeys(unset), **places, **self.recorder.environment()}

    def init(self, *answers: str, flags: tuple[object, ...] = (), **environment: str) -> Result:
        """`mailwatch init` in this process; after the last answer comes Ctrl-D."""
        given = "".join(f"{answer}\n" for answer in answers)
        with contextlib.ExitStack() as stack, warnings.catch_warnings():
            stack.enter_context(mock.patch.object(cli, "_LOCALE", self.language))
            stack.enter_context(mock.patch.object(sys, "argv", [str(self.home / "mailwatch" / "bin" / "mailwatch")]))
            warnings.simplefilter("ignore", DeprecationWarning)  # apprise loads modules that warn of their own end
            result = CliRunner().invoke(
                cli._mailwatch,
                ["init", *(str(each) for each in flags)],
                input=given,
                env={**self.environment, **environment},
            )
        crash = result.exception if not isinstance(result.exception, SystemExit) else None
        assert crash is None, "".join(traceback.format_exception(crash))
        return result

    def answers(self, password: str | None = None, end: tuple[str, ...] = ("n",)) -> list[str]:
        """The answers from the language to the last question, with Slack and the defaults."""
        service = self.service
        return ["", service.address, *service.questions, password or service.pasted, "1", SLACK_URL, *[""] * 4, *end]


@contextlib.contextmanager
def answering_as(service: Service) -> Iterator[ScriptedImap]:
    """A mail server that greets, offers and refuses as this provider's does."""

    def login(session: Session, tag: str, arguments: str) -> bool:
        if words(arguments) == [service.user, service.password]:
            return False
        session.write(f"{tag} NO {service.refusal}\r\n".encode())
        return True

    with ScriptedImap(service.capability) as server:
        server.user, server.password = service.user, service.password
        server.script("GREETING", misbehave.says(service.greeting), always=True)
        server.script("LOGIN", login, always=True)
        yield server


# ---- the walk of docs/walkthrough.md ----

_HEAD = """# はじめての設定 / The first configuration

Gmail のアドレスと Slack を持つ人が `mailwatch init` で設定を作る画面の記録です。
初めはいつものパスワードを入れて断られ、アプリ パスワードで入り直します。パスワードと Slack の URL は画面に出ません。
`tests/newcomer.py` が代わりのサーバーを相手に実際に動かして作り、テストが見張ります。

The screen of somebody with a Gmail address and Slack who makes a configuration by `mailwatch init`: the usual password
is refused first, then an app password is taken. Password and Slack URL do not show. `tests/newcomer.py` plays it
against stand-ins, and a test keeps it true. English: [below](#english).
"""


def page() -> str:
    """The whole of docs/walkthrough.md."""
    return f"{_HEAD}\n## 日本語\n\n{_walk('ja')}\n## English\n\n{_walk('en')}"


def _walk(language: str) -> str:
    titles = {
        "ja": ("できた設定ファイル", "Slack に届いたもの"),
        "en": ("The file that was made", "What came to Slack"),
    }
    with tempfile.TemporaryDirectory() as folder, Newcomer("gmail", Path(folder), language) as newcomer:
        usual = newcomer.answers(password="my-google-password", end=())
        result = newcomer.init(*usual, "", "", newcomer.service.pasted, "")
        assert result.exit_code == 0, result.output
        screen = "\n".join(line.rstrip() for line in result.output.replace(str(newcomer.home), "~").split("\n"))
        made = newcomer.config.read_text("utf-8")
        [alert] = newcomer.recorder.posts("hooks.slack.com")
        told = re.sub(r"\d+/\d+ \d+:\d+", "6/8 09:12", str(alert.json["text"]))
    one, two = titles[language]
    screen = f"```text\n$ ~/mailwatch/bin/mailwatch init\n{screen}```"
    return f"{screen}\n\n{one}:\n\n```toml\n{made}```\n\n{two}:\n\n```text\n{told.strip()}\n```\n"


if __name__ == "__main__":
    os.environ.pop("MAILWATCH_CONFIG", None)
    if "--write" in sys.argv:
        PAGE.write_text(page(), "utf-8")
    else:
        sys.stdout.write(page())
