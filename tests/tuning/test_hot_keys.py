"""Hot keys in the analysis: each stands for itself, and the rest of the sample for all others."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from types import SimpleNamespace

import pytest

from holdfast import CachePolicy
from holdfast.recording import recorder as recorder_module
from holdfast.recording import store, taps
from holdfast.recording.hot import HotNote
from holdfast.recording.taps import ALL, Answer, Counts
from holdfast.tuning import Recording
from holdfast.tuning._aftermath import Aftermath
from tests.recording.busy import Program, fills, zipf

HOUR = 3600
SMALL, LARGE = 5, ALL - 5  # hashes: in every sample here, and in none


def without_hot_keys(recording):
    """The same sample as if it had none."""
    return Recording(recording.task, recording.trace, recording.sightings, recording.counters, recording.live_ttl, rate=recording.rate)


def test_hot_keys_take_most_of_the_error_away(tmp_path, clock, monkeypatch):
    """A task with Zipf's keys thinned to an eighth, with four secrets: hit ratios against those of all accesses, by brute force, are several times nearer with hot keys."""
    monkeypatch.setattr(taps, "BURST", 4000)
    monkeypatch.setattr(taps, "SUSTAINED", 4.0)
    monkeypatch.setattr(recorder_module, "time", SimpleNamespace(monotonic=clock.time))
    accesses, ttls = zipf(100_000, seconds=3600), [2, 5, 10, 30]
    truth = [1 - fills(accesses, ttl) / len(accesses) for ttl in ttls]
    errors = {"hot": [0.0] * len(ttls), "plain": [0.0] * len(ttls)}
    for number in (1, 3, 4, 5):
        folder = tmp_path / str(number)
        folder.mkdir()
        Program(folder, clock, b"secret %d" % number).run(accesses, ttl=60).recorder.close()
        recording = Recording.load(folder)
        assert 1 / 16 <= recording.rate <= 1 / 4
        for name, read in (("hot", recording), ("plain", without_hot_keys(recording))):
            found = [abs(each.hit_ratio - true) for each, true in zip(read.hits(ttls), truth, strict=True)]
            errors[name] = [before + each**2 / 4 for before, each in zip(errors[name], found, strict=True)]
            assert name == "plain" or max(found) < 0.03
    rms = {name: [each**0.5 for each in squares] for name, squares in errors.items()}

    # As docs/recording.md has it.
    assert [0.011, 0.009, 0.007, 0.003] == pytest.approx(rms["hot"], abs=0.002)
    assert [0.119, 0.060, 0.031, 0.008] == pytest.approx(rms["plain"], abs=0.002)
    assert 5 * max(rms["hot"]) < max(rms["plain"])
    assert all(3 * hot < plain for hot, plain in zip(rms["hot"][:3], rms["plain"][:3], strict=True))
    assert rms["hot"][3] < rms["plain"][3]


class File:
    """A recording written by hand: at shift 1, half of the keys are kept."""

    def __init__(self, folder, clock):
        self.folder, self.clock = folder, clock
        self.start = clock.time() // HOUR * HOUR + 10.0
        self.ledger = store.Ledger(folder)
        self.answers = []

    def segment(self, rows, *, shift=1, hot=(), pause=0.01, filled=()):
        """Rows of hashes and seconds since the start; those filled have an answer, too."""
        note = HotNote(pause, frozenset(hot)).packed()
        times = [(key, self.start + second) for key, second in rows]
        answers = [Answer(key, self.start + second, 0.0, 1, 1, None, "fill", True) for key, second in filled]
        changes = [(store.segment_of_times("app.fetch", 1, shift, times, note), ())]
        if answers:
            changes.append((store.segment_of_answers("app.fetch", 1, shift, answers, note), ()))
        self.ledger.write(changes, [], self.clock.time())

    def read(self, *, gets, fills):
        counted = [store.Counted("app.fetch", CachePolicy(ttl=100), Counts(gets=gets, fills=fills))]
        self.ledger.write([], counted, self.clock.time())
        self.ledger.close()
        return Recording.load(self.folder)


