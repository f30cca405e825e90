"""Whether a sender is proven: the field of the own provider counts, and nobody else's (reliability 4.1)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailwatch import message
from mailwatch.amazon import sender
from mailwatch.trust import Provider, Trust, judge, registered_domain

GMAIL = Provider("mx.google.com", ("google.com",))
YAHOO = Provider("mail.yahoo.co.jp")
BY_GOOGLE = b"Received: by 2002:a05:6a10:c3da:0:0:0:0 with SMTP id x; Mon, 06 Jun 2022 17:12:14 -0700\r\n"
FROM_SES = b"Received: from a8-91.smtp-out.amazonses.com (198.51.100.91)\r\n by mx.google.com with ESMTPS id y; x\r\n"
FOREIGN = b"Received: from mail.evil.example (203.0.113.9) by relay.evil.example with ESMTP; Mon, 06 Jun 2022\r\n"
PASS = (
    b"Authentication-Results: mx.google.com;\r\n dkim=pass header.i=@amazon.co.jp header.s=x;\r\n"
    b" dkim=pass header.i=@amazonses.com; spf=pass smtp.mailfrom=bounces.amazon.co.jp;\r\n"
    b" dmarc=pass (p=QUARANTINE sp=QUARANTINE dis=NONE) header.from=amazon.co.jp\r\n"
)
AMAZON = b"From: Amazon.co.jp <seller-notification@amazon.co.jp>\r\n"
BUYER = b"From: a <3oyx9h48e2cgi1e@marketplace.amazon.co.jp>\r\n"
REST = (
    b"Subject: x\r\nMessage-ID: <1@a.test>\r\nDate: Mon, 06 Jun 2022 17:12:14 -0700\r\nContent-Type: a/b\r\n\r\nx\r\n"
)


def trust(*pieces: bytes, provider: Provider = GMAIL) -> Trust:
    parsed = message.parse(b"".join(pieces))
    return judge(parsed, sender.classify(parsed.display_name, parsed.address), provider)


def results(*values: str, authserv_id: str = "mx.google.com") -> bytes:
    return "; ".join(["Authentication-Results: " + authserv_id, *values]).encode() + b"\r\n"


@pytest.mark.parametrize(
    "head",
    [
        BY_GOOGLE + FROM_SES + PASS,
        PASS,
        BY_GOOGLE + PASS + FROM_SES,
        FROM_SES + PASS + FOREIGN,
        BY_GOOGLE + FROM_SES + PASS + FOREIGN + PASS.replace(b"pass", b"fail"),
        PASS.replace(b"Authentication-Results", b"AUTHENTICATION-RESULTS"),
        results("dmarc=pass header.from=amazon.co.jp", authserv_id="MX.Google.com"),
        results("dmarc=pass header.from=amazon.co.jp", authserv_id="mx.google.com 1"),
        results("dmarc=pass (comment ; dmarc=fail (nested)) header.from=amazon.co.jp"),
        results("dkim=pass header.d=amazon.co.jp"),
        results("dkim=pass header.i=@amazon.co.jp"),
        results("dkim=pass header.i=x@bounces.amazon.co.jp header.d=amazon.co.jp"),
        results("dkim=fail header.d=amazonses.com", "dkim=pass header.d=amazon.co.jp"),
        results("DMARC=Pass HEADER.FROM=Amazon.CO.JP"),
    ],
)
def test_a_pass_in_the_providers_own_field_verifies(head: bytes) -> None:
    assert trust(head, AMAZON, REST) is Trust.VERIFIED


def test_a_pass_for_the_relay_or_its_parent_domain_verifies_a_buyers_mail() -> None:
    for value in ("dmarc=pass header.from=marketplace.amazon.co.jp", "dkim=pass header.i=@marketplace.amazon.co.jp"):
        assert trust(FROM_SES, results(value), BUYER, REST) is Trust.VERIFIED


def test_a_field_without_the_semicolon_behind_the_host_is_read() -> None:
    head = b"Authentication-Results: mail.yahoo.co.jp from=amazon.co.jp; dkim=pass header.i=@amazon.co.jp;\r\n"
    spaced = b"Authentication-Results: mail.yahoo.co.jp dkim=pass header.i=@amazon.co.jp; dmarc=none\r\n"
    assert trust(head, AMAZON, REST, provider=YAHOO) is Trust.VERIFIED
    assert trust(spaced, AMAZON, REST, provider=YAHOO) is Trust.VERIFIED


def test_after_lmtp_delivery_the_local_hosts_received_may_stand_on_top() -> None:
    own = Provider("mx.shop.example", ("shop.example",))
    head = b"Received: from mx.shop.example by store.shop.example with LMTP; x\r\n" + results(
        "dmarc=pass header.from=amazon.co.jp", authserv_id="mx.shop.example"
    )
    assert trust(head, AMAZON, REST, provider=own) is Trust.VERIFIED


SPF_FIELD = results("spf=pass smtp.mailfrom=bounces.amazon.co.jp")
DKIM_FIELD = results("dkim=pass header.d=amazon.co.jp")
DMARC_FIELD = results("dmarc=pass (p=quarantine dis=none) header.from=amazon.co.jp")
OTHER_FIELD = results("dmarc=pass header.from=amazon.co.jp", authserv_id="mx.evil.example")


@pytest.mark.parametrize(
    "head",
    [
        SPF_FIELD + DMARC_FIELD + DKIM_FIELD,
        DKIM_FIELD + SPF_FIELD + DMARC_FIELD,
        SPF_FIELD + DKIM_FIELD,
        SPF_FIELD + OTHER_FIELD + DMARC_FIELD,
        OTHER_FIELD + SPF_FIELD + DMARC_FIELD,
        BY_GOOGLE + SPF_FIELD + DMARC_FIELD + FROM_SES,
    ],
)
def test_a_field_for_each_method_is_read_together(head: bytes) -> None:
    """trusteddomainproject/OpenDMARC#17. Seen red with the topmost field alone."""
    assert trust(head, AMAZON, REST) is Trust.VERIFIED


