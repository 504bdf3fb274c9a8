"""Programs of the kinds that LangGraph's documentation shows for state graphs, written for any library that has its names.

Each takes ``api`` (`holdfast`, or LangGraph's names in one namespace) and returns what came of it, as plain data.
"""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated, Any, Literal, TypedDict

from pydantic import BaseModel

from tests.waiting import until


class Log(TypedDict):
    n: int
    log: Annotated[list[str], operator.add]


def config(thread: str = "t", **more: Any) -> dict[str, Any]:
    return {"configurable": {"thread_id": thread}, **more}


def says(name: str) -> Callable[[Log], dict[str, Any]]:
    def node(state: Log) -> dict[str, Any]:
        return {"log": [name]}

    return node


def built(api: Any, names: str, edges: Sequence[tuple[Any, str]], **options: Any) -> Any:
    """A graph whose nodes each log their name."""
    graph = api.StateGraph(Log)
    for name in names:
        graph.add_node(name, says(name))
    for source, target in edges:
        graph.add_edge(source, target)
    return graph.compile(**options)


def sequence(api: Any) -> Any:
    """Nodes one after the other, and a reducer."""

    def step_1(state: Log) -> dict[str, Any]:
        return {"log": ["one"], "n": state["n"] + 1}

    def step_2(state: Log) -> dict[str, Any]:
        return {"log": [f"two saw {state['n']}"]}

    graph = api.StateGraph(Log).add_sequence([step_1, ("second", step_2)])
    graph.add_edge(api.START, "step_1")
    return graph.compile().invoke({"n": 1})


def fan_out(api: Any) -> Any:
    """Branches that meet again: one of them is longer, and the join waits for both."""
    app = built(api, "abcde", [(api.START, "a"), ("a", "b"), ("a", "c"), ("b", "d"), (["c", "d"], "e"), ("e", api.END)])
    return app.invoke({"n": 0, "log": []})


def conditional(api: Any) -> Any:
    """An edge that decides, by names and by a mapping, from START too."""
    graph = api.StateGraph(Log)
    for name in ("small", "large", "both"):
        graph.add_node(name, says(name))

    def first(state: Log) -> Literal["small", "large"]:
        return "small" if state["n"] < 10 else "large"

    def then(state: Log) -> Sequence[str]:
        return ["again", "stop"] if len(state["log"]) == 1 else ["stop"]

    graph.add_conditional_edges(api.START, first)
    graph.add_conditional_edges("small", then, {"again": "both", "stop": api.END})
    graph.add_edge("large", "both")
    app = graph.compile()
    return [app.invoke({"n": n})["log"] for n in (1, 99)]


def map_reduce(api: Any) -> Any:
    """Send: one node, many arguments."""

    class Overall(TypedDict):
        subjects: list[str]
        jokes: Annotated[list[str], operator.add]
        best: str

    graph = api.StateGraph(Overall)
    graph.add_node("subjects", lambda state: {"subjects": ["cats", "dogs", "owls"]})
    graph.add_node("joke", lambda state: {"jokes": [f"about {state['subject']}"]})
    graph.add_node("best", lambda state: {"best": max(state["jokes"])})
    graph.add_edge(api.START, "subjects")
    graph.add_conditional_edges("subjects", lambda state: [api.Send("joke", {"subject": each}) for each in state["subjects"]], ["joke"])
    graph.add_edge("joke", "best")
    return graph.compile().invoke({})


def commands(api: Any) -> Any:
    """A node that writes and says where to go in one."""

    def choose(state: Log) -> api.Command[Literal["b", "c"]]:
        return api.Command(update={"log": ["a"], "n": state["n"] * 2}, goto="b" if state["n"] else ["b", "c"])

    choose.__annotations__["return"] = api.Command[Literal["b", "c"]]
    graph = api.StateGraph(Log)
    graph.add_node("a", choose)
    graph.add_node("b", says("b"))
    graph.add_node("c", says("c"))
    graph.add_edge(api.START, "a")
    app = graph.compile()
    return [app.invoke({"n": n}) for n in (0, 3)]


