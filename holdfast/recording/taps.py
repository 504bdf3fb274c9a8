"""The side of a recording that calls touch: taps of keys, and the log of a task into which they run."""

from __future__ import annotations

from collections import Counter
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from weakref import WeakValueDictionary

import msgspec

from holdfast.recording.choosing import Chooser
from holdfast.recording.hot import LONGEST_PAUSE, HotKeys

if TYPE_CHECKING:
    from holdfast.policies.cache import CachePolicy
    from holdfast.policies.probe import Probe

T = TypeVar("T")

RESOLUTION = 0.01
"""Seconds between two kept times of one key; hits in between are counted. The next computation of a key is told from the next kept time
after its entry expires, so it is at most that much late."""
NEVER = float("inf")
ALL = 1 << 64
"""Where the hashes of keys end."""
SUSTAINED = 1_000_000 / 86_400
"""Kept times of a task a second, of one process, that go on for ever: a million a day."""
BURST = 20_000
"""How many may come at once before fewer keys are kept."""
MOST_WAITING = 1 << 17
"""Times and answers that wait to be written; while the file cannot be, what is beyond is dropped."""


CAUSES = ("", "cold", "expired", "evicted", "invalidated", "version", "error")
"""Why a cache had nothing; ``""`` where that is not known. A byte of each answer has room for one more."""
_COUNTED_AS = {"version": "other_version", "error": "unreadable"}


class Answer(NamedTuple):
    """One real call of the source.

    Attributes:
        key: The key's hash.
        began: Seconds since the epoch.
        seconds: How long it took.
        fingerprint: 64 bits that tell values apart; 0 for a call that left none.
        size: Bytes of the encoded value; -1 without one.
        modified: When the source last changed the value, seconds since the epoch; None when it does not say.
        kind: ``fill``, ``refresh`` or ``probe``.
        ok: Whether it answered with a value.
        cause: Of a fill, why the cache had nothing, one of `CAUSES`.
    """

    key: int
    began: float
    seconds: float
    fingerprint: int
    size: int
    modified: float | None
    kind: str
    ok: bool
    cause: str = ""


class Counts(msgspec.Struct):
    """What is counted of a task, of every call.

    Attributes:
        gets: How often its cache was asked: hits, and calls that had to be computed.
        fills: Computed while a caller waited.
        refreshes: Computed behind a caller's back.
        probes: Computed to see whether a hit was stale.
        errors: How many of those failed.
        seconds: How long they all took.
        bytes: How much they stored.
        cold: Of the fills, those whose key was not stored, as far as was remembered.
        expired: Those whose entry was too old.
        evicted: Those whose entry had made room for others.
        invalidated: Those whose entry had been forgotten by purge, forget or invalidate.
        other_version: Those for whose arguments there was an entry of other code.
        unreadable: Those whose entry could not be read.
    """

    gets: int = 0
    fills: int = 0
    refreshes: int = 0
    probes: int = 0
    errors: int = 0
    seconds: float = 0.0
    bytes: int = 0
    cold: int = 0
    expired: int = 0
    evicted: int = 0
    invalidated: int = 0
    other_version: int = 0
    unreadable: int = 0

    def note_miss(self, cause: str) -> None:
        """Count a fill by why it was one, one of `CAUSES`."""
        if cause:
            name = _COUNTED_AS.get(cause, cause)
            setattr(self, name, getattr(self, name) + 1)

    @property
    def misses(self) -> dict[str, int]:
        """How many fills there were of each cause, as far as it was known; only causes that came up."""
        found = {cause: getattr(self, _COUNTED_AS.get(cause, cause)) for cause in CAUSES if cause}
        return {cause: number for cause, number in found.items() if number}

    def minus(self, other: Counts) -> Counts:
        """What was counted since ``other`` was."""
        return Counts(*[getattr(self, name) - getattr(other, name) for name in Counts.__struct_fields__])

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(*[getattr(self, name) + getattr(other, name) for name in Counts.__struct_fields__])