@pytest.mark.parametrize(
    "head",
    [
        SPF_FIELD + OTHER_FIELD,
        SPF_FIELD + FROM_SES + DMARC_FIELD,
        SPF_FIELD + b"X-Spam: no\r\n" + DMARC_FIELD,
        results("dkim=none") + DKIM_FIELD,
        results("dmarc=none") + results("dmarc=pass header.from=amazon.co.jp", "dkim=pass header.d=amazon.co.jp"),
    ],
)
def test_a_field_outside_the_block_or_against_it_verifies_nothing(head: bytes) -> None:
    """Seen red with the end of the block not kept, and with a repeated method read."""
    assert trust(head, AMAZON, REST) is Trust.UNVERIFIED


def test_a_fail_in_any_field_of_the_block_is_a_fail() -> None:
    assert trust(DKIM_FIELD, results("dmarc=fail header.from=amazon.co.jp"), AMAZON, REST) is Trust.FORGED


DMARC = "dmarc=pass header.from=amazon.co.jp"
FORGERIES = {
    "below a foreign Received": FOREIGN + PASS,
    "below the provider's and a foreign Received": BY_GOOGLE + FROM_SES + FOREIGN + PASS,
    "below a Received that names us in a comment": b"Received: from evil (by mx.google.com) by evil.example; x\r\n"
    + PASS,
    "below a Received that names us only in its from": b"Received: from mx.google.com by evil.example; x\r\n" + PASS,
    "below a Received by a host that begins like ours": b"Received: from a by google.com.evil.example; x\r\n" + PASS,
    "below a Received by a host that ends like ours": b"Received: from a by evilgoogle.com; x\r\n" + PASS,
    "below a Received without any by": b"Received: from evil.example; x\r\n" + PASS,
    "below a folded foreign Received": b"Received:\r\n from evil\r\n by evil.example; x\r\n" + PASS,
    "of another authserv-id": results(DMARC, authserv_id="mx.evil.example"),
    "of an id that begins like ours": results(DMARC, authserv_id="mx.google.com.evil.example"),
    "of an id that ends like ours": results(DMARC, authserv_id="evil.mx.google.com"),
    "of an id in a comment": results(DMARC, authserv_id="evil.example (mx.google.com)"),
    "of no id": b"Authentication-Results: " + DMARC.encode() + b"\r\n",
    "of an empty field": b"Authentication-Results:\r\n",
    "of two ids": results(DMARC, authserv_id="evil.example mx.google.com"),
    "of an id with a slash": results(DMARC, authserv_id="mx.google.com/2"),
    "of an id in quotes with a tail": results(DMARC, authserv_id='"mx.google.com".evil'),
    "pass inside a comment": results("dmarc=none (dmarc=pass header.from=amazon.co.jp)"),
    "pass inside nested comments": results("dmarc=none ((dmarc=pass;) dmarc=pass) header.from=amazon.co.jp"),
    "pass behind an unclosed comment": results("dmarc=none (", DMARC),
    "pass inside a quoted reason": results('dmarc=none reason="; dmarc=pass header.from=amazon.co.jp"'),
    "pass inside a quoted reason with escapes": results(
        r'dmarc=none reason="\" ; dmarc=pass header.from=amazon.co.jp"'
    ),
    "pass inside a quoted envelope sender": results(
        'spf=pass smtp.mailfrom="a; dmarc=pass header.from=amazon.co.jp; b"@evil.example'
    ),
    "pass behind a blank in a quoted envelope sender": results(
        'spf=pass smtp.mailfrom="a dmarc=pass header.from=amazon.co.jp"@evil.example'
    ),
    "dkim domain inside a quoted identity": results(
        'dkim=pass header.i="@amazon.co.jp header.d=amazon.co.jp"@evil.example'
    ),
    "dkim domain inside a quoted reason": results('dkim=pass reason="header.d=amazon.co.jp" header.s=evil'),
    "pass as a property": results("dmarc=none x=dmarc=pass header.from=amazon.co.jp"),
    "pass in a word": results("dmarc=passthrough header.from=amazon.co.jp", "xdmarc=pass header.from=amazon.co.jp"),
    "pass for another domain": results("dmarc=pass header.from=evil.example"),
    "pass for a look-alike domain": results("dmarc=pass header.from=amazon.co.jp.evil.example"),
    "spf alone": results("spf=pass smtp.mailfrom=amazon.co.jp"),
    "dkim of amazonses alone": results("dkim=pass header.i=@amazonses.com header.d=amazonses.com"),
    "dkim of another marketplace": results("dkim=pass header.d=amazon.de"),
    "dkim of nobody": results("dkim=pass"),
    "dkim whose i is not within its d": results("dkim=pass header.i=@amazon.co.jp header.d=evil.example"),
    "dkim of a look-alike": results("dkim=pass header.d=xamazon.co.jp"),
    "arc": b"ARC-Authentication-Results: i=1; mx.google.com; dmarc=pass header.from=amazon.co.jp\r\n",
    "x field": b"X-Authentication-Results: mx.google.com; dmarc=pass header.from=amazon.co.jp\r\n",
    "over 8 KB": results("spf=none " + "x" * 9000, DMARC),
    "2,000 brackets": results("(" * 2000, DMARC),
    "a raw line end in the id": b"Authentication-Results: evil.example\rX: mx.google.com; dmarc=pass\r\n",
    "the first of ours says none": results("dmarc=none header.from=amazon.co.jp") + PASS,
    "an older ours below a foreign one": FOREIGN + FROM_SES + PASS,
}


