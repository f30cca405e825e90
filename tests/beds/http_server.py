"""The recorder's server: reads requests, through tunnels too, hands them to the recorder and answers as that says."""

from __future__ import annotations

import contextlib
import http.server
import io
import select
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

from . import services
from .wire import HOST, hang_up, reset

if TYPE_CHECKING:
    from .recorder import Recorder, Request


class Server(http.server.ThreadingHTTPServer):
    """A thread for each connection until `stop`."""

    daemon_threads = True
    block_on_close = False  # a hanging client must not hold the test
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, recorder: Recorder, port: int) -> None:
        self.recorder = recorder
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__((HOST, port), Handler)

    def run(self) -> None:
        """Listen from now on."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """End every connection and listen no more."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            hang_up(connection)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection to its end."""
        with self._lock:
            self._open.add(request)
        try:
            if not self.stopping.is_set():
                super().finish_request(request, client_address)
        finally:
            with self._lock:
                self._open.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet: clients that die are the purpose here."""


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection, or the tunnel within one."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a drip is one byte a packet
    server: Server

    def handle(self) -> None:
        """Serve one connection; in a tunnel TLS comes first."""
        if isinstance(self.request, ssl.SSLSocket):
            try:
                self.request.do_handshake()
            except OSError:
                self.server.recorder.record_refused_tls()
                return
        super().handle()

    def do_CONNECT(self) -> None:
        """Say that the tunnel is open, whoever it is to, and be the other end of it."""
        self.close_connection = True
        context = self.server.recorder.tls
        if context is None:
            self.send_error(501)
            return
        self.send_response_only(200, "Connection established")
        self.end_headers()
        tunnel = context.wrap_socket(self.connection, server_side=True, do_handshake_on_connect=False)
        try:
            self.server.finish_request(tunnel, self.client_address)
        finally:
            hang_up(tunnel)

    def handle_any(self) -> None:
        """Have a request recorded, and answer it."""
        body = self._body()
        if body is None:
            self.server.recorder.record_broken()
            self.close_connection = True
            return
        self._answer(self.server.recorder.record(self.command, self.path, self.headers, body))

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = do_PATCH = handle_any  # noqa: N815 (http.server names them)

    def _body(self) -> bytes | None:
        length = int(self.headers.get("Content-Length") or 0)
        try:
            # urllib3 talks to a proxy with Nagle's algorithm: a body waits 40 ms for the delayed ACK of its header.
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            body = self.rfile.read(length)
        except OSError:
            return None
        return body if len(body) == length else None

    def _answer(self, request: Request) -> None:
        match request.answer:
            case "hang":
                self._hang()
            case "reset":
                self.close_connection = True
                reset(self.connection)
            case "close":
                self.close_connection = True
            case ("slow", float() | int() as seconds):
                self.server.stopping.wait(seconds)
                self._reply(request)
            case ("drip" | "drip-header" as part, float() | int() as seconds):
                self._drip(request, seconds, is_whole=part == "drip-header")
            case _:
                self._reply(request)

    def _hang(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            while self.connection.recv(4096):
                pass  # until the client gives up or the recorder stops

    def _drip(self, request: Request, seconds: float, *, is_whole: bool) -> None:
        wire, text = self.wfile, io.BytesIO()
        self.wfile = text
        self._reply(request)
        self.wfile = wire
        head, end, body = text.getvalue().partition(b"\r\n\r\n")
        at_once, slowly = (b"", text.getvalue()) if is_whole else (head + end, body)
        try:
            wire.write(at_once)
            for number, byte in enumerate(slowly):
                # A client has nothing to say now: its socket is readable once it has gone, or the recorder stops.
                if number and select.select([self.connection], [], [], seconds)[0]:
                    self.close_connection = True
                    return
                wire.write(bytes([byte]))
        except OSError:
            self.close_connection = True

    def _reply(self, request: Request) -> None:
        status, headers, body = request.reply or services.OTHERS
        try:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 (the name is the base class's)
        """Say nothing."""
