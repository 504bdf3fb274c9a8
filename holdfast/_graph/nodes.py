"""A node's function as a `Plan`: what it returns becomes an update of the state and the nodes to run next, and that is what is journaled."""

from __future__ import annotations

import functools
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from holdfast._graph.channels import MISSING, applied
from holdfast._graph.routes import END, START, Written, as_targets, checked_targets, written_by
from holdfast._plans import build_plan
from holdfast.errors import InvalidUpdateError, PolicyError
from holdfast.runtime import _ports
from holdfast.runtime.context import scope_for
from holdfast.runtime.foreign import add_note
from holdfast.runtime.inject import fill
from holdfast.typing import CacheKey
from holdfast.values.fingerprint import code_fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from holdfast._graph.channels import Channel
    from holdfast._graph.layout import Branch
    from holdfast._graph.parts import Parts
    from holdfast._graph.schema import Schema
    from holdfast.policies.plan import Keys, Plan
    from holdfast.typing import Codec

MAY_BLOCK = True


class Given(msgspec.Struct, frozen=True):
    """What a call of a node is given.

    Attributes:
        values: The whole state, for its conditional edges.
        state: What its function gets.
        node: Its name.
        is_sent: Whether a `Send` calls it.
    """

    values: dict[str, Any]
    state: Any
    node: str
    is_sent: bool = False

    @property
    def trigger(self) -> str:
        """Why it is called, as LangGraph's streams tell it."""
        return "__pregel_push" if self.is_sent else f"branch:to:{self.node}"


class NodeError(NamedTuple):
    """What an error handler gets in a parameter named ``error``.

    Attributes:
        node: The node that failed.
        error: What it raised, after all its attempts.
    """

    node: str
    error: Exception


class Node(NamedTuple):
    """A node, ready to run.

    Attributes:
        name: Its name.
        plan: Runs it.
        routes: Its conditional edges.
        handler: Runs its error handler; None without one.
        is_deferred: Whether it waits until nothing else is left to run.
        inner: The graph that it is; None for a function.
    """

    name: str
    plan: Plan
    schema: Schema
    routes: tuple[Route, ...] = ()
    handler: Plan | None = None
    is_deferred: bool = False
    inner: Parts | None = None

    def given(self, values: dict[str, Any], arg: Any) -> Given:
        """What its function gets: the state, or what a `Send` carries."""
        if arg is not MISSING:
            return Given(values, arg, self.name, is_sent=True)
        try:
            return Given(values, self.schema.build(values), self.name)
        except Exception as error:
            add_note(error, f"holdfast: raised when the state was made for node {self.name!r}")
            raise


class Ways(NamedTuple):
    """What the results of all nodes of a graph are judged by.

    Attributes:
        channels: The keys of the state.
        targets: Where one can go: all nodes.
        codec: Encodes what they have written.
    """

    channels: dict[str, Channel]
    targets: Collection[str]
    codec: Codec


def function_of(given: Any, what: str) -> Callable[..., Any]:
    """``given``, when it is a function, or an object that is called like one.

    Args:
        given: What is to be called with the state.
        what: What it is, for the error.

    Raises:
        PolicyError: It is none.
    """
    if isinstance(given, type):
        raise PolicyError(f"{what} is the class {given.__name__}: give a function of the state, or an object that is called like one")
    if not callable(given):
        raise PolicyError(f"{what} is {given!r:.80}: give a function of the state")
    function: Callable[..., Any] = given
    if hasattr(function, "ainvoke"):
        raise PolicyError(f"{what} is {given!r:.80}, which has an invoke of its own: give a function of the state that calls it")
    return function


def checked(plan: Plan, what: str, *others: str) -> Plan:
    """``plan``, when its function can be called as graphs do it.

    Args:
        plan: That of a function which gets the state.
        what: What it is, for the error.
        others: What else it may have as a parameter.

    Raises:
        PolicyError: It takes no state, or asks for more.
    """
    left = plan.names[1:]  # the first one gets the state, whatever its name is
    try:
        plan.bind(None, **dict.fromkeys(name for name in left if name in plan.injected or name in others))
    except TypeError as error:
        msg = f"{what} cannot be called: {error}. It gets the state, and by their names {', '.join((*others, 'config, runtime, store or writer'))}"
        raise PolicyError(msg) from error
    return plan


