"""The keys of a thinned task that are asked for most: found in bounded memory, and kept whole whatever their hash."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.recording import hot, store, taps
from holdfast.recording import recorder as recorder_module
from holdfast.recording.hashes import Hasher
from holdfast.recording.hot import HotKeys, HotNote, SpaceSaving
from holdfast.recording.packing import unpack_answers, unpack_times
from holdfast.recording.recorder import Recorder
from holdfast.recording.store import ANSWERS, TIMES
from holdfast.recording.taps import ALL, KeyTap, TaskLog
from holdfast.recording.trial import Trial
from holdfast.typing import CacheKey
from tests.recording.busy import Program, zipf

BATCHES = st.lists(st.dictionaries(st.integers(0, 30), st.integers(1, 50), max_size=12), max_size=20)


@pytest.fixture
def busy(clock, monkeypatch):
    """A task is thinned early, by the fake clock, to an eighth of its keys or so."""
    monkeypatch.setattr(taps, "BURST", 4000)
    monkeypatch.setattr(taps, "SUSTAINED", 4.0)
    monkeypatch.setattr(recorder_module, "time", SimpleNamespace(monotonic=clock.time))


def kept(folder, what=TIMES):
    """Segments of the one task, with what they hold."""
    reader = store.Reader(folder / "recording.db")
    unpack = unpack_times if what == TIMES else unpack_answers
    found = [(each, unpack(each.data, each.number)) for each in reader.segments("app.fetch", what, 0)]
    reader.close()
    return found


def thinned(folder, clock, hasher, hot_keys=()):
    """A recorder that goes on as a process before it did, which kept one key of very many, and these."""
    note = HotNote(0.01, frozenset(hot_keys)).packed()
    ledger = store.Ledger(folder)
    ledger.write([(store.segment_of_times("app.fetch", hasher.salt, 60, [(1, clock.time())], note), ())], [], clock.time())
    ledger.close()
    return Recorder(folder, hasher)


@given(BATCHES, st.integers(1, 8))
def test_the_sketch_keeps_what_it_promises(batches, capacity):
    """Counters are bounded in number; a key above the n-th part has one; none is too small, or too large by more than that part."""
    sketch, truth = SpaceSaving(capacity), Counter()
    for batch in batches:
        sketch.add(batch)
        truth.update(batch)
    found, total = dict(sketch.ranked()), sum(truth.values())

    assert total == sketch.total
    assert len(found) <= capacity
    assert {key for key, number in truth.items() if number > total / capacity} <= found.keys()
    assert all(truth[key] <= number <= truth[key] + total / capacity for key, number in found.items())


def test_old_counts_fade():
    """A key that is asked for now overtakes one that was asked for twice as often long ago."""
    sketch = SpaceSaving()
    sketch.add({1: 200})
    sketch.fade()
    sketch.fade()
    sketch.add({2: 100})

    assert [(2, 100), (1, 50)] == sketch.ranked()
    assert 150 == sketch.total


def test_a_choice_holds_from_the_next_look_on():
    """What waits when a key is chosen is from before it was kept."""
    keys = HotKeys()
    keys.sketch.add({key: 1000 * key for key in range(1, 101)})

    assert frozenset(range(37, 101)) == keys.choose() == keys.coming
    assert frozenset() == keys.kept
    assert 50 in keys
    assert frozenset() == keys.settle()
    assert keys.coming == keys.kept
    assert frozenset() == keys.choose()  # not time for another


def test_a_hot_key_stays_while_it_is_nearly_hot():
    """One of the 128 busiest is not given up for a slightly busier one; one that is asked for no more is."""
    keys = HotKeys(frozenset([1, 2]))
    keys.sketch.add({1: 90_000, 2: 5, **{key: 100 + key for key in range(10, 210)}})
    keys.choose()

    assert 1 in keys.coming
    assert 2 not in keys.coming
    assert hot.MOST == len(keys.coming)
    assert {2} == keys.settle()
    assert 20 not in keys.coming


def test_when_thinning_begins_only_whole_keys_are_hot():
    """Of a key above the old limit that was not hot something is missing already."""
    keys = HotKeys(frozenset([900]))
    keys.sketch.add({10: 50, 900: 40, 800: 60})
    keys.begin(100)

    assert {10, 900} == keys.kept == keys.coming
    assert {800} == keys.choose()


def test_a_note_comes_back():
    """With its keys and their pause; without keys it takes no room, and damage names none."""
    note = HotNote(2.56, frozenset([5, ALL - 1]))

    assert note == HotNote.unpacked(note.packed())
    assert b"" == HotNote(2.56).packed()
    assert HotNote() == HotNote.unpacked(b"") == HotNote.unpacked(note.packed()[:9])


def test_a_sleeping_tap_counts_and_a_woken_one_keeps():
    """Whatever it is told, every hit is counted once for the task."""
    log = TaskLog("app.fetch", shift=1)
    tap = KeyTap(log, ALL - 5)
    tap.sleep()
    tap.keep(1.0)
    tap.tally.gets += 1
    own = tap.tally.gets
    tap.wake()
    tap.keep(2.0)
    tap.sleep(is_counted=False)
    tap.keep(3.0)

    assert 2 == own
    assert 4 == log.counted().gets
    assert [(ALL - 5, 2.0)] == log.times


@pytest.mark.usefixtures("busy")
def test_hot_keys_are_kept_whole(tmp_path, clock):
    """Every access of a key in the time of a segment that calls it hot is there, be it hot all the time or for a while, its hash above the limit or not."""
    accesses = zipf(60_000, seconds=3000)
    program = Program(tmp_path, clock, b"a secret").run([(moment, number + 100 * (moment > 2000)) for moment, number in accesses])
    hasher, asked = Hasher(b"a secret"), dict[int, list[int]]()
    names = {number: hasher.hash_of(CacheKey("app.fetch@1", number.to_bytes(16))) for number in range(5100)}
    for moment, number in accesses:
        asked.setdefault(names[number + 100 * (moment > 2000)], []).append(round((program.start + moment) * 1e6))
    for key, times in asked.items():  # a pause may have swallowed those that came soon
        asked[key] = times[:1] + [after for before, after in pairwise(times) if after - before > 1e6]
    segments = [(segment, HotNote.unpacked(segment.hot), rows) for segment, rows in kept(tmp_path)]
    found = {each for _, _, rows in segments for each in rows}
    expected = {
        (key, time) for segment, note, _ in segments for key in note.keys for time in asked[key] if segment.first <= time <= segment.last
    }
    hot_keys = {key for _, note, _ in segments for key in note.keys}

    assert 60_000 == program.recorder._logs["app.fetch"].tally.gets
    assert set() == expected - found
    assert len(expected) > 5000
    assert len(hot_keys) > 90  # two sets of them, one after the other
    assert sum(key >= ALL >> 3 for key in hot_keys) > 50


@pytest.mark.usefixtures("busy")
def test_no_get_is_lost_while_taps_are_dropped(tmp_path, clock, monkeypatch):
    """There is room for a few taps only, and entries hold on to those that were dropped; counts are exact, and the busiest are found."""
    monkeypatch.setattr(recorder_module, "MOST_TAPS", 300)
    program = Program(tmp_path, clock, b"a secret").run(zipf(40_000, seconds=2000))
    log = program.recorder._logs["app.fetch"]
    hasher = Hasher(b"a secret")
    busiest = {hasher.hash_of(CacheKey("app.fetch@1", number.to_bytes(16))) for number in range(20)}

    assert log.shift >= 2
    assert 40_000 == log.tally.gets == sum(counts.gets for _, counts in store.Reader(tmp_path / "recording.db").counts("app.fetch", 0))
    assert busiest <= log.hot.kept


def test_two_taps_of_a_sleeping_key_are_one(tmp_path, clock):
    """An entry holds the tap of a key whose place was needed; who asks again gets the same, so that it can be woken."""
    recorder = thinned(tmp_path, clock, Hasher(b"secret"))
    key = CacheKey("app.fetch@1", b"0" * 16)
    held = recorder.tap(key)
    recorder._clear_taps()
    held.keep(clock.time())

    assert not held.is_kept
    assert held.tally is held.log.tally
    assert recorder.tap(key) is held
    assert held.tally is not held.log.tally
    assert 1 == held.log.counted().gets


def test_hot_keys_have_a_bound_of_their_own(clock, monkeypatch):
    """Where they are asked for too often, fewer of their times are kept, then fewer keys; the share of the others is left alone."""
    monkeypatch.setattr(taps, "BURST", 100)
    log = TaskLog("app.fetch", shift=1, hot=frozenset([ALL - 5]))
    for _ in range(12):
        log.times = [(ALL - 5, 1.0)] * 200
        log.watch(0.0)
        log.spend(0.0)

    assert 1 == log.shift
    assert 10 <= log.pause < 20
    assert hot.MOST / 4 == log.hot.most
    tap = KeyTap(log, ALL - 5)
    log.times = []
    for moment in range(100):
        tap.keep(float(moment))
    assert 10 == len(log.times)


def test_a_new_process_keeps_the_same_hot_keys(tmp_path, clock):
    """From its first call on; hashes of another secret name no keys."""
    hasher, key = Hasher(b"secret"), CacheKey("app.fetch@1", b"0" * 16)
    note = HotNote(2.56, frozenset([hasher.hash_of(key)])).packed()
    ledger = store.Ledger(tmp_path)
    for shift, hot_keys in ((59, b""), (60, b""), (60, note)):
        segment = store.segment_of_times("app.fetch", hasher.salt, shift, [(1, clock.time())], hot_keys)
        ledger.write([(segment, ())], [], clock.time())
    ledger.close()
    same, other = Recorder(tmp_path, hasher).tap(key), Recorder(tmp_path, Hasher(b"other")).tap(key)

    assert (True, 60, 2.56) == (same.is_kept, same.log.shift, same.log.pause)
    assert (False, 60, 0.01) == (other.is_kept, other.log.shift, other.log.pause)


def test_a_hot_key_stays_awake_while_taps_are_dropped(tmp_path, clock):
    """An entry holds its tap, and who asks again gets the same one; it never slept."""
    hasher, key = Hasher(b"secret"), CacheKey("app.fetch@1", b"0" * 16)
    recorder = thinned(tmp_path, clock, hasher, [hasher.hash_of(key)])
    held = recorder.tap(key)
    recorder._clear_taps()
    held.keep(clock.time())

    assert held.is_kept
    assert recorder.tap(key) is held
    assert 1 == len(held.log.times)


def test_segments_are_made_one_when_other_keys_are_hot(tmp_path, clock):
    """Each says which keys it holds; small ones of the time before do not stay."""
    hasher, key = Hasher(b"secret"), CacheKey("app.fetch@1", b"0" * 16)
    hashed = hasher.hash_of(key)
    recorder = thinned(tmp_path, clock, hasher, [hashed])
    tap = recorder.tap(key)
    for second in range(10):
        tap.keep(clock.time() + second)
        recorder.flush()
        if second == 7:
            tap.log.hot.coming = frozenset([hashed, 7])

    assert [1, 8, 1, 1] == [segment.number for segment, _ in kept(tmp_path)]
    assert {1, 2} == {len(HotNote.unpacked(segment.hot).keys) for segment, _ in kept(tmp_path)}
    assert 11 == sum(len(rows) for _, rows in kept(tmp_path))
    with closing(sqlite3.connect(tmp_path / store.FILE)) as connection:
        (counted,) = connection.execute("SELECT bytes FROM size").fetchone()
    assert counted == sum(len(segment.data) + len(segment.hot) + store.ROW for segment, _ in kept(tmp_path))


def test_hot_keys_are_not_probed(clock):
    """What the source says of a key that is not in the sample is not among the sightings."""
    from holdfast import Probe

    probe = Probe(share=1, max_per_hour=60)
    log = TaskLog("app.fetch", shift=1, hot=frozenset([ALL - 5]))
    log.chooser.passes(probe)
    log.chooser.permit()

    assert KeyTap(log, ALL - 5).passes(probe)
    assert not KeyTap(log, 5).passes(probe)


@pytest.mark.usefixtures("busy")
def test_a_trial_judges_the_sample_alone(tmp_path, clock):
    """Hot keys would outweigh the others in it."""
    from holdfast.overrides.override import Override

    accesses, begun = zipf(20_000, seconds=1000), clock.time()
    Program(tmp_path, clock, b"a secret").run(accesses)
    override = Override(1, "app.fetch", "set", 10.0, 1.0, None, "anna", "", begun, None, 0, 1)
    segments = kept(tmp_path, ANSWERS)
    beyond = [each for segment, rows in segments for each in rows if each.key >= ALL >> segment.shift]
    sampled = [each for segment, rows in segments for each in rows if each.key < ALL >> segment.shift]
    trial = Trial.of(tmp_path / "recording.db", override)

    assert beyond
    assert len(sampled) == len(trial.tried) + len(trial.others)


def test_a_task_that_is_not_thinned_writes_nothing_of_hot_keys(tmp_path, clock):
    """And looks for none."""
    program = Program(tmp_path, clock, b"a secret").run(zipf(3000, seconds=3000))
    recorder = program.recorder

    assert {b""} == {segment.hot for segment, _ in kept(tmp_path)}
    assert [] == recorder._logs["app.fetch"].hot.sketch.ranked()


def test_a_child_counts_for_itself(tmp_path, clock):
    """What sleeping taps have counted before a fork is the parent's to write."""
    log = TaskLog("app.fetch", shift=1)
    tap = KeyTap(log, ALL - 5)
    log.beyond[tap.key] = tap
    tap.sleep()
    tap.keep(1.0)
    log.forget()
    tap.keep(2.0)
    log.watch(0.0)

    assert 1 == log.counted().gets


