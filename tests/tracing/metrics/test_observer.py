"""Metrics as a real SDK collects them, and as Prometheus scrapes them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client.parser import text_string_to_metric_families

from holdfast import CachePolicy, InMemoryCache, NodeTimeoutError, RetryPolicy, entrypoint, events, resilient, task
from holdfast.testing import FakeClock, scripted
from holdfast.tracing.export.dialects.tags import tags
from holdfast.tracing.metrics import measures
from holdfast.tracing.metrics.observer import MetricObserver
from holdfast.tracing.observers.spans import SpanObserver
from holdfast.tracing.safety.guard import Guarded
from tests.children import in_child

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
DASHBOARD = ROOT / "examples" / "metrics" / "dashboard.json"
PROGRAM = ROOT / "examples" / "metrics" / "program.py"


class Collected:
    """A meter provider in memory, and what holdfast has measured with it."""

    def __init__(self):
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider(metric_readers=[self.reader], shutdown_on_exit=False)
        self.observer = MetricObserver(self.provider)

    def metrics(self):
        """Each metric by its name."""
        data = self.reader.get_metrics_data()
        scopes = [] if data is None else [scope for resource in data.resource_metrics for scope in resource.scope_metrics]
        assert all(("holdfast", "holdfast/1") == (scope.scope.name, scope.scope.schema_url) for scope in scopes)
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def points(self):
        """Of each metric: what each series says, the sum of a histogram with its count."""
        found = {}
        for name, metric in self.metrics().items():
            for point in metric.data.data_points:
                value = point.value if hasattr(point, "value") else (point.count, round(point.sum, 6))
                found.setdefault(name, {})[tuple(sorted(point.attributes.items()))] = value
        return found


@pytest.fixture
def collected():
    """Whatever happens in the test is measured."""
    collected = Collected()
    previous = events.observe(Guarded(collected.observer))
    yield collected
    events.observe(previous)
    collected.provider.shutdown()


def series(**attributes):
    """Attributes as a key; ``__`` stands for a dot."""
    return tuple(sorted((name.replace("__", "."), value) for name, value in attributes.items()))


def test_a_retried_call(collected):
    """Its duration with the wait, each attempt, the wait, and the retry by its cause."""
    body = scripted([ConnectionError("reset"), "ok"])
    fetch = resilient(name="fetch", retry_policy=RetryPolicy(initial_interval=2, jitter=False))(body)

    with FakeClock():
        fetch()

    ok, of_fetch = series(holdfast__outcome="ok", holdfast__task__name="fetch"), series(holdfast__task__name="fetch")
    failed = series(error__type="ConnectionError", holdfast__outcome="error", holdfast__task__name="fetch")
    assert {
        "holdfast.task.duration": {ok: (1, 2.0)},
        "holdfast.attempt.duration": {ok: (1, 0.0), failed: (1, 0.0)},
        "holdfast.retry.wait": {of_fetch: (1, 2.0)},
        "holdfast.retries": {series(error__type="ConnectionError", holdfast__task__name="fetch"): 1},
        "holdfast.tasks.active": {of_fetch: 0},
    } == collected.points()


def test_a_call_that_retries_could_not_save(collected):
    """It is a failure, and one more that retries were in vain for; without a retry it is only a failure."""
    fetch = resilient(name="fetch", retry_policy=RetryPolicy(max_attempts=2, jitter=False))(scripted([ConnectionError("no")] * 2))
    book = resilient(name="book")(scripted([ValueError("no")]))
    with FakeClock():
        for call in (fetch, book):
            with pytest.raises((ConnectionError, ValueError)):
                call()

    points = collected.points()

    assert {series(error__type="ConnectionError", holdfast__task__name="fetch"): 1} == points["holdfast.retries.exhausted"]
    assert (
        1 == points["holdfast.task.duration"][series(error__type="ValueError", holdfast__outcome="error", holdfast__task__name="book")][0]
    )


def test_what_the_cache_says(collected):
    """Each answer is counted; the age of a hit is measured; a hit has no duration."""
    fetch = resilient(name="fetch", cache_policy=CachePolicy(ttl=60), cache=InMemoryCache())(lambda n: n)
    with FakeClock() as clock:
        fetch(1)
        clock.advance(42)
        fetch(1)

    points = collected.points()

    of_fetch = series(holdfast__task__name="fetch")
    hit, miss = (series(holdfast__cache__result=result, holdfast__task__name="fetch") for result in ("hit", "miss"))
    assert {hit: 1, miss: 1} == points["holdfast.cache.requests"]
    assert {of_fetch: (1, 42.0)} == points["holdfast.cache.hit.age"]
    assert [1] == [count for count, _ in points["holdfast.task.duration"].values()]


def test_runs_and_their_tasks(collected):
    """The body of an entrypoint is no task; a time limit is an outcome of its own."""
    release = threading.Event()

    @task(name="stuck", timeout=0.01)
    def stuck():
        release.wait(30)

    @entrypoint(name="plan")
    def plan():
        return stuck().result()

    with pytest.raises(NodeTimeoutError):
        plan.invoke()
    release.set()
    points = collected.points()

    assert [series(error__type="timeout", holdfast__outcome="timeout", holdfast__task__name="stuck")] == list(
        points["holdfast.task.duration"]
    )
    (run,) = points["holdfast.run.duration"]
    assert ("plan", "error") == (dict(run)["holdfast.workflow.name"], dict(run)["holdfast.outcome"])
    assert {"stuck", "plan"} == {dict(each)["holdfast.task.name"] for each in points["holdfast.attempt.duration"]}


def test_calls_under_way(collected):
    """Counted while they are, and 0 afterwards, however they end."""
    begun, release = threading.Semaphore(0), threading.Event()

    @resilient(name="hang")
    def hang():
        begun.release()
        release.wait(30)
        raise ValueError("at last")

    def call():
        with pytest.raises(ValueError, match="at last"):
            hang()

    threads = [threading.Thread(target=call) for _ in range(3)]
    for each in threads:
        each.start()
        begun.acquire()
    during = collected.points()["holdfast.tasks.active"]
    release.set()
    for each in threads:
        each.join()

    of_hang = series(holdfast__task__name="hang")
    assert ({of_hang: 3}, {of_hang: 0}) == (during, collected.points()["holdfast.tasks.active"])


def test_calls_under_way_at_a_fork_are_the_parents(collected):
    """A worker that a task has forked would show that task as under way for ever. Nor does it wait for a lock that one of its threads held."""
    of_crunch, of_fetch = series(holdfast__task__name="crunch"), series(holdfast__task__name="fetch")

    def in_worker():
        body = scripted([ConnectionError("reset"), "ok"])
        with FakeClock():
            resilient(name="fetch", retry_policy=RetryPolicy(initial_interval=2, jitter=False))(body)()
        return {of_crunch: 0, of_fetch: 0} == collected.points()["holdfast.tasks.active"]

    @resilient(name="crunch")
    def crunch():
        with collected.observer._lock:
            return in_child(in_worker)

    assert 0 == crunch()
    assert {of_crunch: 0} == collected.points()["holdfast.tasks.active"]


def test_counts_of_many_threads_are_whole(collected):
    """No increment is lost."""
    bodies = [resilient(name="fetch", retry_policy=RetryPolicy(max_attempts=9, jitter=False, initial_interval=0.0))] * 8

    def call(decorate):
        for _ in range(20):
            decorate(scripted([ConnectionError("no")] * 8 + ["ok"]))()

    threads = [threading.Thread(target=call, args=(each,)) for each in bodies]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert [8 * 20 * 8] == list(collected.points()["holdfast.retries"].values())


def test_exemplars_lead_to_the_span_of_the_call(collected):
    """Also though a call's span is not current any more when it ends."""
    provider = TracerProvider(shutdown_on_exit=False)
    spans = SpanObserver(provider.get_tracer("holdfast"))
    kept = []
    spans_ended = spans.call_ended
    spans.call_ended = lambda call: (kept.append(call.memo.span), spans_ended(call))
    events.observe(Guarded(spans, collected.observer))

    resilient(name="fetch")(lambda: "ok")()

    (point,) = collected.metrics()["holdfast.task.duration"].data.data_points
    (exemplar,) = point.exemplars
    assert (kept[0].context.trace_id, kept[0].context.span_id) == (exemplar.trace_id, exemplar.span_id)


