"""Spans from facts, compared as literals."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import weakref

import pytest
from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from holdfast.errors import NodeTimeoutError
from holdfast.events import WARNING, AttemptFacts, CallFacts, Note, RunFacts
from holdfast.tracing.observers.spans import SpanObserver

RUN_ID = "01980d2c-6d5e-7c1b-9a4e-0c8f3c3f7a10"
S = 1_000_000_000
SHARED = {"holdfast.run.id": RUN_ID, "holdfast.thread.id": RUN_ID, "holdfast.workflow.name": "plan"}


def test_a_run_with_a_retried_task_is_a_tree_of_three_levels(play, recorder, with_traceback):
    """Every fact is an attribute; attempts are siblings; a task that succeeds in the end is not an error."""
    with play.run() as run, play.call(run, max_attempts=3) as call:
        play.failing(call, ConnectionError("reset"), will_retry=True, wait_s=0.5, reason="transient", policy="RetryPolicy 1 of 2")
        with play.attempt(call, timeout_s=5.0, deadline_s=20.0):
            pass
        call.waited_s = 0.5

    spans = recorder.literals()
    stack = spans["forecast attempt 1"]["events"][0][2].pop("exception.stacktrace")
    location = spans["forecast attempt 1"]["attributes"].pop("holdfast.error.location")
    assert stack.endswith("in raised\nConnectionError: reset")
    assert location.startswith("conftest.py:")
    assert {
        "forecast attempt 1": {
            "parent": 2,
            "time": (3 * S, 4 * S),
            "status": ("ERROR", "reset"),
            "attributes": {
                "holdfast.span.type": "attempt",
                **SHARED,
                "holdfast.task.name": "forecast",
                "holdfast.task.index": 1,
                "holdfast.attempt.number": 1,
                "holdfast.attempt.max": 3,
                "holdfast.attempt.outcome": "error",
                "error.type": "ConnectionError",
                "holdfast.retry.scheduled": True,
                "holdfast.retry.wait_s": 0.5,
                "holdfast.retry.reason": "transient",
                "holdfast.retry.policy": "RetryPolicy 1 of 2",
            },
            "events": [("exception", 4 * S, {"exception.type": "ConnectionError", "exception.message": "reset"})],
        },
        "forecast attempt 2": {
            "parent": 2,
            "time": (5 * S, 6 * S),
            "attributes": {
                "holdfast.span.type": "attempt",
                **SHARED,
                "holdfast.task.name": "forecast",
                "holdfast.task.index": 1,
                "holdfast.attempt.number": 2,
                "holdfast.retry.count": 1,
                "holdfast.timeout.limit_s": 5.0,
                "holdfast.timeout.deadline_remaining_s": 20.0,
                "holdfast.attempt.max": 3,
                "holdfast.attempt.outcome": "ok",
            },
        },
        "forecast": {
            "parent": 1,
            "time": (2 * S, 7 * S),
            "attributes": {
                "holdfast.span.type": "task",
                **SHARED,
                "holdfast.task.name": "forecast",
                "holdfast.task.index": 1,
                "code.function.name": "app.forecast",
                "holdfast.attempt.max": 3,
                "holdfast.task.outcome": "ok",
                "holdfast.attempt.count": 2,
                "holdfast.retry.count": 1,
                "holdfast.retry.waited_s": 0.5,
            },
            "events": [
                (
                    "holdfast.retry.scheduled",
                    4 * S,
                    {
                        "holdfast.attempt.number": 1,
                        "error.type": "ConnectionError",
                        "holdfast.retry.wait_s": 0.5,
                        "holdfast.retry.reason": "transient",
                        "holdfast.retry.policy": "RetryPolicy 1 of 2",
                    },
                )
            ],
        },
        "run plan": {
            "parent": None,
            "time": (1 * S, 8 * S),
            "attributes": {
                "holdfast.span.type": "run",
                **SHARED,
                "code.function.name": "app.plan",
                "holdfast.run.outcome": "ok",
                "holdfast.run.calls": 1,
            },
        },
    } == spans


def test_a_task_with_one_attempt_is_its_own_attempt(play, recorder):
    """One span carries the facts of both, and there is no child."""
    with play.run() as run, play.call(run) as call, play.attempt(call):
        pass

    assert ["forecast", "run plan"] == [span.name for span in recorder.spans()]
    assert {
        "holdfast.attempt.number": 1,
        "holdfast.attempt.max": 1,
        "holdfast.attempt.count": 1,
        "holdfast.attempt.outcome": "ok",
        "holdfast.task.outcome": "ok",
    }.items() <= recorder.attributes("forecast").items()


def test_every_attempt_has_a_span_when_asked_for(play, recorder, settings):
    """``attempt_spans="always"``."""
    settings.attempt_spans = "always"

    with play.run() as run, play.call(run) as call, play.attempt(call):
        pass

    assert ["forecast attempt 1", "forecast", "run plan"] == [span.name for span in recorder.spans()]


def test_a_task_with_one_attempt_that_fails_has_one_exception_and_an_error(play, recorder):
    """The exception is recorded once, on the span that is task and attempt."""
    with play.run() as run, play.call(run, outcome="error", stop_reason="no_retry_policy") as call:
        attempt = play.failing(call, ValueError("bad"))
        call.error = attempt.error

    span = recorder.literals()["forecast"]
    assert ("ERROR", "bad") == span["status"]
    assert ["exception"] == [name for name, _, _ in span["events"]]
    assert "ValueError" == span["attributes"]["error.type"]
    assert "no_retry_policy" == span["attributes"]["holdfast.retry.stop_reason"]


def test_the_stack_stands_on_the_last_attempt_and_the_first_of_each_error_type(play, recorder):
    """The others have type, message and location only."""
    with play.run() as run, play.call(run, max_attempts=4, outcome="error") as call:
        for error in (KeyError("a"), KeyError("b"), OSError("c")):
            play.failing(call, error, will_retry=True)
        call.error = play.failing(call, KeyError("d")).error

    has_stack = {name: "exception.stacktrace" in span["events"][0][2] for name, span in recorder.literals().items() if "attempt" in name}
    assert {"forecast attempt 1": True, "forecast attempt 2": False, "forecast attempt 3": True, "forecast attempt 4": True} == has_stack
    assert all("holdfast.error.location" in recorder.attributes(name) for name in has_stack)


def test_a_task_that_gives_up_is_an_error_and_says_why(play, recorder):
    """ERROR with the message, the stop reason, an event; no second stack."""
    with play.run() as run, play.call(run, max_attempts=2, outcome="error", stop_reason="max_attempts") as call:
        play.failing(call, OSError("one"), will_retry=True)
        call.error = play.failing(call, OSError("two")).error

    span = recorder.literals()["forecast"]
    assert ("ERROR", "two") == span["status"]
    assert "OSError" == span["attributes"]["error.type"]
    assert [
        ("holdfast.retry.scheduled", 4 * S),
        ("holdfast.retry.exhausted", 7 * S),
    ] == [(name, when) for name, when, _ in span["events"]]
    assert {"holdfast.attempt.count": 2, "holdfast.retry.stop_reason": "max_attempts"} == span["events"][1][2]


def test_a_run_that_raises_is_an_error_without_a_second_stack(play, recorder):
    """The failure of a task that the body let through is recorded where it happened."""
    with (
        play.run(outcome="error") as run,
        play.call(run, "plan", is_body=True, outcome="error") as body,
        play.attempt(body, outcome="error") as own,
        play.call(run, outcome="error") as call,
    ):
        call.error = own.error = body.error = run.error = play.failing(call, ValueError("bad")).error

    span = recorder.literals()["run plan"]
    assert ("ERROR", "bad") == span["status"]
    assert "ValueError" == span["attributes"]["error.type"]
    assert "events" not in span


def test_a_run_whose_own_body_raises_has_the_exception(play, recorder):
    """With one attempt the run's span is the body's attempt."""
    with play.run(outcome="error") as run, play.call(run, "plan", is_body=True, outcome="error") as body:
        body.error = run.error = play.failing(body, ValueError("bad")).error

    span = recorder.literals()["run plan"]
    assert ["run plan"] == [each.name for each in recorder.spans()]
    assert ["exception"] == [name for name, _, _ in span["events"]]
    assert 1 == span["attributes"]["holdfast.attempt.number"]


def test_attempts_of_a_retried_body_are_children_of_the_run(play, recorder):
    """A body has no task span between the run and its attempts."""
    with play.run() as run, play.call(run, "plan", is_body=True, max_attempts=2) as body:
        play.failing(body, OSError("x"), will_retry=True, wait_s=1.0)
        with play.attempt(body):
            pass

    spans = recorder.literals()
    assert {"plan attempt 1": 1, "plan attempt 2": 1, "run plan": None} == {name: span["parent"] for name, span in spans.items()}
    assert ["holdfast.retry.scheduled"] == [name for name, _, _ in spans["run plan"]["events"]]
    assert {"holdfast.attempt.count": 2, "holdfast.retry.count": 1}.items() <= spans["run plan"]["attributes"].items()


@pytest.mark.parametrize("outcome", ["cancelled", "interrupted"])
def test_control_flow_is_never_an_error(play, recorder, outcome):
    """Cancellations and interrupts have an outcome, but neither status nor exception."""
    error = asyncio.CancelledError()
    with (
        play.run(outcome=outcome, error=error) as run,
        play.call(run, outcome=outcome, error=error, max_attempts=2) as call,
        play.attempt(call, outcome=outcome, error=error),
    ):
        pass

    for span in recorder.literals().values():
        assert "status" not in span
        assert "events" not in span
        assert "error.type" not in span["attributes"]
    assert outcome == recorder.attributes("run plan")["holdfast.run.outcome"]


def test_a_timeout_is_an_error_of_type_timeout(play, recorder):
    """With the limit on the event, and a word about a thread left behind."""
    error = NodeTimeoutError("forecast", 0.5)
    with (
        play.run() as run,
        play.call(run, outcome="timeout", error=error, max_attempts=2) as call,
        play.attempt(call, timeout_s=0.5, outcome="timeout", error=error, abandoned=True),
    ):
        pass

    span = recorder.literals()["forecast attempt 1"]
    assert ("holdfast.task.timeout", 4 * S, {"holdfast.timeout.limit_s": 0.5}) == span["events"][0]
    assert "timeout" == span["attributes"]["error.type"]
    assert span["attributes"]["holdfast.attempt.abandoned"] is True
    assert "timeout" == recorder.attributes("forecast")["error.type"]


def test_a_disliked_result_is_a_failed_attempt_without_an_exception(play, recorder):
    """A policy may retry what was returned: there is an error, but nothing was raised."""
    with play.run() as run, play.call(run, max_attempts=2) as call, play.attempt(call, outcome="error") as attempt:
        attempt.will_retry, attempt.reason = True, "result"

    span = recorder.literals()["forecast attempt 1"]
    assert "ERROR" == span["status"]
    assert "_OTHER" == span["attributes"]["error.type"]
    assert "events" not in span


def test_names_of_attempts_are_bounded(play, recorder):
    """Beyond the tenth they share a name, for backends that index names."""
    with play.run() as run, play.call(run, max_attempts=None) as call:
        for _ in range(12):
            with play.attempt(call):
                pass

    names = [span.name for span in recorder.spans()]
    assert ["forecast attempt 10", "forecast attempt 10+", "forecast attempt 10+"] == names[9:12]
    assert 12 == dict(recorder.spans()[11].attributes)["holdfast.attempt.number"]
    assert "holdfast.attempt.max" not in dict(recorder.spans()[11].attributes)


def test_a_call_that_waited_for_another_is_linked_to_it(play, recorder):
    """As a hit is to where its value came from, and told from that."""
    with play.run() as run, play.call(run, max_attempts=3) as call:
        call.cache, call.origin_trace_id, call.origin_span_id = "coalesced", "0" * 30 + "ab", "0" * 14 + "cd"

    span = recorder.literals()["forecast"]
    assert [(0xAB, 0xCD, {"holdfast.link.type": "coalesced_with"})] == span["links"]
    assert "0" * 14 + "cd" == span["attributes"]["holdfast.cache.origin.span_id"]


def test_the_last_attempt_says_why_none_follows(play, recorder):
    """As its task does; one that another follows has another reason."""
    with play.run() as run, play.call(run, max_attempts=2, outcome="error", stop_reason="max_attempts") as call:
        play.failing(call, OSError("one"), will_retry=True, reason="transient")
        call.error = play.failing(call, OSError("two"), reason="max_attempts").error

    reasons = [(span.name, span.attributes.get("holdfast.retry.stop_reason")) for span in recorder.spans()]
    assert [
        ("forecast attempt 1", None),
        ("forecast attempt 2", "max_attempts"),
        ("forecast", "max_attempts"),
        ("run plan", None),
    ] == reasons


def test_a_hit_is_one_short_span_with_a_link_to_where_the_value_came_from(play, recorder):
    """Age, remaining time to live, tier, size, a salted hash of the key, and the origin."""
    with play.run() as run, play.call(run, max_attempts=3) as call:
        call.cache, call.cache_tier, call.cache_age_s, call.cache_ttl_s, call.cache_size = "hit", "disk", 12.5, 60.0, 482
        call.cache_namespace, call.cache_key = "app.forecast:1", b"0123456789abcdef"
        call.origin_trace_id, call.origin_span_id = "0" * 30 + "ab", "0" * 14 + "cd"

    span = recorder.literals()["forecast"]
    assert [(0xAB, 0xCD, {"holdfast.link.type": "cached_from"})] == span["links"]
    assert {
        "holdfast.cache.result": "hit",
        "holdfast.cache.namespace": "app.forecast:1",
        "holdfast.cache.key_hash": "6e1f73759f58",
        "holdfast.cache.tier": "disk",
        "holdfast.cache.age_s": 12.5,
        "holdfast.cache.ttl_s": 60.0,
        "holdfast.cache.ttl_remaining_s": 47.5,
        "holdfast.cache.size_bytes": 482,
        "holdfast.cache.origin.trace_id": "0" * 30 + "ab",
        "holdfast.cache.origin.span_id": "0" * 14 + "cd",
    } == {name: value for name, value in span["attributes"].items() if name.startswith("holdfast.cache")}


def test_a_miss_tells_what_was_stored(play, recorder):
    """No age and no origin, but that it was stored, how large, and for how long."""
    with play.run() as run, play.call(run, cache="miss", cache_ttl_s=60.0) as call:
        with play.attempt(call):
            pass
        call.cache_stored, call.cache_size = True, 99

    assert {
        "holdfast.cache.result": "miss",
        "holdfast.cache.ttl_s": 60.0,
        "holdfast.cache.size_bytes": 99,
        "holdfast.cache.stored": True,
    } == {name: value for name, value in recorder.attributes("forecast").items() if name.startswith("holdfast.cache")}


def test_the_hash_of_a_key_depends_on_the_salt(play, recorder, settings):
    """Whoever sees the trace cannot try out keys."""
    hashes = set()
    for salt in (b"one", b"two"):
        settings.salt = salt
        with play.call(cache="miss", cache_key=b"k" * 16) as call, play.attempt(call):
            pass
        hashes.add(dict(recorder.spans()[-1].attributes)["holdfast.cache.key_hash"])

    assert 2 == len(hashes)


def test_hits_beyond_the_limit_are_counted_only(play, recorder, settings):
    """A run with thousands of hits stays readable; the run's span has the totals."""
    settings.max_hit_spans = 2
    with play.run() as run:
        for outcome in ("ok", "ok", "ok", "replayed"):
            with play.call(run, outcome=outcome) as call:
                call.cache = "hit" if outcome == "ok" else ""
        run.cache_hits, run.replayed = 3, 1

    assert ["forecast", "forecast", "run plan"] == [span.name for span in recorder.spans()]
    assert {
        "holdfast.run.calls": 4,
        "holdfast.cache.hits": 3,
        "holdfast.run.replayed": 1,
        "holdfast.run.spans_omitted": 2,
    }.items() <= recorder.attributes("run plan").items()


