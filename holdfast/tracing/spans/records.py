"""A span as the local trace store keeps it: plain data, free of any tracing library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable


class SpanRow(msgspec.Struct, array_like=True, frozen=True):
    """One span. Times are nanoseconds since the epoch. Fields are stored by position: only ever append, with a default.

    Attributes:
        trace_id: 32 hex digits.
        span_id: 16 hex digits.
        parent_id: 16 hex digits, or ``""`` for the root of its trace.
        name: Name of the span.
        start_ns: When it started.
        end_ns: When it ended.
        status: ``unset``, ``ok`` or ``error``.
        status_text: What the error said, or ``""``.
        attributes: Names and plain values; those of holdfast's own spans are listed in `holdfast.tracing.convention`.
        events: Name, time and attributes of each event.
        links: Trace id, span id and attributes of each link.
        is_open: It has not ended: ``end_ns`` is when it was last seen under way. The row of the ended span takes its place.
        kind: ``internal``, ``client``, ``server``, ``producer`` or ``consumer``, as OpenTelemetry has it.
        service: ``service.name`` of the program it is of; ``""`` where that was not recorded.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start_ns: int
    end_ns: int
    status: Literal["unset", "ok", "error"] = "unset"
    status_text: str = ""
    attributes: dict[str, Any] = {}
    events: list[tuple[str, int, dict[str, Any]]] = []
    links: list[tuple[str, str, dict[str, Any]]] = []
    is_open: bool = False
    kind: str = "internal"
    service: str = ""

    @property
    def seconds(self) -> float:
        """How long it took."""
        return max(0, self.end_ns - self.start_ns) / 1e9


def in_order(rows: Iterable[SpanRow]) -> list[SpanRow]:
    """The spans of a trace in order of time; what began at the moment at which its parent did comes after it."""
    all_rows = list(rows)
    parents = {row.span_id: row.parent_id for row in all_rows}
    depths: dict[str, int] = {}
    for row in all_rows:
        path, span_id = list[str](), row.span_id
        while span_id in parents and span_id not in depths:
            depths[span_id] = 0  # should somebody's spans be one another's parents
            path.append(span_id)
            span_id = parents[span_id]
        depths |= {below: depth for depth, below in enumerate(reversed(path), depths.get(span_id, -1) + 1)}
    return sorted(all_rows, key=lambda row: (row.start_ns, depths[row.span_id]))


def _basic(value: Any) -> Any:
    """The text or number that is all an exporter would take of a value, a float of NumPy, say; else how it is written."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float.__float__(value)
    return int.__int__(value) if isinstance(value, int) else repr(value)


_encoder = msgspec.msgpack.Encoder(enc_hook=_basic)
_decoder = msgspec.msgpack.Decoder(SpanRow)


def encode(row: SpanRow) -> bytes:
    """A row as MessagePack; what MessagePack cannot hold becomes text."""
    try:
        return _encoder.encode(row)
    except (OverflowError, UnicodeEncodeError, RecursionError):
        return _encoder.encode(_tamed(msgspec.to_builtins(row, builtin_types=(bytes,), enc_hook=_basic)))


def _tamed(value: Any) -> Any:
    """``value`` with huge integers and lone surrogates as text."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case list() | tuple():
            return [_tamed(item) for item in value]  # pyright: ignore[reportUnknownVariableType] - a boundary
        case dict():
            return {_tamed(key): _tamed(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType] - a boundary
        case int() if not -(2**63) <= value < 2**64:
            return repr(value)
        case _:
            return value


def decode(data: bytes) -> SpanRow:
    """What `encode` made."""
    return _decoder.decode(data)
