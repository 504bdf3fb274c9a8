"""`holdfast top` and `holdfast export`, run as people run them, with a real collector."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import threading
import time

import pytest

from holdfast.tracing.spans.records import SpanRow
from holdfast.tracing.store.database import TraceStore
from tests.cli.test_commands import FIRST, SECOND, command, filled, path, run_rows, terminal  # noqa: F401 - fixtures
from tests.tracing.export.test_otlp import closed_port, http_collector


@contextlib.contextmanager
def refusing(status):
    """A backend on loopback that answers with an error; its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/traces"
        finally:
            server.shutdown()
            thread.join()


TOP = """\
   TASK      CALLS  FLAKED  FAILED  ATTEMPTS     P50     P95     MAX
↻  forecast      3    100%              2.00  0.50 s  0.50 s  0.50 s
   └─ Flake 3
"""


def test_top_ranks_the_tasks(command, filled):  # noqa: F811
    """With what made them flake."""
    assert (0, TOP, "") == command("top")


def test_top_orders_and_chooses(command, path):  # noqa: F811
    """By flakes, by duration, by calls; of some runs only."""
    store = TraceStore(path)
    for n, (name, ms, attempts) in enumerate([("slow", 900, 1), ("flaky", 5, 2), ("often", 1, 1), ("often", 1, 1), ("often", 1, 1)]):
        row = run_rows(FIRST, 1 if n else 120)[1]
        known = row.attributes | {"holdfast.task.name": name, "holdfast.attempt.count": attempts, "holdfast.run.id": f"r{n}"}
        store.write([SpanRow(f"{n:032x}", "2" * 16, "", name, row.start_ns, row.start_ns + ms * 10**6, attributes=known)])
    store.close()

    def names(*options):
        return [each["task"] for each in json.loads(command("top", "--json", *options)[1])]

    assert "flaky" == names()[0]
    assert ["slow", "flaky", "often"] == names("--by", "slow")
    assert "often" == names("--by", "calls")[0]
    assert ["often"] == names("--by", "calls", "--limit", "1")
    assert {"flaky", "often"} == set(names("--since", "1h"))


def test_top_has_fewer_columns_on_a_narrow_terminal(filled, path):  # noqa: F811
    """No line is wider than it."""
    said = re.sub(r"\x1b\[[0-9;]*m", "", terminal("top", path=path)).splitlines()

    assert max(map(len, said)) <= 60
    assert ["TASK", "CALLS", "FLAKED", "FAILED", "ATTEMPTS", "P50", "P95"] == said[0].split()


@pytest.mark.parametrize("options", [(), ("--since", "1h")])
def test_top_of_nothing(command, options):  # noqa: F811
    """Says how to record."""
    code, out, err = command("top", *options)

    assert (1, "", True) == (code, out, "nothing has been recorded" in err)


def test_top_of_runs_without_tasks(command, path):  # noqa: F811
    """They have been recorded, so nothing is said of how to record."""
    store = TraceStore(path)
    store.write(run_rows(FIRST, 1)[:1])
    store.close()

    assert (1, "", "Error: no such call has been recorded\n") == command("top")


def test_export_sends_a_run(command, filled):  # noqa: F811
    """With its own ids, to a collector on a real socket."""
    with http_collector() as (url, requests):
        code, out, err = command("export", SECOND, "--to", url.removesuffix("/v1/traces"))

    ((where, request),) = requests
    spans = [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]
    assert (0, "", f"4 spans of 1 trace to {url.removesuffix('/v1/traces')}\n", "/v1/traces") == (code, out, err, where)
    assert {SECOND.replace("-", "")} == {span.trace_id.hex() for span in spans}
    assert ["run plan", "forecast", "forecast attempt 1", "forecast attempt 2"] == [span.name for span in spans]


def test_export_sends_a_run_to_a_backend_by_its_name(command, filled):  # noqa: F811
    """Its address and credentials come from its own variables, its words are in the spans; without them it is said which are missing."""
    with http_collector() as (url, requests):
        base = url.removesuffix("/v1/traces")
        done = command("export", SECOND, "--to", "langsmith", LANGSMITH_API_KEY="k", LANGSMITH_ENDPOINT=base)
    code, _, err = command("export", SECOND, "--to", "langsmith")

    ((where, request),) = requests
    names = {
        each.key
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
        for each in span.attributes
    }
    assert (0, "", "4 spans of 1 trace to langsmith\n", "/otel/v1/traces") == (*done, where)
    assert "langsmith.span.kind" in names
    assert (2, True) == (code, "LANGSMITH_API_KEY" in err)


