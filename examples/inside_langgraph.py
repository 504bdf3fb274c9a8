"""A LangGraph graph whose nodes call flaky services: retried by holdfast, and not called again when LangGraph executes a node again.

    $ pip install 'holdfast[langgraph]' langgraph-checkpoint-sqlite
    $ python examples/inside_langgraph.py "Oslo, Lima, Accra"

Kill it whenever you like, with Ctrl-C or `kill -9`, and start it again with the same words: no forecast that has come in is asked for again. LangGraph
keeps the graph's state in `graph.db`, holdfast what the tasks have returned in `tasks.db`.
"""

from __future__ import annotations

import operator
import sys
import time
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver as GraphSaver
from langgraph.graph import START, StateGraph
from langgraph.types import Command, Send, interrupt

import holdfast.langgraph
from holdfast import RetryPolicy, SqliteSaver, task
from holdfast.testing import flaky

SECONDS = 0.2
"""How long a service takes to answer."""


class State(TypedDict):
    """What the graph knows: the cities asked for, a line for each, and the letter."""

    cities: list[str]
    lines: Annotated[list[str], operator.add]
    letter: str


class City(TypedDict):
    """What one `ask` is given."""

    city: str


services: dict[str, Any] = {}


@task(retry_policy=RetryPolicy(max_attempts=5, initial_interval=0.05))
def forecast(city: str) -> str:
    """Ask a service that fails the first two times."""
    time.sleep(SECONDS)
    service = services.setdefault(city, flaky(2, TimeoutError("slow"), "sunny"))
    return str(service())


@task
def air(city: str) -> str:
    """Ask another one."""
    time.sleep(SECONDS)
    say(f"asked for the air of {city}")
    return "clear"


def start(state: State) -> list[Send]:
    """One `ask` for each city, all in one superstep."""
    return [Send("ask", City(city=city)) for city in state["cities"]]


def ask(state: City) -> dict[str, list[str]]:
    """Ask both services at once."""
    weather, quality = forecast(state["city"]), air(state["city"])
    line = f"{state['city']}: {weather.result()}, {quality.result()}"
    say(line)
    return {"lines": [line]}


@task
def write(lines: list[str]) -> str:
    """Write the letter; a language model would take longer."""
    time.sleep(SECONDS)
    say("wrote the letter")
    return "\n".join(["The weather:", *sorted(lines)])


def approve(state: State) -> dict[str, str]:
    """Have the letter written, and ask a person. LangGraph executes this twice; the letter is written once."""
    letter = write(state["lines"]).result()
    answer = interrupt(letter)
    return {"letter": letter if answer in {"", "y", "yes"} else answer}


def build() -> Any:  # LangGraph leaves parts of its types open
    """The graph: all cities in parallel, then the letter."""
    builder: Any = StateGraph(State)
    builder.add_node("ask", ask)
    builder.add_node("approve", approve)
    builder.add_conditional_edges(START, start, ["ask"])
    builder.add_edge("ask", "approve")
    return builder


def say(line: str) -> None:
    """Show progress."""
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Run the graph, or go on with it, until the letter is approved."""
    words = sys.argv[1] if len(sys.argv) > 1 else "Oslo, Lima, Accra"
    holdfast.langgraph.configure(checkpointer=SqliteSaver("tasks.db"))
    with GraphSaver.from_conn_string("graph.db") as saver:
        graph = build().compile(checkpointer=saver)
        config: Any = {"configurable": {"thread_id": words}}
        given: Any = None if graph.get_state(config).created_at else {"cities": [city.strip() for city in words.split(",")]}
        result = graph.invoke(given, config, durability="sync")
        while "__interrupt__" in result:
            print(f"\n{result['__interrupt__'][0].value}\n\nEnter to send it, or a better one:", flush=True)
            answer = sys.stdin.readline()
            if not answer:
                raise SystemExit("no answer; start me again when you have one")
            result = graph.invoke(Command(resume=answer.strip()), config, durability="sync")
        print(f"\nsent:\n{result['letter']}")


if __name__ == "__main__":
    main()
