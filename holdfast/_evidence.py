"""What a cache and the runtime tell the recorder of evidence, and what overrides change for them: protocols, and where they meet.

A disk cache asks `open_witness` for whoever attends its folder. Each entry that it hands out carries a `Tap`, by which a hit is noted in a tenth of
a microsecond: whoever serves the entry counts it, and calls `Tap.keep` only when enough time has passed since the key's last one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from holdfast.typing import CacheKey

OLDEST = 30
"""The last class of ages."""


def age_class(seconds: float) -> int:
    """The class of an age: 0 below a second, 1 below 2, 2 below 4, and so on; the last has no end.

    >>> [age_class(seconds) for seconds in (-1, 0.5, 1, 3.9, 4, 3600, float("inf"))]
    [0, 0, 1, 2, 3, 12, 30]
    """
    return int(min(2.0 ** (OLDEST - 1), max(0.0, seconds))).bit_length()


POLICIES_CHANGED: set[Path] = set()
"""Folders of caches in which an override of somebody's policy is in force. Changed in place: an empty set is all that a hit looks at."""


class Tally(Protocol):
    """Counts of one task.

    Attributes:
        gets: How often an entry was asked for, never sampled.
    """

    gets: int


class Tap(Protocol):
    """Notes the hits of one key. Whoever serves an entry at ``now`` adds 1 to ``tally.gets`` while ``now < until``, and else calls `keep`.

    Attributes:
        until: Seconds since the epoch; infinity for a key of which no times are kept.
    """

    until: float

    @property
    def tally(self) -> Tally:
        """Where they are counted. It may change: it is asked for anew at each."""
        ...

    def keep(self, now: float) -> None:
        """Count a hit, and keep its time."""
        ...

    def passes(self, probe: Any) -> bool:
        """Whether the source is not to be asked behind the next hit, which then is over.

        Args:
            probe: What the policy asks for.
        """
        ...

    def take(self) -> bool:
        """After `passes` was False: whether it is to be asked behind this one, and not another thread's."""
        ...


class Witness(Protocol):
    """Attends one cache: records what it is asked for and what the source answers, and knows which policies are overridden. Never raises.

    Attributes:
        taps: Of keys that were asked for; a hit on disk looks here first, which takes 0.05 us less than `tap`.
    """

    @property
    def taps(self) -> Mapping[CacheKey, Tap]:
        """See above."""
        ...

    def tap(self, key: CacheKey, payload: bytes | None = None) -> Tap | None:
        """What notes the hits of a key; None when nothing is recorded.

        Args:
            key: The key.
            payload: What is about to be stored for it, or was found by a probe; None when it was read. `computed` follows, if the call comes to an end.
        """
        ...

    def computed(
        self, key: CacheKey, began: float, seconds: float, *, ok: bool, kind: str, cause: str, modified: float | None, policy: Any
    ) -> None:
        """The source was asked.

        Args:
            key: For what.
            began: When, seconds since the epoch.
            seconds: How long it took, all attempts and waits included.
            ok: Whether it answered with a value.
            kind: ``fill`` while a caller waited, ``refresh`` behind a caller's back, ``probe`` only to see what it would answer.
            cause: Of a fill, why the cache had nothing, as in `holdfast.events.CallFacts.cache_cause`; ``""`` when that is not known.
            modified: When it says that it last changed the value, seconds since the epoch; None when it does not.
            policy: The cache policy in force for most keys of the task.
        """
        ...

    def evicted(self, ages: Mapping[tuple[str, int], int]) -> None:
        """Entries had to make room for others.

        Args:
            ages: How many, by namespace and `age_class`.
        """
        ...

    def in_force(self, policy: Any, key: CacheKey) -> Any:
        """The cache policy that holds for a key now: the one given, or what an override makes of it."""
        ...

    def in_force_for_most(self, policy: Any, task: str) -> Any:
        """The same for most keys of a task: what an override makes of a few of them is left out."""
        ...


def _nobody(folder: Path, is_recorded: bool) -> Witness | None:  # noqa: FBT001 - as the one that takes its place
    del folder, is_recorded
    return None


open_witness: Callable[[Path, bool], Witness | None] = _nobody
"""Who attends the cache in a folder, and records what it is asked for if that is wanted; set by ``holdfast``."""


def _nobody_looks(folder: Path, tasks: Sequence[tuple[str, Any]]) -> None:
    del folder, tasks


look_after: Callable[[Path, Sequence[tuple[str, Any]]], None] = _nobody_looks
"""Looks after the times to live of tasks, given with their policies, of the cache in a folder, if it is time, and behind; set by ``holdfast``."""
