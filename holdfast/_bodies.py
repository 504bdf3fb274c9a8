"""What stands between an entrypoint's function and the runtime: checks, awaited results, and entrypoints inside runs."""

from __future__ import annotations

import functools
from concurrent.futures import CancelledError, wait
from os import PathLike
from typing import TYPE_CHECKING, Any

from holdfast._frames import trims
from holdfast._journals import NO_INPUT
from holdfast._lookalikes import langgraphs
from holdfast._plans import build_plan
from holdfast._runs import address, handed_on, plain_input
from holdfast._settings import Settings
from holdfast.cache.default import check_cache
from holdfast.errors import PolicyError, RunInterrupted
from holdfast.runtime import _ports, steps
from holdfast.runtime.context import here, scope_for
from holdfast.runtime.ending import result_of
from holdfast.runtime.handed import handed_in
from holdfast.runtime.loops import running_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast._runs import Config, Options
    from holdfast.policies.plan import Plan
    from holdfast.runtime.context import Scope
    from holdfast.runtime.future import TaskFuture


@trims
def check_stores(checkpointer: Any, cache: Any) -> None:
    if isinstance(checkpointer, type):
        example = "SqliteSaver('runs.db')" if checkpointer.__name__ == "SqliteSaver" else f"{checkpointer.__name__}()"
        msg = f"checkpointer={checkpointer.__name__} is the class: give an object of it, e.g. {example}"
        raise PolicyError(msg)
    if checkpointer is not None and not (hasattr(checkpointer, "claim") and hasattr(checkpointer, "commit")):
        saver = f"SqliteSaver({str(checkpointer)!r})" if isinstance(checkpointer, (str, PathLike)) else "InMemorySaver()"  # pyright: ignore[reportUnknownArgumentType]
        theirs = langgraphs(type(checkpointer))  # pyright: ignore[reportUnknownArgumentType]
        how = f"it is {theirs}" if theirs else f"give a checkpointer, e.g. {saver}, and other settings by name, e.g. @entrypoint(name='x')"
        msg = f"checkpointer={checkpointer!r}: {how}"
        raise PolicyError(msg)
    check_cache(cache)


def check_parameters(plan: Plan) -> None:
    own = [name for name in plan.names if name not in plan.injected]
    if own[:1] in (["self"], ["cls"]):
        msg = f"entrypoint {plan.name} is a method, and an entrypoint is invoked on no object: make it a function, and its steps methods"
        raise PolicyError(msg)
    if len([name for name in own if name in plan.required]) > 1:
        msg = f"entrypoint {plan.name} takes one input and has {len(own)} parameters ({', '.join(own)}): pass a dict or a dataclass"
        raise PolicyError(msg)


def resolving(plan: Plan) -> Callable[..., Any]:
    """The body, with a future or other awaitable that it returns awaited before anything is saved."""
    fn = plan.fn

    @functools.wraps(fn)
    async def body_async(*args: Any, **kwargs: Any) -> Any:
        return await _ports.resolve_async(await fn(*args, **kwargs))

    @functools.wraps(fn)
    def body_sync(*args: Any, **kwargs: Any) -> Any:
        return _ports.resolve_sync(fn(*args, **kwargs))

    return body_async if plan.is_async else body_sync


def single_settings(plan: Plan) -> Settings:
    """The settings of an entrypoint whose body is one call of ``plan``: what ``task.invoke`` runs."""

    def sync_body(arguments: Any) -> Any:
        return steps.submit(scope_for(plan.name), plan, arguments[0], arguments[1]).result()

    async def async_body(arguments: Any) -> Any:
        return await steps.submit(scope_for(plan.name), plan, arguments[0], arguments[1])

    body = async_body if plan.is_async else sync_body
    outer = build_plan(body, decorator="task", name=plan.name, capture=plan.capture, inject=False)
    names = tuple(name for name in plan.names if name not in plan.unshown)
    return Settings(
        plan=outer.replace(function=plan.function, codec=plan.codec, names=names, bind=_shown_values(plan), secrets=plan.secrets),
        single=plan,
    )


def _shown_values(plan: Plan) -> Callable[[Any], tuple[Any, ...]]:
    """Binds the input of a single call to what traces may show of it: the run's span then shows what the task's own does, and no more."""
    shown = [position for position, name in enumerate(plan.names) if name not in plan.unshown]

    def bind(arguments: Any) -> tuple[Any, ...]:
        args, kwargs = arguments
        given = plan.names[: len(args)]
        unfilled = {name: None for name in plan.injected if name not in given}
        try:
            values = plan.bind(*args, **{**unfilled, **kwargs})
        except TypeError:  # a wrong call: its submission is about to say so
            return ()
        return tuple(values[position] for position in shown)

    return bind


