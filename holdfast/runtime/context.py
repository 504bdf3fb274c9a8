"""Where a task call belongs: the context variable that holds the Scope whose body is running."""

from __future__ import annotations

import os
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING

from holdfast.errors import TaskContextError
from holdfast.runtime.sight import place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from itertools import count

    from holdfast.runtime.run import Run
    from holdfast.runtime.sight import Place
    from holdfast.runtime.state import Call
    from holdfast.runtime.trail import Trail


class Scope:
    """The body whose code is running: task calls made here belong to it.

    Each attempt of a body gets a scope of its own, so occurrences are counted anew.

    Attributes:
        run: The run it is part of.
        call: The call whose body this is.
        occurrences: Counts the calls made in this scope of each (task name, fingerprint).
        questions: How many it has asked people.
        place: Where its body runs, for a run with a checkpointer.
        trail: Where it stands, for a run with a checkpointer that has made a step.
        is_failed: True once it has ended in an error, in a run with a checkpointer.
        is_abandoned: True once a sync attempt has run out of time: its body cannot be stopped, but starts nothing new.
    """

    __slots__ = ("call", "is_abandoned", "is_failed", "occurrences", "place", "questions", "run", "trail")

    def __init__(self, run: Run, call: Call) -> None:
        """Open a scope for one attempt of ``call``."""
        self.run = run
        self.call = call
        self.occurrences: dict[tuple[str, bytes], count[int]] | None = None
        self.questions = 0
        self.place: Place | None = None if run.journal is None else place()
        self.trail: Trail | None = None
        self.is_failed = False
        self.is_abandoned = False

    @property
    def step(self) -> bytes:
        """The enclosing step's digest; empty for the entrypoint's own body."""
        return b"" if self.call.step is None else self.call.step.digest()

    def outward(self) -> Iterator[Scope]:
        """This scope and those around it, up to the entrypoint's own."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.call.parent


current: ContextVar[Scope | None] = ContextVar("holdfast_scope", default=None)
_has_left_run = False  # this process, or one that it was forked from, was forked in a run


def _nowhere() -> Scope | None:
    return None


outside = _nowhere
"""Looks for a scope where no body of ours runs: in a node of LangGraph's. Set by ``holdfast``; asked only where a call would be refused."""


def here() -> Scope | None:
    """The scope that calls made here belong to; None outside a run."""
    scope = current.get()
    return outside() if scope is None else scope


def scope_for(task: str) -> Scope:
    """The scope a call of ``task`` made here belongs to.

    Raises:
        TaskContextError: No run is active here, or the one that was has ended, or the attempt was given up.
    """
    scope = current.get()
    if scope is None:
        scope = outside()
    if scope is None:
        msg = (
            f"task {task!r} was called outside a run: call it in an @entrypoint, another task, or a node, task or entrypoint of LangGraph, or on its "
            f"own with {task}.invoke(...) or `await {task}.ainvoke(...)`{_why_here()}"
        )
        raise TaskContextError(msg)
    if scope.run.is_over:
        msg = (
            f"task {task!r} was called in run {scope.run.facts.run_id} after that run had ended: a thread or background task outlived its "
            f"entrypoint. Wait for it inside the entrypoint, or call {task}.invoke(...) to make a run of its own."
        )
        raise TaskContextError(msg)
    if scope.is_abandoned:
        msg = f"task {task!r} was called by an attempt of {scope.call.plan.name!r} that had been given up when its time was over"
        raise TaskContextError(msg)
    return scope


def _why_here() -> str:
    """What may have cost a caller the run it believes itself in."""
    if _has_left_run:
        return ". This process was forked in a run, which stays with the process that began it"
    if threading.current_thread() is not threading.main_thread():
        return ". A thread of yours sees the run it was begun in if started with contextvars.copy_context().run"
    return ""


def _leave_run_in_child() -> None:
    global _has_left_run  # noqa: PLW0603 - of the process
    _has_left_run = _has_left_run or current.get() is not None
    current.set(None)  # its threads, its loop and its calls stayed with the parent


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_leave_run_in_child)


def give_slot_back() -> None:
    """The body that runs here, if one does, is about to wait."""
    scope = current.get()
    if scope is not None:
        scope.call.release_slot()
