"""Light spans on a provider of the application's: where they are made, that nobody could tell, and that what comes later is noticed."""

from __future__ import annotations

import copy
import json
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import ConcurrentMultiSpanProcessor, SpanLimits, SynchronousMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

from holdfast import CachePolicy, InMemoryCache, RetryPolicy, entrypoint, events, resilient, task
from holdfast.tracing.observers.light import LightObserver
from holdfast.tracing.observers.spans import SpanObserver
from holdfast.tracing.setup import _session
from holdfast.tracing.setup._configure import configure
from holdfast.tracing.setup._joined import joined
from holdfast.tracing.setup.detect import detect
from holdfast.tracing.spans import ids
from holdfast.tracing.spans.light_span import LightSpan, Outlet, Trace
from holdfast.tracing.spans.readable import Later
from tests.tracing.conftest import Counted, Nosy, literal

pytestmark = pytest.mark.usefixtures("fresh")


class Numbered(RandomIdGenerator):
    """Ids of somebody's own."""


class Batches(BatchSpanProcessor):
    """A batch processor of somebody's own."""


class Provider(TracerProvider):
    """A provider of somebody's own."""


def provider(*processors, kind=TracerProvider, **more):
    made = kind(shutdown_on_exit=False, **more)
    for processor in processors:
        made.add_span_processor(processor)
    return made


def kind_of_spans():
    return type(events.observer.observers[0])


def simple():
    return SimpleSpanProcessor(InMemorySpanExporter())


def batch(kind=BatchSpanProcessor):
    return kind(InMemorySpanExporter(), schedule_delay_millis=1)


def configured_by_somebody():
    made = provider()
    made._tracer_configurator = lambda _: None
    return made


@pytest.mark.parametrize(
    "make",
    [provider, lambda: provider(simple(), batch()), lambda: provider(simple(), span_limits=SpanLimits())],
    ids=["none", "both", "usual_limits"],
)
def test_where_nobody_looks_before_the_end_spans_are_light(make):
    """The provider that most applications have."""
    trace.set_tracer_provider(make())
    detect()

    assert LightObserver is kind_of_spans()


@pytest.mark.parametrize(
    "make",
    [
        lambda: provider(simple(), Nosy()),
        lambda: provider(batch(Batches)),
        lambda: provider(simple(), kind=Provider),
        lambda: provider(simple(), sampler=ALWAYS_ON),
        lambda: provider(simple(), sampler=ParentBased(ALWAYS_ON)),
        lambda: provider(simple(), id_generator=Numbered()),
        lambda: provider(simple(), span_limits=SpanLimits(max_attribute_length=100)),
        lambda: provider(simple(), active_span_processor=ConcurrentMultiSpanProcessor()),
        lambda: provider(simple(), active_span_processor=type("Mine", (SynchronousMultiSpanProcessor,), {})()),
        configured_by_somebody,
    ],
    ids=["processor", "batches", "provider", "sampler", "sampler_by_parent", "ids", "limits", "at_once", "in_turn", "scopes"],
)
def test_where_somebody_might_all_spans_are_the_sdks(make):
    """A processor, sampler, generator, limit or provider of somebody's own, or one that cannot be seen through."""
    trace.set_tracer_provider(make())
    detect()
    observer = events.observer
    resilient(lambda: 3)()

    assert SpanObserver is kind_of_spans()
    assert observer is events.observer
    trace.get_tracer_provider().shutdown()


@pytest.mark.parametrize("name", ["_span_limits", "_active_span_processor"])
def test_what_cannot_be_seen_is_left_to_the_sdk(name):
    """The SDK has no public names for these, and another version of it may have others."""
    made = provider(simple())
    assert joined(made, bool) is not None
    del vars(made)[name]

    assert joined(made, bool) is None


@pytest.mark.parametrize("name", ["OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT"])
def test_limits_in_the_environment_are_left_to_the_sdk(monkeypatch, name):
    """Here as on our own provider."""
    monkeypatch.setenv(name, "127")
    trace.set_tracer_provider(provider(simple()))
    detect()

    assert SpanObserver is kind_of_spans()


def test_ours_beside_theirs_get_light_spans_until_they_are_shut_down(capsys, inline):
    """A backend of holdfast on the application's provider; its end leaves the application's own."""
    exporter = InMemorySpanExporter()
    trace.set_tracer_provider(provider(SimpleSpanProcessor(exporter)))
    handle = configure("console", lines=False)
    fetch = resilient(name="fetch")(lambda: 3)
    fetch()

    assert LightObserver is kind_of_spans()
    assert ["fetch", "  fetch attempt 1"] == [line[:17].rstrip() for line in capsys.readouterr().err.splitlines()]
    detect()
    handle.shutdown()
    detect()
    fetch()
    assert "" == capsys.readouterr().err
    assert ["fetch attempt 1", "fetch"] * 2 == [span.name for span in exporter.get_finished_spans()]


