"""Processes that run a real graph and kill themselves with a result in hand: LangGraph executes the node again, and no task with it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

PROGRAM = '''
import asyncio, json, operator, os, signal, sys
from typing import Annotated, TypedDict

from langgraph.checkpoint.sqlite import SqliteSaver as GraphSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver as AsyncGraphSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

import holdfast.langgraph
from holdfast import SqliteSaver, task

folder = sys.argv[1]
CONFIG = {"configurable": {"thread_id": "trip-1"}}

class State(TypedDict, total=False):
    n: int
    log: Annotated[list, operator.add]

def append(line):
    with open(folder + "/log", "a") as file:
        file.write(f"{line}\\n")

def hold(line, value):
    """The instant that somebody holds this result for the first time, everything ends."""
    append(f"seen {line}")
    with open(folder + "/log") as file:
        if sum(each.strip() == f"seen {line}" for each in file) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
    return value

@task
def charge(line: str) -> str:
    append(f"ran {line}")
    return line.upper()

@task
async def acharge(line: str) -> str:
    append(f"ran {line}")
    return line.upper()

def start(state):
    return {"log": [hold(line, charge(line).result()) for line in ("one", "two", "three")]}

def worker(state):
    line = f"part {state['n']}"
    return {"log": [hold(line, charge(line).result())]}

async def astart(state):
    return {"log": [hold(line, await acharge(line)) for line in ("one", "two", "three")]}

async def aworker(state):
    line = f"part {state['n']}"
    return {"log": [hold(line, await acharge(line))]}

def build(start, worker):
    builder = StateGraph(State).add_node("start", start).add_node("worker", worker).add_edge(START, "start")
    return builder.add_conditional_edges("start", lambda state: [Send("worker", {"n": n}) for n in range(3)])

def given(saved):
    return {"n": 0} if saved is None else None

def main():
    with GraphSaver.from_conn_string(folder + "/graph.db") as saver:
        return build(start, worker).compile(checkpointer=saver).invoke(given(saver.get(CONFIG)), CONFIG, durability="sync")

async def amain():
    async with AsyncGraphSaver.from_conn_string(folder + "/graph.db") as saver:
        return await build(astart, aworker).compile(checkpointer=saver).ainvoke(given(await saver.aget(CONFIG)), CONFIG, durability="sync")

def live():
    """A life of its own: importing LangGraph for each would take longer than all the rest."""
    child = os.fork()
    if child == 0:
        holdfast.langgraph.configure(checkpointer=SqliteSaver(folder + "/tasks.db", synchronous="NORMAL"))
        print(json.dumps((main() if sys.argv[2] == "sync" else asyncio.run(amain()))["log"]), flush=True)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

ends = [live()]
while ends[-1] == -signal.SIGKILL and len(ends) < 10:
    ends.append(live())
print(json.dumps(ends))
'''
LINES = ["one", "two", "three", "part 0", "part 1", "part 2"]


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_no_task_that_anybody_has_seen_done_is_done_again(tmp_path, colour):
    """Killed at each first sight of a result, in a node and in a fan-out, where one kill may strike several: what was seen had run for the last time."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path), colour], capture_output=True, text=True, timeout=120, check=False)

    assert 0 == done.returncode, done.stderr
    result, ends = map(json.loads, done.stdout.splitlines())
    assert [line.upper() for line in LINES] == result
    assert [-signal.SIGKILL] * (len(ends) - 1) + [0] == ends
    assert 4 <= len(ends) - 1 <= 6
    happened = (tmp_path / "log").read_text().splitlines()
    assert {f"{what} {line}" for what in ("ran", "seen") for line in LINES} == set(happened)
    for line in LINES:
        assert f"ran {line}" not in happened[happened.index(f"seen {line}") :]
