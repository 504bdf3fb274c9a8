"""docs/durability.md, "What is promised": ten promises, and the tests that try to break each of them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "durability.md").read_text(encoding="utf-8")
ROWS = [line.strip("|").split(" | ") for line in PAGE.partition("| | promise | as long as |\n")[2].partition("\n\n")[0].splitlines()[1:]]
FAULTS = "faults/test_faults.py::test_no_promise_is_broken"
BROKEN_BY = {
    1: [FAULTS, "checkpoint/test_sqlite_processes.py::test_full_syncs_at_each_commit_and_normal_at_none"],
    2: [
        FAULTS,
        "test_durable.py::test_no_finished_task_is_done_again_after_kill_9",
        "test_at_most_once.py::test_a_step_in_flight_at_death_is_not_run_again",
    ],
    3: ["runtime/test_idempotency.py::test_it_is_the_same_in_all_attempts", "runtime/test_idempotency.py::test_it_outlives_its_process"],
    4: [FAULTS, "runtime/test_replay.py::test_timing_is_no_divergence"],
    5: [FAULTS, "runtime/test_replay.py::test_a_sequential_body_diverges_exactly_when_its_script_is_no_continuation"],
    6: [
        FAULTS,
        "runtime/test_journal.py::test_an_owner_that_was_replaced_writes_nothing_more",
        "checkpoint/test_sqlite_processes.py::test_a_stopped_owner_stays_owner_until_somebody_takes_over",
    ],
    7: ["values/test_codec.py::test_comes_back_the_same", "runtime/test_journal.py::test_a_result_that_cannot_be_kept_fails_its_step"],
    8: [
        FAULTS,
        "runtime/test_journal.py::test_a_checkpointer_that_breaks_ends_the_run_and_is_not_its_outcome",
        "cache/test_faults.py::test_a_full_disk",
        "tracing/safety/test_firewall.py::test_a_hanging_sink_delays_nobody",
    ],
    9: [FAULTS, "test_durable.py::test_a_signal_leaves_a_run_that_can_be_resumed"],
    10: [
        "checkpoint/test_sqlite_damage.py::test_a_flipped_bit_is_never_served",
        "checkpoint/test_sqlite.py::test_files_are_private_whatever_the_umask",
        "values/test_registry.py::test_data_never_names_a_class_into_being",
    ],
}


def test_there_are_ten_and_each_says_what_it_depends_on():
    """In their order."""
    assert list(BROKEN_BY) == [int(number) for number, _, _ in ROWS]
    assert [] == [number for number, promise, condition in ROWS if not (promise.strip() and condition.strip())]


@pytest.mark.parametrize("test", sorted({test for tests in BROKEN_BY.values() for test in tests}))
def test_what_tries_to_break_them_exists(test):
    """By name."""
    file, _, name = test.partition("::")
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))

    assert name in [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
