"""Tells LangGraph's classes from ours of the same name: a program that was ported by its imports may have kept one of them."""

from __future__ import annotations

import re

_OURS = frozenset({"CachePolicy", "Command", "InMemoryCache", "InMemorySaver", "RetryPolicy", "Send", "SqliteSaver", "TimeoutPolicy"})
_OF_KIND = {"Saver": "SqliteSaver", "Cache": "DiskCache"}
"""What of ours does the work of classes that we have no namesake of, by the last word of their names."""


def langgraphs(value: object) -> str:
    """Say which import was meant, when a value, or a class, is LangGraph's; LangGraph is not imported for it.

    Args:
        value: What was given where one of ours belongs.

    Returns:
        ``LangGraph's Send: take holdfast's, from holdfast import Send``; ``""`` for anything else.
    """
    cls = value if isinstance(value, type) else type(value)
    if cls.__module__.partition(".")[0] != "langgraph":
        return ""
    name = cls.__name__.removeprefix("Async")
    meant = "InMemorySaver" if name == "MemorySaver" else name if name in _OURS else _OF_KIND.get(re.sub(r".*(?=[A-Z])", "", name), "")
    return f"LangGraph's {cls.__name__}" + (f": take holdfast's, from holdfast import {meant}" if meant else "")
