"""Opens runs: what an entrypoint was given, and one `Run` with the call of its body for each invocation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from holdfast import clock, events
from holdfast._plans import input_annotation
from holdfast.cache.default import default_cache
from holdfast.errors import PolicyError
from holdfast.runtime import lookup
from holdfast.runtime.inject import fill
from holdfast.runtime.journal import Journal
from holdfast.runtime.run import Run
from holdfast.runtime.state import Call
from holdfast.values.codec import codec_for
from holdfast.values.ids import uuid7

if TYPE_CHECKING:
    from holdfast.policies.plan import Plan
    from holdfast.typing import Cache, Checkpointer

Config = dict[str, Any]


class _NoInput:
    """Stands for "no input was given", because None can be one."""

    def __repr__(self) -> str:
        return "no input"


NO_INPUT = _NoInput()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What ``@entrypoint`` was given; see `holdfast.entrypoint` for each field."""

    plan: Plan
    checkpointer: Checkpointer | None = None
    store: Any = None
    cache: Cache | None = None
    context_schema: type | None = None
    max_concurrency: int | None = None

    def open_cache(self) -> Cache:
        """The cache given, else the default one."""
        return default_cache() if self.cache is None else self.cache


def open_run(settings: Settings, input: Any, config: Config | None, *, thread_id: str | None, context: Any) -> tuple[Run, Call]:
    """A run and the call of its body, ready to be executed.

    Raises:
        TypeError: The input does not fit the body.
        PolicyError: Something in ``config`` cannot work.
    """
    plan = settings.plan
    config = dict(_checked(config or {}, "config"))
    configurable = dict(_checked(config.get("configurable") or {}, "configurable"))
    run_id = uuid7(clock.current.time_ns())
    thread = _thread_id(thread_id, configurable) or run_id
    facts = events.RunFacts(run_id=run_id, thread_id=thread, name=plan.name, function=plan.function, started_ns=0, capture=plan.capture)
    run = Run(facts, cache=settings.open_cache, max_concurrency=check_concurrency(config.get("max_concurrency", settings.max_concurrency)))
    run.config = {**config, "configurable": {**configurable, "thread_id": thread, "run_id": run_id}}
    run.store, run.context = settings.store, _as_context(settings.context_schema, context)
    saver = settings.checkpointer
    given = input if saver is None else _load(saver, plan, run, input)
    facts.input = None if given is NO_INPUT else given
    call = _body_call(settings, run, () if given is NO_INPUT else (given,))
    if saver is not None and not facts.resumed:
        _begin(saver, plan, run, given)  # now that the input fits: it makes the thread forget its last run's steps
    return run, call


def _body_call(settings: Settings, run: Run, args: tuple[Any, ...]) -> Call:
    plan = settings.plan
    kwargs = fill(plan, args, {}, run) if plan.injected else {}
    values = _bind(plan, args, kwargs)
    call = Call(plan, args, kwargs, run)
    call.is_body = True
    call.observe(values=values)
    if plan.cache is not None:
        call.cache = settings.open_cache()
        lookup.assign_key(call)
    return call


def _bind(plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    try:
        return plan.bind(*args, **kwargs)
    except TypeError as error:
        takes = "takes no input: invoke()" if args else "takes an input: invoke(input)"
        error.add_note(f"the entrypoint {plan.name} {takes}")
        raise


def _as_context(schema: type | None, context: Any) -> Any:
    return schema(**context) if schema is not None and isinstance(context, dict) else context


def _load(saver: Checkpointer, plan: Plan, run: Run, input: Any) -> Any:
    """What the thread's last run left; resume it if it failed and the input is None. Return the input to use."""
    facts = run.facts
    saved = saver.load(facts.thread_id)
    if saved is not None and saved.previous is not None and plan.codec is not None:
        run.previous = plan.codec.decode(saved.previous)
    if input is None and saved is not None and saved.status != "done":
        facts.run_id, facts.resumed = saved.run_id, True
        run.config["configurable"]["run_id"] = saved.run_id
        run.journal = Journal(saver, facts.thread_id, saved.run_id, saved.steps)
        recorded = codec_for(input_annotation(plan.fn)).decode(saved.input)
        return recorded[0] if recorded else NO_INPUT
    return input


def _begin(saver: Checkpointer, plan: Plan, run: Run, given: Any) -> None:
    codec, facts = codec_for(input_annotation(plan.fn)), run.facts
    saver.begin(facts.thread_id, facts.run_id, codec.encode([] if given is NO_INPUT else [given]))
    run.journal = Journal(saver, facts.thread_id, facts.run_id, {})


def _thread_id(given: str | None, configurable: dict[str, Any]) -> str | None:
    configured = configurable.get("thread_id")
    thread = configured if given is None else given
    if configured is not None and configured != thread:
        msg = f"thread_id={given!r} and config={{'configurable': {{'thread_id': {configured!r}}}}} name two threads: give one of them"
        raise PolicyError(msg)
    if thread is None:
        return None
    if not isinstance(thread, str) or not thread or "\0" in thread:
        msg = f"thread_id={thread!r}: give a non-empty text"
        raise PolicyError(msg)
    return thread


def _checked(given: Any, what: str) -> dict[str, Any]:
    if isinstance(given, dict) and (what == "configurable" or "thread_id" not in given):
        return given  # pyright: ignore[reportUnknownVariableType]
    msg = f"{what}={given!r}: give thread_id='t', or {{'configurable': {{'thread_id': 't'}}}}; an entrypoint takes a single input"
    raise PolicyError(msg)


def check_concurrency(limit: Any) -> int | None:
    """A whole number of at least 1, or None."""
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        msg = f"max_concurrency={limit!r}: give a whole number of at least 1, or leave it out"
        raise PolicyError(msg)
    return limit
