"""Traces of runs that are resumed: each execution is a trace of its own, linked to the one before."""

from __future__ import annotations

import pytest

from holdfast import Command, InMemorySaver, entrypoint, interrupt
from holdfast.testing.recording import observing

RUN_ID = "01980d2c-6d5e-7c1b-9a4e-0c8f3c3f7a10"
TRACE_ID = int(RUN_ID.replace("-", ""), 16)


@pytest.fixture
def saver():
    """Checkpoints in memory."""
    return InMemorySaver()


@pytest.fixture
def plan(saver):
    """Asks one question."""

    @entrypoint(saver)
    def plan(city: str) -> str:
        return f"{city}: {interrupt('really?')}"

    return plan


@pytest.fixture
def traced(recorder):
    """Calls a function while this kind of spans is made, and returns the last run's span."""

    def traced(call):
        with observing(recorder.observer()):
            call()
        return recorder.spans()[-1]

    return traced


def resumed_from(span):
    """What the attributes of a run say of the execution before."""
    return {name: value for name, value in span.attributes.items() if name.startswith("holdfast.resumed_from.")}


def named(span, run_id=RUN_ID):
    """The attributes by which a later execution names this one."""
    return {
        "holdfast.resumed_from.run_id": run_id,
        "holdfast.resumed_from.trace_id": f"{span.context.trace_id:032x}",
        "holdfast.resumed_from.span_id": f"{span.context.span_id:016x}",
    }


def test_a_resumed_run_is_a_trace_of_its_own_linked_to_the_one_before(plan, traced):
    """The first trace has the run's id; the second another one, and says by link and attributes where it went on from."""
    first = traced(lambda: plan.invoke("Oslo", thread_id="trip-1", run_id=RUN_ID))
    second = traced(lambda: plan.invoke(Command(resume="yes"), thread_id="trip-1"))
    (link,) = second.links

    assert TRACE_ID == first.context.trace_id != second.context.trace_id
    assert (first.context.trace_id, first.context.span_id) == (link.context.trace_id, link.context.span_id)
    assert {"holdfast.link.type": "resumed_from"} == dict(link.attributes)
    assert named(first) == resumed_from(second)
    assert ("trip-1", RUN_ID) == (second.attributes["holdfast.thread.id"], second.attributes["holdfast.run.id"])
    assert ((), {}) == (tuple(first.links), resumed_from(first))


def test_each_execution_is_linked_to_the_last_one(plan, traced):
    """Not to the first: the chain has every execution."""
    traced(lambda: plan.invoke("Oslo", thread_id="trip-1", run_id=RUN_ID))
    second = traced(lambda: plan.invoke(None, thread_id="trip-1"))
    third = traced(lambda: plan.invoke(None, thread_id="trip-1"))

    assert named(second) == resumed_from(third)


def test_a_branch_names_the_run_that_it_goes_on_from(plan, traced, recorder):
    """It is another run, whose trace has its own id."""
    first = traced(lambda: plan.invoke("Oslo", thread_id="trip-1", run_id=RUN_ID))
    waiting = plan.get_state(thread_id="trip-1").config
    plan.invoke("Lima", thread_id="trip-1")
    branch = traced(lambda: plan.invoke(Command(resume="yes"), waiting))

    assert named(first) == resumed_from(branch)
    assert f"{branch.context.trace_id:032x}" == branch.attributes["holdfast.run.id"].replace("-", "")
    assert 2 == len(recorder.spans())


def test_a_new_input_goes_on_from_nothing(plan, traced):
    """It takes the place of the run that waits, and does none of its work."""
    traced(lambda: plan.invoke("Oslo", thread_id="trip-1"))
    new = traced(lambda: plan.invoke("Lima", thread_id="trip-1"))

    assert ((), {}) == (tuple(new.links), resumed_from(new))


def test_what_nobody_traced_is_not_linked_to(plan, traced):
    """The run is named all the same, and its id is free for the trace."""
    plan.invoke("Oslo", thread_id="trip-1", run_id=RUN_ID)
    span = traced(lambda: plan.invoke(None, thread_id="trip-1"))

    assert ((), {"holdfast.resumed_from.run_id": RUN_ID}) == (tuple(span.links), resumed_from(span))
    assert TRACE_ID == span.context.trace_id


def test_a_trace_that_ended_is_forgotten_when_nobody_traces_on(plan, traced):
    """The last execution is what a link leads to, and that one has no trace."""
    traced(lambda: plan.invoke("Oslo", thread_id="trip-1", run_id=RUN_ID))
    plan.invoke(None, thread_id="trip-1")
    span = traced(lambda: plan.invoke(None, thread_id="trip-1"))

    assert () == tuple(span.links)


def test_the_span_of_a_run_begins_with_its_record(plan, saver, traced):
    """What is kept is the very span: so that it can be ended by somebody else."""
    span = traced(lambda: plan.invoke("Oslo", thread_id="trip-1", run_id=RUN_ID))
    kept = saver.latest("trip-1").trace

    assert all(f'"{part}"' in kept for part in (f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"))
    assert str(span.start_time) in kept


def test_links_of_users_stay(plan, recorder):
    """Those that the body adds to its span stand beside ours."""
    from opentelemetry import trace

    @entrypoint(InMemorySaver())
    def linked(_: str) -> str:
        trace.get_current_span().add_link(trace.SpanContext(1, 2, is_remote=True))
        return interrupt("really?")

    with observing(recorder.observer()):
        linked.invoke("Oslo", thread_id="t")
        linked.invoke(None, thread_id="t")
    (_, second) = recorder.spans()

    assert {(1, 2), (recorder.spans()[0].context.trace_id, recorder.spans()[0].context.span_id)} == {
        (link.context.trace_id, link.context.span_id) for link in second.links
    }
