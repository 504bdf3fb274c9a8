"""What is observed with, and where to: one session per process."""

from __future__ import annotations

import os
import threading
import time
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Self

from opentelemetry import trace

from holdfast import events
from holdfast.errors import HoldfastError
from holdfast.events import WARNING
from holdfast.policies.duration import patience
from holdfast.tracing.logs.lines import LineObserver
from holdfast.tracing.metrics.observer import MetricObserver
from holdfast.tracing.observers.light import LightObserver
from holdfast.tracing.observers.settings import Settings, usual_attempt_spans, usual_hit_spans
from holdfast.tracing.observers.spans import SpanObserver
from holdfast.tracing.safety import firewall
from holdfast.tracing.safety import redact as redacting
from holdfast.tracing.safety.guard import Guarded
from holdfast.tracing.setup._options import usual_capture
from holdfast.tracing.setup._provider import OwnProvider, outlet_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from holdfast.events import Observer
    from holdfast.policies.duration import Duration
    from holdfast.tracing.export.exporters import LaneProcessor
    from holdfast.tracing.sampling.interesting import KeepInteresting

lock = threading.RLock()
"""Held while the session changes."""


def _anew_in_child() -> None:
    global lock  # noqa: PLW0603 - a thread of the parent may have held it
    lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_anew_in_child)


class Handle:
    """What `configure` returns. As a context manager it shuts down at the end of the block."""

    def __init__(self, backend: str, processor: LaneProcessor, key: tuple[str, ...], headers: Mapping[str, str]) -> None:
        """Hold on to a backend that was added."""
        self.backend = backend
        self.headers = headers
        self._processor = processor
        self._key = key

    @property
    def sampling(self) -> KeepInteresting | None:
        """What this backend is sent; None for everything."""
        return self._processor.sampling

    def flush(self, timeout: Duration = firewall.EXIT_TIMEOUT) -> bool:
        """Wait until all spans ended so far have left for this backend; those that `KeepInteresting` holds back stay.

        Args:
            timeout: The most to wait: seconds, a timedelta or text like ``"1.5s"``.

        Returns:
            False when that was not enough, or when spans were lost since the last flush.

        Raises:
            PolicyError: ``timeout`` is no duration.
        """
        return self._processor.lane.flush(patience(timeout, what="timeout"))

    def shutdown(self) -> None:
        """Flush, for at most two seconds, and stop this backend. With the last one, observing ends."""
        with lock:
            if current.handles.get(self._key) is not self:
                return
            del current.handles[self._key]
            if not current.handles:
                current.stop()
        provider = trace.get_tracer_provider()
        if isinstance(provider, OwnProvider):
            provider.drop(self._processor)
        self._processor.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        return f"<tracing to {self.backend}: {', '.join(redacting.scrub(part) for part in self._key if part)}>"


class Handles(Handle):
    """Several backends at once: what ``configure("auto")`` returns when the environment names more than one."""

    def __init__(self, handles: tuple[Handle, ...]) -> None:
        """Hold on to all of them."""
        self.backend = ", ".join(handle.backend for handle in handles)
        self._handles = handles

    @property
    def sampling(self) -> KeepInteresting | None:
        """What the first of them is sent."""
        return self._handles[0].sampling

    def flush(self, timeout: Duration = firewall.EXIT_TIMEOUT) -> bool:
        """Wait until all spans ended so far have left, at most so long for all of them together; see `Handle.flush`."""
        ends = time.monotonic() + patience(timeout, what="timeout")
        are_flushed = [handle.flush(max(0.0, ends - time.monotonic())) for handle in self._handles]  # all of them, whatever the first says
        return all(are_flushed)

    def shutdown(self) -> None:
        """Flush and stop these backends, one after the other."""
        for handle in self._handles:
            handle.shutdown()

    def __repr__(self) -> str:
        return f"<{' and '.join(map(repr, self._handles))}>"


class Session:
    """What is observed with, and where to: one per process.

    Attributes:
        settings: Changed in place, so that calls under way see changes too.
        lines: Writes lines.
        metrics: Measures, while the application has a meter provider.
        observer: Installed in `holdfast.events`; None while nothing is observed.
        previous: The observer it replaced.
        is_measuring: `measure` was called: without a backend, too, there is something to observe for.
        handles: The backends, by name and place.
        chosen: The options that were given, by name, since the first backend.
    """

    def __init__(self) -> None:
        self.settings = Settings()
        self.lines = LineObserver(WARNING)
        self.metrics = MetricObserver()
        self.observer: Guarded | None = None
        self.previous: Observer | None = None
        self.handles: dict[tuple[str, ...], Handle] = {}
        self.chosen: dict[str, Any] = {}
        self.is_measuring = False

    def adopt(self, **given: Any) -> None:
        """Take over the options that were given; of one that is None, what was chosen before stands."""
        self.chosen |= {name: value for name, value in given.items() if value is not None}
        self.settings.capture = self.chosen.get("capture") or usual_capture()
        self.settings.attempt_spans = self.chosen.get("attempt_spans") or usual_attempt_spans()
        self.settings.max_hit_spans = self.chosen["max_hit_spans"] if "max_hit_spans" in self.chosen else usual_hit_spans()
        redacting.custom = self.chosen.get("redact")
        self.settings.salt = self.settings.salt or key_salt()

    def start(self, level: int | None, *, with_lines: bool) -> None:
        """Observe, with lines from ``level`` on where the application has not configured structlog."""
        self.lines.level = level
        self.lines.is_on = with_lines
        self.lines.refresh()
        observer = Guarded(self._spans(), self.lines, self.metrics)
        previous = events.observe(observer)
        if previous is not self.observer:
            self.previous = previous
        self.observer = observer

    def restart(self, *, waits: bool = False) -> bool:
        """Observe anew: how spans are best made has changed.

        Args:
            waits: Whether to wait for somebody else who changes the session right now; a call of the user's waits for nobody.

        Returns:
            False if nothing was done and is to be tried again: somebody else changes the session, or observes in its place for now. True also
            where nothing is observed, and nothing has to be done.
        """
        if not lock.acquire(blocking=waits):
            return False
        try:
            is_ours = events.observer is self.observer
            if self.observer is not None and is_ours:
                self.start(self.lines.level, with_lines=self.lines.is_on)
            return self.observer is None or is_ours
        finally:
            lock.release()

    def _spans(self) -> Observer:
        outlet = outlet_of(trace.get_tracer_provider(), self.restart)
        return SpanObserver(settings=self.settings, woken=self.restart) if outlet is None else LightObserver(outlet, self.settings)

    def stop(self) -> None:
        """Stop observing, unless somebody else has taken over."""
        if self.observer is not None and events.observer is self.observer:
            events.observe(self.previous)
        self.chosen.clear()
        redacting.custom = None
        self.observer = self.previous = None
        if self.is_measuring:
            self.start(WARNING, with_lines=True)


def key_salt() -> bytes:
    """From the user's secret, so that hashes of cache keys agree between this user's processes and tell nobody else anything."""
    from holdfast.values.secret import load_secret

    try:
        secret = load_secret()
    except (HoldfastError, OSError):  # no secret, then hashes agree within this process only
        secret = os.urandom(32)
    return blake2b(secret, person=b"holdfast.keyhash", digest_size=32).digest()


current = Session()
"""The process's own; tests put another one here."""
