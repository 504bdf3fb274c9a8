"""A cached function under all options at once, against a model of a few lines: what it returns, and how often its source is asked."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from holdfast import CachePolicy, InMemoryCache, get_cache_entry, resilient
from holdfast.runtime import behind
from holdfast.testing import FakeClock
from tests.waiting import until

TTL, STALE, NEED, THROTTLE, NEGATIVE = 10, 5, 20, 4, 6
AHEAD = 0.8


class Cached(RuleBasedStateMachine):
    """One key. Refreshes behind the caller are waited for after each step, so that the model needs no threads."""

    @initialize(stale=st.booleans(), need=st.booleans(), ahead=st.booleans(), negative=st.booleans())
    def begin(self, stale: bool, need: bool, ahead: bool, negative: bool) -> None:
        self.clock = FakeClock(auto=False)
        self.clock.__enter__()
        options: dict[str, Any] = {"ttl": TTL, "version": "1"}
        options |= {"stale_while_revalidate": STALE} if stale else {}
        options |= {"stale_if_error": NEED} if need else {}
        options |= {"refresh_ahead": AHEAD} if ahead else {}
        options |= {"negative_ttl": NEGATIVE} if negative else {}
        options |= {"fail_safe_throttle": THROTTLE} if stale or need or ahead else {}
        self.stale, self.need = STALE * stale, NEED * need
        self.ahead, self.negative = AHEAD * TTL if ahead else TTL, NEGATIVE * negative
        self.is_down, self.asked, self.own = False, 0, 0
        self.fetch = resilient(cache=InMemoryCache(), retry_policy=[], cache_policy=CachePolicy(**options))(self.body())
        self.value: tuple[int, float] | None = None  # and when it was stored
        self.failed_at: float | None = None  # remembered in its place
        self.held_until = -1.0
        self.count = 0

    def body(self) -> Any:
        def fetch() -> int:
            self.asked += 1
            if self.is_down:
                raise ConnectionError(str(self.asked))
            get_cache_entry().etag = str(self.asked)
            return self.asked

        return fetch

    def teardown(self) -> None:
        if hasattr(self, "clock"):
            self.clock.__exit__(None, None, None)

    @rule(
        seconds=st.sampled_from([0, 1, 3, 5, 8, 11, 16, 25]),
        is_down=st.booleans(),
        mode=st.sampled_from(["use", "use", "use", "use", "refresh", "bypass"]),
    )
    def call(self, seconds: float, is_down: bool, mode: str) -> None:
        self.clock.advance(seconds)
        self.is_down = is_down
        expected = self.model(mode)
        assert expected == self.outcome(self.fetch if mode == "use" else self.fetch.options(cache=mode))

    @precondition(lambda self: self.value is not None)
    @rule()
    def forget(self) -> None:
        self.fetch.forget()
        self.value = self.failed_at = None

    @invariant()
    def asked_as_often_as_the_model(self) -> None:
        if hasattr(self, "count"):
            assert self.count == self.asked

    def outcome(self, function: Any) -> Any:
        try:
            found = function()
        except ConnectionError:
            found = "down"
        until(lambda: not behind._under_way)
        return found

    # -- the model ------------------------------------------------------------------------------------------------------------------

    def model(self, mode: str) -> Any:
        """What the call returns; ``"down"`` for a failure."""
        now = self.clock.now
        if mode == "bypass":
            return self.ask()
        if mode == "refresh":
            return self.compute(now, falls_back=False)
        if self.failed_at is not None:
            return "down" if self.negative and now - self.failed_at < self.negative else self.compute(now)
        if self.value is None:
            return self.compute(now)
        served, age = self.value[0], now - self.value[1]
        is_held = now < self.held_until
        if age < self.ahead:
            return served
        if age < max(TTL, TTL + self.stale):
            if not is_held:
                self.refresh(now)
            return served
        if age < TTL + self.need and is_held:
            return served
        return self.compute(now)

    def ask(self) -> Any:
        self.count += 1
        return "down" if self.is_down else self.count

    def store(self, value: int, now: float) -> None:
        self.value, self.failed_at, self.held_until = (value, now), None, -1.0

    def refresh(self, now: float) -> None:
        found = self.ask()
        if found == "down":
            self.held_until = now + THROTTLE
        else:
            self.store(found, now)

    def compute(self, now: float, *, falls_back: bool = True) -> Any:
        found = self.ask()
        if found != "down":
            self.store(found, now)
            return found
        age = now - self.value[1] if self.value is not None and self.failed_at is None else None
        if age is not None and falls_back and TTL + self.stale <= age < TTL + self.need:
            self.held_until = now + THROTTLE
            return self.value[0] if self.value else None
        is_usable = age is not None and age < TTL + max(self.stale, self.need)
        if self.negative and not is_usable:
            self.value, self.failed_at = None, now
        return found


Cached.TestCase.settings = settings(max_examples=60, stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow])
TestCached = Cached.TestCase
TestCached.__doc__ = "All options at once, in any order of events."
