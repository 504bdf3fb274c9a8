"""The cache that outlives the process: a memory tier over a disk tier that all processes of a user share.

Never in the way. Whatever is wrong with the store - a broken, locked or foreign database, a full disk, a folder that is not ours - is a
miss and a note, and the call computes. Nothing raises but `NotSerializable` from `DiskCache.set`, which is about the value; and `StoreError`
from `DiskCache.delete` and `DiskCache.purge`, which no call stands behind: what is still served must not look forgotten.

Coherent. The memory tier trusts an entry while its generation word stands (`holdfast.cache._generations`), so what another process writes
or purges is seen at the next lookup.

Safe. A row is our own bytes, sealed for its key with a secret that is not in the folder (`holdfast.values.envelope`); one that was
changed, moved to another key or written by somebody else is a miss and a note, and is removed. What is left of diskcache stands in
`holdfast.cache._rows`, what happens to the files in `holdfast.cache._folder`.
"""

from __future__ import annotations

import time
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeVar

from holdfast import clock
from holdfast._frames import trims
from holdfast.cache._keeper import KeptStore
from holdfast.cache._lru import Lru, check_choice, check_limit, check_tags, decode, encode, hold, new_entry
from holdfast.cache._trouble import Trouble, not_forgotten
from holdfast.cache.info import CacheStats, EntryInfo
from holdfast.cache.places import default_folder, given_folder
from holdfast.policies.duration import seconds
from holdfast.typing import NO_TERMS, CacheKey, Codec, Entry, Terms
from holdfast.values import envelope

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from holdfast.cache._leases import Lease
    from holdfast.cache._store import Store
    from holdfast.cache.misses import MissExplanation
    from holdfast.policies.duration import Duration

N = TypeVar("N")

MOST_MISSED = 10_000
"""Keys looked for in vain that are remembered, so that whoever then computes one need not look again."""
SMALLEST = 1 << 16
LARGEST = 256 << 20


def salted(parts: dict[str, bytes] | None, secret: bytes) -> dict[str, bytes] | None:
    """Digests that tell nothing to whoever does not have the secret: else a short text could be found by trying."""
    return None if parts is None else {name: blake2b(digest, key=secret[:64], digest_size=8).digest() for name, digest in parts.items()}


