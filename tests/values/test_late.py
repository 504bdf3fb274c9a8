"""The codec of a function is chosen late, so that its return annotation may name what is defined below it."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast import CachePolicy, InMemoryCache, resilient


@resilient(cache_policy=CachePolicy(ttl="1h"), cache=InMemoryCache())
def forecast(city: str) -> Forecast:
    return Forecast(city, len(city))


@dataclass
class Forecast:
    city: str
    degrees: int


def test_a_class_defined_below_the_function_is_rebuilt():
    """The hit is a Forecast, equal to the one computed and not the same object."""
    computed, hit = forecast("Oslo"), forecast("Oslo")

    assert Forecast("Oslo", 4) == computed == hit
    assert hit is not computed