@pytest.mark.parametrize("head", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forged_or_unaligned_pass_never_verifies(head: bytes) -> None:
    """Seen red without: the Received stop, the id compare, `_without_comments`, the alignment, the 8 KB limit."""
    assert trust(head, AMAZON, REST) is Trust.UNVERIFIED


def test_there_are_at_least_twenty_four_forged_forms() -> None:
    assert len(FORGERIES) >= 24


def test_a_field_inside_an_attached_mail_never_verifies() -> None:
    attached = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
        + PASS
        + AMAZON
        + b"\r\nx\r\n--b--\r\n"
    )
    assert trust(FROM_SES, AMAZON, b"Subject: x\r\n", attached) is Trust.UNVERIFIED


@pytest.mark.parametrize("provider", [Provider(), Provider(None, ("google.com",))])
def test_without_an_authserv_id_nothing_is_ever_verified(provider: Provider) -> None:
    """Seen red with `None` taken to match any id."""
    assert trust(BY_GOOGLE, FROM_SES, PASS, AMAZON, REST, provider=provider) is Trust.UNVERIFIED


def test_without_received_by_the_registered_domain_of_the_id_stands_in() -> None:
    assert trust(FROM_SES, PASS, AMAZON, REST, provider=Provider("mx.google.com")) is Trust.VERIFIED
    assert trust(FOREIGN, PASS, AMAZON, REST, provider=Provider("mx.google.com")) is Trust.UNVERIFIED


