"""Questions to people: asked once, shown together, answered by id, and swallowed by nobody."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import msgspec
import pytest

from holdfast import (
    CachePolicy,
    Command,
    Divergence,
    InMemoryCache,
    InMemorySaver,
    NotSerializable,
    PolicyError,
    RetryPolicy,
    TaskContextError,
    UnknownInterruptError,
    entrypoint,
    interrupt,
    task,
)
from holdfast.runtime.run import Run
from holdfast.testing import recorded

ASKED = "__interrupt__"


def ids(result: Any) -> dict[Any, str]:
    """The open questions of a result: question -> id."""
    return {question.value: question.id for question in result[ASKED]}


def test_the_answer_is_what_interrupt_returns(colour: Any) -> None:
    """The run ends with the question, and goes on from the answer."""

    @entrypoint(InMemorySaver())
    @colour.define
    def main(name: str) -> str:
        return f"{name} says {interrupt(f'hello {name}?')}"

    asked = colour.invoke(main, "Ada", thread_id="t")
    assert ["hello Ada?"] == list(ids(asked))
    assert "Ada says yes" == colour.invoke(main, Command(resume="yes"), thread_id="t")


@pytest.mark.parametrize("answer", [None, False, 0, "", [], {}, {"id": 1}, {"0" * 32: "x", "other": 1}])
def test_any_value_can_be_an_answer(answer: Any) -> None:
    """None, what is false, and dicts that do not name questions by their ids."""

    @entrypoint(InMemorySaver())
    def main() -> Any:
        return [interrupt("?")]

    main.invoke(thread_id="t")
    assert [answer] == main.invoke(Command(resume=answer), thread_id="t")


def test_questions_of_one_body_come_one_after_the_other() -> None:
    """Each answer belongs to its own question, and tasks in between are done once."""
    done: list[str] = []

    @task
    def note(text: str) -> str:
        done.append(text)
        return text

    @entrypoint(InMemorySaver())
    def main() -> list[str]:
        first = note(interrupt("first?")).result()
        second = note(interrupt(f"after {first}?")).result()
        return [first, second]

    first = ids(main.invoke(thread_id="t"))
    second = ids(main.invoke(Command(resume="a"), thread_id="t"))
    assert (["first?"], ["after a?"]) == (list(first), list(second))
    assert set(first.values()).isdisjoint(second.values())
    assert ["a", "b"] == main.invoke(Command(resume="b"), thread_id="t")
    assert ["a", "b"] == done


# -- several at once --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def ran() -> Counter[str]:
    """How often each body has run."""
    return Counter()


@pytest.fixture
def main(ran: Counter[str]) -> Any:
    """An entrypoint of which three tasks ask, and one does not."""

    @task
    def ask(city: str) -> str:
        ran[city] += 1
        return f"{city} {interrupt(city)}"

    @task
    def work() -> str:
        ran["work"] += 1
        return "worked"

    @entrypoint(InMemorySaver())
    def main() -> list[str]:
        futures = [ask("Oslo"), work(), ask("Lima"), ask("Rome")]
        return [future.result() for future in futures]

    return main


def test_all_questions_of_parallel_tasks_are_shown(main: Any, ran: Counter[str]) -> None:
    """Although the body stops at the first of them."""
    assert {"Oslo", "Lima", "Rome"} == set(ids(main.invoke(thread_id="t")))
    assert {"Oslo": 1, "Lima": 1, "Rome": 1, "work": 1} == ran


def test_answers_come_in_any_order(main: Any, ran: Counter[str]) -> None:
    """A task whose question is still open is not run again; nor is one that has finished."""
    asked = ids(main.invoke(thread_id="t"))

    left = ids(main.invoke(Command(resume={asked["Rome"]: "no"}), thread_id="t"))
    assert {name: asked[name] for name in ("Oslo", "Lima")} == left
    assert {"Oslo": 1, "Lima": 1, "Rome": 2, "work": 1} == ran

    rest = {asked["Lima"]: "maybe", asked["Oslo"]: "yes"}
    assert ["Oslo yes", "worked", "Lima maybe", "Rome no"] == main.invoke(Command(resume=rest), thread_id="t")
    assert {"Oslo": 2, "Lima": 2, "Rome": 2, "work": 1} == ran


def test_resuming_without_an_answer_shows_the_questions_again(main: Any, ran: Counter[str]) -> None:
    """With the same ids, and without running anything that waits."""
    asked = ids(main.invoke(thread_id="t"))

    assert asked == ids(main.invoke(None, thread_id="t"))
    assert {"Oslo": 1, "Lima": 1, "Rome": 1, "work": 1} == ran


def test_an_answer_to_one_of_several_needs_its_id(main: Any) -> None:
    """The error lists the open questions; nothing is answered."""
    asked = ids(main.invoke(thread_id="t"))

    with pytest.raises(UnknownInterruptError, match="3 questions are open") as caught:
        main.invoke(Command(resume="yes"), thread_id="t")
    assert [] == [f"{name}: {city!r}" for city, name in asked.items() if f"{name}: {city!r}" not in str(caught.value)]
    assert asked == ids(main.invoke(None, thread_id="t"))


def test_an_answer_is_used_once(main: Any) -> None:
    """The id of a question that was answered answers no other."""
    asked = ids(main.invoke(thread_id="t"))
    main.invoke(Command(resume={asked["Oslo"]: "yes"}), thread_id="t")

    with pytest.raises(UnknownInterruptError, match=asked["Oslo"]):
        main.invoke(Command(resume={asked["Oslo"]: "no"}), thread_id="t")


def test_one_unknown_id_refuses_all(main: Any) -> None:
    """The others of the same Command are not used up."""
    asked = ids(main.invoke(thread_id="t"))

    with pytest.raises(UnknownInterruptError, match="0" * 32):
        main.invoke(Command(resume={asked["Oslo"]: "yes", "0" * 32: "no"}), thread_id="t")
    assert asked == ids(main.invoke(None, thread_id="t"))


def test_questions_of_another_thread_are_not_this_ones(main: Any) -> None:
    """Ids differ from run to run."""
    asked = ids(main.invoke(thread_id="a"))
    other = ids(main.invoke(thread_id="b"))

    assert set(asked.values()).isdisjoint(other.values())
    with pytest.raises(UnknownInterruptError):
        main.invoke(Command(resume={asked["Oslo"]: "yes"}), thread_id="b")


@pytest.mark.parametrize("thread", ["finished", "unknown"])
def test_nothing_to_answer(thread: str) -> None:
    """A finished thread has no question, nor has one that does not exist."""

    @entrypoint(InMemorySaver())
    def main() -> str:
        return "done"

    main.invoke(thread_id="finished")
    with pytest.raises(UnknownInterruptError, match=thread):
        main.invoke(Command(resume=1), thread_id=thread)


def test_a_failed_run_has_no_question() -> None:
    """It can be resumed, but not answered."""

    @entrypoint(InMemorySaver())
    def main() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        main.invoke(thread_id="t")
    with pytest.raises(UnknownInterruptError, match="none open"):
        main.invoke(Command(resume=1), thread_id="t")


def test_new_input_leaves_the_questions_behind(main: Any) -> None:
    """The old run is abandoned, and its questions can be answered no more."""
    asked = ids(main.invoke(thread_id="t"))
    again = ids(main.invoke(thread_id="t"))

    assert set(asked.values()).isdisjoint(again.values())
    with pytest.raises(UnknownInterruptError):
        main.invoke(Command(resume={asked["Oslo"]: "yes"}), thread_id="t")


# -- swallowed by nobody ----------------------------------------------------------------------------------------------------------------


def test_except_exception_does_not_catch_it() -> None:
    """Neither in the task that asks, nor around its future."""
    caught: list[Exception] = []

    @task
    def ask() -> Any:
        try:
            return interrupt("?")
        except Exception as error:
            caught.append(error)
            return "swallowed"

    @entrypoint(InMemorySaver())
    def main() -> Any:
        try:
            return ask().result()
        except Exception as error:
            caught.append(error)
            return "swallowed"

    assert ["?"] == list(ids(main.invoke(thread_id="t")))
    assert 1 == main.invoke(Command(resume=1), thread_id="t")
    assert [] == caught


def test_a_body_that_swallows_everything_is_interrupted_all_the_same() -> None:
    """Whatever it returns while a question is open is not the run's result."""

    @task
    def ask() -> Any:
        return interrupt("?")

    @entrypoint(InMemorySaver())
    def main() -> Any:
        with contextlib.suppress(BaseException):
            return ask().result()
        return "swallowed"

    assert ["?"] == list(ids(main.invoke(thread_id="t")))
    assert 1 == main.invoke(Command(resume=1), thread_id="t")


