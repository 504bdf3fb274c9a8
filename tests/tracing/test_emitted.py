"""Nothing is emitted that the convention does not have, and nothing is in it that is never emitted: real runs of every kind."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import re
import tempfile
import threading
import time
from pathlib import Path

import pytest
import structlog

import holdfast
import holdfast.tracing
from holdfast import (
    CachePolicy,
    Command,
    DiskCache,
    InDoubt,
    InMemoryCache,
    InMemorySaver,
    NodeTimeoutError,
    RetryPolicy,
    entrypoint,
    events,
    interrupt,
    resilient,
    task,
)
from holdfast.events import WARNING
from holdfast.tracing import convention, happenings
from holdfast.tracing.logs.lines import LineObserver
from holdfast.tracing.safety.guard import Guarded
from tests.waiting import until_async

KINDS = {"str": str, "int": int, "float": float, "bool": bool}
PAGE = (Path(__file__).parents[2] / "docs" / "tracing.md").read_text(encoding="utf-8")
TWICE = RetryPolicy(max_attempts=2, initial_interval=0.001, retry_on=ConnectionError)
CACHE = CachePolicy(ttl=60, negative_ttl=60, version="1")


def broken_key(**_):
    raise ValueError("no key")


class Tasks:
    """The same tasks in both colours; ``pause`` waits, ``failing`` fails as often as it is told to."""

    def __init__(self, colour) -> None:
        define = colour.define
        self.failures = []

        def body(n, *, big=""):
            if self.failures:
                raise self.failures.pop()
            return f"{n}{big}"

        self.plain = task(name="plain")(define(body))
        self.tool = task(name="tool", kind="tool", capture="values")(define(body))
        self.retried = task(name="retried", kind="client", retry_policy=TWICE, deadline=60)(define(body))
        self.many = task(name="many", retry_policy=(TWICE, RetryPolicy(retry_on=OSError, max_attempts=2, initial_interval=0.001)))(
            define(body)
        )
        self.cached = task(name="cached", cache_policy=CACHE)(define(body))
        self.unkeyed = task(name="unkeyed", cache_policy=CachePolicy(ttl=60, version="1", key_func=broken_key))(define(body))
        self.once = task(name="once", delivery="at-most-once")(define(body))
        self.alone = resilient(name="alone", retry_policy=TWICE)(define(body))
        self.asking = task(name="asking")(define(interrupt))


def run_everything(colour):
    """Runs of every kind, with all kinds of calls."""
    tasks, saver = Tasks(colour), InMemorySaver()
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(DiskCache(folder)) as cache:
        calm_and_failing(tasks, cache)
    resumed(tasks, saver)
    slow(colour)
    with contextlib.suppress(ConnectionError):
        tasks.failures += [ConnectionError("no"), ConnectionError("no")]
        colour.run(tasks.alone, 1)


def calm_and_failing(tasks, cache):
    @entrypoint(name="calm", cache=cache, capture="values")
    def calm(given):
        tasks.failures += [ConnectionError("reset")]
        tasks.retried(1).result()
        tasks.failures += [OSError("x"), ConnectionError("y")]
        tasks.many(1).result()
        tasks.plain(1).result()
        tasks.tool(1, big="x" * 3000).result()
        for _ in range(6):
            tasks.cached(1).result()
        tasks.failures += [KeyError("remembered")]
        for _ in range(2):
            with contextlib.suppress(KeyError):
                tasks.cached(2).result()
        tasks.unkeyed(1).result()
        events.note("holdfast.cache.error", WARNING, "the cache is locked", path="cache.db")
        return given

    @entrypoint(name="failing", retry_policy=TWICE, timeout=60)
    def failing():
        tasks.failures += [ConnectionError("a"), ConnectionError("b")]
        tasks.retried(2).result()

    calm.invoke({"x": 1})
    with contextlib.suppress(ConnectionError):
        failing.invoke()


def resumed(tasks, saver):
    @entrypoint(name="resumed", checkpointer=saver)
    def asks(n):
        tasks.once(n).result()
        tasks.plain(n).result()
        return tasks.asking(n).result()

    asks.invoke(1, thread_id="t")
    asks.invoke(Command(resume="yes"), thread_id="t")

    begun = threading.Event()  # each execution has a loop of its own

    @task(name="doubtful", delivery="at-most-once")
    async def doubtful():
        begun.set()
        await asyncio.sleep(60)

    @entrypoint(name="in_doubt", checkpointer=saver)
    async def in_doubt():
        future = doubtful()
        await until_async(lambda: begun.is_set() or future.done())
        begun.clear()
        future.cancel()
        await future

    for given in (holdfast.Input(None), None):
        with contextlib.suppress(InDoubt, asyncio.CancelledError):
            in_doubt.invoke(given, thread_id="d") if given is None else in_doubt.invoke(thread_id="d")


def slow(colour):
    release = threading.Event()
    wait = task(name="wait", timeout=0.02)(lambda _: release.wait(60))  # its thread is left behind

    all_asked = threading.Event()

    @task(name="nap", cache_policy=CACHE)
    def nap(n):
        assert all_asked.wait(60)
        time.sleep(0.02)  # what is behind it has queued so long, at least

    @task(name="nap", cache_policy=CACHE)
    async def nap_async(n):
        await until_async(all_asked.is_set)
        await asyncio.sleep(0.02)

    @entrypoint(name="slow", max_concurrency=1, cache=InMemoryCache())
    def run():
        with contextlib.suppress(NodeTimeoutError):
            wait(1).result()
        release.set()
        fetch = nap_async if colour.is_async else nap
        futures = [fetch(1), fetch(1), fetch(2)]
        all_asked.set()
        for future in futures:
            future.result()

    run.invoke()


@pytest.fixture
def seen(recorder, settings, colour):
    """Spans and lines of all that."""
    lines = []

    def keep(_logger, method, event):
        lines.append((method, dict(event)))
        raise structlog.DropEvent

    settings.max_hit_spans = 4
    logger = structlog.wrap_logger(None, processors=[keep], wrapper_class=structlog.BoundLogger).bind()
    guarded = Guarded(recorder.observer(settings), LineObserver(logger=logger))
    before = events.observe(guarded)
    try:
        run_everything(colour)
    finally:
        events.observe(before)
    assert 0 == guarded.failures
    return recorder.spans(), lines


def emitted(spans):
    """Every attribute with the letter of where it was: R, T, A, E or L."""
    for span in spans:
        letter = span.attributes["holdfast.span.type"][0].upper()
        yield from ((letter, name, value) for name, value in span.attributes.items())
        yield from (("E", name, value) for event in span.events for name, value in event.attributes.items())
        yield from (("L", name, value) for link in span.links for name, value in link.attributes.items())


def letters(where):
    return set(re.findall(r"[RTAEL]", where))


def test_attributes_are_those_of_the_table(seen):
    """With their type, where the table says, and all of them."""
    spans, _ = seen
    table = {attribute.name: attribute for attribute in convention.ATTRIBUTES}
    found = list(emitted(spans))

    assert set() == {name for _, name, _ in found} - set(table)
    assert [] == [(name, value) for _, name, value in found if type(value) is not KINDS[table[name].type]]
    assert set() == {(letter, name) for letter, name, _ in found if letter not in letters(table[name].where)}
    assert set() == set(table) - {name for _, name, _ in found}


def test_words_are_those_of_the_table(seen):
    """Of attributes whose values are a few words, those words."""
    spans, _ = seen
    outcomes = {"run": "run", "task": "task", "attempt": "attempt"}
    table = {attribute.name: attribute.meaning for attribute in convention.ATTRIBUTES}
    for name in (*(f"holdfast.{each}.outcome" for each in outcomes), convention.CACHE_RESULT, convention.LINK_TYPE, convention.SPAN_TYPE):
        words = {value for _, each, value in emitted(spans) if each == name}
        assert [] == [word for word in words if f"`{word}`" not in table[name]], name


def test_events_are_those_of_the_table(seen):
    """Where it says."""
    spans, _ = seen
    where = {each.name: letters(each.where) for each in happenings.HAPPENINGS}
    found = {(span.attributes["holdfast.span.type"][0].upper(), event.name) for span in spans for event in span.events}

    assert set() == {name for _, name in found} - set(where)
    assert set() == {(letter, name) for letter, name in found if letter not in where[name]}
    assert {name for name, places in where.items() if places and not name.startswith("holdfast.")} <= {name for _, name in found}


def test_lines_are_those_of_the_table(seen):
    """With its level, and fields that the page names."""
    _, lines = seen
    levels = {each.name: each.level.lower() for each in happenings.HAPPENINGS}
    fields = {name for _, line in lines for name in line} - {"event", "path", "text", "reason", "error_type"}

    assert [] == [(line["event"], method) for method, line in lines if levels[line["event"]] != method]
    assert {each.name for each in happenings._OWN if each.level} <= {line["event"] for _, line in lines}
    assert [] == [name for name in fields if f"`{name}`" not in PAGE]


def test_interrupted_and_cancelled_are_never_errors(seen):
    """Of no run, task or attempt."""
    spans, _ = seen
    calm = [
        span
        for span in spans
        if {"interrupted", "cancelled"} & {span.attributes.get(f"holdfast.{each}.outcome") for each in ("run", "task", "attempt")}
    ]

    assert {"run resumed", "asking", "doubtful"} <= {span.name for span in calm}
    assert [] == [span.name for span in calm if span.name != "run in_doubt" and (not span.status.is_ok or "error.type" in span.attributes)]
    assert [] == [span.name for span in calm for event in span.events if event.name == "exception"]


def test_the_table_of_happenings_is_on_the_page():
    """Replace the table in docs/tracing.md by what `happenings.markdown` returns when this fails."""
    assert happenings.markdown() in PAGE


def test_examples_have_the_type_of_their_attribute():
    """A number is one, and a float shows its point."""
    patterns = {"int": r"\d+", "float": r"\d+\.\d+", "bool": r"true|false", "str": r".+"}

    assert [] == [each for each in convention.ATTRIBUTES if not re.fullmatch(patterns[each.type], each.example)]


ELSEWHERE = {("EVENT", "WARNING"), ("event", "DEBUG if held_back is None else events.WARNING")}
"""Notes whose name is that of whoever asks for them."""


def notes_in(path):
    """Names and levels of the notes that a module emits, as they are written there."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if called == "events.note":
            yield ast.unparse(node.args[0]).strip("'"), ast.unparse(node.args[1]).removeprefix("events.")
        elif called == "_warn":  # of what a busy function would repeat
            yield node.args[0].value, "WARNING"


def test_every_note_of_the_package_is_in_the_table():
    """With the level that the code gives it, where it stands there as a literal."""
    package = Path(holdfast.__file__).parent
    found = {(name, level) for path in package.rglob("*.py") for name, level in notes_in(path)} - ELSEWHERE
    table = {(each.name, each.level) for each in happenings.HAPPENINGS if each.where in {"RTA", "RT"}}

    assert {("holdfast.traces.lost", "level")} == found - table
    assert {"holdfast.cache.error", "holdfast.retry.exhausted", "holdfast.traces.lost"} == {name for name, _ in table - found}


@pytest.mark.parametrize("kind", ["light", "sdk"])
def test_the_scope_has_the_schemas_address(fresh, receiver, monkeypatch, kind):
    """Whoever makes the spans."""
    if kind == "sdk":
        monkeypatch.setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "128")
    with holdfast.tracing.configure("otlp", endpoint=receiver.endpoint, lines=False) as handle:
        resilient(name="fetch")(lambda: 1)()
        assert handle.flush(60)

    assert {("holdfast", "holdfast/1")} == {(scope.scope.name, scope.schema_url) for scope in receiver.scopes()}
