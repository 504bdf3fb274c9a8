"""Processes that are really killed while they send OTLP to a real receiver: afterwards the traces are whole, and every span is there once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from holdfast import SqliteSaver
from holdfast.runtime.outbox import open_spans
from holdfast.tracing.killed import keeper
from holdfast.tracing.store.database import TraceStore
from tests.tracing.export.test_otlp import http_collector
from tests.waiting import until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SqliteSaver and SIGKILL")

PROGRAM = """
import os, signal, sys, time
import holdfast, holdfast.tracing
from opentelemetry import trace
from holdfast import RetryPolicy, SqliteSaver, entrypoint, task
from holdfast.tracing.killed import under_way

place, instant, *_ = sys.argv[1:]
if not instant.startswith("hanging"):
    under_way.LONG_NS = 10**18  # a slow machine takes a second for what does not hang, and then that is kept as well
tracer = trace.get_tracer("users")

def here(name):
    if name == instant:
        if not name.startswith("unsent"):
            holdfast.flush(30)  # what has ended has left
        os.kill(os.getpid(), signal.SIGKILL)

def hang(name):
    if name == instant:
        print("hangs", flush=True)
        time.sleep(60)

@task
def inner(n):
    here("nested")
    return n

@task(kind="client", retry_policy=RetryPolicy(max_attempts=3, initial_interval=0.001, retry_on=ConnectionError))
def fetch(n):
    with tracer.start_as_current_span("GET"):
        pass
    if not hasattr(fetch, "tried"):
        fetch.tried = True
        raise ConnectionError("reset")
    with tracer.start_as_current_span("parse"):
        inner(n).result()
        here("in a span of the user's")
    here("attempt 2")
    hang("hanging")
    return n

@task(kind="client")
def alone(n):
    hang("hanging alone")
    return n

@task(retry_policy=RetryPolicy(max_attempts=2))
def quick(n):
    with tracer.start_as_current_span("around"):
        with tracer.start_as_current_span("sent"):
            pass
        if instant == "lost":
            holdfast.flush(30)
    return n

@task
def last(n):
    here("last task")
    return n

@entrypoint(SqliteSaver(place + "/runs.db"))
def plan(n):
    here("unsent body")
    here("body")
    alone(n).result()
    total = fetch(n).result()
    here("between tasks")
    if instant == "lost":
        quick(n).result()
        os.kill(os.getpid(), signal.SIGKILL)
    here("unsent tasks")
    return total + last(n).result()

if __name__ == "__main__":
    sampling = holdfast.tracing.KeepInteresting(ratio=0) if "SAMPLED" in os.environ else None
    with holdfast.tracing.configure("otlp", sampling=sampling, lines=False):
        print(plan.invoke(None if instant == "resume" else 1, thread_id="trip-1"))
        holdfast.flush(30)
