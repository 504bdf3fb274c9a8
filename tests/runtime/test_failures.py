"""Which failures a body has survived, so that they are replayed, and which are made again."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http.server
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import requests

from holdfast import InMemorySaver, ReplayedError, RetryPolicy, entrypoint, task
from holdfast.policies.remembered import remembered
from holdfast.runtime.failures import Failures
from holdfast.runtime.journal import Journal
from holdfast.runtime.run import Run
from holdfast.typing import Commit, StepId
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class Stop(Exception):
    """Ends a life of a body, so that the next one resumes it."""


class Declined(Exception):
    """An error of the user's, with more than a text."""

    def __init__(self, code: int, *, retry_in: float) -> None:
        super().__init__(code)
        self.retry_in = retry_in


def test_a_failure_that_the_body_caught_is_raised_again() -> None:
    """As the same class with the same attributes; the task does not run again."""
    ran: Counter[str] = Counter()
    caught: list[Any] = []

    @task
    def charge() -> None:
        ran["charge"] += 1
        raise Declined(51, retry_in=2.5)

    @entrypoint(InMemorySaver())
    def main(_: Any) -> str:
        ran["body"] += 1
        try:
            charge().result()
        except Declined as error:
            caught.append((error.args, error.retry_in))
        if ran["body"] == 1:
            raise Stop
        return "paid otherwise"

    with pytest.raises(Stop):
        main.invoke(0, thread_id="t")
    assert "paid otherwise" == main.invoke(None, thread_id="t")
    assert {"charge": 1, "body": 2} == ran
    assert [((51,), 2.5)] * 2 == caught


def test_a_failure_whose_class_is_gone_comes_back_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `ReplayedError` with the original's name and text."""
    caught: list[Exception] = []

    @task
    def charge() -> None:
        raise Declined(51, retry_in=2.5)

    @entrypoint(InMemorySaver())
    def main(_: Any) -> None:
        try:
            charge().result()
        except Exception as error:
            caught.append(error)
        if len(caught) == 1:
            raise Stop

    with pytest.raises(Stop):
        main.invoke(0, thread_id="t")
    monkeypatch.delitem(globals(), "Declined")
    main.invoke(None, thread_id="t")
    assert isinstance(caught[1], ReplayedError)
    assert ("Declined", "51") == (caught[1].type_name.rpartition(".")[2], caught[1].text)


def test_the_failure_that_ended_the_body_runs_again_and_nothing_else_does() -> None:
    """Also when it was wrapped: causes, contexts and groups count."""
    ran: Counter[str] = Counter()

    @task
    def fail(name: str) -> str:
        ran[name] += 1
        if ran[name] == 1:
            raise ConnectionError(name)
        return name

    @entrypoint(InMemorySaver())
    def main(_: Any) -> list[str]:
        survived = "survived"
        try:
            fail("caught").result()
        except ConnectionError:
            survived = "replaced"
        try:
            wrapped = fail("wrapped").result()
        except ConnectionError as error:
            raise ExceptionGroup("several", [RuntimeError("no"), ValueError("because")]) from error
        return [survived, wrapped]

    with pytest.raises(ExceptionGroup):
        main.invoke(0, thread_id="t")
    assert ["replaced", "wrapped"] == main.invoke(None, thread_id="t")
    assert {"caught": 1, "wrapped": 2} == ran


def one_after_the_other(work: Any) -> Any:
    """Only the first failure is raised."""

    def body() -> Any:
        return [future.result() for future in [work(n) for n in range(8)]]

    return body


def gathered_eight(work: Any) -> Any:
    """Only the first failure is raised, and `asyncio.gather` looks at the others."""

    async def body() -> Any:
        return await asyncio.gather(*[work(n) for n in range(8)])

    return body


def gathered_coroutines(work: Any) -> Any:
    """Each failure ends an asyncio task."""

    async def one(n: int) -> Any:
        return await work(n)

    async def body() -> Any:
        return await asyncio.gather(*[one(n) for n in range(8)])

    return body


def grouped(work: Any) -> Any:
    """The failures come in a group."""

    async def one(n: int) -> Any:
        return await work(n)

    async def body() -> Any:
        async with asyncio.TaskGroup() as group:
            made = [group.create_task(one(n)) for n in range(8)]
        return [each.result() for each in made]

    return body


