"""Traces in libCacheSim's binary format oracleGeneral: https://github.com/cacheMon/libCacheSim, traceReader/customizedReader/oracle."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from holdfast.tuning._columns import Columns
from holdfast.tuning._files import reading, refusal

if TYPE_CHECKING:
    from os import PathLike

_RECORD = struct.Struct("<IQIq")
_AT_ONCE = 1 << 16
_SECOND = 1_000_000
_MOST = (1 << 32) - 1
_NO_NEXT = -1


def read(path: str | PathLike[str]) -> Columns:
    """Read a file; see `Trace.from_oracle_general`."""
    columns = Columns()
    with reading(path, lambda: f"byte {len(columns) * _RECORD.size}") as file:
        while chunk := file.read(_AT_ONCE * _RECORD.size):
            whole = len(chunk) - len(chunk) % _RECORD.size
            for seconds, key, size, following in _RECORD.iter_unpack(memoryview(chunk)[:whole]):
                if following < _NO_NEXT:
                    raise ValueError(f"the next request of a key cannot be number {following}: this is not oracleGeneral")
                columns.add(key, seconds * _SECOND, size)
            if whole < len(chunk):
                raise ValueError(
                    f"{len(chunk) - whole} bytes are left, and a record has {_RECORD.size}: it is cut off, or not oracleGeneral"
                )
    return columns


def write(columns: Columns, path: str | PathLike[str]) -> None:
    """Write a file; see `Trace.to_oracle_general`."""
    _check_fits(columns, path)
    following = _following(columns)
    with open(path, "wb") as file:  # noqa: PTH123 - pathlib is not loaded for this
        for place, (time, key) in enumerate(zip(columns.times, columns.keys, strict=True)):
            size = columns.size(place)
            file.write(_RECORD.pack(time // _SECOND, key, 1 if size is None else size, following[place]))


def _check_fits(columns: Columns, path: str | PathLike[str]) -> None:
    for place in range(len(columns)):
        seconds, size = columns.times[place] // _SECOND, columns.size(place) or 0
        if not 0 <= seconds <= _MOST:
            raise refusal(path, f"access {place + 1}", f"oracleGeneral has times from 0 to {_MOST} s, and this one is {seconds}")
        if size > _MOST:
            raise refusal(path, f"access {place + 1}", f"oracleGeneral has sizes up to {_MOST} bytes, and this one is {size}")


def _following(columns: Columns) -> list[int]:
    """For each access the number of its key's next one."""
    following, latest = [_NO_NEXT] * len(columns), dict[int, int]()
    for place in reversed(range(len(columns))):
        key = columns.keys[place]
        following[place] = latest.get(key, _NO_NEXT)
        latest[key] = place
    return following
