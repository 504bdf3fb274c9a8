"""`CompiledStateGraph`: an entrypoint whose body is a graph."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from holdfast._bodies import around, nested, refuse_to_block
from holdfast._entrypoint import Entrypoint
from holdfast._frames import trims
from holdfast._graph.body import body_async, body_sync, node_of
from holdfast._graph.kept import Ended, Start
from holdfast._graph.opening import GraphOpener, commanded, nothing_given
from holdfast._graph.picture import Picture, picture_of
from holdfast._graph.routes import START, check_keys
from holdfast._graph.schema import taken_apart
from holdfast._graph.states import GraphStates
from holdfast._journals import NO_INPUT
from holdfast._plans import build_plan, check_choice
from holdfast._runs import Options, open_run
from holdfast._settings import Settings
from holdfast._streams import stream_async, stream_sync
from holdfast.errors import PolicyError
from holdfast.runtime.interrupt import NOTHING, Command, Input
from holdfast.runtime.stream import INTERRUPT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from holdfast._graph.parts import Parts
    from holdfast._plans import Seconds
    from holdfast._runs import Config, Prepared
    from holdfast.policies.plan import Plan
    from holdfast.runtime.context import Scope
    from holdfast.runtime.future import TaskFuture
    from holdfast.typing import Cache

DURABILITIES = ("sync", "async", "exit")


class GraphOptions(Options, frozen=True, kw_only=True):
    """What a caller of a graph may say beside the input; see `CompiledStateGraph.invoke`."""

    before: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()
    durability: str | None = None


class CompiledStateGraph(GraphStates, Entrypoint[dict[str, Any]]):
    """A graph that can be run. Made by `StateGraph.compile`.

    Its nodes are tasks and its runs are an entrypoint's: what holds there of threads, checkpoints, questions and streams holds here, too.

    Attributes:
        plan: What a run does around the body.
        func: The body.
    """

    def __init__(
        self,
        parts: Parts,
        *,
        checkpointer: Any = None,
        store: Any = None,
        cache: Cache | None = None,
        durability: str = "sync",
        interrupt_before: Sequence[str] | str | None = None,
        interrupt_after: Sequence[str] | str | None = None,
    ) -> None:
        """Wrap a compiled graph; use `StateGraph.compile`."""
        self._parts = parts
        self._before = stops(parts, interrupt_before, "interrupt_before")
        self._after = stops(parts, interrupt_after, "interrupt_after")
        settings = Settings(
            plan=body_plan(parts, body_sync(parts)),
            checkpointer=checkpointer,
            store=store,
            cache=cache,
            context_schema=parts.shape.context,
            durability=durability,
            opener=functools.partial(GraphOpener, parts),
        )
        super().__init__(settings)
        self._twin = Entrypoint[Any](replace(settings, plan=body_plan(parts, body_async(parts))))

    @property
    def parts(self) -> Parts:
        """What it is made of, for a graph of which it is a node."""
        return self._parts

    def __repr__(self) -> str:
        """Its name and nodes."""
        return f"<CompiledStateGraph {self._parts.name}: {', '.join(self._parts.nodes)}>"

    # -- running ------------------------------------------------------------------------------------------------------------------

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
        interrupt_before: Sequence[str] | str | None = None,
        interrupt_after: Sequence[str] | str | None = None,
        durability: str | None = None,
    ) -> dict[str, Any]:
        """Run the graph and return its state.

        Args:
            input: What is written to the state first: a dict, or an object of the input class. With a checkpointer, a thread's state is
                kept from run to run. None goes on with a run that has stopped or failed, or, with a ``checkpoint_id``, from there in a
                new branch; ``Command(resume=answer)`` answers what was asked, ``Command(update=..., goto=...)`` writes to the state
                and says where to go.
            config: As for `Entrypoint.invoke`; ``{"recursion_limit": 100}`` bounds the supersteps of a run, 10,007 without it.
            thread_id: As for `Entrypoint.invoke`.
            context: As for `Entrypoint.invoke`.
            run_id: As for `Entrypoint.invoke`.
            wait: As for `Entrypoint.invoke`.
            interrupt_before: Nodes to stop before, in place of those given to `StateGraph.compile`; ``"*"`` is all.
            interrupt_after: Nodes to stop after, likewise.
            durability: As for `entrypoint`; None: as the graph was compiled.

        Returns:
            The keys of the output class that are known. When it waits for answers, also ``"__interrupt__"``, with a list of `Interrupt`.

        Raises:
            InvalidUpdateError: The input, or what a node returned, does not fit the state; node and key are named.
            GraphRecursionError: It would make more supersteps than ``recursion_limit``.
            Divergence: The run to go on with has a node that the graph has no more.
            Exception: What a node raised, and as for `Entrypoint.invoke`.
        """
        given = Options(config=config, thread_id=thread_id, context=context, run_id=run_id, wait=wait)
        options = self._options(given, interrupt_before, interrupt_after, durability)
        scope = around(options)
        if scope is not None:
            refuse_to_block(scope, self.plan.name, "invoke")
            return self._output(self._submit(scope, input, options).result())
        return self._invoke(self._prepare(input, options))

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
        interrupt_before: Sequence[str] | str | None = None,
        interrupt_after: Sequence[str] | str | None = None,
        durability: str | None = None,
    ) -> dict[str, Any]:
        """`invoke` for async code: async nodes run on this loop, sync ones on threads."""
        given = Options(config=config, thread_id=thread_id, context=context, run_id=run_id, wait=wait)
        options = self._options(given, interrupt_before, interrupt_after, durability)
        scope = around(options)
        if scope is not None:
            return self._output(await nested(scope, self._settings, self._twin._step, self._start(input, options), options))  # noqa: SLF001 - its own
        return await self._ainvoke(await self._open(input, options))

    @trims
    def stream(
        self,
        input: Any = NO_INPUT,
        config: Config | None = None,
        *,
        stream_mode: str | Sequence[str] = "updates",
        subgraphs: bool = False,
        thread_id: str | None = None,
        context: Any = None,
        run_id: str | None = None,
        wait: Seconds = None,
        interrupt_before: Sequence[str] | str | None = None,
        interrupt_after: Sequence[str] | str | None = None,
        durability: str | None = None,
    ) -> Iterator[Any]:
        """Run the graph and yield what happens while it happens.

        Args:
            input: As for `invoke`.
            config: As for `invoke`.
            stream_mode: ``"updates"`` (``{node: what it wrote}`` as each finishes), ``"values"`` (the state, after the input and after each
                superstep), ``"custom"`` (what `get_stream_writer` was given), ``"tasks"`` (a start and an end for each node),
                ``"checkpoints"`` (what `get_state` shows after each superstep), ``"debug"`` (the last two, with type and time); a list
                yields ``(mode, chunk)`` pairs.
            subgraphs: Tell what happens in graphs inside this one, too. Then each chunk comes as ``(nodes, chunk)`` or ``(nodes, mode, chunk)``:
                ``nodes`` are those in which that graph runs, the outermost first, as ``"name:id"``; ``()`` for this one.
            thread_id: As for `invoke`.
            context: As for `invoke`.
            run_id: As for `invoke`.
            wait: As for `invoke`.
            interrupt_before: As for `invoke`.
            interrupt_after: As for `invoke`.
            durability: As for `invoke`.

        Yields:
            Chunks, of one mode as they are; of a list of modes as ``(mode, chunk)``; with ``subgraphs`` also with where they come from.

        Raises:
            PolicyError: There is no such mode.
            Exception: As for `invoke`.
        """
        given = Options(config=config, thread_id=thread_id, context=context, run_id=run_id, wait=wait)
        options = self._options(given, interrupt_before, interrupt_after, durability)
        return stream_sync(self, input, stream_mode, options, shows_inner=subgraphs)

    @trims
    def astream(
        self,
        input: Any = NO_INPUT,
        config: Config | None = None,
        *,
        stream_mode: str | Sequence[str] = "updates",
        subgraphs: bool = False,
        thread_id: str | None = None,
        context: Any = None,
        run_id: str | None = None,
        wait: Seconds = None,
        interrupt_before: Sequence[str] | str | None = None,
        interrupt_after: Sequence[str] | str | None = None,
        durability: str | None = None,
    ) -> AsyncIterator[Any]:
        """`stream` for async code."""
        given = Options(config=config, thread_id=thread_id, context=context, run_id=run_id, wait=wait)
        options = self._options(given, interrupt_before, interrupt_after, durability)
        return stream_async(self, input, stream_mode, options, shows_inner=subgraphs)

    def _options(self, given: Options, before: Any, after: Any, durability: str | None) -> GraphOptions:
        return GraphOptions(
            config=given.config,
            thread_id=given.thread_id,
            context=given.context,
            run_id=given.run_id,
            wait=given.wait,
            before=self._before if before is None else stops(self._parts, before, "interrupt_before"),
            after=self._after if after is None else stops(self._parts, after, "interrupt_after"),
            durability=None if durability is None else check_choice("durability", durability, DURABILITIES),
        )

    def _start(self, input: Any, options: Options) -> Any:
        """What is given to the body, or to who opens its journal: a `Start`, a `Command`, or None to go on."""
        parts = self._parts
        is_kept = self._settings.checkpointer is not None and around(options) is None
        if isinstance(input, Command):
            if is_kept or not input.is_for_graph or input.resume is not NOTHING:
                return input  # pyright: ignore[reportUnknownVariableType]
            update, goto = commanded(parts, input)  # pyright: ignore[reportUnknownArgumentType]
            return self._armed(Start(update, goto, step=0, source="loop"), options)
        if input is None:
            if not is_kept:
                raise nothing_given(parts.name)
            return None
        update = () if input is NO_INPUT else taken_apart(input.value if isinstance(input, Input) else input, START)  # pyright: ignore[reportUnknownMemberType]
        check_keys(START, update, parts.shape.input.keys)
        return self._armed(Start(update), options)

    def _armed(self, start: Start, options: Options) -> Start:
        """With the breakpoints of this execution."""
        if isinstance(options, GraphOptions):
            start.before, start.after = options.before, options.after
        else:
            start.before, start.after = self._before, self._after
        return start

    def _submit(self, scope: Scope, input: Any, options: Options) -> TaskFuture[Any]:
        return nested(scope, self._settings, self._step, self._start(input, options), options)

    def _output(self, value: Ended) -> dict[str, Any]:
        return self._parts.output(value.values)

    def _prepare(self, input: Any, options: Options, *, is_async: bool = False) -> Prepared:
        settings = self._twin._settings if is_async else self._settings  # noqa: SLF001 - its own
        durability = options.durability if isinstance(options, GraphOptions) else None
        if durability is not None:
            settings = replace(settings, durability=durability)
        prepared = open_run(settings, self._start(input, options), options)
        if prepared.answer is None:
            self._armed(_start_of(prepared), options)
        return prepared

    def _invoke(self, prepared: Prepared) -> dict[str, Any]:
        return self._result(prepared, super()._invoke(prepared))

    async def _ainvoke(self, prepared: Prepared) -> dict[str, Any]:
        return self._result(prepared, await self._twin._ainvoke(prepared))  # noqa: SLF001 - its own

    def _result(self, prepared: Prepared, value: Any) -> dict[str, Any]:
        """What the caller gets of what the run came to."""
        if isinstance(value, Ended):
            return self._parts.output(value.values)
        walk = _start_of(prepared).walk
        if walk is None:
            msg = "a graph stopped before it began"
            raise RuntimeError(msg)
        questions = tuple(value[INTERRUPT])
        sink = prepared.run.sink
        if sink is not None:
            sink("updates", {INTERRUPT: questions})
            if questions:
                sink("values", {**self._parts.public(walk.values), INTERRUPT: questions})
        values = self._parts.output(walk.values)
        return {**values, INTERRUPT: list(questions)} if questions else values

    # -- pictures -----------------------------------------------------------------------------------------------------------------

    def get_graph(self, *, xray: bool | int = False) -> Picture:
        """What nodes and edges there are, for pictures.

        Args:
            xray: Look into nodes that are graphs: True into all, also into those inside them, a number so many levels deep.

        Returns:
            The picture: ``draw_mermaid()`` and ``draw_ascii()`` make text of it.

        Raises:
            PolicyError: ``xray`` is no number of levels.
        """
        if not isinstance(xray, int) or xray < 0:
            msg = f"xray={xray!r}: give True, or how many levels of graphs to look into"
            raise PolicyError(msg)
        return picture_of(self._parts, xray=xray)

    # -- as a part of other graphs ------------------------------------------------------------------------------------------------

    def as_node(self) -> Callable[..., Any]:
        """What a node of another graph does that is this graph: it runs in the node's own scope, so its steps are the other run's."""
        return node_of(self._parts, self._before, self._after)


def _start_of(prepared: Prepared) -> Start:
    """What the run's body is given: where it is told how far that has come."""
    args: Any = prepared.call.args
    return args[0]  # type: ignore[no-any-return]


def stops(parts: Parts, given: Any, option: str) -> frozenset[str]:
    """The nodes at which to stop.

    Raises:
        PolicyError: One is not there.
    """
    names = () if given is None else (given,) if isinstance(given, str) else tuple(given)
    for name in names:
        if name != "*" and name not in parts.nodes:
            msg = f"{option}={given!r}: there is no node {name!r}; there are: {', '.join(parts.nodes)}"
            raise PolicyError(msg)
    return frozenset(names)


def body_plan(parts: Parts, body: Callable[..., Any]) -> Plan:
    """The plan of a graph's body."""
    return build_plan(body, decorator="entrypoint", name=parts.name, inject=False).replace(codec=parts.codec, is_graph=True)
