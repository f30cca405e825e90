"""`list`, `show`, `done`, `release`, `reopen`: the requests as they stand, and what a person says became of them."""

from __future__ import annotations

import os
import pwd
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any, TypeVar

from mailwatch import command as invocation
from mailwatch.amazon import order_id
from mailwatch.amazon.marketplace import order_page
from mailwatch.catalogue import Language, say
from mailwatch.config import Config
from mailwatch.database import FILE_NAME, is_there
from mailwatch.errors import Fault, MailwatchError, PassingError, UsageError
from mailwatch.notice import Kind
from mailwatch.outbox import LAPSES_AFTER
from mailwatch.request import State
from mailwatch.service import places, unit
from mailwatch.store import Store, StoredRequest
from mailwatch.texts import at

_T = TypeVar("_T")
_FORGOTTEN_AFTER = timedelta(days=30)


class UnknownOrder(MailwatchError):
    """No request of that order is in the store."""


def listed(config: Config, now: datetime, *, everything: bool) -> list[StoredRequest]:
    """The open requests, or all, oldest first. Raises `PassingError` where no `run` has written a store."""
    found = _with_store(config.watch.state_dir, Store.requests, is_read=True)
    current = [request for request in (_as_of(each, now) for each in found) if _is_known(request, now)]
    return [request for request in current if everything or request.state is State.OPEN]


def shown(config: Config, given: str, now: datetime) -> StoredRequest:
    """The request of one order. Raises `UnknownOrder`, `UsageError` or `PassingError`."""
    wanted = _order(given)
    for request in reversed(listed(config, now, everything=True)):
        if request.order_id == wanted:
            return request
    raise UnknownOrder("requests.unknown", order=wanted)


def set_state(config: Config, given: Iterable[str], state: State) -> tuple[list[str], list[Fault]]:
    """Set the state of each order's request; (the orders that were set, a fault for each that is not known).

    Raises `UsageError` where one is no order ID, before any is set; `PassingError` and `StoreError`.
    """
    orders = [_order(each) for each in given]

    def change(store: Store) -> list[str]:
        return [order for order in orders if store.set_state(order, state)]

    done = _with_store(config.watch.state_dir, change, is_read=False)
    return done, [Fault("requests.unknown", {"order": order}) for order in orders if order not in done]


def check_owner(state_dir: Path, config: Path, command: Sequence[str]) -> None:
    """Raise `UsageError` with the command line that works where the store is another user's and not ours to write.

    `command`: what was typed after the options. The service's store is changed by the service's program, which finds
    its own configuration; any other by this program with the configuration `config`.
    """
    for path in (state_dir, state_dir / FILE_NAME):
        try:
            owner = path.stat().st_uid
        except OSError:
            continue
        if owner != os.geteuid() and not os.access(path, os.W_OK):
            name = _user_name(owner)
            line = shlex.join(["sudo", "-u", name]) + " " + _program(state_dir, config, command)
            raise UsageError("requests.not_owner", owner=name, command=line)


def _user_name(uid: int) -> str:
    """The user's name, or its number as sudo(8) takes it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def _program(state_dir: Path, config: Path, command: Sequence[str]) -> str:
    prefix = unit.installed_prefix() if state_dir == places.STATE else None
    if prefix is not None:
        return shlex.join([str(prefix / "bin" / places.NAME), *command])
    return invocation.whole("--config", str(config.absolute()), *command)


def as_json(request: StoredRequest) -> dict[str, Any]:
    """The contract of design section 6."""
    routes = dict.fromkeys(sighting.route for sighting in request.sightings if sighting.route)
    by_route = {route: [each.at for each in request.sightings if each.route is route] for route in routes}
    return {
        "order_id": request.order_id,
        "marketplace": request.marketplace,
        "seller": request.seller,
        "kind": request.kind,
        "trust": request.trust,
        "state": request.state,
        "routes": [
            {"route": route, "first_seen": min(times).isoformat(), "mails": len(times)}
            for route, times in by_route.items()
        ],
        "opened_at": request.opened_at.isoformat(),
        "items": [
            {"title": item.title, "asin": item.asin, "sku": item.sku, "quantity": item.quantity}
            for item in request.items
        ],
    }


def as_line(request: StoredRequest, language: Language, zone: tzinfo) -> str:
    """One request on one line; one without an order ID with the place of its mail, by which it is found."""
    line = say(
        "requests.row",
        language,
        order=request.order_id or say("alert.no_order", language),
        label=say(f"alert.label_{request.kind}", language),
        trust=say(f"scan.trust_{request.trust}", language).strip(),
        state=say(f"requests.state_{_state_word(request)}", language),
        at=at(request.opened_at, zone),
    )
    if request.is_reply_undelivered:
        line += "  " + say("requests.undelivered", language)
    if request.order_id or not request.sightings:
        return line
    mail = request.sightings[0]
    return line + say("requests.place", language, account=mail.account, folder=mail.folder)


def _state_word(request: StoredRequest) -> str:
    """Open mails in doubt have a word of their own: `status` counts as open what asks, requests and wishes."""
    is_in_doubt = request.state is State.OPEN and request.kind not in {Kind.REQUEST, Kind.WISH}
    return "doubt" if is_in_doubt else request.state


def as_text(request: StoredRequest, language: Language, zone: tzinfo) -> str:
    """One request with all that is kept of it."""
    lines = [as_line(request, language, zone)]
    for sighting in request.sightings:
        route = say(f"alert.route_{sighting.route}", language) if sighting.route else "-"
        lines.append("  " + say("alert.route_line", language, route=route, at=at(sighting.at, zone)))
    for item in request.items:
        named = " / ".join(part for part in (item.asin, item.sku) if part)
        quantity = say("alert.quantity", language, quantity=item.quantity) if (item.quantity or 1) > 1 else ""
        lines.append("  " + say("alert.item_line", language, item=(named or "-") + quantity))
    page = order_page(request.marketplace, request.order_id) if request.order_id else None
    return "\n".join([*lines, *(["  " + page] if page else [])])


def _order(given: str) -> str:
    """The order ID that a person typed or pasted, in whatever width and with whatever dash."""
    found = order_id.unique(order_id.find(order_id.fold(given.strip())))
    if len(found) != 1:
        raise UsageError("requests.no_order_id", value=given[:60])
    return found[0]


def _as_of(request: StoredRequest, now: datetime) -> StoredRequest:
    """Lapsed, where it is open and was not seen for 14 days."""
    latest = max((sighting.at for sighting in request.sightings), default=request.opened_at)
    is_lapsed = request.state is State.OPEN and now - latest > LAPSES_AFTER
    return replace(request, state=State.LAPSED) if is_lapsed else request


def _is_known(request: StoredRequest, now: datetime) -> bool:
    """Not one of which only hashes are left."""
    latest = max((sighting.at for sighting in request.sightings), default=request.opened_at)
    return request.order_id is not None or now - latest < _FORGOTTEN_AFTER


def _with_store(folder: Path, work: Callable[[Store], _T], *, is_read: bool) -> _T:
    if not is_there(folder):
        raise PassingError("status.no_run", path=folder)
    store = Store.open_to_read(folder) if is_read else Store.open(folder)
    try:
        if not store.reports.was_run():
            raise PassingError("status.no_run", path=folder)
        return work(store)
    finally:
        store.close()
