"""CachePolicy: what of a task is remembered, under which key, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from holdfast._frames import trims
from holdfast.policies import cache_fields
from holdfast.policies.callables import name_of, plain_function
from holdfast.policies.duration import spoken
from holdfast.policies.freshness import CLOCK_SLACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from holdfast.policies.duration import Duration
    from holdfast.policies.probe import Probe
    from holdfast.policies.tune import Tune
    from holdfast.typing import Codec

_DURATIONS = frozenset(
    {"ttl", "negative_ttl", "stale_while_revalidate", "stale_if_error", "fail_safe_throttle", "soft_timeout", "hard_timeout"}
)


@dataclass(frozen=True, slots=True, kw_only=True, init=False, repr=False)
class CachePolicy:
    """Remembers results. Frozen; compared by its fields; never reads a clock.

    Attributes:
        ttl: Seconds an entry stays fresh; None never expires.
        key_func: Makes the key from the call's arguments; None uses all of them, canonically encoded.
        ignore: Names of parameters that do not count in the key.
        version: Part of the key, instead of a fingerprint of the function's code; None uses the fingerprint.
        cache_if: Says of a result whether to store it; None stores every result.
        negative_ttl: Seconds a failure is remembered; None remembers none.
        stale_while_revalidate: Seconds past the ttl in which the old value is served while a new one is computed behind; None: none.
        stale_if_error: Seconds past the ttl in which the old value is served when computing fails; None: none.
        fail_safe_throttle: Seconds that a source which has failed is left alone while an old value may be served.
        refresh_ahead: Part of the ttl from which on a hit has the value computed anew behind; None never.
        soft_timeout: Seconds that a caller waits for a new value while there is an old one to serve instead; None: as long as it takes.
        hard_timeout: Seconds that a caller waits for a new value in any case; None: as long as it takes.
        ttl_jitter: By which part of the ttl, at most, entries expire early, each by its own; None: all at the same age.
        ttl_range: Least and most seconds that an operator may override the ttl with; None: any.
        probe: How often the source is asked only to see whether a hit was stale; None never.
        tune: Who looks after the ttl; None: it is recorded what could be said about it, and nothing else done.
        tags: Words by which entries can be purged together.
        codec: Turns results into bytes and back; None chooses by the return annotation.
        is_recorded: False when nothing may be written down of what is asked for.
        is_simple: True when an entry is either fresh or of no use, and nothing else is to be done about it.

    >>> CachePolicy(ttl="1h", ignore=("client",))
    CachePolicy(ttl=1h, ignore=('client',))
    """

    ttl: float | None
    key_func: Callable[..., Any] | None
    ignore: tuple[str, ...]
    version: str | None
    cache_if: Callable[[Any], bool] | None
    negative_ttl: float | None
    stale_while_revalidate: float | None
    stale_if_error: float | None
    fail_safe_throttle: float
    refresh_ahead: float | None
    ttl_jitter: float | None
    soft_timeout: float | None
    hard_timeout: float | None
    ttl_range: tuple[float, float] | None
    probe: Probe | None
    tune: Tune | None
    tags: tuple[str, ...]
    codec: Codec | None
    is_recorded: bool = field(init=False, compare=False)
    is_simple: bool = field(init=False, compare=False)

    @trims
    def __init__(  # noqa: PLR0913 - a field each, all by name
        self,
        *,
        ttl: Duration | None = None,
        key_func: Callable[..., Any] | None = None,
        ignore: Iterable[str] = (),
        version: str | int | None = None,
        cache_if: Callable[[Any], bool] | None = None,
        negative_ttl: Duration | None = None,
        stale_while_revalidate: Duration | None = None,
        stale_if_error: Duration | None = None,
        fail_safe_throttle: Duration | None = None,
        refresh_ahead: float | None = None,
        ttl_jitter: float | None = None,
        soft_timeout: Duration | None = None,
        hard_timeout: Duration | None = None,
        ttl_range: tuple[Duration, Duration] | None = None,
        probe: Probe | None = None,
        tune: Tune | None = None,
        tags: Iterable[str] = (),
        codec: Codec | None = None,
    ) -> None:
        """Decide what is remembered.

        Args:
            ttl: How long an entry is fresh: seconds, timedelta or text such as ``"1h30m"``; None never expires. It is judged when an
                entry is read, so that a changed ttl acts at once on entries that are already there.
            key_func: Called with the call's arguments; what it returns is the key. None uses every argument but the ignored ones.
            ignore: Names of parameters that do not count in the key, such as clients and loggers.
            version: Text or number that stands for the function's code in the key: change it to start afresh. None takes a fingerprint of
                the code, so that edited code never meets old entries.
            cache_if: Called with a result; a false answer leaves it unstored. None stores every result.
            negative_ttl: How long a final failure is remembered and raised again without a call; None remembers none.
            stale_while_revalidate: How long past its ttl an entry is served at once, while one computation behind the callers renews it (RFC 5861);
                None: not at all.
            stale_if_error: How long past its ttl an entry is served when computing a new one has failed for good (RFC 5861; FusionCache's
                fail-safe); None: not at all.
            fail_safe_throttle: How long a source that has failed is left alone while an old value may be served; None is 30 seconds.
            refresh_ahead: Part of the ttl, such as 0.8, from which on a hit has the entry renewed behind its caller, so that what is asked
                for often never expires; None: not before the ttl.
            ttl_jitter: Part of the ttl, such as 0.1, by which entries expire early: each by a share of it that follows from its key and date, so that what
                was stored together does not expire together; None: at the same age.
            soft_timeout: How long a call waits for a new value before it takes the old one that ``stale_if_error`` lets it have; the computation
                goes on behind it and is stored. None: as long as it takes.
            hard_timeout: How long a call waits for a new value at all before it raises `NodeTimeoutError`, or takes that old one; the computation goes
                on behind it and is stored. None: as long as it takes.
            ttl_range: Between which ttls, both included, an operator's override may lie while programs run (`holdfast.overrides`); None: any. The
                ttl must lie there, too.
            probe: For a function that only reads: has its source asked behind a few hits, to measure how many answers are stale (`Probe`). Needs a
                `DiskCache` that records. None: never.
            tune: Whether the ttl is looked after, within ``ttl_range``, or nothing even recorded (`Tune`); in a `DiskCache`. None: what could be said
                about it is recorded, and nothing else done.
            tags: Words by which entries can be purged together.
            codec: An object with ``id``, ``encode`` and ``decode``; None chooses by the task's return annotation.

        Raises:
            PolicyError: A value that cannot work; the text names it and the fix.
        """
        if key_func is not None:
            plain_function(key_func, what="key_func", example="lambda city: city.lower()")
        if cache_if is not None:
            plain_function(cache_if, what="cache_if", example="lambda result: result is not None")
        values = {
            "ttl": cache_fields.duration(ttl, what="ttl"),
            "key_func": key_func,
            "ignore": cache_fields.words(ignore, what="ignore", example="client"),
            "version": cache_fields.version(version),
            "cache_if": cache_if,
            "negative_ttl": cache_fields.duration(negative_ttl, what="negative_ttl"),
            "stale_while_revalidate": cache_fields.duration(stale_while_revalidate, what="stale_while_revalidate"),
            "stale_if_error": cache_fields.duration(stale_if_error, what="stale_if_error"),
            "fail_safe_throttle": cache_fields.duration(fail_safe_throttle, what="fail_safe_throttle") or cache_fields.DEFAULT_THROTTLE,
            "refresh_ahead": cache_fields.fraction(refresh_ahead, what="refresh_ahead", example=0.8),
            "ttl_jitter": cache_fields.fraction(ttl_jitter, what="ttl_jitter", example=0.1),
            "soft_timeout": cache_fields.duration(soft_timeout, what="soft_timeout"),
            "hard_timeout": cache_fields.duration(hard_timeout, what="hard_timeout"),
            "ttl_range": cache_fields.bounds(ttl_range),
            "probe": cache_fields.probe(probe),
            "tune": cache_fields.tune(tune),
            "tags": cache_fields.words(tags, what="tags", example="weather"),
            "codec": cache_fields.codec(codec),
        }
        cache_fields.check_together(values, is_throttled=fail_safe_throttle is not None)
        values["is_recorded"] = tune is None or tune.mode != "off"
        values["is_simple"] = all(values[name] is None for name in _MORE)
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def is_fresh(self, stored_at: float, own_ttl: float | None, now: float, negative: bool = False) -> bool:  # noqa: FBT001, FBT002 - a field of the entry
        """Say whether an entry may be served.

        The policy's present ttl decides, so that a changed ttl acts at once; unless the computation gave its result one of its own.

        Args:
            stored_at: When the entry was stored, seconds since the epoch.
            own_ttl: What the computation gave it, seconds; None leaves it to the policy.
            now: The present, seconds since the epoch.
            negative: True for a remembered failure, judged by ``negative_ttl``.

        Returns:
            False as well for an entry from more than `CLOCK_SLACK` seconds in the future: the clock was set back, its age is unknown.
        """
        if negative and self.negative_ttl is None:
            return False
        ttl = own_ttl if own_ttl is not None else self.negative_ttl if negative else self.ttl
        return ttl is None or -CLOCK_SLACK <= now - stored_at < ttl

    def longest(self, own_ttl: float | None = None) -> float | None:
        """Say for how long a value may be of use, for its store to evict it by.

        Args:
            own_ttl: What the computation gave it, seconds; None leaves it to the policy.

        Returns:
            Seconds, up to the end of the last window; None for ever.
        """
        ttl = self.ttl if own_ttl is None else own_ttl
        return None if ttl is None else ttl + max(self.stale_while_revalidate or 0.0, self.stale_if_error or 0.0)

    @property
    def windows(self) -> tuple[float, float]:
        """Seconds past the ttl of ``stale_while_revalidate`` and of ``stale_if_error``; 0 for none."""
        return self.stale_while_revalidate or 0.0, self.stale_if_error or 0.0

    def replace(self, **changes: Any) -> CachePolicy:
        """The same policy with some fields changed.

        Args:
            **changes: Fields by name, as for the class.

        Returns:
            Another policy; this one stays as it is.

        Raises:
            PolicyError: A value that cannot work, by itself or beside the others.
        """
        return CachePolicy(**{name: getattr(self, name) for name in _FIELDS if _is_given(name, getattr(self, name))} | changes)

    __replace__ = replace

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in _FIELDS}
        parts = [f"{name}={_shown(name, value)}" for name, value in shown.items() if _is_given(name, value)]
        return f"CachePolicy({', '.join(parts)})"


_FIELDS = tuple(each.name for each in fields(CachePolicy) if each.init)
_MORE = ("stale_while_revalidate", "stale_if_error", "refresh_ahead", "ttl_jitter", "soft_timeout", "hard_timeout", "probe")


def _is_given(name: str, value: Any) -> bool:
    return value not in (None, ()) and (name != "fail_safe_throttle" or value != cache_fields.DEFAULT_THROTTLE)


def _shown(name: str, value: Any) -> str:
    if name in _DURATIONS:
        return spoken(value)
    if name == "ttl_range":
        return f"({', '.join(map(spoken, value))})"
    return name_of(value) if name in {"key_func", "cache_if"} else repr(value)
