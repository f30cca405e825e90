"""What is new in a folder: listed, fetched in stages, read and recorded."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from datetime import timedelta

from mailwatch import log, mailbox, message, notice
from mailwatch.amazon import sender
from mailwatch.clock import Clock
from mailwatch.config import Account, Config, audience
from mailwatch.errors import MailwatchError
from mailwatch.fetched import Headline
from mailwatch.mailbox import Mailbox
from mailwatch.store import MailIdentity, Reading, Recorded, Store
from mailwatch.trust import Trust
from mailwatch.watch.signals import Signals

RELIST_SECONDS = 600.0
# Each search looks this far below the highest UID; the re-list looks at the whole look-back.
_LATE_UIDS = 200
# Below this many UIDs under the highest, a mail counts only by its date: else the list would grow for ever.
_OLD_UIDS = 10_000
# A mail that meets something unforeseen this often is told as unreadable and set aside.
_TRIES = 3


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
        failed: dict[int, int] | None = None,
    ) -> None:
        """`failed`: how often a mail of a UID met something unforeseen; kept from one connection to the next."""
        self._config = config
        self._account = account
        self._mailbox = folder
        self._store = store
        self._signals = signals
        self._clock = clock
        self._failed = {} if failed is None else failed
        self._channels = audience(config.channels)
        self._uidvalidity = folder.uidvalidity or 0
        self._floor = self._start()
        self._seen = store.seen(account.name, folder.folder, self._uidvalidity)
        self._relist_at = 0.0

    def go(self) -> None:
        """One good search: list, fetch and record everything unseen, or raise."""
        if self._clock.monotonic() >= self._relist_at:
            unseen = self._relisted()
            self._relist_at = self._clock.monotonic() + RELIST_SECONDS
        else:
            near_the_top = max(self._floor, max(self._seen, default=0) - _LATE_UIDS)
            unseen = [uid for uid in self._mailbox.uids(above=near_the_top) if uid not in self._seen]
        self._fetch(unseen)
        self._store.good_search(self._account.name, self._mailbox.folder, self._clock.now())

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
            for headline in self._mailbox.headlines(uids[at : at + mailbox.PIECE]):
                with self._tried(headline) as is_hopeless:
                    if is_hopeless:
                        self._set_aside(headline)
                    elif _is_candidate(headline):
                        self._take(headline)
                    else:
                        others.append(headline)
            self._store.record_others([self._identity(headline) for headline in others])
            for headline in others:
                self._remember(headline)

    @contextlib.contextmanager
    def _tried(self, headline: Headline) -> Iterator[bool]:
        """Count what is unforeseen about one mail; gives whether it failed so often that it is hopeless.

        A lost link or a full disk is not the mail's fault and does not count.
        """
        try:
            yield self._failed.get(headline.uid, 0) >= _TRIES
        except MailwatchError:
            raise
        except Exception:
            self._failed[headline.uid] = self._failed.get(headline.uid, 0) + 1
            raise

    def _set_aside(self, headline: Headline) -> None:
        """Tell a person of a mail that we fail on, once, so that it holds no other."""
        doubtful = notice.Notice(notice.Kind.UNREADABLE, Trust.UNVERIFIED)
        key = hashlib.sha256(headline.header + str(self._identity(headline)).encode()).digest()
        self._record(headline, Reading(self._identity(headline), self._account.seller, key, (doubtful,)))

    def _take(self, headline: Headline) -> None:
        """Fetch, read and record one candidate."""
        found = self._mailbox.text(headline)
        if found is None:
            log.vanished(self._account.name, self._mailbox.folder, headline.uid)
            self._store.vanished()
            return
        notices = notice.read(found, self._account.provider, self._config.templates, is_junk=self._mailbox.is_junk)
        self._record(headline, Reading(self._identity(headline), self._account.seller, found.content_key(), notices))

    def _record(self, headline: Headline, reading: Reading) -> None:
        now = self._clock.now()
        hold_until = self._config.watch.quiet_until(now)
        recorded = self._store.record(reading, self._config.rules, self._channels, now, hold_until)
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
    display, address = message.sender(message.header_fields(headline.header))
    return sender.may_be_amazon(display, address)