@pytest.fixture
def file(tmp_path, clock):
    """With nothing in it."""
    return File(tmp_path, clock)


def every(key, pause, start=0, end=100):
    """Accesses of a key."""
    return [(key, second) for second in range(start, end, pause)]


def test_a_hot_key_stands_for_itself(file):
    """Its calls count once, those of the others as often as the counts say that they were made."""
    rows = sorted([*every(LARGE, 1), *every(SMALL, 10)], key=lambda each: each[1])
    file.segment(rows, hot=[LARGE], filled=[(LARGE, 0), (SMALL, 0)])
    recording = file.read(gets=130, fills=4)

    assert 3.0 == recording.scale
    assert [100 + 3 * 10, 10 + 3 * 10, 1 + 3] == [each.calls for each in recording.hits([1, 10, None])]
    assert all(130 == each.gets == each.hits + each.calls for each in recording.hits([1, 10, None]))
    (renewed,) = recording.swr(10, [20])
    assert (40, 4) == (renewed.calls, renewed.blocking)
    assert {SMALL} == {each.key for each in recording.trace} == {each.key for each in recording.sightings}


def test_a_hot_key_of_the_sample_is_not_counted_twice(file):
    """One whose hash is below the limit is in the trace, and weighs 1 like the other hot keys."""
    rows = sorted([*every(SMALL, 1), *every(SMALL + 1, 10)], key=lambda each: each[1])
    file.segment(rows, hot=[SMALL], filled=[(SMALL, 0), (SMALL + 1, 0)])
    recording = file.read(gets=130, fills=3)

    assert (110, 2.0) == (len(recording.trace), recording.scale)
    assert [100 + 2 * 10] == [each.calls for each in recording.hits([1])]


def test_a_key_that_became_hot_stands_for_itself_from_then_on(file):
    """What it did before is the rest's to tell: kept or not, by its hash, like any other key's."""
    file.segment(every(SMALL, 10, 0, 40))
    file.segment(sorted([*every(LARGE, 1, 41), *every(SMALL, 10, 40)], key=lambda each: each[1]), hot=[LARGE])
    recording = file.read(gets=200, fills=0)

    assert 2.0 == recording.scale
    assert [59 + 2 * 10] == [each.calls for each in recording.hits([1])]


def test_before_it_was_hot_a_key_of_the_sample_is_one_of_the_rest(file):
    """It weighs as much as others then, and 1 from then on: where it is hot has nothing to do with its hash."""
    file.segment(every(SMALL, 2, 0, 50))
    file.segment(every(SMALL, 1, 50), hot=[SMALL])
    recording = file.read(gets=200, fills=0)

    assert [2 * 25 + 50] == [each.calls for each in recording.hits([1])]


def test_what_was_recorded_before_the_task_was_thinned_is_whole(file):
    """A key that became hot with the thinning stands for itself from the beginning."""
    file.segment(every(LARGE, 1, 0, 50), shift=0)
    file.segment(every(LARGE, 1, 50), hot=[LARGE])
    recording = file.read(gets=100, fills=1)

    assert (0.5, 0) == (recording.rate, len(recording.trace))
    assert [100, 50, 1] == [each.calls for each in recording.hits([1, 2, None])]


def test_a_key_with_a_hole_stands_for_itself_on_the_longer_side(file):
    """Another process, in which it was not hot, kept none of its accesses for a while."""
    file.segment(every(LARGE, 1, 0, 100), hot=[LARGE])
    file.segment([(SMALL, 20), (SMALL, 40)])
    recording = file.read(gets=200, fills=0)

    assert [59 + 2 * 2] == [each.calls for each in recording.hits([1])]


