"""The machinery of the benchmarks; what it measures is no test's business."""

from __future__ import annotations

import itertools
import sys
from contextlib import ExitStack

import pytest

from benchmarks import __main__ as cli
from benchmarks import child, harness, table
from benchmarks.harness import PIECES, Contestant, Guard, Measure, Result, Row, async_loop, calibrated, loop, measure_row
from benchmarks.rows import all_rows


def taking(*figures: float) -> Contestant:
    """A contestant whose measurements come out as said, one for each round, after one that warms up."""

    def make(stack: ExitStack) -> Measure:
        script = itertools.chain([0.0], figures)
        return lambda count: next(script)

    return Contestant(make, 1)


def not_installed(stack: ExitStack) -> Measure:
    """A contestant that cannot take part."""
    raise ModuleNotFoundError("No module named 'peer'", name="peer")


def row(*guards: Guard, **options) -> Row:
    """A tiny row."""
    contestants = {"bare": taking(1, 2, 4), "holdfast": taking(3, 4, 20), "peer": Contestant(not_installed)}
    return Row(name="a row", unit=PIECES, contestants=contestants, guards=guards, **options)


def measured(of: Row) -> Result:
    """Its three rounds."""
    return measure_row(of, rounds=3, slice_s=0.0)


def test_medians_are_over_the_rounds():
    """The middle round counts, and the quickest is told beside it."""
    summary = measured(row()).summary(row(), "holdfast")

    assert (4, 3) == (summary.median, summary.least)


def test_ratios_and_differences_are_taken_within_a_round():
    """A round in which the machine was busy slows both sides: 3/1, 4/2, 20/4 and 3-1, 4-2, 20-4."""
    summary = measured(row()).summary(row(), "holdfast")

    assert (3, 2) == (summary.ratio, summary.net)


def test_each_contestant_is_measured_once_in_each_round():
    """The order is shuffled within rounds, never over them."""
    seen: list[str] = []

    def noting(name: str) -> Contestant:
        def measure(count: int) -> float:
            seen.append(name)
            return 1.0

        return Contestant(lambda stack: measure, 1)

    measure_row(Row(name="order", contestants={name: noting(name) for name in "abc"}), rounds=4, slice_s=0.0)

    assert [["a", "b", "c"]] * 5 == [sorted(seen[start : start + 3]) for start in range(0, len(seen), 3)]


def test_a_peer_that_is_not_installed_has_a_dash():
    """The table says what it needs."""
    (line,) = [line for line in table.lines(row(), measured(row())) if line.startswith("  peer")]

    assert ["peer", "-", "needs", "peer"] == line.split()


def test_only_the_contestants_asked_for_are_made():
    """A smoke run needs no peers."""
    result = measure_row(row(), rounds=1, slice_s=0.0, only=frozenset({"bare", "holdfast"}))

    assert ({"bare", "holdfast"}, {}) == (set(result.samples), result.missing)


def test_a_row_limits_its_rounds():
    """What takes long is repeated less."""
    assert 2 == measure_row(row(most_rounds=2), rounds=3, slice_s=0.0).rounds


def test_a_contestant_may_take_part_in_fewer_rounds():
    """A peer that needs minutes is measured once, cold; the others go on. Its ratio is to their first round."""
    made: list[int] = []

    def slow(count):
        made.append(count)
        return 1.0

    of = row()
    of.contestants["slow"] = Contestant(lambda stack: slow, 1, most_rounds=1)
    result = measure_row(of, rounds=3, slice_s=0.0)

    assert ([1], 1, 3) == (made, len(result.samples["slow"]), len(result.samples["holdfast"]))
    assert 1 / result.samples["bare"][0] == result.summary(of, "slow").ratio
    assert any(line.startswith("  slow") for line in table.lines(of, result))


@pytest.mark.parametrize(
    ("target", "is_net", "expected"),
    [(4.0, False, "holdfast 4.00, target 4: reached"), (3.9, False, "MISSED"), (2.0, True, "holdfast 2.00 over bare, target 2: reached")],
)
def test_the_table_says_whether_a_target_is_reached(target, is_net, expected):
    """Beside the row's name, with the figure that was compared."""
    of = row(target=target, is_net=is_net)

    assert expected in next(table.lines(of, measured(of)))