def loop(api: Any) -> Any:
    """A loop that ends, and one that does not."""
    graph = api.StateGraph(Log)
    graph.add_node("count", lambda state: {"n": state["n"] + 1})
    graph.add_edge(api.START, "count")
    graph.add_conditional_edges("count", lambda state: "count" if state["n"] != 5 else api.END)
    app = graph.compile()
    try:
        app.invoke({"n": 6}, {"recursion_limit": 4})
    except RecursionError as error:
        return app.invoke({"n": 0}), type(error).__name__
    return None


def approval(api: Any) -> Any:
    """A person decides; the answer says where to go."""

    def approve(state: Log) -> Any:
        answer = api.interrupt({"question": "Go on?", "n": state["n"]})
        return api.Command(goto="yes" if answer else "no", update={"log": [f"answered {answer}"]})

    graph = api.StateGraph(Log)
    graph.add_node("approve", approve, destinations=("yes", "no"))
    graph.add_node("yes", says("yes"))
    graph.add_node("no", says("no"))
    graph.add_edge(api.START, "approve")
    app = graph.compile(checkpointer=api.InMemorySaver())
    found = []
    for thread, answer in (("1", True), ("2", False)):
        asked = app.invoke({"n": 7}, config(thread))
        found.append([each.value for each in asked["__interrupt__"]])
        found.append(app.get_state(config(thread)).next)
        found.append(app.invoke(api.Command(resume=answer), config(thread)))
    return found


def breakpoints(api: Any) -> Any:
    """Stop before a node, look, change the state, and go on."""
    app = built(api, "abc", [(api.START, "a"), ("a", "b"), ("b", "c")], checkpointer=api.InMemorySaver(), interrupt_before=["b"])
    first = list(app.stream({"n": 1}, config(), stream_mode="values"))
    state = app.get_state(config())
    app.update_state(config(), {"n": 50, "log": ["by hand"]})
    rest = list(app.stream(None, config(), stream_mode="updates"))
    return first, state.next, rest, app.get_state(config()).values, app.get_state(config()).next


def time_travel(api: Any) -> Any:
    """Go back in the history, do it again, and another way."""
    app = built(api, "abc", [(api.START, "a"), ("a", "b"), ("b", "c")], checkpointer=api.InMemorySaver())
    app.invoke({"n": 1}, config())
    states = list(app.get_state_history(config()))
    before_b = next(state for state in states if state.next == ("b",))
    again = app.invoke(None, before_b.config)
    other = app.invoke(None, app.update_state(before_b.config, {"log": ["other"]}))
    sources = [(state.metadata["source"], state.metadata["step"], state.next) for state in app.get_state_history(config())]
    return [state.next for state in states], before_b.values, again, other, sources


def subgraphs(api: Any) -> Any:
    """A graph as a node, with keys of its own; and one that is called in a node."""

    class Inner(TypedDict):
        log: Annotated[list[str], operator.add]
        private: str

    class Other(TypedDict):
        text: str

    inner = api.StateGraph(Inner)
    inner.add_node("one", lambda state: {"private": "secret"})
    inner.add_node("two", lambda state: {"log": [f"two saw {state['private']}"]})
    inner.add_edge(api.START, "one")
    inner.add_edge("one", "two")
    other = api.StateGraph(Other)
    other.add_node("shout", lambda state: {"text": state["text"].upper()})
    other.add_edge(api.START, "shout")
    shouting = other.compile()

    graph = api.StateGraph(Log)
    graph.add_node("inner", inner.compile())
    graph.add_node("call", lambda state: {"log": [shouting.invoke({"text": "loud"})["text"]]})
    graph.add_edge(api.START, "inner")
    graph.add_edge("inner", "call")
    app = graph.compile()
    return app.invoke({"n": 1}), list(app.stream({"n": 1}))