def node_plan(inner: Plan, routes: Sequence[Route], ways: Ways, *, is_graph: bool = False) -> Plan:
    """The plan of a node.

    Args:
        inner: That of its function.
        routes: Its conditional edges: they are looked at in the node's own call, so they are retried and journaled with it.
        ways: What its result is judged by.
        is_graph: Whether it is another graph, whose state may have keys that this one has not.
    """
    fn, name, known = inner.fn, inner.name, ways.channels.keys()

    def written(result: Any) -> Written:
        if is_graph and isinstance(result, dict):
            result = {key: value for key, value in result.items() if key in known}  # pyright: ignore[reportUnknownVariableType]
        return written_by(name, result, known, ways.targets)

    @functools.wraps(fn)
    def call_sync(given: Given, **injected: Any) -> Written:
        here = written(fn(given.state, **injected))
        if routes:
            values = _after(here, name, given, ways)
            for route in routes:
                here = here.going(route.follow(values))
        return here

    @functools.wraps(fn)
    async def call_async(given: Given, **injected: Any) -> Written:
        result = fn(given.state, **injected) if inner.is_async else _ports.store_call_async(MAY_BLOCK, fn, given.state, **injected)
        here = written(await result)
        if routes:
            values = _after(here, name, given, ways)
            for route in routes:
                here = here.going(await route.follow_async(values))
        return here

    is_async = inner.is_async or any(route.is_async for route in routes)
    keys = inner.keys if inner.keys is None or not routes else _RoutedKeys(inner.keys, routes)
    return _as_node(inner, call_async if is_async else call_sync, is_async=is_async, keys=keys, codec=ways.codec)


def handler_plan(inner: Plan, node: str, ways: Ways) -> Plan:
    """The plan of a node's error handler; it has no edges but those that its `Command` names."""
    fn, takes_error, known = inner.fn, "error" in inner.names, ways.channels.keys()

    def written(result: Any) -> Written:
        return msgspec.structs.replace(written_by(node, result, known, ways.targets), is_handled=True)

    @functools.wraps(fn)
    def call_sync(given: Given, error: NodeError, **injected: Any) -> Written:
        named = {"error": error} if takes_error else {}
        return written(fn(given.state, **named, **injected))

    @functools.wraps(fn)
    async def call_async(given: Given, error: NodeError, **injected: Any) -> Written:
        named = {"error": error} if takes_error else {}
        return written(await fn(given.state, **named, **injected))

    plan = _as_node(inner, call_async if inner.is_async else call_sync, is_async=inner.is_async, keys=None, codec=ways.codec)
    if takes_error:
        return plan

    def bind(given: Given, error: NodeError, **injected: Any) -> tuple[Any, ...]:
        del error  # it has no parameter for it
        return inner.bind(given.state, **injected)

    return plan.replace(bind=bind)


def _as_node(inner: Plan, fn: Callable[..., Any], *, is_async: bool, keys: Keys | None, codec: Codec) -> Plan:
    def bind(given: Given, *args: Any, **injected: Any) -> tuple[Any, ...]:
        return inner.bind(given.state, *args, **injected)

    keyed = None if keys is None else _StateKeys(keys)
    return inner.replace(fn=fn, is_async=is_async, bind=bind, keys=keyed, codec=codec, is_node=True)


def _after(written: Written, node: str, given: Given, ways: Ways) -> dict[str, Any]:
    """The state as a node's conditional edges see it: with what this node writes, and not what its siblings do."""
    return applied(ways.channels, given.values, [(node, written.update)])


