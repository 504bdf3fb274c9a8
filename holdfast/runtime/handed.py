"""What bodies are handed: config, context, store, the thread's previous value, the cache.

A run hands out its own. An entrypoint or graph that is invoked inside a run hands on what it was handed there, with what its caller said
on top: the ``context`` of the run around it, unless there is one for it, and so on. Only ``previous`` is a thread's, and is not handed on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from holdfast.runtime.context import here

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.runtime.context import Scope
    from holdfast.runtime.run import Run
    from holdfast.typing import Cache


@dataclass(slots=True, kw_only=True, eq=False)
class Handed:
    """What the bodies in an entrypoint get that is a step of another one's run; a `Run` has the same for its own.

    Attributes:
        config: What `get_config` returns.
        context: Handed through to ``runtime.context``.
        store: Handed through to ``store`` parameters.
        previous: None: it has no thread of its own.
        cache: Opens the cache that tasks with a cache policy use.
    """

    config: dict[str, Any]
    context: Any
    store: Any
    cache: Callable[[], Cache]
    previous: Any = None


def handed_in(scope: Scope) -> Handed | Run:
    """What bodies are handed in a scope."""
    handed = scope.call.handed
    return scope.run if handed is None else handed


def around_here() -> Handed | Run | None:
    """What bodies are handed where this is called; None outside a run, and after its end."""
    scope = here()
    return None if scope is None or scope.run.is_over else handed_in(scope)


def inner_config(around: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """A config for what is invoked inside a run: the run's, with what is given on top, key by key; a limit or an id that it was begun with is its own."""
    own: dict[str, Any] = given.get("configurable") or {}
    known: dict[str, Any] = around.get("configurable") or {}
    configurable = {**known, **own}
    if "checkpoint_id" not in own:
        configurable.pop("checkpoint_id", None)
    config = {**around, **given, "configurable": configurable}
    for name in ("run_id", "max_concurrency"):
        if name in config and name not in given:
            del config[name]
    return config