def test_a_body_that_fails_over_a_question_is_interrupted_all_the_same() -> None:
    """The question counts more than the error it led to."""

    @task
    def ask() -> Any:
        return interrupt("?")

    @entrypoint(InMemorySaver())
    def main() -> Any:
        try:
            return ask().result()
        except BaseException:
            raise ValueError from None

    assert ["?"] == list(ids(main.invoke(thread_id="t")))
    assert 1 == main.invoke(Command(resume=1), thread_id="t")


def test_what_fails_beside_a_question_is_told(opened: list[Run]) -> None:
    """The run waits for its answer, the failure is a line, and what failed is tried again with the answer."""
    weather = iter([ConnectionError("reset"), None])

    @task
    def ask() -> Any:
        return interrupt("?")

    @task
    def send() -> None:
        if error := next(weather):
            while not opened[-1].journal.questions.open:  # type: ignore[union-attr]
                time.sleep(0.001)
            raise error

    @entrypoint(InMemorySaver())
    def main() -> Any:
        asked = ask()
        send().result()
        return asked.result()

    with recorded() as recording:
        assert ["?"] == list(ids(main.invoke(thread_id="t")))
        assert "yes" == main.invoke(Command(resume="yes"), thread_id="t")
    assert ["holdfast.run.failed_beside_question"] == [note["event"] for note in recording.notes]
    assert recording.notes[0]["text"].endswith(
        "main raised ConnectionError: reset while it waits for an answer; what failed is tried again when it is resumed"
    )


