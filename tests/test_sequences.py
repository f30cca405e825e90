"""What several mails about one order come to: on a real store, as a search records them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import mails
import pytest

from mailwatch import message, notice
from mailwatch.amazon import template
from mailwatch.amazon.marketplace import order_page
from mailwatch.folders import MailIdentity
from mailwatch.request import Action, Rollout, Rules, State
from mailwatch.store import Reading, Store
from mailwatch.trust import Provider

ONE = mails.order_id(1)
AT = datetime(2022, 6, 8, 0, 12, tzinfo=UTC)
PROVIDER = Provider(mails.AUTHSERV_ID, mails.RECEIVED_BY)
CHANNELS = [("slack", frozenset({"request", "wish", "possible", "unreadable", "cancelled"}))]
BY_BOTH_ROUTES = Rules(Rollout(), timedelta(0))

OWN_WORDS = [
    "お客様のキャンセルのご希望を承りました。注文履歴からキャンセルをリクエストしてください。",
    "お客様のご依頼によりご注文をキャンセルいたしました。ご返金まで少々お待ちください。",
    "ご注文のキャンセルリクエストを受け付けました。",
    "購入者様から注文のキャンセルのご依頼をいただきました。",
    "Your order has been cancelled.",
    "We have received your request to cancel this order.",
    "The buyer requested to cancel the order. Please press \"Request cancellation\".",
]  # fmt: skip


def notice_of_2026(order: str, *, host: str = "sellercentral.amazon.co.jp") -> bytes:
    """The new route's request in the shape that was seen: one HTML part, from donotreply@amazon.com."""
    text = (
        "<p>こんにちは。<br>購入者から注文のキャンセルリクエストを受け取りました。<br>注文番号: "
        f'<a href="https://{host}/orders-v3/order/{order}/cancel-order">{order}</a></p>'
    )
    plain = mails.mail("出品者向け通知 <donotreply@amazon.com>", f"注文番号{order}のキャンセルリクエスト", text)
    return b"X-Space-Notification-Type: BRC_SELLER_NOTIFICATION\r\n" + mails.as_html(plain)


def copy_of_reply(order: str, words: str, *, is_html: bool, has_type: bool) -> bytes:
    """Amazon's copy of what the seller answered."""
    joint = " " if is_html else "\n"
    frame = f"Here is a copy of the e-mail you sent.\n\nOrder ID: {order}\n\n"
    text = f"{frame}--- Begin message ---{joint}{words}{joint}--- End message ---\n\nAmazon.co.jp"
    plain = mails.mail("Amazon.co.jp <donotreply@amazon.com>", "Your e-mail to 山田", text)
    kind = b"X-Space-Notification-Type: BBC_MESSAGE_CONFIRMATION_TO_MERCHANT\r\n" if has_type else b""
    return kind + (mails.as_html(plain) if is_html else plain)


def record(store: Store, mail: bytes, uid: int, *, minutes: int = 0) -> Action:
    """Record a mail of one notice; what was decided."""
    parsed = message.parse(mail)
    notices = notice.read(parsed, PROVIDER, template.shipped(), marketplace="JP")
    identity = MailIdentity("shop", "INBOX", 1, uid, AT + timedelta(minutes=minutes), len(mail))
    reading = Reading(identity, "shop", parsed.content_key(), notices)
    [only] = store.record(reading, BY_BOTH_ROUTES, CHANNELS, AT + timedelta(minutes=minutes))
    return only.decision.action


@pytest.mark.parametrize("words", OWN_WORDS)
@pytest.mark.parametrize("is_html", [False, True])
@pytest.mark.parametrize("has_type", [True, False])
def test_a_copy_of_the_sellers_own_reply_changes_nothing_of_a_wish(words: str, is_html: bool, has_type: bool) -> None:
    """Planted fault: the message that it carries is not cut out: all 14 without the header are red."""
    store = Store.in_memory()
    assert record(store, mails.wish(ONE), 1) is Action.OPEN
    copy = copy_of_reply(ONE, words, is_html=is_html, has_type=has_type)
    assert record(store, copy, 2, minutes=10) is Action.QUIET
    [request] = store.requests()
    assert (request.kind, request.state, len(request.sightings)) == ("wish", State.OPEN, 1)


@pytest.mark.parametrize("is_new_first", [True, False])
def test_a_request_by_both_routes_is_one_alert_with_the_right_link(is_new_first: bool) -> None:
    """Planted fault: From's domain alone tells the marketplace: US, and a link to another country, red."""
    store = Store.in_memory()
    both = [notice_of_2026(ONE), mails.by_message(ONE)]
    first, second = both if is_new_first else both[::-1]
    assert record(store, first, 1) is Action.OPEN
    assert record(store, second, 2, minutes=90) is Action.JOIN
    [request] = store.requests()
    page = order_page(request.marketplace, ONE)
    assert page == f"https://sellercentral.amazon.co.jp/orders-v3/order/{ONE}"
    assert {sighting.route for sighting in request.sightings} == {"message", "notification"}


def test_a_later_mail_with_a_link_corrects_where_the_order_is() -> None:
    store = Store.in_memory()
    record(store, mails.by_message(ONE), 1)
    assert record(store, notice_of_2026(ONE, host="sellercentral.amazon.it"), 2, minutes=5) is Action.JOIN
    assert [request.marketplace for request in store.requests()] == ["IT"]


def test_the_button_that_was_pressed_is_told_though_its_mail_proves_no_sender() -> None:
    """Planted fault: "unverified, known from verified mail" is asked first: joined in silence, red."""
    store = Store.in_memory()
    record(store, mails.wish(ONE), 1)
    unproved = notice_of_2026(ONE).replace(b"dmarc=pass", b"dmarc=none")
    assert record(store, unproved, 2, minutes=30) is Action.REOPEN
