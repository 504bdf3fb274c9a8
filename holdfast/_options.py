"""Says in words which option a call got wrong, where Python's own text would name our ``__init__`` and count its parameters."""

from __future__ import annotations

import inspect
import reprlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

CLOSE = 0.55
"""How alike two names have to be, as `difflib` measures it: its usual 0.6 does not lead from ``retry`` to ``retry_policy``."""

_OTHER_NAMES = {
    "max_attempts": "retries attempts tries max_retries max_tries num_retries stop_after_attempt times count",
    "initial_interval": "delay interval sleep initial_delay base_delay min_delay wait_time initial base",
    "backoff_factor": "backoff factor multiplier exponent exp_base backoff_multiplier rate",
    "max_interval": "max_delay max_wait max_backoff cap",
    "retry_on": "exceptions exception errors on catch retry_if retry_exceptions retry_on_exception autoretry_for expected_exception",
    "before_retry": "before_sleep on_retry on_backoff",
    "deadline": "timeout total_timeout max_time max_duration max_elapsed stop_after_delay total",
    "timeout": "time_limit attempt_timeout run_timeout",
    "ttl": "expire expires expiry expire_after expires_in ttl_seconds ttl_s timeout max_age lifetime seconds",
    "key_func": "key key_fn key_function key_builder make_key cache_key",
    "ignore": "exclude ignore_args skip",
    "cache_if": "condition when store_if unless",
    "retry_policy": "retry retries policy",
    "max_entries": "maxsize max_size size",
    "size_limit": "maxsize max_size max_bytes",
    "path": "folder directory dir file",
}
"""What other libraries call an option of ours."""
_POLICIES = {
    "retry_policy=RetryPolicy": (
        "max_attempts",
        "initial_interval",
        "backoff_factor",
        "max_interval",
        "jitter",
        "retry_on",
        "before_retry",
    ),
    "cache_policy=CachePolicy": ("ttl", "key_func", "ignore", "version", "cache_if", "negative_ttl", "tags"),
    "cache=DiskCache": ("size_limit",),
}
"""Options that are not a decorator's own, and where they belong."""
_ELSEWHERE = {
    "durability": "write @entrypoint(durability=...)",
    "on_divergence": "write @entrypoint(on_divergence=...)",
    "cache": "write @entrypoint(cache=...)",
    "store": "write @entrypoint(store=...)",
    "checkpointer": "write @entrypoint(checkpointer=...)",
    "stream_mode": "write stream(..., stream_mode=...)",
    "max_concurrency": "write config={'max_concurrency': ...}, or @entrypoint(max_concurrency=...)",
    "checkpoint_id": "write config={'configurable': {'thread_id': ..., 'checkpoint_id': ...}}",
    "configurable": "write config={'configurable': ...}",
    "resume": "write Command(resume=...) in place of the input",
    "interrupt_before": "ask in the body: interrupt(...)",
    "interrupt_after": "ask in the body: interrupt(...)",
}
"""What is asked of an entrypoint's methods, as in LangGraph, and belongs elsewhere."""
_OF_RUNS = {
    "cache": "did you mean 'cache_policy'? Where its results are kept is the run's: write @entrypoint(cache=...)",
    "checkpointer": "what a task has done is kept by its run: write @entrypoint(checkpointer=...)",
}
"""What is asked of a task, and belongs to the run that it is a part of."""
_OF_ATTEMPTS = {
    "idle_timeout": "an attempt is limited as a whole: write TimeoutPolicy(run_timeout=...)",
    "refresh_on": "an attempt is limited as a whole: write TimeoutPolicy(run_timeout=...)",
}
"""What LangGraph's `TimeoutPolicy` has beside the limit of an attempt."""
_PLAIN = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}


def misfit(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str | None:
    """What is wrong with the options of a call that Python refused before it entered ``fn``.

    Args:
        fn: A function or method of the public API.
        args: What it was given by position, its ``self`` included.
        kwargs: What it was given by name.

    Returns:
        A text that names the first unknown option, or a value given without a name, and the fix; None where Python's own text serves.
    """
    parameters = dict(inspect.signature(fn).parameters)
    if parameters.pop("self", None) is not None:
        args = args[1:]
    named = [name for name, each in parameters.items() if each.kind is not each.POSITIONAL_ONLY]
    subject = fn.__qualname__.removesuffix(".__init__")
    if args and isinstance(args[0], str) and subject.endswith(".purge"):
        return f"{subject} forgets the results of all calls: for those of one call write {subject.removesuffix('purge')}forget(...)"
    if not named or not {each.kind for each in parameters.values()} <= _PLAIN:
        return None
    unknown = next((name for name in kwargs if name not in named), None)
    if unknown is not None:
        return _unknown(subject, unknown, named)
    by_name = [name for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY]
    return _nameless(subject, args, by_name) if by_name and len(args) > len(parameters) - len(by_name) else None


def _unknown(subject: str, name: str, names: list[str]) -> str:
    elsewhere = _ELSEWHERE if subject.startswith("Entrypoint.") else {"task": _OF_RUNS, "TimeoutPolicy": _OF_ATTEMPTS}.get(subject, {})
    return f"{subject} has no option {name!r}: {elsewhere.get(name) or _ours(name, names) or _inside(name, names) or _alike(name, names)}"


def _ours(name: str, names: list[str]) -> str | None:
    meant = next((ours for ours in _meanings(name) if ours in names), None)
    if meant is None:
        return None
    return f"did you mean {meant!r}" + (", which counts the first attempt, too?" if "retries" in name and meant == "max_attempts" else "?")


def _inside(name: str, names: list[str]) -> str | None:
    """Where in the options there are the one that is meant would stand."""
    for place, options in _POLICIES.items():
        meant = next((ours for ours in (name, *_meanings(name)) if ours in options), None)
        if meant is not None and place.partition("=")[0] in names:
            return f"write {place}({meant}=...)"
    return None


def _meanings(name: str) -> list[str]:
    return [ours for ours, others in _OTHER_NAMES.items() if name.lower() in others.split()]


def _alike(name: str, names: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, names, n=1, cutoff=CLOSE)
    return f"did you mean {close[0]!r}?" if close else f"it takes {', '.join(names)}"


def _nameless(subject: str, args: tuple[Any, ...], names: list[str]) -> str:
    """Of a single value we guess that it is the first option: that is why ``max_attempts`` is the first of `RetryPolicy`."""
    said = f"{subject} takes options by name, not by position"
    if len(args) == 1:
        others = f", or say which other it is: {', '.join(names[1:])}" if names[1:] else ""
        return f"{said}: write {subject}({names[0]}={reprlib.repr(args[0])}){others}"
    return f"{said}: {', '.join(names)}"