"""

CLIENT = 3  # SPAN_KIND_CLIENT of OTLP
INSTANTS = ["unsent body", "body", "nested", "in a span of the user's", "attempt 2", "between tasks", "unsent tasks", "last task"]
CASES = [
    *(("light", instant) for instant in INSTANTS),
    *(("sdk", instant) for instant in ("nested", "in a span of the user's", "between tasks")),
]
both_kinds = pytest.mark.parametrize("lives", ["light", "sdk"], indirect=True)


class Lives:
    """Runs the program, again and again, beside a receiver."""

    def __init__(self, folder, endpoint, requests, **environment):
        self.folder = folder
        self.requests = requests
        (folder / "app.py").write_text(textwrap.dedent(PROGRAM))
        self.environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint.removesuffix("/v1/traces"), **environment}
        self.environment |= {"HOLDFAST_TRACES": str(folder / "traces.db"), "HOLDFAST_SECRET": "a secret for tests, long enough"}
        self.environment.pop("HOLDFAST_TRACING", None)

    def start(self, *command):
        """A process."""
        return subprocess.Popen(
            [sys.executable, *command], cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def live(self, instant):
        """One life of the program; its exit code."""
        process = self.start("app.py", str(self.folder), instant)
        said = process.communicate(timeout=60)[0]
        assert process.returncode in {0, -signal.SIGKILL}, said
        return process.returncode

    def heal(self, *more):
        """What the command says."""
        process = self.start("-m", "holdfast", "traces", "heal", "--db", "runs.db", *more)
        said = process.communicate(timeout=60)[0]
        assert process.returncode == 0, said
        return said

    def spans(self):
        """All that arrived, with the name of its service."""
        return [
            Span(span, resource_spans.resource)
            for _, request in self.requests
            for resource_spans in request.resource_spans
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        ]


class Span:
    """A span as it arrived."""

    def __init__(self, span, resource):
        self.id, self.trace, self.parent, self.name = span.span_id, span.trace_id, span.parent_span_id, span.name
        self.kind, self.status, self.links = span.kind, (span.status.code, span.status.message), span.links
        self.time = (span.start_time_unix_nano, span.end_time_unix_nano)
        self.attributes = {each.key: each.value.string_value or each.value.int_value or each.value.bool_value for each in span.attributes}
        self.service = next(each.value.string_value for each in resource.attributes if each.key == "service.name")

    @property
    def outcome(self):
        """Of the kind of span that it is."""
        return self.attributes.get(f"holdfast.{self.attributes.get('holdfast.span.type')}.outcome")


@pytest.fixture
def lives(request, tmp_path):
    """The program, with light spans, or with the SDK's."""
    more = {} if getattr(request, "param", "light") == "light" else {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "127"}
    with http_collector() as (endpoint, requests):
        yield Lives(tmp_path, endpoint, requests, **more)


def orphans(spans):
    """Names of those whose parent is not there."""
    known = {(span.trace, span.id) for span in spans}
    return [span.name for span in spans if span.parent and (span.trace, span.parent) not in known]


def twice(spans):
    """Names of those that are there more than once."""
    ids = [span.id for span in spans]
    return [span.name for span in spans if ids.count(span.id) > 1]


def crashed(spans):
    """Those that were given their end."""
    return [span for span in spans if span.outcome == "crashed" or span.attributes.get("error.type") == "crashed"]


@pytest.mark.parametrize(("lives", "instant"), CASES, indirect=["lives"])
def test_a_killed_run_is_whole_once_it_is_resumed(lives, instant):
    """Wherever it dies: no parent is missing, no span is there twice, the first run is crashed and the second one, linked to it, is well."""
    assert -signal.SIGKILL == lives.live(instant)
    before = lives.spans()
    assert 0 == lives.live("resume")
    spans = lives.spans()
    first, second = sorted((span for span in spans if span.name == "run plan"), key=lambda span: span.time)
    (link,) = second.links

    assert ([], []) == (orphans(spans), twice(spans))
    assert ("crashed", (2, "the process ended before this did")) == (first.outcome, first.status)
    assert ("ok", True, (0, "")) == (second.outcome, second.attributes["holdfast.run.resumed"], second.status)
    assert (first.trace, first.id) == (link.trace_id, link.span_id)
    assert [] == [span.name for span in before if span.trace != first.trace]
    assert [] == [span.name for span in crashed(spans) if span.trace == second.trace]
    assert {"app"} == {span.service for span in spans}


@both_kinds
def test_of_a_killed_run_what_was_interesting_is_whole(lives):
    """With `KeepInteresting`: it had a retry, so all of it has left; what goes on with it, uneventfully, is not sent."""
    lives.environment["SAMPLED"] = "1"
    lives.live("last task")
    lives.live("resume")
    spans = lives.spans()

    assert ([], []) == (orphans(spans), twice(spans))
    assert ["crashed"] == [span.outcome for span in spans if span.name == "run plan"]
    assert {"alone", "fetch", "fetch attempt 1", "fetch attempt 2", "GET", "parse", "inner", "run plan"} == {span.name for span in spans}


