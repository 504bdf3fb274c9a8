"""Dialects: the names under which backends look for what a span of holdfast says under its own.

Spans carry `holdfast.tracing.convention` alone while calls run. What a backend reads besides (what kind of span it is, where input and
output stand, tags) is added on the thread that exports, to a copy; nothing is taken away, and what users have set themselves stays.

A dialect is a function from a span's attributes to those to add. Each file says whose names they are and where that is written.
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.errors import PolicyError
from holdfast.tracing.export.dialects import gen_ai, langfuse, langsmith, mlflow, openinference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Dialect = Callable[[Mapping[str, Any]], dict[str, Any]]

VARIABLE = "HOLDFAST_DIALECT"
DIALECTS: dict[str, tuple[Dialect, ...]] = {
    "langsmith": (openinference.additions, gen_ai.additions, langsmith.additions),
    "langfuse": (openinference.additions, gen_ai.additions, langfuse.additions),
    "phoenix": (openinference.additions, gen_ai.additions),
    "mlflow": (openinference.additions, gen_ai.additions, mlflow.additions),
    "gen_ai": (gen_ai.additions,),
}
"""What each is made of, by name: those of the backends, and the conventions of OpenTelemetry for generative AI."""


class Speech(NamedTuple):
    """What is done to each span on its way out.

    Attributes:
        dialects: Applied to spans of holdfast.
        everywhere: Attributes for all spans, other libraries' too.
        names_ancestors: Whether a span says where it stands, as `langsmith.place` has it, and leaves as a root when its parent is in another process.
    """

    dialects: tuple[Dialect, ...] = ()
    everywhere: tuple[tuple[str, str], ...] = ()
    names_ancestors: bool = False


def speech(names: tuple[str, ...], *, names_ancestors: bool = False) -> Speech:
    """What these dialects, all in `DIALECTS`, do together."""
    parts = tuple(dict.fromkeys(part for name in names for part in DIALECTS[name]))
    return Speech(parts, langfuse.everywhere() if "langfuse" in names else (), names_ancestors)


def wanted() -> tuple[str, ...]:
    """What ``HOLDFAST_DIALECT`` asks for: names with commas between them; nothing when it is not set.

    Raises:
        PolicyError: A name is not known.
    """
    names = tuple(name.strip().lower() for name in os.environ.get(VARIABLE, "").split(",") if name.strip())
    for name in names:
        if name not in DIALECTS:
            close = get_close_matches(name, DIALECTS, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise PolicyError(f"{VARIABLE}={name!r} is not known: use one of {', '.join(map(repr, DIALECTS))}{hint}")
    return names
