"""Rows of text files as accesses: the names of columns, their units, and what their values may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.tuning._columns import Columns, hashed, microseconds

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY, SIZE, COMPUTE, FINGERPRINT = "key", "size", "compute_s", "fingerprint"
TIMES = {"t_us": 1, "t_ms": 1_000, "t_s": 1_000_000}
"""Columns of time, and microseconds in their units."""


class Row(NamedTuple):
    """An access as a file has it; what is missing is None."""

    key: Any
    time: Any
    size: Any
    compute: Any
    fingerprint: Any


def time_column(names: Iterable[str]) -> str:
    """The one column of time among these.

    Raises:
        ValueError: There is none, or more than one.
    """
    present = [name for name in names if name in TIMES]
    if len(present) != 1:
        found = "none of them" if not present else " and ".join(present)
        raise ValueError(f"one column of time is needed, {', '.join(TIMES)}, and there is {found}")
    return present[0]


def add(columns: Columns, row: Row, time: str) -> None:
    """Append a row.

    Args:
        columns: The trace so far.
        row: Its values have the types of their columns: key and fingerprint may be text.
        time: Name of the column of time.

    Raises:
        ValueError: It is no access.
    """
    if row.key is None:
        raise ValueError("it has no key")
    columns.add(
        hashed(row.key, KEY),
        microseconds(row.time, time, per_unit=TIMES[time]),
        row.size,
        None if row.compute is None else microseconds(row.compute, COMPUTE),
        None if row.fingerprint is None else hashed(row.fingerprint, FINGERPRINT),
    )
