"""``@entrypoint``: a body whose task calls form a run."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

from holdfast._frames import trimmed, trims
from holdfast._plans import build_plan, check_cache
from holdfast._runs import NO_INPUT, Config, Settings, check_concurrency, open_run
from holdfast.errors import PolicyError
from holdfast.runtime import _ports, steps, threads
from holdfast.runtime._async.call import perform as perform_async
from holdfast.runtime._async.entry import execute_run as execute_async
from holdfast.runtime._sync.call import perform as perform_sync
from holdfast.runtime._sync.entry import execute_run as execute_sync
from holdfast.runtime.chunks import ChunksAsync, ChunksSync
from holdfast.runtime.context import scope_for
from holdfast.runtime.loops import running_loop
from holdfast.runtime.stream import chosen_modes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence

    from holdfast._plans import Retries, Timeout
    from holdfast.policies import CachePolicy
    from holdfast.policies.plan import Plan
    from holdfast.runtime.run import Run
    from holdfast.runtime.state import Call
    from holdfast.typing import Cache, Checkpointer

R = TypeVar("R")


class Entrypoint(Generic[R]):
    """A function whose task calls form a run. Made by `entrypoint`.

    Attributes:
        plan: What a run does around the body.
        func: The user's function, as it was.
    """

    def __init__(self, settings: Settings) -> None:
        """Wrap what the decorator was given; use ``@entrypoint``."""
        self.plan = settings.plan
        self.func = settings.plan.fn
        self._settings = settings
        functools.update_wrapper(self, self.func, updated=())  # as in Task

    def __repr__(self) -> str:
        """The entrypoint's name and its pipeline."""
        return f"<Entrypoint {self.plan.name}: {self.plan!r}>"

    def __call__(self, *_: Any, **__: Any) -> R:
        """Refuse, saying how to run it."""
        name = self.plan.name
        how = f"await {name}.ainvoke(...)" if self.plan.is_async else f"{name}.invoke(...)"
        msg = f"an entrypoint is run, not called: write {how}"
        raise TypeError(msg)

    # -- running ------------------------------------------------------------------------------------------------------------------

    def invoke(
        self,
        input: Any = NO_INPUT,
        config: Config | None = None,
        *,
        thread_id: str | None = None,
        context: Any = None,
    ) -> R:
        """Run the body and return its result.

        Args:
            input: What the body gets as its first parameter; left out for a body without parameters.
            config: ``{"configurable": {"thread_id": ...}, "max_concurrency": ...}``, as in LangGraph; `get_config` returns it.
            thread_id: The thread this run belongs to, for a checkpointer; None makes one.
            context: Handed through to ``runtime.context``.

        Returns:
            What the body returned; a future or other awaitable is waited for first.

        Raises:
            RuntimeError: The body is ``async def`` and an event loop is running here.
            Exception: Whatever the body raised.
        """
        if self.plan.is_async and running_loop() is not None:
            msg = f"{self.plan.name} is async and an event loop is running on this thread: write `await {self.plan.name}.ainvoke(...)`"
            raise RuntimeError(msg)
        try:
            return self._invoke(open_run(self._settings, input, config, thread_id=thread_id, context=context))
        except BaseException as error:
            trimmed(error)
            raise

    async def ainvoke(
        self,
        input: Any = NO_INPUT,
        config: Config | None = None,
        *,
        thread_id: str | None = None,
        context: Any = None,
    ) -> R:
        """`invoke` for async code: an async body runs on this loop, a sync body on a thread."""
        try:
            return await self._ainvoke(open_run(self._settings, input, config, thread_id=thread_id, context=context))
        except BaseException as error:
            trimmed(error)
            raise

    def _invoke(self, prepared: tuple[Run, Call]) -> R:
        run, call = prepared
        if self.plan.is_async:
            import asyncio

            return asyncio.run(self._ainvoke(prepared))
        execute = functools.partial(execute_sync, run, call, functools.partial(perform_sync, call))
        if running_loop() is None:
            return execute()  # type: ignore[no-any-return]
        run.avoid(running_loop())
        return threads.on_a_thread(execute, stop=run.stop)  # type: ignore[no-any-return]

    async def _ainvoke(self, prepared: tuple[Run, Call]) -> R:
        run, call = prepared
        run.loop = running_loop()
        if self.plan.is_async:
            body = functools.partial(perform_async, call)
        else:
            body = functools.partial(_ports.perform_in_thread, run, call, perform_sync)
        return await execute_async(run, call, body)  # type: ignore[no-any-return]

    @trims
    def batch(self, inputs: Sequence[Any], config: Config | Sequence[Config] | None = None, *, return_exceptions: bool = False) -> list[R]:
        """Run the body once for each input, in parallel.

        Args:
            inputs: One input for each run.
            config: One for all, or one for each.
            return_exceptions: Put a failed run's error in its place instead of raising the first one.

        Returns:
            One result for each input, in their order.

        Raises:
            PolicyError: ``inputs`` is no list, or there are more or fewer configs than inputs.
            Exception: The first failed run's error, when all have ended.
        """
        configs = self._configs(inputs, config)
        opened: list[Run] = []
        blocked = running_loop()

        def invoke(item: Any, each: Config | None) -> R:
            run, call = open_run(self._settings, item, each, thread_id=None, context=None)
            opened.append(run)
            run.avoid(blocked)
            return self._invoke((run, call))

        def stop() -> None:
            for run in opened:
                run.stop()

        jobs = [functools.partial(invoke, item, each) for item, each in zip(inputs, configs, strict=True)]
        return threads.all_on_threads(jobs, stop=stop, return_exceptions=return_exceptions)

    async def abatch(
        self, inputs: Sequence[Any], config: Config | Sequence[Config] | None = None, *, return_exceptions: bool = False
    ) -> list[R]:
        """`batch` for async code."""
        import asyncio

        configs = self._configs(inputs, config)
        runs = [self.ainvoke(item, each) for item, each in zip(inputs, configs, strict=True)]
        results: list[Any] = list(await asyncio.gather(*runs, return_exceptions=True))
        first = next((result for result in results if isinstance(result, BaseException)), None)
        if first is not None and not return_exceptions:
            raise first  # not before the others have ended, too
        return results

    def _configs(self, inputs: Sequence[Any], config: Config | Sequence[Config] | None) -> list[Config | None]:
        if isinstance(inputs, (str, bytes, dict)) or not hasattr(inputs, "__len__"):
            msg = f"inputs={inputs!r}: give a list with one input for each run, e.g. {self.plan.name}.batch([{inputs!r}])"
            raise PolicyError(msg)
        if config is None or isinstance(config, dict):
            return [config] * len(inputs)
        if len(config) != len(inputs):
            msg = f"batch got {len(inputs)} inputs and {len(config)} configs: give one config for each input, or a single one for all"
            raise PolicyError(msg)
        return list(config)

    def stream(
        self,
        input: Any = NO_INPUT,
        config: Config | None = None,
        *,
        stream_mode: str | Sequence[str] = "updates",
        thread_id: str | None = None,
        context: Any = None,
    ) -> Iterator[Any]:
        """Run the body and yield what happens while it happens.

        Args:
            input: As for `invoke`.
            config: As for `invoke`.
            stream_mode: ``"updates"`` (``{task: result}`` as each finishes, then the entrypoint's own), ``"custom"`` (what
                `get_stream_writer` was given), ``"tasks"`` (a start and an end for each call); a list yields ``(mode, chunk)`` pairs.
            thread_id: As for `invoke`.
            context: As for `invoke`.

        Yields:
            Chunks, of one mode as they are; of a list of modes as ``(mode, chunk)``.

        Raises:
            PolicyError: There is no such mode.
            Exception: As for `invoke`.
        """
        try:
            modes, as_pairs = chosen_modes(stream_mode)
            run, call = open_run(self._settings, input, config, thread_id=thread_id, context=context)
            run.avoid(running_loop())
            with ChunksSync(run, modes) as chunks:
                chunks.start(functools.partial(self._invoke, (run, call)))
                for mode, chunk in chunks:
                    yield (mode, chunk) if as_pairs else chunk
        except BaseException as error:
            trimmed(error)
            raise

    async def astream(
        self,
        input: Any = NO_INPUT,
        config: Config | None = None,
        *,
        stream_mode: str | Sequence[str] = "updates",
        thread_id: str | None = None,
        context: Any = None,
    ) -> AsyncIterator[Any]:
        """`stream` for async code."""
        try:
            modes, as_pairs = chosen_modes(stream_mode)
            run, call = open_run(self._settings, input, config, thread_id=thread_id, context=context)
            async with ChunksAsync(run, modes) as chunks:
                chunks.start(self._ainvoke((run, call)))
                async for mode, chunk in chunks:
                    yield (mode, chunk) if as_pairs else chunk
        except BaseException as error:
            trimmed(error)
            raise


