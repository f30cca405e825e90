"""The IMAP connection: imaplib's protocol over a socket that we read ourselves.

imapclient's own IDLE missed mail that came before IDLE 20 times out of 20, loses lines that come in pieces and spins on
a dead link (libraries 2.1). imaplib offers the hooks open/read/readline/send/shutdown for this: here they keep one
buffer that never drops a byte, put a wall-clock deadline and a byte budget on each operation, and turn a closed, mute
or flooding link into one error, `LinkLost`.
"""

from __future__ import annotations

import contextlib
import imaplib
import queue
import re
import selectors
import socket
import ssl
import threading
import time
from dataclasses import dataclass

from mailwatch import imap_lines
from mailwatch.imap_lines import Line

MAX_LINE = 4 * 1024 * 1024
MAX_LITERAL = 2 * 1024 * 1024
_CHUNK = 65536
_COUNT = re.compile(rb"\* (\d{1,10}) (EXISTS|EXPUNGE)\b")
# What stands before a line's own words: `* 12 FETCH`, `* OK [UIDVALIDITY`, `ABCD7 OK`. imaplib knows it in upper case
# only and with one blank; RFC 3501 section 9 knows any case.
_PREFIX = re.compile(rb"(?:\*[ \t]+(?:\d+[ \t]+)?|[A-Za-z]{4}\d+[ \t]+)[A-Za-z-]+(?:[ \t]+\[[A-Za-z-]+)?", re.ASCII)
# A server's words end with their line (RFC 3501 section 9, resp-text); imaplib takes `{5}` there for a literal, and the
# next five bytes for its text.
_WORDS_LIKE_LITERAL = re.compile(rb"\* (?:OK|NO|BAD|BYE|PREAUTH) .*\{\d+\}\s*\Z")
_STATUS = {b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH"}
# A half-open link is found by the kernel within about two minutes even where nothing is sent (reliability L1).
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 3}
# Each address of a host gets this long to answer: a lost packet is sent again after 1 and 3 seconds.
_LEAST_SHARE = 5.0


class LinkLost(imaplib.IMAP4.abort):
    """The connection is of no more use: closed, silent past the deadline, or over its byte budget."""


class IdleRefused(imaplib.IMAP4.error):
    """The server offers IDLE and does not let us; the connection is as good as before."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer to a command: its untagged lines, `status` (OK, NO or BAD) and the server's words beside it."""

    status: str
    words: str
    lines: list[Line]