def test_a_failed_call_is_never_left_out(play, recorder, settings):
    """The limit is for calls that were answered, not for those that ran."""
    settings.max_hit_spans = 0
    with play.run() as run, play.call(run, outcome="error") as call:
        call.error = play.failing(call, ValueError("bad")).error

    assert "forecast" in recorder.literals()


def test_a_remembered_failure_is_an_error_with_its_exception_but_no_stack(play, recorder):
    """Nothing ran, so there is no stack of this run to show."""
    with play.run() as run, play.call(run, cache="negative", outcome="error") as call:
        call.error = ValueError("known to be bad")

    span = recorder.literals()["forecast"]
    assert ("ERROR", "known to be bad") == span["status"]
    assert [("exception", 3 * S, {"exception.type": "ValueError", "exception.message": "known to be bad"})] == span["events"]


def test_a_call_outside_a_run_is_a_root_of_its_own(play, recorder):
    """``@resilient`` functions have no run: no run attributes, no parent."""
    with play.call() as call, play.attempt(call):
        pass

    span = recorder.literals()["forecast"]
    assert span["parent"] is None
    assert not [name for name in span["attributes"] if name.startswith(("holdfast.run", "holdfast.thread", "holdfast.workflow"))]


def test_a_given_thread_is_named_for_session_views_too(play, recorder):
    """On every span, because some backends group by what each span carries."""
    with play.run(thread_id="trip-1") as run, play.call(run, max_attempts=2) as call, play.attempt(call):
        pass

    for span in recorder.literals().values():
        assert {"holdfast.thread.id": "trip-1", "session.id": "trip-1"}.items() <= span["attributes"].items()


