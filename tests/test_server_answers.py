"""Any answer of a server, right in an odd form or wrong: what lies in the folder is told, or the folder is not well.

`MAILWATCH_ANSWERS=2500` runs as many examples of each test; without it a short form. The clock is moved, so that a
quarter of an hour of searches takes no time. The changes are in `beds.legal_answers` and `beds.wrong_answers`.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from operator import add
from pathlib import Path

import mails
import pytest
from beds.answers import Change, Pick
from beds.legal_answers import LEGAL
from beds.mail_forms import FORMS, OTHERS
from beds.scripted import ScriptedImap, Session
from beds.wrong_answers import HANGS_UP, WRONG
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st
from test_reading import MovedClock
from test_watch import configured, rows, server_of

from mailwatch import mailbox
from mailwatch.errors import Unreachable
from mailwatch.mailbox import Mailbox
from mailwatch.store import Store
from mailwatch.watch.search import RELIST_SECONDS, Lasting, Search
from mailwatch.watch.signals import Progress, Signals

pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

# Without an explanation of what fails, which takes minutes.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
EXAMPLES = int(os.environ.get("MAILWATCH_ANSWERS", "12"))
QUARTER = 15 * 60
COMMANDS = ("EXAMINE", "UID SEARCH", "UID FETCH", "NOOP")
NOTICED = re.compile(
    r"noticed account=\S+ folder=\S+ uid=(?P<uid>\d+) kind=\w+ \S+ order_id=(?P<order>\S+) decision=(?P<action>\w+)"
)


@dataclass(frozen=True)
class Step:
    """One change: which answers, the change, and the first `times` (0: all) after `after` of them."""

    stage: str
    change: str
    which: int
    amount: int
    after: int
    times: int

    def is_due(self, number: int) -> bool:
        """Whether the answer of this number, from 0, is changed."""
        return number >= self.after and (not self.times or number < self.after + self.times)


@dataclass
class Plan:
    """The steps, the forms of the requests, and the sort of the mails between them."""

    steps: list[Step]
    forms: list[str]
    others: int


@dataclass
class Folder:
    """A watched folder of the server's and what was told of it. `requests`: order ID by UID."""

    server: ScriptedImap
    place: Path
    plan: Plan
    clock: MovedClock = field(default_factory=MovedClock)
    lasting: Lasting = field(default_factory=Lasting)
    said: io.StringIO = field(default_factory=io.StringIO)
    requests: dict[int, str] = field(default_factory=dict)
    has_changed: bool = False

    def deliver(self, count: int) -> None:
        """So many requests, and a mail of somebody else's beside each."""
        for _ in range(count):
            number = len(self.requests)
            order = mails.order_id(number)
            uid = self.server.deliver(FORMS[self.plan.forms[number]](order), announce=False)
            self.requests[uid] = order
            self.server.deliver(OTHERS[(self.plan.others + number) % len(OTHERS)](), announce=False)

    def a_mail_comes(self) -> None:
        """One of somebody else's, while a command is answered."""
        self.server.deliver(OTHERS[0](), announce=False)

    def a_mail_goes(self) -> None:
        """The first one of somebody else's, likewise."""
        others = [uid for uid in self.server.folders["INBOX"].uids() if uid not in self.requests]
        if others:
            self.server.expunge(others[0])

    def untold(self) -> set[int]:
        """The requests whose order ID was not told."""
        orders = {order for _, order in self._noticed()}
        return {uid for uid, order in self.requests.items() if order not in orders}

    def missed(self) -> set[int]:
        """Those of which nothing was told, nor that this very mail can't be read.

        A person who is told of mails under numbers that are not there looks for as many in the folder.
        """
        doubtful = {uid for uid, order in self._noticed() if order == "-"}
        strangers = {uid for uid in doubtful if uid >= (self.server.folders["INBOX"].uidnext or 0)}
        missed = self.untold() - doubtful
        return missed if len(missed) > len(strangers) else set()

    def _noticed(self) -> list[tuple[int, str]]:
        """UID and order ID, or "-", of what was told."""
        found = NOTICED.finditer(self.said.getvalue())
        return [(int(each["uid"]), each["order"]) for each in found if each["action"] != "quiet"]

    def is_well(self) -> bool:
        """Whether there was a good search in the last three minutes; none where no folder was ever listed."""
        has_store = (self.place / "state" / "mailwatch.sqlite").exists()
        known = rows(self.place, "SELECT last_good_search FROM folder") if has_store else []
        return any(good and self.clock.now().timestamp() - float(str(good)) < 185 for (good,) in known)

    @contextmanager
    def connected(self) -> Iterator[tuple[Mailbox, Search]]:
        """One connection, to be searched by hand."""
        made = configured(self.place)
        opened = mailbox.log_in(server_of(self.server)(made.accounts[0])).open("INBOX")
        try:
            with contextlib.closing(Store.open(made.watch.state_dir)) as store:
                found = Search(made, made.accounts[0], opened, store, Signals(), self.clock, Progress(self.clock))
                found.lasting = self.lasting
                yield opened, found
        finally:
            opened.close()

    def watch(self, seconds: float) -> None:
        """Search once a minute, and connect again after a lost connection."""
        until = self.clock.passed + seconds
        while self.clock.passed < until:
            with contextlib.suppress(Unreachable), self.connected() as (opened, found):
                while self.clock.passed < until:
                    found.go()
                    opened.noop()
                    self.clock.passed += 61
            self.clock.passed += 20


