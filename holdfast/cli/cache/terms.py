"""By which ttl the entries of a cache are judged, as far as its folder tells: overrides, and what was recorded of the tasks' policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.cache.misses import kept_for
from holdfast.cli.cache import place
from holdfast.errors import HoldfastError
from holdfast.overrides import Overrides
from holdfast.recording.hashes import Hasher
from holdfast.values.secret import load_secret

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.cache.info import EntryInfo
    from holdfast.overrides import Override
    from holdfast.recording.store import Reader
    from holdfast.typing import CacheKey


class Terms(NamedTuple):
    """What an entry is judged by.

    Attributes:
        ttl: Seconds; None for ever.
        windows: Seconds past the ttl of ``stale_while_revalidate`` and of ``stale_if_error``.
    """

    ttl: float | None
    windows: tuple[float, float]

    def state(self, age: float) -> str:
        """``fresh``, ``stale`` (served while a call behind renews it), ``stale_if_error`` (served if computing fails) or ``expired``."""
        return kept_for(age, self.ttl, self.windows) or "fresh"


class InForce:
    """The terms of all tasks of a cache, read once.

    Args:
        folder: The cache's.
    """

    def __init__(self, folder: Path) -> None:
        overrides = Overrides(folder)
        try:
            self._overrides = {each.task: each for each in overrides.current()}
        except HoldfastError:  # it only helps
            self._overrides = {}
        finally:
            overrides.close()
        self._recorded = place.recorded(folder, _recorded, dict[str, Terms]())

    def of(self, info: EntryInfo) -> Terms:
        """By which an entry is judged. Where nothing is recorded of its task, or it was stored for less: by what it was stored with, windows included."""
        terms = self._recorded.get(place.task_of(info.key.namespace))
        override = self.override(info.key)
        if override is not None:
            terms = Terms(override.ttl, (0.0, 0.0) if terms is None else terms.windows)
        if terms is None or (info.ttl is not None and (terms.ttl is None or info.ttl < terms.ttl)):
            return Terms(info.ttl, (0.0, 0.0))
        return terms

    def override(self, key: CacheKey) -> Override | None:
        """What is in force for a key beside the policy in the code."""
        found = self._overrides.get(place.task_of(key.namespace))
        return found if found is not None and found.covers(0 if found.share >= 1 else Hasher(load_secret()).hash_of(key)) else None


def _recorded(reader: Reader) -> dict[str, Terms]:
    found = {task: reader.policy(task) for task in reader.tasks()}
    return {task: Terms(policy[0], reader.windows(task)) for task, policy in found.items() if policy is not None}
