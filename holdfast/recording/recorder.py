"""The recorder of one cache: hands out taps, takes what the source answered, and writes both down when told to."""

from __future__ import annotations

import threading
import time
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from holdfast import clock, events
from holdfast.errors import StoreError
from holdfast.recording.hashes import SIZE, Hasher
from holdfast.recording.hot import HotNote
from holdfast.recording.store import ANSWERS, BUDGET, TIMES, Counted, Ledger, Segment, Thinned, segment_of_answers, segment_of_times
from holdfast.recording.tails import Addition, Tail
from holdfast.recording.taps import RESOLUTION, Answer, Counts, KeyTap, TaskLog
from holdfast.values._aside import set_aside
from holdfast.values._sqlite import is_corrupt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from holdfast.policies.cache import CachePolicy
    from holdfast.typing import CacheKey

MOST_TAPS = 1 << 14
REST = 10.0
"""Seconds without a further try after the file could not be written."""
_DAY = 86_400.0


class Recorder:
    """Keeps the evidence about one cache. Never raises; what cannot be written is dropped after a note.

    Args:
        folder: The cache's.
        hasher: Hashes its keys.
        budget: Most bytes of segments in the file.

    Attributes:
        taps: Of keys that were asked for; always this one dict.
    """

    def __init__(self, folder: Path, hasher: Hasher, budget: int = BUDGET) -> None:
        self.folder = folder
        self._hasher = hasher
        self._ledger = Ledger(folder, budget)
        self._logs: dict[str, TaskLog] = {}
        self._logs_by_namespace: dict[str, TaskLog] = {}
        self.taps: dict[CacheKey, KeyTap] = {}
        self._stored: dict[CacheKey, tuple[int, int]] = {}
        self._tails: dict[tuple[str, str, int], tuple[bytes, Tail]] = {}
        self._thinned: dict[str, Thinned] | None = None
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._naming = threading.RLock()  # a signal's handler, or what the collector calls, may call a cached function
        self._looked = time.monotonic()  # real time, here and below: it measures what recording costs
        self._looked_wall = clock.current.time()
        self._rest_until = 0.0
        self._has_complained = False

    def tap(self, key: CacheKey, payload: bytes | None = None) -> KeyTap:
        """See `holdfast._evidence.Witness.tap`."""
        tap = self.taps.get(key) or self._new_tap(key)
        if payload is not None and tap.is_kept:
            if len(self._stored) >= MOST_TAPS:  # of calls that were given up, and of tasks that are not to be recorded
                self._stored.clear()
            self._stored[key] = (int.from_bytes(blake2b(payload, digest_size=SIZE).digest()) or 1, len(payload))
        return tap

    def _new_tap(self, key: CacheKey) -> KeyTap:
        log = self._logs_by_namespace.get(key.namespace) or self._log_of(key.namespace)
        hashed = self._hasher.hash_of(key)
        tap = KeyTap(log, hashed) if hashed < log.limit else self._beyond(log, hashed)
        if len(self.taps) >= MOST_TAPS:
            self._clear_taps()
        self.taps[key] = tap
        return tap

    def _beyond(self, log: TaskLog, hashed: int) -> KeyTap:
        """The tap of a key above the limit; while an entry in memory holds one, that one: of two, one would be found when the key is chosen."""
        with self._naming:  # see `_choose`: a key that is chosen after this finds the tap, one that was chosen before is seen here
            tap = log.beyond.get(hashed) or log.beyond.setdefault(hashed, KeyTap(log, hashed))
            if hashed in log.hot:
                tap.wake()
            else:
                tap.sleep()
        return tap

    def _clear_taps(self) -> None:
        """Make room. Entries may hold on to taps: those of keys that are not kept count for the task alone from now on, but for the busiest."""
        taps = dict(self.taps)
        self.taps.clear()
        with self._naming:
            for key, tap in taps.items():
                hot = tap.log.hot
                if (tap.key in hot or (not tap.is_kept and tap.key in hot.sketch)) and len(self.taps) < MOST_TAPS // 2:
                    self.taps[key] = tap
                elif not tap.is_kept:
                    tap.sleep(is_counted=False)

    def _log_of(self, namespace: str) -> TaskLog:
        task = namespace.rpartition("@")[0]
        log = self._logs.setdefault(task, self._new_log(task))
        if len(self._logs_by_namespace) >= MOST_TAPS:
            self._logs_by_namespace.clear()
        self._logs_by_namespace[namespace] = log
        return log

    def _new_log(self, task: str) -> TaskLog:
        """One that goes on as thinly as processes kept the task's keys yesterday and today: this one need not find out again."""
        if self._thinned is None:
            self._thinned = {}
            try:
                self._thinned = self._ledger.thinned(clock.current.time() - _DAY) if self._ledger.path.exists() else {}
            except StoreError as error:
                self._complain(error)
        earlier = self._thinned.get(task, Thinned())
        hot = HotNote.unpacked(earlier.hot if earlier.salt == self._hasher.salt else b"")
        return TaskLog(task, earlier.shift, hot=hot.keys, pause=hot.pause)

    def computed(
        self, key: CacheKey, began: float, seconds: float, *, ok: bool, kind: str, cause: str, modified: float | None, policy: CachePolicy
    ) -> None:
        """See `holdfast._evidence.Witness.computed`."""
        tap = self.taps.get(key) or self._new_tap(key)
        log, (fingerprint, size) = tap.log, self._stored.pop(key, (0, -1))
        counts = log.counts
        if kind == "refresh":
            counts.refreshes += 1
        elif kind == "probe":
            counts.probes += 1
        else:
            counts.fills += 1
            tap.tally.gets += 1
            counts.note_miss(cause)
        counts.seconds += seconds
        counts.errors += not ok
        counts.bytes += max(0, size) if kind != "probe" else 0
        log.policy = policy
        if tap.is_kept:
            if kind == "fill":
                log.times.append((tap.key, began))
                tap.rest(began)
            log.answers.append(Answer(tap.key, began, seconds, fingerprint, size, modified, kind, ok, cause))

    def evicted(self, ages: Mapping[tuple[str, int], int]) -> None:
        """See `holdfast._evidence.Witness.evicted`."""
        for (namespace, each), number in ages.items():
            log = self._logs_by_namespace.get(namespace) or self._log_of(namespace)
            log.evicted.append((each, number))

    @property
    def looked_after(self) -> list[tuple[str, CachePolicy]]:
        """The tasks whose time to live is to be looked after, with the policy in force for most of their keys at the last computation here."""
        logs = list(self._logs.values())
        return [
            (log.task, log.policy) for log in logs if log.policy is not None and log.policy.tune is not None and log.policy.tune.is_looking
        ]

    def flush(self) -> None:
        """Write down what waits; what cannot be written is dropped after a note, but for the counts, which wait on."""
        with self._lock:
            try:
                is_resting = time.monotonic() < self._rest_until
                self._thin_out(is_resting=is_resting)
                if is_resting:
                    for log in list(self._logs.values()):
                        log.trim()
                    return
                self._write()
                self._permit_probes()
            except Exception as error:  # noqa: BLE001 - nothing may reach the program whose calls are recorded
                self._rest_until = time.monotonic() + REST
                self._complain(error)

    def _thin_out(self, *, is_resting: bool) -> None:
        """Keep fewer keys of the tasks that were asked for too often, and let no tap sleep when the clock was set back."""
        wall = clock.current.time()
        is_changed, self._looked_wall = wall < self._looked_wall - RESOLUTION, wall
        if not is_resting:  # what waits meanwhile would be counted again and again
            now = time.monotonic()
            seconds, self._looked = now - self._looked, now
            for log in list(self._logs.values()):
                is_changed |= bool(log.hot.settle())
                is_changed |= log.watch(seconds)
                is_changed |= log.spend(seconds)
        if is_changed:
            for tap in list(self.taps.values()):
                self._settle(tap)

    def _settle(self, tap: KeyTap) -> None:
        log = tap.log
        if tap.key < log.limit:
            tap.wake()
            return
        with self._naming:
            log.beyond[tap.key] = tap
            if tap.key in log.hot:
                tap.wake()
            else:
                tap.sleep()

    def _choose(self, log: TaskLog) -> None:
        """Keep the keys that are asked for most now. What waits is from before; it is taken off after this, and so what comes then is whole."""
        if log.shift:
            for key in log.hot.choose():
                with self._naming:
                    tap = log.beyond.get(key)
                    if tap is not None:
                        tap.wake()

    def _write(self) -> None:
        waiting = [addition for log in list(self._logs.values()) for addition in self._additions(log)]
        counted = [Counted(log.task, log.policy, log.counted(), log.ages()) for log in list(self._logs.values())]
        counted = [each for each in counted if each.counts != Counts() or each.ages]
        if not (counted or waiting) or not self.folder.is_dir():  # deleted: whoever stores something next makes it anew
            return
        if self._ledger.has_moved():
            self._ledger.close()
            self._tails.clear()
        ids = self._ledger.write([each.change for each in waiting], counted, clock.current.time())
        for addition, added in zip(waiting, ids, strict=True):
            addition.done(added)
        for each in counted:
            self._logs[each.task].written(each.counts)
        self._has_complained = False

    def _permit_probes(self) -> None:
        """Let a hit be chosen, of each task whose turn it is among all processes."""
        now = clock.current.time()
        for log in list(self._logs.values()):
            chooser = log.chooser
            if chooser.probe is not None and chooser.is_due(now) and self.folder.is_dir():
                is_mine, chooser.rest_until = self._ledger.take_turn(log.task, now, chooser.probe.interval)
                if is_mine:
                    chooser.permit()

    def _additions(self, log: TaskLog) -> list[Addition]:
        self._choose(log)
        times, answers = log.take()
        hot = HotNote(log.pause, log.hot.kept).packed() if log.shift else b""
        found: list[Addition] = []
        if times:
            found += self._grown(log, TIMES, hot, times, segment_of_times)
        if answers:
            found += self._grown(log, ANSWERS, hot, answers, segment_of_answers)
        return found

    def _grown(self, log: TaskLog, what: str, hot: bytes, rows: list[Any], segment_of: Callable[..., Segment]) -> list[Addition]:
        """Rows added to the tail of segments that hold the same keys. When others are hot, it is made one segment, and another begins."""
        place = log.task, what, log.shift
        before, tail = self._tails.setdefault(place, (hot, Tail()))
        found: list[Addition] = []
        if before != hot:
            if len(tail.ids) > 1:
                found.append(tail.whole(partial(segment_of, log.task, self._hasher.salt, log.shift, hot=before)))
            _, tail = self._tails[place] = hot, Tail()
        found.append(tail.grown_by(rows, partial(segment_of, log.task, self._hasher.salt, log.shift, hot=hot)))
        return found

    def _complain(self, error: Exception) -> None:
        """Say once what is wrong, and set a damaged file of ours aside."""
        text = f"what is asked of the cache in {self.folder} is not recorded for now: {error}"
        if is_corrupt(error):
            moved_to = self._set_aside()
            if moved_to is not None:
                text = f"{error}: the damaged recording was set aside as {moved_to}, and an empty one takes its place"
                self._rest_until = 0.0
        if not self._has_complained:
            events.note("holdfast.recording.failed", events.WARNING, text, path=str(self._ledger.path))
        self._has_complained = True

    def _set_aside(self) -> Path | None:
        try:
            self._ledger.close()
            self._tails.clear()
            return None if self._ledger.is_foreign() else set_aside(self._ledger.path)
        except (OSError, StoreError):  # what is wrong is told by whoever asks
            return None

    def close(self) -> None:
        """Write down what waits, and close the file."""
        self.flush()
        self._ledger.close()

    def after_fork_in_child(self) -> None:
        """What waits is the parent's to write."""
        for log in self._logs.values():
            log.forget()
        self._stored.clear()
        self._tails.clear()
        self._start()
