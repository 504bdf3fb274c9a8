"""Sightings: every time the source itself was asked, and what it answered."""

from __future__ import annotations

import csv
from array import array
from typing import TYPE_CHECKING, NamedTuple

from holdfast.errors import TraceError
from holdfast.tuning import _csv
from holdfast.tuning._columns import HIGHEST, LONGEST, hashed, microseconds, whole, written
from holdfast.tuning._rows import FINGERPRINT, KEY, SIZE, TIMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from os import PathLike

KINDS = ("fill", "refresh", "probe")
_DURATION, _MODIFIED, _KIND, _OK = "duration_s", "modified_s", "kind", "ok"
_NAMES = (KEY, _KIND, _OK, _DURATION, FINGERPRINT, SIZE, _MODIFIED)
_ABSENT = -1
_NEVER = -(1 << 62)
_TRUTHS = {"1": True, "true": True, "0": False, "false": False}


class Sighting(NamedTuple):
    """One real call of the source: the function ran.

    Attributes:
        key: Of the cache, as in `Access`: text or bytes, of which 64 bits of hash are kept; or these bits themselves.
        time: Seconds, on the clock of the accesses: when the source was asked, so the value is at least as new as that.
        duration: Seconds that it took to answer; None when unknown.
        fingerprint: What tells values apart, as a key; not the number 0. None when unknown, as of a call that failed.
        size: Bytes of the value; None when unknown.
        modified: When the source says that it last changed this value, seconds on the same clock; None when it does not say.
        kind: ``fill`` answered a caller who waited, ``refresh`` ran behind a caller's back, ``probe`` only looked whether a hit was stale: it is of
            a hit chosen at random, and is what staleness is measured by.
        ok: Whether the source answered with a value.
    """

    key: int | str | bytes
    time: float
    duration: float | None = None
    fingerprint: int | str | bytes | None = None
    size: int | None = None
    modified: float | None = None
    kind: str = "fill"
    ok: bool = True