@contextmanager
def folder(plan: Plan) -> Iterator[Folder]:
    """A folder on a server that answers by the plan."""
    with tempfile.TemporaryDirectory() as place, ScriptedImap() as server:
        made = Folder(server, Path(place), plan)
        with contextlib.redirect_stderr(made.said):
            yield made
        event("changed" if made.has_changed else "no answer was changed")
        assert not server.violations


EVENTS: dict[str, Callable[[Folder], None]] = {"a mail comes": Folder.a_mail_comes, "a mail goes": Folder.a_mail_goes}
# What is drawn more often: most of what can be missed is in these.
OF_MAILS = ("search", "headline", "structure", "text", "text", "text")
CUTS = {"emptied", "cut", "a line dropped", "a number dropped", "numbers cut"}
OFTEN = [form for form in sorted(FORMS) if form != "text over the limit"] + ["by its text", "by its text, 8bit"] * 3
CHANGES = {of: LEGAL[of] | WRONG[of] for of in LEGAL}
assert not any(LEGAL[of].keys() & WRONG[of].keys() for of in LEGAL)


def stage(command: str, arguments: str) -> str:
    """What a command asks for."""
    if command != "UID FETCH":
        return {"EXAMINE": "examine", "UID SEARCH": "search", "NOOP": "noop"}[command]
    items = arguments.partition(" ")[2]
    if "BODYSTRUCTURE" in items:
        return "structure"
    if "HEADER" in items:
        return "headline"
    if "BODY" in items:
        return "text"
    return "list" if ":*" in arguments else "identity"


def script(made: Folder) -> None:
    """Answer by the plan."""
    count: Counter[str] = Counter()

    def changed(session: Session, tag: str, arguments: str) -> bool:
        of = stage(session.command, arguments)
        due = [step for step in made.plan.steps if step.stage == of and step.is_due(count[of])]
        count[of] += 1
        for step in due:
            if step.change in EVENTS:
                EVENTS[step.change](made)
                made.has_changed = True
        answer = session.ordinary(tag, arguments)
        if of == "search" and any(step.stage == "list" for step in made.plan.steps):
            answer = LEGAL["search"]["criterion refused"](answer, Pick(0, 0))  # else no list is asked for
        exists = len(made.server.folders["INBOX"].mails)
        for step in due:
            if change := CHANGES[of].get(step.change):
                with contextlib.suppress(ValueError):
                    before, answer = answer, change(answer, Pick(step.which, step.amount, exists))
                    made.has_changed |= before != answer
        session.write(answer)
        if any(step.change in HANGS_UP for step in due):
            session.close()
        return True

    for command in COMMANDS:
        made.server.script(command, changed, always=True)


def steps(
    changes: dict[str, dict[str, Change]], after: st.SearchStrategy[int], times: st.SearchStrategy[int]
) -> st.SearchStrategy[Step]:
    """One change to the answers of one stage."""
    which, amount = st.integers(0, 5), st.integers(0, 999)

    def of_stage(of: str) -> st.SearchStrategy[Step]:
        names = [*sorted(changes[of]), *EVENTS, *(name for name in changes[of] if name in CUTS for _ in range(3))]
        return st.builds(Step, st.just(of), st.sampled_from(names), which, amount, after, times)

    return st.sampled_from([*sorted(changes), *OF_MAILS]).flatmap(of_stage)


def plans(of: st.SearchStrategy[list[Step]]) -> st.SearchStrategy[Plan]:
    """The changes, and what lies in the folder."""
    # One that is large takes as long as ten others.
    forms = st.lists(st.sampled_from([*OFTEN * 4, "text over the limit"]), min_size=4, max_size=4)
    return st.builds(Plan, of, forms, st.integers(0, len(OTHERS) - 1))


LEGAL_STEP = steps(LEGAL, st.integers(0, 2), st.sampled_from([0, 1, 3]))
WRONG_STEP = steps(WRONG, st.integers(0, 3), st.sampled_from([0, 0, 1, 2, 5]))


@settings(max_examples=EXAMPLES, phases=PHASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(plans(st.lists(LEGAL_STEP, min_size=1, max_size=3)))
def test_an_answer_that_is_legal_in_whatever_form_is_read_by_the_first_search(plan: Plan) -> None:
    with folder(plan) as made:
        made.deliver(3)
        script(made)
        with made.connected() as (opened, found):
            for more in (0, 1):
                made.deliver(more)
                began = time.monotonic()
                found.go()
                assert not made.untold()
                assert time.monotonic() - began < 5
                opened.noop()
                made.clock.passed += 61
            made.clock.passed += RELIST_SECONDS
            found.go()
            opened.noop()
            found.go()
        assert made.is_well()
        assert "kind=unreadable" not in made.said.getvalue()


@settings(max_examples=EXAMPLES, phases=PHASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(plans(st.builds(add, st.lists(WRONG_STEP, min_size=1, max_size=2), st.lists(LEGAL_STEP, max_size=1))))
def test_after_a_wrong_answer_all_is_told_or_the_folder_is_not_well(plan: Plan) -> None:
    """And once the server answers rightly all is told and well.

    Planted faults, by 200 examples each: a headline without a From counts as somebody else's: red after 11; a list is
    believed whatever EXISTS says: red after 10; half a text is taken for the text: red after 61, and in a second run of
    200 not drawn.
    """
    with folder(plan) as made:
        made.deliver(2)
        script(made)
        made.watch(QUARTER / 2)
        made.deliver(1)
        made.watch(QUARTER)
        assert not made.missed() or not made.is_well()
        made.server.unscript()
        made.deliver(1)
        made.watch(QUARTER)
        assert not made.missed()
        assert made.is_well()
