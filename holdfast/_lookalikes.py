"""Tells LangGraph's classes from ours of the same name: a program that was ported by its imports may have kept one of them."""

from __future__ import annotations

_OURS = frozenset({"CachePolicy", "Command", "InMemorySaver", "RetryPolicy", "Send", "SqliteSaver", "TimeoutPolicy"})


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
    meant = "InMemorySaver" if name == "MemorySaver" else name if name in _OURS else "SqliteSaver" if name.endswith("Saver") else ""
    return f"LangGraph's {cls.__name__}" + (f": take holdfast's, from holdfast import {meant}" if meant else "")
