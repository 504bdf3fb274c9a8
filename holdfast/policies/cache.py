"""CachePolicy: what of a task is remembered, under which key, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from holdfast._frames import trims
from holdfast.errors import PolicyError
from holdfast.policies.callables import name_of, plain_function
from holdfast.policies.duration import positive_seconds, spoken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from holdfast.policies.duration import Duration
    from holdfast.typing import Codec

CLOCK_SLACK = 60.0
"""Seconds by which an entry may seem to come from the future: clocks of two hosts differ, and clocks are set back."""

_NO_TTL = "leave it out to keep entries for ever, or leave the cache policy out to cache nothing"


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
        tags: Words by which entries can be purged together.
        codec: Turns results into bytes and back; None chooses by the return annotation.

    >>> CachePolicy(ttl="1h", ignore=("client",))
    CachePolicy(ttl=1h, ignore=('client',))
    """

    ttl: float | None
    key_func: Callable[..., Any] | None
    ignore: tuple[str, ...]
    version: str | None
    cache_if: Callable[[Any], bool] | None
    negative_ttl: float | None
    tags: tuple[str, ...]
    codec: Codec | None

    @trims
    def __init__(
        self,
        *,
        ttl: Duration | None = None,
        key_func: Callable[..., Any] | None = None,
        ignore: Iterable[str] = (),
        version: str | int | None = None,
        cache_if: Callable[[Any], bool] | None = None,
        negative_ttl: Duration | None = None,
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
            "ttl": None if ttl is None else positive_seconds(ttl, what="ttl", instead=_NO_TTL),
            "key_func": key_func,
            "ignore": _words(ignore, what="ignore", example="client"),
            "version": _version(version),
            "cache_if": cache_if,
            "negative_ttl": _negative_ttl(negative_ttl),
            "tags": _words(tags, what="tags", example="weather"),
            "codec": _codec(codec),
        }
        if key_func is not None and values["ignore"]:
            raise PolicyError(f"ignore={values['ignore']!r} does nothing beside key_func, which gets every argument: leave one of them out")
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def is_fresh(self, stored_at: float, ttl_stored: float | None, now: float, negative: bool = False) -> bool:  # noqa: FBT001, FBT002 - a field of the entry
        """Say whether an entry may be served.

        The policy's own ttl decides, not the one the entry was stored with, so that a changed ttl acts at once.

        Args:
            stored_at: When the entry was stored, seconds since the epoch.
            ttl_stored: The ttl it was stored with: what its store may evict it by. It has no say here.
            now: The present, seconds since the epoch.
            negative: True for a remembered failure, judged by ``negative_ttl``.

        Returns:
            False as well for an entry from more than `CLOCK_SLACK` seconds in the future: the clock was set back, its age is unknown.
        """
        del ttl_stored
        if negative and self.negative_ttl is None:
            return False
        ttl = self.negative_ttl if negative else self.ttl
        return ttl is None or -CLOCK_SLACK <= now - stored_at < ttl

    def replace(self, **changes: Any) -> CachePolicy:
        """The same policy with some fields changed.

        Args:
            **changes: Fields by name, as for the class.

        Returns:
            Another policy; this one stays as it is.

        Raises:
            PolicyError: A value that cannot work, by itself or beside the others.
        """
        return CachePolicy(**{field.name: getattr(self, field.name) for field in fields(self)} | changes)

    __replace__ = replace

    def __repr__(self) -> str:
        shown = {field.name: getattr(self, field.name) for field in fields(self)}
        parts = [f"{name}={_shown(name, value)}" for name, value in shown.items() if value not in (None, ())]
        return f"CachePolicy({', '.join(parts)})"


def _negative_ttl(value: Duration | None) -> float | None:
    return None if value is None else positive_seconds(value, what="negative_ttl", instead="leave it out to remember no failures")


def _words(value: Iterable[str], *, what: str, example: str) -> tuple[str, ...]:
    if isinstance(value, str):
        raise PolicyError(f"{what}={value!r} is one text: give a tuple, {what}=({value!r},)")
    try:
        words = tuple(value)
    except TypeError:
        raise PolicyError(f"{what}={value!r} is not a tuple of texts: give for example {what}=({example!r},)") from None
    for word in words:
        if not isinstance(word, str) or not word.strip():
            raise PolicyError(f"{what}={value!r} holds {word!r}: give texts that are not empty, for example {what}=({example!r},)")
    return words


def _version(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise PolicyError(f'version={value!r} names no version: give text or a whole number, for example version="2"')
    return str(value)


def _codec(value: Any) -> Codec | None:
    if value is None:
        return None
    if isinstance(value, type):
        raise PolicyError(f"codec={name_of(value)} is a class: give an instance, codec={name_of(value)}(...)")
    missing = [name for name in ("id", "encode", "decode") if not hasattr(value, name)]
    if missing:
        raise PolicyError(
            f"codec={value!r} has no {' and no '.join(missing)}: give an object with id, encode and decode (holdfast.typing.Codec)"
        )
    codec: Codec = value
    return codec


def _shown(name: str, value: Any) -> str:
    if name in {"ttl", "negative_ttl"}:
        return spoken(value)
    return name_of(value) if name in {"key_func", "cache_if"} else repr(value)
