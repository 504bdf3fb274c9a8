"""Spans as a trace: those of a real program, and files in which spans are missing."""

from __future__ import annotations

import gzip
import subprocess
import sys

import pytest

from holdfast.errors import TraceError
from holdfast.tracing.export.otlp_json import request
from holdfast.tracing.store.database import TraceStore
from holdfast.tuning import Trace, tune

PROGRAM = """
import sys, time
import holdfast.tracing
from holdfast import CachePolicy, DiskCache, entrypoint, resilient, task
from holdfast.cache.default import set_default_cache

set_default_cache(DiskCache(sys.argv[1] + "/cache"))
handle = holdfast.tracing.configure(path=sys.argv[1] + "/traces.db", max_hit_spans=int(sys.argv[2]))

@resilient(retry_policy=(), cache_policy=CachePolicy(ttl=3600, version="1"))
def fetch(city: str) -> str:
    time.sleep(0.02)
    return city

@task(cache_policy=CachePolicy(ttl=3600, version="1"))
def store(number: int) -> int:
    return number

@entrypoint()
def plan() -> int:
    return sum(store(number % 3).result() for number in range(12))

for city in ("Oslo", "Lima", "Oslo", "Oslo"):
    fetch(city)
plan.invoke()
assert handle.flush(10)
"""


def spans_of_a_program(folder, max_hit_spans=100):
    """What it left in its trace store."""
    subprocess.run([sys.executable, "-c", PROGRAM, folder, str(max_hit_spans)], check=True, timeout=60)
    store = TraceStore(folder / "traces.db")
    rows = list(store.all_spans())
    store.close()
    return rows


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Of a program that was traced as a whole."""
    return spans_of_a_program(tmp_path_factory.mktemp("program"))


def written(folder, rows, *, per_line=5, packed=False):
    """A file of some requests."""
    lines = [request(rows[start : start + per_line]) for start in range(0, len(rows), per_line)]
    path = folder / ("spans.jsonl.gz" if packed else "spans.jsonl")
    data = b"\n".join([*lines, b""])
    path.write_bytes(gzip.compress(data) if packed else data)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_calls_of_a_real_program_are_read(tmp_path, rows, packed):
    """Each call with its key, in the order of time; the computed ones with what they took."""
    trace = Trace.from_otlp(written(tmp_path, rows, packed=packed), task="fetch")
    oslo, lima, again, last = trace

    assert oslo.key == again.key == last.key != lima.key
    assert oslo.time < lima.time < again.time < last.time
    assert all(each.compute >= 0.02 for each in (oslo, lima))
    assert again.compute is last.compute is None
    assert 2 == trace.hits(["1h"])[0].calls


def test_calls_inside_runs_are_read(tmp_path, rows):
    """Hits have spans as well."""
    trace = Trace.from_otlp(written(tmp_path, rows), task="store")

    assert (12, 3) == (len(trace), trace.hits([None])[0].calls)


def test_spans_that_were_left_out_are_noticed(tmp_path):
    """Hits beyond the limit of a run have no span."""
    path = written(tmp_path, spans_of_a_program(tmp_path, max_hit_spans=4))

    with pytest.raises(TraceError, match="calls have no span") as refused:
        Trace.from_otlp(path, task="store")
    assert "Recording.load" in str(refused.value)


@pytest.mark.parametrize("dropped", [[1], [1, 2], [2]])
def test_sampled_spans_are_refused(tmp_path, rows, dropped):
    """Any that is missing between two others, as after sampling by trace."""
    calls = [row for row in rows if row.attributes.get("holdfast.task.name", "").endswith("fetch")]
    kept = [row for place, row in enumerate(sorted(calls, key=lambda row: row.start_ns)) if place not in dropped]

    with pytest.raises(TraceError, match=f"{len(dropped)} of 4 calls have no span"):
        Trace.from_otlp(written(tmp_path, kept))


def test_one_span_twice_is_one_call(tmp_path, rows):
    """An exporter may send again what it does not know to have arrived."""
    assert 4 == len(Trace.from_otlp(written(tmp_path, [*rows, *rows]), task="fetch"))


def test_a_task_must_be_meant(tmp_path, rows):
    """There are two."""
    path = written(tmp_path, rows)
    with pytest.raises(TraceError, match=r"2 tasks are recorded in .*: give the full name of one, __main__\.fetch or __main__\.store"):
        Trace.from_otlp(path)
    with pytest.raises(TraceError, match="did you mean fetch"):
        Trace.from_otlp(path, task="fetsh")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("{}", "line 1: it is no request of OTLP in JSON"),
        ("key,t_s", "line 1: it is no request"),
        ('{"resourceSpans": []}', "nothing is recorded"),
        ('{"resourceSpans": [{"scopeSpans": [{"spans": [{"startTimeUnixNano": "x", "endTimeUnixNano": "1"}]}]}]}', "nothing is recorded"),
    ],
)
def test_other_files_are_refused(tmp_path, line, text):
    """With what is wrong, and where."""
    path = tmp_path / "file"
    path.write_text(line + "\n")

    with pytest.raises(TraceError, match=text):
        Trace.from_otlp(path)


def test_spans_without_numbers_are_refused(tmp_path, rows):
    """It cannot be told whether all are there."""
    text = written(tmp_path, rows).read_text().replace("holdfast.cache.ordinal", "holdfast.cache.other")
    path = tmp_path / "old.jsonl"
    path.write_text(text)

    with pytest.raises(TraceError, match=r"holdfast\.cache\.ordinal is missing"):
        Trace.from_otlp(path, task="fetch")


def test_spans_can_be_tuned(tmp_path, rows):
    """They are told from other lines of JSON by what is in them."""
    report = tune(written(tmp_path, rows), task="fetch", live_ttl="1h", max_age="1h")

    assert (4, 2) == (report.facts.gets, report.facts.keys)
