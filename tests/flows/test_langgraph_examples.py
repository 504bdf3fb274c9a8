"""What LangGraph's documentation of tasks and entrypoints shows, in words of our own: the programs run with only their imports changed.

Its pages are the overview of the Functional API, the how-to pages below it (workflows, tasks, streaming, human in the loop, memory) and the
docstrings of ``task`` and ``entrypoint``. Where a program there fails, or returns something else than is said beside it, the test is in the
last part and ``docs/coming-from-langgraph.md`` has a row for it. Models are stand-ins.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from typing import Any

import pytest

from holdfast import (
    CachePolicy,
    Command,
    Divergence,
    InMemoryCache,
    InMemorySaver,
    RetryPolicy,
    StreamWriter,
    entrypoint,
    get_stream_writer,
    interrupt,
    task,
)


def on_thread(name: str = "") -> dict[str, Any]:
    """The configuration that names a thread, a new one unless it has a name."""
    return {"configurable": {"thread_id": name or str(uuid.uuid4())}}


async def collected(stream: Any) -> list[Any]:
    """All chunks of an async stream."""
    return [chunk async for chunk in stream]


# -- overview ---------------------------------------------------------------------------------------------------------------------------


def essays() -> tuple[Any, list[str]]:
    """A workflow that writes an essay and asks for a review, and how often it wrote."""
    written: list[str] = []

    @task
    def write_essay(topic: str) -> str:
        written.append(topic)
        return f"all about the {topic}"

    @entrypoint(checkpointer=InMemorySaver())
    def workflow(topic: str) -> dict:
        essay = write_essay(topic).result()
        is_approved = interrupt({"essay": essay, "action": "approve it, or do not"})
        return {"essay": essay, "is_approved": is_approved}

    return workflow, written


def test_an_essay_is_written_reviewed_and_not_written_again():
    """Streamed up to the question, then resumed with the answer."""
    workflow, written = essays()
    config = on_thread()

    first, second = workflow.stream("cat", config)
    assert {"write_essay": "all about the cat"} == first
    assert {"essay": "all about the cat", "action": "approve it, or do not"} == second["__interrupt__"][0].value

    assert [{"workflow": {"essay": "all about the cat", "is_approved": True}}] == list(workflow.stream(Command(resume=True), config))
    assert ["cat"] == written


@pytest.mark.parametrize("answer", ["fine", {"stars": 5}, ["a", "b"], 0])
def test_an_answer_is_any_plain_value(answer):
    """The review of the docstring's example, by invoke."""
    workflow, written = essays()
    workflow.invoke("cat", on_thread("some_thread"))

    assert answer == workflow.invoke(Command(resume=answer), on_thread("some_thread"))["is_approved"]
    assert ["cat"] == written


@pytest.mark.parametrize("is_async", [False, True])
def test_an_entrypoint_is_executed_in_four_ways(is_async):
    """invoke and stream; ainvoke and astream."""
    if is_async:

        @entrypoint(checkpointer=InMemorySaver())
        async def my_workflow(some_input: dict) -> int:
            return some_input["n"] + 1

        assert 2 == asyncio.run(my_workflow.ainvoke({"n": 1}, on_thread()))
        assert [{"my_workflow": 2}] == asyncio.run(collected(my_workflow.astream({"n": 1}, on_thread())))
    else:

        @entrypoint(checkpointer=InMemorySaver())
        def my_workflow(some_input: dict) -> int:
            return some_input["n"] + 1

        assert 2 == my_workflow.invoke({"n": 1}, on_thread())
        assert [{"my_workflow": 2}] == list(my_workflow.stream({"n": 1}, on_thread()))


