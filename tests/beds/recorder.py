"""An HTTP server on loopback that remembers every request and answers as planned.

    with Recorder() as recorder:
        recorder.plan("/slack", 500, (429, {"Retry-After": "7"}, b""), 200)
        ...
        recorder.wait_for(3, seconds=5, path="/slack")

An answer is a status, a (status, headers, body) tuple, or a way to misbehave: "hang" (nothing, until the client goes),
"reset" (RST), "close" (FIN without an answer), ("slow", seconds). Without a plan it is 200 "ok". A request is recorded
once it is complete and before it is answered; one whose client died before that is only counted in `broken`.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any, Literal, Self

from .wire import HOST, hang_up, reset

Answer = int | tuple[int, Mapping[str, str], bytes] | Literal["hang", "reset", "close"] | tuple[Literal["slow"], float]


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came; `json` is None where the body is none; `at` is time.monotonic()."""

    method: str
    path: str
    headers: Message
    body: bytes
    json: Any
    at: float


class Recorder:
    """The server; see the module."""

    def __init__(self) -> None:
        self.broken = 0
        self._requests: list[Request] = []
        self._plans: dict[str, list[Answer]] = {}
        self._changed = threading.Condition()
        self._server = _Server(self, 0)
        self.port = int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._server.run()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End every connection and refuse new ones."""
        self._server.stop()

    def start(self) -> None:
        """Listen on the same port again after `stop`."""
        self._server = _Server(self, self.port)
        self._server.run()

    def url(self, path: str = "/") -> str:
        """The apprise URL of a path."""
        return f"json://{HOST}:{self.port}{_absolute(path)}"

    def http_url(self, path: str = "/") -> str:
        """The plain URL of a path, as for the heartbeat."""
        return f"http://{HOST}:{self.port}{_absolute(path)}"

    def plan(self, path_prefix: str, *answers: Answer) -> None:
        """Answer paths that begin so with these in order; the last one repeats. The longest prefix counts."""
        with self._changed:
            self._plans[_absolute(path_prefix)] = list(answers)

    def requests(self, path: str | None = None) -> list[Request]:
        """What came so far, of all paths or of those that begin so."""
        prefix = _absolute(path or "/")
        with self._changed:
            return [request for request in self._requests if request.path.startswith(prefix)]

    def posts(self, path: str | None = None) -> list[Request]:
        """The POST requests among them."""
        return [request for request in self.requests(path) if request.method == "POST"]

    def wait_for(self, count: int, seconds: float = 10.0, path: str | None = None) -> list[Request]:
        """The requests, once there are at least `count`; TimeoutError after `seconds`."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests(path)) >= count, seconds):
                raise TimeoutError(f"{len(self.requests(path))} of {count} requests within {seconds} s")
            return self.requests(path)

    def record(self, request: Request) -> Answer:
        """Remember a request; return how it is to be answered."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
            return self._next_answer(request.path)

    def record_broken(self) -> None:
        """Count a request whose client died before it was complete."""
        with self._changed:
            self.broken += 1
            self._changed.notify_all()

    def _next_answer(self, path: str) -> Answer:
        prefixes = [prefix for prefix, answers in self._plans.items() if answers and path.startswith(prefix)]
        if not prefixes:
            return 200
        answers = self._plans[max(prefixes, key=len)]
        return answers.pop(0) if len(answers) > 1 else answers[0]


def _absolute(path: str) -> str:
    return "/" + path.lstrip("/")


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a hanging client must not hold the test
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, recorder: Recorder, port: int) -> None:
        self.recorder = recorder
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__((HOST, port), _Handler)

    def run(self) -> None:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            hang_up(connection)

    def finish_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        try:
            super().finish_request(request, client_address)
        finally:
            with self._lock:
                self._open.discard(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet: clients that die are the purpose here."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_any(self) -> None:
        request = self._request()
        if request is None:
            self.server.recorder.record_broken()
            self.close_connection = True
            return
        self._answer(self.server.recorder.record(request))

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = do_PATCH = handle_any  # noqa: N815 (http.server names them)

    def _request(self) -> Request | None:
        length = int(self.headers.get("Content-Length") or 0)
        try:
            body = self.rfile.read(length)
        except OSError:
            return None
        if len(body) < length:
            return None
        return Request(self.command, self.path, self.headers, body, _json(body), time.monotonic())

    def _answer(self, answer: Answer) -> None:
        match answer:
            case "hang":
                self._hang()
            case "reset":
                self.close_connection = True
                reset(self.connection)
            case "close":
                self.close_connection = True
            case ("slow", float() | int() as seconds):
                self.server.stopping.wait(seconds)
                self._reply(200, {}, b"ok")
            case (int() as status, headers, bytes() as body):
                self._reply(status, dict(headers), body)
            case int():
                self._reply(answer, {}, b"ok" if answer == 200 else b"")

    def _hang(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            while self.connection.recv(4096):
                pass  # until the client gives up or the recorder stops

    def _reply(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
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


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