@pytest.mark.parametrize("shape", [one_after_the_other, gathered_eight, gathered_coroutines, grouped])
@pytest.mark.parametrize("is_retry", [True, False], ids=["retried", "resumed"])
def test_calls_that_failed_together_are_all_made_again_at_once(shape: Callable[..., Any], opened: list[Run], *, is_retry: bool) -> None:
    """One resume, or one more attempt of the body, is enough, however many there were."""
    is_down, barrier = [True], threading.Barrier(8)

    @task
    def work(n: int) -> int:
        if is_down:
            if barrier.wait(10) == 0:
                is_down.clear()
            barrier.wait(10)
            time.sleep(0.001 * n)
            raise ConnectionError(n)
        return n

    def all_have_failed(*_: object) -> None:
        until(lambda: not any("work" in call.plan.name for call in opened[0]._open.copy()))

    policy = RetryPolicy(max_attempts=2, initial_interval=0, before_retry=all_have_failed) if is_retry else None
    main = entrypoint(InMemorySaver(), retry_policy=policy)(shape(work))
    if not is_retry:
        with pytest.raises((ConnectionError, ExceptionGroup)):
            main.invoke(thread_id="t")
    assert list(range(8)) == main.invoke(*([] if is_retry else [None]), thread_id="t")


@pytest.mark.parametrize("how", ["gather", "return_exceptions"])
def test_a_failure_after_which_a_body_took_another_way_is_kept(how: str) -> None:
    """Here in a coroutine beside others, whose fallback is recorded: the run must not do both ways."""
    ran: Counter[str] = Counter()

    @task
    async def work(name: str) -> str:
        ran[name] += 1
        if name == "card" and ran["card"] == 1:
            raise ConnectionError(name)
        return name

    async def pay() -> str:
        if how == "return_exceptions":
            (outcome,) = await asyncio.gather(work("card"), return_exceptions=True)
        else:
            try:
                outcome = await work("card")
            except ConnectionError as error:
                outcome = error
        return await work("cash") if isinstance(outcome, ConnectionError) else outcome

    @entrypoint(InMemorySaver())
    async def main(_: Any) -> list[str]:
        paid = await asyncio.gather(pay(), work("ship"))
        ran["body"] += 1
        if ran["body"] == 1:
            raise Stop
        return paid

    with pytest.raises(Stop):
        main.invoke(0, thread_id="t")
    assert ["cash", "ship"] == main.invoke(None, thread_id="t")
    assert {"card": 1, "cash": 1, "ship": 1, "body": 2} == ran


def test_a_way_taken_beside_the_body_is_kept_when_the_body_dies_of_another_step() -> None:
    """The fallback is a step that was made after the failure, where that was looked at: a resumed run does not pay twice."""
    ran: Counter[str] = Counter()

    @task
    async def work(name: str) -> str:
        ran[name] += 1
        if name != "cash" and ran[name] == 1:
            raise ConnectionError(name)
        return name

    async def pay() -> str:
        try:
            return await work("card")
        except ConnectionError:
            return await work("cash")

    @entrypoint(InMemorySaver())
    async def main() -> list[str]:
        return [await asyncio.create_task(pay()), await work("ship")]

    with pytest.raises(ConnectionError, match="ship"):
        main.invoke(thread_id="t")
    assert ["cash", "ship"] == main.invoke(None, thread_id="t")
    assert {"card": 1, "cash": 1, "ship": 2} == ran


@pytest.mark.parametrize("how", ["gather", "thread"])
def test_a_failure_that_was_looked_at_elsewhere_is_kept_when_the_body_dies_of_something_else(how: str) -> None:
    """It got over that failure, whoever told it of it."""
    ran: Counter[str] = Counter()

    @task
    def fail() -> None:
        ran["fail"] += 1
        raise ConnectionError

    async def all_at_once() -> Any:
        return await asyncio.gather(fail(), return_exceptions=True)

    @entrypoint(InMemorySaver())
    async def main(_: Any) -> list[str]:
        found = await all_at_once() if how == "gather" else [await asyncio.to_thread(fail().exception)]
        ran["body"] += 1
        if ran["body"] == 1:
            raise Stop
        return [type(each).__name__ for each in found]

    with pytest.raises(Stop):
        main.invoke(0, thread_id="t")
    assert ["ConnectionError"] == main.invoke(None, thread_id="t")
    assert {"fail": 1, "body": 2} == ran


@pytest.mark.parametrize("timeout", [None, 60])
def test_a_failure_that_the_body_itself_has_looked_at_is_kept(timeout: float | None) -> None:
    """Also where the body has a time limit, and so a thread of its own."""
    ran: Counter[str] = Counter()

    @task
    def work(name: str) -> str:
        ran[name] += 1
        if ran[name] == 1:
            raise ConnectionError(name)
        return name

    @task(timeout=timeout, retry_policy=RetryPolicy(max_attempts=2, initial_interval=0))
    def pay() -> list[str]:
        card, ship = work("card"), work("ship")
        return [type(card.exception()).__name__, ship.result()]

    @entrypoint(InMemorySaver())
    def main() -> list[str]:
        return pay().result()

    assert ["ConnectionError", "ship"] == main.invoke(thread_id="t")
    assert {"card": 1, "ship": 2} == ran


