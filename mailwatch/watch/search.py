"""What is new in a folder: listed, fetched in stages, read and recorded."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

from mailwatch import fetched, log, mailbox, message, notice, server_fault
from mailwatch.amazon import sender
from mailwatch.clock import Clock
from mailwatch.config import Account, Config, audience
from mailwatch.database import moment
from mailwatch.errors import MailwatchError, StoreError, Unreachable
from mailwatch.fetched import Headline
from mailwatch.folders import MailIdentity, Seen, Tries
from mailwatch.mailbox import Mailbox
from mailwatch.report import Gather
from mailwatch.store import Reading, Recorded, Store
from mailwatch.trust import Trust
from mailwatch.watch.signals import Progress, Signals

RELIST_SECONDS = 540.0
# A folder that was deleted, renamed or made anew is noticed only by EXAMINE where the server says nothing of it.
_EXAMINE_SECONDS = 55.0
# Each search looks this far below the highest UID; the re-list looks at the whole look-back.
_LATE_UIDS = 200
# Below this many UIDs under the highest, a mail counts only by its date: else the list would grow for ever.
_OLD_UIDS = mailbox.MAX_COUNTED
# A mail that failed, hung or ended the process three times is told as unreadable and set aside. So is one that ended
# the process twice over 15 minutes, where each end takes long; and one that was begun twelve times, for a lost link is
# rarely the mail's fault.
_FAILURES = 3
_DIED = 2
_DIED_OVER = timedelta(minutes=15)
_BEGUN = 12
# A server that has a bad minute shows no headline either: none is set aside before.
_DOUBT_SECONDS = 180.0
_AGAIN_SECONDS = 60.0
# From so many refusals in a row on they may be about one of the mails, whatever the server says.
_BELIEVED = 3
_UNSEEN_SECONDS = 3600.0
# After so long without a good search what comes is a backlog: newest first, and above so many alerts a digest.
_OUTAGE = timedelta(minutes=15)
_SINGLES = 20
# Longer than any deadline of the connection.
_PIECE_SECONDS = 150.0
_NO_DATE = datetime.fromtimestamp(0, UTC)


@dataclass(slots=True)
class Doubt:
    """Since when the headline of a listed mail does not come, and when it is to be tried again."""

    since: float
    due: float


@dataclass(slots=True)
class Lasting:
    """What the searches of a folder know from one connection to the next.

    `piece`: how many headlines are asked for at once; `doubtful`: by UID, the mails whose headline or text does not
    come; `last`: those on whose text the link was lost or a process ended, tried behind all others; `unseen_again`: by
    UID, when a mail that was set aside unseen is to be asked for again; `search_fault`: why the folder was listed by
    FETCH, as logged; `refused`: how often in a row a search ended because the server was busy with headlines.
    """

    piece: int = field(default_factory=lambda: mailbox.PIECE)
    doubtful: dict[int, Doubt] = field(default_factory=dict)
    last: set[int] = field(default_factory=set)
    unseen_again: dict[int, float] = field(default_factory=dict)
    search_fault: str = ""
    refused: int = 0

    def refused_over(self, uids: Sequence[int], now: float, *, shows_others: bool) -> None:
        """The server refused these headlines "now": believed twice. Then half as many next time, and one alone is tried
        behind all others; only where those are shown it is this mail's fault (Dovecot's SERVERBUG of a damaged one)."""
        self.refused += 1
        if self.refused < _BELIEVED:
            return
        if len(uids) > 1:
            self.piece = len(uids) // 2
        elif shows_others:
            self.lost_over(uids, now)
        else:
            self.last.add(uids[0])

    def lost_over(self, uids: Sequence[int], now: float) -> None:
        """The link was lost over these headlines: half as many next time, until the mail that did it stands alone."""
        self.piece = len(uids) // 2 or mailbox.PIECE
        if len(uids) == 1:
            self.doubtful.setdefault(uids[0], Doubt(now, now + _AGAIN_SECONDS))

    def due(self, now: float) -> list[int]:
        """The doubtful whose turn it is. Not at each search: one may cost the connection that the others need."""
        return [uid for uid, doubt in self.doubtful.items() if doubt.due <= now]


class Search:
    """The searches of one folder over one connection: what is unseen is fetched, read and recorded."""

    def __init__(
        self,
        config: Config,
        account: Account,
        folder: Mailbox,
        store: Store,
        signals: Signals,
        clock: Clock,
        progress: Progress,
    ) -> None:
        self._config = config
        self._account = account
        self._mailbox = folder
        self._store = store
        self._signals = signals
        self._clock = clock
        self._progress = progress
        folder.before_command = self._step
        folder.reads_attached = notice.reads_attached
        self._channels = audience(config.channels)
        self._uidvalidity = folder.uidvalidity or 0
        self._floor = self._start()
        self._note_folder()
        self._seen = store.folders.seen(account.name, folder.folder, self._uidvalidity)
        self._relist_at = self._examined_at = clock.monotonic()
        self._has_fetched = False
        self.lasting = Lasting()
        self._is_search_wrong = False
        self._is_first = False
        self._is_backlog = False
        self._cancellations: list[tuple[Headline, Reading]] = []
        self.reading: MailIdentity | None = None

    def go(self) -> None:
        """List, fetch and record everything unseen, or raise.

        A good search unless a listed mail did not come, or fewer were listed than the server says there are.
        """
        known = self._store.folders.state(self._account.name, self._mailbox.folder)
        last = known.last_good_search if known else None
        self._is_first = last is None
        self._is_backlog = last is not None and self._clock.now() - last > _OUTAGE
        self._examine_if_due()
        if self.seconds_to_relist <= 0.0:
            unseen = self._relisted()
            self._relist_at = self._clock.monotonic() + RELIST_SECONDS
        else:
            unseen = self._newly_listed()
        if not self._mailbox.is_listed_whole:
            self._relist_at = min(self._relist_at, self._clock.monotonic() + _AGAIN_SECONDS)
        self._log_search_fault()
        self._fetch(unseen[::-1] if self._is_backlog else unseen)
        self._finish()
        self._ask_for_unseen()

    @property
    def seconds_to_next(self) -> float:
        """By when the next search is due, whatever the server announces."""
        return min(self.seconds_to_relist, _AGAIN_SECONDS)

    @property
    def seconds_to_relist(self) -> float:
        """When the whole look-back is to be listed again."""
        return self._relist_at - self._clock.monotonic()

    def _finish(self) -> None:
        """A good search is noted; what was gathered is told at once, also where a listed mail did not come."""
        now, where = self._clock.now(), (self._account.name, self._mailbox.folder)
        if not self.lasting.doubtful and self._mailbox.is_listed_whole:
            self._store.folders.good_search(*where, now)
        if self._store.reports.tell_gathered(*where, self._channels, now):
            self._signals.wake_channels()

    def _gather(self) -> Gather | None:
        """Why alerts of this search wait for a digest, if they do."""
        where = self._account.name, self._mailbox.folder
        if self._is_first:
            return Gather("rebuilt" if self._store.reports.was_rebuilt() else "first_start", *where)
        known = self._store.folders.state(*where)
        is_much = self._is_backlog and known is not None and known.singles >= _SINGLES
        return Gather("outage", *where) if is_much else None

    def _start(self) -> int:
        """The UID up to which mails were there before the first start; those count only within the look-back."""
        known = self._store.folders.state(self._account.name, self._mailbox.folder)
        same = known is not None and known.uidvalidity == self._mailbox.uidvalidity
        return known.floor if known and same else self._highest_uid()

    def _note_folder(self) -> None:
        self._store.folders.start(
            self._account.name,
            self._mailbox.folder,
            self._mailbox.uidvalidity,
            self._floor,
            self._mailbox.mode,
            self._mailbox.watched_as,
        )

    def _highest_uid(self) -> int:
        """By its list: some servers' UIDNEXT is too low or too high. Of a large folder only what is over UIDNEXT."""
        below = (self._mailbox.uidnext or 1) - 1
        is_short = self._mailbox.exists <= mailbox.MAX_COUNTED
        return max(self._mailbox.uids(above=None if is_short or not below else below), default=below)

    def _examine_if_due(self) -> None:
        """Once a minute, and before a re-list. A mailbox that was restored is listed whole at once."""
        now, was_next = self._clock.monotonic(), self._mailbox.uidnext or 0
        is_for_relist = self._examined_at < self._relist_at <= now
        if now - self._examined_at < _EXAMINE_SECONDS and not is_for_relist:
            return
        self._mailbox.examine_again()
        self._examined_at = now
        if 0 < (self._mailbox.uidnext or 0) < was_next:
            self._relist_at = now

    def _log_search_fault(self) -> None:
        why = self._mailbox.search_fault
        if not self._mailbox.is_listed_whole:
            why = f"{why or 'UID SEARCH'}; UID FETCH shows fewer mails than EXISTS says"
        if why and why != self.lasting.search_fault:
            log.search_differs(self._account.name, self._mailbox.folder, why)
        self.lasting.search_fault = why or self.lasting.search_fault

    def _newly_listed(self) -> list[int]:
        """What came since, late UIDs a little below the highest too, and those whose headline or text is still owed."""
        near_the_top = max(self._floor, max(self._seen, default=0) - _LATE_UIDS)
        doubtful = self.lasting.doubtful
        listed = self._mailbox.uids(above=min([near_the_top, *(uid - 1 for uid in doubtful)]))
        return [uid for uid in listed if uid in doubtful or (uid > near_the_top and uid not in self._seen)]

    def _relisted(self) -> list[int]:
        """The whole look-back: finds late and reused UIDs, and what a lagging SEARCH left out (traps section 1)."""
        self._mailbox.is_listed_whole = True
        if not self._is_search_wrong:
            self._mailbox.search_fault = ""
        bound = max(self._floor, max(self._seen, default=0) - _OLD_UIDS)
        # One that is listed whole can be counted.
        is_counted = self._mailbox.exists <= mailbox.MAX_COUNTED
        above = [
            uid for uid in (self._mailbox.uids() if is_counted else self._mailbox.uids(above=bound)) if uid > bound
        ]
        listed = self._mailbox.uids(since=self._since())
        self._note_restored(max((*listed, *above), default=0))
        return sorted({*listed, *above} - self._confirmed(listed))

    def _note_restored(self, listed_top: int) -> None:
        """A restored mailbox gives the numbers above its last mail anew; what is known of them is of other mails.

        No proof is a SEARCH that lists nothing (traps section 1), nor UIDNEXT alone where the server shows later mail.
        """
        next_uid = self._mailbox.uidnext or 0
        top = max(listed_top, next_uid - 1)
        if top > 0 or not self._mailbox.exists:
            self._seen = {uid for uid in self._seen if uid <= top}
        if 0 < next_uid <= self._floor and not self._mailbox.uids(above=next_uid - 1):
            # Else each new mail up to the old floor is found by the re-list only.
            self._floor = next_uid - 1
            self._note_folder()

    def _since(self) -> date:
        """`lookback_days` and a day for time zones, or the time since the last good search if that is longer."""
        known, now = self._store.folders.state(self._account.name, self._mailbox.folder), self._clock.now()
        away = now - known.last_good_search if known and known.last_good_search else timedelta()
        return (max(now, self._newest()) - max(self._config.watch.lookback, away) - timedelta(days=1)).date()

    def _newest(self) -> datetime:
        """When the newest known mail arrived: where that is to come our clock was set back, which makes no mail new."""
        known = self._seen_as([max(self._seen)]).values() if self._seen else ()
        return moment(max((mail.received for under_one in known for mail in under_one), default=0))

    def _confirmed(self, listed: Sequence[int]) -> set[int]:
        """Of the listed UIDs those with arrival and size as recorded; any other is another mail under an old UID."""
        confirmed = self._seen - set(listed)
        known = [uid for uid in listed if uid in self._seen]
        for at in range(0, len(known), mailbox.PIECE):
            confirmed |= self._confirmed_piece(known[at : at + mailbox.PIECE])
        return confirmed

    def _confirmed_piece(self, known: Sequence[int]) -> set[int]:
        """One that was set aside unseen has no size: it is asked for by `_ask_for_unseen`, and not here.

        One without a readable arrival was recorded with that of its first sight.
        """
        recorded = self._seen_as(known)
        confirmed = {uid for uid in known if recorded[uid] and not any(mail.size for mail in recorded[uid])}
        for uid in confirmed:
            self.lasting.unseen_again.setdefault(uid, self._clock.monotonic() + _UNSEEN_SECONDS)
        for uid, arrival, size in self._mailbox.identities([uid for uid in known if uid not in confirmed]):
            self._has_fetched = True
            if _is_among(recorded[uid], arrival, size):
                confirmed.add(uid)
        return confirmed

    def _ask_for_unseen(self) -> None:
        """Once an hour, behind all else: a mail that was set aside unseen may be another one now, or show itself.

        Some end the connection each time.
        """
        now, again = self._clock.monotonic(), self.lasting.unseen_again
        for uid in [uid for uid, due in again.items() if due <= now]:
            again[uid] = now + _UNSEEN_SECONDS
            if uid not in self._seen or not any(size for _, _, size in self._mailbox.identities([uid])):
                continue
            self._fetch_piece([uid])
            self.lasting.doubtful.pop(uid, None)
            if any(mail.size for mail in self._seen_as([uid])[uid]):
                del again[uid]

    def _seen_as(self, uids: Sequence[int]) -> dict[int, set[Seen]]:
        return self._store.folders.seen_as(self._account.name, self._mailbox.folder, self._uidvalidity, uids)

    def _fetch(self, uids: Sequence[int]) -> None:
        """All that are unseen; those whose headline did not come before alone, behind the others: they hold none."""
        lasting, listed = self.lasting, set(uids)
        if uids:
            where = self._account.name, self._mailbox.folder, self._uidvalidity
            lasting.last |= self._store.folders.ended_the_process(*where)
        lasting.doubtful = {uid: doubt for uid, doubt in lasting.doubtful.items() if uid in listed}
        due = lasting.due(self._clock.monotonic())
        lasting.last &= listed
        others = sorted((uid for uid in uids if uid not in lasting.doubtful), key=lambda uid: uid in lasting.last)
        for at in range(0, len(others), lasting.piece):
            self._fetch_piece(others[at : at + lasting.piece])
        lasting.piece, lasting.refused = mailbox.PIECE, 0
        # Newest first, a cancellation would come before the request that it ends.
        ended, self._cancellations = self._cancellations, []
        for headline, reading in ended:
            self._record(headline, reading)
        for uid in due:
            self._fetch_doubtful(uid)

    def _fetch_piece(self, piece: Sequence[int]) -> None:
        """Candidates are recorded one by one as they come; the others together, after the piece."""
        others: list[Headline] = []
        was_mixed_up = self._mailbox.is_mixed_up
        headlines = self._headlines(piece)
        for headline in headlines:
            if _is_candidate(headline):
                self._step()
                self._take(headline)
            else:
                others.append(headline)
        if others and self._mailbox.is_mixed_up and not was_mixed_up:
            # Theirs may be those of other mails as well.
            self._fetch_piece([headline.uid for headline in others])
            others = []
        self._store.record_others([self._recorded(headline) for headline in others])
        self._seen.update(headline.uid for headline in others)
        # A mail that is gone is not listed again; one that is known need not be shown again.
        now, shown = self._clock.monotonic(), {headline.uid for headline in headlines}
        for uid in piece:
            if uid in self._seen:
                self.lasting.doubtful.pop(uid, None)
            elif uid not in shown:
                self.lasting.doubtful.setdefault(uid, Doubt(now, now))

    def _headlines(self, piece: Sequence[int]) -> list[Headline]:
        order = {uid: number for number, uid in enumerate(piece)}
        self._step()
        try:
            found = sorted(self._mailbox.headlines(piece), key=lambda each: order.get(each.uid, 0))
        except Unreachable as fault:
            now = self._clock.monotonic()
            if not server_fault.is_passing(fault):
                self.lasting.lost_over(piece, now)
            elif not fault.wait_seconds:
                self.lasting.refused_over(piece, now, shows_others=self._has_fetched)
            raise
        self._has_fetched |= bool(found)
        return found

    def _fetch_doubtful(self, uid: int) -> None:
        """Try a mail whose headline did not come once more; after too many tries it is told and set aside."""
        unknown, now, doubt = Headline(uid, None, 0, b""), self._clock.monotonic(), self.lasting.doubtful[uid]
        identity = self._identity(unknown)
        tries = self._store.folders.begin_reading(identity, self._clock.now())
        if now - doubt.since >= _DOUBT_SECONDS and _is_hopeless(tries, self._clock.now()):
            self._set_aside(unknown)
            del self.lasting.doubtful[uid]
            return
        doubt.due = now + _AGAIN_SECONDS
        try:
            self._fetch_piece([uid])
        except Unreachable as fault:
            # Where the server shows other mails it is this one's fault; else it may be the server's, or the link's.
            if self._has_fetched and not fault.wait_seconds:
                self._store.folders.reading_failed(identity)
            else:
                self._cut_short(identity)
            raise
        if uid in self.lasting.doubtful:
            self._store.folders.reading_failed(identity)
            if self._mailbox.is_listed_wrongly(uid):
                self._is_search_wrong = True
                self._relist_at = self._clock.monotonic()
        else:
            self._cut_short(identity)

    def _step(self) -> None:
        self._progress.expect(_PIECE_SECONDS)

    def _take(self, headline: Headline) -> None:
        """Fetch, read and record one candidate; one that never comes to its end is set aside, so that it holds none."""
        identity = self._identity(headline)
        tries = self._store.folders.begin_reading(identity, self._clock.now())
        if _is_hopeless(tries, self._clock.now()):
            self._set_aside(headline)
            return
        self.reading = identity
        try:
            self._read(headline, tries)
        except MailwatchError as fault:
            if isinstance(fault, Unreachable):
                self.lasting.last.add(headline.uid)
            self._cut_short(identity)
            raise
        except Exception:
            self._store.folders.reading_failed(identity)
            raise
        finally:
            self.reading = None

    def _cut_short(self, mail: MailIdentity) -> None:
        """Note that the mail did not end the process. Until a restart that is known without the store too."""
        with contextlib.suppress(StoreError):
            self._store.folders.reading_cut_short(mail)

    def _read(self, headline: Headline, tries: Tries) -> None:
        found = self._mailbox.text(headline)
        if found is None:
            log.vanished(self._account.name, self._mailbox.folder, headline.uid)
            if tries.begun == 1:
                self._store.vanished()
            # One that is gone is not listed again; what is, and does not come, is told and set aside.
            now = self._clock.monotonic()
            self.lasting.doubtful.setdefault(headline.uid, Doubt(now, now))
            self._cut_short(self._identity(headline))
            return
        notices = notice.read(
            found,
            self._account.provider,
            self._config.templates,
            is_junk=self._mailbox.is_junk,
            marketplace=self._account.marketplace,
        )
        reading = Reading(self._recorded(headline), self._account.seller, found.content_key(), notices)
        if self._mailbox.watched_as == self._account.done_folder:
            self._handled(headline, reading)
        elif self._is_backlog and all(each.kind is notice.Kind.CANCELLED for each in notices):
            self._cancellations.append((headline, reading))
            # It was read; what ends the process before it is recorded is another mail.
            self._cut_short(reading.mail)
        else:
            self._record(headline, reading)

    def _handled(self, headline: Headline, reading: Reading) -> None:
        """The seller has moved the mail here: its request is done."""
        for order_id in self._store.record_handled(reading, self._config.rules):
            log.request_done(self._account.name, self._mailbox.folder, order_id)
        self._seen.add(headline.uid)

    def _set_aside(self, headline: Headline) -> None:
        """Tell a person of a mail that we fail on, once."""
        doubtful = notice.Notice(notice.Kind.UNREADABLE, Trust.UNVERIFIED)
        key = hashlib.sha256(headline.header + str(self._identity(headline)).encode()).digest()
        log.set_aside(self._account.name, self._mailbox.folder, headline.uid)
        self._record(headline, Reading(self._recorded(headline), self._account.seller, key, (doubtful,)))

    def _record(self, headline: Headline, reading: Reading) -> None:
        now = self._clock.now()
        hold_until = self._config.watch.quiet_until(now)
        rules, gather = self._config.rules, self._gather()
        recorded = self._store.record(reading, rules, self._channels, now, hold_until, gather)
        self._seen.add(headline.uid)
        for each in recorded:
            self._log(headline, each)
        if any(each.decision.alerts for each in recorded):
            self._signals.wake_channels()

    def _identity(self, headline: Headline) -> MailIdentity:
        """What its tries are counted under: the same at each, so without a date of ours."""
        received = headline.received or _NO_DATE
        where = self._account.name, self._mailbox.folder, self._uidvalidity
        return MailIdentity(*where, headline.uid, received, headline.size)

    def _recorded(self, headline: Headline) -> MailIdentity:
        """What it is remembered by. Where its arrival can't be read it arrived when it was seen: else it is no news."""
        return replace(self._identity(headline), received=headline.received or self._clock.now())

    def _log(self, headline: Headline, recorded: Recorded) -> None:
        about, decision = recorded.notice, recorded.decision
        if about.kind is notice.Kind.IGNORED:
            return
        mail = (self._account.name, self._mailbox.folder, headline.uid)
        log.noticed(mail, about.kind, about.trust, about.order_id or "-", (decision.action, decision.why))


def _is_among(recorded: set[Seen], arrival: datetime | None, size: int) -> bool:
    if arrival is None:
        return any(mail.size == size for mail in recorded)
    return Seen(int(arrival.timestamp()), size) in recorded


def _is_hopeless(tries: Tries, now: datetime) -> bool:
    is_long = tries.died >= _DIED and now - tries.since >= _DIED_OVER
    return tries.failed + tries.died >= _FAILURES or is_long or tries.begun > _BEGUN


def _is_candidate(headline: Headline) -> bool:
    """Whether a mail may be Amazon's; one whose header defeats us is looked at too, for there its tries are counted."""
    if not headline.size and not headline.header.strip():
        return False  # an empty mail
    if len(headline.header) >= mailbox.MAX_HEADLINE or not fetched.has_from(headline.header):
        return True  # cut off, maybe before its From; or it names Amazon elsewhere
    try:
        fields = message.header_fields(headline.header)
        return sender.may_be_amazon(*message.sender(fields), fields)
    except Exception:  # noqa: BLE001 - reading is total; should it not be, one mail must not hold the others
        return True