def test_nothing_is_counted_without_a_provider(monkeypatch):
    """Nor made: the check is all that is paid."""
    monkeypatch.setattr("opentelemetry.metrics._internal._METER_PROVIDER", None)
    observer = MetricObserver()
    previous = events.observe(Guarded(observer))
    try:
        resilient(name="fetch", cache_policy=CachePolicy(ttl=60), cache=InMemoryCache())(lambda: "ok")()
    finally:
        events.observe(previous)

    assert ({}, {}, [0, 0, 0]) == (observer._histograms, observer._active, [sum(each.values()) for each in observer._counts.values()])


def test_the_table_of_the_documentation():
    """As the code has it."""
    assert measures.markdown() in PAGE


def test_every_measure_has_the_attributes_it_says(collected):
    """No more, no less: what is not in the table is not emitted; nothing in it is an id."""
    body = scripted([ConnectionError("no")] * 2)
    fetch = task(name="fetch", retry_policy=RetryPolicy(max_attempts=2, jitter=False), cache_policy=CachePolicy(ttl=60))(body)
    good = task(name="good", cache_policy=CachePolicy(ttl=60))(lambda: 1)

    @entrypoint(name="plan", cache=InMemoryCache())
    def plan():
        good().result(), good().result()
        return fetch().result()

    with FakeClock(), pytest.raises(ConnectionError):
        plan.invoke()
    metrics = collected.metrics()

    for measure in measures.MEASURES:
        metric = metrics.pop(measure.name)
        emitted = {name for point in metric.data.data_points for name in point.attributes}
        assert (measure.unit, measure.meaning, set(measure.attributes)) == (metric.unit, metric.description, emitted)
        if measure.buckets:
            assert measure.buckets == metric.data.data_points[0].explicit_bounds
    assert {} == metrics


