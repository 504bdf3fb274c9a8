"""What sightings say of the source: pairs of looks at one key, probes, and whether fingerprints tell anything at all. Times in microseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from holdfast.tuning.sightings import KINDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from holdfast.tuning.sightings import SightingColumns

    Numbers = NDArray[np.int64]
    Places = NDArray[np.intp]
    Truths = NDArray[np.bool_]

AT_ONCE = 1_000
"""Looks closer than this, a millisecond, say more of how long a call takes than of how often the source changes."""
_PROBE = KINDS.index("probe")
_SHORTEST = 10
"""The diagnosis of volatile fingerprints looks at the shortest tenth of the intervals, and wants as many of them."""
_NEARLY_ALL = 0.95


class Probes(NamedTuple):
    """Hits chosen at random whose source was asked, and how many of them were stale."""

    asked: int
    stale: int


class Looks(NamedTuple):
    """Looks at the source, key by key and in order within a key.

    Attributes:
        keys: The keys, in order.
        firsts: When each was first looked at.
        lasts: When each was last looked at.
        owners: For each pair of looks in a row, the place of its key.
        since: When the earlier look was.
        until: When the later one was.
        changed: Whether it found another value.
        modified: When the source says that its last change in between was; below ``since`` when it does not say.
        probes: Of hits.
    """

    keys: NDArray[np.uint64]
    firsts: Numbers
    lasts: Numbers
    owners: Places
    since: Numbers
    until: Numbers
    changed: Truths
    modified: Numbers
    probes: Probes

    @classmethod
    def of(cls, columns: SightingColumns) -> Looks:
        """Calls that failed, or of whose value nothing is known, are no looks."""
        fingerprints = np.frombuffer(columns.fingerprints, np.uint64)
        seen = np.flatnonzero((np.frombuffer(columns.oks, np.uint8) > 0) & (fingerprints > 0))
        seen = seen[np.argsort(np.frombuffer(columns.keys, np.uint64)[seen], kind="stable")]
        keys, fingerprints = np.frombuffer(columns.keys, np.uint64)[seen], fingerprints[seen]
        times = np.frombuffer(columns.times, np.int64)[seen]
        starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))[: len(keys)]
        counts = np.diff(np.append(starts, len(keys)))
        later = np.delete(np.arange(len(keys)), starts)
        owners = np.repeat(np.arange(len(starts)), counts)
        return cls(
            keys=keys[starts],
            firsts=times[starts],
            lasts=times[starts + counts - 1],
            owners=owners[later],
            since=times[later - 1],
            until=times[later],
            changed=fingerprints[later] != fingerprints[later - 1],
            modified=np.frombuffer(columns.modifieds, np.int64)[seen][later],
            probes=_probes(np.frombuffer(columns.kinds, np.uint8)[seen] == _PROBE, owners, fingerprints),
        )

    @property
    def are_enough(self) -> bool:
        """Whether some key was looked at twice, and not at once: without that nothing is known of changes."""
        return bool(np.any(self.until - self.since >= AT_ONCE))

    @property
    def changes(self) -> int:
        """How many pairs of looks found another value."""
        return int(np.count_nonzero(self.changed))

    @property
    def exposure(self) -> int:
        """Microseconds between looks, together."""
        return int((self.until - self.since).sum())

    @property
    def volatile_interval(self) -> int | None:
        """Where nearly every look finds another value, however soon it comes: how soon; None where fingerprints do tell something."""
        intervals = self.until - self.since
        wanted = max(_SHORTEST, len(intervals) // _SHORTEST)
        if len(intervals) < wanted:
            return None
        nearest = np.argsort(intervals, kind="stable")[:wanted]
        return int(intervals[nearest].max()) if self.changed[nearest].mean() >= _NEARLY_ALL else None


def _probes(is_probe: Truths, owners: Places, fingerprints: NDArray[np.uint64]) -> Probes:
    """Each probe beside the last look before it that was stored."""
    stored = np.maximum.accumulate(np.where(is_probe, -1, np.arange(len(owners))))
    probes = np.flatnonzero(is_probe & (stored >= 0))
    probes = probes[owners[stored[probes]] == owners[probes]]
    return Probes(len(probes), int(np.count_nonzero(fingerprints[stored[probes]] != fingerprints[probes])))