def test_a_client_is_a_client_where_the_call_is_made(play, recorder):
    """The attempts call the other service; the task around them does not."""
    with play.run() as run:
        with play.call(run, "one", kind="client", max_attempts=2) as call, play.attempt(call):
            pass
        with play.call(run, "two", kind="client") as call, play.attempt(call):
            pass
        with play.call(run, "three", kind="tool") as call, play.attempt(call):
            pass

    kinds = {name: span.get("kind", "INTERNAL") for name, span in recorder.literals().items()}
    assert {"one attempt 1": "CLIENT", "one": "INTERNAL", "two": "CLIENT", "three": "INTERNAL", "run plan": "INTERNAL"} == kinds
    assert "tool" == recorder.attributes("three")["holdfast.task.kind"]


def test_time_in_the_queue_is_told_from_a_millisecond_on(play, recorder):
    """Below, it is the machinery."""
    with play.run() as run:
        for name, waited in (("slow", 250_000_000), ("quick", 900_000)):
            with play.call(run, name) as call:
                call.begun_ns = call.started_ns + waited
                with play.attempt(call):
                    pass

    assert 0.25 == recorder.attributes("slow")["holdfast.queue.wait_s"]
    assert "holdfast.queue.wait_s" not in recorder.attributes("quick")


def test_a_resumed_run_says_so(play, recorder):
    """Only then."""
    with play.run() as run:
        run.resumed = True

    assert recorder.attributes("run plan")["holdfast.run.resumed"] is True


