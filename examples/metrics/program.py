"""A program whose calls Prometheus measures: a flaky weather service is asked again and again, through a cache of two seconds.

    python examples/metrics/program.py --port 9464 --seconds 60      # then look at http://localhost:9464/metrics

Prometheus's side is in prometheus.yml beside this file, Grafana's in dashboard.json. Needs the package opentelemetry-exporter-prometheus.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import httpx
from opentelemetry import metrics
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import start_http_server

import holdfast.tracing
from holdfast import CachePolicy, InMemoryCache, RetryPolicy, resilient

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where the flaky server is
from flaky_server import CITIES, FlakyServer


def main() -> None:
    """Serve the metrics, and make calls to be measured."""
    parser = argparse.ArgumentParser(description="Calls for Prometheus to measure.")
    parser.add_argument("--port", type=int, default=9464, help="where /metrics is served on this machine; 0 takes a free one")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to go on")
    arguments = parser.parse_args()

    metrics.set_meter_provider(MeterProvider(metric_readers=[PrometheusMetricReader()]))
    holdfast.tracing.measure()
    server, _ = start_http_server(arguments.port, addr="127.0.0.1")
    print(f"http://127.0.0.1:{server.server_port}/metrics", flush=True)
    try:
        ask(arguments.seconds)
    finally:
        server.shutdown()


def ask(seconds: float) -> None:
    """Ask for the weather of each city, round after round."""
    with FlakyServer() as weather, httpx.Client(base_url=weather.url, timeout=1.0) as client:

        @resilient(
            retry_policy=RetryPolicy(max_attempts=3, initial_interval=0.02, max_interval=0.2),
            cache_policy=CachePolicy(ttl=2, ignore=("client",)),
            cache=InMemoryCache(),
        )
        def forecast(city: str, client: httpx.Client) -> dict[str, object]:
            answer = client.get(f"/forecast/{city}").raise_for_status().json()
            return {"city": answer["city"], "temperature": answer["temperature"]}

        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for city in (*CITIES, "Atlantis"):
                try:
                    forecast(city, client=client)
                except (httpx.HTTPError, ValueError):
                    continue  # it is counted; that is what this program is for
            time.sleep(0.2)


if __name__ == "__main__":
    main()
