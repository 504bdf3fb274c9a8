"""Traces as JSON objects, one on each line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.tuning._columns import Columns
from holdfast.tuning._files import reading
from holdfast.tuning._rows import TIMES, Row, add, time_column

if TYPE_CHECKING:
    from os import PathLike

_SPANS = "resourceSpans"


class _Line(msgspec.Struct):
    """What is looked at, with the types it must have."""

    key: str | int | None = None
    t_us: float | int | None = None
    t_ms: float | int | None = None
    t_s: float | int | None = None
    size: int | None = None
    compute_s: float | int | None = None
    fingerprint: str | int | None = None
    resourceSpans: Any = None  # noqa: N815 - OTLP's name


def read(path: str | PathLike[str]) -> Columns:
    """Read a file; see `Trace.from_json_lines`."""
    columns, number, decode = Columns(), 1, msgspec.json.Decoder(_Line).decode
    with reading(path, lambda: f"line {number}") as file:
        for number, line in enumerate(file, 1):  # noqa: B007 - told above, when something is wrong
            if line.isspace():
                continue
            try:
                access = decode(line)
            except msgspec.DecodeError as error:
                raise ValueError(f"it is not a JSON object of an access: {error}") from None
            if access.resourceSpans is not None:
                raise ValueError("these are spans (OTLP): read them with Trace.from_otlp")
            time = time_column([name for name in TIMES if getattr(access, name) is not None])
            add(columns, Row(access.key, getattr(access, time), access.size, access.compute_s, access.fingerprint), time)
    return columns
