"""One row in a process of its own: ``python -m benchmarks.child '{"row": ..., "rounds": ..., "slice_s": ...}'`` prints the samples as JSON."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from benchmarks.harness import Result, Row, measure_row
from benchmarks.rows import by_name

PATIENCE = 400.0  # LangGraph takes two minutes for 10,000 durable steps, and to resume them makes them first
PATIENCE_PER_ROUND = 6.0
"""Seconds until a row is given up: at least, and more for each round."""
ROOT = Path(__file__).resolve().parent.parent


class ChildFailed(Exception):
    """The process that measured a row came to grief; its text is what it said."""


def measure_apart(row: Row, *, rounds: int, slice_s: float, only: frozenset[str] | None = None) -> Result:
    """`harness.measure_row` in a new process, with stores of its own and nothing configured by the environment.

    Raises:
        ChildFailed: It ended with an error.
    """
    order = json.dumps({"row": row.name, "rounds": rounds, "slice_s": slice_s, "only": None if only is None else sorted(only)})
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder,
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.child", order],
            cwd=ROOT,
            env=_environment(Path(folder)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        said, complained = _finished(process, row, PATIENCE + rounds * PATIENCE_PER_ROUND)
    if process.returncode != 0:
        raise ChildFailed(f"{row.name}: {complained.strip()[-2000:] or f'exit code {process.returncode}'}")
    return Result(**json.loads(said.splitlines()[-1]))


def _finished(process: subprocess.Popen[str], row: Row, seconds: float) -> tuple[str, str]:
    """What the process said; one that hangs is ended together with those it started, so that it does not keep the machine busy."""
    try:
        return process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise ChildFailed(f"{row.name}: not finished after {seconds:g} s") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "OTEL_", "LANGSMITH_", "LANGCHAIN_"))}
    return kept | {
        "HOLDFAST_CACHE_DIR": str(folder / "cache"),
        "HOLDFAST_CONFIG_DIR": str(folder / "config"),
        "HOLDFAST_TRACES": str(folder / "traces.db"),
        "TMPDIR": str(folder),
    }


def main() -> None:
    """Measure what the argument says. Lines that libraries write go to a file, as a service's would."""
    order = json.loads(sys.argv[1])
    only = None if order["only"] is None else frozenset(order["only"])
    with tempfile.TemporaryFile("w") as log:
        stderr = os.dup(2)
        os.dup2(log.fileno(), 2)
        try:
            result = measure_row(by_name()[order["row"]], rounds=order["rounds"], slice_s=order["slice_s"], only=only)
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
    print(json.dumps(asdict(result)))


if __name__ == "__main__":
    main()