@pytest.mark.parametrize("how", ["gather", "return_exceptions", "TaskGroup"])
def test_asyncio_s_combinators_show_all_questions(how: str) -> None:
    """With return_exceptions, too, and in a TaskGroup."""

    @task
    async def ask(n: int) -> Any:
        return interrupt(n)

    async def one(n: int) -> Any:
        return await ask(n)

    @entrypoint(InMemorySaver())
    async def main() -> Any:
        if how != "TaskGroup":
            return await asyncio.gather(*[ask(n) for n in range(3)], return_exceptions=how == "return_exceptions")
        async with asyncio.TaskGroup() as group:
            made = [group.create_task(one(n)) for n in range(3)]
        return [each.result() for each in made]

    asked = ids(main.invoke(thread_id="t"))
    assert {0, 1, 2} == set(asked)
    assert [0, 10, 20] == main.invoke(Command(resume={name: n * 10 for n, name in asked.items()}), thread_id="t")


def test_a_question_is_no_argument() -> None:
    """What gather(return_exceptions=True) hands over in place of an answer does not reach another task."""
    got: list[Any] = []

    @task
    async def ask() -> Any:
        return interrupt("?")

    @task
    async def use(values: list[Any]) -> int:
        got.append(values)
        return len(values)

    @entrypoint(InMemorySaver())
    async def main() -> int:
        return await use(await asyncio.gather(ask(), return_exceptions=True))

    main.invoke(thread_id="t")
    assert [] == got
    assert 1 == main.invoke(Command(resume="yes"), thread_id="t")
    assert [["yes"]] == got


# -- no failure, no result --------------------------------------------------------------------------------------------------------------


