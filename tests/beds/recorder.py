"""An HTTP server on loopback that remembers every request and answers as planned.

    with Recorder() as recorder:
        recorder.plan("/slack", 500, (429, {"Retry-After": "7"}, b""), 200)
        ...
        recorder.wait_for(3, seconds=5, path="/slack")

An answer is a status, a (status, headers, body) tuple, or a way to misbehave: "hang" (nothing, until the client goes),
"reset" (RST), "close" (FIN without an answer), or the usual answer too late: ("slow", seconds before it), ("drip",
seconds between the bytes of its body), ("drip-header", seconds between all its bytes). Without a plan it is the usual
one: 200 "ok". A request is recorded once it is complete and before it is answered; one whose client died before that
is only counted in `broken`.

`Recorder.https(folder)` is besides a proxy that stands in for the services in `services.HOSTS` and gives their usual
answers: no name is looked up, nothing leaves the machine. `refused_tls` counts who did not take its certificate.

    with Recorder.https(tmp_path) as recorder:
        start_a_process(env=os.environ | recorder.environment())
        recorder.plan("api.line.me", ("drip-header", 60), 200)
        ...
        recorder.delivered("api.line.me")
"""

from __future__ import annotations

import dataclasses
import json
import ssl
import threading
import time
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any, Literal, Self

from . import certificates, services
from .http_server import Server
from .services import Reply
from .wire import HOST

Late = tuple[Literal["slow", "drip", "drip-header"], float]
Answer = int | Reply | Literal["hang", "reset", "close"] | Late


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came and the answer it was given; `json` is None where the body is none; `at` is
    time.monotonic(); `host` is the Host header without the port."""

    method: str
    path: str
    headers: Message
    body: bytes
    json: Any
    at: float
    host: str
    answer: Answer

    @property
    def reply(self) -> Reply | None:
        """The answer as HTTP has it, even if it comes too late; None where there is none."""
        usual = services.usual(self.host)
        match self.answer:
            case "hang" | "reset" | "close":
                return None
            case (int() as status, headers, bytes() as body):
                return status, headers, body
            case int() as status:
                return usual if status == usual[0] else (status, {}, b"")
        return usual

    @property
    def status(self) -> int | None:
        """The status of the answer."""
        return self.reply[0] if self.reply else None

    @property
    def accepted(self) -> bool:
        """Whether it was answered with 2xx, even if the client did not wait for it."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def retry_key(self) -> str | None:
        """What LINE tells a second try by."""
        return self.headers.get(services.RETRY_KEY) if self.host == services.LINE else None


class Recorder:
    """The server; see the module.

    LINE refuses what it has accepted under the same X-Line-Retry-Key (409, listed in `repeats`) unless
    `honours_retry_key` is false. A path that a method takes may begin with a host: "/slack", "slack.com",
    "slack.com/api", "https://slack.com/api".
    """

    def __init__(self, tls: ssl.SSLContext | None = None, ca: Path | None = None) -> None:
        self.broken = 0
        self.refused_tls = 0
        self.repeats: list[Request] = []
        self.honours_retry_key = True
        self.tls = tls
        self._ca = ca
        self._requests: list[Request] = []
        self._plans: dict[tuple[str, str], list[Answer]] = {}
        self._accepted_keys: set[str] = set()
        self._changed = threading.Condition()
        self._server = Server(self, 0)
        self.port = int(self._server.server_address[1])

    @classmethod
    def https(cls, folder: Path, kind: str = "server") -> Self:
        """One that stands in for the services; the certificate of that kind (see `certificates`) is put in `folder`."""
        ca = certificates.make(folder, kind, services.HOSTS)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "server.key")
        return cls(context, ca)

    def environment(self) -> dict[str, str]:
        """What makes a client that heeds its environment come here with every https URL."""
        if self._ca is None:
            raise ValueError("only Recorder.https stands in for anyone")
        proxy = f"http://{HOST}:{self.port}"
        none = {"NO_PROXY": "", "no_proxy": ""}
        return {"HTTPS_PROXY": proxy, "https_proxy": proxy, "REQUESTS_CA_BUNDLE": str(self._ca), **none}

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
        self._server = Server(self, self.port)
        self._server.run()

    def url(self, path: str = "/") -> str:
        """The apprise URL of a path."""
        return f"json://{HOST}:{self.port}{_absolute(path)}"

    def http_url(self, path: str = "/") -> str:
        """The plain URL of a path, as for the heartbeat."""
        return f"http://{HOST}:{self.port}{_absolute(path)}"

    def plan(self, path: str, *answers: Answer) -> None:
        """Answer paths that begin so with these in order; the last one repeats. A plan for a host counts before one
        for any host, then the longest path."""
        with self._changed:
            self._plans[_place(path)] = list(answers)

    def requests(self, path: str | None = None) -> list[Request]:
        """What came so far, of all paths or of those that begin so."""
        place = _place(path or "/")
        with self._changed:
            return [request for request in self._requests if _is_in(place, request.host, request.path)]

    def posts(self, path: str | None = None) -> list[Request]:
        """The POST requests among them."""
        return [request for request in self.requests(path) if request.method == "POST"]

    def delivered(self, path: str | None = None) -> list[Request]:
        """Those among the requests that were accepted."""
        return [request for request in self.requests(path) if request.accepted]

    def wait_for(self, count: int, seconds: float = 10.0, path: str | None = None) -> list[Request]:
        """The requests, once there are at least `count`; TimeoutError after `seconds`."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests(path)) >= count, seconds):
                raise TimeoutError(f"{len(self.requests(path))} of {count} requests within {seconds} s")
            return self.requests(path)

    def record(self, method: str, path: str, headers: Message, body: bytes) -> Request:
        """Remember a request, and how it is to be answered."""
        at = time.monotonic()
        host = headers.get("Host", "").partition(":")[0].lower()
        with self._changed:
            answer = self._next_answer(host, path)
            request = Request(method, path, headers, body, _json(body), at, host, answer)
            key = request.retry_key
            if request.accepted and key:
                if self.honours_retry_key and key in self._accepted_keys:
                    request = dataclasses.replace(request, answer=services.REPEATED)
                    self.repeats.append(request)
                self._accepted_keys.add(key)
            self._requests.append(request)
            self._changed.notify_all()
            return request

    def record_broken(self) -> None:
        """Count a request whose client died before it was complete."""
        with self._changed:
            self.broken += 1
            self._changed.notify_all()

    def record_refused_tls(self) -> None:
        """Count a client that ended the TLS handshake."""
        with self._changed:
            self.refused_tls += 1
            self._changed.notify_all()

    def _next_answer(self, host: str, path: str) -> Answer:
        places = [place for place, answers in self._plans.items() if answers and _is_in(place, host, path)]
        if not places:
            return services.usual(host)
        answers = self._plans[max(places, key=lambda place: (place[0] != "", len(place[1])))]
        return answers.pop(0) if len(answers) > 1 else answers[0]


def _absolute(path: str) -> str:
    return "/" + path.lstrip("/")


def _place(path: str) -> tuple[str, str]:
    """The host ("": any) and the path within it. Each host we stand in for has a dot."""
    host, _, rest = path.removeprefix("https://").partition("/")
    return (host, _absolute(rest)) if "." in host else ("", _absolute(path))


def _is_in(place: tuple[str, str], host: str, path: str) -> bool:
    return place[0] in ("", host) and path.startswith(place[1])


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
