"""A few rounds of each fault; ``make faults`` does hundreds. The program, its lives and the faults stand beside this file."""

from __future__ import annotations

import pytest

from tests.faults.scenarios import FAULTS, Faults

ROUNDS = {"kill": 2, "term": 1, "int": 1, "race": 1, "inherit": 1, "disk": 1, "gather": 1, "as_completed": 1, "threads": 1}


def test_every_fault_has_its_rounds_here():
    """A new one is not forgotten."""
    assert list(FAULTS) == list(ROUNDS)


@pytest.fixture(scope="module")
def faults(tmp_path_factory):
    return Faults(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize(("fault", "seed"), [(fault, seed) for fault, rounds in ROUNDS.items() for seed in range(1, rounds + 1)])
def test_no_promise_is_broken(faults, fault, seed):
    """What was reported done is never done again, what was in flight once more at most, and the result is the undisturbed one."""
    faults.round(fault, seed)
