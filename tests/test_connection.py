"""`Connection` against a server that does what servers and networks should not do: traps section 1, libraries 2.1."""

from __future__ import annotations

import contextlib
import imaplib
import os
import resource
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import mails
import pytest
from beds import misbehave
from beds.scripted import Script, ScriptedImap, Session
from beds.wire import free_port

from mailwatch import connection
from mailwatch.connection import Connection, LinkLost

pytestmark = pytest.mark.server

LONG = 60.0  # what no test may wait for
AT_ONCE = 5.0  # on a noisy machine
FAULTS_IN_IDLE = [misbehave.close_in_idle(), misbehave.bye_in_idle("Server shutting down.")]


@pytest.fixture
def server() -> Iterator[ScriptedImap]:
    """A server with one mail."""
    with ScriptedImap() as running:
        running.deliver(mails.neighbour(0))
        yield running
        assert not running.violations


@pytest.fixture
def link(server: ScriptedImap) -> Iterator[Connection]:
    """A connection that is logged in and has the INBOX examined."""
    made = Connection(server.host, server.port, None, 5)
    made.login(server.user, server.password)
    made.select("INBOX", readonly=True)
    yield made
    made.shutdown()


def idle(link: Connection, seconds: float) -> bool:
    """One IDLE slice; whether mail was announced since before it."""
    since = link.announced
    link.allow(5)
    link.start_idle()
    came = link.wait_idle(seconds, since)
    link.allow(5)
    link.end_idle()
    return came


def took(began: float) -> float:
    """Seconds since then."""
    return time.monotonic() - began


# ---- announcements: none is missed, whatever it came with ----


@pytest.mark.parametrize("misbehaviour", [misbehave.exists_with_idling, misbehave.exists_before_idling])
def test_mail_announced_around_the_plus_ends_the_slice_at_once(
    server: ScriptedImap, link: Connection, misbehaviour: object
) -> None:
    """imapclient sees the first after its whole time-out and raises at the second.

    Planted fault: `start_idle` without counting (the pattern matches nothing): waits for the whole slice, red.
    """
    assert callable(misbehaviour)
    server.script("IDLE", misbehaviour(mails.neighbour(1)))
    began = time.monotonic()
    assert idle(link, LONG)
    assert took(began) < AT_ONCE


def test_mail_announced_while_idling_ends_the_slice_at_once(server: ScriptedImap, link: Connection) -> None:
    def deliver() -> None:
        server.wait_for_idle()
        server.deliver(mails.neighbour(1))

    arriving = threading.Thread(target=deliver)
    arriving.start()
    began = time.monotonic()
    assert idle(link, LONG)
    assert took(began) < AT_ONCE
    arriving.join()


def test_an_announcement_split_over_two_packets_loses_nothing(server: ScriptedImap, link: Connection) -> None:
    """imapclient drops the first half. Planted fault: `_fill` drops what follows the last line end: red."""
    resume = threading.Event()
    server.script("IDLE", misbehave.split_exists(mails.neighbour(1), resume))
    since = link.announced
    link.start_idle()
    assert not link.wait_idle(0.2, since)
    resume.set()
    assert link.wait_idle(LONG, since)
    link.allow(5)
    link.end_idle()


def test_mail_announced_inside_another_answer_is_counted(server: ScriptedImap, link: Connection) -> None:
    """Planted fault: EXISTS is counted in IDLE lines only: red."""
    server.script("UID FETCH", misbehave.exists_inside_fetch(mails.neighbour(1)))
    since = link.announced
    link.allow(5)
    link.uid("FETCH", "1", "(RFC822.SIZE)")
    assert link.announced == since + 1
    began = time.monotonic()
    link.start_idle()
    assert link.wait_idle(LONG, since)
    assert took(began) < AT_ONCE
    link.allow(5)
    link.end_idle()


def test_a_quiet_slice_ends_after_its_seconds_and_leaves_the_link_usable(
    server: ScriptedImap, link: Connection
) -> None:
    assert not idle(link, 0.05)
    link.allow(5)
    assert link.noop()[0] == "OK"


