"""Parameters the runtime fills in: ``config``, ``writer``, ``store``, ``previous`` and ``runtime``, for entrypoints and tasks alike."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from holdfast.errors import TaskContextError
from holdfast.runtime.context import current

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.policies.plan import Plan
    from holdfast.runtime.run import Run


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
class Runtime:
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
    context: Any
    store: Any
    stream_writer: StreamWriter
    previous: Any


def injected_parameters(fn: Callable[..., Any]) -> tuple[str, ...]:
    """The parameters of ``fn`` that the runtime fills when the caller does not."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):  # a builtin without a signature
        return ()
    wanted = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(p.name for p in parameters if p.kind in wanted and p.name in _ANNOTATIONS and _is_ours(p))


def _is_ours(parameter: inspect.Parameter) -> bool:
    annotation = parameter.annotation
    if annotation is inspect.Parameter.empty or parameter.name == "previous":
        return True
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    head = text.split("[")[0].split("|")[0].strip().rsplit(".", 1)[-1]
    return head in _ANNOTATIONS[parameter.name] or head in {"Any", "object"}


def fill(plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any], run: Run) -> dict[str, Any]:
    """``kwargs`` with the injected parameters that the caller left out."""
    given = set(plan.names[: len(args)])
    filled = dict(kwargs)
    for name in plan.injected:
        if name in given or name in filled:
            continue
        if name == "previous" and run.previous is None:
            if name in plan.required:
                filled[name] = None
            continue  # a default of the function's own is kept
        filled[name] = _value(name, run)
    return filled


def _value(name: str, run: Run) -> Any:
    if name == "config":
        return run.config
    if name == "writer":
        return writer_of(run)
    if name == "store":
        return run.store
    if name == "previous":
        return run.previous
    return Runtime(
        run_id=run.facts.run_id,
        thread_id=run.facts.thread_id,
        context=run.context,
        store=run.store,
        stream_writer=writer_of(run),
        previous=run.previous,
    )


def writer_of(run: Run) -> StreamWriter:
    """Sends a value to the run's ``custom`` stream; does nothing when nobody streams."""

    def write(value: Any) -> None:
        if run.sink is not None:
            run.sink("custom", value)

    return write


def get_stream_writer() -> StreamWriter:
    """A function that sends a value to whoever reads ``stream(stream_mode="custom")``; it does nothing when nobody does.

    Raises:
        TaskContextError: Called outside a run.
    """
    return writer_of(_run("get_stream_writer"))


def get_config() -> dict[str, Any]:
    """The configuration of the current run: ``configurable`` with ``thread_id`` and ``run_id``, and what the caller passed.

    Raises:
        TaskContextError: Called outside a run.
    """
    return _run("get_config").config


def _run(what: str) -> Run:
    scope = current.get()
    if scope is None:
        msg = f"{what}() was called outside a run; call it in an @entrypoint or a @task while it runs"
        raise TaskContextError(msg)
    return scope.run
