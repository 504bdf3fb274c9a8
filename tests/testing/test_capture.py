"""captured: the spans and lines of real runs, as literals."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from holdfast import RetryPolicy, entrypoint, events, resilient, task
from holdfast.testing import FakeClock, captured, flaky, recorded

RETRY = RetryPolicy(max_attempts=3)


def run_plan(colour, **options):
    """An entrypoint that calls one task, which fails once."""
    with FakeClock(), captured(**options) as seen:
        forecast = task(name="forecast", retry_policy=RETRY)(colour.flaky(1, ConnectionError("reset"), {"temp": 3}))
        if colour.is_async:

            @entrypoint
            async def plan(city):
                return await forecast(city)
        else:

            @entrypoint
            def plan(city):
                return forecast(city).result()

        assert {"temp": 3} == colour.invoke(plan, "Oslo")
    return seen


def test_spans_are_literals(colour):
    """Nested as the run was, without ids and times."""
    seen = run_plan(colour)
    decision = {"holdfast.retry.wait_s": 0.5, "holdfast.retry.reason": "transient"}

    assert [
        {
            "name": "run plan",
            "attributes": {
                "holdfast.attempt.number": 1,
                "holdfast.attempt.outcome": "ok",
                "holdfast.attempt.count": 1,
                "holdfast.run.outcome": "ok",
                "holdfast.run.calls": 1,
            },
            "children": [
                {
                    "name": "forecast",
                    "attributes": {
                        "holdfast.attempt.max": 3,
                        "holdfast.attempt.count": 2,
                        "holdfast.task.outcome": "ok",
                        "holdfast.retry.count": 1,
                        "holdfast.retry.waited_s": 0.5,
                    },
                    "events": [
                        ("holdfast.retry.scheduled", {"holdfast.attempt.number": 1, "error.type": "ConnectionError", **decision}),
                    ],
                    "children": [
                        {
                            "name": "forecast attempt 1",
                            "status": "error",
                            "attributes": {
                                "holdfast.attempt.number": 1,
                                "holdfast.attempt.max": 3,
                                "holdfast.attempt.outcome": "error",
                                "error.type": "ConnectionError",
                                "holdfast.retry.scheduled": True,
                                **decision,
                            },
                            "events": [("exception", {"exception.type": "ConnectionError", "exception.message": "reset"})],
                        },
                        {
                            "name": "forecast attempt 2",
                            "attributes": {
                                "holdfast.attempt.number": 2,
                                "holdfast.attempt.max": 3,
                                "holdfast.attempt.outcome": "ok",
                                "holdfast.retry.count": 1,
                            },
                        },
                    ],
                }
            ],
        }
    ] == seen.spans


def test_lines_are_literals(colour):
    """As structlog's renderer would get them, with virtual durations and without ids."""
    seen = run_plan(colour)
    warnings = [line for line in seen.lines if line["log_level"] == "warning"]

    assert [
        {
            "event": "holdfast.retry.scheduled",
            "log_level": "warning",
            "workflow": "plan",
            "task": "forecast",
            "attempt": 1,
            "max_attempts": 3,
            "wait_s": 0.5,
            "reason": "transient",
            "duration_s": 0.0,
            "error_type": "ConnectionError",
            "error": "reset",
        }
    ] == warnings
    assert {"event": "holdfast.run.completed", "log_level": "info", "workflow": "plan", "outcome": "ok", "calls": 1, "duration_s": 0.5} == (
        seen.lines[-1]
    )


def test_two_equal_runs_compare_equal(colour):
    """Nothing of chance is left in what is captured."""
    first, second = run_plan(colour), run_plan(colour)

    assert first.spans == second.spans
    assert first.lines == second.lines
    assert first.facts == second.facts
    assert first.tree() == second.tree()


def test_facts_and_tree_come_along(colour):
    """Capturing is recording and more."""
    expected = """\
run plan ok
  forecast ok attempts=2 waited=0.5
    attempt 1 error ConnectionError -> retry in 0.5
    attempt 2 ok"""

    assert expected == run_plan(colour).tree()


def test_children_are_in_the_order_of_the_calls():
    """Although the later calls end first."""
    with FakeClock() as clock, captured() as seen:

        @task
        async def wait(seconds):
            await clock.sleep_async(seconds)

        @entrypoint
        async def plan():
            await asyncio.gather(wait(3), wait.options(name="second")(2), wait.options(name="third")(1))

        asyncio.run(plan.ainvoke())

    assert ["wait", "second", "third"] == [child["name"] for child in seen.spans[0]["children"]]


@pytest.mark.parametrize(("capture", "expected"), [("none", None), ("values", '{"args":["Oslo"],"kwargs":{}}')])
def test_values_are_captured_on_request(colour, capture, expected):
    """By default no argument is on any span."""
    (forecast,) = run_plan(colour, capture=capture).spans[0]["children"]

    assert expected == forecast["attributes"].get("holdfast.input")


def test_bound_context_is_on_the_lines():
    """What the application binds with structlog's contextvars."""
    with captured() as seen, structlog.contextvars.bound_contextvars(request="r-1"):
        resilient(flaky(0))()

    assert {"r-1"} == {line["request"] for line in seen.lines}


def test_the_observer_before_is_left_out_and_comes_back():
    """Both would keep their state in the same place."""
    with recorded() as outer:
        before = events.observer
        with captured():
            resilient(flaky(0))()
        assert before is events.observer

    assert [] == outer.facts


def test_clear_forgets_spans_and_lines():
    """For tests with a part to set up."""
    with captured() as seen:
        resilient(flaky(0))()
        seen.clear()

    assert ([], [], [], "") == (seen.spans, seen.lines, seen.facts, seen.tree())
