"""Traces as comma-separated values."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from holdfast.tuning._columns import Columns, written
from holdfast.tuning._files import reading
from holdfast.tuning._rows import COMPUTE, FINGERPRINT, KEY, SIZE, Row, add, time_column

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedIOBase
    from os import PathLike


def read(path: str | PathLike[str]) -> Columns:
    """Read a file; see `Trace.from_csv`."""
    reader = _Reader()
    with reading(path, reader.place) as file:
        try:
            return reader.read(file)
        except csv.Error as error:
            raise ValueError(str(error)) from None


class _Reader:
    def __init__(self) -> None:
        self._line = 0

    def place(self) -> str:
        return f"line {max(1, self._line)}"

    def read(self, file: BufferedIOBase) -> Columns:
        table = csv.reader(self._lines(file), strict=True)
        header = [name.strip() for name in next(table, list[str]())]
        time = _checked(header)
        places = [header.index(name) if name in header else None for name in (KEY, time, SIZE, COMPUTE, FINGERPRINT)]
        columns = Columns()
        for cells in table:
            if len(cells) != len(header):
                raise ValueError(f"it has {len(cells)} cells, and the header {len(header)}")
            key, at, size, compute, fingerprint = [(cells[place] or None) if place is not None else None for place in places]
            add(columns, Row(key, _number(at, time), _whole(size), _float(compute, COMPUTE), fingerprint), time)
        return columns

    def _lines(self, file: BufferedIOBase) -> Iterator[str]:
        for self._line, line in enumerate(file, 1):
            yield line.decode("utf-8-sig" if self._line == 1 else "utf-8")


def _checked(header: list[str]) -> str:
    """The header's column of time."""
    if KEY not in header:
        raise ValueError(f"the header has no column {KEY!r}: {','.join(header)[:80]!r}")
    for name in (KEY, SIZE, COMPUTE, FINGERPRINT):
        if header.count(name) > 1:
            raise ValueError(f"the header has the column {name!r} more than once")
    return time_column(header)


def _number(text: str | None, what: str) -> int | float:
    """Exactly, where it is whole."""
    text = text or ""
    return int(text) if text.removeprefix("-").isdecimal() else _float(text, what) or 0.0


def _float(text: str | None, what: str) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        raise ValueError(f"{what} {text!r} is not a number") from None


def _whole(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        raise ValueError(f"{SIZE} {text!r} is not a whole number") from None


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
    return _seconds(columns.compute(place)) if name == COMPUTE else _hex(columns.fingerprint(place))


def _seconds(microseconds: int | None) -> str | None:
    """With all six digits, so that nothing is lost."""
    return None if microseconds is None else f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06d}"


def _hex(fingerprint: int | None) -> str | None:
    return None if fingerprint is None else written(fingerprint)
