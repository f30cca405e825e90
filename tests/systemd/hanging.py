"""The real program with a hang planted in it: `python hanging.py WHERE HOW MAILWATCH-ARGUMENTS`.

WHERE: a key of `PLACES`: calls of the libraries, and steps of ours around SQLite and apprise.
HOW: `sleeps`, or `holds` the GIL, so that no other thread of Python moves.
It is one file that imports nothing of the tests, for it is also copied into a box with a real systemd.
"""

from __future__ import annotations

import re
import sys
import time
from typing import Any, NoReturn

import imapclient
import mailparser

import mailwatch.cli
from mailwatch import html_text, notice, transport
from mailwatch.folders import Folders
from mailwatch.watch.oversight import Oversight

PLACES: dict[str, tuple[Any, str]] = {
    "imapclient": (imapclient.IMAPClient, "select_folder"),
    "mail-parser": (mailparser, "parse_from_bytes"),
    "bs4": (html_text, "BeautifulSoup"),
    "parse": (notice, "read"),
    "send": (transport, "sender"),
    "oversight": (Oversight, "look"),
    "commit": (Folders, "good_search"),
}


def plant(where: str, how: str) -> None:
    """Let a call hang for ever, and say so when it begins."""

    def hang(*_: object, **__: object) -> NoReturn:
        sys.stderr.write(f"<4>planted: {where} hangs\n")
        sys.stderr.flush()
        while True:
            if how == "holds":
                # No end in sight, and no thread of Python gets a turn meanwhile.
                re.match("(a*)*b", "a" * 60)
            time.sleep(60)

    def sender(url: object) -> Any:
        return hang

    owner, name = PLACES[where]
    setattr(owner, name, sender if where == "send" else hang)


if __name__ == "__main__":
    plant(*sys.argv[1:3])
    sys.argv[1:] = sys.argv[3:]
    mailwatch.cli.main()