def around(options: Options) -> Scope | None:
    """The scope of which an entrypoint invoked here becomes a step: that of a run with a checkpointer, when no thread of its own is named.

    So its tasks are journaled with the run around it, its questions are that run's, and neither is done twice.
    """
    scope = here()
    if scope is None or scope.run.journal is None or scope.run.is_over or options.thread_id is not None or options.run_id is not None:
        return None
    named = address(options.config, None)
    is_own = "thread_id" in named.configurable or "checkpoint_id" in named.configurable or "run_id" in named.config
    return None if is_own else scope


def as_step(plan: Plan) -> Plan:
    """The plan of an entrypoint that is a step of another run, whose ``final`` then is of no use to it."""
    inner = plan.fn

    @functools.wraps(inner)
    async def body_async(*args: Any, **kwargs: Any) -> Any:
        return result_of(await inner(*args, **kwargs))

    @functools.wraps(inner)
    def body_sync(*args: Any, **kwargs: Any) -> Any:
        return result_of(inner(*args, **kwargs))

    return plan.replace(fn=body_async if plan.is_async else body_sync)


def nested(scope: Scope, settings: Settings, plan: Plan, input: Any, options: Options) -> TaskFuture[Any]:
    """Make an entrypoint a step of ``scope``: ``plan`` is what `as_step` made of it. What `Task.invoke` runs is a step as it is."""
    if settings.single is not None:
        return steps.submit(scope, settings.single, *input)
    handed = handed_on(settings, options, address(options.config, None), handed_in(scope))
    return steps.submit(scope, plan, () if input is NO_INPUT else (plain_input(input),), {}, handed=handed)


def refuse_to_block(scope: Scope, name: str, method: str) -> None:
    """Refuse a sync ``invoke`` or ``batch`` in the async body of a run of which it would be a step: that step may need the very loop that would wait.

    Raises:
        RuntimeError: That is what is tried.
    """
    if scope.call.plan.is_async and running_loop() is not None:
        msg = f"{name}.{method}() would block the event loop of the run that it is a step of: write `await {name}.a{method}(...)`"
        raise RuntimeError(msg)


def collected(futures: Sequence[TaskFuture[Any]], output: Callable[[Any], Any], *, return_exceptions: bool) -> list[Any]:
    """``output`` of what the steps of a batch have come to, once all have ended; with ``return_exceptions`` a failed one's error in its place.

    Raises:
        RunInterrupted: One of them waits for an answer, and so does the body around it.
        Exception: The first failed one's error.
    """
    wait(futures)
    errors = [_error_of(future) for future in futures]
    raise_first(errors, return_exceptions=return_exceptions)
    return [output(future.result()) if error is None else error for future, error in zip(futures, errors, strict=True)]


def _error_of(future: TaskFuture[Any]) -> BaseException | None:
    try:
        return future.exception()
    except CancelledError as error:  # raised for a cancelled one, not returned
        return error


def raise_first(outcomes: Sequence[Any], *, return_exceptions: bool) -> None:
    """Raise the first error among the outcomes of a batch; with ``return_exceptions`` only what is no failure: a question that waits."""
    kind = RunInterrupted if return_exceptions else BaseException
    first = next((each for each in outcomes if isinstance(each, kind)), None)
    if first is not None:
        raise first


def batch_configs(settings: Settings, inputs: Sequence[Any], config: Config | Sequence[Config] | None) -> list[Config | None]:
    """One config for each input of a batch.

    Raises:
        PolicyError: ``inputs`` is no list, there are more or fewer configs than inputs, or a single one names a thread that all would work on.
    """
    plan = settings.plan
    if isinstance(inputs, (str, bytes, dict)) or not hasattr(inputs, "__len__"):
        msg = f"inputs={inputs!r}: give a list with one input for each run, e.g. {plan.name}.batch([{inputs!r}])"
        raise PolicyError(msg)
    if config is None or isinstance(config, dict):
        thread = None if config is None or settings.checkpointer is None else address(config, None).thread_id
        if thread is not None and len(inputs) > 1:
            msg = f"config names thread {thread!r} for {len(inputs)} inputs, and a thread does one thing at a time: give one config for each input"
            raise PolicyError(msg)
        return [config] * len(inputs)
    if len(config) != len(inputs):
        msg = f"batch got {len(inputs)} inputs and {len(config)} configs: give one config for each input, or a single one for all"
        raise PolicyError(msg)
    return list(config)