def test_other_lines_in_idle_do_not_end_the_slice(server: ScriptedImap, link: Connection) -> None:
    def chatter(session: Session, tag: str, _arguments: str) -> bool:
        session.begin_idle(tag, after=b"* OK Still here\r\n* 1 FETCH (FLAGS (\\Seen))\r\n* 0 RECENT\r\n")
        return True

    server.script("IDLE", chatter)
    assert not idle(link, 0.1)


def test_20000_lines_in_idle_are_read_at_once(server: ScriptedImap, link: Connection) -> None:
    def flood(session: Session, tag: str, _arguments: str) -> bool:
        session.begin_idle(tag, after=b"* 1 FETCH (FLAGS (\\Seen))\r\n" * 20_000 + b"* 2 EXISTS\r\n")
        return True

    server.script("IDLE", flood)
    began = time.monotonic()
    assert idle(link, LONG)
    assert took(began) < AT_ONCE


def test_a_refused_idle_is_an_error_and_not_a_wait(server: ScriptedImap, link: Connection) -> None:
    server.script("IDLE", misbehave.says("{tag} NO not now"))
    with pytest.raises(imaplib.IMAP4.error, match="not now"):
        link.start_idle()


@pytest.mark.parametrize("news", [b"", b"* 2 EXISTS\r\n"])
def test_an_idle_that_the_server_ends_itself_is_over_at_once_and_leaves_the_link_usable(
    server: ScriptedImap, link: Connection, news: bytes
) -> None:
    """Seen red with its line swallowed and then waited for, to the deadline; with news in the same packet DONE was
    sent, which is no command."""

    def ended(session: Session, tag: str, _arguments: str) -> bool:
        session.write(b"+ idling\r\n" + news + f"{tag} OK that was long enough\r\n".encode())
        return True

    server.script("IDLE", ended)
    began = time.monotonic()
    assert idle(link, LONG) == (news != b"")
    assert took(began) < AT_ONCE
    assert link.noop()[0] == "OK"
    assert "DONE" not in server.commands()
    assert not idle(link, 0.05)


# ---- a dead link is one error, soon ----


@pytest.mark.parametrize("fault", FAULTS_IN_IDLE)
def test_a_link_that_ends_in_idle_is_lost_at_once(server: ScriptedImap, link: Connection, fault: Script) -> None:
    """imapclient answers [] for ever, 100,000 times a second. Planted fault: `_fill` takes the end for silence: red."""
    server.script("IDLE", fault)
    began = time.monotonic()
    with pytest.raises(LinkLost):
        idle(link, LONG)
    assert took(began) < AT_ONCE


def test_the_text_of_a_bye_in_idle_is_kept_for_the_log(server: ScriptedImap, link: Connection) -> None:
    server.script("IDLE", misbehave.bye_in_idle("Server shutting down."))
    with pytest.raises(LinkLost, match=r"Server shutting down\."):
        idle(link, LONG)


def test_a_reset_in_idle_is_lost_at_once(server: ScriptedImap, link: Connection) -> None:
    def reset(session: Session, tag: str, _arguments: str) -> bool:
        session.begin_idle(tag)
        session.reset()
        return True

    server.script("IDLE", reset)
    with pytest.raises(LinkLost):
        idle(link, LONG)


def test_a_half_open_link_is_noticed_at_the_end_of_the_slice(server: ScriptedImap, link: Connection) -> None:
    """Planted fault: `_remaining` never raises: hangs at DONE, red."""
    server.script("IDLE", misbehave.says("+ idling"))  # and no session that answers DONE
    link.start_idle()
    assert not link.wait_idle(0.05, link.announced)
    link.allow(0.2)
    with pytest.raises(LinkLost, match="deadline"):
        link.end_idle()


def test_a_lost_link_stays_lost(server: ScriptedImap, link: Connection) -> None:
    server.script("NOOP", misbehave.closes())
    for _ in range(2):
        link.allow(2)
        with pytest.raises((imaplib.IMAP4.abort, OSError)):
            link.noop()


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (misbehave.silence(), 0.2),
        (misbehave.drip(0.02), 0.3),
        (misbehave.split(threading.Event()), 0.2),
    ],
)
def test_a_command_ends_at_its_wall_clock_deadline(
    server: ScriptedImap, link: Connection, fault: Script, seconds: float
) -> None:
    """A read time-out alone let a drip hold a call for 29 s.

    Planted fault: the deadline is set anew by each read: red.
    """
    server.script("CAPABILITY", fault)
    link.allow(seconds)
    began = time.monotonic()
    with pytest.raises(imaplib.IMAP4.abort, match="deadline"):
        link.capability()
    assert took(began) < seconds + 2