class DiskCache(KeptStore):
    """A cache in a folder, shared by all processes of one user on one machine.

    Nothing is opened before the first use. The folder is made 0700 and its files 0600.

    Args:
        path: The folder; made when missing. None takes ``$HOLDFAST_CACHE_DIR`` or, without it, ``cache`` in the user's cache folder.
        size_limit: Bytes of the database. What is over it goes, longest stored first; looked at after every MiB written. The write-ahead
            log may take an eighth more, and no more than 4 MB.
        memory_entries: Most entries kept in memory; 0 for none.
        memory_bytes: Most bytes kept in memory.
        record: Whether it is written down, beside the cache, when keys are asked for and what the source answers, as long as
            ``HOLDFAST_RECORD`` is not ``off``: evidence for choosing times to live, without arguments and results.

    Raises:
        PolicyError: A limit that cannot work, or a path that is empty or none.
    """

    @trims
    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        size_limit: int = 1 << 30,
        memory_entries: int = 10_000,
        memory_bytes: int = 64 << 20,
        record: bool = True,
    ) -> None:
        check_limit("size_limit", size_limit, least=SMALLEST)
        folder = default_folder() if path is None else given_folder(path)
        super().__init__(folder, size_limit, Lru(memory_entries, memory_bytes), is_recorded=record)

    def __repr__(self) -> str:
        return f"DiskCache({str(self.path)!r})"

    @property
    def is_blocking(self) -> bool:
        """True: `get` and `set` touch the disk."""
        return True

    keeps_parts = True
    """Whether `set` wants to know the parts of a key."""

    @property
    def largest(self) -> int:
        """Bytes of the largest value that is stored: a quarter of the limit, and no more than 256 MiB."""
        return min(self.size_limit // 4, LARGEST)

    def peek(self, key: CacheKey, codec: Codec, /) -> Entry | None:
        """Look in memory only; never blocks."""
        held = self._memory.get(key)
        store = self._store
        if held is None or store is None:
            return None
        if store.words[held.bucket] == held.word:
            try:
                return held.reveal(codec)
            except Exception as error:  # noqa: BLE001 - decoding builds the user's classes
                self._notes.corrupt(key, error)
        self._memory.pop(key)
        return None

    def get(self, key: CacheKey, codec: Codec, /) -> Entry | None:
        """Look in memory, then on disk; trouble is a miss and a note."""
        entry = self.peek(key, codec)
        if entry is not None:
            return entry
        store = self._store or self._open()
        if store is None:
            return None
        try:
            sealed, bucket, word = store.read(key)
        except Trouble as trouble:
            self._handle(store, trouble, key)
            self._note_cause(key, "error")
            return None
        if sealed is None:
            if store.has_moved():
                self._leave(store)
                self._note_cause(key, "")
            else:
                self._note_miss(store, key, word)
            return None
        try:
            record = envelope.unseal(sealed, secret=store.secret, key=key)
            value = decode(record.payload, record.codec, codec, negative=record.negative)
        except Exception as error:  # noqa: BLE001 - decoding builds the user's classes
            self._notes.corrupt(key, error)
            self._discard(store, key, sealed)
            self._note_cause(key, "error")
            return None
        self._causes.pop(key, None)  # of an earlier look, after which another process computed it
        payload, _, stored_at, ttl, negative, (trace_id, span_id), terms = record
        size, witness = len(payload), self.witness
        tap = None if witness is None else witness.taps.get(key) or witness.tap(key)
        if self._memory.max_entries:
            rest = (stored_at, ttl, size, "memory", negative, trace_id, span_id, tap, terms.ttl, terms.etag, terms.modified)
            self._memory.put(key, hold(value, payload, record.codec, rest, (), bucket, word))
        return new_entry(
            Entry, (value, stored_at, ttl, size, "disk", negative, trace_id, span_id, tap, terms.ttl, terms.etag, terms.modified)
        )

    def _note_miss(self, store: Store, key: CacheKey, word: int) -> None:
        if len(self._missed) >= MOST_MISSED:
            self._missed.clear()
        self._missed[key] = word
        try:
            self._note_cause(key, store.miss_cause(key))
        except Trouble as trouble:
            self._notes.passed_by(trouble, namespace=key.namespace)
            self._note_cause(key, "")

    def _note_cause(self, key: CacheKey, cause: str) -> None:
        if len(self._causes) >= MOST_MISSED:
            self._causes.clear()
        self._causes[key] = cause

    def miss_cause(self, key: CacheKey, /) -> str:
        """Why a key was looked for in vain a moment ago. Asked once, before it is computed.

        Args:
            key: The key.

        Returns:
            ``cold``, ``expired``, ``evicted``, ``invalidated``, ``version`` or ``error``; ``""`` when that is not known.
        """
        return self._causes.pop(key, "expired")  # there was something, and it was not served

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
        parts: dict[str, bytes] | None = None,
        terms: Terms = NO_TERMS,
    ) -> int | None:
        """Store a value on disk and in memory; see `holdfast.typing.Cache.set`.

        Args:
            key: As there.
            value: As there.
            codec: As there.
            ttl: As there.
            negative: As there.
            tags: As there.
            origin: As there.
            terms: What the body said of its result: a ttl of its own, an ETag, when the source last changed it.
            parts: A digest of each argument, to tell later in what a key differs from this one; None keeps none. They are salted first.

        Returns:
            Its size in bytes; None when it did not reach the disk (this process may still find it in memory).

        Raises:
            NotSerializable: The codec refuses the value.
        """
        payload = encode(value, codec, negative=negative)
        size = len(payload)
        self._causes.pop(key, None)  # of another thread, that waited for this
        if size > self.largest:
            self._notes.warn(
                "too_large", f"a value of {size} bytes was not cached: the largest kept is {self.largest}", namespace=key.namespace
            )
            return None
        store = self._open_where_it_is()
        if store is None:
            return None
        stored_at = clock.current.time()
        sealed = envelope.seal(
            payload,
            secret=store.secret,
            key=key,
            codec=codec.id,
            stored_at=stored_at,
            ttl=ttl,
            negative=negative,
            origin=origin,
            terms=terms,
        )
        bucket, word = store.generation(key)
        tap = None if self.witness is None else self.witness.tap(key, payload)
        rest = (stored_at, ttl, size, "memory", negative, *origin, tap, terms.ttl, terms.etag, terms.modified)
        try:
            now = store.write(key, sealed, ttl=ttl, tags=tags, parts=salted(parts, store.secret))
        except Trouble as trouble:  # no longer on disk than it takes, and until somebody changes the entry, memory serves
            self._handle(store, trouble, key)
            self._memory.put(key, hold(value, payload, codec.id, rest, tags, bucket, word))
            return None
        if now is None:  # another process was here meanwhile: the next look reads what it left
            self._memory.pop(key)
        else:
            self._memory.put(key, hold(value, payload, codec.id, rest, tags, bucket, now))
        return size

    def lease(self, key: CacheKey, /) -> Lease | None:
        """A turn at computing a key that was looked for and not found, among all processes; see `holdfast.runtime.turns.KeyLease`.

        Args:
            key: Names what is to be computed.

        Returns:
            What to take the turn with; None where the store is in trouble: whoever asks then computes.
        """
        known, store = self._missed.pop(key, None), self._store
        if known is None and (held := self._memory.get(key)) is not None:  # expired, as it seems
            known = held.word
        return None if store is None else store.lease(key, known)

    def why_miss(
        self, key: CacheKey, *, ttl: float | None, parts: dict[str, bytes] | None = None, windows: tuple[float, float] = (0.0, 0.0)
    ) -> MissExplanation:
        """Explain why nothing is found under a key.

        Args:
            key: The key.
            ttl: Seconds that an entry is judged by; None for ever.
            parts: As for `set`, of the call that is asked about: then the nearest keys are named, too. None where they are not known.
            windows: Seconds past the ttl of ``stale_while_revalidate`` and of ``stale_if_error``; 0, the default, for none.

        Returns:
            The cause, to be printed.

        Raises:
            StoreError: The cache cannot be read.
        """
        from holdfast.cache.misses import explain  # few programs ask

        now = time.time()  # as the times of rows
        return self._forget(
            lambda store: store.ask(
                lambda connection: explain(connection, key, now, ttl=ttl, parts=salted(parts, store.secret), windows=windows)
            )
        )

    @trims
    def delete(self, key: CacheKey, /) -> bool:
        """Forget one entry; True when there was one. Raises StoreError when that could not be done."""
        self._memory.pop(key)
        return self._forget(lambda store: store.delete(key))

    @trims
    def purge(self, *, namespace: str | None = None, tag: str | None = None, older_than: Duration | None = None) -> int:
        """Forget entries: everything, or those that all of what is given applies to.

        Args:
            namespace: Only this one; a ``*``, wherever it stands, matches anything.
            tag: Only entries with this tag.
            older_than: Only entries stored longer ago than so many seconds, a timedelta, or text such as ``"30d"``.

        Returns:
            How many entries went from disk.

        Raises:
            StoreError: Not all that was to be forgotten is: another process holds the write lock, say.
            PolicyError: ``older_than`` is no duration, or what is to be chosen by no text.
        """
        check_choice(namespace, tag)
        age = None if older_than is None else seconds(older_than, what="older_than")
        self._memory.clear()
        return self._forget(lambda store: store.purge(namespace, tag, age))

    @trims
    def invalidate(self, *tags: str) -> None:
        """Forget all entries with one of the tags, however many, in no more time than one takes; their room is given back behind the caller's back.

        Args:
            tags: The tags.

        Raises:
            StoreError: That could not be done.
        """
        check_tags(tags)
        self._memory.clear()
        self._forget(lambda store: store.invalidate(tags))

    def _forget(self, remove: Callable[[Store], N]) -> N:
        """Remove something, from what takes its place where a database has to be set aside."""
        self._rest_from = None  # somebody asks for it, so try to open now
        while (store := self._open_where_it_is()) is not None:
            try:
                return remove(store)
            except Trouble as trouble:
                self._handle(store, trouble)
                if self._store is store or trouble.reason == "refused":
                    raise not_forgotten(trouble) from None  # its text has the cause
        raise not_forgotten(self._refused or Trouble("io", f"cache {self.path}: it was open while this process was forked"))

    def stats(self) -> CacheStats:
        """How much there is on disk."""
        store = self._open()
        count = (0, 0, 0, 0)
        if store is not None:
            try:
                count = store.count()
            except Trouble as trouble:
                self._handle(store, trouble)
        return CacheStats(self.path, *count)

    def tags_of(self, key: CacheKey, /) -> tuple[str, ...]:
        """The tags that an entry was stored with.

        Args:
            key: Its key.

        Returns:
            Those of the policy and those of the body; none where nothing is stored, or the store is in trouble.
        """
        store = self._open()
        if store is None:
            return ()
        try:
            return store.tags_of(key)
        except Trouble as trouble:
            self._handle(store, trouble, key)
            return ()

    def entries(self, namespace: str | None = None) -> Iterator[EntryInfo]:
        """What is on disk, without reading values.

        Args:
            namespace: Only this one; a ``*``, wherever it stands, matches anything. None takes all.

        Yields:
            Key, times, size and tags of each entry.
        """
        store = self._open()
        if store is None:
            return
        try:
            yield from store.entries(namespace)
        except Trouble as trouble:
            self._handle(store, trouble)
