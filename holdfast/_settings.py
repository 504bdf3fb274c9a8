"""What an entrypoint was given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from holdfast.cache.default import default_cache

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.policies.plan import Plan
    from holdfast.typing import Cache, Checkpointer


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What ``@entrypoint`` was given; see `holdfast.entrypoint` for each field. ``single`` is the task whose single call the run is, if it is."""

    plan: Plan
    checkpointer: Checkpointer | None = None
    store: Any = None
    cache: Cache | None = None
    context_schema: type | None = None
    max_concurrency: int | None = None
    durability: str = "sync"
    on_divergence: str = "raise"
    single: Plan | None = None
    opener: Callable[..., Any] | None = None
    """Opens its journals, in place of `holdfast._journals.Opener`: a state graph has more to go back to than runs."""

    @property
    def function(self) -> Callable[..., Any]:
        """The user's function, as it was."""
        return getattr(self.plan.fn, "__wrapped__", self.plan.fn)

    def open_cache(self) -> Cache:
        """The cache given, else the default one."""
        return default_cache() if self.cache is None else self.cache
