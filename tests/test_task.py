"""@task: futures at once, parallel, nested, mixed colours, and clear errors."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import contextvars
import functools
import pickle
import re
import threading
import time
from typing import Any

import pytest

from holdfast import CachePolicy, Command, InMemorySaver, PolicyError, TaskContextError, TaskFuture, entrypoint, interrupt, resilient, task


@task
def double(x: int) -> int:
    return 2 * x


@task
async def triple(x: int) -> int:
    await asyncio.sleep(0)
    return 3 * x


def test_a_call_returns_a_future_at_once() -> None:
    """The body runs elsewhere while the caller goes on."""
    gate = threading.Event()

    @task
    def wait_for_gate() -> str:
        assert gate.wait(30)
        return "open"

    @entrypoint
    def main() -> list[Any]:
        future = wait_for_gate()
        before = future.done()
        gate.set()
        return [isinstance(future, TaskFuture), before, future.result()]

    assert [True, False, "open"] == main.invoke()


def test_every_mix_of_colours_gives_the_result() -> None:
    """Sync and async entrypoints call sync and async tasks, under invoke and ainvoke."""

    @entrypoint
    def sync_main(x: int) -> list[int]:
        return [double(x).result(), triple(x).result()]

    @entrypoint
    async def async_main(x: int) -> list[int]:
        return [await double(x), await triple(x)]

    assert [4, 6] == sync_main.invoke(2)
    assert [4, 6] == async_main.invoke(2)
    assert [4, 6] == asyncio.run(sync_main.ainvoke(2))
    assert [4, 6] == asyncio.run(async_main.ainvoke(2))


def test_sync_invoke_inside_a_running_loop_runs_and_blocks() -> None:
    """A sync entrypoint can be invoked from async code, with sync and async tasks in it."""

    @entrypoint
    def sync_main(x: int) -> int:
        return double(x).result() + triple(x).result()

    async def main() -> int:
        return sync_main.invoke(2)

    assert 10 == asyncio.run(main())


def test_async_invoke_inside_a_running_loop_names_ainvoke() -> None:
    """The error says what to write."""

    @entrypoint
    async def workflow(x: int) -> int:
        return x

    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"await .*workflow\.ainvoke"):
            workflow.invoke(1)

    asyncio.run(main())


def test_tasks_run_in_parallel() -> None:
    """Ten tasks that wait for one another all get a thread."""
    barrier = threading.Barrier(10)

    @task
    def meet() -> int:
        return barrier.wait(60)

    @entrypoint
    def main() -> list[int]:
        return sorted(f.result() for f in [meet() for _ in range(10)])

    assert list(range(10)) == main.invoke()


def test_tasks_call_tasks() -> None:
    """A task's body may call tasks of either colour."""

    @task
    def both(x: int) -> int:
        return double(x).result() + triple(x).result()

    @task
    async def both_async(x: int) -> int:
        return sum(await asyncio.gather(double(x), triple(x), both(x)))

    @entrypoint
    def main(x: int) -> int:
        return both_async(x).result()

    assert 20 == main.invoke(2)


def test_a_task_outside_a_run_shows_the_fix() -> None:
    """The error names the task and the ways out."""
    with pytest.raises(TaskContextError, match=r"double.*@entrypoint.*double\.invoke.*await double\.ainvoke\(\.\.\.\)`$"):
        double(1)


def test_a_thread_of_ones_own_needs_the_context() -> None:
    """A plain thread does not see the run, and is told how it would; one started in a copied context does."""

    @entrypoint
    def main() -> tuple[BaseException | None, int]:
        with cf.ThreadPoolExecutor() as pool:
            lost = pool.submit(lambda: double(1)).exception()
            kept = pool.submit(contextvars.copy_context().run, lambda: double(1).result()).result()
        return lost, kept

    lost, kept = main.invoke()

    assert 2 == kept
    assert isinstance(lost, TaskContextError)
    assert str(lost).endswith("A thread of yours sees the run it was begun in if started with contextvars.copy_context().run")