def test_an_interrupted_run_is_resumed_in_four_ways():
    """Command(resume=...) goes to any of them."""
    ways = {
        "invoke": lambda flow, config: flow.invoke(Command(resume="yes"), config),
        "ainvoke": lambda flow, config: asyncio.run(flow.ainvoke(Command(resume="yes"), config)),
        "stream": lambda flow, config: list(flow.stream(Command(resume="yes"), config))[-1]["workflow"],
        "astream": lambda flow, config: asyncio.run(collected(flow.astream(Command(resume="yes"), config)))[-1]["workflow"],
    }
    for name, way in ways.items():
        workflow, _ = essays()
        config = on_thread(name)
        workflow.invoke("cat", config)
        assert {"essay": "all about the cat", "is_approved": "yes"} == way(workflow, config)


def test_a_failed_run_is_resumed_in_four_ways():
    """None goes to any of them; what was finished is not done again."""
    ways = {
        "invoke": lambda flow, config: flow.invoke(None, config),
        "ainvoke": lambda flow, config: asyncio.run(flow.ainvoke(None, config)),
        "stream": lambda flow, config: list(flow.stream(None, config))[-1]["main"],
        "astream": lambda flow, config: asyncio.run(collected(flow.astream(None, config)))[-1]["main"],
    }
    for name, way in ways.items():
        done = []

        @task
        def slow_task() -> str:
            done.append("slow")
            return "ran the slow task"

        @task()
        def get_info() -> str:
            done.append("info")
            if done.count("info") < 2:
                raise ValueError("not the first time")
            return "ok"

        @entrypoint(checkpointer=InMemorySaver())
        def main(inputs, writer: StreamWriter):
            result = slow_task().result()
            get_info().result()
            return result

        with pytest.raises(ValueError, match="not the first time"):
            main.invoke({"any": "thing"}, config=on_thread(name))
        assert "ran the slow task" == way(main, on_thread(name))
        assert ["slow", "info", "info"] == done


def test_what_can_be_injected():
    """The previous value, the store as it was given, a writer and the configuration."""
    store = object()

    @entrypoint(checkpointer=InMemorySaver(), store=store)
    def my_workflow(some_input: dict, *, previous: Any = None, store, writer: StreamWriter, config) -> list:
        writer("written")
        return [previous, store is not None, config["configurable"]["thread_id"]]

    chunks = list(my_workflow.stream({}, on_thread("t"), stream_mode=["custom", "values"]))
    assert [("custom", "written"), ("values", [None, True, "t"])] == chunks


def test_the_previous_value_of_a_thread():
    """What its last invocation returned."""

    @entrypoint(checkpointer=InMemorySaver())
    def my_workflow(number: int, *, previous: Any = None) -> int:
        return number + (previous or 0)

    assert [1, 3] == [my_workflow.invoke(1, on_thread("t")), my_workflow.invoke(2, on_thread("t"))]


def test_final_returns_one_value_and_saves_another():
    """The next invocation sees the saved one."""

    @entrypoint(checkpointer=InMemorySaver())
    def my_workflow(number: int, *, previous: Any = None) -> entrypoint.final[int, int]:
        return entrypoint.final(value=previous or 0, save=2 * number)

    assert [0, 6] == [my_workflow.invoke(3, on_thread("1")), my_workflow.invoke(1, on_thread("1"))]


def test_a_future_is_waited_for_by_result_or_await():
    """In a sync and in an async entrypoint."""

    @task()
    def slow_computation(input_value):
        return input_value * 2

    @entrypoint(checkpointer=InMemorySaver())
    def waits(some_input: int) -> int:
        future = slow_computation(some_input)
        return future.result()

    @entrypoint(checkpointer=InMemorySaver())
    async def awaits(some_input: int) -> int:
        return await slow_computation(some_input)

    assert [42, 42] == [waits.invoke(21, on_thread()), asyncio.run(awaits.ainvoke(21, on_thread()))]