@pytest.mark.parametrize("line", [b"* OK Still here\r\n", b"x" * 1000])
def test_lines_without_end_stop_at_the_byte_budget(server: ScriptedImap, link: Connection, line: bytes) -> None:
    """Planted fault: the budget is not counted down: runs until the deadline, red."""
    server.script("NOOP", misbehave.endless_lines(line))
    link.allow(LONG, budget=200_000)
    began = time.monotonic()
    with pytest.raises(imaplib.IMAP4.abort, match="more than an answer can hold"):
        link.noop()
    assert took(began) < 2 * AT_ONCE


def test_a_line_without_end_stops_at_the_line_limit(
    server: ScriptedImap, link: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "MAX_LINE", 100_000)
    server.script("NOOP", misbehave.endless_lines(b"x" * 1000))
    link.allow(LONG)
    with pytest.raises(imaplib.IMAP4.abort, match="a line of over"):
        link.noop()
    assert len(link._buffer) < 100_000 + 2 * 65536


@pytest.mark.parametrize("size", [connection.MAX_LITERAL + 1, 4_294_967_295, 60_000_000_000])
def test_a_huge_literal_is_refused_before_a_byte_of_it_is_read(
    server: ScriptedImap, link: Connection, size: int
) -> None:
    """imaplib reserves 4 GB for it. Planted fault: `read` without the limit: waits for the deadline, red."""
    server.script("UID FETCH", misbehave.huge_literal(size))
    link.allow(LONG)
    began = time.monotonic()
    with pytest.raises(imaplib.IMAP4.abort, match="literal"):
        link.uid("FETCH", "1", "(BODY.PEEK[])")
    assert took(began) < AT_ONCE


def test_a_literal_that_comes_in_pieces_is_whole(server: ScriptedImap, link: Connection) -> None:
    text = mails.mail("A <a@example.org>", "long", "x" * 300_000)
    uid = server.deliver(text, announce=False)
    server.script("UID FETCH", misbehave.drip(0.0, 50_000))
    link.allow(20)
    _, data = link.uid("FETCH", str(uid), "(BODY.PEEK[])")
    assert any(isinstance(part, tuple) and part[1] == text for part in data)


# ---- connecting ----


def test_a_mute_greeting_ends_at_the_deadline(server: ScriptedImap) -> None:
    server.script("GREETING", misbehave.silence())
    began = time.monotonic()
    with pytest.raises(imaplib.IMAP4.abort, match="deadline"):
        Connection(server.host, server.port, None, 0.3)
    assert took(began) < 0.3 + 2


@pytest.fixture
def mute() -> Iterator[tuple[str, int]]:
    """The address of a server that never says a word.

    `ScriptedImap` would answer a line feed, which the random bytes of a ClientHello hold: in 1.2 KB of them (a
    post-quantum key, OpenSSL 3.5) nearly always.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()


def test_a_mute_tls_handshake_ends_at_the_deadline(mute: tuple[str, int]) -> None:
    """imapclient 4.0.1 hung here."""
    began = time.monotonic()
    with pytest.raises(LinkLost, match="deadline"):
        Connection(*mute, ssl.create_default_context(), 0.3)
    assert took(began) < 0.3 + 2


def test_a_tls_handshake_of_a_descriptor_over_1023_ends_at_the_deadline(mute: tuple[str, int]) -> None:
    """Seen red with `select.select`, which takes none: a ValueError."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as opened:
        if limits[0] < 1200:
            resource.setrlimit(resource.RLIMIT_NOFILE, (1200, limits[1]))
            opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        for _ in range(1024):
            opened.enter_context(Path(os.devnull).open())
        with pytest.raises(LinkLost, match="deadline"):
            Connection(*mute, ssl.create_default_context(), 0.3)


