"""The test beds do what they say: a bed that errs would make every test over it worthless."""

from __future__ import annotations

import http.client
import imaplib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import requests
from beds import dovecot as dovecot_bed
from beds import imap_text, mime, misbehave, services, wire
from beds.dovecot import Dovecot
from beds.recorder import Answer, Recorder
from beds.scripted import ScriptedImap
from beds.tap import Tap

pytestmark = pytest.mark.server

MAIL = b"From: a@example.test\r\nSubject: one\r\nMessage-ID: <1@example.test>\r\n\r\nHello\r\n"
NESTED = b"""\
From: =?utf-8?q?A?= <a@example.test>, b@example.test
Subject: "nested"
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=outer

preamble
--outer
Content-Type: multipart/alternative; boundary="outer-inner"

--outer-inner
Content-Type: text/plain; charset=iso-2022-jp
Content-Transfer-Encoding: 7bit

\x1b$B%-%c%s%;%k\x1b(B
--outer-inner
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: base64

PGI+eDwvYj4=

--outer-inner--

--outer
Content-Type: message/rfc822
Content-Description: a mail

From: c@example.test
To: d@example.test
Subject: inner
Date: Mon, 6 Jun 2022 09:00:00 +0900
Content-Type: multipart/mixed; boundary=third

--third

inner text
--third
Content-Type: application/pdf; name="a.pdf"
Content-Disposition: attachment; filename="a.pdf"
Content-ID: <p@example.test>
Content-Transfer-Encoding: base64

AAAA
--third--

--outer--
epilogue
"""
ODD = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\n\n\n--b\nContent-Type: text/html\n\nno end"
SECTIONS = (
    *("", "HEADER", "TEXT", "HEADER.FIELDS (SUBJECT FROM)", "HEADER.FIELDS.NOT (SUBJECT)"),
    *("1", "1.MIME", "1.1", "1.1.MIME", "1.2", "1.2.MIME"),
    *("2", "2.MIME", "2.HEADER", "2.TEXT", "2.HEADER.FIELDS (TO)", "2.1", "2.1.MIME", "2.2", "2.2.MIME"),
)


def login(port: int, folder: str | None = "INBOX") -> imaplib.IMAP4:
    client = imaplib.IMAP4("127.0.0.1", port, timeout=5)
    client.login(dovecot_bed.USER, dovecot_bed.PASSWORD)
    if folder is not None:
        client.select(folder, readonly=True)
    return client


def fetch(client: imaplib.IMAP4, uid: int, items: str) -> list[Any]:
    status, answer = client.uid("FETCH", str(uid), items)
    assert status == "OK"
    return answer


def fetched(client: imaplib.IMAP4, uid: int, section: str) -> bytes:
    literal = fetch(client, uid, f"(BODY.PEEK[{section}])")[0]
    return bytes(literal[1]) if isinstance(literal, tuple) else b""


