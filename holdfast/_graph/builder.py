"""`StateGraph`: collects nodes and edges, and compiles them into what runs."""

from __future__ import annotations

import inspect
import typing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, cast

from holdfast._bodies import check_stores
from holdfast._frames import trims
from holdfast._graph.compiled import CompiledStateGraph
from holdfast._graph.layout import Branch, Drawing, Join, Shape
from holdfast._graph.parts import NodeOptions, assemble
from holdfast._graph.routes import END, START
from holdfast._graph.schema import Schema, is_schema
from holdfast._plans import check_choice, check_name
from holdfast.errors import PolicyError
from holdfast.runtime.interrupt import Command
from holdfast.values.annotations import return_annotation, unwrapped_partial

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast._graph.parts import Parts
    from holdfast._plans import Retries, Timeout
    from holdfast.policies import CachePolicy
    from holdfast.typing import Cache

_NO_LETTERS = ":|"


class StateGraph:
    """A graph of functions that work on one state.

    Each node gets the state and returns what it changes of it. Edges say which nodes come next; those that come together run in parallel,
    in one superstep, and what they return is applied together.

    >>> from typing import TypedDict
    >>> class State(TypedDict):
    ...     n: int
    >>> graph = StateGraph(State)
    >>> graph = graph.add_node("double", lambda state: {"n": state["n"] * 2}).add_edge(START, "double").add_edge("double", END)
    >>> graph.compile().invoke({"n": 21})
    {'n': 42}
    """

    @trims
    def __init__(self, state_schema: Any, context_schema: Any = None, *, input_schema: Any = None, output_schema: Any = None) -> None:
        """Begin a graph without nodes.

        Args:
            state_schema: The state: a TypedDict, dataclass, msgspec Struct or pydantic model. ``Annotated[list, operator.add]`` says how to
                join what is there and what is new; without that, the last value stands.
            context_schema: A class made from the ``context`` dict given to `CompiledStateGraph.invoke`; None hands it through.
            input_schema: What may go in; None: the state.
            output_schema: What comes out; None: the state.

        Raises:
            PolicyError: One is no such class, or a reducer is none.
        """
        self._schemas: dict[Any, Schema] = {}
        state = self._schema(state_schema)
        given, gives = (state if schema is None else self._schema(schema) for schema in (input_schema, output_schema))
        self._shape = Shape(state=state, input=given, output=gives, context=context_schema)
        self._nodes: dict[str, NodeOptions] = {}
        self._drawing = Drawing()
        self._defaults: dict[str, Any] = {}
        self._may_go_anywhere = False

    def _schema(self, cls: Any) -> Schema:
        if not is_schema(cls) or cls not in self._schemas:
            self._schemas[cls] = Schema(cls)
        return self._schemas[cls]

    # -- nodes --------------------------------------------------------------------------------------------------------------------

    @trims
    def add_node(
        self,
        node: str | Callable[..., Any],
        action: Callable[..., Any] | CompiledStateGraph | None = None,
        *,
        defer: bool = False,
        input_schema: Any = None,
        retry_policy: Retries = None,
        cache_policy: CachePolicy | None = None,
        error_handler: Callable[..., Any] | None = None,
        destinations: Sequence[str] | dict[str, str] | None = None,
        timeout: Timeout = None,
    ) -> Self:
        """Add a node.

        Args:
            node: Its name; or its function, whose name it then has.
            action: Its function, plain or ``async``, or a compiled graph. It gets the state, and ``config``, ``writer``, ``store`` and
                ``runtime`` when it has parameters of these names; it returns a dict of what changes, a state object, a `Command`, a list
                of such, or None.
            defer: Wait until nothing else is left to run.
            input_schema: What its function gets of the state; None: what its first parameter is annotated with, else the whole.
            retry_policy: As for `task`.
            cache_policy: As for `task`; the key is made of what its function gets.
            error_handler: Called when it has failed for good, with the state and a `NodeError` in a parameter ``error``; what it returns
                takes the place of the node's result, and it goes only where its `Command` says.
            destinations: Where its commands may lead, for pictures; None: what a return annotation ``Command[Literal["a", "b"]]`` says.
            timeout: As for `task`.

        Returns:
            The graph itself.

        Raises:
            PolicyError: Something given cannot work, or there is such a node already.
        """
        name, given = (node, action) if isinstance(node, str) else (_name_of(node), node)
        action = self._checked(name, given)
        hints = _hints(action)
        own = _first_schema(action, hints) if input_schema is None else input_schema
        ends = tuple(destinations) if destinations is not None else _commanded(hints.get("return"))
        self._drawing.destinations[name] = ends
        speaks = _may_command(hints.get("return", Any), action) or (error_handler is not None and _may_command(Any, error_handler))
        self._may_go_anywhere = self._may_go_anywhere or (ends is None and speaks)
        function: Any = action
        inner: Parts | None = None
        if isinstance(action, CompiledStateGraph):
            function, inner, own = action.as_node(), action.parts, None
        self._nodes[name] = NodeOptions(
            function=function,
            schema=self._shape.state if own is None else self._schema(own),
            retry_policy=retry_policy,
            cache_policy=cache_policy,
            timeout=timeout,
            error_handler=error_handler,
            is_deferred=defer,
            inner=inner,
        )
        return self

    def _checked(self, name: str, action: Any) -> Any:
        """The function of a new node."""
        check_name(name, action)
        if name in {START, END} or name.startswith("__error_handler__") or any(letter in name for letter in _NO_LETTERS):
            msg = f"a node cannot be named {name!r}: START, END, ':' and '|' have a meaning of their own"
            raise PolicyError(msg)
        if name in self._nodes:
            msg = f"there is a node {name!r} already: give this one another name, add_node('...', function)"
            raise PolicyError(msg)
        if not callable(action) and not isinstance(action, CompiledStateGraph):
            is_graph = isinstance(action, StateGraph)
            fix = f"add_node({name!r}, graph.compile())" if is_graph else f"add_node({name!r}, function), or add_node(function)"
            msg = f"node {name!r} has no function: {fix}"
            raise PolicyError(msg)
        return action

    @trims
    def set_node_defaults(
        self,
        *,
        retry_policy: Retries = None,
        cache_policy: CachePolicy | None = None,
        error_handler: Callable[..., Any] | None = None,
        timeout: Timeout = None,
    ) -> Self:
        """Say what holds for every node that does not say otherwise, also for those added before.

        Args:
            retry_policy: As for `add_node`.
            cache_policy: As for `add_node`.
            error_handler: As for `add_node`.
            timeout: As for `add_node`.

        Returns:
            The graph itself.
        """
        given = {"retry_policy": retry_policy, "cache_policy": cache_policy, "error_handler": error_handler, "timeout": timeout}
        self._may_go_anywhere = self._may_go_anywhere or (error_handler is not None and _may_command(Any, error_handler))
        self._defaults.update({name: value for name, value in given.items() if value is not None})
        return self

    # -- edges --------------------------------------------------------------------------------------------------------------------

    @trims
    def add_edge(self, start_key: str | Sequence[str], end_key: str) -> Self:
        """Let a node follow another one, or several when all of them have run.

        Args:
            start_key: The node that comes first, or `START`; or a list of nodes that are all waited for.
            end_key: The node that follows, or `END`.

        Returns:
            The graph itself.

        Raises:
            PolicyError: An edge cannot begin or end there.
        """
        sources = (start_key,) if isinstance(start_key, str) else tuple(dict.fromkeys(start_key))
        if END in sources or end_key == START or (START in sources and len(sources) > 1) or not sources:
            msg = f"add_edge({start_key!r}, {end_key!r}): an edge begins at START or at nodes, and ends at a node or END"
            raise PolicyError(msg)
        if len(sources) == 1:
            self._drawing.edges.append((sources[0], end_key))
        elif end_key != END:
            self._drawing.joins.append(Join(sources, end_key))
        else:
            self._drawing.edges += [(source, END) for source in sources]
        return self

    @trims
    def add_sequence(self, nodes: Sequence[Any]) -> Self:
        """Add nodes that follow one another.

        Args:
            nodes: Functions, or pairs of name and function, in order.

        Returns:
            The graph itself.

        Raises:
            PolicyError: There are none, or one cannot be added.
        """
        if not nodes:
            msg = "add_sequence([]) adds nothing: give at least one node"
            raise PolicyError(msg)
        before: str | None = None
        for node in nodes:
            name, action = cast("tuple[str, Any]", node) if isinstance(node, tuple) else (_name_of(node), node)
            self.add_node(name, action)
            if before is not None:
                self.add_edge(before, name)
            before = name
        return self

    @trims
    def add_conditional_edges(self, source: str, path: Callable[..., Any], path_map: dict[Any, str] | Sequence[str] | None = None) -> Self:
        """Let a function decide what follows a node.

        Args:
            source: The node, or `START`.
            path: Gets the state with what this node has written, plain or ``async``; returns a node's name, `END`, a `Send`, or a list
                of such. What it decides is recorded with the node's result.
            path_map: What it may return, and the node that stands for; a list of nodes; None: what its return annotation
                ``Literal["a", "b"]`` names, else any node.

        Returns:
            The graph itself.

        Raises:
            PolicyError: ``path`` is no function, or the node has an edge of that name already.
        """
        name = _name_of(path)
        branches = self._drawing.branches.setdefault(source, {})
        if name in branches:
            msg = f"{source!r} has a conditional edge {name!r} already: give one of the functions another name"
            raise PolicyError(msg)
        hints = _hints(path)
        ends: dict[Any, str] | None = dict(path_map) if isinstance(path_map, dict) else None
        listed = tuple(path_map) if path_map is not None and ends is None else _literals(hints.get("return"))
        if ends is None and listed:
            ends = {each: each for each in listed}
        schema = _first_schema(path, hints)
        branches[name] = Branch(name, path, ends, None if schema is None else self._schema(schema))
        return self

    def set_entry_point(self, key: str) -> Self:
        """Begin with a node: ``add_edge(START, key)``.

        Args:
            key: The node.

        Returns:
            The graph itself.
        """
        return self.add_edge(START, key)

    def set_finish_point(self, key: str) -> Self:
        """End with a node: ``add_edge(key, END)``.

        Args:
            key: The node.

        Returns:
            The graph itself.
        """
        return self.add_edge(key, END)

    # -- compiling ----------------------------------------------------------------------------------------------------------------

    @trims
    def compile(
        self,
        checkpointer: Any = None,
        *,
        cache: Cache | None = None,
        store: Any = None,
        interrupt_before: Sequence[str] | str | None = None,
        interrupt_after: Sequence[str] | str | None = None,
        name: str | None = None,
        durability: str = "sync",
    ) -> CompiledStateGraph:
        """Check the graph, and make what runs it.

        Args:
            checkpointer: Keeps what the nodes returned, so that a run can go on after a crash or a question; None: nothing is kept.
            cache: Where nodes with a cache policy keep results; None is the default disk cache.
            store: Handed through to ``store`` parameters, as given.
            interrupt_before: Nodes before which a run stops until it is resumed with ``invoke(None)``; ``"*"`` is all.
            interrupt_after: Nodes after which it does.
            name: Name in traces and in the checkpointer; None is "graph".
            durability: As for `entrypoint`.

        Returns:
            The graph that can be run; later changes of this one are not seen by it.

        Raises:
            PolicyError: There is no way in, an edge names no node, a node can never run, or an option cannot work.
        """
        check_stores(checkpointer, cache)
        self._drawing.check(list(self._nodes), is_sending=self._may_go_anywhere)
        options = {node: self._with_defaults(each) for node, each in self._nodes.items()}
        drawing = Drawing(
            list(self._drawing.edges),
            list(self._drawing.joins),
            {source: dict(branches) for source, branches in self._drawing.branches.items()},
            dict(self._drawing.destinations),
        )
        parts = assemble("graph" if name is None else check_name(name, self.compile), self._shape, options, drawing)
        return CompiledStateGraph(
            parts,
            checkpointer=checkpointer,
            store=store,
            cache=cache,
            durability=check_choice("durability", durability, ("sync", "async", "exit")),
            interrupt_before=interrupt_before,
            interrupt_after=interrupt_after,
        )

    def _with_defaults(self, options: NodeOptions) -> NodeOptions:
        missing = {name: value for name, value in self._defaults.items() if getattr(options, name) is None}
        return replace(options, **missing) if missing else options


