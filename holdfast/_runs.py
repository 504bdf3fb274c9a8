"""Opens runs: one `Run` with the call of its body for each invocation of an entrypoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from holdfast import _traces as traces
from holdfast import clock, events
from holdfast._journals import NO_INPUT, Request, open_journal, unwrapped
from holdfast._lookalikes import langgraphs
from holdfast._ownership import POLL_SECONDS
from holdfast.errors import PolicyError, ThreadBusyError
from holdfast.policies.duration import seconds
from holdfast.runtime import _ports, lookup
from holdfast.runtime.handed import Handed, around_here, inner_config
from holdfast.runtime.inject import fill
from holdfast.runtime.interrupt import Command
from holdfast.runtime.run import Run
from holdfast.runtime.state import Call
from holdfast.values.ids import uuid7
from holdfast.values.names import is_utf8

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from holdfast._plans import Seconds
    from holdfast._settings import Settings
    from holdfast.policies.plan import Plan
    from holdfast.typing import Checkpointer

Config = dict[str, Any]
V = TypeVar("V")
LONGEST_ID = 255
_CONFIG_KEYS = frozenset(["configurable", "max_concurrency", "run_id", "callbacks", "metadata", "recursion_limit", "run_name", "tags"])
"""What LangGraph has in a config. The first three are read, all are handed on."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller of an entrypoint may say beside the input; see `Entrypoint.invoke` for each field."""

    config: Config | None = None
    thread_id: str | None = None
    context: Any = None
    run_id: str | None = None
    wait: Seconds = None


class Address(NamedTuple):
    """What a config says, with a thread id given beside it.

    Attributes:
        config: The config, checked.
        configurable: What stands in it under that name, checked.
        thread_id: The thread that is named; None for none.
        checkpoint_id: The checkpoint of it that is named; None for none.
    """

    config: Config
    configurable: dict[str, Any]
    thread_id: str | None
    checkpoint_id: str | None


_NOWHERE = Address({}, {}, None, None)
"""What no config says. For reading only, as any other."""


class Prepared(msgspec.Struct, frozen=True, eq=False):
    """A run that is ready to be executed.

    Attributes:
        run: The run.
        call: The call of its body.
        answer: A list with the value of a run that turned out to be finished, so that nothing is to be executed; else None.
    """

    run: Run
    call: Call
    answer: list[Any] | None = None

    def result(self) -> Any:
        """The value of a run that turned out to be finished, told to whoever reads its stream."""
        value = None if self.answer is None else self.answer[0]
        if self.run.sink is not None:
            self.run.sink("updates", {self.call.plan.name: value})
            self.run.sink("values", value)
        return value

    def drop(self) -> None:
        """Nobody will execute it."""
        if self.run.journal is not None:
            self.run.journal.release()

    def leave(self) -> None:
        """Whoever wanted to execute it is gone: if that has not begun, somebody else may."""
        if not self.run.facts.started_ns:
            self.drop()

    async def leave_async(self) -> None:
        """`leave` for async code."""
        journal = self.run.journal
        if journal is not None and not self.run.facts.started_ns:
            await _ports.uninterrupted_async(journal.is_blocking, journal.release)


