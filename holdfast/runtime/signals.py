"""What a graph around us raises to stop a node: LangGraph's `interrupt`, a `Command` for a parent graph, a drained run. No failures.

They are exceptions like any other there (`langgraph.errors.GraphBubbleUp`), and have to pass through tasks and retries untouched.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from typing import Any


def is_signal(error: BaseException) -> bool:
    """True for what LangGraph raises to stop a node; where LangGraph was never imported, nothing is."""
    kind: Any = type(error)
    return "langgraph.errors" in sys.modules and _is_bubbling(kind)


@lru_cache(maxsize=256)
def _is_bubbling(kind: Any) -> bool:
    return any(each.__name__ == "GraphBubbleUp" and each.__module__ == "langgraph.errors" for each in kind.__mro__)
