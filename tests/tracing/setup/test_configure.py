"""configure: what it sets up, what it leaves alone, and what it refuses."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import time
import uuid

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GRPCExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import holdfast.tracing
from holdfast import entrypoint, events
from holdfast.errors import HoldfastError, PolicyError, StoreError
from holdfast.events import DEBUG, ERROR, INFO
from holdfast.tracing.export import exporters
from holdfast.tracing.setup import _session
from holdfast.tracing.setup._configure import configure
from holdfast.tracing.store.database import TraceStore
from tests.tracing.conftest import Nosy

RUN_ID = "01980d2c-6d5e-7c1b-9a4e-0c8f3c3f7a10"


@pytest.fixture
def folder(tmp_path):
    tmp_path.chmod(0o700)
    return tmp_path


@pytest.fixture(autouse=True)
def structlog_as_it_was(fresh):
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def one_run(make_play):
    play = make_play(events.observer, start=int(time.time()))  # the store forgets what is old
    with play.run() as run, play.call(run, max_attempts=2) as call, play.attempt(call):
        pass


def test_a_run_is_in_the_local_store(make_play, folder):
    """Without any argument but the path; the run id is the trace id."""
    with configure(path=folder / "t.db", lines=False) as handle:
        one_run(make_play)
        assert handle.flush(60)

    store = TraceStore(folder / "t.db")
    assert {"run plan", "forecast", "forecast attempt 1"} == {row.name for row in store.spans(RUN_ID.replace("-", ""))}
    store.close()


def test_backends_add_up(make_play, folder, inline, capsys):
    """Local and console, one run in both."""
    configure(path=folder / "t.db", lines=False)
    configure("console", lines=False)
    one_run(make_play)

    store = TraceStore(folder / "t.db")
    assert 3 == len(store.spans(RUN_ID.replace("-", "")))
    assert capsys.readouterr().err.startswith("run plan")
    store.close()


def test_the_same_backend_twice_is_one(make_play, inline, capsys):
    """A second call for the same place changes options only, and gives the same handle."""
    first = configure("console", lines=False)
    second = configure("console", lines=False, attempt_spans="always")
    one_run(make_play)

    assert first is second
    assert 1 == capsys.readouterr().err.count("run plan")


def test_options_change_for_everything_under_way(fresh):
    """What the last call gives counts, in the settings that calls under way look at."""
    configure("console", lines=False, capture="values", max_hit_spans=3)
    settings = fresh.settings
    configure("console", capture="shape", max_hit_spans=0, attempt_spans="always", lines="debug")

    assert ("shape", "always", 0) == (settings.capture, settings.attempt_spans, settings.max_hit_spans)
    assert (DEBUG, True) == (fresh.lines.level, fresh.lines.is_on)


@pytest.mark.parametrize(("lines", "level", "is_on"), [(False, None, False), ("error", ERROR, True)])
def test_a_call_that_adds_a_backend_keeps_the_options(monkeypatch, fresh, folder, lines, level, is_on):
    """What it leaves out stays as it was given before, whatever the environment says."""
    configure("console", capture="values", attempt_spans="always", max_hit_spans=3, lines=lines)
    monkeypatch.setenv("HOLDFAST_CAPTURE", "shape")
    configure(path=folder / "t.db")

    settings = fresh.settings
    assert ("values", "always", 3) == (settings.capture, settings.attempt_spans, settings.max_hit_spans)
    assert (level, is_on) == (fresh.lines.level, fresh.lines.is_on)


def test_options_begin_anew_after_the_last_shutdown(fresh):
    """Nothing is left of an earlier set-up."""
    configure("console", capture="values", attempt_spans="always", max_hit_spans=3, lines=False).shutdown()
    configure("console")

    settings = fresh.settings
    assert ("none", "auto", 100) == (settings.capture, settings.attempt_spans, settings.max_hit_spans)
    assert (INFO, True) == (fresh.lines.level, fresh.lines.is_on)


def test_the_applications_provider_is_used_and_kept(make_play, inline, capsys):
    """Our processor is added to it; its own exporter gets the spans as well."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    configure("console", lines=False)
    one_run(make_play)

    assert provider is trace.get_tracer_provider()
    assert 3 == len(exporter.get_finished_spans())
    assert "run plan" in capsys.readouterr().err


def test_a_provider_without_processors_is_refused():
    """Rather than recording nothing in silence."""
    trace.set_tracer_provider(trace.NoOpTracerProvider())

    with pytest.raises(HoldfastError, match="NoOpTracerProvider, takes no span processors"):
        configure("console")


