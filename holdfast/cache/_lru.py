"""The in-process tier: encoded values, bounded by entries and bytes, the least recently used evicted first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.errors import CorruptRecord, PolicyError
from holdfast.policies.remembered import remembered
from holdfast.typing import CacheKey, Codec, Entry
from holdfast.values import failure, forks

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast._evidence import Tap

Rest = tuple[float, float | None, int, str, bool, str, str, "Tap | None", float | None, str, float | None]
"""All fields of `Entry` but the first."""
_PLAIN = frozenset({type(None), bool, int, float, str, bytes})
new_entry: Callable[[type[Entry], tuple[Any, ...]], Entry] = tuple.__new__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


class Held(msgspec.Struct, frozen=True, gc=False):
    """One value in memory.

    Attributes:
        ready: The entry of an immutable scalar, which needs no decoding to be safe from its callers; None for any other value.
        payload: The encoded value; empty where there is a ready entry.
        codec: Id of the codec that encoded it.
        rest: All fields of `Entry` but the first.
        tags: The tags it was stored with.
        bucket: Which generation word tells whether it is still current (disk tier only).
        word: What that word was when the value was known to be current.
    """

    ready: Entry | None
    payload: bytes
    codec: int
    rest: Rest
    tags: tuple[str, ...] = ()
    bucket: int = 0
    word: int = 0

    @property
    def size(self) -> int:
        """Bytes of the encoded value."""
        return self.rest[2]

    def reveal(self, codec: Codec) -> Entry:
        """The entry, with a value of the caller's own.

        Raises:
            CorruptRecord: Another codec stored it, or the codec cannot read it.
        """
        if self.ready is not None:
            return self.ready
        rest = self.rest
        return new_entry(Entry, (decode(self.payload, self.codec, codec, negative=rest[4]), *rest))  # 0.2 us less than Entry(...)


def hold(value: Any, payload: bytes, codec: int, rest: Rest, tags: tuple[str, ...] = (), bucket: int = 0, word: int = 0) -> Held:
    """What to keep in memory of a value: itself when nobody can change it, else its encoded bytes.

    Args:
        value: The value.
        payload: The same, encoded.
        codec: Id of the codec that encoded it.
        rest: All fields of `Entry` but the first.
        tags: The tags it was stored with.
        bucket: See `Held`.
        word: See `Held`.
    """
    if type(value) in _PLAIN:
        return Held(new_entry(Entry, (value, *rest)), b"", codec, rest, tags, bucket, word)
    return Held(None, payload, codec, rest, tags, bucket, word)


def encode(value: Any, codec: Codec, *, negative: bool) -> bytes:
    """The bytes of a value, or of a failure when ``negative``.

    Raises:
        NotSerializable: The codec refuses the value.
    """
    return remembered(value) if negative else codec.encode(value)


def decode(payload: bytes, stored_with: int, codec: Codec, *, negative: bool) -> Any:
    """The inverse of `encode`.

    Raises:
        CorruptRecord: Another codec stored it, or the codec cannot read it.
    """
    if negative:
        return failure.decode_failure(payload)
    if stored_with != codec.id:
        raise CorruptRecord(f"it was stored with codec {stored_with} and is read with codec {codec.id}")
    return codec.decode(payload)


def check_limit(what: str, given: Any, *, least: int) -> None:
    """Refuse a limit that is no whole number, or below ``least``."""
    if isinstance(given, bool) or not isinstance(given, int) or given < least:
        raise PolicyError(f"{what}={given!r}: give a whole number of at least {least}, e.g. {what}={_EXAMPLES[what.rpartition('_')[2]]}")


def check_tags(tags: tuple[Any, ...]) -> None:
    """Refuse to invalidate nothing, or by what is no tag."""
    if not tags or not all(isinstance(tag, str) and tag for tag in tags):
        raise PolicyError(f"invalidate{tags!r}: give tags, which are texts, e.g. invalidate('weather')")


def check_choice(namespace: Any, tag: Any) -> None:
    """Refuse to choose entries by what is no text: a list of tags, say, which would match nothing."""
    for name, value in (("namespace", namespace), ("tag", tag)):
        if value is not None and not isinstance(value, str):
            raise PolicyError(f"{name}={value!r}: give one text, e.g. purge({name}={'app.*' if name == 'namespace' else 'weather'!r})")


_EXAMPLES = {"entries": "10_000", "bytes": "64 << 20", "limit": "1 << 30, which is 1 GiB"}


class Lru:
    """A bounded map from key to `Held`; safe for threads and forks.

    Args:
        max_entries: Most entries held; 0 for none.
        max_bytes: Most bytes held, counting encoded values only.

    Raises:
        PolicyError: A limit that is no whole number; the text calls it as `DiskCache` does.
    """

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        check_limit("memory_entries", max_entries, least=0)
        check_limit("memory_bytes", max_bytes, least=0)
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.bytes = self.evicted = self.evicted_bytes = 0
        self._held: OrderedDict[CacheKey, Held] = OrderedDict()
        self._lock = threading.Lock()
        forks.protect(self)

    @property
    def largest(self) -> int:
        """Bytes of the largest value that is kept: a quarter of the room, so that one value cannot push out all others."""
        return self.max_bytes // 4

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: CacheKey) -> Held | None:
        """What is held under ``key``, which is then the most recently used.

        Without the lock, which would take a third of the time: each step is atomic (comparing keys runs no Python code), and what
        goes in between was held when it was found.
        """
        held = self._held.get(key)
        if held is not None:
            try:  # noqa: SIM105 - suppress() would take longer than all the rest
                self._held.move_to_end(key)
            except KeyError:
                pass
        return held

    def put(self, key: CacheKey, held: Held) -> bool:
        """Hold it, evicting others; False when it is larger than `largest` (then nothing is held under ``key``)."""
        fits = held.size <= self.largest and self.max_entries > 0
        with self._lock:
            self._drop(key)
            if fits:
                self._held[key] = held
                self.bytes += held.size
                while len(self._held) > self.max_entries or self.bytes > self.max_bytes:
                    size = self._held.popitem(last=False)[1].size
                    self.bytes -= size
                    self.evicted += 1
                    self.evicted_bytes += size
        return fits

    def pop(self, key: CacheKey) -> bool:
        """Forget one; True when it was there."""
        with self._lock:
            return self._drop(key)

    def pop_where(self, matches: Callable[[CacheKey, Held], bool]) -> int:
        """Forget all that match; return how many."""
        with self._lock:
            doomed = [key for key, held in self._held.items() if matches(key, held)]
            for key in doomed:
                self._drop(key)
        return len(doomed)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._held.clear()
            self.bytes = 0

    def items(self) -> list[tuple[CacheKey, Held]]:
        """All that is held, least recently used first."""
        with self._lock:
            return list(self._held.items())

    def _drop(self, key: CacheKey) -> bool:
        held = self._held.pop(key, None)
        if held is None:
            return False
        self.bytes -= held.size
        return True

    def before_fork(self) -> None:
        """Nothing: a child whose parent was in the middle of a change starts empty instead."""

    def after_fork_in_parent(self) -> None:
        """Nothing."""

    def after_fork_in_child(self) -> None:
        """Take a new lock; a thread that does not exist here may have held the old one."""
        if self._lock.locked():
            self._held.clear()
            self.bytes = 0
        self._lock = threading.Lock()
