"""``@entrypoint``: a body whose task calls form a run."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from holdfast._bodies import (
    around,
    as_step,
    batch_configs,
    check_parameters,
    check_stores,
    collected,
    nested,
    raise_first,
    refuse_to_block,
    resolving,
    single_settings,
)
from holdfast._frames import trims
from holdfast._journals import NO_INPUT
from holdfast._methods import is_function, or_method
from holdfast._plans import build_plan, check_choice
from holdfast._references import ByReference
from holdfast._resolve import Resolvable
from holdfast._runs import Config, Options, Prepared, check_concurrency, open_run, patiently
from holdfast._settings import Settings
from holdfast._states import States
from holdfast._streams import stream_async, stream_sync
from holdfast.runtime import _ports, threads
from holdfast.runtime._async.call import perform as perform_async
from holdfast.runtime._async.entry import execute_run as execute_async
from holdfast.runtime._sync.call import perform as perform_sync
from holdfast.runtime._sync.entry import execute_run as execute_sync
from holdfast.runtime.ending import final
from holdfast.runtime.loops import running_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from holdfast._plans import Retries, Seconds, Timeout
    from holdfast.policies import CachePolicy
    from holdfast.policies.plan import Plan
    from holdfast.runtime.context import Scope
    from holdfast.runtime.future import TaskFuture
    from holdfast.runtime.run import Run
    from holdfast.typing import Cache

R = TypeVar("R")


class Entrypoint(ByReference, States, Resolvable, Generic[R]):
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
        self._step = as_step(settings.plan)
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

    @trims
    def invoke(
        self,
        input: Any = NO_INPUT,
        config: Config | None = None,
        *,
        thread_id: str | None = None,
        context: Any = None,
        run_id: str | None = None,
        wait: Seconds = None,
    ) -> R:
        """Run the body and return its result.

        Args:
            input: What the body gets as its first parameter; left out for a body without parameters. With a checkpointer and a thread:
                None resumes the thread's last run, or returns its result when it is done; ``Input(None)`` is None as an input;
                ``Command(resume=answer)`` answers what it asked. With a ``checkpoint_id``: an input begins a run that sees as ``previous``
                what that run saved; None does that run again, or goes on with it when it is unfinished, in a new branch.
            config: ``{"configurable": {"thread_id": ..., "checkpoint_id": ...}, "max_concurrency": ..., "run_id": ...}``, as in
                LangGraph; `get_config` returns it.
            thread_id: The thread this run belongs to, for a checkpointer; None makes one.
            context: Handed through to ``runtime.context``.
            run_id: Idempotency key: the same id with the same input is the same run, whose result is returned or which is resumed;
                None makes a new one (UUIDv7).
            wait: How long to wait for a thread that somebody else works on: seconds, timedelta or text like "30s"; None does not wait.

        Returns:
            What the body returned (a future or other awaitable is waited for first), or ``{"__interrupt__": [Interrupt(value, id), ...]}``
            when it waits for answers.

        Raises:
            RuntimeError: The body is ``async def`` and an event loop is running here.
            ThreadBusyError: Somebody else works on the thread, in this process or another one.
            Divergence: A resumed body asked for something else than what is recorded.
            InDoubt: An at-most-once task was under way when its process died: `resolve` says what became of it.
            UnknownInterruptError: A ``Command`` answers nothing that is open.
            RunExists: ``run_id`` was used with another input, by another entrypoint or from another checkpoint.
            PolicyError: There is nothing to resume, or an option cannot work.
            Exception: Whatever the body raised.
        """
        if self.plan.is_async and running_loop() is not None:
            msg = f"{self.plan.name} is async and an event loop is running on this thread: write `await {self.plan.name}.ainvoke(...)`"
            raise RuntimeError(msg)
        options = Options(config=config, thread_id=thread_id, context=context, run_id=run_id, wait=wait)
        scope = around(options)
        if scope is not None:
            refuse_to_block(scope, self.plan.name, "invoke")
            return self._output(self._submit(scope, input, options).result())  # type: ignore[no-any-return]
        return self._invoke(self._prepare(input, options))  # type: ignore[no-any-return]

    @trims
    async def ainvoke(
        self,
        input: Any = NO_INPUT,
        config: Config | None = None,
        *,
        thread_id: str | None = None,
        context: Any = None,
        run_id: str | None = None,
        wait: Seconds = None,
    ) -> R:
        """`invoke` for async code: an async body runs on this loop, a sync body on a thread."""
        options = Options(config=config, thread_id=thread_id, context=context, run_id=run_id, wait=wait)
        scope = around(options)
        if scope is not None:
            return await nested(scope, self._settings, self._step, input, options)  # type: ignore[no-any-return]
        return await self._ainvoke(await self._open(input, options))  # type: ignore[no-any-return]

    def _submit(self, scope: Scope, input: Any, options: Options) -> TaskFuture[Any]:
        """Make it a step of the run that ``scope`` is in."""
        return nested(scope, self._settings, self._step, input, options)

    def _output(self, value: Any) -> Any:
        """What the caller gets of what such a step came to."""
        return value

    def _prepare(self, input: Any, options: Options, *, is_async: bool = False) -> Prepared:
        """Open a run, for sync or for async code."""
        del is_async  # a graph has a body for each
        return open_run(self._settings, input, options)

    async def _open(self, input: Any, options: Options) -> Prepared:
        """Open a run without blocking the loop."""
        saver = self._settings.checkpointer
        if saver is None:  # nothing to wait for
            return self._prepare(input, options, is_async=True)
        attempt = functools.partial(self._prepare, input, msgspec.structs.replace(options, wait=None), is_async=True)
        return await patiently(functools.partial(_ports.acquire_async, saver.is_blocking, attempt, Prepared.drop), options.wait)

    def _invoke(self, prepared: Prepared) -> Any:
        run, call = prepared.run, prepared.call
        if prepared.answer is not None:
            return prepared.result()
        if self.plan.is_async:
            from holdfast.runtime import terminations  # asyncio takes a while to load

            return terminations.run(self._ainvoke(prepared))
        execute = functools.partial(execute_sync, run, call, functools.partial(perform_sync, call))
        if running_loop() is None:
            return execute()
        run.avoid(running_loop())
        return threads.on_a_thread(execute, stop=run.stop)

    async def _ainvoke(self, prepared: Prepared) -> Any:
        run, call = prepared.run, prepared.call
        if prepared.answer is not None:
            return prepared.result()
        run.loop = running_loop()
        if self.plan.is_async:
            body = functools.partial(perform_async, call)
        else:
            body = functools.partial(_ports.perform_in_thread, run, call, perform_sync)
        return await execute_async(run, call, body)

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
            PolicyError: ``inputs`` is no list, there are more or fewer configs than inputs, or a single one names a thread for all.
            Exception: The first failed run's error, when all have ended.
        """
        configs = batch_configs(self._settings, inputs, config)
        futures = self._as_steps(inputs, configs)
        if futures is not None:
            return collected(futures, self._output, return_exceptions=return_exceptions)
        opened: list[Run] = []
        blocked = running_loop()

        def invoke(item: Any, each: Config | None) -> R:
            options = Options(config=each)
            scope = around(options)
            if scope is not None:  # beside others that have threads of their own
                return self._output(self._submit(scope, item, options).result())  # type: ignore[no-any-return]
            prepared = self._prepare(item, options)
            opened.append(prepared.run)
            prepared.run.avoid(blocked)
            return self._invoke(prepared)  # type: ignore[no-any-return]

        def stop() -> None:
            for run in opened:
                run.stop()

        jobs = [functools.partial(invoke, item, each) for item, each in zip(inputs, configs, strict=True)]
        return threads.all_on_threads(jobs, stop=stop, return_exceptions=return_exceptions)

    def _as_steps(self, inputs: Sequence[Any], configs: Sequence[Config | None]) -> list[TaskFuture[Any]] | None:
        """A batch as steps of the run around it, in the order of the inputs; None where any of them is a run of its own."""
        options = [Options(config=each) for each in configs]
        scopes = [scope for scope in map(around, options) if scope is not None]
        if not scopes:
            return None
        refuse_to_block(scopes[0], self.plan.name, "batch")
        if len(scopes) < len(options):
            return None
        return [self._submit(*each) for each in zip(scopes, inputs, options, strict=True)]

    @trims
    async def abatch(
        self, inputs: Sequence[Any], config: Config | Sequence[Config] | None = None, *, return_exceptions: bool = False
    ) -> list[R]:
        """`batch` for async code."""
        import asyncio

        configs = batch_configs(self._settings, inputs, config)
        runs = [self.ainvoke(item, each) for item, each in zip(inputs, configs, strict=True)]
        results: list[Any] = list(await asyncio.gather(*runs, return_exceptions=True))
        raise_first(results, return_exceptions=return_exceptions)  # not before the others have ended, too
        return results

    @trims
    def stream(
        self,
        input: Any = NO_INPUT,
        config: Config | None = None,
        *,
        stream_mode: str | Sequence[str] = "updates",
        thread_id: str | None = None,
        context: Any = None,
        run_id: str | None = None,
        wait: Seconds = None,
    ) -> Iterator[Any]:
        """Run the body and yield what happens while it happens.

        Args:
            input: As for `invoke`.
            config: As for `invoke`.
            stream_mode: ``"updates"`` (``{task: result}`` as each finishes, then the entrypoint's own), ``"values"`` (the result, once, at
                the end), ``"custom"`` (what `get_stream_writer` was given), ``"tasks"`` (a start and an end for each call, and each retry),
                ``"checkpoints"`` (what `get_state` shows, when the run begins and when it ends or waits), ``"debug"`` (the last two,
                with type and time); a list yields ``(mode, chunk)`` pairs.
            thread_id: As for `invoke`.
            context: As for `invoke`.
            run_id: As for `invoke`.
            wait: As for `invoke`.

        Yields:
            Chunks, of one mode as they are; of a list of modes as ``(mode, chunk)``.

        Raises:
            PolicyError: There is no such mode.
            Exception: As for `invoke`.
        """
        options = Options(config=config, thread_id=thread_id, context=context, run_id=run_id, wait=wait)
        return stream_sync(self, input, stream_mode, options)

    @trims
    def astream(
        self,
        input: Any = NO_INPUT,
        config: Config | None = None,
        *,
        stream_mode: str | Sequence[str] = "updates",
        thread_id: str | None = None,
        context: Any = None,
        run_id: str | None = None,
        wait: Seconds = None,
    ) -> AsyncIterator[Any]:
        """`stream` for async code."""
        options = Options(config=config, thread_id=thread_id, context=context, run_id=run_id, wait=wait)
        return stream_async(self, input, stream_mode, options)


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
    durability: str = "sync",
    on_divergence: str = "raise",
    max_concurrency: int | None = None,
    capture: str = "",
) -> Any:
    """Turn a function into an entrypoint: the task calls made in it form one run.

    Works bare and with settings. The body takes one input at most; ``config``, ``writer``, ``store``, ``previous``, ``runtime`` are filled in.

    Args:
        checkpointer: Remembers finished tasks, so that a retried body or a resumed run does not do them again; None: nothing is kept.
        store: Handed through to ``store`` parameters, as given.
        cache: Where tasks with a cache policy keep results; None is the default disk cache.
        context_schema: A class made from the ``context`` dict given to `Entrypoint.invoke`; None hands it through.
        cache_policy: Caches the whole run's result by its input.
        retry_policy: Retries the body; tasks do not inherit it.
        timeout: Time for one attempt of the body.
        name: Name in traces; None takes the function's.
        durability: When a finished task is written to the checkpointer: ``"sync"`` before anybody sees its result, ``"async"`` soon after,
            ``"exit"`` when the run ends. What a crash finds unwritten is done again.
        on_divergence: What to do when a resumed body asks for something else than is recorded: ``"raise"`` `Divergence`, ``"warn"`` and
            take what still fits, ``"rerun"`` what comes from there.
        max_concurrency: Bodies that may run at once, sync and async together, not counting those that wait for tasks of their own;
            None: 128 sync bodies and any number of async ones.
        capture: As for `task`.

    Returns:
        The `Entrypoint`; where settings are given, what makes one of the function it decorates.

    Raises:
        PolicyError: Something given cannot work.
    """

    @trims
    @or_method
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
        check_parameters(plan)
        settings = Settings(
            plan=plan.replace(fn=resolving(plan)),
            checkpointer=checkpointer,
            store=store,
            cache=cache,
            context_schema=context_schema,
            max_concurrency=check_concurrency(max_concurrency),
            durability=check_choice("durability", durability, ("sync", "async", "exit")),
            on_divergence=check_choice("on_divergence", on_divergence, ("raise", "warn", "rerun")),
        )
        return Entrypoint(settings)

    if is_function(checkpointer):  # bare @entrypoint
        function, checkpointer = checkpointer, None
        return decorate(function)
    check_stores(checkpointer, cache)
    return decorate


entrypoint.final = final  # type: ignore[attr-defined] # pyright: ignore[reportFunctionMemberAccess]  for type checkers: _typed.py


def single_call(plan: Plan) -> Entrypoint[Any]:
    """An entrypoint whose body is one call of ``plan``: what ``task.invoke`` runs."""
    return Entrypoint(single_settings(plan))
