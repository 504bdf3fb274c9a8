"""A TTL, from a guess to one that is known: an API is asked for an hour, the evidence is looked at, the TTL is changed, and another hour shows what came of it.

    python examples/tune_ttl.py

The API is real, on this machine, and its records change by themselves: some every five minutes, some never. Two hours of traffic pass in seconds, under a
fake clock. The cache records what it needs by itself; nothing here is written for tuning but the three lines marked so.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from bisect import bisect_right
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import holdfast
from holdfast import CachePolicy, DiskCache, RetryPolicy, clock, resilient
from holdfast.overrides import Overrides

if TYPE_CHECKING:
    from holdfast.tuning import Point

HOUR = 3600.0
RECORDS = 60
REQUESTS_PER_SECOND = 2.0
STALE_BUDGET = 0.04
CHANCE = random.Random(7)


class Simulated(clock.Clock):
    """A clock that stands still until it is moved; what waits, waits really."""

    def __init__(self) -> None:
        self.now = 1_750_000_000.0

    def time(self) -> float:
        """Seconds since the epoch."""
        return self.now

    def time_ns(self) -> int:
        """The same in nanoseconds."""
        return round(self.now * 1e9)

    def monotonic(self) -> float:
        """The same again: it is never moved back."""
        return self.now


class Api:
    """Records that change at rates of their own, and how often they were asked for."""

    def __init__(self, moment: Simulated) -> None:
        self._moment, self._begin, self.requests = moment, moment.now, 0
        rates = [CHANCE.choice((0, 1 / 1800, 1 / 1800, 1 / 900, 1 / 300)) for _ in range(RECORDS)]
        self._changes = [sorted(CHANCE.uniform(0, 2.5 * HOUR) for _ in range(round(rate * 2.5 * HOUR))) for rate in rates]

    def version(self, record: int) -> int:
        """How often a record has changed until now."""
        return bisect_right(self._changes[record], self._moment.now - self._begin)

    def serving(self) -> ThreadingHTTPServer:
        """A server that answers with records, on a port of its own."""
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                api.requests += 1
                record = int(self.path.rpartition("/")[2])
                body = json.dumps({"record": record, "version": api.version(record)}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: two hours of requests."""

        return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


class Hour(NamedTuple):
    """What came of an hour; known here alone, because the API is ours.

    Attributes:
        hits: Share of answers that needed no request.
        stale: Share of answers that the API had changed since.
    """

    hits: float
    stale: float

    def __str__(self) -> str:
        return f"{self.hits:.1%} hits, {self.stale:.1%} stale"


def main() -> None:
    """Both hours, and what lies between them."""
    moment = Simulated()
    real = clock.install(moment)
    api = Api(moment)
    try:
        with TemporaryDirectory() as folder, closing(DiskCache(folder)) as cache, api.serving() as server:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
            try:
                with closing(http.client.HTTPConnection("127.0.0.1", server.server_port)) as connection:
                    live(api, cache, folder, moment, connection)
            finally:
                server.shutdown()
    finally:
        clock.install(real)


def live(api: Api, cache: DiskCache, folder: str, moment: Simulated, connection: http.client.HTTPConnection) -> None:
    """A service that asks the API through a cache, for two hours."""

    @resilient(retry_policy=RetryPolicy(), cache_policy=CachePolicy(ttl="2m", ignore=("api",)), cache=cache)
    def fetch(record: int, api: http.client.HTTPConnection) -> dict[str, int]:
        api.request("GET", f"/records/{record}")
        return dict(json.loads(api.getresponse().read()))

    def hour() -> Hour:
        gets = stale = 0
        asked, end = api.requests, moment.now + HOUR
        while moment.now < end:
            record = min(int(CHANCE.expovariate(1 / 15)), RECORDS - 1)
            stale += fetch(record, connection)["version"] != api.version(record)
            gets += 1
            moment.now += CHANCE.expovariate(REQUESTS_PER_SECOND)
        return Hour(1 - (api.requests - asked) / gets, stale / gets)

    print(f"an hour at ttl=2m, a guess: {hour()}")

    report = holdfast.tune(folder, task="fetch", stale_budget=STALE_BUDGET)  # tuning, the first line: look
    print(f"\n{report.explain()}\n")
    best = next((point for point in report.curve if point.ttl == report.recommendation.ttl), None)
    if best is None:
        return
    Overrides(folder).set(report.task, best.ttl, author="you", reason=f"tune expects {expected(best)}")  # the second: change it
    time.sleep(2)  # every process that has the cache open follows within a second, of real time

    print(f"an hour at ttl={best.ttl:.0f}s: {hour()}; {expected(best)} were expected")
    (now,) = Overrides(folder).history(report.task)  # the third: who did it, and why
    print(f"override {now.id} by {now.author}: ttl={now.ttl:.0f}s, {now.reason}")


def expected(point: Point) -> str:
    """What the report says of a TTL."""
    return str(Hour(point.hits, point.stale or 0.0))


if __name__ == "__main__":
    main()
