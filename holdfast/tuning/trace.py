"""Trace: the accesses a cache has seen, and what any TTL would have done with them."""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from holdfast.errors import HoldfastError, PolicyError, TraceError
from holdfast.policies.duration import positive_seconds, spoken
from holdfast.tuning import _csv, _json_lines, _oracle_general, _otlp_lines
from holdfast.tuning._columns import Columns, hashed, microseconds, whole
from holdfast.tuning._limited import Limited, Room
from holdfast.tuning.outcomes import Outcome, RefreshOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from os import PathLike

    from holdfast.policies.duration import Duration
    from holdfast.tuning._chain import Index, Refreshed, Totals
    from holdfast.tuning._limited import Eviction
    from holdfast.tuning._staleness import Source
    from holdfast.tuning.outcomes import Staleness
    from holdfast.tuning.sightings import Sightings


class Access(NamedTuple):
    """One access to a cache.

    Attributes:
        key: Text or bytes, of which 64 bits of hash are kept; or these bits themselves: a whole number, or its 16 hex digits.
        time: Seconds, since whenever.
        size: Bytes of the value; None when unknown.
        compute: Seconds that computing the value took; None when it was not computed, or unknown.
        fingerprint: What tells values apart, as a key; not the number 0. None when unknown.
    """

    key: int | str | bytes
    time: float
    size: int | None = None
    compute: float | None = None
    fingerprint: int | str | bytes | None = None