class Idler:
    """A raw client in IDLE, for what imaplib can't show."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        self.seen = b""
        for number, line in enumerate(("LOGIN seller@example.test pass-one", "EXAMINE INBOX")):
            self.say(f"{number} {line}")
            self.until(f"{number} OK".encode())

    def say(self, line: str) -> None:
        self.socket.sendall(line.encode() + b"\r\n")

    def read(self) -> bytes:
        data = self.socket.recv(65536)
        self.seen += data
        return data

    def until(self, text: bytes) -> bytes:
        while text not in self.seen:
            assert self.read(), f"the server closed; seen: {self.seen!r}"
        seen, self.seen = self.seen, b""
        return seen


@pytest.fixture
def server() -> Iterator[ScriptedImap]:
    with ScriptedImap() as bed:
        yield bed


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    with Dovecot() as bed:
        yield bed


# IMAP's text


def test_a_client_line_ends_after_its_literals() -> None:
    data = b"a LOGIN {4}\r\nus\r\n {6+}\r\nsecret\r\nb UID FETCH 1 (FLAGS)\r\nDONE\r\nc NOO"
    lines = list(imap_text.client_commands(data))
    assert [imap_text.command_name(line) for line in lines] == ["LOGIN", "UID FETCH", "DONE"]
    assert "secret" not in imap_text.redacted(lines[0])


def test_a_star_is_the_highest_uid_even_where_the_range_begins_above_it() -> None:
    assert imap_text.chosen("9:*", [2, 3]) == [3]
    assert imap_text.chosen("1,3:4,7", [1, 2, 3, 4, 5]) == [1, 3, 4]


def test_mailbox_names_are_modified_utf_7() -> None:
    assert imap_text.mailbox_name("A&B/迷惑メール") == "A&-B/&j,dg0TDhMPww6w-"


# Dovecot


@pytest.mark.dovecot
def test_dovecot_takes_mail_by_lmtp_and_by_append_with_its_time(dovecot: Dovecot) -> None:
    when = datetime(2022, 6, 6, 9, 0, tzinfo=timezone(timedelta(hours=9)))
    dovecot.create("迷惑メール")
    uid = dovecot.append(MAIL, "迷惑メール", when, ["\\Seen"])
    dovecot.deliver_all([MAIL, MAIL], user="second@example.test")
    assert len(dovecot.uids(user="second@example.test")) == 2
    with login(dovecot.port, f'"{imap_text.mailbox_name("迷惑メール")}"') as client:
        answer = fetch(client, uid, "(INTERNALDATE FLAGS BODY.PEEK[])")
    assert imaplib.Internaldate2tuple(answer[0][0]) == time.localtime(when.timestamp())
    assert answer[0][1] == MAIL


@pytest.mark.dovecot
def test_dovecot_shows_special_use_and_serves_tls(dovecot: Dovecot) -> None:
    context = ssl.create_default_context(cafile=str(dovecot.ca_file))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    for host in ("127.0.0.1", "localhost"):
        with imaplib.IMAP4_SSL(host, dovecot.tls_port, ssl_context=context, timeout=5) as client:
            client.login(dovecot.user, dovecot.password)
            folders = b"\n".join(line for line in client.list()[1] if isinstance(line, bytes))
    assert all(re.search(rb"\\%s\).*%s" % (use, use), folders) for use in (b"Junk", b"Trash", b"Sent"))


@pytest.mark.dovecot
@pytest.mark.parametrize("certificate", ["wronghost", "unknown_ca"])
def test_dovecot_shows_bad_certificates(certificate: str) -> None:
    with Dovecot(certificate=certificate) as dovecot:
        context = ssl.create_default_context(cafile=str(dovecot.ca_file))
        with pytest.raises(ssl.SSLCertVerificationError):
            imaplib.IMAP4_SSL("localhost", dovecot.tls_port, ssl_context=context, timeout=5)


@pytest.mark.dovecot
def test_the_snapshot_shows_changes_and_nothing_else() -> None:
    with Dovecot() as dovecot:
        dovecot.deliver_all([MAIL, MAIL, NESTED])
        before = dovecot.snapshot()
        with login(dovecot.port) as client:
            client.uid("FETCH", "1:*", "(BODY.PEEK[])")
        assert len(before) == 3
        assert dovecot.snapshot() == before
        with login(dovecot.port, None) as client:
            client.select()
        assert dovecot.snapshot() != before
        dovecot.flag(1, "\\Seen", "$Junk")
        assert {"\\Seen", "$Junk"} in [flags for _, flags in dovecot.snapshot().values()]
        dovecot.move(2, "Junk")
        dovecot.expunge(3)
        assert sorted(name.split("/")[0] for name in dovecot.snapshot()) == ["INBOX", "Junk"]


@pytest.mark.dovecot
def test_dovecot_comes_back_after_a_crash_on_its_ports_with_its_mail() -> None:
    with Dovecot(capability="IMAP4rev1 ID", idle_notify=2) as dovecot:
        dovecot.deliver(MAIL)
        client = login(dovecot.port)
        assert "IDLE" not in client.capabilities
        dovecot.kill()
        with pytest.raises((imaplib.IMAP4.abort, OSError)):
            client.noop()
        dovecot.start()
        assert dovecot.uids() == [1]
        assert "lmtp" in dovecot.log_text()
    assert not dovecot.home.exists()


# Recorder


def post(recorder: Recorder, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", recorder.port, timeout=5)
    try:
        connection.request("POST", path, b'{"a": 1}', headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_the_recorder_remembers_and_answers_in_order() -> None:
    with Recorder() as recorder:
        recorder.plan("/a", 500, (429, {"Retry-After": "7"}, b"later"), 204)
        assert [post(recorder, "/a/x")[0] for _ in range(4)] == [500, 429, 204, 204]
        assert post(recorder, "/b") == (200, b"ok")
        post(recorder, "/c", headers={"X-Token": "t"})
        first = recorder.wait_for(6, 1)[0]
        assert (first.method, first.path, first.json, first.body) == ("POST", "/a/x", {"a": 1}, b'{"a": 1}')
        assert len(recorder.posts("/a")) == 4
        assert recorder.requests("/c")[0].headers["x-token"] == "t"
        assert recorder.url("x") == f"json://127.0.0.1:{recorder.port}/x"


def test_the_recorder_fails_as_planned() -> None:
    with Recorder() as recorder:
        recorder.plan("/", "reset", "close", ("slow", 0.05), "hang")
        with pytest.raises(ConnectionResetError):
            post(recorder, "/")
        with pytest.raises(http.client.RemoteDisconnected):
            post(recorder, "/")
        assert post(recorder, "/") == (200, b"ok")
        hanging = socket.create_connection(("127.0.0.1", recorder.port), 5)
        hanging.sendall(b"GET /h HTTP/1.1\r\n\r\n")
        recorder.wait_for(1, 5, "/h")
        recorder.stop()
        assert hanging.recv(10) == b""
        with pytest.raises(ConnectionRefusedError):
            post(recorder, "/")
        recorder.start()
        recorder.plan("/", 200)
        assert post(recorder, "/")[0] == 200


def test_the_recorder_survives_a_client_that_dies_in_the_middle() -> None:
    with Recorder() as recorder:
        with socket.create_connection(("127.0.0.1", recorder.port), 5) as dying:
            dying.sendall(b"POST /a HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")
        wire.wait_until(lambda: recorder.broken == 1, 5)
        assert recorder.requests() == []
        with pytest.raises(TimeoutError):
            recorder.wait_for(1, 0.01)


def test_the_recorder_knows_how_it_answered() -> None:
    with Recorder() as recorder:
        recorder.plan("/", 500, (202, {}, b""), ("slow", 0), "close", 200)
        for _ in range(3):
            post(recorder, "/a")
        with pytest.raises(http.client.RemoteDisconnected):
            post(recorder, "/a")
        post(recorder, "/b")
        assert [request.status for request in recorder.requests()] == [500, 202, 200, None, 200]
        assert [request.answer for request in recorder.delivered("/a")] == [(202, {}, b""), ("slow", 0)]
        assert {request.host for request in recorder.requests()} == {"127.0.0.1"}


@pytest.mark.parametrize(("answer", "head"), [("drip", b"HTTP/1.1 200 OK"), ("drip-header", b"H")])
def test_an_answer_may_drip(answer: Any, head: bytes) -> None:
    with Recorder() as recorder:
        recorder.plan("/", (answer, 0.001), (answer, 600))
        assert post(recorder, "/") == (200, b"ok")
        for ends in (lambda client: client.shutdown(socket.SHUT_WR), lambda client: recorder.stop()):
            with socket.create_connection(("127.0.0.1", recorder.port), 5) as client:
                client.sendall(b"GET / HTTP/1.1\r\n\r\n")
                text = client.recv(1)
                while b"\r\n\r\no" not in text and answer == "drip":
                    text += client.recv(1)
                assert text.startswith(head)
                client.settimeout(0.05)
                with pytest.raises(TimeoutError):
                    client.recv(1)
                client.settimeout(5)
                ends(client)
                assert client.recv(1) == b""


# Recorder.https


@pytest.fixture
def slack_and_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    with Recorder.https(tmp_path) as recorder:
        use(recorder, monkeypatch)
        yield recorder


def use(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in recorder.environment().items():
        monkeypatch.setenv(name, value)


def push(key: str = "", path: str = "/v2/bot/message/push") -> int:
    headers = {"X-Line-Retry-Key": key} if key else {}
    return requests.post(f"https://api.line.me{path}", json={"to": "U1"}, headers=headers, timeout=5).status_code


def test_the_https_recorder_stands_in_for_the_services(
    slack_and_others: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: set[str] = set()
    look_up = socket.getaddrinfo

    def noted(host: str, *rest: Any) -> Any:
        looked_up.add(host)
        return look_up(host, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", noted)
    answers = {host: requests.post(f"https://{host}/a", json={"a": 1}, timeout=5) for host in services.HOSTS}
    assert {host: answer.status_code for host, answer in answers.items()} == {
        "hooks.slack.com": 200,
        "slack.com": 200,
        "api.line.me": 200,
        "api.twilio.com": 201,
        "discord.com": 204,
    }
    assert answers["hooks.slack.com"].text == "ok"
    assert answers["slack.com"].json() == {"ok": True, "channel": "C1", "ts": "1.1"}
    assert answers["api.line.me"].json() == {"sentMessages": [{"id": "461230966842064897", "quoteToken": "q"}]}
    assert answers["api.twilio.com"].json()["status"] == "queued"
    assert answers["discord.com"].content == b""
    assert [request.host for request in slack_and_others.delivered()] == list(services.HOSTS)
    assert {(request.path, str(request.json)) for request in slack_and_others.posts()} == {("/a", "{'a': 1}")}
    assert looked_up == {"127.0.0.1"}


def test_a_connection_through_the_tunnel_is_kept(slack_and_others: Recorder) -> None:
    with requests.Session() as client:
        for body in (b"one", b"two" * 100_000):
            assert client.post("https://slack.com/api/a", data=body, timeout=5).json()["ok"]
        assert [len(request.body) for request in slack_and_others.wait_for(2, path="slack.com/api")] == [3, 300_000]
        slack_and_others.stop()
        with pytest.raises(requests.ConnectionError):
            client.get("https://slack.com/", timeout=5)
    slack_and_others.start()
    assert requests.get("https://slack.com/", timeout=5).ok


def test_it_takes_the_environment_for_https_and_nothing_else(tmp_path: Path) -> None:
    with Recorder.https(tmp_path) as recorder:
        assert recorder.environment() == {
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), f"http://127.0.0.1:{recorder.port}"),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), ""),
            "REQUESTS_CA_BUNDLE": str(tmp_path / "ca.pem"),
        }
        assert post(recorder, "/plain") == (200, b"ok")
    with Recorder() as plain:
        with pytest.raises(ValueError, match="https"):
            plain.environment()
        with pytest.raises(requests.exceptions.ProxyError):
            requests.get("https://slack.com/", proxies={"https": plain.http_url()}, timeout=5)


@pytest.mark.parametrize(
    ("kind", "why"), [("wronghost", "mismatch"), ("unknown_ca", "self[- ]signed"), ("expired", "has expired")]
)
def test_a_client_refuses_a_bad_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, why: str
) -> None:
    with Recorder.https(tmp_path, kind) as recorder:
        use(recorder, monkeypatch)
        with pytest.raises(requests.exceptions.SSLError, match=why):
            push()
        wire.wait_until(lambda: recorder.refused_tls == 1, 5)
        assert recorder.requests() == []
        assert recorder.broken == 0


def test_a_client_refuses_a_certificate_for_a_host_it_does_not_name(slack_and_others: Recorder) -> None:
    with pytest.raises(requests.exceptions.SSLError, match="mismatch"):
        requests.get("https://slack.example/", timeout=5)
    wire.wait_until(lambda: slack_and_others.refused_tls == 1, 5)


def test_a_plan_may_name_a_host(slack_and_others: Recorder) -> None:
    slack_and_others.plan("/", 503)
    slack_and_others.plan("/v2/bot/message/push", 502)
    slack_and_others.plan("api.line.me", 429, 200)
    slack_and_others.plan("https://api.line.me/v2/bot/info", 401)
    assert [push(), push(), push(path="/v2/bot/info")] == [429, 200, 401]
    assert requests.get("https://slack.com/", timeout=5).status_code == 503
    assert [len(slack_and_others.requests(path)) for path in ("api.line.me", "slack.com", "/v2", "/")] == [3, 1, 3, 4]
    assert [request.path for request in slack_and_others.delivered("api.line.me")] == ["/v2/bot/message/push"]


@pytest.mark.parametrize("honours", [True, False])
def test_line_takes_a_retry_key_once(slack_and_others: Recorder, honours: bool) -> None:
    slack_and_others.honours_retry_key = honours
    slack_and_others.plan("api.line.me", 500, ("drip-header", 600), 200)
    assert push("key-1") == 500
    with pytest.raises(requests.ReadTimeout):
        requests.post(
            "https://api.line.me/v2/bot/message/push", headers={"X-Line-Retry-Key": "key-1"}, timeout=(5, 0.1)
        )
    assert [push("key-1"), push("key-2"), push(), push()] == [409 if honours else 200, 200, 200, 200]
    assert [request.retry_key for request in slack_and_others.repeats] == (["key-1"] if honours else [])
    keys = [request.retry_key for request in slack_and_others.delivered("api.line.me")]
    assert keys == ["key-1", *([] if honours else ["key-1"]), "key-2", None, None]


def test_the_refusal_of_a_retry_key_says_why(slack_and_others: Recorder) -> None:
    headers = {"X-Line-Retry-Key": "key-1"}
    first, second = (requests.post("https://api.line.me/v2", headers=headers, timeout=5) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 409)
    assert second.json() == {"message": "The retry key is already accepted"}
    slack_and_others.plan("https://api.line.me/v2", "close")
    with pytest.raises(requests.ConnectionError):
        requests.post("https://api.line.me/v2", headers=headers, timeout=5)
    assert [request.status for request in slack_and_others.posts()] == [200, 409, None]
    assert len(slack_and_others.delivered()) == len(slack_and_others.repeats) == 1


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("reset", "Connection reset|Remote end closed"),  # some versions of ssl take an RST for a FIN
        ("close", "Remote end closed"),
        ("hang", "Read timed out"),
        (("slow", 600), "Read timed out"),
        (("drip-header", 600), "Read timed out"),
        (("drip", 600), "Read timed out"),
    ],
)
def test_the_https_recorder_fails_as_planned(slack_and_others: Recorder, answer: Answer, fault: str) -> None:
    slack_and_others.plan("slack.com", answer, 200)
    with pytest.raises(requests.RequestException, match=fault):
        requests.get("https://slack.com/", timeout=(5, 0.1))
    assert requests.get("https://slack.com/", timeout=5).json()["ok"]


def test_a_reset_within_the_tunnel_is_one(slack_and_others: Recorder) -> None:
    slack_and_others.plan("slack.com", "reset")
    context = ssl.create_default_context(cafile=slack_and_others.environment()["REQUESTS_CA_BUNDLE"])
    with socket.create_connection(("127.0.0.1", slack_and_others.port), 5) as connection:
        connection.sendall(b"CONNECT slack.com:443 HTTP/1.1\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 200 Connection established\r\n\r\n"
        with context.wrap_socket(connection, server_hostname="slack.com") as tunnel:
            tunnel.sendall(b"GET / HTTP/1.1\r\nHost: slack.com:443\r\n\r\n")
            with pytest.raises(ConnectionResetError):
                list(iter(lambda: socket.socket.recv(tunnel, 4096), b""))
    assert slack_and_others.requests("slack.com")[0].status is None


def test_an_answer_may_drip_through_the_tunnel(slack_and_others: Recorder) -> None:
    slack_and_others.plan("/", ("drip", 0.001), ("drip-header", 0.001), ("drip", 600))
    for _ in range(2):
        assert requests.get("https://slack.com/", timeout=5).json()["ok"]
    with requests.get("https://slack.com/", timeout=5, stream=True) as answer:
        assert answer.status_code == 200
        assert next(answer.iter_content(1)) == b"{"
        assert slack_and_others._server._open
    wire.wait_until(lambda: not slack_and_others._server._open, 5, "the end of every connection")


# Tap


def test_the_tap_records_commands_without_the_password(server: ScriptedImap) -> None:
    with Tap(server.port) as tap:
        client = login(tap.port)
        client.uid("SEARCH", "ALL")
        client.logout()
        assert tap.commands() == ["CAPABILITY", "LOGIN", "EXAMINE", "UID SEARCH", "LOGOUT"]
        assert server.commands() == tap.commands()
        assert not any("pass-one" in line for line in [*tap.lines(), *server.lines()])
        assert tap.server_bytes() > 100


def test_the_tap_cuts_closes_and_refuses(server: ScriptedImap) -> None:
    with Tap(server.port) as tap:
        client = login(tap.port)
        tap.cut()
        with pytest.raises(ConnectionResetError):
            client.sock.recv(1)
        client = login(tap.port)
        tap.close()
        assert client.sock.recv(1) == b""
        tap.refuse()
        with pytest.raises((OSError, imaplib.IMAP4.abort)):
            login(tap.port)
        tap.go()
        login(tap.port)
        assert tap.commands(0) == tap.commands(1)


def test_the_tap_stalls_trickles_and_injects(server: ScriptedImap) -> None:
    with Tap(server.port) as tap:
        idler = Idler(tap.port)
        tap.stall()
        idler.say("3 NOOP")
        tap.wait_for("NOOP")
        idler.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            idler.read()
        idler.socket.settimeout(5)
        tap.go()
        idler.until(b"3 OK completed\r\n")
        tap.trickle(1, 0.01)
        idler.say("4 NOOP")
        assert idler.read() == b"4"
        idler.until(b" OK completed\r\n")
        tap.go()
        tap.inject("* 9 EXISTS")
        idler.until(b"* 9 EXISTS\r\n")


def test_the_tap_closes_after_so_many_bytes(server: ScriptedImap) -> None:
    with Tap(server.port) as tap:
        idler = Idler(tap.port)
        tap.after(5)
        idler.say("3 NOOP")
        assert idler.until(b"3 OK ") == b"3 OK "
        assert idler.read() == b""
        Idler(tap.port)


# ScriptedImap


def test_the_scripted_server_serves_a_mailbox(server: ScriptedImap) -> None:
    when = datetime(2022, 6, 6, 9, 0, tzinfo=timezone(timedelta(hours=9)))
    server.add_folder("迷惑メール", "\\Junk")
    server.deliver(MAIL, uid=5, when=when - timedelta(days=1))
    assert server.deliver(MAIL, when=when, flags=["\\Seen"]) == 6
    client = login(server.port)
    assert client.response("UIDNEXT") == ("UIDNEXT", [b"7"])
    assert client.uid("SEARCH", "SINCE", "6-Jun-2022")[1] == [b"6"]
    assert client.uid("SEARCH", "UID", "9:*")[1] == [b"6"]
    assert client.uid("SEARCH", "UID", "1:5", "SINCE", "6-Jun-2022")[1] == [b""]
    assert fetch(client, 6, "(INTERNALDATE RFC822.SIZE FLAGS)")[0] == (
        b'2 (UID 6 INTERNALDATE " 6-Jun-2022 09:00:00 +0900" RFC822.SIZE %d FLAGS (\\Seen))' % len(MAIL)
    )
    assert fetch(client, 5, "BODY.PEEK[]<6.10>")[0] == (b"1 (UID 5 BODY[]<6> {10}", MAIL[6:16])
    assert b'(\\Junk) "/" "&j,dg0TDhMPww6w-"' in client.list()[1]
    assert not server.violations
    client.select()
    fetch(client, 5, "BODY[]")
    assert server.violations == ["SELECT INBOX", "UID FETCH BODY[]"]


def test_the_scripted_server_announces_to_those_who_idle(server: ScriptedImap) -> None:
    idler = Idler(server.port)
    other = login(server.port)
    idler.say("3 IDLE")
    idler.until(b"+ idling\r\n")
    server.wait_for_idle()
    server.deliver(MAIL)
    idler.until(b"* 1 EXISTS\r\n")
    server.expunge(1)
    idler.until(b"* 1 EXPUNGE\r\n")
    server.deliver(MAIL)
    idler.until(b"* 1 EXISTS\r\n")
    idler.say("DONE")
    idler.until(b"3 OK")
    other.noop()
    assert other.response("EXISTS") == ("EXISTS", [b"0", b"1"])
    assert server.commands()[-2:] == ["DONE", "NOOP"]


def test_a_lost_index_renumbers(server: ScriptedImap) -> None:
    server.deliver(MAIL, uid=70)
    before = server.folders["INBOX"].uidvalidity
    server.renumber()
    assert server.folders["INBOX"].uids() == [1]
    assert server.folders["INBOX"].uidvalidity != before


@pytest.mark.dovecot
def test_the_scripted_server_shows_mails_as_dovecot_does(server: ScriptedImap, dovecot: Dovecot) -> None:
    for mail in (MAIL, NESTED, ODD, b"\r\nonly a body", b"Content-Type: multipart/mixed\r\n\r\nno boundary"):
        uids = (server.deliver(mail), dovecot.append(mail))
        pairs = list(zip((login(server.port), login(dovecot.port)), uids, strict=True))
        ours, theirs = (fetch(client, uid, "(BODYSTRUCTURE ENVELOPE)") for client, uid in pairs)
        assert _comparable(ours) == _comparable(theirs)
        for section in SECTIONS:
            if mime.section(mime.parse(mail), section) is not None:
                our_bytes, their_bytes = (fetched(client, uid, section) for client, uid in pairs)
                assert our_bytes == their_bytes, section


def _comparable(answer: list[Any]) -> bytes:
    line = b"".join(part if isinstance(part, bytes) else b"".join(part) for part in answer)
    return re.sub(rb"^\d+ \(UID \d+ ", b"", line).lower()


def test_a_part_that_is_not_there_is_nil() -> None:
    assert mime.section(mime.parse(MAIL), "2") is None
    assert mime.section(mime.parse(MAIL), "1.1") is None
    assert mime.section(mime.parse(NESTED), "1.3") is None


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (misbehave.exists_with_idling(MAIL), b"+ idling\r\n* 1 EXISTS\r\n"),
        (misbehave.exists_before_idling(MAIL), b"* 1 EXISTS\r\n+ idling\r\n"),
    ],
)
def test_a_mail_may_come_while_idle_begins(server: ScriptedImap, script: Any, expected: bytes) -> None:
    server.script("IDLE", script)
    idler = Idler(server.port)
    idler.say("3 IDLE")
    assert idler.read() == expected
    server.deliver(MAIL)
    idler.until(b"* 2 EXISTS\r\n")


def test_a_line_may_be_split(server: ScriptedImap) -> None:
    resume = threading.Event()
    server.script("IDLE", misbehave.split_exists(MAIL, resume))
    idler = Idler(server.port)
    idler.say("3 IDLE")
    assert idler.until(b"* 1 E").endswith(b"* 1 E")
    resume.set()
    idler.until(b"XISTS\r\n")


@pytest.mark.parametrize("script", [misbehave.bye_in_idle("gone"), misbehave.close_in_idle()])
def test_the_server_may_leave_during_idle(server: ScriptedImap, script: Any) -> None:
    server.script("IDLE", script)
    idler = Idler(server.port)
    idler.say("3 IDLE")
    while idler.read():
        pass
    assert idler.seen in (b"+ idling\r\n* BYE gone\r\n", b"+ idling\r\n")


def test_idle_may_be_mute(server: ScriptedImap) -> None:
    server.script("IDLE", misbehave.mute_idle())
    idler = Idler(server.port)
    idler.say("3 IDLE")
    idler.until(b"+ idling\r\n")
    server.wait_for_idle()
    server.deliver(MAIL)
    idler.say("DONE")
    assert b"EXISTS" not in idler.until(b"3 OK")


def test_answers_to_search_may_be_wrong(server: ScriptedImap) -> None:
    for _ in range(3):
        server.deliver(MAIL)
    server.script("UID SEARCH", misbehave.two_search_lines())
    server.script("UID SEARCH", misbehave.no_search_line())
    server.script("UID SEARCH", misbehave.expunged_after(server, 2))
    client = login(server.port)
    assert client.uid("SEARCH", "ALL")[1] == [b"1", b"2 3"]
    assert client.uid("SEARCH", "ALL")[1] == [None]
    assert client.uid("SEARCH", "ALL")[1] == [b"1 2 3"]
    assert fetch(client, 2, "(FLAGS)") == [None]
    assert client.uid("SEARCH", "ALL")[1] == [b"1 3"]


def test_answers_to_fetch_may_be_wrong(server: ScriptedImap) -> None:
    server.deliver(MAIL)
    server.deliver(MAIL)
    server.script("UID FETCH", misbehave.exists_inside_fetch(MAIL))
    misbehave.malformed_structure(server, 2)
    misbehave.year_9999(server, 2)
    idler = Idler(server.port)
    idler.say("3 UID FETCH 1:2 (FLAGS)")
    assert idler.until(b"3 OK").splitlines()[1:3] == [b"* 3 EXISTS", b"* 1 FETCH (FLAGS (\\Seen))"]
    idler.say("4 UID FETCH 2 (INTERNALDATE BODYSTRUCTURE)")
    assert b'"31-Dec-9999 23:59:59 -1200" BODYSTRUCTURE ("TEXT" "PLAIN" ("CHARSET" "utf-8" NIL' in idler.until(b"4 OK")
    server.script("UID FETCH", misbehave.huge_literal())
    idler.say("5 UID FETCH 1 (BODY.PEEK[])")
    idler.until(b"* 1 FETCH (UID 1 BODY[] {4294967295}\r\nFrom")


def test_logins_and_numbers_may_be_refused(server: ScriptedImap) -> None:
    server.script("LOGIN", misbehave.refuse_login("[UNAVAILABLE] Suggested Backoff Time: 299961 milliseconds"))
    with pytest.raises(imaplib.IMAP4.error, match="299961"):
        login(server.port)
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        imaplib.IMAP4("127.0.0.1", server.port, timeout=5).login("a", "b")
    server.script("EXAMINE", misbehave.without("UIDVALIDITY", "UIDNEXT"))
    client = login(server.port)
    assert client.response("UIDVALIDITY")[1] == [None]
    server.script("GREETING", misbehave.bye())
    with pytest.raises(imaplib.IMAP4.error):
        login(server.port)


@pytest.mark.parametrize(
    ("script", "ends"),
    [
        (misbehave.silence(), lambda data: data == b""),
        (misbehave.drip(0.01), lambda data: data == b"3 OK completed\r\n"),
        (misbehave.split(threading.Event(), 4), lambda data: data == b"3 OK"),
        (misbehave.endless_lines(), lambda data: len(data) > 1_000_000),
    ],
)
def test_a_command_may_take_for_ever(server: ScriptedImap, script: Any, ends: Callable[[bytes], bool]) -> None:
    server.script("NOOP", script, always=True)
    idler = Idler(server.port)
    idler.say("3 NOOP")
    server.wait_for("NOOP")
    idler.socket.settimeout(0.1)
    while len(idler.seen) < 2_000_000:
        try:
            idler.read()
        except TimeoutError:
            break
    assert ends(idler.seen)


def test_every_connection_may_end_at_once(server: ScriptedImap) -> None:
    client = login(server.port)
    server.drop(wire.reset)
    with pytest.raises(ConnectionResetError):
        client.sock.recv(1)
    client = login(server.port)
    server.bye("maintenance")
    assert client.sock.recv(100) == b"* BYE maintenance\r\n"
    assert server.logins == 2


def test_ports_that_are_drawn_together_are_different() -> None:
    """Dovecot got one port for two of its services. Seen red with each drawn by itself."""
    assert len(set(wire.free_ports(500))) == 500
