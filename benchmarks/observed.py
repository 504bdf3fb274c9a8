"""One call that is traced: what the caller waits for, and what it costs until everything is written."""

from __future__ import annotations

import asyncio
import json
import tempfile
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import repeat
from time import perf_counter
from typing import Any

from benchmarks.calls import CITY, forecast, forecast_async
from benchmarks.harness import Contestant, Guard, Make, Measure, Row, async_loop, loop

HAND_MADE = "tenacity + OpenTelemetry"
CALLS = 500
"""Calls in one measurement: their spans and lines fit into every queue, so nothing is dropped."""
SDK_CALLS = 150
"""The same where they leave through the SDK's batch processor: fewer spans than a batch (512), so that it sends them after the calls."""


def batches(stack: ExitStack, fn: Callable[..., Any], flush: Callable[[], object], *, is_async: bool, until_written: bool) -> Measure:
    """A measure that empties the queues after each batch of calls, inside or outside the time taken."""
    measure_calls = async_loop(stack, fn, CITY) if is_async else loop(fn, CITY)

    def measure(count: int) -> float:
        taken = measure_calls(count)
        started = perf_counter()
        flush()
        return taken + (perf_counter() - started if until_written else 0.0)

    return measure


def bare(*, is_async: bool) -> Make:
    """The function alone."""
    return lambda stack: async_loop(stack, forecast_async, CITY) if is_async else loop(forecast, CITY)


def local(*, is_async: bool, until_written: bool, lines: bool | str = True) -> Make:
    """``@resilient`` with the local trace store and lines on stderr, which is a file here.

    A call that succeeds writes lines only with ``lines="debug"``: one for the call, and those of its attempt.
    """

    def make(stack: ExitStack) -> Measure:
        import holdfast

        configure_local(stack, lines)
        fn = holdfast.resilient(forecast_async if is_async else forecast)
        return batches(stack, fn, holdfast.flush, is_async=is_async, until_written=until_written)

    return make


def configure_local(stack: ExitStack, lines: bool | str) -> None:
    """Trace to the local store."""
    import holdfast.tracing

    stack.enter_context(holdfast.tracing.configure(lines=lines))


def batch_provider(stack: ExitStack, *, is_sampled: bool = True, has_another: bool = False) -> Any:
    """A tracer provider with the SDK's batch processor, in front of an exporter that reads spans and drops them.

    Perhaps with a sampler that wants none, or with another processor, which could look at spans when they begin, and does nothing.
    """
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    class Nowhere(SpanExporter):
        def export(self, spans: Sequence[Any]) -> SpanExportResult:
            for span in spans:
                dict(span.attributes)
            return SpanExportResult.SUCCESS

    provider = TracerProvider(shutdown_on_exit=False, sampler=None if is_sampled else ALWAYS_OFF)
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    if has_another:
        provider.add_span_processor(SpanProcessor())
    stack.callback(provider.shutdown)
    return provider


def entrypoint_of_one(*, is_async: bool) -> Callable[[str], Any]:
    """Invokes an entrypoint whose body makes one call."""
    from holdfast import RetryPolicy, entrypoint, task

    policy = RetryPolicy()
    if is_async:
        step_async = task(retry_policy=policy)(forecast_async)

        @entrypoint()
        async def plan_async(city: str) -> str:
            return await step_async(city)

        return plan_async.ainvoke

    step = task(retry_policy=policy)(forecast)

    @entrypoint()
    def plan(city: str) -> str:
        return step(city).result()

    return plan.invoke


def run_of_one(*, is_async: bool, until_written: bool, has_another: bool = False) -> Make:
    """A run of one call in an application whose tracer provider is the global one: run, task and attempt."""

    def make(stack: ExitStack) -> Measure:
        provider = global_provider(stack, has_another=has_another)
        fn = entrypoint_of_one(is_async=is_async)
        return batches(stack, fn, provider.force_flush, is_async=is_async, until_written=until_written)

    return make


def resilient_batch(*, is_async: bool, until_written: bool, is_sampled: bool = True, has_another: bool = False) -> Make:
    """``@resilient`` in such an application: task and attempt."""

    def make(stack: ExitStack) -> Measure:
        import holdfast

        provider = global_provider(stack, is_sampled=is_sampled, has_another=has_another)
        fn = holdfast.resilient(forecast_async if is_async else forecast)
        return batches(stack, fn, provider.force_flush, is_async=is_async, until_written=until_written)

    return make