def program(tracer):
    """Retries, a failure, a hit, spans of the application's inside and around, and what it says of the current span."""
    left = iter([ConnectionError("reset"), TimeoutError("late")])

    @task(retry_policy=RetryPolicy(initial_interval=0, jitter=False, retry_on=OSError), kind="client")
    def fetch(city):
        with tracer.start_as_current_span("lookup") as span:
            span.set_attribute("city", city)
            if (error := next(left, None)) is not None:
                raise error
        return city.upper()

    @task(cache_policy=CachePolicy(ttl=60))
    def cached(city):
        trace.get_current_span().set_attribute("mine", [1, 2])
        trace.get_current_span().add_event("seen", {"city": city})
        return city

    @task
    def broken():
        trace.get_current_span().update_name("renamed")
        raise ValueError("no such city")

    @entrypoint(cache=InMemoryCache())
    def plan(city):
        value = fetch(city).result() + cached(city).result() + cached(city).result()
        broken().exception()
        raise LookupError(value)

    with tracer.start_as_current_span("request") as span, pytest.raises(LookupError):
        plan.invoke("Oslo", {"run_id": "01980d2c-6d5e-7c1b-9a4e-0c8f3c3f7a10"})
    return span


def told(monkeypatch, processor):
    """What the exporter of an application gets, whose own spans are the SDK's."""
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", None)
    monkeypatch.setattr(trace, "_TRACER_PROVIDER_SET_ONCE", type(trace._TRACER_PROVIDER_SET_ONCE)())
    monkeypatch.setattr(_session, "current", _session.Session())
    monkeypatch.setattr(events, "observer", None)
    monkeypatch.setattr(ids, "draw", Counted())
    exporter = InMemorySpanExporter()
    made = provider(SimpleSpanProcessor(exporter), *processor)
    trace.set_tracer_provider(made)
    program(made.get_tracer("app"))
    return kind_of_spans(), exporter.get_finished_spans()


def shape(spans):
    """Spans without times, ids by the name of the span that has them."""
    names = {span.context.span_id: span.name for span in spans}
    found = []
    for span in spans:
        told = literal(span)
        told["parent"] = names.get(told["parent"])
        told["attributes"] = {key: value for key, value in told["attributes"].items() if key not in VARYING}
        told["events"] = [(name, {k: v for k, v in known.items() if k not in VARYING}) for name, _, known in told.get("events", [])]
        told["links"] = [(names.get(span_id), known) for _, span_id, known in told.get("links", [])]
        told.pop("time")
        found.append((span.name, span.resource.attributes["service.name"], span.instrumentation_scope.name, told))
    return sorted(found, key=repr)


VARYING = {
    *("holdfast.cache.age_s", "holdfast.cache.ttl_remaining_s", "holdfast.cache.origin.trace_id", "holdfast.cache.origin.span_id"),
    *("exception.stacktrace", "holdfast.error.location", "holdfast.cache.key_hash", "holdfast.cache.ordinal", "holdfast.queue.wait_s"),
}


def test_an_exporter_cannot_tell_them_from_the_sdks(monkeypatch):
    """The same program with spans of both kinds: names, parents, kinds, attributes, events, links, status, scope and resource."""
    light, joined_spans = told(monkeypatch, [])
    theirs, sdk_spans = told(monkeypatch, [Nosy()])

    assert (LightObserver, SpanObserver) == (light, theirs)
    assert 12 == len(joined_spans)
    assert shape(sdk_spans) == shape(joined_spans)


def ended(name="fetch"):
    """A light span that has ended, with a parent, an attribute, an event and an error."""
    outlet = Outlet(provider())
    above = LightSpan("run", Trace(outlet, 7), None, trace.SpanKind.INTERNAL, 1)
    span = LightSpan(name, above.trace, above, trace.SpanKind.CLIENT, 2)
    span.set_attribute("mine", 1)
    span.add_event("seen", {"a": 1}, 3)
    span.set_status(trace.StatusCode.ERROR, "no")
    span.close({"known": "x"}, 4)
    return span


PUBLIC = sorted(name for name, part in vars(sdk.ReadableSpan).items() if isinstance(part, property) and name != "instrumentation_info")


