"""The README's table "What holds today": every promise in it names its tests, and they exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROMISES: dict[str, dict[str, list[str]]] = {
    "Your function stays sync or async": {
        "tests/test_resilient.py": ["test_colours_stay", "test_the_last_error_is_the_callers_with_a_note"],
    },
    "Errors are judged by their kind": {
        "tests/policies/test_classify.py": [
            "test_passing_failures_are_transient",
            "test_failures_that_stay_are_not",
            "test_no_library_is_imported",
        ],
        "tests/policies/test_real_errors.py": ["test_broken_exchanges_are_transient", "test_statuses_that_stay_are_not_transient"],
    },
    "`Retry-After` is honoured": {
        "tests/examples/test_flaky_api.py": ["test_every_fault_of_the_server_costs_one_retry", "test_the_tree_shows_why_and_how_long"],
    },
    "Two hundred callers": {"tests/test_resilient.py": ["test_two_hundred_threads_each_get_their_attempts"]},
    "Jitter stays below the cap": {
        "tests/policies/test_backoff.py": ["test_jitter_stays_between_zero_and_the_interval"],
        "tests/policies/test_retry.py": ["test_no_wait_begins_that_would_not_end_before_the_deadline"],
    },
    "When many callers miss one key": {
        "tests/test_resilient.py": ["test_one_computation_per_key_among_threads", "test_one_computation_per_key_among_asyncio_tasks"],
        "tests/test_single_flight_processes.py": [
            "test_many_callers_in_several_processes_share_one_computation",
            "test_when_the_leader_is_killed_one_of_those_waiting_takes_over",
        ],
    },
    "What a cached call returned is yours": {"tests/test_resilient.py": ["test_changing_a_result_does_not_change_the_cache"]},
    "A result that cannot be stored": {"tests/test_resilient.py": ["test_an_unserialisable_result_is_returned_and_not_cached"]},
    "`max_concurrency=1` cannot deadlock": {"tests/test_task.py": ["test_no_limit_deadlocks_sync", "test_no_limit_deadlocks_async"]},
    "A run ends only when everything it started": {
        "tests/test_entrypoint.py": [
            "test_a_run_waits_for_fire_and_forget_tasks",
            "test_a_failure_nobody_looked_at_is_reported_and_the_run_stays_ok",
        ],
    },
    "An entrypoint that is retried does not run its finished tasks": {
        "tests/test_entrypoint.py": ["test_a_retried_body_does_not_redo_finished_tasks"]
    },
    "A run killed with `kill -9`": {
        "tests/test_durable.py": ["test_no_finished_task_is_done_again_after_kill_9"],
        "tests/faults/test_faults.py": ["test_no_promise_is_broken"],
    },
    "Results that a run has been given survive a power cut": {
        "tests/faults/test_power_cut.py": [
            "test_no_outcome_that_was_seen_is_lost_to_a_power_cut",
            "test_normal_loses_the_last_outcomes_and_nothing_else",
        ],
    },
    "An at-most-once task": {
        "tests/test_at_most_once.py": ["test_a_step_in_flight_at_death_is_not_run_again", "test_the_text_says_all_there_is_to_know"],
    },
    "A run can ask people": {
        "tests/runtime/test_interrupt.py": ["test_all_questions_of_parallel_tasks_are_shown", "test_an_answer_is_used_once"],
    },
    "Going back in a thread": {
        "tests/test_branches.py": ["test_an_abandoned_run_goes_on_in_a_branch", "test_going_back_works_across_processes"],
        "tests/test_history_model.py": ["test_a_thread_is_what_a_list_says"],
    },
    "Only one owner at a time works on a thread": {
        "tests/test_durable.py": [
            "test_a_thread_at_work_elsewhere_is_refused_and_its_owners_death_is_noticed_at_once",
            "test_two_processes_resume_one_thread_at_once",
        ],
    },
    "A collector that hangs": {
        "tests/tracing/safety/test_firewall.py": ["test_a_hanging_sink_delays_nobody", "test_exit_is_bounded_and_says_what_was_lost"]
    },
    "The demo's figures": {"tests/examples/test_flaky_api.py": ["test_the_server_counted_the_same"]},
}
"""How a row begins -> file -> its tests."""


def rows() -> list[tuple[str, list[str]]]:
    """Each row of the table: the promise, and the files it points to."""
    _, _, table = (ROOT / "README.md").read_text(encoding="utf-8").partition("| promise | tested in |\n")
    lines = [line for line in table.partition("\n\n")[0].splitlines() if not line.startswith("|--")]
    cells = [line.strip("|").split(" | ") for line in lines]
    return [(promise.strip(), re.findall(r"\]\((.*?)\)", links)) for promise, links in cells]


def test_every_promise_is_matched_to_tests_and_no_other() -> None:
    """A new row needs tests; a row that goes takes its entry here along."""
    begins = [next((begin for begin in PROMISES if promise.startswith(begin)), promise) for promise, _ in rows()]

    assert list(PROMISES) == begins


@pytest.mark.parametrize(("promise", "files"), rows(), ids=[promise[:40] for promise, _ in rows()])
def test_a_promise_points_to_tests_that_exist(promise: str, files: list[str]) -> None:
    """By name, in the files the row links to."""
    tests = next(tests for begin, tests in PROMISES.items() if promise.startswith(begin))

    assert files == list(tests)
    for file, names in tests.items():
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert set() == set(names) - defined