@pytest.mark.parametrize(("is_in_task", "effects"), [(False, 2), (True, 1)])
def test_a_side_effect_belongs_in_a_task(is_in_task, effects):
    """In the body it is had again when the run is resumed."""
    had = []

    @task
    def write_to_file():
        had.append("effect")

    @entrypoint(checkpointer=InMemorySaver())
    def my_workflow(inputs: dict) -> Any:
        if is_in_task:
            write_to_file().result()
        else:
            had.append("effect")
        return interrupt("question")

    my_workflow.invoke({}, on_thread("t"))
    assert 7 == my_workflow.invoke(Command(resume=7), on_thread("t"))
    assert effects == len(had)


def test_the_time_belongs_in_a_task():
    """Which way the body goes is then the same when it is resumed."""
    clock = iter([0.5, 2.0])

    @task
    def get_time() -> float:
        return next(clock)

    @task
    def slow_task(n: int) -> str:
        return f"slow {n}"

    @entrypoint(checkpointer=InMemorySaver())
    def my_workflow(inputs: dict) -> dict:
        if get_time().result() - inputs["t0"] > 1:
            result = slow_task(1).result()
            value = interrupt("late?")
        else:
            result = slow_task(2).result()
            value = interrupt("early?")
        return {"result": result, "value": value}

    assert "early?" == my_workflow.invoke({"t0": 0.0}, on_thread("t"))["__interrupt__"][0].value
    assert {"result": "slow 2", "value": "yes"} == my_workflow.invoke(Command(resume="yes"), on_thread("t"))


# -- workflows --------------------------------------------------------------------------------------------------------------------------


def test_a_number_is_classified():
    """Two tasks, one after the other."""

    @task
    def is_even(number: int) -> bool:
        return number % 2 == 0

    @task
    def format_message(is_even: bool) -> str:
        return "even" if is_even else "odd"

    @entrypoint(checkpointer=InMemorySaver())
    def workflow(inputs: dict) -> str:
        return format_message(is_even(inputs["number"]).result()).result()

    assert ["odd", "even"] == [workflow.invoke({"number": n}, config=on_thread()) for n in (7, 8)]


def test_tasks_run_in_parallel():
    """All are begun before the first is waited for; the results are in order."""
    all_are_begun = threading.Barrier(3)

    @task
    def add_one(number: int) -> int:
        all_are_begun.wait(30)
        return number + 1

    @task
    def generate_paragraph(topic: str) -> str:
        return f"{topic}."

    @entrypoint(checkpointer=InMemorySaver())
    def graph(numbers: list[int]) -> list[int]:
        futures = [add_one(number) for number in numbers]
        return [future.result() for future in futures]

    @entrypoint(checkpointer=InMemorySaver())
    def workflow(topics: list[str]) -> str:
        return "\n\n".join(future.result() for future in [generate_paragraph(topic) for topic in topics])

    assert [2, 3, 4] == graph.invoke([1, 2, 3], on_thread())
    assert "birds.\n\nrain." == workflow.invoke(["birds", "rain"], on_thread())


def test_an_entrypoint_calls_another_one():
    """It keeps what it does in the checkpointer of the one around it."""
    done = []

    @entrypoint()
    def multiply(inputs: dict) -> int:
        done.append("multiply")
        return inputs["a"] * inputs["b"]

    @entrypoint(checkpointer=InMemorySaver())
    def main(inputs: dict) -> dict:
        product = multiply.invoke({"a": inputs["x"], "b": inputs["y"]})
        return {"product": product, "is_right": interrupt(f"{product}?")}

    main.invoke({"x": 6, "y": 7}, on_thread("t"))
    assert {"product": 42, "is_right": True} == main.invoke(Command(resume=True), on_thread("t"))


# -- tasks ------------------------------------------------------------------------------------------------------------------------------


def test_a_task_is_retried():
    """On the errors that its policy names; the writer asked for by name only is injected, too."""
    attempts = 0

    @task(retry_policy=RetryPolicy(retry_on=ValueError, initial_interval=0.001))
    def get_info():
        nonlocal attempts
        attempts += 1
        if attempts < 2:
            raise ValueError("failure")
        return "ok"

    @entrypoint(checkpointer=InMemorySaver())
    def main(inputs, writer):
        return get_info().result()

    assert "ok" == main.invoke({"any": "thing"}, config=on_thread("1"))
    assert 2 == attempts


