"""Light spans on a provider of the application's: where they are made, that nobody could tell, and that what comes later is noticed."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import json
import pickle
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import structlog
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import ConcurrentMultiSpanProcessor, SpanLimits, SynchronousMultiSpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

from holdfast import CachePolicy, InMemoryCache, InMemorySaver, RetryPolicy, entrypoint, events, resilient, task
from holdfast.tracing.observers.light import LightObserver
from holdfast.tracing.observers.spans import SpanObserver
from holdfast.tracing.safety.guard import Guarded
from holdfast.tracing.setup import _session
from holdfast.tracing.setup._configure import configure
from holdfast.tracing.setup._joined import joined
from holdfast.tracing.setup.detect import detect
from holdfast.tracing.spans import ids
from holdfast.tracing.spans.light_span import LightSpan
from holdfast.tracing.spans.outlet import FLAGS, Outlet, Trace
from holdfast.tracing.spans.readable import Later
from tests.children import in_child
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
"""What spans have to be read, without a deprecated one, which has a test of its own."""


def test_what_an_exporter_gets_is_worked_out_when_it_looks():
    """Each of its properties, whichever is asked first; then the light span is let go."""
    for name in PUBLIC:
        span = ended()
        later, known = Later(span), span.readable()
        assert {"_light"} == set(vars(later))
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


def test_an_exporter_may_give_it_another_context():
    """To rename its trace, say: all that is read of it then says so, as of one of the SDK's, looked at before or not."""
    for look in (lambda span: None, lambda span: span.name):
        later, other = Later(ended()), trace.SpanContext(8, 9, is_remote=False)
        look(later)
        later._context = other
        assert (other, other) == (later.context, later.get_span_context())
        assert f"0x{8:032x}" == json.loads(later.to_json())["context"]["trace_id"]
        assert (other, "fetch") == (copy.copy(later).context, copy.copy(later).name)


@pytest.mark.skipif(not hasattr(BoundedAttributes, "__deepcopy__"), reason="this version of the SDK cannot copy its own spans")
def test_an_exporter_may_copy_what_it_gets():
    """Deeply, to mask an attribute of the copy, say: of a call of which nobody has said anything, and of one to which the user has added."""
    exporter = InMemorySpanExporter()
    trace.set_tracer_provider(provider(SimpleSpanProcessor(exporter)))
    resilient(name="fetch")(lambda: 3)()
    resilient(name="mine")(lambda: trace.get_current_span().set_attribute("mine", 1))()
    spans = exporter.get_finished_spans()

    for span in spans:
        copied = copy.deepcopy(span)
        assert (span.to_json(), dict(span.attributes)) == (copied.to_json(), dict(copied.attributes))
    assert ["fetch attempt 1", "fetch", "mine attempt 1", "mine"] == [span.name for span in spans]


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


def test_it_is_noticed_when_a_run_begins():
    """So that what the run calls is told by spans of the SDK; its own span is the one at which it was noticed."""
    trace.set_tracer_provider(provider())
    nosy = Nosy()
    step = task(name="step")(lambda: 3)
    plan = entrypoint(name="plan")(lambda _: step().result())
    plan.invoke(None)
    trace.get_tracer_provider().add_span_processor(nosy)
    plan.invoke(None)

    assert (["step"], ["step", "run plan"]) == (nosy.begun, nosy.ended)


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
        observer = events.observer
        fetch()
        assert SpanObserver is kind_of_spans()
        assert observer is events.observer
        trace.set_tracer_provider(provider(SimpleSpanProcessor(exporter)))
        fetch()
        assert LightObserver is kind_of_spans()
        fetch()
    finally:
        structlog.reset_defaults()

    assert ["fetch attempt 1", "fetch"] * 2 == [span.name for span in exporter.get_finished_spans()]


def exporter_of(*processors, **more):
    """Makes a provider global, with an exporter in memory behind the others."""
    exporter = InMemorySpanExporter()
    trace.set_tracer_provider(provider(*processors, SimpleSpanProcessor(exporter), **more))
    return exporter


class Redacting(InMemorySpanExporter):
    """Takes a copy of each span and empties it before anything else was read, as exporters that redact do."""

    def export(self, spans):
        clean = [copy.copy(span) for span in spans]
        for span in clean:
            span._attributes = {}
        return super().export(clean)


def test_what_an_exporter_puts_in_its_copy_stays():
    """Also before it has looked at anything."""
    exporter = Redacting()
    trace.set_tracer_provider(provider(SimpleSpanProcessor(exporter)))
    resilient(name="fetch")(lambda: 3)()

    assert [("fetch attempt 1", {}), ("fetch", {})] == [(span.name, dict(span.attributes)) for span in exporter.get_finished_spans()]


