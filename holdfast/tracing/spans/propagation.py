"""Across processes: a subprocess, or a worker of a process pool, adds its spans to the trace of whoever started it.

A process is told by its environment, in ``TRACEPARENT`` and ``TRACESTATE`` (the form is W3C Trace Context's, the place OpenTelemetry's
specification "Environment Variables as Context Propagation Carriers"). A worker of a pool is told with each job, because it serves many.
"""

from __future__ import annotations

import os
from functools import update_wrapper
from typing import TYPE_CHECKING, Generic, ParamSpec, TypeVar

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from holdfast.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.trace import Span, SpanContext

P = ParamSpec("P")
R = TypeVar("R")

_FIELDS = ("traceparent", "tracestate")
_form = TraceContextTextMapPropagator()


def child_env(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a subprocess whose spans are to belong to the span that is current here.

        subprocess.run(["python", "report.py"], env=holdfast.tracing.child_env())

    Runs and calls of the subprocess that are inside nothing else become children of the current span, if it uses holdfast; any other
    program that reads ``TRACEPARENT`` knows what to do, too. Without a current span the environment stays as it is.

    Args:
        base: What to add to; None for this process's own environment.

    Returns:
        A copy, with ``TRACEPARENT`` and, where there is one, ``TRACESTATE``.
    """
    environment = dict(os.environ if base is None else base)
    if told := _told():
        for field in _FIELDS:
            environment.pop(field.upper(), None)  # a state that belongs to another parent
        environment |= {field.upper(): text for field, text in told.items()}
    return environment


def carried(fn: Callable[P, R]) -> Callable[P, R]:
    """``fn`` for a worker of a process pool: what it does there belongs to the span that is current here, now.

        pool.submit(holdfast.tracing.carried(work), 7)

    Args:
        fn: A function that the pool can pickle.

    Returns:
        A function that can be pickled as well, and does the same.

    Raises:
        PolicyError: It cannot be called.
    """
    if not callable(fn):
        raise PolicyError(f"carried({fn!r}) cannot be called: give the function, and its arguments to the pool: submit(carried(work), 7)")
    return _Carried(fn, _told())


class _Carried(Generic[P, R]):
    """A function, and the span it is to run in."""

    def __init__(self, fn: Callable[P, R], told: dict[str, str]) -> None:
        self._fn = fn
        self._told = told
        update_wrapper(self, fn, updated=())  # its names only: what a decorator keeps in it, the bare function say, cannot be pickled
        self.__dict__.pop("__wrapped__", None)  # or the function would be pickled twice

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it there; a forked worker's own context, which is that of whichever job made it, counts for nothing."""
        token = otel_context.attach(_form.extract(self._told, Context()))
        try:
            return self._fn(*args, **kwargs)
        finally:
            otel_context.detach(token)


def _told() -> dict[str, str]:
    told: dict[str, str] = {}
    _form.inject(told)
    return told


def _from_environment() -> Span | None:
    told = {field: os.environ[field.upper()] for field in _FIELDS if field.upper() in os.environ}
    span = trace.get_current_span(_form.extract(told, Context()))
    return span if span.get_span_context().is_valid else None


_inherited = _from_environment()
"""Stands for the span of whoever started this process; None when nobody has said. Read once, as the process begins to trace."""


def inherited() -> SpanContext | None:
    """The parent of what is inside no span of this process; None for nothing."""
    return None if _inherited is None else _inherited.get_span_context()


def current() -> Context:
    """OpenTelemetry's current context, with the inherited span as the current one where there is none."""
    here = otel_context.get_current()
    if _inherited is None or trace.get_current_span(here).get_span_context().is_valid:
        return here
    return trace.set_span_in_context(_inherited, here)