def test_a_call_after_the_run_has_ended_is_refused() -> None:
    """A leaked context does not start work in a finished run."""
    leaked: list[contextvars.Context] = []

    @entrypoint
    def main() -> None:
        leaked.append(contextvars.copy_context())

    main.invoke()
    with pytest.raises(TaskContextError, match="had ended"):
        leaked[0].run(double, 1)


def test_wrong_arguments_are_a_typeerror_at_the_call() -> None:
    """The caller's mistake is raised where it is made, with the function's name."""

    @entrypoint
    def main() -> str:
        with pytest.raises(TypeError, match="double"):
            double(1, 2)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
            double()  # type: ignore[call-arg]
        return "ok"

    assert "ok" == main.invoke()


def test_the_users_own_error_comes_back_itself_with_its_frames() -> None:
    """The same exception object, and a traceback that holds the user's frame and at most two of ours."""
    boom = KeyError("boom")

    @task
    def fail() -> None:
        raise boom

    @entrypoint
    def main() -> None:
        fail().result()

    with pytest.raises(KeyError) as caught:
        main.invoke()

    assert boom is caught.value
    files = [str(entry.path) for entry in caught.traceback]
    ours = [file for file in files if "/holdfast/" in file and "/tests/" not in file]
    assert "fail" == caught.traceback[-1].name
    assert len(ours) <= 2, files


def test_a_task_over_a_resilient_function_keeps_its_own_settings() -> None:
    """Attributes of the function, such as the plan of a resilient one, do not take the place of the task's own."""
    policy = CachePolicy(ttl=60)
    done = task(cache_policy=policy)(resilient(lambda: "ok"))

    assert policy == done.plan.cache
    assert "ok" == done.invoke()


@pytest.mark.parametrize("decorator", [task, resilient])
@pytest.mark.parametrize("first", [task, entrypoint])
def test_decorating_a_task_or_an_entrypoint_is_refused(decorator: Any, first: Any) -> None:
    """The settings of one of the two would be lost."""
    with pytest.raises(PolicyError, match=f"has its @{first.__name__} already: give all settings to one decorator"):
        decorator(first(double.func))


@pytest.mark.parametrize("kind", [3, ""])
def test_a_kind_is_a_word(kind: Any) -> None:
    """The error shows what it can be."""
    with pytest.raises(PolicyError, match=re.escape(f"kind={kind!r}: give 'internal', 'client'")):
        task(kind=kind)(double.func)


@pytest.mark.parametrize("bad", [int, 5, None])
def test_decorating_what_is_no_function_is_refused(bad: Any) -> None:
    """Classes and values get an error that names them."""
    with pytest.raises(PolicyError, match="@task decorates"):
        task(bad)


def test_generators_are_refused() -> None:
    """A generator has no one result to retry, cache or checkpoint."""

    def items() -> Any:
        yield 1

    async def aitems() -> Any:
        yield 1

    for function in (items, aitems):
        with pytest.raises(PolicyError, match="is a generator"):
            task(function)


def test_methods_partials_and_callables_are_tasks() -> None:
    """@task works on methods inside a class, on partials, and on callable objects."""

    class Shop:
        def __init__(self, factor: int) -> None:
            self.factor = factor

        @task
        def price(self, x: int) -> int:
            return x * self.factor

    class Adder:
        def __call__(self, x: int) -> int:
            return x + 1

    times = task(functools.partial(lambda a, b: a * b, 5))
    add = task(Adder())

    @entrypoint
    def main() -> list[int]:
        return [Shop(3).price(2).result(), times(4).result(), add(1).result()]

    assert [6, 20, 2] == main.invoke()
    assert 6 == Shop(3).price.invoke(2)


@pytest.mark.parametrize("function", [str.upper, functools.partial(str.upper)], ids=["method", "partial"])
def test_a_method_of_a_builtin_class_is_a_task(function) -> None:
    """Python says of it in which class it is, and not in which module."""
    upper = task(function, cache_policy=CachePolicy(ttl="1h"))

    @entrypoint(InMemorySaver())
    def main(text: str) -> str:
        return upper(text).result()

    assert "OSLO" == main.invoke("Oslo")
    assert "<Task str.upper:" in repr(upper)
    with pytest.raises(pickle.PicklingError, match="is not this very task"):
        pickle.dumps(upper)


