"""What one line of a tree says about a node: its sign, its name and a few facts, most important first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.cli.marks import age, cells, count, plain, shown_id, took
from holdfast.tracing import convention as names
from holdfast.tracing.store.choice import JUST_NOW_NS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.cli.marks import Marks
    from holdfast.tracing.store.tree import Node

LONGEST_ARGUMENTS = 30
"""Cells of captured arguments; longer ones are cut."""

_SHORTEST_QUEUE = 0.1  # seconds; less is not worth a word
_REASONS = {"retry_after": "Retry-After"}
_NO_POLICY = "no_retry_policy"
_ANSWERS = ("hit", "coalesced", "stale")
_HTTPX_STATUS = re.compile(r"(?:Client|Server) error '(\d{3}[^']*)' (for url '[^']*').*", re.DOTALL)
"""What ``raise_for_status()`` of httpx says, in which the status comes too late for a line that is cut."""


def sign(node: Node, marks: Marks, now_ns: int = 0) -> tuple[str, str]:
    """The node's sign and its colour; for ``now_ns`` see `is_running`."""
    if node.is_failed:
        return marks.failed, "red"
    if is_running(node, now_ns):
        return marks.running, "cyan"
    if node.kind == "missing" or node.is_open:
        return marks.unknown, "yellow"
    if node.outcome in ("cancelled", "interrupted"):
        return marks.stopped, "yellow"
    if is_answered(node):
        return marks.answered, "cyan"
    if node.retries:
        return marks.retried, "yellow"
    return (marks.other, "bright_black") if node.kind == "span" else (marks.ok, "green")


def title(node: Node, longest: int = LONGEST_ARGUMENTS) -> str:
    """``run plan``, ``forecast("Oslo")``, ``attempt 2``, ``GET /forecast``; of arguments at most ``longest`` cells."""
    label = plain(node.label)
    if node.kind == "run" or (node.kind == "missing" and not node.row.span_id):
        return f"run {label}"
    return label + _arguments(node, longest) if node.kind == "task" else label


def facts(node: Node, now_ns: int = 0, *, is_located: bool = True) -> Iterator[str]:
    """What is worth saying, in order of weight; for ``now_ns`` see `is_running`, for ``is_located`` `error`."""
    yield from _fate(node, now_ns)
    yield from _cache(node)
    if node.kind in ("run", "task") and node.retries:
        yield count(node.retries + 1, "attempt")
    if queued(node):
        yield f"queued {took(queued(node))}"
    if node.kind in ("run", "missing") and node.get(names.THREAD_ID, node.get(names.RUN_ID)) != node.get(names.RUN_ID):
        yield f"thread {shown_id(str(node.get(names.THREAD_ID)))}"
    stop = node.get(names.RETRY_STOP_REASON, _NO_POLICY)
    if node.is_failed and stop != _NO_POLICY and node.kind != "attempt":  # whose call says it
        yield plain(str(stop))
    if node.is_failed and not any(child.is_failed and child.row.status_text == node.row.status_text for child in node.children):
        yield error(node, is_located=is_located)  # else the child says it
    if node.get(names.ATTEMPT_ABANDONED):
        yield "abandoned, its thread ran on"


def error(node: Node, *, is_located: bool = True) -> str:
    """``ConnectTimeout: timed out (weather.py:42 in get)``; with or without the place."""
    kind = str(node.get(names.ERROR_TYPE, "")).rpartition(".")[2]
    message = plain(_HTTPX_STATUS.sub(r"\1 \2", node.row.status_text))
    text = message if message.startswith(kind) else f"{kind}: {message}" if message else kind
    where = node.get(names.ERROR_LOCATION)
    return f"{text} ({plain(str(where))})" if where and is_located else text or "failed"


def place(node: Node) -> str:
    """File and line of a failure, ``weather.py:42``, which is what one wants to know first; ``""`` without one."""
    where = str(node.get(names.ERROR_LOCATION, "")) if node.is_failed else ""
    return plain(where.partition(" in ")[0])


