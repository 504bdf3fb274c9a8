"""Accesses held by column, in whole microseconds: 16 bytes each, and 8 more for each optional column that is in use."""

from __future__ import annotations

import math
from array import array
from hashlib import blake2b
from numbers import Integral, Real
from typing import NamedTuple

LONGEST = 1 << 58
"""Microseconds, 9,000 years: no honest time is beyond, and sums of three stay below 64 bits."""
HIGHEST = (1 << 64) - 1
_ABSENT = -1
_NO_FINGERPRINT = 0
_HEX_DIGITS = 16


class _Kind(NamedTuple):
    """Of an optional column: how it is kept, what stands for None, and which values there may be."""

    code: str
    absent: int
    least: int
    most: int
    meaning: str


_SIZES = _Kind("q", _ABSENT, 0, (1 << 63) - 1, "a number of bytes")
_COMPUTES = _Kind("q", _ABSENT, 0, LONGEST, "microseconds from 0 to 9,000 years")
_FINGERPRINTS = _Kind("Q", _NO_FINGERPRINT, 1, HIGHEST, "a number of 64 bits other than 0, which stands for none")


class Columns:
    """A growing trace.

    Attributes:
        keys: 64-bit hashes of the keys.
        times: When each was accessed, in order.
        sizes: Bytes; None when no access has any. ``size(i)`` reads one.
        computes: Microseconds that computing took; None when no access has any.
        fingerprints: 64-bit hashes of results; None when no access has any.
    """

    __slots__ = ("computes", "fingerprints", "keys", "sizes", "times")

    def __init__(self) -> None:
        self.keys = array("Q")
        self.times = array("q")
        self.sizes: array[int] | None = None
        self.computes: array[int] | None = None
        self.fingerprints: array[int] | None = None

    def __len__(self) -> int:
        return len(self.times)

    def add(self, key: int, time: int, size: int | None = None, compute: int | None = None, fingerprint: int | None = None) -> None:
        """Append an access.

        Raises:
            ValueError: It cannot be, or is earlier than the one before; the text does not say where, which its reader knows.
        """
        count = len(self.times)
        if not (0 <= key <= HIGHEST and -LONGEST <= time <= LONGEST) or (count and time < self.times[-1]):
            raise ValueError(self._why_not(key, time))
        if size is not None or self.sizes is not None:
            self.sizes = _appended(self.sizes, "size", size, count, _SIZES)
        if compute is not None or self.computes is not None:
            self.computes = _appended(self.computes, "compute", compute, count, _COMPUTES)
        if fingerprint is not None or self.fingerprints is not None:
            self.fingerprints = _appended(self.fingerprints, "fingerprint", fingerprint, count, _FINGERPRINTS)
        self.keys.append(key)
        self.times.append(time)

    def _why_not(self, key: int, time: int) -> str:
        if not 0 <= key <= HIGHEST:
            return f"key {key} is not a number of 64 bits"
        if not -LONGEST <= time <= LONGEST:
            return f"time {time / 1e6:g} s is not within 9,000 years: is its unit right?"
        return f"the time goes back by {(self.times[-1] - time) / 1e6:g} s: sort the accesses by time first"

    def size(self, index: int) -> int | None:
        """Bytes of one access; None when unknown."""
        return _present(self.sizes, index, _ABSENT)

    def compute(self, index: int) -> int | None:
        """Microseconds that one access's computing took; None when unknown."""
        return _present(self.computes, index, _ABSENT)

    def fingerprint(self, index: int) -> int | None:
        """The hash of one access's result; None when unknown."""
        return _present(self.fingerprints, index, _NO_FINGERPRINT)

    def assumed_computes(self) -> array[int] | None:
        """For each access what computing it would take: its own time, else its key's last one before, else its key's next one, else 0.

        A live cache computes only now and then, so most accesses have no time of their own. None when none has.
        """
        return self._assumed(self.computes)

    def assumed_sizes(self) -> array[int] | None:
        """For each access the bytes of what would be stored, by the same rule."""
        return self._assumed(self.sizes)

    def _assumed(self, column: array[int] | None) -> array[int] | None:
        if column is None:
            return None
        assumed = array("q", column)
        for order in (range(len(assumed)), reversed(range(len(assumed)))):
            latest: dict[int, int] = {}
            for index in order:
                key = self.keys[index]
                if assumed[index] == _ABSENT:
                    assumed[index] = latest.get(key, _ABSENT)
                else:
                    latest[key] = assumed[index]
        return array("q", [max(0, value) for value in assumed])


def _appended(column: array[int] | None, what: str, value: int | None, count: int, kind: _Kind) -> array[int]:
    """The column with one more value; it comes to be with the first one that is there."""
    if value is not None and not kind.least <= value <= kind.most:
        raise ValueError(f"{what} {value} is not {kind.meaning}")
    if column is None:
        column = array(kind.code, [kind.absent]) * count
    column.append(kind.absent if value is None else value)
    return column


def _present(column: array[int] | None, index: int, absent: int) -> int | None:
    value = absent if column is None else column[index]
    return None if value == absent else value


def hashed(value: object, what: str) -> int:
    """64 bits that stand for a key or a fingerprint.

    A number is taken as it is, and so are 16 hex digits in lower case, which is how such bits are written; any other text or bytes are hashed.
    A hash that happens to be 0 becomes 1, since 0 stands for no fingerprint.
    """
    if isinstance(value, str):
        if len(value) == _HEX_DIGITS and not value.strip("0123456789abcdef"):
            return int(value, 16)
        value = value.encode("utf-8", "surrogatepass")
    if isinstance(value, bytes):
        return int.from_bytes(blake2b(value, digest_size=8).digest()) or 1
    if type(value) is not bool and isinstance(value, Integral):
        return int(value)
    raise ValueError(f"{what} {value!r} is neither text, bytes nor a whole number")


def written(value: int) -> str:
    """64 bits as text that `hashed` reads back."""
    return f"{value:016x}"


def microseconds(value: object, what: str, *, per_unit: int = 1_000_000) -> int:
    """A number of seconds, or of ``per_unit`` microseconds each, as whole microseconds."""
    if isinstance(value, bool) or not isinstance(value, float | int | Real):  # the common ones first: Real is slow to ask
        raise ValueError(f"{what} {value!r} is not a number")  # noqa: TRY004 - readers add the place to ValueErrors
    if isinstance(value, int):
        return value * per_unit
    number = float(value) * per_unit
    if not math.isfinite(number):
        raise ValueError(f"{what} {value!r} is not a finite number")
    return round(number)


def whole(value: object, what: str) -> int:
    """A whole number that somebody hands in."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ValueError(f"{what} {value!r} is not a whole number")  # noqa: TRY004 - see `microseconds`
    return int(value)