@pytest.mark.parametrize(
    ("guard", "expected"),
    [
        (Guard("bare", 3), []),
        (Guard("bare", 2.9), ["a row: 3 times bare, and 2.9 is the most allowed"]),
        (Guard(None, 4), []),
        (Guard(None, 3), ["a row: 4, and 3 is the most allowed"]),
    ],
)
def test_a_broken_guard_is_a_sentence(guard, expected):
    """With what was measured and what is allowed."""
    of = row(guard)

    assert expected == measured(of).broken(of)


def test_a_guard_holds_where_the_quickest_rounds_hold_it():
    """A busy machine that hit one side in most rounds says nothing of it: 5/1, 6/1 and 2/1."""
    contestants = {"bare": taking(1, 1, 1), "holdfast": taking(5, 6, 2)}
    of = Row(name="a row", unit=PIECES, contestants=contestants, guards=(Guard("bare", 2), Guard("bare", 1.9)))

    assert ["a row: 2 times bare, and 1.9 is the most allowed"] == measured(of).broken(of)


def test_loops_fill_a_slice_of_time():
    """The count grows until a measurement is long enough."""
    assert 64 <= calibrated(lambda count: count * 0.001, 0.1) <= 128


def test_a_loop_calls_as_often_as_it_is_told(monkeypatch):
    """Both colours; the time is that between a look at the clock before and one after."""
    calls: list[int] = []
    monkeypatch.setattr(harness, "perf_counter", itertools.count().__next__)

    async def note(number: int) -> None:
        calls.append(number)

    with ExitStack() as stack:
        elapsed = [loop(calls.append, 1)(3), async_loop(stack, note, 2)(2)]

    assert [1, 1, 1, 2, 2] == calls
    assert [1, 1] == elapsed


@pytest.mark.parametrize(("most", "expected"), [(1e9, 0), (0.0, 1)])
def test_smoke_measures_a_row_in_a_process_of_its_own(monkeypatch, capsys, most, expected):
    """A guard that holds is exit code 0, a broken one 1."""
    (real,) = [row for row in all_rows() if row.name == "call, ok at once, sync"]
    guarded = Row(name=real.name, contestants=real.contestants, guards=(Guard("bare", most),))
    monkeypatch.setattr(cli, "SMOKE_SLICE_S", 0.0001)

    assert expected == cli.smoke([guarded], rounds=1)
    assert ("ok" if expected == 0 else "BROKEN") == capsys.readouterr().out.split()[0]


def test_a_row_that_fails_says_why(monkeypatch):
    """A benchmark that cannot run is no success."""
    unknown = Row(name="no such row", contestants={})

    with pytest.raises(child.ChildFailed, match="no such row"):
        child.measure_apart(unknown, rounds=1, slice_s=0.0)


def test_a_row_that_hangs_is_given_up(monkeypatch, tmp_path):
    """A benchmark must not keep a machine busy for ever."""
    hangs = tmp_path / "python"
    hangs.write_text("#!/bin/sh\nexec sleep 600\n")
    hangs.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(hangs))
    (real,) = [row for row in all_rows() if row.name == "call, ok at once, sync"]
    monkeypatch.setattr(child, "PATIENCE", 0.0)
    monkeypatch.setattr(child, "PATIENCE_PER_ROUND", 0.001)

    with pytest.raises(child.ChildFailed, match=r"not finished after 0\.001 s"):
        child.measure_apart(real, rounds=1, slice_s=0.0)


def test_rows_have_different_names():
    """A row is found by its name."""
    names = [row.name for row in all_rows()]

    assert len(set(names)) == len(names)


def test_guards_compare_contestants_there_are():
    """A renamed peer would guard nothing."""
    for of in all_rows():
        assert {guard.against for guard in of.guards} <= {*of.contestants, None}


def test_a_pattern_that_matches_nothing_lists_the_rows(capsys):
    """Exit code 2, as for any wrong use."""
    assert 2 == cli.main(["--only", "no such row"])
    assert "call, ok at once, sync" in capsys.readouterr().out