def test_an_attempt_has_a_time_limit(clock):
    """The one that runs into it is a failure that is retried."""
    attempts = 0

    @task(timeout=0.05, retry_policy=RetryPolicy(initial_interval=0.001, jitter=False))
    async def fetch() -> str:
        nonlocal attempts
        attempts += 1
        await asyncio.sleep(600 if attempts == 1 else 0)
        return "fetched"

    @entrypoint()
    async def main(inputs: dict) -> str:
        return await fetch()

    assert "fetched" == asyncio.run(main.ainvoke({}))
    assert 2 == attempts


def test_a_task_is_cached():
    """The second call is a hit, and the stream says so."""
    computed = []

    @task(cache_policy=CachePolicy(ttl=120))
    def slow_add(x: int) -> int:
        computed.append(x)
        return x * 2

    @entrypoint(cache=InMemoryCache())
    def main(inputs: dict) -> dict[str, int]:
        result1 = slow_add(inputs["x"]).result()
        time.sleep(0.05)  # LangGraph stores in the background
        result2 = slow_add(inputs["x"]).result()
        return {"result1": result1, "result2": result2}

    expected = [
        {"slow_add": 10},
        {"slow_add": 10, "__metadata__": {"cached": True}},
        {"main": {"result1": 10, "result2": 10}},
    ]
    assert expected == list(main.stream({"x": 5}, stream_mode="updates"))
    assert [5] == computed


# -- streaming --------------------------------------------------------------------------------------------------------------------------


def test_what_a_body_writes_is_streamed_between_the_updates():
    """With get_stream_writer, and two modes at once."""

    @task
    def add_one(x: int) -> int:
        return x + 1

    @entrypoint(checkpointer=InMemorySaver())
    def main(inputs: dict) -> int:
        writer = get_stream_writer()
        writer("started")
        result = add_one(inputs["x"]).result()
        writer(f"result {result}")
        return result

    chunks = list(main.stream({"x": 5}, stream_mode=["custom", "updates"], config=on_thread("abc")))
    assert [("custom", "started"), ("updates", {"add_one": 6}), ("custom", "result 6"), ("updates", {"main": 6})] == chunks


def test_a_writer_is_injected_in_async_code():
    """By its name and type."""

    @entrypoint(checkpointer=InMemorySaver())
    async def main(inputs: dict, writer: StreamWriter) -> int:
        writer({"progress": 1})
        return inputs["x"]

    assert [{"progress": 1}] == asyncio.run(collected(main.astream({"x": 5}, on_thread(), stream_mode="custom")))
    assert [5] == asyncio.run(collected(main.astream({"x": 5}, on_thread(), stream_mode="values")))


# -- human in the loop ------------------------------------------------------------------------------------------------------------------


def test_a_task_asks_in_the_middle_of_three():
    """What was done before the question is not done again."""
    done = []

    @task
    def step_1(query):
        done.append(1)
        return f"{query} bar"

    @task
    def human_feedback(query):
        return f"{query} {interrupt(f'what about {query}?')}"

    @task
    def step_3(query):
        return f"{query} qux"

    @entrypoint(checkpointer=InMemorySaver())
    def graph(query):
        result_1 = step_1(query).result()
        result_2 = human_feedback(result_1).result()
        return step_3(result_2).result()

    *before, question = graph.stream("foo", on_thread("1"))
    after = list(graph.stream(Command(resume="baz"), on_thread("1")))
    assert ([{"step_1": "foo bar"}], "what about foo bar?") == (before, question["__interrupt__"][0].value)
    assert [{"human_feedback": "foo bar baz"}, {"step_3": "foo bar baz qux"}, {"graph": "foo bar baz qux"}] == after
    assert [1] == done


