"""What the beds share about sockets and waiting: `wait_until`, `free_port(s)`, `reset`, `hang_up` and `Listener`."""

from __future__ import annotations

import contextlib
import errno
import random
import socket
import struct
import threading
import time
from collections.abc import Callable

HOST = "127.0.0.1"
LINGER_0 = struct.pack("ii", 1, 0)


def wait_until(condition: Callable[[], object], seconds: float = 10.0, what: str = "the condition") -> None:
    """Return as soon as `condition()` is true; TimeoutError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true within {seconds} s")
        time.sleep(0.005)


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """So many, all different: one that is free again may be drawn again.

    Below those that the system gives to outgoing connections (from 32768 on Linux), of which there are many here: one
    that the system drew would be taken again before the server listens.
    """
    with contextlib.ExitStack() as kept:
        return [_bound(kept.enter_context(socket.socket())) for _ in range(count)]


def _bound(probe: socket.socket) -> int:
    while True:
        port = random.SystemRandom().randrange(10000, 32768)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return port


def reset(connection: socket.socket) -> None:
    """End a connection with RST, even while another thread reads from it."""
    with contextlib.suppress(OSError):
        # Linger 0 makes close() send RST. The peer hears it only once no thread holds the socket in recv(),
        # and SHUT_RD wakes such a thread without sending a FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)
        connection.shutdown(socket.SHUT_RD)
    connection.close()


def hang_up(connection: socket.socket) -> None:
    """End a connection with FIN, and wake a thread that reads from it."""
    with contextlib.suppress(OSError):
        # The thread that `reset` wakes comes here too, and must not send the FIN that reset avoided.
        if connection.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(LINGER_0)) != LINGER_0:
            connection.shutdown(socket.SHUT_RDWR)
    connection.close()


class Listener:
    """Accepts loopback connections and serves each in a thread of its own until `close`."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._closed = False
        self._socket = socket.create_server((HOST, 0), backlog=128)
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening and end every connection."""
        with self._lock:
            self._closed = True
            connections = list(self._connections)
        hang_up(self._socket)
        for connection in connections:
            hang_up(connection)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        # Without it, Nagle joins small writes, and a test could not split a line in two packets.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._connections.add(connection)
            closed = self._closed
        try:
            if not closed:
                self._serve(connection)
        except (OSError, ValueError):
            pass  # the peer died, or the bed was closed under the thread: both are everyday here
        finally:
            hang_up(connection)
            with self._lock:
                self._connections.discard(connection)
