"""Send a real run to real backends, Arize Phoenix and MLflow from PyPI, and ask them what they have made of it.

Run it by ``make backends-check``, which makes an environment for each of them. Both listen on loopback only, in a network namespace of their
own where the system has them (Linux): Phoenix opens its gRPC port on every interface. ``--pictures FOLDER`` also takes a picture of the
page of each with Chromium, if there is one. Not part of CI: it downloads a gigabyte, and takes minutes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT_S = 240
PHOENIX = "http://127.0.0.1:6006"
MLFLOW = "http://127.0.0.1:5000"
PROJECT = "trips"
INSIDE = "HOLDFAST_CHECK_INSIDE"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1  # <linux/sockios.h>, <net/if.h>


@dataclass(frozen=True)
class Seen:
    """A span as a backend has it.

    Attributes:
        name: Its name.
        parent: The name of its parent; ``""`` for the root.
        kind: What the backend takes it for.
        is_error: Whether it is shown as failed.
        session: The session it belongs to.
        input: What went in, as JSON without blanks, text as it is; ``""`` for nothing.
        output: What came out, likewise.
        attempt: Number of the attempt that it is; 0 for none.
    """

    name: str
    parent: str
    kind: str
    is_error: bool = False
    session: str = "trip-1"
    input: str = ""
    output: str = ""
    attempt: int = 0


def expected(*, run: str, task: str, attempt: str) -> set[Seen]:
    """What the demo run is, in a backend's own kinds of span."""
    return {
        Seen("run plan", "", run, input='{"city":"Oslo"}', output="sunny, 3 and 3", attempt=1),
        Seen("forecast", "run plan", "TOOL", input='{"city":"Oslo"}', output="sunny"),
        Seen("forecast attempt 1", "forecast", attempt, is_error=True, attempt=1),
        Seen("forecast attempt 2", "forecast", attempt, is_error=True, attempt=2),
        Seen("forecast attempt 3", "forecast", attempt, attempt=3),
        Seen("celsius", "run plan", task, input='{"city":"Oslo"}', output="3", attempt=1),
        Seen("celsius", "run plan", task, input='{"city":"Oslo"}', output="3"),
        Seen("closed", "run plan", task, is_error=True, attempt=1),
    }


def run_demo() -> str:
    """Run a plan with retries, a hit and a failure that is handled, sent to all that the environment names; return its trace id."""
    from opentelemetry import trace

    from holdfast import CachePolicy, RetryPolicy, entrypoint, task
    from holdfast.testing import flaky
    from holdfast.tracing import configure

    trace_ids: list[int] = []
    service = flaky(2, result="sunny")

    @task(kind="tool", retry_policy=RetryPolicy(max_attempts=3, initial_interval=0.1, jitter=False))
    def forecast(city: str) -> str:
        return str(service(city))

    @task(cache_policy=CachePolicy(ttl=60))
    def celsius(city: str) -> int:
        return len(city) - 1

    @task()
    def closed() -> None:
        msg = "no trains today"
        raise ValueError(msg)

    @entrypoint()
    def plan(city: str) -> str:
        trace_ids.append(trace.get_current_span().get_span_context().trace_id)
        weather = forecast(city).result()
        degrees = [celsius(city).result() for _ in range(2)]
        with contextlib.suppress(ValueError):
            closed().result()
        return f"{weather}, {degrees[0]} and {degrees[1]}"

    with configure("auto", capture="values", service_name="holdfast demo", lines=False) as handle:
        plan.invoke("Oslo", {"configurable": {"thread_id": "trip-1"}})
        if not handle.flush(20):
            sys.exit("the backends did not take the spans")
    return f"{trace_ids[0]:032x}"


def of_phoenix(spans: list[dict[str, Any]]) -> set[Seen]:
    """What Phoenix's ``GET /v1/projects/{project}/spans`` answered."""
    names = {span["context"]["span_id"]: span["name"] for span in spans}
    return {
        Seen(
            name=span["name"],
            parent=names.get(span["parent_id"], ""),
            kind=span["span_kind"],
            is_error=span["status_code"] == "ERROR",
            session=span["attributes"].get("session.id", ""),
            input=compact(json.loads(span["attributes"].get("input.value", "null"))),
            output=compact(json.loads(span["attributes"].get("output.value", "null"))),
            attempt=span["attributes"].get("holdfast.attempt.number", 0),
        )
        for span in spans
    }


