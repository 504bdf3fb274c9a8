"""What a decorated function offers about its cached results: keys, explanations, purging."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from holdfast.cache.default import check_cache, default_cache
from holdfast.errors import PolicyError
from holdfast.runtime.inject import left_empty
from holdfast.runtime.witness import in_force

if TYPE_CHECKING:
    from holdfast.cache.explanation import KeyExplanation
    from holdfast.cache.keys import KeyMaker
    from holdfast.cache.misses import MissExplanation
    from holdfast.policies.plan import Plan
    from holdfast.typing import Cache, CacheKey


def given_or_default(cache: Cache | None) -> Cache:
    """The cache given, else the default one, opened now."""
    return default_cache() if cache is None else cache


def key_maker(plan: Plan) -> KeyMaker:
    """The plan's key maker.

    Raises:
        PolicyError: It has no cache policy, and so no keys.
    """
    if plan.keys is None:
        msg = f"{plan.name} has no cache_policy, so it has no cache keys: add cache_policy=CachePolicy(ttl='1h')"
        raise PolicyError(msg)
    return cast("KeyMaker", plan.keys)


def key_of(plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CacheKey:
    """The key of a call; raises what `KeyMaker.make` raises."""
    plan, kwargs = left_empty(plan, args, kwargs)
    return key_maker(plan).make(args, kwargs)


def explanation_of(plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> KeyExplanation:
    """What that key is made of."""
    plan, kwargs = left_empty(plan, args, kwargs)
    return key_maker(plan).explain(args, kwargs)


def why_missed(plan: Plan, cache: Cache, args: tuple[Any, ...], kwargs: dict[str, Any]) -> MissExplanation:
    """Why a call finds nothing in a cache.

    Raises:
        PolicyError: The cache keeps no record of that.
    """
    from holdfast.cache.disk import DiskCache  # loaded with the first cache, not with this package

    if not isinstance(cache, DiskCache):
        msg = f"{type(cache).__name__} does not keep in mind why its entries went: a DiskCache does"
        raise PolicyError(msg)
    plan, kwargs = left_empty(plan, args, kwargs)
    maker = key_maker(plan)
    key = maker.make(args, kwargs)
    policy = None if plan.cache is None else in_force(plan.cache, cache, key)
    ttl, windows = (None, (0.0, 0.0)) if policy is None else (policy.ttl, policy.windows)
    return cache.why_miss(key, ttl=ttl, parts=maker.digests(args, kwargs), windows=windows)


def purge_all(plan: Plan, cache: Cache | None) -> int:
    """Forget every version of a plan's cached results; return how many there were."""
    check_cache(cache)
    namespace = key_maker(plan).namespace.rsplit("@", 1)[0] + "@*"
    return given_or_default(cache).purge(namespace=namespace)