def test_a_question_is_not_retried(colour: Any) -> None:
    """The body runs once for the question and once for the answer, whatever its policy retries."""
    ran: Counter[str] = Counter()
    always = RetryPolicy(retry_on=Exception, max_attempts=5, initial_interval=0.001)

    @task(retry_policy=always)
    @colour.define
    def ask() -> Any:
        ran["task"] += 1
        return interrupt("?")

    @entrypoint(InMemorySaver(), retry_policy=always)
    @colour.define
    def main() -> Any:
        return ask()

    colour.invoke(main, thread_id="t")
    assert {"task": 1} == ran
    assert "ok" == colour.invoke(main, Command(resume="ok"), thread_id="t")
    assert {"task": 2} == ran


def test_a_question_in_a_retried_task_keeps_its_answer() -> None:
    """An attempt that fails after the answer does not ask again."""
    ran: list[str] = []

    @task(retry_policy=RetryPolicy(retry_on=ConnectionError, initial_interval=0.001, jitter=False))
    def ask() -> str:
        answer: str = interrupt("?")
        ran.append(answer)
        if len(ran) < 3:
            raise ConnectionError
        return answer

    @entrypoint(InMemorySaver())
    def main() -> str:
        return ask().result()

    main.invoke(thread_id="t")
    assert "yes" == main.invoke(Command(resume="yes"), thread_id="t")
    assert ["yes", "yes", "yes"] == ran


def test_a_question_of_a_nested_task_parks_all_around_it() -> None:
    """The child's answer moves its parents on; their finished children are not run again."""
    ran: Counter[str] = Counter()

    @task
    def work(name: str) -> str:
        ran[name] += 1
        return name

    @task
    def child() -> str:
        ran["child"] += 1
        return f"{work('before').result()} {interrupt('?')}"

    @task
    def parent() -> str:
        ran["parent"] += 1
        return f"{work('beside').result()} {child().result()}"

    @entrypoint(InMemorySaver())
    def main() -> str:
        return parent().result()

    asked = ids(main.invoke(thread_id="t"))
    assert asked == ids(main.invoke(None, thread_id="t"))
    assert {"parent": 1, "beside": 1, "child": 1, "before": 1} == ran
    assert "beside before yes" == main.invoke(Command(resume="yes"), thread_id="t")
    assert {"parent": 2, "beside": 1, "child": 2, "before": 1} == ran


def test_a_question_is_not_cached() -> None:
    """The answer's result is; another run then has nothing to ask."""

    @task(cache_policy=CachePolicy(ttl="1h"))
    def ask() -> Any:
        return interrupt("?")

    @entrypoint(InMemorySaver(), cache=InMemoryCache())
    def main() -> Any:
        return ask().result()

    assert ["?"] == list(ids(main.invoke(thread_id="a")))
    assert ["?"] == list(ids(main.invoke(thread_id="b")))
    assert 1 == main.invoke(Command(resume=1), thread_id="a")
    assert 1 == main.invoke(thread_id="c")


def test_observers_see_no_error(colour: Any, rules: Any) -> None:
    """Run, body, task and attempt end ``interrupted``."""

    @task
    @colour.define
    def ask() -> Any:
        return interrupt("?")

    @entrypoint(InMemorySaver())
    @colour.define
    def main() -> Any:
        return ask()

    colour.invoke(main, thread_id="t")
    assert {"interrupted"} == {outcome for _, _, outcome in rules.ended}
    rules.check()


def test_streams_show_the_questions(colour: Any) -> None:
    """As the last update, and as the value."""

    @entrypoint(InMemorySaver())
    @colour.define
    def main() -> Any:
        return interrupt("?")

    async def collect() -> list[Any]:
        return [chunk async for chunk in main.astream(stream_mode=["updates", "values"], thread_id="t")]

    chunks = asyncio.run(collect()) if colour.is_async else list(main.stream(stream_mode=["updates", "values"], thread_id="t"))
    assert [("updates", ["?"]), ("values", ["?"])] == [(mode, list(ids(chunk))) for mode, chunk in chunks]


