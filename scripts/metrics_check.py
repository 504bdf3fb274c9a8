"""Have a real Prometheus scrape the example program, and ask it every query of docs/metrics.md and of the dashboard.

    make metrics-check        # needs the program prometheus (Debian's package of that name, for one) on the path

Not part of the suite, which reads the same scrape with a parser: few machines have Prometheus. Everything listens on the loopback
interface, on free ports, and ends with this script.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "metrics"
PATIENCE = 60  # seconds


def queries() -> list[str]:
    """Of the page and of the dashboard, for a range that fits a short test."""
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    dashboard = json.loads((EXAMPLE / "dashboard.json").read_text(encoding="utf-8"))
    found = re.findall(r"```promql\n(.*?)```", page, re.DOTALL)
    found += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [query.replace("[5m]", "[30s]").replace("$__rate_interval", "30s") for query in found]


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int, query: str) -> list[dict[str, Any]]:
    """The series that answer a query now; none while Prometheus is still starting."""
    url = f"http://127.0.0.1:{port}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return list(json.load(answer)["data"]["result"])
    except urllib.error.HTTPError as error:
        raise SystemExit(f"Prometheus refuses the query {query!r}: {error.read().decode()}") from error
    except OSError:
        return []


def answered(port: int, query: str, until: float) -> list[dict[str, Any]]:
    """The series with a number among those that answer a query, as soon as there are any; none when the time is up."""
    while time.monotonic() < until:
        found = [series for series in ask(port, query) if series["value"][1] not in {"NaN", "+Inf"}]
        if found:
            return found
        time.sleep(1)
    return []


def check(port: int) -> int:
    """Print each query with its answer; return how many had none."""
    until = time.monotonic() + PATIENCE
    failures = 0
    for query in queries():
        found = answered(port, query, until)
        shown = ", ".join(f"{'/'.join(series['metric'].values())} {float(series['value'][1]):.3g}" for series in found)
        print(f"{'ok  ' if found else 'NONE'} {' '.join(query.split())}\n     {shown}", flush=True)
        failures += not found
    return failures


def main() -> int:
    """Start both, ask, stop both; return the exit code."""
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        print("there is no program prometheus on the path; Debian has it as a package: apt install prometheus", file=sys.stderr)
        return 2
    arguments = [sys.executable, str(EXAMPLE / "program.py"), "--port", "0", "--seconds", str(3 * PATIENCE)]
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-metrics-") as name,
        subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as program,
    ):
        target = urllib.parse.urlsplit((program.stdout.readline() if program.stdout else "").strip()).netloc
        settings = (EXAMPLE / "prometheus.yml").read_text(encoding="utf-8").replace("127.0.0.1:9464", target).replace("5s", "1s")
        (Path(name) / "prometheus.yml").write_text(settings, encoding="utf-8")
        port = free_port()
        options = [f"--config.file={name}/prometheus.yml", f"--storage.tsdb.path={name}/data", f"--web.listen-address=127.0.0.1:{port}"]
        with subprocess.Popen([prometheus, *options, "--log.level=error"]) as server:
            try:
                failures = check(port)
            finally:
                server.terminate()
                program.terminate()
    print(f"{failures} of {len(queries())} queries without an answer")
    return min(1, failures)


if __name__ == "__main__":
    sys.exit(main())