def test_the_function_keeps_its_name() -> None:
    """name= renames the task, never the function."""

    def fetch() -> int:
        return 1

    renamed = task(name="other")(fetch)

    assert ("fetch", "other") == (fetch.__name__, renamed.plan.name)


def test_invoke_runs_one_task_anywhere() -> None:
    """`task.invoke` and `ainvoke` are runs of a single call."""
    assert 4 == double.invoke(2)
    assert 6 == triple.invoke(2)
    assert 6 == asyncio.run(triple.ainvoke(2))
    assert 4 == asyncio.run(double.ainvoke(2))


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_no_limit_deadlocks_sync(limit: int) -> None:
    """Nested tasks, cf.wait and as_completed all end at any max_concurrency."""

    @task
    def leaf(x: int) -> int:
        return x

    @task
    def parent(x: int) -> int:
        futures = [leaf(x + i) for i in range(3)]
        cf.wait(futures)
        return sum(f.result() for f in cf.as_completed(futures))

    @task
    def grandparent(x: int) -> int:
        return sum(f.result() for f in [parent(x), parent(x + 1), parent(x + 2)])

    @entrypoint(max_concurrency=limit)
    def main() -> int:
        return sum(f.result() for f in [grandparent(i) for i in range(4)])

    expected = sum(3 * (i + j) + 3 for i in range(4) for j in range(3))
    assert expected == main.invoke()


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_no_limit_deadlocks_async(limit: int) -> None:
    """The same with async bodies, gather, and sync leaves."""

    @task
    def leaf(x: int) -> int:
        return x

    @task
    async def parent(x: int) -> int:
        return sum(await asyncio.gather(*[leaf(x + i) for i in range(3)]))

    @task
    async def grandparent(x: int) -> int:
        return sum(await asyncio.gather(parent(x), parent(x + 1), parent(x + 2)))

    @entrypoint(max_concurrency=limit)
    async def main() -> int:
        return sum(await asyncio.gather(*[grandparent(i) for i in range(4)]))

    expected = sum(3 * (i + j) + 3 for i in range(4) for j in range(3))
    assert expected == asyncio.run(main.ainvoke())


@pytest.mark.parametrize("limit", [1, 3])
def test_max_concurrency_bounds_the_bodies(limit: int) -> None:
    """Never more bodies at work than allowed, and as many as allowed."""
    lock, active, most = threading.Lock(), 0, 0
    as_many_as_allowed = threading.Barrier(limit)

    @task
    def work() -> None:
        nonlocal active, most
        with lock:
            active += 1
            most = max(most, active)
        as_many_as_allowed.wait(30)
        time.sleep(0.005)  # one too many would begin meanwhile
        with lock:
            active -= 1

    @entrypoint(max_concurrency=limit)
    def main() -> None:
        for future in [work() for _ in range(12)]:
            future.result()

    main.invoke()
    assert limit == most


def test_context_variables_reach_the_body_of_either_colour() -> None:
    """The caller's context variables are seen by tasks in threads and on loops."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    @task
    def read() -> str:
        return variable.get()

    @task
    async def read_async() -> str:
        return variable.get()

    @entrypoint
    def main() -> list[str]:
        variable.set("here")
        return [read().result(), read_async().result()]

    assert ["here", "here"] == main.invoke()


def test_invoke_inside_a_recorded_run_is_a_step_of_it() -> None:
    """Beside calls of the same task, and not done again."""
    ran: list[int] = []

    @task
    def part(n: int) -> int:
        ran.append(n)
        return n

    @entrypoint(InMemorySaver())
    def main(_: int) -> list[int]:
        found = [part(1).result(), part.invoke(2)]
        interrupt("go on?")
        return found

    main.invoke(0, thread_id="t")

    assert [1, 2] == main.invoke(Command(resume="yes"), thread_id="t")
    assert [1, 2] == ran
