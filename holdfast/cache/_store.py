"""An open disk tier: its rows, its generation words and the secret that seals its values.

Imported on first use, since it loads diskcache and SQLite. Every method raises `Trouble` for whatever goes wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from holdfast.cache import _fates
from holdfast.cache._folder import DATABASE, GENERATIONS, LEASES, alone, is_ours, opening, prepare, set_aside
from holdfast.cache._generations import Generations, bucket_of
from holdfast.cache._leases import Lease, Leases
from holdfast.cache._names import range_of, row_name
from holdfast.cache._rows import Rows
from holdfast.cache._scan import entries, lifetime_of, tags_of
from holdfast.cache._trouble import Trouble, telling
from holdfast.values.secret import load_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from holdfast.cache._sweep import Swept
    from holdfast.cache.info import EntryInfo
    from holdfast.typing import CacheKey
    from holdfast.values._sqlite import Connection

T = TypeVar("T")


class Store:
    """The disk tier in ``folder``, opened; made, or set aside and made anew, where that is needed.

    Attributes:
        secret: Seals values.
        words: The generation words; see `Generations`.
        repaired: What was wrong with the database that was found, and where it is now; None when nothing was.

    Args:
        folder: Where its files are.
        size_limit: See `Rows`.
        tell: See `Rows`.
    """

    def __init__(self, folder: Path, size_limit: int, tell: Callable[[Swept | Trouble], None]) -> None:
        self.folder = folder
        with telling(folder):
            prepare(folder)
            self.secret = load_secret()
            with opening(folder) as is_alone:
                is_open = self._open_files(size_limit, tell, may_mend=is_alone)
            if not is_open:
                with alone(folder):  # another process may have mended it meanwhile
                    self._open_files(size_limit, tell, may_mend=True)

    def _open_files(self, size_limit: int, tell: Callable[[Swept | Trouble], None], *, may_mend: bool) -> bool:
        """Open what is there, and make what is not; False where that is broken and may not be set aside."""
        try:
            self._rows, self.repaired = _open_rows(self.folder, size_limit, tell, may_mend=may_mend)
        except Trouble as trouble:
            if may_mend or trouble.reason != "broken":
                raise
            return False
        self._generations = Generations(self.folder / GENERATIONS)
        self.words = self._generations.words
        self._leases = Leases(self.folder / LEASES)
        if self.repaired is not None:
            self._generations.bump_all()
        return True

    def read(self, key: CacheKey) -> tuple[bytes | None, int, int]:
        """The sealed value of a key, or None; with its bucket, and the word there for as long as the value is current.

        A row that was not written by us is Trouble ``poisoned``.
        """
        bucket = bucket_of(key)
        word = self.words[bucket]  # before the row: a write in between is then seen at the next look
        return self._rows.read(row_name(key)), bucket, word

    def miss_cause(self, key: CacheKey) -> str:
        """Why `read` found nothing: ``cold``, ``expired``, ``evicted``, ``invalidated``, ``version`` or ``error``."""
        namespace = f"{key.namespace.rpartition('@')[0]}@".encode()
        return self.ask(lambda connection: _fates.miss_cause(connection, row_name(key), namespace))

    def generation(self, key: CacheKey) -> tuple[int, int]:
        """The key's bucket and the word that stands there now."""
        bucket = bucket_of(key)
        return bucket, self.words[bucket]

    def write(
        self, key: CacheKey, sealed: bytes, *, ttl: float | None, tags: tuple[str, ...], parts: dict[str, bytes] | None = None
    ) -> int | None:
        """Store a sealed value and tell other processes.

        Returns:
            The word under which the value may be kept in memory; None when another process has changed the entry since.
        """
        name = row_name(key)
        self._rows.write(name, sealed, tags=tags, lifetime=lifetime_of(ttl), parts=parts)
        word = self._bump(bucket_of(key))
        return word if self._rows.holds(name, sealed) else None

    def lease(self, key: CacheKey, known: int | None) -> Lease:
        """A turn at computing a key; ``known`` is the word that stood when it was last looked for in vain, if that is known."""
        return Lease(*self._leases.place_of(key), lambda: known is None or self.words[bucket_of(key)] != known)

    def ask(self, question: Callable[[Connection], T]) -> T:
        """Ask something of a connection that only reads."""
        with self._rows.reading() as connection:
            return question(connection)

    def tags_of(self, key: CacheKey) -> tuple[str, ...]:
        """The tags that an entry was stored with; none where there is no entry."""
        return self.ask(lambda connection: tags_of(connection, key))

    def discard(self, key: CacheKey, sealed: bytes | None) -> None:
        """Remove a value that cannot be used, if it is still there; None stands for one that was not written by us."""
        self._rows.discard(row_name(key), sealed)

    def delete(self, key: CacheKey) -> bool:
        """Remove one entry and tell other processes; True when there was one."""
        was_there = self._rows.delete(row_name(key))
        self._bump(bucket_of(key))
        return was_there

    def purge(self, namespace: str | None, tag: str | None, age: float | None) -> int:
        """Remove what all of a namespace (``*`` matches anything), a tag and an age applies to, and tell other processes; return how many."""
        try:
            return sum(self._rows.purge(*range_of(each), tag, age) for each in self._meant(namespace))
        finally:
            with telling(self.folder):
                self._generations.bump_all()

    def invalidate(self, tags: tuple[str, ...]) -> None:
        """Make what has one of the tags invalid at once, and tell other processes."""
        try:
            self._rows.invalidate(tags)
        finally:
            with telling(self.folder):
                self._generations.bump_all()

    def entries(self, namespace: str | None) -> Iterator[EntryInfo]:
        """What is stored, without reading values."""
        return entries(self._rows.reading, namespace)

    def _meant(self, namespace: str | None) -> list[str | None]:
        """What to purge range by range: the pattern itself where its names stand together, else each namespace that it matches."""
        if namespace is None or "*" not in namespace[:-1]:
            return [namespace]
        return list({info.key.namespace for info in self.entries(namespace)})

    def count(self) -> tuple[int, int, int, int]:
        """How many entries there are, how many bytes the database has, and how many entries and bytes were evicted since it was made."""
        return self._rows.count()

    def has_moved(self) -> bool:
        """Whether somebody deleted or replaced the database under us, or what other processes tell of their changes by."""
        return self._rows.has_moved() or self._generations.is_deleted()

    def close(self) -> None:
        """Close connections and files."""
        self._rows.close()
        self._generations.close()
        self._leases.close()

    def set_aside(self) -> Path | None:
        """Rename the database, once closed, unless another process was faster; return its new path."""
        with telling(self.folder), alone(self.folder):
            return None if self._rows.has_moved() else set_aside(self.folder)

    def pause(self) -> bool:
        """See `Rows.pause`."""
        return self._rows.pause()

    def resume(self) -> None:
        """See `Rows.resume`."""
        self._rows.resume()

    def after_fork_in_child(self, *, is_closed: bool) -> None:
        """Let go of what was inherited; of its connections too, unless they could not be closed before the fork."""
        self._generations.after_fork_in_child()
        self._leases.after_fork_in_child()
        if not is_closed:
            self._rows.abandon()

    def _bump(self, bucket: int) -> int:
        with telling(self.folder):
            return self._generations.bump(bucket)


def _open_rows(
    folder: Path, size_limit: int, tell: Callable[[Swept | Trouble], None], *, may_mend: bool
) -> tuple[Rows, tuple[Trouble, Path] | None]:
    """The rows, and what was wrong with those that were found, if anything; mended only inside `alone`."""
    try:
        return Rows(folder, size_limit, tell), None
    except Trouble as trouble:
        if trouble.reason != "broken" or not may_mend:
            raise
        if not is_ours(folder):
            text = f"{folder / DATABASE} is not a cache of holdfast's and is left as it is: give the cache a folder of its own"
            raise Trouble("refused", text) from trouble
        repaired = trouble, set_aside(folder)
    return Rows(folder, size_limit, tell), repaired
