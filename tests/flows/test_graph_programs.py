"""Programs of the kinds that LangGraph's documentation shows for state graphs run here with the imports changed, and do the same."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

import holdfast
from tests.flows.graph_programs import EXPECTED, langgraph

APIS = {"holdfast": lambda: holdfast, **({"langgraph": langgraph} if find_spec("langgraph") else {})}


@pytest.mark.parametrize("program", EXPECTED, ids=lambda program: program.__name__)
@pytest.mark.parametrize("library", APIS)
def test_program(program, library):
    """What is expected is what LangGraph does, where that is installed."""
    assert EXPECTED[program] == program(APIS[library]())
