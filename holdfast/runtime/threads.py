"""Whole runs on worker threads: what `batch`, sync streams and a sync ``invoke`` inside a running loop need."""

from __future__ import annotations

from concurrent.futures import wait
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from holdfast.runtime._ports import DRAIN_SECONDS
from holdfast.runtime.dispatch import workers
from holdfast.runtime.future import TaskFuture

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextvars import Context


def on_a_thread(fn: Callable[[], Any], *, stop: Callable[[], None]) -> Any:
    """Run ``fn`` on a worker thread, in a copy of this context, and block until it has ended."""
    return all_on_threads([fn], stop=stop, return_exceptions=False)[0]


def all_on_threads(jobs: Sequence[Callable[[], Any]], *, stop: Callable[[], None], return_exceptions: bool) -> list[Any]:
    """Run every job on a worker thread of its own, in a copy of this context; wait for all.

    Interrupted by Ctrl-C, it calls ``stop`` and waits a moment.
    """
    futures: list[TaskFuture[Any]] = [TaskFuture() for _ in jobs]
    try:
        for fn, future in zip(jobs, futures, strict=True):
            run_in_thread(fn, future)
        wait(futures)
    except BaseException:
        stop()
        wait(futures, DRAIN_SECONDS)
        raise
    errors = [future.exception() for future in futures]
    first = next((error for error in errors if error is not None), None)
    if first is not None and not return_exceptions:
        raise first
    return [future.result() if error is None else error for future, error in zip(futures, errors, strict=True)]


def run_in_thread(fn: Callable[[], Any], future: TaskFuture[Any]) -> None:
    """Run ``fn`` on a worker thread, in a copy of this context, and settle ``future`` with its outcome."""
    workers.run(partial(_settle, copy_context(), fn, future))


def _settle(context: Context, fn: Callable[[], Any], future: TaskFuture[Any]) -> None:
    try:
        future.set_result(context.run(fn))
    except BaseException as error:  # noqa: BLE001 - handed to whoever waits
        future.set_exception(error)