def asking_subgraph(api: Any) -> Any:
    """A question inside a graph that is a node of another one."""

    def ask(state: Log) -> Any:
        return {"log": [api.interrupt("what?")]}

    inner = api.StateGraph(Log)
    inner.add_node("ask", ask)
    inner.add_edge(api.START, "ask")
    graph = api.StateGraph(Log)
    graph.add_node("before", says("before"))
    graph.add_node("inner", inner.compile())
    graph.add_edge(api.START, "before")
    graph.add_edge("before", "inner")
    app = graph.compile(checkpointer=api.InMemorySaver())
    asked = app.invoke({"n": 1}, config())
    return [each.value for each in asked["__interrupt__"]], app.invoke(api.Command(resume="that"), config())


def schemas(api: Any) -> Any:
    """Input, output, and keys that only some nodes know."""

    class Question(TypedDict):
        question: str

    class Answer(TypedDict):
        answer: str

    class Both(Question, Answer):
        pass

    class Private(TypedDict):
        note: str

    def think(state: Question) -> Any:
        return {"note": f"thought about {state['question']}: {sorted(state)}"}

    def answer(state: Private) -> Any:
        return {"answer": state["note"]}

    think.__annotations__["state"], answer.__annotations__["state"] = Question, Private
    graph = api.StateGraph(Both, input_schema=Question, output_schema=Answer)
    graph.add_node("think", think)
    graph.add_node("answer", answer)
    graph.add_edge(api.START, "think")
    graph.add_edge("think", "answer")
    return graph.compile().invoke({"question": "why"})


def runtime_context(api: Any) -> Any:
    """What the caller passes beside the state, and what a node writes to the stream."""

    @dataclass
    class Context:
        name: str

    def greet(state: Log, runtime: Any) -> Any:
        runtime.stream_writer({"greeting": runtime.context.name})
        return {"log": [f"hello {runtime.context.name}"]}

    greet.__annotations__["runtime"] = api.Runtime[Context]
    graph = api.StateGraph(Log, context_schema=Context)
    graph.add_node("greet", greet)
    graph.add_edge(api.START, "greet")
    app = graph.compile()
    return (
        app.invoke({"n": 1}, context={"name": "Ada"}),
        list(app.stream({"n": 1}, context=Context("Bo"), stream_mode=["custom", "updates"])),
    )


def memory(api: Any) -> Any:
    """A thread's state is kept from run to run, and threads do not meet."""
    app = built(api, "a", [(api.START, "a")], checkpointer=api.InMemorySaver())
    app.invoke({"n": 1, "log": ["hi"]}, config("1"))
    app.invoke({"n": 2, "log": ["other"]}, config("2"))
    return app.invoke({"log": ["again"]}, config("1")), app.get_state(config("2")).values, app.get_state(config("3")).values


def classes(api: Any) -> Any:
    """A dataclass and a pydantic model as the state."""

    @dataclass
    class Point:
        x: int
        y: int = 1

    class Model(BaseModel):
        x: int
        y: int = 1

    found = []
    for cls in (Point, Model):
        graph = api.StateGraph(cls)
        graph.add_node("double", lambda state: {"x": state.x * 2})
        graph.add_node("sum", lambda state, cls=cls: cls(x=state.x, y=state.x + state.y))
        graph.add_edge(api.START, "double")
        graph.add_edge("double", "sum")
        found.append(graph.compile().invoke({"x": 4}))
        found.append(graph.compile().invoke(cls(x=5, y=2)))
    return found


def retries(api: Any) -> Any:
    """A node that fails twice, and one that has an error handler."""
    calls: list[int] = []

    def flaky(state: Log) -> Any:
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionError
        return {"log": [f"attempt {len(calls)}"]}

    def broken(state: Log) -> Any:
        raise KeyError("lost")

    def handler(state: Log, error: Any) -> Any:
        return api.Command(update={"log": [f"{error.node}: {error.error!r}"]}, goto="last")

    handler.__annotations__["error"] = api.NodeError
    graph = api.StateGraph(Log)
    graph.add_node("flaky", flaky, retry_policy=api.RetryPolicy(initial_interval=0.001, jitter=False, max_attempts=3))
    graph.add_node("broken", broken, error_handler=handler)
    graph.add_node("last", says("last"))
    graph.add_edge(api.START, "flaky")
    graph.add_edge("flaky", "broken")
    return graph.compile().invoke({"n": 1})


