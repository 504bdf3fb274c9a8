"""LineObserver: one structlog event per fact worth a line.

Uses the application's structlog configuration when there is one, and never changes it: its processors run on the caller's thread, where
its context variables are, and the finished line is written by a lane of the firewall. Otherwise, after `holdfast.tracing.configure`,
lines go to stderr through processors of our own.

Levels: what a caller may still handle is a WARNING; ERROR is kept for a run that failed.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, cast

import structlog

from holdfast import clock
from holdfast.events import DEBUG, ERROR, INFO, WARNING
from holdfast.tracing import convention as names
from holdfast.tracing.logs import text
from holdfast.tracing.logs.text import warn
from holdfast.tracing.safety import firewall
from holdfast.tracing.safety.redact import MASK, is_secret, message, scrub
from holdfast.tracing.spans import attributes

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.events import AttemptFacts, CallFacts, Note, RunFacts

__all__ = ["LEVELS", "Deferred", "LineObserver", "warn"]

Fields = dict[str, Any]

_METHODS = {DEBUG: "debug", INFO: "info", WARNING: "warning", ERROR: "error"}
_LOGGING_METHODS = frozenset(
    {"debug", "info", "warning", "warn", "error", "critical", "fatal", "exception", "failure", "msg", "log", "err"}
)
_NEVER = ERROR + 1
_OLD = frozenset({"stale", "stale_if_error"})
_ASKS_ITS_LOGGER = getattr(structlog.stdlib.BoundLogger, "is_enabled_for", None)
"""The test of structlog's wrapper for logging; older ones have none."""
LEVELS = {name: level for level, name in _METHODS.items()}


class Deferred:
    """Stands for the application's logger at the end of its processors; logging calls leave through the firewall."""

    def __init__(self, logger: Any) -> None:
        """Defer calls to ``logger``; other attributes are its own."""
        self._logger = logger

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._logger, name)
        if name not in _LOGGING_METHODS:
            return method

        def send(*args: Any, **kwargs: Any) -> None:
            _lane.send((method, args, kwargs))

        return send


def _write(batch: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]]) -> None:
    for method, args, kwargs in batch:
        method(*args, **kwargs)


_lane = firewall.Lane("the log", _write)


class _Line:
    """A line of our own: everything that changes is taken on the caller's thread, the text is put together where it is written."""

    __slots__ = ("event", "fields", "level", "when")

    def __init__(self, when: float, level: str, event: str, fields: Fields) -> None:
        self.when = when
        self.level = level
        self.event = event
        self.fields = fields

    def __str__(self) -> str:
        when = f"{time.strftime('%H:%M:%S', time.localtime(self.when))}.{int(self.when % 1 * 1000):03d}"
        return text.line(when, self.level, self.event, self.fields.items())


