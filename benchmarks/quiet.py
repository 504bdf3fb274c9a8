"""What nobody reads: a call's question whether anybody observes, where no SDK is set up, and a log line that is filtered by its level."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import Any

from benchmarks.harness import Contestant, Guard, Make, Measure, Row, loop

PEER = "structlog alone"
FIELDS = {"task": "forecast", "attempt": 1, "max_attempts": 3}
"""As many as the line has that holdfast leaves out."""


class Nobody:
    """Listens to attempts, and does nothing."""

    def attempt_started(self, attempt: Any) -> None:
        """An attempt begins."""


def nothing(stack: ExitStack) -> Measure:
    """Telling somebody who does nothing."""
    del stack
    return loop(Nobody().attempt_started, None)


def asked(stack: ExitStack) -> Measure:
    """What a call asks while nobody observes, in a program that has OpenTelemetry and structlog loaded, and set up neither."""
    import opentelemetry.trace
    import structlog

    from holdfast import events

    del stack
    assert opentelemetry.trace._TRACER_PROVIDER is None
    assert not structlog.is_configured()
    assert events.listener() is None
    return loop(events.listener)


def use_logging(stack: ExitStack) -> Any:
    """Set up structlog in front of logging, whose level is WARNING, as an application does; its logger."""
    import structlog

    logger = logging.getLogger("benchmarks.filtered")
    logger.setLevel(logging.WARNING)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, structlog.stdlib.render_to_log_kwargs],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=lambda *_: logger,
        cache_logger_on_first_use=True,
    )
    stack.callback(structlog.reset_defaults)
    return structlog.get_logger()


def ours(*, by_application: bool) -> Make:
    """holdfast's line at the start of an attempt, below its own level or below the application's."""

    def make(stack: ExitStack) -> Measure:
        from holdfast.events import AttemptFacts, CallFacts
        from holdfast.tracing.logs.lines import LineObserver

        if by_application:
            use_logging(stack)
        observer = LineObserver(level=None if by_application else logging.WARNING)
        call = CallFacts(run=None, name="forecast", function="app.forecast", started_ns=0, max_attempts=3)
        attempt = AttemptFacts(call=call, number=1, started_ns=0)
        assert by_application == observer.may_want
        assert not observer.wants_successes()
        return loop(observer.attempt_started, attempt)

    return make


def theirs(stack: ExitStack) -> Measure:
    """The same line, written by hand."""
    logger = use_logging(stack)
    return loop(lambda: logger.debug("holdfast.attempt.started", **FIELDS))


def row(whose: str, *, by_application: bool) -> Row:
    """Ours beside a line that is written by hand."""
    contestants = {"nobody": Contestant(nothing), "holdfast": Contestant(ours(by_application=by_application)), PEER: Contestant(theirs)}
    return Row(name=f"a line below {whose} level", target=0.1, is_net=True, contestants=contestants, guards=(Guard(PEER, 1.0),))


ROWS = [
    Row(
        name="whether anybody observes, no SDK",
        target=1,
        is_net=True,
        contestants={"nobody": Contestant(nothing), "holdfast": Contestant(asked)},
        guards=(Guard(None, 5.0),),
    ),
    row("holdfast's own", by_application=False),
    row("the application's", by_application=True),
]