def test_calls_of_tools_are_reviewed():
    """One is let through, one is changed, one is answered by the person; the model is asked once before and once after that."""
    asked, called = [], []
    wanted = [{"name": "weather", "args": city, "id": str(n)} for n, city in enumerate(["Oslo", "Lima", "Rome"])]

    @task
    def call_model(messages: list[dict]) -> dict:
        asked.append(len(messages))
        return {"role": "ai", "text": "done", "tool_calls": []} if len(messages) > 1 else {"role": "ai", "text": "", "tool_calls": wanted}

    @task
    def call_tool(tool_call: dict) -> dict:
        called.append(tool_call["args"])
        return {"role": "tool", "text": f"sunny in {tool_call['args']}", "id": tool_call["id"]}

    def review_tool_call(tool_call: dict) -> dict:
        review = interrupt({"question": "is this right?", "tool_call": tool_call})
        if review["action"] == "continue":
            return tool_call
        if review["action"] == "update":
            return {**tool_call, "args": review["data"]}
        return {"role": "tool", "text": review["data"], "id": tool_call["id"]}

    @entrypoint(checkpointer=InMemorySaver())
    def agent(messages, previous):
        messages = [*(previous or []), *messages]
        response = call_model(messages).result()
        while response["tool_calls"]:
            reviewed = [review_tool_call(each) for each in response["tool_calls"]]
            futures = [call_tool(each) for each in reviewed if "name" in each]
            answers = [each for each in reviewed if "role" in each]
            messages = [*messages, response, *answers, *[future.result() for future in futures]]
            response = call_model(messages).result()
        return entrypoint.final(value=response, save=[*messages, response])

    config = on_thread("1")
    answers = [{"action": "continue"}, {"action": "update", "data": "Cusco"}, {"action": "feedback", "data": "not Rome"}]
    first = agent.invoke([{"role": "user", "text": "how is the weather?"}], config)
    shown = [first, *[agent.invoke(Command(resume=answer), config) for answer in answers]]

    assert ["Oslo", "Lima", "Rome"] == [each["__interrupt__"][0].value["tool_call"]["args"] for each in shown[:3]]
    assert "done" == shown[3]["text"]
    assert ([1, 5], ["Cusco", "Oslo"]) == (asked, sorted(called))


# -- memory -----------------------------------------------------------------------------------------------------------------------------


def test_a_total_is_accumulated():
    """The caller gets the value before; ``previous`` without a default is None the first time."""

    @entrypoint(checkpointer=InMemorySaver())
    def accumulate(n: int, *, previous: int | None) -> entrypoint.final[int, int]:
        return entrypoint.final(value=previous or 0, save=(previous or 0) + n)

    assert [0, 1, 3] == [accumulate.invoke(n, config=on_thread("my-thread")) for n in (1, 2, 3)]


def test_a_chatbot_remembers():
    """By what it saves beside its answer; the stream of values has the answer."""

    @task
    def call_model(messages: list[dict]) -> dict:
        names = [message["text"].rpartition(" ")[2] for message in messages if "I am" in message["text"]]
        return {"role": "ai", "text": f"You are {names[-1]}"}

    @entrypoint(checkpointer=InMemorySaver())
    def workflow(inputs: list[dict], *, previous: list[dict]):
        if previous:
            inputs = [*previous, *inputs]
        response = call_model(inputs).result()
        return entrypoint.final(value=response, save=[*inputs, response])

    said = [
        list(workflow.stream([{"role": "user", "text": text}], on_thread("1"), stream_mode="values")) for text in ("I am Bob", "who am I?")
    ]
    assert [[{"role": "ai", "text": "You are Bob"}]] * 2 == said