def test_a_tls_handshake_that_drips_ends_at_the_deadline(server: ScriptedImap) -> None:
    """Each byte comes within a read time-out, so that one would never strike. Planted fault: the handshake left to
    `wrap_socket` with a time-out: red."""
    record = b"\x16\x03\x03\x40\x00" + b"\x02" * 0x4000
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stop = threading.Event()
        threading.Thread(target=_drip, args=(listener, record, stop), daemon=True).start()
        began = time.monotonic()
        with pytest.raises((LinkLost, ssl.SSLError)):
            Connection("127.0.0.1", listener.getsockname()[1], ssl.create_default_context(), 0.5)
        stop.set()
    assert took(began) < 0.5 + 2


def _drip(listener: socket.socket, data: bytes, stop: threading.Event) -> None:
    connection, _ = listener.accept()
    with connection, contextlib.suppress(OSError):
        for byte in data:
            if stop.wait(0.1):
                return
            connection.sendall(bytes([byte]))


def test_a_name_look_up_that_hangs_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver may hang for minutes, and knows no time-out. Planted fault: `getaddrinfo` called directly: red."""
    hangs = threading.Event()

    def getaddrinfo(*arguments: object, **options: object) -> list[object]:
        hangs.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"imap\.example\.test"):
        Connection("imap.example.test", 993, None, 0.3)
    hangs.set()
    assert took(began) < 0.3 + 2


def test_a_second_address_is_tried_where_the_first_does_not_answer(
    server: ScriptedImap, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in (free_port(), server.port)]
    monkeypatch.setattr(connection, "_look_up", lambda *_: [address for *_, address in found])
    made = Connection("imap.example.test", 993, None, 5)
    assert made.sock.getpeername() == ("127.0.0.1", server.port)
    made.shutdown()


def test_a_first_address_that_swallows_packets_leaves_time_for_the_second(
    server: ScriptedImap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """IPv6 that leads nowhere. Seen red with the whole deadline for the first address: never reached the second."""
    monkeypatch.setattr(connection, "_LEAST_SHARE", 0.2)
    with contextlib.ExitStack() as opened:
        mute = opened.enter_context(socket.socket())
        mute.bind(("127.0.0.1", 0))
        mute.listen(0)
        for _ in range(3):  # a queue that is full answers nobody
            waiting = opened.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(mute.getsockname())
        monkeypatch.setattr(connection, "_look_up", lambda *_: [mute.getsockname(), ("127.0.0.1", server.port)])
        made = Connection("imap.example.test", 993, None, 3)
        assert made.sock.getpeername() == ("127.0.0.1", server.port)
        made.shutdown()


def test_a_bye_instead_of_a_greeting_is_an_error_with_its_text(server: ScriptedImap) -> None:
    server.script("GREETING", misbehave.bye("Too many simultaneous connections."))
    with pytest.raises(imaplib.IMAP4.error, match="Too many simultaneous connections"):
        Connection(server.host, server.port, None, 5)


def test_a_port_that_nothing_listens_on_is_an_os_error() -> None:
    with pytest.raises(OSError, match="refused"):
        Connection("127.0.0.1", free_port(), None, 5)


def test_small_commands_leave_at_once_and_a_dead_peer_is_probed(link: Connection) -> None:
    """Nagle beside delayed ACK cost 40 ms a command. Planted fault: the TCP_NODELAY line left out: red."""
    assert link.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert link.sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


# ---- from another thread ----


def test_interrupt_from_another_thread_ends_an_idle_wait_at_once(server: ScriptedImap, link: Connection) -> None:
    """Planted fault: `interrupt` only closes the descriptor: the reader goes on waiting, red."""
    ended = threading.Event()

    def wait() -> None:
        with pytest.raises(imaplib.IMAP4.abort):
            idle(link, LONG)
        ended.set()

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    server.wait_for_idle()
    link.interrupt()
    assert ended.wait(AT_ONCE)


def test_interrupt_ends_a_command_that_is_never_answered(server: ScriptedImap, link: Connection) -> None:
    server.script("NOOP", misbehave.silence())
    ended = threading.Event()

    def ask() -> None:
        link.allow(LONG)
        with pytest.raises(imaplib.IMAP4.abort):
            link.noop()
        ended.set()

    threading.Thread(target=ask, daemon=True).start()
    server.wait_for("NOOP")
    link.interrupt()
    assert ended.wait(AT_ONCE)


def test_interrupt_and_shutdown_of_a_link_that_is_gone_do_nothing(link: Connection) -> None:
    link.shutdown()
    link.interrupt()
    link.shutdown()
