"""`get_cache_entry`: what a body says of the result that it is about to return, and what it may know of the one that is stored."""

from __future__ import annotations

from contextvars import ContextVar
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast import events
from holdfast.errors import PolicyError, TaskContextError
from holdfast.policies.duration import seconds
from holdfast.typing import NO_TERMS, Terms

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from holdfast.policies.duration import Duration
    from holdfast.runtime.state import Call
    from holdfast.typing import Entry

LONGEST_ETAG = 1000
_current: ContextVar[CacheEntry | None] = ContextVar("holdfast_cache_entry", default=None)


class Previous(NamedTuple):
    """The value that is stored when a body runs, fresh or not.

    Attributes:
        value: The value. It may be served yet, so leave it as it is.
        stored_at: When it was stored, or last found not modified, seconds since the epoch.
        etag: The source's name for this version of it; ``""`` when nobody gave one.
        modified: When the source last changed it, seconds since the epoch; None when nobody said.
    """

    value: Any
    stored_at: float
    etag: str
    modified: float | None


class CacheEntry:
    """The entry that the result of a running body becomes. What is not set is as the policy says; outside a cached call nothing is kept.

    Attributes:
        tags: Words by which it can be purged, beside those of the policy.
    """

    __slots__ = ("__weakref__", "_call", "_is_unmodified", "_terms", "outer", "tags")  # what is set under another name is a mistake

    def __init__(self, call: Call | None = None, outer: CacheEntry | None = None) -> None:
        """Describe the entry of a call; use `get_cache_entry`."""
        self.outer = outer
        self.tags: tuple[str, ...] = ()
        self._call = call
        self._terms = NO_TERMS
        self._is_unmodified = False

    @property
    def previous(self) -> Previous | None:
        """The value that is stored now, also one that is too old to be served; None when there is none, or only a remembered failure."""
        entry = self._stored()
        return None if entry is None else Previous(entry.value, entry.stored_at, entry.etag, entry.modified)

    @property
    def ttl(self) -> float | None:
        """Seconds for which this result is fresh, whatever the policy says; 0 leaves it unstored; None leaves it to the policy.

        Set it to seconds, a timedelta or text such as ``"5m"``.
        """
        return self._terms.ttl

    @ttl.setter
    def ttl(self, value: Duration | None) -> None:
        self._terms = self._terms._replace(ttl=None if value is None else seconds(value, what="ttl"))

    @property
    def etag(self) -> str:
        """The source's name for this version of the result, to ask it next time whether there is a newer one; ``""`` for none.

        Set it to that, or to None for none, as ``headers.get("ETag")`` has it.
        """
        return self._terms.etag

    @etag.setter
    def etag(self, value: str | None) -> None:
        if value is None:  # what a response without the header says
            value = ""
        if not isinstance(value, str):
            raise PolicyError(f"etag={value!r:.100}: give a text, as the ETag header has it, or None")
        if len(value) > LONGEST_ETAG:
            raise PolicyError(f"etag={value[:20]!r}... has {len(value)} characters: give a text of at most {LONGEST_ETAG}, or leave it out")
        self._terms = self._terms._replace(etag=value)

    @property
    def modified(self) -> float | None:
        """When the source last changed it, seconds since the epoch; None when unknown.

        Set it to that, to a datetime or the text of a ``Last-Modified``. One that is no date counts as unknown, with a line that says so: what a source
        sends fails no call.
        """
        return self._terms.modified

    @modified.setter
    def modified(self, value: float | datetime | str | None) -> None:
        self._terms = self._terms._replace(modified=None if value is None else self._moment(value))

    def not_modified(self) -> Any:
        """Say that the stored value still holds: it is stored anew, with the present time, its etag and its tags.

        Returns:
            That value, for the body to return.

        Raises:
            TaskContextError: There is none: ask the source for a value, without a condition.
        """
        stored = self._stored()
        if stored is None:
            raise TaskContextError("not_modified() was called where no value is stored: look at `previous` first, which is None then")
        self._is_unmodified = True
        return stored.value

    def add_tags(self, words: Iterable[str]) -> None:
        """Add words by which the entry can be purged.

        Args:
            words: The words.
        """
        from holdfast.policies.cache_fields import words as checked

        self.tags = (*self.tags, *checked(words, what="tags", example="weather"))

    def terms(self) -> Terms:
        """What is kept with the value: what was set and, of one that was not modified, what it had."""
        stored = self._stored() if self._is_unmodified else None
        if stored is None:
            return self._terms
        own = self._terms
        modified = stored.modified if own.modified is None else own.modified
        return Terms(stored.own_ttl if own.ttl is None else own.ttl, own.etag or stored.etag, modified)

    def every_tag(self) -> tuple[str, ...]:
        """The tags beside those of the policy: what was added and, of one that was not modified, what it had."""
        call = self._call
        tags_of = None if call is None or not self._is_unmodified else getattr(call.cache, "tags_of", None)
        if tags_of is None or call is None:  # a cache of the user's own may not know
            return self.tags
        return (*tags_of(call.key), *self.tags)

    def _moment(self, value: float | datetime | str) -> float | None:
        """Seconds since the epoch; None, after a note, for what is no date."""
        from datetime import UTC, datetime  # these two cost more than all of this module, and few need them
        from email.utils import parsedate_to_datetime

        if isinstance(value, bool) or not isinstance(value, (str, datetime, int, float)):
            raise PolicyError(f"modified={value!r:.100}: give seconds since the epoch, a datetime or the text of a Last-Modified header")
        try:
            given = parsedate_to_datetime(value) if isinstance(value, str) else value
            if isinstance(given, datetime):
                given = (given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp()
            if isfinite(given):
                return float(given)
        except (TypeError, ValueError, OverflowError, OSError):  # what the parser says of a text, and the system of a year
            pass
        name = "a cached function" if self._call is None else self._call.plan.name
        text = f"{name} said modified={value!r:.100}, which is no date: when its source last changed the value counts as unknown"
        events.note("holdfast.cache.modified_unknown", events.INFO, text, task=name)
        return None

    def leave(self) -> None:
        """Let go of the call, which knows this entry, too."""
        self._call = None

    def _stored(self) -> Entry | None:
        call = self._call
        if call is None or call.cache is None or call.key is None or call.plan.codec is None:
            return None
        if call.previous is None and call.is_missing:  # nothing fresh was found, and what was not fresh was let go
            found = call.cache.get(call.key, call.plan.codec)
            call.previous = None if found is None or found.negative else found
        return call.previous


def get_cache_entry() -> CacheEntry:
    """The entry that the result of the cached function running here becomes: for a ttl, tags and an etag that only its body knows.

    Returns:
        That of the innermost function with a cache policy; each attempt has one of its own. Outside of any, and in a call that passes the cache
        by, one of which nothing is kept, so that the body can be called as it is.

    >>> get_cache_entry().previous is None
    True
    """
    return _current.get() or CacheEntry()


def begin(call: Call) -> None:
    """An attempt begins, in the context its body will run in."""
    outer = _current.get() if call.said is None else call.said.outer
    call.said = CacheEntry(call, outer)
    _current.set(call.said)


def end(said: CacheEntry) -> None:
    """The call has ended, in the same context; what its body may still hold keeps neither it nor its arguments alive."""
    _current.set(said.outer)
    said.leave()