def open_run(settings: Settings, input: Any, options: Options) -> Prepared:
    """A run and the call of its body, ready to be executed.

    Raises:
        TypeError: The input does not fit the body.
        PolicyError: Something in ``config`` cannot work, or there is nothing to resume.
        ThreadBusyError: Somebody else works on the thread.
        RunExists: The run id was used with another input.
        UnknownInterruptError: A `Command` answers nothing that is open.
    """
    if type(input).__name__ == "Command" and (theirs := langgraphs(input)):
        raise PolicyError(f"{settings.plan.name} was given {theirs}")
    here = address(options.config, options.thread_id)
    config, plan, request = here.config, settings.plan, _request(input, options, here)
    thread = request.thread_id
    facts = events.RunFacts(
        run_id=request.run_id, thread_id=thread, name=plan.name, function=plan.function, started_ns=0, capture=plan.capture
    )
    limit = check_concurrency(config["max_concurrency"]) if "max_concurrency" in config else settings.max_concurrency
    run = Run(facts, cache=settings.open_cache, max_concurrency=limit)
    around, configurable = around_here(), here.configurable
    if around is None:
        run.store, run.context = settings.store, _context_of(settings, options)
    else:
        own = handed_on(settings, options, here, around)
        run.cache, run.store, run.context = own.cache, own.store, own.context
        config, configurable = own.config, own.config["configurable"]
    run.config = {**config, "configurable": {**configurable, "thread_id": thread, "run_id": request.run_id}}
    if settings.checkpointer is None:
        if request.checkpoint_id is not None:
            raise _no_checkpoints(plan, request.checkpoint_id)
        return Prepared(run, _body_call(settings, run, plain_input(input)))
    return _open_durable(settings, run, settings.checkpointer, request)


def handed_on(settings: Settings, options: Options, address: Address, around: Handed | Run) -> Handed:
    """What the bodies of an entrypoint get that is invoked in a run: what it was given, and where it was given nothing, what is handed out around it."""
    context = _context_of(settings, options)
    return Handed(
        config=inner_config(around.config, address.config),
        context=around.context if context is None else context,
        store=around.store if settings.store is None else settings.store,
        cache=around.cache if settings.cache is None else settings.open_cache,
    )


def _open_durable(settings: Settings, run: Run, saver: Checkpointer, request: Request) -> Prepared:
    opened = open_journal(settings, run, saver, request)
    if opened.answer is not None:
        return Prepared(run, Call(settings.plan, (), {}, run), opened.answer)
    journal = run.journal
    if journal is None:
        msg = "a run was opened without its journal"
        raise RuntimeError(msg)
    try:
        call = _body_call(settings, run, opened.input)
        traces.begin(run, journal, call.observer, opened.answers, opened.abandoned, opened.left)  # now that the input fits
    except BaseException:
        journal.release()
        raise
    return Prepared(run, call)


async def patiently(attempt: Callable[[], Awaitable[V]], wait: Seconds) -> V:
    """What ``attempt`` returns, tried again while somebody else works on the thread, for at most ``wait``. No event loop is blocked meanwhile.

    Raises:
        ThreadBusyError: Somebody still does.
    """
    until = clock.current.monotonic() + (0.0 if wait is None else seconds(wait, what="wait"))
    while True:
        try:
            return await attempt()
        except ThreadBusyError:
            left = until - clock.current.monotonic()
            if left <= 0:
                raise
        await clock.current.sleep_async(min(POLL_SECONDS, left))


def plain_input(input: Any) -> Any:
    """The input of a run that nothing is kept of."""
    if isinstance(input, Command):
        msg = "Command(resume=...) goes on with a recorded run, and this entrypoint records nothing: give it a checkpointer"
        raise PolicyError(msg)
    return unwrapped(input)


def address(config: Config | None, thread_id: str | None) -> Address:
    """Which thread, and which checkpoint of it, is meant.

    Raises:
        PolicyError: ``config`` is none, or an id cannot be one; or two threads are named.
    """
    if not config:
        return _NOWHERE if thread_id is None else Address({}, {}, check_id("thread_id", thread_id), None)
    given = _checked(config, "config")
    configurable = _checked(given.get("configurable") or {}, "configurable")
    thread = _one_of("thread_id", thread_id, configurable, "config={{'configurable': {{'thread_id': {!r}}}}}")
    return Address(given, configurable, thread, check_id("checkpoint_id", configurable.get("checkpoint_id")))


def _request(input: Any, options: Options, here: Address) -> Request:
    given_id = None
    if options.run_id is not None or here.config:
        given_id = _one_of("run_id", options.run_id, here.config, "config={{'run_id': {!r}}}")
    run_id = given_id or uuid7(clock.current.time_ns())
    thread, checkpoint = here.thread_id, here.checkpoint_id
    if checkpoint is not None and thread is None:
        msg = f"checkpoint_id={checkpoint!r} is one of a thread: give its thread_id too, as StateSnapshot.config does"
        raise PolicyError(msg)
    wait = 0.0 if options.wait is None else seconds(options.wait, what="wait")
    return Request(input, thread or run_id, thread is not None, run_id, given_id is not None, checkpoint, wait)