class Connection(imaplib.IMAP4):
    """One IMAP connection. Not for more than one thread, but for `interrupt`.

    `announced` counts the EXISTS lines seen so far: when it has changed since a search began, mail may have come that
    the search did not list, whatever answer the line stood in.
    `exists`: how many mails the folder holds by the server's EXISTS and EXPUNGE lines. `asked_at`: how many of them
    were there when the last `ask` began; `counted`: how many its owner has counted. Both shrink with EXPUNGE.
    `has_shrunk`: whether EXISTS fell without EXPUNGE since its owner set it to false.
    """

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, seconds: float) -> None:
        """Connect and read the greeting within `seconds`. Raises `OSError`, `LinkLost` or `imaplib.IMAP4.error`."""
        self._tls = tls
        self._buffer = bytearray()
        self._deadline = 0.0
        self._budget = 0
        self._idle_tag = b""
        self.announced = 0
        self.exists = self.asked_at = self.counted = 0
        self.has_shrunk = False
        self.allow(seconds)
        super().__init__(host, port, seconds)

    def allow(self, seconds: float, budget: int = 16 * 1024 * 1024) -> None:
        """Start an operation: everything until the next `allow` must end within `seconds` and `budget` bytes."""
        self._deadline = time.monotonic() + seconds
        self._budget = budget

    # ---- imaplib's hooks ----

    def open(self, host: str = "", port: int = 993, timeout: float | None = None) -> None:  # noqa: ARG002 - imaplib's
        """Connect; TLS where a context was given (implicit TLS only: STARTTLS can be stripped, reliability H20)."""
        self.host, self.port = host, port
        plain = self._connected(host, port)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                plain.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        try:
            self.sock = self._handshaken(plain, self._tls, host) if self._tls else plain
        except BaseException:
            plain.close()
            raise

    def _connected(self, host: str, port: int) -> socket.socket:
        """A connection to the first address that answers. Raises `OSError`."""
        failed: OSError | None = None
        addresses = _look_up(host, port, self._remaining())
        for at, address in enumerate(addresses):
            # Its share: one that swallows packets (IPv6 that leads nowhere) must leave time for those behind it.
            left = self._remaining()
            try:
                return socket.create_connection(address, min(left, max(_LEAST_SHARE, left / (len(addresses) - at))))
            except OSError as fault:
                failed = fault
        raise failed or OSError(f"no address for {host}")

    def _handshaken(self, plain: socket.socket, tls: ssl.SSLContext, host: str) -> ssl.SSLSocket:
        """TLS over it. A read time-out is no deadline: a handshake that drips would never end."""
        plain.setblocking(False)
        wrapped = tls.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
        try:
            while True:
                try:
                    wrapped.do_handshake()
                    return wrapped
                except ssl.SSLWantReadError:
                    self._wait_for(wrapped, selectors.EVENT_READ)
                except ssl.SSLWantWriteError:
                    self._wait_for(wrapped, selectors.EVENT_WRITE)
        except BaseException:
            wrapped.close()
            raise

    def _wait_for(self, wrapped: ssl.SSLSocket, event: int) -> None:
        """Until the socket can be read or written. Not by `select.select`: it takes no descriptor over 1023."""
        with selectors.DefaultSelector() as selector:
            selector.register(wrapped, event)
            selector.select(self._remaining())

    def read(self, size: int) -> bytes:
        """A literal of `size` bytes; one over the limit is refused before a byte of it is read (a 4 GB one: H19)."""
        if size > MAX_LITERAL:
            raise LinkLost(f"a literal of {size} bytes was announced")
        while len(self._buffer) < size:
            self._fill_or_lose()
        return self._take(size)

    def readline(self) -> bytes:
        """One whole line, however many packets it came in."""
        while not self._has_line():
            if len(self._buffer) > MAX_LINE:
                raise LinkLost(f"a line of over {MAX_LINE} bytes")
            self._fill_or_lose()
        line = self._take(self._buffer.index(b"\n") + 1)
        if prefix := _PREFIX.match(line):
            line = b" ".join(prefix[0].split()).upper() + line[prefix.end() :]
        if _WORDS_LIKE_LITERAL.match(line):
            line = line.rstrip() + b" \r\n"
        if count := _COUNT.match(line):
            self._count(int(count[1]), count[2])
        return line

    def _count(self, number: int, name: bytes) -> None:
        """`* 23 EXISTS`, `* 7 EXPUNGE`: the seventh mail is gone."""
        if name == b"EXISTS":
            self.announced += 1
            self.has_shrunk |= number < self.exists
            self.exists = number
            self.asked_at, self.counted = min(self.asked_at, number), min(self.counted, number)
        else:
            self.exists = max(self.exists - 1, 0)
            self.asked_at -= number <= self.asked_at
            self.counted -= number <= self.counted

    def send(self, data: bytes) -> None:  # type: ignore[override]  # typeshed wants a Buffer; imaplib sends bytes
        """All of `data`, within the deadline."""
        self.sock.settimeout(self._remaining())
        self.sock.sendall(data)

    def _check_bye(self) -> None:
        """Between imaplib's own errors, which may quote a mail, the words of a BYE would not be known as such."""
        if bye := self.untagged_responses.get("BYE"):
            words = bye[-1] if isinstance(bye[-1], bytes) else b""
            raise LinkLost(f"the server said goodbye: {words.decode('ascii', 'replace')}")

    def shutdown(self) -> None:
        """Close the socket; never raises."""
        with contextlib.suppress(OSError):
            self.sock.close()

    # ---- a command whose answer we read ourselves ----

    def ask(self, command: bytes) -> Answer:
        """Send a command and read its whole answer. imaplib and imapclient lose all of it over one odd line.

        Raises `LinkLost`, also over a line that belongs to no answer: after it the stream is out of step.
        """
        tag: bytes = self._new_tag()
        del self.tagged_commands[tag]
        self.asked_at = self.exists
        self.send(tag + b" " + command + b"\r\n")
        lines: list[Line] = []
        while True:
            line = self._answer_line(tag)
            if line[0].startswith(tag + b" "):
                status, _, words = line[0][len(tag) + 1 :].decode("utf-8", "replace").partition(" ")
                return Answer(status, words, lines)
            if line[0].startswith(b"* "):
                lines.append(line)
            elif lines and imap_lines.goes_on(lines[-1], line[0]):
                lines[-1] = [*lines[-1][:-1], lines[-1][-1] + b" " + line[0], *line[1:]]
            else:
                raise LinkLost("a line that belongs to no answer")

    def _answer_line(self, tag: bytes) -> Line:
        """A line with its literals."""
        text = self.readline().rstrip(b"\r\n")
        line = [text]
        kind = imap_lines.kind(line)
        if kind == b"BYE":
            raise LinkLost(f"the server said goodbye: {text[6:206].decode('ascii', 'replace').strip()}")
        if kind in _STATUS or text.startswith(tag):
            return line
        while (size := imap_lines.literal_size(text)) is not None:
            line.append(self.read(size))
            text = self.readline().rstrip(b"\r\n")
            line.append(text)
        return line

    # ---- IDLE (RFC 2177) ----

    @property
    def is_idling(self) -> bool:
        """Whether IDLE goes on: neither side has ended it."""
        return self._idle_tag != b""

    def start_idle(self) -> None:
        """Send IDLE and read up to `+`. Lines before it are kept as news. Raises `IdleRefused`."""
        tag: bytes = self._new_tag()
        del self.tagged_commands[tag]
        self.send(tag + b" IDLE\r\n")
        while True:
            line = self._idle_line()
            if line.startswith(b"+"):
                self._idle_tag = tag
                return
            if line.startswith(tag):
                raise IdleRefused(f"IDLE was refused: {line[:200]!r}")

    def wait_idle(self, seconds: float, since: int) -> bool:
        """Wait until `announced` differs from `since`, at most `seconds`; whether it does. Raises `LinkLost`.

        A server may end IDLE itself: that ends the wait.
        """
        self.allow(seconds + 5)
        until = time.monotonic() + seconds
        while self.is_idling and self.announced == since:
            if self._has_line():
                self._idle_line()
            elif (left := until - time.monotonic()) > 0:
                self._fill(left)
            else:
                break
        return self.announced != since

    def end_idle(self) -> None:
        """Send DONE, unless the server ended it, and read to the end of IDLE: this proves that the link lives."""
        while self.is_idling and self._has_line():
            self._idle_line()
        if self.is_idling:
            self.send(b"DONE\r\n")
        while self.is_idling:
            self._idle_line()

    def interrupt(self) -> None:
        """From another thread: make whatever waits on this connection end now."""
        with contextlib.suppress(OSError):
            # The plain socket's shutdown: SSLSocket.shutdown would drop the TLS object under the reader's feet.
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    # ---- the buffer ----

    def _idle_line(self) -> bytes:
        line = self.readline()
        if line[:5].upper() == b"* BYE":
            raise LinkLost(f"the server said goodbye: {line[6:206].decode('ascii', 'replace').strip()}")
        if self._idle_tag and line.startswith(self._idle_tag):
            self._idle_tag = b""
        return line

    def _has_line(self) -> bool:
        return b"\n" in self._buffer

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _remaining(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise LinkLost("no answer within the deadline")
        return left

    def _fill_or_lose(self) -> None:
        while not self._fill(self._remaining()):
            self._remaining()

    def _fill(self, seconds: float) -> bool:
        """Read once what has come, waiting at most `seconds`; False where nothing came."""
        self.sock.settimeout(max(seconds, 0.001))
        try:
            data: bytes = self.sock.recv(_CHUNK)
        except (TimeoutError, ssl.SSLWantReadError):
            return False
        except (OSError, ValueError) as fault:
            raise LinkLost(f"{type(fault).__name__}: {fault}") from None
        if not data:
            raise LinkLost("the server closed the connection")
        self._budget -= len(data)
        if self._budget < 0:
            raise LinkLost("the server sent more than an answer can hold")
        self._buffer += data
        return True


def _look_up(host: str, port: int, seconds: float) -> list[tuple[str, int]]:
    """The addresses of a host. A resolver that hangs is left behind in its thread. Raises `OSError`."""
    answers: queue.SimpleQueue[list[tuple[str, int]] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put([(str(address[0]), int(address[1])) for *_, address in found])
        except (OSError, UnicodeError) as fault:
            answers.put(fault if isinstance(fault, OSError) else OSError(f"{host!r} is no host name"))

    threading.Thread(target=ask, name="look-up", daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"the name {host} was not found in time") from None
    if isinstance(answer, OSError):
        raise answer
    return answer