class LineObserver:
    """Writes lines from facts; see the module.

    Args:
        level: Least level of the lines on stderr while the application has not configured structlog; None writes none then.
        logger: A structlog logger to use instead, whatever is configured (for tests).

    Attributes:
        is_on: False writes no lines; only notes of WARNING and above are told, plainly on stderr, as if nobody observed.
        may_want: False while no line of a success would be written whatever the application's logging says.
    """

    def __init__(self, level: int | None = None, logger: Any = None) -> None:
        self.level = level
        self.is_on = True
        self._given = logger
        self._logger: Any = logger  # None writes lines of our own
        self._least = _NEVER if logger is None else logging.NOTSET  # below it nothing is written, whatever the test says
        self.may_want = logger is not None
        self._is_enabled: Callable[[int], bool] = _always
        self._seen: tuple[Any, ...] = ()
        self.refresh()

    def refresh(self) -> None:
        """Take over the application's present structlog configuration. Done when a run starts, and here on request."""
        seen = (self.level, self.is_on, _configuration() if structlog.is_configured() else ())
        if self._given is not None or seen == self._seen:
            return
        self._seen = seen
        logger: Any = None
        is_enabled: Callable[[int], bool] = _always
        if not self.is_on:
            least = _NEVER
        elif structlog.is_configured():
            least = logging.NOTSET
            logger, is_enabled = _application_logger()
        else:
            least = _NEVER if self.level is None else self.level
        # Runs under way write lines meanwhile, and the application's logger may fail to be made: nothing changes before it is, and what is
        # for its logger is at no moment written by ours.
        self._least = max(least, self._least)
        self._logger, self._is_enabled = logger, is_enabled
        self._least, self.may_want = least, least <= DEBUG

    def wants_successes(self) -> bool:
        """Whether attempts and calls that succeed become lines."""
        return self.may_want and self._is_enabled(DEBUG)

    def run_started(self, run: RunFacts) -> None:
        """DEBUG ``holdfast.run.started``."""
        self.refresh()
        if self.may_want and self._is_enabled(DEBUG):
            self._emit(DEBUG, names.LINE_RUN_STARTED, {**_run(run), **_ids(run.memo)})

    def run_ended(self, run: RunFacts) -> None:
        """INFO ``holdfast.run.completed`` or ERROR ``holdfast.run.failed``."""
        if self._least > (INFO if run.outcome == "ok" else ERROR):
            return
        has_failed = attributes.has_failed(run)
        level = ERROR if has_failed else INFO
        if not self._wants(level):
            return
        fields = {**_run(run), "outcome": run.outcome, "calls": run.calls}
        if run.cache_hits:
            fields["cache_hits"] = run.cache_hits
        if run.replayed:
            fields["replayed"] = run.replayed
        _ended(fields, run)
        self._emit(level, names.LINE_RUN_FAILED if has_failed else names.LINE_RUN_COMPLETED, {**fields, **_ids(run.memo)})

    def call_started(self, call: CallFacts) -> None:
        """Nothing: a call becomes a line when it ends."""

    call_started.does_nothing = True  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]

    def call_ended(self, call: CallFacts) -> None:
        """DEBUG ``holdfast.task.completed`` or WARNING ``holdfast.task.failed``; the body of a run has the run's line."""
        has_failed = attributes.has_failed(call)
        level = WARNING if has_failed else DEBUG
        if level < self._least or call.is_body or not self._is_enabled(level):
            return
        fields = {**_call(call), "outcome": call.outcome, "attempts": call.attempts}
        if call.cache:
            fields["cache"] = call.cache
        if call.cache in _OLD:
            fields["cache_age_s"] = round(call.cache_age_s, 6)
        if has_failed and call.stop_reason:
            fields["stop_reason"] = str(call.stop_reason)
        _ended(fields, call)
        self._emit(level, names.LINE_TASK_FAILED if has_failed else names.LINE_TASK_COMPLETED, {**fields, **_ids(call.memo)})

    def attempt_started(self, attempt: AttemptFacts) -> None:
        """DEBUG ``holdfast.attempt.started``."""
        if self.may_want and self._is_enabled(DEBUG):
            self._emit(DEBUG, names.LINE_ATTEMPT_STARTED, {**_attempt(attempt), **_ids(attempt.memo)})

    def attempt_ended(self, attempt: AttemptFacts) -> None:
        """WARNING ``holdfast.retry.scheduled`` when another follows; the last failure is told by its task and is DEBUG here."""
        level = WARNING if attempt.will_retry else DEBUG
        if level < self._least or not self._is_enabled(level):
            return
        fields = _attempt(attempt)
        event = names.LINE_ATTEMPT_COMPLETED
        if attempt.will_retry:
            event = names.EVENT_RETRY_SCHEDULED
            fields["wait_s"] = round(attempt.wait_s, 6)
            fields["reason"] = str(attempt.reason)
        elif attributes.has_failed(attempt):
            event = names.LINE_ATTEMPT_FAILED
        _ended(fields, attempt)
        self._emit(level, event, {**fields, **_ids(attempt.memo)})

    def noted(self, note: Note) -> None:
        """The note's own level, name, text and fields."""
        if not self.is_on:
            warn(note)
        if not self._wants(note.level):
            return
        fields = {"text": scrub(note.text)} | {_free(name): _plain(name, item) for name, item in note.fields.items()}
        if note.call is not None:
            fields = {**_call(note.call), **fields, **_ids(note.call.memo)}
        self._emit(note.level, note.event, fields)

    def _wants(self, level: int) -> bool:
        return level >= self._least and self._is_enabled(level)

    def _emit(self, level: int, event: str, fields: Fields) -> None:
        method = _METHODS.get(level, "error")
        if self._logger is not None:
            getattr(self._logger, method)(event, **fields)
            return
        for name, bound in structlog.contextvars.get_contextvars().items():
            fields.setdefault(name, bound if isinstance(bound, (str, int, float)) else str(bound))
        firewall.stderr(_Line(clock.current.time(), method, event, fields))


