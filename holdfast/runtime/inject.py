"""Parameters the runtime fills in: ``config``, ``writer``, ``store``, ``previous`` and ``runtime``, for entrypoints and tasks alike.

The rule. A parameter is injected when it has one of these names, no annotation or a fitting one, and no default or None. Any other default
is a value that its author wants to see, so the parameter is the function's own (LangGraph would replace the default). ``previous`` of an
entrypoint may have a default: nobody else could pass it, so it can only mean "when the thread has no result yet". What the caller passes
is never replaced, and counts in keys and in the journal like any other argument (`Plan.given`), unless it only hands on what was injected
into itself: the run's own config, a writer, a Runtime. Those say nothing about what is asked for, and differ from run to run.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol

from holdfast.errors import TaskContextError
from holdfast.runtime.context import here
from holdfast.runtime.handed import handed_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import TypeVar  # type checkers know it; nobody else needs it

    from holdfast.policies.plan import Plan
    from holdfast.runtime.context import Scope
    from holdfast.runtime.handed import Handed
    from holdfast.runtime.run import Run

    C = TypeVar("C", default=Any)
else:
    from typing import TypeVar

    C = TypeVar("C")


class StreamWriter(Protocol):
    """What a ``writer`` parameter is: a function that sends a value to ``stream(stream_mode="custom")``."""

    def __call__(self, value: Any, /) -> None:
        """Send a value.

        Args:
            value: Anything; it is what the reader of the stream gets.
        """
        ...


_ANNOTATIONS = {
    "config": ("RunnableConfig", "Config", "dict"),
    "writer": ("StreamWriter", "Callable"),
    "store": ("BaseStore",),
    "previous": (),
    "runtime": ("Runtime",),
}
"""The names, and what they must be annotated with, if with anything but Any, to be taken for ours; ``previous`` may have any type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime(Generic[C]):
    """What a body can know about the run it is in; injected into a parameter named ``runtime``.

    Attributes:
        run_id: UUIDv7 of the run.
        thread_id: The run's thread.
        context: What the caller passed as ``context=``.
        store: What the entrypoint was given as ``store=``.
        stream_writer: Sends a value to ``stream(stream_mode="custom")``.
        previous: What the thread's last run returned, None without one.
    """

    run_id: str
    thread_id: str
    context: C
    store: Any
    stream_writer: StreamWriter
    previous: Any


def injected_parameters(fn: Callable[..., Any], *, is_entrypoint: bool = False) -> tuple[str, ...]:
    """The parameters of ``fn`` that the runtime fills when the caller does not."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):  # a builtin without a signature
        return ()
    wanted = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(p.name for p in parameters if p.kind in wanted and p.name in _ANNOTATIONS and _is_ours(p, is_entrypoint=is_entrypoint))


def _is_ours(parameter: inspect.Parameter, *, is_entrypoint: bool) -> bool:
    has_value = parameter.default is not parameter.empty and parameter.default is not None
    if has_value and not (is_entrypoint and parameter.name == "previous"):
        return False
    if parameter.annotation is parameter.empty or parameter.name == "previous":
        return True
    return _head(parameter.annotation) in {*_ANNOTATIONS[parameter.name], "Any", "object"}


def _head(annotation: Any) -> str:
    """The name of an annotated class, without module and parameters; of ``X | None`` and ``Optional[X]`` that of ``X``."""
    text = annotation if isinstance(annotation, str) else annotation.__name__ if isinstance(annotation, type) else str(annotation)
    text = re.sub(r"^([\w.]*\.)?(Optional|Union)\[", "", text.strip())
    first = next((part for part in re.split(r"[|,]", text) if part.strip() not in {"None", "NoneType"}), "")
    return first.split("[")[0].strip(" ]").rsplit(".", 1)[-1]


def left_empty(plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Plan, dict[str, Any]]:
    """Outside a run, for a key: the plan of this call, and its ``kwargs`` with None for what a run would fill, as that does not count."""
    passed = plan.passing(args, kwargs)
    left = {name: None for name in plan.injected if name not in passed}
    return plan.given(_own(passed, None)), {**left, **kwargs}


def fill(
    plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any], run: Run, handed: Handed | Run | None = None
) -> tuple[Plan, dict[str, Any]]:
    """The plan of this call, and its ``kwargs`` with the injected parameters that the caller left out; ``handed`` is what they get, None: the run's."""
    handed = run if handed is None else handed
    passed = plan.passing(args, kwargs)
    filled = dict(kwargs)
    for name in plan.injected:
        if name in passed:
            continue
        if name == "previous" and handed.previous is None:
            if name in plan.required:
                filled[name] = None
            continue  # a default of the function's own is kept
        filled[name] = _value(name, run, handed)
    return plan.given(_own(passed, handed)), filled


def _own(passed: dict[str, Any], handed: Handed | Run | None) -> frozenset[str]:
    """The parameters that got a value of the caller's own."""
    config = None if handed is None else handed.config
    return frozenset(
        name for name, value in passed.items() if not (isinstance(value, (Runtime, _Writer)) or (name == "config" and value is config))
    )


def _value(name: str, run: Run, handed: Handed | Run) -> Any:
    if name == "config":
        return handed.config
    if name == "writer":
        return writer_of(run)
    if name == "store":
        return handed.store
    if name == "previous":
        return handed.previous
    return Runtime(
        run_id=run.facts.run_id,
        thread_id=run.facts.thread_id,
        context=handed.context,
        store=handed.store,
        stream_writer=writer_of(run),
        previous=handed.previous,
    )


def writer_of(run: Run) -> StreamWriter:
    """Sends a value to the run's ``custom`` stream; does nothing when nobody streams."""
    return _Writer(run)


@dataclass(frozen=True, slots=True, eq=False)
class _Writer:
    run: Run

    def __call__(self, value: Any, /) -> None:
        self.run.tell(value)


def get_stream_writer() -> StreamWriter:
    """A function that sends a value to whoever reads ``stream(stream_mode="custom")``; it does nothing when nobody does.

    Raises:
        TaskContextError: Called outside a run.
    """
    return writer_of(_scope("get_stream_writer").run)


def get_config() -> dict[str, Any]:
    """The configuration of the current run: ``configurable`` with ``thread_id`` and ``run_id``, and what the caller passed.

    Raises:
        TaskContextError: Called outside a run.
    """
    return handed_in(_scope("get_config")).config


def _scope(what: str) -> Scope:
    scope = here()
    if scope is None:
        msg = f"{what}() was called outside a run; call it in an @entrypoint or a @task while it runs"
        raise TaskContextError(msg)
    return scope