class Sightings:
    """Sightings in the order of time, 50 bytes each. Iterating gives each with its key and fingerprint as numbers, times in whole microseconds.

    Args:
        sightings: In any order: calls of several processes end as they like.

    Raises:
        TraceError: One cannot be; ``where`` counts from 1.

    >>> seen = Sightings([Sighting("Oslo", 60.0, fingerprint="rain"), Sighting("Oslo", 0.0, fingerprint="sun")])
    >>> len(seen), [each.time for each in seen]
    (2, [0.0, 60.0])
    """

    def __init__(self, sightings: Iterable[Sighting] = ()) -> None:
        self._columns = SightingColumns()
        for number, sighting in enumerate(sightings, 1):
            try:
                self._columns.add(sighting)
            except ValueError as error:
                raise TraceError(f"sighting {number}: {error}", where=f"sighting {number}") from None
        self._columns.sort()

    @classmethod
    def from_csv(cls, path: str | PathLike[str]) -> Sightings:
        """Read comma-separated values, with a header that names the columns; gzip is unpacked.

        Args:
            path: The file. Its columns are ``key``, one of ``t_us``, ``t_ms`` and ``t_s``, and, if there, ``kind`` (fill, refresh or probe;
                else fill), ``ok`` (1, 0, true or false; else true), ``duration_s``, ``fingerprint``, ``size`` (bytes) and ``modified_s``, in any
                order. An empty cell is None; other columns are passed over. Rows may be in any order.

        Returns:
            The sightings.

        Raises:
            TraceError: It is something else, or damaged; the text and ``where`` name the line.
            OSError: It cannot be read.
        """
        found = cls()
        _csv.read_rows(path, _NAMES, found._take)
        found._columns.sort()
        return found

    def _take(self, time: str, at: str | None, cells: list[str | None]) -> None:
        """A row of a file."""
        key, kind, ok, duration, fingerprint, size, modified = cells
        if key is None:
            raise ValueError("it has no key")
        self._columns.append(
            hashed(key, KEY),
            microseconds(_csv.number(at, time), time, per_unit=TIMES[time]),
            _microseconds(_csv.decimal(duration, _DURATION), _DURATION),
            None if fingerprint is None else hashed(fingerprint, FINGERPRINT),
            _csv.whole_number(size, SIZE),
            _microseconds(_csv.decimal(modified, _MODIFIED), _MODIFIED),
            "fill" if kind is None else kind,
            True if ok is None else _truth(ok),
        )

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write what `from_csv` reads, with nothing lost; keys and fingerprints are written as 16 hex digits of their hashes.

        Args:
            path: The file, which is replaced.

        Raises:
            OSError: It cannot be written.
        """
        columns, seconds = self._columns, _csv.seconds_text
        with open(path, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123 - pathlib is not loaded for this
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["t_us", *_NAMES])
            for place, time in enumerate(columns.times):
                key, duration, fingerprint, size, modified, kind, ok = columns.row(place)
                text = None if fingerprint is None else written(fingerprint)
                table.writerow([time, written(key), kind, int(ok), seconds(duration), text, size, seconds(modified)])

    def __len__(self) -> int:
        return len(self._columns.times)

    @property
    def calls(self) -> int:
        """How many of them answered with a value, probes left out."""
        probe = KINDS.index("probe")
        return sum(ok and kind != probe for ok, kind in zip(self._columns.oks, self._columns.kinds, strict=True))

    def __iter__(self) -> Iterator[Sighting]:
        for place, time in enumerate(self._columns.times):
            key, duration, fingerprint, size, modified, kind, ok = self._columns.row(place)
            yield Sighting(key, time / 1e6, _seconds(duration), fingerprint, size, _seconds(modified), kind, ok)


class SightingColumns:
    """Sightings by column; times are microseconds.

    Attributes:
        keys: 64-bit hashes.
        times: When the source was asked.
        durations: How long it took; -1 when unknown.
        fingerprints: 64-bit hashes; 0 when unknown.
        sizes: Bytes; -1 when unknown.
        modifieds: When the source last changed the value; below every time when unknown.
        kinds: Places in `KINDS`.
        oks: 1 when the source answered with a value, else 0.
    """

    __slots__ = ("durations", "fingerprints", "keys", "kinds", "modifieds", "oks", "sizes", "times")

    def __init__(self) -> None:
        self.keys, self.times, self.durations = array("Q"), array("q"), array("q")
        self.fingerprints, self.sizes, self.modifieds = array("Q"), array("q"), array("q")
        self.kinds, self.oks = array("B"), array("B")

    def add(self, sighting: Sighting) -> None:
        """Append one that somebody hands in.

        Raises:
            ValueError: It cannot be.
        """
        key, time, duration, fingerprint, size, modified, kind, ok = sighting
        self.append(
            hashed(key, KEY),
            microseconds(time, "time"),
            _microseconds(duration, "duration"),
            None if fingerprint is None else hashed(fingerprint, FINGERPRINT),
            None if size is None else whole(size, SIZE),
            _microseconds(modified, "modified"),
            kind,
            ok,
        )

    def append(
        self,
        key: int,
        time: int,
        duration: int | None,
        fingerprint: int | None,
        size: int | None,
        modified: int | None,
        kind: str,
        ok: bool,  # noqa: FBT001 - a column
    ) -> None:
        """Append one in microseconds and hashes.

        Raises:
            ValueError: It cannot be.
        """
        if not 0 <= key <= HIGHEST:
            raise ValueError(f"key {key} is not a number of 64 bits")
        for what, value in (("time", time), ("modified", modified or 0)):
            if not -LONGEST <= value <= LONGEST:
                raise ValueError(f"{what} {value / 1e6:g} s is not within 9,000 years: is its unit right?")
        if duration is not None and not 0 <= duration <= LONGEST:
            raise ValueError(f"duration {duration / 1e6:g} s is not a time from 0 to 9,000 years")
        if fingerprint is not None and not 1 <= fingerprint <= HIGHEST:
            raise ValueError(f"fingerprint {fingerprint} is not a number of 64 bits other than 0, which stands for none")
        if size is not None and not 0 <= size <= LONGEST:
            raise ValueError(f"size {size} is not a number of bytes")
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r} is none of {', '.join(KINDS)}")
        self.keys.append(key)
        self.times.append(time)
        self.durations.append(_ABSENT if duration is None else duration)
        self.fingerprints.append(0 if fingerprint is None else fingerprint)
        self.sizes.append(_ABSENT if size is None else size)
        self.modifieds.append(_NEVER if modified is None else modified)
        self.kinds.append(KINDS.index(kind))
        self.oks.append(bool(ok))

    def sort(self) -> None:
        """Bring them into the order of time; those of one time stay as they are."""
        times = self.times
        if all(times[place] <= times[place + 1] for place in range(len(times) - 1)):
            return
        order = sorted(range(len(times)), key=times.__getitem__)
        for name in self.__slots__:
            column: array[int] = getattr(self, name)
            ordered = column[:0]
            ordered.extend(column[place] for place in order)
            setattr(self, name, ordered)

    def row(self, place: int) -> tuple[int, int | None, int | None, int | None, int | None, str, bool]:
        """One sighting but for its time: key, duration, fingerprint, size, modified, kind, ok."""
        duration, size, modified = self.durations[place], self.sizes[place], self.modifieds[place]
        return (
            self.keys[place],
            None if duration == _ABSENT else duration,
            self.fingerprints[place] or None,
            None if size == _ABSENT else size,
            None if modified == _NEVER else modified,
            KINDS[self.kinds[place]],
            bool(self.oks[place]),
        )


def _microseconds(value: object, what: str) -> int | None:
    return None if value is None else microseconds(value, what)


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1e6


def _truth(text: str) -> bool:
    if text.lower() not in _TRUTHS:
        raise ValueError(f"ok {text!r} is neither 1, 0, true nor false")
    return _TRUTHS[text.lower()]