def global_provider(stack: ExitStack, *, is_sampled: bool = True, has_another: bool = False) -> Any:
    """The same as the application's."""
    from opentelemetry import trace

    provider = batch_provider(stack, is_sampled=is_sampled, has_another=has_another)
    trace.set_tracer_provider(provider)
    return provider


def hand_made(*, is_async: bool, until_written: bool, spans: int, with_line: bool, is_sampled: bool = True) -> Make:
    """Tenacity with a span around the call, one around each attempt, with three one around the run, and, if asked, a JSON line in a file."""

    def make(stack: ExitStack) -> Measure:
        provider = batch_provider(stack, is_sampled=is_sampled)
        tracer = provider.get_tracer("benchmarks")
        log = _json_lines(stack) if with_line else None
        fn = (_hand_made_async if is_async else _hand_made)(tracer, log, with_run=spans == 3)
        return batches(stack, fn, provider.force_flush, is_async=is_async, until_written=until_written)

    return make


def _json_lines(stack: ExitStack) -> Any:
    import structlog

    log = stack.enter_context(tempfile.TemporaryFile("w"))  # noqa: SIM115 - the stack closes it
    processors = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.JSONRenderer(json.dumps),
    ]
    return structlog.wrap_logger(structlog.WriteLogger(log), processors=processors, cache_logger_on_first_use=True)


def _retry() -> Any:
    import tenacity

    return tenacity.retry(stop=tenacity.stop_after_attempt(3), wait=tenacity.wait_exponential_jitter(), reraise=True)


def _hand_made(tracer: Any, log: Any, *, with_run: bool) -> Callable[[str], Any]:
    @_retry()
    def attempt(city: str) -> str:
        with tracer.start_as_current_span("attempt", attributes={"attempt": 1}):
            return forecast(city)

    def call(city: str) -> str:
        with tracer.start_as_current_span("forecast", attributes={"task": "forecast", "max_attempts": 3}):
            value = attempt(city)
            if log is not None:
                log.info("task.ok", task="forecast", attempts=1)
            return value

    def run(city: str) -> str:
        with tracer.start_as_current_span("run", attributes={"run_id": str(uuid.uuid4())}):
            return call(city)

    return run if with_run else call


def _hand_made_async(tracer: Any, log: Any, *, with_run: bool) -> Callable[[str], Any]:
    @_retry()
    async def attempt(city: str) -> str:
        with tracer.start_as_current_span("attempt", attributes={"attempt": 1}):
            return await forecast_async(city)

    async def call(city: str) -> str:
        with tracer.start_as_current_span("forecast", attributes={"task": "forecast", "max_attempts": 3}):
            value = await attempt(city)
            if log is not None:
                log.info("task.ok", task="forecast", attempts=1)
            return value

    async def run(city: str) -> str:
        with tracer.start_as_current_span("run", attributes={"run_id": str(uuid.uuid4())}):
            return await call(city)

    return run if with_run else call


BARE = "three bare spans"
_TEXT = "01980d2c-6d5e-7c1b-9a4e-0c8f3c3f7a10"
AT_START = (5, 8, 8)
AT_END = (5, 2, 1)
"""How many attributes the spans of a run, its call and the attempt have from the start, and beside these at the end: what `run_of_one` leaves."""


def bare_spans(*, is_async: bool) -> Make:
    """Three spans of the SDK inside one another with as many attributes, and nothing else: what no library that makes them can do without."""
    started = [{f"holdfast.attribute.{n}": _TEXT for n in range(number)} for number in AT_START]
    ended = [{f"holdfast.at_end.{n}": _TEXT for n in range(number)} for number in AT_END]

    def make(stack: ExitStack) -> Measure:
        from opentelemetry import trace

        provider = batch_provider(stack)
        tracer = provider.get_tracer("benchmarks")

        def begin() -> list[Any]:
            spans: list[Any] = []
            for known in started:
                around = trace.set_span_in_context(spans[-1]) if spans else None
                spans.append(tracer.start_span("forecast attempt 1", around, attributes=known))
            return spans

        def end(spans: list[Any]) -> None:
            for span, known in zip(reversed(spans), reversed(ended), strict=True):
                span.set_attributes(known)
                span.end()

        def run(city: str) -> str:
            spans = begin()
            value = forecast(city)
            end(spans)
            return value

        async def run_async(city: str) -> str:
            spans = begin()
            value = await forecast_async(city)
            end(spans)
            return value

        return batches(stack, run_async if is_async else run, provider.force_flush, is_async=is_async, until_written=False)

    return make