def test_the_ids_of_the_call_are_left_in_its_facts(play, recorder):
    """The runtime stores them with a cached result."""
    with play.run() as run, play.call(run, max_attempts=2, cache="miss") as call, play.attempt(call):
        assert (RUN_ID.replace("-", ""), f"{2:016x}") == (call.trace_id, call.span_id)


def test_the_users_own_span_nests_in_the_attempt(play, recorder):
    """It is current while the body runs, and the context is as before afterwards."""
    before = trace.get_current_span()
    with play.run() as run:
        with play.call(run, max_attempts=2) as call:
            with play.attempt(call), recorder.tracer.start_as_current_span("GET"):
                pass
            between = trace.get_current_span()
        with play.call(run, "one") as call, play.attempt(call), recorder.tracer.start_as_current_span("POST"):
            pass

    ids = {span.name: span.context.span_id for span in recorder.spans()}
    spans = recorder.literals()
    assert ids["forecast attempt 1"] == spans["GET"]["parent"]
    assert ids["one"] == spans["POST"]["parent"]
    assert ids["run plan"] == between.get_span_context().span_id
    assert before is trace.get_current_span()


def test_a_task_called_inside_a_task_is_a_child_of_the_attempt(play, recorder):
    """Its parent is what is current where it was called."""
    with (
        play.run() as run,
        play.call(run, "outer", max_attempts=2) as outer,
        play.attempt(outer),
        play.call(run, "inner") as inner,
        play.attempt(inner),
    ):
        pass

    ids = {span.name: span.context.span_id for span in recorder.spans()}
    assert ids["outer attempt 1"] == recorder.literals()["inner"]["parent"]