class Trace:
    """Accesses in the order of time, held compactly: 16 bytes each, and 8 more for each of size, compute and fingerprint that is in use.

    Iterating gives each `Access` with its key and fingerprint as numbers. Times are kept in whole microseconds.

    What the questions below assume: the cache starts empty, has room for everything (but see `hits`), and computes a key once at a time, while others wait.
    An access without a ``compute`` of its own would take as long as its key's last one before it that has one, else its key's next
    one, else no time at all. An entry is as old as the time since its computing *ended*, and fresh while its age is below the TTL, as in
    ``CachePolicy(ttl=...)``.

    Args:
        accesses: In the order of time.

    Raises:
        TraceError: An access cannot be, or is earlier than the one before it; ``where`` counts from 1.

    >>> trace = Trace([Access("Oslo", 0.0), Access("Lima", 1.0), Access("Oslo", 2.5)])
    >>> len(trace), trace.span, trace.hits([2.5, 3])[1].hit_ratio
    (3, 2.5, 0.3333333333333333)
    """

    def __init__(self, accesses: Iterable[Access] = ()) -> None:
        self._columns = Columns()
        for number, access in enumerate(accesses, 1):
            try:
                self._add(access)
            except ValueError as error:
                raise TraceError(f"access {number}: {error}", where=f"access {number}") from None

    def _add(self, access: Access) -> None:
        size = None if access.size is None else whole(access.size, "size")
        compute = None if access.compute is None else microseconds(access.compute, "compute")
        fingerprint = None if access.fingerprint is None else hashed(access.fingerprint, "fingerprint")
        self._columns.add(hashed(access.key, "key"), microseconds(access.time, "time"), size, compute, fingerprint)

    @classmethod
    def from_csv(cls, path: str | PathLike[str]) -> Trace:
        """Read comma-separated values, with a header that names the columns; gzip is unpacked.

        Args:
            path: The file. Its columns are ``key``, one of ``t_us``, ``t_ms`` and ``t_s``, and, if there, ``size`` (bytes),
                ``compute_s`` and ``fingerprint``, in any order; an empty cell is None. Other columns are passed over.

        Returns:
            The trace.

        Raises:
            TraceError: It is something else, damaged, or not in the order of time; the text and ``where`` name the line.
            OSError: It cannot be read.
        """
        return cls._of(_csv.read(path))

    @classmethod
    def from_json_lines(cls, path: str | PathLike[str]) -> Trace:
        """Read one JSON object for each line, with the names that `from_csv` knows; gzip is unpacked.

        Args:
            path: The file. A name that is missing, or null, is None; other names are passed over, and so are empty lines.

        Returns:
            The trace.

        Raises:
            TraceError: It is something else, damaged, or not in the order of time; the text and ``where`` name the line.
            OSError: It cannot be read.
        """
        return cls._of(_json_lines.read(path))

    @classmethod
    def from_oracle_general(cls, path: str | PathLike[str]) -> Trace:
        """Read a binary trace of libCacheSim, "oracleGeneral"; gzip is unpacked.

        Args:
            path: The file: records of 24 bytes, little-endian, with time (32 bits, whole seconds), object id (64), size (32), and the number
                of the object's next request (64, -1 for none), which is not kept.

        Returns:
            The trace.

        Raises:
            TraceError: It is something else, damaged, or not in the order of time; the text and ``where`` name the byte.
            OSError: It cannot be read.
        """
        return cls._of(_oracle_general.read(path))

    @classmethod
    def from_otlp(cls, path: str | PathLike[str], *, task: str | None = None) -> Trace:
        """Read spans of cached calls: OTLP in JSON, one request on each line, as ``holdfast export`` and collectors write it; gzip is unpacked.

        Args:
            path: The file. Of a task whose spans are sampled some calls are missing, and it is refused: gaps between the rest would mislead.
            task: Module and qualified name, or the end of it; None takes the only one there is.

        Returns:
            The trace. A call that computed has its duration, retries and waits included.

        Raises:
            TraceError: It is something else, spans are missing, or there is no such task; the text says which there are.
            OSError: It cannot be read.
        """
        return cls._of(_otlp_lines.read(path, task))

    @classmethod
    def _of(cls, columns: Columns) -> Trace:
        trace = cls()
        trace._columns = columns
        return trace

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write what `from_csv` reads, with nothing lost; keys and fingerprints are written as 16 hex digits of their hashes.

        A hash is no secret: whoever can guess a key can check the guess.

        Args:
            path: The file, which is replaced.

        Raises:
            OSError: It cannot be written.
        """
        _csv.write(self._columns, path)

    def to_oracle_general(self, path: str | PathLike[str]) -> None:
        """Write a binary trace for libCacheSim. It has whole seconds, rounded down, and neither compute nor fingerprint; no size is 1.

        Args:
            path: The file, which is replaced.

        Raises:
            TraceError: A time or a size does not fit into 32 bits. Nothing is written.
            OSError: It cannot be written.
        """
        _oracle_general.write(self._columns, path)

    def __len__(self) -> int:
        return len(self._columns)

    def __iter__(self) -> Iterator[Access]:
        columns = self._columns
        for place, (key, time) in enumerate(zip(columns.keys, columns.times, strict=True)):
            compute = columns.compute(place)
            seconds = None if compute is None else compute / 1e6
            yield Access(key, time / 1e6, columns.size(place), seconds, columns.fingerprint(place))

    @property
    def span(self) -> float:
        """Seconds from the first access to the last; 0 without any."""
        times = self._columns.times
        return (times[-1] - times[0]) / 1e6 if times else 0.0

    def hits(
        self,
        ttls: Iterable[Duration | None],
        *,
        max_entries: int | None = None,
        max_bytes: int | None = None,
        evict: Eviction = "least-recently-used",
    ) -> list[Outcome]:
        """What each TTL would have done, counted from when an entry is stored: ``CachePolicy(ttl=...)``.

        Exact: after a computation that begins at t and takes d, the next is at the first access to the key at or after ``t + d + ttl``.

        Args:
            ttls: Seconds, timedeltas or texts such as ``"1h30m"``, above zero, rounded to microseconds; None never expires.
            max_entries: Room for so many entries; None, the default, for any number.
            max_bytes: Room for so many bytes, as the trace's sizes have it; a value larger than a quarter of it is not kept. None, the default, for
                any number. Where all keys do not fit at once, each TTL is played access by access, a second or so for a million.
            evict: Which entry goes where room is short: ``least-recently-used``, the default, is `InMemoryCache`; ``least-recently-stored`` is what
                `DiskCache` comes to, which looks at its size after each MiB written.

        Returns:
            One outcome for each TTL, in the order given.

        Raises:
            PolicyError: A TTL or a limit is none.
            TraceError: The trace is empty, or bytes are limited and it has no sizes.
        """
        wanted, room = [_ttl(ttl, "ttl") for ttl in ttls], Room.checked(max_entries, max_bytes, evict)
        asked, index = [_microseconds(ttl) for ttl in wanted], self._index
        if room is None or room.is_enough(self._columns):
            return self._outcomes(wanted, index.fixed(asked))
        limited = Limited(self._columns, room)
        return self._outcomes(wanted, [limited.fixed(ttl) for ttl in asked])

    def sliding(self, ttls: Iterable[Duration | None]) -> list[Outcome]:
        """What each TTL would have done if every hit began it anew, as a session's does.

        Exact: an access computes when it comes ``ttl`` or more after the access before it, and after the last computation's end. Beware: a key that
        is asked for often enough is never computed again.

        Args:
            ttls: As for `hits`.

        Returns:
            One outcome for each TTL, in the order given.

        Raises:
            PolicyError: A TTL is none.
            TraceError: The trace is empty.
        """
        wanted = [_ttl(ttl, "ttl") for ttl in ttls]
        return self._outcomes(wanted, self._index.sliding([_microseconds(ttl) for ttl in wanted]))

    def swr(self, soft: Duration, hards: Iterable[Duration | None]) -> list[RefreshOutcome]:
        """What serving while refreshing would have done: stale-while-revalidate (RFC 5861), or an eager refresh at a share of the TTL.

        Exact: calls are those of a fixed TTL of ``soft``; one blocks its caller when it is its key's first, or the entry before it is ``hard`` old.
        While a refresh runs behind, the old entry is served until it is ``hard`` old.

        Args:
            soft: Age from which an access starts a refresh behind; as a TTL of `hits`, but not None.
            hards: Ages until which an entry may be served meanwhile, at least ``soft``; None for ever. Stale-while-revalidate has ``soft`` as its
                TTL and ``hard - soft`` as its window; refreshing at 80 % of a TTL is ``swr(0.8 * ttl, [ttl])``.

        Returns:
            One outcome for each hard limit, in the order given.

        Raises:
            PolicyError: A limit is none, or a hard one is below the soft one.
            TraceError: The trace is empty.
        """
        first, wanted = positive_seconds(soft, what="soft", instead=_NO_TIME), [_ttl(hard, "hard") for hard in hards]
        for hard in wanted:
            if hard is not None and hard < first:
                raise PolicyError(f"hard={hard:g} s is below soft={first:g} s: an entry is refreshed at soft and served until hard")
        totals, found = self._index.refreshed(_whole(first), [_microseconds(hard) for hard in wanted])
        return [self._refreshing(first, hard, totals, refreshed) for hard, refreshed in zip(wanted, found, strict=True)]

    def stale(
        self,
        ttls: Iterable[Duration | None],
        sightings: Sightings,
        *,
        live_ttl: Duration | None = None,
        is_sliding: bool = False,
        seed: int = 0,
    ) -> list[Staleness]:
        """How many answers each TTL would have given that the source had changed since.

        An estimate, other than what the rest of this class says: nobody saw every change. Histories of the source that agree with all sightings are
        drawn, and the trace is played against each; where there are probes, the shares are shifted to meet what these found. The hard bounds
        beside it need no such model. Sampled keys are fine, sampled accesses are not.

        Args:
            ttls: As for `hits`.
            sightings: Of the source, on the clock of the accesses. Those that failed, or have no fingerprint, are passed over.
            live_ttl: The TTL while this was recorded, at which the probes were made. None, the default, when unknown: then probes are not used, and
                no estimate is better than grade C.
            is_sliding: Whether every hit begins the TTL anew, as for `sliding`.
            seed: Of the random numbers; the same one gives the same answers. Default 0.

        Returns:
            One for each TTL, in the order given.

        Raises:
            PolicyError: A TTL is none.
            TraceError: The trace is empty.
            HoldfastError: NumPy is not there: it comes with the extra ``tune``.

        Warns:
            UserWarning: A sliding TTL kept an answer for more than ten times as long.
        """
        wanted, live = [_ttl(ttl, "ttl") for ttl in ttls], _ttl(live_ttl, "live_ttl")
        found = self._source(sightings, seed=seed).staleness(wanted, live, is_sliding=is_sliding)
        for each in found if is_sliding else ():
            if each.ttl is not None and each.oldest is not None and each.oldest > _MUCH * each.ttl:
                warnings.warn(
                    f"a sliding TTL of {spoken(each.ttl)} gave an answer {each.oldest / each.ttl:.0f} times as old: a key that is asked for often "
                    "enough is never computed again. Use a fixed TTL, or a cap on the age beside it",
                    stacklevel=2,
                )
        return found

    def sightings(self) -> Sightings:
        """The calls of the source that the trace itself tells of.

        Returns:
            A sighting for each access with both a time of computing and a fingerprint.
        """
        from holdfast.tuning.sightings import Sighting, Sightings

        told = [each for each in self if each.compute is not None and each.fingerprint is not None]
        return Sightings(Sighting(each.key, each.time, each.compute, each.fingerprint, each.size) for each in told)

    def _source(self, sightings: Sightings, *, seed: int = 0) -> Source:
        """The trace beside what is known of its source, to ask several questions of; see `stale`."""
        index = self._index
        try:
            from holdfast.tuning._staleness import Source
            from holdfast.tuning._vector import VectorIndex
        except ImportError:
            raise HoldfastError("staleness needs NumPy, which comes with an extra: pip install 'holdfast[tune]'") from None
        fast = index if isinstance(index, VectorIndex) else VectorIndex(self._columns)
        return Source(self._columns, fast, sightings._columns, seed=seed)  # noqa: SLF001 - of this package

    def _refreshing(self, soft: float, hard: float | None, totals: Totals, refreshed: Refreshed) -> RefreshOutcome:
        gets, computed_or_waited = len(self), totals.calls + totals.coalesced
        return RefreshOutcome(
            soft=soft,
            hard=hard,
            gets=gets,
            hits=gets - computed_or_waited,
            stale_hits=refreshed.stale,
            coalesced=computed_or_waited - refreshed.blocking - refreshed.stale,
            blocking=refreshed.blocking,
            calls=totals.calls,
            compute=totals.compute / 1e6,
        )

    @cached_property
    def _index(self) -> Index:
        """With NumPy where there is one."""
        if not self._columns.times:
            raise TraceError("the trace holds no accesses, so nothing can be said of any TTL")
        try:
            from holdfast.tuning._vector import VectorIndex
        except ImportError:
            from holdfast.tuning._scalar import ScalarIndex

            return ScalarIndex(self._columns)
        return VectorIndex(self._columns)

    def _outcomes(self, ttls: list[float | None], totals: list[Totals]) -> list[Outcome]:
        gets = len(self)
        return [
            Outcome(ttl=ttl, gets=gets, hits=gets - calls - coalesced, coalesced=coalesced, calls=calls, compute=compute / 1e6)
            for ttl, (calls, coalesced, compute) in zip(ttls, totals, strict=True)
        ]


_MUCH = 10
_NO_TIME = "a cache without a time to live keeps nothing"


def _ttl(value: Duration | None, what: str) -> float | None:
    return None if value is None else positive_seconds(value, what=what, instead=_NO_TIME)


def _microseconds(ttl: float | None) -> int | None:
    return None if ttl is None else _whole(ttl)


def _whole(seconds: float) -> int:
    """Microseconds, at least one."""
    return max(1, round(seconds * 1e6))