@both_kinds
def test_a_killed_run_is_interesting_in_itself(lives):
    """With `KeepInteresting`: that it crashed is told, though nothing had happened and nothing had left."""
    lives.environment["SAMPLED"] = "1"
    lives.live("body")
    assert [] == lives.spans()
    lives.heal()

    assert ["run plan"] == [span.name for span in crashed(lives.spans())] == [span.name for span in lives.spans()]


@both_kinds
def test_what_was_open_is_told_as_what_it_was(lives):
    """The task, its second attempt, and the user's own span around a call: under their names, kinds and times, all ended when last seen."""
    lives.live("nested")
    lives.live("resume")
    spans = lives.spans()
    healed = {span.name: span for span in crashed(spans)}

    assert {"run plan", "fetch", "fetch attempt 2"} <= set(healed)
    assert [2, 2] == [healed["fetch attempt 2"].attributes.get(name) for name in ("holdfast.attempt.number",)] * 2
    assert ("task", "attempt") == tuple(healed[name].attributes["holdfast.span.type"] for name in ("fetch", "fetch attempt 2"))
    assert healed["run plan"].time[0] <= healed["fetch"].time[0] <= healed["fetch attempt 2"].time[0]
    assert 1 == len({span.time[1] for span in healed.values()})
    assert {"error"} == {span.outcome for span in spans if span.name == "fetch attempt 1"}


def test_healed_without_being_resumed(lives):
    """The command sends what is missing, once; who resumes the run later only links to it."""
    lives.live("nested")
    assert lives.heal("--dry-run").startswith("would heal run ")
    assert [] == crashed(lives.spans())
    said = lives.heal()
    healed = lives.spans()
    assert "nothing to heal" in lives.heal()
    lives.live("resume")
    spans = lives.spans()

    assert "(plan), last seen " in said
    assert ([], []) == (orphans(healed), twice(healed))
    assert {"app"} == {span.service for span in healed}
    assert ([], []) == (orphans(spans), twice(spans))
    assert [span.id for span in crashed(healed)] == [span.id for span in crashed(spans)]


def test_what_cannot_be_healed_to_is_said(lives):
    """By the name in the environment, without a traceback; ``off`` names nothing, so the endpoint holds."""
    lives.live("attempt 2")
    lives.environment["HOLDFAST_TRACING"] = "nonsense"
    process = lives.start("-m", "holdfast", "traces", "heal", "--db", "runs.db")
    said = process.communicate(timeout=60)[0]
    lives.environment["HOLDFAST_TRACING"] = "off"
    healed = lives.heal()

    assert (2, True, False) == (process.returncode, "'nonsense' is not known" in said, "Traceback" in said)
    assert (True, True) == (healed.startswith("healed run "), bool(crashed(lives.spans())))


def test_healed_by_several_processes_at_once(lives):
    """Whoever owns the thread does it; the others find nothing, and nothing is there twice."""
    lives.live("attempt 2")
    processes = [lives.start("-m", "holdfast", "traces", "heal", "--db", "runs.db") for _ in range(3)]
    said = [process.communicate(timeout=60)[0] for process in processes]
    spans = lives.spans()

    assert [0] * 3 == [process.returncode for process in processes]
    assert [False, False, True] == sorted(line.startswith("healed run ") for line in said)
    assert ([], []) == (orphans(spans), twice(spans))


def test_nothing_is_marked_as_healed_that_could_not_be_sent(lives):
    """The collector is gone: the command fails, and heals when it is back."""
    lives.live("attempt 2")
    endpoint = lives.environment["OTEL_EXPORTER_OTLP_ENDPOINT"]
    lives.environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
    process = lives.start("-m", "holdfast", "traces", "heal", "--db", "runs.db")
    said = process.communicate(timeout=60)[0]
    lives.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint

    assert (1, True) == (process.returncode, "could not be sent; heal again when the backend is up" in said)
    assert lives.heal().startswith("healed run ")
    assert ([], []) == (orphans(lives.spans()), twice(lives.spans()))


