"""A few rounds of each fault; ``make faults`` does hundreds. The program, its lives and the faults stand beside this file."""

from __future__ import annotations

import random

import pytest

from tests.faults.lives import Round
from tests.faults.scenarios import FAULTS, Faults
from tests.waiting import until

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


# -- the judge itself -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def killed(faults, tmp_path):
    """Makes a round whose first life was killed when a part of it was done, not judged yet."""

    def make(**options):
        lived = Round("mixed", tmp_path, random.Random(1), faults.expected("mixed"), options)
        with lived.started(most_begun="40") as process:
            until(lambda: lived.begun() >= 40)
            process.kill()
            process.wait()
        return lived

    return make


def test_an_outcome_that_was_seen_and_not_recorded_is_noticed(killed):
    """With a durability that promises less."""
    with pytest.raises(AssertionError, match=r"were handed to the program and are not in the store: \d+ effects, pay"):
        killed(durability="exit").judge()


def test_an_effect_that_is_had_again_is_noticed(killed):
    """When the store is lost."""
    lived = killed()
    lived.judge()
    for path in lived.folder.glob("runs.db*"):
        if path.is_file():
            path.unlink()
    lived.whole_life()

    with pytest.raises(AssertionError, match=r"had an effect although their outcome was in the store.*pay"):
        lived.judge()


def test_another_result_is_noticed(killed):
    """Than the one that was expected."""
    lived = killed()
    lived.judge()
    lived.expected = ("[]", lived.expected[1])

    with pytest.raises(AssertionError, match="another result than undisturbed"):
        lived.finish()