class Tally:
    """A count of hits: of a task, or of one key of it that is not kept.

    Attributes:
        gets: How many.
    """

    __slots__ = ("gets",)

    def __init__(self) -> None:
        self.gets = 0

    def drained(self) -> int:
        """Take the count off. A thread that adds to it does so in one step, before or after."""
        number = self.gets
        self.gets -= number
        return number


class TaskLog:
    """What is known of one task and not yet written.

    Threads add to it without a lock: each step (an append, an addition) is atomic, and what is taken off is taken off the front.

    Args:
        task: Module and qualified name.
        shift: Of each ``2 ** shift`` keys one is kept.
        hot: Keys that are kept beside these.
        pause: Seconds between two kept times of such a key.

    Attributes:
        task: See above.
        counts: Since the process began.
        tally: The count of gets, where a hit finds it.
        shift: See above.
        policy: In force for most keys at the last computation; None before there was one.
        times: Kept times, seconds since the epoch, with the hashes of their keys.
        answers: Of the source.
        hot: See above.
        pause: See above.
        beyond: The taps of keys above the limit, as long as anything holds them.
        evicted: Entries that had to make room: `age_class`, and how many.
        chooser: Chooses the hits behind which the source is asked.
    """

    __slots__ = (
        "_ages",
        "_hot_room",
        "_left",
        "_room",
        "_written",
        "answers",
        "beyond",
        "chooser",
        "counts",
        "evicted",
        "hot",
        "pause",
        "policy",
        "shift",
        "tally",
        "task",
        "times",
    )

    def __init__(self, task: str, shift: int = 0, *, hot: frozenset[int] = frozenset(), pause: float = RESOLUTION) -> None:
        self.task = task
        self.shift = shift
        self.policy: CachePolicy | None = None
        self.tally = Tally()
        self.hot, self.pause = HotKeys(hot), max(RESOLUTION, pause)
        self.beyond: WeakValueDictionary[int, KeyTap] = WeakValueDictionary()
        self._start()

    def _start(self) -> None:
        self.counts, self._written = Counts(), Counts()
        self.times: list[tuple[int, float]] = []
        self.answers: list[Answer] = []
        self.evicted: list[tuple[int, int]] = []
        self._ages = Counter[int]()
        self.chooser = Chooser()
        self._left: list[tuple[int, int]] = []
        self._room = self._hot_room = float(BURST)

    @property
    def limit(self) -> int:
        """Keys whose hash is below are kept."""
        return ALL >> self.shift

    def counted(self) -> Counts:
        """What has been counted and not been written."""
        self.counts.gets = self.tally.gets
        return self.counts.minus(self._written)

    def written(self, counts: Counts) -> None:
        """These are on disk, and the `ages` that went with them."""
        self._written = self._written.plus(counts)
        self._ages.clear()

    def ages(self) -> Counter[int]:
        """How many entries were evicted, by `age_class`, and not written."""
        for each, number in _taken(self.evicted):
            self._ages[each] += number
        return self._ages

    def take(self) -> tuple[list[tuple[int, float]], list[Answer]]:
        """Take off what waits to be written, of keys that are kept now."""
        limit, hot = self.limit, self.hot.kept
        times, answers = _taken(self.times), _taken(self.answers)
        if self.shift:
            times = [each for each in times if each[0] < limit or each[0] in hot]
            answers = [each for each in answers if each.key < limit or each.key in hot]
        return times, answers

    def watch(self, seconds: float) -> bool:
        """See which keys are asked for most, in a task that is thinned or about to be; others are spared that.

        Args:
            seconds: Since the last time.

        Returns:
            Whether too many times of hot keys were kept: from now on fewer are.
        """
        if not self.shift and self._room - len(self.times) > BURST / 2:
            return False
        counts = Counter(map(itemgetter(0), list(self.times)))
        # Taps of keys above the limit count for themselves, awake or not: of kept times there are fewer the longer the pause.
        beyond = sum(counts.pop(key) for key in list(counts) if key >= self.limit)
        for ref in self.beyond.valuerefs():
            tap = ref()
            if tap is not None and tap.tally is not self.tally:
                self.left(tap.key, tap.tally)
        for key, number in _taken(self._left):
            counts[key] += number
        self.hot.sketch.add(counts)
        self._hot_room = min(float(BURST), self._hot_room + seconds * SUSTAINED) - beyond
        if self._hot_room >= 0:
            return False
        self._hot_room = float(BURST)
        if self.pause < LONGEST_PAUSE:
            self.pause *= 2
        else:
            self.hot.most //= 2
        return True

    def left(self, key: int, tally: Tally) -> None:
        """Count for the task what was counted of a key that is not kept."""
        number = tally.drained()
        if number:
            self.tally.gets += number
            self._left.append((key, number))

    def spend(self, seconds: float) -> bool:
        """Account for what waits, after so many seconds: True when that is too much, and only half of the keys are kept from now on.

        Hot keys above the limit have an account of their own (`watch`): were they on this one, fewer and fewer others would be kept for nothing.
        """
        limit = self.limit
        number = sum(1 for key, _ in list(self.times) if key < limit) if self.shift else len(self.times)
        self._room = min(float(BURST), self._room + seconds * SUSTAINED) - number
        if self._room >= 0:
            return False
        self.hot.begin(limit)
        self.shift += 1
        self._room = float(BURST)
        return True

    def trim(self) -> None:
        """Forget what is too much to wait any longer."""
        for waiting in (self.times, self.answers):
            del waiting[: max(0, len(waiting) - MOST_WAITING)]
        del self._left[:-MOST_WAITING]

    def forget(self) -> None:
        """Start over: in a forked child, what waits here is the parent's to write. Taps stay good."""
        for tap in list(self.beyond.values()):
            tap.tally.gets = 0
        self.tally.gets = 0
        self._start()


