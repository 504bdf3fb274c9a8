"""KeepInteresting: which trees of spans are worth their keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from holdfast._frames import trims
from holdfast.errors import PolicyError
from holdfast.policies.duration import positive_seconds, spoken
from holdfast.tracing import convention as names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace import SpanProcessor

    from holdfast.policies.duration import Duration

MAX_TRACES = 1_000
MAX_SPANS = 2_000
MAX_AGE_S = 3600.0
_CHANCES = 2**56
_EVERYDAY = frozenset({None, "hit", "miss", "coalesced", "stale", "refresh", "probe", "bypass"})


@dataclass(frozen=True, slots=True, init=False, repr=False)
class KeepInteresting:
    """Keeps trees of spans in which something happened, whole, and of the others a part.

    A tree is what this process does below one span that has no parent here: a run, or the request that it is part of. Interesting
    is a tree with a failed span, a retry, a remembered failure or trouble in the cache, or with a span slower than ``slower_than``. What a
    dead process left is interesting, too. Of the other traces a part is kept, chosen by the trace id alone: every process of a trace
    chooses alike, and so does a sampler of OpenTelemetry that goes by the id's last 56 bits.

    A tree is held back in memory until something interesting has ended in it, and then leaves as it goes on; or until its root has ended,
    and then it is dropped. What is held is bounded, see ``max_traces``; what is given up for that is counted, and said once.

    Attributes:
        ratio: The part of the other trees that is kept.
        slower_than: A span that lasts longer is interesting, in seconds; None for no limit.
        max_traces: Most traces held at once.
        max_spans: Most spans held of one trace.
        max_age: The longest that a trace is held, in seconds.

    >>> KeepInteresting(slower_than="2s")
    KeepInteresting(ratio=0.05, slower_than='2s')
    """

    ratio: float
    slower_than: float | None
    max_traces: int
    max_spans: int
    max_age: float

    @trims
    def __init__(
        self,
        *,
        ratio: float = 0.05,
        slower_than: Duration | None = None,
        max_traces: int = MAX_TRACES,
        max_spans: int = MAX_SPANS,
        max_age: Duration = MAX_AGE_S,
    ) -> None:
        """Say what is to be kept.

        Args:
            ratio: From 0, nothing but what is interesting, to 1, everything.
            slower_than: Seconds, timedelta or text such as ``"2s"``: a span that lasts longer is interesting. None when no duration is.
            max_traces: Most traces held at once; beyond, the oldest is given up. All of them together hold 100,000 spans at most.
            max_spans: Most spans held of one trace; beyond, they are given up.
            max_age: The longest that a trace is held: seconds, timedelta or text. Then it leaves if it has become slow by that,
                else it is given up.

        Raises:
            PolicyError: One of them cannot work.
        """
        if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 <= ratio <= 1:
            raise PolicyError(f"ratio={ratio!r} is no part: give a number from 0 (nothing but what is interesting) to 1 (everything)")
        slow = None if slower_than is None else positive_seconds(slower_than, what="slower_than", instead="use ratio=1 to keep everything")
        object.__setattr__(self, "ratio", float(ratio))
        object.__setattr__(self, "slower_than", slow)
        object.__setattr__(self, "max_traces", _count("max_traces", max_traces))
        object.__setattr__(self, "max_spans", _count("max_spans", max_spans))
        age = positive_seconds(max_age, what="max_age", instead="give the longest that a tree may take, or leave it out for an hour")
        object.__setattr__(self, "max_age", age)

    def is_by_ratio(self, trace_id: int) -> bool:
        """Whether a trace is in the part that is kept in any case.

        By the last 56 bits of its id, which are random in ids of any kind: as OpenTelemetry's consistent probability sampling has it
        (specification, "TraceState: Probability Sampling").

        Args:
            trace_id: 128 bits.

        Returns:
            The same in every process; what is True for a ratio is True for any higher one.
        """
        return trace_id % _CHANCES >= (1 - self.ratio) * _CHANCES

    def is_interesting(self, span: Any) -> bool:
        """Whether an ended span is a reason to keep its tree.

        Args:
            span: As exporters get it.

        Returns:
            True when it failed, was retried, took too long or shows trouble in the cache.
        """
        if not span.status.is_ok:
            return True
        if self.slower_than is not None and (span.end_time or 0) - (span.start_time or 0) > self.slower_than * 1e9:
            return True
        said: Mapping[str, Any] = span.attributes or {}
        return names.RETRY_COUNT in said or said.get(names.CACHE_RESULT) not in _EVERYDAY

    def wrap(self, processor: SpanProcessor) -> SpanProcessor:
        """A span processor for a tracer provider of your own, which hands on to ``processor`` what is to be kept.

        Args:
            processor: Of OpenTelemetry's SDK or anybody's; it is told of each span that begins, as ever. What the provider's sampler
                did not sample is handed on as it is, and never held.

        Returns:
            What to give to ``add_span_processor``; to shut it down, or flush it, does so to ``processor``.

        Raises:
            PolicyError: It is no span processor.
        """
        from holdfast.tracing.sampling.tail import KeepingProcessor  # needs the SDK

        if not callable(getattr(processor, "on_end", None)):
            raise PolicyError(f"wrap({processor!r}): this is no span processor; give for example a BatchSpanProcessor")
        return KeepingProcessor(self, processor)

    def __repr__(self) -> str:
        more = {
            "slower_than": None if self.slower_than is None else spoken(self.slower_than),
            "max_traces": None if self.max_traces == MAX_TRACES else self.max_traces,
            "max_spans": None if self.max_spans == MAX_SPANS else self.max_spans,
            "max_age": None if self.max_age == MAX_AGE_S else spoken(self.max_age),
        }
        said = "".join(f", {name}={value!r}" for name, value in more.items() if value is not None)
        return f"KeepInteresting(ratio={self.ratio!r}{said})"


def check(sampling: object) -> None:
    """Refuse a ``sampling=`` that is none; None is for everything.

    Raises:
        PolicyError: It is something else than a `KeepInteresting`.
    """
    if sampling is not None and not isinstance(sampling, KeepInteresting):
        raise PolicyError(f"sampling={sampling!r} says not what to keep: write for example KeepInteresting(ratio=0.05, slower_than='2s')")


def _count(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise PolicyError(f"{name}={value!r} must be a whole number from 1")
    return value