def _name_of(function: Any) -> str:
    """What a node is called when only its function is given."""
    inner: Any = unwrapped_partial(function)
    name = getattr(inner, "__name__", None) or type(inner).__name__
    if not callable(inner) or isinstance(inner, (str, bytes)):
        msg = f"{function!r} is no function: give one that takes the state"
        raise PolicyError(msg)
    return str(name)


def _hints(function: Any) -> dict[str, Any]:
    """The annotations of a function that can be resolved."""
    inner: Any = unwrapped_partial(function)
    if not inspect.isroutine(inner) and callable(inner):
        inner = type(inner).__call__
    try:
        return typing.get_type_hints(inner)
    except (NameError, TypeError, AttributeError):  # a name that is defined further down, or for type checkers only
        return {"return": return_annotation(function)} if inspect.isroutine(inner) else {}


def _first_schema(function: Any, hints: dict[str, Any]) -> Any:
    """The class that a function's first parameter is annotated with, when that is a state class."""
    try:
        first = next(iter(inspect.signature(function).parameters.values()), None)
    except (TypeError, ValueError):
        return None
    annotation = None if first is None else hints.get(first.name)
    return annotation if is_schema(annotation) else None


def _literals(annotation: Any) -> tuple[Any, ...] | None:
    """What a ``Literal`` names, also in a list."""
    if typing.get_origin(annotation) is typing.Literal:
        return typing.get_args(annotation)
    args = typing.get_args(annotation)
    return _literals(args[0]) if typing.get_origin(annotation) in {list, tuple} and args else None


def _commanded(annotation: Any) -> tuple[str, ...] | None:
    """The nodes that ``Command[Literal[...]]`` names."""
    if typing.get_origin(annotation) is Command:
        return _literals(typing.get_args(annotation)[0])
    found = [_commanded(part) for part in typing.get_args(annotation)]
    return next((each for each in found if each), None)


def _may_command(annotation: Any, action: Any) -> bool:
    """Whether a node may go anywhere by a command, as far as one can see: its annotation or its code has that name, or it has no code to look at."""
    if isinstance(action, CompiledStateGraph):
        return False
    code = getattr(unwrapped_partial(action), "__code__", None)
    waiting = [] if code is None else [code]
    while waiting:
        each = waiting.pop()
        if "Command" in each.co_names or "Command" in each.co_freevars:
            return True
        waiting += [constant for constant in each.co_consts if hasattr(constant, "co_names")]
    return code is None or "Command" in str(annotation)