def test_shutdown_ends_observing_with_the_last_backend(folder):
    """The first ones to go leave the others running."""
    console, local = configure("console", lines=False), configure(path=folder / "t.db", lines=False)
    console.shutdown()
    assert events.observer is not None
    local.shutdown()
    local.shutdown()

    assert events.observer is None
    assert events.listener() is None


def test_it_can_be_configured_again(make_play, inline, capsys):
    """On the provider of before, which cannot be replaced."""
    configure("console", lines=False).shutdown()
    configure("console", lines=False)
    one_run(make_play)

    assert 1 == capsys.readouterr().err.count("run plan")


def test_it_can_be_configured_again_after_the_providers_shutdown(make_play, inline, capsys):
    """With which each test of an application may end."""
    gone = configure("console", lines=False)
    trace.get_tracer_provider().shutdown()
    handle = configure("console", lines=False)
    gone.shutdown()
    one_run(make_play)
    handle.shutdown()

    assert 1 == capsys.readouterr().err.count("run plan")
    assert events.observer is None


def test_the_observer_of_before_is_back_after_shutdown(make_play):
    """Whoever observed before configure."""
    before = make_play(None)
    events.observe(before)
    configure("console", lines=False).shutdown()

    assert before is events.observer
    events.observe(None)


@pytest.mark.parametrize(
    ("service_name", "environment", "expected"),
    [
        ("shop", {}, "shop"),
        (None, {"OTEL_SERVICE_NAME": "from-env"}, "from-env"),
        (None, {"OTEL_RESOURCE_ATTRIBUTES": "service.name=from-attributes"}, "from-attributes"),
        ("shop", {"OTEL_SERVICE_NAME": "from-env"}, "shop"),
        (None, {}, "script"),
    ],
)
def test_the_service_has_a_name(monkeypatch, service_name, environment, expected):
    """The argument, else the environment, else the script."""
    monkeypatch.setattr(sys, "argv", ["/somewhere/script.py"])
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    configure("console", service_name=service_name, lines=False)

    assert expected == trace.get_tracer_provider().resource.attributes["service.name"]


@pytest.mark.parametrize("name", ["", "  ", 5])
def test_a_service_name_is_a_text(name):
    """An empty one, as of a variable that is not set, would name nothing."""
    with pytest.raises(PolicyError, match=r"service_name=.* is no name"):
        configure("console", service_name=name, lines=False)


def test_headers_that_come_too_late_are_refused():
    """The backend is there and sends others; nothing is said of their values."""
    given = {"endpoint": "http://127.0.0.1:1", "lines": False}
    handle = configure("jaeger", headers={"x-team": "red"}, **given)

    assert handle is configure("jaeger", headers={"x-team": "red"}, **given)
    assert handle is configure("jaeger", **given)
    with pytest.raises(PolicyError, match=r"headers come too late: .* is there already, with others") as refused:
        configure("jaeger", headers={"x-team": "blue"}, **given)
    assert "blue" not in str(refused.value)


def test_a_service_name_that_comes_too_late_is_refused():
    """It would do nothing."""
    configure("console", service_name="shop", lines=False)
    configure("console", service_name="shop", lines=False)

    with pytest.raises(PolicyError, match=r"service_name='other' comes too late: .* service.name='shop'"):
        configure("console", service_name="other", lines=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"backend": "jager"},
            "backend='jager' is not known: use one of 'local', 'console', 'jaeger', 'otlp', 'langsmith', 'langfuse', 'phoenix', 'mlflow', 'auto'; did you mean 'jaeger'?",
        ),
        (
            {"backend": "zzz"},
            "backend='zzz' is not known: use one of 'local', 'console', 'jaeger', 'otlp', 'langsmith', 'langfuse', 'phoenix', 'mlflow', 'auto'",
        ),
        (
            {"backend": "http://localhost:4318"},
            (
                "backend='http://localhost:4318' is not known: use one of 'local', 'console', 'jaeger', 'otlp', 'langsmith', 'langfuse', 'phoenix', "
                "'mlflow', 'auto'; for an address write configure('otlp', endpoint='http://localhost:4318')"
            ),
        ),
        ({"capture": "all"}, "capture='all' is not known: use one of 'none', 'shape', 'values'"),
        ({"attempt_spans": "never"}, "attempt_spans='never' is not known: use one of 'auto', 'always', 'failures'"),
        ({"max_hit_spans": -1}, "max_hit_spans=-1 must be a whole number from 0"),
        ({"max_hit_spans": True}, "max_hit_spans=True must be a whole number from 0"),
        ({"lines": "loud"}, "lines='loud' is not known: use True, False or one of 'debug', 'info', 'warning', 'error'"),
        (
            {"backend": "otlp", "endpoint": "localhost:4318"},
            "endpoint='localhost:4318' is not a URL: write for example 'http://localhost:4318/v1/traces'",
        ),
        ({"backend": "otlp", "endpoint": 4318}, "endpoint=4318 is not a URL: write for example 'http://localhost:4318/v1/traces'"),
        ({"path": 7}, "path=7 is no path: write for example 'traces.db'"),
        ({"endpoint": "http://x"}, "endpoint='http://x' means nothing to backend 'local': use 'otlp', 'jaeger' or another that takes OTLP"),
        (
            {"backend": "console", "protocol": "grpc"},
            "protocol='grpc' means nothing to backend 'console': use 'otlp', 'jaeger' or another that takes OTLP",
        ),
        ({"backend": "otlp", "protocol": "udp"}, "protocol='udp' is not supported: use 'http/protobuf' or 'grpc'"),
        ({"backend": "console", "path": "t.db"}, "path='t.db' means nothing to backend 'console': only 'local' keeps a file"),
    ],
)
def test_what_cannot_work_is_refused(arguments, message):
    """At once, with the value and the fix; and nothing is set up."""
    with pytest.raises(PolicyError) as caught:
        configure(**arguments)

    assert message == str(caught.value)
    assert events.observer is None
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