def test_a_key_that_is_hot_in_one_process_only_is_left_out(file):
    """The other one, at work all the time, has accesses of it that nobody kept."""
    file.segment(every(LARGE, 1, 10, 90), hot=[LARGE])
    file.segment([(SMALL, 0), (SMALL, 99)])
    recording = file.read(gets=200, fills=0)

    assert [2 * 2] == [each.calls for each in recording.hits([1])]


def test_only_the_time_that_is_asked_for_counts(file, clock):
    """A longer stretch of hot accesses before it is no reason to leave out those within."""
    clock.advance(5)
    file.segment(every(LARGE, 10, -7000, 15), hot=[LARGE])
    file.segment([(SMALL, 20), (SMALL, 40)])
    file.segment(every(LARGE, 1, 41, 100), hot=[LARGE])
    file.read(gets=200, fills=0)
    recording = Recording.load(file.folder, since=1)

    assert [59 + 2 * 2] == [each.calls for each in recording.hits([1])]


def test_what_came_of_an_override_is_judged_by_the_sample_alone(file):
    """Of a hot key too few times may be kept beside its calls."""
    sampled = every(SMALL, 1, 0, 1000)
    file.segment(
        sorted([*sampled, *every(LARGE, 10, 0, 1000)], key=lambda each: each[1]),
        hot=[LARGE],
        filled=[(SMALL, 0), *every(LARGE, 10, 0, 1000)],
    )
    file.read(gets=2000, fills=1)
    reader = store.Reader(file.folder / store.FILE)
    found = Aftermath(reader, "app.fetch", 0.0).between(file.start, file.start + 1000, 10.0, lambda _: True)
    reader.close()

    assert found is not None
    assert (1000, 0.999) == (found.gets, found.hits)


def test_too_short_a_ttl_is_told_by_the_sample(file):
    """Of a very busy hot key one access in a pause is kept; what happens within it the others tell."""
    file.segment(sorted([*every(LARGE, 10), *every(SMALL, 5)], key=lambda each: each[1]), hot=[LARGE], pause=10.0)
    recording = file.read(gets=200, fills=0)

    assert [2 * 20, 10 + 2 * 20] == [each.calls for each in recording.hits([4.9, 5])]
    assert [2 * 20, 10 + 2 * 20] == [recording.swr(soft, [20])[0].calls for soft in (4.9, 5)]


def test_counts_that_cannot_be_right_are_not_used(file):
    """Fewer calls were counted than were kept of the rest: each key stands for as many as were thinned away."""
    rows = sorted([*every(LARGE, 1), *every(SMALL, 10)], key=lambda each: each[1])
    file.segment(rows, hot=[LARGE], filled=[(LARGE, 0), (LARGE, 50), (SMALL, 0)])

    assert 2.0 == file.read(gets=110, fills=2).scale


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_file_from_before_hot_keys_is_read(file, version):
    """As it was; and it is written on."""
    file.segment(every(SMALL, 10), filled=[(SMALL, 0)])
    file.read(gets=100, fills=3)
    causes = ("cold", "expired", "evicted", "invalidated", "other_version", "unreadable")
    undone = [
        "ALTER TABLE segments DROP COLUMN hot",
        "DROP TABLE evictions",
        *("ALTER TABLE policies DROP COLUMN revalidated", "ALTER TABLE policies DROP COLUMN spare")[: 2 * (version < 4)],
        *[f"ALTER TABLE counts DROP COLUMN {name}" for name in causes if version < 3],
        *("DROP TABLE turns", "ALTER TABLE policies DROP COLUMN since")[: 2 * (version < 2)],
        f"PRAGMA user_version = {version}",
    ]
    with closing(sqlite3.connect(file.folder / "recording.db")) as connection, connection:
        connection.executescript(";".join(undone))
    old = Recording.load(file.folder)
    file.segment(every(LARGE, 1, 100, 200), hot=[LARGE])
    new = file.read(gets=100, fills=1)

    assert (3.0, 10) == (old.scale, len(old.trace))
    assert [10 * 3] == [each.calls for each in old.hits([1])]
    assert [100 + 10 * 4] == [each.calls for each in new.hits([1])]