@both_kinds
def test_what_hung_is_told(lives):
    """A call that has lasted a second is kept though nothing of it has left, and says until when it was seen."""
    healed = killed_while_it_hangs(lives, "hanging", {"run plan", "fetch", "fetch attempt 2"})

    assert {"run plan", "fetch", "fetch attempt 2"} == set(healed)
    # It was seen last with its run, of which a sign is kept once that has lasted a second.
    assert healed["fetch attempt 2"].time[1] - healed["run plan"].time[0] >= 10**9
    assert CLIENT == healed["fetch attempt 2"].kind


def test_what_hung_without_children_is_told(lives):
    """Nothing of it has left, and it is its own only attempt."""
    healed = killed_while_it_hangs(lives, "hanging alone", {"alone", "run plan"})

    assert {"run plan", "alone"} == set(healed)
    assert CLIENT == healed["alone"].kind
    assert ("crashed", "crashed") == tuple(healed["alone"].attributes[f"holdfast.{name}.outcome"] for name in ("task", "attempt"))


def killed_while_it_hangs(lives, instant, names):
    """What is healed of a process that is killed once the spans of these names are kept, and no others any more."""
    process = lives.start("app.py", str(lives.folder), instant)
    assert "hangs\n" == process.stdout.readline()
    saver = SqliteSaver.read_only(lives.folder / "runs.db")
    run = saver.latest("trip-1")
    until(lambda: names == {keeper.decode(data).row.name for data in open_spans(saver.steps(run.run_id)).values()})
    process.kill()
    process.communicate()
    saver.close()
    lives.heal()
    return {span.name: span for span in crashed(lives.spans())}


def test_a_run_that_is_left_behind_is_healed_too(lives):
    """By a new input on its thread, whose run is linked to nothing."""
    lives.live("attempt 2")
    lives.live("a new input")
    spans = lives.spans()
    first, second = sorted((span for span in spans if span.name == "run plan"), key=lambda span: span.time)

    assert ([], []) == (orphans(spans), twice(spans))
    assert ("crashed", "ok", []) == (first.outcome, second.outcome, list(second.links))
    assert "nothing to heal" in lives.heal()


@both_kinds
def test_the_trace_store_has_no_gaps_either(lives):
    """It takes the open parents of what it gets with that, and ends them with their run."""
    lives.environment |= {"HOLDFAST_TRACING": "local"}
    (lives.folder / "app.py").write_text((lives.folder / "app.py").read_text().replace('configure("otlp", ', "configure("))
    lives.live("in a span of the user's")
    lives.live("resume")
    store = TraceStore(lives.folder / "traces.db")
    second, first = store.runs()
    rows = [*store.spans(first.trace_id), *store.spans(second.trace_id)]
    store.close()

    assert ("crashed", "ok") == (first.outcome, second.outcome)
    assert [] == [row.name for row in rows if row.is_open]
    assert [] == [row.name for row in rows if row.parent_id and row.parent_id not in {each.span_id for each in rows}]
    assert ["fetch", "fetch attempt 2", "parse", "run plan"] == sorted(
        row.name for row in rows if row.attributes.get("error.type") == "crashed"
    )


@both_kinds
def test_what_had_ended_and_was_lost_is_told_as_it_ended(lives):
    """Its children had left, its own span was still queued; its result is on record, so it did not crash, and no more did what was inside it."""
    lives.live("lost")
    lives.heal()
    spans = {span.name: span for span in lives.spans()}

    assert ([], []) == (orphans(lives.spans()), twice(lives.spans()))
    assert ["run plan"] == [span.name for span in crashed(lives.spans())]
    assert [("ok", (0, ""))] * 2 == [(spans[name].outcome, spans[name].status) for name in ("quick", "quick attempt 1")]
    assert (0, "") == spans["around"].status
    assert spans["sent"].time[1] <= spans["around"].time[1] <= spans["quick"].time[1] <= spans["run plan"].time[1]