def of_mlflow(trace: dict[str, Any]) -> set[Seen]:
    """What MLflow's ``GET /api/3.0/mlflow/traces/get`` answered."""
    info, spans = trace["trace_info"], trace["spans"]
    names = {span["span_id"]: span["name"] for span in spans}
    found: set[Seen] = set()
    for span in spans:
        known = {pair["key"]: plain(pair["value"]) for pair in span["attributes"]}
        found.add(
            Seen(
                name=span["name"],
                parent=names.get(span.get("parent_span_id", ""), ""),
                kind=known["mlflow.spanType"],
                is_error=span.get("status", {}).get("code") == "STATUS_CODE_ERROR",
                session=info["trace_metadata"].get("mlflow.trace.session", ""),
                input=compact(known.get("mlflow.spanInputs")),
                output=compact(known.get("mlflow.spanOutputs")),
                attempt=int(known.get("holdfast.attempt.number", 0)),
            )
        )
    return found


def plain(value: dict[str, Any]) -> Any:
    """A value of OTLP in JSON, as Python has it."""
    kind, content = next(iter(value.items()))
    if kind == "array_value":
        return [plain(item) for item in content.get("values", [])]
    if kind in {"kvlist_value", "struct_value"}:
        return {pair["key"]: plain(pair["value"]) for pair in content.get("values", [])}
    return content


def compact(value: Any) -> str:
    """JSON without blanks, text as it is; ``""`` for nothing."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def ask_phoenix(_trace_id: str) -> set[Seen]:
    """The spans of our project, the only one that anything was sent to."""
    return of_phoenix(httpx.get(f"{PHOENIX}/v1/projects/{PROJECT}/spans", params={"limit": 100}).raise_for_status().json()["data"])


def ask_mlflow(trace_id: str) -> set[Seen]:
    """The spans of our trace, which MLflow gives a name of its own."""
    answer = httpx.get(f"{MLFLOW}/api/3.0/mlflow/traces/get", params={"trace_id": f"tr-{trace_id}"}).raise_for_status()
    return of_mlflow(answer.json()["trace"])


def page_of_phoenix(trace_id: str) -> str:
    """Where a person would look at the trace."""
    (project,) = (p for p in httpx.get(f"{PHOENIX}/v1/projects").raise_for_status().json()["data"] if p["name"] == PROJECT)
    return f"{PHOENIX}/projects/{project['id']}/traces/{trace_id}"


def page_of_mlflow(trace_id: str) -> str:
    """The same."""
    return f"{MLFLOW}/#/experiments/0/traces?selectedEvaluationId=tr-{trace_id}"


@dataclass(frozen=True)
class Backend:
    """A backend to be started and asked.

    Attributes:
        name: As `configure` has it.
        command: What starts it, below its environment.
        variables: Its own, for the server.
        health: Answers 200 when it is up.
        ask: What it has of a trace.
        page: Where its page of a trace is.
        expected: What it should have.
    """

    name: str
    command: tuple[str, ...]
    variables: dict[str, str]
    health: str
    ask: Callable[[str], set[Seen]]
    page: Callable[[str], str]
    expected: set[Seen]


BACKENDS = (
    Backend(
        "phoenix",
        ("phoenix", "serve"),
        {"PHOENIX_HOST": "127.0.0.1", "PHOENIX_PORT": "6006", "PHOENIX_TELEMETRY_ENABLED": "false"},
        f"{PHOENIX}/healthz",
        ask_phoenix,
        page_of_phoenix,
        expected(run="CHAIN", task="CHAIN", attempt="CHAIN"),
    ),
    Backend(
        "mlflow",
        ("mlflow", "server", "--host", "127.0.0.1", "--port", "5000", "--workers", "1", "--backend-store-uri", "sqlite:///mlflow.db"),
        {"MLFLOW_DISABLE_TELEMETRY": "true"},
        f"{MLFLOW}/health",
        ask_mlflow,
        page_of_mlflow,
        expected(run="WORKFLOW", task="TASK", attempt="TASK"),
    ),
)


@contextlib.contextmanager
def running(backend: Backend, folder: Path) -> Generator[None]:
    """The backend's server, with its data in ``folder``; stopped at the end, with all that it started."""
    home = folder / backend.name
    home.mkdir()
    program = ROOT / ".venvs" / backend.name / "bin" / backend.command[0]
    variables = {**os.environ, **backend.variables, "PHOENIX_WORKING_DIR": str(home), "HOME": str(home)}
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [program, *backend.command[1:]], cwd=home, env=variables, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def wait_until_up(backend: Backend, folder: Path) -> None:
    """Return when it answers; end the check, with the tail of its log, when it does not."""
    ends = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < ends:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(backend.health).is_success:
                return
        time.sleep(1)
    log = (folder / backend.name / "server.log").read_text(errors="replace")
    sys.exit(f"{backend.name} does not answer at {backend.health} after {START_TIMEOUT_S} s; its log ends with\n{log[-2000:]}")