# -- what a failure was judged to be ----------------------------------------------------------------------------------------------------


class Plain(http.server.BaseHTTPRequestHandler):
    """A server that answers every GET with 503, and speaks no TLS."""

    def do_GET(self) -> None:
        self.send_error(503)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where `Plain` listens."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Plain)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def get_by_httpx(url: str) -> None:
    with httpx.Client(trust_env=False, verify=False) as client:
        client.get(url).raise_for_status()


def get_by_requests(url: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.get(url, timeout=5).raise_for_status()


@pytest.mark.parametrize("get", [get_by_httpx, get_by_requests])
@pytest.mark.parametrize(("scheme", "attempts"), [("http", 3), ("https", 1)])
def test_a_replayed_failure_is_retried_as_the_original_would_be(port: int, get: Callable[[str], None], scheme: str, attempts: int) -> None:
    """A 503 is worth another attempt and a server without TLS is not, though by the error that comes back nobody could tell the second."""
    ran: Counter[str] = Counter()

    @task
    def fetch() -> None:
        ran["fetch"] += 1
        get(f"{scheme}://127.0.0.1:{port}/")

    @task(retry_policy=RetryPolicy(max_attempts=3, initial_interval=0))
    def report() -> None:
        ran["report"] += 1
        failure = fetch().exception()
        raise KeyboardInterrupt if life == 1 else failure or AssertionError

    @entrypoint(InMemorySaver())
    def main() -> None:
        report().result()

    life = 1
    with pytest.raises(KeyboardInterrupt):
        main.invoke(thread_id="t")
    ran.clear()
    life = 2
    with pytest.raises(httpx.HTTPError if get is get_by_httpx else requests.RequestException):
        main.invoke(None, thread_id="t")
    assert {"report": attempts, "fetch": attempts - 1} == {"fetch": 0} | ran


@contextlib.contextmanager
def at_each_collection(act: Callable[[], None]) -> Iterator[None]:
    """Act whenever the garbage collector begins or ends, which is at every chance: what another thread could do just then.

    In Python 3.11 it also runs within calls that no thread could come between otherwise: ``list(a_dict.items())``.
    """

    def callback(*_: object) -> None:
        act()

    before = gc.get_threshold()
    gc.callbacks.append(callback)
    gc.set_threshold(1)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(callback)


def test_a_body_may_end_while_other_calls_fail() -> None:
    """They do not disturb the look at those that have failed by then."""
    failures, numbers = Failures(), iter(range(10**9))

    def fail() -> None:
        number = next(numbers)
        failures.add(StepId(b"", "work", b"", number), Declined(number, retry_in=0))

    for _ in range(1000):
        fail()
    error = failures.get(StepId(b"", "work", b"", 7))
    assert error is not None
    with at_each_collection(fail):
        fatal = failures.fatal(error, None)
    assert [7] == [step.occurrence for step in fatal]


@pytest.mark.parametrize("is_after", ["it was told of", "it was in the record"])
def test_a_failure_beside_the_end_of_its_body_is_made_again(monkeypatch: pytest.MonkeyPatch, is_after: str) -> None:
    """Whether it is recorded just before or just after the body's attempt is over, nobody has survived it."""
    fails, is_forgotten, ran = threading.Event(), threading.Event(), Counter[str]()

    class Slow(InMemorySaver):
        def commit(self, changes: Sequence[Commit], /) -> list[Exception | None]:
            if is_after == "it was in the record" and any(step.kind == "error" for change in changes for step in change.steps):
                fails.set()
                is_forgotten.wait(0.2)  # which it is not before this is written
            return super().commit(changes)

    def remembered_late(error: BaseException) -> bytes:
        if is_after == "it was told of":
            fails.set()
            until(is_forgotten.is_set)
        return remembered(error)

    def supersede(self: Journal, error: BaseException, scope: Any) -> None:
        forget(self, error, scope)
        if scope is not None and scope.call.is_body:
            is_forgotten.set()

    forget = Journal.supersede
    monkeypatch.setattr(Journal, "supersede", supersede)
    monkeypatch.setattr("holdfast.runtime.journal.remembered", remembered_late)

    @task
    def work() -> int:
        ran["work"] += 1
        if ran["work"] == 1:
            raise Stop
        return 7

    @entrypoint(Slow())
    def main(_: Any) -> int:
        future = work()
        fails.wait(60)
        ran["body"] += 1
        if ran["body"] == 1:
            raise Declined(1, retry_in=0)
        return future.result()

    with pytest.raises(Declined):
        main.invoke(0, thread_id="t")

    assert 7 == main.invoke(None, thread_id="t")
    assert 2 == ran["work"]
