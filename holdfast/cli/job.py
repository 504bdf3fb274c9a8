"""What ``holdfast resume`` and ``holdfast resolve`` are about: an entrypoint, a thread of its, and how such a command ends.

The entrypoint is imported as uvicorn, gunicorn or celery do it: ``module:attribute``, with the current folder on the path. Its own saver
says where the thread is kept.
"""

from __future__ import annotations

import sys
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from holdfast._ownership import refuse_anothers
from holdfast.cli import output
from holdfast.cli.load import load_entrypoint
from holdfast.cli.marks import shell_word
from holdfast.errors import PolicyError
from holdfast.policies.duration import seconds

if TYPE_CHECKING:
    from holdfast._entrypoint import Entrypoint
    from holdfast.typing import Checkpointer, RunRecord


class Exit(IntEnum):
    """Exit codes; click's own for wrong use is 2."""

    DONE = 0
    FAILED = 1
    WAITS = 3
    NOTHING = 4
    BUSY = 5
    STOPPED = 130  # Ctrl-C, as a shell has it


class Job(NamedTuple):
    """What is to be gone on with.

    Attributes:
        target: As typed, ``module:attribute``.
        entrypoint: The entrypoint.
        saver: Its checkpointer.
        thread: The thread.
        wait: Seconds to wait for somebody else who works on it; None does not wait.
    """

    target: str
    entrypoint: Entrypoint[Any]
    saver: Checkpointer
    thread: str
    wait: float | None

    @property
    def name(self) -> str:
        """The entrypoint's."""
        return self.entrypoint.plan.name

    def command(self, verb: str) -> str:
        """The beginning of a command line about it, to be typed: ``holdfast resume app:plan --thread trip-1``."""
        return f"holdfast {verb} {shell_word(self.target)} --thread {shell_word(self.thread)}"


def job_of(target: str, thread: str, wait: str | None) -> Job:
    """What the command line names.

    Raises:
        UsageError: There is no such entrypoint, or ``wait`` is no time.
    """
    entrypoint, saver = load_entrypoint(target)
    try:
        patience = None if wait is None else seconds(wait, what="--wait")
    except PolicyError as error:
        raise click.UsageError(str(error)) from None
    return Job(target, entrypoint, saver, thread, patience)


def run_of(job: Job) -> RunRecord:
    """The thread's newest run; ends the command when there is none, or it is another entrypoint's."""
    if not job.thread:
        raise click.UsageError("--thread is empty: name the thread to go on with")
    try:
        run = job.saver.latest(job.thread)
        if run is None:
            end(Exit.NOTHING, f"there is no thread {job.thread!r} in {job.saver!r}{_nearby(job)}")
        refuse_anothers(run, job.name)
    except PolicyError as error:
        raise click.UsageError(str(error)) from None
    return run


def _nearby(job: Job) -> str:
    import difflib

    names = {info.thread_id for info in job.saver.threads(limit=1000)}
    close = difflib.get_close_matches(job.thread, sorted(names), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def busy(error: Exception) -> NoReturn:
    """End the command: somebody else works on the thread."""
    end(Exit.BUSY, f"{error}\n`--wait 30s` waits for it.")


def end(code: Exit, text: str) -> NoReturn:
    """End the command, with the reason on stderr."""
    output.print_text(f"Error: {text}", to_stderr=True)
    sys.exit(code)