def test_export_takes_no_address_for_a_file(command, filled, tmp_path, monkeypatch):  # noqa: F811
    """`localhost:4318` became a file of that name."""
    monkeypatch.chdir(tmp_path)
    code, _, err = command("export", "--to", "localhost:4318")

    assert (2, True) == (code, "--to localhost:4318 is no URL: write http://localhost:4318, or ./localhost:4318" in err)
    assert not (tmp_path / "localhost:4318").exists()


def test_export_takes_no_slip_for_a_file(command, filled, tmp_path, monkeypatch):  # noqa: F811
    """`jeager` became a file of that name; a file may be called so all the same."""
    monkeypatch.chdir(tmp_path)
    code, _, err = command("export", "--to", "jeager")

    assert (2, True) == (code, "--to jeager is no backend: did you mean jaeger? Write ./jeager for a file of that name" in err)
    assert (0, True) == (command("export", "--to", "./jeager")[0], (tmp_path / "jeager").exists())


def test_export_wants_a_destination_that_is_named(command, filled):  # noqa: F811
    """An empty one, as of a variable that is not set, was called a folder."""
    code, _, err = command("export", "--to", "")

    assert (2, True) == (code, "--to is empty: give a URL, such as http://localhost:4318, a file, or - for stdout" in err)


def test_export_writes_a_file(command, filled, tmp_path):  # noqa: F811
    """One line for the trace, or one for each of all."""
    one, every = tmp_path / "run.json", tmp_path / "runs.jsonl"

    assert (0, "", f"4 spans of 1 trace to {one}\n") == command("export", FIRST, "--to", str(one))
    assert (0, "", f"12 spans of 3 traces to {every}\n") == command("export", "--all", "--to", str(every))
    first, *others = every.read_text(encoding="utf-8").splitlines()
    assert (json.loads(one.read_text(encoding="utf-8")), 2) == (json.loads(first), len(others))
    code, out, err = command("export", FIRST, "--to", "-")
    assert (0, first + "\n", "4 spans of 1 trace to stdout\n") == (code, out, err)


def test_export_overwrites_no_database(command, filled, path):  # noqa: F811
    """The trace store itself, above all; an export of before may be replaced."""
    code, out, err = command("export", "--all", "--to", str(path))

    assert (2, "", True) == (code, out, f"{path} is a SQLite database, which would be lost" in err)
    assert 3 == len(TraceStore(path).runs(10))


def test_export_says_what_had_no_end(command, path, tmp_path):  # noqa: F811
    """The file holds it until it was last seen."""
    store = TraceStore(path)
    run = run_rows(FIRST, 1)[0]
    store.write([SpanRow(run.trace_id, run.span_id, "", run.name, run.start_ns, run.end_ns, attributes=run.attributes, is_open=True)])
    store.close()

    said = command("export", "--to", str(tmp_path / "x.json"))[2]

    assert f"1 span of 1 trace to {tmp_path / 'x.json'}; 1 of them had no end and end where they were last seen\n" == said


def test_export_that_fails_says_why(command, filled, tmp_path):  # noqa: F811
    """Exit code 1: the backend refuses, nobody listens, or the folder is not there."""
    with refusing(401) as url:
        said = command("export", "--to", url)
    assert (1, "", f"Error: {url} did not take the spans: 401 Unauthorized: check OTEL_EXPORTER_OTLP_HEADERS\n") == said
    with closed_port() as where:
        code, _, err = command("export", "--to", where, OTEL_EXPORTER_OTLP_TIMEOUT="1")
    assert (1, True) == (
        code,
        err.startswith(f"Error: {where}/v1/traces did not take the spans: no connection to {where}/v1/traces: Connection refused: "),
    )
    missing = tmp_path / "nowhere" / "x.json"
    assert (1, "", f"Error: {missing} cannot be written: No such file or directory\n") == command("export", "--to", str(missing))


def test_export_has_a_call_before_its_attempt(command, path, tmp_path):  # noqa: F811
    """Though they began at one moment, and the attempt, which ends first, was written first."""
    store = TraceStore(path)
    known, now = {"holdfast.task.name": "forecast"}, time.time_ns()
    for n in range(1, 4):
        task = SpanRow(f"{n:032x}", "b" * 16, "", "forecast", now, now + 9, attributes={**known, "holdfast.span.type": "task"})
        tried = SpanRow(
            f"{n:032x}", "a" * 16, "b" * 16, "forecast attempt 1", now, now + 9, attributes={**known, "holdfast.span.type": "attempt"}
        )
        store.write([tried, task])
    store.close()
    every = tmp_path / "runs.jsonl"
    assert 0 == command("export", "--all", "--to", str(every))[0]

    assert 3 == len(every.read_text(encoding="utf-8").splitlines())
    for line in every.read_text(encoding="utf-8").splitlines():
        (scoped,) = json.loads(line)["resourceSpans"][0]["scopeSpans"]
        assert ["forecast", "forecast attempt 1"] == [span["name"] for span in scoped["spans"]]
