"""What the graphs of these tests have in common."""

from __future__ import annotations

import operator
from itertools import count
from typing import Annotated, Any, TypedDict

from holdfast import task

CONFIG = {"configurable": {"thread_id": "trip-1"}}


class Collected(TypedDict, total=False):
    """What has been collected."""

    log: Annotated[list[Any], operator.add]


class State(Collected, total=False):
    """State of the graphs here: a number beside."""

    n: int


def counting(ran):
    """A task whose every execution returns another number."""
    numbers = count(1)

    @task
    def draw(label: str) -> int:
        ran.append(label)
        return next(numbers)

    return draw
