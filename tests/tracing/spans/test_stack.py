"""Exceptions as text."""

from __future__ import annotations

import json
import time
import traceback

import pytest

from holdfast.policies.duration import positive_seconds
from holdfast.tracing.spans import stack


def caught(function):
    """What a function raises."""
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError


def raise_value_error():
    raise ValueError("bad")


def test_it_is_what_python_prints_without_source_lines():
    """The standard formatter is the oracle."""
    error = caught(lambda: json.loads("{"))
    printed = traceback.format_exception(error)
    expected = [line.split("\n")[0] for line in printed[1:-1]] + [
        f"json.decoder.{printed[-1].rstrip()}".replace("json.decoder.json.decoder.", "json.decoder.")
    ]

    assert expected == stack.render(error).split("\n")


def test_causes_come_first():
    """As Python prints them, with both kinds of connection."""

    def explicit():
        try:
            raise_value_error()
        except ValueError as error:
            raise OSError("worse") from error

    def implicit():
        try:
            explicit()
        except OSError:
            raise RuntimeError("worst")  # noqa: B904 - the point

    lines = [line for line in stack.render(caught(implicit)).split("\n") if not line.startswith("  File")]
    assert [
        "ValueError: bad",
        "The above was the direct cause of:",
        "OSError: worse",
        "While that was handled, this happened:",
        "RuntimeError: worst",
    ] == lines


def test_a_cause_that_was_silenced_is_left_out():
    """``raise ... from None``."""

    def silenced():
        try:
            raise_value_error()
        except ValueError:
            raise OSError("only this") from None

    assert "bad" not in stack.render(caught(silenced))


def test_deep_stacks_and_long_chains_are_bounded():
    """A runaway recursion must not become a megabyte; nor a chain that is a circle."""

    def recurse():
        recurse()

    error = caught(recurse)
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first

    assert len(stack.render(error).split("\n")) <= stack.MAX_FRAMES + 2
    assert "frames left out" in stack.render(error)
    assert 3 == len(stack.render(first).split("\n"))


def test_members_of_a_group_are_named():
    """The first few."""
    text = stack.render(ExceptionGroup("several", [ValueError(n) for n in range(9)]))

    assert ["  | ValueError: 0", "  | ValueError: 4"] == [line for line in text.split("\n") if line.startswith("  | ")][
        :: stack.MAX_MEMBERS - 1
    ]


def test_the_location_is_in_the_users_own_code():
    """The frame a person can change, not the library's inside it."""
    line = raise_in_json.__code__.co_firstlineno + 1

    assert f"test_stack.py:{line} in raise_in_json" == stack.location(caught(raise_in_json))


def raise_in_json():
    json.loads("{")


def test_the_location_is_never_in_holdfast():
    """A value that is refused below the user's call is a matter of that call."""

    def save():
        positive_seconds(0, what="ttl", instead="leave it out")

    line = save.__code__.co_firstlineno + 1
    assert f"test_stack.py:{line} in save" == stack.location(caught(save))


def test_without_a_stack_there_is_no_location():
    """An exception that was never raised, such as a remembered one."""
    assert "" == stack.location(ValueError("x"))


@pytest.mark.parametrize(
    ("error", "expected"), [(ValueError(), "ValueError"), (json.JSONDecodeError("", "", 0), "json.decoder.JSONDecodeError")]
)
def test_types_are_dotted_names(error, expected):
    """Without ``builtins``."""
    assert expected == stack.type_name(error)


def test_it_is_cheaper_than_the_standard_formatter():
    """Which reads source files; this is why it exists."""

    def deep(n):
        return raise_value_error() if n == 0 else deep(n - 1)

    error = caught(lambda: deep(10))

    def cost(render):
        rounds = []
        for _ in range(5):
            started = time.thread_time()
            for _ in range(50):
                render(error)
            rounds.append(time.thread_time() - started)
        return min(rounds)

    assert cost(stack.render) < cost(lambda e: "".join(traceback.format_exception(e)))