def test_all_processors_get_the_same_object():
    """As from the SDK: what the exporter of the first changes is changed for the second."""

    class Changing(InMemorySpanExporter):
        def export(self, spans):
            for span in spans:
                span._name = "changed"
            return super().export(spans)

    exporter = exporter_of(SimpleSpanProcessor(Changing()))
    resilient(name="fetch")(lambda: 3)()

    assert ["changed", "changed"] == [span.name for span in exporter.get_finished_spans()]


def test_what_a_span_says_is_worked_out_behind():
    """Not on the caller's thread: a batch that nobody has read knows its ids alone."""
    seen = []

    class Unread(InMemorySpanExporter):
        def export(self, spans):
            seen.extend(set(vars(span)) for span in spans)
            return super().export(spans)

    trace.set_tracer_provider(provider(SimpleSpanProcessor(Unread())))
    resilient(name="fetch")(lambda: 3)()

    assert [{"_light"}] * 2 == seen


def test_a_patched_processor_gets_spans_of_the_sdk():
    """A library that puts an ``on_start`` of its own on the SDK's processor sees spans begin; a patch that comes later is noticed."""
    early, late, exporter = simple(), simple(), InMemorySpanExporter()

    def tenant(span, parent_context=None):
        span.set_attribute("tenant", "acme")

    early.on_start = tenant
    assert joined(provider(early), bool) is None

    trace.set_tracer_provider(provider(late, SimpleSpanProcessor(exporter)))
    fetch = resilient(name="fetch")(lambda: 3)
    fetch()
    late.on_start = tenant
    fetch()
    exporter.clear()
    fetch()

    assert ["acme", "acme"] == [span.attributes["tenant"] for span in exporter.get_finished_spans()]


def test_a_subclass_of_the_limits_is_left_to_the_sdk():
    """Whatever it says of itself."""
    assert joined(provider(simple(), span_limits=type("Mine", (SpanLimits,), {})()), bool) is None


def test_a_look_is_taken_once_for_each_processor():
    """And again only where nothing could be done about it."""
    answers, asked = iter([False, True]), []
    made = provider()
    outlet = joined(made, lambda: asked.append(1) or next(answers))
    assert ((), 0) == (outlet.present(), len(asked))

    made.add_span_processor(Nosy())
    for _ in range(5):
        assert 1 == len(outlet.present())
    made.add_span_processor(simple())
    assert 1 == len(outlet.present())

    assert 2 == len(asked)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_recorded_run_is_one_trace_whenever_a_processor_is_added(is_async):
    """The observer that made its record makes all its spans, should another one listen by the time its body begins."""
    exporter = exporter_of()

    @task
    def step():
        return 1

    @entrypoint(checkpointer=InMemorySaver())
    def plan(_):
        return step().result()

    @entrypoint(checkpointer=InMemorySaver())
    async def plan_async(_):
        return await step()

    resilient(lambda: 1)()
    exporter.clear()
    trace.get_tracer_provider().add_span_processor(Nosy())
    asyncio.run(plan_async.ainvoke(1, thread_id="t")) if is_async else plan.invoke(1, thread_id="t")

    spans = {span.name: span for span in exporter.get_finished_spans()}
    root = spans.pop("run plan_async" if is_async else "run plan")
    assert [root.context.span_id] == [span.parent.span_id for span in spans.values()]
    assert SpanObserver is kind_of_spans()


def test_a_restart_leaves_somebody_elses_observer_alone_and_is_made_up_for():
    """One that listens for the length of a block, say."""
    trace.set_tracer_provider(provider())
    fetch, nosy = resilient(name="fetch")(lambda: 3), Nosy()
    fetch()
    ours, other = events.observer, Guarded(LightObserver(Outlet(provider()), _session.current.settings))
    events.observe(other)
    trace.get_tracer_provider().add_span_processor(nosy)
    assert not _session.current.restart()
    assert other is events.observer
    events.observe(ours)
    fetch()
    fetch()

    assert ["fetch", "fetch attempt 1"] == nosy.begun


def test_a_restart_changes_no_lines_and_lets_others_change_the_session():
    """The level that was chosen stays, and the lock is free again."""
    configure("console", lines=False)
    session = _session.current
    session.lines.level, session.lines.is_on = 17, False
    assert session.restart()

    assert (17, False) == (session.lines.level, session.lines.is_on)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(session.restart).result(60)


def test_our_own_provider_waits_for_whoever_changes_the_session():
    """A processor is added by the application, not by a call of its: it may wait, and is never overlooked."""
    configure("console", lines=False)
    adding = threading.Thread(target=trace.get_tracer_provider().add_span_processor, args=(Nosy(),))
    with _session.lock:
        adding.start()
        adding.join(0.05)
        assert adding.is_alive()
    adding.join(60)

    assert SpanObserver is kind_of_spans()