class EntrypointDecorator(Protocol):
    """What ``@entrypoint(...)`` with settings returns."""

    @overload
    def __call__(self, fn: Callable[..., Coroutine[Any, Any, R]], /) -> Entrypoint[R]: ...
    @overload
    def __call__(self, fn: Callable[..., R], /) -> Entrypoint[R]: ...


@overload
def entrypoint(fn: Callable[..., Coroutine[Any, Any, R]], /) -> Entrypoint[R]: ...
@overload
def entrypoint(fn: Callable[..., R], /) -> Entrypoint[R]: ...
@overload
def entrypoint(
    checkpointer: Checkpointer | None = None,
    store: Any = None,
    cache: Cache | None = None,
    context_schema: type | None = None,
    cache_policy: CachePolicy | None = None,
    retry_policy: Retries = None,
    timeout: Timeout = None,
    *,
    name: str | None = None,
    max_concurrency: int | None = None,
    capture: str = "",
) -> EntrypointDecorator: ...
@trims
def entrypoint(
    checkpointer: Any = None,
    store: Any = None,
    cache: Cache | None = None,
    context_schema: type | None = None,
    cache_policy: CachePolicy | None = None,
    retry_policy: Retries = None,
    timeout: Timeout = None,
    *,
    name: str | None = None,
    max_concurrency: int | None = None,
    capture: str = "",
) -> Any:
    """Turn a function into an entrypoint: the task calls made in it form one run.

    Works bare (``@entrypoint``) and with settings. The body takes at most one input; parameters named ``config``, ``writer``, ``store``,
    ``previous`` and ``runtime`` are filled in.

    Args:
        checkpointer: Remembers finished tasks, so that a retried body or a resumed run does not do them again; None: nothing is kept.
        store: Handed through to ``store`` parameters, as given.
        cache: Where tasks with a cache policy keep results; None is the default disk cache.
        context_schema: A class made from the ``context`` dict given to `Entrypoint.invoke`; None hands it through.
        cache_policy: Caches the whole run's result by its input.
        retry_policy: Retries the body; tasks do not inherit it.
        timeout: Time for one attempt of the body.
        name: Name in traces; None takes the function's.
        max_concurrency: Bodies that may run at once, sync and async together, not counting those that wait for tasks of their own;
            None: 128 sync bodies and any number of async ones.
        capture: As for `task`.

    Returns:
        The `Entrypoint`; where settings are given, what makes one of the function it decorates.

    Raises:
        PolicyError: Something given cannot work.
    """

    @trims
    def decorate(function: Any) -> Entrypoint[Any]:
        plan = build_plan(
            function,
            decorator="entrypoint",
            name=name,
            retry_policy=retry_policy,
            cache_policy=cache_policy,
            timeout=timeout,
            capture=capture,
        )
        _check_parameters(plan)
        settings = Settings(
            plan=plan.replace(fn=_resolving(plan)),
            checkpointer=checkpointer,
            store=store,
            cache=cache,
            context_schema=context_schema,
            max_concurrency=check_concurrency(max_concurrency),
        )
        return Entrypoint(settings)

    if callable(checkpointer) and not hasattr(checkpointer, "load"):  # bare @entrypoint
        function, checkpointer = checkpointer, None
        return decorate(function)
    _check_stores(checkpointer, cache)
    return decorate


