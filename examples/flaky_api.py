"""A flaky API that holds: forty-one calls at once, each retried as it needs, cached, and drawn as a trace.

    make demo

`flaky_server.py` starts a weather service on this machine that misbehaves as real ones do: it resets connections, answers 500, 503 and 429,
takes too long, cuts JSON short, and does not know Atlantis. This asks it for every city, twice; the second run is served from the cache.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
from contextlib import closing
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypedDict

import httpx
from flaky_server import CITIES, FlakyServer

import holdfast.tracing
from holdfast import CachePolicy, DiskCache, RetryPolicy, entrypoint, get_stream_writer, task
from holdfast.cache.default import set_default_cache
from holdfast.cli.render import render_run
from holdfast.tracing import tree
from holdfast.tracing.store import RunSummary, TraceStore

if TYPE_CHECKING:
    from holdfast.policies.retry import AttemptState, Retry

ASKED = [*CITIES, "Atlantis"]
SHOWN = 6  # forecasts printed before "... more"

# -- the calls: copy from here ---------------------------------------------------------------------------------------------------------


class Forecast(TypedDict):
    """What the service answers: Celsius and km/h."""

    city: str
    temperature: float
    wind: float


def tell(state: AttemptState, retry: Retry) -> None:
    """Before each wait, send a line to whoever reads the run's stream."""
    get_stream_writer()(f"{retry.detail} on attempt {state.attempt}, next in {retry.delay:.2f} s")


flaky_call = task(
    retry_policy=[
        RetryPolicy(max_attempts=5, initial_interval="100ms", before_retry=tell),  # timeouts, resets, 429 and 5xx, but no 404
        RetryPolicy(retry_on=json.JSONDecodeError, initial_interval="100ms", before_retry=tell),
    ],
    cache_policy=CachePolicy(ttl="1h", negative_ttl="1m", ignore=("client",)),
    timeout="1s",
    kind="client",
)


@flaky_call
async def forecast(client: httpx.AsyncClient, city: str) -> Forecast:
    """Ask for one city."""
    return read(await client.get(f"/forecast/{city}"))


@flaky_call
def forecast_blocking(client: httpx.Client, city: str) -> Forecast:
    """The same with a client that blocks: it gets a thread, beside all the others."""
    return read(client.get(f"/forecast/{city}"))


def read(answer: httpx.Response) -> Forecast:
    """The forecast in an answer; raises when the status is an error or the body no JSON."""
    answer.raise_for_status()
    found: Forecast = answer.json()
    return found


@entrypoint
async def weather(url: str) -> dict[str, Forecast | BaseException]:
    """Ask for every city at once; where one fails, its error stands in place of its forecast."""
    with httpx.Client(base_url=url) as blocking:
        async with httpx.AsyncClient(base_url=url) as client:
            calls = [forecast_blocking(blocking, city) if n % 4 == 0 else forecast(client, city) for n, city in enumerate(ASKED)]
            answers = await asyncio.gather(*calls, return_exceptions=True)
    return dict(zip(ASKED, answers, strict=True))


# -- the show: run it twice and look ---------------------------------------------------------------------------------------------------


async def follow(url: str) -> dict[str, Forecast | BaseException]:
    """Run `weather`, with a line of progress made from what the run streams meanwhile."""
    done, retries, last = 0, 0, ""
    results: dict[str, Forecast | BaseException] = {}
    async for mode, chunk in weather.astream(url, stream_mode=["tasks", "custom", "updates"]):
        if mode == "custom":
            retries, last = retries + 1, f" ({chunk})"
        elif mode == "tasks":
            done += "result" in chunk
        elif weather.plan.name in chunk:
            results = chunk[weather.plan.name]
        line = f"  {done} of {len(ASKED)} calls done, {retries} retries{last}"
        if sys.stdout.isatty():
            print(f"\r{line:100.100}", end="", flush=True)
        elif mode == "custom" and retries % 4 == 0:
            print(line, flush=True)
    print()
    return results


def run(title: str, server: FlakyServer) -> tuple[RunSummary, int]:
    """Run once; print results and trace; return the run's figures and how many requests reached the server."""
    print(f"\n{title}\n")
    before = server.stats()["total"]
    results = asyncio.run(follow(server.url))
    requests = server.stats()["total"] - before
    found = [answer for answer in results.values() if not isinstance(answer, BaseException)]
    for answer in found[:SHOWN]:
        print(f"  {answer['city']:<14}{answer['temperature']:>5} °C {answer['wind']:>6} km/h")
    print(f"  ... {len(found) - SHOWN} more")
    for city, error in results.items():
        if isinstance(error, BaseException):
            print(f"  {city:<14}{type(error).__name__}: {str(error).splitlines()[0]}")
    print()

    holdfast.tracing.flush()
    store = TraceStore()
    summary = store.runs(1, name=weather.plan.name)[0]
    spans = store.spans(summary.trace_id)
    computed = store.durations(tree.origins(tree.build(spans)))
    print(render_run(spans, width=shutil.get_terminal_size((100, 24)).columns, color=sys.stdout.isatty(), durations=computed))
    return summary, requests


def main() -> None:
    """Run twice over an empty cache, then compare."""
    parser = argparse.ArgumentParser(description="A flaky API, retried, cached and traced.")
    parser.add_argument("--jaeger", action="store_true", help="send the traces to Jaeger on this machine as well")
    options = parser.parse_args()
    for backend in ("local", "jaeger") if options.jaeger else ("local",):
        holdfast.tracing.configure(backend, capture="values", lines=False)
    with FlakyServer() as server, TemporaryDirectory() as folder, closing(DiskCache(folder)) as cache:
        set_default_cache(cache)  # an empty one; yours stays as it is
        runs = [run("First run: the service misbehaves", server), run("Second run: the cache answers", server)]
        set_default_cache(None)

    print("\n  run      calls  attempts  retries  cache hits  requests at the server     took    saved")
    for name, (figures, requests) in zip(("first", "second"), runs, strict=True):
        s = figures.summary
        print(
            f"  {name:<7}{s.calls:>7}{s.attempts:>10}{s.retries:>9}{s.hits:>12}{requests:>24}{figures.duration_s:>7.2f} s{s.saved_s:>7.2f} s"
        )
    print("\nSee the first run again:       .venv/bin/holdfast show", runs[0][0].run_id[:13])
    print("Send the same to Jaeger:       docker run --rm -p 16686:16686 -p 4318:4318 jaegertracing/jaeger")
    print("                               make demo ARGS=--jaeger          (then open http://localhost:16686)")


if __name__ == "__main__":
    main()