def _taken(waiting: list[T]) -> list[T]:
    number = len(waiting)
    taken = waiting[:number]
    del waiting[:number]
    return taken


class KeyTap:
    """Notes the hits of one key (`holdfast._evidence.Tap`). That of a key that is not kept sleeps: it counts.

    Args:
        log: Of its task.
        key: The key's hash.

    Attributes:
        log: See above.
        key: See above.
        tally: Where its hits are counted: the task's count, or, above the limit, one of its own, from which the recorder learns which keys are asked for most.
        until: From when on times are kept, seconds since the epoch; infinity while it sleeps.
        is_kept: Whether its times and answers are.
    """

    __slots__ = ("__weakref__", "_is_hot", "_pause", "is_kept", "key", "log", "tally", "until")

    def __init__(self, log: TaskLog, key: int) -> None:
        self.log, self.key, self.tally = log, key, log.tally
        self.wake()

    def wake(self) -> None:
        """Keep times from now on."""
        self._is_hot = self.key >= self.log.limit
        self._pause = self.log.pause if self._is_hot else RESOLUTION
        self.is_kept = True
        self.until = 0.0
        self._count_for_itself(is_wanted=self._is_hot)

    def sleep(self, *, is_counted: bool = True) -> None:
        """Keep none.

        Args:
            is_counted: Whether for itself; else for the task alone.
        """
        self.is_kept = False
        self.until = NEVER
        self._count_for_itself(is_wanted=is_counted)

    def _count_for_itself(self, *, is_wanted: bool) -> None:
        own, common = self.tally, self.log.tally
        if is_wanted and own is common:
            self.tally = Tally()
        elif not is_wanted and own is not common:
            self.tally = common
            self.log.left(self.key, own)

    def __del__(self) -> None:
        """Whoever dropped it, what it has counted for itself counts."""
        if self.tally is not self.log.tally:
            self.log.left(self.key, self.tally)

    def keep(self, now: float) -> None:
        """Count a hit, and keep its time, if enough has passed since the key's last one."""
        self.tally.gets += 1
        if now >= self.until:
            self.until = now + self._pause
            self.log.times.append((self.key, now))

    def rest(self, began: float) -> None:
        """Its time was kept a moment ago, when it was computed."""
        self.until = began + self._pause

    def passes(self, probe: Probe) -> bool:
        """Whether the source is not to be asked behind a hit: nothing is read of what it says of a key that is not in the sample."""
        return not self.is_kept or self._is_hot or self.log.chooser.passes(probe)

    def take(self) -> bool:
        """Whether it is to be asked behind this one."""
        return self.log.chooser.take()
