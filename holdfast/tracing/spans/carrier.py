"""Carrier: where one execution of a run is traced, as text that is kept with the run (`holdfast.typing.RunRecord.trace`).

Written when the execution begins, so that whoever goes on after it can link to its span, and, if its process dies, give that span an end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from holdfast.events import RunFacts


class Carrier(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """The root span of one execution. Fields are kept by position: only ever append, with a default.

    Attributes:
        trace_id: 32 hex digits.
        span_id: 16 hex digits.
        parent_id: 16 hex digits of the span around the run, often another service's; ``""`` where the trace begins with the run.
        start_ns: Nanoseconds since the epoch.
        function: Module and qualified name of the body.
        service: The service's name; ``""`` when there is none.
        is_sampled: False when nobody recorded it.
        origin: Run id, trace id and span id of the execution that this one went on from; trace and span are ``""`` when nobody traced it.
    """

    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    function: str
    service: str
    is_sampled: bool = True
    origin: tuple[str, str, str] | None = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Carrier)


def of_span(run: RunFacts, span: Any) -> str:
    """The text for a run whose span, light or the SDK's, has just begun; ``""`` for one that nobody will see."""
    context = span.get_span_context()
    if not context.is_valid:
        return ""
    parent, resource = getattr(span, "parent", None), getattr(span, "resource", None)
    return _encoder.encode(
        Carrier(
            trace_id=f"{context.trace_id:032x}",
            span_id=f"{context.span_id:016x}",
            parent_id="" if parent is None else f"{parent.span_id:016x}",
            start_ns=run.started_ns,
            function=run.function,
            service="" if resource is None else str(resource.attributes.get("service.name", "")),
            is_sampled=context.trace_flags.sampled,
            origin=origin(run),
        )
    ).decode()


def read(kept: str) -> Carrier | None:
    """The carrier in a kept text; None when there is none, or it is of another kind of observer."""
    try:
        return _decoder.decode(kept)
    except msgspec.DecodeError:
        return None


def origin(run: RunFacts) -> tuple[str, str, str] | None:
    """Run id, trace id and span id of the execution that a run goes on from; None when it goes on from none."""
    if run.origin is None:
        return None
    before = read(run.origin.trace)
    return (run.origin.run_id, "", "") if before is None else (run.origin.run_id, before.trace_id, before.span_id)