def _check_stores(checkpointer: Any, cache: Any) -> None:
    if checkpointer is not None and not (hasattr(checkpointer, "load") and hasattr(checkpointer, "begin")):
        msg = f"checkpointer={checkpointer!r}: give a checkpointer, e.g. InMemorySaver(), and other settings by name, e.g. @entrypoint(name='x')"
        raise PolicyError(msg)
    check_cache(cache)


def _check_parameters(plan: Plan) -> None:
    own = [name for name in plan.names if name not in plan.injected]
    if len([name for name in own if name in plan.required]) > 1:
        msg = f"entrypoint {plan.name} takes one input and has {len(own)} parameters ({', '.join(own)}): pass a dict or a dataclass"
        raise PolicyError(msg)


def _resolving(plan: Plan) -> Callable[..., Any]:
    """The body, with a future or other awaitable that it returns awaited before anything is saved."""
    fn = plan.fn

    @functools.wraps(fn)
    async def body_async(*args: Any, **kwargs: Any) -> Any:
        return await _ports.resolve_async(await fn(*args, **kwargs))

    @functools.wraps(fn)
    def body_sync(*args: Any, **kwargs: Any) -> Any:
        return _ports.resolve_sync(fn(*args, **kwargs))

    return body_async if plan.is_async else body_sync


def single_call(plan: Plan) -> Entrypoint[Any]:
    """An entrypoint whose body is one call of ``plan``: what ``task.invoke`` runs."""

    def sync_body(arguments: Any) -> Any:
        return steps.submit(scope_for(plan.name), plan, arguments[0], arguments[1]).result()

    async def async_body(arguments: Any) -> Any:
        return await steps.submit(scope_for(plan.name), plan, arguments[0], arguments[1])

    body = async_body if plan.is_async else sync_body
    outer = build_plan(body, decorator="task", name=plan.name, inject=False)
    return Entrypoint(Settings(plan=outer.replace(function=plan.function, codec=plan.codec)))