def _always(_level: int) -> bool:
    return True


def _configuration() -> tuple[Any, ...]:
    """What, when it changes, calls for another logger."""
    config = structlog.get_config()
    return id(config["processors"]), config["wrapper_class"], config["logger_factory"]


def _application_logger() -> tuple[Any, Callable[[int], bool]]:
    """A logger with the application's processors in front of the firewall, and the test of what it would let through."""
    config = structlog.get_config()
    target = config["logger_factory"](names.SCOPE)
    logger = structlog.wrap_logger(
        Deferred(target),
        processors=config["processors"],
        wrapper_class=config["wrapper_class"],
        context_class=config["context_class"],
    ).bind()
    kind = cast("Any", type(logger))  # asked the class, because a structlog logger answers every attribute with a method that logs
    own_test = getattr(kind, "is_enabled_for", None)
    if own_test is _ASKS_ITS_LOGGER:  # through all that stands between, which takes 0.6 us
        own_test = None
    if isinstance(target, logging.Logger):
        is_enabled = target.isEnabledFor
        return logger, is_enabled if own_test is None else lambda level: own_test(logger, level) and is_enabled(level)
    return logger, (lambda _level: True) if own_test is None else lambda level: own_test(logger, level)


def _run(run: RunFacts) -> Fields:
    fields: Fields = {"workflow": run.name, "run_id": run.run_id}
    if run.thread_id != run.run_id:
        fields["thread_id"] = run.thread_id
    return fields


def _call(call: CallFacts) -> Fields:
    return {"task": call.name} if call.run is None else {"task": call.name, **_run(call.run)}


def _attempt(attempt: AttemptFacts) -> Fields:
    fields = _call(attempt.call)
    fields["attempt"] = attempt.number
    if attempt.call.max_attempts is not None:
        fields["max_attempts"] = attempt.call.max_attempts
    return fields


def _ended(fields: Fields, facts: RunFacts | CallFacts | AttemptFacts) -> None:
    fields["duration_s"] = round((facts.ended_ns - facts.started_ns) / 1e9, 6)
    if attributes.has_failed(facts):
        fields["error_type"] = attributes.error_type(facts)
        if facts.error is not None:
            fields["error"] = message(facts.error)


def _ids(memo: Any) -> Fields:
    """The span the line belongs to; ``memo`` is the state that `SpanObserver` keeps in the facts."""
    trace_id, span_id = ("", "") if memo is None else memo.ids()
    return {"trace_id": trace_id, "span_id": span_id} if trace_id else {}


def _free(name: str) -> str:
    """A field name that does not collide with the parameters of a structlog method."""
    return f"{name}_" if name in {"event", "self"} else name


def _plain(name: str, item: Any) -> Any:
    if is_secret(name):
        return MASK
    return item if item is None or isinstance(item, (bool, int, float)) else scrub(str(item))