def test_the_state_of_a_thread_is_viewed():
    """While it waits, when it has ended, and by the id of a checkpoint; its history has the newest first."""
    workflow, _ = essays()
    config = on_thread("1")
    workflow.invoke("cat", config)
    waiting = workflow.get_state(config)
    result = workflow.invoke(Command(resume=True), config)
    state, *earlier = workflow.get_state_history(config)

    assert (("workflow",), "approve it, or do not") == (waiting.next, waiting.interrupts[0].value["action"])
    assert (result, ()) == (state.values, workflow.get_state(config).interrupts)
    assert state.values == workflow.get_state(config).values == workflow.get_state(state.config).values
    assert {"1"} == {each.config["configurable"]["thread_id"] for each in (state, *earlier)}


def test_the_saved_value_of_a_thread_is_set():
    """The next invocation gets it as ``previous``."""

    @entrypoint(checkpointer=InMemorySaver())
    def add(number: int, *, previous: Any = None) -> int:
        return number + (previous or 0)

    add.invoke(1, on_thread("t"))
    add.update_state(on_thread("t"), 10)

    assert 12 == add.invoke(2, on_thread("t"))


# -- docstrings -------------------------------------------------------------------------------------------------------------------------


def test_a_task_for_each_number():
    """Sync, with the entrypoint's decorator called without arguments."""

    @task
    def add_one_task(a: int) -> int:
        return a + 1

    @entrypoint()
    def add_one(numbers: list[int]) -> list[int]:
        futures = [add_one_task(n) for n in numbers]
        return [future.result() for future in futures]

    assert [2, 3, 4] == add_one.invoke([1, 2, 3])


# -- what fails there, or is not as it is said: rows of docs/coming-from-langgraph.md ---------------------------------------------------


def test_a_returned_gather_is_awaited():
    """LangGraph's own example returns the gather itself; here its caller gets the list that is written beside it."""

    @task
    async def add_one_task(a: int) -> int:
        return a + 1

    @entrypoint(checkpointer=InMemorySaver())
    async def add_one(numbers: list[int]) -> list[int]:
        return asyncio.gather(*[add_one_task(n) for n in numbers])

    assert [2, 3, 4] == asyncio.run(add_one.ainvoke([1, 2, 3], on_thread()))


def test_a_checkpointer_without_a_thread_id():
    """The first example of LangGraph's how-to gives none, which is a ValueError there; here the run is a thread of its own."""

    @entrypoint(checkpointer=InMemorySaver())
    def my_workflow(inputs: dict) -> int:
        return inputs["value"] + inputs["another_value"]

    assert 3 == my_workflow.invoke({"value": 1, "another_value": 2})


def test_an_entrypoint_without_a_parameter():
    """A ValueError there, although an example has one."""

    @task
    async def fetch_data() -> str:
        return "data"

    @entrypoint()
    async def workflow() -> str:
        return await fetch_data()

    assert "data" == asyncio.run(workflow.ainvoke())


def test_invoke_runs_an_async_entrypoint():
    """A TypeError there."""

    @entrypoint(checkpointer=InMemorySaver())
    async def my_workflow(some_input: dict) -> int:
        return some_input["n"]

    assert 1 == my_workflow.invoke({"n": 1}, on_thread())


def test_a_body_that_depends_on_the_time_is_found_out():
    """LangGraph's example of what not to do: there the answer goes to a question that nobody asked; here nothing is done, and it is said."""
    clock = iter([0.5, 2.0])

    @task
    def slow_task(n: int) -> str:
        return f"slow {n}"

    @entrypoint(checkpointer=InMemorySaver())
    def my_workflow(inputs: dict) -> dict:
        n = 1 if next(clock) - inputs["t0"] > 1 else 2
        return {"result": slow_task(n).result(), "value": interrupt("question")}

    my_workflow.invoke({"t0": 0.0}, on_thread("t"))
    with pytest.raises(Divergence, match=r"recorded: slow_task.*\n *now: *slow_task"):
        my_workflow.invoke(Command(resume="yes"), on_thread("t"))
