"""The Plan: everything the decorator knows about one task, decided once and frozen.

The order of a call is fixed and is the order of the fields in `Plan.__repr__`:
replay, cache, single-flight, deadline, retry, timeout, function.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from holdfast.policies.duration import spoken
from holdfast.values.seldom import Seldom

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.policies.cache import CachePolicy
    from holdfast.policies.retry import RetryPolicy
    from holdfast.typing import CacheKey, Codec


USE, BYPASS, REFRESH = CACHE_MODES = ("use", "bypass", "refresh")
"""What calls do with their cache: look into it and store; neither of them; only store."""


class Keys(Protocol):
    """Makes cache keys from the arguments of a call; `holdfast.cache.keys.KeyMaker` is the one there is."""

    @property
    def namespace(self) -> str:
        """Whose values the keys name."""
        ...

    def make(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CacheKey:
        """Make the key, or raise NotKeyable naming the parameter."""
        ...

    def counting(self, names: frozenset[str]) -> Keys:
        """The same, for calls that pass these injected parameters themselves: then they count."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What one task does, in order. Made by the decorators; shown by ``task.plan``.

    Attributes:
        fn: The user's function, never changed.
        name: Name in traces, journals and errors.
        function: Module and qualified name.
        is_async: True for ``async def``.
        names: Parameter names, in order; ``bind`` returns one value for each.
        bind: Turns arguments into values with defaults filled, or raises the caller's TypeError.
        injected: Parameters that the runtime fills when the caller does not.
        required: Parameters without a default.
        positional: How many of the parameters, from the first, an argument without a name can reach; None: all.
        retry: Policies in order; the first that applies to a failure decides.
        cache: The cache policy, or None.
        cache_mode: One of `CACHE_MODES`.
        keys: Makes the keys; None without a cache policy.
        codec: Encodes results for the cache and the journal.
        timeout: Seconds for one attempt, or None.
        deadline: Seconds for all attempts and waits together, or None.
        capture: What traces may hold of arguments and result: ``none``, ``shape``, ``values``, or empty for what tracing is set to.
        is_node: True for a node of a state graph, whose steps are named by their place in the graph's run alone, not by arguments.
        is_graph: True for the body of a state graph.
        secrets: Marked parameters, and ``return`` for the result: what observers must not see (`holdfast.values.marks`).
        is_once: True for a task that may run at most once: one that was under way when its process died is not run again.
        kind: ``internal`` or ``client`` (a call to another service).
        max_attempts: The most attempts a call can make; None when only a deadline or a stop strategy bounds it.
        checks_result: True when a returned value can also count as a failure.
        shows_errors: True when a function that came with a retry policy may look at failures.
        unshown: Parameters that no trace shows: those the runtime fills in, and those the cache key leaves out, such as clients.
        is_plain: True when a call that succeeds at once needs nothing but the function.
        seldom: Which of its troubles with the cache were said just now.
    """

    fn: Callable[..., Any]
    name: str
    function: str
    is_async: bool
    names: tuple[str, ...]
    bind: Callable[..., tuple[Any, ...]]
    injected: tuple[str, ...] = ()
    required: frozenset[str] = frozenset()
    positional: int | None = None
    retry: tuple[RetryPolicy, ...] = ()
    cache: CachePolicy | None = None
    cache_mode: str = USE
    keys: Keys | None = None
    codec: Codec | None = None
    timeout: float | None = None
    deadline: float | None = None
    capture: str = ""
    kind: str = "internal"
    is_once: bool = False
    is_node: bool = False
    is_graph: bool = False
    secrets: frozenset[str] = frozenset()

    max_attempts: int | None = field(init=False)
    checks_result: bool = field(init=False)
    shows_errors: bool = field(init=False)
    unshown: frozenset[str] = field(init=False)
    is_plain: bool = field(init=False)
    seldom: Seldom = field(init=False, repr=False, compare=False, default_factory=Seldom)
    _variants: dict[frozenset[str], Plan] = field(init=False, repr=False, compare=False, default_factory=dict["frozenset[str]", "Plan"])

    def __post_init__(self) -> None:
        """Work out, once, what every call asks for."""
        checks_result = any(policy.checks_result for policy in self.retry)
        ignored = () if self.cache is None else self.cache.ignore
        derived = {
            "max_attempts": _most_attempts(self.retry),
            "checks_result": checks_result,
            "shows_errors": any(policy.shows_errors for policy in self.retry),
            "unshown": frozenset((*self.injected, *ignored)),
            "is_plain": self.cache is None and self.timeout is None and self.deadline is None and not checks_result and not self.secrets,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def replace(self, **changes: Any) -> Plan:
        """The same plan with some fields changed."""
        return replace(self, **changes)

    def passing(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Which of the injected parameters a call with these arguments fills itself, and with what."""
        positions = dict(zip(self.names[: self.positional], args, strict=False))
        return {name: each[name] for name in self.injected for each in (positions, kwargs) if name in each}

    def given(self, names: frozenset[str]) -> Plan:
        """The plan for calls that fill these injected parameters themselves; they are then parameters like any other.

        They count in the cache key and in the journal, and traces show them.
        """
        if not names:
            return self
        variant = self._variants.get(names)
        if variant is None:
            left = tuple(name for name in self.injected if name not in names)
            variant = self.replace(injected=left, keys=None if self.keys is None else self.keys.counting(names))
            self._variants[names] = variant
        return variant

    def __repr__(self) -> str:
        """The pipeline of one call in reading order, outermost first."""
        parts: list[str] = ["at most once"] if self.is_once else []
        if self.cache is not None:
            mode = "" if self.cache_mode == USE else f" ({self.cache_mode})"
            parts += [f"{self.cache!r}{mode}", "single-flight"]
        if self.deadline is not None:
            parts.append(f"deadline {spoken(self.deadline)}")
        parts += [repr(policy) for policy in self.retry]
        if self.timeout is not None:
            parts.append(f"timeout {spoken(self.timeout)} per attempt")
        parts.append(f"{'async ' if self.is_async else ''}{self.function}")
        return f"<Plan of {self.name}: {' -> '.join(parts)}>"


def _most_attempts(policies: tuple[RetryPolicy, ...]) -> int | None:
    total = 1
    for policy in policies:
        if policy.max_attempts is None:
            return None
        total += policy.max_attempts - 1
    return total