class _StateKeys:
    """Keys of a node's calls: made from the state its function gets."""

    def __init__(self, inner: Keys) -> None:
        self._inner = inner
        self.namespace = inner.namespace

    def make(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CacheKey:
        given, *rest = args
        return self._inner.make((given.state, *rest), kwargs)

    def counting(self, names: frozenset[str]) -> Keys:
        return _StateKeys(self._inner.counting(names))


class _RoutedKeys:
    """Keys of a node with conditional edges, whose answers are cached with its result: their code counts too."""

    def __init__(self, inner: Keys, routes: Sequence[Route]) -> None:
        self._inner = inner
        self._routes = routes
        codes = [route.code for route in routes]
        self.namespace = f"{inner.namespace}|{blake2b(repr(codes).encode(), digest_size=8).hexdigest()}"

    def make(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> CacheKey:
        return CacheKey(self.namespace, self._inner.make(args, kwargs).digest)

    def counting(self, names: frozenset[str]) -> Keys:
        return _RoutedKeys(self._inner.counting(names), self._routes)


class Route:
    """A conditional edge, ready to be followed."""

    def __init__(self, node: str, branch: Branch, schema: Schema, ways: Ways) -> None:
        self._node = node
        self._branch = branch
        self._schema = schema
        self._targets = ways.targets
        ends = {name: name for name in (*ways.targets, END)} if branch.ends is None else branch.ends
        self._leads: dict[Any, tuple[str, ...]] = {answer: () if end == END else (end,) for answer, end in ends.items()}
        what = f"the conditional edge {branch.name!r} of {node!r}"
        self._plan = checked(build_plan(function_of(branch.path, what), decorator="node", name=branch.name), what)
        self.is_async = self._plan.is_async

    @property
    def code(self) -> str:
        """What it counts as in the keys of a cached node."""
        return f"{self._branch.name}:{code_fingerprint(self._branch.path)}:{self._branch.ends!r}"

    def _arguments(self, values: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        state = self._schema.build(values)
        if not self._plan.injected:
            return state, {}
        scope = scope_for(self._node)
        return state, fill(self._plan, (state,), {}, scope.run, scope.call.handed)[1]

    def follow(self, values: dict[str, Any]) -> tuple[Any, ...]:
        """Where it leads."""
        state, injected = self._arguments(values)
        return self._targets_of(self._branch.path(state, **injected))

    async def follow_async(self, values: dict[str, Any]) -> tuple[Any, ...]:
        """`follow`, for a node with an async function or edge."""
        state, injected = self._arguments(values)
        found = self._branch.path(state, **injected)
        return self._targets_of(await found if self.is_async else found)

    def _targets_of(self, found: Any) -> tuple[Any, ...]:
        leads = self._leads
        if type(found) is str and found in leads:
            return leads[found]
        targets: tuple[Any, ...] = ()
        for answer in as_targets(found):
            is_known = _is_hashable(answer) and answer in leads
            targets += leads[answer] if is_known else self._unforeseen(answer)
        return targets

    def _unforeseen(self, answer: Any) -> tuple[Any, ...]:
        """Where an answer leads that is none of those that were drawn: a `Send`, or nowhere."""
        ends, branch = self._branch.ends, self._branch
        if ends is None or hasattr(answer, "arg"):
            return checked_targets(self._node, [answer], self._targets, branch.name)
        known = ", ".join(map(repr, ends))
        msg = f"the conditional edge {branch.name!r} of node {self._node!r} returned {answer!r:.80}, which it does not lead to; it knows: {known}"
        raise InvalidUpdateError(msg, node=self._node)


def _is_hashable(answer: Any) -> bool:
    try:
        hash(answer)
    except TypeError:
        return False
    return True


def start_node(schema: Schema, routes: tuple[Route, ...], ways: Ways) -> Node:
    """What decides where a graph begins, when that is not certain: a node that writes nothing, with the conditional edges of `START`."""
    inner = build_plan(_nothing, decorator="node", name=START)
    return Node(START, node_plan(inner, routes, ways), schema, routes)


def _nothing(_: Any) -> None:
    return None