def test_a_run_inside_the_applications_span_belongs_to_its_trace(play, recorder):
    """An HTTP server's span, say."""
    with recorder.tracer.start_as_current_span("GET /plan"), play.run():
        pass

    spans = {span.name: span for span in recorder.spans()}
    assert spans["GET /plan"].context.span_id == spans["run plan"].parent.span_id
    assert spans["GET /plan"].context.trace_id == spans["run plan"].context.trace_id


def test_calls_on_threads_keep_to_their_own_branch(play, recorder):
    """Each thread works in a copy of the caller's context, as the runtime's do."""
    barrier = threading.Barrier(8)

    def work(name, run):
        with play.call(run, name, max_attempts=2) as call, play.attempt(call):
            barrier.wait()
            with recorder.tracer.start_as_current_span(f"inside {name}"):
                barrier.wait()

    with play.run() as run:
        threads = [threading.Thread(target=contextvars.copy_context().run, args=(work, f"t{n}", run)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    spans = {span.name: span for span in recorder.spans()}
    for n in range(8):
        assert spans["run plan"].context.span_id == spans[f"t{n}"].parent.span_id
        assert spans[f"t{n}"].context.span_id == spans[f"t{n} attempt 1"].parent.span_id
        assert spans[f"t{n} attempt 1"].context.span_id == spans[f"inside t{n}"].parent.span_id


def test_interleaved_asyncio_tasks_keep_to_their_own_branch(play, recorder):
    """The span is current in the asyncio task that runs the body, and nowhere else."""

    async def work(name, run):
        with play.call(run, name) as call, play.attempt(call):
            await asyncio.sleep(0)
            with recorder.tracer.start_as_current_span(f"inside {name}"):
                await asyncio.sleep(0)

    async def main():
        with play.run() as run:
            await asyncio.gather(*(work(f"t{n}", run) for n in range(5)))

    asyncio.run(main())

    spans = {span.name: span for span in recorder.spans()}
    assert [spans[f"t{n}"].context.span_id for n in range(5)] == [spans[f"inside t{n}"].parent.span_id for n in range(5)]


def test_a_note_is_an_event_on_the_span_of_its_call(play, recorder):
    """Also one that comes up before there is a span, such as trouble with the cache."""
    with play.run() as run, play.call(run) as call:
        play.observer.noted(Note(event="holdfast.cache.error", level=WARNING, text="token=abcdef gone", fields={"path": "c.db"}, call=call))
        with play.attempt(call):
            play.observer.noted(Note(event="holdfast.x", level=WARNING, text="later", call=call))
        play.observer.noted(Note(event="holdfast.y", level=WARNING, text="of the run"))

    spans = recorder.literals()
    assert [
        ("holdfast.cache.error", {"holdfast.note.text": "token=[redacted] gone", "holdfast.note.fields": '{"path":"c.db"}'}),
        ("holdfast.x", {"holdfast.note.text": "later"}),
    ] == [(name, attributes) for name, _, attributes in spans["forecast"]["events"]]
    assert ["holdfast.y"] == [name for name, _, _ in spans["run plan"]["events"]]


@pytest.mark.parametrize(
    ("mode", "expected_input", "expected_output"),
    [
        ("none", None, None),
        ("shape", '{"city":"str[4]","api_key":"[redacted]"}', '"dict[1]"'),
        ("values", '{"city":"Oslo","api_key":"[redacted]"}', '{"temp":3}'),
    ],
)
def test_arguments_and_results_are_captured_as_far_as_allowed(play, recorder, mode, expected_input, expected_output):
    """Nothing, types, or values without secrets."""
    with play.run(capture=mode, names=("city", "api_key"), arguments=("Oslo", "abc123")) as run:
        with play.call(run, capture=mode, names=("city", "api_key"), arguments=("Oslo", "abc123")) as call:
            with play.attempt(call):
                pass
            call.result = {"temp": 3}
        run.output = {"temp": 3}

    attributes = recorder.attributes("forecast")
    assert expected_input == attributes.get("holdfast.input")
    assert expected_output == attributes.get("holdfast.output")
    assert expected_input == recorder.attributes("run plan").get("holdfast.input")
    assert expected_output == recorder.attributes("run plan").get("holdfast.output")


def test_a_task_that_leaves_it_open_takes_the_global_choice(play, recorder, settings):
    """Its own choice wins, also when that is to capture nothing."""
    settings.capture = "values"
    with play.run() as run:
        for name, capture in (("open", ""), ("closed", "none")):
            with play.call(run, name, capture=capture, names=("n",), arguments=(1,)) as call, play.attempt(call):
                pass

    assert '{"n":1}' == recorder.attributes("open")["holdfast.input"]
    assert "holdfast.input" not in recorder.attributes("closed")


def test_what_is_cut_is_marked(play, recorder):
    """A reader must know that there was more."""
    with play.call(capture="values", names=("text",), arguments=("x" * 5000,)) as call, play.attempt(call):
        pass

    attributes = recorder.attributes("forecast")
    assert attributes["holdfast.capture.truncated"] is True
    assert len(attributes["holdfast.input"].encode()) <= 2048


def test_facts_that_began_before_anybody_observed_are_left_alone(play, recorder):
    """Tracing may be switched on in the middle of a run."""
    run = RunFacts(run_id=RUN_ID, thread_id=RUN_ID, name="plan", function="app.plan", started_ns=S)
    call = CallFacts(run=run, name="forecast", function="app.forecast", started_ns=S)
    attempt = AttemptFacts(call=call, number=1, started_ns=S)

    play.observer.attempt_ended(attempt)
    play.observer.call_ended(call)
    play.observer.run_ended(run)

    assert [] == recorder.spans()


def a_plain_span():
    """One of the installed SDK's own."""
    return TracerProvider().get_tracer("plain").start_span("plain")


def user_changes(span):
    """What a user may do to the current span."""
    span.set_attribute("a", 1)
    span.set_attributes({"b": [1, 2], "holdfast.task.name": "mine", "holdfast.task.outcome": "mine", 3: "odd", "c": {"d": object()}})
    span.add_event("happened", {"x": "y"}, 5)
    span.add_link(trace.SpanContext(7, 8, is_remote=True), {"why": "so"})
    span.add_link(trace.SpanContext(0, 0, is_remote=True))
    span.update_name("renamed")
    span.set_status(trace.StatusCode.UNSET)
    span.set_status(trace.Status(trace.StatusCode.OK))
    span.set_status(trace.StatusCode.ERROR, "too late, OK is final")
    span.record_exception(ValueError("seen"), {"more": 1}, 6, escaped=True)


def test_what_users_do_to_the_current_span_has_its_effect(play, recorder):
    """Their attributes win over what was known at the start, and lose against what is known at the end."""
    with play.run() as run, play.call(run) as call, play.attempt(call):
        current = trace.get_current_span()
        assert current.is_recording()
        user_changes(current)
    assert not current.is_recording()

    span = recorder.literals()["renamed"]
    added = {name: span["attributes"][name] for name in ("a", "b", "holdfast.task.name", "holdfast.task.outcome")}
    assert {"a": 1, "b": (1, 2), "holdfast.task.name": "mine", "holdfast.task.outcome": "ok"} == added
    plain = a_plain_span()
    user_changes(plain)
    odd = ("3", "c")  # what becomes of them depends on the SDK's version
    assert [plain.attributes.get(name) for name in odd] == [span["attributes"].get(name) for name in odd]
    assert "OK" == span["status"]
    assert [(7, 8, {"why": "so"})] == span["links"]
    assert ("happened", 5, {"x": "y"}) == span["events"][0]
    assert "ValueError: seen" in span["events"][1][2].pop("exception.stacktrace")
    expected = {"exception.type": "ValueError", "exception.message": "seen", "exception.escaped": "True", "more": 1}
    assert ("exception", 6, expected) == span["events"][1]


def test_what_users_do_to_an_ended_span_is_said_and_ignored(play, recorder, caplog):
    """As the SDK does."""
    with play.run():
        current = trace.get_current_span()
    before = recorder.literals()
    user_changes(current)
    current.end()

    assert before == recorder.literals()
    assert all("ended span" in message for message in caplog.messages)
    assert len(caplog.messages) >= 8


def test_a_span_that_a_user_ends_keeps_that_end(play, recorder):
    """The first end counts."""
    with play.run():
        trace.get_current_span().end(2 * S)
        assert not trace.get_current_span().is_recording()

    assert (1 * S, 2 * S) == recorder.literals()["run plan"]["time"]


def test_nothing_is_added_to_a_span_that_a_user_has_ended(play, recorder, caplog):
    """Nor is the user told about what holdfast would have added."""
    with play.run(outcome="error") as run, play.call(run, max_attempts=2, outcome="error", stop_reason="max_attempts") as call:
        with play.attempt(call):
            trace.get_current_span().end()
        play.failing(call, OSError("one"), will_retry=True)
        trace.get_current_span().end()
        call.error = run.error = play.failing(call, OSError("two")).error

    assert [] == caplog.messages
    span = recorder.literals()["run plan"]
    assert "status" not in span
    assert "events" not in span


def test_an_exception_that_passes_through_the_current_span_is_recorded_once_more_if_asked_for(play, recorder):
    """``use_span`` is OpenTelemetry's own way to record and mark failures on a span that somebody else has begun."""
    with play.run() as run, play.call(run) as call, play.attempt(call):
        with pytest.raises(ValueError, match="seen"), trace.use_span(trace.get_current_span()):
            raise ValueError("seen")
        assert trace.get_current_span().is_recording()

    span = recorder.literals()["forecast"]
    assert ["exception"] == [name for name, _, _ in span["events"]]
    assert ("ERROR", "ValueError: seen") == span["status"]


def test_other_services_are_told_of_the_current_span(play):
    """In the headers of a request, by OpenTelemetry's propagators."""
    headers = {}
    with play.run() as run, play.call(run) as call, play.attempt(call):
        propagate.inject(headers)
        span_id = trace.get_current_span().get_span_context().span_id

    version, trace_id, parent_id, flags = headers["traceparent"].split("-")
    assert ("00", RUN_ID.replace("-", ""), f"{span_id:016x}", 1) == (version, trace_id, parent_id, int(flags, 16) & 1)


def test_work_left_behind_is_a_child_of_the_attempt_that_began_it(play, recorder):
    """A context outlives the span that is current in it."""
    with play.run() as run, play.call(run, max_attempts=2) as call, play.attempt(call):
        context = contextvars.copy_context()

    context.run(recorder.tracer.start_span, "late").end()

    spans = {span.name: span for span in recorder.spans()}
    assert spans["forecast attempt 1"].context.span_id == spans["late"].parent.span_id
    assert spans["forecast attempt 1"].context.trace_id == spans["late"].context.trace_id


def test_attributes_events_and_links_are_limited(play, recorder):
    """To 128 each, of which the youngest stay."""
    with play.run():
        current = trace.get_current_span()
        for number in range(200):
            current.set_attribute(f"n{number}", number)
            current.add_event(f"e{number}")
            current.add_link(trace.SpanContext(7, 1 + number, is_remote=True))

    (span,) = recorder.spans()
    assert (128, 128, 128) == (len(span.attributes), len(span.events), len(span.links))
    assert ("e199", 200, 199) == (span.events[-1].name, span.links[-1].context.span_id, span.attributes["n199"])
    assert (72, 72) == (span.dropped_events, span.dropped_links)
    assert span.dropped_attributes > 70


@pytest.mark.parametrize("is_sampled", [True, False])
def test_a_run_called_by_another_service_belongs_to_its_trace(play, recorder, is_sampled):
    """And is recorded only if that trace is; what is passed on says so."""
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if is_sampled else 0)
    remote = trace.SpanContext(7, 8, is_remote=True, trace_flags=flags, trace_state=trace.TraceState([("vendor", "x")]))
    with trace.use_span(trace.NonRecordingSpan(remote)), play.run() as run, play.call(run, max_attempts=2) as call, play.attempt(call):
        inside = trace.get_current_span().get_span_context()
        assert is_sampled == trace.get_current_span().is_recording()

    assert (7, is_sampled, "x") == (inside.trace_id, inside.trace_flags.sampled, inside.trace_state.get("vendor"))
    assert ([8] if is_sampled else []) == [span.parent.span_id for span in recorder.spans() if span.name == "run plan"]


def test_spans_are_of_the_providers_resource_and_of_our_scope(play, recorder):
    """Whoever makes them."""
    with play.run(), play.call() as call, play.attempt(call):
        pass

    flags = a_plain_span().get_span_context().trace_flags
    for span in recorder.spans():
        assert "tests" == span.resource.attributes["service.name"]
        assert ("holdfast", "", "holdfast/1") == (
            span.instrumentation_scope.name,
            span.instrumentation_scope.version,
            span.instrumentation_scope.schema_url,
        )
        assert flags == span.context.trace_flags
        assert not span.context.is_remote


def test_captured_arguments_are_those_of_the_call(play, recorder):
    """The body may change them afterwards."""
    cities = ["Oslo"]
    with play.run() as run, play.call(run, capture="values", names=("cities",), arguments=(cities,)) as call, play.attempt(call):
        cities.append("Rome")

    assert '{"cities":["Oslo"]}' == recorder.attributes("forecast")["holdfast.input"]


class Large:
    """A result that is to be freed when its caller is done with it."""


@pytest.mark.parametrize("most", [1, 2])
def test_spans_that_wait_to_be_written_keep_no_values_alive(recorder, make_play, most):
    """A queue is long, and results may be large."""
    play, value = make_play(recorder.observer()), Large()
    with play.call(names=("value",), arguments=(value,), max_attempts=most) as call:
        with play.attempt(call):
            pass
        call.result = value
    gone = weakref.ref(value)
    del value, call

    assert len(recorder.ended) == most
    assert gone() is None


def test_without_an_sdk_nothing_is_recorded_and_nothing_breaks(make_play):
    """The API alone makes spans that record nothing."""
    play = make_play(SpanObserver(trace.NoOpTracer()))

    with play.run() as run, play.call(run, max_attempts=2) as call:
        play.failing(call, ValueError("bad"), will_retry=True)
        with play.attempt(call):
            assert not trace.get_current_span().is_recording()

    assert "" == call.trace_id


@pytest.mark.usefixtures("fresh")
def test_without_a_provider_nothing_is_worked_out(make_play):
    """Lines may be wanted where no spans can be; with the first provider they begin."""
    play = make_play(SpanObserver())
    with play.run() as run, play.call(run) as call, play.attempt(call):
        pass
    assert (None, None) == (run.memo, call.memo)

    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    with play.run():
        pass

    assert ["run plan"] == [span.name for span in exporter.get_finished_spans()]


def test_a_call_behind_another_ones_back_begins_a_trace(play, recorder):
    """It outlives the span that it was begun for, so it is no child of it, but linked to it."""
    with play.run(), play.call(None, name="refresh", is_behind=True) as behind:
        behind.cache, behind.origin_trace_id, behind.origin_span_id = "refresh", "0" * 30 + "ab", "0" * 14 + "cd"

    span = recorder.literals()["refresh"]
    assert (None, [(0xAB, 0xCD, {"holdfast.link.type": "behind"})]) == (span["parent"], span["links"])
    assert "refresh" == span["attributes"]["holdfast.cache.result"]
