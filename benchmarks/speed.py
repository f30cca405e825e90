"""Messages per second of parse and recognise, against mail-parser alone on the same mails, interleaved in one run.

python benchmarks/speed.py [ROUNDS]     (5 by default)

CPU time of this one thread, not time on the wall, for the machine is shared. Mails: all of sample_mails, and 400
generated newsletters of 30 to 150 KB of HTML. `run` never parses the newsletters: of a mail that is surely not
Amazon's it reads the header only. That test alone is the last line.
"""

from __future__ import annotations

import base64
import itertools
import quopri
import random
import statistics
import sys
import time
from collections.abc import Callable
from email.header import Header
from pathlib import Path

import mailparser

from mailwatch import message, notice
from mailwatch.amazon import sender, template
from mailwatch.trust import Provider

SAMPLES = Path(__file__).resolve().parent.parent / "sample_mails"
PROVIDER = Provider("mx.google.com", ("google.com",))
NEWSLETTERS = 400
WORDS = [
    "送料無料",
    "本日限り",
    "新商品",
    "夏物",
    "セール",
    "会員様限定",
    "ポイント10倍",
    "詳しくはこちら",
    "ノイズキャンセリング",
    "イヤホン",
    "水筒",
    "お買い物",
    "カタログ",
    "ご注文はお早めに",
    "キャンペーン",
    "おすすめ",
    "税込",
    "カートに入れる",
    "配信停止",
    "価格",
]


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    samples = [path.read_bytes() for path in sorted(SAMPLES.glob("*/*.eml"))]
    letters = newsletters()
    print(f"{rounds} rounds, medians; CPU time")
    compare(f"{len(samples)} sample mails", samples, rounds)
    compare(f"{len(letters)} newsletters, {sum(map(len, letters)) / 2**20:.0f} MiB", letters, rounds)
    heads = [message.header_block(letter) for letter in letters]
    spent = [sum(timed(is_candidate, head) for head in heads) for _ in range(rounds)]
    found = sum(map(is_candidate, heads))
    per_second = len(heads) / statistics.median(spent)
    print(f"candidate test of the newsletters' headers: {per_second:,.0f} a second ({found} taken for Amazon's)")


def compare(name: str, mails: list[bytes], rounds: int) -> None:
    """Both on each mail in turn; which goes first changes with each mail and round."""
    for mail in mails:
        ours(mail)
        theirs(mail)
    spent: list[tuple[float, float]] = []
    for number in range(rounds):
        took = {ours: 0.0, theirs: 0.0}
        for at, mail in enumerate(mails):
            for work in (ours, theirs) if (number + at) % 2 else (theirs, ours):
                took[work] += timed(work, mail)
        spent.append((took[ours], took[theirs]))
    us, them = (len(mails) / statistics.median(times) for times in zip(*spent, strict=True))
    ratios = [mine / other for mine, other in spent]
    print(f"{name}:\n  parse and recognise {us:,.0f} a second; mail-parser alone {them:,.0f} a second")
    print(f"  time, ours to theirs: {statistics.median(ratios):.2f} (rounds {min(ratios):.2f} to {max(ratios):.2f})")


def timed(work: Callable[[bytes], object], data: bytes) -> float:
    """CPU seconds."""
    began = time.process_time()
    work(data)
    return time.process_time() - began


def ours(mail: bytes) -> object:
    """Parse and recognise."""
    return notice.read(message.parse(mail), PROVIDER, template.shipped())


def theirs(mail: bytes) -> object:
    """Parse only: mail-parser works everything out at once."""
    return mailparser.parse_from_bytes(mail)


def is_candidate(header: bytes) -> bool:
    """What decides whether a mail is fetched at all."""
    return sender.may_be_amazon(*message.sender(message.header_fields(header)))


def newsletters() -> list[bytes]:
    """The same ones each time: a plain part and a page, in the charsets and transfer encodings of Japanese shops."""
    chance = random.Random(3)  # noqa: S311 - only to vary the pages
    ways = itertools.cycle([("utf-8", "base64"), ("utf-8", "quoted-printable"), ("iso-2022-jp", "7bit")])
    return [newsletter(chance, number, *next(ways)) for number in range(NEWSLETTERS)]


def newsletter(chance: random.Random, number: int, charset: str, encoding: str) -> bytes:
    """One mail whose page has 30 to 150 KB."""
    page = html(chance, chance.randint(30, 150) * 1024, charset)
    head = (
        "Received: from a.news.example by mx.google.com with ESMTPS; Wed, 08 Jun 2022 09:12:00 +0900\r\n"
        "Authentication-Results: mx.google.com; dmarc=pass header.from=news.example\r\n"
        f"From: {Header('お店からのお知らせ', charset).encode()} <news{number}@news.example>\r\n"
        f"To: seller@example.test\r\nSubject: {Header(sentence(chance), charset).encode(linesep=chr(13) + chr(10))}\r\n"
        f"Date: Wed, 08 Jun 2022 09:12:00 +0900\r\nMessage-ID: <{number}@news.example>\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/alternative; boundary="=b"\r\n\r\n'
    ).encode()
    plain = "\n".join(sentence(chance) for _ in range(40))
    parts = [part("plain", plain, charset, encoding), part("html", page, charset, encoding)]
    return head + b"".join(b"--=b\r\n" + each + b"\r\n" for each in parts) + b"--=b--\r\n"


def part(subtype: str, text: str, charset: str, encoding: str) -> bytes:
    """A text part with its header."""
    raw = text.replace("\n", "\r\n").encode(charset)
    data = {"base64": base64.encodebytes, "quoted-printable": quopri.encodestring}.get(encoding, bytes)(raw)
    return (
        f"Content-Type: text/{subtype}; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()
        + data
    )


def html(chance: random.Random, size: int, charset: str) -> str:
    """Nested tables with inline styles, links and pictures, as shops send them."""
    pieces = [f'<html><head><meta charset="{charset}"><style>td{{color:#333}}</style></head><body><table width="600">']
    length = 0
    while length < size:
        number = chance.randrange(10**9)
        picture = f'<img src="https://img.example/{number}.jpg" width="180" alt="{chance.choice(WORDS)}">'
        pieces.append(
            '<tr><td style="padding:8px;font-family:sans-serif;font-size:14px"><table cellpadding="0"><tr>'
            f'<td><a href="https://news.example/c/{number}?u={number:x}&amp;m=3">{picture}</a></td>\n'
            f'<td style="color:#{number % 0xFFFFFF:06x}"><b>{sentence(chance)}</b><br>&yen;{number % 90000:,}&nbsp;'
            f"<span>{sentence(chance)}</span></td></tr></table></td></tr>\n"
        )
        length += len(pieces[-1].encode(charset))
    return "".join([*pieces, "</table></body></html>\n"])


def sentence(chance: random.Random) -> str:
    """Some words."""
    return " ".join(chance.choices(WORDS, k=6))


if __name__ == "__main__":
    main()
