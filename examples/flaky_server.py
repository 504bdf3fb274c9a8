"""A weather service on this machine that misbehaves as real services do, each time in the same way.

    with FlakyServer() as server:
        httpx.get(server.url + "/forecast/Oslo")      # 503 the first time, the forecast from then on

``GET /forecast/<city>`` answers ``{"city": "Oslo", "temperature": 4.5, "wind": 17.0}`` (Celsius, km/h) for every city in `CITIES`, and 404
for any other. A city in `FAULTS` first goes through its faults, one a request: the connection reset or dropped, 500, 503, 429 with each
form of ``Retry-After``, an answer that takes too long, JSON cut short. ``GET /stats`` tells how often what was asked.

The sockets are real, on a free port of the loopback interface; nothing but the standard library is needed.

    python examples/flaky_server.py --port 8080       # stays up until Ctrl-C
"""

from __future__ import annotations

import argparse
import contextlib
import email.utils
import json
import math
import os
import socket
import struct
import sys
import threading
import time
import zlib
from collections import Counter
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import unquote

if TYPE_CHECKING:
    from types import TracebackType

OK, NOT_FOUND, TOO_MANY, SERVER_ERROR, UNAVAILABLE = 200, 404, 429, 500, 503


class Fault(StrEnum):
    """One way in which a request can go wrong."""

    RESET = "connection reset"
    DROPPED = "connection closed without an answer"
    ERROR = "500"
    UNAVAILABLE = "503"
    RETRY_SECONDS = "429, Retry-After in seconds"
    RETRY_DATE = "429, Retry-After as a date"
    RETRY_MS = "429, retry-after-ms"
    SLOW = "slow answer"
    CUT_SHORT = "malformed JSON"


FAULTS: dict[str, tuple[Fault, ...]] = {
    "Oslo": (Fault.UNAVAILABLE,),
    "Lima": (Fault.RESET,),
    "Nairobi": (Fault.ERROR, Fault.UNAVAILABLE),
    "Tokyo": (Fault.RETRY_SECONDS,),
    "Sydney": (Fault.RETRY_DATE,),
    "Toronto": (Fault.RETRY_MS,),
    "Reykjavík": (Fault.SLOW,),
    "Cairo": (Fault.CUT_SHORT,),
    "Mumbai": (Fault.RESET, Fault.ERROR),
    "Quito": (Fault.DROPPED,),
}
"""What the first requests for a city run into, in order; every later request is answered."""

# City: temperature in degrees Celsius, wind in km/h.
CITIES: dict[str, tuple[float, float]] = {
    "Accra": (29.1, 14.0),
    "Amsterdam": (9.8, 26.0),
    "Athens": (18.6, 11.5),
    "Auckland": (16.2, 22.0),
    "Bangkok": (32.4, 7.0),
    "Berlin": (8.3, 15.5),
    "Bogotá": (14.1, 6.5),
    "Boston": (7.4, 21.0),
    "Buenos Aires": (21.7, 13.0),
    "Cairo": (26.0, 16.5),
    "Cape Town": (19.9, 29.0),
    "Chicago": (5.1, 31.0),
    "Copenhagen": (7.9, 24.5),
    "Dakar": (27.3, 18.0),
    "Delhi": (28.8, 8.5),
    "Dublin": (9.4, 27.5),
    "Hanoi": (25.6, 9.0),
    "Helsinki": (2.7, 19.5),
    "Istanbul": (14.8, 17.0),
    "Jakarta": (30.9, 5.5),
    "Kyiv": (6.2, 12.5),
    "Lagos": (30.2, 10.0),
    "Lima": (18.4, 12.0),
    "Lisbon": (16.9, 20.5),
    "Madrid": (13.5, 9.5),
    "Manila": (31.1, 11.0),
    "Mexico City": (17.8, 7.5),
    "Montréal": (1.9, 16.0),
    "Mumbai": (31.6, 13.5),
    "Nairobi": (20.3, 10.5),
    "Oslo": (4.5, 17.0),
    "Quito": (13.9, 8.0),
    "Reykjavík": (1.2, 34.0),
    "São Paulo": (22.5, 9.0),
    "Seoul": (9.1, 14.5),
    "Singapore": (31.3, 6.0),
    "Sydney": (22.9, 23.5),
    "Tokyo": (15.7, 12.5),
    "Toronto": (4.8, 25.0),
    "Zürich": (8.8, 5.0),
}


