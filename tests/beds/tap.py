"""A recording TCP proxy on loopback between a client and a plain IMAP server, which can fail as networks do.

    with Dovecot() as dovecot, Tap(dovecot.port) as tap:
        ...                          # the client connects to tap.port
        tap.wait_for("IDLE")
        tap.cut()
        assert "SELECT" not in tap.commands()

What it records are the clients' bytes, so the client must speak without TLS.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self

from .imap_text import client_commands, command_name, redacted
from .wire import HOST, Listener, hang_up, reset, wait_until


class Connection:
    """One client, its server, and what the client said."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.said = bytearray()
        self.heard = 0  # bytes from the server, as far as they were forwarded
        self.open = True
        self._writing = threading.Lock()

    def to_client(self, data: bytes) -> None:
        """Write whole pieces: an injected line must not land inside another write."""
        with self._writing:
            self.client.sendall(data)
        self.heard += len(data)

    def end(self, how: Callable[[socket.socket], None]) -> None:
        """End both sides, the client's in this way."""
        self.open = False
        how(self.client)
        hang_up(self.server)


class Tap:
    """The proxy; `connections` are all that ever were, in order."""

    host = HOST

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.connections: list[Connection] = []
        self._lock = threading.Lock()
        self._flowing = threading.Event()
        self._flowing.set()
        self._closed = threading.Event()
        self._piece, self._pause = 0, 0.0
        self._left: int | None = None
        self._refusing = False
        self._listener = Listener(self._serve)
        self.port = self._listener.port

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._closed.set()
        self._flowing.set()
        self._listener.close()
        self.close()

    # What was said

    def commands(self, connection: int | None = None) -> list[str]:
        """The command names, such as "LOGIN", "UID FETCH", "DONE", of all connections in order or of one."""
        return [name for line in self._raw(connection) if (name := command_name(line))]

    def lines(self, connection: int | None = None) -> list[str]:
        """The clients' lines, literals included, without what LOGIN and AUTHENTICATE tell."""
        return [redacted(line) for line in self._raw(connection)]

    def wait_for(self, command: str, count: int = 1, seconds: float = 10.0) -> None:
        """Wait until the clients have said a command so often."""
        wait_until(lambda: self.commands().count(command) >= count, seconds, f"{command} x {count}")

    def server_bytes(self) -> int:
        """How many bytes the clients were sent."""
        return sum(connection.heard for connection in list(self.connections))

    def _raw(self, number: int | None) -> list[str]:
        with self._lock:
            chosen = self.connections if number is None else [self.connections[number]]
            said = [bytes(connection.said) for connection in chosen]
        return [line for data in said for line in client_commands(data)]

    # Faults

    def cut(self) -> None:
        """RST every open connection."""
        self._end_all(reset)

    def close(self) -> None:
        """FIN every open connection."""
        self._end_all(hang_up)

    def stall(self) -> None:
        """Accept and forward nothing, either way: a link that is half open."""
        self._flowing.clear()

    def refuse(self) -> None:
        """RST new connections at once."""
        self._refusing = True

    def trickle(self, size: int, seconds: float) -> None:
        """Forward the server's bytes so many at a time, with a pause after each."""
        self._piece, self._pause = size, seconds

    def after(self, count: int) -> None:
        """FIN the connection on which the server's next `count` bytes end; then forward as before."""
        with self._lock:
            self._left = count

    def inject(self, line: str) -> None:
        """Say a line to every client as if the server had."""
        for connection in self._open_connections():
            connection.to_client(line.encode() + b"\r\n")

    def go(self) -> None:
        """No fault any more: forward what was held back."""
        self._piece, self._pause, self._refusing = 0, 0.0, False
        with self._lock:
            self._left = None
        self._flowing.set()

    def _open_connections(self) -> list[Connection]:
        with self._lock:
            return [connection for connection in self.connections if connection.open]

    def _end_all(self, how: Callable[[socket.socket], None]) -> None:
        for connection in self._open_connections():
            connection.end(how)

    # Forwarding

    def _serve(self, client: socket.socket) -> None:
        if self._refusing:
            reset(client)
            return
        server = socket.create_connection((HOST, self.target_port), 10)
        server.settimeout(None)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(client, server)
        with self._lock:
            self.connections.append(connection)
        threading.Thread(target=self._to_client, args=(connection,), daemon=True).start()
        self._to_server(connection)

    def _to_server(self, connection: Connection) -> None:
        with contextlib.suppress(OSError):
            while data := connection.client.recv(65536):
                with self._lock:
                    connection.said += data
                self._flowing.wait()
                connection.server.sendall(data)
        connection.end(hang_up)

    def _to_client(self, connection: Connection) -> None:
        with contextlib.suppress(OSError):
            while data := connection.server.recv(65536):
                self._flowing.wait()
                if not self._forward(connection, data):
                    break
        connection.end(hang_up)

    def _forward(self, connection: Connection, data: bytes) -> bool:
        """Forward the server's bytes; False when `after` ends the connection here."""
        allowed, ends = self._allowance(len(data))
        data = data[:allowed]
        while data:
            size = self._piece or len(data)
            connection.to_client(data[:size])
            data = data[size:]
            if self._pause:
                self._closed.wait(self._pause)
        return not ends

    def _allowance(self, wanted: int) -> tuple[int, bool]:
        with self._lock:
            if self._left is None:
                return wanted, False
            allowed = min(wanted, self._left)
            self._left -= allowed
            ends = self._left == 0
            if ends:
                self._left = None
            return allowed, ends