def test_a_child_can_change_the_session_that_a_thread_of_its_parent_was_changing():
    """The lock is not held by anybody there."""
    with ThreadPoolExecutor(1) as pool, _session.lock:
        assert 0 == pool.submit(in_child, lambda: _session.lock.acquire(blocking=False)).result(60)


def test_the_current_span_can_be_read_like_one_of_the_sdks():
    """Whatever its spans have to be read, a call of the user's may ask of it."""
    exporter, seen = exporter_of(), {}

    @resilient(name="fetch")
    def fetch():
        span = trace.get_current_span()
        span.set_attribute("mine", 1)
        seen.update({name: getattr(span, name) for name in PUBLIC})
        seen["json"], seen["plain"] = json.loads(span.to_json()), hasattr(span, "nothing")
        with pytest.raises(TypeError):
            span.attributes["mine"] = 2

    fetch()
    span = exporter.get_finished_spans()[0]

    assert (span.context, "fetch attempt 1", {"mine": 1}) == (seen["context"], seen["name"], dict(seen["attributes"]))
    assert (span.resource, span.parent, 0) == (seen["resource"], seen["parent"], seen["dropped_attributes"])
    assert ("fetch attempt 1", False) == (seen["json"]["name"], seen["plain"])


def test_a_span_that_is_used_as_a_context_manager_says_what_was_raised():
    """As the SDK's: an exception event, an error, and its end."""
    exporter = exporter_of()

    @resilient(name="fetch")
    def fetch():
        with contextlib.suppress(KeyError), trace.get_current_span():
            raise KeyError("city")

    fetch()
    attempt = exporter.get_finished_spans()[0]

    assert ["exception"] == [event.name for event in attempt.events]
    assert (trace.StatusCode.ERROR, "KeyError: 'city'") == (attempt.status.status_code, attempt.status.description)


@pytest.mark.filterwarnings("ignore:You should use instrumentation_scope:DeprecationWarning")
def test_older_exporters_find_the_scope_where_it_was():
    """Before there were scopes."""
    assert ("holdfast", "holdfast/1") == (ended().readable().instrumentation_info.name, ended().readable().instrumentation_info.schema_url)


def test_what_a_limit_drops_is_counted():
    """All at once, or one by one."""
    exporter = exporter_of()

    @resilient(name="fetch")
    def fetch():
        trace.get_current_span().set_attributes({f"key {n}": n for n in range(200)})

    fetch()
    span = exporter.get_finished_spans()[0]

    assert 128 == len(span.attributes)
    assert 200 - 128 <= span.dropped_attributes


def test_flags_that_nobody_knows_are_not_passed_on():
    """Of a parent in another process."""
    exporter = exporter_of()
    parent = trace.SpanContext(7, 8, is_remote=True, trace_flags=trace.TraceFlags(0xFF))
    token = otel_context.attach(trace.set_span_in_context(trace.NonRecordingSpan(parent)))
    resilient(name="fetch")(lambda: 3)()
    otel_context.detach(token)

    assert {(7, FLAGS)} == {(span.context.trace_id, span.context.trace_flags) for span in exporter.get_finished_spans()}


def test_nothing_of_a_run_is_kept_by_spans_that_nobody_has_read():
    """They may wait long in a queue; what the caller's context holds is not theirs."""

    class Big:
        pass

    exporter, variable, kept = exporter_of(), contextvars.ContextVar("kept"), [Big()]

    @entrypoint()
    def plan(_):
        resilient(name="fetch")(lambda: 3)()

    def work():
        variable.set(kept[0])
        plan.invoke(None)

    gone = weakref.ref(kept[0])
    contextvars.copy_context().run(work)
    kept.clear()

    assert gone() is None
    assert 3 == len(exporter.get_finished_spans())


def test_a_span_leaves_once_though_ctrl_c_comes_while_it_does():
    """The exporter of a simple processor works on the caller's thread."""

    class Interrupted(InMemorySpanExporter):
        def export(self, spans):
            super().export(spans)
            if 1 == len(self.get_finished_spans()):
                raise KeyboardInterrupt
            return SpanExportResult.SUCCESS

    exporter = Interrupted()
    trace.set_tracer_provider(provider(SimpleSpanProcessor(exporter)))
    plan = entrypoint(name="plan", retry_policy=RetryPolicy())(lambda _: 3)
    with pytest.raises(KeyboardInterrupt):
        plan.invoke(None)

    assert ["plan attempt 1", "run plan"] == [span.name for span in exporter.get_finished_spans()]