class FlakyServer:
    """The service, up while its ``with`` block runs. Requests are answered on threads of their own.

    Args:
        latency: The longest a healthy answer takes, in seconds; each city takes its own, unchanging part of it.
        slow: How long a slow answer takes, in seconds; clients should give up before.
        port: TCP port on 127.0.0.1; 0 takes a free one.
    """

    def __init__(self, *, latency: float = 0.06, slow: float = 3.0, port: int = 0) -> None:
        self.latency = latency
        self.slow = slow
        self._port = port
        self._lock = threading.Lock()
        self._requests: Counter[str] = Counter()
        self._faults: Counter[Fault] = Counter()
        self._sockets: _Sockets | None = None
        self._thread: threading.Thread | None = None
        self.stopping = threading.Event()

    @property
    def url(self) -> str:
        """Where the service is, for example ``http://127.0.0.1:40321``.

        Raises:
            RuntimeError: It is not up.
        """
        if self._sockets is None:
            raise RuntimeError("the server is not up: use `with FlakyServer() as server:`")
        return f"http://127.0.0.1:{self._sockets.server_address[1]}"

    def __enter__(self) -> Self:
        self.stopping.clear()
        self._sockets = _Sockets(self, self._port)
        self._thread = threading.Thread(target=self._sockets.serve_forever, args=(0.05,), name="flaky-server")
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._sockets is not None  # noqa: S101 - set by __enter__
        assert self._thread is not None  # noqa: S101 - set by __enter__
        self.stopping.set()
        self._sockets.shutdown()
        self._thread.join()
        self._sockets.hang_up()
        self._sockets.server_close()
        self._sockets = self._thread = None

    def stats(self) -> dict[str, Any]:
        """What was asked so far: ``{"total": 3, "requests": {path: count}, "faults": {fault: count}}``."""
        with self._lock:
            return {"total": self._requests.total(), "requests": dict(self._requests), "faults": dict(self._faults)}

    def next_fault(self, path: str, city: str) -> Fault | None:
        """Count one request for ``path``; return what it runs into, None when all goes well."""
        with self._lock:
            faults = FAULTS.get(city, ())
            fault = faults[self._requests[path]] if self._requests[path] < len(faults) else None
            self._requests[path] += 1
            if fault is not None:
                self._faults[fault] += 1
            return fault


class _Sockets(ThreadingHTTPServer):
    """Accepts connections for a `FlakyServer` and can hang up on all of them."""

    request_queue_size = 128  # the demo opens forty connections at once
    daemon_threads = False  # so that server_close() waits for every one

    def __init__(self, api: FlakyServer, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.api = api
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, then start its thread."""
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        """Close the connection and forget it."""
        with self._lock:
            self._open.discard(request)
        super().close_request(request)

    def hang_up(self) -> None:
        """End every connection that a client keeps alive, so that its thread ends."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):  # already gone
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away, as those do whose patience a slow answer outlasts."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"  # connections are kept alive
    disable_nagle_algorithm = True  # or header and body would wait 40 ms for each other

    def do_GET(self) -> None:
        """Route the request."""
        api = cast("_Sockets", self.server).api
        path = unquote(self.path.partition("?")[0])
        _, _, city = path.partition("/forecast/")
        if path == "/stats":
            self._answer(OK, api.stats())
            return
        fault = api.next_fault(path, city)
        if city not in CITIES:
            self._answer(NOT_FOUND, {"error": f"there is no {path}"})
        elif fault is None:
            api.stopping.wait(api.latency * _share(city))
            self._answer(OK, _forecast(city))
        else:
            self._misbehave(fault, city, api)

    def _misbehave(self, fault: Fault, city: str, api: FlakyServer) -> None:
        """Let this request run into ``fault``."""
        match fault:
            case Fault.RESET:
                self._reset()
            case Fault.DROPPED:
                self.close_connection = True
            case Fault.ERROR:
                self._answer(SERVER_ERROR, {"error": "internal error"})
            case Fault.UNAVAILABLE:
                self._answer(UNAVAILABLE, {"error": "overloaded"})
            case Fault.RETRY_SECONDS:
                self._answer(TOO_MANY, {"error": "rate limit"}, {"Retry-After": "1"})
            case Fault.RETRY_DATE:
                # Dates have whole seconds: rounded up, so that the wait is one to two seconds and never none.
                self._answer(
                    TOO_MANY, {"error": "rate limit"}, {"Retry-After": email.utils.formatdate(math.ceil(time.time()) + 1, usegmt=True)}
                )
            case Fault.RETRY_MS:
                self._answer(TOO_MANY, {"error": "rate limit"}, {"retry-after-ms": "250"})
            case Fault.SLOW:
                api.stopping.wait(api.slow)
                self._answer(OK, _forecast(city))
            case Fault.CUT_SHORT:
                body = json.dumps(_forecast(city)).encode()
                self._send(OK, body[: len(body) // 2])

    def _answer(self, status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        """Send ``content`` as JSON."""
        self._send(status, json.dumps(content).encode(), headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send ``body`` under ``status``."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        """Close with RST instead of FIN: linger for 0 seconds, and past `shutdown_request`, which would send a FIN first."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.connection.detach())

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


def _share(city: str) -> float:
    """The part of the latency that answers for ``city`` take: between 0.3 and 1, always the same."""
    return 0.3 + 0.7 * (zlib.crc32(city.encode()) % 1000) / 1000


def _forecast(city: str) -> dict[str, Any]:
    temperature, wind = CITIES[city]
    return {"city": city, "temperature": temperature, "wind": wind}


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description="A weather service that misbehaves as real ones do.")
    parser.add_argument("--port", type=int, default=8080, help="TCP port on 127.0.0.1 (default: 8080; 0: a free one)")
    with FlakyServer(port=parser.parse_args().port) as server, contextlib.suppress(KeyboardInterrupt):
        print(f"{server.url}/forecast/Oslo   (Ctrl-C stops)")
        threading.Event().wait()


if __name__ == "__main__":
    main()