def _no_checkpoints(plan: Plan, wanted: str) -> PolicyError:
    return PolicyError(
        f"checkpoint_id={wanted!r} goes back in what was recorded, and {plan.name} records nothing: give it a checkpointer, e.g. "
        f"@entrypoint(SqliteSaver('runs.db'))"
    )


def check_id(what: str, given: Any) -> str | None:
    """A text that can name a thread or a run, or None; UUIDs are taken as their text."""
    if given is None:
        return None
    given = str(given) if isinstance(given, UUID) else given
    if not isinstance(given, str) or not given or "\0" in given or len(given) > LONGEST_ID or not is_utf8(given):
        msg = f"{what}={given!r:.300}: give a text of 1 to {LONGEST_ID} characters, without NUL and lone surrogates"
        raise PolicyError(msg)
    return given


def _body_call(settings: Settings, run: Run, given: Any) -> Call:
    args = () if given is NO_INPUT else (given,)
    plan, kwargs = fill(settings.plan, args, {}, run) if settings.plan.injected else (settings.plan, {})
    values = _bind(plan, args, kwargs)
    call = Call(plan, args, kwargs, run)
    call.is_body = True
    call.observe(values=values)
    if call.observer is not None:
        run.facts.names, run.facts.arguments = call.shown(values)
    if plan.cache is not None:
        call.cache = run.cache()
        lookup.assign_key(call)
    return call


def _bind(plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    try:
        return plan.bind(*args, **kwargs)
    except TypeError as error:
        takes = "takes no input: invoke()" if args else "takes an input: invoke(input)"
        error.add_note(f"the entrypoint {plan.name} {takes}")
        raise


def _context_of(settings: Settings, options: Options) -> Any:
    schema, context = settings.context_schema, options.context
    return schema(**context) if schema is not None and isinstance(context, dict) else context


def _one_of(what: str, given: Any, config: dict[str, Any], written: str) -> str | None:
    """An id that may be given by name and in a config, but not two of them."""
    if given is None and what not in config:
        return None
    named, given = check_id(what, config.get(what)), check_id(what, given)
    if given is not None and named is not None and given != named:
        noun = what.removesuffix("_id")
        msg = f"{what}={given!r} and {written.format(named)} name two {noun}s: give one of them"
        raise PolicyError(msg)
    return given or named


def _checked(given: Any, what: str) -> dict[str, Any]:
    if isinstance(given, dict) and (what == "configurable" or "thread_id" not in given):
        _check_spelling(given, what)  # pyright: ignore[reportUnknownArgumentType]
        return given  # pyright: ignore[reportUnknownVariableType]
    msg = f"{what}={given!r}: give thread_id='t', or {{'configurable': {{'thread_id': 't'}}}}; an entrypoint takes a single input"
    raise PolicyError(msg)


def _check_spelling(given: dict[str, Any], what: str) -> None:
    """Refuse a key that nearly is one we read: passed over, the run would have a thread of its own, and nobody would see it."""
    meant: str | None = None
    for key in given:
        if key in _CONFIG_KEYS:
            continue
        if what == "config":
            from difflib import get_close_matches

            meant = next(iter(get_close_matches(str(key), _CONFIG_KEYS, n=1, cutoff=0.75)), None)
        elif "thread_id" not in given and str(key).lower().replace("-", "").replace("_", "") == "threadid":
            meant = "thread_id"
        if meant is not None:
            msg = f"{what} has a key {key!r}: did you mean {meant!r}?"
            raise PolicyError(msg)


def check_concurrency(limit: Any) -> int | None:
    """A whole number of at least 1, or None."""
    if limit is None:
        return None
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        msg = f"max_concurrency={limit!r}: give a whole number of at least 1, or leave it out"
        raise PolicyError(msg)
    return limit
