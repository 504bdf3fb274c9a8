"""What the spans of a trace share."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState

from holdfast.tracing.spans import light_span, outlet
from holdfast.tracing.spans.light_span import LightSpan
from holdfast.tracing.spans.outlet import Outlet, Trace

PARTS = ("trace_id", "span_id", "is_remote", "trace_flags", "trace_state", "is_valid")


@pytest.fixture(params=["quickly", "by its class"])
def making(request, monkeypatch):
    """How a span's context is made: the second is for an OpenTelemetry that keeps the parts of one otherwise."""
    if request.param == "by its class":
        monkeypatch.setattr(light_span, "context_of", outlet._by_its_class)


@pytest.mark.usefixtures("making")
@pytest.mark.parametrize("state", [None, TraceState([("theirs", "1")])], ids=["alone", "told of by another system"])
def test_a_light_spans_context_is_the_one_that_opentelemetry_makes(state):
    """In all its parts, with what others pass on."""
    home = Outlet(TracerProvider())
    trace = Trace(home, 7) if state is None else Trace(home, 7, TraceFlags(0), state)
    span = LightSpan("fetch", trace, None, SpanKind.INTERNAL, 1)

    made = span.get_span_context()
    theirs = SpanContext(7, span.span_id, is_remote=False, trace_flags=trace.flags, trace_state=state)

    assert type(made) is SpanContext
    assert [getattr(theirs, part) for part in PARTS] == [getattr(made, part) for part in PARTS]
    assert (theirs, repr(theirs)) == (made, repr(made))
