"""What is new in a folder: listed, fetched in stages, read and recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta

from mailwatch import log, mailbox, message, notice
from mailwatch.amazon import sender
from mailwatch.clock import Clock
from mailwatch.config import Account, Config, audience
from mailwatch.errors import MailwatchError
from mailwatch.fetched import Headline
from mailwatch.mailbox import Mailbox
from mailwatch.report import Gather
from mailwatch.store import MailIdentity, Reading, Recorded, Store, Tries
from mailwatch.trust import Trust
from mailwatch.watch.signals import Progress, Signals

RELIST_SECONDS = 540.0
# Each search looks this far below the highest UID; the re-list looks at the whole look-back.
_LATE_UIDS = 200
# Below this many UIDs under the highest, a mail counts only by its date: else the list would grow for ever.
_OLD_UIDS = 10_000
# A mail that failed so often by itself is told as unreadable and set aside; so is one on which link or process ended so
# often, for a kill or a lost link is rarely the mail's fault.
_FAILURES = 3
_BEGUN = 12
# After so long without a good search what comes is a backlog: newest first, and above so many alerts a digest.
_OUTAGE = timedelta(minutes=15)
_SINGLES = 20
# Longer than any deadline of the connection.
_PIECE_SECONDS = 150.0


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
        self._channels = audience(config.channels)
        self._uidvalidity = folder.uidvalidity or 0
        self._floor = self._start()
        self._seen = store.seen(account.name, folder.folder, self._uidvalidity)
        self._relist_at = clock.monotonic()
        self._is_first = False
        self._is_backlog = False
        self.reading: MailIdentity | None = None

    def go(self) -> None:
        """One good search: list, fetch and record everything unseen, or raise."""
        known = self._store.folder(self._account.name, self._mailbox.folder)
        last = known.last_good_search if known else None
        self._is_first = last is None
        self._is_backlog = last is not None and self._clock.now() - last > _OUTAGE
        if self.seconds_to_relist <= 0.0:
            unseen = self._relisted()
            self._relist_at = self._clock.monotonic() + RELIST_SECONDS
        else:
            near_the_top = max(self._floor, max(self._seen, default=0) - _LATE_UIDS)
            unseen = [uid for uid in self._mailbox.uids(above=near_the_top) if uid not in self._seen]
        self._fetch(unseen[::-1] if self._is_backlog else unseen)
        self._finish()

    @property
    def seconds_to_relist(self) -> float:
        """When the whole look-back is to be listed again."""
        return self._relist_at - self._clock.monotonic()

    def _finish(self) -> None:
        """A good search: noted, and what was gathered in it is told."""
        now, where = self._clock.now(), (self._account.name, self._mailbox.folder)
        self._store.good_search(*where, now)
        if self._store.reports.tell_gathered(*where, self._channels, now):
            self._signals.wake_channels()

    def _gather(self) -> Gather | None:
        """Why alerts of this search wait for a digest, if they do."""
        where = self._account.name, self._mailbox.folder
        if self._is_first:
            return Gather("rebuilt" if self._store.reports.was_rebuilt() else "first_start", *where)
        known = self._store.folder(*where)
        is_much = self._is_backlog and known is not None and known.singles >= _SINGLES
        return Gather("outage", *where) if is_much else None

    def _start(self) -> int:
        """The UID up to which mails were there before the first start; those count only within the look-back."""
        known = self._store.folder(self._account.name, self._mailbox.folder)
        same = known is not None and known.uidvalidity == self._mailbox.uidvalidity
        floor = known.floor if known and same else self._highest_uid()
        self._store.start_folder(
            self._account.name,
            self._mailbox.folder,
            self._mailbox.uidvalidity,
            floor,
            self._mailbox.mode,
            self._mailbox.watched_as,
        )
        return floor

    def _highest_uid(self) -> int:
        if self._mailbox.uidnext:
            return self._mailbox.uidnext - 1
        return max(self._mailbox.uids(), default=0)

    def _relisted(self) -> list[int]:
        """The whole look-back: finds late and reused UIDs, and what a lagging SEARCH left out (traps section 1)."""
        since = (self._clock.now() - self._lookback()).date()
        listed = self._mailbox.uids(since=since)
        above = self._mailbox.uids(above=max(self._floor, max(self._seen, default=0) - _OLD_UIDS))
        # A restored mailbox gives the numbers above its last mail anew; what is known of them is of other mails.
        top = max((*listed, *above), default=0)
        self._seen = {uid: known for uid, known in self._seen.items() if uid <= top}
        return sorted({*listed, *above} - self._confirmed(listed))

    def _lookback(self) -> timedelta:
        """`lookback_days` and a day for time zones, or the time since the last good search if that is longer."""
        known = self._store.folder(self._account.name, self._mailbox.folder)
        away = self._clock.now() - known.last_good_search if known and known.last_good_search else timedelta()
        return max(self._config.watch.lookback, away) + timedelta(days=1)

    def _confirmed(self, listed: Sequence[int]) -> set[int]:
        """Of the listed UIDs those with arrival and size as recorded; any other is another mail under an old UID."""
        known = [uid for uid in listed if uid in self._seen]
        confirmed = set(self._seen) - set(listed)
        for uid, arrival, size in self._mailbox.identities(known):
            if (int(arrival.timestamp()), size) in self._seen[uid]:
                confirmed.add(uid)
        return confirmed

    def _fetch(self, uids: Sequence[int]) -> None:
        """Candidates are recorded one by one as they come; the others together, after the piece."""
        for at in range(0, len(uids), mailbox.PIECE):
            others: list[Headline] = []
            piece = uids[at : at + mailbox.PIECE]
            order = {uid: number for number, uid in enumerate(piece)}
            self._progress.expect(_PIECE_SECONDS)
            headlines = sorted(self._mailbox.headlines(piece), key=lambda found: order.get(found.uid, 0))
            for headline in headlines:
                if _is_candidate(headline):
                    self._progress.expect(_PIECE_SECONDS)
                    self._take(headline)
                else:
                    others.append(headline)
            self._store.record_others([self._identity(headline) for headline in others])
            for headline in others:
                self._remember(headline)

    def _take(self, headline: Headline) -> None:
        """Fetch, read and record one candidate; one that never comes to its end is set aside, so that it holds none."""
        identity = self._identity(headline)
        tries = self._store.begin_reading(identity)
        if tries.failed >= _FAILURES or tries.begun > _BEGUN:
            self._set_aside(headline)
            return
        self.reading = identity
        try:
            self._read(headline, identity, tries)
        except MailwatchError:
            raise
        except Exception:
            self._store.reading_failed(identity)
            raise
        finally:
            self.reading = None

    def _read(self, headline: Headline, identity: MailIdentity, tries: Tries) -> None:
        found = self._mailbox.text(headline)
        if found is None:
            log.vanished(self._account.name, self._mailbox.folder, headline.uid)
            if tries.begun == 1:
                self._store.vanished()
            # Not marked: one that is still listed is tried by each search, and told of when it never comes.
            return
        notices = notice.read(found, self._account.provider, self._config.templates, is_junk=self._mailbox.is_junk)
        reading = Reading(identity, self._account.seller, found.content_key(), notices)
        if self._mailbox.watched_as == self._account.done_folder:
            self._handled(headline, reading)
        else:
            self._record(headline, reading)

    def _handled(self, headline: Headline, reading: Reading) -> None:
        """The seller has moved the mail here: its request is done."""
        for order_id in self._store.record_handled(reading, self._config.rules):
            log.request_done(self._account.name, self._mailbox.folder, order_id)
        self._remember(headline)

    def _set_aside(self, headline: Headline) -> None:
        """Tell a person of a mail that we fail on, once."""
        doubtful = notice.Notice(notice.Kind.UNREADABLE, Trust.UNVERIFIED)
        key = hashlib.sha256(headline.header + str(self._identity(headline)).encode()).digest()
        log.set_aside(self._account.name, self._mailbox.folder, headline.uid)
        self._record(headline, Reading(self._identity(headline), self._account.seller, key, (doubtful,)))

    def _record(self, headline: Headline, reading: Reading) -> None:
        now = self._clock.now()
        hold_until = self._config.watch.quiet_until(now)
        rules, gather = self._config.rules, self._gather()
        recorded = self._store.record(reading, rules, self._channels, now, hold_until, gather)
        self._remember(headline)
        for each in recorded:
            self._log(headline, each)
        if any(each.decision.alerts for each in recorded):
            self._signals.wake_channels()

    def _identity(self, headline: Headline) -> MailIdentity:
        return MailIdentity(
            self._account.name, self._mailbox.folder, self._uidvalidity, headline.uid, headline.received, headline.size
        )

    def _remember(self, headline: Headline) -> None:
        self._seen.setdefault(headline.uid, set()).add((int(headline.received.timestamp()), headline.size))

    def _log(self, headline: Headline, recorded: Recorded) -> None:
        about, decision = recorded.notice, recorded.decision
        if about.kind is notice.Kind.IGNORED:
            return
        mail = (self._account.name, self._mailbox.folder, headline.uid)
        log.noticed(mail, about.kind, about.trust, about.order_id or "-", (decision.action, decision.why))


def _is_candidate(headline: Headline) -> bool:
    """Whether a mail may be Amazon's; one whose header defeats us is looked at too, for there its tries are counted."""
    try:
        display, address = message.sender(message.header_fields(headline.header))
        return sender.may_be_amazon(display, address)
    except Exception:  # noqa: BLE001 - reading is total; should it not be, one mail must not hold the others
        return True