# -- what cannot work -------------------------------------------------------------------------------------------------------------------


def test_without_a_checkpointer_no_answer_could_come() -> None:
    """The error says what to do."""

    @entrypoint
    def main() -> Any:
        return interrupt("?")

    with pytest.raises(TaskContextError, match="give the entrypoint a checkpointer"):
        main.invoke()


def test_outside_a_run_nobody_is_asked() -> None:
    """There is nothing to go on from."""
    with pytest.raises(TaskContextError):
        interrupt("?")


def test_a_question_that_cannot_be_kept() -> None:
    """Is refused where it is asked."""

    @entrypoint(InMemorySaver())
    def main() -> Any:
        return interrupt(object())

    with pytest.raises(NotSerializable):
        main.invoke(thread_id="t")


def test_an_answer_that_cannot_be_kept_is_not_taken() -> None:
    """The question stays open."""

    @entrypoint(InMemorySaver())
    def main() -> Any:
        return interrupt("?")

    main.invoke(thread_id="t")
    with pytest.raises(NotSerializable):
        main.invoke(Command(resume=object()), thread_id="t")
    assert "ok" == main.invoke(Command(resume="ok"), thread_id="t")


def test_an_answer_to_a_question_that_has_changed_is_not_used() -> None:
    """Somebody said yes to something else."""
    prices = iter([10, 99])

    @entrypoint(InMemorySaver())
    def main() -> Any:
        return interrupt(f"pay {next(prices)}?")

    main.invoke(thread_id="t")
    with pytest.raises(Divergence, match="pay 99") as caught:
        main.invoke(Command(resume="yes"), thread_id="t")
    assert ("'pay 10?'", "'pay 99?'") == (caught.value.recorded, caught.value.actual)


def test_a_command_that_says_nothing() -> None:
    """Is refused, rather than taken for the answer None."""

    @entrypoint(InMemorySaver())
    def main() -> Any:
        return interrupt("?")

    main.invoke(thread_id="t")
    with pytest.raises(PolicyError, match="resume="):
        main.invoke(Command(), thread_id="t")


def test_a_command_needs_a_checkpointer() -> None:
    """Without one there is nothing to go on with."""

    @entrypoint
    def main(value: Any) -> Any:
        return value

    with pytest.raises(PolicyError, match="checkpointer"):
        main.invoke(Command(resume=1))


@dataclass
class Flight:
    """What a store gives back only when it is registered, or an annotation names it."""

    number: object


_WHY = "is a .*Flight, which would not come back from a store as it is: "
_NUMBER = "is an object, which would not come back from a store as it is: return plain data"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            Flight(1),
            rf"^the input of main cannot be checkpointed: input {_WHY}name Flight in the annotation of the entrypoint's input, or call h",
        ),
        ([object()], rf"^the input of main cannot be checkpointed: input\[0\] {_NUMBER}"),
    ],
    ids=["annotate", "plain data"],
)
def test_an_input_that_cannot_be_kept_is_called_so(given: object, said: str) -> None:
    """It is no result, and what helps is another annotation."""

    @entrypoint(InMemorySaver())
    def main(_: Any) -> None:
        pytest.fail("it ran")

    for keyed in ({}, {"run_id": "run-1"}):
        with pytest.raises(NotSerializable, match=said) as caught:
            main.invoke(given, thread_id="t", **keyed)
        assert caught.value.where.startswith("input")


def test_a_question_and_an_answer_that_cannot_be_kept_are_called_so() -> None:
    """No annotation could help, so none is asked for; the question stays open."""

    @entrypoint(InMemorySaver())
    def main(question: str) -> Any:
        return interrupt({"q": Flight(1)} if question == "flight" else question)

    with pytest.raises(
        NotSerializable, match=rf"^what main asks cannot be checkpointed: question\['q'\] {_WHY}call holdfast\.register\(Flight\)$"
    ):
        main.invoke("flight", thread_id="t")
    asked = main.invoke("which?", thread_id="u")
    with pytest.raises(NotSerializable, match=rf"^the answer to 'which\?' cannot be checkpointed: answer {_WHY}call"):
        main.invoke(Command(resume=Flight(1)), thread_id="u")
    assert asked == main.invoke(None, thread_id="u")


