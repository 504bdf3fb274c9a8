"""Why a call found nothing in a disk cache: judged from its row, from what is remembered of its key, and from the keys that are most like it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from holdfast.cache import _fates, _marks
from holdfast.cache._names import row_name
from holdfast.policies.duration import spoken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.cache._fates import Fate
    from holdfast.typing import CacheKey
    from holdfast.values._sqlite import Connection

NEAREST = 2
_DIGEST = 16


_GOOD_FOR = {"": "", "stale": "; it is served while a call behind renews it", "stale_if_error": "; it is served if computing fails"}


@dataclass(frozen=True, slots=True)
class Near:
    """A key of the same task that is like the one that was missed.

    Attributes:
        key: Its digest, hexadecimal.
        differs: The parameters whose values are other ones.
        stored_s: Seconds since it was stored.
    """

    key: str
    differs: tuple[str, ...]
    stored_s: float


@dataclass(frozen=True, slots=True)
class MissExplanation:
    """Why a call finds nothing. ``str()`` of it is for people.

    Attributes:
        cause: ``cold`` (not stored, as far as is remembered), ``expired``, ``evicted``, ``invalidated``, ``version`` (stored by other code), ``error``
            (it could not be read), or ``""``: it would be found.
        namespace: The task and its version.
        key: The digest, hexadecimal.
        stored_s: Seconds since it was stored; None if it never was.
        gone_s: Seconds since it went; None while it is there.
        ttl: The ttl that it was judged by, seconds; None for ever.
        other: The other version that there is, or was, a value of; ``""`` but for ``version``.
        nearest: The keys that are most like it, for a ``cold`` one.
        kept: What it is good for though its ttl is over: ``stale`` (served while a call behind renews it, so that nothing is missing) or ``stale_if_error``
            (served if computing fails); ``""`` for nothing, and while it is fresh.
    """

    cause: str
    namespace: str
    key: str
    stored_s: float | None = None
    gone_s: float | None = None
    ttl: float | None = None
    other: str = ""
    nearest: tuple[Near, ...] = ()
    kept: str = ""

    def __str__(self) -> str:
        stored, gone = (None if value is None else _spoken(value) for value in (self.stored_s, self.gone_s))
        over = ", and its ttl is over" + ("" if self.ttl is None else f": {spoken(self.ttl)}") + _GOOD_FOR[self.kept]
        said = {
            "": f"nothing is missing: stored {stored} ago" + over * bool(self.kept),
            "cold": "not stored yet, as far as is remembered",
            "expired": f"stored {stored} ago" + over,
            "evicted": f"stored {stored} ago; it had to make room for others {gone} ago",
            "invalidated": f"stored {stored} ago, and forgotten since, by purge, forget or invalidate" + (f", {gone} ago" if gone else ""),
            "version": f"stored {stored} ago by another version of the task, {self.other}",
            "error": f"stored {stored} ago; it could not be read, and was removed {gone} ago",
        }[self.cause]
        near = [f"near: {each.key[:8]}, stored {_spoken(each.stored_s)} ago, differs in {', '.join(each.differs)}" for each in self.nearest]
        return "\n".join([f"{self.cause or self.kept or 'found'}: {said}", *near])


def _spoken(seconds: float) -> str:
    return spoken(max(1, round(seconds)))


def kept_for(age: float, ttl: float | None, windows: tuple[float, float]) -> str:
    """What a value is good for by its age: ``""`` or, once its ttl is over, ``stale``, ``stale_if_error`` or ``expired``.

    Args:
        age: Seconds.
        ttl: Seconds; None for ever.
        windows: Seconds past the ttl of ``stale_while_revalidate`` and of ``stale_if_error``.
    """
    if ttl is None or age < ttl:
        return ""
    return next((name for name, window in zip(("stale", "stale_if_error"), windows, strict=True) if age < ttl + window), "expired")


def explain(
    connection: Connection,
    key: CacheKey,
    now: float,
    *,
    ttl: float | None,
    parts: dict[str, bytes] | None,
    windows: tuple[float, float] = (0.0, 0.0),
) -> MissExplanation:
    """Why a key is missed.

    Args:
        connection: Reads the cache's database.
        key: The key.
        now: Seconds since the epoch.
        ttl: Seconds, that entries are judged by; None for ever.
        parts: Salted digests of the call's arguments; None where they are not known.
        windows: Seconds past the ttl of ``stale_while_revalidate`` and of ``stale_if_error``.
    """
    connection.execute("BEGIN")  # one snapshot: a sweep removes a row, and then the mark that tells of it
    try:
        return _there(connection, key, now, ttl, windows) or _gone(connection, key, now, ttl=ttl, parts=parts)
    finally:
        connection.execute("COMMIT")


def _there(connection: Connection, key: CacheKey, now: float, ttl: float | None, windows: tuple[float, float]) -> MissExplanation | None:
    """Of a key that has a row."""
    row = connection.execute("SELECT store_time, CAST(tag AS BLOB) FROM Cache WHERE key = ?", (row_name(key),)).fetchone()
    if row is None:
        return None
    stored_s = max(0.0, now - row[0])
    kept, cause = kept_for(stored_s, ttl, windows), ""
    if row[1] is not None and _marks.is_invalid(connection, row[1]):
        kept, cause = "", "invalidated"
    elif kept == "expired":
        kept, cause = "", "expired"
    elif kept == "stale_if_error":
        cause = "expired"
    return MissExplanation(cause, key.namespace, key.digest.hex(), stored_s=stored_s, ttl=ttl, kept=kept)


def _gone(connection: Connection, key: CacheKey, now: float, *, ttl: float | None, parts: dict[str, bytes] | None) -> MissExplanation:
    """Of one that has none."""
    about: dict[str, Any] = {"namespace": key.namespace, "key": key.digest.hex()}
    fate = _fates.fate_of(connection, row_name(key))
    if fate is not None and fate.cause and fate.gone_at is not None:
        return MissExplanation(fate.cause, **about, stored_s=max(0.0, now - fate.stored_at), gone_s=max(0.0, now - fate.gone_at), ttl=ttl)
    task = f"{key.namespace.rpartition('@')[0]}@".encode()
    other = _of_another_version(connection, key, task)
    if other is not None:
        version = other.name[len(task) : -_DIGEST - 1].decode(errors="replace")
        return MissExplanation("version", **about, stored_s=max(0.0, now - other.stored_at), ttl=ttl, other=version)
    near = () if parts is None else _nearest(parts, _fates.between(connection, task, task + b"\xff"), now)
    return MissExplanation("cold", **about, ttl=ttl, nearest=near)


def _of_another_version(connection: Connection, key: CacheKey, task: bytes) -> Fate | None:
    """What is known of a call with the same arguments of a task whose rows' names begin so."""
    name = row_name(key)
    found = _fates.with_digest(connection, key.digest)
    return next((fate for fate in found if fate.name.startswith(task) and fate.name != name), None)


def _nearest(parts: dict[str, bytes], fates: Sequence[Fate], now: float) -> tuple[Near, ...]:
    """The keys with the fewest differences, the newest first."""
    found: list[Near] = []
    for fate in fates:
        if fate.parts is not None:
            differs = tuple(name for name in dict.fromkeys((*parts, *fate.parts)) if parts.get(name) != fate.parts.get(name))
            if differs:
                found.append(Near(fate.name[-_DIGEST:].hex(), differs, max(0.0, now - fate.stored_at)))
    return tuple(sorted(found, key=lambda near: len(near.differs))[:NEAREST])