def test_what_an_exporter_gets_is_worked_out_when_it_looks():
    """Each of its properties, whichever is asked first; then the light span is let go."""
    for name in PUBLIC:
        span = ended()
        later, known = Later(span), span.readable()
        assert {"_context", "_light"} == set(vars(later))
        assert repr(getattr(known, name)) == repr(getattr(later, name)), name
        assert (name == "context") == ("_light" in vars(later))
        assert json.loads(known.to_json()) == json.loads(later.to_json())
        assert (1, 0, 0) == (len(later.events), later.dropped_events, later.dropped_attributes)


def test_only_what_it_has_can_be_asked_of_it():
    """Also what copying and pickling ask before there is anything."""
    later = Later(ended())

    assert not hasattr(later, "nothing")
    with pytest.raises(AttributeError, match="'Later' object has no attribute 'nothing'"):
        _ = later.nothing
    assert not hasattr(Later.__new__(Later), "_name")
    assert "fetch" == copy.copy(Later(ended())).name
    with pytest.raises(Exception, match="pickle"):  # as one of the SDK's, whose attributes have a lock
        pickle.dumps(Later(ended()))


def test_several_threads_may_look_first():
    """Two processors with an exporter each, say, or one whose spans are read by a test."""
    for _ in range(100):
        later, gate = Later(ended()), threading.Barrier(4)

        def look(later=later, gate=gate):
            gate.wait(60)
            return later.name, later.end_time, later.attributes["known"]

        with ThreadPoolExecutor(4) as pool:
            assert [("fetch", 4, "x")] * 4 == [future.result(60) for future in [pool.submit(look) for _ in range(4)]]


def test_a_batch_processor_gets_them_and_sends_them_behind():
    """What it drops, flushes and shuts down is its own matter."""
    exporter = InMemorySpanExporter()
    made = provider(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(made)
    fetch = resilient(name="fetch")(lambda: 3)
    for _ in range(100):
        fetch()

    assert LightObserver is kind_of_spans()
    assert made.force_flush()
    assert 200 == len(exporter.get_finished_spans())
    assert {1} == {span.attributes["holdfast.attempt.number"] for span in exporter.get_finished_spans() if span.parent is not None}
    made.shutdown()
    fetch()
    assert 200 == len(exporter.get_finished_spans())


def test_a_processor_of_the_sdk_that_is_added_later_gets_what_ends_from_then_on():
    """Also of what is under way, as from the SDK."""
    exporter = InMemorySpanExporter()
    trace.set_tracer_provider(provider())

    @task
    def step():
        trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(exporter))

    @entrypoint()
    def plan(_):
        step().result()

    plan.invoke(None)

    assert ["step", "run plan"] == [span.name for span in exporter.get_finished_spans()]
    assert LightObserver is kind_of_spans()


def test_a_processor_that_looks_at_the_start_is_noticed_and_gets_spans_of_the_sdk():
    """It gets each that ends from now on, and each that begins, but for the call at which it was noticed."""
    trace.set_tracer_provider(provider())
    nosy, fetch = Nosy(), resilient(name="fetch")(lambda: 3)
    fetch()
    trace.get_tracer_provider().add_span_processor(nosy)
    fetch()

    assert SpanObserver is kind_of_spans()
    assert ([], ["fetch attempt 1", "fetch"]) == (nosy.begun, nosy.ended)
    fetch()
    assert ["fetch", "fetch attempt 1"] == nosy.begun
    assert ["fetch attempt 1", "fetch"] * 2 == nosy.ended


def test_what_is_noticed_while_the_session_changes_is_noticed_again():
    """A call waits for nobody; the next one finds the same."""
    trace.set_tracer_provider(provider())
    fetch = resilient(name="fetch")(lambda: 3)
    fetch()
    trace.get_tracer_provider().add_span_processor(Nosy())
    with ThreadPoolExecutor(1) as pool, _session.lock:
        assert 3 == pool.submit(fetch).result(60)
        assert LightObserver is kind_of_spans()
    fetch()

    assert SpanObserver is kind_of_spans()


def test_a_provider_that_comes_after_lines_gets_light_spans():
    """structlog alone was a reason to observe; from the second call on the provider is known for what it is."""
    exporter = InMemorySpanExporter()
    structlog.configure(processors=[lambda *_: (_ for _ in ()).throw(structlog.DropEvent)])
    try:
        fetch = resilient(name="fetch")(lambda: 3)
        fetch()
        assert SpanObserver is kind_of_spans()
        trace.set_tracer_provider(provider(SimpleSpanProcessor(exporter)))
        fetch()
        assert LightObserver is kind_of_spans()
        fetch()
    finally:
        structlog.reset_defaults()

    assert ["fetch attempt 1", "fetch"] * 2 == [span.name for span in exporter.get_finished_spans()]
