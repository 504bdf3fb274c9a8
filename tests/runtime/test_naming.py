"""How steps are named: the same call always alike, different calls differently."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import InMemorySaver, PolicyError, RetryPolicy, Runtime, entrypoint, task
from holdfast.errors import RunInterrupted
from holdfast.runtime.context import Scope
from holdfast.runtime.naming import Names, refuse_parked
from holdfast.testing import recorded

AT_ONCE = RetryPolicy(retry_on=Exception, initial_interval=0.0001, max_interval=0.0001)


class Namer:
    """Names calls of tasks in one scope of one run."""

    def __init__(self) -> None:
        self._names = Names()
        self._scope = self.scope()

    def scope(self) -> Any:
        """A scope that has named nothing: that of another attempt, say."""
        scope: Any = Scope.__new__(Scope)
        scope.occurrences, scope.call = None, type("Body", (), {"step": None})
        return scope

    def step(self, named: Any, *args: Any, scope: Any = None, **kwargs: Any) -> Any:
        """The name of a call."""
        values = named.plan.bind(*args, **kwargs)
        return self._names.step(named.plan, scope or self._scope, values, named.step_key, threading.Lock())


@task(name="fetch")
def fetch(url: str, limit: int = 10) -> str:
    """Never run here."""
    return url * limit


def test_the_way_arguments_are_written_does_not_matter() -> None:
    """Positional, by name, or left to the default."""
    namer = Namer()
    names = [namer.step(fetch, "a", scope=namer.scope()), namer.step(fetch, url="a", limit=10, scope=namer.scope())]

    assert names[0] == names[1] == namer.step(fetch, "a", 10)


def test_equal_calls_of_a_scope_are_counted() -> None:
    """From 0; another scope begins anew."""
    namer = Namer()

    assert [0, 1, 0, 2] == [namer.step(fetch, name).occurrence for name in "aaba"]
    assert 0 == namer.step(fetch, "a", scope=namer.scope()).occurrence


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.binary(max_size=5)
data = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=6
)


def typed(value: Any) -> Any:
    """The value with its types, so that equal means: the same, and of the same types."""
    if isinstance(value, list):
        return ("list", [typed(each) for each in value])
    if isinstance(value, dict):
        return ("dict", sorted((key, repr(typed(each))) for key, each in value.items()))
    return (type(value).__name__, repr(value))


@given(one=data, other=data)
def test_names_are_equal_exactly_when_arguments_are(one: Any, other: Any) -> None:
    """The oracle: values and types, compared by hand."""
    namer = Namer()

    @task
    def use(value: Any) -> Any:
        return value

    same = namer.step(use, one, scope=namer.scope()) == namer.step(use, other, scope=namer.scope())
    assert (typed(one) == typed(other)) is same


def test_a_step_key_sets_a_call_apart() -> None:
    """From equal calls, and from those with another key; equal keys are counted."""
    namer = Namer()
    left, right = fetch.options(step_key="left"), fetch.options(step_key="right")
    names = [namer.step(each, "a") for each in (fetch, left, right, left)]

    assert [0, 0, 0, 1] == [name.occurrence for name in names]
    assert 3 == len({name.fingerprint for name in names})


def test_a_step_key_gives_a_branch_its_own_result() -> None:
    """Whichever branch asks first when the run is resumed."""
    ran: Counter[str] = Counter()

    @task
    def roll() -> int:
        ran["roll"] += 1
        return ran["roll"]

    @entrypoint(InMemorySaver(), retry_policy=AT_ONCE)
    def main() -> dict[str, int]:
        ran["body"] += 1
        order = ["left", "right"] if ran["body"] == 1 else ["right", "left"]
        futures = {side: roll.options(step_key=side)() for side in order}
        found = {side: futures[side].result() for side in ("left", "right")}
        if ran["body"] == 1:
            first.update(found)
            raise ConnectionError
        return found

    first: dict[str, int] = {}
    assert main.invoke() == first
    assert 2 == ran["roll"]


def test_injected_parameters_are_no_arguments() -> None:
    """They differ from run to run."""
    namer = Namer()

    @task(name="use")
    def use(n: int, *, runtime: Runtime | None = None) -> int:
        return n

    assert namer.step(use, 1, runtime=None, scope=namer.scope()) == namer.step(use, 1, runtime="other", scope=namer.scope())


def test_what_cannot_be_encoded_counts_by_its_type() -> None:
    """Two locks are alike, a lock and an event are not; one note of each kind for each task."""
    namer = Namer()

    @task
    def use(value: Any) -> Any:
        return value

    with recorded() as recording:
        lock, other, event = (namer.step(use, made()) for made in (threading.Lock, threading.Lock, threading.Event))
    assert lock.fingerprint == other.fingerprint != event.fingerprint
    said = [(note["event"], note["task"]) for note in recording.notes]
    assert [("holdfast.journal.opaque_argument", "use"), ("holdfast.journal.mixed_steps", "use")] == said


def test_two_functions_of_one_name_are_refused_by_their_places() -> None:
    """The text says where both are."""
    namer = Namer()

    @task(name="fetch")
    def other(url: str) -> str:
        return url

    namer.step(fetch, "a")
    with pytest.raises(PolicyError, match=r"test_naming\.py:\d+.*test_naming\.py:\d+.*'fetch'.*task\(name=") as caught:
        namer.step(other, "a")
    assert "other" in str(caught.value)


def test_a_task_that_is_made_anew_is_the_same_task() -> None:
    """Decorated in a body, it is another object in each attempt, with the same code."""
    namer = Namer()

    def make() -> Any:
        @task(name="inner")
        def inner() -> int:
            return 1

        return inner

    assert [0, 1] == [namer.step(make()).occurrence for _ in range(2)]


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x], lambda x: {"a": (1, [x])}, lambda x: [0] * 500 + [x]])
def test_an_unanswered_question_is_found_in_what_is_passed_on(wrap: Any) -> None:
    """However deep in plain containers."""
    question = RunInterrupted("waits")

    with pytest.raises(RunInterrupted) as caught:
        refuse_parked(wrap(question))
    assert caught.value is question


def test_a_call_that_is_given_an_unanswered_question_is_not_made() -> None:
    """It would get the question for an argument; beside what cannot be encoded, too."""
    question = RunInterrupted("waits")

    with pytest.raises(RunInterrupted) as caught:
        Namer().step(fetch, [object(), question])
    assert caught.value is question


class Client:
    """An object without content."""


@task(name="ask")
def ask(client: Client, question: int) -> int:
    """Never run here."""
    return question


def mixed(namer: Namer, *calls: tuple[Any, Client, int]) -> list[str]:
    """The tasks of which naming these calls has warned."""
    with recorded() as recording:
        for named, client, question in calls:
            namer.step(named, client, question)
    return [note["task"] for note in recording.notes if note["event"] == "holdfast.journal.mixed_steps"]


def test_calls_that_differ_in_a_client_only_are_warned_of() -> None:
    """Once for each task: replayed, they get their results in the order of the calls."""
    prod, test = Client(), Client()

    assert ["ask"] == mixed(Namer(), (ask, prod, 1), (ask, test, 1), (ask, prod, 1))


def test_calls_that_cannot_be_mixed_up_are_not_warned_of() -> None:
    """Those about one client, those that differ otherwise, and those with step keys."""
    prod, test = Client(), Client()
    left, right = ask.options(step_key="left"), ask.options(step_key="right")

    assert [] == mixed(Namer(), (ask, prod, 1), (ask, prod, 1), (ask, test, 2), (left, prod, 3), (right, test, 3))


def test_a_client_made_anew_for_each_attempt_is_not_warned_of() -> None:
    """Only calls of one attempt can be mixed up."""
    namer = Namer()
    with recorded() as recording:
        for _ in range(2):
            namer.step(ask, Client(), 1, scope=namer.scope())

    assert [] == [note for note in recording.notes if note["event"] == "holdfast.journal.mixed_steps"]


@task(name="use")
def use_anything(value: Any, *, runtime: Runtime | None = None) -> None:
    """Never run here."""


@pytest.mark.parametrize(
    ("named", "value", "expected"),
    [
        (fetch, "a", "f3292ce231df270b05189663d800a2da"),
        (fetch.options(step_key="left"), "a", "89bb3fadab6cb00f975bf68e69355ecc"),
        (fetch.options(step_key="\udce9"), "a", "fb19ea4ca46bbef865ff834b33eb1147"),  # from a file's name that is no UTF-8
        (use_anything.options(step_key="left"), object(), "b7d4163a6e51a93e326d567f1f0045ee"),
    ],
)
def test_names_stay_what_they_are(named: Any, value: Any, expected: str) -> None:
    """They are kept in journals: another encoding would run finished steps again."""
    step = Namer().step(named, value)

    assert (named.plan.name, b"", 0, expected) == (step.name, step.scope, step.occurrence, step.fingerprint.hex())


def test_a_container_that_contains_itself_is_looked_through_once() -> None:
    """What is passed on may be anything."""
    loop: list[Any] = []
    loop.append(loop)

    refuse_parked(loop)