def async_nodes(api: Any) -> Any:
    """Async nodes, in parallel, streamed."""

    def waits(name: str) -> Any:
        async def node(state: Log) -> Any:
            await asyncio.sleep(0)
            return {"log": [name]}

        return node

    graph = api.StateGraph(Log)
    for name in "abc":
        graph.add_node(name, waits(name))
    graph.add_edge(api.START, "a")
    graph.add_edge("a", "b")
    graph.add_edge("a", "c")
    app = graph.compile()

    async def main() -> Any:
        return await app.ainvoke({"n": 1}), [each async for each in app.astream({"n": 1}, stream_mode="values")]

    return asyncio.run(main())


def parallel_questions(api: Any) -> Any:
    """Two questions at once, answered by their ids; the sibling that was done is not done again."""
    done: list[str] = []

    def asks(name: str) -> Any:
        def node(state: Log) -> Any:
            return {"log": [f"{name}: {api.interrupt(name)}"]}

        return node

    def once(state: Log) -> Any:
        done.append("once")
        return {"log": ["once"]}

    graph = api.StateGraph(Log)
    graph.add_node("a", asks("a"))
    graph.add_node("b", asks("b"))
    graph.add_node("c", once)
    for name in "abc":
        graph.add_edge(api.START, name)
    app = graph.compile(checkpointer=api.InMemorySaver())
    asked = app.invoke({"n": 1}, config())["__interrupt__"]
    answers = {each.id: f"answer to {each.value}" for each in asked}
    return sorted(each.value for each in asked), app.invoke(api.Command(resume=answers), config()), done


def handoff(api: Any) -> Any:
    """A node of an inner graph that says where the outer one goes."""
    inner = api.StateGraph(Log)
    inner.add_node("decide", lambda state: api.Command(graph=api.Command.PARENT, goto="other", update={"log": ["handed over"]}))
    inner.add_edge(api.START, "decide")
    graph = api.StateGraph(Log)
    graph.add_node("agent", inner.compile(), destinations=("other",))
    graph.add_node("other", says("other"))
    graph.add_edge(api.START, "agent")
    return graph.compile().invoke({"n": 1})


def deferred(api: Any) -> Any:
    """A node that waits until the longer branch is through."""
    graph = api.StateGraph(Log)
    for name in "abcd":
        graph.add_node(name, says(name), defer=name == "d")
    for edge in ((api.START, "a"), ("a", "b"), ("a", "c"), ("b", "d"), ("c", "c2"), ("c2", "d")):
        graph.add_edge(*edge)
    graph.add_node("c2", says("c2"))
    return graph.compile().invoke({"n": 1})["log"]


def failing(api: Any) -> Any:
    """A failed superstep applies nothing; resumed, only what failed is done again."""
    seen: list[str] = []

    def bad(state: Log) -> Any:
        seen.append("bad")
        if seen.count("bad") == 1:
            until(lambda: app.get_state(config()).next == ("bad",))  # what the other did is kept: LangGraph drops what ends after a failure
            raise KeyError("once")
        return {"log": ["bad"]}

    def good(state: Log) -> Any:
        seen.append("good")
        return {"log": ["good"]}

    graph = api.StateGraph(Log)
    graph.add_node("a", says("a"))
    graph.add_node("bad", bad)
    graph.add_node("good", good)
    graph.add_edge(api.START, "a")
    graph.add_edge("a", "bad")
    graph.add_edge("a", "good")
    app = graph.compile(checkpointer=api.InMemorySaver())
    try:
        app.invoke({"n": 1}, config())
    except KeyError:
        following = app.get_state(config()).next
        return following, app.invoke(None, config()), sorted(seen)
    return None


