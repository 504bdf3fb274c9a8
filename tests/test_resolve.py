"""``Entrypoint.resolve``: what a person may say of a step, and what is refused."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import CachePolicy, InMemorySaver, PolicyError, RetryPolicy, ThreadBusyError, entrypoint, task
from holdfast.errors import CorruptRecord, Doubt, InDoubt, NotSerializable, UnknownInterruptError

if TYPE_CHECKING:
    from holdfast._entrypoint import Entrypoint


@dataclass
class Receipt:
    """What the tasks return, as their annotation says."""

    number: int


@dataclass
class Other:
    """What no task returns."""


class Plan:
    """An entrypoint whose three payments are in doubt: their run failed while they were under way.

    Attributes:
        saver: Where it is kept.
        main: The entrypoint.
        ran: How often each body began.
    """

    def __init__(self) -> None:
        self.saver = InMemorySaver()
        self.ran: Counter[str] = Counter()

        @task(delivery="at-most-once")
        async def pay(n: int) -> Receipt:
            self.ran[f"pay {n}"] += 1
            if self.ran["main"] == 1:
                await asyncio.sleep(60)
            return Receipt(n)

        @entrypoint(self.saver)
        async def main(_: Any) -> list[Receipt]:
            self.ran["main"] += 1
            paid = [pay(n) for n in range(3)]
            while self.ran["main"] == 1:
                await asyncio.sleep(0.001)
                if self.ran["pay 2"]:
                    raise ConnectionError
            await asyncio.wait(paid)
            return list(await asyncio.gather(*paid))

        self.main: Entrypoint[Any] = main
        with pytest.raises(ConnectionError):
            main.invoke(0, thread_id="t")

    def doubts(self) -> tuple[Doubt, ...]:
        """What the run asks when it is resumed."""
        with pytest.raises(InDoubt) as caught:
            self.main.invoke(None, thread_id="t")
        return caught.value.doubts


@pytest.fixture
def plan() -> Plan:
    """Stopped, with three doubts."""
    return Plan()


def test_what_is_under_way_is_not_in_doubt() -> None:
    """The state of a run at work, seen from inside its at-most-once task, asks nobody anything."""
    seen: list[Any] = []

    @task(delivery="at-most-once")
    def look() -> None:
        seen.append(main.get_state(thread_id="t").tasks[0].doubts)

    @entrypoint(InMemorySaver())
    def main() -> None:
        look().result()

    main.invoke(thread_id="t")

    assert [()] == seen


def test_several_doubts_are_settled_one_by_one(plan: Plan) -> None:
    """In any way and order; each answer says what is left."""
    first, second, third = plan.doubts()
    assert (first, third) == plan.main.resolve(thread_id="t", step=second.step, result=Receipt(70))
    assert (third,) == plan.main.resolve(thread_id="t", step=first.step, rerun=True)
    assert (third,) == plan.doubts()
    assert () == plan.main.resolve(thread_id="t", result=None)
    assert [Receipt(0), Receipt(70), None] == plan.main.invoke(None, thread_id="t")
    assert {"main": 2, "pay 0": 2, "pay 1": 1, "pay 2": 1} == plan.ran


def test_a_failure_is_what_the_body_gets_raised(plan: Plan) -> None:
    """As itself, and again whenever the run is resumed."""
    for doubt in plan.doubts():
        plan.main.resolve(thread_id="t", step=doubt.step, error=LookupError(f"no account {doubt.task}"))
    for _ in range(2):
        with pytest.raises(LookupError, match="no account pay"):
            plan.main.invoke(None, thread_id="t")


def test_get_state_shows_what_is_in_doubt(plan: Plan) -> None:
    """Without running anything: the same steps as the error names."""
    (waiting,) = plan.main.get_state(thread_id="t").tasks
    assert plan.doubts() == waiting.doubts
    for doubt in waiting.doubts:
        plan.main.resolve(thread_id="t", step=doubt.step, result=None)
    (waiting,) = plan.main.get_state(thread_id="t").tasks
    assert () == waiting.doubts


def test_a_value_set_by_hand_does_not_get_round_a_doubt(plan: Plan) -> None:
    """Nor does a branch from an earlier checkpoint: each would leave the run behind."""
    with pytest.raises(InDoubt):
        plan.main.update_state({"configurable": {"thread_id": "t"}}, [Receipt(1)])
    assert 3 == len(plan.doubts())


def test_a_misspelt_option_is_named(plan: Plan) -> None:
    """In the words that its user knows."""
    with pytest.raises(TypeError, match=r"Entrypoint\.resolve has no option 'resutl': did you mean 'result'"):
        plan.main.resolve(thread_id="t", resutl=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def test_async_code_awaits_it(plan: Plan) -> None:
    """The same, without blocking the loop."""
    first, *rest = plan.doubts()
    assert tuple(rest) == asyncio.run(plan.main.aresolve(thread_id="t", step=first.step, rerun=True))


def test_what_was_said_can_be_said_again(plan: Plan) -> None:
    """Until the run has ended: a mistake is put right."""
    first, second, third = plan.doubts()
    plan.main.resolve(thread_id="t", step=first.step, result="wrong")
    plan.main.resolve(thread_id="t", step=first.step, result=Receipt(5))
    for each in (second, third):
        plan.main.resolve(thread_id="t", step=each.step, error=LookupError())
    with pytest.raises(LookupError):
        plan.main.invoke(None, thread_id="t")
    for each in (second, third):
        plan.main.resolve(thread_id="t", step=each.step, rerun=True)
    assert [Receipt(5), Receipt(1), Receipt(2)] == plan.main.invoke(None, thread_id="t")


def test_a_rerun_can_be_taken_back(plan: Plan) -> None:
    """Until the step begins anew: it had its effect after all, and is not run."""
    first, *others = plan.doubts()
    for doubt in (first, *others):
        plan.main.resolve(thread_id="t", step=doubt.step, rerun=True)
    plan.main.resolve(thread_id="t", step=first.step, result=Receipt(5))
    plan.main.resolve(thread_id="t", step=first.step, rerun=True)
    plan.main.resolve(thread_id="t", step=first.step, result=Receipt(6))
    assert [Receipt(6), Receipt(1), Receipt(2)] == plan.main.invoke(None, thread_id="t")
    assert {"main": 2, "pay 0": 1, "pay 1": 2, "pay 2": 2} == plan.ran


def test_a_failure_that_took_the_place_of_a_rerun_stands(plan: Plan) -> None:
    """As any failure of such a step: it says how it can be settled, and is raised again."""
    for doubt in plan.doubts():
        plan.main.resolve(thread_id="t", step=doubt.step, rerun=True)
        plan.main.resolve(thread_id="t", step=doubt.step, error=LookupError("declined"))
    for _ in range(2):
        with pytest.raises(LookupError, match="declined") as caught:
            plan.main.invoke(None, thread_id="t")
        assert "may run at most once and has failed" in caught.value.__notes__[-1]


def test_a_copy_of_a_thread_has_its_doubts(plan: Plan) -> None:
    """And settles them for itself."""
    plan.saver.copy_thread("t", "u")
    with pytest.raises(InDoubt) as caught:
        plan.main.invoke(None, thread_id="u")
    assert [doubt.step for doubt in plan.doubts()] == [doubt.step for doubt in caught.value.doubts]


def test_which_step_has_to_be_clear(plan: Plan) -> None:
    """With several open ones an id is asked for; all are named. An unknown one is refused, and so is one of another thread."""
    ids = [doubt.step for doubt in plan.doubts()]
    with pytest.raises(UnknownInterruptError, match=f"3 steps .* are in doubt, so say which .*{ids[0]} \\(pay\\), {ids[1]} \\(pay\\)"):
        plan.main.resolve(thread_id="t", rerun=True)
    with pytest.raises(UnknownInterruptError, match=f"'{'0' * 32}' is open .* open are: {ids[0]}"):
        plan.main.resolve(thread_id="t", step="0" * 32, rerun=True)


def test_a_result_of_its_own_stays(plan: Plan) -> None:
    """What the task itself returned is no question, whoever asks."""
    done, *others = plan.doubts()
    for each in others:
        plan.main.resolve(thread_id="t", step=each.step, error=LookupError())
    plan.main.resolve(thread_id="t", step=done.step, rerun=True)
    with pytest.raises(LookupError):
        plan.main.invoke(None, thread_id="t")
    with pytest.raises(UnknownInterruptError, match="it has a result of its own"):
        plan.main.resolve(thread_id="t", step=done.step, rerun=True)


def test_where_nothing_is_in_doubt() -> None:
    """A finished thread, and one that is not there."""

    @entrypoint(InMemorySaver())
    def main() -> None: ...

    main.invoke(thread_id="t")
    with pytest.raises(UnknownInterruptError, match="nothing is in doubt in thread 't': its last run is done"):
        main.resolve(thread_id="t", rerun=True)
    with pytest.raises(UnknownInterruptError, match="there is no such thread"):
        main.resolve(thread_id="u", rerun=True)


def test_a_failed_run_without_such_tasks_has_nothing_to_settle() -> None:
    """Its failed task is simply run again."""

    @task
    def fetch() -> None:
        raise ConnectionError

    @entrypoint(InMemorySaver())
    def main() -> None:
        fetch().result()

    with pytest.raises(ConnectionError):
        main.invoke(thread_id="t")
    with pytest.raises(UnknownInterruptError, match=r"no step is open in run .* open are: none"):
        main.resolve(thread_id="t", rerun=True)


def test_a_result_that_does_not_fit_the_task_can_be_said_again(plan: Plan) -> None:
    """Kept as what it is, it cannot be rebuilt for a task that names another class; the error names the step."""
    first, *others = plan.doubts()
    for each in others:
        plan.main.resolve(thread_id="t", step=each.step, result=None)
    plan.main.resolve(thread_id="t", step=first.step, result=Other())
    with pytest.raises(CorruptRecord) as caught:
        plan.main.invoke(None, thread_id="t")
    assert any(f"task pay, step {first.step} of run" in note for note in caught.value.__notes__)
    plan.main.resolve(thread_id="t", step=first.step, result=None)
    assert [None] * 3 == plan.main.invoke(None, thread_id="t")


def test_a_thread_at_work_is_left_alone(plan: Plan) -> None:
    """Whoever works on it knows better; ``wait=`` waits."""
    lease = plan.saver.claim("t")
    with pytest.raises(ThreadBusyError):
        plan.main.resolve(thread_id="t", rerun=True)
    with pytest.raises(ThreadBusyError):
        plan.main.resolve(thread_id="t", rerun=True, wait="10ms")

    async def when_it_is_free() -> Any:
        asyncio.get_running_loop().call_later(0.02, plan.saver.release, lease)
        return await plan.main.aresolve(thread_id="t", step=step, rerun=True, wait="10s")

    step = plan.main.get_state(thread_id="t").tasks[0].doubts[0].step
    assert 2 == len(asyncio.run(when_it_is_free()))


@pytest.mark.parametrize(
    "said",
    [{}, {"result": 1, "rerun": True}, {"error": ValueError(), "result": None}, {"rerun": False}, {"error": ValueError}],
    ids=["nothing", "two things", "two others", "no rerun", "a class"],
)
def test_one_thing_is_to_be_said(plan: Plan, said: dict[str, Any]) -> None:
    """None as a result is one."""
    with pytest.raises(PolicyError, match=r"error=.*"):
        plan.main.resolve(thread_id="t", **said)


def test_a_result_that_cannot_be_kept(plan: Plan) -> None:
    """It is refused, and the doubt stays."""
    first, *_ = plan.doubts()
    with pytest.raises(NotSerializable, match="the result given cannot be checkpointed"):
        plan.main.resolve(thread_id="t", step=first.step, result=object())
    assert 3 == len(plan.doubts())


def test_without_a_checkpointer_nothing_can_be_in_doubt() -> None:
    """The entrypoint says so."""

    @entrypoint
    def main() -> None: ...

    with pytest.raises(PolicyError, match="main records nothing"):
        main.resolve(thread_id="t", rerun=True)


# -- the option -------------------------------------------------------------------------------------------------------------------------


def fetch() -> int:
    """Anything."""
    return 1


def test_the_plan_says_so() -> None:
    """First of all, and no word of it by default."""
    assert f"<Plan of fetch: at most once -> {__name__}.fetch>" == repr(task(delivery="at-most-once")(fetch).plan)
    assert "most once" not in repr(task(delivery="at-least-once")(fetch).plan)


def test_options_change_it() -> None:
    """And keep it when they do not say."""
    once = task(delivery="at-most-once")(fetch)
    assert [True, False, True] == [
        each.plan.is_once
        for each in (once.options(name="x"), once.options(delivery="at-least-once"), task(fetch).options(delivery="at-most-once"))
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"delivery": "once"}, "delivery='once': choose one of 'at-least-once', 'at-most-once'"),
        ({"delivery": True}, "delivery=True: choose"),
        ({"delivery": "at-most-once", "retry_policy": RetryPolicy()}, "fetch has delivery='at-most-once' and a retry policy"),
        ({"delivery": "at-most-once", "retry_policy": RetryPolicy(max_attempts=None, deadline=3)}, "and a retry policy"),
        ({"delivery": "at-most-once", "cache_policy": CachePolicy(ttl="1h")}, "fetch has delivery='at-most-once' and a cache policy"),
    ],
)
def test_what_does_not_go_together(options: dict[str, Any], expected: str) -> None:
    """A retry or an expired entry would run the body again, and a hit would leave the effect out."""
    with pytest.raises(PolicyError, match=expected):
        task(**options)(fetch)


def test_a_policy_of_one_attempt_is_none() -> None:
    """It runs nothing again."""
    assert task(delivery="at-most-once", retry_policy=RetryPolicy(max_attempts=1))(fetch).plan.is_once
