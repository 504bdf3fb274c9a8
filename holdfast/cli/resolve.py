"""``holdfast resolve``: say what became of an at-most-once step that is in doubt, from a shell. Nothing is run."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

import click

from holdfast._resolve import to_settle
from holdfast.cli import output
from holdfast.cli.job import Exit, busy, end, job_of, run_of
from holdfast.cli.marks import ASCII, UNICODE, plain, shown_id
from holdfast.cli.questions import value_of
from holdfast.errors import HoldfastError, ThreadBusyError, UnknownInterruptError
from holdfast.runtime import once
from holdfast.typing import UNFINISHED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.cli.job import Job
    from holdfast.errors import Doubt
    from holdfast.typing import RunRecord


@click.command(
    epilog="\b\nExamples:\n  holdfast resolve app:order --thread order-1 --result '\"paid 30\"'\n"
    "  holdfast resolve app:order --thread order-1 --error 'ConnectionError: declined'\n"
    "  holdfast resolve app:order --thread order-1 3f2a1b2c --rerun\n"
    "\n\b\nExit codes: 0 recorded, 1 it could not be, 2 wrong use, 4 nothing is in doubt,\n"
    "5 somebody is working on the thread."
)
@click.argument("target", metavar="MODULE:ENTRYPOINT")
@click.argument("step", required=False)
@click.option("--thread", metavar="T", required=True, help="The thread that stopped.")
@click.option("--result", metavar="VALUE", help="It had its effect: what it should have returned; JSON, else text.")
@click.option("--error", metavar="TEXT", help="It has failed: what the body gets raised; `ConnectionError: TEXT`, else a RuntimeError.")
@click.option("--rerun", is_flag=True, help="It had no effect: run it when the body asks for it.")
@click.option("--wait", metavar="TIME", help="Wait so long for somebody else who works on the thread: 30s, 5m.")
@output.as_json
def resolve(
    target: str, step: str | None, thread: str, result: str | None, error: str | None, wait: str | None, *, rerun: bool, as_json: bool
) -> None:
    """Say what became of a step that may run at most once.

    STEP is its id or the beginning of it, as `holdfast threads` shows; when only
    one is in doubt, leave it out. Nothing is run: `holdfast resume` goes on.
    """
    job = job_of(target, thread, wait)
    finding = _finding(result, error, rerun=rerun)
    run = run_of(job)
    chosen = _chosen(job, run, step)
    left = _settle(job, chosen, finding)
    if as_json:
        output.print_json({"thread_id": job.thread, "step": chosen.step, "task": chosen.task, "doubts": [each._asdict() for each in left]})
        return
    _tell(job, chosen, left)


def _finding(result: str | None, error: str | None, *, rerun: bool) -> dict[str, Any]:
    """What `Entrypoint.resolve` is told."""
    given: dict[str, Any] = {}
    if result is not None:
        given["result"] = value_of(result)
    if error is not None:
        given["error"] = _error_of(error)
    if rerun:
        given["rerun"] = True
    if len(given) != 1:
        raise click.UsageError("say one thing: --result VALUE (it had its effect), --error TEXT (it has failed) or --rerun (it had none)")
    return given


def _error_of(text: str) -> Exception:
    """``ConnectionError: declined`` is that error, of Python's own; all else is the text of a RuntimeError."""
    name, _, said = text.partition(":")
    cls = getattr(builtins, name.strip(), None)
    if isinstance(cls, type) and issubclass(cls, Exception):
        try:
            return cls(said.strip())
        except TypeError as error:
            raise click.UsageError(
                f"--error: a {name.strip()} cannot be made of a text; leave its name out, or resolve it in Python"
            ) from error
    return RuntimeError(text)


def _chosen(job: Job, run: RunRecord, step: str | None) -> Doubt:
    """The step that is meant; ends the command when there is none, or it is not clear which."""
    doubts, open_ = to_settle(job.saver.steps(run.run_id))
    known = [once.doubt(run.run_id, each) for each in ((doubts or open_) if step is None else open_)]
    if not known or run.status not in UNFINISHED:
        end(Exit.NOTHING, f"nothing is in doubt in thread {job.thread!r}: its last run is {run.status}")
    meant = known if step is None else [each for each in known if step and each.step.startswith(step)]
    if len(meant) != 1:
        listed = ", ".join(f"{each.step} ({plain(each.task)})" for each in meant or known)
        what = "say which STEP is meant" if step is None else f"STEP {step!r} is the beginning of {'several' if meant else 'none'}"
        raise click.UsageError(f"{what}; open are: {listed}")
    return meant[0]


def _settle(job: Job, chosen: Doubt, finding: dict[str, Any]) -> Sequence[Doubt]:
    """What is still in doubt; ends the command when nothing could be recorded."""
    try:
        return job.entrypoint.resolve(thread_id=job.thread, step=chosen.step, wait=job.wait, **finding)
    except ThreadBusyError as error:
        busy(error)
    except UnknownInterruptError as error:
        end(Exit.NOTHING, str(error))
    except HoldfastError as error:
        end(Exit.FAILED, str(error))


def _tell(job: Job, chosen: Doubt, left: Sequence[Doubt]) -> None:
    marks = ASCII if output.is_ascii() else UNICODE
    output.print_text(f"{marks.ok}  {plain(chosen.task)} {marks.dot} thread {shown_id(job.thread, marks)} is settled")
    if left:
        output.print_text("\nStill in doubt:")
        for each in left:
            output.print_text(f"  {each.step[:8]}  {plain(each.task)}")
    else:
        output.print_text(f"\nGo on with:\n  {job.command('resume')}")