EXPECTED: dict[Callable[[Any], Any], Any] = {
    sequence: {"n": 2, "log": ["one", "two saw 2"]},
    fan_out: {"n": 0, "log": ["a", "b", "c", "d", "e"]},
    conditional: [["small", "both"], ["large", "both"]],
    map_reduce: {"subjects": ["cats", "dogs", "owls"], "jokes": ["about cats", "about dogs", "about owls"], "best": "about owls"},
    commands: [{"n": 0, "log": ["a", "b", "c"]}, {"n": 6, "log": ["a", "b"]}],
    loop: ({"n": 5, "log": []}, "GraphRecursionError"),
    approval: [
        [{"question": "Go on?", "n": 7}],
        ("approve",),
        {"n": 7, "log": ["answered True", "yes"]},
        [{"question": "Go on?", "n": 7}],
        ("approve",),
        {"n": 7, "log": ["answered False", "no"]},
    ],
    breakpoints: (
        [{"n": 1, "log": []}, {"n": 1, "log": ["a"]}],
        ("b",),
        [{"b": {"log": ["b"]}}, {"c": {"log": ["c"]}}],
        {"n": 50, "log": ["a", "by hand", "b", "c"]},
        (),
    ),
    time_travel: (
        [(), ("c",), ("b",), ("a",), ("__start__",)],
        {"n": 1, "log": ["a"]},
        {"n": 1, "log": ["a", "b", "c"]},
        {"n": 1, "log": ["a", "other", "b", "c"]},
        [
            ("loop", 4, ()),
            ("loop", 3, ("c",)),
            ("update", 2, ("b",)),
            ("loop", 4, ()),
            ("loop", 3, ("c",)),
            ("fork", 2, ("b",)),
            ("loop", 3, ()),
            ("loop", 2, ("c",)),
            ("loop", 1, ("b",)),
            ("loop", 0, ("a",)),
            ("input", -1, ("__start__",)),
        ],
    ),
    subgraphs: (
        {"n": 1, "log": ["two saw secret", "LOUD"]},
        [{"inner": {"log": ["two saw secret"]}}, {"call": {"log": ["LOUD"]}}],
    ),
    asking_subgraph: (["what?"], {"n": 1, "log": ["before", "before", "that"]}),
    schemas: {"answer": "thought about why: ['question']"},
    runtime_context: (
        {"n": 1, "log": ["hello Ada"]},
        [("custom", {"greeting": "Bo"}), ("updates", {"greet": {"log": ["hello Bo"]}})],
    ),
    memory: ({"n": 1, "log": ["hi", "a", "again", "a"]}, {"n": 2, "log": ["other", "a"]}, {}),
    classes: [{"x": 8, "y": 9}, {"x": 10, "y": 12}, {"x": 8, "y": 9}, {"x": 10, "y": 12}],
    retries: {"n": 1, "log": ["attempt 3", "broken: KeyError('lost')", "last"]},
    async_nodes: (
        {"n": 1, "log": ["a", "b", "c"]},
        [{"n": 1, "log": []}, {"n": 1, "log": ["a"]}, {"n": 1, "log": ["a", "b", "c"]}],
    ),
    parallel_questions: (["a", "b"], {"n": 1, "log": ["a: answer to a", "b: answer to b", "once"]}, ["once"]),
    handoff: {"n": 1, "log": ["handed over", "other"]},
    deferred: ["a", "b", "c", "c2", "d"],
    failing: (("bad",), {"n": 1, "log": ["a", "bad", "good"]}, ["bad", "bad", "good"]),
}
"""What comes of each program, in both libraries."""


def langgraph() -> Any:
    """LangGraph's names in one namespace."""
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.config import get_stream_writer
    from langgraph.errors import NodeError
    from langgraph.func import task
    from langgraph.graph import END, START, StateGraph
    from langgraph.runtime import Runtime
    from langgraph.types import Command, RetryPolicy, Send, interrupt

    return SimpleNamespace(
        StateGraph=StateGraph,
        START=START,
        END=END,
        Send=Send,
        Command=Command,
        interrupt=interrupt,
        InMemorySaver=InMemorySaver,
        Runtime=Runtime,
        RetryPolicy=RetryPolicy,
        NodeError=NodeError,
        get_stream_writer=get_stream_writer,
        task=task,
    )