def test_a_hot_key_is_counted_whole_however_long_its_pause(clock):
    """Else it would seem to be asked for less than one that is not kept, and make room for it."""
    log = TaskLog("app.fetch", shift=1, hot=frozenset([ALL - 5]), pause=10.0)
    tap = log.beyond[ALL - 5] = KeyTap(log, ALL - 5)
    for number in range(100):
        tap.keep(number / 100)
    log.watch(1.0)

    assert 1 == len(log.times)
    assert [(ALL - 5, 100)] == log.hot.sketch.ranked()
    assert 100 == log.counted().gets


def test_a_tap_that_nobody_holds_any_more_has_counted(clock):
    """It was dropped by all before the recorder's thread came by."""
    log = TaskLog("app.fetch", shift=1)
    tap = KeyTap(log, ALL - 5)
    tap.sleep()
    tap.keep(1.0)
    before = log.counted().gets
    del tap

    assert (0, 1) == (before, log.counted().gets)


def test_a_signals_handler_may_ask_for_a_key_while_one_is_asked_for(tmp_path, clock, monkeypatch):
    """The same thread holds the lock already; both get the same tap."""
    recorder, key = thinned(tmp_path, clock, Hasher(b"secret")), CacheKey("app.fetch@1", b"0" * 16)
    inner = []

    class Interrupted(KeyTap):
        __slots__ = ()

        def __init__(self, log, hashed):
            monkeypatch.undo()
            assert recorder._naming.acquire(timeout=1)
            recorder._naming.release()
            inner.append(recorder.tap(key))
            super().__init__(log, hashed)

    monkeypatch.setattr(recorder_module, "KeyTap", Interrupted)
    outer = recorder.tap(key)

    assert [outer] == inner
    assert recorder.tap(key) is outer


def test_a_hot_key_is_kept_after_the_clock_was_set_back(tmp_path, clock):
    """Also where its tap had to make room for others, and only an entry holds it."""
    hasher, key = Hasher(b"secret"), CacheKey("app.fetch@1", b"0" * 16)
    recorder, moment = thinned(tmp_path, clock, hasher, [hasher.hash_of(key)]), clock.time()
    held = recorder.tap(key)
    held.keep(moment)
    recorder._clear_taps()
    recorder._looked_wall = moment + 3600  # as if it had been an hour later
    recorder.flush()

    assert held.until <= moment
