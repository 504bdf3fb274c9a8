"""What the run's own span shows of the arguments: no more than the span of the task, or of the entrypoint's parameters, may."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from holdfast import CachePolicy, entrypoint, task
from holdfast.testing import captured


def shown(call: Any, *args: Any, **kwargs: Any) -> list[tuple[str, Any, Any]]:
    """Name, input and output of each span of one call, with the values captured unless the decorated function says otherwise."""
    with captured(capture="values") as seen:
        call(*args, **kwargs)
    found: list[tuple[str, Any, Any]] = []
    spans = seen.spans
    while spans:
        span = spans.pop(0)
        attributes = span.get("attributes", {})
        found.append((span["name"], attributes.get("holdfast.input"), attributes.get("holdfast.output")))
        spans = [*span.get("children", ()), *spans]
    return found


def login(user: str, password: str) -> str:
    return f"welcome, {user}" if password else "no"


async def alogin(user: str, password: str) -> str:
    return login(user, password)


def test_the_run_of_a_single_call_masks_by_parameter_names():
    """The password stands in none of its spans, although it was given by position."""
    arguments, result = '{"user":"alice","password":"[redacted]"}', '"welcome, alice"'

    assert [("run login", arguments, result), ("login", arguments, result)] == shown(task(login).invoke, "alice", "hunter2")


def test_the_run_of_a_single_async_call_masks_by_parameter_names():
    """As for sync calls."""
    arguments, result = '{"user":"alice","password":"[redacted]"}', '"welcome, alice"'

    found = shown(lambda: asyncio.run(task(alogin).ainvoke("alice", password="hunter2")))

    assert [("run alogin", arguments, result), ("alogin", arguments, result)] == found


@pytest.mark.parametrize("capture", ["none", "shape", "values"])
def test_the_run_of_a_single_call_obeys_the_tasks_own_capture(capture: str):
    """The run's span shows what the task's own shows, whatever the rest of the process does."""
    (_, *of_run), (_, *of_task) = shown(task(capture=capture)(login).invoke, "alice", "hunter2")

    assert of_task == of_run
    assert (capture == "none") == (of_run == [None, None])


def test_the_run_of_a_single_call_leaves_out_what_the_task_does_not_show():
    """Injected parameters, and those the cache key ignores."""

    @task(cache_policy=CachePolicy(ttl="1h", ignore=("client",)))
    def fetch(client: str, page: int, config: Any) -> int:
        return page + len(client) + len(config)

    (_, of_run, _), (_, of_task, _) = shown(fetch.invoke, "ab", 3)

    assert '{"page":3}' == of_run == of_task


def test_a_single_call_with_wrong_arguments_shows_none_of_them():
    """Its TypeError is the caller's, and the run's span has no input."""
    with captured(capture="values") as seen, pytest.raises(TypeError, match="password"):
        task(login).invoke("alice")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]

    assert ["run login"] == [span["name"] for span in seen.spans]
    assert "holdfast.input" not in seen.spans[0].get("attributes", {})


def test_an_entrypoints_input_is_judged_under_its_parameters_name():
    """A bare password is a password by the parameter it is given to."""

    @entrypoint
    def enter(password: str) -> int:
        return len(password)

    @entrypoint
    def plan(request: dict[str, Any]) -> int:
        return len(request)

    assert [("run enter", '{"password":"[redacted]"}', "7")] == shown(enter.invoke, "hunter2")
    assert [("run plan", '{"request":{"city":"Oslo","token":"[redacted]"}}', "2")] == shown(plan.invoke, {"city": "Oslo", "token": "t"})


def test_an_entrypoint_that_captures_nothing_shows_nothing():
    """Neither input nor output, in no span."""

    @entrypoint(capture="none")
    def enter(request: str) -> str:
        return request

    assert [("run enter", None, None)] == shown(enter.invoke, "hunter2")
