"""The text pictures of docs/alerts.md: each alert as a phone of 20 full-width columns shows it.

python tests/pictures.py --write    writes docs/alerts.md anew; test_pictures.py fails where it is not true.
"""

from __future__ import annotations

import sys
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from mailwatch import texts
from mailwatch.alert import Alert, Digest, DigestRow, FaultNews, MorningLine, Stage, TestAlert, Told
from mailwatch.amazon.details import Item
from mailwatch.errors import Fault
from mailwatch.notice import Kind, Route
from mailwatch.request import Sighting
from mailwatch.services import Form
from mailwatch.texts import Text
from mailwatch.trust import Trust

PAGE = Path(__file__).parent.parent / "docs" / "alerts.md"
TOKYO = ZoneInfo("Asia/Tokyo")
COLUMNS = 40  # of half width
FORMS = ((Form.CHAT, "Slack"), (Form.LINE, "LINE"), (Form.SMS, "SMS"))

_AT = datetime(2022, 6, 8, 0, 12, tzinfo=UTC)
_LATER = datetime(2022, 6, 8, 1, 3, tzinfo=UTC)
_REQUEST = Alert(
    kind=Kind.REQUEST,
    why="first of its order",
    trust=Trust.VERIFIED,
    seller="shop",
    order_id="503-1234567-7654321",
    marketplace="JP",
    received=_AT,
    account="shop",
    folder="INBOX",
    sightings=(Sighting(_AT, Kind.REQUEST, Trust.VERIFIED, Route.NOTIFICATION),),
    items=(Item("電気ケトル 1.0L 白", "B000000001", "KETTLE-W", 2),),
    reason="間違えて注文した",
    order_date="2022/06/07",
    ship_by="2022/06/10",
    sender_domain="amazon.co.jp",
    open_requests=2,
)
_OLD = replace(
    _REQUEST,
    order_date="2022/05/01",
    ship_by="2022/05/04",
    sightings=(*_REQUEST.sightings, Sighting(_LATER, Kind.REQUEST, Trust.VERIFIED, Route.MESSAGE)),
    also_mentioned=("249-7654321-1234567",),
)
_WISH = replace(
    _REQUEST,
    kind=Kind.WISH,
    sightings=(Sighting(_AT, Kind.WISH, Trust.VERIFIED, Route.MESSAGE),),
    reason=None,
    order_date=None,
    ship_by=None,
    excerpt="色を間違えたのでキャンセルできますか",
)
_UNVERIFIED = replace(_REQUEST, trust=Trust.UNVERIFIED, items=(), reason=None, order_date=None, ship_by=None)
_NO_ORDER = replace(
    _UNVERIFIED, kind=Kind.POSSIBLE, order_id=None, sightings=(), folder="Junk", sender_domain="amazon.co.jp"
)
_LOGIN = Fault(
    "fault.login",
    {
        "account": "shop",
        "why": Fault("mailbox.login_refused", {"host": "imap.gmail.com", "why": "[AUTHENTICATIONFAILED]"}),
    },
)
_REBUILT = Fault("fault.rebuilt", {"why": "database disk image is malformed"})
_ROWS = (
    DigestRow(Kind.REQUEST, "503-1000003-2000003", _LATER),
    DigestRow(Kind.WISH, "503-1000002-2000002", _AT),
    DigestRow(Kind.POSSIBLE, None, _AT - timedelta(days=1), "shop / Junk / amazon.co.jp"),
)
_UNVERIFIED_ROWS = tuple(DigestRow(Kind.REQUEST, f"503-100000{n}-200000{n}", _AT) for n in (1, 2, 3))
_REFUSED = Fault("fault.refused", {"channel": "line", "why": Fault("channel.refused")})
_DEAD = Fault("fault.channel", {"channel": "line", "why": Fault("channel.credentials")})
_SLOW = Fault("fault.slow", {"channel": "line", "minutes": "5"})
_QUIET = Fault("morning.quiet", {"account": "shop", "days": "4"})

