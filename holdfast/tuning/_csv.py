"""Traces as comma-separated values."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from holdfast.tuning._columns import Columns, written
from holdfast.tuning._files import reading
from holdfast.tuning._rows import COMPUTE, FINGERPRINT, KEY, SIZE, Row, add, time_column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from io import BufferedIOBase
    from os import PathLike


def read(path: str | PathLike[str]) -> Columns:
    """Read a file; see `Trace.from_csv`."""
    columns = Columns()

    def take(time: str, at: str | None, cells: list[str | None]) -> None:
        key, size, compute, fingerprint = cells
        add(columns, Row(key, number(at, time), whole_number(size, SIZE), decimal(compute, COMPUTE), fingerprint), time)

    read_rows(path, (KEY, SIZE, COMPUTE, FINGERPRINT), take)
    return columns


def read_rows(path: str | PathLike[str], names: Sequence[str], take: Callable[[str, str | None, list[str | None]], None]) -> None:
    """Hand out the rows of a file one by one.

    Args:
        path: The file.
        names: The columns that are looked at beside that of time; the first one has to be there.
        take: Called with the name of the column of time, its cell, and those of ``names``; None for a cell that is empty or not there.
            A ValueError is told with the line.

    Raises:
        TraceError: It is something else, or damaged.
        OSError: It cannot be read.
    """
    reader = _Reader(names, take)
    with reading(path, reader.place) as file:
        try:
            reader.read(file)
        except csv.Error as error:
            raise ValueError(str(error)) from None


class _Reader:
    def __init__(self, names: Sequence[str], take: Callable[[str, str | None, list[str | None]], None]) -> None:
        self._names, self._take, self._line = names, take, 0

    def place(self) -> str:
        return f"line {max(1, self._line)}"

    def read(self, file: BufferedIOBase) -> None:
        table = csv.reader(self._lines(file), strict=True)
        header = [name.strip() for name in next(table, list[str]())]
        time = _checked(header, self._names)
        at, places = header.index(time), [header.index(name) if name in header else None for name in self._names]
        for cells in table:
            if len(cells) != len(header):
                raise ValueError(f"it has {len(cells)} cells, and the header {len(header)}")
            self._take(time, cells[at] or None, [(cells[place] or None) if place is not None else None for place in places])

    def _lines(self, file: BufferedIOBase) -> Iterator[str]:
        for self._line, line in enumerate(file, 1):
            yield line.decode("utf-8-sig" if self._line == 1 else "utf-8")


def _checked(header: list[str], names: Sequence[str]) -> str:
    """The header's column of time."""
    if names[0] not in header:
        raise ValueError(f"the header has no column {names[0]!r}: {','.join(header)[:80]!r}")
    for name in names:
        if header.count(name) > 1:
            raise ValueError(f"the header has the column {name!r} more than once")
    return time_column(header)


def number(text: str | None, what: str) -> int | float:
    """A cell's number: exactly, where it is whole; an empty cell is none."""
    text = text or ""
    return int(text) if text.removeprefix("-").isdecimal() else decimal(text, what) or 0.0


def decimal(text: str | None, what: str) -> float | None:
    """A cell's number, or None."""
    try:
        return None if text is None else float(text)
    except ValueError:
        raise ValueError(f"{what} {text!r} is not a number") from None


def whole_number(text: str | None, what: str) -> int | None:
    """A cell's whole number, or None."""
    try:
        return None if text is None else int(text)
    except ValueError:
        raise ValueError(f"{what} {text!r} is not a whole number") from None


def write(columns: Columns, path: str | PathLike[str]) -> None:
    """Write a file; see `Trace.to_csv`."""
    extras = {SIZE: columns.sizes, COMPUTE: columns.computes, FINGERPRINT: columns.fingerprints}
    used = [name for name, column in extras.items() if column is not None]
    with open(path, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123 - pathlib is not loaded for this
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["t_us", KEY, *used])
        for place, (time, key) in enumerate(zip(columns.times, columns.keys, strict=True)):
            table.writerow([time, written(key), *[_cell(columns, name, place) for name in used]])


def _cell(columns: Columns, name: str, place: int) -> str | int | None:
    """One of the optional ones."""
    if name == SIZE:
        return columns.size(place)
    return seconds_text(columns.compute(place)) if name == COMPUTE else hex_text(columns.fingerprint(place))


def seconds_text(microseconds: int | None) -> str | None:
    """With all six digits, so that nothing is lost; an empty cell for None."""
    if microseconds is None:
        return None
    whole, rest = divmod(abs(microseconds), 1_000_000)
    return f"{'-' if microseconds < 0 else ''}{whole}.{rest:06d}"


def hex_text(fingerprint: int | None) -> str | None:
    """Its 16 digits; an empty cell for None."""
    return None if fingerprint is None else written(fingerprint)