def check(backend: Backend, trace_id: str) -> bool:
    """Ask until the answer is what it should be, for ten seconds; print what differs."""
    seen: set[Seen] = set()
    for _ in range(20):
        with contextlib.suppress(httpx.HTTPStatusError):  # it may not know the trace yet
            seen = backend.ask(trace_id)
        if seen == backend.expected:
            print(f"{backend.name}: all {len(seen)} kinds of span are as they should be")
            return True
        time.sleep(0.5)
    for what, spans in (("is missing", backend.expected - seen), ("should not be there", seen - backend.expected)):
        for span in sorted(spans, key=str):
            print(f"{backend.name}: {what}: {span}")
    return False


def take_picture(backend: Backend, trace_id: str, folder: Path) -> None:
    """A PNG of the backend's page of the trace, by a Chromium that is installed."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        print("no picture: Chromium is not installed")
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as profile:
        options = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
        subprocess.run(
            [
                browser,
                *options,
                f"--user-data-dir={profile}",
                "--window-size=1280,720",
                "--virtual-time-budget=30000",
                f"--screenshot={folder / backend.name}.png",
                backend.page(trace_id),
            ],
            check=True,
            capture_output=True,
            timeout=180,
        )


def go_inside() -> None:
    """Begin again in a network namespace that has loopback and nothing else, where the system has such things."""
    unshare = shutil.which("unshare")
    can = unshare is not None and subprocess.run([unshare, "-rn", "true"], check=False, capture_output=True).returncode == 0
    if unshare is None or not can:
        print("no network namespaces here: Phoenix listens for gRPC on every interface while this runs")
        return
    os.environ[INSIDE] = "yes"
    os.execv(unshare, [unshare, "-rn", sys.executable, *sys.argv])  # noqa: S606 - ourselves


def raise_loopback() -> None:
    """Switch the loopback interface of this namespace on, as ``ip link set lo up`` would."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def main() -> None:
    """Start both, send one run to both at once, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="take a picture of each page into this folder")
    pictures: Path | None = parser.parse_args().pictures
    if INSIDE in os.environ:
        raise_loopback()
    else:
        go_inside()
    os.environ |= {"PHOENIX_COLLECTOR_ENDPOINT": PHOENIX, "PHOENIX_PROJECT": PROJECT, "MLFLOW_TRACKING_URI": MLFLOW}
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as servers:
        folder = Path(name)
        for backend in BACKENDS:
            servers.enter_context(running(backend, folder))
        for backend in BACKENDS:
            wait_until_up(backend, folder)
        trace_id = run_demo()
        are_fine = [check(backend, trace_id) for backend in BACKENDS]
        for backend in BACKENDS if pictures is not None else ():
            take_picture(backend, trace_id, pictures or Path())
    sys.exit(0 if all(are_fine) else 1)


if __name__ == "__main__":
    main()