def wait(node: Node, marks: Marks) -> str:
    """What happened after an attempt that was retried: ``⏳ waited 0.41 s · Retry-After``; ``""`` after any other."""
    if not node.get(names.RETRY_SCHEDULED):
        return ""
    seconds = float(node.get(names.RETRY_WAIT_S, 0.0))
    reason = str(node.get(names.RETRY_REASON, ""))
    said = [f"waited {took(seconds, marks)}" if seconds else "retried at once", _REASONS.get(reason, plain(reason))]
    if policy := node.get(names.RETRY_POLICY):
        said.append(plain(str(policy)))
    return f"{marks.wait} " + f" {marks.dot} ".join(filter(None, said))


def fate_of_all(node: Node) -> str:
    """How a group of nodes like this one ended."""
    if node.is_failed:
        return "all failed"
    if node.is_open:
        return "all under way"
    if node.get(names.CACHE_RESULT) == "hit":
        return "all cache hits"
    if node.outcome not in ("ok", ""):
        return f"all {node.outcome}"
    return f"all ok after {count(node.retries + 1, 'attempt')}" if node.retries else "all ok"


def is_answered(node: Node) -> bool:
    """Whether a call came back without running anything of its own."""
    return node.kind == "task" and (node.get(names.CACHE_RESULT) in _ANSWERS or node.outcome == "replayed")


def is_running(node: Node, now_ns: int) -> bool:
    """Whether a run or call was seen under way just now.

    Args:
        node: The run or call.
        now_ns: Nanoseconds since the epoch; 0 when nobody knows.
    """
    return node.is_open and now_ns - node.row.end_ns < JUST_NOW_NS and bool(now_ns)


def seconds(node: Node, now_ns: int) -> float:
    """How long it took; while it runs, how long by now."""
    return max(0, now_ns - node.row.start_ns) / 1e9 if is_running(node, now_ns) else node.row.seconds


def queued(node: Node) -> float:
    """Seconds the call waited for a free worker, 0.0 when it is not worth mentioning."""
    seconds = float(node.get(names.QUEUE_WAIT_S, 0.0))
    return seconds if seconds >= _SHORTEST_QUEUE else 0.0


def _fate(node: Node, now_ns: int) -> Iterator[str]:
    if is_running(node, now_ns):
        yield "running"
    elif node.is_open and node.kind == "run" and now_ns:
        yield f"no sign of life for {age((now_ns - node.row.end_ns) / 1e9)}: killed, or stopped"
    elif node.is_open:
        yield "no end recorded: still running, or killed" if node.kind == "run" else "no end recorded"
    elif node.kind == "missing":
        yield "no end recorded: still running, or killed" if title(node).startswith("run ") else "not recorded"
    if node.get(names.RUN_RESUMED):
        yield "resumed"
    if node.outcome in ("cancelled", "interrupted", "replayed"):
        yield node.outcome


_CACHE = {
    "hit": "cache hit, {age} old",
    "stale": "stale, {age} old, renewed behind",
    "stale_if_error": "stale, {age} old, instead of a failure",
    "refresh": "renews what is cached",
    "probe": "probes whether a hit was stale",
    "bypass": "past the cache",
    "negative": "remembered failure, {age} old",
    "coalesced": "shared with an equal call",
    "error": "cache failed",
}


def _cache(node: Node) -> Iterator[str]:
    result, cause = node.get(names.CACHE_RESULT), str(node.get(names.CACHE_MISS_CAUSE, "cold"))
    if result in _CACHE:
        yield _CACHE[str(result)].format(age=age(float(node.get(names.CACHE_AGE_S, 0.0))))
    elif result == "miss" and cause != "cold":
        yield f"cache miss ({plain(cause)})"


def _arguments(node: Node, longest: int) -> str:
    """Captured arguments without their names: ``("Oslo", 3)``; ``""`` when none were captured, or none that say anything."""
    try:
        captured: Any = msgspec.json.decode(str(node.get(names.INPUT, "")))
    except msgspec.DecodeError:  # not captured, or cut to its limit
        return ""
    values: list[Any] = [*captured.values()] if isinstance(captured, dict) else [captured]
    texts = [msgspec.json.encode(value).decode() for value in values]
    text = plain(", ".join(text for text in texts if not text.startswith('"<')))  # "<httpx.Client>": an object without a value
    if not text:
        return ""
    return f"({text})" if cells(text) <= longest else f"({text[: longest - 2]}..)"