CASES: tuple[tuple[str, Told], ...] = (
    ("依頼(確認済み) / A verified request", _REQUEST),
    ("依頼、古い注文、両方の経路から / A request for an old order, by both routes", _OLD),
    ("依頼、送信元を確認できない / A request of an unverified sender", _UNVERIFIED),
    ("依頼、同じ注文で再び / Asked again for the same order", replace(_REQUEST, why="asked again", asked=2)),
    ("依頼、再送の可能性 / May be a repeat", replace(_REQUEST, may_be_repeat=True)),
    ("依頼、3日後に知らせる / Told three days late", replace(_REQUEST, told_at=_AT + timedelta(days=3))),
    ("相談 / A buyer's wish", _WISH),
    ("要確認、形式が未知 / A possible one", replace(_REQUEST, kind=Kind.POSSIBLE, reason=None)),
    ("要確認、注文番号なし / Without an order ID", _NO_ORDER),
    ("要確認、読めないメール / An unreadable mail", replace(_NO_ORDER, kind=Kind.UNREADABLE, folder="INBOX")),
    ("取消済(頼んだときだけ) / Cancelled, only if asked for", replace(_REQUEST, kind=Kind.CANCELLED, reason=None)),
    ("監視の不調、始まり / A fault begins", FaultNews(_LOGIN, Stage.BEGAN, _AT)),
    ("監視の不調、毎朝 / … lasts", FaultNews(_LOGIN, Stage.LASTS, _AT)),
    ("監視の不調、終わり / … is over", FaultNews(_LOGIN, Stage.OVER, _AT)),
    ("監視の不調、通知先 / A dead channel, told on the others", FaultNews(_DEAD, Stage.BEGAN, _AT)),
    ("監視の不調、遅い通知先 / A channel that accepts too slowly", FaultNews(_SLOW, Stage.BEGAN, _AT)),
    ("監視の不調、拒否された知らせ / An alert that a channel refused", FaultNews(_REFUSED, Stage.BEGAN, _AT)),
    ("監視の不調、作り直した記録 / A rebuilt store", FaultNews(_REBUILT, Stage.ONCE, _AT)),
    ("まとめ、初めての見張り / The digest of a first start", Digest("first_start", 3, _ROWS, _AT)),
    ("まとめ、見られない間のもの / … of an outage", Digest("outage", 3, _ROWS, _AT)),
    ("まとめ、作り直した記録 / … of a rebuilt store", Digest("rebuilt", 3, _ROWS, _AT, may_be_repeat=True)),
    ("まとめ、送信元を確認できない / … of unverified senders", Digest("unverified", 57, _UNVERIFIED_ROWS, _AT)),
    ("毎朝の一行 / The morning line", MorningLine(_AT, mails=312, known=2, open=1, missed=0, forged=3)),
    (
        "毎朝の一行、不調のとき / … when not all is well",
        MorningLine(_AT, mails=0, known=0, open=1, missed=0, forged=0, troubles=(_LOGIN,)),
    ),
    (
        "毎朝の一行、Amazonのメールが来ないとき / … when Amazon has gone quiet",
        MorningLine(_AT, mails=41, known=0, open=0, missed=0, forged=0, quiet=(_QUIET,)),
    ),
    (
        "毎朝の一行、返信が届かなかったとき / … when your reply was not delivered",
        MorningLine(_AT, mails=41, known=0, open=1, missed=0, forged=0, undelivered=("503-1234567-7654321",)),
    ),
    ("テスト(check --send) / The test alert", TestAlert(_AT)),
)

_HEAD = """# 知らせの見え方 / What the alerts look like

全角20文字幅の画面での見え方です。作り物の注文とメールの例です。
`tests/pictures.py` が実際の文面から作り、テストが見張ります。
Slack と LINE は同じ文面(長さの数え方だけが違う)、SMS は短い文面(日本語は1通70文字まで、2通分を超えない)です。

As a screen 20 full-width columns wide shows them, made by `tests/pictures.py` from the texts themselves and guarded by
a test. Orders and mails are made up. Slack and LINE get one text; an SMS is short: 70 characters a part, at most two.
"""


def page() -> str:
    """The whole of docs/alerts.md."""
    return _HEAD + "".join(f"\n## {title}\n\n{_pictures(told)}" for title, told in CASES)


def _pictures(told: Told) -> str:
    long = texts.word(told, Form.CHAT, "ja", TOKYO)
    assert texts.word(told, Form.LINE, "ja", TOKYO) == long
    short = texts.word(told, Form.SMS, "ja", TOKYO)
    size = f"{texts.units(short.whole)} 文字、{texts.sms_parts(short.whole)} 通分"
    return f"Slack, LINE:\n\n{_picture(long)}\nSMS ({size}):\n\n{_picture(short)}"


def _picture(text: Text) -> str:
    rows = [row for line in text.whole.split("\n") for row in _wrapped(line)]
    border = "-" * COLUMNS
    framed = "\n".join(f"|{row}{' ' * (COLUMNS - _width(row))}|" for row in rows)
    return f"```text\n+{border}+\n{framed}\n+{border}+\n```\n"


def _wrapped(line: str) -> list[str]:
    rows = [""]
    for character in line:
        if _width(rows[-1] + character) > COLUMNS:
            rows.append("")
        rows[-1] += character
    return rows


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WFA" else 1 for character in text)


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page(), "utf-8")
    else:
        sys.stdout.write(page())
