"""What real backends answer, read as the check of them reads it; the check itself starts servers and is not run here."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "backends_check.py"


@pytest.fixture(scope="module")
def check() -> ModuleType:
    """`scripts/backends_check.py` as a module."""
    spec = importlib.util.spec_from_file_location("backends_check", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["backends_check"] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def test_an_answer_of_phoenix_is_read(check):
    """As Phoenix 20.26.1 gave it, but for attributes that are not looked at."""
    run = {
        "name": "run plan",
        "context": {"trace_id": "01a2", "span_id": "4db8"},
        "span_kind": "CHAIN",
        "parent_id": None,
        "status_code": "UNSET",
        "attributes": {"session.id": "trip-1", "input.value": '{"city":"Oslo"}', "output.value": '"sunny"', "holdfast.attempt.number": 1},
    }
    attempt = {
        "name": "forecast attempt 2",
        "context": {"trace_id": "01a2", "span_id": "753a"},
        "span_kind": "CHAIN",
        "parent_id": "4db8",
        "status_code": "ERROR",
        "attributes": {"session.id": "trip-1", "holdfast.attempt.number": 2},
    }

    assert {
        check.Seen("run plan", "", "CHAIN", input='{"city":"Oslo"}', output="sunny", attempt=1),
        check.Seen("forecast attempt 2", "run plan", "CHAIN", is_error=True, attempt=2),
    } == check.of_phoenix([run, attempt])


def test_an_answer_of_mlflow_is_read(check):
    """As MLflow 3.17.2 gave it, but for attributes that are not looked at."""
    cities = {"values": [{"key": "cities", "value": {"array_value": {"values": [{"string_value": "Oslo"}]}}}]}
    run = {
        "name": "run plan",
        "span_id": "1",
        "attributes": [
            {"key": "mlflow.spanType", "value": {"string_value": "WORKFLOW"}},
            {"key": "mlflow.spanInputs", "value": {"kvlist_value": cities}},
            {"key": "mlflow.spanOutputs", "value": {"string_value": "sunny"}},
        ],
    }
    attempt = {
        "name": "forecast attempt 2",
        "span_id": "2",
        "parent_span_id": "1",
        "status": {"message": "reset", "code": "STATUS_CODE_ERROR"},
        "attributes": [
            {"key": "mlflow.spanType", "value": {"string_value": "TASK"}},
            {"key": "holdfast.attempt.number", "value": {"int_value": "2"}},
        ],
    }

    answer = {"trace_info": {"trace_metadata": {"mlflow.trace.session": "trip-1"}}, "spans": [run, attempt]}
    assert {
        check.Seen("run plan", "", "WORKFLOW", input='{"cities":["Oslo"]}', output="sunny"),
        check.Seen("forecast attempt 2", "run plan", "TASK", is_error=True, attempt=2),
    } == check.of_mlflow(answer)
