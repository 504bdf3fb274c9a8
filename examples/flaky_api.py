"""A flaky API that holds: forty-one calls at once, each retried as it needs, cached, and drawn as a trace.

    make demo

`flaky_server.py` starts a weather service on this machine that misbehaves as real ones do: it resets connections, answers 500, 503 and 429,
takes too long, cuts JSON short, and does not know Atlantis. This asks it for every city, twice; the second run is served from the cache.
Arguments are further places to send the trace to: ``make demo ARGS=jaeger``.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import closing
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import httpx
from flaky_server import CITIES, FlakyServer

import holdfast.tracing
from holdfast import CachePolicy, DiskCache, RetryPolicy, entrypoint, get_stream_writer, task
from holdfast.cache.default import set_default_cache
from holdfast.cli.app import app as holdfast_command
from holdfast.tracing.store import Choice, RunSummary, TraceStore

if TYPE_CHECKING:
    from holdfast.policies.retry import AttemptState, Retry

ASKED = [*CITIES, "Atlantis"]

# -- the calls: copy from here ---------------------------------------------------------------------------------------------------------

Forecast = dict[str, Any]  # {"city": "Oslo", "temperature": 4.5, "wind": 17.0}
Results = dict[str, Forecast | BaseException]


def tell(state: AttemptState, retry: Retry) -> None:
    """Before each wait, send a line to whoever reads the run's stream."""
    get_stream_writer()(f"{retry.detail}: attempt {state.attempt + 1} in {retry.delay:.2f} s")


flaky_call = task(
    retry_policy=[
        RetryPolicy(max_attempts=5, initial_interval="100ms", before_retry=tell),  # timeouts, resets, 429 and 5xx, but no 404
        RetryPolicy(retry_on=json.JSONDecodeError, initial_interval="100ms", before_retry=tell),
    ],
    cache_policy=CachePolicy(ttl="1h", negative_ttl="1m", ignore=("client",)),
    timeout="2s",
    kind="client",
)


@flaky_call
async def forecast(city: str, client: httpx.AsyncClient) -> Forecast:
    """Ask for one city."""
    answer = await client.get(f"/forecast/{city}")
    return dict(answer.raise_for_status().json())


@flaky_call
def forecast_blocking(city: str, client: httpx.Client) -> Forecast:
    """The same with a client that blocks: it gets a thread, beside all the others."""
    answer = client.get(f"/forecast/{city}")
    return dict(answer.raise_for_status().json())


@entrypoint
async def weather(url: str) -> Results:
    """Ask for every city at once; where one fails, its error stands in place of its forecast."""
    with httpx.Client(base_url=url) as blocking:
        async with httpx.AsyncClient(base_url=url) as client:
            calls = [forecast_blocking(city, blocking) if n % 4 == 1 else forecast(city, client) for n, city in enumerate(ASKED)]
            answers = await asyncio.gather(*calls, return_exceptions=True)
    return dict(zip(ASKED, answers, strict=True))


# -- the show: run it twice and look ---------------------------------------------------------------------------------------------------


async def follow(url: str) -> Results:
    """Run `weather`, with a line of progress made from what the run streams meanwhile."""
    done, retries, last = 0, 0, ""
    results: Results = {}
    async for mode, chunk in weather.astream(url, stream_mode=["tasks", "custom", "updates"]):
        if mode == "custom":
            retries, last = retries + 1, f" ({chunk})"
        elif mode == "tasks":
            done += "result" in chunk and chunk["name"] != weather.plan.name
        elif weather.plan.name in chunk:
            results = chunk[weather.plan.name]
        line = f"  {done} of {len(ASKED)} calls done, {retries} retries{last}"
        if sys.stdout.isatty():
            print(f"\r{line:79.79}", end="", flush=True)
        elif (mode == "custom" and retries % 4 == 0) or results:
            print(line)
    print()
    return results


def show(results: Results) -> None:
    """Print a few of the forecasts, and what failed."""
    found = [answer for answer in results.values() if not isinstance(answer, BaseException)]
    for answer in found[:6]:
        print(f"  {answer['city']:<12}{answer['temperature']:>6} °C{answer['wind']:>7} km/h")
    print(f"  ... {len(found[6:])} more")
    for city, error in results.items():
        if isinstance(error, BaseException):
            print(f"  {city:<12}{type(error).__name__}: {str(error).splitlines()[0]}")


def run(title: str, server: FlakyServer) -> tuple[RunSummary, int]:
    """Run once and print what came of it; return the run's figures and how many requests reached the server."""
    print(f"\n{title}\n")
    before = server.stats()["total"]
    show(asyncio.run(follow(server.url)))
    holdfast.tracing.flush()
    figures = TraceStore().runs(1, Choice(name=weather.plan.name))[0]
    print(f"\n$ holdfast show {figures.run_id}\n")
    holdfast_command(["show", figures.run_id], standalone_mode=False)
    return figures, server.stats()["total"] - before


def main() -> None:
    """Run twice over a cache that is empty at first, then compare."""
    for backend in ["local", *sys.argv[1:]]:
        holdfast.tracing.configure(backend, capture="values", lines=False)
    with FlakyServer() as server, TemporaryDirectory() as folder, closing(DiskCache(folder)) as cache:
        set_default_cache(cache)  # your own stays as it is
        first, requests = run("First run: the service misbehaves", server)
        again, requests_again = run("Second run: the cache answers", server)
        set_default_cache(None)

    print("\n  run      calls  attempts  retries  cache hits  requests the server saw      took     saved")
    for name, figures, seen in (("first", first, requests), ("second", again, requests_again)):
        n = figures.summary
        print(f"  {name:<7}{n.calls:>7}{n.attempts:>10}{n.retries:>9}{n.hits:>12}{seen:>25}{figures.duration_s:>8.2f} s{n.saved_s:>8.2f} s")
    print(f"\nSee the first run again:   .venv/bin/holdfast show {first.run_id}")
    print("Send the same to Jaeger:   docker run --rm -p 16686:16686 -p 4318:4318 jaegertracing/jaeger")
    print("                           make demo ARGS=jaeger      and open http://localhost:16686")


if __name__ == "__main__":
    main()