@pytest.mark.parametrize("content", [b"my,precious,data\n" * 20, b"x\n"])
def test_a_file_that_is_no_trace_store_is_refused(fresh, tmp_path, content):
    """At once, and the file stays where and as it is, with nothing beside it."""
    path = tmp_path / "results.csv"
    path.write_bytes(content)

    with pytest.raises(StoreError) as caught:
        configure(path=path)

    assert f"{path} is not a holdfast trace store and is left as it is: choose another path" == str(caught.value)
    assert {"results.csv": content} == {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def test_capture_may_come_from_the_environment(monkeypatch, fresh):
    """And is checked there too."""
    monkeypatch.setenv("HOLDFAST_CAPTURE", "Shape")
    configure("console", lines=False)
    assert "shape" == fresh.settings.capture

    monkeypatch.setenv("HOLDFAST_CAPTURE", "everything")
    with pytest.raises(PolicyError, match="HOLDFAST_CAPTURE='everything'"):
        configure("console", lines=False)


@pytest.mark.parametrize(
    ("endpoint", "environment", "expected"),
    [
        (None, {}, "http://localhost:4318/v1/traces"),
        ("http://host:4318", {}, "http://host:4318/v1/traces"),
        ("http://host:4318/", {}, "http://host:4318/v1/traces"),
        ("http://host/custom", {}, "http://host/custom"),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://env:4318"}, "http://env:4318/v1/traces"),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://env/traces"}, "http://env/traces"),
    ],
)
@pytest.mark.parametrize("backend", ["jaeger", "otlp"])
def test_endpoints_are_completed_and_taken_from_the_environment(monkeypatch, backend, endpoint, environment, expected):
    """The path OTLP has by convention is added where none is given."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    handle = configure(backend, endpoint=endpoint, lines=False)

    assert f"the export of spans to {expected}" == handle._processor.lane.name


@pytest.mark.parametrize(
    ("environment", "arguments", "expected"),
    [
        ({}, {"protocol": "grpc"}, "grpc"),
        ({}, {"protocol": "grpc", "endpoint": "http://host:4317"}, "grpc, http://host:4317"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, {"endpoint": "http://host:4317"}, "grpc, http://host:4317"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, {"protocol": "http/protobuf"}, "http/protobuf"),
    ],
)
def test_the_protocol_is_chosen_or_taken_from_the_environment(monkeypatch, environment, arguments, expected):
    """As for every OpenTelemetry program; spans then leave by the exporter of that protocol."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    handle = configure("otlp", lines=False, **arguments)

    exporter = handle._processor._close.__self__._exporter
    assert f"<tracing to otlp: otlp, {expected}>" == repr(handle)
    assert isinstance(exporter, GRPCExporter) == expected.startswith("grpc")


def test_two_protocols_are_two_backends():
    """Neither is taken for the other, also where no endpoint tells them apart."""
    assert configure("otlp", lines=False) is not configure("otlp", protocol="grpc", lines=False)


@pytest.mark.parametrize(("environment", "expected"), [({}, "local"), ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://h:4318"}, "otlp")])
def test_auto_follows_the_environment(monkeypatch, folder, environment, expected):
    """A collector when one is named, else the local store."""
    monkeypatch.setenv("HOLDFAST_TRACES", str(folder / "t.db"))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert expected == configure("auto", lines=False).backend


@pytest.mark.parametrize(("lines", "expected"), [(True, INFO), ("debug", DEBUG)])
def test_lines_have_a_level(fresh, lines, expected):
    """INFO unless said otherwise."""
    configure("console", lines=lines)

    assert expected == fresh.lines.level
    assert fresh.lines in fresh.observer.observers


def test_lines_can_be_left_out(make_play, inline, folder, capsys):
    """Neither ours nor the application's; but trouble beside the calls is not passed over in silence."""
    configure(path=folder / "t.db", lines=False)
    with structlog.testing.capture_logs() as lines:
        play = make_play(events.observer)
        with play.run(outcome="error", error=ValueError("x")):
            events.note("holdfast.cache.error", events.WARNING, "the cache is gone")
            events.note("holdfast.x", events.INFO, "not told")

    assert [] == lines
    assert "holdfast WARNING: the cache is gone [holdfast.cache.error]" == capsys.readouterr().err.splitlines()[0]


def test_hashes_of_keys_agree_between_processes_of_one_user(monkeypatch):
    """They come from the user's secret; another secret makes others."""
    monkeypatch.setenv("HOLDFAST_SECRET", "one secret for tests, long enough")
    first, again = _session.key_salt(), _session.key_salt()
    monkeypatch.setenv("HOLDFAST_SECRET", "another secret, also long enough")

    assert first == again
    assert first != _session.key_salt()


def test_the_handle_reads_well(folder):
    """In a prompt."""
    assert f"<tracing to local: local, {folder / 't.db'}>" == repr(configure(path=folder / "t.db", lines=False))


def test_the_package_offers_it_lazily():
    """Importing holdfast.tracing loads no tracing library, and says what it has."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent("""
                import sys, holdfast.tracing
                heavy = {"opentelemetry", "structlog", "sqlite3", "asyncio", "requests"}
                print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
                from holdfast.tracing import Handle, configure, flush, warn
                print(configure.__module__, flush())
            """),
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "[]\nholdfast.tracing.setup._configure True\n" == done.stdout
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        holdfast.tracing.nonsense  # noqa: B018 - it is the point


def test_spans_of_multiprocessing_children_are_kept(folder):
    """They leave past atexit, where the SDK loses every span."""
    code = textwrap.dedent(f"""
        import multiprocessing, time, holdfast.tracing
        from holdfast import events
        from holdfast.events import RunFacts
        from holdfast.tracing.safety import firewall
        firewall.EXIT_TIMEOUT = 60.0  # however slow the disk is
        holdfast.tracing.configure(path={str(folder / "t.db")!r}, lines=False)
        def work():
            run = RunFacts(run_id={RUN_ID!r}, thread_id="t", name="child", function="f", started_ns=time.time_ns())
            events.observer.run_started(run)
            run.outcome = "ok"
            events.observer.run_ended(run)
        process = multiprocessing.get_context("fork").Process(target=work)
        process.start()
        process.join()
    """)
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})

    store = TraceStore(folder / "t.db")
    assert ["run child"] == [row.name for row in store.spans(RUN_ID.replace("-", ""))]
    store.close()


def test_the_sdks_own_switch_is_honoured(monkeypatch, make_play, inline, capsys):
    """``OTEL_SDK_DISABLED``."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    configure("console", lines=False)
    one_run(make_play)

    assert "" == capsys.readouterr().err


def test_the_sampler_of_the_environment_is_honoured(monkeypatch, make_play, inline, capsys):
    """``OTEL_TRACES_SAMPLER``."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    configure("console", lines=False)
    one_run(make_play)

    assert "" == capsys.readouterr().err


@pytest.mark.parametrize("sampler", ["traceidratio", "parentbased_traceidratio"])
def test_a_sampler_by_ratio_takes_its_share_of_runs(monkeypatch, fresh, sampler):
    """It goes by the last 64 bits of the trace id, of which two are the same in all run ids."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.3")
    configure("console", lines=False)
    plan = entrypoint()(lambda: trace.get_current_span().is_recording())

    assert 200 < sum(plan.invoke() for _ in range(1000)) < 400


@pytest.mark.parametrize("sampler", ["always_on", "parentbased_always_on"])
def test_with_a_sampler_that_takes_all_a_trace_has_its_runs_id(monkeypatch, fresh, sampler):
    """It looks at no id."""
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    configure("console", lines=False)
    plan = entrypoint()(lambda: trace.get_current_span().get_span_context().trace_id)
    run_id = uuid.uuid4()

    assert run_id.int == plan.invoke(run_id=str(run_id))


def test_nothing_grows_with_the_number_of_runs(make_play, inline, monkeypatch):
    """What is remembered of a run goes with it."""
    monkeypatch.setattr(exporters.console.Trees, "add", lambda *_, **__: None)
    configure("console", lines=False)

    def grown():
        before = len(gc.get_objects())
        for _ in range(100):
            one_run(make_play)
        gc.collect()
        return len(gc.get_objects()) - before

    grown()
    assert grown() < 100


def observer_kind(fresh):
    return type(fresh.observer.observers[0]).__name__


def test_where_every_backend_is_ours_spans_are_light(fresh, folder):
    """They need not go through the SDK."""
    configure("console", lines=False)
    configure(path=folder / "t.db", lines=False)

    assert "LightObserver" == observer_kind(fresh)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "100"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "10"),
        ("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true"),
        ("OTEL_SDK_DISABLED", "true"),
    ],
)
def test_what_only_the_sdk_does_is_left_to_the_sdk(monkeypatch, fresh, name, value):
    """Samplers, limits, its own metrics, and its switch."""
    monkeypatch.setenv(name, value)
    configure("console", lines=False)

    assert "SpanObserver" == observer_kind(fresh)