@pytest.mark.parametrize("name", ["From", "Subject", "Date", "Message-ID", "Content-Type"])
@pytest.mark.parametrize("on_top", [True, False])
def test_a_second_field_of_what_must_be_single_never_verifies(name: str, on_top: bool) -> None:
    """Seen red with `message.repeated` not asked."""
    second = name.encode() + b": Amazon <seller-notification@amazon.co.jp>\r\n"
    head = FROM_SES + PASS + AMAZON
    raw = second + head + REST if on_top else head + REST.replace(b"\r\n\r\n", b"\r\n" + second + b"\r\n", 1)
    assert trust(raw) is Trust.UNVERIFIED


@pytest.mark.parametrize("address", [b"From: Amazon\r\n", b"From: <a@amazon.co.jp> <b@evil.example>\r\n", b""])
def test_a_mail_without_one_certain_address_is_never_verified(address: bytes) -> None:
    assert trust(FROM_SES, PASS, address, REST) is Trust.UNVERIFIED


@pytest.mark.parametrize("head", [BY_GOOGLE + FROM_SES, b""])
def test_a_trusted_dmarc_fail_of_an_amazon_from_is_forged(head: bytes) -> None:
    """Seen red with the dmarc=fail question out."""
    assert trust(head, results("dmarc=fail header.from=amazon.co.jp"), AMAZON, REST) is Trust.FORGED
    assert (
        trust(head, results("dkim=pass header.d=amazon.co.jp", "dmarc=fail header.from=amazon.co.jp"), BUYER, REST)
        is Trust.FORGED
    )


def test_a_dmarc_fail_that_anyone_may_have_written_is_not_believed() -> None:
    """A forged fail must not silence a genuine mail. Seen red with the Received stop out."""
    fail = results("dmarc=fail header.from=amazon.co.jp")
    assert trust(FOREIGN, fail, AMAZON, REST) is Trust.UNVERIFIED
    assert trust(FROM_SES, PASS, FOREIGN, fail, AMAZON, REST) is Trust.VERIFIED


@pytest.mark.parametrize("raw", [b"x@amazon-co.jp", b"Amazon <x@evil.example>", b"a@amazon.co.jp <x@evil.example>"])
def test_a_look_alike_is_forged_even_with_a_pass_of_its_own(raw: bytes) -> None:
    """Seen red with the LOOKALIKE question out."""
    domain = raw.rpartition(b"@")[2].rstrip(b">").decode()
    assert trust(FROM_SES, results(f"dmarc=pass header.from={domain}"), b"From: " + raw + b"\r\n", REST) is Trust.FORGED


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("mx.google.com", "google.com"),
        ("google.com", "google.com"),
        ("MX1.Example.co.jp.", "example.co.jp"),
        ("example.co.jp", "example.co.jp"),
        ("a.b.ne.jp", "b.ne.jp"),
        ("mail.shop.example", "shop.example"),
        ("localhost", "localhost"),
    ],
)
def test_the_registered_domain_is_that_of_the_owner(host: str, expected: str) -> None:
    assert registered_domain(host) == expected


TOKENS = st.lists(
    st.sampled_from(
        [
            "mx.google.com",
            ";",
            " ",
            "dkim",
            "dmarc",
            "=",
            "pass",
            "fail",
            "header.from",
            "header.d",
            "header.i",
            "@",
            "amazonses.com",
            "evil.example",
            "(",
            ")",
            '"',
            "\\",
            "/",
            "1",
            "spf",
            "\t",
            ",",
            "reason",
        ]
    ),
    max_size=25,
).map("".join)


@given(TOKENS)
@settings(max_examples=250)
def test_no_field_that_does_not_name_amazon_and_no_bare_dmarc_pass_verifies(value: str) -> None:
    """Any junk in the own provider's field: only `dmarc=pass` itself may verify, since it names the From by itself."""
    judged = trust(b"Authentication-Results: " + value.encode() + b"\r\n", AMAZON, REST)
    assert judged is not Trust.VERIFIED or "dmarc=pass" in value.replace(" ", "").replace("\t", "").replace("/1", "")


@given(st.lists(st.binary(max_size=60).map(lambda b: b.replace(b"\n", b" ").replace(b"\r", b" ")), max_size=4), TOKENS)
@settings(max_examples=150)
def test_nothing_below_a_foreign_received_verifies(below: list[bytes], value: str) -> None:
    fields = b"".join(b"Authentication-Results: " + each + b"\r\n" for each in [*below, value.encode()])
    assert trust(FOREIGN, fields, PASS, AMAZON, REST) is Trust.UNVERIFIED