def queries():
    """Every query of the page and of the dashboard."""
    found = re.findall(r"```promql\n(.*?)```", PAGE, re.DOTALL)
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found + [target["expr"] for panel in panels for target in panel.get("targets", [])]


def test_the_share_of_answers_counts_every_kind_of_answer():
    """Old values among them; what is computed behind the callers' backs is no question."""
    asked = [query for query in queries() if "holdfast_cache_requests_total" in query]
    answers, behind = {tuple(re.findall(r'"([\w|]+)"', query)) for query in asked}.pop()

    assert 2 == len(asked)
    assert [["cache:" + each] for each in answers.split("|")] == [tags({"holdfast.cache.result": each}) for each in answers.split("|")]
    assert [] == [tag for each in behind.split("|") for tag in tags({"holdfast.cache.result": each})]
    assert {"hit", "stale", "stale_if_error", "negative", "coalesced"} == set(answers.split("|"))


def test_the_names_in_the_queries_are_those_of_a_real_scrape():
    """The example program serves its metrics over HTTP; each name and label that a query uses is among them."""
    arguments = [sys.executable, str(PROGRAM), "--port", "0", "--seconds", "120"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            wanted = {name for query in queries() for name in re.findall(r"\b(holdfast_\w+)(?:\{.*?\})?(?:\[|\)$)", query.strip())}
            families, labels = scrape_until(url, wanted)
        finally:
            process.kill()

    assert (
        {"holdfast_tasks_active", "holdfast_cache_requests_total", "holdfast_retries_total", "holdfast_task_duration_seconds_bucket"}
        <= wanted
        <= families
    )
    used = {
        label
        for query in queries()
        for group in re.findall(r"by \(([^)]*)\)|\{(\w+)(?:=|!)", query)
        for label in re.split(r"\W+", " ".join(group))
    }
    assert used - {""} <= labels


def scrape_until(url, wanted):
    """Names of samples and of labels, once all that are wanted are there."""
    deadline = threading.Event()
    timer = threading.Timer(90, deadline.set)
    timer.start()
    try:
        while True:
            with urllib.request.urlopen(url, timeout=30) as answer:
                samples = [sample for family in text_string_to_metric_families(answer.read().decode()) for sample in family.samples]
            names = {sample.name for sample in samples}
            if wanted <= names or deadline.wait(0.2):
                return names, {label for sample in samples for label in sample.labels}
    finally:
        timer.cancel()


MEASURED = """
import sys
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
import holdfast.tracing
from holdfast import RetryPolicy, resilient
from holdfast.testing import flaky
from holdfast.tracing.safety import firewall

firewall.EXIT_TIMEOUT = 60.0  # however slow the disk is
reader = InMemoryMetricReader()
{before}
fetch = resilient(name="fetch", retry_policy=RetryPolicy(initial_interval=0.001))(flaky(1, result="ok"))
metrics.set_meter_provider(MeterProvider(metric_readers=[reader]))
fetch()
{after}
data = reader.get_metrics_data()
print(sorted(each.name for resource in data.resource_metrics for scope in resource.scope_metrics for each in scope.metrics) if data else [])
"""


@pytest.mark.parametrize(
    ("before", "after", "environment", "is_measured"),
    [
        ("holdfast.tracing.measure()", "", {}, True),
        ("", "", {"HOLDFAST_TRACING": "metrics"}, True),
        ("holdfast.tracing.configure(path=sys.argv[1], lines=False)", "", {}, True),
        (
            "holdfast.tracing.measure(); handle = holdfast.tracing.configure(path=sys.argv[1], lines=False); handle.shutdown()",
            "fetch()",
            {},
            True,
        ),
        ("", "", {}, False),
        ("", "", {"HOLDFAST_TRACING": "off"}, False),
    ],
)
def test_what_turns_measuring_on(before, after, environment, is_measured, tmp_path):
    """The provider may come later; warnings of retries are written as ever."""
    tmp_path.chmod(0o700)
    code = MEASURED.format(before=before, after=after)
    known = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST", "OTEL"))} | environment
    arguments = [sys.executable, "-c", code, str(tmp_path / "traces.db")]
    done = subprocess.run(arguments, env=known, capture_output=True, text=True, timeout=60, check=True)

    durations = ["holdfast.attempt.duration", "holdfast.retries", "holdfast.retry.wait", "holdfast.task.duration", "holdfast.tasks.active"]
    assert str(durations if is_measured else []) + "\n" == done.stdout
    assert (0 if before.startswith("holdfast.tracing.configure") else 1) == len(done.stderr.splitlines())