def test_a_processor_that_joins_later_gets_spans_of_the_sdk(fresh, make_play, inline, capsys):
    """From then on; what is under way reaches it when it ends, as it does our own backends."""
    configure("console", lines=False)
    nosy, play = Nosy(), make_play(events.observer, start=int(time.time()))
    with play.run(run_id="0" * 31 + "1") as run:
        trace.get_tracer_provider().add_span_processor(nosy)
        later = make_play(events.observer, start=int(time.time()))
        with later.call(run, max_attempts=2) as call, later.attempt(call):
            pass
    one_run(make_play)

    assert "SpanObserver" == observer_kind(fresh)
    assert ["forecast", "forecast attempt 1", "run plan", "forecast", "forecast attempt 1"] == nosy.begun
    assert ["forecast attempt 1", "forecast", "run plan"] * 2 == nosy.ended
    assert 2 == sum(line.startswith("run plan") for line in capsys.readouterr().err.splitlines())


def test_a_run_whose_observer_changes_before_its_body_begins_is_still_told(make_play, inline, capsys):
    """Without the facts of its body's attempts; the calls are its children."""
    configure("console", lines=False)
    nosy, play = Nosy(), make_play(events.observer, start=int(time.time()))
    with play.run() as run:
        trace.get_tracer_provider().add_span_processor(nosy)
        later = make_play(events.observer, start=int(time.time()))
        with later.call(run, "plan", is_body=True) as body, later.attempt(body), later.call(run) as call, later.attempt(call):
            pass

    assert ["forecast", "run plan"] == nosy.ended
    assert ["run plan", "  forecast"] == [line[:10].rstrip() for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize("is_ours_alone", [True, False])
def test_what_ends_after_the_providers_shutdown_goes_nowhere(make_play, inline, capsys, caplog, is_ours_alone):
    """And nobody complains."""
    configure("console", lines=False)
    if not is_ours_alone:
        trace.get_tracer_provider().add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    trace.get_tracer_provider().shutdown()
    one_run(make_play)

    assert ("", []) == (capsys.readouterr().err, caplog.records)


def test_a_backend_that_was_shut_down_gets_no_light_spans(make_play, inline, capsys, folder):
    """Nor does it complain."""
    configure("console", lines=False).shutdown()
    configure(path=folder / "t.db", lines=False)
    one_run(make_play)

    assert "" == capsys.readouterr().err


def test_the_end_of_one_backend_is_not_that_of_another(make_play, inline, capsys, folder):
    """What comes later goes to the one that is left."""
    other = configure(path=folder / "t.db", lines=False)
    configure("console", lines=False)
    other.shutdown()
    one_run(make_play)

    assert capsys.readouterr().err.startswith("run plan")


def test_children_do_not_repeat_the_ids_of_their_parent():
    """Chance is drawn anew after a fork."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent("""
                import os
                from holdfast.tracing.spans import ids
                reading, writing = os.pipe()
                for _ in range(2):
                    if os.fork() == 0:
                        os.write(writing, b"%016x" % ids.new_span_id())
                        os._exit(0)
                    os.wait()
                print({os.read(reading, 16).decode() for _ in range(2)} | {f"{ids.new_span_id():016x}"})
            """),
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert 3 == done.stdout.count(",") + 1