def untraced_run(*, is_async: bool) -> Make:
    """A run of one call while nobody observes: what tracing adds to."""

    def make(stack: ExitStack) -> Measure:
        fn = entrypoint_of_one(is_async=is_async)
        return async_loop(stack, fn, CITY) if is_async else loop(fn, CITY)

    return make


def untraced_invoke(*, is_async: bool) -> Make:
    """The same by ``task.invoke``."""

    def make(stack: ExitStack) -> Measure:
        from holdfast import RetryPolicy, task

        if is_async:
            return async_loop(stack, task(retry_policy=RetryPolicy())(forecast_async).ainvoke, CITY)
        return loop(task(retry_policy=RetryPolicy())(forecast).invoke, CITY)

    return make


def spawned(stack: ExitStack) -> Measure:
    """An asyncio task and nothing else: what any run of one async task must pay."""
    runner = stack.enter_context(asyncio.Runner())

    async def go(count: int) -> float:
        started = perf_counter()
        for _ in repeat(None, count):
            await asyncio.create_task(forecast_async(CITY))
        return perf_counter() - started

    return lambda count: runner.run(go(count))


Maker = Callable[..., Make]


def _row(
    name: str,
    colour: str,
    ours: Maker,
    *,
    spans: int,
    target: float | None,
    most: float | None = None,
    until_written: bool = False,
    with_line: bool = False,
    with_floor: bool = False,
    calls: int = SDK_CALLS,
) -> Row:
    is_async = colour == "async"
    peer = f"{HAND_MADE} + structlog" if with_line else HAND_MADE
    return Row(
        name=f"{name}, {colour}{', until all is written' if until_written else ''}",
        target=target,
        guards=() if most is None else (Guard(peer, most),),
        contestants={
            "bare": Contestant(bare(is_async=is_async)),
            "holdfast": Contestant(ours(is_async=is_async, until_written=until_written), calls),
            peer: Contestant(hand_made(is_async=is_async, until_written=until_written, spans=spans, with_line=with_line), calls),
        }
        | ({BARE: Contestant(bare_spans(is_async=is_async), calls)} if with_floor else {}),
        note="the other side's spans are not stored" if until_written and spans == 2 else "",
    )


def _sampled_out_row(colour: str) -> Row:
    """What a call costs whose spans the provider's sampler does not want."""
    how = {"is_async": colour == "async", "until_written": False, "is_sampled": False}
    return Row(
        name=f"call, SDK batch export, sampled out, {colour}",
        contestants={
            "bare": Contestant(bare(is_async=how["is_async"])),
            "holdfast": Contestant(resilient_batch(**how), SDK_CALLS),
            HAND_MADE: Contestant(hand_made(spans=2, with_line=False, **how), SDK_CALLS),
        },
    )


def _run_row(colour: str) -> Row:
    is_async = colour == "async"
    return Row(
        name=f"run of one task, unobserved, {colour}",
        contestants={
            "bare": Contestant(bare(is_async=is_async)),
            "holdfast": Contestant(untraced_run(is_async=is_async)),
            "holdfast, task.invoke": Contestant(untraced_invoke(is_async=is_async)),
        }
        | ({"asyncio.create_task": Contestant(spawned)} if is_async else {}),
    )


COLOURS = ("sync", "async")

ROWS = [
    *[
        _row("call, local store", colour, local, spans=2, target=5, most=0.12, calls=CALLS) for colour in COLOURS
    ],  # with records it would be 0.14
    *[_row("call, local store", colour, local, spans=2, target=None, until_written=True, calls=CALLS) for colour in COLOURS],
    *[
        _row("call, local store and all lines", colour, partial(local, lines="debug"), spans=2, target=5, with_line=True, calls=CALLS)
        for colour in COLOURS
    ],
    *[_row("call, SDK batch export", colour, resilient_batch, spans=2, target=None) for colour in COLOURS],
    *[
        _row("call, SDK batch export and another processor", colour, partial(resilient_batch, has_another=True), spans=2, target=None)
        for colour in COLOURS
    ],
    *[_sampled_out_row(colour) for colour in COLOURS],
    *[
        _row("run + call + attempt, SDK batch export", colour, run_of_one, spans=3, target=70, most=2, with_floor=True)
        for colour in COLOURS
    ],
    *[_row("run + call + attempt, SDK batch export", colour, run_of_one, spans=3, target=None, until_written=True) for colour in COLOURS],
    *[_run_row(colour) for colour in COLOURS],
]
