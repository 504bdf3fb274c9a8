"""The table of names is what is emitted and what is documented."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from holdfast.errors import NodeTimeoutError
from holdfast.events import WARNING, Note
from holdfast.tracing import convention

NAMES = [attribute.name for attribute in convention.ATTRIBUTES]
PAGE = Path(__file__).parents[2] / "docs" / "tracing.md"
TYPES = {"str": str, "int": int, "float": float, "bool": bool}


def test_no_name_is_the_beginning_of_another():
    """Some backends unfold the dots, where ``a.b`` and ``a.b.c`` cannot both have a value."""
    assert [] == [(one, other) for one in NAMES for other in NAMES if other.startswith(f"{one}.")]


def test_every_name_stands_once():
    """One meaning each."""
    assert sorted(set(NAMES)) == sorted(NAMES)


def test_the_documentation_has_the_same_table():
    """Replace the table in docs/tracing.md by what `convention.markdown` returns when this fails."""
    assert convention.markdown() in PAGE.read_text(encoding="utf-8")


def test_the_documentation_names_every_event_and_line():
    """With its exact name."""
    page = PAGE.read_text(encoding="utf-8")

    assert [] == [name for name in EVENTS if f"`{name}`" not in page]


EVENTS = [value for name, value in vars(convention).items() if name.startswith(("EVENT_", "LINE_"))]


@pytest.fixture
def everything(play, recorder, settings):
    """All that can be told, played once."""
    settings.max_hit_spans = 1
    with play.run(thread_id="trip-1", capture="values", names=("cities",), arguments=(["x" * 3000],)) as run:
        run.output, run.resumed, run.cache_hits, run.replayed = 1, True, 2, 1
        with play.call(run, "plan", is_body=True, max_attempts=2) as body:
            play.failing(body, OSError("x"), will_retry=True, wait_s=1.0, reason="transient", policy="RetryPolicy 1 of 2")
            body.waited_s, body.stop_reason = 1.0, "max_attempts"
        timeout = NodeTimeoutError("forecast", 0.5)
        with play.call(
            run, max_attempts=3, kind="tool", capture="values", names=("city",), arguments=("Oslo",), cache="miss", cache_ttl_s=60.0,
            cache_namespace="app.forecast:1", cache_key=b"k" * 16, outcome="timeout", error=timeout, stop_reason="max_attempts", waited_s=1.0,
        ) as call:  # fmt: skip
            call.begun_ns = call.started_ns + 10**9
            call.cache_stored, call.cache_size = True, 10
            play.observer.noted(Note(event="holdfast.cache.error", level=WARNING, text="gone", fields={"path": "x"}, call=call))
            play.failing(call, ConnectionError("x"), will_retry=True, wait_s=0.5, reason="transient", policy="RetryPolicy 1 of 2")
            with play.attempt(call, outcome="timeout", timeout_s=0.5, deadline_s=3.0) as attempt:
                attempt.error, attempt.abandoned = timeout, True
        for _ in range(2):
            with play.call(run, "hit", capture="values", cache="hit", cache_tier="disk", cache_age_s=1.0, cache_ttl_s=60.0) as call:
                call.origin_trace_id, call.origin_span_id, call.result = "ab", "cd", 1
        with play.call(run, "single", outcome="cancelled", error=asyncio.CancelledError()) as call, play.attempt(call):
            pass
    return recorder.spans()


def emitted(spans):
    """Every attribute with the letter of where it was: R, T, A, E or L."""
    for span in spans:
        letter = span.attributes["holdfast.span.type"][0].upper()
        yield from ((letter, name, value) for name, value in span.attributes.items())
        yield from (("E", name, value) for event in span.events for name, value in event.attributes.items())
        yield from (("L", name, value) for link in span.links for name, value in link.attributes.items())


def test_what_is_emitted_is_the_table(everything):
    """Nothing undocumented is emitted, and nothing is documented that never is."""
    assert set(NAMES) == {name for _, name, _ in emitted(everything)}


def test_values_have_the_documented_type(everything):
    """Backends index by type."""
    kinds = {attribute.name: TYPES[attribute.type] for attribute in convention.ATTRIBUTES}

    assert [] == [(name, value) for _, name, value in emitted(everything) if type(value) is not kinds[name]]


def test_names_stand_where_the_table_says(everything):
    """On runs, tasks, attempts, events and links."""
    where = {attribute.name: set(re.findall(r"[RTAEL]", attribute.where)) for attribute in convention.ATTRIBUTES}

    assert set() == {(letter, name) for letter, name, _ in emitted(everything) if letter not in where[name]}


def test_events_are_named_in_the_convention(everything):
    """Apart from those that carry a note's own name."""
    names = {event.name for span in everything for event in span.events}

    assert {"exception", "holdfast.retry.scheduled", "holdfast.retry.exhausted", "holdfast.task.timeout", "holdfast.cache.error"} == names