# -- response_schema --------------------------------------------------------------------------------------------------------------------


@dataclass
class Approval:
    """An answer with a shape."""

    approved: bool
    comment: str = ""


def test_an_answer_that_does_not_fit_can_be_given_again() -> None:
    """It is not used up: the question comes again, with the reason."""

    @entrypoint(InMemorySaver())
    def main() -> Any:
        answer: Approval = interrupt("publish?", response_schema=Approval)
        return [type(answer).__name__, answer.approved, answer.comment]

    (first,) = main.invoke(thread_id="t")[ASKED]
    (second,) = main.invoke(Command(resume={"approved": "perhaps"}), thread_id="t")[ASKED]
    assert ("", first.id, "publish?") == (first.error, second.id, second.value)
    assert "bool" in second.error
    assert ["Approval", True, "fine"] == main.invoke(Command(resume={"approved": True, "comment": "fine"}), thread_id="t")


class Vote(msgspec.Struct):
    """Another one."""

    count: int


class Choice(TypedDict):
    """A third one."""

    count: int


@pytest.mark.parametrize(
    ("schema", "wrong", "right", "expected"),
    [
        (int, "three", 3, 3),
        (bool, "yes", True, True),
        (list[int], [1, "x"], [1, 2], [1, 2]),
        (Literal["yes", "no"], "maybe", "no", "no"),
        (Vote, {"count": None}, {"count": 3}, Vote(3)),
        (Choice, {"number": 3}, {"count": 3}, {"count": 3}),
    ],
)
def test_schemas_of_other_kinds(colour: Any, schema: Any, wrong: Any, right: Any, expected: Any) -> None:
    """A type, a Struct, a TypedDict: in a task, too, which is not run again for nothing; the person may try as often as it takes."""
    got = []

    @task
    @colour.define
    def ask() -> None:
        got.append(interrupt("?", response_schema=schema))

    @entrypoint(InMemorySaver())
    async def main() -> None:
        await ask()

    (first,) = colour.invoke(main, thread_id="t")[ASKED]
    for _ in range(2):
        (again,) = colour.invoke(main, Command(resume=wrong), thread_id="t")[ASKED]
        assert (first.id, True) == (again.id, again.error != "")
    assert [] == got
    colour.invoke(main, Command(resume={first.id: right}), thread_id="t")
    assert [expected] == got
    assert type(expected) is type(got[0])


def test_a_pydantic_model_is_a_schema() -> None:
    """By its own validation."""
    pydantic = pytest.importorskip("pydantic")

    class Order(pydantic.BaseModel):
        count: int

    @entrypoint(InMemorySaver())
    def main() -> int:
        answer: Order = interrupt("how many?", response_schema=Order)
        return answer.count

    main.invoke(thread_id="t")
    (again,) = main.invoke(Command(resume={"count": "many"}), thread_id="t")[ASKED]
    assert "count" in again.error
    assert 3 == main.invoke(Command(resume={"count": "3"}), thread_id="t")


def test_a_schema_that_is_none() -> None:
    """The programmer's mistake is found out before anybody is asked."""

    @entrypoint(InMemorySaver())
    def main() -> Any:
        return interrupt("?", response_schema=3)

    with pytest.raises(PolicyError, match="response_schema=3"):
        main.invoke(thread_id="t")
    assert () == main.get_state(thread_id="t").interrupts


def test_outside_a_run_there_is_nobody_to_ask() -> None:
    """And it is no task that could be invoked on its own."""
    with pytest.raises(TaskContextError) as caught:
        interrupt("publish?")
    assert "interrupt('publish?') was called outside a run; call it in an @entrypoint or a @task while it runs" == str(caught.value)
