"""A cache within one process, for tests, notebooks and programs that need nothing to outlive them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from holdfast import clock
from holdfast._frames import trims
from holdfast.cache._lru import Lru, check_choice, check_limit, check_tags, encode, hold
from holdfast.cache._notes import Notes
from holdfast.cache.info import CacheStats, EntryInfo, matches
from holdfast.errors import PolicyError
from holdfast.policies.duration import seconds
from holdfast.typing import NO_TERMS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.policies.duration import Duration
    from holdfast.typing import CacheKey, Codec, Entry, Terms


class InMemoryCache:
    """Keeps the most recently used entries of this process, encoded as `DiskCache` would keep them.

    What comes back is always the caller's own: changing it does not change the cache. What cannot be encoded is refused here as it
    would be there, so a test sees what production sees.

    Args:
        max_entries: Most entries kept.
        max_bytes: Most bytes of encoded values kept. A value larger than a quarter of it is not kept, and a note says so.

    Raises:
        PolicyError: A limit below 1, or no whole number.
    """

    @trims
    def __init__(self, max_entries: int = 10_000, max_bytes: int = 64 << 20) -> None:
        if isinstance(max_entries, (str, os.PathLike)):
            raise PolicyError(
                f"max_entries={max_entries!r}: an InMemoryCache has no folder; write DiskCache({os.fspath(max_entries)!r}), or InMemoryCache()"
            )
        if 0 in (max_entries, max_bytes):
            raise PolicyError(f"max_entries={max_entries}, max_bytes={max_bytes} would keep nothing: leave the cache policy out instead")
        check_limit("max_entries", max_entries, least=1)
        check_limit("max_bytes", max_bytes, least=1)
        self._memory = Lru(max_entries, max_bytes)
        self._notes = Notes()
        self._newest = 0
        self._marks: dict[str, int] = {}  # for each tag that was invalidated, the number of the last time

    def __repr__(self) -> str:
        return f"InMemoryCache(max_entries={self._memory.max_entries}, max_bytes={self._memory.max_bytes})"

    @property
    def is_blocking(self) -> bool:
        """False: nothing here does I/O."""
        return False

    def peek(self, key: CacheKey, codec: Codec, /) -> Entry | None:
        """The entry, or None."""
        held = self._memory.get(key)
        if held is None:
            return None
        if held.tags and any(self._marks.get(tag, 0) > held.word for tag in held.tags):
            self._memory.pop(key)
            return None
        try:
            return held.reveal(codec)
        except Exception as error:  # noqa: BLE001 - decoding builds the user's classes
            self._memory.pop(key)
            text = f"an entry of {key.namespace} cannot be used and counts as missing: {error}"
            self._notes.warn("corrupt", text, namespace=key.namespace)
            return None

    def get(self, key: CacheKey, codec: Codec, /) -> Entry | None:
        """The entry, or None."""
        return self.peek(key, codec)

    def set(
        self,
        key: CacheKey,
        value: Any,
        codec: Codec,
        /,
        *,
        ttl: float | None,
        negative: bool = False,
        tags: tuple[str, ...] = (),
        origin: tuple[str, str] = ("", ""),
        terms: Terms = NO_TERMS,
    ) -> int | None:
        """Keep a value; see `holdfast.typing.Cache.set`."""
        payload = encode(value, codec, negative=negative)
        rest = (clock.current.time(), ttl, len(payload), "memory", negative, *origin, None, terms.ttl, terms.etag, terms.modified)
        if self._memory.put(key, hold(value, payload, codec.id, rest, tags, 0, self._newest)):
            return len(payload)
        text = f"a value of {len(payload)} bytes was not cached: the largest kept is {self._memory.largest}"
        self._notes.warn("too_large", text, namespace=key.namespace)
        return None

    def tags_of(self, key: CacheKey, /) -> tuple[str, ...]:
        """The tags that an entry was stored with.

        Args:
            key: Its key.

        Returns:
            Those of the policy and those of the body; none where nothing is stored.
        """
        held = self._memory.get(key)
        return () if held is None else held.tags

    def delete(self, key: CacheKey, /) -> bool:
        """Forget one entry; True when there was one."""
        return self._memory.pop(key)

    def purge(self, *, namespace: str | None = None, tag: str | None = None, older_than: Duration | None = None) -> int:
        """Forget what all of a namespace, a tag and an age applies to, or everything; return how many entries went.

        Args:
            namespace: As for `DiskCache.purge`.
            tag: The same.
            older_than: The same: seconds, a timedelta, or text such as ``"30d"``.

        Raises:
            PolicyError: The same.
        """
        check_choice(namespace, tag)
        before = None if older_than is None else clock.current.time() - seconds(older_than, what="older_than")
        return self._memory.pop_where(
            lambda key, held: (
                (namespace is None or matches(namespace, key.namespace))
                and (tag is None or tag in held.tags)
                and (before is None or held.rest[0] < before)
            )
        )

    @trims
    def invalidate(self, *tags: str) -> None:
        """Forget all entries with one of the tags, however many, in no more time than one takes.

        Args:
            tags: The tags.

        Raises:
            PolicyError: There is none, or one that is no text.
        """
        check_tags(tags)
        self._newest += 1
        self._marks.update(dict.fromkeys(tags, self._newest))

    def stats(self) -> CacheStats:
        """How much there is."""
        memory = self._memory
        return CacheStats(None, len(memory), memory.bytes, memory.evicted, memory.evicted_bytes)

    def entries(self, namespace: str | None = None) -> Iterator[EntryInfo]:
        """What there is, least recently used first.

        Args:
            namespace: Only this one; a ``*``, wherever it stands, matches anything. None takes all.

        Yields:
            Key, times, size and tags of each entry.
        """
        for key, held in self._memory.items():
            if namespace is None or matches(namespace, key.namespace):
                yield EntryInfo(key, held.rest[0], held.rest[1], held.size, held.tags)

    def close(self) -> None:
        """Forget everything."""
        self._memory.clear()
