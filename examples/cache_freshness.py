"""An API that slows down, changes and breaks, and callers who hardly notice: what a cache may do with a value that is no longer fresh.

    python examples/cache_freshness.py

The API is real, on this machine: it names the price of tea, with an ETag, after a fifth of a second. Each line that is printed is one call or a hundred: what came back,
how long it took, what the trace says of the cache, and how many requests reached the API meanwhile. The clock is put forward between them, so that an hour takes two seconds.
"""

from __future__ import annotations

import http.client
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from tempfile import TemporaryDirectory

from holdfast import CachePolicy, DiskCache, Resilient, clock, get_cache_entry, resilient
from holdfast.testing import recorded

OK, NOT_MODIFIED, UNAVAILABLE = 200, 304, 503

# -- the call: copy from here ----------------------------------------------------------------------------------------------------------

POLICY = CachePolicy(
    ttl="10m",  # a price is fresh for so long;
    stale_while_revalidate="20m",  # then it is served at once for 20 minutes more, while one request behind the callers renews it;
    stale_if_error="1d",  # and for a day, where asking fails
    soft_timeout="100ms",  # or takes longer than this
    fail_safe_throttle="1m",  # an API that has failed is left alone for a minute
    tags=("prices",),
)


def price_from(port: int, cache: DiskCache) -> Resilient[[str], float]:
    """A function that asks the API on ``port``, and remembers."""

    @resilient(cache_policy=POLICY, cache=cache, retry_policy=[])
    def price(item: str) -> float:
        entry = get_cache_entry()
        known = entry.previous  # what is stored, however old: then it is enough to ask whether it still holds
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            connection.request("GET", f"/{item}", headers={"If-None-Match": known.etag} if known else {})
            answer = connection.getresponse()
            if answer.status == NOT_MODIFIED:
                return float(entry.not_modified())
            if answer.status == OK:
                entry.etag = answer.headers["ETag"]
                return float(answer.read())
            raise ConnectionError(f"{answer.status} {answer.reason}")

    return price


# -- the API, and the show -------------------------------------------------------------------------------------------------------------


class PutForward(clock.Clock):
    """A clock that can be put forward."""

    ahead = 0.0

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self.ahead

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic() + self.ahead


class Api:
    """The price of tea, and how the service that knows it is doing."""

    def __init__(self) -> None:
        self.price, self.latency, self.is_up, self.answers = 2.5, 0.2, True, list[int]()

    def serving(self) -> ThreadingHTTPServer:
        """A server on a port of its own."""
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                time.sleep(api.latency)
                is_known = self.headers["If-None-Match"] == f'"{api.price}"'
                api.answers.append(UNAVAILABLE if not api.is_up else NOT_MODIFIED if is_known else OK)
                self.send_response(api.answers[-1])
                self.send_header("ETag", f'"{api.price}"')
                self.end_headers()
                if api.answers[-1] == OK:
                    self.wfile.write(f"{api.price}".encode())

            def log_message(self, format: str, *args: object) -> None: ...  # silent

        return ThreadingHTTPServer(("127.0.0.1", 0), Handler)


def main() -> None:
    """Start the API and the cache, and go through the story."""
    api, moment = Api(), PutForward()
    clock.install(moment)
    with TemporaryDirectory() as folder, closing(DiskCache(folder)) as cache, api.serving() as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        story(api, price_from(server.server_port, cache), cache, moment)
        server.shutdown()


def story(api: Api, price: Resilient[[str], float], cache: DiskCache, moment: PutForward) -> None:
    """What happens to the API, and what its callers get."""

    def call(title: str, times: int = 1, *, is_renewed: bool = False) -> None:
        asked, stored, began = len(api.answers), list(cache.entries()), time.perf_counter()
        with recorded() as told:
            answers = [price("tea") for _ in range(times)]
        took = 1000 * (time.perf_counter() - began) / times
        result = next(each["cache"] for each in told.facts if each["kind"] == "call" and each["cache"] != "refresh")
        print(f"  {title:<58}{answers[-1]:>5.2f}{took:>8.2f} ms  {result:<16}{len(api.answers) - asked}")
        while is_renewed and stored == list(cache.entries()):
            time.sleep(0.01)

    print(f"  {'':<58}price{'took':>11}  {'cache':<16}requests")
    call("nobody has asked before: the caller waits")
    call("asked a hundred times more", times=100)

    moment.ahead, api.price = 12 * 60, 2.8
    call("12 minutes later: the old price, at once", is_renewed=True)
    call("it was renewed meanwhile, behind the caller")
    moment.ahead += 12 * 60
    call("12 minutes later: old again, though still the price", is_renewed=True)
    print(f"\n  The API said {api.answers[-1]}, Not Modified: what is stored has a new date, and nothing was sent.\n")

    moment.ahead, api.is_up, api.latency = moment.ahead + 40 * 60, False, 0.01
    call("40 minutes later the API is down: the last price it named")
    call("it is left alone for a minute, whoever asks", times=100)

    moment.ahead, api.is_up, api.latency = moment.ahead + 60, True, 0.4
    call("it is back, and slow: nobody waits longer than 100 ms", is_renewed=True)
    call("what nobody waited for was stored all the same")

    cache.invalidate("prices")
    print(f"\n  cache.invalidate('prices'). Why would a call miss now? It was {price.why_miss('tea').cause}.\n")
    call("so the next caller waits, and gets today's price")


if __name__ == "__main__":
    main()
